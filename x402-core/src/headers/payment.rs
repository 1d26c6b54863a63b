use core::fmt;

use super::Field;
use super::challenge::{Emit, emit_display};
use super::request::PACKED_LEN;
use crate::hex::Hex;
use crate::record::concat;
use crate::{Asset, Authorization, Signature};

/// How the signature is written in the header dialect.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SignatureForm {
    /// 101 bytes: payer and validity are in front of the signature. Four fields are a payment.
    #[default]
    Packed,
    /// 65 bytes: payer and validity have fields of their own.
    Plain,
}

/// A signed authorization, to be attached to a request.
#[derive(Clone, Copy, Debug)]
pub struct SignedPayment {
    /// What was signed.
    pub authorization: Authorization,
    /// The payer's signature.
    pub signature: Signature,
}

impl SignedPayment {
    /// Emits the header fields of the paid request, names and values, to `emit`, one call each.
    ///
    /// `asset` is the one that is paid with. Times beyond 64 bits, which the packed form cannot
    /// say, are written in the plain form.
    pub fn emit(&self, asset: &Asset<'_>, form: SignatureForm, mut emit: impl FnMut(Field, &str)) {
        self.emit_to(asset, form, &mut emit);
    }

    fn emit_to(&self, asset: &Asset<'_>, form: SignatureForm, emit: Emit<'_>) {
        let terms = &self.authorization;
        match self.packed().filter(|_| form == SignatureForm::Packed) {
            Some(packed) => emit_display(Field::Signature, &Hex(&packed), emit),
            None => {
                emit_display(Field::Signature, &Hex(&self.signature.to_rsv()), emit);
                let fields: [(Field, &dyn fmt::Display); 3] = [
                    (Field::From, &terms.from),
                    (Field::ValidAfter, &terms.valid_after),
                    (Field::ValidBefore, &terms.valid_before),
                ];
                for (field, value) in fields {
                    emit_display(field, value, emit);
                }
            }
        }
        emit_display(Field::Amount, &terms.value.to_price(asset.decimals), emit);
        emit(Field::Asset, asset.symbol);
        emit_display(Field::Nonce, &terms.nonce, emit);
        match asset.chain_id.name() {
            Some(name) => emit(Field::Network, name),
            None => emit_display(Field::Network, &asset.chain_id, emit),
        }
    }

    fn packed(&self) -> Option<[u8; PACKED_LEN]> {
        let terms = &self.authorization;
        let after = terms.valid_after.to_secs()?.to_be_bytes();
        let before = terms.valid_before.to_secs()?.to_be_bytes();
        let rsv = self.signature.to_rsv();
        Some(concat(&[terms.from.as_bytes(), &after, &before, &rsv]))
    }
}
