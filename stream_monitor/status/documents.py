"""How status documents are kept: how many of a kind, where each stands in its list, and small.

The same for every store, so that the twins cannot differ.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Final

from stream_monitor.interfaces import Document

LIMITS: Final[Mapping[str, int]] = {"window": 12_000, "verdict": 100_000, "audit": 100_000}
DEFAULT_LIMIT: Final = 10_000  # documents of any other kind, per scope
SQUEEZE_FROM_BYTES: Final = 512


def position(document: Document) -> str:
    """Where a document stands in its list: what `StatusStore.page` takes as `after`."""
    return f"{document.order}\x00{document.id}"


def squeeze(body: bytes) -> bytes:
    """The body as it is stored: large ones compressed (windows shrink to about a fifth). JSON never begins with 'x'.

    >>> squeeze(b"{}")
    b'{}'
    >>> body = b'[%s]' % b",".join([b"123"] * 1000)
    >>> len(squeeze(body)) < len(body) / 10, unsqueeze(squeeze(body)) == body
    (True, True)
    """
    return zlib.compress(body, 1) if len(body) >= SQUEEZE_FROM_BYTES else body


def unsqueeze(stored: bytes) -> bytes:
    """The body that was squeezed."""
    return zlib.decompress(stored) if stored[:1] == b"x" else stored
