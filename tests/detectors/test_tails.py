"""Tails against closed forms, exact tests of scipy, and integrals over what the variance may be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import integrate, stats

from detectors.counts import Counts
from detectors.layouts import HEAD, Layout, NumericLayout
from detectors.scan import Scan, look, needed
from detectors.scan.scan import ALL
from detectors.tails import deviance_root, hotelling_tail, stretch, student_tail

Floats = NDArray[np.float64]

ENDLESS = 1e9  # degrees of freedom


@given(
    df=st.floats(0, 6).map(lambda x: 10.0**x),
    third=st.floats(-4, 4),
    ratio=st.floats(0.0, 12.0),
    extra=st.one_of(st.just(-0.05), st.floats(0.0, 20.0)),
    sign=st.sampled_from([-1.0, 1.0]),
)
def test_the_larger_deviation_is_the_less_likely(
    df: float, third: float, ratio: float, extra: float, sign: float
) -> None:
    z = sign * np.concatenate([[0.0], np.geomspace(0.05, 1e4, 300)])
    fourth = ratio * third**2 + extra
    p = student_tail(z, df, third, fourth)
    assert np.isfinite(p).all()
    assert p[0] == 1.0
    assert (p[1:] <= p[:-1] * (1 + 1e-9)).all()
    assert p[-1] < p[0] / 1e3
    assert (p >= student_tail(z, df) * (1 - 1e-9)).all()  # cumulants never make an alarm easier


@pytest.mark.parametrize("n", [25, 100, 1000])
def test_skewness_is_counted(n: int) -> None:
    """The mean of n exponentials has a gamma distribution: cumulants 2 / sqrt(n) and 6 / n."""
    for z in (2.0, 4.0, 6.0, 9.0, 15.0):
        exact = stats.gamma.sf(n + z * n**0.5, n)
        assert float(student_tail(np.array(z), ENDLESS, 2 / n**0.5, 6 / n)) / 2 == pytest.approx(exact, rel=0.08)


@pytest.mark.parametrize("df", [3, 8, 13, 30, 200])
@pytest.mark.parametrize("n", [25, 200])
def test_an_estimated_variance_is_counted_with_skewness(n: int, df: int) -> None:
    """The same over an error whose square has a chi-square distribution, from 1e-2 to 1e-8."""
    square = df * np.geomspace(1e-9, 40.0, 4001)
    for z in np.geomspace(2.0, 300.0, 12):
        p = float(student_tail(np.array(z), df, 2 / n**0.5, 6 / n))
        above = stats.gamma.sf(n + z * (square * n / df) ** 0.5, n) * stats.chi2.pdf(square, df)
        exact = float(integrate.trapezoid(above * square, np.log(square)))
        assert not 1e-8 < p < 1e-2 or 0.9 * exact < p / 2 < 1.6 * exact


def test_symmetric_heavy_tails_are_counted() -> None:
    """The mean of n Laplace variables, the difference of two gamma ones: cumulants 0 and 3 / n."""
    n = 25
    w = np.linspace(1e-3, 400, 400_001)
    for z in (3.0, 5.0, 7.0):
        # Laplace of variance 1 is (E - E') / sqrt(2): sums are differences of gamma(n) ones.
        exact = integrate.trapezoid(stats.gamma.pdf(w, n) * stats.gamma.sf(w + z * (2 * n) ** 0.5, n), w)
        for sign in (-1.0, 1.0):
            assert 1.0 < float(student_tail(np.array(sign * z), ENDLESS, 0.0, 3 / n)) / 2 / exact < 4.0


def test_nothing_is_told_as_impossible() -> None:
    for far in (1e3, 1e9):
        assert 0.0 < float(student_tail(np.array(far), ENDLESS)) < 1e-300
        assert 0.0 < float(hotelling_tail(np.array(far * far), 3, ENDLESS)) < 1e-300


def test_squares_of_skewed_means_are_counted() -> None:
    """Five gamma-like means of skewness 1/4 go beyond 1e-4 three times too often if they are taken for normal."""
    rng, shape = np.random.default_rng(0), 64
    means = (rng.standard_gamma(shape, size=(5, 1_000_000)) - shape) / shape**0.5
    t2, p = (means**2).sum(axis=0), 1e-4
    out = t2 / stretch(np.array([p]), 5, np.array([0.25]))
    assert float((hotelling_tail(t2, 5, ENDLESS) <= p).mean()) > 2.5 * p
    assert 0.5 * p < float((hotelling_tail(out, 5, ENDLESS) <= p).mean()) < 2 * p


def test_a_lasting_change_of_a_column_with_bursts_is_found() -> None:
    """One event in two is high, but for one pane in twenty, in which nearly all or nearly none are. From then on nearly
    all are: no bursts of the reference made windows like that."""
    layout = Layout(
        pane_ms=1000, features={"amount": NumericLayout(edges=(0.0, 1.0, 2.0))}, predictions={}, joint=False
    )
    at = layout.offsets["features", "amount"] + HEAD + 1
    rng = np.random.default_rng(1)
    panes, rows = 320, 50

    def counted(first: int, share: Floats) -> list[tuple[int, Counts]]:
        cells, none = np.array([at, at + 1], np.int32), np.zeros(1)
        counts = [np.array([rows - many, many]) for many in rng.binomial(rows, share).tolist()]
        return [
            ((first + i) * 1000, Counts(rows=rows, cells=cells, values=c, low=none, high=none))
            for i, c in enumerate(counts)
        ]

    slow = np.repeat(0.5 + 0.06 * rng.choice([-1.0, 1.0], panes // 40), 40)
    usual = np.where(rng.random(panes) < 0.05, rng.choice([0.05, 0.95], panes), slow)
    unit = Scan.calibrated(layout, {ALL: counted(0, usual)}, panes_between_false_alarms=100_000).units[ALL]
    vectors = unit.components.vectors([c for _, c in counted(panes, np.full(needed(unit), 0.97))])
    assert [f.component for f in look(unit, panes, vectors).findings] == ["amount: mean up"]


@pytest.mark.parametrize("a", [3, 6, 12])
def test_the_deviance_is_close_to_fishers_exact_test(a: int) -> None:
    n, b, m = 100, 60, 4000
    z = float(deviance_root(np.array(float(a)), np.array(float(n)), np.array(float(b)), np.array(float(m))))
    exact = stats.hypergeom.sf(a - 1, n + m, a + b, n)
    assert 0.8 < stats.norm.sf(z) / exact < 2.0
