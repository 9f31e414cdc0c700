//! The tables that rules see: a schema that never changes and a content that each execution brings along, so that
//! a plan is made once and executed on every shard, by several workers at a time. Knows where content comes
//! from (`mingcha_intake::Tables`) and nothing of rules.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat_batches, take, take_record_batch};
use arrow::datatypes::{Int32Type, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions, SchedulingType,
};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{TryStreamExt, stream};
use mingcha_intake::{Part, Tables};

use crate::person::{Lookup, PersonIndex, PersonSets, pieces};
use crate::stop::Stop;

/// Rows handed on at a time.
const BATCH_ROWS: usize = 8192;

/// Bytes that a column may hold for nothing.
const HELD: usize = 4096;

/// What a table holds at the moment. There is no default: a table of which nothing is known is not an empty one.
#[derive(Clone)]
pub(crate) enum Content {
    /// No rows: it was made and has none, or a dataset that may be missing was not delivered.
    Empty,
    /// Rows in memory; they may hold any superset of the columns asked for, found by name.
    Rows(Arc<Rows>),
    /// The whole dataset, read part by part when it is scanned.
    Whole(Arc<dyn Tables>),
    /// It was not made, and why: whatever reads it ends for the same reason.
    Unmade(Stop),
}

/// Rows in memory, as one batch, and their index by person, made when it is first asked for.
pub(crate) struct Rows {
    batch: RecordBatch,
    index: OnceLock<Option<PersonIndex>>,
}

impl Rows {
    /// The rows of `batches`, which have one schema; without batches a table of no rows.
    pub(crate) fn content(mut batches: Vec<RecordBatch>) -> Result<Content> {
        let batch = match (batches.len(), batches.first()) {
            (_, None) => return Ok(Content::Empty),
            (1, _) => batches.swap_remove(0),
            (_, Some(first)) => concat_batches(&first.schema(), &batches)?,
        };
        // A text column comes with a buffer per page; every slice and filter would count references to all of them.
        Ok(Content::Rows(Arc::new(Self { batch: compact(&batch), index: OnceLock::new() })))
    }

    fn index(&self) -> Option<&PersonIndex> {
        let persons = || self.batch.column_by_name("pid")?.as_primitive_opt::<Int32Type>();
        self.index.get_or_init(|| PersonIndex::of(persons()?)).as_ref()
    }
}

/// What the tables hold for one worker at the moment, by name.
#[derive(Default)]
pub(crate) struct Slots(RwLock<BTreeMap<String, Content>>);

impl Slots {
    /// Puts other content in place.
    pub(crate) fn put(&self, table: &str, content: Content) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(table.to_owned(), content);
    }

    /// Forgets what a table held: it has to be made again before it is read.
    pub(crate) fn clear(&self, table: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(table);
    }

    /// The same content, to be changed apart.
    pub(crate) fn copy(&self) -> Self {
        Self(RwLock::new(self.0.read().unwrap_or_else(PoisonError::into_inner).clone()))
    }

    /// Whether a table was put, were it only that it could not be made.
    pub(crate) fn has(&self, table: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains_key(table)
    }

    /// What a table holds. One that nobody put was never made.
    pub(crate) fn get(&self, table: &str) -> Content {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(table).cloned();
        known.unwrap_or_else(|| Content::Unmade(Stop::never_made(table)))
    }
}

/// What one execution of a plan knows: the content of the tables, and which persons the sides of its joins hold.
pub(crate) struct Scene {
    slots: Arc<Slots>,
    pub persons: PersonSets,
}

impl Scene {
    /// An execution over `slots`.
    pub(crate) fn new(slots: &Arc<Slots>) -> Self {
        Self { slots: Arc::clone(slots), persons: PersonSets::default() }
    }

    /// The scene that a plan is executed in.
    pub(crate) fn of(context: &TaskContext) -> Result<Arc<Self>> {
        context
            .session_config()
            .get_extension::<Self>()
            .ok_or_else(|| DataFusionError::Internal("a plan was executed without tables".to_owned()))
    }
}

/// A table without content of its own.
pub(crate) struct SlotTable {
    name: String,
    schema: SchemaRef,
    /// Rows to expect, for the choice of build sides; absent: unknown.
    estimate: Option<usize>,
}

impl SlotTable {
    pub(crate) fn new(name: &str, schema: SchemaRef, estimate: Option<usize>) -> Self {
        Self { name: name.to_owned(), schema, estimate }
    }
}

impl fmt::Debug for SlotTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotTable({})", self.name)
    }
}

#[async_trait]
impl TableProvider for SlotTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Ok(Arc::new(SlotScan {
            name: self.name.clone(),
            schema,
            estimate: self.estimate,
            lookups: Vec::new(),
            properties: Arc::new(properties),
        }))
    }
}

/// The leaf of a plan: reads the slot when executed.
#[derive(Clone)]
pub(crate) struct SlotScan {
    name: String,
    schema: SchemaRef,
    estimate: Option<usize>,
    /// Which persons' rows are wanted.
    lookups: Vec<Lookup>,
    properties: Arc<PlanProperties>,
}

impl SlotScan {
    /// The scan, reading only the rows that `lookup` asks for.
    pub(crate) fn with_lookup(&self, lookup: Lookup) -> Self {
        let mut scan = self.clone();
        scan.lookups.push(lookup);
        scan
    }

    /// The rows of one part of a dataset, or those of them that are looked up.
    fn part(&self, tables: &dyn Tables, part: Part, sets: &PersonSets) -> Result<Vec<RecordBatch>> {
        let persons = match part {
            Part::Shard(shard) => tables.shard_persons(shard),
            _ => None,
        };
        if persons.is_some_and(|(from, to)| sets.has_none_of(&self.lookups, from..to)) {
            return Ok(Vec::new());
        }
        let columns: Vec<&str> = self.schema.fields().iter().map(|f| f.name().as_str()).collect();
        let read = tables.read(&self.name, part, &columns);
        let mut out = Vec::new();
        for batch in read.map_err(|fault| DataFusionError::External(Box::new(fault)))? {
            let batch = compact(&select(&batch, &self.schema)?);
            match sets.rows(&self.lookups, &batch, None) {
                Some(wanted) => out.push(take_record_batch(&batch, &UInt32Array::from(wanted))?),
                None => out.push(batch),
            }
        }
        Ok(out.into_iter().flat_map(slices).collect())
    }

    /// Rows in memory, or those of them that are looked up.
    fn in_memory(&self, rows: &Rows, sets: &PersonSets) -> Result<Vec<RecordBatch>> {
        let batch = select(&rows.batch, &self.schema)?;
        if self.lookups.is_empty() {
            return Ok(slices(batch).collect());
        }
        match sets.rows(&self.lookups, &batch, rows.index()) {
            Some(wanted) => {
                pieces(&wanted, BATCH_ROWS).map(|at| Ok(take_record_batch(&batch, &at)?)).collect()
            }
            None => Ok(slices(batch).collect()),
        }
    }
}

impl fmt::Debug for SlotScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotScan({})", self.name)
    }
}

impl DisplayAs for SlotScan {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<&str> = self.schema.fields().iter().map(|c| c.name().as_str()).collect();
        let lookup = if self.lookups.is_empty() { "" } else { ", by person" };
        write!(f, "SlotScan: {} [{}]{lookup}", self.name, columns.join(", "))
    }
}

impl ExecutionPlan for SlotScan {
    fn name(&self) -> &'static str {
        "SlotScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let scene = Scene::of(&context)?;
        let content = scene.slots.get(&self.name);
        let schema = Arc::clone(&self.schema);
        match content {
            Content::Empty => Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::empty()))),
            Content::Rows(rows) => {
                // Looked at when the first row is asked for: by then the persons of a look-up are known.
                let scan = self.clone();
                let read = async move {
                    Ok::<_, DataFusionError>(stream::iter(
                        scan.in_memory(&rows, &scene.persons)?.into_iter().map(Ok),
                    ))
                };
                Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::once(read).try_flatten())))
            }
            Content::Unmade(stop) => Err(stop.into_error()),
            Content::Whole(tables) => {
                let scan = self.clone();
                let rows = parts(tables.as_ref(), &self.name)?.into_iter().flat_map(move |part| {
                    match scan.part(tables.as_ref(), part, &scene.persons) {
                        Ok(batches) => batches.into_iter().map(Ok).collect(),
                        Err(error) => vec![Err(error)],
                    }
                });
                Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(rows))))
            }
        }
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        if let Some(rows) = self.estimate {
            statistics.num_rows = Precision::Inexact(rows);
        }
        Ok(Arc::new(statistics))
    }
}

/// Every part of a dataset: its persons' shards and the rows without a person, or the rows of a reference table.
fn parts(tables: &dyn Tables, dataset: &str) -> Result<Vec<Part>> {
    if tables.rows(dataset).is_none() {
        return Err(Stop::never_made(dataset).into_error());
    }
    let shards = (0..tables.n_shards()).map(Part::Shard);
    Ok(match tables.contracts().iter().find(|c| c.name == dataset) {
        Some(contract) if contract.person.is_some() => shards.chain([Part::Unassigned]).collect(),
        None if dataset == "persons" => shards.collect(),
        _ => vec![Part::Whole],
    })
}

/// The columns of `schema`, by name. Batches without columns keep their row count.
fn select(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = schema
        .fields()
        .iter()
        .map(|f| {
            batch
                .column_by_name(f.name())
                .cloned()
                .ok_or_else(|| DataFusionError::Internal(format!("column {} was not loaded", f.name())))
        })
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// The same rows in memory of their own: what was filtered or cut out of a shard still holds the whole columns, and
/// all text, that it came from.
pub(crate) fn compact(batch: &RecordBatch) -> RecordBatch {
    let columns = batch.columns().iter().map(own).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options).unwrap_or_else(|_| batch.clone())
}

fn own(column: &ArrayRef) -> ArrayRef {
    let data = column.to_data();
    let rows = data.get_slice_memory_size().unwrap_or(usize::MAX);
    let text = column.as_string_view_opt();
    let of_text: usize = text.map_or(0, |t| t.data_buffers().iter().map(|b| b.len()).sum());
    let held = column.get_buffer_memory_size().saturating_sub(of_text);
    let column = if held > rows.saturating_sub(of_text).saturating_mul(2).saturating_add(HELD) {
        let all: UInt32Array = (0..u32::try_from(column.len()).unwrap_or(u32::MAX)).collect();
        take(column, &all, None).unwrap_or_else(|_| Arc::clone(column))
    } else {
        Arc::clone(column)
    };
    match text {
        Some(text) if text.data_buffers().len() > 1 || of_text > HELD => {
            Arc::new(column.as_string_view().gc())
        }
        _ => column,
    }
}

/// A batch in pieces of the usual size.
pub(crate) fn slices(batch: RecordBatch) -> impl Iterator<Item = RecordBatch> {
    let rows = batch.num_rows();
    (0..rows).step_by(BATCH_ROWS).map(move |from| batch.slice(from, BATCH_ROWS.min(rows - from)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{Budget, Workplace};
    use crate::local;
    use crate::plan::{Catalog, Cut, compile};
    use crate::sql;
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::physical_plan::collect;

    /// Rows of a plan over `a` and `b`, of which `put` are among the tables and empty.
    fn rows(text: &str, put: &[&str]) -> Result<usize> {
        let mut catalog = Catalog::new(&[], None).unwrap();
        let field = |name: &str, ty| Field::new(name, ty, true);
        let fields = vec![field("pid", DataType::Int32), field("src", DataType::Int64)];
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        for name in ["a", "b"] {
            catalog.define(name, Arc::clone(&schema), Some(&local::by_person(&schema)), None).unwrap();
        }
        let plan = compile(&catalog, sql::parse(text).unwrap(), None, Cut::Nothing).unwrap();
        let slots = Arc::new(Slots::default());
        put.iter().for_each(|name| slots.put(name, Content::Empty));
        let place = Workplace::new(&catalog.session, &Budget::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let batches = runtime.block_on(collect(plan.physical, place.execution(Scene::new(&slots))))?;
        Ok(batches.iter().map(RecordBatch::num_rows).sum())
    }

    #[test]
    fn a_table_that_nobody_made_is_an_error_and_no_empty_table() {
        for text in [
            "SELECT a.pid FROM a",
            "SELECT a.pid FROM a LEFT JOIN b ON b.pid = a.pid",
            "SELECT a.pid FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.pid = a.pid)",
            "SELECT b.pid FROM b UNION ALL SELECT a.pid FROM a",
        ] {
            assert_eq!(rows(text, &["a", "b"]).unwrap(), 0, "{text}");
            let error = rows(text, &["b"]).expect_err(text);
            assert!(!error.to_string().is_empty());
        }
        let text = "SELECT a.pid FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.pid = a.pid)";
        assert!(rows(text, &["a"]).is_err(), "without its other side nobody would have a partner");
    }
}
