"""Other tools on the very same streams, each in an environment of its own under `.evaluate/` (or
`EVALUATE_ENVIRONMENTS`), made when first needed.

A peer is a script that reads questions from stdin, a line of JSON each: a file with the stream (`handed`), and
thresholds by rule. It answers each with a line per rule and threshold and then `{"done": true}`:

    {"stream": "/tmp/x.npz", "rules": {"adwin": [0.002, 1e-9]}}
    {"rule": "adwin", "threshold": 0.002, "alarms": [[33791, ["f0"]]], "seconds": 1.2}

Tools that watch single values get every event's (values in standard deviations of the reference, as their defaults
suppose); tools that compare samples get windows. A peer that cannot be installed is said on stderr and in the table.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.evaluation.make_streams import Stream

ENVIRONMENTS: Final = Path(os.environ.get("EVALUATE_ENVIRONMENTS", Path(__file__).resolve().parents[4] / ".evaluate"))
PATIENCE_SECONDS: Final = 900
QUIET: Final = {  # one thread each, and no word to their makers
    "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """A way to raise alarms: its threshold by default, and those tried for an equal rate of false alarms, the most
    easily crossed first."""

    default: float
    ladder: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """What is installed for a tool, and its rules."""

    packages: tuple[str, ...]
    rules: Mapping[str, Rule]


def _powers(first: float, factor: float, count: int) -> tuple[float, ...]:
    return tuple(first * factor**k for k in range(count))


P_VALUES: Final = tuple(
    10.0**-k for k in (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 70, 100, 150, 200, 300)
)
SIGMAS: Final = (2.0, 2.5, 3.0, *_powers(3.5, 1.12, 40))
PEERS: Final[Mapping[str, Peer]] = {
    "river": Peer(
        ("river==0.26.1",),
        {
            "adwin": Rule(0.002, (1e-4, 1e-9, 1e-20, 1e-50, 1e-100, 1e-200, 1e-300)),
            "page_hinkley": Rule(50.0, _powers(50.0, 1.5, 20)),
            "kswin": Rule(0.005, (1e-3, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12)),
            "ddm": Rule(3.0, (2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 8.0)),
            "eddm": Rule(0.9, (0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.5)),
            "hddm_a": Rule(0.001, _powers(1e-2, 0.1, 20)),
            "hddm_w": Rule(0.001, _powers(1e-2, 0.1, 20)),
        },
    ),
    "frouros": Peer(
        ("frouros==0.9.0",),
        {
            "ks": Rule(0.001, P_VALUES),
            "psi": Rule(0.2, _powers(0.02, 1.15, 50)),
            "ecdd": Rule(400, (100, 400, 1000)),  # the average runs that it has control limits for
            "stepd": Rule(0.003, (3e-3, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-12)),
        },
    ),
    "alibi-detect": Peer(
        ("alibi-detect[torch]==0.13.0", "numpy<2"),
        {
            "tabular": Rule(0.05, P_VALUES),
            "tabular_250": Rule(0.05, P_VALUES),
            "mmd": Rule(0.0, _powers(1e-3, 1.2, 40)),  # 0: its own p-value
            "lsdd": Rule(0.0, _powers(1e-3, 1.2, 50)),
            "mmd_online": Rule(1.0, _powers(1.0, 1.15, 40)),
            "lsdd_online": Rule(1.0, _powers(1.0, 1.15, 40)),
        },
    ),
    "evidently": Peer(
        ("evidently==0.7.23", "pandas<3"),
        {"column": Rule(0.1, _powers(0.02, 1.12, 50)), "dataset": Rule(0.5, tuple(k / 20 for k in range(1, 21)))},
    ),
    "nannyml": Peer(
        ("nannyml==0.13.1", "statsmodels"),
        {rule: Rule(3.0, SIGMAS) for rule in ("univariate", "reconstruction", "performance", "quality")},
    ),
}
_running: dict[str, subprocess.Popen[str]] = {}


def installed(tools: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The tools that there are, and why the others are not; said on stderr, too."""
    there, missing = [], {}
    for name in tools:
        try:
            if name in PEERS:
                _environment(name)
            there.append(name)
        except (subprocess.SubprocessError, OSError) as error:
            missing[name] = f"not installed: {error}"
            print(f"{name} is left out, {missing[name]}", file=sys.stderr)
    return there, missing


def _environment(name: str) -> Path:
    python = ENVIRONMENTS / name / "bin" / "python"
    done = ENVIRONMENTS / name / "installed"
    if not done.exists():
        venv.create(ENVIRONMENTS / name, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", *PEERS[name].packages]
        subprocess.run(install, check=True, timeout=PATIENCE_SECONDS, stdout=sys.stderr)
        done.write_text("\n".join(PEERS[name].packages) + "\n")
    return python


def handed(stream: Stream) -> dict[str, Any]:
    """The arrays of a stream: numbers, codes of categories (-1: missing), score, prediction, label."""
    codes = np.stack([stream.cat[name] for name in stream.cat], axis=1)
    return {"x": stream.x, "cat": codes, "score": stream.score, "prediction": stream.prediction, "label": stream.label}


def asked(tool: str, reference: Stream, stream: Stream, rules: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    """What a peer answers for one stream."""
    both = {f"r_{k}": v for k, v in handed(reference).items()} | {f"s_{k}": v for k, v in handed(stream).items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.npz"
        names = json.dumps({"numeric": stream.numeric, "categories": stream.names})
        np.savez(path, names=np.array(names), **both)
        process = _process(tool)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"stream": str(path), "rules": {k: list(v) for k, v in rules.items()}}) + "\n")
        process.stdin.flush()
        found: list[dict[str, Any]] = []
        for text in process.stdout:
            answer = json.loads(text)
            if "error" in answer:
                raise RuntimeError(f"{tool}: {answer['error']}")
            if "done" in answer:
                return found
            found.append(answer)
    raise RuntimeError(f"{tool} ended without an answer")


def _process(tool: str) -> subprocess.Popen[str]:
    """The tool's process of this process, started once; it ends with its stdin."""
    if tool not in _running or _running[tool].poll() is not None:
        script = Path(__file__).with_name(f"{tool.replace('-', '_')}_peer.py")
        _running[tool] = subprocess.Popen(
            [str(_environment(tool)), str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **QUIET},
        )  # fmt: skip
    return _running[tool]
