use serde_json::Value;
use x402_core::eip712::DOMAIN_TYPE_HASH;
use x402_core::eip3009::TRANSFER_TYPE_HASH;
use x402_core::secp256k1::{K256, K256Signer};
use x402_core::{
    Address, Amount, Authorization, ChainId, Digest, Domain, DomainSeparator, Nonce, Recover,
    Signature, SignatureError, Signer, Timestamp, keccak256,
};

use super::{Mismatch, Report, Verdict, bytes, decode, member, same, same_bytes, text};

pub(super) fn address(entry: &Value, key: &str) -> Result<Address, Mismatch> {
    member(entry, key, |value| Address::parse(value.as_str()?).ok())
}

/// The members of an authorization, as EIP-712 writes a message in JSON.
pub(super) fn authorization(message: &Value) -> Result<Authorization, Mismatch> {
    Ok(Authorization {
        from: address(message, "from")?,
        to: address(message, "to")?,
        value: member(message, "value", |value| Amount::parse(value.as_str()?).ok())?,
        valid_after: timestamp(message, "validAfter")?,
        valid_before: timestamp(message, "validBefore")?,
        nonce: member(message, "nonce", |value| Nonce::parse(value.as_str()?).ok())?,
    })
}

pub(super) fn timestamp(message: &Value, key: &str) -> Result<Timestamp, Mismatch> {
    member(message, key, |value| Timestamp::parse(value.as_str()?).ok())
}

/// The separator of a domain whose chain id is written as a JSON number or as a text.
///
/// An id above 64 bits, which EIP-712 can say and [`ChainId`] cannot, is hashed by hand.
pub(super) fn separator(domain: &Value) -> Result<DomainSeparator, Mismatch> {
    let (name, version) = (text(domain, "name")?, text(domain, "version")?);
    let verifying_contract = address(domain, "verifyingContract")?;
    let chain_id = member(domain, "chainId", |value| match value {
        Value::String(digits) => Amount::parse(digits).ok(),
        other => other.as_u64().map(|id| Amount::from_units(id.into())),
    })?;
    if let Ok(chain_id) = ChainId::parse_caip2(&format!("eip155:{chain_id}")) {
        return Ok(Domain { name, version, chain_id, verifying_contract }.separator());
    }
    Ok(DomainSeparator::new(keccak256(&[
        &DOMAIN_TYPE_HASH,
        &keccak256(&[name.as_bytes()]),
        &keccak256(&[version.as_bytes()]),
        &chain_id.to_be_bytes(),
        &verifying_contract.to_word(),
    ])))
}

/// An entry with domain and message, and what a wallet made of them.
pub(super) fn valid(entry: &Value) -> Verdict {
    let domain = separator(member(entry, "domain", Some)?)?;
    let authorization = authorization(member(entry, "message", Some)?)?;
    same_bytes("the domain separator", &bytes::<32>(entry, "domainSeparator")?, domain.as_bytes())?;
    let struct_hash = authorization.struct_hash(&TRANSFER_TYPE_HASH);
    same_bytes("the struct hash", &bytes::<32>(entry, "structHash")?, &struct_hash)?;
    let digest = authorization.digest(&domain);
    same_bytes("the digest", &bytes::<32>(entry, "digest")?, digest.as_bytes())?;
    let signature = bytes::<65>(entry, "signature")?;
    recovers(&digest, &signature, address(entry, "recovers")?)?;
    same("the payer", &authorization.from, &address(entry, "recovers")?)?;
    match entry.get("privateKey") {
        Some(_) => signs(&digest, &signature, &bytes(entry, "privateKey")?),
        None => Ok(()),
    }
}

/// The signature is of that address.
pub(super) fn recovers(digest: &Digest, rsv: &[u8; 65], signer: Address) -> Verdict {
    match Signature::from_rsv(rsv).and_then(|signature| K256.recover(digest, &signature)) {
        Ok(recovered) => same("the signer", &signer, &recovered),
        Err(error) => Mismatch::new(format_args!("the signer {signer}"), error),
    }
}

/// Signing with that key gives that very signature: RFC 6979, low s.
pub(super) fn signs(digest: &Digest, rsv: &[u8; 65], key: &[u8; 32]) -> Verdict {
    match K256Signer::from_bytes(key).map(|signer| signer.sign(digest)) {
        Ok(Ok(signature)) => same_bytes("the signature", rsv, &signature.to_rsv()),
        Err(error) => Mismatch::new("a private key", error),
    }
}

/// Every entry must be refused, and the control must not: refusing everything is no conformance.
pub(super) fn run_invalid(file: &Value, report: &mut Report) {
    super::run_each(file, report, "name", invalid);
    report.record("good", good(file));
}

fn good(file: &Value) -> Verdict {
    let digest = digest_of(member(file, "domain", Some)?, member(file, "base", Some)?)?;
    let signer = address(member(file, "base", Some)?, "from")?;
    recovers(&digest, &bytes(file, "good")?, signer)
}

fn digest_of(domain: &Value, message: &Value) -> Result<Digest, Mismatch> {
    Ok(authorization(message)?.digest(&separator(domain)?))
}

fn invalid(entry: &Value) -> Verdict {
    let message = member(entry, "message", Some)?;
    let digest = digest_of(member(entry, "domain", Some)?, message)?;
    let from = address(message, "from")?;
    let sent = whole(text(entry, "signature")?);
    let Ok(sent) = decode(&sent) else { return Ok(()) };
    match Signature::from_slice(&sent).and_then(|signature| K256.recover(&digest, &signature)) {
        Ok(signer) if signer == from => Mismatch::new("a refusal", "a signature of the payer"),
        Ok(signer) => same("the signer", &address(entry, "usdc_recovers")?, &signer),
        Err(error) => refused_for(entry.get("usdc_reason"), error),
    }
}

/// Writes out a signature that the file abbreviates: the digits before `…`, repeated to 1 MiB.
fn whole(sent: &str) -> String {
    match sent.split_once('…') {
        Some((start, _)) => {
            let byte = start.get(2..4).unwrap_or_default();
            format!("0x{}", byte.repeat(1 << 20))
        }
        None => sent.to_owned(),
    }
}

/// The token's reason for a refusal and ours are of one kind.
///
/// The token looks at s, then at v, then recovers; we look at v first, so that its `invalid_s` may
/// be our v.
pub(super) fn refused_for(reason: Option<&Value>, error: SignatureError) -> Verdict {
    use SignatureError::{Compact, HighS, Length, Range, Unrecoverable, V};
    let is_same_kind = match reason.and_then(Value::as_str) {
        Some("invalid_s") => matches!(error, HighS | Range | V),
        Some("invalid_signature") => matches!(error, Range | Unrecoverable),
        Some("invalid_v") => matches!(error, V),
        Some(_) => false,
        None => matches!(error, Compact | Length),
    };
    if is_same_kind {
        return Ok(());
    }
    let reason = reason.map_or_else(|| "none".to_owned(), Value::to_string);
    Mismatch::new(format_args!("a refusal for the token's reason, {reason}"), error)
}
