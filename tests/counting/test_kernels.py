"""Counting loops: numba and numpy against each other and against plain Python."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detectors import kernels
from detectors.compiling import engine
from detectors.counts import float_to_limbs, limbs_to_float
from detectors.layouts import BUCKETS, LIMBS, RAW_BINS, RAW_BUCKETS, RAW_HASHES

FINITE = st.floats(allow_nan=False, allow_infinity=False)
SUMS = [kernels.add_sums_numpy, kernels._sums_loop]
CELLS = [kernels._cells_numpy, kernels._cells_loop]
SPARSE = [kernels._sparse_numpy, kernels._sparse_loop]


def test_numba_is_what_is_tested() -> None:
    assert engine() == "numba"
    kernels.warm()


@pytest.mark.parametrize("add", SUMS)
@settings(deadline=None)
@given(st.lists(FINITE, max_size=20))
@example([5e-324, -5e-324, 2.2250738585072014e-308, -1.7976931348623157e308, 0.0, -0.0])
def test_sums_are_exact(add: object, numbers: list[float]) -> None:
    cells = np.zeros((2, LIMBS + 1), np.int64)
    assert callable(add)
    add(cells, 1, np.ones(len(numbers), np.int32), np.array(numbers, np.float64))
    assert (cells[1, 1:] == float_to_limbs(numbers)).all()
    assert not cells[0].any()
    total = sum(map(Fraction, numbers))
    if isinstance(total, Fraction) and abs(total) < Fraction(1.7976931348623157e308):
        assert limbs_to_float(cells[1, 1:]) == float(total)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 2), st.integers(-1, 2)), max_size=30))
def test_cells(events: list[tuple[int, int, int]]) -> None:
    cell = np.array([e[0] for e in events], np.int32)
    groups = np.array([[e[1] for e in events], [e[2] for e in events]], np.int32)
    expected = np.zeros((3, 5), np.int64)
    for c, *gs in events:
        for g in gs:
            if g >= 0 and c >= 0:
                expected[g, c] += 1
    for add in CELLS:
        cells = np.zeros((3, 5), np.int64)
        add(cells, groups, cell)
        assert (cells == expected).all()


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 3), st.integers(0, 5), st.data())
def test_sparse(rows: int, width: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(-2, 2), min_size=rows * width, max_size=rows * width))
    cells = np.array(values, np.int64).reshape(rows, width)
    expected = [[(i, x) for i, x in enumerate(row) if x] for row in cells.tolist()]
    for fill in SPARSE:
        some = sum(map(len, expected))
        places, found, bounds = np.empty(some, np.int32), np.empty(some, np.int64), np.zeros(rows + 1, np.int64)
        fill(cells, places, found, bounds)
        pairs = list(zip(places.tolist(), found.tolist(), strict=True))
        assert [pairs[first:last] for first, last in pairwise(bounds.tolist())] == expected


@given(st.lists(FINITE, min_size=1))
def test_raw_bins_hold_an_eighth_of_an_octave(numbers: list[float]) -> None:
    bins = kernels.raw_bins(np.array(numbers))
    for x, b in zip(numbers, bins.tolist(), strict=True):
        assert 0 <= b < RAW_BINS
        low = np.array([b << 49], np.uint64).view(np.float64)[0]
        high = np.array([((b + 1) << 49) - 1], np.uint64).view(np.float64)[0]
        assert abs(low) <= abs(x) <= abs(high)
        assert (b >= 1 << 14) == (x < 0)


@given(st.text())
def test_buckets(word: str) -> None:
    assert 0 <= kernels.bucket(word) < BUCKETS
    width = RAW_BUCKETS // RAW_HASHES
    assert [b // width for b in kernels.raw_buckets(word)] == list(range(RAW_HASHES))


def test_buckets_may_never_change() -> None:
    assert [kernels.bucket(w) for w in ("", "a", "ü", "\ud800")] == [20, 27, 1, 18]
    assert kernels.raw_buckets("a") == [64, 504, 670, 825]


@given(st.lists(st.floats(1e-15, 1.0, exclude_max=False), min_size=1))
def test_log(numbers: list[float]) -> None:
    for x, y in zip(numbers, kernels.log(np.array(numbers)).tolist(), strict=True):
        assert y == pytest.approx(math.log(x), rel=4e-16, abs=0)
