//! Whether the chains can be settled on, as they were seen last.

use core::fmt::Write as _;
use core::time::Duration;
use std::sync::Arc;

use x402_core::ChainId;
use x402_std::chain::{RpcChain, Standing};

use crate::output;

/// How often the chains are looked at where no payments come, which look themselves.
const EVERY: Duration = Duration::from_secs(60);

/// Looks at the chains, now and then. Never ends.
pub(crate) async fn watch(chains: Vec<Arc<RpcChain>>) {
    let mut clock = tokio::time::interval(EVERY);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first look was at the start.
    clock.tick().await;
    loop {
        clock.tick().await;
        for chain in &chains {
            chain.look_around().await;
        }
    }
}

/// Says who pays the gas, with what, and whether anything can be settled.
pub(crate) async fn describe(chain: &RpcChain) {
    chain.look_around().await;
    let (account, Standing { balance, lack }) = (chain.address(), chain.standing());
    match balance {
        Some(wei) => output::line(format_args!(
            "gas is paid by {account}, who has {} ether",
            wei.to_price(18)
        )),
        None => tracing::warn!("the gas account's balance cannot be read"),
    }
    if let Some(lack) = lack {
        output::note(format_args!("warning: nothing can be settled: {lack}"));
    }
}

/// What is shown of the chains in Prometheus' text format.
pub(crate) fn gauges(chains: &[(ChainId, Standing)]) -> String {
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, of: &dyn Fn(&Standing) -> Option<String>| {
        // A String takes everything.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (chain_id, standing) in chains {
            if let Some(value) = of(standing) {
                let _ = writeln!(text, "{name}{{network=\"{chain_id}\"}} {value}");
            }
        }
    };
    gauge("x402_gas_account_wei", "What the account has that pays the gas, in wei.", &|standing| {
        standing.balance.map(|balance| balance.to_string())
    });
    gauge("x402_ready", "Whether new payments can be settled.", &|standing| {
        Some(u8::from(standing.lack.is_none()).to_string())
    });
    text
}

#[cfg(test)]
mod tests {
    use x402_core::Amount;
    use x402_std::chain::Lack;

    use super::*;

    #[test]
    fn an_empty_account_is_a_gauge() {
        let standing = |balance, lack| {
            let mut standing = Standing::default();
            (standing.balance, standing.lack) = (balance, lack);
            standing
        };
        let lack = Some(Lack::Price { price: 7, cap: 5 });
        let text = gauges(&[
            (ChainId::BASE, standing(Some(Amount::from_units(12)), lack)),
            (ChainId::ETHEREUM, standing(None, None)),
        ]);
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            lines,
            [
                "x402_gas_account_wei{network=\"eip155:8453\"} 12",
                "x402_ready{network=\"eip155:8453\"} 0",
                "x402_ready{network=\"eip155:1\"} 1",
            ]
        );
    }
}
