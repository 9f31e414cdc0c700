//! Money that came back: each receipt once, never more than was at risk unless somebody says why, and an answer that says
//! whether it is on record.

use std::fs;

use mingcha_ledger::book::{Action, Book, Filter};
use mingcha_rules::Diagnostic;

use crate::book::{Desk, Tonight, by, findings, of};
use crate::learning::{assign, confirm, visit};

const DAY: &str = "2026-11-01";

fn paid(fen: i64, receipt: &str, reason: Option<&str>) -> Action {
    Action::Recover {
        amount_fen: fen,
        document: receipt.to_owned(),
        more_than_owed: reason.map(str::to_owned),
    }
}

/// Confirmed leads; the lead n stands for n × 1.01 yuan.
fn desk() -> (Desk, Vec<String>) {
    let desk = Desk::new();
    let all = findings(12);
    let ids: Vec<String> = all.iter().map(|f| f.finding_id.clone()).collect();
    desk.absorb(&Tonight::new(DAY, all));
    for step in [assign(), visit(DAY), confirm(DAY)] {
        let filter = Filter { ids: ids.clone(), ..Filter::default() };
        desk.open().act(&filter, &step, &desk.policy, by(DAY)).unwrap();
    }
    (desk, ids)
}

fn act(desk: &Desk, ids: &[&String], step: &Action) -> Result<(), Diagnostic> {
    let filter = Filter { ids: ids.iter().map(|id| (*id).clone()).collect(), ..Filter::default() };
    desk.open().act(&filter, step, &desk.policy, by(DAY)).map(drop)
}

#[test]
fn a_receipt_is_entered_once_whatever_lead_and_however_its_number_is_written() {
    let (desk, ids) = desk();
    act(&desk, &[&ids[10]], &paid(100, "R-1", None)).unwrap();
    let before = desk.open().head().unwrap();
    let seq = Book::read(&desk.path()).unwrap().history(&ids[10]).unwrap().last().unwrap().seq;
    for (lead, receipt) in [(10, "R-1"), (11, "R-1"), (11, "ｒ－１"), (9, " R – 1")] {
        let fault = act(&desk, &[&ids[lead]], &paid(100, receipt, None)).unwrap_err();
        assert_eq!(fault.code, "MC862", "{receipt} on {lead}");
        let told = fault.message.en;
        assert!(told.contains(&format!("in event {seq}: lead ")), "{told}");
        assert!(told.contains("1.00 yuan, by zhang on 2026-11-01"), "{told}");
        assert!(!ids.iter().any(|id| told.contains(&id[..12])), "an id that can be guessed: {told}");
    }
    // In bulk: one receipt for two leads.
    let both = [&ids[8], &ids[9]];
    assert_eq!(act(&desk, &both, &paid(10, "R-2", None)).unwrap_err().code, "MC862");
    assert_eq!(desk.open().head().unwrap(), before);
    act(&desk, &[&ids[10]], &paid(100, "R-2", None)).unwrap();
    assert_eq!(desk.lead(&ids[10]).recovered_fen, 200);
    desk.whole();
}

#[test]
fn more_than_was_at_risk_needs_a_reason_over_all_that_came_back() {
    let (desk, ids) = desk();
    let id = &ids[10];
    assert_eq!(act(&desk, &[id], &paid(9_999_999_999, "R-1", None)).unwrap_err().code, "MC863");
    act(&desk, &[id], &paid(1000, "R-1", None)).unwrap();
    let fault = act(&desk, &[id], &paid(11, "R-2", None)).unwrap_err();
    assert_eq!(fault.code, "MC863");
    assert!(
        fault.message.en.contains("the 10.10 yuan at risk, got 0.11 yuan after 10.00 before"),
        "{fault:?}"
    );
    act(&desk, &[id], &paid(10, "R-2", None)).unwrap();
    act(&desk, &[id], &paid(11, "R-3", Some("interest"))).unwrap();
    let last = Book::read(&desk.path()).unwrap().history(id).unwrap().pop().unwrap();
    assert_eq!((last.what.as_str(), last.why["more_than_owed"].as_str()), ("recovered", Some("interest")));
    let mut all = findings(12);
    all[9].amount_fen = Some(1);
    desk.absorb(&Tonight::new("2026-11-02", all));
    // What came back makes the data show less of it: what was at risk when most was counts.
    act(&desk, &[&ids[9]], &paid(909, "R-9", None)).unwrap();
    desk.whole();
}

#[test]
fn a_step_that_is_on_record_is_answered_as_done_though_the_ledger_cannot_be_sealed() {
    let (desk, ids) = desk();
    let mut book = desk.open();
    // Where the seal is written aside stands something that no file can replace.
    let aside = desk.dir.path().join("ledger.sqlite.seal.partial");
    fs::create_dir(&aside).unwrap();
    let step = paid(5, "R-1", None);
    book.act(&of(&ids[10]), &step, &desk.policy, by(DAY)).unwrap();
    let warnings = book.take_warnings();
    assert_eq!(warnings.iter().map(|w| w.code.as_str()).collect::<Vec<_>>(), ["MC861"]);
    assert!(warnings[0].help.as_ref().unwrap().en.contains("do not enter it again"));
    assert_eq!(book.act(&of(&ids[10]), &step, &desk.policy, by(DAY)).unwrap_err().code, "MC862");
    drop(book);
    let proof = Book::verify(&desk.path(), None).unwrap();
    assert!(proof.faults.is_empty(), "{proof:?}");
    fs::remove_dir(&aside).unwrap();
    // The next opening heals it.
    drop(desk.open());
    desk.whole();
    assert_eq!(desk.lead(&ids[10]).recovered_fen, 5);
}
