//! The formats of v1 and v2 against what the official SDK wrote and read.

use serde_json::Value;
use x402_core::secp256k1::{K256, K256Signer};
use x402_core::wire::base64::{self, Base64};
use x402_core::wire::json::{self, emitted_len};
use x402_core::wire::{
    Answers, Challenge, PaymentFlow, PaymentPayload, PaymentRequired, Resource, SettleResponse,
    Settlement, SignedPayload, Version,
};
use x402_core::{Address, Asset, Offer, Recover as _, Scheme, Signer as _, TransferMethod, hex};

fn sdk() -> Value {
    serde_json::from_str(include_str!("../../vectors/sdk.json")).unwrap()
}

fn of_kind<'v>(sdk: &'v Value, kind: &str) -> Vec<&'v Value> {
    let all = sdk["vectors"].as_array().unwrap().iter();
    all.filter(|vector| vector["kind"] == kind).collect()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} of {value}"))
}

fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = vec![0; base64::decoded_room(text.len())];
    base64::decode(text.as_bytes(), &mut bytes).unwrap().to_vec()
}

/// A payment of the SDK's, read by us: signed by the payer over what is said to be signed, and
/// written again byte for byte.
fn check_payment(vector: &Value) {
    let (id, outputs) = (text(vector, "id"), &vector["outputs"]);
    let sent = text(outputs, "paymentPayloadJson");
    let header = text(&outputs["header"], "value");
    assert_eq!(decoded(header), sent.as_bytes(), "{id}");
    let payload = PaymentPayload::parse(sent.as_bytes()).unwrap();
    let asset = payload.accepted.map_or(Address::ZERO, |accepted| accepted.asset().unwrap());
    let payment = payload.payment(asset).unwrap();

    // One has an EIP-2612 permit beside it, for an extension.
    let signed = outputs["eip712"].as_array().unwrap();
    let eip712 = signed.iter().find(|signed| signed["primaryType"] != "Permit").unwrap();
    let domain = &eip712["domain"];
    let digest = if payment.transfer.method() == TransferMethod::Permit2 {
        payment.transfer.digest(&x402_core::permit2::domain(payment.chain_id), payment.chain_id)
    } else {
        let domain = x402_core::Domain {
            name: text(domain, "name"),
            version: text(domain, "version"),
            chain_id: payment.chain_id,
            verifying_contract: Address::parse(text(domain, "verifyingContract")).unwrap(),
        };
        payment.transfer.digest(&domain.separator(), payment.chain_id)
    };
    assert_eq!(digest.to_string(), text(eip712, "digest"), "{id}");
    let signature = payment.signature.unwrap();
    assert_eq!(K256.recover(&digest, &signature), Ok(payment.transfer.from()), "{id}");
    // The same key, the same nonce of RFC 6979, the same signature.
    let key = K256Signer::from_bytes(&hex::decode(text(&vector["inputs"], "privateKey")).unwrap());
    assert_eq!(key.unwrap().sign(&digest).unwrap(), signature, "{id}");

    let raw = |object: Option<json::Object<'_>>, key: &str| {
        object.map_or("", |_| payload.raw.as_object().unwrap().get(key).unwrap().raw()).to_owned()
    };
    let (resource, extensions) =
        (raw(payload.resource, "resource"), raw(payload.extensions, "extensions"));
    let answers = match payload.accepted {
        None => Answers::V1(payment.chain_id),
        Some(accepted) => Answers::V2 {
            accepted: accepted.raw.raw(),
            resource: &resource,
            extensions: &extensions,
        },
    };
    let rsv = signature.to_rsv();
    let ours = SignedPayload { transfer: &payment.transfer, signature: &rsv, answers };
    assert_eq!(ours.to_string(), sent, "{id}");
    assert_eq!(emitted_len(&ours), sent.len());
    assert_eq!(Base64(&ours).to_string(), header, "{id}");
}

#[test]
fn payments_of_v1_and_v2_are_read_and_written_as_the_sdk_does() {
    let sdk = sdk();
    let (v1, v2) = (of_kind(&sdk, "v1-payment"), of_kind(&sdk, "v2-payment"));
    assert_eq!((v1.len(), v2.len()), (4, 17));
    v1.into_iter().chain(v2).for_each(check_payment);
}

#[test]
fn the_order_of_members_does_not_count() {
    for vector in of_kind(&sdk(), "v1-payment") {
        let outputs = &vector["outputs"];
        let theirs = outputs["legacyX402"]["json"].as_str();
        let Some(theirs) = theirs else { continue };
        let legacy = PaymentPayload::parse(theirs.as_bytes()).unwrap();
        let ours = text(outputs, "paymentPayloadJson");
        let ours = PaymentPayload::parse(ours.as_bytes()).unwrap();
        assert!(legacy.raw.equals(ours.raw));
        let (legacy, ours) = (legacy.payment(Address::ZERO), ours.payment(Address::ZERO));
        assert_eq!(legacy.unwrap().transfer, ours.unwrap().transfer);
    }
}

/// The terms of the SDK's server: read by us, and written again byte for byte where the tokens are
/// known and the members are those that are.
#[test]
fn terms_of_v2_are_read_and_written_as_the_sdk_does() {
    let sdk = sdk();
    let mut written = Vec::new();
    for vector in of_kind(&sdk, "v2-payment") {
        let (id, outputs) = (text(vector, "id"), &vector["outputs"]);
        let Some(sent) = outputs["paymentRequiredJson"].as_str() else { continue };
        assert_eq!(decoded(text(&outputs["paymentRequiredHeader"], "value")), sent.as_bytes());
        let required = PaymentRequired::parse(sent.as_bytes()).unwrap();
        assert_eq!(required.version, Version::V2);
        let mut offers = Vec::new();
        for terms in required.accepts() {
            let terms = terms.unwrap();
            assert_eq!(terms.flow(), Some(PaymentFlow::Authorization), "{id}");
            let chain_id = terms.chain_id().unwrap();
            let asset = Asset::find_by_address(chain_id, terms.asset().unwrap()).unwrap();
            let (pay_to, amount) = (terms.pay_to().unwrap(), terms.amount().unwrap());
            let offer = Offer::new(*asset, pay_to, amount, terms.max_timeout_seconds);
            offers.push(match terms.scheme().unwrap() {
                Scheme::Exact(TransferMethod::Eip3009) => offer,
                Scheme::Exact(_) => offer.by_permit2(),
                Scheme::Upto { facilitator } => offer.up_to(facilitator),
            });
        }
        let resource = required.resource.unwrap();
        let member = |key: &str| resource.get(key).unwrap().as_text().unwrap().to_string();
        let (url, description, mime_type) =
            (member("url"), member("description"), member("mimeType"));
        let error = required.error.unwrap().to_string();
        let ours = Challenge {
            error: &error,
            resource: Resource { url: &url, description: &description, mime_type: &mime_type },
            offers: &offers,
            quotes: &[],
            flow: PaymentFlow::Authorization,
            extensions: required.extensions.map_or("", |_| {
                let all = json::parse(sent.as_bytes()).unwrap().as_object().unwrap();
                all.get("extensions").unwrap().raw()
            }),
            output_schema: "",
        };
        if ours.v2().to_string() == sent {
            assert_eq!(emitted_len(&ours.v2()), sent.len());
            written.push(id);
        }
    }
    // The others have addresses in lower case, or members that we have no use for.
    let all = [
        "v2-01", "v2-02", "v2-03", "v2-04", "v2-07", "edge-02", "edge-04", "p2-01", "p2-02",
        "p2-04", "upto-01",
    ];
    assert_eq!(written, all);
}

#[test]
fn terms_of_v1_are_read() {
    for vector in of_kind(&sdk(), "v1-payment") {
        let outputs = &vector["outputs"];
        let required = PaymentRequired::parse(text(outputs, "body402Json").as_bytes()).unwrap();
        assert_eq!(required.version, Version::V1);
        let terms: Vec<_> = required.accepts().collect::<Result<_, _>>().unwrap();
        assert_eq!(terms[0].scheme(), Some(Scheme::Exact(TransferMethod::Eip3009)));
        let chain_id = terms[0].chain_id().unwrap();
        assert!(Asset::find_by_address(chain_id, terms[0].asset().unwrap()).is_some());
    }
}

#[test]
fn receipts_are_read_and_written_as_the_sdk_does() {
    let sdk = sdk();
    let receipts = of_kind(&sdk, "payment-response");
    assert_eq!(receipts.len(), 2);
    for vector in receipts {
        let outputs = &vector["outputs"];
        let sent = text(outputs, "json");
        assert_eq!(decoded(text(&outputs["header"], "value")), sent.as_bytes());
        let receipt = SettleResponse::parse(sent.as_bytes()).unwrap();
        let reason = receipt.error_reason.map(|reason| reason.to_string());
        let message = receipt.error_message.map(|message| message.to_string());
        let ours = Settlement {
            version: Version::V2,
            reason: reason.as_deref(),
            message: message.as_deref().unwrap_or_default(),
            transaction: receipt.transaction_hash().map(|hash| *hash.as_bytes()),
            chain_id: x402_core::ChainId::parse(receipt.network.plain().unwrap()).ok(),
            payer: receipt.payer.and_then(|payer| Address::parse(payer.plain()?).ok()),
            amount: None,
        };
        // Extensions are read over.
        let expected = sent.replace(",\"extensions\":{\"note\":\"reçu ✓\"}", "");
        assert_eq!(ours.to_string(), expected);
    }
}

#[test]
fn what_the_sdk_rejects_is_refused() {
    let sdk = sdk();
    for case in of_kind(&sdk, "negative")[0]["outputs"]["cases"].as_array().unwrap() {
        let value = text(case, "value");
        let mut bytes = vec![0; base64::decoded_room(value.len())];
        let read = base64::decode(value.as_bytes(), &mut bytes);
        assert!(read.is_err() || json::parse(read.unwrap()).is_err(), "{value}");
    }
}

#[test]
fn a_timeout_is_a_number_above_zero_and_never_too_large() {
    let terms = |seconds: &str| {
        let json = format!(
            r#"{{"x402Version":2,"accepts":[{{"scheme":"exact","network":"eip155:1","amount":"1",
               "asset":"0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48","maxTimeoutSeconds":{seconds},
               "payTo":"0x209693Bc6afc0C5328bA36FaF03C514EF312287C"}}]}}"#
        );
        let required = PaymentRequired::parse(json.as_bytes()).unwrap();
        required.accepts().next().unwrap().map(|terms| terms.max_timeout_seconds).ok()
    };
    for (seconds, expected) in [
        ("60", Some(60)),
        ("60.9", Some(60)),
        ("6e1", Some(60)),
        ("4294967296", Some(u32::MAX)),
        ("18446744073709551616", Some(u32::MAX)),
        ("1e400", Some(u32::MAX)),
        ("0", None),
        ("0.5", None),
        ("-60", None),
        ("\"60\"", None),
        ("null", None),
        ("[60]", None),
    ] {
        assert_eq!(terms(seconds), expected, "{seconds}");
    }
}
