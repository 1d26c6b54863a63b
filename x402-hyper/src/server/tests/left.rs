//! What a payment has bought, whatever its payer does to the request meanwhile, and whatever it costs by now.

use std::sync::atomic::AtomicU64;

use x402_core::Amount;
use x402_std::ledger::CreditAccount;

use super::*;

/// A request whose body is still to come, and the way to it.
fn open(shop: &Shop, nonce: u8) -> (mpsc::Sender<Result<Bytes, std::io::Error>>, Request<Channel>) {
    let (sender, body) = mpsc::channel(4);
    (sender, shop.paid("POST", "/", nonce).body(Channel(body)).unwrap())
}

fn whole(shop: &Shop, nonce: u8) -> Request<Channel> {
    open(shop, nonce).1
}

/// So much for each byte of an answer.
#[derive(Debug)]
struct Bytewise;

struct Length(u128);

impl Metering for Bytewise {
    fn prepare(&self, _: &mut Parts, _: Option<&Bytes>) -> Option<Bytes> {
        None
    }

    fn meter(&self, _: &http::response::Parts) -> Box<dyn Meter> {
        Box::new(Length(0))
    }

    fn period(&self) -> Option<Period> {
        None
    }
}

impl Meter for Length {
    fn feed(&mut self, data: &[u8]) {
        self.0 += data.len() as u128;
    }

    fn cost(self: Box<Self>, _: &Passage) -> Amount {
        Amount::from_units(self.0)
    }
}

fn selling(shop: &Shop, settle: Settle, is_measured: bool) -> PaymentLayer {
    let metering = is_measured.then(|| Arc::new(Bytewise) as Arc<dyn Metering>);
    let sale = Arc::new(Sale { settle, metering, ..Sale::from(shop.offer) });
    PaymentLayer::new(Arc::clone(&shop.seller), move |_: &Parts| Quote::Paid(Arc::clone(&sale)))
}

async fn credit(shop: &Shop) -> Amount {
    let terms = shop.offer.requirements();
    let (chain_id, asset, seller) = (terms.chain_id, terms.asset, terms.pay_to);
    let account = CreditAccount { payer: payer(), chain_id, asset, seller };
    shop.seller.balance(account).await.unwrap()
}

/// The service behind breaks because the client does, as one behind a proxy would.
#[tokio::test]
async fn who_breaks_off_the_request_while_the_answer_comes_has_bought_what_has_come() {
    for settle in [Settle::First, Settle::Later] {
        for is_measured in [false, true] {
            let (shop, runs) = (Shop::new(), Arc::new(AtomicUsize::new(0)));
            let (pieces, answer) = mpsc::channel(4);
            let answer = Arc::new(Mutex::new(Some(Channel(answer))));
            let counter = Arc::clone(&runs);
            let inner = move |_: Request<RequestBody<Channel>>| {
                counter.fetch_add(1, SeqCst);
                let answer = answer.lock().unwrap().take().unwrap();
                ready(Ok::<_, Infallible>(Response::new(answer)))
            };
            let service = selling(&shop, settle, is_measured).layer(service_fn(inner));
            let (request, paid) = open(&shop, 1);
            let mut answer = service.clone().oneshot(paid).await.unwrap().into_body();
            pieces.send(Ok("the first of it".into())).await.unwrap();
            assert!(answer.frame().await.unwrap().is_ok());
            request.send(Err(broken())).await.unwrap();
            pieces.send(Err(broken())).await.unwrap();
            assert!(answer.frame().await.unwrap().is_err());
            shop.seller.close_tab().await;
            for _ in 0..2 {
                let (head, _) = send(&service, whole(&shop, 1)).await;
                assert_eq!(head.status, StatusCode::CONFLICT, "{settle:?}");
            }
            assert_eq!((runs.load(SeqCst), shop.chain.broadcasts()), (1, 1), "{settle:?}");
            let left = if is_measured { 10_000 - 15 } else { 0 };
            assert_eq!(credit(&shop).await, Amount::from_units(left), "{settle:?}");
        }
    }
}

/// The service behind does not wait for the body: its work is done, and paid for.
#[tokio::test(start_paused = true)]
async fn who_leaves_the_request_open_has_used_the_payment() {
    for settle in [Settle::First, Settle::After, Settle::Later] {
        for breaks in [false, true] {
            let (shop, runs) = (Shop::new(), Arc::new(AtomicUsize::new(0)));
            let counter = Arc::clone(&runs);
            let inner = move |_: Request<RequestBody<Channel>>| {
                counter.fetch_add(1, SeqCst);
                ready(Ok::<_, Infallible>(Response::new(full("done"))))
            };
            let service = selling(&shop, settle, false).layer(service_fn(inner));
            let (request, paid) = open(&shop, 1);
            if breaks {
                request.send(Err(broken())).await.unwrap();
            }
            let (head, body) = send(&service, paid).await;
            assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"done"[..]), "{settle:?}");
            drop(request);
            shop.seller.close_tab().await;
            // The same request has the answer again.
            let (head, body) = send(&service, whole(&shop, 1)).await;
            assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"done"[..]), "{settle:?}");
            let other = shop.paid("POST", "/other", 1).body(whole(&shop, 1).into_body()).unwrap();
            assert_eq!(send(&service, other).await.0.status, StatusCode::CONFLICT, "{settle:?}");
            assert_eq!((runs.load(SeqCst), shop.chain.broadcasts()), (1, 1), "{settle:?}");
        }
    }
}

/// By a field of the request, and by a number that changes.
struct Priced(AtomicU64);

const SIZE: &str = "x-size";

impl Pricing for Priced {
    fn quote(&self, request: &Parts) -> Quote {
        let size =
            request.headers.get(SIZE).map_or(1, |size| size.to_str().unwrap().parse().unwrap());
        offer(self.0.load(SeqCst) * size).into()
    }

    fn fields(&self) -> Option<&'static [&'static str]> {
        Some(&[SIZE])
    }
}

/// Answers nothing the first time.
fn failing_first(runs: &Arc<AtomicUsize>) -> impl Echo {
    let runs = Arc::clone(runs);
    service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
        let status = if runs.fetch_add(1, SeqCst) == 0 { 500 } else { 200 };
        let answer = Response::builder().status(status).body(full("all of it"));
        ready(Ok::<_, Infallible>(answer.unwrap()))
    })
}

#[tokio::test]
async fn what_is_owed_for_a_small_one_is_no_large_one() {
    let (shop, runs) = (Shop::new(), Arc::default());
    let pricing = Priced(AtomicU64::new(10_000));
    let service = PaymentLayer::new(Arc::clone(&shop.seller), pricing).layer(failing_first(&runs));
    let request = |size: &str| shop.paid("POST", "/", 1).header(SIZE, size).body(full("")).unwrap();
    assert_eq!(send(&service, request("1")).await.0.status, 500);
    for size in ["1440", "2", "01"] {
        assert_eq!(send(&service, request(size)).await.0.status, StatusCode::CONFLICT, "{size}");
    }
    assert_eq!(send(&service, request("1")).await.0.status, StatusCode::OK);
    assert_eq!((runs.load(SeqCst), shop.chain.broadcasts()), (2, 1));
}

#[tokio::test]
async fn what_was_paid_before_the_price_went_up_is_served_whole_and_once() {
    let (shop, runs) = (Shop::new(), Arc::default());
    let price = Arc::new(AtomicU64::new(10_000));
    let now = Arc::clone(&price);
    let pricing = move |_: &Parts| Quote::from(offer(now.load(SeqCst)));
    let service = PaymentLayer::new(Arc::clone(&shop.seller), pricing).layer(failing_first(&runs));
    let request = || shop.paid("POST", "/", 1).body(full("")).unwrap();
    assert_eq!(send(&service, request()).await.0.status, 500);
    price.store(20_000, SeqCst);
    for _ in 0..3 {
        let (head, body) = send(&service, request()).await;
        assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"all of it"[..]));
    }
    assert_eq!((runs.load(SeqCst), shop.chain.broadcasts()), (2, 1));
}
