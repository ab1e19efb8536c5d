"""What Avro, Protobuf and JSON Schema events have in common: they name their schema, as Confluent's serializers do.

    0 | id, 4 bytes, big endian | the event

or, in the header `__value_schema_id`, while the value is the event alone:

    1 | GUID, 16 bytes | of Protobuf: the message's place in the schema
    0 | id, 4 bytes, big endian | the same

A record that has the header is read by it, whatever its value begins with: an event may begin with a zero byte. One
without either, with a name that the registry does not have, or that is nothing its schema could have written, is a dead
letter (`unknown_schema`, with what was seen). A registry that does not answer is not: the block waits for it.

Why the registry may be asked while a block is counted: what is under an id never changes, so a block made again is the
same. The one exception is an id that is registered or purged between the two.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from detectors.layouts import Layout
from stream_monitor.counting.batches import Batch, DeadLetter, Headers, Integers, LabelBatch, Records
from stream_monitor.counting.fields import assemble, assemble_labels
from stream_monitor.counting.plans import LabelPlan, Plan
from stream_monitor.errors import InvalidRecord, StateError
from stream_monitor.formats.parsed import checked
from stream_monitor.formats.rows import DictRows
from stream_monitor.interfaces import Schema, Schemas

Id = int | str  # what names a schema: its id, or its GUID
Read = Callable[[bytes], dict[str, Any]]  # the whole value, its schema's id in front -> the event; InvalidRecord
Compile = Callable[[Schema], Read]  # InvalidRecord: nothing can be read with it

BEGINS: Final = 5  # where the event begins
_OBJECT: Final = re.compile(r"(?: from)? <[^<>]* object at 0x[0-9a-f]+>")  # says nothing, and another thing each time
HEADER: Final = "__value_schema_id"
MAX_SCHEMAS: Final = 1_000  # compiled at a time, of one model
# What decoders raise for bytes that are nothing they know. Not MemoryError: that says nothing of the event.
MALFORMED: Final = (ValueError, EOFError, LookupError, ArithmeticError, TypeError, AttributeError)


def schema_id(value: bytes) -> int:
    r"""The id in front of a value. InvalidRecord where there is none.

    >>> schema_id(b"\x00\x00\x00\x01\x02rest")
    258
    >>> schema_id(b'{"a": 1}')
    Traceback (most recent call last):
    stream_monitor.errors.InvalidRecord: unknown_schema: no schema id in front: the value begins with 7b 22 61 22 3a
    """
    if len(value) < BEGINS or value[0] != 0:
        seen = f"begins with {value[:BEGINS].hex(' ')}" if len(value) >= BEGINS else f"has {len(value)} bytes"
        raise InvalidRecord("unknown_schema", f"no schema id in front: the value {seen}")
    return int.from_bytes(value[1:BEGINS], "big")


def header_id(headers: Headers) -> tuple[Id, bytes] | None:
    r"""The schema that headers name, and what follows its name; None when they name none. InvalidRecord: unreadably.

    >>> header_id([("__value_schema_id", b"\x01" + bytes(15) + b"\x07\x00")])
    ('00000000-0000-0000-0000-000000000007', b'\x00')
    >>> header_id([("trace", b"1")])
    """
    for name, told in headers:
        if name == HEADER and told is not None:
            if told[:1] == b"\x01" and len(told) >= 17:
                return str(uuid.UUID(bytes=told[1:17])), told[17:]
            if told[:1] == b"\x00" and len(told) >= BEGINS:
                return int.from_bytes(told[1:BEGINS], "big"), told[BEGINS:]
            raise InvalidRecord("unknown_schema", f"the header {HEADER} names no schema: {told[:20].hex(' ')}")
    return None


def named_schema(value: bytes, headers: Headers) -> tuple[Id, bytes]:
    """The schema that a record names, and its value as it would be with an id in front. InvalidRecord."""
    told = header_id(headers) if headers else None
    if told is not None:
        return told[0], bytes(BEGINS) + told[1] + value
    if not value or value.isspace():
        raise InvalidRecord("not_json", "an empty value")
    return schema_id(value), value


def number_of(id: Id) -> int:
    """A number for a schema's name: its id, or the first half of its GUID."""
    return id if isinstance(id, int) else int.from_bytes(uuid.UUID(id).bytes[:8], "big", signed=True)


def does_not_decode(id: Id, why: object) -> InvalidRecord:
    """The error for bytes that the schema cannot have written."""
    text = _OBJECT.sub("", " ".join(str(why).split()))
    return InvalidRecord("unknown_schema", f"does not decode with schema {id}: {text or type(why).__name__}")


class Readers:
    """Schema ids -> what reads their events; the least recently used of too many are forgotten."""

    def __init__(self, name: str, kind: str, schemas: Schemas | None, compile: Compile) -> None:
        if schemas is None:
            raise StateError(f"{name}: its format is {kind}, and no schema registry is configured")
        self._kind, self._schemas, self._compile = kind, schemas, compile
        self._known: dict[Id, Read | InvalidRecord] = {}

    def get(self, id: Id) -> Read:
        """What reads the events of a schema. InvalidRecord, or Unreachable."""
        found = self._known.pop(id, None)
        if found is None:
            found = self._make(id)
        self._known[id] = found
        if len(self._known) > MAX_SCHEMAS:
            del self._known[next(iter(self._known))]
        if isinstance(found, InvalidRecord):
            raise InvalidRecord(found.reason, found.detail)
        return found

    def schema(self, id: Id) -> Schema:
        """A schema that the registry has. Unreachable."""
        return self._schemas.schema(id)

    def _make(self, id: Id) -> Read | InvalidRecord:
        try:
            schema = self._schemas.schema(id)
        except KeyError:
            raise InvalidRecord("unknown_schema", f"the registry has no schema {id}") from None
        if schema.kind != self._kind:
            return InvalidRecord("unknown_schema", f"schema {id} is {schema.kind}, not {self._kind}")
        try:
            return self._compile(schema)
        except InvalidRecord as error:
            return InvalidRecord(error.reason, f"schema {id}: {error.detail}")


@dataclass(slots=True)
class Framed:
    """What was read of some records: events, the records they come from, their schemas; and the dead letters."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    index: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)  # as number_of has them
    dead: list[DeadLetter] = field(default_factory=list)


def read(records: Records, plan: Plan | LabelPlan, readers: Readers) -> Framed:
    """The events of the records. Raises Unreachable."""
    found, headers = Framed(), records.headers
    for i, value in enumerate(records.values):
        try:
            id, framed = named_schema(checked(value, plan), headers[i] if headers else ())
            reader = readers.get(id)
            try:
                message = reader(framed)
            except UnicodeDecodeError as error:
                raise InvalidRecord("not_utf8", str(error)) from None
            except MALFORMED as error:
                raise does_not_decode(id, error) from None
        except InvalidRecord as error:
            found.dead.append(DeadLetter(i, error.reason, error.detail))
        else:
            found.messages.append(message)
            found.index.append(i)
            found.ids.append(number_of(id))
    return found


def readers_of(plan: Plan | LabelPlan, kind: str, compile: Compile) -> Readers:
    """The readers of a plan, which it keeps."""
    if ("readers",) not in plan.cache:
        plan.cache[("readers",)] = Readers(plan.name, kind, plan.schemas, compile)
    readers: Readers = plan.cache[("readers",)]
    return readers


def plainly(
    records: Records, plan: Plan, layout: Layout | None, at_ms: int, readers: Readers
) -> tuple[Batch, list[DeadLetter]]:
    """The events of records whose schema they name, a record at a time."""
    found = read(records, plan, readers)
    where = np.array(found.index, np.int64)
    batch, refused = assemble(
        DictRows(found.messages, plan),
        plan,
        layout,
        at_ms,
        index=found.index,
        timestamps_ms=records.timestamps_ms[where],
        offsets=records.offsets[where],
    )
    batch = replace(batch, schema_ids=ids_of_events(found.index, found.ids, refused))
    return batch, sorted(found.dead + refused, key=lambda letter: letter.index)


def labels(
    records: Records, plan: LabelPlan, at_ms: int, kind: str, compile: Compile
) -> tuple[LabelBatch, list[DeadLetter]]:
    """The `decode_labels` of a format whose events name their schema."""
    found = read(records, plan, readers_of(plan, kind, compile))
    where = np.array(found.index, np.int64)
    batch, refused = assemble_labels(
        DictRows(found.messages),
        plan,
        at_ms,
        index=found.index,
        timestamps_ms=records.timestamps_ms[where],
        offsets=records.offsets[where],
    )
    return batch, sorted(found.dead + refused, key=lambda letter: letter.index)


def ids_of_events(index: list[int], ids: list[int], refused: Iterable[DeadLetter]) -> Integers:
    """The schemas of the records that are events after all."""
    gone = {letter.index for letter in refused}
    return np.array([id for i, id in zip(index, ids, strict=True) if i not in gone], np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Framings:
    """What records say of their schemas: a block of them, for those who read them together.

    `values` have an id in front, as named_schema makes them; those that name no schema, that are none or too large are
    empty and in none of the `rows` of a schema. `next` are the bytes behind the ids, 255 where there is none.
    """

    values: list[bytes]
    rows: dict[Id, Integers]
    ids: Integers
    next: Integers


_NONE: Final = b"\xff" * (BEGINS + 1)


def framings(records: Records, limit: int) -> Framings:
    """The framings of all records; `limit` is the size of the largest value that is read, in bytes."""
    values = [b"" if v is None or len(v) > limit else v for v in records.values]
    by_header: dict[Id, list[int]] = {}
    if records.headers is not None and any(records.headers):
        values = _by_headers(values, records, limit, by_header)
    heads = np.frombuffer(b"".join([(v[: BEGINS + 1] + _NONE)[: BEGINS + 1] for v in values]), np.uint8)
    heads = heads.reshape(len(values), BEGINS + 1)
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    ids = heads[:, 1:BEGINS].astype(np.int64) @ np.array([1 << 24, 1 << 16, 1 << 8, 1])
    framed = (heads[:, 0] == 0) & (lengths >= BEGINS)
    for name, rows in by_header.items():
        ids[rows], framed[rows] = number_of(name), False
    distinct, which = np.unique(ids[framed], return_inverse=True)
    where = np.flatnonzero(framed)
    found: dict[Id, Integers] = {id: where[which == i] for i, id in enumerate(distinct.tolist())}
    for name, rows in by_header.items():
        known = found.get(name)
        found[name] = np.array(rows, np.int64) if known is None else np.sort(np.concatenate([known, rows]))
    return Framings(values=values, rows=found, ids=ids, next=heads[:, BEGINS].astype(np.int64))


def _by_headers(values: Sequence[bytes], records: Records, limit: int, rows: dict[Id, list[int]]) -> list[bytes]:
    """The values, with an id in front where a header has it; `rows` takes in which they are."""
    assert records.headers is not None
    made = list(values)
    for i, headers in enumerate(records.headers):
        value = records.values[i]
        if not headers or value is None or len(value) > limit:
            continue
        try:
            told = header_id(headers)
        except InvalidRecord:
            made[i] = b""
            continue
        if told is not None:
            made[i] = bytes(BEGINS) + told[1] + value
            rows.setdefault(told[0], []).append(i)
    return made
