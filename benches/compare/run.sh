#!/usr/bin/env bash
# Compares Mingcha with DuckDB, plain DataFusion, Polars and the bare reading of the store, on one synthetic city.
#   benches/compare/run.sh [PERSONS] [options]        default: 1000000; all options: benches/compare/run.sh --help
# Fails when a peer's findings differ from Mingcha's. Nothing else should run meanwhile.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=benches/compare
venv=${MINGCHA_COMPARE_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/mingcha/compare-venv}
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed.txt"
fi
export MINGCHA=${MINGCHA:-${CARGO_TARGET_DIR:-target}/release/mingcha}
[ -x "$MINGCHA" ] || { echo "build first: cargo build --release" >&2; exit 2; }
exec "$venv/bin/python" -B "$here/main.py" "$@"
