"""Byte strings that are written once and seldom read, in a file of this process's own, not its memory.

    file    |  a  |  a  |  b  | free |  a  |  c  |     blocks of one size: any free ones will do for the next string
                                 ^ the lowest is taken first

What is kept lives as long as its `Kept`: when nothing refers to that any more, others take its room. The file has no
name and is gone with the process: nothing is kept in it that could not be had again. It is as large as the most it held
at a time, and less than a block more a string. Where there is no place for it (TMPDIR says where it would be), the
strings stay in memory, and a warning says so; one that cannot be read again is an OSError.
"""

from __future__ import annotations

import heapq
import logging
import os
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

import numpy as np

log = logging.getLogger(__name__)

SMALL: Final = 4096  # bytes that are not worth a read
BLOCK: Final = 16_384  # bytes; a reference is tens to hundreds of these

FILE: Final = "the file in TMPDIR that holds what is seldom read"

_NUMBERS: Final = np.dtype("<u4")  # of a place: the length, and the blocks


class Shelf:
    """Room for strings. Safe to use from several threads.

    >>> shelf = Shelf()
    >>> a, b = shelf.keep(b"short"), shelf.keep(bytes(20_000))
    >>> a.read(), len(b.read()), shelf.size_bytes
    (b'short', 20000, 32768)
    >>> b = shelf.keep(bytes(40_000))  # beside the first one, which goes then
    >>> b = shelf.keep(bytes(30_000))  # where the first one was
    >>> shelf.size_bytes
    81920
    """

    def __init__(self, *, block: int = BLOCK, small: int = SMALL) -> None:
        self._block, self._small = block, small
        self._lock = threading.Lock()
        self._file = -1  # its descriptor, once there is one
        self._blocks = 0  # in the file
        self._free: list[int] = []  # blocks, as a heap
        # Why not into the heap at once: a string is let go at any time, even while this thread holds the lock.
        self._returned: deque[bytes] = deque()
        self._full = False

    @property
    def size_bytes(self) -> int:
        """Bytes in the file."""
        return self._blocks * self._block

    def keep(self, data: bytes) -> Kept:
        """Keep a string; small ones, and all when there is no room for the file, in memory."""
        if len(data) < self._small:
            return Kept(None, data)
        with self._lock:
            place = None if self._full else self._write(data)
        return Kept(None, data) if place is None else Kept(self, place)

    def _write(self, data: bytes) -> bytes | None:
        blocks = self._take(-(-len(data) // self._block))
        try:
            if self._file < 0:
                self._file, name = tempfile.mkstemp(prefix="stream-monitor-")
                weakref.finalize(self, os.close, self._file)
                os.unlink(name)
            at = 0
            for first, count in _runs(blocks):
                part = data[at : at + count * self._block]
                if os.pwrite(self._file, part, first * self._block) < len(part):
                    raise OSError("there is no room for all of it")
                at += len(part)
        except OSError as error:
            log.warning("what is seldom read stays in memory from now on; TMPDIR must be a folder with room: %s", error)
            self._put_back(blocks)
            self._full = True
            return None
        return np.array([len(data), *blocks], _NUMBERS).tobytes()

    def _read(self, place: bytes) -> bytes:
        length, *blocks = np.frombuffer(place, _NUMBERS).tolist()
        try:
            parts = [os.pread(self._file, n * self._block, first * self._block) for first, n in _runs(blocks)]
        except OSError as error:
            raise OSError(error.errno, f"{FILE} cannot be read: {error.strerror}; a restart makes it anew") from error
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        if len(data) < length:
            raise OSError(f"{FILE} has been cut; a restart makes it anew")
        return data[:length]

    def _take(self, count: int) -> list[int]:
        """So many free blocks, the lowest ones."""
        while self._returned:
            self._put_back(np.frombuffer(self._returned.popleft(), _NUMBERS)[1:].tolist())
        new = max(0, count - len(self._free))
        blocks = [heapq.heappop(self._free) for _ in range(count - new)]
        blocks += range(self._blocks, self._blocks + new)
        self._blocks += new
        return blocks

    def _put_back(self, blocks: Iterable[int]) -> None:
        for block in blocks:
            heapq.heappush(self._free, block)


class Kept:
    """A string on a shelf, or a small one itself. There may be a million of them, so it is small."""

    __slots__ = ("_data", "_shelf")

    def __init__(self, shelf: Shelf | None, data: bytes) -> None:
        self._shelf, self._data = shelf, data  # or its place, if there is a shelf

    def read(self) -> bytes:
        """The string; OSError if its file does not give it back."""
        return self._data if self._shelf is None else self._shelf._read(self._data)

    @property
    def size_bytes(self) -> int:
        """Of the string."""
        return len(self._data) if self._shelf is None else int(np.frombuffer(self._data, _NUMBERS)[0])

    def __del__(self) -> None:
        if self._shelf is not None:
            self._shelf._returned.append(self._data)


def _runs(blocks: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbours among the blocks, as (first, count)."""
    if blocks[-1] - blocks[0] == len(blocks) - 1:  # they are sorted
        return [(blocks[0], len(blocks))]
    runs = [[b for _, b in run] for _, run in groupby(enumerate(blocks), lambda at: at[1] - at[0])]
    return [(run[0], len(run)) for run in runs]
