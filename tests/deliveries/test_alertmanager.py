"""A real Alertmanager receives, groups and resolves what the sink sends, and tells its own receivers."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.sinks.alertmanager import Alertmanager
from stream_monitor.errors import DeliveryError
from tests import servers
from tests.deliveries.cases import alert, notice
from tests.deliveries.listeners import listening

CONFIG = """
route: {{receiver: pager, group_by: [alertname, model], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers: [{{name: pager, webhook_configs: [{{url: '{url}', send_resolved: true}}]}}]
"""


def send(url: str | list[str], *bodies: dict[str, Any]) -> None:
    async def run() -> None:
        sink = Alertmanager(url=url)
        try:
            for body in bodies:
                await sink.deliver(notice(body))
        finally:
            await sink.close()

    asyncio.run(run())


def active(server: servers.Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{server.url}/api/v2/alerts", timeout=60, trust_env=False).json()
    return found


def test_receives_groups_and_resolves(tmp_path: Path) -> None:
    program = servers.need_program("amtool", "prometheus-alertmanager")
    with listening() as pager:
        server = servers.alertmanager_server(tmp_path, CONFIG.format(url=pager.url))
        server.start(lambda: servers.answers(f"{server.url}/-/ready"))
        try:
            de, fr = alert(id="de"), alert(id="fr", segment="country=fr")
            quality = alert(id="q", group="quality")
            send(server.url, de, fr, quality, de)  # again: no second one
            assert sorted(a["labels"]["segment"] for a in active(server)) == ["country=de", "country=de", "country=fr"]

            groups = httpx.get(f"{server.url}/api/v2/alerts/groups", timeout=60, trust_env=False).json()
            sizes = {g["labels"]["alertname"]: len(g["alerts"]) for g in groups}
            assert sizes == {"ModelDrift": 2, "DataQuality": 1}

            listed = subprocess.run(
                [program, f"--alertmanager.url={server.url}", "alert", "query", "alertname=ModelDrift", "-o", "json"],
                capture_output=True,
                check=True,
                text=True,
            )
            assert {a["annotations"]["alert_id"] for a in json.loads(listed.stdout)} == {"de", "fr"}

            send(server.url, {**de, **alert("resolved", id="de")})
            assert {a["annotations"]["alert_id"] for a in active(server)} == {"fr", "q"}

            def told() -> dict[str, str]:
                last: dict[str, str] = {}
                for request in list(pager.requests):
                    for a in json.loads(request.body)["alerts"]:
                        last[a["annotations"]["alert_id"]] = a["status"]
                return last

            servers.wait_until(
                lambda: told() == {"de": "resolved", "fr": "firing", "q": "firing"}, what=f"told: {told()}"
            )
        finally:
            server.stop()


def test_one_member_is_enough(alertmanager: servers.Server) -> None:
    send(["http://127.0.0.1:1", alertmanager.url], alert())
    assert len(active(alertmanager)) == 1
    with pytest.raises(DeliveryError, match="no connection"):
        send(["http://127.0.0.1:1", "http://127.0.0.1:2"], alert())


ODD = ["", "null", 'a"b\\c', "line\nbreak", "\x00", "ünï \N{GRINNING FACE}", "x" * 5_000, "{{ .Labels }}", " "]


def test_whatever_an_event_may_hold_is_taken(alertmanager: servers.Server) -> None:
    """Versions and segments come from events, so no value of theirs may make an alert undeliverable."""
    send(alertmanager.url, *(alert(id=str(i), version=v, segment=v, reason=v) for i, v in enumerate(ODD)))
    taken = {a["annotations"]["alert_id"]: a["labels"].get("segment", "") for a in active(alertmanager)}
    assert taken == {str(i): v for i, v in enumerate(ODD)}


def test_its_refusal_is_quoted_and_permanent(alertmanager: servers.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alertmanager takes the good ones of a batch and answers 400 for the rest: never to be repeated."""
    monkeypatch.setattr("connectors.sinks.alertmanager.alert_of", lambda *_: {"labels": {"bad-name": "x"}})
    with pytest.raises(DeliveryError, match=r"answered 400: .*bad-name") as caught:
        send(alertmanager.url, alert())
    assert caught.value.permanent
