"""ADWIN: a window that is cut when its two ends differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np

from detectors.base import Worse
from detectors.calibration import Floats, exceedance, finite
from detectors.change.levels import usual
from detectors.change.machines import Loop, Machine, Step, at_least, between
from detectors.compiling import within

ROWS: Final = 30  # of buckets: a window of 2^30 times max_buckets values
LEAST_DELTA: Final = 1e-300
SPAN: Final = 2.0  # deviations: values of windows are about normal, whose variance says nearly all
BLOCK: Final = 64  # values of an array that are taken in at once, at most


def _step(p: Any, m: Any, x: float) -> int:
    _take(p, m, [x], 0, 1, [0.0, 0.0], [0.0, 0.0])
    return _look(p, m) if _due(p, m) else 0


def _many(p: Any, m: Any, values: Any, levels: Any, hold: int, held: int, since: int) -> tuple[int, int]:
    """What the step over all values comes to: many are taken in at once, and borders that are far from their bounds
    are passed over; only the last look, whose evidence is kept, is a full one in any case."""
    buckets, merged = np.zeros(2 * BLOCK), np.zeros(2 * BLOCK)
    clock, end = int(p[1]), 0
    while end < len(values):
        begin = end
        n = 0 if m[4] == 1.0 else int(m[0])
        end = min(begin + min(BLOCK, clock - n % clock), len(values))
        _take(p, m, values, begin, end, buckets, merged)
        level = 0
        if _due(p, m) and (end == len(values) or not _calm(p, m)):
            level = _look(p, m)
        still = min(held, end - begin)
        levels[begin : begin + still] = 2
        held, since = held - still, since + still
        if level == 2:
            levels[end - 1] = 2
            held, since = hold, int(m[3])
    return held, since


@within
def _due(p: Any, m: Any) -> bool:
    return int(m[0]) % int(p[1]) == 0 and m[0] > max(p[4], 1.0)


@within
def _take(p: Any, m: Any, values: Any, begin: int, end: int, coming: Any, merged: Any) -> None:
    """Take in `values[begin:end]`, as if one after the other; the last two are room to work in, two numbers a value.

    Which buckets have become one by then, the number of values alone tells.
    """
    if m[4] == 1.0:
        for i in range(len(m)):
            m[i] = 0.0
    n, total, squares = m[0], m[5], m[6]
    for i in range(begin, end):
        x = values[i]
        n += 1.0
        if n > 1:  # [5] sum of the window, [6] sum of squares around its mean
            off = x - total / (n - 1)
            squares += (n - 1) * off * off / n
        total += x
        coming[2 * (i - begin)] = x
        coming[2 * (i - begin) + 1] = 0.0
    m[0], m[5], m[6] = n, total, squares
    m[1] = m[2] = m[3] = 0.0
    # From [7] on rows of buckets: [how many, (sum, squares) of each, the oldest first]; those of row r hold 2^r values.
    most, count, row, each = int(p[2]), end - begin, 7, 1.0
    width = 1 + 2 * (most + 1)
    while count > 0 and row + width <= len(m):
        k = int(m[row])
        pairs = max(0, (k + count - most + 1) // 2)  # at one too many the two oldest become one of the next row
        for j in range(pairs):
            a, b = 2 * j, 2 * j + 1
            t0, s0 = (
                (m[row + 1 + 2 * a], m[row + 2 + 2 * a]) if a < k else (coming[2 * (a - k)], coming[2 * (a - k) + 1])
            )
            t1, s1 = (
                (m[row + 1 + 2 * b], m[row + 2 + 2 * b]) if b < k else (coming[2 * (b - k)], coming[2 * (b - k) + 1])
            )
            off = (t0 - t1) / each
            merged[2 * j] = t0 + t1
            merged[2 * j + 1] = s0 + s1 + each * off * off / 2
        left = k + count - 2 * pairs
        for j in range(left):
            a = j + 2 * pairs
            if a < k:
                m[row + 1 + 2 * j], m[row + 2 + 2 * j] = m[row + 1 + 2 * a], m[row + 2 + 2 * a]
            else:
                m[row + 1 + 2 * j], m[row + 2 + 2 * j] = coming[2 * (a - k)], coming[2 * (a - k) + 1]
        for j in range(left, k):
            m[row + 1 + 2 * j], m[row + 2 + 2 * j] = 0.0, 0.0
        m[row] = left
        coming, merged, count = merged, coming, pairs
        row += width
        each *= 2.0


@within
def _rows(m: Any, width: int) -> int:
    """Rows that hold something."""
    rows = 0
    while 7 + (rows + 1) * width <= len(m) and m[7 + rows * width] > 0:
        rows += 1
    return rows


@within
def _calm(p: Any, m: Any) -> bool:
    """Whether no border is near its bound: with D = |n u0 - n0 u|, the gap is D / (n0 n1), and its bound at least
    sqrt(2 v l / (n0 n1)) + 2/3 l s n / (n0 n1); v are the window's squares, l the logarithm, s the span. No root, no
    quotient."""
    most, n, u = int(p[2]), m[0], m[5]
    width = 1 + 2 * (most + 1)
    logarithm = math.log(2 * math.log(n) / p[0])
    rounding = 1e-12 * n * math.sqrt(n * m[6] + u * u)  # sums of sizes are smaller than this root
    near, bound = rounding - (2 / 3 - 1e-9) * logarithm * n * p[5], (2 - 1e-9) * logarithm * m[6]
    n0, u0 = 0.0, 0.0
    for r in range(_rows(m, width) - 1, -1, -1):
        row, each = 7 + r * width, 2.0**r
        for k in range(int(m[row])):
            n0 += each
            u0 += m[row + 1 + 2 * k]
            over = abs(n * u0 - n0 * u) + near
            if n0 < n and not (over <= 0 or over * over <= bound * n0 * (n - n0)):
                return False
    return True


@within
def _look(p: Any, m: Any) -> int:
    """Try every border: [1] the gap and [2] the bound where it is furthest beyond, [3] how long ago that was."""
    most, least, n = int(p[2]), p[3], m[0]
    width = 1 + 2 * (most + 1)
    logarithm = math.log(2 * math.log(n) / p[0])
    n0, n1, u0, u1, found = 0.0, n, 0.0, m[5], False
    for r in range(_rows(m, width) - 1, -1, -1):
        row, each = 7 + r * width, 2.0**r
        for k in range(int(m[row]) if r else int(m[row]) - 1):
            n0 += each
            n1 -= each
            u0 += m[row + 1 + 2 * k]
            u1 -= m[row + 1 + 2 * k]
            if n0 >= least and n1 >= least:
                inverse = 1 / (n0 - least + 1) + 1 / (n1 - least + 1)
                reach = math.sqrt(2 * inverse * m[6] / n * logarithm) + 2 / 3 * logarithm * inverse * p[5]
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
    `span` is how far apart values can come, 1 for rates. After a change it starts anew. It fires where River's
    `drift.ADWIN` fires, which knows no other span. The onset is the border that is furthest beyond its bound. Bifet and
    Gavalda 2007, SIAM Data Mining.

    State: at most 99 + 60 * max_buckets numbers.

    >>> test = ADWIN(clock=1, hold=0)
    >>> _, levels = test.update_many(test.start(), [0.0] * 100 + [1.0] * 20)
    >>> levels.tolist().index(2)  # as in River
    115
    """

    step: ClassVar[Step] = staticmethod(_step)
    many: ClassVar[Loop | None] = staticmethod(_many)
    evidence: ClassVar[str] = "difference of means"
    limits: ClassVar[tuple[str, ...]] = ("delta",)

    delta: float = 0.002
    clock: int = 32
    max_buckets: int = 5
    min_window_length: int = 5
    grace_period: int = 10
    span: float = 1.0
    hold: int = 2

    def __post_init__(self) -> None:
        between("delta", self.delta, 0, 1)
        between("span", self.span, 0, math.inf)
        for name, least in (("clock", 1), ("max_buckets", 2), ("min_window_length", 1), ("hold", 0)):
            at_least(name, getattr(self, name), least)

    @classmethod
    def learnt(cls, values: Floats, worse: Worse, between: float, stated: Mapping[str, Any]) -> dict[str, Any]:
        """A `delta` that spends the budget, looking at every value unless `clock` says otherwise; to be primed.

        `delta` is the error of a look (theorem 3.1). Of values that resemble their neighbours, v of which say as much
        as one, its logarithm is v times as great, as variances of means are. It looks both ways, whatever is `worse`.
        The span is SPAN of their deviations. ValueError for fewer than 3 values, or where all are the same.
        """
        known = usual(values)
        clock = int(stated.get("clock", 1))
        wanted = clock * exceedance("above", between)
        delta = max(wanted ** (len(values) / known.values), LEAST_DELTA)
        return {"delta": min(delta, 0.5), "clock": clock, "span": SPAN * known.deviation}

    def prime(self, values: Sequence[float] | Floats) -> Mapping[str, Any]:
        """The state whose window holds the reference's `values`, those since it last found a change in them."""
        state = self.start()
        for value in finite(values).tolist():
            state, _ = self.update(state, value)
        return {**state, "held": 0, "since": 0}

    def size(self) -> int:
        """ROWS rows of buckets."""
        return 7 + ROWS * (1 + 2 * (self.max_buckets + 1))
