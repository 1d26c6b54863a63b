//! `quote`: what a request would cost.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};
use x402_core::hex::Hex;
use x402_hyper::client::{QuotingClient, Terms};
use x402_std::config::OwnedAsset;

use crate::args::QuoteArgs;
use crate::exit::{Exit, Failure};
use crate::output::{self, Progress};
use crate::request;

pub(crate) async fn run(args: QuoteArgs) -> Result<Exit, Failure> {
    let request = request::build(request::uri(&args.url)?, None, &args.request)?;
    let client = QuotingClient::new(request::options(&args.request)).map_err(Failure::failed)?;
    let progress = Progress::new();
    progress.doing("asking for the price");
    let quote = client.quote(request).await;
    drop(progress);
    let quote = quote.map_err(|error| request::failure(&error, String::new))?;
    let status = quote.response.status();
    let exit = match quote.terms() {
        None if !status.is_success() => Exit::Failed,
        _ => Exit::Ok,
    };
    if args.json {
        let mut value = answer_to_json(&quote.response);
        value["ok"] = (exit == Exit::Ok).into();
        value["exit"] = (exit as u8).into();
        value["terms"] = quote.terms().map_or(Value::Null, terms_to_json);
        value["offers"] = quote.offers.iter().map(terms_to_json).collect();
        output::line(value);
    } else {
        output::line(describe(status, quote.terms()));
        // The same is told in every dialect.
        let mut told: Vec<_> = quote.terms().map(Terms::to_string).into_iter().collect();
        for terms in &quote.offers {
            let text = terms.to_string();
            if !told.contains(&text) {
                output::line(format_args!("or {}", describe(status, Some(terms))));
                told.push(text);
            }
        }
    }
    Ok(exit)
}

fn describe(status: StatusCode, terms: Option<&Terms>) -> String {
    match terms {
        Some(terms) => format!("{terms}, payable for {} s", terms.timeout_seconds),
        None if status.is_success() => format!("free ({status})"),
        None if status.is_redirection() => format!("no price: redirected elsewhere ({status})"),
        None => format!("no price ({status})"),
    }
}

fn terms_to_json(terms: &Terms) -> Value {
    json!({
        "dialect": terms.dialect.to_string(),
        "scheme": terms.scheme.name(),
        "price": terms.price().to_string(),
        "amount": terms.amount.to_string(),
        "asset": asset_to_json(&terms.asset),
        "network": terms.asset.chain_id.to_string(),
        "recipient": terms.recipient.to_string(),
        "timeout_seconds": terms.timeout_seconds,
    })
}

pub(crate) fn asset_to_json(asset: &OwnedAsset) -> Value {
    json!({
        "symbol": asset.symbol,
        "address": asset.address.to_string(),
        "decimals": asset.decimals,
    })
}

/// Status, header fields and body of an answer; a body that is no text is in hex.
pub(crate) fn answer_to_json(response: &Response<Bytes>) -> Value {
    let mut headers = Map::new();
    for (name, value) in response.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let values = headers.entry(name.as_str()).or_insert_with(|| json!([]));
        if let Value::Array(values) = values {
            values.push(value.into());
        }
    }
    let mut value = json!({"status": response.status().as_u16(), "headers": headers});
    match core::str::from_utf8(response.body()) {
        Ok(text) => value["body"] = text.into(),
        Err(_) => value["body_hex"] = Hex(response.body()).to_string().into(),
    }
    value
}
