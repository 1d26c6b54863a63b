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

/// Libraries take a port that is none for the one of the scheme, and whoever listens there.
#[test]
fn a_port_that_is_none_is_said_and_nothing_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    for port in ["", "0", "65536", "65616", "+80", "0x50", "80a", "-1"] {
        let url = format!("http://127.0.0.1:{port}/x");
        let node = ["--max", "1", "--budget", "budget", "--rpc", &url];
        for ended in [
            pay(&url, &["--max", "1"], folder.path()),
            run(&["quote", &url]),
            pay("http://127.0.0.1:1/", &node, folder.path()),
        ] {
            assert_eq!(ended.code, 2, "{port}: {ended:?}");
            assert!(ended.stderr.contains("URL"), "{port}: {ended:?}");
        }
    }
    assert_eq!(names(folder.path()), [""; 0]);
}

/// The names of the files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A receipt of v2, in base64.
fn receipt(fields: &str) -> String {
    use x402_core::wire::base64::Base64;

    Base64(format!(r#"{{{fields},"transaction":"{TRANSACTION}","network":"eip155:1"}}"#))
        .to_string()
}

#[test]
fn what_a_settlement_failed_with_may_be_open_and_is_not_paid_twice() {
    let fetch_failed = receipt(r#""success":false,"errorReason":"fetch failed""#);
    let seller = Scripted::start(move |request, count| match is_paid(request) {
        true if count < 4 => {
            answer("402 Payment Required", &format!("PAYMENT-RESPONSE: {fetch_failed}\r\n"), "{}")
        }
        true => settled(),
        false => challenge(),
    });
    let folder = tempfile::tempdir().unwrap();
    let first = pay(&seller.url(), &["--max", "1"], folder.path());
    assert_eq!(first.code, 5, "{first:?}");
    assert!(first.stderr.contains("fetch failed"), "{first:?}");
    let [name] = &names(folder.path())[..] else { panic!("one file") };
    // The same command again presents the same payment, and so does the one after it.
    let second = pay(&seller.url(), &["--max", "1"], folder.path());
    assert_eq!(second.code, 5, "{second:?}");
    assert!(second.stderr.contains(name) && second.stderr.contains("open"), "{second:?}");
    assert_eq!(names(folder.path()), vec![name.clone()]);
    // What is another request is paid for by itself.
    let other = run_with(
        &["pay", &seller.url(), "--max", "1", "-d", "other words"],
        &[("X402_KEY", BUYER_KEY)],
        folder.path(),
    );
    assert_eq!(other.code, 0, "{other:?}");
    let third = pay(&seller.url(), &["--max", "1"], folder.path());
    assert_eq!((third.code, third.stdout.as_str()), (0, "served"), "{third:?}");
    assert!(names(folder.path()).is_empty());
    let signatures = seller.signatures();
    assert_eq!(signatures.len(), 4);
    assert!(signatures[0] == signatures[1] && signatures[0] == signatures[3], "{signatures:?}");
    assert_ne!(signatures[0], signatures[2]);
    // It is over: the next is a purchase of its own.
    pay(&seller.url(), &["--max", "1"], folder.path()).succeeded();
    assert_ne!(seller.signatures()[4], signatures[0]);
}

/// Where a redirect led to the price, and where the request says what a file says that is concluded.
#[test]
fn what_was_redirected_is_open_all_the_same_and_so_is_whatever_its_words_are() {
    let seller = Scripted::start(|request, count| match is_paid(request) {
        true if count < 7 => answer("503 Service Unavailable", "Retry-After: 3600\r\n", ""),
        true => settled(),
        false if request.contains("/api/analyze ") => {
            answer("307 Temporary Redirect", "Location: /api/analyze/\r\n", "")
        }
        false => challenge(),
    });
    let folder = tempfile::tempdir().unwrap();
    let pay = |words: &str| {
        let args = ["pay", &seller.url(), "--max", "1", "-d", words, "-H", "X-State: concluded"];
        run_with(&args, &[("X402_KEY", BUYER_KEY)], folder.path())
    };
    for _ in 0..2 {
        let ended = pay("concluded");
        assert_eq!(ended.code, 5, "{ended:?}");
    }
    // Another request has a payment of its own.
    assert_eq!(pay("others").code, 5);
    let ended = pay("concluded");
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "served"), "{ended:?}");
    let signatures = seller.signatures();
    assert_eq!(signatures.len(), 4, "{signatures:?}");
    assert!(signatures[0] == signatures[1] && signatures[0] == signatures[3], "{signatures:?}");
    assert_ne!(signatures[0], signatures[2]);
}

/// In a folder where everybody can put files, one that others can read is not this user's.
#[cfg(unix)]
#[test]
fn what_others_put_into_a_shared_folder_is_not_presented() {
    use std::os::unix::fs::PermissionsExt as _;

    let seller = Scripted::start(|request, count| match is_paid(request) {
        true if count < 2 => answer("503 Service Unavailable", "Retry-After: 3600\r\n", ""),
        true => settled(),
        false => challenge(),
    });
    let folder = tempfile::tempdir().unwrap();
    let set_mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(folder.path(), 0o1777);
    assert_eq!(pay(&seller.url(), &["--max", "1"], folder.path()).code, 5);
    let [name] = &names(folder.path())[..] else { panic!("one file") };
    set_mode(&folder.path().join(name), 0o644);
    pay(&seller.url(), &["--max", "1"], folder.path()).succeeded();
    let signatures = seller.signatures();
    assert_eq!(signatures.len(), 2);
    assert_ne!(signatures[0], signatures[1]);
    set_mode(&folder.path().join(name), 0o600);
    pay(&seller.url(), &["--max", "1"], folder.path()).succeeded();
    assert_eq!(seller.signatures()[2], signatures[0]);
}

#[test]
fn a_402_beside_a_receipt_was_paid_and_its_file_stays() {
    let paid = receipt(r#""success":true"#);
    let seller = Scripted::start(move |request, count| match is_paid(request) {
        true if count < 2 => {
            answer("402 Payment Required", &format!("PAYMENT-RESPONSE: {paid}\r\n"), "")
        }
        true => settled(),
        false => challenge(),
    });
    let folder = tempfile::tempdir().unwrap();
    let ended = pay(&seller.url(), &["--max", "1"], folder.path());
    assert_eq!(ended.code, 5, "{ended:?}");
    assert!(ended.stderr.contains("paid 0.01 USDC"), "{ended:?}");
    assert!(ended.stderr.contains(&format!("settled in {TRANSACTION}")), "{ended:?}");
    let [name] = &names(folder.path())[..] else { panic!("one file") };
    run_with(&["pay", "--resume", name], &[], folder.path()).succeeded();
    assert_eq!(seller.signatures()[0], seller.signatures()[1]);
}

#[test]
fn a_transaction_that_reverted_is_not_said_to_have_paid() {
    let seller = Scripted::start(|request, _| match is_paid(request) {
        true => answer("409 Conflict", &format!("X-Payment-Transaction: {TRANSACTION}\r\n"), ""),
        false => challenge(),
    });
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--max", "1", "--dialect", "headers"];
    let ended = pay(&seller.url(), &flags, folder.path());
    assert_eq!(ended.code, 5, "{ended:?}");
    assert!(!ended.stderr.contains("settled") && !ended.stderr.contains("paid 0"), "{ended:?}");
}

#[test]
fn what_is_not_charged_is_code_1() {
    let shop =
        Shop::with_routes("settle: after", |_, _| answer("404 Not Found", "", "nothing here"));
    let folder = tempfile::tempdir().unwrap();
    let ended = pay(&shop.url, &["--max", "1"], folder.path());
    assert_eq!((ended.code, ended.stdout.as_str()), (1, "nothing here"), "{ended:?}");
    assert!(ended.stderr.contains("not charged 0.01 USDC"), "{ended:?}");
    assert!(!ended.stderr.contains("paid 0.01"), "{ended:?}");
    assert_eq!(shop.chain.balance(PAY_TO), 0);
    assert!(names(folder.path()).is_empty());
}

/// The buyer would pay the upstream, and pay the gateway once more for each of its 402.
#[test]
fn an_upstreams_own_402_is_none_to_the_buyer() {
    let shop = Shop::before(|_, count| match count {
        0 => answer("402 Payment Required", "", r#"{"x402Version":1,"accepts":[]}"#),
        _ => answer("200 OK", "", "served"),
    });
    let folder = tempfile::tempdir().unwrap();
    let ended = pay(&shop.url, &["--max", "1"], folder.path());
    assert_eq!(ended.code, 5, "{ended:?}");
    assert!(ended.stderr.contains("502") && ended.stderr.contains("settled in 0x"), "{ended:?}");
    assert_eq!(shop.chain.balance(PAY_TO), 10_000);
    let ended = pay(&shop.url, &["--max", "1"], folder.path());
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "served"), "{ended:?}");
    assert_eq!(shop.chain.balance(PAY_TO), 10_000);
}

#[test]
fn what_is_resumed_is_the_request_that_was_paid_for() {
    let seller = Scripted::start(|request, count| match is_paid(request) {
        true if count < 6 => answer("503 Service Unavailable", "Retry-After: 0\r\n", ""),
        true => settled(),
        false => challenge(),
    });
    let folder = tempfile::tempdir().unwrap();
    let ended = pay(&seller.url(), &["--max", "1", "-H", "X-Tag: a"], folder.path());
    assert_eq!(ended.code, 5, "{ended:?}");
    let [name] = &names(folder.path())[..] else { panic!("one file") };
    let before = seller.signatures().len();
    for (flags, what) in [
        (["-d", "other words"], "body"),
        (["-X", "PUT"], "method"),
        (["-H", "X-Tag: b"], "header field"),
        (["-H", "X-Other: a"], "header field"),
    ] {
        let args = [&["pay", "--resume", name.as_str()][..], &flags].concat();
        let ended = run_with(&args, &[], folder.path());
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains(&format!("another {what}")), "{ended:?}");
    }
    assert_eq!(seller.signatures().len(), before);
    let args = ["pay", "--resume", name, "-H", "X-Tag: a"];
    assert_eq!(run_with(&args, &[], folder.path()).succeeded(), "served");
    let requests = seller.requests.lock().unwrap();
    let (sent, first) = (requests.last().unwrap(), &requests[1]);
    assert!(sent.ends_with("some words") && sent.to_lowercase().contains("x-tag: a"), "{sent}");
    let lines = |request: &str| {
        let mut lines: Vec<_> = request.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(sent), lines(first));
    drop(requests);
    // The file was named, and stays; what it says is over is not presented by itself.
    assert_eq!(names(folder.path()), vec![name.clone()]);
    pay(&seller.url(), &["--max", "1", "-H", "X-Tag: a"], folder.path()).succeeded();
    let signatures = seller.signatures();
    assert_ne!(signatures.last(), signatures.first());
}

#[cfg(target_os = "linux")]
#[test]
fn where_the_payment_cannot_be_kept_nothing_is_paid() {
    let seller =
        Scripted::start(|request, _| if is_paid(request) { settled() } else { challenge() });
    // Nobody can make a file there, whoever it is.
    let (args, nowhere) = (["pay", &seller.url(), "--max", "1"], Path::new("/proc"));
    let env = [("X402_KEY", BUYER_KEY), ("TMPDIR", "/proc")];
    let ended = run_with(&args, &env, nowhere);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("nothing was paid"), "{ended:?}");
    assert!(seller.signatures().is_empty());
}

#[test]
fn a_file_that_is_no_budget_is_not_touched() {
    let seller =
        Scripted::start(|request, _| if is_paid(request) { settled() } else { challenge() });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("buyer.key");
    std::fs::write(&file, BUYER_KEY).unwrap();
    let ended = pay(&seller.url(), &["--max", "1", "--budget", "buyer.key"], folder.path());
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.stderr.contains("is no budget"), "{ended:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), BUYER_KEY);
    assert!(seller.signatures().is_empty());
}

/// A seller who says that a payment is refused can use it all the same.
#[test]
fn what_was_refused_counts_against_the_budget() {
    let body = r#"{"code":"402.2","reason":"invalid_exact_evm_payload_signature"}"#;
    let seller = Scripted::start(move |request, _| match is_paid(request) {
        true => answer("402 Payment Required", "X-Payment-Error: 402.2\r\n", body),
        false => challenge(),
    });
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--max", "1", "--budget", "budget", "--max-per-day", "0.015"];
    assert_eq!(pay(&seller.url(), &flags, folder.path()).code, 4);
    for _ in 0..2 {
        let ended = pay(&seller.url(), &flags, folder.path());
        assert_eq!(ended.code, 3, "{ended:?}");
        assert!(ended.stderr.contains("more than 0.015 today"), "{ended:?}");
    }
    assert_eq!(seller.signatures().len(), 1);
}

/// The development chain knows what was used, and a payment that ends soon was not.
#[test]
fn a_node_frees_what_was_never_used() {
    let chain = crate::seller::Chain::start();
    let seller = Scripted::start(|request, _| match is_paid(request) {
        true => answer("402 Payment Required", "X-Payment-Error: 402.1\r\n", ""),
        false => {
            let fields = "X-Payment-Timeout: 1\r\n";
            challenge().replacen("X-Payment-Required", &format!("{fields}X-Payment-Required"), 1)
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let node = format!("http://{}", chain.address);
    let flags = ["--max", "1", "--budget", "budget", "--max-per-day", "0.01", "--rpc", &node];
    assert_eq!(pay(&seller.url(), &flags, folder.path()).code, 4);
    assert_eq!(pay(&seller.url(), &flags, folder.path()).code, 3, "it has not ended");
    std::thread::sleep(std::time::Duration::from_secs(3));
    // A block later than its end.
    chain.rpc("evm_mine", &serde_json::json!([]));
    let ended = pay(&seller.url(), &flags, folder.path());
    assert_eq!(ended.code, 4, "{ended:?}");
    let text = std::fs::read_to_string(folder.path().join("budget")).unwrap();
    assert!(text.contains(" unused 0x"), "{text}");
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
