"""Records of one source partition between the broker's client and the formats: a few arrays, no object per record.

A run is what one poll brought of a partition; `Runs` are several of them one after the other. Both keep what a record
has: value, key, headers, offset, time. A run cut in two shares its bytes with both.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Final, overload

import numpy as np

from stream_monitor.blobs import Blobs, Values
from stream_monitor.brokers import Message
from stream_monitor.counting.batches import Headers, Integers

NO_TIME: Final = -1
_INT: Final = struct.Struct("<i")


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
