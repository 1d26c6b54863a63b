//! Payments that were taken and served without this ledger: by a device that has no chain.

use std::sync::Arc;

use x402_core::state::State;
use x402_core::{Claimed, Error, Payment, PaymentId, Refusal, Requirements, SignatureError};

use super::pledge::keep;
use super::resolve::Held;
use super::{Rejection, Seller, new_entry};
use crate::chain::TxHash;
use crate::ledger::{Answer, Claiming, Entry, LedgerError, RequestId, Settle};

/// A payment that was handed out, judged and good: it may be imported.
#[derive(Clone, Debug)]
pub struct Import {
    payment: Claimed,
    /// What is to be recorded; `None` where the ledger has the payment.
    pub(super) entry: Option<Entry>,
}

impl Import {
    /// Which payment it is.
    #[must_use]
    pub const fn id(&self) -> PaymentId {
        self.payment.id()
    }
}

/// What became of a payment that was imported.
#[derive(Clone, Copy, Debug)]
pub struct Imported {
    /// Which payment it is.
    pub id: PaymentId,
    /// Whether the ledger had it before, so that nothing was done.
    pub was_known: bool,
    /// Where it stands.
    pub standing: Standing,
}

/// Where an imported payment stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// Nobody knows yet, or nothing was sent yet; [`Seller::resolve_open`] goes on with it.
    Pending(Option<TxHash>),
    /// The chain does not take it. It was served all the same: its payer owes it.
    Refused(Refusal),
    /// This transaction moved the money.
    Settled(TxHash),
    /// It was taken here for another request, too, which has its answer or is owed it: of the two sales one is
    /// paid at most, by this transaction if it is known.
    SoldTwice(Option<TxHash>),
}

impl Seller {
    /// Judges a payment that was handed out by whoever took and served it, as if it came in a request:
    /// the terms but for the amount, which is what was signed; the time; the signature of a key. Of a
    /// payment that the ledger has already, the time is no matter.
    ///
    /// # Errors
    ///
    /// [`Rejection`]: as [`Requirements::check`] has it, or [`Error::AuthorizationUsed`] where the
    /// ledger has another payment of the same nonce.
    pub async fn examine(
        &self,
        handed_out: &Claimed,
        requirements: &Requirements,
    ) -> Result<Import, Rejection> {
        let payment = presented(handed_out);
        let amount = payment.transfer.value();
        let requirements = Requirements { amount, ..*requirements };
        let recover = &*self.options.recover;
        let id = requirements.identify(&payment, &recover)?;
        let known = self.ledger.find(id).await;
        let known = known.map_err(|error| Rejection::unavailable(&error))?;
        match known {
            Some(entry) if entry.payment.transfer() != handed_out.transfer() => {
                return Err(Error::AuthorizationUsed.into());
            }
            Some(entry) if !is_broken_off(&entry) => {
                return Ok(Import { payment: *handed_out, entry: None });
            }
            _ => {}
        }
        let moment = self.moment(requirements.chain_id);
        let checked = requirements.check(&payment, &moment, &recover)?;
        let checked = checked.of_amount(handed_out.amount())?;
        let entry = new_entry(checked, Vec::new(), request(), &moment)?;
        let entry = Some(Entry { settle: Settle::Later, ..entry });
        Ok(Import { payment: *handed_out, entry })
    }

    /// Records payments as served and owed, whatever their payers may owe here, and settles them in
    /// batches. Says what became of each, in their order.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; what was recorded until then stays, and the same again goes on from there.
    pub async fn import(
        self: &Arc<Self>,
        imports: &[Import],
    ) -> Result<Vec<Imported>, LedgerError> {
        let mut are_new = Vec::with_capacity(imports.len());
        for batch in imports.chunks(self.options.later.max_batch.max(1)) {
            for import in batch {
                are_new.push(self.take_in(import).await?);
            }
            self.close_tab().await;
        }
        let mut imported = Vec::with_capacity(imports.len());
        for (import, is_new) in imports.iter().zip(are_new) {
            let (id, standing) = (import.id(), self.standing(&import.payment).await?);
            imported.push(Imported { id, was_known: !is_new, standing });
        }
        Ok(imported)
    }

    /// Records a payment and puts it on the tab; `false` where it was recorded before.
    async fn take_in(self: &Arc<Self>, import: &Import) -> Result<bool, LedgerError> {
        let Some(entry) = &import.entry else { return Ok(false) };
        let guard = self.working.enter(&self.ledger, entry.id()).await?;
        let Some(guard) = guard else { return Ok(false) };
        let entry = match self.ledger.claim(entry.clone()).await? {
            Claiming::New(_) => entry.clone(),
            Claiming::Known(known) if is_broken_off(&known) => *known,
            Claiming::Known(_) | Claiming::Taken => return Ok(false),
        };
        let amount = entry.payment.amount();
        let entry = keep(&*self.ledger, entry, answer(), amount).await?;
        self.put_on_tab(Held { entry, guard });
        Ok(true)
    }

    async fn standing(&self, payment: &Claimed) -> Result<Standing, LedgerError> {
        let entry = self.ledger.find(payment.id()).await?.ok_or(LedgerError::Missing)?;
        if entry.payment.transfer() != payment.transfer() {
            return Ok(Standing::Refused(Error::AuthorizationUsed.into()));
        }
        let is_nothing =
            entry.answer.is_none() && matches!(entry.state, State::Claimed | State::Failed);
        if entry.request != request() && !is_nothing {
            return Ok(Standing::SoldTwice(entry.settled_by()));
        }
        if let Some(hash) = entry.settled_by() {
            return Ok(Standing::Settled(hash));
        }
        let pending = Standing::Pending(entry.transaction.as_ref().map(|sent| sent.hash));
        if entry.state != State::Failed {
            return Ok(pending);
        }
        // The ledger does not keep the reason; the chain still has it.
        Ok(match self.verify_entry(&entry).await {
            Err(Rejection { refusal: refusal @ Refusal::Payment(_), .. }) => {
                Standing::Refused(refusal)
            }
            Ok(()) | Err(_) => pending,
        })
    }
}

/// What an import had claimed when it ended, and did not record as served.
fn is_broken_off(entry: &Entry) -> bool {
    entry.state == State::Claimed && entry.request == request()
}

/// No request that comes over HTTP is this one.
fn request() -> RequestId {
    RequestId::new("", "")
}

/// What was answered is not known here, and is not repeated.
const fn answer() -> Answer {
    Answer { status: 200, headers: Vec::new(), body: None, request_body: Answer::NOT_KNOWN }
}

fn presented(handed_out: &Claimed) -> Payment {
    Payment {
        chain_id: handed_out.chain_id(),
        asset: handed_out.asset(),
        transfer: *handed_out.transfer(),
        // A contract's is not handed out.
        signature: handed_out.signature().copied().ok_or(SignatureError::Length),
    }
}
