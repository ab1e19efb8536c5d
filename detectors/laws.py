"""Bounds by the law of a metric's sampling noise, where the reference's own windows keep to it.

Learnt from a few windows alone (calibration.py), a bound for a rare budget must be far out. Where a metric's `noise` is
the law of its values, and not only a bound, the windows need only confirm it: their mean square is what the law says,
or less, none lies where few would, and neighbours do not resemble each other. Then the law decides, its scale
moderated by theirs as if TRUST windows had been just as it says. What so few windows cannot tell from the law (values
a tenth too wide, say) costs up to a few times the budget far out; what they can goes back to calibration.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import scipy

from detectors.calibration import finite

LEAST: Final = 8  # windows that can confirm a law
TRUST: Final = 100.0  # windows that the law itself counts for
DOUBT: Final = 0.05  # of each of the three tests
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)

Quantile = Callable[[float], float]  # what a value of the law exceeds with this probability, 0 or more


def by_law(values: Sequence[float], quantile: Quantile, p: float) -> float | None:
    """What values of the law, as wide as these or as it says, exceed with probability p; None if these do not keep to
    it.

    >>> from scipy.special import ndtri
    >>> def normal(p):  # of the size of a standard normal number
    ...     return -float(ndtri(p / 2))
    >>> usual = [normal((i * 7 % 20 + 0.5) / 20) for i in range(20)]
    >>> round(by_law(usual, normal, 1e-4), 2), round(normal(1e-4), 2)
    (4.02, 3.89)
    >>> by_law([2 * v for v in usual], normal, 1e-4) is None
    True
    """
    series = finite(values)
    n = len(series)
    if n < LEAST:
        return None
    squares = np.array([max(0.0, quantile(float(u))) ** 2 for u in (_NODES + 1) / 2])
    mean = float(_WEIGHTS @ squares) / 2
    spread = float(_WEIGHTS @ squares**2) / 2 - mean * mean
    if not (mean > 0 and spread > 0 and math.isfinite(spread)):
        return None
    df = 2 * mean * mean / spread  # of the chi-square that the squares are like
    scale = float(np.mean(series**2)) / mean
    if (
        scipy.special.chdtrc(n * df, n * df * scale) < DOUBT
        or float(np.max(series)) > quantile(DOUBT / n)
        or _alike(series)
    ):
        return None
    moderated = max(1.0, (TRUST + n * scale) / (TRUST + n))
    # For the scale's own error.
    wider = float(scipy.special.fdtri(df, (TRUST + n) * df, 1 - p) / scipy.special.fdtri(df, 1e9, 1 - p))
    return quantile(p) * math.sqrt(moderated * wider)


def _alike(series: np.ndarray[tuple[int], np.dtype[np.float64]]) -> bool:
    """Whether neighbours resemble each other more than chance would have it."""
    centred = series - series.mean()
    power = float(centred @ centred)
    return power > 0 and float(centred[1:] @ centred[:-1]) / power > 1.645 / math.sqrt(len(series))
