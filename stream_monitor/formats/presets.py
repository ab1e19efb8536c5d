"""Payload logs of inference servers: one record -> the events in it, each in one form, whatever server wrote it.

    {id, time, model, version, features: {NAME: value}, outputs: {NAME: value}, prediction, score, attributes}

`fields` of such a format need not be written: they are those of this form; `prediction` and `score` only where neither
is stated and the model has a task. Of a binary model's two probabilities the second is the score. A request of several
rows is several events; if it is more than one, event i of request ID is called ID:i. Without a time of its own an event
has that of its Kafka record. `attributes` are those of the CloudEvent, or what the log says beside the payloads.

A server that logs requests and responses as two messages writes two streams, joined by nothing but their id: take the
responses as predictions and the requests as features (`select:` by the CloudEvent's type).
"""

from __future__ import annotations

import json as plain_json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from stream_monitor.config import Fields
from stream_monitor.counting.batches import Headers, Records
from stream_monitor.counting.columns import json_text
from stream_monitor.errors import InvalidRecord
from stream_monitor.formats.csv import lines_of
from stream_monitor.formats.envelopes import Envelope, envelopes, from_base64, written
from stream_monitor.formats.json import anything, loads
from stream_monitor.formats.parsed import AnyPlan, Messages, Parse, Parsed, few, one_by_one
from stream_monitor.formats.payloads import Names, Row, answered, asked, is_answered, is_asked
from stream_monitor.formats.rows import DictRows
from stream_monitor.formats.tables import cell_value

Read = Callable[[bytes, Headers, Names], list[Row]]

FIELDS: Final = Fields(
    id="id", time="time", version="version", features="features", prediction="prediction", score="score"
)
ENVELOPE_FIELDS: Final = Fields(id="id", time="time")


def events(
    *,
    id: Any,
    time: Any,
    model: Any = None,
    version: Any = None,
    attributes: Mapping[str, Any] | None = None,
    request: Any = None,
    response: Any = None,
    names: Names = (),
) -> list[Row]:
    """The events of a request, its response, or both, row by row; InvalidRecord when the two do not fit."""
    features = None if request is None else asked(request, names)
    answers = None if response is None else answered(response)
    if features is None and answers is None:
        raise InvalidRecord("missing_field", "neither a request nor a response")
    if features is not None and answers is not None and len(features) != len(answers):
        raise InvalidRecord("wrong_type", f"{len(features)} rows asked, {len(answers)} answered")
    count = len(features if features is not None else answers or ())
    about = dict(attributes or {})  # one for all: there may be many rows, and much in it
    nothing: Row = {"outputs": {}, "prediction": None, "score": None}
    return [
        {
            "id": id if count == 1 or id is None else f"{json_text(id)}:{i}",
            "time": time,
            "model": model,
            "version": "" if version is None else version,
            "features": None if features is None else features[i],
            **(nothing if answers is None else answers[i]),
            "attributes": about,
        }
        for i in range(count)
    ]


def _halves(payload: Any) -> tuple[Any, Any]:
    """(request, response) in a payload that is one of them, or an object of both."""
    if isinstance(payload, dict) and ("request" in payload or "response" in payload):
        return _inner(payload.get("request")), _inner(payload.get("response"))
    if is_answered(payload) and not is_asked(payload):
        return None, payload
    return payload, None


def _inner(payload: Any) -> Any:
    return written(payload) if isinstance(payload, str) else payload


def _served(envelope: Envelope, names: Names, model: str, halves: tuple[Any, Any] | None = None) -> list[Row]:
    """The events of a payload in a CloudEvent, or of a payload alone that has an id of its own."""
    data = envelope.data
    request, response = halves or _halves(data)
    own = [p for p in (response, request, data) if isinstance(p, dict)]

    def of(*keys: str) -> Any:
        return next((p[k] for p in own for k in keys if p.get(k) is not None), None)

    return events(
        id=envelope.get("requestid", "id") or of("id"),
        time=envelope.get("time") or of("time", "timestamp"),
        model=envelope.get("modelid", model) or of("model_name"),
        version=of("model_version"),
        attributes=envelope.attributes,
        request=request,
        response=response,
        names=names,
    )


def kserve_v1(value: bytes, headers: Headers, names: Names) -> list[Row]:
    """KServe's payload logger, protocol v1: CloudEvents of `instances` and of `predictions`.

    >>> sample = b'''{"specversion": "1.0", "id": "4f2a", "time": "2026-01-05T10:00:00Z",
    ... "type": "org.kubeflow.serving.inference.request", "source": "http://fraud-predictor/", "namespace": "shop",
    ... "inferenceservicename": "fraud", "data": {"instances": [[129.5, 3], [12.0, 1]]}}'''
    >>> [(e["id"], e["model"], e["features"]) for e in kserve_v1(sample, (), ["amount", "items"])]
    [('4f2a:0', 'fraud', {'amount': 129.5, 'items': 3}), ('4f2a:1', 'fraud', {'amount': 12.0, 'items': 1})]
    """
    return [e for of in envelopes(value, headers) for e in _served(of, names, "inferenceservicename")]


def kserve_v2(value: bytes, headers: Headers, names: Names) -> list[Row]:
    """KServe's payload logger, Open Inference Protocol (v2): CloudEvents of `inputs` and of `outputs`, tensors.

    >>> sample = b'''{"model_name": "fraud", "model_version": "3", "id": "4f2a", "outputs": [
    ... {"name": "predict", "shape": [2, 1], "datatype": "INT64", "data": [1, 0]},
    ... {"name": "predict_proba", "shape": [2, 2], "datatype": "FP64", "data": [0.25, 0.75, 0.5, 0.5]}]}'''
    >>> headers = [("ce_id", b"4f2a"), ("ce_type", b"org.kubeflow.serving.inference.response")]
    >>> [(e["id"], e["version"], e["prediction"], e["score"]) for e in kserve_v2(sample, headers, ())]
    [('4f2a:0', '3', 1, [0.25, 0.75]), ('4f2a:1', '3', 0, [0.5, 0.5])]
    """
    return [e for of in envelopes(value, headers) for e in _served(of, names, "inferenceservicename")]


def seldon(value: bytes, headers: Headers, names: Names) -> list[Row]:
    """Seldon Core's request logger: CloudEvents of its own protocol or of v2.

    >>> sample = b'{"data": {"names": ["amount", "items"], "ndarray": [[129.5, 3]]}}'
    >>> headers = [("ce_id", b"1"), ("ce_type", b"io.seldon.serving.inference.request"), ("ce_requestid", b"4f2a"),
    ...            ("ce_modelid", b"fraud"), ("ce_time", b"2026-01-05T10:00:00Z")]
    >>> [(e["id"], e["model"], e["features"]) for e in seldon(sample, headers, ())]
    [('4f2a', 'fraud', {'amount': 129.5, 'items': 3})]
    """
    found: list[Row] = []
    for of in envelopes(value, headers):
        answer = str(of.attributes.get("type", "")).endswith(".response")
        found += _served(of, names, "inferenceservicename", (None, of.data) if answer else None)
    return found


def triton(value: bytes, headers: Headers, names: Names) -> list[Row]:
    """Triton's requests and responses, as a proxy logs them: infer (Open Inference Protocol v2) or generate.

    >>> sample = b'''{"id": "4f2a", "timestamp": "2026-01-05T10:00:00Z",
    ... "request": {"text_input": "Is this fraud?", "parameters": {"max_tokens": 8}},
    ... "response": {"model_name": "llm", "model_version": "1", "text_output": "no"}}'''
    >>> [(e["id"], e["version"], e["features"]["max_tokens"], e["prediction"]) for e in triton(sample, (), ())]
    [('4f2a', '1', 8, 'no')]
    """
    return [e for of in envelopes(value, headers) for e in _served(of, names, "modelid")]


def sagemaker(value: bytes, headers: Headers, names: Names) -> list[Row]:
    """SageMaker data capture: `captureData` with CSV, JSON or BASE64 in it, and `eventMetadata`.

    >>> sample = b'''{"captureData": {
    ... "endpointInput": {"observedContentType": "text/csv", "mode": "INPUT", "data": "129.5,3", "encoding": "CSV"},
    ... "endpointOutput": {"observedContentType": "text/csv", "mode": "OUTPUT", "data": "0.75", "encoding": "CSV"}},
    ... "eventMetadata": {"eventId": "4f2a", "inferenceTime": "2026-01-05T10:00:00Z"}, "eventVersion": "0"}'''
    >>> [(e["id"], e["features"], e["prediction"]) for e in sagemaker(sample, (), ["amount", "items"])]
    [('4f2a', {'amount': 129.5, 'items': 3}, 0.75)]
    """
    message = loads(value)
    capture, about = message.get("captureData"), message.get("eventMetadata")
    if not isinstance(capture, dict) or not isinstance(about, dict):
        raise InvalidRecord("missing_field", "eventMetadata" if isinstance(capture, dict) else "captureData")
    request = _captured(capture.get("endpointInput"), "endpointInput")
    return events(
        id=about.get("inferenceId") or about.get("eventId"),
        time=about.get("inferenceTime"),
        model=about.get("modelName"),
        version=about.get("modelVersion"),
        attributes=about,
        request=request,
        response=_per_row(request, _captured(capture.get("endpointOutput"), "endpointOutput")),
        names=names,
    )


def _per_row(request: Any, said: Any) -> Any:
    """An answer with a row for each that was asked: XGBoost's container has them all in one line.

    >>> _per_row([[129.5, 3], [12.0, 1]], [[0.75, 0.5]])
    [[0.75], [0.5]]
    """
    if not isinstance(request, list) or not isinstance(said, list) or len(said) != 1 or not isinstance(said[0], list):
        return said
    return [[cell] for cell in said[0]] if 1 < len(request) == len(said[0]) else said


def _captured(side: Any, what: str) -> Any:
    """What one side of an endpoint said: rows of CSV, or JSON, or lines of it."""
    if side is None:
        return None
    data = side.get("data") if isinstance(side, dict) else None
    if not isinstance(data, str):
        raise InvalidRecord("wrong_type", f"{what}.data: not a text")
    kind = str(side.get("observedContentType") or "").partition(";")[0].strip().lower()
    encoding = str(side.get("encoding") or "").upper()
    if encoding == "BASE64":
        try:
            data = from_base64(data, f"{what}.data").decode()
        except UnicodeDecodeError as error:
            raise InvalidRecord("wrong_type", f"{what}.data: {error}") from None
    if encoding == "CSV" or (encoding != "JSON" and kind == "text/csv"):
        return [[cell_value(cell) if cell else None for cell in line] for line in lines_of(data, ",")]
    if "jsonlines" in kind and "\n" in data.strip():
        return [anything(line.encode()) for line in data.splitlines() if line.strip()]
    return written(data)


def mlflow(value: bytes, headers: Headers, names: Names) -> list[Row]:
    r"""MLflow's scoring protocol, logged as {id, time, request, response}, or a Databricks inference table's row.

    >>> sample = b'''{"databricks_request_id": "4f2a", "timestamp_ms": 1767607200000, "status_code": 200,
    ... "request": "{\\"dataframe_split\\": {\\"columns\\": [\\"amount\\"], \\"data\\": [[129.5]]}}",
    ... "response": "{\\"predictions\\": [1]}", "execution_time_ms": 12,
    ... "request_metadata": {"model_name": "fraud", "model_version": "3", "endpoint_name": "fraud"}}'''
    >>> [(e["id"], e["time"], e["version"], e["features"], e["prediction"]) for e in mlflow(sample, (), ())]
    [('4f2a', 1767607200000, '3', {'amount': 129.5}, 1)]
    """
    message = loads(value)
    about = message.get("request_metadata")
    about = about if isinstance(about, dict) else {}

    def of(*keys: str) -> Any:
        return next((m[k] for m in (message, about) for k in keys if m.get(k) is not None), None)

    return events(
        id=of("client_request_id", "databricks_request_id", "request_id", "id"),
        time=of("timestamp_ms", "request_time", "timestamp", "time"),
        model=of("model_name", "endpoint_name"),
        version=of("model_version", "served_entity_id"),
        attributes={k: v for k, v in message.items() if k not in ("request", "response")},
        request=_inner(message.get("request")),
        response=_inner(message.get("response")),
        names=names,
    )


def cloudevents(value: bytes, headers: Headers, names: Names) -> list[Row]:
    """CloudEvents around events of your own: attributes by name, the payload at `data`, structured, batched or binary.

    >>> cloudevents(b'{"amount": 129.5}', [("ce_id", b"4f2a"), ("ce_type", b"shop.fraud")], ())
    [{'id': '4f2a', 'type': 'shop.fraud', 'time': None, 'data': {'amount': 129.5}}]
    """
    return [{"time": None, **of.attributes, "data": of.data} if "time" in of.attributes
            else {**of.attributes, "time": None, "data": of.data} for of in envelopes(value, headers)]  # fmt: skip


def preset(read: Read) -> Parse:
    """The parser of a preset."""

    def read_one(value: bytes, headers: Headers, plan: AnyPlan) -> Messages:
        found = read(value, headers, plan.format.header)
        few(len(found), plan.max_event)
        return found

    inner = one_by_one(read_one)

    def parse(records: Records, plan: AnyPlan) -> Parsed:
        parsed = inner(records, plan)
        assert isinstance(parsed.rows, DictRows)
        stamps = records.timestamps_ms
        binary = plan.model.task == "binary"
        rows = []
        for m, i in zip(parsed.rows.messages, parsed.records.tolist(), strict=True):
            row = dict(m)
            if row["time"] is None and stamps[i] >= 0:
                row["time"] = int(stamps[i])
            scores = row.get("score")
            if binary and isinstance(scores, list) and len(scores) == 2:
                row["score"] = scores[1]
            rows.append(row)
        return replace(parsed, rows=DictRows(rows, plan))

    return parse


PRESETS: Final[Mapping[str, tuple[Read, Fields]]] = {
    "kserve_v1": (kserve_v1, FIELDS),
    "kserve_v2": (kserve_v2, FIELDS),
    "seldon": (seldon, FIELDS),
    "triton": (triton, FIELDS),
    "sagemaker": (sagemaker, FIELDS),
    "mlflow": (mlflow, FIELDS),
    "databricks": (mlflow, FIELDS),
    "cloudevents": (cloudevents, ENVELOPE_FIELDS),
}


def recognise(values: Sequence[bytes]) -> str:
    """The preset that JSON messages look like; "" when they are like none.

    >>> recognise([b'{"captureData": {}, "eventMetadata": {}}']), recognise([b'{"id": 1}'])
    ('sagemaker', '')
    """
    found = set()
    for value in values:
        try:
            message = plain_json.loads(value)
        except (ValueError, RecursionError):
            continue
        found.add(_looks_like(message) if isinstance(message, dict) else "")
    return found.pop() if len(found) == 1 else ""


def _looks_like(message: dict[str, Any]) -> str:
    kind, data = str(message.get("type")), message.get("data")
    if "captureData" in message and "eventMetadata" in message:
        return "sagemaker"
    if "databricks_request_id" in message:
        return "databricks"
    if "specversion" in message:
        if kind.startswith("io.seldon."):
            return "seldon"
        if kind.startswith("org.kubeflow.serving."):
            tensors = isinstance(data, dict) and ("inputs" in data or "outputs" in data)
            return "kserve_v2" if tensors else "kserve_v1"
        return "cloudevents"
    return ""
