"""What the fold puts out, as messages for Kafka (CloudEvents 1.0, binary mode) and as status documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from stream_monitor.interfaces import Document
from stream_monitor.moments import rfc3339
from stream_monitor.outputs import Output

TOPICS: Final[Mapping[str, str]] = {"verdict": "verdicts", "alert": "alerts", "retrain-request": "retrain-requests"}
KINDS: Final[Mapping[str, str]] = {f"stream-monitor.{kind}.v1": kind for kind in TOPICS}  # by ce_type
DOCUMENTS: Final = frozenset({*TOPICS, "window", "model", "counters"})

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a public topic. `topic` is without the prefix."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


def message(output: Output, source: str) -> Message | None:
    """The CloudEvent of a verdict, alert or retrain request from `source`; None for outputs that have no topic."""
    topic = TOPICS.get(output.kind)
    if topic is None:
        return None
    headers = {
        "ce_specversion": "1.0",
        "ce_id": output.id,
        "ce_source": source,
        "ce_type": f"stream-monitor.{output.kind}.v1",
        "ce_time": rfc3339(output.time_ms),
        "content-type": "application/json",
    }
    return Message(
        topic=topic,
        key=output.model.encode(),
        value=_encode(output.body),
        headers=tuple((name, value.encode()) for name, value in headers.items()),
    )


def document(output: Output) -> Document | None:
    """The status document of an output; None for layouts and references.

    An alert is one document through all its transitions; everything else is kept under the output's own id.
    """
    if output.kind not in DOCUMENTS:
        return None
    id = str(output.body["id"]) if output.kind == "alert" else output.id
    return Document(
        kind=output.kind,
        scope=output.model,
        id=id,
        order=output.order,
        revision=output.revision,
        body=_encode(output.body),
    )


def read(value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> tuple[str, str, dict[str, Any]]:
    """(kind, ce_id, body) of a message of a public topic. ValueError if it is not one of ours."""
    told = {name: data.decode("utf-8", "replace") for name, data in headers if data is not None}
    kind = KINDS.get(told.get("ce_type", ""))
    if kind is None or not told.get("ce_id") or value is None:
        raise ValueError(f"no CloudEvent of ours: ce_type {told.get('ce_type')!r}, ce_id {told.get('ce_id')!r}")
    try:
        return kind, told["ce_id"], msgspec.json.decode(value, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ValueError(f"the body of {told['ce_id']} is no JSON object: {error}") from error
