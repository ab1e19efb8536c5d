"""What decoding a model's events, features or labels needs to know: a model's `fields`, compiled once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.layouts import CategoricalLayout, Layout
from stream_monitor.config import Config, Fields, Format, Model
from stream_monitor.config.kinds import DERIVED, derived_from
from stream_monitor.config.monitors import counted_for
from stream_monitor.counting.batches import Mode
from stream_monitor.interfaces import Schemas

Path = tuple[str, ...]
Mask = NDArray[np.bool_]

MODES: Final[Mapping[str, Mode]] = {  # of the columns that are counted themselves; raw: nobody has said what it is
    "raw": "raw",
    "numeric": "numeric",
    "categorical": "categorical",
    "boolean": "categorical",
    "text": "text",
    "attribution": "numeric",
}
FUTURE_FREE: Final = 1 << 62  # an `at_ms` for readers without a clock: nothing is in the future


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What decoding a model's events needs to know.

    `flat`: in a flat file a key that holds dots is taken before its path is walked, and where there is no feature
    object every column but those `outside` is a feature. `cache` is for formats to keep what they derive from the plan.
    """

    name: str
    model: Model
    format: Format
    max_event: int  # bytes
    max_future_ms: int
    flat: bool = False
    outside: frozenset[str] = frozenset()
    schemas: Schemas | None = None  # for formats whose events name a schema
    hashes_ids: bool = False  # how often ids are repeated is to be counted
    cache: dict[Any, Any] = field(default_factory=dict)

    @property
    def keeps_ids(self) -> bool:
        """Whether the ids of events are needed: labels are joined by them, or repeated ones are counted."""
        return self.model.labels is not None or self.hashes_ids

    @property
    def features(self) -> str | tuple[str, ...]:
        """The feature object's path, or the paths of single features: without either, the columns that are declared."""
        if self.model.features is not None:  # they come in a stream of their own
            return ()
        return self.model.fields.features or tuple(self.model.columns)

    def modes(self, layout: Layout | None) -> dict[str, Mode]:
        """How each feature must be decoded; under the raw layout only what the configuration knows of it."""
        declared = self.model.columns
        if self.model.features is not None:
            return {}
        if layout is None:
            features = self.features
            names = declared if isinstance(features, str) else features
            return {name: MODES[kind] for name in names if (kind := declared.get(name, "raw")) in MODES}
        return {
            name: "categorical"
            if isinstance(of, CategoricalLayout)
            else "text"
            if declared.get(name) == "text"
            else "numeric"
            for name, of in layout.features.items()
            if name not in self.derived
        }

    @cached_property
    def derived(self) -> Mapping[str, str]:
        """Columns that are made of others -> what they are made of."""
        return derived_from(self.model.columns) if self.model.features is None else {}

    def wanted(self, layout: Layout | None) -> dict[str, list[str]]:
        """Features that others are made of -> which suffixes of those are counted."""
        found = {}
        for name, kind in self.model.columns.items():
            suffixes = [s for s in DERIVED.get(kind, ()) if layout is None or f"{name}.{s}" in layout.features]
            if suffixes:
                found[name] = suffixes
        return found

    def read(self, layout: Layout) -> set[str]:
        """The features that must be read for the columns of a layout."""
        return {self.derived.get(name, name) for name in layout.features} if self.model.features is None else set()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelPlan:
    """What decoding a model's label events needs to know."""

    name: str
    model: Model
    format: Format
    max_event: int  # bytes
    max_future_ms: int
    flat: bool = False
    schemas: Schemas | None = None
    cache: dict[Any, Any] = field(default_factory=dict)


def event_plan(name: str, config: Config, *, flat: bool = False, schemas: Schemas | None = None) -> Plan:
    """The plan of the events of model `name`."""
    model = config.models[name]
    return Plan(
        name=name,
        model=model,
        format=Format.of(model.format),
        max_event=config.kafka.max_event,
        max_future_ms=config.time.max_future,
        flat=flat,
        outside=_outside(model),
        schemas=schemas,
        hashes_ids="ids" in counted_for(model),
    )


def feature_plan(name: str, config: Config, *, flat: bool = False, schemas: Schemas | None = None) -> Plan:
    """The plan of the feature stream of model `name`: its messages, as events that have features only."""
    model = config.models[name]
    assert model.features is not None
    of = model.features.fields
    fields = Fields(id=of.id, time=of.time, version=of.version, features=of.features)
    apart = replace(model, format=model.features.format, task="none", fields=fields, features=None, labels=None)
    plan = event_plan(name, replace(config, models={name: apart}), flat=flat, schemas=schemas)
    return replace(plan, outside=plan.outside | _outside(model))


def _outside(model: Model) -> frozenset[str]:
    """Names of columns that are other parts of an event than features."""
    fields, labels = model.fields, model.labels
    names = {fields.id, fields.time, fields.version, fields.prediction, fields.score, fields.label, fields.latency_ms}
    if labels is not None:
        names |= {labels.fields.id, labels.fields.time, labels.fields.label}
    # Of model.version a flat file may have `model`, an object, or `version` alone.
    return frozenset(names | {name.split(".")[0] for name in names} | {name.split(".")[-1] for name in names})


def label_plan(name: str, config: Config, *, flat: bool = False, schemas: Schemas | None = None) -> LabelPlan:
    """The plan of the label events of model `name`, which has a labels topic."""
    model = config.models[name]
    assert model.labels is not None
    return LabelPlan(
        name=name,
        model=model,
        format=Format.of(model.labels.format),
        max_event=config.kafka.max_event,
        max_future_ms=config.time.max_future,
        flat=flat,
        schemas=schemas,
    )
