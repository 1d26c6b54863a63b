use core::fmt;

use crate::{Address, Digest, hex};

/// The order of secp256k1, `n`, big-endian.
const ORDER: [u8; 32] =
    hex::literal("0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
/// `n / 2`, rounded down: the largest low s.
const HALF_ORDER: [u8; 32] =
    hex::literal("0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");

/// A recoverable secp256k1 signature that a token will accept.
///
/// r and s are 32 bytes each, big-endian, in `1..n`; s is low (`<= n / 2`, so that a payment has one
/// spelling only); v is 27 or 28. No other value can be held: USDC reverts on every one of them.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Signature {
    r: [u8; 32],
    s: [u8; 32],
    y_is_odd: bool,
}

impl Signature {
    /// The length of r || s || v.
    pub const LEN: usize = 65;

    /// From r and s (big-endian) and the parity of the nonce point's y.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Range`] where r or s is not in `1..n`, [`SignatureError::HighS`] where s
    /// is in the upper half.
    pub fn from_parts(r: [u8; 32], s: [u8; 32], y_is_odd: bool) -> Result<Self, SignatureError> {
        let in_range = |scalar: &[u8; 32]| *scalar != [0; 32] && *scalar < ORDER;
        if !in_range(&r) || !in_range(&s) {
            return Err(SignatureError::Range);
        }
        if s > HALF_ORDER {
            return Err(SignatureError::HighS);
        }
        Ok(Self { r, s, y_is_odd })
    }

    /// From 65 bytes, r || s || v.
    ///
    /// # Errors
    ///
    /// As [`Self::from_parts`], and [`SignatureError::V`] where v is neither 27 nor 28.
    pub fn from_rsv(bytes: &[u8; Self::LEN]) -> Result<Self, SignatureError> {
        let [rs @ .., v] = bytes;
        let (Some(r), Some(s)) = (rs.first_chunk(), rs.last_chunk()) else {
            return Err(SignatureError::Length);
        };
        let y_is_odd = match v {
            27 => false,
            28 => true,
            _ => return Err(SignatureError::V),
        };
        Self::from_parts(*r, *s, y_is_odd)
    }

    /// From bytes of any length, of which only r || s || v is taken.
    ///
    /// # Errors
    ///
    /// As [`Self::from_rsv`]; [`SignatureError::Compact`] for the 64 bytes of EIP-2098 and
    /// [`SignatureError::Length`] for any other length.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, SignatureError> {
        match bytes.try_into() {
            Ok(bytes) => Self::from_rsv(bytes),
            Err(_) if bytes.len() == 64 => Err(SignatureError::Compact),
            Err(_) => Err(SignatureError::Length),
        }
    }

    /// 65 bytes, r || s || v.
    #[cfg_attr(target_os = "none", inline(never))]
    #[must_use]
    pub fn to_rsv(&self) -> [u8; Self::LEN] {
        let mut bytes = [self.v(); Self::LEN];
        for (slot, byte) in bytes.iter_mut().zip(self.r.iter().chain(&self.s)) {
            *slot = *byte;
        }
        bytes
    }

    /// r, 32 bytes, big-endian.
    #[must_use]
    pub const fn r(&self) -> &[u8; 32] {
        &self.r
    }

    /// s, 32 bytes, big-endian, at most n / 2.
    #[must_use]
    pub const fn s(&self) -> &[u8; 32] {
        &self.s
    }

    /// v: 28 if the nonce point's y is odd, else 27.
    #[must_use]
    pub const fn v(&self) -> u8 {
        27 + self.y_is_odd as u8
    }

    /// Whether the nonce point's y is odd.
    #[must_use]
    pub const fn is_y_odd(&self) -> bool {
        self.y_is_odd
    }
}

impl fmt::Debug for Signature {
    /// Shows no bytes: who reads a signature in a log can submit the payment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(..)")
    }
}

/// Why a signature is refused.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SignatureError {
    /// 64 bytes: the compact form of EIP-2098, which tokens do not take.
    Compact,
    /// s is in the upper half of its range.
    HighS,
    /// Not 65 bytes.
    Length,
    /// r or s is zero, or not below the order of the curve.
    Range,
    /// No public key has made this signature.
    Unrecoverable,
    /// v is neither 27 nor 28.
    V,
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compact => "the signature has 64 bytes, the compact form of EIP-2098; 65 are due",
            Self::HighS => "the signature's s is in the upper half of its range",
            Self::Length => "a signature has 65 bytes: r, s and v",
            Self::Range => "the signature's r or s is zero or too large",
            Self::Unrecoverable => "no key can have made the signature",
            Self::V => "the signature's v is neither 27 nor 28",
        })
    }
}

impl core::error::Error for SignatureError {}

/// Finds who signed.
///
/// An argument of every check, so that the caller chooses the arithmetic: k256 here,
/// libsecp256k1 on a server, an accelerator on a device.
pub trait Recover {
    /// The address whose key signed `digest`.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Unrecoverable`] where r is not the x of a point, or the key would be the
    /// point at infinity.
    fn recover(&self, digest: &Digest, signature: &Signature) -> Result<Address, SignatureError>;
}

impl<R: Recover + ?Sized> Recover for &R {
    fn recover(&self, digest: &Digest, signature: &Signature) -> Result<Address, SignatureError> {
        (**self).recover(digest, signature)
    }
}

/// Holds a key and signs with it.
pub trait Signer {
    /// Why it may not sign: a device that is locked, a human who said no.
    type Error;

    /// The address of the key.
    fn address(&self) -> Address;

    /// Signs a digest.
    ///
    /// # Errors
    ///
    /// The signer's own.
    fn sign(&self, digest: &Digest) -> Result<Signature, Self::Error>;
}

impl<S: Signer + ?Sized> Signer for &S {
    type Error = S::Error;

    fn address(&self) -> Address {
        (**self).address()
    }

    fn sign(&self, digest: &Digest) -> Result<Signature, Self::Error> {
        (**self).sign(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: [u8; 32] = {
        let mut one = [0; 32];
        one[31] = 1;
        one
    };

    fn rsv(r: [u8; 32], s: [u8; 32], v: u8) -> [u8; 65] {
        let mut bytes = [v; 65];
        bytes[..32].copy_from_slice(&r);
        bytes[32..64].copy_from_slice(&s);
        bytes
    }

    #[test]
    fn takes_the_edges_of_the_range() {
        let mut largest = ORDER;
        largest[31] -= 1;
        for (r, s) in [(ONE, ONE), (largest, HALF_ORDER)] {
            for v in [27, 28] {
                let signature = Signature::from_rsv(&rsv(r, s, v)).unwrap();
                assert_eq!(signature.to_rsv(), rsv(r, s, v));
            }
        }
    }

    #[test]
    fn refuses_what_the_token_refuses() {
        let mut high = HALF_ORDER;
        high[31] += 1;
        for (bytes, error) in [
            (rsv([0; 32], ONE, 27), SignatureError::Range),
            (rsv(ONE, [0; 32], 27), SignatureError::Range),
            (rsv(ORDER, ONE, 27), SignatureError::Range),
            (rsv(ONE, ORDER, 27), SignatureError::Range),
            (rsv(ONE, [0xff; 32], 27), SignatureError::Range),
            (rsv(ONE, high, 27), SignatureError::HighS),
        ] {
            assert_eq!(Signature::from_rsv(&bytes), Err(error));
        }
        for v in (0..=255).filter(|v| !matches!(v, 27 | 28)) {
            assert_eq!(Signature::from_rsv(&rsv(ONE, ONE, v)), Err(SignatureError::V));
        }
    }

    #[test]
    fn names_other_lengths() {
        assert_eq!(Signature::from_slice(&[1; 64]), Err(SignatureError::Compact));
        for length in [0, 1, 63, 66, 96, 97] {
            let bytes = &[1; 97][..length];
            assert_eq!(Signature::from_slice(bytes), Err(SignatureError::Length));
        }
    }

    #[test]
    fn half_the_order_is_half_the_order() {
        let order = ruint::aliases::U256::from_be_bytes(ORDER);
        assert_eq!((order >> 1_u32).to_be_bytes::<32>(), HALF_ORDER);
    }
}
