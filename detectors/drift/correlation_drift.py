"""Have dependences between features changed?"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from detectors.joint_counts import JointCounts, correlations

Floats = NDArray[np.float64]

SPEARMAN: Final = 1.06  # variance of a rank correlation's z over that of a plain one: Fieller, Hartley and Pearson 1957


def correlation_drift(window: JointCounts, reference: JointCounts) -> float:
    """Greatest change of a rank correlation between two numeric features, 0 to 2.

    Blind to changes of single features. Ranks are those of bins, 255 at most; a missing value has the middle one. Pairs
    are counted for up to 25 numeric features; nan beyond, without rows, or without two features that vary.

    >>> def of(product):
    ...     return JointCounts(names=("a", "b"), rows=4, sums=np.zeros(2, np.int64), fourth=np.array([4, 4]),
    ...         products=np.array([[4, product], [product, 4]]))
    >>> correlation_drift(of(2), of(-2))
    1.0
    """
    change = _changes(window, reference)
    return float(np.max(np.abs(change[0] - change[1]))) if change is not None else math.nan


def correlation_drift_p_value(window: JointCounts, reference: JointCounts) -> float:
    """Of the greatest change of Fisher's z, both samples' noise counted, by Sidak's bound over the pairs.

    Holds where the reference's own windows keep to that law (laws.py, `Baseline.lawful`); too low with rare or
    heaped values.
    """
    change = _changes(window, reference)
    if change is None:
        return math.nan
    z = np.abs(_z(change[0]) - _z(change[1])) / _error(window.rows, reference.rows)
    p = 2 * float(scipy.special.ndtr(-float(np.max(z))))
    return -math.expm1(len(z) * math.log1p(-p)) if p < 1 else 1.0


def correlation_drift_noise(reference: JointCounts, rows: float, p: float) -> tuple[float, float]:
    """Normal on Fisher's scale, the reference's own noise counted; a bound over the pairs by Sidak's."""
    change = _changes(reference, reference)
    if change is None or rows <= 3:
        return -math.inf, 2.0
    each = -math.expm1(math.log1p(-p) / len(change[0]))
    reach = -float(scipy.special.ndtri(each / 2)) * _error(rows, reference.rows)
    z = np.abs(_z(change[0]))
    return -math.inf, float(np.max(np.abs(np.tanh(z) - np.tanh(z - reach))))


def _changes(window: JointCounts, reference: JointCounts) -> tuple[Floats, Floats] | None:
    """Correlations of the pairs that both know."""
    if window.rows <= 3 or reference.rows <= 3 or len(reference.names) < 2:
        return None
    upper = np.triu_indices(len(reference.names), 1)
    now, usual = correlations(window)[upper], correlations(reference)[upper]
    some = np.isfinite(now) & np.isfinite(usual)
    return (now[some], usual[some]) if some.any() else None


def _z(correlation: Floats) -> Floats:
    found: Floats = np.arctanh(np.clip(correlation, -1 + 1e-9, 1 - 1e-9))
    return found


def _error(n: float, m: float) -> float:
    return math.sqrt(SPEARMAN / (n - 3) + SPEARMAN / (m - 3))
