//! What passes through a gateway, beside payments.

use std::fs;

use crate::{Seeds, root};

/// Each kind as it is, changed in a bit, and for something else; and texts of another key.
pub fn put_tokens(seeds: &mut Seeds) {
    for how in 0..16 {
        for (other, now) in [(14, 7), (14, u64::MAX), (15, 7), (2, 7), (8, 7), (10, 7), (0, 7)] {
            let now: u64 = now;
            let head = [&[how, 0, 77, other][..], &now.to_be_bytes()].concat();
            seeds.put("tokens", [&head[..], &[0x11; 152]].concat());
        }
    }
    let tests = fs::read_to_string(root().join("x402-std/src/quote/tests.rs")).unwrap();
    let is_token = |text: &&str| text.len() > 100 && !text.contains(' ');
    for token in tests.split('"').filter(is_token) {
        seeds.put("tokens", [&[0; 12], token.as_bytes()].concat());
    }
    let request = "POST\n/api/analyze?depth=3\n{}\nx-tokens\n5\nx-depth\n";
    seeds.put("tokens", [&[13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], request.as_bytes()].concat());
}

/// Frames of all lengths that are written in another way, and of lengths that nothing has.
pub fn put_frames(seeds: &mut Seeds) {
    let frame = |first: u8, length: &[u8], mask: &[u8], payload: usize| {
        let mut frame = [&[first][..], length, mask].concat();
        frame[1] |= if mask.is_empty() { 0 } else { 0x80 };
        frame.resize(frame.len() + payload, first);
        frame
    };
    for mask in [&[][..], &[1, 2, 3, 4]] {
        let frames = [
            frame(0x81, &[0], mask, 0),
            frame(0x02, &[5], mask, 5),
            frame(0x89, &[125], mask, 125),
            frame(0x80, &[126, 0, 126], mask, 126),
            frame(0xc2, &[127, 0, 0, 0, 0, 0, 0, 1, 0], mask, 256),
            frame(0x88, &[2], mask, 2),
        ];
        for lengths in [[1; 8], [2, 3, 5, 7, 1, 1, 100, 255], [255; 8]] {
            let last = frame(0x8f, &[127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], mask, 9);
            seeds.put("frames", [&lengths[..], &frames.concat(), &last].concat());
            frames.iter().for_each(|frame| seeds.put("frames", [&lengths, &frame[..]].concat()));
        }
    }
}

/// The answers in the tests of the meter, each as a document, as events and as lines.
pub fn put_usage(seeds: &mut Seeds) {
    let tests = fs::read_to_string(root().join("x402-std/src/metering/usage/tests.rs")).unwrap();
    let literal = |text: &str| match text.split_once("\";") {
        Some((text, _)) if !text.starts_with('{') => {
            text.replace("\\\"", "\"").replace("\\\\", "\\")
        }
        _ => text.split("\"#").next().unwrap_or_default().to_owned(),
    };
    let plain = tests.split("&str = \"\\\n").skip(1).map(literal);
    let raw = tests.split("r#\"").skip(1).map(literal);
    let texts: Vec<_> = plain.chain(raw).collect();
    let lines = "{\"response\":\"Hi\"}\n\n{\"prompt_eval_count\":26,\"eval_count\":9}\n";
    let twins = "{\"usage\":{\"prompt_tokens\":1,\"prompt_tokens\":3,\"total_tokens\":4}}";
    for text in texts.iter().map(String::as_str).chain([lines, twins]) {
        for kind in 0..3 {
            for (choice, before) in [
                (0, ""),
                (1, ""),
                (3, "/usage/prompt_tokens\n/usage/completion_tokens\n"),
                (3, "/prompt_eval_count\n/eval_count\n"),
                (3, "/tokens/0/in\n/tokens/1/out\n"),
            ] {
                let head = [4 * kind + choice, 1, 2, 3, 5, 8, 13, 21, 34];
                seeds.put("usage", [&head, before.as_bytes(), text.as_bytes()].concat());
            }
        }
        let returns = text.replace('\n', "\r\n");
        seeds.put("usage", [&[4, 9, 9, 9, 9, 9, 9, 9, 9], returns.as_bytes()].concat());
    }
    let keep = [
        (0, r#"{"usage":{"prompt_tokens":3,"prompt_tokens":1,"total_tokens":4}}"#),
        (4, r#"data:{"choices":[{"delta":{"content":"\ud83d\ude00\ud7ff\u07ff\u007f"}}]}"#),
        (3, "/a/10\n/a/2\n{\"a\":[0,1,2,3,4,5,6,7,8,9,10]}"),
        (3, "/*\n/a~1b~0\n{\"b\":5,\"*\":6,\"a/b~\":7}"),
    ];
    for (choice, text) in keep {
        seeds.keep("usage", [&[choice, 1, 1, 1, 1, 1, 1, 1, 1], text.as_bytes()].concat());
    }
    for numbers in ["12\n5\n", " 12 \n+5\n", "-1\n18446744073709551616\n"] {
        seeds.put("usage", [&[2, 1, 1, 1, 1, 1, 1, 1, 1], numbers.as_bytes()].concat());
    }
}

/// The bodies and queries in the tests of what is known of a request.
pub fn put_requests(seeds: &mut Seeds) {
    let read =
        |name: &str| fs::read_to_string(root().join("x402-std/src/metering").join(name)).unwrap();
    let texts = read("request.rs") + &read("request/body.rs");
    let bodies: Vec<_> =
        texts.split("r#\"").skip(1).filter_map(|text| text.split("\"#").next()).collect();
    let queries =
        ["", "n=1", "n=1&%6e=5&&", "limit=50&flag=true&name=a%20b+c&empty&x=%2B", "n=%ff"];
    for (index, body) in bodies.iter().enumerate() {
        for query in [queries[index % queries.len()], ""] {
            let (kind, request) = (index as u8, format!("{query}\n{body}"));
            seeds.put("request", [&[kind], request.as_bytes()].concat());
            seeds.put("request", [&[3], request.as_bytes()].concat());
        }
    }
    for options in ["true,\"include_usage\":false", "false,\"include_usage\":true", "null"] {
        let options = format!("{{\"include_usage\":{options}}}");
        let body = format!("{{\"prompt\":\"\",\"stream\":true,\"stream_options\":{options}}}");
        seeds.keep("request", format!("\x03\n{body}"));
    }
    let members = |count: usize| {
        let members: Vec<_> = (0..count).map(|index| format!("\"{index}\":0")).collect();
        format!("\x03\n{{{}}}", members.join(","))
    };
    [128, 129].iter().for_each(|count| seeds.keep("request", members(*count)));
    let parameters = |count: usize| {
        let parameters: Vec<_> = (0..count).map(|index| format!("p{index}")).collect();
        format!("\x03{}\n", parameters.join("&"))
    };
    [128, 129].iter().for_each(|count| seeds.keep("request", parameters(*count)));
}
