/*!
Proof that a request comes from the payer himself.

An authorization and its signature are public once a transaction carries them: whoever reads the chain can
present them. What only the payer can do is to sign something new. A proof is a signature of the payer's key
over the seller's origin, the payment and the time, by [EIP-191](https://eips.ethereum.org/EIPS/eip-191)
(`personal_sign`, which every wallet has), so that it is good for this seller, this payment and this minute.

The text that is signed, without a line feed at its end:

```text
x402: I am the payer of this payment.
Origin: https://api.example
Payment: 0x<keccak256 of the payment's id, 64 hex digits>
Time: 1790000000
```

It travels as `X-Payment-Proof: 1790000000:0x<r || s || v, 130 hex digits>`; so does what a payer says of a
balance of his, [`CreditProof`].
*/

mod credit;

use core::fmt::{self, Write as _};

use crate::hex::{self, Hex};
use crate::{Address, Digest, PaymentId, Recover, Signature, keccak256};

pub use credit::{CreditProof, CreditStatement, DrawnRequest};

/// The name of the field.
pub const FIELD: &str = "X-Payment-Proof";

/// How far the time of a proof may be from the seller's, in seconds, either way.
pub const LIFETIME_SECONDS: u64 = 60;

/// What a payer signs to show that he is the payer.
#[derive(Clone, Copy, Debug)]
pub struct PayerProof<'a> {
    /// The seller's origin: scheme, host, and port where there is one.
    pub origin: &'a str,
    /// Which payment is meant.
    pub payment: PaymentId,
    /// When it is signed, in Unix seconds.
    pub time: u64,
}

impl PayerProof<'_> {
    /// The digest that is signed: EIP-191, version 0x45.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut count = Count(0);
        // The room is enough for each number, and counting cannot fail.
        let (mut length, mut time) = (Digits::new(), Digits::new());
        let mut payment = heapless::String::<66>::new();
        let _ = write!(count, "{self}");
        let _ = write!(length, "{}", count.0);
        let _ = write!(time, "{}", self.time);
        let _ = write!(payment, "{}", Hex(&keccak256(&[&self.payment.to_bytes()])));
        Digest::new(keccak256(&[
            b"\x19Ethereum Signed Message:\n",
            length.as_bytes(),
            HEAD.as_bytes(),
            self.origin.as_bytes(),
            PAYMENT.as_bytes(),
            payment.as_bytes(),
            TIME.as_bytes(),
            time.as_bytes(),
        ]))
    }

    /// Whether a field's value proves it to a seller whose clock says `now`: the time is not far off, and
    /// the signature is the payer's.
    ///
    /// `self.time` is not looked at: the field says it.
    #[must_use]
    pub fn is_proved_by(&self, value: &str, now: u64, recover: &impl Recover) -> bool {
        let Some((time, signature)) = parse(value) else { return false };
        // The dear part is for what is in time.
        if time.abs_diff(now) > LIFETIME_SECONDS {
            return false;
        }
        let signed = PayerProof { time, ..*self };
        let signer = recover.recover(&signed.digest(), &signature);
        signer.is_ok_and(|signer| signer == self.payment.from && signer != Address::ZERO)
    }
}

const HEAD: &str = "x402: I am the payer of this payment.\nOrigin: ";
const PAYMENT: &str = "\nPayment: ";
const TIME: &str = "\nTime: ";

impl fmt::Display for PayerProof<'_> {
    /// The text that is signed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, payment, time } = self;
        let payment = keccak256(&[&payment.to_bytes()]);
        write!(f, "{HEAD}{origin}{PAYMENT}{}{TIME}{time}", Hex(&payment))
    }
}

/// A proof as the field carries it.
#[derive(Clone, Copy, Debug)]
pub struct ProofField {
    /// When it was signed, in Unix seconds.
    pub time: u64,
    /// The payer's signature.
    pub signature: Signature,
}

impl fmt::Display for ProofField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.time, Hex(&self.signature.to_rsv()))
    }
}

fn parse(value: &str) -> Option<(u64, Signature)> {
    let (time, signature) = value.split_once(':')?;
    let is_plain = time.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = is_plain && (time == "0" || !time.starts_with('0'));
    let time = time.parse().ok().filter(|_| is_plain)?;
    let signature: [u8; Signature::LEN] = hex::decode(signature).ok()?;
    Some((time, Signature::from_rsv(&signature).ok()?))
}

/// Room for a `u64` in decimal.
type Digits = heapless::String<20>;

/// Counts the bytes that are written.
struct Count(usize);

impl fmt::Write for Count {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.saturating_add(text.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::*;
    use crate::{ChainId, Nonce};

    fn proof() -> PayerProof<'static> {
        let payment = PaymentId {
            chain_id: ChainId::BASE,
            contract: Address::new([1; 20]),
            from: Address::literal("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
            nonce: Nonce::new([2; 32]),
        };
        PayerProof { origin: "https://api.example", payment, time: 1_790_000_000 }
    }

    #[test]
    fn the_digest_is_that_of_the_text() {
        let text = proof().to_string();
        let length = text.len().to_string();
        let parts: [&[u8]; 3] =
            [b"\x19Ethereum Signed Message:\n", length.as_bytes(), text.as_bytes()];
        assert_eq!(*proof().digest().as_bytes(), keccak256(&parts));
        assert!(text.ends_with("\nTime: 1790000000"), "{text}");
    }

    #[cfg(feature = "k256")]
    #[test]
    fn only_the_payer_proves_it_and_only_here_and_now() {
        use crate::Signer as _;
        use crate::secp256k1::{K256, K256Signer};
        const PAYER: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
        let sign = |key: [u8; 32], proof: &PayerProof<'_>| {
            let Ok(signature) = K256Signer::from_bytes(&key).unwrap().sign(&proof.digest());
            ProofField { time: proof.time, signature }.to_string()
        };
        let (proof, now) = (proof(), 1_790_000_030);
        let value = sign(hex::decode(PAYER).unwrap(), &proof);
        assert!(proof.is_proved_by(&value, now, &K256));
        assert!(proof.is_proved_by(&value, proof.time - 60, &K256));
        assert!(!proof.is_proved_by(&value, proof.time + 61, &K256));
        assert!(!proof.is_proved_by(&value, proof.time - 61, &K256));
        assert!(!proof.is_proved_by(&sign([7; 32], &proof), now, &K256), "another's key");
        let elsewhere = PayerProof { origin: "https://other.example", ..proof };
        assert!(!elsewhere.is_proved_by(&value, now, &K256));
        let other = PaymentId { nonce: Nonce::new([3; 32]), ..proof.payment };
        assert!(!PayerProof { payment: other, ..proof }.is_proved_by(&value, now, &K256));
        for malformed in ["", ":", "1790000000", &value[1..], &value[..value.len() - 2]] {
            assert!(!proof.is_proved_by(malformed, now, &K256), "{malformed}");
        }
        let another_time = value.replacen("1790000000", "1790000001", 1);
        assert!(!proof.is_proved_by(&another_time, now, &K256));
    }
}
