"""Faust: `take` of up to 1,000 events, folded event by event."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import faust
from clocks import TOPIC, Stopwatch
from stats import State, fold

brokers, limit = sys.argv[1], int(sys.argv[2])
app = faust.App(
    "faust-peer", broker=f"kafka://{brokers}", store="memory://", web_enabled=False, topic_allow_declare=False,
    consumer_auto_offset_reset="earliest", topic_disable_leader=True, worker_redirect_stdouts=False,
    consumer_max_fetch_size=4 << 20,  # with its default, 1 MiB, it got nothing of the producer's large batches
)  # fmt: skip
clock = Stopwatch()
states: dict[int, State] = {}


@app.agent(app.topic(TOPIC, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"))
async def count(stream: Any) -> None:
    async for some in stream.take(1_000, within=1.0):
        for event in map(json.loads, some):
            fold(states.setdefault(int(event["ts"]) // 10, {}), event)
        clock.add(len(some))
        if clock.events >= limit:
            clock.show()
            sys.stdout.flush()
            os._exit(0)  # a worker takes seconds to stop, which is not what is measured


app.Worker(loglevel="error").execute_from_commandline()
