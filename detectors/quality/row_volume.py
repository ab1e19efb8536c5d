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
    least, most = (float(scipy.special.pdtrik(q, reference_rows)) for q in (p, 1 - p))
    if not math.isfinite(most):  # 1 - p is 1
        most = reference_rows - float(scipy.special.ndtri(p)) * math.sqrt(reference_rows)
    fewest = math.floor(least) + 1 if math.exp(-reference_rows) <= p else 0
    return fewest / reference_rows, math.ceil(most) / reference_rows
