"""A seeded stream with everything that goes wrong in one: late, duplicate, malformed and future-dated events.

Every message is a pure function of the seed. Events of `fraud` carry features alone; predictions of `churn` get their
labels in a topic of their own, some twice, some contradicting, a tenth never.
"""

from __future__ import annotations

import csv
import functools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

START = 1_760_000_040.0  # a multiple of a minute, in the past
EVENTS = int(os.environ.get("EXACT_EVENTS", "200000"))  # of `fraud`
SPAN = 3_600.0 if EVENTS <= 200_000 else 7_200.0  # seconds of event time
COUNTRIES = ("de", "fr", "nl", "us")
PARTITIONS = 3
BAD_SHARE = 0.01
LATE_SHARE = 0.004  # beyond what is allowed
REOPEN_SHARE = 0.004  # behind the watermark, but allowed
DUPLICATE_SHARE = 0.005
TOO_LARGE = 10_000_000  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """A record to publish."""

    topic: str
    partition: int
    key: bytes
    value: bytes | None


def _features(r: np.random.Generator) -> dict[str, Any]:
    amount: Any = round(float(np.exp(r.normal(3, 1))), 2)
    if r.random() < 0.01:
        amount = [None, "12.5", float("nan"), True, [1], 1e300, -1e300][int(r.integers(7))]
    country: Any = COUNTRIES[min(int(r.exponential(1)), 3)]
    if r.random() < 0.01:
        country = [None, "zz", 7, {"a": 1}, "", "d\u00e9"][int(r.integers(6))]
    features = {"amount": amount, "age": int(r.integers(18, 90)), "ratio": float(r.normal()), "country": country}
    if r.random() < 0.01:
        del features[("amount", "age", "ratio", "country")[int(r.integers(4))]]
    return features


def _bad(r: np.random.Generator, event: dict[str, Any]) -> bytes | None:
    """The event, spoilt in one of the ways that must become a dead letter."""
    how = int(r.integers(10))
    if how == 0:
        return None
    if how == 1:
        return json.dumps(event).encode()[:-5]
    if how == 2:
        return b"\xff\xfe" + json.dumps(event).encode()
    if how == 3:
        return b"[1, 2]"
    if how == 4:
        del event["id"]
    elif how == 5:
        event["features"] = 3
    elif how == 6:
        event["ts"] = "yesterday"
    elif how == 7:
        event["ts"] = 4_102_444_800  # the year 2100
    elif how == 8:
        event["prediction"] = None
    else:
        return b"   "
    return json.dumps(event).encode()


def fraud(seed: int, n: int) -> Iterator[Raw]:
    """`n` events of the model `fraud`, and a last one in each partition that closes what came before."""
    r = np.random.default_rng([seed, 1])
    times = START + np.sort(r.random(n)) * SPAN + r.normal(0, 1, n)
    kept: list[bytes] = []
    for i in range(n):
        at = float(times[i])
        u = r.random()
        if u < LATE_SHARE:
            at -= 1_000 + 2_000 * r.random()
        elif u < LATE_SHARE + REOPEN_SHARE:
            at -= 60 + 300 * r.random()
        event = {
            "id": f"f{i}",
            "ts": round(at, 3),
            "version": "2" if at > START + SPAN / 2 else "1",
            "features": _features(r),
            "prediction": int(r.random() < 0.3),
            "score": round(float(r.random()), 6),
        }
        value: bytes | None = json.dumps(event).encode()
        if r.random() < BAD_SHARE:
            value = _bad(r, event)
        elif kept and r.random() < DUPLICATE_SHARE:
            value = kept[int(r.integers(len(kept)))]
        if i == n // 2:
            value = json.dumps({**event, "note": "x" * TOO_LARGE}).encode()
        elif i == n // 3:
            value = json.dumps({**event, "ts": 0}).encode()  # 1970: valid, and late
        elif value is not None and i % 50 == 0:
            kept = [*kept[-20:], value]
        yield Raw(topic="fraud.predictions", partition=int(r.integers(PARTITIONS)), key=f"f{i}".encode(), value=value)
    yield from _closing("fraud.predictions", PARTITIONS, "f")


@functools.lru_cache(maxsize=1)
def whole(seed: int, n: int) -> tuple[Raw, ...]:
    """All of `fraud`, made once: two tests publish it, and a replay reads it."""
    return tuple(fraud(seed, n))


def churn(seed: int, n: int) -> tuple[list[Raw], list[Raw]]:
    """Predictions and labels of the model `churn`, each in two partitions, by id."""
    r = np.random.default_rng([seed, 2])
    predictions: list[Raw] = []
    labels: list[tuple[float, Raw]] = []
    for i in range(n):
        at = START + SPAN * i / n
        key = f"c{i}"
        where = i % 2
        event = {"id": key, "ts": round(at, 3), "version": "1", "x": round(float(r.normal()), 4)}
        event |= {"prediction": int(r.random() < 0.5), "score": round(float(r.random()), 4)}
        predictions.append(Raw(topic="churn.predictions", partition=where, key=key.encode(), value=_dump(event)))
        if r.random() < 0.1:
            continue
        truth = int(r.random() < 0.5)
        told = at + float(r.exponential(60))
        repeats = 1 + int(r.random() < 0.05) + int(r.random() < 0.05)
        for k in range(repeats):
            label = {"id": key, "ts": round(told + k, 3), "label": truth if k < 2 else 1 - truth}
            raw = Raw(topic="churn.labels", partition=where, key=key.encode(), value=_dump(label))
            labels.append((told + k, raw))
    labels.sort(key=lambda x: x[0])
    return (
        predictions + list(_closing("churn.predictions", 2, "c")),
        [raw for _, raw in labels] + list(_closing("churn.labels", 2, "l")),
    )


def _dump(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode()


def _closing(topic: str, partitions: int, prefix: str) -> Iterator[Raw]:
    """One event an hour later in every partition, so that every window before it closes by watermark."""
    for p in range(partitions):
        event = {"id": f"{prefix}-end-{p}", "ts": START + SPAN + 3_600, "version": "2", "label": 0}
        event |= {"features": {}, "x": 0.0, "prediction": 0, "score": 0.5}
        yield Raw(topic=topic, partition=p, key=b"end", value=_dump(event))


def write_reference(file: Path, seed: int, n: int = 4_000) -> None:
    """A flat CSV to learn the layout of `fraud` from."""
    r = np.random.default_rng([seed, 3])
    with file.open("w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["ts", "amount", "age", "ratio", "country", "prediction", "score"])
        for i in range(n):
            amount, age, ratio = np.exp(r.normal(3, 1)), r.integers(18, 90), r.normal()
            country = COUNTRIES[min(int(r.exponential(1)), 3)]
            row = [START - 86_400 + i, amount, age, ratio, country, int(r.random() < 0.3), r.random()]
            writer.writerow(row)
