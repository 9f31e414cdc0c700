//! Windows within a person. DataFusion sorts the whole input and starts a window anew for every partition, which
//! costs most when partitions are as small as persons are (5 M partitions of one or two rows: 16.7 of 55 CPU
//! seconds of a night at 5 M persons). Here rows are brought together by person, ordered inside it, and each
//! function is one pass. Rows keep the order of the input.
//!
//! Understood: `row_number`, `rank`, `dense_rank`, `lag` and `lead` by one row, `first_value`, and `sum`,
//! `count`, `min`, `max`, `bool_and`, `bool_or`, `avg` over whole partitions. Everything else is left to DataFusion.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array,
};
use arrow::compute::{prep_null_mask_filter, take};
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{EmitTo, WindowFrame, WindowFrameBound, WindowFrameUnits};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::window::{
    PlainAggregateWindowExpr, SlidingAggregateWindowExpr, StandardWindowExpr, WindowExpr,
};
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec, WindowUDFExpr};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

use super::aggregate::extreme_text;
use super::groups::{Groups, comparator, index};
use super::{is_one_stream, stream, with_children};

/// Aggregates that are the same whatever the order of rows.
const AGGREGATES: &[&str] = &["sum", "count", "min", "max", "bool_and", "bool_or", "avg"];

/// The operator in place of windows whose partitions have a column that `serves`; `None` where it does not fit.
pub(super) fn replace(
    plan: &Arc<dyn ExecutionPlan>,
    serves: impl Fn(&Arc<dyn PhysicalExpr>, &dyn ExecutionPlan) -> bool,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let (expressions, input) = if let Some(window) = plan.downcast_ref::<BoundedWindowAggExec>() {
        (window.window_expr(), window.input())
    } else if let Some(window) = plan.downcast_ref::<WindowAggExec>() {
        (window.window_expr(), window.input())
    } else {
        return Ok(None);
    };
    let within = |e: &Arc<dyn WindowExpr>| e.partition_by().iter().any(|p| serves(p, input.as_ref()));
    // The order that DataFusion needs for its way is not needed here.
    let input = match input.downcast_ref::<SortExec>() {
        Some(sort) if sort.fetch().is_none() => sort.input(),
        _ => input,
    };
    if !is_one_stream(input) || !expressions.iter().all(|e| within(e) && function(e).is_some()) {
        return Ok(None);
    }
    let schema = plan.schema();
    Ok(Some(Arc::new(PersonWindowExec {
        expressions: expressions.to_vec(),
        properties: stream::properties(&schema, Some(input), input),
        input: Arc::clone(input),
        schema,
    })))
}

/// What is computed for each row of a partition.
enum Function {
    RowNumber,
    Rank,
    DenseRank,
    /// The value of the row so many places further on in the partition.
    Shift(i32),
    First,
    Aggregate,
}

fn function(expr: &Arc<dyn WindowExpr>) -> Option<Function> {
    if says(expr, "filter: Some(") || says(expr, "ignore_nulls: true") {
        return None;
    }
    let any = expr.as_any();
    if let Some(standard) = any.downcast_ref::<StandardWindowExpr>() {
        let function = standard.get_standard_func_expr().as_any().downcast_ref::<WindowUDFExpr>()?;
        return match function.fun().name() {
            "row_number" => Some(Function::RowNumber),
            "rank" => Some(Function::Rank),
            "dense_rank" => Some(Function::DenseRank),
            "lag" | "lead" if function.args().len() == 1 => {
                // Reversed, it goes the other way over the order turned round.
                let forward = (function.fun().name() == "lead") != says(expr, "is_reversed: true");
                Some(Function::Shift(if forward { 1 } else { -1 }))
            }
            "first_value" if function.args().len() == 1 && first_is_in(expr.get_window_frame()) => {
                Some(Function::First)
            }
            _ => None,
        };
    }
    let aggregate = aggregate(expr)?;
    let simple = AGGREGATES.contains(&aggregate.fun().name())
        && !aggregate.is_distinct()
        && aggregate.order_bys().is_empty()
        && aggregate.groups_accumulator_supported();
    (simple && whole_partition(expr.get_window_frame(), expr.order_by().is_empty()))
        .then_some(Function::Aggregate)
}

fn aggregate(expr: &Arc<dyn WindowExpr>) -> Option<&AggregateFunctionExpr> {
    let any = expr.as_any();
    match any.downcast_ref::<PlainAggregateWindowExpr>() {
        Some(plain) => Some(plain.get_aggregate_expr()),
        None => Some(any.downcast_ref::<SlidingAggregateWindowExpr>()?.get_aggregate_expr()),
    }
}

/// Whether a property stands in the expression's own words: FILTER, IGNORE NULLS and the reversal that saves a sort
/// change what is computed, and cannot be asked for in another way.
fn says(expr: &Arc<dyn WindowExpr>, property: &str) -> bool {
    format!("{expr:?}").contains(property)
}

/// Whether the first row of its partition is in the frame of every row: the frame begins there, and does not end
/// before the row itself, where it would be empty for some rows.
fn first_is_in(frame: &WindowFrame) -> bool {
    let reaches = matches!(frame.end_bound, WindowFrameBound::CurrentRow | WindowFrameBound::Following(_));
    frame.start_bound.is_unbounded() && reaches
}

/// Whether every row sees its whole partition.
fn whole_partition(frame: &WindowFrame, unordered: bool) -> bool {
    // Without an order all rows of a partition are peers of the current one.
    let open = |bound: &WindowFrameBound| {
        bound.is_unbounded()
            || (unordered
                && frame.units != WindowFrameUnits::Rows
                && matches!(bound, WindowFrameBound::CurrentRow))
    };
    open(&frame.start_bound) && open(&frame.end_bound)
}

struct PersonWindowExec {
    expressions: Vec<Arc<dyn WindowExpr>>,
    input: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl fmt::Debug for PersonWindowExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonWindowExec")
    }
}

impl DisplayAs for PersonWindowExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.expressions.iter().map(|e| e.name()).collect();
        write!(f, "PersonWindowExec: {}", names.join(", "))
    }
}

impl ExecutionPlan for PersonWindowExec {
    fn name(&self) -> &'static str {
        "PersonWindowExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
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
        let input = children.swap_remove(0);
        Ok(Arc::new(Self {
            expressions: self.expressions.clone(),
            properties: stream::properties(&self.schema, Some(&input), &input),
            schema: Arc::clone(&self.schema),
            input,
        }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        with_children(self, children)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let (expressions, schema) = (self.expressions.clone(), Arc::clone(&self.schema));
        Ok(stream::run("PersonWindowExec", Arc::clone(&self.schema), input, &context, move |batch| {
            windows(&expressions, &schema, &batch)
        }))
    }
}

/// The batch with one column more per expression.
fn windows(
    expressions: &[Arc<dyn WindowExpr>],
    schema: &SchemaRef,
    batch: &RecordBatch,
) -> Result<RecordBatch> {
    let mut columns = batch.columns().to_vec();
    // DataFusion puts windows of one partition and order into one operator: they share the groups.
    let mut made: Option<(&Arc<dyn WindowExpr>, Groups)> = None;
    for expr in expressions {
        let groups = match &mut made {
            Some((of, groups)) if same_rows(of, expr) => &*groups,
            made => &made.insert((expr, groups(expr, batch)?)).1,
        };
        columns.push(column(expr, groups, batch)?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

fn same_rows(a: &Arc<dyn WindowExpr>, b: &Arc<dyn WindowExpr>) -> bool {
    a.partition_by() == b.partition_by() && a.order_by() == b.order_by()
}

fn groups(expr: &Arc<dyn WindowExpr>, batch: &RecordBatch) -> Result<Groups> {
    let keys = expr
        .partition_by()
        .iter()
        .map(|e| e.evaluate(batch)?.into_array(batch.num_rows()))
        .collect::<Result<Vec<_>>>()?;
    let mut groups = Groups::of(&keys)?;
    let order = order_keys(expr, batch)?;
    if !order.is_empty() {
        groups.sort_by(&order);
    }
    Ok(groups)
}

fn order_keys(expr: &Arc<dyn WindowExpr>, batch: &RecordBatch) -> Result<Vec<super::groups::Compare>> {
    expr.order_by_columns(batch)?
        .iter()
        .map(|key| comparator(&key.values, key.options.unwrap_or_default()))
        .collect()
}

fn column(expr: &Arc<dyn WindowExpr>, groups: &Groups, batch: &RecordBatch) -> Result<ArrayRef> {
    let n = batch.num_rows();
    match function(expr) {
        Some(Function::RowNumber) => Ok(numbered(groups, n, |rows, out| {
            for (i, row) in (1..).zip(rows) {
                out[*row as usize] = i;
            }
        })),
        Some(Function::Rank) => ranks(expr, groups, batch, |place, _| place),
        Some(Function::DenseRank) => ranks(expr, groups, batch, |_, distinct| distinct),
        Some(Function::Shift(by)) => {
            let mut from: Vec<Option<u32>> = vec![None; n];
            for group in 0..groups.len() {
                let rows = groups.rows(group);
                for (i, row) in rows.iter().enumerate() {
                    let other = i.checked_add_signed(by as isize).and_then(|i| rows.get(i));
                    from[*row as usize] = other.copied();
                }
            }
            Ok(take(&argument(expr, batch)?, &UInt32Array::from(from), None)?)
        }
        Some(Function::First) => {
            let mut from = vec![0_u32; n];
            for group in 0..groups.len() {
                let rows = groups.rows(group);
                for row in rows {
                    from[*row as usize] = rows[0];
                }
            }
            Ok(take(&argument(expr, batch)?, &UInt32Array::from(from), None)?)
        }
        Some(Function::Aggregate) => aggregated(expr, groups, batch),
        None => Err(DataFusionError::Internal(format!("a window that is not understood: {}", expr.name()))),
    }
}

/// A number for each of `n` rows, given group by group.
fn numbered(groups: &Groups, n: usize, mut each: impl FnMut(&[u32], &mut [u64])) -> ArrayRef {
    let mut out = vec![0_u64; n];
    for group in 0..groups.len() {
        each(groups.rows(group), &mut out);
    }
    Arc::new(UInt64Array::from(out))
}

/// `choose(place of the first peer, number of distinct peers so far)`.
fn ranks(
    expr: &Arc<dyn WindowExpr>,
    groups: &Groups,
    batch: &RecordBatch,
    choose: fn(u64, u64) -> u64,
) -> Result<ArrayRef> {
    let keys = order_keys(expr, batch)?;
    Ok(numbered(groups, batch.num_rows(), |rows, out| {
        let (mut place, mut distinct) = (1, 1);
        for (i, row) in rows.iter().enumerate() {
            let peer = i == 0 || keys.iter().all(|k| k(rows[i - 1] as usize, *row as usize).is_eq());
            if !peer {
                place = i as u64 + 1;
                distinct += 1;
            }
            out[*row as usize] = choose(place, distinct);
        }
    }))
}

fn argument(expr: &Arc<dyn WindowExpr>, batch: &RecordBatch) -> Result<ArrayRef> {
    expr.evaluate_args(batch)?
        .into_iter()
        .next()
        .ok_or_else(|| DataFusionError::Internal(format!("{} without an argument", expr.name())))
}

fn aggregated(expr: &Arc<dyn WindowExpr>, groups: &Groups, batch: &RecordBatch) -> Result<ArrayRef> {
    let Some(aggregate) = aggregate(expr) else {
        return Err(DataFusionError::Internal(format!("{} is no aggregate", expr.name())));
    };
    let of_rows = groups.of_rows();
    let arguments = expr.evaluate_args(batch)?;
    let by_group = match extreme_text(aggregate, &arguments, None, groups)? {
        Some(found) => found,
        None => {
            let mut accumulator = aggregate.create_groups_accumulator()?;
            accumulator.update_batch(&arguments, &of_rows, None, groups.len())?;
            accumulator.evaluate(EmitTo::All)?
        }
    };
    let of_rows = of_rows.into_iter().map(index).collect::<Result<Vec<_>>>()?;
    Ok(take(&by_group, &UInt32Array::from(of_rows), None)?)
}

/// A condition on rows; NULL does not hold.
pub(super) fn condition(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanArray> {
    let holds = expr.evaluate(batch)?.into_array(batch.num_rows())?;
    let holds = datafusion::common::cast::as_boolean_array(&holds)?;
    Ok(if holds.null_count() > 0 { prep_null_mask_filter(holds) } else { holds.clone() })
}

/// The windows' partition keys as plain columns of the input, where all of them have this one.
pub(super) fn partitioned_by(plan: &dyn ExecutionPlan, column: usize) -> bool {
    let has = |e: &Arc<dyn WindowExpr>| {
        e.partition_by().iter().any(|p| p.downcast_ref::<Column>().is_some_and(|c| c.index() == column))
    };
    if let Some(own) = plan.downcast_ref::<PersonWindowExec>() {
        return own.expressions.iter().all(has);
    }
    if let Some(window) = plan.downcast_ref::<BoundedWindowAggExec>() {
        return window.window_expr().iter().all(has);
    }
    plan.downcast_ref::<WindowAggExec>().is_some_and(|w| w.window_expr().iter().all(has))
}
