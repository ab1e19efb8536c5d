"""Finite values however great or small: a right number or nan, never an exception or a warning (which are errors)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from detectors import METRICS, Metric
from detectors.families import FamilyCounts
from detectors.learning import numeric as learnt
from tests.detectors.build import joint, numeric, regression

SIZES = [1e-320, 1e-300, 1e-160, 1e77, 1e100, 1e154, 1e200, 1e300, 1e307]
COLUMNS = [m for m in METRICS.values() if m.needs == "column" and "numeric" in m.kinds and not m.only]
FAMILIES = [m for m in METRICS.values() if m.needs == "family" and m.kinds != ("text",)]
REGRESSION = [m for m in METRICS.values() if m.needs == "outcome" and "regression" in m.tasks]


def name(metric: Metric) -> str:
    return metric.name


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("metric", COLUMNS, ids=name)
def test_columns(metric: Metric, size: float) -> None:
    """All values in another unit, which p-values do not hang on; then one junk value on either side."""
    rng = np.random.default_rng(2)
    usual, now = rng.normal(size=300), rng.normal(0.1, 1, 40)
    edges = np.linspace(-2, 2, 20)
    plain, scaled = ([numeric(x * s, edges * s) for x in (now, usual)] for s in (1.0, min(size, 1e305)))
    if metric.p_value is not None and size > 1e-310:
        assert metric.p_value(*scaled) == pytest.approx(metric.p_value(*plain), rel=1e-6)
    junk = [numeric(np.append(x, [-size, size / 2]), learnt(np.append(usual, size)).edges) for x in (now, usual)]
    for pair in (scaled, junk, [plain[0], numeric(np.append(usual, size), edges)]):
        told(metric, pair[0], pair[1], 40)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("metric", FAMILIES, ids=name)
def test_families(metric: Metric, size: float) -> None:
    rng = np.random.default_rng(3)
    names = ("p0", "p1", "p2")
    usual, now = (np.abs(rng.normal(size=(n, 3))) for n in (300, 40))

    def family(x: np.ndarray[tuple[int, int], np.dtype[np.float64]], s: float, *, products: bool) -> FamilyCounts:
        edges = np.linspace(0.1, 3, 20)
        columns = {n: numeric(x[:, i] * s, edges * s) for i, n in enumerate(names)}
        return FamilyCounts(columns=columns, joint=replace(joint(x, edges), names=names) if products else None)

    for products in (True, False):
        plain, scaled = ([family(x, s, products=products) for x in (now, usual)] for s in (1.0, min(size, 1e305)))
        if metric.p_value is not None and size > 1e-310:
            assert metric.p_value(*scaled) == pytest.approx(metric.p_value(*plain), rel=1e-6)
        far = [family(np.vstack([x, [1.0, size, 2.0]]), 1.0, products=products) for x in (now, usual)]
        for pair in (scaled, far, [plain[0], far[1]], [far[0], plain[1]]):
            told(metric, pair[0], pair[1], 40)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("metric", REGRESSION, ids=name)
def test_regression(metric: Metric, size: float) -> None:
    rng = np.random.default_rng(4)
    label = rng.normal(size=40) * min(size, 1e149)
    junk = np.append(rng.normal(size=40), min(size, 1e140))
    for labels, predictions in ((label, label[::-1]), (junk, junk * 0), (junk * 0, junk), (junk[:-1], label)):
        outcome = regression(labels, predictions)
        metric.function(outcome)
        for found in (metric.noise, metric.interval):
            if found is not None:
                low, high = found(outcome, 40, 0.01) if found is metric.noise else found(outcome, 0.025)
                assert math.isnan(low) or low <= high


def told(metric: Metric, window: object, reference: object, rows: int) -> None:
    value = metric.function(window, reference)
    p = metric.p_value(window, reference) if metric.p_value is not None else math.nan
    assert math.isnan(p) or 0 <= p <= 1
    low, high = metric.noise(reference, rows, 0.01) if metric.noise is not None else (-math.inf, math.inf)
    assert math.isnan(value) or low <= high
