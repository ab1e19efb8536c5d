"""Sums across columns: products of ranks, and of label residuals with ranks (joint and residual cells, layouts.py).

Events come in groups that lie one after the other: those of row g of `cells` at [bounds[g], bounds[g + 1]). All sums
are exact, so numba and numpy give the same integers: single precision is used only as far as every partial sum is an
integer below 2**24, double precision below 2**53.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.compiling import compiled, engine
from detectors.kernels import Cells, Integers, Ranks
from detectors.layouts import JOINT_WIDTH, RESIDUAL_HEAD, RESIDUAL_SQUARES, RESIDUAL_SUM, RESIDUALS, combinations

_CHUNK: Final = 256  # events whose sum of products of two ranks stays below 2**24
_WIDEST: Final = 255  # the greatest rank for which that holds


def _pairs_numpy(cells: Cells, at: int, bounds: Integers, ranks: Ranks) -> None:
    first, second = np.triu_indices(len(ranks), 1)
    for g in range(len(bounds) - 1):
        some = ranks[:, bounds[g] : bounds[g + 1]].astype(np.float64)
        products = some @ some.T
        cells[g, at : at + len(first)] += products[first, second].astype(np.int64)


# Why fast math is allowed to change the order of additions: they are all exact.
@compiled(fastmath={"reassoc", "contract"})
def _pairs_loop(cells: Cells, at: int, bounds: Integers, ranks: Ranks) -> None:
    d = ranks.shape[0]
    chunk = np.empty((d, _CHUNK), np.float32)
    for g in range(len(bounds) - 1):
        for first in range(bounds[g], bounds[g + 1], _CHUNK):
            n = min(_CHUNK, bounds[g + 1] - first)
            for i in range(d):
                for t in range(n):
                    chunk[i, t] = ranks[i, first + t]
            cell = at
            for i in range(d):
                for j in range(i + 1, d):
                    total = np.float32(0.0)
                    for t in range(n):
                        total += chunk[i, t] * chunk[j, t]
                    cells[g, cell] += np.int64(total)
                    cell += 1


@lru_cache(maxsize=16)
def _drawn(columns: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Columns and signs of the combinations, one a row."""
    drawn = np.array(combinations(columns), np.int64)
    return np.ascontiguousarray(drawn[:, :, 0]), drawn[:, :, 1].astype(np.float64)


def _combinations_numpy(
    cells: Cells, at: int, bounds: Integers, ranks: Ranks, columns: NDArray[np.int64], signs: NDArray[np.float64]
) -> None:
    weights = np.zeros((len(columns), len(ranks)))
    weights[np.arange(len(columns))[:, None], columns] = signs
    for g in range(len(bounds) - 1):
        for first in range(bounds[g], bounds[g + 1], 8 * _CHUNK):
            u = weights @ ranks[:, first : min(first + 8 * _CHUNK, bounds[g + 1])].astype(np.float64)
            cells[g, at : at + len(columns)] += (u * u).sum(axis=1).astype(np.int64)


@compiled(fastmath={"reassoc", "contract"})
def _combinations_loop(
    cells: Cells, at: int, bounds: Integers, ranks: Ranks, columns: NDArray[np.int64], signs: NDArray[np.float64]
) -> None:
    d = ranks.shape[0]
    chunk = np.empty((d, _CHUNK), np.float32)
    u = np.empty(_CHUNK, np.float32)
    for g in range(len(bounds) - 1):
        for first in range(bounds[g], bounds[g + 1], _CHUNK):
            n = min(_CHUNK, bounds[g + 1] - first)
            for i in range(d):
                for t in range(n):
                    chunk[i, t] = ranks[i, first + t]
            for k in range(columns.shape[0]):
                for t in range(n):
                    u[t] = np.float32(0.0)
                for c in range(columns.shape[1]):
                    i, sign = columns[k, c], np.float32(signs[k, c])
                    for t in range(n):
                        u[t] += sign * chunk[i, t]
                total = 0.0
                for t in range(n):
                    total += np.float64(u[t]) * np.float64(u[t])
                cells[g, at + k] += np.int64(total)


def add_pairs(cells: Cells, at: int, bounds: Integers, ranks: Ranks) -> None:
    """Add rank_i * rank_j for every pair i < j of rows of `ranks`, to the cells that begin at `at`.

    >>> cells = np.zeros((2, 3), np.int64)
    >>> add_pairs(cells, 0, np.array([0, 2, 3]), np.array([[1, 2, 3], [1, 1, -1], [0, 5, 7]], np.int16))
    >>> cells.tolist()
    [[3, 10, 5], [-3, 21, -7]]
    """
    if len(ranks) > 1:
        kernel = _pairs_loop if engine() == "numba" and _narrow(ranks) else _pairs_numpy
        kernel(cells, at, bounds, ranks)


def add_combinations(cells: Cells, at: int, bounds: Integers, ranks: Ranks) -> None:
    """Add the square of every combination of rows of `ranks`, to the cells that begin at `at`."""
    kernel = _combinations_loop if engine() == "numba" and _narrow(ranks) else _combinations_numpy
    kernel(cells, at, bounds, ranks, *_drawn(len(ranks)))


def _narrow(ranks: Ranks) -> bool:
    """Whether single precision holds sums over a chunk; every layout but a stated one with more bins is."""
    return not ranks.size or (int(ranks.max()) <= _WIDEST and int(ranks.min()) >= -_WIDEST)


@compiled()
def _residuals_loop(
    cells: Cells, at: int, bounds: Integers, known: NDArray[np.bool_], r: NDArray[np.int32], ranks: Ranks
) -> None:
    for g in range(len(bounds) - 1):
        start, stop = bounds[g], bounds[g + 1]
        for t in range(start, stop):
            if known[t]:
                cells[g, at + RESIDUALS] += 1
                cells[g, at + RESIDUAL_SUM] += r[t]
                cells[g, at + RESIDUAL_SQUARES] += np.int64(r[t]) * np.int64(r[t])
        for i in range(ranks.shape[0]):
            total = np.int64(0)
            for t in range(start, stop):
                if known[t]:
                    total += np.int64(r[t]) * np.int64(ranks[i, t])
            cells[g, at + RESIDUAL_HEAD + i] += total


@compiled()
def _weighted_loop(
    cells: Cells, bounds: Integers, known: NDArray[np.bool_], r: NDArray[np.int32], cell: NDArray[np.int32]
) -> None:
    for g in range(len(bounds) - 1):
        for t in range(bounds[g], bounds[g + 1]):
            if known[t] and cell[t] >= 0:
                cells[g, cell[t]] += r[t]


def _residuals_numpy(
    cells: Cells, at: int, bounds: Integers, known: NDArray[np.bool_], r: NDArray[np.int32], ranks: Ranks
) -> None:
    kept = np.where(known, r, 0).astype(np.int64)
    for g in range(len(bounds) - 1):
        inside = slice(bounds[g], bounds[g + 1])
        of = kept[inside]
        cells[g, at + RESIDUALS] += np.count_nonzero(known[inside])
        cells[g, at + RESIDUAL_SUM] += of.sum()
        cells[g, at + RESIDUAL_SQUARES] += of @ of
        cells[g, at + RESIDUAL_HEAD : at + RESIDUAL_HEAD + len(ranks)] += ranks[:, inside].astype(np.int64) @ of


def _weighted_numpy(
    cells: Cells, bounds: Integers, known: NDArray[np.bool_], r: NDArray[np.int32], cell: NDArray[np.int32]
) -> None:
    for g in range(len(bounds) - 1):
        of, weights = cell[bounds[g] : bounds[g + 1]], r[bounds[g] : bounds[g + 1]]
        rows = known[bounds[g] : bounds[g + 1]] & (of >= 0)
        np.add.at(cells[g], of[rows], weights[rows])


_residuals = _residuals_loop if engine() == "numba" else _residuals_numpy
_weighted = _weighted_loop if engine() == "numba" else _weighted_numpy


def add_residuals(
    cells: Cells,
    at: int,
    bounds: Integers,
    known: NDArray[np.bool_],
    r: NDArray[np.int32],
    ranks: Ranks,
    categories: Sequence[NDArray[np.int32]],
) -> None:
    """Add the residuals `r` of the events where they are `known`, to the cells that begin at `at`.

    `categories` gives per categorical feature the cell of each event's category, -1 for none.

    >>> cells = np.zeros((1, 5), np.int64)
    >>> both, r = np.array([True, True, False]), np.array([3, -1, 9], np.int32)
    >>> words = [np.array([4, -1, 4], np.int32)]
    >>> add_residuals(cells, 0, np.array([0, 3]), both, r, np.array([[2, 5, 7]], np.int16), words)
    >>> cells.tolist()
    [[2, 2, 10, 1, 3]]
    """
    _residuals(cells, at, bounds, known, r, ranks)
    for cell in categories:
        _weighted(cells, bounds, known, r, cell)


def warm() -> None:
    """Compile, or load from the cache, everything above."""
    cells, bounds, ranks = np.zeros((1, 1024), np.int64), np.array([0, 1]), np.ones((JOINT_WIDTH, 1), np.int16)
    known, r = np.ones(1, np.bool_), np.ones(1, np.int32)
    some: Any = np.zeros(1, np.int32)
    add_pairs(cells, 0, bounds, ranks)
    add_combinations(cells, 0, bounds, ranks)
    add_residuals(cells, 0, bounds, known, r, ranks, [some])
