//! Credit that is given back.

use super::credit::units;
use super::*;
use crate::ledger::{CreditAccount, Draw};

const SELLER_KEY: [u8; 32] = [0x5e; 32];

pub(super) fn key() -> K256Signer {
    K256Signer::from_bytes(&SELLER_KEY).unwrap()
}

impl Shop {
    /// One whose key is known, and where a payer has credit for 6,000.
    pub(super) async fn of_key(script: Script) -> Self {
        let mut shop = Self::new(script);
        let amount = shop.offer.requirements().amount;
        shop.offer = Offer::new(*shop.offer.asset(), key().address(), amount, 60);
        shop.earn().await;
        shop.is_final().await;
        shop
    }

    /// The chain does not go back on what was paid.
    pub(super) async fn is_final(&self) {
        self.chain.height.store(1, Ordering::SeqCst);
        self.chain.is_final_to.store(1, Ordering::SeqCst);
        assert_eq!(self.seller.watch().await.unwrap(), 0);
    }

    pub(super) async fn refund(&self, amount: u128) -> Result<Refunded, RefundError> {
        let by = Refunder { asset: self.offer.asset(), key: &key() };
        self.seller.refund(self.account(), units(amount), by).await
    }

    async fn open_refund(&self) -> Draw {
        let open = self.seller.open_refunds().await.unwrap();
        let [draw] = &open[..] else { panic!("{open:?}") };
        draw.clone()
    }

    async fn resume(&self) -> Result<Refunded, RefundError> {
        let by = Refunder { asset: self.offer.asset(), key: &key() };
        self.seller.resume_refund(self.open_refund().await, by).await
    }

    /// The payments to the payer for which a transaction was sent.
    pub(super) fn sent_back(&self) -> Vec<Claimed> {
        let sent = self.chain.sent.lock().unwrap();
        sent.iter().filter(|payment| payment.payer() == key().address()).copied().collect()
    }

    /// What the chain says from now on.
    pub(super) fn says(&self, broadcast: Says, outcome: Says) {
        *self.chain.broadcast.lock().unwrap() = [broadcast].into();
        *self.chain.outcome.lock().unwrap() = [outcome].into();
    }
}

pub(super) fn refusal(refunded: Result<Refunded, RefundError>) -> Refusal {
    match refunded {
        Err(RefundError::Rejected(rejection)) => rejection.refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn credit_is_given_back_by_the_one_who_was_paid() {
    let shop = Shop::of_key(Script::default()).await;
    let refunded = shop.refund(5_000).await.unwrap();
    assert_eq!((refunded.amount, refunded.transaction), (units(5_000), TxHash([2; 32])));
    let sent = shop.sent_back();
    let [payment] = sent[..] else { panic!("{sent:?}") };
    assert_eq!((payment.transfer().to(), payment.amount()), (shop.account().payer, units(5_000)));
    assert_eq!(payment.transfer().nonce(), Nonce::new(refunded.draw.0));
    assert_eq!(shop.balance().await, units(1_000));
    assert!(shop.seller.open_refunds().await.unwrap().is_empty());
    let short = shop.refund(1_001).await;
    assert!(matches!(short, Err(RefundError::Short(left)) if left == units(1_000)), "{short:?}");
    shop.refund(1_000).await.unwrap();
    assert_eq!((shop.balance().await, shop.sent_back().len()), (units(0), 2));
    // The books are of what came in.
    assert_eq!(shop.ledger.ids().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_given_back_is_not_drawn() {
    let shop = Shop::of_key(Script::default()).await;
    let stranger = K256Signer::from_bytes(&[0x77; 32]).unwrap();
    let usdc = *shop.offer.asset();
    let other = Asset { address: Address::new([1; 20]), ..usdc };
    let permit2 = Asset { transfer_method: x402_core::TransferMethod::Permit2, ..usdc };
    for (asset, key) in [(&usdc, &stranger), (&other, &key()), (&permit2, &key())] {
        let refused = shop.seller.refund(shop.account(), units(1), Refunder { asset, key }).await;
        match refused {
            Err(RefundError::Key(address)) => assert_eq!(address, stranger.address()),
            Err(RefundError::Asset) => assert_eq!(asset.address, other.address),
            Err(RefundError::Permit2) => assert_eq!(*asset, permit2),
            refused => panic!("{refused:?}"),
        }
    }
    let base = Asset { chain_id: ChainId::BASE, ..usdc };
    let elsewhere = CreditAccount { chain_id: ChainId::BASE, ..shop.account() };
    let by = Refunder { asset: &base, key: &key() };
    let refused = shop.seller.refund(elsewhere, units(1), by).await;
    assert_eq!(refusal(refused), Refusal::Payment(Error::Network));
    assert_eq!((shop.balance().await, shop.sent_back().len()), (units(6_000), 0));
    assert!(shop.seller.open_refunds().await.unwrap().is_empty());
}

/// As after a crash before anything was sent.
#[tokio::test]
async fn a_refund_that_was_not_sent_is_sent_later() {
    let shop = Shop::of_key(Script::default()).await;
    shop.says(Says::Down, Says::Nothing);
    assert_eq!(refusal(shop.refund(6_000).await), Refusal::Pending);
    assert_eq!((shop.balance().await, shop.sent_back().len()), (units(0), 0));
    shop.says(Says::Takes, Says::Arrived);
    assert_eq!(shop.resume().await.unwrap().amount, units(6_000));
    assert_eq!((shop.balance().await, shop.sent_back().len()), (units(0), 1));
    assert!(shop.seller.open_refunds().await.unwrap().is_empty());
}

/// As after a crash between the sending and the record of it.
#[tokio::test]
async fn a_refund_that_has_arrived_is_not_sent_again() {
    let shop = Shop::of_key(Script::default()).await;
    shop.says(Says::Lost, Says::Nothing);
    assert_eq!(refusal(shop.refund(6_000).await), Refusal::Pending);
    *shop.chain.simulate.lock().unwrap() = queue_of(Says::Refuses(Error::AuthorizationUsed));
    *shop.chain.find.lock().unwrap() = queue_of(Says::ByStranger);
    let draw = shop.open_refund().await;
    assert_eq!(shop.resume().await.unwrap().transaction, STRANGER);
    assert_eq!(shop.sent_back().len(), 1);
    assert_eq!(shop.balance().await, units(0));
    // It is over, also for one who still has the draw in his hands.
    let by = Refunder { asset: shop.offer.asset(), key: &key() };
    let again = shop.seller.resume_refund(draw, by).await;
    assert!(matches!(again, Err(RefundError::Ledger(LedgerError::Concluded))), "{again:?}");
}

#[tokio::test]
async fn a_refund_is_signed_anew_with_the_same_nonce() {
    let shop = Shop::of_key(Script::default()).await;
    shop.says(Says::Lost, Says::Nothing);
    assert_eq!(refusal(shop.refund(6_000).await), Refusal::Pending);
    shop.now.store(NOW + 86_400, Ordering::SeqCst);
    shop.says(Says::Takes, Says::Arrived);
    shop.resume().await.unwrap();
    let sent = shop.sent_back();
    let [first, second] = sent[..] else { panic!("{sent:?}") };
    assert_eq!((first.id(), first.amount()), (second.id(), second.amount()));
    let ends = [first, second].map(|payment| payment.transfer().valid_before().to_secs().unwrap());
    assert_eq!(ends, [NOW + 600, NOW + 86_400 + 600]);
}

#[tokio::test]
async fn a_seller_without_money_keeps_the_amount_set_aside() {
    let shop = Shop::of_key(Script::default()).await;
    *shop.chain.simulate.lock().unwrap() = queue_of(Says::Refuses(Error::Balance));
    assert_eq!(refusal(shop.refund(6_000).await), Refusal::Payment(Error::Balance));
    assert_eq!((shop.balance().await, shop.sent_back().len()), (units(0), 0));
    *shop.chain.simulate.lock().unwrap() = queue_of(Says::Takes);
    shop.resume().await.unwrap();
    assert_eq!(shop.sent_back().len(), 1);
}

#[tokio::test]
async fn of_two_who_go_on_with_a_refund_one_does() {
    let shop = Shop::of_key(Script::default()).await;
    shop.says(Says::Down, Says::Nothing);
    assert_eq!(refusal(shop.refund(6_000).await), Refusal::Pending);
    shop.says(Says::Takes, Says::Arrived);
    let (one, other) = tokio::join!(shop.resume(), shop.resume());
    let (done, refused) = if one.is_ok() { (one, other) } else { (other, one) };
    done.unwrap();
    assert_eq!(refusal(refused), Refusal::InFlight);
    assert_eq!(shop.sent_back().len(), 1);
}

fn queue_of(says: Says) -> VecDeque<Says> {
    [says].into()
}
