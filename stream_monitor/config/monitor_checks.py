"""What must hold inside one monitor of a model: each rule yields (path, message) for what breaks it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Final

from detectors.base import Metric
from stream_monitor.config import Model, MonitorSpec
from stream_monitor.config.kinds import counted_as, feature_columns
from stream_monitor.config.known import Known
from stream_monitor.errors import Finding
from stream_monitor.names import choices

_LAID_OUT: Final = {"numeric": "numeric", "text": "numeric", "categorical": "categorical", "boolean": "categorical"}


def monitor_findings(path: str, monitor: MonitorSpec, model: Model, known: Known) -> Iterator[Finding]:
    metric = known.metrics.get(monitor.metric)
    if metric is not None:
        yield from _fields(f"{path}.metric", metric, model)
        yield from _labels(f"{path}.metric", metric, model)
        yield from _threshold(path, monitor, metric)
        yield from _columns(path, monitor, metric, model)
    elif known.metrics:
        yield f"{path}.metric", f"unknown metric {monitor.metric!r}{choices(monitor.metric, known.metrics)}"
    if monitor.detector != "threshold":
        yield from _detector(path, monitor, known)
        if metric is not None:
            yield from _readable(path, monitor, metric, known)
    yield from _every(f"{path}.every", monitor, metric)
    yield from _segments(path, monitor, model)


def _fields(path: str, metric: Metric, model: Model) -> Iterator[Finding]:
    if metric.needs == "scan" and model.features is not None:
        yield path, "the scan needs features that come with the predictions, not in a topic of their own"
    for part, name in (("ids", "id"), ("latencies", "latency_ms"), ("delays", "time")):
        if metric.counted == part and not getattr(model.fields, name):
            yield path, f"{metric.name} needs fields.{name}"
    if metric.needs == "segments" and not model.segments:
        yield path, f"{metric.name} compares segments, and none are declared: segments: [column]"


def _labels(path: str, metric: Metric, model: Model) -> Iterator[Finding]:
    if metric.needs not in ("outcome", "segments"):
        return
    if metric.tasks and model.task not in metric.tasks:
        tasks = ", ".join(metric.tasks)
        yield path, f"{metric.name} is for the tasks {tasks}, and this model's is {model.task}"
    elif not model.has_labels:
        yield path, f"{metric.name} needs labels: neither fields.label nor a labels topic is configured"


def _threshold(path: str, monitor: MonitorSpec, metric: Metric) -> Iterator[Finding]:
    threshold, alone = monitor.threshold, monitor.detector == "threshold"
    if metric.needs == "scan":
        for key, told in (("detector", not alone), ("threshold", threshold is not None)):
            if told:
                yield f"{path}.{key}", "the scan judges by itself: its bounds follow from false_alarms"
    if metric.needs == "segments" and threshold is None and alone:
        yield f"{path}.threshold", "missing: how far segments may be apart is a policy, and cannot be learnt"
    if isinstance(threshold, Mapping):
        for key in threshold:
            if key not in ("above", "below"):
                yield f"{path}.threshold.{key}", f"unknown key {key!r}{choices(key, ('above', 'below'))}"
        if len(threshold) != 1:
            yield f"{path}.threshold", "expected one of above and below"
    elif threshold is not None and metric.worse == "both" and alone:
        yield f"{path}.threshold", f"{metric.name} can be too high or too low: say {{above: x}} or {{below: x}}"


def _columns(path: str, monitor: MonitorSpec, metric: Metric, model: Model) -> Iterator[Finding]:
    if metric.needs == "family":
        yield from _family(path, monitor, metric, model)
    elif metric.needs in ("column", "scan"):
        names, counted = feature_columns(model), counted_as(model.columns)
        outputs = [n for n in ("prediction", "score") if getattr(model.fields, n)]
        for where, column in _listed(f"{path}.columns", monitor.columns):
            if names is not None and column not in names and column not in outputs:
                yield where, f"unknown column {column!r}{choices(column, [*names, *outputs])}"
            elif column in counted and metric.kinds and _LAID_OUT[counted[column]] not in metric.kinds:
                yield where, f"{column!r} is {counted[column]}; {metric.name} reads {' and '.join(metric.kinds)}"
    elif monitor.columns != "all":
        yield f"{path}.columns", f"{metric.name} is about the whole model and takes no columns"


def _family(path: str, monitor: MonitorSpec, metric: Metric, model: Model) -> Iterator[Finding]:
    """Columns of the kind that a metric of several columns together is about."""
    kind = metric.kinds[0]
    known = [name for name, of in model.columns.items() if of == kind]
    if not known:
        yield f"{path}.metric", f"{metric.name} is about columns of the kind {kind}: columns: {{NAME: {kind}}}"
        return
    for where, name in _listed(f"{path}.columns", monitor.columns):
        if name not in known:
            yield where, f"{name!r} is no column of the kind {kind}{choices(name, known)}"


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


def _readable(path: str, monitor: MonitorSpec, metric: Metric, known: Known) -> Iterator[Finding]:
    """Whether the detector can make anything of the metric's values."""
    detector, name = known.detectors.get(monitor.detector), f"the detector {monitor.detector}"
    wanted, beyond = getattr(detector, "reads", "values"), {"low": metric.limits[0] < 0, "high": metric.limits[1] > 1}
    if wanted == "errors" and metric.events is None:
        counting = ", ".join(sorted(m.name for m in known.metrics.values() if m.events is not None))
        yield path, f"{name} reads single errors, and {metric.name} counts none; those that do: {counting}"
    elif wanted == "rates" and any(beyond.values()):
        yield path, f"{name} reads rates between 0 and 1, and {metric.name} can be others"
    told = monitor.parameters.keys()
    if detector is not None and told & set(getattr(detector, "limits", ())):  # else it learns all that is not told
        for end in ("low", "high"):
            if beyond[end] and end in {f.name for f in dataclasses.fields(detector)} - told:
                yield f"{path}.{end}", f"missing: {name} reads values from low to high, 0 to 1 unless they are stated"


def _every(path: str, monitor: MonitorSpec, metric: Metric | None) -> Iterator[Finding]:
    if monitor.every != "pane":
        return
    if monitor.detector == "threshold":
        yield path, "a threshold judges windows; a change detector, like cusum, can see every pane"
    if metric is not None and metric.needs not in ("column", "outcome"):
        yield path, f"{monitor.metric} is of whole windows; metrics of columns and of labels have panes"


def _segments(path: str, monitor: MonitorSpec, model: Model) -> Iterator[Finding]:
    known = [*model.segments, "all"]
    for where, segment in _listed(f"{path}.segments", monitor.segments):
        name = segment.partition("=")[0]
        if name not in known:
            yield where, f"unknown segment {segment!r}{choices(name, known)}"


def _listed(path: str, given: str | tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The names that are given, each with its path; nothing where all are meant."""
    if isinstance(given, tuple):
        yield from ((f"{path}[{i}]", name) for i, name in enumerate(given))
    elif given != "all":
        yield path, given
