//! The program as its users meet it: run as a process, on this machine only.
#![allow(unreachable_pub, missing_docs, reason = "a test program exports nothing")]
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod credit;
#[cfg(unix)]
mod crowd;
mod demo;
mod gas;
mod import;
mod ledger;
mod log;
mod output;
mod pay;
mod price;
mod process;
mod refund;
mod secrets;
mod seller;
mod serve;
#[cfg(feature = "shared-ledgers")]
mod shared;
mod start;
mod unserved;
mod vectors;

use process::run;

#[test]
fn help_of_each_command_shows_an_example() {
    let commands = [
        "serve",
        "facilitator",
        "ledger",
        "price",
        "simulate",
        "pay",
        "quote",
        "devnet",
        "demo",
        "vectors",
    ];
    for command in commands {
        let help = run(&[command, "--help"]).succeeded();
        assert!(
            help.contains("Examples:\n") && help.contains(&format!("x402 {command}")),
            "{help}"
        );
    }
    let help = run(&["--help"]).succeeded();
    for code in 0..=8 {
        assert!(help.contains(&format!("\n  {code}  ")), "{help}");
    }
}

#[test]
fn a_command_line_that_is_wrong_is_exit_code_2() {
    for args in [
        &[][..],
        &["buy"],
        &["pay"],
        &["pay", "http://127.0.0.1:1/"],
        &["serve"],
        &["vectors"],
        &["demo", "--twice"],
        &["devnet", "--port", "70000"],
    ] {
        assert_eq!(run(args).code, 2, "{args:?}");
    }
}

#[test]
fn the_development_chain_stays_on_this_machine() {
    for address in ["0.0.0.0:1", "0.0.0.0", "[::]:0", "192.0.2.1"] {
        let ended = run(&["devnet", "--listen", address]);
        assert_eq!(ended.code, 2, "{address}");
        assert!(ended.stderr.contains("this machine only"), "{}", ended.stderr);
    }
}
