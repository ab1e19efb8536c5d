"""The statistics: numbers in, numbers out. No clock, no log, no input or output, nothing of the pipeline.

METRICS (metrics.py) measure a window, DETECTORS judge the series of a metric's values, DEFAULT_SUITE is what is watched
when nobody says what. To add a metric or a detector: one file, one entry in its table, one test;
`tests/detectors/test_every_*.py` go over the tables.

Why scipy's functions have their whole names in these files: scipy then imports them when one is called, and who only
reads the tables, as `stream-monitor list` and `check` do, need not wait for that.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from detectors.adapters.alibi_detect import ALIBI
from detectors.adapters.river import RIVER
from detectors.base import Detector, Judgement, Level, Metric
from detectors.baselines import Baseline, baseline
from detectors.calibration import Bounds, calibrate, exceedance
from detectors.change.adwin import ADWIN
from detectors.change.bocpd import BOCPD
from detectors.change.cusum import CUSUM
from detectors.change.ddm import DDM
from detectors.change.e_detectors import ECUSUM, EShiryaevRoberts
from detectors.change.eddm import EDDM
from detectors.change.ewma import EWMA
from detectors.change.glr import GLR
from detectors.change.hddm_a import HDDMA
from detectors.change.hddm_w import HDDMW
from detectors.change.kswin import KSWIN
from detectors.change.page_hinkley import PageHinkley
from detectors.change.rddm import RDDM
from detectors.change.stepd import STEPD
from detectors.change.threshold import Threshold
from detectors.metrics import METRICS

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

DETECTORS: Final[dict[str, type]] = {
    "threshold": Threshold,
    "page_hinkley": PageHinkley,
    "cusum": CUSUM,
    "ewma": EWMA,
    "glr": GLR,
    "bocpd": BOCPD,
    "e_cusum": ECUSUM,
    "e_shiryaev_roberts": EShiryaevRoberts,
    "adwin": ADWIN,
    "kswin": KSWIN,
    "ddm": DDM,
    "eddm": EDDM,
    "rddm": RDDM,
    "hddm_a": HDDMA,
    "hddm_w": HDDMW,
    "stepd": STEPD,
    **RIVER,
    **ALIBI,
}


class Watch(NamedTuple):
    """A monitor of the default suite; `columns` is "all" (features and predictions the metric can read) or ""."""

    metric: str
    columns: str
    detector: str


_DATA: Final = (
    Watch("scan", "all", "threshold"),
    Watch("missing_rate", "all", "threshold"),
    Watch("invalid_rate", "all", "threshold"),
    Watch("unseen_rate", "all", "threshold"),
    Watch("row_volume", "", "threshold"),
    Watch("latency_p95", "", "threshold"),
)

DEFAULT_SUITE: Final[dict[str, tuple[Watch, ...]]] = {
    "binary": (*_DATA, Watch("error_rate", "", "threshold"), Watch("log_loss", "", "threshold")),
    "multiclass": (*_DATA, Watch("error_rate", "", "threshold")),
    "regression": (*_DATA, Watch("mae", "", "threshold")),
    "ranking": _DATA,
    "none": _DATA,
}
