"""Messages as mappings: the plain form of Rows, which every quicker one must agree with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import compress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stream_monitor.counting.batches import Column, Mode
from stream_monitor.counting.columns import column, safe
from stream_monitor.counting.fields import Rows
from stream_monitor.counting.plans import LabelPlan, Mask, Plan

MAX_NAMES: Final = 1000  # features of one block under the raw layout, least names first: garbage keys must not flood it


def walk(message: Any, keys: Sequence[str]) -> Any:
    """What is at the end of `keys`, None if nothing.

    >>> walk({"a": {"b": 1}}, ["a", "b"]), walk({"a": 2}, ["a", "b"])
    (1, None)
    """
    for key in keys:
        if not isinstance(message, dict):
            return None
        message = message.get(key)
    return message


def named(names: set[str]) -> list[str]:
    """Feature names of a block in order, as many as are counted."""
    return sorted(names)[:MAX_NAMES]


class DictRows:
    """Rows of mappings."""

    def __init__(
        self,
        messages: Sequence[Mapping[str, Any]],
        plan: Plan | LabelPlan | None = None,
        *,
        flat: bool = False,
        nested: bool = False,
    ) -> None:
        self.messages = messages
        self.plan = plan
        self.flat = flat
        self.nested = nested  # a flat file that has feature objects all the same: a row without one lacks its features

    def __len__(self) -> int:
        return len(self.messages)

    def has(self, path: str) -> bool:
        """Whether any row has something at `path`."""
        return any(v is not None for v in self.values(path))

    def planned(self, plan: Plan) -> DictRows:
        """The same rows, read by another plan."""
        return type(self)(self.messages, plan, flat=self.flat, nested=self.nested)

    def values(self, path: str) -> list[Any]:
        if self.flat and "." in path:
            keys = path.split(".")
            return [m[path] if path in m else walk(m, keys) for m in self.messages]
        if "." not in path:
            return [m.get(path) for m in self.messages]
        keys = path.split(".")
        return [walk(m, keys) for m in self.messages]

    @cached_property
    def objects(self) -> list[Any]:
        """The feature objects; in a flat file without any, the messages themselves."""
        assert isinstance(self.plan, Plan)
        objects = self.values(str(self.plan.features))
        if self.flat and not self.nested:
            return [m if of is None else of for m, of in zip(self.messages, objects, strict=True)]
        return objects

    def feature_state(self) -> tuple[Mask, Mask] | None:
        objects = self.objects
        if set(map(type, objects)) <= {dict}:
            return None
        missing = np.array([of is None for of in objects], np.bool_)
        return missing, ~missing & np.array([type(of) is not dict for of in objects], np.bool_)

    def feature_names(self) -> list[str]:
        assert isinstance(self.plan, Plan)
        outside = self.plan.outside if self.flat else frozenset()
        names: set[str] = set()
        for message, of in zip(self.messages, self.objects, strict=True):
            names.update(of if of is not message else (k for k in of if k not in outside))
        return named(names)

    def feature_values(self, name: str) -> list[Any]:
        assert isinstance(self.plan, Plan)
        if isinstance(self.plan.features, tuple):
            return self.values(name)
        return [of.get(name) for of in self.objects]

    def feature(self, name: str, mode: Mode) -> Column:
        return column(safe(name), self.feature_values(name), mode)

    def take(self, keep: Mask) -> DictRows:
        kept = list(compress(self.messages, keep.tolist()))
        return type(self)(kept, self.plan, flat=self.flat, nested=self.nested)


class JoinedRows:
    """Rows of several kinds as one: those of `parts` one after another, then in `order`."""

    def __init__(self, parts: Sequence[Rows], order: NDArray[np.int64]) -> None:
        self.parts = parts
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def _ordered(self, lists: Sequence[Sequence[Any]]) -> list[Any]:
        values = [v for of in lists for v in of]
        return [values[i] for i in self.order.tolist()]

    def values(self, path: str) -> list[Any]:
        return self._ordered([part.values(path) for part in self.parts])

    def feature_state(self) -> tuple[Mask, Mask] | None:
        states = [(part.feature_state(), len(part)) for part in self.parts]
        if all(state is None for state, _ in states):
            return None
        nothing = [state if state is not None else (np.zeros(n, np.bool_),) * 2 for state, n in states]
        missing, wrong = (np.concatenate([state[k] for state in nothing])[self.order] for k in (0, 1))
        return missing, wrong

    def feature_names(self) -> list[str]:
        return named({name for part in self.parts for name in part.feature_names()})

    def feature_values(self, name: str) -> list[Any]:
        return self._ordered([part.feature_values(name) for part in self.parts])

    def feature(self, name: str, mode: Mode) -> Column:
        if not self.parts:
            return column(safe(name), [], mode)
        return joined([part.feature(name, mode) for part in self.parts]).take(self.order)

    def take(self, keep: Mask) -> JoinedRows:
        return JoinedRows(self.parts, self.order[keep])


def joined(columns: Sequence[Column]) -> Column:
    """Columns of one name and mode, one after another; at least one."""
    words: dict[str, int] = {}
    codes = []
    for of in columns:
        table = np.array([words.setdefault(word, len(words)) for word in of.words] + [-1], np.int32)
        codes.append(table[of.codes])  # code -1 is the last one
    return Column(
        name=columns[0].name,
        kinds=np.concatenate([of.kinds for of in columns]),
        numbers=np.concatenate([of.numbers for of in columns]),
        codes=np.concatenate(codes),
        words=tuple(words),
    )
