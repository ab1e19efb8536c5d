"""The stages of a tap one by one, in this process, on the events of the benchmark."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stream_monitor.blobs import Blobs, Values
from stream_monitor.config import Config, Fields, Model, Reference, Time, WindowSpec
from stream_monitor.counting.batches import Records
from stream_monitor.counting.panes import count_block
from stream_monitor.counting.plans import event_plan
from stream_monitor.formats import decode
from stream_monitor.judging.references import prepare
from stream_monitor.shell.warming import COUNTING
from tests.benchmarks.streams import EVENT_RATE, events

EVENTS = 60_000
PART = 3_000  # events of a partition in one read, about


def _seconds(what: Callable[[], Any], times: int = 5) -> float:
    """Median CPU seconds, after one run that does not count."""
    what()
    taken = []
    for _ in range(times):
        begin = time.process_time()
        what()
        taken.append(time.process_time() - begin)
    return float(np.median(taken))


def stages(folder: Path) -> dict[str, float]:
    """CPU seconds an event of decoding, and of counting without and with a dimension of ten segments."""
    for module in COUNTING:
        module.warm()
    start = time.time() - EVENTS / EVENT_RATE
    (folder / "reference.jsonl").write_bytes(b"".join(e + b"\n" for e in events(5_000, 2, start - 86_400)))
    fields = Fields(
        id="prediction_id", time="ts", version="version", features="features", prediction="prediction", score="score"
    )
    model = Model(
        topic=("t",), task="binary", fields=fields, pane=10_000, window=WindowSpec(size=60_000),
        reference=Reference(file="reference.jsonl"),
    )  # fmt: skip
    layout = prepare("bench", model, folder).layout
    values = list(events(EVENTS, 1, start))
    parts = [Blobs.of(values[i : i + PART]) for i in range(0, EVENTS, PART)]  # as a tap has them
    records = Records(values=Values(parts), timestamps_ms=np.full(EVENTS, -1), offsets=np.arange(EVENTS))
    at_ms = int(time.time() * 1000) + 60_000
    out: dict[str, float] = {}
    for figure, segments in (("counting", ()), ("counting_segments", ("country",))):
        of = replace(model, segments=segments)
        plan = event_plan("bench", Config(models={"bench": of}))

        def read(plan: Any = plan) -> Any:
            return decode(records, plan, layout, at_ms)

        batch, dead = read()
        assert (len(batch), len(dead)) == (EVENTS, 0)

        def count(batch: Any = batch, of: Model = of) -> Any:
            return count_block(batch, layout, "bench", of, Time(), None)

        if not segments:
            out["decode"] = _seconds(read) / EVENTS
        out[figure] = _seconds(count) / EVENTS
    return out


if __name__ == "__main__":
    print(json.dumps(stages(Path(sys.argv[1]))))
