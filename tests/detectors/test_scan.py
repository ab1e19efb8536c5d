"""The scan against closed forms, exact tests of scipy, and simulations with stated error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from detectors.counts import Counts
from detectors.layouts import HEAD, CategoricalLayout, Layout, NumericLayout
from detectors.scan import Result, Scan, look, needed
from detectors.scan.dependence import dependence
from detectors.scan.plans import delays, plans
from detectors.scan.scan import ALL, SEGMENT_SHARES, SHARES, budgets_of
from detectors.scan.seasons import seasons
from detectors.scan.windows import Series, crossings

Floats = NDArray[np.float64]

PANE = 50  # events
EDGES = tuple(stats.norm.ppf(np.arange(1, 50) / 50).tolist())
LAYOUT = Layout(
    pane_ms=1000,
    features={
        "amount": NumericLayout(edges=EDGES),
        "age": NumericLayout(edges=EDGES),
        "country": CategoricalLayout(categories=("de", "fr", "us")),
    },
    predictions={},
    joint=False,
)
COUNTRIES = (0.6, 0.3, 0.1)


def panes(x: Floats, codes: NDArray[np.int64], first: int = 0, size: int = PANE) -> list[tuple[int, Counts]]:
    """Panes of `size` events: x is (events, 2); a code of 3 is a country never seen."""
    cells = []
    for j, name in enumerate(("amount", "age")):
        cells.append(LAYOUT.offsets["features", name] + HEAD + np.searchsorted(EDGES, x[:, j], side="right"))
    cells.append(LAYOUT.offsets["features", "country"] + HEAD + codes)
    found = []
    for i in range(len(x) // size):
        some = np.concatenate([c[i * size : (i + 1) * size] for c in cells])
        at, counts = np.unique(some, return_counts=True)
        none = np.zeros(3)
        found.append(
            ((first + i) * 1000, Counts(rows=size, cells=at.astype(np.int32), values=counts, low=none, high=none))
        )
    return found


def draw(rng: np.random.Generator, count: int) -> tuple[Floats, NDArray[np.int64]]:
    """Events of `count` panes when nothing is wrong."""
    return rng.normal(size=(count * PANE, 2)), rng.choice(3, count * PANE, p=COUNTRIES)


def series(scan: Scan, later: list[tuple[int, Counts]], unit: str = ALL) -> Series:
    found = scan.units[unit]
    return Series.of(found, later[0][0] // 1000, found.components.vectors([c for _, c in later]))


@pytest.fixture(scope="module")
def scan() -> Scan:
    rng = np.random.default_rng(1)
    return Scan.calibrated(LAYOUT, {ALL: panes(*draw(rng, 400))}, panes_between_false_alarms=10_000)


def test_a_shift_is_named_sized_and_dated(scan: Scan) -> None:
    rng = np.random.default_rng(2)
    x, codes = draw(rng, 200)
    x[150 * PANE :, 0] += 0.5  # from pane 400 + 150 on
    later = panes(x, codes, 400)
    unit = scan.units[ALL]
    last = later[200 - needed(unit) :]
    found = look(unit, last[0][0] // 1000, unit.components.vectors([c for _, c in last]))
    best = found.findings[0]
    assert found.pane == 599
    assert {f.subject for f in found.findings} == {"amount", "all columns"}
    amount = next(f for f in found.findings if f.subject == "amount")
    assert amount.component == "amount: mean up"
    assert best.p_value is not None
    assert best.p_value < 1e-20
    assert abs(amount.onset - 550) <= 2
    assert abs(amount.size - 0.5) < 4 / (50 * PANE) ** 0.5 + 0.03  # sampling error, width of the bins


def test_a_look_is_a_function_of_its_panes(scan: Scan) -> None:
    x, codes = draw(np.random.default_rng(3), 200)
    unit = scan.units[ALL]
    vectors = unit.components.vectors([c for _, c in panes(x, codes, 400)])
    whole, part = look(unit, 400, vectors), look(unit, 600 - needed(unit), vectors[-needed(unit) :])
    assert [(r.subject, r.p_value, r.panes) for r in whole.results] == [
        (r.subject, r.p_value, r.panes) for r in part.results
    ]


def test_many_looks_at_once_are_the_most_telling_of_each() -> None:
    rng = np.random.default_rng(10)
    found = Scan.calibrated(LAYOUT, {ALL: panes(*draw(rng, 100))}, panes_between_false_alarms=100).units[ALL]
    vectors = found.components.vectors([c for _, c in panes(*draw(rng, 60), 100)])
    back = needed(found)
    singly: dict[str, list[float]] = {}
    for end in range(40, 61):
        for r in look(found, 100 + end - back, vectors[end - back : end]).results:
            assert r.p_value is not None
            singly.setdefault(r.subject, []).append(r.p_value / r.alpha)
    first = 40 - back
    together = look(found, 100 + first, vectors[first:], since=139)
    for r in together.results:
        assert r.p_value is not None
        assert min(singly[r.subject]) <= r.p_value / r.alpha <= 3 * min(singly[r.subject])  # ranked by z, then p


def test_a_new_category_is_found_at_once(scan: Scan) -> None:
    x, codes = draw(np.random.default_rng(4), 8)
    codes[np.arange(len(codes)) % 20 == 0] = 3
    found = look(scan.units[ALL], 400, scan.units[ALL].components.vectors([c for _, c in panes(x, codes, 400)]))
    assert [f.component for f in found.findings] == ["country: share of new categories up"]
    assert found.findings[0].size == pytest.approx(0.05)


def test_one_burst_of_junk_is_a_glitch_not_drift(scan: Scan) -> None:
    x, codes = draw(np.random.default_rng(5), 40)
    x[31 * PANE : 31 * PANE + 40, 0] = 50.0
    later = panes(x, codes, 400)
    found = result(scan, later[:32])
    assert found.glitch
    assert not found.drift
    after = result(scan, later)
    assert (after.glitch, after.drift, after.over) == (False, False, 432)


def result(scan: Scan, later: list[tuple[int, Counts]], subject: str = "amount") -> Result:
    """What the look at the last of these panes says of a subject."""
    unit = scan.units[ALL]
    last = later[-needed(unit) :]
    found = look(unit, last[0][0] // 1000, unit.components.vectors([c for _, c in last]))
    return next(r for r in found.results if r.subject == subject)


@pytest.mark.parametrize(("shift", "soon"), [(0.5, 8), (0.15, 48)])
def test_a_drift_is_over_about_as_soon_as_it_was_seen(scan: Scan, shift: float, soon: int) -> None:
    """Seen from a sum of z standard deviations on, it is over after about half as many events without it."""
    rng = np.random.default_rng(13)
    x, codes = draw(rng, 260)
    x[20 * PANE : 120 * PANE, 0] += shift
    later = panes(x, codes, 400)
    said = [(end, result(scan, later[:end])) for end in range(4, 261)]
    seen = [end for end, r in said if r.drift]
    assert 20 < seen[0] <= 20 + soon
    assert set(range(seen[0], 121)) - set(seen) == set()  # it stays until it is over
    assert seen[-1] - 120 <= seen[0] - 20 + 1
    gone = [r for _, r in said if r.over is not None]
    assert gone
    assert all(abs(r.over - 520) <= 3 + soon // 8 for r in gone if r.over is not None)
    assert all(r.p_value is None or r.p_value > r.alpha for r in gone)


def test_a_drift_that_grows_and_stays_is_not_said_to_be_over(scan: Scan) -> None:
    """At most sqrt(alpha), 1 in 1,000 looks, would be false if looks were independent."""
    rng = np.random.default_rng(14)
    for _ in range(3):
        x, codes = draw(rng, 200)
        x[:, 0] += np.repeat(np.clip(np.linspace(-0.05, 0.35, 200), 0.0, 0.2), PANE)
        later = panes(x, codes, 400)
        said = [result(scan, later[:end]).drift for end in range(20, 201, 4)]
        assert all(said[said.index(True) :])


def test_too_few_events_are_unknown(scan: Scan) -> None:
    unit = scan.units[ALL]
    found = look(unit, 400, np.zeros((needed(unit), unit.components.entries)))
    assert {r.p_value for r in found.results} == {None}
    assert (
        Scan.calibrated(LAYOUT, {ALL: panes(*draw(np.random.default_rng(0), 15))}, panes_between_false_alarms=10).units
        == {}
    )


def test_odd_columns_say_nothing_and_break_nothing() -> None:
    """A constant, a column without a value, one of two values, categories never seen; panes that are empty."""
    features: dict[str, NumericLayout | CategoricalLayout] = {
        "constant": NumericLayout(edges=(0.0, 1.0)),
        "empty": NumericLayout(edges=()),
        "binary": NumericLayout(edges=(0.0, 1.0, 2.0)),
        "unseen": CategoricalLayout(categories=("a",)),
    }
    layout = Layout(pane_ms=1000, features=features, predictions={}, joint=False)
    at = {name: layout.offsets["features", name] for name in features}
    rng = np.random.default_rng(11)

    def pane(rows: int) -> Counts:
        ones = int(rng.binomial(rows, 0.5))
        cells = {at["constant"] + HEAD + 1: rows, at["empty"]: rows, at["binary"] + HEAD + 1: rows - ones}
        cells |= {at["binary"] + HEAD + 2: ones, at["unseen"]: rows}
        some = sorted(c for c, n in cells.items() if n)
        none = np.zeros(4)
        values = np.array([cells[c] for c in some], np.int64)
        return Counts(rows=rows, cells=np.array(some, np.int32), values=values, low=none, high=none)

    reference = [(i * 3000, pane(int(rng.integers(0, 60)))) for i in range(40)]  # two of three panes are empty
    found = Scan.calibrated(layout, {ALL: reference, "unseen=a": []}, panes_between_false_alarms=1000)
    unit = found.units[ALL]
    vectors = unit.components.vectors([pane(int(n)) for n in rng.integers(0, 40, needed(unit))])
    assert look(unit, 120, vectors).findings == ()
    assert {r.subject for r in look(unit, 120, vectors).results} == set(features)


def test_false_findings_are_at_most_the_budget_and_not_far_fewer() -> None:
    """At most panes / mean time are to be expected, 30 in 600 panes at 1 per 20, and at least a fifth of that.

    Crossings of overlapping windows come together, so the error is taken from the 12 independent series.
    """
    per_series = []
    for seed in range(12):
        rng = np.random.default_rng([6, seed])
        found = Scan.calibrated(LAYOUT, {ALL: panes(*draw(rng, 200))}, panes_between_false_alarms=20)
        per_series.append(len(crossings(series(found, panes(*draw(rng, 600), 200)))))
    mean, error = np.mean(per_series), np.std(per_series, ddof=1) / 12**0.5
    assert 0.2 * 30 < mean < 30 + 2 * error


def test_the_memory_of_an_autoregression_has_its_closed_form() -> None:
    """Of AR(1) with phi, sums of many panes vary (1 + phi) / (1 - phi) times as much as independent ones."""
    rng = np.random.default_rng(7)
    phi, noise = 0.5, rng.normal(size=(3000, 10))
    for i in range(1, len(noise)):
        noise[i] += phi * noise[i - 1]
    found = dependence(noise, np.zeros(10, np.int64), [4, 64]).inflation
    four = 1 + 2 * sum((1 - k / 4) * phi**k for k in range(1, 4))
    assert found[:, 0] == pytest.approx(np.full(10, four), rel=0.1)
    assert found[:, -1] == pytest.approx(np.full(10, 3.0), rel=0.15)


def test_a_cycle_is_found_with_its_length_and_snaps_to_the_day() -> None:
    rng = np.random.default_rng(8)
    hours = np.arange(24 * 20)
    noise = rng.normal(size=(len(hours), 6))
    noise[:, :2] += np.sin(2 * np.pi * hours / 24)[:, None]
    assert [s.period_ms for s in seasons(noise, 3_600_000, 0)] == [86_400_000.0]


def test_shares_of_the_budget_add_up() -> None:
    within = ["location"] * 4 + ["strays"] * 8
    of, segments = budgets_of(["location"] * 3 + ["bins"] * 5 + ["labels"], within, 0.01)
    whole = 3 * of["location"] + 5 * of["bins"] + of["labels"] + of["joint"]
    assert whole + 4 * segments["location"] + 8 * segments["strays"] == pytest.approx(0.01)
    assert sum(SHARES.values()) == pytest.approx(1.0)
    assert sum(SEGMENT_SHARES.values()) == pytest.approx(1.0)


def test_a_segment_sees_what_happens_in_it_alone() -> None:
    """Half of the events are of a segment: far and near shifts, missing values and new categories in it are found."""
    rng = np.random.default_rng(12)
    size = PANE // 2

    def halves(count: int, first: int = 0) -> list[tuple[int, Counts]]:
        x, codes = draw(rng, count)
        return panes(x[: count * size], codes[: count * size], first, size)

    def said(later: list[tuple[int, Counts]]) -> list[str]:
        vectors = unit.components.vectors([c for _, c in later])
        return [f.component for f in look(unit, 400, vectors).findings]

    reference = {ALL: panes(*draw(rng, 400)), "plan=pro": halves(400)}
    unit = Scan.calibrated(LAYOUT, reference, panes_between_false_alarms=100_000).units["plan=pro"]
    assert said(halves(16, 400)) == []
    for shift in (0.7, 8.0):
        x, codes = draw(rng, 8)
        x[:, 0] += shift
        assert said(panes(x, codes, 400, size))[0].startswith("plan=pro: amount ")
    x, codes = draw(rng, 8)
    codes[::10] = 3
    assert said(panes(x, codes, 400, size)) == ["plan=pro: country share of new categories up"]
    gone = [(t, replace(c, rows=c.rows + 3)) for t, c in halves(8, 400)]
    missing = [(t, _with_missing(c, 3)) for t, c in gone]
    assert "plan=pro: age share missing up" in said(missing)


def _with_missing(pane: Counts, rows: int) -> Counts:
    """The same with so many rows more whose age is missing, and nothing else of them counted."""
    at = LAYOUT.offsets["features", "age"]
    cells, values = np.append(pane.cells, at), np.append(pane.values, rows)
    order = np.argsort(cells)
    return replace(pane, cells=cells[order].astype(np.int32), values=values[order])


def test_the_smallest_change_fills_a_window_to_its_bound(scan: Scan) -> None:
    """z of a window of n events whose mean is off by d is d / sqrt(1 / n + 1 / m): at the bound for the smallest d."""
    unit = scan.units[ALL]
    found = {(p.group, p.panes): p for p in plans(unit)}
    one = found["location", 16]
    expected = one.threshold * (1 / (16 * PANE) + 1 / (400 * PANE)) ** 0.5
    assert one.smallest == pytest.approx(expected, rel=0.1)  # R and the memory are estimated
    assert one.floor == pytest.approx(one.threshold * (400 * PANE) ** -0.5, rel=0.1)
    assert sum(p.false_alarms_per_pane for p in found.values()) <= 1 / 10_000
    soon, late = delays(unit, [1.0, 0.05]).values()
    assert soon is not None
    assert soon <= 4
    assert late is None or late > 64


def test_a_cycle_is_taken_away_before_testing() -> None:
    """A mean that goes up and down by a standard deviation every 40 panes is no finding; a shift on top of it is."""
    rng = np.random.default_rng(9)
    wave = np.sin(2 * np.pi * np.arange(400 * PANE) / (40 * PANE))

    def seasonal(count: int, first: int) -> tuple[Floats, NDArray[np.int64]]:
        x, codes = draw(rng, count)
        x[:, 0] += np.resize(wave[(first % 40) * PANE :], len(x)) if first % 40 else np.resize(wave, len(x))
        return x, codes

    found = Scan.calibrated(LAYOUT, {ALL: panes(*seasonal(400, 0))}, panes_between_false_alarms=10_000)
    assert [s.period_ms for s in found.units[ALL].seasons] == [40_000.0]
    unit = found.units[ALL]
    none = look(unit, 400, np.zeros((needed(unit), unit.components.entries)))
    assert {r.p_value for r in none.results} == {None}  # without a warning, too
    x, codes = seasonal(200, 400)
    assert crossings(series(found, panes(x, codes, 400))) == []
    x[100 * PANE :, 0] += 0.5
    first = min(c.end for c in crossings(series(found, panes(x, codes, 400))))
    assert 100 <= first <= 108
