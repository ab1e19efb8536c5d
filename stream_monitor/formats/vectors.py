"""Lists in JSON, compiled: those of numbers into one array, others as how many items they have.

A list that has anything but numbers (null, NaN, text, a list) or an integer that no embedding may have is left to the
plain way. Places are as in scanning.py.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from stream_monitor.formats.machine import byte, compiled
from stream_monitor.formats.numerals import decimal, number
from stream_monitor.formats.scanning import skip, space

_VAST: Final = 2.0**1023  # of integers; see embeddings.py


@compiled
def vector(p: int, pool: NDArray[np.float64], at: int) -> tuple[int, int]:
    """(past the list at `p`, past its numbers in `pool`, where they are written from `at` on).

    There must be room for a number of each two bytes that are left: a digit, and what ends it.
    """
    p += 1
    if byte(p) <= 32:
        p = space(p)
    if byte(p) == 93:
        return p + 1, at
    while True:
        end, value = decimal(p)
        if end < 0:
            end, value, whole = number(p)
            if end < 0 or (whole and abs(value) >= _VAST):
                return -1, at
        p = end
        pool[at] = value
        at += 1
        if byte(p) <= 32:
            p = space(p)
        c = byte(p)
        p += 1
        if c == 93:
            return p, at
        if c != 44:
            return -1, at
        if byte(p) <= 32:
            p = space(p)


@compiled
def items(p: int) -> tuple[int, int]:
    """(past the list at `p`, how many items it has)."""
    p = space(p + 1)
    if byte(p) == 93:
        return p + 1, 0
    count = 0
    while True:
        p = skip(p)
        if p < 0:
            return -1, 0
        count += 1
        p = space(p)
        c = byte(p)
        if c == 93:
            return p + 1, count
        if c != 44:
            return -1, 0
        p = space(p + 1)


@compiled
def gathered(
    pool: NDArray[np.float64], starts: NDArray[np.int64], counts: NDArray[np.int64], out: NDArray[np.float64],
    greatest: NDArray[np.float64], first: int,
) -> None:  # fmt: skip
    """Write lists one after the other to `out`, and the greatest number of list i, where it has any, to `first + i`."""
    to = 0
    for i in range(len(starts)):
        start, count = starts[i], counts[i]
        best = pool[start] if count else 0.0
        for k in range(count):
            value = pool[start + k]
            out[to + k] = value
            if value > best:
                best = value
        to += count
        greatest[first + i] = best
