//! Facilitators: ours, which buyers' requests reach without a seller before it, and somebody else's, who
//! lies about what he has done.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full};
use tokio::time::sleep;
use x402_core::wire::Version;
use x402_core::{Address, Asset, ChainId, Reason};
use x402_hyper::facilitator::FacilitatorService;
use x402_std::chain::TxHash;
use x402_std::facilitator::{Facilitator, FacilitatorError, Kind, LocalFacilitator, Request};
use x402_std::facilitator::{ServedChain, SettleAnswer, Supported, VerifyAnswer};
use x402_std::{BoxFuture, Seller};

use crate::run::Stage;
use crate::token::{Act, TOKEN, Terms, Use, Word};
use crate::world::{Shared, World, index_of, lock};

/// Our service, over a seller.
pub(crate) fn service(
    seller: &Arc<Seller>,
    account: Address,
    asset: &Asset<'_>,
) -> FacilitatorService {
    let (chain_id, assets) = (ChainId::ETHEREUM, vec![asset.into()]);
    let kinds = vec![Kind::Eip3009, Kind::Permit2];
    let chain = ServedChain { chain_id, account, assets, kinds };
    let engine = LocalFacilitator::new(Arc::clone(seller), vec![chain]);
    FacilitatorService::new(Arc::new(engine), Some(TOKEN_OF_CALLERS))
}

/// Whoever asks has it.
const TOKEN_OF_CALLERS: &str = "a token";

/// How many calls ask for the settlement of a payment, each with a key of its own.
pub(crate) const fn calls_of(index: usize) -> usize {
    if index.is_multiple_of(3) { 3 } else { 1 }
}

impl Stage {
    /// One call: the same request with the same key until it is settled, or refused for good, or another
    /// call was told success.
    pub(crate) async fn buy(
        self: Arc<Self>,
        index: usize,
        call: usize,
        service: FacilitatorService,
    ) {
        let pause = lock(&self.world).random.below(20_000);
        sleep(Duration::from_millis(pause)).await;
        loop {
            let patience = lock(&self.world).patience();
            let request = http::Request::post("/settle")
                .header(AUTHORIZATION, format!("Bearer {TOKEN_OF_CALLERS}"))
                .header("idempotency-key", format!("\"call-{call}\""))
                .header(CONTENT_TYPE, "application/json");
            let body = Full::from(self.requests[index].clone());
            let answer = service.answer(request.body(body).unwrap());
            // The answer's body is whole once its head is there.
            let answer = match tokio::time::timeout(patience, answer).await {
                Ok(answer) => Some(self.told(index, call, answer).await),
                Err(_) => None,
            };
            let Some(pause) = self.judge(index, answer) else { return };
            if lock(&self.world).payments[index].served.is_some() {
                return;
            }
            sleep(Duration::from_millis(pause)).await;
        }
    }

    /// The answer, as a seller would pass it on.
    async fn told(
        &self,
        index: usize,
        call: usize,
        answer: http::Response<Full<bytes::Bytes>>,
    ) -> (StatusCode, bool, bytes::Bytes) {
        let price = crate::run::PRICE;
        let text = format!("payment {index}, settled, costs {price}");
        let (head, body) = answer.into_parts();
        let Ok(body) = body.collect().await;
        if head.status != StatusCode::OK {
            return (head.status, false, text.into());
        }
        let answer = SettleAnswer::parse(&body.to_bytes(), Version::V2).unwrap();
        let Some(reason) = answer.reason.as_deref() else {
            lock(&self.world).is_told_to_be_settled_by(index, call, answer.transaction);
            return (StatusCode::OK, true, text.into());
        };
        tracing::debug!(index, reason, message = answer.message, "not settled");
        // That it was settled for another call is no refusal of the payment.
        let is_anothers = answer.transaction.is_some() && calls_of(index) > 1;
        let is_final = match Reason::parse(reason) {
            None | Some(Reason::SettlementPending | Reason::UnexpectedSettleError) => false,
            Some(Reason::NonceAlreadyUsed | Reason::Permit2Nonce) => !is_anothers,
            Some(_) => true,
        };
        let status =
            if is_final { StatusCode::PAYMENT_REQUIRED } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, is_final, text.into())
    }
}

impl World {
    /// A call is told success, and which transaction has settled.
    fn is_told_to_be_settled_by(&mut self, index: usize, call: usize, transaction: Option<TxHash>) {
        let first = *self.payments[index].told_to.get_or_insert(call);
        if first != call {
            self.violated(format!(
                "I11: success is said for payment {index} to call {first} and to call {call}"
            ));
        }
        let terms = self.payments[index].terms;
        let has_moved = transaction.is_some_and(|hash| self.node.has_moved(hash.0, &terms));
        // One permit's transfer may pay for another's nonce that was burnt beside it, once.
        // What was lost with a chain may have moved again, and not be seen yet.
        let is_told_anew = self.mode.is_by_permit || self.payments[index].was_lost;
        let is_in_chain = self.is_in_chain(index) && !is_told_anew;
        // A chain that has begun again is not looked at before the next time.
        let is_right = has_moved || self.is_paid(index) && !is_in_chain;
        if !is_right && self.counts.restarts == 0 {
            self.violated(format!("I1: payment {index} is said to be settled, by {transaction:?}"));
        }
    }
}

/// A facilitator of somebody else's.
pub(crate) struct Liar {
    world: Shared,
    /// By which transactions it has moved the money of payments.
    sent: Mutex<BTreeMap<Word, Word>>,
}

impl Liar {
    pub(crate) fn new(world: &Shared) -> Self {
        Self { world: Arc::clone(world), sent: Mutex::default() }
    }

    /// Moves the money, if that can be; gives the transaction once it is in a block.
    async fn submit(&self, terms: Terms) -> Result<Word, Reason> {
        let known = self.sent.lock().unwrap().get(&terms.nonce()).copied();
        let hash = match known.filter(|hash| self.is_under_way(*hash)) {
            Some(hash) => hash,
            None => {
                let mut world = lock(&self.world);
                let head = Arc::clone(world.node.head());
                match world.node.use_of(&terms) {
                    Some(Use::As(used)) if used == terms => {
                        let all = world.node.blocks.iter().flat_map(|block| &block.mined);
                        let hashes = all.map(|mined| mined.sent.hash);
                        let mut hashes = hashes.filter(|hash| world.node.has_moved(*hash, &terms));
                        return Ok(hashes.next().expect("it is in a block"));
                    }
                    Some(_) => return Err(Reason::NonceAlreadyUsed),
                    None if head.state.balance(terms.from()) < terms.value() => {
                        return Err(Reason::InsufficientBalance);
                    }
                    None => {}
                }
                let (act, to, input) = match world.mode.is_by_permit {
                    true => {
                        let proxy = crate::token::contract(x402_core::permit2::EXACT_PROXY);
                        (Act::Settle(terms), proxy, terms.permit_calldata())
                    }
                    false => (Act::Use(terms), TOKEN, terms.calldata()),
                };
                if head.state.as_ref().clone().run(&act, head.time + 1).is_none() {
                    return Err(Reason::ValidBefore);
                }
                let hash = world.node.submit(to, vec![act], input);
                self.sent.lock().unwrap().insert(terms.nonce(), hash);
                hash
            }
        };
        for _ in 0..10 {
            if lock(&self.world).node.has_moved(hash, &terms) {
                return Ok(hash);
            }
            sleep(Duration::from_secs(1)).await;
        }
        Err(Reason::TransactionFailed)
    }

    fn is_under_way(&self, hash: Word) -> bool {
        let world = lock(&self.world);
        world.node.pool.iter().any(|sent| sent.hash == hash)
    }

    async fn act(&self, request: &Request) -> Result<SettleAnswer, FacilitatorError> {
        let view = request.view().unwrap();
        let payment = view.payload.payment(ASSET).unwrap();
        let terms = Terms::of(&payment.transfer);
        let lie = {
            let mut world = lock(&self.world);
            let lies = world.weather.lies;
            let lies = world.chance(lies);
            world.counts.lies += u64::from(lies);
            let index = index_of(terms.nonce());
            tracing::debug!(at = world.milliseconds(), index, lies, "the facilitator is asked");
            if lies { world.random.below(5) } else { u64::MAX }
        };
        let mut answer = SettleAnswer {
            version: Version::V2,
            reason: None,
            message: String::new(),
            transaction: None,
            chain_id: Some(ChainId::ETHEREUM),
            payer: Some(payment.transfer.from()),
            amount: None,
        };
        if lie == 0 {
            // Of a transaction that there is not.
            answer.transaction = Some(TxHash([0x77; 32]));
            return Ok(answer);
        }
        if lie == 1 {
            sleep(Duration::from_secs(20)).await;
            return Err(FacilitatorError::Unknown("silence".into()));
        }
        match self.submit(terms).await {
            Ok(hash) => answer.transaction = Some(TxHash(hash)),
            Err(reason) => answer.reason = Some(reason.as_str().to_owned()),
        }
        match lie {
            2 => {
                answer.reason = Some(Reason::InsufficientBalance.as_str().to_owned());
                answer.transaction = None;
            }
            3 => answer.payer = Some(Address::new([0x99; 20])),
            4 => return Err(FacilitatorError::Unknown("the connection broke".into())),
            _ => {}
        }
        Ok(answer)
    }
}

/// The token, as our own code writes it.
const ASSET: Address = Address::new(TOKEN.into_array());

impl Facilitator for Liar {
    fn verify<'a>(
        &'a self,
        request: &'a Request,
    ) -> BoxFuture<'a, Result<VerifyAnswer, FacilitatorError>> {
        Box::pin(async move {
            let view = request.view().unwrap();
            let payment = view.payload.payment(ASSET).unwrap();
            let terms = Terms::of(&payment.transfer);
            let world = lock(&self.world);
            let state = world.state();
            let reason = match world.node.use_of(&terms) {
                Some(_) => Some(Reason::NonceAlreadyUsed),
                None if state.balance(terms.from()) < terms.value() => {
                    Some(Reason::InsufficientBalance)
                }
                None => None,
            };
            let reason = reason.map(|reason| reason.as_str().to_owned());
            let payer = Some(payment.transfer.from());
            Ok(VerifyAnswer { reason, message: String::new(), payer })
        })
    }

    fn settle<'a>(
        &'a self,
        request: &'a Request,
    ) -> BoxFuture<'a, Result<SettleAnswer, FacilitatorError>> {
        Box::pin(self.act(request))
    }

    fn supported(&self) -> BoxFuture<'_, Result<Supported, FacilitatorError>> {
        Box::pin(async { Err(FacilitatorError::Unavailable("not asked here".into())) })
    }
}
