"""A bound that a value may not cross."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from detectors.base import Judgement, Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """DRIFT when a value is above `above` or below `below`; WARNING when it is past a warning bound only.

    A value on a bound is OK. No memory: how many windows in a row matter is for the alert to say. The threshold a
    judgement names is the bound that was crossed, or the one that is nearer.

    State: at most 0 numbers.

    >>> Threshold(below=0.9, warning_below=0.95).update({}, 0.92)[1].level.label
    'warning'
    >>> Threshold(above=0.2).update({}, 0.3)[1].reason
    '0.3 is above 0.2'
    """

    above: float | None = None
    below: float | None = None
    warning_above: float | None = None
    warning_below: float | None = None

    def __post_init__(self) -> None:
        bounds = (self.above, self.below, self.warning_above, self.warning_below)
        if any(b is not None and not math.isfinite(b) for b in bounds):
            raise ValueError(f"bounds must be finite: {self}")
        if self.above is None and self.below is None and self.warning_above is None and self.warning_below is None:
            raise ValueError("at least one of above, below, warning_above, warning_below must be given")
        if self.above is not None and self.below is not None and self.below > self.above:
            raise ValueError(f"below ({self.below}) is greater than above ({self.above}): every value would be drift")

    def start(self) -> Mapping[str, Any]:
        """No state."""
        return {}

    def update(self, state: Mapping[str, Any], value: float) -> tuple[Mapping[str, Any], Judgement]:
        """Judge one value by itself."""
        for level, above, below in (
            (Level.DRIFT, self.above, self.below),
            (Level.WARNING, self.warning_above, self.warning_below),
        ):
            if above is not None and value > above:
                return state, _judge(level, f"{value:.6g} is above {above:.6g}", above, "above")
            if below is not None and value < below:
                return state, _judge(level, f"{value:.6g} is below {below:.6g}", below, "below")
        above = self.above if self.above is not None else self.warning_above
        below = self.below if self.below is not None else self.warning_below
        if below is None or (above is not None and above - value <= value - below):
            assert above is not None
            return state, _judge(Level.OK, f"{value:.6g} is not above {above:.6g}", above, "above")
        return state, _judge(Level.OK, f"{value:.6g} is not below {below:.6g}", below, "below")


def _judge(level: Level, reason: str, threshold: float, direction: Literal["above", "below"]) -> Judgement:
    return Judgement(level=level, reason=reason, threshold=threshold, direction=direction)
