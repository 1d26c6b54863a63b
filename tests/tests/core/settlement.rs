//! Which log of a transaction pays for which payment, against a model of a token that anybody calls.

use std::sync::LazyLock;

use proptest::prelude::*;
use x402_core::permit2::{EXACT_PROXY, Kind, Permit};
use x402_core::secp256k1::K256;
use x402_core::settlement::{
    AUTHORIZATION_USED_TOPIC, Log, Receipt, SETTLED_TOPIC, SETTLED_WITH_PERMIT_TOPIC,
    SettlementError, Submitter, TRANSFER_TOPIC,
};
use x402_core::{
    Address, Amount, Authorization, Claim, Claimed, LogOrder, Moment, Nonce, Signer as _, Transfer,
};

use crate::arbitrary::{NOW, cases, offer, owed, payee, payer, payment, usdc};

/// The payment of the only payer with this nonce.
fn claimed(nonce: u8) -> Claimed {
    let offer = offer();
    let terms = offer.requirements();
    let authorization = Authorization { nonce: Nonce::new([nonce; 32]), ..owed(&offer) };
    let checked = terms.check(&payment(terms, authorization), &Moment::at(NOW), &K256).unwrap();
    checked.claimed(Claim::recorded(checked.id())).unwrap()
}

/// The same by Permit2: `to_bytes` differs in the method alone.
fn by_permit(nonce: u8) -> Claimed {
    const METHOD: usize = 8 + 3 * 20 + 5 * 32;
    let mut bytes = claimed(nonce).to_bytes();
    bytes[METHOD] = 1;
    Claimed::from_bytes(&bytes).unwrap()
}

fn permit_of(payment: &Claimed) -> Permit {
    match payment.transfer() {
        Transfer::Permit2(permit) => *permit,
        other => panic!("{other:?}"),
    }
}

#[derive(Clone, Debug)]
struct Written(Address, Vec<[u8; 32]>, Vec<u8>);

fn used(nonce: u8) -> Written {
    let topics = vec![AUTHORIZATION_USED_TOPIC, payer().address().to_word(), [nonce; 32]];
    Written(usdc().address, topics, Vec::new())
}

fn moved(to: Address, units: u128) -> Written {
    let topics = vec![TRANSFER_TOPIC, payer().address().to_word(), to.to_word()];
    Written(usdc().address, topics, Amount::from_units(units).to_be_bytes().to_vec())
}

fn proxy_says(topic: [u8; 32]) -> Written {
    Written(EXACT_PROXY, vec![topic], Vec::new())
}

/// What each payment is told, in their order; a log that has paid is taken.
fn judge(
    payments: &[Claimed],
    written: &[Written],
    submitter: Submitter<'_>,
    order: LogOrder,
) -> Vec<Result<usize, SettlementError>> {
    let logs: Vec<_> = { written.iter() }
        .map(|Written(address, topics, data)| Log { address: *address, topics, data })
        .collect();
    let receipt = Receipt { succeeded: true, logs: &logs, submitter, order };
    let mut taken = Vec::new();
    let judged = payments.iter().map(|payment| {
        let paid = payment.settled(&receipt, |position| taken.contains(&position))?;
        assert_eq!(paid.settled.id(), payment.id());
        taken.push(paid.position);
        Ok(paid.position)
    });
    judged.collect()
}

const STRANGER: Submitter<'_> = Submitter::Other { to: None, calldata: &[] };
const PRICE: u128 = 10_000;

/// Nine authorizations; the first is used as it stands, and the nonces of the others by authorizations
/// that move nothing, to the payer himself.
#[test]
fn a_bundle_with_one_transfer_pays_for_one() {
    let payments: Vec<_> = (1..=9).map(claimed).collect();
    let mut bundle = vec![used(1), moved(payee(), PRICE)];
    bundle.extend((2..=9).flat_map(|nonce| [used(nonce), moved(payer().address(), 0)]));
    let judged = judge(&payments, &bundle, STRANGER, LogOrder::TransferNext);
    assert_eq!(judged[0], Ok(1));
    assert!(judged[1..].iter().all(|judged| *judged == Err(SettlementError::NotTransferred)));
    // Whoever is asked first.
    let payments: Vec<_> = payments.into_iter().rev().collect();
    let judged = judge(&payments, &bundle, STRANGER, LogOrder::TransferNext);
    assert_eq!(judged.iter().filter(|judged| judged.is_ok()).count(), 1);
    assert_eq!(judged[8], Ok(1));
    // Of a token whose order nobody knows it is for the operator to say.
    let judged = judge(&payments, &bundle, STRANGER, LogOrder::Unknown);
    assert!(judged.iter().all(|judged| *judged == Err(SettlementError::Undecided)));
}

/// In a transaction of one's own the calldata is known: each use has moved what was signed.
#[test]
fn in_ones_own_transaction_the_order_does_not_matter() {
    let payments = [claimed(1), claimed(2)];
    let next = [used(1), moved(payee(), PRICE), used(2), moved(payee(), PRICE)];
    let before = [moved(payee(), PRICE), used(1), moved(payee(), PRICE), used(2)];
    for order in [LogOrder::TransferNext, LogOrder::Unknown] {
        assert_eq!(judge(&payments, &next, Submitter::Own, order), [Ok(1), Ok(3)]);
        let judged = judge(&payments, &before, Submitter::Own, order);
        let mut positions: Vec<_> = judged.into_iter().map(Result::unwrap).collect();
        positions.sort_unstable();
        assert_eq!(positions, [0, 2]);
    }
    // There is one transfer, and it pays once.
    let one = [used(1), used(2), moved(payee(), PRICE)];
    let judged = judge(&payments, &one, Submitter::Own, LogOrder::TransferNext);
    assert_eq!(judged.iter().filter(|judged| judged.is_ok()).count(), 1);
}

#[test]
fn a_token_that_moves_another_value_is_found_out_in_ones_own_transaction_alone() {
    let fee = [used(1), moved(payee(), 9_900), moved(Address::new([5; 20]), 100)];
    let split = [used(1), moved(payee(), 4_000), moved(payee(), 6_000)];
    let nothing = [used(1)];
    let short = |written: &[Written]| {
        judge(&[claimed(1)], written, Submitter::Own, LogOrder::TransferNext)[0]
    };
    assert_eq!(short(&fee), Err(SettlementError::Short(Amount::from_units(9_900))));
    assert_eq!(short(&split), Err(SettlementError::Short(Amount::from_units(10_000))));
    assert_eq!(short(&nothing), Err(SettlementError::NotTransferred));
    // What is behind the next use is that one's.
    let next = [used(1), used(2), moved(payee(), 4_000)];
    assert_eq!(short(&next), Err(SettlementError::NotTransferred));
    for written in [&fee[..], &split, &nothing] {
        let judged = judge(&[claimed(1)], written, STRANGER, LogOrder::TransferNext);
        assert_eq!(judged, [Err(SettlementError::NotTransferred)]);
    }
}

/// Permit2 itself writes no log: the token's first may be the receipt's first.
#[test]
fn of_a_permit_what_arrived_instead_is_that_of_one_call_and_has_not_paid_before() {
    let own =
        |written: &[Written]| judge(&[by_permit(1)], written, Submitter::Own, LogOrder::Unknown)[0];
    let short = |units| Err(SettlementError::Short(Amount::from_units(units)));
    let fee = [moved(payee(), 9_900), moved(Address::new([5; 20]), 100), proxy_says(SETTLED_TOPIC)];
    assert_eq!(own(&fee), short(9_900));
    let split = [moved(payee(), 4_000), moved(payee(), 6_000), proxy_says(SETTLED_TOPIC)];
    assert_eq!(own(&split), short(10_000));
    assert_eq!(own(&[proxy_says(SETTLED_TOPIC)]), Err(SettlementError::NotTransferred));
    // What is behind the proxy's word is another call's.
    let two = [&fee[..], &fee].concat();
    assert_eq!(own(&two), short(9_900));
    assert_eq!(own(&[&[proxy_says(SETTLED_TOPIC)], &fee[..]].concat()), short(9_900));
    // One of another price has been paid by the first.
    let written = [
        moved(payee(), 9_900),
        proxy_says(SETTLED_TOPIC),
        moved(payee(), 9_800),
        proxy_says(SETTLED_TOPIC),
    ];
    let logs: Vec<_> = { written.iter() }
        .map(|Written(address, topics, data)| Log { address: *address, topics, data })
        .collect();
    let (submitter, order) = (Submitter::Own, LogOrder::Unknown);
    let receipt = Receipt { succeeded: true, logs: &logs, submitter, order };
    let judged = by_permit(1).settled(&receipt, |position| position == 0);
    assert_eq!(judged.map(|paid| paid.position).map_err(Err::<usize, _>), Err(short(9_800)));
}

#[test]
fn a_permit_is_paid_by_its_own_call_or_by_a_transfer_that_the_proxy_confirms() {
    let payments = [by_permit(1), by_permit(2)];
    let permit = permit_of(&payments[0]);
    let mut room = [0; 600];
    let call = permit.calldata(permit.amount, &[3; 65], &mut room).unwrap().to_vec();
    let settled = [moved(payee(), PRICE), proxy_says(SETTLED_TOPIC)];
    let direct = Submitter::Other { to: Some(EXACT_PROXY), calldata: &call };
    let judged = judge(&payments, &settled, direct, LogOrder::Unknown);
    assert_eq!(judged, [Ok(0), Err(SettlementError::Taken)]);
    // Another contract was called, with the same bytes.
    let elsewhere = Submitter::Other { to: Some(payee()), calldata: &call };
    let wrapped = |written: &[Written]| {
        let logs: Vec<_> = { written.iter() }
            .map(|Written(address, topics, data)| Log { address: *address, topics, data })
            .collect();
        let (submitter, order) = (elsewhere, LogOrder::Unknown);
        let receipt = Receipt { succeeded: true, logs: &logs, submitter, order };
        payments[0].settled(&receipt, |_| false).map(|paid| (paid.position, paid.needs_nonce))
    };
    assert_eq!(wrapped(&settled), Ok((0, true)));
    let approval = Written(usdc().address, vec![[9; 32]], vec![0; 32]);
    let with_permit = [moved(payee(), PRICE), approval, proxy_says(SETTLED_WITH_PERMIT_TOPIC)];
    assert_eq!(wrapped(&with_permit), Ok((0, true)));
    let not = Err(SettlementError::NotTransferred);
    assert_eq!(wrapped(&settled[..1]), not, "nobody says that it was settled");
    assert_eq!(wrapped(&[settled[1].clone(), settled[0].clone()]), not, "before, not after");
    let other = Written(Address::new([8; 20]), vec![[9; 32]], Vec::new());
    assert_eq!(wrapped(&[settled[0].clone(), other, settled[1].clone()]), not);
    let false_proxy = Written(Address::new([8; 20]), vec![SETTLED_TOPIC], Vec::new());
    assert_eq!(wrapped(&[settled[0].clone(), false_proxy]), not);
}

/// Once any 32 bytes of the calldata were taken for the nonce.
#[test]
fn a_call_is_that_of_one_permit_in_all_its_members() {
    let permit = permit_of(&by_permit(1));
    let mut room = [0; 600];
    let call = permit.calldata(permit.amount, &[3; 65], &mut room).unwrap().to_vec();
    assert_eq!(permit.moved_by(&call), Some(permit.amount));
    let with_permit = [&[0xfa, 0x34, 0x03, 0x78][..], &[7; 5 * 32], &call[4..]].concat();
    assert_eq!(permit.moved_by(&with_permit), Some(permit.amount));
    assert_eq!(permit.moved_by(&[&call[..4], &[7; 5 * 32], &call[4..]].concat()), None);
    // Every word but the signature's counts, the selector and the length too.
    for at in 0..4 + 7 * 32 {
        let mut other = call.clone();
        other[at] ^= 1;
        assert_eq!(permit.moved_by(&other), None, "{at}");
    }
    for end in 0..4 + 7 * 32 {
        assert_eq!(permit.moved_by(&call[..end]), None, "{end}");
    }
    let hidden = [&call[..4], &[0; 32], permit.nonce.as_bytes(), &call[4..]].concat();
    assert_eq!(permit.moved_by(&hidden), None);

    let facilitator = Address::new([6; 20]);
    let upto = Permit { kind: Kind::Upto { facilitator }, ..permit };
    let part = Amount::from_units(1_234);
    let call = upto.calldata(part, &[3; 65], &mut room).unwrap().to_vec();
    assert_eq!(upto.moved_by(&call), Some(part));
    assert_eq!(permit.moved_by(&call), None);
    let with_permit = [&[0x01, 0x6c, 0x17, 0x48][..], &[7; 5 * 32], &call[4..]].concat();
    assert_eq!(upto.moved_by(&with_permit), Some(part));
    let another = Permit { kind: Kind::Upto { facilitator: Address::ZERO }, ..upto };
    assert_eq!(another.moved_by(&call), None);
}

/// A call of the token in somebody's transaction: whose nonce it uses, what it moves, and to whom.
#[derive(Clone, Debug)]
enum Call {
    Use { nonce: u8, to_payee: bool, units: u128 },
    Transfer { units: u128 },
    Elsewhere,
}

fn call() -> impl Strategy<Value = Call> {
    let units = || prop_oneof![3 => Just(PRICE), 1 => Just(0), 1 => Just(1), 1 => Just(9_999)];
    prop_oneof![
        4 => (1..8_u8, any::<bool>(), units())
            .prop_map(|(nonce, to_payee, units)| Call::Use { nonce, to_payee, units }),
        1 => units().prop_map(|units| Call::Transfer { units }),
        1 => Just(Call::Elsewhere),
    ]
}

proptest! {
    #![proptest_config(cases(4_096))]

    /// Whatever anybody puts together: a payment is paid if, and only if, its own call moved the price,
    /// and never is more received than was moved.
    #[test]
    fn never_more_is_received_than_was_moved(
        calls in proptest::collection::vec(call(), 0..12),
        shuffled in Just((1..8_u8).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let mut seen: Vec<u8> = Vec::new();
        let (mut written, mut right, mut arrived) = (Vec::new(), Vec::new(), 0);
        for call in &calls {
            match *call {
                // The token takes a nonce once.
                Call::Use { nonce, .. } if seen.contains(&nonce) => {}
                Call::Use { nonce, to_payee, units } => {
                    seen.push(nonce);
                    let to = if to_payee { payee() } else { payer().address() };
                    written.extend([used(nonce), moved(to, units)]);
                    arrived += if to_payee { units } else { 0 };
                    right.extend((to_payee && units == PRICE).then_some(nonce));
                }
                Call::Transfer { units } => {
                    written.push(moved(payee(), units));
                    arrived += units;
                }
                Call::Elsewhere => {
                    written.push(Written(Address::new([4; 20]), vec![TRANSFER_TOPIC], vec![]));
                }
            }
        }
        // To sign them anew each time would take most of the time.
        static PAYMENTS: LazyLock<Vec<Claimed>> = LazyLock::new(|| (0..8).map(claimed).collect());
        let payments: Vec<_> = shuffled.iter().map(|nonce| PAYMENTS[usize::from(*nonce)]).collect();
        let judged = judge(&payments, &written, STRANGER, LogOrder::TransferNext);
        let mut paid: Vec<_> = { shuffled.iter().zip(&judged) }
            .filter_map(|(nonce, judged)| judged.is_ok().then_some(*nonce))
            .collect();
        paid.sort_unstable();
        right.sort_unstable();
        prop_assert_eq!(&paid, &right);
        prop_assert!(paid.len() as u128 * PRICE <= arrived);
        let own = judge(&payments, &written, Submitter::Own, LogOrder::Unknown);
        prop_assert!(own.iter().filter(|own| own.is_ok()).count() as u128 * PRICE <= arrived);
    }
}
