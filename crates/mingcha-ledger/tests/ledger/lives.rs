//! The life of a lead: every legal and every illegal step, what each needs, and who must not take it.

use std::collections::BTreeSet;

use mingcha_ledger::book::{
    Action, Book, Check, Clearance, Filter, Handler, Investigator, Light, Policy, Presence, Stage,
};
use mingcha_rules::Severity;

use crate::book::{Desk, RULE, Tonight, by, findings, of, one};

fn check(by: &str, document: Option<&str>) -> Check {
    Check {
        by: by.to_owned(),
        on: "2026-11-01".to_owned(),
        how: "visit".to_owned(),
        document: document.map(str::to_owned),
    }
}

fn actions() -> Vec<Action> {
    with_receipt("R-1")
}

fn with_receipt(receipt: &str) -> Vec<Action> {
    let text = || "as found".to_owned();
    vec![
        Action::Assign { to: Some("li".to_owned()) },
        Action::Note { text: text() },
        Action::Check { check: check("li", None), text: text() },
        Action::Confirm { verification: check("li", Some("2026-17")) },
        Action::Clear { reason: Clearance::WrongMatch, text: text() },
        Action::Transfer { to: "police".to_owned(), document: "T-1".to_owned() },
        Action::Recover {
            amount_fen: 100,
            document: receipt.to_owned(),
            more_than_owed: Some("interest".to_owned()),
        },
        Action::Close { text: text() },
        Action::Reopen { text: text() },
    ]
}

#[test]
fn every_step_is_legal_exactly_where_the_table_says() {
    // columns: the stage a step leads to; `-`: refused
    //                 assign      note          visit      confirm      clear      transfer       recover      close     reopen
    let table: [(Stage, Presence, [&str; 9]); 9] = [
        (Stage::New, Presence::Live, ["assigned", "new", "-", "-", "-", "-", "-", "-", "-"]),
        (Stage::New, Presence::Resolved, ["assigned", "new", "-", "-", "-", "-", "-", "closed", "-"]),
        (Stage::Assigned, Presence::Live, ["assigned", "assigned", "checked", "-", "-", "-", "-", "-", "-"]),
        (
            Stage::Checked,
            Presence::Live,
            ["assigned", "checked", "checked", "confirmed", "cleared", "-", "-", "-", "-"],
        ),
        (
            Stage::Confirmed,
            Presence::Live,
            ["-", "confirmed", "-", "-", "cleared", "transferred", "recovered", "closed", "-"],
        ),
        (Stage::Cleared, Presence::Live, ["-", "cleared", "-", "-", "-", "-", "-", "closed", "new"]),
        (
            Stage::Transferred,
            Presence::Live,
            ["-", "transferred", "-", "-", "cleared", "-", "recovered", "closed", "-"],
        ),
        (
            Stage::Recovered,
            Presence::Live,
            ["-", "recovered", "-", "-", "-", "transferred", "recovered", "closed", "-"],
        ),
        (Stage::Closed, Presence::Live, ["-", "closed", "-", "-", "-", "-", "-", "-", "new"]),
    ];
    // The way to each stage.
    let way = |stage: Stage| -> Vec<usize> {
        match stage {
            Stage::New => vec![],
            Stage::Assigned => vec![0],
            Stage::Checked => vec![0, 2],
            Stage::Confirmed => vec![0, 2, 3],
            Stage::Cleared => vec![0, 2, 4],
            Stage::Transferred => vec![0, 2, 3, 5],
            Stage::Recovered => vec![0, 2, 3, 6],
            Stage::Closed => vec![0, 2, 4, 7],
        }
    };
    let (finding, id) = one();
    let actions = actions();
    for (stage, presence, row) in table {
        for (action, wanted) in actions.iter().zip(row) {
            let desk = Desk::new();
            desk.absorb(&Tonight::new("2026-11-01", vec![finding.clone()]));
            let mut book = desk.open();
            for step in way(stage) {
                let way = with_receipt("R-0");
                book.act(&of(&id), &way[step], &desk.policy, by("2026-11-01")).unwrap();
            }
            drop(book);
            if presence == Presence::Resolved {
                desk.absorb(&Tonight::new("2026-11-02", vec![]));
            }
            let mut book = desk.open();
            let before = book.head().unwrap();
            let told = book.act(&of(&id), action, &desk.policy, by("2026-11-02"));
            let verb = action.verb();
            match told {
                Ok(leads) => assert_eq!(leads[0].stage.as_str(), wanted, "{verb} from {stage:?}"),
                Err(fault) => {
                    assert_eq!((fault.code.as_str(), wanted), ("MC852", "-"), "{verb} from {stage:?}");
                    assert_eq!(book.head().unwrap(), before, "a refused step was written");
                }
            }
        }
    }
}

#[test]
fn every_step_names_the_field_that_is_missing() {
    let none = String::new;
    let future = Check { on: "2026-11-09".to_owned(), ..check("li", Some("2026-17")) };
    let cases: Vec<(Vec<Action>, Action, &str)> = vec![
        (vec![], Action::Assign { to: Some(none()) }, "--to"),
        (vec![], Action::Note { text: none() }, "--text"),
        (vec![actions()[0].clone()], Action::Check { check: check("", None), text: none() }, "--by"),
        (
            vec![actions()[0].clone()],
            Action::Check { check: Check { how: none(), ..check("li", None) }, text: none() },
            "--how",
        ),
        (
            vec![actions()[0].clone()],
            Action::Check { check: Check { on: "1.11.".to_owned(), ..check("li", None) }, text: none() },
            "YYYY-MM-DD",
        ),
        (vec![actions()[0].clone()], Action::Check { check: future, text: none() }, "in the future"),
        (
            vec![actions()[0].clone(), actions()[2].clone()],
            Action::Confirm { verification: check("li", None) },
            "--document",
        ),
        (
            vec![actions()[0].clone(), actions()[2].clone()],
            Action::Clear { reason: Clearance::Legitimate, text: " ".to_owned() },
            "--text",
        ),
        (
            vec![actions()[0].clone(), actions()[2].clone(), actions()[3].clone()],
            Action::Transfer { to: "police".to_owned(), document: none() },
            "--document",
        ),
        (
            vec![actions()[0].clone(), actions()[2].clone(), actions()[3].clone()],
            Action::Recover { amount_fen: 0, document: "R".to_owned(), more_than_owed: None },
            "--amount",
        ),
        (
            vec![actions()[0].clone(), actions()[2].clone(), actions()[3].clone()],
            Action::Recover { amount_fen: 1, document: "R".to_owned(), more_than_owed: Some(" ".to_owned()) },
            "--more-than-owed",
        ),
    ];
    let (finding, id) = one();
    for (way, action, wanted) in cases {
        let desk = Desk::new();
        desk.absorb(&Tonight::new("2026-11-01", vec![finding.clone()]));
        let mut book = desk.open();
        for step in way {
            book.act(&of(&id), &step, &desk.policy, by("2026-11-01")).unwrap();
        }
        let fault = book.act(&of(&id), &action, &desk.policy, by("2026-11-01")).unwrap_err();
        assert_eq!(fault.code, "MC853");
        assert!(fault.message.en.contains(wanted), "{}", fault.message.en);
    }
}

#[test]
fn nobody_confirms_what_they_paid_out_or_a_rule_that_they_wrote() {
    let handler = |name: &str, area: Option<&str>, agency: Option<&str>| Handler {
        name: name.to_owned(),
        area: area.map(str::to_owned),
        agency: agency.map(str::to_owned),
    };
    let policy = Policy {
        handlers: vec![
            handler("Zhao Liu", Some("880102"), None),
            handler("elsewhere", Some("880101"), None),
            handler("by agency", None, Some("qian")),
        ],
        owners: [(RULE.to_owned(), BTreeSet::from(["author".to_owned()]))].into(),
        ..Policy::default()
    };
    // (who enters it, who verified, refused); `qian` is the operator named by the evidence itself
    for (who, verifier, refused) in [
        ("li", "wang", false),
        ("li", "zhaoliu", true),
        ("zhao liu", "wang", true),
        ("li", "elsewhere", false),
        ("li", "by agency", true),
        ("qian", "wang", true),
        ("li", "qian", true),
        ("author", "wang", true),
        ("li", "author", true),
    ] {
        let (finding, id) = one();
        assert!(finding.area_code.as_deref().is_some_and(|a| a.starts_with("880102")));
        let desk = Desk::new();
        desk.absorb(&Tonight::new("2026-11-01", vec![finding]));
        let mut book = desk.open();
        for step in [0, 2] {
            book.act(&of(&id), &actions()[step], &policy, by("2026-11-01")).unwrap();
        }
        let confirm = Action::Confirm { verification: check(verifier, Some("2026-17")) };
        let actor = crate::book::acts(who, "2026-11-01");
        let told = book.act(&of(&id), &confirm, &policy, actor);
        assert_eq!(
            told.as_ref().err().map(|f| f.code.as_str()),
            refused.then_some("MC854"),
            "{who}/{verifier}"
        );
    }
}

#[test]
fn leads_go_to_those_who_work_there_and_never_home() {
    let person = |name: &str, areas: &[&str], home: Option<&str>| Investigator {
        name: name.to_owned(),
        areas: areas.iter().map(|a| (*a).to_owned()).collect(),
        home: home.map(str::to_owned),
    };
    let mut desk = Desk::new();
    desk.policy.people = vec![
        person("far", &["88"], None),
        person("near a", &["880102"], None),
        person("near b", &["880102"], Some("880102001")),
    ];
    let all: Vec<_> =
        findings(20).into_iter().filter(|f| f.area_code.as_deref() == Some("880102001")).collect();
    desk.absorb(&Tonight::new("2026-11-01", all));
    let everything = Filter { stages: vec![Stage::New, Stage::Assigned], ..Filter::default() };
    let mut book = desk.open();
    let given = book.act(&everything, &Action::Assign { to: None }, &desk.policy, by("2026-11-01")).unwrap();
    let of = |name: &str| given.iter().filter(|l| l.assignee.as_deref() == Some(name)).count();
    assert_eq!((of("near a"), of("near b"), of("far")), (5, 5, 0), "those of the place share the work");
    let mut strict = desk.policy.clone();
    strict.away_from_home = true;
    let given = book.act(&everything, &Action::Assign { to: None }, &strict, by("2026-11-01")).unwrap();
    assert!(given.iter().all(|l| l.assignee.as_deref() == Some("near a")));
    let home = Action::Assign { to: Some("near b".to_owned()) };
    assert_eq!(book.act(&everything, &home, &strict, by("2026-11-01")).unwrap_err().code, "MC854");
    strict.people.clear();
    let nobody = book.act(&everything, &Action::Assign { to: None }, &strict, by("2026-11-01"));
    assert_eq!(nobody.unwrap_err().code, "MC857");
}

#[test]
fn many_leads_move_together_or_not_at_all() {
    let desk = Desk::new();
    desk.absorb(&Tonight::new("2026-11-01", findings(12)));
    let mut book = desk.open();
    let area = Filter { area: Some("880101".to_owned()), ..Filter::default() };
    let moved = book.act(&area, &actions()[0], &desk.policy, by("2026-11-01")).unwrap();
    assert_eq!(moved.len(), 6);
    // One of two was not looked at: none is cleared.
    let (assigned, fresh) = ("00000000000000000000000000001000", "00000000000000000000000000001001");
    book.act(&of(assigned), &actions()[2], &desk.policy, by("2026-11-01")).unwrap();
    let before = book.fingerprint().unwrap();
    let two = Filter { ids: vec![assigned.to_owned(), fresh.to_owned()], ..Filter::default() };
    assert_eq!(book.act(&two, &actions()[4], &desk.policy, by("2026-11-01")).unwrap_err().code, "MC852");
    assert_eq!(book.fingerprint().unwrap(), before);
    let nothing = Filter { rules: vec!["PEN-99".to_owned()], ..Filter::default() };
    assert_eq!(book.act(&nothing, &actions()[0], &desk.policy, by("2026-11-01")).unwrap_err().code, "MC855");
    let shared = Filter { ids: vec!["00000000".to_owned()], ..Filter::default() };
    assert_eq!(book.act(&shared, &actions()[0], &desk.policy, by("2026-11-01")).unwrap_err().code, "MC856");
    let assigned =
        Filter { stages: vec![Stage::Assigned], assignee: Some("li".to_owned()), ..Filter::default() };
    assert_eq!(book.leads(&assigned, &desk.policy, "2026-11-01").unwrap().len(), 5);
    // A filter takes those for whom the step is next: what is assigned is not assigned again.
    let rest = book.act(
        &Filter { rules: vec![RULE.to_owned()], ..Filter::default() },
        &actions()[0],
        &desk.policy,
        by("2026-11-02"),
    );
    assert_eq!(rest.unwrap().len(), 6);
}

#[test]
fn deadlines_follow_severity_and_grade_and_turn_yellow_and_red() {
    let mut policy = Policy { yellow_days: 3, ..Policy::default() };
    policy.deadlines.insert("medium/B".to_owned(), 10);
    let (mut finding, id) = one();
    finding.severity = Severity::Medium;
    finding.grade = "B".to_owned();
    let desk = Desk::new();
    desk.absorb(&Tonight::new("2026-11-01", vec![finding]));
    let book = Book::read(&desk.path()).unwrap();
    for (today, light) in [
        ("2026-11-01", Light::Green),
        ("2026-11-07", Light::Green),
        ("2026-11-08", Light::Yellow),
        ("2026-11-11", Light::Yellow),
        ("2026-11-12", Light::Red),
    ] {
        let listed = &book.leads(&of(&id), &policy, today).unwrap()[0];
        assert_eq!((listed.due.as_deref(), listed.light), (Some("2026-11-11"), Some(light)), "{today}");
    }
    let late = Filter { lights: vec![Light::Red], ..Filter::default() };
    assert_eq!(book.leads(&late, &policy, "2026-11-11").unwrap().len(), 0);
    assert_eq!(book.leads(&late, &policy, "2026-11-12").unwrap().len(), 1);
    drop(book);
    let mut book = desk.open();
    for step in [0, 2, 4] {
        book.act(&of(&id), &actions()[step], &policy, by("2026-11-02")).unwrap();
    }
    assert_eq!(
        book.leads(&of(&id), &policy, "2026-12-12").unwrap()[0].light,
        None,
        "what is judged has no deadline"
    );
}

#[test]
fn money_that_comes_back_adds_up() {
    let (finding, id) = one();
    let desk = Desk::new();
    desk.absorb(&Tonight::new("2026-11-01", vec![finding]));
    let mut book = desk.open();
    for (nth, step) in [0, 2, 3, 6, 6, 5, 6, 7].into_iter().enumerate() {
        let steps = with_receipt(&format!("R-{nth}"));
        book.act(&of(&id), &steps[step], &desk.policy, by("2026-11-02")).unwrap();
    }
    drop(book);
    assert_eq!((desk.lead(&id).recovered_fen, desk.lead(&id).stage), (300, Stage::Closed));
    desk.whole();
}
