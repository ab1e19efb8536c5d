"""Groups, bins and columns: numba and numpy against each other and against plain Python."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detectors import learning, numerics, partitions
from detectors.bins import bins_of
from detectors.counts import float_to_limbs
from detectors.layouts import HEAD, LIMBS
from detectors.numerics import VALID
from detectors.partitions import Partition, partition

FINITE = st.floats(allow_nan=False, allow_infinity=False)
HEADS = np.array([VALID, 0, 1, 2])


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), max_size=30), st.sampled_from([7, 10**6]))
def test_partition(codes: list[int], limit: int) -> None:
    found, part = partition(np.array(codes, np.int64), limit)
    assert found == sorted(set(codes))
    for g, code in enumerate(found):
        assert part.order[part.bounds[g] : part.bounds[g + 1]].tolist() == [i for i, c in enumerate(codes) if c == code]
    assert [found[g] for g in part.group.tolist()] == codes
    assert part.sizes.tolist() == [codes.count(c) for c in found]
    if len(found) > 2:
        some = part.some(1, 3)
        assert some.order.tolist() == part.order[part.bounds[1] : part.bounds[3]].tolist()
        assert some.sizes.tolist() == part.sizes[1:3].tolist()


def test_sorting_is_the_same_with_and_without_numba() -> None:
    codes = np.random.default_rng(1).integers(0, 5, size=100)
    starts = np.concatenate([[0], np.cumsum(np.bincount(codes))[:-1]])
    orders = []
    for sort in (partitions._sort_loop, partitions._sort_numpy):
        order = np.empty(100, np.int32)
        sort(codes, starts.copy(), order)
        orders.append(order.tolist())
    assert orders[0] == orders[1]


def check_bins(edges: list[float], numbers: list[float]) -> None:
    bins, n = bins_of(np.array(edges)), len(numbers)
    cells, ends, ranks = np.zeros((1, HEAD + len(edges) + 1 + LIMBS), np.int64), np.zeros(1), np.zeros(n, np.int16)
    order, kinds = np.arange(n, dtype=np.int32), np.zeros(n, np.uint8)
    of = (order, np.array([0, n]), kinds, HEADS, np.array(numbers), bins.edges, bins.table, bins.how, ranks)
    numerics._count_loop(cells, ends, ends.copy(), 0, *of)
    assert ((ranks + len(edges)) // 2).tolist() == [bisect_right(edges, x) for x in numbers]


@settings(deadline=None, max_examples=200)
@given(st.lists(FINITE, max_size=60, unique=True).map(sorted), st.lists(FINITE, max_size=20))
@example([-0.0, 5e-324], [0.0, -0.0, 5e-324, -5e-324])
@example([-1.7976931348623157e308, 1.7976931348623157e308], [0.0, 1e308, -1.7976931348623157e308])
@example([1.0, 1.0000000000000002, 1.0000000000000004], [1.0, 1.0000000000000002, 2.0, 0.5])
def test_the_table_finds_what_a_search_would(edges: list[float], numbers: list[float]) -> None:
    beside = [math.nextafter(e, side) for e in edges for side in (-math.inf, math.inf)]
    check_bins(edges, [*numbers, *edges, *(x for x in beside if math.isfinite(x))])


@pytest.mark.parametrize("shape", ["normal", "lognormal", "tiny", "offset", "whole"])
def test_the_table_of_learnt_bins(shape: str) -> None:
    r = np.random.default_rng(7)
    values = {
        "normal": r.normal(size=3000),
        "lognormal": r.lognormal(sigma=3.0, size=3000),
        "tiny": r.normal(size=3000) * 1e-300,
        "offset": 1e9 + r.normal(size=3000),
        "whole": r.integers(-500, 500, size=3000).astype(float),
    }[shape]
    edges = list(learning.numeric(values).edges)
    check_bins(edges, [*values[:300].tolist(), *edges, *(math.nextafter(e, -math.inf) for e in edges)])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(FINITE, st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=30),
    st.lists(st.integers(-3, 3).map(float), max_size=6, unique=True).map(sorted),
)
@example([(-0.0, 0, 0), (0.0, 0, 0), (5e-324, 0, 0), (-1.7976931348623157e308, 0, 0)], [0.0])
def test_numeric(events: list[tuple[float, int, int]], edges: list[float]) -> None:
    numbers = np.array([round(e[0]) / 2 if abs(e[0]) < 1e6 else e[0] for e in events])
    kinds = np.array([e[1] for e in events], np.uint8)
    codes, part = partition(np.array([e[2] for e in events]), 3)
    body, bins = HEAD + len(edges) + 1, bins_of(np.array(edges))
    found: list[Any] = []
    for count in (numerics._count_loop, numerics._count_numpy):
        cells, low, high = np.zeros((3, 1 + body + LIMBS), np.int64), np.full(3, np.inf), np.full(3, -np.inf)
        ranks = np.full(len(numbers), 99, np.int16)
        of = (part.order, part.bounds, kinds, HEADS, numbers, bins.edges, bins.table, bins.how, ranks)
        count(cells, low, high, 1, *of)
        found.append((cells, low, high, ranks))
    for a, b in zip(*found, strict=True):
        assert (a == b).all()
    cells, low, high, ranks = found[0]
    for t, i in enumerate(part.order.tolist()):
        assert ranks[t] == (2 * bisect_right(edges, float(numbers[i])) - len(edges) if kinds[i] == 0 else 0)
    for g, code in enumerate(codes):
        inside = [i for i, e in enumerate(events) if e[2] == code]
        valid = [float(numbers[i]) for i in inside if kinds[i] == 0]
        heads = Counter(int(kinds[i]) for i in inside)
        assert cells[g, 1 : 1 + HEAD].tolist() == [heads[1], heads[2], heads[3]]
        counts = Counter(bisect_right(edges, x) for x in valid)
        assert cells[g, 1 + HEAD : 1 + body].tolist() == [counts[i] for i in range(len(edges) + 1)]
        assert (cells[g, 1 + body :] == float_to_limbs(valid)).all()
        assert (low[g], high[g]) == (min(valid, default=math.inf), max(valid, default=-math.inf))
        assert not np.signbit([x for x in (low[g], high[g]) if x == 0.0]).any()


def test_words() -> None:
    r = np.random.default_rng(2)
    kinds, codes = r.choice([5, 9], size=50).astype(np.uint8), r.integers(-1, 3, size=50).astype(np.int32)
    groups = r.integers(0, 2, size=50)
    _, part = partition(groups, 2)
    cell_of = np.array([4, 2, 3, 1], np.int32)
    for count in (numerics._words_loop, numerics._words_numpy):
        cells, found = np.zeros((2, 5), np.int64), np.empty(50, np.int32)
        count(cells, part.order, part.bounds, kinds, 9, 0, codes, cell_of, found)
        expected = [0 if k == 9 else [4, 2, 3, 1][c] for k, c in zip(kinds.tolist(), codes.tolist(), strict=True)]
        assert found.tolist() == [expected[i] for i in part.order.tolist()]
        for g in range(2):
            inside = Counter(c for c, of in zip(expected, groups.tolist(), strict=True) if of == g)
            assert cells[g].tolist() == [inside[c] for c in range(5)]


def test_warming() -> None:
    numerics.warm()
    partitions.warm()
    assert isinstance(partition(np.array([1, 0]), 2)[1], Partition)
