//! Waivers: who may give them, for how long, what they cover, and when they are worth nothing.

use mingcha_ledger::book::{Filter, Waiver, WaiverState};

use crate::book::{Desk, RULE, Tonight, by, findings};

fn waiver(subject: Option<&str>) -> Waiver {
    Waiver {
        rule: Some(RULE.to_owned()),
        subject: subject.map(str::to_owned),
        reason: "paid to the guardian by court order".to_owned(),
        requester: "li".to_owned(),
        approver: "wang".to_owned(),
        from: "2026-11-01".to_owned(),
        expires: "2027-11-02".to_owned(),
        ..Waiver::default()
    }
}

#[test]
fn a_waiver_needs_a_reason_a_scope_a_second_person_and_an_end() {
    let desk = Desk::new();
    let mut book = desk.open();
    let cases = [
        (Waiver { approver: "LI ".to_owned(), ..waiver(None) }, "MC501"),
        (Waiver { expires: "2027-11-03".to_owned(), ..waiver(None) }, "MC502"),
        (Waiver { expires: "2026-10-31".to_owned(), ..waiver(None) }, "MC502"),
        (Waiver { reason: " ".to_owned(), ..waiver(None) }, "MC503"),
        (Waiver { approver: String::new(), ..waiver(None) }, "MC503"),
        (Waiver { rule: None, ..waiver(None) }, "MC503"),
        (Waiver { expires: "soon".to_owned(), ..waiver(None) }, "MC503"),
    ];
    for (waiver, code) in cases {
        assert_eq!(book.waive(&waiver, &desk.policy, by("2026-11-01")).unwrap_err().code, code);
    }
    assert_eq!(book.waive(&waiver(None), &desk.policy, by("2026-11-01")).unwrap(), "W0001");
    assert_eq!(book.waive(&waiver(Some("x")), &desk.policy, by("2026-11-01")).unwrap(), "W0002");
}

#[test]
fn what_is_waived_is_found_counted_and_comes_back() {
    let desk = Desk::new();
    let all = findings(10);
    desk.absorb(&Tonight::new("2026-11-01", all.clone()));
    let subject = all[0].subject_id.clone();
    let mut book = desk.open();
    let short = Waiver { expires: "2026-11-05".to_owned(), ..waiver(Some(&subject)) };
    book.waive(&short, &desk.policy, by("2026-11-01")).unwrap();
    book.waive(&Waiver { area: Some("880102".to_owned()), ..waiver(None) }, &desk.policy, by("2026-11-01"))
        .unwrap();
    book.waive(&waiver(Some("880101199901010000")), &desk.policy, by("2026-11-01")).unwrap();
    let later = Waiver { from: "2026-12-01".to_owned(), ..waiver(None) };
    book.waive(&later, &desk.policy, by("2026-11-01")).unwrap();
    let ends = Waiver { period_to: Some("2025-03-31".to_owned()), ..waiver(None) };
    book.waive(&ends, &desk.policy, by("2026-11-01")).unwrap();
    drop(book);
    let night = desk.absorb(&Tonight::new("2026-11-02", all.clone()));
    assert_eq!(night.waived, 6, "one subject, and five of the other area");
    let open = Filter { open: true, ..Filter::default() };
    assert_eq!(desk.leads(&open, "2026-11-02").len(), 4);
    let waived = Filter { waived: Some(true), ..Filter::default() };
    assert_eq!(desk.leads(&waived, "2026-11-02").len(), 6);
    let states = |day: &str| -> Vec<(WaiverState, u64)> {
        desk.open().waivers(day).unwrap().into_iter().map(|w| (w.state, w.covers)).collect()
    };
    use WaiverState::{Active, Early, Expired, Revoked, Useless};
    assert_eq!(states("2026-11-05"), [(Active, 1), (Active, 5), (Useless, 0), (Early, 10), (Useless, 0)]);
    assert_eq!(states("2026-11-06"), [(Expired, 1), (Active, 5), (Useless, 0), (Early, 10), (Useless, 0)]);
    // Expired: a lead again, without anybody doing anything.
    assert_eq!(desk.leads(&open, "2026-11-06").len(), 5);
    let mut book = desk.open();
    book.revoke("W0002", &desk.policy, by("2026-11-06")).unwrap();
    assert_eq!(book.revoke("W0002", &desk.policy, by("2026-11-06")).unwrap_err().code, "MC504");
    drop(book);
    assert_eq!(states("2026-11-06")[1], (Revoked, 5));
    assert_eq!(desk.leads(&open, "2026-11-06").len(), 10);
    desk.whole();
}

#[test]
fn a_masked_number_is_waived_only_where_it_means_one_subject() {
    let desk = Desk::new();
    let mut all = findings(4);
    all[3].subject_id = "880199200001010007".to_owned();
    desk.absorb(&Tonight::new("2026-11-01", all));
    let mut book = desk.open();
    let waive = |book: &mut mingcha_ledger::Book, subject: &str| {
        book.waive(&waiver(Some(subject)), &desk.policy, by("2026-11-01")).map_err(|fault| fault.code)
    };
    assert_eq!(waive(&mut book, "8801**************"), Err("MC865".to_owned()));
    assert_eq!(waive(&mut book, "9901**************"), Err("MC855".to_owned()), "a waiver of nobody");
    assert_eq!(waive(&mut book, "8801**********0007"), Ok("W0001".to_owned()));
    assert_eq!(book.waivers("2026-11-01").unwrap()[0].covers, 1);
}
