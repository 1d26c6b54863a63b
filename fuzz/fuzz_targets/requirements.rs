//! The terms of a 402, of v1 and v2: what they mean is what serde_json says, and what is written of
//! them means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use x402_core::wire::Version;
use x402_core::wire::json::{Object, emitted_len};
use x402_core::wire::{Challenge, PaymentFlow, PaymentRequired, PaymentRequirements, Resource};
use x402_core::{Address, Asset, Offer, Scheme, TransferMethod};
use x402_fuzz::wire::{address, number, text};

fuzz_target!(|data: &[u8]| {
    let Ok(required) = PaymentRequired::parse(data) else { return };
    let Some(theirs) = x402_fuzz::json::oracle(data) else { return };
    assert_eq!(theirs["x402Version"], required.version.number());
    let accepts = theirs["accepts"].as_array().expect("an array to us");
    assert_eq!(required.accepts().count(), accepts.len());
    let terms = required.accepts().zip(accepts);
    let terms: Vec<_> = terms.filter_map(|(ours, theirs)| Some((ours.ok()?, theirs))).collect();
    for (terms, theirs) in &terms {
        check_terms(terms, theirs);
    }
    let flow = terms.first().and_then(|(terms, _)| terms.flow());
    let offers: Vec<_> = terms.iter().filter_map(|(terms, _)| offer(terms)).collect();
    check_written(&required, &offers, flow.unwrap_or(PaymentFlow::Authorization));
});

/// Each member that we can read is what serde_json and alloy make of it.
fn check_terms(terms: &PaymentRequirements<'_>, theirs: &Value) {
    let amount = match terms.version {
        Version::V1 => "maxAmountRequired",
        Version::V2 => "amount",
    };
    assert_eq!(terms.scheme.to_string(), text(theirs, "scheme"));
    assert_eq!(terms.network.to_string(), text(theirs, "network"));
    if let Some(ours) = terms.amount() {
        assert_eq!(ours.to_be_bytes(), number(theirs, amount).to_be_bytes::<32>());
    }
    for (ours, key) in [(terms.asset(), "asset"), (terms.pay_to(), "payTo")] {
        if let Some(ours) = ours {
            assert_eq!(ours, address(theirs, key));
        }
    }
    let seconds = theirs["maxTimeoutSeconds"].as_f64().expect("a number to us");
    let seconds = seconds.clamp(0.0, u32::MAX.into()).floor();
    assert!((f64::from(terms.max_timeout_seconds) - seconds).abs() < 0.5);
    let extra = &theirs["extra"];
    match terms.scheme() {
        Some(Scheme::Exact(TransferMethod::Permit2)) => {
            assert_eq!(extra["assetTransferMethod"], "permit2");
        }
        Some(Scheme::Upto { facilitator }) => {
            assert_eq!(facilitator, address(extra, "facilitatorAddress"));
        }
        Some(Scheme::Exact(_)) => assert_eq!(terms.scheme.to_string(), "exact"),
        None => {}
    }
    let is_upfront = terms.flow() == Some(PaymentFlow::Upfront);
    assert_eq!(is_upfront, extra["paymentFlow"] == "upfront");
}

/// The offer, where the token is known.
fn offer(terms: &PaymentRequirements<'_>) -> Option<Offer<'static>> {
    let asset = Asset::find_by_address(terms.chain_id()?, terms.asset()?)?;
    let offer = Offer::new(*asset, terms.pay_to()?, terms.amount()?, terms.max_timeout_seconds);
    Some(match terms.scheme()? {
        Scheme::Exact(TransferMethod::Permit2) => offer.by_permit2(),
        Scheme::Exact(_) => offer,
        Scheme::Upto { facilitator } => offer.up_to(facilitator),
    })
}

/// What a seller of these offers writes, in both versions, is read as these offers.
fn check_written(required: &PaymentRequired<'_>, offers: &[Offer<'_>], flow: PaymentFlow) {
    let member = |key: &str| {
        let value = required.resource.and_then(|resource| resource.get(key));
        value.and_then(|value| value.as_text()).map_or(String::new(), |text| text.to_string())
    };
    let error = required.error.map_or(String::new(), |error| error.to_string());
    let (url, description, mime_type) = (member("url"), member("description"), member("mimeType"));
    let challenge = Challenge {
        error: &error,
        resource: Resource { url: &url, description: &description, mime_type: &mime_type },
        offers,
        quotes: &[],
        flow,
        extensions: required.extensions.map_or("", Object::raw),
        output_schema: required.resource.map_or("", Object::raw),
    };
    let v2 = challenge.v2().to_string();
    assert_eq!(v2.len(), emitted_len(&challenge.v2()));
    let v1 = format!("{{{}}}", challenge.v1_members());
    for (written, version) in [(v1, Version::V1), (v2, Version::V2)] {
        assert!(serde_json::from_str::<Value>(&written).is_ok(), "{written}");
        // Much text with many escapes may outgrow what we read ourselves.
        let Ok(again) = PaymentRequired::parse(written.as_bytes()) else { continue };
        assert_eq!(again.version, version);
        assert_eq!(again.error.map(|text| text.to_string()).as_deref(), Some(&*error));
        let read: Vec<_> = again.accepts().map(|terms| terms.expect("we wrote it")).collect();
        let is_written = |offer: &&Offer<'_>| {
            let terms = offer.requirements();
            let is_plain = terms.scheme == Scheme::Exact(TransferMethod::Eip3009);
            version == Version::V2 || (is_plain && terms.chain_id.name().is_some())
        };
        let offers: Vec<_> = offers.iter().filter(is_written).collect();
        assert_eq!(read.len(), offers.len());
        for (read, offer) in read.iter().zip(offers) {
            check_offer(read, offer, flow);
        }
    }
}

fn check_offer(read: &PaymentRequirements<'_>, offer: &Offer<'_>, flow: PaymentFlow) {
    let terms = offer.requirements();
    let token = (read.chain_id(), read.asset());
    assert_eq!(token, (Some(terms.chain_id), Some(terms.asset)));
    let price: (Option<Address>, _) = (read.pay_to(), read.amount());
    assert_eq!(price, (Some(terms.pay_to), Some(terms.amount)));
    assert_eq!(read.max_timeout_seconds, terms.max_timeout_seconds);
    assert_eq!(read.scheme(), Some(terms.scheme));
    if read.version == Version::V2 {
        assert_eq!(read.flow(), Some(flow));
    }
}
