use std::sync::Arc;

use x402_core::state::State;
use x402_core::wire::PaymentFlow;
use x402_core::{Address, Amount, Error, Offer, Reason, Refusal, TransferMethod};

use super::{Facilitator, Request, SettleAnswer};
use crate::BoxFuture;
use crate::chain::{Chain, ChainError, Outcome, Sent, Settlement, TxHash, Usage};
use crate::config::OwnedAsset;
use crate::ledger::{Entry, Step};
use crate::seller::{Rail, Rejection, Steps, record, since};

/// Has the money moved by a facilitator, who pays for the gas.
///
/// A facilitator is believed only where its answer fits what it was asked: network, payer, and a
/// transaction that has the form of one. With a chain to look at ([`Entrusted::confirmed_by`]), the
/// transaction's receipt must show the money's arrival too.
pub struct Entrusted {
    facilitator: Arc<dyn Facilitator>,
    assets: Vec<OwnedAsset>,
    chain: Option<Arc<dyn Chain>>,
}

impl Entrusted {
    /// By this facilitator, in these tokens.
    #[must_use]
    pub fn new(facilitator: Arc<dyn Facilitator>, assets: Vec<OwnedAsset>) -> Self {
        Self { facilitator, assets, chain: None }
    }

    /// Looks on the chain whether what the facilitator says is so.
    #[must_use]
    pub fn confirmed_by(self, chain: Arc<dyn Chain>) -> Self {
        Self { chain: Some(chain), ..self }
    }

    /// The request for an entry, the same every time: it follows from the entry alone.
    fn request(&self, entry: &Entry) -> Option<Request> {
        let payment = &entry.payment;
        let asset = self.assets.iter().find(|asset| asset.address == payment.asset())?;
        let transfer = payment.transfer();
        // For as long as it is valid: what the seller had asked for is not of interest any more.
        let offer = Offer::new(asset.as_asset(), transfer.to(), payment.amount(), 3600);
        let offer = match (transfer.method(), transfer.facilitator()) {
            (TransferMethod::Eip3009, _) => offer,
            (_, None) => offer.by_permit2(),
            (_, Some(facilitator)) => offer.up_to(facilitator),
        };
        Some(Request::of(payment, &entry.wallet_signature, &offer, PaymentFlow::Authorization))
    }

    async fn ask(&self, entry: &Entry) -> Result<(), ChainError> {
        let unavailable = |why: &str| ChainError::Unavailable(why.to_owned());
        let request = self.request(entry).ok_or_else(|| unavailable("no such token"))?;
        let answer = self.facilitator.verify(&request).await;
        let answer = answer.map_err(|error| ChainError::Unavailable(error.to_string()))?;
        let Some(reason) = answer.reason else { return Ok(()) };
        tracing::debug!(payment = %entry.id(), %reason, message = answer.message, "refused");
        match fault(&reason) {
            Some(error) => Err(ChainError::Refused(error)),
            None => Err(ChainError::Unavailable(format!("the facilitator refuses: {reason}"))),
        }
    }

    /// Has it settled. What a facilitator refuses when it is asked for the first time, it has not done;
    /// later that is no proof: it may have been done before, by the request whose answer was lost.
    async fn send(
        &self,
        entry: &Entry,
        steps: &Steps<'_>,
        is_first: bool,
    ) -> Result<TxHash, Rejection> {
        let request = self.request(entry).ok_or(Refusal::Unavailable)?;
        let answer = match self.facilitator.settle(&request).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(payment = %entry.id(), %error, "not settled");
                return self.look(entry, steps, None).await;
            }
        };
        let Some(reason) = &answer.reason else {
            return match believable(&answer, entry) {
                Ok(hash) => self.believe(entry, steps, hash).await,
                Err(why) => {
                    tracing::error!(payment = %entry.id(), why, "the facilitator is not believed");
                    self.look(entry, steps, None).await
                }
            };
        };
        tracing::warn!(payment = %entry.id(), %reason, message = answer.message, "not settled");
        if is_final(reason) && (is_first || self.is_unused(entry).await) {
            return self.failed(entry, steps, reason, answer.transaction).await;
        }
        self.look(entry, steps, answer.transaction).await
    }

    /// Whether the chain says that nobody has used the payment.
    async fn is_unused(&self, entry: &Entry) -> bool {
        let Some(chain) = &self.chain else { return false };
        matches!(
            chain.find(&entry.payment, since(entry), &[]).await,
            Ok(Usage::Unused | Usage::Expired)
        )
    }

    /// The facilitator says that the money has moved.
    async fn believe(
        &self,
        entry: &Entry,
        steps: &Steps<'_>,
        hash: TxHash,
    ) -> Result<TxHash, Rejection> {
        match &self.chain {
            // By its word: nobody of ours has seen the log.
            None => steps.settle_by_word(hash).await,
            Some(_) => self.look(entry, steps, Some(hash)).await,
        }
    }

    /// The facilitator says that the money has not moved and will not.
    async fn failed(
        &self,
        entry: &Entry,
        steps: &Steps<'_>,
        reason: &str,
        transaction: Option<TxHash>,
    ) -> Result<TxHash, Rejection> {
        if entry.state != State::Failed {
            steps.take(Step::Reverted).await?;
        }
        let error = fault(reason).unwrap_or(Error::Simulation);
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
        if let Some(chain) = &self.chain {
            if let Some(hash) = transaction
                && let Ok(Outcome::Settled(_, log)) =
                    chain.outcome(&entry.payment, Sent { is_own: false, ..Sent::own(hash) }).await
            {
                let settlement = Settlement { transaction: hash, log: Some(log) };
                return record(&**chain, entry, steps, settlement, false).await;
            }
            let found = chain.find(&entry.payment, since(entry), &[]).await;
            if let Ok(Usage::Settled(_, settlement)) = found {
                return record(&**chain, entry, steps, settlement, false).await;
            }
        }
        steps.take(Step::TimedOut).await?;
        let payer = Some(entry.payment.payer());
        Err(Rejection { refusal: Refusal::Pending, transaction, payer })
    }
}

impl Rail for Entrusted {
    fn has_code(&self, address: Address) -> BoxFuture<'_, Result<Option<bool>, ChainError>> {
        Box::pin(async move {
            match &self.chain {
                Some(chain) => chain.has_code(address).await.map(Some),
                // The facilitator knows, and is asked about the payment anyway.
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
            if let Some(chain) = &self.chain
                && let Ok(Usage::Settled(_, settlement)) =
                    chain.find(&entry.payment, since(entry), &[]).await
            {
                return record(&**chain, entry, steps, settlement, false).await;
            }
            if entry.state == State::Worked || entry.is_unpaid() {
                return self.settle(entry, steps).await;
            }
            self.send(entry, steps, false).await
        })
    }
}

/// The transaction, where the answer is about the payment that was asked for.
fn believable(answer: &SettleAnswer, entry: &Entry) -> Result<TxHash, &'static str> {
    let payment = &entry.payment;
    if answer.chain_id != Some(payment.chain_id()) {
        return Err("it names another network");
    }
    if answer.payer.is_some_and(|payer| payer != payment.payer()) {
        return Err("it names another payer");
    }
    if answer.amount.is_some_and(|amount| amount != payment.amount()) {
        return Err("it names another amount");
    }
    let is_nothing = payment.amount() == Amount::ZERO && payment.transfer().facilitator().is_some();
    match answer.transaction {
        Some(TxHash([0, ..])) if answer.transaction == Some(TxHash([0; 32])) => {
            Err("it names no transaction")
        }
        Some(hash) => Ok(hash),
        None if is_nothing => Ok(TxHash([0; 32])),
        None => Err("it names no transaction"),
    }
}

/// What is the payer's to mend; `None` for everything else, the words that nobody has laid down
/// among them.
fn fault(reason: &str) -> Option<Error> {
    Some(match Reason::parse(reason)? {
        Reason::InsufficientBalance | Reason::InsufficientFunds | Reason::Permit2Balance => {
            Error::Balance
        }
        Reason::NonceAlreadyUsed | Reason::Permit2Nonce => Error::AuthorizationUsed,
        Reason::Permit2Allowance => Error::Allowance,
        Reason::ValidBefore | Reason::Permit2Deadline => Error::Expired,
        Reason::ValidAfter | Reason::Permit2NotYetValid => Error::NotYetValid,
        Reason::ExactSignature | Reason::Permit2Signature | Reason::Signature => Error::Signer,
        Reason::FactoryNotAllowed => Error::Undeployed,
        Reason::NotSupported | Reason::Permit2Proxy => Error::Method,
        Reason::Permit2Simulation | Reason::SimulationFailed => Error::Simulation,
        _ => return None,
    })
}

/// Whether a refusal to settle means that the money has not moved, and by this payment never will.
///
/// That the authorization was used is none: it may have been used by the request before, whose
/// answer was lost.
fn is_final(reason: &str) -> bool {
    match fault(reason) {
        None | Some(Error::AuthorizationUsed | Error::Simulation) => false,
        Some(_) => true,
    }
}
