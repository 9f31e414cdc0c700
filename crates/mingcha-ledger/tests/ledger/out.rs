//! Lists that leave the house: numbered, for somebody, until a day, on record; with a visit sheet that accuses nobody, a
//! control sample that cannot be told from the others, and what is cancelled.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use calamine::{Reader, SheetVisible, Xlsx, open_workbook};
use mingcha_ledger::book::{Action, Book, Filter};
use mingcha_ledger::{Addressee, Profile};
use mingcha_rules::Lang;

use crate::book::{Desk, Tonight, by, findings, of};
use crate::filled::{Order, file, payees, sheet, village_code, villages};
use crate::learning::visit;

/// A ledger whose first night found these.
fn desk(all: Vec<mingcha_rules::Finding>) -> Desk {
    let desk = Desk::new();
    desk.absorb(&Tonight::new("2026-11-01", all));
    desk
}

fn part(path: &Path, name: &str) -> String {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut text = String::new();
    archive.by_name(name).unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_list_has_a_number_a_recipient_a_last_day_and_is_on_record() {
    let desk = desk(villages(3, 4));
    let out = desk.dir.path().join("lists");
    let mut book = desk.open();
    for (n, village) in [(1, 0), (2, 1)] {
        let order = Order { addressee: Addressee::Area(village_code(village)), ..Order::default() };
        let issued = order.make(&mut book, &out).unwrap();
        assert_eq!((issued.number.as_str(), issued.leads), (format!("E000{n}").as_str(), 4));
    }
    let all = Order { addressee: Addressee::Everything, ..Order::default() }.make(&mut book, &out).unwrap();
    assert_eq!((all.number.as_str(), all.leads), ("E0003", 12));
    let names: BTreeSet<String> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name != mingcha_ledger::export::marks::NAME)
        .collect();
    let wanted = [
        "E0001-findings.xlsx",
        "E0001-visits.xlsx",
        "E0002-findings.xlsx",
        "E0002-visits.xlsx",
        "E0003-findings.xlsx",
    ];
    assert_eq!(names, wanted.map(str::to_owned).into(), "a list of everything is nobody's round of visits");
    drop(book);
    let book = Book::read(&desk.path()).unwrap();
    let handouts = book.handouts().unwrap();
    assert_eq!(handouts.len(), 3);
    let first = &handouts[0];
    assert_eq!((first.id.as_str(), first.recipient.as_str()), ("E0001", "城关镇"));
    assert_eq!((first.at.as_stored(), first.expires.as_str()), ("2026-11-02T09:30:00Z", "2026-12-02"));
    assert_eq!(first.profile, "investigator");
    let listed: BTreeSet<String> =
        villages(3, 4).into_iter().take(4).map(|finding| finding.finding_id).collect();
    assert_eq!(first.leads, listed);
    desk.whole();
}

#[test]
fn every_page_says_for_whom_when_and_until_when_and_meta_is_very_hidden() {
    let desk = desk(villages(1, 2));
    let out = desk.dir.path().join("lists");
    for (lang, until) in [(Lang::Zh, "有效期至：2026-12-02"), (Lang::En, "valid until 2026-12-02")] {
        let issued = Order { lang, ..Order::default() }.make(&mut desk.open(), &out).unwrap();
        for name in ["findings.xlsx", "visits.xlsx"] {
            let path = file(&issued, name);
            let xml = part(&path, "xl/worksheets/sheet1.xml");
            for mark in ["城关镇", issued.number.as_str(), "2026-11-02 17:30 Asia/Shanghai", until] {
                assert!(xml.contains(mark), "{mark} is not on the pages of {name}");
            }
            let book: Xlsx<_> = open_workbook(&path).unwrap();
            let meta = book.sheets_metadata().iter().find(|s| s.name == "_meta").unwrap();
            assert_eq!(meta.visible, SheetVisible::VeryHidden);
        }
    }
}

#[test]
fn only_what_is_open_leaves_and_a_person_gets_what_is_assigned_to_them() {
    let all = villages(2, 3);
    let desk = desk(all.clone());
    let out = desk.dir.path().join("lists");
    let mut book = desk.open();
    let to = |name: &str| Action::Assign { to: Some(name.to_owned()) };
    book.act(&of(&all[0].finding_id), &to("li"), &desk.policy, by("2026-11-01")).unwrap();
    book.act(&of(&all[4].finding_id), &to("li"), &desk.policy, by("2026-11-01")).unwrap();
    let clear =
        Action::Clear { reason: mingcha_ledger::book::Clearance::Legitimate, text: "lawful".to_owned() };
    book.act(&of(&all[1].finding_id), &to("wang"), &desk.policy, by("2026-11-01")).unwrap();
    book.act(&of(&all[1].finding_id), &visit("2026-11-01"), &desk.policy, by("2026-11-01")).unwrap();
    book.act(&of(&all[1].finding_id), &clear, &desk.policy, by("2026-11-01")).unwrap();
    let mut leads = |addressee: Addressee| -> BTreeSet<String> {
        Order { addressee, ..Order::default() }.make(&mut book, &out).unwrap();
        book.handouts().unwrap().pop().unwrap().leads
    };
    let ids =
        |which: &[usize]| -> BTreeSet<String> { which.iter().map(|i| all[*i].finding_id.clone()).collect() };
    assert_eq!(leads(Addressee::Person("li".to_owned())), ids(&[0, 4]));
    assert_eq!(leads(Addressee::Area(village_code(0))), ids(&[0, 2]));
    for nobody in [Addressee::Person("wang".to_owned()), Addressee::Area("880102".to_owned())] {
        let head = book.head().unwrap();
        let told = Order { addressee: nobody, ..Order::default() }.make(&mut book, &out).unwrap_err();
        assert_eq!((told.code.as_str(), book.head().unwrap()), ("MC855", head));
    }
}

#[test]
fn what_the_recipient_holds_already_stays_away_until_something_new_is_said_of_it() {
    let all = villages(1, 4);
    let desk = desk(all[..3].to_vec());
    let out = desk.dir.path().join("lists");
    let list = |recipient: &str, at: &str| -> Result<BTreeSet<String>, String> {
        let mut book = desk.open();
        let issued = Order { only_new: true, recipient, at, ..Order::default() }
            .make(&mut book, &out)
            .map_err(|f| f.code)?;
        let handouts = book.handouts().unwrap();
        Ok(handouts.into_iter().find(|h| h.id == issued.number).unwrap().leads)
    };
    let ids =
        |which: &[usize]| -> BTreeSet<String> { which.iter().map(|i| all[*i].finding_id.clone()).collect() };
    assert_eq!(list("li", "2026-11-02T01:00:00Z"), Ok(ids(&[0, 1, 2])));
    assert_eq!(list("li", "2026-11-02T02:00:00Z"), Err("MC894".to_owned()));
    assert_eq!(list("wang", "2026-11-02T02:00:00Z"), Ok(ids(&[0, 1, 2])), "somebody else holds nothing yet");
    // A night that only finds the same again is no news; one with a further payment, and a new lead, is.
    desk.absorb(&Tonight::new("2026-11-02", all[..3].to_vec()));
    assert_eq!(list("li", "2026-11-03T01:00:00Z"), Err("MC894".to_owned()));
    let changed = crate::book::with_payment(&all[1], "202511");
    desk.absorb(&Tonight::new("2026-11-03", vec![all[0].clone(), changed, all[3].clone()]));
    assert_eq!(list("li", "2026-11-04T01:00:00Z"), Ok(ids(&[1, 3])));
    let cancelled = desk.open().handouts().unwrap().pop().unwrap().cancels;
    assert_eq!(cancelled, ids(&[2]), "what is not found any more is taken back on the same list");
    assert_eq!(list("li", "2026-11-04T02:00:00Z"), Err("MC894".to_owned()));
    // A list that has expired is held by nobody.
    assert_eq!(list("li", "2026-12-24T01:00:00Z"), Ok(ids(&[0, 1, 3])));
}

#[test]
fn what_a_killed_export_left_is_taken_away_and_what_another_is_writing_stays() {
    let desk = desk(villages(1, 2));
    let out = desk.dir.path().join("lists");
    let begun = |name: &str| {
        let folder = out.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("000000"), "names").unwrap();
        std::fs::write(folder.join(".mingcha-unfinished"), "mingcha unfinished 1\n").unwrap();
        std::fs::File::create(folder.join("lock")).unwrap()
    };
    let going_on = begun(".export.partial-1-0");
    going_on.lock().unwrap();
    drop(begun(".export.partial-2-0"));
    // Somebody's own, whatever it is called.
    drop(begun(".export.partial-letters"));
    std::fs::remove_file(out.join(".export.partial-letters/.mingcha-unfinished")).unwrap();
    Order::default().make(&mut desk.open(), &out).unwrap();
    assert!(out.join(".export.partial-1-0/000000").exists() && !out.join(".export.partial-2-0").exists());
    assert!(out.join(".export.partial-letters/000000").exists(), "what bears no mark was taken");
}

#[test]
fn a_lead_that_was_opened_anew_comes_back_to_whoever_held_it() {
    let all = villages(1, 2);
    let desk = desk(all.clone());
    let out = desk.dir.path().join("lists");
    let id = &all[0].finding_id;
    let act = |action: Action| {
        desk.open().act(&of(id), &action, &desk.policy, by("2026-11-01")).unwrap();
    };
    let to_li = || Action::Assign { to: Some("li".to_owned()) };
    let list = |at: &str| {
        let addressee = Addressee::Person("li".to_owned());
        let order = Order { addressee, recipient: "li", only_new: true, at, ..Order::default() };
        order.make(&mut desk.open(), &out).map(|issued| issued.leads).map_err(|f| f.code)
    };
    act(to_li());
    assert_eq!(list("2026-11-02T07:00:00+08:00"), Ok(1));
    let clear = mingcha_ledger::book::Clearance::Legitimate;
    act(visit("2026-11-01"));
    act(Action::Clear { reason: clear, text: "lawful".to_owned() });
    act(Action::Reopen { text: "it was not".to_owned() });
    act(to_li());
    assert_eq!(list("2026-11-02"), Ok(1), "whatever the clock of the two says");
    assert_eq!(list("2026-11-02"), Err("MC894".to_owned()));
}

#[test]
fn a_list_of_everything_or_a_masked_one_is_not_what_somebody_works_with() {
    let desk = desk(villages(1, 2));
    let out = desk.dir.path().join("lists");
    let mut book = desk.open();
    let mut leads = |addressee, profile| {
        let order = Order { addressee, profile, only_new: true, ..Order::default() };
        order.make(&mut book, &out).map(|issued| issued.leads).map_err(|f| f.code)
    };
    let area = || Addressee::Area(village_code(0));
    assert_eq!(leads(Addressee::Everything, Profile::Investigator), Ok(2));
    assert_eq!(leads(area(), Profile::Supervisor), Ok(2));
    assert_eq!(leads(area(), Profile::Investigator), Ok(2));
    assert_eq!(leads(area(), Profile::Supervisor), Err("MC894".to_owned()), "the full one shows more");
}

#[test]
fn a_list_that_only_cancels_sends_nobody_on_a_round() {
    let all = villages(1, 2);
    let desk = desk(all.clone());
    let out = desk.dir.path().join("lists");
    Order { payees: Some(payees(0, 9)), ..Order::default() }.make(&mut desk.open(), &out).unwrap();
    desk.absorb(&Tonight::new("2026-11-02", vec![]));
    let order = Order { payees: Some(payees(0, 9)), only_new: true, ..Order::default() };
    let issued = order.make(&mut desk.open(), &out).unwrap();
    assert_eq!((issued.leads, issued.cancelled, issued.controls, issued.files.len()), (0, 2, None, 1));
}

#[test]
fn a_list_on_record_can_be_written_again_with_what_it_cancelled() {
    let all = villages(1, 3);
    let desk = desk(all.clone());
    let out = desk.dir.path().join("lists");
    let order = |at| Order { profile: Profile::Supervisor, at, ..Order::default() };
    order("2026-11-02T01:00:00Z").make(&mut desk.open(), &out).unwrap();
    order("2026-11-02T02:00:00Z").make(&mut desk.open(), &out).unwrap();
    desk.absorb(&Tonight::new("2026-11-02", all[..1].to_vec()));
    let third = order("2026-11-03T01:00:00Z").make(&mut desk.open(), &out).unwrap();
    assert_eq!((third.number.as_str(), third.cancelled), ("E0003", 2));
    let bytes = std::fs::read(file(&third, "findings.xlsx")).unwrap();
    order("2026-11-03T02:00:00Z").make(&mut desk.open(), &out).unwrap();
    let head = desk.open().head().unwrap();
    let again = crate::filled::again(&mut desk.open(), "E0003", &desk.dir.path().join("again")).unwrap();
    assert!(std::fs::read(file(&again, "findings.xlsx")).unwrap() == bytes);
    assert_eq!(desk.open().head().unwrap(), head);
    let told = crate::filled::again(&mut desk.open(), "E0009", &out).unwrap_err();
    assert_eq!(told.code, "MC895");
    let counts = Order { addressee: Addressee::Everything, profile: Profile::Public, ..Order::default() };
    let counts = counts.make(&mut desk.open(), &out).unwrap();
    let told = crate::filled::again(&mut desk.open(), &counts.number, &out).unwrap_err();
    assert_eq!(told.code, "MC895", "counts of nothing would be untrue");
}

#[test]
fn a_list_for_an_occasion_is_made_once_and_written_again_as_it_was() {
    let all = villages(1, 4);
    let desk = desk(all.clone());
    let order = |at| Order {
        only_new: true,
        occasion: Some("2026-11-02"),
        payees: Some(payees(0, 30)),
        controls: Some(3),
        at,
        ..Order::default()
    };
    let (first, again) = (desk.dir.path().join("a"), desk.dir.path().join("b"));
    let made = order("2026-11-02T01:00:00Z").make(&mut desk.open(), &first).unwrap();
    let head = desk.open().head().unwrap();
    // Whoever made it died before the files were in their place; meanwhile somebody took up a lead.
    let note = Action::Note { text: "seen".to_owned() };
    desk.open().act(&of(&all[0].finding_id), &note, &desk.policy, by("2026-11-02")).unwrap();
    let noted = desk.open().head().unwrap();
    assert_ne!(head, noted);
    let more = order("2026-11-02T09:00:00Z").make(&mut desk.open(), &again).unwrap();
    assert_eq!(desk.open().head().unwrap(), noted, "nothing is recorded twice");
    assert_eq!((&made.number, made.leads, made.controls), (&more.number, more.leads, more.controls));
    for name in ["findings.xlsx", "visits.xlsx"] {
        let bytes = |issued| std::fs::read(file(issued, name)).unwrap();
        assert!(bytes(&made) == bytes(&more), "{name} differs");
    }
    let other = Order { occasion: Some("2026-11-03"), ..order("2026-11-03T01:00:00Z") };
    assert_eq!(other.make(&mut desk.open(), &again).unwrap_err().code, "MC894");
}

#[test]
fn a_file_in_the_way_leaves_no_record() {
    let desk = desk(villages(1, 2));
    let out = desk.dir.path().join("lists");
    std::fs::create_dir_all(&out).unwrap();
    std::fs::write(out.join("E0001-visits.xlsx"), "filled in").unwrap();
    let told = Order::default().make(&mut desk.open(), &out).unwrap_err();
    assert_eq!(told.code, "MC812");
    assert!(Book::read(&desk.path()).unwrap().handouts().unwrap().is_empty());
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 1);
}

#[test]
fn a_masked_list_names_leads_as_only_the_ledger_can() {
    let all = villages(1, 4);
    let desk = desk(all.clone());
    let issued = Order { profile: Profile::Supervisor, payees: Some(payees(0, 9)), ..Order::default() }
        .make(&mut desk.open(), &desk.dir.path().join("lists"))
        .unwrap();
    let book = Book::read(&desk.path()).unwrap();
    let aliases: BTreeSet<String> = all.iter().map(|f| book.alias(&f.finding_id).unwrap()).collect();
    for name in ["findings.xlsx", "visits.xlsx"] {
        let mut text = String::new();
        for n in 1..=3 {
            text.push_str(&part(&file(&issued, name), &format!("xl/worksheets/sheet{n}.xml")));
        }
        for finding in &all {
            assert!(!text.contains(&finding.finding_id) && !text.contains(&finding.subject_id), "{name}");
        }
        assert!(payees(0, 9).iter().all(|p| !text.contains(&p.id_number)), "{name}");
    }
    let listed: BTreeSet<String> = (2..=5)
        .map(|row| sheet(&file(&issued, "findings.xlsx"), "线索清单")[&format!("A{row}")].clone())
        .collect();
    assert_eq!(listed, aliases);
}

#[test]
fn the_visit_sheet_holds_persons_of_leads_and_of_the_sample_and_nothing_tells_them_apart() {
    let all = villages(2, 4);
    let desk = desk(all.clone());
    // Payees of the village without a lead, one of the next village, and somebody who has a lead.
    let mut crowd = payees(0, 20);
    crowd.extend(payees(1, 5));
    let flagged = |i: usize| mingcha_ledger::Payee {
        id_number: all[i].subject_id.clone(),
        name: "赵".to_owned(),
        area_code: village_code(0),
    };
    crowd.extend([flagged(0), flagged(5)]);
    let order = |payees| Order {
        addressee: Addressee::Area(village_code(0)),
        payees: Some(payees),
        controls: Some(3),
        ..Order::default()
    };
    let out = desk.dir.path();
    let ledger = std::fs::read(desk.path()).unwrap();
    let seal = std::fs::read(out.join("ledger.sqlite.seal")).unwrap();
    let issued = order(crowd.clone()).make(&mut desk.open(), &out.join("a")).unwrap();
    assert_eq!((issued.persons, issued.controls), (4, Some((3, 20))));
    let visits = sheet(&file(&issued, "visits.xlsx"), "入户核查");
    let ids: Vec<String> = (2..=8).map(|row| visits[&format!("D{row}")].clone()).collect();
    assert!(!visits.contains_key("D9"));
    let drawn: BTreeSet<&String> =
        ids.iter().filter(|id| payees(0, 20).iter().any(|p| p.id_number == **id)).collect();
    let leads: BTreeSet<&String> =
        ids.iter().filter(|id| all[..4].iter().any(|f| f.subject_id == **id)).collect();
    assert_eq!((drawn.len(), leads.len()), (3, 4), "{ids:?}");
    // No word of any rule, and names that look alike.
    let mut text = String::new();
    for n in 1..=4 {
        text.push_str(&part(&file(&issued, "visits.xlsx"), &format!("xl/worksheets/sheet{n}.xml")));
    }
    text.push_str(&part(&file(&issued, "visits.xlsx"), "xl/sharedStrings.xml"));
    for word in ["PEN-13", "重复发放", "severity", "严重程度", "对照", "线索", "疑点"] {
        assert!(!text.contains(word), "{word}");
    }
    let keys: BTreeSet<&String> = (2..=8).map(|row| &visits[&format!("A{row}")]).collect();
    assert!(
        keys.len() == 7 && keys.iter().all(|k| k.len() == 32 && k.bytes().all(|b| b.is_ascii_hexdigit()))
    );
    assert!(all.iter().all(|f| !keys.contains(&f.finding_id)));
    // On record: names that only the ledger can make, and no identity number of anybody without a lead.
    let book = Book::read(&desk.path()).unwrap();
    let controls = book.controls().unwrap();
    assert_eq!(controls.len(), 3);
    assert!(controls.iter().all(|c| keys.contains(&c.person) && c.answer.is_none() && c.population == 20));
    assert!(controls.iter().all(|c| c.area == village_code(0) && c.handout == "E0001" && c.drawn == 3));
    drop(book);
    let bytes = std::fs::read(desk.path()).unwrap();
    for id in &drawn {
        assert!(!bytes.windows(18).any(|w| w == id.as_bytes()), "the ledger remembers who was drawn");
    }
    desk.whole();
    // The same ledger draws the same again, whatever the order of the payees; the next export draws others.
    std::fs::write(desk.path(), ledger).unwrap();
    std::fs::write(out.join("ledger.sqlite.seal"), seal).unwrap();
    crowd.reverse();
    let again = order(crowd.clone()).make(&mut desk.open(), &out.join("b")).unwrap();
    assert_eq!(sheet(&file(&again, "visits.xlsx"), "入户核查"), visits);
    let next = order(crowd).make(&mut desk.open(), &out.join("b")).unwrap();
    assert_ne!(sheet(&file(&next, "visits.xlsx"), "入户核查"), visits);
}

#[test]
fn those_who_were_drawn_stand_anywhere_on_the_sheet() {
    let all = villages(1, 8);
    let desk = desk(all.clone());
    let mut places = BTreeSet::new();
    for _ in 0..12 {
        let order = Order { payees: Some(payees(0, 90)), controls: Some(2), ..Order::default() };
        let issued = order.make(&mut desk.open(), &desk.dir.path().join("lists")).unwrap();
        let visits = sheet(&file(&issued, "visits.xlsx"), "入户核查");
        let drawn = |row: &u32| all.iter().all(|f| f.subject_id != visits[&format!("D{row}")]);
        places.extend((2..=11).filter(drawn));
    }
    // Twelve draws that touch five places of ten or fewer: less than once in ten million.
    assert!(places.len() > 5 && places.iter().any(|row| *row > 6), "{places:?}");
}

#[test]
fn its_holder_is_told_once_what_is_cancelled_and_nobody_else() {
    let all = villages(1, 3);
    let desk = desk(all.clone());
    let out = desk.dir.path().join("lists");
    for recipient in ["li", "wang"] {
        Order { recipient, ..Order::default() }.make(&mut desk.open(), &out).unwrap();
    }
    desk.absorb(&Tonight::new("2026-11-03", all[1..].to_vec()));
    let order = |recipient, at| Order { recipient, at, ..Order::default() };
    let other = order("qian", "2026-11-04").make(&mut desk.open(), &out).unwrap();
    assert_eq!((other.leads, other.cancelled), (2, 0), "whoever never had it is not told");
    let told = order("li", "2026-11-04").make(&mut desk.open(), &out).unwrap();
    assert_eq!((told.leads, told.cancelled), (2, 1));
    let cells = sheet(&file(&told, "findings.xlsx"), "撤销");
    assert_eq!((cells["A2"].as_str(), cells["C2"].as_str()), (all[0].finding_id.as_str(), "E0001"));
    assert_eq!(cells["E2"], all[0].subject_id);
    assert!(cells["H2"].contains("停止核查"), "{}", cells["H2"]);
    let again = order("li", "2026-11-05").make(&mut desk.open(), &out).unwrap();
    assert_eq!(again.cancelled, 0);
    let open: Vec<String> =
        Book::read(&desk.path()).unwrap().cancellations().unwrap().into_iter().map(|c| c.recipient).collect();
    assert_eq!(open, ["wang"]);
    desk.whole();
}

#[test]
fn a_lead_whose_run_is_gone_is_listed_all_the_same() {
    let desk = desk(findings(4));
    desk.absorb(&Tonight { selected: false, ..Tonight::new("2026-11-02", vec![]) });
    std::fs::remove_dir_all(desk.dir.path().join("run-2026-11-01")).unwrap();
    let order = Order { addressee: Addressee::Area("8801".to_owned()), ..Order::default() };
    let issued = order.make(&mut desk.open(), &desk.dir.path().join("lists")).unwrap();
    assert_eq!((issued.leads, issued.bare), (4, 4));
    let cells = sheet(&file(&issued, "findings.xlsx"), "线索清单");
    assert!(cells["E5"].starts_with("8801021960") && cells["I5"] == "同一月份重复发放");
    assert_eq!(desk.leads(&Filter { open: true, ..Filter::default() }, "2026-11-02").len(), 4);
}
