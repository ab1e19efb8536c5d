"""Which events are refused, and why: what must be there, and of what kind it may be.

Formats that make values ask `impossible` of them, those that make columns at once ask `allowed` of their kinds; both
look into the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from stream_monitor.counting.batches import BOOL, MISSING, NONFINITE, NUMBER, TEXT, DeadLetter, Integers
from stream_monitor.counting.columns import safe
from stream_monitor.counting.plans import LabelPlan, Mask, Plan
from stream_monitor.counting.times import parse_times

NEEDED: Final = ("id", "time", "version", "prediction")  # must be there and not null, in the order of complaint

_NUMERIC: Final = frozenset({NUMBER, NONFINITE})
_SCALAR: Final = _NUMERIC | {TEXT, BOOL}
_KINDS: Final[Mapping[str, frozenset[int]]] = {
    "id": _NUMERIC | {TEXT},
    "time": frozenset({NUMBER, TEXT}),  # what may be one; times.py decides
    "version": _SCALAR,
    "prediction": _SCALAR,
    "score": _NUMERIC | {MISSING},
}
_TYPES: Final[Mapping[int, frozenset[type]]] = {
    NUMBER: frozenset({int, float}),
    NONFINITE: frozenset({int, float}),
    TEXT: frozenset({str}),
    BOOL: frozenset({bool}),
}


def allowed(role: str, task: str) -> frozenset[int]:
    """The kinds that the value of a role may have; MISSING where it may be absent. (Scores of classes: `bad_scores`.)

    >>> sorted(allowed("prediction", "regression")) == sorted({NUMBER, NONFINITE})
    True
    """
    return _NUMERIC if role == "prediction" and task == "regression" else _KINDS[role]


def impossible(role: str, task: str, values: Sequence[Any]) -> list[bool] | None:
    """Which values cannot be what they stand for, None when all can. None itself is judged elsewhere."""
    if role == "score" and task == "multiclass":
        return None if set(map(type, values)) <= {int, float} else [bad_scores(v) for v in values]
    types = frozenset[type]().union(*(_TYPES.get(kind, frozenset()) for kind in allowed(role, task)))
    if set(map(type, values)) <= types:
        return None
    return [v is not None and type(v) not in types for v in values]


def bad_scores(value: Any) -> bool:
    """Whether a multiclass score is neither a number nor a list or an object of numbers.

    >>> bad_scores({"a": 0.5}), bad_scores([1, "x"]), bad_scores(None)
    (False, True, False)
    """
    if type(value) is dict:
        value = list(value.values())
    if type(value) is list:
        return not set(map(type, value)) <= {int, float}
    return value is not None and type(value) not in (int, float)


class Refusals:
    """Which rows are refused, and why: the first reason stays."""

    def __init__(self, rows: int) -> None:
        self.reasons: dict[int, tuple[str, str]] = {}
        self.keep = np.ones(rows, np.bool_)

    def add(self, mask: Sequence[bool] | Mask, reason: str, detail: Callable[[int], str]) -> None:
        """Refuse the rows of the mask; `detail` says why of each."""
        for row in np.flatnonzero(np.asarray(mask)).tolist():
            self.reasons.setdefault(row, (reason, detail(row)))
            self.keep[row] = False

    def missing(self, path: str, values: Sequence[Any]) -> None:
        """Refuse the rows that have nothing at `path`."""
        if None in values:
            self.add([v is None for v in values], "missing_field", lambda _: path)

    def wrong(self, role: str, task: str, path: str, values: Sequence[Any]) -> None:
        """Refuse the rows whose value at `path` cannot be what it stands for."""
        if (bad := impossible(role, task, values)) is not None:
            self.add(bad, "wrong_type", _value_detail(path, values))

    def times(
        self, values: Sequence[Any] | None, path: str, timestamps_ms: Integers, at_ms: int, plan: Plan | LabelPlan
    ) -> Integers:
        """Event times; those that are no time or too far ahead are refused."""
        if values is None:
            times_ms, good = timestamps_ms, timestamps_ms >= 0
            self.add(~good, "bad_time", lambda _: "the record has no timestamp")
        else:
            times_ms, good = parse_times(values)
            if not good.all():
                self.add(~good, "bad_time", _value_detail(path, values))
        future = times_ms > at_ms + plan.max_future_ms
        if future.any():
            self.add(future, "future_time", lambda row: f"{path}: {int(times_ms[row]) - at_ms} ms ahead")
        return times_ms

    def letters(self, index: Sequence[int]) -> list[DeadLetter]:
        """A dead letter for each refused row; `index` says which record it came from."""
        return [DeadLetter(index[row], *why) for row, why in self.reasons.items()]


def _value_detail(path: str, values: Sequence[Any]) -> Callable[[int], str]:
    return lambda row: f"{path}: {_shown(values[row])}"


def _shown(value: object) -> str:
    text = safe(repr(value))
    return text if len(text) <= 80 else text[:77] + "..."
