"""The service as its users run it: `stream-monitor run`, with all that stands around it, through a drift and out again.

Fixtures (conftest.py) play the chapters of one story; tests look at what a chapter left behind. Windows are minutes of
event time; the segment country=fr is silenced.
"""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from tests import servers
from tests.deploy.test_prometheus import ALERTS, EXPRESSIONS
from tests.servers import wait_until
from tests.system.chapters import AFTER, COMPARED, DRIFT, FIRED, NAMES, NOTHING_TO_SHOW, OK, QUIET, TOLD, Chapter
from tests.system.stage import ADMIN_KEY, KEY, READ_KEY, SECRET, TOPIC, Message, Stage, command, verified
from tests.system.traffic import BAD, instant

Topics = dict[str, list[Message]]


# -- the commands


def test_check_asks_everything_and_sends_nothing(stage: Stage) -> None:
    assert stage.checked.returncode == 0, stage.checked.stderr
    for asked in ("system.predictions", "alertmanager", "webhook", "trigger:webhook"):
        assert asked in stage.checked.stdout
    assert SECRET not in stage.checked.stdout + stage.checked.stderr


def test_status_is_a_table_and_json(stage: Stage, drift: Chapter) -> None:
    """Of whatever chapter it is by now; the address is all it needs."""
    table = command("status", "--url", stage.url)
    assert (table.returncode, table.stderr) == (0, "")
    assert "fraud" in table.stdout
    told = command("status", "--url", stage.url, "fraud", "--json")
    assert json.loads(told.stdout)["levels"].keys() == OK.keys()


# -- the API


def test_quiet_traffic_is_ok(stage: Stage, quiet: Chapter) -> None:
    assert quiet.model["levels"] == OK
    assert quiet.model["last_window"]["end"] == instant(QUIET.stop - 1)
    assert quiet.model["rows"] == quiet.served["events_total"]["fraud", "1"]
    assert quiet.model["segments"] == ["all", "country=de", "country=fr"]
    assert quiet.model["label_coverage"] == 1.0
    assert (quiet.model["firing"], quiet.active, stage.get("/v1/status")["notes"] != []) == ([], [], True)


def test_every_event_is_in_one_window(stage: Stage, over: Chapter) -> None:
    windows = stage.items("/v1/models/fraud/windows", segment="all")
    assert [w["start"] for w in windows] == [instant(m) for m in range(AFTER.stop - 1)]
    expected = [sum(of.count(m) for of in stage.minutes()) for m in range(AFTER.stop - 1)]
    assert [w["rows"] for w in windows] == expected
    assert [w["labels"] for w in windows] == expected
    for window in windows:
        parts = stage.items("/v1/models/fraud/windows", **{"from": window["start"], "to": window["end"]})
        assert sum(w["rows"] for w in parts if w["segment"] != "all") == window["rows"]
        for column in window["columns"].values():
            found = sum(column["counts"]) + column["other"] + column["missing"] + column["invalid"]
            assert found == window["rows"]


def test_a_drift_fires_one_alert_for_each_group_and_segment(drift: Chapter) -> None:
    assert {name for name, alert in drift.alerts.items() if alert["state"] == "firing"} == FIRED
    assert {g: level for g, level in drift.model["levels"].items() if level != "ok"} == dict.fromkeys(NAMES, "drift")
    assert sorted(drift.model["firing"]) == sorted(drift.alerts[name]["id"] for name in FIRED)
    assert {a["onset"] for a in drift.alerts.values()} == {instant(DRIFT.start)}
    assert drift.alerts["all", "drift"]["worst"][0]["column"] == "amount"
    assert drift.alerts["all", "performance"]["worst"][0]["metric"] in ("error_rate", "log_loss")


def test_an_acknowledgement_says_by_whom(acknowledged: dict[str, Any]) -> None:
    last = acknowledged["transitions"][-1]
    assert (last["from"], last["to"], last["reason"]) == ("firing", "acknowledged", "I look into it")
    assert last["by"].startswith("key:")


def test_the_recovery_resolves_every_alert(over: Chapter) -> None:
    assert over.model["levels"] == OK
    assert over.model["firing"] == []
    assert over.alerts.keys() == FIRED
    for alert in over.alerts.values():
        assert (alert["state"], alert["reason"]) == ("resolved", "ok for 3 windows")
        assert alert["resolved_at"] == alert["updated_at"] > alert["started_at"]


def test_a_silence_is_listed_and_marks_its_alerts(stage: Stage, silence: dict[str, Any], drift: Chapter) -> None:
    assert [s["id"] for s in stage.items("/v1/silences")] == [silence["id"]]
    assert {name[0] for name, alert in drift.alerts.items() if alert["silenced"]} == {"country=fr"}


def test_what_was_ordered_is_in_the_audit(stage: Stage, acknowledged: dict[str, Any]) -> None:
    headers = {"authorization": f"Bearer {ADMIN_KEY}"}
    audit = httpx.get(f"{stage.url}/v1/audit", headers=headers, timeout=60, trust_env=False).json()["items"]
    assert [(a["kind"], a["outcome"]) for a in audit][:2] == [("silence", "accepted"), ("acknowledge", "accepted")]
    assert KEY not in json.dumps(audit)


# -- those who are told


def test_alertmanager_gets_the_labels_that_are_promised(drift: Chapter) -> None:
    own = {"model": "fraud", "version": "1", "severity": "critical", "team": "risk"}
    expected = [{**own, "alertname": NAMES[group], "segment": segment} for segment, group in TOLD]
    found = [a["labels"] for a in drift.active]
    assert sorted(found, key=str) == sorted((dict(sorted(e.items())) for e in expected), key=str)
    for alert in drift.active:
        assert alert["annotations"]["runbook"] == "https://runbooks.example.org/fraud"
        assert alert["annotations"]["onset"] == instant(DRIFT.start)
        assert alert["status"]["state"] == "active"
    sizes = {g["labels"]["alertname"]: len(g["alerts"]) for g in drift.groups}
    assert sizes == {"ModelDrift": 2, "ModelPerformance": 2}


def test_alertmanager_tells_the_pager_of_the_beginning_and_the_end(stage: Stage, over: Chapter) -> None:
    assert over.active == []
    ends = stage.paged()
    assert ends.keys() == {over.alerts[name]["id"] for name in TOLD}
    now = datetime.now(UTC)
    assert all(end is not None and end < now for end in ends.values())


def test_the_webhook_gets_each_transition_once(stage: Stage, topics: Topics) -> None:
    messages = [m for m in topics["alerts"] if m.body["state"] != "pending" and not m.body["silenced"]]
    assert len(messages) == 2 * len(TOLD) + 1
    requests = [(r.headers["webhook-id"], verified(r)) for r in stage.webhook.requests]
    assert {r.path for r in stage.webhook.requests} == {"/alerts"}
    assert dict(requests) == {m.headers["ce_id"]: m.body for m in messages}
    assert len(requests) == len(messages)


def test_a_retrain_request_reaches_its_trigger(stage: Stage, over: Chapter) -> None:
    first, second = stage.trigger.requests
    assert first.path == "/retrain"
    assert verified(first) == verified(second)
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == verified(first)["idempotency_key"]
    assert [verified(first)] == stage.items("/v1/models/fraud/retrain-requests")


def test_a_retrain_request_names_its_evidence(stage: Stage, drift: Chapter) -> None:
    (request,) = stage.items("/v1/models/fraud/retrain-requests")
    firing = {a["id"] for a in drift.alerts.values()}
    assert set(request["cause"]["alerts"]) <= firing
    assert drift.alerts["all", "drift"]["id"] in request["cause"]["alerts"]
    span = request["range"]
    assert span["from"] == instant(DRIFT.start)
    assert span["to"] in [instant(m) for m in DRIFT[2:]]
    covered = range(DRIFT.start, next(m for m in DRIFT if instant(m) == span["to"]))
    for partition, minutes in enumerate(stage.minutes()):
        inside = [i for i, m in enumerate(minutes) if m in covered]
        assert span["offsets"][TOPIC][str(partition)] == [inside[0], inside[-1] + 1]


# -- Prometheus


@pytest.mark.parametrize("metric", COMPARED)
@pytest.mark.parametrize("chapter", ["quiet", "drift", "over"])
def test_prometheus_says_what_the_api_says(request: pytest.FixtureRequest, chapter: str, metric: str) -> None:
    """What has not happened yet is counted as 0 there, and is not told here."""
    told: Chapter = request.getfixturevalue(chapter)
    scraped, served = told.scraped[metric], told.served[metric]
    assert {of: value for of, value in scraped.items() if value or of in served} == served


def test_prometheus_counts_what_was_published(stage: Stage, over: Chapter) -> None:
    assert over.scraped["events_total"] == {("fraud", "1"): stage.traffic.readable}
    assert sum(over.scraped["dead_letters_total"].values()) == len(BAD)


def test_metrics_are_in_good_form(stage: Stage, over: Chapter) -> None:
    promtool = servers.need_program("promtool", "prometheus")
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=stage.metrics(), capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_every_rule_and_panel_finds_its_series(stage: Stage, over: Chapter) -> None:
    """None is refused because of how real series match."""
    for where, expression in EXPRESSIONS.items():
        query = expression.replace("$__rate_interval", "1m").replace("$model", ".*").replace("$segment", ".*")
        found = stage.query(query)
        if where.startswith("panel"):
            assert found or where in NOTHING_TO_SHOW, where
    assert {r["name"]: r["health"] for r in stage.rules()} == dict.fromkeys(ALERTS, "ok")
    assert [r["name"] for r in stage.rules() if r["state"] == "firing"] == []


# -- the page


def test_the_page_changes_by_itself(stage: Stage, quiet: Chapter, drift: Chapter, over: Chapter) -> None:
    assert stage.page.marked()  # never loaded again
    for chapter in (quiet, drift, over):
        last = chapter.model["last_window"]["end"]
        levels = list(chapter.model["levels"].values())
        assert chapter.row[: len(levels) + 3] == ["fraud", *levels, "1", f"{last[:10]} {last[11:19]}"]
    assert "nothing needs you" in quiet.page
    assert f"Alerts: {len(FIRED)} firing" in drift.page
    assert "against the reference" in drift.page
    assert "firing" not in over.page
    assert stage.page.problems() == []


# -- the topics


@pytest.mark.parametrize("kind", ["verdict", "alert", "retrain-request"])
def test_public_messages_are_as_promised(stage: Stage, topics: Topics, kind: str) -> None:
    schema = stage.get(f"/v1/schemas/{kind}")
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    messages = topics[f"{kind}s"]
    assert messages
    for message in messages:
        validator.validate(message.body)
        assert message.key == "fraud"
        assert message.headers.keys() == {
            "ce_id", "ce_source", "ce_type", "ce_time", "ce_specversion", "content-type",
        }  # fmt: skip
        assert message.headers["ce_type"] == f"stream-monitor.{kind}.v1"
        assert message.headers["ce_specversion"] == "1.0"
        assert message.headers["content-type"] == "application/json"
        assert datetime.fromisoformat(message.headers["ce_time"]).tzinfo is UTC
        if kind != "alert":
            assert message.headers["ce_id"] == message.body["id"]
    ids = [m.headers["ce_id"] for m in messages]
    assert len(ids) == len(set(ids))


def test_windows_are_as_promised(stage: Stage, over: Chapter) -> None:
    validator = Draft202012Validator(stage.get("/v1/schemas/window"))
    for window in stage.items("/v1/models/fraud/windows"):
        validator.validate(window)


def test_topics_and_api_say_the_same(stage: Stage, over: Chapter, topics: Topics) -> None:
    verdicts = {m.body["id"]: m.body for m in topics["verdicts"]}
    assert {v["id"]: v for v in stage.items("/v1/models/fraud/verdicts")} == verdicts
    alerts = {m.body["id"]: m.body for m in topics["alerts"]}  # the last of each: one partition per model
    assert {a["id"]: a for a in over.alerts.values()} == alerts
    assert {id for a in alerts.values() for id in a["verdicts"]} <= verdicts.keys()
    requests = [m.body for m in topics["retrain-requests"]]
    assert requests == stage.items("/v1/models/fraud/retrain-requests")
    assert {v for r in requests for e in r["evidence"] for v in e["verdicts"]} <= verdicts.keys()


def test_what_nobody_can_read_is_kept(topics: Topics) -> None:
    letters = topics["dead-letters"]
    assert {m.headers["reason"]: m.raw for m in letters} == dict(zip(("not_json", "missing_field"), BAD, strict=True))
    assert len(letters) == len(BAD)
    assert {(m.headers["topic"], m.headers["partition"]) for m in letters} == {(TOPIC, "0")}


def test_the_log_is_calm(stage: Stage, over: Chapter) -> None:
    """One line each, none of them an error; the trigger that answered 503 is a warning."""
    lines = stage.service.log().splitlines()
    assert lines
    for line in lines:
        assert re.fullmatch(r"\S+Z (info|warning) \S+: .+", line), line
    assert sum("answered 503" in line for line in lines) == 1


# -- the end: these change the service, and stay last


def test_a_file_beside_the_configuration_becomes_a_reference(stage: Stage, over: Chapter) -> None:
    order = {"version": "1", "file": "reference.csv"}
    assert stage.post("/v1/models/fraud/references", order).status_code == 403  # a file needs the scope admin
    answer = stage.post("/v1/models/fraud/references", order, key=ADMIN_KEY)
    assert answer.status_code == 202, answer.text
    named = answer.json()["reference"]
    wait_until(lambda: stage.get("/v1/models/fraud")["versions"][0]["reference"] == named, what="the reference")


def test_readiness_follows_the_broker_and_nothing_is_lost(stage: Stage, over: Chapter) -> None:
    stage.kafka.freeze()
    try:
        wait_until(lambda: not servers.answers(f"{stage.url}/readyz"), 30, "503", every=0.3, patience=1)
        said = httpx.get(f"{stage.url}/readyz", timeout=60, trust_env=False)
        assert said.status_code == 503
        assert said.json()["reasons"][0].startswith("broker: ")
        assert servers.answers(f"{stage.url}/healthz")
    finally:
        stage.kafka.thaw()
    wait_until(lambda: servers.answers(f"{stage.url}/readyz"), 60, "200", every=0.3, patience=1)
    stage.play(range(AFTER.stop, AFTER.stop + 2))
    assert stage.get("/v1/status")["overlap_blocks"] == 0


def test_an_orderly_end(stage: Stage, over: Chapter) -> None:
    assert stage.service.stop() == 0
    assert stage.service.restarts == 0
    for secret in (SECRET, KEY, READ_KEY, ADMIN_KEY):
        assert secret not in stage.service.log()
