"""What the counts must be, found the slow way: one thread, one event at a time, nothing shared with the service.

It follows the published contract alone: which events are dead letters and why, which are late, what a column's counts
are. It takes the bin edges and categories from the window it is compared with, since those are the service's choice.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

OUT_OF_ORDERNESS = 5.0
ALLOWED_LATENESS = 600.0
MAX_FUTURE = 3_600.0
WINDOW = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record as it stands in Kafka."""

    topic: str
    partition: int
    offset: int
    value: bytes | None


@dataclass(slots=True, kw_only=True)
class WindowTruth:
    """The events of one window of one key."""

    rows: int = 0
    labels: int = 0
    features: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))


Key = tuple[str, str, float]  # version, segment, start
_ABSENT = object()


def _time(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            return None
        return parsed.timestamp() if parsed.tzinfo else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value if value < 1e11 else value / 1e3 if value < 1e14 else value / 1e6


TOO_LARGE = 1 << 20  # an event of more bytes is not read


def reason(value: bytes | None, now: float, required: Iterable[str], features: str | None) -> tuple[str | None, Any]:
    """(reason of the dead letter, None) or (None, the event)."""
    if value is None:
        return "null_value", None
    if len(value) > TOO_LARGE:
        return "too_large", None
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return "not_utf8", None
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        return "not_json", None
    if not isinstance(event, dict):
        return "not_an_object", None
    if any(event.get(name) is None for name in required):
        return "missing_field", None
    if features is not None and not isinstance(event[features], dict):
        return "wrong_type", None
    at = _time(event["ts"])
    if at is None:
        return "bad_time", None
    if at > now + MAX_FUTURE:
        return "future_time", None
    return None, event


@dataclass(slots=True, kw_only=True)
class Truth:
    """Everything the oracle found."""

    windows: dict[Key, WindowTruth] = field(default_factory=lambda: defaultdict(WindowTruth))
    dead: dict[tuple[str, int, int], str] = field(default_factory=dict)  # (topic, partition, offset) -> reason
    late: int = 0
    events: Counter[str] = field(default_factory=Counter)  # by version


class _Partitions:
    """Whether an event is late, by the greatest earlier event time of its partition."""

    def __init__(self) -> None:
        self._greatest: dict[tuple[str, int], float] = {}

    def late(self, record: Record, at: float) -> bool:
        key = record.topic, record.partition
        before = self._greatest.get(key, -math.inf)
        self._greatest[key] = max(before, at)
        return at < before - OUT_OF_ORDERNESS - ALLOWED_LATENESS


def _start(at: float) -> float:
    return math.floor(round(at * 1000) / (WINDOW * 1000)) * WINDOW


def fraud_truth(records: Iterable[Record], now: float) -> Truth:
    """Windows of the model `fraud`; records in offset order within each partition."""
    truth, partitions = Truth(), _Partitions()
    for record in records:
        why, event = reason(record.value, now, ("id", "ts", "version", "features", "prediction"), "features")
        if why is not None:
            truth.dead[record.topic, record.partition, record.offset] = why
            continue
        at = _time(event["ts"])
        assert at is not None
        truth.events[event["version"]] += 1
        if partitions.late(record, at):
            truth.late += 1
            continue
        country = event["features"].get("country", _ABSENT)
        segments = ["all"]
        if country is None or country is _ABSENT:
            segments.append("country=null")
        elif isinstance(country, dict | list):
            segments.append("country=other")
        else:
            segments.append(f"country={country if isinstance(country, str) else json.dumps(country)}")
        for segment in segments:
            window = truth.windows[event["version"], segment, _start(at)]
            window.rows += 1
            for name in ("amount", "age", "ratio", "country"):
                window.features[name].append(event["features"].get(name))
    return truth


def churn_truth(predictions: Iterable[Record], labels: Iterable[Record]) -> tuple[dict[float, int], dict[float, int]]:
    """(rows, labels) by window start of the model `churn`, none of whose events is late or bad."""
    rows: Counter[float] = Counter()
    known = set()
    for record in predictions:
        assert record.value is not None
        event = json.loads(record.value)
        known.add(event["id"])
        rows[_start(event["ts"])] += 1
    told: Counter[float] = Counter()
    seen = set()
    for record in labels:
        assert record.value is not None
        event = json.loads(record.value)
        if event["id"] in known and event["id"] not in seen:
            told[_start(event["ts"])] += 1
        seen.add(event["id"])
    return dict(rows), dict(told)


def column_truth(values: Iterable[Any], column: Mapping[str, Any]) -> dict[str, Any]:
    """What the integer counts of `column` (as served) must be for `values`."""
    if column["type"] == "numeric":
        edges = column["edges"]
        counts, missing, invalid = [0] * (len(edges) + 1), 0, 0
        for v in values:
            if v is None:
                missing += 1
            elif isinstance(v, bool) or not isinstance(v, int | float) or not math.isfinite(v):
                invalid += 1
            else:
                counts[bisect_right(edges, v)] += 1
        return {"counts": counts, "missing": missing, "invalid": invalid, "other": 0}
    known = {c: i for i, c in enumerate(column["categories"])}
    counts, missing, invalid, other = [0] * len(known), 0, 0, 0
    for v in values:
        if v is None:
            missing += 1
        elif isinstance(v, dict | list):
            invalid += 1
        else:
            text = v if isinstance(v, str) else json.dumps(v)
            if text in known:
                counts[known[text]] += 1
            else:
                other += 1
    return {"counts": counts, "missing": missing, "invalid": invalid, "other": other}


def differences(served: Iterable[Mapping[str, Any]], truth: Truth, until: float) -> list[str]:
    """Where the served windows that end by `until` are not the truth; empty when all is exact."""
    wrong, seen = [], set()
    for window in served:
        start = datetime.fromisoformat(window["start"]).timestamp()
        if datetime.fromisoformat(window["end"]).timestamp() > until:
            continue
        key = window["version"], window["segment"], start
        expected = truth.windows.get(key, WindowTruth())
        seen.add(key)
        if window["rows"] != expected.rows:
            wrong.append(f"{key}: rows {window['rows']}, should be {expected.rows}")
            continue
        for name, column in window["columns"].items():
            should = column_truth(expected.features.get(name, []), column)
            got = {k: column[k] for k in should}
            if got != should:
                wrong.append(f"{key} {name}: {got}, should be {should}")
    for key, expected in truth.windows.items():
        if key not in seen and expected.rows and key[2] + WINDOW <= until:
            wrong.append(f"{key}: missing, should have {expected.rows} rows")
    return wrong
