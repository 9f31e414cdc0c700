#!/usr/bin/env bash
# A night in which 1 % of the payments changed, built upon the night before, against a full night; both must find the
# same. Python 3 with pyarrow and duckdb is needed; they are put into a virtual environment of their own.
#   benches/nights.sh [PERSONS] [THREADS]             default: 1000000 2
# The city and its stores are made in a temporary folder, or kept in $WORK where that is set.
set -euo pipefail
cd "$(dirname "$0")/.."
persons=${1:-1000000}
threads=${2:-2}
bin=${MINGCHA:-${CARGO_TARGET_DIR:-target}/release/mingcha}
[ -x "$bin" ] || { echo "build first: cargo build --release" >&2; exit 2; }
command -v /usr/bin/time >/dev/null || { echo "GNU time is missing (Debian package: time)" >&2; exit 2; }
venv=${XDG_CACHE_HOME:-$HOME/.cache}/mingcha/nights-venv
[ -x "$venv/bin/python" ] || { python3 -m venv "$venv" && "$venv/bin/pip" -q install pyarrow==26.0.1 duckdb==2.0.0; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
work=${WORK:-$scratch}
mkdir -p "$work"
rm -rf "$work/night"
"$bin" synth --persons "$persons" --seed 7 --as-of 2026-06-30 --out "$work/night" >/dev/null
"$bin" prepare --full --data "$work/night" --store "$work/night-store" >/dev/null
record="benches/results/$(date +%F)-$(nproc)cores/nights-$persons.md"
mkdir -p "$(dirname "$record")"

step() { # name, command...
    local name=$1
    shift
    /usr/bin/time -o "$scratch/time" -f '%e %U %S %M' "$@" >"$scratch/log" 2>&1
    read -r wall user system rss <"$scratch/time"
    printf '| %s | %s | %s | %s | %d |\n' "$name" "$wall" "$user" "$system" "$((rss / 1024))"
}

night=("$bin" run --store "$work/night-store" --as-of 2026-06-30 --threads "$threads" --quiet)
{
    echo "# A night in which 1 % of the payments changed, city of $persons persons, $(date +%F)"
    echo
    echo "Machine: $(nproc) cores, $(awk '/MemTotal/ {printf "%d GiB", $2 / 1048576}' /proc/meminfo), $(uname -sm)."
    echo "Binary: $("$bin" --version), commit $(git rev-parse --short HEAD). Command: \`benches/nights.sh $persons $threads\`."
    echo
    echo '| step | wall s | user s | system s | peak RSS MiB |'
    echo '|---|---|---|---|---|'
    step 'the night before' "${night[@]}" --out "$scratch/before"
    "$venv/bin/python" - "$work/night" <<'PY'
"""One yuan more in every hundredth payment."""
import pathlib, sys
from decimal import Decimal
import pyarrow as pa, pyarrow.compute as pc, pyarrow.parquet as pq
for path in sorted(pathlib.Path(sys.argv[1]).glob("pension_payments*/*.parquet")):
    table = pq.read_table(path)
    at = table.schema.get_field_index("amount")
    amount = table.column(at)
    hit = pa.array([i % 100 == 7 for i in range(table.num_rows)])
    more = pc.add(amount, pa.scalar(Decimal("1.00"), pa.decimal128(3, 2))).cast(amount.type)
    pq.write_table(table.set_column(at, table.schema.field(at), pc.if_else(hit, more, amount)), path, compression="snappy")
PY
    step 'prepare what changed' "$bin" prepare --data "$work/night" --store "$work/night-store" --quiet
    for _ in 1 2 3; do
        step 'full night' "${night[@]}" --out "$scratch/full"
        step 'upon the night before' "${night[@]}" --since "$scratch/before" --out "$scratch/since"
    done
    "$venv/bin/python" - "$scratch/full" "$scratch/since" <<'PY'
"""Both nights must say the same."""
import sys, duckdb
for name in ("findings", "excused"):
    a, b = (f"(SELECT * EXCLUDE (run_id) FROM '{d}/{name}.parquet')" for d in sys.argv[1:3])
    [(n,)] = duckdb.sql(f"SELECT count(*) FROM (({a} EXCEPT ALL {b}) UNION ALL ({b} EXCEPT ALL {a}))").fetchall()
    [(all_,)] = duckdb.sql(f"SELECT count(*) FROM {a}").fetchall()
    print(f"\n{name}: {all_} rows, {n} differ")
    if n:
        sys.exit(1)
PY
} | tee "$record"
