"""What a window says of all numeric features together: sums of their ranks and of the products of two (layouts.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.counts import Counts, columns
from detectors.layouts import Layout

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JointCounts:
    """Exact sums over `rows` events; the rank of a missing value is 0. Without features where no pairs are counted."""

    names: tuple[str, ...]
    rows: int
    sums: Integers  # of ranks, per feature
    products: Integers  # of two ranks, features x features
    fourth: Integers  # of ranks^4, per feature

    @property
    def pairs(self) -> int:
        """Pairs of features."""
        return len(self.names) * (len(self.names) - 1) // 2


class Moments(NamedTuple):
    """Of the features whose ranks vary in the reference, in its standard deviations, around its means."""

    first: Floats
    second: Floats


def joint_counts(counts: Counts, layout: Layout) -> JointCounts:
    """The joint part of `counts`; no features where the layout counts combinations, or fewer than two."""
    names = layout.numeric_features if layout.joint_pairs else ()
    d = len(names)
    sums, fourth, rows = np.zeros(d, np.int64), np.zeros(d, np.int64), counts.rows
    products = np.zeros((d, d), np.int64)
    if d:
        dense = np.zeros(layout.size, np.int64)
        dense[counts.cells] = counts.values
        by_place = columns(counts, layout)
        first, second = np.triu_indices(d, 1)
        cells = dense[layout.joint_offset : layout.joint_offset + len(first)]
        products[first, second] = products[second, first] = cells
        for i, name in enumerate(names):
            column = by_place["features", name]
            rank = 2 * np.arange(len(column.counts)) - (len(column.counts) - 1)
            sums[i], products[i, i] = int((column.counts * rank).sum()), int((column.counts * rank**2).sum())
            fourth[i] = int((column.counts * rank**4).sum())
            rows = column.rows
    return JointCounts(names=names, rows=rows, sums=sums, products=products, fourth=fourth)


def together_joint(windows: Sequence[JointCounts]) -> JointCounts:
    """Several windows that do not overlap, added up; ValueError without a window."""
    if not windows:
        raise ValueError("no window to add up: the features are not known")
    return JointCounts(
        names=windows[0].names,
        rows=sum(w.rows for w in windows),
        sums=np.sum([w.sums for w in windows], axis=0),
        products=np.sum([w.products for w in windows], axis=0),
        fourth=np.sum([w.fourth for w in windows], axis=0),
    )


def without_joint(total: JointCounts, part: JointCounts) -> JointCounts:
    """What is left of `total` without `part`."""
    return JointCounts(
        names=total.names,
        rows=total.rows - part.rows,
        sums=total.sums - part.sums,
        products=total.products - part.products,
        fourth=total.fourth - part.fourth,
    )


def correlations(of: JointCounts) -> Floats:
    """Rank correlations of all features, nan for one whose rank does not vary. Needs rows.

    >>> one = JointCounts(names=("a", "b"), rows=4, sums=np.zeros(2, np.int64), fourth=np.zeros(2, np.int64),
    ...     products=np.array([[4, 2], [2, 4]]))
    >>> correlations(one).tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """
    mean = of.sums / of.rows
    covariance = of.products / of.rows - np.outer(mean, mean)
    deviation = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    deviation = np.where(deviation > 1e-9, deviation, np.nan)
    found: Floats = covariance / np.outer(deviation, deviation)
    return found


def moments(window: JointCounts, reference: JointCounts) -> Moments | None:
    """The window's moments as the reference sees them; None without two features that vary, or without rows."""
    if not (window.rows and reference.rows and len(reference.names) > 1):
        return None
    mean = reference.sums / reference.rows
    variance = np.diag(reference.products) / reference.rows - mean**2
    some = np.flatnonzero(variance > 1e-9)
    if len(some) < 2:
        return None
    mean, deviation = mean[some], np.sqrt(variance[some])
    own = window.sums[some] / window.rows
    second = window.products[np.ix_(some, some)] / window.rows
    second = second - np.outer(mean, own) - np.outer(own, mean) + np.outer(mean, mean)
    return Moments((own - mean) / deviation, second / np.outer(deviation, deviation))


def kurtosis(of: JointCounts) -> float:
    """Mean fourth standardised moment of the features' ranks: 1.8 for evenly filled bins, 3 for normal values.

    Ranks lie around 0 by construction, so that the mean is not taken off.
    """
    square = np.diag(of.products).astype(np.float64)
    some = square > 0
    return float(np.mean(of.rows * of.fourth[some] / square[some] ** 2)) if some.any() else 3.0
