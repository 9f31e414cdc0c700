//! Workbooks from outside, read back by another library, cell for cell.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use calamine::{Data, Reader, SheetVisible, Xlsx, open_workbook};
use mingcha_ledger::{ExportOptions, Exported, Profile, RunFolder, export};
use mingcha_rules::Lang;

use crate::fixture::{self, case, catalogue, contracts, finished, plain, rule};

/// Sheet -> rows -> cells, as text.
pub(crate) fn cells(path: &Path) -> BTreeMap<String, Vec<Vec<String>>> {
    let mut book: Xlsx<_> = open_workbook(path).unwrap();
    let sheets = book.sheet_names();
    sheets
        .into_iter()
        .map(|name| {
            let range = book.worksheet_range(&name).unwrap();
            (name, range.rows().map(|row| row.iter().map(Data::to_string).collect()).collect())
        })
        .collect()
}

fn written(run: &RunFolder, out: &Path, options: &ExportOptions) -> Vec<Exported> {
    export(run, out, options, &catalogue(&contracts(), &[rule()])).unwrap()
}

fn full(lang: Lang) -> ExportOptions {
    ExportOptions { profile: Profile::Investigator, lang, ..ExportOptions::default() }
}

/// The XML of a part of the workbook.
fn part(path: &Path, name: &str) -> String {
    use std::io::Read;
    let mut archive = zip::ZipArchive::new(fs::File::open(path).unwrap()).unwrap();
    let mut text = String::new();
    archive.by_name(name).unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_finding_arrives_cell_for_cell() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), vec![case()]);
    let files = written(&run, &folder.path().join("out"), &full(Lang::Zh));
    let mut book: Xlsx<_> = open_workbook(&files[0].path).unwrap();
    let list = book.worksheet_range("线索清单").unwrap();
    let cell = |title: &str| {
        let at =
            list.rows().next().unwrap().iter().position(|c| *c == Data::String(title.to_owned())).unwrap();
        list.rows().nth(1).unwrap()[at].clone()
    };
    let text = |s: &str| Data::String(s.to_owned());
    assert_eq!(cell("_finding_id"), text(fixture::CASE));
    assert_eq!(cell("证件号码（编号）"), text(fixture::ID), "an identity number is text");
    assert_eq!(cell("姓名（名称）"), text(fixture::NAME));
    assert_eq!(cell("严重程度"), text("高"));
    assert_eq!(cell("所属地区"), text("880101001001 城关镇"));
    assert_eq!(cell("涉及金额（元）"), Data::Float(12345.67));
    assert!(matches!(cell("起始日期"), Data::DateTime(d) if d.as_f64() == 45748.0), "{:?}", cell("起始日期"));
    assert_eq!(cell("情况说明"), text(&case().message.zh));
    assert_eq!(cell("身份核对"), text("I1 号码、姓名一致"));
    assert_eq!(cell("结论"), Data::Empty);
    let against = cell("相反的证据").to_string();
    assert!(against.starts_with("死亡后的就诊：门诊购药（"), "{against}");
    assert_eq!(
        cell("已核对的排除情形"),
        text("登记时间差 X-LAG：已扣除 1 条\n不符合：死亡后有生命迹象 X-ALIVE")
    );

    let evidence = book.worksheet_range("证据明细").unwrap();
    let rows: Vec<Vec<String>> =
        evidence.rows().skip(1).map(|r| r.iter().map(Data::to_string).collect()).collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(
        rows[1][1..8],
        [
            "1",
            fixture::NAME,
            "支持",
            "开具死亡证明后仍领取养老金",
            "养老金发放明细",
            "pension_payments/2026.parquet",
            "17"
        ]
    );
    assert!(
        rows[1][8].contains("支付状态：1 已发放") && rows[1][8].contains(fixture::ACCOUNT),
        "{}",
        rows[1][8]
    );
    assert_eq!(rows[2][3], "相反");
}

#[test]
fn the_workbook_can_be_filled_in_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), plain(3));
    for (lang, sheet, column) in [(Lang::Zh, "线索清单", "B"), (Lang::En, "Findings", "C")] {
        let out = folder.path().join(sheet);
        let files = written(&run, &out, &full(lang));
        let book: Xlsx<_> = open_workbook(&files[0].path).unwrap();
        let visible: Vec<(String, SheetVisible)> =
            book.sheets_metadata().iter().map(|s| (s.name.clone(), s.visible)).collect();
        assert_eq!(visible[0], (sheet.to_owned(), SheetVisible::Visible));
        assert_eq!(visible[3], ("_lists".to_owned(), SheetVisible::Hidden));
        assert_eq!(visible[4], ("_meta".to_owned(), SheetVisible::VeryHidden));
        let xml = part(&files[0].path, "xl/worksheets/sheet1.xml");
        assert!(xml.contains("<sheetProtection sheet=\"1\""), "protected");
        assert!(
            xml.contains("autoFilter=\"0\"") && xml.contains("sort=\"0\""),
            "filter and sort are allowed"
        );
        assert!(xml.contains("state=\"frozen\""), "heading frozen");
        assert!(xml.contains("<autoFilter ref=\"A1:X4\""), "filter");
        assert!(xml.contains("hidden=\"1\""), "the id column is hidden");
        assert!(xml.contains(&format!("'_lists'!${column}$2:${column}$9")), "drop-down");
        assert!(
            xml.contains("type=\"date\"") && xml.contains("type=\"decimal\""),
            "dates and money are checked"
        );
        assert!(part(&files[0].path, "xl/styles.xml").contains("<protection locked=\"0\"/>"), "open cells");
        let lists = &cells(&files[0].path)["_lists"];
        assert_eq!(lists[1][..3], ["confirmed", "属实", "Confirmed"]);
    }
}

#[test]
fn the_hidden_sheet_tells_an_import_what_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), plain(3));
    let options = ExportOptions { recipient: Some("A&B 办公室".to_owned()), ..full(Lang::Zh) };
    let files = written(&run, &folder.path().join("out"), &options);
    let meta: BTreeMap<String, String> =
        cells(&files[0].path)["_meta"].iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(meta["run_id"], run.manifest().run_id);
    assert_eq!(meta["rule_pack_hash"], run.manifest().rule_pack_hash);
    assert_eq!((meta["rows"].as_str(), meta["profile"].as_str()), ("3", "investigator"));
    assert_eq!((meta["as_of"].as_str(), meta["schema_version"].as_str()), ("2026-11-22", "3"));
    assert_eq!(meta["export_id"].len(), 16);
    assert!(
        part(&files[0].path, "xl/worksheets/sheet1.xml").contains("A&amp;&amp;B 办公室"),
        "recipient on every page"
    );
}

#[test]
fn sheets_split_at_the_limit_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), plain(25));
    let options = ExportOptions { sheet_rows: 10, ..full(Lang::En) };
    let files = written(&run, &folder.path().join("out"), &options);
    let sheets = cells(&files[0].path);
    let sizes: Vec<usize> =
        ["Findings", "Findings 2", "Findings 3"].iter().map(|s| sheets[*s].len()).collect();
    assert_eq!(sizes, [10, 10, 8]);
    assert_eq!(["Evidence", "Evidence 2", "Evidence 3"].map(|s| sheets[s].len()), [10, 10, 8]);
    let mut ids: Vec<&str> = ["Findings", "Findings 2", "Findings 3"]
        .iter()
        .flat_map(|s| sheets[*s][1..].iter().map(|row| row[0].as_str()))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 25);
    assert_eq!(sheets["Findings 2"][0], sheets["Findings"][0], "each with its heading");
}

#[test]
fn areas_add_up_to_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut findings = plain(21);
    findings.push(case());
    findings.push(mingcha_rules::Finding {
        finding_id: "ff".repeat(16),
        area_code: None,
        amount_fen: None,
        ..case()
    });
    let run = finished(folder.path(), findings);
    let out = folder.path().join("out");
    let files = written(&run, &out, &ExportOptions { by_area: true, ..full(Lang::Zh) });
    let names: Vec<String> =
        files.iter().map(|f| f.path.strip_prefix(&out).unwrap().display().to_string()).collect();
    assert_eq!(
        names,
        [
            "findings.xlsx",
            "areas/地区不明.xlsx",
            "areas/880101001-城关镇.xlsx",
            "areas/880101002-河东镇.xlsx",
            "areas/880102001-北山县.xlsx"
        ]
    );
    let sum = |path: &Path| -> (usize, f64) {
        let mut book: Xlsx<_> = open_workbook(path).unwrap();
        let list = book.worksheet_range("线索清单").unwrap();
        let money =
            list.rows().skip(1).filter_map(|r| if let Data::Float(n) = r[11] { Some(n) } else { None });
        (list.rows().count() - 1, money.sum())
    };
    let whole = sum(&files[0].path);
    let parts = files[1..].iter().map(|f| sum(&f.path)).fold((0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
    assert_eq!(whole.0, 23);
    assert_eq!(whole.0, parts.0);
    let expected = (1_234_567 + 101 * 210) as f64 / 100.0;
    assert!((whole.1 - expected).abs() < 1e-6 && (parts.1 - expected).abs() < 1e-6, "{whole:?} {parts:?}");
    assert_eq!(files.iter().map(|f| f.rows).collect::<Vec<_>>(), [23, 1, 1, 11, 10]);
}

#[test]
fn the_summary_tells_counts_money_and_what_was_not_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let mut findings = plain(6);
    findings.push(case());
    let run = finished(folder.path(), findings);
    let files = written(&run, &folder.path().join("out"), &full(Lang::Zh));
    let summary: Vec<String> = cells(&files[0].path)["汇总"].iter().map(|row| row.join("|")).collect();
    let has = |line: &str| summary.iter().any(|l| l.trim_end_matches('|') == line);
    assert!(has("高|1|12345.67"), "{summary:#?}");
    assert!(has("中|2|3.03"), "{summary:#?}");
    assert!(has("合计|7|12360.82"), "{summary:#?}");
    assert!(has("PEN-13|同月重复发放养老金|有线索|低|4|12.12"), "{summary:#?}");
    assert!(has("PEN-02|火化后仍领取养老金|未评估||||缺少数据集 火化"), "{summary:#?}");
    assert!(has("PEN-09|超高龄领取养老金|未发现||0"), "{summary:#?}");
    // Over every table with sums, directly under its title.
    for title in ["按严重程度", "按规则", "按地区"] {
        let at = summary.iter().position(|line| line.trim_end_matches('|') == title).unwrap();
        assert_eq!(
            summary[at + 1].trim_end_matches('|'),
            "同一笔钱被几条规则查出就计几次，实际金额可能较小。",
            "{title}: {summary:#?}"
        );
    }
}

#[test]
fn the_same_run_gives_the_same_workbook() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), plain(5));
    let bytes =
        |out: &str| fs::read(&written(&run, &folder.path().join(out), &full(Lang::Zh))[0].path).unwrap();
    assert_eq!(bytes("a"), bytes("b"));
}

#[test]
fn a_run_without_findings_gives_a_workbook_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), Vec::new());
    let files = written(&run, &folder.path().join("out"), &full(Lang::En));
    let sheets = cells(&files[0].path);
    assert_eq!(sheets["Findings"].len(), 1);
    assert!(sheets["Summary"].iter().any(|row| row[0] == "Total" && row[1] == "0"));
}

#[test]
fn formulas_in_names_stay_text() {
    let folder = tempfile::tempdir().unwrap();
    let hostile = mingcha_rules::Finding { subject_name: Some("=HYPERLINK(\"x\")".to_owned()), ..case() };
    let run = finished(folder.path(), vec![hostile]);
    let files = written(&run, &folder.path().join("out"), &full(Lang::Zh));
    assert!(!part(&files[0].path, "xl/worksheets/sheet1.xml").contains("<f>"));
    assert_eq!(cells(&files[0].path)["线索清单"][1][3], "=HYPERLINK(\"x\")");
}
