use core::fmt;

use crate::permit2::{Kind, Permit};
use crate::record::{Fields, concat};
use crate::settlement::{self, Paid, Receipt, SettlementError};
use crate::{Address, Amount, Authorization, ChainId, Error, Nonce, PaymentId, Signature};
use crate::{SignatureError, Timestamp, Transfer, keccak256};

/// What proves that the payer signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Proof {
    /// The signature of the payer's key.
    Ecdsa(Signature),
    /// The hash of what the payer's contract is shown.
    Wallet([u8; 32]),
}

/// What is settled, once it may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Terms {
    pub(crate) chain_id: ChainId,
    pub(crate) asset: Address,
    pub(crate) transfer: Transfer,
    /// How much of the value is moved.
    amount: Amount,
    pub(crate) proof: Proof,
}

impl Terms {
    const fn id(&self) -> PaymentId {
        let Self { chain_id, asset, transfer, .. } = self;
        let contract = transfer.nonce_keeper(*asset);
        PaymentId { chain_id: *chain_id, contract, from: transfer.from(), nonce: transfer.nonce() }
    }
}

/// A payment that passed every check that needs no chain. It can be claimed, not settled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Checked(Terms);

impl Checked {
    pub(crate) const fn new(
        chain_id: ChainId,
        asset: Address,
        transfer: Transfer,
        proof: Proof,
    ) -> Self {
        Self(Terms { chain_id, asset, transfer, amount: transfer.value(), proof })
    }

    /// What the ledger is to record before anything else happens.
    #[must_use]
    pub const fn id(&self) -> PaymentId {
        self.0.id()
    }

    /// Who pays.
    #[must_use]
    pub const fn payer(&self) -> Address {
        self.0.transfer.from()
    }

    /// What was signed.
    #[must_use]
    pub const fn transfer(&self) -> &Transfer {
        &self.0.transfer
    }

    /// Takes only so much of what was signed, which the scheme `upto` allows.
    ///
    /// # Errors
    ///
    /// [`Error::Exceeds`] where it is more than was signed, [`Error::Amount`] where the scheme is
    /// another and it is not all that was signed.
    pub fn of_amount(self, amount: Amount) -> Result<Self, Error> {
        let signed = self.0.transfer.value();
        match self.0.transfer.facilitator() {
            Some(_) if amount > signed => Err(Error::Exceeds),
            None if amount != signed => Err(Error::Amount),
            _ => Ok(Self(Terms { amount, ..self.0 })),
        }
    }

    /// Goes on with a payment that the ledger has recorded for this caller alone.
    ///
    /// # Errors
    ///
    /// [`WrongClaim`] where the claim is for another payment.
    pub fn claimed(self, claim: Claim) -> Result<Claimed, WrongClaim> {
        if claim.0 == self.id() { Ok(Claimed(self.0)) } else { Err(WrongClaim) }
    }

    /// As [`Self::claimed`], by the ledger itself that holds it.
    pub(crate) const fn held(self) -> Claimed {
        Claimed(self.0)
    }

    pub(crate) const fn terms(&self) -> &Terms {
        &self.0
    }

    /// The claimed payment as a ledger keeps it; see [`Claimed::from_bytes`].
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Claimed::LEN] {
        Claimed(self.0).to_bytes()
    }
}

/// A ledger's word that it has recorded a payment: atomically, durably, and for one caller.
///
/// Made by ledgers, after the record is safe; nothing else should call [`Claim::recorded`].
#[derive(Debug, Eq, PartialEq)]
#[must_use]
pub struct Claim(PaymentId);

impl Claim {
    /// States that the payment was recorded.
    pub const fn recorded(id: PaymentId) -> Self {
        Self(id)
    }
}

/// The claim is for another payment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WrongClaim;

impl fmt::Display for WrongClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the claim is for another payment")
    }
}

impl core::error::Error for WrongClaim {}

/// A payment that the ledger holds for this caller. It can be settled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Claimed(Terms);

impl Claimed {
    /// The length of [`Self::to_bytes`].
    pub const LEN: usize = 8 + 3 * 20 + 5 * 32 + 1 + 20 + 1 + Signature::LEN;

    /// Which payment it is.
    #[must_use]
    pub const fn id(&self) -> PaymentId {
        self.0.id()
    }

    pub(crate) const fn terms(&self) -> &Terms {
        &self.0
    }

    /// The chain to be settled on.
    #[must_use]
    pub const fn chain_id(&self) -> ChainId {
        self.0.chain_id
    }

    /// The token that is moved.
    #[must_use]
    pub const fn asset(&self) -> Address {
        self.0.asset
    }

    /// Who pays.
    #[must_use]
    pub const fn payer(&self) -> Address {
        self.0.transfer.from()
    }

    /// What was signed.
    #[must_use]
    pub const fn transfer(&self) -> &Transfer {
        &self.0.transfer
    }

    /// How much is moved, in atomic units: all that was signed, or less where the scheme is `upto`.
    #[must_use]
    pub const fn amount(&self) -> Amount {
        self.0.amount
    }

    /// Takes only so much of what was signed, which the scheme `upto` allows: once the work is done, it
    /// is known how much.
    ///
    /// # Errors
    ///
    /// As [`Checked::of_amount`].
    pub fn of_amount(self, amount: Amount) -> Result<Self, Error> {
        Checked(self.0).of_amount(amount).map(|checked| Self(checked.0))
    }

    /// The signature of the payer's key; `None` where the payer is a contract.
    #[must_use]
    pub const fn signature(&self) -> Option<&Signature> {
        match &self.0.proof {
            Proof::Ecdsa(signature) => Some(signature),
            Proof::Wallet(_) => None,
        }
    }

    /// The contract that is called to move the money: the token, or Permit2's spender.
    #[must_use]
    pub const fn target(&self) -> Address {
        match &self.0.transfer {
            Transfer::Eip3009(_) => self.0.asset,
            Transfer::Permit2(permit) => permit.spender(),
        }
    }

    /// Room for every [`Self::calldata`] with a signature of so many bytes.
    #[must_use]
    pub const fn calldata_len(signature: usize) -> usize {
        // Permit2's is the longer one: ten words, and the signature padded to words.
        4 + 11 * 32 + signature.next_multiple_of(32)
    }

    /// The call that moves the money: `transferWithAuthorization` with (v, r, s), or with bytes where
    /// the payer is a contract; or `settle` of Permit2's spender. Written to the front of `out`.
    ///
    /// `wallet_signature` is what [`Requirements::check_wallet`](crate::Requirements::check_wallet)
    /// was given; of a payer with a key there is none. `None` where it is not that one, or `out` is
    /// too short.
    pub fn calldata<'o>(&self, wallet_signature: &[u8], out: &'o mut [u8]) -> Option<&'o [u8]> {
        let Terms { transfer, amount, proof, .. } = &self.0;
        match (transfer, proof) {
            (Transfer::Eip3009(authorization), Proof::Ecdsa(signature)) => {
                let data = authorization.calldata(signature);
                let out = out.get_mut(..data.len())?;
                out.copy_from_slice(&data);
                Some(out)
            }
            (Transfer::Permit2(permit), Proof::Ecdsa(signature)) => {
                permit.calldata(*amount, &signature.to_rsv(), out)
            }
            (_, Proof::Wallet(hash)) if keccak256(&[wallet_signature]) != *hash => None,
            (Transfer::Eip3009(authorization), Proof::Wallet(_)) => {
                authorization.calldata_with_bytes(wallet_signature, out)
            }
            (Transfer::Permit2(permit), Proof::Wallet(_)) => {
                permit.calldata(*amount, wallet_signature, out)
            }
        }
    }

    /// Judges the receipt of a transaction: whether it moved this amount of this token from the payer to
    /// the payee, by this payment's authorization; see [`settlement`](crate::settlement).
    ///
    /// `is_taken` says which of the receipt's logs have paid for other payments. The position of the one
    /// that pays for this one is to be kept with it, so that it never pays again.
    ///
    /// # Errors
    ///
    /// [`SettlementError`], which says what the receipt lacks.
    pub fn settled(
        &self,
        receipt: &Receipt<'_>,
        is_taken: impl Fn(usize) -> bool,
    ) -> Result<Paid, SettlementError> {
        let (position, needs_nonce) = settlement::confirm(self, receipt, &is_taken)?;
        Ok(Paid { settled: Settled(self.0), position, needs_nonce })
    }

    /// The payment as a ledger keeps it: chain id (8) || token (20) || from (20) || to (20) ||
    /// value, validAfter, validBefore, nonce, amount (32 each) || method (1: 0 EIP-3009, 1 Permit2, 2
    /// Permit2 `upto`) || facilitator (20, zero but for `upto`) || proof (1: 0 key, 1 contract) || r
    /// || s || v, or the hash (32) and zeros. It holds the signature: treat it as a secret until it
    /// is settled.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let Terms { chain_id, asset, transfer, amount, proof } = &self.0;
        let (method, facilitator) = match (transfer, transfer.facilitator()) {
            (Transfer::Eip3009(_), _) => (0, Address::ZERO),
            (Transfer::Permit2(_), None) => (1, Address::ZERO),
            (Transfer::Permit2(_), Some(facilitator)) => (2, facilitator),
        };
        let (kind, signature) = match proof {
            Proof::Ecdsa(signature) => (0, signature.to_rsv()),
            Proof::Wallet(hash) => (1, concat(&[hash])),
        };
        concat(&[
            &chain_id.get().to_be_bytes(),
            asset.as_bytes(),
            transfer.from().as_bytes(),
            transfer.to().as_bytes(),
            &transfer.value().to_be_bytes(),
            &transfer.valid_after().to_be_bytes(),
            &transfer.valid_before().to_be_bytes(),
            transfer.nonce().as_bytes(),
            &amount.to_be_bytes(),
            &[method],
            facilitator.as_bytes(),
            &[kind],
            &signature,
        ])
    }

    /// Reads [`Self::to_bytes`] back out of the caller's own ledger, which is trusted: what it
    /// recorded had been checked.
    ///
    /// # Errors
    ///
    /// [`SignatureError`] where the bytes hold none, so are not what was written.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Result<Self, SignatureError> {
        let mut reader = Fields(bytes);
        let chain_id = ChainId::new(u64::from_be_bytes(reader.next()));
        let asset = Address::new(reader.next());
        let [from, to] = [reader.next(), reader.next()].map(Address::new);
        let value = Amount::from_be_bytes(reader.next());
        let [valid_after, valid_before] =
            [reader.next(), reader.next()].map(Timestamp::from_be_bytes);
        let nonce = Nonce::new(reader.next());
        let amount = Amount::from_be_bytes(reader.next());
        let [method] = reader.next();
        let facilitator = Address::new(reader.next());
        let kind = if method == 2 { Kind::Upto { facilitator } } else { Kind::Exact };
        let transfer = if method == 0 {
            Transfer::Eip3009(Authorization { from, to, value, valid_after, valid_before, nonce })
        } else {
            let (token, deadline) = (asset, valid_before);
            Transfer::Permit2(Permit {
                from,
                token,
                amount: value,
                nonce,
                deadline,
                to,
                valid_after,
                kind,
            })
        };
        let [proof] = reader.next();
        let proof = match proof {
            0 => Proof::Ecdsa(Signature::from_rsv(&reader.next())?),
            1 => Proof::Wallet(reader.next()),
            _ => return Err(SignatureError::V),
        };
        Ok(Self(Terms { chain_id, asset, transfer, amount, proof }))
    }
}

/// A payment whose money has arrived. It is owed its answer, once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Settled(Terms);

impl Settled {
    /// Which payment it is.
    #[must_use]
    pub const fn id(&self) -> PaymentId {
        self.0.id()
    }

    /// Who paid.
    #[must_use]
    pub const fn payer(&self) -> Address {
        self.0.transfer.from()
    }
}
