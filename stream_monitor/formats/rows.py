"""Messages as mappings: the plain form of Rows, which every quicker one must agree with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any, Final

import numpy as np

from stream_monitor.batches import Column, Mode
from stream_monitor.columns import column, safe
from stream_monitor.fields import Mask, Plan

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

    def __init__(self, messages: Sequence[Mapping[str, Any]], plan: Plan | None = None, *, flat: bool = False) -> None:
        self.messages = messages
        self.plan = plan
        self.flat = flat

    def __len__(self) -> int:
        return len(self.messages)

    def has(self, path: str) -> bool:
        """Whether any row has something at `path`."""
        return any(v is not None for v in self.values(path))

    def planned(self, plan: Plan) -> DictRows:
        """The same rows, read by another plan."""
        return DictRows(self.messages, plan, flat=self.flat)

    def values(self, path: str) -> list[Any]:
        if self.flat and "." in path:
            keys = path.split(".")
            return [m[path] if path in m else walk(m, keys) for m in self.messages]
        if "." not in path:
            return [m.get(path) for m in self.messages]
        keys = path.split(".")
        return [walk(m, keys) for m in self.messages]

    def _objects(self) -> list[Any]:
        """The feature objects; in a flat file without one, the message itself."""
        assert self.plan is not None
        objects = self.values(str(self.plan.features))
        if self.flat:
            return [m if of is None else of for m, of in zip(self.messages, objects, strict=True)]
        return objects

    def feature_state(self) -> tuple[Mask, Mask] | None:
        objects = self._objects()
        if set(map(type, objects)) <= {dict}:
            return None
        missing = np.array([of is None for of in objects], np.bool_)
        return missing, ~missing & np.array([type(of) is not dict for of in objects], np.bool_)

    def feature_names(self) -> list[str]:
        assert self.plan is not None
        outside = self.plan.outside if self.flat else frozenset()
        names: set[str] = set()
        for message, of in zip(self.messages, self._objects(), strict=True):
            names.update(of if of is not message else (k for k in of if k not in outside))
        return named(names)

    def feature_values(self, name: str) -> list[Any]:
        assert self.plan is not None
        if isinstance(self.plan.features, tuple):
            return self.values(name)
        return [of.get(name) for of in self._objects()]

    def feature(self, name: str, mode: Mode) -> Column:
        return column(safe(name), self.feature_values(name), mode)

    def take(self, keep: Mask) -> DictRows:
        return DictRows(list(compress(self.messages, keep.tolist())), self.plan, flat=self.flat)
