"""Do events still lie where the reference's main directions are?"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from detectors.joint_counts import JointCounts, kurtosis, moments

SHARE: Final = 0.65  # of the variance that the leading components hold at least


def pca_reconstruction(window: JointCounts, reference: JointCounts) -> float:
    """Mean squared distance from the reference's leading components, over the reference's own: 1 is no change.

    In standardised ranks of the numeric features; leading are the fewest components with 65 % of it, but not all.
    Above 1 dependences that the components stand for have loosened, or what they leave out has spread; a shift counts
    as far as it points away from them. Ranks are those of bins; a missing value has the middle one. Pairs are counted
    for up to 25 numeric features; nan beyond, without rows, without two features that vary, or when they hold all.

    >>> def of(product):
    ...     return JointCounts(names=("a", "b"), rows=4, sums=np.zeros(2, np.int64), fourth=np.array([4, 4]),
    ...         products=np.array([[4, product], [product, 4]]))
    >>> round(pca_reconstruction(of(0), of(2)), 9)  # across the diagonal: 1 instead of 1 - 1/2
    2.0
    """
    now, of = moments(window, reference), _left(reference)
    if now is None or of is None:
        return math.nan
    return max(0.0, float(np.sum(of.projector * now.second))) / of.error


def pca_reconstruction_p_value(window: JointCounts, reference: JointCounts) -> float:
    """Normal on the scale of logarithms, both samples' noise counted.

    Holds where the reference's own windows keep to that law (laws.py, `Baseline.lawful`); far too low where
    components' variances are close to each other, or features correlated, heaped or rare.
    """
    value, of = pca_reconstruction(window, reference), _left(reference)
    if of is None or math.isnan(value):
        return math.nan
    if value == 0.0:
        return 0.0
    z = abs(math.log(value)) / math.sqrt(of.variance * (1 / window.rows + 1 / reference.rows))
    return min(1.0, 2 * float(scipy.special.ndtr(-z))) if z > 1e-9 else 1.0


def pca_reconstruction_noise(reference: JointCounts, rows: float, p: float) -> tuple[float, float]:
    """Log-normal, the reference's own noise counted."""
    of = _left(reference)
    if of is None or rows <= 0:
        return 0.0, math.inf
    reach = -float(scipy.special.ndtri(p)) * math.sqrt(of.variance * (1 / rows + 1 / reference.rows))
    return math.exp(-reach), math.exp(min(reach, 700.0))


class _Left(NamedTuple):
    projector: NDArray[np.float64]  # onto what the leading components leave out
    error: float  # mean squared distance in the reference
    variance: float  # of one event's squared distance, over the squared mean


def _left(reference: JointCounts) -> _Left | None:
    usual = moments(reference, reference)
    if usual is None:
        return None
    values, vectors = np.linalg.eigh(usual.second)
    values = np.maximum(values, 0.0)
    held = np.cumsum(values[::-1])
    leading = min(int(np.searchsorted(held, SHARE * held[-1] * (1 - 1e-12))) + 1, len(values) - 1)
    rest = values[: len(values) - leading]
    error = float(rest.sum())
    if not error > 1e-9:
        return None
    some = vectors[:, : len(rest)]
    projector = some @ some.T
    normal = 2 * float((rest**2).sum())
    variance = normal + (kurtosis(reference) - 3) * float((np.diag(projector) ** 2).sum())  # exact if independent
    return _Left(projector, error, max(variance, normal / 5) / error**2)
