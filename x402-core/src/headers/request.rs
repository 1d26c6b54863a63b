use super::{Field, HeaderError, collect};
use crate::eip3009::Authorization;
use crate::{Address, ChainId, Error, Nonce, Offer, Payment, Price, Signature, SignatureError};
use crate::{Timestamp, Transfer, hex};

/// from (20) || validAfter (8) || validBefore (8) || r (32) || s (32) || v (1)
pub(super) const PACKED_LEN: usize = 20 + 8 + 8 + Signature::LEN;

/// A payment as it stands in a request's header fields.
///
/// Read in two steps: [`Self::collect`] needs no knowledge of the seller, [`Self::resolve`] reads
/// the rest by the seller's offer.
#[derive(Clone, Copy, Debug)]
pub struct PaymentHeaders<'a> {
    amount: Price,
    asset: &'a str,
    nonce: Nonce,
    network: Option<&'a str>,
    signature: Signed,
}

/// What the signature field holds, with the fields that complete it.
#[derive(Clone, Copy, Debug)]
enum Signed {
    /// Hexadecimal bytes of no known form.
    Unknown(SignatureError),
    /// Payer and validity, and 65 bytes r || s || v.
    By { from: Address, valid_after: Timestamp, valid_before: Timestamp, rsv: [u8; Signature::LEN] },
}

impl<'a> PaymentHeaders<'a> {
    /// Reads the payment out of header fields, names and values; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`HeaderError::Missing`] where the four fields that make a payment are not all there,
    /// [`HeaderError::Duplicate`] where one appears twice, [`HeaderError::Invalid`] where a value
    /// is not of its form. A signature of another length is not an error yet: see
    /// [`Self::resolve`].
    pub fn collect<N: AsRef<str>>(
        headers: impl IntoIterator<Item = (N, &'a [u8])>,
    ) -> Result<Option<Self>, HeaderError> {
        let [signature, amount, asset, nonce, network, from, valid_after, valid_before] =
            collect(headers, &Field::OF_REQUEST)?;
        // A network alone is a wish, not a payment.
        if [signature, amount, asset, nonce].iter().all(Option::is_none) {
            return Ok(None);
        }
        let nonce = nonce.ok_or(HeaderError::Missing(Field::Nonce))?;
        let amount = amount.ok_or(HeaderError::Missing(Field::Amount))?;
        Ok(Some(Self {
            amount: Price::parse(amount).map_err(|_| HeaderError::Invalid(Field::Amount))?,
            asset: asset.ok_or(HeaderError::Missing(Field::Asset))?,
            nonce: Nonce::parse(nonce).map_err(|_| HeaderError::Invalid(Field::Nonce))?,
            network,
            signature: Signed::parse(
                signature.ok_or(HeaderError::Missing(Field::Signature))?,
                &Stated::parse(from, valid_after, valid_before)?,
            )?,
        }))
    }

    /// Reads the payment by the seller's offer: the recipient is the offer's, the amount is in its
    /// asset's units.
    ///
    /// # Errors
    ///
    /// [`Error::Network`] or [`Error::Asset`] where the payment names another one;
    /// [`Error::Amount`] where its amount is not the offer's; [`Error::Signature`] where what was
    /// sent as one has neither 65 nor 101 bytes.
    pub fn resolve(&self, offer: &Offer<'_>) -> Result<Payment, Error> {
        let (asset, terms) = (offer.asset(), offer.requirements());
        if self.network.is_some_and(|network| ChainId::parse(network) != Ok(terms.chain_id)) {
            return Err(Error::Network);
        }
        if !asset.is_named(self.asset) {
            return Err(Error::Asset);
        }
        let value = self.amount.to_amount(asset.decimals).map_err(|_| Error::Amount)?;
        let Signed::By { from, valid_after, valid_before, rsv } = self.signature else {
            let Signed::Unknown(error) = self.signature else { return Err(Error::Signer) };
            let is_priced_right = value == terms.amount;
            return Err(if is_priced_right { Error::Signature(error) } else { Error::Amount });
        };
        let to = terms.pay_to;
        let nonce = self.nonce;
        Ok(Payment {
            chain_id: terms.chain_id,
            asset: terms.asset,
            transfer: Transfer::Eip3009(Authorization {
                from,
                to,
                value,
                valid_after,
                valid_before,
                nonce,
            }),
            signature: Signature::from_rsv(&rsv),
        })
    }
}

/// The fields that complete a signature of 65 bytes.
struct Stated {
    from: Option<Address>,
    valid_after: Option<Timestamp>,
    valid_before: Option<Timestamp>,
}

impl Stated {
    fn parse(
        from: Option<&str>,
        valid_after: Option<&str>,
        valid_before: Option<&str>,
    ) -> Result<Self, HeaderError> {
        let time = |text: Option<&str>, field| {
            text.map(Timestamp::parse).transpose().map_err(|_| HeaderError::Invalid(field))
        };
        let from = from.map(Address::parse).transpose();
        Ok(Self {
            from: from.map_err(|_| HeaderError::Invalid(Field::From))?,
            valid_after: time(valid_after, Field::ValidAfter)?,
            valid_before: time(valid_before, Field::ValidBefore)?,
        })
    }

    /// What was stated beside a signature that says it itself must say the same.
    fn agree(&self, from: Address, after: Timestamp, before: Timestamp) -> Result<(), HeaderError> {
        if self.from.is_some_and(|stated| stated != from) {
            return Err(HeaderError::Invalid(Field::From));
        }
        if self.valid_after.is_some_and(|stated| stated != after) {
            return Err(HeaderError::Invalid(Field::ValidAfter));
        }
        if self.valid_before.is_some_and(|stated| stated != before) {
            return Err(HeaderError::Invalid(Field::ValidBefore));
        }
        Ok(())
    }
}

impl Signed {
    fn parse(text: &str, stated: &Stated) -> Result<Self, HeaderError> {
        let mut buffer = [0; PACKED_LEN];
        let bytes = match hex::decode_into(text, &mut buffer) {
            Ok(bytes) => bytes,
            // Longer than anything known: no need to read it to refuse it.
            Err(hex::HexError::Length) => return Ok(Self::Unknown(SignatureError::Length)),
            Err(_) => return Err(HeaderError::Invalid(Field::Signature)),
        };
        if let Ok(packed) = <&[u8; PACKED_LEN]>::try_from(bytes) {
            return Self::packed(packed, stated);
        }
        let Ok(rsv) = bytes.try_into() else {
            let is_compact = bytes.len() == 64;
            let error = if is_compact { SignatureError::Compact } else { SignatureError::Length };
            return Ok(Self::Unknown(error));
        };
        Ok(Self::By {
            from: stated.from.ok_or(HeaderError::Missing(Field::From))?,
            valid_after: stated.valid_after.unwrap_or(Timestamp::ZERO),
            valid_before: stated.valid_before.ok_or(HeaderError::Missing(Field::ValidBefore))?,
            rsv,
        })
    }

    fn packed(bytes: &[u8; PACKED_LEN], stated: &Stated) -> Result<Self, HeaderError> {
        let invalid = HeaderError::Invalid(Field::Signature);
        let (from, rest) = bytes.split_first_chunk::<20>().ok_or(invalid)?;
        let (after, rest) = rest.split_first_chunk::<8>().ok_or(invalid)?;
        let (before, rsv) = rest.split_first_chunk::<8>().ok_or(invalid)?;
        let from = Address::new(*from);
        let valid_after = Timestamp::from_secs(u64::from_be_bytes(*after));
        let valid_before = Timestamp::from_secs(u64::from_be_bytes(*before));
        stated.agree(from, valid_after, valid_before)?;
        let rsv = rsv.try_into().map_err(|_| invalid)?;
        Ok(Self::By { from, valid_after, valid_before, rsv })
    }
}
