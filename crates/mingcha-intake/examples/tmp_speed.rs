use arrow::array::*;
use arrow::datatypes::*;
use chrono::NaiveDate;
use mingcha_intake::*;
use parquet::arrow::ArrowWriter;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
fn write(path: PathBuf, cols: Vec<(&str, ArrayRef)>) {
    let b = RecordBatch::try_from_iter(cols).unwrap();
    let mut w = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), b.schema(), None).unwrap();
    w.write(&b).unwrap();
    w.close().unwrap();
}
fn main() {
    let dir = PathBuf::from(std::env::args().nth(1).unwrap());
    let n: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    let data = dir.join("in");
    if !data.exists() {
        std::fs::create_dir_all(&data).unwrap();
        let ids: Vec<String> = (0..n)
            .map(|i| {
                identity::make(
                    &format!("88{:04}", i * 7 % 10000),
                    NaiveDate::from_epoch_days(-20000 + ((i * 31) % 30000) as i32).unwrap(),
                    (i / 77 % 1000) as u16,
                )
            })
            .collect();
        let s = |f: &dyn Fn(usize) -> String, m: usize| -> ArrayRef {
            Arc::new(StringArray::from_iter_values((0..m).map(f)))
        };
        let scr = |i: usize| i.wrapping_mul(2654435761) % n;
        write(
            data.join("household_registry.parquet"),
            vec![
                ("id_number", s(&|i| ids[i].clone(), n)),
                ("name", s(&|i| format!("张{}", i % 5000), n)),
                ("sex", s(&|i| (1 + i % 2).to_string(), n)),
                ("area_code", s(&|i| format!("88{:04}", i % 100), n)),
                ("household_no", s(&|i| (i / 3).to_string(), n)),
            ],
        );
        write(
            data.join("transit_renewals.parquet"),
            vec![
                ("card_no", s(&|i| format!("C{i:08}"), n / 3)),
                ("id_number", s(&|i| ids[i * 3].clone(), n / 3)),
                (
                    "renewal_date",
                    Arc::new(Date32Array::from_iter_values((0..n / 3).map(|i| 20000 + (i % 365) as i32))),
                ),
            ],
        );
        let m = n * 12;
        write(
            data.join("pension_payments.parquet"),
            vec![
                ("id_number", s(&|i| ids[scr(i / 12)].clone(), m)),
                ("scheme", s(&|_| "170".into(), m)),
                ("item", s(&|_| "basic".into(), m)),
                ("period_month", s(&|i| format!("2025{:02}", 1 + i % 12), m)),
                (
                    "paid_date",
                    Arc::new(Date32Array::from_iter_values((0..m).map(|i| 20100 + (i % 365) as i32))),
                ),
                (
                    "amount",
                    Arc::new(
                        Decimal128Array::from_iter_values((0..m).map(|i| 10000 + (i % 900) as i128))
                            .with_precision_and_scale(14, 2)
                            .unwrap(),
                    ),
                ),
                ("pay_state", s(&|_| "1".into(), m)),
                ("account_no", s(&|i| format!("6200000{:012}", i / 12), m)),
            ],
        );
        let m = n * 6;
        write(
            data.join("outpatient_visits.parquet"),
            vec![
                ("id_number", s(&|i| ids[scr(i)].clone(), m)),
                ("name", s(&|i| format!("张{}", scr(i) % 5000), m)),
                ("org_code", s(&|i| format!("H{:04}", i % 300), m)),
                (
                    "visit_time",
                    Arc::new(TimestampSecondArray::from_iter_values(
                        (0..m).map(|i| 1_740_000_000 + (i % 9_000_000) as i64),
                    )),
                ),
                ("visit_type", s(&|i| if i % 3 == 0 { "pharmacy".into() } else { "clinic".into() }, m)),
                (
                    "fund_paid",
                    Arc::new(
                        Decimal128Array::from_iter_values((0..m).map(|i| (i % 90000) as i128))
                            .with_precision_and_scale(14, 2)
                            .unwrap(),
                    ),
                ),
            ],
        );
        let m = n * 5;
        let mut csv = String::from("卡号,刷卡时间,线路,站点\n");
        use std::fmt::Write;
        for i in 0..m {
            writeln!(
                csv,
                "C{:08},2025-{:02}-{:02} 08:{:02}:11,{}路,某站{}",
                scr(i) % (n / 3),
                1 + i % 12,
                1 + i % 28,
                i % 60,
                i % 40,
                i % 300
            )
            .unwrap();
        }
        std::fs::write(data.join("transit_rides.csv"), csv).unwrap();
    }
    let (lib, _) = mingcha_rules::library::load(&mingcha_rules::sources::Sources::from_dirs(
        None,
        Some(std::path::Path::new("/work/main/datasets")),
    ));
    struct P(std::sync::Mutex<Instant>);
    impl Progress for P {
        fn begin(&self, s: mingcha_rules::Text, t: Option<u64>) {
            *self.0.lock().unwrap() = Instant::now();
            eprintln!("{} {t:?}", s.en)
        }
        fn advance(&self, _: u64) {}
        fn end(&self) {
            eprintln!("  {:?}", self.0.lock().unwrap().elapsed())
        }
    }
    let t = Instant::now();
    let mut o = PrepareOptions::new(&data, dir.join("store"), lib.contracts.clone());
    o.as_of = NaiveDate::from_ymd_opt(2026, 3, 31);
    match prepare(&o, &P(std::sync::Mutex::new(Instant::now()))) {
        Ok(p) => eprintln!(
            "persons {} rows {} shards {}",
            p.manifest.persons,
            p.manifest.datasets.values().map(|d| d.rows_in).sum::<u64>(),
            p.manifest.shards.len()
        ),
        Err(e) => {
            for d in e.iter().take(10) {
                eprintln!("{d}")
            }
            return;
        }
    }
    eprintln!("total {:?}", t.elapsed());
    let t = Instant::now();
    let st = Store::open(dir.join("store")).unwrap();
    let mut rows = 0;
    for i in 0..st.n_shards() {
        for d in ["pension_payments", "household_registry", "outpatient_visits", "transit_rides"] {
            let c: Vec<String> = sql_schema(st.contracts().iter().find(|c| c.name == d).unwrap())
                .fields()
                .iter()
                .map(|f| f.name().clone())
                .collect();
            let c: Vec<&str> = c.iter().map(|s| s.as_str()).collect();
            rows += st.read(d, Part::Shard(i), &c).unwrap().iter().map(|b| b.num_rows()).sum::<usize>();
        }
    }
    eprintln!("read all {rows} {:?}", t.elapsed());
}
