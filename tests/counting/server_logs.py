"""What inference servers write of two requests, in every form of every preset, and how a test reads it."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stream_monitor.config import Config, Format, Model, Task
from stream_monitor.counting.batches import Headers, Records
from stream_monitor.counting.plans import event_plan
from stream_monitor.formats import decode
from stream_monitor.formats.presets import FIELDS, PRESETS
from tests.counting.writers import NOW

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
        "CSV, the answers in one line",
        capture(captured("1.5,x\n2.5,y\n", "CSV", "text/csv"), captured("1,0", "CSV", "text/csv")),
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
