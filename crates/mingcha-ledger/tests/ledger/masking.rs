//! Masking from outside: whatever the format, a masked list shows nobody.

use std::fs;
use std::path::Path;

use mingcha_ledger::{ExportOptions, Format, Masker, Profile, export};
use mingcha_rules::rule::SubjectType;
use mingcha_rules::{Finding, Lang};
use proptest::prelude::*;

use crate::fixture::{self, SECRETS, case, catalogue, contracts, finished, plain, rule};
use crate::workbook::cells;

/// Everything readable in a file that was exported.
fn readable(path: &Path) -> String {
    match path.extension().and_then(|e| e.to_str()) {
        Some("xlsx") => cells(path).into_values().flatten().flatten().collect::<Vec<_>>().join("\n"),
        Some("parquet") => {
            use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
            let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
            let marks = format!("{:?}", reader.metadata().file_metadata().key_value_metadata());
            let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
            format!("{marks}\n{batches:?}")
        }
        _ => String::from_utf8(fs::read(path).unwrap()).unwrap(),
    }
}

#[test]
fn no_masked_export_shows_a_number_a_name_or_an_account() {
    let (contracts, rules) = (contracts(), [rule()]);
    let folder = tempfile::tempdir().unwrap();
    let mut findings = plain(6);
    findings.push(case());
    let run = finished(folder.path(), findings);
    for profile in [Profile::Supervisor, Profile::Public] {
        for format in [Format::Xlsx, Format::Csv, Format::Parquet, Format::Ndjson] {
            for lang in [Lang::Zh, Lang::En] {
                let options =
                    ExportOptions { profile, format, lang, by_area: true, ..ExportOptions::default() };
                let out = tempfile::tempdir().unwrap();
                let files = export(&run, out.path(), &options, &catalogue(&contracts, &rules)).unwrap();
                assert!(!files.is_empty());
                for file in files {
                    let text = readable(&file.path);
                    assert!(!text.is_empty());
                    for secret in SECRETS.into_iter().chain(["赵小满"]) {
                        assert!(!text.contains(secret), "{secret} in {}:\n{text}", file.path.display());
                    }
                }
            }
        }
    }
}

#[test]
fn an_investigator_sees_everything_and_masked_is_the_default() {
    let (contracts, rules) = (contracts(), [rule()]);
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), vec![case()]);
    let options =
        ExportOptions { profile: Profile::Investigator, lang: Lang::Zh, ..ExportOptions::default() };
    let files = export(&run, &folder.path().join("full"), &options, &catalogue(&contracts, &rules)).unwrap();
    let text = readable(&files[0].path);
    for secret in SECRETS {
        // The date is shown as a spreadsheet date elsewhere; here it stands in a row's text.
        assert!(text.contains(secret), "{secret} not in\n{text}");
    }
    assert_eq!(ExportOptions::default().profile, Profile::Supervisor);
}

#[test]
fn a_masked_finding_still_tells_its_story() {
    let contracts = contracts();
    let masked = Masker::new(Profile::Supervisor, &contracts).finding(&case());
    assert_eq!(masked.subject_id, "8801**********002X");
    assert_eq!(masked.subject_name.as_deref(), Some("欧阳**"));
    assert_eq!(
        masked.message.zh,
        "欧阳**（8801**********002X）于 2025-03-01 死亡后，仍按月领取 5 个月养老金，转入账户 ****5678，联系人 林*，患有****"
    );
    let payment = &masked.evidence[1];
    assert_eq!(payment.columns["amount"], "2469.13");
    assert_eq!(payment.columns["period_month"], "2025-04-01");
    assert_eq!(payment.columns["payee_birth_date"], "1950-**-**");
    assert_eq!(payment.columns["remark"], "旧号8801********002，经手林*");
    assert_eq!((payment.file.as_str(), payment.row), ("pension_payments/2026.parquet", 17));
    assert_eq!(masked.measures["months"], "5");
    assert_eq!(masked.amount_fen, case().amount_fen);
    assert_eq!(masked.area_code.as_deref(), Some("880101"), "as exact as in the evidence");
    assert_eq!(masked.finding_id, "", "without names it has none: its own could be computed");
}

#[test]
fn firms_keep_their_names_and_accounts_do_not() {
    let masker = Masker::new(Profile::Supervisor, &[]);
    let firm = Finding {
        subject_type: SubjectType::Organisation,
        subject_id: "H8801001".to_owned(),
        subject_name: Some("城关镇卫生院".to_owned()),
        evidence: Vec::new(),
        counter_evidence: Vec::new(),
        ..case()
    };
    assert_eq!(masker.finding(&firm).subject_name.as_deref(), Some("城关镇卫生院"));
    assert_eq!(masker.finding(&firm).subject_id, "H8801001");
    let account =
        Finding { subject_type: SubjectType::Account, subject_id: fixture::ACCOUNT.to_owned(), ..firm };
    assert_eq!(masker.finding(&account).subject_id, "****5678");
}

#[test]
fn small_public_counts_are_withheld() {
    let (contracts, rules) = (contracts(), [rule()]);
    let folder = tempfile::tempdir().unwrap();
    let mut findings = plain(12);
    findings.push(case());
    let run = finished(folder.path(), findings);
    let options = ExportOptions {
        profile: Profile::Public,
        format: Format::Csv,
        lang: Lang::Zh,
        ..ExportOptions::default()
    };
    let files =
        export(&run, &folder.path().join("public"), &options, &catalogue(&contracts, &rules)).unwrap();
    let text = readable(&files[0].path);
    let lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().collect();
    assert_eq!(
        lines,
        [
            "\"规则\",\"疑点\",\"严重程度\",\"县（市、区）\",\"线索数\",\"涉及金额（元）\"",
            "\"PEN-03\",\"开具死亡证明后仍领取养老金\",\"高\",\"880101\",\"<3\",\"\"",
            "\"PEN-13\",\"同月重复发放养老金\",\"中\",\"880101\",\"<3\",\"\"",
            "\"PEN-13\",\"同月重复发放养老金\",\"中\",\"880102 北山县\",\"<3\",\"\"",
            "\"PEN-13\",\"同月重复发放养老金\",\"低\",\"880101\",\"4\",\"24.24\"",
            "\"PEN-13\",\"同月重复发放养老金\",\"低\",\"880102 北山县\",\"4\",\"24.24\"",
        ]
    );
    let rules = readable(&files[1].path);
    assert!(rules.contains("未评估") && rules.contains("缺少数据集 火化"), "{rules}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Wherever a number stands and whatever stands around it, it is not seen whole.
    #[test]
    fn a_number_in_any_text_is_masked(before in "[^0-9０-９]{0,12}", after in "[^0-9０-９Xx]{0,12}", digits in "[1-9][0-9]{14,18}") {
        let finding = Finding {
            message: mingcha_rules::Text { zh: format!("{before}{digits}{after}"), en: String::new() },
            evidence: vec![fixture::row("unknown", 1, &[("note", &format!("{before}{digits}{after}"))])],
            ..case()
        };
        let masked = Masker::new(Profile::Supervisor, &[]).finding(&finding);
        prop_assert!(!masked.message.zh.contains(&digits));
        prop_assert!(!masked.evidence[0].columns["note"].contains(&digits));
    }
}
