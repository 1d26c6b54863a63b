//! What a transaction offers for its gas.

use core::time::Duration;

use tokio::time::Instant;

use super::fault::Fault;
use super::node::{FeeHistory, Node};

/// Fees of a transaction, in wei per gas.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Fees {
    /// What is paid at most, the tip included.
    pub(super) max: u128,
    /// What goes to the proposer of the block.
    pub(super) tip: u128,
}

/// Fees as they were last read.
#[derive(Default)]
pub(super) struct FeeCache {
    read: Option<(Instant, Price)>,
    /// Whether the chain has no base fee: a transaction then has one price.
    is_legacy: bool,
}

/// What gas costs now, in wei.
#[derive(Clone, Copy)]
struct Price {
    base: u128,
    tip: u128,
}

impl FeeCache {
    /// Of a chain with a base fee, or of one without.
    pub(super) const fn new(is_legacy: bool) -> Self {
        Self { read: None, is_legacy }
    }

    /// The fees to offer: those read less than `lifetime` ago, or else read anew.
    pub(super) async fn fees(
        &mut self,
        node: &Node,
        lifetime: Duration,
        cap: u128,
    ) -> Result<Fees, FeeError> {
        self.price(node, lifetime).await?.within(cap)
    }

    /// The fees to offer in place of those that were; `None` where those are still enough.
    pub(super) async fn raised(
        &mut self,
        node: &Node,
        lifetime: Duration,
        cap: u128,
        offered: Fees,
    ) -> Result<Option<Fees>, FeeError> {
        self.price(node, lifetime).await?.above(offered, cap)
    }

    async fn price(&mut self, node: &Node, lifetime: Duration) -> Result<Price, Fault> {
        if let Some((read_at, price)) = self.read
            && read_at.elapsed() < lifetime
        {
            return Ok(price);
        }
        let price = match self.is_legacy {
            true => Price::legacy(node.gas_price().await?),
            false => Price::read(node).await?,
        };
        self.read = Some((Instant::now(), price));
        Ok(price)
    }

    /// Has the fees read anew, because the node says they are too low.
    pub(super) fn clear(&mut self) {
        self.read = None;
    }
}

/// What a unit of gas costs now, in wei.
pub(super) async fn gas_costs(node: &Node, is_legacy: bool) -> Result<u128, Fault> {
    if is_legacy {
        return node.gas_price().await;
    }
    let Price { base, tip } = Price::read(node).await?;
    Ok(base.saturating_add(tip))
}

/// Why no fees can be offered.
#[derive(Debug, thiserror::Error)]
pub(super) enum FeeError {
    #[error("gas costs {price} wei now, above the limit of {cap} (max_fee_per_gas, max_gas_cost)")]
    AboveCap { price: u128, cap: u128 },
    #[error(transparent)]
    Node(#[from] Fault),
}

impl Price {
    async fn read(node: &Node) -> Result<Self, Fault> {
        let price = match node.fee_history().await {
            Ok(history) => Self::of(&history),
            Err(fault) if fault.is_unsupported() => None,
            Err(fault) => return Err(fault),
        };
        match price {
            Some(price) => Ok(price),
            // Base fee and tip in one number: a tenth of it is a generous guess at the tip.
            None => node.gas_price().await.map(|base| Self { base, tip: (base / 10).max(1) }),
        }
    }

    /// Of a transaction that pays all that it offers: an eighth of it is the room, and no tip is added.
    const fn legacy(price: u128) -> Self {
        let room = price / 8;
        Self { base: room, tip: price - room }
    }

    /// `None` where the chain has no base fee, or the node does not tell.
    fn of(history: &FeeHistory) -> Option<Self> {
        let base: u128 = history.base_fee_per_gas.last()?.to();
        let blocks = history.reward.iter().flatten();
        // Empty blocks have zeros: they say nothing of what is usual.
        let mut tips: Vec<u128> = blocks
            .filter_map(|tips| tips.first())
            .map(|tip| tip.to())
            .filter(|tip| *tip > 0)
            .collect();
        tips.sort_unstable();
        let tip = tips.get(tips.len() / 2).copied().unwrap_or(1);
        (base > 0).then_some(Self { base, tip })
    }

    /// Room for the base fee to double, as it can in six full blocks, unless that is too much.
    fn within(self, cap: u128) -> Result<Fees, FeeError> {
        let price = self.base.saturating_add(self.tip);
        if price > cap {
            return Err(FeeError::AboveCap { price, cap });
        }
        Ok(Fees { max: price.saturating_add(self.base).min(cap), tip: self.tip })
    }

    /// Nodes take a transaction in place of another where both of its fees are a tenth higher.
    fn above(self, offered: Fees, cap: u128) -> Result<Option<Fees>, FeeError> {
        let asked = self.base.saturating_add(self.tip);
        // Tips go up and down: one that is half of what is usual still is one.
        if offered.max >= asked && offered.tip >= self.tip / 2 {
            return Ok(None);
        }
        let fees = self.within(cap)?;
        let more = |fee: u128| fee.saturating_add(fee / 8).saturating_add(1);
        let (max, tip) = (fees.max.max(more(offered.max)), fees.tip.max(more(offered.tip)));
        if max > cap {
            return Err(FeeError::AboveCap { price: max, cap });
        }
        Ok(Some(Fees { max, tip: tip.min(max) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(json: &str) -> FeeHistory {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_tip_is_the_median_of_blocks_that_had_one() {
        let json = r#"{"baseFeePerGas":["0x5","0x64"],"oldestBlock":"0x1","gasUsedRatio":[0.5],
                       "reward":[["0x0"],["0x9"],["0x1"],["0x3"]]}"#;
        let price = Price::of(&history(json)).unwrap();
        assert_eq!((price.base, price.tip), (100, 3));
        let none = Price::of(&history(r#"{"baseFeePerGas":["0x64"],"reward":null}"#)).unwrap();
        assert_eq!(none.tip, 1);
        assert!(Price::of(&history(r#"{"baseFeePerGas":["0x0"]}"#)).is_none());
        assert!(Price::of(&history("{}")).is_none());
    }

    #[test]
    fn what_is_too_little_now_is_raised_by_more_than_a_tenth() {
        let price = Price { base: 100, tip: 4 };
        let above = |max, tip| price.above(Fees { max, tip }, 1_000).unwrap();
        assert_eq!(above(104, 4), None);
        assert_eq!(above(204, 2), None, "half the tip");
        assert_eq!(above(103, 4), Some(Fees { max: 204, tip: 5 }));
        assert_eq!(above(300, 1), Some(Fees { max: 338, tip: 4 }));
        assert_eq!(above(90, 90), Some(Fees { max: 204, tip: 102 }));
        for (max, tip) in [(103, 4), (300, 1), (7, 7), (0, 0)] {
            let raised = above(max, tip).unwrap();
            assert!(
                raised.max * 10 > max * 11
                    && raised.tip * 10 > tip * 11
                    && raised.tip <= raised.max
            );
        }
        assert!(price.above(Fees { max: 950, tip: 1 }, 1_000).is_err(), "the cap");
        assert_eq!(price.above(Fees { max: 950, tip: 2 }, 100).unwrap(), None);
    }

    #[test]
    fn one_price_has_little_room() {
        let fees = Price::legacy(800).within(10_000).unwrap();
        assert_eq!((fees.max, fees.tip), (900, 700));
        let same = Price::legacy(800).above(Fees { max: 900, tip: 900 }, 10_000).unwrap();
        assert_eq!(same, None);
        let raised = Price::legacy(1_600).above(Fees { max: 900, tip: 900 }, 10_000).unwrap();
        assert_eq!(raised.unwrap().max, 1_800);
    }

    #[test]
    fn the_cap_is_kept() {
        let price = Price { base: 100, tip: 3 };
        assert_eq!(price.within(1_000).unwrap(), Fees { max: 203, tip: 3 });
        assert_eq!(price.within(150).unwrap(), Fees { max: 150, tip: 3 });
        let error = price.within(102).unwrap_err().to_string();
        assert_eq!(
            error,
            "gas costs 103 wei now, above the limit of 102 (max_fee_per_gas, max_gas_cost)"
        );
        let huge = Price { base: u128::MAX, tip: u128::MAX };
        assert_eq!(huge.within(u128::MAX).unwrap().max, u128::MAX);
    }
}
