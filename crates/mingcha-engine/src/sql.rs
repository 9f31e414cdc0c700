//! The SQL of rules before any planning: parse it, refuse the shapes that give wrong rows or wander outside,
//! and put parameters in as typed literals. Works on the syntax tree alone; knows no schema and no data.
//!
//! Why shapes are refused at all: DataFusion 55 answers some of them wrongly without a word (`NOT IN` with a
//! subquery, zoned timestamps), and others depend on the order of rows or on the clock. The list with the
//! upstream issues is in `rules/README.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Distinct, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArguments, JoinConstraint, JoinOperator, ObjectName, OrderByExpr, Query,
    Select, SelectItem, SetExpr, SetOperator, SetQuantifier, Spanned, Statement, TableFactor, TypedString,
    UnaryOperator, Value, Visit, Visitor, WindowFrameUnits, WindowType, visit_expressions,
    visit_expressions_mut,
};
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Span;
use mingcha_rules::ParamValue;

use crate::clauses::{self, is_comparison};
use crate::dialect::RuleDialect;
pub(crate) use crate::fault::SqlFault;
use crate::functions;

/// Parses one read-only SELECT.
pub(crate) fn parse(sql: &str) -> Result<Statement, SqlFault> {
    let mut statements = Parser::parse_sql(&RuleDialect, sql).map_err(|error| {
        let text = error.to_string();
        let mut fault = SqlFault::new(
            "MC201",
            format!("SQL 无法解析：{text}"),
            format!("the SQL cannot be parsed: {text}"),
        );
        fault.at = position_in(&text);
        fault
    })?;
    match (statements.pop(), statements.is_empty()) {
        (Some(statement @ Statement::Query(_)), true) => Ok(statement),
        (Some(other), true) => Err(SqlFault::new(
            "MC202",
            format!("规则只能是一条查询，现在是 {} 语句", first_word(&other)),
            format!("a rule is one SELECT, this is a {} statement", first_word(&other)),
        )),
        _ => Err(SqlFault::new("MC202", "规则只能是一条查询", "a rule is exactly one SELECT")),
    }
}

/// Parses an expression by way of `SELECT (...)`; columns in faults are those of the expression.
pub(crate) fn parse_expression(text: &str) -> Result<Statement, SqlFault> {
    parse(&format!("SELECT\n{text}\nAS x")).map_err(|mut fault| {
        fault.at = fault.at.map(|(line, column)| (line.saturating_sub(1).max(1), column));
        fault
    })
}

fn first_word(statement: &Statement) -> String {
    statement.to_string().split_whitespace().next().unwrap_or_default().to_uppercase()
}

/// `... at Line: 3, Column: 14` of the parser's message.
fn position_in(message: &str) -> Option<(u64, u64)> {
    let rest = message.split("Line: ").nth(1)?;
    let (line, rest) = rest.split_once(", Column: ")?;
    let column: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((line.trim().parse().ok()?, column.parse().ok()?))
}

/// The text of the expression that [`parse_expression`] wrapped; `None` when something else was smuggled in.
pub(crate) fn single_expression(statement: &Statement) -> Option<String> {
    let Statement::Query(query) = statement else { return None };
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let [SelectItem::ExprWithAlias { expr, alias }] = select.projection.as_slice() else { return None };
    let alone = alias.value == "x" && statement.to_string() == format!("SELECT {expr} AS x");
    alone.then(|| expr.to_string())
}

/// Puts values in place of `$name`. What is not in `params` is left and reported by [`lint`].
pub(crate) fn bind(statement: &mut Statement, params: &BTreeMap<String, ParamValue>) {
    let _: ControlFlow<()> = visit_expressions_mut(statement, |expr| {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(name) = &value.value
            && let Some(param) = name.strip_prefix('$').and_then(|name| params.get(name))
        {
            *expr = literal(param);
        }
        ControlFlow::Continue(())
    });
}

fn literal(param: &ParamValue) -> Expr {
    let number = |text: String| match text.strip_prefix('-') {
        Some(digits) => Expr::Nested(Box::new(Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr: Box::new(Expr::Value(Value::Number(digits.to_owned(), false).into())),
        })),
        None => Expr::Value(Value::Number(text, false).into()),
    };
    match param {
        ParamValue::Bool(b) => Expr::Value(Value::Boolean(*b).into()),
        ParamValue::Int(n) => number(n.to_string()),
        ParamValue::Decimal(n) => {
            let sign = if *n < 0 { "-" } else { "" };
            number(format!("{sign}{}.{:04}", n.unsigned_abs() / 10_000, n.unsigned_abs() % 10_000))
        }
        ParamValue::Date(day) => Expr::TypedString(TypedString {
            data_type: DataType::Date,
            value: Value::SingleQuotedString(functions::date_text(*day)).into(),
            uses_odbc_syntax: false,
        }),
        ParamValue::Text(text) => Expr::Value(Value::SingleQuotedString(text.clone()).into()),
    }
}

/// What a piece of SQL may see.
pub(crate) struct Scope<'a> {
    /// Tables it may read.
    pub tables: &'a BTreeSet<String>,
    /// Parameters that are declared.
    pub params: &'a BTreeMap<String, ParamValue>,
}

/// Refuses what no rule may contain. All faults at once, in the order of the text.
pub(crate) fn lint(statement: &Statement, scope: &Scope<'_>) -> Vec<SqlFault> {
    let mut lint = Lint { n_terms: 0, scope, ctes: Vec::new(), faults: Vec::new() };
    let _: ControlFlow<()> = statement.visit(&mut lint);
    let mut faults = lint.faults;
    faults.extend(clauses::lint(statement));
    if lint.n_terms > MAX_TERMS {
        faults.push(SqlFault::new(
            "MC269",
            format!("语句过长：{} 个表达式，上限 {MAX_TERMS}", lint.n_terms),
            format!("the statement is too long: {} terms, at most {MAX_TERMS} are allowed", lint.n_terms),
        ));
    }
    faults.sort_by_key(|f| f.at);
    faults.dedup();
    faults
}

/// Terms in one statement; beyond it the planner's recursion could exhaust the stack.
const MAX_TERMS: usize = 2_000;

struct Lint<'a> {
    n_terms: usize,
    scope: &'a Scope<'a>,
    ctes: Vec<String>,
    faults: Vec<SqlFault>,
}

impl Lint<'_> {
    fn fault(&mut self, span: Span, fault: SqlFault) {
        self.faults.push(fault.at(span));
    }

    fn joins(&mut self, select: &Select) {
        if select.from.len() > 1 {
            self.fault(
                select.span(),
                SqlFault::new(
                    "MC211",
                    "FROM 中用逗号并列了多张表，等于交叉连接",
                    "several tables in FROM separated by commas are a cross join",
                )
                .help("改写为 JOIN ... ON ...", "write JOIN ... ON ..."),
            );
        }
        for join in select.from.iter().flat_map(|t| &t.joins) {
            let span = join.relation.span();
            match &join.join_operator {
                JoinOperator::CrossJoin(_) | JoinOperator::CrossApply | JoinOperator::OuterApply => {
                    self.fault(
                        span,
                        SqlFault::new("MC211", "不允许交叉连接", "cross joins are refused")
                            .help("用 JOIN ... ON 写明等值条件", "name the equality with JOIN ... ON"),
                    );
                }
                JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_) => {
                    self.fault(
                        span,
                        SqlFault::new(
                            "MC216",
                            "不允许 RIGHT JOIN 和 FULL JOIN：带空值判断时可能丢行",
                            "RIGHT and FULL joins are refused: with tests for NULL they can lose rows",
                        )
                        .help("左右对调，写成 LEFT JOIN", "swap the sides and write LEFT JOIN"),
                    );
                }
                JoinOperator::Inner(c)
                | JoinOperator::Join(c)
                | JoinOperator::Left(c)
                | JoinOperator::LeftOuter(c)
                | JoinOperator::LeftSemi(c)
                | JoinOperator::LeftAnti(c)
                | JoinOperator::RightSemi(c)
                | JoinOperator::RightAnti(c)
                | JoinOperator::Semi(c)
                | JoinOperator::Anti(c) => self.constraint(span, c),
                other => {
                    let text = format!("{other:?}").split('(').next().unwrap_or_default().to_owned();
                    self.fault(
                        span,
                        SqlFault::new(
                            "MC212",
                            format!("不支持的连接方式 {text}"),
                            format!("join of kind {text} is not part of the rule language"),
                        ),
                    );
                }
            }
        }
    }

    fn constraint(&mut self, span: Span, constraint: &JoinConstraint) {
        match constraint {
            JoinConstraint::On(condition) => {
                if !has_equality(condition) {
                    self.fault(
                        span,
                        SqlFault::new(
                            "MC213",
                            "连接条件中没有等值条件",
                            "the join condition has no equality",
                        )
                        .help(
                            "至少写一个 a.pid = b.pid 这样的条件",
                            "give at least one condition like a.pid = b.pid",
                        ),
                    );
                }
            }
            JoinConstraint::None => self.fault(
                span,
                SqlFault::new(
                    "MC211",
                    "连接没有条件，等于交叉连接",
                    "a join without a condition is a cross join",
                ),
            ),
            JoinConstraint::Natural | JoinConstraint::Using(_) => self.fault(
                span,
                SqlFault::new("MC214", "不允许 NATURAL JOIN 和 USING", "NATURAL JOIN and USING are refused")
                    .help("用 ON 写明两边的列", "name the columns of both sides with ON"),
            ),
        }
    }

    /// A test over a subquery may only stand alone, joined to others by AND: anywhere else DataFusion plans it as a
    /// mark join, some of which give wrong rows (apache/datafusion#25336, #25347).
    fn subquery_tests(&mut self, select: &Select) {
        for condition in [&select.selection, &select.having].into_iter().flatten() {
            for conjunct in conjuncts(condition) {
                let plain = match strip(conjunct) {
                    Expr::InSubquery { .. } | Expr::Exists { .. } => true,
                    Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                        matches!(strip(expr), Expr::Exists { .. })
                    }
                    _ => false,
                };
                if !plain && holds_subquery(conjunct) {
                    self.fault(
                        conjunct.span(),
                        SqlFault::new(
                            "MC232",
                            "IN 和 EXISTS 子查询只能单独作为一个条件，用 AND 与其他条件相连",
                            "IN and EXISTS with a subquery may only stand alone, joined to other conditions by AND",
                        )
                        .help("拆成两段，用 UNION ALL 相连；否定用 NOT EXISTS", "split it in two parts joined by UNION ALL; for a negation write NOT EXISTS"),
                    );
                }
            }
        }
    }

    /// `LEFT JOIN r ... WHERE r.x = ...` throws the unmatched rows away again: say JOIN, or move the test into ON.
    fn left_join_made_inner(&mut self, select: &Select) {
        let mut optional = BTreeSet::new();
        for join in select.from.iter().flat_map(|t| &t.joins) {
            if matches!(join.join_operator, JoinOperator::Left(_) | JoinOperator::LeftOuter(_))
                && let Some(alias) = relation_alias(&join.relation)
            {
                optional.insert(alias);
            }
        }
        let Some(condition) = &select.selection else { return };
        for conjunct in conjuncts(condition) {
            if let Some(alias) = mentioned(conjunct, &optional)
                && !minds_null(conjunct)
            {
                self.fault(
                    conjunct.span(),
                    SqlFault::new(
                        "MC215",
                        format!("WHERE 对左连接的 `{alias}` 比较取值，会把没有匹配的行丢掉"),
                        format!("WHERE compares a column of the left-joined `{alias}`, which silently drops unmatched rows"),
                    )
                    .help("改为 JOIN，或把条件移入 ON", "say JOIN, or move the condition into ON"),
                );
            }
        }
    }

    fn function(&mut self, function: &Function) {
        let name = function.name.to_string().to_lowercase();
        let span = function.name.span();
        if VOLATILE.contains(&name.as_str()) {
            self.fault(
                span,
                SqlFault::new(
                    "MC221",
                    format!("不允许函数 `{name}`：同样的数据必须得到同样的结果"),
                    format!("function `{name}` is refused: the same data must give the same findings"),
                )
                .help("运行日期用 $as_of", "the run date is $as_of"),
            );
        } else if name == "array_agg" {
            self.fault(
                span,
                SqlFault::new("MC222", "不允许 array_agg", "array_agg is refused")
                    .help("证据行由 evidence 段给出", "rows of evidence are named under `evidence`"),
            );
        } else if !functions::is_allowed(&name) {
            let mut fault = SqlFault::new(
                "MC223",
                format!("没有函数 `{name}`"),
                format!("function `{name}` is not part of the rule language"),
            );
            if let Some(near) = nearest(&name, functions::names()) {
                fault = fault.help(format!("是不是想写 `{near}`"), format!("did you mean `{near}`"));
            }
            self.fault(span, fault);
        }
        if let Some(WindowType::WindowSpec(spec)) = &function.over
            && spec.window_frame.as_ref().is_some_and(|f| f.units != WindowFrameUnits::Range)
            && !ends_in_locator(&spec.order_by)
        {
            self.fault(
                span,
                SqlFault::new(
                    "MC224",
                    "按行划定的窗口，ORDER BY 必须以 src 结尾才唯一",
                    "a window framed by rows needs an ORDER BY that ends in a row locator (`src`, `..._src`)",
                ),
            );
        }
        if functions::ORDER_DEPENDENT.contains(&name.as_str()) && !ends_in_locator(&order_of(function)) {
            self.fault(
                span,
                SqlFault::new(
                    "MC224",
                    format!("`{name}` 的结果取决于行的次序，ORDER BY 必须以 src 结尾才唯一"),
                    format!("the answer of `{name}` depends on row order; its ORDER BY must end in a row locator (`src`, `..._src`)"),
                ),
            );
        }
        if let FunctionArguments::List(list) = &function.args
            && matches!(name.as_str(), "coalesce" | "nvl")
            && list
                .args
                .iter()
                .any(|a| matches!(a, FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) if is_key_column(e)))
        {
            self.fault(
                span,
                SqlFault::new(
                    "MC225",
                    "不允许对身份键使用 coalesce",
                    "coalesce over an identity key is refused",
                ),
            );
        }
    }

    fn expression(&mut self, expr: &Expr) {
        let span = expr.span();
        match expr {
            Expr::InSubquery { negated: true, .. } => self.fault(
                span,
                SqlFault::new(
                    "MC231",
                    "不允许 NOT IN（子查询）：遇到空值会漏报或错报",
                    "NOT IN with a subquery is refused: with NULLs it misses or invents rows",
                )
                .help("改用 NOT EXISTS", "write NOT EXISTS"),
            ),
            Expr::BinaryOp { left, op: BinaryOperator::Or, right }
                if holds_subquery_test(left) || holds_subquery_test(right) =>
            {
                self.fault(
                    span,
                    SqlFault::new(
                        "MC232",
                        "OR 之下不允许 IN 或 EXISTS 子查询",
                        "IN or EXISTS with a subquery under OR is refused",
                    )
                    .help("拆成两段，用 UNION ALL 相连", "split it in two parts joined by UNION ALL"),
                )
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr: inner }
                if matches!(strip(inner), Expr::InSubquery { .. }) =>
            {
                self.fault(
                    span,
                    SqlFault::new(
                        "MC231",
                        "不允许 NOT ...IN（子查询）",
                        "NOT over IN with a subquery is refused",
                    )
                    .help("改用 NOT EXISTS", "write NOT EXISTS"),
                )
            }
            Expr::AnyOp { .. } | Expr::AllOp { .. } => {
                self.fault(
                    span,
                    SqlFault::new("MC233", "不允许 ANY / ALL", "ANY and ALL are refused")
                        .help("改用 EXISTS 或 NOT EXISTS", "write EXISTS or NOT EXISTS"),
                );
            }
            Expr::Case { .. } if holds_subquery(expr) => self.fault(
                span,
                SqlFault::new("MC234", "CASE 中不允许子查询", "a subquery inside CASE is refused")
                    .help("先左连接，再判断", "join first, then decide"),
            ),
            Expr::Cast { kind: CastKind::TryCast | CastKind::SafeCast, .. } => {
                self.fault(
                    span,
                    SqlFault::new(
                        "MC241",
                        "不允许 TRY_CAST：读不出的值会变成空值",
                        "TRY_CAST is refused: what cannot be read would become NULL",
                    ),
                );
            }
            Expr::Cast { expr: inner, data_type, .. } => self.cast(span, inner, data_type),
            Expr::AtTimeZone { .. } => self.fault(
                span,
                SqlFault::new("MC243", "不允许时区换算", "time zones are refused").help(
                    "库中的时间都是不带时区的当地时间",
                    "all times in the store are local, without a zone",
                ),
            ),
            Expr::Like { expr: inner, .. }
            | Expr::ILike { expr: inner, .. }
            | Expr::SimilarTo { expr: inner, .. }
                if is_key_column(inner) =>
            {
                self.fault(
                    span,
                    SqlFault::new(
                        "MC244",
                        "不允许对证件号码做模糊匹配",
                        "pattern matching on identity numbers is refused",
                    ),
                );
            }
            Expr::Subquery(_) => self.fault(
                span,
                SqlFault::new("MC234", "不允许标量子查询", "a subquery as a value is refused")
                    .help("改用连接", "join instead"),
            ),
            Expr::Function(function) => self.function(function),
            Expr::Value(value) => {
                if let Value::Placeholder(name) = &value.value {
                    self.placeholder(span, name);
                }
            }
            Expr::TypedString(typed) if is_zoned(&typed.data_type) => {
                self.fault(
                    span,
                    SqlFault::new("MC243", "不允许带时区的时间", "timestamps with a zone are refused"),
                );
            }
            Expr::BinaryOp { left, op, right } if is_comparison(op) => self.key_classes(span, left, right),
            _ => {}
        }
    }

    fn cast(&mut self, span: Span, inner: &Expr, data_type: &DataType) {
        if is_key_column(inner) {
            self.fault(
                span,
                SqlFault::new("MC242", "不允许转换身份键的类型", "casts of an identity key are refused")
                    .help("按 pid 连接", "join on pid"),
            );
        }
        if is_float(data_type) {
            self.fault(
                span,
                SqlFault::new(
                    "MC245",
                    "不允许浮点数：次序不同，合计就不同",
                    "floating point is refused: its sums depend on row order",
                )
                .help("金额用 decimal", "use decimal"),
            );
        }
        if is_zoned(data_type) {
            self.fault(
                span,
                SqlFault::new("MC243", "不允许带时区的时间", "timestamps with a zone are refused"),
            );
        }
    }

    fn placeholder(&mut self, span: Span, name: &str) {
        let bare = name.strip_prefix('$').unwrap_or(name);
        if !self.scope.params.contains_key(bare) {
            let mut fault = SqlFault::new(
                "MC251",
                format!("参数 `{name}` 没有声明"),
                format!("parameter `{name}` is not declared"),
            );
            if let Some(near) = nearest(bare, self.scope.params.keys().map(String::as_str)) {
                fault = fault.help(format!("是不是想写 `${near}`"), format!("did you mean `${near}`"));
            }
            self.fault(span, fault);
        }
    }

    /// `pid = household_no` compares a person with something else.
    fn key_classes(&mut self, span: Span, left: &Expr, right: &Expr) {
        if let (Some(a), Some(b)) = (key_class(left), key_class(right))
            && a != b
        {
            self.fault(
                span,
                SqlFault::new(
                    "MC246",
                    format!("比较了两种不同的键：{a} 与 {b}"),
                    format!("two keys of different kinds are compared: {a} and {b}"),
                ),
            );
        }
    }
}

impl Visitor for Lint<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(with) = &query.with {
            if with.recursive {
                self.fault(
                    with.span(),
                    SqlFault::new("MC261", "不允许递归查询", "recursive queries are refused"),
                );
            }
            self.ctes.extend(with.cte_tables.iter().map(|c| c.alias.name.value.to_lowercase()));
        }
        if query.limit_clause.is_some() || query.fetch.is_some() {
            self.fault(
                query.span(),
                SqlFault::new(
                    "MC262",
                    "不允许 LIMIT、OFFSET、FETCH：不能悄悄丢行",
                    "LIMIT, OFFSET and FETCH are refused: no row may go missing",
                ),
            );
        }
        if let SetExpr::SetOperation { op, set_quantifier, .. } = query.body.as_ref()
            && !(*op == SetOperator::Union && *set_quantifier == SetQuantifier::All)
        {
            self.fault(
                query.span(),
                SqlFault::new(
                    "MC263",
                    "集合运算只允许 UNION ALL",
                    "of set operations only UNION ALL is allowed",
                )
                .help("去重用 GROUP BY", "use GROUP BY to drop repeats"),
            );
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for item in &select.projection {
            if matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)) {
                self.fault(
                    item.span(),
                    SqlFault::new("MC264", "不允许 SELECT *", "SELECT * is refused")
                        .help("写出要用的列", "name the columns"),
                );
            }
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item
                && holds_scalar_subquery(expr)
            {
                self.fault(
                    item.span(),
                    SqlFault::new(
                        "MC234",
                        "SELECT 列中不允许子查询",
                        "a subquery in the SELECT list is refused",
                    )
                    .help("改用连接", "join instead"),
                );
            }
        }
        if let Some(Distinct::On(_)) = &select.distinct {
            self.fault(
                select.span(),
                SqlFault::new(
                    "MC224",
                    "不允许 DISTINCT ON：留下哪一行取决于次序",
                    "DISTINCT ON is refused: which row stays depends on their order",
                )
                .help("用 row_number() 并以 src 结尾排序", "use row_number() with an order that ends in src"),
            );
        }
        self.subquery_tests(select);
        self.joins(select);
        self.left_join_made_inner(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { args: None, sample: None, version: None, .. }
            | TableFactor::Derived { .. }
            | TableFactor::NestedJoin { .. } => {}
            _ => self
                .fault(factor.span(), SqlFault::new("MC265", "不允许表函数", "table functions are refused")),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let name = relation.to_string().trim_matches('"').to_lowercase();
        if self.ctes.contains(&name) {
            return ControlFlow::Continue(());
        }
        if !self.scope.tables.contains(&name) {
            let mut fault = SqlFault::new(
                "MC252",
                format!("表 `{name}` 没有在 inputs 或 views 中声明"),
                format!("table `{name}` is not declared under `inputs` or `views`"),
            );
            if let Some(near) = nearest(&name, self.scope.tables.iter().map(String::as_str)) {
                fault = fault.help(
                    format!("是不是想写 `{near}`；否则请先声明"),
                    format!("did you mean `{near}`; otherwise declare it first"),
                );
            }
            self.fault(relation.span(), fault);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.n_terms += 1;
        self.expression(expr);
        ControlFlow::Continue(())
    }
}

/// Functions that read the clock, chance or the session.
const VOLATILE: &[&str] = &[
    "now",
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "today",
    "random",
    "rand",
    "uuid",
    "version",
    "current_user",
    "session_user",
    "getdate",
    "sysdate",
];

fn order_of(function: &Function) -> Vec<OrderByExpr> {
    let window = match &function.over {
        Some(WindowType::WindowSpec(spec)) => spec.order_by.clone(),
        _ => Vec::new(),
    };
    let inner = match &function.args {
        FunctionArguments::List(list) => list.clauses.iter().find_map(|c| match c {
            FunctionArgumentClause::OrderBy(order) => Some(order.clone()),
            _ => None,
        }),
        _ => None,
    };
    inner.unwrap_or(window)
}

/// Row locators are unique, so an order that ends in one is total.
fn ends_in_locator(order: &[OrderByExpr]) -> bool {
    order
        .last()
        .and_then(|o| column_name(&o.expr))
        .is_some_and(|name| name == "src" || name.ends_with("_src"))
}

fn column_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(ident.value.to_lowercase()),
        Expr::CompoundIdentifier(parts) => parts.last().map(|p| p.value.to_lowercase()),
        Expr::Nested(inner) => column_name(inner),
        _ => None,
    }
}

fn is_key_column(expr: &Expr) -> bool {
    column_name(expr).is_some_and(|name| {
        name == "pid" || name == "id_number" || name.ends_with("_pid") || name.ends_with("id_number")
    })
}

/// Kind of key by the column's name, for columns that are keys.
fn key_class(expr: &Expr) -> Option<&'static str> {
    let name = column_name(expr)?;
    Some(match name.as_str() {
        "pid" => "pid",
        "src" => "src",
        "id_number" | "applicant_id" => "id_number",
        "household_no" => "household_no",
        "account_no" => "account_no",
        "card_no" => "card_no",
        "certificate_no" => "certificate_no",
        _ => return None,
    })
}

fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            [conjuncts(left), conjuncts(right)].concat()
        }
        Expr::Nested(inner) => conjuncts(inner),
        other => vec![other],
    }
}

fn has_equality(expr: &Expr) -> bool {
    conjuncts(expr).iter().any(|c| matches!(c, Expr::BinaryOp { op: BinaryOperator::Eq, left, right } if column_name(left).is_some() || column_name(right).is_some() || matches!((left.as_ref(), right.as_ref()), (Expr::Function(_), _) | (_, Expr::Function(_)))))
}

fn relation_alias(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(alias.name.value.to_lowercase())
        }
        TableFactor::Table { name, .. } => Some(name.to_string().to_lowercase()),
        _ => None,
    }
}

/// The first of `aliases` whose column a condition mentions, subqueries left out.
fn mentioned(expr: &Expr, aliases: &BTreeSet<String>) -> Option<String> {
    if holds_subquery(expr) {
        return None;
    }
    let mut found = None;
    let _: ControlFlow<()> = visit_expressions(expr, |e| {
        if let Expr::CompoundIdentifier(parts) = e
            && let [table, _] = parts.as_slice()
            && aliases.contains(&table.value.to_lowercase())
        {
            found = Some(table.value.to_lowercase());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    found
}

/// Whether a condition says what happens where nothing matched.
fn minds_null(expr: &Expr) -> bool {
    finds(expr, |e| match e {
        Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..) => true,
        Expr::Case { .. } | Expr::IsTrue(_) | Expr::IsNotTrue(_) | Expr::IsFalse(_) | Expr::IsNotFalse(_) => {
            true
        }
        Expr::Function(f) => matches!(f.name.to_string().to_lowercase().as_str(), "coalesce" | "nvl"),
        _ => false,
    })
}

fn strip(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => strip(inner),
        other => other,
    }
}

fn holds_subquery_test(expr: &Expr) -> bool {
    match strip(expr) {
        Expr::InSubquery { .. } | Expr::Exists { .. } => true,
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => holds_subquery_test(expr),
        Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
            holds_subquery_test(left) || holds_subquery_test(right)
        }
        _ => false,
    }
}

fn holds_subquery(expr: &Expr) -> bool {
    finds(expr, |e| matches!(e, Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. }))
}

fn holds_scalar_subquery(expr: &Expr) -> bool {
    finds(expr, |e| matches!(e, Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. }))
}

fn finds(expr: &Expr, test: impl Fn(&Expr) -> bool) -> bool {
    visit_expressions(expr, |e| if test(e) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        .is_break()
}

fn is_float(data_type: &DataType) -> bool {
    let name = data_type.to_string().to_uppercase();
    ["FLOAT", "DOUBLE", "REAL"].iter().any(|f| name.starts_with(f))
}

fn is_zoned(data_type: &DataType) -> bool {
    let name = data_type.to_string().to_uppercase();
    name.contains("WITH TIME ZONE") || name == "TIMESTAMPTZ"
}

/// The name most like `wanted`, when it is like it at all.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    names
        .map(|name| (strsim::damerau_levenshtein(wanted, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes of the faults of `sql`, where `a`, `b` are declared tables and `$as_of` the only parameter.
    fn codes(sql: &str) -> Vec<&'static str> {
        let tables = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        let params = BTreeMap::from([("as_of".to_owned(), ParamValue::Date(20_634))]);
        match parse(sql) {
            Ok(statement) => {
                lint(&statement, &Scope { tables: &tables, params: &params }).iter().map(|f| f.code).collect()
            }
            Err(fault) => vec![fault.code],
        }
    }

    #[test]
    fn ordinary_rules_pass() {
        for sql in [
            "SELECT a.pid, a.src AS a_src FROM a JOIN b ON b.pid = a.pid AND b.d > a.d WHERE a.d <= $as_of",
            "SELECT a.pid FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.pid = a.pid)",
            "SELECT a.pid FROM a LEFT JOIN b ON b.pid = a.pid WHERE b.pid IS NULL",
            "WITH x AS (SELECT a.pid, count(*) AS n FROM a GROUP BY a.pid) SELECT x.pid FROM x WHERE x.n > 1",
            "SELECT pid, row_number() OVER (PARTITION BY pid ORDER BY d, src) AS k FROM a",
            "SELECT pid FROM a UNION ALL SELECT pid FROM b",
            "SELECT pid, first_value(name ORDER BY d DESC, src) AS name FROM a GROUP BY pid",
            "SELECT pid FROM a WHERE a.k IN ('1', '2')",
        ] {
            assert_eq!(codes(sql), Vec::<&str>::new(), "{sql}");
        }
    }

    #[test]
    fn each_refused_shape_is_refused() {
        for (sql, code) in [
            ("SELEC pid FROM a", "MC201"),
            ("DROP TABLE a", "MC202"),
            ("COPY (SELECT 1) TO 'x.csv'", "MC202"),
            ("SELECT 1; SELECT 2", "MC202"),
            ("SELECT a.pid FROM a, b WHERE a.pid = b.pid", "MC211"),
            ("SELECT a.pid FROM a CROSS JOIN b", "MC211"),
            ("SELECT a.pid FROM a JOIN b ON a.d > b.d", "MC213"),
            ("SELECT a.pid FROM a NATURAL JOIN b", "MC214"),
            ("SELECT a.pid FROM a JOIN b USING (pid)", "MC214"),
            ("SELECT a.pid FROM a LEFT JOIN b ON a.pid = b.pid WHERE b.d > $as_of", "MC215"),
            ("SELECT a.pid FROM a LEFT JOIN b ON a.pid = b.pid WHERE month_idx(b.d) > 3", "MC215"),
            ("SELECT a.pid FROM a LEFT JOIN b ON a.pid = b.pid WHERE b.k IN ('1', '2')", "MC215"),
            ("SELECT a.pid FROM a WHERE NOT (a.k = 'x' AND a.pid IN (SELECT b.pid FROM b))", "MC232"),
            ("SELECT a.pid FROM a WHERE (a.pid IN (SELECT b.pid FROM b)) IS NOT TRUE", "MC232"),
            ("SELECT a.pid FROM a WHERE (a.pid IN (SELECT b.pid FROM b)) = false", "MC232"),
            ("SELECT DISTINCT ON (a.pid) a.pid FROM a ORDER BY a.d", "MC224"),
            (
                "SELECT a.pid, sum(a.n) OVER (PARTITION BY a.pid ORDER BY a.d ROWS 1 PRECEDING) AS n FROM a",
                "MC224",
            ),
            ("SELECT a.pid FROM a TABLESAMPLE (10)", "MC265"),
            ("SELECT a.pid FROM a RIGHT JOIN b ON a.pid = b.pid", "MC216"),
            ("SELECT a.pid FROM a FULL JOIN b ON a.pid = b.pid", "MC216"),
            ("SELECT pid FROM a WHERE d < now()", "MC221"),
            ("SELECT pid FROM a WHERE d < current_date", "MC221"),
            ("SELECT pid, random() AS r FROM a", "MC221"),
            ("SELECT pid, array_agg(d ORDER BY src) AS x FROM a GROUP BY pid", "MC222"),
            ("SELECT pid, month_indx(d) AS m FROM a", "MC223"),
            ("SELECT pid, first_value(d) AS x FROM a GROUP BY pid", "MC224"),
            ("SELECT pid, row_number() OVER (PARTITION BY pid ORDER BY d) AS k FROM a", "MC224"),
            ("SELECT coalesce(id_number, name) AS k FROM a", "MC225"),
            ("SELECT pid FROM a WHERE pid NOT IN (SELECT pid FROM b)", "MC231"),
            ("SELECT pid FROM a WHERE NOT (pid IN (SELECT pid FROM b))", "MC231"),
            ("SELECT pid FROM a WHERE d > $as_of OR pid IN (SELECT pid FROM b)", "MC232"),
            ("SELECT pid FROM a WHERE pid = ANY (SELECT pid FROM b)", "MC233"),
            (
                "SELECT pid FROM a WHERE CASE WHEN EXISTS (SELECT 1 FROM b WHERE b.pid = a.pid) THEN true ELSE false END",
                "MC234",
            ),
            ("SELECT pid, (SELECT max(d) FROM b WHERE b.pid = a.pid) AS x FROM a", "MC234"),
            ("SELECT TRY_CAST(d AS DATE) AS d FROM a", "MC241"),
            ("SELECT CAST(id_number AS BIGINT) AS k FROM a", "MC242"),
            ("SELECT d AT TIME ZONE 'Asia/Shanghai' AS d FROM a", "MC243"),
            ("SELECT CAST(d AS TIMESTAMP WITH TIME ZONE) AS d FROM a", "MC243"),
            ("SELECT pid FROM a WHERE id_number LIKE '8801%'", "MC244"),
            ("SELECT CAST(n AS DOUBLE) AS n FROM a", "MC245"),
            ("SELECT a.pid FROM a JOIN b ON a.id_number = b.household_no", "MC246"),
            ("SELECT pid FROM a WHERE n > $limit", "MC251"),
            ("SELECT pid FROM secret", "MC252"),
            ("SELECT pid FROM '/etc/passwd'", "MC252"),
            (
                "WITH RECURSIVE x AS (SELECT pid FROM a UNION ALL SELECT pid FROM x) SELECT pid FROM x",
                "MC261",
            ),
            ("SELECT pid FROM a LIMIT 10", "MC262"),
            ("SELECT pid FROM a UNION SELECT pid FROM b", "MC263"),
            ("SELECT pid FROM a EXCEPT SELECT pid FROM b", "MC263"),
            ("SELECT * FROM a", "MC264"),
            ("SELECT a.* FROM a", "MC264"),
            ("SELECT value FROM generate_series(1, 10)", "MC265"),
        ] {
            assert!(codes(sql).contains(&code), "{sql}: wanted {code}, got {:?}", codes(sql));
        }
    }

    #[test]
    fn an_expression_is_one_expression() {
        let one = |text: &str| parse_expression(text).ok().and_then(|s| single_expression(&s));
        assert_eq!(one("a + 1"), Some("a + 1".to_owned()));
        for text in ["a AS y, b", "a) AS x, (b", "a FROM t", "a WHERE true", "a AS x FROM t --"] {
            assert_eq!(one(text), None, "{text}");
        }
    }

    #[test]
    fn a_statement_has_a_longest_length() {
        let terms = vec!["d > 1"; 800].join(" OR ");
        assert!(codes(&format!("SELECT pid FROM a WHERE {terms}")).contains(&"MC269"));
    }

    #[test]
    fn faults_say_where() {
        let tables = BTreeSet::from(["a".to_owned()]);
        let params = BTreeMap::new();
        let statement = parse("SELECT pid\nFROM a\nWHERE d < $as_off").unwrap();
        let faults = lint(&statement, &Scope { tables: &tables, params: &params });
        assert_eq!(faults[0].at, Some((3, 11)));
    }

    #[test]
    fn parameters_become_typed_literals() {
        let mut statement = parse("SELECT pid FROM a WHERE d > $d AND n > $n AND t = $t AND m < $m").unwrap();
        bind(
            &mut statement,
            &BTreeMap::from([
                ("d".to_owned(), ParamValue::Date(20_484)),
                ("n".to_owned(), ParamValue::Int(-3)),
                ("t".to_owned(), ParamValue::Text("it's".into())),
                ("m".to_owned(), ParamValue::Decimal(15_000)),
            ]),
        );
        assert_eq!(
            statement.to_string(),
            "SELECT pid FROM a WHERE d > DATE '2026-01-31' AND n > (-3) AND t = 'it''s' AND m < 1.5000"
        );
    }
}
