//! The core against what others made: known answers, other people's implementations, and its own
//! promises about the header dialect.
#![allow(clippy::type_complexity, reason = "tables of cases")]
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod arbitrary;
mod buyer;
mod challenge;
mod claim;
mod comb;
mod condition;
mod device;
mod digest;
mod header;
mod json;
mod permit2;
mod price;
mod recovery;
mod refusal;
mod settlement;
mod tariff;
mod text;
mod vartime;
mod vectors;
mod verify;
mod window;
mod wire;
