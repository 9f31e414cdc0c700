//! What the ledger learns and tells: scorecard, queue and reports, from outside.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::city::city;
use crate::harness::{Told, mingcha, names};

const LEDGER: &str = "book/ledger.sqlite";

fn told(at: &Path, args: &[&str]) -> Told {
    mingcha(at, &[args, &["--ledger", LEDGER]].concat())
}

/// A ledger with the city's night; twelve leads of PEN-01 were checked, nine confirmed and three cleared.
fn office() -> (tempfile::TempDir, Vec<Value>) {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let run = city().join("run").display().to_string();
    told(at, &["ledger", "absorb", &run, "--as", "nightly", "--at", "2026-11-01"]).well();
    let list = [
        "findings",
        "list",
        "--format",
        "json",
        "--limit",
        "0",
        "--profile",
        "investigator",
        "--at",
        "2026-11-02",
    ];
    let all = told(at, &list).well().json().as_array().unwrap().clone();
    let ids: Vec<&str> = all
        .iter()
        .filter(|l| l["rule_id"] == "PEN-01")
        .filter_map(|l| l["finding_id"].as_str())
        .take(12)
        .collect();
    assert_eq!(ids.len(), 12);
    let step = |verb: &str, ids: &[&str], more: &[&str]| {
        told(at, &[&["findings", verb, "--as", "li", "--at", "2026-11-08"], ids, more].concat()).well();
    };
    step("assign", &ids, &["--to", "li"]);
    step("visit", &ids, &["--how", "visit"]);
    step("confirm", &ids[..9], &["--how", "papers", "--document", "2026-7"]);
    step("clear", &ids[9..], &["--reason", "wrong_data", "--text", "alive"]);
    step("recover", &ids[..1], &["--amount", "12.50", "--document", "R-1"]);
    (dir, all)
}

#[test]
fn the_scorecard_tells_precision_and_a_proposal() {
    let (dir, all) = office();
    let card = told(dir.path(), &["scorecard", "--format", "json", "--sample", "100000,400,4"]).well().json();
    let rules = card["scorecard"]["rules"].as_array().unwrap();
    let rule = rules.iter().find(|r| r["rule_id"] == "PEN-01").unwrap();
    assert_eq!(rule["total"]["precision"]["confirmed"], 9);
    assert_eq!(rule["total"]["precision"]["judged"], 12);
    assert_eq!(rule["total"]["precision"]["share"], 0.75);
    assert_eq!(
        (&rule["total"]["recovered_fen"], &rule["total"]["median_days"]),
        (&Value::from(1250), &Value::from(7))
    );
    assert_eq!(rule["proposal"], "keep");
    assert!(rules.iter().filter(|r| r["rule_id"] != "PEN-01").all(|r| r["proposal"] == "too_few"));
    assert_eq!(card["scorecard"]["all"]["findings"], all.len());
    let fen: i64 = all.iter().filter_map(|l| l["amount_fen"].as_i64()).sum();
    assert_eq!(card["scorecard"]["all"]["at_risk_fen"], fen);
    assert!(card["recall"]["low"].as_f64() < card["recall"]["point"].as_f64(), "{}", card["recall"]);
    let words = told(dir.path(), &["scorecard", "--rule", "PEN-01", "--lang", "zh"]).well().out;
    assert!(words.contains("75.0%（46.8–91.1%）") && words.contains("保留"), "{words}");
    let before = told(dir.path(), &["scorecard", "--until", "2026-11-07", "--format", "json"]).well().json();
    assert_eq!(before["scorecard"]["all"]["checked"], 0);
    let wrong = told(dir.path(), &["scorecard", "--sample", "10,20,1"]);
    assert_eq!(wrong.code, Some(2));
}

#[test]
fn the_queue_says_of_every_lead_why_it_stands_there() {
    let (dir, _) = office();
    let args =
        ["findings", "list", "--order", "queue", "--at", "2026-11-09", "--format", "json", "--limit", "20"];
    let queue = told(dir.path(), &args).well().json().as_array().unwrap().clone();
    assert_eq!(queue.len(), 20);
    assert!(queue.iter().enumerate().all(|(at, q)| q["place"] == at + 1));
    assert!(queue[9]["explored"] == true && queue[19]["explored"] == true && queue[0]["explored"] == false);
    assert!(queue.iter().all(|q| !q["why"]["zh"].as_str().unwrap().is_empty()));
    assert!(queue.iter().all(|q| q["subject_id"].as_str().unwrap().contains('*')), "masked by default");
    let words =
        told(dir.path(), &["findings", "list", "--order", "queue", "--at", "2026-11-09", "--limit", "3"])
            .well()
            .out;
    assert!(words.contains("yuan to be expected"), "{words}");
    let run = city().join("run").display().to_string();
    let without = mingcha(dir.path(), &["findings", "list", "--run", &run, "--order", "queue"]);
    assert!(without.code == Some(2) && without.err.contains("needs a ledger"), "{}", without.err);
}

#[test]
fn every_report_is_written_in_both_languages_and_masked() {
    let (dir, all) = office();
    let at = dir.path();
    // A unit that is no clerk: an account that many share.
    let account =
        all.iter().find(|l| l["subject_type"] == "account").unwrap()["subject_id"].as_str().unwrap();
    let kinds: [&[&str]; 5] = [
        &["night"],
        &["month", "--month", "2026-11"],
        &["area", "880"],
        &["unit", account],
        &["rule", "PEN-01"],
    ];
    for kind in kinds {
        for lang in ["zh", "en"] {
            let args =
                [&["report"], kind, &["--out", "reports", "--at", "2026-11-09", "--lang", lang]].concat();
            told(at, &args).well();
        }
    }
    let written = names(&at.join("reports"));
    assert_eq!(written.len(), 20, "{written:?}");
    for name in written.iter().filter(|name| name.ends_with(".html")) {
        let html = fs::read_to_string(at.join("reports").join(name)).unwrap();
        assert!(html.contains("<table") && html.contains("class=\"chart\""), "{name}");
        let seen =
            |key: &str| all.iter().filter_map(|l| l[key].as_str()).filter(|v| html.contains(*v)).count();
        assert_eq!((seen("subject_id"), seen("finding_id")), (0, 0), "{name}");
    }
    let again = told(at, &["report", "night", "--out", "reports", "--at", "2026-11-09", "--lang", "zh"]);
    assert!(again.code == Some(2) && again.err.contains("--replace"), "{}", again.err);
    for wrong in [
        &["report", "month", "--month", "2026-13", "--out", "r"][..],
        &["report", "night", "--night", "7", "--out", "r"],
        &["report", "rule", "PEN-99", "--out", "r"],
        &["report", "rule", "PEN-01", "--profile", "public", "--out", "r"],
    ] {
        assert_eq!(told(at, wrong).code, Some(2), "{wrong:?}");
    }
    assert!(!at.join("r").exists(), "nothing is made for a report that is refused");
}
