"""The clean step of the peers, in DuckDB: raw extracts to typed columns with checked 18-character identity numbers,
as the contracts in `datasets/` say. It does what the peers need of `mingcha prepare`: numbers (full-width digits,
trimming, upper-case X, 15 to 18, check digit, day, province), codes by label or alias, months, `id_length`,
`is_latest`, the person of a transit card, the table of persons. It writes no rejects, no quality report and no hashes.

    clean.py sorted|raw  DATA STORE OUT THREADS AS_OF CONTRACTS    writes OUT/<dataset>.parquet
    clean.py check       DATA STORE OUT THREADS AS_OF CONTRACTS    compares OUT with the store, row by row
"""

import json
import sys
from pathlib import Path
from typing import Any

import duckdb

from rules import read

PROVINCES = "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83 88"
WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
ROW_BITS = 40
ZERO_WIDTH = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u3000"
TYPES = {"date": "DATE", "month": "DATE", "datetime": "TIMESTAMP", "money": "DECIMAL(14, 2)", "decimal": "DECIMAL(18, 4)",
         "int": "BIGINT", "bool": "BOOLEAN"}

# n is the number's first 17 digits as an integer: arithmetic on whole columns, no text per digit.
CHECK_SUM = " + ".join(f"(n // {10 ** (16 - i)}) % 10 * {w}" for i, w in enumerate(WEIGHTS))
MACROS = f"""
CREATE MACRO well_formed(t) AS regexp_full_match(t, '[0-9]{{17}}[0-9X]');
CREATE MACRO plain_number(t) AS CASE WHEN well_formed(t) THEN t
  ELSE upper(trim(translate(t, '０１２３４５６７８９Ｘｘ{ZERO_WIDTH}', '0123456789Xx'), ' ''' || chr(9))) END;
CREATE MACRO check_character(n) AS substr('10X98765432', CAST(({CHECK_SUM}) % 11 AS INTEGER) + 1, 1);
CREATE MACRO eighteen(t) AS CASE WHEN length(t) = 15 AND regexp_full_match(t, '[0-9]{{15}}')
  THEN left(t, 6) || CASE WHEN right(t, 3) >= '996' THEN '18' ELSE '19' END || right(t, 9)
    || check_character(CAST(left(t, 6) || CASE WHEN right(t, 3) >= '996' THEN '18' ELSE '19' END || right(t, 9) AS BIGINT))
  ELSE t END;
CREATE MACRO days_of(y, m) AS CASE WHEN m IN (1, 3, 5, 7, 8, 10, 12) THEN 31 WHEN m IN (4, 6, 9, 11) THEN 30
  WHEN m <> 2 THEN 0 WHEN y % 4 = 0 AND (y % 100 <> 0 OR y % 400 = 0) THEN 29 ELSE 28 END;
CREATE MACRO is_number(t, n, last_birth) AS well_formed(t) AND check_character(n) = right(t, 1)
  AND CASE WHEN left(t, 1) = '9' THEN substr(t, 2, 2) ELSE left(t, 2) END IN ({', '.join(f"'{p}'" for p in PROVINCES.split())})
  AND (n // 10000000) % 10000 BETWEEN 1800 AND 2199
  AND (n // 1000) % 100 BETWEEN 1 AND days_of((n // 10000000) % 10000, (n // 100000) % 100)
  AND (n // 1000) % 100000000 <= last_birth;
"""


def text(value: str) -> str:
    """A text literal."""
    return "'" + value.replace("'", "''") + "'"


class Cleaner:
    """One delivery, one connection."""

    def __init__(self, data: Path, store: Path, out: Path, threads: int, as_of: str, contracts: Path) -> None:
        self.data, self.store, self.out, self.as_of = data, store, out, as_of
        listed = (read(f) for f in sorted(contracts.glob("*.yaml")))
        self.contracts: dict[str, dict[str, Any]] = {c["name"]: c for c in listed if (data / f"{c['name']}.parquet").exists()}
        self.con = duckdb.connect(config={"threads": threads, "temp_directory": str(out.parent / "spill")})
        self.con.execute(MACROS)
        # Both only harm here: a filter that is pushed down computes the checks twice, and short IN lists become joins.
        self.con.execute("SET disabled_optimizers = 'filter_pushdown, in_clause'")

    def file_number(self, name: str) -> int:
        """The number under which the store knows the file, so that row locators are the same."""
        manifest = json.loads((self.store / "manifest.json").read_text(encoding="utf-8"))
        return next(f["id"] for f in manifest["files"] if f["dataset"] == name)

    def select(self, contract: dict[str, Any]) -> str:
        """The clean rows of one dataset."""
        name = contract["name"]
        person = contract.get("person")
        file = f"{self.data}/{name}.parquet"
        there = {row[0] for row in self.con.execute(f"DESCRIBE SELECT * FROM '{file}'").fetchall()}
        ids = [f["name"] for f in contract["fields"] if f["type"] == "id"]
        plain = "".join(f', plain_number("{i}") AS "{i}__p"' for i in ids)
        full = "".join(f', eighteen("{i}__p") AS "{i}__q"' for i in ids)
        digits = "".join(f', TRY_CAST(left("{i}__q", 17) AS BIGINT) AS "{i}__n"' for i in ids)
        last = self.as_of.replace("-", "")
        good = "".join(f', coalesce(is_number("{i}__q", "{i}__n", {last}), false) AS "{i}__ok"' for i in ids)
        before = self.file_number(name) << ROW_BITS
        source = f"SELECT *, {before} + file_row_number + 1 AS src FROM read_parquet('{file}', file_row_number = true)"
        for step in (plain, full, digits, good):
            source = f"SELECT *{step} FROM ({source})" if step else source

        columns, keep = ["src"], []
        for field in contract["fields"]:
            column = field["name"]
            value = self.value(field, column in there)
            columns.append(f'{value} AS "{column}"')
            bad = f'("{column}" IS NOT NULL AND {value} IS NULL)'
            if field["type"] == "id" and (column == person or field.get("on_bad_value") != "drop_value"):
                keep.append(f'("{column}__ok" OR coalesce("{column}__p", \'\') = \'\')')
            if field["type"] == "code" and not field.get("open_codes"):
                keep.append(f"NOT {bad}")
            if field.get("required"):
                keep.append(f"{value} IS NOT NULL")
        if isinstance(person, str):
            columns.append(f'CASE WHEN "{person}__ok" THEN CAST(length("{person}__p") AS INTEGER) END AS id_length')
        if versions := contract.get("versions"):
            k, by = versions["key"], versions["by"]
            columns.append(f"coalesce({by}, 0) = max(coalesce({by}, 0)) OVER (PARTITION BY {k}) OR {k} IS NULL AS is_latest")
        where = f" WHERE {' AND '.join(keep)}" if keep else ""
        rows = f"SELECT {', '.join(columns)} FROM ({source}){where}"
        if isinstance(person, dict):
            # A card that two persons claim leads to none.
            owners = (
                f"SELECT {person['on']}, CASE WHEN min(id_number) = max(id_number) THEN min(id_number) END AS id_number"
                f" FROM ({self.select(self.contracts[person['dataset']])}) GROUP BY {person['on']}"
            )
            rows = f"SELECT r.*, o.id_number FROM ({rows}) r LEFT JOIN ({owners}) o USING ({person['on']})"
        return rows

    def value(self, field: dict[str, Any], present: bool) -> str:
        """One column, typed."""
        name, kind = f'"{field["name"]}"', field["type"]
        if not present:
            return f"CAST(NULL AS {TYPES.get(kind, 'VARCHAR')})"
        if kind == "id":
            column = field["name"]
            return f'CASE WHEN "{column}__ok" THEN "{column}__q" END'
        if kind == "code" and field.get("codes"):
            return self.code(field)
        if kind in ("text", "code", "area"):
            return f"nullif(trim({name}), '')"
        if kind == "month":
            return f"make_date(TRY_CAST(left({name}, 4) AS BIGINT), TRY_CAST(right({name}, 2) AS BIGINT), 1)"
        if kind == "date" and not field.get("required"):
            return f"nullif(CAST({name} AS DATE), DATE '9999-12-31')"
        return f"CAST({name} AS {TYPES[kind]})"

    def code(self, field: dict[str, Any]) -> str:
        """A code by itself, by a label that means one code only, or as it is where the table is open."""
        meant: dict[str, set[str]] = {}
        codes = {str(code): meaning for code, meaning in field["codes"].items()}
        for code, meaning in codes.items():
            for label in [meaning["zh"], meaning["en"], *map(str, meaning.get("aliases") or [])]:
                meant.setdefault(label, set()).add(code)
        name = f'"{field["name"]}"'
        plain = f"nullif(trim({name}), '')"
        cases = "".join(
            f" WHEN {text(label)} THEN {text(min(means))}"
            for label, means in meant.items() if len(means) == 1 and label not in codes
        )
        listed = ", ".join(text(code) for code in codes)
        rest = plain if field.get("open_codes") else "NULL"
        return f"CASE WHEN {name} IN ({listed}) THEN {name} ELSE CASE {plain}{cases} ELSE {rest} END END"

    def write(self, in_order: bool) -> None:
        """Writes every dataset and the table of persons; sorted by number, or as the rows come."""
        self.out.mkdir(parents=True, exist_ok=True)
        for name, contract in self.contracts.items():
            order = " ORDER BY id_number" if in_order and contract.get("person") else ""
            self.copy(f"{self.select(contract)}{order}", name)
        numbers = " UNION ".join(
            f"SELECT id_number FROM '{self.out}/{name}.parquet'"
            for name, contract in self.contracts.items() if isinstance(contract.get("person"), str)
        )
        order = " ORDER BY id_number" if in_order else ""
        self.copy(
            f"""SELECT id_number,
              CASE WHEN left(id_number, 1) = '9' THEN 'foreign_permanent' WHEN left(id_number, 2) = '88' THEN 'reserved'
                   WHEN left(id_number, 2) IN ('81', '82', '83') THEN 'hk_mo_tw' ELSE 'resident' END AS id_kind,
              make_date(CAST(substr(id_number, 7, 4) AS BIGINT), CAST(substr(id_number, 11, 2) AS BIGINT),
                        CAST(substr(id_number, 13, 2) AS BIGINT)) AS id_birth_date,
              CASE WHEN CAST(substr(id_number, 17, 1) AS INTEGER) % 2 = 1 THEN '1' ELSE '2' END AS id_sex,
              left(id_number, 6) AS id_area_code
            FROM ({numbers}) WHERE id_number IS NOT NULL{order}""",
            "persons",
        )

    def copy(self, select: str, name: str) -> None:
        """One file."""
        self.con.execute(f"COPY ({select}) TO '{self.out}/{name}.parquet' (FORMAT parquet, COMPRESSION zstd)")

    def check(self) -> list[str]:
        """Where the clean files and the store differ: dataset, rows only here, rows only there."""
        faults = []
        self.con.execute(f"CREATE VIEW people AS SELECT pid, id_number FROM read_parquet('{self.store}/persons/*.parquet')")
        for name in [*self.contracts, "persons"]:
            contract = self.contracts.get(name, {})
            here = f"SELECT * FROM '{self.out}/{name}.parquet'"
            there = f"SELECT * FROM read_parquet('{self.store}/{name}/*.parquet')"
            if contract.get("person"):
                there = f"SELECT t.* EXCLUDE (pid), p.id_number FROM ({there}) t LEFT JOIN people p USING (pid)"
            elif name == "persons":
                there = f"SELECT * EXCLUDE (pid) FROM ({there})"
            columns = ", ".join(f'"{r[0]}"' for r in self.con.execute(f"DESCRIBE {here}").fetchall())
            pair = [f"SELECT {columns} FROM ({x})" for x in (here, there)]
            more = [
                self.con.execute(f"SELECT count(*) FROM ({a} EXCEPT {b})").fetchall()[0][0] for a, b in (pair, pair[::-1])
            ]
            if any(more):
                faults.append(f"{name}: {more[0]} rows only in the clean files, {more[1]} only in the store")
        return faults


def main() -> None:
    """The command line."""
    way, data, store, out, threads, as_of, contracts = sys.argv[1:]
    cleaner = Cleaner(Path(data), Path(store), Path(out), int(threads), as_of, Path(contracts))
    if way == "check":
        faults = cleaner.check()
        print("\n".join(faults))
        sys.exit(1 if faults else 0)
    cleaner.write(way == "sorted")


if __name__ == "__main__":
    main()
