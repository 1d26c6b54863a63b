//! Who reads the payments of others on the chain, and presents them.

use x402_core::proof::{self, PayerProof, ProofField};
use x402_core::{PaymentId, Signer as _};

use super::*;
use crate::server::testing::{NOW, keys, signer};

/// The fields by which a payer has what is left of a payment.
const PURSE: [&str; 4] =
    ["x-payment-pass", "x-payment-pass-expires", "x-payment-credit", "x-payment-balance"];

/// What is in the calldata: a payment, without what its payer has sent beside it.
fn read_on_the_chain(shop: &Shop, nonce: u8) -> Request<Full<Bytes>> {
    let mut request = paid(shop, nonce);
    request.headers_mut().remove("idempotency-key");
    request
}

fn paid(shop: &Shop, nonce: u8) -> Request<Full<Bytes>> {
    shop.paid("POST", "/a", nonce).body(full("words")).unwrap()
}

async fn refused(service: &PaymentService<impl Echo>, request: Request<Full<Bytes>>) {
    let (head, body) = send(service, request).await;
    assert_eq!((head.status, &*code(&body)), (StatusCode::CONFLICT, "409"));
    let said = String::from_utf8_lossy(&body);
    assert!(said.contains("Idempotency-Key") && said.contains("X-Payment-Proof"), "{said}");
    assert!(PURSE.iter().all(|name| !head.headers.contains_key(*name)), "{:?}", head.headers);
}

#[tokio::test]
async fn who_reads_the_chain_has_neither_the_answer_nor_the_purse() {
    let measured = [None, metered::minutes(5)];
    for (settle, period) in [Settle::First, Settle::After, Settle::Later]
        .into_iter()
        .flat_map(|settle| measured.map(|period| (settle, period)))
    {
        let (shop, seen) = (Shop::new(), Seen::default());
        let service = metered::sells(&shop, settle, period).layer(echo(&seen));
        let (head, _) = send(&service, paid(&shop, 1)).await;
        assert_eq!(head.status, StatusCode::OK);
        shop.seller.close_tab().await;
        let key = |key: &str| {
            let mut request = read_on_the_chain(&shop, 1);
            request.headers_mut().insert("idempotency-key", key.parse().unwrap());
            request
        };
        refused(&service, read_on_the_chain(&shop, 1)).await;
        refused(&service, key(&secret(2))).await;
        refused(&service, key("short")).await;
        for name in PURSE {
            let (again, _) = send(&service, paid(&shop, 1)).await;
            assert_eq!(again.headers.get(name), head.headers.get(name), "{name}");
        }
        assert_eq!((seen.runs(), shop.chain.broadcasts()), (1, 1));
    }
}

#[tokio::test]
async fn what_is_owed_is_not_done_for_who_reads_the_chain() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = settling::layer_of(&shop, Settle::First).layer(answers(500, &seen));
    let (head, _) = send(&service, paid(&shop, 1)).await;
    assert_eq!(head.status, StatusCode::INTERNAL_SERVER_ERROR);
    refused(&service, read_on_the_chain(&shop, 1)).await;
    assert_eq!(seen.runs(), 1);
    send(&service, paid(&shop, 1)).await;
    assert_eq!((seen.runs(), shop.chain.broadcasts()), (2, 1));
}

/// Who has lost the key has a signature.
#[tokio::test]
async fn a_signature_of_the_payers_is_as_good_as_the_key() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = layer(&shop).layer(echo(&seen));
    assert_eq!(send(&service, paid(&shop, 1)).await.0.status, StatusCode::OK);
    let terms = shop.offer.requirements();
    let payment = PaymentId {
        chain_id: terms.chain_id,
        contract: terms.asset,
        from: payer(),
        nonce: x402_core::Nonce::new([1; 32]),
    };
    for (origin, expected) in [("http://shop.example", 200), ("http://other.example", 409)] {
        let proof = PayerProof { origin, payment, time: NOW };
        let Ok(signature) = signer().sign(&proof.digest());
        let mut request = read_on_the_chain(&shop, 1);
        let value = ProofField { time: NOW, signature }.to_string();
        request.headers_mut().insert(proof::FIELD, value.parse().unwrap());
        request.headers_mut().insert("host", "shop.example".parse().unwrap());
        assert_eq!(send(&service, request).await.0.status, expected, "{origin}");
    }
    assert_eq!(seen.runs(), 1);
}

/// Anybody may have it, so whoever has the bytes may have it again; but not what is left of a payment.
#[tokio::test]
async fn an_open_route_gives_its_answer_to_whoever_asks_and_never_a_purse() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let open = Sale { replay: Replay::Anyone, ..Sale::from(shop.offer) };
    let sales = [open.clone(), Sale { metering: metered::bytewise(None), ..open }].map(Arc::new);
    let layer = PaymentLayer::new(Arc::clone(&shop.seller), move |head: &Parts| {
        Quote::Paid(Arc::clone(&sales[usize::from(head.method == Method::PUT)]))
    });
    let service = layer.signing(keys()).layer(echo(&seen));
    assert_eq!(send(&service, paid(&shop, 1)).await.0.status, StatusCode::OK);
    let (head, body) = send(&service, read_on_the_chain(&shop, 1)).await;
    assert_eq!((head.status, &body[..]), (StatusCode::OK, &b"secret:words"[..]));
    let measured = |nonce| shop.paid("PUT", "/a", nonce).body(full("words")).unwrap();
    assert_eq!(send(&service, measured(2)).await.0.status, StatusCode::OK);
    let mut stranger = measured(2);
    stranger.headers_mut().remove("idempotency-key");
    refused(&service, stranger).await;
}

#[tokio::test]
async fn of_two_keys_none_is_taken() {
    let (shop, seen) = (Shop::new(), Seen::default());
    let service = layer(&shop).layer(echo(&seen));
    let mut request = paid(&shop, 1);
    request.headers_mut().append("idempotency-key", secret(2).parse().unwrap());
    assert_eq!(send(&service, request).await.0.status, StatusCode::BAD_REQUEST);
    assert_eq!((seen.runs(), shop.chain.asked()), (0, 0));
}
