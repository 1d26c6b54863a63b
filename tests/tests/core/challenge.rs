//! The 402 in header fields: what a seller writes, a buyer reads.

use proptest::prelude::*;
use x402_core::headers::{ChallengeHeaders, Field, HeaderError, emit_challenge};
use x402_core::{Asset, ChainId, Code, Offer, Price, Timestamp};

use crate::arbitrary::{address, cases, offer, payee, price};

type Fields = Vec<(String, Vec<u8>)>;

fn challenge(offer: &Offer<'_>, error: Option<Code>) -> Fields {
    let mut fields = Fields::new();
    emit_challenge(offer, error, |field, value| {
        fields.push((field.name().to_owned(), value.as_bytes().to_vec()));
    });
    fields
}

fn collect(fields: &Fields) -> Result<Option<ChallengeHeaders<'_>>, HeaderError> {
    ChallengeHeaders::collect(fields.iter().map(|(name, value)| (name, &value[..])))
}

fn with(field: Field, value: &str) -> Fields {
    let mut fields = without(field);
    fields.push((field.name().to_owned(), value.as_bytes().to_vec()));
    fields
}

fn without(field: Field) -> Fields {
    let mut fields = challenge(&offer(), None);
    fields.retain(|(name, _)| name != field.name());
    fields
}

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn every_assets_offer_is_read_as_it_was_made(
        pay_to in address(), price in price(), timeout in any::<u32>(),
    ) {
        for asset in Asset::all() {
            let offer = Offer::new(*asset, pay_to, price, timeout);
            for error in Code::ALL.iter().copied().map(Some).chain([None]) {
                let fields = challenge(&offer, error);
                let headers = collect(&fields).unwrap().unwrap();
                prop_assert_eq!(headers.error, error);
                let read = headers.offer(asset).unwrap();
                prop_assert_eq!(read.requirements(), offer.requirements());
                prop_assert_eq!(read.asset(), asset);
            }
        }
    }

    #[test]
    fn no_value_of_any_field_is_a_panic(
        field in proptest::sample::select(&Field::OF_ANSWER[..]), value in any::<String>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut fields = with(field, &value);
        let _ = collect(&fields);
        fields.last_mut().unwrap().1 = bytes;
        let _ = collect(&fields);
    }
}

#[test]
fn the_document_prints_this_answer() {
    let fields = challenge(&offer(), None);
    let lines: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("{name}: {}", core::str::from_utf8(value).unwrap()))
        .collect();
    let payee = format!("X-Payment-Recipient: {}", payee());
    let due = [
        "X-Payment-Required: true",
        "X-Payment-Amount: 0.01",
        "X-Payment-Asset: USDC",
        "X-Payment-Network: ethereum",
        &payee,
        "X-Payment-Timeout: 60",
    ];
    assert_eq!(lines, due);
}

#[test]
fn a_network_without_a_name_is_written_as_caip_2() {
    let optimism = Asset::find(ChainId::new(10), "USDC").unwrap();
    let fields =
        challenge(&Offer::new(*optimism, payee(), offer().requirements().amount, 60), None);
    assert!(fields.contains(&("X-Payment-Network".to_owned(), b"eip155:10".to_vec())));
}

#[test]
fn other_uses_of_the_field_are_told_apart_by_value() {
    for value in ["", "false", "1", "eyJ4NDAyVmVyc2lvbiI6Mn0=", r#"{"x402Version":1}"#, "true "] {
        assert!(collect(&with(Field::Required, value)).unwrap().is_none(), "{value}");
    }
    assert!(collect(&without(Field::Required)).unwrap().is_none());
    assert!(collect(&with(Field::Required, "TRUE")).unwrap().is_some());
}

#[test]
fn terms_that_are_missing_twice_or_malformed_are_refused() {
    for field in [Field::Amount, Field::Asset, Field::Network, Field::Recipient] {
        assert_eq!(collect(&without(field)).unwrap_err(), HeaderError::Missing(field));
    }
    for (field, value) in [
        (Field::Amount, "$0.01"),
        (Field::Amount, "-1"),
        (Field::Network, "mainnet"),
        (Field::Recipient, "0x209693bC6afc0C5328bA36FaF03C514EF312287C"),
        (Field::Timeout, "4294967296"),
        (Field::Timeout, "1 minute"),
        (Field::Timeout, ""),
    ] {
        let error = collect(&with(field, value)).unwrap_err();
        assert_eq!(error, HeaderError::Invalid(field), "{value}");
    }
    for (name, value) in challenge(&offer(), Some(Code::WrongAsset)) {
        let mut fields = challenge(&offer(), Some(Code::WrongAsset));
        fields.push((name.to_lowercase(), value));
        let error = collect(&fields).unwrap_err();
        assert!(matches!(error, HeaderError::Duplicate(field) if field.name() == name), "{error}");
    }
}

#[test]
fn a_402_without_a_timeout_means_a_minute() {
    let fields = without(Field::Timeout);
    assert_eq!(collect(&fields).unwrap().unwrap().timeout_seconds, 60);
}

#[test]
fn an_offer_is_made_for_the_asset_that_is_named_only() {
    let fields = challenge(&offer(), None);
    let headers = collect(&fields).unwrap().unwrap();
    let asset = |chain, symbol| Asset::find(chain, symbol).unwrap();
    assert!(headers.offer(asset(ChainId::ETHEREUM, "USDC")).is_some());
    assert!(headers.offer(asset(ChainId::ETHEREUM, "EURC")).is_none());
    assert!(headers.offer(asset(ChainId::BASE, "USDC")).is_none());
    let fields = with(Field::Amount, "0.0000001");
    let headers = collect(&fields).unwrap().unwrap();
    assert_eq!(headers.amount.to_string(), Price::parse("0.0000001").unwrap().to_string());
    assert!(headers.offer(asset(ChainId::ETHEREUM, "USDC")).is_none());
}

#[test]
fn the_longest_amount_is_written_whole() {
    let mut asset = *offer().asset();
    for decimals in [0, 6, 77, 78, 255] {
        asset.decimals = decimals;
        let offer = Offer::new(asset, payee(), x402_core::Amount::MAX, u32::MAX);
        let fields = challenge(&offer, None);
        let amount = x402_core::Amount::MAX.to_price(decimals).to_string();
        assert_eq!(fields[1], ("X-Payment-Amount".to_owned(), amount.into_bytes()));
    }
    // Nor does any other value outgrow its room.
    assert_eq!(Timestamp::MAX.to_string().len(), 78);
}
