"""What is watched: the monitors of a model, from its configuration or the default suite of its task."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from typing import Any

from detectors import DEFAULT_SUITE, DETECTORS, METRICS, Detector, Metric, Threshold
from stream_monitor.config import Model, MonitorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """A metric, its columns and how its values are judged. `name` is unique in the model."""

    name: str
    metric: Metric
    spec: MonitorSpec
    detector: Detector | None  # None: thresholds that are learnt from the reference

    @property
    def sequential(self) -> bool:
        """Whether a judgement depends on earlier windows."""
        return self.spec.detector != "threshold"

    def watches(self, segment: str) -> bool:
        """Whether it looks at a segment; `segments` names segments, dimensions, or with the word `all` everything."""
        wanted = self.spec.segments
        return wanted == "all" or segment in wanted or segment.partition("=")[0] in wanted


def monitors_of(model: Model) -> tuple[Monitor, ...]:
    """The monitors of a model, in the order of its configuration.

    >>> [m.name for m in monitors_of(Model(topic=("t",), monitors=(MonitorSpec(metric="psi", threshold=0.2),)))]
    ['psi']
    """
    specs = model.monitors or tuple(
        MonitorSpec(metric=w.metric, columns=w.columns or "all", detector=w.detector)
        for w in DEFAULT_SUITE[model.task]
        if METRICS[w.metric].needs != "outcome" or model.labels is not None or model.fields.label
    )
    seen: Counter[str] = Counter()
    found = []
    for spec in specs:
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


def _detector(spec: MonitorSpec) -> Detector | None:
    if spec.detector != "threshold":
        kind = DETECTORS[spec.detector]
        parameters: dict[str, Any] = dict(spec.parameters)
        if isinstance(spec.threshold, int | float) and "threshold" in {f.name for f in fields(kind)}:
            parameters["threshold"] = spec.threshold
        made: Detector = kind(**parameters)
        return made
    above, below = stated(spec)
    return None if above is None and below is None else Threshold(above=above, below=below, **warning_bounds(spec))


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
