"""Where in a message its parts are: a model's `fields`, compiled once."""

from __future__ import annotations

from dataclasses import dataclass

from stream_monitor.config import Config, Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What decoding a model's events needs to know."""

    name: str
    model: Model
    format: str
    max_event: int  # bytes
    max_future_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelPlan:
    """What decoding a model's label events needs to know."""

    name: str
    model: Model
    format: str
    max_event: int  # bytes
    max_future_ms: int


def event_plan(name: str, config: Config) -> Plan:
    """The plan of the events of model `name`."""
    model = config.models[name]
    return Plan(
        name=name,
        model=model,
        format=model.format,
        max_event=config.kafka.max_event,
        max_future_ms=config.time.max_future,
    )


def label_plan(name: str, config: Config) -> LabelPlan:
    """The plan of the label events of model `name`, which has a labels topic."""
    raise NotImplementedError
