"""What it costs that many models share one topic: decoding and counting blocks of events of one model, and of many."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Final

import numpy as np

from stream_monitor.config import Config, Fields, Kafka, Model, Select
from stream_monitor.config.plain import config_id
from stream_monitor.intents import Intent
from stream_monitor.shell.warming import COUNTING
from stream_monitor.tap.counting import BlockCounting
from tests.benchmarks.memory import AT_MS, Known, event, layouts_of
from tests.benchmarks.messages import Message

MODELS: Final = (1, 250)
EVENTS: Final = 20_000  # in a block
REPEATS: Final = 5


def seconds(models: int) -> float:
    """Median CPU seconds of a block, after one that does not count."""
    layouts = layouts_of(models)
    fields, select = Fields(time="ts", features="f", prediction="p"), Select(field="model")
    config = Config(
        kafka=Kafka(brokers="x"),
        models={name: Model(topic=("t",), task="regression", fields=fields, select=select) for name in layouts},
    )
    catalog: Any = Known({of.id: of for of in layouts.values()})
    store: Any = None  # no model has labels
    named = {name: of.id for name, of in layouts.items()}
    listed = json.dumps(named).encode()
    catalog.blob = lambda _: listed
    counting = BlockCounting(
        config, catalog=catalog, label_store=store, layouts=lambda: named, publish=lambda data: "listed"
    )
    r = np.random.default_rng(0)
    messages = [Message(at, event(r, model=f"m{at % models}")) for at in range(EVENTS)]
    intent = Intent(
        topic_id="id", epoch=0, n=1, from_=0, to=EVENTS, at_ms=AT_MS, max_event_ms=None, active_ms=AT_MS,
        partitions=1, partitions_first=1, part_bytes=800_000, config=config_id(config), layouts=counting.layouts("t"),
    )  # fmt: skip
    taken = []
    for _ in range(1 + REPEATS):
        began = time.process_time()
        counted = counting.count(intent, ("t", 0), messages)
        taken.append(time.process_time() - began)
        assert counted.events == dict.fromkeys(layouts, EVENTS // models)
    return float(np.median(taken[1:]))


def measure() -> list[dict[str, float]]:
    """Events a second by how many models there are."""
    for module in COUNTING:
        module.warm()
    return [{"models": models, "events": EVENTS, "per_second": EVENTS / seconds(models)} for models in MODELS]


if __name__ == "__main__":
    json.dump(measure(), sys.stdout)
