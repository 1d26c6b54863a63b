//! Draws by the name of a balance, and the replacement of names.

use std::sync::Arc;

use x402_core::Amount;
use x402_core::proof::{CreditProof, CreditStatement, DrawnRequest};

use super::{DrawTicket, Drawn, Rejection, Seller};
use crate::ledger::{CreditAccount, CreditNames, DrawRule, LedgerError, Renewal, RequestId};
use crate::quote::CreditToken;

/// A draw by a name.
#[derive(Clone, Debug)]
pub struct NamedDraw {
    /// The name, as its gateway has signed it; that it is not too old the caller has seen.
    pub name: CreditToken,
    /// The payer's own, as [`Seller::draw`] takes it.
    pub nonce: [u8; 32],
    /// The request that it is for.
    pub request: RequestId,
    /// How much is taken, in atomic units.
    pub amount: Amount,
    /// What the payer has signed, if anything; looked at where it is needed.
    pub signed: Option<SignedDraw>,
}

/// What came with a draw that its payer has signed: see [`DrawnRequest`].
#[derive(Clone, Debug)]
pub struct SignedDraw {
    /// The seller's origin, as the payer knows it.
    pub origin: String,
    /// The request's method.
    pub method: String,
    /// The request's path and query.
    pub target: String,
    /// The Keccak-256 of the request's body.
    pub body: [u8; 32],
    /// The value of `X-Payment-Proof`.
    pub value: String,
}

/// Why nothing is drawn by a name.
#[derive(Debug)]
pub enum DrawRefusal {
    /// The name was replaced.
    Replaced,
    /// A draw needs the payer's signature, and there is none for this one, here and now.
    Unsigned,
    /// As [`Seller::draw`].
    Rejected(Rejection),
}

/// Why a payer's names are not replaced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenameRefusal {
    /// The ledger's failure.
    #[error(transparent)]
    Ledger(LedgerError),
    /// There is no credit, nor is any of it held, and there was no name to be replaced that is known of.
    #[error("the payer has no credit")]
    Nothing,
    /// The proof, or a later one, was used before.
    #[error("the proof, or a later one, was used before")]
    Outdated,
    /// It is not shown that the payer says so, here and now.
    #[error("the payer has not signed that")]
    Unproven,
}

impl From<LedgerError> for RenameRefusal {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Outdated => Self::Outdated,
            error => Self::Ledger(error),
        }
    }
}

impl Seller {
    /// What holds for the names of a balance.
    ///
    /// # Errors
    ///
    /// The ledger's failure.
    pub async fn credit_names(&self, account: CreditAccount) -> Result<CreditNames, LedgerError> {
        self.ledger.credit_names(account).await
    }

    /// Replaces the names of a balance because the operator says so: those that were made before are good no
    /// more. The balance, what is held of it and what draws need stay as they are.
    ///
    /// # Errors
    ///
    /// The ledger's failure.
    pub async fn replace_names(&self, account: CreditAccount) -> Result<CreditNames, LedgerError> {
        self.ledger.renew_names(account, Renewal::default()).await
    }

    /// Replaces the names of a balance because its payer says so: `value` is that of `X-Payment-Proof`, and a
    /// value is good once. It is for payers that have a key; for contracts, the operator does it.
    ///
    /// # Errors
    ///
    /// [`RenameRefusal`]; unless the ledger has failed, nothing has changed.
    pub async fn rename(
        &self,
        proof: &CreditProof<'_>,
        value: &str,
    ) -> Result<CreditNames, RenameRefusal> {
        let rule = match proof.statement {
            CreditStatement::Rename => None,
            CreditStatement::RequireSignature => Some(DrawRule::Signature),
            CreditStatement::AllowName => Some(DrawRule::Name),
            CreditStatement::Draw(_) => return Err(RenameRefusal::Unproven),
        };
        let proved_at = proof.proved_at(value, self.now(), &&*self.options.recover);
        let proved_at = Some(proved_at.ok_or(RenameRefusal::Unproven)?);
        let CreditProof { payer, chain_id, asset, pay_to: seller, .. } = *proof;
        let account = CreditAccount { payer, chain_id, asset, seller };
        if self.is_nothing(account).await? {
            return Err(RenameRefusal::Nothing);
        }
        let names = self.ledger.renew_names(account, Renewal { rule, proved_at }).await?;
        tracing::info!(%payer, generation = names.generation, "the payer has replaced the names");
        Ok(names)
    }

    /// Whether there is nothing that a name could be of. Anybody can make a key, and what is kept for each
    /// name must not be.
    async fn is_nothing(&self, account: CreditAccount) -> Result<bool, LedgerError> {
        if self.ledger.balance(account).await? != Amount::ZERO
            || self.ledger.credit_names(account).await? != CreditNames::default()
        {
            return Ok(false);
        }
        let held = self.ledger.held_draws().await?;
        Ok(!held.iter().any(|draw| draw.account == account))
    }

    /// As [`Self::draw`], for who has the name of the balance, and has signed where its payer wants that. What
    /// was drawn under a name that is replaced meanwhile, and is not worked for yet, is put back.
    ///
    /// # Errors
    ///
    /// [`DrawRefusal`].
    pub async fn draw_by(self: &Arc<Self>, draw: &NamedDraw) -> Result<Drawn, DrawRefusal> {
        self.check_name(draw).await?;
        let NamedDraw { name, nonce, request, amount, .. } = draw;
        let drawn = self.draw(name.account, *nonce, *request, *amount).await;
        match drawn.map_err(DrawRefusal::Rejected)? {
            Drawn::Serve(ticket) => self.check_again(draw, ticket).await,
            other => Ok(other),
        }
    }

    async fn check_name(&self, draw: &NamedDraw) -> Result<(), DrawRefusal> {
        let names = self.ledger.credit_names(draw.name.account).await;
        let names = names.map_err(|error| DrawRefusal::Rejected(Rejection::in_doubt(&error)))?;
        if names.generation != draw.name.generation {
            return Err(DrawRefusal::Replaced);
        }
        match names.rule {
            DrawRule::Signature if !self.is_signed(draw) => Err(DrawRefusal::Unsigned),
            DrawRule::Signature | DrawRule::Name => Ok(()),
        }
    }

    /// Whoever replaces a name may count on it that nothing is drawn by it any more.
    pub(super) async fn check_again(
        &self,
        draw: &NamedDraw,
        ticket: Box<DrawTicket>,
    ) -> Result<Drawn, DrawRefusal> {
        match self.ledger.credit_names(draw.name.account).await {
            Ok(names) if names.generation == draw.name.generation => Ok(Drawn::Serve(ticket)),
            Ok(_) => {
                ticket.release().await;
                Err(DrawRefusal::Replaced)
            }
            // It stays held: the same request goes on with it.
            Err(error) => Err(DrawRefusal::Rejected(Rejection::in_doubt(&error))),
        }
    }

    fn is_signed(&self, draw: &NamedDraw) -> bool {
        let Some(signed) = &draw.signed else { return false };
        let SignedDraw { origin, method, target, body, value } = signed;
        let CreditAccount { payer, chain_id, asset, seller: pay_to } = draw.name.account;
        let nonce = x402_core::Nonce::new(draw.nonce);
        let request = DrawnRequest { method, target, body: *body, nonce };
        let statement = CreditStatement::Draw(request);
        let proof = CreditProof { origin, payer, chain_id, asset, pay_to, statement, time: 0 };
        proof.proved_at(value, self.now(), &&*self.options.recover).is_some()
    }
}
