"""The record of a comparison, in Markdown."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import Measured

if TYPE_CHECKING:
    from main import Probe

TREE = Path(__file__).parents[2]
# Greatest ratio of wall seconds that is aimed at; the last one for the pack of 48 rules.
TARGETS = {"duckdb-raw": 0.12, "duckdb-store": 0.30, "datafusion-raw": 0.10, "floor-pyarrow": 3.0, "copy": 1.0, "sum": 0.6}
WHEELS = ["duckdb", "datafusion", "polars", "pyarrow", "sqlglot"]


def place() -> str:
    """The folder of this day and machine."""
    return f"{datetime.date.today()}-{os.cpu_count()}cores"


def machine() -> str:
    """What the machine is, without its name."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{os.cpu_count()} cores, {pages / 2**30:.0f} GiB, {platform.system()} {platform.machine()}"


def ratio(ours: list[float], theirs: list[float]) -> str:
    """The median of the paired ratios, and how far they spread."""
    pairs = sorted(a / b for a, b in zip(ours, theirs))
    return f"{statistics.median(pairs):.2f} ({pairs[0]:.2f}–{pairs[-1]:.2f})"


def aim(name: str, ours: list[float], theirs: list[float]) -> str:
    """The target, and whether it is met."""
    if name not in TARGETS:
        return ""
    met = statistics.median(a / b for a, b in zip(ours, theirs)) <= TARGETS[name]
    return f"≤ {TARGETS[name]:.2f}: {'met' if met else 'missed'}"


def walls(taken: list[Measured]) -> list[float]:
    """Wall seconds."""
    return [m.wall for m in taken]


def ratios(ours: list[Measured], theirs: list[Measured]) -> str:
    """Wall, CPU and memory, as cells."""
    return " | ".join(
        [
            ratio(walls(ours), walls(theirs)),
            ratio([m.cpu for m in ours], [m.cpu for m in theirs]),
            ratio([m.rss for m in ours], [m.rss for m in theirs]),
        ]
    )


def added(first: list[Measured], then: list[Measured]) -> list[Measured]:
    """Two steps, one after the other."""
    return [Measured(a.wall + b.wall, a.cpu + b.cpu, max(a.rss, b.rss), 0) for a, b in zip(first, then)]


def figures(name: str, rules: str, taken: list[Measured]) -> str:
    """A row of medians."""
    middle = statistics.median
    return (
        f"| {name} | {rules} | {middle(walls(taken)):.2f} | {middle(m.cpu for m in taken):.2f}"
        f" | {middle(m.rss for m in taken) / 2**20:.0f} |"
    )


def record(
    options: argparse.Namespace,
    work: Path,
    rules: list[str],
    silent: dict[str, str],
    outcomes: dict[str, dict[str, Any]],
    probes: dict[str, Probe],
    taken: dict[str, list[Measured]],
    runs: dict[str, list[Measured]],
    peers: dict[str, str],
    floors: dict[str, str],
    agreed: bool,
) -> str:
    """The whole text."""
    binary = subprocess.run([os.environ["MINGCHA"], "--version"], capture_output=True, text=True, check=False).stdout.strip()
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=TREE)
    rows = sum(line["rows"] for line in taken["floor-pyarrow"][0].lines if "dataset" in line)
    n_findings = sum(outcomes[rule]["findings"] for rule in rules)
    verdict = "the same everywhere" if agreed else "**NOT the same, see below**"
    if agreed and any(probe.differ for probe in probes.values()):
        verdict += ", but for what is listed for Polars"
    command = " ".join(["benches/compare/run.sh", *sys.argv[1:]]).replace(options.work or "\0", "…")
    out = [
        f"# Comparison on a city of {options.persons} persons, pack {options.pack}, {datetime.date.today()}",
        "",
        f"Command: `{command}`. {options.rounds} rounds in turn, {options.threads} threads,"
        f" files warm. Medians; ratios are medians of the pairs of each round, with their least and greatest.",
        "",
        f"Machine: {machine()}. Mingcha: {binary}, tree at commit {git.stdout.strip() or 'none'}. Python {platform.python_version()}, "
        + ", ".join(f"{wheel} {version(wheel)}" for wheel in WHEELS)
        + ".",
        "",
        f"{len(rules)} rules, {n_findings} findings, {rows:,} rows. Findings (subject, amount, identity, period, grade):"
        f" {verdict}.",
        "",
        "| Mingcha : peer | rules | wall | CPU | peak memory | target (wall) |",
        "|---|---|---|---|---|---|",
    ]
    for peer, probe in probes.items():
        count = f"{len(probe.rules)} of {len(rules)}"
        cells, target = "– | – | –", ""
        if probe.rules:
            cells, target = ratios(runs[peer], taken[peer]), aim(peer, walls(runs[peer]), walls(taken[peer]))
        out.append(f"| run : {peers[peer]} | {count} | {cells} | {target} |")
    for floor, title in floors.items():
        target = aim(floor, walls(runs["all"]), walls(taken[floor]))
        out.append(f"| run : {title} | {len(rules)} | {ratios(runs['all'], taken[floor])} | {target} |")
    prepare, copy = taken["prepare"], taken["copy"]
    out.append(f"| prepare : DuckDB COPY, sorted | | {ratios(prepare, copy)} | {aim('copy', walls(prepare), walls(copy))} |")
    if "duckdb-raw" in probes and probes["duckdb-raw"].rules:
        both, theirs = added(prepare, runs["duckdb-raw"]), taken["duckdb-raw"]
        count, title = f"{len(probes['duckdb-raw'].rules)} of {len(rules)}", peers["duckdb-raw"]
        target = aim("sum", walls(both), walls(theirs))
        out.append(f"| prepare + run : {title} | {count} | {ratios(both, theirs)} | {target} |")
        out.append(f"| prepare + run : DuckDB COPY + {title} | {count} | {ratios(both, added(copy, theirs))} | |")
    out += ["", "| | rules | wall s | CPU s | peak MiB |", "|---|---|---|---|---|"]
    out.append(figures("mingcha prepare", "", taken["prepare"]))
    out.append(figures("DuckDB COPY, sorted", "", taken["copy"]))
    out.append(figures("mingcha run", str(len(rules)), runs["all"]))
    for peer, probe in probes.items():
        if probe.rules:
            if probe.rules != rules:
                out.append(figures(f"mingcha run, the rules of {peers[peer]}", str(len(probe.rules)), runs[peer]))
            out.append(figures(peers[peer], str(len(probe.rules)), taken[peer]))
    out += [figures(title, "", taken[floor]) for floor, title in floors.items()]

    if silent:
        out += ["", "Not compared, because Mingcha itself gave no answer: " + ", ".join(f"{r} ({w})" for r, w in silent.items()) + "."]
    if any(p.cannot or p.differ for p in probes.values()):
        out += ["", "| peer | rule | not compared because |", "|---|---|---|"]
        for peer, probe in probes.items():
            for rule, why in sorted(probe.cannot.items()):
                plain = " ".join(why.replace("|", "/").replace(str(work), "…").split())
                out.append(f"| {peers[peer]} | {rule} | {plain[:160]} |")
            for rule, what in sorted(probe.differ.items()):
                out.append(f"| {peers[peer]} | {rule} | other findings: {what['peer']}, Mingcha {what['mingcha']} |")

    out += ["", "Seconds per rule, medians; Mingcha's from its first run, without the views that rules share.", ""]
    out.append(f"| rule | findings | mingcha | {' | '.join(peers[p] for p in probes)} |")
    out.append("|---" * (len(probes) + 3) + "|")
    for rule in rules:
        row = [f"{outcomes[rule]['seconds']:.2f}"]
        for peer in probes:
            lines = [line for m in taken.get(peer, []) for line in m.lines if line.get("rule") == rule and "seconds" in line]
            row.append(f"{statistics.median(line['seconds'] for line in lines):.2f}" if lines else "–")
        out.append(f"| {rule} | {outcomes[rule]['findings']} | {' | '.join(row)} |")
    out += ["", "What is compared, and in whose favour: `benches/compare/README.md`.", ""]
    return "\n".join(out)
