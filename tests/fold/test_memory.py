"""What a fold keeps for seldom use lies in a file: in memory it takes next to nothing, and it comes back as it was."""

from __future__ import annotations

import os

import msgspec
import numpy as np
import pytest

from detectors.counts import Counts
from stream_monitor.fold.fold import State
from stream_monitor.packing import pack_counts
from stream_monitor.state.memories import Pane
from stream_monitor.state.units import HISTORY
from tests.fold.makers import LAYOUT, SECOND, Event, Run, Tap
from tests.held import held_bytes

KEY = ("m", "1", "all")
UNIT = 10 * SECOND
NOW = 30_000 * SECOND
EACH = 400  # bytes in memory that a length of a window may take


def pane_of_kilobytes(rng: np.random.Generator, i: int) -> Pane:
    cells = np.flatnonzero(rng.random(LAYOUT.size) < 0.6).astype(np.int32)
    counts = Counts(rows=7, cells=cells, values=rng.integers(1, 99, len(cells)), low=np.zeros(1), high=np.ones(1))
    pane = Pane()
    pane.add(LAYOUT.id, pack_counts(counts))
    pane.cover("t/0", i, i + 7)
    return pane


def full() -> tuple[Run, Tap, dict[int, bytes]]:
    """A model with as many lengths of a window as are ever kept, all but two of them of some kB; and those, stored."""
    run, tap, rng = Run(), Tap(), np.random.default_rng(1)
    run.feed(tap.block([Event(at=NOW - 2 * UNIT)]))
    large = {}
    for i in range(HISTORY - 2):
        pane, unit = pane_of_kilobytes(rng, i), NOW - (10 + i) * UNIT
        run.state.panes[KEY][unit] = pane
        run.state.touch("p", *KEY, unit)
        large[unit] = pane.stored()
    return run, tap, large


def test_lengths_of_a_window_take_next_to_no_memory() -> None:
    run, tap, large = full()
    assert min(map(len, large.values())) > 2_000
    assert held_bytes(run.state.panes) > HISTORY * 2_000
    run.feed(tap.block([Event(at=NOW)]))  # a window closes
    assert held_bytes(run.state.panes) < HISTORY * EACH
    assert {u: run.state.panes[KEY][u].stored() for u in large} == large
    assert held_bytes(run.state.panes) < HISTORY * EACH
    other = State.restore(run.state.head(), run.state.records(), run.catalog)
    assert other.records() == run.state.records()
    assert held_bytes(other.panes) < HISTORY * EACH


def test_panes_of_a_trailing_reference_are_put_away_when_a_checkpoint_has_them() -> None:
    """Not before there is a first one: until then all of them are read at every entry."""
    run, rng = Run(), np.random.default_rng(2)
    run.state.mark()
    panes = run.state.gathered["m", "", "all"] = {t: pane_of_kilobytes(rng, t) for t in range(100)}
    for t in panes:
        run.state.touch("l", "m", "", "all", t)
    learning = run.state.changed()
    assert held_bytes(panes) > 100 * 2_000
    run.state.models["m"].reference = run.catalog.add_blob(b"there is one")
    assert run.state.changed() == learning
    assert held_bytes(panes) < 100 * EACH
    for reference, is_away in ((run.state.models["m"].reference, True), ("", False)):
        run.state.models["m"].reference = reference
        other = State.restore(run.state.head(), run.state.records(), run.catalog)
        assert (held_bytes(other.gathered) < 100 * EACH) == is_away
        assert other.records() == run.state.records()


def test_panes_that_the_scan_looks_at_are_put_away_when_a_checkpoint_has_them() -> None:
    run, rng = Run(), np.random.default_rng(3)
    run.state.mark()
    panes = run.state.traces[KEY] = {t: pane_of_kilobytes(rng, t) for t in range(100)}
    counts = [pane.counts_under(LAYOUT.id) for pane in panes.values()]
    for t in panes:
        run.state.touch("f", *KEY, t)
    kept = run.state.changed()
    assert held_bytes(panes) < 100 * EACH
    assert run.state.changed() == kept
    assert [pane.counts_under(LAYOUT.id) for pane in panes.values()] == counts
    assert panes[0].counts_under("another") is None
    other = State.restore(run.state.head(), run.state.records(), run.catalog)
    assert held_bytes(other.traces) < 100 * EACH
    assert other.records() == run.state.records()


def test_the_file_holds_no_more_than_is_kept() -> None:
    """Lengths come and go; those that go make room for those that come."""
    run, tap, large = full()
    run.feed(tap.block([Event(at=NOW)]))
    size = run.state.shelf.size_bytes
    assert sum(map(len, large.values())) < size < 1.3 * sum(map(len, large.values()))
    panes = run.state.panes[KEY]
    for stored in list(large.values())[:100]:
        del panes[min(panes)]
        panes[max(panes) + UNIT] = pane = Pane.restored(stored)
        pane.put_away(run.state.shelf)
    assert len(panes) == HISTORY
    assert run.state.shelf.size_bytes < size + 10_000


def test_one_that_is_put_away_can_be_added_to() -> None:
    run, tap, large = full()
    run.feed(tap.block([Event(at=NOW)]))
    unit, stored = next(iter(large.items()))
    pane = run.state.panes[KEY][unit]
    assert (pane.rows, pane.late, pane.layouts, pane.offsets) == (7, 0, [LAYOUT.id], {"t/0": (0, 7)})
    pane.add_late(3)
    assert msgspec.msgpack.decode(pane.stored())[2] == 3
    other = Pane()
    other.absorb(Pane.restored(stored, run.state.shelf))
    assert other.stored() == stored
    pane.add(LAYOUT.id, pack_counts(Pane.restored(stored).counts()[LAYOUT.id]))
    assert (pane.rows, pane.late) == (14, 3)


def test_a_file_that_was_cut_is_an_error() -> None:
    """Not a window with fewer rows."""
    run, tap, _ = full()
    run.feed(tap.block([Event(at=NOW)]))
    os.ftruncate(run.state.shelf._file, 1_000_000)
    span = {"from": "1970-01-01T00:00:00Z", "to": "1970-01-02T00:00:00Z"}
    with pytest.raises(OSError, match=r"the file in TMPDIR .* has been cut"):
        run.command("promote", {"model": "m", "version": "1", **span})
