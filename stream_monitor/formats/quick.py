"""The quick way through a block: one compiled walk, the rest by the plain way, both woven together.

Rows that are no events, or that the walk leaves, are read again by the plain way, which alone knows why an event is
refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from stream_monitor.counting.batches import Batch, DeadLetter, Records
from stream_monitor.formats.findings import Findings
from stream_monitor.formats.needs import Needs
from stream_monitor.formats.weaving import weave

Decoded = tuple[Batch, list[DeadLetter]]


class Quick:
    """The quick way for one plan and one layout. It learns as it goes, and what it learnt changes no result."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        """Forget all that was learnt."""
        raise NotImplementedError

    @property
    def needs(self) -> Needs:
        """What the walk looks for."""
        raise NotImplementedError

    def walk(self, records: Records) -> Findings | None:
        """What the walk found in all records; None when that is too much, as of too many names of features."""
        raise NotImplementedError

    def decode(self, records: Records, at_ms: int, plainly: Callable[[Records], Decoded]) -> Decoded:
        """The batch and the dead letters of `records`; `plainly` decodes some of them by the plain way."""
        with self._lock:
            block = self.walk(records)
            if block is None:
                self._begin()
                return plainly(records)
            rows = block.events(at_ms)
            if not rows.any():
                return plainly(records)
            batch = block.batch(rows)
        if rows.all():
            return batch, []
        rest = np.flatnonzero(~rows)
        others, dead = plainly(records.take(rest))
        dead = [DeadLetter(int(rest[letter.index]), letter.reason, letter.detail) for letter in dead]
        if not len(others):
            return batch, dead
        if self.needs.open and any("\\" in c.name for c in others.features):
            return plainly(records)  # names that are not as they stand in the message: their order is not ours to tell
        derived = sum(map(len, self.needs.wanted.values()))
        return weave(batch, others, self.needs.modes if self.needs.open else None, derived), dead
