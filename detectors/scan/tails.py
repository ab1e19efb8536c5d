"""How unlikely a deviation is: tail probabilities that count few events, skewness and an estimated variance.

All of them are meant far out (1e-3 to 1e-9), where the normal approximation is not good enough.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc, stdtr, stdtrit, xlogy

Floats = NDArray[np.float64]

MOST: Final = 700.0  # of an exponent: from 710 on it is infinite, and the product with a tail of 0 is no number


def student_tail(z: Floats, df: Floats | float, third: Floats | float = 0.0, fourth: Floats | float = 0.0) -> Floats:
    """P(|Z| >= |z|), both sides, of a studentised mean with these third and fourth cumulants.

    Student's t, times the first two terms of Cramer's series for large deviations (Petrov 1975, VIII.2) with the
    exponent held within [0, z^2 / 4], so that it only ever makes an alarm harder, and below MOST.

    >>> float(student_tail(np.array(2.0), 1e9).round(4)), float(student_tail(np.array(-2.0), 1.0).round(4))
    (0.0455, 0.2952)
    >>> float(student_tail(np.array(60.0), 1e9, 0.5))
    0.0
    """
    most = np.minimum(z**2 / 4, MOST)
    exponent = np.clip(third * z**3 / 6 + (fourth - 3 * third**2) * z**4 / 24, 0.0, most)
    return np.asarray(np.minimum(2 * stdtr(df, -np.abs(z)) * np.exp(exponent), 1.0), np.float64)


def student_bound(p: Floats | float, df: Floats | float) -> Floats:
    """The |z| that has the two-sided tail `p`.

    >>> float(np.round(student_bound(0.05, 1e9), 2))
    1.96
    """
    return np.asarray(-stdtrit(df, p / 2), np.float64)


def deviance_root(a: Floats, n: Floats, b: Floats, m: Floats, continuity: float = 0.5) -> Floats:
    """Signed root of the two-sample binomial deviance: a of n against b of m; about standard normal if nothing differs.

    `a` is moved towards what is expected by `continuity`. It stays close to exact tests far out and with few events
    (McCullagh and Nelder 1989, 4.4).

    >>> float(deviance_root(np.array(10.0), np.array(20.0), np.array(500.0), np.array(1000.0)))
    0.0
    """
    n, m = np.maximum(n, 1e-12), np.maximum(m, 1e-12)
    expected = n * b / m
    moved = np.where(a > expected, np.maximum(a - continuity, expected), np.minimum(a + continuity, expected))
    moved = np.clip(moved, 0.0, n)
    pooled = (moved + b) / (n + m)
    left = xlogy(moved, moved / np.maximum(n * pooled, 1e-300)) + xlogy(
        n - moved, (n - moved) / np.maximum(n * (1 - pooled), 1e-300)
    )
    right = xlogy(b, b / np.maximum(m * pooled, 1e-300)) + xlogy(m - b, (m - b) / np.maximum(m * (1 - pooled), 1e-300))
    return np.asarray(np.sign(moved - expected) * np.sqrt(np.maximum(2 * (left + right), 0.0)), np.float64)


def hotelling_tail(t2: Floats, dimensions: int, df: float) -> Floats:
    """P(T^2 >= t2) of Hotelling's T^2 in so many dimensions with a covariance of `df` degrees of freedom.

    >>> float(hotelling_tail(np.array(4.0), 1, 1e9).round(4))
    0.0455
    """
    rest = max(df - dimensions + 1, 1.0)
    return np.asarray(fdtrc(dimensions, rest, np.maximum(t2, 0.0) * rest / (df * dimensions)), np.float64)
