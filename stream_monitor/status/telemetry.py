"""Prometheus metrics: what this process measures itself, and what the documents of the store say of the whole service.

Model state is collected anew at each scrape, so that series vanish with their model; their number is capped, and what
went over the cap is counted in `stream_monitor_dropped_series`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from stream_monitor.config import Config
from stream_monitor.deliveries.notices import TRIGGER, target_names
from stream_monitor.status.statuses import Snapshot, added, assigned, deliveries, greatest, newest, worker_lags

MOST_SERIES: Final = 5_000
PREFIX: Final = "stream_monitor_"
DELAY_BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)  # seconds
HISTOGRAMS: Final = {
    "window_close_delay_seconds": "From the end of a window to its closing.",
    "event_to_verdict_seconds": "From the beginning of the block that closed a window to its verdicts.",
}
DELIVERIES: Final = "Attempts to deliver alerts and retrain requests."
OUTCOMES: Final = ("delivered", "failed", "given_up", "resent", "resend_failed")  # counted from 0 on


class Telemetry:
    """What one process measures itself. Any thread may call it.

    >>> telemetry = Telemetry()
    >>> telemetry.delivered("slack", "delivered")
    >>> telemetry.window_closed("fraud", 0.2)
    >>> telemetry.snapshot()["deliveries"]
    {'slack': {'delivered': 1}}
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._histograms = {
            name: Histogram(PREFIX + name, text, buckets=DELAY_BUCKETS, registry=self.registry)
            for name, text in HISTOGRAMS.items()
        }
        self._deliveries = Counter(f"{PREFIX}deliveries", DELIVERIES, ["sink", "outcome"], registry=self.registry)

    def window_closed(self, model: str, delay_seconds: float) -> None:
        """A window was closed so long after its end."""
        self._histograms["window_close_delay_seconds"].observe(max(0.0, delay_seconds))

    def verdict_given(self, model: str, delay_seconds: float) -> None:
        """A verdict was given so long after the block that caused it was begun."""
        self._histograms["event_to_verdict_seconds"].observe(max(0.0, delay_seconds))

    def delivered(self, sink: str, outcome: str) -> None:
        """A sink or trigger was tried with this outcome."""
        self._deliveries.labels(sink, outcome).inc()

    def snapshot(self) -> dict[str, Any]:
        """All of it as plain data, for the process's heartbeat. Bucket counts are cumulative."""
        histograms: dict[str, Any] = {}
        for name, histogram in self._histograms.items():
            buckets, total = {}, 0.0
            for sample in next(iter(histogram.collect())).samples:
                if sample.name.endswith("_bucket"):
                    buckets[sample.labels["le"]] = int(sample.value)
                elif sample.name.endswith("_sum"):
                    total = sample.value
            histograms[name] = {"buckets": buckets, "sum": total}
        outcomes: dict[str, dict[str, int]] = {}
        for sample in next(iter(self._deliveries.collect())).samples:
            if sample.name.endswith("_total"):
                outcomes.setdefault(sample.labels["sink"], {})[sample.labels["outcome"]] = int(sample.value)
        return {"histograms": histograms, "deliveries": outcomes}


class Ledger:
    """Telemetry of all processes that were ever heard of, so that a total does not fall when one of them ends."""

    def __init__(self, most: int = 1_000) -> None:
        self._most = most
        self._last: dict[str, Mapping[str, Any]] = {}  # process and its start -> its last heartbeat; oldest first

    def note(self, processes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Take in these heartbeats; the last one of every process known."""
        for body in processes:
            key = f"{body.get('id')} {body.get('started_at')}"
            self._last.pop(key, None)
            self._last[key] = body
        while len(self._last) > self._most:
            del self._last[next(iter(self._last))]
        return list(self._last.values())


def service_families(
    snapshot: Snapshot, workers: Sequence[Mapping[str, Any]], reasons: Sequence[str] = (), config: Config | None = None
) -> Iterator[Metric]:
    """The whole service, from its documents; `workers` are the heartbeats whose telemetry counts (Ledger.note).

    `reasons`: why the service cannot do its work. What `config` names is counted from 0 on, so that the first time is
    seen to be one.
    """
    counters = snapshot.counters
    yield _gauge("ready", "1 if the service can do its work, 0 if not: /readyz says why.", [], {(): not reasons})
    yield _gauge("taps", "Taps that are alive.", [], {(): len(snapshot.taps)})
    yield _gauge("workers", "Workers that are alive.", [], {(): len(snapshot.workers)})
    lags = {(str(partition),): lag for partition, lag in worker_lags(snapshot.workers).items()}
    yield _gauge(
        "worker_lag_entries", "Entries of its log that a worker partition has yet to fold.", ["partition"], lags
    )
    yield from _tallies(counters, models=() if config is None else tuple(config.models))
    targets = [] if config is None else target_names(config.sinks) + target_names(config.triggers, TRIGGER)
    nothing = {(target, outcome): 0 for target in targets for outcome in OUTCOMES}
    told = {(s, o): n for s, of in deliveries(workers).items() for o, n in of.items()}
    yield _counter("deliveries", DELIVERIES, ["sink", "outcome"], nothing | told)
    yield from _partitions(snapshot)
    for name, text in HISTOGRAMS.items():
        yield _histogram(name, text, workers)
    firing = {(m, g): n for m, groups in greatest(counters, "alerts_firing").items() for g, n in groups.items()}
    yield _gauge("alerts_firing", "Alerts that fire.", ["model", "group"], firing)
    levels = {tuple(row[:4]): row[4] for body in counters for row in body.get("levels") or ()}
    yield _gauge("level", "0 ok, 1 warning, 2 drift, -1 unknown.", ["model", "version", "segment", "group"], levels)
    values = {tuple(row[:5]): row[5] for body in counters for row in body.get("metrics") or () if row[5] is not None}
    yield _gauge(
        "metric_value",
        "Value of a metric in the last window.",
        ["model", "version", "segment", "metric", "column"],
        values,
    )


def tap_families(status: Mapping[str, Any], now_ms: int) -> Iterator[Metric]:
    """What one tap counted since it started (Tap.status)."""
    events = {m: {"": n} for m, n in (status.get("events") or {}).items()}
    yield from _tallies([{**status, "events": events}], ["events", "dead_letters", "late_events"])
    yield from _partitions(Snapshot(now_ms=now_ms, taps=[status]))


def worker_families(counters: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    """What one worker's partitions count: their counters documents."""
    yield from _tallies(counters, ["events", "duplicate_blocks", "overlap_blocks", "retrain_requests"])


def _tallies(
    counters: Sequence[Mapping[str, Any]], only: Sequence[str] = (), models: Sequence[str] = ()
) -> Iterator[Metric]:
    def pairs(name: str) -> dict[tuple[str, ...], float]:
        return {(a, b): n for a, of in greatest(counters, name).items() for b, n in of.items()}

    def singles(name: str) -> dict[tuple[str, ...], float]:
        return {(a,): n for a, n in greatest(counters, name).items()}

    rows: list[tuple[str, str, list[str], dict[tuple[str, ...], float]]] = [
        ("events", "Events counted in windows.", ["model", "version"], pairs("events")),
        ("dead_letters", "Events that could not be read.", ["topic", "reason"], pairs("dead_letters")),
        ("late_events", "Events that came too late for their window.", ["model"], singles("late")),
        (
            "late_after_idle_events",
            "Events whose window had closed while their partition was idle.",
            ["model"],
            singles("late_after_idle"),
        ),
        ("duplicate_blocks", "Blocks that came again and were dropped.", [], {(): added(counters, "duplicate_blocks")}),
        (
            "overlap_blocks",
            "Blocks that contradicted what was applied: must stay 0.",
            [],
            {(): added(counters, "overlap_blocks")},
        ),
        (
            "dropped_panes",
            "Panes of models that no configuration names.",
            [],
            {(): added(counters, "dropped_panes")},
        ),
        ("offset_gaps", "Offsets without a record.", ["topic", "partition"], pairs("offset_gaps")),
        ("stream_events", "Labels and features by what became of them.", ["model", "what"], pairs("told")),
        (
            "retrain_requests",
            "Retrain requests.",
            ["model"],
            dict.fromkeys(((name,) for name in models), 0.0) | singles("retrain_requests"),
        ),
    ]
    for name, text, labels, values in rows:
        if not only or name in only:
            yield _counter(name, text, labels, values)


def _partitions(snapshot: Snapshot) -> Iterator[Metric]:
    held = assigned(snapshot.taps)
    places = {(p["topic"], str(p["partition"])): p for p in held}
    labels = ["topic", "partition"]
    yield _gauge(
        "consumer_lag_events",
        "Events behind the end of the source partition.",
        labels,
        {place: p.get("lag") or 0 for place, p in places.items()},
    )
    marks = {
        (topic, partition): ms
        for topic, of in greatest(snapshot.counters, "watermarks").items()
        for partition, ms in of.items()
    }
    for place, p in places.items():
        if p.get("watermark_ms") is not None:
            marks[place] = max(p["watermark_ms"], marks.get(place, p["watermark_ms"]))
    silent = newest(snapshot.counters, "silence")
    yield _gauge(
        "silence_seconds",
        "Since the last record of the source partition.",
        labels,
        {(topic, partition): seconds for topic, of in silent.items() for partition, seconds in of.items()},
    )
    yield _gauge(
        "watermark_delay_seconds",
        "How far the watermark of the source partition is behind the clock.",
        labels,
        {place: (snapshot.now_ms - ms) / 1000 for place, ms in marks.items()},
    )


def _counter(name: str, text: str, labels: Sequence[str], values: Mapping[Any, float]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, text, labels=labels)
    for key in sorted(values):
        family.add_metric(key, values[key])
    return family


def _gauge(name: str, text: str, labels: Sequence[str], values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for key in sorted(values):
        family.add_metric(key, values[key])
    return family


def _histogram(name: str, text: str, processes: Iterable[Mapping[str, Any]]) -> Metric:
    buckets = {str(b): 0 for b in (*DELAY_BUCKETS, "+Inf")}
    total = 0.0
    for body in processes:
        measured = (body.get("telemetry") or {}).get("histograms", {}).get(name)
        if measured:
            for bound, n in measured["buckets"].items():
                buckets[bound] = buckets.get(bound, 0) + n
            total += measured["sum"]
    family = HistogramMetricFamily(PREFIX + name, text)
    family.add_metric([], sorted(buckets.items(), key=lambda b: float(b[0])), total)
    return family


class _Collected(Collector):
    """Families made beforehand, up to MOST_SERIES samples, and how many were left out."""

    def __init__(self, families: Iterable[Metric], most: int) -> None:
        self._families = families
        self._most = most

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily(f"{PREFIX}build", "The release that runs.", value={"version": version("stream-monitor")})
        left, dropped = self._most, 0
        for family in self._families:
            if len(family.samples) > left:
                dropped += len(family.samples) - left
                family.samples = family.samples[:left]
            left -= len(family.samples)
            yield family
        yield GaugeMetricFamily(f"{PREFIX}dropped_series", "Series left out, over the cap.", value=dropped)


def exposition(
    accept: str, families: Iterable[Metric], own: Telemetry | None = None, most: int = MOST_SERIES
) -> tuple[bytes, str]:
    """(body, content type) of an answer to a scrape: Prometheus text or OpenMetrics, as `accept` asks.

    `own`: with this process's own measurements beside the families. The api leaves it out: they come with heartbeats.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(families, most))
    for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)
    if own is not None:
        registry.register(_Also(own.registry))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Also(Collector):
    """Another registry's metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        return self._registry.collect()
