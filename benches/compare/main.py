"""The comparison, from a synthetic city to a record in `benches/results/`. See `benches/compare/README.md`."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import report
from measure import Measured, run, warm

HERE = Path(__file__).parent
TREE = HERE.parents[1]
PEERS = {
    "duckdb-raw": "DuckDB, clean raw files",
    "duckdb-store": "DuckDB, Mingcha's store",
    "duckdb-raw-ctes": "DuckDB, clean raw files, views once per rule",
    "duckdb-store-ctes": "DuckDB, Mingcha's store, views once per rule",
    "duckdb-raw-tables": "DuckDB, clean raw files, views once",
    "duckdb-store-tables": "DuckDB, Mingcha's store, views once",
    "datafusion-raw": "plain DataFusion, clean raw files",
    "datafusion-raw-tables": "plain DataFusion, clean raw files, views once",
    "polars-raw": "Polars, clean raw files",
}
FLOORS = {"floor-pyarrow": "floor: pyarrow decodes the columns", "floor-duckdb": "floor: DuckDB decodes the columns"}
USUAL = ["duckdb-raw", "duckdb-store", "duckdb-raw-ctes", "duckdb-store-ctes", "datafusion-raw", "polars-raw"]
# Not the same findings as Mingcha is a failure, but for this one: its SQL is young, what agrees is compared.
MAY_DIFFER = {"polars-raw"}


@dataclass
class Probe:
    """What a peer can do with each rule."""

    rules: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    cannot: dict[str, str] = field(default_factory=dict)
    differ: dict[str, dict[str, object]] = field(default_factory=dict)


class Comparison:
    """One city, one pack."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        self.options, self.work = options, work
        self.mingcha = os.environ["MINGCHA"]
        self.packs = [TREE / p for p in options.pack.split(",")]
        self.city, self.store, self.clean, self.rules = work / "city", work / "store", work / "clean", work / "rules"
        self.fault = False

    def say(self, text: str) -> None:
        """Progress."""
        print(text, file=sys.stderr, flush=True)

    def call(self, command: list[str]) -> str:
        """A step that is not measured."""
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"failed: {' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return done.stdout

    def python(self, script: str) -> list[str]:
        """The start of a command line of one of the scripts beside this one."""
        return [sys.executable, "-B", str(HERE / script)]

    # ── commands that are measured ──

    def prepare_command(self) -> list[str]:
        """Mingcha's clean step."""
        o = self.options
        # All of it: nothing may be taken over from the store of the round before.
        return [self.mingcha, "prepare", "--full", "--data", str(self.city), "--store", str(self.store), "--datasets",
                str(TREE / "datasets"), "--threads", str(o.threads), "--memory", o.memory, "--quiet"]

    def clean_command(self, way: str, out: Path) -> list[str]:
        """DuckDB's clean step."""
        o = self.options
        return [*self.python("clean.py"), way, str(self.city), str(self.store), str(out), str(o.threads), o.as_of, str(TREE / "datasets")]

    def run_command(self, rules: list[str], out: Path) -> list[str]:
        """Mingcha's run."""
        o = self.options
        return [self.mingcha, "run", "--store", str(self.store), "--as-of", o.as_of, "--rules", str(self.rules), "--datasets",
                str(TREE / "datasets"), "--threads", str(o.threads), "--memory", o.memory, "--quiet", "--out", str(out),
                "--only", ",".join(rules)]

    def peer_command(self, peer: str, rules: list[str], out: Path) -> list[str]:
        """A peer's run."""
        job = self.work / "jobs" / f"{peer}.json"
        return [*self.python("peers.py"), str(job), str(out), str(self.options.threads), "{now}", *([",".join(rules)] if rules else [])]

    def measured(self, command: list[str], name: str, limit: float | None = None) -> Measured:
        """Runs and measures."""
        env = {"POLARS_MAX_THREADS": str(self.options.threads), "PYTHONWARNINGS": "ignore"}
        most = 0 if command[0] == self.mingcha else int(self.options.peer_memory * 2**30)
        return run(command, self.options.threads, str(self.work / f"{name}.log"), env, limit, most)

    def must(self, done: Measured, name: str, allowed: tuple[int, ...] = (0,)) -> Measured:
        """Stops where a measured command failed."""
        if done.code not in allowed:
            sys.exit(f"{name} ended with {done.code}\n{done.tail}")
        return done

    # ── steps ──

    def make(self) -> None:
        """City, store, clean files, jobs."""
        o = self.options
        # One folder of rules, so that those inside the binary do not matter.
        for folder in [TREE / "rules", *self.packs]:
            shutil.copytree(folder, self.rules, dirs_exist_ok=True)
        self.say(f"city of {o.persons} persons")
        self.call([self.mingcha, "synth", "--persons", str(o.persons), "--seed", str(o.seed), "--as-of", o.as_of,
                   "--format", "parquet", "--out", str(self.city), "--quiet"])
        (self.city / "truth.parquet").unlink()
        self.call(self.prepare_command())
        self.call(self.clean_command("raw", self.clean))
        done = subprocess.run(self.clean_command("check", self.clean), capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"the clean files and the store hold different rows:\n{done.stdout}{done.stderr[-2000:]}")
        self.call([*self.python("jobs.py"), str(self.work), str(self.store), str(self.clean), o.as_of, str(TREE / "datasets"),
                   str(TREE / "rules"), o.only, *map(str, self.packs)])

    def probe(self, peer: str, rules: list[str], ours: Path) -> Probe:
        """Runs every rule once. A rule that kills the peer, or outlasts the limit, is listed; the others go on."""
        found = Probe(cannot=dict(json.loads((self.work / "jobs" / f"{peer}.json").read_text(encoding="utf-8"))["cannot"]))
        left = [rule for rule in rules if rule not in found.cannot]
        while left:
            out = self.work / f"probe-{peer}.parquet"
            done = self.measured(self.peer_command(peer, left, out), f"probe-{peer}", self.options.timeout)
            begun = [line["begin"] for line in done.lines if "begin" in line]
            for line in done.lines:
                if "fault" in line:
                    found.cannot[line["rule"]] = line["fault"]
                elif "rule" in line:
                    found.rows[line["rule"]] = line["rows"]
            if done.code == 0:
                break
            if not begun:
                why = (done.tail.strip().splitlines() or [f"ended with {done.code}"])[-1]
                found.cannot |= {rule: f"the peer did not start: {why}" for rule in left}
                return found
            # The findings are written at the end: those before the killed rule are asked for again.
            late = done.code == -14
            found.cannot[begun[-1]] = f"more than {self.options.timeout:.0f} s" if late else f"ended the peer ({done.code})"
            left = [rule for rule in left if rule not in found.cannot]
        found.rules = [rule for rule in rules if rule in found.rows and rule not in found.cannot]
        if found.rules:
            told = self.call([*self.python("agree.py"), str(ours), str(self.work / f"probe-{peer}.parquet"), ",".join(found.rules)])
            found.differ = json.loads(told)
        if found.differ and peer in MAY_DIFFER:
            found.rules = [rule for rule in found.rules if rule not in found.differ]
        return found

    def compare(self) -> None:
        """Everything."""
        o = self.options
        self.make()
        rules: list[str] = json.loads((self.work / "jobs" / "rules.json").read_text(encoding="utf-8"))
        if not rules:
            sys.exit(f"no rules in {o.pack}")
        first = self.work / "run-first"
        self.must(self.measured(self.run_command(rules, first), "run"), "mingcha run", (0, 3, 4, 5))
        outcomes = json.loads(self.call([*self.python("agree.py"), str(first)]))
        told = {rule: outcomes[rule]["outcome"] if rule in outcomes else "absent" for rule in rules}
        silent = {rule: outcome for rule, outcome in told.items() if outcome not in ("found", "clean")}
        rules = [rule for rule in rules if rule not in silent]
        peers = o.peers.split(",")
        if o.materialise_views:
            peers += [peer for peer in PEERS if peer.endswith("-tables") and peer not in peers]
        probes: dict[str, Probe] = {}
        for peer in peers:
            self.say(f"probe: {PEERS[peer]}")
            probes[peer] = self.probe(peer, rules, first)
            for rule, what in probes[peer].differ.items():
                self.fault |= peer not in MAY_DIFFER
                self.say(f"  {rule} differs: {json.dumps(what, ensure_ascii=False)}")
            for rule, why in probes[peer].cannot.items():
                self.say(f"  {rule} cannot be run: {why[:200]}")

        warm([str(file) for folder in (self.city, self.store, self.clean) for file in folder.rglob("*.parquet")])
        taken: dict[str, list[Measured]] = {}
        # One Mingcha run for each set of rules that a peer ran.
        sets = {"all": tuple(rules)} | {peer: tuple(p.rules) for peer, p in probes.items() if p.rules}
        for n in range(o.rounds):
            self.say(f"round {n + 1} of {o.rounds}")

            def step(name: str, command: list[str]) -> None:
                taken.setdefault(name, []).append(self.must(self.measured(command, name.split()[0]), name, (0, 3, 5)))

            step("prepare", self.prepare_command())
            shutil.rmtree(self.work / "sorted", ignore_errors=True)
            step("copy", self.clean_command("sorted", self.work / "sorted"))
            for chosen in dict.fromkeys(sets.values()):
                step(f"run {' '.join(chosen)}", self.run_command(list(chosen), self.work / "run-round"))
                for peer in [peer for peer in probes if sets.get(peer) == chosen]:
                    step(peer, self.peer_command(peer, list(chosen), self.work / f"{peer}.parquet"))
                    rows = {line["rule"]: line.get("rows") for line in taken[peer][-1].lines if "rule" in line}
                    if rows != {rule: probes[peer].rows[rule] for rule in chosen}:
                        self.fault = True
                        self.say(f"  {PEERS[peer]}: other findings than in the round before")
            for floor in FLOORS:
                step(floor, self.peer_command(floor, [], self.work / "none"))

        runs = {name: taken[f"run {' '.join(chosen)}"] for name, chosen in sets.items()}
        text = report.record(o, self.work, rules, silent, outcomes, probes, taken, runs, PEERS, FLOORS, not self.fault)
        if not o.no_record:
            name = "+".join(pack.name for pack in self.packs)
            file = TREE / "benches/results" / report.place() / f"compare-{name}-{o.persons}.md"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            self.say(f"record: {file.relative_to(TREE)}")
        print(text)


def arguments() -> argparse.Namespace:
    """The command line."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    parser = argparse.ArgumentParser(prog="benches/compare/run.sh", description=__doc__)
    parser.add_argument("persons", nargs="?", type=int, default=1_000_000, help="persons of the city (1000000)")
    parser.add_argument("--pack", default="rules", help="folders of rules, with commas: rules, benches/pack (rules)")
    parser.add_argument("--only", default="", help="only these rules, with commas")
    parser.add_argument("--peers", default=",".join(USUAL), help=f"with commas, of: {', '.join(PEERS)}")
    parser.add_argument(
        "--materialise-views", action="store_true", help="also DuckDB and DataFusion with the views computed once into tables"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds that are measured (3)")
    parser.add_argument("--threads", type=int, default=2, help="threads and cores of everybody (2)")
    parser.add_argument("--memory", default="4GB", help="memory limit of Mingcha (4GB)")
    parser.add_argument("--peer-memory", type=float, default=memory * 0.75, help=f"GiB that a peer may take ({memory * 0.75:.0f})")
    parser.add_argument("--timeout", type=float, default=300, help="seconds that a peer may take for one rule (300)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the city (7)")
    parser.add_argument("--as-of", default="2026-06-30", help="run date (2026-06-30)")
    parser.add_argument("--work", help="folder for city, store and jobs, kept afterwards; otherwise a temporary one")
    parser.add_argument("--no-record", action="store_true", help="print only")
    return parser.parse_args()


def main() -> None:
    """The command line."""
    options = arguments()
    if options.work:
        work = Path(options.work).absolute()
        if work.exists() and any(work.iterdir()):
            sys.exit(f"{options.work} is not empty")
        work.mkdir(parents=True, exist_ok=True)
        comparison = Comparison(options, work)
        comparison.compare()
    else:
        with tempfile.TemporaryDirectory(prefix="mingcha-compare-") as folder:
            comparison = Comparison(options, Path(folder))
            comparison.compare()
    sys.exit(1 if comparison.fault else 0)


if __name__ == "__main__":
    main()
