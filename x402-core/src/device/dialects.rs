use core::fmt;

/// The dialects that a device speaks: of those that it does not, nothing is in its image.
///
/// A type of one's own may choose otherwise than these here do.
pub trait Dialects: fmt::Debug + 'static {
    /// The [header dialect](crate::headers).
    const HEADERS: bool;
    /// x402 v1: `X-PAYMENT`.
    const V1: bool;
    /// x402 v2: `PAYMENT-SIGNATURE`.
    const V2: bool;
    /// Whether a refusal says in sentences what is wrong and how to mend it, beside its code and reason.
    const SENTENCES: bool;
}

/// All dialects, with sentences.
#[derive(Clone, Copy, Debug)]
pub enum AllDialects {}

impl Dialects for AllDialects {
    const HEADERS: bool = true;
    const V1: bool = true;
    const V2: bool = true;
    const SENTENCES: bool = true;
}

/// x402 v2 and no other dialect; refusals have codes and reasons.
#[derive(Clone, Copy, Debug)]
pub enum V2Only {}

impl Dialects for V2Only {
    const HEADERS: bool = false;
    const V1: bool = false;
    const V2: bool = true;
    const SENTENCES: bool = false;
}
