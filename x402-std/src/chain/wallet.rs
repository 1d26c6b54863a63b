//! Signatures of wallets that are not on the chain yet
//! ([ERC-6492](https://eips.ethereum.org/EIPS/eip-6492)).

use x402_core::Address;

/// What such a signature ends with: 0x6492, sixteen times.
const SUFFIX: [u8; 32] = {
    let mut suffix = [0x64; 32];
    let mut index = 1;
    while index < suffix.len() {
        suffix[index] = 0x92;
        index += 2;
    }
    suffix
};

/// How a wallet is deployed, and what it is shown then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Undeployed<'a> {
    /// Who deploys it.
    pub(crate) factory: Address,
    /// What the factory is called with: the payer's choice.
    pub(crate) calldata: &'a [u8],
    /// What the wallet is shown.
    pub(crate) signature: &'a [u8],
}

impl<'a> Undeployed<'a> {
    /// Reads `abi.encode(address factory, bytes calldata, bytes signature) || suffix`; `None` for
    /// any other signature.
    pub(crate) fn parse(signature: &'a [u8]) -> Option<Self> {
        let encoded = signature.strip_suffix(&SUFFIX)?;
        let [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, factory @ ..] = *encoded.first_chunk::<32>()?
        else {
            return None;
        };
        Some(Self {
            factory: Address::new(factory),
            calldata: bytes_at(encoded, 1)?,
            signature: bytes_at(encoded, 2)?,
        })
    }

    /// What a wallet is shown, whether it has to be deployed before or not.
    pub(crate) fn shown(signature: &'a [u8]) -> &'a [u8] {
        Self::parse(signature).map_or(signature, |wallet| wallet.signature)
    }
}

/// The bytes whose offset is the word at this index.
fn bytes_at(encoded: &[u8], index: usize) -> Option<&[u8]> {
    let (length, data) = encoded.get(number(encoded, 32 * index)?..)?.split_first_chunk::<32>()?;
    data.get(..number(length, 0)?)
}

/// The word at an offset, where it is no more than bytes can count.
fn number(encoded: &[u8], offset: usize) -> Option<usize> {
    let word: &[u8; 32] = encoded.get(offset..)?.first_chunk()?;
    let (high, low) = word.split_at(28);
    let low = u32::from_be_bytes(*low.first_chunk()?);
    high.iter().all(|byte| *byte == 0).then(|| usize::try_from(low).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(factory: [u8; 32], offsets: [u8; 2], tail: &[u8]) -> Vec<u8> {
        let words = offsets.map(|offset| {
            let mut word = [0; 32];
            word[31] = offset;
            word
        });
        [&factory, words.as_flattened(), tail, &SUFFIX].concat()
    }

    fn factory() -> [u8; 32] {
        Address::new([7; 20]).to_word()
    }

    /// Two values of bytes, of three and of one byte.
    fn tail() -> Vec<u8> {
        let mut tail = vec![0; 128];
        tail[31] = 3;
        tail[32..35].copy_from_slice(b"abc");
        tail[95] = 1;
        tail[96] = b'd';
        tail
    }

    #[test]
    fn a_wrapped_signature_is_taken_apart() {
        let signature = wrapped(factory(), [96, 160], &tail());
        let wallet = Undeployed::parse(&signature).unwrap();
        let expected =
            Undeployed { factory: Address::new([7; 20]), calldata: b"abc", signature: b"d" };
        assert_eq!(wallet, expected);
        assert_eq!(Undeployed::shown(&signature), b"d");
        assert_eq!(Undeployed::shown(b"plain"), b"plain");
    }

    #[test]
    fn what_is_not_whole_is_none() {
        let good = wrapped(factory(), [96, 160], &tail());
        for end in 0..good.len() {
            assert_eq!(Undeployed::parse(&good[..end]), None, "{end}");
            let cut = [&good[..end.min(good.len() - 32)], &SUFFIX[..]].concat();
            // Only the padding of the last value may be missing.
            assert_eq!(Undeployed::parse(&cut).is_some(), end >= 193, "{end}");
        }
        for (factory, offsets) in
            [([7; 32], [96, 160]), (factory(), [96, 224]), (factory(), [255, 160])]
        {
            assert_eq!(Undeployed::parse(&wrapped(factory, offsets, &tail())), None);
        }
        let mut huge = good.clone();
        huge[96..128].fill(0xff);
        assert_eq!(Undeployed::parse(&huge), None);
    }

    #[cfg(feature = "rpc")]
    #[test]
    fn what_alloy_writes_is_read() {
        use alloy_sol_types::SolValue as _;
        for length in [0_usize, 1, 31, 32, 33, 65, 200] {
            let (calldata, signature) = (vec![1_u8; length * 2], vec![2_u8; length]);
            let factory = alloy_primitives::Address::from([7; 20]);
            let values = (factory, calldata.clone(), signature.clone());
            let values = (
                values.0,
                alloy_primitives::Bytes::from(values.1),
                alloy_primitives::Bytes::from(values.2),
            );
            let wrapped = [&values.abi_encode_params()[..], &SUFFIX].concat();
            let wallet = Undeployed::parse(&wrapped).unwrap();
            assert_eq!((wallet.calldata, wallet.signature), (&calldata[..], &signature[..]));
        }
    }
}
