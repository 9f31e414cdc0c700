#!/usr/bin/env bash
# Times the pack of 48 rules against the twelve among them that touch the same datasets, in alternation.
#   benches/packs.sh [PERSONS] [THREADS]              default: 1000000 2
# The city and its store are made in a temporary folder, or kept in $WORK where that is set.
set -euo pipefail
cd "$(dirname "$0")/.."
persons=${1:-1000000}
threads=${2:-2}
bin=${MINGCHA:-${CARGO_TARGET_DIR:-target}/release/mingcha}
[ -x "$bin" ] || { echo "build first: cargo build --release" >&2; exit 2; }
command -v /usr/bin/time >/dev/null || { echo "GNU time is missing (Debian package: time)" >&2; exit 2; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
work=${WORK:-$scratch}
mkdir -p "$work"
[ -d "$work/city" ] || "$bin" synth --persons "$persons" --seed 7 --as-of 2026-06-30 --out "$work/city" >/dev/null
"$bin" prepare --data "$work/city" --store "$work/store" >/dev/null
all=$(seq -f 'BEN-%02g' -s, 48)
twelve=BEN-03,BEN-07,BEN-10,BEN-16,BEN-19,BEN-26,BEN-31,BEN-35,BEN-36,BEN-38,BEN-44,BEN-47
record="benches/results/$(date +%F)-$(nproc)cores/packs-$persons.md"
mkdir -p "$(dirname "$record")"

run() { # name, rules
    /usr/bin/time -o "$scratch/time" -f '%e %U %S %M' "$bin" run --rules benches/pack --datasets datasets --quiet \
        --store "$work/store" --as-of 2026-06-30 --threads "$threads" --only "$2" --out "$scratch/run" >/dev/null
    read -r wall user system rss <"$scratch/time"
    printf '| %s | %s | %s | %s | %d |\n' "$1" "$wall" "$user" "$system" "$((rss / 1024))"
}

{
    echo "# 48 rules and twelve of them, city of $persons persons, $(date +%F)"
    echo
    echo "Machine: $(nproc) cores, $(awk '/MemTotal/ {printf "%d GiB", $2 / 1048576}' /proc/meminfo), $(uname -sm)."
    echo "Binary: $("$bin" --version), commit $(git rev-parse --short HEAD). Command: \`benches/packs.sh $persons $threads\`."
    echo
    echo '| rules | wall s | user s | system s | peak RSS MiB |'
    echo '|---|---|---|---|---|'
    for _ in 1 2 3; do
        run 48 "$all"
        run 12 "$twelve"
    done
    run 'one alone (BEN-19)' BEN-19
} | tee "$record"
