//! Numbers that bring rows together: what many strangers have is no number of anybody.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};

use crate::book::{More, book, number, row, text, texts};
use crate::{World, parquet, person, says};

const HEAD: &str = "身份证号,姓名,险种,待遇状态,银行账号\n";

fn payees(accounts: &[&str]) -> String {
    let line = |(n, account): (u16, &&str)| format!("{},张某甲,170,1,{account}\n", person(n));
    HEAD.to_owned() + &(0..).zip(accounts).map(line).collect::<String>()
}

/// The accounts that were stored, in order.
fn stored(world: &World) -> Vec<String> {
    let mut all = world.column("pension_payees", "account_no");
    all.sort();
    all
}

#[test]
fn an_account_in_scientific_notation_is_nobodys_account_and_its_row_is_kept() {
    let accounts = ["6.20088E+18", "6.20088E+18", "6.20088e18", "６.２Ｅ＋１８", "6200880199999999995"];
    let world = World::new().with("pension_payees.csv", payees(&accounts));
    let said = world.remarked();
    says(&said, &["account_no", "实际有 4 处不是", "got 4 that do not", "scientific", "data row 1"]);
    assert_eq!(stored(&world), ["-", "-", "-", "-", "6200880199999999995"]);
    let rejects = world.rows("rejects", &["row", "field", "reason", "outcome", "value"]);
    assert_eq!(rejects[0], ["1", "account_no", "number_scientific", "value_dropped", "6.20088E+18"]);
    says(
        &std::fs::read_to_string(world.store().join("quality.txt")).unwrap(),
        &["number_scientific", "account_no"],
    );
}

#[test]
fn placeholders_are_no_accounts_and_a_shared_account_is_one() {
    let accounts = [
        "0",
        "0",
        "0000000000000000000",
        "0000000000000000000",
        "现金",
        "现金",
        "待录入",
        "6200********0308",
        "6200********0308",
        "9999999999999999",
        "1",
        "6200880100000308",
        "6200880100000308",
    ];
    let world = World::new().with("pension_payees.csv", payees(&accounts));
    says(&world.remarked(), &["account_no", "got 11 that do not", "data row 1"]);
    assert_eq!(stored(&world)[11..], ["6200880100000308", "6200880100000308"]);
    assert_eq!(stored(&world)[..11], ["-"; 11]);
}

#[test]
fn masks_words_with_a_digit_and_counted_digits_are_no_accounts() {
    let accounts = [
        "6217XXXXXXXX0308",
        "6217xxxxxxxx0308",
        "账号1",
        "见附件1",
        "88888",
        "123456",
        "1111111",
        "6217××××××××0308",
        "NRA6200880100000308",
    ];
    let registry = format!("身份证号,姓名,户号\n{},张某甲,8801××××\n", person(0));
    let world =
        World::new().with("pension_payees.csv", payees(&accounts)).with("household_registry.csv", registry);
    says(&world.remarked(), &["account_no", "got 8 that do not", "household_no"]);
    assert_eq!(stored(&world)[8..], ["NRA6200880100000308"]);
    assert_eq!(stored(&world)[..8], ["-"; 8]);
    assert_eq!(world.column("household_registry", "household_no"), ["-"]);
}

#[test]
fn destroyed_telephones_are_told_and_refuse_nobodys_pension() {
    let head = "身份证号,姓名,险种,待遇状态,联系电话\n".to_owned();
    let lines: String = (0..12).map(|n| format!("{},张某甲,170,1,1.38E+10\n", person(n))).collect();
    let world = World::new().with("pension_payees.csv", head + &lines);
    says(&world.remarked(), &["phone", "got 12 that do not"]);
    assert_eq!(world.column("pension_payees", "phone"), ["-"; 12]);
}

#[test]
fn every_carrier_has_the_same_gate() {
    let accounts = ["6.20088E+18", "6200880100000031.0", "0000000000", "现金", "6200880100000308"];
    let csv = World::new().with("pension_payees.csv", payees(&accounts));
    let head: Vec<&str> = HEAD.trim_end().split(',').collect();
    let mut rows = vec![texts(1, &head)];
    rows.extend(
        (2..)
            .zip(&accounts)
            .map(|(at, account)| texts(at, &[&person(at as u16 - 2), "张某甲", "170", "1", account])),
    );
    let xlsx = World::new().with("pension_payees.xlsx", book(&rows, &More::default()));
    let column = |of: &dyn Fn(usize) -> String| -> ArrayRef {
        Arc::new((0..accounts.len()).map(|n| Some(of(n))).collect::<StringArray>())
    };
    let columns = vec![
        ("id_number", column(&|n| person(n as u16))),
        ("name", column(&|_| "张某甲".to_owned())),
        ("scheme", column(&|_| "170".to_owned())),
        ("status", column(&|_| "1".to_owned())),
        ("account_no", column(&|n| accounts[n].to_owned())),
    ];
    let pq = World::new().with("pension_payees.parquet", parquet(columns));
    for world in [csv, xlsx, pq] {
        world.remarked();
        assert_eq!(stored(&world), ["-", "-", "-", "-", "6200880100000308"]);
        let mut reasons = world.column("rejects", "reason");
        reasons.sort();
        assert_eq!(reasons, ["no_number", "no_number", "number_scientific", "stored_as_number"]);
    }
}

#[test]
fn a_payment_is_not_lost_with_its_account() {
    let head = ["身份证号", "险种", "待遇项目", "费款所属期", "发放金额", "支付状态", "银行账号"];
    let line = |at: u32, account: String| {
        let cell = |column: &str, value: &str| text(&format!("{column}{at}"), value);
        row(
            at,
            &[
                cell("A", &person(at as u16)),
                cell("B", "170"),
                cell("C", "basic"),
                cell("D", "202504"),
                number(&format!("E{at}"), "200"),
                cell("F", "1"),
                account,
            ],
        )
    };
    let rows = [
        texts(1, &head),
        line(2, number("G2", "6200880100000308")),
        line(3, crate::book::day("G3", "45672")),
        line(4, text("G4", "6200880100000308")),
    ];
    let world = World::new().with("pension_payments.xlsx", book(&rows, &More::default()));
    says(&world.remarked(), &["account_no", "got 2 that do not"]);
    assert_eq!(world.column("pension_payments", "amount"), ["200.00"; 3]);
    let mut accounts = world.column("pension_payments", "account_no");
    accounts.sort();
    assert_eq!(accounts, ["-", "-", "6200880100000308"]);
}

#[test]
fn a_column_of_accounts_that_is_mostly_destroyed_refuses_its_file_unless_told_otherwise() {
    let mut accounts = vec!["6.20088E+18"; 12];
    accounts.extend(["6200880100000308", "6200880100000309"]);
    let world = World::new().with("pension_payees.csv", payees(&accounts));
    says(
        &world.refused(),
        &["account_no", "pension_payees.csv", "got 12 of 14", "data row 1", "--accept-damaged-ids"],
    );
    let options = mingcha_intake::PrepareOptions { accept_damaged_ids: true, ..world.options() };
    let done = mingcha_intake::prepare(&options, &mingcha_intake::Quiet).unwrap();
    says(&crate::told(&done.warnings), &["got 12 that do not"]);
    // Words for cash are no damage, however many.
    let world = World::new().with("pension_payees.csv", payees(&["现金"; 20]));
    says(&world.remarked(), &["got 20 that do not"]);
}

#[test]
fn households_cards_and_telephones_have_the_gate_too_and_a_key_takes_its_row_along() {
    let head = "身份证号,姓名,险种,待遇状态,联系电话\n";
    let phones = ["00000000000", "1.39E+10", "无电话", "13900000001"];
    let lines: String =
        (0..).zip(phones).map(|(n, phone)| format!("{},张某甲,170,1,{phone}\n", person(n))).collect();
    let registry = "身份证号,姓名,户号\n".to_owned()
        + &(0..)
            .zip(["0000", "1.2E+06", "集体户", "12345.0", "12E05"])
            .map(|(n, no)| format!("{},张某甲,{no}\n", person(n)))
            .collect::<String>();
    let cards = "卡号,身份证号,年审日期\n".to_owned()
        + &(0..)
            .zip(["00000000", "8.8E+15", "待发", "88000777"])
            .map(|(n, card)| format!("{card},{},2026-04-05\n", person(n)))
            .collect::<String>();
    let world = World::new()
        .with("pension_payees.csv", head.to_owned() + &lines)
        .with("household_registry.csv", registry)
        .with("transit_renewals.csv", cards);
    says(&world.remarked(), &["phone", "household_no"]);
    let sorted = |dataset: &str, column: &str| {
        let mut all = world.column(dataset, column);
        all.sort();
        all
    };
    assert_eq!(sorted("pension_payees", "phone"), ["-", "-", "-", "13900000001"]);
    assert_eq!(sorted("household_registry", "household_no"), ["-", "-", "-", "12345", "12E05"]);
    assert_eq!(sorted("transit_renewals", "card_no"), ["88000777"]);
    let mut rejected = world.rows("rejects", &["dataset", "reason", "outcome"]);
    rejected.retain(|r| r[0] == "transit_renewals");
    rejected.sort();
    let wanted = [["no_number"; 2].as_slice(), &["number_scientific"]].concat();
    assert_eq!(rejected.iter().map(|r| r[1].as_str()).collect::<Vec<_>>(), wanted);
    assert!(rejected.iter().all(|r| r[2] == "row_rejected"), "{rejected:?}");
}

#[test]
fn accounts_that_a_spreadsheet_has_cut_to_fifteen_digits_refuse_their_file() {
    let cut: Vec<String> = (0..15).map(|n| format!("6200880100{:05}0000", n % 4)).collect();
    let whole: Vec<String> = (0..100).map(|n| format!("6200880100000000{n:03}")).collect();
    let texts: Vec<&str> = cut.iter().chain(&whole).map(String::as_str).collect();
    let world = World::new().with("pension_payees.csv", payees(&texts));
    says(&world.refused(), &["account_no", "got 16 of 115", "15 位"]);
    let world = World::new().with("pension_payees.csv", payees(&texts[15..]));
    assert!(!world.remarked().contains("account_no"));
}
