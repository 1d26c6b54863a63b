//! How tokens are counted, and whether a ceiling may be signed.

use serde_saphyr::Spanned;

use super::check::check_bool;
use super::error::{Origin, Problem};
use super::raw::{RawPlaces, RawTariff, RawUsage, Text};
use super::snippet::quote;
use super::tariff::whole;
use super::{TokenRules, Upto};
use crate::metering::usage::{Pointer, UsageSource};

/// How many tokens an answer may have that is asked for without a limit, unless the file says.
const MAX_OUTPUT_TOKENS: u64 = 4096;

pub(super) fn check_tokens(raw: &RawTariff) -> Result<TokenRules, Problem> {
    let limit = raw.max_output_tokens.as_ref();
    let limit = limit.map_or(Ok(MAX_OUTPUT_TOKENS), |text| whole(text, "a number of tokens"))?;
    Ok(TokenRules {
        max_output_tokens: limit,
        usage: raw.usage.as_ref().map_or(Ok(UsageSource::OpenAi), check_usage)?,
        include_usage: raw.include_usage.as_ref().map_or(Ok(true), check_bool)?,
    })
}

pub(super) fn check_upto(raw: &RawTariff) -> Result<Upto, Problem> {
    let Some(text) = &raw.upto else { return Ok(Upto::No) };
    match text.value.as_str() {
        "true" => Ok(Upto::Beside),
        "false" => Ok(Upto::No),
        "only" => Ok(Upto::Only),
        other => Err(Problem::unknown(Origin::of(text), "upto", other, &["true", "false", "only"])),
    }
}

fn check_usage(raw: &Spanned<RawUsage>) -> Result<UsageSource, Problem> {
    match &raw.value {
        RawUsage::Word(word) => match word.as_str() {
            "openai" => Ok(UsageSource::OpenAi),
            "anthropic" => Ok(UsageSource::Anthropic),
            other => {
                let known = ["anthropic", "openai"];
                Err(Problem::unknown(Origin::of(raw), "source of the usage", other, &known))
            }
        },
        RawUsage::Places(places) => match &**places {
            RawPlaces {
                input: Some(input),
                output: Some(output),
                input_header: None,
                output_header: None,
            } => {
                let (input, output) = (check_pointer(input)?, check_pointer(output)?);
                Ok(UsageSource::Pointer { input, output })
            }
            RawPlaces {
                input: None,
                output: None,
                input_header: Some(input),
                output_header: Some(output),
            } => {
                let (input, output) = (check_field(input)?, check_field(output)?);
                Ok(UsageSource::Header { input, output })
            }
            _ => {
                let message = "the usage is in two places of the JSON, or in two header fields";
                let help = "write {input: /usage/input_tokens, output: /usage/output_tokens}, or \
                            {input_header: X-Input-Tokens, output_header: X-Output-Tokens}";
                Err(Problem::new(Origin::of(raw), message, help))
            }
        },
    }
}

fn check_pointer(text: &Text) -> Result<Pointer, Problem> {
    Pointer::parse(&text.value).map_err(|error| {
        let message = format!("{} is no place in the JSON: {error}", quote(&text.value));
        Problem::new(Origin::of(text), message, "write a JSON pointer: /usage/input_tokens")
    })
}

fn check_field(text: &Text) -> Result<String, Problem> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if !text.value.is_empty() && text.value.bytes().all(is_name) {
        return Ok(text.value.clone());
    }
    let message = format!("{} is no header field", quote(&text.value));
    Err(Problem::new(Origin::of(text), message, "write a name: X-Input-Tokens"))
}
