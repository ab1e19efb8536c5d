"""River's drift detectors by name: `detector: river.ADWIN`, with River's own parameters.

River's detectors are objects that change; a detector here is a pure function of plain data. So the state is the values
since the detector last fired, and every update builds River's detector anew and shows it these values and the next one.
All of River's start anew after they have fired, so the result is River's own, as long as no more than `memory` values
come between two firings. Beyond, the older half is forgotten, and River's begins with the newer one; where it fires in
that, as it did not with the older half before it, it has fired now. One update costs as much as `memory` of River's:
meant for series of windows, not of events. A detector that draws at random is given a `seed` of 0 where none is stated.

River is an optional extra: `pip install 'stream-monitor[river]'`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from typing import Any, ClassVar, Final

from detectors.base import Judgement, Level, Reads

INSTALL: Final = "needs River: pip install 'stream-monitor[river]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class RiverDetector:
    """What all of River's share. `hold`: for so many updates more the level stays DRIFT after it has fired."""

    places: ClassVar[tuple[str, ...]] = ()  # module and name, as they were called from release to release
    reads: ClassVar[Reads] = "values"
    rights: ClassVar[bool] = False  # whether River's is shown 1 for a right prediction, not for an error
    summary: ClassVar[str] = ""

    memory: int = 1_000
    hold: int = 2

    def __post_init__(self) -> None:
        if self.memory < 1:
            raise ValueError(f"memory must be at least 1, not {self.memory}")
        if self.hold < 0:
            raise ValueError(f"hold must be at least 0, not {self.hold}")
        self._made()

    def start(self) -> Mapping[str, Any]:
        """No value seen."""
        return {"values": [], "held": 0}

    def update(self, state: Mapping[str, Any], value: float) -> tuple[Mapping[str, Any], Judgement]:
        """Show River's detector what it has seen since it last fired, and the value."""
        values = self._short([*state["values"], float(value)])
        detector, fired = self._made(), 0
        for n, x in enumerate(values, 1):
            detector.update(int(x) if x.is_integer() else x)
            fired = n if detector.drift_detected else fired
        name = self.places[0].rpartition(".")[2]
        if fired:
            reason = f"River's {name} fired after {fired} values"
            return {"values": values[fired:], "held": self.hold}, Judgement(level=Level.DRIFT, reason=reason)
        held = state["held"]
        if held:
            reason = f"River's {name} fired {self.hold - held + 1} values ago"
            level = Level.DRIFT
        else:
            reason = f"River's {name} has not fired in {len(values)} values"
            level = Level.WARNING if getattr(detector, "warning_detected", False) else Level.OK
        return {"values": values, "held": max(held - 1, 0)}, Judgement(level=level, reason=reason)

    def run(self, state: Mapping[str, Any], values: Sequence[float]) -> tuple[Mapping[str, Any], Judgement]:
        """Judge several errors, 1 or 0, as one: the first DRIFT in them, or what is said of the last. `hold` is not
        counted."""
        detector, name = self._made(), self.places[0].rpartition(".")[2]
        known = state["values"]
        seen: list[float] = []
        fired: int | None = None
        for i, x in enumerate([*known, *((1 - v for v in values) if self.rights else values)], -len(known)):
            detector.update(int(x))
            seen.append(x)
            if detector.drift_detected:
                fired = max(i, 0) if fired is None else fired
                detector, seen = self._made(), []
        if fired is not None:
            judgement = Judgement(level=Level.DRIFT, reason=f"River's {name} fired", onset=len(values) - 1 - fired)
        else:
            level = Level.WARNING if getattr(detector, "warning_detected", False) else Level.OK
            judgement = Judgement(level=level, reason=f"River's {name} has not fired in {len(seen)} values")
        return {"values": self._short(seen), "held": 0}, judgement

    def _short(self, values: list[float]) -> list[float]:
        return values if len(values) <= self.memory else values[-(self.memory + 1) // 2 :]

    def _made(self) -> Any:
        parameters = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("memory", "hold")}
        for place in self.places:
            module, _, name = place.rpartition(".")
            try:
                kind = getattr(importlib.import_module(module), name, None)
            except ImportError as error:
                raise ValueError(INSTALL) from error
            if kind is not None:
                try:
                    return kind(**parameters)
                except TypeError as error:
                    raise ValueError(f"{place} of this release of River: {error}") from error
        raise ValueError(f"this release of River has no {' or '.join(self.places)}: {INSTALL}")


def _adapted(places: tuple[str, ...], summary: str, reads: Reads, **parameters: Any) -> type:
    """A detector with River's parameters and defaults as its fields."""
    named = [(name, Any if d is None else type(d), field(default=d)) for name, d in parameters.items()]
    if reads == "errors":  # there are many in a window, and where half of them is forgotten River's alarms sooner
        named.append(("memory", int, field(default=20_000)))
    made = make_dataclass(
        places[0].rpartition(".")[2], named, bases=(RiverDetector,), frozen=True, kw_only=True,
        namespace={
            "places": places, "summary": summary, "reads": reads, "rights": places[0].endswith(".FHDDM"),
            "__module__": __name__,
        },
    )  # fmt: skip
    assert all(f.default is not MISSING for f in fields(made))
    shown = ", ".join(f"{name}={default!r}" for name, default in parameters.items())
    made.__doc__ = f"""{summary}

    As in River, on at most `memory` values since it last fired; see the module. {shown}

    >>> test = RIVER["{_key(places)}"]()
    >>> test.update(test.start(), 0.0)[1].level.label
    'ok'
    """
    return made


def _key(places: tuple[str, ...]) -> str:
    return f"river.{places[0].rpartition('.')[2]}"


_DRIFT: Final = "river.drift."
_BINARY: Final = "river.drift.binary."
_READS: Final[dict[str, Reads]] = {
    "DDM": "errors", "EDDM": "errors", "FHDDM": "errors", "HDDM_A": "rates", "HDDM_W": "rates",
}  # fmt: skip

RIVER: Final[dict[str, type]] = {
    _key(places): _adapted(places, summary, _READS.get(places[0].rpartition(".")[2], "values"), **parameters)
    for places, summary, parameters in (
        (
            (_DRIFT + "ADWIN",),
            "River's ADWIN.",
            {"delta": 0.002, "clock": 32, "max_buckets": 5, "min_window_length": 5, "grace_period": 10},
        ),
        (
            (_DRIFT + "KSWIN",),
            "River's KSWIN.",
            {"alpha": 0.005, "window_size": 100, "stat_size": 30, "seed": 0},
        ),
        (
            (_DRIFT + "PageHinkley",),
            "River's Page-Hinkley test.",
            {"min_instances": 30, "delta": 0.005, "threshold": 50.0, "alpha": 1 - 0.0001, "mode": "both"},
        ),
        (
            (_BINARY + "DDM",),
            "River's DDM, of errors 0 and 1.",
            {"warm_start": 30, "warning_threshold": 2.0, "drift_threshold": 3.0},
        ),
        ((_BINARY + "EDDM",), "River's EDDM, of errors 0 and 1.", {"warm_start": 30, "alpha": 0.95, "beta": 0.9}),
        (
            (_BINARY + "FHDDM",),
            "River's FHDDM, of 1 for a right prediction and 0 for an error.",
            {"sliding_window_size": 100, "confidence_level": 0.000001, "short_window_size": None},
        ),
        (
            (_BINARY + "HDDM_A", _BINARY + "HDDMA"),
            "River's HDDM-A, of values between 0 and 1.",
            {"drift_confidence": 0.001, "warning_confidence": 0.005, "two_sided_test": False},
        ),
        (
            (_BINARY + "HDDM_W", _BINARY + "HDDMW"),
            "River's HDDM-W, of values between 0 and 1.",
            {"drift_confidence": 0.001, "warning_confidence": 0.005, "lambda_val": 0.05, "two_sided_test": False},
        ),
        (
            (_DRIFT + "DummyDriftDetector",),
            "River's detector that fires at set times, whatever the values.",
            {"trigger_method": "fixed", "t_0": 300, "w": 0, "dynamic_cloning": False, "seed": 0},
        ),
        ((_DRIFT + "NoDrift",), "River's detector that never fires.", {}),
    )
}
