"""Arrow IPC, a stream or a file a record: every row is an event.

A column named like a whole path is taken before the path is walked into structs. Columns stay Arrow's arrays up to the
counting; a row's place in its record is part of its position, so that labels find it.
"""

from __future__ import annotations

import struct
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stream_monitor.counting.batches import Column, DeadLetter, Mode, Records
from stream_monitor.counting.columns import column
from stream_monitor.counting.plans import Mask, Plan
from stream_monitor.errors import InvalidRecord
from stream_monitor.formats.arrays import array_column, expanded_bytes, listed, missing, one
from stream_monitor.formats.arrow_types import converted, readable
from stream_monitor.formats.parsed import AnyPlan, Parsed, checked, few, join
from stream_monitor.formats.rows import named

FILE: Final = b"ARROW1"
STREAM: Final = b"\xff\xff\xff\xff"
_DICTIONARY, _BATCH = 2, 3  # kinds of messages


def loads(value: bytes, limit: int) -> pa.Table:
    """The table in `value`, every offset in it checked, or InvalidRecord; `limit` bytes of text at most."""
    try:
        # A file is a stream between its magic and a footer, which is not needed.
        source = pa.py_buffer(value)[8:] if value.startswith(FILE) else pa.py_buffer(value)
        if (size := inflated_bytes(source)) > limit:
            raise InvalidRecord("too_large", f"{size} bytes, compressed to {len(value)}; the limit is {limit}")
        with pa.ipc.open_stream(source) as reader:
            schema, values = readable(reader.schema)
            table = reader.read_all()
        few(table.num_rows, limit)
        if (most := table.num_rows * values) > 8 * limit:  # a bit each
            raise InvalidRecord("too_large", f"{most} values in {len(value)} bytes; the limit is {8 * limit}")
        table.validate(full=True)
        if sum(expanded_bytes(chunk) for of in table.columns for chunk in of.chunks) > limit:
            raise InvalidRecord("too_large", f"more than {limit} bytes of text in {len(value)} bytes")
        if not schema.equals(table.schema):
            columns = [converted(of, field.type) for of, field in zip(table.columns, schema, strict=True)]
            table = pa.Table.from_arrays(columns, schema=schema)
    except UnicodeDecodeError as error:
        raise InvalidRecord("not_utf8", str(error)) from None
    except (pa.ArrowException, OSError, ValueError, KeyError, struct.error, EOFError) as error:
        raise InvalidRecord("not_json", f"Arrow: {str(error).splitlines()[0] if str(error) else error!r}") from None
    return table


def inflated_bytes(source: Any) -> int:
    """How many bytes the compressed buffers of a stream say they hold; reading them would take so many."""
    total = 0
    for message in pa.ipc.MessageReader.open_stream(source):
        meta, body = memoryview(message.metadata), message.body
        at = struct.unpack_from("<I", meta)[0]
        kind = _field(meta, at, 1)
        batch = _field(meta, at, 2)
        if not kind or not batch or meta[kind] not in (_DICTIONARY, _BATCH):
            continue
        batch += struct.unpack_from("<I", meta, batch)[0]
        if meta[kind] == _DICTIONARY:
            batch = _field(meta, batch, 1)
            batch += struct.unpack_from("<I", meta, batch)[0]
        buffers = _field(meta, batch, 2)
        if not _field(meta, batch, 3) or not buffers or body is None:
            continue
        buffers += struct.unpack_from("<I", meta, buffers)[0]
        for i in range(struct.unpack_from("<I", meta, buffers)[0]):
            offset, length = struct.unpack_from("<qq", meta, buffers + 4 + 16 * i)
            if length >= 8:
                total += max(0, struct.unpack_from("<q", memoryview(body), offset)[0])
    return total


def _field(meta: memoryview, table: int, number: int) -> int:
    """Where a field of a flatbuffer's table is; 0 when it is not there."""
    layout = table - struct.unpack_from("<i", meta, table)[0]
    size = struct.unpack_from("<H", meta, layout)[0]
    offset = struct.unpack_from("<H", meta, layout + 4 + 2 * number)[0] if 6 + 2 * number <= size else 0
    return table + offset if offset else 0


class ArrowRows:
    """Rows of a table."""

    def __init__(self, table: pa.Table, plan: AnyPlan) -> None:
        self.table = table
        self.plan = plan

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.table.column_names)}  # of equal names the last, as in JSON

    def _array(self, path: str) -> Any | None:
        """What is at a path, a column of the longest name first."""
        keys = path.split(".")
        for depth in range(len(keys), 0, -1):
            if (at := self._columns.get(".".join(keys[:depth]))) is not None:
                array = one(self.table.column(at))
                for key in keys[depth:]:
                    array = _below(array, key)
                    if array is None:
                        break
                return array
        return None

    def values(self, path: str) -> list[Any]:
        array = self._array(path)
        return [None] * len(self) if array is None else listed(array)

    @cached_property
    def _features(self) -> tuple[Any | None, str]:
        """The feature object, or the prefix of columns that stand for it."""
        assert isinstance(self.plan, Plan)
        path = str(self.plan.features)
        prefix = f"{path}."
        array = self._array(path)
        return array, prefix if array is None and any(n.startswith(prefix) for n in self._columns) else ""

    def feature_state(self) -> tuple[Mask, Mask] | None:
        array, prefix = self._features
        if prefix:
            return None
        if array is None:
            return np.ones(len(self), np.bool_), np.zeros(len(self), np.bool_)
        gone = missing(array)
        if not pa.types.is_struct(array.type):
            return gone, ~gone
        return (gone, np.zeros(len(self), np.bool_)) if gone.any() else None

    def feature_names(self) -> list[str]:
        array, prefix = self._features
        if prefix:
            return named({n.removeprefix(prefix) for n in self._columns if n.startswith(prefix)})
        return named({f.name for f in array.type} if array is not None and pa.types.is_struct(array.type) else set())

    def _feature_array(self, name: str) -> Any | None:
        assert isinstance(self.plan, Plan)
        if isinstance(self.plan.features, tuple):
            return self._array(name)
        array, prefix = self._features
        if prefix:
            at = self._columns.get(prefix + name)
            return None if at is None else one(self.table.column(at))
        return None if array is None else _below(array, name)

    def feature_values(self, name: str) -> list[Any]:
        array = self._feature_array(name)
        return [None] * len(self) if array is None else listed(array)

    def feature(self, name: str, mode: Mode) -> Column:
        array = self._feature_array(name)
        return column(name, [None] * len(self), mode) if array is None else array_column(name, array, mode)

    def take(self, keep: Mask) -> ArrowRows:
        # Of no row there would be no chunk, and Arrow makes no empty array of every type.
        return ArrowRows(self.table.filter(pa.array(keep)) if keep.any() else self.table.slice(0, 0), self.plan)


def _below(array: Any, key: str) -> Any | None:
    """What a struct has at `key`, null where the struct is."""
    if not pa.types.is_struct(array.type) or not (found := array.type.get_all_field_indices(key)):
        return None
    return one(pc.struct_field(array, found[-1]))


def parse(records: Records, plan: AnyPlan) -> Parsed:
    """Rows of all records; tables of one schema become one table."""
    alike: list[tuple[pa.Schema, list[pa.Table], list[int]]] = []
    dead: list[DeadLetter] = []
    for i, value in enumerate(records.values):
        try:
            table = loads(checked(value, plan), plan.max_event)
        except InvalidRecord as error:
            dead.append(DeadLetter(i, error.reason, error.detail))
            continue
        if not len(table):
            continue
        found = next((of for of in alike if of[0].equals(table.schema)), None)
        if found is None:
            alike.append(found := (table.schema, [], []))
        found[1].append(table)
        found[2].append(i)
    parts = [_parsed(pa.concat_tables(tables), tables, index, plan) for _, tables, index in alike]
    return join(parts, dead)


def _parsed(table: pa.Table, tables: list[pa.Table], index: list[int], plan: AnyPlan) -> Parsed:
    sizes = [t.num_rows for t in tables]
    places = [np.arange(n, dtype=np.int64) for n in sizes]
    return Parsed(
        rows=ArrowRows(table, plan),
        records=np.repeat(np.array(index, np.int64), sizes),
        places=np.concatenate(places),
        dead=[],
    )
