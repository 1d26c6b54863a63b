use core::fmt;

use serde::{Deserialize, Serialize};
use x402_core::hex::Hex;
use x402_core::state::{Event, IllegalTransition, State, Transition};
use x402_core::{Address, Amount, Checked, Claimed, PaymentId, keccak256};

use super::{CreditAccount, LedgerError, Returned};
use crate::chain::{Settlement, Transaction, TxHash};

/// Which request a payment was presented with: a hash of its method, target and whatever else must
/// be the same for a repetition to be the same request.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct RequestId(pub [u8; 32]);

impl RequestId {
    /// The request of this method and target (path and query, as matched).
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self(keccak256(&[method.as_bytes(), b" ", target.as_bytes()]))
    }

    /// The same request with this body, and no other: where the price depends on it.
    #[must_use]
    pub fn with_body(self, body: &[u8]) -> Self {
        Self(keccak256(&[&self.0, &keccak256(&[body])]))
    }

    /// The same request with these values of that header field: where the price depends on them. Without
    /// any it is the same.
    #[must_use]
    pub fn with_field<'f>(self, name: &'f str, values: impl IntoIterator<Item = &'f [u8]>) -> Self {
        values.into_iter().fold(self, |Self(request), value| {
            let [name, value] = [name.as_bytes(), value].map(|part| keccak256(&[part]));
            Self(keccak256(&[&request, b"field", &name, &value]))
        })
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

/// A payer's own name for a purchase (the extension `payment-identifier`): the Keccak-256 of the
/// payer's address and the identifier, so that no payer can take another's.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Identifier(pub [u8; 32]);

impl Identifier {
    /// The identifier `id` of this payer; `None` where it is not of 16 to 128 ASCII letters, digits,
    /// `_` or `-`.
    #[must_use]
    pub fn new(payer: Address, id: &str) -> Option<Self> {
        let is_formed = (16..=128).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        is_formed.then(|| Self(keccak256(&[payer.as_bytes(), id.as_bytes()])))
    }
}

/// What shows that a request comes from who has paid: the Keccak-256 of a secret that went with the payment
/// and never to the chain (the field `Idempotency-Key`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// How long a secret is at least, in characters: 128 bits in base64.
    pub const MIN_LEN: usize = 22;

    /// Of a key, as it is without its quotation marks
    /// ([draft](https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/)); `None` for what
    /// could be guessed.
    #[must_use]
    pub fn of_key(key: &str) -> Option<Self> {
        (key.len() >= Self::MIN_LEN).then(|| Self(keccak256(&[key.as_bytes()])))
    }
}

/// An answer that was given to a paid request, to be given again to its repetition.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its header fields, without those of the connection.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its body, or `None` where that was too large to be kept.
    pub body: Option<Vec<u8>>,
    /// The Keccak-256 of the request's body: a repetition has the same. [`Self::NOT_KNOWN`] where the body was
    /// not all there, or too long to be read.
    pub request_body: [u8; 32],
}

impl Answer {
    /// In the place of the hash of a body that nobody has seen the end of.
    pub const NOT_KNOWN: [u8; 32] = [0; 32];

    /// Whether its body is kept with it.
    pub(super) const fn is_whole(&self) -> bool {
        self.body.is_some()
    }
}

/// When the money of a payment moves.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Settle {
    /// Before the work.
    #[default]
    First,
    /// After the work, and before its answer is given.
    After,
    /// After the answer was given, together with others: the payer owes it until then.
    Later,
}

/// One step of a payment, with what is to be kept of it.
#[derive(Clone, Debug)]
pub enum Step {
    /// [`Event::Worked`], with the answer, and with what the work costs. By the scheme `upto` that is
    /// what is moved; what is paid by another and costs less leaves credit.
    Worked(Answer, Amount),
    /// [`Event::Journalled`], with the transaction that is about to be sent.
    Journalled(Transaction),
    /// [`Event::Journalled`], with a transaction in the stead of all that were sent before: those are in
    /// blocks and did nothing, or can be in none any more.
    JournalledAnew(Transaction),
    /// [`Event::Journalled`]: a facilitator is about to be told to settle it.
    Entrusted,
    /// [`Event::TimedOut`]
    TimedOut,
    /// [`Event::Confirmed`], with what moved the money: a log that pays for this payment alone.
    Confirmed(Settlement),
    /// [`Event::Reverted`]: the token moved another value than was signed, and what has arrived (by this
    /// log) is the payer's credit.
    Short(Settlement, Amount),
    /// [`Event::Reversed`]: the chain went back on the block that moved the money.
    Reversed,
    /// [`Event::Reverted`]
    Reverted,
    /// [`Event::Refused`]: the entry goes.
    Refused,
    /// [`Event::Answered`], with the answer, and with what the work costs: what was moved beyond that is
    /// credit.
    Answered(Answer, Amount),
    /// [`Event::Followed`]: the answer again, with its body, where that of a kept one was not there yet.
    Followed(Answer),
    /// [`Event::Forgiven`]: the answer goes, and nothing is owed for it.
    Forgiven,
    /// [`Event::SetOff`]: what is [outstanding](Entry::outstanding) is taken out of the payer's balance, as far
    /// as there is credit. Should it be paid after all, that is credit again.
    SetOff,
    /// [`Event::Returned`]: what has arrived is given back, so or so, and nothing is to be served for it.
    Returned(Returned),
}

impl Step {
    const fn event(&self) -> Event {
        match self {
            Self::Worked(..) => Event::Worked,
            Self::Journalled(_) | Self::JournalledAnew(_) | Self::Entrusted => Event::Journalled,
            Self::TimedOut => Event::TimedOut,
            Self::Confirmed(_) => Event::Confirmed,
            Self::Reverted | Self::Short(..) => Event::Reverted,
            Self::Reversed => Event::Reversed,
            Self::Refused => Event::Refused,
            Self::Answered(..) => Event::Answered,
            Self::Followed(_) => Event::Followed,
            Self::Forgiven => Event::Forgiven,
            Self::SetOff => Event::SetOff,
            Self::Returned(_) => Event::Returned,
        }
    }
}

/// What the ledger holds of a payment.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where it stands.
    pub state: State,
    /// The payment itself, trusted: it was checked before it was recorded.
    pub payment: Claimed,
    /// What a payer who is a contract is shown ([EIP-1271](https://eips.ethereum.org/EIPS/eip-1271));
    /// empty for a payer with a key, whose signature is in the payment.
    pub wallet_signature: Vec<u8>,
    /// The payer's own name for the purchase, which one payment has at a time.
    pub identifier: Option<Identifier>,
    /// The secret that its payer has sent with it, if there was one.
    pub secret: Option<SecretHash>,
    /// The request it was presented with.
    pub request: RequestId,
    /// When it was claimed, in Unix seconds.
    pub claimed_at: u64,
    /// When its money is to move.
    pub settle: Settle,
    /// The transaction that was journalled last. Of those that settle several payments, one has the
    /// bytes, and the others have none.
    pub transaction: Option<Transaction>,
    /// Those that were journalled before it, the latest last: one of them may be mined in its stead.
    pub replaced: Vec<TxHash>,
    /// What moved the money.
    pub settlement: Option<Settlement>,
    /// Whether the money had arrived once, and the chain went back on that: until it arrives again, its
    /// payer owes it.
    pub is_reversed: bool,
    /// The answer that was given, or is to be.
    pub answer: Option<Answer>,
    /// What of the amount the work did not cost: the payer's, once the payment is served.
    pub credit: Amount,
    /// What of it was set off against credit, for it is a debt.
    pub set_off: Amount,
    /// How it was given back, if it was not served and never will be.
    pub returned: Option<Returned>,
}

impl Entry {
    /// How long an answer is kept at least, in seconds after the claim.
    pub const KEEP_SECONDS: u64 = 24 * 60 * 60;
    /// How many earlier transactions are remembered. What pushes one out is another of the same
    /// account nonce at twenty times its fee, or one that was refused.
    const MAX_REPLACED: usize = 32;

    /// The entry of a payment that is being claimed.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Corrupt`] never happens to a payment that was checked.
    pub fn new(payment: &Checked, request: RequestId, now: u64) -> Result<Self, LedgerError> {
        Ok(Self {
            state: State::Claimed,
            payment: Claimed::from_bytes(&payment.to_bytes()).map_err(|_| LedgerError::Corrupt)?,
            wallet_signature: Vec::new(),
            identifier: None,
            secret: None,
            request,
            claimed_at: now,
            settle: Settle::First,
            transaction: None,
            replaced: Vec::new(),
            settlement: None,
            is_reversed: false,
            answer: None,
            credit: Amount::ZERO,
            set_off: Amount::ZERO,
            returned: None,
        })
    }

    /// Which payment it is.
    #[must_use]
    pub const fn id(&self) -> PaymentId {
        self.payment.id()
    }

    /// Keeps the answer, and what of the amount it did not cost.
    fn serve(&mut self, answer: Answer, used: Amount) -> Result<(), LedgerError> {
        let credit = self.payment.amount().checked_sub(used);
        self.credit = credit.ok_or(LedgerError::Amount)?;
        self.answer = Some(answer);
        Ok(())
    }

    fn journal(&mut self, transaction: Transaction) {
        let hash = transaction.hash;
        let Some(last) = self.transaction.replace(transaction) else { return };
        if last.hash != hash {
            self.replaced.push(last.hash);
        }
        if self.replaced.len() > Self::MAX_REPLACED {
            self.replaced.remove(0);
        }
    }

    /// Whether it has the bytes of its last transaction.
    pub(crate) fn has_bytes(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| !transaction.raw.is_empty())
    }

    /// The transactions that may have moved the money, the latest first.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = TxHash> {
        let last = self.transaction.iter().map(|transaction| transaction.hash);
        last.chain(self.replaced.iter().rev().copied())
    }

    /// Whether its authorization may be known to others than its payer and the seller: it was sent, or handed
    /// to a facilitator.
    pub(crate) fn is_public(&self) -> bool {
        let is_unsent = matches!(self.state, State::Claimed | State::Worked);
        !is_unsent
            || self.is_reversed
            || self.settlement.is_some()
            || self.hashes().next().is_some()
    }

    /// Whether its identifier can be given to another payment: its money will not arrive, as far as
    /// is known, and no work was done for it.
    pub(crate) fn frees_identifier(&self) -> bool {
        match self.state {
            // What was given back, and is gone again, is a debt.
            State::Failed => self.answer.is_none() && !self.is_debt(),
            State::Returned => true,
            _ => false,
        }
    }

    /// Whether the work was done, or the payment given back, and the chain did not take it: it may take it
    /// another time.
    pub(crate) fn is_unpaid(&self) -> bool {
        // What is in the balance still was taken out of it again.
        let is_gone = self.returned.is_some() && self.credit < self.payment.amount();
        self.state == State::Failed && (self.answer.is_some() || is_gone)
    }

    /// Where it stands, in a word, as the books of a seller show it.
    #[must_use]
    pub fn standing(&self) -> &'static str {
        match self.state {
            _ if self.is_set_off() => "set off",
            _ if self.is_debt() => "unpaid",
            State::Claimed => "claimed",
            State::Worked => "owed",
            State::Broadcast => "broadcast",
            State::Pending => "pending",
            State::Settled => "settled",
            State::Served => "served",
            State::Returned => self.returned.map_or("returned", Returned::standing),
            State::Failed => "failed",
        }
    }

    /// Whether the chain still has something to say of it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state.is_open() || self.is_debt()
    }

    /// Whether its payer has had the answer, or may be having it, and the money has not arrived, or is
    /// gone again.
    #[must_use]
    pub fn is_owed(&self) -> bool {
        self.is_on_trust() && self.is_open()
    }

    /// Whether its payer has had the answer, and the chain did not take the payment.
    #[must_use]
    pub fn is_debt(&self) -> bool {
        self.is_on_trust() && self.is_unpaid()
    }

    fn is_on_trust(&self) -> bool {
        self.settle == Settle::Later || self.is_reversed
    }

    /// The transaction that moved the money.
    #[must_use]
    pub fn settled_by(&self) -> Option<TxHash> {
        self.settlement.map(|settlement| settlement.transaction)
    }

    /// What goes to a balance with the step that has led here: the credit of a payment that is served,
    /// all of one that was given back so, or what has arrived instead of one.
    #[must_use]
    pub fn earned(&self) -> Option<(CreditAccount, Amount)> {
        let is_earned = matches!(self.state, State::Served | State::Returned) || self.is_short();
        let is_earned = is_earned && self.credit != Amount::ZERO;
        is_earned.then(|| (CreditAccount::of(&self.payment), self.credit))
    }

    /// What goes to a balance with the step that has led here from `before`: what was earned there is in it
    /// already.
    pub(crate) fn earned_since(&self, before: &Self) -> Option<(CreditAccount, Amount)> {
        let earned = self.earned().filter(|_| before.earned().is_none());
        self.with_set_off(before, earned)
    }

    /// Whether what has arrived was another value than was signed: the authorization is used.
    pub(crate) fn is_short(&self) -> bool {
        self.state == State::Failed && self.settlement.is_some()
    }

    /// Whether nobody needs it any more, at this time in Unix seconds.
    #[must_use]
    pub fn is_over(&self, now: u64) -> bool {
        !self.is_open() && self.due() < now
    }

    /// From when on, in Unix seconds, it may be forgotten, unless it is open; what is never to be, never.
    pub(crate) fn due(&self) -> u64 {
        if self.is_unserved() { u64::MAX } else { self.keep_until() }
    }

    /// Until when, in Unix seconds, the entry must be kept at least: while the authorization is valid,
    /// and a day. What is open, or paid and not served, is kept longer.
    #[must_use]
    pub fn keep_until(&self) -> u64 {
        let valid_before = self.payment.transfer().valid_before().to_secs().unwrap_or(u64::MAX);
        valid_before.max(self.claimed_at.saturating_add(Self::KEEP_SECONDS))
    }

    /// Where an event leads. What has arrived short is as what has arrived, in that it can be reversed and
    /// that nothing else is to come of the same authorization. Of what is under way only that is answered
    /// which had arrived.
    fn on(&self, event: Event) -> Result<Transition, IllegalTransition> {
        match event {
            Event::Answered
                if self.returned.is_some() || self.state != State::Settled && !self.is_reversed =>
            {
                Err(IllegalTransition { state: self.state, event })
            }
            Event::SetOff if self.outstanding() == Amount::ZERO => {
                Err(IllegalTransition { state: self.state, event })
            }
            Event::Followed if self.answer.as_ref().is_none_or(Answer::is_whole) => {
                Err(IllegalTransition { state: self.state, event })
            }
            Event::Reversed if self.is_short() => State::Settled.on(event),
            Event::Confirmed | Event::Journalled if self.is_short() => {
                Err(IllegalTransition { state: self.state, event })
            }
            event => self.state.on(event),
        }
    }

    /// The entry after a step; `None` where the payment is released.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Illegal`] for a step that cannot be taken from here, [`LedgerError::Amount`] for
    /// work that costs more than was paid.
    pub fn after(mut self, step: Step) -> Result<Option<Self>, LedgerError> {
        let (from, event) = (self.state, step.event());
        let Transition::To(state) = self.on(event)? else { return Ok(None) };
        if matches!(step, Step::JournalledAnew(_))
            || self.state == State::Failed && state == State::Broadcast
        {
            // Those before are in blocks, and did nothing: they say nothing of this one.
            self.transaction = None;
            self.replaced.clear();
        }
        self.state = state;
        match step {
            Step::Worked(answer, used) => {
                // What was not moved yet need not be, if the payer has signed for less too.
                if self.payment.transfer().facilitator().is_some() {
                    let payment = self.payment.of_amount(used);
                    self.payment = payment.map_err(|_| LedgerError::Amount)?;
                }
                self.serve(answer, used)?;
            }
            Step::Journalled(transaction) | Step::JournalledAnew(transaction) => {
                self.journal(transaction);
            }
            Step::Confirmed(settlement) => {
                self.settlement = Some(settlement);
                self.is_reversed = false;
                self.set_off = Amount::ZERO;
                // The work was done before, or the payment given back.
                let answered = self.answer.is_some().then_some(Event::Answered);
                if let Some(event) = answered.or(self.returned.map(|_| Event::Returned))
                    && let Transition::To(state) = self.state.on(event)?
                {
                    self.state = state;
                }
            }
            Step::Answered(answer, used) => self.serve(answer, used)?,
            Step::Followed(answer) => self.answer = Some(answer),
            Step::Short(settlement, arrived) => {
                self.settlement = Some(settlement);
                // Of what was credit before, the rest was drawn and is gone.
                self.credit = if self.is_reversed { arrived.min(self.credit) } else { arrived };
            }
            Step::Reversed => {
                self.settlement = None;
                self.is_reversed = true;
            }
            Step::Forgiven => {
                (self.answer, self.returned) = (None, None);
                // What has arrived short is in the balance, and stays there.
                if self.settlement.is_none() {
                    self.credit = Amount::ZERO;
                }
            }
            Step::Returned(returned) => {
                if !returned.follows(self.returned) {
                    return Err(IllegalTransition { state: from, event }.into());
                }
                self.give_back(returned);
            }
            Step::Entrusted | Step::TimedOut | Step::Reverted | Step::Refused | Step::SetOff => {}
        }
        Ok(Some(self))
    }
}
