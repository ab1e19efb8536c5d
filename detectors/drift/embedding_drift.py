"""Has the centre of the embeddings moved?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from detectors.drift.mean_shift import mean_shift_p_value
from detectors.drift.moments import mean, spread
from detectors.drift.quadratic_forms import Sums, quantile, tail
from detectors.families import FamilyCounts, cauchy, correlation

Floats = NDArray[np.float64]


def embedding_drift(window: FamilyCounts, reference: FamilyCounts) -> float:
    """Distance of the centroids over the embeddings' root mean squared distance from their centroid; 0 is no change.

    From projections on 16 random directions: the root of the sum of their squared shifts over the sum of their
    variances. Shifts are from exact sums, so without binning error, deviations from bins (moments.py); for a given
    shift 16 directions tell the distance to about 18 %. A shift that is small against the spread in every direction is
    small here, too. nan without a value on either side, or where the reference does not vary.
    Johnson and Lindenstrauss 1984, Contemp. Math. 26 (random projections keep distances).

    >>> from detectors.counts import ColumnCounts
    >>> from detectors.layouts import NumericLayout
    >>> def even(start):
    ...     return FamilyCounts(columns={"p0": ColumnCounts(layout=NumericLayout(edges=()), rows=9,
    ...         counts=np.array([9]), other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0,
    ...         sum=9 * (start + 0.5), low=start, high=start + 1)})
    >>> round(embedding_drift(even(1.0), even(0.0)) ** 2, 9)  # by 1, where the variance is 1/12
    12.0
    """
    names = projections(reference)
    if not names or not set(names) <= window.columns.keys():
        return math.nan
    shifts = [mean(window.columns[n]) - mean(reference.columns[n]) for n in names]
    total = math.hypot(*_deviations(reference, names).tolist())
    value = math.hypot(*shifts) / total if 0 < total < math.inf else math.nan
    return value if math.isfinite(value) else math.nan


def embedding_drift_p_value(window: FamilyCounts, reference: FamilyCounts) -> float:
    """By the weighted chi-squares that its square follows without change, both samples' noise counted.

    The weights are the eigenvalues of the projections' covariance. Where products of ranks are not counted (more than
    25 numeric features) it is Cauchy's combination of the projections' own t tests.
    """
    value, names = embedding_drift(window, reference), projections(reference)
    if math.isnan(value):
        return math.nan
    if correlation(reference, names) is None:
        return cauchy([mean_shift_p_value(window.columns[n], reference.columns[n]) for n in names])
    return tail(_weights(reference), value * value / (1 / window.rows + 1 / reference.rows))


def embedding_drift_noise(reference: FamilyCounts, rows: float, p: float) -> tuple[float, float]:
    """The same law for a window of so many rows; as if projections rose together where their products are not counted.

    Why: of all sums of chi-squares with given means the one whose terms rise together reaches furthest; a bound.
    """
    if rows <= 0 or math.isnan(embedding_drift(reference, reference)):
        return -math.inf, math.inf
    return -math.inf, math.sqrt(quantile(_weights(reference), p) * (1 / rows + 1 / reference.rows))


def projections(of: FamilyCounts) -> list[str]:
    """Names of the projections among an embedding's columns."""
    return sorted(n for n in of.columns if n[:1] == "p" and n[1:].isdigit())


def _deviations(of: FamilyCounts, names: list[str]) -> Floats:
    return np.array([spread(of.columns[n]).deviation for n in names], np.float64)


def _weights(reference: FamilyCounts) -> Sums:
    """Sums over the eigenvalues of the covariance, over their total."""
    names = projections(reference)
    deviations = _deviations(reference, names)
    deviations = deviations / np.max(deviations)
    known = correlation(reference, names)
    covariance = (np.ones((len(names), len(names))) if known is None else known) * np.outer(deviations, deviations)
    covariance = covariance / np.trace(covariance)
    square = covariance @ covariance
    return Sums(1.0, float(np.trace(square)), float(np.sum(square * covariance)))
