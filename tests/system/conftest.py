"""The chapters of the story, each played once: quiet traffic, a drift, somebody who acknowledges, the recovery."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from deploy.kafka.node import Node
from tests.servers import wait_until
from tests.system.chapters import AFTER, DRIFT, QUIET, TOLD, Chapter, look
from tests.system.stage import READ_KEY, Message, Stage, staged
from tests.system.traffic import instant


@pytest.fixture(scope="module")
def stage(kafka: Node, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("system"), kafka, redis_url) as made:
        yield made


@pytest.fixture(scope="module")
def silence(stage: Stage) -> dict[str, Any]:
    order = {"segment": "country=fr", "duration": "1h", "comment": "a test"}
    assert stage.post("/v1/silences", order, key=None).status_code == 401
    answer = stage.post("/v1/silences", order)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


@pytest.fixture(scope="module")
def quiet(stage: Stage, silence: dict[str, Any]) -> Chapter:
    """Nobody touches the page from here on: it must change by itself."""
    stage.page.mark()
    stage.traffic.spoil()
    stage.play(range(3))
    wait_until(lambda: instant(2)[11:19] in " ".join(stage.page.row("Models", "fraud")), what="the page")
    stage.play(range(3, QUIET.stop))
    return look(stage, "quiet")


@pytest.fixture(scope="module")
def drift(stage: Stage, quiet: Chapter) -> Chapter:
    stage.play(DRIFT, wrong=True)
    wait_until(lambda: len(stage.active()) == len(TOLD), what=f"alerts in Alertmanager: {stage.active()}")
    wait_until(lambda: len(stage.webhook.requests) == len(TOLD), what="webhooks")
    wait_until(lambda: len(stage.trigger.requests) == 2, what="the retrain request, tried twice")
    return look(stage, "drift")


@pytest.fixture(scope="module")
def acknowledged(stage: Stage, drift: Chapter) -> dict[str, Any]:
    """The performance alert of the whole model, acknowledged."""
    id = drift.alerts["all", "performance"]["id"]
    path, order = f"/v1/alerts/{id}/acknowledge", {"comment": "I look into it"}
    assert stage.post(path, order, key=None).status_code == 401
    assert stage.post(path, order, key=READ_KEY).status_code == 403
    assert stage.get(f"/v1/alerts/{id}")["state"] == "firing"
    assert stage.post(path, order).status_code == 200
    wait_until(lambda: stage.get(f"/v1/alerts/{id}")["state"] == "acknowledged", what="the acknowledgement")
    wait_until(lambda: len(stage.webhook.requests) == len(TOLD) + 1, what="its webhook")
    found: dict[str, Any] = stage.get(f"/v1/alerts/{id}")
    return found


@pytest.fixture(scope="module")
def over(stage: Stage, acknowledged: dict[str, Any]) -> Chapter:
    stage.play(AFTER)
    wait_until(lambda: not stage.active(), what="Alertmanager without alerts")
    wait_until(lambda: len(stage.webhook.requests) == 2 * len(TOLD) + 1, what="webhooks")
    wait_until(lambda: len(stage.paged()) == len(TOLD) and all(stage.paged().values()), what="the pager told")
    return look(stage, "over")


@pytest.fixture(scope="module")
def topics(stage: Stage, over: Chapter) -> dict[str, list[Message]]:
    """What the service has published by then."""
    return stage.messages("verdicts", "alerts", "retrain-requests", "dead-letters")
