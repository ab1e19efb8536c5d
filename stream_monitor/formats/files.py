"""Parquet, CSV and JSONL files as events, for replays and references.

A flat file has columns instead of paths: a column of a path's whole name is taken before the path is walked into
structs, and where there is no feature object every column that is nothing else of the event is a feature; in JSONL that
is where no line so far had one. In Parquet and CSV a time without an offset is taken to be UTC, since tables rarely
write one. CSV has no types: an empty cell is missing, a cell that reads as a number is one where a number is wanted,
and its text where a category is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from detectors.layouts import CategoricalLayout, Layout
from stream_monitor.counting.batches import DeadLetter, Records
from stream_monitor.counting.plans import LabelPlan, Plan
from stream_monitor.errors import ConfigError, Mistake
from stream_monitor.formats import json as json_format
from stream_monitor.formats.lines import Lines, Tapped
from stream_monitor.formats.presets import PRESETS, preset
from stream_monitor.formats.rows import DictRows
from stream_monitor.formats.tables import TableRows

PARQUET: Final = (".parquet", ".pq")
CSV: Final = (".csv", ".csv.gz")
JSONL: Final = (".jsonl", ".ndjson", ".json")


def unreadable(path: Path, why: object) -> ConfigError:
    """The error for a file that cannot be read at all."""
    return ConfigError([Mistake(file=str(path), line=0, path="", message=f"cannot be read: {why}")])


class _BadLines:
    """Lines of a CSV that have not as many cells as the header, and the numbers of the rows around them."""

    def __init__(self) -> None:
        self.new: list[DeadLetter] = []
        self.numbers: set[int] = set()
        self.next = 0

    def __call__(self, row: Any) -> str:
        index = row.number - 2  # the header is line 1
        self.numbers.add(index)
        cells = f"{row.actual_columns} cells instead of {row.expected_columns}"
        self.new.append(DeadLetter(index, "not_an_object", cells))
        return "skip"

    def number(self, rows: int) -> NDArray[np.int64]:
        """The numbers of the next `rows` good rows."""
        numbers: list[int] = []
        while len(numbers) < rows:
            if self.next not in self.numbers:
                numbers.append(self.next)
            self.next += 1
        return np.array(numbers, np.int64)

    def take(self) -> list[DeadLetter]:
        new, self.new = self.new, []
        return new


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
            with self._csv(lambda _: "skip", None) as reader:
                return list(reader.schema.names)
        except (OSError, pa.ArrowException) as error:
            raise unreadable(self.path, error) from None

    def _csv(self, bad: Callable[[Any], str], types: dict[str, Any] | None) -> Any:
        """A reader of a CSV file; `bad` is told of lines that are no rows."""
        return pa_csv.open_csv(
            self.path,
            read_options=pa_csv.ReadOptions(use_threads=False),  # else bad lines are not numbered
            parse_options=pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=bad),
            convert_options=pa_csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=True),
        )

    def tables(self, rows: int) -> Iterator[tuple[pa.Table, NDArray[np.int64], list[DeadLetter]]]:
        """Pieces of a Parquet or CSV file: rows, their numbers in the file, and lines of a CSV that are no rows.

        Each has `rows` rows but the last, so that the format does not decide where one ends.
        """
        bad, dead, parts, schema = _BadLines(), list[DeadLetter](), list[pa.RecordBatch](), None
        try:
            for batch in self._batches(bad, rows):
                schema = batch.schema
                while batch is not None:
                    room = rows - sum(map(len, parts))
                    parts, batch = [*parts, batch.slice(0, room)], batch.slice(room) if len(batch) > room else None
                    dead += bad.take()
                    if sum(map(len, parts)) == rows:
                        yield pa.Table.from_batches(parts).combine_chunks(), bad.number(rows), dead
                        parts, dead = [], []
            if parts or dead or bad.new:
                table = pa.Table.from_batches(parts, schema).combine_chunks()
                yield table, bad.number(len(table)), dead + bad.take()
        except (OSError, pa.ArrowException) as error:
            raise unreadable(self.path, error) from None

    def _batches(self, bad: _BadLines, rows: int) -> Iterator[pa.RecordBatch]:
        """The rows as the reader gives them, at least one batch, if an empty one."""
        if self.kind == "parquet":
            with pq.ParquetFile(self.path) as file:
                yield from file.iter_batches(batch_size=min(rows, 1 << 30))
            return
        names = self.columns
        yield pa.record_batch([pa.array([], pa.string()) for _ in names], names=names)
        with self._csv(bad, {name: pa.string() for name in names}) as reader:
            yield from reader

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
        schema = pq.read_schema(self.path) if set(names) & set(self.columns) else pa.schema([])
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


Flat = DictRows | TableRows  # rows one by one, or columns
R = TypeVar("R", bound=Flat | Lines)


class Piece(NamedTuple, Generic[R]):
    """Some rows of a file, in its order."""

    rows: R
    numbers: NDArray[np.int64]  # of the rows in the file, from 0
    dead: list[DeadLetter]  # lines that are no rows


AnyPiece = Piece[Flat | Lines]


def pieces(
    file: File, plan: Plan | LabelPlan, layout: Layout | None, rows: int, tapped: Tapped | None = None
) -> Iterator[AnyPiece]:
    """The rows of a file, at most `rows` at a time, to be assembled by `plan`. ConfigError when it cannot be read.

    Lines that `tapped` reads are left to it.
    """
    events = plan if isinstance(plan, Plan) else None
    if file.kind == "jsonl":
        first, nested = 0, False
        for values in file.lines(rows):
            n = len(values)
            records = Records(values=values, timestamps_ms=np.full(n, -1), offsets=np.arange(n))
            if plan.format.name in PRESETS:
                piece, first = _payloads(records, plan, first)
                yield piece
                continue
            if tapped is not None and (some := tapped.read(values, nested=nested)) is not None:
                nested = True  # or the features are single paths, and nobody asks
                yield Piece(some, first + np.arange(n), [])
                first += n
                continue
            messages, index, dead = json_format.parse(records, plan, None)
            dead = [DeadLetter(first + d.index, d.reason, d.detail) for d in dead]
            given = DictRows(messages, events, flat=True)
            if events is not None and isinstance(events.features, str):
                nested = nested or dict in map(type, given.values(events.features))
                given = DictRows(messages, events, flat=True, nested=nested)
            yield Piece(given, first + np.array(index, np.int64), dead)
            first += n
        return
    whole = file.whole(categorical_names(events, layout)) if events is not None else frozenset()
    for table, numbers, dead in file.tables(rows):
        yield Piece(TableRows(table, plan, texts=file.kind == "csv", whole=whole), numbers, dead)


def _payloads(records: Records, plan: Plan | LabelPlan, first: int) -> tuple[AnyPiece, int]:
    """Lines of an inference server's log, each of which may be several events or none; the number after the last."""
    parsed = preset(PRESETS[plan.format.name][0])(records, plan)
    events = np.bincount(parsed.records, minlength=len(records))
    starts = first + np.concatenate([[0], np.cumsum(np.maximum(events, 1))])
    dead = [DeadLetter(int(starts[d.index]), d.reason, d.detail) for d in parsed.dead]
    assert isinstance(parsed.rows, DictRows)
    rows = DictRows(parsed.rows.messages, plan, flat=True)
    return Piece(rows, starts[parsed.records] + parsed.places, dead), int(starts[-1])


def everything(path: Path, plan: Plan) -> Piece[Flat]:
    """The whole file in one piece. Raises ConfigError when it cannot be read."""
    plan = replace(plan, flat=True, cache={})
    found = list(pieces(File(path), plan, None, 1 << 40))
    numbers = np.concatenate([p.numbers for p in found]) if found else np.zeros(0, np.int64)
    dead = [letter for p in found for letter in p.dead]
    tables = [p.rows for p in found if isinstance(p.rows, TableRows)]
    if tables:
        whole = pa.concat_tables([t.table for t in tables]).combine_chunks()
        return Piece(TableRows(whole, plan, texts=tables[0].texts, whole=tables[0].whole), numbers, dead)
    lines = [p.rows for p in found if isinstance(p.rows, DictRows)]
    messages = [message for rows in lines for message in rows.messages]
    nested = any(rows.nested for rows in lines)
    return Piece(DictRows(messages, plan, flat=True, nested=nested), numbers, dead)
