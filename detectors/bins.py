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
    bits = edges.view(np.int64)
    keys = bits ^ ((bits >> 63) & SIGN)  # the bits as integers of the same order
    hows = _hows(edges.tolist(), keys.tolist())
    entries = np.empty((len(hows), len(edges)), np.int64)
    with np.errstate(all="ignore"):  # edges far out of a range that was scaled
        for row, (scale, low, shift, base) in zip(entries, hows, strict=True):
            if scale > 0.0:
                row[:] = np.minimum(np.maximum((edges - low) * scale, 0.0), ENTRIES - 1.0)
            else:
                row[:] = np.minimum(np.maximum((keys >> shift) - base, 0), ENTRIES - 1)
    best = int(np.argmin(_comparisons(entries)))
    table = np.zeros(ENTRIES + 1, np.int16)
    table[1:] = np.bincount(entries[best], minlength=ENTRIES).cumsum()
    return Bins(edges=np.concatenate([edges, [np.inf, np.inf]]), table=table, how=hows[best])


def _hows(edges: list[float], keys: list[int]) -> list[How]:
    """Functions to choose from; the first one always works."""
    hows: list[How] = [(0.0, 0.0, 63, 0)]
    for skipped in (0, _INSIDE, 3 * _INSIDE):
        inner = edges[skipped : len(edges) - skipped]
        scale = (ENTRIES - 1) / (inner[-1] - inner[0]) if len(inner) > 1 else 0.0
        if 0.0 < scale < np.inf:
            hows.append((scale, inner[0], 0, 0))
    for skipped in (0, _INSIDE):
        inside = keys[skipped : len(keys) - skipped]
        if inside:
            shift = max((inside[-1] - inside[0]).bit_length() - ENTRIES.bit_length() + 1, 0)
            shift += (inside[-1] >> shift) - (inside[0] >> shift) >= ENTRIES
            hows.append((0.0, 0.0, shift, inside[0] >> shift))
    return hows


def _comparisons(entries: Integers) -> Floats:
    """About how many comparisons a search takes, over numbers spread evenly among the inner bins; a row a function."""
    many, n = entries.shape
    flat = entries + ENTRIES * np.arange(many)[:, None]
    sizes = np.bincount(flat.ravel(), minlength=1)
    weights = np.full(n, 1.0)
    weights[:_INSIDE] = weights[max(n - _INSIDE, 0) :] = 0.1
    taken: Floats = np.log2(1.0 + sizes[flat]) @ weights
    return taken
