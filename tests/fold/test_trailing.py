"""A reference that trails: normal is what the last days were, without what is known not to have been normal."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import msgspec

from stream_monitor.config import Model, MonitorSpec, Span, WindowSpec
from stream_monitor.config import Reference as Wanted
from stream_monitor.judging.judges import Judge
from stream_monitor.judging.packed_references import pack_reference, unpack_reference
from stream_monitor.judging.references import Reference
from stream_monitor.state.memories import SeriesState
from stream_monitor.state.states import State
from tests.fold.makers import LAYOUT, SECOND, Event, Run, Tap, bodies, counts, steady

# Normal is the last 100 s, found anew every 50 s, once the first 60 rows have said what to begin with.
TRAILER = steady(
    monitors=(MonitorSpec(metric="psi", threshold=2.0),),
    reference=Wanted(trailing=100 * SECOND, every=50 * SECOND, first=60),
)


def seen(series: SeriesState) -> int:
    """Values that a detector has seen."""
    n = series.state["n"] if "n" in series.state else (series.state["memory"] or [0])[0]  # a machine's first number
    return int(n) + len(series.tail)


def live(run: Run, tap: Tap, seconds: range, x: float | None = None, seed: int = 3) -> list[dict[str, Any]]:
    """Two events a second; those with `x` have that value. The references that were adopted meanwhile."""
    rng = random.Random(f"{seed} {seconds}")
    made = []
    for t in seconds:
        events = [Event(at=t * SECOND + k, x=rng.random() if x is None else x) for k in (0, 500)]
        made += bodies(run.feed(tap.block(events)), "reference")
    return made


def spans(run: Run, adopted: list[dict[str, Any]]) -> list[tuple[int, int, int]]:
    """(first pane, end of the last pane, rows) of references, in seconds."""
    found = [unpack_reference(run.catalog.blob(a["reference"])) for a in adopted]
    return [(of[0][0] // SECOND, of[-1][0] // SECOND + 1, r.rows) for r in found if (of := r.series["all"])]


def test_it_is_found_anew_from_the_last_panes() -> None:
    run, tap = Run(model=TRAILER), Tap()
    made = live(run, tap, range(240))
    #                  first 60 rows   [50 s, short of 100]          [trailing 100 s ...]
    assert spans(run, made) == [(0, 30, 60), (0, 50, 100), (0, 100, 200), (50, 150, 200), (100, 200, 200)]
    facts = bodies(run.outputs, "model")[-1]["reference"]
    assert facts["source"] == "trailing 1970-01-01T00:01:40Z to 1970-01-01T00:03:20Z"
    assert facts["provisional"] is False
    assert min(run.state.gathered["m", "", "all"]) >= 100 * SECOND  # older panes are let go
    learnt = next(b["reference"] for b in bodies(run.outputs, "model") if b["reference"])
    assert learnt["provisional"] is True


def test_of_many_renewals_one_reference_is_kept_and_any_restart_puts_out_the_same() -> None:
    """Checkpoints every 20 entries, as the worker makes them: what is disused then is gone for good. A crash goes back
    to the last one, with nothing in the catalog but what that names."""
    often = steady(TRAILER, reference=Wanted(trailing=40 * SECOND, every=5 * SECOND, first=60))
    tap, rng = Tap(), random.Random(11)
    entries = [tap.block([Event(at=t * SECOND + k, x=rng.random()) for k in (0, 500)]) for t in range(250)]
    whole = Run(model=often)
    expected = [msgspec.msgpack.encode(whole.feed(entry)) for entry in entries]
    made = [a["reference"] for a in bodies(whole.outputs, "reference")]
    assert len(made) > 40
    assert whole.state.disused == tuple(made[:-1])

    run, at, most, crashes = Run(model=often), 0, 0, 0
    kept = at, run.state.head(), run.state.records()
    while at < len(entries):
        if at % 20 == 0 and at > kept[0]:
            kept = at, run.state.head(), run.state.records()
            for id in run.state.disused:
                run.catalog.forget_blob(id)
            run.state.withdrawn(run.state.disused)
            assert len(run.catalog.blobs) <= 1
        elif rng.random() < 0.06:
            at, crashes = kept[0], crashes + 1
            run.state = State.restore(*kept[1:], run.catalog)
            named = run.state.models["m"].reference
            run.catalog.blobs = {id: data for id, data in run.catalog.blobs.items() if id == named}
        assert msgspec.msgpack.encode(run.feed(entries[at])) == expected[at]
        at, most = at + 1, max(most, len(run.catalog.blobs))
    assert crashes > 5
    assert most <= 1 + 20 // 5
    assert run.state.records() == whole.state.records()


def test_a_slow_change_of_what_is_normal_is_followed() -> None:
    """Against the first rows alone it would be drift for ever."""
    levels = {}
    for name, wanted in (("trailing", TRAILER.reference), ("first", Wanted(first=60))):
        run, tap, rng = Run(model=steady(TRAILER, reference=wanted)), Tap(), random.Random(7)
        for t in range(600):
            run.feed(tap.block([Event(at=t * SECOND + k, x=t / 1200 + rng.random() / 2) for k in (0, 500)]))
        levels[name] = [v["level"] for v in bodies(run.outputs, "verdict") if v["column"] == "x"][-20:]
    assert "drift" not in levels["trailing"]
    assert set(levels["first"]) == {"drift"}


def test_the_time_of_an_alert_is_not_normal() -> None:
    """Drift from 120 s to 160 s: the alert begins with its first window, and what it is about is left out."""
    run, tap = Run(model=TRAILER), Tap()
    made = live(run, tap, range(120)) + live(run, tap, range(120, 160), x=7.0) + live(run, tap, range(160, 260))
    fired = [a["state"] for a in bodies(run.outputs, "alert")]
    assert fired[:2] == ["pending", "firing"]
    assert fired[-1] == "resolved"
    last = unpack_reference(run.catalog.blob(made[-1]["reference"]))
    kept = {start // SECOND for start, _ in last.series["all"]}
    assert kept.isdisjoint(range(120, 160))
    assert set(range(200, 250)) <= kept
    ((begin, end),) = last.holes  # as far as the reference reaches back
    assert (begin, end >= 160 * SECOND) == (150 * SECOND, True)


def without(begin: str, end: str) -> Model:
    """TRAILER, but for a span."""
    return steady(TRAILER, reference=replace(TRAILER.reference, exclude=(Span(from_=begin, to=end),)))


def test_stated_spans_are_left_out() -> None:
    away = Span(from_="1970-01-01T00:01:10Z", to="1970-01-01T00:01:20Z")
    run, tap = (
        Run(model=steady(TRAILER, reference=Wanted(trailing=100_000, every=50_000, first=60, exclude=(away,)))),
        Tap(),
    )
    made = live(run, tap, range(110))
    kept = {start // SECOND for start, _ in unpack_reference(run.catalog.blob(made[-1]["reference"])).series["all"]}
    assert kept == set(range(100)) - set(range(70, 80))


def test_what_is_too_little_leaves_the_reference_as_it_is() -> None:
    """All of the last 100 s excluded: the one before stays, and the model's document says why."""
    away = Span(from_="1970-01-01T00:01:00Z", to="1970-01-01T01:00:00Z")
    run, tap = (
        Run(model=steady(TRAILER, reference=Wanted(trailing=100_000, every=50_000, first=60, exclude=(away,)))),
        Tap(),
    )
    made = live(run, tap, range(260))
    assert spans(run, made) == [(0, 30, 60), (0, 50, 100), (0, 60, 120)]
    assert "0 rows" in bodies(run.outputs, "model")[-1]["reference"]["note"]


def test_finding_it_anew_is_no_training_and_forgets_no_series() -> None:
    """The oldest allowed age of a model is counted from its promotion, and a change detector goes on."""
    specs = (
        MonitorSpec(metric="psi", detector="page_hinkley", parameters={"threshold": 1e9}),
        MonitorSpec(metric="mean_shift", detector="cusum"),  # its limits are learnt, and those it takes anew each time
    )
    run, tap = Run(model=steady(TRAILER, monitors=specs)), Tap()
    live(run, tap, range(110))
    trained = run.state.models["m"].trained_ms
    before = {k: {name: seen(s) for name, s in own.series.items()} for k, own in run.state.keys.items()}
    assert {name for own in before.values() for name in own} == {"psi:page_hinkley|x", "mean_shift:cusum|x"}
    assert len(live(run, tap, range(110, 220))) == 2
    assert run.state.models["m"].trained_ms == trained
    after = {k: {name: seen(s) for name, s in own.series.items()} for k, own in run.state.keys.items()}
    assert all(after[k][name] == n + 11 for k, own in before.items() for name, n in own.items())


def test_holes_are_kept_with_the_reference() -> None:
    whole = Reference(model="m", version="", layout="l", pane_ms=1, rows=0, series={}, source="s", holes=((3, 5),))
    assert unpack_reference(pack_reference(whole)).holes == ((3, 5),)


def test_holes_are_no_windows_of_low_volume() -> None:
    """Volume is learnt from windows that the reference covers wholly: none of those that a hole touches."""
    some = counts([Event(at=0)] * 5)
    panes = tuple((t * SECOND, some) for t in range(60) if not 12 <= t < 25)
    of = Reference(
        model="m", version="", layout=LAYOUT.id, pane_ms=SECOND, rows=5 * len(panes), series={"all": panes},
        source="s", holes=((12 * SECOND, 25 * SECOND),),
    )  # fmt: skip
    model = steady(TRAILER, window=WindowSpec(size=10 * SECOND))
    assert Judge(model, lambda: of, LAYOUT, "all")._volumes == [50.0] * 4
