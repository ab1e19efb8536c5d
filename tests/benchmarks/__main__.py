"""`make bench`: events/s of the tap end to end beside consuming alone, in one run, on a real Kafka.

Prints JSON lines on stdout, each with ratios to what was measured in the same run. Per core = events / max(seconds,
cpu_seconds), cpu_seconds being user + system of the measured process with all its threads. Each figure is the median of
some repetitions, made by turns.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from deploy.kafka.node import Node, fetch
from tests.benchmarks.peers import PEERS, measured
from tests.benchmarks.streams import CATEGORIES, NUMERIC, PARTITIONS, publish
from tests.benchmarks.taps import Pace, end_to_end
from tests.servers import redis_ready, redis_server

Line = dict[str, Any]


def child(module: str, *arguments: str) -> Any:
    """What a module of this folder prints, run in a process of its own."""
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def middle(paces: list[Pace]) -> Pace:
    """The one of median events a second and core."""
    return sorted(paces, key=lambda p: p.per_core)[len(paces) // 2]


def line(figure: str, value: float, unit: str, ratios: dict[str, float], setup: Line, of: Pace | None = None) -> None:
    """One figure on stdout."""
    out: Line = {"figure": figure, "value": round(value, 4 if value < 10 else None), "unit": unit}
    if of is not None:
        out |= {"events": of.events, "seconds": round(of.seconds, 3), "cpu_seconds": round(of.cpu_seconds, 3)}
    print(json.dumps(out | {"ratios": {k: round(v, 3) for k, v in ratios.items()}, "setup": setup}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", nargs="*", choices=sorted(PEERS), default=sorted(PEERS), help="none: --peers")
    arguments = parser.parse_args()
    n = arguments.events
    fetch()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        node = Node(folder / "kafka", heap="1g", short_lived=False)
        node.start()
        redis = redis_server(folder)
        redis.start(redis_ready(redis))
        url = f"redis://127.0.0.1:{redis.port}/0"
        try:
            size = publish(node.bootstrap, n)
            ceilings: dict[str, list[Pace]] = {"messages": [], "arrays": []}
            taps: dict[str, list[Pace]] = {"end_to_end": [], "end_to_end_segments": []}
            for i in range(arguments.repeats):
                for how, found in ceilings.items():
                    found.append(Pace(n, *child("ceiling", node.bootstrap, str(n), how)))
                for j, (figure, segments) in enumerate((("end_to_end", ""), ("end_to_end_segments", "country"))):
                    label = f"bench{i}{j}"
                    taps[figure].append(end_to_end(node.bootstrap, url, folder / label, n, label, segments))
            others = {peer: measured(peer, node.bootstrap, folder) for peer in arguments.peers}
        finally:
            redis.stop()
            node.stop()
        alone = child("stages", str(folder))
    setup: Line = {"event_bytes": round(size), "numeric": NUMERIC, "categorical": len(CATEGORIES)}
    setup |= {"partitions": PARTITIONS, "format": "json", "repeats": arguments.repeats}
    report(
        {how: middle(of) for how, of in ceilings.items()},
        {figure: middle(paces) for figure, paces in taps.items()},
        alone,
        others,
        setup,
    )
    rss = max(p.rss_bytes for paces in taps.values() for p in paces)
    line("tap_memory", rss / 2**20, "MiB", {}, setup | {"backlog_events": n})
    one, *shared = child("sharing")
    for of in (one, *shared):
        setup = {k: of[k] for k in ("models", "events")}
        line("one_topic", of["per_second"], "events/s", {"one_model": of["per_second"] / one["per_second"]}, setup)
    many = child("memory")
    line("many_models_memory", many["after"] / 2**20, "MiB", {}, {k: many[k] for k in ("models", "events")})


def report(
    ceilings: dict[str, Pace],
    taps: dict[str, Pace],
    alone: dict[str, float],
    others: dict[str, Pace | None],
    setup: Line,
) -> None:
    """The figures in events a second, and the stages' shares."""
    ours, ceiling, read = taps["end_to_end"], ceilings["messages"], ceilings["arrays"]
    line("consume_only", ceiling.per_core, "events/s", {}, setup, ceiling)
    line("read_only", read.per_core, "events/s", {"consume_only": read.per_core / ceiling.per_core}, setup, read)
    found = {peer: of for peer, of in others.items() if of is not None}
    against = {
        "consume_only": ceiling.per_core,
        "read_only": read.per_core,
        **{peer: of.per_core for peer, of in found.items()},
    }
    for figure, of in taps.items():
        line(figure, of.per_core, "events/s", {k: of.per_core / v for k, v in against.items()}, setup, of)
    for figure, seconds in alone.items():
        line(figure, 1 / seconds, "events/s", {"consume_only": 1 / seconds / ceiling.per_core}, setup)
    an_event = ours.cpu_seconds / ours.events
    shares = {"read": read.cpu_seconds / read.events, "decode": alone["decode"], "count": alone["counting"]}
    for stage, seconds in shares.items():
        line(f"share_{stage}", seconds / an_event, "of the tap's CPU time", {}, setup)
    line("share_rest", 1 - sum(shares.values()) / an_event, "of the tap's CPU time", {}, setup)
    for peer, of in found.items():
        ratios = {"consume_only": of.per_core / ceiling.per_core, "end_to_end": of.per_core / ours.per_core}
        line(peer, of.per_core, "events/s", ratios, setup, of)


if __name__ == "__main__":
    main()
