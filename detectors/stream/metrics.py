"""The part of the table of metrics that is about how events come: each reads the stream cells of a window."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, Final, Literal

from detectors.base import Metric
from detectors.stream.delay_p50 import delay_p50, delay_p50_noise
from detectors.stream.delay_p99 import delay_p99, delay_p99_noise
from detectors.stream.duplicate_rate import duplicate_rate, duplicate_rate_noise
from detectors.stream.event_rate import event_rate, event_rate_noise
from detectors.stream.key_skew import key_skew
from detectors.stream.late_rate import late_rate
from detectors.stream.latency_p50 import latency_p50, latency_p50_noise
from detectors.stream.latency_p95 import latency_p95, latency_p95_noise
from detectors.stream.latency_p99 import latency_p99, latency_p99_noise
from detectors.stream.offset_gaps import offset_gaps
from detectors.stream.out_of_order_rate import out_of_order_rate, out_of_order_rate_noise
from detectors.stream.schema_mix import schema_mix
from detectors.stream.silence import silence


def _stream(
    function: Callable[..., float], most: float = inf, worse: Literal["above", "both"] = "above", **more: Any
) -> Metric:
    return Metric(
        name=function.__name__,
        group="stream",
        needs="stream",
        kinds=(),
        worse=worse,
        function=function,
        limits=(0.0, most),
        **{"reference_free": True, **more},
    )


STREAM_METRICS: Final[dict[str, Metric]] = {
    "late_rate": _stream(late_rate, 1.0, otherwise=0.05),
    "out_of_order_rate": _stream(out_of_order_rate, 1.0, noise=out_of_order_rate_noise, counted="order"),
    "duplicate_rate": _stream(duplicate_rate, 1.0, noise=duplicate_rate_noise, counted="ids", otherwise=0.05),
    "event_rate": _stream(event_rate, worse="both", noise=event_rate_noise, empty_tells=True),
    "schema_mix": _stream(schema_mix, 1.0, counted="schemas", otherwise=0.5, reference_free=False),
    "key_skew": _stream(key_skew, 1.0, counted="keys"),
    "offset_gaps": _stream(offset_gaps, counted="gaps"),
    "silence": _stream(silence, otherwise=600.0, empty_tells=True),
    "delay_p50": _stream(delay_p50, noise=delay_p50_noise, counted="delays"),
    "delay_p99": _stream(delay_p99, noise=delay_p99_noise, counted="delays"),
    "latency_p50": _stream(latency_p50, noise=latency_p50_noise, counted="latencies"),
    "latency_p95": _stream(latency_p95, noise=latency_p95_noise, counted="latencies"),
    "latency_p99": _stream(latency_p99, noise=latency_p99_noise, counted="latencies"),
}
