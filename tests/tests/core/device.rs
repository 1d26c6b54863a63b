//! The buyer and the seller of a device, over streams of bytes that never leave this process.

use std::convert::Infallible;
use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use x402_core::buyer::PolicyError;
use x402_core::device::{
    AllDialects, BUYER_BUFFER_LEN, BodyLength, Buyer, BuyerError, Clock, Connection, DeviceError,
    Dialects, FieldsError, FreshNonce, Limits, MAX_HEAD_LEN, Next, Request, SELLER_BUFFER_LEN,
    Seller, V2Only,
};
use x402_core::head::HeadError;
use x402_core::secp256k1::{K256Signer, Vartime};
use x402_core::window::Limits as WindowLimits;
use x402_core::wire::WireError;
use x402_core::wire::json::JsonError;
use x402_core::{Amount, Claimed, Code, Moment, Nonce, Timestamp, Window};

use crate::arbitrary::{NOW, offer, payee, payer, usdc};

/// The other side: what was written to it is answered when somebody reads.
struct Peer<'p> {
    written: Vec<u8>,
    answers: Vec<u8>,
    answer: Box<dyn FnMut(&[u8]) -> Vec<u8> + 'p>,
}

impl<'p> Peer<'p> {
    fn new(answer: impl FnMut(&[u8]) -> Vec<u8> + 'p) -> Self {
        Self { written: Vec::new(), answers: Vec::new(), answer: Box::new(answer) }
    }

    fn give(&mut self, out: &mut [u8]) -> usize {
        if self.answers.is_empty() && !self.written.is_empty() {
            self.answers = (self.answer)(&core::mem::take(&mut self.written));
        }
        let count = out.len().min(self.answers.len());
        out[..count].copy_from_slice(&self.answers[..count]);
        self.answers.drain(..count);
        count
    }
}

impl embedded_io::ErrorType for Peer<'_> {
    type Error = Infallible;
}

impl embedded_io::Read for Peer<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        Ok(self.give(out))
    }
}

impl embedded_io::Write for Peer<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.written.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl embedded_io_async::Read for Peer<'_> {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        Ok(self.give(out))
    }
}

impl embedded_io_async::Write for Peer<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.written.extend(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

const REQUEST: Request<'_> =
    Request { method: "GET", target: "/reading", host: "device", fields: &[], body: b"" };

fn limits() -> Limits<'static> {
    Limits {
        asset: *usdc(),
        recipient: payee(),
        max: Amount::from_units(10_000),
        budget: Amount::from_units(20_000),
        max_timeout_seconds: 60,
    }
}

fn fresh(nonce: u8) -> FreshNonce {
    let clock = Clock::Now(Timestamp::from_secs(NOW));
    FreshNonce { nonce: Nonce::new([nonce; 32]), key: [!nonce; 16], clock }
}

fn shop() -> Seller<Vartime, 4> {
    let owed = Amount::from_units(1_000_000);
    Seller::new(Vartime, Window::new(WindowLimits { owed, horizon_seconds: 600 }))
}

/// What a seller answers to one request.
fn serve<D: Dialects>(seller: &mut Seller<Vartime, 4, D>, request: &[u8]) -> Vec<u8> {
    let mut connection = Connection::new(Peer::new(|_| Vec::new()));
    connection = {
        let mut peer = connection.into_inner();
        peer.answers = request.to_vec();
        Connection::new(peer)
    };
    let mut buffer = [0; SELLER_BUFFER_LEN];
    let offer = offer();
    let received = seller.receive(&mut connection, &mut buffer).unwrap().unwrap();
    assert_eq!((received.method(), received.target()), ("GET", "/reading"));
    let result = seller.sell(&received, &offer, &Moment::at(NOW));
    match result {
        Ok(sale) => seller.answer(&mut connection, &sale, "text/plain", b"21.5").unwrap(),
        Err(refusal) => {
            seller.refuse(&mut connection, &offer, "http://device/reading", refusal).unwrap();
        }
    }
    connection.into_inner().written
}

/// A 402 with these fields.
fn required(fields: &[(&str, &str)]) -> Vec<u8> {
    let fields: String =
        fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 402 Payment Required\r\n{fields}Content-Length: 2\r\n\r\n{{}}").into_bytes()
}

fn entry() -> Value {
    json!({
        "scheme": "exact", "network": "eip155:1", "amount": "10000",
        "asset": usdc().address.to_string(), "payTo": payee().to_string(),
        "maxTimeoutSeconds": 60, "extra": {"name": "USD Coin", "version": "2"},
    })
}

fn v2(accepts: &Value) -> Value {
    json!({"x402Version": 2, "error": "Payment required", "accepts": accepts})
}

fn encoded(json: &Value) -> String {
    STANDARD.encode(json.to_string())
}

type Bought = (Result<Next, DeviceError<BuyerError, Infallible>>, Vec<Vec<u8>>);

/// What comes of a request, and what was sent.
fn bought(answers: &[&[u8]]) -> Bought {
    bought_in::<AllDialects>(answers)
}

fn bought_in<D: Dialects>(answers: &[&[u8]]) -> Bought {
    let mut buffer = [0; BUYER_BUFFER_LEN];
    let mut buyer = Buyer::<_, D>::speaking(limits(), payer(), &mut buffer);
    let mut sent = Vec::new();
    let mut answers = answers.iter();
    let result = {
        let peer = Peer::new(|request| {
            sent.push(request.to_vec());
            answers.next().map(|answer| answer.to_vec()).unwrap_or_default()
        });
        buyer.pay(&mut Connection::new(peer), &REQUEST, &fresh(7))
    };
    (result, sent)
}

fn refused(answer: &[u8]) -> BuyerError {
    match bought(&[answer]) {
        (Err(DeviceError::Protocol(error)), sent) => {
            assert_eq!(sent.len(), 1, "something was paid");
            error
        }
        (other, _) => panic!("{other:?}"),
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n21.5";

#[test]
fn a_device_pays_a_device() {
    let mut seller = shop();
    let mut buffer = [0; BUYER_BUFFER_LEN];
    let mut buyer = Buyer::new(limits(), payer(), &mut buffer);
    let mut connection = Connection::new(Peer::new(|request| serve(&mut seller, request)));
    let next = buyer.pay(&mut connection, &REQUEST, &fresh(7)).unwrap();
    let Next::Answer(answer) = next else { panic!("{next:?}") };
    assert_eq!((answer.status, answer.body), (200, BodyLength::Known(4)));
    let mut body = [0; 8];
    let count = embedded_io::Read::read(&mut connection, &mut body).unwrap();
    assert_eq!(&body[..count], b"21.5");
    assert_eq!((buyer.spent(), buyer.is_owed_an_answer()), (Amount::from_units(10_000), false));
    drop(connection);

    // What is handed out is settled by any ledger.
    let handed_out: Vec<Claimed> = seller.window().unsettled().collect();
    assert_eq!(handed_out.len(), 1);
    let bytes = handed_out[0].to_bytes();
    assert_eq!(Claimed::from_bytes(&bytes), Ok(handed_out[0]));
    assert_eq!(handed_out[0].payer(), buyer_address());
}

fn buyer_address() -> x402_core::Address {
    use x402_core::Signer as _;
    payer().address()
}

#[test]
fn asynchronous_streams_carry_the_same_bytes() {
    let mut conversations: Vec<Vec<Vec<u8>>> = Vec::new();
    for is_async in [false, true] {
        for dialect in ["X-Payment-Required", "PAYMENT-REQUIRED"] {
            let mut seller = shop();
            let mut buffer = [0; BUYER_BUFFER_LEN];
            let mut buyer = Buyer::new(limits(), payer(), &mut buffer);
            let mut all = Vec::new();
            let peer = Peer::new(|request| {
                let answer = serve(&mut seller, request);
                all.push(request.to_vec());
                all.push(answer.clone());
                // Only one of the dialects is left to the buyer.
                let answer = String::from_utf8(answer).unwrap();
                if all.len() > 2 {
                    return answer.into_bytes();
                }
                assert!(answer.contains(dialect), "{answer}");
                let other = if dialect == "PAYMENT-REQUIRED" {
                    "X-Payment-Required"
                } else {
                    "PAYMENT-REQUIRED"
                };
                answer.replace(other, "X-Other").into_bytes()
            });
            let mut connection = Connection::new(peer);
            let fresh = fresh(7);
            let result = if is_async {
                let mut paying = pin!(buyer.pay_async(&mut connection, &REQUEST, &fresh));
                match paying.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(result) => result,
                    Poll::Pending => panic!("nothing here waits"),
                }
            } else {
                buyer.pay(&mut connection, &REQUEST, &fresh)
            };
            assert!(
                matches!(result, Ok(Next::Answer(answer)) if answer.status == 200),
                "{result:?}"
            );
            drop(connection);
            conversations.push(all);
        }
    }
    assert_eq!(conversations[0], conversations[2]);
    assert_eq!(conversations[1], conversations[3]);
    assert_ne!(conversations[0], conversations[1]);
}

#[test]
fn a_payment_is_taken_once() {
    let mut seller = shop();
    let (_, sent) = bought(&[&serve(&mut seller, b"GET /reading HTTP/1.1\r\n\r\n"), OK]);
    assert_eq!(sent.len(), 2);
    let first = String::from_utf8(serve(&mut seller, &sent[1])).unwrap();
    assert!(first.starts_with("HTTP/1.1 200 ") && first.ends_with("21.5"), "{first}");
    assert!(first.contains("X-Payment-Status: pending\r\n"), "{first}");
    let second = String::from_utf8(serve(&mut seller, &sent[1])).unwrap();
    assert!(second.starts_with("HTTP/1.1 409 "), "{second}");
    let (_, body) = second.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["code"], "409");
}

#[test]
fn the_402_of_a_device_is_read_by_everyone() {
    let answer = String::from_utf8(serve(&mut shop(), b"GET /reading HTTP/1.1\r\n\r\n")).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let field = |name: &str| {
        let line = head.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_once(": ").unwrap().1.to_owned()
    };
    assert_eq!(field("Content-Length"), body.len().to_string());
    assert_eq!(field("X-Payment-Amount"), "0.01");
    let v1: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&v1["x402Version"], &v1["code"]), (&json!(1), &json!("402")));
    assert_eq!(v1["accepts"][0]["maxAmountRequired"], "10000");
    let v2 = STANDARD.decode(field("PAYMENT-REQUIRED")).unwrap();
    let v2: Value = serde_json::from_slice(&v2).unwrap();
    assert_eq!(v2["accepts"][0], entry());
}

#[test]
fn a_402_is_read_however_long_it_is() {
    let mut accepts = vec![json!({"scheme": "exact", "network": "solana:1"}); 3];
    // Too long to be kept, and so passed over.
    let mut long = entry();
    long["extra"]["padding"] = "x".repeat(2_000).into();
    accepts.extend([long, entry(), json!({"amount": "1"})]);
    let mut terms = v2(&accepts.into());
    let schema =
        json!({"accepts": [entry()], "x402Version": 1, "text": "]}\"\\é\u{1F600}".repeat(1_300)});
    terms["extensions"] = json!({"bazaar": {"info": {"output": schema}}});
    let text = encoded(&terms);
    assert!(text.len() > 20_000);
    let (result, sent) = bought(&[&required(&[("PAYMENT-REQUIRED", &text)]), OK]);
    assert!(matches!(result, Ok(Next::Answer(answer)) if answer.status == 200), "{result:?}");
    let request = String::from_utf8(sent[1].clone()).unwrap();
    let payload = request.split("PAYMENT-SIGNATURE: ").nth(1).unwrap().lines().next().unwrap();
    let payload: Value = serde_json::from_slice(&STANDARD.decode(payload).unwrap()).unwrap();
    assert_eq!(payload["accepted"], entry());
    assert_eq!(payload["payload"]["authorization"]["value"], "10000");
}

#[test]
fn what_breaks_a_limit_is_not_paid() {
    let changed = |key: &str, value: Value| {
        let mut entry = entry();
        entry[key] = value;
        required(&[("PAYMENT-REQUIRED", &encoded(&v2(&json!([entry]))))])
    };
    for (key, value) in [
        ("amount", json!("10001")),
        ("amount", json!("010000")),
        ("amount", json!(10000)),
        ("asset", json!("0x036CbD53842c5426634e7929541eC2318f3dCF7e")),
        ("network", json!("eip155:8453")),
        ("network", json!("ethereum")),
        ("payTo", json!(usdc().address.to_string())),
        ("scheme", json!("upto")),
        ("extra", json!({"assetTransferMethod": "permit2"})),
        ("extra", json!({"paymentFlow": "later"})),
        ("maxTimeoutSeconds", json!(0)),
    ] {
        assert_eq!(refused(&changed(key, value.clone())), BuyerError::NoOffer, "{key} {value}");
    }
    let fields = |name: &str, value: &str| {
        let mut fields = vec![
            ("X-Payment-Required", "true"),
            ("X-Payment-Amount", "0.01"),
            ("X-Payment-Asset", "USDC"),
            ("X-Payment-Network", "ethereum"),
            ("X-Payment-Recipient", "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"),
        ];
        fields.retain(|(known, _)| *known != name);
        fields.push((name, value));
        required(&fields)
    };
    use BuyerError::{NoOffer, Policy};
    for (name, value, error) in [
        ("X-Payment-Amount", "0.010001", Policy(PolicyError::Amount)),
        ("X-Payment-Asset", "EURC", Policy(PolicyError::Asset)),
        ("X-Payment-Network", "base", Policy(PolicyError::Network)),
        (
            "X-Payment-Recipient",
            "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48",
            Policy(PolicyError::Recipient),
        ),
        ("X-Payment-Required", "perhaps", NoOffer),
        ("X-Payment-Amount", "-1", NoOffer),
    ] {
        assert_eq!(refused(&fields(name, value)), error, "{name}: {value}");
    }
    let (result, sent) = bought(&[&fields("X-Payment-Timeout", "60"), OK]);
    assert!(
        result.is_ok()
            && sent[1].starts_with(b"GET /reading HTTP/1.1\r\nHost: device\r\nX-Payment-")
    );
}

#[test]
fn a_device_pays_nobody_who_is_no_seller() {
    for nobody in [x402_core::Address::ZERO, usdc().address, buyer_address()] {
        let recipient = nobody.to_string();
        let answer = required(&[
            ("X-Payment-Required", "true"),
            ("X-Payment-Amount", "0.01"),
            ("X-Payment-Asset", "USDC"),
            ("X-Payment-Network", "ethereum"),
            ("X-Payment-Recipient", &recipient),
        ]);
        let mut buffer = [0; BUYER_BUFFER_LEN];
        let limits = Limits { recipient: nobody, ..limits() };
        let mut buyer = Buyer::new(limits, payer(), &mut buffer);
        let mut sent = 0;
        let peer = Peer::new(|_| {
            sent += 1;
            answer.clone()
        });
        let paid = buyer.pay(&mut Connection::new(peer), &REQUEST, &fresh(7));
        let expected = BuyerError::Policy(PolicyError::Payee);
        assert_eq!(paid, Err(DeviceError::Protocol(expected)), "{recipient}");
        assert_eq!((sent, buyer.spent()), (1, Amount::ZERO));
    }
}

#[test]
fn all_payments_together_keep_to_the_budget() {
    let answer = required(&[("PAYMENT-REQUIRED", &encoded(&v2(&json!([entry()]))))]);
    let mut buffer = [0; BUYER_BUFFER_LEN];
    let mut buyer = Buyer::new(limits(), payer(), &mut buffer);
    let mut nonces = 1..;
    let mut buy = |buyer: &mut Buyer<'_, K256Signer>| {
        let mut answers = [answer.clone(), OK.to_vec()].into_iter();
        let peer = Peer::new(|_| answers.next().unwrap_or_default());
        buyer.pay(&mut Connection::new(peer), &REQUEST, &fresh(nonces.next().unwrap()))
    };
    assert!(buy(&mut buyer).is_ok());
    assert!(buy(&mut buyer).is_ok());
    assert_eq!(buy(&mut buyer), Err(DeviceError::Protocol(BuyerError::NoOffer)));
    assert_eq!(buyer.spent(), Amount::from_units(20_000));
}

#[test]
fn the_same_payment_goes_out_until_it_is_answered() {
    let answer = required(&[
        ("Connection", "close"),
        ("PAYMENT-REQUIRED", &encoded(&v2(&json!([entry()])))),
    ]);
    let mut buffer = [0; BUYER_BUFFER_LEN];
    let mut buyer = Buyer::new(limits(), payer(), &mut buffer);
    let mut sent: Vec<Vec<u8>> = Vec::new();
    // A seller that closes, one that breaks off, one that is not sure, one that serves.
    let pending = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    for (nonce, answer) in [&answer[..], b"HTTP/1.1 2", pending, OK].into_iter().enumerate() {
        let peer = Peer::new(|request| {
            sent.push(request.to_vec());
            answer.to_vec()
        });
        let mut connection = Connection::new(peer);
        let result = buyer.pay(&mut connection, &REQUEST, &fresh(nonce as u8));
        drop(connection);
        match nonce {
            0 => assert_eq!(result, Ok(Next::Reconnect)),
            1 => assert_eq!(result, Err(DeviceError::Closed)),
            _ => assert!(matches!(result, Ok(Next::Answer(_)))),
        }
        assert_eq!(buyer.is_owed_an_answer(), nonce < 3);
    }
    // The key of the first: what is random is not taken anew with a payment that is kept.
    let key = format!("\r\nIdempotency-Key: \"0x{}\"\r\n\r\n", "ff".repeat(16));
    assert!(sent[1..].iter().all(|request| request.ends_with(key.as_bytes())));
    assert_eq!(sent.len(), 4);
    assert!(sent[1] == sent[2] && sent[2] == sent[3] && sent[0] != sent[1]);
    assert_eq!(buyer.spent(), Amount::from_units(10_000));
}

#[test]
fn a_402_with_a_body_without_end_is_not_waited_for() {
    let terms = encoded(&v2(&json!([entry()])));
    for length in ["Content-Length: 4294967295", "Transfer-Encoding: chunked", "X: y"] {
        let answer = format!("HTTP/1.1 402 No\r\nPAYMENT-REQUIRED: {terms}\r\n{length}\r\n\r\n");
        let (result, sent) = bought(&[answer.as_bytes()]);
        assert_eq!((result, sent.len()), (Ok(Next::Reconnect), 1), "{length}");
    }
}

#[test]
fn a_refused_payment_is_not_signed_again() {
    let terms = encoded(&v2(&json!([entry()])));
    let first = required(&[("PAYMENT-REQUIRED", &terms)]);
    let again = required(&[("PAYMENT-REQUIRED", &terms), ("X-Payment-Error", "402.5")]);
    let (result, sent) = bought(&[&first, &again]);
    let Ok(Next::Answer(answer)) = result else { panic!("{result:?}") };
    assert_eq!((answer.status, answer.code), (402, Some(Code::PaymentExpired)));
    assert_eq!(sent.len(), 2);
}

#[test]
fn a_date_is_believed_within_its_bounds() {
    let terms = encoded(&v2(&json!([entry()])));
    let mut paid = Vec::new();
    for (date, is_paid) in [
        (Some("Mon, 21 Sep 2026 13:33:20 GMT"), true),
        (Some("Mon, 20 Sep 2027 13:33:20 GMT"), false),
        (Some("Sun, 20 Sep 2026 13:33:20 GMT"), false),
        (Some("yesterday"), false),
        (None, false),
    ] {
        let mut fields = vec![("PAYMENT-REQUIRED", &terms[..])];
        fields.extend(date.map(|date| ("Date", date)));
        let first = required(&fields);
        let mut buffer = [0; BUYER_BUFFER_LEN];
        let mut buyer = Buyer::new(limits(), payer(), &mut buffer);
        let mut answers = [first, OK.to_vec()].into_iter();
        let peer = Peer::new(|request| {
            paid.push(request.to_vec());
            answers.next().unwrap_or_default()
        });
        let earliest = Timestamp::from_secs(1_789_997_600);
        let clock = Clock::Hint { earliest, latest: earliest.saturating_add(86_400) };
        let fresh = FreshNonce { nonce: Nonce::new([7; 32]), key: [8; 16], clock };
        let result = buyer.pay(&mut Connection::new(peer), &REQUEST, &fresh);
        if is_paid {
            assert!(result.is_ok(), "{date:?}");
        } else {
            assert_eq!(result, Err(DeviceError::Protocol(BuyerError::Clock)), "{date:?}");
        }
    }
    assert_eq!(paid.len(), 6);
}

#[test]
fn malicious_answers_are_refused() {
    let json = |text: &str| required(&[("PAYMENT-REQUIRED", &STANDARD.encode(text))]);
    let entry = entry().to_string();
    let shape = BuyerError::Required(WireError::Shape);
    let bad = |error| BuyerError::Required(WireError::Json(error));
    let syntax = bad(JsonError::Syntax);
    for (text, error) in [
        (format!(r#"{{"x402Version":2,"accepts":[{entry}],"accepts":[{entry}]}}"#), shape),
        (format!(r#"{{"x402Version":2,"x402Version":2,"accepts":[{entry}]}}"#), shape),
        (
            format!(r#"{{"x402Version":1,"accepts":[{entry}]}}"#),
            BuyerError::Required(WireError::Version),
        ),
        (
            format!(r#"{{"x402Version":22,"accepts":[{entry}]}}"#),
            BuyerError::Required(WireError::Version),
        ),
        (
            format!(r#"{{"x402Version":"2","accepts":[{entry}]}}"#),
            BuyerError::Required(WireError::Version),
        ),
        (format!(r#"{{"accepts":[{entry}]}}"#), shape),
        (format!(r#"[{{"x402Version":2,"accepts":[{entry}]}}]"#), shape),
        (format!(r#"{{"x402Version":2,"accepts":{entry}}}"#), shape),
        (format!(r#"{{"x402Version":2,"accepts":[{entry}]"#), syntax),
        (format!(r#"{{"x402Version":2,"accepts":[{entry}]}}{{"#), bad(JsonError::Trailing)),
        (format!(r#"{{"x402Version":2,"\u0061ccepts":[{entry}]}}"#), syntax),
        (format!(r#"{{"x402Version":2,"a":bogus,"accepts":[{entry}]}}"#), syntax),
        (format!(r#"{{"x402Version":2,"a":[1 2],"accepts":[{entry}]}}"#), syntax),
        (
            format!(r#"{{"x402Version":2,"a":{},"accepts":[{entry}]}}"#, "[".repeat(20_000)),
            bad(JsonError::Depth),
        ),
    ] {
        assert_eq!(refused(&json(&text)), error, "{}", &text[..text.len().min(99)]);
    }
    let endless = [b"HTTP/1.1 402 No\r\nX: ".to_vec(), vec![b'a'; MAX_HEAD_LEN as usize]].concat();
    assert_eq!(refused(&endless), BuyerError::Head(HeadError::TooLong));
    let long = required(&[("X-Payment-Asset", &"a".repeat(700))]);
    assert_eq!(refused(&long), BuyerError::Head(HeadError::TooLong));
    let many = required(&vec![("X-Payment-Amount", "1"); 15]);
    assert_eq!(refused(&many), BuyerError::Head(HeadError::TooManyFields));
    for text in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 4020 No\r\n\r\n",
        "HTTP/2 402\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        assert_eq!(refused(text.as_bytes()), BuyerError::Head(HeadError::Malformed), "{text}");
    }
    for fields in [
        "Content-Length: 1\r\nContent-Length: 1",
        "Content-Length: -1",
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip",
    ] {
        let text = format!("HTTP/1.1 402 No\r\n{fields}\r\n\r\n");
        assert!(matches!(
            refused(text.as_bytes()),
            BuyerError::Fields(FieldsError::Duplicate | FieldsError::Length)
        ));
    }
}

#[test]
fn every_document_of_the_json_test_suite_is_judged() {
    let suite: Value = serde_json::from_str(include_str!("json_test_suite.json")).unwrap();
    let entry = entry().to_string();
    for (name, document) in suite.as_object().unwrap() {
        let document = STANDARD.decode(document.as_str().unwrap()).unwrap();
        let before = br#"{"x402Version":2,"a":"#.to_vec();
        let behind = format!(r#","accepts":[{entry}]}}"#).into_bytes();
        let text = [before, document.clone(), behind].concat();
        let (result, sent) =
            bought(&[&required(&[("PAYMENT-REQUIRED", &STANDARD.encode(&text))]), OK]);
        assert_eq!(result.is_ok(), sent.len() == 2, "{name}");
        match name.as_bytes()[0] {
            b'y' => assert!(result.is_ok(), "{name}: {result:?}"),
            // In what is passed over, texts need not be UTF-8.
            b'n' if document.is_ascii() => assert!(result.is_err(), "{name}"),
            _ => {}
        }
    }
}

/// The terms of v1, as other servers send them: in the body alone.
fn v1(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 402 Payment Required\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

fn v1_entry() -> Value {
    let mut entry = entry();
    entry["network"] = "ethereum".into();
    entry["maxAmountRequired"] = entry["amount"].take();
    entry
}

#[test]
fn a_402_of_v1_is_paid_out_of_its_body() {
    let other = json!({"scheme": "exact", "network": "solana"});
    let body = json!({"x402Version": 1, "error": "no", "accepts": [other, v1_entry()]});
    let mut seller = shop();
    let (result, sent) = bought(&[&v1(&body.to_string()), OK]);
    assert!(matches!(result, Ok(Next::Answer(answer)) if answer.status == 200), "{result:?}");
    let paid = String::from_utf8(sent[1].clone()).unwrap();
    let value = paid.lines().find_map(|line| line.strip_prefix("X-PAYMENT: ")).unwrap();
    let payload: Value = serde_json::from_slice(&STANDARD.decode(value).unwrap()).unwrap();
    assert_eq!((&payload["x402Version"], &payload["network"]), (&json!(1), &json!("ethereum")));
    let answer = String::from_utf8(serve(&mut seller, &sent[1])).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn asynchronous_streams_read_bodies_too() {
    let body = v1(&json!({"x402Version": 1, "accepts": [v1_entry()]}).to_string());
    let mut buffer = [0; BUYER_BUFFER_LEN];
    let mut buyer = Buyer::new(limits(), payer(), &mut buffer);
    let mut sent = Vec::new();
    let peer = Peer::new(|request| {
        sent.push(request.to_vec());
        if sent.len() == 1 { body.clone() } else { OK.to_vec() }
    });
    let mut connection = Connection::new(peer);
    let fresh = fresh(7);
    let result = {
        let mut paying = pin!(buyer.pay_async(&mut connection, &REQUEST, &fresh));
        match paying.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result,
            Poll::Pending => panic!("nothing here waits"),
        }
    };
    assert!(matches!(result, Ok(Next::Answer(answer)) if answer.status == 200), "{result:?}");
    drop(connection);
    assert_eq!(sent, bought(&[&body, OK]).1);
}

#[test]
fn a_body_that_has_no_terms_of_v1_is_not_paid() {
    let mut dear = v1_entry();
    dear["maxAmountRequired"] = "10001".into();
    let with = |version: u8, entry: &Value| json!({"x402Version": version, "accepts": [entry]});
    for body in [
        "<html>Payment required</html>".to_owned(),
        "{".to_owned(),
        "[".repeat(5_000),
        with(2, &v1_entry()).to_string(),
        with(1, &entry()).to_string(),
        with(1, &dear).to_string(),
        format!("{}x", with(1, &v1_entry())),
    ] {
        assert_eq!(refused(&v1(&body)), BuyerError::NoOffer, "{body}");
    }
    // Chunks are not put together, and longer bodies than 64 KB are not read.
    let chunked = b"HTTP/1.1 402 No\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(refused(chunked), BuyerError::NoOffer);
    let body = with(1, &v1_entry()).to_string();
    let long = format!("{}{body}", " ".repeat(70_000));
    assert_eq!(refused(&v1(&long)), BuyerError::NoOffer);
    let cut = v1(&body);
    let (result, _) = bought(&[&cut[..cut.len() - 1]]);
    assert_eq!(result, Err(DeviceError::Closed));
}

#[test]
fn a_device_of_v2_alone_speaks_nothing_else() {
    let owed = Amount::from_units(1_000_000);
    let window = Window::new(WindowLimits { owed, horizon_seconds: 600 });
    let mut seller = Seller::<_, 4, V2Only>::speaking(Vartime, window);
    let answer = serve(&mut seller, b"GET /reading HTTP/1.1\r\n\r\n");
    let text = String::from_utf8(answer.clone()).unwrap();
    assert!(!text.contains("X-Payment") && !text.contains("x402Version"), "{text}");
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body, json!({"code": "402", "reason": "Payment required"}));

    let (_, sent) = bought_in::<V2Only>(&[&answer, OK]);
    let answer = String::from_utf8(serve(&mut seller, &sent[1])).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(seller.window().len(), 1);

    // What it does not speak is no payment, and no offer.
    let mut other = shop();
    let required = serve(&mut other, b"GET /reading HTTP/1.1\r\n\r\n");
    for field in ["PAYMENT-REQUIRED", "X-Payment-Required"] {
        let text = String::from_utf8(required.clone()).unwrap();
        let (_, sent) = bought(&[text.replace(field, "X-Other").as_bytes(), OK]);
        let is_v2 = field == "X-Payment-Required";
        let answer = String::from_utf8(serve(&mut seller, &sent[1])).unwrap();
        assert_eq!(answer.starts_with("HTTP/1.1 409 "), is_v2, "{answer}");
        assert_eq!(answer.starts_with("HTTP/1.1 402 "), !is_v2, "{answer}");
        let answer = text.replace("PAYMENT-REQUIRED", "X-Other");
        let (result, _) = bought_in::<V2Only>(&[answer.as_bytes()]);
        assert_eq!(result, Err(DeviceError::Protocol(BuyerError::NoOffer)));
    }
}

#[test]
fn nothing_gets_into_a_request_that_ends_a_line() {
    let mut buffer = [0; BUYER_BUFFER_LEN];
    let mut buyer = Buyer::new(limits(), payer(), &mut buffer);
    for request in [
        Request { target: "/a\r\nX: y", ..REQUEST },
        Request { target: "/a b", ..REQUEST },
        Request { host: "a\n", ..REQUEST },
        Request { method: "", ..REQUEST },
        Request { fields: &[("A:", "b")], ..REQUEST },
        Request { fields: &[("A", "b\r\nc: d")], ..REQUEST },
    ] {
        let peer = Peer::new(|_| panic!("it was sent"));
        let result = buyer.pay(&mut Connection::new(peer), &request, &fresh(7));
        assert_eq!(result, Err(DeviceError::Protocol(BuyerError::Request)));
    }
}
