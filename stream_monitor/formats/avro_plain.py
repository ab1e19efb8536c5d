"""Avro read the plain way: closures over a schema, strict about every byte, safe on whatever it is given.

It is what the compiled walk must agree with, and what reads all that the walk leaves. Why not fastavro, which is half
as fast again: it counts choices from the end where their number is negative, and a schema that holds itself, or a list
of things that take no bytes, lets a small message be as deep as the stack or as long as memory.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

from stream_monitor.errors import InvalidRecord
from stream_monitor.formats.avro_values import CONVERSIONS

# Why a limit of our own: the parser's would depend on how deep the stack is, and a block made again must be the same.
MAX_DEPTH: Final = 100
MAX_EMPTIES: Final = 1 << 16  # items that take no bytes, in one list

_FLOAT: Final = struct.Struct("<f")
_DOUBLE: Final = struct.Struct("<d")


class Bytes:
    """A value that is being read."""

    __slots__ = ("at", "data", "depth")

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at, self.depth = data, at, 0

    def take(self, n: int) -> bytes:
        if n < 0 or self.at + n > len(self.data):
            raise EOFError(f"{n} bytes expected at byte {self.at} of {len(self.data)}")
        self.at += n
        return self.data[self.at - n : self.at]

    def long(self) -> int:
        """A zigzag varint of 64 bits."""
        value = shift = 0
        while True:
            if self.at >= len(self.data) or shift > 63:
                raise EOFError(f"no whole number at byte {self.at}")
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        value &= (1 << 64) - 1
        return (value >> 1) ^ -(value & 1)


Reader = Callable[[Bytes], Any]


def _boolean(b: Bytes) -> bool:
    return b.take(1) != b"\x00"


def _float(b: Bytes) -> float:
    return float(_FLOAT.unpack(b.take(4))[0])


def _double(b: Bytes) -> float:
    return float(_DOUBLE.unpack(b.take(8))[0])


def _bytes(b: Bytes) -> bytes:
    return b.take(b.long())


def _string(b: Bytes) -> str:
    return b.take(b.long()).decode()


PRIMITIVES: Final[Mapping[str, Reader]] = {
    "null": lambda b: None,
    "boolean": _boolean,
    "int": Bytes.long,
    "long": Bytes.long,
    "float": _float,
    "double": _double,
    "bytes": _bytes,
    "string": _string,
}


def compile_plain(schema: Any, named: Mapping[str, Any]) -> Callable[[bytes, int], Any]:
    """What reads a value of the parsed schema from a position on; `named` has its named types."""
    read = compile_reader(schema, named)

    def whole(data: bytes, at: int) -> Any:
        b = Bytes(data, at)
        value = read(b)
        if b.at != len(data):
            raise ValueError(f"{len(data) - b.at} bytes are left over")
        return value

    return whole


def compile_reader(schema: Any, named: Mapping[str, Any]) -> Reader:
    """What reads a value of the parsed schema from wherever bytes are being read."""
    return _Compiler(named).reader(schema)


class _Compiler:
    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._made: dict[str, Reader] = {}

    def reader(self, schema: Any) -> Reader:
        if isinstance(schema, list):
            return self._union([self.reader(branch) for branch in schema])
        if isinstance(schema, str):
            return PRIMITIVES[schema] if schema in PRIMITIVES else self._by_name(schema)
        name = schema["type"]
        if name in ("record", "error", "enum", "fixed") and schema["name"] not in self._made:
            self._made[schema["name"]] = lambda b: made(b)  # what holds itself meets this
            made = self._named_type(schema)
            self._made[schema["name"]] = made
            return made
        if name == "array":
            return self._array(self.reader(schema["items"]), least_bytes(schema["items"], self._named))
        if name == "map":
            return self._map(self.reader(schema["values"]))
        if name in ("record", "error", "enum", "fixed"):
            return self._made[schema["name"]]
        return _converted(self.reader(name), schema)

    def _by_name(self, name: str) -> Reader:
        return self._made[name] if name in self._made else self.reader(self._named[name])

    def _named_type(self, schema: Any) -> Reader:
        if schema["type"] == "enum":
            symbols = tuple(schema["symbols"])
            return lambda b: symbols[_index(b.long(), len(symbols))]
        if schema["type"] == "fixed":
            size = int(schema["size"])
            return _converted(lambda b: b.take(size), schema)
        fields = [(f["name"], self.reader(f["type"])) for f in schema["fields"]]

        def record(b: Bytes) -> dict[str, Any]:
            b.depth += 1
            if b.depth > MAX_DEPTH:
                raise InvalidRecord("not_json", f"more than {MAX_DEPTH} levels")
            value = {name: read(b) for name, read in fields}
            b.depth -= 1
            return value

        return record

    def _union(self, branches: list[Reader]) -> Reader:
        return lambda b: branches[_index(b.long(), len(branches))](b)

    def _array(self, item: Reader, least: int) -> Reader:
        def array(b: Bytes) -> list[Any]:
            b.depth += 1
            if b.depth > MAX_DEPTH:
                raise InvalidRecord("not_json", f"more than {MAX_DEPTH} levels")
            values: list[Any] = []
            while count := _count(b):
                if not least and len(values) + count > MAX_EMPTIES:
                    raise ValueError(f"a list of more than {MAX_EMPTIES} empty things")
                values += [item(b) for _ in range(count)]
            b.depth -= 1
            return values

        return array

    def _map(self, item: Reader) -> Reader:
        def mapping(b: Bytes) -> dict[str, Any]:
            b.depth += 1
            if b.depth > MAX_DEPTH:
                raise InvalidRecord("not_json", f"more than {MAX_DEPTH} levels")
            values: dict[str, Any] = {}
            while count := _count(b):
                for _ in range(count):
                    key = _string(b)
                    values[key] = item(b)
            b.depth -= 1
            return values

        return mapping


def _index(i: int, n: int) -> int:
    if not 0 <= i < n:
        raise IndexError(f"choice {i} of {n}")
    return i


def _count(b: Bytes) -> int:
    """How many items the next block of an array or a map has; 0 at its end."""
    count = b.long()
    if count < 0:
        b.long()  # the block's size, for those who skip it
        return -count
    return count


def _converted(read: Reader, schema: Mapping[str, Any]) -> Reader:
    """The reader of a logical type."""
    convert = CONVERSIONS.get(f"{schema['type']}-{schema.get('logicalType', '')}")
    if convert is None:
        return read
    return lambda b: convert(read(b), schema)


def least_bytes(schema: Any, named: Mapping[str, Any], inside: frozenset[str] = frozenset()) -> int:
    """How few bytes a value can take, 1 for "some".

    >>> least_bytes("null", {}), least_bytes(["null", "int"], {})
    (0, 1)
    """
    if isinstance(schema, str) and schema not in PRIMITIVES:
        schema = named[schema]
    if schema == "null":
        return 0
    if isinstance(schema, Mapping):
        if schema["type"] == "fixed":
            return min(1, int(schema["size"]))
        if schema["type"] in ("record", "error"):
            name = schema["name"]
            if name in inside:
                return 0
            return max((least_bytes(f["type"], named, inside | {name}) for f in schema["fields"]), default=0)
        if schema["type"] not in ("array", "map", "enum"):
            return least_bytes(schema["type"], named, inside)
    return 1


def is_safe(schema: Any, named: Mapping[str, Any], inside: frozenset[str] = frozenset()) -> bool:
    """Whether no value of the schema can be deeper than the schema, or longer than its bytes.

    >>> is_safe({"type": "array", "items": "int"}, {}), is_safe({"type": "array", "items": "null"}, {})
    (True, False)
    """
    if isinstance(schema, list):
        return all(is_safe(branch, named, inside) for branch in schema)
    if isinstance(schema, str):
        if schema in PRIMITIVES:
            return True
        schema = named[schema]
    kind = schema["type"]
    if kind in ("record", "error"):
        name = schema["name"]
        if name in inside:
            return False
        return all(is_safe(f["type"], named, inside | {name}) for f in schema["fields"])
    if kind == "array":
        return least_bytes(schema["items"], named) > 0 and is_safe(schema["items"], named, inside)
    if kind == "map":
        return is_safe(schema["values"], named, inside)
    return kind in ("enum", "fixed") or is_safe(kind, named, inside)
