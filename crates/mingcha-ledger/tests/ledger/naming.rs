//! Abbreviated ids, masked names and masked numbers: one lead is meant or none is touched, and the candidates are named.

use mingcha_ledger::Addressee;
use mingcha_ledger::book::{Action, Book, Filter};

use crate::book::{Desk, RULE, Tonight, by, findings, of};
use crate::filled::Order;

const DAY: &str = "2026-11-01";

/// A ledger with a dozen leads and two whose masked names begin alike; that beginning, and those two.
fn crowd() -> (Desk, String, [String; 2]) {
    let desk = Desk::new();
    let name = desk.open().lots().unwrap();
    // The ledger's secret makes the names: what it makes of enough ids begins alike by chance.
    let ids = (0..60_000_u32).map(|n| format!("{:032x}", 0x10_0000 + n));
    let mut named: Vec<(String, String)> = ids.map(|id| (name(&id), id)).collect();
    named.sort();
    let pair = named.windows(2).find(|pair| pair[0].0[..6] == pair[1].0[..6]).unwrap();
    let (short, both) = (pair[0].0[..6].to_owned(), [pair[0].1.clone(), pair[1].1.clone()]);
    let mut all = findings(14);
    all[12].finding_id.clone_from(&both[0]);
    all[13].finding_id.clone_from(&both[1]);
    desk.absorb(&Tonight::new(DAY, all));
    (desk, short, both)
}

#[test]
fn a_masked_name_that_fits_several_leads_is_refused_and_the_candidates_are_named() {
    let (desk, short, both) = crowd();
    let mut book = desk.open();
    let before = book.head().unwrap();
    let note = Action::Note { text: "seen".to_owned() };
    let fault = book.act(&of(&short), &note, &desk.policy, by(DAY)).unwrap_err();
    assert_eq!(fault.code, "MC856", "one of several was taken");
    assert_eq!(book.head().unwrap(), before);
    let told = fault.message.en;
    for id in &both {
        let name = book.alias(id).unwrap();
        assert!(told.contains(&name[..12]) && told.contains(RULE), "{told}");
        assert!(!told.contains(&id[20..]), "the plain id: {told}");
        let lead = book.leads(&of(id), &desk.policy, DAY).unwrap().remove(0).lead;
        assert!(!told.contains(&lead.subject_id), "{told}");
        // What is named can be used.
        assert_eq!(book.leads(&of(&name[..12]), &desk.policy, DAY).unwrap()[0].lead.finding_id, *id);
    }
    for refused in [book.history(&short).map(drop), book.by_alias(&short).map(drop)] {
        assert_eq!(refused.unwrap_err().code, "MC856");
    }
    assert_eq!(book.purge(&[short], "rule 7", by(DAY)).unwrap_err().code, "MC856");
    // The beginning of plain ids that many share.
    let fault = book.history("000000").unwrap_err();
    assert_eq!(fault.code, "MC856");
    assert!(fault.message.en.starts_with("14 leads are called like this: "), "{}", fault.message.en);
    assert!(fault.message.en.ends_with("(+9)"), "{}", fault.message.en);
}

#[test]
fn a_masked_number_means_a_subject_only_where_it_fits_one() {
    let desk = Desk::new();
    let mut all = findings(4);
    all[3].subject_id = "880199200001010007".to_owned();
    desk.absorb(&Tonight::new(DAY, all.clone()));
    let about = |subject: &str| {
        let filter = Filter { subject: Some(subject.to_owned()), ..Filter::default() };
        let found = Book::read(&desk.path()).unwrap().leads(&filter, &desk.policy, DAY);
        found.map(|leads| leads.len()).map_err(|fault| (fault.code, fault.message.en))
    };
    assert_eq!(about("8801**********0007"), Ok(1));
    assert_eq!(about("８８０１＊＊＊＊＊＊＊＊＊＊０００７"), Ok(1));
    let (code, told) = about("8801**********000*").unwrap_err();
    assert_eq!(code, "MC855", "{told}");
    let (code, told) = about("8801**************").unwrap_err();
    assert_eq!(code, "MC865");
    assert!(told.contains("fits 4 subjects") && !all.iter().any(|f| told.contains(&f.subject_id)), "{told}");
}

#[test]
fn a_list_for_what_is_an_area_and_a_person_is_not_guessed() {
    let desk = Desk::new();
    let all = findings(4);
    desk.absorb(&Tonight::new(DAY, all.clone()));
    let mut book = desk.open();
    let to = Action::Assign { to: Some("880102".to_owned()) };
    book.act(&of(&all[0].finding_id), &to, &desk.policy, by(DAY)).unwrap();
    let out = desk.dir.path().join("lists");
    let order = || Order { addressee: Addressee::parse("880102"), ..Order::default() };
    assert_eq!(order().make(&mut book, &out).unwrap_err().code, "MC864");
    assert!(book.handouts().unwrap().is_empty());
    let to = Action::Assign { to: Some("li".to_owned()) };
    book.act(&of(&all[0].finding_id), &to, &desk.policy, by(DAY)).unwrap();
    order().make(&mut book, &out).unwrap();
}
