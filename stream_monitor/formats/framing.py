"""What Avro, Protobuf and JSON Schema events have in common: a schema's id in front, as Confluent's serializers put it.

    0 | id, 4 bytes, big endian | the event

A value without it, with an id that the registry does not have, or that is nothing its schema could have written, is a
dead letter (`unknown_schema`, with what was seen). A registry that does not answer is not: the block waits for it.

Why the registry may be asked while a block is counted: what is under an id never changes, so a block made again is the
same. The one exception is an id that is registered or purged between the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from detectors.layouts import Layout
from stream_monitor.batches import Batch, DeadLetter, Integers, LabelBatch, Records
from stream_monitor.errors import InvalidRecord, StateError
from stream_monitor.fields import assemble, assemble_labels
from stream_monitor.formats.parsed import checked
from stream_monitor.formats.rows import DictRows
from stream_monitor.interfaces import Schema, Schemas
from stream_monitor.plans import LabelPlan, Plan

Read = Callable[[bytes], dict[str, Any]]  # the whole value -> the event; InvalidRecord
Compile = Callable[[Schema], Read]  # InvalidRecord: nothing can be read with it

BEGINS: Final = 5  # where the event begins
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


def does_not_decode(id: int, why: object) -> InvalidRecord:
    """The error for bytes that the schema cannot have written."""
    text = " ".join(str(why).split())
    return InvalidRecord("unknown_schema", f"does not decode with schema {id}: {text or type(why).__name__}")


class Readers:
    """Schema ids -> what reads their events; the least recently used of too many are forgotten."""

    def __init__(self, name: str, kind: str, schemas: Schemas | None, compile: Compile) -> None:
        if schemas is None:
            raise StateError(f"{name}: its format is {kind}, and no schema registry is configured")
        self._kind, self._schemas, self._compile = kind, schemas, compile
        self._known: dict[int, Read | InvalidRecord] = {}

    def get(self, id: int) -> Read:
        """Raises InvalidRecord, or Unreachable."""
        found = self._known.pop(id, None)
        if found is None:
            found = self._make(id)
        self._known[id] = found
        if len(self._known) > MAX_SCHEMAS:
            del self._known[next(iter(self._known))]
        if isinstance(found, InvalidRecord):
            raise InvalidRecord(found.reason, found.detail)
        return found

    def _make(self, id: int) -> Read | InvalidRecord:
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
    ids: list[int] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)


def read(records: Records, plan: Plan | LabelPlan, readers: Readers) -> Framed:
    """The events of the records. Raises Unreachable."""
    found = Framed()
    for i, value in enumerate(records.values):
        try:
            value = checked(value, plan)
            if not value or value.isspace():
                raise InvalidRecord("not_json", "an empty value")
            id = schema_id(value)
            reader = readers.get(id)
            try:
                message = reader(value)
            except UnicodeDecodeError as error:
                raise InvalidRecord("not_utf8", str(error)) from None
            except MALFORMED as error:
                raise does_not_decode(id, error) from None
        except InvalidRecord as error:
            found.dead.append(DeadLetter(i, error.reason, error.detail))
        else:
            found.messages.append(message)
            found.index.append(i)
            found.ids.append(id)
    return found


def readers_of(plan: Plan | LabelPlan, kind: str, compile: Compile) -> Readers:
    """The readers of a plan, which it keeps."""
    if ("readers",) not in plan.cache:
        plan.cache[("readers",)] = Readers(plan.name, kind, plan.schemas, compile)
    readers: Readers = plan.cache[("readers",)]
    return readers


def events(
    records: Records, plan: Plan, layout: Layout | None, at_ms: int, kind: str, compile: Compile
) -> tuple[Batch, list[DeadLetter]]:
    """The `decode` of a format whose events name their schema."""
    found = read(records, plan, readers_of(plan, kind, compile))
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
