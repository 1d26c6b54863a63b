//! What is reached by a URL of its own: a facilitator, and the seller himself.

use serde_saphyr::Spanned;

use super::FacilitatorChoice;
use super::check::{Layers, Value};
use super::error::{Origin, Problem};
use super::raw::{RawFacilitator, Text};
use super::snippet::quote;
use crate::port;

/// What is said where a port is none.
pub(super) const PORT_HELP: &str =
    "write a number from 1 to 65535 behind the colon, or leave both out";

/// `local`, a URL, or a map with one.
pub(super) fn check_facilitator(
    layers: &Layers<'_>,
    raw: Option<Spanned<RawFacilitator>>,
) -> Result<FacilitatorChoice, Problem> {
    let Some(raw) = raw else { return Ok(FacilitatorChoice::Local) };
    let origin = Origin::of(&raw);
    match raw.value {
        RawFacilitator::Word(word) if word == "local" => Ok(FacilitatorChoice::Local),
        RawFacilitator::Word(url) => {
            let url = check_url(&url, origin)?;
            Ok(FacilitatorChoice::Remote { url, token_file: None, confirm: false })
        }
        RawFacilitator::Remote(remote) => {
            let confirm = match remote.confirm.as_ref().map(|text| text.value.as_str()) {
                None => false,
                Some("chain") => true,
                Some(other) => {
                    return Err(Problem::unknown(origin, "confirmation", other, &["chain"]));
                }
            };
            let url = check_url(&remote.url.value, Origin::of(&remote.url))?;
            let token_file = remote.token_file.map(|file| layers.path(&Value::from(file)).into());
            Ok(FacilitatorChoice::Remote { url, token_file, confirm })
        }
    }
}

/// A URL of https, or of http on this machine, without a slash at the end.
fn check_url(url: &str, origin: Origin) -> Result<String, Problem> {
    let problem = |message: &str, help: &str| Err(Problem::new(origin, message, help));
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest.filter(|rest| !rest.is_empty() && !rest.starts_with('/')) else {
        let help = "write local, or the facilitator's URL: https://facilitator.example";
        return problem("the facilitator is neither local nor a URL of https", help);
    };
    if !rest.bytes().all(|b| b.is_ascii_graphic()) || rest.contains(['@', '?', '#']) {
        return problem("the URL has a user, a query or a letter that no URL has", "leave it out");
    }
    let ends = |rest: &str| rest.is_empty() || rest.starts_with(['/', ':']);
    let here = ["127.0.0.1", "localhost", "[::1]"];
    let is_here = here.iter().any(|host| rest.strip_prefix(host).is_some_and(ends));
    if url.starts_with("http://") && !is_here {
        return problem("a facilitator elsewhere is reached by https only", "write https://…");
    }
    if !port::is_sound_in(url) {
        return problem("the facilitator's port is none", PORT_HELP);
    }
    Ok(url.trim_end_matches('/').to_owned())
}

pub(super) fn check_public_url(text: &Text) -> Result<String, Problem> {
    let url = text.value.trim_end_matches('/');
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let is_url = rest.is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\?#".contains(&b))
    });
    if is_url && !port::is_sound_in(url) {
        let message = format!("the port in {} is none", quote(&text.value));
        return Err(Problem::new(Origin::of(text), message, PORT_HELP));
    }
    if is_url {
        return Ok(url.to_owned());
    }
    let message = format!("{} is no URL", quote(&text.value));
    Err(Problem::new(
        Origin::of(text),
        message,
        "write what clients write: https://api.example.com",
    ))
}
