"""Byte strings -> small numbers, in order of appearance: an open-addressing table that compiled loops look into.

A string is filed under a tag (the column a word stands in, the object a key stands in).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_monitor.blobs import PADDING, Bytes
from stream_monitor.formats.machine import (
    address,
    byte,
    compiled,
    inlined,
    int64,
    load64,
    own32,
    own64,
    watch,
)

NONE: Final = -1  # not there, and not to be added
FULL: Final = -2  # not there, and no room for it

_0: Final = np.uint64(0)
_1: Final = np.uint64(1)
_3: Final = np.uint64(3)
_8: Final = np.uint64(8)
_32: Final = np.uint64(32)
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)


class Strings(NamedTuple):
    """The table: at most half of `places` is used. `sizes` are how many strings there are, and their bytes."""

    places: NDArray[np.int32]  # number + 1, 0 where free; a power of two of them
    tags: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]  # in `arena`, multiples of eight
    lengths: NDArray[np.int64]
    arena: Bytes
    sizes: NDArray[np.int64]


def strings(count: int, arena: int) -> Strings:
    """An empty table for `count` strings (a power of two) of `arena` bytes together."""
    return Strings(
        places=np.zeros(2 * count, np.int32),
        tags=np.zeros(count, np.int32),
        hashes=np.zeros(count, np.uint64),
        starts=np.zeros(count, np.int64),
        lengths=np.zeros(count, np.int64),
        arena=np.zeros(arena + PADDING, np.uint8),
        sizes=np.zeros(2, np.int64),
    )


def string(of: Strings, number: int) -> bytes:
    """The string that has this number."""
    start = int(of.starts[number])
    return of.arena[start : start + int(of.lengths[number])].tobytes()


@inlined
def tail_mask(length: int) -> np.uint64:
    """What of eight bytes are the first `length`, 0 to 7."""
    return (_1 << (np.uint64(length) << _3)) - _1


@inlined
def digest(tag: int, start: int, length: int) -> Any:
    """The hash of the string of `length` bytes at the address `start`."""
    h = np.uint64(tag + 1) * _MIX
    for i in range(length >> 3):
        h = (h ^ load64(start + 8 * i)) * _MIX
        h = h ^ (h >> _32)
    h = (h ^ (load64(start + (length & ~7)) & tail_mask(length & 7)) ^ np.uint64(length)) * _MIX
    return h ^ (h >> _32)


@compiled
def find(
    places: int, mask: int, tags: int, hashes: int, starts: int, lengths: int, arena: int,
    tag: int, h: Any, start: int, length: int,
) -> Any:  # fmt: skip
    """The number of a string in the table whose arrays are at these addresses, or NONE."""
    place = int64(h & np.uint64(mask))
    while True:
        n = own32(places + 4 * place) - 1
        if n < 0:
            return NONE
        if own64(hashes + 8 * n) == h and own32(tags + 4 * n) == tag and int64(own64(lengths + 8 * n)) == length:
            at = arena + int64(own64(starts + 8 * n))
            i = 0
            while i + 8 <= length and own64(at + i) == load64(start + i):
                i += 8
            if i + 8 > length and (own64(at + i) ^ load64(start + i)) & tail_mask(length & 7) == _0:
                return int64(n)
        place = (place + 1) & mask


@compiled
def intern(of: Strings, tag: int, start: int, end: int, add: bool) -> Any:
    """The number of the string between two addresses, or NONE or FULL. PADDING bytes must follow it."""
    length = end - start
    mask = len(of.places) - 1
    h = digest(tag, start, length)
    n = find(
        of.places.ctypes.data, mask, of.tags.ctypes.data, of.hashes.ctypes.data, of.starts.ctypes.data,
        of.lengths.ctypes.data, of.arena.ctypes.data, tag, h, start, length,
    )  # fmt: skip
    if n >= 0 or not add:
        return n
    n, at = int64(of.sizes[0]), int64(of.sizes[1])
    if n >= len(of.tags) or at + length + PADDING > len(of.arena):
        return FULL
    place = int64(h & np.uint64(mask))
    while of.places[place] != 0:
        place = (place + 1) & mask
    of.places[place] = n + 1
    of.tags[n], of.hashes[n], of.starts[n], of.lengths[n] = tag, h, at, length
    for i in range(length):
        of.arena[at + i] = byte(start + i)
    of.sizes[0] = n + 1
    of.sizes[1] = at + ((length + 7) & ~7)
    return n


@compiled
def refile(of: Strings, into: Strings) -> None:
    """Add all strings of a table, by their order, to a larger one that is empty."""
    for n in range(of.sizes[0]):
        start = of.arena.ctypes.data + of.starts[n]
        intern(into, of.tags[n], start, start + of.lengths[n], True)


@compiled
def renumber(
    codes: NDArray[np.int32],
    word_of: NDArray[np.int32],
    seen: NDArray[np.int32],
    out: NDArray[np.int32],
    order: NDArray[np.int32],
) -> int:
    """Numbers + 1 of strings -> codes of words in order of appearance; how many words there are."""
    count = 0
    for i in range(len(codes)):
        if codes[i] == 0:
            out[i] = -1
            continue
        word = word_of[codes[i] - 1]
        if seen[word] < 0:
            seen[word] = count
            order[count] = word
            count += 1
        out[i] = seen[word]
    return count


def larger(of: Strings, arena: int) -> Strings:
    """The same strings with twice the room, and room for `arena` more bytes."""
    into = strings(2 * len(of.tags), 2 * len(of.arena) + arena)
    watch(address(of.arena), address(of.arena) + len(of.arena))
    refile(of, into)
    return into


@compiled
def _add_loop(
    of: Strings, tags: NDArray[np.int64], first: int, bounds: NDArray[np.int64], found: NDArray[np.int64]
) -> None:
    for i in range(len(tags)):
        found[i] = intern(of, tags[i], first + bounds[i], first + bounds[i + 1], True)


def add(of: Strings, texts: Sequence[tuple[int, bytes]]) -> list[int]:
    """The numbers of strings, each with its tag, added if need be; NONE or FULL as `intern` says."""
    data = np.frombuffer(b"".join([text for _, text in texts]) + bytes(PADDING), np.uint8)
    bounds = np.array([0, *accumulate(len(text) for _, text in texts)], np.int64)
    found, start = np.empty(len(texts), np.int64), address(data)
    watch(start, start + len(data))
    _add_loop(of, np.array([tag for tag, _ in texts], np.int64), start, bounds, found)
    return found.tolist()


def numbered(keys: Sequence[tuple[int, str, int]], otherwise: int) -> tuple[Strings, NDArray[np.int64]]:
    """A table of the texts of (tag, text, what it stands for), and what each stands for, by its number in the table.

    >>> table, means = numbered([(0, "a", 7), (1, "a", 8)], otherwise=-1)
    >>> means[add(table, [(0, b"a"), (1, b"a"), (1, b"b")])].tolist()
    [7, 8, -1]
    """
    room = 1 << max(4, len(keys).bit_length() + 1)
    table = strings(room, 64 * room + sum(len(key.encode()) + 8 for _, key, _ in keys))
    means = np.full(room, otherwise, np.int64)
    means[add(table, [(tag, key.encode()) for tag, key, _ in keys])] = [what for _, _, what in keys]
    return table, means
