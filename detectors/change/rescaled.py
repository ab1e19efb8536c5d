"""Means on the scale of their metric: what charts of normal values are shown of values that are not."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from detectors.base import Judgement
from detectors.calibration import Scale


def scale_for(kind: Any, values: Sequence[float], limits: tuple[float, float], stated: Collection[str] = ()) -> Scale:
    """The scale that a kind of detector is to be shown the values of a metric on, which are between these limits.

    The metric's own for detectors without parameters in its units, and where one of these is stated.

    >>> from detectors.change.ewma import EWMA
    >>> scale_for(EWMA, [0.1, 0.2], (0.0, 1.0)), scale_for(EWMA, [0.1, 0.2], (0.0, 1.0), ["target"])
    (Scale(kind='arcsine'), Scale(kind='same'))
    """
    in_units = getattr(kind, "in_units", ())
    if not in_units or not len(values) or any(name in stated for name in in_units):
        return Scale("same")
    return Scale.of(np.asarray(values, np.float64), limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescaled:
    """A detector that is shown values on the scale where the spread of a metric does not depend on its level.

    Why: a value that is never below 0, as a distance of distributions, is skewed where nothing has changed, and the run
    lengths of charts are those of normal values. On the scale of calibration.py it nearly is one. Thresholds that
    judgements name are in the metric's own units.

    >>> from detectors.change.ewma import EWMA
    >>> test = Rescaled(detector=EWMA(target=2.0, deviation=1.0, smoothing=1.0, threshold=1), scale=Scale("root"))
    >>> [test.update(test.start(), value)[1].level.label for value in (4.0, 8.9, 9.1)]  # 2, below 3, above 3
    ['ok', 'ok', 'drift']
    """

    detector: Any
    scale: Scale

    def start(self) -> Mapping[str, Any]:
        """No value seen."""
        start: Mapping[str, Any] = self.detector.start()
        return start

    def update(self, state: Mapping[str, Any], value: float) -> tuple[Mapping[str, Any], Judgement]:
        """Judge the next value of the metric."""
        after, judgement = self.detector.update(state, float(self.scale.there(np.array([value]))[0]))
        if judgement.threshold is not None:
            judgement = replace(judgement, threshold=self.scale.back(judgement.threshold))
        return after, judgement
