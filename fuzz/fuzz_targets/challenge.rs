//! The header dialect's 402: an offer that is read is written, and read as the same offer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use x402_core::Asset;
use x402_core::headers::{ChallengeHeaders, emit_challenge};

fuzz_target!(|data: &[u8]| {
    let fields = x402_fuzz::fields(data);
    let Ok(Some(read)) = ChallengeHeaders::collect(fields) else { return };
    for asset in Asset::all() {
        let Some(offer) = read.offer(asset) else { continue };
        let terms = offer.requirements();
        assert_eq!((terms.chain_id, terms.pay_to), (read.chain_id, read.recipient));
        assert_eq!(terms.max_timeout_seconds, read.timeout_seconds);
        assert_eq!(read.amount.to_amount(asset.decimals), Ok(terms.amount));
        let mut written = Vec::new();
        emit_challenge(&offer, read.error, |field, value| {
            written.push((field.name().to_owned(), value.as_bytes().to_vec()));
        });
        let fields = written.iter().map(|(name, value)| (name, value.as_slice()));
        let again = ChallengeHeaders::collect(fields).expect("we wrote it").expect("a 402");
        let offer = again.offer(asset).expect("the same asset");
        assert_eq!((offer.requirements(), again.error), (terms, read.error));
    }
});
