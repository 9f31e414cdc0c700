//! Gives the sources a hash, `MINGCHA_ENGINE_BUILD`: what an earlier run found is carried over only by the code that
//! found it, because other code might find otherwise.

use std::error::Error;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

/// Hashes this crate, those it gets rows and rules from, and the versions of everything they stand on.
fn main() -> Result<(), Box<dyn Error>> {
    let mut files = vec![PathBuf::from("build.rs")];
    files.extend(Some(PathBuf::from("../../Cargo.lock")).filter(|lock| lock.exists()));
    let sources = ["src", "../mingcha-rules/src", "../mingcha-intake/src"];
    let mut folders: Vec<PathBuf> = sources.iter().map(PathBuf::from).collect();
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
    println!("cargo::rustc-env=MINGCHA_ENGINE_BUILD={:016x}", hash.finish());
    Ok(())
}
