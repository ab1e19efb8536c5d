"""Counting loops, compiled by numba where it is there, in numpy otherwise: the same integers either way.

Each function adds to arrays the caller owns. DETECTORS_KERNELS=numpy in the environment turns numba off. Here is what
the outcomes need: `groups` is (K, n), for each of K ways to group the events, the row of `cells` that an event counts
in, -1 for none. Columns are counted in numerics.py, sums across columns in joints.py.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.compiling import compiled, engine
from detectors.layouts import BUCKETS, LIMBS, RAW_BUCKETS, RAW_HASHES

Cells = NDArray[np.int64]
Floats = NDArray[np.float64]
Groups = NDArray[np.int32]
Integers = NDArray[np.int64]
Kinds = NDArray[np.uint8]
Positions = NDArray[np.int32]
Ranks = NDArray[np.int16]

_LOW: Final = np.uint64(0xFFFFFFFF)


@compiled(inline=True)
def digits(bits: np.uint64) -> tuple[np.uint64, np.int64, np.int64, np.int64]:
    """Of the bits of |x|: the first of its three 32-bit digits in units of 2**-1074, and the digits.

    Why unsigned, here and in other loops: an index that could be negative is looked at before it is used.
    """
    exponent, mantissa = bits >> np.uint64(52), bits & np.uint64(0x000FFFFFFFFFFFFF)
    normal = np.uint64(1) if exponent != np.uint64(0) else np.uint64(0)
    mantissa |= normal << np.uint64(52)
    exponent -= normal
    first, shift = exponent >> np.uint64(5), exponent & np.uint64(31)
    low, high = (mantissa & _LOW) << shift, (mantissa >> np.uint64(32)) << shift
    high += low >> np.uint64(32)
    return first, np.int64(low & _LOW), np.int64(high & _LOW), np.int64(high >> np.uint64(32))


def _add_at(cells: Cells, group: NDArray[np.int32], cell: NDArray[np.int64]) -> None:
    rows = group >= 0
    np.add.at(cells, (group[rows], cell[rows]), 1)


@compiled()
def _sums_loop(cells: Cells, at: int, group: NDArray[np.int32], numbers: Floats) -> None:
    bits = numbers.view(np.uint64)
    for i in range(len(group)):
        g = group[i]
        if g >= 0:
            first, d0, d1, d2 = digits(bits[i] & np.uint64(0x7FFFFFFFFFFFFFFF))
            sign = -1 if numbers[i] < 0 else 1
            row = cells[g, at:]
            row[first] += sign * d0
            row[first + np.uint64(1)] += sign * d1
            row[first + np.uint64(2)] += sign * d2


def add_sums_numpy(cells: Cells, at: int, group: NDArray[np.int32], numbers: Floats) -> None:
    """`add_sums` without numba."""
    rows = group >= 0
    group, numbers = group[rows], numbers[rows]
    bits = np.abs(numbers).view(np.uint64).astype(np.int64)
    exponent, mantissa = bits >> 52, bits & 0x000FFFFFFFFFFFFF
    mantissa |= (exponent > 0).astype(np.int64) << 52
    exponent -= exponent > 0
    first, shift = exponent >> 5, exponent & 31
    low, high = (mantissa & 0xFFFFFFFF) << shift, (mantissa >> 32) << shift
    high += low >> 32
    sign = np.where(numbers < 0, -1, 1)
    for i, digit in enumerate((low & 0xFFFFFFFF, high & 0xFFFFFFFF, high >> 32)):
        np.add.at(cells, (group, at + first + i), sign * digit)


@compiled()
def _cells_loop(cells: Cells, groups: Groups, cell: NDArray[np.int32]) -> None:
    for i in range(groups.shape[1]):
        if cell[i] >= 0:
            for k in range(groups.shape[0]):
                if groups[k, i] >= 0:
                    cells[groups[k, i], cell[i]] += 1


def _cells_numpy(cells: Cells, groups: Groups, cell: NDArray[np.int32]) -> None:
    for group in groups:
        _add_at(cells, np.where(cell >= 0, group, np.int32(-1)), cell.astype(np.int64))


@compiled()
def _sparse_loop(cells: Cells, places: Positions, values: Cells, bounds: Integers) -> None:
    n = 0
    for g in range(cells.shape[0]):
        row = cells[g]
        for i in range(len(row)):
            if row[i] != 0:
                places[n] = i
                values[n] = row[i]
                n += 1
        bounds[g + 1] = n


def _sparse_numpy(cells: Cells, places: Positions, values: Cells, bounds: Integers) -> None:
    rows, places[:] = np.nonzero(cells)
    values[:] = cells[rows, places]
    bounds[1:] = np.bincount(rows, minlength=len(cells)).cumsum()


_sparse = _sparse_loop if engine() == "numba" else _sparse_numpy
_sums = _sums_loop if engine() == "numba" else add_sums_numpy
_cells = _cells_loop if engine() == "numba" else _cells_numpy


def add_sums(cells: Cells, at: int, group: NDArray[np.int32], numbers: Floats) -> None:
    """Add finite `numbers` to the exact sums whose LIMBS digits begin at `at`, each in the row of its group."""
    _sums(cells, at, group, numbers)


def add_cells(cells: Cells, groups: Groups, cell: NDArray[np.int32]) -> None:
    """Count each event in its `cell`; -1 is no cell."""
    _cells(cells, groups, cell)


def sparse(cells: Cells) -> list[tuple[Positions, Cells]]:
    """Of each row the cells that are not 0, ascending, and what is in them.

    >>> [(where.tolist(), values.tolist()) for where, values in sparse(np.array([[0, 5, 0, -1], [0, 0, 0, 0]]))]
    [([1, 3], [5, -1]), ([], [])]
    """
    some = int(np.count_nonzero(cells))
    places, values, bounds = np.empty(some, np.int32), np.empty(some, np.int64), np.zeros(len(cells) + 1, np.int64)
    _sparse(cells, places, values, bounds)
    return [(places[first:last], values[first:last]) for first, last in pairwise(bounds.tolist())]


def normal(numbers: Floats) -> Floats:
    """`numbers` without -0.0, so that equal numbers are equal bits."""
    return numbers + 0.0


def raw_bins(numbers: Floats) -> NDArray[np.int32]:
    """The sign, the exponent and three bits of mantissa of each number.

    >>> bins = raw_bins(np.array([1.0, 1.1, 1.125, -1.0]))
    >>> (bins - bins[0]).tolist()
    [0, 0, 1, 16384]
    """
    return (normal(numbers).view(np.uint64) >> np.uint64(49)).astype(np.int32)


def hash_bytes(word: str) -> bytes:
    """What a word's hash buckets are taken from: the same in every process and release."""
    return hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def bucket(word: str) -> int:
    """The hash bucket of a category that the layout does not know, 0 to BUCKETS - 1.

    >>> bucket("de"), bucket("fr")
    (7, 5)
    """
    return hash_bytes(word)[RAW_HASHES] % BUCKETS


def raw_buckets(word: str) -> list[int]:
    """The hash buckets of a text under the raw layout, one in each of RAW_HASHES rows."""
    width = RAW_BUCKETS // RAW_HASHES
    assert width == 256
    return [row * width + byte for row, byte in enumerate(hash_bytes(word)[:RAW_HASHES])]


def log(x: Floats) -> Floats:
    """The natural logarithm of positive normal numbers, to 1e-15, by additions, multiplications and divisions alone.

    Why not np.log: its last bit depends on the processor, and counts may not.

    >>> log(np.array([1.0])).tolist(), bool(abs(log(np.array([0.1]))[0] - np.log(0.1)) < 1e-15)
    ([0.0], True)
    """
    mantissa, exponent = np.frexp(x)
    small = mantissa < 0.7071067811865476
    mantissa = np.where(small, mantissa * 2, mantissa)
    k = (exponent - small).astype(np.float64)
    s = (mantissa - 1) / (mantissa + 1)
    z = s * s
    series = np.zeros(len(x))
    for n in range(23, 1, -2):  # atanh(s) = s + s^3/3 + ..., |s| < 0.172
        series = (series + 1 / n) * z
    tail = 2 * s * series + k * 1.90821492927058770002e-10
    result: Floats = k * 6.93147180369123816490e-01 + (2 * s + tail)
    return result


def warm() -> None:
    """Compile, or load from the cache, everything above, so that the first block does not wait for it."""
    cells, groups = np.zeros((1, LIMBS), np.int64), np.zeros((1, 1), np.int32)
    add_sums(cells, 0, groups[0], np.zeros(1))
    add_cells(cells, groups, np.zeros(1, np.int32))
    sparse(cells)
