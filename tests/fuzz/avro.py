"""Avro schemas that events could have, and values of theirs: by chance."""

from __future__ import annotations

import random
import struct
from typing import Any, Final

from connectors.memory_schemas import MemorySchemas
from tests.fuzz.plain import NOW
from tests.registry.makers import avro_schema, frame, record

MILLIS: Final = {"type": "long", "logicalType": "timestamp-millis"}
TEXTS: Final = [
    "", "a", "b", "de", "a longer text than eight bytes", "é", "日本😀", "1", "2023-11-14T22:13:20Z", "x" * 300,
]  # fmt: skip
WHOLES: Final = [
    0, 1, -1, 63, 64, -65, 1 << 31, -(1 << 53) - 1, (1 << 62) - 1, -(1 << 62), (1 << 63) - 1, -(1 << 63), NOW,
]  # fmt: skip
DOUBLES: Final = [0.0, -0.0, 0.5, 1 / 3, float("nan"), float("inf"), -1e300, 5e-324, NOW / 1000]
NUMBERS: Final = ["int", "long", "float", "double"]
_LOGICAL: Final = [
    ("long", "timestamp-millis"), ("long", "timestamp-micros"), ("long", "timestamp-nanos"), ("int", "date"),
    ("long", "local-timestamp-millis"), ("int", "time-millis"), ("long", "time-micros"), ("string", "uuid"),
    ("int", "made-up"),
]  # fmt: skip
_NOWS: Final = {"timestamp-micros": NOW * 1000, "timestamp-nanos": NOW * 10**6, "date": 19000}


class Avro:
    """One schema and its values. `usual`: with all that an event must have, of types that it may be of."""

    def __init__(self, r: random.Random, schemas: MemorySchemas, task: str, usual: bool) -> None:
        self.r, self._task, self._usual, self._names = r, task, usual, 0
        self.schema = self._event()
        self._id = avro_schema(schemas, self.schema)

    def value(self) -> bytes:
        return frame(self._id, self._value(self.schema))

    def _name(self) -> str:
        self._names += 1
        return f"N{self._names}"

    def _leaf(self) -> Any:
        r = self.r
        kind = r.randrange(40)
        if kind < 29:
            return [*["double", "long", "string", "int", "boolean", "float", "bytes"] * 4, "null"][kind]
        if kind < 31:
            return {"type": "enum", "name": self._name(), "symbols": ["A", "b", "long_symbol_of_an_enum"]}
        if kind < 33:
            return {"type": "fixed", "name": self._name(), "size": r.choice([0, 2, 2, 16, 16, 16, 16, 16])}
        if kind < 35:
            return {"type": "fixed", "name": self._name(), "size": 16, "logicalType": "uuid"}
        if kind == 35:  # seldom: only the plain way reads them
            return {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": r.choice([0, 2])}
        base, name = r.choice(_LOGICAL)
        return {"type": base, "logicalType": name}

    def _type(self, depth: int = 2) -> Any:
        kind = self.r.randrange(10) if depth else 0
        if kind < 5:
            return self._leaf()
        if kind == 5:
            return {"type": "array", "items": self._type(depth - 1)}
        if kind == 6:
            return {"type": "map", "values": self._type(depth - 1)}
        if kind == 7:
            return self._record(["f0", "a", "version", "p"], depth - 1)
        return ["null", self.r.choice(["double", "string", "long", MILLIS])]

    def _record(self, names: list[str], depth: int, likely: dict[str, Any] | None = None, p: float = 0.8) -> Any:
        chosen = [n for n in names if self.r.random() < p]
        self.r.shuffle(chosen)
        fields = []
        for name in chosen:
            usual = (likely or {}).get(name)
            fields.append((name, usual if usual is not None and self.r.random() < p else self._type(depth)))
        return record(*fields, name=self._name())

    def _features(self) -> Any:
        r = self.r
        if r.random() < 0.05:
            return {"type": "map", "values": r.choice(["double", ["null", "double", "string"], self._leaf()])}
        likely = {"f0": "double", "f1": ["null", "double"], "country": "string", "note": "string", "f9": "string"}
        return self._record([*likely, "at", "vector", "other"], 2, likely)

    def _event(self) -> Any:
        """A record of some order: time may come before the features, or behind them."""
        r = self.r
        features = self._features()
        classes = [{"type": "map", "values": "double"}, {"type": "array", "items": "float"}]
        types = {
            "id": r.choice(["string", "string", "long", {"type": "string", "logicalType": "uuid"}]),
            "ts": r.choice([MILLIS, MILLIS, "long", "double", "string", {"type": "int", "logicalType": "date"},
                            {"type": "long", "logicalType": "timestamp-micros"}]),
            "model": record(("version", r.choice(["string", "string", "int"])), name=self._name()),
            "features": features if r.random() < 0.9 else ["null", features],
            "prediction": r.choice(NUMBERS if self._task == "regression" else ["string", "boolean", *NUMBERS]),
            "score": r.choice(["double", "float", ["null", "double"], *classes[: 2 * (self._task == "multiclass")]]),
            "label": ["null", "int"], "latency": "double", "country": ["null", "string"],
        }  # fmt: skip
        if not self._usual:
            types = {n: t if r.random() < 0.8 else self._type() for n, t in types.items() if r.random() < 0.95}
        fields = list(types.items())
        if r.random() < 0.3:
            r.shuffle(fields)
        return record(*fields, name=self._name())

    def _value(self, schema: Any, of: str = "") -> bytes:
        """A value as a writer writes it, what is beyond its range too; `of` is the name of its field."""
        r = self.r
        likely = self._usual and of in ("id", "ts", "features", "prediction", "version")
        if isinstance(schema, list):
            i = len(schema) - 1 if likely and r.random() < 0.97 else r.randrange(len(schema))
            return long(i) + self._value(schema[i], of)
        kind = schema if isinstance(schema, str) else schema["type"]
        if kind == "null":
            return b""
        if kind == "boolean":
            return r.choice([b"\0", b"\1"])
        if kind in ("int", "long"):
            usual = _NOWS.get(schema.get("logicalType", "") if isinstance(schema, dict) else "", NOW)
            often = r.random() < (0.98 if likely else 0.9)
            return long(usual + r.randrange(-1000, 1000) if often else r.choice(WHOLES))
        if kind in ("float", "double"):
            sound = of == "ts" and likely and r.random() < 0.97
            number = NOW / 1000 + r.randrange(9) if sound else r.choice([*DOUBLES, *[NOW / 1000 + r.randrange(9)] * 9])
            return struct.pack("<d", number) if kind == "double" else struct.pack("<f", max(-3e38, min(3e38, number)))
        if kind in ("string", "bytes"):
            text = r.choice([*(t.encode() for t in TEXTS), b"\xff\xfe", bytes(2)][: None if kind == "bytes" else -2])
            if of == "ts" and likely and r.random() < 0.97:
                text = f"2023-11-14T22:13:{r.randrange(10, 60)}.{r.randrange(1000):03}Z".encode()
            return long(len(text)) + text
        if kind == "fixed":
            return r.choice([b"ab", b"\xff\0"])[: schema["size"]] * (1 if schema["size"] < 3 else 8)
        if kind == "enum":
            return long(r.randrange(3))
        if kind in ("array", "map"):
            return self._blocks(kind, schema["items"] if kind == "array" else schema["values"])
        return b"".join(self._value(f["type"], f["name"]) for f in schema["fields"])

    def _blocks(self, kind: str, of: Any) -> bytes:
        """Members in blocks, with or without their sizes in bytes."""
        r, out = self.r, b""
        for _ in range(r.randrange(3)):
            keys = r.sample(["f0", "f1", "country", "note", "a", "b", "é"], r.randrange(1, 4))
            items = b"".join(((long(len(k.encode())) + k.encode()) if kind == "map" else b"") + self._value(of)
                             for k in keys)  # fmt: skip
            out += long(-len(keys)) + long(len(items)) + items if r.random() < 0.3 else long(len(keys)) + items
        return out + b"\0"


def long(n: int) -> bytes:
    """A zigzag varint."""
    n = (n << 1) ^ (n >> 63)
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])
