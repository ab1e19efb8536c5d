"""The walk: what happens to an event, from its bytes to an alert, with nothing running. Read this first.

bytes -> batch -> panes -> bundle -> fold -> window -> verdict -> alert -> retrain request
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_monitor.config import Alerts, Config, Fields, Model, MonitorSpec, Reference, Retrain, Time, WindowSpec
from stream_monitor.config.plain import plain_config
from stream_monitor.counting.batches import Records
from stream_monitor.counting.panes import count_block
from stream_monitor.counting.plans import event_plan
from stream_monitor.entries import Bundle, Command, Source
from stream_monitor.fold.fold import State, step
from stream_monitor.formats import decode
from stream_monitor.judging.packed_references import pack_reference
from stream_monitor.judging.references import prepare
from stream_monitor.outputs import Output
from tests.fold.makers import MemoryCatalog

MINUTE = 60_000

# What a user writes in monitor.yaml, as the frozen data that it becomes.
FRAUD = Model(
    topic=("fraud.predictions",),
    task="binary",
    positive=1,
    fields=Fields(time="ts", version="version", features="features", prediction="prediction", label="label"),
    columns={"amount": "numeric", "country": "categorical"},
    reference=Reference(file="normal.csv"),
    window=WindowSpec(size=MINUTE),
    min_rows=50,
    monitors=(
        MonitorSpec(metric="psi", columns=("amount",), threshold=0.2),
        MonitorSpec(metric="missing_rate", columns=("country",)),
    ),
    alerts=Alerts(for_=2, resolve_after=2),
    retrain=Retrain(on=("drift",), cooldown=0),
)
CONFIG = Config(models={"fraud": FRAUD}, time=Time(out_of_orderness=0))


def event(at: int, amount: float) -> dict[str, Any]:
    """A prediction as a service would log it."""
    return {
        "ts": at,
        "version": "3",
        "features": {"amount": amount, "country": "de"},
        "prediction": 0,
        "label": 0,
    }


class Walk:
    """The stations in a row. A tap and a worker do the same with brokers between them."""

    def __init__(self, folder: Path) -> None:
        random.seed(7)
        rows = [f"{i * 1000},3,{random.gauss(100, 10)},de,0,0\n" for i in range(3000)]
        (folder / "normal.csv").write_text("ts,version,amount,country,prediction,label\n" + "".join(rows))
        prepared = prepare("fraud", FRAUD, folder)  # the reference file: how columns are counted, and what is normal
        assert prepared.layout is not None
        assert prepared.reference is not None
        self.layout = prepared.layout
        self.catalog = MemoryCatalog()
        self.state = State.empty(partition=0, partitions=1)
        self._n = self._offset = 0
        self._max_time_ms: int | None = None
        body = {
            "config": plain_config(CONFIG),
            "layouts": {"fraud": self.catalog.add_layout(self.layout)},
            "references": {"fraud": self.catalog.add_blob(pack_reference(prepared.reference))},
        }
        self.state, _ = step(self.state, Command("1", "config", 0, "worker", body), self.catalog)

    def block(self, events: list[dict[str, Any]]) -> Bundle:
        """What a tap makes of the next events of its source partition."""
        first, self._offset, self._n = self._offset, self._offset + len(events), self._n + 1
        records = Records(
            values=[json.dumps(e).encode() for e in events],
            timestamps_ms=np.zeros(len(events), np.int64),
            offsets=np.arange(first, self._offset),
        )
        at_ms = max(e["ts"] for e in events)
        batch, dead = decode(records, event_plan("fraud", CONFIG), self.layout, at_ms)  # bytes -> columns
        assert not dead
        counted = count_block(batch, self.layout, "fraud", FRAUD, CONFIG.time, self._max_time_ms)  # columns -> panes
        self._max_time_ms = counted.max_time_ms
        return Bundle(
            source=Source("fraud.predictions", "id", 0, 1),
            n=self._n,
            from_=first,
            to=self._offset,
            part=0,
            parts=1,
            watermark_ms=counted.max_time_ms,
            idle=False,
            partitions=1,
            config="1",
            at_ms=at_ms,
            panes=tuple(counted.panes),
            dead={},
        )

    def minute(self, i: int, mean: float) -> list[Output]:
        """A minute of traffic around `mean`, all the way; what the fold puts out."""
        start = 1_700_000_040_000 + i * MINUTE  # a whole minute
        events = [event(start + k * 300, random.gauss(mean, 10)) for k in range(200)]
        self.state, outputs = step(self.state, self.block(events), self.catalog)
        return outputs


@pytest.fixture
def walk(tmp_path: Path) -> Walk:
    return Walk(tmp_path)


def of(outputs: list[Output], kind: str) -> list[dict[str, Any]]:
    return [o.body for o in outputs if o.kind == kind]


def test_one_event_all_the_way(walk: Walk) -> None:
    at = 1_700_000_040_000
    bundle = walk.block([event(at, 100.0)])
    assert [(p.version, p.segment) for p in bundle.panes] == [("3", "all")]  # counts, no values
    walk.state, outputs = step(walk.state, bundle, walk.catalog)
    assert of(outputs, "window") == []  # its minute is not over
    walk.state, outputs = step(walk.state, walk.block([event(at + MINUTE, 100.0)]), walk.catalog)
    window = of(outputs, "window")[0]
    assert (window["start"], window["end"]) == ("2023-11-14T22:14:00Z", "2023-11-14T22:15:00Z")
    assert (window["rows"], window["labels"], window["columns"]["amount"]["sum"]) == (1, 1, 100.0)
    assert sum(window["columns"]["amount"]["counts"]) == 1
    verdict = of(outputs, "verdict")[0]
    assert (verdict["monitor"], verdict["column"], verdict["level"]) == ("psi", "amount", "unknown")
    assert verdict["reason"] == "1 rows, at least 50 needed"


def test_normal_traffic_is_ok(walk: Walk) -> None:
    outputs = [o for i in range(4) for o in walk.minute(i, mean=100)]
    verdicts = of(outputs, "verdict")
    assert {v["level"] for v in verdicts} == {"ok"}
    assert {(v["monitor"], v["column"]) for v in verdicts} == {("psi", "amount"), ("missing_rate", "country")}
    assert verdicts[0]["reference_rows"] == 3000
    assert of(outputs, "alert") == []


def test_a_shift_is_told_and_a_new_model_asked_for(walk: Walk) -> None:
    """Two normal minutes, then amounts 15 higher: drift, and after two windows of it an alert and a request."""
    outputs = [o for i in range(6) for o in walk.minute(i, mean=100 if i < 2 else 115)]
    levels = [v["level"] for v in of(outputs, "verdict") if v["monitor"] == "psi"]
    assert levels == ["ok", "ok", "drift", "drift", "drift"]
    pending, firing = of(outputs, "alert")
    assert (pending["state"], firing["state"]) == ("pending", "firing")
    assert firing["onset"] == "2023-11-14T22:16:00Z"
    assert firing["worst"][0]["column"] == "amount"
    request = of(outputs, "retrain-request")[0]
    assert request["cause"]["alerts"] == [firing["id"]]
    assert request["range"] == {
        "from": "2023-11-14T22:16:00Z",
        "to": "2023-11-14T22:18:00Z",
        "offsets": {"fraud.predictions": {"0": [400, 800]}},
    }
    assert of(outputs, "model")[-1]["levels"]["drift"] == "drift"


def test_when_the_shift_ends_the_alert_resolves(walk: Walk) -> None:
    outputs = [o for i in range(8) for o in walk.minute(i, mean=115 if i < 3 else 100)]
    assert [a["state"] for a in of(outputs, "alert")] == ["pending", "firing", "resolved"]
    assert of(outputs, "alert")[-1]["reason"] == "ok for 2 windows"
