//! Credit that is given back on the chain.

use std::sync::Arc;

use x402_core::eip3009::Authorization;
use x402_core::secp256k1::K256Signer;
use x402_core::{
    Address, Amount, Asset, Moment, Nonce, Offer, Payment, Refusal, Signer as _, Timestamp,
    Transfer, TransferMethod,
};

use super::{DrawTicket, Drawn, Rejection, Seller, Steps};
use crate::chain::TxHash;
use crate::ledger::{
    Answer, CreditAccount, Draw, DrawId, Entry, Ledger, LedgerError, MemoryLedger, RequestId,
    Settle, Step,
};

/// How long an authorization is valid that gives credit back, in seconds. Another is signed where that
/// was not enough.
const VALID_SECONDS: u32 = 600;

/// How many payments are looked at in one go.
const PAGE: usize = 256;

/// With what credit is given back.
#[derive(Clone, Copy, Debug)]
pub struct Refunder<'a> {
    /// The token that was paid.
    pub asset: &'a Asset<'a>,
    /// The key of the address that was paid.
    pub key: &'a K256Signer,
}

/// Credit that was given back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refunded {
    /// The draw by which it was taken from the balance.
    pub draw: DrawId,
    /// How much.
    pub amount: Amount,
    /// The transaction that moved it.
    pub transaction: TxHash,
}

/// Why credit was not given back, or is not known to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefundError {
    /// The credit is in another token.
    #[error("the credit is in another token")]
    Asset,
    /// The key is another's than the address that was paid.
    #[error("the key is that of {0}, which was not paid")]
    Key(Address),
    /// Of the balance only so much comes from payments that the chain cannot go back on.
    #[error("the chain may still go back on the payments that the credit comes from")]
    NotFinal(Amount),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The payer owes so much for what he was served, which what he is to be given has to be set off against.
    #[error("its payer owes for what was served and not paid")]
    Owing(Amount),
    /// The token lacks `transferWithAuthorization`.
    #[error("the token lacks transferWithAuthorization")]
    Permit2,
    /// The money has not arrived, or is not known to have. The amount stays held, and
    /// [`Seller::resume_refund`] goes on with it.
    #[error("{}", .0.refusal)]
    Rejected(Rejection),
    /// The balance is smaller, namely this: nothing was taken.
    #[error("the balance is smaller")]
    Short(Amount),
    /// The payment is not one that was paid and not served; this is where it stands.
    #[error("the payment is {0}: only what was paid and not served is given back")]
    Unserved(&'static str),
}

/// What is in the place of a request. None of HTTP is called so: a target has no blank in it.
pub(super) fn request() -> RequestId {
    RequestId::new("x402", "ledger refund")
}

/// Whether it is drawn to be given back on the chain.
pub(super) fn is_refund(draw: &Draw) -> bool {
    draw.request == request()
}

impl Refunder<'_> {
    fn check(&self, account: &CreditAccount) -> Result<(), RefundError> {
        if (self.asset.chain_id, self.asset.address) != (account.chain_id, account.asset) {
            return Err(RefundError::Asset);
        }
        if self.asset.transfer_method != TransferMethod::Eip3009 {
            return Err(RefundError::Permit2);
        }
        let key = self.key.address();
        if key == account.seller { Ok(()) } else { Err(RefundError::Key(key)) }
    }

    /// A payment like any other, the other way round. Its nonce is the draw's id: whatever is signed for
    /// a draw, and however often, the token takes it once.
    fn entry(&self, draw: &Draw, moment: &Moment) -> Result<Entry, Rejection> {
        let CreditAccount { payer, seller, .. } = draw.account;
        let offer = Offer::new(*self.asset, payer, draw.amount, VALID_SECONDS);
        let terms = offer.requirements();
        let authorization = Authorization {
            from: seller,
            to: payer,
            value: draw.amount,
            valid_after: Timestamp::ZERO,
            valid_before: moment.now.saturating_add(VALID_SECONDS.into()),
            nonce: Nonce::new(draw.id.0),
        };
        let Ok(signature) = self.key.sign(&authorization.digest(&terms.domain));
        let payment = Payment {
            chain_id: terms.chain_id,
            asset: terms.asset,
            transfer: Transfer::Eip3009(authorization),
            signature: Ok(signature),
        };
        let checked = terms.check(&payment, moment, &x402_core::secp256k1::K256)?;
        // What happened since it was drawn is this refund's.
        let entry = Entry::new(&checked, draw.request, draw.drawn_at);
        let entry = entry.map_err(|error| Rejection::unavailable(&error))?;
        Ok(Entry { settle: Settle::After, ..entry })
    }
}

impl Seller {
    /// The refunds that were begun and are not known to have arrived.
    ///
    /// # Errors
    ///
    /// The ledger's failure.
    pub async fn open_refunds(&self) -> Result<Vec<Draw>, LedgerError> {
        let mut held = self.ledger.held_draws().await?;
        held.retain(is_refund);
        Ok(held)
    }

    /// Takes an amount of credit from its balance, and gives it back on the chain by an authorization of
    /// the address that was paid. Returns once it has arrived.
    ///
    /// Whatever happens on the way, it is not given twice: the amount is held in the ledger under an id
    /// that is the authorization's nonce.
    ///
    /// # Errors
    ///
    /// [`RefundError`]; with [`RefundError::Rejected`] and [`RefundError::Ledger`] the amount may be held.
    pub async fn refund(
        self: &Arc<Self>,
        account: CreditAccount,
        amount: Amount,
        by: Refunder<'_>,
    ) -> Result<Refunded, RefundError> {
        self.may_refund(&account, by)?;
        let refundable = self.refundable(account).await?;
        if amount > refundable && amount <= self.ledger.balance(account).await? {
            return Err(RefundError::NotFinal(refundable));
        }
        let mut nonce = [0; 32];
        let filled = getrandom::fill(&mut nonce);
        filled.map_err(|error| LedgerError::Storage(format!("no random numbers: {error}")))?;
        self.go_on(Draw::new(account, nonce, request(), amount, (self.options.clock)()), by).await
    }

    /// How much of a balance can be given back: what of it comes from payments that the chain cannot go
    /// back on.
    ///
    /// # Errors
    ///
    /// The ledger's failure.
    pub async fn refundable(&self, account: CreditAccount) -> Result<Amount, LedgerError> {
        let mut refundable = self.ledger.balance(account).await?;
        for block in self.ledger.unfinal_blocks(account.chain_id, usize::MAX).await? {
            let mut after = None;
            loop {
                let page = self.ledger.paid_in(account.chain_id, block, after, PAGE).await?;
                for id in &page {
                    let entry = self.ledger.find(*id).await?;
                    let credit = entry.map_or(Amount::ZERO, |entry| not_final(&entry, &account));
                    refundable = refundable.checked_sub(credit).unwrap_or_default();
                }
                after = page.last().copied();
                if page.len() < PAGE {
                    break;
                }
            }
        }
        Ok(refundable)
    }

    /// Goes on with one of [`Self::open_refunds`]: asks the chain whether it has arrived, and if not
    /// signs it anew.
    ///
    /// # Errors
    ///
    /// As [`Self::refund`].
    pub async fn resume_refund(
        self: &Arc<Self>,
        draw: Draw,
        by: Refunder<'_>,
    ) -> Result<Refunded, RefundError> {
        self.may_refund(&draw.account, by)?;
        self.go_on(draw, by).await
    }

    /// Asked before anything is drawn.
    pub(super) fn may_refund(
        &self,
        account: &CreditAccount,
        by: Refunder<'_>,
    ) -> Result<(), RefundError> {
        self.rail(account.chain_id).map_err(RefundError::Rejected)?;
        by.check(account)
    }

    async fn go_on(
        self: &Arc<Self>,
        draw: Draw,
        by: Refunder<'_>,
    ) -> Result<Refunded, RefundError> {
        match Arc::clone(self).draw_for(draw).await.map_err(RefundError::Rejected)? {
            Drawn::Serve(ticket) => self.give_back(*ticket, by).await,
            Drawn::Short(balance) => Err(RefundError::Short(balance)),
            // Somebody else was faster.
            Drawn::Replay { .. } => Err(LedgerError::Concluded.into()),
        }
    }

    async fn give_back(
        &self,
        ticket: DrawTicket,
        by: Refunder<'_>,
    ) -> Result<Refunded, RefundError> {
        let (draw, amount) = (ticket.draw_id(), ticket.amount());
        let transaction = self.send_back(ticket.draw(), by).await.map_err(RefundError::Rejected)?;
        tracing::info!(%draw, payer = %ticket.payer(), %transaction, "refunded");
        ticket.complete(note(transaction.to_string()), amount).await?;
        Ok(Refunded { draw, amount, transaction })
    }

    /// Settles the payment beside the seller's books, which are of what comes in. What is to be
    /// remembered of it, the draw and the token remember.
    pub(super) async fn send_back(
        &self,
        draw: &Draw,
        by: Refunder<'_>,
    ) -> Result<TxHash, Rejection> {
        let entry = by.entry(draw, &self.moment(draw.account.chain_id))?;
        let (ledger, id) = (MemoryLedger::new(), entry.id());
        let worked = || Step::Worked(note(String::new()), draw.amount);
        let unavailable = |error: LedgerError| Rejection::unavailable(&error);
        ledger.claim(entry.clone()).await.map_err(unavailable)?;
        ledger.apply(id, worked()).await.map_err(unavailable)?;
        let entry = entry.after(worked()).map_err(unavailable)?.ok_or(Refusal::Unavailable)?;
        self.rail(draw.account.chain_id)?.settle(&entry, &Steps::new(&ledger, id)).await
    }
}

/// What stands in a draw in the place of an answer.
fn note(text: String) -> Answer {
    let body = Some(text.into_bytes());
    Answer { status: 200, headers: Vec::new(), body, request_body: [0; 32] }
}

/// What of a balance may go again with the block that has paid: the credit, and of what was owed before, all, for
/// it may have been set off against the balance, and have been put back.
fn not_final(entry: &Entry, account: &CreditAccount) -> Amount {
    if CreditAccount::of(&entry.payment) != *account {
        return Amount::ZERO;
    }
    match entry.settle {
        Settle::Later => entry.payment.amount(),
        Settle::First | Settle::After => entry.earned().map_or(Amount::ZERO, |(_, credit)| credit),
    }
}
