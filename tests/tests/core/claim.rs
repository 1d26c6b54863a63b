//! From a checked payment to a settled one.

use proptest::prelude::*;
use x402_core::secp256k1::K256;
use x402_core::settlement::TRANSFER_TOPIC;
use x402_core::settlement::{self, AUTHORIZATION_USED_TOPIC, Log, SettlementError, Submitter};
use x402_core::{
    Address, Amount, ChainId, Checked, Claim, Claimed, LogOrder, Moment, Nonce, Offer, PaymentId,
    SignatureError, WrongClaim,
};

use crate::arbitrary::{
    NOW, address, asset, cases, nonce, offer, owed, payee, payment, price, usdc, word,
};

fn checked(offer: &Offer<'_>, nonce: Nonce) -> Checked {
    let terms = offer.requirements();
    let mut authorization = owed(offer);
    authorization.nonce = nonce;
    terms.check(&payment(terms, authorization), &Moment::at(NOW), &K256).unwrap()
}

fn claimed() -> Claimed {
    let checked = checked(&offer(), Nonce::new([7; 32]));
    checked.claimed(Claim::recorded(checked.id())).unwrap()
}

fn calldata(claimed: &Claimed) -> Vec<u8> {
    let mut out = [0; Claimed::calldata_len(65)];
    claimed.calldata(&[], &mut out).unwrap().to_vec()
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn a_claimed_payment_comes_back_from_its_bytes(
        asset in asset(), pay_to in address(), price in price(), nonce in nonce(),
    ) {
        let checked = checked(&Offer::new(*asset, pay_to, price, 60), nonce);
        let claimed = checked.claimed(Claim::recorded(checked.id())).unwrap();
        prop_assert_eq!(checked.to_bytes(), claimed.to_bytes());
        let again = Claimed::from_bytes(&claimed.to_bytes()).unwrap();
        prop_assert_eq!(again, claimed);
        prop_assert_eq!(again.id(), checked.id());
        prop_assert_eq!(calldata(&again), calldata(&claimed));
        prop_assert_eq!((again.asset(), again.chain_id()), (asset.address, asset.chain_id));
        prop_assert_eq!((again.payer(), again.transfer().to()), (checked.payer(), pay_to));
    }

    #[test]
    fn an_id_comes_back_from_its_bytes(
        id in any::<u64>(), asset in address(), from in address(), nonce in nonce(),
    ) {
        let id = PaymentId { chain_id: ChainId::new(id), contract: asset, from, nonce };
        let bytes = id.to_bytes();
        prop_assert_eq!(PaymentId::from_bytes(&bytes), id);
        let parts = [
            &id.chain_id.get().to_be_bytes()[..], asset.as_bytes(), from.as_bytes(), nonce.as_bytes(),
        ];
        prop_assert_eq!(&bytes[..], parts.concat());
    }

    #[test]
    fn ids_sort_as_their_bytes(
        a in (any::<u64>(), address(), address(), word()),
        b in (any::<u64>(), address(), address(), word()),
    ) {
        let id = |(chain, asset, from, nonce)| PaymentId {
            chain_id: ChainId::new(chain), contract: asset, from, nonce: Nonce::new(nonce),
        };
        let (a, b) = (id(a), id(b));
        prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
    }

    #[test]
    fn any_change_of_an_id_is_another_payment(bit in 0..PaymentId::LEN * 8) {
        let id = claimed().id();
        let mut bytes = id.to_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let other = PaymentId::from_bytes(&bytes);
        prop_assert_ne!(other, id);
        prop_assert_ne!(other.to_string(), id.to_string());
        let checked = checked(&offer(), Nonce::new([7; 32]));
        prop_assert_eq!(checked.claimed(Claim::recorded(other)), Err(WrongClaim));
    }
}

#[test]
fn bytes_without_a_signature_are_no_claimed_payment() {
    let bytes = claimed().to_bytes();
    assert_eq!(Claimed::from_bytes(&[0; Claimed::LEN]), Err(SignatureError::V));
    let mut other = bytes;
    other[Claimed::LEN - 1] = 26;
    assert_eq!(Claimed::from_bytes(&other), Err(SignatureError::V));
    let mut other = bytes;
    other[Claimed::LEN - 33..Claimed::LEN - 1].fill(0);
    assert_eq!(Claimed::from_bytes(&other), Err(SignatureError::Range));
}

#[test]
fn an_id_says_nothing_of_the_payer() {
    let id = claimed().id();
    let shown = format!("{id:?} {id}");
    assert!(!shown.to_lowercase().contains(&id.from.to_string().to_lowercase()[2..10]));
    assert_eq!(id.to_string().len(), 18);
}

#[test]
fn a_claimed_payment_shows_no_signature() {
    let claimed = claimed();
    let bytes = claimed.to_bytes();
    let r = &bytes[Claimed::LEN - 65..Claimed::LEN - 57];
    let shown = format!("{claimed:?}");
    assert!(!shown.contains(&x402_core::hex::Hex(r).to_string()[2..]), "{shown}");
}

/// The two logs of a settled payment, to be changed at will.
#[derive(Clone)]
struct Receipt {
    succeeded: bool,
    logs: Vec<(Address, Vec<[u8; 32]>, Vec<u8>)>,
}

impl Receipt {
    fn of(claimed: &Claimed) -> Self {
        let a = claimed.transfer();
        let used = vec![AUTHORIZATION_USED_TOPIC, a.from().to_word(), *a.nonce().as_bytes()];
        let transfer = vec![TRANSFER_TOPIC, a.from().to_word(), a.to().to_word()];
        let value = a.value().to_be_bytes().to_vec();
        let token = claimed.asset();
        Self { succeeded: true, logs: vec![(token, used, vec![]), (token, transfer, value)] }
    }

    fn judged(&self) -> Result<(), SettlementError> {
        let logs = self.logs.iter();
        let logs = logs.map(|(address, topics, data)| Log { address: *address, topics, data });
        let logs: Vec<_> = logs.collect();
        let receipt = settlement::Receipt {
            succeeded: self.succeeded,
            logs: &logs,
            submitter: Submitter::Own,
            order: LogOrder::Unknown,
        };
        claimed().settled(&receipt, |_| false).map(|paid| {
            let settled = paid.settled;
            assert_eq!((settled.id(), settled.payer()), (claimed().id(), claimed().payer()));
        })
    }
}

/// The receipt of the payment with one thing changed.
fn judged(change: impl Fn(&mut Receipt)) -> Result<(), SettlementError> {
    let mut receipt = Receipt::of(&claimed());
    change(&mut receipt);
    receipt.judged()
}

#[test]
fn a_receipt_with_both_logs_is_paid() {
    assert_eq!(judged(|_| {}), Ok(()));
    assert_eq!(judged(|receipt| receipt.logs.reverse()), Ok(()));
    // Others' logs are in the way, as in a batch.
    let stranger = (usdc().address, vec![TRANSFER_TOPIC, [1; 32], [2; 32]], vec![0; 32]);
    assert_eq!(judged(|receipt| receipt.logs.insert(0, stranger.clone())), Ok(()));
    assert_eq!(judged(|receipt| receipt.logs.insert(1, (payee(), vec![], vec![]))), Ok(()));
}

#[test]
fn a_receipt_that_reverted_is_not_paid() {
    assert_eq!(judged(|receipt| receipt.succeeded = false), Err(SettlementError::Reverted));
}

#[test]
fn a_receipt_without_one_of_the_logs_is_not_paid() {
    assert_eq!(judged(|receipt| _ = receipt.logs.remove(0)), Err(SettlementError::NotUsed));
    assert_eq!(judged(|receipt| _ = receipt.logs.remove(1)), Err(SettlementError::NotTransferred));
    assert_eq!(judged(|receipt| receipt.logs.clear()), Err(SettlementError::NotUsed));
}

#[test]
fn a_receipt_of_another_token_payee_value_or_nonce_is_not_paid() {
    use SettlementError::{NotTransferred, NotUsed, Short};
    let short = |units| Short(Amount::from_units(units));
    let changes: [(SettlementError, fn(&mut Receipt)); 10] = [
        (NotUsed, |receipt| receipt.logs[0].0 = payee()),
        (NotUsed, |receipt| receipt.logs[0].1[0] = TRANSFER_TOPIC),
        (NotUsed, |receipt| receipt.logs[0].1[1][31] ^= 1),
        (NotUsed, |receipt| receipt.logs[0].1[2][31] ^= 1),
        (NotTransferred, |receipt| receipt.logs[1].0 = payee()),
        (NotTransferred, |receipt| receipt.logs[1].1[1][31] ^= 1),
        (NotTransferred, |receipt| receipt.logs[1].1[2][31] ^= 1),
        (short(9_999), |receipt| receipt.logs[1].2[31] -= 1),
        (short(10_001), |receipt| receipt.logs[1].2[31] += 1),
        (NotTransferred, |receipt| receipt.logs[1].2.truncate(31)),
    ];
    for (at, (error, change)) in changes.into_iter().enumerate() {
        assert_eq!(judged(change), Err(error), "{at}");
    }
}
