//! What settling may cost.

use x402_core::{Amount, Price};

use super::error::{Origin, Problem};
use super::raw::Text;
use super::snippet::quote;

/// What settling may cost on a chain at most, in wei; `None` for what suits the chain.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Costs {
    /// What is paid for a unit of gas.
    pub max_fee_per_gas: Option<u128>,
    /// What the gas of one payment may cost.
    pub max_gas_cost: Option<u128>,
}

impl Costs {
    /// What the gas of one payment may cost. Who says what is paid for a unit of it is not bounded otherwise.
    #[must_use]
    pub fn gas_cost_or(self, usual: u128) -> u128 {
        match self {
            Self { max_gas_cost: Some(most), .. } => most,
            Self { max_fee_per_gas: Some(_), .. } => u128::MAX,
            Self { .. } => usual,
        }
    }
}

pub(super) fn check_costs(
    max_fee_per_gas: Option<&Text>,
    max_gas_cost: Option<&Text>,
) -> Result<Costs, Problem> {
    let gwei = |text| check_wei(text, 9, "price of gas", "write a number of gwei: 0.5");
    let coins = |text| {
        check_wei(
            text,
            18,
            "cost of gas",
            "write a number of the chain's coin, such as ether: 0.001",
        )
    };
    Ok(Costs {
        max_fee_per_gas: max_fee_per_gas.map(gwei).transpose()?,
        max_gas_cost: max_gas_cost.map(coins).transpose()?,
    })
}

/// A decimal number of units that have so many digits behind the point, in wei. With nothing, nothing would
/// ever be settled.
fn check_wei(text: &Text, decimals: u8, what: &str, help: &str) -> Result<u128, Problem> {
    let amount = Price::parse(&text.value).and_then(|price| price.to_amount(decimals));
    let wei = amount.ok().and_then(|amount: Amount| amount.to_string().parse().ok());
    wei.filter(|wei| *wei > 0).ok_or_else(|| {
        Problem::new(Origin::of(text), format!("{} is no {what}", quote(&text.value)), help)
    })
}
