//! Cells that look like something else than what they are: noughts as days, formulas without values, merged cells.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, StringArray, TimestampNanosecondArray};

use mingcha_intake::{FileMapping, PrepareOptions, Quiet, prepare};

use crate::book::{More, book, day, number, row, text, texts};
use crate::{World, parquet, person, says};

const CUSTODY: [&str; 5] = ["身份证号", "姓名", "刑罚类别", "收监日期", "释放日期"];

/// A prisoner in row `at`; the last two cells as given.
fn prisoner(at: u32, start: String, end: String) -> String {
    let cell = |column: &str, value: &str| text(&format!("{column}{at}"), value);
    let n = at as u16;
    row(at, &[cell("A", &person(n)), cell("B", "张某甲"), cell("C", "有期徒刑"), start, end])
}

fn custody(rows: &[String], more: &More<'_>) -> World {
    let mut all = vec![texts(1, &CUSTODY)];
    all.extend_from_slice(rows);
    World::new().with("prison_custody.xlsx", book(&all, more))
}

#[test]
fn a_date_cell_that_holds_nought_is_no_day_in_either_calendar_and_it_is_said() {
    for epoch_1904 in [false, true] {
        let more = More { epoch_1904, ..More::default() };
        let world = custody(
            &[
                prisoner(2, day("D2", "45327"), day("E2", "0")),
                prisoner(3, day("D3", "44946"), day("E3", "45676")),
                prisoner(4, day("D4", "44946"), number("E4", "0")),
                prisoner(5, day("D5", "44946"), text("E5", "1900-01-00")),
                prisoner(6, day("D6", "44946"), text("E6", "1900/1/0 0:00:00")),
            ],
            &more,
        );
        let said = world.remarked();
        says(&said, &["custody_end", "实际有 4 处是 0", "got 4 times 0", "data row 1"]);
        let mut ends = world.column("prison_custody", "custody_end");
        ends.sort();
        let day = if epoch_1904 { "2029-01-20" } else { "2025-01-19" };
        assert_eq!(ends, ["-", "-", "-", "-", day]);
        let rejects = world.rows("rejects", &["row", "field", "reason", "outcome", "value"]);
        assert_eq!(rejects[0], ["1", "custody_end", "no_day", "value_dropped", "0"]);
        says(
            &std::fs::read_to_string(world.store().join("quality.txt")).unwrap(),
            &["no_day", "custody_end"],
        );
    }
}

#[test]
fn a_required_day_that_is_nought_rejects_its_row_with_the_reason() {
    let world = custody(
        &[
            prisoner(2, day("D2", "0"), day("E2", "45676")),
            prisoner(3, day("D3", "44946"), day("E3", "45676")),
        ],
        &More::default(),
    );
    world.remarked();
    assert_eq!(world.column("prison_custody", "custody_start"), ["2023-01-20"]);
    let rejects = world.rows("rejects", &["row", "field", "reason", "outcome"]);
    assert_eq!(rejects, [["1", "custody_start", "no_day", "row_rejected"]]);
}

#[test]
fn a_date_format_makes_no_day_of_a_time_a_negative_or_a_small_number() {
    let odd = ["0.35", "-1", "3", "31", "60"];
    let rows: Vec<String> = (2..)
        .zip(odd)
        .map(|(at, serial)| prisoner(at, day(&format!("D{at}"), "44946"), day(&format!("E{at}"), serial)))
        .chain((7..20).map(|at| prisoner(at, day(&format!("D{at}"), "44946"), day(&format!("E{at}"), "61"))))
        .collect();
    let world = custody(&rows, &More::default());
    world.remarked();
    assert_eq!(world.column("prison_custody", "custody_end"), ["1900-03-01"; 13]);
    let reasons = world.rows("rejects", &["row", "reason", "outcome", "value"]);
    let wanted = (1..)
        .zip(odd)
        .map(|(row, serial)| [&row.to_string(), "bad_date", "row_rejected", serial].map(str::to_owned));
    assert_eq!(reasons, wanted.collect::<Vec<_>>());
}

#[test]
fn what_is_written_for_nought_in_text_and_parquet_is_no_day_either() {
    let ends = [
        "0",
        "00000000",
        "0000/00/00",
        "1899-12-30",
        "1899-12-31",
        "1900-01-00",
        "1900-01-01",
        "19000101",
        "1900-1-1 0:00:00",
        "1900年1月0日",
        "00:00:00",
    ];
    let mut csv = CUSTODY.join(",") + "\n";
    for (n, end) in (0..).zip(ends.iter().chain(&["2025-01-19", "9999-12-31", "0000-00-00"])) {
        csv += &format!("{},张某甲,有期徒刑,2023-01-20,{end}\n", person(n));
    }
    let world = World::new().with("prison_custody.csv", csv);
    says(&world.remarked(), &["custody_end", "got 11 times 0"]);
    let mut stored = world.column("prison_custody", "custody_end");
    stored.sort();
    stored.dedup();
    assert_eq!(stored, ["-", "2025-01-19"]);

    let ids: ArrayRef = Arc::new((0..4).map(|n| Some(person(n))).collect::<StringArray>());
    let starts: ArrayRef = Arc::new(Date32Array::from(vec![19_000; 4]));
    let days: ArrayRef = Arc::new(Date32Array::from(vec![-25_569, -25_568, -25_567, 20_000]));
    let moments = [-25_569i64, -25_568, -25_567, 20_000].map(|d| d * 86_400_000_000_000);
    let moments: ArrayRef = Arc::new(TimestampNanosecondArray::from(moments.to_vec()));
    for ends in [days, moments] {
        let columns = vec![
            ("id_number", Arc::clone(&ids)),
            ("custody_start", Arc::clone(&starts)),
            ("custody_end", ends),
        ];
        let world = World::new().with("prison_custody.parquet", parquet(columns));
        says(&world.remarked(), &["custody_end", "got 3 times 0"]);
        let mut stored = world.column("prison_custody", "custody_end");
        stored.sort();
        assert_eq!(stored, ["-", "-", "-", "2024-10-04"]);
    }
}

#[test]
fn months_and_moments_that_are_nought_are_none() {
    let csv = |head: &str, rows: [String; 3]| format!("{head}\n{}\n", rows.join("\n"));
    let payee = |n: u16, pause: &str| format!("{},张某甲,170,1,{pause}", person(n));
    let stay = |n: u16, end: &str| format!("{},C1,2025-01-01 08:00:00,{end}", person(n));
    let world = World::new()
        .with(
            "pension_payees.csv",
            csv(
                "id_number,name,scheme,status,pause_month",
                [payee(0, "0"), payee(1, "190001"), payee(2, "202501")],
            ),
        )
        .with(
            "hospital_admissions.csv",
            csv(
                "id_number,hospital_code,admit_time,discharge_time",
                [
                    stay(0, "1900-01-01 00:00:00"),
                    stay(1, "1899-12-30 08:30:00"),
                    stay(2, "2025-01-03 09:00:00"),
                ],
            ),
        );
    says(&world.remarked(), &["pause_month", "discharge_time", "got 2 times 0"]);
    let sorted = |dataset: &str, column: &str| {
        let mut all = world.column(dataset, column);
        all.sort();
        all
    };
    assert_eq!(sorted("pension_payees", "pause_month"), ["-", "-", "2025-01-01"]);
    assert_eq!(sorted("hospital_admissions", "discharge_time"), ["-", "-", "2025-01-03T09:00:00"]);
}

#[test]
fn the_empty_date_of_a_database_is_no_day_as_a_date_cell_either_and_its_row_is_kept() {
    let rows: Vec<String> = (2..)
        .zip(["1", "2", "1"])
        .map(|(at, serial)| prisoner(at, day(&format!("D{at}"), "44946"), day(&format!("E{at}"), serial)))
        .collect();
    let world = custody(&rows, &More::default());
    says(&world.remarked(), &["custody_end", "got 3 times 0"]);
    assert_eq!(world.column("prison_custody", "custody_end"), ["-", "-", "-"]);
    // Where days are counted from 1904 these are days of 1904.
    let world = custody(&rows, &More { epoch_1904: true, ..More::default() });
    world.remarked();
    let mut ends = world.column("prison_custody", "custody_end");
    ends.sort();
    assert_eq!(ends, ["1904-01-02", "1904-01-02", "1904-01-03"]);
}

// ---------------------------------------------------------------- formulas

fn formula(cell: &str, style: u8, value: &str) -> String {
    format!("<c r=\"{cell}\" s=\"{style}\"><f>DATE(2025,3,25)</f>{value}</c>")
}

#[test]
fn a_formula_without_a_value_is_refused_with_its_cells_and_the_next_step() {
    for value in ["", "<v></v>", "<v/>"] {
        let rows = [
            prisoner(2, day("D2", "44946"), formula("E2", 1, value)),
            prisoner(3, day("D3", "44946"), formula("E3", 0, value)),
        ];
        let said = custody(&rows, &More::default()).refused();
        says(&said, &["E2、E3", "got 2 without: E2, E3", "数据", "save it", "保存后重新提交"]);
    }
}

#[test]
fn a_nought_that_stands_for_a_result_nobody_computed_is_refused() {
    let refund = |value: &str| {
        let head = texts(1, &["身份证号", "费款所属期", "退款金额", "退款状态"]);
        let cells = [
            text("A2", &person(1)),
            text("B2", "202504"),
            format!("<c r=\"C2\"><f>ROUND(215*1,2)</f>{value}</c>"),
        ];
        vec![head, row(2, &cells)]
    };
    let waiting = More { computed_on_opening: true, ..More::default() };
    let world = World::new().with("pension_refunds.xlsx", book(&refund("<v>0</v>"), &waiting));
    says(&world.refused(), &["got 1 without: C2", "pension_refunds.xlsx"]);
    // Where somebody has computed it, nought is a result; where it may be old, that is said.
    let world = World::new().with("pension_refunds.xlsx", book(&refund("<v>0</v>"), &More::default()));
    world.remarked();
    assert_eq!(world.column("pension_refunds", "amount"), ["0.00"]);
    let world = World::new().with("pension_refunds.xlsx", book(&refund("<v>215</v>"), &waiting));
    says(&world.remarked(), &["may be old: C2"]);
    assert_eq!(world.column("pension_refunds", "amount"), ["215.00"]);
}

#[test]
fn a_formula_that_gives_no_text_and_one_in_a_column_nobody_reads_are_no_matter() {
    let empty = "<c r=\"E2\" t=\"str\"><f>IF(A1=\"\",\"\",\"\")</f><v></v></c>";
    let beside = "<c r=\"H2\"><f>1+1</f></c>";
    let world = custody(&[prisoner(2, day("D2", "44946"), format!("{empty}{beside}"))], &More::default());
    let said = world.remarked();
    assert!(!said.contains("MC667"), "{said}");
    assert_eq!(world.column("prison_custody", "custody_end"), ["-"]);
}

#[test]
fn a_heading_that_nobody_computed_is_no_missing_column() {
    let head = row(
        1,
        &[text("B1", "姓名"), "<c r=\"A1\"><f>\"身份证号\"</f></c>".to_owned(), text("D1", "收监日期")],
    );
    let rows = [head, prisoner(2, day("D2", "44946"), day("E2", "45676"))];
    let said = World::new().with("prison_custody.xlsx", book(&rows, &More::default())).refused();
    says(&said, &["got 1 without: A1"]);
    assert!(!said.contains("ask for the column"), "{said}");
}

// ---------------------------------------------------------------- merged cells

const HOUSEHOLD: [&str; 6] = ["户号", "行政区划", "姓名", "身份证号", "与户主关系", "户籍状态"];

fn household(rows: &[String], merged: &[&str]) -> World {
    let mut all = vec![texts(1, &HOUSEHOLD)];
    all.extend_from_slice(rows);
    World::new().with("household_registry.xlsx", book(&all, &More { merged, ..More::default() }))
}

fn member(at: u32, number: &str, area: &str, relation: &str) -> String {
    texts(at, &[number, area, &format!("张某{at}"), &person(at as u16), relation, "正常"])
}

#[test]
fn a_household_merged_over_its_members_is_the_household_of_all_of_them_and_that_is_said() {
    let rows = [
        member(2, "H88010001", "880101", "户主"),
        member(3, "", "", "妻"),
        member(4, "H88010002", "880101", "户主"),
    ];
    let world = household(&rows, &["B2:B3", "A2:A3"]);
    let said = world.remarked();
    says(&said, &["A2:A3", "B2:B3", "merged cells", "合并单元格"]);
    let mut stored = world.rows("household_registry", &["name", "household_no", "area_code"]);
    stored.sort();
    let wanted = [
        ["张某2", "H88010001", "880101"],
        ["张某3", "H88010001", "880101"],
        ["张某4", "H88010002", "880101"],
    ];
    assert_eq!(stored, wanted);
}

#[test]
fn one_number_one_name_or_one_amount_for_two_rows_is_refused_by_its_range() {
    let rows = [
        member(2, "H88010001", "880101", "户主"),
        texts(3, &["H88010001", "880101", "张某3", "", "妻", "正常"]),
        texts(4, &["H88010001", "880101", "", &person(4), "子", "正常"]),
    ];
    says(&household(&rows, &["D2:D3", "C3:C4"]).refused(), &["D2:D3", "C3:C4", "household_registry.xlsx"]);

    let head = texts(1, &["身份证号", "费款所属期", "退款金额", "退款状态"]);
    let rows =
        [head, texts(2, &[&person(1), "202504", "430.00", "1"]), texts(3, &[&person(2), "202504", "", "1"])];
    let more = More { merged: &["C2:C3"], ..More::default() };
    says(&World::new().with("pension_refunds.xlsx", book(&rows, &more)).refused(), &["C2:C3"]);
}

#[test]
fn one_death_merged_over_three_rows_kills_nobody_else() {
    let head = ["身份证号", "姓名", "出生日期", "户籍状态", "注销类别", "注销日期", "死亡日期"];
    let rows = [
        texts(1, &head),
        texts(2, &[&person(2), "张某甲", "1950-01-03", "2", "1", "2025-02-03", "2025-02-01"]),
        texts(3, &[&person(3), "张某乙"]),
        texts(4, &[&person(4), "张某丙"]),
    ];
    for column in ["C", "D", "E", "F", "G"] {
        let range = format!("{column}2:{column}4");
        let more = More { merged: &[&range], ..More::default() };
        says(&World::new().with("household_registry.xlsx", book(&rows, &more)).refused(), &["MC669", &range]);
    }
}

#[test]
fn totals_footers_and_titles_merged_sideways_are_rows_that_are_rejected_and_refuse_no_file() {
    let rows: Vec<String> = (2..8)
        .map(|at| member(at, "H88010001", "880101", "户主"))
        .chain([
            texts(8, &["户籍人口信息表（续）"]),
            member(9, "H88010002", "880101", "户主"),
            texts(10, &["合计", "", "7"]),
            texts(11, &["", "", "注：数据截至上月末"]),
            texts(12, &["制表单位：某局"]),
        ])
        .collect();
    let world = household(&rows, &["A8:F8", "A10:B10", "C11:F11", "A12:F12"]);
    let said = world.remarked();
    assert!(!said.contains("MC669"), "{said}");
    assert_eq!(world.column("household_registry", "name").len(), 7);
    let rejected = world.rows("rejects", &["row", "outcome"]);
    let rejected = rejected.iter().filter(|r| r[1] == "row_rejected");
    let mut lines: Vec<&str> = rejected.map(|r| r[0].as_str()).collect();
    lines.dedup();
    assert_eq!(lines, ["7", "9", "10", "11"]);
}

#[test]
fn values_merged_sideways_or_hidden_below_a_merged_cell_are_refused() {
    let rows = [member(2, "H88010001", "880101", "户主"), member(3, "H88010002", "", "户主")];
    // Two columns with one value.
    says(
        &household(&[texts(2, &["880101", "", "张某2", &person(2), "户主", "正常"])], &["A2:B2"]).refused(),
        &["A2:B2"],
    );
    // The second row has a household of its own below the merged cell.
    says(&household(&rows, &["A2:A3"]).refused(), &["A2:A3"]);
}

#[test]
fn merged_cells_that_hide_nothing_are_no_matter() {
    // Every record stands over two rows; a column nobody reads is merged; so is a title.
    let rows = [
        member(2, "H88010001", "880101", "户主"),
        member(4, "H88010002", "880101", "户主"),
        row(5, &[text("H5", " ")]),
    ];
    let all = ["A2:A3", "B2:B3", "C2:C3", "D2:D3", "A4:A5", "D4:D5", "H2:H5", "H1:I1", "F2:G2"];
    let world = household(&rows, &all);
    let said = world.remarked();
    assert!(!said.contains("MC66"), "{said}");
    assert_eq!(world.column("household_registry", "household_no").len(), 2);
}

#[test]
fn headings_over_two_rows_are_named_as_the_cause() {
    let rows = [
        texts(1, &["户号", "行政区划", "基本信息", "", "", "户籍状态"]),
        texts(2, &["", "", "姓名", "身份证号", "与户主关系", ""]),
        member(3, "H88010001", "880101", "户主"),
    ];
    let more = More { merged: &["A1:A2", "B1:B2", "C1:E1", "F1:F2"], ..More::default() };
    let said = World::new().with("household_registry.xlsx", book(&rows, &more)).refused();
    says(&said, &["C1:E1", "rows 1 to 2", "第 1 至 2 行", "header_row = 2"]);
    assert!(!said.contains("ask for the column"), "{said}");
    // And the next step works: what is merged with the row above names its column.
    let world = World::new().with("household_registry.xlsx", book(&rows, &more));
    let pattern = "household_registry.xlsx".to_owned();
    let mapping = FileMapping { pattern, header_row: Some(2), ..FileMapping::default() };
    prepare(&PrepareOptions { mappings: vec![mapping], ..world.options() }, &Quiet).unwrap();
    assert_eq!(
        world.rows("household_registry", &["household_no", "name", "status"]),
        [["H88010001", "张某3", "1"]]
    );
}
