use std::collections::HashSet;
use std::io;
use std::sync::Mutex;

use http::HeaderMap;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use x402_core::buyer::PolicyError;
use x402_core::headers::{HeaderError, PaymentHeaders, emit_challenge};
use x402_core::secp256k1::{K256, K256Signer};
use x402_core::{Asset, Code, Error, Moment, Offer};

use super::*;

const PAY_TO: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
const TRANSACTION: &str = "0x89c91c789e57059b17285e7ba1716a1f5ff4c5dace0ea5a5135f26158d0421b9";

type Body = Response<Full<Bytes>>;

/// A request as a shop saw it.
#[derive(Clone, Debug)]
struct Seen {
    method: http::Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Seen {
    fn signature(&self) -> Option<&str> {
        let fields = ["X-Payment-Signature", "X-PAYMENT", "PAYMENT-SIGNATURE"];
        let mut values = fields.iter().filter_map(|name| self.headers.get(*name));
        values.next().map(|value| value.to_str().unwrap())
    }

    fn is_paid(&self) -> bool {
        self.headers.keys().any(is_payment_field)
    }

    fn payment(&self) -> Option<PaymentHeaders<'_>> {
        PaymentHeaders::collect(terms::fields(&self.headers)).unwrap()
    }
}

/// A server on a port of its own, which answers by a function of the request and of how many paid
/// ones came before it; `None` breaks the connection.
struct Shop {
    authority: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Shop {
    async fn open(answer: impl Fn(&Seen, usize) -> Option<Body> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                let service = service_fn(move |request: http::Request<Incoming>| {
                    let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                    async move {
                        let (head, body) = request.into_parts();
                        let seen = Seen {
                            method: head.method,
                            path: head.uri.to_string(),
                            headers: head.headers,
                            body: body.collect().await.unwrap().to_bytes(),
                        };
                        let paid = {
                            let mut log = log.lock().unwrap();
                            log.push(seen.clone());
                            log.iter().filter(|seen| seen.is_paid()).count()
                        };
                        answer(&seen, paid).ok_or_else(|| io::Error::other("break"))
                    }
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { authority, seen }
    }

    /// A shop that asks for 0.01 USDC and answers payments by a function of how many there were.
    async fn selling(paid: impl Fn(&Seen, usize) -> Option<Body> + Send + Sync + 'static) -> Self {
        Self::open(move |seen, count| match seen.is_paid() {
            true => paid(seen, count),
            false => Some(challenge(&offer(), None)),
        })
        .await
    }

    fn url(&self) -> String {
        format!("http://{}/api/analyze?x=1", self.authority)
    }

    fn post(&self) -> Request<Bytes> {
        Request::post(self.url()).body(Bytes::from("some words")).unwrap()
    }

    fn get(&self) -> Request<Bytes> {
        Request::get(self.url()).body(Bytes::new()).unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn paid(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(Seen::is_paid).collect()
    }

    /// Nothing was signed.
    fn assert_no_payment(&self) {
        assert!(self.paid().is_empty());
    }

    /// All payments that came, of which there must be `count`, are one.
    fn assert_one_payment(&self, count: usize) {
        let paid = self.paid();
        assert_eq!(paid.len(), count);
        let signatures: HashSet<_> = paid.iter().map(Seen::signature).collect();
        assert_eq!(signatures.len(), 1);
        for seen in &paid {
            assert_eq!((&seen.headers, &seen.body), (&paid[0].headers, &paid[0].body));
        }
    }
}

fn offer() -> Offer<'static> {
    let usdc = *Asset::find(ChainId::ETHEREUM, "USDC").unwrap();
    let pay_to = Address::parse(PAY_TO).unwrap();
    Offer::new(usdc, pay_to, x402_core::Amount::from_units(10_000), 60)
}

fn challenge(offer: &Offer<'_>, error: Option<Code>) -> Body {
    let mut response = Response::builder().status(402);
    emit_challenge(offer, error, |field, value| {
        response.headers_mut().unwrap().insert(field.name(), value.parse().unwrap());
    });
    response.body(Full::default()).unwrap()
}

/// A 402 of these fields and no others.
fn fields(fields: &[(&str, &str)]) -> Body {
    let mut response = Response::builder().status(402);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(Full::default()).unwrap()
}

fn status(status: u16, headers: &[(&str, &str)], body: &'static str) -> Option<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    Some(response.body(Full::from(body)).unwrap())
}

fn settled() -> Option<Body> {
    let proof = [("X-Payment-Status", "settled"), ("X-Payment-Transaction", TRANSACTION)];
    status(200, &proof, "served")
}

mod budget;
mod dialects;
mod outcomes;

fn signer() -> K256Signer {
    K256Signer::from_bytes(&[7; 32]).unwrap()
}

fn limits() -> Limits {
    Limits::up_to(Price::parse("0.05").unwrap())
}

fn client(limits: Limits) -> PayingClient {
    PayingClient::builder(signer(), limits).build().unwrap()
}

async fn refuses_unsigned(shop: &Shop, limits: Limits) -> ClientError {
    let error = client(limits).send(shop.post()).await.unwrap_err();
    assert_eq!((shop.seen().len(), shop.paid().len()), (1, 0));
    assert!(error.payment().is_none());
    error
}

#[tokio::test]
async fn pays_what_is_asked_for() {
    let shop = Shop::selling(|seen, _| {
        // A seller's own check of what came.
        let payment = seen.payment().unwrap().resolve(&offer()).unwrap();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let _ = offer().requirements().check(&payment, &Moment::at(now), &K256).unwrap();
        settled()
    })
    .await;
    let mut request = shop.post();
    request.headers_mut().insert("accept", "text/plain".parse().unwrap());
    let answer = client(limits()).send(request).await.unwrap();

    assert_eq!(answer.response.body(), "served");
    let payment = answer.payment.unwrap();
    assert_eq!(payment.to_string(), format!("0.01 USDC on ethereum to {PAY_TO}"));
    assert_eq!((payment.status, payment.payer), (Status::Settled, signer().address()));
    assert_eq!(payment.transaction.unwrap().to_string(), TRANSACTION);
    let seen = shop.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!((&seen[0].method, &seen[0].path), (&seen[1].method, &seen[1].path));
    assert_eq!(
        (&seen[0].body, seen[1].headers.get("accept")),
        (&seen[1].body, seen[0].headers.get("accept"))
    );
    assert!(!seen[0].is_paid());
}

/// What the seller has signed of its price goes back with the payment, and is kept with it.
#[tokio::test]
async fn a_quote_is_echoed() {
    let shop = Shop::open(|seen, _| {
        if seen.is_paid() {
            return settled();
        }
        let mut told = challenge(&offer(), None);
        told.headers_mut().insert("x-payment-quote", "AQ-_z".parse().unwrap());
        Some(told)
    })
    .await;
    let answer = client(limits()).send(shop.post()).await.unwrap();
    let [paid] = &shop.paid()[..] else { panic!("one payment") };
    assert_eq!(paid.headers["x-payment-quote"], "AQ-_z");
    let kept = Payment::load(&answer.payment.unwrap().save()).unwrap();
    assert_eq!(kept.headers()["x-payment-quote"], "AQ-_z");
}

#[tokio::test]
async fn what_is_free_is_not_paid_for() {
    let shop = Shop::open(|_, _| status(200, &[], "free")).await;
    let answer = client(limits()).send(shop.post()).await.unwrap();
    assert!(answer.payment.is_none());
    assert_eq!(answer.response.body(), "free");
}

#[tokio::test]
async fn a_price_above_the_maximum_is_not_signed() {
    let shop = Shop::selling(|_, _| settled()).await;
    let error = refuses_unsigned(&shop, Limits::up_to(Price::parse("0.009999").unwrap())).await;
    assert!(matches!(error, ClientError::Limit { error: PolicyError::Amount, .. }), "{error}");
    assert!(error.to_string().contains("0.01 USDC on ethereum"), "{error}");
}

#[tokio::test]
async fn pins_hold() {
    let shop = Shop::selling(|_, _| settled()).await;
    let other = Address::parse("0x70997970C51812dc3A010C7d01b50e0d17dc79C8").unwrap();
    let builder = || PayingClient::builder(signer(), limits());
    for (builder, expected) in [
        (builder().recipient(other), PolicyError::Recipient),
        (builder().asset("EURC"), PolicyError::Asset),
        (builder().network(ChainId::BASE), PolicyError::Network),
    ] {
        let error = builder.build().unwrap().send(shop.post()).await.unwrap_err();
        assert!(
            matches!(&error, ClientError::Limit { error, .. } if *error == expected),
            "{error}"
        );
    }
    assert!(shop.paid().is_empty());
    let builder = builder().recipient(Address::parse(PAY_TO).unwrap()).asset("USDC");
    let pinned = builder.network(ChainId::ETHEREUM).max_timeout_seconds(9).build().unwrap();
    let payment = pinned.send(shop.post()).await.unwrap().payment.unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(payment.valid_before.to_secs().unwrap() <= now + 9);
}

#[tokio::test]
async fn a_cheap_probe_buys_nothing() {
    // The policy is on the 402 that is answered, whatever an earlier one said.
    let dear = Offer::new(
        *offer().asset(),
        offer().requirements().pay_to,
        x402_core::Amount::from_units(1_000_000_000_000),
        60,
    );
    let shop = Shop::open(move |seen, _| match seen.method {
        http::Method::HEAD => Some(challenge(&offer(), None)),
        _ => Some(challenge(&dear, None)),
    })
    .await;
    let head = Request::head(shop.url()).body(Bytes::new()).unwrap();
    let client = client(limits());
    assert_eq!(client.quote(head).await.unwrap().terms().unwrap().amount.to_string(), "10000");
    let error = client.send(shop.get()).await.unwrap_err();
    assert!(matches!(error, ClientError::Limit { error: PolicyError::Amount, .. }), "{error}");
    assert!(shop.paid().is_empty());
}

#[tokio::test]
async fn no_payment_goes_to_another_origin() {
    let thief = Shop::open(|_, _| Some(challenge(&offer(), None))).await;
    for scheme in ["http", "https"] {
        for code in [301, 302, 303, 307, 308] {
            let location = format!("{scheme}://{}/x", thief.authority);
            let shop = Shop::open({
                let location = location.clone();
                move |_, _| status(code, &[("Location", &location)], "")
            })
            .await;
            let answer = client(limits()).send(shop.get()).await.unwrap();
            assert_eq!(answer.response.status(), code);
            assert!(answer.payment.is_none());
            // And where the redirect is the answer to a payment.
            let shop = Shop::selling(move |_, _| {
                status(code, &[("Location", &location), ("X-Payment-Transaction", TRANSACTION)], "")
            })
            .await;
            let answer = client(limits()).send(shop.get()).await.unwrap();
            assert_eq!(answer.response.status(), code);
            assert_eq!(answer.payment.unwrap().status, Status::Settled);
            shop.assert_one_payment(1);
        }
    }
    assert!(thief.seen().is_empty());
}

#[tokio::test]
async fn a_redirect_within_the_origin_is_followed_before_paying() {
    let shop = Shop::open(|seen, _| match seen.path.as_str() {
        "/new" if seen.is_paid() => settled(),
        "/new" => Some(challenge(&offer(), None)),
        _ => status(307, &[("Location", "/new")], ""),
    })
    .await;
    let answer = client(limits()).send(shop.post()).await.unwrap();
    assert_eq!(answer.payment.unwrap().uri().path(), "/new");
    let seen = shop.seen();
    assert_eq!(seen.iter().map(|seen| seen.is_paid()).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(seen[2].body, "some words");

    let round = Shop::open(|_, _| status(307, &[("Location", "/round")], "")).await;
    let error = client(limits()).send(round.post()).await.unwrap_err();
    assert!(matches!(error, ClientError::Redirects), "{error}");
    assert_eq!(round.seen().len(), 6);
}

#[tokio::test]
async fn a_402_for_ever_gets_one_signature() {
    const BODY: &str = r#"{"code":"402.2","reason":"invalid_exact_evm_payload_signature",
        "message":"the signature is not the payer's over these terms","help":"check the \u001b[31mdomain"}"#;
    let shop = Shop::selling(|_, _| {
        let mut response = challenge(&offer(), Some(Error::Signer.code()));
        *response.body_mut() = Full::from(BODY);
        Some(response)
    })
    .await;
    let error = client(limits()).send(shop.post()).await.unwrap_err();
    shop.assert_one_payment(1);
    assert_eq!(shop.seen().len(), 2);
    let text = error.to_string();
    let signature = shop.paid()[0].signature().unwrap().to_owned();
    assert!(!text.contains(&signature) && !format!("{error:?}").contains(&signature), "{error:?}");
    let ClientError::Refused(refused) = error else { panic!("{text}") };
    assert_eq!(refused.code, Some(Code::InvalidSignature));
    assert_eq!(refused.reason.as_deref(), Some("invalid_exact_evm_payload_signature"));
    assert_eq!(refused.help.as_deref(), Some("check the ?[31mdomain"));
    assert!(text.contains("402.2"), "{text}");
}

#[tokio::test]
async fn a_pending_payment_is_presented_again_unchanged() {
    const PENDING: &str =
        r#"{"code":"503","reason":"settlement_pending","message":"not known yet"}"#;
    let shop = Shop::selling(|_, count| match count {
        1 => status(503, &[("Retry-After", "0"), ("X-Payment-Status", "pending")], PENDING),
        2 => status(409, &[("Retry-After", "0")], r#"{"code":"409"}"#),
        _ => settled(),
    })
    .await;
    let mut waits = Vec::new();
    let client = client(limits());
    let answer = client
        .send_watched(shop.post(), &mut |event| {
            if let Event::Waiting { why, .. } = event {
                waits.push(why.to_owned());
            }
        })
        .await
        .unwrap();
    assert_eq!(answer.payment.unwrap().status, Status::Settled);
    shop.assert_one_payment(3);
    assert_eq!(waits, ["503, not known yet", "409 Conflict"]);
}

#[tokio::test]
async fn a_connection_that_breaks_gets_the_same_payment_again() {
    let shop = Shop::selling(|_, count| if count < 3 { None } else { settled() }).await;
    let answer = client(limits()).send(shop.post()).await.unwrap();
    assert_eq!(answer.payment.unwrap().status, Status::Settled);
    shop.assert_one_payment(3);
}

/// What shows to the seller that it is the payer who asks again: no reader of the chain has it.
#[tokio::test]
async fn each_payment_has_a_key_that_goes_with_it_and_stays_the_same() {
    // Each payment is lost on the way the first time.
    let shop = Shop::selling(|_, count| if count % 2 == 1 { None } else { settled() }).await;
    let client = client(limits());
    for _ in 0..2 {
        let payment = client.send(shop.post()).await.unwrap().payment.unwrap();
        let kept = Payment::load(&payment.save()).unwrap();
        assert_eq!(kept.headers()["idempotency-key"], payment.headers()["idempotency-key"]);
        assert!(payment.headers()["idempotency-key"].is_sensitive());
    }
    let keys: Vec<_> =
        shop.paid().iter().map(|seen| seen.headers["idempotency-key"].clone()).collect();
    assert_eq!((&keys[0], &keys[2]), (&keys[1], &keys[3]));
    assert!(keys[0] != keys[2] && keys.iter().all(|key| key.len() == 34), "{keys:?}");
    let mut request = shop.post();
    request.headers_mut().insert("idempotency-key", "order-17".parse().unwrap());
    let payment = client.send(request).await.unwrap().payment.unwrap();
    assert!(!payment.headers().contains_key("idempotency-key"));
    assert_eq!(shop.paid().last().unwrap().headers["idempotency-key"], "order-17");
}

#[tokio::test]
async fn an_outcome_that_stays_unknown_can_be_resumed() {
    let shop = Shop::selling(|_, count| match count {
        1..=5 => status(503, &[("Retry-After", "0")], ""),
        6 => status(503, &[("Retry-After", "3600")], ""),
        _ => settled(),
    })
    .await;
    let client = client(limits());
    let error = client.send(shop.post()).await.unwrap_err();
    assert!(matches!(&error, ClientError::Unresolved(why) if why.tries == 5), "{error}");
    let saved = error.payment().unwrap().save();
    let payment = Payment::load(&saved).unwrap();
    assert_eq!(payment.save(), saved);
    assert_eq!(Payment::load("{}").unwrap_err(), LoadError);

    // Nothing waits for an hour.
    let error = client.resume(shop.post(), payment.clone()).await.unwrap_err();
    assert!(matches!(&error, ClientError::Unresolved(why) if why.tries == 1), "{error}");
    let error = client.resume(shop.get(), payment.clone()).await.unwrap_err();
    assert!(matches!(error, ClientError::Request(_)), "{error}");
    let answer = client.resume(shop.post(), payment).await.unwrap();
    assert_eq!(answer.payment.unwrap().status, Status::Settled);
    shop.assert_one_payment(7);
}

#[tokio::test]
async fn an_answer_without_a_transaction_is_unproven() {
    const PAYER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    const PROOFS: [&[(&str, &str)]; 6] = [
        &[],
        &[("X-Payment-Status", "settled")],
        &[("X-Payment-Transaction", "0x12")],
        &[("X-Payment-Transaction", TRANSACTION), ("X-Payment-Transaction", TRANSACTION)],
        &[("X-Payment-Transaction", TRANSACTION), ("X-Payment-Payer", PAYER)],
        &[("X-Payment-Transaction", TRANSACTION), ("X-Payment-Status", "perhaps")],
    ];
    for proof in PROOFS {
        let shop = Shop::selling(move |_, _| status(200, proof, "")).await;
        let answer = client(limits()).send(shop.post()).await.unwrap();
        assert_eq!(answer.payment.unwrap().status, Status::Unproven, "{proof:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_fetched_twice() {
    let shop = Shop::selling(|_, _| status(200, &[], "0123456789")).await;
    let client = PayingClient::builder(signer(), limits()).body_limit(9).build().unwrap();
    let error = client.send(shop.post()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unresolved(_)), "{error}");
    shop.assert_one_payment(1);
}

#[tokio::test]
async fn an_unknown_asset_is_refused_unless_it_was_made_known() {
    const TOKEN: &str = "0x3333333333333333333333333333333333333333";
    let usdc = *offer().asset();
    let token = Asset { symbol: "TOK", address: Address::parse(TOKEN).unwrap(), ..usdc };
    // Says that it is USDC, and is not: the table's row is signed for.
    let false_usdc = Asset { symbol: "USDC", name: "Other", ..token };
    let priced = move |asset| {
        Offer::new(asset, offer().requirements().pay_to, x402_core::Amount::from_units(1), 60)
    };
    let shop = Shop::open(move |seen, _| match seen.is_paid() {
        true => settled(),
        false => Some(challenge(&priced(token), None)),
    })
    .await;
    let error = refuses_unsigned(&shop, limits()).await;
    assert!(matches!(&error, ClientError::UnknownAsset { asset, .. } if asset == "TOK"), "{error}");
    let builder = PayingClient::builder(signer(), limits()).known_asset(&token);
    let client = builder.known_asset(&false_usdc).build().unwrap();
    let payment = client.send(shop.post()).await.unwrap().payment.unwrap();
    assert_eq!(payment.asset.address, token.address);

    let shop = Shop::selling(|_, _| settled()).await;
    let payment = client.send(shop.post()).await.unwrap().payment.unwrap();
    assert_eq!((payment.asset.address, payment.asset.name.as_str()), (usdc.address, "USD Coin"));
}

#[tokio::test]
async fn other_dialects_are_named() {
    const ANSWERS: [(&[(&str, &str)], Foreign); 3] = [
        (&[("X-Payment-Required", "eyJ4NDAyVmVyc2lvbiI6Mn0=")], Foreign::EncodedTerms),
        (&[("PAYMENT-REQUIRED", "eyJ4NDAyVmVyc2lvbiI6MiwiYWNjZXB0cyI6W119")], Foreign::V2),
        (&[], Foreign::Unknown),
    ];
    for (headers, expected) in ANSWERS {
        let shop = Shop::open(move |_, _| Some(fields(headers))).await;
        let error = refuses_unsigned(&shop, limits()).await;
        assert!(matches!(error, ClientError::Foreign(foreign) if foreign == expected), "{error}");
    }
    let shop = Shop::open(|_, _| status(402, &[], r#"{"x402Version":1,"accepts":[]}"#)).await;
    let error = refuses_unsigned(&shop, limits()).await;
    assert!(matches!(error, ClientError::Foreign(Foreign::V1)), "{error}");
}

#[tokio::test]
async fn terms_that_cannot_be_read_are_not_paid() {
    let whole = [
        ("X-Payment-Required", "true"),
        ("X-Payment-Amount", "0.01"),
        ("X-Payment-Asset", "USDC"),
        ("X-Payment-Network", "ethereum"),
        ("X-Payment-Recipient", PAY_TO),
    ];
    for (at, value) in [
        (1, "0x10"),
        (1, "1e2"),
        (1, "-1"),
        (1, ""),
        (1, "0.0000001"),
        (3, "mainnet"),
        (4, "0x209693Bc6afc0C5328bA36FaF03C514EF312287c"),
    ] {
        let mut broken = whole;
        broken[at].1 = value;
        let shop = Shop::open(move |_, _| Some(fields(&broken))).await;
        let error = refuses_unsigned(&shop, limits()).await;
        assert!(matches!(error, ClientError::Terms(_) | ClientError::Price), "{value}: {error}");
    }
    let shop = Shop::open(move |_, _| Some(fields(&whole[..4]))).await;
    let error = refuses_unsigned(&shop, limits()).await;
    assert!(matches!(error, ClientError::Terms(HeaderError::Missing(Field::Recipient))), "{error}");
    // Two prices are none, and prose is no terms.
    let twice = [whole[0], whole[1], ("X-Payment-Amount", "0.02"), whole[2], whole[3], whole[4]];
    let shop = Shop::open(move |_, _| Some(fields(&twice))).await;
    let error = refuses_unsigned(&shop, limits()).await;
    assert!(matches!(error, ClientError::Terms(HeaderError::Duplicate(_))), "{error}");
}

#[tokio::test]
async fn a_quote_never_pays() {
    let shop = Shop::selling(|_, _| settled()).await;
    let client = QuotingClient::new(HttpOptions::default()).unwrap();
    let quote = client.quote(shop.post()).await.unwrap();
    let terms = quote.terms().unwrap();
    assert_eq!(terms.to_string(), format!("0.01 USDC on ethereum to {PAY_TO}"));
    assert!(shop.paid().is_empty());
}

#[tokio::test]
async fn parallel_payments_are_different_ones() {
    let shop = Shop::selling(|_, _| settled()).await;
    let client = client(limits());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (client, request) = (client.clone(), shop.post());
        tasks.spawn(async move { client.send(request).await.unwrap().payment.unwrap().nonce });
    }
    let nonces: HashSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(nonces.len(), 20);
    let signatures: HashSet<_> =
        shop.paid().iter().map(|seen| seen.signature().unwrap().to_owned()).collect();
    assert_eq!(signatures.len(), 20);
}

#[tokio::test]
async fn requests_that_must_not_be_sent_are_not() {
    let client = client(limits());
    for url in [
        "/path",
        "ftp://127.0.0.1/",
        "http://user:secret@127.0.0.1/",
        "http://127.0.0.1:65616/",
        "http://127.0.0.1:+80/",
        "http://127.0.0.1:/",
    ] {
        let error = client.send(Request::get(url).body(Bytes::new()).unwrap()).await.unwrap_err();
        assert!(matches!(error, ClientError::Request(_)), "{url}: {error}");
        assert!(!error.to_string().contains("secret"));
    }
    let request = Request::get("http://127.0.0.1/").header("x-payment-nonce", "1");
    let error = client.send(request.body(Bytes::new()).unwrap()).await.unwrap_err();
    assert!(matches!(error, ClientError::Request(_)), "{error}");
}

#[tokio::test]
async fn a_seller_that_is_down_costs_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let request = Request::get(url).body(Bytes::new()).unwrap();
    let error = client(limits()).send(request).await.unwrap_err();
    assert!(matches!(error, ClientError::Unpaid(FetchError::Connect(_))), "{error}");
}

#[tokio::test]
async fn a_signer_may_decline() {
    #[derive(Debug)]
    struct Locked;

    impl Signer for Locked {
        type Error = io::Error;

        fn address(&self) -> Address {
            Address::ZERO
        }

        fn sign(&self, _: &x402_core::Digest) -> Result<x402_core::Signature, io::Error> {
            Err(io::Error::other("the device is locked"))
        }
    }

    let shop = Shop::selling(|_, _| settled()).await;
    let client = PayingClient::builder(Locked, limits()).build().unwrap();
    let error = client.send(shop.post()).await.unwrap_err();
    assert_eq!(error.to_string(), "the signer did not sign: the device is locked");
    assert!(shop.paid().is_empty());
}

#[test]
fn nothing_shows_the_key() {
    let text = format!("{:?}", client(limits()));
    assert!(!text.contains("0707"), "{text}");
}
