"""Wasserstein-1 (earth mover's) distance."""

from __future__ import annotations

import math

import numpy as np
import scipy

from detectors.counts import ColumnCounts
from detectors.drift.functions import points


def wasserstein(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Area between the two distribution functions, in the column's units; symmetric; 0 for equal counts.

    The functions are exact at the bin edges and taken as straight between them: an error of at most the sum over bins
    of width times the greater of the two shares. What lies in the open first and last bin follows from the means,
    which are exact, unless the two tails stray to different sides: then they too are taken as straight, up to the least
    and greatest value seen. So a shift as a whole has no error, however far it goes. Missing values are not drift here:
    missing_rate. nan without a valid value on either side, or when values are so far apart that no double says how far.
    Vallender 1974, Theory Probab. Appl. 18.

    >>> from detectors.layouts import NumericLayout
    >>> def one_value(x, edges=(0., 1., 2.)):
    ...     bins = np.bincount([int(np.searchsorted(edges, x, side="right"))], minlength=len(edges) + 1)
    ...     return ColumnCounts(layout=NumericLayout(edges=edges), rows=1, counts=bins, other=np.zeros(0, np.int64),
    ...         missing=0, nonfinite=0, unparseable=0, sum=x, low=x, high=x)
    >>> wasserstein(one_value(0.25), one_value(1000.25))
    1000.0
    """
    n, m = int(window.counts.sum()), int(reference.counts.sum())
    if n == 0 or m == 0:
        return math.nan
    towards = reference.sum / m - window.sum / n  # the area between the functions, with its sign
    at = points(window.layout, min(window.low, reference.low), max(window.high, reference.high))
    if not (math.isfinite(towards) and math.isfinite(float(at[-1]) - float(at[0]))):
        return math.nan
    gap = (np.cumsum(window.counts)[:-1] / n) - (np.cumsum(reference.counts)[:-1] / m)
    if not len(gap):
        return abs(towards)
    a, b, widths = np.abs(gap[:-1]), np.abs(gap[1:]), np.diff(at)
    crossing = gap[:-1] * gap[1:] < 0  # the line passes zero: two triangles
    heights = np.where(crossing, (a * a + b * b) / np.where(crossing, a + b, 1), a + b) / 2
    inside = math.fsum((heights * widths[1:-1]).tolist())
    if gap[0] * gap[-1] >= 0:
        signed = math.fsum(((gap[:-1] + gap[1:]) / 2 * widths[1:-1]).tolist())
        # What the inner bins are off by is in the tails' part too, where |F - G| is at most the greater share.
        first, last = (max(window.counts[i] / n, reference.counts[i] / m) for i in (0, -1))
        most = float(first * widths[0] + last * widths[-1])
        return max(inside + min(abs(towards - signed), most), abs(towards))
    tails = (abs(gap[0]) * widths[0] + abs(gap[-1]) * widths[-1]) / 2
    return max(inside + float(tails), abs(towards))


def wasserstein_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Bound for independent rows without change: the quantile of |F - G| at each point, integrated: conservative."""
    m = int(reference.counts.sum())
    if rows <= 0 or m == 0:
        return -math.inf, math.inf
    at = points(reference.layout, reference.low, reference.high)
    if not math.isfinite(float(at[-1]) - float(at[0])):
        return -math.inf, math.inf
    below = np.concatenate([[0.0], np.cumsum(reference.counts) / m])
    spread = np.sqrt(below * (1 - below))
    area = math.fsum(((spread[:-1] + spread[1:]) / 2 * np.diff(at)).tolist())
    return -math.inf, float(-scipy.special.ndtri(p / 2)) * area * math.sqrt(1 / rows + 1 / m)
