"""When a retraining is asked for, and for which data: the decision by table, then whole runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stream_monitor.config import LabelFields, Labels, MonitorSpec, Retrain
from stream_monitor.fold.retrains import Cause, Situation, decide
from tests.fold.makers import SECOND, Event, Run, Tap, bodies, seconds, steady

ALERT = {"id": "a1", "group": "drift", "reason": "psi 0.4", "segment": "all", "worst": [], "verdicts": []}
CAUSE = Cause(alert=ALERT, onset_ms=50, monitors=("psi",), offsets={})
FIRING = Situation(now_ms=100, causes=(CAUSE,), labels=10, requested_ms=None, trained_ms=0)
QUIET = replace(FIRING, causes=())


@pytest.mark.parametrize(
    ("policy", "situation", "asks", "reason"),
    [
        (Retrain(), QUIET, False, ""),  # nothing to ask for
        (Retrain(), FIRING, True, "drift: psi 0.4"),
        (Retrain(min_labels=10), FIRING, True, "drift: psi 0.4"),
        (Retrain(min_labels=11), FIRING, False, "10 of 11 labels since the onset"),  # wait for evidence
        (Retrain(cooldown=60), replace(FIRING, requested_ms=50), False, "cooldown until 1970-01-01T00:00:00.110Z"),
        (Retrain(cooldown=50), replace(FIRING, requested_ms=50), True, "drift: psi 0.4"),  # over to the millisecond
        (Retrain(), replace(FIRING, unsound="missing_rate|x"), False, "the data is unsound: missing_rate|x"),
        (Retrain(max_age=100), QUIET, True, "older than max_age"),
        (Retrain(max_age=101), QUIET, False, ""),
        (Retrain(max_age=100, min_labels=99), QUIET, True, "older than max_age"),  # age needs no onset
        (Retrain(max_age=60), replace(QUIET, requested_ms=50), False, ""),  # a request makes young
        (Retrain(max_age=50, cooldown=50), replace(QUIET, requested_ms=50), True, "older than max_age"),
        (Retrain(max_age=100), replace(QUIET, trained_ms=None), False, ""),  # nothing was ever seen
        (Retrain(max_age=100), replace(QUIET, unsound="x"), False, "the data is unsound: x"),
    ],
)
def test_decide(policy: Retrain, situation: Situation, asks: bool, reason: str) -> None:
    decision = decide(policy, situation)
    assert (decision.ask, decision.reason) == (asks, reason)


def drift(run: Run, tap: Tap, windows: range, *, right: bool = False, **more: Any) -> list[dict[str, Any]]:
    """Ten events in each of these windows; the requests that were made."""
    made = []
    for i in windows:
        block = tap.block([Event(at=(i * 10 + k) * SECOND, right=right, **more) for k in range(10)])
        made += bodies(run.feed(block), "retrain-request")
    return made


def model(**policy: Any) -> Any:
    return steady(retrain=Retrain(**{"on": ("performance",), "cooldown": 0, **policy}))


def test_the_range_covers_all_drift_windows_since_the_onset() -> None:
    """
    window    0   1   2   3      ten events and ten offsets a window
              ok  D   D
    onset         ^       ^ closed, alert fires: offsets [10, 30)
    """
    run, tap = Run(model=model()), Tap()
    drift(run, tap, range(1), right=True)
    request = drift(run, tap, range(1, 4))[0]
    assert request["range"] == {
        "from": "1970-01-01T00:00:10Z",
        "to": "1970-01-01T00:00:30Z",
        "offsets": {"t": {"0": [10, 30]}},
    }
    alert = bodies(run.outputs, "alert")[-1]
    assert request["cause"]["alerts"] == [alert["id"]]
    assert request["cause"]["monitors"] == ["error_rate"]
    assert request["evidence"][0]["verdicts"] == alert["verdicts"]
    assert request["id"] == request["idempotency_key"]
    assert (request["dry_run"], request["approved_by"], request["version"]) == (False, None, "1")


def test_a_request_waits_for_labels_and_then_covers_them() -> None:
    run, tap = Run(model=model(min_labels=45)), Tap()
    drift(run, tap, range(1), right=True)
    assert drift(run, tap, range(1, 5)) == []
    assert bodies(run.outputs, "model")[-1]["retrain"]["waiting"] == "30 of 45 labels since the onset"
    request = drift(run, tap, range(5, 8))[0]
    assert request["range"]["to"] == "1970-01-01T00:01:00Z"
    assert request["range"]["offsets"] == {"t": {"0": [10, 60]}}


def test_labels_of_another_topic_are_in_the_range() -> None:
    """Predictions and labels have offsets of their own; in these hand-made panes both are events of `m`."""
    labels = Labels(topic="labels", fields=LabelFields(id="id", label="y"))
    run, tap, told = Run(model=replace(model(), labels=labels)), Tap(), Tap(topic="labels", to=500)
    made = []
    for i in range(4):
        run.feed(tap.block([Event(at=(i * 10 + k) * SECOND) for k in range(10)]))
        block = told.block([Event(at=(i * 10 + k) * SECOND, right=False) for k in range(10)])
        made += bodies(run.feed(block), "retrain-request")
    assert made[0]["range"]["offsets"] == {"labels": {"0": [500, 520]}, "t": {"0": [0, 20]}}


def test_one_request_an_alert_and_the_cooldown_between_alerts() -> None:
    run, tap = Run(model=model(cooldown=150 * SECOND)), Tap()
    assert len(drift(run, tap, range(10))) == 1  # it fires on, and is not asked for again
    drift(run, tap, range(10, 13), right=True)  # resolves
    assert drift(run, tap, range(13, 17)) == []  # fires anew, within the cooldown
    assert bodies(run.outputs, "model")[-1]["retrain"]["waiting"] == "cooldown until 1970-01-01T00:02:50Z"
    request = drift(run, tap, range(17, 20))[0]
    assert seconds(request["range"]["from"]) == 130
    assert bodies(run.outputs, "counters")[-1]["retrain_requests"] == {"m": 2}


def test_alerts_of_other_groups_ask_for_nothing() -> None:
    run, tap = Run(model=model(on=("drift",))), Tap()
    assert drift(run, tap, range(6)) == []
    assert bodies(run.outputs, "alert")[-1]["state"] == "firing"


def test_unsound_data_is_not_trained_on() -> None:
    monitors = (MonitorSpec(metric="error_rate", threshold=0.5), MonitorSpec(metric="missing_rate", threshold=0.5))
    run, tap = Run(model=replace(model(), monitors=monitors)), Tap()
    assert drift(run, tap, range(5), x=None) == []
    assert bodies(run.outputs, "model")[-1]["retrain"]["waiting"] == "the data is unsound: missing_rate|x"
    assert len(drift(run, tap, range(5, 8))) == 1


def test_by_age_whatever_happens() -> None:
    run, tap = Run(model=model(max_age=40 * SECOND)), Tap()
    made = drift(run, tap, range(11), right=True)
    assert [(seconds(r["range"]["from"]), seconds(r["range"]["to"])) for r in made] == [(0, 40), (40, 80)]
    assert made[0]["cause"] == {"alerts": [], "monitors": [], "reason": "older than max_age"}


def test_by_hand_at_once_and_approved() -> None:
    run, tap = Run(model=steady()), Tap()  # no policy at all
    drift(run, tap, range(3), right=True)
    made = run.command("retrain", {"model": "m", "version": "", "reason": "new data", "from": "", "to": ""})
    request = bodies(made, "retrain-request")[0]
    assert (request["version"], request["approved_by"], request["cause"]["reason"]) == ("1", "ann", "new data")
    assert (seconds(request["range"]["from"]), seconds(request["range"]["to"])) == (0, 20)
    made = run.command(
        "retrain",
        {"model": "m", "version": "1", "reason": "", "from": "1970-01-01T00:00:10Z", "to": "1970-01-01T00:00:20Z"},
    )
    assert bodies(made, "retrain-request")[0]["range"]["offsets"] == {"t": {"0": [10, 20]}}


def test_by_hand_before_there_was_anything() -> None:
    run = Run()
    made = run.command("retrain", {"model": "m", "version": "", "reason": ""})
    assert bodies(made, "retrain-request") == []
    assert bodies(made, "model")[-1]["note"] == "nothing to train on yet"


def test_by_hand_of_a_version_that_was_never_seen() -> None:
    run, tap = Run(model=steady()), Tap()
    drift(run, tap, range(3), right=True)
    span = {"from": "1970-01-01T00:00:00Z", "to": "1970-01-01T00:00:20Z"}
    for asked in ({}, span):
        made = run.command("retrain", {"model": "m", "version": "9", "reason": "", **asked})
        assert bodies(made, "retrain-request") == []
        assert bodies(made, "model")[-1]["note"] == "no version '9' to train anew; known: 1"


def test_dry_run_and_approval_are_said() -> None:
    run, tap = Run(model=model(dry_run=True, approval=True)), Tap()
    request = drift(run, tap, range(4))[0]
    assert (request["dry_run"], request["approval"], request["approved_by"]) == (True, True, None)
