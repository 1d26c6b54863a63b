//! What is wrong with a file is said at its line.

use super::*;

/// A file, the line of what is wrong with it, and a part of what is said about it.
pub(super) fn expect(text: &str, line: u64, word: &str) {
    let error = match parse(text) {
        Ok(_) => panic!("it was taken: {word}\n{text}"),
        Err(error) => error,
    };
    let shown = error.to_string();
    assert!(shown.contains(word), "not {word:?} in:\n{shown}");
    assert_eq!(error.line(), Some(line), "{shown}");
    assert!(shown.starts_with("error: ") && shown.contains("\nhelp: "), "{shown}");
    assert!(shown.contains(&format!("\n  at: shop/x402.yaml:{line}:")), "{shown}");
    assert!(shown.lines().count() <= 5 && shown.lines().all(|line| line.len() < 400), "{shown}");
}

#[test]
fn an_error_shows_what_where_and_what_to_do() {
    let text = MINIMAL.replace("currency:", "curency:");
    assert_eq!(
        parse(&text).unwrap_err().to_string(),
        "error: unknown key `curency`
  at: shop/x402.yaml:12:53
  12 |     pricing: {model: \"per_request\", amount: \"0.01\", curency: \"USDC\"}
     |                                                     ^
help: did you mean `currency`? There are: model, amount, currency, input_price, output_price, \
         minimum_minutes, max_output_tokens, usage, include_usage, upto, base_price, multipliers, min_price, max_price, on_unknown"
    );
}

macro_rules! members {
    ($($name:ident: $text:expr, $line:expr, $word:expr;)*) => {$(
        #[test]
        fn $name() {
            expect(&with($text), $line, $word);
        }
    )*};
}

members! {
    listen_without_port: "listen: 127.0.0.1", 1, "not an address and a port";
    listen_without_host: "listen: \":4021\"", 1, "127.0.0.1:4021";
    listen_by_name: "listen: localhost:4021", 1, "IP address";
    listen_with_a_port_too_large: "listen: 127.0.0.1:70000", 1, "not an address";
    listen_as_a_list: "listen: [a]", 1, "";
    listen_twice: "listen: 127.0.0.1:1\nlisten: 127.0.0.1:1", 2, "`listen` is given twice";
    upstream_over_tls: "upstream: https://example.com", 2, "plain http only";
    upstream_without_scheme: "upstream: 127.0.0.1:3000", 2, "plain http only";
    upstream_without_host: "upstream: http://", 2, "host or port";
    upstream_with_a_bad_port: "upstream: http://a:0", 2, "host or port";
    upstream_with_a_port_too_large: "upstream: http://a:65536", 2, "host or port";
    upstream_with_an_empty_port: "upstream: \"http://a:\"", 2, "host or port";
    upstream_with_a_user: "upstream: http://u:p@a", 2, "has no `@`";
    upstream_with_a_query: "upstream: http://a/?x", 2, "has no `?`";
    upstream_that_is_itself: "upstream: http://127.0.0.1:4021/v1", 2, "listens on";
    pay_to_with_a_wrong_checksum: "pay_to: \"0x209693bc6afc0C5328bA36FaF03C514EF312287C\"", 3, "checksum";
    pay_to_too_short: "pay_to: \"0x209693Bc6afc0C5328bA36FaF03C514EF31228\"", 3, "40 digits";
    pay_to_without_prefix: "pay_to: 209693Bc6afc0C5328bA36FaF03C514EF312287C", 3, "0x";
    pay_to_by_name: "pay_to: vitalik.eth", 3, "0x";
    pay_to_nobody: "pay_to: \"0x0000000000000000000000000000000000000000\"", 3, "zero address";
    pay_to_the_token: "pay_to: \"0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48\"", 3, "contract of a token";
    network_misspelt: "network: etherium", 4, "did you mean `ethereum`?";
    network_of_another_case: "network: Base", 4, "did you mean `base`?";
    network_by_number: "network: 1", 4, "unknown network `1`";
    network_of_another_namespace: "network: solana:devnet", 4, "eip155";
    network_with_a_bad_id: "network: eip155:01", 4, "chain id";
    asset_unknown: "asset: USDT", 5, "did you mean `USDC`? There are: EURC, USDC";
    asset_of_another_case: "asset: usdc", 5, "did you mean `USDC`?";
    asset_of_another_network: "asset: USDT0", 5, "unknown asset on eip155:1";
    asset_as_a_number: "asset: 5", 5, "expected a symbol";
    asset_without_decimals: "asset: {address: '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed', name: A, version: 1}", 5, "`decimals` is missing";
    asset_with_a_member_misspelt: "asset: {adress: '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed'}", 5, "did you mean `address`?";
    asset_with_bad_decimals: "asset: {address: '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed', name: A, version: 1, decimals: 78}", 5, "0 to 77";
    asset_with_negative_decimals: "asset: {address: '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed', name: A, version: 1, decimals: -6}", 5, "0 to 77";
    asset_nowhere: "asset: {address: '0x0000000000000000000000000000000000000000', name: A, version: 1, decimals: 6}", 5, "zero address";
    asset_without_a_symbol: "asset: {address: '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed', name: My Coin, version: 1, decimals: 6}", 5, "symbol: EURC";
    asset_with_decimals_of_another: "asset: {address: '0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48', name: USD Coin, version: 2, decimals: 18}", 5, "it is 6";
    asset_with_a_name_of_another: "asset: {address: '0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48', name: USDC, version: 2, decimals: 6}", 5, "it is USD Coin";
    chain_as_a_text: "chain: http://127.0.0.1:8545", 6, "";
    chain_with_a_key: "chain: {rpc: 'http://a', key: a}", 6, "did you mean `key_file`?";
    chain_without_a_url: "chain: {rpc: 127.0.0.1, key_file: a}", 6, "chain.rpc is not a URL";
    chain_over_a_web_socket: "chain: {rpc: 'ws://a', key_file: a}", 6, "http or https";
    ledger_in_postgres_nowhere: "ledger: 'postgres://'", 7, "the ledger's URL is malformed";
    ledger_in_redis_with_a_blank: "ledger: 'redis://a b'", 7, "it is not repeated here";
    ledger_of_another_kind: "ledger: s3://a", 7, "unknown kind";
    ledger_empty: "ledger: ''", 7, "empty";
    default_misspelt: "default: notfound", 14, "did you mean `not_found`?";
    a_key_misspelt: "default: free\nlistn: a", 15, "did you mean `listen`?";
    a_key_unknown: "default: free\ncurrency: a", 15, "unknown key `currency`";
    brackets_open: "chain: {rpc: 'http://a', key_file: a\nledger: [", 7, "did not find expected";
    a_second_document: "default: free\n---\na: b", 16, "more than one document";
    an_alias_of_nothing: "ledger: *a", 7, "";
    a_tab: "chain:\n\trpc: a", 7, "tab";
}

macro_rules! routes {
    ($($name:ident: $text:expr, $line:expr, $word:expr;)*) => {$(
        #[test]
        fn $name() {
            expect(&with_routes($text), $line, $word);
        }
    )*};
}

// The first line of the routes is the 9th of the file.
routes! {
    no_routes: "  []", 9, "`routes` is missing or empty";
    routes_as_a_map: "  /a: free", 9, "";
    path_missing: "  - {pricing: free}", 9, "`path` is missing";
    path_without_slash: "  - {path: a, pricing: free}", 9, "begins with a slash";
    path_empty: "  - {path: '', pricing: free}", 9, "begins with a slash";
    path_as_a_url: "  - {path: 'http://a/b', pricing: free}", 9, "begins with a slash";
    path_with_a_star_inside: "  - {path: /a/*/b, pricing: free}", 9, "`*`";
    path_with_a_star_in_a_word: "  - {path: /a*, pricing: free}", 9, "/api/*";
    path_with_two_stars: "  - {path: /a/**, pricing: free}", 9, "`*`";
    path_with_a_parameter: "  - {path: '/a/{id}', pricing: free}", 9, "which no path has";
    path_with_a_query: "  - {path: '/a?b', pricing: free}", 9, "`?`";
    path_with_a_blank: "  - {path: '/a b', pricing: free}", 9, "%XX";
    path_with_a_letter_beyond_ascii: "  - {path: /é, pricing: free}", 9, "%XX";
    path_with_dots: "  - {path: /a/../b, pricing: free}", 9, "no request would match";
    path_with_two_slashes: "  - {path: //a, pricing: free}", 9, "empty part";
    method_of_lower_case: "  - {path: /a, methods: [post], pricing: free}", 9, "did you mean `POST`?";
    method_unknown: "  - {path: /a, methods: [GET, FETCH], pricing: free}", 9, "unknown method `FETCH`";
    method_as_a_text: "  - {path: /a, methods: POST, pricing: free}", 9, "";
    method_twice: "  - {path: /a, methods: [GET, GET], pricing: free}", 9, "named twice";
    methods_empty: "  - {path: /a, methods: [], pricing: free}", 9, "leave `methods` out";
    settle_unknown: "  - {path: /b, settle: frist, pricing: free}", 9, "did you mean `first`?";
    timeout_with_a_unit: "  - {path: /b, timeout: 60s, pricing: free}", 9, "whole number of seconds";
    timeout_zero: "  - {path: /b, timeout: 0, pricing: free}", 9, "from 10 to 86400";
    timeout_negative: "  - {path: /b, timeout: -60, pricing: free}", 9, "not a timeout";
    pricing_missing: "  - path: /a", 9, "`pricing` is missing";
    pricing_misspelt: "  - {path: /a, pricing: fre}", 9, "did you mean `free`?";
    pricing_as_a_number: "  - {path: /a, pricing: 0.01}", 9, "the word free";
    pricing_without_a_model: "  - {path: /a, pricing: {amount: 1, currency: USDC}}", 9, "`model` is missing";
    model_misspelt: "  - {path: /a, pricing: {model: per_requst, amount: 1, currency: USDC}}", 9, "did you mean `per_request`?";
    model_with_members_of_another: "  - {path: /a, pricing: {model: per_request, amount: 1, currency: USDC, base_price: 1}}", 9, "no member of the pricing model per_request";
    model_without_an_amount: "  - path: /a\n    pricing:\n      model: per_request\n      currency: USDC", 11, "`amount` is missing";
    model_without_a_currency: "  - {path: /a, pricing: {model: per_request, amount: 1}}", 9, "`currency` is missing";
    model_to_come_with_a_member_misspelt: "  - {path: /a, pricing: {model: per_token, input_prize: 1}}", 9, "did you mean `input_price`?";
    condition_misspelt: "  - path: /a\n    pricing:\n      model: dynamic\n      base_price: 1\n      multipliers:\n        - {condition: 'body_lenght > 10', multiplier: 2}", 14, "did you mean `body_length`?";
    condition_broken: "  - path: /a\n    pricing:\n      model: dynamic\n      base_price: 1\n      multipliers:\n        - {condition: 'a and', multiplier: 2}", 14, "in the condition";
    multiplier_of_zero: "  - path: /a\n    pricing:\n      model: dynamic\n      base_price: 1\n      multipliers:\n        - {condition: a, multiplier: 0}", 14, "is no multiplier";
    bounds_crossed: "  - path: /a\n    pricing: {model: per_token, input_price: 1, output_price: 1, currency: USDC, min_price: 2, max_price: 1}", 10, "cannot be paid";
    fact_of_no_kind: "  - path: /a\n    facts: {n: integer}\n    pricing: free", 10, "kind of fact";
    fixed_offer_beside_a_price_that_varies: "  - path: /a\n    pricing: {model: per_token, input_price: 1, output_price: 1, currency: USDC}\n    offers: [{asset: EURC, amount: '0.009'}]", 11, "one price for all requests";
    multiplier_misspelt: "  - {path: /a, pricing: {model: dynamic, base_price: 1, multipliers: [{conditon: a}]}}", 9, "did you mean `condition`?";
    price_zero: "  - {path: /a, pricing: {model: per_request, amount: 0.00, currency: USDC}}", 9, "pricing: free";
    price_negative: "  - {path: /a, pricing: {model: per_request, amount: -0.01, currency: USDC}}", 9, "no price";
    price_with_a_sign: "  - {path: /a, pricing: {model: per_request, amount: $0.01, currency: USDC}}", 9, "without the sign";
    price_too_fine: "  - path: /a\n    pricing:\n      model: per_request\n      amount: 0.0000001\n      currency: USDC", 12, "USDC has 6 decimals";
    price_too_large: "  - {path: /a, pricing: {model: per_request, amount: 115792089237316195423570985008687907853269984665640564039457584007913129.639936, currency: USDC}}", 9, "2^256";
    price_twice: "  - {path: /a, pricing: {model: per_request, amount: 1, amount: 2, currency: USDC}}", 9, "`amount` is given twice";
    price_as_a_list: "  - {path: /a, pricing: {model: per_request, amount: [1], currency: USDC}}", 9, "";
    currency_of_another_asset: "  - {path: /a, pricing: {model: per_request, amount: 1, currency: EURC}}", 9, "write `currency: USDC`";
    currency_of_another_case: "  - {path: /a, pricing: {model: per_request, amount: 1, currency: usdc}}", 9, "not the asset, USDC";
    route_twice: "  - {path: /a, pricing: free}\n  - {path: /a, pricing: free}", 10, "priced already, in line 9";
    route_twice_for_one_method: "  - {path: /a, methods: [GET, POST], pricing: free}\n  - {path: /a, methods: [PUT, POST], pricing: free}", 10, "POST of this path is priced already, in line 9";
    route_twice_as_head: "  - {path: /a, methods: [GET], pricing: free}\n  - {path: /a, methods: [HEAD], pricing: free}", 10, "line 9";
    route_shadowed: "  - {path: /a/*, pricing: free}\n  - {path: /b, pricing: free}\n  - {path: /a/b, methods: [GET], pricing: free}", 11, "GET of this path is taken by the wider path in line 9";
    route_shadowed_by_a_wider_one: "  - {path: /*, pricing: free}\n  - {path: /a/*, pricing: free}", 10, "wider path in line 9";
}

#[test]
fn routes_that_do_not_meet_are_taken() {
    for routes in [
        "  - {path: /a, methods: [GET], pricing: free}\n  - {path: /a, methods: [POST], pricing: free}",
        "  - {path: /a, pricing: free}\n  - {path: /a/, pricing: free}\n  - {path: /a/*, pricing: free}",
        "  - {path: /a/b, pricing: free}\n  - {path: /a/*, pricing: free}\n  - {path: /*, pricing: free}",
        "  - {path: /a/*, pricing: free}\n  - {path: /ab, pricing: free}",
    ] {
        if let Err(error) = parse(&with_routes(routes)) {
            panic!("{error}");
        }
    }
}

#[test]
fn a_file_with_nothing_in_it_is_an_error() {
    for text in ["", "\n", "# nothing\n", "---\n", "null\n", "~", "[]", "text", "5"] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with("error: ") && error.contains("\nhelp: "), "{error}");
    }
}

/// Names that stand for names that stand for names: the file must not grow while it is read.
#[test]
fn aliases_do_not_blow_up() {
    let mut text = String::from("listen: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let alias = format!("*a{}, ", level - 1).repeat(9);
        text += &format!("k{level}: &a{level} [{}]\n", alias.trim_end_matches(", "));
    }
    let start = std::time::Instant::now();
    assert!(parse(&text).is_err());
    let routes = format!("{text}routes: *a11\n").replace("listen", "default");
    assert!(parse(&routes).is_err());
    assert!(start.elapsed() < std::time::Duration::from_secs(2));
}
