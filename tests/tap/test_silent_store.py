"""A real tap on a real Kafka with labels in a real Redis that falls silent, frozen or gone.

plain         0 ... HALF | HALF ... 2 HALF: counted all the while           |
predictions   0 ... HALF | HALF ... 2 HALF: wait, with a reason             | counted, all the same
labels        0 ... HALF | HALF ... 2 HALF: wait, too                       | joined, each once
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from connectors.kafka import KafkaGroup, KafkaPublisher
from connectors.kafka_clients import Connection
from connectors.kafka_topics import TopicSpec
from connectors.redis_labels import RedisLabelStore
from deploy.kafka.node import Node
from detectors.layouts import CORRECT, LABELS
from stream_monitor.config import Config, Fields, LabelFields, Labels, Model
from stream_monitor.packing import unpack_counts
from stream_monitor.publications import Publications
from stream_monitor.tap.counting import BlockCounting
from stream_monitor.tap.rules import Limits, Rules
from stream_monitor.tap.tap import Tap
from tests.servers import Server, redis_ready, redis_server, wait_until
from tests.tap.process import OPTIONS
from tests.tap.test_protocol import fold
from tests.tap.test_tap_on_brokers import Place

HALF = 200


class Three(Place):
    """Events of one model without labels and of one with, and its labels, each in a topic."""

    def __init__(self, connection: Connection, redis: Server) -> None:
        super().__init__(connection, partitions=2)
        self.predictions, self.labels = f"{self.name}.predictions", f"{self.name}.labels"
        self.topics.create([TopicSpec(name=name, partitions=2) for name in (self.predictions, self.labels)])
        fields = Fields(id="id", time="ts", features="f", prediction="y")
        told = Labels(topic=self.labels, fields=LabelFields(id="id", time="ts", label="is"))
        self.config = Config(
            models={
                "plain": Model(topic=(self.source,), fields=fields, pane=1_000),
                "labelled": Model(topic=(self.predictions,), fields=fields, pane=1_000, task="binary", labels=told),
            }
        )
        self.store = RedisLabelStore(f"redis://127.0.0.1:{redis.port}/0", self.prefix)

    def events(self, first: int) -> None:
        now = time.time_ns() // 1_000_000
        for i in range(first, first + HALF):
            event = json.dumps({"id": f"e{i}", "ts": now, "f": {"x": i}, "y": i % 2}).encode()
            for topic in (self.source, self.predictions):
                self.producer.produce(topic, event, partition=i % 2)
            label = json.dumps({"id": f"e{i}", "ts": now, "is": i % 3 == 0}).encode()
            self.producer.produce(self.labels, label, partition=i % 2)
        assert self.producer.flush(120) == 0

    def outcomes(self) -> Counter[int]:
        """How many labels met their predictions, and how many of those were right, in all bundles."""
        found: Counter[int] = Counter()
        for worker in range(self.workers):
            for bundle in fold(self.bundles(worker))[0]:
                for counts in (unpack_counts(pane.counts) for pane in bundle.panes if pane.model == "labelled"):
                    cells = zip(counts.cells.tolist(), counts.values.tolist(), strict=True)
                    found.update({cell: n for cell, n in cells if cell in (LABELS, CORRECT)})
        return found


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Server]:
    """A Redis of the test's own, which may be frozen and stopped."""
    server = redis_server(tmp_path)
    server.start(redis_ready(server))
    yield server
    server.thaw()
    server.stop()


@pytest.mark.parametrize("how", ["frozen", "gone"])
def test_a_silent_label_store_holds_back_its_own_topics_only(kafka: Node, redis: Server, how: str) -> None:
    place = Three(Connection(brokers=kafka.bootstrap, options=OPTIONS), redis)
    group, publisher = KafkaGroup(place.connection, f"{place.prefix}group"), KafkaPublisher(place.connection)
    tap = Tap(
        rules=Rules(topics=(place.source, place.predictions, place.labels), prefix=place.prefix),
        group=group,
        logs=group,
        publisher=publisher,
        counting=BlockCounting(place.config, catalog=Publications(), label_store=place.store),
        worker_partitions=place.workers,
        limits=Limits(flush_seconds=(0.1, 0.5), silence_seconds=0.5, backoff_seconds=0.2),
        executor=ThreadPoolExecutor(1),
    )
    with closing(place.store), closing(publisher), closing(group):

        def rounds(condition: Callable[[], bool]) -> None:
            def one() -> bool:
                tap.step(0.05)
                return condition()

            wait_until(one, 60, "it", every=0.0)

        def counted() -> dict[str, int]:
            return dict(tap.status()["events"])

        def lags() -> Counter[str]:
            found: Counter[str] = Counter()
            for a in tap.status()["assigned"]:
                found[a["topic"]] += a["lag"]
            return found

        place.events(0)
        # The events of a model are its predictions and its labels.
        rounds(lambda: counted() == {"plain": HALF, "labelled": 2 * HALF})
        if how == "frozen":
            redis.freeze()
        else:
            redis.stop()
        place.events(HALF)
        apart = (place.labels, place.predictions)
        rounds(lambda: all(f"topic {topic} waits: label store: redis: " in tap.status()["reason"] for topic in apart))
        rounds(lambda: counted()["plain"] == 2 * HALF)
        place.events(2 * HALF)
        rounds(lambda: counted()["plain"] == 3 * HALF)
        rounds(lambda: lags() == {place.source: 0, **dict.fromkeys(apart, 2 * HALF)})
        status = tap.status()
        assert not status["healthy"]
        assert {a["topic"]: bool(a["waiting"]) for a in status["assigned"]} == {
            place.source: False,
            **dict.fromkeys(apart, True),
        }
        assert counted()["labelled"] == 2 * HALF
        if how == "frozen":
            redis.thaw()
        else:
            redis.start(redis_ready(redis))
        rounds(lambda: counted() == {"plain": 3 * HALF, "labelled": 6 * HALF})
        rounds(lambda: tap.status()["healthy"] and not tap.status()["reason"])
        assert lags() == dict.fromkeys((place.source, *apart), 0)
        assert tap.status()["dead_letters"] == {}
    right = sum((i % 2 == 1) == (i % 3 == 0) for i in range(3 * HALF))
    assert place.outcomes() == {LABELS: 3 * HALF, CORRECT: right}
