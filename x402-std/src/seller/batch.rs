//! Many payments in one transaction.

use core::sync::atomic::Ordering;

use futures_util::future::join_all;
use tokio::time::Instant;
use x402_core::Error;
use x402_core::state::State;

use super::Rejection;
use super::on_chain::{OnChain, SEND_AGAIN, Seen};
use super::rail::{Moved, Noted, Steps, is_open};
use crate::BoxFuture;
use crate::chain::{Call, ChainError, Journal, Sent, Transaction, TxHash};
use crate::ledger::{Entry, LedgerError, Step};

/// A payment in a batch.
pub(super) type Member<'a> = (Entry, Steps<'a>);

/// Journals a transaction for all payments that it settles; one of them keeps its bytes.
struct Together<'b, 'a>(&'b [Member<'a>]);

impl Journal for Together<'_, '_> {
    fn record<'a>(
        &'a self,
        transaction: &'a Transaction,
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        Box::pin(async move {
            let keeper = self.0.iter().position(|(entry, _)| entry.has_bytes()).unwrap_or(0);
            let Some((_, last)) = self.0.get(keeper) else { return Ok(()) };
            let bare = Transaction { hash: transaction.hash, raw: Vec::new() };
            // The bytes come last: whoever has them knows that all the others know of them. Without them
            // nothing was sent, and nothing will be. Until then the bytes of what it replaces are there:
            // who keeps those keeps these.
            let others = self.0.iter().enumerate().filter(|(index, _)| *index != keeper);
            let others = others.map(|(_, (_, steps))| (steps, bare.clone()));
            let all = others.chain([(last, transaction.clone())]);
            let all = all.map(|(steps, page)| (steps.id(), Step::Journalled(page))).collect();
            last.ledger().apply_all(all).await
        })
    }
}

impl OnChain {
    /// Settles payments of which nothing was sent, or finds out about those that one transaction was
    /// sent for.
    pub(super) async fn settle_all(&self, batch: Vec<Member<'_>>) -> Vec<Moved> {
        let is_fresh =
            |(entry, _): &Member<'_>| matches!(entry.state, State::Claimed | State::Worked);
        let (fresh, sent): (Vec<_>, Vec<_>) = batch.into_iter().partition(is_fresh);
        let has_bytes = |(entry, _): &Member<'_>| entry.has_bytes();
        let pursued = async {
            match sent.iter().any(has_bytes) {
                true if sent.len() > 1 => self.pursue_batch(sent, None).await,
                _ => self.one_by_one(&sent).await,
            }
        };
        join(self.send_batch(fresh), pursued).await
    }

    /// Each by a transaction of its own.
    async fn one_by_one(&self, members: &[Member<'_>]) -> Vec<Moved> {
        let all = members.iter().map(|(entry, steps)| async move {
            let moved = self.find_out(entry, steps).await;
            (entry.id(), moved)
        });
        join_all(all).await
    }

    /// Sends one transaction for those whose payments the tokens would take now.
    async fn send_batch(&self, members: Vec<Member<'_>>) -> Vec<Moved> {
        let (members, calls, others) = self.split(members);
        if members.len() < 2 || self.takes_no_batches.load(Ordering::Relaxed) {
            return join(self.each_fresh(others), self.each_fresh(members)).await;
        }
        let taken = match self.chain.simulate_batch(&Call::batch(&calls)).await {
            Ok(Some(taken)) => taken,
            Ok(None) => {
                tracing::warn!("this chain takes no batches: each payment is settled by itself");
                self.takes_no_batches.store(true, Ordering::Relaxed);
                return join(self.each_fresh(others), self.each_fresh(members)).await;
            }
            Err(error) => {
                return join(self.each_fresh(others), self.none_sent(&members, &error)).await;
            }
        };
        let (mut together, mut calls_together, mut alone) = (Vec::new(), Vec::new(), others);
        for ((member, call), is_taken) in members.into_iter().zip(calls).zip(taken) {
            if is_taken {
                together.push(member);
                calls_together.push(call);
            } else {
                alone.push(member);
            }
        }
        let together = async {
            match together.len() {
                0 | 1 => self.each_fresh(together).await,
                _ => self.broadcast_batch(together, &calls_together).await,
            }
        };
        join(together, self.each_fresh(alone)).await
    }

    /// Those that can be in a batch, with their calls, and the others: what is new in a token that has stopped
    /// is refused where it is verified by itself.
    fn split<'a>(&self, members: Vec<Member<'a>>) -> (Vec<Member<'a>>, Vec<Call>, Vec<Member<'a>>) {
        let (mut together, mut calls, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for member in members {
            let is_refused = member.0.state == State::Claimed && self.is_stopped(&member.0);
            match Call::of(&member.0) {
                Ok(call) if call.can_be_batched() && !is_refused => {
                    together.push(member);
                    calls.push(call);
                }
                _ => others.push(member),
            }
        }
        (together, calls, others)
    }

    /// Each by a transaction of its own; of the work that was done, as it stands.
    async fn each_fresh(&self, members: Vec<Member<'_>>) -> Vec<Moved> {
        let is_claimed = |(entry, _): &Member<'_>| entry.state == State::Claimed;
        let (claimed, worked): (Vec<_>, Vec<_>) = members.into_iter().partition(is_claimed);
        join(self.send_train(claimed), self.one_by_one(&worked)).await
    }

    /// Each by a transaction of its own, which are sent at the same time; what would not be taken is
    /// released.
    pub(super) async fn send_train(&self, members: Vec<Member<'_>>) -> Vec<Moved> {
        let verdicts = members.iter().map(|(entry, steps)| async move {
            self.verify_or_release(entry, steps).await?;
            Call::of(entry).map_err(|error| Rejection::unavailable(&error))
        });
        let verdicts = join_all(verdicts).await;
        let (mut moved, mut good) = (Vec::new(), Vec::new());
        for (member, verdict) in members.iter().zip(verdicts) {
            match verdict {
                Ok(call) => good.push((member, call, Noted::new(&member.1))),
                Err(rejection) => moved.push((member.0.id(), Err(rejection))),
            }
        }
        let calls: Vec<_> =
            good.iter().map(|(_, call, noted)| (call.clone(), noted as &dyn Journal)).collect();
        let sent =
            if calls.is_empty() { Vec::new() } else { self.chain.broadcast_each(&calls).await };
        let arrived = good.iter().zip(sent).map(|(((entry, steps), _, noted), sent)| async move {
            (entry.id(), self.await_sent(entry, steps, sent, noted.last()).await)
        });
        moved.extend(join_all(arrived).await);
        moved
    }

    async fn broadcast_batch(&self, members: Vec<Member<'_>>, calls: &[Call]) -> Vec<Moved> {
        let together = Together(&members);
        let noted = Noted::new(&together);
        let sent = self.chain.broadcast(&Call::batch(calls), &noted).await;
        let hash = noted.last().map(|noted| noted.hash);
        let sent = match sent {
            Ok(hash) => {
                tracing::info!(payments = members.len(), transaction = %hash, "broadcast");
                members.iter().for_each(|(entry, _)| {
                    self.unsent.forget(entry);
                });
                Some(Instant::now())
            }
            Err(ChainError::Unknown(error)) => {
                tracing::warn!(%error, "it is not known whether the chain has the batch");
                None
            }
            Err(ChainError::Unsent(error)) => {
                tracing::warn!(%error, "a batch is journalled, and not taken by the node");
                members.iter().for_each(|(entry, _)| self.unsent.note(entry));
                None
            }
            Err(error) => return self.none_sent(&members, &error).await,
        };
        match reload(members, hash).await {
            Ok(members) => self.pursue_batch(members, sent).await,
            Err(open) => open,
        }
    }

    /// Asks for the receipt until it is there or the time is up, and sees to it that the node has the
    /// transaction: `sent` is when it was seen to take it.
    async fn pursue_batch(
        &self,
        mut members: Vec<Member<'_>>,
        mut sent: Option<Instant>,
    ) -> Vec<Moved> {
        let deadline = Instant::now() + self.timeout;
        let (mut pause, longest) = self.poll;
        loop {
            match self.look_all(&members).await {
                Ok(seen) if seen.iter().any(|seen| !matches!(seen, Seen::Nothing)) => {
                    return self.conclude(&members, &seen).await;
                }
                Ok(_) if sent.is_some_and(|sent| sent.elapsed() < SEND_AGAIN) => {}
                Ok(_) => match self.send_batch_again(&members).await {
                    Ok(()) => {
                        sent = Some(Instant::now());
                        members.iter().for_each(|(entry, _)| {
                            self.unsent.forget(entry);
                        });
                        members = match reload(members, None).await {
                            Ok(members) => members,
                            Err(open) => return open,
                        };
                    }
                    // It cannot be mined any more; each token takes an authorization at most once.
                    Err(ChainError::Unsent(_)) => return self.each_anew(&members).await,
                    Err(error) => tracing::debug!(%error, "the batch is not sent again"),
                },
                Err(error) => tracing::warn!(%error, "no receipt of a batch"),
            }
            if Instant::now() + pause > deadline {
                return self.look_for_uses(&members).await;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// No transaction of theirs is in a block: somebody else's may be, or they have ended meanwhile. Who has
    /// the transaction's bytes ends last: while others wait for it, it may have to be sent again.
    async fn look_for_uses(&self, members: &[Member<'_>]) -> Vec<Moved> {
        let (keepers, others): (Vec<_>, Vec<_>) =
            members.iter().partition(|(entry, _)| entry.has_bytes());
        let mut moved = self.look_for_each(&others).await;
        if moved.iter().any(is_open) {
            moved.extend(keepers.iter().map(|(entry, _)| pending(entry)));
        } else {
            moved.extend(self.look_for_each(&keepers).await);
        }
        moved
    }

    async fn look_for_each(&self, members: &[&Member<'_>]) -> Vec<Moved> {
        let all = members.iter().map(|(entry, steps)| async move {
            (entry.id(), self.look_for_use(entry, steps, Error::Simulation).await)
        });
        join_all(all).await
    }

    /// What the chain shows of each payment's transactions: each transaction is asked for once.
    async fn look_all(&self, members: &[Member<'_>]) -> Result<Vec<Seen>, ChainError> {
        let mut hashes: Vec<TxHash> = Vec::new();
        for hash in members.iter().flat_map(|(entry, _)| entry.hashes()) {
            if !hashes.contains(&hash) {
                hashes.push(hash);
            }
        }
        let mut seen = vec![Seen::Nothing; members.len()];
        for hash in hashes {
            let is_of = |entry: &Entry| entry.hashes().any(|known| known == hash);
            let whose: Vec<_> =
                members.iter().zip(&mut seen).filter(|((entry, _), _)| is_of(entry)).collect();
            let payments: Vec<_> = whose.iter().map(|((entry, _), _)| entry.payment).collect();
            let outcomes = self.chain.outcomes(&payments, Sent::own(hash)).await?;
            for ((_, seen), outcome) in whose.into_iter().zip(outcomes) {
                if let Some(now) = Seen::of(outcome, hash)
                    && now.is_more_than(seen)
                {
                    *seen = now;
                }
            }
        }
        Ok(seen)
    }

    /// The transaction is in a block. Whose money it has not moved is settled by itself.
    async fn conclude(&self, members: &[Member<'_>], seen: &[Seen]) -> Vec<Moved> {
        let all = members.iter().zip(seen).map(|((entry, steps), seen)| async move {
            let moved = match seen {
                // Another's call may have used up the gas.
                Seen::Reverted => self.try_again(entry, steps).await,
                // In no such transaction: it is looked after by itself.
                seen => self.end(entry, steps, *seen).await,
            };
            (entry.id(), moved)
        });
        join_all(all).await
    }

    async fn each_anew(&self, members: &[Member<'_>]) -> Vec<Moved> {
        let all = members.iter().map(|(entry, steps)| async move {
            let moved = self.send_anew(entry, steps).await;
            (entry.id(), moved)
        });
        join_all(all).await
    }

    /// None of these was sent. What is owed, or was journalled all the same, is looked after later, from where
    /// it stands; what was only claimed is its payer's to present again.
    async fn none_sent(&self, members: &[Member<'_>], error: &ChainError) -> Vec<Moved> {
        let all = members.iter().map(|(entry, steps)| async move {
            (entry.id(), Err(self.not_sent(entry, steps, error).await))
        });
        join_all(all).await
    }

    async fn send_batch_again(&self, members: &[Member<'_>]) -> Result<(), ChainError> {
        let corrupt = || ChainError::Journal(LedgerError::Corrupt);
        let sent = members.iter().filter_map(|(entry, _)| entry.transaction.as_ref());
        let transaction = { sent }.find(|sent| !sent.raw.is_empty()).ok_or_else(corrupt)?;
        let calls: Result<Vec<_>, _> = members.iter().map(|(entry, _)| Call::of(entry)).collect();
        let call = Call::batch(&calls.map_err(ChainError::Journal)?);
        self.chain.rebroadcast(&call, transaction, &Together(members)).await.map(drop)
    }
}

async fn join(
    these: impl Future<Output = Vec<Moved>>,
    those: impl Future<Output = Vec<Moved>>,
) -> Vec<Moved> {
    let (mut all, those) = futures_util::future::join(these, those).await;
    all.extend(those);
    all
}

fn pending(entry: &Entry) -> Moved {
    (entry.id(), Err(Rejection::pending(entry)))
}

/// The members as they stand now; where the ledger cannot be read, each is under way, by the transaction that
/// was journalled just now.
async fn reload(
    members: Vec<Member<'_>>,
    journalled: Option<TxHash>,
) -> Result<Vec<Member<'_>>, Vec<Moved>> {
    let entries = join_all(members.iter().map(|(_, steps)| steps.entry())).await;
    let entries: Result<Vec<_>, _> = entries.into_iter().collect();
    let is_open = |(entry, _): &Member<'_>| {
        let last = entry.transaction.as_ref().map(|transaction| transaction.hash);
        (entry.id(), Err(Rejection::pending_by(entry, journalled.or(last))))
    };
    let entries = entries.map_err(|_| members.iter().map(is_open).collect::<Vec<_>>())?;
    Ok(entries.into_iter().zip(members).map(|(entry, (_, steps))| (entry, steps)).collect())
}

#[cfg(test)]
mod tests {
    use x402_core::Amount;

    use super::*;
    use crate::ledger::tests::payment;
    use crate::ledger::{Answer, Ledger as _, MemoryLedger, RequestId};

    fn transaction(byte: u8) -> Transaction {
        Transaction { hash: TxHash([byte; 32]), raw: vec![byte] }
    }

    /// Until a transaction is journalled for all, the bytes of the one that it replaces are there.
    #[tokio::test]
    async fn who_has_the_bytes_is_written_last_and_keeps_the_next() {
        let ledger = MemoryLedger::new();
        let mut members = Vec::new();
        for number in 1..=3 {
            let checked = payment(number);
            ledger.claim(Entry::new(&checked, RequestId([0; 32]), 1).unwrap()).await.unwrap();
            let raw = if number == 2 { vec![1] } else { Vec::new() };
            let sent = Transaction { raw, ..transaction(1) };
            let answer =
                Answer { status: 200, headers: Vec::new(), body: None, request_body: [0; 32] };
            let worked = Step::Worked(answer, Amount::from_units(10_000));
            for step in [worked, Step::Journalled(sent)] {
                ledger.apply(checked.id(), step).await.unwrap();
            }
            let entry = ledger.find(checked.id()).await.unwrap().unwrap();
            members.push((entry, Steps::new(&ledger, checked.id())));
        }
        let next = transaction(2);
        Together(&members).record(&next).await.unwrap();
        for (index, (_, steps)) in members.iter().enumerate() {
            let now = steps.entry().await.unwrap();
            assert_eq!(
                (now.transaction.as_ref().unwrap().hash, now.has_bytes()),
                (next.hash, index == 1)
            );
        }
        // Nobody had any: the first.
        let bare = Transaction { raw: Vec::new(), ..transaction(3) };
        for (_, steps) in &members {
            ledger.apply(steps.id(), Step::Journalled(bare.clone())).await.unwrap();
        }
        let members: Vec<_> = reload(members, None).await.unwrap();
        Together(&members).record(&transaction(4)).await.unwrap();
        let first = members[0].1.entry().await.unwrap();
        assert!(first.has_bytes());
    }
}
