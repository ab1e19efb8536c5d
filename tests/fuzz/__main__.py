"""`make fuzz`: the quick ways through JSON, Avro and Protobuf against the plain ones, with inputs that seek new paths.

    python -m tests.fuzz [--format json|avro|protobuf] [--seconds N] [--seed N]

Every index of the compiled loops is checked while they run (NUMBA_BOUNDSCHECK=1), so that a read outside of a buffer is
an error too. With atheris installed the inputs are led by coverage of the Python code; without it they are random. The
first difference ends it with exit code 1 and the input that shows it. Without --format one format comes after the
other, each in a process of its own and for `--seconds`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final

FORMATS: Final = ("json", "avro", "protobuf")
LINE_SECONDS: Final = 10.0
LOOPS: Final = (
    "machine", "floats", "numerals", "scanning", "instants", "interning", "vectors", "walking", "wires", "avro_walking",
    "protobuf_walking",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--format", choices=FORMATS)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--random", action="store_true", help="without atheris")
    arguments = parser.parse_args()
    if arguments.format is None:
        again = [sys.executable, "-m", "tests.fuzz", *sys.argv[1:], "--format"]
        return int(any(subprocess.run([*again, format], check=False).returncode for format in FORMATS))
    if os.environ.setdefault("NUMBA_BOUNDSCHECK", "1") == "1":  # before numba is imported, with a cache of its own
        os.environ["NUMBA_CACHE_DIR"] = os.path.join(os.path.dirname(__file__), "__pycache__", "checked")
    try:
        if arguments.random:
            raise ImportError
        import atheris
    except ImportError:
        atheris = None
    exclude = [f"stream_monitor.formats.{name}" for name in LOOPS]  # numba must find them as they were written
    with (
        atheris.instrument_imports(include=["stream_monitor"], exclude=exclude) if atheris else contextlib.nullcontext()
    ):
        try_one, said = _json() if arguments.format == "json" else _framed(arguments.format)
        try_one(b"")  # compiles, and imports what only a first event brings
    if atheris is not None:
        _led(atheris, try_one, said, arguments)
        return 0
    source, end = random.Random(arguments.seed), time.monotonic() + arguments.seconds
    while time.monotonic() < end:
        try_one(source.randbytes(source.randrange(300)))
    print(said(), file=sys.stderr)
    return 0


def _led(atheris: Any, try_one: Callable[[bytes], None], said: Callable[[], str], arguments: Any) -> None:
    """Inputs by coverage, long ones from the beginning. atheris ends the process, and lets nothing else speak then."""
    next_line = time.monotonic() + LINE_SECONDS

    def try_and_say(data: bytes) -> None:
        nonlocal next_line
        try_one(data)
        if time.monotonic() >= next_line:
            print(said(), file=sys.stderr)
            next_line = time.monotonic() + LINE_SECONDS

    sizes = ["-max_len=400", "-len_control=0"]
    options = [f"-max_total_time={arguments.seconds:.0f}", f"-seed={arguments.seed}", *sizes]
    atheris.Setup([sys.argv[0], *options], try_and_say)
    atheris.Fuzz()


def _json() -> tuple[Callable[[bytes], None], Callable[[], str]]:
    """What tries one input as JSON, and what says how much was tried."""
    from tests.fuzz.events import CASES, Choices, block, plans
    from tests.fuzz.plain import differences, records

    made = plans(max_event=2000)
    seen = {"blocks": 0, "records": 0}

    def try_one(data: bytes) -> None:
        choices = Choices(data)
        case = choices.pick(len(CASES))
        values = block(choices)
        seen["blocks"] += 1
        seen["records"] += len(values)
        if found := differences(records(values), *made[case]):
            raise AssertionError(f"case {case}, {values!r}: {found}")

    return try_one, lambda: f"json: {seen['blocks']} blocks of {seen['records']} records, no difference"


def _framed(format: str) -> tuple[Callable[[bytes], None], Callable[[], str]]:
    """The same of a format whose events name their schema."""
    from tests.fuzz.choices import Drawn
    from tests.fuzz.framed import Count, differences

    count = Count()

    def try_one(data: bytes) -> None:
        if found := differences(format, Drawn(data), count, most=8):
            raise AssertionError(f"{data!r}: {found}")

    def said() -> str:
        of = f"{count.blocks} blocks of {count.records} records"
        return f"{format}: {of}, {count.share():.0%} of the sound ones read by the walk, no difference"

    return try_one, said


if __name__ == "__main__":
    sys.exit(main())
