//! From SQL text to an executable plan: the catalogue of tables, planning, and the refusals that need types.
//! Knows no rule file (faults carry a place inside the piece of SQL, its owner adds the file) and no data.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, ExprSchema};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::Statement;
use futures::executor::block_on;
use mingcha_intake::{Tables, builtin_schema, sql_schema};
use mingcha_rules::{Contract, Diagnostic, Text};

use crate::context;
use crate::local::{self, Spread, TableSpread};
use crate::person;
use crate::rekey::{self, ByKey, Keys};
use crate::sql::SqlFault;
use crate::subquery;
use crate::tables::SlotTable;

/// Tables that are in every store without a contract.
pub(crate) const BUILTIN: &[&str] = &["persons", "rejects"];

/// A session with its tables.
#[derive(Clone)]
pub(crate) struct Catalog {
    pub session: SessionContext,
    /// How the tables lie over the shards.
    pub spread: TableSpread,
    /// How they lie when they are dealt by another key than the person.
    pub by_key: ByKey,
    datasets: BTreeSet<String>,
}

impl Catalog {
    /// A catalogue of the datasets of `contracts` and the built-in tables. `source` only serves estimates.
    pub(crate) fn new(contracts: &[Contract], source: Option<&dyn Tables>) -> Result<Self, DataFusionError> {
        let mut catalog = Self {
            session: context::open(),
            spread: BTreeMap::new(),
            by_key: rekey::keys_of(contracts),
            datasets: contracts.iter().map(|c| c.name.clone()).collect(),
        };
        let rows = |name: &str| usize::try_from(source?.rows(name)?).ok();
        let shards = source.map_or(1, |s| s.n_shards().max(1));
        for contract in contracts {
            let schema = sql_schema(contract);
            let by_person = contract.person.is_some();
            let estimate = rows(&contract.name).map(|n| if by_person { n / shards } else { n });
            let spread = if by_person { local::by_person(&schema) } else { Spread::Everywhere };
            catalog.define(&contract.name, schema, Some(&spread), estimate)?;
        }
        for name in BUILTIN {
            if let Some(schema) = builtin_schema(name) {
                let persons = *name == "persons";
                let estimate = rows(name).map(|n| if persons { n / shards } else { n });
                let spread = if persons { local::by_person(&schema) } else { Spread::Everywhere };
                catalog.define(name, schema, Some(&spread), estimate)?;
            }
        }
        Ok(catalog)
    }

    /// Whether a table is a dataset with a contract, and no view.
    pub(crate) fn is_dataset(&self, name: &str) -> bool {
        self.datasets.contains(name)
    }

    /// Adds a table, or puts another in its place. `spread`: how its rows lie; absent: known only after all shards.
    pub(crate) fn define(
        &mut self,
        name: &str,
        schema: SchemaRef,
        spread: Option<&Spread>,
        estimate: Option<usize>,
    ) -> Result<(), DataFusionError> {
        self.session.deregister_table(name)?;
        #[expect(clippy::disallowed_methods, reason = "the catalogue is where tables are registered")]
        self.session.register_table(name, Arc::new(SlotTable::new(name, schema, estimate)))?;
        match spread {
            Some(spread) => self.spread.insert(name.to_owned(), spread.clone()),
            None => self.spread.remove(name),
        };
        Ok(())
    }
}

/// A plan, and what can be read off it.
#[derive(Clone)]
pub(crate) struct Compiled {
    /// The logical plan as the SQL was written.
    pub written: LogicalPlan,
    pub physical: Arc<dyn ExecutionPlan>,
    pub schema: SchemaRef,
    pub spread: Spread,
    /// Columns that the plan reads: table -> names.
    pub columns: BTreeMap<String, BTreeSet<String>>,
    /// Rows to expect, where the plan can tell.
    pub estimate: Option<usize>,
    /// The key that all of it is local to, and how its rows lie then.
    pub by_key: Option<(String, Spread)>,
    /// Parts of it that are local to another key than the person: tables that `physical` reads.
    pub pieces: Vec<CompiledPiece>,
}

/// A part of a plan that is local to another key than the person.
#[derive(Clone)]
pub(crate) struct CompiledPiece {
    pub name: String,
    pub key: String,
    pub compiled: Box<Compiled>,
}

impl Compiled {
    /// Puts the operators for rows that lie by person into the plan; `local`: it runs shard by shard.
    pub(crate) fn by_person(&mut self, catalog: &Catalog, local: bool) -> Result<(), DataFusionError> {
        let state = catalog.session.state();
        let rewrite = match (&self.by_key, local) {
            (Some(_), _) => person::rewrite_by_key,
            (None, true) => person::rewrite,
            (None, false) => person::rewrite_whole,
        };
        self.physical = rewrite(&self.physical, state.config_options())?;
        Ok(())
    }
}

/// Plans a bound statement. Faults are those that need types: unknown columns, text compared with numbers,
/// floating point, joins that are not on equality.
///
/// `scope`: the tables that the plan may read, whatever the syntax made of their names; absent: any.
/// `cut`: what is to become of parts that are local to another key than the person.
pub(crate) fn compile(
    catalog: &Catalog,
    statement: Statement,
    scope: Option<&BTreeSet<String>>,
    cut: Cut<'_>,
) -> Result<Compiled, Vec<SqlFault>> {
    let state = catalog.session.state();
    let plan = block_on(state.statement_to_plan(DfStatement::Statement(Box::new(statement))))
        .map_err(|e| vec![planning_fault(&e)])?;
    let analysed = state
        .analyzer()
        .execute_and_check(plan.clone(), state.config_options(), |_, _| {})
        .map_err(|e| vec![planning_fault(&e)])?;
    let mut faults = implicit_casts(&analysed);
    faults.extend(mixed_lists(&plan));
    faults.extend(subquery::faults(&plan));
    if let Some(scope) = scope {
        faults.extend(columns_read(&analysed).keys().filter(|t| !scope.contains(*t)).map(|table| {
            SqlFault::new(
                "MC252",
                format!("表 `{table}` 没有在 inputs 或 views 中声明"),
                format!("table `{table}` is not declared under `inputs` or `views`"),
            )
        }));
    }
    let optimised = state.optimize(&plan).map_err(|e| vec![planning_fault(&e)])?;
    let physical = |plan: &LogicalPlan| {
        block_on(state.query_planner().create_physical_plan(plan, &state))
            .map_err(|e| vec![planning_fault(&e)])
    };
    let whole = physical(&optimised)?;
    faults.extend(forbidden_operators(whole.as_ref()));
    if !faults.is_empty() {
        faults.dedup();
        return Err(faults);
    }
    let mut compiled = Compiled {
        schema: whole.schema(),
        estimate: estimated_rows(&whole),
        spread: local::spread(&optimised, &catalog.spread),
        columns: columns_read(&optimised),
        physical: whole,
        written: plan,
        by_key: None,
        pieces: Vec::new(),
    };
    match cut {
        Cut::Nothing => return Ok(compiled),
        Cut::View(keys) => {
            compiled.by_key = rekey::key_of(&optimised, catalog, keys);
            if compiled.by_key.is_some() {
                return Ok(compiled);
            }
        }
        Cut::Rule(_) => {}
    }
    let (Cut::View(keys) | Cut::Rule(keys)) = cut else { return Ok(compiled) };
    let (rest, pieces) = rekey::cut(optimised, catalog, keys).map_err(|e| vec![planning_fault(&e)])?;
    if let Some(first) = pieces.first() {
        compiled.physical = physical(&rest)?;
        if !matches!(compiled.spread, Spread::Scattered(_)) {
            compiled.spread = Spread::Scattered(format!("rows are brought together by {}", first.key));
        }
    }
    for piece in pieces {
        let physical = person::rewrite_by_key(&physical(&piece.plan)?, state.config_options())
            .map_err(|e| vec![planning_fault(&e)])?;
        let own = Compiled {
            schema: piece.schema,
            estimate: None,
            spread: Spread::Everywhere,
            columns: columns_read(&piece.plan),
            physical,
            written: piece.plan,
            by_key: None,
            pieces: Vec::new(),
        };
        compiled.pieces.push(CompiledPiece { name: piece.name, key: piece.key, compiled: Box::new(own) });
    }
    Ok(compiled)
}

/// What is to become of the parts of a plan that are local to another key than the person.
#[derive(Clone, Copy)]
pub(crate) enum Cut<'a> {
    /// They stay in it.
    Nothing,
    /// They are cut out.
    Rule(&'a Keys<'a>),
    /// They are cut out, unless all of it is one: then the view itself is one.
    View(&'a Keys<'a>),
}

/// Rows to expect of a plan, where it can tell.
pub(crate) fn estimated_rows(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    let statistics = datafusion::physical_plan::statistics::StatisticsContext::new()
        .compute(plan.as_ref(), &datafusion::physical_plan::statistics::StatisticsArgs::new())
        .ok()?;
    statistics.num_rows.get_value().copied()
}

/// A planner's error as a fault; its place is kept where the planner knows it.
pub(crate) fn planning_fault(error: &DataFusionError) -> SqlFault {
    let text = error.strip_backtrace();
    let text = text.lines().next().unwrap_or_default();
    let text = ["Error during planning: ", "Schema error: ", "SQL error: ", "Diagnostics: "]
        .iter()
        .fold(text, |t, prefix| t.strip_prefix(prefix).unwrap_or(t));
    let mut fault = SqlFault::new(
        "MC203",
        format!("查询无法编制：{text}"),
        format!("the query cannot be planned: {text}"),
    );
    fault.at = error.diagnostic().and_then(|d| d.span).map(|s| (s.start.line, s.start.column));
    fault
}

/// An error of execution as a sentence. The engine's own text may quote a value of a row, so it is never shown.
pub(crate) fn execution_text(error: &DataFusionError) -> Text {
    let (zh, en) = match error.find_root() {
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            ArrowError::DivideByZero => ("除数为零", "a division by zero"),
            ArrowError::ArithmeticOverflow(_) => ("数值超出范围", "a number is out of range"),
            ArrowError::CastError(_) | ArrowError::ParseError(_) => (
                "有值不能转换类型，请检查规则中的 CAST",
                "a value could not be converted; check the casts of the rule",
            ),
            _ => ("计算出错", "a computation failed"),
        },
        DataFusionError::External(inner) if inner.is::<Diagnostic>() => {
            // Diagnostics of the store name files and rows, never values.
            return inner.downcast_ref::<Diagnostic>().map(|d| d.message.clone()).unwrap_or_default();
        }
        DataFusionError::External(_) => {
            ("读取数据仓出错，请运行 mingcha verify", "the store could not be read; run `mingcha verify`")
        }
        DataFusionError::Internal(_) => ("程序内部错误", "an internal error"),
        _ => ("计算出错", "a computation failed"),
    };
    Text { zh: format!("执行失败：{zh}"), en: format!("it failed: {en}") }
}

/// Comparisons that only work because a text is turned into a number (or the reverse), and floating point.
fn implicit_casts(plan: &LogicalPlan) -> Vec<SqlFault> {
    each_expression(plan, |e, schema| {
        let mut faults = Vec::new();
        if let Expr::BinaryExpr(binary) = e
            && is_comparison(binary.op)
            && let Some(name) = [binary.left.as_ref(), binary.right.as_ref()]
                .into_iter()
                .find_map(|side| crossed(side, schema))
        {
            faults.push(crossed_types(&name));
        }
        if let Ok(DataType::Float16 | DataType::Float32 | DataType::Float64) = e.get_type(schema) {
            faults.push(
                SqlFault::new(
                    "MC245",
                    format!("`{e}` 是浮点数：次序不同，合计就不同"),
                    format!("`{e}` is floating point, whose sums depend on row order"),
                )
                .help("用整数或 decimal", "use whole numbers or decimal"),
            );
        }
        faults
    })
}

/// `scheme IN (110, 120)` and `status BETWEEN 1 AND 2` over text: looked for before the analyser hides it.
fn mixed_lists(plan: &LogicalPlan) -> Vec<SqlFault> {
    each_expression(plan, |e, schema| {
        let (tested, others): (&Expr, Vec<&Expr>) = match e {
            Expr::InList(list) => (&list.expr, list.list.iter().collect()),
            Expr::Between(between) => (&between.expr, vec![&between.low, &between.high]),
            _ => return Vec::new(),
        };
        let crosses =
            |a: &DataType, b: &DataType| (is_text(a) && b.is_numeric()) || (a.is_numeric() && is_text(b));
        let Ok(own) = tested.get_type(schema) else { return Vec::new() };
        let mixed = others.iter().filter_map(|o| o.get_type(schema).ok()).any(|other| crosses(&own, &other));
        if mixed { vec![crossed_types(&tested.to_string())] } else { Vec::new() }
    })
}

/// The faults that `judge` finds in the expressions of every node, subqueries included. Below an expression with
/// a fault it is not asked again: what stands inside would only repeat it.
fn each_expression(plan: &LogicalPlan, judge: impl Fn(&Expr, &DFSchema) -> Vec<SqlFault>) -> Vec<SqlFault> {
    let mut faults = Vec::new();
    let walked = plan.apply_with_subqueries(|node| {
        let Ok(schema) = merged_schema(node) else { return Ok(TreeNodeRecursion::Continue) };
        for expr in node.expressions() {
            expr.apply(|e| {
                let found = judge(e, &schema);
                let next =
                    if found.is_empty() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Jump };
                faults.extend(found);
                Ok(next)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    });
    if let Err(error) = walked {
        faults.push(planning_fault(&error));
    }
    faults
}

fn crossed_types(name: &str) -> SqlFault {
    SqlFault::new(
        "MC204",
        format!("比较时 `{name}` 被悄悄换了类型（文本与数字）"),
        format!("comparing `{name}` silently turns text into a number or a number into text"),
    )
    .help("代码是文本，写成 '110' 这样带引号的值", "codes are text: write '110' in quotes")
}

fn merged_schema(node: &LogicalPlan) -> Result<DFSchema, DataFusionError> {
    let mut schema = DFSchema::empty();
    for input in node.inputs() {
        schema.merge(input.schema());
    }
    if node.inputs().is_empty() {
        schema.merge(node.schema());
    }
    Ok(schema)
}

fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

/// The column under a cast between text and number.
fn crossed(expr: &Expr, schema: &dyn ExprSchema) -> Option<String> {
    let Expr::Cast(Cast { expr: inner, field }) = expr else { return None };
    let Expr::Column(column) = inner.as_ref() else { return None };
    let from = inner.get_type(schema).ok()?;
    let to = field.data_type();
    ((is_text(&from) && to.is_numeric()) || (from.is_numeric() && is_text(to))).then(|| column.name.clone())
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Operators that give wrong rows under memory pressure, or that compare everything with everything
/// (apache/datafusion#22641, #24745).
fn forbidden_operators(plan: &dyn ExecutionPlan) -> Vec<SqlFault> {
    let mut faults: Vec<SqlFault> =
        plan.children().into_iter().flat_map(|c| forbidden_operators(c.as_ref())).collect();
    if matches!(plan.name(), "NestedLoopJoinExec" | "CrossJoinExec" | "PiecewiseMergeJoinExec") {
        faults.push(
            SqlFault::new(
                "MC205",
                "查询要把两张表的每一行两两比较",
                "the plan compares every row of one table with every row of another",
            )
            .help("加上 a.pid = b.pid 这样的等值条件", "add an equality such as a.pid = b.pid"),
        );
    }
    faults
}

fn columns_read(plan: &LogicalPlan) -> BTreeMap<String, BTreeSet<String>> {
    let mut columns: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // The closure never fails, so neither does the walk.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let set = columns.entry(scan.table_name.table().to_owned()).or_default();
            let fields = scan.source.schema();
            match &scan.projection {
                Some(indices) => set.extend(indices.iter().map(|i| fields.field(*i).name().clone())),
                None => set.extend(fields.fields().iter().map(|f| f.name().clone())),
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    columns
}
