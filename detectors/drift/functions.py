"""The difference of two distribution functions, known at the bin edges and taken as straight between them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.counts import ColumnCounts

Floats = NDArray[np.float64]


class Gap(NamedTuple):
    """Window less reference. `left` and `right` are the differences at the two ends of each bin; `window`,
    `reference` and `both` are each bin's share of the rows."""

    left: Floats
    right: Floats
    window: Floats
    reference: Floats
    both: Floats


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


def squared_area(g: Gap, weights: Floats) -> float:
    """Integral of the squared difference over the bins, each of the given weight (its width, or its share)."""
    squares = (g.left * g.left + g.left * g.right + g.right * g.right) / 3
    return math.fsum((squares * weights).tolist())


def squared_area_error(g: Gap, weights: Floats) -> float:
    """How far `squared_area` can be from the integral over the single values: 2 |difference| share + share^2."""
    share = np.maximum(g.window, g.reference)
    height = np.maximum(np.abs(g.left), np.abs(g.right))
    return math.fsum(((2 * height + share) * share * weights).tolist())
