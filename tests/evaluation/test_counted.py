"""The evaluation's short cuts give what the tap's counting gives."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.counts import merge
from detectors.scan import Components, components_of
from tests.evaluation.counted import batch, counted, layout_of, located, matrices
from tests.evaluation.make_streams import make

PANE = 25


@pytest.mark.parametrize("scenario", ["new_category", "missing"])
def test_sums_in_one_go_are_those_of_the_tap(scenario: str) -> None:
    reference, stream = make(scenario, 0, n=1500, n_ref=2000)  # type: ignore[no-untyped-call]
    segments = ("plan",)
    tapped = counted(reference, stream, PANE, segments)
    before, after = batch(reference, 0, segments), batch(stream, len(reference), segments)
    assert layout_of(before, PANE) == tapped.layout
    swept = matrices(after, tapped.layout, 80, 60)
    of: dict[str, Components] = {}
    located(before, tapped.layout, 0, 80, of, learn=True)
    quick = located(after, tapped.layout, 80, 60, of, learn=False)
    assert set(tapped.stream) == set(swept)
    for name, panes in tapped.stream.items():
        learnt = components_of(tapped.layout, merge(c for _, c in tapped.reference[name]))
        vectors = np.zeros((60, learnt.entries))
        vectors[[start // PANE - 80 for start, _ in panes]] = learnt.vectors([c for _, c in panes])
        some = [
            i for i, c in enumerate(learnt.of) if name == "all" or c.group in ("location", "shape", "bins", "tails")
        ]
        assert learnt.of_cells(swept[name])[:, some] == pytest.approx(vectors[:, some], abs=1e-9)
        if name in quick:
            places = [i for i, c in enumerate(learnt.of) if c.group == "location"]
            assert quick[name][:, : len(places)] == pytest.approx(vectors[:, places], abs=1e-6)
