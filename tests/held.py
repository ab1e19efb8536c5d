"""Bytes of memory that an object holds, by walking over all that it refers to."""

from __future__ import annotations

import gc
import sys
from types import FunctionType, ModuleType
from typing import Any

from stream_monitor.shelves import Shelf

_SHARED = (type, ModuleType, FunctionType, Shelf)


def held_bytes(*objects: Any) -> int:
    """Of everything that can be reached, once each; not of classes, code and files."""
    seen: set[int] = set()
    waiting, total = list(objects), 0
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, _SHARED):
            continue
        seen.add(id(found))
        total += sys.getsizeof(found)
        waiting += gc.get_referents(found)
    return total
