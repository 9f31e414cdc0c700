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
rm -rf "$work/runs" "$work/book" "$work/lists" "$work/reports"
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
    export=("$bin" export "${ledger[@]}" --as chief --at 2026-07-04 --expires 2026-12-31)
    step 'export all, with every row of evidence' "${export[@]}" --profile investigator --run "$work/runs/3" --out "$work/lists/all"
    step 'export all, masked' "${export[@]}" --profile supervisor --run "$work/runs/3" --out "$work/lists/masked"
    step 'export all, without a number' "$bin" export --run "$work/runs/3" --out "$work/lists/plain"
    step 'export one county (`--for`)' "${export[@]}" --profile investigator --for 880105 --out "$work/lists/county"
    import=("$bin" import "${ledger[@]}" --as chief --at 2026-07-05)
    step 'import all, nothing filled in' "${import[@]}" "$work"/lists/all/E*-findings.xlsx
    step 'import one county, nothing filled in' "${import[@]}" "$work"/lists/county/E*-findings.xlsx
    step 'assign one county' "$bin" findings assign "${ledger[@]}" --area 880105 --to li --as chief
    step 'a note to one lead' "$bin" findings note "${ledger[@]}" --as li --text seen "$("$bin" findings list "${ledger[@]}" --limit 1 --format json --profile investigator | sed -n 's/.*"finding_id": *"\([0-9a-f]*\)".*/\1/p' | head -1)"
    # Outcomes to learn from: two counties of leads, half confirmed, half cleared.
    for county in 880106 880107; do
        work_on=(--area "$county" --as li --at 2026-07-10)
        "$bin" findings assign "${ledger[@]}" "${work_on[@]}" --to li >/dev/null
        "$bin" findings visit "${ledger[@]}" "${work_on[@]}" --how visit --stage assigned >/dev/null
    done
    "$bin" findings confirm "${ledger[@]}" --area 880106 --as li --at 2026-07-12 --how papers --document P-1 >/dev/null
    "$bin" findings clear "${ledger[@]}" --area 880107 --as li --at 2026-07-12 --reason wrong_data --text seen >/dev/null
    step 'scorecard of all rules' "$bin" scorecard "${ledger[@]}"
    step 'queue, the first 50 of all' "$bin" findings list "${ledger[@]}" --order queue --at 2026-07-15
    report=("$bin" report)
    common=("${ledger[@]}" --out "$work/reports" --replace --at 2026-07-15)
    step 'report: the last night' "${report[@]}" night "${common[@]}"
    step 'report: the first night, all new' "${report[@]}" night --night 1 "${common[@]}"
    step 'report: the month' "${report[@]}" month "${common[@]}"
    step 'report: a county' "${report[@]}" area 880108 "${common[@]}"
    step 'report: a rule' "${report[@]}" rule XXX-03 "${common[@]}"
    step 'verify' "$bin" verify "${ledger[@]}"
    echo
    grep -h '^ledger' "$scratch"/night[123] | sed "s#$work/##; s/^/- /"
    echo "- file: $(du -m "$work/book/ledger.sqlite" | cut -f1) MiB"
} | tee "$record"
