"""What a format makes of records: rows, where each of them comes from, and the records that are none.

A record may hold several events. It is one dead letter at most, whichever of its events cannot be read; the others
count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from detectors.layouts import Layout
from stream_monitor.counting.batches import Batch, DeadLetter, Headers, Integers, LabelBatch, Records
from stream_monitor.counting.fields import Rows, assemble, assemble_labels
from stream_monitor.counting.plans import LabelPlan, Plan
from stream_monitor.errors import InvalidRecord
from stream_monitor.formats.rows import DictRows, JoinedRows

AnyPlan = Plan | LabelPlan
Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parsed:
    """Rows of records. `records` has the position of each row's record, `places` that of the row in it."""

    rows: Rows
    records: Integers
    places: Integers
    dead: list[DeadLetter]


_BYTES: Final = 10  # an event takes at least, of the bytes that a record may have
_NONE: Final = np.zeros(0, np.int64)

Parse = Callable[[Records, AnyPlan], Parsed]
ReadOne = Callable[[bytes, Headers, AnyPlan], Messages]


def one_by_one(read: ReadOne, make: Callable[[Messages, AnyPlan], Rows] = DictRows) -> Parse:
    """A parser from a function that reads one record as its events, or raises InvalidRecord."""

    def parse(records: Records, plan: AnyPlan) -> Parsed:
        rows: list[Mapping[str, Any]] = []
        index: list[int] = []
        places: list[int] = []
        dead: list[DeadLetter] = []
        nothing: Headers = ()
        for i, value in enumerate(records.values):
            try:
                found = read(checked(value, plan), records.headers[i] if records.headers else nothing, plan)
            except InvalidRecord as error:
                dead.append(DeadLetter(i, error.reason, error.detail))
                continue
            rows += found
            index += [i] * len(found)
            places += range(len(found))
        return Parsed(
            rows=make(rows, plan),
            records=np.array(index, np.int64),
            places=np.array(places, np.int64),
            dead=dead,
        )

    return parse


def checked(value: bytes | None, plan: AnyPlan) -> bytes:
    """A value that is there and not too large, or InvalidRecord."""
    if value is None:
        raise InvalidRecord("null_value", "a record without a value")
    if len(value) > plan.max_event:
        raise InvalidRecord("too_large", f"{len(value)} bytes, the limit is {plan.max_event}")
    return value


def few(events: int, limit: int) -> None:
    """InvalidRecord for more events in a record than one for each ten bytes that it may have.

    Why: an event takes hundreds of bytes of memory, but may take one of a record, or none; so a record that is within
    its limit could take what the process has.
    """
    if events > limit // _BYTES:
        raise InvalidRecord("too_large", f"{events} events in a record; the limit is {limit // _BYTES}")


def join(parts: Sequence[Parsed], dead: Sequence[DeadLetter] = ()) -> Parsed:
    """Several parses of different records as one, in the order of the records."""
    if len(parts) == 1:
        return replace(parts[0], dead=[*parts[0].dead, *dead])
    records = np.concatenate([_NONE, *(p.records for p in parts)])
    places = np.concatenate([_NONE, *(p.places for p in parts)])
    order = np.lexsort((places, records))
    return Parsed(
        rows=JoinedRows([p.rows for p in parts], order),
        records=records[order],
        places=places[order],
        dead=[*(letter for p in parts for letter in p.dead), *dead],
    )


def batch_of(
    parsed: Parsed, records: Records, plan: Plan, layout: Layout | None, at_ms: int
) -> tuple[Batch, list[DeadLetter]]:
    """The batch of parsed records, and the dead letters by record."""
    batch, refused = assemble(
        parsed.rows,
        plan,
        layout,
        at_ms,
        index=range(len(parsed.rows)),
        timestamps_ms=records.timestamps_ms[parsed.records],
        offsets=records.offsets[parsed.records],
        places=parsed.places,
    )
    return batch, _letters(parsed, refused)


def labels_of(parsed: Parsed, records: Records, plan: LabelPlan, at_ms: int) -> tuple[LabelBatch, list[DeadLetter]]:
    """The label batch of parsed records, and the dead letters by record."""
    batch, refused = assemble_labels(
        parsed.rows,
        plan,
        at_ms,
        index=range(len(parsed.rows)),
        timestamps_ms=records.timestamps_ms[parsed.records],
        offsets=records.offsets[parsed.records],
        places=parsed.places,
    )
    return batch, _letters(parsed, refused)


def _letters(parsed: Parsed, refused: Sequence[DeadLetter]) -> list[DeadLetter]:
    """One letter a record: of its first event that was refused."""
    if not refused:
        return sorted(parsed.dead, key=lambda letter: letter.index)
    sizes = np.bincount(parsed.records)
    rows: dict[int, list[DeadLetter]] = {}
    for letter in sorted(refused, key=lambda letter: letter.index):
        rows.setdefault(int(parsed.records[letter.index]), []).append(letter)
    letters = list(parsed.dead)
    for record, found in rows.items():
        first, detail = found[0], found[0].detail
        if sizes[record] > 1:
            place = int(parsed.places[first.index])
            detail = f"event {place} of {sizes[record]}: {detail}" + (
                f" (and {len(found) - 1} more events)" if len(found) > 1 else ""
            )
        letters.append(DeadLetter(record, first.reason, detail))
    return sorted(letters, key=lambda letter: letter.index)
