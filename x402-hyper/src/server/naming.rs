//! The names of balances: how they are told, and replaced by their payers.

use bytes::Bytes;
use http::{HeaderMap, Response};
use x402_core::proof::CreditProof;
use x402_core::{Address, Offer};
use x402_std::ledger::{CreditNames, DrawRule};
use x402_std::quote::CreditToken;
use x402_std::seller::{Rejection, RenameRefusal};

use super::answer::{self, INSECURE_CREDIT, NOTHING_NAMED, OUTDATED_NAMING, UNPROVEN_NAMING};
use super::dialect;
use super::drawing::Naming;
use super::layer::Shared;
use super::task::{Means, Task};
use super::tokens::{Tokens, account};

impl<A, E> Task<A, E> {
    /// Replaces the names of a balance, and tells the new one.
    pub(super) async fn rename(&self, naming: &Naming) -> Response<Bytes> {
        let asked = &self.order.asked;
        let mut tried = Vec::new();
        for offer in &asked.sale.offers {
            // Which of its balances the payer means, the signature says.
            let account = account(naming.payer, offer);
            if tried.contains(&account) {
                continue;
            }
            tried.push(account);
            let terms = offer.requirements();
            let proof = CreditProof {
                origin: &naming.origin,
                payer: naming.payer,
                chain_id: terms.chain_id,
                asset: terms.asset,
                pay_to: terms.pay_to,
                statement: naming.statement,
                time: 0,
            };
            let renamed = self.shared.seller.rename(&proof, &naming.value).await;
            if asked.is_exposed && !matches!(renamed, Err(RenameRefusal::Unproven)) {
                // Others have read what was signed: it is used up, and tells nobody anything.
                return INSECURE_CREDIT.answer();
            }
            return match renamed {
                Ok(names) => self.renamed(naming.payer, offer, &names).await,
                Err(RenameRefusal::Unproven) => continue,
                Err(RenameRefusal::Nothing) => NOTHING_NAMED.answer(),
                Err(RenameRefusal::Outdated) => OUTDATED_NAMING.answer(),
                Err(error) => {
                    tracing::warn!(%error, "a name is not replaced");
                    let rejection = Rejection::from(x402_core::Refusal::Unavailable);
                    answer::rejected(&rejection, asked, Some(offer))
                }
            };
        }
        match asked.is_exposed {
            true => INSECURE_CREDIT.answer(),
            false => UNPROVEN_NAMING.answer(),
        }
    }

    /// The answer that tells the new name of a balance.
    async fn renamed(
        &self,
        payer: Address,
        offer: &Offer<'static>,
        names: &CreditNames,
    ) -> Response<Bytes> {
        let Some(tokens) = &self.shared.tokens else { return UNPROVEN_NAMING.answer() };
        let (account, made_at) = (account(payer, offer), self.shared.seller.now());
        let name = CreditToken { account, generation: names.generation, made_at };
        let draws = match names.rule {
            DrawRule::Name => "bearer",
            DrawRule::Signature => "signed",
        };
        let body = serde_json::json!({
            "credit": tokens.name(&name),
            "expires": self.shared.name_end(&name),
            "draws": draws,
        });
        let mut answer = answer::said(&body);
        let headers = answer.headers_mut();
        self.shared.tell(tokens, &name, headers);
        if let Ok(balance) = self.shared.seller.balance(account).await {
            dialect::balance(balance, offer, headers);
        }
        answer
    }

    /// Tells the name of the balance that is drawn on, or that what is not used will be in. Who draws is told
    /// the name that he has, as the present key signs it: by drawing no name becomes younger.
    pub(super) async fn tell_name(&self, tokens: &Tokens, payer: Address, headers: &mut HeaderMap) {
        if let Means::Credit(drawing) = &self.order.means {
            return self.shared.tell(tokens, &drawing.name, headers);
        }
        let account = account(payer, &self.order.offer);
        match self.shared.seller.credit_names(account).await {
            Ok(CreditNames { generation, .. }) => {
                let made_at = self.shared.seller.now();
                self.shared.tell(tokens, &CreditToken { account, generation, made_at }, headers);
            }
            // The next payment tells it, or a signature.
            Err(error) => tracing::warn!(%error, "the name of a balance is not told"),
        }
    }

    /// Takes the name of a balance out of an answer that others could read on its way.
    pub(super) fn withhold(&self, headers: &mut HeaderMap) {
        if self.order.asked.is_exposed {
            dialect::withhold(headers);
        }
    }
}

impl Shared {
    /// When a name ends, in Unix seconds, if it does so by itself.
    fn name_end(&self, name: &CreditToken) -> Option<u64> {
        self.limits.name_life.map(|life| name.made_at.saturating_add(life))
    }

    fn tell(&self, tokens: &Tokens, name: &CreditToken, headers: &mut HeaderMap) {
        dialect::tell(headers, dialect::CREDIT, &tokens.name(name));
        if let Some(end) = self.name_end(name) {
            dialect::tell(headers, dialect::CREDIT_EXPIRES, &end.to_string());
        }
    }
}
