//! What has to go, and what must not: leads by the clock, things outside the ledger with a certificate.

use mingcha_ledger::book::{
    Action, Book, Certificate, Clearance, Destroyed, Extracts, Filter, Handout, Presence,
};
use mingcha_rules::{EvidenceRow, OutcomeKind};
use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::book::{Desk, Tonight, by, findings, of, one};

fn clean(day: &str) -> Tonight {
    let mut tonight = Tonight::new(day, vec![]);
    tonight.outcome = OutcomeKind::Clean;
    tonight
}

#[test]
fn a_lead_is_due_when_it_is_gone_settled_and_left_alone_long_enough() {
    let (finding, id) = one();
    let desk = Desk::new();
    desk.absorb(&Tonight::new("2026-11-01", vec![finding]));
    let due = |days: u32, day: &str| desk.open().due(days, day).unwrap();
    assert!(due(1, "2027-11-01").is_empty(), "what the rules still find stays, however old");
    desk.absorb(&clean("2026-11-10"));
    assert!(due(30, "2026-12-09").is_empty(), "one day too early");
    assert_eq!(due(30, "2026-12-10"), [id]);
    let gone = due(30, "2026-12-10");
    assert_eq!(desk.open().purge(&gone, "rule 7", by("2026-12-10")).unwrap(), 2);
    assert!(due(30, "2026-12-10").is_empty());
    assert!(desk.leads(&Filter::default(), "2026-12-10").is_empty());
    desk.whole();
}

#[test]
fn a_lead_that_somebody_works_on_or_holds_is_not_due() {
    let all = findings(3);
    let ids: Vec<String> = all.iter().map(|f| f.finding_id.clone()).collect();
    let desk = Desk::new();
    desk.absorb(&Tonight::new("2026-11-01", all));
    let mut book = desk.open();
    // The first is being checked, the second was handed out, the third is nobody's business.
    book.act(&of(&ids[0]), &Action::Assign { to: Some("li".to_owned()) }, &desk.policy, by("2026-11-02"))
        .unwrap();
    let handout = Handout {
        id: "E-1".to_owned(),
        recipient: "county".to_owned(),
        at: "2026-11-02".parse().unwrap(),
        expires: "2027-11-02".to_owned(),
        leads: [ids[1].clone()].into(),
        ..Handout::default()
    };
    book.hand_out(&handout, by("2026-11-02")).unwrap();
    drop(book);
    desk.absorb(&clean("2026-11-03"));
    assert_eq!(desk.open().due(30, "2027-03-01").unwrap(), [ids[2].clone()]);
    // Once the holder was told and the check has ended, they are due, each by its own clock.
    let mut book = desk.open();
    let told =
        Handout { id: "E-2".to_owned(), leads: BTreeSet::new(), cancels: [ids[1].clone()].into(), ..handout };
    book.hand_out(&told, by("2027-02-01")).unwrap();
    let clear = Action::Clear { reason: Clearance::WrongData, text: "gone".to_owned() };
    book.act(&of(&ids[0]), &crate::learning::visit("2027-02-20"), &desk.policy, by("2027-02-20")).unwrap();
    book.act(&of(&ids[0]), &clear, &desk.policy, by("2027-02-20")).unwrap();
    let mut both = vec![ids[1].clone(), ids[2].clone()];
    both.sort();
    assert_eq!(book.due(30, "2027-03-01").unwrap(), both);
    assert_eq!(book.due(30, "2027-03-22").unwrap().len(), 3);
}

#[test]
fn what_is_destroyed_is_announced_then_certified_and_the_chain_stays_whole() {
    let desk = Desk::new();
    desk.absorb(&Tonight::new("2026-11-01", findings(1)));
    let item = Destroyed {
        name: "/archive/lists/2026-01-01".to_owned(),
        sha256: "ab".repeat(32),
        bytes: 12,
        since: "2026-01-01".to_owned(),
        ..Destroyed::default()
    };
    let certificate =
        Certificate { kind: "exports".to_owned(), authority: "rule 7".to_owned(), items: vec![item] };
    let mut book = desk.open();
    let before = book.fingerprint().unwrap();
    let seq = book.condemn(&certificate, by("2026-11-02")).unwrap();
    assert_eq!(book.condemned().unwrap(), [(seq, certificate.clone())]);
    assert!(book.destroyed().unwrap().is_empty());
    book.certify(seq, &[], by("2026-11-02")).unwrap();
    assert!(book.condemned().unwrap().is_empty());
    assert_eq!(book.destroyed().unwrap(), [certificate]);
    assert_eq!(book.fingerprint().unwrap(), before, "what is known of leads did not change");
    drop(book);
    desk.whole();
}

#[test]
fn a_run_folder_that_is_missing_or_changed_is_a_fault_and_one_with_a_certificate_is_none() {
    let desk = Desk::new();
    for day in ["2026-11-01", "2026-11-02"] {
        desk.absorb(&Tonight::new(day, findings(2)));
    }
    let prove = || Book::verify_runs(&desk.path(), None).unwrap();
    assert_eq!((prove().events, prove().faults.len()), (2, 0));
    // A blank of the manifest means nothing, and is a changed byte all the same.
    let manifest = desk.dir.path().join("run-2026-11-02/manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replacen("{\n", "{ ", 1)).unwrap();
    let codes =
        |proof: mingcha_ledger::book::Proof| proof.faults.iter().map(|f| f.code.clone()).collect::<Vec<_>>();
    assert_eq!(codes(prove()), ["MC804"]);
    std::fs::write(&manifest, text).unwrap();
    let gone = desk.dir.path().join("run-2026-11-01");
    std::fs::remove_dir_all(&gone).unwrap();
    assert_eq!(codes(prove()), ["MC910"]);
    let mut book = desk.open();
    let seal = book.nights().unwrap()[0].seal.clone();
    let item = Destroyed {
        name: gone.display().to_string(),
        sha256: seal,
        bytes: 1,
        since: "2026-11-01".to_owned(),
        ..Destroyed::default()
    };
    let certificate = Certificate { kind: "runs".to_owned(), authority: "x".to_owned(), items: vec![item] };
    let seq = book.condemn(&certificate, by("2026-11-03")).unwrap();
    assert_eq!(codes(prove()), ["MC910"], "announced is not certified");
    book.certify(seq, &[], by("2026-11-03")).unwrap();
    let proof = prove();
    assert!(proof.faults.is_empty(), "{proof:?}");
    assert_eq!(proof.remarks[0].code, "MC913");
}

/// Remembers what it was told to expect.
#[derive(Default)]
struct Watch {
    expected: RefCell<Vec<(usize, BTreeSet<String>)>>,
    asked: RefCell<usize>,
}

impl Extracts for Watch {
    fn expect(&self, subjects: &BTreeSet<&str>, datasets: &BTreeSet<&str>) {
        let datasets = datasets.iter().map(|d| (*d).to_owned()).collect();
        self.expected.borrow_mut().push((subjects.len(), datasets));
    }

    fn holds(&self, _: &str, _: &EvidenceRow) -> Option<bool> {
        *self.asked.borrow_mut() += 1;
        Some(false)
    }
}

#[test]
fn whoever_looks_into_the_extracts_hears_of_all_subjects_at_once() {
    let mut all = findings(5);
    // Only some of them stand on a row that states a fact.
    for finding in all.iter_mut().take(3) {
        finding.evidence[0].dataset = "death_certificates".to_owned();
    }
    let desk = Desk::new();
    desk.absorb(&Tonight::new("2026-11-01", all));
    let run = clean("2026-11-02").write(desk.dir.path());
    let watch = Watch::default();
    let (night, _) = desk.open().absorb(&run, &desk.policy, Some(&watch), by("2026-11-02")).unwrap();
    assert_eq!(watch.expected.take(), [(3, ["death_certificates".to_owned()].into())]);
    assert_eq!(*watch.asked.borrow(), 3);
    assert_eq!((night.marks["withdrawn"], night.marks["resolved"]), (3, 2));
    let gone = desk.leads(&Filter::default(), "2026-11-02");
    assert!(gone.iter().all(|l| l.lead.presence != Presence::Live));
}

#[test]
fn what_was_destroyed_is_gone_from_the_log_or_it_is_said() {
    let (finding, id) = one();
    let desk = Desk::new();
    desk.absorb(&Tonight::new("2026-11-01", vec![finding]));
    let secret = desk.lead(&id).subject_id;
    let lies_in = |file: &str| {
        let bytes = std::fs::read(desk.dir.path().join(file)).unwrap_or_default();
        bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
    };
    let reader = Book::read(&desk.path()).unwrap();
    assert_eq!(reader.history(&id).unwrap().len(), 1);
    let mut book = desk.open();
    book.purge(std::slice::from_ref(&id), "rule 7", by("2026-11-01")).unwrap();
    let warnings = book.take_warnings();
    assert_eq!(warnings.iter().map(|w| w.code.as_str()).collect::<Vec<_>>(), ["MC866"]);
    drop((book, reader));
    drop(desk.open());
    assert!(!lies_in("ledger.sqlite") && !lies_in("ledger.sqlite-wal"));
    desk.whole();
}
