//! `price`: what a request would cost, and why.

use std::path::PathBuf;

use clap::Args;
use x402_core::tariff::{Model, QuoteError, Usage};
use x402_std::config::{Config, Overrides, Pricing, Sold};
use x402_std::metering::request::{Counted, RequestBody, RequestFacts};

use crate::exit::{Exit, Failure};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  x402 price --config x402.yaml POST /api/analyze -d '{\"query\": \"some words\"}' --explain
  x402 price --config x402.yaml POST /v1/chat/completions -d @body.json --output-tokens 500";

/// Print what a request would cost by a seller's file. Nothing is sent.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PriceArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The method: GET, POST and so on.
    method: String,
    /// The path, with its query.
    path: String,
    /// The request's body, or @FILE.
    #[arg(short, long, value_name = "BODY")]
    data: Option<String>,
    /// What kind of body that is: it decides how the body is read. Without it, it is read as JSON.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// By the token: how many the request has, if they are not to be counted.
    #[arg(long, value_name = "N")]
    input_tokens: Option<u64>,
    /// By the token: how many the answer has. Without it, the ceiling is shown.
    #[arg(long, value_name = "N")]
    output_tokens: Option<u64>,
    /// By the minute: for how long.
    #[arg(long, value_name = "N", default_value_t = 1)]
    minutes: u64,
    /// Print every step of the computation.
    #[arg(long)]
    explain: bool,
}

pub(crate) fn run(args: &PriceArgs) -> Result<Exit, Failure> {
    let env = |name: &str| std::env::var(name).ok();
    let config = Config::load(&args.config, env, &Overrides::default());
    let config = config.map_err(|error| Failure::configuration(&error))?;
    let (path, query) = args.path.split_once('?').unwrap_or((&args.path, ""));
    let Some(route) = config.route(&args.method, path) else {
        let help = "see the routes of the file: a path is matched as it is written";
        return Err(Failure::usage("no route is for this request").help(help));
    };
    let Pricing::Paid(sold) = &route.pricing else {
        output::line("free");
        return Ok(Exit::Ok);
    };
    let body = body(args.data.as_deref())?;
    let content_type = args.content_type.as_deref();
    let body = RequestBody::read(&body, |name| content_type.filter(|_| name == "content-type"));
    let facts = RequestFacts::new(&args.method, path, Some(query), &body);
    let facts = facts.by_rule(sold.tariff.rule_of_unknown());
    let usage = usage(args, sold, &body)?;
    let mut steps = Vec::new();
    let amount = sold.tariff.explain(&usage, &facts, |step| steps.push(step.to_string()));
    if args.explain {
        if sold.tokens.is_some() && args.input_tokens.is_none() {
            output::line(counted(body.count_input()));
        }
        steps.iter().for_each(output::line);
    }
    let amount = amount.map_err(|error| match (error, body.check()) {
        (QuoteError::Condition { .. }, Err(why)) => refuse(&error, sold).help(why),
        _ => refuse(&error, sold),
    })?;
    let price = amount.to_price(config.asset.decimals);
    output::line(format_args!("{price} {}", config.asset.symbol));
    Ok(Exit::Ok)
}

fn body(data: Option<&str>) -> Result<Vec<u8>, Failure> {
    match data.map(|data| data.split_at_checked(1)) {
        None | Some(None) => Ok(Vec::new()),
        Some(Some(("@", file))) => {
            std::fs::read(file).map_err(|error| Failure::usage(error).at_file(file))
        }
        Some(Some((first, rest))) => Ok([first, rest].concat().into_bytes()),
    }
}

fn usage(args: &PriceArgs, sold: &Sold, body: &RequestBody<'_>) -> Result<Usage, Failure> {
    let most = sold.ceiling(body, args.minutes).map_err(Failure::usage)?;
    if sold.tokens.is_none() {
        return Ok(most);
    }
    let input = args.input_tokens.unwrap_or(most.input_tokens);
    Ok(Usage::tokens(input, args.output_tokens.unwrap_or(most.output_tokens)))
}

/// How the tokens of a request came about.
fn counted(tokens: Counted) -> String {
    match tokens {
        Counted::Bytes4(tokens) => {
            format!("the request is estimated: four bytes to a token, {tokens}")
        }
        Counted::Most(tokens) => {
            format!("the request can be read in two ways: a token to each byte, {tokens}")
        }
        counted => format!("the request is counted as its model does: {}", counted.tokens()),
    }
}

fn refuse(error: &QuoteError, sold: &Sold) -> Failure {
    let failure = Failure::usage(error);
    let (QuoteError::Condition { multiplier, error }, Model::Dynamic { multipliers, .. }) =
        (error, sold.tariff.model())
    else {
        return failure;
    };
    match multipliers.get(*multiplier).map(|one| one.condition.source()) {
        Some(source) => failure.at(format!("\n{}", error.underline(source))),
        None => failure,
    }
}
