/*!
The memory of a seller without a disk: which payments were taken, and what became of them.

A seller that has no chain at hand serves first and has the authorizations settled later, in batches.
Until then it must know three things, and a [`Window`] is what knows them: that a payment was taken
before (a replay), what each payer owes, and what there is to settle.

```text
checked --reserve--> Claimed --served; handed out; Journalled--> Broadcast --Confirmed--> Settled
                        |                                            '-------Reverted---> Failed
                        '--Refused--> (released)
```

The states are those of [`state`](crate::state), the machine of every ledger. A payment keeps its
slot until its authorization has ended; then nobody can present it again, and the slot is free. What
could still be replayed is never forgotten for something newer: a full window refuses.

What is served before it is settled may never be paid: the account may be empty, or the nonce used
elsewhere. [`Limits::owed`] says how much of that one payer may cause before no more is taken from it.

A window holds [`Window::<N>::SLOT_LEN`](Window::SLOT_LEN) bytes of memory for each of its `N`
payments and never more: 216 on 32-bit and 64-bit machines alike.
*/

use core::fmt;

use crate::claim::{Checked, Claim, Claimed, Proof, Terms};
use crate::state::{Event, IllegalTransition, State, Transition};
use crate::{Address, Amount, Authorization, ChainId, Error, Nonce, PaymentId, Refusal, Signature};
use crate::{Timestamp, Transfer};

/// What a [`Window`] lets happen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The most that one payer may owe in one token, in its atomic units.
    pub owed: Amount,
    /// For how long, in seconds from now, a payment may be valid at most, for so long it is
    /// remembered: the offer's timeout and what clocks may differ by.
    pub horizon_seconds: u32,
}

/// The payments that were taken and may be presented again: at most `N`.
#[derive(Clone, Debug)]
pub struct Window<const N: usize> {
    limits: Limits,
    /// Payments that end before this second may have been forgotten. It only grows, so that a clock
    /// that is set back brings no payment back.
    floor: u64,
    slots: [Option<Slot>; N],
}

/// A payment by EIP-3009 with the signature of a key: all that there is to be settled, flat.
#[derive(Clone, Copy, Debug)]
struct Slot {
    chain_id: ChainId,
    valid_after: u64,
    valid_before: u64,
    value: Amount,
    nonce: Nonce,
    asset: Address,
    from: Address,
    to: Address,
    signature: Signature,
    state: State,
}

impl<const N: usize> Window<N> {
    /// The bytes of memory for each payment.
    pub const SLOT_LEN: usize = size_of::<Option<Slot>>();

    /// Remembers nothing: for a seller that has sold nothing yet, or whose clock and payments are put
    /// back with [`Self::advance`] and [`Self::restore`].
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { limits, floor: 0, slots: [None; N] }
    }

    /// For a seller that lost its memory at `now`: refuses every payment that it may have taken
    /// before, which is all that end within the horizon.
    #[must_use]
    pub fn after_loss(limits: Limits, now: Timestamp) -> Self {
        let horizon = u64::from(limits.horizon_seconds);
        let floor = seconds(now).saturating_add(horizon).saturating_add(1);
        Self { limits, floor, slots: [None; N] }
    }

    /// Records a payment for this caller alone, or says why it cannot be taken.
    ///
    /// Payments that ended before `now` are forgotten on the way.
    ///
    /// # Errors
    ///
    /// The first of [`Refused::Method`], [`Refused::Replay`], [`Refused::Expired`],
    /// [`Refused::TooLong`], [`Refused::Owed`] and [`Refused::Full`] that applies.
    // Not inlined: a payment is a third of a kilobyte, and here are some copies of it.
    #[inline(never)]
    pub fn reserve(&mut self, checked: &Checked, now: Timestamp) -> Result<Claim, Refused> {
        let slot = Slot::of(checked.terms(), State::Claimed)?;
        self.advance(now);
        self.admit(&slot, seconds(now))?;
        self.put(slot)?;
        Ok(Claim::recorded(checked.id()))
    }

    /// Forgets the payments that ended before `now`, which is the least time from here on, even where
    /// the clock is set back.
    pub fn advance(&mut self, now: Timestamp) {
        // What ends at a second may be presented within that second.
        let now = seconds(now);
        self.floor = self.floor.max(now);
        for place in &mut self.slots {
            if place.is_some_and(|slot| slot.valid_before < now) {
                *place = None;
            }
        }
    }

    /// Puts back a payment that this window held before the power went off.
    ///
    /// # Errors
    ///
    /// [`Refused::Method`] for what no window held, [`Refused::Replay`] for what it holds already,
    /// [`Refused::Full`].
    pub fn restore(&mut self, claimed: &Claimed, state: State) -> Result<(), Refused> {
        let slot = Slot::of(claimed.terms(), state)?;
        match self.state(&claimed.id()) {
            Some(state) => Err(Refused::Replay(state)),
            None => self.put(slot),
        }
    }

    /// Tells what happened to a payment.
    ///
    /// # Errors
    ///
    /// [`ApplyError`] where the window does not hold it, or the event cannot happen to it.
    pub fn apply(&mut self, id: &PaymentId, event: Event) -> Result<Transition, ApplyError> {
        let place = self.slots.iter_mut().find(|place| place.is_some_and(|slot| slot.id() == *id));
        let place = place.ok_or(ApplyError::Unknown)?;
        let slot = place.ok_or(ApplyError::Unknown)?;
        let transition = slot.state.on(event).map_err(ApplyError::Illegal)?;
        *place = match transition {
            Transition::To(state) => Some(Slot { state, ..slot }),
            Transition::Release => None,
        };
        Ok(transition)
    }

    /// Where a payment stands; `None` where the window does not hold it.
    #[must_use]
    pub fn state(&self, id: &PaymentId) -> Option<State> {
        self.held().find(|slot| slot.id() == *id).map(|slot| slot.state)
    }

    /// The payments that are held, each with its state.
    pub fn payments(&self) -> impl Iterator<Item = (Claimed, State)> {
        self.held().map(|slot| (slot.claimed(), slot.state))
    }

    /// What is to be handed out for settlement: the payments that nobody has journalled yet.
    pub fn unsettled(&self) -> impl Iterator<Item = Claimed> {
        let was_sent = |state| matches!(state, State::Broadcast | State::Pending);
        let is_new = move |state: State| state.is_open() && !was_sent(state);
        self.payments().filter(move |(_, state)| is_new(*state)).map(|(claimed, _)| claimed)
    }

    /// What a payer owes in a token, in its atomic units: all that is held and has not arrived,
    /// payments that failed among it. `None` beyond 2^256 - 1.
    #[must_use]
    pub fn owed(&self, payer: Address, chain_id: ChainId, asset: Address) -> Option<Amount> {
        let owes = |slot: &&Slot| {
            (slot.from, slot.chain_id, slot.asset) == (payer, chain_id, asset)
                && !matches!(slot.state, State::Settled | State::Served | State::Returned)
        };
        self.held().filter(owes).try_fold(Amount::ZERO, |sum, slot| sum.checked_add(slot.value))
    }

    /// How many payments are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held().count()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held().next().is_none()
    }

    fn held(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().flatten()
    }

    fn admit(&self, slot: &Slot, now: u64) -> Result<(), Refused> {
        if let Some(state) = self.state(&slot.id()) {
            return Err(Refused::Replay(state));
        }
        if slot.valid_before < self.floor {
            return Err(Refused::Expired);
        }
        if slot.valid_before > now.saturating_add(self.limits.horizon_seconds.into()) {
            return Err(Refused::TooLong);
        }
        let owed = self.owed(slot.from, slot.chain_id, slot.asset);
        match owed.and_then(|owed| owed.checked_add(slot.value)) {
            Some(owed) if owed <= self.limits.owed => Ok(()),
            Some(_) | None => Err(Refused::Owed),
        }
    }

    fn put(&mut self, slot: Slot) -> Result<(), Refused> {
        let place = self.slots.iter_mut().find(|place| place.is_none()).ok_or(Refused::Full)?;
        *place = Some(slot);
        Ok(())
    }
}

impl Slot {
    /// What a contract would have to say, a device cannot ask: neither a wallet's signature nor
    /// Permit2's allowance.
    fn of(terms: &Terms, state: State) -> Result<Self, Refused> {
        let Terms { chain_id, asset, transfer, proof, .. } = terms;
        let (Transfer::Eip3009(terms), Proof::Ecdsa(signature)) = (transfer, proof) else {
            return Err(Refused::Method);
        };
        let valid_before = terms.valid_before.to_secs().ok_or(Refused::TooLong)?;
        Ok(Self {
            chain_id: *chain_id,
            // Beyond 64 bits it is not valid yet, and was never checked.
            valid_after: terms.valid_after.to_secs().ok_or(Refused::Expired)?,
            valid_before,
            value: terms.value,
            nonce: terms.nonce,
            asset: *asset,
            from: terms.from,
            to: terms.to,
            signature: *signature,
            state,
        })
    }

    const fn id(&self) -> PaymentId {
        let Self { chain_id, asset, from, nonce, .. } = *self;
        PaymentId { chain_id, contract: asset, from, nonce }
    }

    fn claimed(&self) -> Claimed {
        let transfer = Transfer::Eip3009(Authorization {
            from: self.from,
            to: self.to,
            value: self.value,
            valid_after: Timestamp::from_secs(self.valid_after),
            valid_before: Timestamp::from_secs(self.valid_before),
            nonce: self.nonce,
        });
        let proof = Proof::Ecdsa(self.signature);
        Checked::new(self.chain_id, self.asset, transfer, proof).held()
    }
}

/// The second; what 64 bits cannot say is the last one.
fn seconds(time: Timestamp) -> u64 {
    time.to_secs().unwrap_or(u64::MAX)
}

/// Why a window does not take a payment.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refused {
    /// It ends before a moment that has been: it may have been taken and forgotten.
    Expired,
    /// Every slot holds a payment that may be presented again.
    Full,
    /// What proves it is a contract's to say, and there is no chain to ask.
    Method,
    /// The payer would owe more than is allowed.
    Owed,
    /// It was taken before, and this is where it stands.
    Replay(State),
    /// It is valid for longer than payments are remembered.
    TooLong,
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Expired => Self::Payment(Error::Expired),
            // Room, and credit, come back when earlier payments are settled or end.
            Refused::Full | Refused::Owed => Self::Unavailable,
            Refused::Method => Self::Payment(Error::Scheme),
            Refused::Replay(_) => Self::Served,
            Refused::TooLong => Self::Payment(Error::TooLong),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => {
                f.write_str("the authorization ends too early to be told from old ones")
            }
            Self::Full => f.write_str("there is no room for another payment"),
            Self::Method => f.write_str("the payment cannot be judged without a chain"),
            Self::Owed => f.write_str("the payer would owe more than is allowed"),
            Self::Replay(state) => write!(f, "the payment was taken before and is {state:?}"),
            Self::TooLong => f.write_str("the authorization is valid for too long"),
        }
    }
}

impl core::error::Error for Refused {}

/// Why an event cannot be told to a window.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ApplyError {
    /// It cannot happen to a payment in that state.
    Illegal(IllegalTransition),
    /// The window does not hold the payment: it never did, or it has ended.
    Unknown,
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Illegal(error) => error.fmt(f),
            Self::Unknown => f.write_str("the payment is not held"),
        }
    }
}

impl core::error::Error for ApplyError {}

const _: () = assert!(Window::<1>::SLOT_LEN == 216, "the documentation says so");

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { owed: Amount::MAX, horizon_seconds: 100 };

    /// One atomic unit from payer 1 to payee 2, until that second, with that nonce.
    fn checked(nonce: u8, until: u64) -> Checked {
        let transfer = Transfer::Eip3009(Authorization {
            from: Address::new([1; 20]),
            to: Address::new([2; 20]),
            value: Amount::from_units(1),
            valid_after: Timestamp::ZERO,
            valid_before: Timestamp::from_secs(until),
            nonce: Nonce::new([nonce; 32]),
        });
        let signature = Signature::from_parts([1; 32], [1; 32], false).unwrap();
        Checked::new(ChainId::BASE, Address::new([3; 20]), transfer, Proof::Ecdsa(signature))
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    #[test]
    fn holds_a_payment_until_its_last_second() {
        let mut window = Window::<2>::new(LIMITS);
        let payment = checked(7, 1_050);
        let claim = window.reserve(&payment, at(1_000)).unwrap();
        let claimed = payment.claimed(claim).unwrap();
        assert_eq!(window.payments().next(), Some((claimed, State::Claimed)));
        for now in [1_000, 1_050] {
            let again = window.reserve(&payment, at(now));
            assert_eq!(again, Err(Refused::Replay(State::Claimed)));
        }
        // Forgotten, and refused for what it is.
        assert_eq!(window.reserve(&payment, at(1_051)), Err(Refused::Expired));
        assert!(window.is_empty());
    }

    #[test]
    fn a_clock_that_is_set_back_brings_nothing_back() {
        let mut window = Window::<2>::new(LIMITS);
        let payment = checked(7, 1_050);
        let _ = window.reserve(&payment, at(1_000)).unwrap();
        assert_eq!(window.reserve(&checked(8, 0), at(2_000)), Err(Refused::Expired));
        assert_eq!(window.reserve(&payment, at(1_000)), Err(Refused::Expired));
    }

    #[test]
    fn a_full_window_forgets_nothing_for_something_newer() {
        let mut window = Window::<2>::new(LIMITS);
        for nonce in [1, 2] {
            let _ = window.reserve(&checked(nonce, 1_050), at(1_000)).unwrap();
        }
        assert_eq!(window.reserve(&checked(3, 1_100), at(1_000)), Err(Refused::Full));
        assert_eq!(window.len(), 2);
        assert!(window.reserve(&checked(3, 1_100), at(1_051)).is_ok());
    }

    #[test]
    fn what_it_cannot_remember_it_does_not_take() {
        let mut window = Window::<2>::new(LIMITS);
        assert_eq!(window.reserve(&checked(1, 1_101), at(1_000)), Err(Refused::TooLong));
        let mut window = Window::<2>::after_loss(LIMITS, at(1_000));
        assert_eq!(window.reserve(&checked(1, 1_100), at(1_001)), Err(Refused::Expired));
        assert!(window.reserve(&checked(1, 1_101), at(1_001)).is_ok());
    }

    #[test]
    fn a_payer_owes_until_the_money_arrives() {
        let mut window = Window::<3>::new(Limits { owed: Amount::from_units(1), ..LIMITS });
        let first = checked(1, 1_100).id();
        let _ = window.reserve(&checked(1, 1_100), at(1_000)).unwrap();
        for event in [Event::Journalled, Event::Reverted] {
            assert_eq!(window.reserve(&checked(2, 1_100), at(1_000)), Err(Refused::Owed));
            window.apply(&first, event).unwrap();
        }
        assert_eq!(window.reserve(&checked(2, 1_100), at(1_000)), Err(Refused::Owed));
        window.apply(&first, Event::Confirmed).unwrap();
        assert!(window.reserve(&checked(2, 1_100), at(1_000)).is_ok());
    }

    #[test]
    fn only_what_was_not_sent_is_released() {
        let mut window = Window::<2>::new(LIMITS);
        let id = checked(1, 1_100).id();
        assert_eq!(window.apply(&id, Event::Refused), Err(ApplyError::Unknown));
        let _ = window.reserve(&checked(1, 1_100), at(1_000)).unwrap();
        assert_eq!(window.unsettled().count(), 1);
        assert_eq!(window.apply(&id, Event::Refused), Ok(Transition::Release));
        let _ = window.reserve(&checked(1, 1_100), at(1_000)).unwrap();
        window.apply(&id, Event::Journalled).unwrap();
        assert_eq!(window.unsettled().count(), 0);
        assert!(matches!(window.apply(&id, Event::Refused), Err(ApplyError::Illegal(_))));
    }

    #[test]
    fn a_proof_that_a_contract_must_judge_is_not_taken() {
        let payment = checked(1, 1_100);
        let proof = Proof::Wallet([9; 32]);
        let wallet = Checked::new(ChainId::BASE, Address::new([3; 20]), *payment.transfer(), proof);
        let mut window = Window::<2>::new(LIMITS);
        assert_eq!(window.reserve(&wallet, at(1_000)), Err(Refused::Method));
    }

    #[test]
    fn comes_back_from_what_it_held() {
        let mut window = Window::<2>::new(LIMITS);
        let _ = window.reserve(&checked(1, 1_100), at(1_000)).unwrap();
        window.apply(&checked(1, 1_100).id(), Event::Journalled).unwrap();
        let mut again = Window::<2>::new(LIMITS);
        for (claimed, state) in window.payments() {
            again.restore(&claimed, state).unwrap();
            let replay = Err(Refused::Replay(State::Broadcast));
            assert_eq!(again.restore(&claimed, state), replay);
        }
        let replay = Err(Refused::Replay(State::Broadcast));
        assert_eq!(again.reserve(&checked(1, 1_100), at(1_000)), replay);
    }
}
