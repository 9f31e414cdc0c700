//! Lists that come back: fifty filled workbooks with a planted error of every kind among many good ones, each error named
//! with sheet and cell; the same file again, files that disagree, files of other ledgers and other days.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use mingcha_ledger::Addressee;
use mingcha_ledger::book::{Action, Book, By, Clearance, Stage};
use mingcha_ledger::import::{Brought, Mode, import};
use mingcha_rules::Lang;
use mingcha_rules::diagnostic::Level;

use crate::book::{Desk, Tonight, acts, by, of};
use crate::filled::{
    Edit, Order, Put, edit, file, fill, payees, rewrite, sheet, text, village_code, villages,
};

const LIST: &str = "线索清单";
const VISITS: &str = "入户核查";
/// The day on which the files come back, and who takes them in.
static OFFICE: LazyLock<By<'static>> = LazyLock::new(|| acts("office", "2026-11-20T08:00:00Z"));

/// Cells of the main list.
fn row(n: u32, conclusion: &str, more: &[(&str, Put)]) -> Vec<Edit> {
    let mut cells =
        vec![("R", text(conclusion)), ("S", text("li")), ("T", Put::Day("2026-11-10")), ("U", text("入户"))];
    cells.extend(more.iter().cloned());
    cells.into_iter().map(|(column, put)| edit(LIST, &format!("{column}{n}"), put)).collect()
}

/// Cells of the visit sheet.
fn visit(n: u32, state: &str, more: &[(&str, Put)]) -> Vec<Edit> {
    let mut cells =
        vec![("F", text(state)), ("I", text("li")), ("J", Put::Day("2026-11-10")), ("K", text("入户"))];
    cells.extend(more.iter().cloned());
    cells.into_iter().map(|(column, put)| edit(VISITS, &format!("{column}{n}"), put)).collect()
}

/// A good row of every kind: confirmed with money back, cleared, being checked; the fourth is left empty.
fn good() -> Vec<Edit> {
    good_by("2026-17")
}

/// The same, with a paper (and receipt) of its own.
fn good_by(paper: &str) -> Vec<Edit> {
    let paper = ("V", text(paper));
    [
        row(2, "属实", &[paper, ("W", Put::Number(120.5))]),
        row(3, "不属实：情况合法", &[("X", text("是补发"))]),
        row(4, "正在核查", &[]),
    ]
    .concat()
}

fn without(edits: Vec<Edit>, cells: &[&str]) -> Vec<Edit> {
    edits.into_iter().filter(|(_, cell, _)| !cells.contains(&cell.as_str())).collect()
}

fn with(mut edits: Vec<Edit>, cell: &str, put: Put) -> Vec<Edit> {
    let sheet = edits[0].0.clone();
    edits.retain(|(_, known, _)| known != cell);
    edits.push(edit(&sheet, cell, put));
    edits
}

fn with_one(edits: Vec<Edit>, one: Edit) -> Vec<Edit> {
    let mut edits: Vec<Edit> = edits.into_iter().filter(|(_, cell, _)| *cell != one.1).collect();
    edits.push(one);
    edits
}

/// Errors of a file: code, and the cell where there is one.
fn errors(brought: &Brought) -> BTreeSet<(String, String)> {
    let cell = |column: &Option<String>| column.clone().unwrap_or_default();
    (brought.faults.iter()).map(|fault| (fault.code.clone(), cell(&fault.place.column))).collect()
}

fn look(desk: &Desk, files: &[PathBuf]) -> Vec<Brought> {
    let mut book = Book::read(&desk.path()).unwrap();
    import(&mut book, files, Mode::Look, &desk.policy, *OFFICE).unwrap()
}

fn take(desk: &Desk, files: &[PathBuf], mode: Mode) -> Vec<Brought> {
    import(&mut desk.open(), files, mode, &desk.policy, *OFFICE).unwrap()
}

fn head(desk: &Desk) -> String {
    Book::read(&desk.path()).unwrap().head().unwrap()
}

/// A ledger with leads in villages, and a list for each village; every fifth is a visit sheet.
struct House {
    desk: Desk,
    lists: Vec<PathBuf>,
    visits: Vec<PathBuf>,
}

fn house(n: u32, lang: Lang) -> House {
    let desk = Desk::new();
    let mut all = villages(n, 4);
    // More than anybody pays back here.
    all.iter_mut().for_each(|finding| finding.amount_fen = finding.amount_fen.map(|fen| fen + 1_000_000));
    desk.absorb(&Tonight::new("2026-11-01", all));
    let (mut lists, mut visits) = (Vec::new(), Vec::new());
    let mut book = desk.open();
    for village in 0..n {
        let order = Order {
            addressee: Addressee::Area(village_code(village)),
            recipient: "城关镇",
            payees: Some(payees(village, 6)),
            lang,
            ..Order::default()
        };
        let issued = order.make(&mut book, &desk.dir.path().join("lists")).unwrap();
        lists.push(file(&issued, "findings.xlsx"));
        visits.push(file(&issued, "visits.xlsx"));
    }
    drop(book);
    House { desk, lists, visits }
}

impl House {
    fn back(&self, name: &str) -> PathBuf {
        let folder = self.desk.dir.path().join("back");
        std::fs::create_dir_all(&folder).unwrap();
        folder.join(name)
    }

    /// The list of a village, filled in.
    fn list(&self, village: usize, name: &str, edits: &[Edit]) -> PathBuf {
        let to = self.back(name);
        fill(&self.lists[village], &to, edits);
        to
    }

    fn visit(&self, village: usize, name: &str, edits: &[Edit]) -> PathBuf {
        let to = self.back(name);
        fill(&self.visits[village], &to, edits);
        to
    }

    /// The lead of a row of a village's list.
    fn lead(&self, village: usize, row: u32) -> String {
        sheet(&self.lists[village], LIST)[&format!("A{row}")].clone()
    }
}

type Planted = (&'static str, Vec<Edit>, Vec<(&'static str, &'static str)>);

/// What goes wrong on the main list, by what it is and what must be said of it.
fn wrong_lists() -> Vec<Planted> {
    let confirmed = |more: &[(&str, Put)]| [row(2, "属实", &[("V", text("2026-17"))]), cells(more)].concat();
    fn cells(more: &[(&str, Put)]) -> Vec<Edit> {
        more.iter().map(|(cell, put)| edit(LIST, cell, put.clone())).collect()
    }
    vec![
        ("no word of the list", with(good(), "R2", text("不属实")), vec![("MC886", "R2")]),
        ("no way of checking", with(good(), "U3", text("开会")), vec![("MC886", "U3")]),
        ("no day", with(good(), "T2", text("昨天")), vec![("MC886", "T2")]),
        ("a day to come", with(good(), "T2", Put::Day("2026-12-01")), vec![("MC888", "T2")]),
        ("a day before it left", with(good(), "T3", Put::Day("2026-10-30")), vec![("MC888", "T3")]),
        ("an amount in words", with(good(), "W2", text("约300元左右")), vec![("MC887", "W2")]),
        ("a negative amount", with(good(), "W2", Put::Number(-5.0)), vec![("MC887", "W2")]),
        ("a third decimal", with(good(), "W2", Put::Number(1.234)), vec![("MC887", "W2")]),
        ("other without remark", row(2, "其他", &[]), vec![("MC888", "X2")]),
        ("checked otherwise without remark", with(confirmed(&[]), "U2", text("其他")), vec![("MC888", "X2")]),
        ("confirmed without paper", row(2, "属实", &[]), vec![("MC888", "V2")]),
        ("partly without remark", row(2, "部分属实", &[("V", text("7"))]), vec![("MC888", "X2")]),
        ("cleared without reason", row(2, "不属实：匹配有误", &[]), vec![("MC888", "X2")]),
        (
            "money back of what is not so",
            row(
                2,
                "不属实：源数据有误",
                &[("X", text("登记错误")), ("V", text("7")), ("W", Put::Number(5.0))],
            ),
            vec![("MC888", "W2")],
        ),
        (
            "money back of what nobody confirmed",
            cells(&[("V2", text("R-1")), ("W2", Put::Number(5.0))]),
            vec![("MC888", "W2")],
        ),
        (
            "money back without receipt",
            without(row(2, "属实", &[("W", Put::Number(5.0))]), &["V2"]),
            vec![("MC888", "V2")],
        ),
        ("nobody checked", without(good(), &["S2"]), vec![("MC888", "S2")]),
        ("checked on no day", without(good(), &["T4"]), vec![("MC888", "T4")]),
        ("checked in no way", without(good(), &["U4"]), vec![("MC888", "U4")]),
        ("checked and not concluded", without(good(), &["R4"]), vec![("MC888", "R4")]),
        ("a name edited", with(good(), "D3", text("王五")), vec![("MC883", "D3")]),
        ("an amount edited", with(good(), "L2", Put::Number(1.0)), vec![("MC883", "L2")]),
        ("a date edited", with(good(), "J4", Put::Day("2025-04-02")), vec![("MC883", "J4")]),
        (
            "a number put where another stood",
            with(good(), "E2", text("88010119500101")),
            vec![("MC883", "E2")],
        ),
        ("the id of another lead", with(good(), "A2", text(&"0".repeat(32))), vec![("MC883", "A2")]),
        ("a seal made up", with(good(), "Y2", text("1:00000000")), vec![("MC883", "Y2")]),
        ("a heading edited", with(good(), "S1", text("检查人")), vec![("MC883", "S1")]),
        ("a row added", with(good(), "D7", text("王五")), vec![("MC884", "D7")]),
        ("checked by who handled the payment", with(good(), "S2", text("Qian")), vec![("MC854", "S2")]),
    ]
}

/// What goes wrong on the visit sheet.
fn wrong_visits() -> Vec<Planted> {
    vec![
        ("alive and died", visit(2, "健在", &[("G", Put::Day("2026-11-03"))]), vec![("MC888", "G2")]),
        ("dead on no day", visit(2, "已死亡", &[]), vec![("MC888", "G2")]),
        ("away and died", visit(2, "外出未见到", &[("G", Put::Day("2026-11-03"))]), vec![("MC888", "G2")]),
        ("died after the visit", visit(3, "已死亡", &[("G", Put::Day("2026-11-12"))]), vec![("MC888", "G3")]),
        ("other without remark", visit(2, "其他", &[]), vec![("MC888", "L2")]),
        ("card of others without remark", visit(2, "健在", &[("H", text("其他"))]), vec![("MC888", "L2")]),
        (
            "visited and nobody said how they are",
            without(visit(2, "健在", &[]), &["F2"]),
            vec![("MC888", "F2")],
        ),
        ("no such holder", visit(2, "健在", &[("H", text("村干部"))]), vec![("MC886", "H2")]),
        ("an area edited", with(visit(2, "健在", &[]), "E3", text("河东镇")), vec![("MC883", "E3")]),
    ]
}

#[test]
fn fifty_workbooks_come_back_and_each_error_is_named_with_sheet_and_cell() {
    let house = house(50, Lang::Zh);
    let mut expected: BTreeMap<PathBuf, BTreeSet<(String, String)>> = BTreeMap::new();
    let mut good_lists = Vec::new();
    let mut what: BTreeMap<PathBuf, &str> = BTreeMap::new();
    let mut village = 0;
    for (sheet, planted) in [(LIST, wrong_lists()), (VISITS, wrong_visits())] {
        for (name, edits, faults) in planted {
            let edits: Vec<Edit> = edits.into_iter().map(|(_, cell, put)| edit(sheet, &cell, put)).collect();
            let path = match sheet {
                LIST => house.list(village, &format!("{village}.xlsx"), &edits),
                _ => house.visit(village, &format!("{village}.xlsx"), &edits),
            };
            let faults = faults.into_iter().map(|(c, cell)| (c.to_owned(), format!("{sheet}!{cell}")));
            let mut faults: BTreeSet<(String, String)> = faults.collect();
            // A heading that is not ours leaves no list to read.
            if name == "a heading edited" {
                faults.insert(("MC883".to_owned(), format!("{sheet}!A1")));
            }
            if name == "a seal made up" {
                faults.retain(|(code, _)| code == "MC883");
            }
            what.insert(path.clone(), name);
            expected.insert(path, faults);
            village += 1;
        }
    }
    assert_eq!(village, 38, "the kinds of errors");
    while village < 50 {
        let path = if village % 2 == 0 {
            good_lists.push(village);
            house.list(village, &format!("{village}.xlsx"), &good_by(&format!("2026-{village}")))
        } else {
            let seen: Vec<Edit> = (2..=4).flat_map(|n| visit(n, "健在", &[("H", text("本人"))])).collect();
            house.visit(village, &format!("{village}.xlsx"), &seen)
        };
        expected.insert(path, BTreeSet::new());
        village += 1;
    }
    let files: Vec<PathBuf> = expected.keys().cloned().collect();
    assert_eq!(files.len(), 50);

    let before = head(&house.desk);
    let seen = look(&house.desk, &files);
    for brought in &seen {
        let name = what.get(&brought.file).unwrap_or(&"good");
        assert_eq!(errors(brought), expected[&brought.file], "{name}: {:?}", brought.faults);
        let told = brought.file.display().to_string();
        assert!(brought.faults.iter().all(|f| f.place.file.as_ref() == Some(&told)), "{name}");
        assert!(!brought.taken);
    }
    assert_eq!(head(&house.desk), before, "looking wrote something");

    let taken = take(&house.desk, &files, Mode::Whole);
    for brought in &taken {
        assert_eq!(brought.taken, expected[&brought.file].is_empty(), "{}", brought.file.display());
    }
    for (looked, took) in seen.iter().zip(&taken) {
        assert_eq!(looked.changes, took.changes, "what was shown is what was done");
    }
    for village in 0..38 {
        for row in 2..=5 {
            assert_eq!(house.desk.lead(&house.lead(village, row)).stage, Stage::New, "of a refused file");
        }
    }
    for village in good_lists {
        let lead = |row| house.desk.lead(&house.lead(village, row));
        let confirmed = lead(2);
        assert_eq!((confirmed.stage, confirmed.recovered_fen), (Stage::Recovered, 12_050));
        let paper = confirmed.verification.unwrap();
        assert_eq!((paper.by.as_str(), paper.on.as_str(), paper.how.as_str()), ("li", "2026-11-10", "visit"));
        assert_eq!(paper.document, Some(format!("2026-{village}")));
        assert_eq!((lead(3).stage, lead(3).clearance), (Stage::Cleared, Some(Clearance::Legitimate)));
        assert_eq!((lead(4).stage, lead(5).stage), (Stage::Checked, Stage::New));
    }
    house.desk.whole();

    // Once more, the good ones change nothing, and the bad ones are as bad.
    let before = head(&house.desk);
    for brought in take(&house.desk, &files, Mode::Whole) {
        assert_eq!(errors(&brought), expected[&brought.file]);
        assert!(!brought.taken && (!expected[&brought.file].is_empty() || brought.changes.is_empty()));
    }
    assert_eq!(head(&house.desk), before, "the same files changed something");
}

#[test]
fn answers_are_understood_in_both_languages_and_the_story_names_the_list() {
    let house = house(1, Lang::En);
    let path = house.back("en.xlsx");
    let cells = |cells: &[(&str, Put)]| -> Vec<Edit> {
        cells.iter().map(|(cell, put)| edit("Findings", cell, put.clone())).collect()
    };
    let edits = cells(&[
        ("R2", text("confirmed")),
        ("S2", text("li")),
        ("T2", text("2026/11/9")),
        ("U2", text("电话")),
        ("V2", Put::Number(17.0)),
        ("W2", text("1,200.50 元")),
        ("R3", text("不属实：匹配有误")),
        ("S3", text("li")),
        ("T3", text("2026年11月9日")),
        ("U3", text("Papers")),
        ("X3", text("two people")),
    ]);
    fill(&house.lists[0], &path, &edits);
    let brought = take(&house.desk, &[path], Mode::Whole);
    assert!(errors(&brought[0]).is_empty() && brought[0].taken, "{:?}", brought[0].faults);
    let id = brought[0].changes[0].lead.clone();
    let lead = house.desk.lead(&id);
    assert_eq!((lead.stage, lead.recovered_fen), (Stage::Recovered, 120_050));
    assert_eq!(lead.verification.unwrap().document.as_deref(), Some("17"));
    assert_eq!(house.desk.story(&id), ["new", "assigned", "checked", "confirmed", "recovered"]);
    let history = Book::read(&house.desk.path()).unwrap().history(&id).unwrap();
    for event in &history[1..] {
        assert_eq!((event.actor.as_str(), event.why["export"].as_str()), ("office", Some("E0001")));
    }
}

#[test]
fn good_rows_of_a_bad_file_are_taken_where_that_is_asked_for() {
    let house = house(1, Lang::Zh);
    let path = house.list(0, "half.xlsx", &with(good(), "W2", text("很多")));
    let brought = take(&house.desk, std::slice::from_ref(&path), Mode::Partial);
    assert!(brought[0].taken && brought[0].changes.len() == 2, "{:?}", brought[0].faults);
    assert_eq!(house.desk.lead(&house.lead(0, 2)).stage, Stage::New);
    assert_eq!(house.desk.lead(&house.lead(0, 3)).stage, Stage::Cleared);
    // The corrected file brings what was missing, and nothing twice.
    let path = house.list(0, "whole.xlsx", &good());
    let brought = take(&house.desk, &[path], Mode::Whole);
    assert_eq!((brought[0].taken, brought[0].changes.len(), brought[0].known), (true, 1, 2));
    assert_eq!(house.desk.lead(&house.lead(0, 2)).stage, Stage::Recovered);
    house.desk.whole();
}

#[test]
fn two_files_that_disagree_are_named_both_and_nothing_of_the_lead_is_taken() {
    let house = house(1, Lang::Zh);
    let a =
        house.list(0, "a.xlsx", &[row(2, "属实", &[("V", text("17"))]), row(3, "正在核查", &[])].concat());
    let b = house.list(0, "b.xlsx", &row(2, "不属实：匹配有误", &[("X", text("另一个人"))]));
    let before = head(&house.desk);
    for mode in [Mode::Whole, Mode::Partial] {
        let brought = take(&house.desk, &[a.clone(), b.clone()], mode);
        for (here, there) in [(0, "b.xlsx"), (1, "a.xlsx")] {
            let at = ("MC889".to_owned(), format!("{LIST}!R2"));
            assert_eq!(errors(&brought[here]), [at].into());
            let told = &brought[here].faults[0].message;
            assert!(told.zh.contains(there) && told.en.contains(&format!("{LIST}!R2")), "{told:?}");
        }
        assert_eq!(house.desk.lead(&house.lead(0, 2)).stage, Stage::New);
        if mode == Mode::Whole {
            assert_eq!(head(&house.desk), before);
        }
    }
    assert_eq!(
        house.desk.lead(&house.lead(0, 3)).stage,
        Stage::Checked,
        "the good row, where it was asked for"
    );
    house.desk.whole();
}

#[test]
fn a_file_that_disagrees_with_an_earlier_one_is_refused_and_one_that_adds_to_it_is_not() {
    let house = house(1, Lang::Zh);
    let first = house.list(
        0,
        "first.xlsx",
        &[row(2, "正在核查", &[]), row(3, "属实", &[("V", text("17"))])].concat(),
    );
    assert!(take(&house.desk, &[first], Mode::Whole)[0].taken);
    // "Being checked" contradicts nobody; money that came back later has a receipt of its own.
    let later = house.list(
        0,
        "later.xlsx",
        &[
            with(row(2, "属实", &[("V", text("18"))]), "T2", Put::Day("2026-11-15")),
            row(3, "属实", &[("V", text("R-5")), ("W", Put::Number(30.0))]),
        ]
        .concat(),
    );
    let brought = take(&house.desk, &[later], Mode::Whole);
    assert!(brought[0].taken, "{:?}", brought[0].faults);
    assert_eq!(house.desk.lead(&house.lead(0, 2)).stage, Stage::Confirmed);
    assert_eq!(house.desk.lead(&house.lead(0, 3)).recovered_fen, 3_000);
    let before = head(&house.desk);
    let cases = [
        ("c.xlsx", row(2, "不属实：匹配有误", &[("X", text("另一个人"))]), ("MC889", "R2")),
        ("d.xlsx", with(row(2, "属实", &[("V", text("18"))]), "T2", Put::Day("2026-11-16")), ("MC889", "T2")),
        ("e.xlsx", row(3, "属实", &[("V", text("R-5")), ("W", Put::Number(31.0))]), ("MC889", "W3")),
    ];
    for (name, edits, (code, cell)) in cases {
        let brought = take(&house.desk, &[house.list(0, name, &edits)], Mode::Whole);
        let at = (code.to_owned(), format!("{LIST}!{cell}"));
        assert_eq!(errors(&brought[0]), [at].into(), "{name} {:?}", brought[0].faults);
    }
    assert_eq!(head(&house.desk), before);
    // What people did by other ways stands against a file too.
    let clear = Action::Clear { reason: Clearance::WrongMatch, text: "two people".to_owned() };
    let mut book = house.desk.open();
    let id = house.lead(0, 4);
    book.act(&of(&id), &Action::Assign { to: Some("li".to_owned()) }, &house.desk.policy, by("2026-11-12"))
        .unwrap();
    book.act(&of(&id), &crate::learning::visit("2026-11-12"), &house.desk.policy, by("2026-11-12")).unwrap();
    book.act(&of(&id), &clear, &house.desk.policy, by("2026-11-12")).unwrap();
    drop(book);
    let brought =
        take(&house.desk, &[house.list(0, "f.xlsx", &row(4, "属实", &[("V", text("19"))]))], Mode::Whole);
    assert_eq!(errors(&brought[0]), [("MC890".to_owned(), format!("{LIST}!R4"))].into());
}

#[test]
fn who_checks_after_another_list_may_agree_on_another_day_and_must_not_contradict() {
    let house = house(1, Lang::Zh);
    let second = Order { recipient: "wang", at: "2026-11-05T10:00:00Z", ..Order::default() }
        .make(&mut house.desk.open(), &house.desk.dir.path().join("lists"))
        .unwrap();
    let second = file(&second, "findings.xlsx");
    let first = house.list(0, "first.xlsx", &row(2, "属实", &[("V", text("17"))]));
    let again = [("S", text("wang")), ("T", Put::Day("2026-11-12")), ("V", text("18")), ("X", text("确实"))];
    let (agrees, contradicts) = (house.back("agrees.xlsx"), house.back("contradicts.xlsx"));
    fill(&second, &agrees, &row(2, "属实", &again).into_iter().fold(vec![], with_one));
    let brought = take(&house.desk, &[first, agrees], Mode::Whole);
    assert!(brought.iter().all(|b| b.taken && errors(b).is_empty()), "{:?}", brought[1].faults);
    let id = house.lead(0, 2);
    assert_eq!(house.desk.story(&id), ["new", "assigned", "checked", "confirmed", "noted"]);
    let otherwise = row(2, "不属实：匹配有误", &[("X", text("另一个人"))]);
    fill(&second, &contradicts, &otherwise);
    let brought = take(&house.desk, &[contradicts], Mode::Whole);
    assert_eq!(errors(&brought[0]), [("MC889".to_owned(), format!("{LIST}!R2"))].into());
}

#[test]
fn a_visit_is_a_check_of_every_lead_of_the_person_and_never_a_judgement() {
    let desk = Desk::new();
    let mut all = villages(1, 3);
    all[1].subject_id = all[0].subject_id.clone();
    desk.absorb(&Tonight::new("2026-11-01", all.clone()));
    let order = Order { payees: Some(payees(0, 8)), controls: Some(2), ..Order::default() };
    let issued = order.make(&mut desk.open(), &desk.dir.path().join("lists")).unwrap();
    assert_eq!((issued.persons, issued.controls), (2, Some((2, 8))));
    let path = file(&issued, "visits.xlsx");
    let cells = sheet(&path, VISITS);
    let at = |id: &str| (2..=5).find(|row| cells[&format!("D{row}")] == id).unwrap();
    let (both, one) = (at(&all[0].subject_id), at(&all[2].subject_id));
    let drawn: Vec<u32> = (2..=5).filter(|row| ![both, one].contains(row)).collect();
    let edits = [
        visit(both, "已死亡", &[("G", Put::Day("2026-11-03")), ("H", text("亲属"))]),
        visit(one, "健在", &[]),
        visit(drawn[0], "健在", &[]),
        visit(drawn[1], "已死亡", &[("G", Put::Day("2025-01-03")), ("L", text("邻居说"))]),
    ]
    .concat();
    let filled = desk.dir.path().join("filled.xlsx");
    fill(&path, &filled, &edits);
    let brought = take(&desk, std::slice::from_ref(&filled), Mode::Whole);
    assert!(brought[0].taken, "{:?}", brought[0].faults);
    assert_eq!((brought[0].changes.len(), brought[0].controls), (3, 2));
    assert_eq!(brought[0].missed, [format!("{VISITS}!F{}", drawn[1])]);
    for finding in &all {
        assert_eq!(desk.lead(&finding.finding_id).stage, Stage::Checked);
        assert_eq!(desk.story(&finding.finding_id), ["new", "assigned", "checked"]);
    }
    let book = Book::read(&desk.path()).unwrap();
    let told = book.history(&all[1].finding_id).unwrap().pop().unwrap();
    let words = told.why["text"].as_str().unwrap().to_owned();
    assert!(
        words.contains("已死亡 Dead") && words.contains("2026-11-03") && words.contains("亲属 Family"),
        "{words}"
    );
    let mut controls = book.controls().unwrap();
    controls.sort_by_key(|c| c.answer.as_ref().unwrap().state.clone());
    let states: Vec<_> = controls.iter().map(|c| c.answer.as_ref().unwrap().state.as_str()).collect();
    assert_eq!(states, ["alive", "dead"]);
    assert!(controls.iter().all(mingcha_ledger::book::Control::is_settled));
    assert_eq!(controls[1].answer.as_ref().unwrap().died.as_deref(), Some("2025-01-03"));
    assert_eq!(controls[1].person, cells[&format!("A{}", drawn[1])]);
    drop(book);
    let before = head(&desk);
    let again = take(&desk, std::slice::from_ref(&filled), Mode::Whole);
    assert_eq!((again[0].taken, again[0].known, head(&desk)), (false, 4, before));
    // A second visitor who says otherwise of somebody drawn is a conflict like any other.
    let other = desk.dir.path().join("other.xlsx");
    fill(&path, &other, &visit(drawn[0], "在押服刑", &[]));
    let brought = take(&desk, &[other], Mode::Whole);
    assert_eq!(errors(&brought[0]), [("MC889".to_owned(), format!("{VISITS}!F{}", drawn[0]))].into());
    desk.whole();
}

#[test]
fn what_is_expired_unknown_or_no_list_of_this_ledger_is_refused_with_the_next_step() {
    let house = house(1, Lang::Zh);
    let ours = house.list(0, "ours.xlsx", &good());
    let code = |files: &[PathBuf], by: By<'_>| {
        let mut book = Book::read(&house.desk.path()).unwrap();
        let brought = import(&mut book, files, Mode::Look, &house.desk.policy, by).unwrap();
        let fault = brought[0].faults[0].clone();
        assert!(fault.help.is_some() && fault.level == Level::Error && brought[0].changes.is_empty());
        fault.code
    };
    let one = |path: &Path| vec![path.to_path_buf()];
    let day = |at| acts("office", at);
    let mut book = Book::read(&house.desk.path()).unwrap();
    let last = import(&mut book, &one(&ours), Mode::Look, &house.desk.policy, day("2026-12-02")).unwrap();
    assert!(last[0].faults.is_empty(), "the last day is a good day");
    assert_eq!(code(&one(&ours), day("2026-12-03")), "MC882");

    let other = self::house(1, Lang::Zh);
    assert_eq!(code(&one(&other.list(0, "other.xlsx", &good())), *OFFICE), "MC881");
    let forged = house.back("forged.xlsx");
    rewrite(&ours, &forged, |_, xml| xml.replace("E0001", "E0077"));
    assert_eq!(code(&one(&forged), *OFFICE), "MC881");
    let extended = house.back("extended.xlsx");
    rewrite(&ours, &extended, |_, xml| xml.replace("2026-12-02", "2027-12-02"));
    assert_eq!(code(&one(&extended), *OFFICE), "MC883");
    assert_eq!(code(&one(&extended), day("2026-12-03")), "MC882", "the ledger knows until when");
    let renamed = house.back("renamed.xlsx");
    rewrite(&ours, &renamed, |name, xml| match name {
        "xl/workbook.xml" => xml.replace("线索清单", "我的清单"),
        _ => xml,
    });
    assert_eq!(code(&one(&renamed), *OFFICE), "MC883");

    let folder = house.desk.dir.path().join("plain");
    std::fs::create_dir_all(&folder).unwrap();
    let run = crate::fixture::finished(&folder, villages(1, 1));
    let options = mingcha_ledger::ExportOptions::default();
    let plain =
        mingcha_ledger::export(&run, &house.back("plain"), &options, &mingcha_ledger::Catalogue::default());
    assert_eq!(code(&[plain.unwrap()[0].path.clone()], *OFFICE), "MC881");
    let letter = house.back("letter.xlsx");
    std::fs::write(&letter, "a letter").unwrap();
    assert_eq!(code(&[letter], *OFFICE), "MC880");
    assert_eq!(code(&[house.back("nowhere.xlsx")], *OFFICE), "MC880");
}

#[test]
fn what_stands_beside_the_table_is_said_and_does_not_hold_the_rest_back() {
    let house = house(1, Lang::Zh);
    let path = house.list(0, "beside.xlsx", &with(good(), "Z3", text("see me")));
    let brought = take(&house.desk, &[path], Mode::Whole);
    assert_eq!(errors(&brought[0]), [("MC885".to_owned(), format!("{LIST}!Z3"))].into());
    assert!(brought[0].taken && brought[0].faults[0].level == Level::Warning);
}

#[test]
fn a_row_that_was_copied_over_another_is_named_and_so_is_the_one_that_is_missing() {
    let house = house(1, Lang::Zh);
    let cells = sheet(&house.lists[0], LIST);
    let copied: Vec<Edit> = "ABCDEFGHIJKLMNOPQY"
        .chars()
        .map(|c| edit(LIST, &format!("{c}3"), text(&cells[&format!("{c}2")])))
        .collect();
    let path = house.list(0, "copied.xlsx", &copied);
    let brought = look(&house.desk, &[path]);
    let wanted = [("MC883".to_owned(), format!("{LIST}!A1")), ("MC884".to_owned(), format!("{LIST}!A3"))];
    assert_eq!(errors(&brought[0]), wanted.into(), "{:?}", brought[0].faults);
    assert!(brought[0].faults.iter().any(|f| f.message.zh.ends_with("的第 2 行")), "{:?}", brought[0].faults);
}

#[test]
fn nothing_personal_stands_in_what_is_said() {
    let house = house(1, Lang::Zh);
    let secrets = ["赵一", "8801011950010100", "王五"];
    let edits = [
        with(good(), "R2", text("赵一说他不知道")),
        vec![edit(LIST, "D3", text("王五")), edit(LIST, "W4", text("8801011950010100"))],
    ]
    .concat();
    let brought = look(&house.desk, &[house.list(0, "bad.xlsx", &edits)]);
    assert_eq!(brought[0].faults.len(), 3);
    let told = serde_json::to_string(&brought).unwrap();
    for secret in secrets {
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn a_receipt_that_was_entered_for_another_lead_is_refused_at_its_cell_and_the_earlier_event_is_named() {
    let house = house(1, Lang::Zh);
    let paid =
        |n: u32, receipt: &str, yuan: f64| row(n, "属实", &[("V", text(receipt)), ("W", Put::Number(yuan))]);
    let at = |code: &str, cell: &str| BTreeSet::from([(code.to_owned(), format!("{LIST}!{cell}"))]);
    assert!(take(&house.desk, &[house.list(0, "a.xlsx", &paid(2, "R-9", 30.0))], Mode::Whole)[0].taken);
    let before = head(&house.desk);
    let history = Book::read(&house.desk.path()).unwrap().history(&house.lead(0, 2)).unwrap();
    let seq = history.last().unwrap().seq;
    // Another lead, the number in other digits.
    let brought = take(&house.desk, &[house.list(0, "b.xlsx", &paid(3, "Ｒ－９", 30.0))], Mode::Whole);
    assert_eq!(errors(&brought[0]), at("MC862", "V3"));
    let told = &brought[0].faults[0].message.en;
    assert!(told.contains(&format!("in event {seq}: lead ")), "{told}");
    assert!(told.contains("30.00 yuan, by office on 2026-11-20"), "{told}");
    // Twice in one file.
    let twice = [paid(3, "R-8", 5.0), paid(4, "R-8", 5.0)].concat();
    let brought = take(&house.desk, &[house.list(0, "c.xlsx", &twice)], Mode::Whole);
    assert_eq!(errors(&brought[0]), at("MC862", "V4"));
    // In two files of one import.
    let files =
        [house.list(0, "d.xlsx", &paid(3, "R-7", 5.0)), house.list(0, "e.xlsx", &paid(4, "R-7", 5.0))];
    let brought = look(&house.desk, &files);
    assert_eq!((errors(&brought[0]), errors(&brought[1])), (BTreeSet::new(), at("MC862", "V4")));
    // More than was at risk: the cell of the amount.
    let brought = take(&house.desk, &[house.list(0, "f.xlsx", &paid(3, "R-6", 99_999_999.99))], Mode::Whole);
    assert_eq!(errors(&brought[0]), at("MC863", "W3"));
    assert_eq!(head(&house.desk), before, "something of what was refused was written");
    // The same file once more changes nothing, and is no error.
    let brought = take(&house.desk, &[house.list(0, "a.xlsx", &paid(2, "R-9", 30.0))], Mode::Whole);
    assert_eq!((errors(&brought[0]).len(), brought[0].known, head(&house.desk)), (0, 1, before));
}

#[test]
fn what_a_handler_brings_back_in_a_file_is_neither_confirmed_nor_cleared() {
    let mut house = house(1, Lang::Zh);
    house.desk.policy.handlers.push(mingcha_ledger::book::Handler {
        name: "窗口01".to_owned(),
        area: Some("880101".to_owned()),
        agency: None,
    });
    let before = head(&house.desk);
    let at = BTreeSet::from([("MC854".to_owned(), format!("{LIST}!S2"))]);
    for (name, edits) in [
        ("a.xlsx", row(2, "属实", &[("V", text("17"))])),
        ("b.xlsx", row(2, "不属实：匹配有误", &[("X", text("另一个人"))])),
    ] {
        let theirs = with(edits.clone(), "S2", text("窗口 ０１"));
        let brought = take(&house.desk, &[house.list(0, name, &theirs)], Mode::Whole);
        assert_eq!(errors(&brought[0]), at, "{name}");
        // Nor does a handler take in what somebody else found.
        let by_handler = By { who: "窗口０１", ..*OFFICE };
        let files = [house.list(0, name, &edits)];
        let brought =
            import(&mut house.desk.open(), &files, Mode::Whole, &house.desk.policy, by_handler).unwrap();
        assert_eq!(errors(&brought[0]), at, "{name}, taken in by the handler");
    }
    assert_eq!(head(&house.desk), before);
}

#[test]
fn what_the_owner_of_the_rule_brings_back_in_a_file_is_neither_confirmed_nor_cleared() {
    let mut house = house(1, Lang::Zh);
    let owners = BTreeSet::from(["省厅 规则组".to_owned()]);
    house.desk.policy.owners.insert(crate::book::RULE.to_owned(), owners);
    let before = head(&house.desk);
    let at = BTreeSet::from([("MC854".to_owned(), format!("{LIST}!S2"))]);
    for (name, edits) in [
        ("a.xlsx", row(2, "属实", &[("V", text("17"))])),
        ("b.xlsx", row(2, "不属实：匹配有误", &[("X", text("另一个人"))])),
        ("c.xlsx", row(2, "不属实：情况合法", &[("X", text("是补发"))])),
        ("d.xlsx", row(2, "不属实：源数据有误", &[("X", text("登记错误"))])),
    ] {
        let theirs = with(edits, "S2", text("省厅规则组"));
        let brought = take(&house.desk, &[house.list(0, name, &theirs)], Mode::Whole);
        assert_eq!(errors(&brought[0]), at, "{name}");
    }
    assert_eq!(head(&house.desk), before);
}

#[test]
fn a_file_that_cannot_be_written_does_not_hide_that_the_one_before_was() {
    let house = house(1, Lang::Zh);
    let a = house.list(0, "a.xlsx", &row(2, "正在核查", &[]));
    let b = house.list(0, "b.xlsx", &row(3, "正在核查", &[]));
    let c = house.list(0, "c.xlsx", &row(4, "正在核查", &[]));
    let mut book = house.desk.open();
    // The second file finds the row of its lead guarded, as by a disk that has no room for it.
    let guard = format!(
        "CREATE TRIGGER no_room BEFORE UPDATE ON leads WHEN old.key = '{}' BEGIN SELECT raise(ABORT, 'full'); END",
        house.lead(0, 3)
    );
    rusqlite::Connection::open(house.desk.path()).unwrap().execute_batch(&guard).unwrap();
    let brought = import(&mut book, &[a, b, c], Mode::Whole, &house.desk.policy, *OFFICE).unwrap();
    let told: Vec<(bool, Vec<String>)> =
        (brought.iter()).map(|b| (b.taken, b.faults.iter().map(|f| f.code.clone()).collect())).collect();
    let codes = |code: &str| vec![code.to_owned()];
    assert_eq!(told, [(true, vec![]), (false, codes("MC842")), (false, codes("MC867"))]);
    assert_eq!(house.desk.lead(&house.lead(0, 2)).stage, Stage::Checked);
    assert_eq!(house.desk.lead(&house.lead(0, 4)).stage, Stage::New);
}
