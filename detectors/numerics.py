"""Counting a numeric column: heads, bins, the exact sum, least and greatest, ranks; in one pass over its values."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.bins import ENTRIES, SIGN, Bins, How, bins_of
from detectors.compiling import compiled, engine
from detectors.kernels import Cells, Floats, Integers, Kinds, Positions, Ranks, add_sums_numpy, digits
from detectors.layouts import HEAD, LIMBS
from detectors.partitions import Partition

VALID: Final = -1  # in `heads`: the value counts in its bin
_LAST_ENTRY: Final = ENTRIES - 1.0
_0: Final = np.uint64(0)
_1: Final = np.uint64(1)
_2: Final = np.uint64(2)

Heads = NDArray[np.int64]  # per kind of value, the head it counts in (MISSING, NONFINITE, UNPARSEABLE), or VALID


@compiled()
def _count_loop(
    cells: Cells, low: Floats, high: Floats, at: int, order: Positions, bounds: Integers, kinds: Kinds, heads: Heads,
    numbers: Floats, edges: Floats, table: Ranks, how: How, ranks: Ranks,
) -> None:  # fmt: skip
    bits = numbers.view(np.int64)
    scale, start, shift, base = how
    body = at + HEAD
    last = len(edges) - 2
    limbs = body + last + 1
    sums = np.zeros(2 * LIMBS, np.int64)  # two, taken in turn: an addition need not wait for the one before it
    for g in range(len(bounds) - 1):
        heads_of, bins_of_row = cells[g, at:], cells[g, body:]
        least, greatest = np.inf, -np.inf
        for t in range(np.uint64(bounds[g]), np.uint64(bounds[g + 1])):
            i = np.uint64(order[t])
            head = heads[kinds[i]]
            if head != VALID:
                ranks[t] = 0
                heads_of[head] += 1
                continue
            x = numbers[i] + 0.0
            b = bits[i] if x != 0.0 else 0
            if scale > 0.0:
                y = (x - start) * scale
                # Why within bounds first: the greatest doubles must not overflow an integer.
                y = y if y > 0.0 else 0.0
                j = np.uint64(int(y if y < _LAST_ENTRY else _LAST_ENTRY))
            else:
                j = np.uint64(min(max(((b ^ ((b >> 63) & SIGN)) >> shift) - base, 0), ENTRIES - 1))
            # Most entries have an edge or none, so this is mostly all; it has no branch that could be guessed wrong.
            a = np.uint64(table[j])
            a += _1 if x >= edges[a] else _0
            a += _1 if x >= edges[a] else _0
            if x >= edges[a]:
                stop = np.uint64(table[j + _1])
                while a < stop:
                    middle = (a + stop) >> _1
                    if x < edges[middle]:
                        stop = middle
                    else:
                        a = middle + _1
            ranks[t] = 2 * np.int64(a) - last
            bins_of_row[a] += 1
            first, d0, d1, d2 = digits(np.uint64(b) & np.uint64(SIGN))
            sign = b >> 63  # 0 or -1; (d ^ sign) - sign is the signed digit, without a branch
            first += (t & _1) * np.uint64(LIMBS)
            sums[first] += (d0 ^ sign) - sign
            sums[first + _1] += (d1 ^ sign) - sign
            sums[first + _2] += (d2 ^ sign) - sign
            least = x if x < least else least
            greatest = x if x > greatest else greatest
        for k in range(LIMBS):
            cells[g, limbs + k] += sums[k] + sums[LIMBS + k]
            sums[k] = sums[LIMBS + k] = 0
        low[g] = min(low[g], least)
        high[g] = max(high[g], greatest)


def _count_numpy(
    cells: Cells, low: Floats, high: Floats, at: int, order: Positions, bounds: Integers, kinds: Kinds, heads: Heads,
    numbers: Floats, edges: Floats, table: Ranks, how: How, ranks: Ranks,
) -> None:  # fmt: skip
    head = heads[kinds[order]]
    valid = head == VALID
    x = np.where(valid, numbers[order], 0.0) + 0.0
    bins = np.searchsorted(edges[:-2], x, side="right")
    ranks[:] = np.where(valid, 2 * bins - (len(edges) - 2), 0)
    cell = at + np.where(valid, HEAD + bins, head)
    for g in range(len(bounds) - 1):
        inside = slice(bounds[g], bounds[g + 1])
        cells[g] += np.bincount(cell[inside], minlength=cells.shape[1])
        some = x[inside][valid[inside]]
        add_sums_numpy(cells[g : g + 1], at + HEAD + len(edges) - 1, np.zeros(len(some), np.int32), some)
        low[g] = min(low[g], some.min(initial=np.inf))
        high[g] = max(high[g], some.max(initial=-np.inf))


_count = _count_loop if engine() == "numba" else _count_numpy


def add_numeric(
    cells: Cells, low: Floats, high: Floats, at: int, groups: Partition, kinds: Kinds, heads: Heads, numbers: Floats,
    bins: Bins, ranks: Ranks,
) -> None:  # fmt: skip
    """Count one numeric column, whose cells begin at `at`, in the rows of `cells` that are the events' groups.

    `numbers` are finite, and looked at where `heads` of the kind is VALID. `ranks` are written in the groups' order.

    >>> cells, low, high = np.zeros((1, HEAD + 3 + LIMBS), np.int64), np.full(1, np.inf), np.full(1, -np.inf)
    >>> groups = Partition(order=np.arange(3, dtype=np.int32), bounds=np.array([0, 3]))
    >>> kinds, heads, numbers = np.array([0, 0, 1], np.uint8), np.array([VALID, 0]), np.array([1.0, 2.5, 0.0])
    >>> ranks = np.zeros(3, np.int16)
    >>> add_numeric(cells, low, high, 0, groups, kinds, heads, numbers, bins_of(np.array([1.0, 2.0])), ranks)
    >>> cells[0, :6].tolist(), low.tolist(), high.tolist(), ranks.tolist()
    ([1, 0, 0, 0, 1, 1], [1.0], [2.5], [0, 2, 0])
    """
    order, bounds = groups.order, groups.bounds
    _count(cells, low, high, at, order, bounds, kinds, heads, numbers, bins.edges, bins.table, bins.how, ranks)


@compiled()
def _words_loop(
    cells: Cells, order: Positions, bounds: Integers, kinds: Kinds, missing: int, missing_cell: int, codes: Positions,
    cell_of: Positions, found: Positions,
) -> None:  # fmt: skip
    nested = len(cell_of) - 1
    for g in range(len(bounds) - 1):
        row = cells[g]
        for t in range(np.uint64(bounds[g]), np.uint64(bounds[g + 1])):
            i = np.uint64(order[t])
            code = codes[i]
            cell = missing_cell if kinds[i] == missing else cell_of[np.uint64(code if code >= 0 else nested)]
            found[t] = cell
            row[np.uint64(cell)] += 1


def _words_numpy(
    cells: Cells, order: Positions, bounds: Integers, kinds: Kinds, missing: int, missing_cell: int, codes: Positions,
    cell_of: Positions, found: Positions,
) -> None:  # fmt: skip
    found[:] = np.where(kinds[order] == missing, np.int32(missing_cell), cell_of[codes[order]])  # -1: the last
    for g in range(len(bounds) - 1):
        cells[g] += np.bincount(found[bounds[g] : bounds[g + 1]], minlength=cells.shape[1])


_words = _words_loop if engine() == "numba" else _words_numpy


def add_words(
    cells: Cells, groups: Partition, kinds: Kinds, missing: int, missing_cell: int, codes: Positions, cell_of: Positions
) -> Positions:
    """Count one categorical column; the cell of each event, in the groups' order.

    An event of kind `missing` counts in `missing_cell`, any other in `cell_of` of its code, whose last entry is that of
    values without a word (code -1).

    >>> groups = Partition(order=np.arange(4, dtype=np.int32), bounds=np.array([0, 4]))
    >>> cells = np.zeros((1, 4), np.int64)
    >>> codes = np.array([0, 1, -1, -1], np.int32)
    >>> add_words(cells, groups, np.array([5, 5, 5, 9], np.uint8), 9, 0, codes, np.array([2, 3, 1], np.int32)).tolist()
    [2, 3, 1, 0]
    >>> cells.tolist()
    [[1, 1, 1, 1]]
    """
    found = np.empty(len(groups.order), np.int32)
    _words(cells, groups.order, groups.bounds, kinds, missing, missing_cell, codes, cell_of, found)
    return found


def warm() -> None:
    """Compile, or load from the cache, everything above."""
    cells, ends, one = np.zeros((1, 2 * HEAD + 2 + LIMBS), np.int64), np.zeros(1), np.ones(1)
    groups, kinds = Partition(order=np.zeros(1, np.int32), bounds=np.array([0, 1])), np.zeros(1, np.uint8)
    heads, ranks = np.full(6, VALID), np.zeros(1, np.int16)
    add_numeric(cells, ends, ends.copy(), 0, groups, kinds, heads, one, bins_of(np.zeros(1)), ranks)
    add_words(cells, groups, kinds, 3, 0, np.zeros(1, np.int32), np.zeros(2, np.int32))
