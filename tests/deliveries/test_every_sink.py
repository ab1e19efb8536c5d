"""What holds for every sink and trigger. The tables are the list: one without a case fails."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
import hmac
import json
import logging
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from connectors.sinks import SINKS
from connectors.sinks.memory import Memory
from connectors.triggers import TRIGGERS
from stream_monitor.errors import DeliveryError
from stream_monitor.interfaces import Notice, Sink, Trigger
from tests.deliveries.cases import CASES, SECRET, Case, notice
from tests.deliveries.listeners import Answer, Listener, listening

HIDDEN = "/services/T0/B0/hidden-password"


def make(case: Case, url: str, **options: Any) -> Sink | Trigger:
    return case.make(url=url, **({"secret": SECRET} if case.secret else {}), **options)


def deliver(target: Sink | Trigger, *notices: Notice) -> None:
    async def run() -> None:
        try:
            for n in notices:
                await target.deliver(n)
        finally:
            await target.close()

    asyncio.run(run())


def refused(target: Sink | Trigger, n: Notice) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        deliver(target, n)
    return caught.value


def test_every_kind_has_a_case() -> None:
    assert set(CASES) == {*SINKS, *(f"trigger:{kind}" for kind in TRIGGERS)}


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def test_has_a_first_line_for_the_list_command(case: Case) -> None:
    assert len((case.make.__doc__ or "").splitlines()[0]) > 20
    assert not (case.make.__doc__ or "").startswith(case.make.__name__ + "(")  # a dataclass's own


def test_options_are_its_fields(case: Case) -> None:
    made: Any = case.make
    assert "url" in {f.name for f in dataclasses.fields(made)}


def test_posts_json_once(case: Case) -> None:
    with listening() as listener:
        deliver(make(case, listener.url + HIDDEN), notice(case.body))
        (request,) = listener.requests
    assert (request.method, request.path) == ("POST", HIDDEN + case.path)
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body)


def test_again_is_the_same_message(case: Case) -> None:
    with listening() as listener:
        deliver(make(case, listener.url), notice(case.body), notice(case.body, attempts=0))
        first, second = listener.requests
    if case.make is SINKS["alertmanager"]:  # but for its endsAt, which is later each time
        assert json.loads(first.body)[0]["labels"] == json.loads(second.body)[0]["labels"]
    else:
        assert first.body == second.body
    assert first.headers.get("webhook-id") == second.headers.get("webhook-id")


# status, permanent, comment
STATUSES = [
    (500, False, "a bug over there may be mended within the day"),
    (502, False, "a proxy without its server"),
    (503, False, "overloaded"),
    (429, False, "too fast"),
    (401, False, "a password that is being changed"),
    (404, False, "a route that is being deployed"),
    (413, True, "it will not get smaller"),
]


@pytest.mark.parametrize(("status", "permanent", "why"), STATUSES)
def test_a_refusal_is_a_delivery_error(case: Case, status: int, permanent: bool, why: str) -> None:
    with listening() as listener:
        listener.answers.append(Answer(status))
        error = refused(make(case, listener.url), notice(case.body))
    assert str(status) in str(error)
    assert error.permanent == permanent, why


def test_retry_after_is_passed_on(case: Case) -> None:
    with listening() as listener:
        listener.answers.append(Answer(429, {"Retry-After": "17"}))
        assert refused(make(case, listener.url), notice(case.body)).retry_after == 17.0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_refused(case: Case, status: int) -> None:
    with listening() as listener, listening() as elsewhere:
        listener.answers.append(Answer(status, {"Location": elsewhere.url}))
        error = refused(make(case, listener.url), notice(case.body))
        assert elsewhere.requests == []
        assert len(listener.requests) == 1
    assert "redirect" in str(error)
    assert not error.permanent


def test_no_answer_is_a_delivery_error(case: Case) -> None:
    gate = threading.Event()
    with listening() as listener:
        listener.answers.append(Answer(gate=gate))
        try:
            error = refused(make(case, listener.url, timeout_seconds=0.2), notice(case.body))
        finally:
            gate.set()
    assert "no answer within 0.2 s" in str(error)
    assert not error.permanent


def test_nobody_there_is_a_delivery_error(case: Case) -> None:
    with listening() as listener:
        url = listener.url
    error = refused(make(case, url), notice(case.body))
    assert "no connection" in str(error)
    assert not error.permanent


def test_a_huge_answer_is_not_read(case: Case) -> None:
    with listening() as listener:
        listener.answers.append(Answer(500, body=b"x" * 10_000_000))
        assert len(str(refused(make(case, listener.url), notice(case.body)))) < 500


def answering(listener: Listener, answer: Answer) -> str:
    """Its address, where it will answer so."""
    listener.answers.append(answer)
    return listener.url


FAILURES: dict[str, Callable[[Listener], str]] = {
    "refused": lambda x: answering(x, Answer(500)),
    "redirected": lambda x: answering(x, Answer(302, {"Location": x.url + HIDDEN})),
    "nobody there": lambda _: "http://127.0.0.1:1",
    "no such host": lambda _: "http://no-such-host.invalid",
}


@pytest.mark.parametrize("failure", sorted(FAILURES))
def test_secrets_stay_secret(case: Case, failure: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with listening() as listener:
        url = FAILURES[failure](listener) + HIDDEN
        target = make(case, url)
        error = refused(target, notice(case.body))
    shown = "".join([*traceback.format_exception(error), repr(target), str(target), caplog.text])
    for secret in ("hidden-password", SECRET, SECRET.removeprefix("whsec_")):
        assert secret not in shown


@pytest.mark.parametrize(
    "url", ["", "hooks.example.org/x", "ftp://example.org", "http:///hidden", "http://[::1", "file:///x"]
)
def test_a_bad_address_is_told_without_showing_it(case: Case, url: str) -> None:
    with pytest.raises(ValueError, match="url: ") as caught:
        make(case, url)
    assert not url or url not in str(caught.value)


def test_a_deadline_must_be_one(case: Case) -> None:
    with pytest.raises(ValueError, match="timeout_seconds"):
        make(case, "http://127.0.0.1:1", timeout_seconds=0)


def test_ping_sends_nothing(case: Case) -> None:
    async def run(target: Any) -> None:
        await target.ping()
        await target.close()

    with listening() as listener:
        asyncio.run(run(make(case, listener.url)))
        assert [(r.method, r.body) for r in listener.requests] == [("HEAD", b"")]
    with pytest.raises(DeliveryError):
        asyncio.run(run(make(case, listener.url)))


@pytest.mark.parametrize("name", sorted(k for k, c in CASES.items() if c.secret))
def test_a_receiver_can_verify_it(name: str) -> None:
    case = CASES[name]
    with listening() as listener:
        deliver(make(case, listener.url), notice(case.body, id="message-7"))
        (request,) = listener.requests
    assert json.loads(request.body) == case.body  # bare
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.{request.body.decode()}"
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = hmac.new(key, signed.encode(), hashlib.sha256).digest()
    assert request.headers["webhook-id"] == "message-7"
    assert request.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


@pytest.mark.parametrize("name", sorted(k for k, c in CASES.items() if c.secret))
@pytest.mark.parametrize("secret", ["plain", "whsec_", "whsec_not base64!", "a2V5"])
def test_a_bad_secret_is_told_without_showing_it(name: str, secret: str) -> None:
    with pytest.raises(ValueError, match="secret: ") as caught:
        CASES[name].make(url="http://127.0.0.1:1", secret=secret)
    assert secret.removeprefix("whsec_") == "" or secret.removeprefix("whsec_") not in str(caught.value)


def test_the_twin_keeps_what_it_takes() -> None:
    twin = Memory(failures=[DeliveryError("once")])
    n = notice(CASES["slack"].body)
    assert str(refused(twin, n)) == "once"
    assert twin.closed
    deliver(twin, n)
    assert twin.taken == [n]
