//! The same rows in two files of a dataset count twice and accuse everybody in them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::{ArrayRef, StringArray};
use mingcha_intake::{Progress, Store, prepare};
use mingcha_rules::Text;

use crate::book::{More, book, number, row, text, texts};
use crate::{World, parquet, person, says};

const HEAD: &str = "id_number,scheme,item,period_month,paid_date,amount,pay_state,account_no\n";

/// A payment of a person in a month of 2025.
fn payment(n: u16, month: u32) -> String {
    format!("{},170,basic,2025{month:02},2025-{month:02}-15,200.00,1,6217008801605{n:05}\n", person(n))
}

fn payments(rows: &[(u16, u32)]) -> String {
    HEAD.to_owned() + &rows.iter().map(|(n, month)| payment(*n, *month)).collect::<String>()
}

fn months(persons: std::ops::Range<u16>, months: std::ops::Range<u32>) -> Vec<(u16, u32)> {
    persons.flat_map(|n| months.clone().map(move |month| (n, month))).collect()
}

#[test]
fn two_deliveries_that_overlap_by_three_months_are_refused_with_files_count_and_rows() {
    let world = World::new()
        .with("pension_payments-2025H1.csv", payments(&months(0..4, 1..7)))
        .with("pension_payments-2025Q2.csv", payments(&months(0..4, 4..7)));
    says(
        &world.refused(),
        &[
            "pension_payments-2025H1.csv",
            "pension_payments-2025Q2.csv",
            "12 行",
            "got 12 that stand in",
            "data rows 1, 2, 3, 4, 5 … here are data rows 4, 5, 6, 10, 11 … there",
            "overlap = \"accept\"",
        ],
    );
}

#[test]
fn one_delivery_in_two_formats_is_refused_whatever_the_formats() {
    let rows = months(0..2, 1..4);
    let csv = payments(&rows);
    let head = ["身份证号", "险种", "待遇项目", "费款所属期", "发放日期", "发放金额", "支付状态", "银行账号"];
    let mut sheet = vec![texts(1, &head)];
    for (at, (n, month)) in (2..).zip(&rows) {
        let cell = |column: &str, value: &str| text(&format!("{column}{at}"), value);
        let serial = 45_672 + [0, 31, 59][*month as usize - 1];
        sheet.push(row(
            at,
            &[
                cell("A", &person(*n)),
                cell("B", "170"),
                cell("C", "basic"),
                cell("D", &format!("2025年{month}月")),
                crate::book::day(&format!("E{at}"), &serial.to_string()),
                number(&format!("F{at}"), "200"),
                cell("G", "1"),
                cell("H", &format!("6217008801605{n:05}")),
            ],
        ));
    }
    let column = |at: usize| -> ArrayRef {
        let texts = csv.lines().skip(1).map(|line| line.split(',').nth(at));
        Arc::new(texts.collect::<StringArray>())
    };
    let names: Vec<&str> = HEAD.trim_end().split(',').collect();
    let pq = parquet(names.iter().enumerate().map(|(at, name)| (*name, column(at))).collect());
    let xlsx = book(&sheet, &More::default());
    let all: [(&str, &[u8]); 3] = [("csv", csv.as_bytes()), ("xlsx", &xlsx), ("parquet", &pq)];
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        let world = World::new()
            .with(&format!("pension_payments-a.{}", all[a].0), all[a].1)
            .with(&format!("pension_payments-b.{}", all[b].0), all[b].1);
        says(&world.refused(), &["got 6 that stand in", "100.0 %"]);
    }
}

#[test]
fn a_file_without_a_column_of_the_other_still_holds_the_same_rows() {
    let short = payments(&months(0..2, 1..4))
        .lines()
        .fold(String::new(), |out, line| out + line.rsplit_once(',').unwrap().0 + "\n");
    let world = World::new()
        .with("pension_payments-a.csv", payments(&months(0..2, 1..4)))
        .with("pension_payments-b.csv", short);
    says(&world.refused(), &["got 6 that stand in"]);
}

#[test]
fn a_short_file_that_stands_wholly_in_another_is_refused_however_short() {
    let world = World::new()
        .with("pension_payments-a.csv", payments(&months(0..40, 1..2)))
        .with("pension_payments-b.csv", payments(&[(7, 1)]));
    says(&world.refused(), &["got 1 that stand in", "data rows 1 here are data rows 8 there"]);
}

#[test]
fn a_few_equal_rows_are_stored_and_remarked_on() {
    let mut second = months(0..60, 2..3);
    second.extend([(3, 1), (9, 1)]);
    let world = World::new()
        .with("pension_payments-a.csv", payments(&months(0..60, 1..2)))
        .with("pension_payments-b.csv", payments(&second));
    let said = world.remarked();
    says(
        &said,
        &["pension_payments-a.csv", "pension_payments-b.csv", "got 2 that stand in", "data rows 61, 62 here"],
    );
    assert_eq!(world.column("pension_payments", "amount").len(), 122);
    let report = std::fs::read_to_string(world.store().join("quality.txt")).unwrap();
    says(&report, &["got 2 that stand in"]);
    // The remark is not forgotten when nothing is read again.
    let again = world.run().unwrap();
    assert!(again.unchanged.contains("pension_payments"));
    says(&crate::told(&again.warnings), &["got 2 that stand in"]);
}

#[test]
fn equal_rows_within_one_file_and_files_without_equal_rows_are_nobodys_overlap() {
    let mut twice = months(0..30, 1..2);
    twice.extend(months(0..30, 1..2));
    let world = World::new()
        .with("pension_payments-a.csv", payments(&twice))
        .with("pension_payments-b.csv", payments(&months(0..30, 2..3)));
    let said = world.remarked();
    assert!(!said.contains("MC664"), "{said}");
    assert_eq!(world.column("pension_payments", "amount").len(), 90);
}

#[test]
fn a_second_file_that_comes_later_is_compared_with_what_is_in_the_store() {
    let world = World::new().with("pension_payments-2025H1.csv", payments(&months(0..9, 1..7)));
    world.run().unwrap();
    let before = Store::open(world.store()).unwrap().digest().to_owned();
    let world = world.with("pension_payments-2025Q2.csv", payments(&months(0..9, 4..7)));
    let faults = world.run().unwrap_err();
    says(&crate::told(&faults), &["got 27 that stand in"]);
    assert_eq!(Store::open(world.store()).unwrap().digest(), before, "the store that was there is gone");
    // Every comparison is cut into rounds when memory is short, and comes out the same.
    let little = mingcha_intake::PrepareOptions { memory_bytes: 1, ..world.options() };
    assert_eq!(prepare(&little, &mingcha_intake::Quiet).unwrap_err(), faults);
}

#[test]
fn a_column_that_a_third_file_lacks_still_tells_the_rows_of_two_others_apart() {
    let head = "id_number,period_month,amount,state,credited_date\n";
    let refunds = |month: u32| -> String {
        let line = |n| format!("{},2025{month:02},200.00,1,2025-{month:02}-20\n", person(n));
        head.to_owned() + &(0..12).map(line).collect::<String>()
    };
    let short = |persons: std::ops::Range<u16>, amount: &str| -> String {
        let lines = persons.map(|n| format!("{},{amount},1\n", person(n)));
        "id_number,amount,state\n".to_owned() + &lines.collect::<String>()
    };
    let world = World::new()
        .with("pension_refunds-01.csv", refunds(1))
        .with("pension_refunds-02.csv", refunds(2))
        .with("pension_refunds-03.csv", short(40..52, "310.00"));
    let said = world.remarked();
    assert!(!said.contains("MC664"), "{said}");
    assert_eq!(world.column("pension_refunds", "amount").len(), 36);
    // What it has is still compared, and the two with each other.
    let world = world.with("pension_refunds-03.csv", short(0..12, "200.00"));
    let said = crate::told(&world.run().unwrap_err());
    says(&said, &["pension_refunds-03.csv", "got 12 that stand in pension_refunds-0"]);
    let world = World::new()
        .with("pension_refunds-01.csv", refunds(1))
        .with("pension_refunds-02.csv", refunds(1).replace("2025-01-20", "2025-1-20"))
        .with("pension_refunds-03.csv", short(40..52, "310.00"));
    says(&world.refused(), &["pension_refunds-02.csv", "got 12 that stand in pension_refunds-01.csv"]);
}

/// Somebody who cancels when the extracts are read.
#[derive(Default)]
struct Impatient {
    ended: AtomicU32,
    reading: AtomicU32,
}

impl Progress for Impatient {
    fn begin(&self, stage: Text, _total: Option<u64>) {
        self.reading.store(u32::from(stage.en == "reading the extracts"), Ordering::SeqCst);
    }
    fn advance(&self, _n: u64) {}
    fn end(&self) {
        self.ended.fetch_add(self.reading.load(Ordering::SeqCst), Ordering::SeqCst);
    }
    fn cancelled(&self) -> bool {
        self.ended.load(Ordering::SeqCst) > 0
    }
}

#[test]
fn a_comparison_that_is_cancelled_stops() {
    let world = World::new()
        .with("pension_payments-a.csv", payments(&months(0..9, 1..7)))
        .with("pension_payments-b.csv", payments(&months(0..9, 4..7)));
    let said = crate::told(&prepare(&world.options(), &Impatient::default()).unwrap_err());
    says(&said, &["MC646"]);
    assert!(!said.contains("MC664"), "{said}");
}
