"""Quix Streams: an update per event, its state in memory, one process."""

from __future__ import annotations

import sys
from typing import Any

from clocks import TOPIC, Stopwatch
from quixstreams import Application
from stats import State, fold

clock = Stopwatch()
states: dict[int, State] = {}


def update(event: dict[str, Any]) -> None:
    fold(states.setdefault(int(event["ts"]) // 10, {}), event)
    clock.add(1)


app = Application(broker_address=sys.argv[1], consumer_group="quix", auto_offset_reset="earliest", loglevel="ERROR")
app.dataframe(app.topic(TOPIC, value_deserializer="json")).update(update)
app.run(count=int(sys.argv[2]), timeout=60.0)
clock.show()
