"""Quality metrics, and the sampling noise of a share."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from detectors import METRICS
from detectors.quality.rates import rate_noise
from tests.detectors.build import categorical, numeric


def test_missing_invalid_and_unseen_have_their_own_denominators() -> None:
    column = numeric([1.0, math.nan, math.inf, 2.0, 3.0], (2.0,), missing=3)
    assert METRICS["missing_rate"].function(column, column) == 3 / 8
    assert METRICS["invalid_rate"].function(column, column) == 2 / 8
    text = categorical([3, 2], unknown=5, missing=10)
    assert METRICS["missing_rate"].function(text, text) == 10 / 20
    assert METRICS["unseen_rate"].function(text, text) == 5 / 10  # of the valid ones


def test_volume_is_a_ratio() -> None:
    assert METRICS["row_volume"].function(0, 50.0) == 0.0
    assert METRICS["row_volume"].function(75, 50.0) == 1.5
    assert math.isnan(METRICS["row_volume"].function(75, 0.0))


@pytest.mark.parametrize(("events", "of"), [(0, 5_000), (3, 5_000), (2_500, 5_000), (4_990, 5_000), (5_000, 5_000)])
@pytest.mark.parametrize("rows", [30, 400, 20_000])
def test_noise_of_a_share_is_left_as_rarely_as_said(events: int, of: int, rows: int) -> None:
    """Predictive: the true rate is drawn from what the reference says of it (Jeffreys), then the window's count."""
    rng = np.random.default_rng(1)
    low, high = rate_noise(events, of, rows, 0.002)
    rates = rng.beta(events + 0.5, of - events + 0.5, 100_000)
    counts = rng.binomial(rows, rates) / rows
    assert np.mean(counts > high) <= 0.0025
    assert np.mean(counts < low) <= 0.0025
    reach = stats.norm.isf(0.002) * math.sqrt(0.25 * (1 / rows + 1 / of))
    assert high - events / of <= 1.3 * reach + 3 / rows  # and is not just everything


@pytest.mark.parametrize("mean", [0.5, 2.0, 7.5, 100.0, 1e5])
@pytest.mark.parametrize("p", [0.01, 1e-4, 1e-6])
def test_the_noise_of_a_volume_is_poissons_to_the_row(mean: float, p: float) -> None:
    noise = METRICS["row_volume"].noise
    assert noise is not None
    low, high = noise(mean, 0, p)
    fewest, most = round(low * mean), round(high * mean)
    assert stats.poisson.sf(most, mean) <= p * 1.001 < stats.poisson.sf(most - 1, mean) * 1.002
    assert stats.poisson.cdf(fewest - 1, mean) <= p * 1.001
    assert stats.poisson.cdf(fewest, mean) * 1.002 > p


@pytest.mark.parametrize(("m", "n"), [(1_000, 1_000), (2_000, 200), (50, 4_000), (3, 5)])
@pytest.mark.parametrize("p", [0.01, 1e-4, 1e-6])
def test_the_noise_of_values_out_of_range_is_exact(m: int, n: int, p: float) -> None:
    """The share beyond the extremes of m is a beta variable of 2 and m - 1."""
    noise = METRICS["out_of_range"].noise
    assert noise is not None
    most = round(noise(numeric(np.linspace(0, 1, m), [0.1]), n, p)[1] * n)
    assert stats.betabinom.sf(most, n, 2, m - 1) <= p * 1.001
    assert stats.betabinom.sf(most - 1, n, 2, m - 1) > p * 0.999
