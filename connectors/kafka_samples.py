"""A look at a topic without being a member of any group: some of its last records."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from confluent_kafka import OFFSET_INVALID, KafkaError, TopicPartition

from connectors.kafka_clients import ANSWER_SECONDS, Connection
from stream_monitor.shell.init import Sample

QUIET_SECONDS: Final = 1.0  # without a record: there are no more
DISORDER_MS: Final = 60_000  # timestamps are those of many producers, and what is sent again comes behind what is later


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


def span(
    connection: Connection, topics: Sequence[str], from_ms: int, to_ms: int, most: int
) -> dict[tuple[str, int], list[Any]]:
    """The records of topics whose Kafka timestamps are in [from_ms, to_ms), at most `most` in all; by partition.

    Each partition gives its first ones. Records that come behind one of DISORDER_MS after the span are not looked at.
    Nothing is committed. Raises Unreachable.
    """
    consumer = connection.reader({"enable.partition.eof": True})
    found: dict[tuple[str, int], list[Any]] = {}
    try:
        with connection.asking("looking for a span of time"):
            known = {t: list(consumer.list_topics(t, timeout=ANSWER_SECONDS).topics[t].partitions) for t in topics}
            places = [TopicPartition(t, p, from_ms) for t, numbers in known.items() for p in numbers]
            begins = consumer.offsets_for_times(places, timeout=ANSWER_SECONDS)
            open_ = {(b.topic, b.partition) for b in begins if b.offset >= 0}
            share = most // max(1, len(open_))
            consumer.assign([b for b in begins if b.offset >= 0])
            while open_:
                for message in consumer.consume(1_000, 1.0):
                    place = (message.topic(), message.partition())
                    error = message.error()
                    if error is not None and error.code() != KafkaError._PARTITION_EOF:
                        if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                            continue
                        raise connection.in_our_words(error, f"reading {place[0]}")
                    if place not in open_:
                        continue
                    mine = found.setdefault(place, [])
                    stamp = -1 if error is not None else message.timestamp()[1]
                    if from_ms <= stamp < to_ms and len(mine) < share:
                        mine.append(message)
                    elif error is not None or len(mine) >= share or stamp >= to_ms + DISORDER_MS:
                        open_.discard(place)
        return found
    finally:
        consumer.close()
