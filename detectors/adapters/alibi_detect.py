"""alibi-detect's drift detectors by name: `detector: alibi_detect.KSDrift`, with alibi-detect's own parameters.

They run on the series of a monitor's values, one a window: the first `reference` values are what alibi-detect calls
`x_ref`, and the newest `window` values are what it predicts on. (No event leaves the tap, so they never see events.)
The offline tests are asked at each update once the window is full, in a shape of (window, 1). The online ones, whose
thresholds alibi-detect simulates for an expected run time `ert`, are made from the reference, and are shown the newest
`window` values after a reset; `window` must be at least their `window_size` or their greatest of `window_sizes`.

The state is these values and nothing else, at most reference + window numbers. Whatever is drawn at random is drawn
from `seed`, the simulation and each prediction anew, so that a judgement depends on the state alone; the generators of
numpy and PyTorch are left as they were (TensorFlow's cannot be read). What is simulated is kept for the process.

alibi-detect is an optional extra with a licence of its own (BSL 1.1) that asks for numpy < 2:
`pip install 'stream-monitor[alibi]'`. MMD, LSDD and their online forms need a backend too: PyTorch, which is taken
where both are installed as it is ten times faster on so few values, or TensorFlow; `options: {backend: tensorflow}`
chooses.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, ClassVar, Final

import numpy as np

from detectors.base import Judgement, Level

INSTALL: Final = "needs alibi-detect: pip install 'stream-monitor[alibi]'"
# alibi-detect's names -> the packages, the first choice first.
BACKENDS: Final = {"pytorch": "torch", "tensorflow": "tensorflow"}

# What a configuration cannot say, and what would make an object remember what it was asked.
_OURS: Final = (
    "x_ref", "x_ref_preprocessed", "preprocess_at_init", "preprocess_fn", "update_x_ref", "kernel", "input_shape",
    "data_type",
)  # fmt: skip
_DRAWING: Final = threading.Lock()  # the packages' generators are the process's, and folds run in threads


@dataclass(frozen=True, slots=True, kw_only=True)
class AlibiDetector:
    """What all of them share. `options` are passed to alibi-detect's class as they are."""

    kind: ClassVar[str] = ""
    online: ClassVar[bool] = False
    backend: ClassVar[bool] = False

    reference: int = 100
    window: int = 50
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in (("reference", 10), ("window", 2), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if importlib.util.find_spec("alibi_detect") is None:
            raise ValueError(INSTALL)
        known = _parameters(self.kind)
        for name in self.options:
            if name not in known:
                raise ValueError(f"options: {self.kind} knows no {name!r}; known: {', '.join(known)}")
        for name, parameter in known.items():
            if parameter.default is inspect.Parameter.empty and name not in self.options:
                raise ValueError(f"options: {self.kind} needs {name!r}")
        sizes = np.atleast_1d(self.options.get("window_sizes", self.options.get("window_size", 0)))
        if sizes.max() > self.window:
            raise ValueError(
                f"window must be at least {sizes.max()}, as {self.kind} looks at so many values, not {self.window}"
            )
        if self.backend and _backend(self.options) is None:
            wanted = self.options.get("backend")
            if wanted is not None and wanted not in BACKENDS:
                raise ValueError(f"options: unknown backend {wanted!r}; known: {', '.join(BACKENDS)}")
            installs = [f"pip install 'alibi-detect[{BACKENDS[name]}]'" for name in ([wanted] if wanted else BACKENDS)]
            raise ValueError(f"{self.kind} needs a backend: {' or '.join(installs)}")

    def start(self) -> Mapping[str, Any]:
        """No value seen."""
        return {"reference": [], "window": []}

    def update(self, state: Mapping[str, Any], value: float) -> tuple[Mapping[str, Any], Judgement]:
        """Judge the newest values against the first ones."""
        reference, window = state["reference"], state["window"]
        if len(reference) < self.reference:
            reference = [*reference, float(value)]
            return {"reference": reference, "window": window}, Judgement(
                level=Level.UNKNOWN, reason=f"{len(reference)} of the {self.reference} values of the reference"
            )
        window = [*window, float(value)][-self.window :]
        after = {"reference": reference, "window": window}
        if len(window) < self.window:
            reason = f"{len(window)} of the {self.window} values of the window"
            return after, Judgement(level=Level.UNKNOWN, reason=reason)
        drift, found = self._predict(reference, window)
        level = Level.DRIFT if drift else Level.OK
        onset = self.window - 1 if drift else None
        return after, Judgement(level=level, reason=f"alibi-detect's {self.kind}: {found}", onset=onset)

    def _predict(self, reference: list[float], window: list[float]) -> tuple[bool, str]:
        options = {"verbose": False, **self.options} if self.online else dict(self.options)
        if self.backend:
            options["backend"] = _backend(self.options)
        with _DRAWING:
            made = _made(self.kind, tuple(reference), json.dumps(options, sort_keys=True), self.seed)
            with _drawn_from(self.seed, options.get("backend")):
                return self._asked(made, window)

    def _asked(self, made: Any, window: list[float]) -> tuple[bool, str]:
        if not self.online:
            data = made.predict(np.array(window, np.float32)[:, None])["data"]
            return bool(data["is_drift"]), f"p = {float(np.min(data['p_val'])):.4g}"
        made.reset_state()
        data = {}
        for x in window:
            data = made.predict(np.array([x], np.float32))["data"]
            if data["is_drift"]:
                break
        return bool(data["is_drift"]), f"statistic {np.asarray(data['test_stat']).ravel().tolist()}"


@cache
def _parameters(kind: str) -> Mapping[str, inspect.Parameter]:
    """Those of alibi-detect's class that `options` may name."""
    parameters = inspect.signature(getattr(importlib.import_module("alibi_detect.cd"), kind)).parameters
    return {name: parameter for name, parameter in parameters.items() if name not in _OURS}


def _backend(options: Mapping[str, Any]) -> str | None:
    """What computes: as the options say, else the first that is installed; None where it is not."""
    wanted = [str(options["backend"])] if "backend" in options else list(BACKENDS)
    return next((name for name in wanted if name in BACKENDS and importlib.util.find_spec(BACKENDS[name])), None)


@contextmanager
def _drawn_from(seed: int, backend: str | None) -> Iterator[None]:
    """Have numpy and the backend draw from `seed`, and give them back their own state."""
    package = importlib.import_module(BACKENDS[backend]) if backend else None
    before = np.random.get_state()
    states = package.random.get_rng_state() if package is not None and backend == "pytorch" else None
    try:
        np.random.seed(seed)
        if package is not None:
            (package.random.manual_seed if backend == "pytorch" else package.random.set_seed)(seed)
        yield
    finally:
        np.random.set_state(before)
        if package is not None and states is not None:
            package.random.set_rng_state(states)


@lru_cache(maxsize=64)
def _made(kind: str, reference: tuple[float, ...], options: str, seed: int) -> Any:
    """alibi-detect's own object; `options` as JSON, `seed` is part of what it depends on."""
    module = importlib.import_module("alibi_detect.cd")
    parameters = json.loads(options)
    with _drawn_from(seed, parameters.get("backend")):
        return getattr(module, kind)(np.array(reference, np.float32)[:, None], **parameters)


def _adapted(kind: str, summary: str, online: bool = False, backend: bool = False) -> type:
    doc = f"""{summary}

    On the newest `window` values of the series against its first `reference` values; see the module.

    >>> {kind}.kind
    '{kind}'
    """
    space = {
        "__slots__": (),
        "__doc__": doc,
        "__module__": __name__,
        "kind": kind,
        "online": online,
        "backend": backend,
    }
    return dataclass(frozen=True, kw_only=True)(type(kind, (AlibiDetector,), space))


ALIBI: Final[dict[str, type]] = {
    f"alibi_detect.{kind}": _adapted(kind, summary, online, backend)
    for kind, summary, online, backend in (
        ("KSDrift", "alibi-detect's Kolmogorov-Smirnov test.", False, False),
        ("CVMDrift", "alibi-detect's Cramer-von Mises test.", False, False),
        ("FETDrift", "alibi-detect's Fisher exact test, of values 0 and 1.", False, False),
        ("ChiSquareDrift", "alibi-detect's chi-square test, of values that are classes.", False, False),
        (
            "TabularDrift",
            "alibi-detect's test of tables; of one series, Kolmogorov-Smirnov's.",
            False,
            False,
        ),
        ("MMDDrift", "alibi-detect's maximum mean discrepancy.", False, True),
        ("LSDDDrift", "alibi-detect's least-squares density difference.", False, True),
        ("CVMDriftOnline", "alibi-detect's online Cramer-von Mises test; options: ert, window_sizes.", True, False),
        ("FETDriftOnline", "alibi-detect's online Fisher exact test; options: ert, window_sizes.", True, False),
        ("MMDDriftOnline", "alibi-detect's online maximum mean discrepancy; options: ert, window_size.", True, True),
        ("LSDDDriftOnline", "alibi-detect's online density difference; options: ert, window_size.", True, True),
    )
}
