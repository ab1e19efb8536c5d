"""How much traffic there is."""

from __future__ import annotations

import math

import scipy


def row_volume(rows: float, reference_rows: float) -> float:
    """Rows of the window over the mean rows of a reference window; 1 is the usual traffic, nan without a reference.

    >>> row_volume(500, 1000)
    0.5
    """
    return rows / reference_rows if reference_rows > 0 else float("nan")


def row_volume_noise(reference_rows: float, rows: float, p: float) -> tuple[float, float]:
    """Poisson: independent events come in numbers whose variance is their mean. `rows` is not looked at.

    >>> low, high = row_volume_noise(10_000, 0, 0.025)
    >>> round(low, 4), round(high, 4)
    (0.9804, 1.0196)
    """
    if reference_rows <= 0:
        return 0.0, math.inf
    reach = -float(scipy.special.ndtri(p)) / math.sqrt(reference_rows)
    return max(0.0, 1 - reach), 1 + reach
