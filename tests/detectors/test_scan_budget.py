"""The scan's false alarms where a reference tells of itself by chance: what leads, what is rare, what was never seen.

Each case is a stream without change, panes of 25 events, 400 panes of reference and 400 of looks at a budget of one
false alarm in 20,000 panes: 0.02 alarms a run are allowed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.counts import Counts
from detectors.kernels import bucket
from detectors.layouts import HEAD, ColumnLayout, Layout, NumericLayout
from detectors.learning import categorical, numeric
from detectors.scan import Scan, look
from detectors.scan.scan import ALL

PANE, PANES, BUDGET = 25, 400, 20_000
Values = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Values]  # (events, columns)


def words(values: Values) -> list[str]:
    return [f"{v:.0f}" for v in values.tolist()]


def cells(layout: Layout, name: str, of: ColumnLayout, values: Values) -> NDArray[np.int64]:
    at = layout.offsets["features", name] + HEAD
    if isinstance(of, NumericLayout):
        return at + np.searchsorted(np.array(of.edges), values, side="right")
    known = {word: i for i, word in enumerate(of.categories)}
    return np.array([at + (known[w] if w in known else of.bins + bucket(w)) for w in words(values)])


def panes(layout: Layout, values: Values, first: int) -> list[tuple[int, Counts]]:
    found = np.stack([cells(layout, n, of, values[:, i]) for i, (n, of) in enumerate(layout.features.items())])
    made = []
    for i in range(len(values) // PANE):
        at, counts = np.unique(found[:, i * PANE : (i + 1) * PANE], return_counts=True)
        if layout.joint:
            some = values[i * PANE : (i + 1) * PANE]
            ranks = {
                name: 2.0 * np.searchsorted(np.array(of.edges), some[:, k], side="right") - (of.bins - 1)
                for k, (name, of) in enumerate(layout.features.items())
                if isinstance(of, NumericLayout)
            }
            at = np.concatenate([at, layout.joint_offset + np.arange(layout.joint_size)])
            products = [float(ranks[a] @ ranks[b]) for a, b in layout.joint_pairs]
            products += [
                float((np.sum([sign * ranks[name] for name, sign in of], axis=0) ** 2).sum())
                for of in layout.joint_combinations
            ]
            counts = np.concatenate([counts, np.array(products, np.int64)])
        none = np.zeros(len(layout.features))
        of = Counts(rows=PANE, cells=at.astype(np.int32), values=counts, low=none, high=none)
        made.append(((first + i) * 1000, of))
    return made


def alarms(
    draw: Draw, kind: str, runs: int, *, reference: int = PANES, learnt_apart: bool = False, joint: bool = False
) -> list[str]:
    """What was found in each run that found anything; the layout is that of the reference's own rows, or of others."""
    found = []
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        usual = draw(rng, PANE * reference)
        rows = draw(rng, 20_000) if learnt_apart else usual
        features: dict[str, ColumnLayout] = {}
        for i, column in enumerate(rows.T):
            features[f"c{i}"] = categorical(Counter(words(column))) if kind == "categorical" else numeric(column)
        layout = Layout(pane_ms=1000, features=features, predictions={}, joint=False)
        scan = Scan.calibrated(layout, {ALL: panes(layout, usual, 0)}, panes_between_false_alarms=BUDGET)
        unit = scan.units[ALL]
        later = unit.components.vectors([c for _, c in panes(layout, draw(rng, PANE * PANES), reference)])
        told = look(unit, reference, later, since=reference).findings
        found += [told[0].component] if told else []
    return found


@pytest.mark.parametrize("of", [105, 200, 1_000, 10**9])
def test_categories_that_lead_by_chance_do_not_fall_back(of: int) -> None:
    """As many categories alike, more than have a place of their own; the last are ids, which never come again."""
    assert alarms(lambda rng, n: rng.integers(0, of, (n, 1)).astype(float), "categorical", 5) == []


def test_flags_that_are_seldom_set_are_not_tested_as_if_they_were_even() -> None:
    """20 of them, set once in 1,000 events: T^2 without their skewness alarmed in 24 of 60 runs."""
    assert alarms(lambda rng, n: (rng.random((n, 20)) < 0.001).astype(float), "numeric", 8) == []


@pytest.mark.parametrize(("rate", "tied"), [(0.003, False), (0.01, False), (0.01, True)])
def test_flags_that_were_hardly_ever_set_together_are_not_dependent_when_they_are(rate: float, *, tied: bool) -> None:
    """One in 10,000 events at 0.01 for each of 66 pairs: it was a warning, of p = 0. Tied ones are found."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        usual, later = ((rng.random((PANE * PANES, 12)) < rate).astype(float) for _ in range(2))
        if tied:
            later[:, 1] = later[:, 0]
        features: dict[str, ColumnLayout] = {f"c{i}": numeric(column) for i, column in enumerate(usual.T)}
        layout = Layout(pane_ms=1000, features=features, predictions={})
        unit = Scan.calibrated(layout, {ALL: panes(layout, usual, 0)}, panes_between_false_alarms=BUDGET).units[ALL]
        vectors = unit.components.vectors([c for _, c in panes(layout, later, PANES)])
        (told,) = (r for r in look(unit, PANES, vectors, since=PANES).results if r.subject == "dependence")
        assert (told.drift or told.over is not None, told.glitch) == (tied, False)  # it may be over by chance
        assert told.p_value is not None
        assert told.p_value > 0
        assert tied == (told.component == "c0 x c1: dependence up")


def test_nor_are_they_among_so_many_that_products_are_counted_within_combinations() -> None:
    """100 of them, once in 100 events: signs differ within a combination, and its products are heavy on both sides."""
    for seed in range(2):
        rng = np.random.default_rng(seed)
        usual, later = ((rng.random((PANE * PANES, 100)) < 0.01).astype(float) for _ in range(2))
        features: dict[str, ColumnLayout] = {f"c{i}": numeric(column) for i, column in enumerate(usual.T)}
        layout = Layout(pane_ms=1000, features=features, predictions={})
        unit = Scan.calibrated(layout, {ALL: panes(layout, usual, 0)}, panes_between_false_alarms=BUDGET).units[ALL]
        vectors = unit.components.vectors([c for _, c in panes(layout, later, PANES)])
        (told,) = (r for r in look(unit, PANES, vectors, since=PANES).results if r.subject == "dependence")
        assert not told.drift
        assert not told.glitch


def test_what_a_short_reference_has_not_seen_is_not_new() -> None:
    """500 rows over the bins of 20,000 others leave some empty by chance."""
    assert alarms(lambda rng, n: rng.normal(size=(n, 1)), "numeric", 5, reference=20, learnt_apart=True) == []


def test_a_category_that_gains_is_still_found_among_many() -> None:
    rng = np.random.default_rng(1)
    usual = rng.integers(0, 1_000, (PANE * PANES, 1)).astype(float)
    of = categorical(Counter(words(usual[:, 0])))
    layout = Layout(pane_ms=1000, features={"c": of}, predictions={}, joint=False)
    scan = Scan.calibrated(layout, {ALL: panes(layout, usual, 0)}, panes_between_false_alarms=BUDGET)
    later = rng.integers(0, 1_000, (PANE * PANES, 1)).astype(float)
    later[rng.random(len(later)) < 0.05] = float(of.categories[0])
    vectors = scan.units[ALL].components.vectors([c for _, c in panes(layout, later, PANES)])
    told = look(scan.units[ALL], PANES, vectors, since=PANES).findings
    assert told[0].component in (f"c: share of {of.categories[0]} up", "c: share of rare categories up")


@pytest.mark.parametrize("repeats", [10, 60])
def test_values_never_seen_are_taken_to_come_in_clusters_where_all_rows_do(repeats: int) -> None:
    """Rows that come `repeats` times each: sessions, retries. A stray value in one of them is one event, not ten."""

    def draw(rng: np.random.Generator, count: int) -> Values:
        of = count // repeats + 2
        rows = np.column_stack([rng.normal(size=(of, 5)).round(2), rng.integers(0, 30, (of, 3))])
        return np.repeat(rows, repeats, axis=0)[int(rng.integers(repeats)) :][:count]

    assert len(alarms(draw, "numeric", 40)) <= 3  # 0.8 are allowed: more than 3 come 0.9 % of the time
