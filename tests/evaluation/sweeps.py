"""A whole stream as vectors of panes at once: the sums that the service would make of its counts, pane by pane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

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
from detectors.scan.scan import SEGMENT_SHARES
from stream_monitor.counting.batches import NUMBER, Batch, Column

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What is looked at, of all and in segments ("plan=free"): learnt from the reference's events."""

    layout: Layout
    of: Mapping[str, Components]
    segments: Mapping[str, tuple[str, ...]]  # dimension: values


def learn(reference: Batch, layout: Layout, pane_events: int) -> tuple[Learnt, dict[str, Floats]]:
    """From the reference's events, whose vectors come with it."""
    cells = cells_of(reference, layout)
    count = len(reference) // pane_events
    inside = cells[:, : count * pane_events]
    whole = np.bincount(inside.ravel(), minlength=layout.size + 1)
    whole[layout.joint_offset : -1] = np.rint(_across(reference, layout, pane_events, count).sum(axis=0)).astype(
        np.int64
    )
    whole[-1] = inside.shape[1]
    of = {ALL: components_of(layout, _counts(whole))}
    segments = {}
    for dimension, column in reference.segments.items():
        for code, word in enumerate(column.words):
            some = column.codes == code
            totals = np.bincount(cells[:, some].ravel(), minlength=layout.size + 1)
            totals[-1] = int(some.sum())
            of[f"{dimension}={word}"] = components_of(layout, _counts(totals), frozenset(SEGMENT_SHARES))
        segments[dimension] = column.words
    learnt = Learnt(layout=layout, of=of, segments=segments)
    return learnt, sweep(reference, learnt, pane_events, cells)


def sweep(events: Batch, learnt: Learnt, pane_events: int, cells: NDArray[np.int32] | None = None) -> dict[str, Floats]:
    """Vectors of consecutive panes by unit; the reports of segments, which nobody tests, stay 0."""
    layout = learnt.layout
    cells = cells_of(events, layout) if cells is None else cells
    count = len(events) // pane_events
    whole = learnt.of[ALL]
    sums = np.zeros((1, count, whole.cells.width + 1))
    everywhere = np.zeros(len(events), np.int64)
    weights = whole.cells.csr
    _within(cells, everywhere, pane_events, layout.size + 1, weights.indptr, weights.indices, weights.data, sums)
    across = _across(events, layout, pane_events, count) @ weights[layout.joint_offset : layout.size]
    found = {ALL: (sums[0, :, :-1] + across) @ whole.mix.csr}
    for dimension, words in learnt.segments.items():
        column = events.segments[dimension]
        code = np.array([words.index(w) if w in words else -1 for w in column.words] + [-1])[column.codes]
        own = [learnt.of[f"{dimension}={word}"] for word in words]
        most = max(len(of.of) for of in own)
        weights = csr_array(vstack([_tested(of, most) for of in own]))
        sums = np.zeros((len(words), count, most + 1))
        _within(cells, code, pane_events, layout.size + 1, weights.indptr, weights.indices, weights.data, sums)
        for word, of, tested in zip(words, own, sums, strict=True):
            vectors = np.zeros((count, of.entries))
            vectors[:, : len(of.of)] = tested[:, : len(of.of)]
            vectors[:, -2] = vectors[:, -1] = tested[:, -1]
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


def _across(events: Batch, layout: Layout, pane_events: int, count: int) -> Floats:
    """The joint and residual cells of panes."""
    assert events.label is not None
    assert events.score is not None
    columns = {c.name: c for c in events.features}
    ranks = np.zeros((len(events), len(layout.numeric_features)))
    for i, name in enumerate(layout.numeric_features):
        ranks[:, i] = _rank(columns[name], layout.features[name])
    residual = np.rint(RESIDUAL_UNIT * (events.label.numbers - events.score.numbers))
    categories = [
        columns[name].codes == columns[name].words.index(category)
        for name, category in layout.residual_features
        if category is not None
    ]
    by = np.column_stack([np.ones(len(events)), residual, residual**2, residual[:, None] * ranks])
    by = np.column_stack([by, *(residual * c for c in categories)])
    some = count * pane_events
    panes = ranks[:some].reshape(count, pane_events, -1)
    first, second = np.triu_indices(ranks.shape[1], 1)
    products = (panes.transpose(0, 2, 1) @ panes)[:, first, second]
    return np.concatenate([products, by[:some].reshape(count, pane_events, -1).sum(axis=1)], axis=1)


def _rank(column: Column, of: ColumnLayout) -> Floats:
    assert isinstance(of, NumericLayout)
    ranks = 2.0 * np.searchsorted(np.asarray(of.edges), column.numbers, side="right") - (of.bins - 1)
    return np.where(column.kinds == NUMBER, ranks, 0.0)


def _counts(totals: Integers) -> Counts:
    some, none = np.flatnonzero(totals[:-1]), np.zeros(0)
    return Counts(rows=int(totals[-1]), cells=some.astype(np.int32), values=totals[some], low=none, high=none)


def _tested(of: Components, width: int) -> csr_array:
    """What each cell adds to the components, without rows, labels and reports: (cells + 1, width)."""
    weights = csr_array((of.cells.csr @ of.mix.csr)[:, : len(of.of)])
    return csr_array((weights.data, weights.indices, weights.indptr), shape=(weights.shape[0], width))


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba has no types
def _within(
    cells: NDArray[np.int32], segment: Integers, pane_events: int, width: int, starts: Integers, of: Integers,
    weights: Floats, sums: Floats,
) -> None:  # fmt: skip
    """Sums by segment and pane: (segments, panes, components + 1), the last the rows."""
    last = sums.shape[2] - 1
    for event in range(sums.shape[1] * pane_events):
        s = segment[event]
        if s >= 0:
            pane = event // pane_events
            for c in range(cells.shape[0]):
                row = s * width + cells[c, event]
                for k in range(starts[row], starts[row + 1]):
                    sums[s, pane, of[k]] += weights[k]
            row = s * width + width - 1  # what each row adds
            for k in range(starts[row], starts[row + 1]):
                sums[s, pane, of[k]] += weights[k]
            sums[s, pane, last] += 1.0
