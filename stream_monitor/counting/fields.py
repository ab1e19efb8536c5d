"""A model's messages as rows -> the batch of those that are events, and dead letters for the others.

A format turns bytes into `Rows` (values by path); `assemble` makes the batch of them, the same way for every format. An
event that cannot be read becomes a dead letter with the first reason that applies, in the order of the contract.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from detectors.layouts import CategoricalLayout, Layout
from stream_monitor.config import Model
from stream_monitor.counting.batches import MISSING, Batch, Column, DeadLetter, Integers, LabelBatch, Mode
from stream_monitor.counting.classes import class_scores
from stream_monitor.counting.columns import column, encode_words, json_text, name_of, safe
from stream_monitor.counting.derivations import Values, derive, sizes
from stream_monitor.counting.plans import LabelPlan, Mask, Plan
from stream_monitor.counting.refusals import NEEDED, Refusals
from stream_monitor.counting.scores import ClassScores


class Rows(Protocol):
    """Messages whose syntax is right, by path. A path that is not there, or null, gives None."""

    def __len__(self) -> int: ...

    def values(self, path: str) -> Sequence[Any]:
        """The values at `path`, dots walked."""

    def feature_state(self) -> tuple[Mask, Mask] | None:
        """Where the feature object is missing, and where it is no object; None when there is no trouble."""

    def feature_names(self) -> Sequence[str]:
        """The keys of the feature object that any message has."""

    def feature_values(self, name: str) -> Sequence[Any]:
        """The values of a feature: at a key of the feature object, or at a path."""

    def feature(self, name: str, mode: Mode) -> Column:
        """A feature as a column."""

    def take(self, keep: Mask) -> Rows:
        """Some of the rows."""


def assemble(
    rows: Rows,
    plan: Plan,
    layout: Layout | None,
    at_ms: int,
    *,
    index: Sequence[int],
    timestamps_ms: Integers,
    offsets: Integers,
    places: Integers | None = None,
) -> tuple[Batch, list[DeadLetter]]:
    """The batch of the rows that are events, and dead letters for the others, unsorted.

    `index`, `timestamps_ms` and `offsets` are those of the rows' records, `places` those of the rows in them.
    """
    model, fields = plan.model, plan.model.fields
    paths = {
        role: path
        for role in ("id", "time", "version", "prediction", "score", "label", "latency_ms")
        if (path := getattr(fields, role))
    }
    values = {role: rows.values(path) for role, path in paths.items()}
    refused = Refusals(len(rows))
    for role in NEEDED:
        if role in values:
            refused.missing(paths[role], values[role])
    state = rows.feature_state() if isinstance(plan.features, str) and plan.features else None
    if state is not None:
        refused.add(state[0], "missing_field", lambda _: str(plan.features))
        refused.add(state[1], "wrong_type", lambda _: f"{plan.features}: not an object")
    for role in ("id", "version", "prediction", "score"):
        if role in values:
            refused.wrong(role, model.task, paths[role], values[role])
    times_ms = refused.times(values.get("time"), paths.get("time", "timestamp"), timestamps_ms, at_ms, plan)
    keep = refused.keep
    if not keep.all():
        rows = rows.take(keep)
        values = {role: [v for v, k in zip(of, keep.tolist(), strict=True) if k] for role, of in values.items()}
        times_ms, offsets = times_ms[keep], offsets[keep]
        places = None if places is None else places[keep]
    batch = _batch(rows, plan, layout, values, times_ms, offsets, places)
    return batch, refused.letters(index)


def _batch(
    rows: Rows,
    plan: Plan,
    layout: Layout | None,
    values: dict[str, Sequence[Any]],
    times_ms: Integers,
    offsets: Integers,
    places: Integers | None,
) -> Batch:
    """The batch of rows that are all events."""
    model, n = plan.model, len(rows)
    modes = plan.modes(layout)
    if layout is None and isinstance(plan.features, str) and plan.features:
        made = set(plan.derived.values()) - modes.keys()  # not counted themselves
        modes = {name: modes.get(name, "raw") for name in rows.feature_names() if name not in made}
    features = tuple(sizes(rows.feature(name, mode), model.columns.get(name)) for name, mode in modes.items())
    decoded = {c.name: c for c, mode in zip(features, modes.values(), strict=True) if mode == "categorical"}
    segments = {}
    for dimension in model.segments:
        same = decoded.get(dimension)
        if same is None or (same.kinds == MISSING).any():
            same = column(dimension, _segment(rows, plan, dimension), "categorical")
        segments[dimension] = same
    prediction = column("prediction", values["prediction"], "raw") if "prediction" in values else None
    score, said = None, None
    if "score" in values:
        score, said = score_columns(model, values["score"])
    versions: tuple[str, ...] = ("",)
    codes = np.zeros(n, np.int32)
    if "version" in values:
        codes, versions = encode_words(_texts(values["version"]), name_of)
    ids = None
    if plan.keeps_ids and "id" in values:
        ids = _texts(values["id"])
        if not "".join(ids).isascii():
            ids = [safe(v) for v in ids]
    return Batch(
        times_ms=times_ms,
        offsets=offsets,
        versions=versions,
        version_codes=codes,
        ids=ids,
        features=(*features, *derived_columns(rows.feature_values, plan, layout, times_ms)),
        predictions=_predictions(layout, prediction, score, values),
        prediction=prediction,
        score=score,
        class_scores=said,
        label=column("label", values["label"], "raw") if "label" in values else None,
        latency=column("latency_ms", values["latency_ms"], "numeric") if "latency_ms" in values else None,
        segments=segments,
        places=places,
    )


def derived_columns(
    values: Callable[[str], Values], plan: Plan, layout: Layout | None, times_ms: Integers
) -> Iterator[Column]:
    """The columns that are made of others, as far as the layout has them; `values` gives those of a feature."""
    for name, wanted in plan.wanted(layout).items():
        yield from derive(name, plan.model.columns[name], values(name), times_ms, wanted)


def _texts(values: Sequence[Any]) -> list[str]:
    """Texts as they are, numbers as JSON writes them."""
    return list(values) if set(map(type, values)) <= {str} else [json_text(v) for v in values]


def _segment(rows: Rows, plan: Plan, dimension: str) -> Sequence[Any]:
    """The values of a segment: a key of the feature object where an event has it, else what is at its path."""
    values = rows.values(dimension)
    if isinstance(plan.features, tuple) or not plan.features:
        return values
    return [v if of is None else of for of, v in zip(rows.feature_values(dimension), values, strict=True)]


def score_columns(model: Model, values: Sequence[Any]) -> tuple[Column, ClassScores | None]:
    """The score column (multiclass: the greatest probability), and what each multiclass event said of the classes."""
    return class_scores(values) if model.task == "multiclass" else (column("score", values, "raw"), None)


def _predictions(
    layout: Layout | None, prediction: Column | None, score: Column | None, values: dict[str, Sequence[Any]]
) -> tuple[Column, ...]:
    """Prediction and score as they are counted."""
    columns = []
    for of in (prediction, score):
        if of is None or (layout is not None and of.name not in layout.predictions):
            continue
        if layout is not None and isinstance(layout.predictions[of.name], CategoricalLayout):
            of = column(of.name, values[of.name], "categorical")
        columns.append(of)
    return tuple(columns)


def assemble_labels(
    rows: Rows,
    plan: LabelPlan,
    at_ms: int,
    *,
    index: Sequence[int],
    timestamps_ms: Integers,
    offsets: Integers,
    places: Integers | None = None,
) -> tuple[LabelBatch, list[DeadLetter]]:
    """The label batch of the rows that are label events, and dead letters for the others, unsorted."""
    assert plan.model.labels is not None
    fields = plan.model.labels.fields
    values = {role: rows.values(getattr(fields, role)) for role in ("id", "label")}
    times = rows.values(fields.time) if fields.time else None
    refused = Refusals(len(rows))
    for role, of in (("id", values["id"]), ("time", times), ("label", values["label"])):
        if of is not None:
            refused.missing(getattr(fields, role), of)
    refused.wrong("id", "", fields.id, values["id"])
    refused.wrong("prediction", plan.model.task, fields.label, values["label"])
    times_ms = refused.times(times, fields.time or "timestamp", timestamps_ms, at_ms, plan)
    keep = np.flatnonzero(refused.keep)
    ids, labels = values["id"], values["label"]
    batch = LabelBatch(
        times_ms=times_ms[keep],
        offsets=offsets[keep],
        ids=[safe(json_text(ids[i])) for i in keep.tolist()],
        labels=[_label(labels[i]) for i in keep.tolist()],
        places=None if places is None else places[keep],
    )
    return batch, refused.letters(index)


def _label(value: Any) -> float | str:
    if isinstance(value, str):
        return safe(value)
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
