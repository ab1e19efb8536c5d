"""Fixtures shared by all rooms: real servers, once a session, and a browser."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from deploy.kafka import registry
from deploy.kafka.node import LIBS, Node, fetch
from tests import servers

# How long an example takes says something about the machine. In CI examples are the same every time (hypothesis's own).
settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def _kafka_jars() -> None:
    if any(LIBS.glob("kafka_2.13-*.jar")):
        return
    try:
        fetch()
    except (OSError, subprocess.CalledProcessError) as error:
        servers.need(False, f"Apache Kafka ({error})", "`make kafka` once, with Maven and Java 17 or later installed")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One Apache Kafka node for the session. Tests that stop or kill it must start it again; use fresh topic names."""
    servers.need_program("java", "openjdk-17-jre-headless")
    _kafka_jars()
    node = Node(tmp_path_factory.mktemp("kafka"))
    node.start()
    yield node
    node.stop()


def _registry() -> None:
    servers.need(registry.find_java() is not None, f"Java {registry.JAVA} for a schema registry", registry.REMEDY)
    try:
        registry.fetch()
    except (OSError, subprocess.CalledProcessError) as error:
        servers.need(False, f"a schema registry ({error})", registry.REMEDY)


@pytest.fixture(scope="session")
def schema_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[registry.Registry]:
    """A real schema registry, in memory; `.url` is its address. Use subjects of your own; thaw it if you freeze it."""
    _registry()
    server = registry.Registry(tmp_path_factory.mktemp("registry"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[Node]:
    """A node of the test's own, for tests that break it."""
    servers.need_program("java", "openjdk-17-jre-headless")
    _kafka_jars()
    node = Node(tmp_path / "kafka")
    node.start()
    yield node
    node.stop()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis; use a database number or a prefix of your own."""
    server = servers.redis_server(tmp_path_factory.mktemp("redis"))
    server.start(servers.redis_ready(server))
    yield f"redis://127.0.0.1:{server.port}/0"
    server.stop()


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[servers.Server]:
    """A real Alertmanager; `.url` is its address."""
    server = servers.alertmanager_server(tmp_path)
    server.start(lambda: servers.answers(f"{server.url}/-/ready"))
    yield server
    server.stop()
