"""The suite that a schema registry and its twin in memory pass, and what only a real one can show."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Protocol

import pytest
from confluent_kafka.schema_registry import Schema as Registered
from confluent_kafka.schema_registry import SchemaReference

from connectors.memory_schemas import MemorySchemas
from connectors.schema_registry import UNKNOWN_SECONDS, RegistrySchemas
from deploy.kafka.node import free_port
from deploy.kafka.registry import Registry
from stream_monitor.errors import Unreachable
from stream_monitor.interfaces import Schema, Schemas
from tests.registry.makers import admin
from tests.servers import wait_until

_NUMBERS = itertools.count()
TYPES = {"avro": "AVRO", "protobuf": "PROTOBUF", "json_schema": "JSON"}


class Place(Protocol):
    """A registry with its other side."""

    def register(self, schema: Schema) -> int: ...
    def client(self) -> Schemas: ...
    def silence(self, silent: bool) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self._schemas = MemorySchemas()
        self.register = self._schemas.register

    def client(self) -> Schemas:
        return self._schemas

    def silence(self, silent: bool) -> None:
        self._schemas.down = silent


class Real:
    def __init__(self, server: Registry) -> None:
        self._server = server
        self._admin = admin(server.url)
        self._made: list[RegistrySchemas] = []

    def close(self) -> None:
        self._server.thaw()
        self._admin.__exit__()
        for schemas in self._made:
            schemas.close()

    def register(self, schema: Schema) -> int:
        """Under new subjects, its references first."""
        made: dict[str, SchemaReference] = {}
        for name, text in schema.references:
            made[name] = self._register(schema.kind, text, _needed(text, made), name)[1]
        return self._register(schema.kind, schema.text, _needed(schema.text, made), "")[0]

    def _register(
        self, kind: str, text: str, references: list[SchemaReference], name: str
    ) -> tuple[int, SchemaReference]:
        subject = f"s{next(_NUMBERS)}"
        id = self._admin.register_schema(subject, Registered(text, TYPES[kind], references))
        return id, SchemaReference(name, subject, 1)

    def client(self) -> Schemas:
        self._made.append(RegistrySchemas(self._server.url, {"timeout": 1}))
        return self._made[-1]

    def silence(self, silent: bool) -> None:
        if silent:
            self._server.freeze()
        else:
            self._server.thaw()


def _needed(text: str, made: dict[str, SchemaReference]) -> list[SchemaReference]:
    return [reference for name, reference in made.items() if f'"{name}"' in text]


@pytest.fixture(params=["memory", "real"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "memory":
        yield InMemory()
        return
    server: Registry = request.getfixturevalue("schema_registry")
    with closing(Real(server)) as real:
        yield real


def inner(name: str) -> str:
    return json.dumps({"type": "record", "name": name, "fields": [{"name": "x", "type": "double"}]})


def outer(name: str, of: str) -> str:
    return json.dumps({"type": "record", "name": name, "fields": [{"name": "of", "type": of}]})


PROTO = 'syntax = "proto3"; package geo; message Point { double x = 1; }'
IMPORTS = 'syntax = "proto3"; import "geo/point.proto"; message Event { geo.Point at = 1; }'


@pytest.mark.parametrize(
    "schema",
    [
        Schema(kind="avro", text=inner("Plain")),
        Schema(kind="avro", text=outer("Uses", "Inner"), references=(("Inner", inner("Inner")),)),
        Schema(
            kind="avro",
            text=outer("Top", "Middle"),
            references=(("Inner", inner("Inner")), ("Middle", outer("Middle", "Inner"))),
        ),
        Schema(kind="protobuf", text=PROTO),
        Schema(kind="protobuf", text=IMPORTS, references=(("geo/point.proto", PROTO),)),
        Schema(kind="json_schema", text='{"type": "object", "properties": {"x": {"type": "number"}}}'),
    ],
)
def test_a_schema_with_all_it_refers_to(place: Place, schema: Schema) -> None:
    found = place.client().schema(place.register(schema))
    assert found.kind == schema.kind
    assert [name for name, _ in found.references] == [name for name, _ in schema.references]
    texts = [text for _, text in (*found.references, ("", found.text))]
    expected = [text for _, text in (*schema.references, ("", schema.text))]
    assert ["".join(text.split()) for text in texts] == ["".join(text.split()) for text in expected]


def test_an_unknown_id_is_a_key_error(place: Place) -> None:
    schemas = place.client()
    for id in (0, 987_654, (1 << 31) - 1, (1 << 32) - 1):
        with pytest.raises(KeyError):
            schemas.schema(id)


def test_silence_is_unreachable_and_known_schemas_need_no_answer(place: Place) -> None:
    first, second = (place.register(Schema(kind="avro", text=inner(name))) for name in ("First", "Second"))
    schemas = place.client()
    schemas.ping()
    known = schemas.schema(first)
    place.silence(True)
    for ask in (lambda: schemas.schema(second), schemas.ping):
        with pytest.raises(Unreachable):
            ask()
    if not isinstance(schemas, MemorySchemas):  # the twin keeps nothing beside what it is
        assert schemas.schema(first) == known
    place.silence(False)
    schemas.ping()
    wait_until(lambda: found(schemas, second), 30, "an answer")  # the last silence may still be told of


def test_a_silent_registry_keeps_nobody_waiting_twice(
    schema_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question stays open: who asks it again does not wait, and finds the answer once it is there."""
    monkeypatch.setattr("connectors.schema_registry.PATIENCE_SECONDS", 0.1)
    asked: list[int] = []
    with (
        closing(RegistrySchemas(schema_registry.url, {"timeout": 60})) as schemas,
        closing(Real(schema_registry)) as real,
    ):
        id = real.register(Schema(kind="avro", text=inner(f"Silent{next(_NUMBERS)}")))
        fetch = schemas._fetch

        def counted(id: int) -> Schema:
            asked.append(id)
            return fetch(id)

        monkeypatch.setattr(schemas, "_fetch", counted)
        schema_registry.freeze()
        for _ in range(1_000):
            with pytest.raises(Unreachable, match=f"no answer yet to what schema {id} is"):
                schemas.schema(id)
        schema_registry.thaw()
        wait_until(lambda: found(schemas, id), 30, "an answer")
        assert asked == [id]


def found(schemas: Schemas, id: int) -> bool:
    try:
        return schemas.schema(id).kind == "avro"
    except Unreachable:
        return False


def test_what_is_no_registry_is_unreachable_not_empty(schema_registry: Registry) -> None:
    for url, said in (
        (f"http://127.0.0.1:{free_port()}", "refused"),
        (schema_registry.root, "404"),
        (f"{schema_registry.root}/nowhere", "is the path of its url right"),
    ):
        with closing(RegistrySchemas(url)) as schemas:
            with pytest.raises(Unreachable, match=said):
                schemas.ping()
            with pytest.raises(Unreachable, match=said):
                schemas.schema(1)


def test_a_password_is_in_no_error() -> None:
    port = free_port()
    for schemas in (
        RegistrySchemas(f"http://me:hunter2@127.0.0.1:{port}/x"),
        RegistrySchemas(f"http://127.0.0.1:{port}/x", {"basic.auth.user.info": "me:hunter2"}),
    ):
        with closing(schemas), pytest.raises(Unreachable) as caught:
            schemas.ping()
        assert f"http://127.0.0.1:{port}/x" in str(caught.value)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"no.such.option": 1}, "no.such.option"),
        ({"max.retries": "x"}, "max.retries"),
        ({"basic.auth.user.info": "nobody"}, "basic.auth.user.info"),
    ],
)
def test_options_are_the_clients_own(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RegistrySchemas("http://127.0.0.1:1", options)


def test_an_unknown_id_is_asked_for_again_after_a_while(schema_registry: Registry) -> None:
    now = [0.0]
    with (
        closing(RegistrySchemas(schema_registry.url, clock=lambda: now[0])) as schemas,
        closing(Real(schema_registry)) as real,
    ):
        id = real.register(Schema(kind="avro", text=inner(f"Known{next(_NUMBERS)}"))) + 1
        with pytest.raises(KeyError):
            schemas.schema(id)
        assert real.register(Schema(kind="avro", text=inner(f"Late{next(_NUMBERS)}"))) == id
        with pytest.raises(KeyError):
            schemas.schema(id)
        now[0] = UNKNOWN_SECONDS
        assert schemas.schema(id).kind == "avro"
