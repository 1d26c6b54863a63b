//! Typed data and calldata: the digests and the bytes are alloy's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use x402_core::eip3009::CancelAuthorization;
use x402_core::{
    Address, Amount, Authorization, ChainId, Domain, Nonce, Signature, Transfer, permit2,
};
use x402_fuzz::{Cut, evm};

fuzz_target!(|data: &[u8]| {
    let mut cut = Cut(data);
    let chain_id = ChainId::new(cut.number());
    let verifying_contract = Address::new(cut.array());
    let rsv: [u8; 65] = cut.array();
    let other = Amount::from_be_bytes(cut.array());
    let authorization = evm::authorization(&mut cut.clone());
    let permit = evm::permit(&mut cut);

    let text = String::from_utf8_lossy(cut.0);
    let (name, version) = text.split_once('\n').unwrap_or((&text, "2"));
    check_token(&Domain { name, version, chain_id, verifying_contract }, &authorization);
    assert_eq!(permit2::domain(chain_id).as_bytes(), &evm::permit_domain(chain_id).separator().0);
    assert_eq!(permit.digest(chain_id).as_bytes(), &evm::permit_digest(&permit, chain_id));

    check_bytes(&Transfer::Eip3009(authorization), authorization.value, cut.0);
    let amount = permit.facilitator().map_or(permit.amount, |_| permit.amount.min(other));
    check_bytes(&Transfer::Permit2(permit), amount, cut.0);
    if let Ok(signature) = Signature::from_rsv(&rsv) {
        let transfer = Transfer::Eip3009(authorization);
        let theirs = evm::calldata(&transfer, authorization.value, &signature);
        assert_eq!(authorization.calldata(&signature).as_slice(), theirs);
    }
});

fn check_token(domain: &Domain<'_>, authorization: &Authorization) {
    let (ours, theirs) = (domain.separator(), evm::domain_of(domain));
    assert_eq!(ours.as_bytes(), &theirs.separator().0);
    let digest = authorization.digest(&ours);
    assert_eq!(digest.as_bytes(), &evm::transfer_digest(authorization, &theirs));
    let digest = authorization.receive_digest(&ours);
    assert_eq!(digest.as_bytes(), &evm::receive_digest(authorization, &theirs));
    let nonce = Nonce::new(*authorization.nonce.as_bytes());
    let cancel = CancelAuthorization { authorizer: authorization.from, nonce };
    assert_eq!(cancel.digest(&ours).as_bytes(), &evm::cancel_digest(&cancel, &theirs));
}

/// Into room that is larger than needed, and into room that is too small.
fn check_bytes(transfer: &Transfer, amount: Amount, signature: &[u8]) {
    let length = match transfer {
        Transfer::Eip3009(_) => Authorization::calldata_with_bytes_len(signature.len()),
        Transfer::Permit2(permit) => permit.calldata_len(signature.len()),
    };
    let mut out = vec![0xaa; length + 1];
    let theirs = evm::calldata_with_bytes(transfer, amount, signature);
    assert_eq!(write(transfer, amount, signature, &mut out), Some(theirs.as_slice()));
    assert_eq!(out[length], 0xaa);
    assert_eq!(write(transfer, amount, signature, &mut out[..length - 1]), None);
}

fn write<'o>(
    transfer: &Transfer,
    amount: Amount,
    signature: &[u8],
    out: &'o mut [u8],
) -> Option<&'o [u8]> {
    match transfer {
        Transfer::Eip3009(authorization) => authorization.calldata_with_bytes(signature, out),
        Transfer::Permit2(permit) => permit.calldata(amount, signature, out),
    }
}
