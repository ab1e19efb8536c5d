"""Logarithmic loss."""

from __future__ import annotations

import math

import numpy as np

from detectors.counts import OutcomeCounts
from detectors.layouts import LOG_LOSS, NEGATIVE_SCORES, POSITIVE_SCORES, SCORE_BINS, SCORED
from detectors.performance.intervals import Ends, gamma_ends, of_reference


def log_loss(outcome: OutcomeCounts) -> float:
    """Mean of -ln(score given to the label) over labelled events with a score, in nats; nan without any.

    The sum is exact; scores were held off 0 and 1 when they were counted, so that one event cannot weigh infinitely.

    >>> import numpy as np
    >>> from detectors.counts import float_to_limbs
    >>> from detectors.layouts import LIMBS, LABEL_CELLS
    >>> cells = np.zeros(LABEL_CELLS, np.int64)
    >>> cells[SCORED], cells[LOG_LOSS:LOG_LOSS + LIMBS] = 2, float_to_limbs([0.25, 0.5])
    >>> log_loss(OutcomeCounts(rows=2, cells=cells))
    0.375
    """
    scored = int(outcome.cells[SCORED])
    return outcome.total(LOG_LOSS) / scored if scored else float("nan")


def log_loss_noise(reference: OutcomeCounts, labels: float, p: float) -> Ends:
    """Gamma, with the variance of the loss as the score histograms tell it, the reference's own noise counted."""
    if not int(reference.cells[SCORED]):
        return 0.0, math.inf
    mean, variance = log_loss(reference), _variance(reference)
    return of_reference(reference, labels, lambda per: gamma_ends(mean, variance * per, p), (0.0, math.inf))


def log_loss_interval(outcome: OutcomeCounts, p: float) -> Ends:
    """Gamma, with the window's own variance."""
    scored = int(outcome.cells[SCORED])
    return gamma_ends(log_loss(outcome), _variance(outcome) / scored, p) if scored else (math.nan, math.nan)


def _variance(outcome: OutcomeCounts) -> float:
    """Variance of one event's loss, each score in the middle of its bin, scaled so that the mean is the exact one.

    For several classes the histograms hold the greatest probability; what a wrong one left to the label is at most the
    rest, and the scale makes up for it.
    """
    score = (np.arange(SCORE_BINS) + 0.5) / SCORE_BINS
    loss = np.array([-math.log(s) for s in score.tolist()])
    right = outcome.cells[POSITIVE_SCORES : POSITIVE_SCORES + SCORE_BINS]
    wrong = outcome.cells[NEGATIVE_SCORES : NEGATIVE_SCORES + SCORE_BINS][::-1]
    rows = int(right.sum() + wrong.sum())
    if not rows:
        return 0.0
    mean = math.fsum(((right + wrong) * loss).tolist()) / rows
    square = math.fsum(((right + wrong) * loss * loss).tolist()) / rows
    return max(0.0, square - mean * mean) * (log_loss(outcome) / mean) ** 2
