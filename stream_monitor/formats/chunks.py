"""Values -> bytes that compiled loops can read: each with a NUL behind it, a few thousand at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from stream_monitor.blobs import PADDING, Blobs, Bytes, Values
from stream_monitor.counting.batches import Integers

CHUNK: Final = 4096  # values at once: they stay in the processor's cache


@dataclass(frozen=True, slots=True)
class Chunk:
    """Value i is `buffer[starts[i]:starts[i + 1] - 1]`; PADDING bytes follow the last. None is empty."""

    first: int  # the number of its first value
    buffer: Bytes
    starts: Integers
    too_large: Integers  # the places in it of values that are not to be read

    def __len__(self) -> int:
        return len(self.starts) - 1


def chunks(values: Sequence[bytes | None], limit: int, most: int = CHUNK) -> Iterator[Chunk]:
    """All values in order, at most so many at once; those of more than `limit` bytes are too large.

    >>> [(c.first, len(c), c.too_large.tolist()) for c in chunks([b"ab", None, b"c"], 1)]
    [(0, 3, [0])]
    """
    parts = values.parts if isinstance(values, Values) else _joined(values)
    number = 0
    for part in parts:
        for first in range(0, len(part), most):
            bounds = part.starts[first : first + most + 1]
            starts = bounds - bounds[0]
            yield Chunk(
                first=number + first,
                buffer=part.data[bounds[0] : bounds[-1] + PADDING],
                starts=starts,
                too_large=np.flatnonzero(starts[1:] - starts[:-1] > limit + 1),
            )
        number += len(part)


def _joined(values: Sequence[bytes | None]) -> Iterator[Blobs]:
    return (Blobs.of(values[first : first + CHUNK]) for first in range(0, len(values), CHUNK))
