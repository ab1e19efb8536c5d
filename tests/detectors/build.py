"""Counts made from arrays the plain way, with nothing of the pipeline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.arrivals import StreamCounts
from detectors.counts import ZERO, ColumnCounts, OutcomeCounts, float_to_limbs
from detectors.ids import hash_texts, id_cells
from detectors.joint_counts import JointCounts
from detectors.layouts import (
    ABSOLUTE_ERROR,
    BUCKETS,
    CORRECT,
    DELAYS,
    ERROR,
    FN,
    FP,
    HOLES,
    ID_COUNTS,
    ID_SUMS,
    KEYS,
    LABEL_CELLS,
    LABEL_SQUARE,
    LABEL_VALUE,
    LABELS,
    LATENCIES,
    LIMBS,
    LOG_LOSS,
    NEGATIVE_SCORES,
    NONZERO_LABELS,
    OUT_OF_ORDER,
    OUTCOME_CELLS,
    POSITIVE_SCORES,
    RELATIVE_ERROR,
    RELATIVE_SQUARE,
    SCHEMAS,
    SCORE_BINS,
    SCORED,
    SQUARED_ERROR,
    SQUARED_SCORE_ERROR,
    SYMMETRIC_ERROR,
    SYMMETRIC_SQUARE,
    TN,
    TP,
    CategoricalLayout,
    NumericLayout,
)
from detectors.log_buckets import log_bucket

Floats = Sequence[float] | NDArray[np.float64]


def numeric(values: Floats, edges: Floats, missing: int = 0) -> ColumnCounts:
    """A numeric column that holds `values`; those that are not finite count as such."""
    x = np.asarray(values, np.float64)
    valid = x[np.isfinite(x)]
    bins = np.searchsorted(np.asarray(edges, np.float64), valid, side="right")
    return ColumnCounts(
        layout=NumericLayout(edges=tuple(float(e) for e in edges)),
        rows=len(x) + missing,
        counts=np.bincount(bins, minlength=len(edges) + 1).astype(np.int64),
        other=np.zeros(0, np.int64),
        missing=missing,
        nonfinite=len(x) - len(valid),
        unparseable=0,
        sum=math.fsum(valid),
        low=float(valid.min(initial=np.inf)),
        high=float(valid.max(initial=-np.inf)),
    )


def joint(values: NDArray[np.float64], edges: Floats) -> JointCounts:
    """Events x features, nan where missing: sums of bin ranks and of their products, the plain way."""
    bins = np.searchsorted(np.asarray(edges, np.float64), values, side="right")
    ranks = np.where(np.isnan(values), 0, 2 * bins - len(edges)).astype(np.int64)
    return JointCounts(
        names=tuple(f"f{i}" for i in range(values.shape[1])),
        rows=len(values),
        sums=ranks.sum(axis=0),
        products=ranks.T @ ranks,
        fourth=(ranks**4).sum(axis=0),
    )


def categorical(counts: Sequence[int], unknown: int = 0, missing: int = 0) -> ColumnCounts:
    """A categorical column with `counts` events per known category, and `unknown` ones in one bucket."""
    other = np.zeros(BUCKETS, np.int64)
    other[5] = unknown
    return ColumnCounts(
        layout=CategoricalLayout(categories=tuple(f"c{i:03}" for i in range(len(counts)))),
        rows=sum(counts) + unknown + missing,
        counts=np.array(counts, np.int64),
        other=other,
        missing=missing,
        nonfinite=0,
        unparseable=0,
        sum=math.nan,
        low=math.inf,
        high=-math.inf,
    )


def binary(labels: Any, scores: Any, cut: float = 0.5) -> OutcomeCounts:
    """The outcome of events with labels 0 or 1 and scores; predicted positive from `cut` on."""
    y, s = np.asarray(labels, np.int64), np.asarray(scores, np.float64)
    cells = np.zeros(LABEL_CELLS, np.int64)
    positive = s >= cut
    cells[LABELS] = cells[SCORED] = len(y)
    cells[TP], cells[FP] = np.sum(positive & (y == 1)), np.sum(positive & (y == 0))
    cells[FN], cells[TN] = np.sum(~positive & (y == 1)), np.sum(~positive & (y == 0))
    cells[CORRECT] = cells[TP] + cells[TN]
    bins = np.minimum((s * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)
    np.add.at(cells, np.where(y == 1, POSITIVE_SCORES, NEGATIVE_SCORES) + bins, 1)
    given = np.clip(np.where(y == 1, s, 1 - s), 1e-15, 1)
    cells[LOG_LOSS : LOG_LOSS + LIMBS] = float_to_limbs((-np.log(given)).tolist())
    cells[SQUARED_SCORE_ERROR : SQUARED_SCORE_ERROR + LIMBS] = float_to_limbs(((s - y) ** 2).tolist())
    return OutcomeCounts(rows=len(y), cells=cells)


def regression(labels: Any, predictions: Any, *, exact: bool = True) -> OutcomeCounts:
    """The outcome of events with real labels and predictions. Sums are exact, or else rounded, which is soon done."""
    y, f = np.asarray(labels, np.float64), np.asarray(predictions, np.float64)
    error = f - y
    relative, symmetric = (
        np.abs(error[y != 0] / y[y != 0]),
        2 * np.abs(error) / np.maximum(np.abs(f) + np.abs(y), 1e-300),
    )
    cells = np.zeros(LABEL_CELLS, np.int64)
    cells[LABELS], cells[NONZERO_LABELS] = len(error), len(relative)
    for first, values in (
        (ERROR, error),
        (ABSOLUTE_ERROR, np.abs(error)),
        (SQUARED_ERROR, error**2),
        (LABEL_VALUE, y),
        (LABEL_SQUARE, y**2),
        (RELATIVE_ERROR, relative),
        (RELATIVE_SQUARE, relative**2),
        (SYMMETRIC_ERROR, symmetric),
        (SYMMETRIC_SQUARE, symmetric**2),
    ):
        cells[first : first + LIMBS] = float_to_limbs(values.tolist() if exact else [float(values.sum())])
    return OutcomeCounts(rows=len(error), cells=cells)


def arrived(rows: int, spread: int = 1) -> StreamCounts:
    """A stream of `rows` events: every tenth repeats an id, every fifth is out of order, delays grow with `spread`."""
    i = np.arange(rows)
    cells, marks = id_cells(hash_texts([f"id{k - k % 10 // 9}" for k in i.tolist()]))
    durations = log_bucket(np.power(10.0 + i % 97, spread, dtype=np.float64))
    keys = KEYS + i % 11
    found = [(np.full(rows // 5, OUT_OF_ORDER), 1), (np.full(3, HOLES), 1), (DELAYS + durations, 1)]
    found += [(LATENCIES + durations, 1), (keys, 1), (SCHEMAS + i % 3 % spread, 1), (ID_COUNTS + cells, 1)]
    dense = np.zeros(OUTCOME_CELLS, np.int64)
    for at, value in found:
        np.add.at(dense, at, value)
    np.add.at(dense, ID_SUMS + cells, marks)
    at = np.flatnonzero(dense)
    counts = replace(ZERO, rows=rows, cells=at.astype(np.int32), values=dense[at])
    return StreamCounts(rows=rows, late=rows // 7, seconds=rows / 10, silence=3.0, counts=counts)


def nothing() -> OutcomeCounts:
    """No event at all."""
    return OutcomeCounts(rows=0, cells=np.zeros(LABEL_CELLS, np.int64))
