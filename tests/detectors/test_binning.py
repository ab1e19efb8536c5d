"""What every metric of binned counts states of its binning error, on random samples in random bins, against raw values.

A row of ERRORS gives the value of the raw samples and how far below and above it the binned one may lie. Metrics of
groups have no value without groups: theirs is that of the single bins, which they never exceed (of the greatest
difference of a group: half the sum of all). Those of sums are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import stats

from detectors import METRICS
from detectors.counts import ColumnCounts
from detectors.drift.functions import gap, points, squared_area_error
from detectors.drift.moments import points_of, width_at
from detectors.layouts import SCORE_BINS
from tests.detectors.build import binary, numeric

SETS = 12


class Sample(NamedTuple):
    x: Any
    y: Any
    window: ColumnCounts
    reference: ColumnCounts

    @property
    def shares(self) -> tuple[Any, Any]:
        return self.window.counts / len(self.x), self.reference.counts / len(self.y)

    @property
    def widths(self) -> Any:
        low, high = min(self.window.low, self.reference.low), max(self.window.high, self.reference.high)
        return np.diff(points(self.window.layout, low, high))


def sample(seed: int) -> Sample:
    """Two samples of some law and size, in bins that may be few or many, and may lie beside the values."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(20, 400)), int(rng.integers(100, 2_000))
    draw: Callable[[float, int], Any] = [
        lambda shift, k: rng.normal(shift, 1, k),
        lambda shift, k: rng.gamma(1.5, 1 + shift, k),
        lambda shift, k: rng.standard_t(3, k) + shift,
        lambda shift, k: rng.uniform(-1, 1 + shift, k),
    ][seed % 4]
    x, y = draw(float(rng.choice([0.0, 0.3, 1.0])), n), draw(0.0, m)
    edges = np.unique(np.quantile(rng.choice(y, m // 2), rng.uniform(size=int(rng.integers(3, 80)))))
    return Sample(x, y, numeric(x, edges), numeric(y, edges))


def distributions(s: Sample) -> tuple[Any, Any, Any]:
    """Both distribution functions at all values."""
    both = np.sort(np.concatenate([s.x, s.y]))
    found = [np.searchsorted(np.sort(v), both, side="right") / len(v) for v in (s.x, s.y)]
    return found[0], found[1], both


Error = tuple[float, float, float]  # raw value; how much less, how much more the binned one may be


def ks(s: Sample) -> Error:
    return float(stats.ks_2samp(s.x, s.y).statistic), float(max(map(np.max, s.shares))), 0.0


def cramer_von_mises(s: Sample) -> Error:
    f, g, _ = distributions(s)
    found = gap(s.window, s.reference)
    assert found is not None
    error = squared_area_error(found, found.both) + (1 / len(s.x) + 1 / len(s.y)) / 6  # of the steps
    return float(np.mean((f - g) ** 2)), error, error


def energy(s: Sample) -> Error:
    found = gap(s.window, s.reference)
    assert found is not None
    square, error = float(stats.energy_distance(s.x, s.y)) ** 2, 2 * squared_area_error(found, s.widths)
    root = math.sqrt(square)
    return root, root - math.sqrt(max(0.0, square - error)), math.sqrt(square + error) - root


def wasserstein(s: Sample) -> Error:
    error = float(np.sum(s.widths * np.maximum(*s.shares)))
    return float(stats.wasserstein_distance(s.x, s.y)), error, error


def deviation_error(of: ColumnCounts) -> float:
    return math.sqrt(float(np.sum(of.counts / of.counts.sum() * np.diff(points_of(of)) ** 2)))


def wasserstein_normalised(s: Sample) -> Error:
    raw, error, _ = wasserstein(s)
    return over(raw, float(s.y.std()), error, deviation_error(s.reference))


def std_ratio(s: Sample) -> Error:
    ends = np.clip(points(s.window.layout, min(s.window.low, s.reference.low), max(s.window.high, s.reference.high)),
                   min(s.window.low, s.reference.low), max(s.window.high, s.reference.high))  # fmt: skip
    error = math.sqrt(float(np.sum(s.shares[0] * np.diff(ends) ** 2)))
    return over(float(s.x.std()), float(s.y.std()), error, deviation_error(s.reference))


def over(a: float, b: float, error_a: float, error_b: float) -> Error:
    """A quotient, both parts of which have an error."""
    most = (a + error_a) / (b - error_b) if b > error_b else math.inf
    return a / b, a / b - max(0.0, a - error_a) / (b + error_b), most - a / b


def shift(level: float) -> Callable[[Sample], Error]:
    def of(s: Sample) -> Error:
        raw = [float(np.quantile(v, level, method="inverted_cdf")) for v in (s.x, s.y)]
        error = width_at(s.window, level) + width_at(s.reference, level)
        return raw[0] - raw[1], error, error

    return of


def mean_shift(s: Sample) -> Error:
    return float(s.x.mean() - s.y.mean()), 1e-12, 1e-12


def out_of_range(s: Sample) -> Error:
    raw = float(np.mean((s.x < s.y.min()) | (s.x > s.y.max())))
    at = np.searchsorted(s.reference.layout.edges, [s.y.min(), s.y.max()], side="right")  # type: ignore[union-attr]
    return raw, float(s.shares[0][np.unique(at)].sum()), 0.0


def constant_share(s: Sample) -> Error:
    return 1 / len(s.x), 0.0, float(s.shares[0].max())


def divergence(form: Callable[[Any, Any], float]) -> Callable[[Sample], Error]:
    def of(s: Sample) -> Error:
        p, q = s.shares
        with np.errstate(divide="ignore", invalid="ignore"):
            raw = form(p[p + q > 0], q[p + q > 0])
        return raw, raw, 0.0

    return of


def pooled(form: Callable[[Any, Any], float]) -> Callable[[Sample], Error]:
    """Of the two-way table of counts."""

    def of(s: Sample) -> Error:
        some = s.window.counts + s.reference.counts > 0
        raw = form(s.window.counts[some], s.reference.counts[some])
        return raw, raw, 0.0

    return of


def effect(kind: str) -> Callable[[Any, Any], float]:
    def of(w: Any, r: Any) -> float:
        if len(w) < 2:
            return 0.0
        found = stats.chi2_contingency([w, r], correction=False, lambda_=kind).statistic
        return math.sqrt(float(found) / float(w.sum() + r.sum()))

    return of


ERRORS: dict[str, Callable[[Sample], Error]] = {
    "ks": ks,
    "cramer_von_mises": cramer_von_mises,
    "energy": energy,
    "wasserstein": wasserstein,
    "wasserstein_normalised": wasserstein_normalised,
    "mean_shift": mean_shift,
    "median_shift": shift(0.5),
    "q05_shift": shift(0.05),
    "q95_shift": shift(0.95),
    "std_ratio": std_ratio,
    "out_of_range": out_of_range,
    "constant_share": constant_share,
    "total_variation": divergence(lambda p, q: float(np.abs(p - q).sum()) / 2),
    "l_infinity": lambda s: (0.0, 0.0, float(np.abs(s.shares[0] - s.shares[1]).sum()) / 2),
    "hellinger": divergence(lambda p, q: math.sqrt(max(0.0, 1 - float(np.sqrt(p * q).sum())))),
    "jensen_shannon": divergence(
        lambda p, q: float(np.sqrt((stats.entropy(p, (p + q) / 2, 2) + stats.entropy(q, (p + q) / 2, 2)) / 2))
    ),
    "chi_square": pooled(effect("pearson")),
    "g_test": pooled(effect("log-likelihood")),
}
# Sums without bins, or (scan) with a file of tests of its own; the prior's weight (psi, kullback_leibler) and what is
# taken off (cramers_v) hang on the number of groups, and Anderson-Darling is only said to be near.
ELSEWHERE = {"scan", "psi", "kullback_leibler", "cramers_v", "anderson_darling"} | {
    "missing_rate", "invalid_rate", "unseen_rate", "type_error_rate", "new_categories", "vanished_categories",
}  # fmt: skip


def test_every_metric_of_columns_is_here() -> None:
    columns = {m.name for m in METRICS.values() if m.needs in ("column", "scan") and not m.only}
    assert columns == ERRORS.keys() | ELSEWHERE


@pytest.mark.parametrize("name", ERRORS)
def test_binned_values_are_as_near_as_stated(name: str) -> None:
    for seed in range(SETS):
        s = sample(seed)
        raw, less, more = ERRORS[name](s)
        found = METRICS[name].function(s.window, s.reference)
        assert raw - less - 1e-9 <= found <= raw + more + 1e-9, (seed, found, raw, less, more)


def test_tails_of_wasserstein_do_not_double_the_error() -> None:
    """Of all kinds in few bins: the inner bins' error does not count again in what the means leave for the tails."""
    rng = np.random.default_rng(1)
    pairs: list[tuple[Any, Any, Any]] = [
        ([0.0, 1.0], [0.999, -0.001], [0.0, 1.0]),  # 0.001; was 0.999
        ([0.0, 1.0], [0.99, -0.99, 0.99, -0.99], [0.0, 1.0]),
    ]
    for _ in range(400):
        edges = np.unique(np.round(rng.normal(0, 2, int(rng.integers(1, 8))), int(rng.integers(0, 3))))
        x, y = (
            [rng.normal(0, 2, n), rng.integers(-3, 4, n) * 1.0, rng.choice(edges, n), rng.standard_cauchy(n)][k]
            for n, k in zip(rng.integers(1, 40, 2).tolist(), rng.integers(0, 4, 2).tolist(), strict=True)
        )
        pairs.append((x, y, edges))
    for x, y, edges in pairs:
        s = Sample(np.array(x), np.array(y), numeric(x, edges), numeric(y, edges))
        raw, error, _ = wasserstein(s)
        found = METRICS["wasserstein"].function(s.window, s.reference)
        assert found == pytest.approx(raw, abs=error + 1e-9 * max(1.0, raw)), (x, y, edges)


@pytest.mark.parametrize("name", ["roc_auc", "ece", "calibration_bias"])
def test_scores_are_known_to_a_hundredth(name: str) -> None:
    """ROC AUC: half the sum of p_k q_k; the mean of scores: half a hundredth."""
    for seed in range(SETS):
        rng = np.random.default_rng(seed)
        a, b = rng.uniform(0.5, 4, 2).tolist()
        scores = rng.beta(a, b, int(rng.integers(30, 900)))
        labels = (rng.uniform(size=len(scores)) < scores ** rng.uniform(0.5, 2)).astype(int)
        labels[:2] = 0, 1
        found = METRICS[name].function(binary(labels, scores))
        bins = np.minimum((scores * SCORE_BINS).astype(int), SCORE_BINS - 1)
        p, q = (np.bincount(bins[labels == k], minlength=SCORE_BINS) / (labels == k).sum() for k in (1, 0))
        if name == "roc_auc":
            u = stats.mannwhitneyu(scores[labels == 1], scores[labels == 0]).statistic
            raw, error = float(u) / float((labels == 1).sum() * (labels == 0).sum()), float(p @ q) / 2
        elif name == "calibration_bias":
            raw, error = float(np.mean(scores - labels)), 0.005
        else:
            tenth = bins // (SCORE_BINS // 10)
            raw = sum(abs(float(np.sum((labels - scores)[tenth == t]))) for t in range(10)) / len(scores)
            error = 0.005
        assert abs(found - raw) <= error + 1e-12, (seed, found, raw)
