"""Loops are compiled once, by a process of its own; the service loads them, and does without it if it must."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from detectors.compiling import engine
from stream_monitor import formats
from stream_monitor.config import Config, Model

pytestmark = pytest.mark.skipif(engine() != "numba", reason="nothing is compiled")

SERVICE = """
import asyncio, logging, sys
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
from detectors import kernels, numerics
from stream_monitor.shell.warming import warm

if "alone" in sys.argv:
    sys.executable = "/nowhere/python"
asyncio.run(warm([]))
loops = [loop for of in (kernels, numerics) for loop in vars(of).values() if hasattr(loop, "nopython_signatures")]
print("loaded", sum(sum(loop.stats.cache_hits.values()) for loop in loops))
print("compiled", sum(sum(loop.stats.cache_misses.values()) for loop in loops))
"""


def start(folder: Path, *arguments: str) -> tuple[list[str], int, int]:
    """What a service logs that has just started, how many loops it loaded and how many it compiled.

    It starts in a folder that has a package of the same name as one of its own.
    """
    (folder / "detectors").mkdir(exist_ok=True)
    (folder / "detectors" / "__init__.py").write_text("raise ValueError('not meant')")
    places = {"PYTHONPATH": str(Path(__file__).parents[2]), "NUMBA_CACHE_DIR": str(folder / "loops")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", SERVICE, *arguments], env=os.environ | places, cwd=folder,
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    *log, loaded, compiled = done.stdout.splitlines()
    return log, int(loaded.removeprefix("loaded ")), int(compiled.removeprefix("compiled "))


def test_a_service_loads_what_another_process_has_compiled_for_it_once(tmp_path: Path) -> None:
    said, loaded, compiled = start(tmp_path)
    assert [line.partition(",")[0] for line in said] == ["compiling loops for this machine"]
    assert loaded > 0
    assert compiled == 0
    assert start(tmp_path, "alone") == ([], loaded, 0)


def test_a_service_that_may_start_no_process_compiles_by_itself_and_says_so(tmp_path: Path) -> None:
    said, loaded, compiled = start(tmp_path, "alone")
    assert said[1].startswith("no other process could compile, so this one does and needs more memory: ")
    assert "/nowhere/python" in said[1]
    assert loaded == 0
    assert compiled > 0
    said, loaded, compiled = start(tmp_path, "alone")
    assert not said
    assert loaded > 0
    assert compiled == 0


def test_the_process_that_compiles_ends_with_the_one_that_wants_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stream_monitor.shell.warming", "stream_monitor.formats.json"], stdin=subprocess.DEVNULL,
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}, capture_output=True, timeout=600, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


def test_a_configuration_needs_the_loops_of_its_formats_once_each() -> None:
    told = ("json", "csv", "avro", "json_schema", "auto")
    config = Config(models={name: Model(topic=("t",), format=name) for name in told})
    assert formats.loops(config) == ["stream_monitor.formats.json", "stream_monitor.formats.avro"]
