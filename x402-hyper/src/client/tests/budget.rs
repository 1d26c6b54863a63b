//! Limits over many payments.

use std::path::{Path, PathBuf};

use super::*;

/// A folder of its own, gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("x402-budget-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("budget")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn price(text: &str) -> Price {
    Price::parse(text).unwrap()
}

fn buyer(budget: Budget) -> PayingClient {
    PayingClient::builder(signer(), limits()).budget(budget).build().unwrap()
}

/// How many payments are noted, behind the first line.
fn lines(path: &Path) -> usize {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().filter(|line| *line != "x402 budget 2").count()
}

/// A 402 to everything, as a seller may answer who uses the payment nevertheless.
async fn refusing() -> Shop {
    Shop::selling(|_, _| Some(challenge(&offer(), None))).await
}

fn is_over_the_day(error: &ClientError) -> bool {
    matches!(error, ClientError::Budget { error: BudgetError::Day(_), .. })
}

#[tokio::test]
async fn a_limit_holds_over_payments_and_restarts() {
    let folder = Folder::new("limit");
    let (shop, other) =
        (Shop::selling(|_, _| settled()).await, Shop::selling(|_, _| settled()).await);
    for _ in 0..2 {
        let client = buyer(Budget::new(folder.file()).per_host(price("0.02")));
        client.send(shop.post()).await.unwrap();
    }
    let client = buyer(Budget::new(folder.file()).per_host(price("0.02")));
    let error = client.send(shop.post()).await.unwrap_err();
    assert!(matches!(error, ClientError::Budget { error: BudgetError::Host(_), .. }), "{error}");
    assert_eq!((shop.paid().len(), lines(&folder.file())), (2, 2));
    client.send(other.post()).await.unwrap();
    let client = buyer(Budget::new(folder.file()).per_day(price("0.03")));
    let error = client.send(other.post()).await.unwrap_err();
    assert!(matches!(error, ClientError::Budget { error: BudgetError::Day(_), .. }), "{error}");
    let client = buyer(Budget::new(folder.file()).per_day(price("0.04")));
    client.send(other.post()).await.unwrap();
}

/// The signature can be used until it ends, whatever the seller says of it, and whoever reads the file.
#[tokio::test]
async fn what_was_refused_counts_and_so_does_what_is_unknown() {
    let folder = Folder::new("back");
    let client = || buyer(Budget::new(folder.file()).per_day(price("0.03")));
    let refusing = refusing().await;
    for _ in 0..2 {
        let error = client().send(refusing.post()).await.unwrap_err();
        assert!(matches!(error, ClientError::Refused(_)), "{error}");
    }
    let breaking = Shop::selling(|_, _| None).await;
    let options = HttpOptions { tries: 1, ..HttpOptions::default() };
    let budget = Budget::new(folder.file()).per_day(price("0.03"));
    let broken =
        PayingClient::builder(signer(), limits()).http(options).budget(budget).build().unwrap();
    let error = broken.send(breaking.post()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unresolved(_)), "{error}");
    let error = client().send(refusing.post()).await.unwrap_err();
    assert!(is_over_the_day(&error), "{error}");
    assert_eq!((refusing.paid().len(), breaking.paid().len()), (2, 1));
    // What is outstanding is in the file, with its end.
    let text = std::fs::read_to_string(folder.file()).unwrap();
    let signed: Vec<Vec<_>> = text.lines().skip(1).map(|line| line.split(' ').collect()).collect();
    assert_eq!(signed.len(), 3);
    for line in signed {
        let seconds = |at: usize| line[at].parse::<u64>().unwrap();
        assert_eq!((line[1], line[9]), ("signed", "10000"));
        assert!((60..=61).contains(&(seconds(3) - seconds(0))), "{line:?}");
    }
}

#[tokio::test]
async fn what_was_not_signed_does_not_count() {
    #[derive(Debug)]
    struct Locked;

    impl Signer for Locked {
        type Error = io::Error;

        fn address(&self) -> Address {
            signer().address()
        }

        fn sign(&self, _: &x402_core::Digest) -> Result<x402_core::Signature, io::Error> {
            Err(io::Error::other("the device is locked"))
        }
    }

    let folder = Folder::new("unsigned");
    let shop = Shop::selling(|_, _| settled()).await;
    let budget = || Budget::new(folder.file()).per_day(price("0.01"));
    let locked = PayingClient::builder(Locked, limits()).budget(budget()).build().unwrap();
    for _ in 0..2 {
        let error = locked.send(shop.post()).await.unwrap_err();
        assert!(matches!(error, ClientError::Signer(_)), "{error}");
    }
    buyer(budget()).send(shop.post()).await.unwrap();
    assert!(is_over_the_day(&buyer(budget()).send(shop.post()).await.unwrap_err()));
}

/// A node on which it is so late, and which says so of every authorization.
async fn node(time: u64, is_used: bool, knows_final: bool) -> Shop {
    use serde_json::{Value, json};

    Shop::open(move |seen, _| {
        let asked: Value = serde_json::from_slice(&seen.body).unwrap();
        let block = json!({"number": "0x10", "hash": format!("0x{}", "11".repeat(32)),
                           "timestamp": format!("{time:#x}")});
        let result = match asked["method"].as_str().unwrap() {
            "eth_chainId" => json!("0x1"),
            "eth_getBlockByNumber" if !knows_final && asked["params"][0] == "finalized" => {
                Value::Null
            }
            "eth_getBlockByNumber" => block,
            "eth_call" => {
                // Of one block, and no other.
                assert_eq!(asked["params"][1]["blockHash"], block["hash"]);
                assert!(asked["params"][0]["data"].as_str().unwrap().starts_with("0xe94a0102"));
                json!(format!("0x{:064x}", u8::from(is_used)))
            }
            method => panic!("{method}"),
        };
        let body = json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string();
        Some(Response::new(Full::from(body)))
    })
    .await
}

fn url(node: &Shop) -> http::Uri {
    format!("http://{}/", node.authority).parse().unwrap()
}

#[tokio::test]
async fn a_chain_frees_what_was_not_used_once_it_has_ended_and_nothing_before() {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let usdc = *offer().asset();
    for (name, valid_before, block, is_used, knows_final, is_freed) in [
        ("past", now - 1000, now - 1, false, true, true),
        ("used", now - 1000, now - 1, true, true, false),
        // Valid still, whatever the chain says; and over by our clock, but not by the chain's.
        ("valid", now + 100, now + 200, false, true, false),
        ("behind", now - 10, now - 10, false, true, false),
        // A node that does not know which blocks stay: not before they are old.
        ("young", now - 100, now - 1, false, false, false),
        ("old", now - 1000, now - 1, false, false, true),
    ] {
        let folder = Folder::new(name);
        let nonce = format!("0x{}", "22".repeat(32));
        let payer = signer().address();
        let text = format!(
            "x402 budget 2\n{now} signed {nonce} {valid_before} eip3009 {payer} a:1 eip155:1 {} 10000\n",
            usdc.address
        );
        std::fs::write(folder.file(), &text).unwrap();
        let (shop, node) = (refusing().await, node(block, is_used, knows_final).await);
        let client = || buyer(Budget::new(folder.file()).per_day(price("0.01")).ask(url(&node)));
        let error = client().send(shop.post()).await.unwrap_err();
        assert_eq!(matches!(error, ClientError::Refused(_)), is_freed, "{name}: {error}");
        let known = std::fs::read_to_string(folder.file()).unwrap();
        assert_eq!(known.contains(&format!(" unused {nonce}\n")), is_freed, "{name}: {known}");
        assert_eq!(known.contains(&format!(" used {nonce}\n")), is_used, "{name}: {known}");
        // The next has not run out, so that nothing is free until it has.
        let error = client().send(shop.post()).await.unwrap_err();
        assert!(is_over_the_day(&error), "{name}: {error}");
    }
}

/// A node is asked about so many at a time: the newest of those that are over, whatever is not.
#[tokio::test]
async fn what_is_over_is_freed_however_many_are_old_or_not_over() {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let (folder, usdc) = (Folder::new("many"), offer().asset().address);
    let payer = signer().address();
    let mut text = "x402 budget 2\n".to_owned();
    for index in 0..201_u64 {
        // A hundred of long ago, the one that matters, a hundred that the chain's clock has not seen end.
        let (time, valid_before) = match index {
            0..100 => (now - 900_000, now - 800_000),
            100 => (now, now - 100),
            _ => (now, now - 1),
        };
        let units = if index == 100 { 10_000 } else { 0 };
        text.push_str(&format!(
            "{time} signed 0x{index:064x} {valid_before} eip3009 {payer} a:1 eip155:1 {usdc} {units}\n"
        ));
    }
    std::fs::write(folder.file(), &text).unwrap();
    let (shop, node) = (refusing().await, node(now - 50, false, true).await);
    let client = buyer(Budget::new(folder.file()).per_day(price("0.01")).ask(url(&node)));
    let error = client.send(shop.post()).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused(_)), "{error}");
}

#[tokio::test]
async fn a_node_that_cannot_be_asked_frees_nothing_and_is_not_shown() {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let folder = Folder::new("silent");
    let nonce = format!("0x{}", "22".repeat(32));
    let (payer, usdc) = (signer().address(), offer().asset().address);
    // Written by somebody before the payment had ended.
    let text = format!(
        "x402 budget 2\n{now} signed {nonce} {} eip3009 {payer} a:1 eip155:1 {usdc} 10000\n{} unused {nonce}\n",
        now - 100,
        now - 100,
    );
    std::fs::write(folder.file(), &text).unwrap();
    let (shop, silent) = (refusing().await, Shop::open(|_, _| status(500, &[], "no")).await);
    let node = format!("http://{}/?key=CANARY", silent.authority).parse().unwrap();
    let budget = Budget::new(folder.file()).per_day(price("0.01")).ask(node);
    assert!(!format!("{budget:?}").contains("CANARY"));
    let error = buyer(budget).send(shop.post()).await.unwrap_err();
    assert!(is_over_the_day(&error) && !format!("{error:?}").contains("CANARY"), "{error}");
    assert!(silent.seen().len() == 1 && shop.paid().is_empty());
    assert_eq!(std::fs::read_to_string(folder.file()).unwrap(), text);
}

#[tokio::test]
async fn a_file_that_is_no_budget_is_left_as_it_is() {
    let folder = Folder::new("other");
    let shop = Shop::selling(|_, _| settled()).await;
    let key = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
    let files = [key.as_bytes(), &[key.as_bytes(), b"\n"].concat(), b"{\"a\": 1}", &[0xff; 40]];
    for bytes in files {
        std::fs::write(folder.file(), bytes).unwrap();
        let error = buyer(Budget::new(folder.file())).send(shop.post()).await.unwrap_err();
        assert!(
            matches!(error, ClientError::Budget { error: BudgetError::NoBudget, .. }),
            "{error}"
        );
        assert_eq!(std::fs::read(folder.file()).unwrap(), bytes);
    }
    // One that is longer than is read is not cut to that.
    let file = std::fs::File::create(folder.file()).unwrap();
    let length = (128 << 20) + 1;
    file.set_len(length).unwrap();
    let error = buyer(Budget::new(folder.file())).send(shop.post()).await.unwrap_err();
    assert!(matches!(error, ClientError::Budget { error: BudgetError::TooLong(_), .. }), "{error}");
    assert_eq!(file.metadata().unwrap().len(), length);
    assert!(shop.paid().is_empty());
}

/// What was noted by the first version counts on, and the file is gone on with.
#[tokio::test]
async fn a_budget_of_before_is_gone_on_with() {
    let folder = Folder::new("before");
    let shop = Shop::selling(|_, _| settled()).await;
    let (host, usdc) = (&shop.authority, offer().asset().address);
    let old = format!(
        "1790000000 {host} eip155:1 {usdc} 30000\n1790000001 {host} eip155:1 {usdc} -10000\n"
    );
    std::fs::write(folder.file(), &old).unwrap();
    let client = || buyer(Budget::new(folder.file()).per_host(price("0.03")));
    client().send(shop.post()).await.unwrap();
    let error = client().send(shop.post()).await.unwrap_err();
    assert!(matches!(error, ClientError::Budget { error: BudgetError::Host(_), .. }), "{error}");
    assert!(std::fs::read_to_string(folder.file()).unwrap().starts_with(&old));
    assert_eq!((shop.paid().len(), lines(&folder.file())), (1, 3));
}

#[cfg(unix)]
#[tokio::test]
async fn a_budget_is_its_owners_alone_and_keeps_the_modes_it_has() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = Folder::new("modes");
    let shop = Shop::selling(|_, _| settled()).await;
    let mode = || std::fs::metadata(folder.file()).unwrap().permissions().mode() & 0o777;
    buyer(Budget::new(folder.file())).send(shop.post()).await.unwrap();
    assert_eq!(mode(), 0o600);
    std::fs::set_permissions(folder.file(), std::fs::Permissions::from_mode(0o640)).unwrap();
    buyer(Budget::new(folder.file())).send(shop.post()).await.unwrap();
    assert_eq!((mode(), lines(&folder.file())), (0o640, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_pays_at_the_same_time_does_not_exceed_it_together() {
    let folder = Folder::new("race");
    let shop = Arc::new(Shop::selling(|_, _| settled()).await);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let (shop, path) = (Arc::clone(&shop), folder.file());
        tasks.spawn(async move {
            // A client of its own, as a process of its own would have.
            let client = buyer(Budget::new(path).per_day(price("0.07")));
            client.send(shop.post()).await.is_ok()
        });
    }
    let paid = tasks.join_all().await.into_iter().filter(|is_paid| *is_paid).count();
    assert_eq!((paid, shop.paid().len(), lines(&folder.file())), (7, 7, 7));
}

#[tokio::test]
async fn a_file_that_cannot_be_read_lets_nothing_be_paid() {
    let folder = Folder::new("broken");
    let shop = Shop::selling(|_, _| settled()).await;
    let good = "1790000000 a:1 eip155:1 0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48 1\n";
    for bad in
        ["\n", "x\n", "1 2 3\n", &good.replace(" 1\n", " +1\n"), &good.replace("1790", "-1790")]
    {
        let text = format!("{good}{bad}");
        std::fs::write(folder.file(), &text).unwrap();
        let error = buyer(Budget::new(folder.file())).send(shop.post()).await.unwrap_err();
        let is_line = matches!(error, ClientError::Budget { error: BudgetError::Line(2), .. });
        assert!(is_line, "{bad:?}: {error}");
        assert_eq!(std::fs::read_to_string(folder.file()).unwrap(), text);
    }
    // A line that was cut off was never counted on.
    std::fs::write(folder.file(), format!("{good}17900000")).unwrap();
    buyer(Budget::new(folder.file())).send(shop.post()).await.unwrap();
    assert_eq!(lines(&folder.file()), 2);
    let error = buyer(Budget::new(&folder.0)).send(shop.post()).await.unwrap_err();
    assert!(matches!(error, ClientError::Budget { error: BudgetError::NoBudget, .. }), "{error}");
    let nowhere = Budget::new(folder.0.join("nowhere").join("budget"));
    let error = buyer(nowhere).send(shop.post()).await.unwrap_err();
    assert!(matches!(error, ClientError::Budget { error: BudgetError::File(_), .. }), "{error}");
    assert_eq!(shop.paid().len(), 1);
}
