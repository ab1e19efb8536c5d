"""Compressed values, told by their first bytes: gzip, zstd and LZ4 frames, whatever format is inside.

No format can read such bytes as they are (0x8b and 0xb5 are no UTF-8 where they stand, and so on), so a block is
unpacked only after a record of it turned out to be unreadable: what is not compressed pays nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa

from stream_monitor.counting.batches import DeadLetter, Records
from stream_monitor.errors import InvalidRecord

MAGIC: Final[Mapping[bytes, str]] = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
_CHUNK: Final = 1 << 16
_PIECE: Final = 1 << 12


def packing(value: bytes | None) -> str:
    """How a value is compressed; "" when it is not.

    >>> packing(zlib.compress(b"x", wbits=31)), packing(b"{}")
    ('gzip', '')
    """
    if value is None:
        return ""
    return next((name for magic, name in MAGIC.items() if value.startswith(magic)), "")


def unpack(value: bytes, limit: int) -> bytes:
    """The bytes in a compressed value; InvalidRecord when it is damaged or they are more than `limit`."""
    how = packing(value)
    try:
        out = _gunzip(value, limit) if how == "gzip" else _stream(value, how, limit)
    except (zlib.error, EOFError, OSError, pa.ArrowException) as error:
        raise InvalidRecord("not_json", f"{how}: {error}") from None
    if len(out) > limit:
        raise InvalidRecord("too_large", f"more than {limit} bytes, the limit, in {len(value)} bytes of {how}")
    return out


def _gunzip(value: bytes, limit: int) -> bytes:
    """All members of a gzip file, at most one byte more than `limit`."""
    out, at = bytearray(), 0
    while at < len(value) and len(out) <= limit:
        member = zlib.decompressobj(31)
        while not member.eof and at < len(value) and len(out) <= limit:
            piece = value[at : at + _PIECE]  # zlib copies what is behind a member, and there may be thousands of them
            out += member.decompress(piece, limit + 1 - len(out))
            at += len(piece) - len(member.unused_data)
        if not member.eof and len(out) <= limit:
            raise EOFError("cut off")
    return bytes(out)


def _stream(value: bytes, how: str, limit: int) -> bytes:
    out: list[bytes] = []
    size = 0
    with pa.CompressedInputStream(pa.BufferReader(value), how) as stream:
        while size <= limit and (chunk := stream.read(_CHUNK)):
            out.append(chunk)
            size += len(chunk)
    return b"".join(out)


def unpacked(records: Records, dead: Sequence[DeadLetter], limit: int) -> tuple[Records, dict[int, DeadLetter]] | None:
    """The records with unreadable ones unpacked, and letters for those that cannot be; None if none is compressed."""
    packed = [d.index for d in dead if d.reason != "too_large" and packing(records.values[d.index])]
    if not packed:
        return None
    values, broken = list(records.values), {}
    for i in packed:
        value = values[i]
        assert value is not None
        try:
            values[i] = unpack(value, limit)
        except InvalidRecord as error:
            broken[i] = DeadLetter(i, error.reason, error.detail)
            values[i] = None
    fresh = Records(
        values=values, timestamps_ms=records.timestamps_ms, offsets=records.offsets, headers=records.headers
    )
    return fresh, broken
