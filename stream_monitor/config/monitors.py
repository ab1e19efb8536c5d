"""What is watched: the monitors of a model, from its configuration or the default suite of its task."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from detectors import DEFAULT_SUITE, DETECTORS, METRICS, Detector, Metric, Threshold
from detectors.base import Counted, Reads
from detectors.change.levels import MODE_OF
from detectors.change.single_errors import SingleErrors
from stream_monitor.config import Model, MonitorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """A metric, its columns and how its values are judged. `name` is unique in the model."""

    name: str
    metric: Metric
    spec: MonitorSpec
    detector: Detector | None  # None: its thresholds or limits are learnt from the reference

    @property
    def sequential(self) -> bool:
        """Whether a judgement depends on earlier windows."""
        return self.spec.detector != "threshold"

    @property
    def reads(self) -> Reads:
        """What its detector is shown: values of the metric, rates that rise where it gets worse, or single events."""
        return reads(self.spec)

    def shown(self, value: float) -> float:
        """A value as a detector of rates is shown it: it rises where the metric gets worse."""
        return 1 - value if self.metric.worse == "below" else value

    @property
    def by_pane(self) -> bool:
        """Whether its detector sees a value a pane, and not one a window; of panes alone each event is in one."""
        return self.spec.every == "pane" or self.reads == "errors"

    def watches(self, segment: str) -> bool:
        """Whether it looks at a segment; `segments` names segments, dimensions, or with the word `all` everything."""
        if self.metric.needs == "stream":  # how events came is counted for all of them together
            return segment == "all"
        wanted = self.spec.segments
        return wanted == "all" or segment in wanted or segment.partition("=")[0] in wanted


def monitors_of(model: Model) -> tuple[Monitor, ...]:
    """The monitors of a model, in the order of its configuration.

    >>> [m.name for m in monitors_of(Model(topic=("t",), monitors=(MonitorSpec(metric="psi", threshold=0.2),)))]
    ['psi']
    """
    seen: Counter[str] = Counter()
    found = []
    for spec in specs_of(model):
        name = spec.metric if spec.detector == "threshold" else f"{spec.metric}:{spec.detector}"
        seen[name] += 1
        found.append(
            Monitor(
                name=name if seen[name] == 1 else f"{name}#{seen[name]}",
                metric=METRICS[spec.metric],
                spec=spec,
                detector=_detector(spec),
            )
        )
    return tuple(found)


def specs_of(model: Model) -> tuple[MonitorSpec, ...]:
    """What is watched, as configured or by default."""
    return model.monitors or tuple(
        MonitorSpec(metric=_instead(model, w.metric), columns=w.columns or "all", detector=w.detector)
        for w in DEFAULT_SUITE[model.task]
        if _has_what_it_needs(model, METRICS[w.metric])
    )


def _instead(model: Model, metric: str) -> str:
    """The scan reads columns event by event with the predictions: of features that come apart each is watched alone."""
    return "jensen_shannon" if metric == "scan" and model.features is not None else metric


def _has_what_it_needs(model: Model, metric: Metric) -> bool:
    if metric.needs == "outcome":
        return model.has_labels
    return metric.counted != "latencies" or bool(model.fields.latency_ms)


@lru_cache(maxsize=4096)
def _counted(model_monitors: tuple[str, ...]) -> frozenset[Counted]:
    return frozenset(METRICS[name].counted for name in model_monitors if name in METRICS) - {""}


def counted_for(model: Model) -> frozenset[Counted]:
    """Which stream cells a tap counts for the model's monitors, of those that are counted on demand only.

    >>> counted_for(Model(topic=("t",), monitors=(MonitorSpec(metric="duplicate_rate"),)))
    frozenset({'ids'})
    """
    return _counted(tuple(spec.metric for spec in specs_of(model)))


def _detector(spec: MonitorSpec) -> Detector | None:
    if spec.detector != "threshold":
        return None if learns(spec) else stated_detector(spec)
    above, below = stated(spec)
    metric = METRICS[spec.metric]
    if above is None and below is None and metric.noise is None:
        above = metric.otherwise
    return None if above is None and below is None else Threshold(above=above, below=below, **warning_bounds(spec))


def reads(spec: MonitorSpec) -> Reads:
    """What the detector is shown of the metric.

    >>> reads(MonitorSpec(metric="accuracy", detector="hddm_a")), reads(MonitorSpec(metric="f1", detector="hddm_a"))
    ('errors', 'rates')
    """
    wanted: Reads = getattr(DETECTORS[spec.detector], "reads", "values")
    return "errors" if wanted != "values" and METRICS[spec.metric].events is not None else wanted


def learns(spec: MonitorSpec) -> bool:
    """Whether a change detector takes its limit from the budget and the reference: where it can and none is stated.

    >>> learns(MonitorSpec(metric="mae", detector="cusum"))
    True
    >>> learns(MonitorSpec(metric="mae", detector="cusum", threshold=5.0))
    False
    """
    if METRICS[spec.metric].needs in ("segments", "scan"):  # which have no series of values in the reference
        return False
    kind: Any = DETECTORS[spec.detector]
    limits = getattr(kind, "limits", ())
    told = spec.threshold is not None or any(name in spec.parameters for name in limits)
    return bool(limits) and not told


def stated_detector(spec: MonitorSpec) -> Detector:
    """A change detector as the configuration states it, the rest at its defaults.

    One of ours that looks one way or both, which the configuration does not say, looks where the metric is worse.
    """
    kind: Any = DETECTORS[spec.detector]
    known, parameters = {f.name for f in fields(kind)}, dict[str, Any](spec.parameters)
    if isinstance(spec.threshold, int | float) and "threshold" in known:
        parameters["threshold"] = spec.threshold
    if "mode" in known and hasattr(kind, "limits"):
        parameters.setdefault("mode", MODE_OF[METRICS[spec.metric].worse])
    made: Detector = kind(**parameters)
    return SingleErrors.of(made) if reads(spec) == "errors" else made


def stated(spec: MonitorSpec) -> tuple[float | None, float | None]:
    """(above, below): the bounds that the configuration states.

    >>> stated(MonitorSpec(metric="accuracy", threshold=0.9))
    (None, 0.9)
    """
    if spec.threshold is None:
        return None, None
    if isinstance(spec.threshold, int | float):
        below = METRICS[spec.metric].worse == "below"
        return (None, spec.threshold) if below else (spec.threshold, None)
    return spec.threshold.get("above"), spec.threshold.get("below")


def warning_bounds(spec: MonitorSpec) -> dict[str, float]:
    """The warning bound as arguments of Threshold: on the side of the threshold."""
    if spec.warning is None:
        return {}
    above, below = stated(spec)
    low = below is not None or (above is None and METRICS[spec.metric].worse == "below")
    return {"warning_below" if low else "warning_above": spec.warning}
