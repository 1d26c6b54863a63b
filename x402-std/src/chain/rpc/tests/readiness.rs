//! What keeps payments from being settled, seen before anything of them is recorded.

use serde_json::{Value, json};
use x402_core::{Nonce, Timestamp};

use super::harness::{Shop, Trick, options, usdc};
use super::*;
use crate::chain::rpc::readiness::Lack;

const GWEI: u128 = 1_000_000_000;

async fn ready(shop: &Shop, now: u64) -> Result<(), String> {
    let payment = Buyer::default().pays(PRICE);
    shop.chain.ready(&payment, now).await.map_err(|error| error.to_string())
}

/// As if some time had passed.
fn later(shop: &Shop) {
    shop.chain.readiness.look_again();
}

fn fund(shop: &Shop, wei: u128) {
    let params = json!([shop.settler().to_string(), format!("0x{wei:x}")]);
    shop.rpc("anvil_setBalance", params);
}

/// As if gas cost so much.
fn prices(shop: &Shop, wei: u128) {
    shop.front(move |request, node| {
        let mut answer = node(request);
        if request["method"] == "eth_feeHistory" {
            answer["result"]["baseFeePerGas"] = json!([format!("0x{wei:x}")]);
            answer["result"]["reward"] = Value::Null;
        }
        answer
    });
}

#[tokio::test]
async fn an_account_that_cannot_pay_for_the_next_payments_sells_nothing() {
    let shop = Shop::open().await;
    let now = shop.devnet_time();
    ready(&shop, now).await.unwrap();
    assert!(shop.chain.standing().balance.is_some_and(|balance| balance > Amount::ZERO));
    // Enough for one, and not for ten.
    prices(&shop, GWEI);
    fund(&shop, 200_000 * 10 * GWEI);
    ready(&shop, now).await.expect("what was seen is counted on for a while");
    later(&shop);
    let why = ready(&shop, now).await.unwrap_err();
    assert!(why.contains("which pays the gas, has 2000000000000000 wei"), "{why}");
    assert!(matches!(shop.chain.standing().lack, Some(Lack::Funds { .. })));
    fund(&shop, 200_000 * 11 * GWEI);
    later(&shop);
    ready(&shop, now).await.unwrap();
    assert_eq!(shop.chain.standing().lack, None);
}

#[tokio::test]
async fn a_node_that_says_that_the_account_is_empty_has_it_looked_at() {
    let shop = Shop::open().await;
    let now = shop.devnet_time();
    ready(&shop, now).await.unwrap();
    fund(&shop, 1);
    let pages = Pages::default();
    let sent = shop.chain.broadcast(&call(&Buyer::default().pays(PRICE)), &pages).await;
    assert!(matches!(sent, Err(ChainError::Unsent(_))), "{sent:?}");
    ready(&shop, now).await.unwrap_err();
}

#[tokio::test]
async fn gas_above_what_a_payment_may_cost_is_not_bought() {
    // 200,000 gas at 5 gwei.
    let capped =
        RpcOptions { max_gas_cost: 200_000 * 5 * GWEI, fee_cache: Duration::ZERO, ..options() };
    let shop = Shop::with(capped).await;
    let now = shop.devnet_time();
    shop.rpc("evm_setAutomine", json!([false]));
    prices(&shop, 3 * GWEI);
    ready(&shop, now).await.unwrap();
    let (payment, pages) = (Buyer::default().pays(PRICE), Pages::default());
    let first = shop.chain.broadcast(&call(&payment), &pages).await.unwrap();
    let fee_of = |raw: &[u8]| {
        let transaction = Transaction { hash: first, raw: raw.to_vec() };
        Account::terms_of(&transaction).unwrap().1.max
    };
    // Room for the base fee to double is left off above the cap.
    assert_eq!(fee_of(&pages.last().raw), 5 * GWEI);
    prices(&shop, 6 * GWEI);
    later(&shop);
    let why = ready(&shop, now).await.unwrap_err();
    assert!(why.contains("above the limit of 5000000000: wait, or raise max_gas_cost"), "{why}");
    let sent = shop.chain.broadcast(&call(&Buyer::default().pays(PRICE)), &pages).await;
    assert!(matches!(sent, Err(ChainError::Unavailable(_))), "{sent:?}");
    // Nor is what waits replaced by what costs more: it is under way as it was.
    assert_eq!(
        shop.chain.rebroadcast(&call(&payment), &pages.last(), &pages).await.unwrap(),
        first
    );
    assert_eq!(pages.hashes(), [first]);
    prices(&shop, 2 * GWEI);
    later(&shop);
    ready(&shop, now).await.unwrap();
}

#[test]
fn what_a_payment_may_cost_is_bounded_unless_somebody_says() {
    let of = |id| RpcOptions::new(ChainId::new(id));
    for (id, gas, most) in [(1, 200_000, 5_000_000_000_000_000), (137, 200_000, 10_u128.pow(18))] {
        for deploys in [false, true] {
            let gas = if deploys { gas + of(id).deploy_gas_limit } else { gas };
            assert!(of(id).fee_cap(deploys) * u128::from(gas) <= most, "{id}");
        }
    }
    let dear = RpcOptions { max_gas_cost: u128::MAX, ..of(1) };
    assert_eq!(dear.fee_cap(false), dear.max_fee_per_gas);
}

#[tokio::test]
async fn a_chain_far_ahead_sells_nothing_and_one_a_little_ahead_ends_authorizations_earlier() {
    let shop = Shop::open().await;
    shop.rpc("evm_mine", json!([]));
    let now = shop.devnet_time();
    ready(&shop, now).await.unwrap();
    assert_eq!(shop.chain.ahead_seconds(), 0);
    for (behind, is_ready) in [(20, true), (60, true), (61, false), (300, false)] {
        later(&shop);
        let said = ready(&shop, now - behind).await;
        assert_eq!(said.is_ok(), is_ready, "{behind}: {said:?}");
        assert_eq!(shop.chain.ahead_seconds(), behind);
    }
    later(&shop);
    // A chain that has nothing to do is of any age.
    ready(&shop, now + 100_000).await.unwrap();
    for look in 1..=2 {
        shop.rpc("evm_mine", json!([]));
        later(&shop);
        assert_eq!(ready(&shop, now + 100_000 + 10 * look).await.is_ok(), look == 1);
    }
    let why = ready(&shop, now).await.unwrap_err();
    assert!(why.contains("seconds behind this machine's"), "{why}");
    assert!(!shop.chain.is_on_time(now).await);
    later(&shop);
    ready(&shop, now + 1).await.unwrap();
}

#[tokio::test]
async fn what_has_ended_by_the_chains_time_is_expired() {
    let shop = Shop::open().await;
    shop.rpc("evm_mine", json!([]));
    let now = shop.devnet_time();
    let payment = Buyer::default().pays_until(PRICE, Timestamp::from_secs(now + 60));
    shop.chain.simulate(&call(&payment)).await.unwrap();
    shop.rpc("evm_mine", json!([now + 60]));
    let refused = shop.chain.simulate(&call(&payment)).await;
    assert!(matches!(refused, Err(ChainError::Refused(Error::Expired))), "{refused:?}");
}

/// As if the token answered these calls otherwise: by selector.
fn answers(shop: &Shop, calls: &'static [(&'static str, u8)]) {
    shop.front(move |request, node| {
        let data = request["params"][0]["data"].as_str().unwrap_or_default();
        let input = request["params"][0]["input"].as_str().unwrap_or_default();
        for (selector, word) in calls {
            let is_asked = [data, input].iter().any(|data| data.starts_with(selector));
            if request["method"] == "eth_call" && is_asked {
                let word = format!("0x{word:064x}");
                return json!({ "jsonrpc": "2.0", "id": request["id"], "result": word });
            }
        }
        let is_settling = [data, input].iter().any(|data| data.starts_with("0xe3ee160e"));
        if request["method"] == "eth_call" && is_settling {
            let error = json!({ "code": 3, "message": "execution reverted" });
            return json!({ "jsonrpc": "2.0", "id": request["id"], "error": error });
        }
        node(request)
    });
}

const PAUSED: &str = "0x5c975abb";
const BLACKLISTED: &str = "0xfe575a87";
const DOMAIN: &str = "0x3644e515";

#[tokio::test]
async fn a_token_that_changes_sells_nothing_until_it_is_well_again() {
    for (calls, word) in [
        (&[(PAUSED, 1)][..], "the token is paused"),
        (&[(BLACKLISTED, 1)], "has blacklisted it"),
        (&[(DOMAIN, 7)], "EIP-712 domain"),
    ] {
        let shop = Shop::open().await;
        let now = shop.devnet_time();
        shop.chain.check_asset(&usdc()).await.unwrap();
        let payment = Buyer::default().pays(PRICE);
        shop.chain.ready(&payment, now).await.unwrap();
        answers(&shop, calls);
        // Nothing was seen of it yet: the first is recorded, and is no fault of its payer's.
        shop.chain.ready(&payment, now).await.unwrap();
        let refused = shop.chain.simulate(&call(&payment)).await;
        let Err(ChainError::Unavailable(why)) = refused else { panic!("{refused:?}") };
        assert!(why.contains(word), "{why}");
        shop.calls();
        let next = Buyer::default().pays(PRICE);
        let refused = shop.chain.ready(&next, now).await.unwrap_err().to_string();
        assert!(refused.contains(word), "{refused}");
        assert_eq!(shop.calls(), [""; 0], "it is looked at now and then, not for each payment");
        // Of another payee nothing is known.
        let stranger =
            Buyer::default().pays_with(PRICE, Timestamp::MAX, Nonce::new([9; 32]), [7; 20]);
        shop.chain.ready(&stranger, now).await.unwrap();
        shop.unfront();
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(6)).await;
        tokio::time::resume();
        shop.chain.ready(&next, now).await.unwrap();
        shop.chain.simulate(&call(&next)).await.unwrap();
    }
}

/// A node that is asked in vain says nothing of the token, and a payer's own fault is his.
#[tokio::test]
async fn a_token_is_not_blamed_for_what_is_not_its_own() {
    let shop = Shop::open().await;
    shop.chain.check_asset(&usdc()).await.unwrap();
    let payment = Buyer { domain_name: "Other", ..Buyer::default() }.pays(PRICE);
    let refused = shop.chain.simulate(&call(&payment)).await;
    assert!(matches!(refused, Err(ChainError::Refused(Error::Simulation))), "{refused:?}");
    shop.chain.ready(&payment, shop.devnet_time()).await.unwrap();
    let poor = Buyer::default().pays(u128::MAX);
    shop.calls();
    let refused = shop.chain.simulate(&call(&poor)).await;
    assert!(matches!(refused, Err(ChainError::Refused(Error::Balance))), "{refused:?}");
    assert!(shop.calls().len() <= 4, "no look at the token");
}

#[tokio::test]
async fn a_node_that_does_not_say_how_things_stand_stops_nobody() {
    let shop = Shop::open().await;
    let now = shop.devnet_time();
    for method in ["eth_getBalance", "eth_feeHistory", "eth_getBlockByNumber"] {
        later(&shop);
        shop.play(method, &[Trick::Status(502)]);
        ready(&shop, now).await.unwrap();
    }
    // What was seen before holds while nothing newer is seen.
    fund(&shop, 1);
    later(&shop);
    ready(&shop, now).await.unwrap_err();
    later(&shop);
    shop.play("eth_getBalance", &[Trick::Status(502)]);
    ready(&shop, now).await.unwrap_err();
}
