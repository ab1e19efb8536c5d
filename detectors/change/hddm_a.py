"""HDDM-A: has the mean left its best, by Hoeffding's bound?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from detectors.base import Reads, Worse
from detectors.calibration import Floats, exceedance
from detectors.change.machines import Machine, Step, at_least, between


def _step(p: Any, m: Any, x: float) -> int:
    if m[4] == 1.0:
        for i in range(len(m)):
            m[i] = 0.0
    m[0] += 1
    n = m[0]
    m[5] += 1 / n * (x - m[5])  # [5] mean of all, [6] [7] n and mean at the lower cut, [8] [9] at the upper one
    if m[6] == 0.0:
        m[6], m[7] = n, m[5]
    if m[8] == 0.0:
        m[8], m[9] = n, m[5]
    scale = math.log(1.0 / p[0])
    reach = math.sqrt(1.0 / (2 * n) * scale)
    if m[7] + math.sqrt(1.0 / (2 * m[6]) * scale) >= m[5] + reach:
        m[6], m[7] = n, m[5]
    if m[9] - math.sqrt(1.0 / (2 * m[8]) * scale) <= m[5] - reach:
        m[8], m[9] = n, m[5]
    level = 0
    m[1], m[2] = 0.0, 0.0
    for side in range(2 if p[2] == 1.0 else 1):
        cut, rise = (m[6], m[5] - m[7]) if side == 0 else (m[8], m[9] - m[5])
        if cut == n:
            continue
        ratio = (n - cut) / cut * (1.0 / n)
        bound = math.sqrt(ratio / 2 * math.log(2.0 / p[0]))
        if side == 0 or rise >= bound:
            m[1], m[2], m[3] = rise, bound, n - cut - 1
        if rise >= bound:
            level = 2
        elif level < 2 and rise >= math.sqrt(ratio / 2 * math.log(2.0 / p[1])):
            level = 1
    if level == 2:
        m[4] = 1.0
    return level


@dataclass(frozen=True, slots=True, kw_only=True)
class HDDMA(Machine):
    """DRIFT when the mean is further above its value at the best cut point than Hoeffding's bound lets it be.

    Values lie between 0 and 1, such as errors or rates. The cut is where the mean's upper bound was least; the
    comparison has the error `drift_confidence` (WARNING: `warning_confidence`). With `two_sided_test` a fallen mean
    counts as well. After a change it starts anew. Fires where River's `drift.binary.HDDMA` fires. The onset is the
    cut. The bound holds whatever the law of the values, so that a rise by r is seen only behind
    log(2 / drift_confidence) / (2 r^2) values, however long it lasts. Frias-Blanco et al. 2015, IEEE Trans. Knowl. Data
    Eng. 27.

    State: at most 12 numbers.

    >>> test = HDDMA(hold=0)
    >>> _, levels = test.update_many(test.start(), [0, 0, 0, 1] * 50 + [1] * 30)
    >>> levels.tolist().index(2)  # as in River
    205
    """

    step: ClassVar[Step] = staticmethod(_step)
    limits: ClassVar[tuple[str, ...]] = ("drift_confidence",)
    reads: ClassVar[Reads] = "rates"
    evidence: ClassVar[str] = "rise of the mean"

    drift_confidence: float = 0.001
    warning_confidence: float = 0.005
    two_sided_test: bool = False
    hold: int = 2

    def __post_init__(self) -> None:
        between("drift_confidence", self.drift_confidence, 0, 1)
        between("warning_confidence", self.warning_confidence, 0, 1)
        at_least("hold", self.hold, 0)

    @classmethod
    def learnt(cls, values: Floats, worse: Worse, between: float, stated: Mapping[str, Any]) -> dict[str, Any]:
        """The error of one comparison is what the budget leaves a value; of independent values, whatever their law."""
        p = exceedance(worse, between)
        warning = max(p, min(math.sqrt(p), 0.005))
        return {"drift_confidence": p, "warning_confidence": warning, "two_sided_test": worse == "both"}

    def size(self) -> int:
        """Fixed."""
        return 10
