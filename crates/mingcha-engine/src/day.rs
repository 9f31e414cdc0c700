//! What in a rule depends on the day it is run for. Most rules ask for the day in one way only, "not after the run
//! date": `to_day(h.admit_time) <= $as_of`, or so many months before it: `l.last_seen >= add_months($as_of, 0 - 6)`.
//! Between two days such a comparison comes out otherwise only for rows whose date lies between them; so of a rule that
//! asks in no other way only the persons of such rows need be looked at again.
//!
//! Read off the plan as the SQL was written, before anything is folded together: every literal that equals the day
//! must be one side of a comparison whose other side can only be a value of certain columns of datasets. Whatever is
//! not understood depends on the day.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Date32Type, Int32Type, TimeUnit, TimestampNanosecondType};
use chrono::{Datelike, Months, NaiveDate, TimeDelta};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::{Distinct, Expr, ExprSchemable, JoinType, LogicalPlan, Operator};
use mingcha_intake::{Part, Tables};
use mingcha_rules::Diagnostic;

use crate::functions;
use crate::parallel::in_parallel;

/// Nanoseconds of a day.
const DAY: i64 = 86_400_000_000_000;

/// A column of a dataset that is compared with the day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Compared {
    pub dataset: String,
    pub column: String,
    /// A value that equals the day counts as before it (`<=`), or as after it (`<`).
    pub day_is_before: bool,
    /// What is made of the day before the column is compared with it, in this order.
    pub shifts: Vec<Shift>,
}

/// Another day that follows from the day; a later day never gives an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shift {
    /// `add_months`.
    Months(i64),
    /// `add_days`.
    Days(i64),
    /// `month_start`.
    MonthStart,
}

impl Shift {
    fn of(self, day: NaiveDate) -> Option<NaiveDate> {
        let months = |n: i64| Some(Months::new(u32::try_from(n.unsigned_abs()).ok()?));
        match self {
            Self::Months(n) if n < 0 => day.checked_sub_months(months(n)?),
            Self::Months(n) => day.checked_add_months(months(n)?),
            Self::Days(n) => day.checked_add_signed(TimeDelta::try_days(n)?),
            Self::MonthStart => day.with_day(1),
        }
    }
}

/// What a plan reads as tables and is no dataset: the plan behind it, or nothing where it is not to be looked through.
pub(crate) type Plans<'a> = BTreeMap<&'a str, Option<&'a LogicalPlan>>;

/// The columns that `plan` compares with the day, where that is all that it does with it.
pub(crate) fn compared(plan: &LogicalPlan, day: NaiveDate, plans: &Plans<'_>) -> Option<BTreeSet<Compared>> {
    let reading = Reading { day: functions::day_of(day), text: day.to_string(), plans };
    let mut out = BTreeSet::new();
    let mut understood = true;
    let walked = plan.apply_with_subqueries(|node| {
        let inputs = if node.inputs().is_empty() { vec![node] } else { node.inputs() };
        for expr in node.expressions() {
            understood &= reading.note(&expr, &inputs, &mut out);
        }
        Ok(if understood { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    (walked.is_ok() && understood).then_some(out)
}

/// Dataset and column.
type Columns = BTreeSet<(String, String)>;

/// Whether an expression is a date, and not a time: midnight of the day is not the whole day.
fn is_date(expr: &Expr, inputs: &[&LogicalPlan]) -> bool {
    let mut schema = DFSchema::empty();
    inputs.iter().for_each(|input| schema.merge(input.schema()));
    expr.get_type(&schema).is_ok_and(|t| t == DataType::Date32)
}

/// A whole number as it is written, a difference of two included.
fn whole_number(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::Int64(n), _) => *n,
        Expr::Literal(ScalarValue::Int32(n), _) => n.map(i64::from),
        Expr::Cast(cast) => whole_number(&cast.expr),
        Expr::Negative(inner) => whole_number(inner)?.checked_neg(),
        Expr::BinaryExpr(binary) if binary.op == Operator::Minus => {
            whole_number(&binary.left)?.checked_sub(whole_number(&binary.right)?)
        }
        _ => None,
    }
}

struct Reading<'a> {
    day: i32,
    text: String,
    plans: &'a Plans<'a>,
}

impl Reading<'_> {
    /// Whether the day stands in `expr` in comparisons only; these are noted.
    fn note(&self, expr: &Expr, inputs: &[&LogicalPlan], out: &mut BTreeSet<Compared>) -> bool {
        if self.is_day(expr) {
            return false;
        }
        if let Expr::BinaryExpr(binary) = expr
            && matches!(binary.op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq)
        {
            let other = match (self.shifted_day(&binary.left), self.shifted_day(&binary.right)) {
                (Some(shifts), None) => Some((&binary.right, shifts, false)),
                (None, Some(shifts)) => Some((&binary.left, shifts, true)),
                _ => None,
            };
            if let Some((other, shifts, day_is_right)) = other {
                let mut columns = Columns::new();
                // `x <= day` and `x > day` cut behind the day, `x < day` and `x >= day` before it.
                let day_is_before = matches!(binary.op, Operator::LtEq | Operator::Gt) == day_is_right;
                let understood = self.note(other, inputs, out)
                    && is_date(other, inputs)
                    && self.values(other, inputs, &mut columns);
                let noted = columns.into_iter();
                out.extend(noted.map(|(dataset, column)| Compared {
                    dataset,
                    column,
                    day_is_before,
                    shifts: shifts.clone(),
                }));
                return understood;
            }
        }
        let mut understood = true;
        let walked = expr.apply_children(|child| {
            understood &= self.note(child, inputs, out);
            Ok(TreeNodeRecursion::Continue)
        });
        walked.is_ok() && understood
    }

    /// Whether `expr` is the day, or a literal that cannot be told from it.
    fn is_day(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Literal(ScalarValue::Date32(Some(day)), _) => *day == self.day,
            Expr::Literal(
                ScalarValue::Utf8(Some(text))
                | ScalarValue::Utf8View(Some(text))
                | ScalarValue::LargeUtf8(Some(text)),
                _,
            ) => *text == self.text,
            Expr::Cast(cast) if *cast.field.data_type() == DataType::Date32 => self.is_day(&cast.expr),
            _ => false,
        }
    }

    /// What is made of the day in `expr`, where it is nothing but the day or a day that follows from it.
    fn shifted_day(&self, expr: &Expr) -> Option<Vec<Shift>> {
        if self.is_day(expr) {
            return Some(Vec::new());
        }
        let Expr::ScalarFunction(call) = expr else { return None };
        let mut shifts = self.shifted_day(call.args.first()?)?;
        let n = || call.args.get(1).and_then(whole_number);
        shifts.push(match call.name() {
            "add_months" => Shift::Months(n()?),
            "add_days" => Shift::Days(n()?),
            "month_start" => Shift::MonthStart,
            _ => return None,
        });
        Some(shifts)
    }

    /// Whether `expr` can only be NULL or the day of a value of columns of datasets; these are noted.
    fn values(&self, expr: &Expr, inputs: &[&LogicalPlan], out: &mut Columns) -> bool {
        let mut all = |exprs: &[Expr]| exprs.iter().all(|e| self.values(e, inputs, out));
        match expr {
            Expr::Column(column) => self.column(column, inputs, out),
            Expr::Alias(alias) => self.values(&alias.expr, inputs, out),
            Expr::Literal(value, _) => value.is_null(),
            Expr::Cast(cast) if *cast.field.data_type() == DataType::Date32 => {
                matches!(cast.expr.as_ref(), Expr::Literal(value, _) if value.is_null())
            }
            Expr::ScalarFunction(call)
                if matches!(call.name(), "to_day" | "coalesce" | "greatest" | "least") =>
            {
                all(&call.args)
            }
            Expr::Case(case) => {
                let results = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
                results.into_iter().all(|e| self.values(e, inputs, out))
            }
            Expr::AggregateFunction(call)
                if matches!(call.func.name(), "max" | "min" | "first_value" | "last_value") =>
            {
                call.params.args.len() == 1 && all(&call.params.args)
            }
            _ => false,
        }
    }

    fn column(&self, column: &Column, inputs: &[&LogicalPlan], out: &mut Columns) -> bool {
        let found = inputs.iter().find_map(|i| Some((*i, i.schema().maybe_index_of_column(column)?)));
        found.is_some_and(|(input, at)| self.output(input, at, out))
    }

    /// The same for one column that comes out of a plan.
    fn output(&self, plan: &LogicalPlan, at: usize, out: &mut Columns) -> bool {
        match plan {
            LogicalPlan::TableScan(scan) => {
                let name = scan.table_name.table();
                let at = scan.projection.as_ref().map_or(Some(at), |p| p.get(at).copied());
                let Some(at) = at else { return false };
                if let Some(plan) = self.plans.get(name) {
                    return plan.is_some_and(|plan| self.output(plan, at, out));
                }
                let schema = scan.source.schema();
                let Some(field) = schema.fields().get(at) else { return false };
                out.insert((name.to_owned(), field.name().clone()));
                matches!(
                    field.data_type(),
                    DataType::Date32 | DataType::Timestamp(TimeUnit::Nanosecond, None)
                )
            }
            LogicalPlan::Projection(p) => {
                p.expr.get(at).is_some_and(|e| self.values(e, &[p.input.as_ref()], out))
            }
            LogicalPlan::Aggregate(a) => {
                let input = [a.input.as_ref()];
                let expr = a.group_expr.iter().chain(&a.aggr_expr).nth(at);
                // Grouping sets add a column of their own.
                !matches!(a.group_expr.first(), Some(Expr::GroupingSet(_)))
                    && expr.is_some_and(|e| self.values(e, &input, out))
            }
            LogicalPlan::Filter(f) => self.output(&f.input, at, out),
            LogicalPlan::Sort(s) => self.output(&s.input, at, out),
            LogicalPlan::SubqueryAlias(s) => self.output(&s.input, at, out),
            LogicalPlan::Distinct(Distinct::All(input)) => self.output(input, at, out),
            LogicalPlan::Window(w) => at < w.input.schema().fields().len() && self.output(&w.input, at, out),
            LogicalPlan::Union(u) => u.inputs.iter().all(|input| self.output(input, at, out)),
            LogicalPlan::Join(j) => {
                let n_left = j.left.schema().fields().len();
                match j.join_type {
                    JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full if at < n_left => {
                        self.output(&j.left, at, out)
                    }
                    JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
                        self.output(&j.right, at - n_left, out)
                    }
                    _ => false,
                }
            }
            _ => false,
        }
    }
}

/// Whether a dataset lies by person.
pub(crate) fn is_by_person(tables: &dyn Tables, dataset: &str) -> bool {
    dataset == "persons" || tables.contracts().iter().any(|c| c.name == dataset && c.person.is_some())
}

/// Who has a date between two days.
#[derive(Debug, Clone, Default)]
pub(crate) struct Between {
    /// The persons, ascending.
    pub persons: Vec<i32>,
    /// Rows that belong to no person.
    pub elsewhere: bool,
}

/// Looks for the rows whose comparison comes out otherwise on one of two different days than on the other.
pub(crate) fn between(
    tables: &dyn Tables,
    compared: &Compared,
    days: (NaiveDate, NaiveDate),
    workers: usize,
) -> Result<Between, Diagnostic> {
    let (dataset, column) = (compared.dataset.as_str(), compared.column.as_str());
    let mut out = Between::default();
    if tables.rows(dataset).is_none() {
        return Ok(out);
    }
    let shifted = |day: NaiveDate| compared.shifts.iter().try_fold(day, |day, shift| shift.of(day));
    let (Some(one), Some(other)) = (shifted(days.0), shifted(days.1)) else {
        // A day that no calendar has: nothing is known of who is concerned.
        return Ok(Between { persons: Vec::new(), elsewhere: true });
    };
    let (one, other) = (functions::day_of(one), functions::day_of(other));
    let (from, to) = (one.min(other), one.max(other));
    let (from, to) = if compared.day_is_before { (from + 1, to) } else { (from, to - 1) };
    let by_person = is_by_person(tables, dataset);
    let mut parts: Vec<Part> =
        if by_person { (0..tables.n_shards()).map(Part::Shard).collect() } else { vec![Part::Whole] };
    if by_person && dataset != "persons" {
        parts.push(Part::Unassigned);
    }
    let found = in_parallel(workers, parts, |part| {
        let mut out = Between::default();
        let columns: &[&str] = if matches!(part, Part::Shard(_)) { &[column, "pid"] } else { &[column] };
        for batch in tables.read(dataset, part, columns)? {
            let days = batch.column(0);
            let inside: Vec<usize> = match days.as_primitive_opt::<Date32Type>() {
                Some(days) => (0..days.len())
                    .filter(|i| days.is_valid(*i) && (from..=to).contains(&days.value(*i)))
                    .collect(),
                None => {
                    let times = days.as_primitive::<TimestampNanosecondType>();
                    let first = i64::from(from).saturating_mul(DAY);
                    let end = (i64::from(to) + 1).saturating_mul(DAY);
                    (0..times.len())
                        .filter(|i| times.is_valid(*i) && (first..end).contains(&times.value(*i)))
                        .collect()
                }
            };
            match part {
                Part::Shard(_) => {
                    let pids = batch.column(1).as_primitive::<Int32Type>();
                    out.persons.extend(inside.into_iter().map(|i| pids.value(i)));
                }
                _ => out.elsewhere |= !inside.is_empty(),
            }
        }
        Ok::<_, Diagnostic>(out)
    });
    for part in found {
        let part = part?;
        out.persons.extend(part.persons);
        out.elsewhere |= part.elsewhere;
    }
    out.persons.sort_unstable();
    out.persons.dedup();
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::{Spread, by_person};
    use crate::plan::{Catalog, Cut, compile};
    use crate::sql;
    use arrow::datatypes::{Field, Schema};
    use std::sync::Arc;

    const DAY_TEXT: &str = "2026-06-30";

    /// What `text` compares with the day, as `table.column`, with `<` where the day counts as after.
    fn of(text: &str) -> Option<Vec<String>> {
        let mut catalog = Catalog::new(&[], None).unwrap();
        let column = |name: &str, ty: DataType| Field::new(name, ty, true);
        let schema = Arc::new(Schema::new(vec![
            column("pid", DataType::Int32),
            column("src", DataType::Int64),
            column("d", DataType::Date32),
            column("e", DataType::Date32),
            column("t", DataType::Timestamp(TimeUnit::Nanosecond, None)),
        ]));
        for name in ["a", "b", "v", "w"] {
            catalog.define(name, Arc::clone(&schema), Some(&by_person(&schema)), None).unwrap();
        }
        let view = "SELECT a.pid, a.src, to_day(a.t) AS d, a.e, a.t FROM a";
        let bound = |text: &str| sql::parse(&text.replace("$as_of", "DATE '2026-06-30'")).unwrap();
        let view = compile(&catalog, bound(view), None, Cut::Nothing).map_err(|f| f[0].en.clone()).unwrap();
        let compiled =
            compile(&catalog, bound(text), None, Cut::Nothing).map_err(|f| f[0].en.clone()).unwrap();
        assert!(!matches!(compiled.spread, Spread::Everywhere));
        let plans = Plans::from([("v", Some(&view.written)), ("w", None)]);
        let found = compared(&compiled.written, DAY_TEXT.parse().unwrap(), &plans)?;
        let mark = |c: &Compared| {
            let shifts: String = c.shifts.iter().map(|s| format!(" {s:?}")).collect();
            format!("{}{shifts}", if c.day_is_before { "" } else { "<" })
        };
        Some(found.iter().map(|c| format!("{}.{}{}", c.dataset, c.column, mark(c))).collect())
    }

    #[test]
    fn comparisons_of_a_row_with_the_day_are_understood() {
        for (text, columns) in [
            ("SELECT a.pid FROM a WHERE a.d <= $as_of", &["a.d"][..]),
            ("SELECT a.pid FROM a WHERE a.d < $as_of", &["a.d<"]),
            ("SELECT a.pid FROM a WHERE a.d > $as_of", &["a.d"]),
            ("SELECT a.pid FROM a WHERE $as_of >= a.d", &["a.d"]),
            ("SELECT a.pid FROM a WHERE $as_of > a.d OR a.d IS NULL", &["a.d<"]),
            ("SELECT a.pid FROM a WHERE to_day(a.t) <= $as_of", &["a.t"]),
            ("SELECT a.pid FROM a WHERE a.d >= add_months($as_of, 0 - 6)", &["a.d< Months(-6)"]),
            (
                "SELECT a.pid FROM a WHERE a.d < month_start(add_days($as_of, 3))",
                &["a.d< Days(3) MonthStart"],
            ),
            ("SELECT v.pid FROM v WHERE v.d <= add_months($as_of, 1)", &["a.t Months(1)"]),
            ("SELECT a.pid, CASE WHEN a.d <= $as_of THEN a.e END AS x FROM a", &["a.d"]),
            (
                "SELECT a.pid FROM a JOIN b ON b.pid = a.pid AND b.e <= $as_of WHERE coalesce(a.d, a.e) <= $as_of",
                &["a.d", "a.e", "b.e"],
            ),
            ("SELECT v.pid FROM v WHERE v.d <= $as_of", &["a.t"]),
            (
                "SELECT k.pid FROM (SELECT a.pid, max(a.d) AS m FROM a GROUP BY a.pid) k WHERE k.m <= $as_of",
                &["a.d"],
            ),
            ("SELECT a.pid, max(CASE WHEN a.d <= $as_of THEN a.e END) AS m FROM a GROUP BY a.pid", &["a.d"]),
            (
                "SELECT a.pid FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.pid = a.pid AND b.d <= $as_of)",
                &["b.d"],
            ),
            (
                "SELECT k.pid FROM (SELECT a.pid, a.d FROM a UNION ALL SELECT b.pid, b.e AS d FROM b) k WHERE k.d <= $as_of",
                &["a.d", "b.e"],
            ),
        ] {
            assert_eq!(
                of(text).as_deref(),
                Some(&columns.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>()[..]),
                "{text}"
            );
        }
    }

    #[test]
    fn a_later_day_never_gives_an_earlier_one() {
        let first = NaiveDate::from_ymd_opt(2023, 12, 25).unwrap();
        for shift in [Shift::Months(-6), Shift::Months(1), Shift::Days(-40), Shift::MonthStart] {
            let days: Vec<NaiveDate> = first.iter_days().take(800).map(|d| shift.of(d).unwrap()).collect();
            assert!(days.is_sorted(), "{shift:?}");
        }
    }

    #[test]
    fn whatever_else_is_done_with_the_day_depends_on_it() {
        for text in [
            "SELECT a.pid, $as_of AS day FROM a",
            "SELECT a.pid FROM a WHERE a.d = $as_of",
            "SELECT a.pid FROM a WHERE a.d BETWEEN a.e AND $as_of",
            "SELECT a.pid FROM a WHERE add_days(a.d, 3) <= $as_of",
            "SELECT a.pid FROM a WHERE a.d <= add_days($as_of, days_between(a.e, a.d))",
            "SELECT a.pid FROM a WHERE add_months($as_of, 1) <= add_months($as_of, 2)",
            "SELECT a.pid FROM a WHERE coalesce(a.d, $as_of) <= a.e",
            "SELECT a.pid FROM a WHERE days_between(a.d, $as_of) > 3",
            // Midnight of the day is not the day.
            "SELECT a.pid FROM a WHERE a.t <= $as_of",
            // A date of somebody else's row.
            "SELECT a.pid FROM a JOIN w ON w.pid = a.pid AND w.d <= $as_of",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
