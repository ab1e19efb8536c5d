"""Protobuf events: every kind of field, message indexes, imports, evolution, what is no event."""

from __future__ import annotations

import base64
import subprocess
from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass

from connectors.memory_schemas import MemorySchemas
from stream_monitor.config import Fields
from stream_monitor.counting.batches import MISSING, NESTED
from stream_monitor.errors import InvalidRecord, Unreachable
from stream_monitor.formats import decode, decode_labels
from stream_monitor.formats.protobuf import compile_schema
from stream_monitor.formats.protobuf_schemas import file_of, message_type
from stream_monitor.interfaces import Schema
from tests.registry.makers import NOW, frame, labels_plan, plan, records, shown

EVENT = """
syntax = "proto3";
package fraud;
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";
message Event {
  enum Kind { NONE = 0; CARD = 1; CASH = 2; }
  message Features {
    double d = 1; float f = 2; int64 big = 3; uint64 most = 4; bool yes = 5; string text = 6; bytes raw = 7;
    Kind kind = 8; optional int32 maybe = 9; repeated double many = 10; map<string, double> by_name = 11;
    map<int32, Features> by_number = 12; Features inner = 13;
    oneof either { double left = 14; string right = 15; }
    google.protobuf.Duration took = 16; google.protobuf.DoubleValue wrapped = 17; google.protobuf.Struct any = 18;
    sint64 zigzag = 19; fixed64 fixed = 20;
  }
  string id = 1;
  google.protobuf.Timestamp ts = 2;
  Features f = 3;
  int32 y = 4;
}
message Label { string id = 1; google.protobuf.Timestamp ts = 2; optional bool y = 3; }
"""


def proto(text: str, *references: tuple[str, str]) -> Schema:
    return Schema(kind="protobuf", text=text, references=references)


def message(schema: Schema, *path: int) -> Any:
    """An empty message of the schema."""
    return GetMessageClass(message_type(file_of(schema), path or (0,)))()


def event(i: int = 0, schema: Schema | None = None) -> Any:
    made = message(schema or proto(EVENT))
    made.id, made.y = f"e{i}", i
    made.ts.FromMilliseconds(NOW + i)
    made.f.SetInParent()
    return made


def bytes_of(id: int, made: Any, index: bytes = b"\x00") -> bytes:
    return frame(id, index + made.SerializeToString())


def test_every_kind_of_field() -> None:
    schemas = MemorySchemas()
    id = schemas.register(proto(EVENT))
    made, missing, nested = event(), {"kind": MISSING}, {"kind": NESTED}
    f = made.f
    f.d, f.f, f.big, f.most, f.yes, f.text, f.raw = 0.1, 0.5, -(1 << 62), 1 << 63, True, "é", b"\xff"
    f.kind, f.maybe, f.zigzag, f.fixed = 2, 0, -7, 9
    f.many.extend([1.0, 2.0])
    f.by_name["a"] = 2.5
    f.by_number[3].d = 1.5
    f.inner.inner.d = 3.5
    f.right = "r"
    f.took.FromMilliseconds(1500)
    f.wrapped.value = 0.0
    f.any.update({"k": [1, {"z": None}]})
    expected: dict[str, tuple[Any, Any]] = {  # what is set, what an empty message says
        "d": (0.1, 0.0),
        "f": (0.5, 0.0),
        "big": (float(-(1 << 62)), 0.0),
        "most": (float(1 << 63), 0.0),
        "yes": ("true", "false"),
        "text": ("é", ""),
        "raw": (nested, ""),
        "kind": ("CASH", "NONE"),
        "maybe": (0.0, missing),
        "many": (nested, nested),
        "by_name.a": (2.5, missing),
        "by_number.3.d": (1.5, missing),
        "inner.inner.d": (3.5, missing),
        "inner.inner.inner": (missing, missing),
        "left": (missing, missing),
        "right": ("r", missing),
        "took": (1.5, missing),
        "wrapped": (0.0, missing),
        "any.k": (nested, missing),
        "zigzag": (-7.0, 0.0),
        "fixed": (9.0, 0.0),
    }
    paths = tuple(f"f.{name}" for name in expected)
    its = plan("protobuf", schemas, Fields(id="id", time="ts", features=paths, prediction="y"))
    batch, dead = decode(records([bytes_of(id, made), bytes_of(id, event(1))]), its, None, NOW)
    assert not dead
    assert batch.times_ms.tolist() == [NOW, NOW + 1]
    assert {c.name: tuple(shown(c)) for c in batch.features} == {f"f.{n}": v for n, v in expected.items()}
    assert batch.prediction is not None
    assert shown(batch.prediction) == [0.0, 1.0]
    assert batch.schema_ids is not None
    assert batch.schema_ids.tolist() == [id, id]


def test_struct_and_unknown_enum_numbers() -> None:
    schema = proto(EVENT)
    made = event()
    made.f.any.update({"k": [1, {"z": None, "b": True}]})
    made.f.kind = 7
    read = compile_schema(schema)(bytes_of(1, made))
    assert read["f"]["any"] == {"k": [1.0, {"z": None, "b": True}]}
    assert read["f"]["kind"] == 7
    assert read["ts"] == "2026-01-01T00:00:00.000000Z"


NESTED_TEXT = """
syntax = "proto3";
message A { int32 a = 1; message B { int32 b = 1; } message C { message D { string d = 1; } } }
message E { double e = 1; }
"""


@pytest.mark.parametrize(
    ("index", "path", "field", "value"),
    [
        (b"\x00", (0,), "a", 5),
        (b"\x02\x00", (0,), "a", 5),  # the same, written out
        (b"\x02\x02", (1,), "e", 2.5),
        (b"\x04\x00\x00", (0, 0), "b", 5),
        (b"\x06\x00\x02\x00", (0, 1, 0), "d", "x"),
    ],
)
def test_message_indexes(index: bytes, path: tuple[int, ...], field: str, value: Any) -> None:
    schema = proto(NESTED_TEXT)
    made = message(schema, *path)
    setattr(made, field, value)
    assert compile_schema(schema)(bytes_of(1, made, index))[field] == value


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "no message index"),
        (b"\x02\x08", "message 4 of 2"),
        (b"\x04\x00\x04", "message 2 of 2"),
        (b"\x01", "-1 parts"),
        (b"\xfe\xff\xff\xff\x0f", "parts"),
        (b"\x00\x08", "does not decode with schema"),
        (b"\x00\x0f\xff", "does not decode with schema"),
    ],
)
def test_what_no_schema_has_written(body: bytes, detail: str) -> None:
    schemas = MemorySchemas()
    id = schemas.register(proto(NESTED_TEXT))
    _, dead = decode(records([frame(id, body)]), plan("protobuf", schemas, Fields(features=("a",))), None, NOW)
    assert [d.reason for d in dead] == ["unknown_schema"]
    assert detail in dead[0].detail


COMMON = 'syntax = "proto3"; package geo; message Point { double x = 1; Unit unit = 2; } enum Unit { M = 0; KM = 1; }'
PAIR = 'syntax = "proto3"; package geo; import "geo/point.proto"; message Pair { Point a = 1; Point b = 2; }'
MAIN = 'syntax = "proto3"; import "geo/pair.proto"; message Event { string id = 1; geo.Pair f = 2; }'


def test_imports_of_other_schemas_as_text_and_as_descriptors() -> None:
    texts = proto(MAIN, ("geo/point.proto", COMMON), ("geo/pair.proto", PAIR))
    made = message(texts)
    made.f.a.x, made.f.a.unit = 1.5, 1
    pool = file_of(texts).pool

    def descriptor(name: str) -> str:
        return base64.b64encode(pool.FindFileByName(name).serialized_pb).decode()

    point, pair = descriptor("geo/point.proto"), descriptor("geo/pair.proto")
    main = base64.b64encode(file_of(texts).serialized_pb).decode()
    for references, text in (
        ((("geo/point.proto", COMMON), ("geo/pair.proto", PAIR)), MAIN),
        ((("geo/point.proto", point), ("geo/pair.proto", pair)), main),
        ((("geo/point.proto", point), ("geo/pair.proto", PAIR)), MAIN),
        ((("geo/point.proto", COMMON), ("geo/pair.proto", PAIR)), main),
    ):
        read = compile_schema(proto(text, *references))(bytes_of(1, made))
        assert read["f"] == {"a": {"x": 1.5, "unit": "KM"}, "b": None}


def test_common_types_that_nobody_registers() -> None:
    text = 'syntax = "proto3"; import "google/type/date.proto"; message E { google.type.Date d = 1; }'
    schema = proto(text)
    made = message(schema)
    made.d.year = 2026
    assert compile_schema(schema)(bytes_of(1, made))["d"]["year"] == 2026


@pytest.mark.parametrize(
    ("schema", "detail"),
    [
        (proto('syntax = "proto3"; message A { strong a = 1; }'), "strong"),
        (proto('syntax = "proto3"; import "nowhere.proto"; message A { int32 a = 1; }'), "nowhere.proto"),
        (proto("message {"), "line"),
        (proto(MAIN, ("../../pair.proto", PAIR)), "../../pair.proto"),
        (proto(MAIN, ("--python_out=.", PAIR)), "--python_out=."),
        (proto(MAIN, ("@pair.proto", PAIR)), "@pair.proto"),
        (proto(MAIN, ("grpc_tools/__init__.py", "raise SystemExit(3)")), "grpc_tools/__init__.py"),
        (proto(base64.b64encode(b"\x0a\x01x\x12").decode()), ""),
    ],
)
def test_schemas_that_cannot_be_used(schema: Schema, detail: str) -> None:
    with pytest.raises(InvalidRecord, match="unknown_schema: is no Protobuf schema") as caught:
        compile_schema(schema)
    assert detail in caught.value.detail
    assert "/tmp" not in caught.value.detail


def test_schemas_of_one_stream_change() -> None:
    schemas = MemorySchemas()
    head = 'syntax = "proto3"; import "google/protobuf/timestamp.proto"; message Event { string id = 1; '
    tail = " google.protobuf.Timestamp ts = 2; F f = 3; int32 y = 4; } message F { %s }"
    stages: list[tuple[str, dict[str, Any]]] = [
        ("int32 x = 1;", {"x": 1}),
        ("int64 x = 1; double new = 2;", {"x": 2, "new": 0.5}),
        ("reserved 2; int64 x = 1;", {"x": 3}),
        ("reserved 2; int64 renamed = 1;", {"renamed": 4}),
    ]
    values = []
    for i, (fields, features) in enumerate(stages):
        schema = proto(head + tail % fields)
        made = event(i, schema)
        for name, value in features.items():
            setattr(made.f, name, value)
        values.append(bytes_of(schemas.register(schema), made))
    batch, dead = decode(records(values), plan("protobuf", schemas), None, NOW)
    missing = {"kind": MISSING}
    assert not dead
    assert {c.name: shown(c) for c in batch.features} == {
        "x": [1.0, 2.0, 3.0, missing],
        "new": [missing, 0.5, missing, missing],
        "renamed": [missing, missing, missing, 4.0],
    }


def test_labels() -> None:
    schemas = MemorySchemas()
    schema = proto(EVENT)
    id = schemas.register(schema)
    values = []
    for i, y in enumerate((True, False, None)):
        made = message(schema, 1)
        made.id = f"e{i}"
        made.ts.FromMilliseconds(NOW)
        if y is not None:
            made.y = y
        values.append(bytes_of(id, made, b"\x02\x02"))
    batch, dead = decode_labels(records(values), labels_plan("protobuf", schemas), NOW)
    assert (batch.ids, batch.labels) == (["e0", "e1"], [1.0, 0.0])
    assert [(d.index, d.reason) for d in dead] == [(2, "missing_field")]


def test_a_message_as_deep_as_the_stack_is_a_dead_letter() -> None:
    schema = proto('syntax = "proto3"; message L { L next = 1; int32 x = 2; }')
    schemas = MemorySchemas()
    id = schemas.register(schema)
    body = b"\x10\x05"
    for _ in range(5_000):
        size, length = len(body), b""
        while size >= 0x80:
            length += bytes([size & 0x7F | 0x80])
            size >>= 7
        body = b"\x0a" + length + bytes([size]) + body
    its = plan("protobuf", schemas, Fields(features=("next.x",)))
    batch, dead = decode(records([frame(id, b"\x00\x0a\x02\x10\x05"), frame(id, b"\x00" + body)]), its, None, NOW)
    assert shown(batch.features[0]) == [5.0]
    assert [(d.index, d.reason) for d in dead] == [(1, "unknown_schema")]


def test_a_compiler_that_was_killed_says_nothing_of_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    schemas = MemorySchemas()
    schema = proto('syntax = "proto3"; message Killed { int32 x = 1; }')
    value = frame(schemas.register(schema), b"\x00\x08\x05")
    its = plan("protobuf", schemas, Fields(features=("x",)))
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "run", _killed)
        with pytest.raises(Unreachable, match="signal 9"):
            decode(records([value]), its, None, NOW)
    batch, dead = decode(records([value]), its, None, NOW)
    assert (shown(batch.features[0]), dead) == ([5.0], [])


def _killed(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess(command, -9, "", "")
