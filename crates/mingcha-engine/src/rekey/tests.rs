//! Pieces against the plan that they were cut out of, on random rows with and without keys; and which plans are cut.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use chrono::NaiveDate;
use datafusion::physical_plan::{ExecutionPlan, collect};
use mingcha_intake::identity::make;
use mingcha_intake::{MemoryTables, Part, Tables};
use mingcha_rules::{Contract, Sources};
use proptest::prelude::*;

use super::{Deal, Dealt, Keys};
use crate::context::{Budget, Workplace};
use crate::plan::{Catalog, Compiled, Cut, compile};
use crate::program::{Order, Program};
use crate::sql;
use crate::tables::{Rows, Scene, Slots};

/// SQL that is cut, and by which keys.
const CUT: &[(&str, &[&str])] = &[
    (
        "SELECT y.account_no, sum(y.amount) AS paid, count(DISTINCT y.pid) AS n FROM pension_payments y GROUP BY y.account_no",
        &["account_no"],
    ),
    (
        "SELECT y.account_no, y.period_month, count(y.src) AS n FROM pension_payments y GROUP BY y.account_no, y.period_month HAVING min(y.pid) < max(y.pid)",
        &["account_no"],
    ),
    (
        "SELECT k.account_no, p.src, e.src AS payee FROM (SELECT y.account_no FROM pension_payments y GROUP BY y.account_no HAVING min(y.pid) < max(y.pid)) k JOIN pension_payments p ON p.account_no = k.account_no LEFT JOIN pension_payees e ON e.pid = p.pid",
        &["account_no"],
    ),
    (
        "SELECT e.src, p.src AS s FROM pension_payees e LEFT JOIN pension_payments p ON p.account_no = e.account_no AND p.pid <> e.pid",
        &["account_no"],
    ),
    (
        "SELECT e.src FROM pension_payees e WHERE NOT EXISTS (SELECT 1 FROM pension_payments p WHERE p.account_no = e.account_no)",
        &["account_no"],
    ),
    (
        "SELECT e.src, row_number() OVER (PARTITION BY e.account_no ORDER BY e.src) AS nth FROM pension_payees e",
        &["account_no"],
    ),
    ("SELECT DISTINCT e.account_no FROM pension_payees e", &["account_no"]),
    (
        "SELECT h.src, g.n FROM household_registry h JOIN (SELECT r.household_no, count(r.src) AS n FROM household_registry r GROUP BY r.household_no) g ON g.household_no = h.household_no",
        &["household_no"],
    ),
    (
        "SELECT a.account_no, b.household_no FROM (SELECT e.account_no, min(e.src) AS s FROM pension_payees e GROUP BY e.account_no) a JOIN (SELECT h.household_no, min(h.src) AS s FROM household_registry h GROUP BY h.household_no) b ON b.s = a.s + 1",
        &["account_no", "household_no"],
    ),
];

/// SQL that stays as it is: it lies by person, or by no key at all.
const LEFT: &[&str] = &[
    "SELECT y.pid, y.account_no, sum(y.amount) AS paid FROM pension_payments y GROUP BY y.pid, y.account_no",
    "SELECT e.src, p.src AS s FROM pension_payees e JOIN pension_payments p ON p.pid = e.pid AND p.account_no = e.account_no",
    "SELECT y.period_month, sum(y.amount) AS paid FROM pension_payments y GROUP BY y.period_month",
    "SELECT y.account_no, y.src FROM pension_payments y WHERE y.account_no = '1'",
    "SELECT count(y.src) AS n FROM pension_payments y",
];

fn contracts() -> Vec<Contract> {
    let datasets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets");
    let (library, faults) = mingcha_rules::load(&Sources::from_dirs(None, Some(&datasets)));
    assert!(faults.is_empty(), "{faults:?}");
    library.contracts
}

fn number(person: u8) -> String {
    make("880101", NaiveDate::from_ymd_opt(1950, 1, 1).unwrap(), u16::from(person))
}

/// A person, a key and a month.
type Row = (u8, Option<u8>, u8);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec((0..6_u8, prop::option::weighted(0.8, 0..5_u8), 1..4_u8), 0..25)
}

fn world(contracts: &[Contract], payees: &[Row], payments: &[Row], registry: &[Row]) -> Arc<dyn Tables> {
    let row = |dataset: &str, (person, key, month): Row| {
        let key_field = if dataset == "household_registry" { "household_no" } else { "account_no" };
        let mut row = BTreeMap::from([("id_number".to_owned(), number(person))]);
        if let Some(key) = key {
            row.insert(key_field.to_owned(), format!("62000000000000000{key}"));
        }
        let mut set = |field: &str, value: &str| row.insert(field.to_owned(), value.to_owned());
        set("name", "柏青山");
        match dataset {
            "pension_payments" => {
                set("scheme", "170");
                set("item", "basic");
                set("amount", &format!("{month}00.00"));
                set("pay_state", "1");
                set("period_month", &format!("20260{month}"));
            }
            "pension_payees" => {
                set("scheme", "170");
                set("status", "1");
                set("area_code", "880101");
            }
            _ => {}
        }
        if let Some(contract) = contracts.iter().find(|c| c.name == dataset) {
            row.retain(|field, _| contract.field(field).is_some());
        }
        row
    };
    let all = [("pension_payees", payees), ("pension_payments", payments), ("household_registry", registry)];
    let given = all.into_iter().map(|(dataset, rows)| {
        (dataset.to_owned(), rows.iter().map(|r| row(dataset, *r)).collect::<Vec<_>>())
    });
    Arc::new(MemoryTables::build(contracts, &given.collect()).unwrap())
}

fn execute(catalog: &Catalog, plan: &Arc<dyn ExecutionPlan>, slots: &Arc<Slots>) -> Vec<RecordBatch> {
    let place = Workplace::new(&catalog.session, &Budget::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let plan = datafusion::physical_plan::execution_plan::reset_plan_states(Arc::clone(plan)).unwrap();
    runtime.block_on(collect(plan, place.execution(Scene::new(slots)))).unwrap()
}

fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(batches).unwrap().to_string();
    let shown = text.lines().filter(|l| l.starts_with('|')).skip(1);
    let mut lines: Vec<String> = shown.map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    lines.sort();
    lines
}

/// Puts the rows of some parts of the datasets that a plan reads among the tables.
fn load(tables: &dyn Tables, compiled: &Compiled, slots: &Slots, parts: &[Part]) {
    for (dataset, columns) in &compiled.columns {
        if tables.rows(dataset).is_none() {
            continue;
        }
        let columns: BTreeSet<&str> = columns.iter().map(String::as_str).chain(["src"]).collect();
        let columns: Vec<&str> = columns.into_iter().collect();
        let read = parts.iter().flat_map(|part| tables.read(dataset, *part, &columns).unwrap());
        slots.put(dataset, Rows::content(read.collect()).unwrap());
    }
}

fn compiled(catalog: &Catalog, text: &str, cut: Cut<'_>) -> Compiled {
    compile(catalog, sql::parse(text).unwrap(), None, cut).map_err(|f| f[0].en.clone()).unwrap()
}

/// The answer of the plan as it is.
fn plain(catalog: &Catalog, text: &str, tables: &dyn Tables) -> Vec<String> {
    let whole = compiled(catalog, text, Cut::Nothing);
    let slots = Arc::new(Slots::default());
    load(tables, &whole, &slots, &[Part::Shard(0), Part::Unassigned]);
    lines(&execute(catalog, &whole.physical, &slots))
}

/// The answer of the plan that is left when its pieces are made bucket by bucket.
fn cut(catalog: &Catalog, text: &str, tables: &Arc<dyn Tables>, room: Option<u64>) -> Vec<String> {
    let keys = Keys::new(tables.as_ref());
    let rest = compiled(catalog, text, Cut::Rule(&keys));
    let slots = Arc::new(Slots::default());
    load(tables.as_ref(), &rest, &slots, &[Part::Shard(0), Part::Unassigned]);
    for piece in &rest.pieces {
        let own = &piece.compiled;
        let columns =
            own.columns.iter().map(|(t, c)| (t.clone(), c.iter().cloned().chain(["src".into()]).collect()));
        let deal = Deal {
            key: &piece.key,
            columns: &columns.collect(),
            room,
            bucket: Some(64),
            spill_dir: None,
            workers: 2,
            cancelled: &|| false,
            read: &|_| {},
        };
        let dealt = Dealt::new(tables, &deal).unwrap().unwrap();
        let mut made = Vec::new();
        for bucket in 0..dealt.n_shards() {
            let in_bucket = Arc::new(Slots::default());
            load(&dealt, own, &in_bucket, &[Part::Shard(bucket)]);
            made.extend(execute(catalog, &own.physical, &in_bucket));
        }
        slots.put(&piece.name, Rows::content(made).unwrap());
    }
    lines(&execute(catalog, &rest.physical, &slots))
}

#[test]
fn plans_are_cut_where_their_rows_lie_by_a_key() {
    let contracts = contracts();
    let catalog = Catalog::new(&contracts, None).unwrap();
    let some = [(1, Some(1), 1), (2, Some(1), 1), (3, None, 2)];
    let tables = world(&contracts, &some, &some, &some);
    let keys = Keys::new(tables.as_ref());
    for (text, expected) in CUT {
        let pieces = compiled(&catalog, text, Cut::Rule(&keys)).pieces;
        let found: BTreeSet<&str> = pieces.iter().map(|p| p.key.as_str()).collect();
        assert_eq!(found, expected.iter().copied().collect(), "{text}");
    }
    for text in LEFT {
        assert!(compiled(&catalog, text, Cut::Rule(&keys)).pieces.is_empty(), "{text}");
    }
    let twice = |text| compiled(&catalog, text, Cut::Rule(&keys)).pieces[0].name.clone();
    assert_eq!(twice(CUT[0].0), twice(CUT[0].0), "what is alike has one name");
    assert_ne!(twice(CUT[0].0), twice(CUT[1].0));
}

#[test]
fn a_column_of_few_values_is_no_key() {
    let contracts = contracts();
    let catalog = Catalog::new(&contracts, None).unwrap();
    let of = |keys: u16| -> Vec<Row> {
        (0..2000_u16).map(|i| ((i % 6) as u8, Some((i % keys) as u8), 1)).collect()
    };
    for (keys, cut) in [(3, false), (40, true)] {
        let tables = world(&contracts, &of(keys), &[], &[]);
        let keys = Keys::new(tables.as_ref());
        let text = "SELECT e.account_no, count(e.src) AS n FROM pension_payees e GROUP BY e.account_no";
        assert_eq!(!compiled(&catalog, text, Cut::Rule(&keys)).pieces.is_empty(), cut);
    }
}

#[test]
fn what_is_made_anew_takes_along_what_it_reads_and_what_reads_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (library, faults) = mingcha_rules::load(&Sources::from_dirs(
        Some(&root.join("benches/pack")),
        Some(&root.join("datasets")),
    ));
    assert!(faults.is_empty(), "{faults:?}");
    let some = [(1, Some(1), 1), (2, Some(1), 1), (3, None, 2)];
    let tables = world(&library.contracts, &some, &some, &some);
    let program = Program::new(&Order {
        library: &library,
        rules: &BTreeSet::from(["BEN-39".to_owned()]),
        tables: Some(tables.as_ref()),
        as_of: NaiveDate::from_ymd_opt(2026, 6, 30).unwrap(),
        params: &BTreeMap::new(),
        plain_plans: false,
    })
    .unwrap();
    // The rule joins payments with a view that itself lies by the account.
    let (view, pieces) = ("bench_account_owners".to_owned(), program.rules[0].pieces.clone());
    assert_eq!(pieces.len(), 1);
    let alone = program.by_key("account_no", &pieces);
    let names: Vec<&String> = alone.views.iter().map(|v| &v.name).collect();
    assert_eq!(names, [&view, pieces.first().unwrap()], "a piece without its view would see no rows");
    let readers = program.with_readers_by_key(BTreeSet::from([view.clone()]));
    assert_eq!(readers, &pieces | &BTreeSet::from([view]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn pieces_give_the_rows_of_the_whole_plan(a in rows(), b in rows(), c in rows()) {
        let contracts = contracts();
        let catalog = Catalog::new(&contracts, None).unwrap();
        let tables = world(&contracts, &a, &b, &c);
        for text in CUT.iter().map(|c| c.0).chain(LEFT.iter().copied()) {
            let whole = plain(&catalog, text, tables.as_ref());
            for room in [None, Some(0)] {
                prop_assert_eq!(&whole, &cut(&catalog, text, &tables, room), "{} {:?}", text, room);
            }
        }
    }
}
