//! EXISTS and NOT EXISTS within a person: "has no stay in the year before the payment". A hash join builds
//! every pair of a person's rows and then looks at the dates; here each row searches the other side's rows of
//! its person, which are sorted by the column that the condition bounds, and stops at the first that fits.
//!
//! Understood: semi, anti and mark joins on the person, with conditions that compare something of one side with
//! something of the other (`v.visit_date >= p.paid_date`), or look at one side only. All else stays a hash join.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DynComparator, RecordBatch, RecordBatchOptions, make_comparator,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{SortOptions, cast, filter_record_batch};
use arrow::datatypes::{DataType, Int32Type, Int64Type, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, JoinSide, JoinType, NullEquality, Result};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream as streams};

use super::groups::Groups;
use super::window::condition;
use super::{is_one_stream, lookup, person_column, stream, with_children};
use crate::plan::estimated_rows;

/// What comes out of the kept side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Semi,
    Anti,
    /// All rows, and whether there is a partner.
    Mark,
}

/// `kept operator other`.
#[derive(Clone)]
struct Test {
    kept: Arc<dyn PhysicalExpr>,
    operator: Operator,
    other: Arc<dyn PhysicalExpr>,
}

/// The conditions of the join besides the person.
#[derive(Clone, Default)]
struct Conditions {
    tests: Vec<Test>,
    kept_only: Vec<Arc<dyn PhysicalExpr>>,
    other_only: Vec<Arc<dyn PhysicalExpr>>,
}

/// The operator in place of a semi, anti or mark join; `None` where it does not fit.
pub(super) fn replace(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(join) = plan.downcast_ref::<HashJoinExec>() else { return Ok(None) };
    let (kept_side, kind) = match join.join_type() {
        JoinType::LeftSemi => (JoinSide::Left, Kind::Semi),
        JoinType::LeftAnti => (JoinSide::Left, Kind::Anti),
        JoinType::LeftMark => (JoinSide::Left, Kind::Mark),
        JoinType::RightSemi => (JoinSide::Right, Kind::Semi),
        JoinType::RightAnti => (JoinSide::Right, Kind::Anti),
        JoinType::RightMark => (JoinSide::Right, Kind::Mark),
        _ => return Ok(None),
    };
    if join.null_equality() != NullEquality::NullEqualsNothing
        || *join.partition_mode() != PartitionMode::CollectLeft
        || join.null_aware
    {
        return Ok(None);
    }
    let left_kept = kept_side == JoinSide::Left;
    let (kept, other) = if left_kept { (join.left(), join.right()) } else { (join.right(), join.left()) };
    if !is_one_stream(kept) || !is_one_stream(other) {
        return Ok(None);
    }
    let turned = |pair: &(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)| {
        let (l, r) = (Arc::clone(&pair.0), Arc::clone(&pair.1));
        if left_kept { (l, r) } else { (r, l) }
    };
    let mut conditions = Conditions::default();
    let mut persons = None;
    for (k, o) in join.on().iter().map(turned) {
        match (person_column(&k, kept.as_ref()), person_column(&o, other.as_ref())) {
            (Some(k), Some(o)) if persons.is_none() => persons = Some((k, o)),
            _ => conditions.tests.push(Test { kept: k, operator: Operator::Eq, other: o }),
        }
    }
    let Some((kept_person, other_person)) = persons else { return Ok(None) };
    if let Some(filter) = join.filter()
        && !split(filter, kept_side, &mut conditions)?
    {
        return Ok(None);
    }
    let schema = plan.schema();
    Ok(Some(Arc::new(PersonExistsExec {
        kind,
        kept_person,
        other_person,
        conditions,
        kept_first: false,
        projection: join.projection.as_ref().map(|p| p.to_vec()),
        properties: stream::properties(&schema, None, kept),
        kept: Arc::clone(kept),
        other: Arc::clone(other),
        schema,
    })))
}

/// Sorts the conjuncts of a join's filter; `false`: one of them is not understood.
fn split(filter: &JoinFilter, kept_side: JoinSide, conditions: &mut Conditions) -> Result<bool> {
    let sided = |expr: &Arc<dyn PhysicalExpr>| one_side(expr, filter);
    for conjunct in split_conjunction(filter.expression()) {
        match sided(conjunct)? {
            Some((Some(side), expr)) if side == kept_side => conditions.kept_only.push(expr),
            Some((Some(_), expr)) => conditions.other_only.push(expr),
            Some((None, expr)) => conditions.other_only.push(expr),
            None => {
                let Some(binary) = conjunct.downcast_ref::<BinaryExpr>() else { return Ok(false) };
                let (Some((Some(l), left)), Some((Some(_), right))) =
                    (sided(binary.left())?, sided(binary.right())?)
                else {
                    return Ok(false);
                };
                let operator = if l == kept_side { Some(*binary.op()) } else { binary.op().swap() };
                let comparison = operator.filter(|o| {
                    matches!(
                        o,
                        Operator::Eq
                            | Operator::NotEq
                            | Operator::Lt
                            | Operator::LtEq
                            | Operator::Gt
                            | Operator::GtEq
                    )
                });
                let Some(operator) = comparison else { return Ok(false) };
                let (kept, other) = if l == kept_side { (left, right) } else { (right, left) };
                conditions.tests.push(Test { kept, operator, other });
            }
        }
    }
    Ok(true)
}

/// An expression, and the side whose columns it reads, if it reads any.
type OneSided = (Option<JoinSide>, Arc<dyn PhysicalExpr>);

/// An expression over a filter's columns as one over the columns of the side that it reads; `None`: it reads
/// both. No side: it reads no column.
fn one_side(expr: &Arc<dyn PhysicalExpr>, filter: &JoinFilter) -> Result<Option<OneSided>> {
    let (mut left, mut right) = (false, false);
    let moved = Arc::clone(expr).transform(|e| {
        let Some(column) = e.downcast_ref::<Column>() else { return Ok(Transformed::no(e)) };
        let place = &filter.column_indices()[column.index()];
        match place.side {
            JoinSide::Left => left = true,
            _ => right = true,
        }
        Ok(Transformed::yes(Arc::new(Column::new(column.name(), place.index)) as Arc<dyn PhysicalExpr>))
    })?;
    Ok(match (left, right) {
        (true, true) => None,
        (true, false) => Some((Some(JoinSide::Left), moved.data)),
        (false, true) => Some((Some(JoinSide::Right), moved.data)),
        (false, false) => Some((None, moved.data)),
    })
}

/// With one side saying which persons it holds, and the other reading only those: the kept side, whose persons
/// alone ask, or, where only rows with a partner come out, the side that is expected to be smaller.
pub(super) fn published(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(own) = plan.downcast_ref::<PersonExistsExec>() else { return Ok(None) };
    let smaller =
        matches!((estimated_rows(&own.other), estimated_rows(&own.kept)), (Some(o), Some(k)) if o < k);
    if own.kind == Kind::Semi
        && smaller
        && let Some((other, kept)) =
            lookup::publish(&own.other, own.other_person, &own.kept, own.kept_person)?
    {
        return Ok(Some(Arc::new(own.with(kept, other, false))));
    }
    let found = lookup::publish(&own.kept, own.kept_person, &own.other, own.other_person)?;
    Ok(found.map(|(kept, other)| Arc::new(own.with(kept, other, true)) as Arc<dyn ExecutionPlan>))
}

/// Which column of either child holds the person, if `plan` is this operator and `column` of its output does.
pub(super) fn person_columns(plan: &dyn ExecutionPlan, column: usize) -> Option<[Option<usize>; 2]> {
    let own = plan.downcast_ref::<PersonExistsExec>()?;
    let column = own.projection.as_ref().map_or(column, |p| p[column]);
    if column >= own.kept.schema().fields().len() {
        return Some([None, None]);
    }
    let other = (column == own.kept_person).then_some(own.other_person);
    Some([Some(column), other])
}

struct PersonExistsExec {
    kind: Kind,
    kept: Arc<dyn ExecutionPlan>,
    other: Arc<dyn ExecutionPlan>,
    kept_person: usize,
    other_person: usize,
    conditions: Conditions,
    /// Columns that come out, of the kept ones and the mark.
    projection: Option<Vec<usize>>,
    /// Whether the kept side says which persons the other need read; else the other side is made first.
    kept_first: bool,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl PersonExistsExec {
    fn with(&self, kept: Arc<dyn ExecutionPlan>, other: Arc<dyn ExecutionPlan>, kept_first: bool) -> Self {
        Self {
            kind: self.kind,
            kept,
            other,
            kept_person: self.kept_person,
            other_person: self.other_person,
            conditions: self.conditions.clone(),
            projection: self.projection.clone(),
            kept_first,
            schema: Arc::clone(&self.schema),
            properties: Arc::clone(&self.properties),
        }
    }
}

impl fmt::Debug for PersonExistsExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonExistsExec")
    }
}

impl DisplayAs for PersonExistsExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tests: Vec<String> =
            self.conditions.tests.iter().map(|t| format!("{} {} {}", t.kept, t.operator, t.other)).collect();
        write!(f, "PersonExistsExec: {:?}, [{}]", self.kind, tests.join(", "))
    }
}

impl ExecutionPlan for PersonExistsExec {
    fn name(&self) -> &'static str {
        "PersonExistsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.kept, &self.other]
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
        let other = children.swap_remove(1);
        let kept = children.swap_remove(0);
        Ok(Arc::new(self.with(kept, other, self.kept_first)))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        with_children(self, children)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut kept = self.kept.execute(partition, Arc::clone(&context))?;
        let other = self.other.execute(partition, Arc::clone(&context))?;
        let mut reservation = MemoryConsumer::new("PersonExistsExec").register(context.memory_pool());
        let (conditions, kept_person, other_person) =
            (self.conditions.clone(), self.kept_person, self.other_person);
        let (kind, projection, schema) = (self.kind, self.projection.clone(), Arc::clone(&self.schema));
        let kept_first = self.kept_first;
        let done = async move {
            let mut waiting = Vec::new();
            if kept_first {
                while let Some(batch) = kept.try_next().await? {
                    reservation.try_grow(stream::own_size(&batch))?;
                    waiting.push(Ok(batch));
                }
            }
            let other = stream::whole(other, &mut reservation).await?;
            let search = Search::new(conditions, kept_person, other_person, &other)?;
            let answered = streams::iter(waiting).chain(kept).map(move |batch| {
                let _held = &reservation;
                let batch = batch?;
                let found = search.run(&batch)?;
                output(&batch, found, kind, projection.as_deref(), &schema)
            });
            Ok::<_, DataFusionError>(answered)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            streams::once(done).try_flatten(),
        )))
    }
}

fn output(
    kept: &RecordBatch,
    found: Vec<bool>,
    kind: Kind,
    projection: Option<&[usize]>,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let found = BooleanArray::from(found);
    let rows = match kind {
        Kind::Semi => filter_record_batch(kept, &found)?,
        Kind::Anti => filter_record_batch(kept, &arrow::compute::not(&found)?)?,
        Kind::Mark => kept.clone(),
    };
    let n_rows = rows.num_rows();
    let mut columns = rows.columns().to_vec();
    if kind == Kind::Mark {
        columns.push(Arc::new(found));
    }
    if let Some(projection) = projection {
        columns = projection.iter().map(|c| Arc::clone(&columns[*c])).collect();
    }
    let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// The other side, made ready to be searched: for each kept row, has it a row of the same person that meets the
/// conditions?
struct Search {
    conditions: Conditions,
    kept_person: usize,
    groups: Groups,
    places: Places,
    others: Vec<Other>,
    /// The test whose value the rows of each person are sorted by.
    sorted_by: Option<usize>,
}

/// What a test compares with, for all rows of the other side.
struct Other {
    array: ArrayRef,
    numbers: Option<Numbers>,
}

impl Search {
    fn new(
        conditions: Conditions,
        kept_person: usize,
        other_person: usize,
        other: &RecordBatch,
    ) -> Result<Self> {
        let other = match all_hold(&conditions.other_only, other)? {
            Some(holds) => &filter_record_batch(other, &holds)?,
            None => other,
        };
        let persons = other.column(other_person);
        let mut groups = Groups::of(std::slice::from_ref(persons))?;
        let others = conditions.tests.iter().map(|t| Other::of(t, other)).collect::<Result<Vec<_>>>()?;
        let sorted_by = conditions
            .tests
            .iter()
            .zip(&others)
            .position(|(t, o)| is_range(t.operator) && o.numbers.is_some());
        if let Some(numbers) = sorted_by.and_then(|at| others[at].numbers.as_ref()) {
            groups.sort_by(&[|a: usize, b: usize| numbers.at(a).cmp(&numbers.at(b))]);
        }
        let places = Places::of(&groups, persons.as_primitive::<Int32Type>());
        Ok(Self { conditions, kept_person, groups, places, others, sorted_by })
    }

    fn run(&self, kept: &RecordBatch) -> Result<Vec<bool>> {
        let mut found = vec![false; kept.num_rows()];
        let looks = all_hold(&self.conditions.kept_only, kept)?;
        let tests = self
            .conditions
            .tests
            .iter()
            .zip(&self.others)
            .map(|(t, o)| Made::of(t, o, kept))
            .collect::<Result<Vec<_>>>()?;
        // Tests of the sorted value are answered by where they cut the rows, the others row by row.
        let cuts_rows = |at: usize| {
            self.sorted_by.is_some_and(|by| {
                let (test, sorted) = (&self.conditions.tests[at], &self.conditions.tests[by]);
                is_range(test.operator)
                    && *test.other == *sorted.other
                    && matches!(tests[at], Made::Numbers { .. })
            })
        };
        let (cuts, checks): (Vec<usize>, Vec<usize>) = (0..tests.len()).partition(|at| cuts_rows(*at));
        let persons = kept.column(self.kept_person).as_primitive::<Int32Type>();
        for (row, hit) in found.iter_mut().enumerate() {
            if persons.is_null(row) || looks.as_ref().is_some_and(|l| !l.value(row)) {
                continue;
            }
            let mut rows = self.places.rows(persons.value(row), &self.groups);
            for at in &cuts {
                rows = tests[*at].cut(row, rows);
            }
            *hit = rows.iter().any(|o| checks.iter().all(|at| tests[*at].holds(row, *o as usize)));
        }
        Ok(found)
    }
}

/// Where each person's group is.
struct Places {
    first: i32,
    /// Group by person from `first` on, plus one; 0: none.
    groups: Vec<u32>,
    sparse: std::collections::HashMap<i32, u32>,
}

impl Places {
    fn of(groups: &Groups, persons: &arrow::array::Int32Array) -> Self {
        let known = |g: &usize| {
            let row = groups.rows(*g)[0] as usize;
            persons.is_valid(row).then(|| persons.value(row))
        };
        let all: Vec<(i32, u32)> =
            (0..groups.len()).filter_map(|g| Some((known(&g)?, g as u32 + 1))).collect();
        let (low, high) = all.iter().fold((i32::MAX, i32::MIN), |(l, h), (p, _)| (l.min(*p), h.max(*p)));
        let span = (i64::from(high) - i64::from(low) + 1).max(0) as usize;
        if span > all.len().saturating_mul(64) + (1 << 20) {
            return Self { first: 0, groups: Vec::new(), sparse: all.into_iter().collect() };
        }
        let mut places = vec![0; span];
        for (person, group) in all {
            places[(i64::from(person) - i64::from(low)) as usize] = group;
        }
        Self { first: low, groups: places, sparse: std::collections::HashMap::new() }
    }

    fn rows<'g>(&self, person: i32, groups: &'g Groups) -> &'g [u32] {
        let dense = usize::try_from(i64::from(person) - i64::from(self.first))
            .ok()
            .and_then(|at| self.groups.get(at).copied());
        match dense.or_else(|| self.sparse.get(&person).copied()) {
            Some(group) if group > 0 => groups.rows(group as usize - 1),
            _ => &[],
        }
    }
}

fn all_hold(conditions: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<Option<BooleanArray>> {
    let mut all: Option<BooleanArray> = None;
    for expr in conditions {
        let holds = condition(expr, batch)?;
        all = Some(match all {
            Some(all) => arrow::compute::and(&all, &holds)?,
            None => holds,
        });
    }
    Ok(all)
}

/// A column of whole numbers (dates and moments are such), as 64 bits.
struct Numbers {
    values: arrow::buffer::ScalarBuffer<i64>,
    nulls: Option<NullBuffer>,
}

impl Numbers {
    fn of(array: &ArrayRef) -> Result<Self> {
        let plain = match array.data_type() {
            DataType::Date32 => cast(array, &DataType::Int32)?,
            _ => Arc::clone(array),
        };
        let wide = cast(&plain, &DataType::Int64)?;
        let wide = wide.as_primitive::<Int64Type>();
        Ok(Self { values: wide.values().clone(), nulls: wide.nulls().cloned() })
    }

    /// NULL sorts first and meets no condition.
    fn at(&self, row: usize) -> Option<i64> {
        match &self.nulls {
            Some(nulls) if nulls.is_null(row) => None,
            _ => Some(self.values[row]),
        }
    }
}

impl Other {
    fn of(test: &Test, other: &RecordBatch) -> Result<Self> {
        let array = test.other.evaluate(other)?.into_array(other.num_rows())?;
        let numbers = is_whole_number(array.data_type()).then(|| Numbers::of(&array)).transpose()?;
        Ok(Self { array, numbers })
    }
}

fn is_whole_number(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Date32
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Timestamp(_, None)
    )
}

fn is_range(operator: Operator) -> bool {
    matches!(operator, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq | Operator::Eq)
}

/// A test between a batch of kept rows and the other side.
enum Made<'o> {
    Numbers { kept: Numbers, others: &'o Numbers, operator: Operator },
    Any { compare: DynComparator, kept: Option<NullBuffer>, others: Option<NullBuffer>, operator: Operator },
}

impl<'o> Made<'o> {
    fn of(test: &Test, other: &'o Other, kept: &RecordBatch) -> Result<Self> {
        let k = test.kept.evaluate(kept)?.into_array(kept.num_rows())?;
        let operator = test.operator;
        if let Some(others) = &other.numbers
            && k.data_type() == other.array.data_type()
        {
            return Ok(Self::Numbers { kept: Numbers::of(&k)?, others, operator });
        }
        let compare = make_comparator(k.as_ref(), other.array.as_ref(), SortOptions::default())?;
        Ok(Self::Any { compare, kept: k.logical_nulls(), others: other.array.logical_nulls(), operator })
    }

    fn holds(&self, row: usize, other: usize) -> bool {
        let (operator, order) = match self {
            Self::Numbers { kept, others, operator } => match (kept.at(row), others.at(other)) {
                (Some(k), Some(o)) => (operator, k.cmp(&o)),
                _ => return false,
            },
            Self::Any { compare, kept, others, operator } => {
                let null = |n: &Option<NullBuffer>, at: usize| n.as_ref().is_some_and(|n| n.is_null(at));
                if null(kept, row) || null(others, other) {
                    return false;
                }
                (operator, compare(row, other))
            }
        };
        match operator {
            Operator::Eq => order.is_eq(),
            Operator::NotEq => order.is_ne(),
            Operator::Lt => order.is_lt(),
            Operator::LtEq => order.is_le(),
            Operator::Gt => order.is_gt(),
            _ => order.is_ge(),
        }
    }

    /// Those of `rows` (sorted by this test's other value) that meet it with the kept `row`.
    fn cut<'r>(&self, row: usize, rows: &'r [u32]) -> &'r [u32] {
        let Self::Numbers { kept, others, operator } = self else { return rows };
        let Some(value) = kept.at(row) else { return &[] };
        let other = |r: &u32| others.at(*r as usize);
        // NULL comes first and is below every number.
        let below = rows.partition_point(|r| other(r).is_none_or(|o| o < value));
        let upto = rows.partition_point(|r| other(r).is_none_or(|o| o <= value));
        let known = rows.partition_point(|r| other(r).is_none());
        match operator {
            Operator::Eq => &rows[below..upto],
            Operator::Lt => &rows[upto..],
            Operator::LtEq => &rows[below..],
            Operator::Gt => &rows[known..below],
            _ => &rows[known..upto],
        }
    }
}
