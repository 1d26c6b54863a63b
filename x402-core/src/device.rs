/*!
A buyer and a seller for devices: HTTP over any stream of bytes, in memory of fixed size.

Nothing here keeps a whole message. Heads are read a byte at a time and no further than
[`MAX_HEAD_LEN`]; of the fields only those of a payment are kept, and of a 402 only the offer that may be paid:
the base64 and the JSON of `PAYMENT-REQUIRED` are read as they arrive, however long they are.

| | lent by the caller | |
|---|---|---|
| [`Buyer`] | [`BUYER_BUFFER_LEN`] | short fields, and the offer that was chosen |
| [`Seller`] | [`SELLER_BUFFER_LEN`] | the request line, short fields, and the payment |
| [`Seller`] | [`Window::SLOT_LEN`](crate::Window::SLOT_LEN) for each payment | its memory |

Both work on a [`Connection`], which is any `Read` and `Write` of [`embedded_io`], or with the feature
`embedded-io-async` of its asynchronous kind.

All [`Dialects`] are spoken, unless the type of a [`Buyer`] or a [`Seller`] says otherwise; of those that
are not, nothing is in the image.

# What is not done here

Bodies are the caller's: [`BodyLength`] says how long they are. Only that of a 402 whose head has nothing
that may be paid is read here, for the terms of v1 are in it. Chunks are not put together. A seller
without a chain cannot know whether a payer has the money: [`window::Limits`](crate::window::Limits)
bounds what is lost to those who have not.
*/

mod base64;
mod blocking;
mod buyer;
mod connection;
mod date;
mod dialects;
mod kept;
#[cfg(feature = "embedded-io-async")]
mod nonblocking;
mod pick;
mod scan;
mod seller;
mod structure;

pub use buyer::{Answer, BUFFER_LEN as BUYER_BUFFER_LEN, Buyer, BuyerError, Clock, FreshNonce};
pub use buyer::{Limits, Next, Request};
pub use connection::{Connection, DeviceError};
pub use dialects::{AllDialects, Dialects, V2Only};
pub use kept::FieldsError;
pub use scan::{BodyLength, MAX_HEAD_LEN};
pub use seller::{BUFFER_LEN as SELLER_BUFFER_LEN, Received, Sale, Seller, SellerError};
