"""Share of rows in categories that the reference has not seen."""

from __future__ import annotations

import math

import numpy as np

from detectors.counts import ColumnCounts
from detectors.quality.rates import rate_noise


def new_categories(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Share of the window's valid values whose category has no event in the reference; 0 to 1.

    Categories the layout does not know count by their hash bucket: one that shares its bucket with a category of the
    reference is not seen as new, so the share can be too small, never too great. nan without a valid value on either
    side.

    >>> from detectors.layouts import CategoricalLayout
    >>> def counts(*bins):
    ...     return ColumnCounts(layout=CategoricalLayout(categories=("a", "b")), rows=sum(bins), counts=np.array(bins),
    ...         other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=0., low=0., high=0.)
    >>> new_categories(counts(3, 1), counts(9, 0))
    0.25
    """
    if not window.valid or not reference.valid:
        return math.nan
    new = int(window.counts[reference.counts == 0].sum()) + int(window.other[reference.other == 0].sum())
    return new / window.valid


def new_categories_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Binomial with the Good-Turing estimate of what is yet unseen: the share of rows that are alone in theirs.

    Good 1953, Biometrika 40.
    """
    alone = int(np.sum(reference.counts == 1)) + int(np.sum(reference.other == 1))
    return -math.inf, rate_noise(alone, reference.valid, rows, p)[1]
