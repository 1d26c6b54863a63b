//! `simulate`: what a log of requests would have earned by a seller's file.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;
use x402_core::Amount;
use x402_core::tariff::{Model, Usage};
use x402_std::config::{Config, Overrides, PathPattern, Pricing, Route, Sold};
use x402_std::metering::request::{RequestBody, RequestFacts};

use crate::exit::{Exit, Failure};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  x402 simulate /var/log/nginx/access.log --config x402.yaml

A line is of the common or combined log format, or a JSON object with method, path (with its query) and,
if they are known, status, body, content_type, input_tokens, output_tokens and duration_ms. What was answered
with 400 or above earns nothing. What depends on a body that is not in the log is priced as without it.";

/// Print what a log of requests would have earned.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SimulateArgs {
    /// The log.
    #[arg(value_name = "ACCESS_LOG")]
    log: PathBuf,
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// One request of a log.
#[derive(Debug, Default, Eq, PartialEq)]
struct Logged {
    method: String,
    target: String,
    status: u64,
    body: String,
    content_type: Option<String>,
    input_tokens: Option<u64>,
    output_tokens: u64,
    duration_ms: u64,
}

/// What became of the requests of a route.
#[derive(Clone, Debug, Default)]
struct Earned {
    sold: u64,
    failed: u64,
    unpriced: u64,
    sum: Amount,
}

pub(crate) fn run(args: &SimulateArgs) -> Result<Exit, Failure> {
    let env = |name: &str| std::env::var(name).ok();
    let config = Config::load(&args.config, env, &Overrides::default());
    let config = config.map_err(|error| Failure::configuration(&error))?;
    let unreadable = |error| Failure::usage(error).at_file(&args.log);
    let log = File::open(&args.log).map_err(unreadable)?;
    let mut routes = vec![Earned::default(); config.routes.len()];
    let (mut unread, mut unsold) = (0_u64, 0_u64);
    for line in BufReader::new(log).split(b'\n') {
        let line = line.map_err(unreadable)?;
        // Some servers write what they were sent, whatever it is.
        let line = String::from_utf8_lossy(&line);
        let Some(logged) = Logged::parse(&line) else {
            unread += u64::from(!line.trim().is_empty());
            continue;
        };
        let path = logged.target.split('?').next().unwrap_or_default();
        let route = config.route(&logged.method, path);
        let mut all = config.routes.iter().zip(&mut routes);
        match all.find(|(one, _)| route.is_some_and(|route| core::ptr::eq(*one, route))) {
            Some((route, earned)) => earned.count(route, &logged)?,
            None => unsold += 1,
        }
    }
    print(&config, &routes)?;
    output::note(format_args!("{unsold} requests are for no route; {unread} lines cannot be read"));
    Ok(Exit::Ok)
}

fn print(config: &Config, routes: &[Earned]) -> Result<(), Failure> {
    let (symbol, decimals) = (&config.asset.symbol, config.asset.decimals);
    let mut total = Amount::ZERO;
    for (route, earned) in config.routes.iter().zip(routes) {
        let (PathPattern::Exact(path) | PathPattern::Prefix(path)) = &route.path;
        let star = if matches!(route.path, PathPattern::Prefix(_)) { "*" } else { "" };
        let Earned { sold, failed, unpriced, sum } = earned;
        total = total.checked_add(*sum).ok_or_else(too_much)?;
        let price = sum.to_price(decimals);
        output::line(format_args!(
            "{path}{star}: {sold} requests, {price} {symbol} ({failed} failed, {unpriced} without a price)"
        ));
    }
    output::line(format_args!("in all: {} {symbol}", total.to_price(decimals)));
    Ok(())
}

fn too_much() -> Failure {
    Failure::failed("the sum is more than can be counted")
}

impl Earned {
    fn count(&mut self, route: &Route, logged: &Logged) -> Result<(), Failure> {
        if logged.status >= 400 {
            self.failed += 1;
            return Ok(());
        }
        let Pricing::Paid(sold) = &route.pricing else {
            self.sold += 1;
            return Ok(());
        };
        match price(sold, logged) {
            Some(amount) => {
                self.sold += 1;
                self.sum = self.sum.checked_add(amount).ok_or_else(too_much)?;
            }
            None => self.unpriced += 1,
        }
        Ok(())
    }
}

/// What a request costs; `None` where it cannot be priced.
fn price(sold: &Sold, logged: &Logged) -> Option<Amount> {
    let (path, query) = logged.target.split_once('?').unwrap_or((&logged.target, ""));
    let content_type = logged.content_type.as_deref();
    let header = |name: &str| content_type.filter(|_| name == "content-type");
    let body = RequestBody::read(logged.body.as_bytes(), header);
    let facts = RequestFacts::new(&logged.method, path, Some(query), &body);
    let facts = facts.by_rule(sold.tariff.rule_of_unknown());
    let usage = match sold.tariff.model() {
        Model::PerToken { .. } => {
            let input = logged.input_tokens.unwrap_or_else(|| body.count_input().tokens());
            Usage::tokens(input, logged.output_tokens)
        }
        _ => Usage::duration(logged.duration_ms),
    };
    sold.tariff.quote(&usage, &facts).ok()
}

impl Logged {
    fn parse(line: &str) -> Option<Self> {
        if line.trim_start().starts_with('{') { Self::of_json(line) } else { Self::of_text(line) }
    }

    /// `host ident user [time] "METHOD target HTTP/1.1" status bytes …`
    fn of_text(line: &str) -> Option<Self> {
        let mut parts = line.splitn(3, '"');
        let (request, rest) = (parts.nth(1)?, parts.next()?);
        let mut words = request.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        if !target.starts_with('/') || words.next().is_some_and(|word| !word.starts_with("HTTP/")) {
            return None;
        }
        let status = rest.split_whitespace().next()?.parse().ok()?;
        Some(Self {
            method: method.to_owned(),
            target: target.to_owned(),
            status,
            ..Self::default()
        })
    }

    fn of_json(line: &str) -> Option<Self> {
        let object: Value = serde_json::from_str(line).ok()?;
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        let number = |key: &str| object.get(key).and_then(Value::as_u64);
        let body = match object.get("body") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(body)) => body.clone(),
            Some(body) => body.to_string(),
        };
        Some(Self {
            method: text("method")?,
            target: text("path")?,
            status: number("status").unwrap_or(200),
            body,
            content_type: text("content_type"),
            input_tokens: number("input_tokens"),
            output_tokens: number("output_tokens").unwrap_or(0),
            duration_ms: number("duration_ms").unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_format_are_read() {
        let common = r#"127.0.0.1 - bob [10/Oct/2026:13:55:36 +0000] "GET /a?b=c HTTP/1.1" 200 12"#;
        let combined =
            r#"::1 - - [10/Oct/2026:13:55:36 +0000] "POST /a HTTP/2.0" 402 12 "-" "curl \"x\"""#;
        let read = |line| Logged::parse(line).map(|one| (one.method, one.target, one.status));
        let expected = |method: &str, target: &str, status| {
            Some((method.to_owned(), target.to_owned(), status))
        };
        assert_eq!(read(common), expected("GET", "/a?b=c", 200));
        assert_eq!(read(combined), expected("POST", "/a", 402));
        let json = r#"{"method":"POST","path":"/a","body":{"n":1},"output_tokens":5}"#;
        let json = Logged::parse(json).unwrap();
        assert_eq!((json.status, json.body.as_str(), json.output_tokens), (200, "{\"n\":1}", 5));
        for line in
            ["", "nonsense", "{\"method\":\"GET\"}", "a \"GET\" 200", "a \"GET x HTTP/1.1\" 200"]
        {
            assert_eq!(Logged::parse(line), None, "{line}");
        }
    }
}
