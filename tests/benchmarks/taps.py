"""A tap as users run it, over the topic of the benchmark: how fast, at what cost, in how much memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import psutil
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from deploy.kafka.node import free_port
from stream_monitor.entries import Bundle, unpack
from tests.benchmarks.streams import PARTITIONS, TOPIC, events

# What a fresh broker answers while it looks for who keeps a group's offsets.
SOUGHT: Final = frozenset(
    (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS)
)
CONFIG: Final = """\
kafka: {{brokers: "{brokers}", prefix: {name}., group: {name}, partitions: 4}}
store: {redis}
models:
  bench:
    topic: bench.predictions
    task: binary
    fields: {{id: prediction_id, time: ts, version: version, features: features, prediction: prediction, score: score}}
    reference: {{file: reference.jsonl}}
    segments: [{segments}]
    pane: 10s
    window: {{size: 1m}}
"""


@dataclass(frozen=True, slots=True)
class Pace:
    """What a tap did between two moments."""

    events: int
    seconds: float
    cpu_seconds: float
    rss_bytes: int = 0  # the greatest, where it was looked at

    @property
    def per_core(self) -> float:
        """Events a second and core."""
        return self.events / max(self.seconds, self.cpu_seconds)


def end_to_end(
    brokers: str,
    redis: str,
    folder: Path,
    n: int,
    name: str,
    segments: str = "",
    watch: Callable[[int], None] | None = None,
) -> Pace:
    """A tap from the last first bundle of a source partition to the last one but the partitions' last, by their stamps.

    What stands in the first bundles was read and decoded before, and the last ones hold what was too little for a
    round and waited for the clock; neither counts. `watch` is called with the tap's process again and again.
    """
    folder.mkdir()
    config = folder / "monitor.yaml"
    config.write_text(CONFIG.format(brokers=brokers, redis=redis, name=name, segments=segments))
    with (folder / "reference.jsonl").open("wb") as f:
        f.writelines(e + b"\n" for e in events(5_000, 2, time.time() - 86_400))
    command = [sys.executable, "-m", "stream_monitor", "tap", str(config), "--http", str(free_port())]
    with (folder / "tap.log").open("wb") as log:
        code = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}  # what is measured is what lies here
        process = subprocess.Popen(command, stderr=log, cwd=folder, env={**os.environ, **code})
    tap, samples, rss = psutil.Process(process.pid), [], 0
    reader = Consumer({"bootstrap.servers": brokers, "group.id": name, "enable.auto.commit": False})
    partitions = [TopicPartition(TOPIC, p) for p in range(PARTITIONS)]
    done, looked = 0, 0.0
    try:
        while done < n:
            if process.poll() is not None:
                raise RuntimeError(f"the tap ended:\n{(folder / 'tap.log').read_text()[-3000:]}")
            used = tap.cpu_times()
            samples.append((time.time(), used.user + used.system))
            rss = max(rss, tap.memory_info().rss)
            if watch is not None:
                watch(process.pid)
            if time.time() - looked > 0.25:
                done, looked = _committed(reader, partitions), time.time()
            time.sleep(0.02)
    finally:
        reader.close()
        process.terminate()
        process.wait(20)
    first, last, counted = _between(brokers, f"{name}.panes")
    at, cpu = np.array(samples).T
    begin, end = np.interp([first, last], at, cpu)
    return Pace(counted, last - first, float(end - begin), rss)


def _committed(reader: Consumer, partitions: list[TopicPartition]) -> int:
    """Events that the tap is done with; 0 while a fresh broker still looks for who keeps the group's offsets."""
    try:
        return sum(max(p.offset, 0) for p in reader.committed(partitions, timeout=10))
    except KafkaException as error:
        if error.args[0].code() not in SOUGHT:
            raise
        return 0


def _between(brokers: str, topic: str) -> tuple[float, float, int]:
    """When the last first bundle of a source was written, when the last one that is no source's last, what lay between.

    Bundles without events are none here.
    """
    reader = Consumer({"bootstrap.servers": brokers, "group.id": "between", "enable.auto.commit": False})
    count = len(reader.list_topics(topic, 10).topics[topic].partitions)
    bundles: dict[tuple[int, int], tuple[float, int]] = {}  # (source partition, n) -> when it was whole, events
    for p in range(count):
        place = TopicPartition(topic, p, 0)
        high = reader.get_watermark_offsets(place, 10)[1]
        reader.assign([place])
        seen = 0
        while seen < high:
            message = reader.poll(10)
            assert message is not None
            assert message.error() is None
            seen = message.offset() + 1
            entry = unpack(message.value() or b"")
            if isinstance(entry, Bundle) and entry.to > entry.from_:
                key, when = (entry.source.partition, entry.n), message.timestamp()[1] / 1000
                bundles[key] = (max(when, bundles.get(key, (0.0, 0))[0]), entry.to - entry.from_)
    reader.close()
    ends: dict[int, list[int]] = {}  # source partition -> the numbers of its first and of its last bundle
    for p, number in sorted(bundles):
        ends.setdefault(p, [number, number])[1] = number
    first = max(bundles[p, least][0] for p, (least, _) in ends.items())
    last = max((when for (p, number), (when, _) in bundles.items() if number != ends[p][1]), default=first)
    if last <= first:
        raise RuntimeError("too few events: no block lies between the partitions' first ones and their last ones")
    return first, last, sum(size for when, size in bundles.values() if first < when <= last)
