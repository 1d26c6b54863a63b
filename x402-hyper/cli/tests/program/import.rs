//! What a device has served is imported, and settled on the development chain.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::SystemTime;

use x402_core::hex::{self, Hex};
use x402_core::secp256k1::{K256Signer, Vartime};
use x402_core::window::Limits;
use x402_core::{Address, Amount, Asset, Authorization, ChainId, Moment, Nonce, Offer, Payment};
use x402_core::{Checked, Signer as _, Timestamp, Transfer, Window};
use x402_std::Ledger as _;
use x402_std::chain::{Settlement, Transaction, TxHash};
use x402_std::ledger::{Answer, Entry, RedbLedger, RequestId, Step};

use crate::process::{Ended, run_with};
use crate::seller::{BUYER_KEY, Chain, PAY_TO, SETTLER_KEY, config};

/// A device that sells for a cent, to whoever may be paid.
struct Device {
    offer: Offer<'static>,
    now: u64,
    window: Window<16>,
}

impl Device {
    fn new(pay_to: &str) -> Self {
        let asset = *Asset::find(ChainId::ETHEREUM, "USDC").unwrap();
        let pay_to = Address::parse(pay_to).unwrap();
        let offer = Offer::new(asset, pay_to, Amount::from_units(10_000), 60);
        let limits = Limits { owed: Amount::from_units(1_000_000), horizon_seconds: 600 };
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        Self { offer, now, window: Window::new(limits) }
    }

    /// Sells to the holder of a key, who signs for 60 seconds.
    fn sell(&mut self, key: &str, nonce: u8) {
        let _ = self.take(key, nonce);
    }

    /// As [`Self::sell`], with what was sold for.
    fn take(&mut self, key: &str, nonce: u8) -> Checked {
        let signer = K256Signer::from_bytes(&hex::decode(key).unwrap()).unwrap();
        let terms = *self.offer.requirements();
        let authorization = Authorization {
            from: signer.address(),
            to: terms.pay_to,
            value: terms.amount,
            valid_after: Timestamp::ZERO,
            valid_before: Timestamp::from_secs(self.now + 60),
            nonce: Nonce::new([nonce; 32]),
        };
        let Ok(signature) = signer.sign(&authorization.digest(&terms.domain));
        let payment = Payment {
            chain_id: terms.chain_id,
            asset: terms.asset,
            transfer: Transfer::Eip3009(authorization),
            signature: Ok(signature),
        };
        let moment = Moment::at(self.now);
        let checked = terms.check(&payment, &moment, &Vartime).unwrap();
        assert!(self.window.reserve(&checked, moment.now).is_ok());
        checked
    }

    /// The records, a line each.
    fn hand_out(&self) -> Vec<String> {
        self.window.unsettled().map(|claimed| Hex(&claimed.to_bytes()).to_string()).collect()
    }
}

/// A seller who is not running.
struct Books {
    chain: Chain,
    folder: tempfile::TempDir,
}

impl Books {
    fn open() -> Self {
        let (chain, folder) = (Chain::start(), tempfile::tempdir().unwrap());
        let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        config(folder.path(), chain.address, upstream);
        Self { chain, folder }
    }

    fn run(&self, args: &[&str]) -> Ended {
        let args = [&["ledger"], args, &["--config", "x402.yaml"]].concat();
        let ended = run_with(&args, &[("X402_KEY", SETTLER_KEY)], self.folder.path());
        ended.assert_without(SETTLER_KEY);
        ended
    }

    fn import(&self, lines: &[String], options: &[&str]) -> Ended {
        std::fs::write(self.folder.path().join("handed-out"), lines.join("\n")).unwrap();
        let ended = self.run(&[&["import", "handed-out"], options].concat());
        // A record is a secret until it is settled.
        for line in lines.iter().filter(|line| line.len() > 200) {
            ended.assert_without(&line[line.len() - 130..]);
        }
        ended
    }

    fn count(&self) -> usize {
        let listed = std::fs::exists(self.folder.path().join("x402.redb")).unwrap();
        if listed { self.run(&["list"]).succeeded().lines().count() - 1 } else { 0 }
    }
}

/// Account 9 of the development mnemonic, which has no USDC.
const POOR_KEY: &str = "0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6";

#[test]
fn what_a_device_sold_is_settled_in_one_transaction_and_once() {
    let books = Books::open();
    let mut device = Device::new(PAY_TO);
    for nonce in 1..=3 {
        device.sell(BUYER_KEY, nonce);
    }
    let mut lines = device.hand_out();
    lines.push(String::new());
    lines.push(lines[0].clone());
    let imported = books.import(&lines, &[]).succeeded();
    let rows: Vec<_> = imported.lines().collect();
    let transaction = rows[0].rsplit(' ').next().unwrap();
    assert_eq!(rows.len(), 4, "{imported}");
    for (row, number) in rows.iter().zip([1, 2, 3, 5]) {
        assert!(row.starts_with(&format!("line {number}: 0x")), "{row}");
        assert!(row.ends_with(&format!("settled by {transaction}")), "{row}");
        assert!(row.contains(" 0.01 USDC of 0x70997970"), "{row}");
        assert_eq!(row.contains("imported before"), number == 5, "{row}");
    }
    assert_eq!(books.chain.balance(PAY_TO), 30_000);
    let again = books.import(&lines, &[]).succeeded();
    assert_eq!(again.matches("imported before, settled by").count(), 4, "{again}");
    assert_eq!((books.chain.balance(PAY_TO), books.count()), (30_000, 3));
    let served = books.run(&["list", "--state", "served"]).succeeded();
    assert_eq!(served.matches(transaction).count(), 3, "{served}");
}

/// The payer has presented it to the gateway, too.
#[test]
fn what_was_sold_by_the_gateway_too_is_said_to_be_a_loss() {
    let books = Books::open();
    let mut device = Device::new(PAY_TO);
    let checked = device.take(BUYER_KEY, 1);
    device.sell(BUYER_KEY, 2);
    let (hash, body) = (TxHash([7; 32]), Some(b"served".to_vec()));
    let answer = Answer { status: 200, headers: Vec::new(), body, request_body: [0; 32] };
    let steps = [
        Step::Journalled(Transaction { hash, raw: vec![7] }),
        Step::Confirmed(Settlement { transaction: hash, log: None }),
        Step::Answered(answer, Amount::from_units(10_000)),
    ];
    let ledger = RedbLedger::open(books.folder.path().join("x402.redb")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let entry = Entry::new(&checked, RequestId::new("GET", "/"), device.now).unwrap();
        drop(ledger.claim(entry).await.unwrap());
        for step in steps {
            ledger.apply(checked.id(), step).await.unwrap();
        }
    });
    drop(ledger);
    let imported = books.import(&device.hand_out(), &[]);
    assert_eq!(imported.code, 7, "{imported:?}");
    let sold =
        imported.stdout.matches("taken for another request, too, and paid once, by 0x0707").count();
    let settled = imported.stdout.matches(": settled by 0x").count();
    assert_eq!((sold, settled), (1, 1), "{imported:?}");
    assert!(imported.stderr.contains("1 of these are a loss"), "{imported:?}");
    assert_eq!(books.chain.balance(PAY_TO), 10_000);
}

#[test]
fn a_bad_line_is_named_and_nothing_is_imported_unless_it_is_passed_over() {
    let books = Books::open();
    let mut device = Device::new(PAY_TO);
    device.sell(BUYER_KEY, 1);
    let good = device.hand_out().remove(0);
    let mut foreign = Device::new("0x00000000000000000000000000000000000000aa");
    foreign.sell(BUYER_KEY, 2);
    let mut late = Device::new(PAY_TO);
    late.now -= 60;
    late.sell(BUYER_KEY, 3);
    let mut forged = good.clone().into_bytes();
    // A digit of the payer.
    forged[2 + 2 * 28] ^= 1;
    // Ethereum is 0x01: another chain.
    let elsewhere = good.replacen("0x0000000000000001", "0x0000000000002105", 1);
    let lines = [
        good.clone(),
        foreign.hand_out().remove(0),
        late.hand_out().remove(0),
        String::from_utf8(forged).unwrap(),
        elsewhere,
        good[..good.len() - 2].to_owned(),
        "what is this".to_owned(),
    ];
    let refused = books.import(&lines, &[]);
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{refused:?}");
    for sentence in [
        "line 2: the authorization pays another recipient",
        "line 3: the authorization is expired",
        "line 4: the signature",
        "line 5: the payment is on another network",
        "line 6: this is no record: 0x and 315 bytes",
        "line 7: this is no record: 0x and 315 bytes",
        "error: 6 lines hold no payment that can be taken: nothing is imported",
    ] {
        assert!(refused.stderr.contains(sentence), "{sentence}: {}", refused.stderr);
    }
    assert!(!refused.stderr.contains("line 1:"), "{}", refused.stderr);
    assert_eq!((books.count(), books.chain.balance(PAY_TO)), (0, 0));
    let imported = books.import(&lines, &["--skip-bad"]);
    assert!(imported.stderr.contains("line 7: "), "{imported:?}");
    assert_eq!(imported.succeeded().matches("settled by").count(), 1);
    assert_eq!((books.count(), books.chain.balance(PAY_TO)), (1, 10_000));
}

#[test]
fn what_the_token_refuses_is_said_with_its_reason_and_owed() {
    let books = Books::open();
    let mut device = Device::new(PAY_TO);
    device.sell(POOR_KEY, 1);
    device.sell(BUYER_KEY, 2);
    let imported = books.import(&device.hand_out(), &[]);
    assert_eq!(imported.code, 1, "{imported:?}");
    let mut rows: Vec<_> = imported.stdout.lines().collect();
    rows.sort_by_key(|row| row.contains("settled by"));
    assert!(rows[0].contains("refused: the payer's balance"), "{rows:?}");
    assert!(rows[1].contains("settled by 0x"), "{rows:?}");
    assert_eq!(books.chain.balance(PAY_TO), 10_000);
    assert_eq!(books.run(&["list", "--open"]).succeeded().matches("unpaid").count(), 1);
}

#[test]
fn what_is_no_file_or_no_ledger_is_said() {
    let books = Books::open();
    let missing = books.run(&["import", "none"]);
    assert!(missing.code == 2 && missing.stderr.contains("at: none"), "{missing:?}");
    let memory = books.run(&["import", "-", "--ledger", "memory"]);
    assert!(
        memory.code == 2 && memory.stderr.contains("a ledger in memory is in its gateway only"),
        "{memory:?}"
    );
    // Nothing comes from stdin.
    assert_eq!(books.run(&["import", "-"]).succeeded(), "");
}
