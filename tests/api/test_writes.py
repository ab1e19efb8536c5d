"""What the api does when it is told to, and for whom."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from stream_monitor.config import Api
from stream_monitor.errors import ConfigError
from tests.api import bodies
from tests.api.conftest import House

WRITES: dict[str, Any] = {
    "/v1/alerts/a1/acknowledge": {},
    "/v1/silences": {"model": "fraud", "duration": "1h"},
    "/v1/models/fraud/retrain-requests": {},
    "/v1/models/fraud/references": {"version": "3", "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"},
}


@pytest.mark.parametrize("path", WRITES)
def test_a_write_needs_a_key_that_may_write(house: House, path: str) -> None:
    house.put(bodies.alert("a1"))
    for key, code in ((None, 401), ("wrong", 401), ("", 401), ("reader-key", 403), ("test", 403)):
        answer = house.tell(path, WRITES[path], key=key)
        assert answer.status_code == code
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers.get("www-authenticate") == ("Bearer" if code == 401 else None)
    assert house.log.told == []
    assert asyncio.run(house.store.page("audit", "")) == []
    for key in ("operator-key", "admin-key"):
        assert house.tell(path, WRITES[path], key=key).status_code in (200, 201, 202)
    assert len(house.log.told) == 2


def test_without_keys_nobody_writes(house: House) -> None:
    house.api = Api()
    answer = house.tell("/v1/silences", WRITES["/v1/silences"], key=None)
    assert (answer.status_code, answer.json()["detail"]) == (
        401,
        "a key is needed, and the service has none: set api.keys",
    )


def test_insecure_is_for_loopback_only(house: House) -> None:
    house.api = Api(insecure=True)
    assert house.tell("/v1/silences", WRITES["/v1/silences"], key=None).status_code == 201
    assert house.log.told[0][1].by == "anonymous"
    page = {"origin": "https://elsewhere.example"}
    assert house.tell("/v1/silences", WRITES["/v1/silences"], key=None, headers=page).status_code == 403
    house.api = Api(insecure=True, host="0.0.0.0")
    with pytest.raises(ConfigError, match=r"api\.insecure: only on loopback, not on '0\.0\.0\.0'"):
        house.ask("/healthz")
    house.api = Api(keys="one two three")
    with pytest.raises(ConfigError) as error:
        house.ask("/healthz")
    assert "two" not in str(error.value)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 202),
        ({"origin": "http://HOST", "sec-fetch-site": "same-origin"}, 202),
        ({"origin": "https://evil.example", "sec-fetch-site": "cross-site"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://["}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
def test_a_page_from_elsewhere_cannot_use_the_password_of_a_browser(
    house: House, headers: dict[str, str], code: int
) -> None:
    """It has no script of ours to run: a form that is sent to a route without a body is enough."""
    path = "/v1/models/fraud/retrain-requests"
    house.put(bodies.model("fraud"))
    basic = base64.b64encode(b"me:operator-key").decode()
    sent = {k: v.replace("HOST", "api") for k, v in headers.items()}
    answer = house.tell(path, None, key=None, headers={"authorization": f"Basic {basic}", "host": "api", **sent})
    assert answer.status_code == code
    assert len(house.log.told) == (code == 202)
    assert house.tell(path, None, key="operator-key", headers=sent).status_code == 202  # a program's own


def test_acknowledging_an_alert(house: House) -> None:
    house.put(bodies.alert("a1", model="other"), bodies.alert("a2", state="resolved"))
    answer = house.tell("/v1/alerts/a1/acknowledge", {"comment": "on it"})
    assert answer.status_code == 200
    assert answer.json()["id"] == "a1"
    model, command = house.log.told[0]
    assert (model, command.kind, command.at_ms) == ("other", "acknowledge", 1_000_000)
    assert command.body == {"alert": "a1", "model": "other", "comment": "on it"}
    assert command.by == answer.json()["by"]
    assert command.by.startswith("key:")
    assert house.tell("/v1/alerts/a1/acknowledge").status_code == 200  # the body may be left out
    assert house.tell("/v1/alerts/none/acknowledge").status_code == 404
    assert house.tell("/v1/alerts/a2/acknowledge").status_code == 409


def test_acknowledging_again_says_nothing_new(house: House) -> None:
    house.put(bodies.alert("a1", state="acknowledged"))
    assert house.tell("/v1/alerts/a1/acknowledge").status_code == 200
    assert house.log.told == []


def test_a_silence(house: House) -> None:
    order = {"model": "fraud", "segment": "all", "matchers": {"team": "risk"}, "duration": "2h", "comment": "deploy"}
    answer = house.tell("/v1/silences", order)
    assert answer.status_code == 201
    made = answer.json()
    assert made["until"] == "1970-01-01T02:16:40Z"
    assert made["matchers"] == {"team": "risk", "model": "fraud", "segment": "all"}
    model, command = house.log.told[0]
    assert (model, command.kind, command.id) == ("fraud", "silence", made["id"])
    assert command.body == {k: made[k] for k in ("id", "model", "matchers", "until", "comment")}
    assert list(house.items("/v1/silences")) == [made]
    assert house.ask(answer.headers["location"]).json() == made
    gone = house.ask("/v1/silences/another")
    assert (gone.status_code, gone.json()["detail"]) == (404, "no silence 'another': it has ended, or there was none")
    everywhere = house.tell("/v1/silences", {"group": "stream", "until": "1970-01-01T01:00:00Z"})
    assert everywhere.status_code == 201
    assert house.log.told[1][0] == ""


def test_a_silence_is_ended_before_its_time(house: House) -> None:
    order = {"model": "fraud", "segment": "all", "duration": "2h", "comment": "deploy"}
    made = house.tell("/v1/silences", order).json()
    path = f"/v1/silences/{made['id']}"
    for key, code in ((None, 401), ("wrong", 401), ("reader-key", 403)):
        assert house.ask(path, key=key, method="DELETE").status_code == code
    answer = house.ask(path, key="operator-key", method="DELETE")
    assert (answer.status_code, answer.json()["until"]) == (200, "1970-01-01T00:16:40Z")
    assert answer.json()["ended_by"] == made["by"]
    model, command = house.log.told[1]
    assert (model, command.kind) == ("fraud", "silence")
    assert command.id != made["id"]
    kept = {k: made[k] for k in ("id", "model", "matchers", "comment")}
    assert command.body == {**kept, "until": "1970-01-01T00:16:40Z"}
    assert house.ask(path).status_code == 404
    assert house.ask(path, key="operator-key", method="DELETE").status_code == 404
    assert len(house.log.told) == 2


@pytest.mark.parametrize(
    "order",
    [
        {"model": "fraud"},  # for how long?
        {"duration": "1h"},  # of what?
        {"model": "fraud", "duration": "1h", "until": "1970-01-01T01:00:00Z"},
        {"model": "fraud", "until": "1970-01-01T00:00:10Z"},  # past
        {"model": "fraud", "duration": "9999d"},
        {"model": "fraud", "duration": 5},
        {"model": "fraud", "duration": "1h", "matcher": {}},  # misspelt
        {"model": "fraud\ud800", "duration": "1h"},
        [],
        "text",
    ],
)
def test_a_silence_that_makes_no_sense(house: House, order: Any) -> None:
    answer = house.tell("/v1/silences", order)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"]
    assert house.log.told == []


def test_a_silence_of_a_model_that_does_not_exist(house: House) -> None:
    assert house.tell("/v1/silences", {"model": "frod", "duration": "1h"}).status_code == 404


def test_asking_for_a_retraining(house: House) -> None:
    answer = house.tell("/v1/models/fraud/retrain-requests", {"version": "3", "reason": "new data"})
    assert answer.status_code == 202
    model, command = house.log.told[0]
    assert (model, command.kind, command.id) == ("fraud", "retrain", answer.json()["command"])
    assert command.body == {"model": "fraud", "version": "3", "reason": "new data", "from": "", "to": ""}
    assert house.tell("/v1/models/fraud/retrain-requests").status_code == 202
    assert house.tell("/v1/models/frod/retrain-requests").status_code == 404
    backwards = {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}
    assert house.tell("/v1/models/fraud/retrain-requests", backwards).status_code == 422


def test_a_retraining_of_a_version_that_nobody_has_seen(house: House) -> None:
    house.put(bodies.model(versions=[{"version": v, "rows": 9, "levels": {}} for v in ("3", "4")]))
    answer = house.tell("/v1/models/fraud/retrain-requests", {"version": "9"})
    assert (answer.status_code, answer.json()["detail"]) == (404, "no version '9' of 'fraud'; known: 3, 4")
    assert house.log.told == []
    assert asyncio.run(house.store.page("audit", "")) == []
    for body in ({"version": "3"}, {}):
        assert house.tell("/v1/models/fraud/retrain-requests", body).status_code == 202


def test_an_order_with_an_idempotency_key_is_one_command(house: House) -> None:
    for _ in range(2):
        house.tell("/v1/models/fraud/retrain-requests", headers={"idempotency-key": "today"})
    house.tell("/v1/models/fraud/retrain-requests", headers={"idempotency-key": "tomorrow"})
    ids = [command.id for _, command in house.log.told]
    assert ids[0] == ids[1] != ids[2]


def test_promoting_a_span(house: House) -> None:
    path = "/v1/models/fraud/references"
    answer = house.tell(path, WRITES[path])
    assert answer.status_code == 202
    assert house.log.told[0][1].kind == "promote"
    assert house.log.told[0][1].body == {"model": "fraud", **WRITES[path]}


def test_promoting_a_file_is_for_admins(house: House) -> None:
    path, order = "/v1/models/fraud/references", {"version": "3", "file": "good.parquet"}
    assert house.tell(path, order).status_code == 403
    assert house.tell(path, order, key="admin-key").status_code == 202
    assert house.prepared == [("fraud", "3", "good.parquet")]
    assert house.log.told[0][1].kind == "reference"
    assert house.log.told[0][1].body == {"model": "fraud", "version": "3", "reference": "ref-1"}
    answer = house.tell(path, {"version": "3", "file": "bad.parquet"}, key="admin-key")
    assert (answer.status_code, answer.json()["detail"]) == (422, "file: no such file: bad.parquet")
    for nonsense in ({"version": "3"}, {"version": "3", "file": "good.parquet", "from": "2026-01-01T00:00:00Z"}):
        assert house.tell(path, nonsense, key="admin-key").status_code == 422


def test_every_order_is_in_the_audit_log_without_the_key(house: House) -> None:
    house.tell("/v1/silences", {"model": "fraud", "duration": "1h"})
    house.now += 1
    house.log.error = ConnectionError("no broker")
    assert house.tell("/v1/models/fraud/retrain-requests").status_code == 503
    assert house.ask("/v1/audit", key="operator-key").status_code == 403
    answer = house.ask("/v1/audit", key="admin-key")
    assert "operator-key" not in answer.text
    done, failed = answer.json()["items"]
    assert (done["kind"], done["outcome"], done["at"]) == ("silence", "accepted", "1970-01-01T00:16:40Z")
    assert done["by"] == house.log.told[0][1].by
    assert (failed["kind"], failed["outcome"]) == ("retrain", "failed: ConnectionError")


def test_what_cannot_be_audited_is_not_done(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    put = house.store.put

    async def refuse(documents: Any) -> None:
        if any(d.kind == "audit" for d in documents):
            raise ConnectionError("the store is full")
        await put(documents)

    monkeypatch.setattr(house.store, "put", refuse)
    assert house.tell("/v1/models/fraud/retrain-requests").status_code == 503
    assert house.log.told == []


def test_a_body_that_is_too_large_or_no_json(house: House) -> None:
    path = "/v1/silences"
    assert house.ask(path, method="POST", key="admin-key", content=b"x" * 70_000).status_code == 413

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(70):
            yield b" " * 1_000

    assert house.ask(path, method="POST", key="admin-key", content=pieces()).status_code == 413  # no length is stated
    answer = house.ask(path, method="POST", key="admin-key", content=b"{", headers={"content-type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
