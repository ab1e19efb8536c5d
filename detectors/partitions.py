"""Events by group: a stable counting sort, so that the events of a group lie one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.compiling import compiled, engine
from detectors.kernels import Integers, Positions


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Partition:
    """Each of n events in one of m groups: those of group g are `order[bounds[g]:bounds[g + 1]]`, ascending."""

    order: Positions  # int32, n
    bounds: Integers  # m + 1

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def sizes(self) -> Integers:
        """Events in each group."""
        return np.diff(self.bounds)

    @property
    def group(self) -> NDArray[np.int32]:
        """The group of each event, by event."""
        out = np.empty(len(self.order), np.int32)
        out[self.order] = np.repeat(np.arange(len(self), dtype=np.int32), self.sizes)
        return out

    def some(self, first: int, last: int) -> Partition:
        """The groups from `first` to `last`, `last` not included; of the events only theirs."""
        low, high = self.bounds[first], self.bounds[last]
        return Partition(order=self.order[low:high], bounds=self.bounds[first : last + 1] - low)


@compiled()
def _sort_loop(codes: Integers, starts: Integers, order: Positions) -> None:
    for i in range(len(codes)):
        order[starts[codes[i]]] = i
        starts[codes[i]] += 1


def _sort_numpy(codes: Integers, starts: Integers, order: Positions) -> None:
    order[:] = np.argsort(codes, kind="stable")


_sort = _sort_loop if engine() == "numba" else _sort_numpy


def partition(codes: Integers, limit: int) -> tuple[list[int], Partition]:
    """The codes that occur, ascending, and the events by code; codes are from 0 to `limit` - 1.

    >>> found, by_code = partition(np.array([7, 5, 7]), 9)
    >>> found, by_code.order.tolist(), by_code.bounds.tolist(), by_code.group.tolist()
    ([5, 7], [1, 0, 2], [0, 1, 3], [1, 0, 1])
    """
    n = len(codes)
    if limit > 4 * n + 65_536:  # few of many codes: number those that occur
        distinct, dense = np.unique(codes, return_inverse=True)
        _, found = partition(dense.astype(np.int64), len(distinct))
        return distinct.tolist(), found
    counts = np.bincount(codes, minlength=limit)
    occurring = np.flatnonzero(counts)
    bounds = np.concatenate([[0], np.cumsum(counts[occurring])])
    if n and (len(occurring) == 1 or not (codes[1:] < codes[:-1]).any()):
        return occurring.tolist(), Partition(order=np.arange(n, dtype=np.int32), bounds=bounds)
    starts, order = np.zeros(limit, np.int64), np.empty(n, np.int32)
    starts[occurring] = bounds[:-1]
    _sort(codes, starts, order)
    return occurring.tolist(), Partition(order=order, bounds=bounds)


def warm() -> None:
    """Compile, or load from the cache, everything above."""
    partition(np.array([1, 0]), 2)
