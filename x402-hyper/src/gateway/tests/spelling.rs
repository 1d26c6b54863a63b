//! No spelling of a request makes it cheaper.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use x402_std::config::{Config, Overrides};

use super::*;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// Facts of a request with what they may say, as JSON; the first is the cheaper.
const FACTS: [(&str, [&str; 2]); 7] = [
    ("depth", ["1", "50"]),
    ("browser", ["false", "true"]),
    ("query", ["\"a\"", "\"many words\""]),
    ("kind", ["\"small\"", "\"large\""]),
    ("cheap", ["true", "false"]),
    ("max_tokens", ["5", "90000"]),
    ("n", ["1", "7"]),
];

fn priced(on_unknown: &str) -> Router {
    let text = format!(
        r#"
listen: 127.0.0.1:1
upstream: http://127.0.0.1:3000
pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
network: ethereum
asset: USDC
chain: {{rpc: "http://127.0.0.1:8545", key_file: ./settler.key}}
ledger: memory
routes:
  - path: /facts
    pricing:
      model: dynamic
      base_price: 0.01
      on_unknown: {on_unknown}
      multipliers:
        - {{condition: "depth > 10", multiplier: 2}}
        - {{condition: "browser", multiplier: 1.5}}
        - {{condition: "query_length > 5 or kind == 'large'", multiplier: 3}}
        - {{condition: "cheap and not browser", multiplier: 0.5}}
  - path: /tokens
    pricing: {{model: per_token, input_price: 0, output_price: 0.000001, max_price: 10, on_unknown: {on_unknown}}}
"#
    )
    .replace("max_price: 10,", "currency: USDC, max_price: 10,");
    let config = Config::parse(&text, "x402.yaml", |_| None, &Overrides::default());
    Router::from_config(&config.unwrap_or_else(|error| panic!("{error}")))
}

/// A request that is to be priced.
#[derive(Clone, Debug)]
struct Priced {
    query: String,
    types: Vec<&'static str>,
    body: String,
}

impl Priced {
    /// What it costs; `None` where it is refused.
    fn price(&self, router: &Router, path: &str) -> Option<Amount> {
        let request = Request::post(format!("{path}?{}", self.query));
        let request =
            self.types.iter().fold(request, |head, kind| head.header("content-type", *kind));
        let head = request.body(()).unwrap().into_parts().0;
        match router.quote_body(&head, &Bytes::from(self.body.clone())) {
            Quote::Paid(sale) => Some(sale.offers[0].requirements().amount),
            Quote::Unpriced(why) => {
                assert!(!why.is_empty());
                None
            }
            _ => panic!("it has no price"),
        }
    }
}

type Member = (String, String);

fn object(members: &[Member]) -> String {
    let members: Vec<_> =
        members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    format!("{{{}}}", members.join(", "))
}

fn form(members: &[Member], between: &str) -> String {
    let plain = |value: &str| value.trim_matches('"').replace(' ', "+");
    let pairs: Vec<_> =
        members.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect();
    pairs.join(between)
}

fn json(members: &[Member]) -> Priced {
    Priced { query: String::new(), types: vec![JSON], body: object(members) }
}

/// What a buyer, and his upstream, may take for the same request.
#[derive(Clone, Debug)]
enum Variant {
    /// One name in another case, or with a letter that is folded to one of ASCII.
    Case(Index, &'static str),
    /// One member twice, with what is cheaper; before or behind, in another case or not.
    Twice(Index, bool, bool),
    /// Beside one that is `null`.
    Null(Index),
    /// In a list.
    List,
    /// As a form, its parameters parted so, one of them as PHP takes it.
    Form(&'static str, Option<Index>),
    /// A form that says it is JSON, or JSON that says it is something else, or two things, or nothing.
    Types(bool, Vec<&'static str>),
    /// One of them in the query, too, or instead.
    Query(Index, bool),
}

fn variants() -> impl Strategy<Value = Variant> {
    let index = any::<Index>;
    let types = [
        JSON,
        FORM,
        "text/plain",
        "multipart/form-data; boundary=a",
        "",
        "application/json; charset=utf-7",
    ];
    prop_oneof![
        (index(), select(&["upper", "first", "fold"][..]))
            .prop_map(|(at, how)| Variant::Case(at, how)),
        (index(), any::<bool>(), any::<bool>())
            .prop_map(|(at, is_first, is_upper)| Variant::Twice(at, is_first, is_upper)),
        index().prop_map(Variant::Null),
        Just(Variant::List),
        (select(&["&", ";", "&&", "&;"][..]), proptest::option::of(index()))
            .prop_map(|(between, list)| Variant::Form(between, list)),
        (any::<bool>(), proptest::collection::vec(select(types.to_vec()), 0..3))
            .prop_map(|(is_form, types)| Variant::Types(is_form, types)),
        (index(), any::<bool>()).prop_map(|(at, is_only)| Variant::Query(at, is_only)),
    ]
}

fn cheaper(name: &str) -> String {
    let fact = FACTS.iter().find(|(known, _)| *known == name);
    fact.map_or("null", |(_, [cheap, _])| cheap).to_owned()
}

/// In a spelling by which some reader finds the same.
fn respelled(name: &str, how: &str) -> String {
    match how {
        "upper" => name.to_uppercase(),
        "first" => name[..1].to_uppercase() + &name[1..],
        _ => name.replace('k', "\u{212a}").replace('s', "\u{17f}").replace('n', "N"),
    }
}

impl Variant {
    fn of(&self, members: &[Member]) -> Priced {
        let mut members = members.to_vec();
        match self {
            Self::Case(at, how) => {
                let at = at.index(members.len());
                members[at].0 = respelled(&members[at].0, how);
                json(&members)
            }
            Self::Twice(at, is_first, is_upper) => {
                let (name, _) = members[at.index(members.len())].clone();
                let cheap = cheaper(&name);
                let name = if *is_upper { name.to_uppercase() } else { name };
                members.insert(if *is_first { 0 } else { members.len() }, (name, cheap));
                json(&members)
            }
            Self::Null(at) => {
                let (name, _) = members[at.index(members.len())].clone();
                members.push((name.to_uppercase(), "null".into()));
                json(&members)
            }
            Self::List => Priced { body: format!("[{}]", object(&members)), ..json(&members) },
            Self::Form(between, list) => {
                if let Some(at) = list {
                    let at = at.index(members.len());
                    members[at].0.push_str("[]");
                }
                Priced { types: vec![FORM], body: form(&members, between), ..json(&members) }
            }
            Self::Types(is_form, types) => {
                let body = if *is_form { form(&members, "&") } else { object(&members) };
                Priced { types: types.clone(), body, ..json(&members) }
            }
            Self::Query(at, is_only) => {
                let at = at.index(members.len());
                let query = form(&members[at..=at], "&");
                if *is_only {
                    members.remove(at);
                }
                Priced { query, ..json(&members) }
            }
        }
    }
}

/// Some facts, in some order.
fn members() -> impl Strategy<Value = Vec<Member>> {
    let facts = proptest::sample::subsequence(FACTS.to_vec(), 1..=FACTS.len()).prop_shuffle();
    let facts = facts.prop_flat_map(|facts| {
        let values = facts.into_iter().map(|(name, values)| {
            select(values.to_vec()).prop_map(move |value| (name.to_owned(), value.to_owned()))
        });
        values.collect::<Vec<_>>()
    });
    facts.prop_map(|members: Vec<Member>| members)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_spelling_makes_a_request_cheaper(members in members(), variant in variants()) {
        for rule in ["refuse", "highest"] {
            let router = priced(rule);
            for path in ["/facts", "/tokens"] {
                let price = json(&members).price(&router, path).expect("it can be read in one way");
                let spelled = variant.of(&members);
                // What is asked for by the query alone is priced by it, and tokens are not.
                let is_elsewhere = matches!(variant, Variant::Query(_, true)) && path == "/tokens";
                match spelled.price(&router, path) {
                    Some(other) => prop_assert!(other >= price || is_elsewhere, "{spelled:?}: {other:?} < {price:?}"),
                    None => prop_assert_eq!(rule, "refuse", "{:?}", spelled),
                }
            }
        }
    }

    #[test]
    fn what_says_the_same_costs_the_same(members in members(), is_escaped: bool) {
        let router = priced("refuse");
        for path in ["/facts", "/tokens"] {
            let price = json(&members).price(&router, path);
            prop_assert!(price.is_some());
            let mut others = members.clone();
            others.reverse();
            if is_escaped {
                for (name, _) in &mut others {
                    *name = name.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
                }
            }
            prop_assert_eq!(json(&others).price(&router, path), price);
            let untyped = Priced { types: vec![], ..json(&members) };
            prop_assert_eq!(untyped.price(&router, path), price);
            let form = Priced { types: vec![FORM], body: form(&members, "&"), ..json(&members) };
            prop_assert_eq!(form.price(&router, path), price);
        }
    }
}

#[test]
fn by_the_rule_base_what_is_not_read_is_not_there() {
    let router = priced("base");
    let price = |query: &str, body: &str| {
        let request = Priced { query: query.into(), types: vec!["image/png"], body: body.into() };
        request.price(&router, "/facts").map(|amount| amount.to_price(6).to_string())
    };
    assert_eq!(price("", "GIF89a").as_deref(), Some("0.01"));
    assert_eq!(price("depth=50", "GIF89a").as_deref(), Some("0.02"));
    assert_eq!(price("depth=50&Depth=50", "GIF89a").as_deref(), Some("0.01"));
    let tokens = Priced { query: String::new(), types: vec!["image/png"], body: "GIF89a".into() };
    let amount = tokens.price(&router, "/tokens").map(|amount| amount.to_price(6).to_string());
    assert_eq!(amount.as_deref(), Some("0.004096"));
}

#[test]
fn a_refusal_names_the_fact_and_says_what_to_do() {
    let router = priced("refuse");
    for (kind, body, words) in [
        (JSON, r#"{"depth": 1, "Depth": 50}"#, ["`depth` can be read in two ways", "send it once"]),
        ("image/png", "GIF89a", ["`depth` is not known", "send JSON as application/json"]),
        (JSON, r#"[{"depth": 50}]"#, ["`depth` is not known", "no object"]),
        (JSON, r#"{"depth": "50"}"#, ["`depth > 10` is of another kind", "price depends on"]),
    ] {
        let head = Request::post("/facts").header("content-type", kind).body(()).unwrap();
        let head = head.into_parts().0;
        let Quote::Unpriced(why) = router.quote_body(&head, &Bytes::from(body)) else {
            panic!("{body}")
        };
        assert!(words.iter().all(|word| why.contains(word)), "{why}");
    }
}
