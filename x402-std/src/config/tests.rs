use std::collections::HashMap;

use x402_core::Amount;
use x402_core::tariff::Model;

use super::*;

mod broken;
mod cors;
mod limits;
mod metered;
mod more;
mod places;

/// The file of the design, as it stands.
const MINIMAL: &str = r#"listen: 127.0.0.1:4021
upstream: http://127.0.0.1:3000
pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
network: ethereum              # v1 name or CAIP-2 (eip155:1)
asset: USDC                    # symbol of the table, or {address, decimals, name, version}
chain: {rpc: "http://127.0.0.1:8545", key_file: ./settler.key}   # pays the gas; or X402_RPC, X402_KEY
ledger: ./x402.redb            # or memory, postgres://…, redis://…
routes:
  - path: /api/analyze         # literal, or with a trailing /* ; first match wins, overlaps are reported
    methods: [POST]
    settle: first
    pricing: {model: "per_request", amount: "0.01", currency: "USDC"}
  - {path: /health, pricing: free}
default: not_found             # a path that no route names: not_found (default) or free
"#;

const NO_FLAGS: &Overrides = &Overrides {
    listen: None,
    upstream: None,
    pay_to: None,
    network: None,
    asset: None,
    rpc: None,
    key_file: None,
    ledger: None,
};

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, "shop/x402.yaml", |_| None, NO_FLAGS)
}

fn parse_with(text: &str, env: &[(&str, &str)], flags: &Overrides) -> Result<Config, ConfigError> {
    let env: HashMap<_, _> = env.iter().copied().collect();
    Config::parse(text, "shop/x402.yaml", |name| env.get(name).map(|&v| v.to_owned()), flags)
}

/// The minimal file with a line put in the place of the one that begins like it.
fn with(line: &str) -> String {
    let key = line.split_inclusive(':').next().unwrap();
    let lines = MINIMAL.lines().map(|old| if old.starts_with(key) { line } else { old });
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn with_routes(routes: &str) -> String {
    let (head, _) = MINIMAL.split_once("routes:").unwrap();
    format!("{head}routes:\n{routes}\n")
}

fn with_amount(amount: &str) -> String {
    with_routes(&format!(
        "  - {{path: /a, pricing: {{model: per_request, amount: {amount}, currency: USDC}}}}"
    ))
}

fn amount(text: &str) -> Result<Amount, ConfigError> {
    parse(text).map(|config| config.routes[0].pricing.fixed().unwrap_or(Amount::ZERO))
}

#[test]
fn the_minimal_file_means_what_it_says() {
    let config = parse(MINIMAL).unwrap();
    assert_eq!(config.listen, "127.0.0.1:4021".parse().unwrap());
    assert_eq!(config.upstream.authority, "127.0.0.1:3000");
    assert_eq!(config.upstream.base_path, "");
    assert_eq!(config.pay_to.to_string(), "0x209693Bc6afc0C5328bA36FaF03C514EF312287C");
    assert_eq!(config.asset.as_asset(), *Asset::find(ChainId::ETHEREUM, "USDC").unwrap());
    assert_eq!(config.chain.as_ref().unwrap().rpc.expose(), "http://127.0.0.1:8545");
    assert!(
        matches!(&config.chain.as_ref().unwrap().key, KeySource::File(path) if path == Path::new("shop/./settler.key"))
    );
    assert_eq!(config.ledger, LedgerConfig::File("shop/./x402.redb".into()));
    assert_eq!(config.default, DefaultRoute::NotFound);
    let [analyze, health] = &*config.routes else { panic!("{:?}", config.routes) };
    assert_eq!(analyze.path, PathPattern::Exact("/api/analyze".into()));
    assert_eq!(analyze.methods, ["POST"]);
    let Pricing::Paid(tariff) = &analyze.pricing else { panic!("{:?}", analyze.pricing) };
    assert!(matches!(tariff.tariff.model(), Model::PerRequest { .. }));
    assert_eq!(analyze.pricing.fixed(), Some(Amount::from_units(10_000)));
    assert_eq!(analyze.max_timeout_seconds, 60);
    assert_eq!(health.path, PathPattern::Exact("/health".into()));
    assert!(health.methods.is_empty() && matches!(health.pricing, Pricing::Free));
    assert_eq!(health.pricing.fixed(), None);
}

#[test]
fn what_may_be_left_out_may_be_left_out() {
    let text = MINIMAL.lines().filter(|line| !line.starts_with("default"));
    let config = parse(&text.collect::<Vec<_>>().join("\n")).unwrap();
    assert_eq!(config.default, DefaultRoute::NotFound);
    assert_eq!(parse(&with("default: free")).unwrap().default, DefaultRoute::Free);
    assert_eq!(parse(&with("ledger: memory")).unwrap().ledger, LedgerConfig::Memory);
}

#[test]
fn routes_say_more() {
    let text = with_routes(
        "  - {path: /api/cheap, methods: [GET, HEAD], timeout: 300, description: Cheap, pricing: free}
  - path: /api/*
    pricing: {model: per_request, amount: 0.010, currency: USDC}
  - path: /*
    pricing: free",
    );
    let config = parse(&text).unwrap();
    let [cheap, api, rest] = &*config.routes else { panic!("{:?}", config.routes) };
    assert_eq!((cheap.max_timeout_seconds, cheap.description.as_deref()), (300, Some("Cheap")));
    assert_eq!(api.path, PathPattern::Prefix("/api/".into()));
    assert_eq!(api.pricing.fixed(), Some(Amount::from_units(10_000)));
    assert_eq!(rest.path, PathPattern::Prefix("/".into()));
    assert!(api.path.matches("/api/x") && !api.path.matches("/api") && !api.path.matches("/apix"));
    assert!(cheap.path.matches("/api/cheap") && !cheap.path.matches("/api/cheap/"));
}

#[test]
fn upstreams_have_hosts_ports_and_paths() {
    for (url, authority, base_path) in [
        ("http://localhost", "localhost", ""),
        ("http://localhost/", "localhost", ""),
        ("http://app.internal:8080/v1/", "app.internal:8080", "/v1"),
        ("http://[::1]:3000/v1", "[::1]:3000", "/v1"),
        ("http://[::1]", "[::1]", ""),
    ] {
        let upstream = parse(&with(&format!("upstream: \"{url}\""))).unwrap().upstream;
        assert_eq!((&*upstream.authority, &*upstream.base_path), (authority, base_path));
    }
}

#[test]
fn an_upstream_may_say_that_it_reads_every_body() {
    for (written, expected) in [
        ("http://a:1/b", Keepalive::WithoutBody),
        ("{url: \"http://a:1/b\"}", Keepalive::WithoutBody),
        ("{url: \"http://a:1/b\", keepalive: without_body}", Keepalive::WithoutBody),
        ("{url: \"http://a:1/b\", keepalive: always}", Keepalive::Always),
    ] {
        let upstream = parse(&with(&format!("upstream: {written}"))).unwrap().upstream;
        let read = (&*upstream.authority, &*upstream.base_path, upstream.keepalive);
        assert_eq!(read, ("a:1", "/b", expected), "{written}");
    }
    for (written, expected) in [
        ("{url: \"http://a:1\", keepalive: allways}", "did you mean `always`?"),
        ("{url: \"https://a:1\"}", "write http://, a host and a port"),
        ("{keepalive: always}", "url"),
        ("{url: \"http://a:1\", keep_alive: always}", "keepalive"),
        ("[a]", "a URL, or a map with the key url"),
    ] {
        let error = parse(&with(&format!("upstream: {written}"))).unwrap_err();
        assert!(error.to_string().contains(expected), "{written}: {error}");
    }
}

#[test]
fn a_route_may_say_that_its_upstream_heeds_keys() {
    let text = |word: &str| format!("path: /api/analyze\n    idempotent: {word}");
    let route = |word: &str| parse(&MINIMAL.replace("path: /api/analyze", &text(word)));
    assert!(!parse(MINIMAL).unwrap().routes[0].is_idempotent);
    assert!(route("true").unwrap().routes[0].is_idempotent);
    assert!(!route("false").unwrap().routes[0].is_idempotent);
    route("sometimes").unwrap_err();
}

#[test]
fn a_token_can_be_written_out() {
    let token = |members: &str| {
        with(&format!("asset: {{{members}}}")).replace("currency: \"USDC\"", "currency: \"TOK\"")
    };
    let address = "\"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed\"";
    let config =
        parse(&token(&format!("address: {address}, decimals: 18, name: TOK, version: '1'")))
            .unwrap();
    assert_eq!(config.asset.symbol, "TOK");
    assert_eq!(config.asset.decimals, 18);
    assert_eq!(config.routes[0].pricing.fixed(), Some(Amount::from_units(10_000_000_000_000_000)));
    let named =
        token(&format!("address: {address}, decimals: 6, name: My Tok, version: 1, symbol: TOK"));
    assert_eq!(parse(&named).unwrap().asset.name, "My Tok");
    // One of the table, described as it is there.
    let usdc = "asset: {address: 0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48, decimals: 6, name: USD Coin, version: 2}";
    assert_eq!(parse(&with(usdc)).unwrap().asset, parse(MINIMAL).unwrap().asset);
    // The order of its logs is the table's: what is written beside that would not be heeded.
    let ordered = |token: &str, order: &str| token.replace('}', &format!(", log_order: {order}}}"));
    let same = parse(&with(&ordered(usdc, "transfer_next"))).unwrap().asset;
    assert_eq!(same, parse(MINIMAL).unwrap().asset);
    let error = parse(&with(&ordered(usdc, "unknown"))).unwrap_err().to_string();
    assert!(error.contains("it is transfer_next"), "{error}");
    for (order, read) in [("transfer_next", LogOrder::TransferNext), ("unknown", LogOrder::Unknown)]
    {
        let members = format!("address: {address}, decimals: 6, name: TOK, version: 1");
        assert_eq!(parse(&token(&members)).unwrap().asset.log_order, LogOrder::Unknown);
        let members = format!("{members}, log_order: {order}");
        assert_eq!(parse(&token(&members)).unwrap().asset.log_order, read);
    }
    let typo = ordered(usdc, "transfer-next");
    let error = parse(&with(&typo)).unwrap_err().to_string();
    assert!(error.contains("did you mean `transfer_next`?"), "{error}");
}

#[test]
fn amounts_are_texts_and_never_floats() {
    for (text, units) in [
        ("0.01", 10_000),
        ("\"0.01\"", 10_000),
        ("'0.010'", 10_000),
        ("1", 1_000_000),
        ("1.005", 1_005_000),
        ("8.7", 8_700_000),
        ("4.35", 4_350_000),
        ("0.29", 290_000),
        ("9007199254.740993", 9_007_199_254_740_993),
    ] {
        assert_eq!(amount(&with_amount(text)).unwrap(), Amount::from_units(units), "{text}");
    }
    for text in
        ["1e-3", "1E3", ".5", "5.", "+1", "-1", "0x10", "1_000", ".inf", "nan", "1e309", "007"]
    {
        let error = amount(&with_amount(text)).unwrap_err();
        assert!(error.message().contains("is no price"), "{text}: {error}");
        assert_eq!(error.line(), Some(9));
    }
}

/// The known answers about prices, through a file. A currency sign is the SDK's way of writing and
/// is refused here; what is behind it is tried without.
#[test]
fn prices_of_the_vectors() {
    let vectors = include_str!("../../../tests/vectors/prices.json");
    let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
    let mut tried = 0;
    for vector in vectors["vectors"].as_array().unwrap() {
        let price = vector["price"].as_str().unwrap();
        let file = |price: &str| {
            let asset = format!(
                "asset: {{address: '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed', name: USDC, version: 1, decimals: {}}}",
                vector["decimals"]
            );
            with_amount(&serde_json::to_string(price).unwrap())
                .replace("asset: USDC  ", &format!("{asset} #"))
        };
        if price.starts_with('$') && vector["decimals"] != 256 && vector["decimals"] != 78 {
            let error = amount(&file(price)).unwrap_err();
            assert!(error.help().contains("plain decimal"), "{error}");
        }
        let result = amount(&file(price.strip_prefix('$').unwrap_or(price)));
        match vector["expect"].as_str().unwrap() {
            "accept" => assert_eq!(result.unwrap().to_string(), vector["atomic"], "{price}"),
            // Refused by all, or by those who read plain decimals only.
            _ => assert!(result.is_err(), "{price}"),
        }
        tried += 1;
    }
    assert_eq!(tried, 40);
}

/// The blocks of the project's owner, as they stand.
#[test]
fn the_models_are_read_and_priced() {
    use x402_core::condition::Value;
    use x402_core::tariff::Usage;
    let facts =
        [("query_length", Value::Number(1001.into())), ("requires_browser", Value::Bool(true))];
    for (pricing, usage, amount) in [
        (r#"{model: "per_request", amount: "0.01", currency: "USDC"}"#, Usage::default(), 10_000),
        (
            r#"{model: "per_token", input_price: "0.00001", output_price: "0.00003", currency: "USDC"}"#,
            Usage::tokens(1000, 500),
            25_000,
        ),
        (
            r#"{model: "per_minute", amount: "0.10", currency: "USDC", minimum_minutes: 1}"#,
            Usage::duration(61_000),
            200_000,
        ),
        (
            r#"
      model: "dynamic"
      base_price: "0.01"
      multipliers:
        - {condition: "query_length > 1000", multiplier: 2.0}
        - {condition: "requires_browser", multiplier: 1.5}"#,
            Usage::default(),
            30_000,
        ),
    ] {
        let config = parse(&with_routes(&format!("  - path: /a\n    pricing: {pricing}"))).unwrap();
        let Pricing::Paid(sold) = &config.routes[0].pricing else { panic!("{pricing}") };
        let quoted = sold.tariff.quote(&usage, facts.as_slice()).unwrap();
        assert_eq!(quoted, Amount::from_units(amount), "{pricing}");
        assert_eq!(sold.fixed.is_some(), pricing.contains("per_request"));
    }
}

#[test]
fn the_environment_replaces_the_file_and_flags_replace_both() {
    let env = [
        ("X402_LISTEN", "0.0.0.0:80"),
        ("X402_UPSTREAM", "http://env"),
        ("X402_PAY_TO", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
        ("X402_NETWORK", "base"),
        ("X402_ASSET", "EURC"),
        ("X402_RPC", "http://env-rpc"),
        ("X402_KEY_FILE", "env.key"),
        ("X402_LEDGER", "env.redb"),
    ];
    let file = MINIMAL.replace("currency: \"USDC\"", "currency: \"EURC\"");
    let config = parse_with(&file, &env, NO_FLAGS).unwrap();
    assert_eq!(config.listen.port(), 80);
    assert_eq!(config.upstream.authority, "env");
    assert_eq!(config.pay_to.to_string(), env[2].1);
    assert_eq!(config.asset.as_asset(), *Asset::find(ChainId::BASE, "EURC").unwrap());
    assert_eq!(config.chain.as_ref().unwrap().rpc.expose(), "http://env-rpc");
    assert!(
        matches!(&config.chain.as_ref().unwrap().key, KeySource::File(path) if path == Path::new("env.key"))
    );
    assert_eq!(config.ledger, LedgerConfig::File("env.redb".into()));
    let flags = Overrides {
        listen: Some("[::1]:81".into()),
        upstream: Some("http://flag".into()),
        pay_to: Some("0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359".into()),
        network: Some("eip155:1".into()),
        asset: Some("USDC".into()),
        rpc: Some("http://flag-rpc".into()),
        key_file: Some("flag.key".into()),
        ledger: Some("memory".into()),
    };
    let config = parse_with(MINIMAL, &env, &flags).unwrap();
    assert_eq!(config.listen.port(), 81);
    assert_eq!(config.upstream.authority, "flag");
    assert_eq!(Some(config.pay_to.to_string()), flags.pay_to);
    assert_eq!(config.asset.as_asset(), *Asset::find(ChainId::ETHEREUM, "USDC").unwrap());
    assert_eq!(config.chain.as_ref().unwrap().rpc.expose(), "http://flag-rpc");
    assert!(
        matches!(&config.chain.as_ref().unwrap().key, KeySource::File(path) if path == Path::new("flag.key"))
    );
    assert_eq!(config.ledger, LedgerConfig::Memory);
}

#[test]
fn what_other_layers_have_may_be_missing_in_the_file() {
    let file = "routes: [{path: /a, pricing: free}]\n";
    let env = [
        ("X402_LISTEN", "127.0.0.1:1"),
        ("X402_UPSTREAM", "http://a"),
        ("X402_PAY_TO", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
        ("X402_NETWORK", "base"),
        ("X402_ASSET", "USDC"),
        ("X402_RPC", "http://b"),
        ("X402_KEY", "00"),
        ("X402_LEDGER", "memory"),
    ];
    parse_with(file, &env, NO_FLAGS).unwrap();
    for (without, (name, _)) in env.iter().enumerate() {
        let mut env = env.to_vec();
        env[without].1 = "";
        let error = parse_with(file, &env, NO_FLAGS).unwrap_err();
        let name = if *name == "X402_KEY" { "X402_KEY_FILE" } else { name };
        assert!(
            error.message().ends_with("is missing or empty") && error.help().contains(name),
            "{error}"
        );
        assert_eq!(error.line(), None);
    }
}

#[test]
fn a_member_without_a_value_is_missing() {
    for key in ["listen", "upstream", "pay_to", "network", "asset", "chain", "ledger", "routes"] {
        let text = with(&format!("{key}: # {key}"));
        let text = if key == "routes" { &text[..text.find("# routes").unwrap()] } else { &text };
        let error = parse(text).unwrap_err();
        assert!(error.message().contains(&format!("`{key}")), "{error}");
        assert!(error.message().contains("missing or empty"), "{error}");
    }
}

#[test]
fn errors_of_other_layers_name_them() {
    let error = parse_with(MINIMAL, &[("X402_LISTEN", "here")], NO_FLAGS).unwrap_err();
    assert_eq!(
        error.to_string(),
        "error: `here` is not an address and a port\n  at: environment variable X402_LISTEN\n\
         help: write an IP address, a colon and a port: 127.0.0.1:4021"
    );
    let flags = Overrides { pay_to: Some("me".into()), ..Overrides::default() };
    let error = parse_with(MINIMAL, &[], &flags).unwrap_err();
    assert!(error.to_string().contains("  at: flag --pay-to\n"), "{error}");
    let both = [("X402_KEY", "1"), ("X402_KEY_FILE", "2")];
    let error = parse_with(MINIMAL, &both, NO_FLAGS).unwrap_err();
    assert_eq!(error.message(), "X402_KEY and X402_KEY_FILE are both set");
}

#[test]
fn a_key_of_the_environment_is_loaded_when_it_is_asked_for() {
    let key = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
    let config = parse_with(MINIMAL, &[("X402_KEY", key)], NO_FLAGS).unwrap();
    assert!(config.chain.as_ref().unwrap().key.load().unwrap().signer().is_ok());
    let config = parse_with(MINIMAL, &[("X402_KEY", "nonsense")], NO_FLAGS).unwrap();
    let error = config.chain.as_ref().unwrap().key.load().unwrap_err().to_string();
    assert!(error.contains("X402_KEY") && !error.contains("nonsense"), "{error}");
}

#[test]
fn nothing_shows_a_secret() {
    let key = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
    let rpc = "https://node.example/v3/CANARY";
    let env = [("X402_KEY", key), ("X402_RPC", rpc)];
    let config = parse_with(MINIMAL, &env, NO_FLAGS).unwrap();
    let flags = Overrides { rpc: Some(rpc.into()), ..Overrides::default() };
    for shown in [format!("{config:?}"), format!("{config:#?}"), format!("{flags:?}")] {
        assert!(!shown.contains("59c6") && !shown.contains("CANARY"), "{shown}");
    }
    assert_eq!(format!("{flags:?}"), "Overrides{\"rpc\"}");
    // Wherever a secret is put, and whatever is wrong around it.
    for text in [
        with(&format!("chain: {{rpc: \"{rpc}\", key_fle: {key}}}")),
        with(&format!("chain: {{rcp: \"{rpc}\"}}")),
        with("chain: {rcp: node.example/v3/CANARY}"),
        with("chain: {rpc: node.example/v3/CANARY, key_file: a}"),
        with("chain: node.example/v3/CANARY"),
        with("chain: {node.example/v3/CANARY}"),
        with(&format!("chain: {{{rpc}}}")),
        with(&format!("chain: [\"{rpc}\"]")),
        with(&format!("chain: {{rpc: [\"{rpc}\", [\"{rpc}\"]], key_file: a}}")),
        with(
            "chain:\n  rpc:\n    - https://a.example\n    - node.example/v3/CANARY\n  key_file: a",
        ),
        with(
            "chain:\n  rpc:\n    - https://a.example\n    - [node.example/v3/CANARY]\n  key_file: a",
        ),
        with(&format!("chain: {{rpc: \"{rpc}, key_file: a}}")),
        with("chain:\n  rpc: node.example/v3/CANARY\n  key: a"),
        with("chain:\n  rpc:\n    node.example/v3/CANARY\n   key: a"),
        with("chain:\n  rpc: |\n    node.example/v3/CANARY\n  key_file: a"),
        with(&format!("chain: {{rpc: a, rpc: \"{rpc}\"}}")),
        with("chain: {rpc: &a node.example/v3/CANARY, key_file: *b}"),
        with(&format!("chain: {{<<: \"{rpc}\"}}")),
        with(&format!("listen: {key}")),
        with(&format!("pay_to: {key}")),
        with(&format!("pay_to: \"0x{key}\"")),
        with(&format!("network: {key}")),
        with(&format!("asset: {rpc}")),
        MINIMAL.to_owned() + key,
        format!("{MINIMAL}{key}: a\n"),
        format!("{MINIMAL}key: \"{key}\"\n"),
        format!("{MINIMAL}\"{rpc}\": a\n"),
        with("upstream: http://user:CANARY@host"),
        with("upstream: {url: \"http://user:CANARY@host\"}"),
        with("upstream:\n  url: \"http://user:CANARY@host\""),
        with("upstream: https://user:CANARY@host"),
        with("ledger: postgres://user:CANARY@host /db"),
        with("ledger: redis://:CANARY@hôst"),
        with("ledger: mysql://user:a,CANARY@host"),
        with("ledger: [postgres://user:CANARY@host/db]"),
        with("ledger: {postgres://user:CANARY@host/db: a}"),
        with("ledger: postgres://user:a,CANARY@host/db\nledger: postgres://user:a,CANARY@host/db"),
        "{listen: a, chain: {rpc: node.example/v3/CANARY}}".to_owned(),
        format!("# {rpc}\nlisten: [\n"),
    ] {
        let error = parse(&text).unwrap_err();
        let shown = format!("{error}\n{error:?}");
        assert!(!shown.contains("59c6") && !shown.contains("CANARY"), "{shown}\n{text}");
    }
}

#[test]
fn a_ledger_may_be_in_a_database_whose_url_is_not_shown() {
    let check = |config: &Config, url: &str| {
        let (LedgerConfig::Postgres(found) | LedgerConfig::Redis(found)) = &config.ledger else {
            panic!("{:?}", config.ledger)
        };
        assert_eq!(found.expose(), url);
        assert!(!format!("{config:?}").contains("CANARY"), "{config:?}");
    };
    for url in [
        "postgres://app:CANARY@127.0.0.1:5432/x402?options=-csearch_path%3Dshop",
        "postgresql://app:CANARY@db.example/x402",
        "redis://:CANARY@127.0.0.1/1",
        "rediss://app:CANARY@db.example:6380?prefix=shop:",
    ] {
        let config = parse(&with(&format!("ledger: '{url}'"))).unwrap();
        check(&config, url);
        let is_redis = matches!(config.ledger, LedgerConfig::Redis(_));
        assert_eq!(is_redis, url.starts_with("redis"), "{url}");
        let env = |name: &str| (name == "X402_LEDGER").then(|| url.to_owned());
        check(&Config::parse(MINIMAL, "x402.yaml", env, NO_FLAGS).unwrap(), url);
        let flags = Overrides { ledger: Some(url.to_owned()), ..Overrides::default() };
        check(&Config::parse(MINIMAL, "x402.yaml", |_| None, &flags).unwrap(), url);
        assert!(!format!("{flags:?}").contains("CANARY"));
    }
}

#[test]
fn a_file_is_read_from_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x402.yaml");
    let missing = Config::load(&path, |_| None, NO_FLAGS).unwrap_err();
    assert!(missing.message().starts_with("the file cannot be read: "), "{missing}");
    assert!(missing.to_string().contains("x402.yaml\nhelp: "), "{missing}");
    assert!(Config::load(folder.path(), |_| None, NO_FLAGS).is_err());
    std::fs::write(&path, MINIMAL).unwrap();
    let config = Config::load(&path, |_| None, NO_FLAGS).unwrap();
    assert_eq!(config.ledger, LedgerConfig::File(folder.path().join("./x402.redb")));
    std::fs::write(&path, b"listen: \xff\xfe").unwrap();
    assert!(Config::load(&path, |_| None, NO_FLAGS).is_err());
    std::fs::write(&path, "# ".repeat(1 << 20)).unwrap();
    let error = Config::load(&path, |_| None, NO_FLAGS).unwrap_err();
    assert_eq!(error.message(), "the file is larger than 1 MiB");
}
