"""Columns and groups -> counts: each event is added to the cells of every group it belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors import joints, kernels
from detectors.bins import Bins, bins_of
from detectors.counts import Counts, merge
from detectors.kernels import Cells, Groups, Positions
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
from detectors.numerics import VALID, add_numeric, add_words
from detectors.partitions import Partition
from stream_monitor.config import Model
from stream_monitor.counting.batches import BOOL, MISSING, NESTED, NONFINITE, NUMBER, TEXT, Batch, Column, Floats
from stream_monitor.counting.outcomes import add_outcomes
from stream_monitor.counting.residuals import residuals

MAX_WORD: Final = 64  # characters of a display name
_CHUNK_CELLS: Final = 4_000_000  # of one dense matrix: 32 MB

_HEADS: Final = np.zeros(6, np.int64)  # of each kind of value, in a numeric column
_HEADS[[NUMBER, TEXT, BOOL, MISSING, NESTED, NONFINITE]] = (
    VALID,
    UNPARSEABLE_CELL,
    UNPARSEABLE_CELL,
    MISSING_CELL,
    UNPARSEABLE_CELL,
    NONFINITE_CELL,
)

Words = list[dict[int, str]]  # per group: cell -> least word


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grouped:
    """How the events of a batch are counted: in the groups of each part once.

    The first part is that of the segment "all". `whole` tells for each group of the second part, where there is one,
    the group of the first that it is a piece of, so that the first need not be counted.
    """

    parts: tuple[Partition, ...]
    whole: tuple[int, ...] = ()


def tally(batch: Batch, layout: Layout | None, model: Model, groups: Grouped) -> list[Counts]:
    """Counts of each group, part after part."""
    if layout is None:
        return _count_raw(batch, model, groups)
    out = [c for part in groups.parts[len(groups.parts) > 1 :] for c in _count_part(batch, layout, model, part)]
    if len(groups.parts) == 1:
        return out
    pieces: list[list[Counts]] = [[] for _ in range(len(groups.parts[0]))]
    for counts, whole in zip(out, groups.whole, strict=False):  # those of the second part come first
        pieces[whole].append(counts)
    return [*map(merge, pieces), *out]


def _count_part(batch: Batch, layout: Layout, model: Model, part: Partition) -> list[Counts]:
    """Counts of the groups of one part, so many at a time that their cells stay within bounds."""
    many = max(1, _CHUNK_CELLS // layout.size)
    out: list[Counts] = []
    for first in range(0, len(part), many):
        some = part if len(part) <= many else part.some(first, min(first + many, len(part)))
        out += _laid_out(batch, layout, model, some)
    return out


def _count_raw(batch: Batch, model: Model, groups: Grouped) -> list[Counts]:
    count = sum(map(len, groups.parts))
    starts = np.cumsum([0, *map(len, groups.parts)])
    each = [part.group + np.int32(start) for part, start in zip(groups.parts, starts, strict=False)]
    rows = np.concatenate([part.sizes for part in groups.parts])
    chunk = max(1, _CHUNK_CELLS // OUTCOME_CELLS)
    matrix = np.stack(each)
    if count <= chunk:
        return _raw(batch, matrix, _outcome(batch, model, matrix, count, OUTCOME_CELLS), rows)
    out: list[Counts] = []
    for first in range(0, count, chunk):
        inside = np.where((matrix >= first) & (matrix < first + chunk), matrix - first, -1).astype(np.int32)
        some: NDArray[np.bool_] = np.any(inside >= 0, axis=0)
        size = min(chunk, count - first)
        piece, its_groups = take(batch, some), np.ascontiguousarray(inside[:, some])
        cells = _outcome(piece, model, its_groups, size, OUTCOME_CELLS)
        out += _raw(piece, its_groups, cells, rows[first : first + size])
    return out


def _outcome(batch: Batch, model: Model, groups: Groups, count: int, width: int) -> Cells:
    """Cells with what the labels in the events say."""
    cells = np.zeros((count, width), np.int64)
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
    return cells


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
        class_scores=None if batch.class_scores is None else batch.class_scores.take(rows),
        label=some(batch.label),
        latency=some(batch.latency),
        segments={d: c.take(rows) for d, c in batch.segments.items()},
        places=None if batch.places is None else batch.places[rows],
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Compiled:
    """What counting under a layout looks up again and again, by position of the column."""

    bins: tuple[Bins | None, ...]
    known: tuple[Mapping[str, int], ...]  # category -> cell
    numeric: NDArray[np.bool_]  # whether it is a numeric feature


_COMPILED: Final[dict[str, _Compiled]] = {}
_MOST_COMPILED: Final = 4096


def _compiled(layout: Layout) -> _Compiled:
    if layout.id not in _COMPILED:
        if len(_COMPILED) >= _MOST_COMPILED:
            _COMPILED.clear()
        _COMPILED[layout.id] = _compile(layout)
    return _COMPILED[layout.id]


def _compile(layout: Layout) -> _Compiled:
    at = [layout.offsets[place, name] + HEAD for place, name, _ in layout.columns]
    numeric = [isinstance(of, NumericLayout) for _, _, of in layout.columns]
    return _Compiled(
        bins=tuple(
            bins_of(np.array(of.edges, np.float64)) if isinstance(of, NumericLayout) else None
            for _, _, of in layout.columns
        ),
        known=tuple(
            {word: first + i for i, word in enumerate(of.categories)} if isinstance(of, CategoricalLayout) else {}
            for first, (_, _, of) in zip(at, layout.columns, strict=True)
        ),
        numeric=np.array(
            [n and place == "features" for n, (place, _, _) in zip(numeric, layout.columns, strict=True)], np.bool_
        ),
    )


def _laid_out(batch: Batch, layout: Layout, model: Model, part: Partition) -> list[Counts]:
    """Counts of each group under a layout."""
    count, compiled, sizes = len(part), _compiled(layout), part.sizes
    if batch.label is not None:
        group = np.full((1, len(batch)), -1, np.int32)
        group[0, part.order] = np.repeat(np.arange(count, dtype=np.int32), sizes)
        cells = _outcome(batch, model, group, count, layout.size)
    else:
        cells = np.zeros((count, layout.size), np.int64)
    low, high = np.full((len(layout.columns), count), np.inf), np.full((len(layout.columns), count), -np.inf)
    ranks = np.zeros((len(layout.columns), len(part.order)), np.int16)
    categories: dict[str, Positions] = {}  # of each feature the cell of each event
    words: Words = [{} for _ in range(count)]
    columns = {("features", c.name): c for c in batch.features}
    columns |= {("predictions", c.name): c for c in batch.predictions}
    for i, (place, name, _) in enumerate(layout.columns):
        at, column, bins = layout.offsets[place, name], columns.get((place, name)), compiled.bins[i]
        if column is None:  # not in these events at all
            cells[:, at + MISSING_CELL] += sizes
        elif bins is not None:
            add_numeric(cells, low[i], high[i], at, part, column.kinds, _HEADS, column.numbers, bins, ranks[i])
        else:
            found = _categorical(column, compiled.known[i], at, part, cells, words)
            if place == "features":
                categories[name] = found
    _across(batch, layout, model, part, cells, ranks[compiled.numeric], categories)
    lows, highs = np.ascontiguousarray(low.T), np.ascontiguousarray(high.T)
    return [
        Counts(rows=rows, cells=some, values=values, low=lows[g], high=highs[g], words=tuple(sorted(words[g].items())))
        for g, (rows, (some, values)) in enumerate(zip(sizes.tolist(), kernels.sparse(cells), strict=True))
    ]


def _across(
    batch: Batch,
    layout: Layout,
    model: Model,
    part: Partition,
    cells: Cells,
    ranks: NDArray[np.int16],
    categories: Mapping[str, Positions],
) -> None:
    """The joint and the residual cells."""
    if layout.joint_pairs:
        joints.add_pairs(cells, layout.joint_offset, part.bounds, ranks)
    elif layout.joint_size:
        joints.add_combinations(cells, layout.joint_offset, part.bounds, ranks)
    if not layout.residual or batch.label is None:
        return
    known, r = residuals(model, layout, batch.label, batch.prediction, batch.score)
    at = layout.residual_offset + RESIDUAL_HEAD + len(ranks)
    cell_of = []
    for name, of in layout.features.items():
        if isinstance(of, CategoricalLayout):
            if name in categories:
                category = categories[name] - np.int32(layout.offsets["features", name] + HEAD)
                inside = (category >= 0) & (category < of.bins)
                cell_of.append(np.where(inside, np.int32(at) + category, np.int32(-1)))
            at += of.bins
    order = part.order
    joints.add_residuals(cells, layout.residual_offset, part.bounds, known[order], r[order], ranks, cell_of)


def _categorical(
    column: Column, known: Mapping[str, int], at: int, part: Partition, cells: Cells, words: Words
) -> Positions:
    """The cell of each event, in the order of the part."""
    first = at + HEAD + len(known)
    table = [known[w] if w in known else first + kernels.bucket(w) for w in column.words]
    cell_of = np.array([*table, at + UNPARSEABLE_CELL], np.int32)  # the last: lists and objects
    found = add_words(cells, part, column.kinds, MISSING, at + MISSING_CELL, column.codes, cell_of)
    if max(table, default=0) >= first:
        unknown = np.flatnonzero(found >= first)
        groups = (np.searchsorted(part.bounds, unknown, side="right") - 1).astype(np.int32)
        _name(words, groups[None, :], column.codes[part.order[unknown]], column.words, [(c,) for c in table])
    return found


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
