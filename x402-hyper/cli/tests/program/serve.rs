use std::net::TcpListener;

use crate::process::{Ended, Running, run_with};
use crate::seller::{BUYER_KEY, Chain, SETTLER_KEY, Shop, config};

const NOBODY: &str = "127.0.0.1:1";

/// Starts the gateway, which must not start.
fn serve(folder: &std::path::Path, flags: &[&str], key: &str) -> Ended {
    let config = folder.join("x402.yaml");
    let mut args = vec!["serve", "--config", config.to_str().unwrap()];
    args.extend(flags);
    let ended = run_with(&args, &[("X402_KEY", key)], folder);
    assert!(ended.stderr.starts_with("error: "), "{ended:?}");
    assert!(!ended.stderr.contains("panicked") && !ended.stdout.contains("listening"), "{ended:?}");
    ended.assert_without(key);
    ended
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    config(folder.path(), NOBODY.parse().unwrap(), NOBODY.parse().unwrap());
    folder
}

#[test]
fn a_broken_file_is_refused_with_its_line() {
    let folder = folder();
    let path = folder.path().join("x402.yaml");
    let sound = std::fs::read_to_string(&path).unwrap();
    for (from, to, line) in [
        ("pay_to: \"0x2", "pay_to: \"0x3", "x402.yaml:3:"),
        ("network: ethereum", "network: etherium", "x402.yaml:4:"),
        ("amount: \"0.01\"", "amount: \"0.0000001\"", "x402.yaml:11:"),
        ("pricing: free", "prising: free", "x402.yaml:12:"),
    ] {
        assert!(sound.contains(from), "{sound}");
        std::fs::write(&path, sound.replace(from, to)).unwrap();
        let ended = serve(folder.path(), &[], SETTLER_KEY);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains(line) && ended.stderr.contains("help: "), "{ended:?}");
    }
}

#[test]
fn a_key_that_is_wrong_or_open_is_refused_and_not_shown() {
    let folder = folder();
    let canary = "c0ffee00c0ffee00";
    let ended = serve(folder.path(), &[], canary);
    assert_eq!(ended.code, 2, "{ended:?}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let path = folder.path().join("open.key");
        std::fs::write(&path, BUYER_KEY).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let args = ["serve", "--config", "x402.yaml", "--key-file", "open.key"];
        let ended = run_with(&args, &[], folder.path());
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains("chmod 600"), "{ended:?}");
        ended.assert_without(BUYER_KEY);
    }
}

#[test]
fn a_chain_that_is_down_is_said_without_its_url() {
    let folder = folder();
    let path = folder.path().join("x402.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}on_start: exit\n")).unwrap();
    let rpc = "http://user-canary:word-canary@127.0.0.1:1/path-canary";
    let ended = serve(folder.path(), &["--rpc", rpc], SETTLER_KEY);
    assert_eq!(ended.code, 1, "{ended:?}");
    ended.assert_without("canary");
}

#[test]
fn a_public_key_is_refused_on_a_public_chain() {
    let folder = folder();
    for key in [SETTLER_KEY, BUYER_KEY] {
        let ended = serve(folder.path(), &["--rpc", "https://rpc.invalid/canary"], key);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains("public development keys"), "{ended:?}");
        ended.assert_without("canary");
    }
}

#[test]
fn what_the_chain_says_otherwise_is_refused_with_both_values() {
    let chain = Chain::start();
    let folder = tempfile::tempdir().unwrap();
    config(folder.path(), chain.address, NOBODY.parse().unwrap());
    let ended = serve(folder.path(), &["--network", "base"], SETTLER_KEY);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("eip155:8453") && ended.stderr.contains("eip155:1"), "{ended:?}");
}

#[test]
fn a_port_or_a_ledger_that_is_taken_is_said() {
    let shop = Shop::open();
    let ended = serve(shop.folder.path(), &[], SETTLER_KEY);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("ledger"), "{ended:?}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended =
        serve(shop.folder.path(), &["--listen", &address, "--ledger", "memory"], SETTLER_KEY);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains(&address), "{ended:?}");
}

#[test]
fn it_says_what_is_sold_and_ends_when_told() {
    let chain = Chain::start();
    let folder = tempfile::tempdir().unwrap();
    let path = config(folder.path(), chain.address, NOBODY.parse().unwrap());
    let args = ["serve", "--config", path.to_str().unwrap()];
    let mut gateway = Running::start(&args, &[("X402_KEY", SETTLER_KEY)]);
    gateway.line("POST  /api/analyze  0.01 USDC");
    gateway.line("/health");
    gateway.line("x402 pay http://127.0.0.1:");
    gateway.line("gas is paid by 0xf39F");
    let command = std::fs::read(format!("/proc/{}/cmdline", gateway.id())).unwrap_or_default();
    assert!(!String::from_utf8_lossy(&command).contains(&SETTLER_KEY[2..]));
    let ended = gateway.interrupt();
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.assert_without(SETTLER_KEY);
}
