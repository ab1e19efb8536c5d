"""`make evaluate`: false alarms and delays on labelled streams, a JSON line per (tool, rule, scenario, on, size, seed).

    python -m tests.evaluation --scenarios abrupt,season --seeds 0-4 --sizes medium --jobs 2

Lines go to stdout, a table to stderr. Seeds from 1000 on are held out: they are for the final table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from stream_monitor.progress import progress
from tests.evaluation.make_streams import ON, SCENARIOS, SIZE, make
from tests.evaluation.tables import table

N_REF, N = 20_000, 60_000
NULLS = tuple(s for s, (drift, _, _) in SCENARIOS.items() if not drift)


@dataclass(frozen=True, slots=True)
class Job:
    """One stream for one tool."""

    tool: str
    scenario: str
    on: str | None
    size: str
    seed: int
    budget: float
    pane_events: int
    cache: bool

    @property
    def key(self) -> str:
        return f"{self.scenario}-{self.on}-{self.size}-{self.seed}"


def run(job: Job) -> dict[str, Any]:
    """The line of one job."""
    from tests.evaluation.tools import scan

    reference, stream = make(  # type: ignore[no-untyped-call]
        job.scenario, job.seed, N, N_REF, size=job.size, on_top_of=job.on
    )
    begin = time.perf_counter()
    raised = scan.alarms(
        reference, stream, budget_per_5000=job.budget, key=job.key if job.cache else "", pane_events=job.pane_events
    )
    seconds = time.perf_counter() - begin
    change = stream.truth["change"]
    after = [(at, columns) for at, columns in raised if change is not None and at > change]
    return {
        "tool": job.tool,
        "rule": "scan",
        "setting": "default",
        "scenario": job.scenario,
        "on": job.on,
        "size": job.size if change is not None else None,
        "seed": job.seed,
        "split": "dev" if job.seed < 1000 else "heldout",
        "n_ref": N_REF,
        "n": N,
        "pane_events": job.pane_events,
        "budget_per_5000": job.budget,
        "alarms": [at for at, _ in raised],
        "change": change,
        "delay": after[0][0] - change if after else None,
        "columns": (after or raised)[0][1] if raised else [],
        "seconds": round(seconds, 2),
    }


def jobs_of(args: argparse.Namespace) -> Iterator[Job]:
    """All jobs that the options ask for, seed by seed."""
    low, _, high = args.seeds.partition("-")
    scenarios = list(SCENARIOS) if args.scenarios == "all" else args.scenarios.split(",")
    scenarios = [
        s for name in scenarios for s in (NULLS if name == "nulls" else DRIFTS if name == "drifts" else (name,))
    ]
    for seed in range(int(low), int(high or low) + 1):
        for scenario in scenarios:
            drift = SCENARIOS[scenario][0]
            for size in args.sizes.split(",") if drift else ("medium",):
                for on in args.on.split(",") if drift else ("none",):
                    over = None if on == "none" else on
                    yield Job("stream-monitor", scenario, over, size, seed, args.budget, args.pane_events, args.cache)


DRIFTS = tuple(s for s in SCENARIOS if s not in NULLS)


def main(argv: Sequence[str] | None = None) -> None:
    """Run what the options ask for."""
    p = argparse.ArgumentParser(prog="python -m tests.evaluation", description=__doc__.split("\n")[0])
    p.add_argument("--scenarios", default="all", help=f"of {' '.join(SCENARIOS)}; nulls, drifts, all")
    p.add_argument("--on", default="none", help=f"what a drift comes on top of: none {' '.join(ON)}")
    p.add_argument("--sizes", default="medium", help=f"of {' '.join(SIZE)}")
    p.add_argument("--seeds", default="0-4", help="FROM-TO; below 1000 for development")
    p.add_argument("--budget", type=float, default=0.05, help="false alarms per 5000 events")
    p.add_argument("--pane-events", type=int, default=25)
    p.add_argument("--jobs", type=int, default=1, help="processes")
    p.add_argument("--cache", action="store_true", help="keep counted streams in build/evaluation")
    args = p.parse_args(argv)
    code = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    lines = []
    todo = list(jobs_of(args))
    with ProcessPoolExecutor(args.jobs) as pool, progress("streams", len(todo)) as steps:
        for done in as_completed([pool.submit(run, job) for job in todo]):
            line = {**done.result(), "code": code.stdout.strip()}
            print(json.dumps(line), flush=True)
            lines.append(line)
            steps.advance(1, f"{line['scenario']} {line['seed']}")
    sys.stderr.write(table(lines))


if __name__ == "__main__":
    main()
