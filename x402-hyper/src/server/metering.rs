//! What an answer costs that is measured while it passes.

use core::fmt;
use core::time::Duration;

use bytes::Bytes;
use http::{request, response};
use x402_core::Amount;

/// How the answers of a [`Sale`](super::Sale) are measured, of which the offers say the ceiling.
pub trait Metering: fmt::Debug + Send + Sync + 'static {
    /// Makes a request one whose answer can be measured. `body` is all of it, where the price depended
    /// on it; what is returned is sent in its place.
    ///
    /// Here nothing is changed.
    fn prepare(&self, head: &mut request::Parts, body: Option<&Bytes>) -> Option<Bytes> {
        let _ = (head, body);
        None
    }

    /// Begins to measure the answer with this head.
    fn meter(&self, answer: &response::Parts) -> Box<dyn Meter>;

    /// The time that is sold, where it is time: the answer is over when it is.
    ///
    /// Here it is not.
    fn period(&self) -> Option<Period> {
        None
    }
}

/// Measures one answer.
pub trait Meter: Send {
    /// The next piece of the answer's body, as it passes.
    ///
    /// Here it is passed over.
    fn feed(&mut self, data: &[u8]) {
        let _ = data;
    }

    /// What the answer costs, in atomic units. No more than [`Passage::ceiling`] is charged.
    fn cost(self: Box<Self>, passage: &Passage) -> Amount;
}

/// How an answer has passed.
#[derive(Clone, Copy, Debug)]
pub struct Passage {
    /// The time from its first byte to its end.
    pub elapsed: Duration,
    /// Whether it came to its own end. Else it broke off, or the client hung up, and what has passed is
    /// to be paid.
    pub is_whole: bool,
    /// What was offered, in atomic units.
    pub ceiling: Amount,
}

/// A time that is sold: a pass for it is good for the sale's [route](super::Sale::route).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Period {
    /// How long it is.
    pub duration: Duration,
    /// What a minute costs, in atomic units.
    pub price: Amount,
}
