"""Compares the findings of a peer with those of a Mingcha run: rule, subject, amount, identity, period and grade, with
repeats. Prints one line of JSON: rule -> what differs. Numbers of persons are never printed, only pseudonyms.

    agree.py RUN PEER.parquet RULE,RULE..
    agree.py RUN                               the outcome of each rule instead
"""

import hashlib
import json
import sys
from collections import Counter
from decimal import Decimal

import pyarrow.parquet as pq

THEIRS = ["rule_id", "subject", "amount", "identity", "period_from", "period_to", "__grade"]
OURS = ["rule_id", "subject_id", "amount", "identity", "period_from", "period_to", "grade"]
SHOWN = 5

Finding = tuple[str, str | None, Decimal | None, str | None, str | None, str | None, str | None]


def findings(file: str, columns: list[str]) -> Counter[Finding]:
    """The findings of a file, counted."""
    rows = zip(*(pq.read_table(file, columns=columns).column(c).to_pylist() for c in columns))
    return Counter(
        (r[0], r[1], None if r[2] is None else Decimal(r[2]), r[3], r[4] and str(r[4])[:10], r[5] and str(r[5])[:10], r[6])
        for r in rows
    )


def shown(finding: Finding) -> str:
    """A finding under a pseudonym."""
    pseudonym = hashlib.blake2s(str(finding[1]).encode()).hexdigest()[:8]
    return " ".join([pseudonym, *(str(v) for v in finding[2:])])


def main() -> None:
    """The command line."""
    run = sys.argv[1]
    if len(sys.argv) == 2:
        told = pq.read_table(f"{run}/rules.parquet", columns=["rule_id", "outcome", "findings", "seconds"]).to_pylist()
        print(json.dumps({r.pop("rule_id"): r for r in told}))
        return
    peer, rules = sys.argv[2:]
    ours, theirs = findings(f"{run}/findings.parquet", OURS), findings(peer, THEIRS)
    out = {}
    for rule in rules.split(","):
        mine = Counter({k: n for k, n in ours.items() if k[0] == rule})
        other = Counter({k: n for k, n in theirs.items() if k[0] == rule})
        fewer, more = mine - other, other - mine
        if fewer or more:
            out[rule] = {
                "mingcha": mine.total(),
                "peer": other.total(),
                "only mingcha": [shown(k) for k in sorted(fewer, key=str)[:SHOWN]],
                "only peer": [shown(k) for k in sorted(more, key=str)[:SHOWN]],
            }
    print(json.dumps(out, ensure_ascii=False))


if __name__ == "__main__":
    main()
