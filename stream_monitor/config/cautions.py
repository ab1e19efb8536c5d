"""What a configuration may say and is hardly meant: each rule yields (path, message)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from detectors.base import Metric
from stream_monitor.config import Config, Model, MonitorSpec
from stream_monitor.config.known import Known
from stream_monitor.config.monitors import specs_of
from stream_monitor.errors import Finding
from stream_monitor.figures import figure


def cautions(config: Config, known: Known, written: Collection[str]) -> Iterator[Finding]:
    """Everything in a configuration that is not wrong but unwise. `written`: the paths that stand in the file."""
    for name, model in config.models.items():
        if known.metrics:
            yield from _retrain(f"models.{name}.retrain.on", model, known, written)
        if 0 < model.window.rows < model.min_rows:
            few = f"of {model.window.rows} rows, and min_rows is {model.min_rows}: with fewer, verdicts are unknown"
            yield f"models.{name}.window.rows", f"windows are {few}"
        for i, monitor in enumerate(model.monitors):
            metric = known.metrics.get(monitor.metric)
            if metric is not None and monitor.detector == "threshold":
                yield from _threshold(f"models.{name}.monitors[{i}]", monitor, metric)


def _retrain(path: str, model: Model, known: Known, written: Collection[str]) -> Iterator[Finding]:
    """Groups that are to ask for a new model, and that nothing watches or that keep it from being asked for."""
    metrics = [known.metrics[spec.metric] for spec in specs_of(model) if spec.metric in known.metrics]
    for i, group in enumerate(model.retrain.on if model.retrain is not None else ()):
        if f"{path}[{i}]" in written and group not in {metric.group for metric in metrics}:
            yield f"{path}[{i}]", f"no monitor is about {group}, so that it never asks for a new model"
    if model.retrain is not None and set(model.retrain.on) == {"quality"} and not model.retrain.max_age:
        late = "at most when the data is right again and the alert is not resolved yet"
        yield path, f"nothing but quality, and no model is asked for while data is wrong: a request comes {late}"


def _threshold(path: str, monitor: MonitorSpec, metric: Metric) -> Iterator[Finding]:
    """A bound that nothing or everything crosses, as where per cents are taken for shares, and a warning behind it."""
    least, most = metric.limits
    for side, bound in _bounds(monitor, metric).items():
        above, lies = side == "above", f"{metric.name} lies between {figure(least, 6)} and {figure(most, 6)}"
        if (bound >= most) if above else (bound <= least):
            yield f"{path}.threshold", f"never crossed: {lies}, and is never {side} {bound:g}"
        elif (bound < least) if above else (bound > most):
            yield f"{path}.threshold", f"always crossed: {lies}, and is always {side} {bound:g}"
        warning = monitor.warning
        if warning is not None and (warning >= bound if above else warning <= bound):
            yield (
                f"{path}.warning",
                f"never said: a value that is {side} {warning:g} is {side} the threshold {bound:g} too",
            )


def _bounds(monitor: MonitorSpec, metric: Metric) -> dict[str, float]:
    told = monitor.threshold
    if isinstance(told, Mapping):
        return dict(told)
    return {} if told is None else {"below" if metric.worse == "below" else "above": told}
