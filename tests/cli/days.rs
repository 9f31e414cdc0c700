//! A day is a day where the office is: what is judged, counted, dated and shown at the hours at which Greenwich has
//! another day. Instants are given in UTC, as a machine writes them.

use std::fs;
use std::path::{Path, PathBuf};

use mingcha_ledger::Book;
use mingcha_ledger::book::Moment;
use serde_json::Value;

use crate::city::city;
use crate::harness::{Told, files, mingcha};

const LEDGER: &str = "ledger.sqlite";

/// A folder with a ledger that took the city's run in at `at`, in an office with these settings.
fn office(settings: &str, at: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mingcha.toml"), settings).unwrap();
    let run = city().join("run").display().to_string();
    mingcha(dir.path(), &["ledger", "absorb", &run, "--ledger", LEDGER, "--as", "nightly", "--at", at])
        .well();
    dir
}

fn zone(name: &str) -> String {
    format!("[office]\nzone = '{name}'\n")
}

fn leads(home: &Path, at: &str, more: &[&str]) -> Vec<Value> {
    let all = ["--format", "json", "--limit", "0", "--profile", "investigator", "--at", at];
    let args = [&["findings", "list", "--ledger", LEDGER][..], &all, more].concat();
    mingcha(home, &args).well().json().as_array().unwrap().clone()
}

fn step(home: &Path, at: &str, args: &[&str]) -> Told {
    mingcha(home, &[&["findings"], args, &["--ledger", LEDGER, "--at", at]].concat())
}

/// Leads that the ledger knew at the end of a day.
fn known_on(home: &Path, day: &str) -> usize {
    let mut n = 0;
    Book::read(&home.join(LEDGER)).unwrap().courses(Moment::Day(day), |_| n += 1).unwrap();
    n
}

#[test]
fn a_visit_of_this_morning_is_no_visit_of_tomorrow() {
    let dir = office("", "2026-10-31T18:30:00Z");
    let home = dir.path();
    let id = leads(home, "2026-11-01T02:00:00Z", &["--rule", "PEN-01"])[0]["finding_id"].clone();
    let id = id.as_str().unwrap();
    // 07:30 on 2 November in Shanghai.
    let morning = "2026-11-01T23:30:00Z";
    step(home, morning, &["assign", id, "--to", "li", "--as", "chief"]).well();
    let visit = ["visit", id, "--as", "li", "--how", "visit", "--text", "seen"];
    let ahead = step(home, morning, &[&visit[..], &["--on", "2026-11-03"]].concat());
    assert!(ahead.code == Some(2) && ahead.err.contains("MC853"), "{}", ahead.err);
    step(home, morning, &[&visit[..], &["--on", "2026-11-02"]].concat()).well();
    let shown = mingcha(home, &["findings", "show", id, "--ledger", LEDGER, "--lang", "en"]).well().out;
    assert!(shown.contains("when (Asia/Shanghai)") && shown.contains("2026-11-02 07:30"), "{shown}");
    // Unless it is said otherwise, it was today.
    step(home, morning, &visit).well();
    let seen = mingcha(home, &["findings", "show", id, "--ledger", LEDGER, "--format", "json"]).well().json();
    assert_eq!(seen["lead"]["check"]["on"], "2026-11-02");
    mingcha(home, &["verify", "--ledger", LEDGER]).well();
}

#[test]
fn a_night_belongs_to_the_month_that_it_has_in_the_office() {
    for (settings, at, opened, before) in [
        // Half past midnight on 1 August, and half past seven.
        (String::new(), "2026-07-31T16:30:00Z", "2026-08-01", "2026-07-31"),
        (String::new(), "2026-07-31T23:30:00Z", "2026-08-01", "2026-07-31"),
        // Summer time: half past midnight; winter time: half past eleven of the evening before.
        (zone("Europe/Berlin"), "2026-07-31T22:30:00Z", "2026-08-01", "2026-07-31"),
        (zone("Europe/Berlin"), "2026-11-30T22:30:00Z", "2026-11-30", "2026-11-29"),
        // Ten in the evening of 31 July, when Greenwich has August already.
        (zone("America/Los_Angeles"), "2026-08-01T05:00:00Z", "2026-07-31", "2026-07-30"),
    ] {
        let dir = office(&settings, at);
        let home = dir.path();
        let all = leads(home, at, &[]);
        assert!(all.iter().all(|lead| lead["opened"] == opened), "{at}: {}", all[0]["opened"]);
        assert_eq!(known_on(home, before), 0, "{at} was dated into {before}");
        assert_eq!(known_on(home, opened), all.len(), "{at}");
        let chain = Book::read(&home.join(LEDGER)).unwrap().history(all[0]["finding_id"].as_str().unwrap());
        let event = serde_json::to_value(&chain.unwrap()[0]).unwrap();
        assert_eq!(event["at"], at, "an instant stays an instant");
    }
}

#[test]
fn the_last_day_of_a_waiver_and_of_a_list_is_a_day_there() {
    let dir = office("", "2026-10-31T18:30:00Z");
    let home = dir.path();
    let waive = ["waive", "--rule", "PEN-01", "--reason", "known", "--approver", "wang", "--as", "chief"];
    step(home, "2026-11-01T01:00:00Z", &[&waive[..], &["--expires", "2026-11-30"]].concat()).well();
    let waived =
        |at: &str| leads(home, at, &["--rule", "PEN-01", "--all"]).iter().any(|l| !l["waiver"].is_null());
    assert!(waived("2026-11-30T15:30:00Z"), "half past eleven on the last day");
    assert!(!waived("2026-11-30T16:30:00Z"), "it was over half an hour ago");
    // A list that leaves at half past midnight is valid for thirty days from that day.
    let args =
        ["export", "--ledger", LEDGER, "--as", "chief", "--for", "88", "--out", "out", "--format", "csv"];
    let told = mingcha(home, &[&args[..], &["--at", "2026-11-01T16:30:00Z", "--lang", "en"]].concat()).well();
    assert!(told.out.contains("valid until 2026-12-02"), "{}", told.out);
}

#[test]
fn a_ledger_keeps_its_zone_wherever_it_is_read() {
    let dir = office(&zone("America/Los_Angeles"), "2026-08-01T05:00:00Z");
    let home = dir.path();
    let light = |at: &str| leads(home, at, &["--rule", "PEN-01"])[0]["light"].clone();
    let due = leads(home, "2026-08-01T05:00:00Z", &["--rule", "PEN-01"])[0]["due"].clone();
    // Ten in the evening of the last day: on a machine in Shanghai it is the day after.
    let evening = format!("{}T22:00:00-07:00", due.as_str().unwrap());
    let there = light(&evening);
    fs::write(home.join("mingcha.toml"), "").unwrap();
    assert_eq!(light(&evening), there);
    assert_eq!(there, "yellow");
    // And nobody writes days of another zone into it.
    let id = leads(home, &evening, &["--rule", "PEN-01"])[0]["finding_id"].clone();
    let told = step(home, &evening, &["note", id.as_str().unwrap(), "--text", "seen", "--as", "li"]);
    assert_eq!(told.code, Some(2), "{}", told.err);
    assert!(told.err.contains("MC941") && told.err.contains("America/Los_Angeles"), "{}", told.err);
    fs::write(home.join("mingcha.toml"), "[office]\nzone = 'Mars'\n").unwrap();
    let told = mingcha(home, &["config", "show"]);
    assert!(told.code == Some(2) && told.err.contains("MC092"), "{}", told.err);
}

#[test]
fn a_run_says_in_which_zone_it_was_made() {
    let manifest = fs::read(city().join("run/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["environment"]["zone"], "Asia/Shanghai");
}

/// The way from an instant to a day is `Zone` and nothing else.
#[test]
fn nobody_cuts_a_day_out_of_the_text_of_an_instant() {
    let crates = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let cuts = ["get(..10)", "[..10]", "get(0..10)", "[0..10]", ".date_naive()", "substr(at", "date(at"];
    for path in files(&crates) {
        let name = path.to_string_lossy().into_owned();
        let ours =
            name.contains("/src/") && !name.contains("mingcha-synth") && !name.contains("mingcha-engine");
        // The one place, and the nights that are told apart by the date of their schedule, which is in the zone.
        let lawful = name.ends_with("mingcha-ledger/src/time.rs") || name.contains("/nightly/");
        if !ours || lawful || path.extension().is_none_or(|ending| ending != "rs" && ending != "sql") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for cut in cuts {
            assert!(!text.contains(cut), "{name} has `{cut}`: a day of Greenwich");
        }
    }
}
