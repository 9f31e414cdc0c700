//! Run folders: round trip, atomicity, order, seals.

use std::fs;

use mingcha_ledger::{RunFolder, RunWriter};
use mingcha_rules::{Finding, Outcome};

use crate::fixture::{self, case, finished, plain, record};

fn findings() -> Vec<Finding> {
    let mut all = plain(20);
    all.push(case());
    all
}

fn names(folder: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_was_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), findings());
    let mut expected = findings();
    expected.sort_by(|a, b| {
        (&a.rule_id, &a.subject_id, &a.finding_id).cmp(&(&b.rule_id, &b.subject_id, &b.finding_id))
    });
    assert_eq!(run.findings().unwrap(), expected);
    assert_eq!(run.finding(fixture::CASE).unwrap(), Some(case()));
    assert_eq!(run.finding("no such id").unwrap(), None);
    assert_eq!(run.excused().unwrap().len(), 2);
    assert_eq!(run.excused_of(fixture::ID).unwrap(), vec![record(vec![]).excused[0].clone()]);

    let outcomes = run.outcomes().unwrap();
    let shown = |o: &Outcome| serde_json::to_string(o).unwrap();
    let mut expected = record(findings()).outcomes;
    expected.sort_by(|a, b| a.rule_id.cmp(&b.rule_id));
    assert_eq!(
        outcomes.iter().map(shown).collect::<Vec<_>>(),
        expected.iter().map(shown).collect::<Vec<_>>()
    );

    let manifest = run.manifest();
    assert_eq!(manifest.counts.findings, 21);
    assert_eq!(manifest.counts.by_severity["high"], 1);
    assert_eq!(manifest.counts.amount_fen, 1_234_567 + 101 * 190);
    assert_eq!(manifest.counts.rules_by_outcome["not_evaluated"], 1);
    assert_eq!(
        manifest.files.keys().collect::<Vec<_>>(),
        ["excused.parquet", "findings.parquet", "rules.parquet"]
    );
    assert_eq!(names(folder.path()), ["run"]);
}

#[test]
fn the_columns_of_findings_are_those_of_the_contract() {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), findings());
    let file = fs::File::open(run.path().join("findings.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let columns: Vec<String> =
        reader.schema().fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
    assert_eq!(
        columns,
        [
            "finding_id Utf8",
            "rule_id Utf8",
            "rule_version Int32",
            "severity Utf8",
            "grade Utf8",
            "identity Utf8",
            "subject_type Utf8",
            "subject_id Utf8",
            "subject_name Utf8",
            "area_code Utf8",
            "period_from Date32",
            "period_to Date32",
            "amount Decimal128(14, 2)",
            "message_zh Utf8",
            "message_en Utf8",
            "evidence Utf8",
            "counter_evidence Utf8",
            "exclusions_checked Utf8",
            "run_id Utf8",
            "measures Utf8",
            "candidates Int64",
        ]
    );
    let marks = reader.metadata().file_metadata().key_value_metadata().unwrap();
    let mark = |key: &str| marks.iter().find(|kv| kv.key == key).and_then(|kv| kv.value.clone());
    assert_eq!(mark("mingcha.run_id"), Some(run.manifest().run_id.clone()));
    assert_eq!(mark("mingcha.rule_pack_hash"), Some(run.manifest().rule_pack_hash.clone()));
}

#[test]
fn equal_runs_give_equal_bytes_whatever_the_order_and_the_clock() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    finished(first.path(), findings());
    let mut shuffled = record(findings().into_iter().rev().collect());
    shuffled.excused.reverse();
    shuffled.outcomes.reverse();
    shuffled.record.started = "2027-01-01T00:00:00Z".to_owned();
    shuffled.record.environment.clear();
    let mut writer = RunWriter::create(&second.path().join("run")).unwrap();
    shuffled.write(&mut writer).unwrap();
    writer.commit().unwrap();
    for name in ["findings.parquet", "excused.parquet", "rules.parquet"] {
        let read = |folder: &tempfile::TempDir| fs::read(folder.path().join("run").join(name)).unwrap();
        assert_eq!(read(&first), read(&second), "{name}");
    }
}

#[test]
fn the_run_id_follows_every_input() {
    let id = |change: fn(&mut fixture::Run)| {
        let folder = tempfile::tempdir().unwrap();
        let mut run = record(findings());
        change(&mut run);
        run.write(&mut RunWriter::create(&folder.path().join("run")).unwrap()).unwrap().run_id
    };
    let mut ids = vec![
        id(|_| {}),
        id(|r| r.record.as_of = "2026-11-23".to_owned()),
        id(|r| r.record.engine.push('x')),
        id(|r| r.record.inputs[0].sha256 = "cd".repeat(32)),
        id(|r| r.outcomes[0].rule_hash.push('x')),
        id(|r| r.record.parameters.clear()),
    ];
    assert_eq!(ids[0], id(|r| r.ended.clear()), "the clock has no part in it");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 6);
}

#[test]
fn a_run_that_is_dropped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = RunWriter::create(&folder.path().join("run")).unwrap();
    record(findings()).write(&mut writer).unwrap();
    assert!(!folder.path().join("run").exists());
    assert!(writer.folder().join("manifest.json").exists());
    drop(writer);
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn a_run_without_content_cannot_be_committed() {
    let folder = tempfile::tempdir().unwrap();
    let fault = RunWriter::create(&folder.path().join("run")).unwrap().commit().unwrap_err();
    assert_eq!(fault.code, "MC808");
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn an_earlier_run_is_replaced_and_anything_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    finished(folder.path(), findings());
    let run = finished(folder.path(), vec![case()]);
    assert_eq!(run.findings().unwrap().len(), 1);
    assert_eq!(names(folder.path()), ["run"]);

    let photos = folder.path().join("photos");
    fs::create_dir(&photos).unwrap();
    fs::write(photos.join("manifest.json"), "{\"format\":\"something else\"}").unwrap();
    assert_eq!(RunWriter::create(&photos).unwrap_err().code, "MC802");
    fs::write(folder.path().join("note.txt"), "text").unwrap();
    assert_eq!(RunWriter::create(&folder.path().join("note.txt")).unwrap_err().code, "MC802");
    assert_eq!(names(&photos), ["manifest.json"]);
}

#[test]
fn a_run_in_which_somebody_put_something_of_their_own_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), findings());
    fs::write(run.path().join("letter.txt"), "dear all").unwrap();
    assert_eq!(RunWriter::create(run.path()).unwrap_err().code, "MC802");
    fs::remove_file(run.path().join("letter.txt")).unwrap();
    // It may come while the new run is being written.
    let mut writer = RunWriter::create(run.path()).unwrap();
    record(findings()).write(&mut writer).unwrap();
    fs::write(run.path().join("letter.txt"), "dear all").unwrap();
    assert_eq!(writer.commit().unwrap_err().code, "MC801");
    assert!(run.path().join("letter.txt").exists());
}

#[test]
fn one_changed_byte_is_found_in_every_file() {
    for name in ["findings.parquet", "excused.parquet", "rules.parquet", "manifest.json"] {
        let folder = tempfile::tempdir().unwrap();
        let run = finished(folder.path(), findings());
        let file = run.path().join(name);
        let mut bytes = fs::read(&file).unwrap();
        let at = match name {
            "manifest.json" => String::from_utf8(bytes.clone()).unwrap().find("2026-11-22").unwrap(),
            _ => bytes.len() / 3,
        };
        bytes[at] ^= 1;
        fs::write(&file, bytes).unwrap();
        let fault = RunFolder::open(run.path()).unwrap_err();
        assert_eq!((fault.code.as_str(), fault.place.file), ("MC804", Some(file.display().to_string())));
    }
}

#[test]
fn what_is_no_run_folder_or_of_another_version_is_said_to_be_so() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(RunFolder::open(&folder.path().join("nowhere")).unwrap_err().code, "MC803");
    assert_eq!(RunFolder::open(folder.path()).unwrap_err().code, "MC803");
    let run = finished(folder.path(), findings());
    let file = run.path().join("manifest.json");
    let text = fs::read_to_string(&file).unwrap().replace("\"format_version\": 1", "\"format_version\": 9");
    fs::write(&file, text).unwrap();
    assert_eq!(RunFolder::open(run.path()).unwrap_err().code, "MC805");
    fs::remove_file(run.path().join("manifest.json")).unwrap();
    assert_eq!(RunFolder::open(run.path()).unwrap_err().code, "MC803");
}

#[test]
fn findings_that_break_their_table_are_refused() {
    let refused = |finding: Finding, other: Option<Finding>| {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = RunWriter::create(&folder.path().join("run")).unwrap();
        record([Some(finding), other].into_iter().flatten().collect()).write(&mut writer).unwrap_err().code
    };
    assert_eq!(refused(case(), Some(case())), "MC807");
    assert_eq!(refused(Finding { amount_fen: Some(100_000_000_000_000), ..case() }, None), "MC807");
    assert_eq!(refused(Finding { period_to: Some("2025/08/01".to_owned()), ..case() }, None), "MC807");
}

#[test]
fn rows_in_another_order_and_rules_that_did_not_begin_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let begun = || {
        let mut writer = RunWriter::create(&folder.path().join("run")).unwrap();
        writer.begin(&record(vec![]).record, &record(vec![]).outcomes).unwrap();
        writer
    };
    let mut late = plain(2);
    late.reverse();
    assert_eq!(begun().add(late, []).unwrap_err().code, "MC807");
    let mut twice = record(vec![]).excused;
    twice.truncate(1);
    twice.push(twice[0].clone());
    assert_eq!(begun().add([], twice).unwrap_err().code, "MC807");
    let mut writer = begun();
    assert_eq!(writer.finish(&record(vec![]).outcomes[1..], "").unwrap_err().code, "MC807");
    assert_eq!(writer.commit().unwrap_err().code, "MC808");
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn the_greatest_and_least_amounts_and_absent_values_survive() {
    let folder = tempfile::tempdir().unwrap();
    let bare = Finding {
        subject_name: None,
        area_code: None,
        period_from: None,
        period_to: None,
        amount_fen: None,
        ..case()
    };
    let with = |n: u8, fen: i64| Finding { finding_id: n.to_string(), amount_fen: Some(fen), ..case() };
    let all = vec![bare, with(2, 99_999_999_999_999), with(3, -99_999_999_999_999)];
    let run = finished(folder.path(), all.clone());
    assert_eq!(run.findings().unwrap(), all);
}
