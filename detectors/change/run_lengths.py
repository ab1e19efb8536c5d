"""How long a cumulative sum runs until it raises a false alarm."""

from __future__ import annotations

import math


def run_length(delta: float, threshold: float) -> float:
    """Mean number of values until the sum of independent standard normal values less `delta` has risen by `threshold`.

    Siegmund's approximation, both in standard deviations: (exp(2 d b) - 2 d b - 1) / 2 d^2 with b = threshold + 1.166;
    without delta its limit b^2. Siegmund 1985, Sequential Analysis, section II.6.

    >>> round(run_length(0.5, 4)), round(run_length(0.5, 5))  # exact, by Montgomery's tables: 336 and 930
    (338, 938)
    """
    b = threshold + 1.166
    if delta * b < 1e-4:
        return b * b
    exponent = 2 * delta * b
    return (math.exp(exponent) - exponent - 1) / (2 * delta * delta) if exponent < 700 else math.inf


def threshold_for(delta: float, values_between_false_alarms: float) -> float:
    """The threshold, in standard deviations, at which `run_length` is so long; at least 1.

    >>> round(threshold_for(0.5, run_length(0.5, 5)), 6)
    5.0
    """
    low, high = 1.0, 2.0
    while run_length(delta, high) < values_between_false_alarms:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if run_length(delta, middle) < values_between_false_alarms else (low, middle)
    return high
