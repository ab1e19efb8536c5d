"""Byte strings that are written once and seldom read, as references, in a file of this process's own, not its memory.

    file    |  a  |  a  |  b  | free |  a  |  c  |     blocks of one size: any free ones will do for the next string
                                 ^ the lowest is taken first

The file has no name and is gone with the process: nothing is kept in it that could not be had again. It is as large as
the most it held at a time, and less than a block more a string. Where there is no place for it (TMPDIR says where it
would be), the strings stay in memory.
"""

from __future__ import annotations

import heapq
import logging
import os
import tempfile
import threading
import weakref
from itertools import groupby
from typing import Final

log = logging.getLogger(__name__)

SMALL: Final = 4096  # bytes that are not worth a read
BLOCK: Final = 16_384  # bytes; a reference is tens to hundreds of these

Place = tuple[int, tuple[range, ...]]  # length, and the blocks that hold it


class Shelf:
    """Strings by a name. Safe to use from several threads.

    >>> shelf = Shelf()
    >>> for name, data in (("a", b"short"), ("b", bytes(20_000))):
    ...     shelf.put(name, data)
    >>> len(shelf.get("a")), len(shelf.get("b")), shelf.size_bytes
    (5, 20000, 32768)
    >>> shelf.drop("b")
    >>> "b" in shelf
    False
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file = -1  # its descriptor, once there is one
        self._blocks = 0  # in the file
        self._free: list[int] = []  # blocks, as a heap
        self._kept: dict[str, bytes | Place] = {}
        self._full = False

    @property
    def size_bytes(self) -> int:
        """Bytes in the file."""
        return self._blocks * BLOCK

    def __contains__(self, name: object) -> bool:
        return name in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, name: str, data: bytes) -> None:
        """Keep a string, unless there is one of that name."""
        with self._lock:
            if name not in self._kept:
                self._kept[name] = data if len(data) < SMALL or self._full else self._write(data)

    def get(self, name: str) -> bytes:
        """The string of that name; KeyError if there is none."""
        with self._lock:  # or its blocks might be given away meanwhile
            kept = self._kept[name]
            if isinstance(kept, bytes):
                return kept
            length, places = kept
            data = b"".join(os.pread(self._file, len(of) * BLOCK, of.start * BLOCK) for of in places)
        if len(data) < length:
            raise OSError(f"references: their file in TMPDIR ends within {name}; a restart makes it anew")
        return data[:length]

    def drop(self, name: str) -> None:
        """Let go of the string of that name, if there is one; others take its room."""
        with self._lock:
            kept = self._kept.pop(name, b"")
            if not isinstance(kept, bytes):
                self._give_back(kept[1])

    def _write(self, data: bytes) -> bytes | Place:
        places = self._take(-(-len(data) // BLOCK))
        try:
            if self._file < 0:
                self._file, name = tempfile.mkstemp(prefix="stream-monitor-")
                weakref.finalize(self, os.close, self._file)
                os.unlink(name)
            at = 0
            for of in places:
                part = data[at : at + len(of) * BLOCK]
                if os.pwrite(self._file, part, of.start * BLOCK) < len(part):
                    raise OSError("there is no room for all of it")
                at += len(part)
        except OSError as error:
            log.warning("references stay in memory from now on; TMPDIR must be a folder with room: %s", error)
            self._give_back(places)
            self._full = True
            return data
        return len(data), places

    def _take(self, count: int) -> tuple[range, ...]:
        """So many free blocks, the lowest ones, as runs of neighbours."""
        new = max(0, count - len(self._free))
        blocks = [heapq.heappop(self._free) for _ in range(count - new)]
        blocks += range(self._blocks, self._blocks + new)
        self._blocks += new
        runs = [[b for _, b in run] for _, run in groupby(enumerate(blocks), lambda at: at[1] - at[0])]
        return tuple(range(run[0], run[-1] + 1) for run in runs)

    def _give_back(self, places: tuple[range, ...]) -> None:
        for of in places:
            for block in of:
                heapq.heappush(self._free, block)
