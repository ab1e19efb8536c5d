"""The evaluation's short cuts give what the tap's counting gives."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.counts import merge
from detectors.scan import components_of
from detectors.scan.scan import SEGMENT_SHARES
from tests.evaluation.counted import batch, counted, layout_of
from tests.evaluation.draws import draw
from tests.evaluation.sweeps import learn, sweep

PANE = 25


@pytest.mark.parametrize("scenario", ["new_category", "missing"])
def test_sums_in_one_go_are_those_of_the_tap(scenario: str) -> None:
    reference, stream = draw(scenario, 0, 1500, 2000)
    segments = ("plan",)
    tapped = counted(reference, stream, PANE, segments)
    before, after = batch(reference, 0, segments), batch(stream, len(reference), segments)
    assert layout_of(before, PANE) == tapped.layout
    learnt, known = learn(before, tapped.layout, PANE)
    swept = sweep(after, learnt, PANE)
    assert set(tapped.stream) == set(swept)
    for name in swept:
        own = None if name == "all" else frozenset(SEGMENT_SHARES)
        of = components_of(tapped.layout, merge(c for _, c in tapped.reference[name]), own)
        assert [c.name for c in of.of] == [c.name for c in learnt.of[name].of]
        some = [*range(len(of.of)), -2, -1]
        for panes, first, vectors in ((tapped.reference, 0, known[name]), (tapped.stream, 80, swept[name])):
            expected = np.zeros_like(vectors)
            expected[[start // PANE - first for start, _ in panes[name]]] = of.vectors([c for _, c in panes[name]])
            assert vectors[:, some] == pytest.approx(expected[:, some], abs=1e-6)
