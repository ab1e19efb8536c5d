"""Performance before labels come, against what the labels then say: scikit-learn's definitions as plain numpy."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from detectors import METRICS, baseline
from detectors.counts import ColumnCounts, OutcomeCounts
from detectors.layouts import (
    CORRECT,
    FN,
    FP,
    LABEL_CELLS,
    LABELS,
    NEGATIVE_SCORES,
    POSITIVE_SCORES,
    SCORE_BINS,
    TN,
    TP,
)
from detectors.performance.estimates import (
    SPREAD,
    Expected,
    Reading,
    estimate,
    estimate_interval,
    estimate_noise,
    expected,
)
from tests.detectors.build import numeric

NAMES = ["accuracy", "precision", "recall", "f1", "roc_auc"]
EDGES = np.linspace(0.004, 0.996, 249)


def draw(rng: np.random.Generator, n: int, a: float, b: float, power: float = 1.0) -> tuple[Any, Any]:
    """Labels, and scores that say too little of them where `power` is above 1."""
    chance = rng.beta(a, b, n)
    return (rng.uniform(size=n) < chance).astype(int), chance**power


def binary(labels: Any, scores: Any, cut: float = 0.5) -> OutcomeCounts:
    """The counts of an outcome, without its sums: adding up single events exactly takes long."""
    cells, y, claimed = np.zeros(LABEL_CELLS, np.int64), np.asarray(labels) == 1, np.asarray(scores) >= cut
    for cell, rows in ((TP, y & claimed), (FP, ~y & claimed), (FN, y & ~claimed), (TN, ~y & ~claimed)):
        cells[cell] = rows.sum()
    cells[LABELS], cells[CORRECT] = len(y), cells[TP] + cells[TN]
    bins = np.minimum((np.asarray(scores) * SCORE_BINS).astype(int), SCORE_BINS - 1)
    for first, rows in ((POSITIVE_SCORES, y), (NEGATIVE_SCORES, ~y)):
        cells[first : first + SCORE_BINS] = np.bincount(bins[rows], minlength=SCORE_BINS)
    return OutcomeCounts(rows=len(y), cells=cells)


def column(labels: Any, scores: Any, cut: float = 0.5, *, known: bool = True) -> ColumnCounts:
    return replace(numeric(scores, EDGES), labels=binary(labels, scores, cut) if known else None)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("power", "cut"), [(1.0, 0.5), (2.0, 0.2)])
def test_estimates_are_what_labels_then_say(name: str, power: float, cut: float) -> None:
    """The reference is easy, the window hard: its scores crowd around the cut. Labels of 20,000 events."""
    rng = np.random.default_rng(5)
    reference = column(*draw(rng, 20_000, 0.5, 0.7, power), cut)
    labels, scores = draw(rng, 20_000, 2.0, 3.0, power)
    window = column(labels, scores, cut, known=False)
    metric = METRICS[f"estimated_{name}"]
    realised = METRICS[name].function(binary(labels, scores, cut))
    assert metric.function(window, reference) == pytest.approx(realised, abs=0.02)
    assert metric.interval is not None
    low, high = metric.interval(window, reference, 1e-4)
    assert low <= realised <= high
    assert high - low < 0.12
    usual = METRICS[name].function(binary(*draw(rng, 20_000, 0.5, 0.7, power), cut))
    assert metric.function(reference, reference) == pytest.approx(usual, abs=0.02)
    assert usual > realised + 0.1
    assert metric.noise is not None
    assert metric.function(window, reference) < metric.noise(reference, 500, 1e-4)[0]


@pytest.mark.parametrize("name", NAMES)
def test_noise_and_intervals_miss_about_as_rarely_as_said(name: str) -> None:
    """60 references of 2,000 events, half of them labelled; 5 windows of 200 each; P = 0.025 at each end."""
    rng, metric, p = np.random.default_rng(11), METRICS[f"estimated_{name}"], 0.025
    above = below = missed = 0
    assert metric.noise is not None
    assert metric.interval is not None
    for _ in range(60):
        labels, scores = draw(rng, 2_000, 1.2, 1.6)
        reference = replace(numeric(scores, EDGES), labels=binary(labels[:1_000], scores[:1_000]))
        low, high = metric.noise(reference, 200, p)
        for _ in range(5):
            labels, scores = draw(rng, 200, 1.2, 1.6)
            window = column(labels, scores, known=False)
            value = metric.function(window, reference)
            above, below = above + (value > high), below + (value < low)
            least, most = metric.interval(window, reference, p)
            missed += not least <= METRICS[name].function(binary(labels, scores)) <= most
    slack = 4 * np.sqrt(p / 300)
    assert max(above, below) / 300 <= p + slack
    assert missed / 300 <= 2 * p + np.sqrt(2) * slack


def test_without_labels_scores_are_taken_at_their_word() -> None:
    scores = numeric([0.1, 0.3, 0.9, 0.9], (0.1, 0.1000001, 0.3, 0.3000001, 0.9, 0.9000001))
    of = expected(scores, scores)
    assert of is not None
    assert of.positive == pytest.approx([0.1, 0.3, 0.9], abs=1e-6)
    assert METRICS["estimated_accuracy"].function(scores, scores) == pytest.approx((0.9 + 0.7 + 1.8) / 4, abs=1e-6)


def test_a_window_is_estimated_with_the_calibration_of_the_others() -> None:
    """Scores that are always 0.705 and right half of the time: a window is known by what the others' labels say.

    450 of 900, and one that is as the logistic curve through them says; it rises, so that nothing is pooled.
    """

    def penalised(at: Any) -> float:
        says = at[0] + at[1] * np.log(0.705 / 0.295)
        return float(900 * np.log1p(np.exp(says)) - 450 * says + (at[0] ** 2 + (at[1] - 1) ** 2) / (2 * SPREAD**2))

    intercept, slope = minimize(penalised, [0.0, 1.0], tol=1e-12).x
    curve = 1 / (1 + np.exp(-(intercept + slope * np.log(0.705 / 0.295))))

    windows = [column([0, 1] * 50, [0.705] * 100) for _ in range(10)]
    learnt = baseline(METRICS["estimated_accuracy"], windows, windows_between_false_alarms=100)
    assert learnt.values == pytest.approx([(450 + curve) / (900 + 1)] * 10, abs=1e-6)
    assert curve == pytest.approx(0.5, abs=0.002)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("labelled", [300, 2_000])
def test_scores_that_mean_something_else_are_not_taken_at_their_word(name: str, labelled: int) -> None:
    """Positives are drawn anew with weights, as for rare ones: a score of s is right with 0.04 s in truth."""
    rng, missed, metric = np.random.default_rng(17), 0, METRICS[f"estimated_{name}"]
    assert metric.interval is not None

    def some(n: int) -> tuple[Any, Any]:
        scores = rng.uniform(size=n)
        return (rng.uniform(size=n) < 0.04 * scores).astype(int), scores

    for _ in range(100):
        labels, scores = some(5_000)
        reference = replace(numeric(scores, EDGES), labels=binary(labels[:labelled], scores[:labelled]))
        labels, scores = some(500)
        low, high = metric.interval(column(labels, scores, known=False), reference, 0.025)
        realised = METRICS[name].function(binary(labels, scores))
        missed += not (np.isnan(realised) or low <= realised <= high)
    assert missed <= 15  # of 5; before the curve 90 and more of accuracy, precision and F1


def test_estimates_are_shares_whatever_rounding_does() -> None:
    of = column(*draw(np.random.default_rng(6), 500, 1.0, 1.0))
    for value, share in ((1 + 2e-12, 1.0), (-2e-12, 0.0)):
        read = partial(_read_as, value)
        assert estimate(of, of, read) == share
        for low, high in (estimate_noise(of, 40, 0.01, read), estimate_interval(of, of, 0.01, read)):
            assert 0 <= low <= share <= high <= 1


def _read_as(value: float, of: Expected) -> Reading:
    return Reading(value, of.claimed, of.claimed)
