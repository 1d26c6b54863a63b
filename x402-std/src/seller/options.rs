use core::fmt;
use core::time::Duration;
use std::sync::Arc;
use std::time::SystemTime;

use x402_core::secp256k1::Vartime;
use x402_core::{Address, Amount, ChainId, Moment, Recover};

use super::losses::LossLimits;

/// What tells a seller the time, in Unix seconds.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How payments are settled whose answers were given before ([`Settle::Later`](crate::ledger::Settle)).
#[derive(Clone, Debug)]
pub struct Later {
    /// How many payments one transaction settles at most.
    pub max_batch: usize,
    /// How long a payment waits for others.
    pub max_delay: Duration,
    /// How much one payer may owe of each token, in atomic units: chain, token, amount. Of a token that
    /// is not listed, nothing. Who would owe more pays first.
    pub max_owed: Vec<(ChainId, Address, Amount)>,
}

impl Later {
    pub(super) fn max_owed(&self, (chain_id, asset): (ChainId, Address)) -> Amount {
        let listed = self.max_owed.iter().find(|row| (row.0, row.1) == (chain_id, asset));
        listed.map_or(Amount::ZERO, |row| row.2)
    }
}

impl Default for Later {
    fn default() -> Self {
        Self { max_batch: 100, max_delay: Duration::from_secs(2), max_owed: Vec::new() }
    }
}

/// How payments are settled that come at the same time, and before their work
/// ([`Settle::First`](crate::ledger::Settle)).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Together {
    /// How many payments one transaction settles at most, of those that can be in one; with one, each has a
    /// transaction of its own, and they are sent at the same time.
    pub max_batch: usize,
    /// How long a payment waits for others at most: while others are being settled, and, for ten milliseconds
    /// at most, for those who were settled just before.
    pub max_delay: Duration,
}

/// How a seller goes about it.
#[derive(Clone)]
pub struct SellerOptions {
    /// How long a request waits for the money's arrival before it is answered "pending".
    pub settle_timeout: Duration,
    /// How many seconds before its end an authorization is refused, at least: on a chain whose blocks
    /// take long, two of them have to come before.
    pub margin_seconds: u32,
    /// How often, at most and at least, the chain is asked for a receipt; the pause doubles.
    pub poll: (Duration, Duration),
    /// Whether payers may be contracts ([EIP-1271](https://eips.ethereum.org/EIPS/eip-1271)). Then a
    /// signature that is not the payer's key's costs a call of the chain: is there a contract?
    pub contract_wallets: bool,
    /// Who may deploy payers' wallets that are not on the chain yet
    /// ([ERC-6492](https://eips.ethereum.org/EIPS/eip-6492)): each is called, by Multicall3, with
    /// what the payer wants.
    pub wallet_factories: Vec<Address>,
    /// How much gas may be lost by transactions that move nothing.
    pub loss_limits: LossLimits,
    /// How what is owed is settled.
    pub later: Later,
    /// How payments are settled that come together; without it, each as it comes.
    pub together: Option<Together>,
    /// Whether a second payment of a payer's for the same request waits while the outcome of the first is
    /// not known.
    pub holds_back: bool,
    /// Whether a payment is taken whose authorization somebody else has used before it was presented, if
    /// that moved its money to the seller and its payer proves to be the payer. Not for a facilitator:
    /// others may have been paid by it.
    pub redeems: bool,
    /// The clock.
    pub clock: Clock,
    /// Who recovers signers.
    pub recover: Arc<dyn Recover + Send + Sync>,
}

impl SellerOptions {
    /// What suits a facilitator, who serves nobody: what a payer has under way with one seller is no matter
    /// of another's, and who was paid by a stranger's transaction is not known to him.
    #[must_use]
    pub fn of_facilitator() -> Self {
        Self { holds_back: false, redeems: false, ..Self::default() }
    }
}

impl Default for SellerOptions {
    fn default() -> Self {
        Self {
            settle_timeout: Duration::from_secs(30),
            margin_seconds: Moment::DEFAULT_MARGIN_SECONDS,
            poll: (Duration::from_millis(10), Duration::from_secs(1)),
            contract_wallets: false,
            wallet_factories: Vec::new(),
            loss_limits: LossLimits::default(),
            later: Later::default(),
            together: None,
            holds_back: true,
            redeems: true,
            clock: Arc::new(system_time),
            recover: Arc::new(Vartime),
        }
    }
}

impl fmt::Debug for SellerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SellerOptions")
            .field("settle_timeout", &self.settle_timeout)
            .field("margin_seconds", &self.margin_seconds)
            .field("poll", &self.poll)
            .field("contract_wallets", &self.contract_wallets)
            .field("wallet_factories", &self.wallet_factories)
            .field("loss_limits", &self.loss_limits)
            .field("later", &self.later)
            .field("together", &self.together)
            .field("holds_back", &self.holds_back)
            .field("redeems", &self.redeems)
            .finish_non_exhaustive()
    }
}

pub(crate) fn system_time() -> u64 {
    // A clock before 1970 is as good as none: every payment then looks not yet valid.
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs())
}
