//! Lists that leave on record and come back, from outside: numbers, visit sheets with a sample out of the store, and what is
//! refused. That filled cells arrive is proven beside the library (`crates/mingcha-ledger/tests/ledger/back.rs`).

use std::path::Path;

use crate::city::city;
use crate::harness::{Told, mingcha, names};

const LEDGER: &str = "book/ledger.sqlite";

/// A folder with a ledger that has taken the city's run in.
fn desk() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let run = city().join("run").display().to_string();
    mingcha(
        dir.path(),
        &["ledger", "absorb", &run, "--ledger", LEDGER, "--as", "nightly", "--at", "2026-11-01"],
    )
    .well();
    dir
}

fn export(at: &Path, more: &[&str]) -> Told {
    let args = ["export", "--ledger", LEDGER, "--as", "zhang", "--at", "2026-11-02", "--out", "lists"];
    mingcha(at, &[&args, more].concat())
}

fn import(at: &Path, more: &[&str]) -> Told {
    mingcha(at, &[&["import", "--ledger", LEDGER, "--as", "zhang"], more].concat())
}

/// An area with leads of persons.
fn area(at: &Path) -> String {
    let args = [
        "findings",
        "list",
        "--ledger",
        LEDGER,
        "--format",
        "json",
        "--at",
        "2026-11-02",
        "--rule",
        "PEN-01",
    ];
    let leads = mingcha(at, &args).well().json();
    leads[0]["area_code"].as_str().unwrap()[..6].to_owned()
}

#[test]
fn a_list_whose_files_were_lost_is_written_again_by_its_number() {
    let dir = desk();
    let at = dir.path();
    let (area, store) = (area(at), city().join("store").display().to_string());
    let new = ["--for", &area, "--store", &store, "--profile", "investigator", "--new"];
    export(at, &new).well();
    let read = |name: &str| std::fs::read(at.join("lists").join(name)).unwrap();
    let files = ["E0001-findings.xlsx", "E0001-visits.xlsx"];
    let before = files.map(read);
    std::fs::remove_dir_all(at.join("lists")).unwrap();
    let told = export(at, &new);
    assert!(told.code == Some(2) && told.err.contains("MC894"), "{}", told.err);
    assert!(told.err.contains("`--number E0001` writes lost files again"), "{}", told.err);
    // Masked by default: the record says otherwise.
    let told = export(at, &["--number", "E0001", "--store", &store]).well();
    assert!(told.err.contains("holds full personal data"), "{}", told.err);
    assert!(files.map(read) == before);
    let told = export(at, &["--number", "E0007"]);
    assert!(told.code == Some(2) && told.err.contains("MC895"), "{}", told.err);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(at.join("lists").join(files[0])).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "a list in full is its owner's");
    }
}

#[test]
fn a_mistyped_ledger_is_not_made_by_an_export() {
    let dir = desk();
    let args = ["export", "--ledger", "typo.sqlite", "--as", "zhang", "--for", "88", "--out", "lists"];
    let told = mingcha(dir.path(), &args);
    assert!(told.code == Some(4) && told.err.contains("MC843"), "{}", told.err);
    assert!(!dir.path().join("typo.sqlite").exists());
}

#[test]
fn a_list_for_an_area_is_numbered_and_its_sample_comes_out_of_the_store() {
    let dir = desk();
    let at = dir.path();
    let (area, store) = (area(at), city().join("store").display().to_string());
    let told = export(at, &["--for", &area, "--store", &store, "--profile", "investigator"]).well();
    assert!(told.out.contains(&format!("export E0001 for {area}, valid until 2026-12-02")), "{}", told.out);
    assert!(told.out.contains("a control sample of "), "{}", told.out);
    assert_eq!(names(&at.join("lists")), ["E0001-findings.xlsx", "E0001-visits.xlsx"]);
    let told = export(at, &["--for", &area, "--lang", "zh", "--expires", "2026-11-10"]).well();
    assert!(told.out.contains("导出编号 E0002") && told.out.contains("有效期至 2026-11-10"), "{}", told.out);
    assert!(told.err.contains("没有对照样本"), "{}", told.err);
    let told = export(at, &["--for", "li"]);
    assert!(
        told.code == Some(2) && told.err.contains("MC855") && told.err.contains("findings assign"),
        "{}",
        told.err
    );
    let told = export(at, &["--for", &area, "--expires", "2026-11-01"]);
    assert!(told.code == Some(2) && told.err.contains("MC893"), "{}", told.err);
    let told = export(at, &["--for", &area, "--profile", "public"]);
    assert!(told.code == Some(2) && told.err.contains("MC891"), "{}", told.err);
    let told = mingcha(at, &["export", "--for", &area, "--out", "lists", "--as", "zhang"]);
    assert!(told.code == Some(2) && told.err.contains("--ledger"), "{}", told.err);
    mingcha(at, &["verify", "--ledger", LEDGER]).well();
}

#[test]
fn what_comes_back_unchanged_changes_nothing_and_what_is_no_list_of_ours_is_refused() {
    let dir = desk();
    let at = dir.path();
    let area = area(at);
    export(at, &["--for", &area, "--expires", "2026-11-10"]).well();
    let before = std::fs::read(at.join(LEDGER)).unwrap();
    let lists = ["lists/E0001-findings.xlsx", "lists/E0001-visits.xlsx"];
    for more in [&[][..], &["--commit"]] {
        let told = import(at, &[&lists[..], &["--at", "2026-11-10"], more].concat()).well();
        assert!(told.out.contains("says nothing new") && told.out.contains("errors 0"), "{}", told.out);
    }
    assert_eq!(std::fs::read(at.join(LEDGER)).unwrap(), before);
    let told = import(at, &["lists/E0001-findings.xlsx", "--at", "2026-11-11", "--lang", "zh"]);
    assert_eq!(told.code, Some(4));
    assert!(told.err.contains("MC882") && told.err.contains("有效期到 2026-11-10 为止"), "{}", told.err);
    let run = city().join("run").display().to_string();
    mingcha(at, &["export", "--run", &run, "--out", "plain"]).well();
    let told = import(at, &["plain/findings.xlsx", "lists/nothing.xlsx", "--at", "2026-11-03"]);
    assert_eq!(told.code, Some(4));
    assert!(told.err.contains("MC881") && told.err.contains("MC880"), "{}", told.err);
    let told = import(at, &["plain/findings.xlsx", "--at", "2026-11-03", "--format", "json"]);
    let file = &told.json()["files"][0];
    assert_eq!((&file["taken"], &file["faults"][0]["code"]), (&false.into(), &"MC881".into()));
    let told = import(at, &["plain/findings.xlsx", "--partial"]);
    assert!(told.code == Some(2) && told.err.contains("--commit"), "{}", told.err);
}
