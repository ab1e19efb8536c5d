"""A binary model, a layout of its columns, and its events as a batch or as merged panes."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from detectors.counts import Counts, merge
from detectors.layouts import LIMBS, CategoricalLayout, Layout, NumericLayout
from stream_monitor.config import Config, Fields, LabelFields, Labels, Model, Time, WindowSpec
from stream_monitor.counting.batches import Records
from stream_monitor.counting.plans import event_plan
from stream_monitor.entries import PaneRecord, Source
from stream_monitor.formats import decode
from stream_monitor.packing import unpack_counts

NOW = 1_700_000_000_000
SOURCE = Source("t", "id", 0, 0)
TIME = Time(out_of_orderness=1000, allowed_lateness=4000)
LAYOUT = Layout(
    pane_ms=1000,
    features={"amount": NumericLayout(edges=(0.0, 1.0, 2.5)), "country": CategoricalLayout(categories=("de", "fr"))},
    predictions={"prediction": CategoricalLayout(categories=("0", "1")), "score": NumericLayout(edges=(0.5,))},
)


def model_of(**changes: Any) -> Model:
    fields = Fields(
        id="id", time="ts", version="v", features="f", prediction="prediction", score="score", label="label"
    )
    return dataclasses.replace(
        Model(
            topic=("t",), task="binary", fields=fields, segments=("country",), window=WindowSpec(size=5000),
            labels=Labels(topic="l", fields=LabelFields(id="id", time="ts", label="y")),
        ),
        **changes,
    )  # fmt: skip


def read(model: Model, events: Iterable[Any], layout: Layout | None, first: int = 0) -> Any:
    values: list[bytes | None] = [json.dumps(e).encode() for e in events]
    n = len(values)
    records = Records(values=values, timestamps_ms=np.zeros(n, np.int64), offsets=np.arange(first, first + n))
    return decode(records, event_plan("m", Config(models={"m": model})), layout, NOW)[0]


Merged = dict[tuple[str, str, int, bool], tuple[Counts, tuple[int, int], int]]


def merged(records: Iterable[PaneRecord]) -> Merged:
    by_key: dict[tuple[str, str, int, bool], list[PaneRecord]] = defaultdict(list)
    for r in records:
        by_key[r.version, r.segment, r.start_ms, r.late > 0].append(r)
    return {
        key: (
            merge(unpack_counts(r.counts) for r in rs),
            (min(r.offsets[0] for r in rs), max(r.offsets[1] for r in rs)),
            sum(r.late for r in rs),
        )
        for key, rs in by_key.items()
    }


def total(cells: Any, first: int) -> float:
    return sum(int(d) << (32 * i) for i, d in enumerate(cells[first : first + LIMBS])) / (1 << 1074)
