"""Avro with a schema registry: Confluent's framing, the event read with the schema that it was written with.

Events of many schemas may come one after the other. A field that a schema does not have is missing in its events, a
field that was renamed is another column. What Avro has and JSON has not: avro_values.py.
"""

from __future__ import annotations

from typing import Final

from detectors.layouts import Layout
from stream_monitor.counting.batches import Batch, DeadLetter, LabelBatch, Records
from stream_monitor.counting.plans import LabelPlan, Plan
from stream_monitor.errors import InvalidRecord
from stream_monitor.formats.avro_plain import compile_plain
from stream_monitor.formats.avro_schemas import parse
from stream_monitor.formats.framing import BEGINS, MALFORMED, Read, labels
from stream_monitor.interfaces import Schema

_WARMING: Final = """{"type": "record", "name": "E", "fields": [{"name": "f", "type": {
    "type": "record", "name": "F", "fields": [{"name": "a", "type": "double"}, {"name": "b", "type": "string"}]}}]}"""


def compile_schema(schema: Schema) -> Read:
    """What reads the events of a schema. InvalidRecord if there can be none."""
    parsed, named = parse(schema)
    try:
        plain = compile_plain(parsed, named)
    except (*MALFORMED, RecursionError) as error:
        raise InvalidRecord("unknown_schema", f"is no Avro schema that can be read: {error}") from None
    if not isinstance(parsed, dict) or parsed["type"] not in ("record", "error", "map"):
        kind = parsed["type"] if isinstance(parsed, dict) else "a union" if isinstance(parsed, list) else parsed
        raise InvalidRecord("not_an_object", f"its events are {kind}, not records")
    return lambda value: plain(value, BEGINS)


def decode(records: Records, plan: Plan, layout: Layout | None, at_ms: int) -> tuple[Batch, list[DeadLetter]]:
    """Avro records behind the id of their schema."""
    from stream_monitor.formats import programs  # here: who only names a format waits for no compiler
    from stream_monitor.formats.avro_programs import AvroPrograms

    return programs.decode(records, plan, layout, at_ms, "avro", compile_schema, AvroPrograms)


def decode_labels(records: Records, plan: LabelPlan, at_ms: int) -> tuple[LabelBatch, list[DeadLetter]]:
    """Label events as Avro records behind the id of their schema."""
    return labels(records, plan, at_ms, "avro", compile_schema)


def warm() -> None:
    """Make the quick way ready before the first block."""
    from stream_monitor.formats import programs
    from stream_monitor.formats.avro_programs import AvroPrograms

    programs.warm(Schema(kind="avro", text=_WARMING), bytes(8) + b"\x02c", compile_schema, AvroPrograms)
