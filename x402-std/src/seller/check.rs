//! What is wrong with a payment, or with us, found without asking the chain, or hardly.

use x402_core::{ChainId, Checked, Error, Moment, Payment, PaymentId, Refusal, Requirements};

use super::{Presented, Rejection, Seller};
use crate::chain::wallet::Undeployed;
use crate::ledger::Entry;

impl Seller {
    pub(super) fn moment(&self, chain_id: ChainId) -> Moment {
        Moment { margin_seconds: self.margin_seconds(chain_id), ..Moment::at(self.now()) }
    }

    /// How many seconds before its end an authorization is refused: what is sent now has to be in one of
    /// the next two blocks.
    pub(super) fn margin_seconds(&self, chain_id: ChainId) -> u32 {
        const UNTIL_SENT: u64 = 2;
        let rail = self.rail(chain_id).ok();
        let block = rail.as_ref().map_or(0, |rail| rail.block_seconds());
        let blocks = block.saturating_mul(2).saturating_add(UNTIL_SENT);
        // A chain that is ahead ends an authorization earlier by as much.
        let ahead = rail.map_or(0, |rail| rail.ahead_seconds());
        let [blocks, ahead] = [blocks, ahead].map(|n| n.try_into().unwrap_or(u32::MAX));
        self.options.margin_seconds.max(blocks).saturating_add(ahead)
    }

    /// Judges a payment without asking anybody, or, where the payer may be a contract, by asking
    /// whether there is one. Gives the signature where it is a contract's.
    pub(super) async fn check(
        &self,
        presented: &Presented,
        requirements: &Requirements,
        moment: &Moment,
    ) -> Result<(Checked, Vec<u8>), Rejection> {
        let Presented { payment, signature, .. } = presented;
        let error = match requirements.check(payment, moment, &&*self.options.recover) {
            Ok(checked) => return Ok((checked, Vec::new())),
            Err(error) => error,
        };
        let is_of_signature = matches!(error, Error::Signature(_) | Error::Signer);
        if !is_of_signature || !self.options.contract_wallets || signature.is_empty() {
            return Err(error.into());
        }
        let rail = self.rail(payment.chain_id)?;
        let has_code = rail.has_code(payment.transfer.from()).await;
        // It may have been taken before: whether it is good cannot be said, nor what became of it.
        let has_code = has_code.map_err(|error| Rejection::in_doubt(&error))?;
        let shown = Undeployed::shown(signature);
        let kept = match (has_code, Undeployed::parse(signature)) {
            (Some(true), _) => shown,
            (None, _) => signature,
            (Some(false), Some(wallet)) if self.may_deploy(&wallet, payment) => signature,
            (Some(false), Some(_)) => return Err(Error::Undeployed.into()),
            (Some(false), None) => return Err(error.into()),
        };
        Ok((requirements.check_wallet(payment, shown, moment)?, kept.to_vec()))
    }

    /// Refuses a new payment that could not be settled now for what lies with us: nothing is recorded of it.
    pub(super) async fn is_ready(&self, entry: &Entry) -> Result<(), Rejection> {
        match self.rail(entry.payment.chain_id())?.ready(entry, self.now()).await {
            true => Ok(()),
            false => Err(Refusal::Unavailable.into()),
        }
    }

    /// What is said of a payment that is not recorded, and too late or too early, or of another amount: of time
    /// nothing, where the clock may be wrong.
    pub(super) async fn out_of_time(&self, id: PaymentId, error: Error) -> Refusal {
        let is_of_time = matches!(error, Error::Expired | Error::NotYetValid);
        match self.rail(id.chain_id) {
            Ok(rail) if is_of_time && !rail.is_on_time(self.now()).await => Refusal::Unavailable,
            _ => error.into(),
        }
    }

    /// Whether a wallet is deployed for its payer. By `upto`, only the account itself may settle, and
    /// Multicall3 is another.
    fn may_deploy(&self, wallet: &Undeployed<'_>, payment: &Payment) -> bool {
        let factories = &self.options.wallet_factories;
        payment.transfer.facilitator().is_none() && factories.contains(&wallet.factory)
    }
}
