#!/usr/bin/env bash
# The ledger at about a hundred thousand open leads: a first night, a second night upon it, lists, acts, the proof.
#   benches/ledger.sh [PERSONS] [THREADS]             default: 460000 2 (about 100,000 findings)
# The city, its store and its runs are made in a temporary folder, or kept and used again in $WORK where that is set.
set -euo pipefail
cd "$(dirname "$0")/.."
persons=${1:-460000}
threads=${2:-2}
bin=${MINGCHA:-${CARGO_TARGET_DIR:-target}/release/mingcha}
[ -x "$bin" ] || { echo "build first: cargo build --release" >&2; exit 2; }
command -v /usr/bin/time >/dev/null || { echo "GNU time is missing (Debian package: time)" >&2; exit 2; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
work=${WORK:-$scratch}
mkdir -p "$work"
if [ ! -d "$work/runs/2" ]; then
    rm -rf "$work/city" "$work/store" "$work/runs"
    "$bin" synth --persons "$persons" --seed 7 --as-of 2026-06-30 --out "$work/city" >/dev/null
    "$bin" prepare --full --data "$work/city" --store "$work/store" --quiet >/dev/null 2>&1
    # The second night asks for another day: most leads continue, some change, some come and go.
    for night in 1:2026-06-30 2:2026-08-15; do
        "$bin" run --store "$work/store" --as-of "${night#*:}" --threads "$threads" --quiet --out "$work/runs/${night%%:*}" >/dev/null || [ $? -eq 4 ]
    done
fi
rm -rf "$work/book"
record="benches/results/$(date +%F)-$(nproc)cores/ledger-$persons.md"
mkdir -p "$(dirname "$record")"

step() { # name, command...
    local name=$1
    shift
    /usr/bin/time -o "$scratch/time" -f '%e %U %S %M' "$@" >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; exit 1; }
    read -r wall user system rss <"$scratch/time"
    printf '| %s | %s | %s | %s | %d |\n' "$name" "$wall" "$user" "$system" "$((rss / 1024))"
}

ledger=("--ledger" "$work/book/ledger.sqlite")
at() { echo "--at 2026-$1"; }
{
    echo "# The ledger, city of $persons persons, $(date +%F)"
    echo
    echo "Machine: $(nproc) cores, $(awk '/MemTotal/ {printf "%d GiB", $2 / 1048576}' /proc/meminfo), $(uname -sm)."
    echo "Binary: $("$bin" --version), commit $(git rev-parse --short HEAD). Command: \`benches/ledger.sh $persons $threads\`."
    echo
    echo '| step | wall s | user s | system s | peak RSS MiB |'
    echo '|---|---|---|---|---|'
    # shellcheck disable=SC2046
    step 'absorb the first night' "$bin" ledger absorb "$work/runs/1" "${ledger[@]}" $(at 07-01)
    tail -n +1 "$scratch/log" >"$scratch/night1"
    # shellcheck disable=SC2046
    step 'absorb the second night' "$bin" ledger absorb "$work/runs/2" "${ledger[@]}" $(at 08-16)
    cp "$scratch/log" "$scratch/night2"
    step 'absorb it again' "$bin" ledger absorb "$work/runs/2" "${ledger[@]}"
    step 'list 50 of all open leads' "$bin" findings list "${ledger[@]}" --profile investigator
    step 'list 50, masked' "$bin" findings list "${ledger[@]}"
    step 'list one county, all of it' "$bin" findings list "${ledger[@]}" --area 880101 --limit 0 --profile investigator
    step 'assign one county' "$bin" findings assign "${ledger[@]}" --area 880101 --to li --as chief
    step 'a note to one lead' "$bin" findings note "${ledger[@]}" --as li --text seen "$("$bin" findings list "${ledger[@]}" --limit 1 --format json --profile investigator | sed -n 's/.*"finding_id": *"\([0-9a-f]*\)".*/\1/p' | head -1)"
    step 'verify' "$bin" verify "${ledger[@]}"
    echo
    grep -h '^ledger' "$scratch/night1" "$scratch/night2" | sed "s#$work/##; s/^/- /"
    echo "- file: $(du -m "$work/book/ledger.sqlite" | cut -f1) MiB"
} | tee "$record"
