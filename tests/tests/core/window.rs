//! The seller's memory beside a map that forgets nothing.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use proptest::prelude::*;
use x402_core::state::{Event, State, Transition};
use x402_core::window::{ApplyError, Limits, Refused};
use x402_core::{
    Address, Amount, Checked, Claimed, Digest, Moment, Nonce, Offer, Payment, PaymentId, Recover,
    Signature, SignatureError, Timestamp, Transfer, Window,
};

use crate::arbitrary::{NOW, cases, offer, owed};

const SLOTS: usize = 4;
const HORIZON: u32 = 100;
const LIMITS: Limits = Limits { owed: Amount::ZERO, horizon_seconds: HORIZON };

/// Finds that the payer has signed: what is tried here is memory, not arithmetic.
struct Believe(Address);

impl Recover for Believe {
    fn recover(&self, _: &Digest, _: &Signature) -> Result<Address, SignatureError> {
        Ok(self.0)
    }
}

static OFFER: LazyLock<Offer<'_>> = LazyLock::new(offer);

/// A payment of `units` that ends so many seconds after [`NOW`].
fn checked(payer: u8, nonce: u8, units: u128, until: u64) -> Checked {
    let mut terms = *OFFER.requirements();
    terms.amount = Amount::from_units(units);
    let mut authorization = owed(&OFFER);
    authorization.from = Address::new([payer; 20]);
    authorization.value = terms.amount;
    authorization.nonce = Nonce::new([nonce; 32]);
    authorization.valid_before = Timestamp::from_secs(NOW + until);
    let signature = Signature::from_parts([1; 32], [1; 32], false);
    let transfer = Transfer::Eip3009(authorization);
    let (chain_id, asset) = (terms.chain_id, terms.asset);
    let payment = Payment { chain_id, asset, transfer, signature };
    let moment = Moment { now: Timestamp::from_secs(NOW), margin_seconds: 0 };
    terms.check(&payment, &moment, &Believe(authorization.from)).unwrap()
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// At so many seconds after [`NOW`]: the clock may go back.
    Reserve {
        payer: u8,
        nonce: u8,
        units: u128,
        until: u64,
        now: u64,
    },
    Apply {
        payer: u8,
        nonce: u8,
        event: Event,
    },
    /// The power goes off; what was held is put back.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    use Event::{Answered, Confirmed, Journalled, Refused, Reverted, TimedOut};
    let event = prop::sample::select(vec![
        Journalled, Journalled, Confirmed, Confirmed, Answered, Refused, Reverted, TimedOut,
    ]);
    let reserve = (1_u8..4, 0_u8..4, 1_u128..4, 0_u64..300, 0_u64..200).prop_map(
        |(payer, nonce, units, until, now)| Step::Reserve { payer, nonce, units, until, now },
    );
    let apply = (1_u8..4, 0_u8..4, event).prop_map(|(payer, nonce, event)| Step::Apply {
        payer,
        nonce,
        event,
    });
    prop_oneof![8 => reserve, 8 => apply, 1 => Just(Step::Restart)]
}

/// The obvious way to do it.
#[derive(Default)]
struct Model {
    taken: HashMap<PaymentId, (State, Checked)>,
    latest: u64,
}

impl Model {
    fn reserve(&mut self, checked: &Checked, now: u64, cap: u128) -> Result<(), Refused> {
        let end = |checked: &Checked| checked.transfer().valid_before().to_secs().unwrap();
        self.latest = self.latest.max(now);
        self.taken.retain(|_, (_, held)| end(held) >= now);
        if let Some((state, _)) = self.taken.get(&checked.id()) {
            return Err(Refused::Replay(*state));
        }
        if end(checked) < self.latest {
            return Err(Refused::Expired);
        }
        if end(checked) > now + u64::from(HORIZON) {
            return Err(Refused::TooLong);
        }
        if self.owed(checked.payer()) + units(checked) > cap {
            return Err(Refused::Owed);
        }
        if self.taken.len() == SLOTS {
            return Err(Refused::Full);
        }
        self.taken.insert(checked.id(), (State::Claimed, *checked));
        Ok(())
    }

    fn owed(&self, payer: Address) -> u128 {
        let open = self.taken.values().filter(|(state, held)| {
            held.payer() == payer && *state != State::Settled && *state != State::Served
        });
        open.map(|(_, held)| units(held)).sum()
    }

    fn apply(&mut self, id: &PaymentId, event: Event) -> Result<Transition, ApplyError> {
        let (state, _) = self.taken.get_mut(id).ok_or(ApplyError::Unknown)?;
        let transition = state.on(event).map_err(ApplyError::Illegal)?;
        match transition {
            Transition::To(next) => *state = next,
            Transition::Release => _ = self.taken.remove(id),
        }
        Ok(transition)
    }
}

fn units(checked: &Checked) -> u128 {
    checked.transfer().value().to_string().parse().unwrap()
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn a_window_knows_what_a_map_knows(
        cap in 1_u128..12, steps in prop::collection::vec(step(), 1..60),
    ) {
        let limits = Limits { owed: Amount::from_units(cap), ..LIMITS };
        let mut window = Window::<SLOTS>::new(limits);
        let mut model = Model::default();
        // What was taken and not released: never to be taken again.
        let mut sold = HashSet::new();
        for step in steps {
            match step {
                Step::Reserve { payer, nonce, units, until, now } => {
                    let checked = checked(payer, nonce, units, until);
                    let now = NOW + now;
                    let expected = model.reserve(&checked, now, cap);
                    let taken = window.reserve(&checked, Timestamp::from_secs(now));
                    prop_assert_eq!(taken.as_ref().err(), expected.as_ref().err());
                    if let Ok(claim) = taken {
                        let bytes = (checked.id(), until);
                        prop_assert!(sold.insert(bytes), "{checked:?} was sold twice");
                        prop_assert!(checked.claimed(claim).is_ok());
                    }
                }
                Step::Apply { payer, nonce, event } => {
                    let id = checked(payer, nonce, 1, 0).id();
                    let transition = window.apply(&id, event);
                    prop_assert_eq!(transition, model.apply(&id, event));
                    if transition == Ok(Transition::Release) {
                        sold.retain(|(sold, _)| *sold != id);
                    }
                }
                Step::Restart => {
                    let mut again = Window::new(limits);
                    again.advance(Timestamp::from_secs(model.latest));
                    for (claimed, state) in window.payments() {
                        let claimed = Claimed::from_bytes(&claimed.to_bytes()).unwrap();
                        prop_assert_eq!(again.restore(&claimed, state), Ok(()));
                        prop_assert_eq!(again.restore(&claimed, state), Err(Refused::Replay(state)));
                    }
                    window = again;
                }
            }
            prop_assert_eq!(window.len(), model.taken.len());
            for (claimed, state) in window.payments() {
                prop_assert_eq!(model.taken.get(&claimed.id()).map(|(state, _)| *state), Some(state));
            }
            for payer in 1..4 {
                let payer = Address::new([payer; 20]);
                let terms = OFFER.requirements();
                let owed = window.owed(payer, terms.chain_id, terms.asset);
                prop_assert_eq!(owed, Some(Amount::from_units(model.owed(payer))));
            }
        }
    }
}
