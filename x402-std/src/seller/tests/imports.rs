//! Payments that were taken and served by a device.

use x402_core::secp256k1::Vartime;
use x402_core::window::Limits;
use x402_core::{Moment, Window};

use super::*;

/// The records that a device's window hands out for these payments.
fn handed_out(shop: &Shop, payments: &[Payment]) -> Vec<Claimed> {
    let limits = Limits { owed: Amount::from_units(1_000_000), horizon_seconds: 600 };
    let mut window = Window::<16>::new(limits);
    for payment in payments {
        let moment = Moment::at(NOW);
        let checked = shop.offer.requirements().check(payment, &moment, &Vartime).unwrap();
        assert!(window.reserve(&checked, moment.now).is_ok());
    }
    window.unsettled().map(|claimed| Claimed::from_bytes(&claimed.to_bytes()).unwrap()).collect()
}

async fn examined(shop: &Shop, records: &[Claimed]) -> Vec<Import> {
    let mut imports = Vec::new();
    for record in records {
        imports.push(shop.seller.examine(record, shop.offer.requirements()).await.unwrap());
    }
    imports
}

async fn imported(shop: &Shop, records: &[Claimed]) -> Vec<(bool, Standing)> {
    let imports = examined(shop, records).await;
    let imported = shop.seller.import(&imports).await.unwrap();
    assert!(imported.iter().zip(records).all(|(imported, record)| imported.id == record.id()));
    imported.into_iter().map(|imported| (imported.was_known, imported.standing)).collect()
}

async fn refusal(shop: &Shop, record: &Claimed) -> Refusal {
    shop.seller.examine(record, shop.offer.requirements()).await.unwrap_err().refusal
}

fn settled_by(number: u8) -> Standing {
    Standing::Settled(TxHash([number; 32]))
}

#[tokio::test]
async fn what_a_device_sold_is_settled_whatever_its_payer_owes() {
    let shop = Shop::new(Script::default());
    // Three are more than the two that the payer may owe here.
    let payments = [1, 2, 3].map(|nonce| shop.payment_of(nonce, 60));
    let records = handed_out(&shop, &payments);
    let outcomes = imported(&shop, &records).await;
    assert!(
        outcomes
            .iter()
            .all(|(was_known, outcome)| { !was_known && matches!(outcome, Standing::Settled(_)) })
    );
    assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), 3);
    for payment in &payments {
        assert_eq!(shop.state(payment).await, Some(State::Served));
        // It has bought what the device gave for it, and nothing here.
        assert_eq!(shop.refused(payment).await.refusal, Refusal::Conflict);
    }
}

#[tokio::test]
async fn what_was_imported_before_is_said_and_nothing_is_done() {
    let shop = Shop::new(Script::default());
    let records = handed_out(&shop, &[shop.payment()]);
    let twice = [records[0], records[0]];
    assert_eq!(imported(&shop, &twice).await, [(false, settled_by(1)), (true, settled_by(1))]);
    shop.now.store(NOW + 1000, Ordering::SeqCst);
    assert_eq!(imported(&shop, &records).await, [(true, settled_by(1))], "it has ended since");
    assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_not_as_it_must_be_is_not_taken() {
    let shop = Shop::new(Script::default());
    let [record] = handed_out(&shop, &[shop.payment()])[..] else { panic!("one") };
    let terms = *shop.offer.requirements();
    let foreign = Requirements { pay_to: Address::new([0x21; 20]), ..terms };
    let rejection = shop.seller.examine(&record, &foreign).await.unwrap_err();
    assert_eq!(rejection.refusal, Refusal::Payment(Error::Recipient));
    // The nonce is not the one that was signed.
    let mut bytes = record.to_bytes();
    bytes[8 + 3 * 20 + 3 * 32] ^= 1;
    let forged = Claimed::from_bytes(&bytes).unwrap();
    assert_eq!(refusal(&shop, &forged).await, Refusal::Payment(Error::Signer));
    // Less than what was signed is for another scheme.
    let mut bytes = record.to_bytes();
    bytes[8 + 3 * 20 + 5 * 32 - 1] ^= 1;
    let less = Claimed::from_bytes(&bytes).unwrap();
    assert_eq!(refusal(&shop, &less).await, Refusal::Payment(Error::Amount));
    shop.now.store(NOW + 55, Ordering::SeqCst);
    assert_eq!(refusal(&shop, &record).await, Refusal::Payment(Error::Expired));
    assert_eq!(shop.ledger.ids().await.unwrap().len(), 0);
    assert_eq!(shop.chain.simulated.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn of_two_payments_with_one_nonce_one_is_taken() {
    let shop = Shop::new(Script::default());
    let [first] = handed_out(&shop, &[shop.payment_of(7, 60)])[..] else { panic!("one") };
    let [second] = handed_out(&shop, &[shop.payment_of(7, 61)])[..] else { panic!("one") };
    let used = Standing::Refused(Refusal::Payment(Error::AuthorizationUsed));
    assert_eq!(
        imported(&shop, &[first, second]).await,
        [(false, settled_by(1)), (true, used)],
        "from one file"
    );
    assert_eq!(refusal(&shop, &second).await, Refusal::Payment(Error::AuthorizationUsed));
}

/// Its payer presents it to a device that has no chain, and to the gateway.
#[tokio::test]
async fn what_was_sold_here_too_is_a_loss() {
    let shop = Shop::new(Script::default());
    let records = handed_out(&shop, &[shop.payment()]);
    shop.serve(&shop.payment()).await.complete(answer()).await.unwrap();
    let twice = Standing::SoldTwice(Some(TxHash([1; 32])));
    assert_eq!(imported(&shop, &records).await, [(true, twice)]);
    assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), 1);
    // Owed still: whatever becomes of it, it is one payment.
    let shop = Shop::new(Script { outcome: queue([Says::Nothing]), ..Script::default() });
    let records = handed_out(&shop, &[shop.payment()]);
    assert_eq!(shop.refused(&shop.payment()).await.refusal, Refusal::Pending);
    assert_eq!(imported(&shop, &records).await, [(true, Standing::SoldTwice(None))]);
    // Nothing has come of it here: whatever becomes of it, nobody has sold for it twice yet.
    let shop = Shop::new(Script::default());
    shop.claimed(7).await;
    let records = handed_out(&shop, &[shop.payment()]);
    assert_eq!(imported(&shop, &records).await, [(true, Standing::Pending(None))]);
}

#[tokio::test]
async fn what_the_chain_does_not_take_is_owed_and_the_reason_is_said() {
    let simulate = queue([Says::Refuses(Error::Balance)]);
    let shop = Shop::new(Script { simulate, ..Script::default() });
    let payment = shop.payment();
    let records = handed_out(&shop, &[payment]);
    let refused = Standing::Refused(Refusal::Payment(Error::Balance));
    assert_eq!(imported(&shop, &records).await, [(false, refused)]);
    assert_eq!(imported(&shop, &records).await, [(true, refused)]);
    let entry = shop.ledger.find(records[0].id()).await.unwrap().unwrap();
    assert!(entry.is_debt());
}

#[tokio::test]
async fn what_is_not_known_yet_is_found_out_by_the_resolver() {
    for (script, hash) in [
        (Script { broadcast: queue([Says::Down, Says::Takes]), ..Script::default() }, None),
        (Script { outcome: queue([Says::Nothing]), ..Script::default() }, Some(TxHash([1; 32]))),
    ] {
        let shop = Shop::new(script);
        let records = handed_out(&shop, &[shop.payment()]);
        assert_eq!(imported(&shop, &records).await, [(false, Standing::Pending(hash))]);
        *shop.chain.outcome.lock().unwrap() = [Says::Arrived].into();
        assert_eq!(shop.seller.resolve_open().await.unwrap(), 0);
        assert_eq!(imported(&shop, &records).await, [(true, settled_by(1))]);
    }
}

#[tokio::test]
async fn an_import_that_was_broken_off_goes_on() {
    let shop = Shop::new(Script::default());
    let records = handed_out(&shop, &[shop.payment()]);
    let [import] = &examined(&shop, &records).await[..] else { panic!("one") };
    let claimed = shop.ledger.claim(import.entry.clone().unwrap()).await.unwrap();
    assert!(matches!(claimed, Claiming::New(_)));
    assert_eq!(imported(&shop, &records).await, [(false, settled_by(1))]);
}
