//! What a payer says of a balance with his key.

use core::fmt::{self, Write as _};

use super::{Count, Digits, LIFETIME_SECONDS, parse};
use crate::hex::Hex;
use crate::{Address, ChainId, Digest, Nonce, Recover, keccak256};

/// What a payer signs about a balance of his: as [`PayerProof`](super::PayerProof), by EIP-191, in a text of
/// its own, so that none of them is good for another.
///
/// The text, without a line feed at its end; the three lines in the middle are those of a draw alone:
///
/// ```text
/// x402: Pay for this request out of my credit.
/// Origin: https://api.example
/// Request: POST /v1/chat?lang=en
/// Body: 0x<keccak256 of the body, 64 hex digits>
/// Nonce: 0x<64 hex digits>
/// Network: eip155:8453
/// Asset: 0x<the token, in EIP-55 form>
/// Pay to: 0x<the seller>
/// Payer: 0x<whose credit it is>
/// Time: 1790000000
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CreditProof<'a> {
    /// The seller's origin: scheme, host, and port where there is one.
    pub origin: &'a str,
    /// Whose balance it is.
    pub payer: Address,
    /// The chain of the asset.
    pub chain_id: ChainId,
    /// The token's contract.
    pub asset: Address,
    /// The seller's address that was paid.
    pub pay_to: Address,
    /// What he says of it.
    pub statement: CreditStatement<'a>,
    /// When it is signed, in Unix seconds.
    pub time: u64,
}

/// What a payer says of a balance.
#[derive(Clone, Copy, Debug)]
pub enum CreditStatement<'a> {
    /// The names that it has end, and he is told a new one.
    Rename,
    /// As [`Self::Rename`], and from now on each draw is signed.
    RequireSignature,
    /// As [`Self::Rename`], and from now on the name is enough to draw.
    AllowName,
    /// It pays for this request.
    Draw(DrawnRequest<'a>),
}

/// A request that a balance pays for.
#[derive(Clone, Copy, Debug)]
pub struct DrawnRequest<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its path and query, as they are sent.
    pub target: &'a str,
    /// The Keccak-256 of its body.
    pub body: [u8; 32],
    /// The draw's nonce.
    pub nonce: Nonce,
}

const RENAME: &str = "x402: Give me a new name of my credit. The names before it end.";
const REQUIRE: &str = "x402: Give me a new name of my credit, and let nobody draw without my signature. \
                       The names before it end.";
const ALLOW: &str = "x402: Give me a new name of my credit, and let whoever has it draw. \
                     The names before it end.";
const DRAW: &str = "x402: Pay for this request out of my credit.";

impl CreditStatement<'_> {
    const fn text(&self) -> &'static str {
        match self {
            Self::Rename => RENAME,
            Self::RequireSignature => REQUIRE,
            Self::AllowName => ALLOW,
            Self::Draw(_) => DRAW,
        }
    }
}

impl CreditProof<'_> {
    /// The digest that is signed: EIP-191, version 0x45.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let (mut count, mut length) = (Count(0), Digits::new());
        let (mut hashes, mut tail) = (Text::new(), Text::new());
        // The room is enough for the longest of each, and counting cannot fail.
        let _ = write!(count, "{self}");
        let _ = write!(length, "{}", count.0);
        let _ = write!(tail, "{}", Tail(self));
        let (mut request, mut method, mut target) = (["", ""], "", "");
        if let CreditStatement::Draw(drawn) = &self.statement {
            let _ = write!(hashes, "{}", Hashes(drawn));
            (request, method, target) = ([REQUEST, " "], drawn.method, drawn.target);
        }
        Digest::new(keccak256(&[
            b"\x19Ethereum Signed Message:\n",
            length.as_bytes(),
            self.statement.text().as_bytes(),
            ORIGIN.as_bytes(),
            self.origin.as_bytes(),
            request[0].as_bytes(),
            method.as_bytes(),
            request[1].as_bytes(),
            target.as_bytes(),
            hashes.as_bytes(),
            tail.as_bytes(),
        ]))
    }

    /// The time of a proof, where a field's value is one to a seller whose clock says `now`: the time is not
    /// far off, and the signature is the payer's.
    ///
    /// `self.time` is not looked at: the field says it.
    #[must_use]
    pub fn proved_at(&self, value: &str, now: u64, recover: &impl Recover) -> Option<u64> {
        let (time, signature) = parse(value)?;
        // The dear part is for what is in time.
        if time.abs_diff(now) > LIFETIME_SECONDS {
            return None;
        }
        let signed = CreditProof { time, ..*self };
        let signer = recover.recover(&signed.digest(), &signature).ok()?;
        (signer == self.payer && signer != Address::ZERO).then_some(time)
    }
}

const ORIGIN: &str = "\nOrigin: ";
const REQUEST: &str = "\nRequest: ";

/// Room for [`Tail`] and for [`Hashes`].
type Text = heapless::String<256>;

/// What stands behind the request.
struct Tail<'a>(&'a CreditProof<'a>);

impl fmt::Display for Tail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CreditProof { payer, chain_id, asset, pay_to, time, .. } = self.0;
        write!(f, "\nNetwork: {chain_id}\nAsset: {asset}\nPay to: {pay_to}\nPayer: {payer}")?;
        write!(f, "\nTime: {time}")
    }
}

/// What stands behind the target of a request.
struct Hashes<'a>(&'a DrawnRequest<'a>);

impl fmt::Display for Hashes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DrawnRequest { body, nonce, .. } = self.0;
        write!(f, "\nBody: {}\nNonce: {}", Hex(body), Hex(nonce.as_bytes()))
    }
}

impl fmt::Display for CreditProof<'_> {
    /// The text that is signed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{ORIGIN}{}", self.statement.text(), self.origin)?;
        if let CreditStatement::Draw(drawn) = &self.statement {
            write!(f, "{REQUEST}{} {}{}", drawn.method, drawn.target, Hashes(drawn))?;
        }
        Tail(self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString as _};

    use super::*;

    fn proof(statement: CreditStatement<'_>) -> CreditProof<'_> {
        CreditProof {
            origin: "https://api.example",
            payer: Address::literal("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
            chain_id: ChainId::new(u64::MAX),
            asset: Address::literal("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"),
            pay_to: Address::literal("0x209693Bc6afc0C5328bA36FaF03C514EF312287C"),
            statement,
            time: u64::MAX,
        }
    }

    const DRAWN: DrawnRequest<'_> = DrawnRequest {
        method: "POST",
        target: "/v1/chat?lang=en",
        body: [0xab; 32],
        nonce: Nonce::new([0xcd; 32]),
    };

    const ALL: [CreditStatement<'_>; 4] = [
        CreditStatement::Rename,
        CreditStatement::RequireSignature,
        CreditStatement::AllowName,
        CreditStatement::Draw(DRAWN),
    ];

    fn digest_of(text: &str) -> [u8; 32] {
        let length = text.len().to_string();
        keccak256(&[b"\x19Ethereum Signed Message:\n", length.as_bytes(), text.as_bytes()])
    }

    /// The longest there are: nothing is cut off.
    #[test]
    fn the_digest_is_that_of_the_text() {
        for statement in ALL {
            let text = proof(statement).to_string();
            assert_eq!(*proof(statement).digest().as_bytes(), digest_of(&text), "{text}");
            let end = "\nNetwork: eip155:18446744073709551615\
                       \nAsset: 0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48\
                       \nPay to: 0x209693Bc6afc0C5328bA36FaF03C514EF312287C\
                       \nPayer: 0x70997970C51812dc3A010C7d01b50e0d17dc79C8\
                       \nTime: 18446744073709551615";
            assert!(text.ends_with(end), "{text}");
        }
        let text = proof(ALL[3]).to_string();
        let [body, nonce] = ["ab", "cd"].map(|digits| digits.repeat(32));
        let start = [
            "x402: Pay for this request out of my credit.\nOrigin: https://api.example\n",
            "Request: POST /v1/chat?lang=en\nBody: 0x",
            &body,
            "\nNonce: 0x",
            &nonce,
            "\nNetwork: ",
        ];
        assert!(text.starts_with(&start.concat()), "{text}");
    }

    #[cfg(feature = "k256")]
    mod signed {
        use super::*;
        use crate::Signer as _;
        use crate::hex;
        use crate::proof::{PayerProof, ProofField};
        use crate::secp256k1::{K256, K256Signer};

        const PAYER: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
        const NOW: u64 = 1_790_000_030;

        fn sign_by(key: [u8; 32], digest: &Digest, time: u64) -> String {
            let Ok(signature) = K256Signer::from_bytes(&key).unwrap().sign(digest);
            ProofField { time, signature }.to_string()
        }

        fn sign(proof: &CreditProof<'_>) -> String {
            sign_by(hex::decode(PAYER).unwrap(), &proof.digest(), proof.time)
        }

        fn at(statement: CreditStatement<'_>, time: u64) -> CreditProof<'_> {
            CreditProof { time, ..proof(statement) }
        }

        #[test]
        fn only_the_payer_says_it_and_only_here_and_now() {
            for statement in ALL {
                let said = at(statement, NOW - 30);
                let value = sign(&said);
                assert_eq!(said.proved_at(&value, NOW, &K256), Some(NOW - 30));
                for now in [NOW - 90, NOW + 30] {
                    assert_eq!(said.proved_at(&value, now, &K256), Some(NOW - 30));
                }
                for now in [NOW - 91, NOW + 31, 0, u64::MAX] {
                    assert_eq!(said.proved_at(&value, now, &K256), None, "{now}");
                }
                let stranger = sign_by([7; 32], &said.digest(), said.time);
                assert_eq!(said.proved_at(&stranger, NOW, &K256), None);
                let other = Address::new([9; 20]);
                for elsewhere in [
                    CreditProof { origin: "http://api.example", ..said },
                    CreditProof { payer: other, ..said },
                    CreditProof { asset: other, ..said },
                    CreditProof { pay_to: other, ..said },
                    CreditProof { chain_id: ChainId::new(1), ..said },
                ] {
                    assert_eq!(elsewhere.proved_at(&value, NOW, &K256), None, "{elsewhere}");
                }
                for malformed in ["", ":", "1790000000", &value[1..], &value[..value.len() - 2]] {
                    assert_eq!(said.proved_at(malformed, NOW, &K256), None, "{malformed}");
                }
                let later = value.replacen("1790000000", "1790000001", 1);
                assert_eq!(said.proved_at(&later, NOW, &K256), None);
            }
        }

        #[test]
        fn what_is_said_of_one_thing_is_not_said_of_another() {
            let others = [
                DrawnRequest { method: "PUT", ..DRAWN },
                DrawnRequest { target: "/v1/chat", ..DRAWN },
                DrawnRequest { body: [0; 32], ..DRAWN },
                DrawnRequest { nonce: Nonce::new([0; 32]), ..DRAWN },
            ];
            let all: std::vec::Vec<_> =
                ALL.into_iter().chain(others.map(CreditStatement::Draw)).collect();
            for (i, one) in all.iter().enumerate() {
                let value = sign(&at(*one, NOW));
                for (j, other) in all.iter().enumerate() {
                    let proved = at(*other, NOW).proved_at(&value, NOW, &K256);
                    assert_eq!(proved.is_some(), i == j, "{one:?} {other:?}");
                }
                let payment = crate::PaymentId {
                    chain_id: ChainId::new(u64::MAX),
                    contract: proof(*one).asset,
                    from: proof(*one).payer,
                    nonce: DRAWN.nonce,
                };
                let payer = PayerProof { origin: "https://api.example", payment, time: NOW };
                assert!(!payer.is_proved_by(&value, NOW, &K256));
                let value = sign_by(hex::decode(PAYER).unwrap(), &payer.digest(), NOW);
                assert_eq!(at(*one, NOW).proved_at(&value, NOW, &K256), None);
            }
        }
    }
}
