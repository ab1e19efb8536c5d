"""The talk with peers: what a script is asked, and what it answers. The tools themselves are not installed here."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.draws import draw
from tests.evaluation.jobs import Job, line
from tests.evaluation.tools import peers

SCRIPT = """
import sys; sys.path.insert(0, {folder!r})
from protocol import beyond, merged, serve, singles, windows

def largest(reference, stream, thresholds):
    scores = [(at, "f0", float(w.x[:, 0].max())) for at, w in windows(stream, 100)]
    for threshold in thresholds:
        print("what a library prints is no answer")
        yield beyond(scores, threshold, above=True)

def shapes(reference, stream, thresholds):
    names = [name for name, r, s in singles(reference, stream) if len(r) == len(reference) and len(s) == len(stream)]
    yield merged((i + 1, name) for i, name in enumerate(names))

def broken(reference, stream, thresholds):
    raise ValueError("no such luck")
    yield

serve("stub", dict(largest=largest, shapes=shapes, broken=broken))
"""


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A peer of this environment."""
    folder = Path(peers.__file__).parent
    (tmp_path / "stub_peer.py").write_text(SCRIPT.format(folder=str(folder)))
    monkeypatch.setattr(peers, "__file__", str(tmp_path / "__init__.py"))
    monkeypatch.setattr(peers, "_environment", lambda name: Path(sys.executable))
    monkeypatch.setattr(peers, "_running", {})
    return "stub"


def test_a_peer_reads_the_very_same_stream(stub: str) -> None:
    reference, stream = draw("none", 0, 1000, 500)
    most = [float(stream.x[i : i + 100, 0].max()) for i in range(0, 1000, 100)]
    middle = float(np.median(most))
    found = peers.asked(stub, reference, stream, {"largest": [0.0, middle], "shapes": [1.0]})
    assert [(f["rule"], f["threshold"]) for f in found] == [("largest", 0.0), ("largest", middle), ("shapes", 1.0)]
    assert [at for at, _ in found[0]["alarms"]] == list(range(100, 1001, 100))
    assert found[1]["alarms"] == [[100 * (i + 1), ["f0"]] for i in range(10) if most[i] >= middle]
    assert [columns[0] for _, columns in found[2]["alarms"]] == [*stream.numeric, "score", *stream.cat]
    with pytest.raises(RuntimeError, match="stub: stub: ValueError: no such luck"):
        peers.asked(stub, reference, stream, {"broken": [1.0]})
    assert len(peers._running) == 1  # the process is still there for the next stream
    process = peers._running[stub]
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.wait(timeout=30)
    process.stdout.close()


def test_a_peer_that_cannot_be_installed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(peers, "ENVIRONMENTS", tmp_path / "file")
    there, missing = peers.installed(["stream-monitor", "river"])
    assert there == ["stream-monitor"]
    assert list(missing) == ["river"]
    assert "river is left out, not installed: " in capsys.readouterr().err


def test_a_line_has_what_was_agreed() -> None:
    job = Job(tool="river", scenario="abrupt", on="season", size="small", seed=1000, budget=0.05)
    found = line(job, "adwin", "equal_fa", [(29_000, ["f3"]), (30_400, ["f0"]), (31_000, ["f5"])], 30_000, 1.234)
    assert found == {
        "tool": "river", "rule": "adwin", "setting": "equal_fa", "scenario": "abrupt", "on": "season", "size": "small",
        "seed": 1000, "split": "heldout", "n_ref": 20_000, "n": 60_000, "pane_events": 25, "budget_per_5000": 0.05,
        "alarms": [29_000, 30_400, 31_000], "change": 30_000, "delay": 400, "columns": ["f0"], "seconds": 1.23,
    }  # fmt: skip
