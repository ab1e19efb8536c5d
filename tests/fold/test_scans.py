"""The scan in the fold: one verdict a column and window, from panes finer than the window.

reference   |||||||||||||||||||||  600 panes of 1 s, 10 events each
stream      |||||||||||||||||||||####################   # : x moves by half of its spread
windows     [   60 s   )[   60 s   )[   60 s   )
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stream_monitor.config import Budget, MonitorSpec, WindowSpec
from stream_monitor.judging.references import Reference
from stream_monitor.state.states import State
from tests.fold.makers import LAYOUT, MODEL, SECOND, TIME, Event, Run, Tap, bodies, counts, steady

SPEC = MonitorSpec(metric="scan")
MODEL_60 = steady(
    MODEL,
    monitors=(SPEC,),
    window=WindowSpec(size=60 * SECOND),
    false_alarms=Budget(alarms=1, per_ms=86_400_000),
)
PANES = 600
RATE = 10  # events of a pane


def events(first: int, last: int, *, seed: int, shift: float = 0.0) -> list[Event]:
    """RATE events a second in seconds [first, last); x is the mean of three uniform numbers, moved by `shift`."""
    x = np.random.default_rng([seed, first + PANES]).random((last - first, RATE, 3)).mean(axis=2) + shift
    return [Event(at=(first + i) * SECOND + k * 90, x=float(x[i, k])) for i in range(last - first) for k in range(RATE)]


@pytest.fixture(scope="module")
def reference() -> Reference:
    panes = [(s * SECOND, counts(events(s, s + 1, seed=1))) for s in range(-PANES, 0)]
    return Reference(
        model="m", version="", layout=LAYOUT.id, pane_ms=SECOND, rows=PANES * RATE, series={"all": tuple(panes)},
        source="s",
    )  # fmt: skip


def verdicts(run: Run, tap: Tap, blocks: Sequence[list[Event]]) -> list[dict[str, Any]]:
    return bodies(run.feed(*(tap.block(b) for b in blocks)), "verdict")


def test_quiet_while_nothing_changes_then_in_words(reference: Reference) -> None:
    run, tap = Run(model=MODEL_60, reference=reference), Tap()
    quiet = verdicts(run, tap, [events(s, s + 30, seed=2) for s in range(0, 900, 30)])
    assert len({v["start"] for v in quiet}) == 14
    assert {v["column"] for v in quiet} == {"x"}
    assert {(v["metric"], v["detector"], v["group"]) for v in quiet} == {("scan", "scan", "drift")}
    assert {v["level"] for v in quiet} == {"ok"}
    moved = verdicts(run, tap, [events(s, s + 30, seed=3, shift=0.08) for s in range(900, 1_080, 30)])
    found = [v for v in moved if v["level"] == "drift"]
    assert found
    first = found[0]
    assert first["reason"].startswith("x: mean up")
    assert first["value"] > first["threshold"]
    assert 0 < first["p_value"] < 1e-4
    assert 0.0 < first["effect"] < 0.2  # the mean of x moved by 0.08
    assert "1970-01-01T00:14:30Z" <= first["onset"] <= "1970-01-01T00:16:00Z"  # it was 00:15:00
    alert = bodies(run.outputs, "alert")[-1]
    assert (alert["group"], alert["onset"]) == ("drift", first["onset"])
    assert alert["reason"].startswith("drift for 2 windows: x: ")
    assert alert["worst"][0]["words"].startswith("x: ")


def test_an_alert_resolves_after_the_recovery(reference: Reference) -> None:
    """reference | quiet | 5 min: x moves by 0.08 | 6 min as it was: OK again in the second window after it, at last"""
    run, tap = Run(model=MODEL_60, reference=reference), Tap()
    verdicts(run, tap, [events(s, s + 30, seed=2) for s in range(0, 300, 30)])
    verdicts(run, tap, [events(s, s + 30, seed=3, shift=0.08) for s in range(300, 600, 30)])
    assert bodies(run.outputs, "alert")[-1]["state"] == "firing"
    after = verdicts(run, tap, [events(s, s + 30, seed=2) for s in range(600, 1_020, 30)])
    levels = [v["level"] for v in after if v["start"] >= "1970-01-01T00:10:00Z"]
    assert levels[1:] == ["ok"] * (len(levels) - 1)
    said = next(v for v in after if v["start"] == "1970-01-01T00:11:00Z")
    assert " was drift from 1970-01-01T00:0" in said["reason"]
    assert " to 1970-01-01T00:1" in said["reason"]
    assert said["value"] < said["threshold"]
    assert bodies(run.outputs, "alert")[-1]["state"] == "resolved"


def test_verdicts_do_not_depend_on_how_the_stream_is_cut(reference: Reference) -> None:
    whole = [e for s in range(0, 300, 30) for e in events(s, s + 30, seed=2)]

    def last(blocks: Sequence[list[Event]]) -> list[dict[str, Any]]:
        run = Run(model=MODEL_60, reference=reference)
        return verdicts(run, Tap(), blocks)

    once = last([whole])
    assert once == last([whole[i : i + 700] for i in range(0, len(whole), 700)])
    assert len(once) == 4


def test_the_state_is_whole_after_a_restart(reference: Reference) -> None:
    run, tap = Run(model=MODEL_60, reference=reference), Tap()
    verdicts(run, tap, [events(s, s + 30, seed=2) for s in range(0, 300, 30)])
    assert run.state.traces
    run.state = State.restore(run.state.head(), run.state.records(), run.catalog)
    again = verdicts(run, tap, [events(300, 400, seed=2)])
    other, tap = Run(model=MODEL_60, reference=reference), Tap()
    made = verdicts(other, tap, [*[events(s, s + 30, seed=2) for s in range(0, 300, 30)], events(300, 400, seed=2)])
    assert again == made[-len(again) :]


def test_a_late_event_gives_the_verdict_it_would_have_given(reference: Reference) -> None:
    stream = [events(s, s + 30, seed=2) for s in range(0, 300, 30)]
    late = Event(at=200 * SECOND, x=0.99)
    run, tap = Run(model=MODEL_60, reference=reference), Tap()
    verdicts(run, tap, stream)
    revised = verdicts(run, tap, [[late]])
    other, tap = Run(model=MODEL_60, reference=reference), Tap()
    straight = verdicts(other, tap, [*stream[:6], [*stream[6], late], *stream[7:]])
    assert [(v["start"], v["revision"]) for v in revised] == [("1970-01-01T00:03:00Z", 1)]
    assert [plain(v) for v in revised] == [plain(v) for v in straight if v["start"] == revised[0]["start"]]


def test_windows_after_a_late_event_are_judged_again_too(reference: Reference) -> None:
    """Their looks reach back to it."""
    lenient = replace(TIME, allowed_lateness=200 * SECOND)
    stream = [events(s, s + 30, seed=2) for s in range(0, 300, 30)]
    late = Event(at=100 * SECOND, x=0.99)
    run, tap = Run(model=MODEL_60, reference=reference, time=lenient), Tap()
    verdicts(run, tap, stream)
    revised = verdicts(run, tap, [[late]])
    other, tap = Run(model=MODEL_60, reference=reference, time=lenient), Tap()
    straight = verdicts(other, tap, [*stream[:3], [*stream[3], late], *stream[4:]])
    assert [v["start"] for v in revised] == [f"1970-01-01T00:0{m}:00Z" for m in (1, 2, 3)]
    assert [plain(v) for v in revised] == [plain(v) for v in straight if v["start"] >= revised[0]["start"]]


def test_so_are_those_after_a_late_event_in_a_window_of_few_rows(reference: Reference) -> None:
    """1 min of traffic | 1 min of two events, a third comes late | 3 min of traffic, whose looks reach back to it"""
    lenient = replace(TIME, allowed_lateness=300 * SECOND)
    few = [Event(at=70 * SECOND, x=0.5), Event(at=80 * SECOND, x=0.5)]
    stream = [events(0, 60, seed=2), few, *(events(s, s + 30, seed=2) for s in range(120, 300, 30))]
    late = Event(at=100 * SECOND, x=0.99)

    def last(blocks: Sequence[list[Event]]) -> dict[tuple[str, str], dict[str, Any]]:
        made = verdicts(Run(model=MODEL_60, reference=reference, time=lenient), Tap(), blocks)
        return {(v["start"], v["column"]): plain(v) for v in sorted(made, key=lambda v: int(v["revision"]))}

    revised, straight = last([*stream, [late]]), last([stream[0], [*few, late], *stream[2:]])
    assert {v["level"] for (start, _), v in straight.items() if start == "1970-01-01T00:01:00Z"} == {"unknown"}
    assert revised == straight


def test_so_are_those_after_late_events_before_the_first_of_all(reference: Reference) -> None:
    """nothing, but four events that come late | 3 min of traffic, whose looks reach back to it"""
    lenient = replace(TIME, allowed_lateness=300 * SECOND)
    stream = [events(s, s + 30, seed=2) for s in range(120, 300, 30)]
    late = [Event(at=s * SECOND, x=0.99) for s in (116, 117, 118, 119)]

    def last(blocks: Sequence[list[Event]]) -> dict[tuple[str, str], dict[str, Any]]:
        made = verdicts(Run(model=MODEL_60, reference=reference, time=lenient), Tap(), blocks)
        return {(v["start"], v["column"]): plain(v) for v in sorted(made, key=lambda v: int(v["revision"]))}

    assert last([*stream, late]) == last([late, *stream])


def plain(verdict: dict[str, Any]) -> dict[str, Any]:
    """A verdict without what the delay has made of it."""
    return {k: v for k, v in verdict.items() if k not in ("id", "revision")}


def test_what_it_keeps_is_bounded(reference: Reference) -> None:
    run, tap = Run(model=MODEL_60, reference=reference), Tap()
    verdicts(run, tap, [events(s, s + 30, seed=2) for s in range(0, 900, 30)])
    kept = max(map(len, run.state.traces.values()))
    assert kept <= 60 + 60 + 128 + 60  # lateness, window, the longest look, and the open window


def test_a_reference_of_a_few_panes_is_unknown() -> None:
    one = ((0, counts(events(0, 3, seed=1))),)
    few = Reference(
        model="m", version="", layout=LAYOUT.id, pane_ms=SECOND, rows=30, series={"all": one}, source="s"
    )  # fmt: skip
    made = verdicts(Run(model=MODEL_60, reference=few), Tap(), [events(0, 70, seed=2)])
    assert {v["level"] for v in made} == {"unknown"}
    assert "too few panes" in made[0]["reason"]
