use serde_json::Value;
use x402_core::permit2::{EXACT_PROXY, Kind, PERMIT2, Permit, UPTO_PROXY, domain};
use x402_core::{Address, Amount, ChainId, Digest, DomainSeparator, Nonce};

use super::authorization::{address, timestamp};
use super::{Mismatch, Verdict, bytes, decode, member, same, same_bytes, text};

/// The members of a permit, as EIP-712 writes a message in JSON; the payer is not one of them.
///
/// The spender must be the proxy of the scheme that the witness is of.
pub(super) fn permit(message: &Value, from: Address) -> Result<Permit, Mismatch> {
    let permitted = member(message, "permitted", Some)?;
    let witness = member(message, "witness", Some)?;
    let (kind, spender) = match witness.get("facilitator") {
        Some(_) => (Kind::Upto { facilitator: address(witness, "facilitator")? }, UPTO_PROXY),
        None => (Kind::Exact, EXACT_PROXY),
    };
    same("the spender", &address(message, "spender")?, &spender)?;
    Ok(Permit {
        from,
        to: address(witness, "to")?,
        token: address(permitted, "token")?,
        amount: amount(permitted)?,
        valid_after: timestamp(witness, "validAfter")?,
        deadline: timestamp(message, "deadline")?,
        nonce: member(message, "nonce", |value| Nonce::parse(value.as_str()?).ok())?,
        kind,
    })
}

fn amount(entry: &Value) -> Result<Amount, Mismatch> {
    member(entry, "amount", |value| Amount::parse(value.as_str()?).ok())
}

/// What Permit2 answers for its domain on a chain, by the chain's CAIP-2 name.
pub(super) fn separator(network: &str, separator: &Value) -> Verdict {
    let chain_id = ChainId::parse_caip2(network);
    match (chain_id, separator.as_str().map(decode)) {
        (Ok(chain_id), Some(Ok(separator))) => {
            same_bytes("the domain separator", &separator, domain(chain_id).as_bytes())
        }
        _ => Mismatch::new("a network and its domain separator", separator),
    }
}

/// The digest of a signed message, every step of it compared.
pub(super) fn digest(signed: &Value) -> Result<Digest, Mismatch> {
    let domain = member(signed, "domain", Some)?;
    let (chain_id, separator) = domain_of(domain)?;
    same_bytes(
        "the domain separator",
        &bytes::<32>(signed, "domainSeparator")?,
        separator.as_bytes(),
    )?;
    let permit = permit(member(signed, "message", Some)?, address(signed, "recovered")?)?;
    same_bytes("the struct hash", &bytes::<32>(signed, "structHash")?, &permit.struct_hash())?;
    let digest = permit.digest(chain_id);
    same_bytes("the digest", &bytes::<32>(signed, "digest")?, digest.as_bytes())?;
    Ok(digest)
}

/// The chain of a domain that must be Permit2's, and its separator.
fn domain_of(entry: &Value) -> Result<(ChainId, DomainSeparator), Mismatch> {
    same("the name", &text(entry, "name")?, &"Permit2")?;
    same("the contract", &address(entry, "verifyingContract")?, &PERMIT2)?;
    same("a version", &entry.get("version").is_some(), &false)?;
    let chain_id = ChainId::new(member(entry, "chainId", Value::as_u64)?);
    Ok((chain_id, domain(chain_id)))
}

/// What is sent of a permit: its members and the payer.
pub(super) fn sent(authorization: &Value) -> Result<Permit, Mismatch> {
    permit(authorization, address(authorization, "from")?)
}

/// Whether a signed message is that permit of that payer.
pub(super) fn is_signed(signed: &Value, sent: &Permit) -> bool {
    let signer = address(signed, "recovered");
    let message = signed.get("message").zip(signer.ok());
    message.is_some_and(|(message, signer)| permit(message, signer).is_ok_and(|it| it == *sent))
}

/// Calldata of a proxy's `settle`: of the whole amount, where the vector names no other.
pub(super) fn calldata(inputs: &Value, payload: &Value) -> Result<Vec<u8>, Mismatch> {
    let permit = sent(member(payload, "permit2Authorization", Some)?)?;
    same("the proxy", &address(inputs, "to")?, &permit.spender())?;
    let charge = match inputs.get("amount") {
        Some(_) => amount(inputs)?,
        None => permit.amount,
    };
    let signature = decode(text(payload, "signature")?).unwrap_or_default();
    let mut out = vec![0; permit.calldata_len(signature.len())];
    match permit.calldata(charge, &signature, &mut out) {
        Some(data) => Ok(data.to_vec()),
        None => Err(Mismatch { expected: "calldata".into(), got: "none".into() }),
    }
}
