"""The panes of a reference are large: they are read when something is learnt from them, and let go of again."""

from __future__ import annotations

from stream_monitor.config import MonitorSpec
from tests.fold.makers import MODEL, SECOND, Event, MemoryCatalog, Run, Tap, bodies, steady
from tests.fold.test_verdicts import reference

SPECS = (
    MonitorSpec(metric="jensen_shannon"),
    MonitorSpec(metric="jensen_shannon", detector="cusum"),
    MonitorSpec(metric="row_volume"),
    MonitorSpec(metric="error_rate"),
)


class Counting(MemoryCatalog):
    """It counts how often a blob was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def blob(self, id: str) -> bytes:
        self.asked += 1
        return super().blob(id)


def events(*seconds: int) -> list[Event]:
    return [Event(at=s * SECOND + i, x=i / 10, right=i % 3 > 0) for s in seconds for i in range(10)]


def test_a_reference_is_read_for_the_first_window_only() -> None:
    catalog = Counting()
    run, tap = (
        Run(model=steady(MODEL, monitors=SPECS), reference=reference(windows=20, rows=10), catalog=catalog),
        Tap(),
    )
    configured = catalog.asked
    first = bodies(run.feed(tap.block(events(*range(12)))), "verdict")
    assert "unknown" not in {v["level"] for v in first}
    assert catalog.asked == configured + 1
    later = bodies(run.feed(*(tap.block(events(s)) for s in range(12, 100))), "verdict")
    assert len(later) == 8 * len(first)
    assert catalog.asked == configured + 1
    judges = [j for key, j in run.state.derived.items() if key[0] == "judge"]
    assert judges
    assert not any({"reference", "_panes", "_cut", "_columns"} & j.__dict__.keys() for j in judges)


def test_a_new_reference_leaves_other_models_alone() -> None:
    run, tap = Run(model=steady(MODEL, monitors=SPECS), reference=reference(windows=20, rows=10)), Tap()
    run.feed(tap.block(events(*range(12))))
    mine = next(key for key in run.state.derived if key[0] == "judge")
    run.state.derived["judge", "another", *mine[2:]] = run.state.derived[mine]
    run.command("promote", {"model": "m", "version": "", "from": "1970-01-01T00:00:00Z", "to": "1970-01-01T00:00:10Z"})
    assert mine not in run.state.derived
    assert ("judge", "another", *mine[2:]) in run.state.derived
