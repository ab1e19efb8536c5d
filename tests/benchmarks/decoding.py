"""Events/s of JSON, Avro and Protobuf -> columns on one core, and what parsers reach on the same events in that run.

    python -m tests.benchmarks.decoding [--events N] [--only TEXT]

Ours is all of `decode`: fields checked, times, columns; `count` is what comes after it. The parsers make Python objects
and no more, pyarrow.json makes columns of lines that were joined before. The best of five passes, by CPU time, which
neighbours disturb less.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.json as pa_json
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass

from connectors.memory_schemas import MemorySchemas
from detectors.layouts import CategoricalLayout, Layout, NumericLayout
from stream_monitor.config import Config, Fields, Model, Time
from stream_monitor.counting.batches import Records
from stream_monitor.counting.panes import count_block
from stream_monitor.counting.plans import Plan, event_plan
from stream_monitor.formats import avro as avro_format
from stream_monitor.formats import decode
from stream_monitor.formats import json as json_format
from stream_monitor.formats import protobuf as protobuf_format
from stream_monitor.formats.framing import plainly, readers_of
from stream_monitor.formats.protobuf_schemas import file_of, message_type
from stream_monitor.interfaces import Schema
from tests.benchmarks.streams import CATEGORIES, events
from tests.registry.makers import REGISTRY, avro, avro_schema, frame, record

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


def avro_values(of: list[bytes], schemas: MemorySchemas) -> list[bytes]:
    """The events as Avro records behind their schema's id."""
    features = record(*((f"f{i}", "double") for i in range(16)), *((c, "string") for c in CATEGORIES), name="F")
    schema = record(
        ("prediction_id", "string"), ("ts", "double"), ("model", "string"), ("version", "string"),
        ("features", features), ("prediction", "int"), ("score", ["null", "double"]),
    )  # fmt: skip
    id = avro_schema(schemas, schema)
    return [avro(id, schema, json.loads(value)) for value in of]


def protobuf_values(of: list[bytes], schemas: MemorySchemas) -> list[bytes]:
    """The events as Protobuf messages behind their schema's id."""
    numbers = " ".join(f"double f{i} = {i + 1};" for i in range(16))
    words = " ".join(f"string {name} = {i + 17};" for i, name in enumerate(CATEGORIES))
    schema = Schema(
        kind="protobuf",
        text=f"""
        syntax = "proto3"; message Event {{ string prediction_id = 1; double ts = 2; string model = 3;
        string version = 4; Features features = 5; int32 prediction = 6; optional double score = 7; }}
        message Features {{ {numbers} {words} }}""",
    )
    id, make = schemas.register(schema), GetMessageClass(message_type(file_of(schema), (0,)))
    return [frame(id, b"\x00" + ParseDict(json.loads(value), make()).SerializeToString()) for value in of]


def with_classes(value: bytes) -> bytes:
    """The event with a score for each of ten classes."""
    event = json.loads(value)
    return json.dumps({**event, "score": [event["score"] / (k + 1) for k in range(10)]}, separators=(",", ":")).encode()


def with_vector(value: bytes) -> bytes:
    """The event with an embedding of 64 numbers."""
    event = json.loads(value)
    event["features"]["v"] = [event["features"]["f0"] / (k + 3) for k in range(64)]
    return json.dumps(event, separators=(",", ":")).encode()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.decoding", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--only", default="", metavar="TEXT", help="figures whose name has it")
    options = parser.parse_args()
    n: int = options.events
    values = list(events(n, 1, START))
    long = [exact(v) for v in values]
    schemas = MemorySchemas()

    def plan_of(format: str, **more: Any) -> Plan:
        model = replace(Model(topic=("t",), task="binary", fields=FIELDS, format=format), **more)
        return event_plan("m", Config(models={"m": model}, kafka=REGISTRY), schemas=schemas)

    plan, avro_plan, protobuf_plan = plan_of("json"), plan_of("avro"), plan_of("protobuf")
    classes_plan, vector_plan = plan_of("json", task="multiclass"), plan_of("json", columns={"v": "embedding"})
    at_ms = (START + 10**6) * 1000

    def records(of: list[bytes]) -> Records:
        return Records(values=list(of), timestamps_ms=np.full(n, START * 1000), offsets=np.arange(n, dtype=np.int64))

    short_records, long_records, lines = records(values), records(long), b"\n".join(values)
    avros, protobufs = records(avro_values(values, schemas)), records(protobuf_values(values, schemas))
    classes, vectors = records([with_classes(v) for v in values]), records([with_vector(v) for v in values])
    sizes: dict[str, Sequence[bytes | None]] = {
        "avro": avros.values, "protobuf": protobufs.values, "long": long, "classes": classes.values,
        "embedding": vectors.values,
    }  # fmt: skip
    avro_readers = readers_of(avro_plan, "avro", avro_format.compile_schema)
    protobuf_readers = readers_of(protobuf_plan, "protobuf", protobuf_format.compile_schema)
    decoded = decode(short_records, plan, None, at_ms)[0], decode(vectors, vector_plan, None, at_ms)[0]
    whole = pa_json.ReadOptions(use_threads=False, block_size=len(lines) + 1)
    read = msgspec.json.Decoder().decode
    work: dict[str, Callable[[], object]] = {
        "decode_json": lambda: decode(short_records, plan, LAYOUT, at_ms),
        "decode_json_long_numbers": lambda: decode(long_records, plan, LAYOUT, at_ms),
        "decode_json_raw_layout": lambda: decode(short_records, plan, None, at_ms),
        "decode_json_classes": lambda: decode(classes, classes_plan, None, at_ms),
        "decode_json_embedding": lambda: decode(vectors, vector_plan, None, at_ms),
        "decode_json_plainly": lambda: json_format.plainly(short_records, plan, LAYOUT, at_ms),
        "decode_avro": lambda: decode(avros, avro_plan, LAYOUT, at_ms),
        "decode_avro_raw_layout": lambda: decode(avros, avro_plan, None, at_ms),
        "decode_avro_plainly": lambda: plainly(avros, avro_plan, LAYOUT, at_ms, avro_readers),
        "decode_protobuf": lambda: decode(protobufs, protobuf_plan, LAYOUT, at_ms),
        "decode_protobuf_raw_layout": lambda: decode(protobufs, protobuf_plan, None, at_ms),
        "decode_protobuf_plainly": lambda: plainly(protobufs, protobuf_plan, LAYOUT, at_ms, protobuf_readers),
        "count_raw_layout": lambda: count_block(decoded[0], None, "m", plan.model, Time(), None),
        "count_embedding": lambda: count_block(decoded[1], None, "m", vector_plan.model, Time(), None),
        "parse_json_loads": lambda: [json.loads(v) for v in values],
        "parse_orjson": lambda: [orjson.loads(v) for v in values],
        "parse_orjson_embedding": lambda: [orjson.loads(v or b"") for v in vectors.values],
        "parse_msgspec": lambda: [read(v) for v in values],
        "parse_pyarrow": lambda: pa_json.read_json(pa.BufferReader(lines), read_options=whole),
    }
    found = {name: pace(of, n) for name, of in work.items() if options.only in name}
    setup = {"numeric": 16, "categorical": 4}
    for name, (seconds, value) in found.items():
        line: dict[str, Any] = {"figure": name, "value": round(value), "unit": "events/s", "events": n}
        line |= {"seconds": round(seconds, 4), "cpu_seconds": round(seconds, 4)}
        if name == "decode_json":
            line["ratios"] = {k: round(value / v, 2) for k, (_, v) in found.items() if k.startswith("parse_")}
        size = sum(len(v or b"") + 1 for v in next((of for key, of in sizes.items() if key in name), values)) / n
        print(json.dumps(line | {"setup": {"event_bytes": round(size), **setup}}), flush=True)


if __name__ == "__main__":
    main()
