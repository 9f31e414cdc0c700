//! Rows brought together by another key than the person: an account, a household, a card. Parts of plans that pair,
//! group or order rows within such a key are cut out (*pieces*), the datasets that they read are dealt into buckets
//! of that key once for all of them, and bucket by bucket a piece is as local as a rule by person is in a shard.
//! Which piece is local to which key is read off its plan by the same reasoning (`local.rs`).
//!
//! ```text
//! shard 0 ─┐                       ┌─ bucket 0 ─► every piece ─┐
//! shard 1 ─┼─ dealt by hash(key) ──┼─ bucket 1 ─► every piece ─┼─► rows of the piece, a table like any other
//! shard 2 ─┘                       └─ bucket 2 ─► every piece ─┘
//! ```
//!
//! Refuses to know: rules, findings, and what a key means. What it does not understand stays an ordinary plan over
//! everything at once.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufReader, BufWriter, Seek};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;
use chrono::NaiveDate;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use mingcha_intake::{Part, RowLocator, Tables, builtin_schema, sql_schema};
use mingcha_rules::contract::FieldType;
use mingcha_rules::{Contract, Diagnostic};

use crate::local::{self, Spread, TableSpread, column_index};
use crate::parallel::in_parallel;
use crate::plan::Catalog;
use crate::tables::{SlotTable, compact};

/// Bytes of the rows of one bucket: few enough that the tables made of them stay near the processor.
const BUCKET_BYTES: u64 = 8 << 20;
/// Buckets at most: each is a small batch of every shard.
const MOST_BUCKETS: u64 = 512;
/// Rows of the first shard that are looked at to see whether a column tells rows apart.
const SAMPLE_ROWS: usize = 1 << 16;
/// A key is no use where one value (or none) stands in more than one row of this many.
const MOST_ALIKE: usize = 8;
/// Below this many rows any key will do.
const FEW_ROWS: usize = 1000;
/// Bytes that a text takes in memory, on average.
const TEXT_BYTES: usize = 32;
/// The buckets must not follow the hash tables that are made inside them.
const SEED: u64 = 0x4d69_6e67;

/// How the tables lie when they are dealt by one column; of keys that some dataset of persons has.
pub(crate) type ByKey = BTreeMap<String, TableSpread>;

/// The keys that datasets may be dealt by: their text columns that are no code, no area and no name of a person.
pub(crate) fn keys_of(contracts: &[Contract]) -> ByKey {
    let mut keys = ByKey::new();
    for contract in contracts.iter().filter(|c| c.person.is_some()) {
        let schema = sql_schema(contract);
        for field in contract.fields.iter().filter(|f| f.ty == FieldType::Text) {
            if let Ok(at) = schema.index_of(&field.name) {
                let spread = Spread::ByPerson(local::only_column(at));
                keys.entry(field.name.clone()).or_default().insert(contract.name.clone(), spread);
            }
        }
    }
    for tables in keys.values_mut() {
        for contract in contracts.iter().filter(|c| c.person.is_none()) {
            tables.insert(contract.name.clone(), Spread::Everywhere);
        }
    }
    keys
}

/// Where keys are judged by: the data.
pub(crate) struct Keys<'a> {
    tables: &'a dyn Tables,
    judged: RefCell<HashMap<(String, String), bool>>,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(tables: &'a dyn Tables) -> Self {
        Self { tables, judged: RefCell::default() }
    }

    /// Whether a column tells the rows of a dataset apart well enough to deal them by it.
    fn tells_apart(&self, dataset: &str, key: &str) -> bool {
        let place = (dataset.to_owned(), key.to_owned());
        if let Some(known) = self.judged.borrow().get(&place) {
            return *known;
        }
        let judged = self.judge(dataset, key);
        self.judged.borrow_mut().insert(place, judged);
        judged
    }

    fn judge(&self, dataset: &str, key: &str) -> bool {
        // Without rows there is nothing to deal, and nothing to be gained.
        if self.tables.rows(dataset).is_none_or(|n| n == 0) {
            return false;
        }
        let mut counts: HashMap<Option<&str>, usize> = HashMap::new();
        let mut rows = 0;
        let filled = (0..self.tables.n_shards())
            .find(|shard| self.tables.part_rows(dataset, *shard).is_some_and(|n| n > 0));
        // What cannot be read is told where the rule is executed.
        let batches = match filled.map(|shard| self.tables.read(dataset, Part::Shard(shard), &[key])) {
            Some(Ok(batches)) => batches,
            Some(Err(_)) => return false,
            None => Vec::new(),
        };
        for batch in &batches {
            let Some(values) = batch.column(0).as_string_view_opt() else { return false };
            for value in values.iter().take(SAMPLE_ROWS.saturating_sub(rows)) {
                *counts.entry(value).or_default() += 1;
                rows += 1;
            }
        }
        rows < FEW_ROWS || counts.values().all(|n| n * MOST_ALIKE <= rows)
    }
}

/// A part of a plan that is local to a key.
pub(crate) struct Piece {
    /// The table that its rows become; pieces that are alike have one name.
    pub name: String,
    pub key: String,
    /// Gives the rows, in columns named by place.
    pub plan: LogicalPlan,
    pub schema: SchemaRef,
}

/// The key that the whole of `plan` is local to, and how its rows lie.
pub(crate) fn key_of(plan: &LogicalPlan, catalog: &Catalog, keys: &Keys<'_>) -> Option<(String, Spread)> {
    let scans = scans(plan);
    let wanted = has_work(plan)
        && (matches!(local::spread(plan, &catalog.spread), Spread::Scattered(_))
            || meets_off_person(plan, catalog));
    if !wanted {
        return None;
    }
    catalog.by_key.iter().find_map(|(key, tables)| {
        let known = scans.iter().all(|name| tables.contains_key(name));
        let spread = known.then(|| local::spread(plan, tables))?;
        let dealt = |name: &&String| {
            matches!(tables.get(*name), Some(Spread::ByPerson(_))) && catalog.is_dataset(name)
        };
        let useful = matches!(spread, Spread::ByPerson(_))
            && scans.iter().filter(dealt).all(|name| keys.tells_apart(name, key));
        useful.then(|| (key.clone(), spread))
    })
}

/// `plan` with its largest parts that are local to some key replaced by tables, and those parts.
pub(crate) fn cut(
    plan: LogicalPlan,
    catalog: &Catalog,
    keys: &Keys<'_>,
) -> Result<(LogicalPlan, Vec<Piece>), DataFusionError> {
    let mut pieces = Vec::new();
    let rest = plan.transform_down(|node| {
        let Some((key, _)) = key_of(&node, catalog, keys) else { return Ok(Transformed::no(node)) };
        let (scan, piece) = piece(node, key)?;
        pieces.push(piece);
        Ok(Transformed::new(scan, true, TreeNodeRecursion::Jump))
    })?;
    Ok((rest.data, pieces))
}

/// A piece, and what stands for it: a table with its rows, under the names that they had.
fn piece(plan: LogicalPlan, key: String) -> Result<(LogicalPlan, Piece), DataFusionError> {
    let mut hasher = DefaultHasher::new();
    // The types of literals are in its words only.
    (&plan, plan.display_indent_schema().to_string()).hash(&mut hasher);
    let name = format!("by_{key}_{:016x}", hasher.finish());
    let columns: Vec<(Option<TableReference>, Arc<Field>)> =
        plan.schema().iter().map(|(table, field)| (table.cloned(), Arc::clone(field))).collect();
    // Two columns of a join may have one name; a table's may not.
    let place = |i: usize| format!("c{i}");
    let fields = columns.iter().enumerate().map(|(i, (_, field))| field.as_ref().clone().with_name(place(i)));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let numbered: Vec<Expr> = columns
        .iter()
        .enumerate()
        .map(|(i, (table, f))| Expr::Column(Column::new(table.clone(), f.name())).alias(place(i)))
        .collect();
    let source = provider_as_source(Arc::new(SlotTable::new(&name, Arc::clone(&schema), None)));
    let named = columns.into_iter().enumerate().map(|(i, (table, field))| {
        Expr::Column(Column::new(Some(name.clone()), place(i))).alias_qualified(table, field.name())
    });
    let scan = LogicalPlanBuilder::scan(&name, source, None)?.project(named.collect::<Vec<_>>())?.build()?;
    let plan = LogicalPlanBuilder::from(plan).project(numbered)?.build()?;
    Ok((scan, Piece { name, key, plan, schema }))
}

/// Whether anything brings rows together: else there is nothing to be gained.
fn has_work(plan: &LogicalPlan) -> bool {
    let works = |node: &LogicalPlan| {
        matches!(
            node,
            LogicalPlan::Aggregate(_)
                | LogicalPlan::Window(_)
                | LogicalPlan::Distinct(_)
                | LogicalPlan::Join(_)
        )
    };
    plan.exists(|node| Ok(works(node))).unwrap_or(false)
}

/// Whether a join meets a view that lies by a key, and not on the person: in every shard it would look at the whole
/// view, so that the work would grow with the square of the data.
fn meets_off_person(plan: &LogicalPlan, catalog: &Catalog) -> bool {
    let by_key = |side: &LogicalPlan| {
        let views = scans(side);
        views.iter().any(|name| {
            !catalog.is_dataset(name) && catalog.by_key.values().any(|tables| tables.contains_key(name))
        })
    };
    let meets = |node: &LogicalPlan| {
        let LogicalPlan::Join(join) = node else { return false };
        let (left, right) =
            (local::spread(&join.left, &catalog.spread), local::spread(&join.right, &catalog.spread));
        let (persons, side, schema, left_is_persons) = match (&left, &right) {
            (Spread::ByPerson(columns), Spread::Everywhere) => {
                (columns, &join.right, join.left.schema(), true)
            }
            (Spread::Everywhere, Spread::ByPerson(columns)) => {
                (columns, &join.left, join.right.schema(), false)
            }
            _ => return false,
        };
        by_key(side)
            && !join.on.iter().any(|(l, r)| {
                let own = if left_is_persons { l } else { r };
                column_index(own, schema).is_some_and(|c| persons.owns(c))
            })
    };
    plan.exists(|node| Ok(meets(node))).unwrap_or(false)
}

/// The tables that a plan scans.
fn scans(plan: &LogicalPlan) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    // The closure never fails, so neither does the walk.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            names.insert(scan.table_name.table().to_owned());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    names
}

/// Datasets dealt by one key: each bucket is a shard. What is no dataset of persons is seen as it is.
pub(crate) struct Dealt {
    tables: Arc<dyn Tables>,
    /// Those that were dealt; without a schema: it has no rows.
    datasets: BTreeMap<String, (Option<SchemaRef>, Vec<Chunk>)>,
    n_buckets: usize,
}

/// The rows of one part of a dataset, bucket by bucket.
enum Chunk {
    Memory(Vec<RecordBatch>),
    /// In a file that goes with it.
    Disk(tempfile::NamedTempFile),
}

/// How rows are dealt.
pub(crate) struct Deal<'a> {
    pub key: &'a str,
    /// Datasets of persons and the columns wanted of them.
    pub columns: &'a BTreeMap<String, BTreeSet<String>>,
    /// Bytes that the rows may take in memory; absent: any.
    pub room: Option<u64>,
    /// Bytes that the rows of one bucket may take; absent: the usual.
    pub bucket: Option<u64>,
    pub spill_dir: Option<&'a Path>,
    pub workers: usize,
    /// Asked between parts; `true` stops.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
    /// Told of the bytes that were read.
    pub read: &'a (dyn Fn(u64) + Sync),
}

impl Dealt {
    /// Reads the datasets and deals their rows. `None`: cancelled.
    pub(crate) fn new(tables: &Arc<dyn Tables>, deal: &Deal<'_>) -> Result<Option<Self>, Diagnostic> {
        let bytes = expected_bytes(tables.as_ref(), deal.columns);
        let bucket = deal.bucket.unwrap_or(BUCKET_BYTES).clamp(1, BUCKET_BYTES);
        let buckets = bytes.div_ceil(bucket).clamp(deal.workers as u64, MOST_BUCKETS);
        let n_buckets = usize::try_from(buckets).unwrap_or(1);
        let on_disk = deal.room.is_some_and(|room| bytes > room);
        let mut datasets = BTreeMap::new();
        for (dataset, wanted) in deal.columns {
            let mut columns: Vec<&str> = wanted.iter().map(String::as_str).collect();
            if !wanted.contains(deal.key) {
                columns.push(deal.key);
            }
            let shards = (0..tables.n_shards()).map(Part::Shard);
            let parts = match tables.rows(dataset) {
                Some(_) => shards.chain([Part::Unassigned]).collect(),
                None => Vec::new(),
            };
            let whole = BTreeMap::from([(dataset.clone(), wanted.clone())]);
            let per_row = expected_bytes(tables.as_ref(), &whole) / tables.rows(dataset).unwrap_or(0).max(1);
            let of_part = |part| match part {
                Part::Shard(shard) => tables.part_rows(dataset, shard).unwrap_or(0) * per_row,
                _ => 0,
            };
            let dealt = in_parallel(deal.workers, parts, |part| {
                if (deal.cancelled)() {
                    return Ok(None);
                }
                let mut rows = Vec::new();
                for batch in tables.read(dataset, part, &columns)? {
                    rows.push(compact(&batch));
                }
                (deal.read)(of_part(part));
                chunk(&rows, deal.key, n_buckets, on_disk.then_some(deal.spill_dir)).map_err(|e| failed(&e))
            });
            let chunks = dealt.into_iter().collect::<Result<Vec<_>, Diagnostic>>()?;
            if (deal.cancelled)() {
                return Ok(None);
            }
            let chunks: Vec<Chunk> = chunks.into_iter().flatten().collect();
            let schema = chunks.first().map(Chunk::schema).transpose().map_err(|e| failed(&e))?;
            datasets.insert(dataset.clone(), (schema, chunks));
        }
        Ok(Some(Self { tables: Arc::clone(tables), datasets, n_buckets }))
    }
}

/// The rows of one part, in order of bucket.
fn chunk(
    rows: &[RecordBatch],
    key: &str,
    n_buckets: usize,
    on_disk: Option<Option<&Path>>,
) -> Result<Option<Chunk>, DataFusionError> {
    let Some(first) = rows.first() else { return Ok(None) };
    let rows = if rows.len() == 1 { first.clone() } else { concat_batches(&first.schema(), rows)? };
    if rows.num_rows() == 0 {
        return Ok(None);
    }
    let column = rows
        .column_by_name(key)
        .ok_or_else(|| DataFusionError::Internal(format!("column {key} was not loaded")))?;
    let mut hashes = vec![0; rows.num_rows()];
    create_hashes([column], &RandomState::with_seed(SEED), &mut hashes)?;
    let bucket = |hash: &u64| usize::try_from(hash % n_buckets as u64).unwrap_or(0);
    // Counted, then placed: rows keep their order within a bucket.
    let mut starts = vec![0_u32; n_buckets + 1];
    hashes.iter().for_each(|hash| starts[bucket(hash) + 1] += 1);
    (0..n_buckets).for_each(|b| starts[b + 1] += starts[b]);
    let mut next = starts.clone();
    let mut order = vec![0_u32; rows.num_rows()];
    for (row, hash) in (0_u32..).zip(&hashes) {
        let at = &mut next[bucket(hash)];
        order[*at as usize] = row;
        *at += 1;
    }
    let order = UInt32Array::from(order);
    let of_bucket = |b: usize| {
        let (from, to) = (starts[b] as usize, starts[b + 1] as usize);
        Ok::<_, DataFusionError>(take_record_batch(&rows, &order.slice(from, to - from))?)
    };
    let Some(spill_dir) = on_disk else {
        // The text of all buckets stays in one buffer: all of them are kept anyway.
        return Ok(Some(Chunk::Memory((0..n_buckets).map(of_bucket).collect::<Result<_, _>>()?)));
    };
    let mut named = tempfile::Builder::new();
    named.prefix("mingcha-").suffix(".rows");
    let file = match spill_dir {
        Some(dir) => named.tempfile_in(dir)?,
        None => named.tempfile()?,
    };
    let mut writer = FileWriter::try_new(BufWriter::new(file.reopen()?), &rows.schema())?;
    for b in 0..n_buckets {
        // A file would get all text of the part with every bucket.
        writer.write(&compact(&of_bucket(b)?))?;
    }
    writer.finish()?;
    Ok(Some(Chunk::Disk(file)))
}

impl Chunk {
    fn schema(&self) -> Result<SchemaRef, DataFusionError> {
        match self {
            Self::Memory(buckets) => {
                Ok(buckets.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema))
            }
            Self::Disk(file) => Ok(FileReader::try_new(BufReader::new(file.reopen()?), None)?.schema()),
        }
    }

    fn bucket(&self, bucket: usize) -> Result<Option<RecordBatch>, DataFusionError> {
        match self {
            Self::Memory(buckets) => Ok(buckets.get(bucket).cloned()),
            Self::Disk(file) => {
                let mut opened = file.reopen()?;
                opened.rewind()?;
                let mut reader = FileReader::try_new(BufReader::new(opened), None)?;
                reader.set_index(bucket)?;
                Ok(reader.next().transpose()?)
            }
        }
    }
}

/// Bytes that the rows are expected to take.
pub(crate) fn expected_bytes(tables: &dyn Tables, columns: &BTreeMap<String, BTreeSet<String>>) -> u64 {
    let width = |t: &DataType| t.primitive_width().unwrap_or(TEXT_BYTES) as u64;
    let of_dataset = |(dataset, wanted): (&String, &BTreeSet<String>)| {
        let contract = tables.contracts().iter().find(|c| c.name == *dataset);
        let schema = contract.map(sql_schema).or_else(|| builtin_schema(dataset))?;
        let fields = wanted.iter().filter_map(|name| schema.field_with_name(name).ok());
        Some(tables.rows(dataset)? * fields.map(|f| width(f.data_type())).sum::<u64>())
    };
    columns.iter().filter_map(of_dataset).sum()
}

fn failed(error: &DataFusionError) -> Diagnostic {
    let text = crate::plan::execution_text(error);
    Diagnostic::error("MC701", text.zh, text.en).with_help(
        "请检查临时目录的空间和权限（mingcha.toml 的 spill_dir）",
        "check that the folder for temporary files can be written and has room (`spill_dir` in mingcha.toml)",
    )
}

impl Tables for Dealt {
    fn contracts(&self) -> &[Contract] {
        self.tables.contracts()
    }

    fn n_persons(&self) -> u64 {
        self.tables.n_persons()
    }

    fn n_shards(&self) -> usize {
        self.n_buckets
    }

    fn rows(&self, dataset: &str) -> Option<u64> {
        self.tables.rows(dataset)
    }

    /// A bucket is no range of persons.
    fn shard_persons(&self, _shard: usize) -> Option<(i32, i32)> {
        None
    }

    fn part_rows(&self, dataset: &str, shard: usize) -> Option<u64> {
        let rows = self.tables.rows(dataset)?;
        (shard < self.n_buckets).then_some(rows / self.n_buckets as u64)
    }

    fn part_digest(&self, _dataset: &str, _part: Part) -> Option<String> {
        None
    }

    fn read(&self, dataset: &str, part: Part, columns: &[&str]) -> Result<Vec<RecordBatch>, Diagnostic> {
        let bucket = match part {
            Part::Shard(bucket) => bucket,
            // Rows without a person were dealt with all others.
            Part::Unassigned => return Ok(Vec::new()),
            other => return self.tables.read(dataset, other, columns),
        };
        let Some((schema, chunks)) = self.datasets.get(dataset) else {
            return Err(failed(&DataFusionError::Internal(format!("{dataset} was not dealt"))));
        };
        let Some(schema) = schema else { return Ok(Vec::new()) };
        let mut rows = Vec::new();
        for chunk in chunks {
            rows.extend(chunk.bucket(bucket).map_err(|e| failed(&e))?.filter(|b| b.num_rows() > 0));
        }
        let rows = concat_batches(schema, &rows).map_err(|e| failed(&e.into()))?;
        let wanted: Result<Vec<usize>, _> = columns.iter().map(|name| schema.index_of(name)).collect();
        let rows = wanted.and_then(|wanted| rows.project(&wanted)).map_err(|e| failed(&e.into()))?;
        Ok(vec![rows])
    }

    fn read_persons(
        &self,
        dataset: &str,
        _shard: usize,
        _columns: &[&str],
        _persons: &[i32],
    ) -> Result<Vec<RecordBatch>, Diagnostic> {
        Err(failed(&DataFusionError::Internal(format!("{dataset} does not lie by person here"))))
    }

    fn locate(&self, src: i64) -> Option<RowLocator> {
        self.tables.locate(src)
    }

    fn id_number(&self, pid: i32) -> Result<Option<String>, Diagnostic> {
        self.tables.id_number(pid)
    }

    fn absent_columns(&self, dataset: &str) -> Vec<String> {
        self.tables.absent_columns(dataset)
    }

    fn extract_date(&self, dataset: &str) -> Option<NaiveDate> {
        self.tables.extract_date(dataset)
    }
}

#[cfg(test)]
mod tests;
