use serde_json::Value;
use x402_core::secp256k1::K256;
use x402_core::{Address, Digest, Recover, Signature, SignatureError};

use super::authorization::{address, recovers, refused_for};
use super::{Mismatch, Verdict, bytes, decode, flag, member, text};

/// What a token's `ecrecover` makes of v, r and s.
pub(super) fn strict(entry: &Value) -> Verdict {
    let digest = Digest::new(bytes(entry, "digest")?);
    let (r, s) = (bytes::<32>(entry, "r")?, bytes::<32>(entry, "s")?);
    let v = member(entry, "v", Value::as_number)?;
    let is_address = !member(entry, "strict", Some)?.is_null();
    // The source tests 32-byte words; the token takes one byte, and so does the core.
    let Some(v) = v.as_u64().and_then(|v| u8::try_from(v).ok()) else {
        return refused_for(entry.get("strict_reason"), SignatureError::V);
    };
    let mut rsv = [v; Signature::LEN];
    for (slot, byte) in rsv.iter_mut().zip(r.iter().chain(&s)) {
        *slot = *byte;
    }
    if is_address {
        return recovers(&digest, &rsv, address(entry, "strict")?);
    }
    match recover(&digest, &rsv) {
        Ok(signer) => Mismatch::new("a refusal", signer),
        Err(error) => refused_for(entry.get("strict_reason"), error),
    }
}

fn recover(digest: &Digest, rsv: &[u8]) -> Result<Address, SignatureError> {
    K256.recover(digest, &Signature::from_slice(rsv)?)
}

/// Whether one of v 27 and 28 makes a signature of r and s that the token takes from the signer.
pub(super) fn wycheproof(entry: &Value) -> Verdict {
    let digest = Digest::new(bytes(entry, "digest")?);
    let signer = address(entry, "expect_signer")?;
    let Ok(rs) = decode(text(entry, "rs")?) else { return Mismatch::new("bytes in rs", "none") };
    let tried = [27, 28].map(|v| recover(&digest, &[&rs[..], &[v]].concat()));
    let is_accepted = tried.contains(&Ok(signer));
    let is_due = flag(entry, "accept_strict")?;
    if is_accepted != is_due {
        return Mismatch::new(name(is_due), name(is_accepted));
    }
    // A signature of the signer that must not be taken can only be one with a high s.
    let is_malleated = flag(entry, "some_v_recovers_signer")? && !is_due;
    if is_malleated && tried != [Err(SignatureError::HighS); 2] {
        return Mismatch::new("a refusal of the high s", format_args!("{tried:?}"));
    }
    Ok(())
}

const fn name(is_accepted: bool) -> &'static str {
    if is_accepted { "acceptance" } else { "a refusal" }
}
