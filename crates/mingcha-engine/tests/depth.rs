//! What a rule follows from, to the end: views that read views, tables that were not made, results that are kept from
//! a run that was stopped, conditions that must be read as they are written. Each in a small library of its own, over
//! rows in memory. "Nothing found" is an answer only where everything was looked at.

#![expect(clippy::unwrap_used, reason = "a test whose library does not load has failed")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mingcha_engine::{PartsFolder, RunOptions, RunProgress, RunReport, Silent, check_sql};
use mingcha_intake::{MemoryTables, Tables};
use mingcha_rules::{Diagnostic, Library, Outcome, OutcomeKind, Sources};

/// A rule on persons, to be written.
struct Rule<'a> {
    sql: &'a str,
    views: &'a str,
    /// Lines that stand before the subject.
    more: &'a str,
}

impl Rule<'_> {
    fn file(&self) -> (String, String) {
        let text = format!(
            "id: PEN-90
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
views: [{}]
sql: |
  {}
{}subject: {{type: person, key: pid}}
measures: {{n: count(*)}}
identity: \"'I1'\"
grade: \"'C'\"
evidence: [{{src: src, columns: []}}]
message: {{zh: '{{n}}', en: '{{n}}'}}
examples: {{as_of: '2026-06-30', cases: []}}
",
            self.views,
            self.sql.replace('\n', "\n  "),
            self.more,
        );
        ("rules/pension/PEN-90-trial.yaml".to_owned(), text)
    }
}

fn view(name: &str, reads: &str, sql: &str) -> (String, String) {
    let inputs = if sql.contains(" cremations ") { "cremations" } else { "" };
    let sql = sql.replace('\n', "\n  ");
    let text = format!(
        "name: {name}\ndescription: {{zh: 试, en: trial}}\ninputs: [{inputs}]\nviews: [{reads}]\nsql: |\n  {sql}\n"
    );
    (format!("rules/pension/views/{name}.yaml"), text)
}

fn loaded(files: &[(String, String)]) -> (Library, Vec<Diagnostic>) {
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../..");
    let contracts = Sources::from_dirs(None, Some(&root.join("datasets")));
    let pack = "id: pension\ntitle: {zh: 试, en: trial}\ndescription: {zh: 试, en: trial}\n";
    let files = std::iter::once(("rules/pension/pack.yaml", pack))
        .chain(files.iter().map(|(path, text)| (path.as_str(), text.as_str())));
    mingcha_rules::load(&Sources::layered(Sources::from_embedded(files), contracts))
}

fn library(files: &[(String, String)]) -> Library {
    let (library, faults) = loaded(files);
    assert_eq!(library.rules.len(), 1, "{faults:?}");
    assert_eq!(library.views.len(), files.len() - 1, "{faults:?}");
    let faults = check_sql(&library);
    assert!(faults.is_empty(), "{faults:?}");
    library
}

fn number(n: u16) -> String {
    mingcha_intake::identity::make("880101", "1950-01-01".parse().unwrap(), n)
}

/// A cremation of person `n` on a day of January 2026.
fn cremation(n: u16, day: u32, home: &str) -> BTreeMap<String, String> {
    let row = [
        ("id_number", number(n)),
        ("cremation_date", format!("2026-01-{day:02}")),
        ("funeral_home", home.to_owned()),
        ("name", "柏青山".to_owned()),
    ];
    row.into_iter().map(|(field, value)| (field.to_owned(), value)).collect()
}

fn tables(library: &Library, cremations: Vec<BTreeMap<String, String>>) -> Arc<dyn Tables> {
    let rows = BTreeMap::from([("cremations".to_owned(), cremations)]);
    Arc::new(MemoryTables::build(&library.contracts, &rows).unwrap())
}

fn options() -> RunOptions {
    RunOptions { threads: 1, ..RunOptions::new("2026-06-30".parse().unwrap()) }
}

fn run(library: &Library, tables: &Arc<dyn Tables>, options: &RunOptions) -> RunReport {
    mingcha_engine::run(tables, library, options, &Silent).unwrap()
}

/// Stops a run when its first part is on the disk.
struct StopAfterOne<'a> {
    folder: &'a Path,
    resumed: AtomicBool,
}

impl RunProgress for StopAfterOne<'_> {
    fn begin(&self, _units: u64) {}
    fn advance(&self, _units: u64) {}
    fn resumed(&self, _parts: usize, _of: usize, _units: u64) {
        self.resumed.store(true, Ordering::Relaxed);
    }
    fn rule_done(&self, _outcome: &Outcome) {}
    fn cancelled(&self) -> bool {
        let Ok(entries) = std::fs::read_dir(self.folder.join("all")) else { return false };
        entries.flatten().any(|e| e.file_name().to_string_lossy().starts_with("part-"))
    }
}

/// A rule that numbers the rows of a view over everybody, so that the view's rows are kept from the shards.
const OVER_EVERYTHING: &str =
    "SELECT v.pid, v.src, row_number() OVER (ORDER BY v.day, v.src) AS place\nFROM late_cremations v";

fn late(from: u32) -> (String, String) {
    let sql = format!(
        "SELECT c.pid, c.src, c.cremation_date AS day\nFROM cremations c WHERE c.cremation_date >= DATE '2026-01-{from:02}'"
    );
    view("late_cremations", "", &sql)
}

#[test]
fn a_stopped_run_does_not_lend_the_rows_of_a_view_that_was_edited_since() {
    // Only the rule over everything reads the view: no rule of the shards tells that it is another one.
    let rule = Rule { sql: OVER_EVERYTHING, views: "late_cremations", more: "" };
    // And one further down: the text of the view that the rule reads has not changed at all.
    let through =
        view("late_cremations", "all_cremations", "SELECT v.pid, v.src, v.day\nFROM all_cremations v");
    let below = |from| (late(from).0.replace("late_", "all_"), late(from).1.replace("late_", "all_"));
    for (before, after) in [
        (vec![late(5), rule.file()], vec![late(15), rule.file()]),
        (vec![below(5), through.clone(), rule.file()], vec![below(15), through, rule.file()]),
    ] {
        let (before, after) = (library(&before), library(&after));
        let rows: Vec<_> = (1..=20).map(|day| cremation(u16::try_from(day).unwrap(), day, "甲")).collect();
        let tables = tables(&before, rows);
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("parts");
        let parts = |resume| {
            let parts = PartsFolder { folder: folder.clone(), tables: "the store".to_owned(), resume };
            RunOptions { parts: Some(parts), ..options() }
        };
        let stop = StopAfterOne { folder: &folder, resumed: AtomicBool::default() };
        assert!(mingcha_engine::run(&tables, &before, &parts(false), &stop).unwrap().cancelled);
        assert!(stop.cancelled(), "a part was kept");
        let resumed = run(&after, &tables, &parts(true));
        assert_eq!(resumed.findings.len(), 6, "those from the 15th on, as the view now says");
        assert_eq!(resumed.findings, run(&after, &tables, &options()).findings);
    }
}

#[test]
fn the_views_below_the_views_that_shards_read_are_made_before_them() {
    // By day, over everybody; then twice read by views that read nothing else.
    let by_day = view(
        "by_day",
        "",
        "SELECT c.cremation_date AS day, count(c.src) AS n\nFROM cremations c GROUP BY c.cremation_date",
    );
    let chain: Vec<(String, String)> = (1..6)
        .map(|n| {
            let below = if n == 1 { "by_day".to_owned() } else { format!("step_{}", n - 1) };
            view(&format!("step_{n}"), &below, &format!("SELECT v.day, v.n\nFROM {below} v WHERE v.n > 1"))
        })
        .collect();
    let rows: Vec<_> = (1..=40).map(|n| cremation(n, 1 + u32::from(n % 4), "甲")).collect();
    for length in 1..=chain.len() {
        let sql = format!(
            "SELECT c.pid, c.src\nFROM cremations c JOIN step_{length} v ON v.day = c.cremation_date"
        );
        let rule = Rule { sql: &sql, views: &format!("step_{length}"), more: "" }.file();
        let files: Vec<_> = [&by_day].into_iter().chain(&chain[..length]).chain([&rule]).cloned().collect();
        let library = library(&files);
        let report = run(&library, &tables(&library, rows.clone()), &options());
        assert!(report.outcomes[0].shard_local, "{:?}", report.outcomes[0]);
        assert_eq!(
            report.findings.len(),
            40,
            "a chain of {} views: {:?}",
            length + 1,
            report.outcomes[0].outcome
        );
    }
}

/// A view that takes the square of a person's rows, and one that takes a row of each person of it.
fn costly() -> [(String, String); 3] {
    [
        view(
            "pairs",
            "",
            "SELECT x.pid, x.src, row_number() OVER (PARTITION BY x.pid ORDER BY x.src, y.src) AS n\nFROM cremations x JOIN cremations y ON y.pid = x.pid",
        ),
        view("firsts", "pairs", "SELECT p.pid, p.src, p.n\nFROM pairs p WHERE p.n = 1"),
        view("once_more", "firsts", "SELECT f.pid, f.src\nFROM firsts f WHERE f.n < 2"),
    ]
}

fn of_everybody(view: &str) -> String {
    format!("SELECT v.pid, v.src, row_number() OVER (ORDER BY v.src) AS place\nFROM {view} v")
}

fn many(persons: u16, each: u32) -> Vec<BTreeMap<String, String>> {
    let row = |n: u16| (0..each).map(move |i| cremation(n, 1 + i % 28, "甲"));
    (1..=persons).flat_map(row).collect()
}

#[test]
fn a_kept_view_is_made_again_with_the_view_that_it_reads_when_that_found_no_memory() {
    for name in ["firsts", "once_more"] {
        let [pairs, firsts, once_more] = costly();
        let sql = of_everybody(name);
        let files = match name {
            "firsts" => vec![pairs, firsts],
            _ => vec![pairs, firsts, once_more],
        };
        let rule = Rule { sql: &sql, views: name, more: "" }.file();
        let library = library(&[files, vec![rule]].concat());
        let tables = tables(&library, many(64, 120));
        let whole = run(&library, &tables, &options());
        assert_eq!(whole.findings.len(), 64);
        // Too little for everybody's pairs, enough for those of a quarter.
        let little = RunOptions { memory: Some(64 << 20), ..options() };
        let report = run(&library, &tables, &little);
        let said = (&report.outcomes[0].outcome, &report.outcomes[0].reason);
        assert_eq!(report.findings, whole.findings, "{name}: {said:?}");
    }
}

#[test]
fn what_reads_a_view_that_cannot_be_held_is_held_at_any_depth() {
    let [pairs, firsts, once_more] = costly();
    let sql = of_everybody("once_more");
    let rule = Rule { sql: &sql, views: "once_more", more: "" }.file();
    let library = library(&[pairs, firsts, once_more, rule]);
    // One person alone is too much.
    let tables = tables(&library, many(1, 1_500));
    let little = RunOptions { memory: Some(48 << 20), ..options() };
    let report = run(&library, &tables, &little);
    assert_eq!(report.outcomes[0].outcome, OutcomeKind::Held, "{:?}", report.outcomes[0]);
    assert!(report.findings.is_empty());
}

#[test]
fn what_reads_a_view_that_fails_fails_at_any_depth() {
    let broken = view(
        "broken",
        "",
        "SELECT c.cremation_date AS day, sum(CAST(c.name AS BIGINT)) AS n\nFROM cremations c GROUP BY c.cremation_date",
    );
    let over = view("over", "broken", "SELECT b.day, b.n\nFROM broken b");
    let last = view("last", "over", "SELECT o.day, o.n\nFROM over o");
    for sql in [
        "SELECT c.pid, c.src\nFROM cremations c JOIN last l ON l.day = c.cremation_date",
        "SELECT c.pid, c.src\nFROM cremations c LEFT JOIN last l ON l.day = c.cremation_date WHERE l.day IS NULL",
        "SELECT c.pid, c.src, row_number() OVER (ORDER BY c.src) AS k\nFROM cremations c JOIN last l ON l.day = c.cremation_date",
    ] {
        let rule = Rule { sql, views: "last", more: "" }.file();
        let library = library(&[broken.clone(), over.clone(), last.clone(), rule]);
        let report = run(&library, &tables(&library, many(3, 2)), &options());
        assert_eq!(report.outcomes[0].outcome, OutcomeKind::Failed, "{sql}: {:?}", report.outcomes[0]);
        assert!(!format!("{:?}", report.outcomes[0]).contains("柏青山"));
    }
}

#[test]
fn distinct_from_ends_before_and_in_rules_views_and_exclusions() {
    // Of persons 1 to 4, cremated on the 1st to the 4th: one home is not 甲, or the day is late.
    let rows: Vec<_> =
        (1..=4).map(|n| cremation(n, u32::from(n), if n % 2 == 0 { "甲" } else { "乙" })).collect();
    let early = "(c.cremation_date > DATE '2026-01-02')";
    // (late, 甲): 1 no no, 2 no yes, 3 yes no, 4 yes yes.
    for (condition, expected) in [
        (format!("{early} IS DISTINCT FROM (c.funeral_home = '甲')"), vec![2, 3]),
        (
            format!(
                "{early} IS DISTINCT FROM (c.funeral_home = '甲') AND c.cremation_date < DATE '2026-01-03'"
            ),
            vec![2],
        ),
        (
            format!(
                "{early} IS NOT DISTINCT FROM (c.funeral_home = '甲') AND c.cremation_date < DATE '2026-01-03'"
            ),
            vec![1],
        ),
        (
            format!(
                "{early} IS DISTINCT FROM (c.funeral_home = '甲') OR c.cremation_date = DATE '2026-01-04'"
            ),
            vec![2, 3, 4],
        ),
        (
            format!(
                "c.src > 0 AND {early} IS NOT DISTINCT FROM (c.funeral_home = '甲') OR c.cremation_date = DATE '2026-01-02'"
            ),
            vec![1, 2, 4],
        ),
        (
            format!(
                "NOT {early} IS DISTINCT FROM (c.funeral_home = '甲') AND c.cremation_date > DATE '2026-01-01'"
            ),
            vec![4],
        ),
    ] {
        let found = |files: &[(String, String)]| {
            let library = library(files);
            let report = run(&library, &tables(&library, rows.clone()), &options());
            assert!(matches!(report.outcomes[0].outcome, OutcomeKind::Found | OutcomeKind::Clean));
            (1..=4_u16)
                .filter(|n| report.findings.iter().any(|f| f.subject_id == number(*n)))
                .collect::<Vec<_>>()
        };
        let sql = format!("SELECT c.pid, c.src\nFROM cremations c WHERE {condition}");
        assert_eq!(found(&[Rule { sql: &sql, views: "", more: "" }.file()]), expected, "rule: {condition}");
        let of_view = view("some", "", &sql);
        let rule = Rule { sql: "SELECT s.pid, s.src\nFROM some s", views: "some", more: "" };
        assert_eq!(found(&[of_view, rule.file()]), expected, "view: {condition}");
        let all = "SELECT c.pid, c.src, c.cremation_date, c.funeral_home\nFROM cremations c";
        let when = condition.replace("c.", "");
        let more =
            format!("exclusions: [{{code: X-TRIAL, title: {{zh: 试, en: trial}}, when: \"{when}\"}}]\n");
        let rest: Vec<u16> = (1..=4).filter(|n| !expected.contains(n)).collect();
        assert_eq!(found(&[Rule { sql: all, views: "", more: &more }.file()]), rest, "when: {condition}");
    }
}

#[test]
fn tests_over_subqueries_that_would_be_answered_wrongly_are_refused() {
    let of = |inner: &str| format!("SELECT a.pid, a.src\nFROM cremations a WHERE {inner}");
    for inner in [
        // One row, always: the condition holds for everybody, and was answered as if it were EXISTS (SELECT 1 ...).
        "EXISTS (SELECT count(*) FROM cremations b WHERE b.pid = a.pid)",
        "NOT EXISTS (SELECT count(b.src) FROM cremations b WHERE b.pid = a.pid)",
        "EXISTS (SELECT max(b.cremation_date) AS m FROM cremations b WHERE b.pid = a.pid)",
        "EXISTS (SELECT 1 FROM cremations b WHERE b.pid = a.pid HAVING count(*) = 0)",
        "EXISTS (SELECT 1 FROM (SELECT count(b.src) AS n FROM cremations b WHERE b.pid = a.pid) q WHERE q.n = 0)",
        "a.src IN (SELECT count(b.src) FROM cremations b WHERE b.pid = a.pid)",
        "a.cremation_date IN (SELECT coalesce(max(b.cremation_date), a.cremation_date) FROM cremations b WHERE b.pid = a.pid AND b.src > 9)",
        // A window would number the rows of all persons.
        "EXISTS (SELECT 1 FROM (SELECT row_number() OVER (ORDER BY b.src) AS n FROM cremations b WHERE b.pid = a.pid) q WHERE q.n = 2)",
        // An outer join would find the partners of others.
        "EXISTS (SELECT 1 FROM cremations b LEFT JOIN (SELECT c.src, c.cremation_date FROM cremations c WHERE c.pid = a.pid) q ON q.cremation_date = b.cremation_date WHERE q.src IS NULL)",
        "EXISTS (SELECT 1 FROM cremations b WHERE b.pid = a.pid GROUP BY ROLLUP (b.name))",
    ] {
        let sql = of(inner);
        let (library, _) = loaded(&[Rule { sql: &sql, views: "", more: "" }.file()]);
        let codes: Vec<String> = check_sql(&library).into_iter().map(|d| d.code).collect();
        // MC203: the planner itself refuses the outer row in a derived table, or inside a value that is compared.
        let refused = |c: &String| c == "MC271" || c == "MC203";
        assert!(codes.iter().any(refused), "{inner}: {codes:?}");
    }
    for inner in [
        "EXISTS (SELECT 1 FROM cremations b WHERE b.pid = a.pid AND b.src > a.src)",
        "EXISTS (SELECT b.name FROM cremations b WHERE b.pid = a.pid GROUP BY b.name HAVING count(*) > 1)",
        "EXISTS (SELECT DISTINCT b.name FROM cremations b WHERE b.pid = a.pid)",
        "a.cremation_date IN (SELECT max(b.cremation_date) FROM cremations b)",
        "EXISTS (SELECT 1 FROM cremations b JOIN (SELECT c.pid, max(c.src) AS last FROM cremations c GROUP BY c.pid) q ON q.pid = b.pid WHERE b.pid = a.pid)",
    ] {
        library(&[Rule { sql: &of(inner), views: "", more: "" }.file()]);
    }
}

#[test]
fn a_finding_tells_of_all_that_was_excused_of_its_subject_in_whatever_order_it_is_judged() {
    // One person, two funeral homes: of one there are two cremations, which are excused as a whole.
    let sql = "SELECT c.pid, c.src, c.funeral_home AS home\nFROM cremations c";
    let more = "matter: [home]\nexclusions: [{code: X-TRIAL, title: {zh: 试, en: trial}, having: n > 1}]\n";
    let library = library(&[Rule { sql, views: "", more }.file()]);
    let excused = |homes: [&str; 3]| {
        let rows = homes.iter().zip(1..).map(|(home, day)| cremation(1, day, home)).collect();
        let report = run(&library, &tables(&library, rows), &options());
        assert_eq!(report.findings.len(), 1, "{:?}", report.outcomes[0]);
        let checked = &report.findings[0].exclusions_checked;
        checked.iter().map(|x| (x.code.clone(), x.excused)).collect::<Vec<_>>()
    };
    for homes in [["甲", "甲", "乙"], ["乙", "甲", "甲"], ["甲", "乙", "甲"]] {
        assert_eq!(excused(homes), [("X-TRIAL".to_owned(), 2)], "{homes:?}");
    }
}
