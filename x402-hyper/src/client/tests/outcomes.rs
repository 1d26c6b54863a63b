//! What a seller's answers are taken for: paid, refused, or open.

use serde_json::{Value, json};

use super::dialects::{receipt, served, shop, terms_of, told};
use super::*;

const SETTLED: [(&str, &str); 2] =
    [("X-Payment-Status", "settled"), ("X-Payment-Transaction", TRANSACTION)];

fn v2() -> Option<Value> {
    Some(terms_of(&[offer()]).1)
}

/// A receipt of a settlement that has failed.
fn failed(reason: &str) -> Value {
    let mut failed = receipt("eip155:1");
    failed["success"] = json!(false);
    failed["transaction"] = json!("");
    failed["errorReason"] = json!(reason);
    failed
}

fn as_402(mut answer: Body) -> Body {
    *answer.status_mut() = 402.try_into().unwrap();
    answer
}

/// v2's terms again, with what was wrong with the payment.
fn terms_again(reason: &str) -> Body {
    let mut terms = v2().unwrap();
    terms["error"] = json!(reason);
    told(None, Some(&terms))
}

#[tokio::test]
async fn a_402_beside_a_receipt_was_paid() {
    let wire = [("PAYMENT-RESPONSE", "eip155:1"), ("X-PAYMENT-RESPONSE", "ethereum")];
    for (field, network) in wire {
        let shop = shop(None, v2(), move |_, _| as_402(served(field, &receipt(network)))).await;
        let answer = client(limits()).send(shop.post()).await.unwrap();
        let payment = answer.payment.unwrap();
        assert_eq!((answer.response.status().as_u16(), payment.status), (402, Status::Settled));
        assert_eq!(payment.transaction.unwrap().to_string(), TRANSACTION);
        shop.assert_one_payment(1);
    }
    let shop = Shop::selling(|_, _| status(402, &SETTLED, "")).await;
    let payment = client(limits()).send(shop.post()).await.unwrap().payment.unwrap();
    assert_eq!(payment.status, Status::Settled);
}

#[tokio::test]
async fn a_settlement_that_failed_for_another_reason_than_those_listed_is_open() {
    for reason in [
        "fetch failed",
        "Facilitator settle failed (503): upstream",
        "unexpected_settle_error",
        "invalid_exact_evm_transaction_failed",
        "invalid_exact_evm_nonce_already_used",
        "invalid_exact_evm_transaction_simulation_failed",
        "",
    ] {
        let shop =
            shop(None, v2(), move |_, _| as_402(served("PAYMENT-RESPONSE", &failed(reason)))).await;
        let error = client(limits()).send(shop.post()).await.unwrap_err();
        assert!(matches!(error, ClientError::Unresolved(_)), "{reason}: {error}");
        assert!(error.to_string().contains(reason), "{reason}: {error}");
        shop.assert_one_payment(1);
    }
    for reason in ["invalid_exact_evm_signature", "insufficient_funds", "invalid_network"] {
        let shop =
            shop(None, v2(), move |_, _| as_402(served("PAYMENT-RESPONSE", &failed(reason)))).await;
        let error = client(limits()).send(shop.post()).await.unwrap_err();
        let ClientError::Refused(refused) = error else { panic!("{reason}: {error}") };
        assert_eq!(refused.reason.as_deref(), Some(reason));
    }
}

#[tokio::test]
async fn terms_that_come_again_are_a_refusal_for_a_listed_reason_only() {
    for (reason, is_refused) in [
        ("invalid_exact_evm_insufficient_balance", true),
        ("invalid_exact_evm_transaction_simulation_failed", true),
        ("No matching payment requirements", true),
        ("Facilitator settle failed (500): {}", false),
        ("Settlement failed", false),
    ] {
        let shop = shop(None, v2(), move |_, _| terms_again(reason)).await;
        let error = client(limits()).send(shop.post()).await.unwrap_err();
        assert_eq!(matches!(error, ClientError::Refused(_)), is_refused, "{reason}: {error}");
        assert_eq!(matches!(error, ClientError::Unresolved(_)), !is_refused, "{reason}: {error}");
    }
    // What says nothing, and what is said otherwise in the body, leaves it open.
    for body in ["", "{}", r#"{"error": {"a": 1}}"#, r#"{"error": "fetch failed"}"#] {
        let shop = shop(None, v2(), move |_, _| {
            let mut answer = terms_again("insufficient_funds");
            if !body.contains("fetch") {
                answer.headers_mut().clear();
            }
            *answer.body_mut() = body.into();
            answer
        })
        .await;
        let error = client(limits()).send(shop.post()).await.unwrap_err();
        assert!(matches!(error, ClientError::Unresolved(_)), "{body}: {error}");
    }
}

/// The first answer may have been that the payment was taken.
#[tokio::test]
async fn after_a_lost_answer_a_reason_of_the_moment_proves_nothing() {
    for (reason, is_refused) in [
        ("invalid_exact_evm_insufficient_balance", false),
        ("invalid_exact_evm_payload_authorization_valid_before", false),
        ("invalid_exact_evm_signature", true),
    ] {
        let shop = Shop::open(move |seen, count| match (seen.is_paid(), count) {
            (false, _) => Some(told(None, v2().as_ref())),
            (true, 1) => None,
            (true, _) => Some(terms_again(reason)),
        })
        .await;
        let error = client(limits()).send(shop.post()).await.unwrap_err();
        assert_eq!(matches!(error, ClientError::Refused(_)), is_refused, "{reason}: {error}");
        shop.assert_one_payment(2);
    }
    // So is what is resumed: it was sent before.
    let shop = shop(None, v2(), |_, count| match count {
        1 => as_402(served("PAYMENT-RESPONSE", &failed("fetch failed"))),
        _ => terms_again("insufficient_funds"),
    })
    .await;
    let client = client(limits());
    let error = client.send(shop.post()).await.unwrap_err();
    let payment = error.payment().unwrap().clone();
    let error = client.resume(shop.post(), payment.clone()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unresolved(_)), "{error}");
    shop.assert_one_payment(2);
    // Whoever cannot be reached now may have taken it before.
    drop(shop);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let saved = payment.save().replace(&payment.uri().to_string(), &gone);
    let payment = Payment::load(&saved).unwrap();
    let request = payment.request().unwrap();
    let error = client.resume(request, payment).await.unwrap_err();
    assert!(matches!(error, ClientError::Unresolved(_)), "{error}");
}

#[tokio::test]
async fn a_transaction_that_reverted_is_no_proof() {
    let hash = ("X-Payment-Transaction", TRANSACTION);
    const BODY: &str = r#"{"code":"409","reason":"invalid_exact_evm_nonce_already_used"}"#;
    for headers in [vec![hash], vec![hash, ("X-Payment-Status", "failed")]] {
        let own = headers.clone();
        let shop = Shop::selling(move |_, _| status(409, &own, BODY)).await;
        let error = client(limits()).send(shop.post()).await.unwrap_err();
        assert!(matches!(error, ClientError::Unresolved(_)), "{error}");
        let shop = Shop::selling(move |_, _| status(404, &headers, "")).await;
        let payment = client(limits()).send(shop.post()).await.unwrap().payment.unwrap();
        assert_eq!((payment.status, payment.transaction), (Status::Unproven, None));
    }
    let failed = [hash, ("X-Payment-Status", "failed")];
    // What was sent makes the next trial of the call fail: no reason by which nothing has moved.
    const TRIED: &str =
        r#"{"code":"402.1","reason":"invalid_exact_evm_transaction_simulation_failed"}"#;
    let shop = Shop::selling(move |_, _| status(402, &failed, TRIED)).await;
    let error = client(limits()).send(shop.post()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unresolved(_)), "{error}");
    let shop = Shop::selling(move |_, _| status(200, &failed, "")).await;
    let payment = client(limits()).send(shop.post()).await.unwrap().payment.unwrap();
    assert_eq!(payment.status, Status::Unproven);
}

/// A payer for whom gas was lost waits (`Refusal::TooSoon`); what the work says is the caller's.
#[tokio::test]
async fn who_is_told_to_wait_sends_the_same_payment_again() {
    let wait = [("Retry-After", "0")];
    const BODY: &str = r#"{"code":"429","reason":"unexpected_verify_error"}"#;
    let shop = Shop::selling(move |_, count| match count {
        1 => status(429, &wait, BODY),
        _ => settled(),
    })
    .await;
    let answer = client(limits()).send(shop.post()).await.unwrap();
    assert_eq!(answer.payment.unwrap().status, Status::Settled);
    shop.assert_one_payment(2);
    let shop = Shop::selling(move |_, _| status(429, &wait, "slowly")).await;
    let answer = client(limits()).send(shop.post()).await.unwrap();
    assert_eq!(answer.response.status(), 429);
    shop.assert_one_payment(1);
}

#[tokio::test]
async fn what_is_not_charged_is_said_whatever_the_dialect() {
    for code in [200, 404, 409, 500, 503] {
        let not_charged = [("X-Payment-Status", "not-charged"), ("Retry-After", "0")];
        let answer = move |_: &Seen, _| status(code, &not_charged, "no").unwrap();
        let shop = shop(None, v2(), answer).await;
        let answer = client(limits()).send(shop.post()).await.unwrap();
        assert_eq!(answer.response.status(), code);
        assert_eq!(answer.payment.unwrap().status, Status::NotCharged);
        shop.assert_one_payment(1);
    }
}

#[tokio::test]
async fn of_a_ceiling_what_was_taken_is_told() {
    let facilitator = Address::parse("0x70997970C51812dc3A010C7d01b50e0d17dc79C8").unwrap();
    let (_, v2) = terms_of(&[offer().up_to(facilitator)]);
    let pays = async |amount: Value, transaction: &str| {
        let mut receipt = receipt("eip155:1");
        receipt["transaction"] = json!(transaction);
        if !amount.is_null() {
            receipt["amount"] = amount;
        }
        let shop =
            shop(None, Some(v2.clone()), move |_, _| served("PAYMENT-RESPONSE", &receipt)).await;
        let client = PayingClient::builder(signer(), limits()).permit2(true).build().unwrap();
        let payment = client.send(shop.post()).await.unwrap().payment.unwrap();
        let paid = payment.to_string().split(" on ").next().unwrap().to_owned();
        (paid, payment.status, payment.taken.map(|taken| taken.to_string()))
    };
    let taken = |units: &str| Some(units.to_owned());
    let paid = |text: &str| text.to_owned();
    assert_eq!(
        pays(json!("2500"), TRANSACTION).await,
        (paid("0.0025 USDC"), Status::Settled, taken("2500"))
    );
    assert_eq!(
        pays(Value::Null, TRANSACTION).await,
        (paid("at most 0.01 USDC"), Status::Settled, None)
    );
    assert_eq!(pays(json!("0"), "").await, (paid("0 USDC"), Status::NotCharged, taken("0")));
    for odd in [json!("10001"), json!("much")] {
        assert_eq!(
            pays(odd, TRANSACTION).await,
            (paid("at most 0.01 USDC"), Status::Unproven, None)
        );
    }
}

#[tokio::test]
async fn a_receipt_that_contradicts_itself_proves_nothing() {
    let changes: [fn(&mut Value); 3] = [
        |it| it["errorReason"] = json!("insufficient_funds"),
        |it| it["amount"] = json!("1"),
        |it| it["amount"] = json!("ten"),
    ];
    for change in changes {
        let mut lie = receipt("eip155:1");
        change(&mut lie);
        let odd = lie.clone();
        let served_shop = shop(None, v2(), move |_, _| served("PAYMENT-RESPONSE", &odd)).await;
        let payment = client(limits()).send(served_shop.post()).await.unwrap().payment.unwrap();
        assert_eq!((payment.status, payment.transaction), (Status::Unproven, None), "{lie}");
        // Beside a 402 it is not refused either.
        let refused = shop(None, v2(), move |_, _| as_402(served("PAYMENT-RESPONSE", &lie))).await;
        let error = client(limits()).send(refused.post()).await.unwrap_err();
        assert!(matches!(error, ClientError::Unresolved(_)), "{error}");
    }
}

#[tokio::test]
async fn the_header_of_v2_wins_over_the_body() {
    let usdc = *offer().asset();
    let elsewhere = Address::parse("0x70997970C51812dc3A010C7d01b50e0d17dc79C8").unwrap();
    let cheap = Offer::new(usdc, elsewhere, x402_core::Amount::from_units(1), 60);
    let (v1_other, _) = terms_of(&[cheap, offer()]);
    let (_, v2) = terms_of(&[offer()]);
    let both = shop(Some(v1_other.clone()), Some(v2), |_, _| {
        served("PAYMENT-RESPONSE", &receipt("eip155:1"))
    })
    .await;
    let payment = client(limits()).send(both.post()).await.unwrap().payment.unwrap();
    assert_eq!(
        (payment.recipient, payment.amount.to_string()),
        (Address::parse(PAY_TO).unwrap(), "10000".to_owned())
    );
    // Nor does the body speak where the header has nothing that can be taken, or cannot be read.
    for value in ["eyJ4NDAyVmVyc2lvbiI6MiwiYWNjZXB0cyI6W119", "e30="] {
        let v1 = v1_other.clone();
        let shop = Shop::open(move |_, _| {
            let mut answer = told(Some(&v1), None);
            answer.headers_mut().insert("PAYMENT-REQUIRED", value.parse().unwrap());
            Some(answer)
        })
        .await;
        refuses_unsigned(&shop, limits()).await;
    }
}

#[tokio::test]
async fn nobody_is_not_paid() {
    let usdc = *offer().asset();
    for nobody in [Address::ZERO, usdc.address, signer().address()] {
        let offer = Offer::new(usdc, nobody, x402_core::Amount::from_units(1), 60);
        let shop = Shop::open(move |_, _| Some(challenge(&offer, None))).await;
        let error = refuses_unsigned(&shop, limits()).await;
        assert!(matches!(error, ClientError::Limit { error: PolicyError::Payee, .. }), "{error}");
    }
}

#[tokio::test]
async fn what_is_resumed_is_the_same_request() {
    let shop = Shop::selling(|_, count| match count {
        1 => status(503, &[("Retry-After", "3600")], ""),
        _ => settled(),
    })
    .await;
    let request = || {
        let request = Request::post(shop.url()).header("accept", "text/plain");
        let request = request.header("x-tag", "a").header("x-tag", "b").header("user-agent", "one");
        request.body(Bytes::from_static(b"some \xff words")).unwrap()
    };
    let client = client(limits());
    let error = client.send(request()).await.unwrap_err();
    let payment = Payment::load(&error.payment().unwrap().save()).unwrap();
    type Change = fn(&mut Request<Bytes>);
    let changes: [(&str, Change); 5] = [
        ("method", |it| *it.method_mut() = http::Method::PUT),
        ("URL", |it| *it.uri_mut() = format!("{}1", it.uri()).parse().unwrap()),
        ("body", |it| *it.body_mut() = Bytes::from_static(b"some words")),
        ("header fields", |it| drop(it.headers_mut().remove("accept"))),
        ("header fields", |it| drop(it.headers_mut().insert("x-tag", "a".parse().unwrap()))),
    ];
    for (what, change) in changes {
        let mut other = request();
        change(&mut other);
        assert_eq!(payment.differs_from(&other), Some(what));
        let error = client.resume(other, payment.clone()).await.unwrap_err();
        assert!(matches!(error, ClientError::Request(_)), "{what}: {error}");
    }
    shop.assert_one_payment(1);
    // All of it is kept; who asks may be another.
    let mut kept = payment.request().unwrap();
    assert_eq!((kept.body(), kept.headers()), (request().body(), request().headers()));
    kept.headers_mut().insert("user-agent", "two".parse().unwrap());
    let answer = client.resume(kept, payment).await.unwrap();
    assert_eq!(answer.payment.unwrap().status, Status::Settled);
    assert_eq!(shop.paid()[1].body, *request().body());
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_sent() {
    let shop = Shop::selling(|_, _| settled()).await;
    let kept = Arc::new(Mutex::new(Vec::new()));
    let full = || Err(io::Error::other("the disk is full"));
    let client = PayingClient::builder(signer(), limits()).keep(move |_| full()).build().unwrap();
    let error = client.send(shop.post()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unkept(_)) && error.payment().is_none(), "{error}");
    shop.assert_no_payment();
    let (log, seen) = (Arc::clone(&kept), Arc::clone(&shop.seen));
    let keep = move |payment: &Payment| {
        // Before it is sent.
        assert!(!seen.lock().unwrap().iter().any(Seen::is_paid));
        log.lock().unwrap().push(payment.nonce);
        Ok(())
    };
    let client = PayingClient::builder(signer(), limits()).keep(keep).build().unwrap();
    let payment = client.send(shop.post()).await.unwrap().payment.unwrap();
    assert_eq!(*kept.lock().unwrap(), [payment.nonce]);
}
