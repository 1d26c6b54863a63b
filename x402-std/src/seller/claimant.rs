//! Who presents a payment, and what shows that it is his.

use x402_core::Requirements;
use x402_core::proof::PayerProof;

use super::{Presented, Replay, Seller};
use crate::ledger::{Entry, Identifier, SecretHash};

/// What shows that a request comes from the payer himself, as it came: see [`x402_core::proof`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proof {
    /// The origin that the request was sent to.
    pub origin: String,
    /// The field's value.
    pub value: String,
}

/// Who presents a payment. Its bytes prove nothing once they are on a chain: anybody reads them there.
#[derive(Clone, Debug)]
pub(super) struct Claimant {
    secret: Option<SecretHash>,
    identifier: Option<Identifier>,
    proof: Option<Proof>,
    replay: Replay,
    /// The longest validity that was asked for, in seconds: a transaction before that was for something
    /// else.
    pub(super) max_timeout_seconds: u64,
}

impl Claimant {
    pub(super) fn of(presented: &Presented, requirements: &Requirements, replay: Replay) -> Self {
        let Presented { secret, identifier, ref proof, .. } = *presented;
        let max_timeout_seconds = requirements.max_timeout_seconds.into();
        Self { secret, identifier, proof: proof.clone(), replay, max_timeout_seconds }
    }

    /// Whether what was recorded may be given to who presents it again: as long as nothing was sent, only the
    /// payer and the seller have the bytes; after that, what shows it is a secret that went with them, or a
    /// signature of the payer's that is new.
    pub(super) fn may_have(&self, entry: &Entry, seller: &Seller) -> bool {
        let is_open = self.replay == Replay::Anyone;
        is_open || !entry.is_public() || self.knows_secret(entry) || self.is_payer(entry, seller)
    }

    fn knows_secret(&self, entry: &Entry) -> bool {
        let has_secret = entry.secret.is_some() && entry.secret == self.secret;
        has_secret || entry.identifier.is_some() && entry.identifier == self.identifier
    }

    /// Whether the payer has signed for this very request.
    pub(super) fn is_payer(&self, entry: &Entry, seller: &Seller) -> bool {
        let Some(Proof { origin, value }) = &self.proof else { return false };
        let proof = PayerProof { origin, payment: entry.id(), time: 0 };
        proof.is_proved_by(value, seller.now(), &&*seller.options.recover)
    }
}
