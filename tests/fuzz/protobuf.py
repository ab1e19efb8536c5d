"""Protobuf files of messages that events could be, and bytes of theirs: by chance."""

from __future__ import annotations

import base64
import random
import struct
from typing import Any, Final

from google.protobuf import descriptor_pb2

from connectors.memory_schemas import MemorySchemas
from stream_monitor.formats.protobuf_schemas import file_of, message_type
from stream_monitor.interfaces import Schema
from tests.fuzz.avro import DOUBLES, TEXTS, WHOLES
from tests.fuzz.plain import NOW
from tests.registry.makers import frame

NEEDED: Final = ("id", "ts", "model", "version", "features", "prediction")


class Protobuf:
    """One file and messages of it. `usual`: with all that an event must have, of types that it may be of."""

    SCALARS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 15, 16, 17, 18)  # FieldDescriptorProto.TYPE_*

    def __init__(self, r: random.Random, schemas: MemorySchemas, task: str, usual: bool) -> None:
        self.r, self._task, self._usual, self._names = r, task, usual, 0
        self.file = descriptor_pb2.FileDescriptorProto(
            name="event.proto", syntax=r.choice(["proto3", "proto3", "proto2"])
        )
        known = ("timestamp", "duration", "wrappers", "struct")
        self.file.dependency.extend([f"google/protobuf/{name}.proto" for name in known])
        kind = self.file.enum_type.add(name="Kind")
        for number, name in ((0, "A"), (1, "b"), (-1, "LESS"), (300, "long_symbol_of_an_enum")):
            kind.value.add(name=name, number=number)
        self._event()
        self._id, self._type = protobuf_schema(schemas, self.file)

    def value(self) -> bytes:
        index = b"\0" if self.r.random() < 0.97 else b"\2\0"
        return frame(self._id, index + self._value(self._type))

    def _message(self, name: str) -> Any:
        return self.file.message_type.add(name=name)

    def _add(self, to: Any, name: str, kind: Any = None, depth: int = 1, repeated: bool | None = None) -> None:
        """A field: of a TYPE, of a message's name, or of any kind."""
        r = self.r
        field = to.field.add(name=name, number=max([f.number for f in to.field], default=0) + r.choice([1, 1, 1, 17]))
        field.label = 3 if (r.random() < 0.05 if repeated is None else repeated) else 1
        if kind is None:
            choices: list[Any] = [*self.SCALARS, 14, 14]
            known = ["Timestamp", "Duration", "DoubleValue", "StringValue", "BoolValue"]
            known += ["Struct"] * (r.random() < 0.2)  # only the plain way reads it, and repeated fields, where wanted
            choices += [f".google.protobuf.{known_name}" for known_name in known]
            kind = r.choice(choices) if depth == 0 or r.random() < 0.8 else "message"
        if kind == "message":
            self._names += 1
            inner = self._message(f"M{self._names}")
            for inside in r.sample(["f0", "a", "version", "p"], r.randrange(3)):
                self._add(inner, inside, depth=depth - 1)
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

    def _map(self, to: Any, name: str) -> None:
        entry = to.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=1, type=self.r.choice([9, 9, 9, 5]))
        value = entry.field.add(name="value", number=2, label=1, type=self.r.choice([1, 1, 5, 9, 14, 8, 11]))
        if value.type in (11, 14):
            value.type_name = ".Kind" if value.type == 14 else ".google.protobuf.DoubleValue"
        number = max([f.number for f in to.field], default=0) + 1
        to.field.add(name=name, number=number, label=3, type=11, type_name=f".{to.name}.{entry.name}")

    def _event(self) -> None:
        r = self.r
        event, features, model = self._message("Event"), self._message("Features"), self._message("Model")
        for name, kind in (("f0", 1), ("f1", 1), ("country", 9), ("note", 9), ("f9", 9), ("at", None), ("v", None)):
            if r.random() < 0.9:
                self._add(
                    features, name, kind if r.random() < 0.8 else None, repeated=False if r.random() < 0.85 else None
                )
        if r.random() < 0.25 and len(features.field) > 2 and self.file.syntax == "proto2":
            features.oneof_decl.add(name="either")
            for field in list(features.field)[:2]:
                field.label, field.oneof_index = 1, 0
                field.ClearField("options")
        sure = self._usual  # what every event must have is there, once, and of a kind that it may be
        self._add(model, "version", 9 if sure or r.random() < 0.95 else None, repeated=False)
        wholes, words = [5, 3, 17, 1, 2], [9, 8, 14]
        types: dict[str, Any] = {
            "id": 9, "ts": r.choice([*[".google.protobuf.Timestamp"] * 3, 1, 3]), "model": ".Model",
            "features": ".Features", "prediction": r.choice(wholes + ([] if self._task == "regression" else words)),
            "score": r.choice([1, 1, 2, ".google.protobuf.DoubleValue"]), "label": 5, "latency": 1, "country": 9,
        }  # fmt: skip
        for name, kind in types.items():
            classes = name == "score" and (self._task == "multiclass" or not sure)
            if (name == "features" and r.random() < 0.05) or (classes and r.random() < 0.2):
                self._map(event, name)
            elif sure or r.random() < 0.95:
                many = classes and r.random() < 0.2
                self._add(event, name, kind if sure or r.random() < 0.9 else None, repeated=many)

    def _value(self, of: Any, depth: int = 0) -> bytes:
        """A message as somebody writes it: fields out of order, twice, and some that nobody knows."""
        r = self.r
        if of.full_name == "google.protobuf.Timestamp" and r.random() < 0.95:
            nanos = b"\x10" + uvarint(r.randrange(10**9)) if r.random() < 0.6 else b""
            return b"\x08" + uvarint(NOW // 1000 + r.randrange(-9, 9)) + nanos
        out: list[bytes] = []
        fields = list(of.fields)
        if of.name == "Features" and "either" in of.oneofs_by_name and r.random() < 0.9:
            fields.remove(r.choice(of.oneofs_by_name["either"].fields))
        for field in fields:
            needed = self._usual and field.name in NEEDED
            sent = 0.999 if needed or of.GetOptions().map_entry else 0.9
            times = r.choice([0, 1, 2]) if field.is_repeated else int(r.random() < sent)
            out += [self._field(field, depth) for _ in range(times)]
        if r.random() < 0.1:
            r.shuffle(out)
        if r.random() < 0.02 and out:
            out.append(r.choice(out))
        if r.random() < 0.1 and not of.GetOptions().map_entry:
            texts = uvarint(1900 << 3 | 2) + b"\x03abc", uvarint(1901 << 3) + uvarint(1 << 63)
            out.append(r.choice(texts))
        return b"".join(out)

    def _field(self, field: Any, depth: int) -> bytes:
        r, kind = self.r, field.type
        if kind == 11:
            body = self._value(field.message_type, depth + 1) if depth < 4 else b""
            return uvarint(field.number << 3 | 2) + uvarint(len(body)) + body
        if field.is_repeated and kind not in (9, 12) and r.random() < 0.7:
            body = b"".join(self._scalar(kind, field.name) for _ in range(r.randrange(4)))
            return uvarint(field.number << 3 | 2) + uvarint(len(body)) + body
        wire = {1: 1, 6: 1, 16: 1, 2: 5, 7: 5, 15: 5, 9: 2, 12: 2}.get(kind, 0)
        return uvarint(field.number << 3 | wire) + self._scalar(kind, field.name)

    def _scalar(self, kind: int, of: str) -> bytes:
        r = self.r
        if self._usual and of == "ts" and kind in (1, 3) and r.random() < 0.97:
            return struct.pack("<d", NOW / 1000 + r.randrange(9)) if kind == 1 else uvarint(NOW + r.randrange(999))
        if kind in (1, 2):
            number = r.choice([*DOUBLES, *[NOW / 1000 + r.randrange(9)] * 9])
            return struct.pack("<d", number) if kind == 1 else struct.pack("<f", max(-3e38, min(3e38, number)))
        if kind in (6, 16, 7, 15):
            return r.randbytes(8 if kind in (6, 16) else 4)
        if kind in (9, 12):
            text = r.choice([*(t.encode() for t in TEXTS), b"f0", b"f1", b"country"])
            text = r.choice([text, b"\xff\xfe"]) if r.random() < (0.2 if kind == 12 else 0.002) else text
            return uvarint(len(text)) + text
        if kind == 8:
            return uvarint(2 if r.random() < 0.01 else r.randrange(2))
        if kind == 14:
            return uvarint(r.choice([0, 1, (1 << 64) - 1, 300]) if r.random() < 0.98 else 7)
        small = uvarint(r.choice([0, 1, 2, 127, 128, NOW if kind in (3, 4, 18) else 5]))
        odd = r.random() < (0.1 if kind in (3, 4, 18) else 0.03)  # what no writer makes of 32 bits
        return uvarint(r.choice(WHOLES) & ((1 << 64) - 1)) if odd else small


def uvarint(n: int) -> bytes:
    """A varint."""
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def protobuf_schema(schemas: MemorySchemas, file: Any) -> tuple[int, Any]:
    """The id of the file's schema, and the type of its events."""
    schema = Schema(kind="protobuf", text=base64.b64encode(file.SerializeToString()).decode())
    return schemas.register(schema), message_type(file_of(schema), (0,))
