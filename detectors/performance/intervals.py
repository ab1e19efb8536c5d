"""How far a measured value may be from the true one: the ends that a value leaves with probability p each.

Means of losses follow a gamma distribution, means of errors a normal one, shares between 0 and 1 a normal one on the
scale of logits, shares of counted events Wilson's. `noise` asks what a window of so many labels would show of the
reference's own distribution, `interval` how well the window's own value is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import scipy

from detectors.counts import OutcomeCounts
from detectors.layouts import LABELS

Ends = tuple[float, float]


def normal_ends(mean: float, variance: float, p: float) -> Ends:
    """Ends of a normal variable.

    >>> low, high = normal_ends(1.0, 4.0, 0.025)
    >>> round(low, 3), round(high, 3)
    (-2.92, 4.92)
    """
    reach = -float(scipy.special.ndtri(p)) * math.sqrt(max(variance, 0.0))
    return mean - reach, mean + reach


def gamma_ends(mean: float, variance: float, p: float) -> Ends:
    """Ends of a variable that is never below 0 and leans to the right, as a mean of losses does.

    0 and inf where the mean or the variance lies beyond the doubles.

    >>> low, high = gamma_ends(1.0, 1.0, 0.05)  # exponential: -ln 0.95 and -ln 0.05
    >>> round(low, 4), round(high, 4)
    (0.0513, 2.9957)
    """
    if not (math.isfinite(mean) and variance < math.inf):
        return 0.0, math.inf
    if not (mean > 0 and variance > 0):
        return max(mean, 0.0), max(mean, 0.0)
    shape = mean / variance * mean
    if shape > 1e8:
        return normal_ends(mean, variance, p)
    return float(scipy.special.gammaincinv(shape, p)) * variance / mean, float(
        scipy.special.gammainccinv(shape, p)
    ) * variance / mean


def logit_ends(share: float, variance: float, p: float, events: float) -> Ends:
    """Ends of a share between 0 and 1; one at 0 or 1 among `events` is taken as half an event off it."""
    if events <= 0:
        return 0.0, 1.0
    edge = min(0.5, 0.5 / events)
    held = min(max(share, edge), 1 - edge)
    variance = max(variance, edge * edge)
    reach = -float(scipy.special.ndtri(p)) * math.sqrt(variance) / (held * (1 - held))
    middle = float(scipy.special.logit(held))
    return min(share, float(scipy.special.expit(middle - reach))), max(
        share, float(scipy.special.expit(middle + reach))
    )


def wilson(events: float, of: float, p: float) -> Ends:
    """Ends of the rate that gave `events` in `of` independent rows. Wilson 1927, J. Amer. Statist. Assoc. 22.

    >>> low, high = wilson(8, 10, 0.025)
    >>> round(low, 4), round(high, 4)
    (0.4902, 0.9433)
    """
    if of <= 0:
        return math.nan, math.nan
    z2 = float(scipy.special.ndtri(p)) ** 2
    middle = (events + z2 / 2) / (of + z2)
    reach = math.sqrt(z2 * (events * (of - events) / of + z2 / 4)) / (of + z2)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def labels_of(outcome: OutcomeCounts) -> int:
    """Labels whose outcome can be told."""
    return int(outcome.cells[LABELS])


def of_reference(reference: OutcomeCounts, labels: float, ends: Callable[[float], Ends], widest: Ends) -> Ends:
    """`ends` of 1/labels + 1/m, both samples' noise counted; `widest` where a side is empty."""
    m = labels_of(reference)
    return ends(1 / labels + 1 / m) if labels > 0 and m > 0 else widest
