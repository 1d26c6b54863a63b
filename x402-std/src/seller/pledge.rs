//! Payments that are good and are settled when the work is done.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use x402_core::{Address, Amount, Error, PaymentId, Refusal};

use super::resolve::Held;
use super::{Admission, Guard, Receipt, Rejection, Seller, Steps};
use crate::chain::TxHash;
use crate::ledger::{Answer, Entry, Ledger, LedgerError, OwedAccount, Settle, Step};

/// How long an answer may take at least that is given before the money moves, in seconds.
const ANSWER_SECONDS: u64 = 10;

/// A payment that is checked, recorded, and good as far as the chain knows, and whose money moves after
/// the work.
///
/// Dropped, it stays recorded, and the same request with the same payment is admitted again; where the
/// work is not to be paid for, [`Pledge::release`] it.
#[must_use]
pub struct Pledge {
    seller: Arc<Seller>,
    entry: Entry,
    guard: Guard,
}

impl fmt::Debug for Pledge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pledge").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl Pledge {
    pub(super) const fn new(seller: Arc<Seller>, entry: Entry, guard: Guard) -> Self {
        Self { seller, entry, guard }
    }

    /// Which payment it is.
    #[must_use]
    pub const fn id(&self) -> PaymentId {
        self.entry.id()
    }

    /// Who pays.
    #[must_use]
    pub const fn payer(&self) -> Address {
        self.entry.payment.payer()
    }

    /// How much was signed for.
    #[must_use]
    pub fn amount(&self) -> Amount {
        self.entry.payment.amount()
    }

    /// Whether the answer is given before the money moves.
    #[must_use]
    pub fn is_later(&self) -> bool {
        self.entry.settle == Settle::Later
    }

    /// How long the answer may take at most, from now on: what it costs has to be settled before the
    /// authorization ends.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        let seconds = self.seller.owed_by(&self.entry).saturating_sub(self.seller.now());
        Duration::from_secs(seconds)
    }

    /// Keeps the answer, and moves the money: what the work costs, by the scheme `upto`, or else all that
    /// was signed, of which the rest is the payer's credit. The answer is good to be given when this
    /// returns.
    ///
    /// # Errors
    ///
    /// [`Rejection`]; then the answer must not be given. Where the outcome is not known, the same
    /// request with the same payment is given it once it is.
    pub async fn settle(self, answer: Answer, amount: Amount) -> Result<Receipt, Rejection> {
        let Self { seller, entry, guard } = self;
        let payer = entry.payment.payer();
        // In a task of its own: whoever waits may go away.
        let settled = tokio::spawn(async move {
            let _guard = guard;
            let steps = Steps::new(&*seller.ledger, entry.id());
            let worked = keep(&*seller.ledger, entry, answer, amount).await;
            let entry = worked.map_err(|error| Rejection::in_doubt(&error))?;
            let moved = seller.move_in_time(&entry, &steps).await;
            seller.take_down(&entry, &moved);
            moved
        });
        let transaction = settled.await.unwrap_or_else(|panic| Err(Rejection::in_doubt(&panic)))?;
        Ok(Receipt { payer, transaction: Some(transaction) })
    }

    /// Keeps the answer, which may be given when this returns, and has the money moved together with
    /// others', as by [`Self::settle`].
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; then the answer must not be given, or its end not.
    pub async fn owe(self, answer: Answer, amount: Amount) -> Result<Receipt, LedgerError> {
        let Self { seller, entry, guard } = self;
        let entry = keep(&*seller.ledger, entry, answer, amount).await?;
        let receipt = Receipt { payer: entry.payment.payer(), transaction: None };
        seller.put_on_tab(Held { entry, guard });
        Ok(receipt)
    }

    /// Lets the payment go: nothing is charged, and the same bytes may be presented again.
    pub async fn release(self) {
        Steps::new(&*self.seller.ledger, self.id()).release().await;
        self.seller.under_way.end(&self.entry);
    }
}

pub(super) fn pledged(seller: Arc<Seller>, entry: Entry, guard: Guard) -> Admission {
    Admission::Pledged(Box::new(Pledge::new(seller, entry, guard)))
}

/// Keeps the answer in the ledger, and gives the entry as it is then, but for the body of the answer:
/// many may wait to be settled.
pub(super) async fn keep(
    ledger: &dyn Ledger,
    entry: Entry,
    answer: Answer,
    amount: Amount,
) -> Result<Entry, LedgerError> {
    let Answer { status, request_body, .. } = answer;
    let bare = Answer { status, headers: Vec::new(), body: None, request_body };
    ledger.apply(entry.id(), Step::Worked(answer, amount)).await?;
    entry.after(Step::Worked(bare, amount))?.ok_or(LedgerError::Missing)
}

impl Seller {
    /// Whether a payer is served before the money moves: who owes too much already, or whose
    /// authorization would end too soon, pays first.
    ///
    /// It is asked once the payment is recorded, so that of several at the same time each sees the
    /// others.
    pub(super) async fn trusts(&self, entry: &Entry) -> Result<bool, Rejection> {
        let account = OwedAccount::of(&entry.payment);
        let owed = self.ledger.owes(account).await;
        let owed = owed.map_err(|error| Rejection::unavailable(&error))?;
        for debt in owed.debts {
            self.cover(debt).await?;
        }
        let most = self.options.later.max_owed((account.chain_id, account.asset));
        Ok(owed.sum <= most && self.has_time(entry))
    }

    /// Moves the money of a payment whose work is done, if it has not ended meanwhile: nobody was shown the
    /// signature, so that nothing can come of it then.
    async fn move_in_time(&self, entry: &Entry, steps: &Steps<'_>) -> Result<TxHash, Rejection> {
        let rail = self.rail(entry.payment.chain_id())?;
        let valid_before = entry.payment.transfer().valid_before().to_secs().unwrap_or(u64::MAX);
        if valid_before <= self.now() {
            steps.take(Step::Refused).await?;
            let payer = Some(entry.payment.payer());
            return Err(Rejection { payer, ..Error::Expired.into() });
        }
        let moved = rail.settle(entry, steps).await;
        let margin = u64::from(self.margin_seconds(entry.payment.chain_id()));
        moved.map_err(|rejection| match rejection.refusal {
            // The token does not say why, and the next block may be too late.
            Refusal::Payment(Error::Simulation)
                if valid_before <= self.now().saturating_add(margin) =>
            {
                Rejection { refusal: Error::Expired.into(), ..rejection }
            }
            _ => rejection,
        })
    }

    /// Whether there is time for an answer before a payment has to be owed.
    fn has_time(&self, entry: &Entry) -> bool {
        self.owed_by(entry) > self.now().saturating_add(ANSWER_SECONDS)
    }

    /// When a payment has to be owed at the latest, in Unix seconds, to wait for a batch and be settled by
    /// another one should that fail.
    fn owed_by(&self, entry: &Entry) -> u64 {
        const BATCHES: u64 = 3;
        let options = &self.options;
        let wait = options.later.max_delay.as_secs().saturating_add(1).saturating_mul(BATCHES);
        let margin = self.margin_seconds(entry.payment.chain_id());
        let margin = u64::from(margin).saturating_add(wait);
        let valid_before = entry.payment.transfer().valid_before().to_secs().unwrap_or(u64::MAX);
        valid_before.saturating_sub(margin)
    }

    /// Tries once more to be paid for what was served.
    async fn cover(&self, debt: PaymentId) -> Result<(), Rejection> {
        let _guard = self.enter(debt).await.map_err(|_| Rejection::from(Error::Owing))?;
        let now = self.ledger.find(debt).await;
        let now = now.map_err(|error| Rejection::unavailable(&error))?;
        let now = now.filter(|debt| debt.outstanding() != Amount::ZERO);
        let Some(debt) = now else { return Ok(()) };
        match self.follow(&debt).await {
            Ok(_) => Ok(()),
            Err(rejection) => {
                // What his credit covers is no reason to refuse him.
                let is_set_off = self.is_set_off(debt.id()).await;
                if is_set_off.map_err(|error| Rejection::unavailable(&error))? {
                    return Ok(());
                }
                tracing::info!(payment = %debt.id(), payer = %debt.payment.payer(), "owed still");
                Err(Rejection { transaction: rejection.transaction, ..Error::Owing.into() })
            }
        }
    }
}
