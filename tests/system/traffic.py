"""Seeded traffic of one model, minute by minute of event time: as it was learnt, or gone wrong."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka import Producer

START = 1_760_000_040  # a whole minute, in the past
A_MINUTE = 240  # events, on average
PARTITIONS = 2
REFERENCE_MINUTES = 60
BAD = (b"{", b'{"id": "no time"}')  # never in a window


def events(minute: int, *, wrong: bool = False) -> list[dict[str, Any]]:
    """The events of one minute as flat rows, by time. `wrong`: `amount` and the error rate have shifted."""
    rng = np.random.default_rng([7, minute + 1_000_000])
    found = []
    for i, at in enumerate(sorted(rng.uniform(0, 60, rng.poisson(A_MINUTE)))):
        score = float(rng.beta(0.4, 0.4))
        event = {
            "id": f"e{minute}-{i}",
            "ts": round(START + 60 * minute + at, 3),
            "model.version": "1",
            "amount": round(float(rng.normal(180 if wrong else 100, 15)), 3),
            "age": int(rng.integers(18, 90)),
            "country": "de" if rng.random() < 0.6 else "fr",
            "prediction": int(score > 0.5),
            "score": round(score, 6),
            "label": int(rng.random() < (1 - score if wrong else score)),
        }
        found.append(event)
    return found


def write_reference(file: Path) -> None:
    """An hour of sound traffic, the day before."""
    rows = [e for minute in range(-1_440, -1_440 + REFERENCE_MINUTES) for e in events(minute)]
    with file.open("w", newline="") as f:
        writer = csv.DictWriter(f, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def instant(minute: int) -> str:
    """When a minute begins, in RFC 3339."""
    return datetime.fromtimestamp(START + 60 * minute, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Traffic:
    """Publishes. `sent`: by partition, in the order of offsets, the time of each event; None for what none can read."""

    def __init__(self, brokers: str, topic: str) -> None:
        self.sent: list[list[float | None]] = [[] for _ in range(PARTITIONS)]
        self._topic = topic
        self._producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})

    @property
    def readable(self) -> int:
        """Events that can be read."""
        return sum(at is not None for of in self.sent for at in of)

    def play(self, minute: int, *, wrong: bool = False) -> None:
        """One minute of event time, at once."""
        for i, event in enumerate(events(minute, wrong=wrong)):
            features = {name: event.pop(name) for name in ("amount", "age", "country")}
            model = {"version": event.pop("model.version")}
            body = {**event, "model": model, "features": features}
            self._put(json.dumps(body).encode(), i % PARTITIONS, event["ts"])
        self._flush()

    def spoil(self) -> None:
        """Events that nobody can read."""
        for value in BAD:
            self._put(value, 0, None)
        self._flush()

    def _put(self, value: bytes, partition: int, at: float | None) -> None:
        self._producer.produce(self._topic, value, partition=partition)
        self.sent[partition].append(at)

    def _flush(self) -> None:
        assert self._producer.flush(120) == 0
