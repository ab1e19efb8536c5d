"""Byte strings -> small numbers, in order of appearance: an open-addressing table that compiled loops look into.

A string is filed under a tag (the column a word stands in, the object a key stands in).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_monitor.formats.machine import PADDING, Bytes, compiled, int64, load64

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


@compiled
def tail_mask(length: int) -> np.uint64:
    """What of eight bytes are the first `length`, 0 to 7."""
    return (_1 << (np.uint64(length) << _3)) - _1


@compiled
def intern(of: Strings, tag: int, data: Bytes, start: int, end: int, add: bool) -> Any:
    """The number of the string data[start:end], or NONE or FULL. PADDING bytes must follow it in `data`."""
    length = end - start
    whole = length >> 3
    last = tail_mask(length & 7)
    h = np.uint64(tag + 1) * _MIX
    for i in range(whole):
        h = (h ^ load64(data, start + 8 * i)) * _MIX
        h = h ^ (h >> _32)
    h = (h ^ (load64(data, start + 8 * whole) & last) ^ np.uint64(length)) * _MIX
    h = h ^ (h >> _32)
    mask = len(of.places) - 1
    place = int64(h & np.uint64(mask))
    while of.places[place] != 0:
        n = int64(of.places[place]) - 1
        if of.hashes[n] == h and of.tags[n] == tag and of.lengths[n] == length:
            at = int64(of.starts[n])
            same = (load64(of.arena, at + 8 * whole) ^ load64(data, start + 8 * whole)) & last == _0
            for i in range(whole):
                if not same or load64(of.arena, at + 8 * i) != load64(data, start + 8 * i):
                    same = False
                    break
            if same:
                return n
        place = (place + 1) & mask
    if not add:
        return NONE
    n, at = int64(of.sizes[0]), int64(of.sizes[1])
    if n >= len(of.tags) or at + length + PADDING > len(of.arena):
        return FULL
    of.places[place] = n + 1
    of.tags[n], of.hashes[n], of.starts[n], of.lengths[n] = tag, h, at, length
    of.arena[at : at + length] = data[start:end]
    of.sizes[0] = n + 1
    of.sizes[1] = at + ((length + 7) & ~7)
    return n


@compiled
def refile(of: Strings, into: Strings) -> None:
    """Add all strings of a table, by their order, to a larger one that is empty."""
    for n in range(of.sizes[0]):
        intern(into, of.tags[n], of.arena, of.starts[n], of.starts[n] + of.lengths[n], True)


def larger(of: Strings, arena: int) -> Strings:
    """The same strings with twice the room, and room for `arena` more bytes."""
    into = strings(2 * len(of.tags), 2 * len(of.arena) + arena)
    refile(of, into)
    return into
