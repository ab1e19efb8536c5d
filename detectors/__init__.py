"""The statistics: numbers in, numbers out. No clock, no log, no input or output, nothing of the pipeline.

METRICS measure a window, DETECTORS judge the series of a metric's values, DEFAULT_SUITE is what is watched when nobody
says what. To add a metric or a detector: one file, one entry here, one test; `tests/detectors/test_every_*.py` go over
the tables.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, Final, Literal, NamedTuple

from detectors.base import Detector, Group, Judgement, Level, Metric
from detectors.baselines import Baseline, baseline
from detectors.calibration import Bounds, calibrate, exceedance
from detectors.change.page_hinkley import PageHinkley
from detectors.change.threshold import Threshold
from detectors.drift.chi_square import chi_square, chi_square_p_value, cramers_v_noise
from detectors.drift.jensen_shannon import jensen_shannon, jensen_shannon_noise
from detectors.drift.ks import ks, ks_noise, ks_p_value
from detectors.drift.psi import psi, psi_noise
from detectors.drift.wasserstein import wasserstein, wasserstein_noise
from detectors.drift.wasserstein_normalised import wasserstein_normalised, wasserstein_normalised_noise
from detectors.performance.accuracy import accuracy, accuracy_noise
from detectors.performance.bias import bias, bias_noise
from detectors.performance.brier import brier
from detectors.performance.error_rate import error_rate, error_rate_noise
from detectors.performance.f1 import f1
from detectors.performance.label_coverage import label_coverage
from detectors.performance.log_loss import log_loss
from detectors.performance.mae import mae, mae_noise
from detectors.performance.precision import precision
from detectors.performance.recall import recall
from detectors.performance.rmse import rmse
from detectors.performance.roc_auc import roc_auc
from detectors.quality.invalid_rate import invalid_rate, invalid_rate_noise
from detectors.quality.missing_rate import missing_rate, missing_rate_noise
from detectors.quality.row_volume import row_volume, row_volume_noise
from detectors.quality.unseen_rate import unseen_rate, unseen_rate_noise

__all__ = [
    "DEFAULT_SUITE",
    "DETECTORS",
    "METRICS",
    "Baseline",
    "Bounds",
    "Detector",
    "Judgement",
    "Level",
    "Metric",
    "PageHinkley",
    "Threshold",
    "Watch",
    "baseline",
    "calibrate",
    "exceedance",
]

_BOTH: Final = ("numeric", "categorical")
_NUMERIC: Final = ("numeric",)
_BINARY: Final = ("binary",)
_CLASSES: Final = ("binary", "multiclass")
_REGRESSION: Final = ("regression",)
_ALL: Final = ("binary", "multiclass", "regression")


def _column(
    group: Group, kinds: tuple[str, ...], function: Callable[..., float], most: float = inf, **more: Any
) -> Metric:
    return Metric(
        name=function.__name__,
        group=group,
        needs="column",
        kinds=kinds,
        worse="above",
        function=function,
        limits=(0.0, most),
        **more,
    )


def _outcome(
    tasks: tuple[str, ...],
    function: Callable[..., float],
    worse: Literal["above", "below", "both"],
    limits: tuple[float, float],
    group: Group = "performance",
    **more: Any,
) -> Metric:
    return Metric(
        name=function.__name__,
        group=group,
        needs="outcome",
        kinds=(),
        worse=worse,
        function=function,
        tasks=tasks,
        limits=limits,
        **more,
    )


METRICS: Final[dict[str, Metric]] = {
    "psi": _column("drift", _BOTH, psi, noise=psi_noise),
    "jensen_shannon": _column("drift", _BOTH, jensen_shannon, 1.0, noise=jensen_shannon_noise),
    "ks": _column("drift", _NUMERIC, ks, 1.0, noise=ks_noise, p_value=ks_p_value),
    "wasserstein": _column("drift", _NUMERIC, wasserstein, noise=wasserstein_noise),
    "wasserstein_normalised": _column("drift", _NUMERIC, wasserstein_normalised, noise=wasserstein_normalised_noise),
    "chi_square": _column("drift", _BOTH, chi_square, 1.0, noise=cramers_v_noise, p_value=chi_square_p_value),
    "missing_rate": _column("quality", _BOTH, missing_rate, 1.0, noise=missing_rate_noise, reference_free=True),
    "invalid_rate": _column("quality", _BOTH, invalid_rate, 1.0, noise=invalid_rate_noise, reference_free=True),
    "unseen_rate": _column("quality", ("categorical",), unseen_rate, 1.0, noise=unseen_rate_noise, reference_free=True),
    "row_volume": Metric(
        name="row_volume",
        group="stream",
        needs="window",
        kinds=(),
        worse="both",
        function=row_volume,
        noise=row_volume_noise,
        limits=(0.0, inf),
    ),
    "accuracy": _outcome(_CLASSES, accuracy, "below", (0.0, 1.0), noise=accuracy_noise),
    "error_rate": _outcome(_CLASSES, error_rate, "above", (0.0, 1.0), noise=error_rate_noise),
    "log_loss": _outcome(_CLASSES, log_loss, "above", (0.0, inf)),
    "brier": _outcome(_BINARY, brier, "above", (0.0, 1.0)),
    "precision": _outcome(_BINARY, precision, "below", (0.0, 1.0)),
    "recall": _outcome(_BINARY, recall, "below", (0.0, 1.0)),
    "f1": _outcome(_BINARY, f1, "below", (0.0, 1.0)),
    "roc_auc": _outcome(_BINARY, roc_auc, "below", (0.0, 1.0)),
    "mae": _outcome(_REGRESSION, mae, "above", (0.0, inf), noise=mae_noise),
    "rmse": _outcome(_REGRESSION, rmse, "above", (0.0, inf)),
    "bias": _outcome(_REGRESSION, bias, "both", (-inf, inf), noise=bias_noise),
    "label_coverage": _outcome(_ALL, label_coverage, "below", (0.0, inf), group="stream"),
}

DETECTORS: Final[dict[str, type]] = {"threshold": Threshold, "page_hinkley": PageHinkley}


class Watch(NamedTuple):
    """A monitor of the default suite; `columns` is "all" (features and predictions the metric can read) or ""."""

    metric: str
    columns: str
    detector: str


# Why Jensen-Shannon: it reads every kind of column, needs no prior, and being bounded it is not run away with by single
# outliers, so that thresholds learnt from few windows hold.
_DATA: Final = (
    Watch("jensen_shannon", "all", "threshold"),
    Watch("missing_rate", "all", "threshold"),
    Watch("invalid_rate", "all", "threshold"),
    Watch("unseen_rate", "all", "threshold"),
    Watch("row_volume", "", "threshold"),
)

DEFAULT_SUITE: Final[dict[str, tuple[Watch, ...]]] = {
    "binary": (*_DATA, Watch("error_rate", "", "threshold"), Watch("log_loss", "", "threshold")),
    "multiclass": (*_DATA, Watch("error_rate", "", "threshold")),
    "regression": (*_DATA, Watch("mae", "", "threshold")),
    "ranking": _DATA,
    "none": _DATA,
}
