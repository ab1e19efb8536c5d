"""What must hold inside one model's part of the configuration: each rule yields (path, message) for what breaks it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from detectors.base import Metric
from stream_monitor.config import DAY_MS, Config, Format, Model, MonitorSpec, Select
from stream_monitor.config.kinds import counted_as, derived_from
from stream_monitor.config.known import OWN_TOPICS, TOPIC_CHARACTERS, Known, instant
from stream_monitor.config.roles import is_pattern, matches
from stream_monitor.errors import Finding
from stream_monitor.extras import REGISTRY_FORMATS, missing_modules
from stream_monitor.names import choices

GROUPS: Final = ("drift", "performance", "quality", "stream", "fairness")
_LAID_OUT: Final = {"numeric": "numeric", "text": "numeric", "categorical": "categorical", "boolean": "categorical"}
PANE_MS: Final = (1_000, 7 * DAY_MS)


def model_findings(
    path: str, model: Model, config: Config, known: Known, written: Collection[str]
) -> Iterator[Finding]:
    yield from _topics(f"{path}.topic", model.topic, config)
    yield from _format(f"{path}.format", model.format, config, known, written)
    yield from _select(f"{path}.select", model.select)
    if model.features is not None:
        yield from _features(path, model, config, known, written)
    if model.labels is not None:
        yield from _topics(f"{path}.labels.topic", (model.labels.topic,), config, patterns=False)
        yield from _format(f"{path}.labels.format", model.labels.format, config, known, written)
        yield from _select(f"{path}.labels.select", model.labels.select)
        if matches(model.topic, model.labels.topic):
            yield f"{path}.labels.topic", "is the model's own topic; a label in the event itself is `fields.label`"
        if not model.fields.id:
            yield f"{path}.fields.id", "missing: labels in a topic of their own are joined by id"
        if model.fields.label:
            yield f"{path}.fields.label", "labels come either in the event or in a topic of their own, not both"
        if model.labels.ttl <= 0:
            yield f"{path}.labels.ttl", "must be longer than 0"
    if f"{path}.positive" in written and model.task != "binary":
        yield f"{path}.positive", f"only a binary model has a positive class, and this one's task is {model.task}"
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
    for name in model.alerts.labels:
        if not name.isidentifier() or not name.isascii():
            yield f"{path}.alerts.labels.{name}", "a label's name is letters, digits and _"
        elif name in ("alertname", "model", "version", "segment", "severity"):
            yield f"{path}.alerts.labels.{name}", "is set by the service itself"
    if model.retrain is not None:
        yield from _retrain(f"{path}.retrain", model)
    for i, monitor in enumerate(model.monitors):
        yield from _monitor(f"{path}.monitors[{i}]", monitor, model, known)


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


def _features(path: str, model: Model, config: Config, known: Known, written: Collection[str]) -> Iterator[Finding]:
    features = model.features
    assert features is not None
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


def column_names(model: Model) -> tuple[str, ...] | None:
    """The feature columns that the configuration names; None where they are learnt from the data."""
    listed = model.feature_paths
    names = listed if isinstance(listed, tuple) else tuple(model.columns)
    made = derived_from(model.columns)
    alone = set(made.values()) - counted_as(model.columns).keys()  # counted by what is derived of them only
    return (*(n for n in names if n not in alone), *made) or None


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
    names, made, counted = column_names(model), derived_from(model.columns), counted_as(model.columns)
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


def _retrain(path: str, model: Model) -> Iterator[Finding]:
    retrain = model.retrain
    assert retrain is not None
    for i, group in enumerate(retrain.on):
        if group not in GROUPS:
            yield f"{path}.on[{i}]", f"unknown monitor group {group!r}{choices(group, GROUPS)}"
    if retrain.min_labels < 0:
        yield f"{path}.min_labels", "must not be negative"
    if retrain.min_labels > 0 and not has_labels(model):
        yield f"{path}.min_labels", "the model has no labels: neither fields.label nor a labels topic"


def has_labels(model: Model) -> bool:
    """Whether labels come at all."""
    return bool(model.labels or model.fields.label)


def _monitor(path: str, monitor: MonitorSpec, model: Model, known: Known) -> Iterator[Finding]:
    metric = known.metrics.get(monitor.metric)
    if metric is not None and metric.needs == "scan" and model.features is not None:
        yield f"{path}.metric", "the scan needs features that come with the predictions, not in a topic of their own"
    for part, name in (("ids", "id"), ("latencies", "latency_ms"), ("delays", "time")):
        if metric is not None and metric.counted == part and not getattr(model.fields, name):
            yield f"{path}.metric", f"{monitor.metric} needs fields.{name}"
    if metric is None:
        if known.metrics:
            yield f"{path}.metric", f"unknown metric {monitor.metric!r}{choices(monitor.metric, known.metrics)}"
    else:
        yield from _metric(path, monitor, metric, model)
    if monitor.detector != "threshold":
        yield from _detector(path, monitor, known)
    if monitor.every == "pane":
        if monitor.detector == "threshold":
            yield f"{path}.every", "a threshold judges windows; a change detector, like cusum, can see every pane"
        if metric is not None and metric.needs not in ("column", "outcome"):
            yield f"{path}.every", f"{monitor.metric} is of whole windows; metrics of columns and of labels have panes"
    yield from _segments(path, monitor, model)


def _detector(path: str, monitor: MonitorSpec, known: Known) -> Iterator[Finding]:
    detector = known.detectors.get(monitor.detector)
    if detector is None:
        if known.detectors:
            names = {*known.detectors, "threshold"}
            yield f"{path}.detector", f"unknown detector {monitor.detector!r}{choices(monitor.detector, names)}"
        return
    parameters = dict(monitor.parameters)
    if isinstance(monitor.threshold, Mapping):
        yield f"{path}.threshold", f"the detector {monitor.detector} takes a number"
    elif monitor.threshold is not None:
        if "threshold" not in {f.name for f in dataclasses.fields(detector)}:
            yield f"{path}.threshold", f"the detector {monitor.detector} takes no threshold"
        else:
            parameters["threshold"] = monitor.threshold
    try:
        detector(**parameters)
    except (TypeError, ValueError) as error:
        yield path, f"detector {monitor.detector}: {error}"


def _metric(path: str, monitor: MonitorSpec, metric: Metric, model: Model) -> Iterator[Finding]:
    if metric.needs == "scan":
        for key, told in (("detector", monitor.detector != "threshold"), ("threshold", monitor.threshold is not None)):
            if told:
                yield f"{path}.{key}", "the scan judges by itself: its bounds follow from false_alarms"
    if metric.needs == "segments":
        if not model.segments:
            yield f"{path}.metric", f"{metric.name} compares segments, and none are declared: segments: [column]"
        if monitor.threshold is None and monitor.detector == "threshold":
            yield (
                f"{path}.threshold",
                "missing: how far segments may be apart is a policy, and cannot be learnt",
            )
    if metric.needs in ("outcome", "segments"):
        if metric.tasks and model.task not in metric.tasks:
            yield (
                f"{path}.metric",
                f"{metric.name} is for the tasks {', '.join(metric.tasks)}, and this model's is {model.task}",
            )
        elif not has_labels(model):
            yield f"{path}.metric", f"{metric.name} needs labels: neither fields.label nor a labels topic is configured"
    if metric.needs == "family":
        yield from _family(path, monitor, metric, model)
    elif metric.needs not in ("column", "scan") and monitor.columns != "all":
        yield f"{path}.columns", f"{metric.name} is about the whole model and takes no columns"
    threshold = monitor.threshold
    if isinstance(threshold, Mapping):
        for key in threshold:
            if key not in ("above", "below"):
                yield f"{path}.threshold.{key}", f"unknown key {key!r}{choices(key, ('above', 'below'))}"
        if len(threshold) != 1:
            yield f"{path}.threshold", "expected one of above and below"
    elif threshold is not None and metric.worse == "both" and monitor.detector == "threshold":
        yield f"{path}.threshold", f"{metric.name} can be too high or too low: say {{above: x}} or {{below: x}}"
    names = column_names(model)
    if metric.needs in ("column", "scan") and isinstance(monitor.columns, tuple | str) and monitor.columns != "all":
        columns = (monitor.columns,) if isinstance(monitor.columns, str) else monitor.columns
        counted = counted_as(model.columns)
        outputs = [n for n in ("prediction", "score") if getattr(model.fields, n)]
        for i, column in enumerate(columns):
            where = f"{path}.columns[{i}]" if isinstance(monitor.columns, tuple) else f"{path}.columns"
            if names is not None and column not in names and column not in outputs:
                yield where, f"unknown column {column!r}{choices(column, [*names, *outputs])}"
            elif column in counted and metric.kinds and _LAID_OUT[counted[column]] not in metric.kinds:
                yield where, f"{column!r} is {counted[column]}; {metric.name} reads {' and '.join(metric.kinds)}"


def _family(path: str, monitor: MonitorSpec, metric: Metric, model: Model) -> Iterator[Finding]:
    """Columns of the kind that a metric of several columns together is about."""
    kind = metric.kinds[0]
    known = [name for name, of in model.columns.items() if of == kind]
    if not known:
        yield f"{path}.metric", f"{metric.name} is about columns of the kind {kind}: columns: {{NAME: {kind}}}"
    elif monitor.columns != "all":
        listed = isinstance(monitor.columns, tuple)
        for i, name in enumerate(monitor.columns if isinstance(monitor.columns, tuple) else (monitor.columns,)):
            if name not in known:
                yield (
                    f"{path}.columns[{i}]" if listed else f"{path}.columns",
                    f"{name!r} is no column of the kind {kind}{choices(name, known)}",
                )


def _segments(path: str, monitor: MonitorSpec, model: Model) -> Iterator[Finding]:
    if monitor.segments != "all":
        listed = isinstance(monitor.segments, tuple)
        for i, segment in enumerate(monitor.segments if isinstance(monitor.segments, tuple) else (monitor.segments,)):
            name = segment.partition("=")[0]
            if name not in model.segments and name != "all":
                known = [*model.segments, "all"]
                yield (
                    f"{path}.segments[{i}]" if listed else f"{path}.segments",
                    f"unknown segment {segment!r}{choices(name, known)}",
                )
