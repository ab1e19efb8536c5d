"""Other tools on the same events: each in an environment of its own under `.bench/`, made when first needed.

Each script reads the benchmark's topic (or, where a tool reads frames, the events as frames) and computes what that
tool would of every numeric and categorical column, over windows or batches. It prints {"events", "seconds",
"cpu_seconds"}; the clock runs from the first event that is processed to the last. A tool that cannot be installed is
said on stderr and left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.benchmarks.taps import Pace

ENVIRONMENTS: Final = Path(__file__).resolve().parents[3] / ".bench"
PATIENCE_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class Peer:
    """What is installed for a script, and how many events it is given: the slow ones get fewer."""

    packages: tuple[str, ...]
    events: int


PEERS: Final[dict[str, Peer]] = {
    "faust": Peer(("faust-streaming==0.15.3", "cramjam"), 20_000),
    "bytewax": Peer(("bytewax==0.21.1", "orjson", "confluent-kafka"), 100_000),
    "quixstreams": Peer(("quixstreams==3.28.1",), 20_000),
    "whylogs": Peer(("whylogs==1.6.4", "orjson", "confluent-kafka", "pandas<3", "numpy<2", "setuptools<80"), 100_000),
    "evidently": Peer(("evidently==0.7.16", "pandas<3", "orjson", "confluent-kafka"), 50_000),
}


def measured(name: str, brokers: str, folder: Path) -> Pace | None:
    """The pace of a peer, or None if it does not run here."""
    peer = PEERS[name]
    try:
        python = str(environment(name, peer))
        script = Path(__file__).with_name(f"{name}_peer.py")
        command = [python, str(script), brokers, str(peer.events)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=folder, timeout=PATIENCE_SECONDS)
        found = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, OSError, ValueError, IndexError) as error:
        print(f"{name} was not measured: {error}", file=sys.stderr)
        return None
    return Pace(found["events"], found["seconds"], found["cpu_seconds"])


def environment(name: str, peer: Peer) -> Path:
    """The interpreter of an environment that has what a peer needs, made if there is none."""
    python = ENVIRONMENTS / name / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENTS / name, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", *peer.packages]
        subprocess.run(install, check=True, timeout=PATIENCE_SECONDS, stdout=sys.stderr)
    return python
