"""Drift metrics against closed forms, scipy and, where they are binned, their own error bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from detectors.drift.chi_square import chi_square, chi_square_p_value
from detectors.drift.groups import grouped
from detectors.drift.jensen_shannon import jensen_shannon
from detectors.drift.ks import ks, ks_p_value
from detectors.drift.psi import psi
from detectors.drift.wasserstein import wasserstein
from detectors.drift.wasserstein_normalised import wasserstein_normalised
from tests.detectors.build import categorical, numeric

RNG = np.random.default_rng(20260101)
REFERENCE = RNG.gamma(3.0, 2.0, 40_000)
INNER = np.quantile(REFERENCE, np.linspace(0, 1, 231)[1:-1])
EDGES = np.concatenate(  # quantiles with geometric tails, as layouts are learnt
    [INNER[0] - 0.05 * 2.0 ** np.arange(12)[::-1], INNER, INNER[-1] + 0.05 * 2.0 ** np.arange(12)]
)
WINDOWS = {
    "same": RNG.gamma(3.0, 2.0, 3_000),
    "shifted": RNG.gamma(3.0, 2.0, 3_000) + 0.7,
    "wider": RNG.gamma(1.5, 4.0, 3_000),
    "far away": RNG.gamma(3.0, 2.0, 500) + 1e4,
    "few": RNG.gamma(3.0, 2.0, 30),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_numbers_agree_with_scipy_on_the_raw_values(name: str) -> None:
    window, reference = numeric(WINDOWS[name], EDGES), numeric(REFERENCE, EDGES)
    fullest = float(max((window.counts / window.rows).max(), (reference.counts / reference.rows).max()))
    exact = stats.ks_2samp(WINDOWS[name], REFERENCE)
    assert exact.statistic - fullest <= ks(window, reference) <= exact.statistic + 1e-12

    points = np.concatenate([[min(window.low, reference.low)], EDGES, [max(window.high, reference.high)]])
    shares = np.maximum(window.counts / window.rows, reference.counts / reference.rows)
    error = float(np.sum(shares * np.diff(points)))
    distance = stats.wasserstein_distance(WINDOWS[name], REFERENCE)
    assert wasserstein(window, reference) == pytest.approx(distance, abs=error)
    if name != "few":
        assert wasserstein(window, reference) == pytest.approx(distance, rel=0.01, abs=0.002)
        in_deviations = distance / REFERENCE.std()
        assert wasserstein_normalised(window, reference) == pytest.approx(in_deviations, rel=0.05, abs=0.01)


@pytest.mark.parametrize("name", WINDOWS)
def test_groups_agree_with_scipy(name: str) -> None:
    window, reference = numeric(WINDOWS[name], EDGES), numeric(REFERENCE, EDGES)
    w, r = grouped(window, reference)
    assert w.sum() == window.rows
    assert r.sum() == reference.rows
    assert jensen_shannon(window, reference) == pytest.approx(float(jensenshannon(w, r, base=2)), abs=1e-9)


def test_chi_square_is_the_two_sample_test() -> None:
    window, reference = categorical([40, 30, 30]), categorical([400, 500, 600])
    expected = stats.chi2_contingency([[40, 30, 30], [400, 500, 600]], correction=False)
    assert chi_square_p_value(window, reference) == pytest.approx(expected.pvalue, rel=1e-9)
    assert chi_square(window, reference) == pytest.approx(math.sqrt(expected.statistic / 1600), rel=1e-12)


def test_chi_square_puts_groups_with_few_rows_together() -> None:
    window, reference = categorical([50, 50, 0, 0], unknown=1), categorical([5_000, 5_000, 3, 2])
    expected = stats.chi2_contingency([[50, 51], [5_000, 5_005]], correction=False)
    assert chi_square_p_value(window, reference) == pytest.approx(expected.pvalue, rel=1e-9)
    assert chi_square_p_value(categorical([1]), categorical([3])) == 1.0


def test_ks_p_value_is_kolmogorovs() -> None:
    window, reference = numeric(WINDOWS["shifted"], EDGES), numeric(REFERENCE, EDGES)
    effective = 3_000 * 40_000 / 43_000
    expected = stats.kstwobign.sf(math.sqrt(effective) * ks(window, reference))
    assert ks_p_value(window, reference) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize(
    ("window", "reference", "expected"),
    [
        ([1, 1], [1, 1], 0.0),
        ([10**9, 3 * 10**9], [3 * 10**9, 10**9], math.log(3)),  # the prior no longer shows
        # (9 - 1)/10 ln 9 with one row more on each side, spread like both samples together: (9.5, 1.5) and (1.5, 9.5)
        ([9, 1], [1, 9], 8 / 11 * math.log(9.5 / 1.5) * 2),
        ([4, 0], [0, 4], 4 / 5 * math.log(9) * 2),  # (4.5, 0.5) and (0.5, 4.5): an empty group has a finite weight
    ],
)
def test_psi_closed_forms(window: list[int], reference: list[int], expected: float) -> None:
    assert psi(categorical(window), categorical(reference)) == pytest.approx(expected, rel=1e-8)


def test_wasserstein_closed_forms() -> None:
    fine = np.linspace(0, 10, 251)
    uniform = np.linspace(0, 10, 100_001)
    assert wasserstein(numeric(uniform + 25, fine), numeric(uniform, fine)) == pytest.approx(25, rel=1e-12)
    # uniform on [0, 10] against all in the middle: the mean distance to it, 2.5, although the means are equal
    assert wasserstein(numeric(np.full(100, 5.0), fine), numeric(uniform, fine)) == pytest.approx(2.5, abs=0.04)
    assert wasserstein(numeric([1.0, 3.0], ()), numeric([5.0], ())) == 3.0


def test_a_constant_column_has_no_deviation_to_normalise_by() -> None:
    edges = (3.0, math.nextafter(3.0, 4.0))
    assert math.isnan(wasserstein_normalised(numeric([4.0] * 10, edges), numeric([3.0] * 10, edges)))


def test_groups_are_few_and_keep_heaps_tails_and_new_categories_apart() -> None:
    reference = numeric(np.concatenate([np.zeros(5_000), REFERENCE[:5_000] + 1]), (0.0, 1e-300, *EDGES))
    window = numeric([-5.0, 0.0, 0.0, 1e9, np.median(REFERENCE)], (0.0, 1e-300, *EDGES))
    w, r = grouped(window, reference)
    assert len(w) <= 12
    assert (w[0], r[0]) == (1, 0)  # below everything that was seen
    assert (w[1], r[1]) == (2, 5_000)  # the heap
    assert (w[-1], r[-1]) == (1, 0)  # above everything
    many = categorical([1000 // (i + 1) for i in range(300)])
    w, r = grouped(categorical([1] * 300, unknown=7), many)
    assert len(w) <= 22
    assert (w[-1], r[-1]) == (7, 0)
    assert r[0] == 1000  # the most frequent category stands alone


def test_noise_does_not_grow_with_the_number_of_bins() -> None:
    """100 rows in 255 bins would have a PSI of 2.5 without any change; in groups it is 0.1."""
    values = [psi(numeric(RNG.gamma(3.0, 2.0, 100), EDGES), numeric(REFERENCE, EDGES)) for _ in range(100)]
    assert np.mean(values) < 0.15
