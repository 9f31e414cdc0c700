//! Somebody who holds a masked list, the source code, and the candidates for the numbers behind its asterisks: they compute
//! the plain id of every candidate and look for it, or for any other trace of a person, in every byte of every kind of list.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use mingcha_ledger::book::Book;
use mingcha_ledger::report::{Asked, Subject, report};
use mingcha_ledger::{Addressee, ExportOptions, Exported, Format, Profile, export};
use mingcha_rules::{Finding, Lang};
use sha2::{Digest, Sha256};

use crate::book::{Desk, RULE, Tonight, findings};
use crate::filled::{Order, payees};
use crate::fixture::{SECRETS, case, catalogue, contracts, finished, row, rule};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// An id as the engine makes them: nothing in it that a stranger could not compute from the number.
fn plain_id(rule: &str, number: &str) -> String {
    hex(&Sha256::digest(format!("mingcha finding\0{rule}\0person\0{number}")))[..32].to_owned()
}

/// The candidates: six persons of two villages, with the village in evidence and in the sentence.
fn persons() -> Vec<Finding> {
    let mut all = findings(6);
    for (i, finding) in (0_u32..).zip(&mut all) {
        let village = format!("880101001{:03}", 101 + i % 2);
        finding.subject_id = format!("8801011957{:02}{:02}{:04}", 1 + i, 11 + i, 7361 + i * 7);
        finding.area_code = Some(village.clone());
        finding.finding_id = plain_id(RULE, &finding.subject_id);
        finding.message.zh = format!("{}（{}）住 {village}", "赵小满", finding.subject_id);
        finding.message.en = format!("{} lives in {village}", finding.subject_id);
        finding.evidence.push(row(
            "pension_payees",
            7,
            &[("area_code", &village), ("id_number", &finding.subject_id)],
        ));
    }
    all
}

/// Every place of a file where something can stand: all parts of a workbook, all columns of a table, and its name.
fn everything(file: &Path) -> String {
    let mut text = file.file_name().unwrap().to_str().unwrap().to_owned() + "\n";
    match file.extension().and_then(|e| e.to_str()) {
        Some("xlsx") => {
            let mut archive = zip::ZipArchive::new(fs::File::open(file).unwrap()).unwrap();
            for at in 0..archive.len() {
                let mut bytes = Vec::new();
                archive.by_index(at).unwrap().read_to_end(&mut bytes).unwrap();
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        Some("parquet") => {
            use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
            let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(file).unwrap()).unwrap();
            text.push_str(&format!("{:?}", reader.metadata().file_metadata().key_value_metadata()));
            for batch in reader.build().unwrap() {
                text.push_str(&format!("{:?}", batch.unwrap()));
            }
        }
        _ => text.push_str(&String::from_utf8_lossy(&fs::read(file).unwrap())),
    }
    text
}

/// What gives somebody away, and by what.
fn given_away(text: &str, persons: &[Finding]) -> Vec<String> {
    let runs: BTreeSet<&str> =
        text.split(|c: char| !c.is_ascii_hexdigit()).filter(|run| run.len() >= 6).collect();
    let mut found = Vec::new();
    for person in persons {
        let number = &person.subject_id;
        let hashed = hex(&Sha256::digest(number));
        for (id, what) in [(&person.finding_id, "the plain id"), (&hashed, "a hash of the number")] {
            let hit = runs.iter().any(|run| run.starts_with(&id[..8]) || id.starts_with(*run));
            found.extend(hit.then(|| format!("{what} of {number}")));
        }
        let birth = format!("{}-{}-{}", &number[6..10], &number[10..12], &number[12..14]);
        for part in [number.as_str(), &number[4..14], &number[6..14], &number[10..], &birth] {
            found.extend(text.contains(part).then(|| format!("{part} of {number}")));
        }
        // The number begins with the place where it was issued: its county may be seen, and nothing more exact.
        let village = person.area_code.as_deref().unwrap();
        for area in [village, &village[..9]] {
            found.extend(text.contains(area).then(|| format!("{area}, where {number} lives")));
        }
    }
    let words = SECRETS.iter().copied().chain(["赵小满", "城关镇"]);
    found.extend(words.filter(|word| text.contains(word)).map(str::to_owned));
    found.sort();
    found.dedup();
    found
}

#[track_caller]
fn holds(files: &[PathBuf], persons: &[Finding], what: &str) {
    assert!(!files.is_empty(), "{what}: nothing was written");
    for file in files {
        let found = given_away(&everything(file), persons);
        assert!(found.is_empty(), "{what}, {}, gives away: {found:?}", file.display());
    }
}

fn paths(files: &[Exported]) -> Vec<PathBuf> {
    files.iter().map(|file| file.path.clone()).collect()
}

#[test]
fn no_masked_list_can_be_unmasked_without_a_ledger() {
    let (contracts, rules) = (contracts(), [rule()]);
    let folder = tempfile::tempdir().unwrap();
    let persons = persons();
    let run = finished(folder.path(), persons.iter().cloned().chain([case()]).collect());
    // The attack itself works: in full, everybody is found.
    let catalogue = catalogue(&contracts, &rules);
    let full =
        ExportOptions { profile: Profile::Investigator, format: Format::Ndjson, ..ExportOptions::default() };
    let open = export(&run, &folder.path().join("full"), &full, &catalogue).unwrap();
    assert!(given_away(&everything(&open[0].path), &persons).len() > 6 * 5);
    for profile in [Profile::Supervisor, Profile::Public] {
        for format in [Format::Xlsx, Format::Csv, Format::Parquet, Format::Ndjson] {
            for lang in [Lang::Zh, Lang::En] {
                let options =
                    ExportOptions { profile, format, lang, by_area: true, ..ExportOptions::default() };
                let out = tempfile::tempdir().unwrap();
                let files = export(&run, out.path(), &options, &catalogue).unwrap();
                let what = format!("{profile:?} {format:?} {lang:?}");
                holds(&paths(&files), &persons, &what);
                // The same list again calls everybody by the same names.
                let again = tempfile::tempdir().unwrap();
                let files_again = export(&run, again.path(), &options, &catalogue).unwrap();
                let same = |(a, b): (&Exported, &Exported)| everything(&a.path) == everything(&b.path);
                assert!(files.iter().zip(&files_again).all(same), "{what}");
            }
        }
    }
}

#[test]
fn no_masked_list_or_report_can_be_unmasked_with_a_ledger() {
    let (contracts, rules) = (contracts(), [rule()]);
    let catalogue = catalogue(&contracts, &rules);
    let desk = Desk::new();
    let persons = persons();
    desk.absorb(&Tonight::new("2026-11-01", persons.clone()));
    let mut book = desk.open();
    for (addressee, lang) in
        [(Addressee::Area("880101".to_owned()), Lang::Zh), (Addressee::Everything, Lang::En)]
    {
        let out = desk.dir.path().join(format!("lists-{lang:?}"));
        let order = Order {
            addressee,
            lang,
            recipient: "监督组",
            profile: Profile::Supervisor,
            payees: Some(payees(101, 6)),
            ..Order::default()
        };
        let issued = order.make(&mut book, &out).unwrap();
        holds(&paths(&issued.files), &persons, &format!("a list on record, {lang:?}"));
    }
    drop(book);
    let book = Book::read(&desk.path()).unwrap();
    let subjects = [
        Subject::Night(None),
        Subject::Month(Some("2026-11".to_owned())),
        Subject::Area("8801".to_owned(), Some("2026-11".to_owned())),
        Subject::Unit("qian".to_owned()),
        Subject::Rule(RULE.to_owned()),
    ];
    for profile in [Profile::Supervisor, Profile::Public] {
        for subject in &subjects[..if profile == Profile::Public { 2 } else { 5 }] {
            let asked = Asked {
                subject: subject.clone(),
                profile,
                lang: Lang::Zh,
                today: "2026-11-02".to_owned(),
                limit: 50,
                replace: false,
            };
            let out = tempfile::tempdir().unwrap();
            let files = report(&book, &desk.policy, &asked, &catalogue, out.path()).unwrap();
            holds(&paths(&files), &persons, &format!("a report, {profile:?} {subject:?}"));
        }
    }
}

#[test]
fn the_order_of_a_masked_list_says_nothing_of_the_numbers() {
    let (contracts, rules) = (contracts(), [rule()]);
    let folder = tempfile::tempdir().unwrap();
    let mut persons = persons();
    for person in &mut persons {
        (person.severity, person.amount_fen) = (mingcha_rules::Severity::High, Some(1));
    }
    let run = finished(folder.path(), persons.clone());
    let options = ExportOptions { format: Format::Ndjson, ..ExportOptions::default() };
    let out = tempfile::tempdir().unwrap();
    let files = export(&run, out.path(), &options, &catalogue(&contracts, &rules)).unwrap();
    let listed: Vec<String> = fs::read_to_string(&files[0].path)
        .unwrap()
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["finding_id"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let mut sorted = listed.clone();
    sorted.sort();
    assert_eq!(listed, sorted, "by the names that tell nothing, and not by village or number");
    let plain: BTreeSet<String> = persons.into_iter().map(|person| person.finding_id).collect();
    assert!(listed.len() == 6 && listed.iter().all(|name| !plain.contains(name)));
}
