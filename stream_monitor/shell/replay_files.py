"""What a replay leaves behind: files of what the service would publish, and a summary for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Group
from rich.table import Table

from stream_monitor.outputs import Output
from stream_monitor.shell.replay import Tally
from stream_monitor.status.documents import squeeze, unsqueeze

FILES: Final = {  # output kind -> file
    "window": "windows.jsonl",
    "verdict": "verdicts.jsonl",
    "alert": "alerts.jsonl",
    "retrain-request": "retrain-requests.jsonl",
}
LEVELS: Final = ("ok", "warning", "drift", "unknown")


class Files:
    """Every verdict, alert and retrain request as it comes; of each window the last revision, as GET gives it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._files = {kind: (folder / name).open("w", encoding="utf-8") for kind, name in FILES.items()}
        self._windows: dict[str, tuple[str, bytes]] = {}
        self._levels: dict[tuple[Any, ...], tuple[str, str]] = {}
        self.transitions: Counter[str] = Counter()
        self.requests = 0

    def put(self, outputs: Sequence[Output]) -> None:
        """Write what is published."""
        for output in outputs:
            if output.kind == "window":
                self._windows[output.id] = (output.order, squeeze(_line(output.body).encode()))
            elif output.kind in FILES:
                self._files[output.kind].write(_line(output.body))
                self._count(output.kind, output.body)

    def close(self) -> None:
        """Write the windows, oldest first, and close."""
        for _, line in sorted(self._windows.values(), key=lambda w: w[0]):
            self._files["window"].write(unsqueeze(line).decode())
        for file in self._files.values():
            file.close()

    def summary(self, tally: Tally, seconds: float) -> Group:
        """What was read and what came of it: verdicts by group and level, each window's last word only."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("verdicts")
        for level in LEVELS:
            table.add_column(level, justify="right")
        by_group: dict[str, Counter[str]] = {}
        for group, level in self._levels.values():
            by_group.setdefault(group, Counter())[level] += 1
        for group in sorted(by_group):
            table.add_row(group, *(f"{by_group[group][level]:,}" for level in LEVELS))
        dead = ", ".join(f"{reason} {n:,}" for reason, n in sorted(tally.dead.items())) or "none"
        return Group(
            f"{tally.events:,} events, {tally.labels:,} labels"
            + (f", {tally.features:,} feature events" if tally.features else "")
            + (f", {tally.others:,} rows of other models" if tally.others else "")
            + f" in {seconds:.1f} s",
            f"late: {tally.late:,}; dead letters: {dead}",
            *([_joined(tally.answers)] if tally.labels else []),
            f"{len(self._windows):,} windows; alerts fired {self.transitions['firing']:,}, resolved "
            f"{self.transitions['resolved']:,}; retrain requests {self.requests:,}",
            table,
        )

    def _count(self, kind: str, body: Mapping[str, Any]) -> None:
        if kind == "verdict":
            key = tuple(body[k] for k in ("model", "version", "segment", "monitor", "column", "start"))
            self._levels[key] = (body["group"], body["level"])
        elif kind == "alert":
            self.transitions[body["state"]] += 1
        else:
            self.requests += 1


def _line(body: Mapping[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False) + "\n"


def _joined(answers: Mapping[str, int]) -> str:
    """What became of labels.

    >>> _joined({"joined": 3, "waiting": 1_200, "waiting_joined": 200, "duplicate": 1})
    'labels: 203 joined, 1,000 without a prediction, 1 told before, 0 contradicting'
    """
    said = {name: answers.get(name, 0) for name in ("joined", "waiting", "waiting_joined", "duplicate", "conflict")}
    joined, alone = said["joined"] + said["waiting_joined"], said["waiting"] - said["waiting_joined"]
    return (
        f"labels: {joined:,} joined, {alone:,} without a prediction, {said['duplicate']:,} told before, "
        f"{said['conflict']:,} contradicting"
    )
