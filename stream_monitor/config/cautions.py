"""What a configuration may say and is hardly meant: each rule yields (path, message)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from detectors.base import Metric
from stream_monitor.config import Config, MonitorSpec
from stream_monitor.config.known import Known
from stream_monitor.errors import Finding
from stream_monitor.figures import figure


def cautions(config: Config, known: Known) -> Iterator[Finding]:
    """Everything in a configuration that is not wrong but unwise."""
    for name, model in config.models.items():
        for i, monitor in enumerate(model.monitors):
            metric = known.metrics.get(monitor.metric)
            if metric is not None and monitor.detector == "threshold":
                yield from _threshold(f"models.{name}.monitors[{i}]", monitor, metric)


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
