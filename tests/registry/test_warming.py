"""Loops are compiled before the first poll, whatever the format: no block waits for a compiler."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from stream_monitor.formats.machine import COMPILED


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_no_block_waits_for_a_compiler() -> None:
    command = [sys.executable, "-m", "tests.registry.warming"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=850, check=False)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout) == {"avro": [], "protobuf": [], "json": []}
