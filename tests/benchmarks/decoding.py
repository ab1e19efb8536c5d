"""Events/s of JSON -> columns on one core, beside what parsers alone reach on the same events in the same run.

    python -m tests.benchmarks.decoding [--events N]

Ours is all of `decode`: fields checked, times, columns. The parsers make Python objects and no more, pyarrow.json makes
columns of lines that were joined before. The best of five passes, by CPU time, which neighbours disturb less.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.json as pa_json

from detectors.layouts import CategoricalLayout, Layout, NumericLayout
from stream_monitor.batches import Records
from stream_monitor.config import Config, Fields, Model
from stream_monitor.formats import decode
from stream_monitor.formats import json as json_format
from stream_monitor.plans import event_plan
from tests.benchmarks.streams import CATEGORIES, events

START = 1_700_000_000
LAYOUT = Layout(
    pane_ms=10_000,
    features={f"f{i}": NumericLayout(edges=(0.0,)) for i in range(16)}
    | {name: CategoricalLayout(categories=(f"{name[:2]}0",)) for name in CATEGORIES},
    predictions={"prediction": NumericLayout(edges=(0.5,)), "score": NumericLayout(edges=(0.5,))},
)
FIELDS = Fields(
    id="prediction_id", time="ts", version="version", features="features", prediction="prediction", score="score"
)


def pace(work: Callable[[], object], n: int) -> tuple[float, float]:
    """(CPU seconds of the best of five passes, events a second in it)."""
    work()
    best = float("inf")
    for _ in range(5):
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return best, n / best


def exact(value: bytes) -> bytes:
    """The event with numbers of 16 and 17 digits, as doubles are written that nobody rounded."""
    event = json.loads(value)
    event["features"] = {k: v / 3 if isinstance(v, float) else v for k, v in event["features"].items()}
    return json.dumps(event, separators=(",", ":")).encode()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.decoding", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    n = parser.parse_args().events
    values = list(events(n, 1, START))
    long = [exact(v) for v in values]
    plan = event_plan("m", Config(models={"m": Model(topic=("t",), task="binary", fields=FIELDS)}))
    at_ms = (START + 10**6) * 1000

    def records(of: list[bytes]) -> Records:
        return Records(values=list(of), timestamps_ms=np.full(n, START * 1000), offsets=np.arange(n, dtype=np.int64))

    short_records, long_records, lines = records(values), records(long), b"\n".join(values)
    whole = pa_json.ReadOptions(use_threads=False, block_size=len(lines) + 1)
    read = msgspec.json.Decoder().decode
    work: dict[str, Callable[[], object]] = {
        "decode_json": lambda: decode(short_records, plan, LAYOUT, at_ms),
        "decode_json_long_numbers": lambda: decode(long_records, plan, LAYOUT, at_ms),
        "decode_json_raw_layout": lambda: decode(short_records, plan, None, at_ms),
        "decode_json_plainly": lambda: json_format.plainly(short_records, plan, LAYOUT, at_ms),
        "parse_json_loads": lambda: [json.loads(v) for v in values],
        "parse_orjson": lambda: [orjson.loads(v) for v in values],
        "parse_msgspec": lambda: [read(v) for v in values],
        "parse_pyarrow": lambda: pa_json.read_json(pa.BufferReader(lines), read_options=whole),
    }
    found = {name: pace(of, n) for name, of in work.items()}
    setup = {"numeric": 16, "categorical": 4}
    ours = found["decode_json"][1]
    for name, (seconds, value) in found.items():
        line: dict[str, Any] = {"figure": name, "value": round(value), "unit": "events/s", "events": n}
        line |= {"seconds": round(seconds, 4), "cpu_seconds": round(seconds, 4)}
        if name == "decode_json":
            line["ratios"] = {k: round(ours / v, 2) for k, (_, v) in found.items() if k.startswith("parse_")}
        size = len(b"\n".join(long if "long" in name else values)) / n
        print(json.dumps(line | {"setup": {"event_bytes": round(size), **setup}}), flush=True)


if __name__ == "__main__":
    main()
