#!/usr/bin/env bash
# Times synth, prepare and run on a synthetic city and writes a record.
#   benches/city.sh [PERSONS] [THREADS] [MEMORY]      default: 1000000 2 4GB
# Wall and CPU seconds and peak memory are those of GNU time; nothing else should run meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
persons=${1:-1000000}
threads=${2:-2}
memory=${3:-4GB}
bin=${MINGCHA:-${CARGO_TARGET_DIR:-target}/release/mingcha}
[ -x "$bin" ] || { echo "build first: cargo build --release" >&2; exit 2; }
command -v /usr/bin/time >/dev/null || { echo "GNU time is missing (Debian package: time)" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
record="benches/results/$(date +%F)-$(nproc)cores/city-$persons.md"
mkdir -p "$(dirname "$record")"

step() { # name, command...
    local name=$1
    shift
    /usr/bin/time -o "$work/time" -f '%e %U %S %M' "$@" >"$work/$name.log" 2>&1
    read -r wall user system rss <"$work/time"
    printf '| %s | %s | %s | %s | %d |\n' "$name" "$wall" "$user" "$system" "$((rss / 1024))"
}

{
    echo "# City of $persons persons, $(date +%F)"
    echo
    echo "Machine: $(nproc) cores, $(awk '/MemTotal/ {printf "%d GiB", $2 / 1048576}' /proc/meminfo), $(uname -sm)."
    echo "Binary: $("$bin" --version), commit $(git rev-parse --short HEAD). Command: \`benches/city.sh $persons $threads $memory\`."
    echo
    echo '| step | wall s | user s | system s | peak RSS MiB |'
    echo '|---|---|---|---|---|'
    step synth "$bin" synth --persons "$persons" --seed 7 --as-of 2026-06-30 --out "$work/city"
    step prepare "$bin" prepare --data "$work/city" --store "$work/store" --memory "$memory"
    step run "$bin" run --store "$work/store" --as-of 2026-06-30 --out "$work/run" --threads "$threads" --memory "$memory"
    echo
    echo "Extracts: $(du -sh "$work/city" | cut -f1); store: $(du -sh "$work/store" | cut -f1)."
} | tee "$record"
