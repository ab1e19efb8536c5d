"""What a detector said of the values in the tail of a series, so that none is judged again for each later window.

Nothing here is state: it follows from the memory before the tail, and the values in it, which are asked for each time.
Of memories only the last one is kept, as some are large; a tail that has changed before its end is judged anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from detectors import Judgement, Level

Value = float | tuple[int, int]  # of a window or a pane; (events, errors) for a detector of single errors
Tail = Sequence[tuple[int, Value]]  # (start of the window or pane, value)

UNCOMPUTABLE: Final = (
    ArithmeticError,
    ValueError,
)  # of numbers nobody thought of: they must not stop a partition for good


def uncomputable(error: Exception) -> str:
    """Why there is no value.

    >>> uncomputable(OverflowError("too large"))
    'cannot be computed: OverflowError: too large'
    """
    return f"cannot be computed: {type(error).__name__}: {error}"


def updated(detector: Any, memory: Mapping[str, Any], value: Value) -> tuple[Mapping[str, Any], Judgement]:
    """The detector's memory after a value, and what it says of it; one that it cannot compute with leaves no trace."""
    try:
        after: tuple[Mapping[str, Any], Judgement] = detector.update(memory, value)
    except UNCOMPUTABLE as error:
        return memory, Judgement(level=Level.UNKNOWN, reason=uncomputable(error))
    return after


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
            self._memory, judgement = updated(detector, self._memory, value)
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
