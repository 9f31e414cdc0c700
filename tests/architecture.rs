//! What must hold of the tree as a whole: who may depend on whom, what opens every module, what the top folder
//! holds, what no file may contain. Reads files only; knows nothing of what the code does.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the tree has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../..").canonicalize().unwrap()
}

/// Files under `folder` with one of the endings, sorted; build products and hidden folders left out.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    open.push(path);
                }
            } else if endings.iter().any(|e| name.ends_with(e)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn manifest(name: &str) -> toml::Table {
    fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap().parse().unwrap()
}

/// What a crate links into the product; `dev-dependencies` do not count.
fn dependencies(name: &str) -> BTreeSet<String> {
    let manifest = manifest(name);
    ["dependencies", "build-dependencies"]
        .into_iter()
        .filter_map(|section| manifest.get(section)?.as_table().cloned())
        .flat_map(|table| table.keys().cloned().collect::<Vec<_>>())
        .collect()
}

#[test]
fn crates_depend_only_on_whom_they_may() {
    // crate -> (our crates it may use, packages it must never use); the reasons are in crates/README.md
    let rules: BTreeMap<&str, (&[&str], &[&str])> = BTreeMap::from([
        (
            "mingcha-files",
            (
                &[] as &[&str],
                &["datafusion", "arrow", "parquet", "tokio", "clap", "rayon", "serde"] as &[&str],
            ),
        ),
        (
            "mingcha-rules",
            (&[] as &[&str], &["datafusion", "arrow", "parquet", "tokio", "clap", "rayon"] as &[&str]),
        ),
        (
            "mingcha-intake",
            (&["mingcha-files", "mingcha-rules"], &["datafusion", "clap", "tokio", "indicatif"]),
        ),
        (
            "mingcha-engine",
            (
                &["mingcha-files", "mingcha-rules", "mingcha-intake"],
                &["clap", "anyhow", "indicatif", "rust_xlsxwriter"],
            ),
        ),
        (
            "mingcha-ledger",
            (&["mingcha-files", "mingcha-rules"], &["datafusion", "clap", "tokio", "indicatif"]),
        ),
        ("mingcha-synth", (&[], &["datafusion", "clap", "tokio"])),
        (
            "mingcha-cli",
            (
                &[
                    "mingcha-files",
                    "mingcha-rules",
                    "mingcha-intake",
                    "mingcha-engine",
                    "mingcha-ledger",
                    "mingcha-synth",
                ],
                &["datafusion"],
            ),
        ),
    ]);
    let crates: BTreeSet<String> = fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_dir())
        .map(|p| p.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(
        crates,
        rules.keys().map(|k| (*k).to_owned()).collect(),
        "every crate needs a line in this table"
    );
    for (name, (may, never)) in rules {
        let used = dependencies(name);
        for dependency in used.iter().filter(|d| d.starts_with("mingcha-")) {
            assert!(may.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
        }
        for package in never {
            assert!(!used.contains(*package), "{name} must not depend on {package}");
        }
    }
}

#[test]
fn every_module_opens_by_saying_what_it_is_for() {
    for path in
        files(&root().join("crates"), &[".rs"]).into_iter().chain(files(&root().join("tests"), &[".rs"]))
    {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} does not open with //!", path.display());
    }
}

/// The files that git knows of, as paths from the top folder. What a build, a demonstration or an editor leaves beside
/// them is nobody's business here.
fn tracked() -> Vec<String> {
    let listed = std::process::Command::new("git")
        // A checkout may belong to another user than the one who tests it (containers, CI).
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .current_dir(root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert!(listed.status.success(), "this test asks git what belongs to the project, and git says: {said}");
    let text = String::from_utf8(listed.stdout).unwrap();
    text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

// `cargo run -- demo` leaves a city in the checkout; the test that lists the top folder took it for a part of the project.
#[test]
fn the_top_folder_holds_nothing_else() {
    let tracked: BTreeSet<String> = tracked()
        .iter()
        .map(|path| path.split('/').next().unwrap_or(path).to_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    let wanted = [
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "benches",
        "crates",
        "datasets",
        "rules",
        "tests",
    ];
    assert_eq!(tracked, wanted.iter().map(|s| (*s).to_owned()).collect());
    for folder in ["benches", "crates", "datasets", "rules", "tests"] {
        assert!(root().join(folder).join("README.md").is_file(), "{folder}/ does not open with a README.md");
    }
}

/// The lines of `text` that start with `cargo`, without what a comment adds to them.
fn cargo_commands(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.split(" #").next().unwrap_or(line).trim().to_owned())
        .filter(|line| line.starts_with("cargo "))
        .collect()
}

// A newcomer types what README.md says, in its order, in one checkout; CI ran only the second command and never saw
// that the first one broke it.
#[test]
fn ci_runs_the_two_commands_of_the_readme_in_their_order() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, section) = readme.split_once("## Two commands").unwrap();
    let block = section.split("```").nth(1).unwrap();
    let promised = cargo_commands(block);
    assert_eq!(promised.len(), 2, "{block}");

    let ci: Vec<String> = cargo_commands(&fs::read_to_string(root().join(".ci/run")).unwrap())
        .into_iter()
        .map(|line| line.replace(" --locked", ""))
        .collect();
    let first = ci.iter().position(|line| *line == promised[0]);
    assert!(
        first.is_some_and(|at| ci.get(at + 1) == Some(&promised[1])),
        "{ci:#?}\ndo not run {promised:#?}"
    );
}

#[test]
fn no_test_is_switched_off_and_no_code_is_missing() {
    // The words are put together here so that this file does not find itself.
    let forbidden = [["#[ig", "nore"].concat(), ["to", "do!("].concat(), ["unimple", "mented!("].concat()];
    for path in
        files(&root().join("crates"), &[".rs"]).into_iter().chain(files(&root().join("tests"), &[".rs"]))
    {
        let text = fs::read_to_string(&path).unwrap();
        for word in &forbidden {
            assert!(!text.contains(word.as_str()), "{} contains {word}", path.display());
        }
    }
}

#[test]
fn the_clock_is_read_at_the_rim_only() {
    for path in files(&root().join("crates"), &[".rs"]) {
        if path.to_string_lossy().contains("mingcha-cli") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for clock in ["SystemTime::now", "Utc::now", "Local::now"] {
            assert!(!text.contains(clock), "{} reads the clock", path.display());
        }
    }
}

#[test]
fn no_real_looking_identity_number_stands_in_a_rule_or_contract() {
    for path in files(&root().join("rules"), &[".yaml"])
        .into_iter()
        .chain(files(&root().join("datasets"), &[".yaml"]))
    {
        let text = fs::read_to_string(&path).unwrap();
        let bytes = text.as_bytes();
        for start in 0..bytes.len().saturating_sub(17) {
            let window = &bytes[start..start + 18];
            let digits = window[..17].iter().all(u8::is_ascii_digit)
                && (window[17].is_ascii_digit() || window[17] == b'X');
            let alone = (start == 0 || !bytes[start - 1].is_ascii_digit())
                && bytes.get(start + 18).is_none_or(|b| !b.is_ascii_digit());
            if digits && alone && has_check_digit(window) {
                assert!(
                    window.starts_with(b"88"),
                    "{} holds an identity number outside the reserved areas",
                    path.display()
                );
            }
        }
    }
}

/// ISO 7064 MOD 11-2, as GB 11643 uses it.
fn has_check_digit(number: &[u8]) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = number.iter().zip(WEIGHTS).map(|(b, w)| u32::from(b - b'0') * w).sum();
    b"10X98765432"[(sum % 11) as usize] == number[17]
}
