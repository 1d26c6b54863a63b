//! What payers sign, and who is believed to have signed it.

use std::sync::Mutex;

use x402_core::headers::{SignatureForm, SignedPayment};
use x402_core::permit2::{self, Permit};
use x402_core::wire::base64::Base64;
use x402_core::wire::{Answers, PaymentFlow, Requirements, SignedPayload};
use x402_core::{
    Address, Amount, Authorization, ChainId, Digest, Nonce, Offer, PaymentId, Recover, Scheme,
    Signature, SignatureError, Timestamp, Transfer, TransferMethod,
};

use crate::run::{PAY_TO, PRICE};
use crate::token::Word;
use crate::world::Signers;

/// A payment as it is presented, and what is signed.
pub(crate) fn sign(
    offer: &Offer<'_>,
    payer: Address,
    valid: u64,
    nonce: Word,
) -> (Vec<(&'static str, String)>, Transfer) {
    let signature = signature();
    let (nonce, end) = (Nonce::new(nonce), Timestamp::from_secs(valid));
    let amount = Amount::from_units(PRICE.into());
    if offer.requirements().scheme == Scheme::Exact(TransferMethod::Permit2) {
        let transfer = Transfer::Permit2(Permit {
            from: payer,
            token: offer.asset().address,
            amount,
            nonce,
            deadline: end,
            to: PAY_TO,
            valid_after: Timestamp::ZERO,
            kind: permit2::Kind::Exact,
        });
        let flow = PaymentFlow::Authorization;
        let accepted = Requirements { offer, quote: "", flow }.to_string();
        let answers = Answers::V2 { accepted: &accepted, resource: "", extensions: "" };
        let payload = SignedPayload { transfer: &transfer, signature: &signature, answers };
        return (vec![("PAYMENT-SIGNATURE", Base64(payload).to_string())], transfer);
    }
    let authorization = Authorization {
        from: payer,
        to: PAY_TO,
        value: amount,
        valid_after: Timestamp::ZERO,
        valid_before: end,
        nonce,
    };
    let signature = Signature::from_rsv(&signature).unwrap();
    let mut fields = Vec::new();
    SignedPayment { authorization, signature }.emit(
        offer.asset(),
        SignatureForm::Packed,
        |field, value| fields.push((field.name(), value.to_owned())),
    );
    (fields, Transfer::Eip3009(authorization))
}

pub(crate) fn digest(offer: &Offer<'_>, transfer: &Transfer) -> Word {
    let digest = match transfer {
        Transfer::Eip3009(signed) => signed.digest(&offer.requirements().domain),
        Transfer::Permit2(permit) => permit.digest(ChainId::ETHEREUM),
    };
    *digest.as_bytes()
}

pub(crate) fn identify(offer: &Offer<'_>, transfer: &Transfer) -> PaymentId {
    let (from, nonce) = (transfer.from(), transfer.nonce());
    let contract = match transfer {
        Transfer::Eip3009(_) => offer.asset().address,
        Transfer::Permit2(_) => permit2::PERMIT2,
    };
    PaymentId { chain_id: ChainId::ETHEREUM, contract, from, nonce }
}

/// The request to a facilitator to settle it.
pub(crate) fn request(offer: &Offer<'_>, transfer: &Transfer) -> Vec<u8> {
    let signature = signature();
    let requirements =
        Requirements { offer, quote: "", flow: PaymentFlow::Authorization }.to_string();
    let answers = Answers::V2 { accepted: &requirements, resource: "", extensions: "" };
    let payload = SignedPayload { transfer, signature: &signature, answers };
    let json = format!(
        r#"{{"x402Version":2,"paymentPayload":{payload},"paymentRequirements":{requirements}}}"#
    );
    json.into_bytes()
}

pub(crate) fn signature() -> [u8; 65] {
    let mut signature = [0; 65];
    (signature[31], signature[63], signature[64]) = (1, 1, 27);
    signature
}

/// Takes the word of the run for who signed: the curve is not what is tested here.
pub(crate) struct Book(Mutex<Signers>);

impl Book {
    pub(crate) const fn new(signers: Signers) -> Self {
        Self(Mutex::new(signers))
    }

    /// Takes it for signed, whoever has signed it.
    pub(crate) fn believe(&self, digest: Word, signer: Address) {
        self.0.lock().unwrap().insert(digest, signer);
    }
}

impl Recover for Book {
    fn recover(&self, digest: &Digest, _: &Signature) -> Result<Address, SignatureError> {
        let signers = self.0.lock().unwrap();
        signers.get(digest.as_bytes()).copied().ok_or(SignatureError::Unrecoverable)
    }
}
