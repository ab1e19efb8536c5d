"""P-values of columns without change: how often they are low, on values that layouts learnt from them hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from detectors import METRICS
from detectors.drift.moments import spread
from detectors.drift.quadratic_forms import Sums, quantile
from detectors.learning import numeric as learnt
from tests.detectors.build import categorical, numeric

RNG = np.random.default_rng(14)
Draw = Callable[[int], Any]
STARS = [0.05, 0.05, 0.1, 0.2, 0.6]

COLUMNS: dict[str, Draw] = {
    "normal": lambda n: RNG.normal(size=n),
    "flag": lambda n: (RNG.random(n) < 0.5) * 1.0,
    "rarely 0": lambda n: (RNG.random(n) < 0.99) * 1.0,
    "stars": lambda n: RNG.choice([1.0, 2.0, 3.0, 4.0, 5.0], n, p=STARS),
    "two values": lambda n: np.where(RNG.random(n) < 0.9, 0.9, 0.1),
    "zeros": lambda n: np.where(RNG.random(n) < 0.8, 0.0, RNG.exponential(1, n)),
    "log-normal": lambda n: RNG.lognormal(0, 2, n),
}


def low(name: str, draw: Draw, rows: tuple[int, int], alpha: float, repeats: int = 400) -> float:
    """Share of p-values at or below alpha, each of a reference and a window of its own."""
    p_value, found = METRICS[name].p_value, 0
    assert p_value is not None
    for _ in range(repeats):
        reference, window = draw(rows[0]), draw(rows[1])
        edges = learnt(reference).edges
        found += p_value(numeric(window, edges), numeric(reference, edges)) <= alpha
    return found / repeats


def most(alpha: float, repeats: int = 400) -> float:
    """Four standard errors of so many repeats above."""
    return alpha + 4 * math.sqrt(alpha * (1 - alpha) / repeats)


@pytest.fixture(autouse=True)
def own_numbers() -> None:
    """Each test draws the same numbers whichever others run."""
    RNG.bit_generator.state = np.random.default_rng(14).bit_generator.state


@pytest.mark.parametrize("column", [c for c in COLUMNS if c != "two values"])  # read from bins: too narrow
@pytest.mark.parametrize("rows", [(5_000, 500), (2_000, 50)])
def test_mean_shifts_are_as_rare_as_said(column: str, rows: tuple[int, int]) -> None:
    assert low("mean_shift", COLUMNS[column], rows, 0.05) <= most(0.05)


def rare_flags(name: str, rate: float, rows: tuple[int, int], alpha: float) -> float:
    """Probability of a p-value of at most alpha, all counts of both sides enumerated but 1e-8 of them."""
    p_value, found = METRICS[name].p_value, 0.0
    assert p_value is not None
    sides = []
    for n in rows:
        law = stats.binom(n, rate)
        counts = range(int(law.ppf(5e-9)), int(law.isf(5e-9)) + 1)
        sides.append([(numeric(np.repeat([0.0, 1.0], [n - k, k]), [0.0, 1.0]), float(law.pmf(k))) for k in counts])
    for reference, a in sides[0]:
        found += a * sum(b for window, b in sides[1] if p_value(window, reference) <= alpha)
    return found


@pytest.mark.parametrize("name", ["mean_shift", "anderson_darling", "energy"])
@pytest.mark.parametrize(("rate", "rows"), [(0.002, (2_000, 50)), (0.01, (2_000, 50)), (0.001, (5_000, 500))])
def test_rare_flags_are_as_rare_as_said(name: str, rate: float, rows: tuple[int, int]) -> None:
    """Without the third and fourth cumulant by factors of up to 26 and 124."""
    for alpha in (0.001, 0.0001):
        assert rare_flags(name, rate, rows, alpha) <= alpha


@pytest.mark.parametrize("column", ["normal", "flag", "two values", "zeros"])
def test_ties_count_in_anderson_darlings(column: str) -> None:
    name, rows = "anderson_darling", (2_000, 200)
    assert low(name, COLUMNS[column], rows, 0.05) <= most(0.05)
    assert low(name, COLUMNS[column], rows, 0.01) <= most(0.01)


def test_far_out_values_are_as_rare_as_said_in_energy() -> None:
    """Pareto's law of index 1.5, which has no variance: the limit alone has 0.008 of its p-values below 0.001."""
    p_value, found, repeats = METRICS["energy"].p_value, 0, 2_000
    assert p_value is not None
    edges = learnt(RNG.pareto(1.5, 2_000)).edges
    references = [numeric(RNG.pareto(1.5, 2_000), edges) for _ in range(40)]
    for i in range(repeats):
        found += p_value(numeric(RNG.pareto(1.5, 50), edges), references[i % 40]) <= 0.001
    assert found / repeats <= most(0.001, repeats)


def test_anderson_darlings_laws() -> None:
    """Without ties the sums of 1 / j (j + 1), their squares and cubes; of one edge chi-square's."""
    evenly = METRICS["anderson_darling"].noise
    assert evenly is not None
    weights = 1 / (np.arange(1.0, 2_000) * np.arange(2.0, 2_001))
    limit = quantile(Sums(1.0, float((weights**2).sum()), float((weights**3).sum())), 0.01)
    many = numeric(np.tile(np.arange(0.5, 255), 10), np.arange(1.0, 255))
    assert evenly(many, 1e12, 0.01)[1] * 2_550 == pytest.approx(limit, rel=0.01)
    flag = numeric([0.0, 1.0, 1.0, 1.0], [0.5])
    assert evenly(flag, 1e12, 0.01)[1] * 4 == pytest.approx(stats.chi2.isf(0.01, 1), rel=1e-9)


@pytest.mark.parametrize("name", ["chi_square", "g_test", "cramers_v"])
def test_groups_are_not_chosen_by_one_side(name: str) -> None:
    """Deciles of 2,000 rows for a window of 50, and 60 and 1,000 equal categories, 100 known."""
    assert low(name, COLUMNS["normal"], (2_000, 50), 0.05) <= most(0.05)
    p_value, found = METRICS[name].p_value, [0, 0]
    assert p_value is not None
    for i, (categories, known, rows) in enumerate([(60, 60, (5_000, 500)), (1_000, 100, (5_000, 2_000))]):
        for _ in range(400):
            reference, window = (RNG.multinomial(n, [1 / categories] * categories) for n in rows)
            sides = [categorical(c[:known].tolist(), int(c[known:].sum())) for c in (window, reference)]
            found[i] += p_value(*sides) <= 0.05
    assert max(found) / 400 <= most(0.05)


def test_g_of_few_rows_a_group_is_as_rare_as_said() -> None:
    """20 equal categories of 5 or 6 rows: G without Williams' q has 0.070 of its p-values below 0.05, with it 0.053."""
    p_value, repeats = METRICS["g_test"].p_value, 8_000
    assert p_value is not None
    references, windows = (RNG.multinomial(n, [0.05] * 20, repeats).tolist() for n in (100_000, 110))
    found = sum(p_value(categorical(w), categorical(r)) <= 0.05 for w, r in zip(windows, references, strict=True))
    assert found / repeats == pytest.approx(0.053, abs=4 * math.sqrt(0.05 * 0.95 / repeats))


@pytest.mark.parametrize("column", ["flag", "rarely 0", "stars"])
def test_the_deviation_of_whole_numbers_is_exact(column: str) -> None:
    values: Any = COLUMNS[column](3_000)
    found = spread(numeric(values, learnt(values).edges))
    assert found.deviation == pytest.approx(values.std(), rel=1e-12)
    assert found.skewness == pytest.approx(((values - values.mean()) ** 3).mean() / values.std() ** 3, rel=1e-9)
    assert found.kurtosis == pytest.approx(((values - values.mean()) ** 4).mean() / values.var() ** 2, rel=1e-9)


@pytest.mark.parametrize("size", [1e-300, 1e154, 1e200, 2e307])
def test_the_t_test_does_not_hang_on_the_unit(size: float) -> None:
    values: Any = np.array([-1.5, -0.2, 0.1, 0.4, 1.2, 1.7])
    p_value = METRICS["mean_shift"].p_value
    assert p_value is not None
    plain, far = ([numeric(x * s, (values - 0.05) * s) for x in (values[1:], values)] for s in (1.0, size))
    assert p_value(*far) == pytest.approx(p_value(*plain), rel=1e-9)


def test_a_range_beyond_the_doubles_has_a_deviation() -> None:
    """Two even bins are one even range."""
    assert spread(numeric([-1.7e308, 1.7e308], [0.0])).deviation == pytest.approx(1.7e308 / math.sqrt(3))


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("total_variation", [0.999, 0.001]),
        ("kullback_leibler", [0.5, 0.4999, 0.0001]),
        ("psi", [0.5, 0.4999, 0.0001]),
    ],
)
def test_noise_with_a_rare_category_is_left_as_rarely_as_said(name: str, share: list[float]) -> None:
    """Its share is no normal variable, and often nothing was seen of it: 2.9 to 3.3 times as often as said before."""
    repeats, metric = 3000, METRICS[name]
    assert metric.noise is not None
    left = 0
    for _ in range(repeats // 20):
        reference = categorical(RNG.multinomial(4000, share).tolist())
        high = metric.noise(reference, 400, 0.01)[1]
        windows = RNG.multinomial(400, share, 20)
        left += sum(metric.function(categorical(counts.tolist()), reference) > high for counts in windows)
    assert left / repeats <= 0.015
