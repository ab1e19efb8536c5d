"""What the pipeline needs from outside. Each connector implements some of these, each with an in-memory twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from detectors.layouts import Layout
from stream_monitor.entries import Command


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in the status store. Of documents with one (kind, scope, id) the one of the greatest `revision` stays.

    `order` sorts documents inside (kind, scope); for windows and verdicts it begins with the RFC 3339 start.
    `ttl_seconds` 0: kept until more than the kind's limit have come after it.
    """

    kind: str  # model | window | verdict | alert | retrain-request | tap | worker | silence | counters | audit
    scope: str  # the model, or "" where the kind has one list
    id: str
    order: str
    revision: int
    body: bytes  # JSON
    ttl_seconds: int = 0


class StatusStore(Protocol):
    """What the API reads. At least once: putting a document again changes nothing."""

    async def put(self, documents: Sequence[Document]) -> None:
        """Keep all of them, or raise; an older revision of a kept document is ignored."""

    async def get(self, kind: str, scope: str, id: str) -> Document | None:
        """The document, if it is kept and has not expired."""

    async def page(
        self,
        kind: str,
        scope: str,
        *,
        after: str = "",
        start: str = "",
        stop: str = "",
        limit: int = 100,
        backwards: bool = False,
    ) -> list[Document]:
        """At most `limit` documents in order of (order, id), with start <= order < stop ("" is open), beyond the
        position `after`, which is "order\\x00id" of the last one seen. `backwards`: the greatest first."""

    async def scopes(self, kind: str) -> list[str]:
        """All scopes that have a document of the kind, sorted."""

    async def ping(self) -> None:
        """Raise if the store cannot be reached."""


class Prediction(msgspec.Struct, frozen=True, array_like=True):
    """What a later label needs to know of a prediction. `position` is (topic, partition, offset) in one text."""

    id: str
    position: str
    time_ms: int
    version: str
    segments: tuple[str, ...]  # "country=de", ...
    prediction: float | str | None
    score: Any  # binary: P(positive); multiclass: class -> probability


class Label(msgspec.Struct, frozen=True, array_like=True):
    """A label event."""

    id: str
    position: str
    time_ms: int
    label: float | str | None


class Joined(msgspec.Struct, frozen=True, array_like=True):
    """A prediction with its label: counted once, at the label's time, by whichever of the two came second."""

    prediction: Prediction
    label: Label


LabelAnswer = Joined | Literal["waiting", "duplicate", "conflict"]


class LabelStore(Protocol):
    """Joins labels to predictions, exactly once each, whatever is replayed.

    The same event (same position) always gets the same answer again, as long as its id is kept (`ttl_ms`).
    Called by the tap's thread, so it blocks.
    """

    def predictions(self, model: str, rows: Sequence[Prediction], ttl_ms: int) -> list[Joined | None]:
        """Remember each; where a label had been waiting for it, the pair."""

    def labels(self, model: str, rows: Sequence[Label], ttl_ms: int) -> list[LabelAnswer]:
        """The pair where the prediction is known, else "waiting"; a second label is a "duplicate" or a "conflict"."""

    def ping(self) -> None:
        """Raise if the store cannot be reached."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """An alert transition or a retrain request on its way to one target."""

    id: str  # ce_id of the message: the same in each retry
    kind: Literal["alert", "retrain-request"]
    target: str  # name of the sink or trigger, as configured: "slack", "webhook[1]"
    body: Mapping[str, Any]
    first_ms: int  # when it was first due
    attempts: int = 0
    due_ms: int = 0
    held: bool = False  # a silence held it back: at its end it is delivered only if nothing newer has happened
    origin: tuple[str, int, int] = ("", -1, -1)  # topic, partition, offset of the message it came from


class Outbox(Protocol):
    """Notices that wait for delivery. Survives a restart; one process at a time holds a notice."""

    async def add(self, notices: Sequence[Notice]) -> None:
        """Keep them, unless the same (id, target) was added in the last two days: added twice is delivered once."""

    async def claim(self, now_ms: int, lease_ms: int, limit: int) -> list[Notice]:
        """Notices due by now, oldest first, not claimed again for `lease_ms`."""

    async def retry(self, notice: Notice, due_ms: int) -> None:
        """Back for `due_ms`, with one attempt more."""

    async def done(self, notice: Notice) -> None:
        """Delivered, or given up: gone, but remembered against a second `add`."""


class Sink(Protocol):
    """Where alerts go. Must be safe to call again with the same notice."""

    resend_seconds: float  # how often a firing alert is sent again while it fires; 0: never

    async def deliver(self, notice: Notice) -> None:
        """Hand it over, or raise DeliveryError."""

    async def close(self) -> None:
        """Let go of connections."""


class Trigger(Protocol):
    """Where retrain requests go. Must be safe to call again with the same notice (its id is the idempotency key)."""

    async def deliver(self, notice: Notice) -> None:
        """Hand it over, or raise DeliveryError."""

    async def close(self) -> None:
        """Let go of connections."""


class CommandLog(Protocol):
    """The way in for what the service is told to do."""

    async def append(self, model: str, command: Command) -> None:
        """Append to the model's partition of the panes topic ("" : to all of them); returns once it is acknowledged."""


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """What a schema registry has under an id. It is never another one.

    `references` are (name, text) of what it refers to, all the way down, each after what it refers to itself. The text
    of a Protobuf schema is a .proto file, or its FileDescriptorProto in base64.
    """

    kind: Literal["avro", "protobuf", "json_schema"]
    text: str
    references: tuple[tuple[str, str], ...] = ()


class Schemas(Protocol):
    """A schema registry. Called by the tap's thread, so it blocks."""

    def schema(self, id: int | str) -> Schema:
        """The schema with that id or, a text, that GUID. KeyError: the registry says that it has none.

        Unreachable: it does not say.
        """

    def ping(self) -> None:
        """Raise Unreachable if it does not answer as a schema registry does."""


class Catalog(Protocol):
    """Immutable things by the hash of their content; a KeyError for an unknown id."""

    def layout(self, id: str) -> Layout:
        """The layout with that id."""

    def blob(self, id: str) -> bytes:
        """A reference (references.py packs and unpacks it) with that id."""

    def add_layout(self, layout: Layout) -> str:
        """Make known in this process; returns its id. Publishing is the business of whoever runs the fold."""

    def add_blob(self, data: bytes) -> str:
        """Make known in this process; returns its id."""

    def forget_blob(self, id: str) -> None:
        """This process asks for it no more; nothing happens if it is not known."""
