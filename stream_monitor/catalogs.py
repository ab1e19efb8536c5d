"""Layouts and references by the hash of their content; references compressed and on a shelf, as few are read."""

from __future__ import annotations

import hashlib
import zlib

from detectors.layouts import Layout
from stream_monitor.shelves import Kept, Shelf


class MemoryCatalog:
    """What this process knows; nothing is published. See `interfaces.Catalog`."""

    def __init__(self) -> None:
        self._layouts: dict[str, Layout] = {}
        self._shelf = Shelf()
        self._blobs: dict[str, Kept] = {}

    @property
    def on_disk_bytes(self) -> int:
        """Of references, in a file without a name."""
        return self._shelf.size_bytes

    @property
    def blobs(self) -> int:
        """How many references (and what else has no layout) it knows."""
        return len(self._blobs)

    def layout(self, id: str) -> Layout:
        return self._layouts[id]

    def blob(self, id: str) -> bytes:
        return zlib.decompress(self._blobs[id].read())

    def knows_blob(self, id: str) -> bool:
        """Whether `blob` has it."""
        return id in self._blobs

    def add_layout(self, layout: Layout) -> str:
        self._layouts[layout.id] = layout
        return layout.id

    def add_blob(self, data: bytes) -> str:
        """The id is the first 16 hexadecimal digits of the SHA-256.

        >>> catalog = MemoryCatalog()
        >>> catalog.blob(catalog.add_blob(b"x"))
        b'x'
        """
        id = hashlib.sha256(data).hexdigest()[:16]
        if id not in self._blobs:
            self._blobs[id] = self._shelf.keep(zlib.compress(data, 1))
        return id

    def forget_blob(self, id: str) -> None:
        self._blobs.pop(id, None)
