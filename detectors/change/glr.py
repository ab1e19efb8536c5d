"""GLR: the likelihood ratio of a changed mean, over every place where it may have changed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import scipy

from detectors.base import Worse
from detectors.calibration import Floats
from detectors.change.levels import MODES, Mode, chart, check, number
from detectors.change.machines import Machine, Step, at_least


def _step(p: Any, m: Any, x: float) -> int:
    size = int(p[2])
    m[0] += 1
    if p[0] != p[0] and m[0] <= p[4]:  # learning: [5] mean, [6] sum of squares around it
        off = x - m[5]
        m[5] += off / m[0]
        m[6] += off * (x - m[5])
        return -1
    learnt = p[0] != p[0]
    target, deviation = (m[5], math.sqrt(m[6] / (p[4] - 1))) if learnt else (p[0], p[1])
    known = p[4] if learnt else p[6]
    place = int(m[7])  # [7] the next place of the ring of the newest deviations, [8] how many there are
    z = (x - target) / deviation if deviation > 0 else 0.0 if x == target else math.copysign(1e9, x - target)
    m[9 + place] = z
    m[7] = (place + 1) % size
    m[8] = min(m[8] + 1, size)
    m[1], m[2], m[3] = 0.0, p[3], 0.0
    total = 0.0
    for k in range(1, int(m[8]) + 1):
        total += m[9 + (place - k + 1) % size]
        side = total if p[5] == 1.0 else -total if p[5] == -1.0 else abs(total)
        if side > 0.0:
            variance = k * (1 + k / known) if known > 0 else float(k)  # the target's own error counts
            ratio = side * side / (2 * variance)
            if ratio > m[1]:
                m[1], m[3] = ratio, k - 1
    return 2 if m[1] > p[3] else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GLR(Machine):
    """DRIFT while the greatest log likelihood ratio, of a mean off `target` since any of the last values, is high.

    `window` values are looked at. Needs no guess of how far the mean will move: small shifts are seen slowly, great
    ones at once. Normal values; a ratio of 8 is four standard errors. Target and deviation are learnt from the first
    `min_instances` values where they are not given, and their own error is counted (`reference_values`, see EWMA). The
    onset is the most likely place.
    Siegmund and Venkatraman 1995, Ann. Statist. 23; Lai 1995, J. Roy. Statist. Soc. B 57 (the window).

    State: at most 11 + window numbers.

    >>> test = GLR(target=0.0, deviation=1.0, threshold=8)
    >>> _, levels = test.update_many(test.start(), [0.0, 0.0, 2.0, 2.0, 2.0, 2.0, 2.0])  # 4 k / 2 after k of them
    >>> levels.tolist()
    [0, 0, 0, 0, 0, 0, 2]
    """

    step: ClassVar[Step] = staticmethod(_step)
    limits: ClassVar[tuple[str, ...]] = ("threshold",)
    in_units: ClassVar[tuple[str, ...]] = ("target", "deviation")
    evidence: ClassVar[str] = "log likelihood ratio"

    target: float | None = None
    deviation: float | None = None
    window: int = 100
    threshold: float = 8.0
    min_instances: int = 30
    mode: Mode = "both"
    reference_values: float = 0.0
    hold: int = 0

    def __post_init__(self) -> None:
        check(self)
        at_least("window", self.window, 2)

    @classmethod
    def learnt(cls, values: Floats, worse: Worse, between: float, stated: Mapping[str, Any]) -> dict[str, Any]:
        """Target and deviation of the reference's windows; the threshold for all places of the window together."""
        own, p = chart(values, worse, between)
        p /= int(stated.get("window", 100))
        return {**own, "threshold": float(scipy.special.ndtri(min(p, 0.4))) ** 2 / 2}

    def parameters(self) -> list[float]:
        own = [float(self.window), self.threshold, float(self.min_instances), MODES[self.mode], self.reference_values]
        return [number(self.target), number(self.deviation), *own]

    def size(self) -> int:
        """The newest values."""
        return 9 + self.window
