"""`make fuzz`: the quick way through JSON against the plain one, with inputs that seek new paths through the code.

    python -m tests.fuzz.json [--seconds N] [--seed N]

Every index of the compiled loops is checked while it runs (NUMBA_BOUNDSCHECK=1), so that a read outside of a buffer is
an error too. With atheris installed the inputs are led by coverage of the Python code; without it they are random. The
first difference ends it with exit code 1 and the input that shows it.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.json")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--random", action="store_true", help="without atheris")
    arguments = parser.parse_args()
    if os.environ.setdefault("NUMBA_BOUNDSCHECK", "1") == "1":  # before numba is imported, with a cache of its own
        os.environ["NUMBA_CACHE_DIR"] = os.path.join(os.path.dirname(__file__), "__pycache__", "checked")
    try:
        if arguments.random:
            raise ImportError
        import atheris
    except ImportError:
        atheris = None
    import contextlib

    loops = ("machine", "floats", "scanning", "instants", "interning", "walking")
    exclude = [f"stream_monitor.formats.{name}" for name in loops]  # numba must find them as they were written
    with (
        atheris.instrument_imports(include=["stream_monitor"], exclude=exclude) if atheris else contextlib.nullcontext()
    ):
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

    def said() -> None:
        print(f"{seen['blocks']} blocks of {seen['records']} records: no difference", file=sys.stderr)

    try_one(b"")  # compiles
    if atheris is not None:
        import atexit

        atexit.register(said)
        sizes = ["-max_len=400", "-len_control=0"]  # long ones from the beginning
        options = [f"-max_total_time={arguments.seconds:.0f}", f"-seed={arguments.seed}", *sizes]
        atheris.Setup([sys.argv[0], *options], try_one)
        atheris.Fuzz()
        return 0
    source, end = random.Random(arguments.seed), time.monotonic() + arguments.seconds
    while time.monotonic() < end:
        try_one(source.randbytes(source.randrange(300)))
    said()
    return 0


if __name__ == "__main__":
    sys.exit(main())
