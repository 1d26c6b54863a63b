/*!
Tokens of the texts of a body, with the vocabulary of its model.

The members of messages are counted as OpenAI's cookbook says ("How to count tokens with tiktoken"):
each text, three tokens for each message and for the answer, and one for each name. Tools and formats are counted as the
JSON that they are. What images and sounds cost is not known; encoded in the body, they count as text.
*/

use serde_json::Value;
use tiktoken_rs::{CoreBPE, bpe_for_tokenizer, tokenizer::get_tokenizer};

use crate::metering::request::RequestBody;
use crate::metering::request::members::Members;
use crate::metering::request::spelling::Found;

/// What each message costs beside its texts, and the beginning of the answer.
const PER_MESSAGE: u64 = 3;
/// How much text is encoded at once, in bytes. The encoder takes the square of the longest word, and
/// stops the thread where its regular expression is at it for too long.
const WINDOW: usize = 512;

/// The members with messages, texts, or tokens.
const TEXTS: [&str; 5] = ["input", "instructions", "messages", "prompt", "system"];
/// The members that are handed to the model as JSON.
const SCHEMAS: [&str; 5] = ["functions", "response_format", "text", "tool_choice", "tools"];

/// Whether what is counted could be read in two ways.
pub(super) fn is_unclear(body: &RequestBody<'_>) -> bool {
    let mut names = TEXTS.iter().chain(&SCHEMAS).chain(&["model"]);
    let is_unclear =
        |members: &Members<'_>| names.any(|name| matches!(members.find(name), Found::Unclear));
    body.members().is_some_and(is_unclear)
}

/// The tokens of a body; `None` where it has no texts, or a model whose vocabulary is not known.
pub(super) fn count(body: &RequestBody<'_>) -> Option<u64> {
    let members = body.members()?;
    let model = members.get("model")?.text.as_deref()?;
    // Routers put the maker before the model.
    let model = model.rsplit('/').next().unwrap_or_default();
    let encoder = bpe_for_tokenizer(get_tokenizer(model)?).ok()?;
    let texts = TEXTS.iter().filter_map(|name| members.get(name));
    let mut texts = texts.map(|member| serde_json::from_str::<Value>(member.raw)).peekable();
    texts.peek()?;
    let texts = texts.map(|value| value.ok().map(|value| count_texts(encoder, &value)));
    let schemas = SCHEMAS.iter().filter_map(|name| members.get(name));
    let schemas = schemas.map(|member| Some(count_text(encoder, member.raw)));
    texts.chain(schemas).try_fold(PER_MESSAGE, |sum, tokens| Some(sum.saturating_add(tokens?)))
}

/// The tokens of all texts of a value, of its messages, and of the tokens that it gives as numbers.
fn count_texts(encoder: &CoreBPE, value: &Value) -> u64 {
    match value {
        Value::String(text) => count_text(encoder, text),
        Value::Array(values) => values.iter().map(|value| count_texts(encoder, value)).sum(),
        Value::Object(members) => {
            let texts: u64 = members.values().map(|value| count_texts(encoder, value)).sum();
            let has = |name| members.contains_key(name);
            let frame = if has("role") { PER_MESSAGE + u64::from(has("name")) } else { 0 };
            texts.saturating_add(frame)
        }
        Value::Number(_) => 1,
        Value::Bool(_) | Value::Null => 0,
    }
}

fn count_text(encoder: &CoreBPE, mut text: &str) -> u64 {
    let mut tokens = 0_u64;
    while !text.is_empty() {
        let (window, rest) = text.split_at_checked(cut(text)).unwrap_or((text, ""));
        tokens = tokens.saturating_add(encoder.count_ordinary(window) as u64);
        text = rest;
    }
    tokens
}

/// Where a text is cut: before the last single blank of the window, where no token goes on, or else
/// at its end.
fn cut(text: &str) -> usize {
    if text.len() <= WINDOW {
        return text.len();
    }
    let is_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let is_between = |at: &usize| {
        bytes.get(*at) == Some(&b' ')
            && is_word(bytes.get(at.wrapping_sub(1)))
            && is_word(bytes.get(at + 1))
    };
    (1..WINDOW).rev().find(is_between).unwrap_or_else(|| text.floor_char_boundary(WINDOW))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metering::request::Counted;

    fn counted(body: &Value) -> Counted {
        let body = body.to_string();
        RequestBody::read(body.as_bytes(), |_| None).count_input()
    }

    fn encoder() -> &'static CoreBPE {
        bpe_for_tokenizer(get_tokenizer("gpt-4o").unwrap()).unwrap()
    }

    /// The example of OpenAI's cookbook, and what its API has answered: 129 tokens for the models of
    /// the vocabulary cl100k, 124 for those of o200k.
    #[test]
    fn messages_are_counted_as_the_cookbook_counts_them() {
        let messages = serde_json::json!([
            {"role": "system", "content": "You are a helpful, pattern-following assistant that translates corporate jargon into plain English."},
            {"role": "system", "name": "example_user", "content": "New synergies will help drive top-line growth."},
            {"role": "system", "name": "example_assistant", "content": "Things working well together will increase revenue."},
            {"role": "system", "name": "example_user", "content": "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage."},
            {"role": "system", "name": "example_assistant", "content": "Let's talk later when we're less busy about how to do better."},
            {"role": "user", "content": "This late pivot means we don't have time to boil the ocean for the client deliverable."},
        ]);
        for (model, expected) in [("gpt-4", 129), ("openai/gpt-4o", 124)] {
            let body = serde_json::json!({"model": model, "messages": messages});
            assert_eq!(counted(&body), Counted::Tiktoken(expected), "{model}");
        }
    }

    #[test]
    fn other_bodies_are_estimated() {
        for body in [
            serde_json::json!({"model": "claude-opus-4", "messages": []}),
            serde_json::json!({"messages": []}),
            serde_json::json!({"model": "gpt-4o"}),
            serde_json::json!({"model": 5, "messages": []}),
        ] {
            assert!(matches!(counted(&body), Counted::Bytes4(_)), "{body}");
        }
        let tokens = serde_json::json!({"model": "gpt-4", "prompt": [1, 2, 3, 4]});
        assert_eq!(counted(&tokens), Counted::Tiktoken(PER_MESSAGE + 4));
    }

    #[test]
    fn what_could_be_read_in_two_ways_counts_as_the_most_it_can_be() {
        let text = "語".repeat(100);
        let clear = serde_json::json!({"model": "gpt-4", "prompt": text});
        let tokens = counted(&clear).tokens();
        for body in [
            serde_json::json!({"model": "gpt-4", "prompt": "", "Prompt": text}),
            serde_json::json!({"Model": "gpt-4", "prompt": text}),
        ] {
            let Counted::Most(most) = counted(&body) else { panic!("{body}") };
            assert!(most >= tokens, "{body}");
        }
    }

    #[test]
    fn windows_change_nothing_in_a_text_of_words() {
        let text = include_str!("../../usage/scan.rs");
        let whole = encoder().count_ordinary(text) as u64;
        assert!(count_text(encoder(), text).abs_diff(whole) <= whole / 200);
        let words = "the quick brown fox, it's said, jumped over 13 lazy dogs ".repeat(200);
        assert_eq!(count_text(encoder(), &words), encoder().count_ordinary(&words) as u64);
    }

    #[test]
    fn the_worst_texts_neither_panic_nor_last() {
        for text in ["a", " ", "\n", "é", "a!", "{", "\u{200d}", "日", " \n", "'"] {
            let text = text.repeat((1 << 18) / text.len());
            assert!(count_text(encoder(), &text) > 0);
        }
    }
}
