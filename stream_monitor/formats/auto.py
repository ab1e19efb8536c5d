"""Each record as what its first bytes say it is: JSON, MessagePack, Arrow IPC or CSV, compressed or not.

The rules, of a record alone, the first that applies:

    FF FF FF FF, or "ARROW1"                         Arrow IPC, a stream or a file
    a MessagePack map: 80 to 8F, DE or DF            MessagePack
    "{" or "[" after white space                     JSON
    the format has a `header`, or the record has     CSV
        more lines than one and its first line has
        the delimiter
    anything else                                    JSON, which says what is wrong with it
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from detectors.layouts import Layout
from stream_monitor.config import Format
from stream_monitor.counting.batches import Batch, DeadLetter, Records
from stream_monitor.counting.plans import Plan
from stream_monitor.formats import arrow, csv, json, msgpack
from stream_monitor.formats.arrays import listed
from stream_monitor.formats.packed import packing, unpack
from stream_monitor.formats.parsed import AnyPlan, Parse, Parsed, batch_of, join
from stream_monitor.formats.rows import DictRows
from stream_monitor.formats.tables import cell_value

_BOM: Final = b"\xef\xbb\xbf"


def detect(value: bytes | None, format: Format) -> str:
    """What a record is.

    >>> [detect(v, Format(name="auto")) for v in (b' {"a": 1}', b"\\x81\\xa1a\\x01", b"a,b\\n1,2\\n", b"hello", None)]
    ['json', 'msgpack', 'csv', 'json', 'json']
    """
    if not value:
        return "json"
    first = value[0]
    if first == 0x7B:
        return "json"
    if value.startswith((arrow.STREAM, arrow.FILE)):
        return "arrow"
    if 0x80 <= first <= 0x8F or first in (0xDE, 0xDF):
        return "msgpack"
    start = value[:1024].removeprefix(_BOM).lstrip()
    if start.startswith((b"{", b"[")):
        return "json"
    line, end, rest = value.partition(b"\n")
    if format.header or (end and rest.strip() and format.delimiter.encode() in line):
        return "csv"
    return "json"


def messages(value: bytes | None, limit: int) -> tuple[str, list[dict[str, Any]]]:
    r"""What a record is, and the events in it as plain objects; InvalidRecord when nothing reads it.

    >>> messages(b"a,b.c\n1,x\n", 1000)
    ('csv', [{'a': 1, 'b': {'c': 'x'}}])
    """
    if value is not None and packing(value):
        value = unpack(value, limit)
    format = Format(name="auto")
    name = detect(value, format)
    if name == "arrow":
        table = arrow.loads(value or b"", limit)
        columns = [listed(of) for of in table.columns]
        return name, [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]
    if name == "csv":
        return name, [_typed(event) for event in csv.loads(value or b"", format, limit)]
    return name, [msgpack.plain(msgpack.loads(value or b"")) if name == "msgpack" else json.loads(value or b"")]


def _typed(event: dict[str, Any]) -> dict[str, Any]:
    return {k: _typed(v) if isinstance(v, dict) else None if v is None else cell_value(v) for k, v in event.items()}


def parse_json(records: Records, plan: AnyPlan) -> Parsed:
    """JSON objects as mappings."""
    messages, index, dead = json.parse(records, plan, None)
    where = np.array(index, np.int64)
    return Parsed(rows=DictRows(messages, plan), records=where, places=np.zeros(len(where), np.int64), dead=dead)


_PARSERS: Final[Mapping[str, Parse]] = {
    "json": parse_json,
    "msgpack": msgpack.parse,
    "arrow": arrow.parse,
    "csv": csv.parse,
}


def parse(records: Records, plan: AnyPlan) -> Parsed:
    """Each record by the parser of what it is."""
    kinds = [detect(value, plan.format) for value in records.values]
    parts = []
    for name, parser in _PARSERS.items():
        where = np.array([i for i, kind in enumerate(kinds) if kind == name], np.int64)
        if len(where):
            found = parser(records.take(where), plan)
            dead = [DeadLetter(int(where[d.index]), d.reason, d.detail) for d in found.dead]
            parts.append(Parsed(rows=found.rows, records=where[found.records], places=found.places, dead=dead))
    return join(parts)


def decode(records: Records, plan: Plan, layout: Layout | None, at_ms: int) -> tuple[Batch, list[DeadLetter]]:
    """Blocks of nothing but JSON, the most frequent ones, are read by its own quick way."""
    if all(detect(value, plan.format) == "json" for value in records.values):
        return json.decode(records, plan, layout, at_ms)
    return batch_of(parse(records, plan), records, plan, layout, at_ms)
