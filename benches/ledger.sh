#!/usr/bin/env bash
# The ledger at a hundred thousand open leads: a first night, two nights upon it, lists, acts, the proof. The runs are
# made by an example of mingcha-ledger: a city with so many findings would have fifteen million people.
#   benches/ledger.sh [FINDINGS]             default: 100000
# Runs and ledger lie in a temporary folder, or in $WORK where that is set.
set -euo pipefail
cd "$(dirname "$0")/.."
findings=${1:-100000}
target=${CARGO_TARGET_DIR:-target}
bin=${MINGCHA:-$target/release/mingcha}
crowd=${CROWD:-$target/release/examples/crowd}
[ -x "$bin" ] && [ -x "$crowd" ] || { echo "build first: cargo build --release --workspace --bins --examples" >&2; exit 2; }
command -v /usr/bin/time >/dev/null || { echo "GNU time is missing (Debian package: time)" >&2; exit 2; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
work=${WORK:-$scratch}
mkdir -p "$work"
rm -rf "$work/runs" "$work/book"
"$crowd" "$work/runs" "$findings"
record="benches/results/$(date +%F)-$(nproc)cores/ledger-$findings.md"
mkdir -p "$(dirname "$record")"

step() { # name, command...
    local name=$1
    shift
    /usr/bin/time -o "$scratch/time" -f '%e %U %S %M' "$@" >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; exit 1; }
    read -r wall user system rss <"$scratch/time"
    printf '| %s | %s | %s | %s | %d |\n' "$name" "$wall" "$user" "$system" "$((rss / 1024))"
}

ledger=("--ledger" "$work/book/ledger.sqlite")
{
    echo "# The ledger at $findings findings, $(date +%F)"
    echo
    echo "Machine: $(nproc) cores, $(awk '/MemTotal/ {printf "%d GiB", $2 / 1048576}' /proc/meminfo), $(uname -sm)."
    echo "Binary: $("$bin" --version), commit $(git rev-parse --short HEAD). Command: \`benches/ledger.sh $findings\`."
    echo
    echo '| step | wall s | user s | system s | peak RSS MiB |'
    echo '|---|---|---|---|---|'
    absorb=("$bin" ledger absorb "${ledger[@]}" --as nightly)
    step 'absorb the first night: all is new' "${absorb[@]}" "$work/runs/1" --at 2026-07-01
    cp "$scratch/log" "$scratch/night1"
    step 'absorb the second night: 5 % differ' "${absorb[@]}" "$work/runs/2" --at 2026-07-02
    cp "$scratch/log" "$scratch/night2"
    step 'absorb the third night: nothing differs' "${absorb[@]}" "$work/runs/3" --at 2026-07-03
    cp "$scratch/log" "$scratch/night3"
    step 'absorb it again' "${absorb[@]}" "$work/runs/3" --at 2026-07-03
    step 'list 50 of all open leads' "$bin" findings list "${ledger[@]}" --profile investigator
    step 'list 50, masked' "$bin" findings list "${ledger[@]}"
    step 'list one county, all of it' "$bin" findings list "${ledger[@]}" --area 880105 --limit 0 --profile investigator
    step 'assign one county' "$bin" findings assign "${ledger[@]}" --area 880105 --to li --as chief
    step 'a note to one lead' "$bin" findings note "${ledger[@]}" --as li --text seen "$("$bin" findings list "${ledger[@]}" --limit 1 --format json --profile investigator | sed -n 's/.*"finding_id": *"\([0-9a-f]*\)".*/\1/p' | head -1)"
    step 'verify' "$bin" verify "${ledger[@]}"
    echo
    grep -h '^ledger' "$scratch"/night[123] | sed "s#$work/##; s/^/- /"
    echo "- file: $(du -m "$work/book/ledger.sqlite" | cut -f1) MiB"
} | tee "$record"
