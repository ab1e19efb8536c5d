"""Area under the precision-recall curve."""

from __future__ import annotations

import math

import numpy as np

from detectors.counts import OutcomeCounts
from detectors.layouts import NEGATIVE_SCORES, POSITIVE_SCORES, SCORE_BINS
from detectors.performance.intervals import Ends, labels_of, logit_ends


def pr_auc(outcome: OutcomeCounts) -> float:
    """Average precision: mean over events labelled positive of the precision at their score; 0 to 1.

    A constant score gives the share of positives. Scores are known to 1/100: an event's precision is that of its whole
    bin, so the error is at most what the order within bins can change; the test computes both extremes. nan without a
    positive label that has a score.
    Boyd, Eng and Page 2013, ECML PKDD.

    >>> from detectors.layouts import OUTCOME_CELLS
    >>> cells = np.zeros(OUTCOME_CELLS, np.int64)
    >>> cells[POSITIVE_SCORES + 90] = cells[POSITIVE_SCORES + 10] = cells[NEGATIVE_SCORES + 50] = 1
    >>> round(pr_auc(OutcomeCounts(rows=3, cells=cells)), 4)  # (1/1 + 2/3) / 2
    0.8333
    """
    positive = outcome.cells[POSITIVE_SCORES : POSITIVE_SCORES + SCORE_BINS][::-1]
    negative = outcome.cells[NEGATIVE_SCORES : NEGATIVE_SCORES + SCORE_BINS][::-1]
    found, passed = np.cumsum(positive), np.cumsum(positive + negative)
    total = int(found[-1])
    if total == 0:
        return math.nan
    return math.fsum((positive * found / np.maximum(passed, 1)).tolist()) / total


def pr_auc_noise(reference: OutcomeCounts, labels: float, p: float) -> Ends:
    """Normal on the scale of logits with one binomial trial a positive label, the reference's own noise counted.

    The binomial variance is an approximation: it holds for scores that tell little, and is generous for good ones.
    """
    m, positive = labels_of(reference), int(reference.cells[POSITIVE_SCORES : POSITIVE_SCORES + SCORE_BINS].sum())
    if not (m and labels > 0 and positive):
        return 0.0, 1.0
    value, n = pr_auc(reference), labels / m * positive
    return logit_ends(value, value * (1 - value) * (1 / n + 1 / positive), p, min(n, positive))


def pr_auc_interval(outcome: OutcomeCounts, p: float) -> Ends:
    """Boyd's logit interval."""
    value, positive = pr_auc(outcome), int(outcome.cells[POSITIVE_SCORES : POSITIVE_SCORES + SCORE_BINS].sum())
    return logit_ends(value, value * (1 - value) / positive, p, positive) if positive else (math.nan, math.nan)
