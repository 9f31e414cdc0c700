//! Until money is counted by payment, one dead payee whom four rules flag stands in a sum four times. Wherever such a sum
//! is shown, it is said beside it: every report, the scorecard, the end of a run, in both languages.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::city::city;
use crate::harness::{mingcha, names};

const LEDGER: &str = "book/ledger.sqlite";
const ZH: &str = "同一笔钱被几条规则查出就计几次，实际金额可能较小";
const EN: &str = "The same payment is counted once for each rule that flags it; the money itself may be less";

fn told(at: &Path, args: &[&str]) -> crate::harness::Told {
    mingcha(at, &[args, &["--ledger", LEDGER, "--at", "2026-11-09"]].concat())
}

/// A ledger with the city's night, in which every lead about one dead payee is confirmed; their fen at risk.
fn office() -> (tempfile::TempDir, Vec<Value>) {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let run = city().join("run").display().to_string();
    mingcha(at, &["ledger", "absorb", &run, "--ledger", LEDGER, "--as", "nightly", "--at", "2026-11-01"])
        .well();
    let list = ["findings", "list", "--format", "json", "--limit", "0", "--profile", "investigator"];
    let all = told(at, &list).well().json().as_array().unwrap().clone();
    let of = |subject: &Value| -> Vec<Value> {
        let rules = ["PEN-01", "PEN-02", "PEN-03", "PEN-04"];
        let mine = all.iter().filter(|l| l["subject_id"] == *subject);
        mine.filter(|l| rules.contains(&l["rule_id"].as_str().unwrap())).cloned().collect()
    };
    let dead = all.iter().map(|l| of(&l["subject_id"])).max_by_key(Vec::len).unwrap();
    assert!(dead.len() >= 2, "nobody in the city is flagged by several of PEN-01 to PEN-04");
    for lead in &dead {
        let id = lead["finding_id"].as_str().unwrap();
        let step =
            |args: &[&str]| told(at, &[&["findings", args[0], id, "--as", "li"], &args[1..]].concat()).well();
        step(&["assign", "--to", "li"]);
        step(&["visit", "--how", "visit"]);
        step(&["confirm", "--how", "papers", "--document", "2026-7"]);
    }
    (dir, dead)
}

/// The texts between `from` and `to`.
fn between<'t>(text: &'t str, from: &str, to: &str) -> Vec<&'t str> {
    text.split(from).skip(1).map(|rest| rest.split(to).next().unwrap()).collect()
}

/// Whether a heading stands over money at risk. What came back is counted by receipt.
fn is_of_money(heading: &str) -> bool {
    let money = heading.contains('元') || heading.to_lowercase().contains("yuan");
    money && !heading.contains("追回") && !heading.contains("Recovered")
}

/// Headings over sums beside which nothing is said.
fn silent(html: &str, sentence: &str) -> Vec<String> {
    let mut silent = Vec::new();
    for card in between(html, "<li>", "</li>") {
        if is_of_money(between(card, "<span class=\"label\">", "</span>")[0]) && !card.contains(sentence) {
            silent.push(card.to_owned());
        }
    }
    for section in between(html, "<section>", "</section>") {
        let title = between(section, "<h2>", "</h2>")[0];
        let heads = between(section, "<th class=\"number\">", "</th>");
        // A list has money lead by lead; its sum, where it tells one, stands in the words above.
        let list = section.contains("<th class=\"text\">编号</th>")
            || section.contains("<th class=\"text\">Id</th>");
        let note = between(section, "<p class=\"note\">", "</p>").concat();
        let sums = if list { is_of_money(&note) } else { heads.iter().any(|head| is_of_money(head)) };
        let said =
            if list { note.contains(sentence) } else { section.contains(&format!("<caption>{sentence}")) };
        if sums && !said {
            silent.push(title.to_owned());
        }
    }
    silent
}

#[test]
fn every_sum_over_rules_in_every_report_says_that_a_payment_counts_once_per_rule() {
    let (dir, _) = office();
    let at = dir.path();
    let kinds: [&[&str]; 4] =
        [&["night"], &["month", "--month", "2026-11"], &["area", "880"], &["unit", "窗口01"]];
    for (lang, sentence) in [("zh", ZH), ("en", EN)] {
        for kind in kinds {
            for profile in ["investigator", "supervisor", "public"] {
                if profile == "public" && !matches!(kind[0], "night" | "month") {
                    continue;
                }
                let out = format!("{profile}-{lang}");
                told(
                    at,
                    &[&["report"], kind, &["--profile", profile, "--out", &out, "--lang", lang]].concat(),
                )
                .well();
            }
        }
        for out in ["investigator", "supervisor", "public"].map(|profile| format!("{profile}-{lang}")) {
            for name in names(&at.join(&out)).iter().filter(|name| name.ends_with(".html")) {
                let html = fs::read_to_string(at.join(&out).join(name)).unwrap();
                let silent = silent(&html, sentence);
                assert!(silent.is_empty(), "{out}/{name} says nothing beside {silent:#?}");
                // Public counts of a night hold no money.
                assert!(out.starts_with("public") || html.contains(sentence), "{out}/{name}");
            }
        }
        // One rule counts a payment once: nothing has to be said.
        told(at, &["report", "rule", "PEN-01", "--out", "rule", "--lang", lang]).well();
    }
    for name in names(&at.join("rule")).iter().filter(|name| name.ends_with(".html")) {
        let html = fs::read_to_string(at.join("rule").join(name)).unwrap();
        assert!(!html.contains(ZH) && !html.contains(EN), "{name}");
    }
}

#[test]
fn the_scorecard_and_the_end_of_a_run_say_it_too() {
    let (dir, dead) = office();
    let at = dir.path();
    let card = mingcha(at, &["scorecard", "--ledger", LEDGER, "--format", "json"]).well().json()["scorecard"]
        .clone();
    let sum: i64 = dead.iter().filter_map(|l| l["amount_fen"].as_i64()).sum();
    assert_eq!(card["all"]["confirmed_fen"], sum, "the sum is over all of the rules");
    assert!(card["amount_note"]["zh"].as_str().unwrap().starts_with(ZH), "{card}");
    assert!(card["amount_note"]["en"].as_str().unwrap().starts_with(EN), "{card}");
    let (subjects, sharing) = (card["subjects"].as_u64().unwrap(), card["sharing"].as_u64().unwrap());
    assert!(subjects > 0 && sharing >= dead.len() as u64, "{card}");
    for (lang, sentence) in [("zh", ZH), ("en", EN)] {
        let text =
            |args: &[&str]| mingcha(at, &[args, &["--ledger", LEDGER, "--lang", lang]].concat()).well().out;
        let all = text(&["scorecard"]);
        // Directly below the table, before anything else is said.
        let total =
            all.lines().position(|line| line.contains("合计") || line.trim_start().starts_with("total"));
        let said = all.lines().position(|line| line.contains(sentence));
        assert!(said > total && said < total.map(|at| at + 4), "{all}");
        assert!(!text(&["scorecard", "--rule", "PEN-01"]).contains(sentence));
    }
    let store = city().join("store").display().to_string();
    let run = |more: &[&str]| {
        mingcha(
            at,
            &[&["run", "--store", &store, "--as-of", "2026-10-31", "--only", "PEN-01,PEN-02"], more].concat(),
        )
        .well()
    };
    for (lang, sentence) in [("zh", ZH), ("en", EN)] {
        let out = run(&["--out", &format!("run-{lang}"), "--lang", lang]).out;
        let line = out.lines().find(|line| line.contains(sentence)).unwrap_or_else(|| panic!("{out}"));
        assert!(line.contains('元') || line.contains("yuan"), "it stands beside the sum: {line}");
    }
    let json = run(&["--out", "run-json", "--format", "json"]).json();
    assert!(json["counts"]["amount_fen"].as_i64().unwrap() > 0);
    assert!(json["amount_note"]["en"].as_str().unwrap().starts_with(EN), "{json}");
}
