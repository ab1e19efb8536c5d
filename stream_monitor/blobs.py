"""Many byte strings in one array, as compiled loops read them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]

PADDING: Final = 64  # bytes that must follow what is read eight bytes at a time


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blobs(Sequence["bytes | None"]):
    """Byte strings one after the other, a NUL behind each: string i is `data[starts[i]:starts[i + 1] - 1]`.

    PADDING bytes follow the last one. `none` tells which are None, which look empty here; None: there are no such.

    >>> some = Blobs.of([b"ab", None, b""])
    >>> list(some), some[0], list(some.part(1, 3)), some.size
    ([b'ab', None, b''], b'ab', [None, b''], 2)
    """

    data: Bytes
    starts: Integers
    none: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, values: Sequence[bytes | None]) -> Blobs:
        """Of some byte strings."""
        ends = np.fromiter((len(v) + 1 if v is not None else 1 for v in values), np.int64, len(values)).cumsum()
        joined = b"\0".join([*(v or b"" for v in values), bytes(PADDING)])
        return cls(
            data=np.frombuffer(joined, np.uint8),
            starts=np.concatenate([np.zeros(1, np.int64), ends]),
            none=np.array([v is None for v in values], np.bool_) if None in values else None,
        )

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return int(self.starts[-1] - self.starts[0]) - len(self)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @overload
    def __getitem__(self, at: int) -> bytes | None: ...
    @overload
    def __getitem__(self, at: slice) -> list[bytes | None]: ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return list(self)[at]
        if self.none is not None and self.none[at]:
            return None
        return self.data[self.starts[at] : self.starts[at + 1] - 1].tobytes()

    def __iter__(self) -> Iterator[bytes | None]:
        first, last = int(self.starts[0]), int(self.starts[-1])
        joined, bounds = self.data[first:last].tobytes(), (self.starts - first).tolist()
        found: list[bytes | None] = [joined[a : b - 1] for a, b in pairwise(bounds)]
        if self.none is not None:
            for i in np.flatnonzero(self.none).tolist():
                found[i] = None
        return iter(found)

    def part(self, first: int, last: int) -> Blobs:
        """Those from `first` to `last`, `last` not included."""
        none = None if self.none is None else self.none[first:last]
        return Blobs(data=self.data, starts=self.starts[first : last + 1], none=none)


class Values(Sequence["bytes | None"]):
    """The strings of several `parts`, one after the other."""

    def __init__(self, parts: Sequence[Blobs]) -> None:
        self.parts = parts
        self._ends = list(accumulate(map(len, parts)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, at: int) -> bytes | None: ...
    @overload
    def __getitem__(self, at: slice) -> list[bytes | None]: ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return list(self)[at]
        i = bisect_right(self._ends, at)
        return self.parts[i][at - (self._ends[i - 1] if i else 0)]

    def __iter__(self) -> Iterator[bytes | None]:
        return (value for part in self.parts for value in part)

    def take(self, places: Integers) -> Values:
        """Those at these places, in one array.

        >>> some = Values([Blobs.of([b"ab", None]), Blobs.of([b"", b"c"])])
        >>> list(some.take(np.array([3, 1, 0])))
        [b'c', None, b'ab']
        """
        which = np.searchsorted(self._ends, places, side="right")
        at = places - np.array([0, *self._ends])[which]
        first, last, none = np.zeros(len(at), np.int64), np.zeros(len(at), np.int64), np.zeros(len(at), np.bool_)
        for i, part in enumerate(self.parts):
            here = which == i
            first[here], last[here] = part.starts[at[here]], part.starts[at[here] + 1]
            none[here] = False if part.none is None else part.none[at[here]]
        views = [part.data.data for part in self.parts]
        spans = zip(which.tolist(), first.tolist(), last.tolist(), strict=True)
        joined = b"".join([*(views[i][a:b] for i, a, b in spans), bytes(PADDING)])  # each with its NUL
        starts = np.concatenate([np.zeros(1, np.int64), (last - first).cumsum()])
        data = np.frombuffer(joined, np.uint8)
        return Values([Blobs(data=data, starts=starts, none=none if none.any() else None)])
