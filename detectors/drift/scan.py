"""The scan as a metric: how unlikely what it found would be if nothing had changed."""

from __future__ import annotations

import math


def scan(p_value: float) -> float:
    """Evidence of drift in powers of ten: -log10 of the p-value of the most telling component and scale, from 0 on.

    The p-value is that of one look at one component; what it is held against is the look's share of the budget of false
    alarms, so the value says how rare, not how large a change is (that is the verdict's effect). Read about it in
    detectors/scan. nan without a p-value (nan); the least that a double can hold stands for less.

    >>> scan(1e-6), scan(1.0)
    (6.0, 0.0)
    """
    return math.nan if math.isnan(p_value) else abs(math.log10(max(p_value, 5e-324)))
