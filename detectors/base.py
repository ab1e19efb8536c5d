"""The words that metrics and detectors share.

A metric is a pure number read from a window (and its reference); a detector judges the series of a metric's values.
Measuring and deciding are kept apart: no metric knows a threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal, Protocol

Group = Literal["drift", "performance", "quality", "stream", "fairness"]
Worse = Literal["above", "below", "both"]
Reads = Literal["values", "rates", "errors"]
Needs = Literal["column", "outcome", "window", "segments", "scan", "stream", "joint", "family"]
Counted = Literal["", "order", "ids", "keys", "schemas", "gaps", "delays", "latencies"]


class Level(IntEnum):
    """How bad a verdict is. UNKNOWN (too little data) is never a pass.

    >>> [level.label for level in sorted(Level)]
    ['unknown', 'ok', 'warning', 'drift']
    """

    UNKNOWN = -1
    OK = 0
    WARNING = 1
    DRIFT = 2

    @property
    def label(self) -> str:
        """The name used in messages and in the API."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A row of the table METRICS: a pure function with what the pipeline must know to call it.

    `function` takes, by `needs`: column -> (window: ColumnCounts, reference: ColumnCounts); outcome ->
    (OutcomeCounts,); window -> (rows in the window, mean rows of a reference window); segments -> (a sequence of
    OutcomeCounts, one per segment of a dimension,); stream -> (window: StreamCounts, reference: StreamCounts);
    joint -> (window: JointCounts, reference: JointCounts); family -> (window: FamilyCounts, reference: FamilyCounts).
    It returns nan where the value is undefined.

    `p_value` takes what `function` takes. `noise(reference, rows, p)` is the interval that the metric of a window of
    `rows` independent events (outcome: labelled events) of the reference's own distribution leaves with probability p
    at each end; -inf or inf where it has no end. `interval(what function takes, p)` is where the true value lies but
    for probability p at each end, as far as the window alone tells. `limits` are the least and greatest possible
    values.

    `otherwise` is the threshold where neither the configuration states one nor the reference knows one; without `noise`
    the reference is not asked. `counted`: which stream cells are counted only because a monitor asks for them.
    `events(what function takes)`, of metrics that are shares of single events: how many there were, and how many were
    for the worse. `empty_tells`: windows without events have a value, too. `lawful`: `noise` is the law of the values
    of independent events and no mere bound, so that a reference which keeps to it is judged by it (laws.py), and only
    there has its p-value a meaning.
    """

    name: str
    group: Group
    needs: Needs
    kinds: tuple[str, ...]  # column kinds it can read, of ("numeric", "categorical"); family: the one kind of columns
    worse: Worse
    function: Callable[..., float]
    tasks: tuple[str, ...] = ()  # outcome metrics: the tasks they are defined for
    reference_free: bool = False  # column and stream metrics that ignore the reference
    only: tuple[str, ...] = ()  # column metrics: the columns they are about; () for all
    p_value: Callable[..., float] | None = None
    noise: Callable[..., tuple[float, float]] | None = None
    interval: Callable[..., tuple[float, float]] | None = None
    limits: tuple[float, float] = (float("-inf"), float("inf"))
    otherwise: float | None = None
    counted: Counted = ""
    empty_tells: bool = False
    lawful: bool = False
    events: Callable[..., tuple[int, int]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a detector says of one value."""

    level: Level
    reason: str
    threshold: float | None = None
    direction: Literal["above", "below"] | None = None
    onset: int | None = None  # how many updates ago the change is estimated to have begun


class Detector(Protocol):
    """Judges a series, one value at a time. A frozen dataclass of parameters; all memory is in the state it returns.

    The state is JSON-able and bounded: its size does not grow with the number of updates, and the docstring says how
    many numbers it may hold (`State: at most 11 + window numbers.`). A wrong parameter is a
    ValueError at construction. A detector with `limits`, the parameters that a budget stands for, has the class method
    `calibrated(values, *, worse, windows_between_false_alarms, share, **parameters)`, which learns what is not stated
    from the reference's series, and may have `prime(values)`, the state that has seen it; see change/machines.py.
    `reads`: "values" of any metric, "rates" between 0 and 1, or "errors", single ones; of metrics that are shares of
    events the last two are shown each event (change/single_errors.py).
    """

    def start(self) -> Mapping[str, Any]:
        """Return the state before the first value."""

    def update(self, state: Mapping[str, Any], value: float) -> tuple[Mapping[str, Any], Judgement]:
        """Judge one finite value; return the next state. `state` is not changed."""
