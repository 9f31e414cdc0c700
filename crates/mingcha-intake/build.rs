//! Writes the historical list of county codes as a bit set, one bit for each of the million six-digit codes.
//! The list is that of the crate `id-card`, which only answers "is this number valid": so each code is put
//! into a number whose birth date and check digit are right, and the answer is about the code alone.
//!
//! Also gives the sources a hash, `MINGCHA_INTAKE_BUILD`: a store is built upon only by the code that wrote it,
//! because other code might type the same file otherwise.

use std::error::Error;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const CHECK: &[u8; 11] = b"10X98765432";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=MINGCHA_INTAKE_BUILD={:016x}", hash_of_sources()?);
    let mut bits = vec![0u8; 1_000_000 / 8];
    let mut known = 0u32;
    for code in 100_000u32..1_000_000 {
        if id_card::validate(&number_in(code)) {
            bits[(code / 8) as usize] |= 1 << (code % 8);
            known += 1;
        }
    }
    if known < 5_000 {
        return Err(
            format!("the historical list should hold about 5,900 county codes, it holds {known}").into()
        );
    }
    let out = std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR for build scripts")?;
    fs::write(Path::new(&out).join("county_codes.bits"), bits)?;
    Ok(())
}

/// Of this crate, of the contracts, and of the versions of everything they stand on.
fn hash_of_sources() -> Result<u64, Box<dyn Error>> {
    let mut files = vec![PathBuf::from("build.rs")];
    files.extend(Some(PathBuf::from("../../Cargo.lock")).filter(|lock| lock.exists()));
    let mut folders = vec![PathBuf::from("src"), PathBuf::from("../mingcha-rules/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    let mut hash = DefaultHasher::new();
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
        (&file, fs::read(&file)?).hash(&mut hash);
    }
    Ok(hash.finish())
}

fn number_in(area: u32) -> String {
    let body = format!("{area:06}20000101001");
    let sum: u32 = body.bytes().zip(WEIGHTS).map(|(b, w)| u32::from(b - b'0') * w).sum();
    format!("{body}{}", char::from(CHECK[(sum % 11) as usize]))
}
