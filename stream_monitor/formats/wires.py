"""What compiled walks over binary events share: varints, UTF-8, and where a value that was found is put.

A walk over joined events fills a `Found` (found.py). Places are addresses; nothing is read beyond the `end` that is
given but for the PADDING that follows all events. -1 says: nothing for the quick way, the plain one decides.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stream_monitor.counting.batches import BOOL, MISSING, NESTED, NUMBER, TEXT
from stream_monitor.formats.found import CODES, LENGTHS, NUMBERS, OBJECT, SPANS, TEXTS, TIMES, Found
from stream_monitor.formats.instants import epoch_ms, rfc3339_ms
from stream_monitor.formats.interning import Strings, digest, find
from stream_monitor.formats.machine import (
    CHECKED,
    address,
    byte,
    compiled,
    inlined,
    int64,
    load64,
    own8,
    own32,
    own64,
    put8,
    put32,
    put64,
    put_double,
)  # fmt: skip
from stream_monitor.formats.scanning import wide

# What became of a value.
PUT: Final = 0
REFUSED: Final = 1  # the record is left to the plain way
NO_WORD: Final = 2  # its bytes are to be interned first

TIMED: Final = -2
FAMILY_SHIFT: Final = 32  # where in the end of a span its family stands

_0: Final = np.uint64(0)
_1: Final = np.uint64(1)
_7: Final = np.uint64(7)
_LOW_7: Final = np.uint64(0x7F)
_TOPS: Final = np.uint64(0x8080808080808080)


@inlined
def varint(p: int, end: int) -> tuple[int, Any]:
    """(past it, its 64 bits) of a varint of at most ten bytes."""
    if p < end and byte(p) < 128:
        return p + 1, np.uint64(byte(p))
    return long_varint(p, end)


@compiled
def long_varint(p: int, end: int) -> tuple[int, Any]:
    """The same, of any number of bytes."""
    bits, shift = _0, _0
    for i in range(10):
        if p >= end:
            return -1, _0
        c = np.uint64(byte(p))
        p += 1
        bits = bits | ((c & _LOW_7) << shift)
        if c < np.uint64(128):
            return (p, bits) if i < 9 or c <= _1 else (-1, _0)
        shift = shift + _7
    return -1, _0


@inlined
def zigzag(bits: Any) -> Any:
    """The signed number that a varint's bits say.

    >>> [int(zigzag(np.uint64(n))) for n in (0, 1, 2, 3)]
    [0, -1, 1, -2]
    """
    return int64(bits >> _1) ^ -int64(bits & _1)


@compiled
def utf8(p: int, end: int) -> Any:
    """0: ASCII up to `end`, 1: UTF-8, -1: neither."""
    found = 0
    while p < end:
        if p + 8 <= end and load64(p) & _TOPS == _0:
            p += 8
        elif byte(p) < 128:
            p += 1
        else:
            found = 1
            p = wide(p)
            if p < 0 or p > end:
                return -1
    return found


@compiled
def letters(p: int, end: int) -> Any:
    """How many characters the UTF-8 text is long."""
    count = 0
    while p < end:
        count += 0 if byte(p) & 0xC0 == 0x80 else 1
        p += 1
    return count


# Places in a sink: addresses of the arrays of a `Found` and of a table of words, and how many records there are.
_KINDS, _NUMBERS, _CODES, _SPANS, _TIMES, _WANTS, _ROWS, _RECORDS = range(8)
_PLACES, _LAST_PLACE, _TAGS, _HASHES, _STARTS, _LENGTHS, _ARENA = range(8, 15)


def sink(found: Found, words: Strings) -> NDArray[np.int64]:
    """Where to put things, in a form that costs nothing to hand over; the caller keeps both alive."""
    of = (found.kinds, found.numbers, found.codes, found.spans, found.times, found.want, found.rows)
    table = (words.tags, words.hashes, words.starts, words.lengths, words.arena)
    ends = (len(found.good), address(words.places), len(words.places) - 1)
    return np.array([*(address(a) for a in of), *ends, *(address(a) for a in table)], np.int64)


@inlined
def _at(sink: int, place: int) -> Any:
    return int64(own64(sink + 8 * place))


@inlined
def wanted(sink: int, slot: int) -> Any:
    """What is wanted of a slot."""
    return own8(_at(sink, _WANTS) + slot)


@inlined
def kind_at(sink: int, slot: int, r: int) -> Any:
    """The kind in a slot, as walks write them."""
    return own8(_at(sink, _KINDS) + slot * _at(sink, _RECORDS) + r)


@inlined
def put_kind(sink: int, slot: int, r: int, kind: int) -> None:
    """Write the kind of a slot."""
    put8(_at(sink, _KINDS) + slot * _at(sink, _RECORDS) + r, kind)


@inlined
def put_time(sink: int, r: int, ms: int) -> None:
    """Write the time of a record."""
    put64(_at(sink, _TIMES) + 8 * r, ms)


@inlined
def _row(sink: int, slot: int, r: int, which: int) -> Any:
    """Where a record's numbers (0), codes (1) or spans (2) of a slot are, counted in records."""
    row = int64(own32(_at(sink, _ROWS) + 16 * slot + 4 * which))
    if CHECKED and (row >= 1 << 31 or r < 0 or r >= _at(sink, _RECORDS)):  # -1 is read as 2^32 - 1
        raise IndexError("a write where nothing is wanted")
    return row * _at(sink, _RECORDS) + r


@inlined
def put_start(sink: int, slot: int, r: int, start: int) -> None:
    """Write where the wanted bytes of a slot begin."""
    put64(_at(sink, _SPANS) + 16 * _row(sink, slot, r, 2), start)


@inlined
def put_end(sink: int, slot: int, r: int, end: int, family: int) -> None:
    """Write where they end, and what reads them."""
    put64(_at(sink, _SPANS) + 16 * _row(sink, slot, r, 2) + 8, end + (family << FAMILY_SHIFT))


@compiled
def put(
    sink: int, base: int, r: int, slot: int, family: int, kind: int, number: float, start: int, end: int,
    characters: int,
) -> Any:  # fmt: skip
    """Put the value of record `r` whose bytes are from `start` to `end` into its slot; what became of it.

    `characters` is the length of a TEXT that is not its bytes (a number, say, that is written as one), TIMED where its
    time is put already; -1: it is its bytes.
    """
    want = wanted(sink, slot)
    if want & TIMES and characters != TIMED:
        ms, ok = int64(0), False
        if kind == NUMBER:
            ms, ok = epoch_ms(number)
        elif kind == TEXT and characters < 0 and utf8(start, end) == 0:
            ms, ok = rfc3339_ms(start, end)
        if not ok:
            return REFUSED
        put_time(sink, r, ms)
    if want & (NUMBERS | LENGTHS):
        value = 0.0
        if want & LENGTHS and kind == TEXT:
            value = np.float64(characters if characters >= 0 else letters(start, end))
        elif want & NUMBERS and kind == NUMBER:
            value = number
        put_double(_at(sink, _NUMBERS) + 8 * _row(sink, slot, r, 0), value)
    if want & (TEXTS | CODES):
        code = int64(-1)
        if kind in (TEXT, BOOL) or (want & CODES and kind != MISSING and kind != NESTED and kind != OBJECT - 1):
            code = find(
                _at(sink, _PLACES), _at(sink, _LAST_PLACE), _at(sink, _TAGS), _at(sink, _HASHES), _at(sink, _STARTS),
                _at(sink, _LENGTHS), _at(sink, _ARENA), family, digest(family, start, end - start), start, end - start,
            )  # fmt: skip
            if code < 0:
                return NO_WORD
        put32(_at(sink, _CODES) + 4 * _row(sink, slot, r, 1), code + 1)
    if want & SPANS:
        put_start(sink, slot, r, start - base)
        put_end(sink, slot, r, 0 if kind == MISSING else end - base, 0 if kind == MISSING else family)
    put_kind(sink, slot, r, kind + 1)
    return PUT


@compiled
def clear(kinds: NDArray[np.uint8], r: int) -> None:
    """Forget what was found in a record, which is read again."""
    for slot in range(len(kinds)):
        kinds[slot, r] = 0
