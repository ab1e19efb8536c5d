"""An Avro schema and what a plan needs of its events -> instructions for the compiled walk (avro_walking.py).

A program exists where the walk can do all that the plain way does: schemas that hold themselves, maps of wanted values
that are themselves objects, and what else is said at Unfit are read the plain way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final

import numpy as np

from stream_monitor.counting.batches import Integers
from stream_monitor.counting.plans import Path
from stream_monitor.formats.avro_plain import PRIMITIVES, Bytes, compile_reader, is_safe
from stream_monitor.formats.avro_schemas import parse
from stream_monitor.formats.avro_values import CONVERSIONS, MARK, bytes_text
from stream_monitor.formats.avro_walking import (
    BLOCKS,
    BOOLEAN,
    BYTES,
    CLOSE,
    DEEPEST,
    DOUBLE,
    END,
    ENUM,
    FIXED,
    FLOAT,
    ITEM,
    JUMP,
    KEYED,
    LONG,
    MOMENT,
    NOWHERE,
    NULL,
    OPEN,
    REFUSE,
    UNION,
    Program,
    walk,
)  # fmt: skip
from stream_monitor.formats.found import SPANS
from stream_monitor.formats.framing import BEGINS, Framings
from stream_monitor.formats.interning import numbered
from stream_monitor.formats.needs import Needs
from stream_monitor.interfaces import Schema

MAX_CODE: Final = 4096  # instructions of one schema: types that are used again are written again
MAX_SCALE: Final = 1000

_PLAIN_OPS: Final[Mapping[str, int]] = {"boolean": BOOLEAN, "int": LONG, "long": LONG, "float": FLOAT, "double": DOUBLE}
_MOMENTS: Final[Mapping[str, tuple[int, int]]] = {  # logical type -> microseconds are the number times a, over b
    "long-timestamp-millis": (1000, 1),
    "long-timestamp-micros": (1, 1),
    "long-timestamp-nanos": (1, 1000),
    "int-date": (86_400_000_000, 1),
    "long-local-timestamp-millis": (0, 1),
    "long-local-timestamp-micros": (0, 1),
    "long-local-timestamp-nanos": (0, 1),
    "int-time-millis": (0, 1),
    "long-time-micros": (0, 1),
}


class Unfit(Exception):
    """There is no program for the schema: it is one that only the plain way reads."""


class AvroPrograms:
    """The instructions of all schemas that a plan has met. `families` read a value of its bytes."""

    walk: ClassVar[Callable[..., tuple[int, int]]] = staticmethod(walk)

    def __init__(self, needs: Needs) -> None:
        self.families: list[Callable[[bytes], Any]] = [bytes_text]
        self.constants = bytearray()
        self._needs = needs
        self._code: list[tuple[int, ...]] = []
        self._jumps: list[int] = []
        self._symbols: list[tuple[int, int]] = []
        self._keys: list[tuple[int, str, int]] = []
        self._maps = 0
        self._families: dict[str, int] = {}
        self._named: Mapping[str, Any] = {}
        self._begun = 0
        self._program: Program | None = None

    def places(self, of: Framings, rows: Integers) -> Iterator[tuple[Integers, tuple[int, ...], int]]:
        """An Avro schema has one kind of events."""
        yield rows, (), BEGINS

    def entry(self, schema: Schema, _: tuple[int, ...]) -> int | None:
        """Where the program of the schema begins, None when there is none."""
        parsed, named = parse(schema)
        self._program = None
        before = (len(self._code), len(self._jumps), len(self._symbols), len(self._keys), len(self.constants))
        self._named, self._begun = named, before[0]
        try:
            if not isinstance(parsed, dict) or parsed["type"] not in ("record", "error"):
                raise Unfit
            if not is_safe(parsed, named):
                raise Unfit
            self._value(parsed, (), 0)
            self._emit(END)
        except (Unfit, RecursionError):
            del self._code[before[0] :], self._jumps[before[1] :], self._symbols[before[2] :]
            del self._keys[before[3] :], self.constants[before[4] :]
            return None
        return before[0]

    def size(self) -> int:
        return len(self._code)

    def ready(self) -> Program:
        if self._program is not None:
            return self._program
        keys, slots = numbered(self._keys, NOWHERE)
        self._program = Program(
            code=np.array(self._code, np.int64).reshape(-1, 6),
            jumps=np.array(self._jumps, np.int64),
            symbols=np.array(self._symbols, np.int64).reshape(-1, 2),
            keys=keys,
            slots=slots,
        )
        return self._program

    def _emit(self, op: int, slot: int = NOWHERE, family: int = 0, a: int = 0, b: int = 0, c: int = 0) -> int:
        if len(self._code) - self._begun >= MAX_CODE:
            raise Unfit
        self._code.append((op, slot, family, a, b, c))
        return len(self._code) - 1

    def _patch(self, at: int, a: int) -> None:
        self._code[at] = (*self._code[at][:3], a, *self._code[at][4:])

    def _value(self, schema: Any, path: Path | None, loops: int, slot: int | None = None) -> None:
        """Instructions for a value at `path`, None where nothing of it is wanted; `slot` in place of the path's own."""
        if isinstance(schema, str) and schema not in PRIMITIVES:
            schema = self._named[schema]
        if slot is None:
            slot = NOWHERE if path is None else self._needs.slots.get(path, NOWHERE)
        if isinstance(schema, list):
            self._union(schema, path, loops, slot)
        elif isinstance(schema, str):
            self._primitive(schema, schema, slot)
        elif schema["type"] in ("record", "error"):
            self._record(schema, path, loops, slot)
        elif schema["type"] in ("array", "map"):
            self._blocks(schema, path, loops, slot)
        elif schema["type"] == "enum":
            begin = len(self._symbols)
            for symbol in schema["symbols"]:
                start = len(self.constants)
                self.constants += symbol.encode()
                self._symbols.append((start, len(self.constants)))
            self._emit(ENUM, slot, 0, begin, len(schema["symbols"]))
        elif isinstance(schema["type"], str) and (schema["type"] in PRIMITIVES or schema["type"] == "fixed"):
            self._logical(schema, slot)
        else:
            raise Unfit

    def _primitive(self, name: str, schema: Any, slot: int) -> None:
        if name == "null":
            self._emit(NULL, slot)
        elif name in ("string", "bytes"):
            self._emit(BYTES, slot, 0, 1 if name == "string" else 0)
        else:
            self._emit(_PLAIN_OPS[name], slot, self._family(schema, slot))

    def _logical(self, schema: Mapping[str, Any], slot: int) -> None:
        """A primitive or fixed type that says more."""
        base, logical = schema["type"], str(schema.get("logicalType", "")).removeprefix(MARK)
        known = f"{base}-{MARK}{logical}" in CONVERSIONS and str(schema.get("logicalType", "")).startswith(MARK)
        if known and f"{base}-{logical}" in _MOMENTS:
            self._emit(MOMENT, slot, self._family(schema, slot), *_MOMENTS[f"{base}-{logical}"])
        elif known and logical == "decimal":
            scale = schema.get("scale", 0)
            if type(scale) is not int or not 0 <= scale <= MAX_SCALE:
                raise Unfit
            if slot != NOWHERE:
                self._emit(REFUSE)
            elif base == "bytes":
                self._emit(BYTES)
            else:
                self._emit(FIXED, NOWHERE, 0, _size(schema))
        elif base == "fixed":
            opaque = known and logical == "uuid"
            self._emit(FIXED, slot, self._family(schema, slot) if opaque else 0, _size(schema), int(opaque), 36)
        elif base in PRIMITIVES and (not known or logical == "text"):
            self._primitive(base, base, slot)
        else:
            raise Unfit

    def _record(self, schema: Any, path: Path | None, loops: int, slot: int) -> None:
        names = [f["name"] for f in schema["fields"]]
        if slot == KEYED or len(set(names)) < len(names):
            raise Unfit
        if slot != NOWHERE:
            self._emit(OPEN, slot)
        for field in schema["fields"]:
            self._value(field["type"], self._below(path, field["name"]), loops)
        if slot != NOWHERE and self._needs.wants[slot] & SPANS:
            self._emit(CLOSE, slot, self._family(schema, slot))

    def _below(self, path: Path | None, name: str) -> Path | None:
        """The path of a member, None where nothing of it is wanted. What an open object has is all wanted."""
        if path is None:
            return None
        if self._needs.open and path == self._needs.at:
            self._needs.feature(name)
        below = (*path, name)
        return below if self._needs.reaches(below) else None

    def _union(self, branches: list[Any], path: Path | None, loops: int, slot: int) -> None:
        begin = len(self._jumps)
        self._emit(UNION, NOWHERE, 0, begin, len(branches))
        self._jumps += [0] * len(branches)
        ends = []
        for i, branch in enumerate(branches):
            self._jumps[begin + i] = len(self._code)
            self._value(branch, path, loops, slot)
            ends.append(self._emit(JUMP))
        for at in ends:
            self._patch(at, len(self._code))

    def _blocks(self, schema: Any, path: Path | None, loops: int, slot: int) -> None:
        is_map, number = schema["type"] == "map", NOWHERE
        if slot == KEYED or loops >= DEEPEST:
            raise Unfit
        inside = self._needs.members(path) if is_map and path is not None else {}
        if is_map and self._needs.open and path == self._needs.at:
            raise Unfit  # names of features that no schema says
        if inside:
            number = self._maps
            self._maps += 1
            for key, below in inside.items():
                if below not in self._needs.slots or self._needs.members(below):
                    raise Unfit
                self._keys.append((number, key, self._needs.slots[below]))
        self._emit(BLOCKS, slot, 0, 0, int(is_map))
        family = self._family(schema, slot) if slot != NOWHERE and self._needs.wants[slot] & SPANS else 0
        item = self._emit(ITEM, NOWHERE, family, 0, int(is_map), number)
        of = schema["values"] if is_map else schema["items"]
        self._value(of, None, loops + 1, KEYED if inside else NOWHERE)
        self._emit(JUMP, a=item)
        self._patch(item, len(self._code))

    def _family(self, schema: Any, slot: int) -> int:
        """The number of what reads a value of the schema from its bytes."""
        if slot == NOWHERE:
            return 0
        plain = isinstance(schema, str) or schema["type"] in PRIMITIVES
        key = json.dumps(schema, sort_keys=True, default=str) if plain else f"instruction {len(self._code)}"
        if key not in self._families:
            self._families[key] = len(self.families)
            read = compile_reader(schema, self._named)
            self.families.append(lambda data: read(Bytes(data, 0)))
        return self._families[key]


def _size(schema: Mapping[str, Any]) -> int:
    size = int(schema["size"])
    if size < 0:
        raise Unfit
    return size
