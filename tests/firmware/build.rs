//! Where the memory is, and what others have written down, as Rust or as bytes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;

// QEMU's mps2-an386: 4 MB of SSRAM as flash and 4 MB as RAM.
const ARM: &str = "MEMORY { FLASH : ORIGIN = 0x00000000, LENGTH = 4M
RAM : ORIGIN = 0x20000000, LENGTH = 2M }
";
// QEMU's virt. A device without an unwinder has no use for its tables.
const RISCV: &str = "MEMORY { CODE : ORIGIN = 0x80000000, LENGTH = 4M
DATA : ORIGIN = 0x80400000, LENGTH = 2M }
REGION_ALIAS(\"REGION_TEXT\", CODE);
REGION_ALIAS(\"REGION_RODATA\", CODE);
REGION_ALIAS(\"REGION_DATA\", DATA);
REGION_ALIAS(\"REGION_BSS\", DATA);
REGION_ALIAS(\"REGION_HEAP\", DATA);
REGION_ALIAS(\"REGION_STACK\", DATA);
SECTIONS { /DISCARD/ : { *(.eh_frame .eh_frame_hdr) } }
";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where"));
    let is_arm = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "arm");
    fs::write(out.join("memory.x"), if is_arm { ARM } else { RISCV }).expect("writable");
    println!("cargo:rustc-link-search={}", out.display());
    if !is_arm {
        println!("cargo:rustc-link-arg-bins=-Tmemory.x");
    }
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    if env::var_os("CARGO_FEATURE_DEFMT").is_some() {
        println!("cargo:rustc-link-arg-bin=logs=-Tdefmt.x");
    }
    println!("cargo:rerun-if-changed=build.rs");
    fs::write(out.join("recover.bin"), recovery()).expect("writable");
    fs::write(out.join("sdk.rs"), sdk()).expect("writable");
    fs::write(out.join("suite.rs"), suite()).expect("writable");
}

fn read(path: &str) -> Value {
    println!("cargo:rerun-if-changed={path}");
    serde_json::from_slice(&fs::read(Path::new(path)).expect("there")).expect("JSON")
}

/// digest (32) || r (32) || s (32) || v (1) || whether there is a signer (1) || the signer (20), for
/// each vector whose v is a byte.
fn recovery() -> Vec<u8> {
    let file = read("../vectors/recover_eth.json");
    let vectors = file["vectors"].as_array().expect("vectors");
    vectors.iter().filter_map(record).flatten().collect()
}

fn record(vector: &Value) -> Option<Vec<u8>> {
    let word = |name: &str| bytes(vector[name].as_str()?).filter(|word| word.len() == 32);
    let mut record = [word("digest")?, word("r")?, word("s")?].concat();
    record.push(u8::try_from(vector["v"].as_u64()?).ok()?);
    let signer = vector["strict"].as_str().and_then(bytes);
    record.push(signer.is_some().into());
    record.extend(signer.unwrap_or(vec![0; 20]));
    Some(record)
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x")?.as_bytes();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(pair).collect()
}

/// The digest of the official SDK's sale of 5 USDC on Ethereum.
fn sdk() -> String {
    let file = read("../vectors/sdk.json");
    let mut vectors = file["vectors"].as_array().expect("vectors").iter();
    let outputs = &vectors.find(|vector| vector["id"] == "v2-03").expect("there")["outputs"];
    let digest = bytes(outputs["eip712"][0]["digest"].as_str().expect("text")).expect("hex");
    format!("const DIGEST: [u8; 32] = {digest:?};\n")
}

/// JSONTestSuite (https://github.com/nst/JSONTestSuite, MIT), without its two large files.
fn suite() -> String {
    // What RFC 8259 leaves open: a member that is there twice is refused, numbers have any size, and
    // all else is refused (tests/core/json.rs).
    let is_read = |name: &str| match name.as_bytes()[0] {
        b'y' => !name.starts_with("y_object_duplicated_key"),
        _ => name.starts_with("i_number_"),
    };
    // What is not kept is not looked at: neither at its letters nor at its members.
    let is_passed = |name: &str| {
        let is_of_letters = name.starts_with("i_string_") || name.starts_with("i_object_key_");
        let is_wide = name.to_lowercase().replace('-', "").contains("utf16");
        name.starts_with("y_") || name.starts_with("i_number_") || (is_of_letters && !is_wide)
    };
    let mut text = String::from("const SUITE: &[Document] = &[\n");
    for (name, base64) in read("../tests/core/json_test_suite.json").as_object().expect("object") {
        let bytes = decode(base64.as_str().expect("text"));
        let member = [b"{\"x402Version\":2,\"accepts\":[],\"a\":", &bytes[..], b"}"].concat();
        writeln!(
            text,
            "Document {{ name: {name:?}, bytes: &{bytes:?}, is_read: {}, is_passed: {}, required: {:?} }},",
            is_read(name),
            is_passed(name),
            encode(&member),
        )
        .expect("memory");
    }
    text + "];\n"
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode(bytes: &[u8]) -> String {
    let group = |chunk: &[u8]| {
        let number = chunk.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
        let number = number << (8 * (3 - chunk.len()));
        let digits = [18, 12, 6, 0].map(|shift| char::from(DIGITS[number >> shift & 63]));
        digits
            .into_iter()
            .take(chunk.len() + 1)
            .chain(std::iter::repeat('='))
            .take(4)
            .collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

fn decode(text: &str) -> Vec<u8> {
    let digit = |byte: &u8| DIGITS.iter().position(|digit| digit == byte);
    let group = |chunk: &[u8]| {
        let digits: Vec<_> = chunk.iter().filter_map(digit).collect();
        let number = digits.iter().fold(0_usize, |number, digit| number << 6 | digit);
        let number = number << (6 * (4 - digits.len()));
        let bytes = [16, 8, 0].map(|shift| (number >> shift) as u8);
        bytes.into_iter().take(digits.len() * 3 / 4).collect::<Vec<_>>()
    };
    text.as_bytes().chunks(4).flat_map(group).collect()
}
