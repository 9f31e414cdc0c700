//! A small city is written again and again: equal seeds give equal bytes, formats hold the same people, and
//! the truth keeps the promises that the rules are judged by.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the city it wrote has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use mingcha_synth::{CityFormat, CityOptions, CityReport, TruthRow, read_truth, write_city};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

fn options(format: CityFormat) -> CityOptions {
    CityOptions {
        persons: 600,
        seed: 42,
        as_of: "2026-06-30".parse().unwrap(),
        format,
        dirt: true,
        threads: 2,
    }
}

fn city(options: &CityOptions) -> (tempfile::TempDir, CityReport) {
    let folder = tempfile::tempdir().unwrap();
    let report = write_city(options, folder.path(), &|_, _, _| ()).unwrap();
    (folder, report)
}

fn truth(folder: &tempfile::TempDir) -> Vec<TruthRow> {
    read_truth(&folder.path().join("truth.parquet")).unwrap()
}

/// Every file below a folder, by its path in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            found.insert(name, std::fs::read(&path).unwrap());
        }
    }
    found
}

/// The text columns of a Parquet dataset, row by row, sorted.
fn parquet_texts(folder: &Path, dataset: &str, columns: &[&str]) -> Vec<Vec<String>> {
    let single = folder.join(format!("{dataset}.parquet"));
    let paths: Vec<_> = if single.exists() {
        vec![single]
    } else {
        std::fs::read_dir(folder.join(dataset)).unwrap().map(|e| e.unwrap().path()).collect()
    };
    let mut rows = Vec::new();
    for path in paths {
        let file = std::fs::File::open(path).unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let texts: Vec<_> = columns
                .iter()
                .map(|c| cast(batch.column_by_name(c).unwrap(), &DataType::Utf8).unwrap())
                .collect();
            let value = |column: &std::sync::Arc<dyn Array>, row| {
                let column = column.as_string::<i32>();
                if column.is_null(row) { String::new() } else { column.value(row).to_owned() }
            };
            rows.extend(
                (0..batch.num_rows()).map(|row| texts.iter().map(|c| value(c, row)).collect::<Vec<_>>()),
            );
        }
    }
    rows.sort();
    rows
}

/// The same out of a CSV file; an apostrophe or space is part of the value.
fn csv_texts(bytes: &[u8], headings: &[&str]) -> Vec<Vec<String>> {
    let (text, _, _) = encoding_rs::GB18030.decode(bytes);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let places: Vec<usize> =
        headings.iter().map(|h| reader.headers().unwrap().iter().position(|x| x == *h).unwrap()).collect();
    let mut rows: Vec<Vec<String>> = reader
        .records()
        .map(|r| r.unwrap())
        .map(|r| places.iter().map(|i| r[*i].to_owned()).collect())
        .collect();
    rows.sort();
    rows
}

#[test]
fn equal_seeds_give_equal_bytes_on_any_number_of_threads() {
    for format in [CityFormat::Mixed, CityFormat::ParquetVariant] {
        let (one, _) = city(&CityOptions { threads: 1, ..options(format) });
        let (two, _) = city(&CityOptions { threads: 3, ..options(format) });
        let (one, two) = (files(one.path()), files(two.path()));
        assert_eq!(one.keys().collect::<Vec<_>>(), two.keys().collect::<Vec<_>>());
        for (name, bytes) in &one {
            assert!(bytes == &two[name], "{name} differs");
        }
    }
}

#[test]
fn another_seed_is_another_city() {
    let (one, _) = city(&options(CityFormat::Parquet));
    let (two, _) = city(&CityOptions { seed: 43, ..options(CityFormat::Parquet) });
    let columns = ["id_number", "name"];
    let (one, two) = (
        parquet_texts(one.path(), "household_registry", &columns),
        parquet_texts(two.path(), "household_registry", &columns),
    );
    assert_ne!(one, two);
}

#[test]
fn every_format_holds_the_same_city() {
    let (plain, expected) = city(&options(CityFormat::Parquet));
    for format in [
        CityFormat::Mixed,
        CityFormat::ParquetVariant,
        CityFormat::CsvUtf8,
        CityFormat::CsvGb18030,
        CityFormat::Xlsx,
    ] {
        let (other, report) = city(&options(format));
        assert_eq!(report, expected, "{format:?}");
        assert_eq!(truth(&other), truth(&plain), "{format:?}");
    }
    let columns = ["id_number", "name", "cremation_date", "applicant_id"];
    let rows = parquet_texts(plain.path(), "cremations", &columns);
    let (variant, _) = city(&options(CityFormat::ParquetVariant));
    let texts = ["id_number", "name", "applicant_id"];
    assert_eq!(
        parquet_texts(variant.path(), "cremations", &texts),
        parquet_texts(plain.path(), "cremations", &texts)
    );
    let (mixed, _) = city(&CityOptions { dirt: true, ..options(CityFormat::Mixed) });
    let bytes = std::fs::read(mixed.path().join("cremations.csv")).unwrap();
    let csv = csv_texts(&bytes, &["身份证号", "姓名", "火化日期", "经办人身份证号"]);
    assert_eq!(csv.len(), rows.len());
    let digits = |date: &str| -> Vec<u32> { date.split(['-', '/']).filter_map(|p| p.parse().ok()).collect() };
    let plain_date = |date: &str| {
        if date.len() == 8 && !date.contains('/') {
            format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..])
        } else {
            date.to_owned()
        }
    };
    let by_content = |rows: &[Vec<String>]| -> BTreeSet<(String, String, Vec<u32>, String)> {
        rows.iter().map(|r| (r[0].clone(), r[1].clone(), digits(&plain_date(&r[2])), r[3].clone())).collect()
    };
    assert_eq!(by_content(&csv), by_content(&rows));
}

#[test]
fn no_two_files_of_a_dataset_are_equal() {
    for format in [CityFormat::Mixed, CityFormat::ParquetVariant] {
        let (folder, _) = city(&options(format));
        let files = files(folder.path());
        let contents: BTreeSet<&Vec<u8>> = files.values().collect();
        assert_eq!(contents.len(), files.len(), "{format:?}");
        assert!(files.keys().any(|name| name == "pension_payments/part-2.parquet"), "{format:?}");
    }
}

#[test]
fn the_workbook_holds_the_rows_of_its_dataset() {
    use calamine::{Data, Reader, Xlsx, open_workbook};
    let (mixed, report) = city(&options(CityFormat::Mixed));
    let mut workbook: Xlsx<_> = open_workbook(mixed.path().join("prison_custody.xlsx")).unwrap();
    let sheet = workbook.worksheet_range_at(0).unwrap().unwrap();
    assert_eq!(sheet.height() as u64, report.rows["prison_custody"] + 1);
    assert_eq!(sheet.get_value((0, 0)).unwrap().to_string(), "身份证号");
    assert!((1..sheet.height() as u32).all(|row| matches!(sheet.get_value((row, 0)), Some(Data::String(_)))));
}

/// GB 11643 once more, over the number as it is spelt after normalisation.
fn is_valid(number: &str) -> bool {
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let bytes = number.as_bytes();
    if bytes.len() != 18 || !bytes[..17].iter().all(u8::is_ascii_digit) || !number.starts_with("88") {
        return false;
    }
    let sum: u32 = bytes.iter().zip(weights).map(|(b, w)| u32::from(b - b'0') * w).sum();
    let date = chrono::NaiveDate::parse_from_str(&number[6..14], "%Y%m%d");
    date.is_ok() && bytes[17] == b"10X98765432"[(sum % 11) as usize]
}

#[test]
fn without_dirt_every_number_is_valid_and_nobody_is_registered_twice() {
    let (folder, report) = city(&CityOptions { dirt: false, ..options(CityFormat::Parquet) });
    let rows = parquet_texts(folder.path(), "household_registry", &["id_number", "cancel_category"]);
    assert_eq!(rows.len() as u64, report.rows["household_registry"]);
    let numbers: BTreeSet<&str> = rows.iter().map(|r| r[0].as_str()).collect();
    // Who moved may have an older entry under a former name.
    let here = || rows.iter().filter(|r| r[1] != "3").map(|r| r[0].as_str());
    assert_eq!(here().collect::<BTreeSet<_>>().len(), here().count());
    // The cases about old numbers keep 15 digits.
    assert!(numbers.iter().filter(|n| n.len() == 18).all(|n| is_valid(n)));
    assert!(numbers.iter().all(|n| n.len() == 18 || n.len() == 15));
    assert!(!truth(&folder).iter().any(|t| t.rule_id == "ID-01" && t.expected));
    let tails = numbers.iter().filter(|n| n.ends_with("000")).count();
    assert_eq!(tails, 0);
}

#[test]
fn damaged_numbers_are_rare_and_all_in_the_truth() {
    let (folder, _) = city(&CityOptions { persons: 500, ..options(CityFormat::Parquet) });
    let expected: BTreeSet<String> = truth(&folder)
        .into_iter()
        .filter(|t| t.rule_id == "ID-01" && t.expected)
        .map(|t| t.subject_id)
        .collect();
    assert!(!expected.is_empty());
    let mut found = BTreeSet::new();
    for dataset in [
        "household_registry",
        "pension_payees",
        "pension_payments",
        "hospital_admissions",
        "outpatient_visits",
    ] {
        let rows = parquet_texts(folder.path(), dataset, &["id_number"]);
        let damaged: Vec<String> =
            rows.iter().map(|r| normalised(&r[0])).filter(|n| n.len() != 15 && !is_valid(n)).collect();
        assert!(damaged.len() * 100 < rows.len(), "{dataset}: {} of {}", damaged.len(), rows.len());
        let tails = damaged.iter().filter(|n| n.ends_with("000")).count();
        assert!(tails * 1000 < rows.len(), "{dataset}: {tails} tails of {}", rows.len());
        found.extend(damaged);
    }
    assert_eq!(found, expected);
}

/// Full width to half width, no blanks, no marks, upper case.
fn normalised(raw: &str) -> String {
    raw.chars()
        .filter(|c| !c.is_whitespace() && *c != '\'' && *c != '\u{200B}')
        .map(|c| {
            if ('\u{FF01}'..='\u{FF5E}').contains(&c) {
                char::from_u32(c as u32 - 0xFEE0).unwrap()
            } else {
                c
            }
        })
        .collect::<String>()
        .to_uppercase()
}

const RULES: [&str; 20] = [
    "ID-01", "ID-02", "ID-03", "ID-04", "PEN-01", "PEN-02", "PEN-03", "PEN-04", "PEN-05", "PEN-06", "PEN-07",
    "PEN-08", "PEN-09", "PEN-10", "PEN-12", "PEN-13", "PEN-17", "PEN-22", "MED-01", "MED-02",
];

#[test]
fn the_truth_contradicts_itself_nowhere_and_names_people_of_the_city() {
    let (folder, report) = city(&options(CityFormat::Parquet));
    let truth = truth(&folder);
    let registered: BTreeSet<String> = parquet_texts(folder.path(), "household_registry", &["id_number"])
        .into_iter()
        .map(|r| r[0].clone())
        .collect();
    let mut verdicts = BTreeMap::new();
    for row in &truth {
        assert!(RULES.contains(&row.rule_id.as_str()), "{}", row.rule_id);
        assert!(
            verdicts.insert((row.rule_id.clone(), row.subject_id.clone()), row.expected).is_none(),
            "two verdicts: {} {}",
            row.rule_id,
            row.note
        );
        assert!(!row.expected || row.exclusion.is_none(), "{}", row.note);
        let kind = row.exclusion.as_deref().unwrap_or(if row.expected { "hit" } else { "near_miss" });
        assert_eq!(row.kind, kind);
        if row.rule_id != "ID-01" {
            let old = format!("{}{}", &row.id_number[..6], &row.id_number[8..17]);
            assert!(registered.contains(&row.id_number) || registered.contains(&old), "{}", row.note);
        }
    }
    assert_eq!(report.planted.values().sum::<u64>(), truth.len() as u64);
}

#[test]
fn every_rule_has_hits_and_near_misses_outnumber_them_three_to_one() {
    let (folder, _) = city(&options(CityFormat::Parquet));
    let truth = truth(&folder);
    for rule in RULES {
        assert!(truth.iter().any(|t| t.rule_id == rule && t.expected), "{rule} has no hit");
        assert!(truth.iter().any(|t| t.rule_id == rule && !t.expected), "{rule} has no near miss");
    }
    let hits = truth.iter().filter(|t| t.expected).count();
    let spared = truth.len() - hits;
    assert!(spared >= 3 * hits, "{hits} hits, {spared} near misses");
}

#[test]
fn a_city_too_small_or_a_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let small = CityOptions { persons: 499, ..options(CityFormat::Parquet) };
    assert!(
        write_city(&small, folder.path(), &|_, _, _| ()).unwrap_err().to_string().contains("at least 500")
    );
    std::fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let error = write_city(&options(CityFormat::Parquet), folder.path(), &|_, _, _| ()).unwrap_err();
    assert!(error.to_string().contains("not empty"));
}

#[test]
fn a_file_that_is_no_truth_table_is_named() {
    let (folder, _) = city(&options(CityFormat::Parquet));
    let error = read_truth(&folder.path().join("cremations.parquet")).unwrap_err();
    assert!(error.to_string().contains("column kind"), "{error}");
}
