//! Answers that are measured, and what is left of what was paid for them.

use x402_core::{Amount, ChainId};
use x402_std::ledger::CreditAccount;
use x402_std::quote::{CreditToken, Pass, RouteHash};

use super::*;
use crate::server::testing::{NOW, keys, keys_of};

/// Sells answers by the byte, and perhaps for a time.
#[derive(Debug)]
struct Bytewise(Option<Period>);

struct Length(u128);

impl Metering for Bytewise {
    fn prepare(&self, head: &mut Parts, body: Option<&Bytes>) -> Option<Bytes> {
        head.headers.remove("accept-encoding");
        body.map(|body| [body, &b" and more"[..]].concat().into())
    }

    fn meter(&self, _: &http::response::Parts) -> Box<dyn Meter> {
        Box::new(Length(0))
    }

    fn period(&self) -> Option<Period> {
        self.0
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

pub(super) fn sells(shop: &Shop, settle: Settle, period: Option<Period>) -> PaymentLayer {
    let (metering, route) = (bytewise(period), RouteHash::of(ROUTE));
    let sale = Arc::new(Sale { route, settle, metering, ..Sale::from(shop.offer) });
    PaymentLayer::new(Arc::clone(&shop.seller), move |head: &Parts| match head.uri.path() {
        "/by-body" => Quote::ByBody(100),
        _ => Quote::Paid(Arc::clone(&sale)),
    })
    .signing(keys())
}

pub(super) fn bytewise(period: Option<Period>) -> Option<Arc<dyn Metering>> {
    Some(Arc::new(Bytewise(period)))
}

pub(super) fn paid(shop: &Shop, nonce: u8) -> Request<Full<Bytes>> {
    shop.paid("POST", "/a", nonce).body(full("words")).unwrap()
}

pub(super) fn account(shop: &Shop) -> CreditAccount {
    let terms = shop.offer.requirements();
    let (chain_id, asset, seller) = (terms.chain_id, terms.asset, terms.pay_to);
    CreditAccount { payer: payer(), chain_id, asset, seller }
}

pub(super) async fn balance(shop: &Shop) -> u128 {
    shop.seller.balance(account(shop)).await.unwrap().to_string().parse().unwrap()
}

/// As it is told first.
pub(super) fn name(shop: &Shop) -> CreditToken {
    CreditToken { account: account(shop), generation: 0, made_at: NOW }
}

pub(super) fn drawing(credit: &str, nonce: &str, path: &str) -> Request<Full<Bytes>> {
    let request = Request::post(path).header("X-Payment-Credit", credit);
    let request = match nonce {
        "" => request,
        nonce => request.header("X-Payment-Nonce", nonce),
    };
    request.body(full("words")).unwrap()
}

#[tokio::test]
async fn what_is_not_used_is_credit() {
    for settle in [Settle::First, Settle::After, Settle::Later] {
        let (shop, seen) = (Shop::new(), Seen::default());
        let service = sells(&shop, settle, None).layer(echo(&seen));
        let credit = name(&shop).sign(&keys());
        for _ in 0..3 {
            let (head, body) = send(&service, paid(&shop, 1)).await;
            assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"secret:words"[..]));
            assert_eq!(text(&head.headers, "x-payment-credit"), credit);
            shop.seller.close_tab().await;
        }
        assert_eq!((seen.runs(), shop.chain.broadcasts()), (1, 1));
        assert_eq!(balance(&shop).await, 10_000 - 12);
    }
}

#[tokio::test]
async fn credit_is_drawn_once_for_a_nonce() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, Settle::First, None).layer(echo(&seen));
    let mut credit = String::new();
    for nonce in 1..3 {
        let (head, _) = send(&service, paid(&shop, nonce)).await;
        text(&head.headers, "x-payment-credit").clone_into(&mut credit);
    }
    assert_eq!(balance(&shop).await, 2 * (10_000 - 12));
    for _ in 0..2 {
        let (head, body) = send(&service, drawing(&credit, "5", "/a")).await;
        assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"secret:words"[..]));
        assert_eq!(text(&head.headers, "x-payment-payer"), payer().to_string());
        assert!(!head.headers.contains_key("x-payment-transaction"));
        assert_eq!(balance(&shop).await, 2 * 10_000 - 3 * 12);
    }
    let told = seen.last().0.extensions.get::<Paid>().copied().unwrap();
    assert_eq!((told.payer, told.transaction), (payer(), None));
    assert!(!seen.last().0.headers.contains_key("x-payment-credit"));
    // While the work is done, all that it may cost is held.
    let (head, _) = send(&service, drawing(&credit, "6", "/a")).await;
    assert_eq!(text(&head.headers, "x-payment-balance"), "0.009964");
    assert_eq!((seen.runs(), shop.chain.broadcasts()), (4, 2));
    let (head, body) = send(&service, drawing(&credit, "5", "/b")).await;
    assert_eq!((head.status, &*code(&body)), (StatusCode::CONFLICT, "409"));
    assert_eq!(balance(&shop).await, 2 * 10_000 - 4 * 12);
}

#[tokio::test]
async fn credit_that_is_too_small_is_refused_with_the_price() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, Settle::First, None).layer(echo(&seen));
    let (head, _) = send(&service, paid(&shop, 1)).await;
    let credit = text(&head.headers, "x-payment-credit");
    let (head, body) = send(&service, drawing(credit, "1", "/a")).await;
    assert_eq!((head.status, &*code(&body)), (StatusCode::PAYMENT_REQUIRED, "402.1"));
    assert_eq!(text(&head.headers, "x-payment-balance"), "0.009988");
    assert_eq!(text(&head.headers, "x-payment-amount"), PRICE);
    assert_eq!((seen.runs(), balance(&shop).await), (1, 9_988));
}

#[tokio::test]
async fn what_names_no_balance_draws_nothing() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, Settle::First, None).layer(echo(&seen));
    let (head, _) = send(&service, paid(&shop, 1)).await;
    let credit = text(&head.headers, "x-payment-credit").to_owned();
    let other = CreditAccount { seller: payer(), ..account(&shop) };
    let foreign = CreditToken { account: other, ..name(&shop) }.sign(&keys());
    let forged = name(&shop).sign(&keys_of("another"));
    let mut beside = drawing(&credit, "", "/a");
    for (name, value) in shop.payment(2) {
        beside.headers_mut().insert(name, value.parse().unwrap());
    }
    for request in [
        drawing(&foreign, "1", "/a"),
        drawing(&forged, "1", "/a"),
        drawing("", "1", "/a"),
        drawing(&credit, "", "/a"),
        drawing(&credit, "-1", "/a"),
        beside,
    ] {
        let (head, body) = send(&service, request).await;
        assert_eq!((head.status, &*code(&body)), (StatusCode::BAD_REQUEST, "400"));
    }
    assert_eq!((seen.runs(), shop.chain.broadcasts(), balance(&shop).await), (1, 1, 9_988));
}

#[tokio::test]
async fn a_refusal_costs_nothing_and_a_failure_is_owed() {
    for (status, runs, credit) in [(404, 1, 10_000), (500, 2, 0)] {
        let (shop, seen) = (Shop::new(), Seen::default());
        let service = sells(&shop, Settle::First, None).layer(answers(status, &seen));
        for _ in 0..2 {
            let (head, _) = send(&service, paid(&shop, 1)).await;
            assert_eq!(head.status.as_u16(), status);
        }
        assert_eq!((seen.runs(), balance(&shop).await), (runs, credit));
    }
}

/// What a payer has already is said once: of two, none is taken in silence.
#[tokio::test]
async fn what_is_there_twice_is_refused() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, Settle::First, minutes(5)).layer(echo(&seen));
    let pass = pass(&shop, 9).sign(&keys());
    let credit = name(&shop).sign(&keys());
    for (name, value) in [
        ("X-Payment-Pass", pass.as_str()),
        ("X-Payment-Credit", credit.as_str()),
        ("X-Payment-Quote", "a"),
        ("X-Payment-Minutes", "5"),
    ] {
        let request = Request::post("/a").header(name, value).header(name, value);
        let (head, body) = send(&service, request.body(full("")).unwrap()).await;
        assert_eq!((head.status, &*code(&body)), (StatusCode::BAD_REQUEST, "400"), "{name}");
    }
    assert_eq!(seen.runs(), 0);
}

/// A price that was told is kept for who pays out of a balance, too.
#[tokio::test]
async fn credit_is_drawn_at_the_price_that_was_quoted() {
    struct Changing(Arc<AtomicUsize>);
    impl Pricing for Changing {
        fn quote(&self, _: &Parts) -> Quote {
            let units = u64::try_from(self.0.load(SeqCst)).unwrap();
            let metering = Some(Arc::new(Bytewise(None)) as Arc<dyn Metering>);
            Quote::Paid(Arc::new(Sale { metering, ..Sale::from(offer(units)) }))
        }
        fn fields(&self) -> Option<&'static [&'static str]> {
            Some(&[])
        }
    }
    let (shop, seen, price) = (Shop::new(), Seen::default(), Arc::new(AtomicUsize::new(10_000)));
    let layer = PaymentLayer::new(Arc::clone(&shop.seller), Changing(Arc::clone(&price)));
    let service = layer.signing(keys()).layer(echo(&seen));
    let mut credit = String::new();
    for nonce in 1..3 {
        let (head, _) = send(&service, paid(&shop, nonce)).await;
        text(&head.headers, "x-payment-credit").clone_into(&mut credit);
    }
    let unpaid = send(&service, Request::post("/a").body(full("words")).unwrap()).await.0;
    let quote = text(&unpaid.headers, "x-payment-quote").to_owned();
    price.store(15_000, SeqCst);
    let quoted = |nonce| {
        let mut request = drawing(&credit, nonce, "/a");
        request.headers_mut().insert("x-payment-quote", quote.parse().unwrap());
        request
    };
    // What is left beside the amount that is held: 19,976 less the one price, or the other.
    let (head, _) = send(&service, quoted("1")).await;
    assert_eq!(text(&head.headers, "x-payment-balance"), "0.009976");
    let (head, _) = send(&service, drawing(&credit, "2", "/a")).await;
    assert_eq!(text(&head.headers, "x-payment-balance"), "0.004964");
    assert_eq!(balance(&shop).await, 2 * 10_000 - 4 * 12);
}

/// A service that answers with a body in pieces, once.
pub(super) fn pieces(
    content_type: &'static str,
) -> (mpsc::Sender<Result<Bytes, std::io::Error>>, impl Pieces) {
    let (sender, body) = mpsc::channel(4);
    let body = Arc::new(Mutex::new(Some(Channel(body))));
    let service = service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
        let answer = Response::builder().header("content-type", content_type);
        let body = body.lock().unwrap().take().unwrap();
        ready(Ok::<_, Infallible>(answer.body(body).unwrap()))
    });
    (sender, service)
}

pub(super) trait Pieces: Svc<Full<Bytes>, Channel> {}
impl<S: Svc<Full<Bytes>, Channel>> Pieces for S {}

async fn settled(shop: &Shop, credit: u128) {
    for _ in 0..200 {
        if balance(shop).await == credit {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(balance(shop).await, credit);
}

#[tokio::test]
async fn an_answer_that_breaks_off_costs_what_has_passed() {
    let shop = Shop::new();
    let (sender, service) = pieces("text/plain");
    let service = sells(&shop, Settle::First, None).layer(service);
    sender.send(Ok(Bytes::from_static(b"a hundred"))).await.unwrap();
    let answer = service.clone().oneshot(paid(&shop, 1)).await.unwrap();
    sender.send(Err(broken())).await.unwrap();
    assert!(answer.into_body().collect().await.is_err());
    settled(&shop, 10_000 - 9).await;
    let (head, body) = send(&service, paid(&shop, 1)).await;
    assert_eq!((head.status, &*code(&body)), (StatusCode::CONFLICT, "409"));
    assert!(head.headers.contains_key("x-payment-credit"));
}

#[tokio::test]
async fn a_stream_ends_with_its_listener_and_a_document_does_not() {
    for (content_type, cost) in [("text/event-stream", 5), ("application/json", 10)] {
        let shop = Shop::new();
        let (sender, service) = pieces(content_type);
        let service = sells(&shop, Settle::First, None).layer(service);
        let answer = service.clone().oneshot(paid(&shop, 1)).await.unwrap();
        let mut body = answer.into_body();
        sender.send(Ok(Bytes::from_static(b"first"))).await.unwrap();
        // Nothing is held back.
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
        drop(body);
        if cost == 5 {
            tokio::time::timeout(Duration::from_secs(5), sender.closed()).await.unwrap();
        } else {
            sender.send(Ok(Bytes::from_static(b"again"))).await.unwrap();
            drop(sender);
        }
        settled(&shop, 10_000 - cost).await;
    }
}

const ROUTE: &str = "GET /a";

pub(super) fn minutes(minutes: u64) -> Option<Period> {
    Some(Period { duration: Duration::from_secs(60 * minutes), price: Amount::from_units(2_000) })
}

/// One that ends in so many seconds.
fn pass(shop: &Shop, seconds: u64) -> Pass {
    let terms = shop.offer.requirements();
    Pass {
        chain_id: terms.chain_id,
        asset: terms.asset,
        pay_to: terms.pay_to,
        route: RouteHash::of(ROUTE),
        price: Amount::from_units(2_000),
        payer: payer(),
        until: NOW + seconds,
    }
}

fn passing(pass: &str) -> Request<Full<Bytes>> {
    Request::post("/a").header("X-Payment-Pass", pass).body(full("words")).unwrap()
}

#[tokio::test]
async fn time_that_is_bought_gives_a_pass() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, Settle::First, minutes(5)).layer(echo(&seen));
    let (head, _) = send(&service, paid(&shop, 1)).await;
    let bought = text(&head.headers, "x-payment-pass").to_owned();
    assert_eq!(bought, pass(&shop, 300).sign(&keys()));
    assert_eq!(text(&head.headers, "x-payment-pass-expires"), (NOW + 300).to_string());
    assert!(!head.headers.contains_key("x-payment-credit"));
    let again = send(&service, paid(&shop, 1)).await.0;
    assert_eq!(text(&again.headers, "x-payment-pass"), bought);
    for _ in 0..3 {
        let (head, body) = send(&service, passing(&bought)).await;
        assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"secret:words"[..]));
        assert_eq!(text(&head.headers, "cache-control"), "private");
    }
    let told = seen.last().0.extensions.get::<Paid>().copied().unwrap();
    assert_eq!((told.payer, told.payment), (payer(), None));
    assert!(!seen.last().0.headers.contains_key("x-payment-pass"));
    assert_eq!((seen.runs(), shop.chain.broadcasts(), balance(&shop).await), (4, 1, 0));
}

/// Who has the pass has used the payment, or the credit: so the books say before its head is out, and
/// whatever becomes of the gateway after that. Another one on the same ledger tells the pass again.
#[tokio::test]
async fn no_pass_leaves_before_its_payment_is_used() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let metered = sells(&shop, Settle::First, None).layer(echo(&seen));
    let mut credit = String::new();
    for nonce in 1..3 {
        let (head, _) = send(&metered, paid(&shop, nonce)).await;
        text(&head.headers, "x-payment-credit").clone_into(&mut credit);
    }
    let requests: [&dyn Fn() -> Request<Full<Bytes>>; 2] =
        [&|| paid(&shop, 3), &|| drawing(&credit, "5", "/a")];
    for request in requests {
        let (sender, service) = pieces("text/event-stream");
        let first = sells(&shop, Settle::First, minutes(5)).layer(service);
        let other = sells(&shop, Settle::First, minutes(5)).layer(echo(&seen));
        sender.send(Ok(Bytes::from_static(b"data: 1\n\n"))).await.unwrap();
        let answer = first.clone().oneshot(request()).await.unwrap();
        let bought = text(answer.headers(), "x-payment-pass").to_owned();
        assert_eq!(bought, pass(&shop, 300).sign(&keys()));
        let runs = seen.runs();
        let (head, body) = send(&other, request()).await;
        assert_eq!((head.status, &*code(&body)), (StatusCode::CONFLICT, "409"));
        assert_eq!(text(&head.headers, "x-payment-pass"), bought);
        assert_eq!(seen.runs(), runs, "the work is not begun again");
        // The body follows, and a repetition is given it.
        drop(sender);
        let whole = answer.into_body().collect().await.unwrap().to_bytes();
        let (head, body) = send(&other, request()).await;
        assert_eq!((head.status, body), (StatusCode::OK, whole));
        assert_eq!(text(&head.headers, "x-payment-pass"), bought);
    }
    assert_eq!(balance(&shop).await, 2 * (10_000 - 12) - 10_000);
}

#[tokio::test]
async fn a_pass_that_is_not_kept_is_not_handed_out() {
    let shop = Shop::with_full_ledger();
    let (sender, service) = pieces("text/event-stream");
    sender.send(Ok(Bytes::from_static(b"data: 1\n\n"))).await.unwrap();
    let service = sells(&shop, Settle::First, minutes(5)).layer(service);
    let (head, _) = send(&service, paid(&shop, 1)).await;
    assert_eq!(head.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!head.headers.contains_key("x-payment-pass"));
    sender.closed().await;
    let seen = Seen::default();
    let service = sells(&shop, Settle::First, minutes(5)).layer(echo(&seen));
    let (head, body) = send(&service, paid(&shop, 1)).await;
    assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"secret:words"[..]));
    assert!(head.headers.contains_key("x-payment-pass"));
    assert_eq!((seen.runs(), shop.chain.broadcasts()), (1, 1));
}

#[tokio::test]
async fn a_402_of_the_service_behind_is_none_to_who_has_a_pass() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, Settle::First, minutes(5)).layer(answers(402, &seen));
    let pass = pass(&shop, 60).sign(&keys());
    let (head, body) = send(&service, passing(&pass)).await;
    assert_eq!((head.status, &*code(&body)), (StatusCode::BAD_GATEWAY, "502"));
    assert_eq!((seen.runs(), shop.chain.broadcasts()), (1, 0));
}

#[tokio::test]
async fn a_pass_that_is_none_is_answered_with_the_price() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, Settle::First, minutes(5)).layer(echo(&seen));
    let pass = pass(&shop, 1);
    let (head, _) = send(&service, passing(&pass.sign(&keys()))).await;
    assert_eq!(head.status, StatusCode::OK);
    for (pass, reason) in [
        (Pass { until: NOW, ..pass }.sign(&keys()), "pass_expired"),
        (Pass { route: RouteHash::of("GET /b"), ..pass }.sign(&keys()), "invalid_pass"),
        (pass.sign(&keys_of("another")), "invalid_pass"),
        (String::new(), "invalid_pass"),
    ] {
        let (head, body) = send(&service, passing(&pass)).await;
        assert_eq!((head.status, &*code(&body)), (StatusCode::PAYMENT_REQUIRED, "402"));
        assert!(String::from_utf8_lossy(&body).contains(reason), "{body:?}");
        assert_eq!(text(&head.headers, "x-payment-amount"), PRICE);
    }
    assert_eq!(seen.runs(), 1);
}

/// Whom it was paid to, in what, and on which chain, it says itself; and it is good for as long as it says,
/// whatever a minute costs by now.
#[tokio::test]
async fn a_pass_of_another_payee_is_refused() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, Settle::First, minutes(5)).layer(echo(&seen));
    let pass = pass(&shop, 60);
    for other in [
        Pass { pay_to: payer(), ..pass },
        Pass { asset: payer(), ..pass },
        Pass { chain_id: ChainId::new(11_155_111), ..pass },
    ] {
        let (head, body) = send(&service, passing(&other.sign(&keys()))).await;
        assert_eq!((head.status, &*code(&body)), (StatusCode::PAYMENT_REQUIRED, "402"));
        assert!(String::from_utf8_lossy(&body).contains("invalid_pass"), "{body:?}");
    }
    assert_eq!(seen.runs(), 0);
    let cheap = Pass { price: Amount::from_units(1), ..pass };
    let (head, _) = send(&service, passing(&cheap.sign(&keys()))).await;
    assert_eq!((head.status, seen.runs()), (StatusCode::OK, 1));
}

/// Who ends a tunnel knows its time alone.
#[tokio::test]
async fn time_that_is_paid_for_later_is_over_before_the_authorization() {
    for (settle, most) in [(Settle::First, 300), (Settle::Later, 59)] {
        let (shop, seen) = (Shop::new(), Seen::default());
        let service = sells(&shop, settle, minutes(5)).layer(echo(&seen));
        assert_eq!(send(&service, paid(&shop, 1)).await.0.status, StatusCode::OK);
        let told = seen.last().0.extensions.get::<Allowance>().copied().unwrap();
        let Allowance::For(time) = told else { panic!("{told:?}") };
        assert!(time.as_secs() <= most && time.as_secs() >= most / 2, "{settle:?}: {time:?}");
    }
}

#[tokio::test]
async fn a_time_beyond_all_clocks_is_a_long_one() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let period = Period { duration: Duration::MAX, price: Amount::from_units(2_000) };
    let service = sells(&shop, Settle::First, Some(period)).layer(echo(&seen));
    let (head, body) = send(&service, paid(&shop, 1)).await;
    assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"secret:words"[..]));
    let (head, _) = send(&service, passing(text(&head.headers, "x-payment-pass"))).await;
    assert_eq!((head.status, seen.runs()), (StatusCode::OK, 2));
}

#[tokio::test(start_paused = true)]
async fn an_answer_ends_with_the_time_that_was_paid_for() {
    let pass = pass(&Shop::new(), 120).sign(&keys());
    for is_passing in [false, true] {
        for (content_type, expected) in [
            ("text/event-stream", "data: 1\n\n\n\nevent: payment-required\ndata: {"),
            ("application/x-ndjson", "data: 1\n\n\n{\"code\":\"402\""),
            ("text/plain", "data: 1\n\n"),
        ] {
            let shop = Shop::new();
            let (sender, service) = pieces(content_type);
            let service = sells(&shop, Settle::First, minutes(2)).layer(service);
            let request = if is_passing { passing(&pass) } else { paid(&shop, 1) };
            let began = tokio::time::Instant::now();
            let answer = service.clone().oneshot(request).await.unwrap();
            sender.send(Ok(Bytes::from_static(b"data: 1\n\n"))).await.unwrap();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            let seconds = began.elapsed().as_secs();
            assert!((120..123).contains(&seconds), "{seconds}");
            assert!(body.starts_with(expected.as_bytes()), "{body:?}");
            assert_eq!(expected.len() == body.len(), content_type == "text/plain");
            sender.closed().await;
        }
    }
}

#[tokio::test]
async fn the_work_is_asked_as_its_answer_can_be_measured() {
    struct ByBody(Arc<Sale>);
    impl Pricing for ByBody {
        fn quote(&self, _: &Parts) -> Quote {
            Quote::ByBody(100)
        }
        fn quote_body(&self, _: &Parts, _: &Bytes) -> Quote {
            Quote::Paid(Arc::clone(&self.0))
        }
    }
    let (shop, seen) = (Shop::new(), Seen::default());
    let sale = Sale { metering: Some(Arc::new(Bytewise(None))), ..Sale::from(shop.offer) };
    let layer = PaymentLayer::new(Arc::clone(&shop.seller), ByBody(Arc::new(sale)));
    let service = layer.layer(echo(&seen));
    let request = |body| {
        let request = shop.paid("POST", "/a", 1).header("Accept-Encoding", "gzip");
        request.header("Content-Length", "5").body(full(body)).unwrap()
    };
    for _ in 0..2 {
        let (head, body) = send(&service, request("words")).await;
        assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"secret:words and more"[..]));
    }
    let (head, body) = seen.last();
    assert_eq!((text(&head.headers, "content-length"), &body[..]), ("14", &b"words and more"[..]));
    assert!(!head.headers.contains_key("accept-encoding"));
    assert_eq!(seen.runs(), 1);
    let (head, _) = send(&service, request("other")).await;
    assert_eq!(head.status, StatusCode::CONFLICT);
}
