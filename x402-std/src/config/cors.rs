//! Which pages may buy in a browser.

use serde_saphyr::Spanned;

use super::check::check_bool;
use super::error::{Origin, Problem};
use super::raw::{RawCors, RawOrigins, RawPages, Text};
use super::snippet::quote;
use super::upstream::is_authority;

/// What is said to browsers of what has a price (CORS, in the Fetch standard): which pages of other origins
/// may ask for it, pay, and read the answers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CorsConfig {
    /// Whose pages.
    pub origins: CorsOrigins,
    /// The names of the fields that they may send, beside those of a payment; `None` for whichever they ask for.
    pub headers: Option<Vec<String>>,
    /// The names of the fields of an answer that they may read, beside those of a payment.
    pub expose: Vec<String>,
}

/// Whose pages may buy.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum CorsOrigins {
    /// Everybody's, without what the browser knows of its user (cookies, HTTP authentication).
    #[default]
    Any,
    /// Those of these origins.
    Listed {
        /// As browsers write them: `https://app.example`, `http://localhost:5173`.
        origins: Vec<String>,
        /// Whether with what the browser knows of its user.
        credentials: bool,
    },
}

const ORIGIN: &str =
    "write what browsers send as Origin: https://app.example, http://localhost:5173";

/// What a file says of it; `None` where it is left to others.
pub(super) fn check_cors(raw: Option<Spanned<RawCors>>) -> Result<Option<CorsConfig>, Problem> {
    let Some(raw) = raw else { return Ok(Some(CorsConfig::default())) };
    match &raw.value {
        RawCors::Word(word) if word == "off" => Ok(None),
        RawCors::Word(word) => {
            let known = ["off", "{origins: [\"https://app.example\"]}"];
            Err(Problem::unknown(Origin::of(&raw), "rule of cors", word, &known))
        }
        RawCors::Pages(pages) => check_pages(pages).map(Some),
    }
}

fn check_pages(raw: &RawPages) -> Result<CorsConfig, Problem> {
    let credentials = raw.credentials.as_ref();
    let is_with = credentials.map_or(Ok(false), check_bool)?;
    let origins = match (raw.origins.as_ref().map(|origins| &origins.value), credentials) {
        (None, Some(text)) | (Some(RawOrigins::Word(_)), Some(text)) if is_with => {
            let message = "credentials go to origins that are named, and never to any";
            let help = "list them: origins: [\"https://app.example\"]; or leave `credentials` out";
            return Err(Problem::new(Origin::of(text), message, help));
        }
        (None, _) => CorsOrigins::Any,
        (Some(RawOrigins::Word(word)), _) if word == "any" => CorsOrigins::Any,
        (Some(RawOrigins::Word(_)), _) => {
            let (at, help) =
                (raw.origins.as_ref(), "write any, or a list: [\"https://app.example\"]");
            let at = at.map_or(Origin::Whole, Origin::of);
            return Err(Problem::new(at, "the origins are neither any nor a list", help));
        }
        (Some(RawOrigins::List(origins)), _) => {
            let origins = origins.iter().map(check_origin).collect::<Result<_, _>>()?;
            CorsOrigins::Listed { origins, credentials: is_with }
        }
    };
    let names = |list: &Option<Vec<Text>>| {
        let names = list.as_ref().map(|list| list.iter().map(check_name).collect());
        names.transpose()
    };
    Ok(CorsConfig {
        origins,
        headers: names(&raw.headers)?,
        expose: names(&raw.expose)?.unwrap_or_default(),
    })
}

/// An origin as browsers write it, for it is compared as a text.
fn check_origin(text: &Text) -> Result<String, Problem> {
    let origin = text.value.as_str();
    let problem = |why: &str, help: &str| {
        Err(Problem::new(Origin::of(text), format!("{} {why}", quote(origin)), help))
    };
    match origin {
        "*" => return problem("is no origin", "write `origins: any`, without a list"),
        // Files, and frames in a sandbox: whoever has a page can make one.
        "null" => return problem("is the origin of pages that have none: anybody's", ORIGIN),
        _ => {}
    }
    let Some((scheme, authority)) = origin.split_once("://") else {
        return problem("is no origin", ORIGIN);
    };
    if authority.contains(['/', '?', '#']) {
        return problem("has more than an origin: browsers send no path, nor a slash", ORIGIN);
    }
    if origin.bytes().any(|b| b.is_ascii_uppercase()) {
        let help = format!("write it as browsers do: {}", origin.to_ascii_lowercase());
        return problem("has capital letters, which no browser sends", &help);
    }
    let port = authority.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
    if matches!((scheme, port), ("http", Some("80")) | ("https", Some("443"))) {
        return problem("names the port that browsers leave out", "leave it out");
    }
    let is_scheme = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b);
    let is_origin = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(is_scheme)
        && is_authority(authority)
        && !port.is_some_and(|port| port.starts_with('0'));
    if is_origin { Ok(origin.to_owned()) } else { problem("is no origin", ORIGIN) }
}

/// The name of a field, for nobody's but those that are named.
fn check_name(text: &Text) -> Result<String, Problem> {
    let name = text.value.as_str();
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&b);
    if !name.is_empty() && name.len() <= 64 && name.bytes().all(is_letter) {
        return Ok(name.to_owned());
    }
    let message = format!("{} is no name of a field", quote(name));
    Err(Problem::new(Origin::of(text), message, "write its name alone: X-Request-Id"))
}
