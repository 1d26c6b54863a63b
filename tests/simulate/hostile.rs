//! Payers who want it for nothing, and strangers who are in the way: what they submit, and when.

use alloy_primitives::Address as Contract;
use x402_core::permit2::EXACT_PROXY;

use crate::node::WRAPPER;
use crate::rpc::MULTICALL3;
use crate::token::{Act, TOKEN, Terms, Use, Word, contract};
use crate::world::World;

/// Somebody whom nobody knows.
const ELSEWHERE: Word = [0xee; 32];

/// What is done against a payment.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// Somebody submits the authorization.
    Submit,
    /// The payer takes it back.
    Cancel,
    /// The payer spends what he has elsewhere.
    Spend,
    /// The payer uses its nonce for another authorization.
    Burn,
    /// As it stands, together with other payments' nonces that are burnt.
    Bundle,
}

impl World {
    /// We have sent a transaction for this payment, and everybody sees it.
    pub(crate) fn provoke(&mut self, index: usize) {
        for (it, permille) in self.moves() {
            if self.chance(permille) {
                return self.strike(index, it);
            }
        }
    }

    /// A block comes, and somebody may act against any payment, whether or not it was presented.
    pub(crate) fn bide(&mut self) {
        for (it, permille) in self.moves() {
            if self.chance(permille / 4) {
                let index = self.random.below(self.payments.len() as u64) as usize;
                self.strike(index, it);
            }
        }
    }

    const fn moves(&self) -> [(Move, u64); 5] {
        let weather = &self.weather;
        [
            (Move::Bundle, weather.bundled),
            (Move::Submit, weather.stranger),
            (Move::Cancel, weather.cancelled),
            (Move::Spend, weather.spent),
            (Move::Burn, weather.nonce_burnt),
        ]
    }

    fn strike(&mut self, index: usize, it: Move) {
        self.counts.by_others += 1;
        let terms = self.payments[index].terms;
        let at = self.milliseconds();
        tracing::debug!(at, index, ?it, "somebody acts");
        let (from, nonce) = (terms.from(), terms.nonce());
        match it {
            Move::Submit => self.submit_alone(terms),
            Move::Cancel => {
                let act = match self.mode.is_by_permit {
                    true => Act::Invalidate { from, nonce },
                    false => Act::Cancel { from, nonce },
                };
                self.node.submit(WRAPPER, vec![act], Vec::new());
            }
            Move::Spend => {
                let value = self.node.head().state.balance(from);
                let send = Act::Send { from, to: ELSEWHERE, value };
                self.node.submit(TOKEN, vec![send], Vec::new());
            }
            Move::Burn => {
                let another = self.another(terms);
                self.submit_alone(another);
            }
            Move::Bundle => self.bundle(index),
        }
    }

    /// Another authorization of the same nonce: to the payer himself, to somebody else, or to the payee,
    /// of less or of more.
    fn another(&mut self, terms: Terms) -> Terms {
        let payee = crate::run::PAY_TO.to_word();
        let price = crate::run::PRICE;
        let value = self.random.below(2);
        match self.random.below(4) {
            0 => terms.with(ELSEWHERE, price),
            1 => terms.with(payee, price - 1),
            2 => terms.with(payee, price * 2),
            _ => terms.with(terms.from(), value),
        }
    }

    /// By itself, called in one way or another.
    fn submit_alone(&mut self, used: Terms) {
        let is_direct = self.random.chance(500);
        let (act, to, input) = match self.mode.is_by_permit {
            true => (Act::Settle(used), contract(EXACT_PROXY), used.permit_calldata()),
            false => (Act::Use(used), TOKEN, used.calldata()),
        };
        let (to, input) = if is_direct { (to, input) } else { (WRAPPER, Vec::new()) };
        self.node.submit(to, vec![act], input);
    }

    /// One transaction: the authorization as it stands, and for others of the same payer another of the
    /// same nonce, that moves nothing, or one unit, to the payer himself; in any order. Nonces of permits
    /// are burnt.
    fn bundle(&mut self, index: usize) {
        let terms = self.payments[index].terms;
        let is_by_permit = self.mode.is_by_permit;
        let mut acts = Vec::new();
        for other in 0..self.payments.len() {
            let others = self.payments[other].terms;
            let is_free = self.node.use_of(&others).is_none();
            if other != index && others.from() == terms.from() && is_free && self.random.chance(800)
            {
                let value = self.random.below(2);
                acts.push(match is_by_permit {
                    true => Act::Invalidate { from: others.from(), nonce: others.nonce() },
                    false => Act::Use(others.with(terms.from(), value)),
                });
            }
        }
        let at = self.random.below(acts.len() as u64 + 1) as usize;
        acts.insert(at, if is_by_permit { Act::Settle(terms) } else { Act::Use(terms) });
        self.counts.bundles += 1;
        let to: Contract = if self.random.chance(500) { MULTICALL3 } else { WRAPPER };
        // All nonces are somewhere in the calldata, as they are in that of such a contract.
        let input = self.payments.iter().map(|payment| payment.terms);
        let input = input.filter(|others| others.from() == terms.from());
        let input = input.flat_map(|others| others.nonce()).collect();
        self.node.submit(to, acts, input);
    }

    /// Whether the chain as it is has moved what was signed for a payment, as it was signed.
    pub(crate) fn is_in_chain(&self, index: usize) -> bool {
        let terms = &self.payments[index].terms;
        self.node.use_of(terms) == Some(Use::As(*terms))
    }

    /// As [`Self::is_in_chain`], or it was final before the chain began again.
    pub(crate) fn has_moved(&self, index: usize) -> bool {
        self.payments[index].is_final || self.is_in_chain(index)
    }

    /// Whether it is paid for: what was signed has moved, or the chain went back on that. A permit's log
    /// does not say which nonce it is of: where several of a payer's are used up in one transaction, the
    /// one transfer pays for one of them, whichever.
    pub(crate) fn is_paid(&self, index: usize) -> bool {
        let received = self.books.payments[index].received;
        let has_log = received.is_some_and(|received| received.settlement().log.is_some());
        self.has_moved(index) || self.payments[index].was_lost || self.mode.is_by_permit && has_log
    }

    /// Whether what has moved for a payment has paid for another of the same payer: see
    /// [`Self::is_paid`].
    pub(crate) fn is_taken(&self, index: usize) -> bool {
        if !self.mode.is_by_permit {
            return false;
        }
        let terms = &self.payments[index].terms;
        let others = self.books.payments.iter().enumerate();
        let mut others = others.filter(|(other, told)| {
            *other != index && told.account == self.books.payments[index].account
        });
        others.any(|(other, told)| {
            let hash = told.received.map(|received| received.settlement().transaction.0);
            hash.is_some_and(|hash| {
                self.node.has_moved(hash, terms)
                    && !self.node.has_moved(hash, &self.payments[other].terms)
            })
        })
    }
}
