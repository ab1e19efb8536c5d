"""What 1,000 models of 50 columns take in one tap: everything that counting keeps, after blocks of all of them."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

import numpy as np
import psutil

from detectors import learning
from detectors.layouts import CategoricalLayout, Layout, NumericLayout
from stream_monitor.config import Config, Fields, Kafka, Model
from stream_monitor.config.plain import config_id
from stream_monitor.intents import Intent
from stream_monitor.tap.counting import BlockCounting
from tests.benchmarks.messages import Message

MODELS: Final = 1_000
NUMERIC, CATEGORICAL = 40, 10
EVENTS: Final = 200  # of each model in a block
AT_MS: Final = 1_700_000_000_000
ROUNDS: Final = 2


def layouts_of(models: int) -> dict[str, Layout]:
    """As learnt, and all different: every model has edges of its own."""
    r = np.random.default_rng(1)
    learnt = [learning.numeric(r.normal(size=2_000)).edges for _ in range(NUMERIC)]
    words = {f"c{j}": CategoricalLayout(categories=tuple(f"w{k}" for k in range(20))) for j in range(CATEGORICAL)}
    found = {}
    for i in range(models):
        numbers = {f"f{j}": NumericLayout(edges=tuple(e + i / 1e6 for e in of)) for j, of in enumerate(learnt)}
        predictions = {"prediction": NumericLayout(edges=tuple(e + i / 1e6 for e in learnt[0]))}
        found[f"m{i}"] = Layout(pane_ms=10_000, features={**numbers, **words}, predictions=predictions)
    return found


class Known:
    """Layouts only: nothing else is asked of it here."""

    def __init__(self, layouts: dict[str, Layout]) -> None:
        self._layouts = layouts

    def layout(self, id: str) -> Layout:
        return self._layouts[id]


def measure() -> dict[str, Any]:
    """Resident bytes before and after."""
    before = psutil.Process().memory_info().rss
    fields = Fields(time="ts", features="f", prediction="p")
    config = Config(
        kafka=Kafka(brokers="x"),
        models={f"m{i}": Model(topic=(f"t{i}",), task="regression", fields=fields) for i in range(MODELS)},
    )
    layouts = layouts_of(MODELS)
    catalog: Any = Known({of.id: of for of in layouts.values()})
    store: Any = None  # no model has labels
    counting = BlockCounting(
        config,
        catalog=catalog,
        label_store=store,
        layouts=lambda: {name: of.id for name, of in layouts.items()},
        publish=lambda data: "",
    )
    r, named = np.random.default_rng(0), config_id(config)
    rows = 0
    for _ in range(ROUNDS):
        bodies = [event(r) for _ in range(EVENTS)]
        for i in range(MODELS):
            messages = [Message(at, body) for at, body in enumerate(bodies)]
            intent = Intent(
                topic_id="id", epoch=0, n=1, from_=0, to=EVENTS, at_ms=AT_MS, max_event_ms=None, active_ms=AT_MS,
                partitions=1, partitions_first=1, part_bytes=800_000, config=named,
                layouts={f"m{i}": layouts[f"m{i}"].id},
            )  # fmt: skip
            counted = counting.count(intent, (f"t{i}", 0), messages)
            rows += sum(counted.events.values())
    assert rows == ROUNDS * MODELS * EVENTS
    return {"before": before, "after": psutil.Process().memory_info().rss, "models": MODELS, "events": rows}


def event(r: np.random.Generator, **others: str) -> bytes:
    """One event with all columns, and `others` beside them."""
    features: dict[str, Any] = {f"f{j}": x for j, x in enumerate(r.normal(size=NUMERIC).round(6).tolist())}
    features |= {f"c{j}": f"w{k}" for j, k in enumerate(r.integers(20, size=CATEGORICAL).tolist())}
    return json.dumps({"ts": AT_MS - 1000, "f": features, "p": 0.5, **others}).encode()


if __name__ == "__main__":
    json.dump(measure(), sys.stdout)
