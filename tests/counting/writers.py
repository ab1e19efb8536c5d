"""The same events in every format: lists of plain objects -> records."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from stream_monitor.counting.batches import Records

Event = Mapping[str, Any]
Write = Callable[[Sequence[Event]], list[bytes | None]]

NOW: Final = 1_700_000_000_000


def flatten(event: Event, prefix: str = "") -> dict[str, Any]:
    """Objects as names with dots."""
    out: dict[str, Any] = {}
    for key, value in event.items():
        out |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return out


def as_json(events: Sequence[Event]) -> list[bytes | None]:
    return [json.dumps(e).encode() for e in events]


def as_msgpack(events: Sequence[Event]) -> list[bytes | None]:
    return [msgspec.msgpack.encode(e) for e in events]


def table(events: Sequence[Event]) -> pa.Table:
    return pa.Table.from_pylist([dict(e) for e in events])


def ipc(of: pa.Table, *, file: bool = False, **options: Any) -> bytes:
    """A table as an Arrow IPC stream or file."""
    sink = io.BytesIO()
    make = pa.ipc.new_file if file else pa.ipc.new_stream
    with make(sink, of.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(of)
    return sink.getvalue()


def chunks(events: Sequence[Event], size: int = 7) -> list[Sequence[Event]]:
    return [events[i : i + size] for i in range(0, len(events), size)]


def as_arrow(events: Sequence[Event]) -> list[bytes | None]:
    whole = table(events)  # one schema, whatever a chunk has
    return [ipc(whole.slice(i, 7)) for i in range(0, len(events), 7)]


def as_arrow_files(events: Sequence[Event]) -> list[bytes | None]:
    """Each record a file with a schema of its own, compressed."""
    return [ipc(table(part), file=True, compression="zstd") for part in chunks(events)]


def as_arrow_flat(events: Sequence[Event]) -> list[bytes | None]:
    """Names with dots instead of structs, texts as dictionaries."""
    of = pa.Table.from_pylist([flatten(e) for e in events])
    coded = [c.dictionary_encode() if pa.types.is_string(c.type) else c for c in of.columns]
    of = pa.table(dict(zip(of.column_names, coded, strict=True)))
    return [ipc(of.slice(i, 7)) for i in range(0, len(events), 7)]


def cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def header(events: Sequence[Event]) -> list[str]:
    return list(dict.fromkeys(name for e in events for name in flatten(e)))


def lines(events: Sequence[Event], names: Sequence[str], *, with_header: bool) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    if with_header:
        writer.writerow(names)
    for e in events:
        flat = flatten(e)
        writer.writerow([cell(flat.get(n)) for n in names])
    return out.getvalue().encode()


def as_csv(events: Sequence[Event]) -> list[bytes | None]:
    """The header is in every record."""
    names = header(events)
    return [lines(part, names, with_header=True) for part in chunks(events)]


def as_gzip(events: Sequence[Event]) -> list[bytes | None]:
    return [gzip.compress(v or b"", mtime=0) for v in as_json(events)]


def as_zstd(events: Sequence[Event]) -> list[bytes | None]:
    return [_packed(v or b"", "zstd") for v in as_msgpack(events)]


def as_lz4(events: Sequence[Event]) -> list[bytes | None]:
    return [_packed(v or b"", "lz4") for v in as_csv(events)]


def _packed(value: bytes, how: str) -> bytes:
    return bytes(pa.compress(value, how, asbytes=True))


def mixed(events: Sequence[Event]) -> list[bytes | None]:
    """A topic that holds everything."""
    ways: list[Write] = [as_json, as_msgpack, as_arrow, as_csv, as_gzip, as_arrow_flat]
    return [v for i, part in enumerate(chunks(events, 3)) for v in ways[i % len(ways)](part)]


WRITERS: Final[Mapping[str, tuple[str, Write]]] = {  # name -> format, writer
    "json": ("json", as_json),
    "msgpack": ("msgpack", as_msgpack),
    "arrow": ("arrow", as_arrow),
    "arrow files": ("arrow", as_arrow_files),
    "arrow flat": ("arrow", as_arrow_flat),
    "csv": ("csv", as_csv),
    "json in gzip": ("json", as_gzip),
    "msgpack in zstd": ("msgpack", as_zstd),
    "csv in lz4": ("csv", as_lz4),
    "auto of everything": ("auto", mixed),
}


def records(values: Sequence[bytes | None]) -> Records:
    n = len(values)
    return Records(values=list(values), timestamps_ms=np.full(n, NOW), offsets=np.arange(n, dtype=np.int64) + 100)
