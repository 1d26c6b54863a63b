/*!
The program `x402`: sell (`serve`), buy (`pay`, `quote`), settle for
others (`facilitator`), look at the books (`ledger`) and at prices (`price`,
`simulate`), try (`demo`, `devnet`), and compare
(`vectors`). What it is told, and how it ends, is in `args.rs`.
*/

mod args;
mod demo;
mod devnet;
mod exit;
mod facilitator;
mod ledger;
mod metrics;
mod output;
mod pay;
mod price;
mod quote;
mod reload;
mod request;
mod serve;
mod shop;
mod signals;
mod simulate;
mod standing;
mod time;
mod vectors;

use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use args::{Arguments, Command};
use exit::{Exit, Failure};

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    start_log(&command);
    let is_json = wants_json(&command);
    let result = match command {
        Command::Vectors(args) => vectors::run(&args),
        Command::Price(args) => price::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        command => start_runtime().and_then(|runtime| {
            let result = runtime.block_on(run(command));
            // What still runs in the background is not waited for: it is all safe to repeat.
            runtime.shutdown_background();
            result
        }),
    };
    let exit = result.unwrap_or_else(|failure| {
        if is_json {
            output::line(failure.to_json());
        }
        output::note(&failure);
        failure.exit
    });
    exit.into()
}

async fn run(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Serve(args) => serve::run(args).await,
        Command::Facilitator(args) => facilitator::run(args).await,
        Command::Ledger(args) => ledger::run(args.command).await,
        Command::Pay(args) => pay::run(args).await,
        Command::Quote(args) => quote::run(args).await,
        Command::Devnet(args) => devnet::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Vectors(args) => vectors::run(&args),
        Command::Price(args) => price::run(&args),
        Command::Simulate(args) => simulate::run(&args),
    }
}

const fn wants_json(command: &Command) -> bool {
    match command {
        Command::Pay(args) => args.json,
        Command::Quote(args) => args.json,
        Command::Demo(args) => args.json,
        Command::Serve(_)
        | Command::Facilitator(_)
        | Command::Ledger(_)
        | Command::Price(_)
        | Command::Simulate(_)
        | Command::Devnet(_)
        | Command::Vectors(_) => false,
    }
}

fn start_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::failed(format!("no runtime: {error}")))
}

/// Logs go to stderr: results of `pay` are on stdout. A filter that cannot be read is as none.
fn start_log(command: &Command) {
    let level = if matches!(command, Command::Serve(_) | Command::Facilitator(_)) {
        "info"
    } else {
        "warn"
    };
    let filter = EnvFilter::try_from_env("X402_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(is_terminal)
        .with_writer(std::io::stderr)
        .init();
}
