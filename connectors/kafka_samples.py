"""A look at a topic without being a member of any group: some of its last records."""

from __future__ import annotations

import time
from typing import Final

from confluent_kafka import OFFSET_INVALID, KafkaError, TopicPartition

from connectors.kafka_clients import ANSWER_SECONDS, Connection
from stream_monitor.init import Sample

QUIET_SECONDS: Final = 1.0  # without a record: there are no more


def topics(connection: Connection) -> dict[str, int]:
    """All topics with their numbers of partitions. Raises Unreachable."""
    admin = connection.admin()
    with connection.asking("listing topics", admin):
        found = admin.list_topics(timeout=ANSWER_SECONDS).topics
    return {name: len(topic.partitions) for name, topic in found.items() if topic.error is None}


def sample(connection: Connection, topic: str, records: int = 2_000, seconds: float = 10.0) -> Sample:
    """The last records of every partition, about `records` in all, within `seconds`; nothing is committed.

    Raises Unreachable.
    """
    consumer = connection.reader()
    try:
        with connection.asking(f"reading {topic}"):
            numbers = list(consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic].partitions)
            wanted = []
            for number in numbers:
                low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=ANSWER_SECONDS)
                if low != OFFSET_INVALID and low < high:
                    wanted.append(TopicPartition(topic, number, max(low, high - max(1, records // len(numbers)))))
            if not wanted:
                return Sample(values=[])
            consumer.assign(wanted)
            values: list[bytes | None] = []
            stamps: list[int] = []
            heard = began = time.monotonic()
            while len(values) < records and time.monotonic() - began < seconds:
                if values and time.monotonic() - heard > QUIET_SECONDS:
                    break
                for message in consumer.consume(records - len(values), 0.2):
                    if (error := message.error()) is not None:
                        if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                            continue  # librdkafka asks for the group all the same; it is not needed
                        raise connection.in_our_words(error, f"reading {topic}")
                    heard = time.monotonic()
                    values.append(message.value())
                    kind, stamp = message.timestamp()
                    stamps.append(stamp if kind else -1)
            return Sample(values=values, timestamps_ms=stamps)
    finally:
        consumer.close()
