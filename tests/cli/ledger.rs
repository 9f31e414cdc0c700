//! The ledger from outside: nights taken in, leads worked on, a writer killed in the middle, a byte changed.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::city::city;
use crate::harness::{command, mingcha};

const LEDGER: &str = "book/ledger.sqlite";

/// A folder with the city's run and a ledger that has taken it in.
fn desk() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    mingcha(dir.path(), &absorb(&city().join("run").display().to_string(), "2026-11-01")).well();
    dir
}

fn absorb<'a>(run: &'a str, at: &'a str) -> Vec<&'a str> {
    vec!["ledger", "absorb", run, "--ledger", LEDGER, "--as", "nightly", "--at", at, "--format", "json"]
}

fn leads(at: &Path, more: &[&str]) -> Vec<Value> {
    let args =
        ["findings", "list", "--ledger", LEDGER, "--format", "json", "--limit", "0", "--at", "2026-11-02"];
    mingcha(at, &[&args, more].concat()).well().json().as_array().unwrap().clone()
}

fn step(at: &Path, args: &[&str]) -> crate::harness::Told {
    let more = ["--ledger", LEDGER, "--at", "2026-11-02"];
    mingcha(at, &[&["findings"], args, &more].concat())
}

#[test]
fn a_lead_goes_from_new_to_closed_and_everybody_is_named() {
    let dir = desk();
    let at = dir.path();
    let investigator = ["--profile", "investigator"];
    let all = leads(at, &investigator);
    assert!(all.len() > 300 && all.iter().all(|l| l["stage"] == "new" && l["tonight"] == "new"));
    let lead = all.iter().find(|l| l["rule_id"] == "PEN-01").unwrap();
    let id = lead["finding_id"].as_str().unwrap();
    step(at, &["assign", id, "--to", "li", "--as", "chief"]).well();
    step(at, &["visit", id, "--as", "li", "--how", "visit", "--text", "nobody there"]).well();
    let told = step(at, &["confirm", id, "--as", "li", "--how", "papers"]);
    assert_eq!(told.code, Some(2));
    assert!(told.err.contains("MC853") && told.err.contains("--document"), "{}", told.err);
    let owner = "社保基金监督";
    let told = step(at, &["confirm", id, "--as", owner, "--how", "papers", "--document", "2026-7"]);
    assert!(told.code == Some(2) && told.err.contains("MC854"), "{}", told.err);
    step(at, &["confirm", id, "--as", "li", "--how", "papers", "--document", "2026-7"]).well();
    step(at, &["recover", id, "--as", "li", "--amount", "12.5", "--document", "R-1"]).well();
    step(at, &["close", id, "--as", "chief", "--text", "paid back"]).well();
    let told = step(at, &["assign", id, "--to", "li", "--as", "chief", "--lang", "zh"]);
    assert!(told.err.contains("MC852") && told.err.contains("此时可以：reopen"), "{}", told.err);
    let shown = mingcha(at, &["findings", "show", id, "--ledger", LEDGER, "--format", "json"]).well().json();
    let history: Vec<_> = shown["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| format!("{} {}", e["actor"].as_str().unwrap(), e["what"].as_str().unwrap()))
        .collect();
    assert_eq!(
        history,
        ["nightly new", "chief assigned", "li checked", "li confirmed", "li recovered", "chief closed"]
    );
    assert_eq!(shown["lead"]["recovered_fen"], 1250);
    mingcha(at, &["verify", "--ledger", LEDGER]).well();
}

#[test]
fn the_clerk_whom_the_evidence_of_a_shipped_rule_names_cannot_confirm_it() {
    let dir = desk();
    let at = dir.path();
    for rule in ["PEN-05", "PEN-08", "PEN-09", "PEN-22"] {
        let lead = leads(at, &["--profile", "investigator", "--rule", rule]).remove(0);
        let id = lead["finding_id"].as_str().unwrap();
        let clerk = lead["handlers"][0].as_str().unwrap_or_else(|| panic!("{rule} names no clerk: {lead}"));
        step(at, &["assign", id, "--to", "li", "--as", "chief"]).well();
        step(at, &["visit", id, "--as", "li", "--how", "papers", "--text", "seen"]).well();
        let confirm =
            |who| step(at, &["confirm", id, "--as", who, "--how", "papers", "--document", "2026-7"]);
        let told = confirm(clerk);
        assert!(told.code == Some(2) && told.err.contains("MC854"), "{rule}: {}", told.err);
        confirm("li").well();
    }
}

#[test]
fn masked_lists_call_a_lead_by_a_name_that_only_the_ledger_can_search() {
    let dir = desk();
    let at = dir.path();
    let (open, masked) =
        (leads(at, &["--profile", "investigator", "--rule", "PEN-01"]), leads(at, &["--rule", "PEN-01"]));
    assert_eq!(open.len(), masked.len());
    let ids: Vec<_> = open.iter().map(|l| l["finding_id"].as_str().unwrap()).collect();
    for lead in &masked {
        let name = lead["finding_id"].as_str().unwrap();
        assert!(!ids.contains(&name));
        assert!(lead["subject_id"].as_str().unwrap().contains("****"), "{lead}");
        let told = mingcha(
            at,
            &[
                "findings",
                "show",
                &name[..12],
                "--ledger",
                LEDGER,
                "--profile",
                "investigator",
                "--format",
                "json",
            ],
        );
        assert!(ids.contains(&told.well().json()["lead"]["finding_id"].as_str().unwrap()));
    }
    let page =
        mingcha(at, &["findings", "show", masked[0]["finding_id"].as_str().unwrap(), "--ledger", LEDGER])
            .well();
    assert!(ids.iter().all(|id| !page.out.contains(id)), "{}", page.out);
    assert!(open.iter().all(|l| !page.out.contains(l["subject_id"].as_str().unwrap())), "{}", page.out);
}

#[test]
fn a_night_is_taken_in_once_and_a_waiver_is_counted() {
    let dir = desk();
    let at = dir.path();
    let run = city().join("run").display().to_string();
    assert_eq!(mingcha(at, &absorb(&run, "2026-11-02")).well().json()["new"], false);
    let waive = ["waive", "--rule", "PEN-01", "--reason", "known", "--expires", "2027-01-01", "--as", "li"];
    let told = step(at, &[&waive, &["--approver", "Li"][..]].concat());
    assert!(told.code == Some(2) && told.err.contains("MC501"), "{}", told.err);
    step(at, &[&waive, &["--approver", "wang"][..]].concat()).well();
    assert!(leads(at, &[]).iter().all(|l| l["rule_id"] != "PEN-01"));
    assert!(leads(at, &["--all"]).iter().any(|l| l["rule_id"] == "PEN-01" && l["waiver"] == "W0001"));
    let told = mingcha(at, &["findings", "waivers", "--ledger", LEDGER, "--at", "2027-01-02"]).well();
    assert!(told.out.contains("expired"), "{}", told.out);
}

#[test]
fn run_takes_its_result_in_and_one_writer_waits_for_the_other() {
    let dir = desk();
    let at = dir.path();
    let store = city().join("store").display().to_string();
    let run = [
        "run",
        "--store",
        &store,
        "--as-of",
        "2026-11-15",
        "--out",
        "run",
        "--only",
        "PEN-01,PEN-08",
        "--ledger",
        LEDGER,
        "--at",
        "2026-11-16",
        "--format",
        "json",
    ];
    let night = mingcha(at, &run).json()["night"].clone();
    assert_eq!((&night["number"], &night["as_of"]), (&Value::from(2), &Value::from("2026-11-15")));
    assert!(night["marks"]["continuing"].as_u64().unwrap() > 0, "{night}");
    assert_eq!(
        night["marks"]["resolved"].as_u64().unwrap_or(0) + night["marks"]["withdrawn"].as_u64().unwrap_or(0),
        0,
        "{night}"
    );
    let told = mingcha(at, &absorb("run", "2026-11-17")).well();
    assert_eq!(told.json()["new"], false);
    let earlier = city().join("run").display().to_string();
    let told = mingcha(at, &absorb(&earlier, "2026-11-17"));
    assert!(told.code == Some(2) && told.err.contains("MC851"), "{}", told.err);
    // Held by somebody else.
    let lock = fs::File::options().write(true).open(at.join("book/ledger.sqlite.lock")).unwrap();
    lock.lock().unwrap();
    let told = step(at, &["waivers"]);
    assert_eq!(told.code, Some(0), "reading needs no lock");
    let told = step(at, &["unwaive", "W0001", "--as", "li"]);
    assert!(
        told.code == Some(6) && told.err.contains("MC841") && told.err.contains("nightly"),
        "{}",
        told.err
    );
}

#[test]
fn a_writer_killed_at_any_moment_leaves_the_old_ledger_or_the_new_one() {
    let dir = desk();
    let at = dir.path();
    let store = city().join("store").display().to_string();
    mingcha(at, &["run", "--store", &store, "--as-of", "2026-12-31", "--out", "later"]);
    let ledger = at.join(LEDGER);
    let seal = at.join("book/ledger.sqlite.seal");
    let (file, sealed) = (fs::read(&ledger).unwrap(), fs::read(&seal).unwrap());
    let events = |at: &Path| {
        let told = mingcha(at, &["verify", "--ledger", LEDGER, "--format", "json"]);
        assert_eq!(told.code, Some(0), "{}{}", told.out, told.err);
        told.json()["events"].as_u64().unwrap()
    };
    let before = events(at);
    mingcha(at, &absorb("later", "2027-01-01")).well();
    let after = events(at);
    assert!(after > before);
    let mut seen = std::collections::BTreeSet::new();
    for kill in 0..24_u64 {
        for beside in ["ledger.sqlite-wal", "ledger.sqlite-shm"] {
            let _ = fs::remove_file(at.join("book").join(beside));
        }
        fs::write(&ledger, &file).unwrap();
        fs::write(&seal, &sealed).unwrap();
        let mut writer = command(at, &absorb("later", "2027-01-01"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(kill * 7));
        let _ = writer.kill();
        writer.wait().unwrap();
        let now = events(at);
        assert!(now == before || now == after, "killed after {} ms: {now} events", kill * 7);
        seen.insert(now);
        // Once more, to the end: as if nothing had happened.
        mingcha(at, &absorb("later", "2027-01-01")).well();
        assert_eq!(events(at), after);
    }
    assert!(seen.contains(&before), "no writer was killed in time");
}

#[test]
fn a_changed_byte_is_found_and_nothing_is_written_on_top_of_it() {
    let dir = desk();
    let at = dir.path();
    let ledger = at.join(LEDGER);
    let mut bytes = fs::read(&ledger).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&ledger, &bytes).unwrap();
    let told = mingcha(at, &["verify", "--ledger", LEDGER, "--lang", "zh"]);
    assert_eq!(told.code, Some(4));
    assert!(told.err.contains("MC844") && told.err.contains("已被改动或损坏"), "{}", told.err);
    let told = step(
        at,
        &[
            "waive",
            "--rule",
            "PEN-01",
            "--reason",
            "known",
            "--expires",
            "2027-01-01",
            "--as",
            "li",
            "--approver",
            "wang",
        ],
    );
    assert!(told.code == Some(4) && told.err.contains("MC844"), "{}", told.err);
    assert_eq!(fs::read(&ledger).unwrap(), bytes);
    let told = mingcha(at, &["verify", "--ledger", "nowhere.sqlite"]);
    assert!(told.code == Some(4) && told.err.contains("MC843"), "{}", told.err);
}
