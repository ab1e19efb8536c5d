"""HDDM-W: have the newest values left the weighted mean, by McDiarmid's bound?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from detectors.base import Reads, Worse
from detectors.calibration import Floats, exceedance
from detectors.change.machines import Machine, Step, at_least, between

SEEN: Final = 0.2  # the rise of a rate that a learnt limit is to see


def _step(p: Any, m: Any, x: float) -> int:
    weight = p[2]
    if m[4] == 1.0:
        for i in range(len(m)):
            m[i] = 0.0
    # Samples are [values, weighted mean, sum of squared weights]: [5] all, [8] [11] before and since the lower cut,
    # [14] [17] before and since the upper one; [20] [21] the cuts' bounds
    if m[0] == 0.0:
        for i in range(5):
            m[7 + 3 * i] = 1.0
    m[0] += 1
    m[6] = x if m[5] == 0.0 else weight * x + (1.0 - weight) * m[6]
    m[5] += 1
    m[7] = weight * weight + (1 - weight) ** 2 * m[7]
    reach = math.sqrt(m[7] * math.log(1 / p[0]) / 2)
    for side in range(2):
        at, sign = 8 + 6 * side, 1.0 if side == 0 else -1.0
        bound = m[6] + sign * reach
        if m[0] == 1.0 or sign * bound < sign * m[20 + side]:
            m[20 + side] = bound
            for i in range(3):
                m[at + i] = m[5 + i]
            m[at + 3], m[at + 4], m[at + 5] = 0.0, 0.0, 1.0
        else:
            m[at + 4] = x if m[at + 3] == 0.0 else weight * x + (1.0 - weight) * m[at + 4]
            m[at + 3] += 1
            m[at + 5] = weight * weight + (1 - weight) ** 2 * m[at + 5]
    level = 0
    m[1], m[2] = 0.0, 0.0
    for side in range(2 if p[3] == 1.0 else 1):
        at, sign = 8 + 6 * side, 1.0 if side == 0 else -1.0
        if m[at] == 0.0 or m[at + 3] == 0.0:
            continue
        rise, both = sign * (m[at + 4] - m[at + 1]), m[at + 2] + m[at + 5]
        bound = math.sqrt(both * math.log(1 / p[0]) / 2)
        if side == 0 or rise > bound:
            m[1], m[2], m[3] = rise, bound, m[at + 3] - 1
        if rise > bound:
            level = 2
        elif level < 2 and rise > math.sqrt(both * math.log(1 / p[1]) / 2):
            level = 1
    if level == 2:
        m[4] = 1.0
    return level


@dataclass(frozen=True, slots=True, kw_only=True)
class HDDMW(Machine):
    """DRIFT when the exponentially weighted mean since the best cut point is above the one before it by too much.

    Too much is McDiarmid's bound with the error `drift_confidence` (WARNING: `warning_confidence`). Values lie between
    0 and 1; the newest weighs `lambda_val`. Sees slow changes sooner than HDDM-A. With `two_sided_test` a fallen mean
    counts as well. After a change it starts anew. Fires where River's `drift.binary.HDDMW` fires. The onset is the
    cut. Frias-Blanco et al. 2015, IEEE Trans. Knowl. Data Eng. 27.

    State: at most 24 numbers.

    >>> test = HDDMW(hold=0)
    >>> _, levels = test.update_many(test.start(), [0, 0, 0, 1] * 50 + [1] * 30)
    >>> levels.tolist().index(2)  # as in River
    214
    """

    step: ClassVar[Step] = staticmethod(_step)
    limits: ClassVar[tuple[str, ...]] = ("drift_confidence",)
    reads: ClassVar[Reads] = "rates"
    evidence: ClassVar[str] = "rise of the weighted mean"

    drift_confidence: float = 0.001
    warning_confidence: float = 0.005
    lambda_val: float = 0.05
    two_sided_test: bool = False
    hold: int = 2

    def __post_init__(self) -> None:
        between("drift_confidence", self.drift_confidence, 0, 1)
        between("warning_confidence", self.warning_confidence, 0, 1)
        between("lambda_val", self.lambda_val, 0, 1)
        at_least("hold", self.hold, 0)

    @classmethod
    def learnt(cls, values: Floats, worse: Worse, between: float, stated: Mapping[str, Any]) -> dict[str, Any]:
        """The budget of a value is shared by the comparisons it stands in: the weighted mean knows 1 / `lambda_val`
        values, each of which may be the best cut. Of independent values, whatever their law.

        Unless `lambda_val` is stated the mean knows as many as it needs for a bound of SEEN, at most.
        """
        p = exceedance(worse, between)
        needed = 2 * SEEN**2 / (1 + math.log(1 / p) - math.log(SEEN**2 / 10))
        weight = float(stated.get("lambda_val", min(needed, 0.05)))
        warning = max(p * weight, min(math.sqrt(p * weight), 0.005))
        own = {"lambda_val": weight, "drift_confidence": p * weight, "warning_confidence": warning}
        return {**own, "two_sided_test": worse == "both"}

    def size(self) -> int:
        """Fixed."""
        return 22
