"""Events that every format can write, a model of them and a layout, and what is counted of them."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from connectors.memory_schemas import MemorySchemas
from detectors.layouts import CategoricalLayout, Layout, NumericLayout
from stream_monitor.config import Config, Fields, Format, LabelFields, Labels, Model, Time
from stream_monitor.counting.batches import positions
from stream_monitor.counting.panes import count_block
from stream_monitor.counting.plans import event_plan
from stream_monitor.entries import Source
from stream_monitor.formats import decode
from tests.counting.writers import NOW, Event, records

MODEL = Model(
    topic=("t",),
    task="binary",
    fields=Fields(
        id="id", time="ts", version="model.version", features="f", prediction="y", score="s", latency_ms="took"
    ),
    labels=Labels(topic="l", fields=LabelFields(id="id", time="ts", label="y")),
    columns={"amount": "numeric", "n": "numeric", "country": "categorical", "note": "text"},
    segments=("country",),
    pane=10_000,
)
LAYOUT = Layout(
    pane_ms=10_000,
    features={
        "amount": NumericLayout(edges=(-1.0, 0.0, 1.0)),
        "n": NumericLayout(edges=(0.0, 1e9)),
        "country": CategoricalLayout(categories=("de", "ünï", "07")),
        "note": NumericLayout(edges=(1.0, 5.0)),
    },
    predictions={"y": NumericLayout(edges=(0.5,)), "s": NumericLayout(edges=(0.5,))},
)


def model_of(format: str, **options: Any) -> Model:
    of = Format(name=format, **options)
    assert MODEL.labels is not None
    return dataclasses.replace(MODEL, format=of, labels=dataclasses.replace(MODEL.labels, format=of))


Counted = tuple[Counter[Any], list[str]]


def counted(format: str, values: Sequence[bytes | None], layout: Layout | None = LAYOUT, **options: Any) -> Counted:
    """What is counted, and the reasons of dead letters in order."""
    model = model_of(format, **options)
    some = records(values)
    batch, dead = decode(some, event_plan("m", Config(models={"m": model}), schemas=MemorySchemas()), layout, NOW)
    block = count_block(batch, layout, "m", model, Time(), None)
    where = positions(Source("t", "id", 0, 0), batch.offsets, batch.places)
    assert len(set(where)) == len(batch)  # no two events stand in one place
    assert where == sorted(where, key=lambda p: [int(n) for n in p.rpartition("/")[2].split(":")])
    assert [d.index for d in dead] == sorted({d.index for d in dead})  # a record is one dead letter at most
    return Counter((p.version, p.segment, p.start_ms, p.late, p.counts) for p in block.panes), [d.reason for d in dead]


def some_events(n: int = 60, seed: int = 1) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [
        {
            "id": f"id-{i}",
            "ts": NOW - rng.randrange(20_000),
            "model": {"version": rng.choice(["1", "2.0", "v3"])},
            "f": {
                "amount": rng.choice([None, 0.1, -2.5, 1e300, rng.gauss(0, 1)]),
                "n": rng.choice([None, 0, 2**53 + 1, -7, 2**40]),
                "country": rng.choice([None, "de", "ünï", "07", "a, b", 'a "quoted" one', "two\nlines"]),
                "note": rng.choice([None, "x", "a longer note", "😀"]),
            },
            "y": rng.randrange(2),
            "s": rng.choice([None, 0.25, 0.75]),
            "took": rng.choice([None, 12.5]),
        }
        for i in range(n)
    ]


def without(event: Event, *path: str) -> dict[str, Any]:
    out = dict(event)
    if len(path) > 1:
        out[path[0]] = without(out[path[0]], *path[1:])
    else:
        del out[path[0]]
    return out


EVENT: dict[str, Any] = {**some_events(1)[0], "s": 0.5}
