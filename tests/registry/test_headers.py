"""Events whose schema is named in a header, as confluent-kafka's own serializers write them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient, header_schema_id_serializer
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.schema_registry.serde import SchemaId
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError

from connectors.schema_registry import RegistrySchemas
from deploy.kafka.registry import Registry
from stream_monitor.config import Fields
from stream_monitor.counting.batches import Headers
from stream_monitor.errors import Unreachable
from stream_monitor.formats import FORMATS, decode, decode_labels
from stream_monitor.formats.framing import HEADER, Id, number_of
from tests.registry.makers import NOW, admin, labels_plan, plan, record, records, shown
from tests.registry.test_protobuf import EVENT as PROTO
from tests.registry.test_protobuf import event as proto_event
from tests.registry.test_protobuf import message, proto

AVRO = record(
    ("gone", ["null", "int"]),  # the event begins with a zero byte
    ("id", "string"),
    ("ts", "long"),
    ("f", record(("d", "double"), name="F")),
    ("y", "int"),
)
_TOPICS = (f"headers{i}" for i in itertools.count())
FIELDS = Fields(id="id", time="ts", features=("f.d",), prediction="y")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A registry, and how a producer names its schemas."""

    client: SchemaRegistryClient
    schemas: RegistrySchemas
    named: Callable[..., bytes]  # the serializers' option schema.id.serializer: takes in a header, gives the value
    latest: Callable[[str], Id]  # the name of a subject's schema
    unknown: tuple[bytes, Id]  # a header, and the schema it names, which is not there


def ids_in_headers(payload: bytes, context: SerializationContext, id: SchemaId) -> bytes:
    """What the client reads (`dual_schema_id_deserializer`), and other writers write: an id where a GUID may stand."""
    assert isinstance(context.headers, list)
    context.headers.append((HEADER, id.id_to_bytes()))
    return payload


@pytest.fixture(params=["guids", "ids"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Ids: a real registry. GUIDs: the client's twin of one, as Apicurio has none (test_a_registry_without_guids)."""
    with ExitStack() as closing_all:
        if request.param == "guids":
            patched = closing_all.enter_context(pytest.MonkeyPatch.context())
            client = SchemaRegistryClient.new_client({"url": "mock://"})
            for name in ("get_schema", "get_schema_by_guid"):
                patched.setattr(client, name, _as_servers_say(getattr(client, name)))
            schemas = closing_all.enter_context(closing(RegistrySchemas("http://127.0.0.1:1")))
            patched.setattr(schemas, "_client", client)
            yield Place(
                client=client,
                schemas=schemas,
                named=header_schema_id_serializer,
                latest=lambda subject: str(client.get_latest_version(subject).guid),
                unknown=(b"\x01" + bytes(15) + b"\x07", "00000000-0000-0000-0000-000000000007"),
            )
            return
        server: Registry = request.getfixturevalue("schema_registry")
        client = closing_all.enter_context(admin(server.url))
        yield Place(
            client=client,
            schemas=closing_all.enter_context(closing(RegistrySchemas(server.url))),
            named=ids_in_headers,
            latest=lambda subject: int(client.get_latest_version(subject).schema_id),
            unknown=(b"\x00" + (987_654).to_bytes(4, "big"), 987_654),
        )


def _as_servers_say(ask: Callable[..., Any]) -> Callable[..., Any]:
    """The twin says of a schema that it has not what servers say."""

    def asked(*args: Any) -> Any:
        try:
            return ask(*args)
        except SchemaRegistryError as error:
            raise SchemaRegistryError(404, 40403, error.error_message) from None

    return asked


def writer(place: Place, format: str) -> Any:
    """What writes an event's value, and its header into the context."""
    client, options = place.client, {"schema.id.serializer": place.named}
    if format == "avro":
        return AvroSerializer(client, json.dumps(AVRO), conf=options)
    if format == "json_schema":
        schema = {"title": "Event", "type": "object", "properties": {"y": {"type": "number"}}}
        return JSONSerializer(json.dumps(schema), client, conf=options)
    of = proto(PROTO)
    write = ProtobufSerializer(type(message(of)), client, {"use.deprecated.format": False, **options})

    def one(event: dict[str, Any], where: SerializationContext) -> bytes:
        made = proto_event(event["y"], of)
        made.f.d = event["f"]["d"]
        return bytes(write(made, where))

    return one


def written(place: Place, format: str, n: int = 20) -> tuple[list[bytes], list[Headers], str]:
    """Values, their headers and their schema's subject."""
    write, topic = writer(place, format), next(_TOPICS)
    values: list[bytes] = []
    headers: list[Headers] = []
    for i in range(n):
        told: list[tuple[str, bytes]] = [("trace", b"1")]
        where = SerializationContext(topic, MessageField.VALUE, told)
        values.append(write({"id": f"e{i}", "ts": NOW + i, "f": {"d": i / 2}, "y": i}, where))
        headers.append(told)
    return values, headers, f"{topic}-value"


@pytest.mark.parametrize("format", ["avro", "json_schema", "protobuf"])
def test_the_same_events(place: Place, format: str) -> None:
    assert FORMATS[format].headers
    values, headers, subject = written(place, format)
    its = plan(format, place.schemas, FIELDS)
    batch, dead = decode(replace(records(values), headers=headers), its, None, NOW)
    assert not dead
    assert batch.times_ms.tolist() == [NOW + i for i in range(20)]
    assert shown(batch.features[0]) == [i / 2 for i in range(20)]
    assert batch.prediction is not None
    assert shown(batch.prediction) == [float(i) for i in range(20)]
    assert batch.schema_ids is not None
    assert batch.schema_ids.tolist() == [number_of(place.latest(subject))] * 20


@pytest.mark.parametrize("format", ["avro", "json_schema", "protobuf"])
def test_headers_that_name_nothing(place: Place, format: str) -> None:
    values, good, _ = written(place, format, 5)
    unknown, name = place.unknown
    unknown += b"\x00" * (format == "protobuf")
    headers: list[Headers] = [good[0], [(HEADER, b"\x02")], [(HEADER, unknown)], [(HEADER, None)], good[4]]
    batch, dead = decode(replace(records(values), headers=headers), plan(format, place.schemas, FIELDS), None, NOW)
    assert len(batch) == 2
    assert [(d.index, d.reason) for d in dead] == [(i, "unknown_schema") for i in (1, 2, 3)]
    assert "names no schema: 02" in dead[0].detail
    assert f"no schema {name}" in dead[1].detail


def test_ids_in_headers_and_in_front(place: Place) -> None:
    """Producers are changed one after another; and an old id may stand in the header, too."""
    values, headers, subject = written(place, "avro", 2)
    id = place.client.get_latest_version(subject).schema_id.to_bytes(4, "big")
    mixed = [values[0], b"\x00" + id + values[1], values[1]]
    told: list[Headers] = [headers[0], (), [(HEADER, b"\x00" + id)]]
    batch, dead = decode(replace(records(mixed), headers=told), plan("avro", place.schemas, FIELDS), None, NOW)
    assert not dead
    assert batch.times_ms.tolist() == [NOW, NOW + 1, NOW + 1]


def test_labels(place: Place) -> None:
    values, headers, _ = written(place, "avro", 3)
    batch, dead = decode_labels(replace(records(values), headers=headers), labels_plan("avro", place.schemas), NOW)
    assert (batch.ids, batch.labels, dead) == (["e0", "e1", "e2"], [0.0, 1.0, 2.0], [])


def test_a_registry_without_guids(schema_registry: Registry) -> None:
    """Apicurio 3.3 gives its schemas no GUID, so the client writes none, and one from elsewhere is unknown to it.

    Not proven against a server: that a GUID which a registry has given is found there again.
    """
    with admin(schema_registry.url) as client, closing(RegistrySchemas(schema_registry.url)) as schemas:
        write = AvroSerializer(client, json.dumps(AVRO), conf={"schema.id.serializer": header_schema_id_serializer})
        event = {"gone": None, "id": "e", "ts": NOW, "f": {"d": 0.5}, "y": 1}
        with pytest.raises(SerializationError, match="GUID is not set"):
            write(event, SerializationContext(next(_TOPICS), MessageField.VALUE, []))
        told: Headers = [(HEADER, b"\x01" + bytes(16))]
        with pytest.raises(Unreachable, match=r"answers 404 .*\(does it know GUIDs, which headers name schemas by\?\)"):
            decode(replace(records([b""]), headers=[told]), plan("avro", schemas, FIELDS), None, NOW)
