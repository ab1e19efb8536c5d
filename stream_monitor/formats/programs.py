"""The quick way through events that name a schema: a program of each schema, one walk over the joined events.

What a schema's program does is said by the format: avro_programs.py and protobuf_programs.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Final, Protocol

import numpy as np

from detectors.layouts import Layout
from stream_monitor.blobs import PADDING
from stream_monitor.config import Config, Fields, Model
from stream_monitor.counting.batches import Batch, DeadLetter, Integers, Records
from stream_monitor.counting.columns import json_text
from stream_monitor.counting.plans import Plan, event_plan
from stream_monitor.errors import InvalidRecord
from stream_monitor.formats.chunks import CHUNK
from stream_monitor.formats.findings import Findings
from stream_monitor.formats.found import SPANS, nothing_yet
from stream_monitor.formats.framing import BEGINS, Compile, Framings, Id, Readers, framings, plainly, readers_of
from stream_monitor.formats.interning import add, larger, strings
from stream_monitor.formats.machine import COMPILED, address, watch
from stream_monitor.formats.needs import Needs
from stream_monitor.formats.quick import Quick
from stream_monitor.formats.rows import MAX_NAMES
from stream_monitor.formats.walking import DONE
from stream_monitor.formats.wires import FAMILY_SHIFT, sink
from stream_monitor.formats.words import Words
from stream_monitor.interfaces import Schema

MAX_BYTES: Final = 1 << 24  # joined at once, and one record more
MAX_SIZE: Final = 1 << 18  # instructions of all schemas

_QUICK_KINDS: Final = frozenset({"text", "timestamp"})  # others are derived of values that the plain way reads sooner
_MASK: Final = (1 << FAMILY_SHIFT) - 1


class Programs(Protocol):
    """The programs of the schemas that one plan has met."""

    walk: ClassVar[Callable[..., tuple[int, int]]]  # see avro_walking.walk
    families: list[Callable[[bytes], Any]]
    constants: bytearray

    def places(self, of: Framings, rows: Integers) -> Iterator[tuple[Integers, tuple[int, ...], int]]:
        """Rows of one schema by which of its messages they are, and where that begins; not those that say neither."""

    def entry(self, schema: Schema, path: tuple[int, ...]) -> int | None:
        """Where the program of a message of the schema begins, made if need be; None when there can be none."""

    def size(self) -> int:
        """How long all of it is."""

    def ready(self) -> Any:
        """What `walk` runs, with the programs of all entries so far."""


class FramedQuick(Quick):
    """The quick way for one plan, one layout and one kind of schema."""

    def __init__(self, plan: Plan, layout: Layout | None, readers: Readers, make: Callable[[Needs], Programs]) -> None:
        self._plan, self._layout, self._readers, self._make = plan, layout, readers, make
        super().__init__()

    def _begin(self) -> None:
        self._needs = Needs(self._plan, self._layout)
        self._programs = self._make(self._needs)
        self._words = Words(lambda family, value: json_text(self._programs.families[family](value)))
        self._entries: dict[tuple[Id, tuple[int, ...]], int] = {}

    @property
    def needs(self) -> Needs:
        return self._needs

    def walk(self, records: Records) -> Findings | None:
        self._words.forget()
        if self._programs.size() > MAX_SIZE:
            self._begin()
        n, programs = len(records), self._programs
        of = framings(records, self._plan.max_event)
        entries, begins = self._located(of)
        if len(self._needs.wants) > 2 * MAX_NAMES:
            return None
        found = nothing_yet(self._needs.wants, n)
        cut: dict[int, list[Any]] = {slot: [] for slot, want in enumerate(self._needs.wants) if want & SPANS}
        program = programs.ready()
        constants = bytes(programs.constants) + bytes(PADDING)
        for first, values in _chunks(of.values):
            starts = np.zeros(len(values) + 1, np.int64)
            np.cumsum(np.fromiter(map(len, values), np.int64, len(values)), out=starts[1:])
            data = b"".join([*values, constants])
            buffer = np.frombuffer(data, np.uint8)
            base = address(buffer)
            at, again = 0, False
            while True:
                watch(base, base + len(buffer))
                words = self._words.strings
                where = sink(found, words)
                at, why = programs.walk(
                    base, starts, at, first, entries, begins, int(starts[-1]), program, words, found, address(where),
                    again,
                )  # fmt: skip
                if why == DONE:
                    break
                again = True
                self._words.strings = larger(self._words.strings, len(data))
            for slot, cuts in cut.items():
                spans = found.spans[found.rows[slot, 2], first : first + len(values)]
                cuts += self._cut(data, spans, found.good[first : first + len(values)])
        return Findings(self._plan, self._layout, self._needs, self._words, records, found, cut, schema_ids=of.ids)

    def _located(self, of: Framings) -> tuple[Integers, Integers]:
        """Where the program of each record begins, -1 without one, and where in the record its event does."""
        entries, begins = np.full(len(of.values), -1, np.int64), np.full(len(of.values), BEGINS, np.int64)
        for name, all_rows in of.rows.items():
            try:
                self._readers.get(name)
            except InvalidRecord:
                continue
            for rows, path, at in self._programs.places(of, all_rows):
                if (name, path) not in self._entries:
                    entry = self._programs.entry(self._readers.schema(name), path)
                    self._entries[name, path] = -1 if entry is None else entry
                entries[rows], begins[rows] = self._entries[name, path], at
        return entries, begins

    def _cut(self, data: bytes, spans: Integers, good: Any) -> list[Any]:
        """The values in the spans of good rows."""
        families = self._programs.families
        return [
            families[end >> FAMILY_SHIFT](data[start : end & _MASK]) if end and ok else None
            for (start, end), ok in zip(spans.tolist(), good.tolist(), strict=True)
        ]


def _chunks(values: Sequence[bytes]) -> Iterator[tuple[int, Sequence[bytes]]]:
    """Values in parts that are joined at once, each with the place of its first."""
    ends = np.cumsum(np.fromiter(map(len, values), np.int64, len(values)))
    first = 0
    while first < len(values):
        before = int(ends[first - 1]) if first else 0
        last = min(first + CHUNK, max(first + 1, int(np.searchsorted(ends, before + MAX_BYTES, "right"))))
        yield first, values[first:last]
        first = last


def decode(
    records: Records, plan: Plan, layout: Layout | None, at_ms: int, kind: str, compile: Compile,
    make: Callable[[Needs], Programs],
) -> tuple[Batch, list[DeadLetter]]:  # fmt: skip
    """The `decode` of a format whose events name their schema."""
    readers = readers_of(plan, kind, compile)
    if not COMPILED or not _derives_quickly(plan):
        return plainly(records, plan, layout, at_ms, readers)
    key = ("quick", layout.id if layout is not None else "")
    if key not in plan.cache:
        plan.cache[key] = FramedQuick(plan, layout, readers, make)
    quick: FramedQuick = plan.cache[key]
    return quick.decode(records, at_ms, lambda some: plainly(some, plan, layout, at_ms, readers))


def _derives_quickly(plan: Plan) -> bool:
    """Whether what is derived of columns is derived of few values that are read one by one."""
    return {plan.model.columns[of] for of in plan.derived.values()} <= _QUICK_KINDS


class _Only:
    """A registry of one schema."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def schema(self, id: int | str) -> Schema:
        return self._schema

    def ping(self) -> None:
        """It is there."""


def warm(schema: Schema, event: bytes, compile: Compile, make: Callable[[Needs], Programs]) -> None:
    """Compile, or load from the cache, a quick way, so that the first block does not wait for it.

    The schema's one wanted member is called `f`; `event` is what follows the schema's id.
    """
    if not COMPILED:
        return
    model = Model(topic=("t",), format=schema.kind, fields=Fields(features="f"))
    plan = event_plan("m", Config(models={"m": model}), schemas=_Only(schema))
    quick = FramedQuick(plan, None, readers_of(plan, schema.kind, compile), make)
    values: list[bytes | None] = [bytes(BEGINS) + event, b"\0"]
    found = quick.walk(Records(values=values, timestamps_ms=np.zeros(2, np.int64), offsets=np.arange(2)))
    assert found is not None
    found.batch(found.events(0))
    table = strings(1, 8)
    add(table, [(0, b"")])  # as the wanted keys of a map are
    larger(table, 0)
