use serde_json::{Map, Value};
use x402_core::eip712::DOMAIN_TYPE_HASH;
use x402_core::eip3009::{
    Authorization, CANCEL_TYPE_HASH, RECEIVE_TYPE_HASH, TRANSFER_BYTES_SELECTOR, TRANSFER_SELECTOR,
    TRANSFER_TYPE_HASH,
};
use x402_core::hex::Hex;
use x402_core::permit2::{
    EXACT_PERMIT_TYPE_HASH, EXACT_WITNESS_TYPE_HASH, SETTLE_EXACT_SELECTOR, SETTLE_UPTO_SELECTOR,
    TOKEN_PERMISSIONS_TYPE_HASH, UPTO_PERMIT_TYPE_HASH, UPTO_WITNESS_TYPE_HASH,
};
use x402_core::settlement::{AUTHORIZATION_USED_TOPIC, TRANSFER_TOPIC};
use x402_core::{Asset, ChainId, Digest, Domain, TransferMethod};

use super::authorization::{address, authorization, recovers, separator, signs};
use super::{
    Mismatch, Report, Verdict, bytes, decode, list, member, permit2, same, same_bytes, text,
};

pub(super) fn run(file: &Value, report: &mut Report) {
    constants(file, "typeHashes", &TYPE_HASHES, report);
    constants(file, "selectors", &SELECTORS, report);
    constants(file, "eventTopics", &TOPICS, report);
    let separators = file.get("constants").map(|it| object(it, "permit2DomainSeparators"));
    for (network, value) in separators.into_iter().flatten() {
        let verdict = permit2::separator(network, value);
        report.record(format_args!("constants.permit2DomainSeparators {network}"), verdict);
    }
    for entry in list(file, "tokens") {
        let name = entry.get("network").and_then(Value::as_str).unwrap_or("token");
        let symbol = entry.get("symbol").and_then(Value::as_str).unwrap_or_default();
        report.record(format_args!("tokens {name} {symbol}"), token(entry));
    }
    for (name, id) in object(file, "v1Networks") {
        report.record(format_args!("v1Networks {name}"), network(name, id));
    }
    let vectors = list(file, "vectors");
    for entry in vectors {
        vector(entry, vectors, report);
    }
    report.skip("facilitatorCases", list(file, "facilitatorCases").len());
    for key in ["httpCases", "httpCasesV1"] {
        report.skip(key, file.get(key).map_or(0, |cases| list(cases, "cases").len()));
    }
}

const TYPE_HASHES: [(&str, &[u8]); 10] = [
    (
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)",
        &DOMAIN_TYPE_HASH,
    ),
    (
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)",
        &TRANSFER_TYPE_HASH,
    ),
    (
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)",
        &RECEIVE_TYPE_HASH,
    ),
    ("CancelAuthorization(address authorizer,bytes32 nonce)", &CANCEL_TYPE_HASH),
    (
        "EIP712Domain(string name,uint256 chainId,address verifyingContract)",
        &x402_core::permit2::DOMAIN_TYPE_HASH,
    ),
    ("TokenPermissions(address token,uint256 amount)", &TOKEN_PERMISSIONS_TYPE_HASH),
    ("Witness(address to,uint256 validAfter)", &EXACT_WITNESS_TYPE_HASH),
    ("Witness(address to,address facilitator,uint256 validAfter)", &UPTO_WITNESS_TYPE_HASH),
    (
        "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,uint256 validAfter)",
        &EXACT_PERMIT_TYPE_HASH,
    ),
    (
        "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,address facilitator,uint256 validAfter)",
        &UPTO_PERMIT_TYPE_HASH,
    ),
];

const SELECTORS: [(&str, &[u8]); 4] = [
    (
        "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)",
        &TRANSFER_SELECTOR,
    ),
    (
        "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)",
        &TRANSFER_BYTES_SELECTOR,
    ),
    (
        "settle(((address,uint256),uint256,uint256),address,(address,uint256),bytes)",
        &SETTLE_EXACT_SELECTOR,
    ),
    (
        "settle(((address,uint256),uint256,uint256),uint256,address,(address,address,uint256),bytes)",
        &SETTLE_UPTO_SELECTOR,
    ),
];

const TOPICS: [(&str, &[u8]); 2] = [
    ("Transfer(address,address,uint256)", &TRANSFER_TOPIC),
    ("AuthorizationUsed(address,bytes32)", &AUTHORIZATION_USED_TOPIC),
];

/// The constants of one kind that the core has; the others are skipped.
fn constants(file: &Value, kind: &str, ours: &[(&str, &[u8])], report: &mut Report) {
    let theirs = file.get("constants").map(|constants| object(constants, kind)).into_iter();
    for (name, value) in theirs.flatten() {
        match ours.iter().find(|(known, _)| known == name) {
            Some((_, ours)) => {
                let value = value.as_str().unwrap_or_default();
                let verdict = same(kind, &value, &Hex(ours).to_string().as_str());
                report.record(format_args!("constants.{kind} {name}"), verdict);
            }
            None => report.skip(format!("constants.{kind}"), 1),
        }
    }
}

fn object<'v>(entry: &'v Value, key: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    entry.get(key).and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

/// A token: its separator, and its row in our table. What nobody has read from the chain has none.
fn token(entry: &Value) -> Verdict {
    let address = address(entry, "asset")?;
    let (name, version) = (text(entry, "name")?, text(entry, "version")?);
    let chain_id = ChainId::new(member(entry, "chainId", Value::as_u64)?);
    same("the network", &text(entry, "network")?, &chain_id.to_string().as_str())?;
    let domain = Domain { name, version, chain_id, verifying_contract: address };
    let separator = bytes::<32>(entry, "domainSeparator")?;
    same_bytes("the domain separator", &separator, domain.separator().as_bytes())?;
    let confidence = entry.get("confidence").and_then(Value::as_str).unwrap_or_default();
    match Asset::find_by_address(chain_id, address) {
        Some(asset) if !confidence.starts_with("UNCONFIRMED") => row(entry, asset),
        None if confidence.starts_with("UNCONFIRMED") => Ok(()),
        Some(asset) => Mismatch::new("no row of the asset table", asset.symbol),
        None => Mismatch::new("a row of the asset table", "none"),
    }
}

fn row(entry: &Value, asset: &Asset<'_>) -> Verdict {
    same("the symbol", &text(entry, "symbol")?, &asset.symbol)?;
    same("the name", &text(entry, "name")?, &asset.name)?;
    same("the version", &text(entry, "version")?, &asset.version)?;
    let decimals = member(entry, "decimals", Value::as_u64)?;
    same("the decimals", &decimals, &asset.decimals.into())?;
    let is_permit2 = entry.get("assetTransferMethod").is_some_and(|method| method == "permit2");
    same("permit2", &is_permit2, &(asset.transfer_method == TransferMethod::Permit2))
}

fn network(name: &str, id: &Value) -> Verdict {
    let Some(id) = id.as_u64() else { return Mismatch::new("a chain id", id) };
    match ChainId::parse_name(name) {
        Ok(chain_id) => {
            same("the chain id", &id, &chain_id.get())?;
            same("the name", &name, &chain_id.name().unwrap_or_default())
        }
        Err(error) => Mismatch::new(format_args!("the chain id {id}"), error),
    }
}

/// One of the SDK's vectors: what it signed for EIP-3009 or Permit2, or how that is settled.
fn vector(entry: &Value, all: &[Value], report: &mut Report) {
    let kind = entry.get("kind").and_then(Value::as_str).unwrap_or("unnamed");
    let name = entry.get("id").and_then(Value::as_str).unwrap_or("unnamed");
    let outputs = entry.get("outputs").unwrap_or(&Value::Null);
    let signed = list(outputs, "eip712");
    match kind {
        "v1-payment" | "v2-payment" | "onchain-sample" | "spec-sample" => {
            let (others, ours): (Vec<_>, Vec<_>) = signed.iter().partition(|it| is_other(it));
            if others.is_empty() || !ours.is_empty() {
                report.record(name, payment(entry, &ours));
            }
            for primary_type in others.iter().filter_map(|other| primary_type(other)) {
                report.skip(format!("{kind} ({primary_type})"), 1);
            }
        }
        // The deposit's signature is EIP-3009's; how its nonce is made is not built.
        "batch-settlement" => {
            report.record(
                format_args!("{name} eip712"),
                payment(entry, &signed.iter().collect::<Vec<_>>()),
            );
            report.skip(kind, 1);
        }
        "calldata" if is_known_call(outputs) => report.record(name, calldata(entry, outputs, all)),
        _ => report.skip(kind, 1),
    }
}

const PERMIT: &str = "PermitWitnessTransferFrom";

fn primary_type(signed: &Value) -> Option<&str> {
    signed.get("primaryType").and_then(Value::as_str)
}

/// Whether a message is of a type that is not built; one without a type is not: it has to fail.
fn is_other(signed: &Value) -> bool {
    primary_type(signed).is_some_and(|it| it != PERMIT) && type_hash(signed).is_none()
}

/// The type hash of an EIP-3009 message with six members; `None` for every other type.
fn type_hash(signed: &Value) -> Option<&'static [u8; 32]> {
    match primary_type(signed)? {
        "ReceiveWithAuthorization" => Some(&RECEIVE_TYPE_HASH),
        "TransferWithAuthorization" => Some(&TRANSFER_TYPE_HASH),
        _ => None,
    }
}

fn payment(entry: &Value, signed: &[&Value]) -> Verdict {
    if signed.is_empty() {
        return Mismatch::new("a signed message", "none");
    }
    let inputs = entry.get("inputs").filter(|inputs| inputs.get("privateKey").is_some());
    for signed in signed {
        let digest = match primary_type(signed) {
            Some(PERMIT) => permit2::digest(signed)?,
            _ => digest(signed)?,
        };
        let signature = bytes::<65>(signed, "signature")?;
        recovers(&digest, &signature, address(signed, "recovered")?)?;
        if let Some(inputs) = inputs {
            signs(&digest, &signature, &bytes(inputs, "privateKey")?)?;
        }
    }
    match entry.pointer("/outputs/paymentPayload/payload") {
        Some(payload) => same_payload(payload, signed),
        None => Ok(()),
    }
}

/// The digest of a signed message, every step of it compared.
fn digest(signed: &Value) -> Result<Digest, Mismatch> {
    let domain = separator(member(signed, "domain", Some)?)?;
    same_bytes(
        "the domain separator",
        &bytes::<32>(signed, "domainSeparator")?,
        domain.as_bytes(),
    )?;
    let Some(type_hash) = type_hash(signed) else {
        return Err(Mismatch { expected: "a type of EIP-3009".into(), got: "another".into() });
    };
    let struct_hash = authorization(member(signed, "message", Some)?)?.struct_hash(type_hash);
    same_bytes("the struct hash", &bytes::<32>(signed, "structHash")?, &struct_hash)?;
    let digest = domain.digest(&struct_hash);
    same_bytes("the digest", &bytes::<32>(signed, "digest")?, digest.as_bytes())?;
    Ok(digest)
}

/// What is sent is what was signed.
fn same_payload(payload: &Value, signed: &[&Value]) -> Verdict {
    let signature = text(payload, "signature")?;
    let mut signed =
        signed.iter().filter(|it| it.get("signature").is_some_and(|it| it == signature));
    let is_signed = if let Some(permit) = payload.get("permit2Authorization") {
        let sent = permit2::sent(permit)?;
        signed.any(|signed| permit2::is_signed(signed, &sent))
    } else {
        let sent = authorization(member(payload, "authorization", Some)?)?;
        let messages = signed.filter_map(|signed| signed.get("message").map(authorization));
        messages.flatten().any(|message| message == sent)
    };
    if is_signed {
        return Ok(());
    }
    Mismatch::new("the payload to be what was signed", "another")
}

fn is_known_call(outputs: &Value) -> bool {
    let selectors = [TRANSFER_BYTES_SELECTOR, SETTLE_EXACT_SELECTOR, SETTLE_UPTO_SELECTOR];
    let is_of = |selector: &[u8; 4], data: &str| data.starts_with(&Hex(selector).to_string());
    text(outputs, "calldata").is_ok_and(|data| selectors.iter().any(|it| is_of(it, data)))
}

/// Calldata of the settlement of the payment that the vector names.
fn calldata(entry: &Value, outputs: &Value, all: &[Value]) -> Verdict {
    let inputs = member(entry, "inputs", Some)?;
    let source = text(inputs, "from")?;
    let payload = all
        .iter()
        .find(|other| other.get("id").is_some_and(|id| id == source))
        .and_then(|other| other.pointer("/outputs/paymentPayload/payload"));
    let Some(payload) = payload else { return Mismatch::new("the payment it names", source) };
    let got = match payload.get("permit2Authorization") {
        Some(_) => permit2::calldata(inputs, payload)?,
        None => transfer(payload)?,
    };
    let due = decode(text(outputs, "calldata")?).unwrap_or_default();
    same_bytes("the calldata", &due, &got)
}

/// Calldata of the `bytes` overload of `transferWithAuthorization`.
fn transfer(payload: &Value) -> Result<Vec<u8>, Mismatch> {
    let terms = authorization(member(payload, "authorization", Some)?)?;
    let signature = bytes::<65>(payload, "signature")?;
    let mut out = vec![0; Authorization::calldata_with_bytes_len(signature.len())];
    Ok(terms.calldata_with_bytes(&signature, &mut out).unwrap_or_default().to_vec())
}
