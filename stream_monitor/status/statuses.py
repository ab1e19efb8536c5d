"""How the service is: heartbeats of taps and workers, what the whole says in /v1/status, and whether it is ready.

Processes tell of themselves by a document with a short life, so that one that died is gone from the store without
anybody's doing. Totals are not theirs: they come from the counters that the fold keeps, exact through crashes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from stream_monitor.config import Config
from stream_monitor.deliveries.notices import TRIGGER, target_names
from stream_monitor.interfaces import Document, StatusStore
from stream_monitor.moments import rfc3339

HEARTBEAT_TTL_SECONDS: Final = 10  # beat every 2 s; a process that misses 5 is gone
MOST_PROCESSES: Final = 1_000

Body = Mapping[str, Any]


def heartbeat(
    kind: Literal["tap", "worker"], id: str, started_ms: int, now_ms: int, status: Body, telemetry: Body | None = None
) -> Document:
    """The document by which a process says that it lives: its own status, and what it measured (Telemetry.snapshot).

    >>> beat = heartbeat("tap", "host:1", 0, 60_000, {"healthy": True, "assigned": []})
    >>> msgspec.json.decode(beat.body)["at"]
    '1970-01-01T00:01:00Z'
    """
    body = {**status, "id": id, "started_at": rfc3339(started_ms), "at": rfc3339(now_ms), "telemetry": telemetry or {}}
    return Document(
        kind=kind,
        scope="",
        id=id,
        order=id,
        revision=now_ms,
        body=msgspec.json.encode(body),
        ttl_seconds=HEARTBEAT_TTL_SECONDS,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What the store knew of the service at `now_ms`: bodies of documents."""

    now_ms: int
    taps: Sequence[Body] = ()
    workers: Sequence[Body] = ()
    counters: Sequence[Body] = ()  # one per worker partition


async def read_snapshot(store: StatusStore, now_ms: int) -> Snapshot:
    """Read it; raises what the store raises."""

    async def bodies(kind: str, scopes: Iterable[str]) -> list[Body]:
        pages = [await store.page(kind, scope, limit=MOST_PROCESSES) for scope in scopes]
        return [msgspec.json.decode(d.body) for page in pages for d in page]

    return Snapshot(
        now_ms=now_ms,
        taps=await bodies("tap", [""]),
        workers=await bodies("worker", [""]),
        counters=await bodies("counters", await store.scopes("counters")),
    )


def greatest(counters: Iterable[Body], name: str) -> dict[str, Any]:
    """A total over worker partitions: key by key the greatest.

    Why not the sum: every worker partition folds every block, so what is counted per source stands in all of them, in
    some a moment older than in others; what is counted per model stands in one.

    >>> greatest([{"late": {"a": 1}}, {"late": {"a": 3, "b": 0}}, {}], "late")
    {'a': 3, 'b': 0}
    >>> greatest([{"dead_letters": {"t": {"x": 1}}}, {"dead_letters": {"t": {"y": 2}}}], "dead_letters")
    {'t': {'x': 1, 'y': 2}}
    """

    def into(total: dict[str, Any], part: Body) -> None:
        for key, value in part.items():
            if isinstance(value, Mapping):
                into(total.setdefault(key, {}), value)
            elif value is not None:
                total[key] = max(value, total.get(key, value))

    total: dict[str, Any] = {}
    for body in counters:
        into(total, body.get(name) or {})
    return total


def counted(model: Body, events: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """A model's document, its rows as the counters' `events` have them: they move although no window closes.

    >>> known = {"model": "m", "rows": 5, "versions": [{"version": "1", "rows": 5}]}
    >>> counted(known, {"m": {"1": 7, "2": 2}})
    {'model': 'm', 'rows': 9, 'versions': [{'version': '1', 'rows': 7}]}
    """
    own = events.get(str(model["model"]), {})
    versions = [{**v, "rows": max(v["rows"], own.get(v["version"], 0))} for v in model["versions"]]
    return {**model, "rows": max(model["rows"], sum(own.values())), "versions": versions}


def added(counters: Iterable[Body], name: str) -> int:
    """A total of what each worker partition meets on its own.

    >>> added([{"duplicate_blocks": 2}, {"duplicate_blocks": 1}, {}], "duplicate_blocks")
    3
    """
    return sum(int(body.get(name) or 0) for body in counters)


def newest(counters: Iterable[Body], name: str) -> dict[str, Any]:
    """What stands in all worker partitions, as the one that has got furthest says.

    >>> newest([{"at_ms": 5, "silence": {"t": {"0": 9.0}}}, {"at_ms": 7, "silence": {"t": {"0": 0.0}}}], "silence")
    {'t': {'0': 0.0}}
    """
    furthest: Body = max(counters, key=lambda body: int(body.get("at_ms") or 0), default={})
    return dict(furthest.get(name) or {})


def assigned(taps: Iterable[Body]) -> list[dict[str, Any]]:
    """Every assigned source partition with the tap that holds it, by topic and partition.

    While one moves, two taps may name it: the one that has got further is right.
    """
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for tap in taps:
        for partition in tap.get("assigned") or ():
            place = (partition["topic"], partition["partition"])
            known = found.get(place)
            if known is None or _progress(partition) > _progress(known):
                found[place] = {**partition, "tap": tap.get("id", "")}
    return [found[place] for place in sorted(found)]


def _progress(partition: Body) -> tuple[int, int]:
    return int(partition.get("epoch") or 0), int(partition.get("n") or 0)


def worker_lags(workers: Iterable[Body]) -> dict[int, int]:
    """Entries of its log that each worker partition has yet to fold.

    While one moves, two workers may name it: the one that has got further is right.

    >>> old, new = {"partition": 0, "at": 5, "lag": 9}, {"partition": 0, "at": 7, "lag": 2}
    >>> worker_lags([{"partitions": [new]}, {"partitions": [old]}])
    {0: 2}
    """
    found: dict[int, Body] = {}
    for partition in (p for worker in workers for p in worker.get("partitions") or ()):
        known = found.setdefault(partition["partition"], partition)
        if partition["at"] > known["at"]:
            found[partition["partition"]] = partition
    return {number: found[number]["lag"] for number in sorted(found)}


def deliveries(workers: Iterable[Body]) -> dict[str, dict[str, int]]:
    """Deliveries by sink and outcome, of these processes."""
    total: dict[str, dict[str, int]] = {}
    for worker in workers:
        for sink, outcomes in (worker.get("telemetry") or {}).get("deliveries", {}).items():
            counts = total.setdefault(sink, {})
            for outcome, n in outcomes.items():
                counts[outcome] = counts.get(outcome, 0) + n
    return total


def status(snapshot: Snapshot, config: Config, workers: Sequence[Body]) -> dict[str, Any]:
    """The answer of GET /v1/status. `workers`: the heartbeats whose deliveries count (Ledger.note), as in /metrics."""
    partitions = assigned(snapshot.taps)
    lag: dict[str, dict[str, int]] = {}
    marks = greatest(snapshot.counters, "watermarks")
    for p in partitions:
        lag.setdefault(p["topic"], {})[str(p["partition"])] = p.get("lag") or 0
        if p.get("watermark_ms") is not None:
            of_topic = marks.setdefault(p["topic"], {})
            of_topic[str(p["partition"])] = max(p["watermark_ms"], of_topic.get(str(p["partition"]), p["watermark_ms"]))
    told = deliveries(workers)
    names = target_names(config.sinks) + target_names(config.triggers, TRIGGER)
    return {
        "at": rfc3339(snapshot.now_ms),
        "brokers": next((p["brokers"] for p in [*snapshot.taps, *snapshot.workers] if p.get("brokers")), "")
        or config.kafka.brokers,  # of an embedded one, its address
        "taps": [_without_telemetry(tap) for tap in snapshot.taps],
        "workers": [_without_telemetry(worker) for worker in snapshot.workers],
        "partitions": partitions,
        "lag": lag,
        "watermarks": {t: {p: rfc3339(ms) for p, ms in sorted(of.items())} for t, of in sorted(marks.items())},
        "events": greatest(snapshot.counters, "events"),
        "dead_letters": greatest(snapshot.counters, "dead_letters"),
        "late_events": greatest(snapshot.counters, "late"),
        "late_after_idle": greatest(snapshot.counters, "late_after_idle"),
        "duplicate_blocks": added(snapshot.counters, "duplicate_blocks"),
        "overlap_blocks": added(snapshot.counters, "overlap_blocks"),
        "dropped_panes": added(snapshot.counters, "dropped_panes"),
        "offset_gaps": greatest(snapshot.counters, "offset_gaps"),
        "silence_seconds": newest(snapshot.counters, "silence"),
        "told": greatest(snapshot.counters, "told"),
        "retrain_requests": greatest(snapshot.counters, "retrain_requests"),
        "sinks": {name: told.pop(name, {}) for name in names} | told,
        "notes": notes(config),
    }


def _without_telemetry(body: Body) -> dict[str, Any]:
    return {k: v for k, v in body.items() if k != "telemetry"}


def notes(config: Config) -> list[str]:
    """What the operator must know of the guarantees of this configuration."""
    found = []
    if config.kafka.brokers == "embedded":
        found.append("The broker is the embedded one: for trying out; it keeps 5 MiB a partition and nothing on disk.")
    if config.store == "memory":
        found.append("The store is in memory: labels that wait, and what is shown here, end with the process.")
    models = config.models.items()
    learnt = sorted(n for n, m in models if not m.monitors or any(s.threshold is None for s in m.monitors))
    if learnt:
        found.append(
            f"Thresholds that are not stated ({', '.join(learnt)}) are learnt from the reference's own windows: "
            "the budget `false_alarms` is not yet guaranteed."
        )
    return found


def unready(snapshot: Snapshot) -> list[str]:
    """Why the service cannot do its work, as far as its processes tell; [] if it can.

    >>> unready(Snapshot(now_ms=0))
    ['no tap is alive', 'no worker is alive']
    """
    reasons = []
    for kind, processes, holds in (("tap", snapshot.taps, "assigned"), ("worker", snapshot.workers, "partitions")):
        healthy = [p for p in processes if p.get("healthy")]
        if not processes:
            reasons.append(f"no {kind} is alive")
        elif not healthy:
            said = sorted({str(p.get("reason") or "it does not say why") for p in processes})
            reasons.append(f"no {kind} is healthy: {'; '.join(said)}")
        elif not any(p.get(holds) for p in healthy):
            reasons.append(f"no {kind} has a partition yet")
    folds = [p for worker in snapshot.workers for p in worker.get("partitions") or ()] + list(snapshot.counters)
    stopped = {int(p["partition"]): str(p["stopped"]) for p in folds if p.get("stopped")}
    return reasons + [f"worker partition {n} has stopped: {why}" for n, why in sorted(stopped.items())]
