"""The one model that tests of processes watch: its part of monitor.yaml, its reference, its traffic."""

from __future__ import annotations

import json
import random
from pathlib import Path

from confluent_kafka import Producer

KEY = "hush-hush-key"
FRAUD = """\
api: {{port: {port}, keys: "${{API_KEY}}"}}
time: {{out_of_orderness: 1s, idle_after: 60s}}
models:
  fraud:
    topic: {name}-events
    task: binary
    fields: {{id: id, time: ts, version: model.version, features: features, prediction: prediction, score: score}}
    columns: {{amount: numeric, country: categorical}}
    reference: {{file: normal.csv}}
    pane: 1s
    window: {{size: 5s}}
    min_rows: 20
    monitors: [{{metric: psi, columns: [amount], threshold: 0.5}}]
"""


def write_normal(folder: Path) -> None:
    """Its reference, beside monitor.yaml."""
    rng = random.Random(1)
    rows = [f"{rng.gauss(100, 10):.3f},{rng.choice(['de', 'fr'])},0,{rng.random():.3f}" for _ in range(1_000)]
    (folder / "normal.csv").write_text("amount,country,prediction,score\n" + "\n".join(rows) + "\n")


def publish(brokers: str, topic: str, *, shift: float, start: float, seconds: int) -> None:
    """Forty events a second of event time, evenly over the partitions."""
    rng = random.Random(2)
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    partitions = len(producer.list_topics(topic, timeout=60).topics[topic].partitions)
    for i in range(40 * seconds):
        event = {
            "id": f"{start}-{i}",
            "ts": start + i / 40,
            "model": {"version": "1"},
            "features": {"amount": rng.gauss(100 + shift, 10), "country": rng.choice(["de", "fr"])},
            "prediction": 0,
            "score": rng.random(),
        }
        producer.produce(topic, json.dumps(event).encode(), partition=i % partitions)
    assert producer.flush(120) == 0
