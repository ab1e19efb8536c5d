"""What "normal" was learnt from: pane counts kept as a series, by segment.

A reference file holds events of normal times in the form of the model's fields, as far as it has them: it may lack id,
time, prediction, score and label. Without a time its rows, in their order, are cut into panes of equal numbers of rows.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from detectors import learning
from detectors.counts import Counts, merge
from detectors.layouts import CategoricalLayout, ColumnLayout, Layout, NumericLayout, Residual
from stream_monitor.config import Config, Model, Select
from stream_monitor.config.kinds import counted_as, derived_from, needs_time
from stream_monitor.config.monitors import counted_for
from stream_monitor.counting.arrivals import Arrivals, add_arrivals
from stream_monitor.counting.batches import NUMBER, Batch, Column, DeadLetter
from stream_monitor.counting.fields import assemble
from stream_monitor.counting.panes import PANE_ROWS, choose_pane, grouping, of_one_stream, raw_pane_ms
from stream_monitor.counting.plans import FUTURE_FREE, Plan, event_plan, feature_plan
from stream_monitor.counting.tallies import tally
from stream_monitor.errors import ConfigError, Mistake
from stream_monitor.formats.files import Flat, Piece, everything
from stream_monitor.formats.selections import selected

TRAILING: Final = "trailing "  # how the source of a reference that trails begins
PSEUDO_PANES: Final = 400  # panes of a reference that has no times, if it has rows enough


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Pane counts of normal times. Its id is the hash of its packed bytes."""

    model: str
    version: str  # "": the model's, for every version without one of its own
    layout: str  # layout id
    pane_ms: int
    rows: int
    series: Mapping[str, tuple[tuple[int, Counts], ...]]  # segment -> (pane start_ms, counts), in time order
    source: str  # provenance: file name and hash, or the span it was promoted from
    ordered_by: str = "time"  # "rows": it had no times, and its panes are equal numbers of rows
    skipped: int = 0  # rows of the file that could not be read
    holes: tuple[tuple[int, int], ...] = ()  # [from, to) that was left out, as not normal

    @property
    def lineage(self) -> str:
        """The same for references that a trailing one was before and after it was found anew; "": it stands alone."""
        return f"{TRAILING}{self.layout}" if self.source.startswith(TRAILING) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a model starts with; None, None when there is no reference file."""

    layout: Layout | None
    reference: Reference | None


def watched(model: Model, feature: str) -> bool:
    """Whether a key of the feature object is counted: all are, unless `columns` says which."""
    return not model.columns or isinstance(model.feature_paths, tuple) or feature in counted_as(model.columns)


def prepare(name: str, model: Model, base_dir: Path, layout: Layout | None = None) -> Prepared:
    """Layout and reference from `model.reference.file`, relative to `base_dir`; ConfigError when it cannot be used.

    With a `layout` nothing is learnt: the file is counted as that says. Features that come in a stream of their own are
    read from `features_file`, or from the same file.
    """
    if not model.reference.file:
        return Prepared(layout=None, reference=None)
    config, path = Config(models={name: model}), base_dir / model.reference.file
    parts = [_Part.of(path, event_plan(name, config, flat=True), "events", model.select)]
    if model.features is not None:
        apart = base_dir / (model.reference.features_file or model.reference.file)
        plan = feature_plan(name, config, flat=True)
        parts.append(_Part.of(apart, plan, "features", model.features.select))
    timed = all(part.plan.model.fields.time for part in parts)
    events, features = parts[0], parts[-1]
    batch = events.batch(None)
    if layout is None:
        others = features.batch(None) if features is not events else batch
        named = {
            c.name: _learn(c, features.rows, features.plan)
            for c in others.features
            if watched(model, c.name) and (timed or not needs_time(c.name, model.columns))
        }
        layout = Layout(
            pane_ms=choose_pane(model, batch.times_ms) if timed else raw_pane_ms(model),
            features=_in_order(model, named),
            predictions=_predictions(model, batch),
            residual=residual_of(model),
        )
    counted = [one for part in parts for one in part.counts(model, layout, timed=timed)]
    series: dict[str, dict[int, list[Counts]]] = {}
    for segment, start, counts in counted:
        series.setdefault(segment, {}).setdefault(start, []).append(counts)
    paths = list(dict.fromkeys(part.path for part in parts))
    reference = Reference(
        model=name,
        version="",
        layout=layout.id,
        pane_ms=layout.pane_ms,
        rows=len(batch),
        series={s: tuple((t, merge(panes[t])) for t in sorted(panes)) for s, panes in sorted(series.items())},
        source=", ".join(f"{p.name} sha256:{hashlib.sha256(p.read_bytes()).hexdigest()}" for p in paths),
        ordered_by="time" if timed else "rows",
        skipped=sum(len(part.dead) for part in parts),
    )
    return Prepared(layout=layout, reference=reference)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A file as one of a model's streams: with what it has of the stream's fields."""

    role: str  # "events" or "features"
    path: Path
    piece: Piece[Flat]
    plan: Plan
    rows: Any
    dead: list[DeadLetter]

    @classmethod
    def of(cls, path: Path, plan: Plan, role: str, select: Select | None) -> _Part:
        """Read it; ConfigError when most of its rows cannot be."""
        piece = selected(everything(path, plan), select, plan.name)[0]
        plan = replace(plan, model=_as_far_as_there(plan.model, piece))
        rows = piece.rows.planned(plan)
        batch, dead = _events(rows, piece, plan, None)
        dead += piece.dead
        if not len(batch) or len(dead) > len(batch):
            raise _unusable(plan.name, path, len(batch), dead)
        if not batch.features and not batch.predictions:
            raise _error(plan.name, path, f"has no column of the model's fields; it has: {_columns(rows)}")
        return cls(role=role, path=path, piece=piece, plan=plan, rows=rows, dead=dead)

    def batch(self, layout: Layout | None) -> Batch:
        """Its events, decoded as the layout asks."""
        return _events(self.rows, self.piece, self.plan, layout)[0]

    def counts(self, model: Model, layout: Layout, *, timed: bool) -> list[tuple[str, int, Counts]]:
        """(segment, pane start, counts) of its events; without times in panes of equal numbers of rows."""
        batch, apart = self.batch(layout), self.role == "features"
        n, pane_ms = len(batch), layout.pane_ms
        if timed:
            starts_ms = batch.times_ms // pane_ms * pane_ms
        else:
            starts_ms = np.arange(n) // max(PANE_ROWS, -(-n // PSEUDO_PANES)) * pane_ms
        found = grouping(batch, starts_ms, layout, self.plan.model)
        counts = tally(batch, layout, self.plan.model, found.groups)
        if model.features is not None:
            counts = [of_one_stream(c, layout, feature_stream=apart) for c in counts]
        if not apart:
            wanted = counted_for(model) & {"latencies"}  # what a file can tell
            nothing = np.zeros(n, np.bool_)
            add_arrivals(counts, found.groups.parts[0].group, batch, Arrivals(), nothing, wanted)
        return [(segment, start, c) for (_, segment, start), c in zip(found.keys, counts, strict=True)]


def _events(rows: Any, piece: Piece[Flat], plan: Plan, layout: Layout | None) -> tuple[Batch, list[DeadLetter]]:
    n = len(rows)
    nowhen = np.zeros(n, np.int64)
    return assemble(
        rows, plan, layout, FUTURE_FREE, index=piece.numbers.tolist(), timestamps_ms=nowhen, offsets=piece.numbers
    )


def _as_far_as_there(model: Model, piece: Piece[Flat]) -> Model:
    """The model with those fields that the file has; a label in its own topic is looked for under its name there."""
    rows, fields = piece.rows, model.fields

    def there(path: str) -> str:
        return path if path and rows.has(path) else ""

    label = there(fields.label) or there(model.labels.fields.label if model.labels is not None else "")
    features = fields.features or tuple(model.columns)
    if isinstance(features, tuple):
        features = tuple(f for f in features if f in model.columns or rows.has(f))
        known = set(features)
    else:
        known = set(rows.feature_names())
    return replace(
        model,
        fields=replace(
            fields,
            id="",
            version="",
            latency_ms=there(fields.latency_ms),
            time=there(fields.time),
            prediction=there(fields.prediction),
            score=there(fields.score),
            label=label,
            features=features,
        ),
        labels=None,
        segments=tuple(s for s in model.segments if s in known or rows.has(s)),
    )


def _error(name: str, path: Path, message: str) -> ConfigError:
    return ConfigError([Mistake(file=str(path), line=0, path=f"models.{name}.reference.file", message=message)])


def _unusable(name: str, path: Path, good: int, dead: list[DeadLetter]) -> ConfigError:
    """Most rows cannot be read: say which reasons are the most frequent, with an example each."""
    if not dead:
        return _error(name, path, "has no rows")
    reasons = Counter(letter.reason for letter in dead).most_common(3)
    first = {letter.reason: letter for letter in reversed(dead)}
    why = "; ".join(f"{n} {reason} (row {first[reason].index}: {first[reason].detail})" for reason, n in reasons)
    return _error(name, path, f"{len(dead)} of {good + len(dead)} rows cannot be read: {why}")


def _columns(rows: Any) -> str:
    names = list(rows.table.column_names) if hasattr(rows, "table") else sorted({k for m in rows.messages for k in m})
    return " ".join(names[:50])


def _words(of: Column) -> dict[str, int]:
    counts = np.bincount(of.codes[of.codes >= 0], minlength=len(of.words)) if len(of.codes) else np.zeros(0, np.int64)
    return dict(zip(of.words, counts.tolist(), strict=True)) if len(counts) else {}


def _numbers(of: Column) -> Any:
    return of.numbers[of.kinds == NUMBER] if len(of.numbers) else of.numbers


def _learn(of: Column, rows: Any, plan: Plan) -> ColumnLayout:
    """The layout of a feature."""
    declared = counted_as(plan.model.columns).get(of.name)
    learnt = learning.from_values(numbers=_numbers(of), words=_words(of), declared=declared)
    if isinstance(learnt, CategoricalLayout) and declared is None:  # numbers among the texts are categories then
        return learning.categorical(_words(rows.feature(of.name, "categorical")))
    return learnt


def _in_order(model: Model, features: dict[str, ColumnLayout]) -> dict[str, ColumnLayout]:
    """Features as the configuration lists them, else by name."""
    listed = model.feature_paths if isinstance(model.feature_paths, tuple) else ()
    made = derived_from(model.columns)
    listed = tuple(n for base in listed for n in (base, *(d for d, of in made.items() if of == base)))
    order = [n for n in (listed or sorted(features)) if n in features]
    return {n: features[n] for n in [*order, *sorted(set(features) - set(order))]}


def _predictions(model: Model, batch: Batch) -> dict[str, ColumnLayout]:
    """Layouts of prediction and score; one that the file lacks gets what its task allows."""
    layouts: dict[str, ColumnLayout] = {}
    if model.fields.prediction:
        source = batch.prediction if batch.prediction is not None else batch.label
        layouts["prediction"] = (
            learning.from_values(numbers=_numbers(source), words=_words(source), declared=None)
            if source is not None
            else _unseen("prediction", model)
        )
    if model.fields.score:
        layouts["score"] = (
            learning.numeric(_numbers(batch.score)) if batch.score is not None else _unseen("score", model)
        )
    return layouts


def _unseen(name: str, model: Model) -> ColumnLayout:
    if name == "score" and model.task in ("binary", "multiclass"):
        return NumericLayout(edges=tuple(i / 20 for i in range(21)))
    if model.task == "binary" and not isinstance(model.positive, str):
        return NumericLayout(edges=(0.0, 1.0, 2.0))
    return NumericLayout(edges=())


def residual_of(model: Model) -> Residual:
    """How far a label is from what the model said of it, where both may be known.

    >>> residual_of(Model(topic=("t",)))
    ''
    """
    fields = model.fields
    if not model.has_labels:
        return ""
    if model.task == "binary" and fields.score:
        return "score"
    if model.task in ("binary", "multiclass") and fields.prediction:
        return "correct"
    return "value" if model.task == "regression" and fields.prediction else ""


def layout_from_raw(model: Model, counts: Counts, *, pane_ms: int = 0) -> Layout:
    """The first layout of a model, from merged counts under the raw layout; `pane_ms` 0 keeps the raw pane."""
    seen = learning.raw_columns(counts)
    features, declared = model.feature_paths, counted_as(model.columns)
    names = {name[2:] for name in seen if name.startswith("f:") and watched(model, name[2:])} | set(declared)
    if isinstance(features, tuple):
        names |= set(features) - set(derived_from(model.columns).values()) | set(declared)
    predictions = {}
    for name, path in (("prediction", model.fields.prediction), ("score", model.fields.score)):
        if path:
            of = seen.get(f"p:{name}")
            predictions[name] = learning.from_raw(of, None) if of is not None else _unseen(name, model)
    return Layout(
        pane_ms=pane_ms or raw_pane_ms(model),
        features=_in_order(model, {n: learning.from_raw(seen.get(f"f:{n}"), declared.get(n)) for n in sorted(names)}),
        predictions=predictions,
        residual=residual_of(model),
    )
