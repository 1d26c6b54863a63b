//! Tokens that move or log otherwise than what was signed makes one expect.

use x402_core::{Asset, Authorization};

use super::{STRANGER, address, books_agree, call_of, insist, operate, paying_in, requests};
use super::{selector, together, transact, wait_for, word};
use crate::faults::PRICE;
use crate::http::Answer;
use crate::node::OWNER;
use crate::shop::{BUYER, PAY_TO, Setup, Shop, terms, usdc};

/// Where the token is, which the program knows by its file alone.
const TOKEN: &str = "0x0dd0000000000000000000000000000000000001";

const FEE: usize = 1;
const SPLIT: usize = 2;
const TRANSFER_FIRST: usize = 3;
const BETWEEN: usize = 4;
const NOTHING: usize = 5;

struct Market {
    shop: Shop,
    asset: Asset<'static>,
}

impl Market {
    /// Of a token that behaves so.
    fn open(mode: usize) -> Self {
        let node = std::sync::Arc::new(crate::node::Node::start());
        let code = include_str!("../../../../../tests/contracts/bytecode/OddToken.creation.hex");
        node.install_token(TOKEN, code);
        node.mint_of(TOKEN, BUYER, 1_000_000);
        let call = [&selector("setMode(uint8)")[..], &word(mode)].concat();
        transact(&node, OWNER, TOKEN, &call);
        let asset = format!(
            "{{address: \"{TOKEN}\", decimals: 6, name: \"USD Coin\", version: \"2\", symbol: USDC}}"
        );
        let shop = Shop::on(node, Setup { asset, ..Setup::default() });
        Self { shop, asset: Asset { address: address(TOKEN), ..usdc() } }
    }

    fn pay_once(&self, terms: &Authorization) -> Answer {
        self.shop.send(&paying_in(terms, &self.asset))
    }

    fn pay(&self, terms: &Authorization) -> Answer {
        let requests = requests(&[paying_in(terms, &self.asset)]);
        insist(self.shop.address, &requests, 5).pop().expect("an answer")
    }

    /// Pays, and has somebody else send it before us.
    fn pay_by_stranger(&self, terms: &Authorization) -> Answer {
        let requests = requests(&[paying_in(terms, &self.asset)]);
        self.shop.proxy.hold_sends(true);
        together(self.shop.address, &requests, || {
            wait_for("our transaction", || self.shop.proxy.held() > 0);
            transact(&self.shop.node, STRANGER, TOKEN, &call_of(terms, &self.asset));
            self.shop.proxy.hold_sends(false);
        });
        insist(self.shop.address, &requests, 5).pop().expect("an answer")
    }

    fn received(&self) -> u128 {
        self.shop.node.balance_of(TOKEN, PAY_TO)
    }
}

#[test]
fn where_less_arrives_or_in_two_parts_the_sale_stops_and_the_payer_has_credit() {
    for (mode, arrived) in [(FEE, 9_900), (SPLIT, PRICE)] {
        let market = Market::open(mode);
        // Whoever asks again is told the same.
        for _ in 0..2 {
            let answer = market.pay_once(&terms("1"));
            assert_eq!(answer.status, 503, "{}", answer.body);
            assert!(answer.body.contains("another value"), "{}", answer.body);
            assert_eq!(market.received(), arrived);
        }
        // Nothing more is sold in it.
        let next = market.pay_once(&terms("2"));
        assert_eq!(next.status, 503, "{}", next.body);
        assert_eq!((market.received(), market.shop.upstream.hits()), (arrived, 0));
        assert!(market.shop.has_said("THE TOKEN MOVES ANOTHER VALUE"));
        assert_eq!(market.shop.exported(), 0, "no sale is received");
        let credits = market.shop.ledger(&["credits", "--format", "json"]);
        let credits: serde_json::Value = serde_json::from_str(&credits).expect("JSON");
        assert_eq!(credits[0]["amount_units"], arrived.to_string(), "{credits}");
        println!("mode {mode}: paid {arrived}, had credit of {}", credits[0]["amount_units"]);
    }
}

/// The calldata is our own: what else it moved for would have to be ours, too.
#[test]
fn what_is_logged_in_another_order_pays_where_the_transaction_is_ours() {
    for mode in [0, TRANSFER_FIRST, BETWEEN] {
        let market = Market::open(mode);
        for nonce in ["1", "2", "3"] {
            let answer = market.pay(&terms(nonce));
            assert_eq!(answer.status, 200, "mode {mode}: {}", answer.body);
        }
        assert_eq!((market.received(), market.shop.upstream.hits()), (3 * PRICE, 3));
        assert_eq!(market.shop.exported(), 3 * PRICE);
        println!("mode {mode}: paid {}, had {}", 3 * PRICE, 3 * PRICE);
    }
}

/// Whether somebody else's transaction has paid cannot be told from logs whose order is not known.
#[test]
fn what_a_stranger_sent_waits_for_the_operator_who_can_accept_it() {
    for mode in [0, TRANSFER_FIRST, BETWEEN] {
        let mut market = Market::open(mode);
        let payment = terms("1");
        let answer = market.pay_by_stranger(&payment);
        assert_eq!(answer.status, 503, "mode {mode}: {}", answer.body);
        assert_eq!(answer.header("X-Payment-Status"), Some("pending"));
        assert_eq!((market.shop.exported(), market.received()), (0, PRICE));
        let row = market.shop.rows().remove(0);
        let id = row["id"].as_str().expect("an id");
        let transaction = answer.header("X-Payment-Transaction").expect("a hash").to_owned();
        market.shop.kill();
        let args = ["resolve", "--payment", id, "--accept", &transaction];
        let (code, said) = operate(&market.shop, &args);
        assert_eq!(code, Some(0), "mode {mode}: {said}");
        assert_eq!(market.shop.exported(), PRICE, "{said}");
        market.shop.start_program();
        let served = market.pay(&payment);
        assert_eq!(served.status, 200, "mode {mode}: {}", served.body);
        assert_eq!((market.shop.exported(), market.shop.upstream.hits()), (PRICE, 1));
        println!("mode {mode}: paid {PRICE}, had {PRICE}");
    }
}

#[test]
fn a_token_that_moves_nothing_pays_for_nothing() {
    let market = Market::open(NOTHING);
    for nonce in ["1", "2"] {
        let answer = market.pay(&terms(nonce));
        assert!(matches!(answer.status, 402 | 409 | 503), "{}", answer.body);
    }
    assert_eq!((market.received(), market.shop.upstream.hits()), (0, 0));
    books_agree(&market.shop, 0);
}
