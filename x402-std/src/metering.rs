/*!
How much work a request is, before it is served and after.

[`usage`] reads the tokens that were used out of the answer while it passes through. What that costs,
[`x402_core::tariff`] decides.
*/

pub mod usage;
