//! Rows as a table for people, as CSV (RFC 4180) and as JSON for programs.

use std::io::IsTerminal as _;

use serde_json::Value;

use super::row::{COLUMNS, Row};
use crate::args::FormatArg;
use crate::output;

/// A table where a person reads, CSV where a program does.
pub(super) fn rows(rows: &[Row], format: Option<FormatArg>) {
    let is_read = std::io::stdout().is_terminal();
    match format.unwrap_or(if is_read { FormatArg::Table } else { FormatArg::Csv }) {
        FormatArg::Table => table(rows),
        FormatArg::Csv => csv(rows),
        FormatArg::Json => output::line(rows.iter().map(Row::json).collect::<Value>()),
    }
}

fn csv(rows: &[Row]) {
    output::line(COLUMNS.join(","));
    for row in rows {
        output::line(row.fields().map(|field| quoted(&field)).join(","));
    }
}

/// Symbols come from the seller's own file; all else is digits.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\r', '\n']) {
        return format!("\"{}\"", field.replace('"', "\"\""));
    }
    field.to_owned()
}

fn table(rows: &[Row]) {
    const TITLES: [&str; 6] = ["claimed at", "state", "payer", "amount", "transaction", "id"];
    let cells = |row: &Row| {
        let [id, state, claimed_at, _, token, symbol, payer, _, units, amount, _, transaction, _] =
            row.fields();
        let amount = if amount.is_empty() {
            format!("{units} of {token}")
        } else {
            format!("{amount} {symbol}")
        };
        [claimed_at, state, payer, amount, transaction, id]
    };
    let lines = [TITLES.map(str::to_owned)].into_iter().chain(rows.iter().map(cells));
    let lines: Vec<_> = lines.collect();
    let mut widths = [0; 6];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    for line in &lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        output::line(cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_quoted_where_it_must_be() {
        assert_eq!(quoted("USDC"), "USDC");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("a\"b\n"), "\"a\"\"b\n\"");
    }
}
