"""How bytes become columns: one format a file, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Final, TypeVar

from detectors.layouts import Layout
from stream_monitor.config import Config, Fields, Format
from stream_monitor.counting.batches import Batch, DeadLetter, LabelBatch, Records
from stream_monitor.counting.plans import LabelPlan, Plan
from stream_monitor.formats import arrow, auto, avro, csv, json, json_schema, msgpack, presets, protobuf
from stream_monitor.formats.packed import unpacked
from stream_monitor.formats.parsed import Parse, batch_of, labels_of
from stream_monitor.formats.poison import survived

SEVERAL: Final = 1_000.0  # events in a record of a format that may hold any number of them
_Read = TypeVar("_Read")
Decode = Callable[[Records, Plan, Layout | None, int], tuple[Batch, list[DeadLetter]]]
DecodeLabels = Callable[[Records, LabelPlan, int], tuple[LabelBatch, list[DeadLetter]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """How a format is read. `meaning` has it in its docstring; `options` are the keys that it takes beside `name`.

    The valid events of the records as columns, and the others with their reasons, both in offset order.
    """

    decode: Decode
    decode_labels: DecodeLabels
    meaning: object
    options: tuple[str, ...] = ()
    headers: bool = False  # whether it reads the headers of Kafka
    loops: ModuleType | None = None  # its `warm` makes compiled loops ready, which the first block would wait for
    events: float = 1.0  # that a record is taken to hold before any was read
    fields: Fields | None = None  # where it puts the parts of an event, for what the configuration does not say


def reader(
    parse: Parse, meaning: object, options: tuple[str, ...] = (), *, headers: bool = False, events: float = 1.0
) -> Reader:
    """The reader of a format that is read in one way, for events and for labels."""
    return Reader(
        decode=lambda records, plan, layout, at_ms: batch_of(parse(records, plan), records, plan, layout, at_ms),
        decode_labels=lambda records, plan, at_ms: labels_of(parse(records, plan), records, plan, at_ms),
        meaning=meaning,
        options=options,
        headers=headers,
        events=events,
    )


def preset(read: presets.Read, fields: Fields) -> Reader:
    """The reader of the payload log of an inference server."""
    return replace(reader(presets.preset(read), read, ("header",), headers=True, events=SEVERAL), fields=fields)


FORMATS: Final[Mapping[str, Reader]] = {
    "json": Reader(decode=json.decode, decode_labels=json.decode_labels, meaning=json, loops=json),
    "msgpack": reader(msgpack.parse, msgpack),
    "arrow": reader(arrow.parse, arrow, events=SEVERAL),
    "csv": reader(csv.parse, csv, ("header", "delimiter"), events=SEVERAL),
    "auto": replace(reader(auto.parse, auto, ("header", "delimiter"), events=SEVERAL), decode=auto.decode, loops=json),
    "avro": Reader(decode=avro.decode, decode_labels=avro.decode_labels, meaning=avro, headers=True, loops=avro),
    "protobuf": Reader(
        decode=protobuf.decode,
        decode_labels=protobuf.decode_labels,
        meaning=protobuf,
        headers=True,
        loops=protobuf,
    ),
    "json_schema": Reader(
        decode=json_schema.decode,
        decode_labels=json_schema.decode_labels,
        meaning=json_schema,
        headers=True,
        loops=json,
    ),
    **{name: preset(read, fields) for name, (read, fields) in presets.PRESETS.items()},
}


def loops(config: Config) -> list[str]:
    """The modules whose `warm` makes ready what reads the configured events; labels are read without compiled loops."""
    told = [of.format for m in config.models.values() for of in (m, m.features) if of is not None]
    found = [FORMATS[Format.of(format).name].loops for format in told]
    return list(dict.fromkeys(module.__name__ for module in found if module is not None))


def decode(records: Records, plan: Plan, layout: Layout | None, at_ms: int) -> tuple[Batch, list[DeadLetter]]:
    """The valid events of `records` as columns, and the others with their reasons, both in offset order.

    `layout` None is the raw layout. `at_ms` is the block's clock: what is more than `max_future` after it is dead.
    """
    of = FORMATS[plan.format.name]

    def read(records: Records) -> tuple[Batch, list[DeadLetter]]:
        return of.decode(records, plan, layout, at_ms)

    return survived(lambda records: _unpacking(read, records, plan.max_event), records)


def decode_labels(records: Records, plan: LabelPlan, at_ms: int) -> tuple[LabelBatch, list[DeadLetter]]:
    """The valid label events of `records`, and the others with their reasons, both in offset order."""
    of = FORMATS[plan.format.name]

    def read(records: Records) -> tuple[LabelBatch, list[DeadLetter]]:
        return of.decode_labels(records, plan, at_ms)

    return survived(lambda records: _unpacking(read, records, plan.max_event), records)


def _unpacking(
    read: Callable[[Records], tuple[_Read, list[DeadLetter]]], records: Records, limit: int
) -> tuple[_Read, list[DeadLetter]]:
    """What is read of records, of those that are compressed too."""
    found, dead = read(records)
    if dead and (fresh := unpacked(records, dead, limit)) is not None:
        records, broken = fresh
        found, dead = read(records)
        dead = [broken.get(letter.index, letter) for letter in dead]
    return found, dead
