//! Peers that are programs: x402-rs and r402, whose graphs are their own, viem and eth-account.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::measured::Cost;

/// What each peer takes from the header to the verdict, its time beside libsecp256k1's recovery of the
/// same moment. Whoever is not installed is left out.
pub(crate) fn peers(root: &Path, target: &Path) -> Vec<(String, Cost)> {
    let Some(program) = build(root, target) else { return Vec::new() };
    let all = of_rust(&program, root).into_iter().chain(of_others(&program, root, target));
    let is_here = |(name, cost): &(String, Cost)| {
        if cost.time.is_none() {
            eprintln!("{name} is not installed: tests/run interop installs it");
        }
        cost.time.is_some()
    };
    all.filter(is_here).collect()
}

fn of_rust(program: &Path, root: &Path) -> [(String, Cost); 2] {
    let output = run(program, NONE).unwrap_or_default();
    let lock = root.join("benches/peers/Cargo.lock");
    let rust = [("x402-rs", "x402-chain-eip155", "x402_rs"), ("r402", "r402-evm", "r402")];
    rust.map(|(case, library, function)| {
        let times = |times| counted(program, case, function, times);
        let instructions =
            times("3").zip(times("2")).and_then(|(three, two)| three.checked_sub(two));
        let version = named(&lock, &format!("name = \"{library}\"\nversion = \""));
        let time = beside(&output, case, &output);
        (format!("{library} {version} and alloy"), Cost { instructions, time })
    })
}

fn of_others(program: &Path, root: &Path, target: &Path) -> [(String, Cost); 2] {
    let (scripts, interop) = (root.join("benches/peers"), root.join("tests/interop"));
    let cost = |output: Option<String>, name| {
        let unit = run(program, NONE).unwrap_or_default();
        let time = beside(&output.unwrap_or_default(), name, &unit);
        Cost { instructions: None, time }
    };
    let viem = cost(run("node", &[scripts.join("viem.mjs")]), "viem");
    let interpreter = target.join("interop-venv/bin/python");
    let python = cost(run(interpreter, &[scripts.join("verdict.py")]), "eth-account");
    let version = named(&interop.join("package.json"), "\"viem\": \"");
    let python_version = named(&interop.join("requirements.txt"), "eth-account==");
    [(format!("viem {version}"), viem), (format!("eth-account {python_version}"), python)]
}

const NONE: &[&str] = &[];

fn build(root: &Path, target: &Path) -> Option<PathBuf> {
    let (manifest, built) = (root.join("benches/peers/Cargo.toml"), target.join("peers"));
    let options = ["build", "--release", "--locked", "--quiet"].map(OsStr::new);
    let paths = ["--manifest-path", "--target-dir"].map(OsStr::new);
    let [manifest_path, target_dir] = paths;
    let paths = [manifest_path, manifest.as_ref(), target_dir, built.as_ref()];
    run(env!("CARGO"), &[&options[..], &paths[..]].concat())?;
    Some(built.join("release/offline"))
}

/// A time as a multiple of that of libsecp256k1.
fn beside(output: &str, case: &str, unit: &str) -> Option<f64> {
    Some(number(output, case)? / number(unit, "libsecp256k1")?)
}

/// The instructions of so many runs.
fn counted(program: &Path, case: &str, function: &str, times: &str) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect=offline::{function}"))
        .arg(program)
        .args(["--only", case, times])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines().find_map(|line| line.split_once("Collected : "))?.1.trim().parse().ok()
}

/// What a program says that ends well.
fn run(program: impl AsRef<OsStr>, arguments: &[impl AsRef<OsStr>]) -> Option<String> {
    let output = Command::new(&program).args(arguments).output().ok()?;
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    String::from_utf8(output.stdout).ok()
}

fn number(json: &str, key: &str) -> Option<f64> {
    serde_json::from_str::<serde_json::Value>(json.trim()).ok()?.get(key)?.as_f64()
}

/// The version that stands behind a name in a file.
fn named(file: &Path, before: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let behind = text.split_once(before).map(|(_, behind)| behind);
    behind.and_then(|behind| behind.split(['"', '\n']).next()).unwrap_or_default().to_owned()
}
