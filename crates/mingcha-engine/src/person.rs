//! Operators for rows that lie by person. A shard's rows are sorted by `pid`, and a `pid` is a small dense
//! integer: so the rows of a person are found by an offset, and what belongs together lies together. A plan is
//! rewritten after DataFusion has made it:
//!
//! ```text
//! join on pid        few persons on one side  ->  the other side reads the rows of those persons only   (lookup.rs)
//! semi, anti, mark   with a range condition   ->  a search in each person's rows, no pairs are built    (exists.rs)
//! window             PARTITION BY pid, ..     ->  one pass over the groups, no sort of the whole         (window.rs)
//! GROUP BY pid, ..                            ->  the same groups, DataFusion's accumulators            (aggregate.rs)
//! ```
//!
//! Nothing here changes what a plan answers. [`rewrite`] leaves alone whatever it does not understand, every
//! rule also runs without it (`RunOptions::plain_plans`), and tests hold both ways equal. Refuses to know rules.

mod aggregate;
mod exists;
mod groups;
mod lookup;
mod stream;
#[cfg(test)]
mod tests;
mod window;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::config::ConfigOptions;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::sanity_checker::SanityCheckPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};

pub(crate) use lookup::{Lookup, PersonIndex, PersonSets, pieces};

/// The plan with the operators of this module where they fit. A plan that would not be sound with them (an
/// order that somebody further up relies on) is given back as it was.
pub(crate) fn rewrite(
    plan: &Arc<dyn ExecutionPlan>,
    config: &ConfigOptions,
) -> Result<Arc<dyn ExecutionPlan>> {
    let rewritten = bottom_up(plan, &|plan| {
        let better = window::replace(plan, is_person)?.or(aggregate::replace(plan, is_person)?);
        Ok(better.or(exists::replace(plan)?))
    })?;
    let rewritten = lookup::restrict_joins(&rewritten)?;
    Ok(if is_sane(&rewritten, config) { rewritten } else { Arc::clone(plan) })
}

/// The plan of something that works on everything at once: only with look-ups. The other operators hold all their
/// rows in memory, which a shard has room for and a city has not.
pub(crate) fn rewrite_whole(
    plan: &Arc<dyn ExecutionPlan>,
    config: &ConfigOptions,
) -> Result<Arc<dyn ExecutionPlan>> {
    let rewritten = lookup::restrict_joins(plan)?;
    Ok(if is_sane(&rewritten, config) { rewritten } else { Arc::clone(plan) })
}

/// The plan of something that works on the rows of one bucket of a key (`rekey.rs`): windows and groups over any
/// columns, since all that belongs together is there and few.
pub(crate) fn rewrite_by_key(
    plan: &Arc<dyn ExecutionPlan>,
    config: &ConfigOptions,
) -> Result<Arc<dyn ExecutionPlan>> {
    let any = |_: &Arc<dyn PhysicalExpr>, _: &dyn ExecutionPlan| true;
    let rewritten =
        bottom_up(plan, &|plan| Ok(window::replace(plan, any)?.or(aggregate::replace(plan, any)?)))?;
    Ok(if is_sane(&rewritten, config) { rewritten } else { Arc::clone(plan) })
}

/// What stands for an operator; `None`: it stays.
type Replaced = Result<Option<Arc<dyn ExecutionPlan>>>;

fn bottom_up(
    plan: &Arc<dyn ExecutionPlan>,
    replace: &dyn Fn(&Arc<dyn ExecutionPlan>) -> Replaced,
) -> Result<Arc<dyn ExecutionPlan>> {
    let children = plan.children().into_iter().map(|c| bottom_up(c, replace)).collect::<Result<Vec<_>>>()?;
    let plan =
        if children.is_empty() { Arc::clone(plan) } else { with_children(Arc::clone(plan), children)? };
    Ok(replace(&plan)?.unwrap_or(plan))
}

/// DataFusion's own last check: every operator gets the order and the distribution that it relies on.
fn is_sane(plan: &Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> bool {
    SanityCheckPlan::new().optimize(Arc::clone(plan), config).is_ok()
}

/// Whether all rows of `input` come in one stream: what belongs together must meet in one place.
fn is_one_stream(input: &Arc<dyn ExecutionPlan>) -> bool {
    input.properties().output_partitioning().partition_count() == 1
}

/// The plan over other children.
fn with_children(
    plan: Arc<dyn ExecutionPlan>,
    children: Vec<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

fn is_person(expr: &Arc<dyn PhysicalExpr>, input: &dyn ExecutionPlan) -> bool {
    person_column(expr, input).is_some()
}

/// The position of a plain 32-bit integer column: the type of `pid`, and of nothing else that rules see.
fn person_column(expr: &Arc<dyn PhysicalExpr>, input: &dyn ExecutionPlan) -> Option<usize> {
    let column = expr.downcast_ref::<Column>()?;
    let schema = input.schema();
    (*schema.field(column.index()).data_type() == DataType::Int32).then(|| column.index())
}
