"""`stream-monitor layout`: what is learnt from a file and a topic, what is shown, what putting one in force does."""

from __future__ import annotations

import io
import json
import random
import struct
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer
from rich.console import Console

from connectors.kafka_clients import Connection
from connectors.kafka_samples import DISORDER_MS, span
from connectors.memory import MemoryLabelStore
from connectors.memory_schemas import MemorySchemas
from deploy.kafka.node import Node
from detectors.layouts import Layout, NumericLayout
from detectors.learning import TAIL
from stream_monitor.app import learn_layout
from stream_monitor.config import Config, Fields, Model, Reference
from stream_monitor.entries import Command
from stream_monitor.errors import ConfigError
from stream_monitor.judging.packed_references import pack_reference
from stream_monitor.publications import Publications, layout_messages
from stream_monitor.shell.logs import Formatter
from stream_monitor.shell.starts import make_known
from stream_monitor.tap.layout_tools import document, from_document, from_file, from_messages, table
from tests.benchmarks.messages import Message
from tests.exactness.service import create_topics
from tests.fold.makers import LAYOUT, SECOND, Event, Run, Tap, bodies
from tests.fold.test_verdicts import reference
from tests.fuzz.avro import MILLIS, long
from tests.registry.makers import REGISTRY, avro_schema, frame, record

MODEL = Model(topic=("t",), fields=Fields(time="ts", features="features"), columns={"x": "numeric", "c": "categorical"})


def test_a_span_of_the_topic_gives_what_its_first_events_would(kafka: Node, tmp_path: Path) -> None:
    """
    timestamps   0 .. 999  | 1000 .. 2999 | 3000 .. 3999 | much later, 2000  events of 1000 to 2999 alone are seen
    x            a million | 0 .. 1       | a million    |                   and nothing behind what is much later
    written      not in this order, but up to 800 places late
    """
    topic = f"layouts-{time.time_ns()}"
    create_topics(kafka.bootstrap, {topic: 2})
    producer, rng = Producer({"bootstrap.servers": kafka.bootstrap, "enable.idempotence": True}), random.Random(1)
    base = int(time.time() * 1000) - 100_000
    seen = [rng.random() for _ in range(2_000)]
    for i in sorted(range(4_000), key=lambda i: i + rng.uniform(0, 800)):
        within = 1_000 <= i < 3_000
        x = seen[i - 1_000] if within else 1e6
        event = {"ts": (base + i) / 1000, "features": {"x": x, "c": "ab"[i % 2] if within else "z"}}
        producer.produce(topic, json.dumps(event).encode(), partition=i % 2, timestamp=base + i)
    for partition in (0, 1):
        producer.produce(topic, b"{}", partition=partition, timestamp=base + 3_000 + DISORDER_MS)
        producer.produce(topic, b"{}", partition=partition, timestamp=base + 2_000)
    assert producer.flush(60) == 0
    config = Config(models={"m": Model(topic=(topic,), fields=MODEL.fields, columns=MODEL.columns)})
    found = span(Connection(brokers=kafka.bootstrap), [topic], base + 1_000, base + 3_000, 100_000)
    assert sorted(len(messages) for messages in found.values()) == [1_000, 1_000]
    layout, rows = from_messages(config, "m", found, MemoryLabelStore(), int(time.time() * 1000))
    assert rows == 2_000
    column = layout.features["x"]
    assert isinstance(column, NumericLayout)
    greatest = max(seen) + (max(seen) - min(seen)) * 2 ** (TAIL - 4)  # the tails double from an eighth of the range on
    assert max(column.edges) == pytest.approx(greatest, rel=1e-5)
    assert document(layout)["features"]["c"]["categories"] == ["a", "b"]
    unreadable = {place: messages[:5] for place, messages in found.items()}
    other = Config(models={"m": Model(topic=(topic,), fields=Fields(id="id", features="features"))})
    with pytest.raises(ConfigError, match="none of 10 messages is an event of m: 10 of them cannot be read"):
        from_messages(other, "m", unreadable, MemoryLabelStore(), 0)
    file = tmp_path / "monitor.yaml"
    file.write_text(
        f"kafka: {{brokers: '{kafka.bootstrap}'}}\nstore: memory\n"
        f"models:\n  m: {{topic: {topic}, fields: {{features: features}}, reference: {{first: 1000}}}}\n"
    )
    with pytest.raises(ConfigError, match=f"no record of {topic} is of that time"):
        learn_layout(str(file), "m", None, ("2001-01-01T00:00:00Z", "2001-01-02T00:00:00Z"), 10, Formatter("text"))
    file.write_text(file.read_text().replace(f"'{kafka.bootstrap}'", "embedded"))
    with pytest.raises(ConfigError, match=r"yaml:1: kafka\.brokers: embedded: that broker finds no records by time"):
        learn_layout(str(file), "m", None, ("2001-01-01T00:00:00Z", None), 10, Formatter("text"))


def test_events_that_name_a_schema_give_a_layout_too() -> None:
    schemas = MemorySchemas()
    schema = record(("ts", MILLIS), ("features", record(("x", "double"), name="F")))
    id, now = avro_schema(schemas, schema), int(time.time() * 1000)
    values = [frame(id, long(now + i) + struct.pack("<d", i)) for i in range(100)]
    messages = [Message(offset, value) for offset, value in enumerate(values)]
    config = Config(models={"m": Model(topic=("t",), format="avro", fields=MODEL.fields)}, kafka=REGISTRY)
    layout, rows = from_messages(config, "m", {("t", 0): messages}, MemoryLabelStore(), now, schemas)
    assert (rows, set(layout.features)) == (100, {"x"})


def test_a_file_gives_what_the_service_would_learn_from_it(tmp_path: Path) -> None:
    rng = random.Random(2)
    rows = "\n".join(f"{rng.random():.4f},{rng.choice('ab')}" for _ in range(1_000))
    (tmp_path / "r.csv").write_text(f"x,c\n{rows}\n")
    file = str(tmp_path / "r.csv")
    model = Model(
        topic=("t",), fields=Fields(features="features"), columns=MODEL.columns, reference=Reference(file=file)
    )
    catalog = Shared()
    start = make_known(Config(models={"m": model}), catalog)
    assert from_file(Config(models={"m": MODEL}), "m", file).id == start.layouts["m"]


def test_a_document_reads_back_and_says_what_is_wrong_with_it() -> None:
    plain = json.loads(json.dumps(document(LAYOUT)))
    assert from_document(plain) == LAYOUT
    for change, said in (
        ({"pane_ms": 10}, "pane_ms: must be from 1 s to 7 d"),
        ({"features": {"x": {"type": "text"}}}, r"features\.x: type must be numeric or categorical"),
        ({"features": {"x": {"type": "numeric", "edges": [2, 1]}}}, r"features\.x: edges must rise"),
        ({"features": {"c": {"type": "categorical", "categories": ["a", "a"]}}}, "a category twice"),
        ({"pane_ms": 2_000}, f"id: {LAYOUT.id} is not that of the content"),
    ):
        with pytest.raises(ValueError, match=said):
            from_document({**plain, **change})
    shown = io.StringIO()
    Console(file=shown, width=100).print(table(LAYOUT))
    assert [line.split()[:3] for line in shown.getvalue().splitlines()[1:]] == [
        ["column", "type", "bins"],
        ["x", "numeric", "10"],
    ]


class Shared(Publications):
    """A catalog that keeps what would be published."""

    def publish_layout(self, id: str, model: str = "", instead_of: str = "") -> None:
        for key, value in layout_messages(self.layout(id), model, instead_of):
            self.take("layouts", key, value)

    def publish_reference(self, id: str) -> None:
        pass

    def publish_blob(self, data: bytes) -> str:
        return self.add_blob(data)

    def publish_config(self, config: Config) -> str:
        return ""


def test_a_restart_does_not_undo_what_was_put_in_force(tmp_path: Path) -> None:
    """
    file A -> layout a | promoted: p instead of a | restart: still p | file B: b | file A again: a
    """
    catalog = Shared()
    promoted = Layout(pane_ms=5_000, features={"x": NumericLayout(edges=(0.5,))}, predictions={})

    def started(numbers: range) -> str:
        file = tmp_path / f"{numbers.start}.csv"
        file.write_text("x\n" + "\n".join(str(n) for n in numbers) + "\n")
        model = Model(
            topic=("t",),
            fields=Fields(features="features"),
            columns={"x": "numeric"},
            reference=Reference(file=str(file)),
        )
        make_known(Config(models={"m": model}), catalog)
        return catalog.model_layouts()["m"]

    a = started(range(100))
    catalog.publish_layout(catalog.add_layout(promoted), "m", a)
    assert started(range(100)) == promoted.id
    b = started(range(1_000, 1_100))
    assert b not in (a, promoted.id)
    assert started(range(100)) == a


def test_another_layout_begins_with_a_reference_counted_by_it() -> None:
    """Counts by one layout cannot be compared with a reference by another: it is replaced, or learnt anew."""
    run, tap = Run(reference=reference()), Tap()
    other = Layout(pane_ms=SECOND, features={"x": NumericLayout(edges=(0.5,))}, predictions={})
    run.catalog.add_layout(other)
    assert run.state.models["m"].reference
    run.command("layout", {"model": "m", "layout": other.id})
    assert (run.state.models["m"].layout, run.state.models["m"].reference) == (other.id, "")
    anew = run.catalog.add_blob(pack_reference(reference(seed=2)))
    run.feed(Command("again", "layout", 0, "ann", {"model": "m", "layout": LAYOUT.id, "reference": anew}))
    assert (run.state.models["m"].layout, run.state.models["m"].reference) == (LAYOUT.id, anew)
    run.feed(tap.block([Event(at=s * SECOND) for s in range(1, 30)]))
    assert [w["rows"] for w in bodies(run.outputs, "window")] == [9, 10]
