//! What an error may show of a file: never a key, never the URL of a node or a database.

use core::fmt::Write as _;

use crate::secret_file::may_be_secret;

/// How many characters of a line are shown.
const WIDTH: usize = 100;
/// How many characters of a value are repeated in a message.
const VALUE_WIDTH: usize = 60;
/// From how many hexadecimal digits on a text may be a private key. An address has 40.
const KEY_DIGITS: usize = 60;

/// The line, numbered, with a mark under the column; `None` where there is nothing to show. Lines
/// and columns count from 1.
pub(super) fn snippet(text: &str, line: u64, column: u64) -> Option<String> {
    let at = usize::try_from(line.checked_sub(1)?).ok()?;
    let content = lines(text).nth(at)?;
    // A document in braces has no lines that tell where `chain` begins and ends.
    if content.trim().is_empty() || is_in_braces(text) {
        return None;
    }
    let column = usize::try_from(column.checked_sub(1)?).ok()?;
    let shown = if is_in_chain(text, at) { mask_values(content) } else { mask(content) };
    let skipped = column.saturating_sub(WIDTH * 3 / 4);
    let shown: String = shown.chars().skip(skipped).take(WIDTH).collect();
    let mut out = String::new();
    let margin = line.to_string();
    let blank = " ".repeat(margin.len());
    let _ = writeln!(out, "  {margin} | {}", shown.trim_end());
    let _ = write!(out, "  {blank} | {}^", " ".repeat(column - skipped));
    Some(out)
}

/// A value in backticks, cut where it is long, without what might be secret.
pub(super) fn quote(value: &str) -> String {
    format!("`{}`", cut(value, VALUE_WIDTH))
}

/// A text, cut where it is long, without what might be secret.
pub(super) fn cut(text: &str, width: usize) -> String {
    let mut shown: String = mask(text).chars().take(width).collect();
    if text.chars().count() > width {
        shown.push('…');
    }
    shown
}

/// The lines as YAML counts them: a carriage return by itself ends one too.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('\r'))
}

fn is_in_braces(text: &str) -> bool {
    let mut lines = lines(text).map(str::trim_start);
    lines.find(|line| !is_empty(line)).is_some_and(|line| line.starts_with('{'))
}

fn is_empty(line: &str) -> bool {
    line.is_empty() || line.starts_with(['#', '%']) || line.starts_with("---")
}

/// Whether a line belongs to the value of the key `chain`.
fn is_in_chain(text: &str, at: usize) -> bool {
    let mut chain = None;
    for (number, line) in lines(text).enumerate().take(at + 1) {
        let rest = line.trim_start();
        let indent = line.len() - rest.len();
        if chain.is_some_and(|chain| indent <= chain) && !is_empty(rest) {
            chain = None;
        }
        if value_of(rest, "chain").is_some() {
            chain = Some(indent);
        }
        if number == at {
            return chain.is_some();
        }
    }
    false
}

/// The byte at which the value of `key` begins, if the line has that key.
fn value_of(line: &str, key: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = line.get(from..)?.find(key) {
        from += found + key.len();
        let is_word = line[..from - key.len()].chars().next_back().is_some_and(is_word_character);
        let rest = line[from..].trim_start_matches(['"', '\'', ' ', '\t']);
        if !is_word && rest.starts_with(':') {
            return Some(line.len() - rest.len() + 1);
        }
    }
    None
}

fn is_word_character(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

/// Hides all but the first key of a line, and all of a line without one.
fn mask_values(line: &str) -> String {
    let is_key = |key: &str| {
        let key = key.trim();
        !key.is_empty() && key.len() < 24 && key.chars().all(is_word_character)
    };
    match line.split_once(':') {
        Some((key, _)) if is_key(key) => hide_from(line, key.len() + 1),
        _ => hide_from(line, 0),
    }
}

/// Hides what might be secret, one character for each: the rest of a URL behind its scheme, long
/// runs of hexadecimal digits, the value of `rpc`. What would confuse a terminal becomes blank.
fn mask(line: &str) -> String {
    // A ledger is a file's name, or a URL with a password.
    let ledger = line.contains("://").then_some("ledger");
    let keys = ["chain", "rpc"].into_iter().chain(ledger);
    let end = keys.filter_map(|key| value_of(line, key)).min();
    let line = hide_from(line, end.unwrap_or(line.len()));
    let is_upstream = value_of(&line, "upstream").is_some() && !line.contains(['@', '?']);
    let line = if is_upstream { line } else { hide_urls(&line) };
    hide_digits(&hide_names(&line))
}

/// Hides what may be a secret that stands where its file should be named.
fn hide_names(line: &str) -> String {
    let mut line = line.to_owned();
    for key in ["key_file", "secret_file", "token_file"] {
        let Some(start) = value_of(&line, key) else { continue };
        let (before, rest) = line.split_at(start);
        let (value, after) = rest.split_at(rest.find([',', '}']).unwrap_or(rest.len()));
        if may_be_secret(value.trim_matches([' ', '"', '\''])) {
            line = format!("{before}{}{after}", hide_from(value, 0));
        }
    }
    line
}

fn hide_from(line: &str, start: usize) -> String {
    let shown = |(at, c): (usize, char)| match c {
        c if c.is_control() => ' ',
        c if at < start || c == ' ' => c,
        _ => '*',
    };
    line.char_indices().map(shown).collect()
}

fn hide_urls(line: &str) -> String {
    let mut is_hidden = false;
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        is_hidden =
            (is_hidden || out.ends_with("://")) && !(c.is_whitespace() || "\"'`,}]".contains(c));
        out.push(if is_hidden { '*' } else { c });
    }
    out
}

fn hide_digits(line: &str) -> String {
    let runs = line.split_inclusive(|c: char| !c.is_ascii_hexdigit());
    runs.map(|run| {
        let digits = run.trim_end_matches(|c: char| !c.is_ascii_hexdigit());
        if digits.len() < KEY_DIGITS {
            return run.to_owned();
        }
        format!("{}{}", "*".repeat(digits.len()), &run[digits.len()..])
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

    #[test]
    fn marks_the_column() {
        let shown = snippet("a: 1\nbb: 2\n", 2, 5).unwrap();
        assert_eq!(shown, "  2 | bb: 2\n    |     ^");
        assert_eq!(snippet("a: 1\n", 2, 1), None);
        assert_eq!(snippet("a: 1\n", 0, 0), None);
    }

    #[test]
    fn counts_lines_as_yaml_does() {
        let text = "a: 1\rb: 2\r\nchain:\r  rpc: host/key\r\r\nc: 3\n";
        for (line, shown) in [(2, "b: 2"), (4, "  rpc: ********"), (6, "c: 3")] {
            assert!(snippet(text, line, 1).unwrap().contains(&format!("| {shown}\n")), "{line}");
        }
        assert_eq!(snippet(text, 5, 1), None);
    }

    #[test]
    fn cuts_long_lines() {
        let line = format!("a: {}X{}", "b".repeat(5000), "c".repeat(5000));
        let shown = snippet(&line, 1, 5004).unwrap();
        assert!(shown.len() < 300 && shown.contains('X'));
    }

    #[test]
    fn hides_what_may_be_secret() {
        for (line, shown) in [
            ("asset: https://host/key, b", "asset: https://********, b"),
            ("upstream: http://127.0.0.1:1", "upstream: http://127.0.0.1:1"),
            ("upstream: http://me:pw@h", "upstream: http://*******"),
            ("ledger: postgres://me:p,w@h/d", "ledger: *********************"),
            ("ledger: ./x402.redb", "ledger: ./x402.redb"),
            ("{rpc: host/key, a: b}", "{rpc: ********* ** **"),
            ("chain: {\"rpc\": x}", "chain: ******* **"),
            ("token_file: sk_live_4eC39HqLyjWD", "token_file: ********************"),
            ("{token_file: 'k3j9x0q7m2w8z5r1', u: v}", "{token_file: ******************, u: v}"),
            ("token_file: ./facilitator-token", "token_file: ./facilitator-token"),
            ("\u{1b}[31mred", " [31mred"),
        ] {
            assert_eq!(mask(line), shown);
        }
        assert_eq!(mask(&format!("pay_to: 0x{KEY}")), format!("pay_to: 0x{}", "*".repeat(64)));
        assert!(!quote(KEY).contains("59c6"));
    }

    #[test]
    fn hides_all_of_the_chain() {
        let text = "a: 1\nchain:\n  rpc:\n    host/v3/key\n  # host/key\n  key: host\nledger: x\n";
        for (line, shown) in [(3, "  rpc:"), (4, "    ***********"), (6, "  key: ****")] {
            assert!(snippet(text, line, 1).unwrap().contains(&format!("| {shown}\n")), "{line}");
        }
        assert!(snippet(text, 7, 1).unwrap().contains("ledger: x"));
        assert_eq!(snippet("# x\n{a: b}\n", 2, 1), None);
    }
}
