//! Whether a plan gives the same rows when it runs shard by shard: read off the optimised plan, never declared.
//!
//! Every person dataset is cut by the same ranges of `pid`. A plan is local when no row ever needs to meet a
//! row of another shard: joins pair `pid` with `pid`, groups and windows are formed within a `pid`, and nothing
//! counts or orders the whole. Reference tables are the same in every shard and may be joined on anything, as
//! long as their own unmatched rows do not come out (they would come out once per shard).

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::SchemaRef;
use datafusion::common::NullEquality;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan};

/// How the rows of a table, or of a plan, lie over the shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spread {
    /// The same rows in every shard.
    Everywhere,
    /// Each row in the shard of its person.
    ByPerson(PersonColumns),
    /// Not local, and why.
    Scattered(String),
}

/// The output columns that identify the person of a row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PersonColumns {
    /// Always the row's own person.
    own: BTreeSet<usize>,
    /// The row's own person or NULL: what an outer join filled up. NULL joins with nothing, so such a column
    /// serves a join as well; it does not serve a group, where all NULLs would meet.
    or_null: BTreeSet<usize>,
}

impl PersonColumns {
    fn mapped(&self, map: impl Fn(usize) -> Vec<usize>) -> Self {
        let each = |set: &BTreeSet<usize>| set.iter().flat_map(|c| map(*c)).collect();
        Self { own: each(&self.own), or_null: each(&self.or_null) }
    }

    fn shifted(&self, by: usize) -> Self {
        self.mapped(|c| vec![c + by])
    }

    /// As they come out of the side of an outer join that may be filled with NULL.
    fn weakened(self) -> Self {
        Self { own: BTreeSet::new(), or_null: self.own.into_iter().chain(self.or_null).collect() }
    }

    fn and(mut self, other: Self) -> Self {
        self.own.extend(other.own);
        self.or_null.extend(other.or_null);
        self
    }

    /// Whether a column always names the row's own person.
    pub(crate) fn owns(&self, column: usize) -> bool {
        self.own.contains(&column)
    }

    fn joins(&self, column: usize) -> bool {
        self.own.contains(&column) || self.or_null.contains(&column)
    }
}

/// How the rows of each table lie. A table that is not in it is only known once all shards are done.
pub(crate) type TableSpread = BTreeMap<String, Spread>;

/// How the output of `plan` lies over the shards.
pub(crate) fn spread(plan: &LogicalPlan, tables: &TableSpread) -> Spread {
    if let Some(reason) = subquery_trouble(plan, tables) {
        return Spread::Scattered(reason);
    }
    match plan {
        LogicalPlan::TableScan(scan) => {
            let name = scan.table_name.table();
            match (tables.get(name), &scan.projection) {
                (Some(Spread::ByPerson(columns)), Some(projection)) => {
                    Spread::ByPerson(columns.mapped(|column| {
                        (0..projection.len()).filter(|i| projection[*i] == column).collect()
                    }))
                }
                (Some(known), _) => known.clone(),
                (None, _) => Spread::Scattered(format!("`{name}` is only known once all shards are done")),
            }
        }
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => Spread::Everywhere,
        LogicalPlan::Projection(projection) => {
            through(spread(&projection.input, tables), &projection.expr, projection.input.schema())
        }
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
                    .filter(|(_, e)| {
                        column_index(e, aggregate.input.schema()).is_some_and(|c| columns.own.contains(&c))
                    })
                    .map(|(i, _)| i)
                    .collect();
                if groups.is_empty() {
                    Spread::Scattered(format!(
                        "groups are formed by {} and not by person",
                        list(&aggregate.group_expr)
                    ))
                } else {
                    Spread::ByPerson(PersonColumns { own: groups, or_null: BTreeSet::new() })
                }
            }
            other => other,
        },
        LogicalPlan::Window(window) => match spread(&window.input, tables) {
            Spread::ByPerson(columns) => {
                let within_person = window.window_expr.iter().all(|e| match strip(e) {
                    Expr::WindowFunction(f) => f.params.partition_by.iter().any(|p| {
                        column_index(p, window.input.schema()).is_some_and(|c| columns.own.contains(&c))
                    }),
                    _ => false,
                });
                if within_person {
                    Spread::ByPerson(columns)
                } else {
                    Spread::Scattered("a window is not formed within a person".to_owned())
                }
            }
            other => other,
        },
        LogicalPlan::Distinct(Distinct::All(input)) => match spread(input, tables) {
            Spread::ByPerson(columns) if columns.own.is_empty() => {
                Spread::Scattered("repeats are dropped across persons".to_owned())
            }
            other => other,
        },
        LogicalPlan::Union(union) => union
            .inputs
            .iter()
            .map(|input| spread(input, tables))
            .reduce(united)
            .unwrap_or(Spread::Everywhere),
        other => Spread::Scattered(format!("{} needs all rows at once", other.display())),
    }
}

/// Rows that one column alone identifies.
pub(crate) fn only_column(column: usize) -> PersonColumns {
    PersonColumns { own: BTreeSet::from([column]), or_null: BTreeSet::new() }
}

/// How a dataset of persons lies: `pid` and `id_number` identify a person equally well.
pub(crate) fn by_person(schema: &SchemaRef) -> Spread {
    let own = schema
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, f)| f.name() == "pid" || f.name() == "id_number")
        .map(|(i, _)| i)
        .collect();
    Spread::ByPerson(PersonColumns { own, or_null: BTreeSet::new() })
}

fn strip(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => strip(&alias.expr),
        other => other,
    }
}

/// The column of `schema` that an expression names.
pub(crate) fn column_index(expr: &Expr, schema: &datafusion::common::DFSchema) -> Option<usize> {
    match strip(expr) {
        Expr::Column(column) => schema.maybe_index_of_column(column),
        _ => None,
    }
}

fn through(input: Spread, exprs: &[Expr], schema: &datafusion::common::DFSchema) -> Spread {
    match input {
        Spread::ByPerson(columns) => Spread::ByPerson(columns.mapped(|column| {
            (0..exprs.len()).filter(|i| column_index(&exprs[*i], schema) == Some(column)).collect()
        })),
        other => other,
    }
}

fn joined(join: &datafusion::logical_expr::Join, left: Spread, right: Spread) -> Spread {
    let n_left = join.left.schema().fields().len();
    match (left, right) {
        (Spread::Scattered(why), _) | (_, Spread::Scattered(why)) => Spread::Scattered(why),
        (Spread::Everywhere, Spread::Everywhere) => Spread::Everywhere,
        (Spread::ByPerson(columns), Spread::Everywhere) => match join.join_type {
            JoinType::Inner
            | JoinType::Left
            | JoinType::LeftSemi
            | JoinType::LeftAnti
            | JoinType::LeftMark => Spread::ByPerson(columns),
            kind => Spread::Scattered(format!("a {kind} join keeps unmatched rows of a reference table")),
        },
        (Spread::Everywhere, Spread::ByPerson(columns)) => match join.join_type {
            JoinType::Inner | JoinType::Right => Spread::ByPerson(columns.shifted(n_left)),
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => Spread::ByPerson(columns),
            kind => Spread::Scattered(format!("a {kind} join keeps rows of a reference table")),
        },
        (Spread::ByPerson(a), Spread::ByPerson(b)) => {
            let null_meets_null = join.null_equality == NullEquality::NullEqualsNull;
            let serves = |columns: &PersonColumns, column: Option<usize>| {
                column.is_some_and(
                    |c| if null_meets_null { columns.own.contains(&c) } else { columns.joins(c) },
                )
            };
            let on_person = join.on.iter().any(|(l, r)| {
                serves(&a, column_index(l, join.left.schema()))
                    && serves(&b, column_index(r, join.right.schema()))
            });
            if !on_person {
                let pairs: Vec<String> = join.on.iter().map(|(l, r)| format!("{l} = {r}")).collect();
                let pairs = if pairs.is_empty() { "nothing".to_owned() } else { pairs.join(", ") };
                return Spread::Scattered(format!("a join is not on the person but on {pairs}"));
            }
            match join.join_type {
                JoinType::Inner => Spread::ByPerson(a.and(b.shifted(n_left))),
                JoinType::Left => Spread::ByPerson(a.and(b.shifted(n_left).weakened())),
                JoinType::Right => Spread::ByPerson(a.weakened().and(b.shifted(n_left))),
                JoinType::Full => Spread::ByPerson(a.weakened().and(b.shifted(n_left).weakened())),
                JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => Spread::ByPerson(a),
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => Spread::ByPerson(b),
            }
        }
    }
}

fn united(a: Spread, b: Spread) -> Spread {
    match (a, b) {
        (Spread::Scattered(why), _) | (_, Spread::Scattered(why)) => Spread::Scattered(why),
        (Spread::Everywhere, Spread::Everywhere) => Spread::Everywhere,
        (Spread::ByPerson(a), Spread::ByPerson(b)) => {
            let own: BTreeSet<usize> = a.own.intersection(&b.own).copied().collect();
            let or_null = a
                .own
                .iter()
                .chain(&a.or_null)
                .filter(|c| b.joins(**c) && !own.contains(*c))
                .copied()
                .collect();
            Spread::ByPerson(PersonColumns { own, or_null })
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Catalog, Cut, compile};
    use crate::sql;
    use arrow::datatypes::{DataType, Field, Schema};
    use std::sync::Arc;

    /// `a` and `b` lie by person, `r` is the same in every shard.
    fn spread_of(text: &str) -> Spread {
        let mut catalog = Catalog::new(&[], None).unwrap();
        let column = |name: &str, ty: DataType| Field::new(name, ty, true);
        let person = Arc::new(Schema::new(vec![
            column("pid", DataType::Int32),
            column("src", DataType::Int64),
            column("k", DataType::Utf8View),
            column("d", DataType::Date32),
        ]));
        let reference =
            Arc::new(Schema::new(vec![column("src", DataType::Int64), column("k", DataType::Utf8View)]));
        let spread = by_person(&person);
        catalog.define("a", Arc::clone(&person), Some(&spread), None).unwrap();
        catalog.define("b", Arc::clone(&person), Some(&spread), None).unwrap();
        catalog.define("r", reference, Some(&Spread::Everywhere), None).unwrap();
        // A view whose `pid` came out of the optional side of an outer join, and one whose `pid` is somebody else's.
        let or_null = PersonColumns { own: BTreeSet::new(), or_null: BTreeSet::from([0]) };
        catalog.define("v", Arc::clone(&person), Some(&Spread::ByPerson(or_null)), None).unwrap();
        catalog.define("w", person, Some(&Spread::ByPerson(PersonColumns::default())), None).unwrap();
        compile(&catalog, sql::parse(text).unwrap(), None, Cut::Nothing)
            .map_err(|f| f[0].en.clone())
            .unwrap()
            .spread
    }

    fn is_local(text: &str) -> bool {
        matches!(spread_of(text), Spread::ByPerson(_))
    }

    #[test]
    fn what_stays_within_a_person_is_local() {
        for text in [
            "SELECT a.pid FROM a WHERE a.k = 'x'",
            "SELECT a.pid, b.d FROM a JOIN b ON a.pid = b.pid AND b.d > a.d",
            "SELECT a.pid FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.pid = a.pid AND b.d > a.d)",
            "SELECT a.pid, count(*) AS n FROM a GROUP BY a.pid, a.k",
            "SELECT a.pid, row_number() OVER (PARTITION BY a.pid ORDER BY a.src) AS n FROM a",
            "SELECT a.pid FROM a JOIN r ON r.k = a.k",
            "SELECT a.pid FROM a LEFT JOIN r ON r.k = a.k",
            "SELECT a.pid FROM a UNION ALL SELECT b.pid FROM b",
            "SELECT DISTINCT a.pid FROM a",
            // What an outer join filled with NULL still joins with its own person only.
            "SELECT a.pid FROM a LEFT JOIN b ON b.pid = a.pid LEFT JOIN b AS c ON c.pid = b.pid",
            "SELECT a.pid FROM a JOIN v ON v.pid = a.pid",
        ] {
            assert!(is_local(text), "{text}: {:?}", spread_of(text));
        }
    }

    #[test]
    fn what_looks_across_persons_is_not_local() {
        for text in [
            "SELECT a.pid FROM a JOIN b ON a.k = b.k",
            "SELECT a.k, count(*) AS n FROM a GROUP BY a.k",
            "SELECT count(*) AS n FROM a",
            "SELECT a.pid, row_number() OVER (PARTITION BY a.k ORDER BY a.src) AS n FROM a",
            "SELECT DISTINCT a.k FROM a",
            "SELECT r.k FROM r LEFT JOIN a ON a.k = r.k",
            "SELECT r.k FROM r WHERE EXISTS (SELECT 1 FROM a WHERE a.k = r.k)",
            "SELECT r.k FROM r WHERE NOT EXISTS (SELECT 1 FROM a WHERE a.k = r.k)",
            // All rows without a partner would meet in one group.
            "SELECT b.pid, count(*) AS n FROM a LEFT JOIN b ON b.pid = a.pid GROUP BY b.pid",
            "SELECT a.k FROM a UNION ALL SELECT r.k FROM r",
            // What a view calls `pid` is the row's own person only if the view's own plan says so.
            "SELECT v.pid, count(*) AS n FROM v GROUP BY v.pid",
            "SELECT a.pid FROM a JOIN w ON w.pid = a.pid",
        ] {
            assert!(matches!(spread_of(text), Spread::Scattered(_)), "{text}: {:?}", spread_of(text));
        }
    }

    #[test]
    fn reference_tables_alone_are_the_same_everywhere() {
        assert_eq!(spread_of("SELECT r.k, count(*) AS n FROM r GROUP BY r.k"), Spread::Everywhere);
    }
}
