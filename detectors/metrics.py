"""The table of metrics: pure numbers read from a window (and its reference). One file each, one entry here."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, log, sqrt
from typing import Any, Final, Literal

from detectors.base import Group, Metric
from detectors.drift.anderson_darling import anderson_darling, anderson_darling_noise, anderson_darling_p_value
from detectors.drift.attribution_drift import (
    attribution_drift,
    attribution_drift_noise,
    attribution_drift_p_value,
)
from detectors.drift.chi_square import chi_square, chi_square_p_value, chi_square_value_noise
from detectors.drift.correlation_drift import (
    correlation_drift,
    correlation_drift_noise,
    correlation_drift_p_value,
)
from detectors.drift.cramer_von_mises import cramer_von_mises, cramer_von_mises_noise, cramer_von_mises_p_value
from detectors.drift.cramers_v import cramers_v, cramers_v_noise, cramers_v_p_value
from detectors.drift.embedding_drift import embedding_drift, embedding_drift_noise, embedding_drift_p_value
from detectors.drift.embedding_mmd import embedding_mmd, embedding_mmd_noise, embedding_mmd_p_value
from detectors.drift.energy import energy, energy_noise, energy_p_value
from detectors.drift.g_test import g_test, g_test_noise, g_test_p_value
from detectors.drift.hellinger import hellinger, hellinger_noise
from detectors.drift.jensen_shannon import jensen_shannon, jensen_shannon_noise
from detectors.drift.ks import ks, ks_noise, ks_p_value
from detectors.drift.kullback_leibler import kullback_leibler, kullback_leibler_noise
from detectors.drift.l_infinity import l_infinity, l_infinity_noise
from detectors.drift.mean_shift import mean_shift, mean_shift_noise, mean_shift_p_value
from detectors.drift.median_shift import median_shift, median_shift_noise
from detectors.drift.mmd import mmd, mmd_noise, mmd_p_value
from detectors.drift.new_categories import new_categories, new_categories_noise
from detectors.drift.pca_reconstruction import (
    pca_reconstruction,
    pca_reconstruction_noise,
    pca_reconstruction_p_value,
)
from detectors.drift.psi import psi, psi_noise
from detectors.drift.q05_shift import q05_shift, q05_shift_noise
from detectors.drift.q95_shift import q95_shift, q95_shift_noise
from detectors.drift.scan import scan
from detectors.drift.std_ratio import std_ratio, std_ratio_noise
from detectors.drift.text_drift import text_drift, text_drift_noise, text_drift_p_value
from detectors.drift.total_variation import total_variation, total_variation_noise
from detectors.drift.vanished_categories import vanished_categories, vanished_categories_noise
from detectors.drift.wasserstein import wasserstein, wasserstein_noise
from detectors.drift.wasserstein_normalised import wasserstein_normalised, wasserstein_normalised_noise
from detectors.fairness.accuracy_difference import accuracy_difference
from detectors.fairness.calibration_difference import calibration_difference
from detectors.fairness.false_positive_rate_difference import false_positive_rate_difference
from detectors.fairness.selection_rate_difference import selection_rate_difference
from detectors.fairness.selection_rate_ratio import selection_rate_ratio
from detectors.fairness.true_positive_rate_difference import true_positive_rate_difference
from detectors.performance.accuracy import accuracy, accuracy_interval, accuracy_noise
from detectors.performance.balanced_accuracy import (
    balanced_accuracy,
    balanced_accuracy_interval,
    balanced_accuracy_noise,
)
from detectors.performance.bias import bias, bias_interval, bias_noise
from detectors.performance.brier import brier, brier_interval, brier_noise
from detectors.performance.calibration_bias import calibration_bias, calibration_bias_interval, calibration_bias_noise
from detectors.performance.ece import ece, ece_interval, ece_noise
from detectors.performance.error_rate import error_rate, error_rate_events, error_rate_interval, error_rate_noise
from detectors.performance.estimated_accuracy import (
    estimated_accuracy,
    estimated_accuracy_interval,
    estimated_accuracy_noise,
)
from detectors.performance.estimated_f1 import estimated_f1, estimated_f1_interval, estimated_f1_noise
from detectors.performance.estimated_precision import (
    estimated_precision,
    estimated_precision_interval,
    estimated_precision_noise,
)
from detectors.performance.estimated_recall import estimated_recall, estimated_recall_interval, estimated_recall_noise
from detectors.performance.estimated_roc_auc import (
    estimated_roc_auc,
    estimated_roc_auc_interval,
    estimated_roc_auc_noise,
)
from detectors.performance.f1 import f1, f1_interval, f1_noise
from detectors.performance.label_coverage import label_coverage
from detectors.performance.label_delay import label_delay
from detectors.performance.log_loss import log_loss, log_loss_interval, log_loss_noise
from detectors.performance.mae import mae, mae_interval, mae_noise
from detectors.performance.mape import mape, mape_interval, mape_noise
from detectors.performance.mcc import mcc, mcc_interval, mcc_noise
from detectors.performance.pr_auc import pr_auc, pr_auc_interval, pr_auc_noise
from detectors.performance.precision import precision, precision_interval, precision_noise
from detectors.performance.r2 import r2, r2_interval, r2_noise
from detectors.performance.recall import recall, recall_interval, recall_noise
from detectors.performance.rmse import rmse, rmse_interval, rmse_noise
from detectors.performance.roc_auc import roc_auc, roc_auc_interval, roc_auc_noise
from detectors.performance.smape import smape, smape_interval, smape_noise
from detectors.quality.constant_share import constant_share, constant_share_noise
from detectors.quality.invalid_rate import invalid_rate, invalid_rate_events, invalid_rate_noise
from detectors.quality.missing_rate import missing_rate, missing_rate_events, missing_rate_noise
from detectors.quality.out_of_range import out_of_range, out_of_range_noise
from detectors.quality.row_volume import row_volume, row_volume_noise
from detectors.quality.type_error_rate import type_error_rate, type_error_rate_events, type_error_rate_noise
from detectors.quality.unseen_rate import unseen_rate, unseen_rate_events, unseen_rate_noise
from detectors.stream.metrics import STREAM_METRICS

_BOTH: Final = ("numeric", "categorical")
_NUMERIC: Final = ("numeric",)
_CATEGORICAL: Final = ("categorical",)
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


def _shift(function: Callable[..., float], limits: tuple[float, float] = (-inf, inf), **more: Any) -> Metric:
    return Metric(
        name=function.__name__,
        group="drift",
        needs="column",
        kinds=_NUMERIC,
        worse="both",
        function=function,
        limits=limits,
        **more,
    )


def _judged(
    tasks: tuple[str, ...],
    function: Callable[..., float],
    worse: Literal["above", "below", "both"],
    limits: tuple[float, float],
    noise: Callable[..., tuple[float, float]],
    interval: Callable[..., tuple[float, float]],
    events: Callable[..., tuple[int, int]] | None = None,
) -> Metric:
    return _outcome(tasks, function, worse, limits, noise=noise, interval=interval, events=events)


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


def _joint(
    function: Callable[..., float], most: float, worse: Literal["above", "both"] = "above", **more: Any
) -> Metric:
    return Metric(
        name=function.__name__,
        group="drift",
        needs="joint",
        kinds=(),
        worse=worse,
        function=function,
        limits=(0.0, most),
        **more,
    )


def _family(
    kind: str,
    function: Callable[..., float],
    noise: Callable[..., tuple[float, float]],
    p_value: Callable[..., float],
    most: float,
    worse: Literal["above", "below"] = "above",
) -> Metric:
    return Metric(
        name=function.__name__,
        group="drift",
        needs="family",
        kinds=(kind,),
        worse=worse,
        function=function,
        noise=noise,
        p_value=p_value,
        limits=(0.0, most),
        lawful=kind == "embedding",
    )


def _estimated(
    function: Callable[..., float],
    noise: Callable[..., tuple[float, float]],
    interval: Callable[..., tuple[float, float]],
) -> Metric:
    return Metric(
        name=function.__name__,
        group="performance",
        needs="column",
        kinds=_NUMERIC,
        worse="below",
        function=function,
        noise=noise,
        interval=interval,
        limits=(0.0, 1.0),
        only=("score",),
    )


def _fairness(
    tasks: tuple[str, ...],
    function: Callable[..., float],
    worse: Literal["above", "below"] = "above",
    most: float = 1.0,
) -> Metric:
    return Metric(
        name=function.__name__,
        group="fairness",
        needs="segments",
        kinds=(),
        worse=worse,
        function=function,
        tasks=tasks,
        limits=(0.0, most),
    )


METRICS: Final[dict[str, Metric]] = {
    "scan": Metric(
        name="scan",
        group="drift",
        needs="scan",
        kinds=_BOTH,
        worse="above",
        function=scan,
        limits=(0.0, inf),
    ),
    "psi": _column("drift", _BOTH, psi, noise=psi_noise),
    "jensen_shannon": _column("drift", _BOTH, jensen_shannon, 1.0, noise=jensen_shannon_noise),
    "hellinger": _column("drift", _BOTH, hellinger, 1.0, noise=hellinger_noise),
    "kullback_leibler": _column("drift", _BOTH, kullback_leibler, noise=kullback_leibler_noise),
    "total_variation": _column("drift", _BOTH, total_variation, 1.0, noise=total_variation_noise),
    "l_infinity": _column("drift", _BOTH, l_infinity, 1.0, noise=l_infinity_noise),
    "ks": _column("drift", _NUMERIC, ks, 1.0, noise=ks_noise, p_value=ks_p_value),
    "cramer_von_mises": _column(
        "drift", _NUMERIC, cramer_von_mises, 1 / 3, noise=cramer_von_mises_noise, p_value=cramer_von_mises_p_value
    ),
    "anderson_darling": _column(
        "drift", _NUMERIC, anderson_darling, noise=anderson_darling_noise, p_value=anderson_darling_p_value
    ),
    "wasserstein": _column("drift", _NUMERIC, wasserstein, noise=wasserstein_noise),
    "wasserstein_normalised": _column("drift", _NUMERIC, wasserstein_normalised, noise=wasserstein_normalised_noise),
    "energy": _column("drift", _NUMERIC, energy, noise=energy_noise, p_value=energy_p_value),
    "chi_square": _column("drift", _BOTH, chi_square, 1.0, noise=chi_square_value_noise, p_value=chi_square_p_value),
    "cramers_v": _column("drift", _BOTH, cramers_v, 1.0, noise=cramers_v_noise, p_value=cramers_v_p_value),
    "g_test": _column("drift", _BOTH, g_test, sqrt(2 * log(2)), noise=g_test_noise, p_value=g_test_p_value),
    "new_categories": _column("drift", _CATEGORICAL, new_categories, 1.0, noise=new_categories_noise),
    "vanished_categories": _column("drift", _CATEGORICAL, vanished_categories, 1.0, noise=vanished_categories_noise),
    "mean_shift": _shift(mean_shift, noise=mean_shift_noise, p_value=mean_shift_p_value),
    "median_shift": _shift(median_shift, noise=median_shift_noise),
    "q05_shift": _shift(q05_shift, noise=q05_shift_noise),
    "q95_shift": _shift(q95_shift, noise=q95_shift_noise),
    "std_ratio": _shift(std_ratio, limits=(0.0, inf), noise=std_ratio_noise),
    "mmd": _joint(mmd, inf, noise=mmd_noise, p_value=mmd_p_value, lawful=True),
    "correlation_drift": _joint(
        correlation_drift, 2.0, noise=correlation_drift_noise, p_value=correlation_drift_p_value, lawful=True
    ),
    "pca_reconstruction": _joint(
        pca_reconstruction,
        inf,
        "both",
        noise=pca_reconstruction_noise,
        p_value=pca_reconstruction_p_value,
        lawful=True,
    ),
    "embedding_drift": _family("embedding", embedding_drift, embedding_drift_noise, embedding_drift_p_value, inf),
    "embedding_mmd": _family("embedding", embedding_mmd, embedding_mmd_noise, embedding_mmd_p_value, sqrt(2)),
    "text_drift": _family("text", text_drift, text_drift_noise, text_drift_p_value, 1.0),
    "attribution_drift": _family(
        "attribution", attribution_drift, attribution_drift_noise, attribution_drift_p_value, 1.0, "below"
    ),
    "missing_rate": _column(
        "quality", _BOTH, missing_rate, 1.0, noise=missing_rate_noise, events=missing_rate_events, reference_free=True
    ),
    "invalid_rate": _column(
        "quality", _BOTH, invalid_rate, 1.0, noise=invalid_rate_noise, events=invalid_rate_events, reference_free=True
    ),
    "unseen_rate": _column(
        "quality",
        ("categorical",),
        unseen_rate,
        1.0,
        noise=unseen_rate_noise,
        events=unseen_rate_events,
        reference_free=True,
    ),
    "type_error_rate": _column(
        "quality",
        _BOTH,
        type_error_rate,
        1.0,
        noise=type_error_rate_noise,
        events=type_error_rate_events,
        reference_free=True,
    ),
    "constant_share": _column("quality", _BOTH, constant_share, 1.0, noise=constant_share_noise, reference_free=True),
    "out_of_range": _column("quality", _NUMERIC, out_of_range, 1.0, noise=out_of_range_noise),
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
    "accuracy": _judged(_CLASSES, accuracy, "below", (0.0, 1.0), accuracy_noise, accuracy_interval, error_rate_events),
    "error_rate": _judged(
        _CLASSES, error_rate, "above", (0.0, 1.0), error_rate_noise, error_rate_interval, error_rate_events
    ),
    "balanced_accuracy": _judged(
        _BINARY, balanced_accuracy, "below", (0.0, 1.0), balanced_accuracy_noise, balanced_accuracy_interval
    ),
    "log_loss": _judged(_CLASSES, log_loss, "above", (0.0, inf), log_loss_noise, log_loss_interval),
    "brier": _judged(_BINARY, brier, "above", (0.0, 1.0), brier_noise, brier_interval),
    "precision": _judged(_BINARY, precision, "below", (0.0, 1.0), precision_noise, precision_interval),
    "recall": _judged(_BINARY, recall, "below", (0.0, 1.0), recall_noise, recall_interval),
    "f1": _judged(_BINARY, f1, "below", (0.0, 1.0), f1_noise, f1_interval),
    "mcc": _judged(_BINARY, mcc, "below", (-1.0, 1.0), mcc_noise, mcc_interval),
    "roc_auc": _judged(_BINARY, roc_auc, "below", (0.0, 1.0), roc_auc_noise, roc_auc_interval),
    "pr_auc": _judged(_BINARY, pr_auc, "below", (0.0, 1.0), pr_auc_noise, pr_auc_interval),
    "ece": _judged(_CLASSES, ece, "above", (0.0, 1.0), ece_noise, ece_interval),
    "calibration_bias": _judged(
        _CLASSES, calibration_bias, "both", (-1.0, 1.0), calibration_bias_noise, calibration_bias_interval
    ),
    "mae": _judged(_REGRESSION, mae, "above", (0.0, inf), mae_noise, mae_interval),
    "rmse": _judged(_REGRESSION, rmse, "above", (0.0, inf), rmse_noise, rmse_interval),
    "r2": _judged(_REGRESSION, r2, "below", (-inf, 1.0), r2_noise, r2_interval),
    "mape": _judged(_REGRESSION, mape, "above", (0.0, inf), mape_noise, mape_interval),
    "smape": _judged(_REGRESSION, smape, "above", (0.0, 2.0), smape_noise, smape_interval),
    "bias": _judged(_REGRESSION, bias, "both", (-inf, inf), bias_noise, bias_interval),
    "estimated_accuracy": _estimated(estimated_accuracy, estimated_accuracy_noise, estimated_accuracy_interval),
    "estimated_precision": _estimated(estimated_precision, estimated_precision_noise, estimated_precision_interval),
    "estimated_recall": _estimated(estimated_recall, estimated_recall_noise, estimated_recall_interval),
    "estimated_f1": _estimated(estimated_f1, estimated_f1_noise, estimated_f1_interval),
    "estimated_roc_auc": _estimated(estimated_roc_auc, estimated_roc_auc_noise, estimated_roc_auc_interval),
    "label_coverage": _outcome(_ALL, label_coverage, "below", (0.0, inf), group="stream"),
    "label_delay": _outcome(_ALL, label_delay, "above", (-inf, inf), group="stream"),
    "selection_rate_difference": _fairness(_BINARY, selection_rate_difference),
    "selection_rate_ratio": _fairness(_BINARY, selection_rate_ratio, "below"),
    "true_positive_rate_difference": _fairness(_BINARY, true_positive_rate_difference),
    "false_positive_rate_difference": _fairness(_BINARY, false_positive_rate_difference),
    "accuracy_difference": _fairness(_CLASSES, accuracy_difference),
    "calibration_difference": _fairness(_BINARY, calibration_difference, most=2.0),
    **STREAM_METRICS,
}
