"""RDDM: DDM that forgets what is too old."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from detectors.base import Reads
from detectors.change.machines import Machine, Step, at_least


def _step(p: Any, m: Any, x: float) -> int:
    warm, longest, kept = p[0], p[3], int(p[4])
    # [5] n, [6] rate, [7] have a least, [8] [9] rate and deviation at their least, [10] values kept, [11] the next
    # place, [12] values since the warning began (0: none), [13] start anew, from [14] on a ring of the newest values
    if m[13] == 1.0:
        m[5], m[6], m[7], m[13] = 0.0, 0.0, 0.0, 0.0
        k = int(m[10])
        for i in range(k):
            m[5] += 1
            m[6] += (m[14 + (int(m[11]) - k + i) % kept] - m[6]) / m[5]
            deviation = math.sqrt(max(m[6] * (1 - m[6]), 0.0) / m[5])
            if m[4] == 1.0 and m[5] >= warm and (m[7] == 0.0 or m[6] + deviation < m[8] + m[9]):
                m[7], m[8], m[9] = 1.0, m[6], deviation
        m[12], m[4] = 0.0, 0.0
    m[0] += 1
    m[14 + int(m[11])] = x
    m[11] = (int(m[11]) + 1) % kept
    m[10] = min(m[10] + 1, kept)
    m[5] += 1
    m[6] += (x - m[6]) / m[5]
    if m[5] < warm:
        return -1
    deviation = math.sqrt(max(m[6] * (1 - m[6]), 0.0) / m[5])
    if m[7] == 0.0 or m[6] + deviation < m[8] + m[9]:
        m[7], m[8], m[9] = 1.0, m[6], deviation
    m[1], m[2] = m[6] + deviation, m[8] + p[2] * m[9]
    if m[1] > m[2] or (m[12] > 0 and m[12] >= p[5]):
        m[4], m[13], m[3] = 1.0, 1.0, m[12]
        m[10] = min(max(m[12], 1.0), m[10])  # what came since the warning is the new concept
        return 2
    if m[1] > m[8] + p[1] * m[9]:
        m[12] += 1
        return 1
    m[12] = 0.0
    if m[5] > longest:
        m[13] = 1.0
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RDDM(Machine):
    """DDM whose rate is of the newest `min_size_stable` values once a concept has lasted for `max_size_concept`.

    So that a change late in a long run is seen as soon as an early one. A warning that lasts for `warning_limit` values
    is a change too. Values are errors, 1 for a wrong prediction and 0 for a right one (or shares of them). UNKNOWN for
    the first `warm_start` values. After a change the rate is that of the values since the warning began, which is the
    onset. Keeps `min_size_stable` values. Barros, Cabral, Goncalves and Santos 2017, Expert Syst. Appl. 90, with its
    defaults.

    State: at most 16 + min_size_stable numbers.

    >>> test = RDDM(warm_start=30, hold=0)
    >>> _, levels = test.update_many(test.start(), [0, 0, 0, 1] * 50 + [1] * 30)
    >>> 200 < levels.tolist().index(2) < 224  # where DDM fires
    True
    """

    step: ClassVar[Step] = staticmethod(_step)
    reads: ClassVar[Reads] = "errors"
    evidence: ClassVar[str] = "error rate with its deviation"

    warm_start: int = 129
    warning_threshold: float = 1.773
    drift_threshold: float = 2.258
    max_size_concept: int = 40_000
    min_size_stable: int = 7_000
    warning_limit: int = 1_400
    hold: int = 2

    def __post_init__(self) -> None:
        at_least("warm_start", self.warm_start, 1)
        at_least("warning_threshold", self.warning_threshold, 0)
        at_least("drift_threshold", self.drift_threshold, self.warning_threshold)
        at_least("min_size_stable", self.min_size_stable, self.warm_start)
        at_least("max_size_concept", self.max_size_concept, self.min_size_stable)
        at_least("warning_limit", self.warning_limit, 1)
        at_least("hold", self.hold, 0)

    def size(self) -> int:
        """The newest values."""
        return 14 + self.min_size_stable
