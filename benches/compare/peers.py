"""One peer, one process: sets up its views and executes one rule after another. Writes a line of JSON to standard
output when it is ready and one per rule; the findings go to a Parquet file at the end.

    peers.py JOB OUT THREADS SPAWNED [RULE,RULE..]
"""

import glob
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
COLUMNS = ["subject", "amount", "identity", "period_from", "period_to", "__grade"]


def say(**line: Any) -> None:
    """A line for the parent."""
    print(json.dumps(line), flush=True)


def run_duckdb(job: dict[str, Any], rules: list[str], threads: int) -> Callable[[str], list[Row]]:
    """DuckDB."""
    import duckdb
    from duckdb.sqltypes import VARCHAR

    import names

    con = duckdb.connect(config={"threads": threads, "temp_directory": os.path.join(os.path.dirname(sys.argv[2]), "spill")})
    con.create_function("name_grade_slow", names.grades, [VARCHAR, VARCHAR], VARCHAR, type="arrow")
    ready()
    for text in job["setup"]:
        con.execute(text)
    way = job.get("way", "views")
    needed = {name for rule in rules for name in job["needs"][rule]}
    for name, text in job["views"]:
        if name in needed and way != "ctes":
            con.execute(f"CREATE {'TEMP TABLE' if way == 'tables' else 'VIEW'} {name} AS {text}")

    def execute(rule: str) -> list[Row]:
        text = job["queries"][rule]
        above = [f"{name} AS MATERIALIZED ({view})" for name, view in job["views"] if name in job["needs"][rule]]
        if way == "ctes" and above:
            text = f"WITH {', '.join(above)} SELECT * FROM ({text})"
        rows = con.execute(text).fetchall()
        return [dict(zip([column[0] for column in con.description], row)) for row in rows]

    return execute


def run_datafusion(job: dict[str, Any], rules: list[str], threads: int) -> Callable[[str], list[Row]]:
    """DataFusion as it comes, but for decimals read as decimals, and for a check that refuses sound plans of
    windows under aggregates (columns whose NULLs are known to be absent)."""
    import pyarrow as pa
    from datafusion import SessionConfig, SessionContext, udf

    import names

    options = {
        "datafusion.execution.target_partitions": str(threads),
        "datafusion.sql_parser.parse_float_as_decimal": "true",
        "datafusion.execution.skip_physical_aggregate_schema_check": "true",
    }
    ctx = SessionContext(SessionConfig(options))
    ctx.register_udf(udf(names.grades, [pa.string(), pa.string()], pa.string(), "immutable", "name_grade_slow"))
    ready()
    for name, file in job["files"].items():
        has_number = name != "rejects" and "id_number" in parquet_columns(file)
        ctx.register_parquet(f"raw_{name}" if has_number else name, file)
        if has_number:
            ctx.sql(f"CREATE VIEW {name} AS SELECT id_number AS pid, * FROM raw_{name}").collect()
    needed = {name for rule in rules for name in job["needs"][rule]}
    for name, text in job["views"]:
        if name in needed and job.get("way") == "tables":
            # CREATE TABLE refuses views whose columns turn out to hold no NULL.
            ctx.from_arrow(ctx.sql(text).to_arrow_table(), name)
        elif name in needed:
            ctx.sql(f"CREATE VIEW {name} AS {text}").collect()
    return lambda rule: ctx.sql(job["queries"][rule]).to_pylist()


def run_polars(job: dict[str, Any], rules: list[str], threads: int) -> Callable[[str], list[Row]]:
    """Polars' SQL context over lazy scans."""
    import polars as pl

    ready()
    frames = {name: pl.scan_parquet(file) for name, file in job["files"].items()}
    for name in frames:
        if name != "rejects" and "id_number" in parquet_columns(job["files"][name]):
            frames[name] = frames[name].with_columns(pl.col("id_number").alias("pid"))
    ctx = pl.SQLContext(frames)
    texts = dict(job["views"])
    done: set[str] = set()

    def execute(rule: str) -> list[Row]:
        for name in texts:
            if name in job["needs"][rule] and name not in done:
                ctx.register(name, ctx.execute(texts[name]))
                done.add(name)
        return ctx.execute(job["queries"][rule]).collect().to_dicts()

    return execute


def parquet_columns(file: str) -> list[str]:
    """Names of a file's columns."""
    import pyarrow.parquet as pq

    return pq.read_schema(glob.glob(file)[0]).names


def floor_pyarrow(job: dict[str, Any], threads: int) -> None:
    """Decodes the columns, and nothing else."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    pa.set_cpu_count(threads)
    pa.set_io_thread_count(threads)
    ready()
    for name, columns in job["columns"].items():
        rows = 0
        for batch in ds.dataset(sorted(glob.glob(job["files"][name])), format="parquet").to_batches(columns=columns):
            rows += batch.num_rows
        say(dataset=name, rows=rows)


def floor_duckdb(job: dict[str, Any], threads: int) -> None:
    """DuckDB's reader over the same columns; the least of each makes it decode them."""
    import duckdb

    con = duckdb.connect(config={"threads": threads})
    ready()
    for name, columns in job["columns"].items():
        least = ", ".join(f'min("{c}")' for c in columns)
        rows = con.execute(f"SELECT count(*), {least} FROM read_parquet('{job['files'][name]}')").fetchall()[0][0]
        say(dataset=name, rows=rows)


def ready() -> None:
    """Imports are done; from here the clock counts."""
    say(ready=True, cpu=time.process_time(), wall=time.time() - float(sys.argv[4]))


def main() -> None:
    """The command line."""
    job_file, out, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with open(job_file, encoding="utf-8") as file:
        job = json.load(file)
    engine = job["engine"]
    if engine.startswith("floor"):
        {"floor-pyarrow": floor_pyarrow, "floor-duckdb": floor_duckdb}[engine](job, threads)
        return
    rules = sys.argv[5].split(",") if len(sys.argv) > 5 else list(job["queries"])
    start = {"duckdb": run_duckdb, "datafusion": run_datafusion, "polars": run_polars}[engine]
    execute = start(job, rules, threads)
    say(views=True)
    found: dict[str, list[Row]] = {}
    for rule in rules:
        began = time.perf_counter()
        say(begin=rule)
        try:
            found[rule] = execute(rule)
            say(rule=rule, seconds=time.perf_counter() - began, rows=len(found[rule]))
        except (Exception, BaseExceptionGroup) as fault:  # every engine has faults of its own
            say(rule=rule, fault=f"{type(fault).__name__}: {fault}"[:400])
        except BaseException as fault:  # a panic of the engine
            say(rule=rule, fault=f"panic: {fault}"[:400])
    write(found, out)
    os._exit(0)


def write(found: dict[str, list[Row]], out: str) -> None:
    """The findings of all rules in one file, as text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines: list[Row] = [
        {"rule_id": rule} | {c: None if row[c] is None else str(row[c]) for c in COLUMNS}
        for rule, rows in found.items() for row in rows
    ]
    schema = pa.schema([(name, pa.string()) for name in ["rule_id", *COLUMNS]])
    pq.write_table(pa.Table.from_pylist(lines, schema), out)


if __name__ == "__main__":
    main()
