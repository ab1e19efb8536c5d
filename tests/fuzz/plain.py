"""The plain way through JSON, and how its answer is compared with another's, to the last bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from detectors.layouts import Layout
from stream_monitor.counting.batches import Batch, Column, DeadLetter, Records
from stream_monitor.counting.fields import assemble
from stream_monitor.counting.plans import Plan
from stream_monitor.counting.scores import ClassScores
from stream_monitor.formats import decode
from stream_monitor.formats import json as json_format
from stream_monitor.formats.rows import DictRows

NOW = 1_700_000_000_000


def records(values: Sequence[bytes | None], first: int = 100) -> Records:
    """Records at NOW, offsets from `first` on."""
    n = len(values)
    return Records(values=list(values), timestamps_ms=np.full(n, NOW), offsets=np.arange(n, dtype=np.int64) + first)


def plainly(some: Records, plan: Plan, layout: Layout | None) -> tuple[Batch, list[DeadLetter]]:
    """What json.loads and mappings make of the records."""
    rows, index, dead = json_format.parse(some, plan, None)
    batch, refused = assemble(
        DictRows(rows, plan), plan, layout, NOW,
        index=index, timestamps_ms=some.timestamps_ms[index], offsets=some.offsets[index],
    )  # fmt: skip
    return batch, sorted(dead + refused, key=lambda d: d.index)


Plainly = Callable[[Records, Plan, Layout | None], tuple[Batch, list[DeadLetter]]]


def bits(value: Any) -> Any:
    """Something to compare, to the last bit."""
    if isinstance(value, Column):
        return [bits(getattr(value, f.name)) for f in dataclasses.fields(value)]
    if isinstance(value, ClassScores):
        return repr(list(value))
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.tobytes()
    if isinstance(value, dict):
        return {k: bits(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return [bits(v) for v in value]
    return repr(value)


def differences(some: Records, plan: Plan, layout: Layout | None, plainly: Plainly = plainly) -> list[str]:
    """In which parts of its answer `decode` differs from the plain way."""
    quick, quick_dead = decode(some, plan, layout, NOW)
    plain, plain_dead = plainly(some, plan, layout)
    found = [] if quick_dead == plain_dead else [f"dead letters: {quick_dead} instead of {plain_dead}"]
    for field in dataclasses.fields(Batch):
        of, want = bits(getattr(quick, field.name)), bits(getattr(plain, field.name))
        if of != want:
            found.append(f"{field.name}: {of} instead of {want}")
    return found
