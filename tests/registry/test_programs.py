"""The quick way through Avro and Protobuf against the plain one: the same batch and dead letters, to the last bit."""

from __future__ import annotations

import base64
import dataclasses
import random
import struct
from typing import Any

import pytest
from google.protobuf import descriptor_pb2
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.memory_schemas import MemorySchemas
from detectors.layouts import Layout
from stream_monitor.config import Config
from stream_monitor.counting.batches import Batch, DeadLetter, Records
from stream_monitor.counting.plans import Plan, event_plan
from stream_monitor.formats import avro as avro_format
from stream_monitor.formats import protobuf as protobuf_format
from stream_monitor.formats.framing import plainly, readers_of
from stream_monitor.formats.machine import COMPILED
from stream_monitor.formats.protobuf_schemas import file_of, message_type
from stream_monitor.interfaces import Schema
from tests.fuzz.events import CASES
from tests.fuzz.plain import NOW, differences
from tests.registry.makers import REGISTRY, avro_schema, frame, record, records

pytestmark = pytest.mark.skipif(not COMPILED, reason="nothing is compiled, and there is no quick way")

MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
TEXTS = ["", "a", "b", "de", "a longer text than eight bytes", "é", "日本😀", "1", "2023-11-14T22:13:20Z", "x" * 300]
WHOLES = [0, 1, -1, 63, 64, -65, 1 << 31, -(1 << 53) - 1, (1 << 62) - 1, -(1 << 62), (1 << 63) - 1, -(1 << 63), NOW]
DOUBLES = [0.0, -0.0, 0.5, 1 / 3, float("nan"), float("inf"), -1e300, 5e-324, NOW / 1000]


def schemas_of(format: str, case: int, schemas: MemorySchemas, labels: bool = True) -> tuple[Plan, Layout | None]:
    model, layout = CASES[case]
    model = dataclasses.replace(model, format=format, labels=model.labels if labels else None)
    config = Config(models={"m": model}, kafka=dataclasses.replace(REGISTRY, max_event=2000))
    return event_plan("m", config, schemas=schemas), layout


def avro_plainly(some: Records, plan: Plan, layout: Layout | None) -> tuple[Batch, list[DeadLetter]]:
    return plainly(some, plan, layout, NOW, readers_of(plan, "avro", avro_format.compile_schema))


class Avro:
    """Schemas that events could have, and values of theirs: by chance."""

    def __init__(self, r: random.Random) -> None:
        self.r, self.names = r, 0

    def name(self) -> str:
        self.names += 1
        return f"N{self.names}"

    def leaf(self) -> Any:
        r = self.r
        logical = [
            ("long", "timestamp-millis"), ("long", "timestamp-micros"), ("long", "timestamp-nanos"), ("int", "date"),
            ("long", "local-timestamp-millis"), ("int", "time-millis"), ("long", "time-micros"), ("string", "uuid"),
            ("int", "made-up"),
        ]  # fmt: skip
        kind = r.randrange(14)
        if kind < 8:
            return ["double", "long", "string", "int", "boolean", "float", "bytes", "null"][kind]
        if kind == 8:
            return {"type": "enum", "name": self.name(), "symbols": ["A", "b", "long_symbol_of_an_enum"]}
        if kind == 9:
            return {"type": "fixed", "name": self.name(), "size": r.choice([0, 2, 16])}
        if kind == 10:
            return {"type": "fixed", "name": self.name(), "size": 16, "logicalType": "uuid"}
        if kind == 11:
            scale = r.choice([0, 2])
            return {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": scale}
        base, name = r.choice(logical)
        return {"type": base, "logicalType": name}

    def type(self, depth: int = 2) -> Any:
        kind = self.r.randrange(10) if depth else 0
        if kind < 5:
            return self.leaf()
        if kind == 5:
            return {"type": "array", "items": self.type(depth - 1)}
        if kind == 6:
            return {"type": "map", "values": self.type(depth - 1)}
        if kind == 7:
            return self.record(["f0", "a", "version", "p"], depth - 1)
        return [
            "null",
            self.r.choice(["double", "string", "long", {"type": "long", "logicalType": "timestamp-millis"}]),
        ]

    def record(self, names: list[str], depth: int, likely: dict[str, Any] | None = None, p: float = 0.8) -> Any:
        chosen = [n for n in names if self.r.random() < p]
        self.r.shuffle(chosen)
        fields = []
        for name in chosen:
            usual = (likely or {}).get(name)
            fields.append((name, usual if usual is not None and self.r.random() < p else self.type(depth)))
        return record(*fields, name=self.name())

    def event(self) -> Any:
        likely = {"f0": "double", "f1": ["null", "double"], "country": "string", "note": "string", "f9": "string"}
        features = self.record([*likely, "at", "vector", "other"], 2, likely)
        if self.r.random() < 0.3:
            features = {"type": "map", "values": self.r.choice(["double", ["null", "double", "string"], self.leaf()])}
        usual = {
            "id": "string", "ts": self.r.choice([MILLIS, MILLIS, "long", "double", "string"]),
            "model": self.record(["version"], 1, {"version": "string"}, 0.97),
            "features": features if self.r.random() < 0.9 else ["null", features],
            "prediction": self.r.choice(["int", "double", "string", "boolean"]),
            "score": self.r.choice([*["double", ["null", "double"]] * 3, {"type": "map", "values": "double"},
                                    {"type": "array", "items": "float"}]),
            "label": ["null", "int"], "latency": "double", "country": ["null", "string"],
        }  # fmt: skip
        top = self.record([], 0)
        top["fields"] = [
            {"name": n, "type": t if self.r.random() < 0.98 else self.type()}
            for n, t in usual.items()
            if self.r.random() < 0.99
        ]
        return top

    def value(self, schema: Any) -> bytes:
        """A value as a writer writes it; what is beyond its range too."""
        r = self.r
        if isinstance(schema, list):
            i = r.randrange(len(schema))
            return long(i) + self.value(schema[i])
        kind = schema if isinstance(schema, str) else schema["type"]
        if kind == "null":
            return b""
        if kind == "boolean":
            return r.choice([b"\0", b"\1"])
        if kind in ("int", "long"):
            logical = schema.get("logicalType", "") if isinstance(schema, dict) else ""
            usual = {"timestamp-micros": NOW * 1000, "timestamp-nanos": NOW * 10**6, "date": 19000}.get(logical, NOW)
            return long(usual + r.randrange(-1000, 1000) if r.random() < 0.9 else r.choice(WHOLES))
        if kind in ("float", "double"):
            number = r.choice([*DOUBLES, *[NOW / 1000 + r.randrange(9)] * 9])
            return struct.pack("<d", number) if kind == "double" else struct.pack("<f", max(-3e38, min(3e38, number)))
        if kind in ("string", "bytes"):
            text = r.choice([*(t.encode() for t in TEXTS), b"\xff\xfe", bytes(2)][: None if kind == "bytes" else -2])
            return long(len(text)) + text
        if kind == "fixed":
            return r.choice([b"ab", b"\xff\0"])[: schema["size"]] * (1 if schema["size"] < 3 else 8)
        if kind == "enum":
            return long(r.randrange(3))
        if kind in ("array", "map"):
            of = schema["items"] if kind == "array" else schema["values"]
            out = b""
            for _ in range(r.randrange(3)):
                keys = r.sample(["f0", "f1", "country", "note", "a", "b", "é"], r.randrange(1, 4))
                items = b"".join(((long(len(k.encode())) + k.encode()) if kind == "map" else b"") + self.value(of)
                                 for k in keys)  # fmt: skip
                out += long(-len(keys)) + long(len(items)) + items if r.random() < 0.3 else long(len(keys)) + items
            return out + b"\0"
        return b"".join(self.value(f["type"]) for f in schema["fields"])


def long(n: int) -> bytes:
    """A zigzag varint."""
    n = (n << 1) ^ (n >> 63)
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def noisy(value: bytes, r: random.Random, begins: int = 5) -> bytes:
    """The value with some of its bytes changed, cut off or added."""
    made = bytearray(value)
    for _ in range(r.randrange(3)):
        if len(made) > begins:
            made[r.randrange(begins, len(made))] = r.choice([0, 1, 2, 127, 128, 255, r.randrange(256)])
    kind = r.randrange(4)
    return bytes(made[: r.randrange(len(made) + 1)] if kind == 0 else made + b"\0" if kind == 1 else made)


class Protobuf:
    """A file of messages that events could be, and bytes of theirs: by chance."""

    SCALARS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 15, 16, 17, 18)  # FieldDescriptorProto.TYPE_*

    def __init__(self, r: random.Random) -> None:
        self.r, self.names = r, 0
        self.file = descriptor_pb2.FileDescriptorProto(
            name="event.proto", syntax=r.choice(["proto3", "proto3", "proto2"])
        )
        known = ("timestamp", "duration", "wrappers", "struct")
        self.file.dependency.extend([f"google/protobuf/{name}.proto" for name in known])
        kind = self.file.enum_type.add(name="Kind")
        for number, name in ((0, "A"), (1, "b"), (-1, "LESS"), (300, "long_symbol_of_an_enum")):
            kind.value.add(name=name, number=number)
        self.event()

    def message(self, name: str) -> Any:
        return self.file.message_type.add(name=name)

    def add(self, to: Any, name: str, kind: Any = None, depth: int = 1, repeated: bool | None = None) -> None:
        """A field: of a TYPE, of a message's name, or of any kind."""
        r = self.r
        field = to.field.add(name=name, number=max([f.number for f in to.field], default=0) + r.choice([1, 1, 1, 17]))
        field.label = 3 if (r.random() < 0.07 if repeated is None else repeated) else 1
        if kind is None:
            choices: list[Any] = [*self.SCALARS, 14, 14]
            known = ("Timestamp", "Duration", "DoubleValue", "StringValue", "BoolValue", "Struct")
            choices += [f".google.protobuf.{known_name}" for known_name in known]
            kind = r.choice(choices) if depth == 0 or r.random() < 0.8 else "message"
        if kind == "message":
            self.names += 1
            inner = self.message(f"M{self.names}")
            for inside in r.sample(["f0", "a", "version", "p"], r.randrange(3)):
                self.add(inner, inside, depth=depth - 1)
            kind = f".{inner.name}"
        if isinstance(kind, str):
            field.type, field.type_name = 11, kind
        else:
            field.type = kind
            if kind == 14:
                field.type_name = ".Kind"
        if field.label == 3:
            if field.type not in (9, 11, 12) and r.random() < 0.3:
                field.options.packed = False
        elif self.file.syntax == "proto3" and r.random() < 0.3:
            field.proto3_optional = True
            to.oneof_decl.add(name=f"_{name}")
            field.oneof_index = len(to.oneof_decl) - 1

    def map(self, to: Any, name: str) -> None:
        entry = to.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=1, type=self.r.choice([9, 9, 9, 5]))
        value = entry.field.add(name="value", number=2, label=1, type=self.r.choice([1, 1, 5, 9, 14, 8, 11]))
        if value.type in (11, 14):
            value.type_name = ".Kind" if value.type == 14 else ".google.protobuf.DoubleValue"
        number = max([f.number for f in to.field], default=0) + 1
        to.field.add(name=name, number=number, label=3, type=11, type_name=f".{to.name}.{entry.name}")

    def event(self) -> None:
        r = self.r
        event, features, model = self.message("Event"), self.message("Features"), self.message("Model")
        for name, kind in (("f0", 1), ("f1", 1), ("country", 9), ("note", 9), ("f9", 9), ("at", None), ("v", None)):
            if r.random() < 0.9:
                self.add(
                    features, name, kind if r.random() < 0.8 else None, repeated=False if r.random() < 0.8 else None
                )
        if r.random() < 0.4 and len(features.field) > 2 and self.file.syntax == "proto2":
            features.oneof_decl.add(name="either")
            for field in list(features.field)[:2]:
                field.label, field.oneof_index = 1, 0
                field.ClearField("options")
        self.add(model, "version", 9 if r.random() < 0.95 else None, repeated=False)
        usual: dict[str, Any] = {
            "id": 9, "ts": r.choice([*[".google.protobuf.Timestamp"] * 3, 1, 3]), "model": ".Model",
            "features": ".Features", "prediction": r.choice([5, 1, 9, 8, 14]),
            "score": r.choice([1, 1, 2, ".google.protobuf.DoubleValue"]), "label": 5, "latency": 1, "country": 9,
        }  # fmt: skip
        for name, kind in usual.items():
            if name in ("features", "score") and r.random() < 0.25:
                self.map(event, name)
            elif r.random() < 0.98:
                many = name == "score" and r.random() < 0.2
                self.add(event, name, kind if r.random() < 0.97 else None, repeated=many)

    def value(self, of: Any, depth: int = 0) -> bytes:
        """A message as somebody writes it: fields out of order, twice, and some that nobody knows."""
        r = self.r
        if of.full_name == "google.protobuf.Timestamp" and r.random() < 0.95:
            nanos = b"\x10" + uvarint(r.randrange(10**9)) if r.random() < 0.6 else b""
            return b"\x08" + uvarint(NOW // 1000 + r.randrange(-9, 9)) + nanos
        out: list[bytes] = []
        for field in of.fields:
            times = r.choice([0, 1, 2]) if field.is_repeated else int(r.random() < 0.9)
            out += [self.field(field, depth) for _ in range(times)]
        if r.random() < 0.1:
            r.shuffle(out)
        if r.random() < 0.05 and out:
            out.append(r.choice(out))
        if r.random() < 0.1:
            texts = uvarint(1900 << 3 | 2) + b"\x03abc", uvarint(1901 << 3) + uvarint(1 << 63)
            out.append(r.choice(texts))
        return b"".join(out)

    def field(self, field: Any, depth: int) -> bytes:
        r, kind = self.r, field.type
        if kind == 11:
            body = self.value(field.message_type, depth + 1) if depth < 4 else b""
            return uvarint(field.number << 3 | 2) + uvarint(len(body)) + body
        if field.is_repeated and kind not in (9, 12) and r.random() < 0.7:
            body = b"".join(self.scalar(kind) for _ in range(r.randrange(4)))
            return uvarint(field.number << 3 | 2) + uvarint(len(body)) + body
        wire = {1: 1, 6: 1, 16: 1, 2: 5, 7: 5, 15: 5, 9: 2, 12: 2}.get(kind, 0)
        return uvarint(field.number << 3 | wire) + self.scalar(kind)

    def scalar(self, kind: int) -> bytes:
        r = self.r
        if kind in (1, 2):
            number = r.choice([*DOUBLES, *[NOW / 1000 + r.randrange(9)] * 9])
            return struct.pack("<d", number) if kind == 1 else struct.pack("<f", max(-3e38, min(3e38, number)))
        if kind in (6, 16, 7, 15):
            return r.randbytes(8 if kind in (6, 16) else 4)
        if kind in (9, 12):
            text = r.choice([*(t.encode() for t in TEXTS), b"f0", b"f1", b"country"])
            text = r.choice([text, b"\xff\xfe"]) if r.random() < (0.3 if kind == 12 else 0.02) else text
            return uvarint(len(text)) + text
        if kind == 8:
            return uvarint(r.choice([0, 1, 1, 2]) if r.random() < 0.1 else r.randrange(2))
        if kind == 14:
            return uvarint(r.choice([0, 1, (1 << 64) - 1, 300]) if r.random() < 0.95 else 7)
        small = uvarint(r.choice([0, 1, 2, 127, 128, NOW if kind in (3, 4, 18) else 5]))
        return small if r.random() < 0.9 else uvarint(r.choice(WHOLES) & ((1 << 64) - 1))


def uvarint(n: int) -> bytes:
    """A varint."""
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def protobuf_plainly(some: Records, plan: Plan, layout: Layout | None) -> tuple[Batch, list[DeadLetter]]:
    return plainly(some, plan, layout, NOW, readers_of(plan, "protobuf", protobuf_format.compile_schema))


def protobuf_schema(schemas: MemorySchemas, file: Any) -> tuple[int, Any]:
    """The id of the file's schema, and the type of its events."""
    schema = Schema(kind="protobuf", text=base64.b64encode(file.SerializeToString()).decode())
    return schemas.register(schema), message_type(file_of(schema), (0,))


@example(case=1, seed=1_098_672_471)  # an optional field that no event of the block has sent
@settings(max_examples=150, deadline=None)
@given(case=st.integers(0, len(CASES) - 1), seed=st.integers(0, 2**32))
def test_any_block_of_protobuf(case: int, seed: int) -> None:
    r, schemas = random.Random(seed), MemorySchemas()
    plan, layout = schemas_of("protobuf", case, schemas, labels=seed % 3 > 0)
    makers = [Protobuf(r) for _ in range(2)]
    made = [protobuf_schema(schemas, maker.file) for maker in makers]
    for _ in range(2):
        values: list[bytes | None] = []
        for _ in range(r.randrange(1, 30)):
            which = r.randrange(2)
            index = b"\0" if r.random() < 0.9 else b"\2\0"
            value = frame(made[which][0], index + makers[which].value(made[which][1]))
            values.append(value if r.random() < 0.8 else noisy(value, r) if r.random() < 0.9 else None)
        assert differences(records(values), plan, layout, protobuf_plainly) == []


@example(case=0, seed=973)  # a time of the day where an instant is wanted
@example(case=0, seed=475_385)  # bytes that are no text where a value is wanted whole
@settings(max_examples=150, deadline=None)
@given(case=st.integers(0, len(CASES) - 1), seed=st.integers(0, 2**32))
def test_any_block_of_avro(case: int, seed: int) -> None:
    r, schemas = random.Random(seed), MemorySchemas()
    plan, layout = schemas_of("avro", case, schemas, labels=seed % 3 > 0)
    makers = [(Avro(r), Avro(r).event()) for _ in range(2)]
    ids = [avro_schema(schemas, schema) for _, schema in makers]
    for _ in range(2):  # what one block taught must not show in another's result
        values: list[bytes | None] = []
        for _ in range(r.randrange(1, 30)):
            which = r.randrange(2)
            value = frame(ids[which], makers[which][0].value(makers[which][1]))
            values.append(value if r.random() < 0.8 else noisy(value, r) if r.random() < 0.9 else None)
        assert differences(records(values), plan, layout, avro_plainly) == []
