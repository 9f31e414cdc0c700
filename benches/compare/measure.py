"""Runs one process and measures it: wall and CPU seconds, peak memory of that process alone. Kept free of heavy
imports, because a child's peak memory starts with what its parent had."""

import json
import os
import resource
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Measured:
    """What one process took."""

    wall: float
    cpu: float
    rss: int
    code: int
    lines: list[dict[str, Any]] = field(default_factory=list)
    tail: str = ""


def run(
    command: list[str],
    threads: int,
    log: str,
    env: dict[str, str] | None = None,
    seconds_per_step: float | None = None,
    memory: int = 0,
) -> Measured:
    """Runs `command` on `threads` cores. Lines of JSON on its standard output are collected; where the child says
    that it is ready, what it took until then (interpreter, imports) is taken off. A step that lasts too long ends it; `memory` is the most
    that it may allocate, in bytes."""
    cores = sorted(os.sched_getaffinity(0))[:threads]

    def before() -> None:
        os.sched_setaffinity(0, cores)
        if memory:
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        # Where memory runs out, the child goes first.
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("800")

    started = time.time()
    shown = [part.replace("{now}", repr(started)) for part in command]
    with open(log, "w", encoding="utf-8") as errors:
        child = subprocess.Popen(
            shown, stdout=subprocess.PIPE, stderr=errors, preexec_fn=before, text=True, env=os.environ | (env or {})
        )
    lines: list[dict[str, Any]] = []
    last = [time.monotonic()]
    late = threading.Event()
    ended = threading.Event()

    def watch(limit: float) -> None:
        while not ended.wait(0.5):
            if time.monotonic() - last[0] > limit:
                late.set()
                os.kill(child.pid, signal.SIGKILL)
                return

    if seconds_per_step:
        threading.Thread(target=watch, args=(seconds_per_step,), daemon=True).start()
    assert child.stdout is not None
    for line in child.stdout:
        last[0] = time.monotonic()
        if line.startswith("{"):
            lines.append(json.loads(line))
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.time() - started
    ended.set()
    child.returncode = os.waitstatus_to_exitcode(status)
    ready = next((line for line in lines if line.get("ready")), {"cpu": 0.0, "wall": 0.0})
    with open(log, encoding="utf-8", errors="replace") as errors:
        tail = errors.read()[-2000:]
    return Measured(
        wall=wall - ready["wall"],
        cpu=usage.ru_utime + usage.ru_stime - ready["cpu"],
        rss=usage.ru_maxrss * 1024,
        code=-signal.SIGALRM if late.is_set() else child.returncode,
        lines=lines,
        tail=tail,
    )


def warm(paths: list[str]) -> None:
    """Reads files once, so that they lie in memory."""
    for path in paths:
        with open(path, "rb") as file:
            while file.read(1 << 22):
                pass
