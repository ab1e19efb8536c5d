"""Metrics of several columns together: against raw values, scikit-learn and simulation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from detectors import METRICS
from detectors.drift.attribution_drift import ndcg
from detectors.families import FamilyCounts, cauchy
from tests.detectors.build import categorical, joint, numeric

EDGES = np.linspace(-3.2, 3.2, 120)
SIZES = np.linspace(0.02, 4, 120)
DIRECTIONS = np.random.default_rng(2).normal(size=(16, 16)) @ np.diag([3.0, 2.0, *[0.7] * 14])


def embedding(values: Any, *, products: bool = True) -> FamilyCounts:
    names = tuple(f"p{i}" for i in range(values.shape[1]))
    columns = {name: numeric(values[:, i], EDGES) for i, name in enumerate(names)}
    return FamilyCounts(columns=columns, joint=replace(joint(values, EDGES), names=names) if products else None)


def attributions(values: Any) -> FamilyCounts:
    return FamilyCounts(columns={f"f{i:02}": numeric(values[:, i], SIZES) for i in range(values.shape[1])})


def texts(lengths: Any, scripts: Any) -> FamilyCounts:
    edges = np.arange(1.0, 200, 4)
    columns = {"length": numeric(lengths, edges), "tokens": numeric(np.ceil(lengths / 6), edges)}
    return FamilyCounts(columns=columns | {"script": categorical([int(n) for n in scripts])})


def correlated() -> Any:
    covariance = DIRECTIONS @ DIRECTIONS.T
    return covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))


def test_gain_is_that_of_scikit_learn_ties_and_all() -> None:
    rng = np.random.default_rng(4)
    for features in (2, 3, 9, 40):
        usual, now = np.round(rng.gamma(1, 1, features), 1), np.round(rng.gamma(1, 1, features), 1)
        usual[0] = 0.5
        assert ndcg(now, usual) == pytest.approx(ndcg_score([usual], [now]))
    x, y = rng.gamma(1, 1, (50, 6)), rng.gamma(1, 1, (90, 6))
    expected = ndcg_score([y.mean(axis=0)], [x.mean(axis=0)])  # of exact sums: bins do not show
    assert METRICS["attribution_drift"].function(attributions(x), attributions(y)) == pytest.approx(expected)


def test_centroid_distance_is_that_of_the_projections() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(0.3, 1, (500, 16)), rng.normal(0, 1, (4_000, 16))
    expected = np.linalg.norm(x.mean(axis=0) - y.mean(axis=0)) / np.sqrt(y.var(axis=0).sum())
    found = METRICS["embedding_drift"].function(embedding(x), embedding(y))
    assert found == pytest.approx(expected, rel=1e-3)  # deviations are read from bins


def test_discrepancy_is_that_of_the_kernel_on_raw_values() -> None:
    """And no further off than the docstring says."""
    rng = np.random.default_rng(6)
    x, y = rng.normal(0.2, 1.3, (150, 3)), rng.normal(0, 1, (400, 3))
    squares, errors = [], []
    for k in range(3):
        a, b = ((np.clip(v[:, k] - y[:, k].mean(), -4 * s, 4 * s) / s) for v in (x, y) for s in [y[:, k].std()])
        kernel = [np.exp(-((u[:, None] - v[None]) ** 2) / 2).mean() for u, v in ((a, a), (b, b), (a, b))]
        squares.append(kernel[0] + kernel[1] - 2 * kernel[2])
        ends = np.concatenate([[-9.0], EDGES, [9.0]])
        shares = sum(np.histogram(v[:, k], ends)[0] / len(v) for v in (x, y))
        errors.append(float((shares * np.diff(ends)).sum() / 2 / y[:, k].std()))
    found = METRICS["embedding_mmd"].function(embedding(x), embedding(y))
    assert abs(found - np.sqrt(np.mean(squares))) <= np.sqrt(np.mean(np.square(errors)))
    assert found == pytest.approx(np.sqrt(np.mean(squares)), rel=0.02)


@pytest.mark.parametrize(
    ("name", "dependent", "products"),
    [
        ("embedding_drift", False, True),
        ("embedding_drift", True, False),
        ("embedding_mmd", True, True),
        ("embedding_mmd", True, False),
    ],
)
def test_p_values_of_embeddings_are_about_as_said_without_change(name: str, dependent: bool, products: bool) -> None:
    """12 references of 3,000 events, 6 windows of 300 each: 4 standard errors are 0.14."""
    rng, metric = np.random.default_rng(8), METRICS[name]
    assert metric.p_value is not None
    covariance, low = correlated() if dependent else np.eye(16), 0
    for _ in range(12):
        reference = embedding(rng.multivariate_normal(np.zeros(16), covariance, 3_000), products=products)
        for _ in range(6):
            window = embedding(rng.multivariate_normal(np.zeros(16), covariance, 300), products=products)
            low += metric.p_value(window, reference) < 0.1
    assert 0.02 <= low / 72 <= 0.1 + 4 * np.sqrt(0.1 * 0.9 / 72)


def test_texts_that_change_their_form_show_and_others_do_not() -> None:
    rng, metric = np.random.default_rng(9), METRICS["text_drift"]
    assert metric.p_value is not None
    low = 0
    for _ in range(200):
        usual, same = (texts(rng.gamma(4, 12, n), rng.multinomial(n, [0.9, 0.1])) for n in (3_000, 300))
        low += metric.p_value(same, usual) < 0.1
    assert 0.02 <= low / 200 <= 0.1 + 4 * np.sqrt(0.1 * 0.9 / 200)
    turned = texts(rng.gamma(4, 12, 300), [180, 120])  # another script alone
    assert metric.p_value(turned, usual) < 1e-9
    assert metric.function(turned, usual) > metric.noise(usual, 300, 1e-4)[1]  # type: ignore[misc]


@pytest.mark.parametrize("weights", [[1.0, 0.9, 0.8, 0.7], np.linspace(1, 0.1, 20)], ids=["four", "twenty"])
def test_an_order_that_stays_is_within_its_noise(weights: Any) -> None:
    """40 references of 3,000 events, 5 windows of 300 each; p-values are careful, the noise is about as said."""
    rng, metric = np.random.default_rng(10), METRICS["attribution_drift"]
    assert metric.p_value is not None
    assert metric.noise is not None
    low, left = 0, 0
    for _ in range(40):
        reference = attributions(np.abs(rng.normal(size=(3_000, len(weights)))) * weights)
        least = metric.noise(reference, 300, 0.05)[0]
        for _ in range(5):
            window = attributions(np.abs(rng.normal(size=(300, len(weights)))) * weights)
            low += metric.p_value(window, reference) < 0.05
            left += metric.function(window, reference) < least
    assert low / 200 <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 200)
    assert 0.01 <= left / 200 <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 200)
    exchanged = attributions(np.abs(rng.normal(size=(300, len(weights)))) * weights[::-1])
    assert metric.p_value(exchanged, reference) < 1e-6
    assert metric.function(exchanged, reference) < metric.noise(reference, 300, 1e-5)[0]


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_few_rows_do_not_tell_of_another_order(rows: int) -> None:
    """One deviation of 1 or 2 rows is none. 300 references of 500 events."""
    rng, metric = np.random.default_rng(12), METRICS["attribution_drift"]
    assert metric.p_value is not None
    low = 0
    for _ in range(300):
        reference, window = (attributions(np.abs(rng.normal(size=(n, 5)))) for n in (500, rows))
        low += metric.p_value(window, reference) < 0.05
    assert low / 300 <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 300)
    alone = attributions(np.abs(rng.normal(size=(1, 5))))
    assert np.isnan(metric.p_value(reference, alone))


def test_combined_p_values_of_independent_tests_are_even() -> None:
    """Of 2,000 sets of 5: a share p below p, to 4 standard errors; closed form, as Cauchy variables add up."""
    drawn = np.random.default_rng(11).uniform(size=(2_000, 5))
    found = np.array([cauchy(p) for p in drawn.tolist()])
    for p in (0.01, 0.1, 0.5):
        assert abs((found < p).mean() - p) <= 4 * np.sqrt(p * (1 - p) / 2_000)
    assert cauchy([1e-12, 0.3, 0.9]) == pytest.approx(3e-12, rel=1e-3)
    assert cauchy([1e-10, 1 - 1e-12, 0.5]) == pytest.approx(3e-10, rel=1e-3)  # one near 1 does not hide another
