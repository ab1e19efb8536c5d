"""Thresholds from how a metric varied while nothing was wrong.

The user states how many false alarms are tolerable; a monitor gets its share of them; the threshold is the value that
the reference's own windows exceed no more often than that. Few windows (a year of weeks) do not reach so far into the
tail, so it is extrapolated, on the safe side:

- on a scale where the spread does not depend on the level (root, arcsine of the root, logarithm);
- normal tail with Student's t for the few windows, fewer still where neighbours resemble each other (a season);
- the spread is the greater of the standard deviation and the slope of the upper half against normal quantiles, so that
  a heavy tail is seen;
- never inside the most extreme window of the reference, but beyond it by what the tail goes on until the budget;
- never inside the sampling noise of a window (`floor`).

Once the reference has ten windows beyond the budgeted quantile, its order statistics decide alone.

What that gives, in simulations of independent windows: normal, chi and binomial noise exceed the threshold at most as
often as budgeted (about half as often with 20-50 windows); exponential and log-normal (sigma 0.3) tails up to 4 times
as often with 20 windows and a quantile of 1/2,500, and at most twice with 1,000. Requiring several windows in a row
(`for`) is not counted upon, because neighbouring windows resemble each other: it is margin. The budget is not
guaranteed yet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_WINDOWS: Final = 3  # below, there is no spread to speak of: sampling noise only
LEAST_EFFECTIVE: Final = 5.0  # independent windows that any series is at least worth
ENOUGH_BEYOND: Final = 10  # windows beyond the quantile from which order statistics need no help


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Where a value is drift: above `above`, below `below`; None on a side that cannot be bad or is not known."""

    above: float | None
    below: float | None
    reason: str


def exceedance(worse: str, windows_between_false_alarms: float, share: float = 1.0) -> float:
    """Tolerable probability of a false crossing per window and side.

    >>> exceedance("above", 50, 0.25), exceedance("both", 50, 0.25)
    (0.005, 0.0025)
    """
    if not (windows_between_false_alarms > 0 and share > 0):
        raise ValueError(f"budget must be above 0: {windows_between_false_alarms} windows, share {share}")
    return min(0.25, share / windows_between_false_alarms / (2 if worse == "both" else 1))


def calibrate(
    values: Sequence[float] | Floats,
    *,
    worse: Literal["above", "below", "both"],
    windows_between_false_alarms: float,
    share: float = 1.0,
    floor: tuple[float, float] | float | None = None,
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> Bounds:
    """Bounds that at most `share` in `windows_between_false_alarms` windows cross without change.

    `values` are the metric's values over windows of the reference that do not overlap, in order of time, each compared
    with the rest of the reference; nan are left out. `floor` is the interval of sampling noise that no bound may lie in
    (a number: its upper end). `limits` are the metric's least and greatest possible values: a bound there cannot be
    crossed, and the reason says so. Deterministic; cost grows with the number of values as sorting does.

    >>> calibrate([0.1] * 40, worse="above", windows_between_false_alarms=1000, floor=0.15).above
    0.15
    >>> even = calibrate(np.linspace(0, 1, 100_001), worse="both", windows_between_false_alarms=100)
    >>> round(even.below, 3), round(even.above, 3)  # the quantiles 0.005 and 0.995
    (0.005, 0.995)
    """
    p = exceedance(worse, windows_between_false_alarms, share)
    series = finite(values)
    low, high = floor if isinstance(floor, tuple) else (-math.inf, math.inf if floor is None else floor)
    high = -math.inf if floor is None else high
    low = math.inf if not isinstance(floor, tuple) else low
    above = _side(series, p, high, limits) if worse != "below" else None
    below = None
    if worse != "above":
        below = _side(-series, p, -low, (-limits[1], -limits[0]))
        below = None if below is None else -below
    return Bounds(above=above, below=below, reason=_reason(series, p, above, below, limits))


def _side(values: Floats, p: float, floor: float, limits: tuple[float, float]) -> float | None:
    """The bound above; for the one below everything is mirrored."""
    if len(values) < LEAST_WINDOWS:
        bound = floor
    else:
        scale = Scale.of(values, limits)
        bound = max(scale.back(_quantile(scale.there(values), p)), floor)
    if not math.isfinite(bound):
        return limits[1] if bound > 0 and math.isfinite(limits[1]) else None
    return min(bound, limits[1])


def _quantile(y: Floats, p: float) -> float:
    """Upper bound of the (1 - p) quantile of the distribution that `y`, in order of time, was drawn from."""
    n = len(y)
    independent = effective(y)
    y = np.sort(y)
    beyond = n * p
    if beyond >= 1:  # the reference reaches as far: the value that one standard error fewer windows exceed
        seen = float(y[-max(1, int(beyond - math.sqrt(beyond)))])
        if beyond >= ENOUGH_BEYOND:
            return seen
    spread = max(float(np.std(y, ddof=1)), _upper_slope(y))
    if beyond < 1:  # beyond the greatest, by as much as a normal tail goes on from 1 / (n + 1) to p
        seen = float(y[-1]) + spread * max(0.0, float(scipy.special.ndtri(1 / (n + 1)) - scipy.special.ndtri(p)))
    t = -float(scipy.special.stdtrit(independent - 1, p))
    return max(float(np.mean(y)) + spread * math.sqrt(1 + 1 / independent) * t, seen)


def _upper_slope(y: Floats) -> float:
    """Spread of the upper half of sorted values around the median, by regression on normal quantiles."""
    n, half = len(y), (len(y) + 1) // 2
    z = scipy.special.ndtri((np.arange(n - half, n) + 0.625) / (n + 0.25))  # Blom's plotting positions
    return float(np.sum(z * (y[n - half :] - np.median(y))) / np.sum(z * z))


@dataclass(frozen=True, slots=True)
class Scale:
    """Where the spread of a metric does not depend on its level, and a bound stays within the limits.

    All of them rise: what is greater stays so.
    """

    kind: Literal["same", "root", "minus_log", "arcsine", "minus_arcsine"]

    @classmethod
    def of(cls, values: Floats, limits: tuple[float, float]) -> Scale:
        if limits == (0.0, 1.0):
            return cls("arcsine")
        if limits == (-1.0, 0.0):
            return cls("minus_arcsine")
        if limits[0] == 0:
            return cls("root")
        if limits[1] == 0 and float(np.max(values)) < 0:  # never 0 so far: the bound keeps off 0, and 0 crosses it
            return cls("minus_log")
        return cls("same")

    def there(self, x: Floats) -> Floats:
        """Values on this scale."""
        match self.kind:
            case "root":
                return np.sqrt(np.maximum(x, 0))
            case "minus_log":
                return np.array([-math.log(-v) for v in x.tolist()])
            case "arcsine":
                return _arcsine(x)
            case "minus_arcsine":
                return -_arcsine(-x)
        return x

    def back(self, y: float) -> float:
        """The value that stands at a place of this scale, within the limits."""
        match self.kind:
            case "root":
                return max(y, 0.0) ** 2
            case "minus_log":
                return -math.exp(-y)
            case "arcsine":
                return math.sin(min(max(y, 0.0), math.pi / 2)) ** 2
            case "minus_arcsine":
                return -(math.sin(min(max(-y, 0.0), math.pi / 2)) ** 2)
        return y


def _arcsine(x: Floats) -> Floats:
    """Through Python's own functions: numpy's differ in the last bit from processor to processor."""
    return np.array([math.asin(math.sqrt(min(max(v, 0.0), 1.0))) for v in x.tolist()])


def _reason(values: Floats, p: float, above: float | None, below: float | None, limits: tuple[float, float]) -> str:
    if len(values) < LEAST_WINDOWS:
        known = "sampling noise only" if above is not None or below is not None else "no threshold"
        return f"{len(values)} windows in the reference are too few to learn from: {known}"
    text = f"learnt from {len(values)} windows of the reference, {p:.2g} false crossings a window"
    if above == limits[1] or below == limits[0]:
        text += "; cannot be crossed, the reference itself varies over all that is possible"
    return text


def finite(values: Sequence[float] | Floats) -> Floats:
    """The values without nan and infinities."""
    series = np.asarray(values, np.float64)
    return series[np.isfinite(series)]


def effective(y: Floats) -> float:
    """Number of independent values that say as much of the mean as the series `y`: at least 5, at most its length.

    By the autocorrelation at lag 1, less its noise.
    """
    centred = y - np.mean(y)
    power = float(np.sum(centred * centred))
    if power == 0:
        return float(len(y))
    correlation = float(np.sum(centred[1:] * centred[:-1])) / power - 1 / math.sqrt(len(y))
    correlation = min(max(correlation, 0.0), 0.99)
    return min(float(len(y)), max(LEAST_EFFECTIVE, len(y) * (1 - correlation) / (1 + correlation)))
