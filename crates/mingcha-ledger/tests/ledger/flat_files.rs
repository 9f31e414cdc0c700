//! CSV and NDJSON from outside: what is written is what a careful reader reads back.

use std::fs;
use std::path::Path;

use encoding_rs::GB18030;
use mingcha_ledger::{Encoding, ExportOptions, Format, Profile, RunFolder, export};
use mingcha_rules::{Finding, Lang};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::fixture::{self, case, catalogue, contracts, finished, plain, rule};

fn csv_options(encoding: Encoding) -> ExportOptions {
    ExportOptions {
        profile: Profile::Investigator,
        format: Format::Csv,
        lang: Lang::Zh,
        encoding,
        ..ExportOptions::default()
    }
}

fn write(
    run: &RunFolder,
    out: &Path,
    options: &ExportOptions,
) -> Result<Vec<mingcha_ledger::Exported>, mingcha_rules::Diagnostic> {
    export(run, out, options, &catalogue(&contracts(), &[rule()]))
}

fn records(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect()
}

#[test]
fn csv_opens_with_a_mark_ends_lines_with_crlf_and_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut findings = plain(4);
    findings.push(case());
    let run = finished(folder.path(), findings);
    let files = write(&run, &folder.path().join("out"), &csv_options(Encoding::Utf8)).unwrap();
    let names: Vec<_> = files.iter().map(|f| f.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["findings.csv", "findings-evidence.csv", "findings-summary.csv"]);
    let text = fs::read_to_string(&files[0].path).unwrap();
    let body = text.strip_prefix('\u{feff}').unwrap();
    let records = records(body);
    assert_eq!(records.len(), 6);
    assert_eq!(records[0][..5], ["_finding_id", "序号", "严重程度", "姓名（名称）", "证件号码（编号）"]);
    assert_eq!(records[1][0], fixture::CASE, "the gravest comes first");
    assert_eq!(records[1][4], fixture::ID);
    assert_eq!(records[1][9..12], ["2025-04-01", "2025-08-01", "12345.67"]);
    assert_eq!(records[0].last().unwrap(), "_export_id");
    assert!(body.ends_with("\"\r\n"));
    let evidence = fs::read_to_string(&files[1].path).unwrap();
    let in_order = "费款所属期：2025-04；金额：2469.13；支付状态：1 已发放；银行账号：6222020200112345678；";
    assert!(evidence.contains(in_order), "the contract's order and titles in {evidence}");
}

#[test]
fn gb18030_holds_the_same_text() {
    let folder = tempfile::tempdir().unwrap();
    let rare = Finding { subject_name: Some("王𠮷㐂".to_owned()), ..case() };
    let run = finished(folder.path(), vec![rare]);
    let read = |encoding, out: &str| {
        fs::read(&write(&run, &folder.path().join(out), &csv_options(encoding)).unwrap()[0].path).unwrap()
    };
    let (utf8, gb) = (read(Encoding::Utf8, "a"), read(Encoding::Gb18030, "b"));
    let (decoded, _, broken) = GB18030.decode(&gb);
    assert!(!broken);
    assert_eq!(decoded, String::from_utf8(utf8).unwrap().trim_start_matches('\u{feff}'));
    assert!(decoded.contains("王𠮷㐂"));
}

#[test]
fn a_character_that_gb18030_lacks_is_an_error_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let odd = Finding { subject_name: Some("王\u{e5e5}".to_owned()), ..case() };
    let run = finished(folder.path(), vec![odd]);
    let out = folder.path().join("out");
    let fault = write(&run, &out, &csv_options(Encoding::Gb18030)).unwrap_err();
    assert_eq!(fault.code, "MC813");
    assert!(fault.message.zh.contains(fixture::CASE) && fault.message.zh.contains("姓名（名称）"), "{fault}");
    assert!(!fault.message.zh.contains('王'));
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
}

#[test]
fn an_export_never_replaces_a_file_unless_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), vec![case()]);
    let out = folder.path().join("out");
    let options = csv_options(Encoding::Utf8);
    write(&run, &out, &options).unwrap();
    fs::write(out.join("findings.csv"), "filled in").unwrap();
    assert_eq!(write(&run, &out, &options).unwrap_err().code, "MC812");
    assert_eq!(fs::read_to_string(out.join("findings.csv")).unwrap(), "filled in");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 4, "three lists and what they are known by");
    write(&run, &out, &ExportOptions { replace: true, ..options }).unwrap();
    assert_ne!(fs::read_to_string(out.join("findings.csv")).unwrap(), "filled in");
}

#[test]
fn fifty_thousand_hostile_strings_stay_text_and_come_back() {
    let mut runner = TestRunner::deterministic();
    let strategy = r#"[=+\-@'"＝＋－＠,;\t\r\n\x00 ]{0,3}(cmd\|' /C calc'!A0|HYPERLINK\("x"\)|1\+1|[ -~]{0,8}|[\u4e00-\u4e2f]{0,4}){0,1}"#;
    let strategy = proptest::string::string_regex(strategy).unwrap();
    let strings: Vec<String> =
        (0..50_000).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
    let findings = strings.iter().enumerate().map(|(i, s)| Finding {
        finding_id: format!("{i:032x}"),
        subject_id: format!("S{i:06}"),
        subject_name: Some(s.clone()),
        evidence: Vec::new(),
        counter_evidence: Vec::new(),
        exclusions_checked: Vec::new(),
        amount_fen: Some(-1),
        ..case()
    });
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), findings.collect());
    let files = write(&run, &folder.path().join("out"), &csv_options(Encoding::Utf8)).unwrap();
    let text = fs::read_to_string(&files[0].path).unwrap();
    let records = records(text.trim_start_matches('\u{feff}'));
    assert_eq!(records.len(), 50_001);
    for record in &records[1..] {
        let original = &strings[usize::from_str_radix(&record[0], 16).unwrap()];
        let read = &record[3];
        assert!(
            !read.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\0', '＝', '＋', '－', '＠']),
            "{read:?}"
        );
        assert!(read == original || *read == format!("'{original}"), "{read:?} for {original:?}");
        assert_eq!(record[11], "-0.01", "numbers are not touched");
    }
}

#[test]
fn ndjson_has_the_fields_of_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), vec![case()]);
    let options =
        ExportOptions { format: Format::Ndjson, profile: Profile::Investigator, ..ExportOptions::default() };
    let files = write(&run, &folder.path().join("out"), &options).unwrap();
    let text = fs::read_to_string(&files[0].path).unwrap();
    let object: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert_eq!(object["amount"], "12345.67");
    assert_eq!(object["subject_id"], fixture::ID);
    assert_eq!(object["evidence"][0]["row"], 3);
    assert_eq!(object["severity"], "high");
}

#[test]
fn a_masked_parquet_export_has_the_columns_of_the_run() {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), vec![case()]);
    let options = ExportOptions { format: Format::Parquet, ..ExportOptions::default() };
    let files = write(&run, &folder.path().join("out"), &options).unwrap();
    let open = |path: &Path| ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
    let fields = |path: &Path| open(path).schema().fields().clone();
    assert_eq!(fields(&files[0].path), fields(&run.path().join("findings.parquet")));
}
