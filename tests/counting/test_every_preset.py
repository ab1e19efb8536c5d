"""Payload logs of inference servers: what each preset makes of a message as its server documents it."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.memory import MemoryLabelStore
from detectors.counts import merge
from stream_monitor import app
from stream_monitor.config import Config, Format, Model, Task
from stream_monitor.config.files import known_tables, read_config
from stream_monitor.config.plain import config_id
from stream_monitor.counting.batches import Headers, Records
from stream_monitor.counting.plans import event_plan
from stream_monitor.entries import unpack_counts
from stream_monitor.errors import InvalidRecord
from stream_monitor.formats import decode
from stream_monitor.formats.payloads import answered, asked
from stream_monitor.formats.presets import ENVELOPE_FIELDS, FIELDS, PRESETS, recognise
from stream_monitor.publications import Publications
from stream_monitor.shell import logs
from stream_monitor.shell.init import Sample, look, render
from stream_monitor.tap.counting import BlockCounting
from tests.counting.writers import NOW
from tests.tap.test_counting import intent
from tests.tap.twin import Record

WHEN = "2023-11-14T22:13:20Z"  # NOW
SERVER = "org.kubeflow.serving.inference"


def cloud(data: Any, **attributes: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "r1",
        "source": "http://x",
        "time": WHEN,
        "type": "t",
        **attributes,
        "datacontenttype": "application/json",
        "data": data,
    }


def tensor(name: str, shape: Sequence[int], data: Sequence[Any], datatype: str = "FP64") -> dict[str, Any]:
    return {"name": name, "shape": list(shape), "datatype": datatype, "data": list(data)}


V2_IN = {"inputs": [tensor("a", [2, 1], [1.5, 2.5]), tensor("b", [2], ["x", "y"], "BYTES")]}
V2_OUT = {
    "model_name": "m",
    "model_version": "7",
    "id": "r1",
    "outputs": [tensor("predict", [2], [1, 0], "INT64"), tensor("predict_proba", [2, 2], [0.25, 0.75, 0.5, 0.5])],
}
ROWS_IN = [{"a": 1.5, "b": "x"}, {"a": 2.5, "b": "y"}]


def captured(data: str, encoding: str, kind: str) -> dict[str, str]:
    return {"observedContentType": kind, "mode": "INPUT", "data": data, "encoding": encoding}


def capture(inside: Mapping[str, str], outside: Mapping[str, str]) -> dict[str, Any]:
    return {
        "captureData": {"endpointInput": inside, "endpointOutput": outside},
        "eventVersion": "0",
        "eventMetadata": {"eventId": "r1", "inferenceTime": WHEN},
    }


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def table_row(request: Any, response: Any) -> dict[str, Any]:
    return {
        "databricks_request_id": "r1",
        "timestamp_ms": NOW,
        "status_code": 200,
        "request": json.dumps(request),
        "response": json.dumps(response),
        "request_metadata": {"model_name": "m", "model_version": "7"},
    }


BOTH = [("r1:0", 1.5, "x", 1), ("r1:1", 2.5, "y", 0)]  # id, a, b, prediction of the events in each message
PREDICTIONS = {"predictions": [1, 0]}
CASES: list[tuple[str, str, Any, str]] = [
    # format, what, message, version
    (
        "kserve_v1",
        "both halves",
        {"id": "r1", "time": WHEN, "request": {"instances": ROWS_IN}, "response": PREDICTIONS},
        "",
    ),
    ("kserve_v1", "in an envelope", cloud({"request": {"instances": ROWS_IN}, "response": PREDICTIONS}), ""),
    ("kserve_v2", "both halves", cloud({"request": V2_IN, "response": V2_OUT}), "7"),
    (
        "seldon",
        "its own protocol",
        cloud(
            {
                "request": {"data": {"names": ["a", "b"], "ndarray": [[1.5, "x"], [2.5, "y"]]}},
                "response": {"data": {"names": [], "ndarray": [[1], [0]]}},
            },
            requestid="r1",
        ),
        "",
    ),
    ("seldon", "v2", cloud({"request": V2_IN, "response": V2_OUT}, requestid="r1", id="other"), "7"),
    ("triton", "infer", {"id": "r1", "timestamp": WHEN, "request": V2_IN, "response": V2_OUT}, "7"),
    (
        "sagemaker",
        "CSV",
        capture(captured("1.5,x\n2.5,y\n", "CSV", "text/csv"), captured("1\n0", "CSV", "text/csv")),
        "",
    ),
    (
        "sagemaker",
        "JSON",
        capture(
            captured(json.dumps({"instances": ROWS_IN}), "JSON", "application/json"),
            captured(json.dumps(PREDICTIONS), "JSON", "application/json"),
        ),
        "",
    ),
    (
        "sagemaker",
        "features in JSON",
        capture(
            captured('{"instances": [{"features": [1.5, "x"]}, {"features": [2.5, "y"]}]}', "JSON", "application/json"),
            captured('{"predictions": [{"predicted_label": 1, "score": 0.9}, {"predicted_label": 0}]}', "JSON", ""),
        ),
        "",
    ),
    (
        "sagemaker",
        "BASE64",
        capture(
            captured(b64("1.5,x\n2.5,y"), "BASE64", "text/csv; charset=utf-8"),
            captured(b64("[1, 0]"), "BASE64", "application/json"),
        ),
        "",
    ),
    (
        "sagemaker",
        "JSON lines",
        capture(
            captured('{"features": [1.5, "x"]}\n{"features": [2.5, "y"]}\n', "JSON", "application/jsonlines"),
            captured("1\n0\n", "JSON", "application/jsonlines"),
        ),
        "",
    ),
    (
        "databricks",
        "dataframe_split",
        table_row(
            {"dataframe_split": {"columns": ["a", "b"], "index": [0, 1], "data": [[1.5, "x"], [2.5, "y"]]}}, PREDICTIONS
        ),
        "7",
    ),
    ("databricks", "dataframe_records", table_row({"dataframe_records": ROWS_IN}, PREDICTIONS), "7"),
    ("databricks", "instances", table_row({"instances": [[1.5, "x"], [2.5, "y"]]}, PREDICTIONS), "7"),
    (
        "mlflow",
        "inputs by column",
        {
            "id": "r1",
            "time": WHEN,
            "request": {"inputs": {"a": [1.5, 2.5], "b": [["x"], ["y"]]}},
            "response": PREDICTIONS,
        },
        "",
    ),
]


def model_of(format: str, task: Task = "binary", **more: Any) -> Model:
    of = Format(name=format, header=("a", "b"))
    return dataclasses.replace(Model(topic=("t",), format=of, task=task, fields=FIELDS), **more)


def read(format: str, value: bytes, headers: Headers = (), model: Model | None = None) -> tuple[Any, list[str]]:
    """(id, time, version, features by name, prediction, score) of each event, and the reasons of dead letters."""
    some = Records(values=[value], timestamps_ms=np.array([NOW]), offsets=np.array([5]), headers=[headers])
    plan = event_plan("m", Config(models={"m": model or model_of(format)}))
    batch, dead = decode(some, plan, None, NOW)
    return batch, [d.reason for d in dead]


def rows_of(format: str, value: bytes, headers: Headers = ()) -> list[Mapping[str, Any]]:
    return list(PRESETS[format][0](value, headers, ("a", "b")))


@pytest.mark.parametrize(
    ("format", "message", "version"), [(c[0], *c[2:]) for c in CASES], ids=[f"{c[0]}: {c[1]}" for c in CASES]
)
def test_two_events_of_one_message(format: str, message: Any, version: str) -> None:
    value = json.dumps(message).encode()
    found = rows_of(format, value)
    assert [(e["id"], e["features"]["a"], e["features"]["b"], e["prediction"]) for e in found] == BOTH
    batch, dead = read(format, value)
    assert (dead, batch.times_ms.tolist(), batch.versions[0]) == ([], [NOW, NOW], version)
    assert batch.places.tolist() == [0, 1]
    assert {c.name for c in batch.features} == {"a", "b"}


@pytest.mark.parametrize("format", ["kserve_v1", "kserve_v2", "seldon"])
@pytest.mark.parametrize("binary", [True, False])
def test_halves_that_come_apart(format: str, binary: bool) -> None:
    """A request has features and no prediction, a response the other way round, in either mode of CloudEvents."""
    asked_, answer = {
        "kserve_v1": ({"instances": ROWS_IN}, PREDICTIONS),
        "kserve_v2": (V2_IN, V2_OUT),
        "seldon": ({"data": {"names": ["a", "b"], "ndarray": [[1.5, "x"], [2.5, "y"]]}}, {"data": {"ndarray": [1, 0]}}),
    }[format]
    server = "io.seldon.serving.inference" if format == "seldon" else SERVER

    def half(payload: Any, kind: str) -> list[Mapping[str, Any]]:
        attributes = {"id": "r1", "time": WHEN, "type": f"{server}.{kind}", "inferenceservicename": "m"}
        if binary:
            headers = [(f"ce_{k}", v.encode()) for k, v in attributes.items()]
            return rows_of(format, json.dumps(payload).encode(), headers)
        return rows_of(format, json.dumps(cloud(payload, **attributes)).encode())

    requests, responses = half(asked_, "request"), half(answer, "response")
    assert [(e["id"], e["features"], e["prediction"]) for e in requests] == [
        ("r1:0", ROWS_IN[0], None),
        ("r1:1", ROWS_IN[1], None),
    ]
    assert [(e["id"], e["features"], e["prediction"]) for e in responses] == [("r1:0", None, 1), ("r1:1", None, 0)]
    assert {(e["time"], e["model"]) for e in requests} == {(WHEN, "m")}


def test_a_flat_array_with_a_name_for_each_value_is_one_event() -> None:
    """As the request logger of Seldon Core shows it; without names each value is an event of its own."""
    headers = [("Ce-Requestid", b"r1"), ("Ce-Type", b"io.seldon.serving.inference.request")]
    (event,) = rows_of("seldon", b'{"data": {"names": ["a", "b"], "ndarray": [0.77, 0.63]}}', headers)
    assert (event["id"], event["features"]) == ("r1", {"a": 0.77, "b": 0.63})
    two = PRESETS["seldon"][0](b'{"data": {"ndarray": [0.77, 0.63]}}', headers, ())
    assert [e["features"] for e in two] == [{"f0": 0.77}, {"f0": 0.63}]


def test_scores() -> None:
    two = json.dumps(cloud({"request": V2_IN, "response": V2_OUT})).encode()
    batch, _ = read("kserve_v2", two)
    assert batch.score.numbers.tolist() == [0.75, 0.5]  # of a binary model the second probability
    batch, _ = read("kserve_v2", two, model=model_of("kserve_v2", "multiclass"))
    assert batch.class_scores == [[0.25, 0.75], [0.5, 0.5]]
    only = json.dumps(
        {"id": 1, "time": WHEN, "request": {"instances": [[1, 2]]}, "response": {"predictions": [[0.2, 0.8]]}}
    )
    batch, _ = read("kserve_v1", only.encode())
    assert (batch.prediction.numbers.tolist(), batch.score.numbers.tolist()) == ([1.0], [0.8])


@pytest.mark.parametrize(
    ("format", "message", "reason"),
    [
        *[(f, b"", "not_json") for f in PRESETS],
        *[(f, b"\xff", "not_utf8") for f in PRESETS],
        *[(f, b"{}", "missing_field") for f in PRESETS],
        *[(f, b'"a"', "not_an_object") for f in PRESETS],
        *[(f, b"[1]", "not_an_object") for f in PRESETS],
        ("sagemaker", b'{"captureData": {}, "eventMetadata": {}}', "missing_field"),
        (
            "sagemaker",
            json.dumps(capture(captured("!", "BASE64", ""), captured("1", "CSV", ""))).encode(),
            "wrong_type",
        ),
        ("kserve_v1", json.dumps(cloud({"instances": ROWS_IN})).encode(), "missing_field"),  # no prediction
        (
            "kserve_v2",
            json.dumps(cloud({"request": V2_IN, "response": {"outputs": [tensor("y", [3], [1, 2, 3])]}})).encode(),
            "wrong_type",
        ),
        ("kserve_v2", json.dumps(cloud({"inputs": [tensor("a", [10**12, 10**12], [1])]})).encode(), "wrong_type"),
        ("kserve_v2", json.dumps(cloud({"inputs": [tensor("a", [-1], [1])]})).encode(), "wrong_type"),
        (
            "databricks",
            json.dumps(table_row({"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, PREDICTIONS)).encode(),
            "wrong_type",
        ),
        (
            "databricks",
            json.dumps({**table_row({"instances": [[1, "x"]]}, {}), "response": None}).encode(),
            "missing_field",
        ),
    ],
)
def test_what_is_no_event(format: str, message: bytes, reason: str) -> None:
    model = model_of(format)
    if format == "cloudevents":
        model = dataclasses.replace(model, fields=dataclasses.replace(ENVELOPE_FIELDS, features="data.f"))
    batch, dead = read(format, message, model=model)
    assert (len(batch), dead) == (0, [reason])


def test_cloudevents_in_every_mode() -> None:
    payload = {"req": "q", "f": {"x": 1}, "y": 0}
    fields = dataclasses.replace(ENVELOPE_FIELDS, features="data.f", prediction="data.y")
    model = model_of("cloudevents", fields=fields)
    one = json.dumps(cloud(payload)).encode()
    encoded = {**cloud(None), "data_base64": b64(json.dumps(payload))}
    del encoded["data"]
    headers = [("content-type", b"application/json"), ("ce_id", b"r1"), ("ce_time", WHEN.encode()), ("ce_type", b"t")]
    for value, heads in (
        (one, []),
        (json.dumps(payload).encode(), headers),
        (json.dumps(encoded).encode(), []),
        (b"[" + one + b"," + one + b"]", []),
    ):
        batch, dead = read("cloudevents", value, heads, model)
        assert (dead, set(batch.times_ms.tolist()), batch.features[0].numbers[0]) == ([], {NOW}, 1.0)
    assert len(batch) == 2
    late, _ = read(
        "cloudevents", json.dumps({k: v for k, v in cloud(payload).items() if k != "time"}).encode(), (), model
    )
    assert late.times_ms.tolist() == [NOW]  # of the Kafka record


PRESET_FILE = """\
models:
  m:
    topic: t
    format: {{name: {name}, header: [a, b]}}
    task: {task}
    {more}
"""


def test_fields_need_not_be_written(tmp_path: Path) -> None:
    def fields(name: str, task: str, more: str = "") -> Any:
        (tmp_path / "m.yaml").write_text(PRESET_FILE.format(name=name, task=task, more=more))
        return read_config(str(tmp_path / "m.yaml"), known_tables()).config.models["m"].fields

    assert fields("kserve_v2", "binary") == FIELDS
    assert fields("kserve_v2", "regression") == dataclasses.replace(FIELDS, score="")
    assert fields("kserve_v2", "none") == dataclasses.replace(FIELDS, score="", prediction="")
    more = "fields: {score: outputs.p, id: attributes.x}"
    assert fields("kserve_v2", "binary", more) == dataclasses.replace(
        FIELDS, score="outputs.p", id="attributes.x", prediction=""
    )


REPLAY = """\
models:
  m:
    topic: t
    format: {name: sagemaker, header: [a, b]}
    task: regression
    columns: {a: numeric, b: categorical}
    reference: {file: log.jsonl}
    pane: 10s
    window: {size: 1m}
"""


def test_a_log_is_replayed_as_it_is(tmp_path: Path) -> None:
    """Three events a line, one line that is none; it is its own reference, too."""
    lines = []
    for i in range(300):
        inside = "".join(f"{i}.{k},x\n" for k in range(3))
        message = capture(captured(inside, "CSV", "text/csv"), captured("1\n2\n3", "CSV", "text/csv"))
        message["eventMetadata"] = {"eventId": f"r{i}", "inferenceTime": f"2026-01-01T00:{i // 60:02d}:{i % 60:02d}Z"}
        lines.append(json.dumps(message))
    lines[7] = "{}"
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    (tmp_path / "monitor.yaml").write_text(REPLAY)
    out, log = tmp_path / "out", str(tmp_path / "log.jsonl")
    app.replay(str(tmp_path / "monitor.yaml"), "m", log, None, str(out), logs.Formatter("text"))
    windows = [json.loads(line) for line in (out / "windows.jsonl").read_text().splitlines()]
    assert [w["rows"] for w in windows if w["segment"] == "all"] == [177, 180, 180, 180, 180]
    assert windows[0]["columns"]["a"]["missing"] == 0
    assert windows[0]["predictions"]["prediction"]["sum"] == 59 * 6


def test_headers_reach_the_decoder_where_they_are_wanted() -> None:
    model = model_of("kserve_v1", "none", fields=dataclasses.replace(FIELDS, prediction="", score=""), pane=10_000)
    config = Config(models={"m": model})
    counting = BlockCounting(config, catalog=Publications(), label_store=MemoryLabelStore())
    heads = (("ce_id", b"r1"), ("ce_time", WHEN.encode()), ("ce_type", f"{SERVER}.request".encode()))
    record = Record(0, json.dumps({"instances": ROWS_IN}).encode(), heads=heads)
    counted = counting.count(intent(config=config_id(config)), ("t", 0), [record])
    assert (counted.dead, sum(unpack_counts(p.counts).rows for p in counted.panes)) == ([], 2)


@pytest.mark.parametrize("format", ["kserve_v1", "kserve_v2", "seldon", "sagemaker", "databricks", "cloudevents"])
def test_init_recognises_it(tmp_path: Path, format: str) -> None:
    if format == "cloudevents":
        message: Any = cloud({"f": {"a": 1.5, "b": "x"}, "y": 1})
    else:
        message = next(
            m for f, _, m, _ in CASES if f == format and (f not in ("kserve_v1", "seldon") or "specversion" in m)
        )
        kind = {"seldon": "io.seldon.serving.inference.request", "kserve_v1": f"{SERVER}.request"}.get(format, "")
        if format == "kserve_v2":
            message = cloud(V2_IN, type=f"{SERVER}.request")
        elif kind:
            message = {**message, "type": kind}
    value = json.dumps(message).encode()
    assert recognise([value]) == format
    (tmp_path / "m.yaml").write_text(render(look("t", "k:9092", Sample(values=[value] * 30))))
    model = read_config(str(tmp_path / "m.yaml"), known_tables()).config.models["t"]
    assert model.format == format
    assert (model.fields.id, model.fields.time) == ("id", "time")


def test_a_preset_that_looks_alike_has_a_sample(tmp_path: Path) -> None:
    """Each is told of by `stream-monitor list formats`, with a message in its docstring."""
    for name, (reads, _) in PRESETS.items():
        assert ">>>" in (reads.__doc__ or ""), name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda v: (
        st.lists(v, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "instances",
                    "inputs",
                    "outputs",
                    "predictions",
                    "data",
                    "names",
                    "ndarray",
                    "tensor",
                    "shape",
                    "values",
                    "name",
                    "dataframe_split",
                    "columns",
                    "text_input",
                    "request",
                    "response",
                    "captureData",
                    "eventMetadata",
                    "id",
                    "endpointInput",
                    "encoding",
                    "specversion",
                    "data_base64",
                    "features",
                    "score",
                    "request_metadata",
                ]
            ),
            v,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(message=JSON, name=st.sampled_from(sorted(PRESETS)))
def test_never_an_exception(message: Any, name: str) -> None:
    model = model_of(name)
    if name == "cloudevents":
        model = dataclasses.replace(model, fields=ENVELOPE_FIELDS)
    _, dead = read(name, json.dumps(message).encode(), model=model)
    assert len(dead) <= 1
    for function in (asked, answered):
        with suppress(InvalidRecord):
            assert isinstance(function(message), list)


PAIR = """\
models:
  m:
    topic: kserve
    task: binary
    format: kserve_v2
    select: {header: ce_type, value: org.kubeflow.serving.inference.response}
    features:
      topic: kserve
      format: kserve_v2
      select: {header: ce_type, value: org.kubeflow.serving.inference.request}
    pane: 10s
"""


def test_requests_and_responses_of_one_topic_are_two_streams(tmp_path: Path) -> None:
    """As the manual says: features are counted from the ones, predictions from the others, and nothing is dead."""
    (tmp_path / "m.yaml").write_text(PAIR)
    config = read_config(str(tmp_path / "m.yaml"), known_tables()).config
    counting = BlockCounting(config, catalog=Publications(), label_store=MemoryLabelStore())

    def half(offset: int, kind: str, payload: Any) -> Record:
        heads = (("ce_id", b"r1"), ("ce_time", WHEN.encode()), ("ce_type", f"{SERVER}.{kind}".encode()))
        return Record(offset, json.dumps(payload).encode(), heads=heads)

    records = [half(0, "request", V2_IN), half(1, "response", V2_OUT)]
    counted = counting.count(intent(config=config_id(config)), ("kserve", 0), records)
    assert not counted.dead
    found = merge(unpack_counts(p.counts) for p in counted.panes if p.segment == "all")
    assert found.names == ("f:a", "f:b", "p:prediction", "p:score")
    assert {p.version for p in counted.panes} == {""}
