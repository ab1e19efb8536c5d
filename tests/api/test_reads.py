"""What the api gives to those who ask."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from connectors.memory import MemoryStatusStore
from stream_monitor.config import Api, Config, Kafka, Model, MonitorSpec, Target
from stream_monitor.interfaces import Document
from stream_monitor.status.statuses import heartbeat, notes
from tests.api import bodies
from tests.api.conftest import House


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/v1/models", "/v1/none"])
def test_head_is_answered_as_get_without_the_body(house: House, path: str) -> None:
    async def talk(client: httpx.AsyncClient) -> tuple[httpx.Response, httpx.Response]:
        return await client.get(path), await client.head(path)

    got, head = house.run(talk)
    assert (head.status_code, head.headers["content-type"]) == (got.status_code, got.headers["content-type"])
    assert got.content
    assert not head.content


def test_a_configured_model_is_there_before_its_first_window(house: House) -> None:
    (only,) = house.items("/v1/models")
    assert only["model"] == "fraud"
    assert only["levels"] == {}
    assert only["note"] == "no event has been counted yet"
    assert house.ask("/v1/models/fraud").json() == only
    assert house.items("/v1/models/fraud/windows") == []


def test_models_are_listed_by_name_with_what_is_known(house: House) -> None:
    house.put(bodies.model("zebra"), bodies.model("fraud"), bodies.model("älter"))
    assert [m["model"] for m in house.items("/v1/models")] == ["fraud", "zebra", "älter"]
    first = house.ask("/v1/models?limit=1").json()
    assert [m["model"] for m in first["items"]] == ["fraud"]
    rest = house.ask("/v1/models", params={"cursor": first["next"]}).json()
    assert ([m["model"] for m in rest["items"]], rest["next"]) == (["zebra", "älter"], None)
    body = house.ask("/v1/models/fraud").json()
    assert body["levels"]["drift"] == "drift"
    assert body["label_coverage"] == 0.39
    assert body["worst_columns"][0]["column"] == "amount"
    assert body["firing_alerts"] == []
    house.put(bodies.alert("a1"))
    assert [a["reason"][:5] for a in house.ask("/v1/models/fraud").json()["firing_alerts"]] == ["drift"]


def test_rows_of_a_model_move_although_no_window_closes(house: House) -> None:
    house.put(bodies.model(), bodies.counters(0, events={"fraud": {"3": 1200, "4": 1}}), bodies.counters(1, events={}))
    (listed,) = house.items("/v1/models")
    assert house.ask("/v1/models/fraud").json() == listed
    assert (listed["rows"], [v["rows"] for v in listed["versions"]]) == (1201, [1200])
    assert listed["last_window"]["rows"] == 102


def test_windows_come_oldest_first_page_by_page_each_once(house: House) -> None:
    house.put(*[bodies.window(n) for n in range(25)], bodies.window(3, revision=2))
    seen, cursor, pages = [], None, 0
    while True:
        answer = house.ask("/v1/models/fraud/windows", params={"limit": 10, **({"cursor": cursor} if cursor else {})})
        seen += answer.json()["items"]
        pages += 1
        cursor = answer.json()["next"]
        if cursor is None:
            break
    assert pages == 3
    assert [w["rows"] for w in seen] == list(range(101, 126))
    assert seen[3]["revision"] == 2
    exact = house.ask("/v1/models/fraud/windows?limit=25").json()
    assert (len(exact["items"]), exact["next"]) == (25, None)


def test_windows_can_be_chosen(house: House) -> None:
    house.put(*[bodies.window(n, version=v, segment=s) for n in range(4) for v in "34" for s in ("all", "country=de")])
    base = "/v1/models/fraud/windows"
    assert len(list(house.items(f"{base}?version=3"))) == 8
    assert len(list(house.items(f"{base}?version=3&segment=country%3Dde"))) == 4
    span = list(house.items(f"{base}?from=1970-01-01T00:01:00Z&to=1970-01-01T01:03:00%2B01:00&version=4&segment=all"))
    assert [w["start"] for w in span] == ["1970-01-01T00:01:00Z", "1970-01-01T00:02:00Z"]
    assert len(list(house.items(f"{base}?from=1970-01-01T00:02:00.001Z&version=4&segment=all"))) == 1
    one = next(iter(house.items(f"{base}?column=country&limit=1")))
    assert list(one["columns"]) == ["country"]
    assert house.items(f"{base}?column=no-such-column") == []
    filtered = house.ask(f"{base}?version=3&limit=3").json()
    more = house.ask(f"{base}?version=3&limit=9", params={"cursor": filtered["next"], "version": "3"}).json()
    assert [len(filtered["items"]), len(more["items"]), more["next"]] == [3, 5, None]


def test_verdicts_can_be_chosen(house: House) -> None:
    house.put(
        *[bodies.verdict(n, level="drift" if n > 3 else "ok") for n in range(6)],
        bodies.verdict(2, column=None, group="performance", metric="accuracy", level="unknown"),
    )
    base = "/v1/models/fraud/verdicts"
    assert len(list(house.items(base))) == 7
    assert [v["start"][14:16] for v in house.items(f"{base}?level=drift")] == ["04", "05"]
    assert [v["metric"] for v in house.items(f"{base}?group=performance")] == ["accuracy"]
    assert len(list(house.items(f"{base}?column=amount"))) == 6
    assert len(list(house.items(f"{base}?metric=psi&from=1970-01-01T00:05:00Z"))) == 1


def test_alerts_of_all_models_are_one_list(house: House) -> None:
    house.put(
        bodies.alert("a1", at_ms=1000),
        bodies.alert("b1", model="other", at_ms=500, state="resolved", version="9"),
        bodies.alert("a2", at_ms=2000, group="quality"),
    )
    assert [a["id"] for a in house.items("/v1/alerts")] == ["b1", "a1", "a2"]
    assert [a["id"] for a in house.items("/v1/alerts?state=firing&group=drift")] == ["a1"]
    assert [a["id"] for a in house.items("/v1/alerts?model=other")] == ["b1"]
    assert [a["id"] for a in house.items("/v1/alerts?from=1970-01-01T00:00:01Z&to=1970-01-01T00:00:02Z")] == ["a1"]
    assert [a["id"] for a in house.items("/v1/alerts?column=amount&version=9")] == ["b1"]
    first = house.ask("/v1/alerts?limit=2").json()
    assert [a["id"] for a in house.ask(f"/v1/alerts?cursor={first['next']}").json()["items"]] == ["a2"]
    assert house.ask("/v1/alerts/b1").json()["model"] == "other"


def test_a_long_list_with_a_rare_match_is_answered_in_pieces(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_monitor.status.readings.MOST_SCANNED", 300)
    house.put(*[bodies.verdict(n, level="drift" if n == 599 else "ok") for n in range(700)])
    first = house.ask("/v1/models/fraud/verdicts?level=drift").json()
    assert first["items"] == []
    second = house.ask("/v1/models/fraud/verdicts", params={"level": "drift", "cursor": first["next"]}).json()
    assert [v["id"] for v in second["items"]] == ["v599amount"]


def test_retrain_requests_are_listed(house: House) -> None:
    body = {"id": "r1", "model": "fraud", "version": "3", "requested_at": "2026-01-01T00:00:00Z"}
    house.put(bodies.document("retrain-request", "fraud", body))
    assert list(house.items("/v1/models/fraud/retrain-requests")) == [body]
    assert list(house.items("/v1/models/fraud/retrain-requests?from=2026-01-02T00:00:00Z")) == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/models/frod", 404),
        ("/v1/models/frod/windows", 404),
        ("/v1/models/frod/verdicts", 404),
        ("/v1/models/frod/retrain-requests", 404),
        ("/v1/alerts/none", 404),
        ("/v1/schemas/none", 404),
        ("/v1/nothing", 404),
        ("/v1/models/fraud/windows?limit=0", 422),
        ("/v1/models/fraud/windows?limit=1001", 422),
        ("/v1/models/fraud/windows?limit=ten", 422),
        ("/v1/models/fraud/windows?from=yesterday", 422),
        ("/v1/models/fraud/windows?from=2026-01-01T00:00:00", 422),  # no offset
        ("/v1/models/fraud/windows?from=0001-01-01T00:00:00Z", 422),
        ("/v1/models/fraud/windows?cursor=%FF", 422),
        ("/v1/models/fraud/windows?cursor=abcde", 422),
        ("/v1/models?cursor=abcde", 422),
        ("/v1/models/fraud/verdicts?level=bad", 422),
        ("/v1/models/fraud/verdicts?group=bad", 422),
    ],
)
def test_errors_are_problems(house: House, path: str, code: int) -> None:
    answer = house.ask(path)
    assert answer.status_code == code
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == code
    assert body["title"]
    assert body["detail"]


def test_an_unknown_model_is_told_which_are_known(house: House) -> None:
    assert house.ask("/v1/models/frod").json()["detail"] == "no model 'frod'; known: fraud"


def test_a_wrong_method_is_a_problem_too(house: House) -> None:
    answer = house.ask("/v1/models", method="DELETE")
    assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")


def test_a_store_that_is_gone_is_a_503(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def __getattr__(self, name: str) -> object:
            async def call(*_: object, **__: object) -> None:
                raise ConnectionError("redis: Connection refused")

            return call

    monkeypatch.setattr(house, "store", Gone())
    for path in ("/v1/models", "/v1/status", "/v1/alerts", "/metrics"):
        answer = house.ask(path)
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert house.ask("/healthz").status_code == 200


def test_our_own_mistake_is_a_problem_that_gives_nothing_away(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __getattr__(self, name: str) -> object:
            raise RuntimeError("secret inner life")

    monkeypatch.setattr(house, "store", Broken())
    answer = house.ask("/v1/alerts")
    assert answer.status_code == 500
    assert "secret" not in answer.text


def test_status_has_what_the_contract_names(house: House) -> None:
    house.put(
        heartbeat("tap", "tap-1", 0, 990_000, bodies.TAP),
        heartbeat("worker", "w-1", 0, 990_000, bodies.WORKER, {"deliveries": {"slack": {"delivered": 4}}}),
        bodies.counters(0),
        bodies.counters(1, dead_letters={"fraud.predictions": {"not_json": 2}}, late={}, events={"other": {"": 5}}),
    )
    body = house.ask("/v1/status").json()
    names = "taps workers partitions lag watermarks dead_letters late_events duplicate_blocks overlap_blocks sinks"
    assert set(names.split()) <= set(body)
    assert body["partitions"][0] | {"tap": "tap-1"} == body["partitions"][0]
    assert body["lag"] == {"fraud.predictions": {"0": 20}}
    assert body["watermarks"] == {"fraud.predictions": {"0": "1970-01-01T00:01:35Z"}}
    assert body["dead_letters"] == {"fraud.predictions": {"not_json": 3}}
    assert body["events"] == {"fraud": {"3": 1000}, "other": {"": 5}}
    assert body["late_events"] == {"fraud": 2}
    assert (body["duplicate_blocks"], body["overlap_blocks"]) == (2, 0)
    assert body["sinks"] == {"slack": {"delivered": 4}}
    assert body["taps"][0]["started_at"] == "1970-01-01T00:00:00Z"
    assert (body["ready"], body["reasons"]) == (True, [])


def test_deliveries_of_a_worker_that_is_gone_count_on_as_in_metrics(house: House) -> None:
    def beat(id: str, failed: int) -> Document:
        return heartbeat("worker", id, 0, 990_000, bodies.WORKER, {"deliveries": {"slack": {"failed": failed}}})

    async def talk(client: httpx.AsyncClient) -> tuple[Any, str]:
        await house.store.put([beat("w-1", 18)])
        await client.get("/v1/status")
        house.now += 60  # the heartbeat has expired
        await house.store.put([beat("w-2", 6)])
        return (await client.get("/v1/status")).json()["sinks"], (await client.get("/metrics")).text

    house.store = MemoryStatusStore(clock=lambda: house.now)
    sinks, metrics = house.run(talk)
    assert sinks == {"slack": {"failed": 24}}
    assert 'stream_monitor_deliveries_total{outcome="failed",sink="slack"} 24.0' in metrics


def test_status_notes_what_is_not_guaranteed() -> None:
    stated = Model(topic=("t",), monitors=(MonitorSpec(metric="psi", threshold=0.2),))
    solid = Config(store="redis://x", models={"a": stated}, sinks=(Target(kind="slack"),))
    assert notes(solid) == []
    learnt = Config(kafka=Kafka(brokers="embedded"), store="memory", models={"a": stated, "b": Model(topic=("t",))})
    assert [n.split()[1] for n in notes(learnt)] == ["broker", "store", "that"]
    assert "(b)" in notes(learnt)[2]


@pytest.mark.parametrize(
    "path",
    ["models", "models/fraud/windows", "models/fraud/verdicts", "models/fraud/retrain-requests", "alerts", "silences"],
)
def test_a_misspelt_parameter_does_not_select_everything(house: House, path: str) -> None:
    answer = house.ask(f"/v1/{path}?limit=5&verison=3")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "verison"
    assert answer.json()["detail"].startswith("verison: unknown parameter; did you mean 'version'? known: ")
    assert house.ask(f"/v1/{path}?limit=5&version=3").status_code == 200


def test_schemas_are_served(house: House) -> None:
    for name in ("window", "verdict", "alert", "retrain-request"):
        answer = house.ask(f"/v1/schemas/{name}")
        assert answer.status_code == 200
        assert json.loads(answer.content)["$schema"].startswith("https://json-schema.org/")


def test_the_openapi_description_covers_every_route(house: House) -> None:
    paths = house.ask("/openapi.json").json()["paths"]
    promised = [
        "/healthz",
        "/readyz",
        "/metrics",
        "/v1/models",
        "/v1/models/{model}",
        "/v1/models/{model}/windows",
        "/v1/models/{model}/verdicts",
        "/v1/alerts",
        "/v1/alerts/{id}",
        "/v1/alerts/{id}/acknowledge",
        "/v1/silences",
        "/v1/models/{model}/retrain-requests",
        "/v1/models/{model}/references",
        "/v1/status",
        "/v1/schemas/{name}",
    ]
    for path in promised:
        assert path in paths
    manual = house.ask("/docs")
    assert manual.headers["content-type"].startswith("text/html")
    assert "/v1/models/{model}/windows" in manual.text
    assert "http://" not in manual.text
    assert "https://" not in manual.text
    assert "<script" not in manual.text


def test_answers_are_guarded_against_sniffing(house: House) -> None:
    house.put(Document(kind="model", scope="<b>", id="x", order="x", revision=1, body=b'{"model":"<b>"}'))
    answer = house.ask("/v1/models")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-type"] == "application/json"
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_reads_on_another_address_need_a_key(house: House) -> None:
    house.api = Api(host="0.0.0.0", keys="reader read")
    for path in ("/v1/models", "/v1/status", "/v1/alerts", "/v1/schemas/window"):
        assert house.ask(path).status_code == 401
        assert house.ask(path, key="wrong").status_code == 401
        assert house.ask(path, key="reader").status_code in (200, 404)
    for path in ("/healthz", "/metrics"):
        assert house.ask(path).status_code == 200
    page = house.ask("/")
    assert page.status_code == 401
    assert page.headers["www-authenticate"].startswith("Basic ")  # what a browser asks a person for
    assert house.ask("/", auth=("anybody", "reader")).status_code == 404  # let in; this api has no page
    assert house.ask("/", auth=("anybody", "wrong")).status_code == 401
    browser = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for path, headers, asked in (("/v1/alerts/a1", browser, "Basic "), ("/v1/alerts/a1", {}, "Bearer")):
        assert house.ask(path, headers=headers).headers["www-authenticate"].startswith(asked)
    assert house.ask("/v1/alerts", auth=("anybody", "reader"), headers=browser).status_code == 200
    assert house.ask("/readyz").status_code == 503
    house.api = Api(host="0.0.0.0", keys="reader read", read="open", metrics="key")
    assert house.ask("/v1/models").status_code == 200
    assert house.ask("/metrics").status_code == 401
    assert house.ask("/metrics", key="reader").status_code == 200
