"""What detectors with a memory of plain numbers share: one step, written once, for single values and for arrays.

A step is a function of (parameters, memory, value) that changes the memory, a list or an array of numbers whose length
never changes, and returns a level. Single values run it as it stands; arrays run it compiled by numba (without numba,
or with DETECTORS_KERNELS=numpy in the environment, as it stands), so both fire at the same values. A detector that can
do many values in less than many steps says how (`many`), and leaves the same memory.

    memory: [updates, evidence, limit of the evidence, onset, fired] + what the detector keeps
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, MutableSequence, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, ClassVar, Final, Self

import numpy as np

from detectors.base import Judgement, Level, Reads, Worse
from detectors.calibration import Floats, finite
from detectors.compiling import compiled, engine

Memory = MutableSequence[float] | Floats
Step = Callable[[Any, Any, float], int]
Loop = Callable[..., tuple[int, int]]  # (parameters, memory, values, levels, hold, held, since) -> (held, since)

UPDATES: Final = 0
EVIDENCE: Final = 1
LIMIT: Final = 2
ONSET: Final = 3
FIRED: Final = 4
BODY: Final = 5
UNKNOWN, OK, WARNING, DRIFT = -1, 0, 1, 2

RAREST: Final = 500.0  # logarithm of values between false alarms, beyond which there is no telling


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The part of a detector that runs its step; a subclass says the step, its parameters and the memory's size.

    `hold`: for so many updates more the level stays DRIFT after a detector that starts anew at a change has fired, so
    that an alert that asks for several windows in a row gets them.
    """

    step: ClassVar[Step]
    many: ClassVar[Loop | None] = None
    evidence: ClassVar[str] = "evidence"  # what it is called in reasons
    limits: ClassVar[tuple[str, ...]] = ()  # what a budget stands for, unless one of them is stated; () where none is
    reads: ClassVar[Reads] = "values"
    in_units: ClassVar[tuple[str, ...]] = ()  # parameters in the units of the values, of charts of normal ones

    hold: int = 0

    def parameters(self) -> list[float]:
        """The parameters as the step reads them: all fields but `hold`, in order."""
        return [float(getattr(self, f.name)) for f in fields(self) if f.name != "hold"]

    def size(self) -> int:
        """Numbers in the memory."""
        raise NotImplementedError

    @classmethod
    def calibrated(
        cls,
        values: Sequence[float] | Floats,
        *,
        worse: Worse,
        windows_between_false_alarms: float,
        share: float = 1.0,
        clusters: float = 1.0,
        **parameters: Any,
    ) -> Self:
        """With what is not stated learnt: from `values`, those of the reference's windows in order of time, and from a
        budget, `share` false alarms in so many windows. `clusters`: how many errors come as one, where
        values are of single ones. ValueError where they do not say enough."""
        between = windows_between_false_alarms / share
        own = cls.learnt(finite(values), worse, _rarer(between, clusters), parameters)
        return cls(**{**own, **cls.clustered(own, clusters), **parameters})

    @classmethod
    def learnt(cls, values: Floats, worse: Worse, between: float, stated: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters that the reference and a budget of one false alarm in `between` values give."""
        raise NotImplementedError

    @classmethod
    def clustered(cls, own: Mapping[str, Any], clusters: float) -> dict[str, Any]:
        """What is learnt otherwise where so many errors come as one. Where limits follow from the budget: nothing."""
        return {}

    def start(self) -> Mapping[str, Any]:
        """No value seen."""
        return {"memory": [], "held": 0, "since": 0}

    def update(self, state: Mapping[str, Any], value: float) -> tuple[Mapping[str, Any], Judgement]:
        """Judge the next value."""
        memory = self._memory(state)
        level = type(self).step(self.parameters(), memory, float(value))
        held, since = state["held"], state["since"]
        if level == DRIFT:
            held, since = self.hold, int(memory[ONSET])
            judgement = self._judge(Level.DRIFT, memory, since)
        elif held > 0:
            held, since = held - 1, since + 1
            judgement = Judgement(level=Level.DRIFT, reason=f"changed {since} values ago", onset=since)
        else:
            judgement = self._judge(Level(level), memory, None)
        return {"memory": _trimmed(memory), "held": held, "since": since}, judgement

    def update_many(self, state: Mapping[str, Any], values: Sequence[float] | Floats) -> tuple[Mapping[str, Any], Any]:
        """Judge many values; the next state and an array of levels (-1 unknown, 0 ok, 1 warning, 2 drift)."""
        series = np.ascontiguousarray(values, np.float64)
        memory = np.array(self._memory(state), np.float64)
        levels = np.zeros(len(series), np.int8)
        after = _loop(type(self).step, type(self).many)(
            np.array(self.parameters()), memory, series, levels, self.hold, state["held"], state["since"]
        )
        return {"memory": _trimmed(memory.tolist()), "held": int(after[0]), "since": int(after[1])}, levels

    def run(self, state: Mapping[str, Any], values: Sequence[float]) -> tuple[Mapping[str, Any], Judgement]:
        """Judge several values as one: the first DRIFT in them, or what is said of the last. `hold` is not counted."""
        step, parameters, memory = type(self).step, self.parameters(), self._memory(state)
        found, at, level = None, 0, UNKNOWN
        for i, value in enumerate(values):
            level = step(parameters, memory, value)
            if level == DRIFT and found is None:
                found, at = self._judge(Level.DRIFT, memory, int(memory[ONSET])), i
        if found is None:
            found = self._judge(Level(level), memory, None)
        elif found.onset is not None:
            found = replace(found, onset=found.onset + len(values) - 1 - at)
        return {"memory": _trimmed(memory), "held": 0, "since": 0}, found

    def _memory(self, state: Mapping[str, Any]) -> list[float]:
        memory = list(state["memory"])
        return memory + [0.0] * (self.size() - len(memory))

    def _judge(self, level: Level, memory: Memory, onset: int | None) -> Judgement:
        evidence, limit = float(memory[EVIDENCE]), float(memory[LIMIT])
        if level is Level.UNKNOWN:
            return Judgement(level=level, reason=f"{int(memory[UPDATES])} values so far: too few")
        if level is Level.DRIFT:
            return Judgement(
                level=level, reason=f"{self.evidence} {evidence:.6g} is beyond {limit:.6g}: changed {onset} values ago",
                onset=onset,
            )  # fmt: skip
        return Judgement(level=level, reason=f"{self.evidence} {evidence:.6g} is not beyond {limit:.6g}")


def _rarer(between: float, clusters: float) -> float:
    """The budget by which single events are as rare together as such that come as one are by `between`."""
    return between if clusters == 1.0 else math.exp(min(math.log(between) * clusters, RAREST))


def _trimmed(memory: list[float]) -> list[float]:
    """Without the zeros at its end, which need no keeping."""
    n = len(memory)
    while n and memory[n - 1] == 0:
        n -= 1
    return memory[:n]


@lru_cache(maxsize=64)
def _loop(step: Step, many: Loop | None) -> Loop:
    """Many values, compiled: the detector's own way, or the step over a whole array."""
    if engine() != "numba":
        return many or _plain_loop(step)
    return compiled()(many) if many is not None else compiled(kept=False)(_plain_loop(compiled()(step)))


def _plain_loop(step: Step) -> Loop:
    def loop(p: Any, m: Any, values: Any, levels: Any, hold: int, held: int, since: int) -> tuple[int, int]:
        for i in range(len(values)):
            level = step(p, m, values[i])
            if level == 2:
                held, since = hold, int(m[3])
            elif held > 0:
                level, held, since = 2, held - 1, since + 1
            levels[i] = level
        return held, since

    return loop


def between(name: str, value: float, low: float, high: float) -> None:
    """ValueError unless low < value < high."""
    if not low < value < high:
        raise ValueError(f"{name} must be above {low:g} and below {high:g}, not {value}")


def at_least(name: str, value: float, least: float) -> None:
    """ValueError unless value >= least and finite."""
    if not (math.isfinite(value) and value >= least):
        raise ValueError(f"{name} must be at least {least:g}, not {value}")
