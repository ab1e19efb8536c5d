"""Lines of a JSONL file as a tap reads records, many at once, where that gives what reading them one by one gives.

They differ where a key that holds dots is one of the plan's paths, as a flat file takes it before the path is walked,
and where no line has a feature object, as then every other key of a flat file is a feature. Such lines, and those of
whom nobody knows yet, are read one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from detectors.layouts import Layout
from stream_monitor.config import Config, Fields, Model, Select
from stream_monitor.counting.batches import Batch, DeadLetter, Integers, Records
from stream_monitor.counting.plans import FUTURE_FREE, Mask, Plan, event_plan
from stream_monitor.errors import InvalidRecord
from stream_monitor.formats.json import decode, loads
from stream_monitor.formats.rows import DictRows

Values = Sequence[bytes | None]


@dataclass(frozen=True, slots=True)
class Lines:
    """Some lines, and how they are read."""

    lines: Values
    plan: Plan
    timed: Plan  # reads their times only

    def __len__(self) -> int:
        return len(self.lines)

    def times(self) -> tuple[Integers, Mask]:
        """(epoch ms, which of them are good), as of `parse_times`."""
        found, _ = decode(self._records(np.arange(len(self))), self.timed, None, FUTURE_FREE)
        times, good = np.zeros(len(self), np.int64), np.zeros(len(self), np.bool_)
        times[found.offsets], good[found.offsets] = found.times_ms, True
        return times, good

    def batch(self, layout: Layout | None, at_ms: int, numbers: Integers) -> tuple[Batch, list[DeadLetter]]:
        """Their events, and the others with reasons; `numbers` are those of the lines."""
        return decode(self._records(numbers), self.plan, layout, at_ms)

    def take(self, keep: Mask) -> Lines:
        """Some of them."""
        return replace(self, lines=list(compress(self.lines, keep.tolist())))

    def _records(self, numbers: Integers) -> Records:
        return Records(values=self.lines, timestamps_ms=np.full(len(self), -1), offsets=numbers)


class Tapped:
    """Reads pieces of a file of events as a tap would, those that it can."""

    @classmethod
    def of(cls, plan: Plan, select: Select | None) -> Tapped | None:
        """For the plan of a flat file. None where its events have no time of their own, or are selected by a field."""
        return None if not plan.model.fields.time or (select is not None and select.field) else cls(plan)

    def __init__(self, plan: Plan) -> None:
        self._flat = plan
        self._plan = replace(plan, flat=False, cache={})
        timed = Model(topic=("t",), fields=Fields(time=plan.model.fields.time))
        self._timed = replace(event_plan("", Config(models={"": timed})), max_event=plan.max_event)
        fields, features = plan.model.fields, plan.features
        paths = {fields.id, fields.time, fields.version, fields.prediction, fields.score, fields.label}
        paths |= {fields.latency_ms, *plan.model.segments, *([features] if isinstance(features, str) else features)}
        self._dotted = [f'"{path}"'.encode() for path in sorted(paths) if "." in path]

    def read(self, lines: Values, *, nested: bool) -> Lines | None:
        """A piece; None: it is to be read line by line. `nested`: a line before it had a feature object."""
        if isinstance(self._flat.features, str) and not (nested or self._begins_nested(lines[0])):
            return None
        if self._dotted:
            joined = b"\n".join(line or b"" for line in lines)
            if b"\\" in joined or any(key in joined for key in self._dotted):  # with escapes it can be any key
                return None
        return Lines(lines, self._plan, self._timed)

    def _begins_nested(self, line: bytes | None) -> bool:
        try:
            rows = DictRows([loads(line or b"")], self._flat, flat=True)
        except InvalidRecord:
            return False
        return isinstance(rows.values(str(self._flat.features))[0], dict)
