"""What the compose file runs beside the service, on a real Kafka: topics, references, and every event once."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pyarrow.parquet as pq
from confluent_kafka import Consumer, TopicPartition

from deploy.compose.__main__ import PARTITIONS, play, prepare, topics
from deploy.demo.models import MODELS
from deploy.kafka.node import Node


def test_prepare_and_play(kafka: Node, tmp_path: Path) -> None:
    folder = tmp_path / "references"
    folder.mkdir()
    prepare(kafka.bootstrap, folder)
    files = sorted(folder.iterdir())
    before = [f.read_bytes() for f in files]
    prepare(kafka.bootstrap, folder)  # compose runs it at every start
    assert [f.name for f in files] == sorted(f"{m.name}.parquet" for m in MODELS)
    assert [f.read_bytes() for f in files] == before
    assert all(pq.read_table(f).num_rows > 5_000 for f in files)

    stop, said = threading.Event(), list[str]()

    def say(line: str) -> None:
        said.append(line)
        if line == "all traffic is published":
            stop.set()

    play(kafka.bootstrap, 100_000.0, stop, say)
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "test", "auto.offset.reset": "earliest"})
    try:
        places = [TopicPartition(t, p, 0) for t in topics() for p in range(PARTITIONS)]
        counts = {(p.topic, p.partition): consumer.get_watermark_offsets(p, timeout=60)[1] for p in places}
        for model in MODELS:
            _, played = model.load()
            for what in ("predictions", "labels"):
                assert sum(n for (t, _), n in counts.items() if t == f"demo.{model.name}.{what}") == len(played)
        consumer.assign(places[:1])
        (message,) = consumer.consume(1, 120)
        value = message.value()
        assert value is not None
        assert {"request_id", "ts", "model", "features", "prediction"} <= set(json.loads(value))
    finally:
        consumer.close()
