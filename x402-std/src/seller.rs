/*!
Takes a payment from its check to its answer, so that it is never served twice and never lost.

[`Seller::admit`] is the whole way to the money's arrival; it runs in a task of its own, so that a
client who goes away changes nothing. It gives a [`Ticket`] — the right to do the work once — or the
answer that was given before, or a [`Rejection`]. [`Seller::resolve_open`] is for after a crash: it
asks the chain what became of everything that was under way.
*/

mod working;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;
use std::time::SystemTime;

use x402_core::secp256k1::K256;
use x402_core::state::State;
use x402_core::{Address, Checked, Claimed, Error, Moment, Payment, PaymentId, Recover};
use x402_core::{Refusal, Requirements};

use crate::BoxFuture;
use crate::chain::{Chain, ChainError, Journal, Outcome, Transaction, TxHash, Usage};
use crate::ledger::{Answer, Claiming, Entry, Ledger, LedgerError, RequestId, Step};
use working::{Guard, Working};

/// What tells a seller the time, in Unix seconds.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How a seller goes about it.
#[derive(Clone)]
pub struct SellerOptions {
    /// How long a request waits for the money's arrival before it is answered "pending".
    pub settle_timeout: Duration,
    /// How many seconds before its end an authorization is refused.
    pub margin_seconds: u32,
    /// How often, at most and at least, the chain is asked for a receipt; the pause doubles.
    pub poll: (Duration, Duration),
    /// The clock.
    pub clock: Clock,
    /// Who recovers signers.
    pub recover: Arc<dyn Recover + Send + Sync>,
}

impl Default for SellerOptions {
    fn default() -> Self {
        Self {
            settle_timeout: Duration::from_secs(30),
            margin_seconds: Moment::DEFAULT_MARGIN_SECONDS,
            poll: (Duration::from_millis(10), Duration::from_secs(1)),
            clock: Arc::new(system_time),
            recover: Arc::new(K256),
        }
    }
}

impl fmt::Debug for SellerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SellerOptions")
            .field("settle_timeout", &self.settle_timeout)
            .field("margin_seconds", &self.margin_seconds)
            .field("poll", &self.poll)
            .finish_non_exhaustive()
    }
}

fn system_time() -> u64 {
    // A clock before 1970 is as good as none: every payment then looks not yet valid.
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs())
}

/// A seller: a chain to be paid on, and a memory of what was paid.
pub struct Seller {
    ledger: Arc<dyn Ledger>,
    chain: Arc<dyn Chain>,
    options: SellerOptions,
    working: Working,
}

impl fmt::Debug for Seller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seller").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Proof of payment for the payer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// Who paid.
    pub payer: Address,
    /// The transaction that moved the money.
    pub transaction: TxHash,
}

/// What a payment is good for.
#[derive(Debug)]
pub enum Admission {
    /// The work is owed: do it, once.
    Serve(Ticket),
    /// The work was done: give the same answer again, if the request's body is the same
    /// ([`Answer::request_body`]).
    Replay(Receipt, Answer),
}

/// Why a payment is not taken, with what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Rejection {
    /// The reason.
    pub refusal: Refusal,
    /// The transaction whose outcome is not known.
    pub transaction: Option<TxHash>,
    /// The payer, once the signature has proved it.
    pub payer: Option<Address>,
}

impl<R: Into<Refusal>> From<R> for Rejection {
    fn from(refusal: R) -> Self {
        Self { refusal: refusal.into(), transaction: None, payer: None }
    }
}

impl Rejection {
    /// No trace of what failed goes to the payer; the operator reads it in the log.
    fn unavailable(what: &dyn fmt::Display) -> Self {
        tracing::warn!(error = %what, "payments cannot be taken");
        Refusal::Unavailable.into()
    }

    fn pending(entry: &Entry) -> Self {
        let transaction = entry.transaction.as_ref().map(|transaction| transaction.hash);
        let payer = Some(entry.payment.payer());
        Self { refusal: Refusal::Pending, transaction, payer }
    }
}

/// The right and the duty to do the work of a payment that has arrived.
///
/// Dropped without [`Ticket::complete`], the work still is owed: the same request with the same
/// payment is admitted again.
#[derive(Debug)]
#[must_use]
pub struct Ticket {
    seller: Arc<Seller>,
    id: PaymentId,
    receipt: Receipt,
    _guard: Guard,
}

impl Ticket {
    /// Proof of payment for the payer.
    #[must_use]
    pub const fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Which payment it is.
    #[must_use]
    pub const fn id(&self) -> PaymentId {
        self.id
    }

    /// Keeps the answer: the work is done and never done again.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; the payment then counts as not served.
    pub async fn complete(self, answer: Answer) -> Result<(), LedgerError> {
        self.seller.ledger.apply(self.id, Step::Answered(answer)).await
    }
}

impl Seller {
    /// A seller with a ledger and a chain.
    #[must_use]
    pub fn new(
        ledger: Arc<dyn Ledger>,
        chain: Arc<dyn Chain>,
        options: SellerOptions,
    ) -> Arc<Self> {
        Arc::new(Self { ledger, chain, options, working: Working::default() })
    }

    /// Takes a payment for a request, checks it, and sees to it that the money arrives.
    ///
    /// What is wrong with the payment itself is found without asking the chain. From the claim on,
    /// everything happens in a task of its own: this future may be dropped at any time.
    ///
    /// # Errors
    ///
    /// [`Rejection`], with what to tell the payer.
    pub async fn admit(
        self: &Arc<Self>,
        payment: &Payment,
        requirements: &Requirements,
        request: RequestId,
    ) -> Result<Admission, Rejection> {
        let now = (self.options.clock)();
        let margin_seconds = self.options.margin_seconds;
        let moment = Moment { margin_seconds, ..Moment::at(now) };
        let seller = Arc::clone(self);
        let recover = &*self.options.recover;
        let task = match requirements.check(payment, &moment, &recover) {
            Ok(checked) => tokio::spawn(async move { seller.claim(checked, request, now).await }),
            // It may have been accepted when it still was in time, or at another price.
            Err(error @ (Error::Amount | Error::Expired | Error::NotYetValid)) => {
                let Ok(id) = requirements.identify(payment, &recover) else {
                    return Err(error.into());
                };
                tokio::spawn(async move { seller.recall(id, request, error).await })
            }
            Err(error) => return Err(error.into()),
        };
        task.await.unwrap_or_else(|panic| Err(Rejection::unavailable(&panic)))
    }

    async fn claim(
        self: Arc<Self>,
        checked: Checked,
        request: RequestId,
        now: u64,
    ) -> Result<Admission, Rejection> {
        let guard = self.working.enter(checked.id()).ok_or(Refusal::InFlight)?;
        let claiming = self.ledger.claim(&checked, request, now).await;
        match claiming.map_err(|error| Rejection::unavailable(&error))? {
            Claiming::New(claim) => {
                let payment = checked.claimed(claim);
                let payment = payment.map_err(|error| Rejection::unavailable(&error))?;
                tracing::info!(payment = %payment.id(), payer = %payment.payer(), "claimed");
                self.settle(payment, now, guard).await
            }
            Claiming::Known(entry) => self.resume(*entry, request, guard).await,
        }
    }

    async fn recall(
        self: Arc<Self>,
        id: PaymentId,
        request: RequestId,
        error: Error,
    ) -> Result<Admission, Rejection> {
        let guard = self.working.enter(id).ok_or(Refusal::InFlight)?;
        match self.ledger.find(id).await {
            Ok(Some(entry)) => self.resume(entry, request, guard).await,
            Ok(None) => Err(error.into()),
            Err(error) => Err(Rejection::unavailable(&error)),
        }
    }

    /// Goes on with a payment from where it stands.
    async fn resume(
        self: Arc<Self>,
        entry: Entry,
        request: RequestId,
        guard: Guard,
    ) -> Result<Admission, Rejection> {
        if entry.request != request {
            return Err(Refusal::Conflict.into());
        }
        let receipt = entry
            .settled_by
            .map(|transaction| Receipt { payer: entry.payment.payer(), transaction });
        match (entry.state, receipt, entry.answer) {
            (State::Served, Some(receipt), Some(answer)) if answer.body.is_some() => {
                Ok(Admission::Replay(receipt, answer))
            }
            (State::Served, ..) => Err(Refusal::Served.into()),
            (State::Settled, Some(receipt), _) => {
                Ok(self.ticket(entry.payment.id(), receipt, guard))
            }
            (State::Claimed, ..) => self.settle(entry.payment, entry.claimed_at, guard).await,
            (_, _, answer) => {
                let entry = Entry { answer, ..entry };
                let transaction = self.follow(&entry).await?;
                let receipt = Receipt { payer: entry.payment.payer(), transaction };
                Ok(self.ticket(entry.id(), receipt, guard))
            }
        }
    }

    fn ticket(self: Arc<Self>, id: PaymentId, receipt: Receipt, guard: Guard) -> Admission {
        Admission::Serve(Ticket { seller: self, id, receipt, _guard: guard })
    }

    /// Moves the money of a payment of which nothing was sent yet.
    async fn settle(
        self: Arc<Self>,
        payment: Claimed,
        claimed_at: u64,
        guard: Guard,
    ) -> Result<Admission, Rejection> {
        if let Err(error) = self.chain.simulate(&payment).await {
            self.release(payment.id()).await;
            return Err(match error {
                ChainError::Refused(error) => error.into(),
                error => Rejection::unavailable(&error),
            });
        }
        let transaction = self.send(&payment, claimed_at).await?;
        let receipt = Receipt { payer: payment.payer(), transaction };
        Ok(self.ticket(payment.id(), receipt, guard))
    }

    /// Journals and sends a transaction, and waits for the money's arrival.
    async fn send(&self, payment: &Claimed, claimed_at: u64) -> Result<TxHash, Rejection> {
        let id = payment.id();
        let journal = EntryJournal { ledger: &*self.ledger, id };
        match self.chain.broadcast(payment, &journal).await {
            Ok(hash) => tracing::info!(payment = %id, transaction = %hash, "broadcast"),
            Err(ChainError::Unknown(error)) => {
                tracing::warn!(payment = %id, %error, "it is not known whether the chain has it");
            }
            Err(error @ ChainError::Unsent(_)) => return Err(Rejection::unavailable(&error)),
            Err(error) => {
                self.release(id).await;
                return Err(Rejection::unavailable(&error));
            }
        }
        let entry = self.ledger.find(id).await;
        match entry.map_err(|error| Rejection::unavailable(&error))? {
            Some(entry) => self.wait(&Entry { claimed_at, ..entry }).await,
            None => Err(Rejection::unavailable(&LedgerError::Missing)),
        }
    }

    /// Lets the payer present the same bytes again. Where that fails, the entry stays claimed, and
    /// the next attempt goes on from there.
    async fn release(&self, id: PaymentId) {
        if let Err(error) = self.ledger.apply(id, Step::Refused).await {
            tracing::warn!(payment = %id, %error, "not released");
        }
    }

    /// Finds out what became of a payment of which something was sent, and sends it again if the
    /// chain knows nothing of it.
    async fn follow(&self, entry: &Entry) -> Result<TxHash, Rejection> {
        let payment = &entry.payment;
        let Some(transaction) = &entry.transaction else {
            return Err(Rejection::unavailable(&LedgerError::Corrupt));
        };
        match self.chain.outcome(payment, transaction.hash).await {
            Ok(Outcome::Settled(_)) => return self.confirm(entry.id(), transaction.hash).await,
            Ok(Outcome::Reverted) => return self.reverted(entry).await,
            Ok(Outcome::Unknown) => {}
            Err(error) => {
                tracing::warn!(payment = %entry.id(), %error, "the outcome cannot be asked for");
                return Err(Rejection::pending(entry));
            }
        }
        match self.chain.rebroadcast(transaction).await {
            // The transaction cannot be mined any more; another may carry the same authorization,
            // which the token takes at most once.
            Err(ChainError::Unsent(_)) => self.send_anew(entry).await,
            Ok(()) | Err(_) => self.wait(entry).await,
        }
    }

    async fn send_anew(&self, entry: &Entry) -> Result<TxHash, Rejection> {
        match self.chain.find(&entry.payment, since(entry)).await {
            Ok(Usage::Settled(_, hash)) => self.confirm(entry.id(), hash).await,
            Ok(Usage::Unused) => match self.chain.simulate(&entry.payment).await {
                Ok(()) => Box::pin(self.send(&entry.payment, entry.claimed_at)).await,
                Err(ChainError::Refused(error)) => self.fail(entry, error).await,
                Err(_) => Err(Rejection::pending(entry)),
            },
            Ok(Usage::Void) => self.fail(entry, Error::AuthorizationUsed).await,
            Err(_) => Err(Rejection::pending(entry)),
        }
    }

    /// Asks for the receipt until it is there or the time is up.
    async fn wait(&self, entry: &Entry) -> Result<TxHash, Rejection> {
        let Some(transaction) = &entry.transaction else {
            return Err(Rejection::unavailable(&LedgerError::Corrupt));
        };
        let deadline = tokio::time::Instant::now() + self.options.settle_timeout;
        let (mut pause, longest) = self.options.poll;
        loop {
            match self.chain.outcome(&entry.payment, transaction.hash).await {
                Ok(Outcome::Settled(_)) => return self.confirm(entry.id(), transaction.hash).await,
                Ok(Outcome::Reverted) => return self.reverted(entry).await,
                Ok(Outcome::Unknown) => {}
                Err(error) => tracing::warn!(payment = %entry.id(), %error, "no receipt"),
            }
            if tokio::time::Instant::now() + pause > deadline {
                self.step(entry.id(), Step::TimedOut).await?;
                return Err(Rejection::pending(entry));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Our transaction did nothing: somebody else's may have moved the money, or nobody's.
    async fn reverted(&self, entry: &Entry) -> Result<TxHash, Rejection> {
        let error = match self.chain.find(&entry.payment, since(entry)).await {
            Ok(Usage::Settled(_, hash)) => return self.confirm(entry.id(), hash).await,
            Ok(Usage::Void) => Error::AuthorizationUsed,
            Ok(Usage::Unused) => match self.chain.simulate(&entry.payment).await {
                Err(ChainError::Refused(error)) => error,
                Ok(()) | Err(_) => Error::Simulation,
            },
            Err(_) => return Err(Rejection::pending(entry)),
        };
        self.fail(entry, error).await
    }

    async fn fail(&self, entry: &Entry, error: Error) -> Result<TxHash, Rejection> {
        if entry.state != State::Failed {
            self.step(entry.id(), Step::Reverted).await?;
        }
        Err(error.into())
    }

    async fn confirm(&self, id: PaymentId, hash: TxHash) -> Result<TxHash, Rejection> {
        self.step(id, Step::Confirmed(hash)).await?;
        tracing::info!(payment = %id, transaction = %hash, "settled");
        Ok(hash)
    }

    async fn step(&self, id: PaymentId, step: Step) -> Result<(), Rejection> {
        let applied = self.ledger.apply(id, step).await;
        applied.map_err(|error| Rejection::unavailable(&error))
    }

    /// Asks the chain what became of every payment that was under way, and returns how many are
    /// open still.
    ///
    /// To be called when a seller starts, and now and then after: a payment whose outcome was not
    /// known in time is settled here, so that its repetition is served at once. A payment of which
    /// nothing had been sent is left for its payer to repeat.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] where the ledger cannot be read.
    pub async fn resolve_open(self: &Arc<Self>) -> Result<usize, LedgerError> {
        let mut open = 0;
        for entry in self.ledger.open_entries().await? {
            let Some(_guard) = self.working.enter(entry.id()) else {
                continue;
            };
            if entry.state == State::Claimed || self.follow(&entry).await.is_err() {
                open += 1;
            }
        }
        Ok(open)
    }
}

/// From when on, in Unix seconds, a use of the authorization counts as this payment's. Before the
/// claim it was spent on something else; chain and seller may differ by some minutes.
const fn since(entry: &Entry) -> u64 {
    const CLOCK_SKEW_SECONDS: u64 = 300;
    entry.claimed_at.saturating_sub(CLOCK_SKEW_SECONDS)
}

/// The journal of one entry of a ledger.
struct EntryJournal<'a> {
    ledger: &'a dyn Ledger,
    id: PaymentId,
}

impl Journal for EntryJournal<'_> {
    fn record<'a>(
        &'a self,
        transaction: &'a Transaction,
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        self.ledger.apply(self.id, Step::Journalled(transaction.clone()))
    }
}

#[cfg(test)]
mod tests;
