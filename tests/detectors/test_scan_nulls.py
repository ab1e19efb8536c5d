"""Streams without a change that look odd to a scan: many columns, rare flags, bursts, bins and categories not seen."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from detectors.counts import Counts
from detectors.layouts import HEAD, Layout, NumericLayout
from detectors.learning import categorical
from detectors.scan import Result, Scan, look, needed
from detectors.scan.scan import ALL

Floats = NDArray[np.float64]

PANE = 50  # events
EDGES = tuple(stats.norm.ppf(np.arange(1, 50) / 50).tolist())


def pane(number: int, cells: NDArray[np.int64], rows: int, columns: int = 1) -> tuple[int, Counts]:
    """A pane of the cells of all its values."""
    at, counts = np.unique(cells, return_counts=True)
    none = np.zeros(columns)
    return number * 1000, Counts(rows=rows, cells=at.astype(np.int32), values=counts, low=none, high=none)


def findings(scan: Scan, later: list[tuple[int, Counts]], first: int) -> tuple[Result, ...]:
    """What looks at each of these panes find, of which the first has this number."""
    unit = scan.units[ALL]
    return look(unit, first, unit.components.vectors([c for _, c in later]), since=first).findings


def test_as_many_columns_as_panes_of_the_reference_are_seen_together() -> None:
    """Hotelling's T^2 in about as many dimensions as its covariance has degrees of freedom has no bound."""
    rng = np.random.default_rng(15)
    names = [f"c{i}" for i in range(40)]
    layout = Layout(pane_ms=1000, features={n: NumericLayout(edges=EDGES) for n in names}, predictions={}, joint=False)
    at = np.array([layout.offsets["features", n] for n in names]) + HEAD
    ways = np.resize([0.4, -0.4], len(names))

    def moved(count: int, first: int, shift: float) -> list[tuple[int, Counts]]:
        events = 0.6 * rng.normal(size=(count * PANE, 1)) + 0.8 * rng.normal(size=(count * PANE, len(names)))
        cells = at + np.searchsorted(EDGES, events + shift * ways, side="right")
        return [pane(first + i, some, PANE, len(names)) for i, some in enumerate(np.split(cells, count))]

    unit = Scan.calibrated(layout, {ALL: moved(48, 0, 0.0)}, panes_between_false_alarms=10_000).units[ALL]
    for shift, found in ((0.0, False), (1.0, True)):
        vectors = unit.components.vectors([c for _, c in moved(needed(unit), 48, shift)])
        seen = {r.subject: r.drift for r in look(unit, 48, vectors).results}
        assert seen["all columns"] == found


def test_what_comes_in_bursts_elsewhere_is_taken_to_come_in_bursts() -> None:
    """Far-out values come singly in two columns, where there are many, and 12 at a time in three; in one not at all."""
    rng = np.random.default_rng(16)
    names = [f"c{i}" for i in range(6)]
    layout = Layout(
        pane_ms=1000, features={n: NumericLayout(edges=(*EDGES, 50.0)) for n in names}, predictions={}, joint=False
    )
    at = np.array([layout.offsets["features", n] for n in names]) + HEAD
    reference = []
    for number in range(400):
        bins = np.searchsorted(EDGES, rng.normal(size=(PANE, len(names))), side="right")
        for column in (0, 1):
            bins[: rng.poisson(1.0), column] = len(EDGES) + 1
        if number % 40 == 7:
            bins[:12, 2 + number // 40 % 3] = len(EDGES) + 1
        reference.append(pane(number, at + bins, PANE, len(names)))
    unit = Scan.calibrated(layout, {ALL: reference}, panes_between_false_alarms=10_000).units[ALL]
    far = {c.columns[0]: unit.excess[i] for i, c in enumerate(unit.components.of) if c.words == "share far above"}
    assert far["c5"] > 0.5 * 12


def test_rare_flags_together_are_no_finding_and_shifts_beside_them_are() -> None:
    """20 columns of 0 and 1 in which 1 is rare: T^2 of their means, taken for normal, alarmed in 24 of 60 such streams.

    At most 400 / 20,000 are to be expected to alarm: 0.4 of 20, and more than 3 with a probability of 0.001.
    """
    features = {f"c{i}": NumericLayout(edges=(0.0, 1.0, 2.0)) for i in range(20)}
    features |= {f"x{i}": NumericLayout(edges=EDGES) for i in range(3)}
    layout = Layout(pane_ms=1000, features=features, predictions={}, joint=False)
    at = np.array([layout.offsets["features", n] for n in features]) + HEAD

    def stream(rng: np.random.Generator, count: int, first: int, shift: float = 0.0) -> list[tuple[int, Counts]]:
        flags = 1 + (rng.random((count * 25, 20)) < 0.001)
        bins = np.searchsorted(EDGES, rng.normal(size=(count * 25, 3)) + shift, side="right")
        some = np.split(at + np.concatenate([flags, bins], axis=1), count)
        return [pane(first + i, cells, 25, len(features)) for i, cells in enumerate(some)]

    alarms = 0
    for seed in range(20):
        rng = np.random.default_rng([17, seed])
        found = Scan.calibrated(layout, {ALL: stream(rng, 400, 0)}, panes_between_false_alarms=20_000)
        alarms += bool(findings(found, stream(rng, 400, 400), 400))
    assert alarms <= 3
    unit = found.units[ALL]
    moved = unit.components.vectors([c for _, c in stream(rng, 40, 400, 0.25)])
    assert "all columns" in {f.subject for f in look(unit, 400, moved).findings}


def test_bins_that_a_short_reference_happens_to_miss_are_no_finding() -> None:
    """500 rows in 220 bins learnt from others leave 23 of these empty, a tenth of all that comes.

    At most 120 / 20,000 are to be expected to alarm: 0.03 of 5.
    """
    layout = Layout(
        pane_ms=1000,
        features={"x": NumericLayout(edges=stats.norm.ppf(np.arange(1, 220) / 220).tolist())},
        predictions={},
        joint=False,
    )
    at = layout.offsets["features", "x"] + HEAD

    def normals(rng: np.random.Generator, count: int, first: int) -> list[tuple[int, Counts]]:
        some = np.split(at + rng.integers(0, 220, count * 5), count)
        return [pane(first + i, cells, 5) for i, cells in enumerate(some)]

    for seed in range(5):
        rng = np.random.default_rng([18, seed])
        found = Scan.calibrated(layout, {ALL: normals(rng, 100, 0)}, panes_between_false_alarms=20_000)
        assert findings(found, normals(rng, 120, 100), 100) == ()


@pytest.mark.parametrize("weights", [np.full(1000, 1.0), np.full(100, 1.0), np.r_[np.full(4, 0.25), np.full(90, 5e-5)]])
def test_many_categories_learnt_from_the_reference_itself_are_no_finding(weights: Floats) -> None:
    """1,000 equal ones, 100 equal ones of which 20 are tested singly, and 90 of which most come once or not at all.

    At most 200 / 20,000 are to be expected to alarm: 0.1 of 10, and 2 with a probability of 0.005.
    """
    alarms = 0
    for seed in range(10):
        rng = np.random.default_rng([19, seed])
        codes = rng.choice(len(weights), 600 * 25, p=weights / weights.sum())
        words, counts = np.unique(codes[: 400 * 25], return_counts=True)
        of = categorical({str(w): int(n) for w, n in zip(words, counts, strict=True)})
        layout = Layout(pane_ms=1000, features={"c": of}, predictions={}, joint=False)
        places = np.full(len(weights), of.bins)  # one of the hash buckets
        places[[int(c) for c in of.categories]] = np.arange(of.bins)
        at = layout.offsets["features", "c"] + HEAD + places[codes]
        all_ = [pane(i, cells, 25) for i, cells in enumerate(np.split(at, 600))]
        found = Scan.calibrated(layout, {ALL: all_[:400]}, panes_between_false_alarms=20_000)
        alarms += bool(findings(found, all_[400:], 400))
    assert alarms <= 1


def test_the_spread_of_a_mean_that_wanders_is_taken_to_be_skewed() -> None:
    """A tenth of the variance is an autoregression (0.9) over panes. Sums of squares of correlated normal values have
    the cumulants 2^(r-1) (r-1)! tr(covariance^r) (Mathai and Provost 1992, 3.2); of independent ones hardly a third.
    """
    rng = np.random.default_rng(17)
    wander, share, count = 0.9, 0.1, 1600
    layout = Layout(
        pane_ms=1000, features={f"c{i}": NumericLayout(edges=EDGES) for i in range(6)}, predictions={}, joint=False
    )
    at = np.array([layout.offsets["features", f"c{i}"] for i in range(6)]) + HEAD
    steps = rng.normal(size=(count, 6)) * np.sqrt(1 - wander**2)
    means = np.empty_like(steps)
    before = rng.normal(size=6)
    for i, step in enumerate(steps):
        means[i] = before = wander * before + step
    reference = []
    for i, mean in enumerate(means):
        values = np.sqrt(share) * mean + np.sqrt(1 - share) * rng.normal(size=(PANE, 6))
        reference.append(pane(i, at + np.searchsorted(EDGES, values, side="right"), PANE, 6))
    unit = Scan.calibrated(layout, {ALL: reference}, panes_between_false_alarms=10_000).units[ALL]
    spread = np.array([i for i, c in enumerate(unit.components.of) if c.words == "spread"])
    for scale in (8, 16, 32):
        lag = np.abs(np.arange(scale)[:, None] - np.arange(scale)[None, :])
        of_panes = PANE * share * np.linalg.eigvalsh(wander**lag) + 1 - share
        powers = [(of_panes**r).sum() + scale * (PANE - 1) * (1 - share) ** r for r in (2, 3)]
        expected = 8 * powers[1] / (2 * powers[0]) ** 1.5
        k = unit.scales.index(scale)
        effective = PANE * scale / (unit.excess[spread] * unit.inflation[spread, k])
        # Outer values are held, and what few windows say is drawn to 0: 0.4 to 0.9 of it; single events say 0.1.
        found = float((unit.third[spread, k] / np.sqrt(effective)).mean())
        assert expected / 3 < found < 1.1 * expected
