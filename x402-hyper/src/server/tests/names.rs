//! The names of balances: replaced, signed for, too old, and shown to whoever reads along.

use http::HeaderValue;
use x402_core::proof::{self, CreditProof, CreditStatement, DrawnRequest, ProofField};
use x402_core::secp256k1::K256Signer;
use x402_core::{Amount, Nonce, Signer as _, keccak256};
use x402_std::quote::CreditToken;

use super::metered::{account, balance, bytewise, drawing, name, paid, pieces, sells};
use super::*;
use crate::server::Peer;
use crate::server::testing::{NOW, keys, signer};

/// What is left of a payment for an answer.
const LEFT: u128 = 10_000 - 12;

async fn refused(
    service: &PaymentService<impl Echo>,
    request: Request<Full<Bytes>>,
    status: u16,
    reason: &str,
) {
    let (head, body) = send(service, request).await;
    assert_eq!(head.status, status, "{body:?}");
    let said: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&said["code"], &said["reason"]), (&status.to_string().into(), &reason.into()));
    assert!(
        said["message"].as_str().unwrap().len() > 20 && said["help"].as_str().unwrap().len() > 20
    );
    assert!(!head.headers.contains_key("x-payment-credit"));
}

/// The name that an answer tells.
fn told(head: &http::response::Parts) -> String {
    text(&head.headers, "x-payment-credit").to_owned()
}

async fn pay(service: &PaymentService<impl Echo>, shop: &Shop, nonce: u8) -> String {
    let (head, _) = send(service, paid(shop, nonce)).await;
    assert_eq!(head.status, StatusCode::OK);
    told(&head)
}

fn proof(shop: &Shop, statement: CreditStatement<'_>, time: u64) -> String {
    prove("http://localhost", &signer(), shop, statement, time)
}

fn prove(
    origin: &str,
    key: &K256Signer,
    shop: &Shop,
    statement: CreditStatement<'_>,
    time: u64,
) -> String {
    let terms = shop.offer.requirements();
    let (chain_id, asset, pay_to) = (terms.chain_id, terms.asset, terms.pay_to);
    let payer = payer();
    let proof = CreditProof { origin, payer, chain_id, asset, pay_to, statement, time };
    let Ok(signature) = key.sign(&proof.digest());
    ProofField { time, signature }.to_string()
}

fn asking(what: &str, proof: &str) -> Request<Full<Bytes>> {
    let request = Request::post("/a").header("X-Payment-Credit", what);
    let request = request.header("X-Payment-From", payer().to_string());
    request.header(proof::FIELD, proof).body(full("")).unwrap()
}

/// A draw for `words` with a signature for this request.
fn signed(
    shop: &Shop,
    credit: &str,
    nonce: u8,
    (method, target, body): (&str, &str, &str),
) -> Request<Full<Bytes>> {
    let request = DrawnRequest {
        method,
        target,
        body: keccak256(&[body.as_bytes()]),
        nonce: Nonce::new(Amount::from_units(nonce.into()).to_be_bytes()),
    };
    let value = proof(shop, CreditStatement::Draw(request), NOW);
    let mut request = drawing(credit, &nonce.to_string(), "/a");
    request.headers_mut().insert("x-payment-proof", value.parse().unwrap());
    request
}

const THIS: (&str, &str, &str) = ("POST", "/a", "words");

#[tokio::test]
async fn a_name_that_was_replaced_is_refused_and_the_balance_stays() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, Settle::First, None).layer(echo(&seen));
    let old = pay(&service, &shop, 1).await;
    pay(&service, &shop, 2).await;
    let (head, first) = send(&service, drawing(&old, "5", "/a")).await;
    assert_eq!(head.status, StatusCode::OK);
    let names = shop.seller.replace_names(account(&shop)).await.unwrap();
    assert_eq!((names.generation, balance(&shop).await), (1, 2 * LEFT - 12));
    // The answer that was drawn before, another one, and a name of old that was told later.
    let later = CreditToken { made_at: NOW + 9, ..name(&shop) }.sign(&keys());
    for request in [drawing(&old, "5", "/a"), drawing(&old, "6", "/a"), drawing(&later, "7", "/a")]
    {
        refused(&service, request, 403, "credit_replaced").await;
    }
    assert_eq!((seen.runs(), balance(&shop).await), (3, 2 * LEFT - 12));
    // The new name goes on where the old one was: what was drawn is given again and not drawn again.
    let new = CreditToken { generation: 1, ..name(&shop) }.sign(&keys());
    let (head, again) = send(&service, drawing(&new, "5", "/a")).await;
    assert_eq!((head.status, again, seen.runs()), (StatusCode::OK, first, 3));
    assert_eq!(send(&service, drawing(&new, "6", "/a")).await.0.status, StatusCode::OK);
    assert_eq!((seen.runs(), balance(&shop).await), (4, 2 * LEFT - 24));
    // Who pays is told it.
    assert_eq!(pay(&service, &shop, 3).await, new);
}

#[tokio::test]
async fn what_is_being_drawn_when_the_name_is_replaced_is_drawn() {
    let shop = Shop::new();
    let seen = Seen::default();
    let service = sells(&shop, Settle::First, None).layer(echo(&seen));
    let old = pay(&service, &shop, 1).await;
    pay(&service, &shop, 2).await;
    let (sender, inner) = pieces("text/plain");
    let slow = sells(&shop, Settle::First, None).layer(inner);
    let answer = slow.oneshot(drawing(&old, "5", "/a")).await.unwrap();
    assert_eq!((answer.status(), balance(&shop).await), (StatusCode::OK, 2 * LEFT - 10_000));
    shop.seller.replace_names(account(&shop)).await.unwrap();
    sender.send(Ok(Bytes::from_static(b"three"))).await.unwrap();
    drop(sender);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!((&body[..], balance(&shop).await), (&b"three"[..], 2 * LEFT - 5));
}

#[tokio::test]
async fn a_payer_replaces_his_names_with_a_signature() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, Settle::First, None).layer(echo(&seen));
    let by_key = |time| asking("new", &proof(&shop, CreditStatement::Rename, time));
    refused(&service, by_key(NOW), 404, "no_credit").await;
    let old = pay(&service, &shop, 1).await;
    pay(&service, &shop, 2).await;
    let (head, body) = send(&service, by_key(NOW)).await;
    assert_eq!((head.status, seen.runs()), (StatusCode::OK, 2), "{body:?}");
    let new = told(&head);
    assert_eq!(new, CreditToken { generation: 1, ..name(&shop) }.sign(&keys()));
    assert_eq!(text(&head.headers, "x-payment-balance"), "0.019976");
    assert_eq!(text(&head.headers, "cache-control"), "no-store");
    let said: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let expected = serde_json::json!({"credit": new, "expires": null, "draws": "bearer"});
    assert_eq!(said, expected);
    refused(&service, drawing(&old, "1", "/a"), 403, "credit_replaced").await;
    assert_eq!(send(&service, drawing(&new, "1", "/a")).await.0.status, StatusCode::OK);
    // A proof is good once: who has read it replaces nothing, and is told nothing.
    refused(&service, by_key(NOW), 409, "credit_proof_used").await;
    refused(&service, by_key(NOW - 1), 409, "credit_proof_used").await;
    assert_eq!(send(&service, drawing(&new, "2", "/a")).await.0.status, StatusCode::OK);
    assert_eq!(send(&service, by_key(NOW + 1)).await.0.status, StatusCode::OK);
    refused(&service, drawing(&new, "3", "/a"), 403, "credit_replaced").await;
    assert_eq!((seen.runs(), shop.chain.broadcasts()), (4, 2));
}

#[tokio::test]
async fn nobody_else_replaces_them_nor_with_what_is_signed_for_something_else() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, Settle::First, None).layer(echo(&seen));
    pay(&service, &shop, 1).await;
    let (rename, stranger) = (CreditStatement::Rename, K256Signer::from_bytes(&[7; 32]).unwrap());
    let drawn =
        DrawnRequest { method: "POST", target: "/a", body: [0; 32], nonce: Nonce::new([0; 32]) };
    for value in [
        String::new(),
        prove("http://localhost", &stranger, &shop, rename, NOW),
        prove("http://other.example", &signer(), &shop, rename, NOW),
        proof(&shop, rename, NOW - 61),
        proof(&shop, rename, NOW + 61),
        proof(&shop, CreditStatement::RequireSignature, NOW),
        proof(&shop, CreditStatement::Draw(drawn), NOW),
    ] {
        refused(&service, asking("new", &value), 403, "invalid_credit_proof").await;
    }
    let good = proof(&shop, rename, NOW);
    for other in ["signed", "bearer"] {
        refused(&service, asking(other, &good), 403, "invalid_credit_proof").await;
    }
    refused(&service, asking("New", &good), 400, "invalid_credit").await;
    let without = |name: &str| {
        let mut request = asking("new", &good);
        request.headers_mut().remove(name);
        request
    };
    let (head, _) = send(&service, without("x-payment-from")).await;
    assert_eq!(head.status, StatusCode::BAD_REQUEST);
    refused(&service, without("x-payment-proof"), 403, "invalid_credit_proof").await;
    let mut beside = paid(&shop, 2);
    beside.headers_mut().extend(asking("new", &good).headers().clone());
    assert_eq!(send(&service, beside).await.0.status, StatusCode::BAD_REQUEST);
    let names = shop.seller.credit_names(account(&shop)).await.unwrap();
    assert_eq!((names.generation, seen.runs(), shop.chain.broadcasts()), (0, 1, 1));
}

#[tokio::test]
async fn who_wants_it_draws_with_his_signature_alone() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, Settle::First, None).layer(echo(&seen));
    pay(&service, &shop, 1).await;
    pay(&service, &shop, 2).await;
    let value = proof(&shop, CreditStatement::RequireSignature, NOW);
    let (head, body) = send(&service, asking("signed", &value)).await;
    assert!(String::from_utf8_lossy(&body).contains(r#""draws":"signed""#), "{body:?}");
    let credit = told(&head);
    let needed = "credit_signature_required";
    refused(&service, drawing(&credit, "1", "/a"), 403, needed).await;
    for other in [("PUT", "/a", "words"), ("POST", "/a?b", "words"), ("POST", "/a", "word")] {
        refused(&service, signed(&shop, &credit, 1, other), 403, needed).await;
    }
    let mut another = signed(&shop, &credit, 1, THIS);
    another.headers_mut().insert("x-payment-nonce", HeaderValue::from_static("2"));
    refused(&service, another, 403, needed).await;
    let mut elsewhere = signed(&shop, &credit, 1, THIS);
    elsewhere.headers_mut().insert("host", HeaderValue::from_static("other.example"));
    refused(&service, elsewhere, 403, needed).await;
    assert_eq!((seen.runs(), balance(&shop).await), (2, 2 * LEFT));
    for _ in 0..2 {
        let (head, body) = send(&service, signed(&shop, &credit, 1, THIS)).await;
        // It is read before it is passed on, so that what measures the answer sees it, too.
        assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"secret:words and more"[..]));
        assert_eq!((told(&head), seen.runs()), (credit.clone(), 3));
    }
    assert!(!seen.last().0.headers.contains_key("x-payment-proof"));
    // Also what was done is given again for a signature alone.
    refused(&service, drawing(&credit, "1", "/a"), 403, needed).await;
    // A new name changes nothing of it, until the payer says so.
    shop.seller.replace_names(account(&shop)).await.unwrap();
    let credit = CreditToken { generation: 2, ..name(&shop) }.sign(&keys());
    refused(&service, drawing(&credit, "2", "/a"), 403, needed).await;
    let value = proof(&shop, CreditStatement::AllowName, NOW + 1);
    let (head, _) = send(&service, asking("bearer", &value)).await;
    assert_eq!(send(&service, drawing(&told(&head), "2", "/a")).await.0.status, StatusCode::OK);
    // What is signed where it need not be is no other draw.
    let (head, _) = send(&service, signed(&shop, &told(&head), 2, THIS)).await;
    assert_eq!((head.status, seen.runs()), (StatusCode::OK, 4));
    assert_eq!(balance(&shop).await, 2 * LEFT - 21 - 12);
}

/// Whether the price depends on the body or not, and on whatever side it is too large.
#[tokio::test]
async fn a_signed_body_is_read_before_it_is_paid_for() {
    struct ByBody(Arc<Sale>);
    impl Pricing for ByBody {
        fn quote(&self, head: &Parts) -> Quote {
            match head.uri.path() {
                "/a" => Quote::ByBody(100),
                _ => Quote::Paid(Arc::clone(&self.0)),
            }
        }
        fn quote_body(&self, _: &Parts, _: &Bytes) -> Quote {
            Quote::Paid(Arc::clone(&self.0))
        }
    }
    let (shop, seen) = (Shop::new(), Seen::default());
    let sale = Sale { metering: bytewise(None), ..Sale::from(shop.offer) };
    let layer = PaymentLayer::new(Arc::clone(&shop.seller), ByBody(Arc::new(sale)));
    let service = layer.signing(keys()).layer(echo(&seen));
    pay(&service, &shop, 1).await;
    pay(&service, &shop, 2).await;
    let value = proof(&shop, CreditStatement::RequireSignature, NOW);
    let credit = told(&send(&service, asking("signed", &value)).await.0);
    let (head, body) = send(&service, signed(&shop, &credit, 1, THIS)).await;
    assert_eq!((head.status, seen.runs()), (StatusCode::OK, 3), "{body:?}");
    refused(
        &service,
        signed(&shop, &credit, 2, ("POST", "/a", "")),
        403,
        "credit_signature_required",
    )
    .await;
    for (path, length, says) in [("/a", 101, "priced"), ("/b", 1_048_577, "signed")] {
        let mut request = signed(&shop, &credit, 3, ("POST", path, "words"));
        *request.uri_mut() = path.parse().unwrap();
        *request.body_mut() = Full::new(vec![b'a'; length].into());
        let (head, body) = send(&service, request).await;
        assert_eq!(head.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(String::from_utf8_lossy(&body).contains(says), "{body:?}");
    }
    assert_eq!(seen.runs(), 3);
}

#[tokio::test]
async fn a_name_ends_with_its_time_and_the_balance_does_not() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let layer = sells(&shop, Settle::First, None).credit_names_for(Duration::from_secs(600));
    let service = layer.layer(echo(&seen));
    let (head, _) = send(&service, paid(&shop, 1)).await;
    assert_eq!(text(&head.headers, "x-payment-credit-expires"), (NOW + 600).to_string());
    assert_eq!(told(&head), name(&shop).sign(&keys()));
    pay(&service, &shop, 2).await;
    let made = |made_at| CreditToken { made_at, ..name(&shop) }.sign(&keys());
    // By drawing it does not become younger.
    let last = made(NOW - 600);
    for _ in 0..2 {
        let (head, _) = send(&service, drawing(&last, "1", "/a")).await;
        assert_eq!((head.status, told(&head)), (StatusCode::OK, last.clone()));
        assert_eq!(text(&head.headers, "x-payment-credit-expires"), NOW.to_string());
    }
    for (nonce, made_at) in [("1", NOW - 601), ("2", NOW - 601), ("3", 0)] {
        refused(&service, drawing(&made(made_at), nonce, "/a"), 403, "credit_expired").await;
    }
    assert_eq!((seen.runs(), balance(&shop).await), (3, 2 * LEFT - 12));
    // Who pays has another, and who signs.
    assert_eq!(pay(&service, &shop, 3).await, made(NOW));
    let (head, body) =
        send(&service, asking("new", &proof(&shop, CreditStatement::Rename, NOW))).await;
    let said: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((head.status, &said["expires"]), (StatusCode::OK, &(NOW + 600).into()));
    assert_eq!(send(&service, drawing(&told(&head), "2", "/a")).await.0.status, StatusCode::OK);
}

/// The request, as it comes from that address.
fn from(peer: &str, mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    request.extensions_mut().insert(Peer(peer.parse().unwrap()));
    request
}

#[tokio::test]
async fn over_plain_http_a_name_is_neither_taken_nor_told() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = sells(&shop, Settle::First, None).layer(echo(&seen));
    const FAR: &str = "192.0.2.7";
    // Also not with an answer that is given again, whoever asks for it.
    for _ in 0..2 {
        let (head, body) = send(&service, from(FAR, paid(&shop, 1))).await;
        assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"secret:words"[..]));
        assert!(!head.headers.contains_key("x-payment-credit"));
        let why = text(&head.headers, "x-payment-credit-withheld");
        assert!(why.starts_with("insecure_transport") && why.contains("HTTPS"), "{why}");
    }
    // Who has read the request has no more of it over another line; the payer signs for his.
    let (head, _) = send(&service, from("::1", paid(&shop, 1))).await;
    assert_eq!(head.status, StatusCode::OK);
    assert!(!head.headers.contains_key("x-payment-credit"));
    let value = proof(&shop, CreditStatement::Rename, NOW);
    let (head, _) = send(&service, from("::1", asking("new", &value))).await;
    let credit = told(&head);
    pay(&service, &shop, 2).await;
    for request in [drawing(&credit, "1", "/a"), asking("new", &value), drawing("", "1", "/a")] {
        refused(&service, from(FAR, request), 403, "insecure_transport").await;
    }
    let mut proxied = drawing(&credit, "1", "/a");
    proxied.headers_mut().insert("x-forwarded-proto", HeaderValue::from_static("http"));
    refused(&service, from("127.0.0.1", proxied), 403, "insecure_transport").await;
    assert_eq!((seen.runs(), balance(&shop).await), (2, 2 * LEFT));
    let (head, _) = send(&service, from("127.0.0.1", drawing(&credit, "1", "/a"))).await;
    assert_eq!(head.status, StatusCode::OK);
    // Behind a proxy that speaks TLS.
    let service = at(&shop, "https://shop.example").layer(echo(&seen));
    let (head, _) = send(&service, from(FAR, paid(&shop, 3))).await;
    assert_eq!(told(&head), credit);
    let (head, _) = send(&service, from(FAR, drawing(&credit, "2", "/a"))).await;
    assert_eq!((head.status, told(&head)), (StatusCode::OK, credit));
}

/// The seller at this URL, as its payers know it.
fn at(shop: &Shop, base_url: &str) -> PaymentLayer {
    let (base_url, metering) = (base_url.to_owned(), bytewise(None));
    let sale = Arc::new(Sale { base_url, metering, ..Sale::from(shop.offer) });
    let pricing = move |_: &Parts| Quote::Paid(Arc::clone(&sale));
    PaymentLayer::new(Arc::clone(&shop.seller), pricing).signing(keys())
}

/// Behind a proxy anybody can write a `Host`: what is signed for that one is good where the seller says its own.
#[tokio::test]
async fn a_signature_is_for_an_origin_that_the_seller_says_or_for_this_machine() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let proxied = |mut request: Request<Full<Bytes>>| {
        let fields = [("x-forwarded-proto", "https"), ("x-forwarded-for", "192.0.2.7")];
        for (name, value) in fields {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        from("127.0.0.1", request)
    };
    let service = at(&shop, "").layer(echo(&seen));
    pay(&service, &shop, 1).await;
    let by_host = asking("new", &proof(&shop, CreditStatement::Rename, NOW));
    refused(&service, proxied(by_host.clone()), 403, "invalid_credit_proof").await;
    let (head, _) = send(&service, from("127.0.0.1", by_host)).await;
    assert_eq!(head.status, StatusCode::OK);
    let service = at(&shop, "https://shop.example").layer(echo(&seen));
    let time = NOW + 1;
    let said = prove("https://shop.example", &signer(), &shop, CreditStatement::Rename, time);
    let (head, _) = send(&service, proxied(asking("new", &said))).await;
    assert_eq!(head.status, StatusCode::OK);
}

#[tokio::test]
async fn what_was_signed_and_sent_in_the_clear_is_used_up() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = at(&shop, "https://shop.example").layer(echo(&seen));
    let old = pay(&service, &shop, 1).await;
    let said = prove("https://shop.example", &signer(), &shop, CreditStatement::Rename, NOW);
    let mut clear = asking("new", &said);
    clear.headers_mut().insert("x-forwarded-proto", HeaderValue::from_static("http"));
    refused(&service, clear, 403, "insecure_transport").await;
    // Whoever has read it has nothing by it, and the names before it have ended, as was asked for.
    refused(&service, asking("new", &said), 409, "credit_proof_used").await;
    refused(&service, drawing(&old, "1", "/a"), 403, "credit_replaced").await;
}
