//! Several gateways before one wallet, with one ledger on a server that tests/run has started.

use std::collections::HashMap;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use crate::process::{Running, run_with};
use crate::seller::{
    Chain, PAY_TO, SETTLER_KEY, Scripted, answer, config, exchange, payment, try_exchange,
};

/// Accounts 2 and 3 of the development mnemonic: each gateway pays the gas with a key of its own.
const SECOND_KEY: &str = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";
const SETTLERS: [&str; 2] =
    ["0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"];

/// A chain, an upstream, and two gateways with one ledger.
struct Shops {
    gateways: [Running; 2],
    addresses: [String; 2],
    upstream: Scripted,
    chain: Chain,
    _folder: tempfile::TempDir,
}

impl Shops {
    fn open(ledger: &str) -> Self {
        let chain = Chain::start();
        // Slow enough for all the others to come while it works.
        let upstream = Scripted::start(|_, count| {
            std::thread::sleep(Duration::from_millis(300));
            answer("200 OK", "", &format!("served {count}"))
        });
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), chain.address, upstream.address);
        let args = ["serve", "--config", config.to_str().unwrap()];
        let mut gateways = [SETTLER_KEY, SECOND_KEY]
            .map(|key| Running::start(&args, &[("X402_KEY", key), ("X402_LEDGER", ledger)]));
        let addresses = gateways.each_mut().map(|gateway| {
            let line = gateway.line("listening on http://");
            line.split(['/', ',']).nth(2).unwrap().to_owned()
        });
        Self { gateways, addresses, upstream, chain, _folder: folder }
    }

    /// Sends the same paid request so often, to both in turn and all at once; counts the answers.
    fn storm(&self, count: usize, fields: &str) -> HashMap<(u16, String), usize> {
        let barrier = Arc::new(Barrier::new(count));
        let threads: Vec<_> = (0..count)
            .map(|number| {
                let (barrier, fields) = (Arc::clone(&barrier), fields.to_owned());
                let address = self.addresses[number % 2].parse().unwrap();
                std::thread::spawn(move || {
                    barrier.wait();
                    exchange(address, "/api/analyze", &fields, "some words")
                })
            })
            .collect();
        let mut answers = HashMap::new();
        for thread in threads {
            let (status, body) = thread.join().unwrap();
            let body = if status == 200 { body } else { String::new() };
            *answers.entry((status, body)).or_default() += 1;
        }
        answers
    }

    /// How many transactions the gateways have sent.
    fn transactions(&self) -> u64 {
        let count = |account: &&str| {
            let count = self.chain.rpc("eth_getTransactionCount", &json!([account, "latest"]));
            u64::from_str_radix(&count.as_str().unwrap()[2..], 16).unwrap()
        };
        SETTLERS.iter().map(count).sum()
    }
}

fn two_gateways_serve_a_payment_once(ledger: &str) {
    let shops = Shops::open(ledger);
    let before = shops.transactions();
    for round in 1..=2_u64 {
        let fields = payment(round);
        let answers = shops.storm(200, &fields);
        let served = format!("served {}", round - 1);
        for ((status, body), count) in &answers {
            let is_expected = match status {
                200 => *body == served,
                status => [409, 503].contains(status),
            };
            assert!(is_expected, "{count} times {status} {body:?}: {answers:?}");
        }
        assert!(answers.contains_key(&(200, served.clone())), "{answers:?}");
        // Once it is over, everybody gets the answer, from either of them.
        let deadline = Instant::now() + Duration::from_secs(20);
        let all = HashMap::from([((200, served), 40)]);
        while shops.storm(40, &fields) != all {
            assert!(Instant::now() < deadline, "{:?}", shops.storm(40, &fields));
        }
        assert_eq!(shops.upstream.requests.lock().unwrap().len() as u64, round);
        assert_eq!(shops.chain.balance(PAY_TO), u128::from(round) * 10_000);
        assert_eq!(shops.transactions() - before, round);
    }
    for gateway in shops.gateways {
        let ended = gateway.interrupt();
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(!ended.stderr.contains("lease"), "{ended:?}");
    }
}

/// The variable's value, a server for tests.
fn server(variable: &str) -> String {
    let missing = |_| panic!("{variable} is not set: tests/run starts the server and sets it");
    std::env::var(variable).unwrap_or_else(missing)
}

fn unique() -> String {
    let nanoseconds = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    format!("cli_{}_{nanoseconds}", std::process::id())
}

/// A URL with a schema of its own.
fn new_postgres() -> String {
    let (url, schema) = (server("X402_TEST_POSTGRES"), unique());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(&format!("CREATE SCHEMA {schema}")).await.unwrap();
    });
    format!("{url}?options=-csearch_path%3D{schema}")
}

/// A URL with a prefix of its own.
fn new_redis() -> String {
    format!("{}?prefix={}:", server("X402_TEST_REDIS"), unique())
}

#[test]
fn two_gateways_on_one_postgres_serve_a_payment_once() {
    two_gateways_serve_a_payment_once(&new_postgres());
}

#[test]
fn two_gateways_on_one_redis_serve_a_payment_once() {
    two_gateways_serve_a_payment_once(&new_redis());
}

/// The first gateway is killed while its upstream works; the second does the work that is owed, once
/// the lease has run out, and charges nothing for it.
fn what_a_killed_gateway_owes_the_other_does(ledger: &str) {
    let mut shops = Shops::open(ledger);
    let (fields, before) = (payment(1), shops.transactions());
    let first = shops.addresses[0].parse().unwrap();
    let lost = {
        let fields = fields.clone();
        std::thread::spawn(move || try_exchange(first, "/api/analyze", &fields, "some words"))
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while shops.upstream.requests.lock().unwrap().is_empty() {
        assert!(Instant::now() < deadline, "nothing reached the upstream");
        std::thread::sleep(Duration::from_millis(5));
    }
    let killed = Instant::now();
    shops.gateways[0].kill();
    assert!(lost.join().unwrap().is_none(), "it was killed before it had an answer");
    let second = shops.addresses[1].parse().unwrap();
    loop {
        let (status, body) = exchange(second, "/api/analyze", &fields, "some words");
        if status == 200 {
            assert_eq!(body, "served 1");
            break;
        }
        assert_eq!(status, 409, "{body}");
        assert!(killed.elapsed() < Duration::from_secs(50), "the lease does not run out");
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(killed.elapsed() > Duration::from_secs(15), "the lease was not respected");
    assert_eq!(shops.upstream.requests.lock().unwrap().len(), 2);
    assert_eq!((shops.chain.balance(PAY_TO), shops.transactions() - before), (10_000, 1));
}

#[test]
fn what_a_killed_gateway_on_postgres_owes_the_other_does() {
    what_a_killed_gateway_owes_the_other_does(&new_postgres());
}

#[test]
fn what_a_killed_gateway_on_redis_owes_the_other_does() {
    what_a_killed_gateway_owes_the_other_does(&new_redis());
}

/// The gateway runs on, and is not asked.
fn a_name_that_is_replaced_is_refused_at_once(ledger: &str) {
    const SECRET: &str = "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e";
    let chain = Chain::start();
    let upstream = Scripted::start(|_, _| answer("200 OK", "", "served"));
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), chain.address, upstream.address);
    let file = config.to_str().unwrap();
    let env = [("X402_KEY", SETTLER_KEY), ("X402_SECRET", SECRET), ("X402_LEDGER", ledger)];
    let mut gateway = Running::start(&["serve", "--config", file], &env);
    let line = gateway.line("listening on http://");
    let address = line.split(['/', ',']).nth(2).unwrap().parse().unwrap();
    let payer = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    // The other gateway's machine has another key for the gas, and the secret.
    let rotate = || {
        let args = ["ledger", "credits", "rotate", payer, "--config", file, "--format", "json"];
        let env = [("X402_KEY", SECOND_KEY), ("X402_SECRET", SECRET), ("X402_LEDGER", ledger)];
        let said = run_with(&args, &env, folder.path()).succeeded();
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        said[0]["name"].as_str().unwrap().to_owned()
    };
    let draw = |name: &str| {
        let fields = format!("X-Payment-Credit: {name}\r\nX-Payment-Nonce: 1\r\n");
        exchange(address, "/api/analyze", &fields, "some words")
    };
    let first = rotate();
    // It is a name, and there is nothing to be drawn.
    assert_eq!(draw(&first).0, 402);
    let second = rotate();
    let (status, said) = draw(&first);
    assert!(status == 403 && said.contains("credit_replaced"), "{said}");
    assert_eq!(draw(&second).0, 402);
}

#[test]
fn a_name_that_is_replaced_in_postgres_is_refused_at_once() {
    a_name_that_is_replaced_is_refused_at_once(&new_postgres());
}

#[test]
fn a_name_that_is_replaced_in_redis_is_refused_at_once() {
    a_name_that_is_replaced_is_refused_at_once(&new_redis());
}

#[test]
fn a_ledger_that_cannot_be_reached_is_said_without_its_url() {
    let chain = Chain::start();
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), chain.address, "127.0.0.1:1".parse().unwrap());
    for scheme in ["postgres", "redis"] {
        let url = format!("{scheme}://canary-user:canary-word@127.0.0.1:1/7");
        let args = ["serve", "--config", config.to_str().unwrap()];
        let ended =
            run_with(&args, &[("X402_KEY", SETTLER_KEY), ("X402_LEDGER", &url)], folder.path());
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.stderr.contains("refused") && ended.stderr.contains("help: "), "{ended:?}");
        ended.assert_without("canary");
    }
}
