//! Names of balances, which their operator replaces: nothing is drawn by one that was replaced.

use core::time::Duration;
use std::sync::Arc;

use tokio::time::sleep;
use x402_core::Amount;
use x402_std::Seller;
use x402_std::ledger::{CreditAccount, RequestId};
use x402_std::quote::CreditToken;
use x402_std::seller::{DrawRefusal, Drawn, NamedDraw};

use crate::run::Stage;
use crate::token::word;
use crate::world::{Shared, World, lock};

impl World {
    /// The name of a balance that its payer was told last.
    pub(crate) fn name_of(&self, account: CreditAccount) -> CreditToken {
        let generation = self.names.get(&account).copied().unwrap_or_default();
        CreditToken { account, generation, made_at: 0 }
    }

    /// A payer is told the name that is good now.
    pub(crate) fn tell_name(&mut self, account: CreditAccount, generation: u64) {
        let known = self.names.entry(account).or_default();
        *known = generation.max(*known);
    }

    fn some_account(&mut self) -> CreditAccount {
        let count = self.orders.len() as u64;
        let index = self.random.below(count) as usize;
        self.orders[index].account
    }
}

/// Whoever has lost his name is told the one that is good: by the answer to his next payment.
pub(crate) async fn learn(world: &Shared, seller: &Seller, account: CreditAccount) {
    if let Ok(names) = seller.credit_names(account).await {
        lock(world).tell_name(account, names.generation);
    }
}

impl Stage {
    /// The operator replaces a name now and then.
    pub(crate) async fn replace_names(self: Arc<Self>, seller: Arc<Seller>) {
        for _ in 0..4 {
            let (pause, account) = {
                let mut world = lock(&self.world);
                (world.random.below(60_000), world.some_account())
            };
            sleep(Duration::from_millis(pause)).await;
            if let Ok(names) = seller.replace_names(account).await {
                let mut world = lock(&self.world);
                world.counts.renamed += 1;
                world.tell_name(account, names.generation);
            }
        }
    }

    /// Somebody has found a name that was replaced, and draws by it.
    pub(crate) async fn draw_by_old_names(self: Arc<Self>, seller: Arc<Seller>) {
        for time in 0..4 {
            let (pause, account) = {
                let mut world = lock(&self.world);
                (world.random.below(60_000), world.some_account())
            };
            sleep(Duration::from_millis(pause)).await;
            let name = lock(&self.world).name_of(account);
            let Some(generation) = name.generation.checked_sub(1) else { continue };
            let draw = NamedDraw {
                name: CreditToken { generation, ..name },
                nonce: word(u64::MAX - time),
                request: RequestId::new("GET", "/found"),
                amount: Amount::from_units(1),
                signed: None,
            };
            let drawn = seller.draw_by(&draw).await;
            let mut world = lock(&self.world);
            world.counts.found_names += 1;
            let has = match drawn {
                Ok(Drawn::Serve(_) | Drawn::Replay { .. }) => "something is drawn by it",
                Ok(Drawn::Short(_)) => "it tells the balance",
                Err(DrawRefusal::Replaced | DrawRefusal::Rejected(_)) => continue,
                Err(DrawRefusal::Unsigned) => "a signature is asked for",
            };
            world.violated(format!("I15: a name of {} was replaced, and {has}", account.payer));
        }
    }
}
