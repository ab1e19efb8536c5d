"""What detectors that know the usual mean share: learning it, with its error, from values that are known to be good."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy

from detectors.calibration import Floats, effective, finite
from detectors.change.machines import at_least

Mode = Literal["up", "down", "both"]
MODES: dict[str, float] = {"both": 0.0, "up": 1.0, "down": -1.0}
MODE_OF: dict[str, Mode] = {"above": "up", "below": "down", "both": "both"}


class Usual(NamedTuple):
    """The usual mean and deviation of a series, and how many independent values they are learnt from."""

    mean: float
    deviation: float
    values: float


def usual(values: Sequence[float] | Floats) -> Usual:
    """From the reference's windows: the deviation taken long, for autocorrelation and by its 90 % upper limit.

    ValueError when they are fewer than 3 or all the same.
    """
    series = finite(values)
    if len(series) < 3 or float(np.std(series)) == 0:
        raise ValueError(f"{len(series)} values without spread: nothing to learn a threshold from")
    count = effective(series)
    deviation = float(np.std(series, ddof=1)) * math.sqrt(len(series) / count)
    return Usual(
        float(np.mean(series)), deviation * math.sqrt((count - 1) / scipy.special.chdtri(count - 1, 0.9)), count
    )


class Chart(NamedTuple):
    """What a chart of standardised values takes from the reference, and the error that its budget allows a value."""

    own: dict[str, Any]
    p: float


def chart(values: Sequence[float] | Floats, worse: str, between: float) -> Chart:
    """Target and deviation of the reference's windows, with how many they are worth; `p` is of one side.

    >>> made = chart([1.0, 2.0, 3.0] * 20, "above", 2_000)
    >>> made.own["target"], made.own["mode"], made.p
    (2.0, 'up', 0.0005)
    """
    known, sides = usual(values), 2 if worse == "both" else 1
    own = {"target": known.mean, "deviation": known.deviation, "reference_values": known.values, "mode": MODE_OF[worse]}
    return Chart(own, 1 / between / sides)


def number(value: float | None) -> float:
    """A parameter for a step: nan stands for what is to be learnt."""
    return math.nan if value is None else float(value)


def check(detector: Any) -> None:
    """ValueError for a target without a deviation, or one that is no scale, and for what no chart can do with."""
    if (detector.target is None) != (detector.deviation is None):
        raise ValueError("target and deviation must be given together, or neither")
    if detector.target is not None and not (math.isfinite(detector.target) and 0 < detector.deviation < math.inf):
        raise ValueError(f"deviation must be above 0, not {detector.deviation}")
    check_mode(detector.mode)
    at_least("threshold", detector.threshold, 1e-9)
    at_least("min_instances", detector.min_instances, 3)
    at_least("reference_values", getattr(detector, "reference_values", 0.0), 0)
    at_least("hold", detector.hold, 0)


def check_mode(mode: object) -> None:
    """ValueError for a side that is none."""
    if mode not in MODES:
        raise ValueError(f"mode must be up, down or both, not {mode!r}")
