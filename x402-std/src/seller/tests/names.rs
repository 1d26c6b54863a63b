//! Draws by the names of balances.

use x402_core::proof::{CreditProof, CreditStatement, DrawnRequest, ProofField};
use x402_core::{Signer as _, keccak256};

use super::credit::units;
use super::*;
use crate::ledger::{CreditNames, DrawRule};
use crate::quote::CreditToken;

const NONCE: [u8; 32] = [0x11; 32];

impl Shop {
    /// A draw of 1,000 by a name of that generation.
    fn named(&self, generation: u64, nonce: u8) -> NamedDraw {
        NamedDraw {
            name: CreditToken { account: self.account(), generation, made_at: NOW },
            nonce: [nonce; 32],
            request: RequestId::new("POST", "/a"),
            amount: units(1_000),
            signed: None,
        }
    }

    async fn draw_by(&self, draw: &NamedDraw) -> Result<Drawn, DrawRefusal> {
        self.seller.draw_by(draw).await
    }

    fn proof(&self, statement: CreditStatement<'_>, time: u64) -> String {
        let key = K256Signer::from_bytes(&hex::decode(PAYER_KEY).unwrap()).unwrap();
        let Ok(signature) = key.sign(&self.said(statement, time).digest());
        ProofField { time, signature }.to_string()
    }

    fn said<'a>(&self, statement: CreditStatement<'a>, time: u64) -> CreditProof<'a> {
        let terms = self.offer.requirements();
        CreditProof {
            origin: "https://a.example",
            payer: self.account().payer,
            chain_id: terms.chain_id,
            asset: terms.asset,
            pay_to: terms.pay_to,
            statement,
            time,
        }
    }

    async fn rename(
        &self,
        statement: CreditStatement<'_>,
        time: u64,
    ) -> Result<CreditNames, RenameRefusal> {
        self.seller.rename(&self.said(statement, 0), &self.proof(statement, time)).await
    }
}

#[tokio::test]
async fn who_has_a_name_that_was_replaced_draws_nothing() {
    let shop = Shop::new(Script::default());
    shop.earn().await;
    let Ok(Drawn::Serve(held)) = shop.draw_by(&shop.named(0, 1)).await else { panic!() };
    let Ok(Drawn::Serve(done)) = shop.draw_by(&shop.named(0, 2)).await else { panic!() };
    done.complete(answer(), units(400)).await.unwrap();
    assert_eq!(shop.seller.replace_names(shop.account()).await.unwrap().generation, 1);
    for (generation, nonce) in [(0, 1), (0, 2), (0, 3), (2, 2), (u64::MAX, 3)] {
        let refused = shop.draw_by(&shop.named(generation, nonce)).await;
        assert!(matches!(refused, Err(DrawRefusal::Replaced)), "{refused:?}");
    }
    // What is under way keeps what is held for it, and what is done is given again for the new name.
    assert_eq!(shop.balance().await, units(4_600));
    held.complete(answer(), units(1_000)).await.unwrap();
    for nonce in [1, 2] {
        let again = shop.draw_by(&shop.named(1, nonce)).await;
        assert!(matches!(again, Ok(Drawn::Replay { .. })), "{again:?}");
    }
    assert_eq!(shop.balance().await, units(4_600));
}

#[tokio::test]
async fn what_is_drawn_while_the_name_is_replaced_is_put_back() {
    let shop = Shop::new(Script::default());
    shop.earn().await;
    let draw = shop.named(0, 1);
    let Ok(Drawn::Serve(ticket)) = shop.draw_by(&draw).await else { panic!() };
    let drawn = shop.seller.check_again(&draw, ticket).await;
    let Ok(Drawn::Serve(ticket)) = drawn else { panic!("{drawn:?}") };
    shop.seller.replace_names(shop.account()).await.unwrap();
    let drawn = shop.seller.check_again(&draw, ticket).await;
    assert!(matches!(drawn, Err(DrawRefusal::Replaced)), "{drawn:?}");
    assert_eq!(shop.balance().await, units(6_000));
    assert!(shop.ledger.held_draws().await.unwrap().is_empty());
}

/// Whoever replaces a name and looks at the balance then sees all that was ever drawn by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_draws_that_race_with_a_new_name_none_comes_after_it() {
    for _ in 0..20 {
        let shop = Shop::new(Script::default());
        shop.earn().await;
        let tasks: Vec<_> = (0..6)
            .map(|nonce| {
                let (seller, draw) = (shop.seller.clone(), shop.named(0, nonce));
                tokio::spawn(async move { seller.draw_by(&draw).await })
            })
            .collect();
        shop.seller.replace_names(shop.account()).await.unwrap();
        let mut served = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(Drawn::Serve(ticket)) => {
                    served += 1;
                    ticket.complete(answer(), units(1_000)).await.unwrap();
                }
                Err(DrawRefusal::Replaced) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(shop.balance().await, units(6_000 - served * 1_000));
        assert!(shop.ledger.held_draws().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_payer_without_credit_has_no_names() {
    let shop = Shop::new(Script::default());
    let refused = shop.rename(CreditStatement::Rename, NOW).await;
    assert!(matches!(refused, Err(RenameRefusal::Nothing)), "{refused:?}");
    assert_eq!(shop.seller.credit_names(shop.account()).await.unwrap(), CreditNames::default());
    shop.earn().await;
    // All of it is held: somebody may be at it who should not be.
    let all = NamedDraw { amount: units(6_000), ..shop.named(0, 1) };
    let Ok(Drawn::Serve(ticket)) = shop.draw_by(&all).await else { panic!() };
    assert_eq!(shop.rename(CreditStatement::Rename, NOW).await.unwrap().generation, 1);
    ticket.complete(answer(), units(6_000)).await.unwrap();
    // Whose names are known of may replace them, though nothing is left.
    assert_eq!(shop.rename(CreditStatement::Rename, NOW + 1).await.unwrap().generation, 2);
    let again = shop.rename(CreditStatement::Rename, NOW + 1).await;
    assert!(matches!(again, Err(RenameRefusal::Outdated)), "{again:?}");
}

#[tokio::test]
async fn a_payer_says_what_draws_need() {
    let shop = Shop::new(Script::default());
    shop.earn().await;
    let [require, allow] = [CreditStatement::RequireSignature, CreditStatement::AllowName];
    let names = shop.rename(require, NOW).await.unwrap();
    assert_eq!((names.generation, names.rule), (1, DrawRule::Signature));
    let body = keccak256(&[b"words"]);
    let request =
        DrawnRequest { method: "POST", target: "/a", body, nonce: x402_core::Nonce::new(NONCE) };
    let signed = SignedDraw {
        origin: "https://a.example".into(),
        method: "POST".into(),
        target: "/a".into(),
        body,
        value: shop.proof(CreditStatement::Draw(request), NOW),
    };
    let drawing = |signed| NamedDraw { nonce: NONCE, signed, ..shop.named(1, 0) };
    let renaming = shop.proof(require, NOW);
    for wrong in [
        None,
        Some(SignedDraw { origin: "https://b.example".into(), ..signed.clone() }),
        Some(SignedDraw { body: [0; 32], ..signed.clone() }),
        Some(SignedDraw { value: String::new(), ..signed.clone() }),
        Some(SignedDraw { value: renaming, ..signed.clone() }),
    ] {
        let refused = shop.draw_by(&drawing(wrong)).await;
        assert!(matches!(refused, Err(DrawRefusal::Unsigned)), "{refused:?}");
    }
    let other = NamedDraw { nonce: [1; 32], ..drawing(Some(signed.clone())) };
    let refused = shop.draw_by(&other).await;
    assert!(matches!(refused, Err(DrawRefusal::Unsigned)), "{refused:?}");
    assert_eq!(shop.balance().await, units(6_000));
    let drawn = shop.draw_by(&drawing(Some(signed))).await;
    let Ok(Drawn::Serve(ticket)) = drawn else { panic!("{drawn:?}") };
    ticket.complete(answer(), units(1_000)).await.unwrap();
    // A draw is no new name.
    let draw = CreditStatement::Draw(request);
    let refused = shop.rename(draw, NOW + 1).await;
    assert!(matches!(refused, Err(RenameRefusal::Unproven)), "{refused:?}");
    assert_eq!(shop.rename(allow, NOW + 1).await.unwrap().rule, DrawRule::Name);
    assert!(matches!(shop.draw_by(&shop.named(2, 2)).await, Ok(Drawn::Serve(_))));
}
