"""From some messages of a topic: which field is what, how each column is counted, what the task is.

Only a first draft for a person to read: names say most, values decide between names. Each guess takes plain rows and
returns plain data; rendering it as YAML is init.py's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from stream_monitor.config import DAY_MS, HOUR_MS, MINUTE_MS, Task
from stream_monitor.config.known import instant

# Last part of a path, lower case, best name first.
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("request_id", "prediction_id", "event_id", "inference_id", "correlation_id", "transaction_id", "uuid",
           "guid", "trace_id", "id", "key"),
    "time": ("event_time", "timestamp", "ts", "time", "predicted_at", "prediction_time", "created_at", "datetime",
             "occurred_at", "at", "date"),
    "version": ("model_version", "version", "model_ver", "revision"),
    "features": ("features", "inputs", "input", "feature_values", "attributes", "x", "data"),
    "prediction": ("prediction", "predicted", "predicted_class", "predicted_label", "predicted_value", "pred", "y_pred",
                   "y_hat", "yhat", "decision", "output", "forecast"),
    "score": ("score", "probability", "proba", "y_score", "y_prob", "prob", "scores", "probabilities", "probas",
              "confidence", "y_pred_proba", "risk"),
    "label": ("label", "y_true", "ground_truth", "actual", "target", "truth", "outcome", "y"),
    "latency_ms": ("latency_ms", "duration_ms", "elapsed_ms", "took_ms", "response_time_ms", "inference_ms", "latency"),
}  # fmt: skip
POSITIVE: Final = ("1", "true", "yes", "y", "positive", "pos", "fraud", "default", "churn", "spam", "bad", "approved")
WINDOWS_MS: Final = (MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS, DAY_MS, 7 * DAY_MS)
ROWS_PER_WINDOW: Final = 1_000

Row = Mapping[str, Any]
Values = Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What the messages look like. `notes` say what could not be decided, by key of the model."""

    fields: Mapping[str, str | tuple[str, ...]]
    task: Task
    positive: str | int | float | bool | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    window_ms: int = 5 * MINUTE_MS
    per_second: float | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


def guess(rows: Sequence[Row], arrivals_ms: Sequence[int] = ()) -> Guess:
    """The best guess from these messages (objects); `arrivals_ms` are their Kafka timestamps, if known."""
    paths = flatten(rows)
    objects = sorted({p[: m.start()] for p in paths for m in re.finditer(r"\.", p)})
    box = _named([o for o in objects if all(isinstance(_at(r, o), Mapping) for r in rows)], "features")
    outside = {p: v for p, v in paths.items() if not box or not p.startswith(f"{box}.")}
    found = _fields(rows, outside, objects)
    inside = _inside(rows, paths, box) if box else _beside(outside, found)
    columns = {n: kind for n, v in inside.items() if (kind := column_kind(v)) and not (_is_id_name(n) and _unique(v))}
    fields: dict[str, str | tuple[str, ...]] = {**found}
    if box or columns:
        fields["features"] = box or tuple(columns)
    values = {what: paths.get(path, ()) for what, path in found.items()}
    told = bool(found.keys() & {"prediction", "score"})
    task = _task(values.get("prediction", ()), values.get("score", ()), found.get("score") in objects)
    size, rate = _window(values.get("time", ()), arrivals_ms, len(rows))
    notes = {
        "time": _on_time(found, outside),
        "latency_ms": "guessed to be in milliseconds" if found.get("latency_ms", "").endswith("latency") else "",
        "columns": _on_columns([n for n in inside if n not in columns]),
        "task": "could not be told from the messages" if told and task == "none" else "",
    }
    return Guess(
        fields={k: fields[k] for k in NAMES if k in fields},
        task=task,
        positive=_positive(rows, found) if task == "binary" else None,
        columns=columns,
        window_ms=size,
        per_second=rate,
        notes={of: note for of, note in notes.items() if note},
    )


def _fields(rows: Sequence[Row], paths: Mapping[str, Values], objects: Sequence[str]) -> dict[str, str]:
    """What each field of an event is called here, but for the features."""
    found: dict[str, str] = {}
    for what in ("id", "time", "version", "latency_ms", "label", "score", "prediction"):
        free = {p: v for p, v in paths.items() if p not in found.values() and _fits(what, v)}
        # What may not be absent (an event without it would be a dead letter) must be in every message.
        usable = {p: v for p, v in free.items() if len(v) == len(rows) or what in ("latency_ms", "label", "score")}
        path = (_class_scores(rows, objects, found) if what == "score" else "") or _named(usable, what)
        if path:
            found[what] = path
    free = _beside(paths, found)
    ids = [p for p, v in free.items() if p.lower().endswith("id") and _unique(v)]
    return {"id": ids[0], **found} if ids and "id" not in found else found


def _inside(rows: Sequence[Row], paths: Mapping[str, Values], box: str) -> dict[str, Values]:
    """The features in an object of their own, lists among them."""
    within = f"{box}."
    return {p.removeprefix(within): v for p, v in paths.items() if p.startswith(within)} | _lists(rows, box)


def _beside(paths: Mapping[str, Values], found: Mapping[str, str]) -> dict[str, Values]:
    """The features that stand beside the other fields: whatever is none of those."""
    scores = f"{found['score']}." if "score" in found else None  # one a class
    taken = found.values()
    return {
        p: v
        for p, v in paths.items()
        if p not in taken and not _local_times(v) and not (scores and p.startswith(scores))
    }


def _on_time(found: Mapping[str, str], paths: Mapping[str, Values]) -> str:
    naive = [p for p, v in paths.items() if "time" not in found and _local_times(v)]
    return f"{naive[0]} has no offset (Z or +01:00), so it cannot be used; the Kafka timestamp is" if naive else ""


def _on_columns(left_out: Sequence[str]) -> str:
    return f"left out, as they look like ids or are empty: {', '.join(left_out)}" if left_out else ""


def guess_labels(rows: Sequence[Row], id_path: str) -> Mapping[str, str] | None:
    """Where a label topic's messages have id, time and label; None if that cannot be told."""
    paths = flatten(rows)
    found: dict[str, str] = {}
    found["id"] = id_path if id_path in paths else _named({p: v for p, v in paths.items() if _fits("id", v)}, "id")
    found["time"] = _named({p: v for p, v in paths.items() if _fits("time", v)}, "time")
    rest = {p: v for p, v in paths.items() if p not in found.values()}
    found["label"] = _named(rest, "label") or next((p for p in rest if p.startswith("is_")), "")
    if not found["label"] and len(rest) == 1:
        found["label"] = next(iter(rest))
    return {k: v for k, v in found.items() if v} if found["id"] and found["label"] else None


def flatten(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """path -> its values in the rows that have it, nulls left out; objects are walked, lists are not.

    >>> flatten([{"a": {"b": 1}}, {"a": {"b": None}, "c": "x"}])
    {'a.b': [1], 'c': ['x']}
    """
    paths: dict[str, list[Any]] = {}

    def walk(prefix: str, row: Row, depth: int) -> None:
        for key, value in row.items():
            path = f"{prefix}{key}"
            if isinstance(value, Mapping) and depth < 8:
                walk(f"{path}.", value, depth + 1)
            elif not isinstance(value, Mapping | list | tuple):
                values = paths.setdefault(path, [])
                if value is not None:
                    values.append(value)

    for row in rows:
        walk("", row, 0)
    return paths


def column_kind(values: Values) -> str | None:
    """The kind of a column; None for what is empty or an identifier of each event.

    >>> column_kind([1.5, 2, 3]), column_kind(["de", "fr", "de"]), column_kind([True, False])
    ('numeric', 'categorical', 'boolean')
    >>> column_kind(["2026-01-05T10:00:00Z"]), column_kind([[0.5, 1], [2, 3]]), column_kind([["a"], ["b", "c"]])
    ('timestamp', 'embedding', 'list')
    """
    if not values:
        return None
    if all(isinstance(v, bool) for v in values):
        return "boolean"
    if all(isinstance(v, list) for v in values):
        vectors = len({len(v) for v in values}) == 1 and values[0] and all(_is_number(x) for v in values for x in v)
        return "embedding" if vectors else "list"
    if all(isinstance(v, str) and _is_time(v) for v in values):
        return "timestamp"
    if all(_is_number(v) for v in values):
        return "numeric"
    texts = [v for v in values if isinstance(v, str)]
    if len(texts) < len(values):
        return "numeric" if sum(map(_is_number, values)) > len(values) / 2 else "categorical"
    distinct = len(set(texts))
    if sum(map(len, texts)) / len(texts) > 24 and sum(" " in t for t in texts) > len(texts) / 2:
        return "text"
    return None if len(texts) >= 20 and distinct > 0.9 * len(texts) else "categorical"


def _lists(rows: Sequence[Row], box: str) -> dict[str, Values]:
    """Keys of the feature object that hold lists wherever they hold something."""
    found: dict[str, list[Any]] = {}
    for row in rows:
        for key, value in _at(row, box).items():
            if value is not None:
                found.setdefault(key, []).append(value)
    return {k: values for k, values in found.items() if all(isinstance(v, list) for v in values)}


def _named(paths: Sequence[str] | Mapping[str, Any], what: str) -> str:
    """The path whose last part is the best of the names; of equal ones the least nested. "" for none."""

    def parts(path: str) -> str:
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", path.rpartition(".")[2]).lower().replace("-", "_")

    ranked = [(NAMES[what].index(parts(p)), p.count("."), p) for p in paths if parts(p) in NAMES[what]]
    if what == "version":  # model: {name: ..., version: ...} beats a version of anything else
        ranked = [(0 if p.lower().endswith("model.version") else i + 1, n, p) for i, n, p in ranked]
    return min(ranked)[2] if ranked else ""


def _fits(what: str, values: Values) -> bool:
    if not values:
        return False
    if what == "time":
        return all(_is_time(v) for v in values)
    if what == "id":
        return all(isinstance(v, str) or (isinstance(v, int) and not isinstance(v, bool)) for v in values)
    if what == "latency_ms":
        return all(_is_number(v) for v in values)
    if what == "score":
        return all(_is_number(v) for v in values)
    return all(isinstance(v, str | int | float) for v in values)


def _class_scores(rows: Sequence[Row], objects: Sequence[str], found: Mapping[str, str]) -> str:
    """The path of an object of one probability per class."""
    path = _named([o for o in objects if o not in found.values()], "score")
    probabilities = [v for p, vs in flatten(rows).items() if path and p.startswith(f"{path}.") for v in vs]
    return path if probabilities and all(_is_number(v) and 0 <= v <= 1 for v in probabilities) else ""


def _task(predictions: Values, scores: Values, per_class: bool) -> Task:
    if per_class:
        return "multiclass"
    if not predictions:
        return "binary" if scores and all(_is_number(v) and 0 <= v <= 1 for v in scores) else "none"
    distinct = {v if isinstance(v, bool) else float(v) if _is_number(v) else v for v in predictions}
    if all(isinstance(v, bool) for v in predictions) or (distinct <= {0.0, 1.0}):
        return "binary"
    if all(_is_number(v) for v in predictions):
        whole = all(float(v).is_integer() for v in predictions)
        return "multiclass" if whole and scores and len(distinct) <= 20 else "regression"
    if all(isinstance(v, str) for v in predictions):
        return "binary" if len(distinct) == 2 else "multiclass"
    return "none"


def _positive(rows: Sequence[Row], found: Mapping[str, str]) -> str | int | float | bool:
    """Of the two predictions the one that is named so, or whose scores are higher, or the rarer."""
    if "prediction" not in found:
        return 1
    pairs = [(_at(r, found["prediction"]), _at(r, found.get("score", ""))) for r in rows]
    values = sorted({p for p, _ in pairs if p is not None}, key=str)
    for value in values:
        if _word(value) in POSITIVE:
            return True if value is True else value if isinstance(value, str) else 1
    if all(_is_number(v) for v in values):
        return 1
    means = {v: [s for p, s in pairs if p == v and _is_number(s)] for v in values}
    if values and all(means.values()):
        best: str = max(values, key=lambda v: sum(means[v]) / len(means[v]))
        return best
    rarest: str | int = min(values, key=lambda v: sum(p == v for p, _ in pairs)) if values else 1
    return rarest


def _word(value: Any) -> str:
    return str(int(value)) if _is_number(value) and float(value).is_integer() else str(value).lower()


def _at(row: Row, path: str) -> Any:
    value: Any = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _window(times: Values, arrivals_ms: Sequence[int], rows: int) -> tuple[int, float | None]:
    """The shortest usual window that holds about ROWS_PER_WINDOW events, and events per second."""
    stamps = [t for t in map(epoch_ms, times) if t is not None] or [t for t in arrivals_ms if t > 0]
    if len(stamps) < 2 or max(stamps) <= min(stamps):
        return 5 * MINUTE_MS, None
    rate = (len(stamps) - 1) / (max(stamps) - min(stamps)) * 1000
    fitting = [w for w in WINDOWS_MS if rate * w / 1000 >= ROWS_PER_WINDOW]
    return (fitting[0] if fitting else WINDOWS_MS[-1]), rate


def epoch_ms(value: Any) -> int | None:
    """The time of RFC 3339 text or of an epoch in s, ms or us; None for anything else.

    >>> epoch_ms("1970-01-01T00:00:01Z"), epoch_ms(1_700_000_000), epoch_ms(1_700_000_000_000)
    (1000, 1700000000000, 1700000000000)
    """
    if isinstance(value, str):
        at = instant(value)
        return None if at is None else int(at.timestamp() * 1000)
    if not _is_number(value) or abs(value) > 1e18:
        return None
    return int(value * 1000) if value < 1e11 else int(value) if value < 1e14 else int(value // 1000)


def _is_time(value: Any) -> bool:
    at = epoch_ms(value)
    return at is not None and 946_684_800_000 <= at < 4_102_444_800_000  # 2000 to 2100


def _local_times(values: Values) -> bool:
    return bool(values) and all(
        isinstance(v, str) and re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", v) and instant(v) is None for v in values
    )


def _is_id_name(path: str) -> bool:
    return re.search(r"(^|[._-])(id|uuid|guid|key)$|[a-z]Id$", path) is not None


def _unique(values: Values) -> bool:
    return bool(values) and _fits("id", values) and len(set(values)) > 0.98 * len(values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
