//! Preparation seen from outside: extracts in, store out. All people here are invented (reserved area codes).
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Date64Array, Decimal128Array, DictionaryArray,
    Float64Array, Int64Array, LargeStringArray, RecordBatch, StringArray, StringViewArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field as ArrowField, Int32Type, Schema};
use chrono::NaiveDate;
use mingcha_intake::{
    FileMapping, MemoryTables, Part, PrepareOptions, Prepared, Quiet, Store, Tables, identity, prepare,
};
use mingcha_rules::{Contract, Diagnostic, Lang};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde_json::json;
use tempfile::TempDir;

// ---------------------------------------------------------------- the small world

fn contracts() -> Vec<Contract> {
    let text = |zh: &str, en: &str| json!({"zh": zh, "en": en});
    let field = |name: &str, zh: &str, ty: &str, more: serde_json::Value| {
        let mut out = json!({"name": name, "title": text(zh, &name.replace('_', " ")), "type": ty});
        if let (Some(out), Some(more)) = (out.as_object_mut(), more.as_object()) {
            out.extend(more.clone());
        }
        out
    };
    let yes = json!({"required": true});
    let codes = json!({"codes": {"1": {"zh": "男", "en": "male"}, "2": {"zh": "女", "en": "female", "aliases": ["F"]}}});
    let all = json!([
        {"name": "payments", "title": text("发放明细", "Payments"), "description": text("一行一笔", "one payment a row"),
         "person": "id_number", "key": ["id_number", "month", "account_no"], "max_age_days": 35, "fields": [
            field("id_number", "身份证号", "id", json!({"required": true, "aliases": ["公民身份号码"]})),
            field("name", "姓名", "text", yes.clone()),
            field("sex", "性别", "code", codes.clone()),
            field("birth_date", "出生日期", "date", json!({})),
            field("area_code", "行政区划", "area", json!({"on_bad_value": "drop_value"})),
            field("month", "费款所属期", "month", yes.clone()),
            field("amount", "金额", "money", json!({"required": true, "aliases": ["发放金额"]})),
            field("seen", "就诊时间", "datetime", json!({})),
            field("account_no", "银行账号", "text", json!({"pii": "financial"})),
            field("times", "次数", "int", json!({})),
            field("rate", "比例", "decimal", json!({})),
            field("ok", "已核", "bool", json!({})),
        ]},
        {"name": "cards", "title": text("公交卡年审", "Cards"), "description": text("卡", "cards"), "person": "id_number",
         "max_age_days": 35, "fields": [
            field("card_no", "卡号", "text", yes.clone()), field("id_number", "身份证号", "id", yes.clone()),
        ]},
        {"name": "rides", "title": text("刷卡", "Rides"), "description": text("刷卡", "taps"),
         "person": {"dataset": "cards", "on": "card_no"}, "max_age_days": 35, "fields": [
            field("card_no", "卡号", "text", yes.clone()), field("line", "线路", "text", json!({})),
        ]},
        {"name": "certificates", "title": text("死亡证明", "Certificates"), "description": text("证明", "certificates"),
         "person": "id_number", "key": ["certificate_no", "version"],
         "versions": {"key": "certificate_no", "by": "version"}, "max_age_days": 35, "fields": [
            field("certificate_no", "证明编号", "text", yes.clone()), field("version", "版本", "int", json!({})),
            field("id_number", "身份证号", "id", json!({})), field("name", "姓名", "text", json!({})),
            field("kin_id_number", "亲属身份证号", "id", json!({})),
        ]},
        {"name": "coverage", "title": text("数据覆盖", "Coverage"), "description": text("覆盖", "coverage"),
         "key": ["area_code", "month"], "max_age_days": 35, "fields": [
            field("area_code", "行政区划", "area", yes.clone()), field("month", "年月", "month", yes.clone()),
            field("delivered", "已提供", "bool", json!({})),
        ]},
    ]);
    serde_json::from_value(all).unwrap()
}

fn person(n: u16) -> String {
    identity::make(
        "880101",
        NaiveDate::from_ymd_opt(1940, 1 + u32::from(n % 12), 1 + u32::from(n % 28)).unwrap(),
        n,
    )
}

const HEADINGS: [&str; 12] = [
    "身份证号",
    "姓名",
    "性别",
    "出生日期",
    "行政区划",
    "费款所属期",
    "金额",
    "就诊时间",
    "银行账号",
    "次数",
    "比例",
    "已核",
];

/// Clean rows, in the plain spelling.
fn rows(n: u16) -> Vec<Vec<String>> {
    (0..n)
        .map(|i| {
            let p = i * 7 % n.max(1) / 3;
            vec![
                person(p),
                format!("张某{}", ["甲", "乙", "丙"][usize::from(p % 3)]),
                if p % 2 == 1 { "1" } else { "2" }.to_owned(),
                format!("1940-{:02}-{:02}", 1 + p % 12, 1 + p % 28),
                format!("8801{:02}", p % 90),
                format!("2025{:02}", 1 + i % 12),
                format!("{}.{:02}", 100 + i, i % 100),
                format!("2025-03-{:02} 08:{:02}:00", 1 + i % 28, i % 60),
                format!("62000000000000{:05}", i),
                (i % 5).to_string(),
                format!("0.{:04}", i),
                (i % 2).to_string(),
            ]
        })
        .collect()
}

fn delimited(headings: &[&str], rows: &[Vec<String>], delimiter: &str) -> String {
    let mut out = vec![headings.join(delimiter)];
    out.extend(rows.iter().map(|r| r.join(delimiter)));
    out.join("\r\n") + "\r\n"
}

struct World {
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        Self { dir }
    }

    fn with(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let path = self.data().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("in")
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn options(&self) -> PrepareOptions {
        PrepareOptions { threads: Some(2), ..PrepareOptions::new(self.data(), self.store(), contracts()) }
    }

    fn run(&self) -> Prepared {
        prepare(&self.options(), &Quiet).unwrap_or_else(|e| panic!("{e:#?}"))
    }

    fn faults(&self) -> Vec<Diagnostic> {
        let faults = prepare(&self.options(), &Quiet).expect_err("this must be refused");
        self.left_nothing();
        faults
    }

    fn left_nothing(&self) {
        let left: Vec<_> = fs::read_dir(self.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["in"], "something was left behind");
    }

    fn open(&self) -> Store {
        Store::open(self.store()).unwrap()
    }
}

fn payments(rows: &[Vec<String>]) -> String {
    delimited(&HEADINGS, rows, ",")
}

/// All rows of a part as text, column by column.
fn dump(tables: &dyn Tables, dataset: &str, part: Part, columns: &[&str]) -> Vec<Vec<Option<String>>> {
    let mut out = Vec::new();
    for batch in tables.read(dataset, part, columns).unwrap() {
        let texts: Vec<ArrayRef> =
            batch.columns().iter().map(|c| cast(c, &DataType::Utf8).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let cell = |c: &ArrayRef| c.is_valid(row).then(|| c.as_string::<i32>().value(row).to_owned());
            out.push(texts.iter().map(cell).collect());
        }
    }
    out
}

fn all_shards(store: &Store, dataset: &str, columns: &[&str]) -> Vec<Vec<Option<String>>> {
    (0..store.n_shards()).flat_map(|s| dump(store, dataset, Part::Shard(s), columns)).collect()
}

const COLUMNS: [&str; 14] = [
    "pid",
    "id_number",
    "name",
    "sex",
    "birth_date",
    "area_code",
    "month",
    "amount",
    "seen",
    "account_no",
    "times",
    "rate",
    "ok",
    "id_length",
];

fn prepared_rows(world: &World) -> Vec<Vec<Option<String>>> {
    world.run();
    let store = world.open();
    assert_eq!(store.verify(), []);
    let mut all = all_shards(&store, "payments", &COLUMNS);
    all.sort();
    all
}

fn reasons(store: &Store) -> Vec<(String, String, String)> {
    dump(store, "rejects", Part::Whole, &["reason", "outcome", "field"])
        .into_iter()
        .map(|r| {
            let mut cells = r.into_iter().map(Option::unwrap_or_default);
            (cells.next().unwrap(), cells.next().unwrap(), cells.next().unwrap())
        })
        .collect()
}

// ---------------------------------------------------------------- the store

/// Every way to cut the persons of a shard into pieces of `step`, put together again.
fn slices(
    tables: &dyn Tables,
    dataset: &str,
    shard: usize,
    step: i32,
    columns: &[&str],
) -> Vec<Vec<Option<String>>> {
    let (first, end) = tables.shard_persons(shard).unwrap();
    let mut out = Vec::new();
    let mut from = first;
    while from < end {
        let to = (from + step).min(end);
        out.extend(dump(tables, dataset, Part::Slice { shard, from, to }, columns));
        from = to;
    }
    out
}

#[test]
fn the_slices_of_a_shard_put_together_are_the_shard() {
    // One person has more rows than two samples of the row offsets, another one begins right behind.
    let mut given = rows(300);
    let busy = given[20].clone();
    given.extend((0..9_000).map(|i| {
        let mut row = busy.clone();
        row[8] = format!("7{i:015}");
        row
    }));
    let cards = delimited(&["卡号", "身份证号"], &[vec!["A1".into(), person(3)]], ",");
    let rides =
        delimited(&["卡号", "线路"], &[vec!["A1".into(), "1".into()], vec!["Z1".into(), "2".into()]], ",");
    let world = World::new()
        .with("payments.csv", payments(&given))
        .with("cards.csv", cards)
        .with("rides.csv", rides)
        .with(
            "coverage.csv",
            delimited(&["行政区划", "年月"], &[vec!["880101".into(), "202501".into()]], ","),
        );
    for shards in [1, 3, 7] {
        prepare(&PrepareOptions { shards: Some(shards), ..world.options() }, &Quiet).unwrap();
        let store = world.open();
        for shard in 0..shards {
            for (dataset, columns) in [
                ("payments", &["id_number", "src", "amount", "account_no", "month"][..]),
                ("payments", &["pid", "name"][..]),
                ("cards", &["card_no", "id_number"][..]),
                ("rides", &["line", "id_number"][..]),
                ("persons", &["pid", "id_number", "id_birth_date"][..]),
            ] {
                let whole = dump(&store, dataset, Part::Shard(shard), columns);
                assert_eq!(store.part_rows(dataset, shard), Some(whole.len() as u64));
                for step in [1, 2, 5, 1_000] {
                    assert_eq!(
                        slices(&store, dataset, shard, step, columns),
                        whole,
                        "{dataset} {shard} {step}"
                    );
                }
            }
            // Rows can be counted without a column.
            let (from, to) = store.shard_persons(shard).unwrap();
            let counted = store.read("payments", Part::Slice { shard, from, to }, &[]).unwrap();
            let counted: usize = counted.iter().map(RecordBatch::num_rows).sum();
            assert_eq!(store.part_rows("payments", shard), Some(counted as u64));
            for at in [from, to] {
                let none = store.read("payments", Part::Slice { shard, from: at, to: at }, &["src"]).unwrap();
                assert_eq!((none.len(), none[0].num_rows()), (1, 0), "an empty slice has one empty batch");
            }
            for (from, to) in [(from - 1, to), (from, to + 1), (to, from)] {
                let outside = store.read("payments", Part::Slice { shard, from, to }, &["src"]);
                assert_eq!(outside.unwrap_err().code, "MC708");
            }
        }
        let none = Part::Slice { shard: shards, from: 0, to: 0 };
        assert_eq!(store.read("payments", none, &["src"]).unwrap_err().code, "MC708");
        let none = Part::Slice { shard: 0, from: 0, to: 0 };
        assert_eq!(store.read("coverage", none, &["src"]).unwrap_err().code, "MC708");
        assert_eq!((store.shard_persons(shards), store.part_rows("payments", shards)), (None, None));
        assert_eq!((store.part_rows("coverage", 0), store.part_rows("nothing", 0)), (None, None));
        assert_eq!(store.part_digest("payments", none), None);
        for (dataset, part) in
            [("payments", Part::Shard(0)), ("rides", Part::Unassigned), ("coverage", Part::Whole)]
        {
            let entry = &store.manifest().datasets[dataset];
            let file =
                if part == Part::Unassigned { entry.unassigned.as_ref().unwrap() } else { &entry.files[0] };
            assert_eq!(store.part_digest(dataset, part).as_ref(), Some(&file.sha256));
        }
    }
}

#[test]
fn a_number_that_stands_twice_in_the_index_is_found() {
    let world = World::new().with("payments.csv", payments(&rows(60)));
    world.run();
    let store = world.open();
    let schema = mingcha_intake::builtin_schema("persons").unwrap();
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let mut columns = store.read("persons", Part::Shard(0), &names).unwrap().remove(0).columns().to_vec();
    // The second half repeats the numbers of the first, and ascends like it.
    let half = store.n_persons() as u32 / 2;
    let places: arrow::array::UInt32Array = (0..2 * half).map(|i| i % half).collect();
    for (name, column) in names.iter().zip(&mut columns) {
        *column = if *name == "pid" {
            column.slice(0, 2 * half as usize)
        } else {
            arrow::compute::take(column, &places, None).unwrap()
        };
    }
    let path = world.store().join("persons/0000.parquet");
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(&path).unwrap(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let digest: String = {
        use sha2::Digest;
        sha2::Sha256::digest(fs::read(&path).unwrap()).iter().map(|b| format!("{b:02x}")).collect()
    };
    let manifest = world.store().join("manifest.json");
    let mut text: serde_json::Value = serde_json::from_str(&fs::read_to_string(&manifest).unwrap()).unwrap();
    text["person_files"][0]["sha256"] = digest.into();
    text["person_runs"] = json!([0, half]);
    text["persons"] = json!(2 * half);
    text["shards"][0]["pid_to"] = json!(2 * half);
    fs::write(&manifest, text.to_string()).unwrap();
    let faults = world.open().verify();
    assert!(
        faults.iter().any(|f| f.code == "MC706" && f.place.file.as_ref().unwrap().ends_with("persons")),
        "{faults:?}"
    );
}

#[test]
fn a_damaged_file_is_refused_slice_by_slice_too() {
    let world = World::new().with("payments.csv", payments(&rows(60)));
    world.run();
    let path = world.store().join("payments/0000.parquet");
    let mut bytes = fs::read(&path).unwrap();
    bytes[40] ^= 1;
    fs::write(&path, bytes).unwrap();
    let slice = Part::Slice { shard: 0, from: 0, to: 1 };
    assert_eq!(world.open().read("payments", slice, &["amount"]).unwrap_err().code, "MC705");
}

#[test]
fn rows_in_are_rows_stored_plus_rows_rejected_and_every_row_is_found_again() {
    let mut given = rows(60);
    given[3][0] = "880101194001010000".to_owned();
    given[4][6] = "12.345".to_owned();
    let world = World::new().with("payments.csv", payments(&given));
    let done = world.run();
    let entry = &done.manifest.datasets["payments"];
    assert_eq!((entry.rows_in, entry.rows_stored, entry.rows_rejected), (60, 58, 2));
    assert_eq!(entry.rows_unassigned, 0);
    let file = &done.manifest.files[0];
    assert_eq!((file.rows, file.rows_stored, file.rows_rejected), (60, 58, 2));
    assert_eq!((file.format.as_str(), file.encoding.as_deref()), ("csv", Some("utf-8")));
    let store = world.open();
    assert_eq!(store.verify(), []);
    assert_eq!(store.rows("payments"), Some(58));
    for row in all_shards(&store, "payments", &["src", "id_number", "amount"]) {
        let place = store.locate(row[0].as_ref().unwrap().parse().unwrap()).unwrap();
        assert_eq!((place.dataset.as_str(), place.file.as_str()), ("payments", "payments.csv"));
        let raw = &given[place.row as usize - 1];
        assert_eq!((row[1].as_ref(), row[2].as_ref()), (Some(&raw[0]), Some(&raw[6])));
    }
    assert_eq!(store.rows("rejects"), Some(2));
    assert!(store.rows("cards").is_none());
}

#[test]
fn the_columns_come_in_the_order_and_the_types_of_the_schema() {
    let world = World::new().with("payments.csv", payments(&rows(10)));
    world.run();
    let store = world.open();
    let contract = contracts().remove(0);
    let schema = mingcha_intake::sql_schema(&contract);
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names[..4], ["pid", "src", "id_number", "name"]);
    assert_eq!(names.last(), Some(&"id_length"));
    let batches = store.read("payments", Part::Shard(0), &names).unwrap();
    assert_eq!(batches[0].schema(), schema);
    let few = store.read("payments", Part::Shard(0), &["amount", "src"]).unwrap();
    assert_eq!(few[0].schema().field(0).name(), "amount");
    let none = store.read("payments", Part::Shard(0), &[]).unwrap();
    assert_eq!(none.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
    assert_eq!(store.read("payments", Part::Shard(0), &["nothing"]).unwrap_err().code, "MC708");
    assert_eq!(store.read("payments", Part::Whole, &["src"]).unwrap_err().code, "MC708");
    assert_eq!(store.read("cards", Part::Shard(0), &["src"]).unwrap_err().code, "MC708");
}

#[test]
fn persons_are_dense_sorted_and_answer_for_their_number() {
    let world = World::new().with("payments.csv", payments(&rows(40)));
    world.run();
    let store = world.open();
    let persons = dump(
        &store,
        "persons",
        Part::Shard(0),
        &["pid", "id_number", "id_kind", "id_birth_date", "id_sex", "id_area_code"],
    );
    assert_eq!(persons.len() as u64, store.n_persons());
    for (pid, row) in persons.iter().enumerate() {
        assert_eq!(row[0].as_deref(), Some(pid.to_string().as_str()));
        assert_eq!(store.id_number(pid as i32).unwrap(), row[1]);
        assert_eq!((row[2].as_deref(), row[5].as_deref()), (Some("reserved"), Some("880101")));
    }
    assert!(persons.windows(2).all(|w| w[0][1] < w[1][1]));
    assert_eq!(store.id_number(-1).unwrap(), None);
    assert_eq!(store.id_number(9999).unwrap(), None);
}

#[test]
fn shards_and_memory_change_nothing_but_the_files() {
    let given = rows(500);
    let dumps: Vec<_> = [(1, 1 << 30), (7, 1 << 30), (7, 1), (64, 20_000)]
        .into_iter()
        .map(|(shards, memory)| {
            let world = World::new().with("payments.csv", payments(&given));
            let options = PrepareOptions { shards: Some(shards), memory_bytes: memory, ..world.options() };
            prepare(&options, &Quiet).unwrap();
            let store = world.open();
            assert_eq!(store.n_shards(), shards);
            assert_eq!(store.verify(), []);
            let mut columns = COLUMNS.to_vec();
            columns.push("src");
            all_shards(&store, "payments", &columns)
        })
        .collect();
    assert_eq!(dumps[0].len(), 500);
    for other in &dumps[1..] {
        assert_eq!(&dumps[0], other);
    }
}

#[test]
fn little_memory_makes_more_shards_and_the_same_rows() {
    let world = World::new().with("payments.csv", payments(&rows(500)));
    let options = PrepareOptions { memory_bytes: 8_000, ..world.options() };
    let done = prepare(&options, &Quiet).unwrap();
    assert!(done.manifest.shards.len() > 1);
    assert_eq!(world.open().verify(), []);
}

#[test]
fn many_small_files_are_one_big_file() {
    let given = rows(120);
    let one = prepared_rows(&World::new().with("payments.csv", payments(&given)));
    let mut many = World::new();
    for (i, part) in given.chunks(11).enumerate() {
        many = many.with(&format!("payments/{i:02}.csv"), payments(part));
    }
    assert_eq!(one, prepared_rows(&many));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let make = || {
        let world = World::new().with("payments.csv", payments(&rows(300))).with("cards.csv", cards());
        world.run();
        let files =
            ["manifest.json", "quality.json", "quality.txt", "rejects.parquet", "payments/0000.parquet"];
        files.map(|f| fs::read(world.store().join(f)).unwrap())
    };
    assert_eq!(make(), make());
}

#[test]
fn a_damaged_store_is_refused_wherever_the_bit_flips() {
    let world = World::new().with("payments.csv", payments(&rows(50)));
    world.run();
    let file = world.store().join("payments/0000.parquet");
    let good = fs::read(&file).unwrap();
    for at in (0..good.len()).step_by(good.len() / 60 + 1) {
        let mut bad = good.clone();
        bad[at] ^= 4;
        fs::write(&file, &bad).unwrap();
        let store = world.open();
        assert_eq!(store.read("payments", Part::Shard(0), &["amount"]).unwrap_err().code, "MC705");
        assert_eq!(store.verify().len(), 1);
    }
    fs::remove_file(&file).unwrap();
    assert_eq!(world.open().read("payments", Part::Shard(0), &["amount"]).unwrap_err().code, "MC705");
}

#[test]
fn a_store_is_replaced_as_a_whole_and_nothing_else_is_overwritten() {
    let world = World::new().with("payments.csv", payments(&rows(20)));
    world.run();
    // Something of somebody else's in it would go along.
    fs::write(world.store().join("extra"), "x").unwrap();
    assert_eq!(prepare(&world.options(), &Quiet).unwrap_err()[0].code, "MC703");
    assert!(world.store().join("extra").exists());
    fs::remove_file(world.store().join("extra")).unwrap();
    world.run();
    assert!(!world.store().join("runs").exists());
    let left = fs::read_dir(world.dir.path()).unwrap().count();
    assert_eq!(left, 2, "only the extracts and the store");
    fs::remove_dir_all(world.store()).unwrap();
    fs::create_dir(world.store()).unwrap();
    fs::write(world.store().join("thesis.doc"), "x").unwrap();
    assert_eq!(prepare(&world.options(), &Quiet).unwrap_err()[0].code, "MC703");
    assert!(world.store().join("thesis.doc").exists());
}

#[test]
fn a_store_of_another_version_and_no_store_at_all_are_told_apart() {
    let world = World::new().with("payments.csv", payments(&rows(5)));
    world.run();
    let manifest = world.store().join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap().replace("\"version\": 3", "\"version\": 99");
    fs::write(&manifest, text).unwrap();
    assert_eq!(Store::open(world.store()).unwrap_err().code, "MC702");
    fs::write(&manifest, "{}").unwrap();
    assert_eq!(Store::open(world.store()).unwrap_err().code, "MC701");
    assert_eq!(Store::open(world.dir.path().join("nowhere")).unwrap_err().code, "MC701");
}

// ---------------------------------------------------------------- formats and encodings

#[test]
fn encodings_and_delimiters_change_nothing() {
    let given = rows(80);
    let text = payments(&given);
    let expected = prepared_rows(&World::new().with("payments.csv", &text));
    assert_eq!(expected.len(), 80);
    let gb = encoding_rs::GB18030.encode(&text).0.into_owned();
    let bom = [b"\xef\xbb\xbf".as_slice(), text.as_bytes()].concat();
    let utf16: Vec<u8> =
        [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    for (name, bytes) in [
        ("payments.csv", gb),
        ("payments.csv", bom),
        ("payments.txt", utf16),
        ("payments.tsv", delimited(&HEADINGS, &given, "\t").into_bytes()),
        ("payments-2025.csv", delimited(&HEADINGS, &given, ";").into_bytes()),
        ("payments_2025.CSV", delimited(&HEADINGS, &given, "|").into_bytes()),
        ("发放明细.csv", text.replace("\r\n", "\n").into_bytes()),
        ("发放明细/一月.csv", text.clone().into_bytes()),
    ] {
        assert_eq!(expected, prepared_rows(&World::new().with(name, &bytes)), "{name}");
    }
}

#[test]
fn the_spelling_of_values_changes_nothing() {
    let given = rows(40);
    let expected = prepared_rows(&World::new().with("payments.csv", payments(&given)));
    let mut other = given.clone();
    for (i, row) in other.iter_mut().enumerate() {
        row[0] = match i % 4 {
            0 => format!("'{}", row[0]),
            1 => row[0].to_lowercase(),
            2 => format!("{}\u{200b}", row[0]),
            _ => format!("\"=\"\"{}\"\"\"", row[0]),
        };
        row[1] = format!(" {}\u{3000}", row[1]);
        row[2] = if row[2] == "1" { "男" } else { ["女", "female", "F", "２"][i % 4] }.to_owned();
        let day = row[3].clone();
        row[3] = match i % 5 {
            0 => day.replace('-', ""),
            1 => day.replace('-', "/"),
            2 => day.replace('-', "."),
            3 => format!("{day} 00:00:00"),
            _ => format!("{}年{}月{}日", &day[..4], &day[5..7], &day[8..]),
        };
        row[5] = match i % 3 {
            0 => format!("{}-{}", &row[5][..4], &row[5][4..]),
            1 => format!("{}年{}月", &row[5][..4], &row[5][4..]),
            _ => format!("{}01", row[5]),
        };
        row[6] = if i % 2 == 0 { format!("¥{}00", row[6]) } else { format!("{}元", row[6]) };
        row[7] = row[7].replace(' ', "T");
        row[11] = if row[11] == "1" { "是" } else { "否" }.to_owned();
    }
    assert_eq!(expected, prepared_rows(&World::new().with("payments.csv", payments(&other))));
}

fn workbook(headings: &[&str], rows: &[Vec<String>], typed: bool) -> Vec<u8> {
    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet();
    let date = rust_xlsxwriter::Format::new().set_num_format("yyyy-mm-dd");
    let moment = rust_xlsxwriter::Format::new().set_num_format("yyyy-mm-dd hh:mm:ss");
    for (c, heading) in headings.iter().enumerate() {
        sheet.write_string(0, c as u16, *heading).unwrap();
    }
    for (r, row) in (1u32..).zip(rows) {
        for (c, value) in row.iter().enumerate() {
            let column = c as u16;
            match (typed, c) {
                (true, 3) => {
                    let day = rust_xlsxwriter::ExcelDateTime::parse_from_str(value).unwrap();
                    sheet.write_datetime_with_format(r, column, day, &date).unwrap();
                }
                (true, 7) => {
                    let at = rust_xlsxwriter::ExcelDateTime::parse_from_str(value).unwrap();
                    sheet.write_datetime_with_format(r, column, at, &moment).unwrap();
                }
                (true, 2 | 4 | 5 | 6 | 9 | 10) => {
                    sheet.write_number(r, column, value.parse::<f64>().unwrap()).unwrap();
                }
                (true, 11) => {
                    sheet.write_boolean(r, column, value == "1").unwrap();
                }
                _ => {
                    sheet.write_string(r, column, value).unwrap();
                }
            }
        }
    }
    book.save_to_buffer().unwrap()
}

#[test]
fn workbooks_with_typed_cells_and_with_text_give_the_same_rows() {
    let given = rows(60);
    let expected = prepared_rows(&World::new().with("payments.csv", payments(&given)));
    for typed in [true, false] {
        let world = World::new().with("payments.xlsx", workbook(&HEADINGS, &given, typed));
        assert_eq!(expected, prepared_rows(&world), "typed cells: {typed}");
    }
}

#[test]
fn rows_of_a_workbook_keep_their_number_over_blank_rows_and_titles() {
    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet();
    sheet.set_name("名册").unwrap();
    sheet.write_string(0, 0, "二〇二五年名册").unwrap();
    for (c, heading) in ["卡号", "身份证号"].iter().enumerate() {
        sheet.write_string(1, c as u16, *heading).unwrap();
    }
    for (r, n) in [(2u32, 1u16), (5, 2)] {
        sheet.write_string(r, 0, format!("C{n}")).unwrap();
        sheet.write_string(r, 1, person(n)).unwrap();
    }
    let other = book.add_worksheet();
    other.write_string(0, 0, "说明").unwrap();
    let world = World::new().with("cards.xlsx", book.save_to_buffer().unwrap());
    assert_eq!(codes(&world.faults()), ["MC639"], "titles above the headings are not guessed");
    let mut options = world.options();
    options.mappings =
        vec![FileMapping { pattern: "cards.xlsx".into(), header_row: Some(2), ..FileMapping::default() }];
    let done = prepare(&options, &Quiet).unwrap();
    assert_eq!(done.manifest.files[0].sheet.as_deref(), Some("名册"));
    assert_eq!((done.manifest.files[0].rows, done.manifest.files[0].rows_blank), (2, 2));
    assert!(done.warnings.iter().any(|w| w.code == "MC625"));
    let store = world.open();
    let mut places: Vec<u64> = all_shards(&store, "cards", &["src"])
        .into_iter()
        .map(|r| store.locate(r[0].as_ref().unwrap().parse().unwrap()).unwrap().row)
        .collect();
    places.sort_unstable();
    assert_eq!(places, [1, 4]);
}

/// The rows as Arrow columns, in one of several guises.
fn columns_as(rows: &[Vec<String>], guise: usize) -> Vec<ArrayRef> {
    let column = |c: usize| rows.iter().map(move |r| r[c].as_str());
    let text = |c: usize| -> ArrayRef {
        match guise % 4 {
            0 => Arc::new(StringArray::from_iter_values(column(c))),
            1 => Arc::new(LargeStringArray::from_iter_values(column(c))),
            2 => Arc::new(StringViewArray::from_iter_values(column(c))),
            _ => Arc::new(column(c).collect::<DictionaryArray<Int32Type>>()),
        }
    };
    let day = |s: &str| NaiveDate::parse_from_str(s, "%Y-%m-%d").unwrap();
    let birth = |r: &Vec<String>| day(&r[3]);
    let seconds = |d: NaiveDate| d.and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp();
    let seen = |r: &Vec<String>| {
        chrono::NaiveDateTime::parse_from_str(&r[7], "%Y-%m-%d %H:%M:%S").unwrap().and_utc().timestamp()
    };
    let births: ArrayRef = match guise {
        0 => Arc::new(Date32Array::from_iter_values(rows.iter().map(|r| birth(r).to_epoch_days()))),
        1 => Arc::new(Date64Array::from_iter_values(rows.iter().map(|r| seconds(birth(r)) * 1000))),
        2 => Arc::new(TimestampMicrosecondArray::from_iter_values(
            rows.iter().map(|r| seconds(birth(r)) * 1_000_000),
        )),
        3 => Arc::new(Int64Array::from_iter_values(
            rows.iter().map(|r| r[3].replace('-', "").parse::<i64>().unwrap()),
        )),
        _ => text(3),
    };
    let seens: ArrayRef = match guise {
        0 => {
            Arc::new(TimestampNanosecondArray::from_iter_values(rows.iter().map(|r| seen(r) * 1_000_000_000)))
        }
        1 => Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|r| seen(r) * 1_000))),
        2 => Arc::new(TimestampSecondArray::from_iter_values(rows.iter().map(seen))),
        3 => Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| seen(r) * 1_000_000))),
        _ => text(7),
    };
    let fen = |r: &Vec<String>| r[6].replace('.', "").parse::<i128>().unwrap();
    let amounts: ArrayRef = match guise {
        0 => Arc::new(
            Decimal128Array::from_iter_values(rows.iter().map(fen)).with_precision_and_scale(14, 2).unwrap(),
        ),
        1 => Arc::new(
            Decimal128Array::from_iter_values(rows.iter().map(|r| fen(r) * 100))
                .with_precision_and_scale(20, 4)
                .unwrap(),
        ),
        2 => Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r[6].parse::<f64>().unwrap()))),
        _ => text(6),
    };
    let integer = |c: usize| -> ArrayRef {
        if guise == 4 {
            text(c)
        } else {
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r[c].parse::<i64>().unwrap())))
        }
    };
    let flags: ArrayRef = if guise == 0 {
        Arc::new(BooleanArray::from_iter(rows.iter().map(|r| Some(r[11] == "1"))))
    } else {
        integer(11)
    };
    let months = if guise == 3 { integer(5) } else { text(5) };
    let sexes = if guise == 1 { integer(2) } else { text(2) };
    vec![
        text(0),
        text(1),
        sexes,
        births,
        text(4),
        months,
        amounts,
        seens,
        text(8),
        integer(9),
        text(10),
        flags,
    ]
}

fn parquet_file(columns: Vec<(&str, ArrayRef)>, properties: WriterProperties) -> Vec<u8> {
    let fields: Vec<_> =
        columns.iter().map(|(n, a)| ArrowField::new(*n, a.data_type().clone(), true)).collect();
    let arrays = columns.into_iter().map(|(_, a)| a).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let mut out = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut out, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    out
}

const NAMES: [&str; 12] = [
    "id_number",
    "name",
    "sex",
    "birth_date",
    "area_code",
    "month",
    "amount",
    "seen",
    "account_no",
    "times",
    "rate",
    "ok",
];

#[test]
fn parquet_in_every_guise_gives_the_same_rows() {
    let given = rows(90);
    let expected = prepared_rows(&World::new().with("payments.csv", payments(&given)));
    for guise in 0..5 {
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some([7, 1000, 30, 90, 1][guise]))
            .set_dictionary_enabled(guise % 2 == 0)
            .set_compression(
                [
                    Compression::UNCOMPRESSED,
                    Compression::SNAPPY,
                    Compression::ZSTD(ZstdLevel::default()),
                    Compression::GZIP(parquet::basic::GzipLevel::default()),
                    Compression::LZ4_RAW,
                ][guise],
            )
            .build();
        let columns = NAMES.into_iter().zip(columns_as(&given, guise)).collect();
        let world = World::new().with("payments.parquet", parquet_file(columns, properties));
        assert_eq!(expected, prepared_rows(&world), "guise {guise}");
    }
}

#[test]
fn columns_may_stand_in_any_order_and_unknown_ones_are_named() {
    let given = rows(30);
    let expected = prepared_rows(&World::new().with("payments.csv", payments(&given)));
    let mut columns: Vec<_> = NAMES.into_iter().zip(columns_as(&given, 0)).collect();
    columns.reverse();
    columns.insert(5, ("hobby", Arc::new(StringArray::from(vec!["x"; 30]))));
    let world = World::new().with("payments.parquet", parquet_file(columns, WriterProperties::default()));
    assert_eq!(expected, prepared_rows(&world));
    let report = fs::read_to_string(world.store().join("quality.txt")).unwrap();
    assert!(report.contains("hobby"), "{report}");
}

#[test]
fn optional_columns_may_be_missing_and_are_named() {
    let world = World::new().with(
        "payments.csv",
        delimited(&["身份证号", "姓名", "费款所属期", "金额", "出生日子"], &[], ",")
            + &format!("{},张某甲,202501,1,x\n", person(1)),
    );
    let done = world.run();
    let file = &done.quality.datasets[0].files[0];
    assert!(file.missing_columns.contains(&"birth_date".to_owned()));
    assert_eq!(file.ignored_columns, [("出生日子".to_owned(), Some("birth_date".to_owned()))]);
    assert!(done.warnings.iter().any(|w| w.code == "MC633"));
    assert_eq!(done.quality.not_delivered, ["cards", "certificates", "coverage", "rides"]);
}

// ---------------------------------------------------------------- what is refused

fn codes(faults: &[Diagnostic]) -> Vec<String> {
    faults.iter().map(|f| f.code.clone()).collect()
}

#[test]
fn files_that_are_no_extracts_are_refused_by_name_and_all_at_once() {
    let good = payments(&rows(3));
    let world = World::new()
        .with("payments.csv", &good)
        .with("cards.csv", "")
        .with("cards.csv.part", "x")
        .with("~$cards.xlsx", "x")
        .with(".cards.csv", "x")
        .with("cards.docx", "x")
        .with("card.csv", "x")
        .with("payments (1).csv", "x")
        .with("rides/cards.csv", "x")
        .with("README.txt", "x")
        .with("truth.parquet", "x");
    let faults = world.faults();
    let by_file: BTreeMap<&str, &str> =
        faults.iter().map(|f| (f.place.file.as_deref().unwrap(), f.code.as_str())).collect();
    assert_eq!(
        by_file,
        BTreeMap::from([
            (".cards.csv", "MC603"),
            ("card.csv", "MC605"),
            ("cards.csv", "MC602"),
            ("cards.csv.part", "MC603"),
            ("cards.docx", "MC604"),
            ("payments (1).csv", "MC605"),
            ("rides/cards.csv", "MC606"),
            ("~$cards.xlsx", "MC603"),
        ])
    );
    let near = faults.iter().find(|f| f.place.file.as_deref() == Some("card.csv")).unwrap();
    assert!(near.help.as_ref().unwrap().en.contains("cards"), "{near:?}");
    assert!(faults.iter().all(|f| f.help.is_some()));
}

#[test]
fn files_beside_the_data_that_are_known_are_only_noted() {
    let world = World::new()
        .with("payments.csv", payments(&rows(3)))
        .with("README.txt", "x")
        .with("truth.parquet", "x");
    let done = world.run();
    assert_eq!(done.warnings.iter().filter(|w| w.code == "MC612").count(), 2);
}

#[test]
fn a_broken_file_names_its_dataset_and_the_others_can_be_prepared_without_it() {
    let good = payments(&rows(3));
    for (name, bytes) in
        [("cards.csv", ""), ("cards/b.csv", "<html>502</html>\n"), ("cards.parquet", "PAR1 no")]
    {
        // A second, sound file of the same dataset is left out with it: half a dataset looks like silence.
        let cards = format!("卡号,身份证号\r\n1,{}\r\n", person(1));
        let world = World::new().with("payments.csv", &good).with(name, bytes).with("cards-a.csv", &cards);
        let faults = world.faults();
        let broken = mingcha_intake::datasets_at_fault(&world.options(), &faults);
        assert_eq!(broken, Some(["cards".to_owned()].into()), "{name}: {faults:#?}");
        let options = PrepareOptions { without: broken.unwrap(), ..world.options() };
        let done = prepare(&options, &Quiet).unwrap();
        assert_eq!(done.manifest.datasets.keys().collect::<Vec<_>>(), ["payments"], "{name}");
        assert_eq!(done.warnings.iter().filter(|w| w.code == "MC614").count(), 2, "{name}");
    }
    // What belongs to no dataset, or is about no file, leaves nothing out.
    for name in ["letter.docx", "nobody.csv", "delivery.json"] {
        let world = World::new().with("payments.csv", &good).with(name, "x");
        assert_eq!(mingcha_intake::datasets_at_fault(&world.options(), &world.faults()), None, "{name}");
    }
    let world = World::new();
    assert_eq!(mingcha_intake::datasets_at_fault(&world.options(), &world.faults()), None);
    assert_eq!(mingcha_intake::datasets_at_fault(&world.options(), &[]), None);
}

#[test]
fn the_same_content_twice_is_refused() {
    let good = payments(&rows(3));
    let world = World::new().with("payments-a.csv", &good).with("payments-b.csv", &good);
    assert_eq!(codes(&world.faults()), ["MC607"]);
}

#[test]
fn an_empty_or_absent_folder_is_refused() {
    assert_eq!(codes(&World::new().faults()), ["MC610"]);
    let world = World::new();
    let options = PrepareOptions { data: world.dir.path().join("nowhere"), ..world.options() };
    assert_eq!(codes(&prepare(&options, &Quiet).unwrap_err()), ["MC601"]);
}

#[cfg(unix)]
#[test]
fn a_link_may_not_leave_the_folder() {
    let world = World::new().with("payments.csv", payments(&rows(3)));
    fs::write(world.dir.path().join("outside.csv"), payments(&rows(4))).unwrap();
    std::os::unix::fs::symlink(world.dir.path().join("outside.csv"), world.data().join("payments-2.csv"))
        .unwrap();
    let faults = prepare(&world.options(), &Quiet).unwrap_err();
    assert_eq!(codes(&faults), ["MC608"]);
}

#[test]
fn a_target_that_cannot_be_written_is_said() {
    let world = World::new().with("payments.csv", payments(&rows(3)));
    fs::write(world.dir.path().join("file"), "x").unwrap();
    let options = PrepareOptions { store: world.dir.path().join("file/store"), ..world.options() };
    assert_eq!(codes(&prepare(&options, &Quiet).unwrap_err()), ["MC704"]);
}

#[test]
fn a_store_among_the_extracts_is_refused() {
    let world = World::new().with("payments.csv", payments(&rows(3)));
    let options = PrepareOptions { store: world.data().join("out/store"), ..world.options() };
    assert_eq!(codes(&prepare(&options, &Quiet).unwrap_err()), ["MC703"]);
}

#[test]
fn headings_are_never_guessed() {
    let row = format!("{},张某甲,202501,1\n", person(1));
    for (headings, wanted) in [
        ("身份证号,姓名,费款所属期,金额", None),
        (" 身份证号 ,\"姓名*\",费款所属期：,金　额", None),
        ("公民身份号码,姓名,费款所属期,发放金额", None),
        ("ID_NUMBER,姓名,费款所属期,金额", Some("MC632")),
        ("身份证号,姓名,费款所属期,Amount", Some("MC632")),
        ("身份证号,姓名,费款所属期,金额数", Some("MC630")),
        ("姓名,姓名,费款所属期,金额", Some("MC631")),
        ("身份证号,公民身份号码,费款所属期,金额", Some("MC631")),
    ] {
        let world = World::new().with("payments.csv", format!("{headings}\n{row}"));
        match wanted {
            None => {
                world.run();
            }
            Some(code) => {
                assert!(codes(&world.faults()).contains(&code.to_owned()), "{headings}: {:?}", world.faults())
            }
        }
    }
}

#[test]
fn a_missing_column_suggests_the_one_that_comes_near() {
    let world = World::new().with("payments.csv", "身份证号码,姓名,费款所属期,金额\n");
    let faults = world.faults();
    assert_eq!(codes(&faults), ["MC630"]);
    assert!(faults[0].help.as_ref().unwrap().zh.contains("身份证号码"), "{faults:?}");
}

#[test]
fn recased_and_doubled_parquet_columns_are_refused() {
    let given = rows(5);
    let mut columns: Vec<_> = NAMES.into_iter().zip(columns_as(&given, 0)).collect();
    columns[1].0 = "Name";
    let world =
        World::new().with("payments.parquet", parquet_file(columns.clone(), WriterProperties::default()));
    assert_eq!(codes(&world.faults()), ["MC632"]);
    columns[1].0 = "sex";
    let world = World::new().with("payments.parquet", parquet_file(columns, WriterProperties::default()));
    assert!(codes(&world.faults()).contains(&"MC631".to_owned()));
}

#[test]
fn numbers_where_text_must_be_and_zones_are_refused_as_a_whole() {
    let given = rows(5);
    let base: Vec<_> = NAMES.into_iter().zip(columns_as(&given, 0)).collect();
    let with = |name: &str, array: ArrayRef| {
        let mut columns = base.clone();
        for column in columns.iter_mut().filter(|c| c.0 == name) {
            column.1 = Arc::clone(&array);
        }
        codes(
            &World::new()
                .with("payments.parquet", parquet_file(columns, WriterProperties::default()))
                .faults(),
        )
    };
    assert_eq!(with("id_number", Arc::new(Int64Array::from(vec![1; 5]))), ["MC636"]);
    assert_eq!(with("id_number", Arc::new(Float64Array::from(vec![1.0; 5]))), ["MC636"]);
    assert_eq!(with("account_no", Arc::new(Int64Array::from(vec![1; 5]))), ["MC635"]);
    assert_eq!(with("birth_date", Arc::new(BooleanArray::from(vec![true; 5]))), ["MC635"]);
    let zoned = TimestampMicrosecondArray::from(vec![1; 5]).with_timezone("UTC");
    assert_eq!(with("seen", Arc::new(zoned)), ["MC637"]);
}

#[test]
fn cut_and_flipped_parquet_never_panics_and_is_never_read_in_half() {
    let columns = NAMES.into_iter().zip(columns_as(&rows(50), 0)).collect();
    let good = parquet_file(columns, WriterProperties::default());
    for cut in (1..good.len()).step_by(good.len() / 40) {
        let world = World::new().with("payments.parquet", &good[..cut]);
        assert_eq!(codes(&world.faults()), ["MC620"], "cut at {cut}");
    }
    let mut refused = 0;
    for at in (0..good.len()).step_by(good.len() / 80) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        let world = World::new().with("payments.parquet", &bad);
        match prepare(&world.options(), &Quiet) {
            Ok(done) => assert_eq!(done.manifest.datasets["payments"].rows_in, 50),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0);
    let faults = World::new().with("payments.parquet", "id_number,name\n").faults();
    assert_eq!(codes(&faults), ["MC620"]);
    assert_eq!(faults[0].place.file.as_deref(), Some("payments.parquet"));
}

#[test]
fn mixed_encodings_are_noticed() {
    let given = rows(40);
    let (first, second) = given.split_at(20);
    let gb = encoding_rs::GB18030.encode(&payments(&given)).0.into_owned();
    let utf8_rows = second.iter().map(|r| r.join(",")).collect::<Vec<_>>().join("\n");
    let mixed = [encoding_rs::GB18030.encode(&payments(first)).0.as_ref(), utf8_rows.as_bytes()].concat();
    assert_eq!(codes(&World::new().with("payments.csv", &mixed).faults()), ["MC621"]);
    let one_gb_line = encoding_rs::GB18030.encode(&given[3].join(",")).0.into_owned();
    let other = [payments(first).as_bytes(), &one_gb_line, b"\n"].concat();
    assert_eq!(codes(&World::new().with("payments.csv", &other).faults()), ["MC621"]);
    // Said in so many words, the file is read and the rows that do not fit are rejected.
    let world = World::new().with("payments.csv", &other);
    let done =
        prepare(&PrepareOptions { encoding: Some("utf-8".into()), ..world.options() }, &Quiet).unwrap();
    assert_eq!(done.manifest.datasets["payments"].reasons["undecodable_bytes"], 1);
    assert_eq!(done.manifest.datasets["payments"].rows_stored, 20);
    let world = World::new().with("payments.csv", &gb);
    assert_eq!(
        prepare(&PrepareOptions { encoding: Some("gbk".into()), ..world.options() }, &Quiet)
            .unwrap()
            .manifest
            .files[0]
            .encoding
            .as_deref(),
        Some("gb18030")
    );
    let world = World::new().with("payments.csv", &gb);
    assert_eq!(
        codes(
            &prepare(&PrepareOptions { encoding: Some("klingon".into()), ..world.options() }, &Quiet)
                .unwrap_err()
        ),
        ["MC622"]
    );
}

#[test]
fn a_few_broken_bytes_in_a_long_file_reject_their_rows_only() {
    let given = rows(400);
    let mut bytes = payments(&given).into_bytes();
    let at = bytes.windows(3).rposition(|w| w == "张".as_bytes()).unwrap();
    bytes[at + 1] = b'?';
    let world = World::new().with("payments.csv", &bytes);
    let done = world.run();
    let entry = &done.manifest.datasets["payments"];
    assert_eq!((entry.rows_in, entry.rows_stored, entry.rows_rejected), (400, 399, 1));
    assert_eq!(entry.reasons["undecodable_bytes"], 1);
}

#[test]
fn workbooks_that_cannot_be_read_say_why() {
    let mut locked = vec![0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];
    locked.extend([0; 2000]);
    locked.extend("EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes));
    locked.extend([0; 2000]);
    assert_eq!(codes(&World::new().with("cards.xlsx", &locked).faults()), ["MC623"]);
    assert_eq!(codes(&World::new().with("cards.xls", "<html><table></table></html>").faults()), ["MC620"]);
    let good = workbook(&["卡号", "身份证号"], &[vec!["C1".into(), person(1)]], false);
    assert_eq!(codes(&World::new().with("cards.xlsx", &good[..good.len() / 2]).faults()), ["MC620"]);
    let world = World::new().with("cards.xlsx", &good);
    let mapping =
        FileMapping { pattern: "*.xlsx".into(), sheet: Some("没有".into()), ..FileMapping::default() };
    let options = PrepareOptions { mappings: vec![mapping], ..world.options() };
    assert_eq!(codes(&prepare(&options, &Quiet).unwrap_err()), ["MC624"]);
}

#[test]
fn identity_numbers_stored_as_numbers_in_a_workbook_are_rejected_and_many_refuse_the_file() {
    let book = |numeric: u32| {
        let mut book = rust_xlsxwriter::Workbook::new();
        let sheet = book.add_worksheet();
        sheet.write_string(0, 0, "卡号").unwrap();
        sheet.write_string(0, 1, "身份证号").unwrap();
        for r in 1..=10u32 {
            sheet.write_string(r, 0, format!("C{r}")).unwrap();
            if r <= numeric {
                sheet.write_number(r, 1, 880_101_194_001_010_000.0).unwrap();
            } else {
                sheet.write_string(r, 1, person(r as u16)).unwrap();
            }
        }
        book.save_to_buffer().unwrap()
    };
    let world = World::new().with("cards.xlsx", book(2));
    assert_eq!(world.run().manifest.datasets["cards"].reasons["id_stored_as_number"], 2);
    let faults = World::new().with("cards.xlsx", book(6)).faults();
    assert_eq!(codes(&faults), ["MC642"]);
    assert!(!faults[0].line(Lang::En).contains("8801"));
}

#[test]
fn an_open_quote_does_not_swallow_the_file() {
    let mut given = rows(3000);
    given[10][1] = "\"张某".to_owned();
    assert_eq!(codes(&World::new().with("payments.csv", payments(&given)).faults()), ["MC627"]);
}

#[test]
fn a_file_with_many_bad_numbers_or_tails_is_refused_unless_told_otherwise() {
    let mut given = rows(1200);
    let spoilt = |n: u16| {
        let good = identity::make("880101", NaiveDate::from_ymd_opt(1940, 1, 1).unwrap(), n);
        let wrong = if good.ends_with('7') { '8' } else { '7' };
        format!("{}{wrong}", &good[..17])
    };
    for row in given.iter_mut().take(30) {
        row[0] = spoilt(1);
    }
    // One person with many rows says nothing about the file.
    let world = World::new().with("payments.csv", payments(&given));
    let done = prepare(&world.options(), &Quiet).unwrap();
    assert_eq!(done.manifest.datasets["payments"].rows_rejected, 30);
    for (n, row) in (1u16..).zip(given.iter_mut().take(30)) {
        row[0] = spoilt(n);
    }
    let world = World::new().with("payments.csv", payments(&given));
    assert_eq!(codes(&world.faults()), ["MC640"]);
    let mut given = rows(1200);
    // Of the numbers cut to 15 digits, one in eleven passes its check; these all do.
    let mut made = 0;
    for n in 0..1000u16 {
        let number = identity::make(&format!("88{:04}", n), NaiveDate::from_ymd_opt(1950, 1, 1).unwrap(), 0);
        if number.ends_with("000") && made < 12 {
            given[made][0] = number;
            made += 1;
        }
    }
    assert_eq!(made, 12);
    let world = World::new().with("payments.csv", payments(&given));
    assert_eq!(codes(&world.faults()), ["MC641"]);
    let options = PrepareOptions { accept_damaged_ids: true, ..world.options() };
    let done = prepare(&options, &Quiet).unwrap();
    assert_eq!(done.manifest.datasets["payments"].reasons["id_tail_000"], 12);
    assert!(done.warnings.iter().any(|w| w.code == "MC641"));
}

// ---------------------------------------------------------------- rows

#[test]
fn every_kind_of_bad_value_has_its_reason_and_its_outcome() {
    let mut given = rows(40);
    let spoil: [(usize, &str, &str, &str); 14] = [
        (0, "", "missing_required", "row_rejected"),
        (0, "12345", "id_length", "row_rejected"),
        (0, "88010119400101A02X", "id_characters", "row_rejected"),
        (0, "8.80101E+17", "id_scientific", "row_rejected"),
        (0, "880101194013010021", "id_birth_date", "row_rejected"),
        (0, "880101194001010000", "id_tail_000", "row_rejected"),
        (2, "7", "unknown_code", "row_rejected"),
        (3, "1940-02-30", "bad_date", "row_rejected"),
        (4, "四川", "bad_area", "value_dropped"),
        (5, "202513", "bad_month", "row_rejected"),
        (6, "1.2万", "bad_money", "row_rejected"),
        (7, "2025-03-01T08:00:00+08:00", "bad_datetime", "row_rejected"),
        (9, "many", "bad_int", "row_rejected"),
        (10, "half", "bad_decimal", "row_rejected"),
    ];
    for (row, (column, value, _, _)) in spoil.iter().enumerate() {
        given[row][*column] = (*value).to_owned();
    }
    given[14][11] = "maybe".to_owned();
    given[15].truncate(5);
    given[16].push("one too many".to_owned());
    given[17] = vec![String::new(); 12];
    let world = World::new().with("payments.csv", payments(&given));
    let done = world.run();
    let entry = &done.manifest.datasets["payments"];
    assert_eq!((entry.rows_in, entry.rows_stored, entry.rows_rejected), (39, 23, 16));
    assert_eq!(done.manifest.files[0].rows_blank, 1);
    let found = reasons(&world.open());
    for (column, _, reason, outcome) in spoil {
        let field = NAMES[column].to_owned();
        assert!(found.contains(&(reason.to_owned(), outcome.to_owned(), field)), "{reason}: {found:?}");
    }
    assert!(found.contains(&("bad_bool".into(), "row_rejected".into(), "ok".into())));
    assert_eq!(found.iter().filter(|r| r.0 == "ragged_row").count(), 2);
}

#[test]
fn rejects_carry_what_the_identity_rule_needs() {
    let mut given = rows(5);
    given[2][0] = "880101194001010021".to_owned();
    let world = World::new().with("payments.csv", payments(&given));
    world.run();
    let columns = ["src", "dataset", "field", "value", "id_number", "name", "area_code"];
    let rejects = dump(&world.open(), "rejects", Part::Whole, &columns);
    // `payments` is the fourth contract by name; this is its first file.
    let src = (((3i64 << 14 | 1) << 40) | 3).to_string();
    let expected: Vec<Option<String>> =
        [&src, "payments", "id_number", &given[2][0], &given[2][0], &given[2][1], &given[2][4]]
            .map(|s| Some(s.to_owned()))
            .to_vec();
    assert_eq!(rejects, [expected]);
}

#[test]
fn placeholders_are_no_values() {
    let mut given = rows(6);
    for (row, blank) in given.iter_mut().zip(["NULL", "\\N", "-", "无", "N/A", ""]) {
        for column in [2, 3, 4, 7, 8, 9, 10, 11] {
            row[column] = blank.to_owned();
        }
    }
    let world = World::new().with("payments.csv", payments(&given));
    assert_eq!(world.run().manifest.datasets["payments"].rows_stored, 6);
    for row in all_shards(
        &world.open(),
        "payments",
        &["sex", "birth_date", "area_code", "seen", "account_no", "times", "rate", "ok"],
    ) {
        assert!(row.iter().all(Option::is_none), "{row:?}");
    }
}

#[test]
fn a_number_of_fifteen_is_the_same_person_and_its_length_is_kept() {
    let long = identity::make("880101", NaiveDate::from_ymd_opt(1940, 1, 2).unwrap(), 5);
    let short = format!("{}{}", &long[..6], &long[8..17]);
    let world = World::new().with("cards.csv", format!("卡号,身份证号\nA1,{long}\nB1,{short}\n"));
    world.run();
    let store = world.open();
    assert_eq!(store.n_persons(), 1);
    let lengths: Vec<_> = all_shards(&store, "cards", &["id_length", "id_number"]);
    assert_eq!(lengths, [[Some("18".to_owned()), Some(long.clone())], [Some("15".to_owned()), Some(long)]]);
}

#[test]
fn a_birth_after_the_extract_is_no_birth() {
    let unborn = identity::make("880101", NaiveDate::from_ymd_opt(2030, 1, 2).unwrap(), 5);
    let world = World::new().with("cards.csv", format!("卡号,身份证号\nA1,{unborn}\nB1,{}\n", person(3)));
    let options = PrepareOptions { as_of: NaiveDate::from_ymd_opt(2026, 3, 31), ..world.options() };
    let done = prepare(&options, &Quiet).unwrap();
    assert_eq!(done.manifest.datasets["cards"].reasons["id_birth_date"], 1);
}

#[test]
fn counties_outside_the_list_are_remarked_and_kept() {
    let odd = identity::make("110999", NaiveDate::from_ymd_opt(1950, 1, 2).unwrap(), 5);
    let world = World::new().with("cards.csv", format!("卡号,身份证号\nA1,{odd}\nB1,{}\n", person(3)));
    let done = world.run();
    assert_eq!(done.manifest.datasets["cards"].rows_stored, 2);
    assert_eq!(
        reasons(&world.open()),
        [("id_area_unknown".to_owned(), "kept".to_owned(), "id_number".to_owned())]
    );
    let mut many = String::from("卡号,身份证号\n");
    for n in 0..1500u16 {
        let area = if n % 20 == 0 { "110999" } else { "880101" };
        let number =
            identity::make(area, NaiveDate::from_ymd_opt(1950, 1, 1 + u32::from(n % 28)).unwrap(), n % 1000);
        many.push_str(&format!("C{n},{number}\n"));
    }
    let world = World::new().with("cards.csv", many);
    let done = world.run();
    assert!(done.warnings.iter().any(|w| w.code == "MC643"));
    assert_eq!(world.open().rows("rejects"), Some(0));
}

fn cards() -> String {
    format!("卡号,身份证号\nA1,{}\nB1,{}\nB1,{}\nC1,{}\n", person(1), person(2), person(3), person(4))
}

#[test]
fn rides_find_their_person_by_card_and_a_card_of_two_persons_finds_nobody() {
    let world = World::new()
        .with("cards.csv", cards())
        .with("rides.csv", "卡号,线路\nC1,1\nA1,2\nB1,3\nX1,4\nA1,5\n");
    let done = world.run();
    let entry = &done.manifest.datasets["rides"];
    assert_eq!((entry.rows_stored, entry.rows_unassigned), (5, 2));
    let store = world.open();
    assert_eq!(store.verify(), []);
    let found = all_shards(&store, "rides", &["line", "id_number"]);
    let expected = |line: &str, n| [Some(line.to_owned()), Some(person(n))];
    let mut wanted = vec![expected("2", 1), expected("5", 1), expected("1", 4)];
    wanted.sort_by(|a, b| a[1].cmp(&b[1]));
    assert_eq!(found, wanted);
    let lost = dump(&store, "rides", Part::Unassigned, &["line", "id_number", "pid"]);
    assert_eq!(lost, [[Some("3".to_owned()), None, None], [Some("4".to_owned()), None, None]]);
    assert_eq!(done.manifest.datasets["cards"].reasons["ambiguous_link"], 1);
}

#[test]
fn only_the_newest_version_of_a_document_is_the_latest() {
    let text = format!(
        "证明编号,版本,身份证号,姓名\nA1,1,{p},甲\nA1,2,{p},甲\nB1,,{p},甲\nC1,,,乙\nA1,2,{q},丙\n",
        p = person(1),
        q = person(2)
    );
    let world = World::new().with("certificates.csv", text);
    let done = world.run();
    let store = world.open();
    let mut found = all_shards(&store, "certificates", &["certificate_no", "version", "is_latest"]);
    found.extend(dump(&store, "certificates", Part::Unassigned, &["certificate_no", "version", "is_latest"]));
    found.sort();
    let row = |no: &str, version: Option<&str>, latest: &str| {
        vec![Some(no.to_owned()), version.map(str::to_owned), Some(latest.to_owned())]
    };
    assert_eq!(
        found,
        [
            row("A1", Some("1"), "false"),
            row("A1", Some("2"), "true"),
            row("A1", Some("2"), "true"),
            row("B1", None, "true"),
            row("C1", None, "true")
        ]
    );
    assert_eq!(done.manifest.datasets["certificates"].reasons["duplicate_key"], 1);
    assert_eq!(done.manifest.datasets["certificates"].rows_unassigned, 1);
}

#[test]
fn repeated_keys_of_a_person_are_remarked_and_kept() {
    let mut given = rows(30);
    given.push(given[4].clone());
    let last = given.len() - 1;
    given[last][6] = "9.99".to_owned();
    let world = World::new().with("payments.csv", payments(&given));
    let done = world.run();
    assert_eq!(done.manifest.datasets["payments"].rows_stored, 31);
    assert_eq!(done.manifest.datasets["payments"].reasons["duplicate_key"], 1);
    let src = dump(&world.open(), "rejects", Part::Whole, &["src"]).remove(0).remove(0).unwrap();
    assert_eq!(world.open().locate(src.parse().unwrap()).unwrap().row, 31);
}

#[test]
fn reference_datasets_are_whole_and_sorted_by_row() {
    let world = World::new()
        .with("coverage.csv", "行政区划,年月,已提供\n880101,202501,是\n880102,202501,否\n880101,202502,1\n");
    world.run();
    let store = world.open();
    let found = dump(&store, "coverage", Part::Whole, &["area_code", "month", "delivered"]);
    assert_eq!(
        found[1],
        [Some("880102".to_owned()), Some("2025-01-01".to_owned()), Some("false".to_owned())]
    );
    assert_eq!((found.len(), store.rows("coverage"), store.n_persons()), (3, Some(3), 0));
    assert_eq!(store.verify(), []);
}

#[test]
fn days_of_a_delivery_come_from_the_note_the_file_or_the_options() {
    let day = |d| NaiveDate::from_ymd_opt(2026, 3, d);
    let metadata = vec![
        KeyValue::new("as_of".into(), "2026-03-05".to_owned()),
        KeyValue::new("covers_to".into(), "20260228".to_owned()),
    ];
    let properties = WriterProperties::builder().set_key_value_metadata(Some(metadata)).build();
    let file = parquet_file(NAMES.into_iter().zip(columns_as(&rows(5), 0)).collect(), properties);
    let world = World::new()
        .with("payments.parquet", file)
        .with("cards.csv", cards())
        .with("coverage.csv", "行政区划,年月\n880101,202501\n")
        .with("delivery.json", r#"{"datasets":{"cards":{"as_of":"2026-03-07","covers_from":"2020-01-01"}}}"#);
    let options = PrepareOptions { as_of: day(31), ..world.options() };
    prepare(&options, &Quiet).unwrap();
    let store = world.open();
    assert_eq!(
        ["payments", "cards", "coverage", "rides"].map(|d| store.extract_date(d)),
        [day(5), day(7), day(31), None]
    );
    assert_eq!(store.manifest().datasets["payments"].covers_to, NaiveDate::from_ymd_opt(2026, 2, 28));
    let bad = World::new().with("cards.csv", cards()).with("delivery.json", r#"{"datasets":{"card":{}}}"#);
    assert_eq!(codes(&bad.faults()), ["MC611"]);
    let bad = World::new().with("cards.csv", cards()).with("delivery.json", r#"{"dataset":{}}"#);
    assert_eq!(codes(&bad.faults()), ["MC611"]);
}

#[test]
fn a_mapping_says_what_names_do_not() {
    let text = "办理单位：某中心\n卡号;身份证号\n".to_owned() + &format!("A1;{}\n", person(1));
    let world = World::new().with("2025/export.txt", encoding_rs::GB18030.encode(&text).0.as_ref());
    assert_eq!(codes(&world.faults()), ["MC605"]);
    let mapping = FileMapping {
        pattern: "2025/*.txt".into(),
        dataset: Some("cards".into()),
        header_row: Some(2),
        delimiter: Some(';'),
        encoding: Some("gb18030".into()),
        as_of: NaiveDate::from_ymd_opt(2026, 1, 2),
        ..FileMapping::default()
    };
    let done =
        prepare(&PrepareOptions { mappings: vec![mapping.clone()], ..world.options() }, &Quiet).unwrap();
    assert_eq!(done.manifest.datasets["cards"].rows_stored, 1);
    assert_eq!(world.open().extract_date("cards"), NaiveDate::from_ymd_opt(2026, 1, 2));
    let unused = FileMapping { pattern: "2024/*".into(), ..mapping.clone() };
    let options = PrepareOptions { mappings: vec![unused, mapping], ..world.options() };
    assert_eq!(codes(&prepare(&options, &Quiet).unwrap_err()), ["MC609"]);
}

#[test]
fn a_contract_that_cannot_work_is_refused_before_anything_is_read() {
    let world = World::new().with("cards.csv", cards());
    let mut options = world.options();
    options.contracts[2].person = Some(mingcha_rules::PersonKey::Via(mingcha_rules::contract::Via {
        dataset: "coverage".into(),
        on: "card_no".into(),
    }));
    assert_eq!(codes(&prepare(&options, &Quiet).unwrap_err()), ["MC644"]);
}

#[test]
fn a_cancelled_preparation_leaves_nothing() {
    struct Impatient;
    impl mingcha_intake::Progress for Impatient {
        fn begin(&self, _: mingcha_rules::Text, _: Option<u64>) {}
        fn advance(&self, _: u64) {}
        fn end(&self) {}
        fn cancelled(&self) -> bool {
            true
        }
    }
    let world = World::new().with("payments.csv", payments(&rows(30)));
    assert_eq!(codes(&prepare(&world.options(), &Impatient).unwrap_err()), ["MC646"]);
    world.left_nothing();
}

#[test]
fn no_message_holds_a_number_a_name_or_an_account() {
    let mut given = rows(1200);
    for row in given.iter_mut().take(40) {
        row[0] = "880101194001010021".to_owned();
    }
    let faults =
        World::new().with("payments.csv", payments(&given)).with("cards.xlsx", payments(&given)).faults();
    for lang in [Lang::Zh, Lang::En] {
        let said: String = faults.iter().map(|f| f.line(lang)).collect();
        assert!(!said.contains("880101") && !said.contains("张某") && !said.contains("6200000"), "{said}");
    }
}

// ---------------------------------------------------------------- examples

/// Dataset, then rows, then (field, value).
type Given<'a> = (&'a str, &'a [&'a [(&'a str, &'a str)]]);

fn example(rows: &[Given<'_>]) -> BTreeMap<String, Vec<BTreeMap<String, String>>> {
    rows.iter()
        .map(|(dataset, rows)| {
            let rows = rows
                .iter()
                .map(|r| r.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
                .collect();
            ((*dataset).to_owned(), rows)
        })
        .collect()
}

#[test]
fn an_example_is_typed_like_a_delivery() {
    let (p, q) = (person(1), person(2));
    let rows = example(&[
        (
            "payments",
            &[
                &[("id_number", q.as_str()), ("name", "李某"), ("month", "202601"), ("amount", "1,000.00")],
                &[("id_number", p.as_str()), ("name", "王某"), ("month", "2026-02"), ("amount", "5")],
                &[
                    ("id_number", "880101194001010021"),
                    ("name", "王某"),
                    ("month", "2026-02"),
                    ("amount", "5"),
                ],
            ],
        ),
        ("cards", &[&[("card_no", "A1"), ("id_number", p.as_str())]]),
        ("rides", &[&[("card_no", "A1")], &[("card_no", "Z1")]]),
    ]);
    let tables = MemoryTables::build(&contracts(), &rows).unwrap();
    assert_eq!((tables.n_persons(), tables.n_shards()), (2, 1));
    assert_eq!(
        (tables.rows("payments"), tables.rows("certificates"), tables.rows("nothing")),
        (Some(2), Some(0), None)
    );
    for (dataset, columns) in [("payments", &["id_number", "amount"][..]), ("persons", &["id_number"][..])] {
        let whole = dump(&tables, dataset, Part::Shard(0), columns);
        assert_eq!(slices(&tables, dataset, 0, 1, columns), whole);
        assert_eq!(tables.part_rows(dataset, 0), Some(whole.len() as u64));
        assert_eq!(tables.part_digest(dataset, Part::Shard(0)), None);
    }
    let outside = Part::Slice { shard: 0, from: 0, to: 1_000 };
    assert_eq!(tables.read("payments", outside, &["src"]).unwrap_err().code, "MC708");
    let found = dump(&tables, "payments", Part::Shard(0), &["pid", "id_number", "month", "amount"]);
    assert_eq!(found[0][0].as_deref(), Some("0"));
    assert!(found.iter().any(|r| r[1].as_ref() == Some(&q) && r[3].as_deref() == Some("1000.00")));
    assert_eq!(dump(&tables, "rides", Part::Shard(0), &["id_number"]), [[Some(p)]]);
    assert_eq!(dump(&tables, "rides", Part::Unassigned, &["card_no"]), [[Some("Z1".to_owned())]]);
    assert_eq!(dump(&tables, "rejects", Part::Whole, &["reason"]), [[Some("id_check_digit".to_owned())]]);
    let schema =
        mingcha_intake::sql_schema(tables.contracts().iter().find(|c| c.name == "payments").unwrap());
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(tables.read("payments", Part::Shard(0), &names).unwrap()[0].schema(), schema);
    let src: i64 =
        dump(&tables, "rides", Part::Unassigned, &["src"])[0][0].as_ref().unwrap().parse().unwrap();
    let place = tables.locate(src).unwrap();
    assert_eq!((place.dataset.as_str(), place.file.as_str(), place.row), ("rides", "example", 2));
    assert!(tables.id_number(1).unwrap().is_some());
    assert_eq!(tables.id_number(2).unwrap(), None);
    assert_eq!(tables.extract_date("payments"), None);
    let day = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
    assert_eq!(tables.with_extract_date(day).extract_date("payments"), Some(day));
}

#[test]
fn mistakes_in_an_example_are_said_all_at_once() {
    let p = person(1);
    let rows = example(&[
        (
            "payments",
            &[&[
                ("id_number", p.as_str()),
                ("name", "李某"),
                ("month", "2026-13"),
                ("amunt", "5"),
                ("amount", "5"),
            ]],
        ),
        ("card", &[&[("card_no", "A1")]]),
        ("cards", &[&[("card_no", "A1")]]),
    ]);
    let faults = MemoryTables::build(&contracts(), &rows).unwrap_err();
    assert_eq!(codes(&faults), ["MC647", "MC647", "MC648", "MC648"]);
    assert!(faults.iter().any(|f| f.help.as_ref().is_some_and(|h| h.en.contains("amount"))));
}

#[test]
fn a_path_is_all_that_a_store_needs() {
    let world = World::new().with("payments.csv", payments(&rows(5)));
    world.run();
    let moved = world.dir.path().join("elsewhere");
    fs::rename(world.store(), &moved).unwrap();
    assert_eq!(Store::open(Path::new(&moved)).unwrap().verify(), []);
}

// ---------------------------------------------------------------- what testers broke

#[test]
fn a_stray_quote_that_swallows_rows_refuses_the_file_however_short() {
    let mut open = rows(6);
    open[2][1] = "\"张某".to_owned();
    let mut closed_later = open.clone();
    closed_later[4][1] = "张某\"".to_owned();
    let mut closed_by_the_next = open.clone();
    closed_by_the_next[3][1] = "\"张某".to_owned();
    let mut last_row = rows(6);
    last_row[5][11] = "\"1".to_owned();
    for (given, line) in [(&open, 4), (&closed_later, 4), (&closed_by_the_next, 4), (&last_row, 7)] {
        let faults = World::new().with("payments.csv", payments(given)).faults();
        assert_eq!(codes(&faults), ["MC627"]);
        assert_eq!(faults[0].place.line, Some(line));
        assert!(faults[0].help.is_some());
    }
}

#[test]
fn honest_fields_of_several_lines_are_kept() {
    let mut given = rows(6);
    given[2][1] = "\"张某\n又名, 李某\"".to_owned();
    given[5][1] = "\"张某\r\n\"".to_owned();
    let world = World::new().with("payments.csv", payments(&given));
    assert_eq!(world.run().manifest.datasets["payments"].rows_stored, 6);
    let names = all_shards(&world.open(), "payments", &["name"]);
    assert!(names.contains(&vec![Some("张某\n又名, 李某".to_owned())]), "{names:?}");
}

#[test]
fn rejects_say_their_file_and_row_in_the_table_the_sheet_and_the_report() {
    let mut given = rows(30);
    given[6][6] = "=1+1".to_owned();
    let world = World::new().with("甲/payments.csv", payments(&given));
    let done = world.run();
    let store = world.open();
    let found = dump(&store, "rejects", Part::Whole, &["file", "row", "value"]);
    assert_eq!(found, [["甲/payments.csv", "7", "=1+1"].map(|s| Some(s.to_owned())).to_vec()]);
    let sheet = fs::read_to_string(world.store().join("rejects.csv")).unwrap();
    let lines: Vec<&str> = sheet.trim_start_matches('\u{feff}').lines().collect();
    assert!(sheet.starts_with('\u{feff}') && lines.len() == 2, "{sheet}");
    assert!(lines[0].starts_with("src,file,row,dataset,field,reason,outcome,value,id_number"), "{sheet}");
    assert!(lines[1].contains("甲/payments.csv,7,payments,amount,bad_money,row_rejected,'=1+1,'"), "{sheet}");
    assert_eq!(done.manifest.rejects_csv.rows, 1);
    let place = &done.quality.datasets[0].rejected_places[0];
    assert_eq!((place.row, place.field.as_deref(), place.reason.as_str()), (7, Some("amount"), "bad_money"));
    for (lang, wanted) in
        [(Lang::Zh, "第 7 行，amount：bad_money"), (Lang::En, "data row 7, amount: bad_money")]
    {
        let text = done.quality.text(lang);
        assert!(text.contains(wanted) && text.contains("rejects.csv") && !text.contains("=1+1"), "{text}");
    }
    fs::write(world.store().join("rejects.csv"), "x").unwrap();
    assert_eq!(codes(&world.open().verify()), ["MC705"]);
}

#[test]
fn a_file_with_half_of_its_rows_rejected_is_refused_and_one_with_a_tenth_is_remarked() {
    let spoilt = |n: usize, column: usize, value: &str| {
        let mut given = rows(20);
        given.iter_mut().take(n).for_each(|row| row[column] = value.to_owned());
        World::new().with("payments.csv", payments(&given))
    };
    let faults = spoilt(11, 6, "1.2万").faults();
    assert_eq!(codes(&faults), ["MC638"]);
    let said = faults[0].line(Lang::En);
    assert!(said.contains("bad_money") && said.contains("data row 1") && said.contains("amount"), "{said}");
    assert!(faults[0].help.is_some());
    let strict = |world: &World| PrepareOptions { accept_damaged_ids: true, ..world.options() };
    let world = spoilt(11, 6, "1.2万");
    assert_eq!(codes(&prepare(&strict(&world), &Quiet).unwrap_err()), ["MC638"]);
    let world = spoilt(11, 0, "12345");
    assert_eq!(codes(&world.faults()), ["MC638"]);
    let done = prepare(&strict(&world), &Quiet).unwrap();
    assert_eq!(codes(&done.warnings), ["MC638"]);
    assert_eq!(codes(&spoilt(3, 6, "1.2万").run().warnings), ["MC638"]);
    assert_eq!(codes(&spoilt(2, 6, "1.2万").run().warnings), Vec::<String>::new());
}

#[test]
fn what_databases_and_pandas_write_for_nothing_is_nothing() {
    let blanks = ["0000-00-00", "0000-00-00 00:00:00", "nan", "NaN", "NaT", "None", "<NA>", "#N/A"];
    let mut given = rows(8);
    for (row, blank) in given.iter_mut().zip(blanks) {
        for column in [2, 3, 7, 9, 10, 11] {
            row[column] = blank.to_owned();
        }
    }
    let world = World::new().with("payments.csv", payments(&given));
    assert_eq!(world.run().manifest.datasets["payments"].rows_stored, 8);
    for row in all_shards(&world.open(), "payments", &["sex", "birth_date", "seen", "times", "rate", "ok"]) {
        assert!(row.iter().all(Option::is_none), "{row:?}");
    }
}

#[test]
fn an_open_end_is_no_value_and_is_counted() {
    let mut given = rows(4);
    given[0][3] = "9999-12-31".to_owned();
    given[1][7] = "9999-12-31 23:59:59".to_owned();
    given[2][7] = "99991231".to_owned();
    let world = World::new().with("payments.csv", payments(&given));
    let done = world.run();
    assert_eq!(done.manifest.datasets["payments"].rows_stored, 4);
    let ends =
        |name: &str| done.quality.datasets[0].fields.iter().find(|f| f.field == name).unwrap().open_ends;
    assert_eq!((ends("birth_date"), ends("seen")), (1, 2));
    let found = all_shards(&world.open(), "payments", &["birth_date", "seen"]);
    assert_eq!(found.iter().filter(|r| r[0].is_none()).count(), 1);
    assert_eq!(found.iter().filter(|r| r[1].is_none()).count(), 2);
    assert!(done.quality.text(Lang::Zh).contains("9999-12-31"));
}

#[test]
fn a_typed_day_names_its_month_and_a_day_in_text_only_the_first() {
    let days = Date32Array::from(vec![20_178, 20_179]); // 2025-03-31, 2025-04-01
    let ids: ArrayRef = Arc::new(StringArray::from(vec![person(1), person(2)]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["张某", "张某"]));
    let money: ArrayRef = Arc::new(Float64Array::from(vec![0.1 + 0.2, 5.0]));
    let sex: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), None]));
    let columns = vec![
        ("身份证号", ids),
        ("姓名", names),
        ("费款所属期", Arc::new(days) as ArrayRef),
        ("金额", money),
        ("性别", sex),
    ];
    let world =
        World::new().with("payments.parquet", parquet_file(columns, WriterProperties::builder().build()));
    world.run();
    let mut found = all_shards(&world.open(), "payments", &["month", "amount", "sex"]);
    found.sort();
    let some = |s: &str| Some(s.to_owned());
    assert_eq!(
        found,
        [vec![some("2025-03-01"), some("0.30"), some("1")], vec![some("2025-04-01"), some("5.00"), None],]
    );
    let mut given = rows(30);
    given[0][5] = "2025-03-15".to_owned();
    let done = World::new().with("payments.csv", payments(&given)).run();
    assert_eq!(done.manifest.datasets["payments"].reasons["bad_month"], 1);
}

#[test]
fn floats_of_codes_are_codes_and_unknown_open_codes_are_counted() {
    let mut given = rows(20);
    for row in &mut given {
        row[2] = "1.0".to_owned();
    }
    for row in given.iter_mut().take(5) {
        row[2] = "X9".to_owned();
    }
    let world = World::new().with("payments.csv", payments(&given));
    let mut options = world.options();
    options.contracts[0].fields[2].open_codes = true;
    let done = prepare(&options, &Quiet).unwrap();
    let field = done.quality.datasets[0].fields.iter().find(|f| f.field == "sex").unwrap();
    assert_eq!((field.unknown_codes, &field.unknown_listed), (5, &vec![("X9".to_owned(), 5)]));
    assert_eq!(codes(&done.warnings), ["MC634"]);
    assert!(done.quality.text(Lang::En).contains("X9 (5)"));
    let found = all_shards(&world.open(), "payments", &["sex"]);
    assert_eq!(found.iter().filter(|r| r[0].as_deref() == Some("1")).count(), 15);
    for row in given.iter_mut().take(4) {
        row[2] = "1.0".to_owned();
    }
    let world = World::new().with("payments.csv", payments(&given));
    options.data = world.data();
    options.store = world.store();
    assert_eq!(codes(&prepare(&options, &Quiet).unwrap().warnings), Vec::<String>::new());
}

#[test]
fn aliases_years_and_spaces_name_a_dataset() {
    for name in [
        "待遇发放.csv",
        "待遇发放/2025.CSV",
        "发放明细 2025年.csv",
        "发放明细2025年.csv",
        "待遇发放 东区.csv",
    ] {
        let world = World::new().with(name, payments(&rows(3)));
        let mut options = world.options();
        options.contracts[0].aliases = vec!["待遇发放".to_owned()];
        let done = prepare(&options, &Quiet).unwrap_or_else(|e| panic!("{name}: {e:#?}"));
        assert_eq!(done.manifest.datasets["payments"].rows_stored, 3, "{name}");
    }
    for name in ["发放明细 - 副本.csv", "发放明细20251.csv", "payments copy.csv"] {
        assert_eq!(codes(&World::new().with(name, payments(&rows(3))).faults()), ["MC605"], "{name}");
    }
}

#[test]
fn a_delivery_note_with_a_mark_is_read_and_odd_files_are_named() {
    let note = "\u{feff}{\"datasets\":{\"payments\":{\"as_of\":\"2026-03-31\"}}}";
    let world = World::new().with("payments.csv", payments(&rows(3))).with("delivery.json", note);
    assert_eq!(world.run().manifest.datasets["payments"].as_of, NaiveDate::from_ymd_opt(2026, 3, 31));
    let mut given = rows(30);
    given[4][1] = "张\0某".to_owned();
    let done = World::new().with("payments.csv", payments(&given)).run();
    assert_eq!(done.manifest.datasets["payments"].reasons["bad_text"], 1);
    for (bytes, word) in [(&b"PAR1\x15\x04"[..], "Parquet"), (&b"PK\x03\x04xx"[..], "workbook")] {
        let faults = World::new().with("payments.csv", bytes).faults();
        assert_eq!(codes(&faults), ["MC620"]);
        assert!(faults[0].line(Lang::En).contains(word), "{faults:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_name_that_is_no_utf8_is_shown_relative_and_with_a_next_step() {
    use std::os::unix::ffi::OsStrExt;
    let world = World::new().with("payments.csv", payments(&rows(3)));
    fs::write(world.data().join(std::ffi::OsStr::from_bytes(b"\xb4\xfd\xd3\xf6.csv")), "x").unwrap();
    let faults = world.faults();
    assert_eq!(codes(&faults), ["MC604"]);
    assert!(faults[0].help.is_some());
    assert!(!faults[0].place.file.as_ref().unwrap().contains('/'), "{faults:?}");
}

/// A workbook of sheets: name, whether hidden, rows above the headings, whether it holds the data.
fn book_of(sheets: &[(&str, bool, u32, bool)]) -> Vec<u8> {
    let mut book = rust_xlsxwriter::Workbook::new();
    for (name, hidden, above, data) in sheets {
        let sheet = book.add_worksheet();
        sheet.set_name(*name).unwrap().set_hidden(*hidden);
        sheet.write_string(0, 0, "说明").unwrap();
        if *data {
            for (column, (heading, value)) in
                (0u16..).zip([("卡号", "C1".to_owned()), ("身份证号", person(1))])
            {
                sheet.write_string(*above, column, heading).unwrap();
                sheet.write_string(*above + 1, column, value).unwrap();
            }
        }
    }
    book.save_to_buffer().unwrap()
}

#[test]
fn headings_elsewhere_in_a_workbook_are_pointed_at_and_two_sheets_of_data_are_refused() {
    let help = |world: &World, code: &str| {
        let faults = world.faults();
        assert_eq!(codes(&faults), [code]);
        faults[0].line(Lang::Zh) + &faults[0].help.as_ref().unwrap().en
    };
    for hidden in [false, true] {
        let book = book_of(&[("一月", false, 0, true), ("二月", hidden, 0, true)]);
        let world = World::new().with("cards.xlsx", &book);
        let said = help(&world, "MC629");
        assert!(said.contains("一月、二月") && said.contains("sheet = \"一月\""), "{said}");
        let mapping = FileMapping {
            pattern: "cards.xlsx".into(),
            sheet: Some("二月".into()),
            ..FileMapping::default()
        };
        let options = PrepareOptions { mappings: vec![mapping], ..world.options() };
        assert_eq!(prepare(&options, &Quiet).unwrap().manifest.datasets["cards"].rows_stored, 1);
    }
    let world =
        World::new().with("cards.xlsx", book_of(&[("封面", false, 0, false), ("明细", false, 2, true)]));
    let said = help(&world, "MC629");
    assert!(said.contains("[[sources]]\npath = \"cards.xlsx\"\nsheet = \"明细\"\nheader_row = 3"), "{said}");
    let world = World::new().with("cards.xlsx", book_of(&[("明细", false, 2, true)]));
    let said = help(&world, "MC639");
    assert!(said.contains("[[sources]]\npath = \"cards.xlsx\"\nheader_row = 3"), "{said}");
    let text = format!("名册\n\n查询结果,\n卡号;身份证号\nC1;{}\n", person(1));
    let said = help(&World::new().with("甲/cards.csv", text), "MC639");
    assert!(said.contains("path = \"甲/cards.csv\"\nheader_row = 4"), "{said}");
}

#[test]
fn the_line_of_the_headings_is_counted_alike_for_every_kind_of_line_end() {
    for end in ["\n", "\r\n", "\r"] {
        let text = ["名册", "", "卡号,身份证号", &format!("C1,{}", person(1)), ""].join(end);
        let world = World::new().with("cards.csv", text);
        let mapping = FileMapping { pattern: "*.csv".into(), header_row: Some(3), ..FileMapping::default() };
        let options = PrepareOptions { mappings: vec![mapping], ..world.options() };
        let done = prepare(&options, &Quiet).unwrap_or_else(|e| panic!("{end:?}: {e:#?}"));
        assert_eq!(done.manifest.datasets["cards"].rows_stored, 1, "{end:?}");
        let said = world.options();
        let _ = fs::remove_dir_all(world.store());
        let faults = prepare(&said, &Quiet).unwrap_err();
        assert!(faults[0].help.as_ref().unwrap().en.ends_with("header_row = 3"), "{end:?}: {faults:?}");
    }
}
