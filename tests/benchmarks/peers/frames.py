"""The topic as frames of 10,000 events, for tools that read frames: consumed and parsed the fast way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pandas as pd
from clocks import BATCH, TOPIC
from confluent_kafka import Consumer, TopicPartition


def frames(brokers: str, events: int) -> Iterator[Any]:
    """Frames of the features of the first `events` events."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "frames", "enable.auto.commit": False})
    partitions = consumer.list_topics(TOPIC, 10).topics[TOPIC].partitions
    consumer.assign([TopicPartition(TOPIC, p, 0) for p in partitions])
    for _ in range(events // BATCH):
        rows: list[Any] = []
        while len(rows) < BATCH:
            rows += [orjson.loads(m.value())["features"] for m in consumer.consume(BATCH - len(rows), 1.0)]
        yield pd.DataFrame.from_records(rows)
    consumer.close()
