//! Requests that are paid for out of a balance.

use std::sync::Arc;

use x402_core::{Address, Amount, Nonce, PaymentId, Refusal};

use super::refund::is_refund;
use super::{Guard, Rejection, Seller};
use crate::ledger::{Answer, Conclusion, CreditAccount, Draw, DrawId, DrawState, Drawing};
use crate::ledger::{LedgerError, RequestId};

/// What a draw is good for.
#[derive(Debug)]
pub enum Drawn {
    /// The work is owed: do it, once.
    Serve(Box<DrawTicket>),
    /// The work was done: give the same answer again, if its body was kept, and the request's is the same
    /// ([`Answer::request_body`]).
    Replay {
        /// What it cost.
        used: Amount,
        /// The answer.
        answer: Answer,
    },
    /// The balance is smaller, namely this: nothing was taken.
    Short(Amount),
}

/// The right and the duty to do the work that an amount is held for.
///
/// Dropped, the amount stays held and the work is owed: the same request with the same nonce is admitted
/// again. Where the work is not to be paid for, [`DrawTicket::release`] it.
#[derive(Debug)]
#[must_use]
pub struct DrawTicket {
    pub(super) seller: Arc<Seller>,
    draw: Draw,
    _guard: Guard,
}

impl DrawTicket {
    /// Whose balance it is.
    #[must_use]
    pub const fn payer(&self) -> Address {
        self.draw.account.payer
    }

    /// What it is in logs, and to the service behind: no payment has it.
    #[must_use]
    pub const fn id(&self) -> PaymentId {
        name(&self.draw)
    }

    /// Which draw it is.
    #[must_use]
    pub const fn draw_id(&self) -> DrawId {
        self.draw.id
    }

    /// How much is held for the work: it may cost so much at most.
    #[must_use]
    pub const fn amount(&self) -> Amount {
        self.draw.amount
    }

    pub(super) const fn draw(&self) -> &Draw {
        &self.draw
    }

    /// Keeps the answer: the work is done and never done again. What it did not cost goes back to the
    /// balance.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; the work then counts as not done.
    pub async fn complete(self, answer: Answer, used: Amount) -> Result<(), LedgerError> {
        let Self { seller, draw, _guard } = self;
        seller.ledger.conclude(draw.id, Conclusion::Used(used, answer)).await
    }

    /// Lets the draw go: everything is in the balance again. Where that fails, it stays held, and the
    /// next attempt goes on from there.
    pub async fn release(self) {
        let Self { seller, draw, _guard } = self;
        if let Err(error) = seller.ledger.conclude(draw.id, Conclusion::Returned).await {
            tracing::warn!(draw = %draw.id, %error, "not released");
        }
    }
}

/// A draw as others name payments, for whom it is not to be told apart from one. The seller is no
/// contract that keeps nonces, so no payment is called the same.
pub(super) const fn name(draw: &Draw) -> PaymentId {
    let CreditAccount { payer, chain_id, seller, .. } = draw.account;
    PaymentId { chain_id, contract: seller, from: payer, nonce: Nonce::new(draw.id.0) }
}

impl Seller {
    /// What a payer has paid and not used.
    ///
    /// # Errors
    ///
    /// The ledger's failure.
    pub async fn balance(&self, account: CreditAccount) -> Result<Amount, LedgerError> {
        self.ledger.balance(account).await
    }

    /// All that a payer has paid and not used, with whomever and in whatever.
    ///
    /// # Errors
    ///
    /// The ledger's failure.
    pub async fn credits_of(
        &self,
        payer: Address,
    ) -> Result<Vec<(CreditAccount, Amount)>, LedgerError> {
        let mut balances = self.ledger.balances().await?;
        balances.retain(|(account, _)| account.payer == payer);
        Ok(balances)
    }

    /// Takes an amount from a balance for a request, and holds it until the work is done. The nonce is
    /// the payer's, and means to draws what a payment's means to payments: the same request with the
    /// same nonce is served once, and charged once. It is remembered for a day at least. What the payer owes
    /// ([`Self::set_off`]) is set off first.
    ///
    /// Everything happens in a task of its own: this future may be dropped at any time.
    ///
    /// # Errors
    ///
    /// [`Rejection`], with what to tell the payer: [`Refusal::Conflict`] for another request with that
    /// nonce, [`Refusal::InFlight`] while the work is being done, [`Refusal::InDoubt`] where the ledger fails.
    pub async fn draw(
        self: &Arc<Self>,
        account: CreditAccount,
        nonce: [u8; 32],
        request: RequestId,
        amount: Amount,
    ) -> Result<Drawn, Rejection> {
        let draw = Draw::new(account, nonce, request, amount, (self.options.clock)());
        let task = tokio::spawn(Arc::clone(self).draw_for(draw));
        task.await.unwrap_or_else(|panic| Err(Rejection::in_doubt(&panic)))
    }

    /// Puts back into their balances what is held for work that nobody does any more, for the process that did
    /// it has ended, or has given it up: a hold ends with the lease of its holder. Returns these draws. Refunds
    /// that were begun stay ([`Self::open_refunds`]), and so does what is done.
    ///
    /// To be called when a seller starts, and now and then after. Until then the same request with the same
    /// nonce is admitted again; afterwards it draws anew. Who was robbed of his lease, for he could not renew
    /// it, cannot keep his answer any more, and does not give its end.
    ///
    /// # Errors
    ///
    /// The ledger's failure; what was put back until then stays so.
    pub async fn release_holds(&self) -> Result<Vec<Draw>, LedgerError> {
        let mut released = Vec::new();
        let open = self.ledger.held_draws().await?;
        for draw in open.into_iter().filter(|draw| !is_refund(draw)) {
            let Some(_guard) = self.working.enter(&self.ledger, name(&draw)).await? else {
                continue;
            };
            match self.ledger.conclude(draw.id, Conclusion::Returned).await {
                Ok(()) => released.push(draw),
                // The list is older than that.
                Err(LedgerError::Concluded | LedgerError::Missing) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(released)
    }

    pub(super) async fn draw_for(self: Arc<Self>, draw: Draw) -> Result<Drawn, Rejection> {
        let request = draw.request;
        // A repetition of what is done writes nothing, not even a lease.
        let known = self.ledger.find_draw(draw.id).await;
        let known = known.map_err(|error| Rejection::in_doubt(&error))?;
        if let Some(done) = known.filter(|known| !known.is_held()) {
            return replay(done, request);
        }
        let guard = self.enter(name(&draw)).await?;
        let drawing = self.draw_what_is_left(&draw).await;
        match drawing.map_err(|error| Rejection::in_doubt(&error))? {
            Drawing::New => {
                tracing::info!(draw = %draw.id, payer = %draw.account.payer, "drawn");
                Ok(Drawn::Serve(Box::new(DrawTicket { seller: self, draw, _guard: guard })))
            }
            Drawing::Known(held) if held.is_held() && held.request == request => {
                Ok(Drawn::Serve(Box::new(DrawTicket { seller: self, draw: *held, _guard: guard })))
            }
            Drawing::Known(known) => replay(*known, request),
            Drawing::Short(balance) => Ok(Drawn::Short(balance)),
            Drawing::Owing(_) => Err(Refusal::Unavailable.into()),
        }
    }
}

/// The answer to a draw whose work is done.
fn replay(draw: Draw, request: RequestId) -> Result<Drawn, Rejection> {
    if draw.request != request {
        return Err(Refusal::Conflict.into());
    }
    match draw.state {
        DrawState::Done { used, answer } => Ok(Drawn::Replay { used, answer }),
        // Somebody works on it: it was not when it was looked for.
        DrawState::Held => Err(Refusal::InFlight.into()),
    }
}
