"""Vectors of any lengths -> their norms, and their projections on fixed random directions.

A compiled loop where numba is there, numpy otherwise: the same to the last bit either way. Why sums are made place by
place and not by a matrix product: they must be the same on every machine, whatever else is in the block.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from detectors.compiling import compiled, engine
from detectors.kernels import Floats, Integers


@lru_cache(maxsize=8)
def directions(length: int, count: int) -> Floats:
    """(length, count): the sign of each place of a vector in each direction, of a hash of length and direction.

    >>> directions(3, 16).shape, set(np.unique(directions(300, 16)).tolist())
    ((3, 16), {1.0, -1.0})
    """
    columns = []
    for k in range(count):
        drawn = hashlib.shake_256(f"embedding {length} {k}".encode()).digest(-(-length // 8))
        columns.append(np.unpackbits(np.frombuffer(drawn, np.uint8))[:length] * 2.0 - 1.0)
    return np.ascontiguousarray(np.stack(columns, axis=1))


@compiled()
def _loop(
    numbers: Floats, starts: Integers, rows: Integers, signs: Floats, first: int, norms: Floats, sums: Floats
) -> None:  # fmt: skip
    length, count = signs.shape
    root, total = np.sqrt(float(length)), np.zeros(count)
    for row in rows:
        at, squares = starts[row], 0.0
        total[:] = 0.0
        for i in range(length):
            value = numbers[at + i]
            squares += value * value
            for k in range(count):
                total[k] += value * signs[i, k]
        norms[first + row] = np.sqrt(squares)
        for k in range(count):
            sums[k, first + row] = total[k] / root


def _numpy(
    numbers: Floats, starts: Integers, rows: Integers, signs: Floats, first: int, norms: Floats, sums: Floats
) -> None:  # fmt: skip
    squares, total = np.zeros(len(rows)), np.zeros((len(rows), signs.shape[1]))
    with np.errstate(over="ignore", invalid="ignore"):
        for i in range(len(signs)):
            values = numbers[starts[rows] + i]
            squares += values * values
            total += values[:, None] * signs[i]
        norms[first + rows] = np.sqrt(squares)
        sums[:, first + rows] = (total / np.sqrt(float(len(signs)))).T


_run = _loop if engine() == "numba" else _numpy


def project(
    numbers: Floats,
    starts: Integers,
    counts: Integers,
    norms: Floats,
    sums: Floats,
    first: int = 0,
    longest: int = 1 << 14,
) -> None:
    """Write norm and projections of vector i, `numbers[starts[i]:starts[i] + counts[i]]`, to column `first + i`.

    `sums` is (directions, columns). Vectors that are empty, or longer than `longest`, are passed over.

    >>> norms, sums = np.zeros(2), np.zeros((16, 2))
    >>> project(np.array([3.0, 4.0, 1.0]), np.array([0, 2]), np.array([2, 1]), norms, sums)
    >>> norms.tolist(), np.abs(sums[:, 1]).tolist() == [1.0] * 16
    ([5.0, 1.0], True)
    """
    alike = len(counts) > 0 and bool((counts == counts[0]).all())
    for length in (counts[:1] if alike else np.unique(counts)).tolist():
        if 0 < length <= longest:
            rows = np.arange(len(counts)) if alike else np.flatnonzero(counts == length)
            _run(numbers, starts, rows, directions(length, len(sums)), first, norms, sums)


def warm() -> None:
    """Compile, or load from the cache, the loop, so that the first block does not wait for it."""
    one: NDArray[np.int64] = np.ones(1, np.int64)
    project(np.ones(1), one - 1, one, np.zeros(1), np.zeros((1, 1)))
