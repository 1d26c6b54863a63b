//! The reader of JSON and of base64 against what others say is JSON and base64.

use proptest::prelude::*;
use serde_json::Value as Oracle;
use x402_core::wire::base64::{self, Base64};
use x402_core::wire::json::{self, JsonError, Quoted, Value, emitted_len};

use crate::arbitrary::cases;

fn from_base64(text: &str) -> Vec<u8> {
    let mut bytes = vec![0; base64::decoded_room(text.len())];
    base64::decode(text.as_bytes(), &mut bytes).unwrap().to_vec()
}

/// What our reader made of a document, as the oracle's value: by walking it.
fn walked(value: Value<'_>) -> Oracle {
    if let Some(object) = value.as_object() {
        return object.iter().map(|(key, value)| (key.to_string(), walked(value))).collect();
    }
    if let Some(array) = value.as_array() {
        return array.iter().map(walked).collect();
    }
    if let Some(text) = value.as_text() {
        return text.to_string().into();
    }
    if let Some(number) = value.as_number() {
        return serde_json::from_str(number).unwrap_or(Oracle::Null);
    }
    value.as_bool().map_or(Oracle::Null, Oracle::Bool)
}

/// Of JSONTestSuite: what must be taken is taken, what must be refused is refused, and what is left
/// open is decided here, once.
#[test]
fn reads_what_is_json_and_nothing_else() {
    // Twice the same member: RFC 8259 lets readers differ, and that is why it is refused.
    const TAKEN_BY_OTHERS: [&str; 2] =
        ["y_object_duplicated_key", "y_object_duplicated_key_and_value"];
    // What RFC 8259 leaves open: numbers of any size are texts here. No other is taken.
    let is_taken = |name: &str| name.starts_with("i_number_");
    let suite: Oracle = serde_json::from_str(include_str!("json_test_suite.json")).unwrap();
    let suite = suite.as_object().unwrap();
    assert_eq!(suite.len(), 316);
    for (name, text) in suite {
        let bytes = from_base64(text.as_str().unwrap());
        let read = json::parse(&bytes);
        let expected = match name.as_bytes()[0] {
            b'y' => !TAKEN_BY_OTHERS.contains(&name.as_str()),
            b'n' => false,
            _ => is_taken(name),
        };
        assert_eq!(read.is_ok(), expected, "{name}: {read:?}");
        if let (Ok(read), b'y') = (read, name.as_bytes()[0]) {
            let oracle: Oracle = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(walked(read), oracle, "{name}");
        }
    }
}

#[test]
fn everything_is_bounded() {
    let parse = |text: &str| json::parse(text.as_bytes()).map(|_| ());
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(parse(&nested(json::MAX_DEPTH)), Ok(()));
    assert_eq!(parse(&nested(json::MAX_DEPTH + 1)), Err(JsonError::Depth));
    // Of the suite too, where these are files of their own.
    assert_eq!(parse(&"[".repeat(60_000)), Err(JsonError::Depth));
    assert_eq!(parse(&"[{\"\":".repeat(10_000)), Err(JsonError::Depth));
    assert_eq!(parse(&"[".repeat(100_000)), Err(JsonError::Length));
    let members = |count: usize| {
        let members: Vec<_> = (0..count).map(|index| format!("\"{index}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(parse(&members(json::MAX_MEMBERS)), Ok(()));
    assert_eq!(parse(&members(json::MAX_MEMBERS + 1)), Err(JsonError::Members));
    assert_eq!(parse(&format!("\"{}\"", "a".repeat(json::MAX_LEN - 2))), Ok(()));
    assert_eq!(parse(&format!("\"{}\"", "a".repeat(json::MAX_LEN - 1))), Err(JsonError::Length));
}

#[test]
fn what_is_wrong_is_named() {
    for (text, error) in [
        ("", JsonError::Syntax),
        ("{\"a\":1,\"a\":2}", JsonError::Duplicate),
        ("{\"a\":1,\"\\u0061\":2}", JsonError::Duplicate),
        ("{\"b\":{\"a\":1,\"a\":1}}", JsonError::Duplicate),
        ("\"\\ud800\"", JsonError::Surrogate),
        ("\"\\udc00\\ud800\"", JsonError::Surrogate),
        ("\"\\ud800\\u0041\"", JsonError::Surrogate),
        ("{} {}", JsonError::Trailing),
        ("1 2", JsonError::Trailing),
        ("\u{feff}{}", JsonError::Syntax),
        ("\"a\nb\"", JsonError::Syntax),
        ("01", JsonError::Trailing),
        ("+1", JsonError::Syntax),
        ("nul", JsonError::Syntax),
    ] {
        assert_eq!(json::parse(text.as_bytes()).map(|_| ()), Err(error), "{text}");
    }
    assert_eq!(json::parse(b"\"\xff\"").map(|_| ()), Err(JsonError::Encoding));
}

#[test]
fn comparing_looks_at_what_is_meant() {
    let parse = |text: &'static str| json::parse(text.as_bytes()).unwrap();
    for (ours, theirs, equals, includes) in [
        ("{\"a\":1,\"b\":[1,2]}", " { \"b\" : [ 1 , 2 ] , \"a\" : 1 } ", true, true),
        ("{\"a\":1,\"b\":2}", "{\"a\":1}", false, true),
        ("{\"a\":1}", "{\"a\":1,\"b\":2}", false, false),
        ("{\"a\":{\"x\":1,\"y\":2}}", "{\"a\":{\"x\":1}}", false, true),
        ("[{\"x\":1,\"y\":2}]", "[{\"x\":1}]", false, false),
        ("[1,2]", "[1]", false, false),
        ("[1,2]", "[2,1]", false, false),
        ("\"\\u0061\\/\"", "\"a/\"", true, true),
        ("1.0", "1", true, true),
        ("1e2", "100", true, true),
        ("9007199254740993", "9007199254740992", false, false),
        ("1e400", "1e500", false, false),
        ("1", "\"1\"", false, false),
        ("null", "false", false, false),
        ("{}", "[]", false, false),
    ] {
        let (ours, theirs) = (parse(ours), parse(theirs));
        assert_eq!(
            (ours.equals(theirs), ours.includes(theirs)),
            (equals, includes),
            "{ours} {theirs}"
        );
    }
}

#[test]
fn base64_is_strict_but_for_its_padding() {
    let decode = |text: &str| {
        let mut bytes = [0; 16];
        base64::decode(text.as_bytes(), &mut bytes).map(<[u8]>::to_vec)
    };
    for (text, bytes) in [
        ("", &b""[..]),
        ("Zg==", b"f"),
        ("Zg", b"f"),
        ("Zm8=", b"fo"),
        ("Zm8", b"fo"),
        ("Zm9v", b"foo"),
    ] {
        assert_eq!(decode(text).as_deref(), Ok(bytes), "{text}");
    }
    for text in [
        "Z", "Zg=", "Zg===", "Zm9v=", "Zm9v==", "=", "==", "====", "Z=g=", "Zm 8", "Zm8\n", "Zm-_",
        "Zh==", "Zm9=", "Zm8=Zm8=", "Zm8=\0",
    ] {
        assert!(decode(text).is_err(), "{text}");
    }
    assert!(decode(&"A".repeat(23)).is_err(), "no room");
}

fn any_json() -> impl Strategy<Value = Oracle> {
    let leaf = prop_oneof![
        Just(Oracle::Null),
        any::<bool>().prop_map(Oracle::from),
        any::<i64>().prop_map(Oracle::from),
        any::<f64>().prop_map(Oracle::from),
        any::<String>().prop_map(Oracle::from),
    ];
    leaf.prop_recursive(5, 48, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Oracle::from),
            prop::collection::btree_map(any::<String>(), inner, 0..8)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn what_others_write_is_read_as_they_mean_it(oracle in any_json(), is_pretty in any::<bool>()) {
        let text = if is_pretty { format!("{oracle:#}") } else { oracle.to_string() };
        let read = json::parse(text.as_bytes()).unwrap();
        // Numbers by the oracle's own reading of the text.
        let oracle: Oracle = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(walked(read), oracle);
        prop_assert!(read.equals(read) && read.includes(read));
        prop_assert_eq!(read.raw(), &text);
    }

    #[test]
    fn what_is_read_is_json_to_others(mut bytes in any_json().prop_map(|it| it.to_string().into_bytes()),
        at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        if let Ok(read) = json::parse(&bytes) {
            match serde_json::from_slice::<Oracle>(&bytes) {
                Ok(oracle) => prop_assert_eq!(walked(read), oracle),
                // Numbers of any size are texts here.
                Err(error) => prop_assert!(error.to_string().contains("out of range"), "{error}"),
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = json::parse(&bytes).map(walked);
        let mut out = [0; 150];
        let _ = base64::decode(&bytes, &mut out);
    }

    #[test]
    fn texts_are_quoted_as_others_do(text in any::<String>()) {
        let ours = Quoted(&text).to_string();
        prop_assert_eq!(&ours, &serde_json::to_string(&text).unwrap());
        prop_assert_eq!(emitted_len(&Quoted(&text)), ours.len());
    }

    #[test]
    fn base64_goes_both_ways(text in any::<String>()) {
        let encoded = Base64(&text).to_string();
        prop_assert_eq!(encoded.len(), base64::encoded_len(text.len()));
        prop_assert_eq!(from_base64(&encoded), text.as_bytes());
        prop_assert_eq!(from_base64(encoded.trim_end_matches('=')), text.as_bytes());
    }
}
