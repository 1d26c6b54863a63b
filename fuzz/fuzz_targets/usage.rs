//! The tokens that an answer has used: counted as serde_json finds them in the whole of it, however it
//! is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value as Json;
use x402_fuzz::metered::{Found, Places, events, places, told};
use x402_fuzz::{Cut, pieces};
use x402_std::metering::usage::{Passed, Pointer, TokenUsage, UsageMeter, UsageSource};

const TYPES: [&str; 3] =
    ["application/json", "Text/Event-Stream; charset=utf-8", "application/x-ndjson"];

fuzz_target!(|data: &[u8]| {
    let mut cut = Cut(data);
    let choice = cut.byte();
    let lengths: [u8; 8] = cut.array();
    let kind = usize::from(choice / 4 % 3);
    let (content_type, is_stream) = (TYPES[kind], kind != 0);
    let known = |is_anthropic| places(is_anthropic, is_stream);
    let (source, places, body) = match choice % 4 {
        0 => (UsageSource::OpenAi, known(false), cut.0),
        1 => (UsageSource::Anthropic, known(true), cut.0),
        2 => return check_header(cut, content_type),
        _ => {
            let Some((input, output, body)) = pointers(cut.0) else { return };
            let places = told(&input, &output);
            (UsageSource::Pointer { input, output }, places, body)
        }
    };
    let meter = UsageMeter::new(&source, |name| (name == "content-type").then_some(content_type));
    let (passed, usage) = check_cuts(&meter, body, &lengths);
    let mut documents = documents(kind, body);
    assert_eq!(passed.events, ended(&documents));
    // Of what is no JSON nothing is promised: without it, all is.
    let is_json = |document: &[u8]| serde_json::from_slice::<Json>(document).is_ok();
    let count = documents.len();
    documents.retain(|(document, _)| is_json(document));
    if documents.iter().any(|(document, _)| has_long_name(document)) {
        return;
    }
    if documents.len() == count {
        check_found(&places, &documents, body.len(), (passed, usage), choice % 4 == 3);
    } else if is_stream {
        let body = written(kind, &documents);
        let metered = check_cuts(&meter, &body, &lengths);
        documents.iter_mut().for_each(|(_, has_ended)| *has_ended = true);
        check_found(&places, &documents, body.len(), metered, choice % 4 == 3);
    }
    if let Some((document, _)) = documents.first() {
        check_broken_off(meter, kind, document);
    }
});

type Documents = Vec<(Vec<u8>, bool)>;
type Metered = (Passed, Option<TokenUsage>);

/// Two lines, and what is behind them.
fn two_lines(data: &[u8]) -> Option<(&str, &str, &[u8])> {
    let mut parts = data.splitn(3, |byte| *byte == b'\n');
    let mut text = || core::str::from_utf8(parts.next()?).ok();
    Some((text()?, text()?, parts.next()?))
}

fn pointers(data: &[u8]) -> Option<(Pointer, Pointer, &[u8])> {
    let (input, output, body) = two_lines(data)?;
    let [input, output] = [input, output].map(|text| {
        let pointer = Pointer::parse(text).ok()?;
        assert_eq!(pointer.to_string(), text);
        Some(pointer)
    });
    Some((input?, output?, body))
}

/// Numbers in the header count as they are, whatever the body says.
fn check_header(cut: Cut<'_>, content_type: &str) {
    let Some((input, output, body)) = two_lines(cut.0) else { return };
    let source = UsageSource::Header { input: "X-In".into(), output: "x-out".into() };
    let mut meter = UsageMeter::new(&source, |name| match name {
        "content-type" => Some(content_type),
        "x-in" => Some(input),
        "x-out" => Some(output),
        _ => None,
    });
    let number = |text: &str| {
        let text = text.trim();
        if text.starts_with('+') { None } else { text.parse().ok() }
    };
    let usage = number(input).zip(number(output));
    let usage = usage.map(|(input, output)| TokenUsage { input, output });
    meter.feed(body);
    let bytes = body.len() as u64;
    let input_tokens = usage.map(|usage| usage.input);
    let expected = Passed { bytes, events: 0, content_bytes: bytes, input_tokens };
    assert_eq!((meter.passed(), meter.finish()), (expected, usage));
}

/// What is metered of a body, which is the same in pieces, and byte by byte.
fn check_cuts(meter: &UsageMeter, body: &[u8], lengths: &[u8]) -> Metered {
    let metered = |lengths: &[u8]| {
        let mut meter = meter.clone();
        pieces(body, lengths).for_each(|piece| meter.feed(piece));
        (meter.passed(), meter.finish())
    };
    let mut whole = meter.clone();
    whole.feed(body);
    let whole = (whole.passed(), whole.finish());
    assert_eq!(metered(lengths), whole);
    assert_eq!(metered(&[1]), whole);
    whole
}

/// The documents of a body, and whether it goes on behind them.
fn documents(kind: usize, body: &[u8]) -> Documents {
    match kind {
        0 => vec![(body.to_vec(), false)],
        1 => events(body),
        _ => {
            let lines = body.split_inclusive(|byte| *byte == b'\n');
            let lines = lines.filter(|line| !line.trim_ascii().is_empty());
            lines.map(|line| (line.to_vec(), line.ends_with(b"\n"))).collect()
        }
    }
}

fn ended(documents: &[(Vec<u8>, bool)]) -> u64 {
    documents.iter().filter(|(_, has_ended)| *has_ended).count() as u64
}

/// These documents as a stream. There is no line end in a text that is JSON.
fn written(kind: usize, documents: &[(Vec<u8>, bool)]) -> Vec<u8> {
    let written = documents.iter().map(|(document, _)| {
        let text = document.trim_ascii_end();
        let lines: Vec<_> = text.split(|byte| *byte == b'\n').collect();
        match kind {
            1 => [b"data:", &*lines.join(&b"\r\ndata: "[..]), b"\n\n"].concat(),
            _ => [text, b"\n"].concat(),
        }
    });
    written.collect::<Vec<_>>().concat()
}

/// What was metered is what is found in the documents, one by one.
fn check_found(
    places: &Places,
    documents: &[(Vec<u8>, bool)],
    length: usize,
    (passed, usage): Metered,
    is_told: bool,
) {
    let (mut all, mut of_ended) = (Found::default(), Found::default());
    for (document, has_ended) in documents {
        let found = Found::of(document, places).expect("JSON");
        all.add(&found);
        if *has_ended {
            of_ended.add(&found);
        }
        if is_told && !found.has_twins {
            check_pointer(places, document, &found);
        }
    }
    let expected = all.input().zip(all.output());
    assert_eq!(usage, expected.map(|(input, output)| TokenUsage { input, output }));
    assert_eq!(passed.input_tokens, of_ended.input());
    assert_eq!(passed.bytes, length as u64);
    assert_eq!(passed.content_bytes, if is_told { length as u64 } else { all.content });
    assert_eq!(passed.estimated_output(), passed.content_bytes.div_ceil(4));
}

/// As serde_json follows pointers, where each name is there once.
fn check_pointer(places: &Places, document: &[u8], found: &Found) {
    let value: Json = serde_json::from_slice(document).expect("JSON");
    let number = |names: &[Option<String>]| {
        let names = names.iter().flatten();
        let names = names.map(|name| name.replace('~', "~0").replace('/', "~1"));
        let pointer: String = names.map(|name| format!("/{name}")).collect();
        value.pointer(&pointer).and_then(Json::as_u64)
    };
    assert_eq!(found.input(), number(&places[0].1));
    assert_eq!(found.output(), number(&places[1].1));
}

/// An object or array that is not whole says nothing.
fn check_broken_off(mut meter: UsageMeter, kind: usize, document: &[u8]) {
    if let Some((b'}' | b']', rest)) = document.trim_ascii_end().split_last() {
        let body = if kind == 0 { rest.to_vec() } else { written(kind, &[(rest.to_vec(), true)]) };
        meter.feed(&body);
        assert_eq!(meter.finish(), None);
    }
}

/// Whether a name in a document, which is JSON, is longer than one of a pointer may be, as it stands there.
fn has_long_name(document: &[u8]) -> bool {
    let mut rest = document;
    while let Some(at) = rest.iter().position(|byte| *byte == b'"') {
        let text = &rest[at + 1..];
        let mut end = 0;
        while text[end] != b'"' {
            end += if text[end] == b'\\' { 2 } else { 1 };
        }
        rest = &text[end + 1..];
        if end > Pointer::MAX_STEP_LEN && rest.trim_ascii_start().starts_with(b":") {
            return true;
        }
    }
    false
}
