//! Other chains, other ways to pay, other people's facilitators; and a facilitator's own file.

use super::*;
use crate::facilitator::Kind;

const OFFERS: &str = "  - path: /a
    pricing: {model: per_request, amount: '0.01', currency: USDC}
    description: A thing
    mime_type: text/plain
    discoverable: true
    offers:
      - {asset: EURC, amount: '0.009'}
      - {amount: '0.011', transfer: permit2}
      - {network: base, asset: USDC, amount: '0.008'}
    payment_identifier: required";

#[test]
fn a_route_has_several_offers_each_with_its_own_price() {
    let chains = "chains: [{network: base, rpc: 'http://127.0.0.1:9545', key_file: ./base.key}]";
    let text = format!("{}{chains}\n", with_routes(OFFERS));
    let config = parse(&text).unwrap();
    let route = &config.routes[0];
    let offers: Vec<_> = route
        .offers
        .iter()
        .map(|offer| {
            (offer.asset.symbol.as_str(), offer.asset.chain_id, offer.amount, offer.permit2)
        })
        .collect();
    let units = Amount::from_units;
    assert_eq!(
        offers,
        [
            ("EURC", ChainId::ETHEREUM, units(9_000), false),
            ("USDC", ChainId::ETHEREUM, units(11_000), true),
            ("USDC", ChainId::BASE, units(8_000), false),
        ]
    );
    assert_eq!(route.description.as_deref(), Some("A thing"));
    assert_eq!((route.mime_type.as_deref(), route.discoverable), (Some("text/plain"), true));
    assert_eq!(route.payment_identifier, Some(IdentifierRule::Required));
    let [(chain_id, chain)] = &config.chains[..] else { panic!("{:?}", config.chains) };
    assert_eq!((*chain_id, chain.rpc.expose()), (ChainId::BASE, "http://127.0.0.1:9545"));
    assert!(matches!(&chain.key, KeySource::File(path) if path == Path::new("shop/./base.key")));
}

#[test]
fn what_settling_may_cost_is_said_in_gwei_and_in_the_chains_coin() {
    let chains = "chains: [{network: base, rpc: 'http://127.0.0.1:9545', key_file: ./base.key, max_fee_per_gas: 2, max_gas_cost: 0.0001}]";
    let text = format!("{}{chains}\n", with_routes(OFFERS));
    let text =
        text.replacen("key_file:", "max_fee_per_gas: 0.5, max_gas_cost: 0.001, key_file:", 1);
    let config = parse(&text).unwrap();
    assert_eq!(config.chain.unwrap().costs, costs(500_000_000, 1_000_000_000_000_000));
    assert_eq!(config.chains[0].1.costs, costs(2_000_000_000, 100_000_000_000_000));
    for (key, wrong, why) in [
        ("max_fee_per_gas", "0", "is no price of gas: write a number of gwei: 0.5"),
        ("max_fee_per_gas", "0.0000000001", "is no price of gas"),
        ("max_gas_cost", "0", "is no cost of gas: write a number of the chain's coin"),
        ("max_gas_cost", "0.001 ether", "is no cost of gas"),
        ("max_gas_cost", "-1", "is no cost of gas"),
        ("max_gas_cost", "1e9", "is no cost of gas"),
    ] {
        let file = MINIMAL.replace("key_file:", &format!("{key}: {wrong}, key_file:"));
        let error = parse(&file).unwrap_err();
        let text = error.to_string();
        assert!(error.line().is_some() && text.contains(wrong), "{text}");
        for part in why.split(": ") {
            assert!(text.contains(part), "{text}: {part}");
        }
    }
}

const fn costs(fee: u128, cost: u128) -> Costs {
    Costs { max_fee_per_gas: Some(fee), max_gas_cost: Some(cost) }
}

#[test]
fn an_identifier_is_optional_or_required() {
    let routes = with_routes(&OFFERS.replace("required", "require"));
    let error =
        parse(&format!("facilitator: https://f.example\n{routes}")).unwrap_err().to_string();
    assert!(error.contains("did you mean `required`? There are: optional, required"), "{error}");
}

#[test]
fn an_offer_needs_a_chain_or_a_facilitator() {
    let error = parse(&with_routes(OFFERS)).unwrap_err().to_string();
    assert!(error.contains("there is no chain for the offer's network, eip155:8453"), "{error}");
    let remote = format!("facilitator: https://f.example\n{}", with_routes(OFFERS));
    assert_eq!(parse(&remote).unwrap().routes[0].offers.len(), 3);
    for (offer, word) in [
        ("{amount: '0', asset: EURC}", "zero"),
        ("{amount: '0,01'}", "no price"),
        ("{amount: '0.0000001'}", "decimals"),
        ("{amount: '1', transfer: eip2612}", "eip3009, permit2"),
        ("{amount: '1', network: solana}", "network"),
        ("{amount: '1', asset: DOGE}", "DOGE"),
        ("{amount: '1', ammount: '1'}", "ammount"),
        ("{asset: EURC}", "amount"),
    ] {
        let text = OFFERS.replace("{asset: EURC, amount: '0.009'}", offer);
        let error = parse(&with_routes(&text)).unwrap_err();
        assert!(error.to_string().contains(word) && error.line() == Some(15), "{error}");
    }
    let confirmed = format!(
        "facilitator: {{url: 'https://f.example', confirm: chain}}\n{}",
        with_routes(OFFERS)
    );
    assert!(parse(&confirmed).is_err(), "nobody could confirm what is on base");
    for twice in ["{amount: '0.02'}", "{asset: EURC, amount: '0.1'}, {asset: EURC, amount: '0.2'}"]
    {
        let text = format!(
            "  - {{path: /a, pricing: {{model: per_request, amount: '0.01', currency: USDC}}, offers: [{twice}]}}"
        );
        let error = parse(&with_routes(&text)).unwrap_err().to_string();
        assert!(error.contains("already"), "{error}");
    }
    let free = "  - {path: /a, pricing: free, offers: [{amount: '1'}]}";
    assert!(parse(&with_routes(free)).is_err());
}

#[test]
fn a_facilitator_is_local_or_somewhere_else() {
    assert_eq!(parse(MINIMAL).unwrap().facilitator, FacilitatorChoice::Local);
    let with = |value: &str| parse(&format!("{MINIMAL}facilitator: {value}\n"));
    assert_eq!(with("local").unwrap().facilitator, FacilitatorChoice::Local);
    let remote = |url: &str, token_file: Option<&str>, confirm| FacilitatorChoice::Remote {
        url: url.into(),
        token_file: token_file.map(Into::into),
        confirm,
    };
    let config = with("https://f.example/x402/").unwrap();
    assert_eq!(config.facilitator, remote("https://f.example/x402", None, false));
    let config = with("'http://[::1]:4022'").unwrap();
    assert_eq!(config.facilitator, remote("http://[::1]:4022", None, false));
    let config = with("{url: 'http://127.0.0.1:4022', token_file: ./t, confirm: chain}").unwrap();
    assert_eq!(config.facilitator, remote("http://127.0.0.1:4022", Some("shop/./t"), true));
    for (value, word) in [
        ("http://f.example", "https only"),
        ("http://127.0.0.1.f.example", "https only"),
        ("'http://[::1].f.example'", "https only"),
        ("https://", "neither local nor a URL"),
        ("remote", "neither local nor a URL"),
        ("'https://user:secret@f.example'", "has a user"),
        ("'https://f.example/?key=secret'", "has a user, a query"),
        ("{url: 'https://f.example', confirm: yes}", "confirmation"),
        ("{uri: 'https://f.example'}", "uri"),
        ("[https://f.example]", "local, a URL"),
    ] {
        let error = with(value).unwrap_err().to_string();
        assert!(error.contains(word), "{value}: {error}");
    }
}

#[test]
fn without_a_chain_of_its_own_a_seller_needs_a_facilitator() {
    let text: String = MINIMAL
        .lines()
        .filter(|line| !line.starts_with("chain"))
        .fold(String::new(), |text, line| text + line + "\n");
    assert!(parse(&text).is_err());
    let remote = format!("{text}facilitator: https://f.example\n");
    assert!(parse(&remote).unwrap().chain.is_none());
    let confirmed = format!("{text}facilitator: {{url: 'https://f.example', confirm: chain}}\n");
    assert!(parse(&confirmed).is_err());
}

#[test]
fn a_chain_is_given_once() {
    let chain = |network: &str| format!("{{network: {network}, rpc: 'http://a', key_file: k}}");
    let with = |chains: &str| parse(&format!("{MINIMAL}chains: [{chains}]\n"));
    assert!(with(&chain("base")).is_ok());
    for twice in [chain("ethereum"), format!("{}, {}", chain("base"), chain("eip155:8453"))] {
        let error = with(&twice).unwrap_err().to_string();
        assert!(error.contains("is given twice"), "{error}");
    }
    let served = FACILITATOR.split_once("  - ").unwrap().1;
    let error = facilitator(&format!("{FACILITATOR}  - {served}")).unwrap_err().to_string();
    assert!(error.contains("is given twice"), "{error}");
}

#[test]
fn flags_of_the_seller_are_checked() {
    let with = |line: &str| parse(&format!("{MINIMAL}{line}\n"));
    assert!(with("contract_wallets: true").unwrap().contract_wallets);
    assert_eq!(parse(MINIMAL).unwrap().chain.unwrap().confirmations, 1);
    let deep = MINIMAL.replace("key_file:", "confirmations: 12, key_file:");
    assert_eq!(parse(&deep).unwrap().chain.unwrap().confirmations, 12);
    for wrong in ["0", "-1", "+1", "1.5", "many", "86401"] {
        let file = MINIMAL.replace("key_file:", &format!("confirmations: {wrong}, key_file:"));
        let error = parse(&file).unwrap_err().to_string();
        assert!(error.contains("is no number of blocks"), "{error}");
    }
    for (key, right, wrong) in [("finality", "0", "-1"), ("log_range", "1000", "0")] {
        let of = |value: &str| {
            parse(&MINIMAL.replace("key_file:", &format!("{key}: {value}, key_file:")))
        };
        let chain = of(right).unwrap().chain.unwrap();
        let read = if key == "finality" { chain.finality } else { chain.log_range };
        assert_eq!(read, Some(right.parse().unwrap()));
        let error = of(wrong).unwrap_err().to_string();
        assert!(error.contains("is no number of blocks"), "{error}");
    }
    let chain = parse(MINIMAL).unwrap().chain.unwrap();
    assert_eq!((chain.finality, chain.log_range, chain.costs), (None, None, Costs::default()));
    assert!(!parse(MINIMAL).unwrap().contract_wallets);
    let factory = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
    let lines = format!("contract_wallets: true\nwallet_factories: ['{factory}']");
    let factories = with(&lines).unwrap().wallet_factories;
    assert_eq!(factories, [Address::parse(factory).unwrap()]);
    assert!(parse(MINIMAL).unwrap().wallet_factories.is_empty());
    let alone = with(&format!("wallet_factories: ['{factory}']")).unwrap_err().to_string();
    assert!(alone.contains("add `contract_wallets: true`"), "{alone}");
    let short = with("contract_wallets: true\nwallet_factories: ['0x12']").unwrap_err().to_string();
    assert!(short.contains("is no address"), "{short}");
    let url = with("public_url: https://api.example.com/").unwrap().public_url;
    assert_eq!(url.as_deref(), Some("https://api.example.com"));
    for line in ["contract_wallets: yes", "contract_wallets: 1", "public_url: api.example.com"] {
        assert!(with(line).is_err(), "{line}");
    }
}

#[test]
fn a_chain_may_have_several_nodes() {
    let one = "http://127.0.0.1:8545";
    let of = |list: &str| parse(&MINIMAL.replace(&format!("\"{one}\""), list));
    let urls = |config: Config| {
        let chain = config.chain.unwrap();
        let all = core::iter::once(&chain.rpc).chain(&chain.other_rpcs);
        all.map(|url| url.expose().to_owned()).collect::<Vec<_>>()
    };
    let two = of(&format!("[\"{one}\", 'https://b.example/key']")).unwrap();
    let shown = format!("{two:?}");
    assert!(!shown.contains("b.example"), "{shown}");
    assert_eq!(urls(two), [one, "https://b.example/key"]);
    assert_eq!(urls(of(&format!("[\"{one}\"]")).unwrap()), [one]);
    // The variable is one node, in place of all.
    let two = MINIMAL.replace(&format!("\"{one}\""), &format!("[\"{one}\", 'https://b.example']"));
    let variable = |name: &str| (name == "X402_RPC").then(|| "http://c".to_owned());
    let config = Config::parse(&two, "x402.yaml", variable, &Overrides::default()).unwrap();
    assert_eq!(urls(config), ["http://c"]);
    for (list, word) in [
        ("[]", "the list of nodes is empty"),
        ("['https://a', b.example/CANARY]", "chain.rpc is not a URL"),
        ("[['https://a/CANARY']]", ""),
        ("{url: 'https://a/CANARY'}", ""),
    ] {
        let error = of(list).unwrap_err().to_string();
        assert!(error.contains(word) && !error.contains("CANARY"), "{list}: {error}");
    }
    let several = FACILITATOR.replace("rpc: http", "rpc: ['https://a.example', 'https://b'] #");
    let chain = &facilitator(&several).unwrap().chains[0].chain;
    assert_eq!((chain.rpc.expose(), chain.other_rpcs.len()), ("https://a.example", 1));
}

const FACILITATOR: &str = "listen: 127.0.0.1:4022
ledger: ./facilitator.redb
chains:
  - network: base-sepolia
    rpc: http://127.0.0.1:8545
    key_file: ./settler.key
    assets: [USDC]
";

fn facilitator(text: &str) -> Result<FacilitatorConfig, ConfigError> {
    FacilitatorConfig::parse(text, "f/facilitator.yaml")
}

#[test]
fn the_minimal_file_of_a_facilitator_means_what_it_says() {
    let config = facilitator(FACILITATOR).unwrap();
    assert_eq!(config.ledger, LedgerConfig::File("f/./facilitator.redb".into()));
    assert!(config.token_file.is_none() && !config.contract_wallets);
    let wallets = facilitator(&format!("{FACILITATOR}contract_wallets: true\n")).unwrap();
    assert!(wallets.contract_wallets);
    let [chain] = &config.chains[..] else { panic!("{config:?}") };
    assert_eq!(chain.chain_id, ChainId::parse("base-sepolia").unwrap());
    assert_eq!((chain.assets.len(), &chain.kinds[..]), (1, &[Kind::Eip3009][..]));
    assert_eq!((chain.chain.costs.max_fee_per_gas, config.max_batch), (None, 100));
    let single = facilitator(&format!("{FACILITATOR}max_batch: 1\n")).unwrap();
    assert_eq!(single.max_batch, 1);
    let more =
        "    kinds: [exact, permit2, upto]\n    max_fee_per_gas: 0.5\n    max_gas_cost: 0.001\n";
    let config = facilitator(&format!("{FACILITATOR}{more}token_file: ./t\n")).unwrap();
    assert_eq!(config.chains[0].kinds, [Kind::Eip3009, Kind::Permit2, Kind::Upto]);
    assert_eq!(config.chains[0].chain.costs, costs(500_000_000, 1_000_000_000_000_000));
    assert_eq!(config.token_file.as_deref(), Some(Path::new("f/./t")));
}

#[test]
fn a_facilitator_that_others_reach_needs_a_token() {
    let open = FACILITATOR.replace("127.0.0.1:4022", "0.0.0.0:4022");
    let error = facilitator(&open).unwrap_err();
    assert!(error.to_string().contains("token_file") && error.line() == Some(1), "{error}");
    assert!(facilitator(&format!("{open}token_file: ./t\n")).is_ok());
    for (from, to, word) in [
        ("assets: [USDC]", "assets: []", "assets"),
        ("assets: [USDC]", "assets: [DOGE]", "DOGE"),
        ("assets: [USDC]", "assets: [USDC]\n    kinds: []", "kinds"),
        ("assets: [USDC]", "assets: [USDC]\n    kinds: [exakt]", "exakt"),
        ("assets: [USDC]", "assets: [USDC]\n    max_fee_per_gas: many", "gas"),
        ("assets: [USDC]", "assets: [USDC]\n    max_gas_cost: -1", "is no cost of gas"),
        ("listen: 127.0.0.1:4022\n", "", "`listen` is missing"),
        ("ledger: ./facilitator.redb\n", "", "`ledger` is missing"),
        ("chains:", "chain:", "chain"),
        ("chains:", "max_batch: 0\nchains:", "from 1 to 100"),
        ("chains:", "max_batch: 101\nchains:", "from 1 to 100"),
        ("rpc: http://127.0.0.1:8545", "rpc: ftp://x", "chain.rpc"),
    ] {
        let error = facilitator(&FACILITATOR.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(word), "{to}: {error}");
    }
}

#[test]
fn what_is_settled_later_has_limits() {
    let with = |line: &str| parse(&format!("{MINIMAL}\n{line}\n"));
    let later = with("later: {max_batch: 7, max_delay: 0, max_owed: 0.5}").unwrap().later;
    assert_eq!((later.max_batch, later.max_delay.as_secs()), (7, 0));
    let usdc = OwnedAsset::from(Asset::find(ChainId::ETHEREUM, "USDC").unwrap());
    let most = later.of_assets(core::slice::from_ref(&usdc)).max_owed;
    assert_eq!(most, [(usdc.chain_id, usdc.address, Amount::from_units(500_000))]);
    // As README has it.
    let shown = with("later: {max_batch: 100, max_delay: 2, max_owed: \"1\"}").unwrap().later;
    let usual = with("").unwrap().later;
    assert_eq!(format!("{shown:?}"), format!("{usual:?}"));
    for (line, word) in [
        ("later: {max_batch: 0}", "from 1 to 100"),
        ("later: {max_batch: 101}", "from 1 to 100"),
        ("later: {max_delay: 61}", "from 0 to 60"),
        ("later: {max_delay: +1}", "from 0 to 60"),
        ("later: {max_owed: -1}", "is no price"),
        ("later: {max_debt: 1}", "max_batch"),
        ("metrics: nowhere", ""),
    ] {
        let error = with(line).unwrap_err().to_string();
        assert!(error.contains(word), "{line}: {error}");
    }
    assert_eq!(with("metrics: 127.0.0.1:9402").unwrap().metrics, "127.0.0.1:9402".parse().ok());
}

#[test]
fn a_request_has_the_route_that_the_gateway_would_take() {
    let routes = "  - {path: /a/b, methods: [POST], pricing: free}\n  - {path: /a/b, methods: [GET], pricing: free}\n  - {path: /a/*, pricing: free}";
    let config = parse(&with_routes(routes)).unwrap();
    let found = |method, path| {
        let route = config.route(method, path)?;
        config.routes.iter().position(|one| core::ptr::eq(one, route))
    };
    assert_eq!(found("POST", "/a/b"), Some(0));
    assert_eq!((found("GET", "/a/b"), found("HEAD", "/a/b")), (Some(1), Some(1)));
    assert_eq!(found("PUT", "/a/b"), None, "405, and not the wider path");
    assert_eq!((found("PUT", "/a/c"), found("GET", "/b")), (Some(2), None));
}
