"""Sums across columns: numba and numpy against each other and against plain integers; old layouts keep their ids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import joints
from detectors.layouts import JOINT_COMBINATIONS, CategoricalLayout, Layout, NumericLayout, combinations

PAIRS = [joints._pairs_loop, joints._pairs_numpy]
COMBINATIONS = [joints._combinations_loop, joints._combinations_numpy]
RANKS = st.integers(-254, 254)


def grouped(columns: int, rows: int, seed: int, extreme: bool) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of events in three groups, the last of which is empty or long."""
    r = np.random.default_rng(seed)
    ranks = np.full((columns, rows), 254) if extreme else r.integers(-254, 255, size=(columns, rows))
    cuts = np.sort(r.integers(0, rows + 1, size=2))
    return np.array([cuts[0] // 2, cuts[0], cuts[1], rows]), ranks.astype(np.int16)


@pytest.mark.parametrize("add", PAIRS)
@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.integers(0, 1200), st.integers(0, 99), st.booleans())
def test_pairs(add: object, columns: int, rows: int, seed: int, extreme: bool) -> None:
    bounds, ranks = grouped(columns, rows, seed, extreme)
    pairs = [(i, j) for i in range(columns) for j in range(i + 1, columns)]
    cells = np.ones((3, 1 + len(pairs)), np.int64)
    assert callable(add)
    add(cells, 1, bounds, ranks)
    whole = ranks.astype(object)  # Python's integers
    for g in range(3):
        inside = slice(bounds[g], bounds[g + 1])
        assert cells[g].tolist() == [1, *(1 + sum(whole[i, inside] * whole[j, inside]) for i, j in pairs)]


@pytest.mark.parametrize("add", COMBINATIONS)
@pytest.mark.parametrize(("columns", "rows", "extreme"), [(26, 700, True), (50, 300, False), (26, 0, False)])
def test_combinations(add: object, columns: int, rows: int, extreme: bool) -> None:
    bounds, ranks = grouped(columns, rows, 3, extreme)
    cells = np.ones((3, 1 + JOINT_COMBINATIONS), np.int64)
    assert callable(add)
    add(cells, 1, bounds, ranks, *joints._drawn(columns))
    whole = ranks.astype(np.int64)
    for g in range(3):
        inside = slice(bounds[g], bounds[g + 1])
        for k, combination in enumerate(combinations(columns)):
            u = np.sum([sign * whole[i, inside] for i, sign in combination], axis=0)
            assert cells[g, 1 + k] == 1 + (u * u).sum()


def test_combinations_draw_every_column_and_both_signs() -> None:
    drawn = [pair for c in combinations(60) for pair in c]
    assert {i for i, _ in drawn} == set(range(60))
    assert 0.4 < sum(sign > 0 for _, sign in drawn) / len(drawn) < 0.6
    assert all(len({i for i, _ in c}) == 8 for c in combinations(60))


def test_ranks_of_more_bins_than_any_learnt_layout_has_are_exact_too() -> None:
    ranks = np.full((2, 500), 30_000, np.int16)
    cells = np.zeros((1, 1), np.int64)
    joints.add_pairs(cells, 0, np.array([0, 500]), ranks)
    assert cells[0, 0] == 500 * 30_000**2


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(-4096, 4096), RANKS, RANKS, st.integers(-1, 1)), max_size=30),
    st.integers(0, 30),
)
def test_residuals(events: list[tuple[bool, int, int, int, int]], cut: int) -> None:
    bounds = np.array([0, min(cut, len(events)), len(events)])
    known = np.array([e[0] for e in events], np.bool_)
    r = np.array([e[1] for e in events], np.int32)
    ranks = np.array([[e[2] for e in events], [e[3] for e in events]], np.int16)
    cell = np.array([6 + e[4] if e[4] >= 0 else -1 for e in events], np.int32)
    for residuals, weighted in (
        (joints._residuals_loop, joints._weighted_loop),
        (joints._residuals_numpy, joints._weighted_numpy),
    ):
        cells = np.zeros((2, 8), np.int64)
        residuals(cells, 1, bounds, known, r, ranks)
        weighted(cells, bounds, known, r, cell)
        for g in range(2):
            inside = [e for e in events[bounds[g] : bounds[g + 1]] if e[0]]
            assert cells[g].tolist() == [
                0, len(inside), sum(e[1] for e in inside), sum(e[1] ** 2 for e in inside),
                *(sum(e[1] * e[c] for e in inside) for c in (2, 3)),
                *(sum(e[1] for e in inside if e[4] == c) for c in (0, 1)),
            ]  # fmt: skip


def numeric(names: str) -> dict[str, NumericLayout | CategoricalLayout]:
    return {n: NumericLayout(edges=(0.0, 1.0)) for n in names}


def test_a_layout_written_before_there_were_joint_cells_keeps_its_id_and_its_cells() -> None:
    old = {"pane_ms": 1000, "features": {"a": {"type": "numeric", "edges": [0.0]}}, "predictions": {}}
    layout = Layout.from_json(old)
    assert layout.to_json() == old
    assert layout.id == "6c8242d6bba2ec14"  # as written by the release before
    assert (layout.joint_size, layout.residual_size) == (0, 0)


def test_the_cells_follow_the_columns() -> None:
    features = numeric("abc") | {"k": CategoricalLayout(categories=("x", "y"))}
    layout = Layout(pane_ms=1000, features=features, predictions=numeric("s"), residual="correct")
    assert layout.joint_pairs == (("a", "b"), ("a", "c"), ("b", "c"))
    assert layout.residual_features == (("a", None), ("b", None), ("c", None), ("k", "x"), ("k", "y"))
    assert layout.joint_offset == layout.offsets["predictions", "s"] + layout.predictions["s"].size
    assert layout.residual_offset == layout.joint_offset + 3
    assert layout.size == layout.residual_offset + 3 + 5
    assert Layout.from_json(layout.to_json()) == layout
    assert layout.id != Layout(pane_ms=1000, features=features, predictions=numeric("s")).id


@pytest.mark.parametrize(("columns", "cells"), [(0, 0), (1, 0), (2, 1), (25, 300), (26, 256)])
def test_number_of_joint_cells(columns: int, cells: int) -> None:
    some = {f"f{i}": NumericLayout(edges=()) for i in range(columns)}
    layout = Layout(pane_ms=1000, features=some, predictions={})
    assert layout.joint_size == cells == len(layout.joint_pairs) + len(layout.joint_combinations)
