//! Credit that is given back on the development chain.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use serde_json::Value;
use x402_core::secp256k1::{K256, K256Signer};
use x402_core::{Address, Amount, Asset, Authorization, ChainId, Moment, Nonce, Offer, Payment};
use x402_core::{Signer as _, Timestamp, Transfer, hex};
use x402_std::Ledger as _;
use x402_std::chain::{Settlement, Transaction, TxHash};
use x402_std::ledger::{Answer, CreditAccount, Draw, Drawing, Entry, RedbLedger};
use x402_std::ledger::{RequestId, Settle, Step};

use crate::process::{Ended, Running, run_with};
use crate::seller::{BUYER_KEY, Chain, PAY_TO, SETTLER_KEY, Scripted, answer, config, exchange};

/// Accounts 1 and 2 of the development mnemonic: the payer, and who is paid.
pub const BUYER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
pub const SELLER: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
pub const SELLER_KEY: &str = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";
/// What one payment leaves: 0.0037 of 0.01 USDC.
const CREDIT: u128 = 3_700;

/// A chain, and the books of a seller whose gateway does not run.
pub struct Books {
    pub chain: Chain,
    pub folder: tempfile::TempDir,
    pub config: PathBuf,
    pub seller: String,
}

impl Books {
    pub fn open() -> Self {
        Self::of(SELLER_KEY)
    }

    /// Of a seller with this key.
    fn of(key: &str) -> Self {
        let chain = Chain::start();
        let folder = tempfile::tempdir().unwrap();
        let seller = K256Signer::from_bytes(&hex::decode(key).unwrap()).unwrap();
        let seller = seller.address().to_string();
        let config = write(folder.path(), &seller, chain.address, nobody());
        Self { chain, folder, config, seller }
    }

    /// Has the buyer pay 0.01 USDC for something that costs all of it: by a gateway, which then ends.
    pub fn sell(&self) {
        let upstream = Scripted::start(|_, _| answer("200 OK", "", "served"));
        write(self.folder.path(), &self.seller, self.chain.address, upstream.address);
        let args = ["serve", "--config", self.config.to_str().unwrap()];
        let mut gateway = Running::start(&args, &[("X402_KEY", SETTLER_KEY)]);
        let line = gateway.line("listening on http://");
        let address = line.split(['/', ',']).nth(2).unwrap();
        let url = format!("http://{address}/api/analyze");
        let args = ["pay", &url, "-d", "some words", "--max", "0.05"];
        run_with(&args, &[("X402_KEY", BUYER_KEY)], self.folder.path()).succeeded();
        assert_eq!(gateway.interrupt().code, 0);
    }

    /// A payment that was served and cost less than was paid.
    pub fn earn(&self, number: u8) -> String {
        let body = Some(b"served".to_vec());
        let answer = Answer { status: 200, headers: Vec::new(), body, request_body: [0; 32] };
        self.paid(number, Some(Step::Answered(answer, Amount::from_units(10_000 - CREDIT))))
    }

    /// A payment that has arrived, and whatever came after.
    pub fn paid(&self, number: u8, then: Option<Step>) -> String {
        let transaction = Transaction { hash: TxHash([number; 32]), raw: vec![number] };
        let steps = [
            Step::Journalled(transaction),
            Step::Confirmed(Settlement { transaction: TxHash([number; 32]), log: None }),
        ];
        self.enter(number, Settle::First, steps.into_iter().chain(then))
    }

    /// A payment of 0.01 USDC, and what has become of it.
    pub fn enter(
        &self,
        number: u8,
        settle: Settle,
        steps: impl IntoIterator<Item = Step>,
    ) -> String {
        let buyer = K256Signer::from_bytes(&hex::decode(BUYER_KEY).unwrap()).unwrap();
        let usdc = *Asset::find(ChainId::ETHEREUM, "USDC").unwrap();
        let seller = Address::parse(&self.seller).unwrap();
        let offer = Offer::new(usdc, seller, Amount::from_units(10_000), 60);
        let terms = offer.requirements();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let authorization = Authorization {
            from: buyer.address(),
            to: seller,
            value: terms.amount,
            valid_after: Timestamp::ZERO,
            valid_before: Timestamp::from_secs(now + 60),
            nonce: Nonce::new([number; 32]),
        };
        let signature = Ok(buyer.sign(&authorization.digest(&terms.domain)).unwrap());
        let transfer = Transfer::Eip3009(authorization);
        let payment = Payment { chain_id: usdc.chain_id, asset: usdc.address, transfer, signature };
        let checked = terms.check(&payment, &Moment::at(now), &K256).unwrap();
        let id = checked.id();
        let ledger = RedbLedger::open(self.folder.path().join("x402.redb")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let entry = Entry::new(&checked, RequestId([1; 32]), now).unwrap();
            drop(ledger.claim(Entry { settle, ..entry }).await.unwrap());
            for step in steps {
                ledger.apply(id, step).await.unwrap();
            }
        });
        id.to_string()
    }

    pub fn ledger(&self, args: &[&str], key: &str) -> Ended {
        self.ledger_by(&self.config, args, key)
    }

    fn ledger_by(&self, config: &Path, args: &[&str], key: &str) -> Ended {
        let args = [&["ledger"], args, &["--config", config.to_str().unwrap()]].concat();
        let keys = [("X402_KEY", SETTLER_KEY), ("X402_REFUND_KEY", key)];
        let ended = run_with(&args, &keys, self.folder.path());
        ended.assert_without(SETTLER_KEY);
        ended.assert_without(SELLER_KEY);
        ended
    }

    fn refund(&self) -> Ended {
        self.ledger(&["refund", BUYER], SELLER_KEY)
    }

    /// Balance and what is held, in atomic units.
    pub fn credit(&self) -> Option<(u128, u128)> {
        let listed = self.ledger(&["credits", "--format", "json"], "").succeeded();
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let rows = listed.as_array().unwrap();
        assert!(rows.len() <= 1, "{listed}");
        let units = |row: &Value, name| row[name].as_str().unwrap().parse().unwrap();
        rows.first().map(|row| (units(row, "amount_units"), units(row, "held_units")))
    }

    pub fn balances(&self) -> [u128; 2] {
        [BUYER, &self.seller].map(|owner| self.chain.balance(owner))
    }
}

pub fn nobody() -> SocketAddr {
    "127.0.0.1:9".parse().unwrap()
}

pub fn write(folder: &Path, seller: &str, chain: SocketAddr, upstream: SocketAddr) -> PathBuf {
    let path = config(folder, chain, upstream);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(PAY_TO, seller)).unwrap();
    path
}

#[cfg(target_os = "linux")]
#[test]
fn what_was_given_back_is_said_where_stdout_cannot_be_written() {
    let books = Books::open();
    books.sell();
    books.earn(1);
    let before = books.balances();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let args = ["ledger", "refund", BUYER, "--config", books.config.to_str().unwrap()];
    let keys = [("X402_KEY", SETTLER_KEY), ("X402_REFUND_KEY", SELLER_KEY)];
    let ended = crate::process::run_to(full, &args, &keys, books.folder.path());
    assert_eq!(ended.code, 8, "{ended:?}");
    let said = format!("refunded 0.0037 USDC to {BUYER}: 0x");
    assert!(ended.stderr.contains(&said), "{ended:?}");
    assert_eq!((books.balances(), books.credit()), (moved(before, CREDIT), None));
}

#[test]
fn credit_is_shown_and_given_back_once() {
    let books = Books::open();
    assert_eq!(books.refund().succeeded(), "there is nothing to refund\n");
    assert_eq!(books.credit(), None);
    books.sell();
    assert_eq!(books.credit(), None);
    let id = books.earn(1);
    books.earn(2);
    let shown = books.ledger(&["show", &id], "").succeeded();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["credit_units"], &shown["credit"]), (&"3700".into(), &"0.0037".into()));
    let listed = books.ledger(&["credits"], "").succeeded();
    let row = format!(",USDC,{SELLER},7400,0.0074,0,0,0,0\n");
    assert!(listed.contains(&row) && listed.lines().nth(1).unwrap().starts_with(BUYER), "{listed}");
    let table = books.ledger(&["credits", "--format", "table"], "").succeeded();
    assert!(table.starts_with("payer ") && table.contains("  0.0074 USDC  "), "{table}");

    let before = books.balances();
    let part = books.ledger(&["refund", BUYER, "--amount", "0.0024"], SELLER_KEY).succeeded();
    assert!(part.starts_with(&format!("refunded 0.0024 USDC to {BUYER}: 0x")), "{part}");
    assert_eq!((books.balances(), books.credit()), (moved(before, 2_400), Some((5_000, 0))));
    let key = books.folder.path().join("pay_to.key");
    std::fs::write(&key, SELLER_KEY).unwrap();
    close(&key);
    let args = ["refund", BUYER, "--key-file", key.to_str().unwrap()];
    let rest = books.ledger(&args, "none").succeeded();
    assert!(rest.starts_with(&format!("refunded 0.005 USDC to {BUYER}: 0x")), "{rest}");
    let hash = rest.trim().rsplit(' ').next().unwrap();
    let receipt = books.chain.rpc("eth_getTransactionReceipt", &serde_json::json!([hash]));
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    assert_eq!((books.balances(), books.credit()), (moved(before, 7_400), None));
    assert_eq!(books.refund().succeeded(), "there is nothing to refund\n");
    assert_eq!(books.balances(), moved(before, 7_400));
    // What came in is in the books as it was, and nothing else is.
    assert_eq!(books.ledger(&["list"], "").succeeded().lines().count(), 4);
}

pub fn moved([buyer, seller]: [u128; 2], units: u128) -> [u128; 2] {
    [buyer + units, seller - units]
}

#[cfg(unix)]
fn close(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[cfg(not(unix))]
fn close(_: &Path) {}

#[test]
fn what_cannot_be_refunded_is_said_before_anything_is_drawn() {
    let books = Books::open();
    books.earn(1);
    let before = books.balances();
    let wrong = books.ledger(&["refund", BUYER], BUYER_KEY);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.stderr.contains(&format!("the key is that of {BUYER}")), "{wrong:?}");
    assert!(wrong.stderr.contains(&format!("and {SELLER} was paid")), "{wrong:?}");
    for (args, key, code, text) in [
        (&["refund", BUYER][..], "", 2, "X402_REFUND_KEY"),
        (&["refund", "somebody"], SELLER_KEY, 2, "no address"),
        (&["refund", BUYER, "--amount", "0.0038"], SELLER_KEY, 1, "0.0037 USDC only"),
        (&["refund", BUYER, "--amount", "0"], SELLER_KEY, 2, "it is nothing"),
        (&["refund", BUYER, "--amount", "much"], SELLER_KEY, 2, "--amount"),
        (&["refund", BUYER, "--amount", "0.00000001"], SELLER_KEY, 2, "--amount"),
        (&["refund", BUYER, "--ledger", "memory"], SELLER_KEY, 2, "in its gateway only"),
    ] {
        let ended = books.ledger(args, key);
        assert_eq!(ended.code, code, "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(text), "{args:?}: {ended:?}");
    }
    let nobody = books.ledger(&["refund", SELLER], SELLER_KEY).succeeded();
    assert_eq!(nobody, "there is nothing to refund\n");
    assert_eq!((books.balances(), books.credit()), (before, Some((CREDIT, 0))));
}

/// A node that stands before the chain, and keeps the answer to a transaction to itself.
pub struct Silent {
    pub node: Scripted,
    pub sent: mpsc::Receiver<()>,
    pub open: Arc<AtomicBool>,
}

impl Silent {
    /// The transaction gets to the chain, or not even that.
    pub fn before(chain: SocketAddr, passes_on: bool) -> Self {
        let (tell, sent) = mpsc::channel();
        let open = Arc::new(AtomicBool::new(false));
        let is_open = Arc::clone(&open);
        let node = Scripted::start(move |request, _| {
            let (_, body) = request.split_once("\r\n\r\n").unwrap();
            let is_sent = body.contains("eth_sendRawTransaction");
            let fields = "Content-Type: application/json\r\n";
            let result = if is_sent && !passes_on {
                String::new()
            } else {
                exchange(chain, "/", fields, body).1
            };
            if is_sent {
                tell.send(()).unwrap();
                while !is_open.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            answer("200 OK", fields, &result)
        });
        Self { node, sent, open }
    }
}

#[test]
fn a_refund_that_was_killed_is_gone_on_with_and_paid_once() {
    let books = Books::open();
    books.sell();
    let before = books.balances();
    for (number, passes_on) in [(1, false), (2, true)] {
        books.earn(number);
        let silent = Silent::before(books.chain.address, passes_on);
        write(books.folder.path(), &books.seller, silent.node.address, nobody());
        let args = ["ledger", "refund", BUYER, "--config", books.config.to_str().unwrap()];
        let keys = [("X402_KEY", SETTLER_KEY), ("X402_REFUND_KEY", SELLER_KEY)];
        let mut refund = Running::start_in(books.folder.path(), &args, &keys);
        silent.sent.recv_timeout(Duration::from_secs(60)).unwrap();
        refund.kill();
        silent.open.store(true, Ordering::SeqCst);
        write(books.folder.path(), &books.seller, books.chain.address, nobody());
        assert_eq!(books.credit(), Some((0, CREDIT)), "it is held");
        let paid = u128::from(number) * CREDIT;
        let sent = if passes_on { paid } else { paid - CREDIT };
        assert_eq!(books.balances(), moved(before, sent));
        // With its amount too it is the same refund, and no other; with another amount that is left, and said.
        let amount = if passes_on { "0.0037" } else { "0.001" };
        let args = ["refund", BUYER, "--amount", amount];
        let resumed = books.ledger(&args, SELLER_KEY);
        assert!(resumed.stdout.starts_with("refunded 0.0037 USDC to "), "{resumed:?}");
        let is_left = resumed.stderr.contains("0.001 is not refunded: what was open came first");
        assert_eq!((resumed.code, is_left), (i32::from(!passes_on), !passes_on), "{resumed:?}");
        assert_eq!((books.balances(), books.credit()), (moved(before, paid), None));
        assert_eq!(books.refund().succeeded(), "there is nothing to refund\n");
    }
    assert_eq!(books.balances(), moved(before, 2 * CREDIT));
}

impl Books {
    /// Credit of 0.0037 USDC, of which 0.003 are held by a gateway that has crashed.
    fn hold(&self) {
        self.earn(1);
        let usdc = *Asset::find(ChainId::ETHEREUM, "USDC").unwrap();
        let [payer, seller] = [BUYER, &self.seller].map(|text| Address::parse(text).unwrap());
        let account = CreditAccount { payer, chain_id: usdc.chain_id, asset: usdc.address, seller };
        let (request, amount) = (RequestId::new("GET", "/"), Amount::from_units(3_000));
        let ledger = RedbLedger::open(self.folder.path().join("x402.redb")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let drawn = runtime.block_on(ledger.draw(Draw::new(account, [9; 32], request, amount, 1)));
        assert_eq!(drawn.unwrap(), Drawing::New);
        drop(ledger);
        assert_eq!(self.credit(), Some((CREDIT - 3_000, 3_000)));
    }
}

#[test]
fn what_a_gateway_that_crashed_held_is_credit_again_when_it_starts() {
    let books = Books::open();
    books.hold();
    let args = ["serve", "--config", books.config.to_str().unwrap()];
    let mut gateway = Running::start(&args, &[("X402_KEY", SETTLER_KEY)]);
    gateway.line("listening on http://");
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while books.credit() != Some((CREDIT, 0)) {
        assert!(std::time::Instant::now() < deadline, "it is held still");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(gateway.interrupt().code, 0);
}

#[test]
fn what_a_gateway_that_crashed_held_is_credit_again_where_the_operator_says_so() {
    let books = Books::open();
    books.hold();
    let resolved = books.ledger(&["resolve"], "").succeeded();
    assert!(resolved.starts_with(&format!("0.003 USDC are credit of {BUYER} again")), "{resolved}");
    assert!(resolved.ends_with("nothing is open\n"), "{resolved}");
    assert_eq!(books.credit(), Some((CREDIT, 0)));
    assert_eq!(books.ledger(&["resolve"], "").succeeded(), "nothing is open\n");
}

#[test]
fn a_seller_who_has_not_the_money_is_told_and_the_amount_stays_set_aside() {
    let key = hex::Hex(&[0x5e; 32]).to_string();
    let books = Books::of(&key);
    books.earn(1);
    for _ in 0..2 {
        let refused = books.ledger(&["refund", BUYER], &key);
        assert_eq!(refused.code, 1, "{refused:?}");
        let text = format!("{} has too little USDC", books.seller);
        assert!(refused.stderr.contains(&text), "{refused:?}");
        assert_eq!(books.credit(), Some((0, CREDIT)));
    }
    // Once the money is there, it goes on.
    books.sell();
    let before = books.balances();
    let refunded = books.ledger(&["refund", BUYER], &key).succeeded();
    assert!(refunded.starts_with("refunded 0.0037 USDC to "), "{refunded}");
    assert_eq!((books.balances(), books.credit()), (moved(before, CREDIT), None));
}

/// He was served for 0.002 USDC by a payment that the chain did not take, and has paid two others.
#[test]
fn what_is_owed_is_set_off_before_credit_is_given_back() {
    let books = Books::open();
    books.sell();
    books.earn(1);
    let head = Answer { status: 200, headers: Vec::new(), body: None, request_body: [0; 32] };
    let steps = [Step::Worked(head, Amount::from_units(2_000)), Step::Refused];
    let debt = books.enter(2, Settle::Later, steps);
    let listed = books.ledger(&["credits"], "").succeeded();
    assert!(listed.ends_with(",3700,0.0037,0,0,2000,0.002\n"), "{listed}");
    let before = books.balances();
    let refunded = books.refund();
    let said = format!("0.002 USDC of the credit are set off against what is owed for {debt}");
    assert!(refunded.stderr.contains(&said), "{refunded:?}");
    assert!(refunded.succeeded().starts_with(&format!("refunded 0.0017 USDC to {BUYER}: 0x")));
    assert_eq!((books.balances(), books.credit()), (moved(before, 1_700), None));
    let exported = books.ledger(&["export", "--format", "json"], "").succeeded();
    let exported: Value = serde_json::from_str(&exported).unwrap();
    let row = exported.as_array().unwrap().iter().find(|row| row["id"] == *debt).unwrap();
    assert_eq!((&row["state"], &row["set_off_units"]), (&"set off".into(), &"2000".into()));
    // It is none any more: what he has paid and not been served is given back as it is.
    let unserved = books.paid(3, None);
    books.ledger(&["resolve", "--credit", &unserved], "").succeeded();
    assert_eq!(books.credit(), Some((10_000, 0)));
}
