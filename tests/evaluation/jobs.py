"""One stream for one tool: what is asked, and the lines that come of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tests.evaluation import recorded
from tests.evaluation.draws import draw
from tests.evaluation.make_streams import SCENARIOS, Stream
from tests.evaluation.tools import peers, scan

OURS: Final = "stream-monitor"
HELD_OUT: Final = 1000  # the first seed of the final table
NULLS: Final = tuple(s for s, (drift, _, _) in SCENARIOS.items() if not drift)
DRIFTS: Final = tuple(s for s in SCENARIOS if s not in NULLS)

Line = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A stream, and who reads it how."""

    tool: str
    scenario: str
    on: str | None
    size: str
    seed: int
    budget: float  # ours: false alarms per 5,000 events
    n_ref: int = 20_000
    n: int = 60_000
    pane_events: int = scan.PANE_EVENTS
    cache: bool = False
    settings: tuple[tuple[str, dict[str, list[float]]], ...] = ()  # a peer: setting -> rule -> thresholds
    folder: Path | None = None  # of the recorded table `on`; None: the stream is generated

    @property
    def key(self) -> str:
        """Names the stream."""
        return f"{self.scenario}-{self.on}-{self.size}-{self.seed}-{self.n_ref}-{self.n}-{self.pane_events}"


def run(job: Job) -> list[Line]:
    """The lines of one job: one of ours; of a peer one per setting, rule and threshold."""
    return _ours(job) if job.tool == OURS else _peer(job)


def _ours(job: Job) -> list[Line]:
    keep = job.cache and job.folder is None
    found = scan.load(job.key) if keep else None
    truth, begin = None, time.process_time()
    if found is None:
        reference, stream = _drawn(job)
        job = replace(job, n_ref=len(reference), n=len(stream))
        truth, begin = stream.truth, time.process_time()
        found = scan.vectors_of(reference, stream, job.pane_events)
        if keep:
            scan.save(job.key, found)
    change = truth["change"] if truth else (job.n // 2 if SCENARIOS[job.scenario][0] else None)
    raised = scan.alarms(
        found, job.n_ref // job.pane_events, budget_per_5000=job.budget, pane_events=job.pane_events, change=change
    )
    return [line(job, "scan", "default", raised, change, time.process_time() - begin)]


def _peer(job: Job) -> list[Line]:
    """All settings are asked at once: most tools need only compare what they found with another threshold."""
    reference, stream = _drawn(job)
    asked: dict[str, list[float]] = {}
    for _, rules in job.settings:
        for rule, thresholds in rules.items():
            asked.setdefault(rule, []).extend(x for x in thresholds if x not in asked.get(rule, []))
    lines = []
    for found in peers.asked(job.tool, reference, stream, asked):
        raised = [(at, columns) for at, columns in found["alarms"]]
        for setting, rules in job.settings:
            if found["threshold"] in rules.get(found["rule"], ()):
                got = line(job, found["rule"], setting, raised, stream.truth["change"], found["seconds"])
                lines.append({**got, "threshold": found["threshold"], "pane_events": None, "budget_per_5000": None})
    return lines


def _drawn(job: Job) -> tuple[Stream, Stream]:
    if job.folder is not None:
        return recorded.draw(job.folder, str(job.on), job.scenario, job.seed, job.size)
    return draw(job.scenario, job.seed, job.n, job.n_ref, size=job.size, on=job.on)


def line(
    job: Job, rule: str, setting: str, raised: Sequence[tuple[int, list[str]]], change: int | None, seconds: float
) -> Line:
    """What is said of one stream; `delay` is that of the first alarm after the change, `columns` what it named."""
    after = [(at, columns) for at, columns in raised if change is not None and at > change]
    return {
        "tool": job.tool,
        "rule": rule,
        "setting": setting,
        "scenario": job.scenario,
        "on": job.on,
        "size": job.size if change is not None else None,
        "seed": job.seed,
        "split": "dev" if job.seed < HELD_OUT else "heldout",
        "n_ref": job.n_ref,
        "n": job.n,
        "pane_events": job.pane_events,
        "budget_per_5000": job.budget,
        "alarms": [at for at, _ in raised],
        "change": change,
        "delay": after[0][0] - change if after and change is not None else None,
        "columns": (after or raised)[0][1] if raised else [],
        "seconds": round(seconds, 2),
    }
