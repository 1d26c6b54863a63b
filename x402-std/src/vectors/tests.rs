use super::*;

const EIP3009_INVALID: &str = include_str!("../../../tests/vectors/eip3009_invalid.json");
const EIP3009_VALID: &str = include_str!("../../../tests/vectors/eip3009_valid.json");
const NUMBERS: &str = include_str!("../../../tests/vectors/numbers.json");
const PRICES: &str = include_str!("../../../tests/vectors/prices.json");
const PRICE_PRODUCTS: &str = include_str!("../../../tests/vectors/price_products.json");
const RECOVERY: &str = include_str!("../../../tests/vectors/recover_eth.json");
const SDK: &str = include_str!("../../../tests/vectors/sdk.json");
const WYCHEPROOF: &str = include_str!("../../../tests/vectors/wycheproof_recover_policy.json");

macro_rules! passes {
    ($($name:ident: $file:expr, $format:expr, $passed:literal;)*) => {$(
        #[test]
        fn $name() {
            let report = run($file).unwrap();
            assert!(report.is_success(), "{report}");
            assert_eq!((report.format, report.passed), ($format, $passed));
        }
    )*};
}

passes! {
    eip3009_invalid: EIP3009_INVALID, Format::Eip3009Invalid, 39;
    eip3009_valid: EIP3009_VALID, Format::Eip3009Valid, 30;
    numbers: NUMBERS, Format::Numbers, 38;
    prices: PRICES, Format::Prices, 40;
    price_products: PRICE_PRODUCTS, Format::PriceProducts, 10;
    recovery: RECOVERY, Format::Recovery, 486;
    sdk: SDK, Format::Sdk, 119;
    wycheproof: WYCHEPROOF, Format::Wycheproof, 252;
}

#[test]
fn what_is_not_built_is_named() {
    let skipped = run(SDK).unwrap().skipped;
    let skipped: Vec<_> = skipped.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    assert_eq!(
        skipped,
        [
            ("batch-settlement", 1),
            ("builder-code", 3),
            ("constants.eventTopics", 2),
            ("constants.selectors", 27),
            ("constants.typeHashes", 11),
            ("facilitatorCases", 49),
            ("httpCases", 17),
            ("httpCasesV1", 8),
            ("jws", 2),
            ("negative", 1),
            ("offer", 1),
            ("payment-response", 2),
            ("receipt", 1),
            ("siwx", 1),
            ("v2-payment (Permit)", 1),
        ]
    );
}

/// Changes one member of a file and says which entries fail then.
fn failing(file: &str, pointer: &str, value: Value) -> Vec<String> {
    let mut file: Value = serde_json::from_str(file).unwrap();
    let member = file.pointer_mut(pointer).expect("the file has the member");
    assert_ne!(*member, value, "nothing changed at {pointer}");
    *member = value;
    let report = run(&file.to_string()).unwrap();
    report.failed.into_iter().map(|failure| failure.entry).collect()
}

const OTHER_WORD: &str = "0x0101010101010101010101010101010101010101010101010101010101010101";
const OTHER_ADDRESS: &str = "0x0101010101010101010101010101010101010101";

#[test]
fn a_changed_entry_fails() {
    for (file, pointer, value, entry) in [
        (EIP3009_INVALID, "/good", OTHER_WORD, "good"),
        (EIP3009_INVALID, "/vectors/8/usdc_recovers", OTHER_ADDRESS, "8 (v flipped)"),
        (EIP3009_INVALID, "/vectors/9/usdc_reason", "invalid_signature", "9 (v=1)"),
        (EIP3009_VALID, "/vectors/0/domain/name", "USD Coin", "0 ("),
        (EIP3009_VALID, "/vectors/1/domainSeparator", OTHER_WORD, "1 (generated)"),
        (EIP3009_VALID, "/vectors/1/structHash", OTHER_WORD, "1 (generated)"),
        (EIP3009_VALID, "/vectors/1/digest", OTHER_WORD, "1 (generated)"),
        (EIP3009_VALID, "/vectors/1/recovers", OTHER_ADDRESS, "1 (generated)"),
        (EIP3009_VALID, "/vectors/1/privateKey", OTHER_WORD, "1 (generated)"),
        (EIP3009_VALID, "/vectors/1/message/value", "1", "1 (generated)"),
        (NUMBERS, "/vectors/1/expect", "reject", "1 ("),
        (NUMBERS, "/vectors/1/value", "2", "1 ("),
        (NUMBERS, "/vectors/0/value", "2", "0 ("),
        (NUMBERS, "/vectors/10/expect", "accept", "10 ("),
        (NUMBERS, "/vectors/10/expect", "maybe", "10 ("),
        (PRICES, "/vectors/0/atomic", "999", "0 ($0.001)"),
        (PRICES, "/vectors/0/price", "$-1", "0 ($-1)"),
        (PRICE_PRODUCTS, "/vectors/0/atomic_round_up", "0", "0 (0.0000001)"),
        (RECOVERY, "/vectors/1/strict_reason", "invalid_v", "1 (wycheproof-p1363#4)"),
        (RECOVERY, "/vectors/1/strict", OTHER_ADDRESS, "1 (wycheproof-p1363#4)"),
        (SDK, "/tokens/0/domainSeparator", OTHER_WORD, "tokens eip155:8453 USDC"),
        (SDK, "/tokens/0/symbol", "USDT", "tokens eip155:8453 USDT"),
        (SDK, "/constants/eventTopics/Transfer(address,address,uint256)", OTHER_WORD, "constants."),
        (SDK, "/vectors/0/outputs/eip712/0/digest", OTHER_WORD, "v1-01"),
        (SDK, "/constants/permit2DomainSeparators/eip155:1", OTHER_WORD, "constants."),
        (SDK, "/vectors/17/outputs/eip712/0/digest", OTHER_WORD, "p2-02"),
        (SDK, "/vectors/17/outputs/eip712/0/structHash", OTHER_WORD, "p2-02"),
        (SDK, "/vectors/17/outputs/eip712/0/domain/name", "Permit3", "p2-02"),
        (SDK, "/vectors/17/outputs/eip712/0/message/spender", OTHER_ADDRESS, "p2-02"),
        (SDK, "/vectors/17/outputs/eip712/0/message/nonce", "43", "p2-02"),
        (SDK, "/vectors/18/outputs/eip712/0/signature", OTHER_WORD, "p2-04"),
        (SDK, "/vectors/20/outputs/eip712/0/message/witness/facilitator", OTHER_ADDRESS, "upto-02"),
        (SDK, "/vectors/34/inputs/amount", "4201", "cd-04"),
        (SDK, "/vectors/34/inputs/amount", "10001", "cd-04"),
        (SDK, "/vectors/34/inputs/to", OTHER_ADDRESS, "cd-04"),
        (SDK, "/vectors/33/inputs/from", "p2-02", "cd-03"),
        (SDK, "/vectors/0/inputs/privateKey", OTHER_WORD, "v1-01"),
        (SDK, "/vectors/0/outputs/paymentPayload/payload/authorization/value", "1", "v1-01"),
        (
            SDK,
            "/vectors/17/outputs/paymentPayload/payload/permit2Authorization/nonce",
            "43",
            "p2-02",
        ),
        (
            SDK,
            "/vectors/20/outputs/paymentPayload/payload/permit2Authorization/from",
            OTHER_ADDRESS,
            "upto-02",
        ),
    ] {
        let failed = failing(file, pointer, value.into());
        assert_eq!(failed.len(), 1, "{pointer}: {failed:?}");
        assert!(failed[0].starts_with(entry), "{pointer}: {failed:?}");
    }
}

#[test]
fn a_changed_flag_or_number_fails() {
    let entries: Value = serde_json::from_str(WYCHEPROOF).unwrap();
    let is_accepted = |entry: &Value| entry["accept_strict"] == true;
    let at = entries["vectors"].as_array().unwrap().iter().position(is_accepted).unwrap();
    let pointer = format!("/vectors/{at}/accept_strict");
    assert_eq!(failing(WYCHEPROOF, &pointer, false.into()).len(), 1);
    let pointer = format!("/vectors/{at}/expect_signer");
    assert_eq!(failing(WYCHEPROOF, &pointer, OTHER_ADDRESS.into()).len(), 1);
    assert_eq!(failing(WYCHEPROOF, "/vectors/0/accept_strict", true.into()).len(), 1);
    assert_eq!(failing(WYCHEPROOF, "/vectors/3/some_v_recovers_signer", true.into()).len(), 1);
    assert_eq!(failing(PRICES, "/vectors/0/decimals", 7.into()), ["0 ($0.001)"]);
    assert_eq!(failing(SDK, "/v1Networks/base", 8454.into()), ["v1Networks base"]);
    assert_eq!(failing(SDK, "/tokens/0/decimals", 18.into()), ["tokens eip155:8453 USDC"]);
}

#[test]
fn a_file_that_was_cut_short_fails() {
    assert_eq!(failing(PRICES, "/count", 41.into()), ["count"]);
    let mut file: Value = serde_json::from_str(PRICES).unwrap();
    file["vectors"].as_array_mut().unwrap().clear();
    assert!(matches!(run(&file.to_string()), Err(VectorsError::UnknownFormat)));
}

#[test]
fn an_entry_that_cannot_be_read_fails() {
    for pointer in ["/vectors/1/message", "/vectors/1/signature", "/vectors/1/recovers"] {
        assert_eq!(failing(EIP3009_VALID, pointer, Value::Null), ["1 (generated)"]);
    }
    assert_eq!(failing(NUMBERS, "/vectors/1/expect", Value::Null).len(), 1);
}

#[test]
fn other_files_are_refused() {
    for text in ["{}", "[]", "1", r#"{"vectors":[]}"#, r#"{"vectors":[{}]}"#] {
        assert!(matches!(run(text), Err(VectorsError::UnknownFormat)), "{text}");
    }
    assert!(matches!(run("{"), Err(VectorsError::Json(_))));
}

#[test]
fn a_report_shows_failures_and_totals() {
    let mut report = Report::new(Format::Prices);
    report.record("0 ($1)", Mismatch::new("the amount 1", 2));
    report.record("1 ($2)", Ok(()));
    report.skip("jws", 2);
    let shown = "0 ($1): expected the amount 1, got 2\nskipped 2 of jws\n1 passed, 1 failed";
    assert_eq!(report.to_string(), shown);
}
