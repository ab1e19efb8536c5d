"""What fairness metrics share: a rate in every segment of a dimension, and how far the rates are apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from detectors.counts import OutcomeCounts
from detectors.layouts import FN, FP, TN, TP

Rate = Callable[[OutcomeCounts], float]


def difference(segments: Sequence[OutcomeCounts], rate: Rate) -> float:
    """Greatest rate less least; nan unless two segments have one."""
    found = [r for r in map(rate, segments) if math.isfinite(r)]
    return max(found) - min(found) if len(found) > 1 else math.nan


def ratio(segments: Sequence[OutcomeCounts], rate: Rate) -> float:
    """Least rate over greatest; nan unless two segments have one, or when all are 0."""
    found = [r for r in map(rate, segments) if math.isfinite(r)]
    return min(found) / max(found) if len(found) > 1 and max(found) > 0 else math.nan


def selection_rate(outcome: OutcomeCounts) -> float:
    """Share of labelled events that were predicted positive."""
    return _share(outcome, (TP, FP), (FN, TN))


def true_positive_rate(outcome: OutcomeCounts) -> float:
    """Share of positive labels that were predicted positive."""
    return _share(outcome, (TP,), (FN,))


def false_positive_rate(outcome: OutcomeCounts) -> float:
    """Share of negative labels that were predicted positive."""
    return _share(outcome, (FP,), (TN,))


def _share(outcome: OutcomeCounts, some: tuple[int, ...], others: tuple[int, ...]) -> float:
    events = sum(int(outcome.cells[c]) for c in some)
    of = events + sum(int(outcome.cells[c]) for c in others)
    return events / of if of else math.nan
