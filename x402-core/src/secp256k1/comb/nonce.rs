use k256::Scalar;
use k256::elliptic_curve::PrimeField as _;
use k256::elliptic_curve::zeroize::Zeroizing;
use k256::sha2::block_api::compress256;

/// The nonces that follow from a key and a digest: [RFC 6979, section
/// 3.2](https://www.rfc-editor.org/rfc/rfc6979#section-3.2), with HMAC-SHA-256.
pub(super) struct Nonces {
    key: Zeroizing<[u8; 32]>,
    value: Zeroizing<[u8; 32]>,
}

impl Nonces {
    /// For a private key and a digest modulo the order, big-endian.
    pub(super) fn new(private: &[u8; 32], digest: &[u8; 32]) -> Self {
        let mut nonces = Self { key: Zeroizing::new([0; 32]), value: Zeroizing::new([1; 32]) };
        for round in [0, 1] {
            nonces.update([&[round], private, digest]);
        }
        nonces
    }

    /// The next number that may be a nonce.
    pub(super) fn candidate(&mut self) -> Scalar {
        loop {
            self.value = hmac(&self.key, &self.value, NOTHING);
            // Whether a candidate is out of range says nothing of the one that is taken.
            let number = Scalar::from_repr((*self.value).into()).into_option();
            if let Some(number) = number.filter(|number| !bool::from(number.is_zero())) {
                return number;
            }
            self.reject();
        }
    }

    /// The candidate was not taken.
    pub(super) fn reject(&mut self) {
        self.update([&[0], &[], &[]]);
    }

    fn update(&mut self, seed: Seed<'_>) {
        self.key = hmac(&self.key, &self.value, seed);
        self.value = hmac(&self.key, &self.value, NOTHING);
    }
}

/// What is hashed behind the value.
type Seed<'s> = [&'s [u8]; 3];
const NOTHING: Seed<'_> = [&[], &[], &[]];

fn hmac(key: &[u8; 32], value: &[u8; 32], [a, b, c]: Seed<'_>) -> Zeroizing<[u8; 32]> {
    let inner = keyed_hash(key, 0x36, &[value, a, b, c]);
    keyed_hash(key, 0x5c, &[&*inner])
}

/// What is hashed at most, in blocks: the key's block, a value, a byte, a key and a digest, and the end.
const BLOCKS: usize = 3;

/// SHA-256 of the key with a padding, and of the parts.
// By blocks: what hashes parts of any length is longer than the hash itself.
#[inline(never)]
fn keyed_hash(key: &[u8; 32], padding: u8, parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut message = Zeroizing::new([0; 64 * BLOCKS]);
    let (block, rest) = message.split_at_mut(64);
    block.fill(padding);
    for (slot, byte) in block.iter_mut().zip(key) {
        *slot ^= byte;
    }
    let mut length = 0;
    for (slot, byte) in rest.iter_mut().zip(parts.iter().copied().flatten()) {
        *slot = *byte;
        length += 1;
    }
    // The end of the text, and its length in bits at the end of the last block.
    if let Some(slot) = rest.get_mut(length) {
        *slot = 0x80;
    }
    let blocks = 1 + (length + 9).div_ceil(64);
    let bits = ((64 + length) as u64 * 8).to_be_bytes();
    let (blocks, _) = message.as_chunks_mut().0.split_at_mut(blocks.min(BLOCKS));
    if let Some(end) = blocks.last_mut().and_then(|block| block.last_chunk_mut()) {
        *end = bits;
    }
    let mut state = Zeroizing::new(START);
    compress256(&mut state, blocks);
    let mut hash = Zeroizing::new([0; 32]);
    for (chunk, word) in hash.as_chunks_mut().0.iter_mut().zip(*state) {
        *chunk = word.to_be_bytes();
    }
    hash
}

/// What SHA-256 starts with ([FIPS 180-4, section
/// 5.3.3](https://nvlpubs.nist.gov/nistpubs/FIPS/NIST.FIPS.180-4.pdf)).
#[rustfmt::skip]
const START: [u32; 8] = [
    0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a,
    0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
];

#[cfg(test)]
mod tests {
    use k256::sha2::{Digest as _, Sha256};

    use super::*;
    use crate::hex;

    // Known to Bitcoin's wallets (https://bitcointalk.org/index.php?topic=285142.msg3300992#msg3300992).
    #[test]
    fn nonces_are_those_of_rfc_6979() {
        for (key, text, expected) in [
            (
                "0x0000000000000000000000000000000000000000000000000000000000000001",
                "Satoshi Nakamoto",
                "0x8f8a276c19f4149656b280621e358cce24f5f52542772691ee69063b74f15d15",
            ),
            (
                "0x0000000000000000000000000000000000000000000000000000000000000001",
                "All those moments will be lost in time, like tears in rain. Time to die...",
                "0x38aa22d72376b4dbc472e06c3ba403ee0a394da63fc58d88686c611aba98d6b3",
            ),
            (
                "0xf8b8af8ce3c7cca5e300d33939540c10d45ce001b8f252bfbc57ba0342904181",
                "Alan Turing",
                "0x525a82b70e67874398067543fd84c83d30c175fdc45fdeee082fe13b1d7cfdf1",
            ),
        ] {
            let digest = Sha256::digest(text).into();
            let nonce = Nonces::new(&hex::decode(key).unwrap(), &digest).candidate();
            assert_eq!(<[u8; 32]>::from(nonce.to_repr()), hex::decode(expected).unwrap());
        }
    }

    #[test]
    fn keyed_hashes_are_those_of_sha_256() {
        let (key, value) = ([0x5a; 32], [0xa5; 32]);
        // All that is hashed, and where the end needs a block of its own.
        for length in [0, 1, 23, 24, 65, 87] {
            let seed = [7; 87];
            let parts: [&[u8]; 2] = [&value, &seed[..length]];
            let mut block = [0x36; 64];
            block.iter_mut().zip(key).for_each(|(slot, byte)| *slot ^= byte);
            let expected =
                Sha256::new().chain_update(block).chain_update(parts.concat()).finalize();
            assert_eq!(*keyed_hash(&key, 0x36, &parts), <[u8; 32]>::from(expected), "{length}");
        }
    }
}
