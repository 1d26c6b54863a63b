//! The ledger, on a disk that fails.

use core::future::ready;
use core::time::Duration;
use std::sync::Arc;

use tokio::time::sleep;
use x402_core::{Amount, ChainId, PaymentId};
use x402_std::BoxFuture;
use x402_std::chain::{Block, PaidLog, TxHash};
use x402_std::ledger::{Claiming, Conclusion, CreditAccount, Draw, DrawId, Drawing, Entry, Ledger};
use x402_std::ledger::{CreditNames, NameLedger, Renewal};
use x402_std::ledger::{LedgerError, LedgerIdentity, Owed, OwedAccount, Settle, Step};

use crate::books::Change;
use crate::broken::Broken;
use crate::store::{Doubt, File};
use crate::world::{Shared, index_of, lock};

/// A ledger that is slow, and fails.
pub(crate) struct Disk {
    pub(crate) ledger: Arc<dyn Ledger>,
    /// Where it is in a file.
    pub(crate) file: Option<Arc<File>>,
    pub(crate) world: Shared,
    pub(crate) broken: Option<Broken>,
}

enum Write {
    Done,
    /// It fails, and nothing was written.
    Fails,
    /// It is written, and said to have failed.
    Unsaid,
}

impl Disk {
    async fn write(&self) -> Write {
        let (write, time) = {
            let mut world = lock(&self.world);
            let weather = world.weather;
            let slow = world.chance(weather.write_slow);
            let time = world.random.below(if slow { 5_000 } else { 5 });
            if world.chance(weather.disk_full) {
                world.disk_full_until = world.milliseconds() + 60_000;
            }
            let breaks = self.file.is_some() && world.chance(weather.disk_breaks);
            if let Some(file) = self.file.as_ref().filter(|_| breaks) {
                file.platter.break_after(world.random.below(12));
            }
            let is_full = world.milliseconds() < world.disk_full_until;
            let write = if is_full || world.chance(weather.write_fails) {
                Write::Fails
            } else if world.chance(weather.written_unsaid) {
                Write::Unsaid
            } else {
                Write::Done
            };
            (write, time)
        };
        sleep(Duration::from_millis(time)).await;
        write
    }

    /// What a change of the ledger comes to on this disk.
    async fn written<T>(
        &self,
        change: BoxFuture<'_, Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        match self.write().await {
            Write::Fails => Err(failed()),
            Write::Unsaid => change.await.and(Err(failed())),
            Write::Done => change.await,
        }
    }

    /// What the ledger has said of a payment has to be there after a crash.
    async fn promise(&self, id: PaymentId, is_soon: bool) {
        let Some(file) = &self.file else { return };
        if let Ok(entry) = self.ledger.find(id).await
            && !file.platter.is_broken()
        {
            file.promise(id, entry, is_soon);
        }
    }

    /// A change is on the disk, or is in doubt.
    fn note<T>(&self, result: &Result<T, LedgerError>, doubt: impl FnOnce() -> Doubt) {
        match &self.file {
            Some(file) if result.is_ok() => file.promise_others(),
            Some(file) => file.doubt(doubt()),
            None => {}
        }
    }

    /// Whatever has changed, the balance is what the books say.
    async fn agree(&self, account: CreditAccount) {
        let is_broken = self.file.as_ref().is_some_and(|file| file.platter.is_broken());
        let balance = match self.ledger.balance(account).await {
            Err(_) if is_broken => return,
            balance => balance.unwrap(),
        };
        lock(&self.world).agree(&account, balance);
    }
}

fn failed() -> LedgerError {
    LedgerError::Storage("the disk fails".into())
}

impl NameLedger for Disk {
    fn credit_names(
        &self,
        account: CreditAccount,
    ) -> BoxFuture<'_, Result<CreditNames, LedgerError>> {
        if self.broken == Some(Broken::Names) {
            return Box::pin(ready(Ok(CreditNames::default())));
        }
        self.ledger.credit_names(account)
    }

    fn renew_names(
        &self,
        account: CreditAccount,
        renewal: Renewal,
    ) -> BoxFuture<'_, Result<CreditNames, LedgerError>> {
        Box::pin(self.written(self.ledger.renew_names(account, renewal)))
    }
}

impl Ledger for Disk {
    fn claim(&self, entry: Entry) -> BoxFuture<'_, Result<Claiming, LedgerError>> {
        Box::pin(async move {
            let id = entry.id();
            let claimed = self.written(self.ledger.claim(entry)).await;
            if let Some(file) = self.file.as_ref().filter(|_| claimed.is_err()) {
                let (before, change, is_sent) = (Box::default(), Change::Nothing, false);
                file.doubt(Doubt::Payment { id, before, change, is_sent });
            }
            self.promise(id, true).await;
            claimed
        })
    }

    fn apply(&self, id: PaymentId, step: Step) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move {
            let index = index_of(*id.nonce.as_bytes());
            tracing::debug!(at = lock(&self.world).milliseconds(), index, ?step);
            // What the seller says, whatever a broken ledger keeps of it.
            let change = Change::of(&step);
            let Some(step) = Broken::step(self.broken, step) else { return Ok(()) };
            let is_sent = matches!(step, Step::Journalled(_) | Step::Entrusted | Step::Worked(..));
            if matches!(step, Step::Forgiven) {
                lock(&self.world).gives_up(index);
            }
            // That the money has arrived the chain says again.
            let is_soon =
                matches!(step, Step::Confirmed(_)) && lock(&self.world).settle == Settle::First;
            let write = self.write().await;
            let before = Box::new(self.ledger.find(id).await.ok().flatten());
            let result = match write {
                Write::Fails => Err(failed()),
                Write::Done | Write::Unsaid => self.ledger.apply(id, step).await,
            };
            if let Some(file) = self.file.as_ref().filter(|_| result.is_err()) {
                file.doubt(Doubt::Payment { id, before, change, is_sent });
            } else {
                self.promise(id, is_soon).await;
            }
            if matches!(change, Change::Cost(_)) {
                let mut world = lock(&self.world);
                if result.is_ok() { world.kept(index) } else { world.excuse(index) }
            }
            if result.is_ok() {
                let account = lock(&self.world).stepped(index, &change, is_sent);
                self.agree(account).await;
            }
            // What is not released is claimed still, and goes on from there.
            if matches!(write, Write::Unsaid) { result.and(Err(failed())) } else { result }
        })
    }

    fn paid_by(
        &self,
        chain_id: ChainId,
        transaction: TxHash,
    ) -> BoxFuture<'_, Result<Vec<(PaymentId, Option<PaidLog>)>, LedgerError>> {
        if self.broken == Some(Broken::Unique) {
            return Box::pin(ready(Ok(Vec::new())));
        }
        self.ledger.paid_by(chain_id, transaction)
    }

    fn fill_in_logs(
        &self,
        chain_id: ChainId,
        transaction: TxHash,
        logs: Vec<(PaymentId, PaidLog)>,
    ) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(self.written(self.ledger.fill_in_logs(chain_id, transaction, logs)))
    }

    fn unfinal_blocks(
        &self,
        chain_id: ChainId,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<Block>, LedgerError>> {
        if self.broken == Some(Broken::Watch) {
            return Box::pin(ready(Ok(Vec::new())));
        }
        self.ledger.unfinal_blocks(chain_id, most)
    }

    fn paid_in(
        &self,
        chain_id: ChainId,
        block: Block,
        after: Option<PaymentId>,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<PaymentId>, LedgerError>> {
        self.ledger.paid_in(chain_id, block, after, most)
    }

    fn finalize(&self, chain_id: ChainId, block: Block) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(self.written(self.ledger.finalize(chain_id, block)))
    }

    fn find(&self, id: PaymentId) -> BoxFuture<'_, Result<Option<Entry>, LedgerError>> {
        self.ledger.find(id)
    }

    fn owes(&self, account: OwedAccount) -> BoxFuture<'_, Result<Owed, LedgerError>> {
        self.ledger.owes(account)
    }

    fn ids(&self) -> BoxFuture<'_, Result<Vec<PaymentId>, LedgerError>> {
        self.ledger.ids()
    }

    fn open_entries(&self) -> BoxFuture<'_, Result<Vec<Entry>, LedgerError>> {
        self.ledger.open_entries()
    }

    fn balance(&self, account: CreditAccount) -> BoxFuture<'_, Result<Amount, LedgerError>> {
        self.ledger.balance(account)
    }

    fn balances(&self) -> BoxFuture<'_, Result<Vec<(CreditAccount, Amount)>, LedgerError>> {
        self.ledger.balances()
    }

    fn draw(&self, draw: Draw) -> BoxFuture<'_, Result<Drawing, LedgerError>> {
        Box::pin(async move {
            let write = self.write().await;
            if matches!(write, Write::Fails) {
                return Err(failed());
            }
            let drawing = self.ledger.draw(draw.clone()).await;
            self.note(&drawing, || Doubt::Draw(draw.clone()));
            let drawing = drawing?;
            tracing::debug!(at = lock(&self.world).milliseconds(), ?draw, ?drawing);
            let account = draw.account;
            lock(&self.world).drawn(draw, &drawing);
            self.agree(account).await;
            if matches!(write, Write::Unsaid) { Err(failed()) } else { Ok(drawing) }
        })
    }

    fn conclude(
        &self,
        id: DrawId,
        conclusion: Conclusion,
    ) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move {
            let write = self.write().await;
            if matches!(write, Write::Fails) {
                return Err(failed());
            }
            let concluded = self.ledger.conclude(id, conclusion.clone()).await;
            self.note(&concluded, || Doubt::Conclusion(id, conclusion.clone()));
            concluded?;
            tracing::debug!(at = lock(&self.world).milliseconds(), ?id, ?conclusion);
            let account = lock(&self.world).books.concluded(id, conclusion);
            self.agree(account).await;
            if matches!(write, Write::Unsaid) { Err(failed()) } else { Ok(()) }
        })
    }

    fn find_draw(&self, id: DrawId) -> BoxFuture<'_, Result<Option<Draw>, LedgerError>> {
        self.ledger.find_draw(id)
    }

    fn held_draws(&self) -> BoxFuture<'_, Result<Vec<Draw>, LedgerError>> {
        self.ledger.held_draws()
    }

    fn identity(&self) -> BoxFuture<'_, Result<LedgerIdentity, LedgerError>> {
        self.ledger.identity()
    }
}
