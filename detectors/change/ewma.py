"""EWMA chart: has the weighted mean left its target?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import scipy

from detectors.base import Worse
from detectors.calibration import Floats
from detectors.change.levels import MODES, Mode, chart, check, number
from detectors.change.machines import Machine, Step, between


def _step(p: Any, m: Any, x: float) -> int:
    m[0] += 1
    if p[0] != p[0] and m[0] <= p[4]:  # learning: [5] mean, [6] sum of squares around it
        off = x - m[5]
        m[5] += off / m[0]
        m[6] += off * (x - m[5])
        return -1
    learnt = p[0] != p[0]
    target, deviation = (m[5], math.sqrt(m[6] / (p[4] - 1))) if learnt else (p[0], p[1])
    m[8] += 1  # [7] the weighted mean, [8] values in it, [9] values on this side of the target
    if m[8] == 1.0:
        m[7] = target
    before = m[7] - target
    m[7] += p[2] * (x - m[7])
    after = m[7] - target
    m[9] = m[9] + 1 if before * after > 0 else 0.0
    own = p[2] / (2 - p[2]) * (1 - (1 - p[2]) ** (2 * m[8]))
    known = p[4] if learnt else p[6]  # the target's own error counts, if it was learnt
    spread = deviation * math.sqrt(own + (1 / known if known > 0 else 0.0))
    side = after if p[5] == 1.0 else -after if p[5] == -1.0 else abs(after)
    m[1], m[2], m[3] = side / spread if spread > 0 else 1e9 if side > 0 else 0.0, p[3], m[9]
    return 2 if m[1] > p[3] else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EWMA(Machine):
    """DRIFT while the exponentially weighted mean is more than `threshold` of its standard errors off `target`.

    The newest value weighs `smoothing`. Target and deviation are learnt from the first `min_instances` values where
    they are not given; their own error is then in the standard error (`reference_values`: how many values a given
    target was learnt from; 0 for a target that is exact). The onset is where the mean last crossed the target. At
    smoothing 0.2 and threshold 3, one false alarm in about 560 independent normal values.
    Roberts 1959, Technometrics 1; Lucas and Saccucci 1990, Technometrics 32.

    State: at most 12 numbers.

    >>> test = EWMA(target=0.0, deviation=1.0, smoothing=0.5, threshold=2)
    >>> _, levels = test.update_many(test.start(), [0.0, 1.0, 3.0])  # 0, 0.5, 1.75 of 0.5, 0.559, 0.573
    >>> levels.tolist()
    [0, 0, 2]
    """

    step: ClassVar[Step] = staticmethod(_step)
    limits: ClassVar[tuple[str, ...]] = ("threshold",)
    in_units: ClassVar[tuple[str, ...]] = ("target", "deviation")
    evidence: ClassVar[str] = "distance in standard errors"

    target: float | None = None
    deviation: float | None = None
    smoothing: float = 0.2
    threshold: float = 3.0
    min_instances: int = 30
    mode: Mode = "both"
    reference_values: float = 0.0
    hold: int = 0

    def __post_init__(self) -> None:
        check(self)
        between("smoothing", self.smoothing, 0, 1 + 1e-12)

    @classmethod
    def learnt(cls, values: Floats, worse: Worse, between: float, stated: Mapping[str, Any]) -> dict[str, Any]:
        """Target and deviation of the reference's windows; the threshold bounds the false alarms of each value."""
        own, p = chart(values, worse, between)  # no sum of crossings has a greater rate
        return {**own, "threshold": -float(scipy.special.ndtri(min(p, 0.4)))}

    def parameters(self) -> list[float]:
        own = [self.smoothing, self.threshold, float(self.min_instances), MODES[self.mode], self.reference_values]
        return [number(self.target), number(self.deviation), *own]

    def size(self) -> int:
        """Fixed."""
        return 10
