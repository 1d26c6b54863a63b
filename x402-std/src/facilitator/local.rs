use core::time::Duration;
use std::sync::Arc;

use x402_core::TransferMethod;
use x402_core::permit2::{EXACT_PROXY, PERMIT2, UPTO_PROXY};
use x402_core::wire::{FacilitatorRequest, MAX_SIGNATURE_LEN, Network, PaymentRequirements};
use x402_core::wire::{Version, WireError};
use x402_core::{Address, Amount, Asset, ChainId, Error, Reason, Refusal, Requirements, Scheme};

use super::VerifyAnswer;
use super::{Caller, Facilitator, FacilitatorError, KnownSettlement, Request, SettleAnswer};
use super::{Sought, Supported, SupportedKind};
use crate::BoxFuture;
use crate::chain::{Chain, ChainError};
use crate::config::OwnedAsset;
use crate::ledger::Settle;
use crate::seller::{Admission, Presented, Purchase, Rejection, Replay, Seller, Ticket};

/// The engine of a facilitator.
///
/// It settles what its [`Seller`] can take, for whoever is to be paid, in the tokens that are
/// listed. A payment is settled once, for one [`Caller`], and success is said to one of its calls.
pub struct LocalFacilitator {
    seller: Arc<Seller>,
    chains: Vec<ServedChain>,
}

/// A chain that a facilitator settles on.
#[derive(Clone, Debug)]
pub struct ServedChain {
    /// The chain.
    pub chain_id: ChainId,
    /// The account that sends the transactions.
    pub account: Address,
    /// The tokens that are settled: no others are touched.
    pub assets: Vec<OwnedAsset>,
    /// What is settled by: the contracts of each ([`Kind::missing_on`]) have to be on the chain.
    pub kinds: Vec<Kind>,
}

/// A scheme with a method.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `exact` by EIP-3009.
    Eip3009,
    /// `exact` by Permit2.
    Permit2,
    /// `upto` by Permit2.
    Upto,
}

/// How long a second request for the same payment waits for the first, and how often it looks.
const WAIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// A request that was read.
struct Job {
    presented: Presented,
    requirements: Requirements,
    /// How much is to be settled: what `upto` leaves open.
    amount: Amount,
    version: Version,
}

/// A verdict that needs no chain.
struct Objection {
    reason: Reason,
    message: String,
}

impl From<Reason> for Objection {
    fn from(reason: Reason) -> Self {
        Self { reason, message: String::new() }
    }
}

impl LocalFacilitator {
    /// A facilitator that settles on these chains, by a seller that has a rail for each.
    #[must_use]
    pub fn new(seller: Arc<Seller>, chains: Vec<ServedChain>) -> Self {
        Self { seller, chains }
    }

    fn job(&self, request: &FacilitatorRequest<'_>, settles: bool) -> Result<Job, Objection> {
        let FacilitatorRequest { payload, requirements: terms } = request;
        let version = payload.version;
        let scheme = terms.scheme().ok_or(Reason::UnsupportedScheme)?;
        let object = |error: Error| Objection {
            reason: error.facilitator_reason(&scheme, version),
            message: error.to_string(),
        };
        if payload.scheme != terms.scheme {
            return Err(object(Error::Scheme));
        }
        let chain = self.chains.iter().find(|chain| Some(chain.chain_id) == terms.chain_id());
        let chain = chain.ok_or(Reason::InvalidNetwork)?;
        if !chain.kinds.contains(&Kind::of(&scheme)) {
            return Err(Reason::UnsupportedScheme.into());
        }
        if payload.chain_id() != Some(chain.chain_id) {
            return Err(object(Error::Network));
        }
        let asset = chain.asset(terms.asset().ok_or(Reason::InvalidPaymentRequirements)?)?;
        domain(&scheme, terms, &asset)?;
        if let Scheme::Upto { facilitator } = scheme
            && facilitator != chain.account
        {
            return Err(object(Error::Facilitator));
        }
        let payment = payload.payment(asset.address).map_err(object)?;
        let amount = terms.amount().ok_or(Reason::InvalidPaymentRequirements)?;
        // What is settled of a ceiling is not what was signed.
        let is_part = settles && matches!(scheme, Scheme::Upto { .. });
        let requirements = Requirements {
            chain_id: chain.chain_id,
            scheme,
            asset: asset.address,
            pay_to: terms.pay_to().ok_or(Reason::InvalidPaymentRequirements)?,
            amount: if is_part { payment.transfer.value() } else { amount },
            max_timeout_seconds: terms.max_timeout_seconds,
            domain: asset.domain().separator(),
        };
        let mut buffer = [0; MAX_SIGNATURE_LEN];
        let signature = payload.signature(&mut buffer).unwrap_or_default().to_vec();
        Ok(Job {
            presented: Presented { signature, ..Presented::from(payment) },
            requirements,
            amount,
            version,
        })
    }

    async fn judge(&self, request: &Request) -> Result<VerifyAnswer, FacilitatorError> {
        let view = request.view().map_err(unreadable)?;
        let job = match self.job(&view, false) {
            Ok(job) => job,
            Err(Objection { reason, message }) => {
                let reason = Some(reason.as_str().to_owned());
                return Ok(VerifyAnswer { reason, message, payer: payer(&view) });
            }
        };
        let payer = Some(job.presented.payment.transfer.from());
        match self.seller.verify(&job.presented, &job.requirements).await {
            Ok(()) => Ok(VerifyAnswer { payer, ..VerifyAnswer::default() }),
            Err(rejection) => {
                let (reason, message) = job.words(&rejection, Reason::UnexpectedVerifyError);
                Ok(VerifyAnswer { reason: Some(reason), message, payer })
            }
        }
    }

    async fn move_money(&self, request: &Request) -> Result<SettleAnswer, FacilitatorError> {
        let view = request.view().map_err(unreadable)?;
        let mut answer = SettleAnswer {
            version: view.payload.version,
            reason: None,
            message: String::new(),
            transaction: None,
            chain_id: view.requirements.chain_id(),
            payer: payer(&view),
            amount: None,
        };
        let job = match self.job(&view, true) {
            Ok(job) => job,
            Err(Objection { reason, message }) => {
                answer.reason = Some(reason.as_str().to_owned());
                answer.message = message;
                return Ok(answer);
            }
        };
        if matches!(job.requirements.scheme, Scheme::Upto { .. }) {
            answer.amount = Some(job.amount);
            if job.amount == Amount::ZERO {
                return Ok(self.settle_nothing(&job, answer).await);
            }
        }
        let caller = request.caller();
        match self.admit(&job, caller).await {
            Ok(Admission::Serve(ticket)) => say_success(ticket, caller, &mut answer).await,
            Ok(Admission::Replay(receipt, kept)) => {
                answer.transaction = receipt.transaction;
                if !caller.is_told_by(&kept) {
                    let (reason, message) = job.already_used();
                    (answer.reason, answer.message, answer.amount) = (Some(reason), message, None);
                }
            }
            // Nothing is taken on trust here: it is settled first.
            Ok(Admission::Pledged(_)) => {
                answer.reason = Some(Reason::UnexpectedSettleError.as_str().to_owned());
            }
            Err(rejection) => {
                answer.transaction = rejection.transaction;
                answer.amount = None;
                let (reason, message) = job.words(&rejection, Reason::UnexpectedSettleError);
                (answer.reason, answer.message) = (Some(reason), message);
            }
        }
        Ok(answer)
    }

    /// Nothing is owed of a ceiling: nothing is sent, if the payment is good.
    async fn settle_nothing(&self, job: &Job, mut answer: SettleAnswer) -> SettleAnswer {
        if let Err(rejection) = self.seller.verify(&job.presented, &job.requirements).await {
            let (reason, message) = job.words(&rejection, Reason::UnexpectedSettleError);
            (answer.reason, answer.message, answer.amount) = (Some(reason), message, None);
        }
        answer
    }

    /// Takes the payment; waits where another request for it is being worked on.
    async fn admit(&self, job: &Job, caller: &Caller) -> Result<Admission, Rejection> {
        let deadline = tokio::time::Instant::now() + WAIT;
        loop {
            let Job { presented, requirements, amount, .. } = job;
            let request = caller.request(requirements.pay_to, requirements.asset, *amount);
            // Who calls has neither the payer's secrets nor his key.
            let (amount, settle, replay) = (*amount, Settle::First, Replay::Anyone);
            let purchase = Purchase { request, amount, settle, replay };
            match self.seller.admit_for(presented, requirements, purchase).await {
                Err(Rejection { refusal: Refusal::InFlight, .. })
                    if tokio::time::Instant::now() < deadline =>
                {
                    tokio::time::sleep(LOOK).await;
                }
                admitted => return admitted,
            }
        }
    }
}

/// Success is kept before it is said: of all who ask, one is told. What cannot be kept is not said, and is
/// owed still: the same seller may ask again.
async fn say_success(ticket: Ticket, caller: &Caller, answer: &mut SettleAnswer) {
    answer.transaction = ticket.receipt().transaction;
    let id = ticket.id();
    if let Err(error) = ticket.complete(caller.answer()).await {
        tracing::error!(payment = %id, %error, "settled, and not kept: success is not said");
        answer.reason = Some(Reason::SettlementPending.as_str().to_owned());
        answer.message = "it is settled, and cannot be taken down yet: ask again".to_owned();
        answer.amount = None;
    }
}

impl Job {
    /// Why a second call has no success.
    fn already_used(&self) -> (String, String) {
        let error = Error::AuthorizationUsed;
        let reason = error.facilitator_reason(&self.requirements.scheme, self.version);
        (reason.as_str().to_owned(), "it was settled, and success was said to another call".into())
    }

    fn words(&self, rejection: &Rejection, otherwise: Reason) -> (String, String) {
        let scheme = &self.requirements.scheme;
        let reason = match (rejection.refusal, rejection.transaction) {
            // It was sent, and did nothing.
            (Refusal::Payment(_), Some(_)) => match scheme {
                Scheme::Exact(_) => Reason::TransactionFailed,
                Scheme::Upto { .. } => Reason::UptoTransactionFailed,
            },
            (Refusal::Payment(error), None) => error.facilitator_reason(scheme, self.version),
            (Refusal::Conflict | Refusal::Returned | Refusal::Served | Refusal::Unproven, _) => {
                Error::AuthorizationUsed.facilitator_reason(scheme, self.version)
            }
            // Without a hash it is no `settlement_pending`.
            (Refusal::Pending, Some(_)) => Reason::SettlementPending,
            _ => otherwise,
        };
        (reason.as_str().to_owned(), rejection.refusal.to_string())
    }
}

impl Kind {
    /// The contracts that it needs on a chain, beside the token.
    #[must_use]
    pub const fn contracts(self) -> &'static [Address] {
        match self {
            Self::Eip3009 => &[],
            Self::Permit2 => &[PERMIT2, EXACT_PROXY],
            Self::Upto => &[PERMIT2, UPTO_PROXY],
        }
    }

    /// The first of [`Self::contracts`] that has no code on a chain: payments of this kind would revert
    /// there, or do nothing.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unavailable`].
    pub async fn missing_on(self, chain: &dyn Chain) -> Result<Option<Address>, ChainError> {
        for contract in self.contracts() {
            if !chain.has_code(*contract).await? {
                return Ok(Some(*contract));
            }
        }
        Ok(None)
    }

    /// Its name in a facilitator's file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eip3009 => "exact",
            Self::Permit2 => "permit2",
            Self::Upto => "upto",
        }
    }

    const fn of(scheme: &Scheme) -> Self {
        match scheme {
            Scheme::Exact(TransferMethod::Permit2) => Self::Permit2,
            Scheme::Exact(_) => Self::Eip3009,
            Scheme::Upto { .. } => Self::Upto,
        }
    }
}

impl ServedChain {
    fn asset(&self, address: Address) -> Result<Asset<'_>, Objection> {
        let asset = self.assets.iter().find(|asset| asset.address == address);
        asset.map(OwnedAsset::as_asset).ok_or_else(|| Objection {
            reason: Reason::InvalidPaymentRequirements,
            message: "the token is not one of those that are settled here".to_owned(),
        })
    }

    fn supported(&self) -> impl Iterator<Item = SupportedKind> + '_ {
        let kind = |version: Version, scheme: &str, facilitator| SupportedKind {
            version: version.number().into(),
            scheme: scheme.to_owned(),
            network: Network(version, self.chain_id).to_string(),
            facilitator,
        };
        let has = |kind| self.kinds.contains(&kind);
        let exact =
            (has(Kind::Eip3009) || has(Kind::Permit2)).then(|| kind(Version::V2, "exact", None));
        let v1 = (has(Kind::Eip3009) && self.chain_id.name().is_some())
            .then(|| kind(Version::V1, "exact", None));
        let upto = has(Kind::Upto).then(|| kind(Version::V2, "upto", Some(self.account)));
        [exact, v1, upto].into_iter().flatten()
    }
}

/// The terms have to name the token's domain, and as it is: a buyer signs what they say.
fn domain(
    scheme: &Scheme,
    terms: &PaymentRequirements<'_>,
    asset: &Asset<'_>,
) -> Result<(), Objection> {
    if *scheme != Scheme::Exact(TransferMethod::Eip3009) {
        return Ok(());
    }
    let [name, version] = ["name", "version"].map(|key| terms.extra_text(key));
    let (Some(name), Some(version)) = (name, version) else {
        return Err(Reason::MissingDomain.into());
    };
    if name != *asset.name {
        return Err(Reason::TokenName.into());
    }
    if version != *asset.version {
        return Err(Reason::TokenVersion.into());
    }
    Ok(())
}

fn payer(request: &FacilitatorRequest<'_>) -> Option<Address> {
    let payment = request.payload.payment(Address::ZERO).ok()?;
    Some(payment.transfer.from())
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreadable(error: WireError) -> FacilitatorError {
    FacilitatorError::Unavailable(error.to_string())
}

impl Facilitator for LocalFacilitator {
    fn verify<'a>(
        &'a self,
        request: &'a Request,
    ) -> BoxFuture<'a, Result<VerifyAnswer, FacilitatorError>> {
        Box::pin(self.judge(request))
    }

    fn settle<'a>(
        &'a self,
        request: &'a Request,
    ) -> BoxFuture<'a, Result<SettleAnswer, FacilitatorError>> {
        Box::pin(self.move_money(request))
    }

    fn settlements<'a>(
        &'a self,
        sought: &'a Sought,
        caller: &'a Caller,
    ) -> BoxFuture<'a, Result<Vec<KnownSettlement>, FacilitatorError>> {
        Box::pin(async move {
            let entries = sought.find(&self.seller).await;
            let entries =
                entries.map_err(|error| FacilitatorError::Unavailable(error.to_string()))?;
            let known = entries.iter().filter(|entry| KnownSettlement::is_of(caller, entry));
            Ok(known.map(KnownSettlement::of).collect())
        })
    }

    fn supported(&self) -> BoxFuture<'_, Result<Supported, FacilitatorError>> {
        let kinds = self.chains.iter().flat_map(ServedChain::supported).collect();
        let accounts: Vec<_> = self.chains.iter().map(|chain| chain.account.to_string()).collect();
        let mut unique: Vec<String> = Vec::new();
        for account in accounts {
            if !unique.contains(&account) {
                unique.push(account);
            }
        }
        let signers = vec![("eip155:*".to_owned(), unique)];
        Box::pin(async move { Ok(Supported { kinds, extensions: Vec::new(), signers }) })
    }
}
