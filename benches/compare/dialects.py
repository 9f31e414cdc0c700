"""The SQL of a rule in the words of each engine. Only the functions that Mingcha adds are replaced, by fast
built-ins of the engine; the order of NULLs, which engines see differently, is written out. `_0`, `_1` ... stand
for the arguments of a function."""

import re

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.simplify import simplify

DUCKDB = {
    "month_idx": "year(_0) * 12 + month(_0)",
    "month_start": "CAST(date_trunc('month', _0) AS DATE)",
    "to_day": "CAST(_0 AS DATE)",
    "add_days": "_0 + CAST(_1 AS INTEGER)",
    "add_months": "CAST(_0 + to_months(CAST(_1 AS INTEGER)) AS DATE)",
    "days_between": "CAST(_1 AS DATE) - CAST(_0 AS DATE)",
    "hours_between": "CAST(floor((epoch_us(_1) - epoch_us(_0)) / CAST(3600000000 AS DOUBLE)) AS BIGINT)",
    "age_at": "year(_1) - year(_0)"
    " - CASE WHEN month(_1) * 100 + day(_1) < month(_0) * 100 + day(_0) THEN 1 ELSE 0 END",
    "name_grade": "CASE WHEN _0 IS NULL OR _1 IS NULL THEN 'I2' WHEN _0 = _1 AND trim(_0) <> '' THEN 'I1'"
    " ELSE name_grade_slow(_0, _1) END",
    "life_points": "CASE WHEN year(_2) * 12 + month(_2) < year(_1) * 12 + month(_1) THEN 0"
    " WHEN _3 > 0 THEN CAST(round("
    "CASE _0 WHEN 'S' THEN 1000000 WHEN 'M' THEN 600000 WHEN 'W' THEN 200000 END"
    " * pow(CAST(0.5 AS DOUBLE), (year(_2) * 12 + month(_2) - year(_1) * 12 - month(_1)) / CAST(_3 AS DOUBLE))"
    ") AS BIGINT) END",
}
DATAFUSION = {
    "month_idx": "CAST(date_part('year', _0) AS BIGINT) * 12 + date_part('month', _0)",
    "month_start": "CAST(date_trunc('month', _0) AS DATE)",
    "to_day": "CAST(_0 AS DATE)",
    "add_days": "CAST(CAST(_0 AS INT) + CAST(_1 AS INT) AS DATE)",
    "add_months": "CAST(_0 + arrow_cast(CAST(_1 AS INT), 'Interval(YearMonth)') AS DATE)",
    "days_between": "CAST(CAST(CAST(_1 AS DATE) AS INT) - CAST(CAST(_0 AS DATE) AS INT) AS BIGINT)",
    "hours_between": "CAST(floor((CAST(arrow_cast(_1, 'Timestamp(Microsecond, None)') AS BIGINT)"
    " - CAST(arrow_cast(_0, 'Timestamp(Microsecond, None)') AS BIGINT)) / CAST(3600000000 AS DOUBLE)) AS BIGINT)",
    "age_at": "CAST(date_part('year', _1) - date_part('year', _0)"
    " - CASE WHEN date_part('month', _1) * 100 + date_part('day', _1)"
    " < date_part('month', _0) * 100 + date_part('day', _0) THEN 1 ELSE 0 END AS BIGINT)",
    "name_grade": DUCKDB["name_grade"],
    "life_points": "CASE WHEN date_part('year', _2) * 12 + date_part('month', _2)"
    " < date_part('year', _1) * 12 + date_part('month', _1) THEN 0"
    " WHEN _3 > 0 THEN CAST(round("
    "CASE _0 WHEN 'S' THEN 1000000 WHEN 'M' THEN 600000 WHEN 'W' THEN 200000 END"
    " * power(CAST(0.5 AS DOUBLE), (date_part('year', _2) * 12 + date_part('month', _2)"
    " - date_part('year', _1) * 12 - date_part('month', _1)) / CAST(_3 AS DOUBLE))"
    ") AS BIGINT) END",
}
# Polars knows no user function in SQL: `name_grade` stays unknown there, and the rules that call it are listed. It moves
# a day by constant intervals only: `{1}` stands for a number of months that must be a constant.
POLARS = {
    "month_idx": "CAST(EXTRACT(YEAR FROM _0) AS BIGINT) * 12 + EXTRACT(MONTH FROM _0)",
    "month_start": "CAST(CAST(CAST(_0 AS DATE) AS INT) - CAST(EXTRACT(DAY FROM _0) AS INT) + 1 AS DATE)",
    "to_day": "CAST(_0 AS DATE)",
    "add_days": "CAST(CAST(_0 AS INT) + _1 AS DATE)",
    "hours_between": "CAST(floor((CAST(_1 AS BIGINT) - CAST(_0 AS BIGINT)) / 3600000000) AS BIGINT)",
    "add_months": "CAST(_0 {1} AS DATE)",
    "days_between": "CAST(CAST(CAST(_1 AS DATE) AS INT) - CAST(CAST(_0 AS DATE) AS INT) AS BIGINT)",
    "age_at": "EXTRACT(YEAR FROM _1) - EXTRACT(YEAR FROM _0)"
    " - CASE WHEN CAST(EXTRACT(MONTH FROM _1) AS INT) * 100 + EXTRACT(DAY FROM _1)"
    " < CAST(EXTRACT(MONTH FROM _0) AS INT) * 100 + EXTRACT(DAY FROM _0) THEN 1 ELSE 0 END",
    "life_points": "CASE WHEN EXTRACT(YEAR FROM _2) * 12 + EXTRACT(MONTH FROM _2)"
    " < EXTRACT(YEAR FROM _1) * 12 + EXTRACT(MONTH FROM _1) THEN 0"
    " WHEN _3 > 0 THEN CAST(round("
    "CASE _0 WHEN 'S' THEN 1000000 WHEN 'M' THEN 600000 WHEN 'W' THEN 200000 END"
    " * pow(0.5, (EXTRACT(YEAR FROM _2) * 12 + EXTRACT(MONTH FROM _2)"
    " - EXTRACT(YEAR FROM _1) * 12 - EXTRACT(MONTH FROM _1)) / CAST(_3 AS DOUBLE))"
    ") AS BIGINT) END",
}
# engine -> (functions, sqlglot dialect of the templates and of the text that comes out)
ENGINES = {"duckdb": (DUCKDB, "duckdb"), "datafusion": (DATAFUSION, "postgres"), "polars": (POLARS, "postgres")}
OURS = re.compile(r"\b(" + "|".join(DUCKDB) + r")\s*\(", re.IGNORECASE)
PREFIX = "mingcha_"


def parse(text: str) -> exp.Expression:
    """Reads SQL as Mingcha does: PostgreSQL, where NULLs are greater than everything. Our functions get a prefix,
    so that no function of another dialect is taken for one of them."""
    return sqlglot.parse_one(OURS.sub(lambda m: f"{PREFIX}{m[1].lower()}(", text), read="postgres")


def translate(text: str, engine: str) -> str:
    """SQL of a rule in the words of `engine`."""
    functions, dialect = ENGINES[engine]
    tree = parse(text)
    calls = [n for n in tree.find_all(exp.Anonymous) if n.name.startswith(PREFIX)]
    # The innermost first, so that arguments are rewritten when they are copied.
    for call in reversed(calls):
        name = call.name.removeprefix(PREFIX)
        if name not in functions:
            raise NotImplementedError(f"{engine} has no {name}")
        template = functions[name]
        if "{1}" in template:
            number = simplify(call.expressions[1].copy()).sql()
            if not re.fullmatch(r"-?\d+", number):
                raise NotImplementedError(f"{engine} has {name} for constants only")
            sign = "-" if number.startswith("-") else "+"
            template = template.replace("{1}", f"{sign} INTERVAL '{number.lstrip('-')} months'")
        body = fill(sqlglot.parse_one(template, read=dialect), call.expressions)
        tree = body if call is tree else tree
        call.replace(body)
    if engine == "duckdb":
        first_of_groups(tree)
    return tree.sql(dialect=dialect)


def fill(body: exp.Expression, arguments: list[exp.Expression]) -> exp.Expression:
    """A template with its arguments in their places."""
    for column in list(body.find_all(exp.Column)):
        if re.fullmatch(r"_\d", column.name):
            argument = arguments[int(column.name[1:])].copy()
            loose = isinstance(argument, (exp.Binary, exp.Unary, exp.Predicate)) and not isinstance(argument, exp.Paren)
            column.replace(exp.Paren(this=argument) if loose else argument)
    return exp.Paren(this=body) if isinstance(body, exp.Binary) else body


def first_of_groups(tree: exp.Expression) -> None:
    """`first_value(x ORDER BY y)` as an aggregate is called `first` in DuckDB; as a window it keeps its name."""
    names = {exp.FirstValue: "first", exp.LastValue: "last"}
    for kind, name in names.items():
        for call in list(tree.find_all(kind)):
            if not isinstance(call.parent, (exp.Window, exp.IgnoreNulls, exp.RespectNulls)):
                call.replace(exp.Anonymous(this=name, expressions=[call.this]))
