"""The events of the benchmarks, and the topic they are in."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

TOPIC: Final = "bench.predictions"
PARTITIONS: Final = 4
NUMERIC: Final = 16
CATEGORIES: Final = {"country": 10, "segment": 3, "plan": 4, "device": 3}
EVENT_RATE: Final = 20_000.0  # events a second of event time


def events(n: int, seed: int, start: float) -> Iterator[bytes]:
    """`n` events of about 460 bytes: 16 numeric and 4 categorical features."""
    r = np.random.default_rng(seed)
    for first in range(0, n, 10_000):
        size = min(10_000, n - first)
        numbers = r.normal(size=(size, NUMERIC)).round(8).tolist()
        words = {c: r.integers(k, size=size).tolist() for c, k in CATEGORIES.items()}
        scores = r.random(size).round(8).tolist()
        for i in range(size):
            features: dict[str, Any] = {f"f{j}": x for j, x in enumerate(numbers[i])}
            features |= {c: f"{c[:2]}{words[c][i]}" for c in CATEGORIES}
            event = {
                "prediction_id": f"p-{first + i:011d}",
                "ts": round(start + (first + i) / EVENT_RATE, 3),
                "model": "bench",
                "version": "1",
                "features": features,
                "prediction": int(scores[i] > 0.5),
                "score": scores[i],
            }
            yield json.dumps(event, separators=(",", ":")).encode()


def publish(brokers: str, n: int) -> float:
    """Make the topic and fill it; the mean size of an event in bytes."""
    admin = AdminClient({"bootstrap.servers": brokers})
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(20)
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 50, "compression.type": "lz4"})
    size = 0
    for i, value in enumerate(events(n, 1, time.time() - n / EVENT_RATE)):
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
