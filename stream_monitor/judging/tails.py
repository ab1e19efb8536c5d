"""What a detector said of the values in the tail of a series, so that none is judged again for each later window.

Nothing here is state: it follows from the memory before the tail, and the values in it, which are asked for each time.
Of memories only the last one is kept, as some are large; a tail that has changed before its end is judged anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from detectors import Judgement

Value = float | tuple[int, int]  # of a window or a pane; (events, errors) for a detector of single errors
Tail = Sequence[tuple[int, Value]]  # (start of the window or pane, value)


class Judged:
    """The judgements of a series' tail so far."""

    def __init__(self) -> None:
        self._before: Mapping[str, Any] | None = None  # the memory before the tail
        self._detector: Any = None
        self._tail: list[tuple[int, Value]] = []
        self._judgements: list[Judgement] = []
        self._memory: Mapping[str, Any] = {}  # after the tail

    def along(self, detector: Any, before: Mapping[str, Any], tail: Tail) -> list[Judgement]:
        """What the detector says of each value."""
        known = len(self._tail)
        if self._before is not before or self._detector != detector or list(tail[:known]) != self._tail[: len(tail)]:
            self._before, self._detector, self._memory = before, detector, before
            self._tail, self._judgements = [], []
        for start, value in tail[len(self._tail) :]:
            self._memory, judgement = detector.update(self._memory, value)
            self._tail.append((start, value))
            self._judgements.append(judgement)
        return self._judgements[: len(tail)]

    def settled(self, before: Mapping[str, Any], first: Tail) -> None:
        """The first values are in the memory before the tail now."""
        if self._tail[: len(first)] == list(first):
            self._before = before
            del self._tail[: len(first)], self._judgements[: len(first)]
        else:
            self._before = None
