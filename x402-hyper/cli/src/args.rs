/*!
What the program is told.

# Exit codes

| code | means |
|---|---|
| 0 | done; what was paid, the seller proves by a transaction |
| 1 | failed: no connection, an answer of status 400 or above (with "not charged", or paid for), a vector or a demonstration that is wrong |
| 2 | the command line, a key or the configuration is wrong; nothing was sent |
| 3 | not paid: the terms break a limit, or cannot be read |
| 4 | the seller refused the payment, for a reason by which the money cannot have moved |
| 5 | not served, and money has moved or may have: `pay --resume` presents the same payment again |
| 6 | answered, but the seller names no transaction: the payment is unproven, or still pending |
| 7 | imported, and of what was imported something was sold here, too: one of the two sales is not paid |
| 8 | done, and what was to be printed could not be written; of `ledger export`, also where its reader closed the pipe |
*/

mod import;
mod ledger;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::price::PriceArgs;
use crate::simulate::SimulateArgs;

pub(crate) use import::LedgerImport;
pub(crate) use ledger::{
    CreditsCommand, CreditsRotate, FormatArg, LedgerArgs, LedgerCommand, LedgerCredits,
    LedgerExport, LedgerForgive, LedgerList, LedgerRefund, LedgerResolve, LedgerShow, LedgerSource,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done; what was paid, the seller proves by a transaction
  1  failed: no connection, an answer of status 400 or above (with \"not charged\", or paid for), a
     failing vector or demonstration
  2  the command line, a key or the configuration is wrong; nothing was sent
  3  not paid: the terms break a limit, or cannot be read
  4  the seller refused the payment, for a reason by which the money cannot have moved
  5  not served, and money has moved or may have: pay --resume presents the same payment again
  6  answered, but the seller names no transaction: the payment is unproven, or still pending
  7  imported, and of what was imported something was sold here, too: one of the two sales is not paid
  8  done, and what was to be printed could not be written; of ledger export, also where its reader
     closed the pipe. Of pay, the file of the payment stays: the same command asks again, and pays once

Environment:
  X402_KEY   the private key, in hex (serve: of the account that pays the gas; pay: of the payer)
  X402_LOG   what is logged to stderr: error, warn, info, debug, trace, or a filter; below info, what
             this program says alone, and nothing of its libraries";

const ROOT_EXAMPLES: &str = "\
Examples:
  x402 demo                                   see a payment happen, offline
  x402 serve --config x402.yaml               put a price on an API
  x402 pay http://127.0.0.1:4021/api/analyze --max 0.05 -d 'some words'";

/// HTTP 402 payments: sell, buy, try.
#[derive(Debug, Parser)]
#[command(name = "x402", version, after_help = format!("{ROOT_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(ServeArgs),
    Facilitator(FacilitatorArgs),
    Ledger(LedgerArgs),
    Price(PriceArgs),
    Simulate(SimulateArgs),
    Pay(PayArgs),
    Quote(QuoteArgs),
    Devnet(DevnetArgs),
    Demo(DemoArgs),
    Vectors(VectorsArgs),
}

const SERVE_EXAMPLES: &str = "\
Examples:
  x402 serve --config x402.yaml
  X402_KEY=$(cat settler.key) x402 serve --config x402.yaml --listen 0.0.0.0:4021

The file, its smallest form:
  listen: 127.0.0.1:4021
  upstream: http://127.0.0.1:3000
  pay_to: \"0x209693Bc6afc0C5328bA36FaF03C514EF312287C\"
  network: ethereum
  asset: USDC
  chain: {rpc: \"http://127.0.0.1:8545\", key_file: ./settler.key}
  ledger: ./x402.redb
  routes:
    - path: /api/analyze
      methods: [POST]
      pricing: {model: \"per_request\", amount: \"0.01\", currency: \"USDC\"}

Several gateways of one recipient share a ledger: postgres://user:password@host/database, or
redis://:password@host. Each has a key of its own to pay the gas with.

Above the file: X402_LISTEN, X402_UPSTREAM, X402_PAY_TO, X402_NETWORK, X402_ASSET, X402_RPC, X402_KEY,
X402_KEY_FILE and X402_LEDGER; above them, the flags. The key has no flag: others could read it. A file
with a key or a token is a regular one that only you can read; 0440 and 0444 are taken in a folder that
only its owner can enter (systemd's credentials).

While a node or the facilitator cannot be reached, it waits, says so, and does not listen (on_start: wait);
on_start: exit ends it.";

/// Run the gateway: a paid door in front of an HTTP server.
#[derive(Args, Debug)]
#[command(after_help = SERVE_EXAMPLES)]
pub(crate) struct ServeArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Where to listen, instead of what the file says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    /// The server to stand before.
    #[arg(long, value_name = "URL")]
    pub(crate) upstream: Option<String>,
    /// Who is paid.
    #[arg(long, value_name = "0x…")]
    pub(crate) pay_to: Option<String>,
    /// The network: a name (ethereum, base-sepolia) or eip155:ID.
    #[arg(long)]
    pub(crate) network: Option<String>,
    /// The asset, by its symbol.
    #[arg(long, value_name = "SYMBOL")]
    pub(crate) asset: Option<String>,
    /// The node's JSON-RPC URL. Others can read a flag: one that holds a key belongs in the file.
    #[arg(long, value_name = "URL")]
    pub(crate) rpc: Option<String>,
    /// The file with the key that pays the gas.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<String>,
    /// Where payments are recorded: a file, memory, or the URL of PostgreSQL or Redis. Others can read
    /// a flag: a URL with a password belongs in the file.
    #[arg(long, value_name = "FILE|URL")]
    pub(crate) ledger: Option<String>,
    /// Let the well-known development keys pay the gas on a chain that is not on this machine.
    #[arg(long)]
    pub(crate) allow_dev_key: bool,
}

/// The request that is to be sent.
#[derive(Args, Debug)]
pub(crate) struct RequestArgs {
    /// The method; GET, or POST with a body.
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    pub(crate) method: Option<String>,
    /// A header field; may be given more than once.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// The body: a text, @file, or - for stdin. Its type is JSON if it is JSON, else text, unless
    /// a header says otherwise.
    #[arg(short = 'd', long = "data", value_name = "BODY", allow_hyphen_values = true)]
    pub(crate) data: Option<String>,
    /// How long one request may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
}

const FACILITATOR_EXAMPLES: &str = "\
Examples:
  x402 facilitator --config facilitator.yaml

The whole of a minimal file:
  listen: 127.0.0.1:4022
  ledger: ./facilitator.redb
  chains:
    - network: base-sepolia
      rpc: http://127.0.0.1:8545
      key_file: ./settler.key
      assets: [USDC]

Payments that are to be settled at the same time share a transaction, by Multicall3, each judged by its
own transfer; max_batch, from 1 to 100, says how many (100). With 1, each has a transaction of its own.
While a node cannot be reached, it waits, says so, and does not listen; on_start: exit ends it.

Who is to be reached from elsewhere needs bearer tokens: token_file, with one token, or with a line
NAME TOKEN for each seller. A payment's settlement succeeds once; what became of one tells
GET /settlements/TRANSACTION, to the seller who asked for it. A seller's file names it by
facilitator: {url: \"https://…\", token_file: ./token}.";

/// Verify and settle payments for other sellers.
#[derive(Debug, Args)]
#[command(after_help = FACILITATOR_EXAMPLES)]
pub(crate) struct FacilitatorArgs {
    /// The facilitator's file.
    #[arg(long, value_name = "FILE", default_value = "facilitator.yaml")]
    pub(crate) config: PathBuf,
    /// Take a public development key, on a chain that is not on this machine, for a test.
    #[arg(long)]
    pub(crate) allow_dev_key: bool,
}

const PAY_EXAMPLES: &str = "\
Examples:
  X402_KEY=$(cat buyer.key) x402 pay http://127.0.0.1:4021/api/analyze --max 0.05 -d 'some words'
  x402 pay https://api.example.com/weather --max 0.01 --key-file buyer.key --asset USDC --network base
  x402 pay https://api.example.com/weather --max 0.01 --key-file buyer.key --json | jq .payment
  x402 pay --resume x402-payment-0a1b2c3d4e5f6071.json

The answer's body goes to stdout, everything else to stderr. A key file must be closed to others
(chmod 600). At most one payment is signed. Before it is sent it is kept in a file, with its request
(method, URL, -H and -d), here or in the folder for temporary files; where none can be written, nothing is
paid. Where nothing was served for it (exit code 5) the file stays, and the same command, or --resume,
presents the same payment again; what --resume is told of -X, -H and -d has to be the same. Else it goes.

What the budget counts is what was signed, also where the seller refuses it: a signature can be used until
it ends. What was never used by then ceases to count where --rpc names a node that says so.";

/// Send a request, and pay for it if the price is within the limits.
#[derive(Args, Debug)]
#[command(after_help = format!("{PAY_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct PayArgs {
    /// What to ask for.
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    pub(crate) url: Option<String>,
    /// The most to pay, in units of the asset.
    #[arg(
        long,
        value_name = "AMOUNT",
        required_unless_present = "resume",
        conflicts_with = "resume"
    )]
    pub(crate) max: Option<String>,
    /// The file with the payer's key; without it, the variable X402_KEY.
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub(crate) key_file: Option<PathBuf>,
    /// Pay nobody but this address.
    #[arg(long, value_name = "0x…", conflicts_with = "resume")]
    pub(crate) recipient: Option<String>,
    /// Pay with nothing but this asset, a symbol or an address; repeated, with the first that is
    /// offered.
    #[arg(long, conflicts_with = "resume")]
    pub(crate) asset: Vec<String>,
    /// Count what is signed in this file, for the limits that follow: a new one, or one that is a budget.
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub(crate) budget: Option<PathBuf>,
    /// The most to pay to one host, ever, in units of the asset.
    #[arg(long, value_name = "AMOUNT", requires = "budget")]
    pub(crate) max_per_host: Option<String>,
    /// The most to pay in one day (UTC), in units of the asset.
    #[arg(long, value_name = "AMOUNT", requires = "budget")]
    pub(crate) max_per_day: Option<String>,
    /// A node of the chain, asked which payments that have run out were never used: those cease to count.
    /// Others can read a flag: a URL that holds a key belongs in X402_RPC.
    #[arg(long, value_name = "URL", requires = "budget")]
    pub(crate) rpc: Option<String>,
    /// Pay in no dialect but this.
    #[arg(long, conflicts_with = "resume")]
    pub(crate) dialect: Option<DialectArg>,
    /// Sign permits too (Permit2, and the scheme upto): for tokens that Permit2 is approved for.
    #[arg(long, conflicts_with = "resume")]
    pub(crate) permit2: bool,
    /// Pay on no network but this: a name or eip155:ID.
    #[arg(long, conflicts_with = "resume")]
    pub(crate) network: Option<String>,
    /// Go on with a payment whose outcome is not known.
    #[arg(long, value_name = "FILE")]
    pub(crate) resume: Option<PathBuf>,
    /// Print one JSON object instead of the body.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) request: RequestArgs,
}

const QUOTE_EXAMPLES: &str = "\
Examples:
  x402 quote http://127.0.0.1:4021/api/analyze -X POST
  x402 quote https://api.example.com/weather --json | jq -r .terms.price";

/// Ask for the price of a request. Never pays, and needs no key.
#[derive(Args, Debug)]
#[command(after_help = QUOTE_EXAMPLES)]
pub(crate) struct QuoteArgs {
    /// What to ask for.
    pub(crate) url: String,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) request: RequestArgs,
}

const DEVNET_EXAMPLES: &str = "\
Examples:
  x402 devnet
  x402 devnet --port 0
  curl -s http://127.0.0.1:8545 -H 'Content-Type: application/json' \\
    -d '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\",\"params\":[]}'";

/// Run a development chain in memory: USDC and EURC, instant blocks, keys that everybody knows.
#[derive(Args, Debug)]
#[command(after_help = DEVNET_EXAMPLES)]
pub(crate) struct DevnetArgs {
    /// The port; 0 takes any that is free.
    #[arg(long, default_value_t = 8545)]
    pub(crate) port: u16,
    /// The address, which must be one of this machine only: 127.0.0.1 or ::1.
    #[arg(long, value_name = "ADDRESS[:PORT]", default_value = "127.0.0.1", value_parser = parse_listen)]
    pub(crate) listen: Listen,
}

/// An address with or without a port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Listen {
    pub(crate) ip: IpAddr,
    pub(crate) port: Option<u16>,
}

fn parse_listen(text: &str) -> Result<Listen, String> {
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Ok(Listen { ip: address.ip(), port: Some(address.port()) });
    }
    let ip = text.parse().map_err(|_| "an IP address is expected, such as 127.0.0.1".to_owned())?;
    Ok(Listen { ip, port: None })
}

const DEMO_EXAMPLES: &str = "\
Examples:
  x402 demo
  x402 demo --once
  x402 demo --once --json";

/// See one payment happen, offline: a chain, a seller, a buyer, four messages.
#[derive(Args, Debug)]
#[command(after_help = DEMO_EXAMPLES)]
pub(crate) struct DemoArgs {
    /// End after the payment: 0 if all went well, 1 if anything is off.
    #[arg(long)]
    pub(crate) once: bool,
    /// Print one JSON object; with --once.
    #[arg(long, requires = "once")]
    pub(crate) json: bool,
}

const VECTORS_EXAMPLES: &str = "\
Examples:
  x402 vectors tests/vectors/*.json
  x402 vectors eip3009_valid.json

Prints each entry that fails, then the totals. Entries of a kind that is not built yet are skipped
and named.";

/// Run files of known answers.
#[derive(Args, Debug)]
#[command(after_help = VECTORS_EXAMPLES)]
pub(crate) struct VectorsArgs {
    /// The files.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_two_tables_of_exit_codes_agree() {
        let source = include_str!("args.rs");
        let documented = source
            .lines()
            .filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit());
        assert_eq!(documented.count(), 9);
        for code in 0..=8 {
            assert!(EXIT_CODES.contains(&format!("\n  {code}  ")), "{code}");
        }
    }
}

/// How a seller writes its terms, and wants to be paid.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum DialectArg {
    /// Plain header fields, X-Payment-…
    Headers,
    /// x402 v1: X-PAYMENT.
    V1,
    /// x402 v2: PAYMENT-SIGNATURE.
    V2,
}

impl From<DialectArg> for x402_hyper::client::Dialect {
    fn from(dialect: DialectArg) -> Self {
        match dialect {
            DialectArg::Headers => Self::Headers,
            DialectArg::V1 => Self::V1,
            DialectArg::V2 => Self::V2,
        }
    }
}
