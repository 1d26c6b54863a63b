use std::path::Path;

use serde_json::Value;

use crate::process::{Ended, Running, run, run_with};
use crate::seller::{BUYER_KEY, PAY_TO, Scripted, Shop, answer, challenge};

const TRANSACTION: &str = "0x89c91c789e57059b17285e7ba1716a1f5ff4c5dace0ea5a5135f26158d0421b9";

fn pay(url: &str, flags: &[&str], folder: &Path) -> Ended {
    let mut args = vec!["pay", url, "-d", "some words"];
    args.extend(flags);
    let ended = run_with(&args, &[("X402_KEY", BUYER_KEY)], folder);
    ended.assert_without(BUYER_KEY);
    ended
}

fn settled() -> String {
    answer("200 OK", &format!("X-Payment-Transaction: {TRANSACTION}\r\n"), "served")
}

fn is_paid(request: &str) -> bool {
    request.to_lowercase().contains("\r\nx-payment-signature:")
}

#[test]
fn pays_the_gateway_on_a_real_chain() {
    let shop = Shop::open();
    let here = shop.folder.path();

    let quoted = run(&["quote", &shop.url, "-X", "POST"]).succeeded();
    assert_eq!(quoted, format!("0.01 USDC on ethereum to {PAY_TO}, payable for 60 s\n"));
    let quoted = run(&["quote", &shop.url, "-d", "some words", "--json"]).succeeded();
    let quoted: Value = serde_json::from_str(&quoted).unwrap();
    assert_eq!(quoted["terms"]["amount"], "10000");

    let dear = pay(&shop.url, &["--max", "0.009"], here);
    assert_eq!(dear.code, 3, "{dear:?}");
    assert!(dear.stderr.contains("above the maximum"), "{dear:?}");
    assert_eq!(shop.chain.balance(PAY_TO), 0);

    let paid = pay(&shop.url, &["--max", "0.05"], here);
    assert!(paid.stderr.contains("settled in 0x"), "{paid:?}");
    assert_eq!((paid.code, paid.stdout.as_str()), (0, "served"));
    assert_eq!(shop.chain.balance(PAY_TO), 10_000);

    let pins = ["--recipient", PAY_TO, "--asset", "USDC", "--network", "ethereum"];
    let flags = [&["--max", "0.01", "--json"][..], &pins].concat();
    let paid: Value = serde_json::from_str(&pay(&shop.url, &flags, here).succeeded()).unwrap();
    assert_eq!((&paid["ok"], &paid["status"]), (&true.into(), &200.into()));
    assert_eq!(paid["payment"]["status"], "settled");
    assert_eq!(shop.chain.balance(PAY_TO), 20_000);
    let hash = &paid["payment"]["transaction"];
    let receipt = shop.chain.rpc("eth_getTransactionReceipt", &serde_json::json!([hash]));
    assert_eq!(receipt["status"], "0x1");
    assert_eq!(shop.upstream.requests.lock().unwrap().len(), 2);
    assert!(shop.upstream.signatures().is_empty());
}

#[test]
fn limits_are_kept_and_said() {
    let seller = Scripted::start(|_, _| challenge());
    let here = Path::new(".");
    let other = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    for pin in [["--recipient", other], ["--asset", "EURC"], ["--network", "base"]] {
        let flags = [&["--max", "1", "--json"][..], &pin].concat();
        let ended = pay(&seller.url(), &flags, here);
        assert_eq!(ended.code, 3, "{ended:?}");
        let object: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!((&object["ok"], &object["exit"]), (&false.into(), &3.into()));
        assert!(ended.stderr.contains("help: nothing was signed"), "{ended:?}");
    }
    for wrong in [["--max", "0,05"], ["--max", "1e3"], ["--max", "-1"]] {
        assert_eq!(pay(&seller.url(), &wrong, here).code, 2, "{wrong:?}");
    }
    assert!(seller.signatures().is_empty());
}

#[test]
fn a_refusal_is_code_4_and_an_unproven_answer_code_6() {
    let body = r#"{"code":"402.2","reason":"invalid_exact_evm_payload_signature","message":"no","help":"check the key"}"#;
    let seller = Scripted::start(move |request, _| match is_paid(request) {
        true => answer("402 Payment Required", "X-Payment-Error: 402.2\r\n", body),
        false => challenge(),
    });
    let ended = pay(&seller.url(), &["--max", "1"], Path::new("."));
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.stderr.contains("402.2") && ended.stderr.contains("check the key"), "{ended:?}");
    assert_eq!(seller.signatures().len(), 1);
    ended.assert_without(&seller.signatures()[0]);

    let seller = Scripted::start(|request, _| match is_paid(request) {
        true => answer("200 OK", "", "served"),
        false => challenge(),
    });
    let ended = pay(&seller.url(), &["--max", "1"], Path::new("."));
    assert_eq!((ended.code, ended.stdout.as_str()), (6, "served"));
    assert!(ended.stderr.contains("names no transaction"), "{ended:?}");
}

#[test]
fn an_outcome_that_is_not_known_is_kept_and_resumed() {
    let seller = Scripted::start(|request, count| match is_paid(request) {
        true if count < 6 => answer("503 Service Unavailable", "Retry-After: 0\r\n", ""),
        true => settled(),
        false => challenge(),
    });
    let folder = tempfile::tempdir().unwrap();
    let ended = pay(&seller.url(), &["--max", "1"], folder.path());
    assert_eq!(ended.code, 5, "{ended:?}");
    assert!(ended.stderr.contains("do not pay again"), "{ended:?}");
    let kept = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap();
    let name = kept.file_name().into_string().unwrap();
    assert!(ended.stderr.contains(&format!("--resume {name}")), "{ended:?}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    // Neither a key nor a limit: nothing is signed.
    let args = ["pay", "--resume", &name, "-d", "some words"];
    let ended = run_with(&args, &[], folder.path());
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "served"), "{ended:?}");
    let signatures = seller.signatures();
    assert_eq!(signatures.len(), 6);
    assert!(signatures.iter().all(|signature| *signature == signatures[0]));
}

#[test]
fn work_that_is_paid_for_and_not_done_is_claimed_again() {
    let shop = Shop::before(|_, count| match count {
        0 => answer("500 Internal Server Error", "", "broken"),
        _ => answer("200 OK", "", "served"),
    });
    let folder = tempfile::tempdir().unwrap();
    let ended = pay(&shop.url, &["--max", "1", "--json"], folder.path());
    assert_eq!(ended.code, 5, "{ended:?}");
    assert_eq!(shop.chain.balance(PAY_TO), 10_000);
    let object: Value = serde_json::from_str(&ended.stdout).unwrap();
    let kept = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap();
    let name = kept.file_name().into_string().unwrap();
    assert!(object["help"].as_str().unwrap().contains(&format!("--resume {name}")), "{object}");
    let args = ["pay", "--resume", &name, "-d", "some words"];
    let ended = run_with(&args, &[], folder.path());
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "served"), "{ended:?}");
    assert_eq!(shop.chain.balance(PAY_TO), 10_000);
}

#[cfg(unix)]
#[test]
fn who_loses_patience_keeps_the_payment() {
    let seller = Scripted::start(|request, _| {
        if is_paid(request) {
            std::thread::sleep(std::time::Duration::from_secs(5));
        }
        challenge()
    });
    let folder = tempfile::tempdir().unwrap();
    let args = ["pay", &seller.url(), "--max", "1"];
    let running = Running::start_in(folder.path(), &args, &[("X402_KEY", BUYER_KEY)]);
    while seller.signatures().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let ended = running.interrupt();
    assert_eq!(ended.code, 5, "{ended:?}");
    assert!(ended.stderr.contains("do not pay again"), "{ended:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// The payment is in its file before it is sent, and the file goes with what it was for.
#[test]
fn what_is_killed_leaves_the_payment_behind() {
    let seller = Scripted::start(|request, number| match number {
        0 => challenge(),
        1 => {
            std::thread::sleep(std::time::Duration::from_secs(5));
            challenge()
        }
        _ if is_paid(request) => settled(),
        _ => challenge(),
    });
    let folder = tempfile::tempdir().unwrap();
    let url = seller.url();
    let args = ["pay", &url, "--max", "1"];
    let running = Running::start_in(folder.path(), &args, &[("X402_KEY", BUYER_KEY)]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while seller.signatures().is_empty() && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // Killed, without a word.
    drop(running);
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    let [Ok(file)] = &files[..] else { panic!("{files:?}") };
    let name = file.file_name().into_string().unwrap();
    run_with(&["pay", "--resume", &name], &[], folder.path()).succeeded();
    let signatures = seller.signatures();
    assert!(signatures.len() == 2 && signatures[0] == signatures[1], "{signatures:?}");

    std::fs::remove_file(folder.path().join(name)).unwrap();
    pay(&url, &["--max", "1"], folder.path()).succeeded();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn a_key_file_must_be_closed() {
    use std::os::unix::fs::PermissionsExt as _;

    let seller =
        Scripted::start(|request, _| if is_paid(request) { settled() } else { challenge() });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("buyer.key");
    std::fs::write(&path, format!("{BUYER_KEY}\n")).unwrap();
    let url = seller.url();
    let args = ["pay", &url, "--max", "1", "--key-file", "buyer.key"];
    let set_mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode));
    set_mode(0o644).unwrap();
    let ended = run_with(&args, &[], folder.path());
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("chmod 600"), "{ended:?}");
    ended.assert_without(BUYER_KEY);
    assert!(seller.requests.lock().unwrap().is_empty());
    set_mode(0o600).unwrap();
    run_with(&args, &[], folder.path()).succeeded();

    let ended = run_with(&["pay", &url, "--max", "1"], &[], folder.path());
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("X402_KEY"), "{ended:?}");
}

#[test]
fn what_is_free_needs_no_payment_and_what_is_down_costs_nothing() {
    let seller = Scripted::start(|_, _| answer("200 OK", "", "free"));
    let ended = pay(&seller.url(), &["--max", "1"], Path::new("."));
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "free"));
    assert_eq!(run(&["quote", &seller.url()]).succeeded(), "free (200 OK)\n");
    let ended = pay("http://127.0.0.1:1/", &["--max", "1"], Path::new("."));
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("nothing was paid"), "{ended:?}");
}
