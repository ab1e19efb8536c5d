"""References as bytes: equal ones are equal bytes, and bytes of another format are refused with the way out."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from stream_monitor.errors import Newer, Older
from stream_monitor.judging.references import Reference
from stream_monitor.packing import pack_counts, unpack_counts


class _PackedReference(msgspec.Struct, frozen=True, array_like=True):
    model: str
    version: str
    layout: str
    pane_ms: int
    rows: int
    series: msgspec.Raw  # of Series; read once the format is known
    source: str
    ordered_by: str
    skipped: int
    format: int = 1
    holes: tuple[tuple[int, int], ...] = ()


FORMAT: Final = 2  # of packed references; in 1 the cells of a pane had other numbers

Series = list[tuple[str, list[tuple[int, bytes]]]]

DECODER: Final = msgspec.msgpack.Decoder(_PackedReference)
_SERIES: Final = msgspec.msgpack.Decoder(Series)


def pack_reference(reference: Reference) -> bytes:
    """Bytes of a reference; equal references have equal bytes."""
    r = reference
    series = [(s, [(start, pack_counts(c)) for start, c in r.series[s]]) for s in sorted(r.series)]
    return msgspec.msgpack.encode(
        _PackedReference(
            r.model, r.version, r.layout, r.pane_ms, r.rows, _raw(series), r.source, r.ordered_by, r.skipped, FORMAT,
            r.holes,
        )
    )  # fmt: skip


def _raw(series: Series) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(series))


def unpack_reference(data: bytes) -> Reference:
    """The reference that was packed. Newer or Older if this release would misread it."""
    p = DECODER.decode(data)
    what = f"the reference of {p.model} {p.version}".rstrip() + ", in the references topic,"
    if p.format > FORMAT:
        way_out = "start the newer release again, or promote a reference anew with this one"
        raise Newer(what, p.format, FORMAT, way_out)
    if p.format < FORMAT:
        way_out = "promote one anew with this release (one of a file is counted anew at every start)"
        raise Older(what, p.format, FORMAT, way_out)
    return Reference(
        model=p.model,
        version=p.version,
        layout=p.layout,
        pane_ms=p.pane_ms,
        rows=p.rows,
        series={s: tuple((start, unpack_counts(c)) for start, c in panes) for s, panes in _SERIES.decode(p.series)},
        source=p.source,
        ordered_by=p.ordered_by,
        skipped=p.skipped,
        holes=p.holes,
    )


def reference_id(data: bytes) -> str:
    """The id of a packed reference: 16 hex digits of its SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]
