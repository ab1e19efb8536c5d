"""Byte strings that are written once and seldom read, as references, in a file of this process's own, not its memory.

The file has no name and is gone with the process: nothing is kept in it that could not be had again. Where there is no
place for it (TMPDIR says where it would be), the strings stay in memory.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import weakref
from typing import Final

log = logging.getLogger(__name__)

SMALL: Final = 4096  # bytes that are not worth a read

Kept = bytes | tuple[int, int]  # in memory, or (offset, length) in the file


class Shelf:
    """Safe to use from several threads.

    >>> shelf = Shelf()
    >>> [len(shelf.get(shelf.put(data))) for data in (b"short", bytes(10_000))]
    [5, 10000]
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file = -1  # its descriptor, once there is one
        self._size_bytes = 0
        self._full = False

    @property
    def size_bytes(self) -> int:
        """Bytes in the file."""
        return self._size_bytes

    def put(self, data: bytes) -> Kept:
        """Keep them; `get` takes what this gives."""
        if len(data) < SMALL or self._full:
            return data
        with self._lock:
            try:
                if self._file < 0:
                    self._file, name = tempfile.mkstemp(prefix="stream-monitor-")
                    weakref.finalize(self, os.close, self._file)
                    os.unlink(name)
                at = self._size_bytes
                if os.pwrite(self._file, data, at) < len(data):
                    raise OSError("there is no room for all of it")
            except OSError as error:
                log.warning("references stay in memory from now on; TMPDIR must be a folder with room: %s", error)
                self._full = True
                return data
            self._size_bytes = at + len(data)
            return at, len(data)

    def get(self, kept: Kept) -> bytes:
        """The bytes that were put."""
        if isinstance(kept, bytes):
            return kept
        at, length = kept
        data = os.pread(self._file, length, at)
        if len(data) < length:
            raise OSError(f"references: their file in TMPDIR ends before byte {at + length}; a restart makes it anew")
        return data
