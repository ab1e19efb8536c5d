"""A Confluent-compatible schema registry, with confluent-kafka's client, whose options are taken as they are."""

from __future__ import annotations

import base64
import importlib
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from connectors.kafka_clients import ANSWER_SECONDS
from stream_monitor.errors import Unreachable
from stream_monitor.interfaces import Schema

KEPT: Final = 1_000  # schemas at a time
UNKNOWN_KEPT: Final = 10_000
UNKNOWN_SECONDS: Final = 30.0  # until an id that the registry did not have is asked for again
PATIENCE_SECONDS: Final = 1.0  # for an answer; what else there is to do must not wait for a registry that is silent

_KINDS: Final[Mapping[str, Any]] = {"AVRO": "avro", "PROTOBUF": "protobuf", "JSON": "json_schema"}
_NUMBERS: Final = ("timeout", "max.retries", "retries.wait.ms", "retries.max.wait.ms", "cache.latest.ttl.sec")
# No subject, no version, no schema of that id. Any other 404 says that something else listens there.
_UNKNOWN: Final = (40401, 40402, 40403)
_NO_GUIDS: Final = "does it know GUIDs, which headers name schemas by?"


def settings(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the client is made with. Why no retries of its own: whoever asks tries again, and stays answerable."""
    made = {"timeout": ANSWER_SECONDS, "max.retries": 0, **options, "url": url}
    return {name: _number(name, value) if name in _NUMBERS else value for name, value in made.items()}


def _number(name: str, value: Any) -> float:
    """A number, which stands as text where it came from the environment."""
    try:
        return float(value) if name == "timeout" else int(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number, not {value!r}") from None


class RegistrySchemas:
    """Schemas of a registry, at most KEPT of them in memory. ValueError or OSError: `options` cannot be used.

    A question that is not answered within PATIENCE_SECONDS stays open, and whoever asks it again before it is answered
    does not wait at all.
    """

    def __init__(
        self, url: str, options: Mapping[str, Any] | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        try:
            self._client = SchemaRegistryClient(settings(url, options or {}))
        except TypeError as error:
            raise ValueError(str(error)) from None
        self._name = ", ".join(map(_without_password, url.split(",")))
        self._known: dict[int | str, Schema] = {}
        self._unknown: dict[int | str, float] = {}
        self._open: dict[int | str, Future[Schema]] = {}
        self._clock = clock

    def schema(self, id: int | str) -> Schema:
        found = self._known.pop(id, None)
        if found is None:
            if self._unknown.get(id, 0.0) > self._clock():
                raise KeyError(id)
            try:
                found = self._answer(id)
            except KeyError:
                self._unknown.pop(id, None)
                self._unknown[id] = self._clock() + UNKNOWN_SECONDS
                if len(self._unknown) > UNKNOWN_KEPT:
                    del self._unknown[next(iter(self._unknown))]
                raise
        self._known[id] = found
        if len(self._known) > KEPT:
            del self._known[next(iter(self._known))]
        return found

    def ping(self) -> None:
        try:
            self._asked(partial(self._client.get_schema, 0))
        except KeyError:
            pass  # it answers as a registry that has no such schema

    def close(self) -> None:
        """Let go of the connections."""
        self._client.__exit__()

    def _answer(self, id: int | str) -> Schema:
        """What the registry says, if it says it soon."""
        asked = id in self._open
        answer = self._open.get(id) or _in_background(partial(self._fetch, id))
        try:
            found = answer.result(0 if asked else PATIENCE_SECONDS)
        except TimeoutError:
            self._open[id] = answer
            raise Unreachable(f"schema registry {self._name}: no answer yet to what schema {id} is") from None
        except BaseException:
            self._open.pop(id, None)
            raise
        self._open.pop(id, None)
        return found

    def _fetch(self, id: int | str) -> Schema:
        if isinstance(id, str):
            found = self._asked(partial(self._client.get_schema_by_guid, id), _NO_GUIDS)
        else:
            found = self._asked(partial(self._client.get_schema, id))
        references: dict[str, str] = {}
        self._collect(found, references, ())
        kind = _KINDS.get(found.schema_type or "AVRO")
        if kind is None:
            raise KeyError(id)
        text = found.schema_str or ""
        if kind == "protobuf":
            references = {**_confluents_own([text, *references.values()]), **references}
        return Schema(kind=kind, text=text, references=tuple(references.items()))

    def _collect(self, schema: Any, into: dict[str, str], above: tuple[str, ...]) -> None:
        """What the schema refers to, each after what it refers to itself."""
        for reference in schema.references or ():
            if reference.name in into or reference.name in above:
                continue
            subject, version = reference.subject, reference.version
            found = self._asked(partial(self._client.get_version, subject, version, deleted=True)).schema
            self._collect(found, into, (*above, reference.name))
            into[reference.name] = found.schema_str or ""

    def _asked(self, ask: Callable[[], Any], doubt: str = "is the path of its url right?") -> Any:
        """The answer; KeyError when it is that there is none. `doubt` is said where the question is not known."""
        try:
            return ask()
        except SchemaRegistryError as error:
            if error.http_status_code == 404 and error.error_code in _UNKNOWN:
                raise KeyError(str(error)) from None
            why = f"answers {error.http_status_code} {error.error_message or ''}".strip()
            if error.http_status_code == 404:
                why += f" ({doubt})"
        except Exception as error:  # which library's errors they are depends on the client's version
            why = str(error) or type(error).__name__
        raise Unreachable(f"schema registry {self._name}: {why}")


def _in_background(ask: Callable[[], Schema]) -> Future[Schema]:
    """The answer to come. Why not an executor: its threads would hold up the end of the process."""
    answer: Future[Schema] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, name="schema", daemon=True).start()
    return answer


def _without_password(url: str) -> str:
    parts = urlsplit(url.strip())
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _confluents_own(texts: list[str]) -> dict[str, str]:
    """Files that Confluent's registry takes for granted, where a text imports them."""
    found = {}
    for name in ("confluent/meta", "confluent/type/decimal", "confluent/types/decimal"):
        if any(f'"{name}.proto"' in text for text in texts):
            module = importlib.import_module(f"confluent_kafka.schema_registry.{name.replace('/', '.')}_pb2")
            found[f"{name}.proto"] = base64.b64encode(module.DESCRIPTOR.serialized_pb).decode()
    return found
