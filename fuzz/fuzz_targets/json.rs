//! JSON: taken is what serde_json takes, within our bounds, and means what it means there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value as Oracle;
use x402_core::wire::json::{self, Quoted, Value, emitted_len};
use x402_fuzz::json::{Tree, is_bounded};

fuzz_target!(|data: &[u8]| {
    check(data);
    // Two documents are compared.
    let mut documents = data.splitn(2, |byte| *byte == 0);
    if let (Some(first), Some(second)) = (documents.next(), documents.next())
        && let (Ok(first), Ok(second)) = (json::parse(first), json::parse(second))
    {
        compare(first, second);
        compare(second, first);
    }
    if let Ok(text) = core::str::from_utf8(data) {
        let quoted = Quoted(text).to_string();
        assert_eq!(quoted, serde_json::to_string(text).unwrap());
        assert_eq!(quoted.len(), emitted_len(&Quoted(text)));
    }
});

fn check(document: &[u8]) {
    let ours = json::parse(document);
    match is_bounded(document) {
        Ok(is_bounded) => assert_eq!(ours.is_ok(), is_bounded, "{ours:?}"),
        // Numbers of any size are texts here.
        Err(error) if error.to_string().contains("out of range") => return,
        Err(error) => assert!(ours.is_err(), "{error}"),
    }
    let Ok(ours) = ours else { return };
    assert_eq!(Tree::of(ours).into_oracle(), serde_json::from_slice::<Oracle>(document).unwrap());
    assert!(ours.equals(ours) && ours.includes(ours));
    // What is kept of a document is a document.
    assert_eq!(json::parse(ours.raw().as_bytes()).map(|again| again.raw()), Ok(ours.raw()));
}

fn compare(ours: Value<'_>, theirs: Value<'_>) {
    let (one, other) = (Tree::of(ours), Tree::of(theirs));
    assert_eq!(ours.equals(theirs), one.fits(&other, true));
    assert_eq!(ours.includes(theirs), one.fits(&other, false));
}
