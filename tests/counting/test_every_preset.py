"""Payload logs of inference servers: what each preset makes of a message as its server documents it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_monitor.errors import InvalidRecord
from stream_monitor.formats.payloads import answered, asked
from stream_monitor.formats.presets import ENVELOPE_FIELDS, PRESETS
from tests.counting.server_logs import (
    BOTH,
    CASES,
    PREDICTIONS,
    ROWS_IN,
    SERVER,
    V2_IN,
    V2_OUT,
    WHEN,
    b64,
    capture,
    captured,
    cloud,
    model_of,
    read,
    rows_of,
    table_row,
    tensor,
)
from tests.counting.writers import NOW

BARE = {"name": "a", "shape": [1, 16], "datatype": "FP32", "parameters": {"binary_data_size": 64}}


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


def test_generate_has_tensors_and_parameters_beside_its_text() -> None:
    """As Triton's generate extension says, and as its back ends for language models are mostly asked."""
    asked_ = {"id": "q1", "text_input": "Is it?", "max_tokens": 20, "parameters": {"temperature": 0, "stream": False}}
    answer = {"model_name": "llm", "model_version": "1", "text_output": "no", "cum_log_probs": -0.5}
    message = {"timestamp": WHEN, "request": asked_, "response": answer}
    (event,) = rows_of("triton", json.dumps(message).encode())
    assert (event["id"], event["model"], event["version"], event["prediction"]) == ("q1", "llm", "1", "no")
    assert event["features"] == {"text_input": "Is it?", "max_tokens": 20, "temperature": 0, "stream": False}
    assert event["outputs"]["cum_log_probs"] == -0.5


def test_a_split_frame_may_leave_its_columns_unsaid() -> None:
    """As pandas reads it, which is what MLflow's scoring server does."""
    message = {"id": "r1", "time": WHEN, "request": {"dataframe_split": {"data": [[1.5, "x"]]}}, "response": [1]}
    (event,) = rows_of("mlflow", json.dumps(message).encode())
    assert (event["features"], event["prediction"]) == ({"a": 1.5, "b": "x"}, 1)


def test_a_row_of_the_gateways_inference_tables() -> None:
    row: dict[str, Any] = {
        "request_date": "2026-01-01", "databricks_request_id": "r1", "client_request_id": None, "request_time": WHEN,
        "status_code": 200, "sampling_fraction": 1.0, "execution_duration_ms": 12, "logging_error_codes": [],
        "request": json.dumps({"dataframe_records": ROWS_IN[:1]}), "response": json.dumps({"predictions": [1]}),
        "served_entity_id": "7f", "requester": "me@example.org",
    }  # fmt: skip
    batch, dead = read("databricks", json.dumps(row).encode())
    assert (dead, batch.times_ms.tolist(), batch.versions) == ([], [NOW], ("7f",))
    failed = {**row, "status_code": 400, "response": json.dumps({"error_code": "BAD_REQUEST", "message": "no"})}
    assert read("databricks", json.dumps(failed).encode())[1] == ["missing_field"]  # no prediction


def test_scores() -> None:
    two = json.dumps(cloud({"request": V2_IN, "response": V2_OUT})).encode()
    batch, _ = read("kserve_v2", two)
    assert batch.score.numbers.tolist() == [0.75, 0.5]  # of a binary model the second probability
    batch, _ = read("kserve_v2", two, model=model_of("kserve_v2", "multiclass"))
    assert batch.class_scores is not None
    assert list(batch.class_scores) == [[0.25, 0.75], [0.5, 0.5]]
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
        *[  # tensors whose values follow as bytes, or are in shared memory
            (
                "triton",
                json.dumps({"id": 1, "timestamp": WHEN, **{half: {key: [BARE]} for half, key in halves}}).encode(),
                "wrong_type",
            )
            for halves in ([("request", "inputs")], [("response", "outputs")])
        ],
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
    # The content type decides: an envelope in the value may have its attributes in headers, too.
    whole = [("Content-Type", b"Application/CloudEvents+JSON; charset=UTF-8"), *headers[1:]]
    assert read("cloudevents", one, whole, model)[1] == []
    (event,) = rows_of("cloudevents", json.dumps(payload).encode(), headers)
    assert (event["type"], event["datacontenttype"], event["data"]) == ("t", "application/json", payload)
    late, _ = read(
        "cloudevents", json.dumps({k: v for k, v in cloud(payload).items() if k != "time"}).encode(), (), model
    )
    assert late.times_ms.tolist() == [NOW]  # of the Kafka record


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


def test_a_record_of_more_events_than_its_bytes_can_be() -> None:
    """And what is said of a request as a whole is kept once, not with each of its rows."""
    message = {"id": "r", "note": "x" * 1_000, "inputs": [tensor("x", [110_000], [1] * 110_000)]}
    assert read("kserve_v2", json.dumps(message).encode())[1] == ["too_large"]
    first, second = rows_of("databricks", json.dumps(table_row({"instances": ROWS_IN}, PREDICTIONS)).encode())
    assert first["attributes"] is second["attributes"]
