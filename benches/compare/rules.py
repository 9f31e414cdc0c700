"""Packs of rules as queries: one SELECT per rule, from its candidates to its findings, in the language of the
rules. Follows `crates/mingcha-engine/src/{program,gather}.rs`: candidates, less those that a `when` excuses, grouped
by subject and matter, less the groups that a `having` excuses."""

import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

KEY = "__k"


@dataclass
class Rule:
    """A rule, its SQL bound to its parameters."""

    id: str
    views: list[str]
    candidates: str
    sql: str
    counters: list[str]
    subject_is_person: bool


@dataclass
class Pack:
    """Rules, and the views that they need, each after those it reads."""

    rules: list[Rule]
    views: dict[str, str]
    reads: dict[str, list[str]]

    def needed_views(self, rule: Rule) -> list[str]:
        """The views of one rule, in order."""
        needed: set[str] = set()
        queue = list(rule.views)
        while queue:
            name = queue.pop()
            if name not in needed:
                needed.add(name)
                queue.extend(self.reads[name])
        return [name for name in self.views if name in needed]


def load(folders: list[Path], shipped: Path, as_of: str, only: set[str]) -> Pack:
    """The rules of `folders`; views also from the shipped pack, under those of the folders."""
    views: dict[str, dict[str, Any]] = {}
    for folder in [shipped, *folders]:
        for file in sorted(folder.glob("*/views/*.y*ml")):
            view = read(file)
            views[view["name"]] = view
    found: dict[str, Rule] = {}
    for folder in folders:
        for file in sorted(folder.glob("*/*.y*ml")):
            rule = read(file)
            if "severity" not in rule or rule["status"] not in ("trial", "active"):
                continue
            if not only or rule["id"] in only:
                found[rule["id"]] = bound_rule(rule, file, as_of)
    order: dict[str, str] = {}
    reads = {name: view.get("views", []) for name, view in views.items()}

    def visit(name: str) -> None:
        if name not in order:
            for other in reads[name]:
                visit(other)
            order[name] = bind(views[name]["sql"], values(views[name], as_of))

    for name in sorted(views):
        visit(name)
    return Pack([found[id] for id in sorted(found)], order, reads)


class Loader(yaml.CSafeLoader):
    """YAML 1.2, as Mingcha reads it: `on` and `yes` are words, a day is text."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":timestamp"))]
    for first, resolvers in Loader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|false)$"), list("tf"))


def read(file: Path) -> dict[str, Any]:
    """One YAML file."""
    return yaml.load(file.read_text(encoding="utf-8"), Loader=Loader)


def values(source: dict[str, Any], as_of: str) -> dict[str, str]:
    """Parameters as literals: the defaults, and the run date."""
    out = {name: literal(param["type"], param["default"]) for name, param in (source.get("params") or {}).items()}
    return out | {"as_of": f"DATE '{as_of}'"}


def literal(kind: str, value: Any) -> str:
    """A parameter as `sql.rs` binds it."""
    if kind == "bool":
        return "true" if value else "false"
    if kind == "date":
        return f"DATE '{value}'"
    if kind == "text":
        return "'" + value.replace("'", "''") + "'"
    number = str(value) if kind == "int" else f"{Decimal(str(value)):.4f}"
    return f"({number})" if number.startswith("-") else number


def bind(text: str, params: dict[str, str]) -> str:
    """`$name` replaced by its literal, outside of quotes."""
    return re.sub(r"'(?:[^']|'')*'|\$(\w+)", lambda m: params[m[1]] if m[1] else m[0], text).strip().rstrip(";")


def bound_rule(rule: dict[str, Any], file: Path, as_of: str) -> Rule:
    """The whole rule as one query."""
    params = values(rule, as_of)
    text = rule["sql"] if "sql" in rule else file.with_name(rule["sql_file"]).read_text(encoding="utf-8")
    candidates = bind(text, params)
    return Rule(
        id=rule["id"],
        views=rule.get("views") or [],
        candidates=candidates,
        sql=findings_sql(rule, candidates, params),
        counters=[bind(c["sql"], params) for c in rule.get("counter_evidence") or []],
        subject_is_person=rule["subject"]["key"] == "pid",
    )


def findings_sql(rule: dict[str, Any], candidates: str, params: dict[str, str]) -> str:
    """From candidates to findings."""
    key, matter = rule["subject"]["key"], rule.get("matter") or []
    exclusions = rule.get("exclusions") or []
    excused = [f"NOT coalesce(({bind(x['when'], params)}), false)" for x in exclusions if "when" in x]
    left = f"SELECT c.* FROM ({candidates}) AS c WHERE " + " AND ".join([f'c."{key}" IS NOT NULL', *excused])

    prefix, source = "", f"({left}) AS c"
    if across := rule.get("across"):
        prefix = f"WITH left_over AS ({left}) "
        extra, joins = "", ""
        for i, (name, figure) in enumerate(across.items()):
            extra += f', a{i}.v AS "{name}"'
            joins += (
                f' LEFT JOIN (SELECT "{figure["by"]}" AS k, {bind(figure["expr"], params)} AS v FROM left_over'
                f' GROUP BY "{figure["by"]}") AS a{i} ON a{i}.k = r."{figure["by"]}"'
            )
        source = f"(SELECT r.*{extra} FROM left_over AS r{joins}) AS c"

    keys = [f'"{name}"' for name in [key, *matter]]
    columns = [f'{name} AS "{KEY}{i}"' for i, name in enumerate(keys)]
    columns += [f'{bind(text, params)} AS "{name}"' for name, text in (rule.get("measures") or {}).items()]
    amount = f"CAST({bind(rule['amount'], params)} AS DECIMAL(18, 2))" if rule.get("amount") else "NULL"
    columns.append(f'{amount} AS "amount"')
    period = rule.get("period")
    for end in ("from", "to"):
        day = f"CAST({bind(period[end], params)} AS DATE)" if period else "CAST(NULL AS DATE)"
        columns.append(f'{day} AS "period_{end}"')
    columns.append(f'{bind(rule["identity"], params)} AS "identity"')
    grouped = f"SELECT {', '.join(columns)} FROM {source} GROUP BY {', '.join(keys)}"

    held = [f"NOT coalesce(({bind(x['having'], params)}), false)" for x in exclusions if "having" in x]
    where = f" WHERE {' AND '.join(held)}" if held else ""
    return f'{prefix}SELECT g.*, ({bind(rule["grade"], params)}) AS "__grade" FROM ({grouped}) AS g{where}'
