"""The Dockerfile: pinned, locked by hashes, nothing from the net but packages, and not root."""

from __future__ import annotations

import re

import pytest

from tests.deploy.files import DEPLOY, ROOT, compose

TEXT = (DEPLOY / "Dockerfile").read_text()
LINES = [
    line.strip()
    for line in re.sub(r"\\\n", " ", "\n".join(t for t in TEXT.splitlines() if not t.startswith("#"))).splitlines()
    if line.strip()
]
INSTRUCTIONS = [tuple(line.split(None, 1)) for line in LINES]


def stages() -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for word, rest in INSTRUCTIONS:
        if word == "FROM":
            found[rest.split()[2]] = []
        found[next(reversed(found))].append((word, rest))
    return found


STAGES = stages()


def lineage(stage: str) -> list[tuple[str, str]]:
    """The instructions of a stage after those of the stages it begins from."""
    base = STAGES[stage][0][1].split()[0]
    return (lineage(base) if base in STAGES else []) + STAGES[stage]


def test_the_base_is_pinned_to_a_release() -> None:
    bases = {rest.split()[0] for word, rest in INSTRUCTIONS if word == "FROM"} - set(STAGES)
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.1[1-3]\.\d+-slim-[a-z]+", bases.pop())


def test_every_stage_has_a_name_and_the_default_is_the_service() -> None:
    assert list(STAGES)[-1] == "service"
    assert {s["build"]["target"] for s in compose()["services"].values() if "build" in s} <= set(STAGES)


@pytest.mark.parametrize("stage", ["service", "demo"])
def test_what_runs_is_not_root(stage: str) -> None:
    users = [rest for word, rest in lineage(stage) if word == "USER"]
    assert users
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])  # numbers, so that runAsNonRoot can see it


def test_nothing_is_added_from_an_address() -> None:
    assert not [rest for word, rest in INSTRUCTIONS if word == "ADD"]
    assert "://" not in "\n".join(LINES)
    assert not re.search(r"\b(curl|wget|git clone|apt-get)\b", "\n".join(LINES))


def test_every_package_is_locked_by_its_hash() -> None:
    installs = [rest for word, rest in INSTRUCTIONS if word == "RUN" and "pip install" in rest]
    assert len(installs) == 4
    for command in installs:
        assert "--require-hashes" in command or ("--no-index" in command and "--no-deps" in command), command


def test_what_is_copied_is_there_and_not_ignored() -> None:
    kept = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    for word, rest in INSTRUCTIONS:
        if word == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert source in kept, source


def test_the_service_has_no_build_tool() -> None:
    assert not [rest for word, rest in lineage("service") if "requirements-dev" in rest]
    copies = [rest for word, rest in STAGES["service"] if word == "COPY"]
    assert copies == ["--from=packages /opt/venv /opt/venv"]


def test_the_entry_point_is_the_command() -> None:
    assert ("ENTRYPOINT", '["stream-monitor"]') in STAGES["service"]
    assert 'stream-monitor = "stream_monitor.__main__:main"' in (ROOT / "pyproject.toml").read_text()
