//! The person index and the look-up that stands for a join on `pid`: the side that is made first says which
//! persons it holds, and the tables of the other side then give the rows of those persons only, found by their
//! offset instead of being scanned and hashed. The join itself, with its residual conditions, stays as it is.
//!
//! What may be left out: rows of persons that the first side does not hold. They are taken out as deep in the
//! other side as their person can be followed: through filters, projections, groups and windows by person, and
//! joins on the person. [`restricted`] is the whole list; whatever is not on it is read whole, as before.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, AsArray, Int32Array, RecordBatch, UInt32Array};
use arrow::datatypes::{Int32Type, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{JoinSide, JoinType, NullEquality, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;

use super::{aggregate, exists, is_one_stream, person_column, window, with_children};
use crate::tables::{Scene, SlotScan};

/// More persons than this are not kept: the other side is read whole then.
const MOST_PERSONS: usize = 1 << 20;

/// Where the rows of each person begin in a table that is sorted by person.
#[derive(Debug)]
pub(crate) struct PersonIndex {
    first: i32,
    /// One offset per person from `first` on, and the end.
    starts: Vec<u32>,
}

impl PersonIndex {
    /// The index of a `pid` column; `None`: it is not sorted, holds NULL, or reaches too far for its rows.
    pub(crate) fn of(persons: &Int32Array) -> Option<Self> {
        let values = persons.values();
        let (first, last) = (*values.first()?, *values.last()?);
        let span = usize::try_from(i64::from(last) - i64::from(first) + 1).ok()?;
        let sorted = persons.null_count() == 0 && values.windows(2).all(|w| w[0] <= w[1]);
        if !sorted || span > values.len().saturating_mul(64) + (1 << 20) {
            return None;
        }
        let mut starts = vec![0_u32; span + 1];
        for person in values {
            starts[(person - first) as usize + 1] += 1;
        }
        for i in 1..starts.len() {
            starts[i] = starts[i].checked_add(starts[i - 1])?;
        }
        Some(Self { first, starts })
    }

    /// The rows of a person.
    pub(crate) fn rows(&self, person: i32) -> std::ops::Range<u32> {
        let at = usize::try_from(i64::from(person) - i64::from(self.first)).ok();
        match at.and_then(|at| Some(*self.starts.get(at)?..*self.starts.get(at + 1)?)) {
            Some(rows) => rows,
            None => 0..0,
        }
    }
}

/// Stands, in a plan, for the persons that one side of a join holds. What they are is known by the execution.
type SetKey = Arc<u8>;

/// The persons that the sides of joins hold, in one execution of a plan. A side is in it once it is made.
#[derive(Debug, Default)]
pub(crate) struct PersonSets(Mutex<BTreeMap<usize, Arc<Vec<i32>>>>);

/// On a table scan: read only these persons' rows.
#[derive(Debug, Clone)]
pub(crate) struct Lookup {
    /// Column of the scan that holds the person.
    column: usize,
    set: SetKey,
}

impl PersonSets {
    fn put(&self, key: &SetKey, persons: Vec<i32>) {
        let key = Arc::as_ptr(key) as usize;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::new(persons));
    }

    fn get(&self, key: &SetKey) -> Option<Arc<Vec<i32>>> {
        let key = Arc::as_ptr(key) as usize;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    /// Whether it is known that `lookups` ask for nobody of a range of persons.
    pub(crate) fn has_none_of(&self, lookups: &[Lookup], range: std::ops::Range<i32>) -> bool {
        lookups.iter().filter_map(|l| self.get(&l.set)).any(|persons| {
            let next = persons.partition_point(|p| *p < range.start);
            persons.get(next).is_none_or(|p| *p >= range.end)
        })
    }

    /// The rows of `batch` (all rows of a table, in the scan's columns) that `lookups` leave. The smallest set
    /// of persons is asked; the join looks at the rest anyway. `None`: read it whole.
    pub(crate) fn rows(
        &self,
        lookups: &[Lookup],
        batch: &RecordBatch,
        index: Option<&PersonIndex>,
    ) -> Option<Vec<u32>> {
        let known = lookups.iter().filter_map(|l| Some((l.column, self.get(&l.set)?)));
        let (column, persons) = known.min_by_key(|(_, p)| p.len())?;
        let all = batch.num_rows();
        if let Some(index) = index {
            let wanted: usize = persons.iter().map(|p| index.rows(*p).len()).sum();
            // Copying most of a table costs more than passing it on.
            return (wanted * 2 <= all).then(|| persons.iter().flat_map(|p| index.rows(*p)).collect());
        }
        let column = batch.column(column).as_primitive_opt::<Int32Type>()?;
        let (first, last) = (*persons.first().unwrap_or(&0), *persons.last().unwrap_or(&-1));
        let place = |p: i32| usize::try_from(i64::from(p) - i64::from(first)).ok();
        let mut holds = vec![false; place(last).map_or(0, |at| at + 1)];
        for person in persons.iter() {
            if let Some(at) = place(*person) {
                holds[at] = true;
            }
        }
        let wanted = |p: i32| place(p).and_then(|at| holds.get(at).copied()) == Some(true);
        Some(
            (0_u32..).zip(column.iter()).filter(|(_, p)| p.is_some_and(wanted)).map(|(row, _)| row).collect(),
        )
    }
}

/// Gives every join on `pid` whose first side decides alone which persons matter its look-up.
pub(super) fn restrict_joins(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = match published(plan)? {
        Some(better) => better,
        None => Arc::clone(plan),
    };
    let children = plan.children().into_iter().map(restrict_joins).collect::<Result<Vec<_>>>()?;
    if children.is_empty() { Ok(plan) } else { with_children(plan, children) }
}

/// The join with its left side saying which persons it holds, and its right side reading those only.
fn published(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(join) = plan.downcast_ref::<HashJoinExec>() else {
        return exists::published(plan);
    };
    // Rows of the right side without a partner must not be asked for.
    let left_decides = matches!(
        join.join_type(),
        JoinType::Inner
            | JoinType::Left
            | JoinType::LeftSemi
            | JoinType::LeftAnti
            | JoinType::LeftMark
            | JoinType::RightSemi
    );
    if !left_decides
        || join.null_equality() != NullEquality::NullEqualsNothing
        || *join.partition_mode() != PartitionMode::CollectLeft
        || join.null_aware
    {
        return Ok(None);
    }
    let Some((left, right)) = person_keys(join) else { return Ok(None) };
    let Some((publisher, restricted)) = publish(join.left(), left, join.right(), right)? else {
        return Ok(None);
    };
    Ok(Some(with_children(Arc::clone(plan), vec![publisher, restricted])?))
}

type Plan = Arc<dyn ExecutionPlan>;

/// `from` saying which persons its column `from_column` holds, and `to` reading only those of `to_column`.
pub(super) fn publish(
    from: &Arc<dyn ExecutionPlan>,
    from_column: usize,
    to: &Arc<dyn ExecutionPlan>,
    to_column: usize,
) -> Result<Option<(Plan, Plan)>> {
    if !is_one_stream(from) {
        return Ok(None);
    }
    let set = SetKey::default();
    let Some(restricted) = restricted(to, to_column, &set)? else { return Ok(None) };
    let publisher = PersonSetExec { input: Arc::clone(from), column: from_column, set };
    Ok(Some((Arc::new(publisher), restricted)))
}

/// The columns of the two sides that a join compares as persons.
fn person_keys(join: &HashJoinExec) -> Option<(usize, usize)> {
    join.on().iter().find_map(|(l, r)| {
        Some((person_column(l, join.left().as_ref())?, person_column(r, join.right().as_ref())?))
    })
}

/// `plan` with its tables reading only the persons of `set`, where `column` of its output is the person. Rows
/// of other persons may be missing from its output, or differ; rows of the set's persons are the same. `None`:
/// no table of it can be read so.
fn restricted(
    plan: &Arc<dyn ExecutionPlan>,
    column: usize,
    set: &SetKey,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(scan) = plan.downcast_ref::<SlotScan>() {
        let by_pid = scan.schema().field(column).name() == "pid";
        let lookup = Lookup { column, set: Arc::clone(set) };
        return Ok(by_pid.then(|| Arc::new(scan.with_lookup(lookup)) as Arc<dyn ExecutionPlan>));
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let inner = match filter.projection() {
            Some(projection) => projection[column],
            None => column,
        };
        return through(plan, &[Some(inner)], set);
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let inner = projection.expr()[column].expr.downcast_ref::<Column>().map(Column::index);
        return through(plan, &[inner], set);
    }
    if plan.downcast_ref::<SortExec>().is_some_and(|s| s.fetch().is_none())
        || plan.is::<PersonSetExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.downcast_ref::<SortPreservingMergeExec>().is_some_and(|m| m.fetch().is_none())
    {
        return through(plan, &[Some(column)], set);
    }
    if let Some(union) = plan.downcast_ref::<UnionExec>() {
        return through(plan, &vec![Some(column); union.inputs().len()], set);
    }
    if let Some(grouped) = plan.downcast_ref::<AggregateExec>() {
        let group = grouped.group_expr();
        if !group.is_single() || group.is_empty() || grouped.limit_options().is_some() {
            return Ok(None);
        }
        let inner = group.expr().get(column).and_then(|(e, _)| e.downcast_ref::<Column>()).map(Column::index);
        return through(plan, &[inner], set);
    }
    if let Some(inner) = aggregate::group_column(plan.as_ref(), column) {
        return through(plan, &[Some(inner)], set);
    }
    if window::partitioned_by(plan.as_ref(), column) {
        return through(plan, &[Some(column)], set);
    }
    if let Some(columns) = exists::person_columns(plan.as_ref(), column) {
        return through(plan, &columns, set);
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return through(plan, &join_columns(join, column), set);
    }
    Ok(None)
}

/// Which column of either side of a join holds the person, if `column` of its output does; absent: that side
/// must be read whole.
fn join_columns(join: &HashJoinExec, column: usize) -> [Option<usize>; 2] {
    let column = join.projection.as_ref().map_or(column, |p| p[column]);
    let n_left = join.left().schema().fields().len();
    let kind = *join.join_type();
    let (side, inner) = match kind {
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => (JoinSide::Right, column),
        _ if column < n_left => (JoinSide::Left, column),
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => return [None, None],
        _ => (JoinSide::Right, column - n_left),
    };
    if join.null_aware || join.null_equality() != NullEquality::NullEqualsNothing {
        return [None, None];
    }
    // The person must come from the side whose rows the join does not fill up with NULL.
    let sound = match side {
        JoinSide::Left => {
            inner < n_left
                && matches!(
                    kind,
                    JoinType::Inner
                        | JoinType::Left
                        | JoinType::LeftSemi
                        | JoinType::LeftAnti
                        | JoinType::LeftMark
                )
        }
        _ => {
            inner < join.right().schema().fields().len()
                && matches!(
                    kind,
                    JoinType::Inner
                        | JoinType::Right
                        | JoinType::RightSemi
                        | JoinType::RightAnti
                        | JoinType::RightMark
                )
        }
    };
    if !sound {
        return [None, None];
    }
    // Rows of another person on the other side could only meet rows that do not matter.
    let partner = join.on().iter().find_map(|(l, r)| {
        let (l, r) = (l.downcast_ref::<Column>()?.index(), r.downcast_ref::<Column>()?.index());
        match side {
            JoinSide::Left => (l == inner).then_some(r),
            _ => (r == inner).then_some(l),
        }
    });
    match side {
        JoinSide::Left => [Some(inner), partner],
        _ => [partner, Some(inner)],
    }
}

/// Restricts those children of `plan` whose person column is known.
fn through(
    plan: &Arc<dyn ExecutionPlan>,
    columns: &[Option<usize>],
    set: &SetKey,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let mut any = false;
    let mut children = Vec::new();
    for (child, column) in plan.children().into_iter().zip(columns) {
        let better = match column {
            Some(column) => restricted(child, *column, set)?,
            None => None,
        };
        any |= better.is_some();
        children.push(better.unwrap_or_else(|| Arc::clone(child)));
    }
    if any { Ok(Some(with_children(Arc::clone(plan), children)?)) } else { Ok(None) }
}

/// Passes rows on and, at their end, says which persons they hold.
struct PersonSetExec {
    input: Arc<dyn ExecutionPlan>,
    column: usize,
    set: SetKey,
}

impl fmt::Debug for PersonSetExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonSetExec")
    }
}

impl DisplayAs for PersonSetExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PersonSetExec: {}@{}", self.input.schema().field(self.column).name(), self.column)
    }
}

impl ExecutionPlan for PersonSetExec {
    fn name(&self) -> &'static str {
        "PersonSetExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self { input: children.swap_remove(0), column: self.column, set: Arc::clone(&self.set) }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        with_children(self, children)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (set, scene) = (Arc::clone(&self.set), Scene::of(&context)?);
        let schema: SchemaRef = self.input.schema();
        let column = self.column;
        let mut input = self.input.execute(partition, context)?;
        let mut persons: Option<Vec<i32>> = Some(Vec::new());
        let mut ended = false;
        let rows = futures::stream::poll_fn(move |cx| {
            if ended {
                return std::task::Poll::Ready(None);
            }
            let polled = input.poll_next_unpin(cx);
            match &polled {
                std::task::Poll::Ready(Some(Ok(batch))) => note(&mut persons, batch, column),
                std::task::Poll::Ready(Some(Err(_))) => ended = true,
                std::task::Poll::Ready(None) => {
                    ended = true;
                    if let Some(mut all) = persons.take() {
                        all.sort_unstable();
                        all.dedup();
                        scene.persons.put(&set, all);
                    }
                }
                std::task::Poll::Pending => {}
            }
            polled
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

/// Adds the persons of a batch, unless they become too many.
fn note(persons: &mut Option<Vec<i32>>, batch: &RecordBatch, column: usize) {
    let Some(known) = persons else { return };
    if let Some(column) = batch.column(column).as_primitive_opt::<Int32Type>() {
        for person in column.iter().flatten() {
            if known.last() != Some(&person) {
                known.push(person);
            }
        }
    }
    if known.len() > MOST_PERSONS {
        known.sort_unstable();
        known.dedup();
        if known.len() > MOST_PERSONS {
            *persons = None;
        }
    }
}

/// Row numbers as an index array, in pieces of at most `size`.
pub(crate) fn pieces(rows: &[u32], size: usize) -> impl Iterator<Item = UInt32Array> + '_ {
    rows.chunks(size.max(1)).map(|c| UInt32Array::from(c.to_vec()))
}
