"""docker-compose.yml: valid by its schema, pinned, on loopback, and every command is one that exists."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from deploy.compose.__main__ import parser as demo_parser
from stream_monitor.shell.arguments import parser as service_parser
from tests.deploy.files import COMPOSE, ROOT, compose

SCHEMA = Path(__file__).with_name("compose-spec.json")
SERVICES: dict[str, dict[str, Any]] = compose()["services"]
ROLES = {"kafka", "redis", "alertmanager", "prometheus", "grafana", "tap", "worker", "api", "prepare", "traffic"}


def test_the_schema_is_the_published_one() -> None:
    digest = hashlib.sha256(SCHEMA.read_bytes()).hexdigest()
    assert digest in SCHEMA.with_name("PROVENANCE.md").read_text()


def test_it_is_a_compose_file() -> None:
    validator = jsonschema.Draft7Validator(json.loads(SCHEMA.read_text()))
    assert list(validator.iter_errors(compose())) == []
    assert list(validator.iter_errors({"services": {"a": {"imag": "x"}}}))  # the schema does refuse something


def test_everything_is_there() -> None:
    assert set(SERVICES) == ROLES


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_are_pinned(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9/-]+:v?\d+\.\d+\.\d+(-alpine)?", SERVICES[name]["image"])


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_on_loopback(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert port.startswith("127.0.0.1:"), port


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"prepare", "traffic"}))
def test_long_running_ones_are_checked_and_restarted(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_dependencies_exist_and_can_be_met(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        else:
            assert how["condition"] == "service_completed_successfully"
            assert "restart" not in SERVICES[other]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_volumes_exist(name: str) -> None:
    for volume in SERVICES[name].get("volumes", ()):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert volume.endswith(":ro")
        else:
            assert source in compose()["volumes"]


@pytest.mark.parametrize("name", ["tap", "worker", "api", "prepare", "traffic"])
def test_our_containers_can_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert (ROOT / service["build"]["dockerfile"]).exists()


@pytest.mark.parametrize("name", ["tap", "worker", "api"])
def test_role_commands_are_commands(name: str) -> None:
    arguments = service_parser().parse_args(SERVICES[name]["command"])
    assert arguments.verb == name
    mounted = [v.split(":")[1] for v in SERVICES[name]["volumes"]]
    assert arguments.config in mounted
    if name != "api":
        probe = SERVICES[name]["healthcheck"]["test"][-1]
        assert f"127.0.0.1:{arguments.http}/healthz" in probe


@pytest.mark.parametrize("name", ["prepare", "traffic"])
def test_demo_commands_are_commands(name: str) -> None:
    assert demo_parser().parse_args(SERVICES[name]["command"]).command == name


def test_no_secret_is_written_out() -> None:
    for line in COMPOSE.read_text().splitlines():
        name, _, value = line.partition(": ")
        if re.search(r"(?i)password|secret|token|_keys?$", name.strip()) and not name.lstrip().startswith("#"):
            assert value.startswith("${"), line
