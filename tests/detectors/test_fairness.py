"""Fairness metrics by hand on three segments, accuracy estimated without labels, quality against raw values."""

from __future__ import annotations

import numpy as np
import pytest

from detectors import METRICS
from tests.detectors.build import binary, categorical, nothing, numeric

RNG = np.random.default_rng(5)
LABELS = [RNG.integers(0, 2, 400) for _ in range(3)]
SCORES = [np.clip(RNG.uniform(0, 0.6, 400) + 0.3 * y + 0.1 * i, 0, 1) for i, y in enumerate(LABELS)]
SEGMENTS = [binary(y, s) for y, s in zip(LABELS, SCORES, strict=True)]
CLAIMED = [s >= 0.5 for s in SCORES]


def rates(of: str) -> list[float]:
    pairs = list(zip(LABELS, CLAIMED, strict=True))
    if of == "selection_rate":
        return [float(c.mean()) for _, c in pairs]
    if of == "accuracy":
        return [float(np.mean(c == (y == 1))) for y, c in pairs]
    return [float(c[y == (1 if of == "true_positive_rate" else 0)].mean()) for y, c in pairs]


@pytest.mark.parametrize("of", ["selection_rate", "true_positive_rate", "false_positive_rate", "accuracy"])
def test_differences_are_those_of_the_rates(of: str) -> None:
    found = METRICS[f"{of}_difference"].function([*SEGMENTS, nothing()])  # an empty segment has no rate
    assert found == pytest.approx(max(rates(of)) - min(rates(of)), rel=1e-12)


def test_ratio_and_calibration() -> None:
    selected = rates("selection_rate")
    assert METRICS["selection_rate_ratio"].function(SEGMENTS) == pytest.approx(min(selected) / max(selected), rel=1e-12)
    off = [float(np.mean(s - y)) for y, s in zip(LABELS, SCORES, strict=True)]
    assert METRICS["calibration_difference"].function(SEGMENTS) == pytest.approx(max(off) - min(off), abs=0.01)


@pytest.mark.parametrize(("a", "b"), [(2, 5), (5, 1), (0.3, 0.3)])
def test_accuracy_without_labels_is_the_accuracy_of_calibrated_scores(a: float, b: float) -> None:
    scores = RNG.beta(a, b, 100_000)
    right = (scores >= 0.5) == (RNG.uniform(size=len(scores)) < scores)
    edges = np.quantile(scores, np.linspace(0.02, 0.98, 60))
    column = numeric(scores, edges)
    found = METRICS["estimated_accuracy"].function(column, column)
    ends = np.array([column.low, *edges, column.high])
    error = float(np.sum(column.counts / column.rows * np.diff(ends))) / 2
    assert found == pytest.approx(float(np.mean(np.maximum(scores, 1 - scores))), abs=error)
    assert found == pytest.approx(float(right.mean()), abs=error + 4 * 0.5 / np.sqrt(len(scores)))


def test_out_of_range_counts_what_is_outside() -> None:
    reference = numeric(RNG.uniform(0, 10, 5_000), np.linspace(0.5, 9.5, 40))
    assert METRICS["out_of_range"].function(numeric([5.0, 6.0], np.linspace(0.5, 9.5, 40)), reference) == 0.0
    edges = (-5.0, *np.linspace(0.5, 9.5, 40), 15.0)
    wide, narrow = numeric([-7.0, 1.0, 2.0, 20.0, 30.0], edges), numeric([0.5, 9.0], edges)
    assert METRICS["out_of_range"].function(wide, narrow) == pytest.approx(3 / 5)


def test_constant_share_is_one_for_a_constant_column() -> None:
    assert METRICS["constant_share"].function(categorical([0, 50]), categorical([1, 1])) == 1.0
    assert METRICS["constant_share"].function(categorical([10, 30]), categorical([1, 1])) == 0.75
