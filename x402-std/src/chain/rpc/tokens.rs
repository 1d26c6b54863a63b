//! Tokens that change while something is sold in them: another domain, a pause, a payee that is not paid any
//! more. Looked at when a payment is refused without a reason of its payer's, and until all is well again.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use x402_core::{Address, Asset, Claimed};

use super::node::{At, Node, Token};
use super::{RpcChain, evm};
use crate::chain::ChainError;
use crate::config::OwnedAsset;

/// How often a token is looked at, at most.
const EVERY: Duration = Duration::from_secs(5);
/// How many pairs of a token and a payee are remembered.
const MOST: usize = 1_024;

/// What was seen of the tokens.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Those that were checked at the start.
    known: Vec<OwnedAsset>,
    /// When a token was looked at last for a payee, and what is wrong.
    looked: HashMap<(Address, Address), (Instant, Option<String>)>,
}

impl Tokens {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Every change is one call of the vector's or the map's: whole, whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A token is as it is configured.
    pub(super) fn know(&self, asset: &Asset<'_>) {
        let mut seen = self.seen();
        if !seen.known.iter().any(|known| known.address == asset.address) {
            seen.known.push(OwnedAsset::from(asset));
        }
    }

    fn find(&self, token: Address) -> Option<OwnedAsset> {
        self.seen().known.iter().find(|known| known.address == token).cloned()
    }

    /// What was seen lately; what is wrong stays so until it is looked at again.
    fn last(&self, pair: (Address, Address)) -> Option<(Instant, Option<String>)> {
        self.seen().looked.get(&pair).cloned()
    }

    fn note(&self, pair: (Address, Address), wrong: Option<String>) {
        let mut seen = self.seen();
        let is_known = seen.looked.contains_key(&pair);
        if seen.looked.len() >= MOST && !is_known {
            // Who is asked for again is looked at again.
            seen.looked.retain(|_, (at, _)| at.elapsed() < EVERY);
        }
        let before = seen.looked.get(&pair).and_then(|(_, wrong)| wrong.clone());
        let (token, payee) = pair;
        match (&before, &wrong) {
            (None, Some(wrong)) => {
                tracing::warn!(%token, %payee, wrong, "nothing is sold in this token");
            }
            (Some(_), None) => tracing::info!(%token, %payee, "the token is as it was"),
            _ => {}
        }
        if seen.looked.len() < MOST || is_known {
            seen.looked.insert(pair, (Instant::now(), wrong));
        }
    }
}

const fn pair_of(payment: &Claimed) -> (Address, Address) {
    (payment.asset(), payment.transfer().to())
}

fn unfit(wrong: Option<String>) -> Result<(), ChainError> {
    wrong.map_or(Ok(()), |wrong| Err(ChainError::Unavailable(wrong)))
}

impl RpcChain {
    /// Whether the token is fit, where it was seen not to be.
    pub(super) async fn is_token_ready(&self, payment: &Claimed) -> Result<(), ChainError> {
        let last = self.tokens.last(pair_of(payment));
        if last.is_none_or(|(_, wrong)| wrong.is_none()) {
            return Ok(());
        }
        self.ask(|node| self.look_at_token(node, payment)).await
    }

    /// Looks whether the token has changed, unless it was looked at just now.
    ///
    /// # Errors
    ///
    /// [`ChainError::Unavailable`] with what is wrong with it.
    pub(super) async fn look_at_token(
        &self,
        node: &Node,
        payment: &Claimed,
    ) -> Result<(), ChainError> {
        let pair = pair_of(payment);
        if let Some((at, wrong)) = self.tokens.last(pair)
            && at.elapsed() < EVERY
        {
            return unfit(wrong);
        }
        let wrong = self.wrong_with(node, payment).await;
        self.tokens.note(pair, wrong.clone());
        unfit(wrong)
    }

    async fn wrong_with(&self, node: &Node, payment: &Claimed) -> Option<String> {
        let (token, payee) = pair_of(payment);
        // Not every token has these: one that does not answer is not paused, and lists nobody.
        if node.read(evm(token), Token::pausedCall {}, At::Latest).await.is_ok_and(|paused| paused)
        {
            return Some(
                "the token is paused: it moves nothing until its issuer says so".to_owned(),
            );
        }
        let listed = Token::isBlacklistedCall { account: evm(payee) };
        if node.read(evm(token), listed, At::Latest).await.is_ok_and(|is_listed| is_listed) {
            return Some(format!("the token does not pay {payee}: its issuer has blacklisted it"));
        }
        let asset = self.tokens.find(token)?;
        let error = self.check_domain(&asset.as_asset()).await.err()?;
        // A node that gives no answer says nothing of the token.
        (!matches!(error, super::StartError::Unavailable(_))).then(|| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_payee_is_well_again_however_many_are_not() {
        let tokens = Tokens::default();
        let pair = |number: usize| {
            let mut payee = [0; 20];
            payee[..8].copy_from_slice(&number.to_be_bytes());
            (Address::new([1; 20]), Address::new(payee))
        };
        let is_wrong = |number| tokens.last(pair(number)).is_some_and(|(_, wrong)| wrong.is_some());
        for number in 0..MOST + 10 {
            tokens.note(pair(number), Some("blacklisted".to_owned()));
        }
        assert!(is_wrong(0) && !is_wrong(MOST + 9), "there is an end to what is remembered");
        tokens.note(pair(0), None);
        assert!(!is_wrong(0));
        // Who is known is told of again, however many there are.
        tokens.note(pair(0), Some("blacklisted".to_owned()));
        assert!(is_wrong(0));
        tokens.note(pair(0), None);
        tokio::time::advance(EVERY).await;
        tokens.note(pair(MOST + 9), Some("blacklisted".to_owned()));
        assert!(is_wrong(MOST + 9) && !is_wrong(1));
    }
}
