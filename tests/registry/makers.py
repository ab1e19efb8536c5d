"""Framed events for the tests of formats that name a schema."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import fastavro
import numpy as np
from confluent_kafka.schema_registry import SchemaRegistryClient

from connectors.memory_schemas import MemorySchemas
from stream_monitor.config import Config, Fields, LabelFields, Labels, Model, SchemaRegistry
from stream_monitor.config import Kafka as KafkaConfig
from stream_monitor.counting.batches import NUMBER, Column, Records
from stream_monitor.counting.plans import LabelPlan, Plan, event_plan, label_plan
from stream_monitor.interfaces import Schema, Schemas

NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z
REGISTRY = KafkaConfig(schema_registry=SchemaRegistry(url="http://registry:8081"))
FIELDS = Fields(id="id", time="ts", features="f", prediction="y")


def admin(url: str) -> SchemaRegistryClient:
    """The other side's client: of its own accord it would wait for one lost answer for ever."""
    return SchemaRegistryClient({"url": url, "timeout": 20, "max.retries": 5})


def frame(id: int, body: bytes) -> bytes:
    return b"\x00" + id.to_bytes(4, "big") + body


def avro_schema(schemas: MemorySchemas, schema: Any, *references: tuple[str, Any]) -> int:
    texts = tuple((name, json.dumps(of)) for name, of in references)
    return schemas.register(Schema(kind="avro", text=json.dumps(schema), references=texts))


def avro(id: int, schema: Any, event: Any, named: dict[str, Any] | None = None) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema, named or {}), event)
    return frame(id, out.getvalue())


def record(*fields: tuple[str, Any], name: str = "Event") -> dict[str, Any]:
    """A record's schema."""
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields]}


def config(format: str, fields: Fields = FIELDS, labels: str = "", **model: Any) -> Config:
    told = Labels(topic="l", fields=LabelFields(id="id", label="y", time="ts"), format=labels) if labels else None
    return Config(models={"m": Model(topic=("p",), format=format, fields=fields, labels=told, **model)}, kafka=REGISTRY)


def plan(format: str, schemas: Schemas | None, fields: Fields = FIELDS, **model: Any) -> Plan:
    return event_plan("m", config(format, fields, **model), schemas=schemas)


def labels_plan(format: str, schemas: Schemas | None) -> LabelPlan:
    return label_plan("m", config(format, labels=format), schemas=schemas)


def records(values: Sequence[bytes | None], first: int = 0) -> Records:
    n = len(values)
    return Records(values=list(values), timestamps_ms=np.full(n, NOW), offsets=np.arange(first, first + n))


def shown(column: Column) -> list[Any]:
    """A raw column's values: numbers, words, or the kind of what is neither."""
    return [
        float(number) if kind == NUMBER else column.words[code] if code >= 0 else {"kind": int(kind)}
        for kind, number, code in zip(column.kinds, column.numbers, column.codes, strict=True)
    ]
