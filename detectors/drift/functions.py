"""The difference of two distribution functions, known at the bin edges and taken as straight between them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.counts import ColumnCounts
from detectors.layouts import NumericLayout

Floats = NDArray[np.float64]


class Gap(NamedTuple):
    """Window less reference. `left` and `right` are the differences at the two ends of each bin; `window`,
    `reference` and `both` are each bin's share of the rows."""

    left: Floats
    right: Floats
    window: Floats
    reference: Floats
    both: Floats


def points(layout: object, low: float, high: float) -> Floats:
    """Bin edges with the ends of the open bins."""
    assert isinstance(layout, NumericLayout)
    edges = layout.edges
    if not edges:
        return np.array([low, high])
    return np.array([min(low, edges[0]), *edges, max(high, edges[-1])])


def on_edges(*columns: ColumnCounts) -> bool:
    """Whether every value of columns of one layout, together, lies on the left end of its bin: only then is their sum
    that of these ends."""
    low, high = min(c.low for c in columns), max(c.high for c in columns)
    counts = np.sum([c.counts for c in columns], axis=0)
    rows = int(counts.sum())
    if not rows or not max(-low, high) * rows < 2**53:  # products are not exact
        return False
    ends = np.clip(points(columns[0].layout, low, high), low, high)
    return math.fsum((counts * ends[:-1]).tolist()) == math.fsum(c.sum for c in columns)


def gap(window: ColumnCounts, reference: ColumnCounts) -> Gap | None:
    """The difference at the bin edges, where counts are exact; None without a valid value on either side.

    Between two edges a distribution function may run anywhere from the one value to the other, so that the straight
    line is off by at most the greater of the bin's two shares.
    """
    n, m = int(window.counts.sum()), int(reference.counts.sum())
    if n == 0 or m == 0:
        return None
    difference = np.concatenate([[0.0], np.cumsum(window.counts) / n - np.cumsum(reference.counts) / m])
    return Gap(
        difference[:-1], difference[1:], window.counts / n, reference.counts / m,
        (window.counts + reference.counts) / (n + m),
    )  # fmt: skip


def squared_area(g: Gap, weights: Floats, *, steps: bool = False) -> float:
    """Integral of the squared difference over the bins, each of the given weight (its width, or its share).

    `steps`: all values lie on the left ends of their bins, so that it does not change within one.
    """
    squares = g.right * g.right if steps else (g.left * g.left + g.left * g.right + g.right * g.right) / 3
    return math.fsum((squares * weights).tolist())


def squared_area_error(g: Gap, weights: Floats) -> float:
    """How far `squared_area` can be from the integral over the single values: 2 |difference| share + share^2."""
    share = np.maximum(g.window, g.reference)
    height = np.maximum(np.abs(g.left), np.abs(g.right))
    return math.fsum(((2 * height + share) * share * weights).tolist())
