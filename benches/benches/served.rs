//! What was measured over HTTP, as `http`, `facilitator.py` and `gateway.py` have left it in `results`.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::thousands;

/// The load that the table tells of.
const CONNECTIONS: u64 = 32;

/// Tables of what was measured; nothing of what was not.
pub(crate) fn tables(root: &Path) -> Vec<String> {
    let results = root.join("benches/results");
    let read = |name: &str| std::fs::read_to_string(results.join(name)).ok();
    let kept = |name: &str| read(name).map(|table| table.trim_end().to_owned());
    let facilitators = read("facilitator.json").map(|measured| of_facilitators(&measured));
    [kept("answers.md"), facilitators, kept("paid.md")].into_iter().flatten().collect()
}

fn of_facilitators(measured: &str) -> String {
    let measured: Value = serde_json::from_str(measured).expect("JSON");
    let mut table = String::from(
        "| | per second | beside the best peer | µs of a processor each |\n|---|---:|---:|---:|\n",
    );
    for (key, title) in [("verify", "verdicts"), ("settle", "verdict and settlement")] {
        sections(&mut table, &measured[key], title);
    }
    table.truncate(table.trim_end().len());
    table
}

fn sections(table: &mut String, rows: &Value, title: &str) {
    let rows = rows.as_array().into_iter().flatten();
    let rows: Vec<_> = rows.filter(|row| row["connections"] == CONNECTIONS).collect();
    let mut modes: Vec<_> = rows.iter().map(|row| &row["mode"]).collect();
    modes.dedup();
    for mode in modes {
        let mode = mode.as_str().unwrap_or_default();
        writeln!(table, "| **{title}, {mode}, {CONNECTIONS} connections** | | | |")
            .expect("a string");
        let of_mode: Vec<_> = rows.iter().filter(|row| row["mode"] == mode).collect();
        let rate = |row: &Value| row["rate"].as_f64().unwrap_or_default();
        let peers = of_mode.iter().filter(|row| row["peer"] == true);
        let best = peers.map(|row| rate(row)).fold(f64::MIN_POSITIVE, f64::max);
        for row in of_mode {
            let name = row["name"].as_str().unwrap_or_default();
            let (each, cpu) = (rate(row), row["cpu"].as_f64().unwrap_or_default());
            let (rounded, cpu) = (thousands(each.round() as u64), thousands(cpu.round() as u64));
            writeln!(table, "| {name} | {rounded} | {:.2} | {cpu} |", each / best)
                .expect("a string");
        }
    }
}
