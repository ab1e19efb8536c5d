"""EDDM: do errors come closer together?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from detectors.base import Reads
from detectors.change.machines import Machine, Step, at_least, between


def _step(p: Any, m: Any, x: float) -> int:
    if m[4] == 1.0:
        for i in range(len(m)):
            m[i] = 0.0
    m[0] += 1
    if x == 1.0:  # [5] errors, [6] the last one, [7] mean distance, [8] sum of squares, [9] greatest level, [10] when
        m[5] += 1
        distance, before = m[0] - m[6], m[7]
        m[7] += 1 / m[5] * (distance - before)
        m[8] += (distance - before) * (distance - m[7])
        m[6] = m[0]
        if m[0] > p[0]:
            deviation = math.sqrt(m[8] / (m[5] - 1)) if m[5] > 1 else 0.0
            reach = m[7] + 2 * deviation
            if m[9] == 0.0 or reach > m[9]:
                m[9], m[10] = reach, m[0]
            elif m[5] > p[0]:
                m[1], m[2], m[3] = reach / m[9], p[2], m[0] - m[10] - 1
                if m[1] < p[2]:
                    m[4] = 1.0
                    return 2
                m[11] = 1.0 if m[1] < p[1] else 0.0  # [11] a warning stands until an error says otherwise
    if m[5] <= p[0]:
        return -1
    return int(m[11])


@dataclass(frozen=True, slots=True, kw_only=True)
class EDDM(Machine):
    """DRIFT when the distance between errors, plus two deviations, is below `beta` of its greatest value so far.

    Values are errors of single events: 1 is a wrong prediction, anything else a right one. Sees slow changes sooner
    than DDM and raises far more false alarms. WARNING below `alpha`. UNKNOWN for the first `warm_start` errors. After a
    change it starts anew. Fires where River's `drift.binary.EDDM` fires. The onset is where the distance was greatest.
    Baena-Garcia et al. 2006, Workshop on Knowledge Discovery from Data Streams.

    State: at most 14 numbers.

    >>> test = EDDM(hold=0)
    >>> _, levels = test.update_many(test.start(), [0] * 9 + [1] + ([0] * 4 + [1]) * 60 + [1] * 60)
    >>> levels.tolist().index(2)  # as in River
    159
    """

    step: ClassVar[Step] = staticmethod(_step)
    reads: ClassVar[Reads] = "errors"
    evidence: ClassVar[str] = "distance between errors, to its greatest,"

    warm_start: int = 30
    alpha: float = 0.95
    beta: float = 0.9
    hold: int = 2

    def __post_init__(self) -> None:
        at_least("warm_start", self.warm_start, 1)
        between("beta", self.beta, 0, 1)
        between("alpha", self.alpha, self.beta * (1 - 1e-12), 1 + 1e-12)
        at_least("hold", self.hold, 0)

    def size(self) -> int:
        """Fixed."""
        return 12
