//! EXISTS and IN over subqueries that ask for a row of the outer query. DataFusion turns them into joins by moving the
//! condition on the outer row upwards, out of the subquery; what stands between the condition and the top then sees
//! the rows of all outer rows. An aggregate without GROUP BY gives one row for every outer row, also where nothing
//! matches, and as a join it gives none; a window numbers the rows of everybody; an outer join finds partners that are
//! not the outer row's. These are refused. Reads plans before anything is optimised; knows no data.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan, Subquery};

use crate::fault::SqlFault;

/// The faults of all tests over subqueries in `plan`.
pub(crate) fn faults(plan: &LogicalPlan) -> Vec<SqlFault> {
    let mut faults = Vec::new();
    // The closures never fail, so neither does the walk.
    let _ = plan.apply_with_subqueries(|node| {
        // LATERAL.
        if let LogicalPlan::Subquery(subquery) = node {
            faults.extend(of_test(subquery, false));
        }
        for expr in node.expressions() {
            let _ = expr.apply(|e| {
                match e {
                    Expr::Exists(exists) => faults.extend(of_test(&exists.subquery, true)),
                    Expr::InSubquery(test) => faults.extend(of_test(&test.subquery, false)),
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            });
        }
        Ok(TreeNodeRecursion::Continue)
    });
    faults
}

fn of_test(subquery: &Subquery, exists: bool) -> Option<SqlFault> {
    let plan = subquery.subquery.as_ref();
    let (zh, en) = if exists && gives_one_row(plan) {
        (
            "EXISTS 里是没有 GROUP BY 的汇总：它总有一行，条件永远成立",
            "EXISTS over an aggregate without GROUP BY: it always has one row, so the condition always holds",
        )
    } else {
        let what = crossed(plan)?;
        (what.0, what.1)
    };
    let fault = SqlFault::new("MC271", zh, en).help(
        "直接写 EXISTS (SELECT 1 ...)；要按数量判断，先用 GROUP BY 汇总成视图或子查询，再连接",
        "write EXISTS (SELECT 1 ...); to ask how many, group in a view or derived table first and join it",
    );
    let at = subquery.spans.first().map(|s| (s.start.line, s.start.column));
    Some(SqlFault { at, ..fault })
}

/// Whether a plan has one row whatever it reads: an aggregate over everything, with nothing above it that could drop
/// its row but a condition of its own.
fn gives_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::Projection(p) => gives_one_row(&p.input),
        LogicalPlan::Filter(f) => gives_one_row(&f.input),
        LogicalPlan::SubqueryAlias(a) => gives_one_row(&a.input),
        LogicalPlan::Sort(s) => gives_one_row(&s.input),
        LogicalPlan::Window(w) => gives_one_row(&w.input),
        LogicalPlan::Distinct(Distinct::All(input)) => gives_one_row(input),
        _ => false,
    }
}

/// What in a subquery stands over a condition on the outer row and would see the rows of all outer rows.
fn crossed(plan: &LogicalPlan) -> Option<(&'static str, &'static str)> {
    let mut found = None;
    let _ = plan.apply(|node| {
        let kind = match node {
            LogicalPlan::Aggregate(a) if a.group_expr.is_empty() => Some((
                "子查询先按外层行取数，再作没有 GROUP BY 的汇总：没有匹配时也应有一行，引擎却给不出",
                "the subquery picks rows by the outer row and aggregates them without GROUP BY: where nothing matches there should be one row, and the engine gives none",
            )),
            LogicalPlan::Aggregate(a) if matches!(a.group_expr.first(), Some(Expr::GroupingSet(_))) => Some((
                "子查询中对外层行取数后不允许 ROLLUP、CUBE、GROUPING SETS",
                "ROLLUP, CUBE and GROUPING SETS over a condition on the outer row are refused",
            )),
            LogicalPlan::Window(_) => Some((
                "子查询中的窗口函数会看到所有外层行的数据，而不只是当前行的",
                "a window over a condition on the outer row would see the rows of all outer rows",
            )),
            LogicalPlan::Join(join) if !matches!(join.join_type, JoinType::Inner | JoinType::LeftSemi) => Some((
                "子查询中的外连接会与所有外层行的数据配对，而不只是当前行的",
                "an outer join over a condition on the outer row would pair rows of all outer rows",
            )),
            LogicalPlan::Limit(_) | LogicalPlan::Distinct(Distinct::On(_)) | LogicalPlan::Union(_) => Some((
                "子查询中对外层行取数后不允许 LIMIT、DISTINCT ON、UNION",
                "LIMIT, DISTINCT ON and UNION over a condition on the outer row are refused",
            )),
            _ => None,
        };
        if kind.is_some() && node.inputs().into_iter().any(asks_outside) {
            found = kind;
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

/// Whether a plan asks for columns of a query around it.
fn asks_outside(plan: &LogicalPlan) -> bool {
    let outside = |node: &LogicalPlan, expr: &Expr| {
        let mut inner = Vec::new();
        let walked = expr.exists(|e| {
            match e {
                Expr::OuterReferenceColumn(..) => return Ok(true),
                Expr::Exists(x) => inner.extend(x.subquery.outer_ref_columns.clone()),
                Expr::InSubquery(x) => inner.extend(x.subquery.outer_ref_columns.clone()),
                Expr::ScalarSubquery(x) => inner.extend(x.outer_ref_columns.clone()),
                _ => {}
            }
            Ok(false)
        });
        // What a subquery further in asks for may be a column of this one.
        let here = |e: &Expr| match e {
            Expr::OuterReferenceColumn(_, column) => {
                node.inputs().iter().any(|input| input.schema().maybe_index_of_column(column).is_some())
            }
            _ => false,
        };
        walked.unwrap_or(true) || inner.iter().any(|e| !here(e))
    };
    plan.exists(|node| Ok(node.expressions().iter().any(|e| outside(node, e)))).unwrap_or(true)
}
