//! A seller who leaves the money to a facilitator that is slow, forgetful, or lies.

mod chain;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use x402_core::hex;
use x402_core::secp256k1::K256Signer;
use x402_core::state::State;
use x402_core::wire::Version;
use x402_core::{
    Amount, Authorization, Error, Nonce, Offer, Payment, Refusal, Timestamp, Transfer,
};

use super::*;
use crate::chain::TxHash;
use crate::ledger::{Answer, Ledger as _, RequestId, SecretHash, Settle};
use crate::seller::{Admission, Later, Presented, Purchase, Rail, Rejection, Replay};

const NOW: u64 = 1_790_000_000;
const HASH: TxHash = TxHash([7; 32]);

/// What the facilitator does when it is asked to settle; the last stays.
#[derive(Clone, Debug)]
enum Does {
    Settles,
    /// It settles, and the answer is lost.
    Loses,
    Refuses(&'static str),
    Lies(fn(&mut SettleAnswer)),
}

#[derive(Default)]
struct Scripted {
    does: Mutex<VecDeque<Does>>,
    asked: AtomicUsize,
    /// How many times it was asked about a payment.
    verified: AtomicUsize,
    /// What it says of every payment.
    verdict: VerifyAnswer,
    /// The timeouts that it was told.
    timeouts: Mutex<Vec<u32>>,
    /// By which calls it was asked to settle.
    calls: Mutex<Vec<Option<[u8; 32]>>>,
}

impl Facilitator for Scripted {
    fn verify<'a>(
        &'a self,
        _: &'a Request,
    ) -> BoxFuture<'a, Result<VerifyAnswer, FacilitatorError>> {
        self.verified.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(self.verdict.clone()) })
    }

    fn settle<'a>(
        &'a self,
        request: &'a Request,
    ) -> BoxFuture<'a, Result<SettleAnswer, FacilitatorError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut does = self.does.lock().unwrap();
        let next = if does.len() > 1 { does.pop_front().unwrap() } else { does[0].clone() };
        let view = request.view().unwrap();
        self.timeouts.lock().unwrap().push(view.requirements.max_timeout_seconds);
        self.calls.lock().unwrap().push(request.caller().call());
        let payer = view.payload.payment(Address::ZERO).unwrap().transfer.from();
        let mut answer = SettleAnswer {
            version: Version::V2,
            reason: None,
            message: String::new(),
            transaction: Some(HASH),
            chain_id: view.requirements.chain_id(),
            payer: Some(payer),
            amount: None,
        };
        let answer = match next {
            Does::Settles => Ok(answer),
            Does::Loses => Err(FacilitatorError::Unknown("it took too long".into())),
            Does::Refuses(reason) => {
                answer.reason = Some(reason.into());
                answer.transaction = None;
                Ok(answer)
            }
            Does::Lies(lie) => {
                lie(&mut answer);
                Ok(answer)
            }
        };
        Box::pin(async move { answer })
    }

    fn supported(&self) -> BoxFuture<'_, Result<Supported, FacilitatorError>> {
        Box::pin(async { Ok(Supported::default()) })
    }
}

struct Shop {
    seller: Arc<Seller>,
    facilitator: Arc<Scripted>,
    ledger: Arc<MemoryLedger>,
    offer: Offer<'static>,
    now: Arc<AtomicU64>,
}

impl Shop {
    fn new(does: &[Does]) -> Self {
        Self::with(Scripted { does: queue(does), ..Scripted::default() }, |rail| rail)
    }

    fn with(scripted: Scripted, change: impl FnOnce(Entrusted) -> Entrusted) -> Self {
        Self::on(Arc::new(MemoryLedger::new()), scripted, change)
    }

    /// On a ledger of another life.
    fn on(
        ledger: Arc<MemoryLedger>,
        scripted: Scripted,
        change: impl FnOnce(Entrusted) -> Entrusted,
    ) -> Self {
        let facilitator = Arc::new(scripted);
        let now = Arc::new(AtomicU64::new(NOW));
        let time = Arc::clone(&now);
        let clock: crate::seller::Clock = Arc::new(move || time.load(Ordering::SeqCst));
        let asset = *Asset::find(ChainId::BASE, "USDC").unwrap();
        let offer = Offer::new(asset, Address::new([2; 20]), Amount::from_units(10_000), 60);
        let rail = Entrusted::new(Arc::clone(&facilitator) as _, vec![OwnedAsset::from(&asset)]);
        let rail = change(rail.with_clock(Arc::clone(&clock)));
        let rails = vec![(ChainId::BASE, Arc::new(rail) as Arc<dyn Rail>)];
        let max_owed = vec![(asset.chain_id, asset.address, Amount::from_units(1_000_000))];
        let later = Later { max_owed, ..Later::default() };
        let options = SellerOptions { later, clock, ..SellerOptions::default() };
        let seller = Seller::with_rails(Arc::clone(&ledger) as _, rails, options);
        Self { seller, facilitator, ledger, offer, now }
    }

    fn payment(&self) -> Payment {
        self.payment_of(9)
    }

    fn payment_of(&self, nonce: u8) -> Payment {
        let key = K256Signer::from_bytes(&hex::decode(KEY).unwrap()).unwrap();
        let terms = self.offer.requirements();
        let authorization = Authorization {
            from: key.address(),
            to: terms.pay_to,
            value: terms.amount,
            valid_after: Timestamp::ZERO,
            valid_before: Timestamp::from_secs(NOW + 60),
            nonce: Nonce::new([nonce; 32]),
        };
        let Ok(signature) = key.sign(&authorization.digest(&terms.domain));
        let transfer = Transfer::Eip3009(authorization);
        let (chain_id, asset) = (terms.chain_id, terms.asset);
        Payment { chain_id, asset, transfer, signature: Ok(signature) }
    }

    async fn admit(&self) -> Result<TxHash, Rejection> {
        self.admit_of(9).await
    }

    async fn admit_of(&self, nonce: u8) -> Result<TxHash, Rejection> {
        let request = RequestId::new("GET", "/");
        let secret = SecretHash::of_key("what nobody else can know");
        let presented = Presented { secret, ..Presented::from(self.payment_of(nonce)) };
        match self.seller.admit(&presented, self.offer.requirements(), request).await? {
            Admission::Serve(ticket) => Ok(ticket.receipt().transaction.unwrap()),
            other => panic!("{other:?}"),
        }
    }

    async fn state(&self) -> State {
        let recover = &x402_core::secp256k1::K256;
        let id = self.offer.requirements().identify(&self.payment(), recover).unwrap();
        self.ledger.find(id).await.unwrap().unwrap().state
    }
}

fn queue(does: &[Does]) -> Mutex<VecDeque<Does>> {
    Mutex::new(does.iter().cloned().collect())
}

#[tokio::test]
async fn what_the_facilitator_settles_is_served() {
    let shop = Shop::new(&[Does::Settles]);
    assert_eq!(shop.admit().await.unwrap(), HASH);
    // It is owed still, and nobody is asked again.
    assert_eq!(shop.admit().await.unwrap(), HASH);
    assert_eq!(shop.facilitator.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_refused_at_first_has_not_happened() {
    let shop = Shop::new(&[Does::Refuses("invalid_exact_evm_insufficient_balance")]);
    let rejection = shop.admit().await.unwrap_err();
    assert_eq!(rejection.refusal, Refusal::Payment(Error::Balance));
    assert_eq!(shop.state().await, State::Failed);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_is_never_a_failure() {
    for refusal in [
        "invalid_exact_evm_payload_authorization_valid_before",
        "invalid_exact_evm_nonce_already_used",
        "invalid_exact_evm_insufficient_balance",
        "some words that nobody has laid down",
    ] {
        let shop = Shop::new(&[Does::Loses, Does::Refuses(refusal), Does::Settles]);
        for _ in 0..2 {
            let rejection = shop.admit().await.unwrap_err();
            assert_eq!(rejection.refusal, Refusal::Pending, "{refusal}");
            assert_eq!(shop.state().await, State::Pending);
        }
        assert_eq!(shop.admit().await.unwrap(), HASH);
        assert_eq!(shop.state().await, State::Settled);
    }
}

#[tokio::test]
async fn a_payment_is_asked_for_by_the_same_call_each_time() {
    let shop = Shop::new(&[Does::Loses, Does::Loses, Does::Settles]);
    for _ in 0..2 {
        assert!(shop.admit().await.is_err());
    }
    assert!(shop.admit().await.is_ok() && shop.admit_of(8).await.is_ok());
    let calls = shop.facilitator.calls.lock().unwrap().clone();
    assert!(calls.len() == 4 && calls[0].is_some(), "{calls:?}");
    assert!(calls[1] == calls[0] && calls[2] == calls[0] && calls[3] != calls[0], "{calls:?}");
}

/// Success was said to a call that nobody knows any more.
#[tokio::test]
async fn that_it_was_used_by_a_transaction_is_never_a_failure() {
    let used: fn(&mut SettleAnswer) =
        |answer| answer.reason = Some("invalid_exact_evm_nonce_already_used".into());
    let shop = Shop::new(&[Does::Lies(used)]);
    for later in [0, 60, 3_600] {
        shop.now.store(NOW + later, Ordering::SeqCst);
        let rejection = shop.admit().await.unwrap_err();
        assert_eq!(rejection.refusal, Refusal::Pending, "{later}");
        assert_eq!(shop.state().await, State::Pending);
    }
}

#[tokio::test]
async fn what_is_open_is_resolved_without_its_payer() {
    let shop = Shop::new(&[Does::Loses, Does::Settles]);
    assert!(shop.admit().await.is_err());
    assert_eq!(shop.seller.resolve_open().await.unwrap(), 0);
    assert_eq!(shop.state().await, State::Settled);
}

#[tokio::test]
async fn an_answer_about_something_else_is_not_believed() {
    let lies: [fn(&mut SettleAnswer); 6] = [
        |answer| answer.chain_id = Some(ChainId::ETHEREUM),
        |answer| answer.chain_id = None,
        |answer| answer.payer = Some(Address::new([1; 20])),
        |answer| answer.transaction = None,
        |answer| answer.transaction = Some(TxHash([0; 32])),
        |answer| answer.amount = Some(Amount::from_units(1)),
    ];
    for lie in lies {
        let shop = Shop::new(&[Does::Lies(lie)]);
        let rejection = shop.admit().await.unwrap_err();
        assert_eq!(rejection.refusal, Refusal::Pending);
        assert_eq!(shop.state().await, State::Pending);
    }
}

#[tokio::test]
async fn what_is_owed_is_asked_for_until_the_facilitator_settles_it() {
    let poor = Does::Refuses("invalid_exact_evm_insufficient_balance");
    let shop = Shop::new(&[poor.clone(), poor.clone(), poor, Does::Settles]);
    let terms = shop.offer.requirements();
    let request = RequestId::new("GET", "/");
    let purchase =
        Purchase { request, amount: terms.amount, settle: Settle::Later, replay: Replay::Payer };
    let admitted = shop.seller.admit_for(&shop.payment().into(), terms, purchase).await;
    let Ok(Admission::Pledged(pledge)) = admitted else { panic!("{admitted:?}") };
    let body = Some(Vec::new());
    let answer = Answer { status: 200, headers: Vec::new(), body, request_body: [0; 32] };
    pledge.owe(answer, terms.amount).await.unwrap();
    shop.seller.close_tab().await;
    for _ in 0..2 {
        assert_eq!(shop.state().await, State::Failed);
        assert_eq!(shop.seller.resolve_open().await.unwrap(), 0);
    }
    assert_eq!(shop.state().await, State::Failed);
    shop.seller.resolve_open().await.unwrap();
    assert_eq!(shop.state().await, State::Served);
}

#[tokio::test]
async fn a_final_refusal_is_the_same_when_the_payment_comes_again() {
    let shop = Shop::new(&[Does::Refuses("invalid_exact_evm_insufficient_balance")]);
    for _ in 0..3 {
        let rejection = shop.admit().await.unwrap_err();
        assert_eq!(rejection.refusal, Refusal::Payment(Error::Balance));
        assert_eq!(shop.state().await, State::Failed);
    }
    assert_eq!(shop.facilitator.asked.load(Ordering::SeqCst), 1);
}

/// After a restart too, when nobody remembers why: the facilitator is asked, once.
#[tokio::test]
async fn what_was_refused_before_a_restart_is_asked_about_once() {
    let before = Shop::new(&[Does::Refuses("invalid_exact_evm_insufficient_balance")]);
    assert!(before.admit().await.is_err());
    let reason = Some("invalid_exact_evm_insufficient_balance".to_owned());
    let verdict = VerifyAnswer { reason, ..VerifyAnswer::default() };
    let scripted = Scripted { verdict, ..Scripted::default() };
    let after = Shop::on(Arc::clone(&before.ledger), scripted, |rail| rail);
    for _ in 0..3 {
        let rejection = after.admit().await.unwrap_err();
        assert_eq!(rejection.refusal, Refusal::Payment(Error::Balance));
    }
    let facilitator = &after.facilitator;
    let asked =
        [&facilitator.asked, &facilitator.verified].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(asked, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_was_entrusted_ends_by_a_refusal_after_its_end() {
    let expired = "invalid_exact_evm_payload_authorization_valid_before";
    for (refusal, ends) in [
        (expired, Some(Error::Expired)),
        ("invalid_exact_evm_insufficient_balance", Some(Error::Balance)),
        ("some words that nobody has laid down", Some(Error::Simulation)),
        // It may have been used by the request whose answer was lost.
        ("invalid_exact_evm_nonce_already_used", None),
        ("settlement_pending", None),
    ] {
        let shop = Shop::new(&[Does::Loses, Does::Refuses(refusal)]);
        assert_eq!(shop.admit().await.unwrap_err().refusal, Refusal::Pending);
        // Ten minutes after the end, and not a second before.
        for _ in 0..66 {
            assert_eq!(shop.seller.resolve_open().await.unwrap(), 1, "{refusal}");
            shop.now.fetch_add(10, Ordering::SeqCst);
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        assert_eq!(shop.state().await, State::Pending, "{refusal}");
        // With growing pauses.
        assert_eq!(shop.facilitator.asked.load(Ordering::SeqCst), 10, "{refusal}");
        for _ in 0..6 * 40 {
            shop.seller.resolve_open().await.unwrap();
            shop.now.fetch_add(600, Ordering::SeqCst);
            tokio::time::advance(Duration::from_secs(600)).await;
        }
        let state = if ends.is_some() { State::Failed } else { State::Pending };
        assert_eq!(shop.state().await, state, "{refusal}");
        let rejection = shop.admit().await.unwrap_err();
        assert_eq!(rejection.refusal, ends.map_or(Refusal::Pending, Refusal::Payment));
        // A bounded number of times.
        let asked = if ends.is_some() { 11 } else { 33 };
        assert_eq!(shop.facilitator.asked.load(Ordering::SeqCst), asked, "{refusal}");
    }
}

#[tokio::test]
async fn the_facilitator_is_told_the_timeout_of_the_offer() {
    for (timeouts, expected) in [
        (&[300, 60, 3600][..], 60),
        (&[30], 30),
        (&[30, 61, 90], 61),
        // As long as it was valid when it came.
        (&[], 60),
    ] {
        let scripted = Scripted { does: queue(&[Does::Settles]), ..Scripted::default() };
        let shop = Shop::with(scripted, |rail| rail.with_timeouts(timeouts.to_vec()));
        shop.admit().await.unwrap();
        assert_eq!(*shop.facilitator.timeouts.lock().unwrap(), [expected]);
    }
}

#[tokio::test]
async fn a_good_verdict_about_another_payer_is_not_believed() {
    let payer = Some(Address::new([1; 20]));
    let verdict = VerifyAnswer { payer, ..VerifyAnswer::default() };
    let scripted = Scripted { does: queue(&[Does::Settles]), verdict, ..Scripted::default() };
    let shop = Shop::with(scripted, |rail| rail);
    assert_eq!(shop.admit().await.unwrap_err().refusal, Refusal::Unavailable);
    assert_eq!(shop.facilitator.asked.load(Ordering::SeqCst), 0);
}
