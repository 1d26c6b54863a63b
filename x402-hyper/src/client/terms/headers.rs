//! The terms of the header dialect.

use bytes::Bytes;
use http::Response;
use x402_core::headers::ChallengeHeaders;
use x402_core::{Scheme, TransferMethod};
use x402_std::config::OwnedAsset;

use super::{Dialect, Echo, Terms, fields, find};
use crate::client::judge::printable;
use crate::client::{ClientError, QUOTE};

pub(super) fn read(
    response: &Response<Bytes>,
    known: &[OwnedAsset],
) -> Result<Vec<Terms>, ClientError> {
    let Some(challenge) = ChallengeHeaders::collect(fields(response.headers()))? else {
        return Ok(Vec::new());
    };
    // A token that cannot be moved by an EIP-3009 authorization is as good as unknown.
    let asset = find(challenge.chain_id, known, |asset| {
        asset.is_named(challenge.asset) && asset.transfer_method == TransferMethod::Eip3009
    });
    let asset = asset.ok_or_else(|| ClientError::UnknownAsset {
        asset: printable(challenge.asset),
        network: challenge.chain_id,
    })?;
    let quote = response.headers().get(QUOTE).and_then(|quote| quote.to_str().ok());
    let quote = quote.unwrap_or_default().to_owned();
    let offer = challenge.offer(&asset.as_asset()).ok_or(ClientError::Price)?;
    Ok(vec![Terms {
        dialect: Dialect::Headers,
        scheme: Scheme::Exact(TransferMethod::Eip3009),
        amount: offer.requirements().amount,
        recipient: challenge.recipient,
        timeout_seconds: challenge.timeout_seconds,
        error: challenge.error,
        echo: Echo { quote, ..Echo::default() },
        asset,
    }])
}
