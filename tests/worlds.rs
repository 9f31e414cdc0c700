//! Small worlds: what happened to a few invented people, how the offices wrote it down, and what must be said of it.
//! The expectation beside each delivery is written from the happening and never from what a run says; what is not
//! right yet is listed there with its reason, and a line that has become right must be taken off.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its world has failed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::NaiveDate;
use mingcha_engine::{RunOptions, RunReport, Silent};
use mingcha_intake::{PrepareOptions, Quiet, Store, Tables, prepare};
use mingcha_rules::{Finding, Library, Sources};
use serde::Deserialize;

/// What must be said of one world.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct World {
    persons: BTreeMap<String, String>,
    /// Findings, excuses and silences that are certain.
    must: Vec<Claim>,
    /// Findings that the world leaves open. Any other finding accuses somebody wrongly.
    #[serde(default)]
    may: Vec<Open>,
    /// What is not right yet.
    #[serde(default)]
    not_yet: Vec<NotYet>,
}

/// One thing that must be said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    /// `*` for whichever rule.
    rule: String,
    /// A person by letter, or else the subject itself.
    who: Option<String>,
    subject: Option<String>,
    /// An area that the rule must name as not judged.
    area: Option<String>,
    says: Verdict,
    code: Option<String>,
    months: Option<u64>,
    from: Option<String>,
    to: Option<String>,
    amount: Option<String>,
    grade: Option<String>,
    #[serde(default)]
    severity: Vec<String>,
    #[serde(default)]
    identity: Vec<String>,
    #[serde(default)]
    measures: BTreeMap<String, String>,
    /// A dataset that must stand against the finding.
    counter: Option<String>,
    /// A word that the evidence must show.
    shows: Option<String>,
    /// A dataset whose age the run must warn of.
    warns: Option<String>,
}

#[derive(Deserialize, PartialEq, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Flagged,
    Excused,
    Silent,
    NotEvaluated,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    rule: String,
    who: String,
}

/// Something that is wrong today: what is said instead, and what the right answer waits for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NotYet {
    rule: String,
    who: Option<String>,
    subject: Option<String>,
    area: Option<String>,
    says: String,
    why: String,
}

fn as_of() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 6, 30).unwrap()
}

fn root() -> PathBuf {
    Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../..")
}

fn library() -> Library {
    let sources = Sources::from_dirs(Some(&root().join("rules")), Some(&root().join("datasets")));
    let (library, faults) = mingcha_rules::load(&sources);
    assert!(faults.is_empty(), "{faults:?}");
    library
}

fn worlds() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(root().join("tests/worlds"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

/// The run over a world; nothing where its delivery is refused.
fn run(library: &Library, world: &Path) -> Option<RunReport> {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let options = PrepareOptions::new(world.join("data"), &store, library.contracts.clone());
    prepare(&options, &Quiet).ok()?;
    let tables: Arc<dyn Tables> = Arc::new(Store::open(&store).unwrap());
    Some(mingcha_engine::run(&tables, library, &RunOptions::new(as_of()), &Silent).unwrap())
}

fn yuan(fen: i64) -> String {
    format!("{}{}.{:02}", if fen < 0 { "-" } else { "" }, fen.abs() / 100, fen.abs() % 100)
}

fn months(finding: &Finding) -> Option<&str> {
    finding.measures.get("months").map(String::as_str)
}

/// A finding in one line, as `not_yet` quotes it.
fn line(finding: &Finding) -> String {
    let months = months(finding).map(|m| format!(" {m} months")).unwrap_or_default();
    let amount = finding.amount_fen.map(|fen| format!(" {}", yuan(fen))).unwrap_or_default();
    format!("flagged {}{months}{amount}", finding.severity.as_str())
}

/// What the run says of one subject by one rule, in one line.
fn said(report: &RunReport, rule: &str, subject: &str) -> String {
    let of = |id: &str| rule == "*" || id == rule;
    let lines: Vec<String> = report
        .findings
        .iter()
        .filter(|f| of(&f.rule_id) && f.subject_id == subject)
        .map(|f| if rule == "*" { format!("{} {}", f.rule_id, line(f)) } else { line(f) })
        .collect();
    if !lines.is_empty() {
        return lines.join(", ");
    }
    let codes: Vec<&str> = report
        .excused
        .iter()
        .filter(|e| of(&e.rule_id) && e.subject_id == subject)
        .map(|e| e.code.as_str())
        .collect();
    if codes.is_empty() { "silent".to_owned() } else { format!("excused {}", codes.join(", ")) }
}

impl Claim {
    fn key(&self) -> (&str, &str) {
        key(&self.rule, self.who.as_ref(), self.subject.as_ref(), self.area.as_ref())
    }

    /// Whether the run says it of this subject.
    fn holds(&self, report: &RunReport, subject: &str) -> bool {
        let mut findings = report
            .findings
            .iter()
            .filter(|f| (self.rule == "*" || f.rule_id == self.rule) && f.subject_id == subject)
            .peekable();
        match self.says {
            Verdict::Flagged => {
                findings.peek().is_some()
                    && if self.rule == "*" {
                        findings.any(|f| self.fits(f, report))
                    } else {
                        findings.all(|f| self.fits(f, report))
                    }
            }
            Verdict::Silent => findings.peek().is_none(),
            Verdict::Excused => {
                findings.peek().is_none()
                    && report.excused.iter().any(|e| {
                        e.rule_id == self.rule
                            && e.subject_id == subject
                            && self.code.as_ref().is_none_or(|code| e.code == *code || e.also.contains(code))
                    })
            }
            Verdict::NotEvaluated => report.outcomes.iter().any(|o| {
                o.rule_id == self.rule && o.warnings.iter().any(|w| format!("{w:?}").contains(subject))
            }),
        }
    }

    fn fits(&self, f: &Finding, report: &RunReport) -> bool {
        let one_of = |list: &[String], word: &str| list.is_empty() || list.iter().any(|x| x == word);
        let begins = |wanted: &Option<String>, day: &Option<String>| {
            wanted.as_ref().is_none_or(|w| day.as_ref().is_some_and(|d| d.starts_with(w.as_str())))
        };
        let rows = || f.evidence.iter().chain(&f.counter_evidence);
        self.months.is_none_or(|n| months(f) == Some(n.to_string().as_str()))
            && begins(&self.from, &f.period_from)
            && begins(&self.to, &f.period_to)
            && self.amount.as_ref().is_none_or(|a| f.amount_fen.map(yuan).as_ref() == Some(a))
            && self.grade.as_ref().is_none_or(|g| f.grade == *g)
            && one_of(&self.severity, f.severity.as_str())
            && one_of(&self.identity, &f.identity)
            && self.measures.iter().all(|(name, value)| f.measures.get(name) == Some(value))
            && self.counter.as_ref().is_none_or(|d| f.counter_evidence.iter().any(|row| row.dataset == *d))
            && self.shows.as_ref().is_none_or(|w| rows().any(|row| row.columns.values().any(|v| v == w)))
            && self.warns.as_ref().is_none_or(|d| {
                report.outcomes.iter().any(|o| {
                    o.rule_id == f.rule_id && o.warnings.iter().any(|w| format!("{w:?}").contains(d))
                })
            })
    }
}

fn key<'a>(
    rule: &'a str,
    who: Option<&'a String>,
    subject: Option<&'a String>,
    area: Option<&'a String>,
) -> (&'a str, &'a str) {
    (rule, who.or(subject).or(area).map_or("", String::as_str))
}

/// Everything in which a world and the run over it differ, in words.
fn differences(world: &World, report: Option<&RunReport>) -> Vec<String> {
    let subject = |name: &str| world.persons.get(name).cloned().unwrap_or_else(|| name.to_owned());
    let mut wrong: BTreeMap<(String, String), String> = BTreeMap::new();
    for claim in &world.must {
        let (rule, name) = claim.key();
        let holds =
            report.map_or(claim.says == Verdict::Silent, |report| claim.holds(report, &subject(name)));
        if !holds {
            let now = report.map_or("refused".to_owned(), |report| said(report, rule, &subject(name)));
            wrong.insert((rule.to_owned(), name.to_owned()), now);
        }
    }
    for finding in report.iter().flat_map(|report| &report.findings) {
        let name = world
            .persons
            .iter()
            .find(|(_, id)| **id == finding.subject_id)
            .map_or(finding.subject_id.as_str(), |(name, _)| name);
        let wanted = world.must.iter().any(|c| {
            c.key().1 == name
                && (c.rule == finding.rule_id
                    || (c.rule == "*" && report.is_some_and(|report| c.fits(finding, report))))
        });
        let open = world.may.iter().any(|m| m.rule == finding.rule_id && m.who == name);
        if !wanted && !open {
            wrong.insert((finding.rule_id.clone(), name.to_owned()), line(finding));
        }
    }
    let mut out = Vec::new();
    for late in &world.not_yet {
        assert!(!late.why.trim().is_empty(), "a reason is missing");
        let (rule, name) = key(&late.rule, late.who.as_ref(), late.subject.as_ref(), late.area.as_ref());
        match wrong.remove(&(rule.to_owned(), name.to_owned())) {
            None => out.push(format!("{rule} {name} has become right: take it off the list of what is not")),
            Some(now) if now != late.says => {
                out.push(format!("{rule} {name} was listed as `{}` and is now `{now}`", late.says));
            }
            Some(_) => {}
        }
    }
    out.extend(wrong.into_iter().map(|((rule, name), now)| format!("{rule} {name} says `{now}`")));
    out
}

#[test]
fn every_world_is_told_as_it_happened() {
    let library = library();
    let worlds = worlds();
    assert!(worlds.len() >= 30, "worlds are missing: {}", worlds.len());
    let (mut wrong, mut right) = (Vec::new(), 0);
    for path in worlds {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path.join("expect.yaml")).unwrap();
        let world: Result<World, _> = serde_saphyr::from_str(&text);
        assert!(world.as_ref().is_ok_and(|w| !w.must.is_empty()), "{name}: {:?}", world.err());
        let world = world.unwrap();
        let report = run(&library, &path);
        right += usize::from(world.not_yet.is_empty());
        wrong.extend(differences(&world, report.as_ref()).into_iter().map(|d| format!("{name}: {d}")));
    }
    assert!(wrong.is_empty(), "{} worlds are held to be right; these differ: {wrong:#?}", right);
}
