//! Many calls in one transaction, by the contract that is at the same address on every chain
//! ([Multicall3](https://www.multicall3.com)).

use x402_core::Address;

/// Where Multicall3 is.
pub(crate) const ADDRESS: Address = Address::new([
    0xca, 0x11, 0xbd, 0xe0, 0x59, 0x77, 0xb3, 0x63, 0x11, 0x67, 0x02, 0x88, 0x62, 0xbe, 0x2a, 0x17,
    0x39, 0x76, 0xca, 0x11,
]);

/// `aggregate3((address,bool,bytes)[])`
const SELECTOR: [u8; 4] = [0x82, 0xad, 0x56, 0xcb];

/// The calldata of `aggregate3` for calls of a target, whether it may fail, and its calldata. One
/// that fails and may not undoes all.
pub(crate) fn aggregate3(calls: &[(Address, bool, &[u8])]) -> Vec<u8> {
    let mut out = SELECTOR.to_vec();
    out.extend(word(32));
    out.extend(word(calls.len()));
    // Offsets count from here.
    let mut offset = 32 * calls.len();
    for (_, _, data) in calls {
        out.extend(word(offset));
        offset += 4 * 32 + data.len().next_multiple_of(32);
    }
    for (target, may_fail, data) in calls {
        out.extend(target.to_word());
        out.extend(word(usize::from(*may_fail)));
        out.extend(word(3 * 32));
        out.extend(word(data.len()));
        out.extend_from_slice(data);
        out.resize(out.len() + data.len().next_multiple_of(32) - data.len(), 0);
    }
    out
}

/// Which calls have succeeded, by what `aggregate3` returns, `(bool success, bytes returnData)[]`; `None`
/// where it is something else.
#[cfg(feature = "rpc")]
pub(crate) fn succeeded(returned: &[u8]) -> Option<Vec<bool>> {
    use alloy_sol_types::SolValue as _;
    let results = <Vec<(bool, alloy_primitives::Bytes)>>::abi_decode(returned).ok()?;
    Some(results.into_iter().map(|(success, _)| success).collect())
}

fn word(number: usize) -> [u8; 32] {
    let mut word = [0; 32];
    let bytes = number.to_be_bytes();
    let start = word.len() - bytes.len();
    word[start..].copy_from_slice(&bytes);
    word
}

#[cfg(all(test, feature = "rpc"))]
mod tests {
    use alloy_sol_types::{SolCall as _, sol};

    use super::*;

    sol! {
        struct Call3 { address target; bool allowFailure; bytes callData; }
        function aggregate3(Call3[] calls) external payable;
    }

    #[test]
    fn it_is_what_alloy_writes() {
        let lengths = [0, 1, 31, 32, 33, 68, 300];
        for count in 0..=lengths.len() {
            let data: Vec<_> = lengths.iter().map(|length| vec![0xa5; *length]).collect();
            let calls: Vec<_> = data[..count]
                .iter()
                .enumerate()
                .map(|(n, data)| (Address::new([n as u8 + 1; 20]), n % 2 == 1, data.as_slice()))
                .collect();
            let theirs = aggregate3Call {
                calls: calls
                    .iter()
                    .map(|(target, may_fail, data)| Call3 {
                        target: (*target.as_bytes()).into(),
                        allowFailure: *may_fail,
                        callData: data.to_vec().into(),
                    })
                    .collect(),
            };
            assert_eq!(aggregate3(&calls), theirs.abi_encode(), "{count}");
        }
    }
}
