mod patience;
mod verdict;

use std::sync::Arc;

use x402_core::state::State;
use x402_core::wire::PaymentFlow;
use x402_core::{Address, Amount, Error, Offer, TransferMethod};

use super::{Caller, Facilitator, Request, SettleAnswer};
use crate::BoxFuture;
use crate::chain::{Chain, ChainError, Outcome, Sent, Settlement, TxHash};
use crate::config::OwnedAsset;
use crate::ledger::{Entry, Step};
use crate::seller::{Clock, Found, Rail, Rejection, Steps};
use crate::seller::{find_use, record, since, system_time};
use patience::Patience;
use verdict::{believable, fault, is_final, is_final_after_the_end};

/// Has the money moved by a facilitator, who pays for the gas.
///
/// A facilitator is believed only where its answer fits what it was asked: network, payer, amount, and
/// a transaction that has the form of one. With a chain to look at ([`Entrusted::confirmed_by`]), it is
/// not believed at all: the chain must show the log that paid, or prove that none will.
///
/// Without one, its word counts: that the money moved; that it did not, where it was asked for the first
/// time; and once the authorization has ended, any refusal that does not say that it was used. It is
/// asked again, with growing pauses, a bounded number of times.
pub struct Entrusted {
    facilitator: Arc<dyn Facilitator>,
    assets: Vec<OwnedAsset>,
    /// What offers say of how long an authorization is to be valid, in seconds, in ascending order.
    timeouts: Vec<u32>,
    chain: Option<Arc<dyn Chain>>,
    clock: Clock,
    patience: Patience,
}

/// What a chain shows of a payment.
enum Shown {
    /// This transaction has moved the money, which is recorded.
    Settled(TxHash),
    /// It has not moved, and will not.
    Ended(Error),
    /// Neither is known.
    Open,
}

impl Entrusted {
    /// By this facilitator, in these tokens.
    #[must_use]
    pub fn new(facilitator: Arc<dyn Facilitator>, assets: Vec<OwnedAsset>) -> Self {
        Self {
            facilitator,
            assets,
            timeouts: Vec::new(),
            chain: None,
            clock: Arc::new(system_time),
            patience: Patience::default(),
        }
    }

    /// Looks on the chain whether what the facilitator says is so.
    #[must_use]
    pub fn confirmed_by(self, chain: Arc<dyn Chain>) -> Self {
        Self { chain: Some(chain), ..self }
    }

    /// The timeouts of the offers that are paid by this facilitator
    /// ([`Requirements::max_timeout_seconds`](x402_core::Requirements::max_timeout_seconds)): it is told
    /// the one of the offer. Without them, it is told how long the authorization was valid when it came.
    #[must_use]
    pub fn with_timeouts(self, mut timeouts: Vec<u32>) -> Self {
        timeouts.sort_unstable();
        timeouts.dedup();
        Self { timeouts, ..self }
    }

    /// With another clock than the system's.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// The request for an entry, the same every time: it follows from the entry alone.
    fn request(&self, entry: &Entry) -> Option<Request> {
        let payment = &entry.payment;
        let asset = self.assets.iter().find(|asset| asset.address == payment.asset())?;
        let transfer = payment.transfer();
        let timeout = self.timeout(entry);
        let offer = Offer::new(asset.as_asset(), transfer.to(), payment.amount(), timeout);
        let offer = match (transfer.method(), transfer.facilitator()) {
            (TransferMethod::Eip3009, _) => offer,
            (_, None) => offer.by_permit2(),
            (_, Some(facilitator)) => offer.up_to(facilitator),
        };
        Some(Request::of(payment, &entry.wallet_signature, &offer, PaymentFlow::Authorization))
    }

    /// The timeout of the offer that was paid for: buyers sign to its end, counted from then on, so it is
    /// the least that is not less than what was left when the payment came.
    fn timeout(&self, entry: &Entry) -> u32 {
        let left = valid_before(entry).saturating_sub(entry.claimed_at);
        let left = u32::try_from(left).unwrap_or(u32::MAX).max(1);
        let offered = self.timeouts.iter().find(|timeout| **timeout >= left);
        *offered.or(self.timeouts.last()).unwrap_or(&left)
    }

    async fn ask(&self, entry: &Entry) -> Result<(), ChainError> {
        let unavailable = |why: &str| ChainError::Unavailable(why.to_owned());
        let request = self.request(entry).ok_or_else(|| unavailable("no such token"))?;
        let answer = self.facilitator.verify(&request).await;
        let answer = answer.map_err(|error| ChainError::Unavailable(error.to_string()))?;
        let Some(reason) = answer.reason else {
            let is_his = answer.payer.is_none_or(|payer| payer == entry.payment.payer());
            return is_his.then_some(()).ok_or_else(|| unavailable("it names another payer"));
        };
        tracing::debug!(payment = %entry.id(), %reason, message = answer.message, "refused");
        match fault(&reason) {
            Some(error) => Err(ChainError::Refused(error)),
            None => Err(ChainError::Unavailable(format!("the facilitator refuses: {reason}"))),
        }
    }

    /// Has it settled.
    async fn send(
        &self,
        entry: &Entry,
        steps: &Steps<'_>,
        is_first: bool,
    ) -> Result<TxHash, Rejection> {
        let Some(request) = self.request(entry) else {
            return pending(entry, steps, None).await;
        };
        // The ledger serves a payment once: whatever is asked for it is the same call again. No seller of
        // a service's has a name with spaces.
        let caller = Caller::named("in this process").with_key(&entry.id().to_bytes());
        let request = request.by(caller);
        let answer = match self.facilitator.settle(&request).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(payment = %entry.id(), %error, "not settled");
                return self.look(entry, steps, None).await;
            }
        };
        if answer.reason.is_some() {
            return self.refused(entry, steps, &answer, is_first).await;
        }
        match believable(&answer, entry) {
            Ok(hash) => self.believe(entry, steps, hash).await,
            Err(why) => {
                tracing::error!(payment = %entry.id(), why, "the facilitator is not believed");
                self.look(entry, steps, None).await
            }
        }
    }

    /// The facilitator says that the money has moved.
    async fn believe(
        &self,
        entry: &Entry,
        steps: &Steps<'_>,
        hash: TxHash,
    ) -> Result<TxHash, Rejection> {
        if self.chain.is_some() {
            return self.look(entry, steps, Some(hash)).await;
        }
        self.patience.end(entry.id());
        steps.settle_by_word(hash).await
    }

    /// The facilitator says that it has not moved. What it refuses when it is asked for the first time, it
    /// has not done; later that is no proof: it may have been done before, by the request whose answer was
    /// lost. With a chain, none of it is.
    async fn refused(
        &self,
        entry: &Entry,
        steps: &Steps<'_>,
        answer: &SettleAnswer,
        is_first: bool,
    ) -> Result<TxHash, Rejection> {
        let reason = answer.reason.as_deref().unwrap_or_default();
        tracing::warn!(payment = %entry.id(), reason, message = answer.message, "not settled");
        let is_final = is_first && is_final(reason);
        let is_over = is_final || self.has_ended(entry) && is_final_after_the_end(reason);
        if self.chain.is_none() && is_over {
            let error = fault(reason).unwrap_or(Error::Simulation);
            return self.failed(entry, steps, error, answer.transaction).await;
        }
        self.look(entry, steps, answer.transaction).await
    }

    /// Whether the authorization ended so long ago that nobody moves anything by it any more.
    fn has_ended(&self, entry: &Entry) -> bool {
        const LAST_BLOCKS_SECONDS: u64 = 600;
        valid_before(entry).saturating_add(LAST_BLOCKS_SECONDS) < (self.clock)()
    }

    /// The money has not moved and will not.
    async fn failed(
        &self,
        entry: &Entry,
        steps: &Steps<'_>,
        error: Error,
        transaction: Option<TxHash>,
    ) -> Result<TxHash, Rejection> {
        match entry.state {
            State::Failed => {}
            State::Worked => steps.take(Step::Refused).await?,
            _ => steps.take(Step::Reverted).await?,
        }
        self.patience.refuse(entry.id(), error);
        let payer = Some(entry.payment.payer());
        Err(Rejection { transaction, payer, ..error.into() })
    }

    /// Looks on the chain, where there is one to look at; without, it stays unknown.
    async fn look(
        &self,
        entry: &Entry,
        steps: &Steps<'_>,
        transaction: Option<TxHash>,
    ) -> Result<TxHash, Rejection> {
        match self.shown(entry, steps, transaction).await? {
            Shown::Settled(hash) => Ok(hash),
            Shown::Ended(error) => self.failed(entry, steps, error, transaction).await,
            Shown::Open => pending(entry, steps, transaction).await,
        }
    }

    /// What the chain shows, which is recorded where it has paid.
    async fn shown(
        &self,
        entry: &Entry,
        steps: &Steps<'_>,
        transaction: Option<TxHash>,
    ) -> Result<Shown, Rejection> {
        let Some(chain) = &self.chain else { return Ok(Shown::Open) };
        if let Some(settlement) = by_transaction(&**chain, entry, transaction).await
            && let Ok(hash) = record(&**chain, entry, steps, settlement, false).await
        {
            self.patience.end(entry.id());
            return Ok(Shown::Settled(hash));
        }
        Ok(match find_use(&**chain, entry, steps, since(entry)).await {
            Found::Settled(hash) => {
                self.patience.end(entry.id());
                Shown::Settled(hash)
            }
            Found::Ended(error) => Shown::Ended(error),
            Found::Unused | Found::Undecided(_) | Found::Unknown => Shown::Open,
        })
    }

    /// A payment that has failed is presented again: it is refused as before, unless somebody has used it
    /// after all.
    async fn refuse_again(&self, entry: &Entry) -> Rejection {
        let error = match self.patience.refusal(entry.id()) {
            Some(error) => error,
            None => match self.ask(entry).await {
                Err(ChainError::Refused(error)) => {
                    self.patience.refuse(entry.id(), error);
                    error
                }
                _ if self.has_ended(entry) => Error::Expired,
                _ => Error::Simulation,
            },
        };
        Rejection { payer: Some(entry.payment.payer()), ..error.into() }
    }
}

/// What the transaction moved that the facilitator names. Whose calldata it has, nobody of ours knows.
async fn by_transaction(
    chain: &dyn Chain,
    entry: &Entry,
    transaction: Option<TxHash>,
) -> Option<Settlement> {
    let sent = Sent { hash: transaction?, is_own: false, taken: &[] };
    match chain.outcome(&entry.payment, sent).await {
        Ok(Outcome::Settled(_, log)) => Some(Settlement { transaction: sent.hash, log: Some(log) }),
        Ok(_) | Err(_) => None,
    }
}

/// It is not known what became of it.
async fn pending(
    entry: &Entry,
    steps: &Steps<'_>,
    transaction: Option<TxHash>,
) -> Result<TxHash, Rejection> {
    if entry.state == State::Broadcast
        && let Err(error) = steps.apply(Step::TimedOut).await
    {
        tracing::warn!(payment = %entry.id(), %error, "the ledger does not take it down");
    }
    Err(Rejection::pending_by(entry, transaction))
}

fn valid_before(entry: &Entry) -> u64 {
    entry.payment.transfer().valid_before().to_secs().unwrap_or(u64::MAX)
}

impl Rail for Entrusted {
    fn chain(&self) -> Option<&dyn Chain> {
        self.chain.as_deref()
    }

    fn has_code(&self, address: Address) -> BoxFuture<'_, Result<Option<bool>, ChainError>> {
        Box::pin(async move {
            match &self.chain {
                Some(chain) => chain.has_code(address).await.map(Some),
                // The facilitator knows, and is asked about the payment anyway.
                None => Ok(None),
            }
        })
    }

    fn block_seconds(&self) -> u64 {
        self.chain.as_ref().map_or(0, |chain| chain.block_seconds())
    }

    fn token_balance(
        &self,
        asset: Address,
        account: Address,
    ) -> BoxFuture<'_, Result<Option<Amount>, ChainError>> {
        Box::pin(async move {
            match &self.chain {
                Some(chain) => chain.token_balance(asset, account).await.map(Some),
                None => Ok(None),
            }
        })
    }

    fn verify<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<(), ChainError>> {
        Box::pin(self.ask(entry))
    }

    fn settle<'a>(
        &'a self,
        entry: &'a Entry,
        steps: &'a Steps<'a>,
    ) -> BoxFuture<'a, Result<TxHash, Rejection>> {
        Box::pin(async move {
            // Recorded before it is asked: from here on the money may move.
            steps.take(Step::Entrusted).await?;
            // From where it stands now: what has failed before may fail again.
            let entry = Entry { state: State::Broadcast, ..entry.clone() };
            self.send(&entry, steps, true).await
        })
    }

    fn follow<'a>(
        &'a self,
        entry: &'a Entry,
        steps: &'a Steps<'a>,
    ) -> BoxFuture<'a, Result<TxHash, Rejection>> {
        Box::pin(async move {
            match self.shown(entry, steps, None).await? {
                Shown::Settled(hash) => return Ok(hash),
                Shown::Ended(error) => return self.failed(entry, steps, error, None).await,
                Shown::Open => {}
            }
            let may_ask = || self.patience.asks(entry.id());
            match entry.state {
                State::Worked => self.settle(entry, steps).await,
                State::Failed if !entry.is_unpaid() => Err(self.refuse_again(entry).await),
                State::Failed if may_ask() => self.settle(entry, steps).await,
                State::Failed => Err(self.refuse_again(entry).await),
                _ if may_ask() => self.send(entry, steps, false).await,
                _ => pending(entry, steps, None).await,
            }
        })
    }
}
