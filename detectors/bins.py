"""Which bin a number is in, by a table: exactly what a search among the edges would find, in fewer steps.

A monotone function maps numbers to the entries of a table. An edge mapped below a number's entry is not above the
number, one mapped beyond it is above it; so only edges of the same entry are compared. The function is the number
itself, scaled over a range, or the bits of the double (nearly its logarithm), whichever leaves fewer comparisons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.kernels import Floats, Integers

ENTRIES: Final = 1024
SIGN: Final = 0x7FFFFFFFFFFFFFFF
_INSIDE: Final = 15  # edges on either side that hardly any number is near (the tails of detectors/learning.py)

How = tuple[float, float, int, int]  # scale, low: by the number; scale 0, shift and base: by its bits


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bins:
    """The edges of a column with their table. The edges of entry j are `edges[table[j]:table[j + 1]]`."""

    edges: Floats  # and two infinities, where a search ends without being told to
    table: NDArray[np.int16]
    how: How


def bins_of(edges: Floats) -> Bins:
    """The table for ascending finite edges.

    >>> some = bins_of(np.array([0.0, 1.0]))
    >>> some.how, some.table[[0, 1, ENTRIES - 1, ENTRIES]].tolist()
    ((1023.0, 0.0, 0, 0), [0, 1, 1, 2])
    """
    edges = edges + 0.0
    best = min(_candidates(edges), key=lambda candidate: _comparisons(candidate[1]))
    table = np.searchsorted(best[1], np.arange(ENTRIES + 1)).astype(np.int16)
    return Bins(edges=np.concatenate([edges, [np.inf, np.inf]]), table=table, how=best[0])


def _candidates(edges: Floats) -> list[tuple[How, Integers]]:
    """Functions, each with the entries of the edges; the first one always works."""
    nowhere: How = (0.0, 0.0, 63, 0)
    found: list[tuple[How, Integers]] = [(nowhere, np.zeros(len(edges), np.int64))]
    if not len(edges):
        return found
    for skipped in (0, _INSIDE, 3 * _INSIDE):
        inner = edges[skipped : len(edges) - skipped]
        with np.errstate(all="ignore"):
            scale = float((ENTRIES - 1) / (inner[-1] - inner[0])) if len(inner) > 1 else 0.0
            if 0.0 < scale < np.inf:
                y = np.clip((edges - inner[0]) * scale, 0.0, ENTRIES - 1)
                found.append(((scale, float(inner[0]), 0, 0), y.astype(np.int64)))
    bits = edges.view(np.int64)
    keys = bits ^ ((bits >> 63) & SIGN)
    for skipped in (0, _INSIDE):
        inside = keys[skipped : len(keys) - skipped].tolist()
        if inside:
            shift = next(s for s in range(63) if (inside[-1] >> s) - (inside[0] >> s) < ENTRIES)
            base = inside[0] >> shift
            found.append(((0.0, 0.0, shift, base), np.clip((keys >> shift) - base, 0, ENTRIES - 1)))
    return found


def _comparisons(entries: Integers) -> float:
    """About how many comparisons a search takes, over numbers spread evenly among the inner bins."""
    sizes = np.bincount(entries, minlength=1)
    weights = np.full(len(entries), 1.0)
    weights[:_INSIDE] = weights[len(entries) - _INSIDE :] = 0.1
    return float((weights * np.log2(1.0 + sizes[entries])).sum())
