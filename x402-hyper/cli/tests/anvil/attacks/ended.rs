//! What ends as failed has been proved to; until then it is open, and may still be paid.

use std::thread;
use std::time::{Duration, SystemTime};

use x402_core::{Authorization, Timestamp};

use super::wait_for;
use super::{books_agree, had, insist, is_open, paying, requests, selector, together, transact};
use crate::faults::PRICE;
use crate::node::{OWNER, USDC};
use crate::shop::{Shop, terms};

/// Presents it, and has something happen before our transaction comes to the node.
fn outrun(shop: &Shop, requests: &[String], what: impl FnOnce()) {
    shop.proxy.hold_sends(true);
    together(shop.address, requests, || {
        wait_for("our transaction", || shop.proxy.held() > 0);
        what();
        shop.proxy.hold_sends(false);
    });
}

/// The authorization is good as soon as the token moves anything again.
#[test]
fn what_a_paused_token_refused_is_open_and_paid_later() {
    let shop = Shop::open();
    let requests = requests(&[paying(&terms("1"))]);
    outrun(&shop, &requests, || {
        transact(&shop.node, OWNER, USDC, &selector("pause()"));
    });
    let paused = insist(shop.address, &requests, 3).remove(0);
    assert!(is_open(&paused), "told to pay anew: {} {}", paused.status, paused.body);
    transact(&shop.node, OWNER, USDC, &selector("unpause()"));
    let answers = insist(shop.address, &requests, 40);
    println!("paused: paid {}, had {}", shop.recipient_balance(), had(&answers) * PRICE);
    assert_eq!((had(&answers), shop.recipient_balance()), (1, PRICE), "{}", answers[0].body);
    books_agree(&shop, 0);
}

/// A block is past the end of the authorization, and nobody has used it.
#[test]
fn what_nobody_used_in_time_has_failed_and_may_be_paid_anew() {
    let shop = Shop::open();
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_secs();
    let payment = Authorization { valid_before: Timestamp::from_secs(now + 10), ..terms("1") };
    let requests = requests(&[paying(&payment)]);
    outrun(&shop, &requests, || thread::sleep(Duration::from_secs(11)));
    let ended = insist(shop.address, &requests, 20).remove(0);
    assert_eq!(ended.status, 402, "{}", ended.body);
    assert_eq!((shop.recipient_balance(), shop.upstream.hits(), shop.exported()), (0, 0, 0));
    // A transaction of ours has done nothing for him: he waits a little for the next.
    let anew = super::requests(&[paying(&terms("2"))]);
    let answers = insist(shop.address, &anew, 40);
    assert_eq!((had(&answers), shop.recipient_balance()), (1, PRICE), "{}", answers[0].body);
    books_agree(&shop, 0);
}
