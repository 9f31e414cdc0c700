//! Clauses and spellings of SQL that would not do what they say: parts that the planner passes over without a word (a
//! `PREWHERE` that filters nothing), steps that hide what is refused elsewhere (`|> LIMIT 10`), and comparisons of
//! comparisons without brackets, which databases read differently. Works on the syntax tree alone.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Query, Select, Spanned, Statement, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::fault::SqlFault;

/// What `statement` holds of them, in no order.
pub(crate) fn lint(statement: &Statement) -> Vec<SqlFault> {
    let mut found = Found(Vec::new());
    let _: ControlFlow<()> = statement.visit(&mut found);
    found.0
}

struct Found(Vec<SqlFault>);

impl Found {
    /// Refuses the clauses of `list` that are there.
    fn clauses(&mut self, span: Span, list: &[(bool, &str)]) {
        for (_, name) in list.iter().filter(|(there, _)| *there) {
            let fault = SqlFault::new(
                "MC272",
                format!("不支持 {name}：它会被悄悄忽略，或绕开其他检查"),
                format!(
                    "{name} is refused: it would be passed over in silence, or hide what is refused elsewhere"
                ),
            );
            self.0.push(
                fault
                    .at(span)
                    .help("用 WHERE、GROUP BY、HAVING 写明条件", "say it with WHERE, GROUP BY and HAVING"),
            );
        }
    }
}

impl Visitor for Found {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.clauses(
            query.span(),
            &[
                (!query.pipe_operators.is_empty(), "|>"),
                (query.settings.is_some(), "SETTINGS"),
                (query.format_clause.is_some(), "FORMAT"),
                (query.for_clause.is_some(), "FOR"),
                (!query.locks.is_empty(), "FOR UPDATE / FOR SHARE"),
            ],
        );
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let modifiers = match &select.group_by {
            GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) => modifiers,
        };
        self.clauses(
            select.span(),
            &[
                (select.prewhere.is_some(), "PREWHERE"),
                (!select.connect_by.is_empty(), "CONNECT BY"),
                (!select.lateral_views.is_empty(), "LATERAL VIEW"),
                (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
                (select.into.is_some(), "INTO"),
                (select.exclude.is_some(), "EXCLUDE"),
                (select.value_table_mode.is_some(), "SELECT AS"),
                (!modifiers.is_empty(), "GROUP BY ... WITH"),
            ],
        );
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table {
            with_hints, with_ordinality, partitions, json_path, index_hints, ..
        } = factor
        {
            let list = [
                (!with_hints.is_empty(), "WITH (...)"),
                (*with_ordinality, "WITH ORDINALITY"),
                (!partitions.is_empty(), "PARTITION (...)"),
                (json_path.is_some(), "FROM a[...]"),
                (!index_hints.is_empty(), "USE INDEX"),
            ];
            self.clauses(factor.span(), &list);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if operands(expr).into_iter().any(is_test) {
            let fault = SqlFault::new(
                "MC273",
                "比较的一边又是比较，却没有加括号：不同数据库的理解不同",
                "one side of a comparison is itself a comparison, without brackets: databases read it differently",
            );
            self.0.push(
                fault
                    .at(expr.span())
                    .help("用括号写明先比较哪一边", "say with brackets which comparison comes first"),
            );
        }
        ControlFlow::Continue(())
    }
}

/// Whether an operator compares two values.
pub(crate) fn is_comparison(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
    )
}

/// What a comparison compares.
fn operands(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::BinaryOp { left, op, right } if is_comparison(op) => vec![left, right],
        Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => vec![left, right],
        Expr::Between { expr, low, high, .. } => vec![expr, low, high],
        Expr::InList { expr, .. } | Expr::InSubquery { expr, .. } | Expr::InUnnest { expr, .. } => vec![expr],
        Expr::Like { expr, pattern, .. }
        | Expr::ILike { expr, pattern, .. }
        | Expr::RLike { expr, pattern, .. }
        | Expr::SimilarTo { expr, pattern, .. } => vec![expr, pattern],
        _ => Vec::new(),
    }
}

/// Whether an operand, as it stands, is a test and no value.
fn is_test(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryOp { op, .. } => is_comparison(op),
        Expr::Between { .. }
        | Expr::InList { .. }
        | Expr::InSubquery { .. }
        | Expr::InUnnest { .. }
        | Expr::Like { .. }
        | Expr::ILike { .. }
        | Expr::RLike { .. }
        | Expr::SimilarTo { .. }
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_)
        | Expr::IsDistinctFrom(..)
        | Expr::IsNotDistinctFrom(..) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parse;

    fn codes(text: &str) -> Vec<&'static str> {
        lint(&parse(text).unwrap()).iter().map(|f| f.code).collect()
    }

    #[test]
    fn clauses_that_would_be_passed_over_are_refused() {
        for text in [
            "SELECT a.pid FROM a PREWHERE a.n > 1",
            "SELECT a.pid FROM a |> WHERE a.n > 1",
            "FROM a |> LIMIT 1",
            "SELECT a.pid FROM a SETTINGS x = 1",
            "SELECT a.pid FROM a FOR UPDATE",
            "SELECT a.pid FROM a CONNECT BY a.n = PRIOR a.m",
            "SELECT a.k FROM a GROUP BY a.k WITH ROLLUP",
            "SELECT a.pid FROM a DISTRIBUTE BY a.k",
            "SELECT a.pid FROM a WITH (NOLOCK)",
        ] {
            assert!(codes(text).contains(&"MC272"), "{text}");
        }
        assert_eq!(codes("SELECT a.k, count(*) AS n FROM a WHERE a.n > 1 GROUP BY a.k"), [""; 0]);
    }

    #[test]
    fn a_comparison_of_a_comparison_needs_brackets() {
        for text in [
            "x = y = z",
            "x < y < z",
            "x = y IN (1, 2)",
            "x = y BETWEEN 1 AND 2",
            "x IS NULL = y",
            "x = y IS DISTINCT FROM z",
        ] {
            assert_eq!(codes(&format!("SELECT {text} AS v FROM a")), ["MC273"], "{text}");
        }
        for text in [
            "(x = y) = z",
            "x = (y IN (1, 2))",
            "(x IS NULL) = (y IS NULL)",
            "x = y IS NOT TRUE",
            "x = y AND y = z",
            "NOT x = y",
            "x BETWEEN y - 1 AND z + 1",
        ] {
            assert_eq!(codes(&format!("SELECT {text} AS v FROM a")), [""; 0], "{text}");
        }
    }
}
