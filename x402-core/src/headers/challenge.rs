use core::fmt::{self, Write as _};

use heapless::String;

use super::{Field, HeaderError, collect};
use crate::plain::Decimal;
use crate::{Address, Asset, ChainId, Code, Offer, Price};

/// Emits the header fields of a 402, names and values, to `emit`, one call each.
///
/// `error` is the code of the payment that was refused, if one was attached.
pub fn emit_challenge(offer: &Offer<'_>, error: Option<Code>, mut emit: impl FnMut(Field, &str)) {
    emit_terms(offer, error, &mut emit);
}

fn emit_terms(offer: &Offer<'_>, error: Option<Code>, emit: Emit<'_>) {
    let (asset, terms) = (offer.asset(), offer.requirements());
    let network = terms.chain_id.name();
    emit(Field::Required, "true");
    emit_display(Field::Amount, &terms.amount.to_price(asset.decimals), emit);
    emit(Field::Asset, asset.symbol);
    match network {
        Some(name) => emit(Field::Network, name),
        None => emit_display(Field::Network, &terms.chain_id, emit),
    }
    emit_display(Field::Recipient, &terms.pay_to, emit);
    emit_display(Field::Timeout, &Decimal(terms.max_timeout_seconds.into()), emit);
    if let Some(code) = error {
        emit(Field::Error, code.as_str());
    }
}

/// Who is given the fields: by reference, so that nothing is compiled for each of them.
pub(super) type Emit<'e> = &'e mut dyn FnMut(Field, &str);

/// Emits a value that is made, not kept. The longest is an amount of 2^256 - 1 with 255 decimals.
pub(super) fn emit_display(field: Field, value: &dyn fmt::Display, emit: Emit<'_>) {
    let mut text = String::<264>::new();
    if write!(text, "{value}").is_ok() {
        emit(field, &text);
    }
}

/// A 402 answer as it stands in its header fields.
#[derive(Clone, Copy, Debug)]
pub struct ChallengeHeaders<'a> {
    /// The price in units of the asset.
    pub amount: Price,
    /// The asset's symbol.
    pub asset: &'a str,
    /// The network to pay on.
    pub chain_id: ChainId,
    /// Who is to be paid.
    pub recipient: Address,
    /// For how long, in seconds, to let the authorization be valid.
    pub timeout_seconds: u32,
    /// What was wrong with the payment that was attached, if one was.
    pub error: Option<Code>,
}

impl<'a> ChallengeHeaders<'a> {
    /// The timeout of a 402 that names none, in seconds.
    pub const DEFAULT_TIMEOUT_SECONDS: u32 = 60;

    /// Reads the terms out of the header fields of a 402; `None` where it does not speak this
    /// dialect: `X-Payment-Required` is absent or is not `true` (elsewhere it carries base64 or
    /// JSON).
    ///
    /// # Errors
    ///
    /// [`HeaderError`] for a field that is missing, appears twice, or is malformed.
    pub fn collect<N: AsRef<str>>(
        headers: impl IntoIterator<Item = (N, &'a [u8])>,
    ) -> Result<Option<Self>, HeaderError> {
        let [required, amount, asset, network, recipient, timeout, error, ..] =
            collect(headers, &Field::OF_ANSWER)?;
        if !required.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let amount = parse(amount, Field::Amount, |text| Price::parse(text).ok())?;
        let chain_id = parse(network, Field::Network, |text| ChainId::parse(text).ok())?;
        let recipient = parse(recipient, Field::Recipient, |text| Address::parse(text).ok())?;
        let seconds = |text| crate::Timestamp::parse(text).ok()?.to_secs()?.try_into().ok();
        let timeout_seconds = match timeout {
            Some(_) => parse(timeout, Field::Timeout, seconds)?,
            None => Self::DEFAULT_TIMEOUT_SECONDS,
        };
        let asset = asset.ok_or(HeaderError::Missing(Field::Asset))?;
        let error = error.and_then(Code::parse);
        Ok(Some(Self { amount, asset, chain_id, recipient, timeout_seconds, error }))
    }

    /// The terms as an offer of `asset`, which the caller found for the symbol; `None` where the
    /// price has more decimals than the asset, or the asset is not the one that is named.
    #[must_use]
    pub fn offer<'b>(&self, asset: &Asset<'b>) -> Option<Offer<'b>> {
        if asset.chain_id != self.chain_id || !asset.is_named(self.asset) {
            return None;
        }
        let amount = self.amount.to_amount(asset.decimals).ok()?;
        Some(Offer::new(*asset, self.recipient, amount, self.timeout_seconds))
    }
}

fn parse<'a, T>(
    text: Option<&'a str>,
    field: Field,
    parse: impl Fn(&'a str) -> Option<T>,
) -> Result<T, HeaderError> {
    let text = text.ok_or(HeaderError::Missing(field))?;
    parse(text).ok_or(HeaderError::Invalid(field))
}
