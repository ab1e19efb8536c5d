"""Counts -> bytes and back. Most cells are a short step from the last one, and most counts are small: a byte each.

Internal and binary (MessagePack): in bundles, checkpoints and references. Field order is the stored form.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.counts import Counts

# What does not fit the first leaves its greatest number there and stands in the second, and so on, at last in "<i8".
_KINDS: Final = (("u1", 2**8 - 1), ("<i4", 2**31 - 1))

_SQUEEZED: Final = zlib.compress(b"", 1)[:1]  # no MessagePack array of seven begins so

Narrow = tuple[bytes, bytes, bytes]


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    rows: int
    steps: Narrow  # differences of the cells
    values: Narrow
    low: bytes
    high: bytes
    names: tuple[str, ...]
    words: tuple[tuple[int, str], ...]


class _Rows(msgspec.Struct, frozen=True, array_like=True):
    rows: int


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Packed)
_ROWS: Final = msgspec.msgpack.Decoder(_Rows)


def pack_counts(counts: Counts) -> bytes:
    """Bytes of counts; equal counts have equal bytes."""
    return _ENCODER.encode(
        _Packed(
            counts.rows,
            narrow(np.diff(counts.cells, prepend=0)),
            narrow(counts.values),
            counts.low.astype("<f8").tobytes(),
            counts.high.astype("<f8").tobytes(),
            counts.names,
            counts.words,
        )
    )


def unpack_counts(data: bytes) -> Counts:
    """The counts that were packed."""
    p = _DECODER.decode(_loose(data))
    return Counts(
        rows=p.rows,
        cells=(np.frombuffer(p.steps[0], "u1") if not p.steps[1] else wide(p.steps)).cumsum(dtype=np.int32),
        values=wide(p.values),
        low=np.frombuffer(p.low, "<f8"),
        high=np.frombuffer(p.high, "<f8"),
        names=p.names,
        words=p.words,
    )


def packed_rows(data: bytes) -> int:
    """Events in counts that were packed."""
    return _ROWS.decode(_loose(data)).rows


def squeeze(data: bytes) -> bytes:
    """Packed counts in about half of the room, for those that are seldom read; they unpack as they are.

    Why runs only: counts hold hardly any other repetition, and a search for it takes longer and finds less.
    """
    if data.startswith(_SQUEEZED):
        return data
    by_runs = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    return by_runs.compress(data) + by_runs.flush()


def _loose(data: bytes) -> bytes:
    return zlib.decompress(data) if data.startswith(_SQUEEZED) else data


def narrow(numbers: NDArray[Any]) -> Narrow:
    """Integers, each in as few bytes as its size needs; one that does not fit leaves the greatest number there.

    >>> narrow(np.array([3, 255, 70_000, -1]))[0]
    b'\\x03\\xff\\xff\\xff'
    """
    parts, left = [], numbers.astype("<i8", copy=False)
    for kind, most in _KINDS:
        if not len(left):
            parts.append(b"")
            continue
        large = left.view("<u8") >= most  # and what is negative
        few = left.astype(kind)
        few[large] = most
        parts.append(few.tobytes())
        left = left[large]
    return parts[0], parts[1], left.tobytes()


def wide(parts: Narrow) -> NDArray[np.int64]:
    """The integers again.

    >>> wide(narrow(np.array([3, 255, 70_000, -1])))
    array([    3,   255, 70000,    -1])
    """
    if not parts[1]:  # as nearly always
        return np.frombuffer(parts[0], _KINDS[0][0]).astype(np.int64)
    numbers: NDArray[np.int64] = np.frombuffer(parts[-1], "<i8")
    for (kind, most), part in zip(reversed(_KINDS), reversed(parts[:-1]), strict=True):
        few = np.frombuffer(part, kind)
        found = few.astype(np.int64)
        if len(numbers):
            found[few == most] = numbers
        numbers = found
    return numbers
