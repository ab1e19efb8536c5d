"""Consuming alone, with the tap's own consumer settings: what no tap can be faster than."""

from __future__ import annotations

import gc
import json
import resource
import sys
import time

from confluent_kafka import TopicPartition

from connectors.kafka import CLASSIC, FETCHING, FIXED
from connectors.kafka_clients import Connection
from tests.benchmarks.streams import PARTITIONS, TOPIC


def cpu_seconds() -> float:
    """User and system time of this process with all its threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def consume_only(brokers: str, n: int) -> tuple[float, float]:
    """(seconds, CPU seconds) to consume `n` events in batches and look at none."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)  # as in a tap
    consumer = Connection(brokers=brokers).consumer({**FIXED, "group.id": "ceiling"}, {**FETCHING, **CLASSIC})
    consumer.assign([TopicPartition(TOPIC, p, 0) for p in range(PARTITIONS)])
    seen = len(consumer.consume(1, 30))
    begin, cpu = time.perf_counter(), cpu_seconds()
    while seen < n:
        seen += sum(message.error() is None for message in consumer.consume(10_000, 0.1))
    taken = time.perf_counter() - begin, cpu_seconds() - cpu
    consumer.close()
    return taken


if __name__ == "__main__":
    print(json.dumps(consume_only(sys.argv[1], int(sys.argv[2]))))
