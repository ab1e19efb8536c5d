"""What few rows make of limits for many: of values that are rare or lie far out, sums are not yet normal.

Why: a limit has a tail that is far too light for a flag with a handful of events, by a factor of 100 at 1e-4. The third
and fourth cumulant of a mean make up for it (detectors/tails.py), and only ever make a p-value greater.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy

from detectors.counts import Integers
from detectors.drift.functions import Floats
from detectors.tails import student_tail

MANY: Final = 1e9  # degrees of freedom of a spread that is as good as known


def cumulants(skewness: float, kurtosis: float, n: float, m: float) -> tuple[float, float]:
    """Third and fourth cumulant of the difference of two means, of n and of m such values, over its standard error.

    >>> cumulants(2.0, 9.0, 100, np.inf)  # the mean of 100 exponentials: 2 / 10 and 6 / 100
    (0.2, 0.06)
    """
    square = 1 / n + 1 / m
    third = skewness * (1 / n**2 - 1 / m**2) / square**1.5
    return third, (kurtosis - 3) * (1 / n**3 + 1 / m**3) / square**2


def of_few_rows(p: float, scores: Floats, window: Integers, reference: Integers) -> float:
    """The p-value `p` of a quadratic form, taken as that of a mean with the cumulants of these scores of the bins.

    Scores are what a row of a bin adds to the sum of all that is squared: what is rare has it from few rows. Of one
    edge they are all there is.

    >>> flag = np.array([0.0, 1.0]), np.array([48, 2]), np.array([1996, 4])  # 2 of 50, where 0.15 are expected
    >>> statistic = 2050 * (2 * 1996 - 48 * 4) ** 2 / (50 * 2000 * 6 * 2044)
    >>> p = float(scipy.special.chdtrc(1, statistic))
    >>> from scipy.stats import hypergeom  # Fisher's exact test
    >>> float(f"{p:.1}"), round(of_few_rows(p, *flag), 4), float(hypergeom.sf(1, 2050, 6, 50).round(4))
    (9e-07, 0.0076, 0.0082)
    """
    n, m = float(window.sum()), float(reference.sum())
    ours, theirs = window / n, reference / m
    share = (window + reference) / (n + m)
    centred = scores - share @ scores
    centred = centred / max(float(np.abs(centred).max()), 1e-300)
    square = centred * centred
    variance = float(share @ square)
    if not variance > 0:
        return p
    skewness, kurtosis = float(share @ (square * centred)) / variance**1.5, float(share @ square**2) / variance**2
    size = -float(scipy.special.ndtri(max(p, 5e-324) / 2))
    z = np.array(np.copysign(size, (ours - theirs) @ centred))
    return float(student_tail(z, MANY, *cumulants(skewness, kurtosis, n, m)))
