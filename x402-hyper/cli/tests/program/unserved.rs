//! What was paid and never served: it is listed, and given back once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;

use crate::process::{Ended, Running};
use crate::refund::{BUYER, Books, SELLER, SELLER_KEY, Silent, moved, nobody, write};
use crate::seller::{BUYER_KEY, SETTLER_KEY};

impl Books {
    fn refund_payment(&self, id: &str) -> Ended {
        self.ledger(&["refund", BUYER, "--payment", id], SELLER_KEY)
    }

    fn resolve(&self, args: &[&str]) -> Ended {
        self.ledger(&[&["resolve"], args].concat(), "")
    }

    fn shown(&self, id: &str) -> Value {
        serde_json::from_str(&self.ledger(&["show", id], "").succeeded()).unwrap()
    }

    #[track_caller]
    fn is_refused(&self, args: &[&str], key: &str, text: &str) {
        let ended = self.ledger(args, key);
        assert!(matches!(ended.code, 1 | 2), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(text), "{args:?}: {ended:?}");
    }
}

#[test]
fn what_was_paid_and_not_served_is_listed_and_made_credit_once() {
    let books = Books::open();
    let id = books.paid(1, None);
    let open = books.ledger(&["list", "--open"], "").succeeded();
    assert!(open.lines().count() == 2 && open.contains(&format!("\n{id},settled,")), "{open}");
    let table = books.ledger(&["list", "--open", "--format", "table"], "").succeeded();
    assert!(table.contains("  settled (not served)  "), "{table}");
    let resolved = books.resolve(&[]).succeeded();
    let said = format!("{id}: 0.01 USDC were paid by {BUYER}, claimed at 20");
    assert!(resolved.starts_with(&said) && resolved.lines().count() == 1, "{resolved}");
    assert!(resolved.contains(&format!("`--credit {id}` makes it credit")), "{resolved}");
    assert_eq!(books.credit(), None);

    let credited = books.resolve(&["--credit", &id]).succeeded();
    assert_eq!(credited, format!("0.01 USDC are credit of {BUYER}\n"));
    for _ in 0..2 {
        books.is_refused(&["resolve", "--credit", &id], "", "the payment is credited");
        let refund = ["refund", BUYER, "--payment", &id];
        books.is_refused(&refund, SELLER_KEY, "the payment is credited");
        assert_eq!(books.credit(), Some((10_000, 0)));
    }
    assert_eq!(books.shown(&id)["state"], "credited");
    assert_eq!(books.resolve(&[]).succeeded(), "nothing is open\n");
    assert_eq!(books.ledger(&["list", "--open"], "").succeeded().lines().count(), 1);
    let returned = books.ledger(&["list", "--state", "returned"], "").succeeded();
    assert_eq!(returned.lines().count(), 2);
}

#[test]
fn what_was_paid_and_not_served_is_refunded_once() {
    let books = Books::open();
    books.sell();
    let [id, other] = [1, 2].map(|number| books.paid(number, None));
    let before = books.balances();
    let none = books.ledger(&["refund", BUYER], SELLER_KEY);
    assert!(none.stderr.contains(&format!("{id} was paid and is not served")), "{none:?}");
    assert_eq!(none.succeeded(), "there is nothing to refund\n");
    let refund = ["refund", BUYER, "--payment", &id];
    books.is_refused(&["refund", SELLER, "--payment", &id], SELLER_KEY, "was paid by");
    books.is_refused(&["refund", BUYER, "--payment", "0x1"], SELLER_KEY, "there is no payment 0x1");
    books.is_refused(&refund, BUYER_KEY, "the key is that of");
    books.is_refused(
        &[&refund[..], &["--amount", "1"]].concat(),
        SELLER_KEY,
        "cannot be used with",
    );
    assert_eq!(books.balances(), before);

    let refunded = books.refund_payment(&id).succeeded();
    assert!(refunded.starts_with(&format!("refunded 0.01 USDC to {BUYER}: 0x")), "{refunded}");
    let shown = books.shown(&id);
    assert_eq!(shown["state"], "refunded");
    assert!(refunded.trim().ends_with(shown["refunded_by"].as_str().unwrap()), "{shown}");
    for _ in 0..2 {
        books.is_refused(&refund, SELLER_KEY, "the payment is refunded");
        books.is_refused(&["resolve", "--credit", &id], "", "the payment is refunded");
        assert_eq!((books.balances(), books.credit()), (moved(before, 10_000), None));
    }
    assert!(books.resolve(&[]).succeeded().starts_with(&format!("{other}: ")));
}

#[test]
fn a_refund_of_a_payment_that_was_killed_is_gone_on_with_and_paid_once() {
    let books = Books::open();
    books.sell();
    books.sell();
    let before = books.balances();
    for (number, passes_on) in [(1, false), (2, true)] {
        let id = books.paid(number, None);
        let silent = Silent::before(books.chain.address, passes_on);
        write(books.folder.path(), &books.seller, silent.node.address, nobody());
        let config = books.config.to_str().unwrap();
        let args = ["ledger", "refund", BUYER, "--payment", &id, "--config", config];
        let keys = [("X402_KEY", SETTLER_KEY), ("X402_REFUND_KEY", SELLER_KEY)];
        let mut refund = Running::start_in(books.folder.path(), &args, &keys);
        silent.sent.recv_timeout(Duration::from_secs(60)).unwrap();
        refund.kill();
        silent.open.store(true, Ordering::SeqCst);
        write(books.folder.path(), &books.seller, books.chain.address, nobody());
        assert_eq!(books.shown(&id)["state"], "refunding");
        books.is_refused(&["resolve", "--credit", &id], "", "the payment is refunding");
        let resolved = books.resolve(&[]).succeeded();
        let said = format!("{id}: 0.01 USDC are being refunded to {BUYER}: ");
        assert!(resolved.starts_with(&said), "{resolved}");
        books.refund_payment(&id).succeeded();
        assert_eq!(books.balances(), moved(before, u128::from(number) * 10_000));
        books.is_refused(
            &["refund", BUYER, "--payment", &id],
            SELLER_KEY,
            "the payment is refunded",
        );
        assert_eq!(books.resolve(&[]).succeeded(), "nothing is open\n");
    }
    assert_eq!(books.balances(), moved(before, 20_000));
}
