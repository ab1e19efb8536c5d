"""One functional of the counts of a pane, and a sparse matrix of many in the making."""

from __future__ import annotations

from dataclasses import dataclass
from sys import intern
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Kind = Literal["score", "share"]  # share: the events that have something; score: a sum of scores of mean 0

GROUPS: Final = (
    "location",
    "joint",
    "shape",
    "bins",
    "tails",
    "strays",
    "categories",
    "quality",
    "dependence",
    "labels",
    "segments",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One functional: `words` say what it is of `columns`; `per` is what its sums are divided by."""

    group: str
    columns: tuple[str, ...]
    words: str
    kind: Kind
    per: Literal["rows", "labels"] = "rows"
    unit: float = 1.0  # score: variance of one event in the reference; share: unused; nan: not known
    third: float = 0.0  # third and fourth cumulant of one event's standardised score
    fourth: float = 0.0
    least: float = 0.0  # score: what its unknown variance is at least
    unseen: float = 0.0  # share: events to add to those of the reference, for what it happened not to see
    error: float = 1.0  # share: by how much the variance of the reference's share is greater than of counted events
    size: int = -1  # the report that says its size in the column's units, -1: in its own

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", intern(self.words))  # of a few kinds, in thousands of components

    @property
    def name(self) -> str:
        """In words, without a direction.

        >>> Component(group="bins", columns=("f1", "f2"), words="dependence", kind="score").name
        'f1 x f2: dependence'
        """
        return f"{' x '.join(self.columns)}: {self.words}"


class Rows:
    """A sparse matrix in the making."""

    def __init__(self, only: frozenset[str] | None = None) -> None:
        self.only = only
        self.of: list[Component] = []
        self.row: list[NDArray[np.int64]] = []
        self.cell: list[NDArray[np.int64]] = []
        self.weight: list[Floats] = []
        self.count = 0
        self.shared: list[tuple[NDArray[np.int64], Floats]] = []  # sums of cells that several components use
        self._about: dict[str, tuple[str]] = {}
        self.mixed: list[tuple[int, NDArray[np.int64], Floats]] = []  # component, which shared sums, weights

    def about(self, column: str) -> tuple[str]:
        """The columns of a component of one column, the same object for all of them."""
        return self._about.setdefault(column, (column,))

    def put(self, cells: NDArray[np.int64], weights: Floats) -> int:
        some = weights != 0
        self.cell.append(cells[some])
        self.weight.append(weights[some])
        self.row.append(np.full(int(some.sum()), self.count))
        self.count += 1
        return self.count - 1

    def add(self, component: Component, cells: NDArray[np.int64], weights: Floats) -> None:
        if self.wants(component.group):
            self.put(cells, weights)
            self.of.append(component)

    def wants(self, group: str) -> bool:
        return self.only is None or group in self.only
