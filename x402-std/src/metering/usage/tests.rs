use core::fmt::Write as _;

use super::*;

const SSE: &str = "text/event-stream; charset=utf-8";
const JSON: &str = "application/json";

/// The answer of OpenAI's chat completions, as its reference shows it, shortened.
const CHAT: &str = r#"{"id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4.1",
  "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello there", "refusal": null},
    "finish_reason": "stop"}],
  "usage": {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 8}, "completion_tokens_details": {"reasoning_tokens": 3}},
  "service_tier": "default"}"#;

const CHAT_EVENTS: &str = "\
data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],\"usage\":null}

data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"}}],\"usage\":null}

data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"function\":{\"arguments\":\"{}\"}}]}}]}

data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}

data: {\"id\":\"1\",\"choices\":[],\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":10,\"total_tokens\":29}}

data: [DONE]

";

/// Of OpenAI's responses.
const RESPONSE_EVENTS: &str = "\
event: response.created
data: {\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"output\":[],\"usage\":null}}

event: response.output_text.delta
data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"delta\":\"Hi \\u00e9\"}

event: response.output_text.done
data: {\"type\":\"response.output_text.done\",\"output_index\":0,\"text\":\"Hi \\u00e9\"}

event: response.completed
data: {\"type\":\"response.completed\",\"response\":{\"output\":[{\"content\":[{\"text\":\"Hi\"}]}],
data: \"usage\":{\"input_tokens\":37,\"input_tokens_details\":{\"cached_tokens\":5},\"output_tokens\":11,\"total_tokens\":48}}}

";

/// Of Anthropic's messages, as its reference shows them, shortened.
const MESSAGE_EVENTS: &str = "\
event: message_start
data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":25,\"cache_creation_input_tokens\":100,\"cache_read_input_tokens\":7,\"output_tokens\":1}}}

event: content_block_start
data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}

event: ping
data: {\"type\": \"ping\"}

event: content_block_delta
data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}

event: content_block_stop
data: {\"type\":\"content_block_stop\",\"index\":0}

event: message_delta
data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":15}}

event: message_stop
data: {\"type\":\"message_stop\"}

";

fn meter(source: &UsageSource, content_type: &'static str) -> UsageMeter {
    UsageMeter::new(source, |name| (name == "content-type").then_some(content_type))
}

fn fed(source: &UsageSource, content_type: &'static str, body: &str) -> UsageMeter {
    let mut meter = meter(source, content_type);
    meter.feed(body.as_bytes());
    meter
}

fn used(source: &UsageSource, content_type: &'static str, body: &str) -> Option<(u64, u64)> {
    let usage = fed(source, content_type, body).finish();
    usage.map(|usage| (usage.input, usage.output))
}

fn pointers(input: &str, output: &str) -> UsageSource {
    let [input, output] = [input, output].map(|text| Pointer::parse(text).unwrap());
    UsageSource::Pointer { input, output }
}

use UsageSource::{Anthropic, OpenAi};

#[test]
fn reads_one_document() {
    let responses =
        r#"{"output": [], "usage": {"input_tokens": 36, "output_tokens": 87}, "user": null}"#;
    let embeddings = r#"{"data": [{"embedding": [0.1, -2e-3]}], "usage": {"prompt_tokens": 8, "total_tokens": 8}}"#;
    let message = r#"{"content": [{"type": "text", "text": "Hi"}], "usage": {"input_tokens": 2095,
        "cache_creation_input_tokens": 1, "cache_read_input_tokens": null, "output_tokens": 503}}"#;
    let ours = r#"{"tokens": [{"in": 3}, {"out": 4}]}"#;
    for (source, body, expected) in [
        (&OpenAi, CHAT, (19, 10)),
        (&OpenAi, responses, (36, 87)),
        (&OpenAi, embeddings, (8, 0)),
        (&Anthropic, message, (2096, 503)),
        (&pointers("/tokens/0/in", "/tokens/1/out"), ours, (3, 4)),
    ] {
        assert_eq!(used(source, JSON, body), Some(expected), "{body}");
    }
}

#[test]
fn reads_streams_of_events() {
    for (source, body, expected) in [
        (&OpenAi, CHAT_EVENTS, (19, 10)),
        (&OpenAi, RESPONSE_EVENTS, (37, 11)),
        (&Anthropic, MESSAGE_EVENTS, (132, 15)),
        (&pointers("/usage/prompt_tokens", "/usage/completion_tokens"), CHAT_EVENTS, (19, 10)),
    ] {
        assert_eq!(used(source, SSE, body), Some(expected), "{body}");
        assert_eq!(used(source, SSE, &body.replace('\n', "\r\n")), Some(expected), "{body}");
        assert_eq!(used(source, SSE, body.trim_end()), Some(expected), "{body}");
    }
}

#[test]
fn reads_json_line_by_line() {
    let body =
        "{\"response\":\"Hi\"}\n\n{\"done\":true,\"prompt_eval_count\":26,\"eval_count\":9}\n";
    let source = pointers("/prompt_eval_count", "/eval_count");
    assert_eq!(used(&source, "application/x-ndjson", body), Some((26, 9)));
    assert_eq!(used(&source, "application/x-ndjson", body.trim_end()), Some((26, 9)));
    assert_eq!(fed(&source, "application/x-ndjson", body).passed().events, 2);
}

#[test]
fn reads_header_fields() {
    let source = UsageSource::Header { input: "X-Tokens-In".into(), output: "x-tokens-out".into() };
    let with = |output: &'static str| {
        let header = move |name: &str| match name {
            "x-tokens-in" => Some(" 12 "),
            "x-tokens-out" => Some(output),
            _ => None,
        };
        UsageMeter::new(&source, header).finish()
    };
    assert_eq!(with("5"), Some(TokenUsage { input: 12, output: 5 }));
    for output in ["", "-5", "+5", "5.0", "five", "18446744073709551616"] {
        assert_eq!(with(output), None, "{output}");
    }
}

#[test]
fn a_number_that_comes_again_counts_once_and_is_never_less() {
    let mut body = String::new();
    for (input, output) in [(0, 1), (9, 2), (9, 3), (0, 3)] {
        write!(
            body,
            "data: {{\"usage\":{{\"prompt_tokens\":{input},\"completion_tokens\":{output}}}}}\n\n"
        )
        .unwrap();
    }
    assert_eq!(used(&OpenAi, SSE, &body), Some((9, 3)));
    let both = r#"{"usage": {"prompt_tokens": 9, "completion_tokens": 4, "input_tokens": 0, "output_tokens": 0}}"#;
    assert_eq!(used(&OpenAi, JSON, both), Some((9, 4)));
}

#[test]
fn what_breaks_off_is_estimated_from_what_has_passed() {
    let cut = |text: &str, at: &str| text[..text.find(at).unwrap()].to_owned();
    let meter = fed(&Anthropic, SSE, &cut(MESSAGE_EVENTS, "event: content_block_stop"));
    let passed = meter.passed();
    assert_eq!((passed.events, passed.content_bytes, passed.input_tokens), (4, 5, Some(132)));
    assert_eq!(passed.estimate(1), TokenUsage { input: 132, output: 2 });
    assert_eq!(meter.finish(), None);

    // In the middle of the text `Hello`.
    let passed = fed(&OpenAi, SSE, &cut(CHAT_EVENTS, "llo\"")).passed();
    assert_eq!((passed.events, passed.content_bytes, passed.input_tokens), (1, 2, None));
    assert_eq!(passed.estimate(7), TokenUsage { input: 7, output: 1 });

    let passed = fed(&OpenAi, SSE, RESPONSE_EVENTS).passed();
    assert_eq!(passed.content_bytes, "Hi é".len() as u64);
    assert_eq!(fed(&OpenAi, SSE, CHAT_EVENTS).passed().content_bytes, "Hello{}".len() as u64);
    assert_eq!(fed(&OpenAi, JSON, CHAT).passed().content_bytes, "Hello there".len() as u64);
    let elsewhere = fed(&pointers("/a", "/b"), JSON, CHAT).passed();
    assert_eq!(elsewhere.content_bytes, CHAT.len() as u64);
    assert_eq!(meter_of_nothing().passed(), Passed::default());
}

fn meter_of_nothing() -> UsageMeter {
    meter(&OpenAi, SSE)
}

#[test]
fn a_document_that_is_not_whole_says_nothing() {
    assert_eq!(used(&OpenAi, JSON, &CHAT[..CHAT.len() - 1]), None);
    assert_eq!(used(&OpenAi, JSON, &format!("{CHAT}{CHAT}")), None);
    assert_eq!(used(&OpenAi, JSON, CHAT_EVENTS), None);
    assert_eq!(used(&OpenAi, SSE, CHAT), None);
    assert_eq!(used(&OpenAi, JSON, ""), None);
}

#[test]
fn a_compressed_body_is_not_read() {
    let header = |name: &str| match name {
        "content-encoding" => Some("gzip"),
        "content-type" => Some(JSON),
        _ => None,
    };
    let mut meter = UsageMeter::new(&OpenAi, header);
    meter.feed(CHAT.as_bytes());
    assert_eq!(meter.passed().content_bytes, CHAT.len() as u64);
    assert_eq!(meter.finish(), None);
}

/// Whatever is behind a cut is read as if there were none: for each event, the meter is the same
/// behind it wherever the event was cut, and so the whole stream is.
#[test]
fn ten_thousand_events_are_the_same_wherever_they_are_cut() {
    let mut meter = meter_of_nothing();
    let mut bytes_at_a_time = meter.clone();
    for event in 0..10_000_u64 {
        let end = if event % 2 == 0 { "\n\n" } else { "\r\n\r\n" };
        let event =
            format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"a\\n{event}\"}}}}]}}{end}");
        let event = event.as_bytes();
        let before = meter.clone();
        meter.feed(event);
        for cut in 1..event.len() {
            let mut other = before.clone();
            other.feed(&event[..cut]);
            other.feed(&event[cut..]);
            assert!(other == meter, "{cut}");
        }
        event.chunks(1).for_each(|byte| bytes_at_a_time.feed(byte));
    }
    let last =
        b"data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":20000}}\n\ndata: [DONE]\n\n";
    for mut meter in [meter, bytes_at_a_time] {
        meter.feed(last);
        assert_eq!(meter.passed().events, 10_002);
        // `a`, a line feed, and the digits of each number below 10,000.
        assert_eq!(meter.passed().content_bytes, 2 * 10_000 + 38_890);
        assert_eq!(meter.finish(), Some(TokenUsage { input: 3, output: 20_000 }));
    }
}

#[test]
fn answers_are_the_same_wherever_they_are_cut() {
    let cases = [
        (&OpenAi, JSON, CHAT),
        (&OpenAi, SSE, CHAT_EVENTS),
        (&OpenAi, SSE, RESPONSE_EVENTS),
        (&Anthropic, SSE, MESSAGE_EVENTS),
    ];
    for (source, content_type, body) in cases {
        let whole = fed(source, content_type, body);
        for cut in 0..=body.len() {
            let mut other = meter(source, content_type);
            other.feed(&body.as_bytes()[..cut]);
            other.feed(&body.as_bytes()[cut..]);
            assert!(other == whole, "{cut}");
        }
    }
}

/// A sequence of numbers that looks random (xorshift), the same in every run.
fn numbers(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

#[test]
fn garbage_yields_nothing_that_stops_or_grows() {
    let mut next = numbers(0x9e37_79b9_7f4a_7c15);
    let pieces: [&[u8]; 16] = [
        b"data: ",
        b"\n",
        b"\r\n\r\n",
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b"\\",
        b"\\u",
        b",",
        b":",
        b"\"usage\":",
        b"99999999999999999999",
        b"\xff\xc3",
        b"\"choices\"",
    ];
    for round in 0..2_000 {
        let (source, content_type) = match round % 5 {
            0 => (OpenAi, SSE),
            1 => (OpenAi, JSON),
            2 => (Anthropic, SSE),
            3 => (pointers("/a/0/b", "/usage"), "application/x-ndjson"),
            _ => (pointers("", "/"), SSE),
        };
        let mut meter = meter(&source, content_type);
        for _ in 0..next() % 200 {
            let random = next().to_le_bytes();
            let piece = pieces.get((next() % 24) as usize).copied().unwrap_or(&random);
            meter.feed(piece);
        }
        assert!(memory(&meter) <= MAX_METER_BYTES);
        let _ = (meter.passed(), meter.finish());
    }
}

#[test]
fn the_largest_answer_takes_no_more_memory_than_the_smallest() {
    let long = "x".repeat(1 << 20);
    for body in [
        format!("data: {{\"{long}\": \"{long}\", \"n\": {}}}\n\n", "9".repeat(1 << 20)),
        format!("data: {}", "[".repeat(1 << 20)),
        format!("{long}: {long}\n{long}"),
        format!("data: {{\"choices\":[{}1]}}", "1,".repeat(1 << 19)),
    ] {
        let mut meter = meter_of_nothing();
        for piece in body.as_bytes().chunks(1 << 16) {
            meter.feed(piece);
            assert!(memory(&meter) <= 2 * 1024);
        }
    }
    let deepest =
        format!("/{}", vec!["x".repeat(Pointer::MAX_STEP_LEN); Pointer::MAX_STEPS].join("/"));
    assert!(memory(&meter(&pointers(&deepest, &deepest), SSE)) <= MAX_METER_BYTES);
}

/// What a meter holds: itself, its word, and its pointers.
fn memory(meter: &UsageMeter) -> usize {
    let scan = meter.body.scan().unwrap();
    size_of_val(meter) + scan.memory()
}
