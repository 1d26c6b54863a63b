/*!
The states of a claimed payment, and what moves it from one to the next.

```text
Claimed --journalled--> Broadcast --confirmed--> Settled --answered--> Served
   |-- confirmed (by somebody else, before it was presented) --> Settled
   |                    ^   |-- timed out --> Pending --confirmed--> Settled
   |-- worked --> Worked    '-- reverted --> Failed <-- reverted -- Pending
   |                 |                         |'-- confirmed --> Settled
   |                 '-- refused --> Failed    '-- journalled --> Broadcast
   '-- refused --> (released)

Settled --returned--> Returned

Settled | Served | Returned --reversed--> Pending
```

The work is done when the money has arrived, or before: then its answer is kept first ([`State::Worked`]),
and the payment that follows is never forgotten, whatever becomes of it. What is settled and has its
answer is served. What has arrived and was never served is kept until it is: or until it is given back.

A payment is journalled (raw transaction and hash, safe on disk) before it is broadcast, so that
whatever happens next can be found out. What is unknown is not failed: it is [`State::Pending`], and
stays so until the chain says.
*/

use core::fmt;

/// Where a payment stands.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum State {
    /// Recorded for one caller; nothing has been sent.
    Claimed,
    /// The work is done and its answer kept; nothing has been sent.
    Worked,
    /// A transaction is journalled and may have been sent.
    Broadcast,
    /// A transaction was sent and its outcome is not known in time.
    Pending,
    /// The money has arrived; the answer is owed.
    Settled,
    /// The answer has been given.
    Served,
    /// The money has arrived, no answer was given, and none is owed any more: it is given back, as credit or
    /// on the chain.
    Returned,
    /// The chain said no. Should the money arrive later all the same, it is settled.
    Failed,
}

/// What happens to a payment.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Event {
    /// The work is done before the money moves, and its answer is safe.
    Worked,
    /// The transaction that settles it is safe in the journal.
    Journalled,
    /// The chain shows the money's arrival.
    Confirmed,
    /// The chain shows that the transaction did nothing and the authorization cannot be used.
    Reverted,
    /// The outcome is not known in time.
    TimedOut,
    /// The token would refuse it, and nothing was sent.
    Refused,
    /// The answer is complete; or its head, by which all that was paid for is handed out.
    Answered,
    /// The body of an answer whose head was kept is complete.
    Followed,
    /// The chain went back on the block in which the money had arrived.
    Reversed,
    /// The seller gives up what is owed for it.
    Forgiven,
    /// What is owed for it is set off against its payer's credit.
    SetOff,
    /// What has arrived is given back instead of an answer, or that goes on.
    Returned,
}

/// What an event makes of a payment.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Transition {
    /// It goes on in another state, or stays.
    To(State),
    /// It is forgotten: the same bytes may be presented again.
    Release,
}

impl State {
    /// What `event` makes of a payment in this state.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] for an event that cannot happen here: the caller has lost count.
    pub const fn on(self, event: Event) -> Result<Transition, IllegalTransition> {
        use State::{Broadcast, Claimed, Failed, Pending, Returned, Served, Settled, Worked};
        let to = match (self, event) {
            (Claimed, Event::Refused) => return Ok(Transition::Release),
            (Claimed, Event::Worked) => Worked,
            // Journalled anew: another transaction for the same authorization, which the token takes
            // at most once, because the one before can no longer be mined, or has reverted.
            (Claimed | Worked | Broadcast | Pending | Failed, Event::Journalled) => Broadcast,
            // Somebody else submitted the authorization: before it was presented, before we did, or after
            // our transaction had reverted.
            (Claimed | Worked | Broadcast | Pending | Failed, Event::Confirmed) => Settled,
            (Broadcast | Pending, Event::TimedOut) => Pending,
            // What the work was done for is not released: its payer has had it.
            (Broadcast | Pending, Event::Reverted) | (Worked, Event::Refused) => Failed,
            (Settled, Event::Answered) | (Served, Event::Followed) => Served,
            // The work was under way when the chain went back on the payment: its answer is kept.
            (Broadcast, Event::Answered) => Broadcast,
            (Pending, Event::Answered) => Pending,
            // It may be mined again, or sent again; if not, it is owed.
            (Settled | Served | Returned, Event::Reversed) => Pending,
            (Failed, Event::Forgiven | Event::SetOff) => Failed,
            (Settled | Returned, Event::Returned) => Returned,
            _ => return Err(IllegalTransition { state: self, event }),
        };
        Ok(Transition::To(to))
    }

    /// Whether the chain still has to say what became of it.
    #[must_use]
    pub const fn is_open(self) -> bool {
        match self {
            Self::Claimed | Self::Worked | Self::Broadcast | Self::Pending => true,
            Self::Settled | Self::Served | Self::Returned | Self::Failed => false,
        }
    }
}

/// The event cannot happen in that state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct IllegalTransition {
    /// The state.
    pub state: State,
    /// The event.
    pub event: Event,
}

impl fmt::Display for IllegalTransition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a payment that is {:?} cannot be {:?}", self.state, self.event)
    }
}

impl core::error::Error for IllegalTransition {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_of_a_payment() {
        let mut state = State::Claimed;
        for event in [Event::Journalled, Event::TimedOut, Event::Confirmed, Event::Answered] {
            let Ok(Transition::To(next)) = state.on(event) else { panic!("{state:?} {event:?}") };
            state = next;
        }
        assert_eq!(state, State::Served);
    }

    #[test]
    fn what_was_sent_is_never_released_and_what_is_over_stays_over() {
        use Event::{
            Answered, Confirmed, Followed, Forgiven, Journalled, Refused, Returned, Reversed,
            Reverted, SetOff, TimedOut, Worked,
        };
        let events = [Answered, Confirmed, Forgiven, Journalled, Refused, Reversed, Reverted];
        for event in events.into_iter().chain([Followed, Returned, SetOff, TimedOut, Worked]) {
            assert!(State::Worked.on(event) != Ok(Transition::Release));
            assert!(State::Broadcast.on(event) != Ok(Transition::Release));
            assert!(State::Pending.on(event) != Ok(Transition::Release));
            assert_eq!(State::Served.on(event).is_ok(), matches!(event, Followed | Reversed));
            assert_eq!(State::Returned.on(event).is_ok(), matches!(event, Returned | Reversed));
            assert_eq!(
                State::Settled.on(event).is_ok(),
                matches!(event, Answered | Returned | Reversed)
            );
            assert_eq!(
                State::Failed.on(event).is_ok(),
                matches!(event, Confirmed | Forgiven | Journalled | SetOff)
            );
        }
        assert_eq!(State::Claimed.on(Refused), Ok(Transition::Release));
        assert_eq!(State::Worked.on(Refused), Ok(Transition::To(State::Failed)));
    }
}
