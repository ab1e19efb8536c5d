"""The life of an alert: the decision by table, then whole lives drawn from windows."""

from __future__ import annotations

from typing import Any

import pytest

from stream_monitor.config import Alerts, MonitorSpec
from stream_monitor.fold.alerts import Transition, decide, message_id, silenced, worst
from stream_monitor.state.memories import Silence
from tests.fold.makers import MODEL, SECOND, Event, Run, Tap, bodies, seconds, steady

RULES = Alerts(for_=2, resolve_after=3)


@pytest.mark.parametrize(
    ("state", "persisting", "ok", "to"),
    [
        ("", 0, 0, None),  # nothing happened
        ("", 1, 0, "pending"),  # the first DRIFT window
        ("", 5, 0, "pending"),  # always by way of pending
        ("pending", 1, 0, None),  # not long enough
        ("pending", 2, 0, "firing"),  # exactly `for`
        ("pending", 3, 9, "firing"),  # how long it was OK before is of no interest
        ("pending", 0, 1, "resolved"),  # it did not last
        ("firing", 2, 0, None),  # it goes on
        ("firing", 0, 2, None),  # OK, but not long enough
        ("firing", 0, 3, "resolved"),  # exactly `resolve_after`
        ("firing", 0, 0, None),  # neither DRIFT nor OK: UNKNOWN resolves nothing
        ("acknowledged", 4, 0, None),  # someone knows; it is not sent again
        ("acknowledged", 0, 3, "resolved"),
    ],
)
def test_decide(state: str, persisting: int, ok: int, to: str | None) -> None:
    decision = decide(state, persisting=persisting, ok=ok, rules=RULES)
    assert (decision.to if decision is not None else None) == to
    assert decision is None or decision.reason


def test_reasons_say_what_was_counted() -> None:
    assert decide("firing", persisting=0, ok=1, rules=Alerts(resolve_after=1)) == Transition(
        "resolved", "ok for 1 window"
    )
    assert decide("pending", persisting=0, ok=0, rules=RULES) == Transition("resolved", "did not last 2 windows")


# A life is drawn with one letter a window of 10 s: D drift, o ok, ? too few labels, . no event at all.


def play(life: str, run: Run | None = None, **more: Any) -> list[tuple[int, str]]:
    """(window in which it was closed, state after) of each transition."""
    run = run or Run()
    tap = Tap()
    made = []
    for i, letter in enumerate([*life, "end"]):
        errors = {"D": 6, "o": 0, "?": 0, ".": 0, "end": 0}[letter]
        n = {"?": 2, ".": 0}.get(letter, 6)
        events = [Event(at=i * 10 * SECOND + k, right=k >= errors, **more) for k in range(n)]
        block = tap.block(events, at=i * 10 * SECOND) if n else tap.block(at=i * 10 * SECOND, idle=True)
        made += [(i - 1, a["state"]) for a in bodies(run.feed(block), "alert")]
    return made


@pytest.mark.parametrize(
    ("life", "transitions"),
    [  #  0123456789
        ("oooo", []),
        ("oDoo", [(1, "pending"), (2, "resolved")]),
        ("oDDo", [(1, "pending"), (2, "firing")]),
        ("oDDoo", [(1, "pending"), (2, "firing"), (4, "resolved")]),
        ("oDDoDoo", [(1, "pending"), (2, "firing"), (6, "resolved")]),  # hysteresis: one OK window is not the end
        ("oD?Do", [(1, "pending"), (3, "firing")]),  # UNKNOWN does not break a row
        ("oD???", [(1, "pending")]),  # nor does it count
        ("oDD????", [(1, "pending"), (2, "firing")]),  # UNKNOWN never resolves
        ("oDDo?o", [(1, "pending"), (2, "firing"), (5, "resolved")]),
        ("DD....", [(0, "pending"), (1, "firing")]),  # silence is UNKNOWN too
        ("oDoDo", [(1, "pending"), (2, "resolved"), (3, "pending"), (4, "resolved")]),
    ],
)
def test_lives(life: str, transitions: list[tuple[int, str]]) -> None:
    assert play(life) == transitions


def test_an_alert_has_the_shape_of_the_contract_and_says_why() -> None:
    run = Run()
    play("oDDo", run)
    pending, fired = bodies(run.outputs, "alert")
    assert (pending["state"], fired["state"]) == ("pending", "firing")
    assert pending["id"] == fired["id"]
    assert seconds(fired["onset"]) == 10
    assert seconds(fired["started_at"]) == 20  # the block that closed the first drift window
    assert fired["worst"] == [
        {"column": None, "metric": "error_rate", "value": 1.0, "threshold": 0.5, "level": "drift"}
    ]
    assert fired["verdicts"] == [
        v["id"] for v in bodies(run.outputs, "verdict") if v["start"] == "1970-01-01T00:00:20Z"
    ]
    assert fired["labels"] == {"team": "risk"}
    assert fired["annotations"]["runbook"] == "https://wiki/m"
    assert fired["annotations"]["summary"] == "m 1: performance in error_rate"
    assert [(t["from"], t["to"], t["by"]) for t in fired["transitions"]] == [
        ("", "pending", ""),
        ("pending", "firing", ""),
    ]
    assert fired["reason"] == "drift for 2 windows: model: error_rate 1, threshold 0.5"
    assert message_id(pending) != message_id(fired)


def test_one_alert_for_a_group_however_many_columns_and_one_thing_must_persist() -> None:
    """Two monitors of one group, DRIFT in turn: nothing persists, nothing fires."""
    low = MonitorSpec(metric="missing_rate", threshold=0.5)
    high = MonitorSpec(metric="missing_rate", threshold={"below": 0.1}, severity="warning")
    run, tap = Run(model=steady(monitors=(low, high))), Tap()
    for i in range(6):
        x = None if i % 2 else 0.5
        run.feed(tap.block([Event(at=(i * 10 + k) * SECOND, x=x) for k in range(10)]))
    assert {a["state"] for a in bodies(run.outputs, "alert")} == {"pending"}
    assert len({a["id"] for a in bodies(run.outputs, "alert")}) == 1
    # Both at once, and for two windows: one alert that names both monitors' verdicts, with the graver severity.
    for i in (6, 7, 8):
        run.feed(tap.block([Event(at=(i * 10 + k) * SECOND, x=None) for k in range(10)]))
    fired = bodies(run.outputs, "alert")[-1]
    assert (fired["group"], fired["state"], fired["severity"]) == ("quality", "firing", "critical")


def test_an_alert_keeps_the_severity_it_fired_with() -> None:
    """It is a label, so Alertmanager would take it for another alert, and never hear of the end of the first."""
    monitors = (
        MonitorSpec(metric="missing_rate", threshold=0.5, severity="warning"),
        MonitorSpec(metric="missing_rate", threshold=0.9),
    )
    run, tap = Run(model=steady(monitors=monitors)), Tap()
    for i, missing in enumerate([6, 6, 10, 0, 0, 0]):
        events = [Event(at=(i * 10 + k) * SECOND, x=None if k < missing else 0.5) for k in range(10)]
        run.feed(tap.block(events))
    told = [(a["state"], a["severity"]) for a in bodies(run.outputs, "alert")]
    assert told == [("pending", "warning"), ("firing", "warning"), ("resolved", "warning")]


def test_a_superseded_version_resolves() -> None:
    """
    version 1   D D . . .      fires, then has no more events
    version 2       o o o      OK while version 1 is silent for retire_after windows: resolved
    """
    run, tap = Run(model=steady(alerts=Alerts(for_=2, resolve_after=3, retire_after=3))), Tap()
    for i, (version, right) in enumerate([("1", False), ("1", False), ("2", True), ("2", True), ("2", True)]):
        run.feed(tap.block([Event(at=(i * 10 + k) * SECOND, right=right, version=version) for k in range(10)]))
    assert [a["state"] for a in bodies(run.outputs, "alert")] == ["pending", "firing"]
    run.feed(tap.block([Event(at=50 * SECOND, version="2")]))
    last = bodies(run.outputs, "alert")[-1]
    assert (last["version"], last["state"], last["reason"]) == ("1", "resolved", "superseded by 2")


def test_a_drifting_new_version_supersedes_nothing() -> None:
    run, tap = Run(), Tap()
    for i, version in enumerate("112222222"):
        run.feed(tap.block([Event(at=(i * 10 + k) * SECOND, right=False, version=version) for k in range(10)]))
    assert {(a["version"], a["state"]) for a in bodies(run.outputs, "alert")} == {
        ("1", "pending"),
        ("1", "firing"),
        ("2", "pending"),
        ("2", "firing"),
    }


def test_acknowledged_by_a_person() -> None:
    run = Run()
    play("oDDo", run)
    alert = bodies(run.outputs, "alert")[-1]["id"]
    made = run.command("acknowledge", {"alert": alert, "comment": "on it"}, at=99_000)
    told = bodies(made, "alert")[0]
    assert told["state"] == "acknowledged"
    assert told["transitions"][-1] == {
        "at": "1970-01-01T00:01:39Z",
        "from": "firing",
        "to": "acknowledged",
        "reason": "on it",
        "by": "ann",
    }
    assert bodies(run.command("acknowledge", {"alert": alert, "comment": ""}), "alert") == []
    assert bodies(run.outputs, "model")[-1]["note"] == f"alert {alert} is not firing"


def test_a_command_that_comes_twice_acts_once() -> None:
    from stream_monitor.entries import Command

    run = Run()
    play("oDDo", run)
    body = {"model": "m", "version": "", "reason": ""}
    command = Command("same", "retrain", 1, "ann", body)
    assert len(bodies(run.feed(command, command), "retrain-request")) == 1


def test_silences_are_told_with_the_alert() -> None:
    run = Run()
    run.command(
        "silence", {"id": "s1", "model": "m", "matchers": {"group": "performance"}, "until": "1970-01-01T00:00:25Z"}
    )
    play("oDDo", run)
    pending, fired = bodies(run.outputs, "alert")
    assert pending["silenced"] == ["s1"]  # at 20
    assert fired["silenced"] == []  # at 30


@pytest.mark.parametrize(
    ("matchers", "until", "matches"),
    [
        ({"model": "m"}, 10, True),
        ({"model": "m", "team": "risk"}, 10, True),  # the model's own labels
        ({"alertname": "ModelDrift"}, 10, True),
        ({"segment": "country=de"}, 10, False),
        ({"unknown": ""}, 10, False),
        ({}, 10, True),
        ({"model": "m"}, 5, False),  # over
    ],
)
def test_which_alerts_a_silence_matches(matchers: dict[str, str], until: int, matches: bool) -> None:
    alert = {"group": "drift", "model": "m", "version": "1", "segment": "all", "labels": {"team": "risk"}}
    assert bool(silenced(alert, [Silence("s", matchers, until, "", "ann")], 5)) is matches


def test_the_worst_come_first() -> None:
    def verdict(column: str, value: float, level: str = "drift", direction: str = "above") -> dict[str, Any]:
        return {
            "monitor": "psi",
            "column": column,
            "metric": "psi",
            "value": value,
            "threshold": 0.2,
            "direction": direction,
            "level": level,
        }

    given = [
        verdict("a", 0.3),
        verdict("b", 0.9),
        verdict("c", 0.1, "ok"),
        verdict("d", 5.0, "warning"),
        verdict("e", 0.01, "drift", "below"),
    ]
    assert [w["column"] for w in worst(given)] == ["b", "e", "a", "d"]


def test_the_model_document_tells_of_it() -> None:
    run = Run()
    play("oDDo", run)
    body = bodies(run.outputs, "model")[-1]
    assert body["levels"] == {"performance": "ok"}
    assert body["firing"] == [bodies(run.outputs, "alert")[-1]["id"]]
    assert bodies(run.outputs, "counters")[-1]["alerts_firing"] == {"m": {"performance": 1}}
    assert MODEL.alerts.for_ == 2


def test_an_alert_whose_monitors_are_gone_resolves() -> None:
    run = Run()
    play("oDDo", run)
    run.model = steady(monitors=(MonitorSpec(metric="missing_rate", threshold=0.5),))
    told = bodies(run.feed(run.config()), "alert")
    assert [(a["state"], a["reason"]) for a in told] == [("resolved", "no longer monitored")]
