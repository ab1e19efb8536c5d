"""Maximum mean discrepancy of all numeric features together."""

from __future__ import annotations

import math

import numpy as np

from detectors.drift.quadratic_forms import Sums, quantile, tail
from detectors.joint_counts import JointCounts, kurtosis, moments


def mmd(window: JointCounts, reference: JointCounts) -> float:
    """Distance of the mean embeddings under the kernel x.y + (x.y)^2 / 2 of standardised ranks; 0 is no change.

    The first two terms of exp(x.y), which joint counts know exactly: the root of the squared shifts of the means, in
    the reference's deviations, plus half the squared changes of all second moments. Sees means, spreads and dependences
    of ranks, not what shows in third moments only. Ranks are those of bins; a missing value has the middle one. Pairs
    are counted for up to 25 numeric features; nan beyond, without rows, or without two features that vary.
    Gretton et al. 2012, J. Mach. Learn. Res. 13.

    >>> def of(product):
    ...     return JointCounts(names=("a", "b"), rows=4, sums=np.zeros(2, np.int64), fourth=np.array([4, 4]),
    ...         products=np.array([[4, product], [product, 4]]))
    >>> mmd(of(2), of(-2))  # one product of two standardised ranks, from -1/2 to 1/2
    1.0
    """
    now, usual = moments(window, reference), moments(reference, reference)
    if now is None or usual is None:
        return math.nan
    first, second = now.first - usual.first, now.second - usual.second
    return math.sqrt(math.fsum((first**2).tolist()) + math.fsum((second**2).ravel().tolist()) / 2)


def mmd_p_value(window: JointCounts, reference: JointCounts) -> float:
    """By the weighted chi-squares that its square follows without change, both samples' noise counted.

    Holds where the reference's own windows keep to that law (laws.py, `Baseline.lawful`); far too low with rare values.
    """
    value, sums = mmd(window, reference), _weights(reference)
    if math.isnan(value) or sums is None:
        return math.nan
    return tail(sums, value * value / (1 / window.rows + 1 / reference.rows))


def mmd_noise(reference: JointCounts, rows: float, p: float) -> tuple[float, float]:
    """The same law for a window of so many rows."""
    sums = _weights(reference)
    if sums is None or rows <= 0:
        return -math.inf, math.inf
    return -math.inf, math.sqrt(quantile(sums, p) * (1 / rows + 1 / reference.rows))


def _weights(reference: JointCounts) -> Sums | None:
    """With the eigenvalues l of the reference's rank correlations: l_a, l_a l_b, and l_a^2 (kurtosis - 1) / 2.

    Exact for independent features with evenly filled bins and for normal ones; in between the kurtosis of what
    correlated features have in common is taken as that of each.
    """
    usual = moments(reference, reference)
    if usual is None:
        return None
    values = np.maximum(np.linalg.eigvalsh(usual.second), 0.0)
    a, b = np.triu_indices(len(values), 1)
    weights = np.concatenate([values, values[a] * values[b], values**2 * max(kurtosis(reference) - 1, 0.2) / 2])
    return Sums(float(weights.sum()), float((weights**2).sum()), float((weights**3).sum()))
