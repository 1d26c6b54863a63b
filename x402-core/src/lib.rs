/*!
x402 — HTTP's status 402 put to work — without `std`, without an allocator and without I/O.

A seller answers an unpaid request with 402 and its price; the buyer signs an [EIP-3009]
authorization (a token transfer that anyone may submit) and repeats the request with it in a header;
the seller checks it, settles it on an EVM chain, and serves. This crate is everything of that which
is computation: it runs on a server and on a microcontroller alike.

The [header dialect](headers) is this project's own, for devices and people; [`wire`] has the formats
of x402 v1 and v2. All of them are the same [`Payment`] once they are read.

What a request costs is computed by a [`tariff`], exactly, out of prices, usage and
[conditions](condition) on the request.

# The seller's loop

1. [`headers::PaymentHeaders::collect`] reads the payment out of a request's header fields.
2. [`headers::PaymentHeaders::resolve`] reads it against the seller's own [`Offer`].
3. [`Requirements::check`] judges it — network, asset, recipient, amount, time, signature, in that
   order — and gives a [`Checked`], or an [`Error`] that knows its 402 code and the specification's
   reason.
4. The caller records [`Checked::id`] in its ledger, atomically, and shows the [`Claim`] for it:
   [`Checked::claimed`]. Only a [`Claimed`] has calldata, so what was not claimed cannot be settled.
   A seller without a disk has a [`Window`] for a ledger.
5. The caller submits [`Claimed::calldata`] and shows the receipt: [`Claimed::settled`].

# The buyer's loop

1. [`headers::ChallengeHeaders::collect`] reads a 402 answer.
2. [`buyer::Policy::admit`] says whether it may be paid; a cap is not optional.
3. [`buyer::Unsigned`] is the authorization to be signed by any [`Signer`].
4. [`headers::SignedPayment::emit`] writes the header fields of the repeated request, or
   [`wire::SignedPayload`] the payload of v1 or v2.

Time, randomness, signatures and the chain's answers are arguments; nothing here reads a clock or a
socket.

# What this crate does not do

It does not allocate, wait, log, or keep state between calls; it does not talk to a chain or a
facilitator (see `x402-std`) and it is no HTTP implementation (see `x402-hyper`). It will never have
a `std` or an `alloc` feature.

[EIP-3009]: https://eips.ethereum.org/EIPS/eip-3009
*/
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(clippy::std_instead_of_core)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

#[cfg(test)]
extern crate std;

mod address;
mod asset;
pub mod buyer;
mod claim;
pub mod condition;
#[cfg(feature = "embedded-io")]
pub mod device;
pub mod eip3009;
pub mod eip712;
mod error;
pub mod head;
pub mod headers;
pub mod hex;
mod keccak;
#[cfg(feature = "defmt")]
mod logging;
mod network;
mod nonce;
mod offer;
mod payment;
pub mod permit2;
mod plain;
mod price;
pub mod proof;
mod record;
mod refusal;
mod scheme;
pub mod settlement;
mod signature;
pub mod state;
pub mod tariff;
mod uint;
mod verify;
pub mod window;
pub mod wire;

#[cfg(feature = "k256")]
pub mod secp256k1;

pub use address::{Address, AddressError};
pub use asset::{Asset, LogOrder, TransferMethod};
pub use claim::{Checked, Claim, Claimed, Settled, WrongClaim};
pub use eip712::{Digest, Domain, DomainSeparator};
pub use eip3009::Authorization;
pub use error::{Code, Error, Reason};
pub use keccak::keccak256;
pub use network::{ChainId, NetworkError};
pub use nonce::{InvalidNonce, Nonce};
pub use offer::Offer;
pub use payment::{Payment, PaymentId, Transfer};
pub use price::{Price, PriceError};
pub use refusal::Refusal;
pub use scheme::Scheme;
pub use signature::{Recover, Signature, SignatureError, Signer};
pub use uint::{Amount, NumberError, Timestamp};
pub use verify::{Moment, Requirements};
pub use window::Window;
