"""The decisions of delivery, as tables: each case says why."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_monitor.deliveries.notices import (
    GIVE_UP_MS,
    LONGEST_WAIT_MS,
    LOOK_AGAIN_MS,
    RESEND_RESOLVED_MS,
    Silence,
    after_failure,
    alert_notices,
    dead_letter,
    decide,
    held,
    identity,
    newest_of,
    resends,
    retrain_notices,
    silenced,
    silences_of,
    wait_ms,
)
from stream_monitor.deliveries.wordings import alert_labels, worst_lines
from stream_monitor.errors import DeliveryError
from tests.deliveries.cases import alert, at, notice, retrain

HOUR = 3_600_000
NOW = int(datetime(2026, 1, 1, 3, tzinfo=UTC).timestamp() * 1000)

# body, notices for two sinks?, comment
TRANSITIONS = [
    (alert("pending"), False, "not sure yet: nobody is woken"),
    (alert("firing"), True, "this is what it is for"),
    (alert("acknowledged"), True, "the others see that somebody is on it"),
    (alert("resolved"), True, "it is over"),
    (alert(path=("pending", "resolved")), False, "it never fired, so nobody knows of it"),
    ({**alert(), "state": "something new"}, False, "a state of a newer release is not guessed at"),
]


@pytest.mark.parametrize(("body", "told", "why"), TRANSITIONS)
def test_which_transitions_are_told(body: dict[str, Any], told: bool, why: str) -> None:
    made = alert_notices("ce1", body, ["slack", "webhook"], NOW, ("alerts", 3, 17))
    assert [n.target for n in made] == (["slack", "webhook"] if told else []), why
    for n in made:
        assert (n.id, n.kind, n.body, n.first_ms, n.due_ms) == ("ce1", "alert", body, NOW, NOW)
        assert n.origin == ("alerts", 3, 17)


# request, triggered, comment
REQUESTS = [
    (retrain(), True, "nothing stands in its way"),
    (retrain(dry_run=True), False, "a dry run is only said"),
    (retrain(approval=True), False, "it waits for somebody"),
    (retrain(approval=True, approved_by="kim"), True, "somebody approved"),
    (retrain(approval=True, approved_by="kim", dry_run=True), False, "approving a dry run starts nothing"),
]


@pytest.mark.parametrize(("body", "triggered", "why"), REQUESTS)
def test_which_requests_are_triggered(body: dict[str, Any], triggered: bool, why: str) -> None:
    made = retrain_notices("r1", body, ["trigger:webhook"], NOW)
    assert len(made) == triggered, why


def test_a_users_label_does_not_replace_ours() -> None:
    body = alert(labels={"alertname": "x", "severity": "none", "team": "risk"})
    assert alert_labels(body) == {
        "alertname": "ModelDrift",
        "model": "fraud",
        "version": "3",
        "segment": "country=de",
        "severity": "critical",
        "team": "risk",
    }


def silence(until: int = NOW + HOUR, id: str = "s1", **matchers: str) -> Silence:
    return Silence(id=id, matchers=matchers, until_ms=until)


# silences, covered by, comment
SILENCES: list[tuple[list[Silence], str | None, str]] = [
    ([], None, "none"),
    ([silence(model="fraud")], "s1", "all of the model"),
    ([silence(model="fraud", group="quality")], None, "every matcher must hold"),
    ([silence(model="fraud", group="drift", team="risk")], "s1", "the group and the model's own labels count"),
    ([silence(model="other")], None, "another model"),
    ([silence()], None, "no matcher at all does not silence everything"),
    ([silence(NOW, model="fraud")], None, "over at its very end"),
    ([silence(NOW + 1, model="fraud")], "s1", "not a moment before"),
    ([silence(model="fraud"), silence(NOW + 2 * HOUR, "s2", segment="country=de")], "s2", "the longest counts"),
    ([silence(unknown="")], None, "a label that is not there matches nothing, not even nothing"),
]


@pytest.mark.parametrize(("silences", "by", "why"), SILENCES)
def test_silences(silences: list[Silence], by: str | None, why: str) -> None:
    found = silenced(alert(), silences, NOW)
    assert (found.id if found else None) == by, why


def test_silences_are_read_from_their_documents() -> None:
    documents = [
        {"id": "s1", "model": "fraud", "matchers": {"group": "drift"}, "until": "2026-01-01T04:00:00Z", "comment": ""},
        {"id": "s2", "model": "", "matchers": {}, "until": "yesterday"},
        ["not", "one"],
    ]
    found = silences_of([*(json.dumps(d).encode() for d in documents), b"{"])
    assert found == [Silence(id="s1", matchers={"group": "drift", "model": "fraud"}, until_ms=NOW + HOUR)]


LATER = alert("resolved")
NEXT = alert(id="a2", started_at=at("02:30"))
COVER = [silence(NOW + 60_000, model="fraud")]

# notice, silences, the alert as it stands, tells states, decision, comment
DECISIONS: list[tuple[Any, list[Silence], Any, bool, str, str]] = [
    (notice(alert()), [], alert(), True, "deliver", "it is as it was"),
    (notice(alert()), [], None, True, "deliver", "the store does not know it yet"),
    (notice(alert()), [], alert(reason="worse", updated_at=at("02:00")), True, "deliver", "worse is no other state"),
    (notice(alert()), [], LATER, True, "drop", "it would fire again what is over"),
    (notice(alert()), [], LATER, False, "deliver", "a webhook is told every transition"),
    (notice(LATER), [], NEXT, True, "drop", "it would resolve the one that fires now"),
    (notice(LATER), [], NEXT, False, "deliver", "a webhook is told every transition"),
    (notice(NEXT), [], LATER, True, "deliver", "the store is behind"),
    (notice(alert()), COVER, alert(), False, "hold", "silenced"),
    (notice(LATER), COVER, LATER, False, "hold", "silence means silence"),
    (notice(alert(), held=True), [], alert(), False, "deliver", "the silence is over and it still fires"),
    (notice(alert(), held=True), [], LATER, False, "drop", "it came and went in silence"),
    (notice(retrain()), COVER, None, False, "deliver", "silences are about alerts"),
]


@pytest.mark.parametrize(("given_", "silences", "stands", "states", "action", "why"), DECISIONS)
def test_decisions(given_: Any, silences: list[Silence], stands: Any, states: bool, action: str, why: str) -> None:
    newest = {identity(stands): stands} if stands else {}
    decision = decide(given_, NOW, silences=silences, newest=newest, tells_states=states)
    assert decision.action == action, why
    if action == "hold":
        assert decision.due_ms == NOW + 60_000


def test_a_long_silence_is_looked_at_again() -> None:
    decision = decide(notice(alert()), NOW, silences=[silence(NOW + 100 * HOUR, model="fraud")])
    assert decision.due_ms == NOW + LOOK_AGAIN_MS


def test_a_silence_counts_neither_as_attempt_nor_as_delay() -> None:
    kept = held(notice(alert(), attempts=3, first_ms=NOW - GIVE_UP_MS), NOW + HOUR)
    assert (kept.attempts + 1, kept.first_ms, kept.held) == (0, NOW + HOUR, True)  # retry adds the one


BUSY = DeliveryError("busy", retry_after=120.0)
DOWN = DeliveryError("answered 500")
NEVER = DeliveryError("answered 410", permanent=True)

# attempts so far, age, error, wait (None: given up), comment
RETRIES: list[tuple[int, int, DeliveryError, int | None, str]] = [
    (0, 0, DOWN, 1_000, "soon"),
    (1, 1_000, DOWN, 2_000, "twice as long each time"),
    (5, 31_000, DOWN, 32_000, "and again"),
    (20, HOUR, DOWN, 300_000, "but not for ever"),
    (0, 0, BUSY, 120_000, "as it asked"),
    (9, HOUR, BUSY, 300_000, "the schedule, when that is later"),
    (0, 0, NEVER, None, "it said so itself"),
    (99, GIVE_UP_MS - 60_000, DOWN, 60_000, "once more at the very end"),
    (99, GIVE_UP_MS, DOWN, None, "a day is over"),
    (0, 2 * GIVE_UP_MS, DOWN, None, "it waited for us, and was tried once"),
]


@pytest.mark.parametrize(("attempts", "age", "error", "wait", "why"), RETRIES)
def test_retries(attempts: int, age: int, error: DeliveryError, wait: int | None, why: str) -> None:
    after = after_failure(notice(alert(), attempts=attempts, first_ms=NOW - age), error, NOW)
    assert (None if after.due_ms is None else after.due_ms - NOW) == wait, why
    assert str(error) in after.reason


@given(st.integers(1, 10_000))
def test_waits_never_shrink(failures: int) -> None:
    assert 1_000 <= wait_ms(failures) <= wait_ms(failures + 1) <= LONGEST_WAIT_MS


def test_the_whole_schedule_of_a_dead_target() -> None:
    now, n, tries = NOW, notice(alert(), first_ms=NOW), 0
    while (due := after_failure(n, DOWN, now).due_ms) is not None:
        now, tries = due, tries + 1
        n = notice(alert(), first_ms=NOW, attempts=tries)
    assert now - NOW == GIVE_UP_MS  # to the millisecond
    assert tries == 9 + -(-(GIVE_UP_MS - 511_000) // LONGEST_WAIT_MS)  # 1 + 2 + ... + 256 s, then every 5 min


def test_the_dead_letter_keeps_the_message() -> None:
    n = notice(alert(), "slack", id="ce1", origin=("stream-monitor.alerts", 2, 40))
    key, value, headers = dead_letter(n, "given up after 24 h: answered 500")
    assert (key, json.loads(value)) == (b"fraud", alert())
    assert dict(headers) == {
        "ce_id": b"ce1",
        "content-type": b"application/json",
        "reason": b"undeliverable",
        "detail": b"slack: given up after 24 h: answered 500",
        "topic": b"stream-monitor.alerts",
        "partition": b"2",
        "offset": b"40",
    }


RESOLVED_MS = NOW - HOUR  # alert("resolved") was at 02:00

# alert, seen before, minutes after 03:00, sent again, comment
RESENDS: list[tuple[dict[str, Any], dict[str, int | None], int, bool, str]] = [
    (alert("pending"), {}, 0, False, "nobody was told"),
    (alert("firing"), {}, 0, True, "it fires"),
    (alert("firing"), {"a1": None}, 600, True, "it still fires"),
    (alert("acknowledged"), {}, 0, True, "seen to, but not over"),
    (alert("resolved"), {"a1": None}, 0, True, "it was active when last seen, whatever the event time says"),
    (alert("resolved"), {"a1": NOW}, 4, True, "for 5 minutes"),
    (alert("resolved"), {"a1": NOW}, 5, False, "and no longer"),
    (alert("resolved"), {}, 0, False, "resolved before this process began"),
    (alert("resolved"), {}, -58, True, "just now, by its own time"),
    (alert("resolved"), {}, -61, False, "a time that has not come says nothing"),
    (alert(path=("pending", "resolved")), {"a1": None}, 0, False, "it never fired"),
]


@pytest.mark.parametrize(("body", "seen", "minutes", "sent", "why"), RESENDS)
def test_resends(body: dict[str, Any], seen: dict[str, int | None], minutes: int, sent: bool, why: str) -> None:
    due, _ = resends([body], seen, [], NOW + minutes * 60_000)
    assert bool(due) == sent, why


def test_a_resolved_alert_is_sent_for_five_minutes_and_forgotten() -> None:
    due, seen = resends([alert("firing")], {}, [], NOW)
    assert len(due) == 1
    rounds = 0
    for minute in range(1, 20):
        due, seen = resends([alert("resolved")], seen, [], NOW + minute * 60_000)
        rounds += len(due)
    assert rounds == RESEND_RESOLVED_MS // 60_000
    assert seen == {}


def test_a_silenced_alert_is_not_sent_again_but_not_forgotten() -> None:
    due, seen = resends([alert("firing")], {}, COVER, NOW)
    assert (due, seen) == ([], {"a1": None})


def test_the_newest_alert_speaks_for_its_identity() -> None:
    bodies = [alert("resolved"), alert(id="a2", started_at=at("02:30")), alert("firing", version="4")]
    assert {a["id"] for a in newest_of(bodies).values() if a["version"] == "3"} == {"a2"}
    assert newest_of(bodies) == newest_of(reversed(bodies))


def test_worst_columns_are_few_and_short() -> None:
    many = [{"column": f"c{i}", "metric": "psi", "value": 1.0, "threshold": 0.2} for i in range(30)]
    assert worst_lines({"worst": many}, 2) == ["c0: psi 1 (threshold 0.2)", "c1: psi 1 (threshold 0.2)", "and 28 more"]
    assert worst_lines({"worst": [{"column": "", "metric": "accuracy", "value": None, "threshold": None}]}, 2) == [
        "accuracy None"
    ]
    assert worst_lines({}, 2) == []
