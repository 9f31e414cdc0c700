//! The synthetic city against its planted truth: nothing missed, nothing wrongly flagged, everybody who is to be
//! spared spared for the planted reason; and the same findings whatever the file format, the number of shards and
//! the number of threads.

#![expect(clippy::unwrap_used, reason = "a test that cannot make its city has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use chrono::NaiveDate;
use mingcha_engine::{RunOptions, RunReport, Silent};
use mingcha_intake::{PrepareOptions, Quiet, Store, Tables, prepare};
use mingcha_rules::{Finding, Library, OutcomeKind, Sources};
use mingcha_synth::{CityFormat, CityOptions, TruthRow, read_truth, write_city};

fn as_of() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 6, 30).unwrap()
}

fn library() -> Library {
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../..");
    let sources = Sources::from_dirs(Some(&root.join("rules")), Some(&root.join("datasets")));
    let (library, faults) = mingcha_rules::load(&sources);
    assert!(faults.is_empty(), "{faults:?}");
    library
}

fn city(persons: u64, seed: u64, format: CityFormat, out: &Path) -> Vec<TruthRow> {
    let options = CityOptions { persons, seed, as_of: as_of(), format, dirt: true, threads: 2 };
    write_city(&options, out, &|_, _, _| {}).unwrap();
    read_truth(&out.join("truth.parquet")).unwrap()
}

/// The rules, and those that only measure: other shapes, keys and windows.
fn library_with_benches() -> Library {
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../..");
    let sources = Sources::layered(
        Sources::from_dirs(Some(&root.join("benches/pack")), None),
        Sources::from_dirs(Some(&root.join("rules")), Some(&root.join("datasets"))),
    );
    let (library, faults) = mingcha_rules::load(&sources);
    assert!(faults.is_empty(), "{faults:?}");
    library
}

/// Prepares `data` and runs every rule over it.
fn scan(library: &Library, data: &Path, store: &Path, shards: Option<usize>, threads: usize) -> RunReport {
    let mut options = PrepareOptions::new(data, store, library.contracts.clone());
    options.shards = shards;
    let prepared = prepare(&options, &Quiet);
    assert!(prepared.is_ok(), "{:?}", prepared.err());
    let mut run = RunOptions::new(as_of());
    run.threads = threads;
    rerun(library, store, &run)
}

/// Runs every rule over a store.
fn rerun(library: &Library, store: &Path, run: &RunOptions) -> RunReport {
    let tables: Arc<dyn Tables> = Arc::new(Store::open(store).unwrap());
    let report = mingcha_engine::run(&tables, library, run, &Silent).unwrap();
    for outcome in &report.outcomes {
        assert!(
            matches!(outcome.outcome, OutcomeKind::Found | OutcomeKind::Clean),
            "{}: {:?} {:?}",
            outcome.rule_id,
            outcome.outcome,
            outcome.reason
        );
    }
    report
}

/// Everything in which a run and the truth differ, in words.
fn differences(truth: &[TruthRow], report: &RunReport) -> Vec<String> {
    let wanted: BTreeSet<(&str, &str)> =
        truth.iter().filter(|t| t.expected).map(|t| (t.rule_id.as_str(), t.subject_id.as_str())).collect();
    let got: BTreeSet<(&str, &str)> =
        report.findings.iter().map(|f| (f.rule_id.as_str(), f.subject_id.as_str())).collect();
    let mut out: Vec<String> =
        wanted.difference(&got).map(|(rule, subject)| format!("{rule} missed {subject}")).collect();
    out.extend(got.difference(&wanted).map(|(rule, subject)| format!("{rule} wrongly flagged {subject}")));
    for row in truth.iter().filter(|t| !t.expected) {
        let Some(code) = &row.exclusion else { continue };
        let named = report.excused.iter().any(|e| {
            e.rule_id == row.rule_id
                && e.subject_id == row.subject_id
                && (e.code == *code || e.also.contains(code))
        });
        if !named {
            out.push(format!("{} did not excuse {} by {code}", row.rule_id, row.subject_id));
        }
    }
    out
}

#[test]
fn a_city_of_200_000_agrees_with_its_truth_in_every_rule_and_every_exclusion() {
    let dir = tempfile::tempdir().unwrap();
    let truth = city(200_000, 20_260_630, CityFormat::Mixed, &dir.path().join("city"));
    let library = library();
    let report = scan(&library, &dir.path().join("city"), &dir.path().join("store"), None, 2);
    // A comparison with nothing in it would agree with everything.
    let planted: BTreeMap<&str, usize> =
        truth.iter().filter(|t| t.expected).fold(BTreeMap::new(), |mut n, t| {
            *n.entry(t.rule_id.as_str()).or_default() += 1;
            n
        });
    for rule in &library.rules {
        assert!(
            planted.get(rule.rule.id.as_str()).is_some_and(|n| *n >= 10),
            "{} is hardly planted",
            rule.rule.id
        );
        for exclusion in &rule.rule.exclusions {
            assert!(
                truth
                    .iter()
                    .any(|t| t.rule_id == rule.rule.id && t.exclusion.as_ref() == Some(&exclusion.code)),
                "{} of {} is not planted",
                exclusion.code,
                rule.rule.id
            );
        }
    }
    let differences = differences(&truth, &report);
    assert!(
        differences.is_empty(),
        "{} differences, first: {:#?}",
        differences.len(),
        &differences[..differences.len().min(20)]
    );
}

/// What a finding says, without where its rows lie: other formats have other files.
fn said(finding: &Finding) -> impl PartialEq + std::fmt::Debug + use<> {
    let rows = |list: &[mingcha_rules::EvidenceRow]| {
        let mut rows: Vec<_> = list.iter().map(|r| (r.dataset.clone(), r.columns.clone())).collect();
        rows.sort();
        rows
    };
    (
        (finding.finding_id.clone(), finding.severity, finding.grade.clone(), finding.identity.clone()),
        (
            finding.subject_name.clone(),
            finding.area_code.clone(),
            finding.amount_fen,
            finding.measures.clone(),
        ),
        (finding.period_from.clone(), finding.period_to.clone(), finding.message.clone()),
        (rows(&finding.evidence), rows(&finding.counter_evidence), finding.exclusions_checked.clone()),
    )
}

#[test]
fn the_same_city_in_other_formats_gives_the_same_findings() {
    let dir = tempfile::tempdir().unwrap();
    let library = library();
    let formats = [
        ("mixed", CityFormat::Mixed),
        ("parquet", CityFormat::Parquet),
        ("variant", CityFormat::ParquetVariant),
        ("csv", CityFormat::CsvUtf8),
        ("gb18030", CityFormat::CsvGb18030),
        ("xlsx", CityFormat::Xlsx),
    ];
    let mut first: Option<RunReport> = None;
    for (name, format) in formats {
        let truth = city(2_000, 5, format, &dir.path().join(name));
        let report =
            scan(&library, &dir.path().join(name), &dir.path().join(format!("{name}.store")), None, 2);
        let differences = differences(&truth, &report);
        assert!(differences.is_empty(), "{name}: {differences:#?}");
        match &first {
            None => first = Some(report),
            Some(first) => {
                assert_eq!(first.findings.len(), report.findings.len(), "{name}");
                for (a, b) in first.findings.iter().zip(&report.findings) {
                    assert_eq!(said(a), said(b), "{name}: {} {}", a.rule_id, a.subject_id);
                }
                let reasons = |r: &RunReport| -> Vec<_> {
                    r.excused
                        .iter()
                        .map(|e| (e.rule_id.clone(), e.subject_id.clone(), e.code.clone(), e.candidates))
                        .collect()
                };
                assert_eq!(reasons(first), reasons(&report), "{name}");
            }
        }
    }
}

#[test]
fn shards_and_threads_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let library = library();
    let data = dir.path().join("city");
    city(5_000, 11, CityFormat::Mixed, &data);
    let one = scan(&library, &data, &dir.path().join("one"), Some(1), 1);
    assert!(!one.findings.is_empty());
    for (shards, threads) in [(1, 3), (7, 1), (7, 3), (40, 2)] {
        let other =
            scan(&library, &data, &dir.path().join(format!("s{shards}t{threads}")), Some(shards), threads);
        assert_eq!(one.findings, other.findings, "{shards} shards, {threads} threads");
        assert_eq!(one.excused, other.excused, "{shards} shards, {threads} threads");
    }
}

#[test]
fn plain_plans_and_little_memory_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let library = library_with_benches();
    let (data, store) = (dir.path().join("city"), dir.path().join("store"));
    city(20_000, 11, CityFormat::Parquet, &data);
    let ours = scan(&library, &data, &store, Some(2), 2);
    assert!(ours.findings.len() > 100 && ours.excused.len() > 100);
    let mut plain = RunOptions::new(as_of());
    plain.plain_plans = true;
    let mut small = RunOptions::new(as_of());
    small.threads = 2;
    // A worker has room for a few megabytes of rows: shards are walked in slices.
    small.memory = Some(128 << 20);
    for (name, options) in [("plain plans", plain), ("little memory", small)] {
        let other = rerun(&library, &store, &options);
        assert_eq!(ours.findings, other.findings, "{name}");
        assert_eq!(ours.excused, other.excused, "{name}");
        for (a, b) in ours.outcomes.iter().zip(&other.outcomes) {
            assert_eq!(
                (&a.rule_id, a.candidates, &a.excluded),
                (&b.rule_id, b.candidates, &b.excluded),
                "{name}"
            );
        }
    }
}
