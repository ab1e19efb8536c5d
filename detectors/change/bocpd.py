"""BOCPD: the probability that a change has happened, over all places where it may have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from detectors.base import Worse
from detectors.calibration import Floats, exceedance
from detectors.change.levels import Mode, check, number, usual
from detectors.change.machines import Machine, Step, at_least, between

MOST_RUNS: Final = 1_000  # where more values say as much as `max_run` independent ones


def _step(p: Any, m: Any, x: float) -> int:
    most, known, worth = int(p[3]), p[0] == p[0], 1 / p[6]
    if m[4] == 1.0:
        mean, squares = m[5], m[6]
        for i in range(len(m)):
            m[i] = 0.0
        if known:
            m[5], m[6] = mean, squares
    m[0] += 1
    if not known and m[0] <= p[4]:  # learning: [5] mean, [6] sum of squares around it
        off = x - m[5]
        m[5] += off / m[0]
        m[6] += off * (x - m[5])
        return -1
    target, deviation = (p[0], p[1]) if known else (m[5], math.sqrt(m[6] / (p[4] - 1)))
    z = (x - target) / deviation if deviation > 0 else 0.0
    # By run length r from [8] on: probability, then mean, then sum of squares; [7] the longest run there is.
    # A normal-inverse-gamma prior: mean 0 worth 1/10 of a value, variance 1 worth 2 values.
    if m[7] == 0.0 and m[8] == 0.0:
        m[8] = 1.0
    longest = int(m[7])
    hazard, changed, total = 1 / p[2], 0.0, 0.0
    a, b, c = 8, 8 + most + 2, 8 + 2 * (most + 2)
    for r in range(longest, -1, -1):
        weight, shape, rate = 0.1 + r * worth, 1.0 + r * worth / 2, 1.0 + m[c + r] / 2
        scale = rate * (weight + 1) / (shape * weight)  # Student's t with 2 shape degrees of freedom
        off = z - m[b + r]
        density = math.exp(
            worth
            * (
                math.lgamma(shape + 0.5)
                - math.lgamma(shape)
                - 0.5 * math.log(2 * shape * math.pi * scale)
                - (shape + 0.5) * math.log(1 + off * off / (2 * shape * scale))
            )
        )
        joint = m[a + r] * density
        changed += joint * hazard
        grown = joint * (1 - hazard)
        m[a + r + 1] = grown
        m[b + r + 1] = (weight * m[b + r] + worth * z) / (weight + worth)
        m[c + r + 1] = m[c + r] + worth * weight * off * off / (weight + worth)
        total += grown
    m[a], m[b], m[c] = changed, 0.0, 0.0
    total += changed
    if longest + 1 > most:  # the longest run stands for all that are longer still
        m[a + most] += m[a + most + 1]
        m[b + most], m[c + most] = m[b + most + 1], m[c + most + 1] * most / (most + 1)
        m[a + most + 1], m[b + most + 1], m[c + most + 1] = 0.0, 0.0, 0.0
    longest = min(longest + 1, most)
    m[7] = longest
    likeliest, best = 0, -1.0
    for r in range(longest + 1):
        m[a + r] = m[a + r] / total if total > 0 else 1.0 if r == 0 else 0.0
        if r < longest and m[a + r] > best:
            likeliest, best = r, m[a + r]
    m[1], m[2], m[3] = 1 - m[a + longest], p[5], likeliest - 1 if likeliest > 0 else 0.0
    if m[1] > p[5]:
        m[4] = 1.0
        return 2
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BOCPD(Machine):
    """DRIFT when the probability that mean or variance has changed since the start is above `threshold`.

    Bayesian: normal values with unknown mean and variance in every stretch, a change being expected once in
    `expected_run` values; runs longer than `max_run` count as one, which bounds memory and time. Values are read in
    deviations from target, learnt from the first `min_instances` values where they are not given: they set the scale of
    the prior. Where neighbours resemble each other, so that `resemblance` values say as much as one, each counts as
    such a part of one: its likelihood to that power. After a change it starts anew. The onset is the most probable one.
    The probability is the model's, no rate of false alarms. Adams and MacKay 2007, arXiv 0710.3742.

    State: at most 16 + 3 * max_run numbers, max_run being at most 1,000 where it is learnt from a budget.

    >>> test = BOCPD(target=0.0, deviation=1.0, hold=0)
    >>> _, levels = test.update_many(test.start(), [0.5, -0.5] * 20 + [6.0] * 5)
    >>> levels.tolist().index(2)
    40
    """

    step: ClassVar[Step] = staticmethod(_step)
    evidence: ClassVar[str] = "probability of a change"
    limits: ClassVar[tuple[str, ...]] = ("threshold", "expected_run")
    in_units: ClassVar[tuple[str, ...]] = ("target", "deviation")

    target: float | None = None
    deviation: float | None = None
    expected_run: float = 250.0
    max_run: int = 200
    resemblance: float = 1.0
    min_instances: int = 30
    threshold: float = 0.9
    hold: int = 2

    @property
    def mode(self) -> Mode:
        """It looks both ways."""
        return "both"

    def __post_init__(self) -> None:
        check(self)
        at_least("expected_run", self.expected_run, 2)
        at_least("max_run", self.max_run, 10)
        at_least("resemblance", self.resemblance, 1)
        at_least("min_instances", self.min_instances, 3)
        between("threshold", self.threshold, 0, 1)
        at_least("hold", self.hold, 0)

    @classmethod
    def learnt(cls, values: Floats, worse: Worse, between: float, stated: Mapping[str, Any]) -> dict[str, Any]:
        """Target and deviation of the reference's windows; a change is expected as often as the budget has an alarm.

        The odds of a change then have to grow from 1 / `expected_run` to 9: evidence that as many values give without a
        change less than once (the sum of likelihood ratios over all places less their number is a martingale, as in
        Shiryaev-Roberts). The longest run is doubled, not stretched, for values that resemble each other: a memory of
        the same size goes on when the reference is found anew. It looks both ways, whatever is `worse`. ValueError for
        fewer than 3 values, or where all are the same.
        """
        known, p = usual(values), exceedance("above", between)
        resemblance = len(values) / known.values
        return {
            "target": known.mean,
            "deviation": known.deviation / math.sqrt(resemblance),  # of one value, which `usual` takes for as many
            "expected_run": 1 / p,
            "resemblance": resemblance,
            "max_run": min(cls().max_run * 2 ** round(math.log2(resemblance)), MOST_RUNS),
        }

    def parameters(self) -> list[float]:
        own = [self.expected_run, float(self.max_run), float(self.min_instances), self.threshold, self.resemblance]
        return [number(self.target), number(self.deviation), *own]

    def size(self) -> int:
        """Three numbers a run length."""
        return 8 + 3 * (self.max_run + 2)
