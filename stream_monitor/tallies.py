"""Columns and groups -> counts: each event is added to the cells of every group it belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors import joints, kernels
from detectors.counts import Counts
from detectors.kernels import Cells, Groups
from detectors.layouts import (
    HEAD,
    LIMBS,
    OUTCOME_CELLS,
    RAW_BINS,
    RAW_HASHES,
    RAW_STRIDE,
    RESIDUAL_HEAD,
    CategoricalLayout,
    Layout,
    NumericLayout,
)
from detectors.layouts import (
    MISSING as MISSING_CELL,
)
from detectors.layouts import (
    NONFINITE as NONFINITE_CELL,
)
from detectors.layouts import (
    UNPARSEABLE as UNPARSEABLE_CELL,
)
from stream_monitor.batches import BOOL, MISSING, NESTED, NONFINITE, NUMBER, TEXT, Batch, Column, Floats
from stream_monitor.config import Model
from stream_monitor.outcomes import add_outcomes
from stream_monitor.residuals import residuals

MAX_WORD: Final = 64  # characters of a display name
_CHUNK_CELLS: Final = 4_000_000  # of one dense matrix: 32 MB

_NUMERIC_KIND: Final = np.zeros(6, np.uint8)
_NUMERIC_KIND[[NUMBER, TEXT, BOOL, MISSING, NESTED, NONFINITE]] = (
    kernels.VALID,
    kernels.AS_UNPARSEABLE,
    kernels.AS_UNPARSEABLE,
    kernels.AS_MISSING,
    kernels.AS_UNPARSEABLE,
    kernels.AS_NONFINITE,
)

Words = list[dict[int, str]]  # per group: cell -> least word


def tally(batch: Batch, layout: Layout | None, model: Model, groups: Groups, count: int) -> list[Counts]:
    """Counts of each of `count` groups. `groups` is (K, n): the K groups of each event, -1 for none."""
    width = OUTCOME_CELLS if layout is None else layout.size
    chunk = max(1, _CHUNK_CELLS // width)
    if count <= chunk:
        return _chunk(batch, layout, model, groups, count)
    out: list[Counts] = []
    for first in range(0, count, chunk):
        inside = np.where((groups >= first) & (groups < first + chunk), groups - first, -1).astype(np.int32)
        rows: NDArray[np.bool_] = np.any(inside >= 0, axis=0)
        out += _chunk(take(batch, rows), layout, model, inside[:, rows], min(chunk, count - first))
    return out


def take(batch: Batch, rows: NDArray[np.bool_]) -> Batch:
    """Some of the events of a batch."""
    if rows.all():
        return batch

    def some(column: Column | None) -> Column | None:
        return None if column is None else column.take(rows)

    which = np.flatnonzero(rows).tolist()
    return Batch(
        times_ms=batch.times_ms[rows],
        offsets=batch.offsets[rows],
        versions=batch.versions,
        version_codes=batch.version_codes[rows],
        ids=None if batch.ids is None else [batch.ids[i] for i in which],
        features=tuple(c.take(rows) for c in batch.features),
        predictions=tuple(c.take(rows) for c in batch.predictions),
        prediction=some(batch.prediction),
        score=some(batch.score),
        class_scores=None if batch.class_scores is None else [batch.class_scores[i] for i in which],
        label=some(batch.label),
        latency=some(batch.latency),
        segments={d: c.take(rows) for d, c in batch.segments.items()},
        places=None if batch.places is None else batch.places[rows],
    )


def _chunk(batch: Batch, layout: Layout | None, model: Model, groups: Groups, count: int) -> list[Counts]:
    groups = np.ascontiguousarray(groups)
    rows = np.zeros(count, np.int64)
    for group in groups:
        rows += np.bincount(group[group >= 0], minlength=count)
    cells = np.zeros((count, OUTCOME_CELLS if layout is None else layout.size), np.int64)
    if batch.label is not None:
        add_outcomes(
            cells,
            groups,
            model,
            label=batch.label,
            prediction=batch.prediction,
            score=batch.score,
            class_scores=batch.class_scores,
        )
    if layout is None:
        return _raw(batch, groups, cells, rows)
    return _laid_out(batch, layout, model, groups, cells, rows)


def _laid_out(
    batch: Batch, layout: Layout, model: Model, groups: Groups, cells: Cells, rows: NDArray[np.int64]
) -> list[Counts]:
    """Counts under a layout."""
    count = len(rows)
    ranks = np.zeros((len(layout.columns), len(batch)), np.int16)
    categories: dict[str, NDArray[np.int32]] = {}  # of each feature the number of each event's category, -1 for none
    low, high = np.full((len(layout.columns), count), np.inf), np.full((len(layout.columns), count), -np.inf)
    words: Words = [{} for _ in range(count)]
    columns = {("features", c.name): c for c in batch.features}
    columns |= {("predictions", c.name): c for c in batch.predictions}
    for i, (place, name, of) in enumerate(layout.columns):
        at, column = layout.offsets[place, name], columns.get((place, name))
        if column is None:  # not in these events at all
            kernels.add_cells(cells, groups, np.full(len(batch), at + MISSING_CELL, np.int32))
        elif isinstance(of, NumericLayout):
            kinds = _NUMERIC_KIND[column.kinds]
            edges = np.array(of.edges, np.float64)
            numbers = kernels.normal(column.numbers)
            kernels.add_numeric(cells, low[i], high[i], at, groups, kinds, numbers, edges, ranks[i])
        else:
            cell = _categorical(column, of, at, groups, cells, words)
            if place == "features":
                category = cell - (at + HEAD)
                categories[name] = np.where((category >= 0) & (category < of.bins), category, -1).astype(np.int32)
    _across(batch, layout, model, groups, cells, ranks, categories)
    out = []
    for g in range(count):
        found = np.flatnonzero(cells[g])
        out.append(
            Counts(
                rows=int(rows[g]),
                cells=found.astype(np.int32),
                values=cells[g, found],
                low=low[:, g].copy(),
                high=high[:, g].copy(),
                words=tuple(sorted(words[g].items())),
            )
        )
    return out


def _across(
    batch: Batch,
    layout: Layout,
    model: Model,
    groups: Groups,
    cells: Cells,
    ranks: NDArray[np.int16],
    categories: Mapping[str, NDArray[np.int32]],
) -> None:
    """The joint and the residual cells."""
    numeric = [place == "features" and isinstance(of, NumericLayout) for place, _, of in layout.columns]
    ranks = ranks[numeric]
    known, r = np.zeros(0, np.bool_), np.zeros(0, np.int32)
    if layout.residual and batch.label is not None:
        known, r = residuals(model, layout, batch.label, batch.prediction, batch.score)
    for group in groups:
        order = np.argsort(group, kind="stable")
        bounds = np.searchsorted(group[order], np.arange(len(cells) + 1))
        its_ranks = np.ascontiguousarray(ranks[:, order])
        if layout.joint_pairs:
            joints.add_pairs(cells, layout.joint_offset, bounds, its_ranks)
        elif layout.joint_combinations:
            joints.add_combinations(cells, layout.joint_offset, bounds, its_ranks)
        if len(known):
            at = layout.residual_offset + RESIDUAL_HEAD + len(ranks)
            its_cells = []
            for name, of in layout.features.items():
                if isinstance(of, CategoricalLayout):
                    if name in categories:
                        its_cells.append(np.where(categories[name] >= 0, at + categories[name], -1)[order])
                    at += of.bins
            joints.add_residuals(cells, layout.residual_offset, bounds, known[order], r[order], its_ranks, its_cells)


def _categorical(
    column: Column, of: CategoricalLayout, at: int, groups: Groups, cells: Cells, words: Words
) -> NDArray[np.int32]:
    """The cell of each event."""
    known = {word: at + HEAD + i for i, word in enumerate(of.categories)}
    first = at + HEAD + of.bins
    table = np.array(
        [known[w] if w in known else first + kernels.bucket(w) for w in column.words] + [at + UNPARSEABLE_CELL],
        np.int32,
    )
    cell = np.where(column.kinds == MISSING, np.int32(at + MISSING_CELL), table[column.codes])  # code -1: nested
    kernels.add_cells(cells, groups, cell)
    unknown = cell >= first
    if unknown.any():
        _name(words, groups[:, unknown], column.codes[unknown], column.words, [(int(c),) for c in table])
    return cell


def _name(
    words: Words, groups: Groups, codes: NDArray[np.int32], names: Sequence[str], cells_of: Sequence[Sequence[int]]
) -> None:
    """Keep the least word of each cell that has one, per group; `cells_of` gives the cells of a word's code."""
    for group in groups:
        inside = group >= 0
        pairs = np.unique(group[inside].astype(np.int64) * len(names) + codes[inside])
        for g, code in zip((pairs // len(names)).tolist(), (pairs % len(names)).tolist(), strict=True):
            word = names[code][:MAX_WORD]
            for cell in cells_of[code]:
                words[g][cell] = min(word, words[g].get(cell, word))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _RawColumn:
    """Sparse counts of one column under the raw layout; cells are those of the column."""

    keys: NDArray[np.int64]  # group * RAW_STRIDE + cell, sorted
    values: NDArray[np.int64]
    low: Floats
    high: Floats
    words: Words


def _raw_column(column: Column, groups: Groups, count: int) -> _RawColumn:
    """Where a value counts is the configuration's to say, if it knows the column, else the value's own kind."""
    kinds = column.kinds
    numbered = (kinds == NUMBER) if len(column.numbers) else np.zeros(len(kinds), np.bool_)
    worded = (column.codes >= 0) if len(column.codes) else np.zeros(len(kinds), np.bool_)
    numbers = kernels.normal(np.where(numbered, column.numbers, 0.0) if len(column.numbers) else np.zeros(len(kinds)))
    head = np.where(kinds == NONFINITE, NONFINITE_CELL, UNPARSEABLE_CELL)
    single = np.where(numbered, HEAD + kernels.raw_bins(numbers), head)
    single = np.where(worded | (kinds == MISSING), -1, single)
    buckets = [tuple(HEAD + RAW_BINS + b for b in kernels.raw_buckets(w)) for w in column.words]
    table = np.array(buckets or [(0,) * RAW_HASHES], np.int64).T
    keys, limbs = [], np.zeros((count, LIMBS), np.int64)
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    words: Words = [{} for _ in range(count)]
    for group in groups.astype(np.int64):
        rows = (group >= 0) & (single >= 0)
        keys.append(group[rows] * RAW_STRIDE + single[rows])
        rows = (group >= 0) & worded
        keys += [group[rows] * RAW_STRIDE + row[column.codes[rows]] for row in table] if rows.any() else []
        rows = (group >= 0) & numbered
        kernels.add_sums(limbs, 0, group[rows].astype(np.int32), numbers[rows])
        np.minimum.at(low, group[rows], numbers[rows])
        np.maximum.at(high, group[rows], numbers[rows])
    if worded.any():
        _name(words, groups[:, worded], column.codes[worded], column.words, buckets)
    counted, values = np.unique(np.concatenate(keys), return_counts=True)
    g, digit = np.nonzero(limbs)
    counted = np.concatenate([counted, g * RAW_STRIDE + (RAW_STRIDE - LIMBS) + digit])
    values = np.concatenate([values, limbs[g, digit]])
    order = np.argsort(counted, kind="stable")
    return _RawColumn(keys=counted[order], values=values[order], low=low, high=high, words=words)


def _raw(batch: Batch, groups: Groups, outcome: Cells, rows: NDArray[np.int64]) -> list[Counts]:
    """Counts under the raw layout, which names the columns it has seen a value of."""
    named = sorted([("f:" + c.name, c) for c in batch.features] + [("p:" + c.name, c) for c in batch.predictions])
    columns = [(name, _raw_column(column, groups, len(rows))) for name, column in named]
    out = []
    for g, total in enumerate(rows.tolist()):
        found = np.flatnonzero(outcome[g])
        cells, values = [found], [outcome[g, found]]
        names: list[str] = []
        ends: list[tuple[float, float]] = []
        words: list[tuple[int, str]] = []
        for name, column in columns:
            first, last = np.searchsorted(column.keys, (g * RAW_STRIDE, (g + 1) * RAW_STRIDE))
            if first == last:
                continue
            at = OUTCOME_CELLS + len(names) * RAW_STRIDE
            cells.append(column.keys[first:last] - g * RAW_STRIDE + at)
            values.append(column.values[first:last])
            names.append(name)
            ends.append((float(column.low[g]), float(column.high[g])))
            words += [(at + cell, word) for cell, word in sorted(column.words[g].items())]
        out.append(
            Counts(
                rows=total,
                cells=np.concatenate(cells).astype(np.int32),
                values=np.concatenate(values),
                low=np.array([low for low, _ in ends], np.float64),
                high=np.array([high for _, high in ends], np.float64),
                names=tuple(names),
                words=tuple(words),
            )
        )
    return out
