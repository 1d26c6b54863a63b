/*!
How much work a request is, before it is served and after.

[`request`] finds out what can be known beforehand: the facts that conditions are about, the tokens of
the request, and how many tokens the answer may have. [`usage`] reads the tokens that were used out of
the answer while it passes through. Neither decides what that costs: [`x402_core::tariff`] does.
*/

pub mod request;
pub mod usage;
