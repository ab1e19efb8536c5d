"""What a calibrated scan can be expected to do: bounds, false alarms, the smallest changes it sees, and how soon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.scan.units import LEAST_EVENTS, Unit
from detectors.tails import deviance_root

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One group of components at one scale; sizes are those of its median component.

    `smallest` is the change that fills a window and crosses the bound every second time: in standard deviations of an
    event's score, or in shares of events (`unit` "share"); inf where no window of this length has enough events.
    `floor` is what `smallest` would be in an endless window: the reference's own error.
    """

    group: str
    components: int
    panes: int
    threshold: float  # |z|
    p_value: float  # the probability that it stands for, per component and look
    false_alarms_per_pane: float  # at most, of the whole group at this scale
    unit: str  # "sd" or "share"
    smallest: float
    floor: float


def plans(unit: Unit) -> list[Plan]:
    """Every group at every scale, for windows with as many events a pane as the reference has on average."""
    found = []
    groups = [c.group for c in unit.components.of]
    for group in dict.fromkeys(groups):
        some = np.array([i for i, g in enumerate(groups) if g == group])
        share = bool(unit.share[some[0]])
        for scale, m in enumerate(unit.scales):
            smallest, floor = _smallest(unit, some, scale)
            found.append(
                Plan(
                    group=group,
                    components=len(some),
                    panes=m,
                    threshold=float(np.median(unit.bounds[some, scale])),
                    p_value=float(unit.alphas[some[0], scale]),
                    false_alarms_per_pane=float(unit.alphas[some, scale].sum() / max(1, m // 4)),
                    unit="share" if share else "sd",
                    smallest=float(np.median(smallest)),
                    floor=float(np.median(floor)),
                )
            )
    return found


def delays(unit: Unit, shifts: Sequence[float]) -> dict[float, float | None]:
    """Panes until a lasting shift of one column's mean (in standard deviations of its ranks) is expected to be seen.

    A window of m panes crosses its bound once the shift has filled so much of it that its mean does; the soonest of
    all scales counts. None where no window is long enough, or the reference too small.
    """
    of = np.array([i for i, c in enumerate(unit.components.of) if c.group == "location"])
    found: dict[float, float | None] = {}
    for shift in shifts:
        soonest: float | None = None
        for scale, m in enumerate(unit.scales):
            smallest = float(np.median(_smallest(unit, of, scale)[0])) if len(of) else np.inf
            if smallest <= abs(shift):
                hop = max(1, m // 4)
                needed = float(np.ceil(m * smallest / abs(shift) / hop) * hop)
                soonest = needed if soonest is None else min(soonest, needed)
        found[shift] = soonest
    return found


def _smallest(unit: Unit, some: NDArray[np.int64], scale: int) -> tuple[Floats, Floats]:
    """(smallest change, floor) of some components at a scale; see Plan."""
    per = unit.per[some]
    totals = 1 / unit.flat[per]
    n = totals / unit.panes * unit.scales[scale]
    own, whole = unit.inflation[some, scale], unit.inflation[some, -1]
    excess, bound = unit.excess[some], unit.bounds[some, scale]
    enough = n / (excess * own) >= LEAST_EVENTS
    if unit.share[some[0]]:
        m = totals / (excess * whole)
        share = np.clip(unit.coefficients[0, some], 0.0, 1.0)
        found = _smallest_share(share, n / (excess * own), m, bound)
        return np.where(enough, found, np.inf), _smallest_share(share, 1e9 * m, m, bound)
    error = np.sqrt(excess * (own / n + whole / totals))
    return np.where(enough, bound * error, np.inf), bound * np.sqrt(excess * whole / totals)


def _smallest_share(share: Floats, n: Floats, m: Floats, bound: Floats) -> Floats:
    """By how much a share of n events must exceed that of the reference's m to reach the bound, by bisection."""
    low, high = share, np.ones(len(share))
    for _ in range(40):
        middle = (low + high) / 2
        beyond = deviance_root(middle * n, n, share * m, m) >= bound
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    return high - share
