"""Bytewax: a fold over tumbling windows of a second, one worker."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators import windowing as win
from bytewax.testing import TestingSink, run_main
from clocks import TOPIC, Stopwatch
from stats import State, fold

clock = Stopwatch()
out: list[Any] = []


def read(message: Any) -> Any:
    clock.add(1)
    return orjson.loads(message.value)


def merge(a: State, b: State) -> State:
    raise NotImplementedError("tumbling windows of one clock never merge")


flow = Dataflow("peer")
source = KafkaSource([sys.argv[1]], [TOPIC], tail=False, batch_size=1_000)
keyed = op.key_on("key", op.map("read", op.input("in", flow, source), read), lambda _: "all")
windower = win.TumblingWindower(length=timedelta(seconds=1), align_to=datetime(2024, 1, 1, tzinfo=UTC))
windows = win.fold_window("fold", keyed, win.SystemClock(), windower, dict, fold, merge)
op.output("out", windows.down, TestingSink(out))
run_main(flow)
assert out
clock.show()
