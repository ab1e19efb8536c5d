"""JSON."""

from __future__ import annotations

from detectors.layouts import Layout
from stream_monitor.batches import Batch, DeadLetter, LabelBatch, Records
from stream_monitor.fields import LabelPlan, Plan


def decode(records: Records, plan: Plan, layout: Layout | None, at_ms: int) -> tuple[Batch, list[DeadLetter]]:
    raise NotImplementedError


def decode_labels(records: Records, plan: LabelPlan, at_ms: int) -> tuple[LabelBatch, list[DeadLetter]]:
    raise NotImplementedError
