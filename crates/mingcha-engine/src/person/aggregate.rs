//! GROUP BY with a person among the keys: the groups of [`super::groups`], and DataFusion's own accumulators
//! over them. `count(DISTINCT x)` is counted here: DataFusion keeps a set for every group, which took ten times
//! as long as the rest of a rule. Left to DataFusion: other DISTINCT and ordered aggregates, grouping sets.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array,
};
use arrow::compute::{not, nullif, take};
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

use super::groups::Groups;
use super::window::condition;
use super::{is_one_stream, stream, with_children};

/// The operator in place of a GROUP BY with a column that `serves`; `None` where it does not fit.
pub(super) fn replace(
    plan: &Arc<dyn ExecutionPlan>,
    serves: impl Fn(&Arc<dyn PhysicalExpr>, &dyn ExecutionPlan) -> bool,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(grouped) = plan.downcast_ref::<AggregateExec>() else { return Ok(None) };
    let group = grouped.group_expr();
    let input = grouped.input();
    let within = group.expr().iter().any(|(e, _)| serves(e, input.as_ref()));
    let simple = |a: &Arc<AggregateFunctionExpr>| {
        a.order_bys().is_empty()
            && (counts_distinct(a) || (!a.is_distinct() && a.groups_accumulator_supported()))
    };
    let single = matches!(grouped.mode(), AggregateMode::Single | AggregateMode::SinglePartitioned);
    let fits = single
        && is_one_stream(input)
        && within
        && group.is_single()
        && !group.has_grouping_set()
        && grouped.limit_options().is_none()
        && grouped.aggr_expr().iter().all(simple);
    if !fits {
        return Ok(None);
    }
    let schema = plan.schema();
    Ok(Some(Arc::new(PersonGroupExec {
        keys: group.expr().iter().map(|(e, _)| Arc::clone(e)).collect(),
        aggregates: grouped.aggr_expr().iter().cloned().zip(grouped.filter_expr().iter().cloned()).collect(),
        properties: stream::properties(&schema, None, input),
        input: Arc::clone(input),
        schema,
    })))
}

/// The column of the input that becomes `column` of the output, if `plan` is this operator and that is a key.
pub(super) fn group_column(plan: &dyn ExecutionPlan, column: usize) -> Option<usize> {
    let own = plan.downcast_ref::<PersonGroupExec>()?;
    own.keys.get(column)?.downcast_ref::<Column>().map(Column::index)
}

/// An aggregate, and the condition on the rows that it counts.
type Aggregate = (Arc<AggregateFunctionExpr>, Option<Arc<dyn PhysicalExpr>>);

struct PersonGroupExec {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    aggregates: Vec<Aggregate>,
    input: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl fmt::Debug for PersonGroupExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonGroupExec")
    }
}

impl DisplayAs for PersonGroupExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        let aggregates: Vec<&str> = self.aggregates.iter().map(|(a, _)| a.name()).collect();
        write!(f, "PersonGroupExec: by [{}], [{}]", keys.join(", "), aggregates.join(", "))
    }
}

impl ExecutionPlan for PersonGroupExec {
    fn name(&self) -> &'static str {
        "PersonGroupExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
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
        Ok(Arc::new(Self {
            keys: self.keys.clone(),
            aggregates: self.aggregates.clone(),
            input: children.swap_remove(0),
            schema: Arc::clone(&self.schema),
            properties: Arc::clone(&self.properties),
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
        let (keys, aggregates) = (self.keys.clone(), self.aggregates.clone());
        let schema = Arc::clone(&self.schema);
        Ok(stream::run("PersonGroupExec", Arc::clone(&self.schema), input, &context, move |batch| {
            grouped(&keys, &aggregates, &schema, &batch)
        }))
    }
}

fn grouped(
    keys: &[Arc<dyn PhysicalExpr>],
    aggregates: &[Aggregate],
    schema: &SchemaRef,
    batch: &RecordBatch,
) -> Result<RecordBatch> {
    let evaluated =
        |e: &Arc<dyn PhysicalExpr>| -> Result<ArrayRef> { e.evaluate(batch)?.into_array(batch.num_rows()) };
    let keys = keys.iter().map(evaluated).collect::<Result<Vec<_>>>()?;
    let groups = Groups::of(&keys)?;
    let firsts: UInt32Array = (0..groups.len()).map(|g| groups.rows(g)[0]).collect::<Vec<_>>().into();
    let mut columns = keys.iter().map(|k| Ok(take(k, &firsts, None)?)).collect::<Result<Vec<ArrayRef>>>()?;
    let of_rows = if aggregates.is_empty() { Vec::new() } else { groups.of_rows() };
    for (aggregate, filter) in aggregates {
        let arguments = aggregate.expressions().iter().map(evaluated).collect::<Result<Vec<_>>>()?;
        let filter = filter.as_ref().map(|f| condition(f, batch)).transpose()?;
        if counts_distinct(aggregate) {
            columns.push(distinct(&keys, &arguments[0], filter.as_ref(), &of_rows, groups.len())?);
            continue;
        }
        if let Some(found) = extreme_text(aggregate, &arguments, filter.as_ref(), &groups)? {
            columns.push(found);
            continue;
        }
        let mut accumulator = aggregate.create_groups_accumulator()?;
        accumulator.update_batch(&arguments, &of_rows, filter.as_ref(), groups.len())?;
        columns.push(accumulator.evaluate(EmitTo::All)?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(groups.len()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// `min` or `max` of a text column: the row that holds it, group by group. DataFusion copies every better value.
/// `None`: it is something else.
pub(super) fn extreme_text(
    aggregate: &AggregateFunctionExpr,
    arguments: &[ArrayRef],
    filter: Option<&BooleanArray>,
    groups: &Groups,
) -> Result<Option<ArrayRef>> {
    let (Some(values), false) = (arguments.first(), aggregate.is_distinct()) else { return Ok(None) };
    let Some(text) = values.as_string_view_opt() else { return Ok(None) };
    let greatest = match aggregate.fun().name() {
        "min" => false,
        "max" => true,
        _ => return Ok(None),
    };
    let counts = |row: usize| text.is_valid(row) && filter.is_none_or(|f| f.is_valid(row) && f.value(row));
    let better = |row: usize, than: usize| {
        let order = text.value(row).as_bytes().cmp(text.value(than).as_bytes());
        if greatest { order.is_gt() } else { order.is_lt() }
    };
    let of_group = |group: usize| {
        let rows = groups.rows(group).iter().filter(|row| counts(**row as usize));
        rows.copied().reduce(|best, row| if better(row as usize, best as usize) { row } else { best })
    };
    let rows: UInt32Array = (0..groups.len()).map(of_group).collect();
    Ok(Some(take(values, &rows, None)?))
}

fn counts_distinct(aggregate: &AggregateFunctionExpr) -> bool {
    aggregate.is_distinct() && aggregate.fun().name() == "count" && aggregate.expressions().len() == 1
}

/// How many different values, NULL apart, each group has among the rows that the filter leaves.
fn distinct(
    keys: &[ArrayRef],
    values: &ArrayRef,
    filter: Option<&BooleanArray>,
    of_rows: &[usize],
    n_groups: usize,
) -> Result<ArrayRef> {
    let counted = match filter {
        Some(filter) => nullif(values, &not(filter)?)?,
        None => Arc::clone(values),
    };
    let nulls = counted.logical_nulls();
    let keys: Vec<ArrayRef> = keys.iter().cloned().chain([counted]).collect();
    let finer = Groups::of(&keys)?;
    let mut counts = vec![0_i64; n_groups];
    for group in 0..finer.len() {
        let row = finer.rows(group)[0] as usize;
        if nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
            counts[of_rows[row]] += 1;
        }
    }
    Ok(Arc::new(Int64Array::from(counts)))
}
