/*!
Takes a payment from its check to its answer, so that it is never served twice and never lost.

[`Seller::admit`] is the whole way to the money's arrival; it runs in a task of its own, so that a
client who goes away changes nothing. It gives a [`Ticket`] — the right to do the work once — or the
answer that was given before, or a [`Rejection`]. Where the money is to move after the work
([`Settle`]), it gives a [`Pledge`] instead: the payment is good and recorded. [`Seller::resolve_open`]
is for after a crash: it asks the chain what became of everything that was under way.

What was paid and not used is the payer's credit: it pays for other requests by [`Seller::draw`], or is
given back by [`Seller::refund`]. What was never served waits for its payer, or is given back, as
[`Seller::unserved`] says.
*/

mod accept;
mod admission;
mod arrival;
mod batch;
mod check;
mod claimant;
mod credit;
mod handed_out;
mod held_back;
mod import;
mod look_up;
mod losses;
mod names;
mod on_chain;
mod options;
mod pledge;
mod rail;
mod recorded;
mod redeem;
mod refund;
mod resolve;
mod set_off;
mod tab;
mod ticket;
mod together;
mod under_way;
mod unsent;
mod unserved;
mod watch;
mod working;

use core::fmt;
use std::sync::Arc;

use x402_core::state::State;
use x402_core::{Address, ChainId, Checked, Error, Moment, PaymentId};
use x402_core::{Refusal, Requirements, Transfer};

use crate::chain::{Chain, ChainError, Settlement, TxHash};
use crate::ledger::{Claiming, DrawId, Entry, Ledger, LedgerError, RequestId, Settle};
use claimant::Claimant;
use held_back::PendingRequests;
use losses::Losses;
use tab::Tab;
use together::Crowd;
use under_way::UnderWay;
use watch::Watched;
use working::{Guard, Working};

pub use accept::AcceptError;
pub use admission::{Admission, Presented, Purchase, Receipt, Rejection, Replay};
pub(crate) use arrival::{Found, find_use, record, since};
pub use claimant::Proof;
pub use credit::{DrawTicket, Drawn};
pub use handed_out::HandedOut;
pub use import::{Import, Imported, Standing};
pub use losses::LossLimits;
pub use names::{DrawRefusal, NamedDraw, RenameRefusal, SignedDraw};
pub use on_chain::OnChain;
pub(crate) use options::system_time;
pub use options::{Clock, Later, SellerOptions, Together};
pub use pledge::Pledge;
use pledge::pledged;
pub use rail::{Moved, Rail, Steps};
use recorded::replay;
pub use refund::{RefundError, Refunded, Refunder};
pub use set_off::SetOff;
pub use ticket::Ticket;

/// A seller: chains to be paid on, and a memory of what was paid.
pub struct Seller {
    ledger: Arc<dyn Ledger>,
    rails: Vec<(ChainId, Arc<dyn Rail>)>,
    options: SellerOptions,
    working: Working,
    tab: Tab,
    crowd: Crowd,
    pending: PendingRequests,
    watched: Watched,
    under_way: UnderWay,
    losses: Losses,
}

impl fmt::Debug for Seller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seller").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Seller {
    /// A seller with a ledger, who is paid on a chain and sends the transactions himself.
    #[must_use]
    pub fn new(
        ledger: Arc<dyn Ledger>,
        chain: Arc<dyn Chain>,
        options: SellerOptions,
    ) -> Arc<Self> {
        let chain_id = chain.chain_id();
        let rail = OnChain::new(chain, options.settle_timeout, options.poll);
        Self::with_rails(ledger, vec![(chain_id, Arc::new(rail))], options)
    }

    /// A seller with a ledger, who is paid on several chains, or by way of a facilitator.
    #[must_use]
    pub fn with_rails(
        ledger: Arc<dyn Ledger>,
        rails: Vec<(ChainId, Arc<dyn Rail>)>,
        options: SellerOptions,
    ) -> Arc<Self> {
        let (working, tab, crowd, under_way, losses) = Default::default();
        let (pending, watched) = Default::default();
        Arc::new(Self {
            ledger,
            rails,
            options,
            working,
            tab,
            crowd,
            pending,
            watched,
            under_way,
            losses,
        })
    }

    fn rail(&self, chain_id: ChainId) -> Result<&dyn Rail, Rejection> {
        let rail = self.rails.iter().find(|(known, _)| *known == chain_id);
        rail.map(|(_, rail)| &**rail).ok_or_else(|| Error::Network.into())
    }

    /// The account that settles payments on a chain, which those of the scheme `upto` are signed for;
    /// `None` where there is no such chain, or others settle.
    #[must_use]
    pub fn settler(&self, chain_id: ChainId) -> Option<Address> {
        self.rail(chain_id).ok()?.settler()
    }

    /// The time, in Unix seconds.
    #[must_use]
    pub fn now(&self) -> u64 {
        (self.options.clock)()
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
        presented: &Presented,
        requirements: &Requirements,
        request: RequestId,
    ) -> Result<Admission, Rejection> {
        let (amount, settle, replay) = (requirements.amount, Settle::First, Replay::Payer);
        let purchase = Purchase { request, amount, settle, replay };
        self.admit_for(presented, requirements, purchase).await
    }

    /// As [`Self::admit`], with the amount and the time of settling as the purchase has them.
    ///
    /// # Errors
    ///
    /// As [`Self::admit`].
    pub async fn admit_for(
        self: &Arc<Self>,
        presented: &Presented,
        requirements: &Requirements,
        purchase: Purchase,
    ) -> Result<Admission, Rejection> {
        let Purchase { request, amount, settle, replay } = purchase;
        let moment = self.moment(requirements.chain_id);
        let seller = Arc::clone(self);
        let task = match self.check(presented, requirements, &moment).await {
            Ok((checked, signature)) => {
                let checked = checked.of_amount(amount)?;
                let entry = new_entry(checked, signature, request, &moment)?;
                let Presented { identifier, secret, .. } = *presented;
                let entry = Entry { identifier, secret, settle, ..entry };
                let by = Claimant::of(presented, requirements, replay);
                tokio::spawn(async move { seller.claim(checked, entry, &by).await })
            }
            // It may have been accepted when it still was in time, or at another price.
            Err(Rejection {
                refusal:
                    Refusal::Payment(error @ (Error::Amount | Error::Expired | Error::NotYetValid)),
                ..
            }) => {
                let recover = &*self.options.recover;
                let Ok(id) = requirements.identify(&presented.payment, &recover) else {
                    return Err(error.into());
                };
                let by = Claimant::of(presented, requirements, replay);
                let signed = presented.payment.transfer;
                tokio::spawn(async move { seller.recall(id, signed, request, error, &by).await })
            }
            Err(rejection) => return Err(rejection),
        };
        let admitted = task.await.unwrap_or_else(|panic| Err(Rejection::in_doubt(&panic)));
        if self.options.holds_back
            && let Err(Rejection { refusal: Refusal::Pending, .. }) = admitted
        {
            self.note_pending(presented, requirements).await;
        }
        admitted
    }

    /// Whether more than a claim of a payment is in the books: something may have moved for it, or its work is
    /// done.
    ///
    /// # Errors
    ///
    /// [`Refusal::InDoubt`] where the ledger cannot say.
    pub async fn has_payment(&self, id: PaymentId) -> Result<bool, Rejection> {
        let found = self.ledger.find(id).await.map_err(|error| Rejection::in_doubt(&error))?;
        Ok(found.is_some_and(|entry| !matches!(entry.state, State::Claimed | State::Failed)))
    }

    /// Whether a draw is in the books, whatever became of it.
    ///
    /// # Errors
    ///
    /// [`Refusal::InDoubt`] where the ledger cannot say.
    pub async fn has_draw(&self, id: DrawId) -> Result<bool, Rejection> {
        let found = self.ledger.find_draw(id).await;
        Ok(found.map_err(|error| Rejection::in_doubt(&error))?.is_some())
    }

    /// Remembers that the outcome of a payment is not known: its payer may not know it, and sign another.
    async fn note_pending(&self, presented: &Presented, requirements: &Requirements) {
        let id = requirements.identify(&presented.payment, &&*self.options.recover);
        let Ok(id) = id else { return };
        if let Ok(Some(entry)) = self.ledger.find(id).await {
            self.pending.note(&entry);
        }
    }

    /// Says whether a payment would be taken, without taking it.
    ///
    /// # Errors
    ///
    /// As [`Self::admit`]; a payment that was taken before is refused.
    pub async fn verify(
        &self,
        presented: &Presented,
        requirements: &Requirements,
    ) -> Result<(), Rejection> {
        let moment = self.moment(requirements.chain_id);
        let (checked, signature) = self.check(presented, requirements, &moment).await?;
        let known = self.ledger.find(checked.id()).await;
        if known.map_err(|error| Rejection::unavailable(&error))?.is_some() {
            return Err(Error::AuthorizationUsed.into());
        }
        let entry = new_entry(checked, signature, RequestId([0; 32]), &moment)?;
        self.is_ready(&entry).await?;
        self.may_lose_by(&entry)?;
        self.verify_entry(&entry).await?;
        self.count_from_before().await?;
        self.covers(&entry, self.under_way_of(&entry)).await
    }

    async fn verify_entry(&self, entry: &Entry) -> Result<(), Rejection> {
        let rail = self.rail(entry.payment.chain_id())?;
        rail.verify(entry).await.map_err(|error| match error {
            ChainError::Refused(error) => error.into(),
            error => Rejection::unavailable(&error),
        })
    }

    /// Takes a payment up, for as long as the guard is there; nobody else works on it then, here or
    /// in another process.
    async fn enter(&self, id: PaymentId) -> Result<Guard, Rejection> {
        let guard = self.working.enter(&self.ledger, id).await;
        let guard = guard.map_err(|error| Rejection::in_doubt(&error))?;
        guard.ok_or_else(|| Refusal::InFlight.into())
    }

    /// The payment, if it is recorded. It is looked for first: of one whose answer was given nobody has to
    /// be kept from it, and a repetition writes nothing, not even a lease.
    async fn known(&self, id: PaymentId) -> Result<Option<Entry>, Rejection> {
        let entry = self.ledger.find(id).await;
        entry.map_err(|error| Rejection::in_doubt(&error))
    }

    async fn claim(
        self: Arc<Self>,
        checked: Checked,
        entry: Entry,
        by: &Claimant,
    ) -> Result<Admission, Rejection> {
        match self.known(checked.id()).await? {
            // Before its turn is taken: nobody who may not have it keeps its payer waiting.
            Some(known) => {
                let known = known.signed_as(&entry)?;
                self.may_have(&known, entry.request, by)?;
                if known.is_given() {
                    return replay(known);
                }
            }
            None => {
                self.hold_back(&entry).await?;
                self.is_ready(&entry).await?;
            }
        }
        let guard = self.enter(checked.id()).await?;
        let claiming = match self.ledger.claim(entry.clone()).await {
            Ok(claiming) => claiming,
            Err(error) => return Err(self.not_claimed(&entry, &error).await),
        };
        match claiming {
            Claiming::New(claim) => {
                let payment = checked.claimed(claim);
                let payment = payment.map_err(|error| Rejection::unavailable(&error))?;
                tracing::info!(payment = %payment.id(), payer = %payment.payer(), "claimed");
                self.begin(entry, guard, by).await
            }
            Claiming::Known(known) => {
                self.resume(known.signed_as(&entry)?, entry.request, guard, by).await
            }
            Claiming::Taken => Err(Refusal::IdentifierTaken.into()),
        }
    }

    /// Whether the ledger says that nothing of a payment was sent.
    async fn is_unsent(&self, id: PaymentId) -> bool {
        let known = self.ledger.find(id).await;
        known.is_ok_and(|known| known.is_none_or(|known| known.state == State::Claimed))
    }

    /// A payment that was taken up could not be recorded: that nothing was charged is said if the ledger does.
    async fn not_claimed(&self, entry: &Entry, error: &LedgerError) -> Rejection {
        match self.is_unsent(entry.id()).await {
            true => Rejection::unavailable(error),
            false => Rejection::in_doubt(error),
        }
    }

    async fn recall(
        self: Arc<Self>,
        id: PaymentId,
        signed: Transfer,
        request: RequestId,
        error: Error,
        by: &Claimant,
    ) -> Result<Admission, Rejection> {
        if let Some(known) = self.known(id).await? {
            let known = known.of(&signed)?;
            self.may_have(&known, request, by)?;
            if known.is_given() {
                return replay(known);
            }
        }
        let guard = self.enter(id).await?;
        match self.ledger.find(id).await {
            Ok(Some(entry)) => self.resume(entry.of(&signed)?, request, guard, by).await,
            Ok(None) => Err(self.out_of_time(id, error).await.into()),
            Err(error) => Err(Rejection::in_doubt(&error)),
        }
    }

    /// Goes on with a payment from where it stands.
    async fn resume(
        self: Arc<Self>,
        entry: Entry,
        request: RequestId,
        guard: Guard,
        by: &Claimant,
    ) -> Result<Admission, Rejection> {
        self.may_have(&entry, request, by)?;
        match entry.state {
            State::Served => replay(entry),
            State::Settled if entry.settlement.is_some() => {
                self.under_way.end(&entry);
                let receipt = entry.receipt();
                Ok(self.ticket(&entry, receipt, guard))
            }
            State::Claimed => self.begin(entry, guard, by).await,
            _ => {
                let transaction = Some(self.follow(&entry).await?);
                let receipt = Receipt { payer: entry.payment.payer(), transaction };
                match &entry.answer {
                    // The work was done before the money moved.
                    Some(_) => {
                        let settlement =
                            transaction.map(|transaction| Settlement { transaction, log: None });
                        replay(Entry { settlement, ..entry })
                    }
                    None => Ok(self.ticket(&entry, receipt, guard)),
                }
            }
        }
    }

    /// Refuses what was paid for to another request, to who does not show to be its payer, and if given back.
    fn may_have(&self, entry: &Entry, request: RequestId, by: &Claimant) -> Result<(), Rejection> {
        if entry.request != request {
            return Err(Refusal::Conflict.into());
        }
        match by.may_have(entry, self) {
            true if entry.returned.is_some() => Err(Refusal::Returned.into()),
            true => Ok(()),
            false => Err(Refusal::Unproven.into()),
        }
    }

    fn ticket(self: Arc<Self>, entry: &Entry, receipt: Receipt, guard: Guard) -> Admission {
        Admission::Serve(Ticket::new(self, entry, receipt, guard))
    }

    /// Goes on with a payment of which nothing was sent yet.
    async fn begin(
        self: Arc<Self>,
        entry: Entry,
        guard: Guard,
        by: &Claimant,
    ) -> Result<Admission, Rejection> {
        let steps = Steps::new(&*self.ledger, entry.id());
        let is_together = self.goes_together(&entry);
        // Who takes what others have settled has to know it before the payment goes with others.
        let is_asked_later = is_together && !self.options.redeems;
        if let Err(rejection) = self.approve(&entry, is_asked_later).await {
            let is_used = rejection.refusal == Refusal::Payment(Error::AuthorizationUsed);
            if is_used && self.options.redeems {
                return Arc::clone(&self).redeem(entry, guard, by).await;
            }
            steps.release().await;
            return Err(rejection);
        }
        if is_together {
            let (guard, hash) = self.settle_together(entry.clone(), guard).await?;
            let receipt = Receipt { payer: entry.payment.payer(), transaction: Some(hash) };
            return Ok(self.ticket(&entry, receipt, guard));
        }
        match entry.settle {
            Settle::First => {}
            Settle::After => return Ok(pledged(self, entry, guard)),
            Settle::Later => match self.trusts(&entry).await {
                Ok(true) => return Ok(pledged(self, entry, guard)),
                Ok(false) => {}
                Err(rejection) => {
                    steps.release().await;
                    return Err(rejection);
                }
            },
        }
        let moved = self.rail(entry.payment.chain_id())?.settle(&entry, &steps).await;
        self.take_down(&entry, &moved);
        let receipt = Receipt { payer: entry.payment.payer(), transaction: Some(moved?) };
        Ok(self.ticket(&entry, receipt, guard))
    }

    /// Goes on with a payment. One that may have been sent together with others is looked for and nothing
    /// else: what is sent again is sent for all of them, by [`Self::resolve_open`].
    async fn follow(&self, entry: &Entry) -> Result<TxHash, Rejection> {
        if self.is_too_old(entry) {
            return Err(Rejection::pending(entry));
        }
        let may_lose = self.may_lose_by(entry).is_ok();
        let steps = Steps::new(&*self.ledger, entry.id()).losing(may_lose);
        let rail = self.rail(entry.payment.chain_id())?;
        let is_sent = matches!(entry.state, State::Broadcast | State::Pending);
        // Also where payments are no longer settled together, but were.
        let is_anothers = entry.transaction.is_some() && !entry.has_bytes();
        let moved = match is_sent && (is_anothers || self.goes_together(entry)) {
            true => rail.look_for(entry, &steps).await,
            false => rail.follow(entry, &steps).await,
        };
        if matches!(moved, Ok(_) | Err(Rejection { refusal: Refusal::Payment(_), .. })) {
            self.under_way.end(entry);
        }
        moved
    }
}

fn new_entry(
    checked: Checked,
    wallet_signature: Vec<u8>,
    request: RequestId,
    moment: &Moment,
) -> Result<Entry, Rejection> {
    let now = moment.now.to_secs().unwrap_or(u64::MAX);
    let entry = Entry::new(&checked, request, now);
    let entry = entry.map_err(|error| Rejection::unavailable(&error))?;
    Ok(Entry { wallet_signature, ..entry })
}

#[cfg(test)]
mod tests;
