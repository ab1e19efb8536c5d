"""How often noise is left and intervals miss, by simulation: what the docstrings of the approximations promise."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from detectors import METRICS, Metric
from detectors.counts import OutcomeCounts, float_to_limbs
from detectors.layouts import (
    CORRECT,
    FN,
    FP,
    LABEL_VALUE,
    LABELS,
    LIMBS,
    LOG_LOSS,
    NEGATIVE_SCORES,
    OUTCOME_CELLS,
    POSITIVE_SCORES,
    SCORE_BINS,
    SCORED,
    SQUARED_SCORE_ERROR,
    TN,
    TP,
)
from detectors.performance.intervals import gamma_ends, logit_ends, wilson
from tests.detectors.build import regression

RNG = np.random.default_rng(11)
REPEATS, WINDOW, REFERENCE, P = 300, 200, 2_000, 0.025
Make = Callable[[int], OutcomeCounts]


@pytest.fixture(autouse=True)
def own_numbers(request: pytest.FixtureRequest) -> None:
    """Each test draws the same numbers whichever others run, and in whatever order."""
    seed = zlib.crc32(f"{request.node.name} 2".encode())
    RNG.bit_generator.state = np.random.default_rng(seed).bit_generator.state


def scored(n: int) -> OutcomeCounts:
    """Calibrated scores."""
    score = RNG.beta(1.2, 2.5, n)
    return told(score, (RNG.uniform(size=n) < score).astype(int))


def told(score: Any, label: Any) -> OutcomeCounts:
    """Counts of scores. Sums as one number each: adding up single events exactly is tested elsewhere."""
    n = len(score)
    cells, claimed = np.zeros(OUTCOME_CELLS, np.int64), score >= 0.5
    cells[LABELS] = cells[SCORED] = n
    for cell, said, is_so in ((TP, True, 1), (FP, True, 0), (FN, False, 1), (TN, False, 0)):
        cells[cell] = np.sum((claimed == said) & (label == is_so))
    cells[CORRECT] = cells[TP] + cells[TN]
    bins = (score * SCORE_BINS).astype(np.int64)
    for first, is_so in ((POSITIVE_SCORES, 1), (NEGATIVE_SCORES, 0)):
        cells[first : first + SCORE_BINS] = np.bincount(bins[label == is_so], minlength=SCORE_BINS)
    given = np.clip(np.where(label == 1, score, 1 - score), 1e-15, 1)
    for first, values in ((LOG_LOSS, -np.log(given)), (SQUARED_SCORE_ERROR, (score - label) ** 2)):
        cells[first : first + LIMBS] = float_to_limbs([float(values.sum())])
    return OutcomeCounts(rows=n, cells=cells)


def errors(draw: Callable[[int], Any]) -> Make:
    """Errors that do not depend on the prediction, which is normal around 40."""

    def make(n: int) -> OutcomeCounts:
        error = draw(n)
        prediction = RNG.normal(40, 6.0, n)
        return regression(prediction - error, prediction, exact=False)

    return make


def cases() -> list[Any]:
    found = []
    for metric in METRICS.values():
        if metric.needs == "outcome" and metric.noise is not None:
            if "regression" in metric.tasks:
                for kind, draw in (("normal", RNG.normal), ("laplace", RNG.laplace)):
                    found.append(pytest.param(metric, errors(partial(draw, 0.3, 2.0)), id=f"{metric.name}-{kind}"))
            else:
                found.append(pytest.param(metric, scored, id=metric.name))
    return found


@pytest.mark.parametrize(("metric", "make"), cases())
def test_noise_is_left_and_intervals_miss_about_as_rarely_as_said(metric: Metric, make: Make) -> None:
    assert metric.noise is not None
    assert metric.interval is not None
    truth = np.mean([metric.function(make(20_000)) for _ in range(3)])
    above = below = missed = 0
    for i in range(REPEATS):
        if i % 5 == 0:  # the reference is a sample too
            reference = make(REFERENCE)
            low, high = metric.noise(reference, WINDOW, P)
        window = make(WINDOW)
        value = metric.function(window)
        above, below = above + (value > high), below + (value < low)
        least, most = metric.interval(window, P)
        assert metric.limits[0] <= least <= value <= most <= metric.limits[1]
        missed += not least <= truth <= most
    slack = 4 * math.sqrt(P / REPEATS)  # five windows share a reference, which a tenth of their variance is of
    assert max(above, below) / REPEATS <= P + slack
    if metric.name != "ece":  # which chance only makes greater
        assert missed / REPEATS <= 2 * P + math.sqrt(2) * slack


def test_ece_of_useless_scores_varies_with_where_they_fall() -> None:
    """Uniform scores, 2 % positive: a group's gap is its score, less 0.02, and which group it is is chance."""

    def useless(n: int) -> OutcomeCounts:
        return told(RNG.uniform(size=n), (RNG.uniform(size=n) < 0.02).astype(int))

    noise, interval = METRICS["ece"].noise, METRICS["ece"].interval
    assert noise is not None
    assert interval is not None
    middle = np.arange(0.05, 1, 0.1)
    truth, above, missed = float(np.mean(np.abs(0.02 - middle))), 0, 0
    for i in range(REPEATS):
        if i % 5 == 0:
            reference = useless(REFERENCE)
            high = noise(reference, WINDOW, P)[1]
        window = useless(WINDOW)
        above += METRICS["ece"].function(window) > high
        low, most = interval(window, P)
        missed += not low <= truth <= most
    slack = 4 * math.sqrt(P / REPEATS)
    assert above / REPEATS <= P + slack
    assert missed / REPEATS <= 2 * P + math.sqrt(2) * slack


@pytest.mark.parametrize("size", [1.0, 0.7])
def test_errors_may_belong_to_the_prediction(size: float) -> None:
    """R2 = 1 - size^2 where the prediction is the label and an error; at 1, no better than the mean label."""
    interval, missed = METRICS["r2"].interval, 0
    assert interval is not None
    for _ in range(REPEATS):
        label = RNG.normal(size=500)
        low, high = interval(regression(label, label + RNG.normal(0, size, 500), exact=False), P)
        missed += not low <= 1 - size**2 <= high
    assert missed / REPEATS <= 2 * P + 4 * math.sqrt(2 * P / REPEATS)


def test_errors_far_from_0_have_their_variance() -> None:
    """A square of 1e18 is rounded by up to 64: the ends may be that much too far out, and are never too near."""
    error = 1e9 + RNG.normal(size=1_000)
    interval = METRICS["bias"].interval
    assert interval is not None
    low, high = interval(regression(error * 0, error), P)
    assert low <= 1e9 <= high
    least, most = (1.96 * math.sqrt(v / 1_000) for v in (0.9, 130.0))
    assert least <= (high - low) / 2 <= most


def test_a_label_whose_square_is_not_counted_in_full_tells_no_r2() -> None:
    cells = regression(np.append(np.ones(1_999), 1e150), np.ones(2_000)).cells
    cells[LABEL_VALUE : LABEL_VALUE + LIMBS] = float_to_limbs([1e151, 1_999.0])
    assert math.isnan(METRICS["r2"].function(OutcomeCounts(rows=2_000, cells=cells)))


def test_ends_where_nothing_varies() -> None:
    """No event among n: a rate of -ln p / n is what would leave none with probability p, and Wilson is not far off."""
    assert wilson(0, 300, 0.025)[0] == 0.0
    assert wilson(0, 300, 0.025)[1] == pytest.approx(-math.log(0.025) / 300, rel=0.1)
    assert gamma_ends(0.0, 0.0, 0.01) == (0.0, 0.0)
    low, high = logit_ends(1.0, 0.0, 0.025, 50)  # a perfect AUC of 50 events is not known to be perfect
    assert high == 1.0
    assert 0.9 < low < 0.98
