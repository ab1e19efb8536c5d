"""References as bytes: equal ones are equal bytes, and bytes of another format are refused with the way out."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
import numpy as np

from detectors.counts import Counts
from stream_monitor.errors import Newer, Older
from stream_monitor.judging.references import Reference


class _PackedCounts(msgspec.Struct, frozen=True, array_like=True):
    rows: int
    steps: list[int]  # differences of the cells, small numbers mostly: a byte each
    values: list[int]
    low: bytes
    high: bytes
    names: tuple[str, ...]
    words: tuple[tuple[int, str], ...]


class _PackedReference(msgspec.Struct, frozen=True, array_like=True):
    model: str
    version: str
    layout: str
    pane_ms: int
    rows: int
    series: list[tuple[str, list[tuple[int, _PackedCounts]]]]
    source: str
    ordered_by: str
    skipped: int
    format: int = 1
    holes: tuple[tuple[int, int], ...] = ()


FORMAT: Final = 2  # of packed references; in 1 the cells of a pane had other numbers

DECODER: Final = msgspec.msgpack.Decoder(_PackedReference)


def _pack_counts(counts: Counts) -> _PackedCounts:
    return _PackedCounts(
        counts.rows,
        np.diff(counts.cells, prepend=0).tolist(),
        counts.values.tolist(),
        counts.low.astype("<f8").tobytes(),
        counts.high.astype("<f8").tobytes(),
        counts.names,
        counts.words,
    )


def _unpack_counts(packed: _PackedCounts) -> Counts:
    return Counts(
        rows=packed.rows,
        cells=np.cumsum(np.array(packed.steps, np.int32), dtype=np.int32),
        values=np.array(packed.values, np.int64),
        low=np.frombuffer(packed.low, "<f8"),
        high=np.frombuffer(packed.high, "<f8"),
        names=packed.names,
        words=packed.words,
    )


def pack_reference(reference: Reference) -> bytes:
    """Bytes of a reference; equal references have equal bytes."""
    r = reference
    series = [(s, [(start, _pack_counts(c)) for start, c in r.series[s]]) for s in sorted(r.series)]
    return msgspec.msgpack.encode(
        _PackedReference(
            r.model, r.version, r.layout, r.pane_ms, r.rows, series, r.source, r.ordered_by, r.skipped, FORMAT,
            r.holes,
        )
    )  # fmt: skip


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
        series={s: tuple((start, _unpack_counts(c)) for start, c in panes) for s, panes in p.series},
        source=p.source,
        ordered_by=p.ordered_by,
        skipped=p.skipped,
        holes=p.holes,
    )


def reference_id(data: bytes) -> str:
    """The id of a packed reference: 16 hex digits of its SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]
