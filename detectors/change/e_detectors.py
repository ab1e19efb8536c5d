"""E-detectors: bets against the null that the mean is usual, restarted at every moment.

The wealth of a bettor against a true null is expected not to grow; the sum (Shiryaev-Roberts) or the greatest (CUSUM)
over all moments at which he may have begun therefore reaches c no sooner than after c values on average, whatever the
distribution and dependence, as long as the mean given the past is usual and values are bounded. Shin, Ramdas and
Rinaldo 2022, arXiv 2203.03532.

Why the usual mean is an interval: a reference's mean has an error of its own, and a bound that holds for the point
alone is broken by it for good.

Values that resemble their neighbours, v of which say as much as one, do not have the usual mean given the past. Each
bet is worth the v-th root there: the wealth is then the geometric mean of v bettors who look at every v-th value each,
and is expected to be at most what theirs is (Hoelder).

Once it has fired it begins anew, and the level stays DRIFT until values are back: until a CUSUM against half of the way
that they were off has the sum of six usual ones. Wealth says nothing of that: it is slow to be lost, and the sum over
all moments grows with time whatever the values are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import scipy

from detectors.base import Worse
from detectors.calibration import Floats, effective
from detectors.change.levels import MODE_OF, MODES, Mode, check_mode, number
from detectors.change.machines import Machine, Step, at_least

# Numbers before those of the bets. [4]: how far off values were when it fired, [7]: the sum to end it, [8]: their mean
HEAD: Final = 9
RECENT: Final = 8.0  # values (where neighbours resemble each other, as many as say as much) in that mean
BACK: Final = 3.0  # times [4], in that sum: six values at the usual mean
BETS: Final = 8  # shares of the greatest possible bet: 0.9, 0.45, ...
CONFIDENCE: Final = 0.05  # at each end of the interval of the usual mean


def _step(p: Any, m: Any, x: float) -> int:
    low, high, limit, mode, learning, sums, t, root = p[0], p[1], p[2], p[3], p[6], p[7] == 1.0, p[8], 1 / p[9]
    x = min(max((x - low) / (high - low), 0.0), 1.0)
    m[0] += 1
    if p[4] != p[4] and m[0] <= learning:  # [5] mean, [6] sum of squares around it
        off = x - m[5]
        m[5] += off / m[0]
        m[6] += off * (x - m[5])
        return -1
    if p[4] == p[4]:
        least, most = (p[4] - low) / (high - low), (p[5] - low) / (high - low)
    else:
        reach = t * math.sqrt(m[6] / (learning - 1) / learning) + 1 / learning
        least, most = m[5] - reach, m[5] + reach
    least, most = min(max(least, 1e-6), 1 - 1e-6), min(max(most, 1e-6), 1 - 1e-6)
    known = m[0] - (0 if p[4] == p[4] else learning)
    m[8] = (least + most) / 2 if known == 1 else m[8]
    m[8] += (x - m[8]) * root / RECENT
    if m[4] != 0.0:
        side, edge = math.copysign(1.0, m[4]), most if m[4] > 0 else least
        m[7] = max(m[7] + side * (edge - x) + abs(m[4]) / 2, 0.0)
        if m[7] <= BACK * abs(m[4]) / root:
            m[3] += 1
            return 2
        m[4], m[7] = 0.0, 0.0
    wealth, count = 0.0, 0
    bets = (len(m) - HEAD) // 4
    for side in range(2):
        if (side == 0 and mode == -1.0) or (side == 1 and mode == 1.0):
            continue
        share = 0.9
        for b in range(bets):
            growth = 1 + share * (x - most) / most if side == 0 else 1 - share * (x - least) / (1 - least)
            growth = growth if root == 1.0 else growth**root
            at = HEAD + 2 * (side * bets + b)  # wealth, and values since it was last that of a beginner
            old = m[at] if m[at + 1] > 0 else 0.0 if sums else 1.0
            before = old + 1.0 if sums else max(old, 1.0)
            m[at + 1] = m[at + 1] + 1 if old > (1.0 if not sums else 0.0) else 1.0
            if sums and m[at + 1] > 1.0 and old * growth < 1.0:
                m[at + 1] = 1.0
            m[at] = before * growth
            wealth += m[at]
            count += 1
            share /= 2
    wealth /= count
    m[1], m[2], m[3] = math.log(wealth) if wealth > 0 else -1e9, math.log(limit), 0.0
    best, side = -1.0, 0
    for i in range(2 * bets):
        if m[HEAD + 2 * i] > best:
            best, m[3], side = m[HEAD + 2 * i], max(m[HEAD + 2 * i + 1] - 1, 0.0), i // bets
    if wealth < limit:
        return 0
    m[4] = max(m[8] - most, 1e-9) if side == 0 else min(m[8] - least, -1e-9)
    for i in range(HEAD, len(m)):
        m[i] = 0.0
    return 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _EDetector(Machine):
    """What both share."""

    step: ClassVar[Step] = staticmethod(_step)
    evidence: ClassVar[str] = "log of the wealth"
    sums: ClassVar[bool] = False
    limits: ClassVar[tuple[str, ...]] = ("updates_between_false_alarms",)

    low: float = 0.0
    high: float = 1.0
    mean_least: float | None = None
    mean_most: float | None = None
    updates_between_false_alarms: float = 1_000.0
    min_instances: int = 30
    resemblance: float = 1.0
    mode: Mode = "up"
    hold: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"low must be less than high, both finite: {self.low}, {self.high}")
        if (self.mean_least is None) != (self.mean_most is None):
            raise ValueError("mean_least and mean_most must be given together, or neither")
        if self.mean_least is not None and not self.mean_least <= number(self.mean_most):
            raise ValueError(f"mean_least must be at most mean_most: {self.mean_least}, {self.mean_most}")
        check_mode(self.mode)
        at_least("updates_between_false_alarms", self.updates_between_false_alarms, 2)
        at_least("min_instances", self.min_instances, 3)
        at_least("resemblance", self.resemblance, 1)
        at_least("hold", self.hold, 0)

    @classmethod
    def learnt(cls, values: Floats, worse: Worse, between: float, stated: Mapping[str, Any]) -> dict[str, Any]:
        """The usual mean is the 90 % interval that the reference's windows give. ValueError for fewer than 3.

        Where no bounds are given and the reference leaves 0 to 1, they are its range, widened by as much on each side.
        """
        if len(values) < 3:
            raise ValueError(f"{len(values)} values without spread: nothing to learn a mean from")
        low, high = float(stated.get("low", 0.0)), float(stated.get("high", 1.0))
        least, most = float(values.min()), float(values.max())
        if not {"low", "high"} & stated.keys() and not (low <= least and most <= high):
            low, high = least - (most - least), most + (most - least)
        series = np.clip(values, low, high)  # as the detector itself will take them
        count, mean = effective(series), float(series.mean())
        error = -float(scipy.special.stdtrit(count - 1, CONFIDENCE)) * float(series.std(ddof=1)) / math.sqrt(count)
        error += (high - low) / count**2  # values that hardly vary still have not shown all they can be
        own = {"low": low, "high": high, "mean_least": mean - error, "mean_most": mean + error, "mode": MODE_OF[worse]}
        return {**own, "updates_between_false_alarms": between, "resemblance": len(series) / count}

    def parameters(self) -> list[float]:
        own = [self.updates_between_false_alarms, MODES[self.mode], number(self.mean_least), number(self.mean_most)]
        quantile = -float(scipy.special.stdtrit(self.min_instances - 1, CONFIDENCE))
        return [self.low, self.high, *own, float(self.min_instances), float(self.sums), quantile, self.resemblance]

    def size(self) -> int:
        """Two numbers a bet and side."""
        return HEAD + 4 * BETS


@dataclass(frozen=True, slots=True, kw_only=True)
class ECUSUM(_EDetector):
    """DRIFT once the greatest wealth of any bettor who began since is `updates_between_false_alarms`.

    Values lie between `low` and `high` (others are taken as the nearer of the two); the usual mean between
    `mean_least` and `mean_most`, learnt from the first `min_instances` values where it is not given, as a 90 %
    interval. While the mean is there, false alarms come no sooner than every `updates_between_false_alarms` values on
    average, for any distribution. `mode` up bets that the mean rises. The onset is where the greatest wealth began.

    State: at most 43 numbers.

    >>> test = ECUSUM(mean_least=0.1, mean_most=0.1, updates_between_false_alarms=100)
    >>> _, levels = test.update_many(test.start(), [0.1] * 50 + [1.0] * 4)
    >>> levels.tolist().index(2)  # the greatest bet, of 8, multiplies by 9.1 at each 1
    52
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class EShiryaevRoberts(_EDetector):
    """DRIFT once the wealth of all bettors, one beginning at each value, is `updates_between_false_alarms`.

    The same as ECUSUM with the sum in the place of the greatest: sooner for small changes. The bound on false alarms
    is nearly reached, where that of ECUSUM is generous. The onset is where the wealth last was below a beginner's.

    State: at most 43 numbers.

    >>> test = EShiryaevRoberts(mean_least=0.1, mean_most=0.1, updates_between_false_alarms=100)
    >>> _, levels = test.update_many(test.start(), [0.1] * 50 + [1.0] * 4)
    >>> levels.tolist().index(2)  # 50 moments' wealth, and one 1 multiplies it by 3 on average
    50
    """

    sums: ClassVar[bool] = True
