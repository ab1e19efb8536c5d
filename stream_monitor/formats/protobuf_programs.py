"""Protobuf types and what a plan needs of their messages -> tables for the compiled walk (protobuf_walking.py).

Types with groups, extensions or required fields, and those with very large field numbers, are read the plain way; so
are messages that have a value that is wanted and that only the plain way knows (Struct, Decimal, lists of texts).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final

import numpy as np

from stream_monitor.counting.batches import BOOL, MISSING, NESTED, NUMBER, TEXT, Integers
from stream_monitor.counting.plans import Path
from stream_monitor.errors import InvalidRecord
from stream_monitor.formats.avro_values import bytes_text
from stream_monitor.formats.found import OBJECT, SPANS
from stream_monitor.formats.framing import BEGINS, MALFORMED, Framings
from stream_monitor.formats.interning import numbered
from stream_monitor.formats.needs import Needs
from stream_monitor.formats.protobuf_schemas import file_of, message_type
from stream_monitor.formats.protobuf_values import VALUES, indexes
from stream_monitor.formats.protobuf_walking import (
    BOOLEAN,
    BYTES,
    DOUBLE,
    DURATION,
    ENUM,
    FIXED32,
    FIXED64,
    FLOAT,
    INT32,
    INT64,
    MAP,
    MESSAGE,
    REFUSE,
    SFIXED32,
    SFIXED64,
    SINT32,
    SINT64,
    STRING,
    TIMESTAMP,
    UINT32,
    UINT64,
    Program,
    walk,
)  # fmt: skip
from stream_monitor.interfaces import Schema

MAX_NUMBER: Final = 2_000  # of a field
MAX_NODES: Final = 2_000  # of one schema
NOWHERE: Final = -1
KEYED: Final = -2

# FieldDescriptor.TYPE_* -> what the walk calls it; groups are not there.
_OPS: Final[dict[int, int]] = {
    1: DOUBLE, 2: FLOAT, 3: INT64, 4: UINT64, 5: INT32, 6: FIXED64, 7: FIXED32, 8: BOOLEAN, 9: STRING, 11: MESSAGE,
    12: BYTES, 13: UINT32, 14: ENUM, 15: SFIXED32, 16: SFIXED64, 17: SINT32, 18: SINT64,
}  # fmt: skip
_FORMATS: Final[dict[int, str]] = {
    DOUBLE: "<d",
    FLOAT: "<f",
    FIXED64: "<Q",
    SFIXED64: "<q",
    FIXED32: "<I",
    SFIXED32: "<i",
}
_WRAPPERS: Final = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)


class Unfit(Exception):
    """There are no tables for the type: only the plain way reads it."""


def number(op: int, data: bytes) -> Any:
    r"""The value of a number's bytes.

    >>> number(INT32, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), number(SINT64, b"\x03"), number(FLOAT, bytes(4))
    (-1, -2, 0.0)
    """
    if op in _FORMATS:
        return struct.unpack(_FORMATS[op], data)[0]
    bits = sum((byte & 127) << (7 * i) for i, byte in enumerate(data)) & (2**64 - 1)
    if op == BOOLEAN:
        return bits != 0
    if op in (SINT32, SINT64):
        return (bits >> 1) ^ -(bits & 1)
    return bits - 2**64 if op in (INT32, INT64) and bits >= 2**63 else bits


def numbers(op: int, data: bytes) -> list[Any]:
    r"""The values of a packed field.

    >>> numbers(INT32, b"\x01\x80\x01"), numbers(DOUBLE, b"")
    ([1, 128], [])
    """
    if op in _FORMATS:
        return [value for (value,) in struct.iter_unpack(_FORMATS[op], data)]
    ends = [i + 1 for i, byte in enumerate(data) if byte < 128]
    return [number(op, data[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


class ProtobufPrograms:
    """The tables of all types that a plan has met. `families` read a value of its bytes."""

    walk: ClassVar[Callable[..., tuple[int, int]]] = staticmethod(walk)

    def __init__(self, needs: Needs) -> None:
        self.families: list[Callable[[bytes], Any]] = [bytes_text]
        self.constants = bytearray(8)  # of zeros: the bytes of numbers that were not sent
        self._needs = needs
        self._nodes: list[tuple[int, int, int, int]] = []
        self._table: list[int] = []
        self._fields: list[tuple[int, ...]] = []
        self._defaults: list[tuple[int, ...]] = []
        self._symbols: list[tuple[int, int, int]] = []
        self._keys: list[tuple[int, str, int]] = []
        self._maps = 0
        self._oneofs = 0
        self._families: dict[object, int] = {}
        self._enums: dict[object, tuple[int, int]] = {}
        self._skipped: dict[str, int] = {}
        self._begun = 0
        self._program: Program | None = None

    def places(self, of: Framings, rows: Integers) -> Iterator[tuple[Integers, tuple[int, ...], int]]:
        """Rows by which message of the schema they are: nearly always the first one."""
        first = of.next[rows] == 0
        if first.any():
            yield rows[first], (0,), BEGINS + 1
        others: dict[tuple[tuple[int, ...], int], list[int]] = {}
        for row in rows[~first].tolist():
            try:
                others.setdefault(indexes(of.values[row]), []).append(row)
            except MALFORMED:
                continue
        for (path, at), same in others.items():
            yield np.array(same, np.int64), path, at

    def entry(self, schema: Schema, path: tuple[int, ...]) -> int | None:
        """The node of a message of the schema, None when there is none."""
        self._program = None
        self._begun, self._skipped = len(self._nodes), {}
        try:
            return self._node(message_type(file_of(schema), path), ())
        except (Unfit, InvalidRecord, RecursionError):
            return None

    def size(self) -> int:
        return len(self._fields) + len(self._table)

    def ready(self) -> Program:
        if self._program is not None:
            return self._program
        keys, slots = numbered(self._keys, NOWHERE)
        self._program = Program(
            nodes=np.array(self._nodes, np.int64).reshape(-1, 4),
            table=np.array(self._table, np.int64),
            fields=np.array(self._fields, np.int64).reshape(-1, 7),
            defaults=np.array(self._defaults, np.int64).reshape(-1, 5),
            symbols=np.array(self._symbols, np.int64).reshape(-1, 3),
            keys=keys,
            slots=slots,
            seen=np.zeros((self._oneofs, 2), np.int64),
        )
        return self._program

    def _node(self, descriptor: Any, path: Path | None, wrapped: int = NOWHERE) -> int:
        """The node of a message at `path`, None where nothing of it is wanted. `wrapped`: the slot of its one field."""
        if path is None and wrapped == NOWHERE and descriptor.full_name in self._skipped:
            return self._skipped[descriptor.full_name]
        greatest = max((f.number for f in descriptor.fields), default=0)
        if descriptor.is_extendable or greatest > MAX_NUMBER or len(self._nodes) - self._begun > MAX_NODES:
            raise Unfit
        node = len(self._nodes)
        self._nodes.append((0, 0, 0, 0))
        if path is None and wrapped == NOWHERE:
            self._skipped[descriptor.full_name] = node
        oneofs = {of.name: self._oneofs + i for i, of in enumerate(descriptor.oneofs)}
        self._oneofs += len(oneofs)
        table = [-1] * (greatest + 1)
        defaults: list[tuple[int, ...]] = []
        for field in descriptor.fields:
            below = self._below(path, field.name)
            slot = wrapped
            if wrapped == NOWHERE and below is not None:
                slot = self._needs.slots.get(below, NOWHERE)
            oneof = NOWHERE
            if field.containing_oneof is not None and (path is not None or wrapped != NOWHERE):
                oneof = oneofs[field.containing_oneof.name]
            table[field.number] = self._field(field, below, slot, oneof, defaults)
            if slot >= 0 and field.has_presence and self._needs.open and path == self._needs.at:
                defaults.append((slot, MISSING, 0, 0, 0))  # a column of the schema, though nobody has sent it
        self._nodes[node] = (len(self._table), len(table), len(self._defaults), len(defaults))
        self._table += table
        self._defaults += defaults
        return node

    def _below(self, path: Path | None, name: str) -> Path | None:
        """The path of a field, None where nothing of it is wanted. What an open object has is all wanted."""
        if path is None:
            return None
        if self._needs.open and path == self._needs.at:
            self._needs.feature(name)
        below = (*path, name)
        return below if self._needs.reaches(below) else None

    def _field(self, field: Any, path: Path | None, slot: int, oneof: int, defaults: list[tuple[int, ...]]) -> int:
        """A field's place among the fields, once those it needs are there; `defaults` takes what it is without."""
        if field.type not in _OPS or getattr(field, "is_required", False):
            raise Unfit
        op = _OPS[field.type]
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return self._map(field, path, slot, oneof, defaults)
        if field.is_repeated:
            return self._repeated(field, op, path, slot, oneof, defaults)
        if op == MESSAGE:
            return self._message(field.message_type, path, slot, oneof)
        family, a, b = self._family(op) if slot != NOWHERE else 0, 0, 0
        if op == ENUM and slot != NOWHERE:
            a, b = self._enum(field.enum_type)
        if not field.has_presence and slot >= 0:
            defaults.append(self._default(op, slot, family, a, b))
        return self._add(op, slot, family, False, a, b, oneof)

    def _default(self, op: int, slot: int, family: int, a: int, b: int) -> tuple[int, ...]:
        """What a field without presence says when it was not sent."""
        if op in (STRING, BYTES):
            return slot, TEXT, 0, 0, 0
        if op == ENUM:
            zero = next((s for s in self._symbols[a : a + b] if s[0] == 0), None)
            if zero is None:
                raise Unfit
            return slot, TEXT, 0, zero[1], zero[2]
        size = struct.calcsize(_FORMATS[op]) if op in _FORMATS else 1
        return slot, BOOL if op == BOOLEAN else NUMBER, family, 0, size

    def _message(self, descriptor: Any, path: Path | None, slot: int, oneof: int) -> int:
        name, wanted = descriptor.full_name, path is not None or slot != NOWHERE
        if not wanted:
            return self._add(MESSAGE, NOWHERE, 0, False, self._node(descriptor, None), 0, oneof)
        if name in ("google.protobuf.Timestamp", "google.protobuf.Duration"):
            if slot == NOWHERE:
                return self._add(MESSAGE, NOWHERE, 0, False, self._node(descriptor, None), 0, oneof)
            op = TIMESTAMP if name.endswith("Timestamp") else DURATION
            return self._add(op, slot, self._value(name), False, 0, 0, oneof)
        if name in _WRAPPERS and slot != NOWHERE:
            return self._add(MESSAGE, NOWHERE, 0, False, self._node(descriptor, None, slot), 0, oneof)
        if name in VALUES or slot == KEYED or (slot >= 0 and self._needs.wants[slot] & SPANS):
            return self._add(REFUSE, NOWHERE, 0, False, 0, 0, oneof)
        return self._add(MESSAGE, slot, 0, False, self._node(descriptor, path), 0, oneof)

    def _repeated(
        self, field: Any, op: int, path: Path | None, slot: int, oneof: int, defaults: list[tuple[int, ...]]
    ) -> int:
        if slot >= 0:
            listed = op <= FLOAT and op != ENUM
            family = self._list(op) if listed else self._reads("[]", lambda _: [])
            defaults.append((slot, NESTED, family, 0, 0))
            if self._needs.wants[slot] & SPANS:
                if not listed:
                    return self._add(REFUSE, NOWHERE, 0, False, 0, 0, oneof)
                return self._add(op, slot, family, True, 0, 0, oneof)
        node = self._node(field.message_type, None) if op == MESSAGE else 0
        return self._add(op, NOWHERE, 0, True, node, 0, oneof)

    def _map(self, field: Any, path: Path | None, slot: int, oneof: int, defaults: list[tuple[int, ...]]) -> int:
        entry = field.message_type
        if slot >= 0:
            defaults.append((slot, OBJECT - 1, self._reads("{}", lambda _: {}), 0, 0))
        inside = self._needs.members(path) if path is not None else {}
        value = entry.fields_by_name["value"]
        open_ = self._needs.open and path is not None and path == self._needs.at
        if open_ or (slot >= 0 and self._needs.wants[slot] & SPANS):
            return self._add(REFUSE, NOWHERE, 0, False, 0, 0, oneof)
        if not inside:
            return self._add(MESSAGE, NOWHERE, 0, True, self._node(entry, None), 0, oneof)
        if entry.fields_by_name["key"].type != field.TYPE_STRING or _OPS.get(value.type, MESSAGE) == MESSAGE:
            return self._add(REFUSE, NOWHERE, 0, False, 0, 0, oneof)
        number = self._maps
        self._maps += 1
        for key, below in inside.items():
            if below not in self._needs.slots or self._needs.members(below):
                raise Unfit
            self._keys.append((number, key, self._needs.slots[below]))
        op = _OPS[value.type]
        a, b = self._enum(value.enum_type) if op == ENUM else (0, 0)
        of = self._add(op, KEYED, self._family(op), False, a, b, NOWHERE)
        return self._add(MAP, NOWHERE, 0, False, number, of, oneof)

    def _add(self, op: int, slot: int, family: int, repeated: bool, a: int, b: int, oneof: int) -> int:
        self._fields.append((op, slot, family, int(repeated), a, b, oneof))
        return len(self._fields) - 1

    def _enum(self, of: Any) -> tuple[int, int]:
        """Where the names of an enum are among the symbols, and how many."""
        begin = len(self._symbols)
        for value, known in of.values_by_number.items():
            start = len(self.constants)
            self.constants += known.name.encode()
            self._symbols.append((value, start, len(self.constants)))
        return begin, len(self._symbols) - begin

    def _reads(self, key: object, read: Callable[[bytes], Any]) -> int:
        if key not in self._families:
            self._families[key] = len(self.families)
            self.families.append(read)
        return self._families[key]

    def _family(self, op: int) -> int:
        """The number of what reads a single value."""
        return 0 if op in (STRING, BYTES, ENUM) else self._reads(op, lambda data: number(op, data))

    def _list(self, op: int) -> int:
        """The number of what reads a packed field."""
        return self._reads((op,), lambda data: numbers(op, data))

    def _value(self, name: str) -> int:
        """The number of what reads a message that is a value."""
        from google.protobuf import duration_pb2, timestamp_pb2

        made: Any = timestamp_pb2.Timestamp if name.endswith("Timestamp") else duration_pb2.Duration
        return self._reads(name, lambda data: VALUES[name](made.FromString(data)))
