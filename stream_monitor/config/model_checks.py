"""What must hold inside one model's part of the configuration: each rule yields (path, message) for what breaks it.

The rules of its monitors are in monitor_checks.py.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from stream_monitor.config import DAY_MS, Config, Features, Format, Labels, Model, Retrain, Select
from stream_monitor.config.kinds import counted_as, derived_from, feature_columns
from stream_monitor.config.known import OWN_TOPICS, TOPIC_CHARACTERS, Known, instant
from stream_monitor.config.monitor_checks import monitor_findings
from stream_monitor.config.roles import is_pattern, matches
from stream_monitor.errors import Finding
from stream_monitor.extras import REGISTRY_FORMATS, missing_modules
from stream_monitor.names import choices

GROUPS: Final = ("drift", "performance", "quality", "stream", "fairness")
PANE_MS: Final = (1_000, 7 * DAY_MS)


def model_findings(
    path: str, model: Model, config: Config, known: Known, written: Collection[str]
) -> Iterator[Finding]:
    yield from _topics(f"{path}.topic", model.topic, config)
    yield from _format(f"{path}.format", model.format, config, known, written)
    yield from _select(f"{path}.select", model.select)
    if model.features is not None:
        yield from _features(path, model, model.features, config, known, written)
    if model.labels is not None:
        yield from _labels(path, model, model.labels, config, known, written)
    if f"{path}.positive" in written and model.task != "binary":
        yield f"{path}.positive", f"only a binary model has a positive class, and this one's task is {model.task}"
    for where, part in ((path, model), (f"{path}.features", model.features), (f"{path}.labels", model.labels)):
        if part is not None:
            yield from _header(where, part)
    if model.task != "none" and not (model.fields.prediction or model.fields.score):
        yield f"{path}.fields", f"a {model.task} model needs the path of its prediction or score"
    yield from _columns(path, model)
    yield from _reference(f"{path}.reference", model)
    yield from _window(path, model)
    if model.false_alarms.alarms <= 0 or model.false_alarms.per_ms <= 0:
        yield f"{path}.false_alarms", "expected a budget like 1 per 30d"
    for name, value, least in (
        ("min_rows", model.min_rows, 0),
        ("max_segments", model.max_segments, 1),
        ("alerts.for", model.alerts.for_, 1),
        ("alerts.resolve_after", model.alerts.resolve_after, 1),
        ("alerts.retire_after", model.alerts.retire_after, 1),
    ):
        if value < least:
            yield f"{path}.{name}", f"must be at least {least}"
    yield from _alert_labels(f"{path}.alerts.labels", model.alerts.labels)
    if model.retrain is not None:
        yield from _retrain(f"{path}.retrain", model, model.retrain)
    for i, monitor in enumerate(model.monitors):
        yield from monitor_findings(f"{path}.monitors[{i}]", monitor, model, known)


def _topics(path: str, topics: tuple[str, ...], config: Config, *, patterns: bool = True) -> Iterator[Finding]:
    if not topics:
        yield path, "at least one topic must be given"
    own = {config.kafka.prefix + name for name in OWN_TOPICS}
    for topic in topics:
        if is_pattern(topic) and patterns:
            yield from _pattern(path, topic, sorted(own))
        elif is_pattern(topic):
            yield path, f"{topic!r}: one topic must be named here, not a pattern"
        elif not topic or not set(topic) <= TOPIC_CHARACTERS or len(topic) > 249 or topic in (".", ".."):
            yield path, f"{topic!r} is no name of a topic"
        elif topic in own:
            yield path, f"{topic!r} is a topic of the service itself"
    if len(set(topics)) < len(topics):
        yield path, "the same topic twice"


def _pattern(path: str, pattern: str, own: list[str]) -> Iterator[Finding]:
    try:
        re.compile(pattern)
    except re.error as error:
        yield path, f"{pattern!r} is no regular expression: {error}"
        return
    taken = next((t for t in own if matches((pattern,), t)), None)
    if taken is not None:
        yield path, f"{pattern!r} also stands for {taken}, a topic of the service itself"


def _select(path: str, select: Select | None) -> Iterator[Finding]:
    if select is None:
        return
    if bool(select.field) == bool(select.header):
        yield path, "exactly one of field and header says which records are the model's"
    if "" in select.value:
        yield f"{path}.value", "an empty value"


def _features(
    path: str, model: Model, features: Features, config: Config, known: Known, written: Collection[str]
) -> Iterator[Finding]:
    path = f"{path}.features"
    yield from _topics(f"{path}.topic", (features.topic,), config, patterns=False)
    yield from _format(f"{path}.format", features.format, config, known, written)
    yield from _select(f"{path}.select", features.select)
    if matches(model.topic, features.topic) and (model.select is None or features.select is None):
        yield f"{path}.topic", "is the model's own topic; features in the prediction itself are `fields.features`"
    if model.labels is not None and model.labels.topic == features.topic:
        yield f"{path}.topic", "is the model's labels topic, too"
    if model.fields.features:
        yield f"{path}.fields.features", "features come in the prediction or in a topic of their own, not both"
    if not features.fields.features:
        yield f"{path}.fields.features", "missing: where in a message the features are"


def _labels(
    path: str, model: Model, labels: Labels, config: Config, known: Known, written: Collection[str]
) -> Iterator[Finding]:
    yield from _topics(f"{path}.labels.topic", (labels.topic,), config, patterns=False)
    yield from _format(f"{path}.labels.format", labels.format, config, known, written)
    yield from _select(f"{path}.labels.select", labels.select)
    if matches(model.topic, labels.topic):
        yield f"{path}.labels.topic", "is the model's own topic; a label in the event itself is `fields.label`"
    if not model.fields.id:
        yield f"{path}.fields.id", "missing: labels in a topic of their own are joined by id"
    if model.fields.label:
        yield f"{path}.fields.label", "labels come either in the event or in a topic of their own, not both"
    if labels.ttl <= 0:
        yield f"{path}.labels.ttl", "must be longer than 0"


def _format(
    path: str, format: str | Format, config: Config, known: Known, written: Collection[str]
) -> Iterator[Finding]:
    name, listed = (format, ()) if isinstance(format, str) else (format.name, format.header)
    if known.formats and name not in known.formats:
        where = path if isinstance(format, str) else f"{path}.name"
        yield where, f"unknown format {name!r}{choices(name, known.formats)}"
    elif known.formats:
        for option in (f.name for f in dataclasses.fields(Format) if f.name != "name"):
            if f"{path}.{option}" in written and option not in known.formats[name]:
                yield f"{path}.{option}", f"the format {name} takes no {option}"
    if not isinstance(format, str) and (len(format.delimiter) != 1 or format.delimiter in '"\r\n'):
        yield f"{path}.delimiter", f"expected one character, not {format.delimiter!r}"
    if twice := sorted({n for n in listed if listed.count(n) > 1}):
        yield f"{path}.header", f"{twice[0]!r} twice"
    if name in REGISTRY_FORMATS:
        if not config.kafka.schema_registry.url:
            yield path, f"{name} needs kafka.schema_registry, like `schema_registry: {{url: http://registry:8081}}`"
        if missing := missing_modules(name):
            yield path, f"{name} needs {' and '.join(missing)}: pip install 'stream-monitor[registry]'"


def _header(path: str, part: Model | Features | Labels) -> Iterator[Finding]:
    """Paths that the lines of a CSV do not have under its stated header. A name with dots is a place in an object."""
    format = Format.of(part.format)
    if format.name != "csv" or not format.header:
        return
    mapped = {f.name: getattr(part.fields, f.name) for f in dataclasses.fields(part.fields)}
    told = f"is not in format.header: {', '.join(format.header)}"
    for name, paths in mapped.items():
        if name == "features" and isinstance(paths, str):
            if paths and not any(column.startswith(f"{paths}.") for column in format.header):
                yield f"{path}.fields.features", f"{paths}.NAME {told}"
        else:
            for each in (paths,) if isinstance(paths, str) else paths:
                if each and each not in format.header:
                    yield f"{path}.fields.{name}", f"{each} {told}"
    if part.select is not None and part.select.field and part.select.field not in format.header:
        yield f"{path}.select.field", f"{part.select.field} {told}"


def _columns(path: str, model: Model) -> Iterator[Finding]:
    listed = model.feature_paths
    if isinstance(listed, tuple):
        for name in sorted({n for n in listed if listed.count(n) > 1}):
            yield f"{path}.fields.features", f"{name!r} twice"
        if "" in listed:
            yield f"{path}.fields.features", "an empty path"
        for name in model.columns:
            if name not in listed and name not in ("prediction", "score"):
                yield f"{path}.columns.{name}", f"is not in fields.features{choices(name, listed)}"
    elif model.columns and not listed and model.features is None:
        yield f"{path}.fields.features", "missing: columns are named, but not where the features are"
    names, made, counted = feature_columns(model), derived_from(model.columns), counted_as(model.columns)
    for name in sorted(made.keys() & {*model.columns, *(listed if isinstance(listed, tuple) else ())}):
        yield f"{path}.columns.{made[name]}", f"{name!r}, which is derived of it, is a column, too"
    for i, segment in enumerate(model.segments):
        where = f"{path}.segments[{i}]"
        if names is not None and segment not in names:
            yield where, f"unknown column {segment!r}{choices(segment, names)}"
        elif counted.get(segment, "categorical") not in ("categorical", "boolean"):
            yield where, f"{segment!r} is {counted[segment]}; a segment is a categorical column"
        elif segment in made:
            yield where, f"{segment!r} is derived of {made[segment]!r}; a segment is a column of the event"
        elif model.segments.index(segment) < i:
            yield where, f"{segment!r} twice"


def _reference(path: str, model: Model) -> Iterator[Finding]:
    r = model.reference
    first = r.first and not r.trailing  # what trails begins with the first events
    given = (("file", r.file), ("first", first), ("from", r.from_ or r.to), ("trailing", r.trailing))
    ways = [name for name, some in given if some]
    if len(ways) > 1:
        yield path, f"exactly one of file, first, from and to, or trailing; given are {' and '.join(ways)}"
    yield from _trailing(path, model)
    if r.features_file and (model.features is None or not r.file):
        yield f"{path}.features_file", "is for features that come in a topic of their own, beside a `file`"
    if r.first < 0:
        yield f"{path}.first", "must be a number of events above 0"
    if r.from_ or r.to:
        yield from _span(path, r.from_, r.to)


def _trailing(path: str, model: Model) -> Iterator[Finding]:
    r = model.reference
    if not r.trailing:
        for name, given in (("every", r.every), ("exclude", r.exclude)):
            if given:
                yield f"{path}.{name}", "is for a reference that trails: beside `trailing`"
        return
    if r.trailing < 2 * model.window.size:
        yield f"{path}.trailing", "must be at least two windows long"
    if r.every > r.trailing:
        yield f"{path}.every", "must be at most as long as `trailing`, or some time is in no reference"
    for i, span in enumerate(r.exclude):
        yield from _span(f"{path}.exclude[{i}]", span.from_, span.to)


def _span(path: str, begin: str, end: str) -> Iterator[Finding]:
    ends = []
    for name, text in (("from", begin), ("to", end)):
        at = instant(text)
        if at is None:
            yield f"{path}.{name}", f"expected an RFC 3339 time with an offset, not {text!r}" if text else "missing"
        else:
            ends.append(at)
    if len(ends) == 2 and ends[0] >= ends[1]:
        yield f"{path}.to", "must be later than from"


def _window(path: str, model: Model) -> Iterator[Finding]:
    window, pane = model.window, model.pane
    if window.rows < 0:
        yield f"{path}.window.rows", "must be above 0"
    if pane and not PANE_MS[0] <= pane <= PANE_MS[1]:
        yield f"{path}.pane", "must be from 1s to 7d"
    if window.rows:
        return
    if window.size < PANE_MS[0]:
        yield f"{path}.window.size", "must be at least 1s"
        return
    if not 0 < model.slide_ms <= window.size:
        yield f"{path}.window.slide", "must be above 0 and at most the size"
        return
    if window.size % 1000 or model.slide_ms % 1000:
        yield f"{path}.window", "size and slide must be whole seconds"
    elif pane:
        for name, value in (("size", window.size), ("slide", model.slide_ms)):
            if value % pane:
                yield f"{path}.window.{name}", f"must be a multiple of the pane ({pane / 1000:g} s)"


def _alert_labels(path: str, names: Iterable[str]) -> Iterator[Finding]:
    for name in names:
        if not name.isidentifier() or not name.isascii():
            yield f"{path}.{name}", "a label's name is letters, digits and _"
        elif name in ("alertname", "model", "version", "segment", "severity"):
            yield f"{path}.{name}", "is set by the service itself"


def _retrain(path: str, model: Model, retrain: Retrain) -> Iterator[Finding]:
    for i, group in enumerate(retrain.on):
        if group not in GROUPS:
            yield f"{path}.on[{i}]", f"unknown monitor group {group!r}{choices(group, GROUPS)}"
    if retrain.min_labels < 0:
        yield f"{path}.min_labels", "must not be negative"
    if retrain.min_labels > 0 and not model.has_labels:
        yield f"{path}.min_labels", "the model has no labels: neither fields.label nor a labels topic"
