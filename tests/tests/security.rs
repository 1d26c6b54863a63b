//! SECURITY.md names tests; each of them exists.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// The names in backticks in the last column of the tables.
fn named(text: &str) -> Vec<&str> {
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let last = rows.filter_map(|row| row.trim_end_matches([' ', '|']).rsplit('|').next());
    last.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

/// The names of all tests in a folder of Rust sources.
fn tests_in(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        let path = entry.path();
        if path.is_dir() {
            tests_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            let after = text.split("fn ").skip(1).filter_map(|rest| rest.split_once('('));
            found.extend(after.map(|(name, _)| name.to_owned()));
        }
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let mut known = Vec::new();
    for folder in ["x402-core", "x402-std", "x402-hyper", "tests/tests", "tests/simulate"] {
        tests_in(&root().join(folder), &mut known);
    }
    let text = fs::read_to_string(root().join("SECURITY.md")).expect("SECURITY.md");
    let named = named(&text);
    assert!(named.len() > 20, "{named:?}");
    for name in named {
        assert!(known.iter().any(|known| known == name), "there is no test {name}");
    }
}
