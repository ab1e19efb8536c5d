"""Protobuf with a schema registry: Confluent's framing, messages of the registry's .proto text, imports and all.

Fields are called as in the .proto file. A field without presence that was not sent has its default value, as Protobuf
means it; an `optional` one, a message or a member of a oneof that was not set is missing. Enums are their names,
`Timestamp` is a time, `Duration` seconds, wrappers are what they wrap, bytes are text where they
are UTF-8.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from detectors.layouts import Layout
from stream_monitor.counting.batches import Batch, DeadLetter, LabelBatch, Records
from stream_monitor.counting.plans import LabelPlan, Plan
from stream_monitor.formats.avro_values import bytes_text
from stream_monitor.formats.framing import Read, labels
from stream_monitor.formats.protobuf_schemas import file_of, message_type
from stream_monitor.formats.protobuf_values import VALUES, Convert, indexes
from stream_monitor.interfaces import Schema


def compile_schema(schema: Schema) -> Read:
    """What reads the messages of a schema. InvalidRecord if there can be none."""
    from google.protobuf.message import DecodeError  # here: it comes with an extra
    from google.protobuf.message_factory import GetMessageClass

    file, made = file_of(schema), _Converters()
    readers: dict[tuple[int, ...], tuple[Callable[[bytes], Any], Convert]] = {}

    def read(value: bytes) -> dict[str, Any]:
        path, at = indexes(value)
        if path not in readers:
            descriptor = message_type(file, path)
            readers[path] = (GetMessageClass(descriptor).FromString, made.fields(descriptor))
        parse, convert = readers[path]
        try:
            message: dict[str, Any] = convert(parse(value[at:]))
        except DecodeError as error:
            raise ValueError(str(error)) from None
        return message

    return read


class _Converters:
    """Message types -> functions that make plain values of their messages."""

    def __init__(self) -> None:
        self._made: dict[str, Convert] = {}

    def of(self, descriptor: Any) -> Convert:
        """Of a message where it stands in another one: some types are values."""
        return VALUES.get(descriptor.full_name) or self.fields(descriptor)

    def fields(self, descriptor: Any) -> Convert:
        """Of a message, field by field."""
        name = descriptor.full_name
        if name not in self._made:
            self._made[name] = lambda message: made(message)  # what holds itself meets this
            made = self._fields(descriptor)
            self._made[name] = made
        return self._made[name]

    def _fields(self, descriptor: Any) -> Convert:
        steps = [(f.name, f.has_presence, self._field(f)) for f in descriptor.fields]

        def convert(message: Any) -> dict[str, Any]:
            return {
                name: None if optional and not message.HasField(name) else make(getattr(message, name))
                for name, optional, make in steps
            }

        return convert

    def _field(self, field: Any) -> Convert:
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            value = self._single(entry.fields_by_name["value"])
            key = _key if entry.fields_by_name["key"].cpp_type != field.CPPTYPE_STRING else str
            return lambda found: {key(k): value(v) for k, v in found.items()}
        single = self._single(field)
        if field.is_repeated:
            return lambda found: [single(v) for v in found]
        return single

    def _single(self, field: Any) -> Convert:
        if field.message_type is not None:
            return self.of(field.message_type)
        if field.enum_type is not None:
            names = {number: v.name for number, v in field.enum_type.values_by_number.items()}
            return lambda number: names.get(number, number)
        return bytes_text if field.type == field.TYPE_BYTES else _same


def _same(value: Any) -> Any:
    return value


def _key(value: int | bool) -> str:
    """The key of a map, as JSON writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def decode(records: Records, plan: Plan, layout: Layout | None, at_ms: int) -> tuple[Batch, list[DeadLetter]]:
    """Protobuf messages behind the id of their schema and their place in it."""
    from stream_monitor.formats import programs  # here: who only names a format waits for no compiler
    from stream_monitor.formats.protobuf_programs import ProtobufPrograms

    return programs.decode(records, plan, layout, at_ms, "protobuf", compile_schema, ProtobufPrograms)


def decode_labels(records: Records, plan: LabelPlan, at_ms: int) -> tuple[LabelBatch, list[DeadLetter]]:
    """Label events as Protobuf messages behind the id of their schema and their place in it."""
    return labels(records, plan, at_ms, "protobuf", compile_schema)


def warm() -> None:
    """Make the quick way ready before the first block."""
    from google.protobuf import descriptor_pb2

    from stream_monitor.formats import programs
    from stream_monitor.formats.protobuf_programs import ProtobufPrograms

    file = descriptor_pb2.FileDescriptorProto(name="event.proto", syntax="proto3")
    event, features = file.message_type.add(name="E"), file.message_type.add(name="F")
    event.field.add(name="f", number=1, label=1, type=11, type_name=".F")
    features.field.add(name="a", number=1, label=1, type=1)  # a double
    features.field.add(name="b", number=2, label=1, type=9)  # a string
    schema = Schema(kind="protobuf", text=base64.b64encode(file.SerializeToString()).decode())
    programs.warm(schema, b"\0\x0a\x0c\x09" + bytes(8) + b"\x12\x01c", compile_schema, ProtobufPrograms)
