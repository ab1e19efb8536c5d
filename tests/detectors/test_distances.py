"""Distances and shifts against scipy and numpy on the raw values, within the binning errors that they state."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from detectors import METRICS
from detectors.counts import ColumnCounts
from detectors.drift.functions import gap, points, squared_area_error
from detectors.drift.groups import grouped
from detectors.drift.moments import quantile, spread, width_at
from detectors.drift.quadratic_forms import Sums, tail
from detectors.drift.quadratic_forms import quantile as form_quantile
from detectors.learning import numeric as learnt
from tests.detectors.build import categorical, numeric
from tests.detectors.test_drift import EDGES, REFERENCE, WINDOWS

RAW = numeric(REFERENCE, EDGES)
NEAR = ["same", "shifted", "wider", "few"]


@pytest.mark.parametrize("name", NEAR)
def test_distances_of_functions_are_within_their_binning_error(name: str) -> None:
    values = WINDOWS[name]
    window, n, m = numeric(values, EDGES), len(values), len(REFERENCE)
    found = gap(window, RAW)
    assert found is not None

    # T = n m / (n + m) integral, plus a correction for the steps of at most 1/6
    t = float(stats.cramervonmises_2samp(values, REFERENCE, method="asymptotic").statistic)
    distance = METRICS["cramer_von_mises"].function(window, RAW)
    assert distance == pytest.approx(t * (n + m) / (n * m), abs=squared_area_error(found, found.both) + (n + m) / n / m)

    at = points(window.layout, min(window.low, RAW.low), max(window.high, RAW.high))
    exact = float(stats.energy_distance(values, REFERENCE))
    error = 2 * squared_area_error(found, np.diff(at))
    assert METRICS["energy"].function(window, RAW) ** 2 == pytest.approx(exact**2, abs=error)
    if name != "few":
        assert METRICS["energy"].function(window, RAW) == pytest.approx(exact, rel=0.05, abs=0.03)

    both = np.sort(np.concatenate([values, REFERENCE]))  # Pettitt's computing formula, of the single values
    below = np.searchsorted(np.sort(values), both[:-1], side="right") * (n + m) - n * np.arange(1, n + m)
    raw = float(np.sum(below.astype(float) ** 2 / (np.arange(1, n + m) * np.arange(n + m - 1, 0, -1)))) / (n * m)
    binned = METRICS["anderson_darling"].function(window, RAW) * n * m / (n + m)
    assert binned == pytest.approx(raw, rel=0.05, abs=0.3)


def p_value(name: str, window: ColumnCounts, reference: ColumnCounts) -> float:
    how = METRICS[name].p_value
    assert how is not None
    return how(window, reference)


@pytest.mark.parametrize("name", ["same", "shifted", "few"])
def test_p_values_agree_with_scipys(name: str) -> None:
    values = WINDOWS[name]
    window = numeric(values, EDGES)
    expected = stats.cramervonmises_2samp(values, REFERENCE, method="asymptotic").pvalue
    if expected > 1e-6:
        assert p_value("cramer_von_mises", window, RAW) == pytest.approx(expected, rel=0.12, abs=0.01)
    expected = stats.ttest_ind(values, REFERENCE).pvalue
    assert p_value("mean_shift", window, RAW) == pytest.approx(expected, rel=0.15, abs=1e-12)


@pytest.mark.parametrize("shares", [([0.99, 0.01], [0.96, 0.04]), ([0.1, 0.2, 0.1, 0.6], [0.2, 0.1, 0.1, 0.6])])
def test_energy_of_whole_numbers_is_exact(shares: tuple[list[float], list[float]]) -> None:
    """As scipy has it of the raw values; and a flag's law is chi-square's with 1 degree of freedom, as of 2 groups."""
    usual, now = (np.repeat(np.arange(len(s)) * 1.0, np.round(np.array(s) * n).astype(int))
                  for s, n in zip(shares, (20_000, 2_000), strict=True))  # fmt: skip
    edges = learnt(usual).edges
    window, reference = numeric(now, edges), numeric(usual, edges)
    value, end = METRICS["energy"].function(window, reference), METRICS["energy"].noise
    assert value == pytest.approx(float(stats.energy_distance(now, usual)), rel=1e-12)
    assert end is not None
    if len(shares[0]) == 2:
        square = 2 * 0.01 * 0.99 * (1 / 2_000 + 1 / 20_000) * stats.chi2.isf(0.001, 1)
        assert end(reference, 2_000, 0.001)[1] == pytest.approx(math.sqrt(square), rel=1e-9)
        assert p_value("energy", window, reference) == pytest.approx(
            p_value("anderson_darling", window, reference), rel=1e-6
        )


def test_groups_give_the_textbook_forms() -> None:
    window, reference = categorical([40, 30, 30]), categorical([400, 500, 600])
    p, q = np.array([0.4, 0.3, 0.3]), np.array([4, 5, 6]) / 15
    values = {name: metric.function(window, reference) for name, metric in METRICS.items() if name in EXPECTED}
    expected = {name: form(p, q) for name, form in EXPECTED.items()}
    assert values == pytest.approx(expected, rel=1e-9)
    test = stats.chi2_contingency([[40, 30, 30], [400, 500, 600]], correction=False, lambda_="log-likelihood")
    assert METRICS["g_test"].function(window, reference) == pytest.approx(math.sqrt(test.statistic / 1600), rel=1e-9)
    williams = 1 + (1600 / 100 + 1600 / 1500 - 1) * (1600 / 440 + 1600 / 530 + 1600 / 630 - 1) / (6 * 1600 * 2)
    corrected = stats.chi2.sf(test.statistic / williams, test.dof)
    assert p_value("g_test", window, reference) == pytest.approx(corrected, rel=1e-9)
    big = [categorical([10_000_000 * c for c in side]) for side in ([4, 3, 3], [4, 5, 6])]
    entropy = stats.entropy(p, q)
    assert METRICS["kullback_leibler"].function(*big) == pytest.approx(entropy, rel=1e-6)  # the prior no longer shows


EXPECTED: dict[str, Callable[[Any, Any], float]] = {
    "hellinger": lambda p, q: math.sqrt(1 - float(np.sum(np.sqrt(p * q)))),
    "total_variation": lambda p, q: float(np.sum(np.abs(p - q))) / 2,
    "l_infinity": lambda p, q: float(np.max(np.abs(p - q))),
}


def test_bias_corrected_v_has_no_bias() -> None:
    """Without change the mean of V^2 over its expectation is far below 1; V itself grows as the rows get fewer."""
    rng = np.random.default_rng(1)
    pairs = [
        (categorical(rng.multinomial(n, [0.1] * 10).tolist()), categorical(rng.multinomial(3_000, [0.1] * 10).tolist()))
        for n in [80] * 200
    ]
    plain = np.mean([METRICS["chi_square"].function(*pair) ** 2 for pair in pairs])
    corrected = np.median([METRICS["cramers_v"].function(*pair) ** 2 for pair in pairs])
    assert plain == pytest.approx(9 / 3_080, rel=0.15)  # (groups - 1) / rows, by chance alone
    assert corrected < plain / 10


@pytest.mark.parametrize("name", NEAR)
def test_shifts_agree_with_the_raw_values(name: str) -> None:
    values = WINDOWS[name]
    window = numeric(values, EDGES)
    assert METRICS["mean_shift"].function(window, RAW) == pytest.approx(values.mean() - REFERENCE.mean(), abs=1e-12)
    for metric, level in (("median_shift", 0.5), ("q05_shift", 0.05), ("q95_shift", 0.95)):
        exact = np.quantile(values, level) - np.quantile(REFERENCE, level)
        error = width_at(window, level) + width_at(RAW, level)
        rank = 1.5 * np.max(np.diff(np.sort(values)[2:-2])) if name == "few" else 0.0  # quantiles of few values
        assert METRICS[metric].function(window, RAW) == pytest.approx(exact, abs=error + rank)
    for column, raw in ((window, values), (RAW, REFERENCE)):
        ends = np.clip(points(column.layout, column.low, column.high), column.low, column.high)
        error = math.sqrt(float(np.sum(column.counts / column.rows * np.diff(ends) ** 2)))
        assert spread(column).deviation == pytest.approx(raw.std(), abs=error)
    assert spread(RAW).kurtosis == pytest.approx(stats.kurtosis(REFERENCE, fisher=False), rel=0.1)
    assert METRICS["std_ratio"].function(window, RAW) == pytest.approx(values.std() / REFERENCE.std(), rel=0.1)


def test_quantile_is_within_its_bin() -> None:
    for level in (0.0, 0.01, 0.3, 0.5, 0.77, 0.999, 1.0):
        assert quantile(RAW, level) == pytest.approx(np.quantile(REFERENCE, level), abs=width_at(RAW, level) + 1e-12)


def test_far_away_is_still_seen_and_groups_stay_few() -> None:
    far = numeric(WINDOWS["far away"], EDGES)
    assert METRICS["cramer_von_mises"].function(far, RAW) == pytest.approx(1 / 3, abs=1e-4)
    assert METRICS["median_shift"].function(far, RAW) > 1e3
    assert len(grouped(far, RAW)[0]) <= 12


@pytest.mark.parametrize("weights", [1 / (np.pi * np.arange(1, 400)) ** 2, 1 / (np.arange(1, 400) * np.arange(2, 401))])
def test_sums_of_weighted_chi_squares(weights: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    """Against simulation at 0.05 and 0.001, and against the exact far tail (Zolotarev 1961, Theory Probab. Appl. 6)."""
    sums = Sums(float(weights.sum()), float((weights**2).sum()), float((weights**3).sum()))
    rng = np.random.default_rng(4)
    draws = rng.chisquare(1, (100_000, 20)) @ weights[:20] + weights[20:].sum()
    for p in (0.05, 0.001):
        assert np.mean(draws > form_quantile(sums, p)) == pytest.approx(p, rel=0.05 + 3 / math.sqrt(p * len(draws)))
    constant = float(np.prod(1 - weights[1:] / weights[0])) ** -0.5
    x = form_quantile(sums, 1e-6)
    exact = constant * float(stats.chi2.sf(x / weights[0], 1))
    assert 0.5 <= tail(sums, x) / exact <= 1.05
