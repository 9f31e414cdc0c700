//! From night to night: every mark with its near misses.

use std::collections::BTreeSet;

use mingcha_ledger::book::{
    Action, Book, Check, Clearance, Extracts, Filter, Handout, Mark, Presence, Stage,
};
use mingcha_rules::{EvidenceRow, Finding, OutcomeKind, Severity, Text};

use crate::book::{Desk, RULE, Tonight, by, counts, excused, findings, of, one, with_payment};
use crate::fixture::row;

fn first(finding: &Finding) -> Desk {
    let desk = Desk::new();
    let night = desk.absorb(&Tonight::new("2026-11-01", vec![finding.clone()]));
    assert_eq!(counts(&night), [("new", 1)]);
    desk
}

/// Somebody was sent there, and it was nothing.
fn clear(desk: &Desk, id: &str, day: &str) {
    let mut book = Book::open(&desk.path(), by(day)).unwrap();
    let clear = Action::Clear { reason: Clearance::Legitimate, text: "survivor benefit".to_owned() };
    let check = Check { by: "li".to_owned(), on: day.to_owned(), how: "visit".to_owned(), document: None };
    let check = Action::Check { check, text: String::new() };
    for action in [Action::Assign { to: Some("li".to_owned()) }, check, clear] {
        book.act(&of(id), &action, &desk.policy, by(day)).unwrap();
    }
}

#[test]
fn another_wording_or_another_place_of_the_rows_is_the_same_lead_as_it_was() {
    let (finding, id) = one();
    let desk = first(&finding);
    let mut moved = finding.clone();
    moved.message = Text { zh: "另一种说法".to_owned(), en: "said differently".to_owned() };
    moved.rule_version = 2;
    for row in &mut moved.evidence {
        row.file = "another file.csv".to_owned();
        row.row += 1000;
        row.columns.insert("operator".to_owned(), "another clerk".to_owned());
    }
    moved.evidence.reverse();
    let night = desk.absorb(&Tonight::new("2026-11-02", vec![moved]));
    assert_eq!(counts(&night), [("continuing", 1)]);
    // Another clerk is no news, and is remembered: the clerk of the first night must not judge it, nor this one.
    assert_eq!(desk.story(&id), ["new", "handled"]);
    assert_eq!(desk.leads(&of(&id), "2026-11-02")[0].tonight, Some(Mark::Continuing));
}

#[test]
fn that_more_of_those_who_handled_it_are_named_is_no_change_of_the_lead() {
    // A ledger of before, when the rule showed nobody; then the same rule, and then another text of it.
    let (mut finding, id) = one();
    for row in &mut finding.evidence {
        row.columns.remove("operator");
    }
    let desk = first(&finding);
    assert!(desk.lead(&id).handlers.is_empty());
    let mut named = finding.clone();
    named.evidence.push(row("pension_payees", 7, &[("operator", "qian")]));
    let night = desk.absorb(&Tonight::new("2026-11-02", vec![named.clone()]));
    assert_eq!(counts(&night), [("continuing", 1)], "a clerk's name is no new evidence");
    assert!(night.changes.is_empty(), "{:?}", night.changes);
    assert_eq!(desk.lead(&id).handlers, BTreeSet::from(["qian".to_owned()]));
    assert_eq!(desk.leads(&of(&id), "2026-11-02")[0].tonight, Some(Mark::Continuing));
    named.evidence[0].columns.insert("approver".to_owned(), "sun".to_owned());
    let mut night = Tonight::new("2026-11-03", vec![named.clone()]);
    night.hash = "text 2".to_owned();
    assert_eq!(counts(&desk.absorb(&night)), [("continuing", 1)]);
    // Whoever was named once stays named, also when the source no longer says so; nothing is written for that.
    night.day = "2026-11-04".to_owned();
    night.findings = vec![finding];
    assert_eq!(counts(&desk.absorb(&night)), [("continuing", 1)]);
    assert_eq!(desk.lead(&id).handlers, BTreeSet::from(["qian".to_owned(), "sun".to_owned()]));
    assert_eq!(desk.story(&id), ["new", "handled", "handled"]);
    desk.whole();
}

#[test]
fn what_was_cleared_stays_cleared_when_more_of_those_who_handled_it_are_named() {
    let (mut finding, id) = one();
    let desk = first(&finding);
    clear(&desk, &id, "2026-11-02");
    finding.evidence.push(row("pension_payees", 7, &[("operator", "sun")]));
    let mut night = Tonight::new("2026-11-03", vec![finding]);
    night.hash = "text 2".to_owned();
    assert_eq!(counts(&desk.absorb(&night)), [("continuing", 1)]);
    assert_eq!(desk.lead(&id).stage, Stage::Cleared);
    assert!(desk.lead(&id).handlers.contains("sun"));
}

#[test]
fn a_period_that_goes_on_until_tonight_is_no_change_and_one_that_ends_earlier_is() {
    let (mut finding, id) = one();
    finding.period_to = Some("2026-11-01".to_owned());
    let desk = first(&finding);
    finding.period_to = Some("2026-11-02".to_owned());
    finding.period_from = Some("2024-11-01".to_owned());
    assert_eq!(counts(&desk.absorb(&Tonight::new("2026-11-02", vec![finding.clone()]))), [("continuing", 1)]);
    assert_eq!(desk.story(&id), ["new"]);
    assert_eq!(counts(&desk.absorb(&Tonight::new("2026-11-03", vec![finding]))), [("changed", 1)]);
}

#[test]
fn a_change_says_what_changed() {
    let (finding, id) = one();
    let desk = first(&finding);
    let mut graver = with_payment(&finding, "202511");
    graver.severity = Severity::Critical;
    graver.grade = "B".to_owned();
    graver.amount_fen = Some(999);
    graver.period_to = Some("2025-11-01".to_owned());
    graver.identity = "I2".to_owned();
    let night = desk.absorb(&Tonight::new("2026-11-02", vec![graver]));
    assert_eq!(counts(&night), [("changed", 1)]);
    let names: Vec<&str> = night.changes.keys().map(String::as_str).collect();
    assert_eq!(names, ["amount", "evidence", "grade", "identity", "period_to", "severity"]);
    let history = Book::read(&desk.path()).unwrap().history(&id).unwrap();
    assert_eq!(history[1].before["amount_fen"], 101);
    assert_eq!(history[1].after["amount_fen"], 999);
    assert_eq!(desk.lead(&id).stage, Stage::New);
}

#[test]
fn what_is_no_longer_found_is_resolved_and_reopened_when_it_comes_back() {
    let (finding, id) = one();
    let desk = first(&finding);
    let mut clean = Tonight::new("2026-11-02", vec![]);
    clean.outcome = OutcomeKind::Clean;
    assert_eq!(counts(&desk.absorb(&clean)), [("resolved", 1)]);
    let lead = desk.lead(&id);
    assert_eq!((lead.presence, lead.gone_because.as_deref()), (Presence::Resolved, Some("no_longer_found")));
    assert!(!lead.is_open());
    clean.day = "2026-11-03".to_owned();
    assert_eq!(counts(&desk.absorb(&clean)), [], "a lead that is gone is counted once");
    assert_eq!(desk.leads(&of(&id), "2026-11-03")[0].tonight, None);
    let night = desk.absorb(&Tonight::new("2026-11-04", vec![finding]));
    assert_eq!(counts(&night), [("reopened", 1)]);
    assert_eq!(desk.story(&id), ["new", "resolved", "reopened"]);
    assert_eq!((desk.lead(&id).opened.as_str(), desk.lead(&id).reopened), ("2026-11-04", 1));
    desk.whole();
}

#[test]
fn a_rule_that_gave_no_answer_resolves_nothing() {
    let (finding, id) = one();
    let desk = first(&finding);
    for (day, outcome) in (2..).zip([OutcomeKind::Failed, OutcomeKind::Held, OutcomeKind::NotEvaluated]) {
        let mut night = Tonight::new(&format!("2026-11-{day:02}"), vec![]);
        night.outcome = outcome;
        let night = desk.absorb(&night);
        assert_eq!(counts(&night), []);
        assert_eq!(night.not_evaluated.get(RULE).map(String::as_str), Some(outcome.as_str()));
    }
    let mut unselected = Tonight::new("2026-11-08", vec![]);
    unselected.selected = false;
    assert_eq!(counts(&desk.absorb(&unselected)), []);
    assert_eq!(desk.lead(&id).presence, Presence::Live);
    assert_eq!(desk.story(&id), ["new"]);
}

#[test]
fn a_dataset_that_was_not_delivered_resolves_nothing_that_stood_on_it() {
    let (finding, id) = one();
    let desk = first(&finding);
    let mut night = Tonight::new("2026-11-02", vec![]);
    night.datasets.remove("pension_payments");
    let night = desk.absorb(&night);
    assert_eq!((counts(&night), night.held_over), (vec![], 1));
    assert_eq!(desk.lead(&id).presence, Presence::Live);
}

#[test]
fn a_source_that_takes_its_word_back_withdraws_and_every_holder_is_told_once() {
    let (finding, id) = one();
    let desk = first(&finding);
    let handout = |export: &str, recipient: &str, lead: &[&String], cancels: &[&String]| Handout {
        id: export.to_owned(),
        recipient: recipient.to_owned(),
        at: "2026-11-01T09:00:00Z".parse().unwrap(),
        expires: "2026-12-01".to_owned(),
        leads: lead.iter().map(|id| (*id).clone()).collect(),
        cancels: cancels.iter().map(|id| (*id).clone()).collect(),
        ..Handout::default()
    };
    let mut book = desk.open();
    for (export, recipient) in [("E1", "li"), ("E2", "wang"), ("E3", "li")] {
        book.hand_out(&handout(export, recipient, &[&id], &[]), by("2026-11-01")).unwrap();
    }
    assert_eq!(book.hand_out(&handout("E1", "li", &[], &[]), by("2026-11-01")).unwrap_err().code, "MC859");
    assert_eq!(book.cancellations().unwrap(), []);
    drop(book);
    let mut night = Tonight::new("2026-11-02", vec![]);
    night.excused = vec![excused(&finding, "X-RETRACTED")];
    assert_eq!(counts(&desk.absorb(&night)), [("withdrawn", 1)]);
    assert_eq!(desk.lead(&id).gone_because.as_deref(), Some("excused:X-RETRACTED"));
    let mut book = desk.open();
    let told: Vec<_> =
        book.cancellations().unwrap().into_iter().map(|c| (c.recipient, c.handouts, c.presence)).collect();
    assert_eq!(
        told,
        [
            ("li".to_owned(), vec!["E1".to_owned(), "E3".to_owned()], Presence::Withdrawn),
            ("wang".to_owned(), vec!["E2".to_owned()], Presence::Withdrawn)
        ]
    );
    book.hand_out(&handout("E4", "li", &[], &[&id]), by("2026-11-03")).unwrap();
    let left: Vec<_> = book.cancellations().unwrap().into_iter().map(|c| c.recipient).collect();
    assert_eq!(left, ["wang"]);
}

#[test]
fn another_exclusion_resolves_and_does_not_withdraw() {
    let (finding, id) = one();
    let desk = first(&finding);
    let mut night = Tonight::new("2026-11-02", vec![]);
    night.excused = vec![excused(&finding, "X-CLAWED")];
    assert_eq!(counts(&desk.absorb(&night)), [("resolved", 1)]);
    assert_eq!(desk.lead(&id).gone_because.as_deref(), Some("excused:X-CLAWED"));
}

/// Extracts in which the rows of one dataset are gone.
struct Without(&'static str);

impl Extracts for Without {
    fn holds(&self, _: &str, row: &EvidenceRow) -> Option<bool> {
        Some(row.dataset != self.0)
    }
}

#[test]
fn a_certificate_that_is_gone_withdraws_and_a_payment_that_is_gone_resolves() {
    for (gone, presence, because) in [
        ("death_certificates", Presence::Withdrawn, "row_withdrawn:death_certificates"),
        ("pension_payments", Presence::Resolved, "no_longer_found"),
    ] {
        let (mut finding, id) = one();
        let row = EvidenceRow { dataset: "death_certificates".to_owned(), ..finding.evidence[0].clone() };
        finding.evidence.push(row);
        let desk = first(&finding);
        let run = Tonight::new("2026-11-02", vec![]).write(desk.dir.path());
        let extracts = Without(gone);
        desk.open().absorb(&run, &desk.policy, Some(&extracts), by("2026-11-02")).unwrap();
        let lead = desk.lead(&id);
        assert_eq!((lead.presence, lead.gone_because.as_deref()), (presence, Some(because)));
    }
}

#[test]
fn a_cleared_lead_stays_cleared_until_new_evidence() {
    let (finding, id) = one();
    let desk = first(&finding);
    clear(&desk, &id, "2026-11-01");
    // The same evidence, at other places: cleared.
    let mut moved = finding.clone();
    moved.evidence.iter_mut().for_each(|row| row.row += 5);
    let night = desk.absorb(&Tonight::new("2026-11-02", vec![moved.clone()]));
    assert_eq!((counts(&night), night.settled), (vec![("continuing", 1)], 1));
    // Weighed differently on the same evidence: told, and cleared all the same.
    moved.severity = Severity::Critical;
    assert_eq!(counts(&desk.absorb(&Tonight::new("2026-11-03", vec![moved.clone()]))), [("changed", 1)]);
    assert_eq!(desk.lead(&id).stage, Stage::Cleared);
    // Less evidence is not new evidence.
    let mut less = moved.clone();
    less.evidence.pop();
    desk.absorb(&Tonight::new("2026-11-04", vec![less]));
    assert_eq!(desk.lead(&id).stage, Stage::Cleared);
    desk.absorb(&Tonight::new("2026-11-05", vec![moved.clone()]));
    assert_eq!(desk.lead(&id).stage, Stage::Cleared);
    // Away and back with the same evidence: cleared.
    desk.absorb(&Tonight::new("2026-11-06", vec![]));
    let night = desk.absorb(&Tonight::new("2026-11-07", vec![moved.clone()]));
    assert_eq!((counts(&night), desk.lead(&id).stage), (vec![("continuing", 1)], Stage::Cleared));
    // A payment more, equal to one that is known: new evidence.
    let doubled = with_payment(&moved, "202510");
    let night = desk.absorb(&Tonight::new("2026-11-08", vec![doubled]));
    assert_eq!(counts(&night), [("reopened", 1)]);
    let lead = desk.lead(&id);
    assert_eq!((lead.stage, lead.clearance, lead.opened.as_str()), (Stage::New, None, "2026-11-08"));
    let history = Book::read(&desk.path()).unwrap().history(&id).unwrap();
    assert_eq!(history.last().unwrap().why["new_evidence"]["pension_payments"], 1);
    desk.whole();
}

#[test]
fn another_text_of_the_rule_that_shows_other_columns_brings_no_new_evidence() {
    let (finding, id) = one();
    let desk = first(&finding);
    clear(&desk, &id, "2026-11-01");
    let mut shown = finding.clone();
    for row in &mut shown.evidence {
        row.columns.insert("pay_state".to_owned(), "1".to_owned());
    }
    let mut night = Tonight::new("2026-11-02", vec![shown.clone()]);
    night.hash = "text 2".to_owned();
    assert_eq!(counts(&desk.absorb(&night)), [("continuing", 1)]);
    shown.amount_fen = Some(5);
    let mut night = Tonight::new("2026-11-03", vec![shown.clone()]);
    night.hash = "text 2".to_owned();
    assert_eq!(counts(&desk.absorb(&night)), [("changed", 1)]);
    night.day = "2026-11-04".to_owned();
    assert_eq!(counts(&desk.absorb(&night)), [("continuing", 1)]);
    assert_eq!(desk.lead(&id).stage, Stage::Cleared);
    // A row more is new under any text.
    let mut night = Tonight::new("2026-11-05", vec![with_payment(&shown, "202511")]);
    night.hash = "text 2".to_owned();
    assert_eq!(counts(&desk.absorb(&night)), [("reopened", 1)]);
}

#[test]
fn a_confirmed_lead_is_not_moved_by_the_data() {
    let (finding, id) = one();
    let desk = first(&finding);
    let check = |document: Option<&str>| Check {
        by: "li".to_owned(),
        on: "2026-11-01".to_owned(),
        how: "visit".to_owned(),
        document: document.map(str::to_owned),
    };
    let mut book = desk.open();
    for action in [
        Action::Assign { to: Some("li".to_owned()) },
        Action::Check { check: check(None), text: "nobody there".to_owned() },
        Action::Confirm { verification: check(Some("2026-17")) },
    ] {
        book.act(&of(&id), &action, &desk.policy, by("2026-11-01")).unwrap();
    }
    drop(book);
    desk.absorb(&Tonight::new("2026-11-02", vec![with_payment(&finding, "202511")]));
    desk.absorb(&Tonight::new("2026-11-03", vec![]));
    let lead = desk.lead(&id);
    assert_eq!((lead.stage, lead.presence, lead.is_open()), (Stage::Confirmed, Presence::Resolved, true));
    assert_eq!(desk.story(&id), ["new", "assigned", "checked", "confirmed", "changed", "resolved"]);
}

#[test]
fn the_same_run_twice_changes_nothing() {
    let desk = Desk::new();
    let night = Tonight::new("2026-11-01", findings(5));
    let first = desk.absorb(&night);
    let before = desk.open().head().unwrap();
    // The folder written anew has other clock times and the same content.
    let run = night.write(desk.dir.path());
    let (again, new) = desk.open().absorb(&run, &desk.policy, None, by("2026-11-02")).unwrap();
    assert_eq!((again, new), (first, false));
    assert_eq!(desk.open().head().unwrap(), before);
}

#[test]
fn a_rerun_of_the_same_inputs_that_got_further_counts() {
    let desk = Desk::new();
    let mut held = Tonight::new("2026-11-01", findings(5));
    held.outcome = OutcomeKind::Held;
    assert_eq!(counts(&desk.absorb(&held)), []);
    held.outcome = OutcomeKind::Found;
    assert_eq!(counts(&desk.absorb(&held)), [("new", 5)]);
}

#[test]
fn a_run_of_an_earlier_day_comes_too_late() {
    let desk = Desk::new();
    desk.absorb(&Tonight::new("2026-11-02", findings(1)));
    let run = Tonight::new("2026-11-01", findings(1)).write(desk.dir.path());
    let fault = desk.open().absorb(&run, &desk.policy, None, by("2026-11-03")).unwrap_err();
    assert_eq!(fault.code, "MC851");
    desk.whole();
}

#[test]
fn two_ledgers_with_the_same_history_have_the_same_fingerprint_and_another_secret() {
    let history = |nights: &[u32]| {
        let desk = Desk::new();
        for (day, n) in (1..).zip(nights) {
            desk.absorb(&Tonight::new(&format!("2026-11-{day:02}"), findings(*n)));
        }
        let book = desk.open();
        (book.fingerprint().unwrap(), book.alias("00000000000000000000000000001001").unwrap())
    };
    let (a, b, c) = (history(&[3, 5]), history(&[3, 5]), history(&[3, 4]));
    assert_eq!(a.0, b.0);
    assert_ne!(a.1, b.1);
    assert_ne!(a.0, c.0);
}

#[test]
fn a_masked_name_leads_back_to_the_lead_by_the_ledger_only() {
    let (finding, id) = one();
    let desk = first(&finding);
    let book = desk.open();
    let alias = book.alias(&id).unwrap();
    assert_eq!((alias.len(), book.by_alias(&alias).unwrap()), (32, Some(id.clone())));
    assert_eq!(book.by_alias(&"0".repeat(32)).unwrap(), None);
    drop(book);
    assert_eq!(desk.leads(&of(&alias), "2026-11-01")[0].lead.finding_id, id);
    let none = Filter { subject: Some("880101194001010014".to_owned()), ..Filter::default() };
    assert!(desk.leads(&none, "2026-11-01").is_empty());
}
