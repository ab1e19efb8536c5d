"""Columns that tell of one thing together: those of an embedding or a text, the attributions of all features."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.counts import ColumnCounts
from detectors.joint_counts import JointCounts, correlations

Floats = NDArray[np.float64]

HIGHEST: Final = 0.99


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FamilyCounts:
    """The columns of a family in one window, by their names in it: `p0`, `tokens`, or a feature's.

    `joint` has the products of their ranks, under the same names; None where they are not counted.
    """

    columns: Mapping[str, ColumnCounts]
    joint: JointCounts | None = None

    @property
    def rows(self) -> int:
        """Events with a value: those without are no drift here, and attributions may be logged of a few events only."""
        return max((c.valid for c in self.columns.values()), default=0)


def correlation(of: FamilyCounts, names: Sequence[str]) -> Floats | None:
    """Rank correlations of some columns; None where the products of their ranks are not counted."""
    if of.joint is None or not of.joint.rows or not set(names) <= set(of.joint.names):
        return None
    at = [of.joint.names.index(name) for name in names]
    found = correlations(of.joint)[np.ix_(at, at)]
    found = np.where(np.isfinite(found), found, 0.0)  # of a column that does not vary
    np.fill_diagonal(found, 1.0)
    return found


def cauchy(p_values: Sequence[float]) -> float:
    """One p-value of several, however they depend on each other: right far out in the tail, about right before.

    Those of 1 have nothing to tell and are left out; 1 when all are; nan without any. One near 1 counts as 0.99, so
    that it cannot make up for one near 0.
    Liu and Xie 2020, J. Am. Stat. Assoc. 115.

    >>> [round(cauchy(p), 9) for p in ([0.01, 0.01, 0.01], [0.2, 1.0], [1.0])]
    [0.01, 0.2, 1.0]
    """
    known = [p for p in p_values if not math.isnan(p)]
    if not known:
        return math.nan
    some = [p for p in known if p < 1]
    if not some:
        return 1.0
    cotangents = [1 / math.tan(math.pi * min(max(p, 1e-300), HIGHEST)) for p in some]
    return math.atan2(1.0, math.fsum(cotangents) / len(some)) / math.pi
