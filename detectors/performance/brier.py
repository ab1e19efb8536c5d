"""Brier score."""

from __future__ import annotations

import math

import numpy as np

from detectors.counts import OutcomeCounts
from detectors.layouts import NEGATIVE_SCORES, POSITIVE_SCORES, SCORE_BINS, SCORED, SQUARED_SCORE_ERROR
from detectors.performance.intervals import Ends, gamma_ends, of_reference


def brier(outcome: OutcomeCounts) -> float:
    """Mean squared difference of score and label (0 or 1) over labelled events with a score, 0 to 1; nan without any.

    Brier 1950, Monthly Weather Review 78.

    >>> import numpy as np
    >>> from detectors.counts import float_to_limbs
    >>> from detectors.layouts import LIMBS, LABEL_CELLS
    >>> cells = np.zeros(LABEL_CELLS, np.int64)
    >>> cells[SCORED] = 2
    >>> cells[SQUARED_SCORE_ERROR:SQUARED_SCORE_ERROR + LIMBS] = float_to_limbs([0.25, 0.75])
    >>> brier(OutcomeCounts(rows=2, cells=cells))
    0.5
    """
    scored = int(outcome.cells[SCORED])
    return outcome.total(SQUARED_SCORE_ERROR) / scored if scored else float("nan")


def brier_noise(reference: OutcomeCounts, labels: float, p: float) -> Ends:
    """Gamma, with the variance of the squared error as the score histograms tell it, the reference's noise counted."""
    if not int(reference.cells[SCORED]):
        return 0.0, 1.0
    mean, variance = brier(reference), _variance(reference)
    low, high = of_reference(reference, labels, lambda per: gamma_ends(mean, variance * per, p), (0.0, 1.0))
    return low, min(high, 1.0)


def brier_interval(outcome: OutcomeCounts, p: float) -> Ends:
    """Gamma, with the window's own variance."""
    scored = int(outcome.cells[SCORED])
    if not scored:
        return math.nan, math.nan
    low, high = gamma_ends(brier(outcome), _variance(outcome) / scored, p)
    return low, min(high, 1.0)


def _variance(outcome: OutcomeCounts) -> float:
    """Variance of one event's squared error, each score in the middle of its bin."""
    off = (np.arange(SCORE_BINS) + 0.5) / SCORE_BINS
    wrong = outcome.cells[NEGATIVE_SCORES : NEGATIVE_SCORES + SCORE_BINS]
    both = wrong + outcome.cells[POSITIVE_SCORES : POSITIVE_SCORES + SCORE_BINS][::-1]
    rows = int(both.sum())
    mean, square = (math.fsum((both * off**k).tolist()) / rows for k in (2, 4))
    return max(0.0, square - mean * mean)
