//! Every operator against DataFusion's own plan of the same SQL, on random rows with NULLs, repeats, empty tables
//! and boundary dates. A test also says which operator it is about, so that none is passed by not being used.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringViewArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches;
use datafusion::physical_plan::{collect, displayable};
use proptest::prelude::*;

use crate::context::{Budget, Workplace};
use crate::local;
use crate::plan::{Catalog, Cut, compile};
use crate::sql;
use crate::tables::{Rows, Scene, Slots};

/// SQL over `a` and `b` (pid, src, k, d, n), and the operator that it must come to.
const CASES: &[(&str, &str)] = &[
    // look-ups
    ("SELECT a.src, b.src AS s FROM a JOIN b ON b.pid = a.pid WHERE a.k = 'x'", "by person"),
    ("SELECT a.src, b.src AS s FROM a JOIN b ON b.pid = a.pid AND b.d > a.d WHERE a.n > 20", "by person"),
    (
        "SELECT a.src, b.src AS s FROM (SELECT x.pid, x.src, x.d FROM a x WHERE x.k = 'x') a LEFT JOIN b ON b.pid = a.pid AND b.d >= a.d",
        "by person",
    ),
    (
        "SELECT a.src, g.last FROM (SELECT x.pid, x.src FROM a x WHERE x.k = 'x') a LEFT JOIN (SELECT y.pid, max(y.d) AS last FROM b y GROUP BY y.pid) g ON g.pid = a.pid",
        "by person",
    ),
    (
        "SELECT a.src, g.nth FROM (SELECT x.pid, x.src FROM a x WHERE x.n > 20) a JOIN (SELECT y.pid, row_number() OVER (PARTITION BY y.pid ORDER BY y.d, y.src) AS nth FROM b y) g ON g.pid = a.pid",
        "by person",
    ),
    (
        "SELECT a.src, u.s FROM (SELECT x.pid, x.src FROM a x WHERE x.k = 'x') a JOIN (SELECT y.pid, y.src AS s FROM b y WHERE y.n > 5 UNION ALL SELECT z.pid, z.src AS s FROM a z) u ON u.pid = a.pid",
        "by person",
    ),
    (
        "SELECT a.src, j.s FROM (SELECT x.pid, x.src FROM a x WHERE x.k = 'x') a JOIN (SELECT y.pid, z.src AS s FROM b y LEFT JOIN a z ON z.pid = y.pid AND z.d < y.d) j ON j.pid = a.pid",
        "by person",
    ),
    (
        "SELECT a.src, j.s FROM (SELECT x.pid, x.src FROM a x WHERE x.k = 'x') a JOIN (SELECT y.pid, y.src AS s FROM b y WHERE NOT EXISTS (SELECT 1 FROM a z WHERE z.pid = y.pid AND z.d > y.d)) j ON j.pid = a.pid",
        "by person",
    ),
    // semi, anti and mark joins
    (
        "SELECT a.src FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.pid = a.pid AND b.d > a.d)",
        "PersonExistsExec: Semi",
    ),
    (
        "SELECT a.src FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.pid = a.pid AND b.d > a.d AND b.d <= add_days(a.d, 10))",
        "PersonExistsExec: Semi",
    ),
    (
        "SELECT a.src FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.pid = a.pid AND b.d >= add_days(a.d, 0 - 3) AND b.d <= a.d)",
        "PersonExistsExec: Anti",
    ),
    (
        "SELECT a.src FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.pid = a.pid AND b.d = a.d AND b.k <> a.k)",
        "PersonExistsExec: Anti",
    ),
    (
        "SELECT a.src FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.pid = a.pid AND b.k = a.k AND b.n > 10 AND a.n < 30)",
        "PersonExistsExec: Anti",
    ),
    ("SELECT a.src FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.pid = a.pid)", "PersonExistsExec: Anti"),
    (
        "SELECT a.src FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.pid = a.pid AND a.n > b.n AND a.d <> b.d)",
        "PersonExistsExec: Semi",
    ),
    (
        "SELECT a.src FROM a WHERE a.k = 'x' OR EXISTS (SELECT 1 FROM b WHERE b.pid = a.pid AND b.d < a.d)",
        "PersonExistsExec: Mark",
    ),
    (
        "SELECT a.src FROM a WHERE a.k = 'x' OR NOT EXISTS (SELECT 1 FROM b WHERE b.pid = a.pid AND b.amount > a.amount)",
        "PersonExistsExec: Mark",
    ),
    // windows
    (
        "SELECT a.src, row_number() OVER (PARTITION BY a.pid ORDER BY a.d DESC, a.src) AS w FROM a",
        "PersonWindowExec",
    ),
    (
        "SELECT a.src, row_number() OVER (PARTITION BY a.pid, a.k ORDER BY a.d NULLS FIRST, a.src) AS w FROM a",
        "PersonWindowExec",
    ),
    (
        "SELECT a.src, rank() OVER (PARTITION BY a.pid ORDER BY a.k) AS w, dense_rank() OVER (PARTITION BY a.pid ORDER BY a.k) AS v FROM a",
        "PersonWindowExec",
    ),
    (
        "SELECT a.src, lag(a.d) OVER (PARTITION BY a.pid ORDER BY a.d, a.src) AS w, lead(a.k) OVER (PARTITION BY a.pid ORDER BY a.d, a.src) AS v FROM a",
        "PersonWindowExec",
    ),
    (
        "SELECT a.src, lag(a.n) OVER (PARTITION BY a.pid ORDER BY a.d, a.src) AS w, lead(a.n) OVER (PARTITION BY a.pid ORDER BY a.d DESC, a.src DESC) AS v FROM a",
        "PersonWindowExec",
    ),
    (
        "SELECT a.src, first_value(a.k) OVER (PARTITION BY a.pid ORDER BY a.n, a.src) AS w FROM a",
        "PersonWindowExec",
    ),
    (
        "SELECT a.src, first_value(a.k) OVER (PARTITION BY a.pid ORDER BY a.n, a.src ROWS BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING) AS w FROM a",
        "PersonWindowExec",
    ),
    (
        "SELECT a.src, sum(a.amount) OVER (PARTITION BY a.pid, a.k) AS w, count(a.d) OVER (PARTITION BY a.pid, a.k) AS v, max(a.k) OVER (PARTITION BY a.pid) AS u FROM a",
        "PersonWindowExec",
    ),
    (
        "SELECT a.src, min(a.d) OVER (PARTITION BY a.pid ORDER BY a.n, a.src ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS w FROM a",
        "PersonWindowExec",
    ),
    (
        "SELECT q.src, q.w FROM (SELECT a.src, a.pid, row_number() OVER (PARTITION BY a.pid ORDER BY a.n DESC, a.src) AS w FROM a) q WHERE q.w = 1",
        "PersonWindowExec",
    ),
    // The window no longer brings its rows in order: whoever asks for the first of them must compare.
    (
        "SELECT q.pid, first_value(q.f ORDER BY q.d ASC, q.src ASC) AS v, max(q.r) AS r FROM (SELECT a.pid, a.src, a.d, a.n > 20 AS f, row_number() OVER (PARTITION BY a.pid ORDER BY a.d, a.src) AS r FROM a) q GROUP BY q.pid",
        "PersonWindowExec",
    ),
    (
        "SELECT q.pid, first_value(q.f ORDER BY q.d DESC, q.src DESC) AS v, max(q.r) AS r FROM (SELECT a.pid, a.src, a.d, a.n > 20 AS f, row_number() OVER (PARTITION BY a.pid ORDER BY a.d, a.src) AS r FROM a) q GROUP BY q.pid",
        "PersonWindowExec",
    ),
    (
        "SELECT q.pid, last_value(q.f ORDER BY q.d ASC, q.src ASC) AS v, max(q.r) AS r FROM (SELECT a.pid, a.src, a.d, a.n > 20 AS f, row_number() OVER (PARTITION BY a.pid ORDER BY a.d, a.src) AS r FROM a) q GROUP BY q.pid",
        "PersonWindowExec",
    ),
    (
        "SELECT q.pid, last_value(q.f ORDER BY q.d DESC, q.src DESC) AS v, max(q.r) AS r FROM (SELECT a.pid, a.src, a.d, a.n > 20 AS f, row_number() OVER (PARTITION BY a.pid ORDER BY a.d, a.src) AS r FROM a) q GROUP BY q.pid",
        "PersonWindowExec",
    ),
    // groups
    (
        "SELECT a.pid, count(*) AS n, max(a.d) AS m, sum(a.amount) AS s FROM a GROUP BY a.pid",
        "PersonGroupExec",
    ),
    ("SELECT a.pid, a.k, min(a.n) AS m FROM a GROUP BY a.pid, a.k HAVING count(*) > 1", "PersonGroupExec"),
    ("SELECT DISTINCT a.pid, a.k FROM a", "PersonGroupExec"),
    (
        "SELECT a.pid, count(DISTINCT a.k) AS n, count(DISTINCT a.d) FILTER (WHERE a.n > 20) AS m FROM a GROUP BY a.pid",
        "PersonGroupExec",
    ),
    (
        "SELECT a.k, a.pid, count(DISTINCT a.n) AS n, sum(a.amount) FILTER (WHERE a.d IS NULL) AS s FROM a GROUP BY a.k, a.pid",
        "PersonGroupExec",
    ),
];

/// What the operators must leave to DataFusion.
const LEFT_ALONE: &[&str] = &[
    // The frame of some rows is empty: it ends before the row.
    "SELECT a.src, first_value(a.n) OVER (PARTITION BY a.pid ORDER BY a.d, a.src ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS w FROM a",
    "SELECT a.src, first_value(a.n) OVER (PARTITION BY a.pid ORDER BY a.src RANGE BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS w FROM a",
    "SELECT a.src, first_value(a.n) OVER (PARTITION BY a.pid ORDER BY a.d, a.src ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS w FROM a",
    "SELECT a.src, last_value(a.k) OVER (PARTITION BY a.pid ORDER BY a.d, a.src ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS w FROM a",
    "SELECT a.src, last_value(a.k) OVER (PARTITION BY a.pid ORDER BY a.d, a.src) AS w FROM a",
    "SELECT a.src, sum(a.n) OVER (PARTITION BY a.pid ORDER BY a.d, a.src) AS w FROM a",
    "SELECT a.src, sum(a.n) OVER (PARTITION BY a.pid ORDER BY a.d, a.src ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS w FROM a",
    "SELECT a.src, count(*) FILTER (WHERE a.n > 5) OVER (PARTITION BY a.pid) AS w FROM a",
    "SELECT a.src, lag(a.d) IGNORE NULLS OVER (PARTITION BY a.pid ORDER BY a.src) AS w FROM a",
    "SELECT a.src, lag(a.n, 2) OVER (PARTITION BY a.pid ORDER BY a.src) AS w FROM a",
    "SELECT a.pid, first_value(a.k ORDER BY a.src) AS w FROM a GROUP BY a.pid",
    "SELECT a.src, b.src AS s FROM a FULL JOIN b ON b.pid = a.pid",
    "SELECT a.k, count(*) AS n FROM a GROUP BY a.k",
];

type Row = (Option<i32>, Option<&'static str>, Option<i32>, Option<i64>, Option<i128>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        prop::option::weighted(0.95, 0_i32..12),
        prop::option::of(prop::sample::select(vec!["x", "y", "a text of more than twelve bytes", ""])),
        prop::option::of(20_000_i32..20_015),
        prop::option::of(0_i64..40),
        prop::option::of(-500_i128..500),
    );
    // Often sorted by person, as in a store; sometimes as a view may come.
    (prop::collection::vec(row, 0..60), any::<bool>()).prop_map(|(mut rows, sorted)| {
        if sorted {
            rows.retain(|r| r.0.is_some());
            rows.sort_by_key(|r| r.0);
        }
        rows
    })
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("pid", DataType::Int32, true),
        Field::new("src", DataType::Int64, false),
        Field::new("k", DataType::Utf8View, true),
        Field::new("d", DataType::Date32, true),
        Field::new("n", DataType::Int64, true),
        Field::new("amount", DataType::Decimal128(14, 2), true),
    ]))
}

fn batch(rows: &[Row]) -> RecordBatch {
    let amounts: Decimal128Array = rows.iter().map(|r| r.4).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| r.0).collect::<Int32Array>()),
        Arc::new((0..rows.len() as i64).map(Some).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.1).collect::<StringViewArray>()),
        Arc::new(rows.iter().map(|r| r.2).collect::<Date32Array>()),
        Arc::new(rows.iter().map(|r| r.3).collect::<Int64Array>()),
        Arc::new(amounts.with_precision_and_scale(14, 2).unwrap()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn catalog() -> Catalog {
    let mut catalog = Catalog::new(&[], None).unwrap();
    for name in ["a", "b"] {
        catalog.define(name, schema(), Some(&local::by_person(&schema())), Some(100)).unwrap();
    }
    catalog
}

/// The answer as sorted lines, and the plan.
fn answer(
    catalog: &Catalog,
    text: &str,
    tables: &BTreeMap<&str, RecordBatch>,
    rewritten: bool,
) -> (Vec<String>, String) {
    let mut compiled =
        compile(catalog, sql::parse(text).unwrap(), None, Cut::Nothing).map_err(|f| f[0].en.clone()).unwrap();
    if rewritten {
        compiled.by_person(catalog, true).unwrap();
    }
    let slots = Arc::new(Slots::default());
    for (name, batch) in tables {
        slots.put(name, Rows::content(vec![batch.clone()]).unwrap());
    }
    let place = Workplace::new(&catalog.session, &Budget::default()).unwrap();
    let plan = displayable(compiled.physical.as_ref()).indent(false).to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let out = runtime.block_on(collect(compiled.physical, place.execution(Scene::new(&slots)))).unwrap();
    let mut lines: Vec<String> =
        pretty_format_batches(&out).unwrap().to_string().lines().map(str::to_owned).collect();
    lines.retain(|l| l.starts_with('|'));
    // An answer of no rows has no heading where no batch comes.
    lines = lines.into_iter().skip(1).map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    lines.sort();
    (lines, plan)
}

#[test]
fn the_cases_come_to_the_operators_they_are_about() {
    let catalog = catalog();
    let tables = BTreeMap::from([("a", batch(&[])), ("b", batch(&[]))]);
    for (text, operator) in CASES {
        let (_, plan) = answer(&catalog, text, &tables, true);
        assert!(plan.contains(operator), "{text}\n{plan}");
        let (_, plain) = answer(&catalog, text, &tables, false);
        assert!(!plain.contains("Person") && !plain.contains("by person"), "{text}\n{plain}");
    }
    for text in LEFT_ALONE {
        let (_, plan) = answer(&catalog, text, &tables, true);
        assert!(!plan.contains("Person") && !plan.contains("by person"), "{text}\n{plan}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn both_plans_give_the_same_rows(a in rows(), b in rows()) {
        let catalog = catalog();
        let tables = BTreeMap::from([("a", batch(&a)), ("b", batch(&b))]);
        for text in CASES.iter().map(|c| c.0).chain(LEFT_ALONE.iter().copied()) {
            let plain = answer(&catalog, text, &tables, false);
            let ours = answer(&catalog, text, &tables, true);
            prop_assert_eq!(plain.0, ours.0, "{}\n{}", text, ours.1);
        }
    }
}
