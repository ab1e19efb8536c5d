"""KSWIN: the newest values against a sample of the older ones, by Kolmogorov-Smirnov."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, comb, exp, log
from typing import Any, ClassVar, Final

from detectors.base import Worse
from detectors.calibration import Floats, exceedance
from detectors.change.levels import usual
from detectors.change.machines import Machine, Step, at_least, between

LEAST_ALPHA: Final = 1e-300
GRADE: Final = 1.25


def _step(p: Any, m: Any, x: float) -> int:
    size, recent, critical, seed = int(p[0]), int(p[1]), int(p[2]), int(p[3])
    old = size - recent
    at = 7  # the window, the oldest first; then room for a sample and for places
    if m[4] == 1.0:
        for i in range(len(m)):
            m[i] = 0.0
    m[0] += 1
    k = int(m[5])
    if k == size:
        for i in range(size - 1):
            m[at + i] = m[at + i + 1]
        k -= 1
    m[at + k] = x
    m[5] = k + 1
    m[1], m[2] = 0.0, critical / recent
    if k + 1 < size:
        return -1
    # A sample without replacement by Fisher and Yates, the numbers from a Lehmer generator: of seed and count alone.
    state = (seed * 69621 + int(m[0]) * 48271 + 1) % 2147483647
    for _ in range(3):
        state = state * 16807 % 2147483647
    for i in range(old):
        m[at + size + i] = i
    for i in range(recent):
        state = state * 16807 % 2147483647
        j = i + state % (old - i)
        m[at + size + i], m[at + size + j] = m[at + size + j], m[at + size + i]
    # Both samples in the room of the places, each in order (Shell 1959): the newer one behind the drawn one.
    drawn, newest = at + size, at + size + recent
    for i in range(recent):
        m[drawn + i] = m[at + int(m[drawn + i])]
        m[newest + i] = m[at + old + i]
    for side in range(2):
        first, gap = drawn + side * recent, recent // 2
        while gap > 0:
            for i in range(first + gap, first + recent):
                v, j = m[i], i
                while j >= first + gap and m[j - gap] > v:
                    m[j] = m[j - gap]
                    j -= gap
                m[j] = v
            gap //= 2
    greatest, i, j = 0, 0, 0
    while i < recent and j < recent:  # the functions differ most at a value of the one or the other
        v = min(m[drawn + i], m[newest + j])
        while i < recent and m[drawn + i] <= v:
            i += 1
        while j < recent and m[newest + j] <= v:
            j += 1
        greatest = max(greatest, abs(i - j))
    for i in range(size):
        m[at + size + i] = 0.0
    m[1], m[3] = greatest / recent, recent - 1
    if greatest >= critical and greatest / recent > 0.1:
        m[4] = 1.0
        return 2
    return 0


@lru_cache(maxsize=256)
def critical_steps(n: int, alpha: float) -> int:
    """The least number of steps by which two samples of n values differ with probability `alpha` or less.

    Exact: P(n D >= h) = 2 sum over j of (-1)^(j+1) C(2n, n - j h) / C(2n, n). Gnedenko and Korolyuk 1951.

    >>> critical_steps(30, 0.005)  # scipy.stats.ks_2samp: p = 0.0025 at 14/30, 0.0065 at 13/30
    14
    """
    for h in range(1, n + 1):
        ways = sum((-1) ** (j + 1) * comb(2 * n, n - j * h) for j in range(1, n // h + 1))
        if 2 * ways / comb(2 * n, n) <= alpha:
            return h
    return n + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class KSWIN(Machine):
    """DRIFT when the newest `stat_size` values differ from a random sample of as many older ones of the window.

    The two-sample test is exact, at error `alpha` for each update, and the distance must be above 0.1. UNKNOWN until
    the window is full; after a change it starts anew. The sample is drawn by numbers that follow from `seed` and the
    count of updates alone, so that the test is a pure function of the series. River's `drift.KSWIN` makes the same test
    on samples of its own generator: it fires at the same updates where there is nothing to draw (`window_size` twice
    `stat_size`), else about as often. The onset is the oldest of the newest values.
    Raab, Heusinger and Schleif 2020, Neurocomputing 416.

    State: at most 9 + 2 * window_size numbers.

    >>> test = KSWIN(alpha=0.0001, hold=0)
    >>> _, levels = test.update_many(test.start(), [0.0, 1.0] * 100 + [5.0] * 40)
    >>> levels.tolist().index(2)  # 17 of 30 differ: p = 0.00009, at 16 of 30 still 0.0003
    216
    """

    step: ClassVar[Step] = staticmethod(_step)
    evidence: ClassVar[str] = "distance"
    limits: ClassVar[tuple[str, ...]] = ("alpha",)

    alpha: float = 0.005
    window_size: int = 100
    stat_size: int = 30
    seed: int = 0
    hold: int = 2

    def __post_init__(self) -> None:
        between("alpha", self.alpha, 0, 1)
        at_least("stat_size", self.stat_size, 2)
        at_least("window_size", self.window_size, 2 * self.stat_size)
        at_least("seed", self.seed, 0)
        at_least("hold", self.hold, 0)
        if critical_steps(self.stat_size, self.alpha) > self.stat_size:
            raise ValueError(
                f"stat_size must be greater: no two samples of {self.stat_size} are as rare as {self.alpha}"
            )

    @classmethod
    def learnt(cls, values: Floats, worse: Worse, between: float, stated: Mapping[str, Any]) -> dict[str, Any]:
        """An `alpha` that spends the budget; samples that reach it at a distance of 0.7, and a window in proportion.

        Of values that resemble their neighbours, v of which say as much as one, 2 exp(-n D^2), which `alpha` bounds, is
        taken with n / v. Sizes are graded, so that a memory goes on when the reference is found anew. It looks both
        ways, whatever is `worse`. ValueError for fewer than 3 values, or where all are the same.
        """
        known, p = usual(values), exceedance("above", between)
        rate = log(2 / p) * len(values) / known.values
        size = ceil(30 * GRADE ** max(ceil(log(2 * rate / 30, GRADE)), 0))
        if "window_size" in stated:
            size = min(size, int(stated["window_size"]) // 2)
        size = int(stated.get("stat_size", size))
        alpha = max(2 * exp(-rate), LEAST_ALPHA)
        return {"alpha": alpha, "stat_size": size, "window_size": max(100, ceil(10 * size / 3))}

    def parameters(self) -> list[float]:
        critical = critical_steps(self.stat_size, self.alpha)
        return [float(v) for v in (self.window_size, self.stat_size, critical, self.seed % 2147483647)]

    def size(self) -> int:
        """The window, and room to draw from it."""
        return 7 + 2 * self.window_size
