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
where both are installed as it is ten times faster on so few values, or TensorFlow; `backend: tensorflow` chooses.
"""

from __future__ import annotations

import importlib
import importlib.util
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, make_dataclass
from functools import lru_cache
from typing import Any, ClassVar, Final

import numpy as np

from detectors.base import Judgement, Level

INSTALL: Final = "needs alibi-detect: pip install 'stream-monitor[alibi]'"
# alibi-detect's names -> the packages, the first choice first.
BACKENDS: Final = {"pytorch": "torch", "tensorflow": "tensorflow"}

_DRAWING: Final = threading.Lock()  # the packages' generators are the process's, and folds run in threads


@dataclass(frozen=True, slots=True, kw_only=True)
class AlibiDetector:
    """What all of them share; the fields of each are alibi-detect's own parameters."""

    kind: ClassVar[str] = ""
    online: ClassVar[bool] = False

    reference: int = 100
    window: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("reference", 10), ("window", 2), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        own = self._own()
        sizes = (*own.get("window_sizes", ()), own.get("window_size", 0))
        if max(sizes) > self.window:
            raise ValueError(f"window must be at least {max(sizes)}, which {self.kind} looks at, not {self.window}")
        if own.get("n_bootstraps", 0) < own.get("ert", 0):
            raise ValueError(f"n_bootstraps must be at least ert, {own['ert']:g}, not {own['n_bootstraps']}")
        backend = own.get("backend", "")
        if backend and backend not in BACKENDS:
            raise ValueError(f"unknown backend {backend!r}; known: {', '.join(BACKENDS)}")
        if importlib.util.find_spec("alibi_detect") is None:
            raise ValueError(INSTALL)
        if "backend" in own and _backend(backend) is None:
            installs = [f"pip install 'alibi-detect[{p}]'" for b, p in BACKENDS.items() if backend in ("", b)]
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

    def _own(self) -> dict[str, Any]:
        """alibi-detect's parameters."""
        ours = {f.name for f in fields(AlibiDetector)}
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ours}

    def _predict(self, reference: list[float], window: list[float]) -> tuple[bool, str]:
        own = self._own()
        if "backend" in own:
            own["backend"] = _backend(own["backend"])
        with _DRAWING:
            made = _made(self.kind, self.online, tuple(reference), tuple(own.items()), self.seed)
            with _drawn_from(self.seed, own.get("backend")):
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
        statistics = [f"{s:.4g}" for s in np.ravel(data["test_stat"]) if s == s]  # one a size whose window is full
        return bool(data["is_drift"]), f"statistic {', '.join(statistics)}"


def _backend(stated: str) -> str | None:
    """What computes: what is stated, else the first that is installed; None where it is not."""
    wanted = [stated] if stated else list(BACKENDS)
    return next((name for name in wanted if importlib.util.find_spec(BACKENDS[name])), None)


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
def _made(kind: str, online: bool, reference: tuple[float, ...], own: tuple[tuple[str, Any], ...], seed: int) -> Any:
    """alibi-detect's own object; `seed` is part of what it depends on."""
    parameters: dict[str, Any] = {name: list(of) if isinstance(of, tuple) else of for name, of in own}
    if online:
        parameters["verbose"] = False  # or it draws a bar into the log
    module = importlib.import_module("alibi_detect.cd")
    with _drawn_from(seed, parameters.get("backend")):
        return getattr(module, kind)(np.array(reference, np.float32)[:, None], **parameters)


def _adapted(kind: str, summary: str, **parameters: Any) -> type:
    """A detector with alibi-detect's parameters and, where it has any, its defaults."""
    named = [
        (name, tuple[int, ...] if isinstance(d, tuple) else type(d), field(default=d)) for name, d in parameters.items()
    ]
    made = make_dataclass(
        kind, named, bases=(AlibiDetector,), frozen=True, kw_only=True,
        namespace={"kind": kind, "online": kind.endswith("Online"), "__module__": __name__},
    )  # fmt: skip
    made.__doc__ = f"""{summary}

    On the newest `window` values of the series against its first `reference` values; see the module.

    >>> ALIBI["alibi_detect.{kind}"].kind
    '{kind}'
    """
    return made


ALIBI: Final[dict[str, type]] = {
    f"alibi_detect.{made.__name__}": made
    for made in (
        _adapted("KSDrift", "alibi-detect's Kolmogorov-Smirnov test.", p_val=0.05, alternative="two-sided"),
        _adapted("CVMDrift", "alibi-detect's Cramer-von Mises test.", p_val=0.05),
        _adapted("FETDrift", "alibi-detect's Fisher exact test, of values 0 and 1.", p_val=0.05, alternative="greater"),
        _adapted("ChiSquareDrift", "alibi-detect's chi-square test, of values that are classes.", p_val=0.05),
        _adapted(
            "TabularDrift", "alibi-detect's test of tables; of one series, Kolmogorov-Smirnov's.",
            p_val=0.05, alternative="two-sided",
        ),
        _adapted(
            "MMDDrift", "alibi-detect's maximum mean discrepancy.", p_val=0.05, n_permutations=100, backend="",
        ),
        _adapted(
            "LSDDDrift", "alibi-detect's least-squares density difference.",
            p_val=0.05, n_permutations=100, lambda_rd_max=0.2, backend="",
        ),
        _adapted(
            "CVMDriftOnline", "alibi-detect's online Cramer-von Mises test.",
            ert=1_000.0, window_sizes=(20,), n_bootstraps=10_000,
        ),
        _adapted(
            "FETDriftOnline", "alibi-detect's online Fisher exact test, of values 0 and 1.",
            ert=1_000.0, window_sizes=(20,), n_bootstraps=10_000, alternative="greater", lam=0.99,
        ),
        _adapted(
            "MMDDriftOnline", "alibi-detect's online maximum mean discrepancy.",
            ert=1_000.0, window_size=20, n_bootstraps=1_000, backend="",
        ),
        _adapted(
            "LSDDDriftOnline", "alibi-detect's online least-squares density difference.",
            ert=1_000.0, window_size=20, n_bootstraps=1_000, lambda_rd_max=0.2, backend="",
        ),
    )
}  # fmt: skip
