"""`make profile`: where the CPU time of a tap at full speed goes, by thread and stage.

    python -m tests.benchmarks.profile [--events N] [--sampler perf|py-spy]

JSON lines on stdout, of the time from when the tap is under load. Linux's perf, where it is there, tells kinds of code
and does not slow the tap down. py-spy (installed into `.bench/` when first needed) tells stages: the system counts each
thread's CPU time, and samples of the stacks of those that run Python tell how theirs divides. Under it the tap is
slower; only the shares mean something.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from deploy.kafka.node import Node, fetch
from tests.benchmarks.native import CLIENT, Samples
from tests.benchmarks.peers import Peer, environment
from tests.benchmarks.streams import publish
from tests.benchmarks.taps import end_to_end
from tests.servers import redis_ready, redis_server

SPY: Final = Peer(("py-spy==0.4.1",), 0)
STAGES: Final = (  # part of a frame -> the stage that it is the inside of
    ("read (kafka_reading.py", "read"),
    ("decode (", "decode"),
    ("count_block (", "count"),
    ("bundles (", "bundle"),
    ("packed (", "bundle"),
    ("commit (kafka.py", "commit"),
    ("settle (kafka.py", "publish"),
    ("send (kafka.py", "publish"),
)
STARTED: Final = 0.1  # CPU seconds of one of the client's threads that say that the tap is under load


def stage(stack: str) -> str:
    """What a thread is at, by its frames.

    >>> stage("thread (7): count_0;_count (tap.py:1);decode (__init__.py:9);walk (a.py:1)"), stage("run (a.py:1)")
    ('decode', 'other')
    """
    return next((name for part, name in STAGES if part in stack), "other")


def divided(samples: Iterable[str], seconds: Mapping[int, float]) -> dict[str, float]:
    """CPU seconds by stage: each thread's time, divided as its samples are.

    >>> divided(["thread (7): tap;read (kafka_reading.py:5) 3", "thread (7): tap;x (y.py:1) 1"], {7: 2.0})
    {'read': 1.5, 'other': 0.5}
    """
    found: dict[int, Counter[str]] = {}
    for line in samples:
        stack, _, count = line.rpartition(" ")
        thread = int(stack.partition("(")[2].partition(")")[0])
        found.setdefault(thread, Counter())[stage(stack)] += int(count)
    out: dict[str, float] = {}
    for thread, of in found.items():
        for name, times in of.items():
            out[name] = out.get(name, 0.0) + seconds.get(thread, 0.0) * times / of.total()
    return out


def threads(pid: int) -> dict[int, tuple[str, float]]:
    """(name, CPU seconds) of each thread of a process."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            used = int((task / "schedstat").read_text().split()[0]) / 1e9
            found[int(task.name)] = ((task / "comm").read_text().strip(), used)
        except OSError:
            continue  # it ended
    return found


def under_load(found: Mapping[int, tuple[str, float]]) -> bool:
    """Whether the threads of a tap say that it reads."""
    return any(seconds > STARTED and name.startswith("rdk:") for name, seconds in found.values())


class ByPerf:
    """Has perf sample the tap from when it is under load."""

    def __init__(self, perf: str, folder: Path) -> None:
        self._perf, self._folder = perf, folder
        self._samples: Samples | None = None

    def __call__(self, pid: int) -> None:
        if self._samples is None and under_load(threads(pid)):
            self._samples = Samples(self._perf, pid, self._folder / "samples")

    def found(self) -> dict[str, float]:
        """The share of each kind of code."""
        assert self._samples is not None, "the tap was never under load"
        return self._samples.shares()


class BySpy:
    """Looks at the tap's threads, and has py-spy sample them from when it is under load."""

    def __init__(self, spy: Path, folder: Path) -> None:
        self._spy, self._samples = spy, folder / "samples"
        self._begin: dict[int, tuple[str, float]] = {}
        self._end: dict[int, tuple[str, float]] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, pid: int) -> None:
        self._end = threads(pid)
        if self._process is None and under_load(self._end):
            self._begin = self._end
            command = [str(self._spy), "record", "--pid", str(pid), "--rate", "200", "--threads", "--format", "raw"]
            self._process = subprocess.Popen([*command, "--output", str(self._samples)], stdout=subprocess.DEVNULL)
            time.sleep(0.1)

    def found(self) -> dict[str, float]:
        """The share of each stage."""
        assert self._process is not None, "the tap was never under load"
        self._process.wait(60)
        taken = {t: used - self._begin.get(t, ("", 0.0))[1] for t, (_, used) in self._end.items()}
        out = divided(self._samples.read_text().splitlines(), taken)
        out[CLIENT] = sum(s for t, s in taken.items() if self._end[t][0].startswith("rdk:"))
        return {of: seconds / sum(out.values()) for of, seconds in out.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.profile", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    perf = shutil.which("perf")
    parser.add_argument("--sampler", choices=("perf", "py-spy"), default="perf" if perf else "py-spy")
    arguments = parser.parse_args()
    n, sampler = arguments.events, arguments.sampler
    if sampler == "perf" and not perf:
        parser.error("--sampler perf: there is no perf here; it comes with the package linux-perf, or take py-spy")
    fetch()
    with tempfile.TemporaryDirectory(prefix="profile-") as name:
        folder = Path(name)
        node = Node(folder / "kafka", heap="1g", short_lived=False)
        node.start()
        redis = redis_server(folder)
        redis.start(redis_ready(redis))
        watch: ByPerf | BySpy
        if perf and sampler == "perf":
            watch = ByPerf(perf, folder)
        else:
            watch = BySpy(environment("py-spy", SPY).with_name("py-spy"), folder)
        try:
            publish(node.bootstrap, n)
            url = f"redis://127.0.0.1:{redis.port}/0"
            pace = end_to_end(node.bootstrap, url, folder / "tap", n, "profile", watch=watch)
            found = watch.found()
        finally:
            redis.stop()
            node.stop()
    print(f"{pace.per_core:.0f} events/s per core under {sampler}", file=sys.stderr)
    for of, share in sorted(found.items(), key=lambda item: -item[1]):
        line = {"figure": f"profile: {of}", "value": round(share, 3), "unit": "of the tap's CPU time"}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
