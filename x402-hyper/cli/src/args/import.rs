use std::path::PathBuf;

use clap::Args;

/// Take in the payments that a device has served and handed out, and settle them.
#[derive(Args, Debug)]
pub(crate) struct LedgerImport {
    /// What the device handed out: a record in each line, 0x and hex; or - for stdin.
    pub(crate) file: PathBuf,
    /// The gateway's configuration file, which says who is paid, with what, and where.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The ledger, instead of what the file says.
    #[arg(long, value_name = "FILE|URL")]
    pub(crate) ledger: Option<String>,
    /// Pass over lines that are no good payments, rather than take in nothing.
    #[arg(long)]
    pub(crate) skip_bad: bool,
    /// Take a public development key, on a chain that is not on this machine.
    #[arg(long)]
    pub(crate) allow_dev_key: bool,
}
