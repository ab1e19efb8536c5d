"""Records of one source partition between the broker's client and the formats: a few arrays, no object per record.

A run is what one poll brought of a partition; `Runs` are several of them one after the other. Both keep what a record
has: value, key, headers, offset, time. A run cut in two shares its bytes with both.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray

from stream_monitor.batches import Headers, Integers
from stream_monitor.brokers import Message
from stream_monitor.formats.machine import PADDING, Bytes

NO_TIME: Final = -1
_INT: Final = struct.Struct("<i")


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


@dataclass(frozen=True, slots=True)
class Headed(Sequence[Headers]):
    """Headers of records, each packed as `pack_headers` does."""

    packed: Blobs

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, at: Any) -> Any:
        return unpack_headers(self.packed[at] or b"")


def unpack_headers(packed: bytes) -> Headers:
    """The headers in `packed`: of each the length of its name, the name, the length of its value or -1, the value.

    >>> unpack_headers(b"\\1\\0\\0\\0a" + b"\\2\\0\\0\\0bc" + b"\\1\\0\\0\\0d" + b"\\xff" * 4)
    [('a', b'bc'), ('d', None)]
    """
    found: list[tuple[str, bytes | None]] = []
    at = 0
    while at < len(packed):
        (size,) = _INT.unpack_from(packed, at)
        name = packed[at + 4 : at + 4 + size].decode("utf-8", "replace")
        at += 4 + size
        (size,) = _INT.unpack_from(packed, at)
        at += 4
        found.append((name, None if size < 0 else packed[at : at + size]))
        at += max(size, 0)
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """Records of one partition in offset order. `times_ms` are Kafka's, NO_TIME where there is none."""

    values: Blobs
    offsets: Integers
    times_ms: Integers
    keys: Sequence[bytes | None] | None = None  # None: none has one
    headers: Sequence[Headers | None] | None = None

    def __len__(self) -> int:
        return len(self.offsets)

    @classmethod
    def of(cls, messages: Sequence[Message]) -> Run:
        """Of messages as a client gives them."""
        n = len(messages)
        stamps = (ms if kind else NO_TIME for kind, ms in (m.timestamp() for m in messages))
        keys, headers = [m.key() for m in messages], [m.headers() for m in messages]
        return cls(
            values=Blobs.of([m.value() for m in messages]),
            offsets=np.fromiter((m.offset() for m in messages), np.int64, n),
            times_ms=np.fromiter(stamps, np.int64, n),
            keys=keys if any(k is not None for k in keys) else None,
            headers=headers if any(headers) else None,
        )

    def part(self, first: int, last: int) -> Run:
        """The records from `first` to `last`, `last` not included."""
        if (first, last) == (0, len(self)):
            return self
        return replace(
            self,
            values=self.values.part(first, last),
            offsets=self.offsets[first:last],
            times_ms=self.times_ms[first:last],
            keys=None if self.keys is None else _part(self.keys, first, last),
            headers=None if self.headers is None else _part(self.headers, first, last),
        )


def _part(of: Any, first: int, last: int) -> Any:
    if isinstance(of, Blobs):
        return of.part(first, last)
    return Headed(of.packed.part(first, last)) if isinstance(of, Headed) else of[first:last]


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a run, as a Message."""

    run: Run
    at: int

    def __len__(self) -> int:
        return len(self.value() or b"")

    def value(self) -> bytes | None:
        return self.run.values[self.at]

    def key(self) -> bytes | None:
        return None if self.run.keys is None else self.run.keys[self.at]

    def headers(self) -> Headers | None:
        return None if self.run.headers is None else self.run.headers[self.at]

    def offset(self) -> int:
        return int(self.run.offsets[self.at])

    def timestamp(self) -> tuple[int, int]:
        ms = int(self.run.times_ms[self.at])
        return (0, NO_TIME) if ms == NO_TIME else (1, ms)


class Runs(Sequence[Record]):
    """Runs of one partition one after the other, in offset order, that can be taken for a sequence of messages."""

    def __init__(self, parts: Sequence[Run]) -> None:
        self.parts = parts
        self._ends = list(accumulate(map(len, parts)))

    @classmethod
    def of(cls, messages: Sequence[Message]) -> Runs:
        """Of messages, which may be runs already."""
        return messages if isinstance(messages, Runs) else cls([Run.of(messages)] if len(messages) else [])

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> list[Record]: ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return [self[i] for i in range(len(self))[at]]
        if not 0 <= at < len(self):
            raise IndexError(at)
        i = bisect_right(self._ends, at)
        return Record(self.parts[i], at - (self._ends[i - 1] if i else 0))

    @property
    def values(self) -> Values:
        """The values of all of them."""
        return Values([part.values for part in self.parts])

    @property
    def offsets(self) -> Integers:
        """The offsets of all of them."""
        return np.concatenate([np.zeros(0, np.int64), *(part.offsets for part in self.parts)])

    @property
    def times_ms(self) -> Integers:
        """Kafka's times of all of them."""
        return np.concatenate([np.zeros(0, np.int64), *(part.times_ms for part in self.parts)])
