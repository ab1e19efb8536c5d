"""Page-Hinkley test: has the mean of a series moved?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from detectors.base import Judgement, Level
from detectors.calibration import Floats, finite
from detectors.change.levels import MODE_OF, Mode, check_mode, usual
from detectors.change.run_lengths import threshold_for

HEADROOM: Final = 2.0  # the evidence is held at so many thresholds


@dataclass(frozen=True, slots=True, kw_only=True)
class PageHinkley:
    """DRIFT while the evidence that the mean has moved is greater than `threshold`, in units of the value x updates.

    Sums up how far each value is from the mean so far, less `delta`; the evidence for an increase is the sum's rise
    since its minimum, and the minimum is where the change is estimated to have begun. The same downwards. UNKNOWN
    before `min_instances` values.

    Which level, and for how long: at the default a change stays DRIFT as long as its evidence stands, so that an alert
    that asks for two windows in a row gets them, and the onset stays what it was. Values that come back use the
    evidence up; it is held at twice the threshold, so that a long drift does not take as long to end. A change that
    stays becomes the new mean in time: the mean never stops learning. With `reset` the level is DRIFT for one update,
    and the test then starts anew from nothing. That is what River's `drift.PageHinkley` does, which fires at the same
    updates (without `reset`: the first time).

    The threshold a judgement names is in the units of the value: what this value had to be for DRIFT, given what came
    before. Page 1954, Biometrika 41; Hinkley 1971, Biometrika 58.

    State: at most 8 numbers.

    >>> test, last = PageHinkley(threshold=2, delta=0, min_instances=1, mode="up"), []
    >>> state = test.start()
    >>> for value in [0, 0, 0, 4]:  # the mean is 1 after the 4, which is 3 above
    ...     state, judgement = test.update(state, value)
    >>> judgement.level.label, judgement.onset, round(judgement.threshold, 4)
    ('drift', 0, 2.6667)
    """

    limits: ClassVar[tuple[str, ...]] = ("threshold",)
    in_units: ClassVar[tuple[str, ...]] = ("threshold", "delta")

    threshold: float = 50.0
    delta: float = 0.005
    min_instances: int = 30
    alpha: float = 1 - 0.0001  # what the sum keeps of itself at each update
    mode: Mode = "both"
    reset: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.threshold) and self.threshold > 0):
            raise ValueError(f"threshold must be above 0, not {self.threshold}")
        if not (math.isfinite(self.delta) and self.delta >= 0):
            raise ValueError(f"delta must be at least 0, not {self.delta}")
        if not 0 < self.alpha <= 1:
            raise ValueError(f"alpha must be in (0, 1], not {self.alpha}")
        check_mode(self.mode)

    @classmethod
    def calibrated(
        cls,
        values: Sequence[float] | Floats,
        *,
        worse: Literal["above", "below", "both"],
        windows_between_false_alarms: float,
        share: float = 1.0,
        delta: float | None = None,
        **parameters: Any,
    ) -> PageHinkley:
        """A test of the series that `values`, the reference's windows in order of time, are the beginning of.

        Its `delta` is half a standard deviation unless stated, its `threshold` what Siegmund's run length asks for, the
        deviation being taken long (autocorrelation at lag 1, 90 % upper limit) and `delta` short by the error of the
        reference's mean. `prime` it with the same values. ValueError when they are fewer than 3 or all the same.
        """
        known = usual(values)
        deviation = known.deviation
        delta = deviation / 2 if delta is None else delta
        reach = max(delta / deviation - 1 / math.sqrt(known.values), 0.0)
        sides = 2 if worse == "both" else 1
        return cls(
            threshold=deviation * threshold_for(reach, sides * windows_between_false_alarms / share),
            delta=delta,
            **{"min_instances": min(30, len(finite(values))), "mode": MODE_OF[worse], **parameters},
        )

    def prime(self, values: Sequence[float] | Floats) -> Mapping[str, Any]:
        """The state that knows the mean of the reference's `values`, and has no evidence against it."""
        series = finite(values)
        n = len(series)
        mean = math.fsum(series.tolist()) / n if n else 0.0
        return {**self.start(), "n": n, "mean": mean, "up_at": n, "down_at": n}

    def start(self) -> Mapping[str, Any]:
        """No value seen. `up` and `down` are the two sums, each with its extreme and when that was."""
        return {"n": 0, "mean": 0.0, "up": 0.0, "up_min": 0.0, "up_at": 0, "down": 0.0, "down_max": 0.0, "down_at": 0}

    def update(self, state: Mapping[str, Any], value: float) -> tuple[Mapping[str, Any], Judgement]:
        """Judge the next value of the series."""
        n, value = state["n"] + 1, float(value)
        mean = state["mean"] + (value - state["mean"]) / n
        up = self.alpha * state["up"] + (value - mean) - self.delta
        down = self.alpha * state["down"] + (value - mean) + self.delta
        up_min, up_at = (up, n) if n == 1 or up <= state["up_min"] else (state["up_min"], state["up_at"])
        down_max, down_at = (down, n) if n == 1 or down >= state["down_max"] else (state["down_max"], state["down_at"])
        judgement = self._judge(state, n, value, up - up_min, n - up_at - 1, down_max - down, n - down_at - 1)
        if self.reset and judgement.level is Level.DRIFT:
            return self.start(), judgement
        most = HEADROOM * self.threshold
        return {
            "n": n,
            "mean": mean,
            "up": min(up, up_min + most),
            "up_min": up_min,
            "up_at": up_at,
            "down": max(down, down_max - most),
            "down_max": down_max,
            "down_at": down_at,
        }, judgement

    def _judge(
        self, before: Mapping[str, Any], n: int, value: float, rise: float, rising: int, fall: float, falling: int
    ) -> Judgement:
        if n < self.min_instances:
            return Judgement(level=Level.UNKNOWN, reason=f"{n} of the {self.min_instances} values that are needed")
        up = self.mode == "up" or (self.mode == "both" and rise >= fall)
        evidence, onset, side = (rise, rising, "risen") if up else (fall, falling, "fallen")
        drift = evidence > self.threshold
        return Judgement(
            level=Level.DRIFT if drift else Level.OK,
            reason=f"the mean has {side} {onset} values ago: evidence {evidence:.6g} > {self.threshold:.6g}"
            if drift
            else f"the mean has not moved: evidence {evidence:.6g} <= {self.threshold:.6g}",
            threshold=self._needed(before, n, up),
            direction="above" if up else "below",
            onset=onset if drift else None,
        )

    def _needed(self, before: Mapping[str, Any], n: int, up: bool) -> float | None:
        """The value of update n at which the evidence equals the threshold: it moves the mean by its n-th part."""
        if n == 1:
            return None
        if up:
            missing = self.threshold - (self.alpha * before["up"] - self.delta - before["up_min"])
        else:
            missing = -(self.threshold - (before["down_max"] - self.alpha * before["down"] - self.delta))
        return float(before["mean"] + missing * n / (n - 1))
