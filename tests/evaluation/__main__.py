"""`make evaluate`: false alarms and delays on labelled streams, of ours and of other tools.

    python -m tests.evaluation --scenarios nulls,drifts --seeds 0-9 --sizes medium,small --jobs 2
    python -m tests.evaluation --tools river,evidently --scenarios nulls --seeds 0-3 --ladder > l.jsonl
    python -m tests.evaluation --equalise l.jsonl --target 0.02            # writes equal_fa.json
    python -m tests.evaluation --rare --scenarios nulls --seeds 0-99       # 50 M events a null at 1 per 30 d
    python -m tests.evaluation --data deploy/demo/data --seeds 0-4         # recorded tables, in place of generated ones
    python -m tests.evaluation --read lines.jsonl more.jsonl               # the table of lines that are there

Lines go to stdout, one per (tool, rule, setting, scenario, on, size, seed), a table to stderr. Seeds from 1000 on are
held out: they are for the final table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Final

from stream_monitor.shell.progress import progress
from tests.evaluation import equal, recorded
from tests.evaluation.jobs import DRIFTS, NULLS, OURS, Job, Line, run
from tests.evaluation.make_streams import ON, SCENARIOS, SIZE
from tests.evaluation.tables import table
from tests.evaluation.tools import peers

RARE: Final = {"budget": 1e-4, "pane_events": 250, "n_ref": 100_000, "n": 500_000}  # panes of 13 s


def jobs_of(args: argparse.Namespace) -> Iterator[Job]:
    """All jobs that the options ask for, seed by seed."""
    low, _, high = args.seeds.partition("-")
    named = list(SCENARIOS) if args.scenarios == "all" else args.scenarios.split(",")
    scenarios = [s for name in named for s in (NULLS if name == "nulls" else DRIFTS if name == "drifts" else (name,))]
    for seed in range(int(low), int(high or low) + 1):
        for scenario in scenarios:
            drift = SCENARIOS[scenario][0]
            for size in args.sizes.split(",") if drift else ("medium",):
                for on in args.on.split(",") if drift else ("none",):
                    for tool in args.tools:
                        yield Job(
                            tool=tool, scenario=scenario, on=None if on == "none" else on, size=size, seed=seed,
                            budget=args.budget, n_ref=args.n_ref, n=args.n, pane_events=args.pane_events,
                            cache=args.cache,
                            settings=() if tool == OURS else tuple(settings(tool, args).items()),
                        )  # fmt: skip


def recorded_jobs(args: argparse.Namespace) -> Iterator[Job]:
    """Those of the tables in a folder: each as it came once, and with what is put in seed by seed."""
    low, _, high = args.seeds.partition("-")
    for seed in range(int(low), int(high or low) + 1):
        for scenario in recorded.SCENARIOS if args.scenarios == "all" else args.scenarios.split(","):
            for name in recorded.tables(args.data, scenario):
                for size in args.sizes.split(",") if scenario not in (recorded.AS_IT_CAME, "none") else ("medium",):
                    if scenario != recorded.AS_IT_CAME or seed == int(low):
                        yield Job(
                            tool=OURS, scenario=scenario, on=name, size=size, seed=seed, budget=args.budget,
                            pane_events=args.pane_events, folder=args.data,
                        )  # fmt: skip


def settings(tool: str, args: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Setting -> rule -> thresholds at which a peer is asked."""
    if args.ladder:
        found = {"ladder": equal.ladders(tool)}
    else:
        found = {"default": equal.defaults(tool), "equal_fa": equal.equalised(tool)}
        found = {name: rules for name, rules in found.items() if name in args.settings.split(",")}
    some = args.rules.split(",") if args.rules else peers.PEERS[tool].rules
    named = {name: {rule: of for rule, of in rules.items() if rule in some} for name, rules in found.items()}
    return {name: rules for name, rules in named.items() if rules}


def evaluated(jobs: Sequence[Job], processes: int, minutes: float) -> Iterator[Line]:
    """Lines as they come; after so many minutes no further job is begun, and stderr says how many were left."""
    end = time.monotonic() + minutes * 60
    left = iter(jobs)
    begun = 0
    with ProcessPoolExecutor(processes) as pool, progress("streams", len(jobs)) as steps:
        running: set[Future[list[Line]]] = set()
        while True:
            while len(running) < 2 * processes and time.monotonic() < end and (job := next(left, None)) is not None:
                running.add(pool.submit(run, job))
                begun += 1
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for found in done:
                yield from found.result()
                steps.advance(1, "")
    if begun < len(jobs):
        print(
            f"{len(jobs) - begun} of {len(jobs)} streams were left out: the {minutes:g} minutes were over",
            file=sys.stderr,
        )


def commit() -> str:
    """The commit that is evaluated, with + where files differ from it."""
    code = subprocess.run(["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=False)
    return code.stdout.strip()


def main(argv: Sequence[str] | None = None) -> None:
    """Run what the options ask for."""
    p = argparse.ArgumentParser(prog="python -m tests.evaluation", description=__doc__.split("\n")[0])
    p.add_argument("--tools", default=OURS, help=f"of {OURS} {' '.join(peers.PEERS)}; all, peers")
    p.add_argument("--settings", default="default,equal_fa", help="of peers")
    p.add_argument("--rules", help="of peers, by name: all of them unless stated")
    p.add_argument("--scenarios", default="all", help=f"of {' '.join(SCENARIOS)}; nulls, drifts, all")
    p.add_argument("--on", default="none", help=f"what a drift comes on top of: none {' '.join(ON)}")
    p.add_argument("--sizes", default="medium", help=f"of {' '.join(SIZE)}")
    p.add_argument("--seeds", default="0-4", help="FROM-TO; below 1000 for development")
    p.add_argument("--budget", type=float, default=0.05, help="ours: false alarms per 5000 events")
    p.add_argument("--pane-events", type=int, default=25)
    p.add_argument("--n-ref", type=int, default=20_000, help="events of the reference")
    p.add_argument("--n", type=int, default=60_000, help="events of the stream; a drift begins in the middle")
    p.add_argument("--rare", action="store_true", help=f"a budget of 1 per 30 d at 19 events/s: {RARE}")
    p.add_argument("--data", type=Path, metavar="FOLDER", help=f"read recorded tables ({OURS} alone does)")
    p.add_argument("--jobs", type=int, default=1, help="processes")
    p.add_argument("--minutes", type=float, default=1e6, help="after which no further stream is begun")
    p.add_argument("--cache", action="store_true", help="keep counted streams in build/evaluation")
    p.add_argument("--ladder", action="store_true", help="peers at many thresholds, for --equalise")
    p.add_argument("--equalise", nargs="+", metavar="FILE", help="choose the thresholds of equal_fa from ladder lines")
    p.add_argument("--target", type=float, help="with --equalise: the false alarms per 5000 events not to exceed")
    p.add_argument("--read", nargs="+", metavar="FILE", help="print the table of these lines and stop")
    args = p.parse_args(argv)
    if args.rare:
        vars(args).update(RARE)
    if args.read or args.equalise:
        lines = [json.loads(text) for f in args.read or args.equalise for text in Path(f).read_text().splitlines()]
        tools = sorted({line["tool"] for line in lines})
        sys.stderr.write(table(lines, equal.without(tools)) if args.read else equal.equalise(lines, args.target))
        return
    if args.data and args.tools != OURS:
        p.error(f"--data is for {OURS} alone, not for {args.tools}")
    named = {"all": [OURS, *peers.PEERS], "peers": list(peers.PEERS)}.get(args.tools, args.tools.split(","))
    args.tools, missing = peers.installed(named)
    code = commit()
    lines = []
    jobs = list(recorded_jobs(args) if args.data else jobs_of(args))
    for found in evaluated(jobs, args.jobs, args.minutes):
        line = {**found, "code": code}
        print(json.dumps(line), flush=True)
        lines.append(line)
    if not args.ladder:
        sys.stderr.write(table(lines, missing | equal.without(args.tools)))


if __name__ == "__main__":
    main()
