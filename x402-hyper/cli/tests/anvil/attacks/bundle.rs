//! One transaction uses nine authorizations up and moves the money of one.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use x402_core::hex::Hex;
use x402_core::keccak256;
use x402_core::proof::FIELD;
use x402_core::secp256k1::Vartime;
use x402_core::window::Limits;
use x402_core::{Amount, Authorization, Moment, Offer, Payment, Signer as _, Transfer, Window};

use super::{Bundle, SELLER, STRANGER, address, aggregate3, books_agree, had, insist};
use super::{
    install_multicall, mint_all, operate, padded, requests, selector, sign, signer_of, together,
    transact,
};
use super::{paying, stranger::proof, wait_for, while_blocks_come, word};
use crate::facilitator::{Service, body_of, settle};
use crate::faults::PRICE;
use crate::http::{self, Answer};
use crate::node::{Node, USDC};
use crate::shop::{BUYER, PAY_TO, Setup, Shop, usdc};
use crate::wallet::MULTICALL3;

fn open(setup: Setup) -> Shop {
    let shop = Shop::set_up(setup);
    install_multicall(&shop.node);
    mint_all(&shop.node);
    shop
}

/// Presents all nine, has the bundle mined before ours come to the node, and gives the answers in the end.
fn outrun(shop: &Shop, bundle: &Bundle, requests: &[String]) -> Vec<Answer> {
    shop.proxy.hold_sends(true);
    together(shop.address, requests, || {
        wait_for("a transaction of ours", || shop.proxy.held() > 0);
        thread::sleep(Duration::from_secs(1));
        bundle.run(&shop.node);
        shop.proxy.hold_sends(false);
    });
    insist(shop.address, requests, 40)
}

/// What was paid, and what was had for it, in three rounds.
fn play(shop: &Shop, what: &str) {
    let mut served = 0;
    for seed in 1..=3 {
        let bundle = Bundle::new(seed, PRICE, PAY_TO);
        let answers = outrun(shop, &bundle, &requests(&bundle.payments()));
        served += had(&answers);
        let paid = shop.recipient_balance();
        println!("{what}, seed {seed}: paid {paid}, had {}", served * PRICE);
        assert_eq!(served * PRICE, paid, "{what}, seed {seed}");
    }
    books_agree(shop, 0);
}

#[test]
fn of_nine_that_one_transfer_pays_one_is_served() {
    play(&open(Setup::default()), "first");
}

#[test]
fn of_nine_whose_work_is_done_the_one_that_was_paid_is_answered() {
    play(&open(Setup { settle: "after", ..Setup::default() }), "after");
}

#[test]
fn three_blocks_more_make_no_payment_of_a_use() {
    let shop = open(Setup { chain: ", confirmations: 3", ..Setup::default() });
    while_blocks_come(&shop.node, || play(&shop, "three confirmations"));
}

/// The program ends anywhere between. What it had not sent is as if it came for the first time: there who
/// pays shows that it is he.
#[test]
fn who_is_killed_amid_it_serves_one() {
    for (settle, instant) in [("first", 0), ("after", 300), ("first", 900)] {
        let mut shop = open(Setup { settle, ..Setup::default() });
        let bundle = Bundle::new(instant + 1, PRICE, PAY_TO);
        let requests = requests(&bundle.payments());
        shop.proxy.hold_sends(true);
        let to = shop.address;
        thread::scope(|scope| {
            for request in &requests {
                scope.spawn(move || http::try_exchange(to, request));
            }
            wait_for("a transaction of ours", || shop.proxy.held() > 0);
            bundle.run(&shop.node);
            thread::sleep(Duration::from_millis(instant));
            shop.kill();
        });
        shop.proxy.hold_sends(false);
        shop.start_program();
        let proved = |it: &_| [paying(it), vec![(FIELD, proof(it, "http://localhost"))]];
        let proved: Vec<_> = bundle.all.iter().map(|it| proved(it).concat()).collect();
        let answers = insist(shop.address, &super::requests(&proved), 40);
        println!(
            "killed, {settle}: paid {}, had {}",
            shop.recipient_balance(),
            had(&answers) * PRICE
        );
        assert_eq!((had(&answers) * PRICE, shop.recipient_balance()), (PRICE, PRICE));
        books_agree(&shop, 0);
    }
}

/// Who pays shows that it is he for each of the nine, several times at once.
#[test]
fn of_nine_that_are_presented_when_all_is_over_the_one_that_was_paid_is_served() {
    let shop = open(Setup::default());
    for seed in 1..=3_u64 {
        let bundle = Bundle::new(seed, PRICE, PAY_TO);
        bundle.run(&shop.node);
        let proved = |it: &_| [paying(it), vec![(FIELD, proof(it, "http://localhost"))]];
        let proved: Vec<_> = bundle.all.iter().map(|it| proved(it).concat()).collect();
        let requests = requests(&proved);
        let threefold: Vec<_> = [&requests[..], &requests, &requests].concat();
        together(shop.address, &threefold, || {});
        let answers = insist(shop.address, &requests, 20);
        println!("afterwards: paid {}, had {}", PRICE, had(&answers) * PRICE);
        assert_eq!(had(&answers), 1);
        let (paid, served) = (shop.recipient_balance(), shop.upstream.hits());
        assert_eq!((paid, served as u64), (u128::from(seed) * PRICE, seed));
    }
    books_agree(&shop, 0);
}

/// Nothing has moved, and nothing is served.
#[test]
fn who_cancels_ahead_of_us_has_nothing() {
    let shop = open(Setup::default());
    let bundle = Bundle::new(1, PRICE, PAY_TO);
    let requests = requests(&bundle.payments());
    shop.proxy.hold_sends(true);
    together(shop.address, &requests, || {
        wait_for("a transaction of ours", || shop.proxy.held() > 0);
        let cancel: Vec<_> = bundle.all.iter().map(cancel).collect();
        transact(&shop.node, STRANGER, MULTICALL3, &aggregate3(USDC, &cancel));
        shop.proxy.hold_sends(false);
    });
    let answers = insist(shop.address, &requests, 40);
    assert!(answers.iter().all(|answer| matches!(answer.status, 402 | 409)), "{}", answers[0].body);
    assert_eq!((shop.recipient_balance(), shop.upstream.hits()), (0, 0));
    books_agree(&shop, 0);
}

/// The token's call that ends an authorization.
fn cancel(authorization: &Authorization) -> Vec<u8> {
    let (from, nonce) = (authorization.from.to_word(), *authorization.nonce.as_bytes());
    let kind = keccak256(&[b"CancelAuthorization(address authorizer,bytes32 nonce)"]);
    let digest = usdc().domain().separator().digest(&keccak256(&[&kind, &from, &nonce]));
    let Ok(signature) = signer_of(authorization.from).sign(&digest);
    let function = selector("cancelAuthorization(address,bytes32,bytes)");
    let head = [&function[..], &from, &nonce, &word(96)].concat();
    [head, padded(&signature.to_rsv())].concat()
}

/// What a device has served is owed; of nine that one transfer pays one is received.
#[test]
fn of_nine_that_are_imported_the_one_that_was_paid_is_received() {
    let mut shop = open(Setup { settle: "later", ..Setup::default() });
    shop.kill();
    let bundle = Bundle::new(1, PRICE, PAY_TO);
    bundle.run(&shop.node);
    let lines = shop.path().join("handed-out");
    std::fs::write(&lines, records(&bundle.all).join("\n")).expect("written");
    for _ in 0..2 {
        let (_, said) = operate(&shop, &["import", lines.to_str().expect("a path")]);
        println!("{said}");
        books_agree(&shop, 0);
    }
    assert_eq!(shop.recipient_balance(), PRICE);
    shop.start_program();
    thread::sleep(Duration::from_secs(11));
    assert_eq!((shop.exported(), shop.recipient_balance()), (PRICE, PRICE));
    assert_eq!(shop.rows().iter().filter(|row| row["state"] == "unpaid").count(), 8);
}

/// What a device hands out of payments that it has served.
fn records(all: &[Authorization]) -> Vec<String> {
    let limits = Limits { owed: Amount::from_units(1_000_000), horizon_seconds: 600 };
    let mut window: Window<16> = Window::new(limits);
    let offer = Offer::new(usdc(), address(PAY_TO), Amount::from_units(PRICE), 60);
    let terms = offer.requirements();
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_secs();
    for authorization in all {
        let payment = Payment {
            chain_id: terms.chain_id,
            asset: terms.asset,
            transfer: Transfer::Eip3009(*authorization),
            signature: Ok(sign(authorization, &usdc())),
        };
        let moment = Moment::at(now);
        let checked = terms.check(&payment, &moment, &Vartime).expect("a good payment");
        assert!(window.reserve(&checked, moment.now).is_ok());
    }
    window.unsettled().map(|claimed| Hex(&claimed.to_bytes()).to_string()).collect()
}

/// The same by offering more for a place in the block.
#[test]
fn who_outbids_us_in_the_pool_pays_for_one_and_has_one() {
    let shop = open(Setup::default());
    let bundle = Bundle::new(1, PRICE, PAY_TO);
    let requests = requests(&bundle.payments());
    shop.node.mine_at_once(false);
    together(shop.address, &requests, || {
        let pool = || shop.node.rpc("txpool_status", json!([]))["pending"].clone();
        wait_for("our transactions in the pool", || pool() == "0x9");
        let (tip, data) = ("0x174876e800", Hex(&bundle.data).to_string());
        let dear = json!({"from": STRANGER, "to": MULTICALL3, "data": data,
            "gas": "0x4c4b40", "maxFeePerGas": "0x2e90edd000", "maxPriorityFeePerGas": tip});
        let hash = shop.node.rpc("eth_sendTransaction", json!([dear]));
        shop.node.mine_at_once(true);
        shop.node.mine(1);
        let receipt = shop.node.rpc("eth_getTransactionReceipt", json!([hash]));
        assert_eq!(
            (&receipt["status"], &receipt["transactionIndex"]),
            (&json!("0x1"), &json!("0x0"))
        );
    });
    let answers = insist(shop.address, &requests, 40);
    println!("outbid: paid {}, had {}", shop.recipient_balance(), had(&answers) * PRICE);
    assert_eq!((had(&answers) * PRICE, shop.recipient_balance()), (PRICE, PRICE));
    books_agree(&shop, 0);
}

/// What is served on trust was served: it is owed, nothing is called received, and nothing more is served.
#[test]
fn on_trust_nine_are_served_and_the_eight_that_nobody_paid_are_owed() {
    let extra = "later: {max_delay: 1, max_owed: \"5\"}\n".to_owned();
    let shop = open(Setup { settle: "later", extra, ..Setup::default() });
    shop.proxy.hold_sends(true);
    let bundle = Bundle::new(1, PRICE, PAY_TO);
    let answers = together(shop.address, &requests(&bundle.payments()), || {});
    assert_eq!(had(&answers), 9);
    wait_for("a transaction of ours", || shop.proxy.held() > 0);
    bundle.run(&shop.node);
    shop.proxy.hold_sends(false);
    wait_for("the debts in the books", || {
        shop.rows().iter().filter(|row| row["state"] == "unpaid").count() == 8
    });
    books_agree(&shop, 0);
    assert_eq!(shop.recipient_balance(), PRICE);
    let next = Bundle::new(4, PRICE, PAY_TO);
    let more = together(shop.address, &requests(&next.payments()), || {});
    // He owes, and he has had transactions sent for nothing.
    assert!(more.iter().all(|answer| matches!(answer.status, 402 | 429)), "{}", more[0].body);
    println!("later: paid {PRICE}, owed {}, had {}", 8 * PRICE, had(&answers) * PRICE);
}

#[test]
fn a_facilitator_says_of_one_of_nine_that_it_is_settled() {
    let service = Service::open();
    mint_all(&service.node);
    for seed in 1..=3 {
        let bundle = Bundle::new(seed, PRICE, PAY_TO);
        let body = |it: &_| body_of(it, &sign(it, &usdc()).to_rsv());
        let bodies: Vec<_> = bundle.all.iter().map(body).collect();
        service.proxy.hold_sends(true);
        let mut answers = thread::scope(|scope| {
            let asking = scope.spawn(|| service.settle_all(&bodies));
            wait_for("a transaction of ours", || service.proxy.held() > 0);
            thread::sleep(Duration::from_secs(1));
            bundle.run(&service.node);
            service.proxy.hold_sends(false);
            asking.join().expect("answers")
        });
        // Success is said once: of whom it was not said to, it is asked for again.
        let is_pending = |it: &Value| it["errorReason"] == "settlement_pending";
        let deadline = Instant::now() + Duration::from_secs(40);
        while answers.iter().any(is_pending) {
            assert!(Instant::now() < deadline, "it does not end: {answers:?}");
            thread::sleep(Duration::from_millis(500));
            for (body, answer) in bodies.iter().zip(&mut answers).filter(|(_, it)| is_pending(it)) {
                *answer = settle(service.address, body).json();
            }
        }
        // Nobody is told success who was told something else before.
        let again = service.settle_all(&bodies);
        assert!(again.iter().all(|answer| answer["success"] == false), "{again:?}");
        let settled = answers.iter().filter(|answer| answer["success"] == true).count();
        println!("facilitator, seed {seed}: moved {}, says {settled} of 9", service.received());
        assert_eq!(settled, 1, "{answers:?}");
        assert_eq!(service.received(), u128::from(seed) * PRICE);
    }
}

/// A facilitator that names for each payment the transaction that used all of them up.
struct Liar {
    address: SocketAddr,
    bundle: Arc<Mutex<Option<Bundle>>>,
}

impl Liar {
    fn start(node: &Arc<Node>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let bundle = Arc::<Mutex<Option<Bundle>>>::default();
        let sent = Arc::new(OnceLock::<String>::new());
        let shared = Arc::clone(&bundle);
        // It listens for as long as the test's process, and must not keep the node for as long.
        let node = Arc::downgrade(node);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (bundle, sent, node) =
                    (Arc::clone(&shared), Arc::clone(&sent), Weak::clone(&node));
                thread::spawn(move || {
                    let mut request = [0; 16_384];
                    let count = stream.read(&mut request).unwrap_or(0);
                    let request = String::from_utf8_lossy(&request[..count]);
                    let body = match request.split(' ').nth(1) {
                        Some("/supported") => json!({"kinds": [{"x402Version": 2,
                            "scheme": "exact", "network": "eip155:1"}], "extensions": [], "signers": {}}),
                        Some("/verify") => json!({"isValid": true, "payer": BUYER}),
                        _ => {
                            let node = node.upgrade().expect("a node");
                            let run =
                                || bundle.lock().expect("it").as_ref().expect("one").run(&node);
                            json!({"success": true, "payer": BUYER, "network": "eip155:1",
                                "transaction": sent.get_or_init(run)})
                        }
                    };
                    let body = body.to_string();
                    let _ = write!(
                        stream,
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                        Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                });
            }
        });
        Self { address, bundle }
    }
}

#[test]
fn of_nine_that_a_facilitator_calls_settled_the_one_that_the_chain_confirms_is_served() {
    let node = Arc::new(Node::start());
    node.mint(BUYER, 1_000_000);
    install_multicall(&node);
    let liar = Liar::start(&node);
    *liar.bundle.lock().expect("it") = Some(Bundle::new(1, PRICE, PAY_TO));
    let extra = format!("facilitator: {{url: \"http://{}\", confirm: chain}}\n", liar.address);
    let shop = Shop::on(node, Setup { extra, metered: "", ..Setup::default() });
    let payments = liar.bundle.lock().expect("it").as_ref().expect("one").payments();
    let requests = requests(&payments);
    together(shop.address, &requests, || {});
    let answers = insist(shop.address, &requests, 15);
    println!("confirm: chain: paid {}, had {}", shop.recipient_balance(), had(&answers) * PRICE);
    assert_eq!((had(&answers) * PRICE, shop.recipient_balance()), (PRICE, PRICE));
    books_agree(&shop, 0);
}

/// 54 and 6 bytes are 15 tokens: 150, and 100 tokens of the answer: 3,000.
const CEILING: u128 = 3_150;
/// 12 tokens and 34.
const COST: u128 = 120 + 1_020;

/// A ceiling that was never paid is no credit, and nobody gives it back.
#[test]
fn what_is_given_back_was_received() {
    let mut shop = open(Setup { pay_to: SELLER, ..Setup::default() });
    shop.node.mint(SELLER, 10_000_000);
    let before = shop.recipient_balance();
    let bundle = Bundle::new(1, CEILING, SELLER);
    let payments = bundle.payments().into_iter().enumerate();
    let requests: Vec<_> = payments
        .map(|(n, fields)| {
            let body =
                format!(r#"{{"messages":[],"max_tokens":100,"k":{n},"script":"json:12:34"}}"#);
            http::request("POST /v1/chat/completions", &fields, &body)
        })
        .collect();
    let answers = outrun(&shop, &bundle, &requests);
    let said: Vec<_> = answers.iter().map(|answer| (answer.status, &answer.body)).collect();
    let moved = shop.recipient_balance() - before;
    assert_eq!((had(&answers), moved), (1, CEILING), "{said:?}");
    books_agree(&shop, before);
    shop.kill();
    // What the chain may still go back on is not given back.
    assert_eq!(operate(&shop, &["refund", BUYER]).0, Some(0));
    assert_eq!(shop.recipient_balance() - before, CEILING);
    shop.node.mine(100);
    operate(&shop, &["resolve"]);
    assert_eq!(operate(&shop, &["refund", BUYER]).0, Some(0));
    let left = shop.recipient_balance() - before;
    println!("metered: paid {CEILING}, given back {}, had {COST}", CEILING - left);
    assert_eq!(left, COST, "what was had");
}
