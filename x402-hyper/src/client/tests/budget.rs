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

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap().lines().count()
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

#[tokio::test]
async fn what_was_refused_is_given_back_and_what_is_unknown_is_not() {
    let folder = Folder::new("back");
    let refusing = Shop::selling(|_, _| Some(challenge(&offer(), None))).await;
    let client = buyer(Budget::new(folder.file()).per_day(price("0.01")));
    for _ in 0..3 {
        let error = client.send(refusing.post()).await.unwrap_err();
        assert!(matches!(error, ClientError::Refused(_)), "{error}");
    }
    let breaking = Shop::selling(|_, _| None).await;
    let options = HttpOptions { tries: 1, ..HttpOptions::default() };
    let budget = Budget::new(folder.file()).per_day(price("0.01"));
    let client =
        PayingClient::builder(signer(), limits()).http(options).budget(budget).build().unwrap();
    let error = client.send(breaking.post()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unresolved(_)), "{error}");
    let error = client.send(breaking.post()).await.unwrap_err();
    assert!(matches!(error, ClientError::Budget { error: BudgetError::Day(_), .. }), "{error}");
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
    assert!(matches!(error, ClientError::Budget { error: BudgetError::File(_), .. }), "{error}");
    assert_eq!(shop.paid().len(), 1);
}
