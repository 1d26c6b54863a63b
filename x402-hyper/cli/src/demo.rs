/*!
`demo`: one payment, offline, with everything real: a chain that runs the token's bytecode, a gateway
that checks and settles, a buyer that signs, and sockets between them.
*/

mod buyer;
mod report;
mod stage;
mod trace;
mod upstream;

use crate::args::DemoArgs;
use crate::exit::{Exit, Failure};
use crate::{output, signals};
use stage::{Ports, Stage};

pub(crate) async fn run(args: DemoArgs) -> Result<Exit, Failure> {
    let ports = if args.once { Ports::Any } else { Ports::Usual };
    let stage = Stage::set_up(ports).await?;
    let before = stage.balances()?;
    let exchange =
        buyer::buy(&stage).await.map_err(|error| Failure::failed(format!("demo: {error}")))?;
    let after = stage.balances()?;
    let report = report::Report { exchange, before, after, calls: stage.trace.calls() };
    let faults = report.faults(&stage);
    if args.json {
        output::line(report.to_json(&faults));
    } else {
        output::line(&report);
    }
    if !faults.is_empty() {
        return Err(Failure::failed(format!(
            "the demonstration went wrong: {}",
            faults.join("; ")
        )));
    }
    if !args.once {
        let stop = signals::stop();
        output::line(stage.invitation());
        stop.await;
    }
    Ok(Exit::Ok)
}
