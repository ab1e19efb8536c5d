"""Consuming alone, with the tap's own consumer settings: as a client gives messages, and as the tap reads them."""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from collections.abc import Callable

from confluent_kafka import TopicPartition

from connectors.kafka import CLASSIC, FETCHING, FIXED
from connectors.kafka_clients import Connection
from connectors.kafka_reading import reading
from tests.benchmarks.streams import PARTITIONS, TOPIC


def cpu_seconds() -> float:
    """User and system time of this process with all its threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def consume_only(brokers: str, n: int, how: str) -> tuple[float, float]:
    """(seconds, CPU seconds) to consume `n` events and look at none.

    `how`: "messages", confluent-kafka's `consume` in batches, what no consumer of messages can be faster than; or
    "arrays", as the tap reads.
    """
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)  # as in a tap
    consumer = Connection(brokers=brokers).consumer({**FIXED, "group.id": "ceiling"}, {**FETCHING, **CLASSIC})
    direct = reading(consumer) if how == "arrays" else None
    if direct is not None:
        direct.lead([(TOPIC, p) for p in range(PARTITIONS)])
    consumer.assign([TopicPartition(TOPIC, p, 0) for p in range(PARTITIONS)])

    def messages(seconds: float) -> int:
        return sum(message.error() is None for message in consumer.consume(10_000, seconds))

    def arrays(seconds: float) -> int:
        assert direct is not None
        return sum(map(len, direct.read(10_000, seconds).records.values()))

    read: Callable[[float], int] = arrays if direct is not None else messages
    seen = 0
    while not seen:
        seen = read(0.1)
    first, begin, cpu = seen, time.perf_counter(), cpu_seconds()
    while seen < n:
        seen += read(0.1)
    taken = (time.perf_counter() - begin) * n / (n - first), (cpu_seconds() - cpu) * n / (n - first)
    if direct is not None:
        direct.close()
    consumer.close()
    return taken


if __name__ == "__main__":
    print(json.dumps(consume_only(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
