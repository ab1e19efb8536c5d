"""What a user types and writes: formats in the file, `init` and `check --connect` with a registry, `list formats`."""

from __future__ import annotations

import itertools
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from connectors.kafka_clients import Connection
from connectors.kafka_topics import Topics, TopicSpec
from connectors.memory_schemas import MemorySchemas
from deploy.kafka.node import Node, free_port
from deploy.kafka.registry import Registry as Server
from stream_monitor.__main__ import main
from stream_monitor.config.files import read_config
from stream_monitor.errors import ConfigError, Unreachable
from stream_monitor.shell.init import Registry, Sample, look, render
from stream_monitor.shell.tables import known_tables
from tests.registry.makers import admin, avro, avro_schema, record

_NUMBERS = itertools.count()
EVENT = record(
    ("request_id", "string"),
    ("ts", {"type": "long", "logicalType": "timestamp-millis"}),
    ("features", record(("amount", "double"), ("country", "string"), ("raw", "bytes"), name="F")),
    ("prediction", "int"),
    ("score", "double"),
)


def event(i: int, rng: random.Random) -> dict[str, Any]:
    return {
        "request_id": f"r{i}",
        "ts": 1_767_225_600_000 + i * 1000,
        "features": {"amount": rng.random() * 100, "country": rng.choice(["de", "fr"]), "raw": b"\xff"},
        "prediction": int(rng.random() < 0.1),
        "score": rng.random(),
    }


FILE = """\
kafka:
  schema_registry: {{url: {url}, options: {options}}}
models:
  fraud:
    topic: {topic}
    format: {format}
    task: none
    labels: {{topic: l, format: protobuf, fields: {{id: id, label: y}}}}
    fields: {{id: request_id}}
"""


def written(tmp_path: Path, url: str = "http://registry:8081", options: str = "{}", format: str = "avro") -> str:
    file = tmp_path / "monitor.yaml"
    file.write_text(FILE.format(url=url, options=options, format=format, topic="p"))
    return str(file)


def test_a_registry_in_the_file(tmp_path: Path) -> None:
    options = '{basic.auth.user.info: "${AUTH}", timeout: 2, max.retries: 1}'
    found = read_config(written(tmp_path, options=options), known_tables(), environ={"AUTH": "me:hunter2"})
    registry = found.config.kafka.schema_registry
    assert registry.url == "http://registry:8081"
    assert registry.options == {"basic.auth.user.info": "me:hunter2", "timeout": 2, "max.retries": 1}
    assert "me:hunter2" in found.secrets or "hunter2" in found.secrets
    assert found.config.models["fraud"].format == "avro"


@pytest.mark.parametrize(
    ("changes", "mistakes"),
    [
        ({"url": '""'}, ["kafka.schema_registry", "kafka.schema_registry"]),
        ({"url": "registry:8081"}, ["expected http://HOST:PORT"]),
        ({"format": "avor"}, ["unknown format 'avor'; did you mean 'avro'?"]),
        ({"options": "{url: x}"}, ["set by the service itself"]),
        ({"options": "{no.such: 1}"}, ["no.such"]),
        ({"options": "{ssl.ca.location: /nowhere/ca.pem}"}, ["kafka.schema_registry.options"]),
    ],
)
def test_mistakes(
    tmp_path: Path, changes: dict[str, str], mistakes: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", written(tmp_path, **changes)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(mistakes), lines
    for line, mistake in zip(lines, mistakes, strict=True):
        assert mistake in line


def test_without_a_registry_the_format_has_none(tmp_path: Path) -> None:
    file = tmp_path / "monitor.yaml"
    file.write_text("models: {m: {topic: p, format: json_schema}}")
    with pytest.raises(ConfigError, match=r"models.m.format: json_schema needs kafka.schema_registry"):
        read_config(str(file), known_tables())


def test_formats_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "formats"]) == 0
    lines = {line.split("\t")[0]: line for line in capsys.readouterr().out.splitlines()}
    for name in ("avro", "protobuf", "json_schema"):
        assert "schema registry" in lines[name]


def test_init_reads_what_names_a_schema(tmp_path: Path) -> None:
    schemas, rng = MemorySchemas(), random.Random(1)
    id = avro_schema(schemas, EVENT)
    values = [avro(id, EVENT, event(i, rng)) for i in range(300)]
    registry = Registry(url="https://registry:8081", schemas=schemas, options={"basic.auth.user.info": "${AUTH}"})
    text = render(look("fraud.predictions", "kafka:9092", Sample(values=values), registry=registry))
    file = tmp_path / "monitor.yaml"
    file.write_text(text)
    config = read_config(str(file), known_tables(), environ={"AUTH": "a:b"}).config
    model = config.models["fraud"]
    assert (model.format, model.fields.id, model.fields.time) == ("avro", "request_id", "ts")
    assert {"amount": "numeric", "country": "categorical"}.items() <= dict(model.columns).items()
    assert config.kafka.schema_registry.url == "https://registry:8081"
    assert config.kafka.schema_registry.options == {"basic.auth.user.info": "a:b"}

    blind = render(look("fraud.predictions", "kafka:9092", Sample(values=values)))
    assert "300 begin like those of a schema registry: --schema-registry URL" in blind
    schemas.down = True
    with pytest.raises(Unreachable):
        look("fraud.predictions", "kafka:9092", Sample(values=values), registry=registry)


def test_init_and_check_on_the_real_thing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kafka: Node,
    schema_registry: Server,
    capsys: pytest.CaptureFixture[str],
) -> None:
    topic = f"commands{next(_NUMBERS)}.{time.time_ns()}"
    Topics(Connection(brokers=kafka.bootstrap)).create([TopicSpec(name=topic, partitions=1)])
    rng = random.Random(1)
    with admin(schema_registry.url) as client:
        write, where = AvroSerializer(client, json.dumps(EVENT)), SerializationContext(topic, MessageField.VALUE)
        producer = Producer({"bootstrap.servers": kafka.bootstrap})
        for i in range(200):
            producer.produce(topic, write(event(i, rng), where))
        assert producer.flush(120) == 0
    monkeypatch.chdir(tmp_path)
    asked = ["--brokers", kafka.bootstrap, "--schema-registry", schema_registry.url]
    assert main(["init", "--topic", topic, *asked, "--schema-registry-option", "timeout=x"]) == 2
    assert "timeout must be a number" in capsys.readouterr().err
    assert main(["init", "--topic", topic, *asked, "--schema-registry-option", "timeout=60"]) == 0
    assert "format: avro" in Path("monitor.yaml").read_text()
    capsys.readouterr()
    assert main(["check", "monitor.yaml", "--connect"]) == 0
    assert "schema registry: answers" in capsys.readouterr().out
    file = Path("elsewhere.yaml")
    file.write_text(Path("monitor.yaml").read_text().replace(schema_registry.url, f"http://127.0.0.1:{free_port()}"))
    assert main(["check", "elsewhere.yaml", "--connect"]) == 1
    assert "schema registry: schema registry http://127.0.0.1" in capsys.readouterr().err
