//! With a chain to look at, the facilitator's word alone is worth nothing.

use x402_core::settlement::{self, AUTHORIZATION_USED_TOPIC, Log, Submitter, TRANSFER_TOPIC};
use x402_core::{Claimed, LogOrder, Settled};

use super::*;
use crate::chain::{
    Block, Call, Chain, ChainError, Journal, Outcome, PaidLog, Sent, Settlement, Transaction, Usage,
};

/// What the chain shows; the last stays.
#[derive(Clone, Copy, Debug)]
enum Shows {
    /// This log of the facilitator's transaction has paid, unless it is taken.
    Log(u32),
    Unused,
    Expired,
    Void,
    Undecided,
    Down,
}

struct Watched {
    /// By the transaction that the facilitator names.
    outcome: Shows,
    /// Whoever has sent it.
    find: Mutex<VecDeque<Shows>>,
}

impl Watched {
    fn new(outcome: Shows, find: &[Shows]) -> Arc<Self> {
        Arc::new(Self { outcome, find: Mutex::new(find.iter().copied().collect()) })
    }
}

fn settled(payment: &Claimed) -> Settled {
    let signed = payment.transfer();
    let [from, to] = [signed.from(), signed.to()].map(|address| address.to_word());
    let value = payment.amount().to_be_bytes();
    let address = payment.asset();
    let used = [AUTHORIZATION_USED_TOPIC, from, *signed.nonce().as_bytes()];
    let logs = [
        Log { address, topics: &used, data: &[] },
        Log { address, topics: &[TRANSFER_TOPIC, from, to], data: &value },
    ];
    let order = LogOrder::TransferNext;
    let receipt =
        settlement::Receipt { succeeded: true, logs: &logs, submitter: Submitter::Own, order };
    payment.settled(&receipt, |_| false).unwrap().settled
}

fn log(position: u32) -> PaidLog {
    PaidLog { block: Block { number: 7, hash: [7; 32] }, position }
}

fn down<T>() -> Result<T, ChainError> {
    Err(ChainError::Unavailable("down".into()))
}

impl Chain for Watched {
    fn chain_id(&self) -> ChainId {
        ChainId::BASE
    }

    fn account(&self) -> Address {
        Address::ZERO
    }

    fn has_code(&self, _: Address) -> BoxFuture<'_, Result<bool, ChainError>> {
        Box::pin(async { Ok(false) })
    }

    fn simulate<'a>(&'a self, _: &'a Call) -> BoxFuture<'a, Result<(), ChainError>> {
        Box::pin(async { down() })
    }

    fn broadcast<'a>(
        &'a self,
        _: &'a Call,
        _: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<TxHash, ChainError>> {
        Box::pin(async { down() })
    }

    fn rebroadcast<'a>(
        &'a self,
        _: &'a Call,
        _: &'a Transaction,
        _: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<TxHash, ChainError>> {
        Box::pin(async { down() })
    }

    fn outcome<'a>(
        &'a self,
        payment: &'a Claimed,
        sent: Sent<'a>,
    ) -> BoxFuture<'a, Result<Outcome, ChainError>> {
        // Its calldata is not the seller's.
        assert!(!sent.is_own);
        Box::pin(async move {
            Ok(match self.outcome {
                Shows::Log(at) if sent.taken.contains(&at) => Outcome::Reverted,
                Shows::Log(at) => Outcome::Settled(settled(payment), log(at)),
                Shows::Undecided => Outcome::Undecided,
                _ => Outcome::Unknown,
            })
        })
    }

    fn find<'a>(
        &'a self,
        payment: &'a Claimed,
        _: u64,
        taken: &'a [(TxHash, u32)],
    ) -> BoxFuture<'a, Result<Usage, ChainError>> {
        Box::pin(async move {
            let mut find = self.find.lock().unwrap();
            let shows = if find.len() > 1 { find.pop_front().unwrap() } else { find[0] };
            Ok(match shows {
                Shows::Log(at) if taken.contains(&(HASH, at)) => Usage::Unused,
                Shows::Log(at) => {
                    let settlement = Settlement { transaction: HASH, log: Some(log(at)) };
                    Usage::Settled(settled(payment), settlement)
                }
                Shows::Unused => Usage::Unused,
                Shows::Expired => Usage::Expired,
                Shows::Void => Usage::Void,
                Shows::Undecided => Usage::Undecided(HASH),
                Shows::Down => return down(),
            })
        })
    }
}

fn shop(does: &[Does], chain: &Arc<Watched>) -> Shop {
    let scripted = Scripted { does: queue(does), ..Scripted::default() };
    Shop::with(scripted, |rail| rail.confirmed_by(Arc::clone(chain) as _))
}

const POOR: Does = Does::Refuses("invalid_exact_evm_insufficient_balance");

#[tokio::test]
async fn who_moves_the_money_and_says_no_is_not_believed() {
    let chain = Watched::new(Shows::Unused, &[Shows::Log(3)]);
    let shop = shop(&[POOR], &chain);
    assert_eq!(shop.admit().await.unwrap(), HASH);
    assert_eq!(shop.state().await, State::Settled);
}

#[tokio::test]
async fn fresh_terms_go_out_only_where_the_chain_proves_that_nothing_moves() {
    for open in [Shows::Unused, Shows::Undecided, Shows::Down] {
        for does in [POOR, Does::Settles, Does::Loses] {
            let chain = Watched::new(Shows::Unused, &[open]);
            let shop = shop(&[does], &chain);
            let refusal = shop.admit().await.unwrap_err().refusal;
            assert_eq!(refusal, Refusal::Pending, "{open:?}");
            assert_eq!(shop.state().await, State::Pending);
        }
    }
    for (proof, error) in
        [(Shows::Expired, Error::Expired), (Shows::Void, Error::AuthorizationUsed)]
    {
        for does in [POOR, Does::Settles, Does::Loses] {
            let chain = Watched::new(Shows::Unused, &[proof]);
            let shop = shop(&[does], &chain);
            // And again, when the payment comes again.
            for _ in 0..2 {
                let refusal = shop.admit().await.unwrap_err().refusal;
                assert_eq!(refusal, Refusal::Payment(error));
                assert_eq!(shop.state().await, State::Failed);
            }
            assert_eq!(shop.facilitator.asked.load(Ordering::SeqCst), 1);
        }
    }
}

#[tokio::test]
async fn what_is_open_ends_by_the_chains_proof() {
    // Two looks each time: before the facilitator is asked, and after.
    let finds = [Shows::Unused, Shows::Unused, Shows::Unused, Shows::Expired];
    let chain = Watched::new(Shows::Unused, &finds);
    let shop = shop(&[Does::Loses], &chain);
    assert_eq!(shop.admit().await.unwrap_err().refusal, Refusal::Pending);
    // Whether the time is past says the chain, and not this clock.
    shop.now.store(NOW + 10_000, Ordering::SeqCst);
    assert_eq!(shop.seller.resolve_open().await.unwrap(), 1);
    assert_eq!(shop.seller.resolve_open().await.unwrap(), 0);
    assert_eq!(shop.state().await, State::Failed);
}

#[tokio::test]
async fn one_log_of_a_facilitators_transaction_pays_once() {
    // The transaction that it names, or the one that is found: both hold one transfer.
    for (outcome, find) in [(Shows::Log(3), Shows::Unused), (Shows::Unused, Shows::Log(3))] {
        let chain = Watched::new(outcome, &[find]);
        let shop = shop(&[Does::Settles], &chain);
        assert_eq!(shop.admit_of(1).await.unwrap(), HASH);
        let rejection = shop.admit_of(2).await.unwrap_err();
        assert_eq!((rejection.refusal, rejection.transaction), (Refusal::Pending, Some(HASH)));
        assert_eq!(shop.seller.resolve_open().await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_token_whose_logs_may_be_in_any_order_waits_for_the_operator() {
    let chain = Watched::new(Shows::Undecided, &[Shows::Undecided]);
    let shop = shop(&[Does::Settles], &chain);
    assert_eq!(shop.admit().await.unwrap_err().refusal, Refusal::Pending);
    assert_eq!(shop.state().await, State::Pending);
}
