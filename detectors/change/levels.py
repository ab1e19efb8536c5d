"""What detectors that know the usual mean share: learning it, with its error, from values that are known to be good."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.special import chdtri

from detectors.calibration import Floats, effective, finite

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
    return Usual(float(np.mean(series)), deviation * math.sqrt((count - 1) / chdtri(count - 1, 0.9)), count)


def number(value: float | None) -> float:
    """A parameter for a step: nan stands for what is to be learnt."""
    return math.nan if value is None else float(value)


def check(detector: Any) -> None:
    """ValueError for a target without a deviation, or one that is no scale."""
    if (detector.target is None) != (detector.deviation is None):
        raise ValueError("target and deviation must be given together, or neither")
    if detector.target is not None and not (math.isfinite(detector.target) and 0 < detector.deviation < math.inf):
        raise ValueError(f"deviation must be above 0, not {detector.deviation}")
    if detector.mode not in MODES:
        raise ValueError(f"mode must be up, down or both, not {detector.mode!r}")
