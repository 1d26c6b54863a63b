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
mod log;
mod metrics;
mod output;
mod own;
mod patience;
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

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Parser as _;
use x402_std::secret_file::may_be_secret;

use args::{Arguments, Command, LedgerCommand};
use exit::{Exit, Failure};
use output::Lost;

fn main() -> ExitCode {
    let Arguments { command } = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(told) => return tell(&told),
    };
    log::start(log_level(&command));
    let (is_json, is_whole) = (wants_json(&command), wants_all(&command));
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
    match (exit, output::lost()) {
        (Exit::Ok | Exit::Unproven, Some(Lost::Unwritten)) => Exit::Lost.into(),
        (Exit::Ok, Some(Lost::Unread)) if is_whole => Exit::Lost.into(),
        _ => exit.into(),
    }
}

/// Shows the help or the version, or what is wrong with the command line, without what may be a secret of it.
fn tell(told: &clap::Error) -> ExitCode {
    if told.use_stderr() {
        let mut text = told.render().to_string();
        let words = std::env::args_os().skip(1);
        let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        let parts = words.iter().flat_map(|word| word.splitn(2, '=').chain([word.as_str()]));
        let secrets: Vec<_> = parts.filter(|part| may_be_secret(part)).collect();
        if secrets.is_empty() {
            // As the library does, in colours.
            drop(told.print());
            return Exit::Usage.into();
        }
        secrets.iter().for_each(|secret| text = text.replace(secret, "(not shown)"));
        output::note(text.trim_end());
        return Exit::Usage.into();
    }
    match told.print() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            output::note(format_args!("error: stdout cannot be written: {error}"));
            Exit::Lost.into()
        }
        _ => Exit::Ok.into(),
    }
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

/// Whether what is printed is of no use in part.
const fn wants_all(command: &Command) -> bool {
    match command {
        Command::Ledger(args) => matches!(args.command, LedgerCommand::Export(_)),
        _ => false,
    }
}

const fn log_level(command: &Command) -> &'static str {
    match command {
        Command::Serve(_) | Command::Facilitator(_) => "info",
        _ => "warn",
    }
}

fn start_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::failed(format!("no runtime: {error}")))
}
