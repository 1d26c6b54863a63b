//! Payments that come at the same time, before their work: one transaction moves them.

use core::mem::take;
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::sleep;

use super::resolve::Held;
use super::{Guard, Rejection, Seller};
use crate::chain::TxHash;
use crate::ledger::{Entry, Settle};

/// For how long those are waited for who were settled just now, and who wait already: a seller who has many
/// buyers is likely to come again, and to begin with the first would have all others wait for it.
const FELLOWS: Duration = Duration::from_millis(10);

/// What is to be settled, in this process: while a batch is under way the next payments wait, for a
/// while at most, and are settled together. One that comes alone, after another that was alone, goes at once.
#[derive(Debug, Default)]
pub(super) struct Crowd(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    /// How many batches are under way.
    running: usize,
    waiting: Vec<Waiting>,
    /// How many are likely to come: those of the batch that ended last, and those who waited then.
    likely: usize,
    /// Whether somebody will have those settled who wait when their time is up.
    has_clock: bool,
}

#[derive(Debug)]
struct Waiting {
    held: Held,
    answer: oneshot::Sender<(Guard, Result<TxHash, Rejection>)>,
}

impl Crowd {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Every change is one assignment or call of the vector's: the queue is whole whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seller {
    /// Whether a payment is settled with those that come with it, if there are any.
    pub(super) fn goes_together(&self, entry: &Entry) -> bool {
        let rail = self.rail(entry.payment.chain_id());
        entry.settle == Settle::First
            && self.options.together.is_some()
            && rail.is_ok_and(|rail| rail.takes_many())
    }

    /// Settles a claimed payment together with those that come with it, if the chain takes it; else it is
    /// released.
    pub(super) async fn settle_together(
        self: &Arc<Self>,
        entry: Entry,
        guard: Guard,
    ) -> Result<(Guard, TxHash), Rejection> {
        let (answer, answered) = oneshot::channel();
        let pending = Rejection { transaction: None, ..Rejection::pending(&entry) };
        self.join_crowd(Waiting { held: Held { entry, guard }, answer });
        // Where the task is gone that was to answer, nobody knows how far it came.
        let (guard, moved) = answered.await.map_err(|_| pending)?;
        Ok((guard, moved?))
    }

    fn join_crowd(self: &Arc<Self>, waiting: Waiting) {
        let mut queue = self.crowd.queue();
        queue.waiting.push(waiting);
        self.look_at_crowd(&mut queue);
    }

    /// Has those settled who wait, if there is nobody to wait for; else sees to it that it is done in time.
    fn look_at_crowd(self: &Arc<Self>, queue: &mut Queue) {
        let is_complete = queue.running == 0 && queue.waiting.len() >= queue.likely;
        if is_complete || queue.waiting.len() >= self.most() {
            return self.settle_crowd(queue);
        }
        if queue.waiting.is_empty() || queue.has_clock {
            return;
        }
        queue.has_clock = true;
        let max_delay = self.options.together.map_or(Duration::ZERO, |together| together.max_delay);
        let delay = if queue.running == 0 { FELLOWS.min(max_delay) } else { max_delay };
        let seller = Arc::clone(self);
        tokio::spawn(async move {
            sleep(delay).await;
            let mut queue = seller.crowd.queue();
            queue.has_clock = false;
            seller.settle_crowd(&mut queue);
        });
    }

    /// How many are settled at the same time at most, whether by one transaction or by one each.
    fn most(&self) -> usize {
        const ONE_EACH: usize = 50;
        let max_batch = self.options.together.map_or(1, |together| together.max_batch);
        if max_batch > 1 { max_batch } else { ONE_EACH }
    }

    /// Settles those who wait.
    fn settle_crowd(self: &Arc<Self>, queue: &mut Queue) {
        let waiting = take(&mut queue.waiting);
        if waiting.is_empty() {
            return;
        }
        queue.running += 1;
        let running = Running(Arc::clone(self), waiting.len());
        tokio::spawn(async move { running.settle(waiting).await });
    }
}

/// A batch that is under way, of so many; when it ends, those that wait may have nobody to wait for any more.
struct Running(Arc<Seller>, usize);

impl Running {
    async fn settle(&self, waiting: Vec<Waiting>) {
        let (held, answers): (Vec<_>, Vec<_>) =
            waiting.into_iter().map(|waiting| (waiting.held, waiting.answer)).unzip();
        let is_batched = self.0.options.together.is_some_and(|together| together.max_batch > 1);
        let mut moved = self.0.move_held(&held, is_batched).await;
        for (Held { entry, guard }, answer) in held.into_iter().zip(answers) {
            let position = moved.iter().position(|(id, _)| *id == entry.id());
            let moved = position.map(|position| moved.swap_remove(position).1);
            let moved = moved.unwrap_or_else(|| Err(Rejection::pending(&entry)));
            self.0.take_down(&entry, &moved);
            // Who has asked may be gone.
            drop(answer.send((guard, moved)));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut queue = self.0.crowd.queue();
        queue.running -= 1;
        queue.likely = self.1 + queue.waiting.len();
        self.0.look_at_crowd(&mut queue);
    }
}
