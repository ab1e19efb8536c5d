"""Maximum mean discrepancy of embeddings, by features of random projections."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.counts import ColumnCounts
from detectors.drift.embedding_drift import projections
from detectors.drift.moments import mean, points_of, spread
from detectors.drift.quadratic_forms import Sums, quantile, tail
from detectors.families import FamilyCounts, cauchy, correlation

Floats = NDArray[np.float64]

REACH: Final = 4.0  # deviations; values further out stand there
# Gauss-Hermite: the mean over a standard normal frequency w of cos(w d) is exp(-d^2 / 2); to 0.002 for d up to 8.
_NODES, _SHARES = np.polynomial.hermite_e.hermegauss(32)
FREQUENCIES: Final = _NODES[16:]
ROOTS: Final = np.sqrt(2 * _SHARES[16:] / math.sqrt(2 * math.pi))


def embedding_mmd(window: FamilyCounts, reference: FamilyCounts) -> float:
    """Distance of the mean embeddings under the mean of exp(-(p - q)^2 / 2) over random projections p, q; 0 to 1.41.

    Of 16 projections, in the reference's deviations and up to 4 of them, the mean cosines and sines at 16 frequencies:
    sees shifts, spreads and shapes in these directions, not what shows in none of them. Values stand in the middle of
    their bins: an error of at most the root mean square over projections of the sum over bins of half the width, in
    deviations, times the sum of the two shares. nan without a value on either side, or where no projection varies in
    the reference.
    Gretton et al. 2012, J. Mach. Learn. Res. 13; Rahimi and Recht 2007, NIPS 20 (features of a kernel).

    >>> from detectors.layouts import NumericLayout
    >>> def halves(*counts):  # at -1, 0 and 1
    ...     return FamilyCounts(columns={"p0": ColumnCounts(layout=NumericLayout(edges=(-1., -1e-9, 1e-9, 1.)),
    ...         rows=sum(counts), counts=np.array([counts[0], 0, counts[1], 0, counts[2]]), other=np.zeros(0, np.int64),
    ...         missing=0, nonfinite=0, unparseable=0, sum=float(counts[2] - counts[0]), low=-1., high=1.)})
    >>> found = embedding_mmd(halves(0, 2, 0), halves(1, 0, 1))  # k(0, 0) + mean of k(x, y) - 2 k(0, 1)
    >>> round(found ** 2 - (1 + (1 + math.exp(-2)) / 2 - 2 * math.exp(-1 / 2)), 4)
    0.0
    """
    parts = _parts(reference)
    if not parts or not parts.keys() <= window.columns.keys():
        return math.nan
    if not all(window.columns[name].counts.any() for name in parts):
        return math.nan
    squares = [_square(window.columns[n], reference.columns[n], f) for n, f in parts.items()]
    return math.sqrt(math.fsum(squares) / len(parts))


def embedding_mmd_p_value(window: FamilyCounts, reference: FamilyCounts) -> float:
    """By the weighted chi-squares that its square follows without change, both samples' noise counted.

    What two projections with rank correlation r share is taken as r^2 (of squared weights) times what they would if
    they rose together: exact for shifts, careful for the rest. Where products of ranks are not counted (more than 25
    numeric features) it is Cauchy's combination of the projections' own p-values.
    """
    value = embedding_mmd(window, reference)
    if math.isnan(value):
        return math.nan
    if correlation(reference, list(_parts(reference))) is None:
        return cauchy([_alone(window.columns[n], reference.columns[n], f) for n, f in _parts(reference).items()])
    return tail(_weights(reference), value * value / (1 / window.rows + 1 / reference.rows))


def embedding_mmd_noise(reference: FamilyCounts, rows: float, p: float) -> tuple[float, float]:
    """The same law for a window of so many rows; r is taken as 1 where products of ranks are not counted: a bound."""
    if rows <= 0 or not _parts(reference):
        return -math.inf, math.inf
    return -math.inf, math.sqrt(quantile(_weights(reference), p) * (1 / rows + 1 / reference.rows))


def _parts(reference: FamilyCounts) -> dict[str, Floats]:
    """Per projection that varies the features of each bin, by the reference alone."""
    found = {}
    for name in projections(reference):
        column = reference.columns[name]
        deviation = spread(column).deviation
        if 0 < deviation < math.inf:
            found[name] = _features(column, mean(column), deviation)
    return found


def _square(window: ColumnCounts, reference: ColumnCounts, features: Floats) -> float:
    """The squared distance of one projection."""
    now, usual = window.counts / window.counts.sum(), reference.counts / reference.counts.sum()
    return float(np.sum(((now - usual) @ features) ** 2))


def _alone(window: ColumnCounts, reference: ColumnCounts, features: Floats) -> float:
    n, m = int(window.counts.sum()), int(reference.counts.sum())
    return tail(Sums(*_sums(reference, features)), _square(window, reference, features) / (1 / n + 1 / m))


def _features(column: ColumnCounts, centre: float, deviation: float) -> Floats:
    ends = points_of(column)
    z = np.clip(((ends[:-1] + ends[1:]) / 2 - centre) / deviation, -REACH, REACH)
    angles = np.outer(z, FREQUENCIES)
    return np.hstack([np.cos(angles) * ROOTS, np.sin(angles) * ROOTS])


def _weights(reference: FamilyCounts) -> Sums:
    parts = _parts(reference)
    sums = np.array([_sums(reference.columns[name], features) for name, features in parts.items()]) / len(parts)
    squares, cubes = sums[:, 1] / len(parts), sums[:, 2] / len(parts) ** 2
    known = correlation(reference, list(parts))
    r = np.ones((len(parts), len(parts))) if known is None else known
    cube = r * np.outer(cubes, cubes) ** (1 / 6)
    shared = float(np.sum(r**2 * np.sqrt(np.outer(squares, squares))))
    return Sums(float(sums[:, 0].sum()), shared, float(np.trace(cube @ cube @ cube)))


def _sums(column: ColumnCounts, features: Floats) -> tuple[float, float, float]:
    """Traces of the features' covariance and of its powers."""
    share = column.counts / column.counts.sum()
    centred = features - share @ features
    covariance = (centred * share[:, None]).T @ centred
    square = covariance @ covariance
    return float(np.trace(covariance)), float(np.trace(square)), float(np.sum(square * covariance))
