"""What the configuration names no more goes, with its alerts; what taps still send of it is passed over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from stream_monitor.config import Config, Model
from stream_monitor.config.plain import plain_config
from stream_monitor.entries import Command
from stream_monitor.state.states import State
from tests.fold.makers import LAYOUT, MODEL, SECOND, TIME, Event, Run, Tap, bodies, spans

N = replace(MODEL, topic=("n",))


def config(id: str, **models: Model) -> Command:
    body = {
        "config": plain_config(Config(models=models, time=TIME)),
        "layouts": dict.fromkeys(models, LAYOUT.id),
        "references": {},
    }
    return Command(f"config:{id}", "config", 0, "worker", body)


def wrong(*seconds: int) -> list[Event]:
    """Seven events a second, all predicted wrongly."""
    return [Event(at=s * SECOND + i, right=False, segments=("country=de",)) for s in seconds for i in range(7)]


def alerting(segments: tuple[str, ...] = ()) -> tuple[Run, Tap]:
    """Model m, counted under configuration c, with an alert that fires; model n beside it."""
    run = Run(model=replace(MODEL, segments=segments))
    run.feed(config("c", m=run.model, n=N))
    tap = Tap()
    run.feed(tap.block(wrong(1, 11, 21, 31)))
    assert [a["state"] for a in bodies(run.outputs, "alert") if a["segment"] == "all"] == ["pending", "firing"]
    return run, tap


def test_a_model_that_is_removed_ends_its_alerts_and_leaves_nothing() -> None:
    run, _ = alerting()
    made = run.feed(config("d", n=N))
    ended = bodies(made, "alert")
    assert {(a["model"], a["state"], a["reason"]) for a in ended} == {
        ("m", "resolved", "the model was removed from the configuration")
    }
    assert [m["removed"] is not None for m in bodies(made, "model") if m["model"] == "m"] == [True]
    kept = State.restore(run.state.head(), run.state.records(), run.catalog)
    assert [name for name in map(msgspec.msgpack.decode, kept.records()) if "m" in name[1:]] == []
    assert "m" not in kept.head_state.counters.events


def test_what_is_written_of_it_into_checkpoints_is_deleted() -> None:
    """A checkpoint holds what changed since the last one: without the deletions the model would come back."""
    run, _ = alerting()
    before = dict(run.state.records())
    run.state.mark()
    run.feed(config("d", n=N))
    for name, data in run.state.changed().items():
        if data is None:
            before.pop(name, None)
        else:
            before[name] = data
    assert before == run.state.records()


def test_a_tap_that_does_not_know_yet_sends_in_vain() -> None:
    """
    fold    c ............. d (without m) ......... e (with m)
    tap     under c ................. under c | ... under e
                            passed over   ^         counted
    """
    run, tap = alerting()
    run.feed(config("d", n=N))
    run.feed(tap.block(wrong(41)))
    run.feed(config("e", m=MODEL, n=N))
    run.feed(replace_config(tap.block(wrong(51, 62)), "e"))
    last = [s for s in spans(run.outputs) if s[0] >= 40]
    assert last == [(50, 60, 0, 7)]


def replace_config(bundle: Any, id: str) -> Any:
    return msgspec.structs.replace(bundle, config=id)


def test_a_model_that_comes_with_its_events_ahead_of_it_loses_none() -> None:
    """Taps may take a configuration over before the fold does: its panes wait for it."""
    run, tap = Run(), Tap(topic="n")
    run.feed(config("c", m=MODEL))
    ahead = replace_config(tap.block(wrong(1)), "d")
    ahead = replace_model(ahead, "n")
    run.feed(ahead)
    run.feed(config("d", m=MODEL, n=N))
    run.feed(replace_model(replace_config(tap.block(wrong(12)), "d"), "n"))
    assert [(w["model"], w["rows"]) for w in bodies(run.outputs, "window") if w["segment"] == "all"] == [("n", 7)]


def replace_model(bundle: Any, model: str) -> Any:
    return msgspec.structs.replace(
        bundle, panes=tuple(msgspec.structs.replace(pane, model=model) for pane in bundle.panes)
    )


def test_the_document_of_a_model_that_comes_again_is_newer_than_that_of_the_one_before() -> None:
    run, _ = alerting()
    run.feed(config("d", n=N))
    gone = [o.revision for o in run.outputs if o.kind == "model" and o.model == "m"][-1]
    made = run.feed(config("e", m=MODEL, n=N))
    assert [o.revision > gone for o in made if o.kind == "model" and o.model == "m"] == [True]


def test_a_segment_that_is_none_any_more_goes_alone() -> None:
    run, tap = alerting(segments=("country",))
    whole = run.state.keys["m", "1", "all"]
    made = run.feed(config("d", m=MODEL, n=N))
    assert {(a["segment"], a["state"], a["reason"]) for a in bodies(made, "alert")} == {
        ("country=de", "resolved", "no longer a segment")
    }
    assert [k for k in run.state.keys if k[0] == "m"] == [("m", "1", "all")]
    run.feed(tap.block(wrong(41)))  # still counted under c, with the segment
    assert [k for k in run.state.keys if k[0] == "m"] == [("m", "1", "all")]
    assert run.state.keys["m", "1", "all"] is whole


def test_the_others_go_on_as_if_nothing_had_happened() -> None:
    """Bit for bit: the same log with and without a model that comes and goes."""

    model = replace(MODEL, segments=("country",))

    def play(*changes: Command) -> list[Any]:
        run, tap = Run(), Tap()
        run.feed(config("c", m=model))
        for i, change in enumerate(changes or (config("c", m=model),) * 2):
            run.feed(change)
            run.feed(tap.block(wrong(*range(10 * i, 10 * i + 10, 3))))
        run.feed(tap.block(wrong(40)))
        return [o.body for o in run.outputs if o.kind in ("window", "verdict", "alert") and o.model == "m"]

    assert play(config("d", m=model, n=N), config("e", m=model)) == play()
