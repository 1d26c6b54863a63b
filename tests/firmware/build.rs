//! Where the memory is, and the vectors as bytes.

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
    println!("cargo:rerun-if-changed=build.rs");
    fs::write(out.join("recover.bin"), recovery()).expect("writable");
}

/// digest (32) || r (32) || s (32) || v (1) || whether there is a signer (1) || the signer (20), for
/// each vector whose v is a byte.
fn recovery() -> Vec<u8> {
    let path = Path::new("../vectors/recover_eth.json");
    println!("cargo:rerun-if-changed={}", path.display());
    let file: Value = serde_json::from_slice(&fs::read(path).expect("there")).expect("JSON");
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
