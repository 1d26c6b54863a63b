use crate::{Address, Amount, Asset, Requirements, Scheme, TransferMethod};

/// The terms of a sale, as the seller means them: this asset, this much, to this address.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    asset: Asset<'a>,
    requirements: Requirements,
}

impl<'a> Offer<'a> {
    /// Puts an offer together; hashes the asset's domain, so keep it rather than make it anew.
    ///
    /// `amount` is in atomic units of the asset; `max_timeout_seconds` is for how long, from now, a
    /// buyer is asked to let the authorization be valid.
    #[must_use]
    pub fn new(
        asset: Asset<'a>,
        pay_to: Address,
        amount: Amount,
        max_timeout_seconds: u32,
    ) -> Self {
        let requirements = Requirements {
            chain_id: asset.chain_id,
            scheme: Scheme::Exact(asset.transfer_method),
            asset: asset.address,
            pay_to,
            amount,
            max_timeout_seconds,
            domain: asset.domain().separator(),
        };
        Self { asset, requirements }
    }

    /// The same offer for another amount, in atomic units: nothing is hashed again.
    #[must_use]
    pub const fn with_amount(mut self, amount: Amount) -> Self {
        self.requirements.amount = amount;
        self
    }

    /// The same offer by Permit2, which needs no more of a token than that it is an ERC-20.
    #[must_use]
    pub const fn by_permit2(mut self) -> Self {
        self.requirements.scheme = Scheme::Exact(TransferMethod::Permit2);
        self
    }

    /// The amount as a ceiling: how much of it is taken is said when the payment is settled, by
    /// `facilitator`.
    #[must_use]
    pub const fn up_to(mut self, facilitator: Address) -> Self {
        self.requirements.scheme = Scheme::Upto { facilitator };
        self
    }

    /// The same offer at another price, in atomic units, and for another validity, in seconds: nothing
    /// is hashed anew.
    #[must_use]
    pub const fn repriced(mut self, amount: Amount, max_timeout_seconds: u32) -> Self {
        self.requirements.amount = amount;
        self.requirements.max_timeout_seconds = max_timeout_seconds;
        self
    }

    /// The asset that is asked for.
    #[must_use]
    pub const fn asset(&self) -> &Asset<'a> {
        &self.asset
    }

    /// The terms in the form that payments are checked against.
    #[must_use]
    pub const fn requirements(&self) -> &Requirements {
        &self.requirements
    }
}
