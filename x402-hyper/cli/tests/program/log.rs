//! What the log holds at its finest, and what it does not.

use std::path::Path;

use serde_json::Value;

use crate::process::{Ended, Running, run_with};
use crate::seller::{BUYER_KEY, Chain, PAY_TO, SETTLER_KEY, Scripted, answer, config, field};

const TRACE: (&str, &str) = ("X402_LOG", "trace");
const TOKEN: &str = "token-canary-9e107d9d372bb6826bd81d3542a419d6";

/// Nothing that is printed has a part of the secret.
#[track_caller]
fn assert_unshown(ended: &Ended, what: &str, secret: &str) {
    let printed = format!("{}{}", ended.stdout, ended.stderr).to_lowercase();
    let secret = secret.trim_start_matches("0x").to_lowercase();
    let secret = secret.as_bytes();
    assert!(secret.len() >= 12, "{what} is too short to be looked for");
    // A part of a transaction may be what others show too: an address, an amount.
    for part in secret.chunks_exact(secret.len().min(48)) {
        let part = core::str::from_utf8(part).unwrap();
        assert!(!printed.contains(part), "{what}: {part}\n{}", ended.stderr);
    }
}

/// The chain behind a URL with a user, a password and a key in it; what was sent to it is kept.
fn node(chain: &Chain) -> Scripted {
    let chain = chain.address;
    Scripted::start(move |request, _| {
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let fields = "Content-Type: application/json\r\n";
        answer("200 OK", fields, &crate::seller::exchange(chain, "/", fields, body).1)
    })
}

#[test]
fn a_payment_leaves_no_secret_in_the_log() {
    let (chain, folder) = (Chain::start(), tempfile::tempdir().unwrap());
    let node = node(&chain);
    let upstream = Scripted::start(|_, _| answer("200 OK", "", "served"));
    let path = config(folder.path(), node.address, upstream.address);
    let text = std::fs::read_to_string(&path).unwrap();
    let secret_url =
        format!("http://user-canary:word-canary@{}/v3/path-canary?key=query-canary", node.address);
    std::fs::write(&path, text.replace(&format!("http://{}", node.address), &secret_url)).unwrap();
    let args = ["serve", "--config", "x402.yaml"];
    let mut gateway = Running::start_in(folder.path(), &args, &[("X402_KEY", SETTLER_KEY), TRACE]);
    let line = gateway.line("listening on http://");
    let url = format!("http://{}/api/analyze", line.split(['/', ',']).nth(2).unwrap());
    let args = ["pay", &url, "--max", "1", "-d", "some words"];
    let env = [("X402_KEY", BUYER_KEY), TRACE, ("X402_RPC", &secret_url)];
    let paid = run_with(&[&args[..], &["--budget", "budget"]].concat(), &env, folder.path());
    assert_eq!((paid.code, paid.stdout.as_str()), (0, "served"), "{paid:?}");
    assert_eq!(chain.balance(PAY_TO), 10_000);
    let served = gateway.interrupt();
    assert!(served.stderr.contains("INFO x402_std::seller: claimed"), "{served:?}");
    let sent = raw_transactions(&node);
    assert!(!sent.is_empty());
    for ended in [&paid, &served] {
        for key in [SETTLER_KEY, BUYER_KEY] {
            assert_unshown(ended, "a key", key);
        }
        for raw in &sent {
            assert_unshown(ended, "a raw transaction", raw);
        }
        for canary in ["user-canary", "word-canary", "path-canary", "query-canary"] {
            assert!(!ended.stderr.contains(canary), "{canary}: {}", ended.stderr);
        }
        assert!(!ended.stderr.contains("dXNlci1jYW5hcnk6d29yZC1jYW5hcnk"), "{}", ended.stderr);
    }
}

/// What was broadcast. The payer's signature is a part of each.
fn raw_transactions(node: &Scripted) -> Vec<String> {
    let requests = node.requests.lock().unwrap();
    let bodies = requests.iter().filter_map(|request| Some(request.split_once("\r\n\r\n")?.1));
    let calls = bodies.filter_map(|body| serde_json::from_str::<Value>(body).ok());
    calls
        .filter(|call| call["method"] == "eth_sendRawTransaction")
        .filter_map(|call| Some(call["params"][0].as_str()?.to_owned()))
        .collect()
}

#[test]
fn a_bearer_token_is_not_in_the_log() {
    let facilitator = Scripted::start(|_, _| {
        let kinds = r#"{"kinds":[{"x402Version":2,"scheme":"exact","network":"eip155:1"}],"extensions":[],"signers":{}}"#;
        answer("200 OK", "Content-Type: application/json\r\n", kinds)
    });
    // One that cannot be reached is not paid for.
    let upstream = Scripted::start(|_, _| answer("200 OK", "", "done"));
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let text = format!(
        "listen: 127.0.0.1:0\nupstream: http://{}\npay_to: \"{PAY_TO}\"\nnetwork: ethereum\n\
         asset: USDC\nledger: memory\nfacilitator: {{url: \"http://{}\", token_file: token}}\n\
         routes:\n  - path: /a\n    \
         pricing: {{model: \"per_request\", amount: \"0.01\", currency: \"USDC\"}}\n",
        upstream.address, facilitator.address
    );
    std::fs::write(folder.path().join("x402.yaml"), text).unwrap();
    let args = ["serve", "--config", "x402.yaml"];
    let mut gateway = Running::start_in(folder.path(), &args, &[TRACE]);
    let line = gateway.line("listening on http://");
    let url = format!("http://{}/a", line.split(['/', ',']).nth(2).unwrap());
    let args = ["pay", &url, "--max", "1"];
    let paid = run_with(&args, &[("X402_KEY", BUYER_KEY), TRACE], Path::new(folder.path()));
    assert_ne!(paid.code, 0, "the facilitator answers nothing that is a verdict");
    let served = gateway.interrupt();
    let requests = facilitator.requests.lock().unwrap();
    let told = requests.iter().filter_map(|request| field(request, "authorization"));
    assert!(told.filter(|told| *told == format!("Bearer {TOKEN}")).count() >= 2, "{requests:?}");
    // What the facilitator was sent holds the payer's signature.
    let signature = requests.iter().find_map(|request| {
        let body: Value = serde_json::from_str(request.split_once("\r\n\r\n")?.1).ok()?;
        Some(body["paymentPayload"]["payload"]["signature"].as_str()?.to_owned())
    });
    for ended in [&paid, &served] {
        assert_unshown(ended, "the token", TOKEN);
        assert_unshown(ended, "the signature", signature.as_deref().unwrap());
        assert_unshown(ended, "the key", BUYER_KEY);
    }
}
