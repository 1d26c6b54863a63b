//! Several transactions that are sent at the same time, with nonces that follow each other.

use futures_util::future::join_all;

use super::RpcChain;
use super::account::State;
use super::fault::Fault;
use super::fees::Fees;
use super::send::{Attempt, too_many};
use crate::chain::{Call, ChainError, Journal, Transaction, TxHash};
use crate::ledger::LedgerError;

/// What became of one transaction of a train.
enum Car {
    Sent(Result<TxHash, ChainError>),
    /// The node wants another nonce, or other fees.
    Again(u64, Fault),
}

impl RpcChain {
    /// Sends each payment by a transaction of its own, all in one turn: nobody else takes a nonce in
    /// between. They are journalled at the same time, and sent when all are, at the same time too.
    pub(super) async fn send_each(
        &self,
        calls: &[(Call, &dyn Journal)],
    ) -> Vec<Result<TxHash, ChainError>> {
        let Some(mut state) = self.account.turn().await else {
            return calls.iter().map(|_| Err(too_many())).collect();
        };
        let deploys = calls.iter().any(|(call, _)| call.deploys);
        let (first, fees) = match self.terms(&mut state, 0, self.options.fee_cap(deploys)).await {
            Ok(terms) => terms,
            Err(error) => {
                let unavailable = || ChainError::Unavailable(error.to_string());
                return calls.iter().map(|_| Err(unavailable())).collect();
            }
        };
        let signed: Vec<_> = calls
            .iter()
            .zip(first..)
            .map(|((call, _), nonce)| self.account.sign(call, nonce, fees))
            .collect();
        let recorded = calls.iter().zip(&signed).map(|((_, journal), page)| journal.record(page));
        let recorded = join_all(recorded).await;
        if recorded.iter().any(Result::is_err) {
            // Nothing was sent, so no nonce is used.
            return recorded.into_iter().map(|recorded| Err(not_journalled(recorded))).collect();
        }
        let cars = self.send_train(&mut state, first, &signed).await;
        self.fill_holes(&mut state, first, fees, &cars).await;
        let mut sent = Vec::with_capacity(cars.len());
        for (car, (call, journal)) in cars.into_iter().zip(calls) {
            sent.push(match car {
                Car::Sent(sent) => sent,
                Car::Again(at_least, why) => {
                    tracing::debug!(%why, at_least, "sent again");
                    self.try_to_send(&mut state, call, *journal, (at_least, Some(why))).await
                }
            });
        }
        sent
    }

    /// Sends them; afterwards the next nonce is known where all were taken.
    async fn send_train(&self, state: &mut State, first: u64, signed: &[Transaction]) -> Vec<Car> {
        // Unknown while they are under way, and so for good if this future is dropped.
        state.next_nonce = None;
        let answers = join_all(signed.iter().map(|page| self.nodes.send(&page.raw))).await;
        let mut is_whole = true;
        let mut cars = Vec::with_capacity(signed.len());
        for ((answer, page), nonce) in answers.into_iter().zip(signed).zip(first..) {
            let attempt = self.judge_answer(state, nonce, page, answer);
            is_whole &= matches!(attempt, Attempt::Taken);
            cars.push(match attempt {
                Attempt::Taken => Car::Sent(Ok(page.hash)),
                Attempt::Failed(error) => Car::Sent(Err(error)),
                Attempt::Again { at_least, why } => Car::Again(at_least, why),
            });
        }
        if !is_whole {
            // Only the node knows.
            state.next_nonce = None;
        }
        cars
    }

    /// A nonce that no transaction has stops those after it. Where the node has refused one, and taken a
    /// later one, it is used up by a transaction that does nothing.
    async fn fill_holes(&self, state: &mut State, first: u64, fees: Fees, cars: &[Car]) {
        let is_taken = |car: &Car| matches!(car, Car::Sent(Ok(_)));
        let Some(last) = cars.iter().rposition(is_taken) else { return };
        for (car, nonce) in cars.iter().take(last).zip(first..) {
            let is_free = matches!(car, Car::Again(..) | Car::Sent(Err(ChainError::Unsent(_))));
            if is_free {
                self.use_up(state, nonce, fees, "the node has refused it, and taken a later one")
                    .await;
            }
        }
        state.next_nonce = state.next_nonce.filter(|_| cars.iter().all(is_taken));
    }
}

/// Of several that were to be journalled, one was not.
fn not_journalled(recorded: Result<(), LedgerError>) -> ChainError {
    match recorded {
        Err(error) => ChainError::Journal(error),
        Ok(()) => ChainError::Unsent("another could not be journalled".into()),
    }
}
