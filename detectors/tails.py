"""How unlikely a deviation is: tail probabilities that count few events, skewness and an estimated variance.

All of them are meant far out (1e-3 to 1e-9), where the normal approximation is not good enough.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST: Final = 1e-290  # a tail, below which its logarithm is taken: from 1e-308 on nothing is left of it
LEAST_ROOT: Final = 1e-4  # less makes no difference, and would be lost in one
MOST_DF: Final = 1e7  # as good as endless, and rates keep nine digits
SMALLEST: Final = float(np.nextafter(0.0, 1.0))  # what a tail that is smaller is told as: none is impossible
STEPS: Final = 2  # of Newton's method: a rate to 0.01


def student_tail(z: Floats, df: Floats | float, third: Floats | float = 0.0, fourth: Floats | float = 0.0) -> Floats:
    """P(|Z| >= |z|), both sides, of a mean with these third and fourth cumulants over its standard error, which is
    known with so many degrees of freedom.

    Student's t times exp(rate of a normal mean - rate of this mean), never less than Student's t: cumulants only ever
    make an alarm harder. Rates of large deviations (Petrov 1975, VIII.2) grow with |z|, so that the larger deviation is
    always the less likely one.

    >>> float(student_tail(np.array(2.0), 1e9).round(4)), float(student_tail(np.array(-2.0), 1.0).round(4))
    (0.0455, 0.2952)
    >>> from scipy.stats import gamma  # the mean of 100 exponentials, 6 standard errors out
    >>> float(round(student_tail(np.array(6.0), 1e9, 0.2, 0.06) / 2 / gamma.sf(160, 100), 2))
    1.02
    """
    size, df, third, fourth = np.broadcast_arrays(z, df, third, fourth)
    skew, size = np.maximum(np.sign(size) * third, 0.0), np.abs(size).astype(np.float64)
    # A mean's fourth cumulant is at least third^2 - 2 / n (Pearson 1916). On the side that skewness makes the lighter
    # one it is left out, but for what it takes from the fourth.
    heavy = np.where(skew > 0, np.maximum(fourth, skew**2 / 2), np.maximum(fourth - 3 * third**2, 0.0))
    gain = np.zeros(size.shape)
    some = (skew + heavy > 0) & (size > 0)
    if some.any():
        gain[some] = _gain(size[some], np.minimum(df[some], MOST_DF), skew[some], heavy[some])
    tail = 2 * scipy.special.stdtr(df, -size)
    if (tail < LEAST).any():
        found = np.exp(np.minimum(_log_tail(tail, size, df) + gain, 0.0))
        return np.asarray(np.maximum(found, SMALLEST), np.float64)
    return np.asarray(np.minimum(tail * np.exp(gain), 1.0), np.float64)


def _gain(size: Floats, df: Floats, third: Floats, fourth: Floats) -> Floats:
    """By how much the rate of a mean over its estimated error is below that of a normal one; cumulants from 0 on.

    The rate is the least one over how far off the estimate may be (v^2 times the variance), of both together:

        sup over t of t size v - K(t)   +   df / 2 (v^2 - 1 - 2 log v)

    K has the cumulants of a gamma law from the fourth on: a series that ends (Cramer's, too) turns back far out. With
    y = t / (1 - root t), where that gamma law's mean goes, K'(t) = y + rest t^2 = x; the best t is where
    x^2 = size^2 (1 - t x / df), solved for y, in which it is nearly a square. Another t would only give a lower rate.
    """
    root = np.maximum(np.sqrt(fourth / 6), LEAST_ROOT)
    rest = third / 2 - root
    square = size * size
    part = square / df
    y = size / np.sqrt(1 + part)  # of a normal mean
    for _ in range(STEPS):
        by = 1 / (1 + root * y)
        t = y * by
        curve, grown = rest * t, part * t
        x = y + curve * t
        by *= by
        y = y - (x * (x + grown) - square) / ((1 + 2 * curve * by) * (x + x + grown) + part * x * by)
    t = y / (1 + root * y)
    k = (np.log1p(root * y) - root * t) / (root * root) + rest * t * t * t / 3
    reach = t * size
    v = 2 * df / (reach + np.sqrt(reach * reach + 4 * df * df))
    rate = reach * v - k + df / 2 * (v * v - 1) - df * np.log(v)
    return np.asarray(np.maximum(df / 2 * np.log1p(part) - rate, 0.0), np.float64)


def _log_tail(tail: Floats, size: Floats, df: Floats) -> Floats:
    """The logarithm of a tail of Student's t, by its leading term where it is too small for a number."""
    far = np.maximum(size, 1.0)
    density = scipy.special.gammaln((df + 1) / 2) - scipy.special.gammaln(df / 2) - np.log(df * np.pi) / 2
    leading = np.log(2) + density - (df - 1) / 2 * np.log1p(far * (far / df)) - np.log(far + 1 / far)
    return np.where(tail < LEAST, np.minimum(leading, np.log(LEAST)), np.log(np.maximum(tail, LEAST)))


def student_bound(p: Floats | float, df: Floats | float) -> Floats:
    """The |z| that has the two-sided tail `p`.

    >>> float(np.round(student_bound(0.05, 1e9), 2))
    1.96
    """
    return np.asarray(-scipy.special.stdtrit(df, p / 2), np.float64)


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
    xlogy = scipy.special.xlogy
    rest, others = n - moved, m - b
    left = xlogy(moved, moved / np.maximum(n * pooled, 1e-300)) + xlogy(
        rest, rest / np.maximum(n * (1 - pooled), 1e-300)
    )
    right = xlogy(b, b / np.maximum(m * pooled, 1e-300)) + xlogy(others, others / np.maximum(m * (1 - pooled), 1e-300))
    return np.asarray(np.sign(moved - expected) * np.sqrt(np.maximum(2 * (left + right), 0.0)), np.float64)


def hotelling_tail(t2: Floats, dimensions: int, df: float) -> Floats:
    """P(T^2 >= t2) of Hotelling's T^2 in so many dimensions with a covariance of `df` degrees of freedom.

    >>> float(hotelling_tail(np.array(4.0), 1, 1e9).round(4))
    0.0455
    """
    rest = max(df - dimensions + 1, 1.0)
    tail = scipy.special.fdtrc(dimensions, rest, np.maximum(t2, 0.0) * rest / (df * dimensions))
    return np.asarray(np.maximum(tail, SMALLEST), np.float64)


def stretch(p: Floats, dimensions: int, skewness: Floats) -> Floats:
    """How much further out the sum of squares of so many means of this skewness has the tail `p` than of normal ones.

    By the law of Pearson's third type with the variance and skewness of that sum, of means with a gamma law.

    >>> stretch(np.array([1e-5]), 20, np.array([0.0])), stretch(np.array([1e-5]), 20, np.array([0.25])).round(3)
    (array([1.]), array([1.046]))
    """
    square = skewness**2
    variance = dimensions * (2 + 1.5 * square)
    third = dimensions * (8 + 28 * square + 7.5 * square**2)
    scale, shape = third / variance / 2, 4 * variance**3 / third**2
    found = dimensions + scale * (scipy.special.gammainccinv(shape, p) - shape)
    return np.asarray(found / (2 * scipy.special.gammainccinv(dimensions / 2, p)), np.float64)
