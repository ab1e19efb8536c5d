"""Projections of vectors: the compiled loop and numpy's against each other, to the last bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detectors import projections


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.floats(), max_size=9), max_size=9), st.integers(0, 3))
@example([[1e300, 1e300], [math.nan], [math.inf, -math.inf], [-0.0], [5e-324] * 9], 1)
def test_loops_agree(vectors: list[list[float]], first: int) -> None:
    numbers = np.array([x for v in vectors for x in v], np.float64)
    counts = np.array([len(v) for v in vectors], np.int64)
    found = []
    for run in (projections._loop, projections._numpy):
        norms, sums = np.zeros(first + len(vectors)), np.zeros((16, first + len(vectors)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(projections, "_run", run)
            projections.project(numbers, counts.cumsum() - counts, counts, norms, sums, first, longest=8)
        assert not norms[:first].any()
        assert not any(norms[first + i] for i, v in enumerate(vectors) if len(v) == 9)
        finite = np.isfinite(norms), np.isfinite(sums)  # which NaN it is nobody asks
        found.append([np.where(ok, of, 0.0).tobytes() for ok, of in zip(finite, (norms, sums), strict=True)])
        found[-1] += [np.isinf(of).tobytes() for of in (norms, sums)]
    assert found[0] == found[1]
