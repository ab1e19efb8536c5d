"""ADWIN: a window that is cut when its two ends differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from detectors.change.machines import Machine, Step, at_least, between

ROWS: Final = 30  # of buckets: a window of 2^30 times max_buckets values


def _step(p: Any, m: Any, x: float) -> int:
    delta, clock, most, least, grace = p[0], int(p[1]), int(p[2]), p[3], p[4]
    if m[4] == 1.0:
        for i in range(len(m)):
            m[i] = 0.0
    n = m[0] + 1.0
    if n > 1:  # [5] sum of the window, [6] sum of squares around its mean
        off = x - m[5] / (n - 1)
        m[6] += (n - 1) * off * off / n
    m[0] = n
    m[5] += x
    # From [7] on rows of buckets: [how many, (sum, squares) of each, the oldest first]; those of row r hold 2^r values.
    width = 1 + 2 * (most + 1)
    row, total, squares, each = 7, x, 0.0, 1.0
    while row + width <= len(m):
        k = int(m[row])
        m[row + 1 + 2 * k] = total
        m[row + 2 + 2 * k] = squares
        m[row] = k + 1
        if k < most:
            break
        off = (m[row + 1] - m[row + 3]) / each  # one too many: the two oldest become one of the next row
        total = m[row + 1] + m[row + 3]
        squares = m[row + 2] + m[row + 4] + each * off * off / 2
        for i in range(1, width - 4):
            m[row + i] = m[row + i + 4]
        for i in range(width - 4, width):
            m[row + i] = 0.0
        m[row] = k - 1
        row += width
        each *= 2.0
    m[1] = 0.0
    m[2] = 0.0
    if int(n) % clock != 0 or n <= grace:
        return 0
    rows = 0
    while 7 + (rows + 1) * width <= len(m) and m[7 + rows * width] > 0:
        rows += 1
    logarithm = math.log(2 * math.log(n) / delta)
    n0, n1, u0, u1, found = 0.0, n, 0.0, m[5], False
    for r in range(rows - 1, -1, -1):
        row, each = 7 + r * width, 2.0**r
        for k in range(int(m[row]) if r else int(m[row]) - 1):
            n0 += each
            n1 -= each
            u0 += m[row + 1 + 2 * k]
            u1 -= m[row + 1 + 2 * k]
            if n0 >= least and n1 >= least:
                inverse = 1 / (n0 - least + 1) + 1 / (n1 - least + 1)
                reach = math.sqrt(2 * inverse * m[6] / n * logarithm) + 2 / 3 * logarithm * inverse
                gap = abs(u0 / n0 - u1 / n1)
                if not found or gap - reach > m[1] - m[2]:
                    m[1], m[2], m[3], found = gap, reach, n1 - 1, True
    if found and m[1] > m[2]:
        m[4] = 1.0
        return 2
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ADWIN(Machine):
    """DRIFT when two parts of the window of values since the last change have means further apart than chance allows.

    Exponentially growing buckets (at most `max_buckets` of each size) hold the window in logarithmic memory; every
    `clock` values each border between two buckets is tried: |difference of means| > epsilon, a Bernstein bound with
    `delta` as its error, not tried for parts of fewer than `min_window_length` values nor before `grace_period` values.
    After a change it starts anew. It fires where River's `drift.ADWIN` fires. The onset is the border that is furthest
    beyond its bound. Bifet and Gavalda 2007, SIAM Data Mining.

    State: at most 99 + 60 * max_buckets numbers.

    >>> test = ADWIN(clock=1, hold=0)
    >>> _, levels = test.update_many(test.start(), [0.0] * 100 + [1.0] * 20)
    >>> levels.tolist().index(2)  # as in River
    115
    """

    step: ClassVar[Step] = staticmethod(_step)
    evidence: ClassVar[str] = "difference of means"

    delta: float = 0.002
    clock: int = 32
    max_buckets: int = 5
    min_window_length: int = 5
    grace_period: int = 10
    hold: int = 2

    def __post_init__(self) -> None:
        between("delta", self.delta, 0, 1)
        for name, least in (("clock", 1), ("max_buckets", 2), ("min_window_length", 1), ("hold", 0)):
            at_least(name, getattr(self, name), least)

    def size(self) -> int:
        """ROWS rows of buckets."""
        return 7 + ROWS * (1 + 2 * (self.max_buckets + 1))
