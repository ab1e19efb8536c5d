"""Everything the fold puts out for the public is what the published schemas say."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import jsonschema
import pytest

from stream_monitor.config import MonitorSpec, Retrain
from tests.fold.makers import SECOND, Event, Run, Tap, bodies, steady

NAMES = ("window", "verdict", "alert", "retrain-request")


def schema(name: str) -> dict[str, Any]:
    text = resources.files("stream_monitor").joinpath(f"schemas/{name}.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def eventful() -> Run:
    """A run in which everything happens: empty windows, drift, late events, alarms, commands."""
    monitors = (
        MonitorSpec(metric="error_rate", threshold=0.5, warning=0.3),
        MonitorSpec(metric="missing_rate", threshold=0.5),
        MonitorSpec(metric="psi"),
        MonitorSpec(metric="error_rate", detector="page_hinkley"),
    )
    run, tap = Run(model=steady(monitors=monitors, retrain=Retrain(cooldown=0))), Tap()
    for i in range(12):
        right, x = not 2 <= i < 6, None if i == 8 else 0.5
        run.feed(
            tap.block(
                [Event(at=(i * 10 + k) * SECOND, right=right, x=x, segments=("country=de",)) for k in range(10)],
                alarm="topic recreated" if i == 7 else "",
            )
        )
    run.feed(tap.block([Event(at=95 * SECOND, right=True)]), tap.block(at=10_000 * SECOND, idle=True))
    run.command("retrain", {"model": "m", "version": "", "reason": "by hand"})
    return run


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_as_published(name: str) -> None:
    validator = jsonschema.Draft202012Validator(schema(name))
    found = bodies(eventful().outputs, name)
    assert len(found) > 1
    for body in found:
        validator.validate(body)


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_schemas_and_name_every_field(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))
    for body in bodies(eventful().outputs, name):
        assert set(body) <= set(schema(name)["properties"])


def test_a_schema_refuses_what_is_not_so() -> None:
    body = bodies(eventful().outputs, "verdict")[0]
    validator = jsonschema.Draft202012Validator(schema("verdict"))
    for wrong in ({"level": "bad"}, {"start": "2026-01-01"}, {"value": "0.5"}, {"rows": -1}):
        assert not validator.is_valid({**body, **wrong})
