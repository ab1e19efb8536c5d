"""A whole stream as vectors of panes at once: the sums that the service would make of its counts, pane by pane."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

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
from stream_monitor.batches import NUMBER, Batch, Column

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ALL = "all"
AT_ONCE = 400  # panes whose counts are held at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What is looked at, and of segments where: learnt from the reference's events."""

    layout: Layout
    of: Mapping[str, Components]  # "all", then "plan=free", ... of which only the location of numeric columns
    tables: Mapping[str, tuple[tuple[str, ...], Floats, Integers]]  # dimension: words, weights, where they go


def learn(reference: Batch, layout: Layout, pane_events: int) -> tuple[Learnt, dict[str, Floats]]:
    """From the reference's events, whose vectors come with it."""
    cells = cells_of(reference, layout)
    count = len(reference) // pane_events
    whole = np.zeros(layout.size + 1, np.int64)
    for dense in _dense(reference, cells, layout, pane_events, count):
        whole += dense.sum(axis=0).astype(np.int64)
    of = {ALL: components_of(layout, _counts(whole))}
    tables = {}
    numeric = [(i, name) for i, (_, name, c) in enumerate(layout.columns) if isinstance(c, NumericLayout)]
    for dimension, column in reference.segments.items():
        own: list[Components] = []
        for code, word in enumerate(column.words):
            some = column.codes == code
            totals = np.bincount(cells[[i for i, _ in numeric]][:, some].ravel(), minlength=layout.size + 1)
            totals[-1] = int(some.sum())
            of[f"{dimension}={word}"] = components_of(layout, _counts(totals), frozenset({"location"}))
            own.append(of[f"{dimension}={word}"])
        tables[dimension] = (column.words, *_table(layout, own, [name for _, name in numeric]))
    learnt = Learnt(layout=layout, of=of, tables=tables)
    return learnt, sweep(reference, learnt, pane_events, cells)


def sweep(events: Batch, learnt: Learnt, pane_events: int, cells: NDArray[np.int32] | None = None) -> dict[str, Floats]:
    """Vectors of consecutive panes by unit; what segments are not looked at for (sizes to report) stays 0."""
    layout = learnt.layout
    cells = cells_of(events, layout) if cells is None else cells
    count = len(events) // pane_events
    whole = learnt.of[ALL]
    found = {
        ALL: np.concatenate(
            [(dense @ whole.cells) @ whole.mix for dense in _dense(events, cells, layout, pane_events, count)]
        )
    }
    numeric = [i for i, (_, _, c) in enumerate(layout.columns) if isinstance(c, NumericLayout)]
    starts = np.array([layout.offsets[place, name] for place, name, _ in layout.columns])
    bins = cells[numeric] - starts[numeric][:, None]
    for dimension, (words, weights, at) in learnt.tables.items():
        column = events.segments[dimension]
        known = np.array([words.index(w) if w in words else -1 for w in column.words] + [-1])
        sums = np.zeros((len(words), count, len(numeric) + 1))
        _located(bins, known[column.codes], pane_events, weights, sums)
        for s, word in enumerate(words):
            vectors = np.zeros((count, learnt.of[f"{dimension}={word}"].entries))
            some = at[s] >= 0
            vectors[:, at[s][some]] = sums[s][:, :-1][:, some]
            vectors[:, -2] = vectors[:, -1] = sums[s][:, -1]
            found[f"{dimension}={word}"] = vectors
    return found


def cells_of(events: Batch, layout: Layout) -> NDArray[np.int32]:
    """The cells that each event adds one to: (cells, events), the layout's columns first; no sums of values."""
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
    return np.stack(found).astype(np.int32)


def _dense(events: Batch, cells: NDArray[np.int32], layout: Layout, pane_events: int, count: int) -> Iterator[Floats]:
    """Counts of AT_ONCE panes at a time: (panes, cells + 1), the last column the rows."""
    ranks, by = _across(events, layout)
    first, second = np.triu_indices(ranks.shape[1], 1)
    for begin in range(0, count, AT_ONCE):
        panes = min(AT_ONCE, count - begin)
        inside = slice(begin * pane_events, (begin + panes) * pane_events)
        dense = np.zeros((panes, layout.size + 1))
        _counted(cells[:, inside], pane_events, dense)
        dense[:, -1] = pane_events
        own = ranks[inside].reshape(panes, pane_events, -1)
        products = own.transpose(0, 2, 1) @ own
        if layout.joint_size:
            dense[:, layout.joint_offset : layout.residual_offset] = products[:, first, second]
        if layout.residual_size:
            sums = by[inside].reshape(panes, pane_events, -1).sum(axis=1)
            dense[:, layout.residual_offset : layout.size] = sums
        yield dense


def _across(events: Batch, layout: Layout) -> tuple[Floats, Floats]:
    """Ranks of numeric features, and what residual cells sum up."""
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
    return ranks, np.column_stack([by, *(residual * c for c in categories)])


def _rank(column: Column, of: ColumnLayout) -> Floats:
    assert isinstance(of, NumericLayout)
    ranks = 2.0 * np.searchsorted(np.asarray(of.edges), column.numbers, side="right") - (of.bins - 1)
    return np.where(column.kinds == NUMBER, ranks, 0.0)


def _counts(totals: Integers) -> Counts:
    some, none = np.flatnonzero(totals[:-1]), np.zeros(0)
    return Counts(rows=int(totals[-1]), cells=some.astype(np.int32), values=totals[some], low=none, high=none)


def _table(layout: Layout, own: list[Components], names: list[str]) -> tuple[Floats, Integers]:
    """Weights (words, numeric columns, bins) of segments, and the component of each column, -1 for none."""
    numeric = [(place, name, c) for place, name, c in layout.columns if name in names]
    weights = np.zeros((len(own), len(names), max(HEAD + c.bins for _, _, c in numeric)))
    at = np.full((len(own), len(names)), -1)
    for s, of in enumerate(own):
        scores = (of.cells @ of.mix).toarray()
        for k, component in enumerate(of.of):
            i = names.index(component.columns[0])
            place, name, c = numeric[i]
            begin = layout.offsets[place, name]
            weights[s, i, : HEAD + c.bins] = scores[begin : begin + HEAD + c.bins, k]
            at[s, i] = k
    return weights, at


@njit(cache=True)  # type: ignore[untyped-decorator]
def _counted(cells: NDArray[np.int32], pane_events: int, dense: Floats) -> None:
    for event in range(dense.shape[0] * pane_events):
        pane = event // pane_events
        for c in range(cells.shape[0]):
            dense[pane, cells[c, event]] += 1.0


@njit(cache=True)  # type: ignore[untyped-decorator]
def _located(bins: Integers, segment: Integers, pane_events: int, weights: Floats, sums: Floats) -> None:
    columns = bins.shape[0]
    for event in range(sums.shape[1] * pane_events):
        s = segment[event]
        if s >= 0:
            pane = event // pane_events
            for k in range(columns):
                sums[s, pane, k] += weights[s, k, bins[k, event]]
            sums[s, pane, columns] += 1.0
