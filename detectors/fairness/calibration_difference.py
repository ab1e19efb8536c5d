"""Difference of calibration."""

from __future__ import annotations

from collections.abc import Sequence

from detectors.counts import OutcomeCounts
from detectors.fairness.gaps import difference
from detectors.performance.calibration_bias import calibration_bias


def calibration_difference(segments: Sequence[OutcomeCounts]) -> float:
    """Greatest less least mean score less share of positives.

    Over the segments of a dimension; 0 to 2. Scores are known to 1/100, so segments are off by at most 0.01 together.
    Kleinberg, Mullainathan and Raghavan 2017, ITCS. nan unless two segments have such a rate.

    >>> import numpy as np
    >>> from detectors.layouts import NEGATIVE_SCORES, OUTCOME_CELLS, POSITIVE_SCORES
    >>> def segment(first):
    ...     cells = np.zeros(OUTCOME_CELLS, np.int64)
    ...     cells[first + 75] = 1
    ...     return OutcomeCounts(rows=1, cells=cells)
    >>> calibration_difference([segment(POSITIVE_SCORES), segment(NEGATIVE_SCORES)])  # 0.755 - 1 and 0.755 - 0
    1.0
    """
    return difference(segments, calibration_bias)
