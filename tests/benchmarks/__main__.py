"""`make bench`: events/s of the tap end to end beside consuming alone, in one run, on a real Kafka.

Prints JSON lines on stdout. Per core = events / max(seconds, cpu_seconds), cpu_seconds being user + system of the
measured process with all its threads.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.kafka.node import Node, fetch, free_port
from tests.servers import redis_ready, redis_server

TOPIC = "bench.predictions"
PARTITIONS = 4
CATEGORIES = {"country": 8, "segment": 3, "plan": 4, "device": 3}
CONFIG = """\
kafka: {{brokers: "{brokers}", prefix: bench., group: bench}}
store: {redis}
models:
  bench:
    topic: bench.predictions
    task: binary
    fields: {{id: prediction_id, time: ts, version: version, features: features, prediction: prediction, score: score}}
    reference: {{file: reference.jsonl}}
    pane: 10s
    window: {{size: 1m}}
"""


def events(n: int, seed: int, start: float, rate: float = 20_000.0) -> Iterator[bytes]:
    """`n` events of about 460 bytes: 16 numeric and 4 categorical features, `rate` a second of event time."""
    r = np.random.default_rng(seed)
    for first in range(0, n, 10_000):
        size = min(10_000, n - first)
        numbers = r.normal(size=(size, 16)).round(6).tolist()
        words = {c: r.integers(k, size=size).tolist() for c, k in CATEGORIES.items()}
        scores = r.random(size).round(6).tolist()
        for i in range(size):
            features: dict[str, Any] = {f"f{j}": x for j, x in enumerate(numbers[i])}
            features |= {c: f"{c[:2]}{words[c][i]}" for c in CATEGORIES}
            event = {
                "prediction_id": f"p-{first + i:09d}",
                "ts": round(start + (first + i) / rate, 3),
                "model": "bench",
                "version": "1",
                "features": features,
                "prediction": int(scores[i] > 0.5),
                "score": scores[i],
            }
            yield json.dumps(event, separators=(",", ":")).encode()


def publish(brokers: str, n: int) -> float:
    """Fill the topic; the mean size of an event in bytes."""
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 50, "compression.type": "lz4"})
    size = 0
    for i, value in enumerate(events(n, 1, time.time() - n / 20_000)):
        while True:
            try:
                producer.produce(TOPIC, value, partition=i // 1_000 % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.1)
        size += len(value)
        if i % 1_000 == 0:
            producer.poll(0)
    producer.flush()
    return size / n


def consume_only(brokers: str, n: int) -> tuple[float, float]:
    """(seconds, CPU seconds) to consume `n` events in batches and look at none; run in a process of its own."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "ceiling", "enable.auto.commit": False})
    consumer.assign([TopicPartition(TOPIC, p, 0) for p in range(PARTITIONS)])
    seen = len(consumer.consume(1, 30))
    begin, cpu = time.perf_counter(), _cpu()
    while seen < n:
        seen += len(consumer.consume(10_000, 1))
    taken = time.perf_counter() - begin, _cpu() - cpu
    consumer.close()
    return taken


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def end_to_end(brokers: str, redis: str, folder: Path, n: int) -> tuple[float, float]:
    """(seconds, CPU seconds) of a tap from its first counted event to the last one's bundle acknowledged."""
    config = folder / "monitor.yaml"
    config.write_text(CONFIG.format(brokers=brokers, redis=redis))
    with (folder / "reference.jsonl").open("wb") as f:
        f.writelines(e + b"\n" for e in events(5_000, 2, time.time() - 86_400))
    port = free_port()
    command = [sys.executable, "-m", "stream_monitor", "tap", str(config), "--http", str(port)]
    with (folder / "tap.log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, cwd=folder)
    watch = psutil.Process(process.pid)
    reader = Consumer({"bootstrap.servers": brokers, "group.id": "bench", "enable.auto.commit": False})
    partitions = [TopicPartition(TOPIC, p) for p in range(PARTITIONS)]

    def committed() -> int:
        return sum(max(p.offset, 0) for p in reader.committed(partitions, timeout=10))

    try:
        begin = cpu = 0.0
        first = 0
        while True:
            if process.poll() is not None:
                raise RuntimeError(f"the tap ended:\n{(folder / 'tap.log').read_text()[-3000:]}")
            now, used = time.perf_counter(), watch.cpu_times()
            done = committed()
            if not begin and done > 0:
                begin, cpu, first = now, used.user + used.system, done
            if done >= n:
                share = n / max(n - first, 1)  # what was done before the first look counts at the same pace
                return (now - begin) * share, (used.user + used.system - cpu) * share
            time.sleep(0.02)
    finally:
        reader.close()
        process.terminate()
        process.wait(20)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--consume-only", metavar="BROKERS", help=argparse.SUPPRESS)  # the measured child process
    arguments = parser.parse_args()
    n = arguments.events
    if arguments.consume_only:
        print(json.dumps(consume_only(arguments.consume_only, n)))
        return
    fetch()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        node = Node(folder / "kafka", heap="1g")
        node.start()
        redis = redis_server(folder)
        redis.start(redis_ready(redis))
        try:
            admin = AdminClient({"bootstrap.servers": node.bootstrap})
            admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(20)
            size = publish(node.bootstrap, n)
            child = [sys.executable, "-m", "tests.benchmarks", "--events", str(n), "--consume-only", node.bootstrap]
            ceiling = json.loads(subprocess.run(child, check=True, capture_output=True).stdout)
            ours = end_to_end(node.bootstrap, f"redis://127.0.0.1:{redis.port}/0", folder, n)
        finally:
            redis.stop()
            node.stop()
    setup = {"event_bytes": round(size), "numeric": 16, "categorical": 4, "partitions": PARTITIONS, "format": "json"}
    pace = {k: n / max(v) for k, v in (("consume_only", ceiling), ("end_to_end", ours))}
    for figure, (seconds, cpu) in (("consume_only", ceiling), ("end_to_end", ours)):
        line: dict[str, Any] = {"figure": figure, "value": round(pace[figure]), "unit": "events/s", "events": n}
        line |= {"seconds": round(seconds, 3), "cpu_seconds": round(cpu, 3)}
        line["ratios"] = (
            {} if figure == "consume_only" else {"consume_only": round(pace[figure] / pace["consume_only"], 3)}
        )
        print(json.dumps(line | {"setup": setup}), flush=True)


if __name__ == "__main__":
    main()
