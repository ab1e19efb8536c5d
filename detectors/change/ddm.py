"""DDM: has the error rate left its minimum?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from detectors.base import Judgement, Level, Reads, Worse
from detectors.calibration import Floats
from detectors.change.machines import UPDATES, Machine, Memory, Step, at_least

ENOUGH: Final = 30  # errors from which on a rate is about normal


def _step(p: Any, m: Any, x: float) -> int:
    if m[4] == 1.0:
        for i in range(len(m)):
            m[i] = 0.0
    m[0] += 1
    m[5] += 1 / m[0] * (x - m[5])  # [5] error rate
    if m[0] <= p[0]:
        return -1
    rate = m[5]
    deviation = math.sqrt(max(rate * (1 - rate), 0.0) / m[0])
    if m[6] == 0.0 or rate + deviation <= m[7] + m[8]:  # [7], [8] rate and deviation at their least, [9] when
        m[6], m[7], m[8], m[9] = 1.0, rate, deviation, m[0]
    m[1], m[2], m[3] = rate + deviation, m[7] + p[2] * m[8], m[0] - m[9] - 1 if m[0] > m[9] else 0.0
    if rate + deviation > m[2]:
        m[4] = 1.0
        return 2
    return 1 if rate + deviation > m[7] + p[1] * m[8] else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DDM(Machine):
    """DRIFT when the rate of errors so far, plus its deviation, is `drift_threshold` deviations above its least value.

    Values are errors, 1 for a wrong prediction and 0 for a right one (or shares of them); the mean over all of them
    since the last change is the rate, so a change late in a long run takes long to show. WARNING likewise. UNKNOWN for
    the first `warm_start` values. After a change it starts anew. Fires where River's `drift.binary.DDM` fires. The
    onset is where the rate was least. Gama et al. 2004, SBIA.

    State: at most 12 numbers.

    >>> test = DDM(hold=0)
    >>> _, levels = test.update_many(test.start(), [0, 0, 0, 1] * 50 + [1] * 30)
    >>> levels.tolist().index(2)  # as in River
    216
    """

    step: ClassVar[Step] = staticmethod(_step)
    limits: ClassVar[tuple[str, ...]] = ("drift_threshold",)
    reads: ClassVar[Reads] = "errors"
    evidence: ClassVar[str] = "error rate with its deviation"

    warm_start: int = 30
    warning_threshold: float = 2.0
    drift_threshold: float = 3.0
    hold: int = 2

    def __post_init__(self) -> None:
        at_least("warm_start", self.warm_start, 1)
        at_least("warning_threshold", self.warning_threshold, 0)
        at_least("drift_threshold", self.drift_threshold, self.warning_threshold)
        at_least("hold", self.hold, 0)

    @classmethod
    def learnt(cls, values: Floats, worse: Worse, between: float, stated: Mapping[str, Any]) -> dict[str, Any]:
        """Rates are compared once they are of ENOUGH errors, by the reference's rate: the least of fewer is chance.

        The rate of all values since the last change moves on the scale of doublings, and so do false alarms: at three
        deviations there is less than one in the forty doublings that any budget comes to. ValueError without errors.
        """
        if not (len(values) and float(values.mean()) > 0):
            raise ValueError(f"{len(values)} values without an error: nothing to learn a rate from")
        return {"warm_start": math.ceil(ENOUGH / float(values.mean()))}

    @classmethod
    def clustered(cls, own: Mapping[str, Any], clusters: float) -> dict[str, Any]:
        """As many clusters, and deviations as wide as the rate's are with them."""
        usual, wider = cls(), math.sqrt(clusters)
        return {
            "warm_start": math.ceil(own["warm_start"] * clusters),
            "warning_threshold": usual.warning_threshold * wider,
            "drift_threshold": usual.drift_threshold * wider,
        }

    def _judge(self, level: Level, memory: Memory, onset: int | None) -> Judgement:
        if level is not Level.UNKNOWN:
            return Machine._judge(self, level, memory, onset)
        seen = f"{int(memory[UPDATES])} of the {self.warm_start} values that it waits for"
        return Judgement(level=level, reason=f"{seen}: the least rate of fewer errors would be chance")

    def size(self) -> int:
        """Fixed."""
        return 10
