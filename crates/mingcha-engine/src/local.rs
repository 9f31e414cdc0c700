//! Whether a plan gives the same rows when it runs shard by shard: read off the optimised plan, never declared.
//!
//! Every person dataset is cut by the same ranges of `pid`. A plan is local when no row ever needs to meet a
//! row of another shard: joins pair `pid` with `pid`, groups and windows are formed within a `pid`, and nothing
//! counts or orders the whole. Reference tables are the same in every shard and may be joined on anything, as
//! long as their own unmatched rows do not come out (they would come out once per shard).

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan};

/// How the rows of a table, or of a plan, lie over the shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spread {
    /// The same rows in every shard.
    Everywhere,
    /// Each row in the shard of its person; the output columns that identify the person.
    ByPerson(BTreeSet<usize>),
    /// Not local, and why.
    Scattered(String),
}

/// Classes of the tables by name: `true` where rows lie by person.
pub(crate) type TableSpread = BTreeMap<String, bool>;

/// How the output of `plan` lies over the shards.
pub(crate) fn spread(plan: &LogicalPlan, tables: &TableSpread) -> Spread {
    if let Some(reason) = subquery_trouble(plan, tables) {
        return Spread::Scattered(reason);
    }
    match plan {
        LogicalPlan::TableScan(scan) => {
            let name = scan.table_name.table();
            match tables.get(name) {
                Some(true) => Spread::ByPerson(person_columns(plan)),
                Some(false) => Spread::Everywhere,
                None => Spread::Scattered(format!("`{name}` is only known once all shards are done")),
            }
        }
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => Spread::Everywhere,
        LogicalPlan::Projection(projection) => through(spread(&projection.input, tables), &projection.expr, projection.input.schema()),
        LogicalPlan::Filter(filter) => spread(&filter.input, tables),
        LogicalPlan::SubqueryAlias(alias) => spread(&alias.input, tables),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => spread(&sort.input, tables),
        LogicalPlan::Join(join) => joined(join, spread(&join.left, tables), spread(&join.right, tables)),
        LogicalPlan::Aggregate(aggregate) => match spread(&aggregate.input, tables) {
            Spread::ByPerson(columns) => {
                let groups: BTreeSet<usize> = aggregate
                    .group_expr
                    .iter()
                    .enumerate()
                    .filter(|(_, e)| column_index(e, aggregate.input.schema()).is_some_and(|c| columns.contains(&c)))
                    .map(|(i, _)| i)
                    .collect();
                if groups.is_empty() {
                    Spread::Scattered(format!("groups are formed by {} and not by person", list(&aggregate.group_expr)))
                } else {
                    Spread::ByPerson(groups)
                }
            }
            other => other,
        },
        LogicalPlan::Window(window) => match spread(&window.input, tables) {
            Spread::ByPerson(columns) => {
                let within_person = window.window_expr.iter().all(|e| match strip(e) {
                    Expr::WindowFunction(f) => {
                        f.params.partition_by.iter().any(|p| column_index(p, window.input.schema()).is_some_and(|c| columns.contains(&c)))
                    }
                    _ => false,
                });
                if within_person { Spread::ByPerson(columns) } else { Spread::Scattered("a window is not formed within a person".to_owned()) }
            }
            other => other,
        },
        LogicalPlan::Distinct(Distinct::All(input)) => match spread(input, tables) {
            Spread::ByPerson(columns) if columns.is_empty() => Spread::Scattered("repeats are dropped across persons".to_owned()),
            other => other,
        },
        LogicalPlan::Union(union) => union.inputs.iter().map(|input| spread(input, tables)).reduce(united).unwrap_or(Spread::Everywhere),
        other => Spread::Scattered(format!("{} needs all rows at once", other.display())),
    }
}

/// `pid` and `id_number` identify a person equally well.
fn person_columns(plan: &LogicalPlan) -> BTreeSet<usize> {
    plan.schema()
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, f)| f.name() == "pid" || f.name() == "id_number")
        .map(|(i, _)| i)
        .collect()
}

fn strip(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => strip(&alias.expr),
        other => other,
    }
}

fn column_index(expr: &Expr, schema: &datafusion::common::DFSchema) -> Option<usize> {
    match strip(expr) {
        Expr::Column(column) => schema.maybe_index_of_column(column),
        _ => None,
    }
}

fn through(input: Spread, exprs: &[Expr], schema: &datafusion::common::DFSchema) -> Spread {
    match input {
        Spread::ByPerson(columns) => Spread::ByPerson(
            exprs
                .iter()
                .enumerate()
                .filter(|(_, e)| column_index(e, schema).is_some_and(|c| columns.contains(&c)))
                .map(|(i, _)| i)
                .collect(),
        ),
        other => other,
    }
}

fn joined(join: &datafusion::logical_expr::Join, left: Spread, right: Spread) -> Spread {
    let n_left = join.left.schema().fields().len();
    let shifted = |columns: BTreeSet<usize>| columns.into_iter().map(|c| c + n_left).collect::<BTreeSet<_>>();
    match (left, right) {
        (Spread::Scattered(why), _) | (_, Spread::Scattered(why)) => Spread::Scattered(why),
        (Spread::Everywhere, Spread::Everywhere) => Spread::Everywhere,
        (Spread::ByPerson(columns), Spread::Everywhere) => match join.join_type {
            JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => Spread::ByPerson(columns),
            kind => Spread::Scattered(format!("a {kind} join keeps unmatched rows of a reference table")),
        },
        (Spread::Everywhere, Spread::ByPerson(columns)) => match join.join_type {
            JoinType::Inner | JoinType::Right => Spread::ByPerson(shifted(columns)),
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => Spread::ByPerson(columns),
            kind => Spread::Scattered(format!("a {kind} join keeps rows of a reference table")),
        },
        (Spread::ByPerson(a), Spread::ByPerson(b)) => {
            let on_person = join.on.iter().any(|(l, r)| {
                column_index(l, join.left.schema()).is_some_and(|c| a.contains(&c)) && column_index(r, join.right.schema()).is_some_and(|c| b.contains(&c))
            });
            if !on_person {
                let pairs: Vec<String> = join.on.iter().map(|(l, r)| format!("{l} = {r}")).collect();
                return Spread::Scattered(format!("a join is not on the person but on {}", if pairs.is_empty() { "nothing".to_owned() } else { pairs.join(", ") }));
            }
            match join.join_type {
                JoinType::Inner => Spread::ByPerson(a.into_iter().chain(shifted(b)).collect()),
                // The other side's columns are NULL where nothing matched, in every shard.
                JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => Spread::ByPerson(a),
                JoinType::Right => Spread::ByPerson(shifted(b)),
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => Spread::ByPerson(b),
                JoinType::Full => Spread::ByPerson(BTreeSet::new()),
            }
        }
    }
}

fn united(a: Spread, b: Spread) -> Spread {
    match (a, b) {
        (Spread::Scattered(why), _) | (_, Spread::Scattered(why)) => Spread::Scattered(why),
        (Spread::Everywhere, Spread::Everywhere) => Spread::Everywhere,
        (Spread::ByPerson(a), Spread::ByPerson(b)) => Spread::ByPerson(a.intersection(&b).copied().collect()),
        _ => Spread::Scattered("rows of persons and of a reference table are put together".to_owned()),
    }
}

fn list(exprs: &[Expr]) -> String {
    let names: Vec<String> = exprs.iter().map(ToString::to_string).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// A subquery that is still an expression after optimisation is evaluated on its own, in every shard.
fn subquery_trouble(plan: &LogicalPlan, tables: &TableSpread) -> Option<String> {
    let mut trouble = None;
    for expr in plan.expressions() {
        let walked = expr.apply(|e| {
            let inner = match e {
                Expr::ScalarSubquery(s) => Some(s),
                Expr::Exists(x) => Some(&x.subquery),
                Expr::InSubquery(x) => Some(&x.subquery),
                _ => None,
            };
            if let Some(subquery) = inner
                && spread(&subquery.subquery, tables) != Spread::Everywhere
            {
                trouble = Some("a subquery looks at all persons at once".to_owned());
                return Ok(TreeNodeRecursion::Stop);
            }
            Ok(TreeNodeRecursion::Continue)
        });
        if walked.is_err() {
            trouble = Some("a subquery could not be read".to_owned());
        }
    }
    trouble
}
