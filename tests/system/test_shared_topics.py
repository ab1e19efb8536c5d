"""Over a real Kafka: three models in one topic by field and by header, features in a topic of their own, topics by
pattern, one of which comes up while the service runs. Every count is known, and `replay` finds the same windows."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.kafka.node import Node, free_port
from tests.servers import answers, wait_until
from tests.shell.test_service import command, get, process

CONFIG = """\
kafka: {{brokers: "{brokers}", prefix: "shared.", group: shared, options: {{session.timeout.ms: 6000}}}}
store: memory
api: {{port: {port}, keys: "${{API_KEY}}"}}
time: {{out_of_orderness: 1s, idle_after: 5m}}
models:
  fraud:
    topic: shared-predictions
    select: {{field: model.name, value: [fraud_v3, fraud_v4]}}
    task: binary
    fields: {{id: id, time: ts, score: score, label: y}}
    features: {{topic: shared-features, fields: {{id: id, time: ts, features: features}}}}
    reference: {{file: normal.jsonl}}
    pane: 1s
    window: {{size: 10s}}
    min_rows: 10
  churn: &plain
    topic: shared-predictions
    select: {{field: model.name}}
    fields: {{id: id, time: ts}}
    pane: 1s
    window: {{size: 10s}}
    min_rows: 10
    monitors:
      - {{metric: duplicate_rate, threshold: 0.5}}
      - {{metric: delay_p50, threshold: 1e9}}
  price: {{<<: *plain, select: {{header: owner}}, monitors: [{{metric: key_skew, threshold: 0.9}}]}}
  spread:
    <<: *plain
    topic: "^shared-spread-.*"
    select: null
    monitors: [{{metric: event_rate, threshold: {{above: 1000}}}}]
"""
SECONDS, RATE = 60, 20

pytestmark = pytest.mark.timeout(600)  # the broker and the service start on whatever else the machine does


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> str:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / name)


def features(r: random.Random) -> dict[str, Any]:
    return {"amount": r.choice([None, r.gauss(100, 10)]), "country": r.choice(["de", "fr"])}


def prediction(r: random.Random, i: int, at: float, model: str) -> dict[str, Any]:
    return {"id": f"i{i}", "ts": at, "model": {"name": model}, "score": r.random(), "y": int(r.random() < 0.5)}


def windows(url: str, model: str) -> dict[float, dict[str, Any]]:
    found = get(url, f"/v1/models/{model}/windows?limit=1000")["items"]
    return {datetime.fromisoformat(w["start"]).timestamp(): w for w in found if w["segment"] == "all"}


def test_shared_topics_feature_streams_and_patterns(kafka: Node, tmp_path: Path) -> None:
    r = random.Random(7)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    topics = {"shared-predictions": 2, "shared-features": 1, "shared-spread-eu": 1}
    for future in admin.create_topics([NewTopic(t, n, 1) for t, n in topics.items()]).values():
        future.result(120)
    normal = [{**prediction(r, i, 1e9 + i, "fraud_v3"), "features": features(r)} for i in range(1_000)]
    write(tmp_path, "normal.jsonl", normal)
    port = free_port()
    (tmp_path / "monitor.yaml").write_text(CONFIG.format(brokers=kafka.bootstrap, port=port))
    file, url = str(tmp_path / "monitor.yaml"), f"http://127.0.0.1:{port}"
    assert command("check", file, "--connect") == 0

    start = (time.time() - 300) // 10 * 10
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "enable.idempotence": True})
    sent: dict[str, list[dict[str, Any]]] = {"events": [], "features": []}
    rows: dict[str, Counter[float]] = {m: Counter() for m in ("fraud", "churn", "price", "spread", "apart", "late")}
    unknown = 0
    for i in range(SECONDS * RATE):
        at = start + i / RATE
        window = at // 10 * 10
        name = ("fraud_v3", "churn", "fraud_v4", "nobody", "owned")[r.choice([0, 1, 2, 0, 1, 2, 3, 4])]
        event = prediction(r, i - i % 2 if name == "churn" else i, at, name)
        headers = [("owner", b"price")] if name == "owned" else []
        producer.produce(
            "shared-predictions", json.dumps(event), key=b"k%d" % (i % 9), headers=headers, partition=i % 2
        )
        sent["events"].append(event)
        owner = {"fraud_v3": "fraud", "fraud_v4": "fraud", "churn": "churn", "owned": "price"}.get(name)
        unknown += owner is None
        if owner:
            rows[owner][window] += 1
        if i % 3:
            apart = {"id": event["id"], "ts": at, "features": features(r)}
            producer.produce("shared-features", json.dumps(apart), partition=0)
            sent["features"].append(apart)
            rows["apart"][window] += 1
        producer.produce("shared-spread-eu", json.dumps({"id": i, "ts": at}), partition=0)
        rows["spread"][window] += 1
    producer.produce("shared-predictions", b"{broken", partition=0)
    done = start + SECONDS + 30  # closes every window before it
    for partition in range(2):
        for name in ("fraud_v3", "churn", "owned"):
            event = prediction(r, -1, done, name)
            sent["events"].append(event)
            producer.produce(
                "shared-predictions", json.dumps(event), headers=[("owner", b"price")], partition=partition
            )
    sent["features"].append({"id": "end", "ts": done, "features": {}})
    producer.produce("shared-features", json.dumps(sent["features"][-1]), partition=0)
    assert producer.flush(120) == 0

    def complete(model: str) -> bool:
        return all(t in windows(url, model) for t in rows[model])

    def spread_is(expected: Counter[float]) -> bool:
        found = windows(url, "spread")
        return {t: found[t]["rows"] for t in expected} == dict(expected)

    with process(tmp_path, "run", file):
        wait_until(lambda: answers(f"{url}/readyz"), 240, "readiness")
        wait_until(lambda: all(map(complete, ("fraud", "churn", "price"))), 150, "windows of the shared topic")
        served = windows(url, "fraud")
        for t, n in rows["fraud"].items():
            assert (served[t]["rows"], served[t]["feature_rows"]) == (n, rows["apart"][t])
            for place, expected in (("columns", rows["apart"][t]), ("predictions", n)):
                assert served[t][place]
                for of in served[t][place].values():
                    assert sum(of["counts"]) + of["missing"] + of["invalid"] + of["other"] == expected
        for model in ("churn", "price"):
            assert {t: windows(url, model)[t]["rows"] for t in rows[model]} == dict(rows[model])
        status = get(url, "/v1/status")
        assert status["dead_letters"]["shared-predictions"] == {"unknown_model": unknown, "not_json": 1}
        assert status["told"]["fraud"] == {"features": len(sent["features"])}
        verdicts = get(url, "/v1/models/churn/verdicts?limit=1000")["items"]
        values = {v["metric"]: v["value"] for v in verdicts if v["value"] is not None and v["rows"]}
        assert 0 < values["duplicate_rate"] < 0.5
        assert values["delay_p50"] > 100_000  # milliseconds: the events are some minutes old

        for future in admin.create_topics([NewTopic("shared-spread-us", 1, 1)]).values():
            future.result(120)
        for i in range(100):
            at = start + 5 + i / 2
            producer.produce("shared-spread-us", json.dumps({"id": f"u{i}", "ts": at}), partition=0)
            rows["spread"][at // 10 * 10] += 1
        assert producer.flush(120) == 0
        wait_until(lambda: "shared-spread-us" in get(url, "/v1/status")["lag"], 120, "the new topic found")
        for topic in ("shared-spread-eu", "shared-spread-us"):
            producer.produce(topic, json.dumps({"id": "end", "ts": done}), partition=0)
        assert producer.flush(120) == 0
        wait_until(lambda: complete("spread"), 120, "windows of the topics by pattern")
        wait_until(lambda: spread_is(rows["spread"]), 120, "all of their rows")

    arguments = ["--events", write(tmp_path, "events.jsonl", sent["events"])]
    arguments += ["--features", write(tmp_path, "features.jsonl", sent["features"]), "--output", str(tmp_path / "out")]
    assert command("replay", file, "--model", "fraud", *arguments) == 0
    lines = (tmp_path / "out" / "windows.jsonl").read_text().splitlines()
    replayed = {(w["start"], w["segment"], w["version"]): w for w in map(json.loads, lines)}
    for one in served.values():
        again = replayed[one["start"], one["segment"], one["version"]]
        assert {**again, "revision": one["revision"]} == one
