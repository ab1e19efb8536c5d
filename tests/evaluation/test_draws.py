"""Drawing faster changes no bit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.evaluation.draws import draw
from tests.evaluation.make_streams import make


@pytest.mark.parametrize(("scenario", "on"), [("autocorr", None), ("correlation", "autocorr"), ("abrupt", None)])
def test_the_same_streams(scenario: str, on: str | None) -> None:
    plain = make(scenario, 3, n=700, n_ref=300, on_top_of=on)  # type: ignore[no-untyped-call]  # kept as it came
    for ours, theirs in zip(draw(scenario, 3, 700, 300, on=on), plain, strict=True):
        assert np.array_equal(ours.x, theirs.x)
        assert np.array_equal(ours.score, theirs.score)
        assert np.array_equal(ours.label, theirs.label)
        assert all(np.array_equal(ours.cat[k], theirs.cat[k]) for k in theirs.cat)
