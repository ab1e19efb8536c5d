"""STEPD: the newest errors against all earlier ones, by a test of equal proportions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import scipy

from detectors.base import Reads, Worse
from detectors.calibration import Floats, exceedance
from detectors.change.machines import Machine, Step, at_least, between

LEAST_ALPHA: Final = 1e-300
SEEN: Final = 0.25  # the rise of a rate that a learnt limit is to see
MOST: Final = 1_920  # values of a window that is learnt


def _step(p: Any, m: Any, x: float) -> int:
    size = int(p[2])
    if m[4] == 1.0:
        for i in range(len(m)):
            m[i] = 0.0
    place = 7 + int(m[0]) % size  # a ring of the newest values; [5] their sum, [6] the sum of the earlier ones
    m[6] += m[place]
    m[5] += x - m[place]
    m[place] = x
    m[0] += 1
    old = m[0] - size
    if old < size:
        return -1
    rate = (m[5] + m[6]) / m[0]
    spread = math.sqrt(max(rate * (1 - rate), 0.0) * (1 / old + 1 / size))
    rise = m[5] / size - m[6] / old
    m[1], m[2], m[3] = 0.0, p[0], size - 1
    if rise <= 0.0 or spread == 0.0:
        return 0
    m[1] = (rise - 0.5 * (1 / old + 1 / size)) / spread
    if m[1] > p[0]:
        m[4] = 1.0
        return 2
    return 1 if m[1] > p[1] else 0


def _too_many(of: int, rate: float, p: float) -> int:
    """The least number of errors in so many events that more than it come with probability `p` at most."""
    return next((k for k in range(of) if float(scipy.special.bdtrc(k, of, rate)) <= p), of)


@dataclass(frozen=True, slots=True, kw_only=True)
class STEPD(Machine):
    """DRIFT when the newest `window_size` values have significantly more errors than all values before them.

    Values are errors, 1 for a wrong prediction and 0 for a right one (or shares of them). A test of equal proportions
    with continuity correction, `alpha_drift` (WARNING: `alpha_warning`) at each update. UNKNOWN for the first two
    windows. After a change it starts anew. The onset is the window's beginning.
    Nishida and Yamauchi 2007, Discovery Science.

    State: at most 9 + window_size numbers.

    >>> test = STEPD(hold=0)
    >>> _, levels = test.update_many(test.start(), [0, 1] * 30 + [1] * 30)
    >>> levels.tolist().index(2)  # 25 of 30 against 26 of 51: z = 3.15
    80
    """

    step: ClassVar[Step] = staticmethod(_step)
    limits: ClassVar[tuple[str, ...]] = ("alpha_drift",)
    reads: ClassVar[Reads] = "errors"
    evidence: ClassVar[str] = "z of the newest errors"

    window_size: int = 30
    alpha_drift: float = 0.003
    alpha_warning: float = 0.05
    hold: int = 2

    def __post_init__(self) -> None:
        at_least("window_size", self.window_size, 5)
        between("alpha_drift", self.alpha_drift, 0, 1)
        between("alpha_warning", self.alpha_warning, 0, 1)
        at_least("hold", self.hold, 0)

    @classmethod
    def learnt(cls, values: Floats, worse: Worse, between: float, stated: Mapping[str, Any]) -> dict[str, Any]:
        """An `alpha_drift` that the newest values reach with as many errors as are too rare for the budget.

        Too rare by the binomial law, at the reference's rate: far out and with few errors the normal law, by which
        `alpha_drift` is read, is wrong by powers of ten. Unless `window_size` is stated it is as many times 30, by
        doubling, as a rise of SEEN asks for. ValueError without errors, or where all are errors.
        """
        p, rate = exceedance("above", between), float(values.mean()) if len(values) else 0.0
        if not 0 < rate < 1:
            what = "anything but errors" if rate else "an error"
            raise ValueError(f"{len(values)} values without {what}: nothing to learn a rate from")
        size = int(stated.get("window_size", 30))
        errors = _too_many(size, rate, p)
        while "window_size" not in stated and size < MOST and errors / size > min(rate + SEEN, (1 + rate) / 2):
            size *= 2
            errors = _too_many(size, rate, p)
        if errors >= size:
            raise ValueError(f"no {size} values are as rare as the budget asks for, at a rate of {rate:.3g}")
        # k + 1 errors are too many, k are not
        z = ((errors + 0.5) / size - rate - 0.5 / size) / math.sqrt(rate * (1 - rate) / size)
        alpha = min(max(2 * float(scipy.special.ndtr(-z)), LEAST_ALPHA), 0.5)
        warning = min(math.sqrt(alpha), 0.05) if alpha < 0.05 else alpha
        return {"window_size": size, "alpha_drift": alpha, "alpha_warning": warning}

    def parameters(self) -> list[float]:
        return [-float(scipy.special.ndtri(a / 2)) for a in (self.alpha_drift, self.alpha_warning)] + [
            float(self.window_size)
        ]

    def size(self) -> int:
        """The newest values."""
        return 7 + self.window_size
