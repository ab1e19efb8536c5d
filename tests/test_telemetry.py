"""Metrics have the names of the contract, are well formed, and do not grow without bound."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from io import StringIO
from typing import Literal

import httpx
import msgspec
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_fd_to_metric_families

from stream_monitor.config import Config, Model, Target
from stream_monitor.status.process_server import ProcessServer
from stream_monitor.status.statuses import Snapshot, heartbeat
from stream_monitor.status.telemetry import (
    Ledger,
    Telemetry,
    exposition,
    service_families,
    tap_families,
    worker_families,
)
from tests.api import bodies
from tests.servers import need_program

PROMISED = {  # the contract's section "Metrics": name -> labels
    "events_total": {"model", "version"},
    "dead_letters_total": {"topic", "reason"},
    "late_events_total": {"model"},
    "consumer_lag_events": {"topic", "partition"},
    "watermark_delay_seconds": {"topic", "partition"},
    "duplicate_blocks_total": set(),
    "overlap_blocks_total": set(),
    "window_close_delay_seconds_bucket": {"le"},
    "event_to_verdict_seconds_bucket": {"le"},
    "level": {"model", "version", "segment", "group"},
    "metric_value": {"model", "version", "segment", "metric", "column"},
    "alerts_firing": {"model", "group"},
    "deliveries_total": {"sink", "outcome"},
    "retrain_requests_total": {"model"},
    "build_info": {"version"},
}
NOW_MS = 100_000


def measured() -> Telemetry:
    telemetry = Telemetry()
    telemetry.window_closed("fraud", 3.0)
    telemetry.window_closed("fraud", 4_000.0)
    telemetry.window_closed("fraud", -1.0)  # a clock that is behind
    telemetry.verdict_given("fraud", 0.2)
    telemetry.delivered("slack", "delivered")
    telemetry.delivered("slack", "delivered")
    telemetry.delivered("alertmanager", "failed")
    return telemetry


def beat(
    kind: Literal["tap", "worker"], id: str, status: Mapping[str, object], telemetry: Telemetry | None = None
) -> dict[str, object]:
    snapshot = telemetry.snapshot() if telemetry else None
    document = heartbeat(kind, id, 0, NOW_MS, status, snapshot)
    body: dict[str, object] = msgspec.json.decode(document.body)
    return body


def service(accept: str = "", most: int = 5_000, **more: object) -> tuple[str, str]:
    workers = [beat("worker", "w1", bodies.WORKER, measured()), beat("worker", "w2", bodies.WORKER, measured())]
    counters = [msgspec.json.decode(bodies.counters(0, **more).body), msgspec.json.decode(bodies.counters(1).body)]
    snapshot = Snapshot(now_ms=NOW_MS, taps=[beat("tap", "t1", bodies.TAP)], workers=workers, counters=counters)
    body, content_type = exposition(accept, service_families(snapshot, workers), most=most)
    return body.decode(), content_type


class Samples(dict[tuple[str, frozenset[tuple[str, str]]], float]):
    """Values by name (without the prefix) and labels."""

    def __init__(self, text: str) -> None:
        super().__init__()
        for family in text_fd_to_metric_families(StringIO(text)):
            for sample in family.samples:
                name = sample.name.removeprefix("stream_monitor_")
                self[name, frozenset(sample.labels.items())] = sample.value

    def of(self, name: str, **labels: str) -> float:
        return self[name, frozenset(labels.items())]


LEVEL = {"model": "fraud", "version": "3", "segment": "all", "group": "drift"}
PLACE = {"topic": "fraud.predictions", "partition": "0"}


def test_the_service_has_every_metric_of_the_contract_with_its_labels() -> None:
    found: dict[str, set[str]] = {}
    for family in text_fd_to_metric_families(StringIO(service()[0])):
        for sample in family.samples:
            found.setdefault(sample.name.removeprefix("stream_monitor_"), set(sample.labels))
    assert {name: found.get(name) for name in PROMISED} == PROMISED


def test_the_values_are_those_of_the_documents() -> None:
    values = Samples(service()[0])
    assert values.of("events_total", model="fraud", version="3") == 1000
    assert values.of("dead_letters_total", topic="fraud.predictions", reason="not_json") == 3
    assert values.of("late_events_total", model="fraud") == 2
    assert values.of("consumer_lag_events", **PLACE) == 20
    assert values.of("watermark_delay_seconds", **PLACE) == 5
    assert values.of("duplicate_blocks_total") == 2  # each partition met its own
    assert values.of("overlap_blocks_total") == 0
    assert values.of("level", **LEVEL) == 2
    assert values.of("metric_value", model="fraud", version="3", segment="all", metric="psi", column="amount") == 0.41
    assert values.of("alerts_firing", model="fraud", group="drift") == 1
    assert values.of("retrain_requests_total", model="fraud") == 1
    assert values.of("deliveries_total", sink="slack", outcome="delivered") == 4
    assert values.of("deliveries_total", sink="alertmanager", outcome="failed") == 2
    assert values.of("window_close_delay_seconds_count") == 6
    assert values.of("window_close_delay_seconds_sum") == 2 * 4_003
    assert values.of("window_close_delay_seconds_bucket", le="0.1") == 2
    assert values.of("window_close_delay_seconds_bucket", le="5.0") == 4
    assert values.of("window_close_delay_seconds_bucket", le="3600.0") == 4
    assert values.of("window_close_delay_seconds_bucket", le="+Inf") == 6
    assert values.of("dropped_series") == 0
    assert [values.of(name) for name in ("ready", "taps", "workers")] == [1, 1, 2]
    assert values.of("worker_lag_entries", partition="0") == 0


def test_the_lag_of_a_worker_partition_that_moves_is_its_new_owners() -> None:
    old = {"partitions": [{"partition": 0, "at": 70, "lag": 9}, {"partition": 1, "at": 5, "lag": 4}]}
    new = {"partitions": [{"partition": 0, "at": 77, "lag": 2}]}
    for workers in ([old, new], [new, old]):
        families = service_families(Snapshot(now_ms=NOW_MS, workers=workers), workers)
        values = Samples(exposition("", families)[0].decode())
        assert [values.of("worker_lag_entries", partition=number) for number in ("0", "1")] == [2, 4]


def test_what_is_configured_is_counted_from_zero_on_and_a_service_that_cannot_work_says_so() -> None:
    """A series whose first value is 1 has not risen, as far as Prometheus knows."""
    config = Config(models={"fraud": Model(topic=("t",))}, sinks=(Target(kind="slack"),))
    families = service_families(Snapshot(now_ms=0), [], ["no worker is alive"], config)
    values = Samples(exposition("", families)[0].decode())
    assert values.of("deliveries_total", sink="slack", outcome="given_up") == 0
    assert values.of("retrain_requests_total", model="fraud") == 0
    assert [values.of(name) for name in ("ready", "taps", "workers")] == [0, 0, 0]


@pytest.mark.parametrize("who", ["service", "tap", "worker", "fresh"])
def test_promtool_finds_no_fault(who: str) -> None:
    promtool = need_program("promtool", "prometheus")
    if who == "service":
        text = service()[0]
    elif who == "tap":
        text = exposition("", tap_families(bodies.TAP, NOW_MS), Telemetry())[0].decode()
    elif who == "worker":
        counters = [msgspec.json.decode(bodies.counters().body)]
        text = exposition("", worker_families(counters), measured())[0].decode()
    else:  # nothing has happened yet
        text = exposition("", service_families(Snapshot(now_ms=0), []))[0].decode()
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_openmetrics_is_given_to_those_who_ask() -> None:
    text, content_type = service("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    parsed = openmetrics.text_fd_to_metric_families(StringIO(text))  # type: ignore[no-untyped-call]  # it has no types
    families = {family.name for family in parsed}
    assert {"stream_monitor_events", "stream_monitor_event_to_verdict_seconds"} <= families
    assert service("text/plain")[1].startswith("text/plain")


def test_series_are_capped_and_the_rest_is_counted() -> None:
    many = [["fraud", "3", "all", "psi", f"column{n}", 0.1] for n in range(500)]
    text, _ = service(metrics=many, most=200)
    values = Samples(text)
    ours = [key for key in values if not key[0].startswith(("process_", "python_", "build_info", "dropped_series"))]
    assert len(ours) == 200
    assert values.of("dropped_series") > 300
    assert values.of("level", **LEVEL) == 2  # what matters comes before what is many
    whole = Samples(service(metrics=many)[0])
    assert values.of("dropped_series") == len(whole) - len(values)


def test_hostile_names_are_escaped() -> None:
    name = 'a"b\\c\nd{}'
    text, _ = service(levels=[[name, "3", "all", "drift", 2]])
    assert Samples(text).of("level", **{**LEVEL, "model": name}) == 2


def test_values_that_are_not_defined_are_left_out() -> None:
    text, _ = service(metrics=[["fraud", "3", "all", "auc", "", None], ["fraud", "3", "all", "mae", "", 1.5]])
    assert {dict(labels)["metric"] for name, labels in Samples(text) if name == "metric_value"} == {"mae", "psi"}


def test_totals_do_not_fall_when_a_process_ends() -> None:
    ledger = Ledger(most=3)
    first, second = beat("worker", "w1", bodies.WORKER, measured()), beat("worker", "w2", bodies.WORKER)
    assert len(ledger.note([first, second])) == 2
    assert first in ledger.note([second])
    restarted = {**second, "started_at": "2026-01-01T00:00:00Z"}
    assert len(ledger.note([restarted])) == 3
    assert len(ledger.note([{**second, "id": "w4"}])) == 3  # bounded: the one not heard of for longest goes
    assert first not in ledger.note([])


def test_a_process_serves_its_own_metrics_and_health() -> None:
    reason = ""
    server = ProcessServer("127.0.0.1", 0, measured(), lambda: tap_families(bodies.TAP, NOW_MS), lambda: reason)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60, trust_env=False) as client:
            values = Samples(client.get("/metrics").text)
            assert values.of("events_total", model="fraud", version="") == 1000
            assert values.of("late_events_total", model="fraud") == 2
            assert values.of("dead_letters_total", topic="fraud.predictions", reason="not_json") == 3
            assert values.of("consumer_lag_events", **PLACE) == 20
            assert values.of("event_to_verdict_seconds_count") == 1
            assert values.of("deliveries_total", sink="slack", outcome="delivered") == 2
            assert "process_cpu_seconds_total" in client.get("/metrics").text
            assert client.get("/healthz").status_code == 200
            assert client.get("/readyz").status_code == 200
            reason = "broker: gone"
            answer = client.get("/readyz")
            assert (answer.status_code, answer.json()["reasons"]) == (503, ["broker: gone"])
            assert client.get("/else").status_code == 404
            accept = {"accept": "application/openmetrics-text"}
            assert client.get("/metrics", headers=accept).headers["content-type"].startswith("application/openmetrics")
    finally:
        server.close()
