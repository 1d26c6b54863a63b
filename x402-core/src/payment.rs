use core::fmt;

use crate::eip712::{Digest, DomainSeparator};
use crate::hex::Hex;
use crate::permit2::{self, Permit};
use crate::record::{Fields, concat};
use crate::{Address, Amount, Authorization, ChainId, Nonce, Signature, SignatureError, Timestamp};
use crate::{TransferMethod, keccak256};

/// What a payer signs, by the method that moves the money.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Transfer {
    /// The token moves it: [EIP-3009](crate::eip3009).
    Eip3009(Authorization),
    /// The Permit2 contract moves it: [`permit2`](crate::permit2).
    Permit2(Permit),
}

impl Transfer {
    /// By which method.
    #[must_use]
    pub const fn method(&self) -> TransferMethod {
        match self {
            Self::Eip3009(_) => TransferMethod::Eip3009,
            Self::Permit2(_) => TransferMethod::Permit2,
        }
    }

    /// Who pays.
    #[must_use]
    pub const fn from(&self) -> Address {
        match self {
            Self::Eip3009(authorization) => authorization.from,
            Self::Permit2(permit) => permit.from,
        }
    }

    /// Who is paid.
    #[must_use]
    pub const fn to(&self) -> Address {
        match self {
            Self::Eip3009(authorization) => authorization.to,
            Self::Permit2(permit) => permit.to,
        }
    }

    /// How much may be moved, in atomic units.
    #[must_use]
    pub const fn value(&self) -> Amount {
        match self {
            Self::Eip3009(authorization) => authorization.value,
            Self::Permit2(permit) => permit.amount,
        }
    }

    /// From when on it is valid; whether at that very second, the method says.
    #[must_use]
    pub const fn valid_after(&self) -> Timestamp {
        match self {
            Self::Eip3009(authorization) => authorization.valid_after,
            Self::Permit2(permit) => permit.valid_after,
        }
    }

    /// Until when it is valid; whether at that very second, the method says.
    #[must_use]
    pub const fn valid_before(&self) -> Timestamp {
        match self {
            Self::Eip3009(authorization) => authorization.valid_before,
            Self::Permit2(permit) => permit.deadline,
        }
    }

    /// What makes it single.
    #[must_use]
    pub const fn nonce(&self) -> Nonce {
        match self {
            Self::Eip3009(authorization) => authorization.nonce,
            Self::Permit2(permit) => permit.nonce,
        }
    }

    /// What is signed; `domain` is the token's.
    #[must_use]
    pub fn digest(&self, domain: &DomainSeparator, chain_id: ChainId) -> Digest {
        match self {
            Self::Eip3009(authorization) => authorization.digest(domain),
            Self::Permit2(permit) => permit.digest(chain_id),
        }
    }

    /// The only account that may submit it, where the scheme is `upto`.
    #[must_use]
    pub const fn facilitator(&self) -> Option<Address> {
        match self {
            Self::Eip3009(_) => None,
            Self::Permit2(permit) => permit.facilitator(),
        }
    }

    /// The contract that keeps account of the nonces: the token, or Permit2, whose nonces count for
    /// all tokens.
    pub(crate) const fn nonce_keeper(&self, asset: Address) -> Address {
        match self {
            Self::Eip3009(_) => asset,
            Self::Permit2(_) => permit2::PERMIT2,
        }
    }
}

/// A payment as meant, whatever dialect it was sent in.
#[derive(Clone, Copy, Debug)]
pub struct Payment {
    /// The chain it says it is on.
    pub chain_id: ChainId,
    /// The token it says it moves.
    pub asset: Address,
    /// What was signed.
    pub transfer: Transfer,
    /// The signature, or why what was sent is none of an account with a key.
    pub signature: Result<Signature, SignatureError>,
}

impl Payment {
    /// Which payment it says it is, whoever has signed it, if anybody has: to be looked up, not claimed.
    #[must_use]
    pub const fn id(&self) -> PaymentId {
        let Self { chain_id, asset, transfer, .. } = self;
        let contract = transfer.nonce_keeper(*asset);
        PaymentId { chain_id: *chain_id, contract, from: transfer.from(), nonce: transfer.nonce() }
    }
}

/// What makes a payment the same payment: chain, contract, payer and nonce, as bytes.
///
/// Not the signature and not the header's text, which have more than one spelling.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PaymentId {
    /// The chain.
    pub chain_id: ChainId,
    /// The contract that keeps account of the payer's nonces: the token, or Permit2.
    pub contract: Address,
    /// The payer.
    pub from: Address,
    /// The nonce of what was signed.
    pub nonce: Nonce,
}

impl PaymentId {
    /// The length of [`Self::to_bytes`].
    pub const LEN: usize = 80;

    /// chain id (8, big-endian) || contract (20) || payer (20) || nonce (32): a key that sorts by
    /// chain, contract and payer.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let chain_id = self.chain_id.get().to_be_bytes();
        let (contract, from) = (self.contract.as_bytes(), self.from.as_bytes());
        concat(&[&chain_id[..], contract, from, self.nonce.as_bytes()])
    }

    /// Reads [`Self::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let mut reader = Fields(bytes);
        Self {
            chain_id: ChainId::new(u64::from_be_bytes(reader.next())),
            contract: Address::new(reader.next()),
            from: Address::new(reader.next()),
            nonce: Nonce::new(reader.next()),
        }
    }
}

impl fmt::Display for PaymentId {
    /// 16 digits that stand for the payment in a log and give nothing away.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = keccak256(&[&self.to_bytes()]);
        Hex(hash.get(..8).unwrap_or_default()).fmt(f)
    }
}

impl fmt::Debug for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PaymentId({self})")
    }
}
