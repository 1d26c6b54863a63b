//! What is secret stays so, wherever it is put by mistake.

use std::path::Path;

use crate::process::{Ended, run_with};
use crate::seller::{BUYER_KEY, Chain, PAY_TO, SETTLER_KEY, config};

const TOKEN: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";
const NOBODY: &str = "127.0.0.1:1";
const PAYER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

/// The key of a public account as one may write it, and a token.
fn secrets() -> [String; 5] {
    let digits = &BUYER_KEY[2..];
    let odd = format!("0x{}", &digits[1..]);
    [BUYER_KEY.to_owned(), digits.to_owned(), digits.to_uppercase(), odd, TOKEN.to_owned()]
}

/// Nothing that is printed has a part of the secret, in any spelling.
#[track_caller]
fn assert_unshown(ended: &Ended, secret: &str) {
    let printed = format!("{}{}", ended.stdout, ended.stderr).to_lowercase();
    let secret = secret.trim_start_matches("0x").to_lowercase();
    for part in secret.as_bytes().windows(10) {
        let part = core::str::from_utf8(part).unwrap();
        assert!(!printed.contains(part), "{part}: {ended:?}");
    }
}

/// Runs the program, which must say what is wrong, and how to name a file, and make none.
fn refuse(folder: &Path, args: &[&str], env: &[(&str, &str)], secret: &str) {
    let before = std::fs::read_dir(folder).unwrap().count();
    let env = [env, &[("X402_LOG", "trace")]].concat();
    let ended = run_with(args, &env, folder);
    assert_eq!(ended.code, 2, "{args:?}: {ended:?}");
    let said = &ended.stderr;
    assert!(said.contains("error: ") && said.contains("file"), "{args:?}: {ended:?}");
    assert!(said.contains("help: "), "{args:?}: {ended:?}");
    assert_unshown(&ended, secret);
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), before, "{args:?}");
}

#[test]
fn a_secret_where_a_file_is_wanted_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    config(here, NOBODY.parse().unwrap(), NOBODY.parse().unwrap());
    let at_config = ["--config", "x402.yaml"];
    let buyer = [("X402_KEY", BUYER_KEY)];
    let url = "http://127.0.0.1:1/";
    for secret in &secrets() {
        let secret = secret.as_str();
        let body = format!("@{secret}");
        for args in [
            &["serve", "--key-file", secret][..],
            &["ledger", "refund", PAYER, "--key-file", secret],
            &["price", "POST", "/api/analyze", "--data", &body],
            &["ledger", "import", secret],
            &["simulate", secret],
        ] {
            refuse(here, &[args, &at_config].concat(), &[], secret);
        }
        refuse(here, &[&["serve"], &at_config[..]].concat(), &[("X402_KEY_FILE", secret)], secret);
        for args in [
            &["serve", "--config", secret][..],
            &["facilitator", "--config", secret],
            &["price", "GET", "/health", "--config", secret],
            &["ledger", "list", "--config", secret],
            &["ledger", "export", "--config", secret],
            &["ledger", "resolve", "--config", secret],
            &["ledger", "credits", "--config", secret],
            &["ledger", "credits", "rotate", PAYER, "--config", secret],
            &["ledger", "forgive", "0x0", "--config", secret],
            &["ledger", "show", "0x0", "--config", secret],
            &["vectors", secret],
            &["pay", url, "--max", "1", "--key-file", secret],
            &["pay", url, "--max", "1", "--key-file", secret, "--json"],
            &["pay", "--resume", secret],
            &["quote", url, "-d", &body],
        ] {
            refuse(here, args, &[], secret);
        }
        refuse(here, &["pay", url, "--max", "1", "-d", &body], &buyer, secret);
    }
}

#[test]
fn a_secret_that_is_no_argument_is_not_repeated() {
    for secret in &secrets() {
        let glued = format!("--key={secret}");
        for args in [
            &["serve", "--config", "x402.yaml", secret][..],
            &["pay", "http://127.0.0.1:1/", "--max", "1", secret],
            &["pay", "http://127.0.0.1:1/", "--max", "1", &glued],
            &["pay", "--resume", "file", "--dialect", secret],
            &["ledger", secret],
            &["demo", secret],
            &["devnet", "--port", secret],
            &[secret],
        ] {
            let ended = run_with(args, &[], Path::new("."));
            assert_eq!(ended.code, 2, "{ended:?}");
            assert!(ended.stderr.contains("error: "), "{ended:?}");
            assert_unshown(&ended, secret);
        }
    }
}

/// Where files are made, a key is not taken for the name of one.
#[test]
fn no_file_is_called_as_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    config(here, NOBODY.parse().unwrap(), NOBODY.parse().unwrap());
    for secret in secrets().iter().filter(|secret| *secret != TOKEN) {
        let at_config = ["--config", "x402.yaml", "--ledger", secret];
        for args in [
            &["serve"][..],
            &["ledger", "list"],
            &["ledger", "resolve"],
            &["ledger", "forgive", "0x0"],
            &["ledger", "credits", "rotate", PAYER],
        ] {
            refuse(here, &[args, &at_config].concat(), &[("X402_KEY", SETTLER_KEY)], secret);
        }
        refuse(here, &["ledger", "list"], &[("X402_LEDGER", secret)], secret);
        let args = ["pay", "http://127.0.0.1:1/", "--max", "1", "--budget", secret];
        refuse(here, &args, &[("X402_KEY", BUYER_KEY)], secret);
    }
}

#[test]
fn a_secret_where_the_file_wants_a_file_is_not_shown() {
    let chain = Chain::start();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    config(here, chain.address, NOBODY.parse().unwrap());
    let sound = std::fs::read_to_string(here.join("x402.yaml")).unwrap();
    let rpc = format!("rpc: \"http://{}\"", chain.address);
    let serve = ["serve", "--config", "x402.yaml"];
    let settler = [("X402_KEY", SETTLER_KEY)];
    for secret in &secrets() {
        let write = |text: &str| std::fs::write(here.join("x402.yaml"), text).unwrap();
        write(&sound.replace(&rpc, &format!("{rpc}, key_file: \"{secret}\"")));
        refuse(here, &serve, &[], secret);
        write(&format!("{}secret_file: \"{secret}\"\n", sound.replace("./x402.redb", "memory")));
        refuse(here, &serve, &settler, secret);
        write(&sound.replace("./x402.redb", "memory"));
        refuse(here, &serve, &[&settler[..], &[("X402_SECRET_FILE", secret)]].concat(), secret);
        let other = format!("{rpc}, key_file: \"{secret}\", network: base");
        write(&format!("{sound}chains:\n  - {{{other}}}\n"));
        refuse(here, &serve, &settler, secret);
        let trusted = |url: &str| {
            format!("{sound}facilitator: {{url: \"{url}\", token_file: \"{secret}\"}}\n")
        };
        let trusted = |url: &str| trusted(url).replace(&format!("chain: {{{rpc}}}\n"), "");
        write(&trusted("http://127.0.0.1:1"));
        refuse(here, &serve, &[], secret);
        // The line is shown on which the URL is wrong.
        write(&trusted("http://elsewhere.example"));
        refuse(here, &serve, &[], secret);
        let facilitator = ["facilitator", "--config", "x402.yaml"];
        let served = |key: &str, token: &str| {
            format!(
                "listen: 127.0.0.1:0\nledger: memory\ntoken_file: '{token}'\nchains:\n  \
                 - {{network: ethereum, {rpc}, key_file: '{key}', assets: [USDC]}}\n"
            )
        };
        write(&served("settler.key", secret));
        refuse(here, &facilitator, &[], secret);
        write(&served(secret, "token").replace("token_file: 'token'\n", ""));
        refuse(here, &facilitator, &[], secret);
    }
    assert_eq!(chain.balance(PAY_TO), 0);
}

#[cfg(unix)]
#[test]
fn files_of_secrets_are_refused_alike() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let path = here.join("secret");
    let token = format!(
        "listen: 127.0.0.1:0\nupstream: http://{NOBODY}\npay_to: \"{PAY_TO}\"\nnetwork: ethereum\n\
         asset: USDC\nfacilitator: {{url: \"http://{NOBODY}\", token_file: ./secret}}\nledger: memory\n\
         routes: [{{path: /a, pricing: free}}]\n"
    );
    std::fs::write(here.join("token.yaml"), token).unwrap();
    let served = format!(
        "listen: 127.0.0.1:0\nledger: memory\ntoken_file: ./secret\nchains:\n  - {{network: ethereum, \
         rpc: \"http://{NOBODY}\", key_file: ./key, assets: [USDC]}}\n"
    );
    std::fs::write(here.join("served.yaml"), served).unwrap();
    config(here, NOBODY.parse().unwrap(), NOBODY.parse().unwrap());
    let readers = [
        &["serve", "--config", "token.yaml"][..],
        &["facilitator", "--config", "served.yaml"],
        &["serve", "--config", "x402.yaml", "--key-file", "secret"],
        &["pay", "http://127.0.0.1:1/", "--max", "1", "--key-file", "secret"],
        &["ledger", "refund", PAYER, "--config", "x402.yaml", "--key-file", "secret"],
    ];
    let refuse_all = |what: &str, secret: &str| {
        for args in readers {
            let ended = run_with(args, &[], here);
            assert_eq!(ended.code, 2, "{args:?}: {ended:?}");
            assert!(ended.stderr.contains(what), "{what}, {args:?}: {ended:?}");
            assert_unshown(&ended, secret);
        }
    };
    for mode in [0o644, 0o640, 0o604] {
        std::fs::write(&path, BUYER_KEY).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        refuse_all("chmod 600", BUYER_KEY);
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).unwrap();
    std::fs::set_permissions(here, std::fs::Permissions::from_mode(0o755)).unwrap();
    refuse_all("chmod 600", BUYER_KEY);
    std::fs::remove_file(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    refuse_all("no regular file", BUYER_KEY);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "a".repeat(2 << 20)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    refuse_all("is longer than", "aaaaaaaaaa");
}
