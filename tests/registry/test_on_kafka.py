"""A real tap on a real Kafka: Avro events counted as the same events in JSON are, while the registry comes and goes.

JSON topic   0 ... HALF | HALF ... 2 HALF, and on: counted while the registry is frozen |
Avro topic   0 ... HALF | HALF ... 2 HALF, under a schema that is not known yet: waits  | counted, all the same
"""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import fastavro
import pytest
from confluent_kafka.schema_registry import Schema as Registered

from connectors.kafka import KafkaGroup, KafkaPublisher
from connectors.kafka_clients import Connection
from connectors.kafka_topics import TopicSpec
from connectors.memory import MemoryLabelStore
from connectors.schema_registry import RegistrySchemas
from deploy.kafka.node import Node
from deploy.kafka.registry import Registry
from stream_monitor.config import Config, Fields, Model
from stream_monitor.packing import unpack_counts
from stream_monitor.publications import Publications
from stream_monitor.tap.counting import BlockCounting
from stream_monitor.tap.rules import Limits, Rules
from stream_monitor.tap.tap import Tap
from tests.registry.makers import admin, frame, record
from tests.servers import wait_until
from tests.tap.process import OPTIONS
from tests.tap.test_protocol import fold
from tests.tap.test_tap_on_brokers import Place

MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
HALF = 300


def schema(*features: tuple[str, Any]) -> dict[str, Any]:
    return record(("id", "string"), ("ts", MILLIS), ("f", record(*features, name="F")), ("y", "double"))


STAGES = [schema(("x", "int")), schema(("x", ["null", "double"]), ("word", "string"))]


class Twice(Place):
    """The same events in two topics, as JSON and as Avro; a model reads each."""

    def __init__(self, connection: Connection, registry: Registry) -> None:
        super().__init__(connection, partitions=2)
        self.avro = f"{self.name}.avro"
        self.topics.create([TopicSpec(name=self.avro, partitions=2)])
        self._registry = registry
        with admin(registry.url) as client:
            self._ids = [
                client.register_schema(f"{self.avro}-value", Registered(json.dumps(s), "AVRO")) for s in STAGES
            ]
        fields = Fields(id="id", time="ts", features="f", prediction="y")
        self.config = Config(
            models={
                "json": Model(topic=(self.source,), fields=fields, pane=1_000),
                "avro": Model(topic=(self.avro,), format="avro", fields=fields, pane=1_000),
            }
        )

    def events(self, stage: int, first: int) -> None:
        now = time.time_ns() // 1_000_000
        parsed = fastavro.parse_schema(STAGES[stage])
        for i in range(first, first + HALF):
            features: dict[str, Any] = {"x": i} if not stage else {"x": i / 4 if i % 5 else None, "word": f"w{i % 3}"}
            event = {"id": f"e{i}", "ts": now - i, "f": features, "y": i / 2}
            out = io.BytesIO()
            fastavro.schemaless_writer(out, parsed, event)
            self.producer.produce(self.source, json.dumps(event).encode(), partition=i % 2)
            self.producer.produce(self.avro, frame(self._ids[stage], out.getvalue()), partition=i % 2)
        self.producer.produce(self.avro, json.dumps(event).encode(), partition=0)  # no frame
        self.producer.produce(self.avro, frame(4_000_000, out.getvalue()), partition=1)  # an id that nobody gave
        assert self.producer.flush(120) == 0

    def tap_of(self, prefix: str) -> Tap:
        self.schemas = RegistrySchemas(self._registry.url, {"timeout": 1})
        self.group = KafkaGroup(self.connection, f"{prefix}group")
        self.publisher = KafkaPublisher(self.connection)
        counting = BlockCounting(
            self.config, catalog=Publications(), label_store=MemoryLabelStore(), schemas=self.schemas
        )
        return Tap(
            rules=Rules(topics=(self.source, self.avro), prefix=prefix),
            group=self.group,
            logs=self.group,
            publisher=self.publisher,
            counting=counting,
            worker_partitions=self.workers,
            limits=Limits(flush_seconds=(0.1, 0.5), silence_seconds=0.5, backoff_seconds=0.2),
        )

    def panes(self, model: str) -> Counter[tuple[Any, ...]]:
        """Everything that was counted of a model, once."""
        found: dict[tuple[int, str, bool], list[tuple[Any, ...]]] = {}
        for worker in range(self.workers):
            for bundle in fold(self.bundles(worker))[0]:
                for pane in bundle.panes:
                    if pane.model == model:
                        counts = unpack_counts(pane.counts)
                        key = (pane.start_ms, pane.segment, bool(pane.late))
                        cells = zip(counts.cells.tolist(), counts.values.tolist(), strict=True)
                        found.setdefault(key, []).append((("rows", counts.rows), *cells))
        whole: Counter[tuple[Any, ...]] = Counter()
        for key, parts in found.items():
            for part in parts:
                for cell, n in part:
                    whole[*key, cell] += n
        return whole


@pytest.fixture
def place(kafka: Node, schema_registry: Registry) -> Iterator[Twice]:
    twice = Twice(Connection(brokers=kafka.bootstrap, options=OPTIONS), schema_registry)
    yield twice
    schema_registry.thaw()


def test_avro_is_counted_as_json_is_through_a_registry_that_fell_silent(
    place: Twice, schema_registry: Registry
) -> None:
    tap = place.tap_of(place.prefix)
    with closing(place.group), closing(place.publisher), closing(place.schemas):

        def rounds(condition: Any, seconds: float = 60) -> None:
            def one() -> bool:
                tap.step(0.05)
                return bool(condition())

            wait_until(one, seconds, "it", every=0.0)

        def counted() -> dict[str, int]:
            return dict(tap.status()["events"])

        def lags() -> dict[str, int]:
            found: Counter[str] = Counter()
            for a in tap.status()["assigned"]:
                found[a["topic"]] += a["lag"]
            return dict(found)

        place.events(0, 0)
        rounds(lambda: counted() == {"json": HALF, "avro": HALF})
        schema_registry.freeze()
        place.events(1, HALF)
        rounds(lambda: f"topic {place.avro} waits: schema registry {schema_registry.url}" in tap.status()["reason"])
        assert not tap.status()["healthy"]
        rounds(lambda: counted()["json"] == 2 * HALF)
        place.events(1, 2 * HALF)
        rounds(lambda: counted()["json"] == 3 * HALF)
        rounds(lambda: lags() == {place.source: 0, place.avro: 2 * HALF + 4})
        waiting = {a["topic"]: bool(a["waiting"]) for a in tap.status()["assigned"]}
        assert waiting == {place.source: False, place.avro: True}
        before = tap.status()["dead_letters"][place.avro]
        assert (counted()["avro"], before) == (HALF, {"unknown_schema": 2})
        schema_registry.thaw()
        rounds(lambda: counted() == {"json": 3 * HALF, "avro": 3 * HALF})
        rounds(lambda: tap.status()["healthy"])
        assert tap.status()["dead_letters"] == {place.avro: {"unknown_schema": 6}}
    assert place.panes("avro") == place.panes("json")
    details = sorted(dict(m.headers())["detail"].decode()[:24] for m in place.read(f"{place.prefix}dead-letters", 0))
    assert details == ["no schema id in front: t"] * 3 + ["the registry has no sche"] * 3
