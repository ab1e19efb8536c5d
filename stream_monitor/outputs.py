"""What the fold puts out: a pure function of a prefix of the log, so whoever folds it again puts out the same bytes."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

OutputKind = Literal["verdict", "alert", "retrain-request", "layout", "reference", "window", "model", "counters"]


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """One message or status document.

    verdict, alert, retrain-request: to their topics as CloudEvents and to the status store. layout (body {"model",
    "layout": id}) and reference (body {"model", "version", "reference": id}): the object is in the catalog and goes to
    its compacted topic. window, model, counters: to the status store only.
    """

    kind: OutputKind
    model: str
    id: str  # a function of the content; ce_id of a message
    order: str  # sorts it in the status store, e.g. RFC 3339 start + version + segment
    revision: int
    time_ms: int  # event or block time, never the wall clock
    body: dict[str, Any]
