//! Bad extracts: each is named with its file, its row and its column, in the language of the user, and
//! nothing is left behind.

use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use tempfile::TempDir;

use crate::harness::{mingcha, names};

const PAYEES: &str = "身份证号,姓名,险种,待遇状态\n880101195001010015,甲某,170,1\n";

/// A folder of extracts that holds a good file and `files`.
fn extracts(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    for (name, bytes) in files {
        let path = data.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    dir
}

/// What prepare says in `lang`; the folder must hold the extracts and nothing else afterwards.
fn refused(dir: &Path, lang: &str) -> String {
    let told = mingcha(dir, &["prepare", "--data", "data", "--store", "store", "--lang", lang]);
    assert_eq!(told.code, Some(4), "{}", told.all());
    assert_eq!(told.out, "");
    assert_eq!(names(dir), ["data"], "something was left behind");
    told.err.trim_end().to_owned()
}

#[test]
fn good_extracts_are_stored_and_the_store_is_whole() {
    let dir = extracts(&[("pension_payees.csv", PAYEES.as_bytes())]);
    let told = mingcha(dir.path(), &["prepare", "--data", "data", "--store", "store", "--format", "json"])
        .well()
        .json();
    assert_eq!(told["persons"], 1);
    assert_eq!(told["datasets"]["pension_payees"]["rows_stored"], 1);
    assert_snapshot!(mingcha(dir.path(), &["verify", "--store", "store", "--lang", "zh"]).all(), @r"
    exit 0
    完整，与写出时一致：store（1 行）
    ");
}

#[test]
fn an_empty_file_is_refused_by_name() {
    let dir = extracts(&[("pension_payees.csv", PAYEES.as_bytes()), ("pension_payments.csv", b"")]);
    assert_snapshot!(refused(dir.path(), "zh"), @r"
    错误[MC602]: 需要某个数据集的文件，实际为0 字节的空文件
    --> pension_payments.csv
    建议: 请发送方重新导出
    ");
    assert_snapshot!(refused(dir.path(), "en"), @r"
    error[MC602]: wanted a file of a dataset, got an empty file of 0 bytes
    --> pension_payments.csv
    help: have it exported again
    ");
}

#[test]
fn a_truncated_parquet_file_is_refused_by_name() {
    let dir = extracts(&[
        ("pension_payees.csv", PAYEES.as_bytes()),
        ("pension_payments.parquet", b"PAR1\x15\x04\x15"),
    ]);
    assert_snapshot!(refused(dir.path(), "zh"), @r"
    错误[MC620]: 应为Parquet 文件，但无法读取（可能被截断或损坏）：EOF: Parquet file too small. Size is 7 but need 8
    --> pension_payments.parquet
    建议: 请发送方重新导出并核对文件大小
    ");
    assert_snapshot!(refused(dir.path(), "en"), @r"
    error[MC620]: wanted a Parquet file, got something that cannot be read (cut short or damaged?): EOF: Parquet file too small. Size is 7 but need 8
    --> pension_payments.parquet
    help: have it exported again and compare the sizes
    ");
}

#[test]
fn a_missing_column_is_named() {
    let dir =
        extracts(&[("pension_payees.csv", "身份证号,姓名,险种\n880101195001010015,甲某,170\n".as_bytes())]);
    assert_snapshot!(refused(dir.path(), "zh"), @r"
    错误[MC630]: 缺少必需的列「status」（待遇状态）
    --> pension_payees.csv
    建议: 请发送方补上这一列；表头不在第一行时，在映射中写明 header_row
    ");
    assert_snapshot!(refused(dir.path(), "en"), @r"
    error[MC630]: wanted the column `status` (Benefit status), got none
    --> pension_payees.csv
    help: ask for the column; where the headings are not in the first row, say header_row in the mapping
    ");
}

#[test]
fn a_heading_that_is_there_twice_is_refused() {
    let dir = extracts(&[(
        "pension_payees.csv",
        "身份证号,姓名,姓名,险种,待遇状态\n880101195001010015,甲某,乙某,170,1\n".as_bytes(),
    )]);
    assert_snapshot!(refused(dir.path(), "zh"), @r"
    错误[MC631]: 每个字段应只有一列，「姓名」出现了两次
    --> pension_payees.csv，“姓名”列
    建议: 删除或改名多余的一列后重新导出
    ");
    assert_snapshot!(refused(dir.path(), "en"), @r"
    error[MC631]: wanted one column for each field, got `姓名` twice
    --> pension_payees.csv, column 姓名
    help: remove or rename one of the columns and export again
    ");
}

#[test]
fn files_that_no_dataset_claims_or_that_are_unfinished_are_refused_all_at_once() {
    let dir = extracts(&[
        ("pension_payees.csv", PAYEES.as_bytes()),
        ("pension_payee.csv", PAYEES.as_bytes()),
        ("pension_payments.csv.part", b"x"),
        ("notes.docx", b"x"),
    ]);
    assert_snapshot!(refused(dir.path(), "zh"), @r"
    错误[MC604]: 需要某个数据集的文件，实际为不认识的文件类型
    --> notes.docx
    建议: 可用：parquet、csv、tsv、txt、xlsx、xls

    错误[MC605]: 需要某个数据集的文件，实际为没有数据集认领的文件
    --> pension_payee.csv
    建议: 是否应为 pension_payees？文件名或文件夹名须与数据集一致，也可写映射

    错误[MC603]: 需要某个数据集的文件，实际为隐藏、临时或未传完的文件
    --> pension_payments.csv.part
    建议: 等待传输完成，或删除它
    ");
    assert_snapshot!(refused(dir.path(), "en"), @r"
    error[MC604]: wanted a file of a dataset, got an unknown kind of file
    --> notes.docx
    help: known: parquet, csv, tsv, txt, xlsx, xls

    error[MC605]: wanted a file of a dataset, got a file that no dataset claims
    --> pension_payee.csv
    help: did you mean pension_payees? the file or its folder bears the name of the dataset, or a mapping says it

    error[MC603]: wanted a file of a dataset, got a hidden, temporary or unfinished file
    --> pension_payments.csv.part
    help: let the transfer finish, or delete it
    ");
}

#[test]
fn a_file_that_two_datasets_claim_is_refused() {
    let dir = extracts(&[("pension_payees/household_registry.csv", PAYEES.as_bytes())]);
    assert_snapshot!(refused(dir.path(), "zh"), @r"
    错误[MC606]: 需要某个数据集的文件，实际为被两个数据集认领的文件：pension_payees 与 household_registry
    --> pension_payees/household_registry.csv
    建议: 移动或改名，或在 mingcha.toml 中写明映射
    ");
}

#[test]
fn identity_numbers_stored_as_numbers_are_refused_and_can_be_accepted() {
    let rows: String = (0..1000).map(|_| "8.80101E+17,甲某,170,1\n").collect();
    let file = format!("身份证号,姓名,险种,待遇状态\n{rows}");
    let dir = extracts(&[("pension_payees.csv", file.as_bytes())]);
    assert_snapshot!(refused(dir.path(), "zh"), @r"
    错误[MC640]: 无效证件号码应不超过 2 %，实际为 100.0 %
    --> pension_payees.csv
    建议: 请发送方把证件号码列按文本重新导出；确认无误后可加 --accept-damaged-ids 逐行退回
    ");
    let told = mingcha(
        dir.path(),
        &["prepare", "--data", "data", "--store", "store", "--accept-damaged-ids", "--format", "json"],
    );
    let entry = &told.well().json()["datasets"]["pension_payees"];
    assert_eq!((entry["rows_in"].clone(), entry["rows_rejected"].clone()), (1000.into(), 1000.into()));
}

#[test]
fn bad_rows_go_to_the_rejects_and_the_rest_is_stored() {
    let file = format!(
        "{PAYEES}880101195001010022,乙某,170,1\n880101195002300014,丙某,170,1\n88010119500101004X,丁某,170,1,多\n"
    );
    let dir = extracts(&[("pension_payees.csv", file.as_bytes())]);
    let told = mingcha(dir.path(), &["prepare", "--data", "data", "--store", "store", "--format", "json"])
        .well()
        .json();
    let entry = &told["datasets"]["pension_payees"];
    let number = |name: &str| entry[name].as_u64().unwrap();
    assert_eq!(number("rows_in"), 4);
    assert_eq!(number("rows_in"), number("rows_stored") + number("rows_rejected"));
    assert!(number("rows_rejected") >= 2, "{entry}");
}

#[test]
fn gb18030_is_recognised() {
    let file: Vec<u8> = [
        &b"\xc9\xed\xb7\xdd\xd6\xa4\xba\xc5,\xd0\xd5\xc3\xfb,\xcf\xd5\xd6\xd6,\xb4\xfd\xd3\xf6\xd7\xb4\xcc\xac\n"[..],
        &b"880101195001010015,\xbc\xd7\xc4\xb3,170,1\n"[..],
    ]
    .concat();
    let dir = extracts(&[("pension_payees.csv", &file)]);
    let told = mingcha(dir.path(), &["prepare", "--data", "data", "--store", "store", "--format", "json"])
        .well()
        .json();
    assert_eq!(told["files"][0]["encoding"].as_str().unwrap().to_ascii_lowercase(), "gb18030");
}

#[test]
fn a_folder_that_is_not_there_and_a_store_that_is_none_are_named() {
    let dir = tempfile::tempdir().unwrap();
    assert_snapshot!(mingcha(dir.path(), &["prepare", "--data", "nowhere", "--store", "store", "--lang", "zh"]).all(), @r"
    exit 4
    错误[MC601]: 需要可以读取的文件或目录，实际无法读取：No such file or directory (os error 2)
    --> nowhere
    建议: 检查路径和权限
    ");
    assert_snapshot!(mingcha(dir.path(), &["run", "--store", "nowhere", "--as-of", "2026-10-31", "--out", "out", "--lang", "zh"]).all(), @r"
    exit 4
    错误[MC701]: 需要一个 mingcha 数据仓，实际无法识别：No such file or directory (os error 2)
    --> nowhere
    建议: 先执行 mingcha prepare
    ");
}

#[test]
fn a_second_preparation_says_what_it_read_and_what_it_took_over() {
    let dir = extracts(&[
        ("pension_payees.csv", PAYEES.as_bytes()),
        ("transit_rides.csv", b"card_no,tap_time\nK1,2026-01-01 08:00:00\n"),
    ]);
    let lines = |args: &[&str]| -> Vec<String> {
        let told =
            mingcha(dir.path(), &[&["prepare", "--data", "data", "--store", "store"], args].concat()).well();
        let known = |l: &&str| {
            ["pension", "transit", "read", "读取"].iter().any(|w| l.contains(w)) && !l.contains("rows in")
        };
        let words = |l: &str| l.split_whitespace().collect::<Vec<_>>().join(" ");
        told.out.lines().filter(known).map(words).collect()
    };
    let both = ["pension_payees 1 1 0 0 not given read", "transit_rides 1 1 0 1 not given read"];
    assert_eq!(lines(&[]), both);
    fs::write(dir.path().join("data/transit_rides.csv"), "card_no,tap_time\nK2,2026-01-01 08:00:00\n")
        .unwrap();
    let one = ["pension_payees 1 1 0 0 not given unchanged", both[1]];
    assert_eq!(lines(&[]), one);
    assert_eq!(
        lines(&["--lang", "zh"]),
        ["pension_payees 1 1 0 0 未注明 未变，沿用", "transit_rides 1 1 0 1 未注明 未变，沿用"]
    );
    assert_eq!(lines(&["--full"]), [both[0], both[1], "everything was read again, as asked"]);
    assert_eq!(lines(&["--full", "--lang", "zh"])[2], "按要求全部重新读取");
}

#[test]
fn a_store_of_another_version_is_refused() {
    let dir = extracts(&[("pension_payees.csv", PAYEES.as_bytes())]);
    mingcha(dir.path(), &["prepare", "--data", "data", "--store", "store"]).well();
    let manifest = dir.path().join("store/manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let changed = text.replacen("\"version\": 3", "\"version\": 99", 1);
    assert_ne!(text, changed, "the manifest has no version 3");
    fs::write(&manifest, changed).unwrap();
    assert_snapshot!(mingcha(dir.path(), &["verify", "--store", "store", "--lang", "zh"]).all(), @r"
    exit 4
    错误[MC702]: 需要版本 3 的数据仓，实际为版本 99
    --> store
    建议: 用本程序重新执行 mingcha prepare
    ");
    assert_snapshot!(mingcha(dir.path(), &["verify", "--store", "store"]).all(), @r"
    exit 4
    error[MC702]: wanted a store of version 3, got version 99
    --> store
    help: run `mingcha prepare` again with this program
    ");
}

#[test]
fn a_folder_of_somebody_else_is_never_replaced_by_a_store() {
    let dir = extracts(&[("pension_payees.csv", PAYEES.as_bytes())]);
    fs::create_dir(dir.path().join("mine")).unwrap();
    fs::write(dir.path().join("mine/letter.txt"), "x").unwrap();
    let told = mingcha(dir.path(), &["prepare", "--data", "data", "--store", "mine"]);
    assert_ne!(told.code, Some(0));
    assert_eq!(fs::read_to_string(dir.path().join("mine/letter.txt")).unwrap(), "x");
}

#[test]
fn a_file_named_in_the_configuration_is_read_as_it_says() {
    let file = "查询结果\n身份证号|姓名|险种|待遇状态\n880101195001010015|甲某|170|1\n";
    let dir = extracts(&[("社保局/名册.txt", file.as_bytes())]);
    let settings = "[[sources]]\npath = '社保局/*.txt'\ndataset = 'pension_payees'\ndelimiter = '|'\nheader_row = 2\nas_of = 2026-10-31\n";
    fs::write(dir.path().join("mingcha.toml"), settings).unwrap();
    let told = mingcha(dir.path(), &["prepare", "--data", "data", "--store", "store", "--format", "json"])
        .well()
        .json();
    assert_eq!(told["datasets"]["pension_payees"]["rows_stored"], 1);
    assert_eq!(told["datasets"]["pension_payees"]["as_of"], "2026-10-31");
}

#[test]
fn rows_of_two_files_are_refused_unless_the_configuration_takes_them_for_records_of_their_own() {
    let head = "身份证号,险种,待遇项目,费款所属期,发放金额,支付状态\n";
    let lines = |months: std::ops::Range<u32>| {
        months
            .map(|m| format!("880101195001010015,170,基础养老金,2025{m:02},200.00,已支付\n"))
            .collect::<String>()
    };
    let (half, quarter) = (head.to_owned() + &lines(1..7), head.to_owned() + &lines(4..7));
    let dir = extracts(&[
        ("pension_payments-2025上半年.csv", half.as_bytes()),
        ("pension_payments-2025二季度.csv", quarter.as_bytes()),
    ]);
    assert_snapshot!(refused(dir.path(), "zh"), @r#"
    错误[MC664]: 同一数据集的两个文件不应有相同的行，实际有 3 行与 pension_payments-2025上半年.csv 的行完全相同（占较小文件的 100.0 %）：本文件数据第 1、2、3 行，即该文件数据第 4、5、6 行
    --> pension_payments-2025二季度.csv
    建议: 这些行会算两次：请发送方提供互不重叠的文件，或删去重复的部分；确为各自独立的记录时，在 mingcha.toml 中写明：
          [[sources]]
          path = "pension_payments-2025二季度.csv"
          overlap = "accept"
    "#);
    assert_snapshot!(refused(dir.path(), "en"), @r#"
    error[MC664]: wanted no row in two files of one dataset, got 3 that stand in pension_payments-2025上半年.csv as well (100.0 % of the smaller file): data rows 1, 2, 3 here are data rows 4, 5, 6 there
    --> pension_payments-2025二季度.csv
    help: they would count twice: have files delivered that do not overlap, or take the rows out of one; where they are records of their own, say it in mingcha.toml:
          [[sources]]
          path = "pension_payments-2025二季度.csv"
          overlap = "accept"
    "#);
    let settings = "[[sources]]\npath = \"pension_payments-2025二季度.csv\"\noverlap = \"accept\"\n";
    fs::write(dir.path().join("mingcha.toml"), settings).unwrap();
    let told = mingcha(dir.path(), &["prepare", "--data", "data", "--store", "store", "--format", "json"])
        .well()
        .json();
    assert_eq!(told["datasets"]["pension_payments"]["rows_stored"], 9);
    let remark = told["warnings"][0]["message"]["en"].as_str().unwrap();
    assert!(remark.contains("got 3 that stand in pension_payments-2025上半年.csv"), "{told}");
    fs::write(dir.path().join("mingcha.toml"), settings.replace("accept", "once")).unwrap();
    let told = mingcha(dir.path(), &["prepare", "--data", "data", "--store", "store", "--lang", "en"]);
    assert_eq!(told.code, Some(2), "{}", told.all());
    assert!(told.err.contains("`accept`"), "{}", told.all());
}
