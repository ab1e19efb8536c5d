"""The monitor.yaml of each deployment is one that `check` takes, apart from files that are only there when it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.sinks import SINKS
from connectors.triggers import TRIGGERS
from deploy.compose.__main__ import topics
from stream_monitor.config.files import read_config
from stream_monitor.shell.tables import known_tables
from tests.deploy.files import DEPLOY

SECRETS = {"API_KEYS": "", "KAFKA_PASSWORD": "x", "ALERTMANAGER_URL": "http://alertmanager:9093"}


@pytest.mark.parametrize("name", ["compose", "kubernetes"])
def test_it_is_right(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {**SECRETS, "API_KEYS": "" if name == "compose" else "key"}.items():
        monkeypatch.setenv(variable, value)
    found = read_config(str(DEPLOY / name / "monitor.yaml"), known_tables(sinks=SINKS, triggers=TRIGGERS))
    assert not [c for c in found.cautions if "secret" in str(c)]
    assert found.config.models


def test_compose_prepares_the_topics_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", "")
    config = read_config(str(DEPLOY / "compose" / "monitor.yaml"), known_tables(sinks=SINKS, triggers=TRIGGERS)).config
    read = {t for m in config.models.values() for t in (*m.topic, *([m.labels.topic] if m.labels else []))}
    assert read == set(topics())
    assert {Path(m.reference.file).name for m in config.models.values()} == {f"{n}.parquet" for n in config.models}
