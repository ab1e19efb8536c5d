"""One tap on a real Kafka, a topic for each format, the same events in all of them: the same windows in all of them."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import replace
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from connectors.kafka import KafkaGroup, KafkaPublisher
from connectors.kafka_clients import Connection
from connectors.kafka_topics import Topics, TopicSpec
from connectors.memory import MemoryLabelStore
from deploy.kafka.node import Node
from detectors.counts import Counts, merge
from stream_monitor.config import Config
from stream_monitor.entries import Bundle, unpack
from stream_monitor.packing import pack_counts, unpack_counts
from stream_monitor.publications import Publications
from stream_monitor.tap.counting import BlockCounting
from stream_monitor.tap.rules import Limits, Rules
from stream_monitor.tap.tap import Tap
from tests.counting.some_events import MODEL, some_events
from tests.counting.writers import WRITERS
from tests.servers import wait_until

EVENTS = 700


def test_every_format_at_once(kafka: Node) -> None:
    prefix = f"formats-{time.time_ns()}."
    names = {f"m{i}": name for i, name in enumerate(WRITERS)}
    base = replace(MODEL, labels=None)
    config = Config(
        models={m: replace(base, topic=(prefix + m,), format=WRITERS[name][0]) for m, name in names.items()}
    )
    connection = Connection(brokers=kafka.bootstrap)
    topics = Topics(connection)
    specs = [TopicSpec(name=prefix + m, partitions=1) for m in names]
    topics.create([*specs, *(TopicSpec(name=prefix + own, partitions=1) for own in ("panes", "dead-letters"))])
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 5, "enable.idempotence": True})
    events = some_events(EVENTS)
    written = {}
    for m, name in names.items():
        values = [*WRITERS[name][1](events), b"\x00"]
        written[prefix + m] = len(values)
        for value in values:
            producer.produce(prefix + m, value, partition=0)
    assert producer.flush(120) == 0

    publications = Publications()
    group, publisher = KafkaGroup(connection, f"{prefix}group"), KafkaPublisher(connection)
    tap = Tap(
        rules=Rules(topics=tuple(prefix + m for m in names), prefix=prefix, idle_after_ms=30_000, start="earliest"),
        group=group,
        logs=group,
        publisher=publisher,
        counting=BlockCounting(config, catalog=publications, label_store=MemoryLabelStore()),
        worker_partitions=1,
        limits=Limits(flush_seconds=(0.1, 0.5), silence_seconds=0.5),
    )
    stop = threading.Event()
    thread = threading.Thread(target=tap.run, args=(stop,), daemon=True)
    thread.start()

    def settled() -> bool:
        some: list[dict[str, Any]] = list(tap.status()["assigned"])
        return {a["topic"]: a["committed"] for a in some} == written

    try:
        wait_until(settled, 60, "all is counted", every=0.3)
    finally:
        stop.set()
        thread.join()
        group.close()
        publisher.close()

    found: dict[str, dict[Any, list[Counts]]] = defaultdict(lambda: defaultdict(list))
    dead: dict[str, int] = defaultdict(int)
    for bundle in _bundles(kafka, f"{prefix}panes"):
        dead[bundle.source.topic.removeprefix(prefix)] += sum(bundle.dead.values())
        for pane in bundle.panes:
            found[pane.model][pane.version, pane.segment, pane.start_ms].append(unpack_counts(pane.counts))
    windows = {m: {key: pack_counts(merge(parts)) for key, parts in panes.items()} for m, panes in found.items()}
    assert dead == dict.fromkeys(names, 1)
    first = next(m for m, name in names.items() if name == "json")
    assert sum(unpack_counts(v).rows for key, v in windows[first].items() if key[1] == "all") == EVENTS
    for m, name in names.items():
        assert windows[m] == windows[first], name


def _bundles(kafka: Node, topic: str) -> list[Bundle]:
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "reader", "enable.auto.commit": False})
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), 20)
    consumer.assign([TopicPartition(topic, 0, low)])
    out: list[Bundle] = []
    at = low
    while at < high:
        message = consumer.poll(20)
        assert message is not None
        assert message.error() is None
        at = message.offset() + 1
        entry = unpack(message.value())
        if isinstance(entry, Bundle):
            out.append(entry)
    consumer.close()
    return out
