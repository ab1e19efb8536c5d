"""Packed counts are the counts, whatever their size; what a state keeps is packed."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from detectors.counts import Counts
from stream_monitor.packing import narrow, pack_counts, packed_rows, squeeze, unpack_counts, wide
from tests.fold.makers import Event, counts

NEAR = [edge + d for edge in (0, 255, 2**31 - 1, 2**63 - 2) for d in (-1, 0, 1)]
NUMBERS = st.one_of(st.sampled_from(NEAR), st.integers(0, 300), st.integers(-(2**63), 2**63 - 1))


@settings(deadline=None)
@given(arrays.arrays(np.int64, st.integers(0, 40), elements=NUMBERS))
def test_numbers_of_every_size(numbers: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
    found = wide(narrow(numbers))
    assert found.dtype == np.int64
    assert found.tolist() == numbers.tolist()


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=20))
def test_counts(values: list[float]) -> None:
    before = counts([Event(at=0, x=x) for x in values])
    data = pack_counts(before)
    assert unpack_counts(data) == before
    assert packed_rows(data) == len(values)
    assert pack_counts(unpack_counts(data)) == data
    small = squeeze(data)
    assert (unpack_counts(small), packed_rows(small), squeeze(small)) == (before, len(values), small)


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 2**31 - 1), NUMBERS, max_size=20))
def test_cells_far_apart_and_values_of_every_size(some: dict[int, int]) -> None:
    cells, none = np.array(sorted(some), np.int32), np.zeros(0)
    values = np.array([some[c] for c in sorted(some)], np.int64)
    before = Counts(rows=1, cells=cells, values=values, low=none, high=none)
    found = unpack_counts(pack_counts(before))
    assert found == before
    assert found.cells.dtype == np.int32
    assert found.values.dtype == np.int64


def test_a_cell_takes_two_bytes() -> None:
    n = 10_000
    cells, values = np.arange(0, 2 * n, 2, dtype=np.int32), np.full(n, 7, np.int64)
    none = np.zeros(0)
    assert len(pack_counts(Counts(rows=n, cells=cells, values=values, low=none, high=none))) < 2 * n + 50
