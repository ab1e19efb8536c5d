"""Where in a message its parts are, and which messages are no events: a model's `fields`, compiled once.

A format turns bytes into `Rows` (values by path); `assemble` makes the batch of them, the same way for every format. An
event that cannot be read becomes a dead letter with the first reason that applies, in the order of the contract.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from detectors.layouts import CategoricalLayout, Layout
from stream_monitor.batches import MISSING, Batch, Column, DeadLetter, Integers, LabelBatch, Mode
from stream_monitor.columns import column, encode_words, json_text, name_of, safe
from stream_monitor.config import Config, Fields, Format, Model
from stream_monitor.derivations import derive
from stream_monitor.interfaces import Schemas
from stream_monitor.kinds import DERIVED, MODES, derived_from
from stream_monitor.monitors import counted_for
from stream_monitor.times import parse_times

Path = tuple[str, ...]
Mask = NDArray[np.bool_]

FUTURE_FREE: Final = 1 << 62  # an `at_ms` for readers without a clock: nothing is in the future


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What decoding a model's events needs to know.

    `flat`: in a flat file a key that holds dots is taken before its path is walked, and where there is no feature
    object every column but those `outside` is a feature. `cache` is for formats to keep what they derive from the plan.
    """

    name: str
    model: Model
    format: Format
    max_event: int  # bytes
    max_future_ms: int
    flat: bool = False
    outside: frozenset[str] = frozenset()
    schemas: Schemas | None = None  # for formats whose events name a schema
    hashes_ids: bool = False  # how often ids are repeated is to be counted
    cache: dict[Any, Any] = field(default_factory=dict)

    @property
    def keeps_ids(self) -> bool:
        """Whether the ids of events are needed: labels are joined by them, or repeated ones are counted."""
        return self.model.labels is not None or self.hashes_ids

    @property
    def features(self) -> str | tuple[str, ...]:
        """The feature object's path, or the paths of single features: without either, the columns that are declared."""
        if self.model.features is not None:  # they come in a stream of their own
            return ()
        return self.model.fields.features or tuple(self.model.columns)

    def modes(self, layout: Layout | None) -> dict[str, Mode]:
        """How each feature must be decoded; under the raw layout only what the configuration knows of it."""
        declared = self.model.columns
        if self.model.features is not None:
            return {}
        if layout is None:
            features = self.features
            names = declared if isinstance(features, str) else features
            return {name: MODES[kind] for name in names if (kind := declared.get(name, "raw")) in MODES}
        return {
            name: "categorical"
            if isinstance(of, CategoricalLayout)
            else "text"
            if declared.get(name) == "text"
            else "numeric"
            for name, of in layout.features.items()
            if name not in self.derived
        }

    @cached_property
    def derived(self) -> Mapping[str, str]:
        """Columns that are made of others -> what they are made of."""
        return derived_from(self.model.columns) if self.model.features is None else {}

    def wanted(self, layout: Layout | None) -> dict[str, list[str]]:
        """Features that others are made of -> which suffixes of those are counted."""
        found = {}
        for name, kind in self.model.columns.items():
            suffixes = [s for s in DERIVED.get(kind, ()) if layout is None or f"{name}.{s}" in layout.features]
            if suffixes:
                found[name] = suffixes
        return found

    def read(self, layout: Layout) -> set[str]:
        """The features that must be read for the columns of a layout."""
        return {self.derived.get(name, name) for name in layout.features} if self.model.features is None else set()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelPlan:
    """What decoding a model's label events needs to know."""

    name: str
    model: Model
    format: Format
    max_event: int  # bytes
    max_future_ms: int
    flat: bool = False
    schemas: Schemas | None = None
    cache: dict[Any, Any] = field(default_factory=dict)


def format_of(format: str | Format) -> Format:
    """What the configuration says of a format, a name alone or a mapping, in one form."""
    return Format(name=format) if isinstance(format, str) else format


def event_plan(name: str, config: Config, *, flat: bool = False, schemas: Schemas | None = None) -> Plan:
    """The plan of the events of model `name`."""
    model = config.models[name]
    return Plan(
        name=name,
        model=model,
        format=format_of(model.format),
        max_event=config.kafka.max_event,
        max_future_ms=config.time.max_future,
        flat=flat,
        outside=_outside(model),
        schemas=schemas,
        hashes_ids="ids" in counted_for(model),
    )


def feature_plan(name: str, config: Config, *, flat: bool = False, schemas: Schemas | None = None) -> Plan:
    """The plan of the feature stream of model `name`: its messages, as events that have features only."""
    model = config.models[name]
    assert model.features is not None
    of = model.features.fields
    fields = Fields(id=of.id, time=of.time, version=of.version, features=of.features)
    apart = replace(model, format=model.features.format, task="none", fields=fields, features=None, labels=None)
    plan = event_plan(name, replace(config, models={name: apart}), flat=flat, schemas=schemas)
    return replace(plan, outside=plan.outside | _outside(model))


def _outside(model: Model) -> frozenset[str]:
    """Names of columns that are other parts of an event than features."""
    fields, labels = model.fields, model.labels
    names = {fields.id, fields.time, fields.version, fields.prediction, fields.score, fields.label, fields.latency_ms}
    if labels is not None:
        names |= {labels.fields.id, labels.fields.time, labels.fields.label}
    # Of model.version a flat file may have `model`, an object, or `version` alone.
    return frozenset(names | {name.split(".")[0] for name in names} | {name.split(".")[-1] for name in names})


def label_plan(name: str, config: Config, *, flat: bool = False, schemas: Schemas | None = None) -> LabelPlan:
    """The plan of the label events of model `name`, which has a labels topic."""
    model = config.models[name]
    assert model.labels is not None
    return LabelPlan(
        name=name,
        model=model,
        format=format_of(model.labels.format),
        max_event=config.kafka.max_event,
        max_future_ms=config.time.max_future,
        flat=flat,
        schemas=schemas,
    )


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


class _Refusals:
    """Which rows are refused, and why: the first reason stays."""

    def __init__(self, rows: int) -> None:
        self.reasons: dict[int, tuple[str, str]] = {}
        self.keep = np.ones(rows, np.bool_)

    def add(self, mask: Sequence[bool] | Mask, reason: str, detail: Callable[[int], str]) -> None:
        for row in np.flatnonzero(np.asarray(mask)).tolist():
            self.reasons.setdefault(row, (reason, detail(row)))
            self.keep[row] = False

    def letters(self, index: Sequence[int]) -> list[DeadLetter]:
        return [DeadLetter(index[row], *why) for row, why in self.reasons.items()]


def _shown(value: object) -> str:
    text = safe(repr(value))
    return text if len(text) <= 80 else text[:77] + "..."


def _kinds_ok(values: Sequence[Any], allowed: frozenset[type]) -> list[bool] | None:
    """Which values are of no allowed type; None when all are. None itself is judged elsewhere."""
    if set(map(type, values)) <= allowed:
        return None
    return [v is not None and type(v) not in allowed for v in values]


_ID: Final = frozenset({str, int, float})
_SCALAR: Final = frozenset({str, int, float, bool})
_NUMERIC: Final = frozenset({int, float})
_SCORES: Final = frozenset({int, float, list, dict})


def _impossible(role: str, task: str, values: Sequence[Any]) -> list[bool] | None:
    """Which values cannot be what they stand for."""
    if role == "id":
        return _kinds_ok(values, _ID)
    if role == "score" and task == "multiclass":
        bad = _kinds_ok(values, _SCORES)
        nested = any(type(v) in (list, dict) for v in values)
        return [bad_scores(v) for v in values] if nested or bad else None
    if role == "score" or (role == "prediction" and task == "regression"):
        return _kinds_ok(values, _NUMERIC)
    return _kinds_ok(values, _SCALAR)


def bad_scores(value: Any) -> bool:
    """Whether a multiclass score is neither a number nor a list or an object of numbers."""
    if type(value) is dict:
        value = list(value.values())
    if type(value) is list:
        return not set(map(type, value)) <= _NUMERIC
    return value is not None and type(value) not in _NUMERIC


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
    refused = _Refusals(len(rows))
    for role in ("id", "time", "version", "prediction"):
        if role in values and None in values[role]:
            refused.add([v is None for v in values[role]], "missing_field", _field_detail(paths[role]))
    state = rows.feature_state() if isinstance(plan.features, str) and plan.features else None
    if state is not None:
        refused.add(state[0], "missing_field", _field_detail(str(plan.features)))
        refused.add(state[1], "wrong_type", lambda _: f"{plan.features}: not an object")
    for role in ("id", "version", "prediction", "score"):
        if role in values and (bad := _impossible(role, model.task, values[role])) is not None:
            refused.add(bad, "wrong_type", _value_detail(paths[role], values[role]))
    times_ms = _times(values.get("time"), paths.get("time", "timestamp"), timestamps_ms, at_ms, plan, refused)
    keep = refused.keep
    if not keep.all():
        rows = rows.take(keep)
        values = {role: [v for v, k in zip(of, keep.tolist(), strict=True) if k] for role, of in values.items()}
        times_ms, offsets = times_ms[keep], offsets[keep]
        places = None if places is None else places[keep]
    batch = _batch(rows, plan, layout, values, times_ms, offsets, places)
    return batch, refused.letters(index)


def _field_detail(path: str) -> Callable[[int], str]:
    return lambda _: path


def _value_detail(path: str, values: Sequence[Any]) -> Callable[[int], str]:
    return lambda row: f"{path}: {_shown(values[row])}"


def _times(
    values: Sequence[Any] | None,
    path: str,
    timestamps_ms: Integers,
    at_ms: int,
    plan: Plan | LabelPlan,
    refused: _Refusals,
) -> Integers:
    """Event times; those that are no time or too far ahead are refused."""
    if values is None:
        times_ms, good = timestamps_ms, timestamps_ms >= 0
        refused.add(~good, "bad_time", lambda _: "the record has no timestamp")
    else:
        times_ms, good = parse_times(values)
        if not good.all():
            refused.add(~good, "bad_time", _value_detail(path, values))
    future = times_ms > at_ms + plan.max_future_ms
    if future.any():
        refused.add(future, "future_time", lambda row: f"{path}: {int(times_ms[row]) - at_ms} ms ahead")
    return times_ms


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
    features = tuple(rows.feature(name, mode) for name, mode in modes.items())
    decoded = {c.name: c for c, mode in zip(features, modes.values(), strict=True) if mode == "categorical"}
    segments = {}
    for dimension in model.segments:
        same = decoded.get(dimension)
        if same is None or (same.kinds == MISSING).any():
            same = column(dimension, _segment(rows, plan, dimension), "categorical")
        segments[dimension] = same
    prediction = column("prediction", values["prediction"], "raw") if "prediction" in values else None
    score, class_scores = None, None
    if "score" in values:
        score, class_scores = score_columns(model, values["score"])
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
        class_scores=class_scores,
        label=column("label", values["label"], "raw") if "label" in values else None,
        latency=column("latency_ms", values["latency_ms"], "numeric") if "latency_ms" in values else None,
        segments=segments,
        places=places,
    )


def derived_columns(
    values: Callable[[str], Sequence[Any]], plan: Plan, layout: Layout | None, times_ms: Integers
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


def score_columns(model: Model, values: Sequence[Any]) -> tuple[Column, list[Any] | None]:
    """The score column (multiclass: the greatest probability), and what each multiclass event said of the classes."""
    if model.task != "multiclass":
        return column("score", values, "raw"), None
    best: list[Any] = []
    for value in values:
        of = list(value.values()) if type(value) is dict else value
        best.append(max(of, default=None) if type(of) is list else of)
    return column("score", best, "raw"), [{safe(k): p for k, p in v.items()} if type(v) is dict else v for v in values]


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
    refused = _Refusals(len(rows))
    for role, of in (("id", values["id"]), ("time", times), ("label", values["label"])):
        if of is not None and None in of:
            refused.add([v is None for v in of], "missing_field", _field_detail(getattr(fields, role)))
    for role in ("id", "label"):
        task = plan.model.task if role == "label" else ""
        bad = _impossible("prediction" if role == "label" else role, task, values[role])
        if bad is not None:
            refused.add(bad, "wrong_type", _value_detail(getattr(fields, role), values[role]))
    times_ms = _times(times, fields.time or "timestamp", timestamps_ms, at_ms, plan, refused)
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
