//! What is sold by the token and by the minute, and the key to what is left of it.

use super::broken::expect;
use super::*;
use x402_core::tariff::{OnUnknown, Usage};

use crate::ledger::CreditAccount;
use crate::metering::request::{BodyError, RequestBody};
use crate::metering::usage::{Pointer, UsageSource};
use crate::quote::CreditToken;
use crate::seller::Replay;

fn priced(model: &str, more: &str) -> String {
    let prices = match model {
        "per_token" => "input_price: 0.00001, output_price: 0.00003",
        _ => "amount: 0.1",
    };
    with_routes(&format!(
        "  - path: /a\n    pricing: {{model: {model}, {prices}, currency: USDC{more}}}"
    ))
}

fn sold(text: &str) -> Sold {
    let config = parse(text).unwrap_or_else(|error| panic!("{error}"));
    let Pricing::Paid(sold) = &config.routes[0].pricing else { panic!("it is free") };
    (**sold).clone()
}

#[test]
fn tokens_are_counted_where_the_file_says() {
    let pointer = |text| Pointer::parse(text).unwrap();
    let usual =
        TokenRules { max_output_tokens: 4096, usage: UsageSource::OpenAi, include_usage: true };
    for (more, rules) in [
        ("", usual.clone()),
        (
            ", usage: openai, include_usage: false",
            TokenRules { include_usage: false, ..usual.clone() },
        ),
        (", usage: anthropic", TokenRules { usage: UsageSource::Anthropic, ..usual.clone() }),
        (", max_output_tokens: 100", TokenRules { max_output_tokens: 100, ..usual.clone() }),
        (
            ", usage: {input: /usage/in, output: /usage/0/out}",
            TokenRules {
                usage: UsageSource::Pointer {
                    input: pointer("/usage/in"),
                    output: pointer("/usage/0/out"),
                },
                ..usual.clone()
            },
        ),
        (
            ", usage: {input_header: X-In, output_header: X-Out}",
            TokenRules {
                usage: UsageSource::Header { input: "X-In".into(), output: "X-Out".into() },
                ..usual
            },
        ),
    ] {
        assert_eq!(sold(&priced("per_token", more)).tokens, Some(rules), "{more}");
    }
}

#[test]
fn a_name_of_credit_ends_when_the_file_says() {
    let expires = |more: &str| {
        parse(&format!("{}{more}", priced("per_token", ""))).map(|config| config.credit_expires)
    };
    assert_eq!(expires("").unwrap(), None);
    for seconds in [60, 86_400, 315_360_000] {
        let said = expires(&format!("\ncredit_expires: {seconds}\n")).unwrap();
        assert_eq!(said, Some(core::time::Duration::from_secs(seconds)));
    }
    for wrong in ["0", "59", "315360001", "1h", "-60", "60.0", "''"] {
        let error = expires(&format!("\ncredit_expires: {wrong}\n")).unwrap_err().to_string();
        assert!(
            error.contains("is not a time in seconds") && error.contains("from 60 to"),
            "{error}"
        );
    }
}

#[test]
fn a_ceiling_may_be_signed_where_the_file_says() {
    for model in ["per_token", "per_minute"] {
        for (more, upto) in [
            ("", Upto::No),
            (", upto: false", Upto::No),
            (", upto: true", Upto::Beside),
            (", upto: only", Upto::Only),
        ] {
            assert_eq!(sold(&priced(model, more)).upto, upto);
        }
    }
}

#[test]
fn what_is_not_known_costs_what_the_file_says() {
    let dynamic = |more: &str| {
        let pricing =
            "model: dynamic, base_price: 0.01, multipliers: [{condition: a, multiplier: 2}]";
        with_routes(&format!("  - path: /a\n    pricing: {{{pricing}{more}}}"))
    };
    let per_token = |more: &str| priced("per_token", more);
    for (more, rule) in [
        ("", OnUnknown::Refuse),
        (", on_unknown: refuse", OnUnknown::Refuse),
        (", on_unknown: base", OnUnknown::Base),
        (", max_price: 1, on_unknown: highest", OnUnknown::Highest),
    ] {
        assert_eq!(sold(&dynamic(more)).tariff.rule_of_unknown(), rule);
        assert_eq!(sold(&per_token(more)).tariff.rule_of_unknown(), rule);
    }
    parse(&dynamic(", on_unknown: highest")).unwrap();
    expect(&per_token(", on_unknown: highest"), 10, "without `max_price` there is no highest");
    expect(&per_token(", on_unknown: higest"), 10, "did you mean `highest`?");
    let fixed = priced("per_request", ", on_unknown: base");
    expect(&fixed, 10, "no member of the pricing model per_request");
}

#[test]
fn a_limit_that_is_not_known_is_what_the_rule_says() {
    let ceiling = |rule: &str, body: &str| {
        let sold = sold(&priced("per_token", &format!(", max_price: 1, on_unknown: {rule}")));
        sold.ceiling(&RequestBody::read(body.as_bytes(), |_| None), 0)
    };
    let twice = r#"{"max_tokens": 5, "Max_Tokens": 9000}"#;
    assert_eq!(ceiling("refuse", twice), Err(BodyError::Spelling("max_tokens")));
    assert_eq!(ceiling("highest", twice), Ok(Usage::tokens(u64::MAX, u64::MAX)));
    assert_eq!(ceiling("base", twice).unwrap().output_tokens, 4096);
    for rule in ["refuse", "highest", "base"] {
        assert_eq!(ceiling(rule, r#"{"max_tokens": 5}"#).unwrap().output_tokens, 5);
        assert_eq!(ceiling(rule, r#"{"n": 2}"#).unwrap().output_tokens, 8192);
        // It is known, and no number.
        assert_eq!(ceiling(rule, r#"{"n": "2"}"#), Err(BodyError::Count("n")));
    }
}

#[test]
fn what_cannot_be_counted_is_said_at_its_line() {
    for (model, more, word) in [
        ("per_token", ", usage: openia", "did you mean `openai`?"),
        ("per_token", ", usage: 5", "expected openai, anthropic, or a map"),
        ("per_token", ", usage: {input: /a}", "in two places"),
        ("per_token", ", usage: {input: /a, output_header: B}", "in two places"),
        ("per_token", ", usage: {input: a, output: /b}", "begins with a slash"),
        ("per_token", ", usage: {input_header: 'a b', output_header: c}", "no header field"),
        ("per_token", ", usage: {inputs: /a}", "did you mean `input`?"),
        ("per_token", ", include_usage: yes please", "neither true nor false"),
        ("per_token", ", max_output_tokens: -1", "not a number of tokens"),
        ("per_minute", ", usage: openai", "no member of the pricing model per_minute"),
        ("per_minute", ", upto: onyl", "did you mean `only`?"),
        ("per_request", ", upto: true", "no member of the pricing model per_request"),
    ] {
        expect(&priced(model, more), 10, word);
    }
}

#[test]
fn what_leaves_a_purse_is_not_given_to_whoever_has_the_bytes() {
    let open = |model| priced(model, "").replace("    pricing:", "    replay: open\n    pricing:");
    expect(&open("per_minute"), 10, "the payer's pass, or his credit");
    let once = priced("per_request", "").replace("    pricing:", "    replay: open\n    pricing:");
    assert_eq!(parse(&once).unwrap().routes[0].replay, Replay::Anyone);
    for (word, replay) in [("payer", Ok(Replay::Payer)), ("opne", Err("did you mean `open`?"))] {
        let text = once.replace("replay: open", &format!("replay: {word}"));
        match replay {
            Ok(replay) => assert_eq!(parse(&text).unwrap().routes[0].replay, replay),
            Err(words) => expect(&text, 10, words),
        }
    }
}

#[test]
fn what_is_measured_and_paid_for_later_has_time() {
    let timeout = |text: &str| parse(text).unwrap().routes[0].max_timeout_seconds;
    let settled = |model, settle: &str, more| {
        priced(model, more).replace("    pricing:", &format!("    settle: {settle}\n    pricing:"))
    };
    for (text, seconds) in [
        (settled("per_token", "first", ""), 60),
        (settled("per_token", "later", ""), 600),
        (settled("per_token", "first", ", upto: true"), 600),
        (settled("per_request", "later", ""), 159),
        // The minutes that are sold are asked for besides.
        (settled("per_minute", "later", ""), 159),
        (settled("per_token", "later\n    answer_timeout: 50\n    timeout: 90", ""), 90),
    ] {
        assert_eq!(timeout(&text), seconds, "{text}");
    }
}

#[test]
fn what_is_sold_by_the_minute_is_not_held() {
    let held = priced("per_minute", "").replace("    pricing:", "    settle: after\n    pricing:");
    expect(&held, 10, "is not held until it is over");
    for settle in ["first", "later"] {
        parse(&held.replace("after", settle)).unwrap();
    }
    parse(
        &held
            .replace("per_minute", "per_token")
            .replace("amount: 0.1", "input_price: 1, output_price: 1"),
    )
    .unwrap();
}

#[test]
fn the_secret_comes_from_a_file_or_a_variable() {
    let config = |text: &str, env: &[(&str, &str)]| parse_with(text, env, NO_FLAGS).unwrap();
    assert!(config(MINIMAL, &[]).secret.is_none());
    let named = format!("{MINIMAL}secret_file: ./x402.secret\n");
    let file = |secret: &Option<KeySource>| match secret {
        Some(KeySource::File(path)) => path.to_path_buf(),
        other => panic!("{other:?}"),
    };
    assert_eq!(file(&config(&named, &[]).secret), Path::new("shop/./x402.secret"));
    let other = config(&named, &[("X402_SECRET_FILE", "/run/secret")]).secret;
    assert_eq!(file(&other), Path::new("/run/secret"));
    let text = config(&named, &[("X402_SECRET", &"1".repeat(64))]).secret;
    assert!(matches!(text, Some(KeySource::Text { name: "X402_SECRET", .. })));
    let both = [("X402_SECRET", "1"), ("X402_SECRET_FILE", "2")];
    let error = parse_with(MINIMAL, &both, NO_FLAGS).unwrap_err().to_string();
    assert!(error.contains("are both set"), "{error}");
    expect(&format!("{MINIMAL}secret_file: ''\n"), 15, "secret_file is empty");
}

/// A token, by which keys can be told apart.
fn signed(config: &Config, name: &str) -> String {
    CreditToken { account: ACCOUNT, generation: 0, made_at: 0 }
        .sign(&config.token_keys(name).unwrap().unwrap())
}

fn is_good(token: &str, config: &Config, name: &str) -> bool {
    let keys = config.token_keys(name).unwrap().unwrap();
    let CreditAccount { chain_id, asset, seller, .. } = ACCOUNT;
    CreditToken::verify(token, &keys, chain_id, asset, seller).is_ok()
}

const ACCOUNT: CreditAccount = CreditAccount {
    payer: Address::ZERO,
    chain_id: ChainId::ETHEREUM,
    asset: Address::ZERO,
    seller: Address::ZERO,
};

#[test]
fn the_key_of_tokens_is_the_secrets_or_else_the_payers_of_gas() {
    let key = |env: &[(&str, &str)]| signed(&parse_with(MINIMAL, env, NO_FLAGS).unwrap(), "a");
    let (one, two) = ("1".repeat(64), "2".repeat(64));
    let own = key(&[("X402_KEY", &one)]);
    assert_eq!(own, key(&[("X402_KEY", &one)]));
    assert_ne!(own, key(&[("X402_KEY", &two)]));
    assert_eq!(own, key(&[("X402_KEY", &two), ("X402_SECRET", &one)]));
    let remote = format!("facilitator: https://f.example\n{}", with("chain: {rpc: 'http://a'}"))
        .replace("chain: {rpc: 'http://a'}\n", "");
    assert!(parse(&remote).unwrap().token_keys("a").unwrap().is_none());
    let missing = format!("{MINIMAL}secret_file: ./no-such-file\n");
    assert!(parse(&missing).unwrap().token_keys("a").is_err());
}

#[test]
fn a_secret_and_the_one_before_it_are_good_at_a_time() {
    let [one, two, three] = ["1", "2", "3"].map(|digit| digit.repeat(64));
    let config = |secret: &str| {
        parse_with(MINIMAL, &[("X402_KEY", &three), ("X402_SECRET", secret)], NO_FLAGS).unwrap()
    };
    let (before, both, after) = (config(&one), config(&format!("{two}\n{one}\n")), config(&two));
    assert!(is_good(&signed(&before, "a"), &both, "a"));
    assert!(is_good(&signed(&both, "a"), &after, "a"));
    assert!(!is_good(&signed(&before, "a"), &after, "a"));
    assert!(!is_good(&signed(&both, "a"), &before, "a"));
    assert!(!is_good(&signed(&both, "a"), &both, "b"));
    // The one that was made of the gas account's key can be the one before.
    let own = parse_with(MINIMAL, &[("X402_KEY", &three)], NO_FLAGS).unwrap();
    assert!(is_good(&signed(&own, "a"), &config(&format!("{two}\n{three}")), "a"));
    for wrong in [format!("{one}\n{two}\n{three}"), format!("{one}\n2222")] {
        let error = config(&wrong).token_keys("a").unwrap_err().to_string();
        assert!(error.contains("no secret in X402_SECRET") && !error.contains("22"), "{error}");
    }
}

#[test]
fn a_gateway_is_called_by_its_name_or_its_url() {
    let name = |text: &str, env: &[(&str, &str)]| {
        let config = parse_with(text, env, NO_FLAGS).unwrap();
        config.gateway_name().map(str::to_owned)
    };
    assert_eq!(name(MINIMAL, &[]), None);
    let public = format!("{MINIMAL}public_url: https://api.example.com/v1/\n");
    assert_eq!(name(&public, &[]).as_deref(), Some("https://api.example.com/v1"));
    let named = format!("{public}name: shop-1\n");
    assert_eq!(name(&named, &[]).as_deref(), Some("shop-1"));
    assert_eq!(name(&named, &[("X402_NAME", "shop-2")]).as_deref(), Some("shop-2"));
    assert_eq!(name(&format!("{MINIMAL}name: {}\n", "a".repeat(255)), &[]).unwrap().len(), 255);
    for wrong in ["''", "a b", "ü", &"a".repeat(256)] {
        expect(&format!("{MINIMAL}name: {wrong}\n"), 15, "is no name of a gateway");
    }
}
