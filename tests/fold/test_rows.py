"""Windows by rows against an oracle that adds up panes one after another, however the stream is cut into blocks."""

from __future__ import annotations

import random

import msgspec
import pytest

from stream_monitor.config import WindowSpec
from tests.fold.makers import SECOND, Event, Run, Tap, bodies, spans, steady

DISORDER = 3  # seconds by which events may be out of order: as far as the watermark waits


def oracle(times: list[int], rows: int) -> list[tuple[int, int, int, int]]:
    """(start, end, revision, rows): panes of a second in order, until there are rows enough; what is left is open."""
    panes: dict[int, int] = {}
    for at in times:
        panes[at // SECOND] = panes.get(at // SECOND, 0) + 1
    out, begin, held = [], min(panes), 0
    for second in sorted(panes):
        held += panes[second]
        if held >= rows:
            out.append((begin, second + 1, 0, held))
            begin, held = second + 1, 0
    return out


@pytest.mark.parametrize("seed", range(12))
def test_borders_and_rows_are_those_of_the_oracle_whatever_the_cut(seed: int) -> None:
    """
    panes     2   0   5   1 | 4   0   3 |            N = 7: a window ends with the pane that fills it
    window   [            8 )[        7 )
    """
    rng = random.Random(seed)
    rows = rng.choice([1, 7, 25])
    ordered = sorted(rng.randrange(60 * SECOND) for _ in range(rng.choice([5, 120, 400])))
    times = sorted(ordered, key=lambda at: at + rng.randrange(DISORDER * SECOND))
    run, tap, made = Run(model=steady(window=WindowSpec(rows=rows))), Tap(), []
    left = list(times)
    while left:
        n = rng.randrange(0, 30)
        block = tap.block([Event(at=at) for at in left[:n]])
        mark = None if block.watermark_ms is None else block.watermark_ms - DISORDER * SECOND
        made += spans(run.feed(msgspec.structs.replace(block, watermark_ms=mark)))
        left = left[n:]
    ended = tap.block(at=10 * tap.clock)
    made += spans(run.feed(msgspec.structs.replace(ended, watermark_ms=10**9)))
    # A window that begins in an empty pane begins where the one before ended.
    assert [w[1:] for w in made] == [w[1:] for w in oracle(times, rows)]
    ends = [w[1] for w in made]
    assert [w[0] for w in made] == [min(times) // SECOND, *ends[:-1]][: len(made)]


def test_late_events_revise_the_window_that_holds_them_and_move_no_border() -> None:
    """
    panes 3 3 3 3, N = 5        0   1 | 2   3 |           late: 1, 1, 3
    windows                    [6 )    [6 )              [8) revision 1, [7) revision 1
    """
    run, tap = Run(model=steady(window=WindowSpec(rows=5))), Tap()
    events = [Event(at=s * SECOND + i) for s in range(4) for i in range(3)]
    assert spans(run.feed(tap.block([*events, Event(at=9 * SECOND)]))) == [(0, 2, 0, 6), (2, 4, 0, 6)]
    late = [Event(at=SECOND), Event(at=SECOND + 5), Event(at=3 * SECOND)]
    assert spans(run.feed(tap.block(late))) == [(0, 2, 1, 8), (2, 4, 1, 7)]
    last = {(w["start"], w["revision"]): w["columns"]["x"]["sum"] for w in bodies(run.outputs, "window")}
    assert last["1970-01-01T00:00:00Z", 1] == 8 * 0.5
