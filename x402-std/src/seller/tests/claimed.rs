//! Who has what was paid for, once the payment can be read on a chain.

use x402_core::proof::{PayerProof, ProofField};

use super::*;

const ORIGIN: &str = "https://api.example";
const OTHER_KEY: &str = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";

/// What a payment is presented with.
#[derive(Clone, Copy, Debug)]
enum With {
    /// What whoever reads the chain has.
    Bytes,
    Key(&'static str),
    Name(&'static str),
    ProofBy(&'static str),
}

const KEY: With = With::Key("f3b6c8b2-8a51-4f0e-9d0e-1c8a6b7d5e4f");
const NAME: With = With::Name("pay_7d5d747be160e280504c099d984bcfe0");

impl Shop {
    fn presented(&self, payment: &Payment, with: With) -> Presented {
        let presented = Presented::from(*payment);
        match with {
            With::Bytes => presented,
            With::Key(key) => Presented { secret: SecretHash::of_key(key), ..presented },
            With::Name(id) => {
                let identifier = Identifier::new(payment.transfer.from(), id);
                Presented { identifier, ..presented }
            }
            With::ProofBy(key) => {
                let id = self.offer.requirements().identify(payment, &K256).unwrap();
                let key = K256Signer::from_bytes(&hex::decode(key).unwrap()).unwrap();
                let proof = PayerProof { origin: ORIGIN, payment: id, time: NOW };
                let Ok(signature) = key.sign(&proof.digest());
                let value = ProofField { time: NOW, signature }.to_string();
                Presented { proof: Some(Proof { origin: ORIGIN.into(), value }), ..presented }
            }
        }
    }

    async fn ask(
        &self,
        payment: &Payment,
        with: With,
        replay: Replay,
    ) -> Result<Admission, Refusal> {
        let (request, terms) = (RequestId::new("POST", "/a"), self.offer.requirements());
        let purchase = Purchase { request, amount: terms.amount, settle: Settle::First, replay };
        let presented = self.presented(payment, with);
        let admitted = self.seller.admit_for(&presented, terms, purchase).await;
        admitted.map_err(|rejection| rejection.refusal)
    }
}

/// Who has not what the payer has.
const STRANGERS: [With; 5] = [
    With::Bytes,
    With::Key("f3b6c8b2-8a51-4f0e-9d0e-1c8a6b7d5e40"),
    With::Key("short"),
    With::Name("pay_7d5d747be160e280504c099d984bcfe1"),
    With::ProofBy(OTHER_KEY),
];

/// An answer, and work that is owed: for the payer, however he shows it, and for nobody else.
#[tokio::test]
async fn what_was_paid_for_is_for_who_shows_to_be_its_payer() {
    for first in [With::Bytes, KEY, NAME] {
        let shop = Shop::new(Script::default());
        let payment = shop.payment();
        let ask = |with| shop.ask(&payment, with, Replay::Payer);
        let Ok(Admission::Serve(ticket)) = ask(first).await else { panic!("{first:?}") };
        // Its work is owed.
        drop(ticket);
        for stranger in STRANGERS {
            assert_eq!(
                ask(stranger).await.unwrap_err(),
                Refusal::Unproven,
                "{first:?} {stranger:?}"
            );
        }
        let shows: &[_] = match first {
            With::Bytes => &[With::ProofBy(PAYER_KEY)],
            _ => &[first, With::ProofBy(PAYER_KEY)],
        };
        for (number, &with) in shows.iter().enumerate() {
            let Ok(Admission::Serve(ticket)) = ask(with).await else { panic!("{with:?}") };
            if number + 1 == shows.len() {
                ticket.complete(answer()).await.unwrap();
            }
        }
        for stranger in STRANGERS {
            assert_eq!(
                ask(stranger).await.unwrap_err(),
                Refusal::Unproven,
                "{first:?} {stranger:?}"
            );
        }
        for &with in shows {
            assert!(matches!(ask(with).await, Ok(Admission::Replay(..))), "{with:?}");
        }
        assert_eq!(shop.chain.broadcasts.load(Ordering::SeqCst), 1);
    }
}

/// A key that comes later than the payment shows nothing: who reads the chain can make one up.
#[tokio::test]
async fn a_key_that_did_not_come_with_the_payment_shows_nothing() {
    let shop = Shop::new(Script::default());
    let payment = shop.payment();
    let ask = |with| shop.ask(&payment, with, Replay::Payer);
    let Ok(Admission::Serve(ticket)) = ask(With::Bytes).await else { panic!() };
    ticket.complete(answer()).await.unwrap();
    for with in [KEY, NAME] {
        assert_eq!(ask(with).await.unwrap_err(), Refusal::Unproven);
    }
}

/// What is sent and not mined can be read as well.
#[tokio::test]
async fn a_payment_that_was_sent_is_public() {
    let script = Script { outcome: queue([Says::Nothing]), ..Script::default() };
    let shop = Shop::new(script);
    let payment = shop.payment();
    let ask = |with| shop.ask(&payment, with, Replay::Payer);
    assert_eq!(ask(KEY).await.unwrap_err(), Refusal::Pending);
    for stranger in STRANGERS {
        assert_eq!(ask(stranger).await.unwrap_err(), Refusal::Unproven);
    }
    assert_eq!(ask(KEY).await.unwrap_err(), Refusal::Pending);
}

/// Of what was served on trust nothing was sent yet: who has the bytes has them of the payer.
#[tokio::test]
async fn before_anything_is_sent_the_bytes_are_enough() {
    let shop = Shop::new(Script::default());
    let payment = shop.payment();
    let terms = shop.offer.requirements();
    let purchase = Purchase {
        request: RequestId::new("POST", "/a"),
        amount: terms.amount,
        settle: Settle::After,
        replay: Replay::Payer,
    };
    let ask = |with| {
        let (seller, presented) = (Arc::clone(&shop.seller), shop.presented(&payment, with));
        async move { seller.admit_for(&presented, terms, purchase).await }
    };
    for with in [KEY, With::Bytes] {
        let Ok(Admission::Pledged(pledge)) = ask(with).await else { panic!("{with:?}") };
        drop(pledge);
    }
    let Ok(Admission::Pledged(pledge)) = ask(KEY).await else { panic!() };
    pledge.settle(answer(), terms.amount).await.unwrap();
    assert_eq!(ask(With::Bytes).await.unwrap_err().refusal, Refusal::Unproven);
    assert!(matches!(ask(KEY).await, Ok(Admission::Replay(..))));
}

#[tokio::test]
async fn what_is_public_anyway_is_given_to_whoever_has_the_bytes() {
    let shop = Shop::new(Script::default());
    let payment = shop.payment();
    let ask = |with| shop.ask(&payment, with, Replay::Anyone);
    let Ok(Admission::Serve(ticket)) = ask(KEY).await else { panic!() };
    ticket.complete(answer()).await.unwrap();
    for stranger in STRANGERS {
        assert!(matches!(ask(stranger).await, Ok(Admission::Replay(..))));
    }
}

#[test]
fn a_key_has_128_bits_at_least() {
    let key = "abcdefghijklmnopqrstuv";
    assert!(SecretHash::of_key(key).is_some());
    assert_ne!(SecretHash::of_key(&format!("{key}w")), SecretHash::of_key(key));
    for short in ["", "\"\"", &key[1..]] {
        assert_eq!(SecretHash::of_key(short), None, "{short}");
    }
}
