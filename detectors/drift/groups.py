"""Bins merged to a few groups before two distributions are compared.

Why: a layout has up to 255 bins. The sampling noise of PSI, Jensen-Shannon and chi-square grows with the number of
bins, so that 100 rows in 255 bins are all noise. Which bins go together depends on the reference counts alone.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from detectors.counts import ColumnCounts
from detectors.quality.rates import rate_noise

Floats = NDArray[np.float64]

NUMERIC_GROUPS: Final = 10  # the deciles that PSI is commonly read by
CATEGORICAL_GROUPS: Final = 20  # a category with 5 % of the reference, and most with 3 %, stands alone


def grouped(window: ColumnCounts, reference: ColumnCounts, *, together: bool = False) -> tuple[Floats, Floats]:
    """Events of the window and of the reference per group; missing and invalid values are in no group.

    Numeric bins are taken in their order, categories (and the hash buckets of unknown ones) from the most to the least
    frequent in the reference. A bin belongs to the k-th of 10 (20) equal shares of the reference that its middle event
    lies in, so a heaped value keeps a group of its own. Where the reference has nothing at all is a group of its own
    too: below its least bin, above its greatest bin, categories it has not seen.

    With `together` the rows of both take the reference's place, as tests need it. Why: groups that the reference has
    chosen are those in which it lies high by chance, and a window of the same distribution then differs from it.

    >>> from detectors.layouts import NumericLayout
    >>> none = np.zeros(0, np.int64)
    >>> def counts(*bins):
    ...     return ColumnCounts(layout=NumericLayout(edges=(0., 1., 2., 3.)), rows=sum(bins), counts=np.array(bins),
    ...         other=none, missing=0, nonfinite=0, unparseable=0, sum=0., low=0., high=0.)
    >>> [side.tolist() for side in grouped(counts(7, 1, 2, 3, 4), counts(0, 1, 1, 98, 0))]
    [[7.0, 3.0, 3.0, 4.0], [0.0, 2.0, 98.0, 0.0]]
    """
    if window.layout.kind == "numeric":
        ours, theirs, groups = window.counts, reference.counts, NUMERIC_GROUPS
        by = ours + theirs if together else theirs
    else:
        ours = np.concatenate([window.counts, window.other])
        theirs = np.concatenate([reference.counts, reference.other])
        by = ours + theirs if together else theirs
        order = np.argsort(-by, kind="stable")
        ours, theirs, by, groups = ours[order], theirs[order], by[order], CATEGORICAL_GROUPS
    until = np.cumsum(by)
    total = int(until[-1])
    if total == 0:
        return np.array([float(ours.sum())]), np.zeros(1)
    group = (2 * until - by) * groups // (2 * total) + 1  # integers: the same on every machine
    group[until == 0] = 0
    w: Floats = np.bincount(group, weights=ours, minlength=groups + 2).astype(np.float64)
    r: Floats = np.bincount(group, weights=theirs, minlength=groups + 2).astype(np.float64)
    some = (w > 0) | (r > 0)
    return w[some], r[some]


def chi_square_noise(reference: ColumnCounts, rows: float, p: float, sparse: float) -> float:
    """What (1/n + 1/m) chi-square exceeds with probability p: the noise of divergences of independent rows.

    Degrees of freedom: groups of the reference, less one. A divergence of groups with few expected rows e has a
    heavier tail: the noise is raised by `sparse` times the sum of 1/e (at most 1 each) per degree of freedom. With
    sparse = 2 Jensen-Shannon stays within p = 0.005 from 100 rows on; PSI too, once a group expects 10 rows, but with
    3 rows it may be 9 p. inf when a side is empty.
    """
    theirs = grouped(reference, reference)[1]
    m = float(theirs.sum())
    if rows <= 0 or m == 0:
        return math.inf
    df = max(1, len(theirs) - 1)
    inverse = math.fsum(min(1.0, m / (rows * group)) for group in theirs.tolist())
    return _quantile(df, p) * (1 / rows + 1 / m) * (1 + sparse * inverse / df)


def with_new_group(reference: ColumnCounts, rows: float, p: float) -> tuple[Floats, Floats] | None:
    """Groups of a window and of the reference, alike but for a last one, of categories that the reference has not seen:
    as many rows of it as independent ones exceed with probability p. None where the reference tells of no such ones.

    Why: an empty group weighs the more, the less it is expected, and chi-square knows nothing of it. Its share is
    Good and Turing's estimate, the rows that are alone in their category; a category that is known and was not seen is
    as likely as one that was seen once. Good 1953, Biometrika 40.

    >>> from detectors.layouts import CategoricalLayout
    >>> one = ColumnCounts(layout=CategoricalLayout(categories=("a", "b")), rows=1000, counts=np.array([999, 1]),
    ...     other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=0., low=0., high=0.)
    >>> [side.round().tolist() for side in with_new_group(one, 1000, 0.001)]
    [[988.0, 1.0, 11.0], [999.0, 1.0, 0.0]]
    """
    if reference.layout.kind != "categorical" or rows <= 0:
        return None
    alone = int(np.sum(reference.counts == 1)) + int(np.sum(reference.other == 1))
    alone = max(alone, int((reference.counts == 0).any()))
    theirs = grouped(reference, reference)[1]
    m = int(theirs.sum())
    if not (alone and m):
        return None
    new = rate_noise(alone, m, rows, p)[1]
    return np.append(theirs / m * (1 - new), new) * rows, np.append(theirs, 0.0)


@lru_cache(maxsize=4096)
def _quantile(df: int, p: float) -> float:
    return float(scipy.special.chdtri(df, p))
