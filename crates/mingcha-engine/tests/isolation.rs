//! Rules that try to see more than they declare, rows that belong to no person, and rules that break: each in a
//! small library of its own, over rows in memory.

#![expect(clippy::unwrap_used, reason = "a test whose library does not load has failed")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chrono::NaiveDate;
use mingcha_engine::{RunOptions, RunReport, Silent, check_sql};
use mingcha_intake::{MemoryTables, Tables};
use mingcha_rules::{Library, OutcomeKind, Sources};

/// A rule over cremations with the given SQL, keyed by `key`.
fn rule(id: &str, sql: &str, subject: &str, measure: &str) -> (String, String) {
    let text = format!(
        "id: {id}
title: {{zh: 试, en: trial}}
version: 1
status: active
since: '2026-01-01'
severity: {{default: low}}
confidence: low
owner: {{zh: 试, en: trial}}
legal: [{{instrument: {{zh: 试, en: trial}}, says: {{zh: 试, en: trial}}}}]
description: {{zh: 试, en: trial}}
rationale: {{zh: 试, en: trial}}
false_positives: [{{zh: 试, en: trial}}]
verify: [{{zh: 试, en: trial}}]
inputs: {{cremations: {{}}}}
sql: |
  {}
subject: {subject}
measures: {{n: {measure}}}
identity: \"'I1'\"
grade: \"'C'\"
evidence: [{{src: src, columns: []}}]
message: {{zh: '{{n}}', en: '{{n}}'}}
examples: {{as_of: '2026-06-30', cases: []}}
",
        sql.replace('\n', "\n  ")
    );
    (format!("rules/pension/{id}-trial.yaml"), text)
}

const BY_APPLICANT: &str = "{type: person, key: applicant_id}";

fn library(rules: &[(String, String)]) -> Library {
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../..");
    let contracts = Sources::from_dirs(None, Some(&root.join("datasets")));
    let pack = "id: pension\ntitle: {zh: 试, en: trial}\ndescription: {zh: 试, en: trial}\n";
    let files = std::iter::once(("rules/pension/pack.yaml", pack))
        .chain(rules.iter().map(|(path, text)| (path.as_str(), text.as_str())));
    let (library, faults) = mingcha_rules::load(&Sources::layered(Sources::from_embedded(files), contracts));
    assert_eq!(library.rules.len(), rules.len(), "{faults:?}");
    library
}

fn run(library: &Library, cremations: &[&[(&str, &str)]]) -> RunReport {
    let rows = cremations
        .iter()
        .map(|row| row.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
        .collect();
    let rows = BTreeMap::from([("cremations".to_owned(), rows)]);
    let tables: Arc<dyn Tables> = Arc::new(MemoryTables::build(&library.contracts, &rows).unwrap());
    mingcha_engine::run(&tables, library, &RunOptions::new("2026-06-30".parse().unwrap()), &Silent).unwrap()
}

fn number(n: u16) -> String {
    mingcha_intake::identity::make("880101", "1950-01-01".parse().unwrap(), n)
}

#[test]
fn rows_that_lead_to_no_person_reach_rules_that_run_shard_by_shard() {
    let sql = "SELECT c.applicant_id, c.src FROM cremations c WHERE c.applicant_id IS NOT NULL";
    let library = library(&[rule("PEN-90", sql, BY_APPLICANT, "count(*)")]);
    let (dead, kin) = (number(1), number(11));
    let report = run(
        &library,
        &[
            &[("id_number", &dead), ("cremation_date", "2026-01-01"), ("applicant_id", &kin)],
            &[("cremation_date", "2026-01-02"), ("applicant_id", &kin)],
        ],
    );
    assert!(report.outcomes[0].shard_local);
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].measures["n"], "2");
}

#[test]
fn a_name_in_with_does_not_open_an_undeclared_table() {
    for sql in [
        "WITH transit_rides AS (SELECT t.pid, t.src FROM transit_rides t)\nSELECT r.pid, r.src FROM transit_rides r",
        "SELECT a.pid, a.src FROM (WITH transit_rides AS (SELECT c.pid, c.src FROM cremations c) SELECT x.pid, x.src FROM transit_rides x) a\nJOIN transit_rides b ON b.pid = a.pid",
        "WITH candidates AS (SELECT c.pid, c.src FROM candidates c)\nSELECT k.pid, k.src FROM candidates k",
    ] {
        let library = library(&[rule("PEN-91", sql, "{type: person, key: pid}", "count(*)")]);
        let codes: Vec<String> = check_sql(&library).into_iter().map(|d| d.code).collect();
        assert!(codes.iter().any(|c| c == "MC252" || c == "MC203"), "{sql}: {codes:?}");
    }
}

#[test]
fn a_rule_that_fails_on_a_value_does_not_show_it_and_the_others_run() {
    let bad = "SELECT c.applicant_id, c.src, CAST(c.name AS BIGINT) AS k FROM cremations c";
    let good = "SELECT c.applicant_id, c.src FROM cremations c";
    let library = library(&[
        rule("PEN-92", bad, BY_APPLICANT, "max(k)"),
        rule("PEN-93", good, BY_APPLICANT, "count(*)"),
    ]);
    let (dead, kin) = (number(1), number(11));
    let report = run(
        &library,
        &[&[
            ("id_number", &dead),
            ("name", "凌霄"),
            ("cremation_date", "2026-01-01"),
            ("applicant_id", &kin),
        ]],
    );
    assert_eq!(report.outcomes[0].outcome, OutcomeKind::Failed);
    let said = format!("{:?}", report.outcomes[0]);
    assert!(!said.contains("凌霄"), "{said}");
    assert_eq!(report.outcomes[1].outcome, OutcomeKind::Found);
}

#[test]
fn codes_compared_with_numbers_are_refused_in_lists_and_ranges_too() {
    for condition in ["c.funeral_home = 1", "c.funeral_home IN (1, 2)", "c.funeral_home BETWEEN 1 AND 2"] {
        let sql = format!("SELECT c.applicant_id, c.src FROM cremations c WHERE {condition}");
        let library = library(&[rule("PEN-94", &sql, BY_APPLICANT, "count(*)")]);
        let codes: Vec<String> = check_sql(&library).into_iter().map(|d| d.code).collect();
        assert!(codes.iter().any(|c| c == "MC204"), "{condition}: {codes:?}");
    }
}

#[test]
fn a_matter_that_is_absent_is_not_one_that_is_empty() {
    // One subject, two matters that differ by an empty text and a missing value only.
    let sql =
        "SELECT c.applicant_id, c.src, CASE WHEN c.funeral_home = 'x' THEN '' END AS k FROM cremations c";
    let (path, text) = rule("PEN-95", sql, BY_APPLICANT, "count(*)");
    let library = library(&[(path, text.replace("measures:", "matter: [k]\nmeasures:"))]);
    let (dead, kin) = (number(1), number(11));
    let base =
        [("id_number", dead.as_str()), ("cremation_date", "2026-01-01"), ("applicant_id", kin.as_str())];
    let with_home = [base.as_slice(), &[("funeral_home", "x")]].concat();
    let report = run(&library, &[&base, &with_home]);
    assert_eq!(report.findings.len(), 2, "an absent value is not an empty one");
    assert_ne!(report.findings[0].finding_id, report.findings[1].finding_id);
}

#[test]
fn groups_are_judged_whole_however_many_there_are() {
    // Each applicant stands in the first half of the rows and in the second: their groups begin early and end late.
    let sql = "SELECT c.applicant_id, c.src, c.funeral_home AS home FROM cremations c";
    let library = library(&[rule("PEN-96", sql, BY_APPLICANT, "count(DISTINCT home)")]);
    let applicant = |n: u16| {
        let born = NaiveDate::from_ymd_opt(1950 + i32::from(n / 1000), 1, 1).unwrap();
        mingcha_intake::identity::make("880101", born, n)
    };
    let dead = number(1);
    let applicants: Vec<String> = (0..5_000).map(applicant).collect();
    let row = |home: &'static str| {
        let dead = dead.as_str();
        applicants.iter().map(move |id| {
            [
                ("id_number", dead),
                ("cremation_date", "2026-01-01"),
                ("applicant_id", id.as_str()),
                ("funeral_home", home),
            ]
        })
    };
    let rows: Vec<_> = row("a").chain(row("b")).collect();
    let rows: Vec<&[(&str, &str)]> = rows.iter().map(|r| r.as_slice()).collect();
    let report = run(&library, &rows);
    assert_eq!(report.findings.len(), applicants.len());
    for finding in &report.findings {
        assert_eq!((finding.measures["n"].as_str(), finding.candidates), ("2", 2), "{}", finding.subject_id);
    }
}
