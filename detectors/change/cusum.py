"""CUSUM: has the mean left its target?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from detectors.base import Worse
from detectors.calibration import Floats
from detectors.change.levels import MODE_OF, MODES, Mode, check, number, usual
from detectors.change.machines import Machine, Step, at_least
from detectors.change.run_lengths import threshold_for


def _step(p: Any, m: Any, x: float) -> int:
    m[0] += 1
    if p[0] != p[0] and m[0] <= p[4]:  # learning: [5] mean, [6] sum of squares around it
        off = x - m[5]
        m[5] += off / m[0]
        m[6] += off * (x - m[5])
        return -1
    target = p[0] if p[0] == p[0] else m[5]
    deviation = p[1] if p[0] == p[0] else math.sqrt(m[6] / (p[4] - 1))
    z = (x - target) / deviation if deviation > 0 else 0.0 if x == target else math.copysign(1e9, x - target)
    m[1], m[2], m[3] = 0.0, p[3], 0.0
    for side in range(2):  # [7] [9] the sums, held at twice the threshold; [8] [10] values since they were 0
        sign = 1.0 if side == 0 else -1.0
        if p[5] == -sign:
            continue
        at = 7 + 2 * side
        m[at] = min(m[at] + sign * z - p[2], 2 * p[3])
        m[at + 1] += 1
        if m[at] <= 0.0:
            m[at], m[at + 1] = 0.0, 0.0
        if m[at] > m[1]:
            m[1], m[3] = m[at], m[at + 1] - 1
    return 2 if m[1] > p[3] else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CUSUM(Machine):
    """DRIFT while the sum of deviations from `target`, less `slack` for each value, is above `threshold`.

    In units of `deviation`: a shift of d deviations is seen in about threshold / (d - slack) values. Target and
    deviation are learnt from the first `min_instances` values where they are not given. The sum is never below 0, and
    is held at twice the threshold, so that a long drift does not take as long to end. The onset is where the sum was
    last 0. At slack 1/2 and threshold 5, one false alarm in 465 independent normal values, both sides together.
    Page 1954, Biometrika 41.

    State: at most 13 numbers.

    >>> test = CUSUM(target=0.0, deviation=1.0, threshold=4, slack=0.5)
    >>> _, levels = test.update_many(test.start(), [0.0, 0.5, -0.5, 2.0, 2.0, 2.0, 2.0])
    >>> levels.tolist()  # 1.5, 3, 4.5
    [0, 0, 0, 0, 0, 2, 2]
    """

    step: ClassVar[Step] = staticmethod(_step)
    limits: ClassVar[tuple[str, ...]] = ("threshold",)
    in_units: ClassVar[tuple[str, ...]] = ("target", "deviation")

    target: float | None = None
    deviation: float | None = None
    slack: float = 0.5
    threshold: float = 5.0
    min_instances: int = 30
    mode: Mode = "both"
    hold: int = 0

    def __post_init__(self) -> None:
        check(self)
        at_least("slack", self.slack, 0)

    @classmethod
    def learnt(cls, values: Floats, worse: Worse, between: float, stated: Mapping[str, Any]) -> dict[str, Any]:
        """Target and deviation of the reference's windows, the threshold by Siegmund's run length.

        The error of the target is taken off the slack: half a deviation is what is left of one standard error of it.
        Unless stated the slack is greater by up to another one after a reference of few values: of 20, the means that
        are off by two would alone raise several times the false alarms of the budget (by simulation).
        """
        known = usual(values)
        error = 1 / math.sqrt(known.values)
        threshold = threshold_for(
            max(float(stated.get("slack", 0.5)) - error, 0.0), (2 if worse == "both" else 1) * between
        )
        return {
            "target": known.mean,
            "deviation": known.deviation,
            "threshold": threshold,
            "slack": 0.5 + error * min(20 / known.values, 1.0),
            "mode": MODE_OF[worse],
        }

    def parameters(self) -> list[float]:
        target, deviation = number(self.target), number(self.deviation)
        return [target, deviation, self.slack, self.threshold, float(self.min_instances), MODES[self.mode]]

    def size(self) -> int:
        """Fixed."""
        return 11
