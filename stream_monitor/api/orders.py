"""What the service may be told to do over HTTP: bodies of requests, and the commands of the log that they become.

An order is written to the audit log before it is appended, and again when the log has it: what cannot be audited is not
done.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated, Any, Final

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from stream_monitor.config import HOUR_MS
from stream_monitor.config.values import parse_duration
from stream_monitor.entries import Command, CommandKind
from stream_monitor.interfaces import CommandLog, Document, StatusStore
from stream_monitor.moments import epoch_ms, rfc3339

LONGEST_SILENCE_MS: Final = 365 * 24 * HOUR_MS


def _instant(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError("a time is a text in RFC 3339, like 2026-01-01T00:00:00Z")
    try:
        # In a query a "+" that was not quoted arrives as a space.
        at = epoch_ms(value.replace(" ", "+") if value.count(" ") == 1 and "T" in value else value)
    except (ValueError, OverflowError):
        raise ValueError("a time is in RFC 3339 with an offset, like 2026-01-01T00:00:00Z") from None
    if at < 0:
        raise ValueError("a time before 1970")
    return at


def _duration(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError("a duration is a text, like 30m, 2h or 7d")
    return parse_duration(value)


Instant = Annotated[int, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})]
Duration = Annotated[
    int, BeforeValidator(_duration), WithJsonSchema({"type": "string", "examples": ["30m", "2h", "7d"]})
]
Text = Annotated[str, Field(max_length=1_000)]
Name = Annotated[str, Field(max_length=200)]


class _Order(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Acknowledgement(_Order):
    """Somebody has seen the alert."""

    comment: Text = ""


class SilenceOrder(_Order):
    """Nobody is to be told of alerts whose labels have all these values, until a time or for a while."""

    model: Name = ""
    version: Name | None = None
    segment: Name | None = None
    group: Name | None = None
    matchers: dict[Name, Name] = Field(default_factory=dict, max_length=20)
    until: Instant | None = None
    duration: Duration | None = None
    comment: Text = ""

    @model_validator(mode="after")
    def _complete(self) -> SilenceOrder:
        if (self.until is None) == (self.duration is None):
            raise ValueError("say either until or duration")
        if not self.labels():
            raise ValueError("say what is to be silent: model, version, segment, group or matchers")
        return self

    def labels(self) -> dict[str, str]:
        """Every label and the value it must have."""
        own = {"model": self.model or None, "version": self.version, "segment": self.segment, "group": self.group}
        return {**self.matchers, **{name: value for name, value in own.items() if value is not None}}

    def until_ms(self, now_ms: int) -> int:
        """When it ends; ValueError if that is past or more than a year away."""
        until = self.until if self.until is not None else now_ms + (self.duration or 0)
        if not now_ms < until <= now_ms + LONGEST_SILENCE_MS:
            raise ValueError("a silence ends in the future, within a year")
        return until


class Span(_Order):
    """A span of event time."""

    from_: Instant | None = Field(default=None, alias="from")
    to: Instant | None = None

    @model_validator(mode="after")
    def _forwards(self) -> Span:
        if self.from_ is not None and self.to is not None and self.from_ >= self.to:
            raise ValueError("from must be before to")
        return self


class RetrainOrder(Span):
    """A model is to be trained anew, now. Without a span: on what the evidence covers."""

    version: Name = ""
    reason: Text = ""


class Promotion(Span):
    """A span of event time, or a file beside monitor.yaml, is to be what is normal for a version."""

    version: Name = ""
    file: Annotated[str, Field(max_length=4_096)] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Promotion:
        spans = (self.from_ is not None, self.to is not None)
        if any(spans) != all(spans) or all(spans) == (self.file is not None):
            raise ValueError("say either from and to, or file")
        return self


def span_body(span: Span) -> dict[str, str]:
    """`from` and `to` as a command carries them; "" where not said."""
    return {
        "from": "" if span.from_ is None else rfc3339(span.from_),
        "to": "" if span.to is None else rfc3339(span.to),
    }


def command_id(by: str, key: str | None) -> str:
    """Id of a new command. With an `Idempotency-Key` of the caller, the same one for the same caller: it acts once.

    >>> command_id("key:1", "a") == command_id("key:1", "a") != command_id("key:2", "a")
    True
    """
    return hashlib.sha256(f"{by}\x00{key}".encode()).hexdigest()[:32] if key else secrets.token_hex(16)


class Desk:
    """Takes orders: audits them and appends their commands."""

    def __init__(self, store: StatusStore, log: CommandLog) -> None:
        self._store = store
        self._log = log

    async def order(
        self, kind: CommandKind, model: str, body: dict[str, Any], *, id: str, by: str, now_ms: int, about: str
    ) -> Command:
        """Append one command for a model ("": for all), and return it. Raises what the store or the log raises."""
        command = Command(id=id, kind=kind, at_ms=now_ms, by=by, body=body)
        await self._audit(command, model, about, "asked", 1)
        try:
            await self._log.append(model, command)
        except Exception as error:
            await self._audit(command, model, about, f"failed: {type(error).__name__}", 2)
            raise
        await self._audit(command, model, about, "accepted", 2)
        return command

    async def _audit(self, command: Command, model: str, about: str, outcome: str, revision: int) -> None:
        at = rfc3339(command.at_ms)
        body = {
            "id": command.id,
            "at": at,
            "by": command.by,
            "kind": command.kind,
            "model": model,
            "about": about,
            "body": command.body,
            "outcome": outcome,
        }
        order = f"{command.at_ms:015}"
        data = msgspec.json.encode(body)
        await self._store.put(
            [Document(kind="audit", scope="", id=command.id, order=order, revision=revision, body=data)]
        )
