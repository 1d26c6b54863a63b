//! Rows as a table for people, as CSV (RFC 4180) and as JSON for programs.

use std::io::IsTerminal as _;

use serde_json::Value;

use super::credits::Credit;
use super::rotate::Renamed;
use super::row::{COLUMNS, Row};
use crate::args::FormatArg;
use crate::output;

/// A table where a person reads, CSV where a program does.
pub(super) fn rows(rows: &[Row], format: Option<FormatArg>) {
    match format.unwrap_or_else(default_format) {
        FormatArg::Table => table(rows),
        FormatArg::Csv => csv(COLUMNS, rows.iter().map(Row::fields)),
        FormatArg::Json => output::line(rows.iter().map(Row::json).collect::<Value>()),
    }
}

/// As [`rows`], of balances.
pub(super) fn credits(rows: &[Credit], format: Option<FormatArg>) {
    match format.unwrap_or_else(default_format) {
        FormatArg::Table => aligned(Credit::TITLES, rows.iter().map(Credit::cells)),
        FormatArg::Csv => csv(Credit::COLUMNS, rows.iter().map(Credit::fields)),
        FormatArg::Json => output::line(rows.iter().map(Credit::json).collect::<Value>()),
    }
}

/// As [`rows`], of balances with new names.
pub(super) fn renamed(rows: &[Renamed], format: Option<FormatArg>) {
    match format.unwrap_or_else(default_format) {
        FormatArg::Table => aligned(Renamed::TITLES, rows.iter().map(Renamed::cells)),
        FormatArg::Csv => csv(Renamed::COLUMNS, rows.iter().map(Renamed::fields)),
        FormatArg::Json => output::line(rows.iter().map(Renamed::json).collect::<Value>()),
    }
}

fn default_format() -> FormatArg {
    if std::io::stdout().is_terminal() { FormatArg::Table } else { FormatArg::Csv }
}

fn csv<const N: usize>(columns: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    output::line(columns.join(","));
    for row in rows {
        output::line(row.map(|field| quoted(&field)).join(","));
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
        let [id, _, claimed_at, _, token, symbol, payer, _, units, amount, _, transaction, ..] =
            row.fields();
        let amount = if amount.is_empty() {
            format!("{units} of {token}")
        } else {
            format!("{amount} {symbol}")
        };
        [claimed_at, row.standing(), payer, amount, transaction, id]
    };
    aligned(TITLES, rows.iter().map(cells));
}

fn aligned<const N: usize>(titles: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let lines: Vec<_> = [titles.map(str::to_owned)].into_iter().chain(rows).collect();
    let mut widths = [0; N];
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
