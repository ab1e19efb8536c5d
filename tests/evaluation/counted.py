"""A stream as the service counts it: layout learnt from the reference, panes of some events each, by segment.

The index of an event stands for its time, one millisecond an event; the stream goes on where the reference ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from detectors import learning
from detectors.counts import Counts
from detectors.layouts import (
    HEAD,
    LABELS,
    NEGATIVE_SCORES,
    POSITIVE_SCORES,
    RESIDUAL_UNIT,
    SCORE_BINS,
    ColumnLayout,
    Layout,
    NumericLayout,
)
from detectors.scan import Components, components_of
from stream_monitor.batches import MISSING, NUMBER, TEXT, Batch, Column
from stream_monitor.config import Model
from stream_monitor.panes import grouping
from stream_monitor.tallies import tally
from tests.evaluation.make_streams import CAT, Stream

SEGMENTS: Final = tuple(CAT)
Series = dict[str, list[tuple[int, Counts]]]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Panes of the reference and of the stream: segment -> (start_ms, counts) in order of time."""

    layout: Layout
    reference: Series
    stream: Series


def counted(reference: Stream, stream: Stream, pane_events: int, segments: tuple[str, ...] = SEGMENTS) -> Counted:
    """Count both, as a tap would."""
    model = Model(topic=("t",), task="binary", positive=1, segments=segments, max_segments=100)
    before, after = batch(reference, 0, segments), batch(stream, len(reference), segments)
    layout = layout_of(before, pane_events)
    return Counted(
        layout=layout,
        reference=panes(before, layout, model),
        stream=panes(after, layout, model),
    )


def batch(stream: Stream, start: int, segments: tuple[str, ...]) -> Batch:
    """The events as a decoder gives them."""
    n = len(stream)
    features = [_numbers(name, stream.x[:, j]) for j, name in enumerate(stream.numeric)]
    words = {name: _words(name, codes, stream.names[name]) for name, codes in stream.cat.items()}
    score, label = _numbers("score", stream.score), _numbers("label", stream.label.astype(np.float64))
    prediction = _numbers("prediction", stream.prediction.astype(np.float64))
    at = start + np.arange(n, dtype=np.int64)
    return Batch(
        times_ms=at, offsets=at, versions=("",), version_codes=np.zeros(n, np.int32), ids=None,
        features=(*features, *words.values()), predictions=(prediction, score),
        prediction=prediction, score=score, class_scores=None, label=label, latency=None,
        segments={s: words[s] for s in segments},
    )  # fmt: skip


def layout_of(reference: Batch, pane_ms: int) -> Layout:
    """The layout that is learnt from these events."""

    def learnt(column: Column) -> Any:
        counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.words)).tolist()
        numbers = column.numbers[column.kinds == NUMBER] if len(column.numbers) else np.zeros(0)
        words = {w: int(c) for w, c in zip(column.words, counts, strict=False) if c}
        return learning.from_values(numbers=numbers, words=words, declared=None)

    return Layout(
        pane_ms=pane_ms,
        features={c.name: learnt(c) for c in reference.features},
        predictions={c.name: learnt(c) for c in reference.predictions},
        residual="score",
    )


def panes(events: Batch, layout: Layout, model: Model) -> Series:
    """Counts by segment and pane."""
    found = grouping(events, events.times_ms // layout.pane_ms * layout.pane_ms, layout, model)
    counts = tally(events, layout, model, found.groups)
    series: Series = {}
    for (_, segment, start), pane in sorted(zip(found.keys, counts, strict=True), key=lambda pair: pair[0]):
        series.setdefault(segment, []).append((start, pane))
    return series


def cells_of(events: Batch, layout: Layout) -> NDArray[np.int64]:
    """The cells that each event adds one to, -1 for none: (cells, events). Sums of values are left out."""
    columns = {("features", c.name): c for c in events.features} | {
        ("predictions", c.name): c for c in events.predictions
    }
    found = []
    for place, name, of in layout.columns:
        column, at = columns[place, name], layout.offsets[place, name]
        if isinstance(of, NumericLayout):
            bins = HEAD + np.searchsorted(np.asarray(of.edges), column.numbers, side="right")
            found.append(np.where(column.kinds == NUMBER, at + bins, at))
        else:
            known = {word: HEAD + i for i, word in enumerate(of.categories)}
            table = np.array([at + known.get(w, HEAD + of.bins) for w in column.words] + [at])  # new ones: any bucket
            found.append(table[column.codes])
    assert events.label is not None
    assert events.score is not None
    bins = np.minimum((events.score.numbers * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)
    found.append(np.where(events.label.numbers == 1, POSITIVE_SCORES, NEGATIVE_SCORES) + bins)
    found.append(np.full(len(events), LABELS))
    return np.stack(found)


def matrices(events: Batch, layout: Layout, first: int, count: int, segments: bool = True) -> dict[str, csr_array]:
    """Counts of `count` panes from pane number `first`, by segment: (panes, cells + 1), the last column the rows.

    The same integers as the tap's, summed in one go: `test_counting` compares them.
    """
    cells = cells_of(events, layout)
    pane = events.times_ms // layout.pane_ms - first
    inside = (pane >= 0) & (pane < count)
    cells = np.vstack([cells, np.full(len(events), layout.size)])
    whole = _matrix(cells, pane, inside, count, layout.size + 1) + _across(events, layout, pane, count)
    found = {"all": csr_array(whole)}
    for dimension, of in events.segments.items() if segments else ():
        for code, word in enumerate(of.words):
            some = inside & (of.codes == code)
            if some.any():
                found[f"{dimension}={word}"] = _matrix(cells, pane, some, count, layout.size + 1)
    return found


def located(
    events: Batch, layout: Layout, first: int, count: int, of: dict[str, Components], learn: bool
) -> dict[str, Floats]:
    """Vectors of segments, of which only the location of numeric columns is looked at, straight from their scores.

    With `learn` the components are learnt from these events first, into `of`. Reports stay 0.
    """
    cells = cells_of(events, layout)
    pane = events.times_ms // layout.pane_ms - first
    numeric = [i for i, (_, _, c) in enumerate(layout.columns) if isinstance(c, NumericLayout)]
    found = {}
    for dimension, column in events.segments.items():
        for code, word in enumerate(column.words):
            some = np.flatnonzero((column.codes == code) & (pane >= 0) & (pane < count))
            name = f"{dimension}={word}"
            own, at = cells[numeric][:, some], pane[some]
            if learn and len(some):
                totals = np.bincount(own.ravel(), minlength=layout.size)
                used = np.flatnonzero(totals)
                whole = Counts(
                    rows=len(some), cells=used.astype(np.int32), values=totals[used], low=np.zeros(0), high=np.zeros(0)
                )
                of[name] = components_of(layout, whole, frozenset({"location"}))
            if name not in of:
                continue
            vectors = np.zeros((count, of[name].entries))
            vectors[:, -2] = vectors[:, -1] = np.bincount(at, minlength=count)
            scores = [of[name].weights(k) for k in range(len(of[name].of))]
            columns = [layout.columns[i][1] for i in numeric]
            for k, component in enumerate(of[name].of):
                weights = scores[k][own[columns.index(component.columns[0])]]
                vectors[:, k] = np.bincount(at, weights, minlength=count)
            found[name] = vectors
    return found


def _across(events: Batch, layout: Layout, pane: NDArray[np.int64], count: int) -> csr_array:
    """The joint and residual cells."""
    assert events.label is not None
    assert events.score is not None
    columns = {c.name: c for c in events.features}
    ranks = np.stack([_rank(columns[name], layout.features[name]) for name in layout.numeric_features], axis=1)
    residual = np.rint(RESIDUAL_UNIT * (events.label.numbers - events.score.numbers))
    categories = [
        columns[name].codes == columns[name].words.index(category)
        for name, category in layout.residual_features
        if category is not None
    ]
    by = np.column_stack([np.ones(len(events)), residual, residual**2, residual[:, None] * ranks])
    by = np.column_stack([by, *(residual * c for c in categories)])
    first, second = np.triu_indices(ranks.shape[1], 1)
    dense = np.zeros((count, layout.joint_size + layout.residual_size))
    at = np.searchsorted(pane, np.arange(count + 1))  # events lie in order of time
    for i in range(count):
        inside = slice(at[i], at[i + 1])
        dense[i, : layout.joint_size] = (ranks[inside].T @ ranks[inside])[first, second]
        dense[i, layout.joint_size :] = by[inside].sum(axis=0)
    rows, cells = np.nonzero(dense)
    return csr_array((dense[rows, cells], (rows, cells + layout.joint_offset)), shape=(count, layout.size + 1))


def _rank(column: Column, of: ColumnLayout) -> Floats:
    assert isinstance(of, NumericLayout)
    ranks = 2.0 * np.searchsorted(np.asarray(of.edges), column.numbers, side="right") - (of.bins - 1)
    return np.where(column.kinds == NUMBER, ranks, 0.0)


def _matrix(
    cells: NDArray[np.int64], pane: NDArray[np.int64], some: NDArray[np.bool_], count: int, width: int
) -> csr_array:
    inside = cells[:, some]
    rows = np.broadcast_to(pane[some], inside.shape)
    return csr_array((np.ones(inside.size), (rows.ravel(), inside.ravel())), shape=(count, width))


def _numbers(name: str, values: Floats) -> Column:
    missing = np.isnan(values)
    return Column(
        name=name, kinds=np.where(missing, MISSING, NUMBER).astype(np.uint8), numbers=np.where(missing, 0.0, values),
        codes=np.zeros(0, np.int32),
    )  # fmt: skip


def _words(name: str, codes: NDArray[np.int16], names: list[str]) -> Column:
    return Column(
        name=name, kinds=np.where(codes < 0, MISSING, TEXT).astype(np.uint8), numbers=np.zeros(0),
        codes=codes.astype(np.int32), words=tuple(names),
    )  # fmt: skip
