"""Layouts from values and from raw counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors import learning
from detectors.counts import Counts, columns
from detectors.layouts import MAX_EDGES, CategoricalLayout, Layout, NumericLayout
from detectors.partitions import partition
from stream_monitor.config import Fields, Model
from stream_monitor.counting.batches import Batch, Column
from stream_monitor.counting.columns import column
from stream_monitor.counting.tallies import Grouped, tally
from stream_monitor.judging.references import layout_from_raw

MODEL = Model(topic=("t",), task="binary", fields=Fields(features="f", prediction="p", score="s"))


def batch_of(*features: Column, predictions: tuple[Column, ...] = ()) -> Batch:
    n = len(features[0].kinds)
    return Batch(
        times_ms=np.zeros(n, np.int64), offsets=np.arange(n), versions=("",), version_codes=np.zeros(n, np.int32),
        ids=None, features=features, predictions=predictions, prediction=None, score=None, class_scores=None,
        label=None, latency=None, segments={},
    )  # fmt: skip


def counted(layout: Layout | None, *features: Column, predictions: tuple[Column, ...] = ()) -> Counts:
    batch = batch_of(*features, predictions=predictions)
    (counts,) = tally(batch, layout, MODEL, Grouped(parts=(partition(np.zeros(len(batch), np.int64), 1)[1],)))
    return counts


def masses(layout: NumericLayout, numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    whole = Layout(pane_ms=1, features={"x": layout}, predictions={})
    return columns(counted(whole, column("x", numbers.tolist(), "numeric")), whole)["features", "x"].counts


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=300))
def test_edges_of_anything(values: list[float]) -> None:
    layout = learning.numeric(np.array(values, np.float64))
    edges = np.array(layout.edges)
    assert len(edges) <= MAX_EDGES
    assert np.isfinite(edges).all()
    assert (np.diff(edges) > 0).all()
    if values and max(map(abs, values)) < 1e300:
        assert edges[0] < min(values)
        assert edges[-1] > max(values)
    assert learning.numeric(np.array(values[::-1], np.float64)) == layout


def test_masses_are_about_equal() -> None:
    numbers = np.random.default_rng(1).normal(size=50_000)
    found = masses(learning.numeric(numbers), numbers)
    inside = found[found > 0]
    assert len(inside) > 200
    assert inside.max() < 1.1 * 50_000 / len(inside)


def test_a_shared_value_has_a_bin_of_its_own() -> None:
    numbers = np.concatenate([np.zeros(3000), np.random.default_rng(2).exponential(size=7000)])
    layout = learning.numeric(numbers)
    assert 3000 in masses(layout, numbers).tolist()
    assert masses(layout, np.array([1e-4])).tolist() != masses(layout, np.array([0.0])).tolist()


def test_bins_do_not_hang_on_the_last_digit() -> None:
    numbers = np.random.default_rng(6).integers(1, 100, size=5000) / 100  # shared values, exact in neither precision
    single = numbers.astype(np.float32).astype(np.float64)
    assert (single != numbers).any()
    for layout in (learning.numeric(numbers), learning.numeric(single)):
        assert masses(layout, numbers).tolist() == masses(layout, single).tolist()


def test_few_whole_numbers() -> None:
    numbers = np.repeat([0.0, 1.0, 2.0, 7.0], [500, 300, 150, 50])
    layout = learning.numeric(numbers)
    assert [e for e in layout.edges if 0 <= e <= 8] == [0, 1, 2, 3, 7, 8]
    assert [m for m in masses(layout, numbers).tolist() if m] == [500, 300, 150, 50]
    assert all(float(e).is_integer() for e in layout.edges)


def test_more_shared_values_than_bins() -> None:
    numbers = np.repeat(np.random.default_rng(3).normal(size=400), 10)
    assert len(learning.numeric(numbers).edges) <= MAX_EDGES


def test_far_away_has_a_size() -> None:
    numbers = np.random.default_rng(4).uniform(size=10_000)
    layout = learning.numeric(numbers)
    places = [int(np.flatnonzero(masses(layout, np.array([x])))[0]) for x in (1.5, 3.0, 10.0, 100.0, -2.0)]
    assert len(set(places)) == 5


def bins_of(of: NumericLayout, *values: float) -> list[int]:
    return [int(b) for b in np.searchsorted(np.array(of.edges), np.array(values), side="right")]


@pytest.mark.parametrize(("centre", "step"), [(1e9, 2.0**-10), (2.0**50, 0.5), (0.0, 2.0**-1000), (-1e-3, 2.0**-40)])
def test_values_far_from_zero_and_close_together(centre: float, step: float) -> None:
    """A thousand values in steps: bins are as fine, and tails as near, as if they lay around 0."""
    values = centre + step * np.arange(1000.0)
    layout = learning.numeric(values)
    assert np.bincount(bins_of(layout, *values)).max() <= -(-1000 // (learning.INNER - 2))
    width = 1000 * step
    shifted = bins_of(layout, *(centre + width * m for m in (1.5, 2.5, 4.5, 8.5, 16.5, 100.0)))
    assert len(set(shifted)) == 6
    assert min(shifted) > max(bins_of(layout, *values))
    below = bins_of(layout, *(centre - width * m for m in (0.5, 1.5, 3.5, 7.5, 100.0)))
    assert sorted(set(below), reverse=True) == below


@pytest.mark.parametrize("value", [0.1, -2.5, 1e-12, 7.0, 0.0, -3.0, 1e300])
def test_a_constant_has_one_bin_and_tails_on_both_sides(value: float) -> None:
    layout = learning.numeric(np.full(500, value))
    size = abs(value) or 1.0
    own = bins_of(layout, value)[0]
    near = bins_of(layout, value * (1 + 1e-7) if value != round(value) else value)  # single precision stays inside
    assert near == [own]
    above = bins_of(layout, *(value + size * m for m in (1.2, 2.5, 5.0, 10.0, 100.0)))
    below = bins_of(layout, *(value - size * m for m in (1.2, 2.5, 5.0, 10.0, 100.0)))
    assert own < above[0]
    assert own > below[0]
    assert above == sorted(set(above))
    assert below == sorted(set(below), reverse=True)


def test_heaps_among_other_values() -> None:
    """Prices: a value that a twentieth of all share is alone in its bin, ties are one edge, the rest stays fine."""
    heaps = [0.0, 9.99, 19.99, 49.99]
    values = np.concatenate([np.repeat(heaps, 500), np.exp(np.linspace(-2, 6, 8000))])
    layout = learning.numeric(values)
    assert len(set(layout.edges)) == len(layout.edges) <= MAX_EDGES
    counts = np.bincount(bins_of(layout, *values), minlength=len(layout.edges) + 1)
    for heap in heaps:
        others = int(((values != heap) & np.isin(bins_of(layout, *values), bins_of(layout, heap))).sum())
        assert counts[bins_of(layout, heap)[0]] - others == 500
        assert others <= 1
    rest = np.delete(counts, bins_of(layout, *heaps))
    assert rest.max() <= 2 * 10_000 / learning.MASSES[-1]


def test_learning_is_deterministic_and_knows_nothing_of_zero_signs() -> None:
    assert learning.numeric(np.array([-0.0, 0.0, 1.0])) == learning.numeric(np.array([1.0, 0.0, 0.0]))


def test_most_frequent_categories() -> None:
    words = {f"w{i:03}": 1000 - i // 2 if i < 60 else 400 + i // 2 for i in range(300)}
    known = learning.categorical(words).categories
    assert known[:60] == tuple(f"w{i:03}" for i in range(60))
    assert len(known) == 100
    assert learning.categorical(dict(reversed(words.items()))).categories == known


@pytest.mark.parametrize(
    ("weights", "least"),
    [
        (np.full(101, 1.0), 100),
        (np.full(1000, 1.0), 100),
        (1 / np.arange(1.0, 501.0), 100),
        (1 / np.arange(1.0, 10_001.0), 20),
    ],
)
def test_known_categories_come_later_about_as_often_as_in_the_rows_they_were_learnt_from(
    weights: NDArray[np.float64], least: int
) -> None:
    """On average over 20 draws the share is off by half its error at most, and twice the simulation's error.

    The 100 most frequent of 1,000 equal ones were seen too often by 19 times the error.
    """
    share, off = weights / weights.sum(), []
    for seed in range(20):
        counts = np.random.default_rng([6, seed]).multinomial(20_000, share)
        known = [int(c) for c in learning.categorical({str(i): int(n) for i, n in enumerate(counts) if n}).categories]
        assert least <= len(known) <= 100
        later = float(share[known].sum())
        off.append((counts[known].sum() / 20_000 - later) / (later * (1 - later) / 20_000) ** 0.5)
    assert abs(np.mean(off)) < 0.5 + 2 / 20**0.5


def test_ids_are_no_categories() -> None:
    assert learning.categorical({f"id {i}": 1 for i in range(20_000)}).categories == ()


@pytest.mark.parametrize("seed", range(3))
def test_from_raw_counts_is_close_to_from_values(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for numbers in (rng.normal(size=20_000), rng.lognormal(sigma=2, size=20_000), rng.uniform(-5, 3, size=20_000)):
        counts = counted(None, column("x", numbers.tolist(), "raw"))
        layout = layout_from_raw(MODEL, counts).features["x"]
        assert isinstance(layout, NumericLayout)
        assert len(layout.edges) <= MAX_EDGES
        found = masses(layout, numbers)
        assert found.sum() == 20_000
        assert found[0] == found[-1] == 0
        assert found.max() < 3 * 20_000 / (found > 0).sum()  # mass within an eighth of an octave is not quite even
        beyond = masses(layout, np.array([numbers.min() - 0.1, numbers.max() + 0.1]))
        assert not (beyond * found).any()  # out of range is told from in range
    assert layout_from_raw(MODEL, counts) == layout_from_raw(MODEL, counts)


def test_from_raw_zeros_and_ones() -> None:
    numbers = np.repeat([0.0, 1.0], [700, 300])
    layout = layout_from_raw(MODEL, counted(None, column("x", numbers.tolist(), "raw"))).features["x"]
    assert isinstance(layout, NumericLayout)
    assert [m for m in masses(layout, numbers).tolist() if m] == [700, 300]


def test_categories_from_raw_counts() -> None:
    rng = np.random.default_rng(5)
    words = [f"category {i}" for i in range(60)]
    values = [words[i] for i in np.minimum(rng.geometric(0.08, size=20_000) - 1, 59)]
    of = layout_from_raw(MODEL, counted(None, column("x", values, "raw"))).features["x"]
    assert isinstance(of, CategoricalLayout)
    assert set(of.categories) == set(values)  # none is lost to a shared bucket
    exact = sorted(words, key=lambda w: (-values.count(w), w))
    assert of.categories[:10] == tuple(exact[:10])


def test_kinds_from_raw_counts() -> None:
    raw = counted(
        None,
        column("flag", [True, False, None, True], "raw"),
        column("mixed", ["a", "b", 1, "c"], "raw"),
        column("mostly", [1, 2, "x", 3], "raw"),
        column("never", [None] * 4, "raw"),
        column("bad", [[1], {}, math.nan, None], "raw"),
        column("cut", ["w" * 100] * 4, "raw"),
        predictions=(column("prediction", ["yes", "no", "no", "no"], "raw"), column("score", [0.5, None, 1, 0], "raw")),
    )
    layout = layout_from_raw(MODEL, raw)
    assert {n: of.kind for n, of in layout.features.items()} == {
        "bad": "numeric", "cut": "categorical", "flag": "categorical", "mixed": "categorical", "mostly": "numeric",
    }  # fmt: skip
    assert layout.features["flag"] == CategoricalLayout(categories=("true", "false"))
    assert layout.features["cut"] == CategoricalLayout(categories=())  # its name was cut for display
    assert layout.predictions["prediction"] == CategoricalLayout(categories=("no", "yes"))
    assert layout.predictions["score"].kind == "numeric"
    assert layout.pane_ms == 10_000
    assert layout_from_raw(MODEL, raw, pane_ms=7).pane_ms == 7


def test_declared_and_listed_columns_from_raw_counts() -> None:
    model = Model(
        topic=("t",), task="multiclass",
        columns={"n": "numeric", "c": "categorical", "t": "text", "gone": "categorical"},
        fields=Fields(features=("t", "n", "c", "other", "gone"), prediction="p", score="s"),
    )  # fmt: skip
    raw = counted(
        None,
        column("n", ["a", "b", 2.5], "numeric"),
        column("c", [1, 2, 2], "categorical"),
        column("t", ["a", "bcd", None], "text"),
    )
    layout = layout_from_raw(model, raw)
    assert list(layout.features) == ["t", "t.tokens", "t.script", "n", "c", "other", "gone"]
    assert layout.features["c"] == CategoricalLayout(categories=("2", "1"))
    assert layout.features["gone"] == CategoricalLayout(categories=())
    assert layout.features["other"] == NumericLayout(edges=())
    assert isinstance(layout.features["n"], NumericLayout)
    assert min(abs(e - 2.5) for e in layout.features["n"].edges) < 1e-5
    assert isinstance(layout.features["t"], NumericLayout)
    assert min(abs(e - 3.0) for e in layout.features["t"].edges) < 1e-5
    assert layout.predictions["prediction"] == NumericLayout(edges=())
