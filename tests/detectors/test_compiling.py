"""Machine code that is kept: loaded again while all sources are the same, made anew when any of them is not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from detectors.compiling import engine, sources

pytestmark = pytest.mark.skipif(engine() != "numba", reason="nothing is compiled")

INNER = """
from detectors.compiling import compiled

STEP = {step}

@compiled(inline=True)
def stepped(x):
    return x + STEP
"""
MIDDLE = "from kept.inner import STEP, stepped\n"
OUTER = """
from detectors.compiling import compiled
from kept.middle import STEP, stepped

@compiled()
def loop(n):
    total = 0
    for _ in range(n):
        total = stepped(total) + STEP
    return total

print(loop(10), sum(loop.stats.cache_hits.values()), flush=True)
"""


def run(folder: Path, cache: Path) -> list[str]:
    """What a process prints: the sum, and how many loops it had not to compile; then what it warned of.

    Without byte code: Python takes that of a source for another of the same size and second.
    """
    of = {"PYTHONPATH": os.pathsep.join([str(folder), os.getcwd()]), "NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", "import kept.outer"],
        env=os.environ | of,
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split() + done.stderr.splitlines()


def write(folder: Path, step: int) -> None:
    (folder / "kept").mkdir(exist_ok=True)
    for name, text in (("__init__", ""), ("inner", INNER.format(step=step)), ("middle", MIDDLE), ("outer", OUTER)):
        (folder / "kept" / f"{name}.py").write_text(text)


def test_code_is_made_anew_when_what_is_compiled_into_it_changes(tmp_path: Path) -> None:
    """
    outer.py  imports  middle.py  imports  inner.py: STEP = 1, then 2        outer.py itself stays as it is
    """
    cache = tmp_path / "cache"
    write(tmp_path, step=1)
    assert run(tmp_path, cache) == ["20", "0"]
    assert run(tmp_path, cache) == ["20", "1"]
    [old] = (cache / "kept.outer").iterdir()
    os.utime(old, (time.time() - 100_000,) * 2)
    write(tmp_path, step=2)
    assert run(tmp_path, cache) == ["40", "0"]
    [new] = (cache / "kept.outer").iterdir()  # what nobody has used for a day is gone
    assert new != old
    write(tmp_path, step=1)
    assert run(tmp_path, cache) == ["20", "0"]
    assert len(list((cache / "kept.outer").iterdir())) == 2


def test_without_a_place_for_it_code_is_made_at_every_start_and_that_is_said(tmp_path: Path) -> None:
    write(tmp_path, step=1)
    (tmp_path / "file").write_text("")
    out = run(tmp_path, tmp_path / "file" / "below")
    assert out[:2] == ["20", "0"]
    assert all("NUMBA_CACHE_DIR can name one" in line for line in out[2:])
    assert len(out) > 2


def test_the_walks_know_what_is_compiled_into_them() -> None:
    import stream_monitor.formats.protobuf_walking as walk

    assert {"detectors.compiling", "stream_monitor.formats.wires", "stream_monitor.formats.found"} <= set(
        sources(walk.__name__)
    )
