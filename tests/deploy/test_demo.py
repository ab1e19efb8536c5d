"""The demo's parts: where training may run, what a model waits for, what the end of a demo misses."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import threadpoolctl

from connectors.sinks import SINKS
from connectors.triggers import TRIGGERS
from deploy.demo.__main__ import CONFIG
from deploy.demo.clocks import DAYS_A_SECOND, Clocks
from deploy.demo.models import Predictions
from deploy.demo.pipeline import Pipeline
from deploy.demo.summary import missing
from deploy.demo.traffic import Traffic
from detectors.scan.units import scales_of
from stream_monitor.config import HOUR_MS
from stream_monitor.config.files import read_config
from stream_monitor.shell.tables import known_tables

SECRET = b"demo"
DAYS = 60
SPAN = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-29T00:00:00Z"}


class Hourly:
    """A model that says 0 of every hour, and notes how many threads it was trained with."""

    name = "hourly"
    features = ("x",)
    label_delay = pd.Timedelta("1h")

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.may_end = threading.Event()
        self.may_end.set()

    def load(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        hours = pd.date_range("2026-01-01", periods=24 * DAYS, freq="1h", tz="UTC")
        table = pd.DataFrame({"ts": hours, "id": [f"h{i}" for i in range(len(hours))], "x": 1.0, "actual": 0})
        return table[:0], table

    def first(self, reference: pd.DataFrame, played: pd.DataFrame) -> tuple[Predictions, Predictions]:
        return self.retrain(reference, played)

    def retrain(self, rows: pd.DataFrame, rest: pd.DataFrame) -> tuple[Predictions, Predictions]:
        self.threads += [p["num_threads"] for p in threadpoolctl.threadpool_info()]
        assert self.may_end.wait(30)
        inside, outside = (Predictions(prediction=np.zeros(len(t)), score=None) for t in (rows, rest))
        return inside, outside


def test_training_takes_one_core_in_whatever_thread_it_runs(tmp_path: Path) -> None:
    model = Hourly()
    traffic = Traffic(model)
    traffic.until(traffic.end)
    thread = threading.Thread(target=traffic.train, args=(traffic.start, traffic.end, tmp_path / "2.parquet"))
    thread.start()
    thread.join(60)
    assert traffic.version == 2
    assert set(model.threads) == {1}


def test_a_model_waits_while_it_is_held() -> None:
    traffic = {"slow": Traffic(Hourly()), "other": Traffic(Hourly())}
    held: set[str] = set()
    clocks = Clocks(traffic, held.__contains__)
    clocks.after(5)
    assert [t.published for t in traffic.values()] == [24 * 5 * DAYS_A_SECOND + 1] * 2
    held.add("slow")
    assert {m.topic for m in clocks.after(0.25)} == {"demo.hourly.predictions", "demo.hourly.labels"}
    clocks.after(1e3)
    assert (traffic["slow"].published, traffic["other"].published) == (24 * 5 * DAYS_A_SECOND + 1, 24 * DAYS)
    assert "held back" in str(clocks)
    assert not clocks.ended()
    held.clear()
    assert not clocks.ended()
    clocks.after(DAYS / DAYS_A_SECOND)
    assert clocks.ended()
    assert traffic["slow"].published == 24 * DAYS


def test_the_end_waits_for_a_request_that_is_open() -> None:
    traffic, held = {"slow": Traffic(Hourly())}, set[str]()
    clocks = Clocks(traffic, held.__contains__)
    clocks.after(DAYS)
    held.add("slow")
    assert not clocks.ended()


def test_a_request_is_open_until_it_is_answered(tmp_path: Path) -> None:
    model = Hourly()
    traffic = Traffic(model)
    traffic.until(traffic.start + pd.Timedelta(days=30))
    said: list[str] = []
    pipeline = Pipeline(
        {"hourly": traffic},
        api="http://127.0.0.1:1",  # nobody there: the promotion fails, and an answer that failed is one, too
        key="",
        secret="whsec_" + base64.b64encode(SECRET).decode(),
        folder=tmp_path,
        say=said.append,
    )
    pipeline.start()
    try:
        model.may_end.clear()
        for _ in range(2):  # a webhook is delivered at least once
            assert _post(pipeline.url, {"model": "hourly", "range": SPAN}) == 202
            assert pipeline.is_open("hourly")
        assert not pipeline.is_open("other")
        model.may_end.set()
        until = time.monotonic() + 30
        while pipeline.is_open("hourly") and time.monotonic() < until:
            time.sleep(0.01)
        assert not pipeline.is_open("hourly")
        assert len(pipeline.failures) == 1
    finally:
        pipeline.stop()


def _post(url: str, request: dict[str, Any]) -> int:
    body = json.dumps(request).encode()
    told = base64.b64encode(hmac.new(SECRET, b"1.2." + body, hashlib.sha256).digest()).decode()
    headers = {"webhook-id": "1", "webhook-timestamp": "2", "webhook-signature": f"v1,{told}"}
    return httpx.post(url, content=body, headers=headers, trust_env=False).status_code


@pytest.mark.parametrize(
    ("state", "version", "newest", "gaps"),
    [
        ("firing", "1", 2, 1),  # version 2 got no events by which the alert could end
        ("acknowledged", "1", 2, 1),
        ("resolved", "1", 2, 0),
        ("firing", "2", 2, 0),  # of a version that nothing has replaced
    ],
)
def test_an_alert_of_a_replaced_version_that_still_fires_is_missed(
    state: str, version: str, newest: int, gaps: int
) -> None:
    fired = {"model": "m", "group": "drift", "transitions": [{"to": "firing"}]}
    alerts = [{**fired, "version": "1", "state": "resolved"}, {**fired, "version": version, "state": state}]

    def get(path: str) -> Any:
        return {"items": alerts if path.startswith("/v1/alerts") else [{}], "next": None}

    found = missing(get, {"m": newest})
    assert found == ["the end of the drift alert of m's version 1, which version 2 replaced"] * gaps


def test_a_retrained_version_is_judged_by_panes_enough_to_learn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"API_KEY": "key", "API_PORT": "1", "WEBHOOK": "http://127.0.0.1:1/", "SECRET": "whsec_ZGVtbw=="}
    for name, value in told.items():
        monkeypatch.setenv(f"DEMO_{name}", value)
    bike = read_config(str(CONFIG), known_tables(sinks=SINKS, triggers=TRIGGERS)).config.models["bike"]
    assert bike.retrain is not None
    trained_ms = bike.retrain.min_labels * HOUR_MS  # a label an hour: what version 2 is trained on at the least
    assert scales_of(trained_ms // (bike.pane or bike.window.size))
