"""Thresholds from the reference's windows: the budget holds in simulation, and they converge to the right quantile."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from detectors import METRICS, Bounds, baseline, calibrate
from detectors.baselines import rests, together
from detectors.calibration import effective
from tests.detectors.build import binary, categorical, nothing, numeric, regression

Draw = Callable[[np.random.Generator, int], Any]
POSITIVE, SHARE, REAL = (0.0, math.inf), (0.0, 1.0), (-math.inf, math.inf)

# name: (draw, limits, how many times the budget is allowed at 20, 50 and 1,000 windows); see calibration's docstring
QUIET: dict[str, tuple[Draw, tuple[float, float], tuple[float, float, float]]] = {
    "normal": (lambda g, n: g.normal(3, 2, n), REAL, (1, 1, 1)),
    "distance": (lambda g, n: np.sqrt(g.chisquare(9, n)) / 60, SHARE, (1, 1, 1)),
    "rate": (lambda g, n: g.binomial(1_000, 0.06, n) / 1_000, SHARE, (1, 1, 1)),
    "loss": (lambda g, n: g.gamma(40, 0.01, n), POSITIVE, (1, 1, 1)),
    "psi": (lambda g, n: g.chisquare(9, n) / 1_000, POSITIVE, (2, 1.5, 1.2)),
    "exponential": (lambda g, n: g.exponential(1, n), POSITIVE, (4, 3, 2)),
    "lognormal": (lambda g, n: np.exp(0.3 * g.normal(0, 1, n)), POSITIVE, (4, 3, 2)),
    "season": (lambda g, n: 0.5 + 0.2 * np.sin(g.uniform(0, 6.3, n)) + g.normal(0, 0.01, n), SHARE, (1, 1, 1)),
}


@pytest.mark.parametrize("name", QUIET)
@pytest.mark.parametrize("between", [100, 2_500])
def test_false_crossings_stay_within_the_budget(name: str, between: int) -> None:
    draw, limits, allowed = QUIET[name]
    rng = np.random.default_rng(17)
    many = np.sort(draw(rng, 400_000))
    for windows, times in zip((20, 50, 1_000), allowed, strict=True):
        repeats = 200 if windows < 1_000 else 30
        crossed = 0.0
        for _ in range(repeats):
            bound = calibrate(draw(rng, windows), worse="above", windows_between_false_alarms=between, limits=limits)
            assert bound.above is not None
            crossed += 1 - np.searchsorted(many, bound.above, side="right") / len(many)
        assert crossed / repeats <= times / between


@pytest.mark.parametrize("name", QUIET)
def test_many_windows_converge_to_the_quantile(name: str) -> None:
    draw, limits, _ = QUIET[name]
    rng = np.random.default_rng(23)
    expected = float(np.quantile(draw(rng, 1_000_000), 0.99))
    got = calibrate(draw(rng, 200_000), worse="above", windows_between_false_alarms=100, limits=limits).above
    assert got == pytest.approx(expected, rel=0.03)


def test_below_is_the_mirror_of_above() -> None:
    values = np.random.default_rng(1).gamma(9, 0.02, 60)
    above = calibrate(values, worse="above", windows_between_false_alarms=300, limits=SHARE).above
    below = calibrate(1 - values, worse="below", windows_between_false_alarms=300, limits=SHARE).below
    assert above is not None
    assert below == pytest.approx(1 - above, rel=1e-12)


def test_never_inside_what_was_seen_nor_inside_the_floor() -> None:
    values = [0.01] * 39 + [0.30]  # one bad week
    bound = calibrate(values, worse="above", windows_between_false_alarms=1_000, limits=SHARE)
    assert bound.above is not None
    assert bound.above > 0.30
    assert calibrate(values, worse="above", windows_between_false_alarms=1_000, floor=0.9, limits=SHARE).above == 0.9
    both = calibrate(np.linspace(-1, 1, 50), worse="both", windows_between_false_alarms=50, floor=(-9.0, 9.0))
    assert (both.below, both.above) == (-9.0, 9.0)


def test_an_outage_crosses_unless_there_were_some_before() -> None:
    """Volume has a bound above 0, however much it varied, as long as no window of the reference was empty."""
    rng = np.random.default_rng(2)
    varied = np.exp(rng.normal(0, 0.5, 40))
    always = calibrate(varied, worse="both", windows_between_false_alarms=2_500, limits=POSITIVE)
    assert always.below is not None
    assert 0 < always.below < varied.min()
    nightly = calibrate([0.0, 2.0] * 20, worse="both", windows_between_false_alarms=2_500, limits=POSITIVE)
    assert nightly.below == 0.0
    assert "cannot be crossed" in nightly.reason


@pytest.mark.parametrize(
    ("values", "floor", "above"),
    [
        ([], None, None),  # nothing known: no threshold, rather than an invented one
        ([0.1, 0.2], 0.3, 0.3),  # two windows have no spread to speak of
        ([math.nan, math.nan, math.nan, 0.1], 0.3, 0.3),
        ([0.2] * 10, None, 0.2),  # never moved
    ],
)
def test_too_little_to_learn_from(values: list[float], floor: float | None, above: float | None) -> None:
    bounds = calibrate(values, worse="above", windows_between_false_alarms=100, floor=floor, limits=SHARE)
    assert bounds.above == pytest.approx(above)
    assert bounds.below is None
    assert ("too few" in bounds.reason) == (len(values) != 10)


def test_budget_must_be_one() -> None:
    with pytest.raises(ValueError, match="budget"):
        calibrate([1.0], worse="above", windows_between_false_alarms=0)


def test_a_season_is_worth_fewer_windows() -> None:
    rng = np.random.default_rng(4)
    assert effective(rng.normal(0, 1, 200)) > 150
    assert effective(np.sin(np.arange(52) / 52 * 2 * math.pi)) < 10
    assert effective(np.ones(30)) == 30


REFERENCE = np.random.default_rng(0).normal(0, 1, 40 * 500)
EDGES = np.quantile(REFERENCE, np.linspace(0, 1, 200))
PARTS = [numeric(part, EDGES) for part in REFERENCE.reshape(40, 500)]


def test_a_small_window_gets_wider_bounds_and_a_large_one_no_narrower() -> None:
    base = baseline(METRICS["psi"], PARTS, windows_between_false_alarms=1_000)
    assert (base.rows, len(base.values)) == (500, 40)
    assert base.at(500) == base.at(10_000) == base.bounds
    above, small = base.bounds.above, base.at(50).above
    assert above is not None
    assert small is not None
    assert small > above + 9 * (1 / 50 - 1 / 500)  # at least what the mean of the noise grows by
    assert "widened" in base.at(50).reason
    rng = np.random.default_rng(8)
    values = [METRICS["psi"].function(numeric(rng.normal(0, 1, 50), EDGES), base.total) for _ in range(1_000)]
    assert np.mean(np.array(values) > small) <= 2 / 1_000


def test_a_metric_of_unknown_noise_widens_with_the_root_of_the_rows() -> None:
    rng = np.random.default_rng(5)
    windows = [binary(rng.integers(0, 2, 400), rng.uniform(0, 1, 400)) for _ in range(30)]
    unknown = dataclasses.replace(METRICS["log_loss"], noise=None)
    base = baseline(unknown, windows, windows_between_false_alarms=100)
    above, wider = base.bounds.above, base.at(100).above
    assert above is not None
    assert wider is not None
    centre = float(np.median(base.values))
    assert wider - centre == pytest.approx(2 * (above - centre), rel=1e-12)


def test_each_window_is_compared_with_the_rest() -> None:
    """With two windows, each against the other: symmetric. Against their sum the value would be about half."""
    values = baseline(METRICS["ks"], PARTS[:2], windows_between_false_alarms=100).values
    assert values[0] == values[1] == METRICS["ks"].function(PARTS[0], PARTS[1])


def test_the_rest_is_the_sum_of_the_others() -> None:
    for i, rest in enumerate(rests(PARTS[:5], together(PARTS[:5]))):
        others = together([*PARTS[:i], *PARTS[i + 1 : 5]])
        assert np.array_equal(rest.counts, others.counts)
        assert (rest.rows, rest.low, rest.high) == (others.rows, others.low, others.high)
        assert rest.sum == pytest.approx(others.sum, abs=1e-9)


def test_every_kind_of_window_has_a_baseline() -> None:
    rng = np.random.default_rng(6)
    some: dict[str, list[Any]] = {
        "unseen_rate": [categorical(rng.multinomial(200, [0.7, 0.3]).tolist()) for _ in range(20)],
        "mae": [regression(rng.normal(0, 1, 100), np.zeros(100)) for _ in range(20)],
        "bias": [regression(rng.normal(0, 1, 100), np.zeros(100)) for _ in range(20)],
        "row_volume": [1000.0 + i for i in range(20)],
    }
    for name, windows in some.items():
        base = baseline(METRICS[name], windows, windows_between_false_alarms=1_000, share=0.1)
        bounds = base.at(50)
        assert isinstance(bounds, Bounds)
        assert (bounds.above is not None, bounds.below is not None) == (True, METRICS[name].worse == "both")
    volume = baseline(METRICS["row_volume"], some["row_volume"], windows_between_false_alarms=1_000).bounds
    assert volume.above is not None
    assert volume.above >= 1 + stats.norm.isf(0.0005) / math.sqrt(1010)  # Poisson, though these were all alike


def test_windows_with_too_few_rows_are_left_out() -> None:
    base = baseline(
        METRICS["psi"], [*PARTS[:10], numeric([0.0] * 5, EDGES)], windows_between_false_alarms=100, min_rows=100
    )
    assert len(base.values) == 10
    none = baseline(METRICS["psi"], PARTS[:10], windows_between_false_alarms=100, min_rows=1_000)
    assert (none.values, none.bounds.above) == ((), None)
    nobody = baseline(METRICS["psi"], [], windows_between_false_alarms=100)
    assert (nobody.total, nobody.at(50).above) == (None, None)
    assert baseline(METRICS["mae"], [nothing()], windows_between_false_alarms=100).bounds.above is None


def test_thresholds_are_repeatable() -> None:
    first, again = (baseline(METRICS["psi"], PARTS, windows_between_false_alarms=1_000).bounds for _ in range(2))
    assert first == again
