"""How much the errors of single predictions vary: what metrics of regression take their noise from."""

from __future__ import annotations

import math

import scipy

from detectors.counts import OutcomeCounts
from detectors.layouts import ABSOLUTE_ERROR, LABELS, SQUARED_ERROR


def mean_of(outcome: OutcomeCounts, first: int, events: int) -> float:
    """Mean over `events` of the exact sum whose digits begin at cell `first`; nan without events."""
    return outcome.total(first) / events if events else math.nan


def variance_of(outcome: OutcomeCounts, first: int, squares: int, events: int) -> float:
    """Variance of one event's number, from the exact sums of the numbers and of their squares; 0 without events.

    Each square is rounded, by up to 2**-53 of itself: less than that is not known of numbers far from 0, and not told.
    inf beyond the doubles.
    """
    if not events:
        return 0.0
    square = outcome.exact(squares) << 1074  # in units of 2**-2148
    spread = max(events * square - outcome.exact(first) ** 2, events * square >> 53)
    try:
        return spread / (events**2 << 2148)
    except OverflowError:
        return math.inf


def squared_error_variance(outcome: OutcomeCounts) -> float:
    """Variance of one event's squared error; inf beyond the doubles."""
    square = mean_of(outcome, SQUARED_ERROR, int(outcome.cells[LABELS]))
    return square * square * squared_error_scatter(outcome)


def squared_error_scatter(outcome: OutcomeCounts) -> float:
    """The same over the square of its mean: 2 for normal errors; 0 without errors.

    Fourth powers are not counted; the mean absolute error over the root mean square tells the kurtosis, if errors
    follow an exponential power distribution (normal and Laplace among them): right for these, too small for tails that
    are heavier still. Geary 1935, Biometrika 27 (the ratio); Subbotin 1923 (the distribution).
    """
    labels = int(outcome.cells[LABELS])
    square = outcome.total(SQUARED_ERROR) / labels if labels else 0.0
    if not 0 < square < math.inf:
        return 0.0
    ratio = outcome.total(ABSOLUTE_ERROR) / labels / math.sqrt(square)
    low, high = 0.35, 20.0  # powers: from tails far heavier than Laplace's (1) to nearly uniform errors
    for _ in range(50):
        power = (low + high) / 2
        g = [float(scipy.special.gamma(i / power)) for i in (1, 2, 3)]
        low, high = (power, high) if g[1] / math.sqrt(g[0] * g[2]) < ratio else (low, power)
    g = [float(scipy.special.gamma(i / low)) for i in (1, 3, 5)]
    return max(0.8, g[2] * g[0] / g[1] ** 2 - 1)
