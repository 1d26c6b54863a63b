//! The table of what `core` and `counts` have measured, with what peers take in processes of their own.
//!
//! ```text
//! cargo bench -p x402-benches                             measures, and prints the table
//! cargo bench -p x402-benches --bench table -- --readme   puts it into README.md
//! cargo bench -p x402-benches --bench table -- --check    holds the counts to budgets.json
//! cargo bench -p x402-benches --bench table -- --budgets  makes the counts the budgets
//! ```

mod measured;
mod processes;
mod served;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use measured::{Cost, Measured};

/// What the rows below it are beside, and the rows: what it is, and the case.
struct Section {
    title: &'static str,
    rows: &'static [(&'static str, &'static str)],
}

/// The first row of each is 1.00.
const SECTIONS: [Section; 3] = [
    Section {
        title: "from the header to the verdict",
        rows: &[
            ("libsecp256k1's recovery alone", "recovery/libsecp256k1_alone"),
            ("v2, libsecp256k1", "verdict/v2_libsecp256k1"),
            ("v2, pure Rust", "verdict/v2_vartime"),
            ("v2, k256", "verdict/v2_k256"),
            ("header dialect, libsecp256k1", "verdict/headers_libsecp256k1"),
            ("header dialect, pure Rust", "verdict/headers_vartime"),
        ],
    },
    Section {
        title: "parsing the header of v2",
        rows: &[
            ("base64 and serde_json, into structs", "parse/v2_serde_json"),
            ("base64 and JSON, checked", "parse/v2_alone"),
            ("… and the payment in it, read by the offer", "parse/v2"),
        ],
    },
    Section {
        title: "parsing the header dialect",
        rows: &[
            ("httparse, the lines of the head alone", "parse/headers_httparse"),
            ("the payment in its fields, read by the offer", "parse/headers"),
        ],
    },
];

/// How far a count may be above its budget, in percent.
const SLACK: u64 = 2;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let measured = Measured::new(&target());
    let has = |option: &str| std::env::args().any(|argument| argument == option);
    let budgets = root.join("benches/budgets.json");
    if has("--budgets") {
        let counts: BTreeMap<_, _> = measured.counts().collect();
        let json = serde_json::to_string_pretty(&counts).expect("numbers");
        fs::write(budgets, json + "\n").expect("written");
        return ExitCode::SUCCESS;
    }
    if has("--check") {
        return check(&measured, &fs::read_to_string(budgets).expect("budgets"));
    }
    let mut tables = vec![table(&measured, &processes::peers(&root, &target()))];
    tables.extend(served::tables(&root));
    let table = tables.join("\n\n");
    println!("{table}");
    if has("--readme") {
        keep(&root.join("README.md"), &table);
    }
    ExitCode::SUCCESS
}

/// The folder that everything is built in.
fn target() -> PathBuf {
    let program = std::env::current_exe().expect("a path");
    program.ancestors().nth(3).expect("target/release/deps").to_owned()
}

/// No count may be more than the slack above its budget, and none may be missing.
fn check(measured: &Measured, budgets: &str) -> ExitCode {
    let budgets: BTreeMap<String, u64> = serde_json::from_str(budgets).expect("budgets");
    let counts: BTreeMap<_, _> = measured.counts().collect();
    let mut exceeded = 0;
    for (case, budget) in &budgets {
        let Some(count) = counts.get(case) else {
            println!("{case}: not counted");
            exceeded += 1;
            continue;
        };
        let is_within = count * 100 <= budget * (100 + SLACK);
        println!("{case}: {count} of {budget}{}", if is_within { "" } else { ", EXCEEDED" });
        exceeded += u32::from(!is_within);
    }
    let unknown = counts.keys().filter(|case| !budgets.contains_key(*case));
    unknown.for_each(|case| println!("{case}: has no budget"));
    if exceeded == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn table(measured: &Measured, peers: &[(String, Cost)]) -> String {
    let mut table = String::from("| | instructions | time |\n|---|---:|---:|\n");
    for (index, section) in SECTIONS.iter().enumerate() {
        writeln!(table, "| **{}** | | |", section.title).expect("a string");
        let unit = section.rows[0].1;
        let cost = |(name, case): &(&str, &str)| ((*name).to_owned(), measured.cost(case, unit));
        let peers = peers.iter().filter(|_| index == 0).cloned();
        for (name, cost) in section.rows.iter().map(cost).chain(peers) {
            let count = cost.instructions.map_or_else(|| "·".to_owned(), thousands);
            let time = cost.time.map_or_else(|| "·".to_owned(), |time| format!("{time:.2}"));
            writeln!(table, "| {name} | {count} | {time} |").expect("a string");
        }
    }
    table.truncate(table.trim_end().len());
    table
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> = groups.map(|group| String::from_utf8_lossy(group)).collect();
    groups.join(",")
}

/// Puts the table between the marks.
fn keep(readme: &Path, table: &str) {
    let text = fs::read_to_string(readme).expect("README.md");
    let (head, rest) = text.split_once("<!-- speed -->\n").expect("a mark");
    let (_, tail) = rest.split_once("\n<!-- /speed -->").expect("a mark");
    let text = format!("{head}<!-- speed -->\n{table}\n<!-- /speed -->{tail}");
    fs::write(readme, text).expect("written");
}
