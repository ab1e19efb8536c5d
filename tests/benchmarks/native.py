"""What a process's CPU time goes into by kind of code, as Linux's perf samples it: compiled loops and C as well."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

RATE: Final = 999  # samples a second of CPU time: too few to slow anything down

CLIENT: Final = "Kafka client's threads: fetch, unpack"
KINDS: Final = (  # part of a file's name -> the kind of code in it
    ("librdkafka", "Kafka client, asked by the reading thread"),
    ("perf-", "compiled loops: decode, count, copy messages"),
    ("[JIT]", "compiled loops: decode, count, copy messages"),
    ("libpython", "Python"),
    ("multiarray", "numpy"),
    ("kernel", "the kernel"),
    ("libc.", "memory: copy, allocate, free"),
)


def kind(sample: str) -> str:
    """The kind of code that a line of `perf script -F comm,ip,dso` is of.

    >>> kind("rdk:broker1 7f01 (/usr/lib/librdkafka.so.1)"), kind("python 7f02 (/tmp/perf-77.map)")
    ("Kafka client's threads: fetch, unpack", 'compiled loops: decode, count, copy messages')
    """
    thread, _, file = sample.strip().partition(" ")
    if thread.startswith("rdk:"):
        return CLIENT
    return next((name for part, name in KINDS if part in file), "other")


def shares(samples: Iterable[str]) -> dict[str, float]:
    """The share of each kind.

    >>> shares(["a 1 (/x/libc.so.6)", "b 2 ([kernel.kallsyms])", "c 3 (/x/libc.so.6)", "", "d 4 (/x/libc.so.6)"])
    {'memory: copy, allocate, free': 0.75, 'the kernel': 0.25}
    """
    found = Counter(kind(sample) for sample in samples if sample.strip())
    return {name: times / found.total() for name, times in found.most_common()}


class Samples:
    """Samples of one process until it ends."""

    def __init__(self, perf: str, pid: int, file: Path) -> None:
        self._perf, self._file = perf, file
        command = [perf, "record", "--quiet", "-F", str(RATE), "-p", str(pid), "-o", str(file)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def shares(self) -> dict[str, float]:
        """To be asked when the process has ended."""
        self._process.wait(60)
        command = [self._perf, "script", "-i", str(self._file), "-F", "comm,ip,dso"]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return shares(text.splitlines())
