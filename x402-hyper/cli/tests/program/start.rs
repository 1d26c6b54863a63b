//! What the gateway does while something that it needs is not there.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::process::{Ended, Running, run_with};
use crate::seller::{Chain, PAY_TO, SETTLER_KEY, Scripted, answer, config, exchange};

const SETTLER: &[(&str, &str)] = &[("X402_KEY", SETTLER_KEY)];
const NOBODY: &str = "127.0.0.1:1";
const SERVE: &[&str] = &["serve", "--config", "x402.yaml"];

/// A node that has too much to do for the first few requests, before a chain.
fn busy_node(chain: &Chain, busy: usize) -> Scripted {
    let chain = chain.address;
    Scripted::start(move |request, count| {
        if count < busy {
            return answer("429 Too Many Requests", "", "slow down");
        }
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let (_, body) = exchange(chain, "/", "Content-Type: application/json\r\n", body);
        answer("200 OK", "Content-Type: application/json\r\n", &body)
    })
}

fn supported(status: &str) -> String {
    let kinds = r#"{"kinds":[{"x402Version":2,"scheme":"exact","network":"eip155:1"}],"extensions":[],"signers":{}}"#;
    answer(status, "Content-Type: application/json\r\n", kinds)
}

/// A gateway's file that has everything settled by a facilitator.
fn trusting(folder: &Path, facilitator: &str, more: &str) {
    let text = format!(
        "listen: 127.0.0.1:0\nupstream: http://{NOBODY}\npay_to: \"{PAY_TO}\"\nnetwork: ethereum\n\
         asset: USDC\nfacilitator: \"http://{facilitator}\"\nledger: memory\n\
         routes: [{{path: /a, pricing: free}}]\n{more}"
    );
    std::fs::write(folder.join("x402.yaml"), text).unwrap();
}

/// Starts it, waits until it has asked so often, and ends it.
fn interrupted(folder: &Path, asked: &Scripted, times: usize) -> Ended {
    let running = Running::start_in(folder, SERVE, SETTLER);
    let deadline = Instant::now() + Duration::from_secs(60);
    while asked.requests.lock().unwrap().len() < times {
        assert!(Instant::now() < deadline, "it does not ask");
        std::thread::sleep(Duration::from_millis(10));
    }
    running.interrupt()
}

#[test]
fn it_waits_for_a_node_that_has_too_much_to_do() {
    let chain = Chain::start();
    let folder = tempfile::tempdir().unwrap();
    for busy in [1, 2] {
        let node = busy_node(&chain, busy);
        config(folder.path(), node.address, NOBODY.parse().unwrap());
        let mut gateway = Running::start_in(folder.path(), SERVE, SETTLER);
        gateway.line("listening on http://");
        let ended = gateway.interrupt();
        assert_eq!(ended.code, 0, "{ended:?}");
        let said = ended.stderr.matches("waiting for the node of eip155:1, not ready: ").count();
        assert_eq!(said, busy, "{ended:?}");
    }
}

#[test]
fn it_can_be_stopped_while_it_waits() {
    let folder = tempfile::tempdir().unwrap();
    let node = Scripted::start(|_, _| answer("429 Too Many Requests", "", ""));
    config(folder.path(), node.address, NOBODY.parse().unwrap());
    let ended = interrupted(folder.path(), &node, 2);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!ended.stdout.contains("listening"), "{ended:?}");
    assert!(ended.stderr.contains("waiting for the node of eip155:1"), "{ended:?}");
    ended.assert_without(SETTLER_KEY);
}

#[test]
fn what_a_node_says_otherwise_ends_it_after_it_has_waited() {
    let chain = Chain::start();
    let folder = tempfile::tempdir().unwrap();
    let node = busy_node(&chain, 1);
    config(folder.path(), node.address, NOBODY.parse().unwrap());
    let ended = run_with(&[SERVE, &["--network", "base"]].concat(), SETTLER, folder.path());
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("waiting for the node of eip155:8453"), "{ended:?}");
    assert!(ended.stderr.contains("the node is on eip155:1"), "{ended:?}");
}

#[test]
fn it_ends_where_the_file_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let node = Scripted::start(|_, _| answer("429 Too Many Requests", "", ""));
    let path = config(folder.path(), node.address, NOBODY.parse().unwrap());
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}on_start: exit\n")).unwrap();
    let ended = run_with(SERVE, SETTLER, folder.path());
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("the chain cannot be reached"), "{ended:?}");
    trusting(folder.path(), NOBODY, "on_start: exit\n");
    let ended = run_with(SERVE, &[], folder.path());
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("the facilitator cannot be reached"), "{ended:?}");
    assert!(!ended.stdout.contains("listening"), "{ended:?}");
}

#[test]
fn it_waits_for_its_facilitator() {
    let folder = tempfile::tempdir().unwrap();
    let facilitator = Scripted::start(|_, count| match count {
        0 => answer("503 Service Unavailable", "", "starting"),
        _ => supported("200 OK"),
    });
    trusting(folder.path(), &facilitator.address.to_string(), "");
    let mut gateway = Running::start_in(folder.path(), SERVE, &[]);
    gateway.line("listening on http://");
    let ended = gateway.interrupt();
    let said =
        "waiting for the facilitator, not ready: the facilitator cannot be reached: it answers 503";
    assert!(ended.stderr.contains(said), "{ended:?}");
}

#[test]
fn a_facilitator_waits_for_its_node() {
    let chain = Chain::start();
    let node = busy_node(&chain, 1);
    let folder = tempfile::tempdir().unwrap();
    let served = |more: &str| {
        let text = format!(
            "listen: 127.0.0.1:0\nledger: memory\n{more}chains:\n  - {{network: ethereum, \
             rpc: \"http://{}\", key_file: key, assets: [USDC]}}\n",
            node.address
        );
        std::fs::write(folder.path().join("f.yaml"), text).unwrap();
    };
    let key = folder.path().join("key");
    std::fs::write(&key, SETTLER_KEY).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    served("on_start: exit\n");
    let args = ["facilitator", "--config", "f.yaml"];
    let ended = run_with(&args, &[], folder.path());
    assert_eq!(ended.code, 1, "{ended:?}");
    node.requests.lock().unwrap().clear();
    served("");
    let mut facilitator = Running::start_in(folder.path(), &args, &[]);
    facilitator.line("listening on http://");
    let ended = facilitator.interrupt();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("waiting for the node of eip155:1"), "{ended:?}");
}

#[test]
fn all_ports_are_taken_before_it_says_that_it_listens() {
    let chain = Chain::start();
    let folder = tempfile::tempdir().unwrap();
    let path = config(folder.path(), chain.address, NOBODY.parse().unwrap());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}metrics: {address}\n")).unwrap();
    let ended = run_with(SERVE, SETTLER, folder.path());
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains(&address.to_string()), "{ended:?}");
    assert!(!ended.stdout.contains("listening"), "{ended:?}");
}

#[test]
fn an_upstream_that_is_the_gateway_by_another_name_is_refused() {
    let chain = Chain::start();
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let path = config(folder.path(), chain.address, free);
    let text = std::fs::read_to_string(&path).unwrap();
    let everywhere = format!("0.0.0.0:{}", free.port());
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let names = [free.ip().to_string(), "localhost".to_owned(), name.trim().to_owned()];
    for name in names.iter().filter(|name| !name.is_empty()) {
        std::fs::write(&path, text.replace(&free.to_string(), &format!("{name}:{}", free.port())))
            .unwrap();
        let args = [SERVE, &["--listen", &everywhere]].concat();
        let ended = run_with(&args, SETTLER, folder.path());
        assert_eq!(ended.code, 2, "{name}: {ended:?}");
        assert!(ended.stderr.contains("the address that this server listens on"), "{ended:?}");
    }
}
