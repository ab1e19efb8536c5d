"""Records of a segment <-> the messages it is written in: a zlib stream of one MessagePack map, cut into pieces.

    {name: record, name: record, ... }  ->  zlib  ->  | 900 kB | 900 kB | ... |

A segment can be larger than the memory there is for it, so both ways go record by record. Most of it are counts that
were squeezed one by one: where compressing has gained nothing, the next megabyte is stored as it is, in a thirtieth of
the time.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Final, Protocol, overload

import msgspec

from stream_monitor.shelves import Kept, Shelf

CHUNK: Final = 65_535  # bytes that one block can store
GAIN: Final = 0.9  # more than this share of a chunk is no gain
SKIPPED: Final = 16  # chunks stored until compressing is tried again

_encode = msgspec.msgpack.Encoder().encode
_BYTES: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4}  # MessagePack's binary strings: bytes of the length that follows
_MAPS: Final = {0xDE: 2, 0xDF: 4}
_NIL: Final = 0xC0


class Torn(Exception):
    """The messages are not those that were written."""


class Changes(Protocol):
    """Records by name, each once; None for one that is gone."""

    def __len__(self) -> int:
        """How many `items` there are."""

    def items(self) -> Iterable[tuple[bytes, bytes | None]]:
        """Name and record."""


class Records(Protocol):
    """Records by name, each once."""

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        """Name and record, in any order; they may be made as they are asked for."""


def pieces(changes: Changes, limit: int) -> Iterator[bytes]:
    """The records of a segment, compressed, in messages of at most `limit` bytes.

    >>> changes = {b"a": b"1" * 1000, b"b": None}
    >>> dict(changes_in(pieces(changes, limit=16))) == changes
    True
    """
    return _cut(_squeezed(_cut(_packed(changes), CHUNK)), limit)


def _packed(changes: Changes) -> Iterator[bytes]:
    yield _map_of(len(changes))
    for name, record in changes.items():
        yield _encode(name) + _encode(record)


def _cut(parts: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in parts of this size, and a last one of less."""
    waiting = bytearray()
    for part in parts:
        waiting += part
        while len(waiting) >= size:
            yield bytes(waiting[:size])
            del waiting[:size]
    if waiting:
        yield bytes(waiting)


def _squeezed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """A zlib stream (RFC 1950) of chunks, each in deflate blocks of its own (RFC 1951), ending at a whole byte."""
    yield zlib.compress(b"", 1)[:2]  # its header
    check, skipped = 1, 0
    for chunk in chunks:
        check = zlib.adler32(chunk, check)
        if not skipped:
            deflate = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
            small = deflate.compress(chunk) + deflate.flush(zlib.Z_SYNC_FLUSH)
        if skipped or len(small) > GAIN * len(chunk):
            skipped = (skipped + 1) % SKIPPED
            small = b"\0" + len(chunk).to_bytes(2, "little") + (len(chunk) ^ 0xFFFF).to_bytes(2, "little") + chunk
        yield small
    yield b"\1\0\0\xff\xff" + check.to_bytes(4)  # the last block, which is empty


def changes_in(messages: Iterable[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
    """The records of a segment from its messages, one by one. Torn, at last, if there are others or not all."""
    loosening = zlib.decompressobj()
    left, data, at = -1, b"", 0  # records to come, and what is not read yet of the stream
    for message in messages:
        try:
            data, at = data[at:] + loosening.decompress(message), 0
        except zlib.error as error:
            raise Torn(str(error)) from None
        if left < 0 and (length := _length(data)):
            left, at = length
        while left > 0 and (name := _string(data, at)) and (record := _string(data, name[1])):
            if name[0] is None:
                raise Torn("a record without a name")
            yield name[0], record[0]
            left, at = left - 1, record[1]
    if left or at < len(data) or not loosening.eof or loosening.unused_data:
        raise Torn("another end than was written")


def _map_of(length: int) -> bytes:
    if length < 16:
        return bytes([0x80 | length])
    return b"\xde" + length.to_bytes(2) if length < 1 << 16 else b"\xdf" + length.to_bytes(4)


def _length(data: bytes) -> tuple[int, int] | None:
    """Of the map that begins here, and where its first name does; None: it is not all there."""
    if not data:
        return None
    size = _MAPS.get(data[0], 0)
    if not size and data[0] & 0xF0 != 0x80:
        raise Torn("no records")
    if len(data) <= size:
        return None
    return (int.from_bytes(data[1 : 1 + size]), 1 + size) if size else (data[0] & 0x0F, 1)


def _string(data: bytes, at: int) -> tuple[bytes | None, int] | None:
    """The string or nil that begins at `at`, and where it ends; None: it is not all there."""
    if at >= len(data):
        return None
    kind = data[at]
    if kind == _NIL:
        return None, at + 1
    size = _BYTES.get(kind)
    if size is None:
        raise Torn("no record")
    begin = at + 1 + size
    end = begin + int.from_bytes(data[at + 1 : begin])
    return None if end > len(data) or begin > len(data) else (data[begin:end], end)


class Messages(Sequence[tuple[bytes, bytes]]):
    """Messages of a segment, as (key, value); they lie on a shelf and are read as they are asked for."""

    def __init__(self, keys: Sequence[bytes], values: Sequence[Kept]) -> None:
        self.keys, self._values = keys, values

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, i: int) -> tuple[bytes, bytes]: ...
    @overload
    def __getitem__(self, i: slice) -> list[tuple[bytes, bytes]]: ...
    def __getitem__(self, i: int | slice) -> tuple[bytes, bytes] | list[tuple[bytes, bytes]]:
        if isinstance(i, slice):
            return [(key, kept.read()) for key, kept in zip(self.keys[i], self._values[i], strict=True)]
        return self.keys[i], self._values[i].read()

    @property
    def size_bytes(self) -> int:
        """Of keys and values."""
        return sum(map(len, self.keys)) + sum(kept.size_bytes for kept in self._values)


class Table(MutableMapping[bytes, Any]):
    """What was read of the checkpoints topic, by key. Values are bytes (or None, for a moment) and lie on a shelf: they
    are read once, to derive a state.
    """

    def __init__(self) -> None:
        self._kept: dict[bytes, Kept | None] = {}
        self._shelf = Shelf()

    def __getitem__(self, key: bytes) -> Any:
        kept = self._kept[key]
        return None if kept is None else kept.read()

    def __setitem__(self, key: bytes, value: bytes | None) -> None:
        if not self._kept:
            self._shelf = Shelf()  # the file before it shrinks to nothing
        self._kept[key] = None if value is None else self._shelf.keep(value)

    def __delitem__(self, key: bytes) -> None:
        del self._kept[key]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: object) -> bool:
        return key in self._kept

    def snapshot(self) -> Mapping[bytes, bytes]:
        """It as it is now, whatever comes and goes."""
        now = Table()
        now._kept = dict(self._kept)
        return now
