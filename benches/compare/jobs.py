"""Writes what the peers are to execute: one job file per peer, with the set-up (views over Parquet files) and one
query per rule in the peer's dialect. Also what the floor reads: the columns of the store that the pack needs.

    jobs.py WORK STORE CLEAN AS_OF CONTRACTS SHIPPED ONLY FOLDER..
"""

import json
import sys
from pathlib import Path
from typing import Any

from sqlglot import exp
from sqlglot.optimizer.pushdown_projections import pushdown_projections
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope

from dialects import parse, translate
from rules import KEY, Pack, Rule, load, read

PERSONS = ["id_number", "id_kind", "id_birth_date", "id_sex", "id_area_code"]
REJECTS = ["src", "file", "row", "dataset", "field", "reason", "outcome", "value", "id_number", "name", "area_code"]


def schema_of(contracts: dict[str, dict[str, Any]]) -> dict[str, dict[str, str]]:
    """The columns that rules see."""
    schema = {"persons": ["pid", *PERSONS], "rejects": REJECTS}
    for name, contract in contracts.items():
        person = contract.get("person")
        columns = (["pid", "id_number"] if person else []) + ["src"] + [f["name"] for f in contract["fields"]]
        columns += ["id_length"] if isinstance(person, str) else []
        columns += ["is_latest"] if contract.get("versions") else []
        schema[name] = list(dict.fromkeys(columns))
    return {name: dict.fromkeys(columns, "text") for name, columns in schema.items()}


def columns_of(pack: Pack, schema: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    """Dataset -> the columns that any rule of the pack needs."""
    used: dict[str, set[str]] = {}
    for rule in pack.rules:
        above = [f"{name} AS ({pack.views[name]})" for name in pack.needed_views(rule)]
        for text in [rule.candidates, *rule.counters]:
            tree = parse(f"{'WITH ' + ', '.join(above) if above else ''} SELECT * FROM ({text}) AS q")
            tree = pushdown_projections(qualify(tree, schema=schema))
            for scope in traverse_scope(tree):
                for column in scope.columns:
                    source = scope.sources.get(column.table)
                    if isinstance(source, exp.Table):
                        used.setdefault(source.name, set()).add(column.name)
            if text is rule.candidates:
                above = [*above, f"candidates AS ({text})"]
    return {name: sorted(columns) for name, columns in sorted(used.items())}


def duckdb_setup(files: dict[str, str], schema: dict[str, dict[str, str]], store: bool, numbers: set[str]) -> list[str]:
    """Views over the files. On the store, the identity number is joined only where a rule asks for it."""
    setup = []
    for name, file in files.items():
        source = f"read_parquet('{file}')"
        if name == "rejects" or "pid" not in schema[name]:
            body = f"SELECT * FROM {source}"
        elif not store:
            body = f"SELECT id_number AS pid, * FROM {source}"
        elif name in numbers and name != "persons":
            body = f"SELECT t.*, p.id_number FROM {source} AS t LEFT JOIN persons AS p ON p.pid = t.pid"
        else:
            body = f"SELECT * FROM {source}"
        setup.append((name != "persons", f"CREATE VIEW {name} AS {body}"))
    return [text for _, text in sorted(setup, key=lambda pair: pair[0])]


def query(rule: Rule, store: bool) -> str:
    """The query of a rule; on the store, the number is looked up at the end."""
    if store and rule.subject_is_person and "rejects" not in rule.sql:
        return f"SELECT p.id_number AS subject, f.* FROM ({rule.sql}) AS f JOIN persons AS p ON p.pid = f.\"{KEY}0\""
    return f'SELECT f."{KEY}0" AS subject, f.* FROM ({rule.sql}) AS f'


def job(pack: Pack, engine: str, files: dict[str, str], setup: list[str], store: bool) -> dict[str, Any]:
    """What one peer executes. What cannot be said in its dialect is listed with the reason."""
    cannot: dict[str, str] = {}
    views: dict[str, str] = {}
    queries: dict[str, str] = {}
    for name, text in pack.views.items():
        try:
            views[name] = translate(text, engine)
        except NotImplementedError as fault:
            cannot[name] = str(fault)
    for rule in pack.rules:
        missing = [f"view {name}: {cannot[name]}" for name in pack.needed_views(rule) if name in cannot]
        try:
            if missing:
                raise NotImplementedError(missing[0])
            queries[rule.id] = translate(query(rule, store), engine)
        except NotImplementedError as fault:
            cannot[rule.id] = str(fault)
    needed = {name for rule in pack.rules if rule.id in queries for name in pack.needed_views(rule)}
    return {
        "engine": engine,
        "files": files,
        "setup": setup,
        "views": [[name, text] for name, text in views.items() if name in needed],
        "needs": {rule.id: pack.needed_views(rule) for rule in pack.rules},
        "queries": queries,
        "cannot": {rule.id: cannot[rule.id] for rule in pack.rules if rule.id in cannot},
    }


def main() -> None:
    """The command line."""
    work, store, clean, as_of, contract_dir, shipped, only, *folders = sys.argv[1:]
    contracts = {c["name"]: c for c in (read(f) for f in sorted(Path(contract_dir).glob("*.yaml")))}
    schema = schema_of(contracts)
    pack = load([Path(f) for f in folders], Path(shipped), as_of, set(filter(None, only.split(","))))
    used = columns_of(pack, schema)
    numbers = {name for name, columns in used.items() if "id_number" in columns}
    names = [*contracts, "persons"]
    raw = {name: f"{clean}/{name}.parquet" for name in names} | {"rejects": f"{store}/rejects.parquet"}
    kept = {name: f"{store}/{name}/*.parquet" for name in names} | {"rejects": f"{store}/rejects.parquet"}
    out = Path(work) / "jobs"
    out.mkdir(parents=True, exist_ok=True)
    jobs = {
        "duckdb-raw": job(pack, "duckdb", raw, duckdb_setup(raw, schema, False, numbers), False),
        "duckdb-store": job(pack, "duckdb", kept, duckdb_setup(kept, schema, True, numbers), True),
        "datafusion-raw": job(pack, "datafusion", raw, [], False),
        "polars-raw": job(pack, "polars", raw, [], False),
    }
    for name in ("duckdb-raw-ctes", "duckdb-store-ctes", "duckdb-raw-tables", "duckdb-store-tables", "datafusion-raw-tables"):
        peer, way = name.rsplit("-", 1)
        jobs[name] = jobs[peer] | {"way": way}
    # The store keeps no `id_number` with the rows: it comes from the persons.
    floor = {
        name: [c for c in columns if name in ("persons", "rejects") or c != "id_number" or "pid" not in schema[name]]
        for name, columns in used.items()
    }
    floor["persons"] = sorted({"pid", "id_number", *floor.get("persons", [])})
    for engine in ("pyarrow", "duckdb"):
        jobs[f"floor-{engine}"] = {"engine": f"floor-{engine}", "files": kept, "columns": floor}
    for name, content in jobs.items():
        (out / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
    (out / "rules.json").write_text(json.dumps([r.id for r in pack.rules]), encoding="utf-8")


if __name__ == "__main__":
    main()
