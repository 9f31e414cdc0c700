//! Who must not judge a lead, in whatever way it is judged: who handled the payment, however their name is written and
//! whatever the lead does not say, and who answers for the rule.

use std::collections::BTreeSet;

use mingcha_ledger::book::{Action, Check, Filter, Handler, Policy, Stage, Waiver, WaiverState};
use mingcha_rules::{EvidenceRow, Finding};

use crate::book::{Desk, RULE, Tonight, acts, by, findings, of, one};
use crate::learning::{assign, clear, close, confirm, transfer, visit};
use mingcha_ledger::book::Clearance;

const DAY: &str = "2026-11-01";

fn handler(name: &str, area: Option<&str>, agency: Option<&str>) -> Handler {
    Handler { name: name.to_owned(), area: area.map(str::to_owned), agency: agency.map(str::to_owned) }
}

fn recover() -> Action {
    Action::Recover { amount_fen: 1, document: "R-1".to_owned(), more_than_owed: None }
}

fn reopen() -> Action {
    Action::Reopen { text: "it was not".to_owned() }
}

/// A ledger with one lead, taken as far as `way` by people who may.
fn at(finding: &Finding, policy: &Policy, way: &[Action]) -> Desk {
    let mut desk = Desk::new();
    desk.policy = policy.clone();
    desk.absorb(&Tonight::new(DAY, vec![finding.clone()]));
    for step in way {
        desk.open().act(&of(&finding.finding_id), step, &Policy::default(), by(DAY)).unwrap();
    }
    desk
}

/// Every judgement, and the way to where it may be made.
fn judgements() -> Vec<(Action, Vec<Action>)> {
    let (see, judged) = (vec![assign(), visit(DAY)], vec![assign(), visit(DAY), confirm(DAY)]);
    let cleared = vec![assign(), visit(DAY), clear(Clearance::Legitimate)];
    vec![
        (confirm(DAY), see.clone()),
        (clear(Clearance::Legitimate), see),
        // Also what somebody else confirmed, or cleared.
        (clear(Clearance::WrongMatch), judged.clone()),
        (transfer(), judged.clone()),
        (recover(), judged.clone()),
        (close(), judged),
        (close(), cleared.clone()),
        (reopen(), cleared),
    ]
}

fn told(desk: &Desk, id: &str, step: &Action, who: &str) -> Result<(), String> {
    let done = desk.open().act(&of(id), step, &desk.policy, acts(who, DAY));
    done.map(drop).map_err(|fault| fault.code)
}

#[test]
fn whoever_handled_a_payment_judges_it_in_no_way() {
    let policy = Policy {
        handlers: vec![handler("窗口01", Some("880102"), None)],
        owners: [(RULE.to_owned(), BTreeSet::from(["author".to_owned()]))].into(),
        ..Policy::default()
    };
    let (finding, id) = one();
    for (step, way) in judgements() {
        let desk = at(&finding, &policy, &way);
        let before = desk.open().head().unwrap();
        // `qian` is named by the evidence; the window by the office, and here in other digits.
        for who in ["qian", "ＱＩＡＮ", "q·i•a・n", "窗口０１", "窗 口 01", "author"] {
            let verb = step.verb();
            assert_eq!(told(&desk, &id, &step, who), Err("MC854".to_owned()), "{verb} by {who}");
        }
        assert_eq!(desk.open().head().unwrap(), before);
        told(&desk, &id, &step, "li").unwrap();
    }
}

#[test]
fn a_check_is_neither_made_nor_entered_by_who_handled_the_payment() {
    let (finding, id) = one();
    let desk = at(&finding, &Policy::default(), &[assign()]);
    assert_eq!(told(&desk, &id, &visit(DAY), "qian"), Err("MC854".to_owned()));
    let to = Action::Assign { to: Some("Ｑian".to_owned()) };
    assert_eq!(told(&desk, &id, &to, "li"), Err("MC854".to_owned()));
    // A note is no judgement.
    told(&desk, &id, &Action::Note { text: "I paid it".to_owned() }, "qian").unwrap();
}

#[test]
fn nobody_clears_what_nobody_looked_at() {
    let (finding, id) = one();
    let desk = at(&finding, &Policy::default(), &[assign()]);
    assert_eq!(told(&desk, &id, &clear(Clearance::Legitimate), "li"), Err("MC852".to_owned()));
    told(&desk, &id, &visit(DAY), "li").unwrap();
    told(&desk, &id, &clear(Clearance::Legitimate), "li").unwrap();
    assert_eq!(desk.lead(&id).stage, Stage::Cleared);
}

#[test]
fn a_check_by_who_answers_for_the_rule_clears_nothing() {
    let policy =
        Policy { owners: [(RULE.to_owned(), BTreeSet::from(["Li".to_owned()]))].into(), ..Policy::default() };
    let (finding, id) = one();
    // `li` looked at it.
    let desk = at(&finding, &policy, &[assign(), visit(DAY)]);
    for reason in [Clearance::Legitimate, Clearance::WrongMatch] {
        assert_eq!(told(&desk, &id, &clear(reason), "wang"), Err("MC854".to_owned()));
    }
    assert_eq!(desk.lead(&id).stage, Stage::Checked);
    // Somebody else looks at it once more.
    let Action::Check { check, text } = visit(DAY) else { unreachable!() };
    let again = Action::Check { check: Check { by: "zhou".to_owned(), ..check }, text };
    told(&desk, &id, &again, "wang").unwrap();
    told(&desk, &id, &clear(Clearance::Legitimate), "wang").unwrap();
}

#[test]
fn a_check_by_somebody_who_turns_out_to_have_handled_it_clears_nothing() {
    let (mut finding, id) = one();
    let desk = at(&finding, &Policy::default(), &[assign(), visit(DAY)]);
    finding.evidence[0].columns.insert("operator".to_owned(), "Li".to_owned());
    desk.absorb(&Tonight::new("2026-11-02", vec![finding]));
    assert_eq!(told(&desk, &id, &clear(Clearance::Legitimate), "wang"), Err("MC854".to_owned()));
}

#[test]
fn a_lead_of_which_the_area_is_not_known_bars_who_handles_an_area_and_says_why() {
    let policy = Policy {
        handlers: vec![
            handler("by area", Some("880102"), None),
            handler("by code", Some("880102000000"), None),
            handler("elsewhere", Some("880101"), None),
        ],
        ..Policy::default()
    };
    for (area, barred, free) in [
        (None, vec!["by area", "by code", "elsewhere"], vec![]),
        (Some(""), vec!["by area", "by code", "elsewhere"], vec![]),
        // Wider than the places.
        (Some("8801"), vec!["by area", "by code", "elsewhere"], vec![]),
        (Some("880100000000"), vec!["by area", "by code", "elsewhere"], vec![]),
        (Some("880102001"), vec!["by area", "by code"], vec!["elsewhere"]),
    ] {
        for (step, way) in judgements() {
            let (mut finding, id) = one();
            finding.area_code = area.map(str::to_owned);
            let desk = at(&finding, &policy, &way);
            for who in &barred {
                let fault = desk.open().act(&of(&id), &step, &policy, acts(who, DAY)).unwrap_err();
                assert_eq!(fault.code, "MC854", "{area:?} {who}");
                if area.is_none() {
                    assert!(fault.message.en.contains("area is not known"), "{}", fault.message.en);
                }
            }
            for who in &free {
                told(&desk, &id, &step, who).unwrap();
            }
        }
    }
}

#[test]
fn every_row_for_and_against_names_its_handlers_in_any_column_and_no_night_forgets_one() {
    let (finding, id) = one();
    let row = |columns: &[(&str, &str)]| EvidenceRow {
        columns: columns.iter().map(|(c, v)| ((*c).to_owned(), (*v).to_owned())).collect(),
        ..finding.evidence[0].clone()
    };
    let mut second = finding.clone();
    second.evidence.push(row(&[("amount", "9.99"), ("reviewed_by", "reviewer"), ("cashier_name", "teller")]));
    second.counter_evidence.push(row(&[("amount", "8.88"), ("operator", "张三、李四")]));
    let desk = at(&finding, &Policy::default(), &[]);
    desk.absorb(&Tonight::new("2026-11-02", vec![second]));
    // Later nights show none of them.
    let mut bare = finding.clone();
    for row in &mut bare.evidence {
        row.columns.remove("operator");
    }
    desk.absorb(&Tonight { hash: "text 2".to_owned(), ..Tonight::new("2026-11-03", vec![bare]) });
    for step in [assign(), visit(DAY)] {
        desk.open().act(&of(&id), &step, &desk.policy, by("2026-11-03")).unwrap();
    }
    for who in ["qian", "reviewer", "teller", "李四", "张 三"] {
        assert_eq!(told(&desk, &id, &confirm(DAY), who), Err("MC854".to_owned()), "{who}");
    }
    told(&desk, &id, &confirm(DAY), "王五").unwrap();
    desk.whole();
}

#[test]
fn the_clerk_of_a_lead_that_only_continues_is_learned_too() {
    let (finding, id) = one();
    let mut bare = finding.clone();
    for row in &mut bare.evidence {
        row.columns.remove("operator");
    }
    let desk = at(&bare, &Policy::default(), &[assign(), visit(DAY)]);
    // The rule shows the operator from now on; nothing else is new.
    let night =
        desk.absorb(&Tonight { hash: "text 2".to_owned(), ..Tonight::new("2026-11-02", vec![finding]) });
    assert_eq!(crate::book::counts(&night), [("continuing", 1)]);
    assert_eq!(told(&desk, &id, &confirm(DAY), "qian"), Err("MC854".to_owned()));
    desk.whole();
}

#[test]
fn nobody_waives_approves_or_takes_back_a_waiver_of_what_they_handled() {
    let (finding, _) = one();
    let policy = Policy {
        handlers: vec![handler("窗口01", Some("880102"), None), handler("far", Some("880101"), None)],
        owners: [(RULE.to_owned(), BTreeSet::from(["author".to_owned()]))].into(),
        ..Policy::default()
    };
    let desk = at(&finding, &policy, &[]);
    let waiver = |requester: &str, approver: &str| Waiver {
        area: Some("880102".to_owned()),
        ..in_advance(None, requester, approver)
    };
    let waive = |waiver: &Waiver, who: &str| {
        desk.open().waive(waiver, &policy, acts(who, DAY)).map_err(|fault| fault.code)
    };
    for barred in ["qian", "Ｑｉａｎ", "窗口０１", "author"] {
        assert_eq!(waive(&waiver(barred, "li"), barred), Err("MC854".to_owned()), "asked by {barred}");
        assert_eq!(waive(&waiver("li", barred), "li"), Err("MC854".to_owned()), "approved by {barred}");
    }
    // What will be found there one day is in its scope too, and so it is where the area is not named.
    let later =
        Waiver { subject: Some("880102196001019999".to_owned()), area: None, ..waiver("li", "窗口01") };
    assert_eq!(waive(&later, "li"), Err("MC854".to_owned()));
    assert_eq!(waive(&waiver("li", "far"), "li"), Ok("W0001".to_owned()));
    assert_eq!(waive(&waiver("ＬＩ", "l i"), "li"), Err("MC501".to_owned()));
    let revoke = |who: &str| desk.open().revoke("W0001", &policy, acts(who, DAY)).map_err(|fault| fault.code);
    for barred in ["qian", "窗口０１", "author"] {
        assert_eq!(revoke(barred), Err("MC854".to_owned()), "taken back by {barred}");
    }
    assert_eq!(revoke("wang"), Ok(()));
}

/// A waiver of all that is found about `subject`, or under [`RULE`] where there is none.
fn in_advance(subject: Option<&str>, requester: &str, approver: &str) -> Waiver {
    Waiver {
        rule: subject.is_none().then(|| RULE.to_owned()),
        subject: subject.map(str::to_owned),
        reason: "known".to_owned(),
        requester: requester.to_owned(),
        approver: approver.to_owned(),
        from: DAY.to_owned(),
        expires: "2027-01-01".to_owned(),
        ..Waiver::default()
    }
}

#[test]
fn a_waiver_given_before_it_was_known_who_handled_the_payment_covers_nothing_of_theirs() {
    let later = "2026-11-02";
    let mut all = findings(4);
    let own = all.remove(0);
    let mut older = own.clone();
    // Before the other in the order of a run.
    older.finding_id = format!("{:032x}", 0xfff);
    for row in &mut older.evidence {
        row.columns.insert("operator".to_owned(), "somebody else".to_owned());
    }
    // `qian` handled what will be found.
    for (requester, approver) in [("qian", "chen"), ("chen", "Ｑ ian"), ("li", "chen")] {
        let theirs = u64::from(requester != "li");
        for subject in [Some(own.subject_id.as_str()), None] {
            for known in [vec![], vec![older.clone()]] {
                let desk = Desk::new();
                desk.absorb(&Tonight::new(DAY, known.clone()));
                let waiver = in_advance(subject, requester, approver);
                desk.open().waive(&waiver, &desk.policy, by(DAY)).unwrap();
                let found = [known.clone(), vec![own.clone()]].concat();
                let night = desk.absorb(&Tonight::new(later, found));
                let (told, older) = (format!("{requester} {approver} {subject:?}"), known.len() as u64);
                let covers = older + 1 - theirs;
                assert_eq!(night.waived, covers, "{told}: the night");
                let lead = desk.leads(&of(&own.finding_id), later).remove(0);
                assert_eq!(lead.waiver.is_none(), theirs == 1, "{told}: the list");
                let open = Filter { open: true, ..Filter::default() };
                assert_eq!(desk.leads(&open, later).len() as u64, theirs, "{told}: what is open");
                let book = desk.open();
                let waived = book.waived(later).unwrap();
                assert_eq!(waived(&lead.lead).is_none(), theirs == 1, "{told}: reports");
                let listed = book.waivers(later).unwrap().remove(0);
                assert_eq!((listed.covers, listed.own_case), (covers, theirs), "{told}: the list of waivers");
                let state = if covers == 0 { WaiverState::Useless } else { WaiverState::Active };
                assert_eq!(listed.state, state, "{told}");
            }
        }
    }
}

#[test]
fn who_answers_for_a_rule_waives_no_subject_under_all_rules() {
    let (finding, _) = one();
    let owners =
        ["PEN-09", RULE].map(|rule| (rule.to_owned(), BTreeSet::from([format!("author of {rule}")])));
    let policy = Policy { owners: owners.into(), ..Policy::default() };
    for known in [vec![], vec![finding.clone()]] {
        let mut desk = Desk::new();
        desk.policy = policy.clone();
        desk.absorb(&Tonight::new(DAY, known));
        let waive = |requester: &str, approver: &str| {
            let waiver = in_advance(Some(&finding.subject_id), requester, approver);
            desk.open().waive(&waiver, &policy, by(DAY)).map_err(|fault| fault.code)
        };
        // Also where nothing was found yet under the rule that is theirs.
        for owner in ["author of PEN-09", "author of PEN-13"] {
            assert_eq!(waive(owner, "chen"), Err("MC854".to_owned()), "asked by the {owner}");
            assert_eq!(waive("chen", owner), Err("MC854".to_owned()), "approved by the {owner}");
        }
        assert_eq!(waive("li", "chen"), Ok("W0001".to_owned()));
    }
}

#[test]
fn a_name_finds_its_leads_and_its_lists_however_it_is_written() {
    use mingcha_ledger::book::Handout;
    let (finding, id) = one();
    let desk = at(&finding, &Policy::default(), &[Action::Assign { to: Some("Wang Wu".to_owned()) }]);
    let theirs = Filter { assignee: Some("ｗａｎｇ·ｗｕ".to_owned()), ..Filter::default() };
    assert_eq!(desk.leads(&theirs, DAY).len(), 1);
    let nobody = Filter { assignee: Some("nobody".to_owned()), ..Filter::default() };
    assert_eq!(desk.leads(&nobody, DAY).len(), 0);
    let list = |number: &str, recipient: &str| Handout {
        id: number.to_owned(),
        recipient: recipient.to_owned(),
        at: acts("li", DAY).at.clone(),
        expires: "2026-12-01".to_owned(),
        ..Handout::default()
    };
    let held = Handout { leads: [id.clone()].into(), ..list("E0001", "城关镇") };
    desk.open().hand_out(&held, by(DAY)).unwrap();
    desk.absorb(&Tonight::new("2026-11-02", vec![]));
    assert_eq!(desk.open().cancellations().unwrap().len(), 1);
    // The holder is told, under another spelling of the same name.
    let told = Handout { cancels: [id].into(), ..list("E0002", "城关镇 ") };
    desk.open().hand_out(&told, by("2026-11-02")).unwrap();
    assert_eq!(desk.open().cancellations().unwrap(), []);
}
