"""Matthews correlation coefficient."""

from __future__ import annotations

import math

import scipy

from detectors.counts import OutcomeCounts
from detectors.layouts import FN, FP, TN, TP
from detectors.performance.intervals import Ends, labels_of


def mcc(outcome: OutcomeCounts) -> float:
    """Correlation of prediction and label as 0 and 1: 1 all right, 0 no better than chance, -1 all wrong.

    nan when all labels, or all predictions, are of one class. Matthews 1975, Biochim. Biophys. Acta 405.

    >>> import numpy as np
    >>> from detectors.layouts import OUTCOME_CELLS
    >>> cells = np.zeros(OUTCOME_CELLS, np.int64)
    >>> cells[TP], cells[FP], cells[FN], cells[TN] = 3, 1, 1, 3
    >>> mcc(OutcomeCounts(rows=8, cells=cells))
    0.5
    """
    tp, fp, fn, tn = (int(outcome.cells[c]) for c in (TP, FP, FN, TN))
    sides = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / math.sqrt(sides) if sides else math.nan


def mcc_noise(reference: OutcomeCounts, labels: float, p: float) -> Ends:
    """Normal on Fisher's scale (area tangent), by the delta method, the reference's own noise counted."""
    m = labels_of(reference)
    return _ends(reference, 1 / labels + 1 / m, p) if m and labels > 0 else (-1.0, 1.0)


def mcc_interval(outcome: OutcomeCounts, p: float) -> Ends:
    """The same with the window's own counts."""
    labels = labels_of(outcome)
    return _ends(outcome, 1 / labels, p) if labels else (math.nan, math.nan)


def _ends(outcome: OutcomeCounts, per: float, p: float) -> Ends:
    """Variance of phi: Bishop, Fienberg and Holland 1975, Discrete Multivariate Analysis, section 11.3."""
    phi = mcc(outcome)
    if math.isnan(phi):
        return -1.0, 1.0
    tp, fp, fn, tn = (int(outcome.cells[c]) for c in (TP, FP, FN, TN))
    n = tp + fp + fn + tn
    a, b = (tp + fp) / n, (tp + fn) / n  # predicted and labelled positive
    lean, tilt = 2 * a - 1, 2 * b - 1
    spread = a * (1 - a) * b * (1 - b)
    variance = 1 - phi * phi + phi * (1 + phi * phi / 2) * lean * tilt / math.sqrt(spread)
    variance -= 0.75 * phi * phi * (lean * lean / (a * (1 - a)) + tilt * tilt / (b * (1 - b)))
    held = math.copysign(min(abs(phi), 1 - min(0.5, per)), phi)
    reach = -float(scipy.special.ndtri(p)) * math.sqrt(max(variance, per) * per) / (1 - held * held)
    middle = math.atanh(held)
    return min(phi, math.tanh(middle - reach)), max(phi, math.tanh(middle + reach))
