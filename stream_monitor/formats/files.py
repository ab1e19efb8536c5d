"""Parquet, CSV and JSONL files as events, for replays and references.

A flat file has columns instead of paths: a column of a path's whole name is taken before the path is walked into
structs, and where there is no feature object every column that is nothing else of the event is a feature. In Parquet and
CSV a time without an offset is taken to be UTC, since tables rarely write one. CSV has no types: an empty cell is
missing, a cell that reads as a number is one where a number is wanted, and its text where a category is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from detectors.layouts import CategoricalLayout, Layout
from stream_monitor.batches import (
    MISSING,
    NO_CODES,
    NO_NUMBERS,
    NONFINITE,
    NUMBER,
    TEXT,
    Batch,
    Column,
    DeadLetter,
    LabelBatch,
    Mode,
    Records,
)
from stream_monitor.columns import column
from stream_monitor.errors import ConfigError, Mistake
from stream_monitor.fields import FUTURE_FREE, LabelPlan, Mask, Plan, assemble, assemble_labels
from stream_monitor.formats import json as json_format
from stream_monitor.formats.rows import DictRows, outside_features

PARQUET: Final = (".parquet", ".pq")
CSV: Final = (".csv", ".csv.gz")
JSONL: Final = (".jsonl", ".ndjson", ".json")
ROWS: Final = 65_536  # events of one batch

_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_NAIVE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?)?")


def unreadable(path: Path, why: object) -> ConfigError:
    """The error for a file that cannot be read at all."""
    return ConfigError([Mistake(file=str(path), line=0, path="", message=f"cannot be read: {why}")])


def cell_value(text: str) -> Any:
    """What a CSV cell says: a number, a boolean or a text.

    >>> [cell_value(c) for c in ("7", "1e3", "True", "007x", "nan")]
    [7, 1000.0, True, '007x', nan]
    """
    if _NUMBER.fullmatch(text):
        try:
            return int(text)
        except ValueError:
            return float(text)
    if _NOT_FINITE.fullmatch(text):
        return float(text)
    lower = text.lower()
    return lower == "true" if lower in ("true", "false") else text


class TableRows:
    """Rows of a table. `texts`: it is from a CSV file, and all cells are text. `whole`: columns of whole numbers that
    the file holds as floating-point numbers, whose categories are written without a point."""

    def __init__(self, table: pa.Table, plan: Plan | None, *, texts: bool, whole: frozenset[str] = frozenset()) -> None:
        self.table = table
        self.plan = plan
        self.texts = texts
        self.whole = whole

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def has(self, path: str) -> bool:
        """Whether the file has something at `path`."""
        return self._array(path) is not None

    def _array(self, path: str) -> Any | None:
        names = self.table.column_names
        if path in names:
            return self.table.column(path)
        first, *rest = path.split(".")
        if first not in names:
            return None
        array = self.table.column(first)
        for key in rest:
            if not pa.types.is_struct(array.type) or array.type.get_field_index(key) < 0:
                return None
            array = pc.struct_field(array, key)
        return array

    @property
    def _object(self) -> Any | None:
        """The feature object, if the file has one."""
        assert self.plan is not None
        if not isinstance(self.plan.features, str) or not self.plan.features:
            return None
        array = self._array(self.plan.features)
        return array if array is not None and pa.types.is_struct(array.type) else None

    def _feature_array(self, name: str) -> Any | None:
        assert self.plan is not None
        features = self.plan.features
        if isinstance(features, tuple):
            return self._array(name)
        if (of := self._object) is not None:
            return pc.struct_field(of, name) if of.type.get_field_index(name) >= 0 else None
        for column_name in (f"{features}.{name}", name):
            if column_name in self.table.column_names:
                return self.table.column(column_name)
        return None

    def values(self, path: str) -> list[Any]:
        times = set()
        if self.plan is not None:
            labels = self.plan.model.labels
            times = {self.plan.model.fields.time, labels.fields.time if labels is not None else ""}
        return self._listed(self._array(path), time=path in times)

    def _listed(self, array: Any | None, *, time: bool = False) -> list[Any]:
        if array is None:
            return [None] * len(self)
        values = _plain(array).to_pylist()
        if time:
            return [_timed(v) for v in values]
        return values

    def feature_state(self) -> tuple[Mask, Mask] | None:
        of = self._object
        if of is None or not of.null_count:
            return None
        missing = np.asarray(pc.is_null(of).to_numpy(zero_copy_only=False), np.bool_)
        return missing, np.zeros(len(self), np.bool_)

    def feature_names(self) -> list[str]:
        assert self.plan is not None
        if (of := self._object) is not None:
            return sorted(field.name for field in of.type)
        prefix = f"{self.plan.features}."
        inside = [name.removeprefix(prefix) for name in self.table.column_names if name.startswith(prefix)]
        outside = outside_features(self.plan)
        return sorted(inside or [name for name in self.table.column_names if name not in outside])

    def feature_values(self, name: str) -> list[Any]:
        return self._listed(self._feature_array(name))

    def feature(self, name: str, mode: Mode) -> Column:
        array = self._feature_array(name)
        if array is None:
            return column(name, [None] * len(self), mode)
        if self.texts:
            return _text_column(name, _plain(array), mode)
        numeric = pa.types.is_integer(array.type) or pa.types.is_floating(array.type)
        if numeric and mode in ("numeric", "raw"):
            return _number_column(name, array, mode)
        if numeric and name in self.whole:
            array = pc.cast(array, pa.int64())
        return column(name, _plain(array).to_pylist(), mode)

    def take(self, keep: Mask) -> TableRows:
        return TableRows(self.table.filter(pa.array(keep)), self.plan, texts=self.texts, whole=self.whole)


def _plain(array: Any) -> Any:
    """The array with types that JSON has: times as RFC 3339 text, decimals as numbers, bytes as text."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _plain(pc.cast(array, kind.value_type))
    if pa.types.is_date(kind):
        return _plain(pc.cast(array, pa.timestamp("ms")))
    if pa.types.is_timestamp(kind):
        naive = pc.cast(array, pa.timestamp("us"), safe=False) if kind.tz is None else array
        if kind.tz is not None:
            naive = pc.cast(pc.cast(array, pa.timestamp("us", tz="UTC"), safe=False), pa.timestamp("us"))
        return pc.strftime(naive, format="%Y-%m-%dT%H:%M:%SZ")
    if pa.types.is_decimal(kind):
        return pc.cast(array, pa.float64())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pc.cast(array, pa.string())
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        return pc.cast(array, pa.string() if pa.types.is_time(kind) else pa.int64())
    return array


def _timed(value: Any) -> Any:
    """A time as a table writes it, as messages write it: in a CSV numbers are text, and UTC goes without saying."""
    if isinstance(value, str):
        if _NAIVE.fullmatch(value):
            return f"{value}Z" if len(value) > 10 else f"{value}T00:00:00Z"
        if _NUMBER.fullmatch(value):
            return cell_value(value)
    return value


def _number_column(name: str, array: Any, mode: Mode) -> Column:
    """A column of a numeric type."""
    missing = np.asarray(pc.is_null(array).to_numpy(zero_copy_only=False), np.bool_)
    numbers = np.asarray(
        pc.fill_null(pc.cast(array, pa.float64(), safe=False), 0.0).to_numpy(zero_copy_only=False), np.float64
    )
    finite = np.isfinite(numbers)
    kinds = np.select([missing, ~finite], [MISSING, NONFINITE], NUMBER).astype(np.uint8)
    return Column(
        name=name,
        kinds=kinds,
        numbers=np.where(finite, numbers, 0.0),
        codes=np.full(len(numbers), -1, np.int32) if mode == "raw" else NO_CODES,
    )


def _text_column(name: str, array: Any, mode: Mode) -> Column:
    """A column of a CSV file: each distinct cell is looked at once."""
    if mode == "text":
        return column(name, array.to_pylist(), mode)
    encoded = array.combine_chunks().dictionary_encode() if isinstance(array, pa.ChunkedArray) else array
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes = np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False), np.int64)
    words = encoded.dictionary.to_pylist()
    if mode == "categorical":
        return Column(
            name=name,
            kinds=np.where(codes < 0, np.uint8(MISSING), np.uint8(TEXT)),
            numbers=NO_NUMBERS,
            codes=codes.astype(np.int32),
            words=tuple(words),
        )
    distinct = column(name, [*map(cell_value, words), None], mode)  # the last one is for code -1
    return distinct.take(codes)


class File:
    """A file of events, a piece at a time. ConfigError when it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kind = next(
            (kind for kind, ends in (("parquet", PARQUET), ("csv", CSV), ("jsonl", JSONL)) if path.name.endswith(ends)),
            "",
        )
        if not self.kind:
            known = " ".join((*PARQUET, *CSV, *JSONL))
            raise unreadable(path, f"its name does not say what it is; known: {known}")

    @cached_property
    def columns(self) -> list[str]:
        """Names of the columns of a table; none for JSONL."""
        if self.kind == "jsonl":
            return []
        try:
            if self.kind == "parquet":
                return list(pq.read_schema(self.path).names)
            with pa_csv.open_csv(self.path) as reader:
                return list(reader.schema.names)
        except (OSError, pa.ArrowException) as error:
            raise unreadable(self.path, error) from None

    def tables(self, rows: int) -> Iterator[pa.Table]:
        """Pieces of a Parquet or CSV file."""
        columns = self.columns
        try:
            if self.kind == "parquet":
                with pq.ParquetFile(self.path) as file:
                    for batch in file.iter_batches(batch_size=rows):
                        yield pa.Table.from_batches([batch])
                return
            options = pa_csv.ConvertOptions(
                column_types={name: pa.string() for name in columns}, null_values=[""], strings_can_be_null=True
            )
            with pa_csv.open_csv(self.path, convert_options=options) as reader:
                for batch in reader:
                    for first in range(0, batch.num_rows, rows):
                        yield pa.Table.from_batches([batch.slice(first, rows)])
        except (OSError, pa.ArrowException) as error:
            raise unreadable(self.path, error) from None

    def lines(self, rows: int) -> Iterator[list[bytes | None]]:
        """Pieces of a JSONL file; blank lines are none."""
        piece: list[bytes | None] = []
        try:
            with self.path.open("rb") as file:
                for line in file:
                    if line.strip():
                        piece.append(line.rstrip(b"\r\n"))
                    if len(piece) == rows:
                        yield piece
                        piece = []
        except OSError as error:
            raise unreadable(self.path, error) from None
        if piece:
            yield piece

    def whole(self, names: Sequence[str]) -> frozenset[str]:
        """Which of the columns `names` hold whole numbers in a floating-point type, as tables with gaps do."""
        if self.kind != "parquet":
            return frozenset()
        schema = pq.read_schema(self.path)
        floats = [n for n in names if n in schema.names and pa.types.is_floating(schema.field(n).type)]
        found = set()
        for name in floats:
            values = pq.read_table(self.path, columns=[name]).column(name).drop_null().to_numpy()
            if len(values) and bool((np.abs(values) < 2**53).all() and (values == np.rint(values)).all()):
                found.add(name)
        return frozenset(found)


def categorical_names(plan: Plan, layout: Layout | None) -> list[str]:
    """Columns that are read as categories."""
    names = [name for name, kind in plan.model.columns.items() if kind == "categorical"]
    names += [n for n, of in (layout.features.items() if layout else ()) if isinstance(of, CategoricalLayout)]
    return sorted({*names, *plan.model.segments})


def _line_records(values: list[bytes | None], first: int) -> Records:
    n = len(values)
    return Records(values=values, timestamps_ms=np.full(n, -1), offsets=np.arange(first, first + n))


def read_events(
    path: Path, plan: Plan, layout: Layout | None, *, at_ms: int = FUTURE_FREE, rows: int = ROWS
) -> Iterator[tuple[Batch, list[DeadLetter]]]:
    """The events of a file in its order; offsets, and the index of dead letters, are row numbers from 0.

    Without `at_ms` nothing is in the future. Raises ConfigError when the file cannot be read.
    """
    plan, file, first = replace(plan, flat=True, cache={}), File(path), 0
    if file.kind == "jsonl":
        for values in file.lines(rows):
            records = _line_records(values, first)
            messages, index, dead = json_format.parse(records, plan, None)
            batch, refused = assemble(
                DictRows(messages, plan, flat=True), plan, layout, at_ms,
                index=index, timestamps_ms=records.timestamps_ms[index], offsets=records.offsets[index],
            )  # fmt: skip
            yield batch, _shifted(dead + refused, first)
            first += len(values)
        return
    whole = file.whole(categorical_names(plan, layout))
    for table in file.tables(rows):
        found = TableRows(table, plan, texts=file.kind == "csv", whole=whole)
        n = len(found)
        batch, refused = assemble(
            found, plan, layout, at_ms,
            index=range(n), timestamps_ms=np.full(n, -1), offsets=np.arange(first, first + n),
        )  # fmt: skip
        yield batch, _shifted(refused, first)
        first += n


def read_labels(
    path: Path, plan: LabelPlan, *, at_ms: int = FUTURE_FREE, rows: int = ROWS
) -> Iterator[tuple[LabelBatch, list[DeadLetter]]]:
    """The label events of a file in its order, as `read_events` gives events."""
    plan, file, first = replace(plan, flat=True, cache={}), File(path), 0
    if file.kind == "jsonl":
        for values in file.lines(rows):
            records = _line_records(values, first)
            messages, index, dead = json_format.parse(records, plan, None)
            batch, refused = assemble_labels(
                DictRows(messages, flat=True), plan, at_ms,
                index=index, timestamps_ms=records.timestamps_ms[index], offsets=records.offsets[index],
            )  # fmt: skip
            yield batch, _shifted(dead + refused, first)
            first += len(values)
        return
    as_events = Plan(
        name=plan.name, model=plan.model, format=plan.format, max_event=plan.max_event, max_future_ms=plan.max_future_ms
    )
    for table in file.tables(rows):
        found = TableRows(table, as_events, texts=file.kind == "csv")
        n = len(found)
        batch, refused = assemble_labels(
            found, plan, at_ms, index=range(n), timestamps_ms=np.full(n, -1), offsets=np.arange(first, first + n)
        )
        yield batch, _shifted(refused, first)
        first += n


def _shifted(dead: list[DeadLetter], first: int) -> list[DeadLetter]:
    return [DeadLetter(first + d.index, d.reason, d.detail) for d in sorted(dead, key=lambda d: d.index)]
