//! What `x402 ledger` is told.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{EXIT_CODES, LedgerImport};

const LEDGER_EXAMPLES: &str = "\
Examples:
  x402 ledger list --config x402.yaml --open
  x402 ledger show 0x89c91c789e57059b --config x402.yaml
  x402 ledger export --config x402.yaml --from 2026-09-01 --to 2026-10-01 > september.csv
  x402 ledger resolve --config x402.yaml
  x402 ledger resolve --config x402.yaml --payment 0x89c91c789e57059b --accept 0x<transaction>
  x402 ledger resolve --config x402.yaml --credit 0x89c91c789e57059b
  x402 ledger forgive 0x89c91c789e57059b --config x402.yaml
  x402 ledger credits --config x402.yaml
  x402 ledger credits rotate 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --config x402.yaml
  x402 ledger refund 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --config x402.yaml --key-file pay_to.key
  x402 ledger refund 0x7099… --payment 0x89c91c789e57059b --config x402.yaml --key-file pay_to.key
  x402 ledger import handed-out.txt --config x402.yaml

list, show, export and credits read a file as it is, also while its gateway runs. resolve asks the chain
what became of everything that is open, which a gateway that runs does by itself; it needs the file
alone. credits rotate ends the names by which a payer's credit is drawn on, and tells a new one; what is
in the balance, and held of it, stays. It needs a file alone, too, and the key or the secret of the
gateway, which signs names. With --accept resolve takes the operator's word for what the token's logs do not say: which transaction
of somebody else's has paid for a payment. So does forgive, by which a payer who was served and did not pay (settle: later) may buy again;
and so does refund. It needs the key of pay_to, which signs, and that of the account that pays the gas.
So does import: each line is a payment that a device has served (0x and the hex of its record). It is
checked as if it came in a request, recorded as owed, and settled together with the others. Unless
all lines are good, nothing is imported; --skip-bad passes over those that are not. A line that was
imported before does nothing. 0: all are settled; 1: one is refused; 5: one is pending, see resolve.
What was paid and never served stays, however old it is, until its payer comes back and is served, or resolve
--credit makes it his credit, or refund --payment gives it back on the chain: one of these, and once.
A URL with a password belongs in the file, or in X402_LEDGER: others can read a flag.";

/// Look at the books: what was paid, what is open.
#[derive(Args, Debug)]
#[command(after_help = format!("{LEDGER_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct LedgerArgs {
    #[command(subcommand)]
    pub(crate) command: LedgerCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    List(LedgerList),
    Show(LedgerShow),
    Export(LedgerExport),
    Resolve(LedgerResolve),
    Forgive(LedgerForgive),
    Credits(LedgerCredits),
    Refund(LedgerRefund),
    Import(LedgerImport),
}

/// Which ledger.
#[derive(Args, Debug)]
pub(crate) struct LedgerSource {
    /// The gateway's configuration file.
    #[arg(long, value_name = "FILE", required_unless_present = "ledger")]
    pub(crate) config: Option<PathBuf>,
    /// The ledger, instead of what the file says: a file, or a database's URL.
    #[arg(long, env = "X402_LEDGER", hide_env_values = true, value_name = "FILE|URL")]
    pub(crate) ledger: Option<String>,
}

/// List payments, the oldest first.
#[derive(Args, Debug)]
pub(crate) struct LedgerList {
    #[command(flatten)]
    pub(crate) source: LedgerSource,
    /// Those in this state only.
    #[arg(long)]
    pub(crate) state: Option<StateArg>,
    /// Those only that are not over: of which the chain still has to say what became of them, and those that
    /// were paid and not served, nor given back.
    #[arg(long)]
    pub(crate) open: bool,
    /// The last so many.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// How to print them: a table on a terminal, CSV elsewhere, unless it is said.
    #[arg(long)]
    pub(crate) format: Option<FormatArg>,
}

/// Show all that is known of a payment, as JSON.
#[derive(Args, Debug)]
pub(crate) struct LedgerShow {
    /// Its id, its transaction, or the payer's nonce.
    #[arg(value_name = "0x…")]
    pub(crate) what: String,
    #[command(flatten)]
    pub(crate) source: LedgerSource,
}

/// Export payments for the books, the oldest first, and the sum of what was received to stderr.
#[derive(Args, Debug)]
pub(crate) struct LedgerExport {
    #[command(flatten)]
    pub(crate) source: LedgerSource,
    /// Those that were claimed then or later: a date, a time in UTC, or Unix seconds.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Those that were claimed before.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// How to print them.
    #[arg(long, default_value = "csv")]
    pub(crate) format: FormatArg,
}

/// Ask the chain what became of everything that is open, put back what is held of payers' credit for
/// work that nobody does any more, and list what was paid and not served.
#[derive(Args, Debug)]
pub(crate) struct LedgerResolve {
    /// The gateway's configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The ledger, instead of what the file says.
    #[arg(long, value_name = "FILE|URL")]
    pub(crate) ledger: Option<String>,
    /// Take this transaction for the one that paid for --payment: where the program cannot tell, and says
    /// so. You have looked at it.
    #[arg(long, value_name = "TRANSACTION", requires = "payment")]
    pub(crate) accept: Option<String>,
    /// The id of that payment, as `x402 ledger list --open` has it.
    #[arg(long, value_name = "ID", requires = "accept")]
    pub(crate) payment: Option<String>,
    /// Make the payment with this id its payer's credit, all of it: one that was paid and not served. It is
    /// not served from then on.
    #[arg(long, value_name = "ID", conflicts_with = "accept")]
    pub(crate) credit: Option<String>,
    /// Take a public development key, on a chain that is not on this machine.
    #[arg(long)]
    pub(crate) allow_dev_key: bool,
}

/// Give up what is owed for a payment that was served and not paid.
#[derive(Args, Debug)]
pub(crate) struct LedgerForgive {
    /// Its id.
    #[arg(value_name = "0x…")]
    pub(crate) what: String,
    #[command(flatten)]
    pub(crate) source: LedgerSource,
}

/// List what payers have paid and not used, what of it is held for work that is under way, and what they owe
/// that it is set off against before any of it is drawn or given back.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct LedgerCredits {
    #[command(subcommand)]
    pub(crate) command: Option<CreditsCommand>,
    #[command(flatten)]
    pub(crate) source: LedgerSource,
    /// How to print them: a table on a terminal, CSV elsewhere, unless it is said.
    #[arg(long)]
    pub(crate) format: Option<FormatArg>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CreditsCommand {
    Rotate(CreditsRotate),
}

/// Replace the names of a payer's credit: the old ones are refused from now on, and the new ones are told,
/// which are for the payer alone. The credit itself stays.
#[derive(Args, Debug)]
pub(crate) struct CreditsRotate {
    /// The payer's address.
    #[arg(value_name = "PAYER")]
    pub(crate) payer: String,
    /// The gateway's configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The ledger, instead of what the file says.
    #[arg(long, env = "X402_LEDGER", hide_env_values = true, value_name = "FILE|URL")]
    pub(crate) ledger: Option<String>,
    /// How to print them: a table on a terminal, CSV elsewhere, unless it is said.
    #[arg(long)]
    pub(crate) format: Option<FormatArg>,
}

/// Give a payer's credit back on the chain, without what he owes, or a payment that was not served; or go on
/// with what was begun, without paying twice.
#[derive(Args, Debug)]
pub(crate) struct LedgerRefund {
    /// The payer's address.
    #[arg(value_name = "PAYER")]
    pub(crate) payer: String,
    /// The gateway's configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// So much only, in units of the asset: 0.05.
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) amount: Option<String>,
    /// No credit, but this payment, all of it: one that was paid and not served, by its id. It is not served
    /// from then on.
    #[arg(long, value_name = "ID", conflicts_with = "amount")]
    pub(crate) payment: Option<String>,
    /// The file with the key of pay_to; without it, X402_REFUND_KEY has the key.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// The ledger, instead of what the file says.
    #[arg(long, value_name = "FILE|URL")]
    pub(crate) ledger: Option<String>,
    /// Take a public development key, on a chain that is not on this machine.
    #[arg(long)]
    pub(crate) allow_dev_key: bool,
}

/// How payments and balances are printed.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum FormatArg {
    /// For people.
    Table,
    /// RFC 4180.
    Csv,
    /// One array.
    Json,
}

/// Where a payment stands.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum StateArg {
    Claimed,
    /// The work is done, and nothing was sent for it yet.
    Owed,
    Broadcast,
    Pending,
    Settled,
    Served,
    /// It was not served, and is given back.
    Returned,
    Failed,
}

impl From<StateArg> for x402_core::state::State {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Claimed => Self::Claimed,
            StateArg::Owed => Self::Worked,
            StateArg::Broadcast => Self::Broadcast,
            StateArg::Pending => Self::Pending,
            StateArg::Settled => Self::Settled,
            StateArg::Served => Self::Served,
            StateArg::Returned => Self::Returned,
            StateArg::Failed => Self::Failed,
        }
    }
}
