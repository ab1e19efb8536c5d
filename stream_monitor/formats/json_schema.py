"""JSON Schema with a schema registry: Confluent's framing around JSON. The schema must be known; it is not checked.

Why not: an event that breaks its schema is still an event, and what breaks in it is what the quality metrics count.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from detectors.layouts import Layout
from stream_monitor.counting.batches import Batch, DeadLetter, Headers, LabelBatch, Records
from stream_monitor.counting.plans import LabelPlan, Plan
from stream_monitor.errors import InvalidRecord
from stream_monitor.formats import json
from stream_monitor.formats.framing import (
    BEGINS,
    Id,
    Readers,
    header_id,
    ids_of_events,
    number_of,
    readers_of,
    schema_id,
)
from stream_monitor.formats.parsed import checked
from stream_monitor.interfaces import Schema


def _compile(schema: Schema) -> Any:
    return schema


@dataclass(slots=True)
class _Bare:
    """The JSON of some records, where it stands behind a known schema's id."""

    values: list[bytes | None] = field(default_factory=list)
    index: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)

    def letters(self, dead: list[DeadLetter]) -> list[DeadLetter]:
        """All dead letters; `dead` are of the bare values."""
        moved = [DeadLetter(self.index[d.index], d.reason, d.detail) for d in dead]
        return sorted(self.dead + moved, key=lambda letter: letter.index)

    def records(self, records: Records) -> Records:
        where = np.array(self.index, np.int64)
        return Records(values=self.values, timestamps_ms=records.timestamps_ms[where], offsets=records.offsets[where])


def _bare(records: Records, plan: Plan | LabelPlan) -> _Bare:
    found, readers = _Bare(), readers_of(plan, "json_schema", _compile)
    headers = records.headers
    for i, value in enumerate(records.values):
        try:
            id, bare = _named(checked(value, plan), headers[i] if headers else (), readers)
        except InvalidRecord as error:
            found.dead.append(DeadLetter(i, error.reason, error.detail))
        else:
            found.values.append(bare)
            found.index.append(i)
            found.ids.append(number_of(id))
    return found


def _named(value: bytes, headers: Headers, readers: Readers) -> tuple[Id, bytes]:
    """The name of a known schema, and the JSON. What is no JSON object at all is that first, whatever names it."""
    try:
        told = header_id(headers) if headers else None
        id, bare = (schema_id(value), value[BEGINS:]) if told is None else (told[0], value)
    except InvalidRecord:
        json.loads(value)
        raise
    try:
        readers.get(id)
    except InvalidRecord:
        json.loads(bare)
        raise
    return id, bare


def decode(records: Records, plan: Plan, layout: Layout | None, at_ms: int) -> tuple[Batch, list[DeadLetter]]:
    """JSON objects behind the id of their schema."""
    bare = _bare(records, plan)
    batch, dead = json.decode(bare.records(records), plan, layout, at_ms)
    batch = replace(batch, schema_ids=ids_of_events(list(range(len(bare.ids))), bare.ids, dead))
    return batch, bare.letters(dead)


def decode_labels(records: Records, plan: LabelPlan, at_ms: int) -> tuple[LabelBatch, list[DeadLetter]]:
    """Label events as JSON objects behind the id of their schema."""
    bare = _bare(records, plan)
    batch, dead = json.decode_labels(bare.records(records), plan, at_ms)
    return batch, bare.letters(dead)
