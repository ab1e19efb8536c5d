"""How bytes become columns: one format a file, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from detectors.layouts import Layout
from stream_monitor.batches import Batch, DeadLetter, LabelBatch, Records
from stream_monitor.fields import LabelPlan, Plan
from stream_monitor.formats import json

Decode = Callable[[Records, Plan, Layout | None, int], tuple[Batch, list[DeadLetter]]]
DecodeLabels = Callable[[Records, LabelPlan, int], tuple[LabelBatch, list[DeadLetter]]]

FORMATS: Final[Mapping[str, tuple[Decode, DecodeLabels]]] = {
    "json": (json.decode, json.decode_labels),
}


def decode(records: Records, plan: Plan, layout: Layout | None, at_ms: int) -> tuple[Batch, list[DeadLetter]]:
    """The valid events of `records` as columns, and the others with their reasons, both in offset order.

    `layout` None is the raw layout. `at_ms` is the block's clock: what is more than `max_future` after it is dead.
    """
    return FORMATS[plan.format][0](records, plan, layout, at_ms)


def decode_labels(records: Records, plan: LabelPlan, at_ms: int) -> tuple[LabelBatch, list[DeadLetter]]:
    """The valid label events of `records`, and the others with their reasons, both in offset order."""
    return FORMATS[plan.format][1](records, plan, at_ms)
