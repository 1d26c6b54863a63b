//! Payments that somebody else has settled before they were presented.

use x402_core::proof::{PayerProof, ProofField};

use super::*;

const ORIGIN: &str = "https://api.example";

impl Shop {
    /// A payment with a proof, signed with this key at this time.
    fn proved(&self, payment: &Payment, key: &str, time: u64) -> Presented {
        let id = self.offer.requirements().identify(payment, &K256).unwrap();
        let key = K256Signer::from_bytes(&hex::decode(key).unwrap()).unwrap();
        let Ok(signature) = key.sign(&PayerProof { origin: ORIGIN, payment: id, time }.digest());
        let value = ProofField { time, signature }.to_string();
        let proof = Some(Proof { origin: ORIGIN.into(), value });
        Presented { proof, ..Presented::from(*payment) }
    }

    async fn present(&self, presented: &Presented) -> Result<Admission, Rejection> {
        let request = RequestId::new("POST", "/a");
        self.seller.admit(presented, self.offer.requirements(), request).await
    }
}

fn used(find: Says) -> Shop {
    let simulate = queue([Says::Refuses(Error::AuthorizationUsed)]);
    Shop::new(Script { simulate, find: queue([find]), ..Script::default() })
}

const OTHER_KEY: &str = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";

#[tokio::test]
async fn who_proves_to_be_the_payer_is_served_once() {
    let shop = used(Says::ByStranger);
    let payment = shop.payment();
    let presented = shop.proved(&payment, PAYER_KEY, NOW);
    let Ok(Admission::Serve(ticket)) = shop.present(&presented).await else { panic!("not served") };
    assert_eq!(ticket.receipt().transaction, Some(STRANGER));
    ticket.complete(answer()).await.unwrap();
    assert!(matches!(shop.present(&presented).await, Ok(Admission::Replay(..))));
    assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), 0);
    let id = shop.offer.requirements().identify(&payment, &K256).unwrap();
    let paid = shop.ledger.paid_by(ChainId::ETHEREUM, STRANGER).await.unwrap();
    assert_eq!(paid.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [id]);
}

/// The bytes are public: whoever has read the chain can present them.
#[tokio::test]
async fn who_does_not_prove_it_is_told_how_and_no_chain_is_asked() {
    let shop = used(Says::ByStranger);
    let payment = shop.payment();
    let forged = [
        Presented::from(payment),
        shop.proved(&payment, OTHER_KEY, NOW),
        shop.proved(&payment, PAYER_KEY, NOW - 61),
        shop.proved(&shop.payment_of(8, 60), PAYER_KEY, NOW),
    ];
    for presented in forged.map(|forged| Presented { payment, ..forged }) {
        let rejection = shop.present(&presented).await.unwrap_err();
        assert_eq!((rejection.refusal, rejection.refusal.status()), (Refusal::Unproven, 409));
        assert!(rejection.refusal.help().contains("X-Payment-Proof"));
        assert_eq!(shop.state(&payment).await, None);
    }
    // As if it had never been asked for.
    assert!(shop.present(&shop.proved(&payment, PAYER_KEY, NOW)).await.is_ok());
}

#[tokio::test]
async fn what_moved_something_else_or_is_not_known_is_not_served() {
    for (find, expected) in [
        (Says::Nothing, Refusal::Payment(Error::AuthorizationUsed)),
        (Says::Down, Refusal::InDoubt),
        (Says::Unused, Refusal::InDoubt),
        (Says::Undecided, Refusal::Pending),
    ] {
        let shop = used(find.clone());
        let presented = shop.proved(&shop.payment(), PAYER_KEY, NOW);
        assert_eq!(shop.present(&presented).await.unwrap_err().refusal, expected, "{find:?}");
    }
}

/// Who settles together asks about each by itself first, if he takes what others have settled.
#[tokio::test]
async fn who_proves_it_is_served_where_payments_go_together() {
    let mut shop = used(Says::ByStranger);
    let together = Some(Together { max_batch: 10, max_delay: Duration::ZERO });
    let options = SellerOptions { together, clock: Arc::new(|| NOW), ..SellerOptions::default() };
    shop.seller = Seller::new(shop.ledger.clone(), shop.chain.clone(), options);
    let payment = shop.payment();
    assert_eq!(shop.refused(&payment).await.refusal, Refusal::Unproven);
    let admitted = shop.present(&shop.proved(&payment, PAYER_KEY, NOW)).await;
    let Ok(Admission::Serve(ticket)) = admitted else { panic!("{admitted:?}") };
    assert_eq!(ticket.receipt().transaction, Some(STRANGER));
}
