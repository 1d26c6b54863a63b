//! Configuration files, of the seller and of the facilitator: no text does harm, what is wrong is said
//! briefly and at its place, and no secret is ever shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use x402_core::Amount;
use x402_core::condition::Value;
use x402_core::tariff::Usage;
use x402_std::config::{Config, ConfigError, FacilitatorConfig, Overrides, Pricing};

/// In every secret that the environment has.
const SECRET: &str = "hunter2hunter2";

fuzz_target!(|data: &[u8]| {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let env = |name: &str| match name {
        "X402_RPC" => Some(format!("https://node.example/{SECRET}")),
        "X402_KEY" => Some(SECRET.to_owned()),
        "X402_LEDGER" => Some(format!("redis://:{SECRET}@db.example")),
        _ => None,
    };
    check_seller(text, |_| None);
    check_seller(text, env);
    match FacilitatorConfig::parse(text, "shop/facilitator.yaml") {
        Ok(config) => check_shown(text, &format!("{config:?}")),
        Err(error) => check_error(text, &error),
    }
});

fn check_seller(text: &str, env: impl Fn(&str) -> Option<String>) {
    let parse = || Config::parse(text, "shop/x402.yaml", &env, &Overrides::default());
    let config = match parse() {
        Ok(config) => config,
        Err(error) => return check_error(text, &error),
    };
    let shown = format!("{config:?}");
    check_shown(text, &shown);
    assert_eq!(format!("{:?}", parse().expect("it was read before")), shown);
    for chain in config.chain.iter().chain(config.chains.iter().map(|(_, chain)| chain)) {
        // What is nowhere but in the URL is not shown.
        let url = chain.rpc.expose();
        assert!(text.matches(url).count() != 1 || !shown.contains(url));
    }
    for route in &config.routes {
        let Pricing::Paid(sold) = &route.pricing else { continue };
        assert_ne!(sold.fixed, Some(Amount::ZERO), "what is free says so: {route:?}");
        let usage = Usage { minutes: 1, ..Usage::tokens(1, 1) };
        let facts: [(&str, Value<'_>); 0] = [];
        if let Ok(amount) = sold.tariff.quote(&usage, facts.as_slice()) {
            assert!(sold.fixed.is_none_or(|fixed| fixed == amount) && amount != Amount::ZERO);
        }
    }
}

fn check_error(text: &str, error: &ConfigError) {
    let shown = error.to_string();
    check_shown(text, &shown);
    check_shown(text, &format!("{error:?}"));
    assert!(shown.starts_with("error: ") && shown.contains("\nhelp: "), "{shown}");
    assert!(!error.message().contains('\n') && !error.help().contains('\n'), "{shown}");
    let is_short = shown.lines().count() <= 5 && shown.lines().all(|line| line.len() < 1000);
    assert!(is_short, "{shown}");
    if let Some(line) = error.line() {
        // A carriage return by itself ends a line of YAML too.
        let lines = text.lines().flat_map(|line| line.split('\r')).count() as u64;
        assert!(line >= 1 && line <= lines + 1, "{line}");
    }
}

fn check_shown(text: &str, shown: &str) {
    assert!(text.contains(SECRET) || !shown.contains(SECRET), "{shown}");
}
