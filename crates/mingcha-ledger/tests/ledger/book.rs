//! Nights to put into a ledger: a run of one rule whose findings, excused and outcome are chosen.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mingcha_ledger::book::{Book, By, Filter, Lead, Listed, Mark, Night, Policy};
use mingcha_ledger::{InputFile, Instant, RunFolder, RunWriter, Zone};
use mingcha_rules::{Excused, Finding, OutcomeKind};

use crate::fixture::{self, case, plain, row};

pub(crate) const RULE: &str = "PEN-13";

/// A ledger in a folder of its own.
pub(crate) struct Desk {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) policy: Policy,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), policy: Policy::default() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("ledger.sqlite")
    }

    pub(crate) fn open(&self) -> Book {
        Book::open(&self.path(), by("2026-11-01")).unwrap()
    }

    /// Absorbs a night and says what it made.
    pub(crate) fn absorb(&self, tonight: &Tonight) -> Night {
        let run = tonight.write(self.dir.path());
        let (night, new) = self.open().absorb(&run, &self.policy, None, by(&tonight.day)).unwrap();
        assert!(new, "the night was absorbed before");
        night
    }

    pub(crate) fn leads(&self, filter: &Filter, day: &str) -> Vec<Listed> {
        Book::read(&self.path()).unwrap().leads(filter, &self.policy, day).unwrap()
    }

    pub(crate) fn lead(&self, id: &str) -> Lead {
        let mut found = self.leads(&of(id), "2026-12-31");
        assert_eq!(found.len(), 1);
        found.remove(0).lead
    }

    /// What happened to a lead, in order.
    pub(crate) fn story(&self, id: &str) -> Vec<String> {
        let history = Book::read(&self.path()).unwrap().history(id).unwrap();
        history.into_iter().map(|event| event.what).collect()
    }

    /// Nothing is wrong with the ledger.
    #[track_caller]
    pub(crate) fn whole(&self) {
        let proof = Book::verify(&self.path(), None).unwrap();
        assert!(proof.faults.is_empty() && proof.remarks.is_empty(), "{:?}", proof);
    }
}

pub(crate) fn of(id: &str) -> Filter {
    Filter { ids: vec![id.to_owned()], ..Filter::default() }
}

/// `zhang` on the day `day`; the names are invented.
pub(crate) fn by(day: &str) -> By<'static> {
    acts("zhang", day)
}

/// Somebody in an office in Shanghai, at an instant or on a day.
pub(crate) fn acts<'a>(who: &'a str, at: &str) -> By<'a> {
    acts_in(Zone::default(), who, at)
}

/// The same elsewhere.
pub(crate) fn acts_in<'a>(zone: Zone, who: &'a str, at: &str) -> By<'a> {
    // A test is over before it has said many.
    let at: &'static Instant = Box::leak(Box::new(Instant::given(at).unwrap()));
    By { who, at, zone }
}

/// A night to be.
#[derive(Clone)]
pub(crate) struct Tonight {
    pub(crate) day: String,
    pub(crate) findings: Vec<Finding>,
    pub(crate) excused: Vec<Excused>,
    pub(crate) outcome: OutcomeKind,
    pub(crate) selected: bool,
    pub(crate) hash: String,
    pub(crate) datasets: BTreeSet<String>,
}

impl Tonight {
    pub(crate) fn new(day: &str, findings: Vec<Finding>) -> Self {
        Self {
            day: day.to_owned(),
            findings,
            excused: Vec::new(),
            outcome: OutcomeKind::Found,
            selected: true,
            hash: "text 1".to_owned(),
            datasets: ["pension_payments", "death_certificates"].map(str::to_owned).into(),
        }
    }

    /// The run folder of the night, below `dir`.
    pub(crate) fn write(&self, dir: &Path) -> RunFolder {
        let mut run = fixture::record(self.findings.clone());
        run.record.as_of.clone_from(&self.day);
        run.record.inputs = self
            .datasets
            .iter()
            .map(|dataset| InputFile {
                dataset: dataset.clone(),
                path: format!("{dataset}.parquet"),
                bytes: 1,
                rows: 1,
                sha256: "ab".repeat(32),
            })
            .collect();
        run.excused.clone_from(&self.excused);
        run.outcomes.retain(|o| if o.rule_id == RULE { self.selected } else { o.rule_id == "PEN-09" });
        for outcome in run.outcomes.iter_mut().filter(|o| o.rule_id == RULE) {
            outcome.outcome = self.outcome;
            outcome.rule_hash.clone_from(&self.hash);
        }
        let out = dir.join(format!("run-{}", self.day));
        let mut writer = RunWriter::create(&out).unwrap();
        run.write(&mut writer).unwrap();
        writer.commit().unwrap();
        RunFolder::open(&out).unwrap()
    }
}

/// `n` findings of the rule, each with two payments for it.
pub(crate) fn findings(n: u32) -> Vec<Finding> {
    let more = |mut finding: Finding| {
        let number = finding.evidence[0].row;
        for month in ["202509", "202510"] {
            let columns = [("amount", "1.01"), ("period_month", month), ("operator", "qian")];
            finding.evidence.push(row("pension_payments", number, &columns));
        }
        finding.evidence.remove(0);
        finding
    };
    plain(n).into_iter().map(more).collect()
}

/// One finding, and its id.
pub(crate) fn one() -> (Finding, String) {
    let finding = findings(2).remove(1);
    let id = finding.finding_id.clone();
    (finding, id)
}

/// The finding with a payment more.
pub(crate) fn with_payment(finding: &Finding, month: &str) -> Finding {
    let mut finding = finding.clone();
    let columns = [("amount", "1.01"), ("period_month", month), ("operator", "qian")];
    finding.evidence.push(row("pension_payments", 900, &columns));
    finding
}

/// That the subject was looked at and excused with `code`.
pub(crate) fn excused(finding: &Finding, code: &str) -> Excused {
    Excused {
        rule_id: finding.rule_id.clone(),
        subject_type: finding.subject_type,
        subject_id: finding.subject_id.clone(),
        code: code.to_owned(),
        also: Vec::new(),
        candidates: 1,
        evidence: vec![],
    }
}

pub(crate) fn counts(night: &Night) -> Vec<(&'static str, u64)> {
    Mark::ALL.iter().map(|m| (m.as_str(), night.count(*m))).filter(|(_, n)| *n > 0).collect()
}

#[test]
fn a_night_says_what_it_made_and_the_ledger_proves_it() {
    let desk = Desk::new();
    let mut all = findings(20);
    all.push(case());
    all.retain(|f| f.rule_id == RULE);
    let night = desk.absorb(&Tonight::new("2026-11-01", all));
    assert_eq!((night.number, counts(&night)), (1, vec![("new", 20)]));
    assert_eq!(desk.leads(&Filter { open: true, ..Filter::default() }, "2026-11-02").len(), 20);
    desk.whole();
}
