"""Expected calibration error."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.counts import OutcomeCounts
from detectors.layouts import NEGATIVE_SCORES, POSITIVE_SCORES, SCORE_BINS
from detectors.performance.intervals import Ends, gamma_ends, labels_of, normal_ends

GROUPS: Final = 10  # of scores: [0, 0.1), [0.1, 0.2), ...

Floats = NDArray[np.float64]


def ece(outcome: OutcomeCounts) -> float:
    """Mean over labelled events of |share of positives - mean score| in their tenth of the scores; 0 to 1.

    For several classes: of being right, against the greatest probability. Scores are known to 1/100, in the middle of
    which they are taken: an error of at most 0.005. Chance alone gives a value above 0; the noise function says how
    much. nan without a labelled event that has a score.
    Naeini, Cooper and Hauskrecht 2015, AAAI; Guo et al. 2017, ICML.

    >>> from detectors.layouts import OUTCOME_CELLS
    >>> cells = np.zeros(OUTCOME_CELLS, np.int64)
    >>> cells[POSITIVE_SCORES + 75], cells[NEGATIVE_SCORES + 75] = 1, 1
    >>> round(ece(OutcomeCounts(rows=2, cells=cells)), 6)  # |1/2 - 0.755|
    0.255
    """
    events, gaps, _ = _groups(outcome)
    total = float(events.sum())
    return math.fsum((events * np.abs(gaps)).tolist()) / total if total else math.nan


def ece_noise(reference: OutcomeCounts, labels: float, p: float) -> Ends:
    """Gamma, with mean and variance of the absolute values of the normal gaps around the reference's own.

    How many events fall into which group varies as well, which counts where the groups' own gaps differ.
    """
    events, gaps, rates = _groups(reference)
    total, m = float(events.sum()), labels_of(reference)
    if not (total and m and labels > 0):
        return -math.inf, 1.0
    mean, variance = 0.0, _between(events, gaps) * (m / (labels * total) + 1 / total)
    for k, gap, rate in zip(events.tolist(), gaps.tolist(), rates.tolist(), strict=True):
        if k:
            spread = math.sqrt(rate * (1 - rate) * (m / (labels * k) + 1 / k))
            ratio = gap / spread
            folded = spread * math.sqrt(2 / math.pi) * math.exp(-ratio * ratio / 2) + gap * math.erf(
                ratio / math.sqrt(2)
            )
            share = k / total
            mean += share * folded
            variance += share * share * max(0.0, gap * gap + spread * spread - folded * folded)
    return -math.inf, min(1.0, gamma_ends(mean, variance, p)[1])


def ece_interval(outcome: OutcomeCounts, p: float) -> Ends:
    """Normal, by the delta method: each group's positives binomial, and the groups' events multinomial.

    Of few events chance makes the value itself greater, and the interval lies above the true one.
    """
    events, gaps, rates = _groups(outcome)
    total = float(events.sum())
    if not total:
        return math.nan, math.nan
    within = math.fsum((events * rates * (1 - rates)).tolist()) / total
    low, high = normal_ends(ece(outcome), (within + _between(events, gaps)) / total, p)
    return max(0.0, low), min(1.0, high)


def _between(events: Floats, gaps: Floats) -> float:
    """Variance of the size of the gap that an event finds in its group."""
    shares = events / events.sum()
    return max(0.0, math.fsum((shares * gaps**2).tolist()) - math.fsum((shares * np.abs(gaps)).tolist()) ** 2)


def _groups(outcome: OutcomeCounts) -> tuple[Floats, Floats, Floats]:
    """Per group of scores: events, share of positives less mean score, share of positives held off 0 and 1."""
    positive = outcome.cells[POSITIVE_SCORES : POSITIVE_SCORES + SCORE_BINS].reshape(GROUPS, -1)
    both = positive + outcome.cells[NEGATIVE_SCORES : NEGATIVE_SCORES + SCORE_BINS].reshape(GROUPS, -1)
    score = ((np.arange(SCORE_BINS) + 0.5) / SCORE_BINS).reshape(GROUPS, -1)
    events, right = both.sum(axis=1).astype(np.float64), positive.sum(axis=1).astype(np.float64)
    some = np.maximum(events, 1)
    return events, np.where(events > 0, (right - (both * score).sum(axis=1)) / some, 0.0), (right + 1) / (events + 2)
