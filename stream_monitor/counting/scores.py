"""What multiclass events said of the classes: lists by class number as arrays, objects by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Said = list[float] | dict[str, float] | None


@dataclass(frozen=True, slots=True, eq=False)
class ClassScores(Sequence[Said]):
    """What each event said: the list of row i is `numbers[starts[i]:starts[i] + counts[i]]`, an object is in `named`.

    >>> numbers, starts, counts = np.array([0.25, 0.75]), np.array([0, 2, 2]), np.array([2, 0, 0])
    >>> some = ClassScores(numbers, starts, counts, {2: {"a": 1.0}})
    >>> list(some), list(some.take(np.array([2, 0])))
    ([[0.25, 0.75], None, {'a': 1.0}], [{'a': 1.0}, [0.25, 0.75]])
    """

    numbers: NDArray[np.float64]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    named: Mapping[int, dict[str, float]]

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, at: int) -> Said: ...
    @overload
    def __getitem__(self, at: slice) -> list[Said]: ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return list(self)[at]
        start, count = int(self.starts[at]), int(self.counts[at])
        return self.numbers[start : start + count].tolist() if count else self.named.get(range(len(self))[at])

    def __iter__(self) -> Iterator[Said]:
        return (self[row] for row in range(len(self)))

    def take(self, rows: NDArray[Any]) -> ClassScores:
        """Those of some rows, by a mask or by positions."""
        which = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        named = (
            {new: self.named[old] for new, old in enumerate(which.tolist()) if old in self.named} if self.named else {}
        )
        return ClassScores(self.numbers, self.starts[which], self.counts[which], named)

    def and_then(self, more: ClassScores) -> ClassScores:
        """Those of both, one after the other."""
        return ClassScores(
            np.concatenate([self.numbers, more.numbers]),
            np.concatenate([self.starts, more.starts + len(self.numbers)]),
            np.concatenate([self.counts, more.counts]),
            {**self.named, **{row + len(self): of for row, of in more.named.items()}},
        )
