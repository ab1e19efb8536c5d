"""Performance metrics against their textbook forms on the single events."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from detectors import METRICS
from tests.detectors.build import binary, nothing, regression

RNG = np.random.default_rng(7)
Y = RNG.integers(0, 2, 2_000)
S = np.clip(RNG.beta(2, 3, 2_000) + 0.25 * Y, 0.001, 0.999)
LABELS, PREDICTIONS = RNG.normal(50, 9, 1_000), RNG.normal(51, 9, 1_000)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("accuracy", reference.accuracy_score(Y, S >= 0.5)),
        ("error_rate", 1 - reference.accuracy_score(Y, S >= 0.5)),
        ("precision", reference.precision_score(Y, S >= 0.5)),
        ("recall", reference.recall_score(Y, S >= 0.5)),
        ("f1", reference.f1_score(Y, S >= 0.5)),
        ("log_loss", reference.log_loss(Y, S)),
        ("brier", reference.brier_score_loss(Y, S)),
        ("label_coverage", 1.0),
        ("mcc", reference.matthews_corrcoef(Y, S >= 0.5)),
        ("balanced_accuracy", reference.balanced_accuracy_score(Y, S >= 0.5)),
    ],
)
def test_binary(metric: str, expected: float) -> None:
    assert METRICS[metric].function(binary(Y, S)) == pytest.approx(expected, rel=1e-12)


def test_roc_auc_is_off_by_at_most_half_the_pairs_in_one_bin() -> None:
    bins = np.minimum((S * 100).astype(int), 99)
    positive, negative = np.bincount(bins[Y == 1], minlength=100), np.bincount(bins[Y == 0], minlength=100)
    error = float(np.sum(positive * negative)) / (positive.sum() * negative.sum()) / 2
    assert METRICS["roc_auc"].function(binary(Y, S)) == pytest.approx(reference.roc_auc_score(Y, S), abs=error)
    on_bins = reference.roc_auc_score(Y, bins)
    assert METRICS["roc_auc"].function(binary(Y, S)) == pytest.approx(on_bins, rel=1e-12)


def test_pr_auc_lies_between_the_best_and_the_worst_order_within_bins() -> None:
    bins = np.minimum((S * 100).astype(int), 99)
    found = METRICS["pr_auc"].function(binary(Y, S))
    assert found == pytest.approx(reference.average_precision_score(Y, bins), rel=1e-12)
    best, worst = (reference.average_precision_score(Y, bins + sign * Y / 2) for sign in (1, -1))
    assert worst < found < best
    assert worst <= reference.average_precision_score(Y, S) <= best


def test_calibration_is_off_by_at_most_half_a_bin() -> None:
    tenth = np.minimum((S * 10).astype(int), 9)
    exact = sum(abs(float(np.sum(Y[tenth == k] - S[tenth == k]))) for k in range(10)) / len(Y)
    assert METRICS["ece"].function(binary(Y, S)) == pytest.approx(exact, abs=0.005)
    assert METRICS["calibration_bias"].function(binary(Y, S)) == pytest.approx(float(np.mean(S - Y)), abs=0.005)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("mae", reference.mean_absolute_error(LABELS, PREDICTIONS)),
        ("rmse", math.sqrt(reference.mean_squared_error(LABELS, PREDICTIONS))),
        ("bias", float(np.mean(PREDICTIONS - LABELS))),
        ("r2", reference.r2_score(LABELS, PREDICTIONS)),
        ("mape", reference.mean_absolute_percentage_error(LABELS, PREDICTIONS)),
        ("smape", float(np.mean(2 * np.abs(PREDICTIONS - LABELS) / (np.abs(PREDICTIONS) + np.abs(LABELS))))),
    ],
)
def test_regression(metric: str, expected: float) -> None:
    assert METRICS[metric].function(regression(LABELS, PREDICTIONS)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("metric", "labels", "scores"),
    [
        ("precision", [1, 0], [0.1, 0.2]),  # nothing predicted positive
        ("recall", [0, 0], [0.9, 0.2]),  # nothing labelled positive
        ("f1", [0, 0], [0.1, 0.2]),  # neither
        ("roc_auc", [1, 1], [0.9, 0.2]),  # one class only
        ("mcc", [1, 1], [0.9, 0.2]),
        ("balanced_accuracy", [1, 1], [0.9, 0.2]),
        ("pr_auc", [0, 0], [0.9, 0.2]),  # nothing to find
    ],
)
def test_undefined_is_nan_and_not_zero(metric: str, labels: list[int], scores: list[float]) -> None:
    assert math.isnan(METRICS[metric].function(binary(labels, scores)))
    assert math.isnan(METRICS[metric].function(nothing()))


def test_one_huge_error_does_not_swallow_the_small_ones() -> None:
    """Sums are exact: 1e17 + 1 - 1e17 is 1."""
    assert METRICS["bias"].function(regression([0.0, 0.0, 0.0], [1e17, 1.0, -1e17])) == pytest.approx(1 / 3, rel=1e-15)


def test_regression_where_there_is_nothing_to_divide_by() -> None:
    assert math.isnan(METRICS["r2"].function(regression([2.0, 2.0], [1.0, 3.0])))  # labels without spread
    assert math.isnan(METRICS["mape"].function(regression([0.0, 0.0], [1.0, 3.0])))
    assert METRICS["mape"].function(regression([0.0, 2.0], [1.0, 3.0])) == 0.5
    assert METRICS["smape"].function(regression([0.0, 0.0], [0.0, 3.0])) == 1.0
