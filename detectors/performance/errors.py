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
    """Variance of one event's number, from the exact sums of the numbers and of their squares; 0 without events."""
    if not events:
        return 0.0
    mean = mean_of(outcome, first, events)
    return max(0.0, outcome.total(squares) / events - mean * mean)


def squared_error_variance(outcome: OutcomeCounts) -> float:
    """Variance of one event's squared error.

    Fourth powers are not counted; the mean absolute error over the root mean square tells the kurtosis, if errors
    follow an exponential power distribution (normal and Laplace among them): right for these, too small for tails that
    are heavier still. Geary 1935, Biometrika 27 (the ratio); Subbotin 1923 (the distribution).
    """
    labels = int(outcome.cells[LABELS])
    square = outcome.total(SQUARED_ERROR) / labels if labels else 0.0
    if not 0 < square < 1e150:
        return 0.0
    ratio = outcome.total(ABSOLUTE_ERROR) / labels / math.sqrt(square)
    low, high = 0.35, 20.0  # powers: from tails far heavier than Laplace's (1) to nearly uniform errors
    for _ in range(50):
        power = (low + high) / 2
        g = [float(scipy.special.gamma(i / power)) for i in (1, 2, 3)]
        low, high = (power, high) if g[1] / math.sqrt(g[0] * g[2]) < ratio else (low, power)
    g = [float(scipy.special.gamma(i / low)) for i in (1, 3, 5)]
    return square * square * max(0.8, g[2] * g[0] / g[1] ** 2 - 1)
