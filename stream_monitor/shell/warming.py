"""Compiled loops, ready before the first event. What is not kept from an earlier start is compiled by another process.

Why another one: the compiler's memory, 150 MiB of it, stays with the process that has compiled. Code that is loaded
needs little.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import Final

from detectors import joints, kernels, numerics, partitions, projections
from detectors.compiling import stamp

COUNTING: Final = (kernels, partitions, numerics, joints, projections)

log = logging.getLogger(__name__)


async def warm(modules: Iterable[str]) -> None:
    """Have the loops ready that count, and those of more modules, each of which has a function `warm` for it."""
    modules = [*(module.__name__ for module in COUNTING), *modules]
    missing = await asyncio.to_thread(_missing, modules)
    if missing:
        log.info("compiling loops for this machine, which takes about a minute; they are kept for the next start")
        try:
            await _compile_apart(modules)
        except OSError as error:
            log.warning("no other process could compile, so this one does and needs more memory: %s", error)
    await asyncio.to_thread(_warm, modules)
    await asyncio.to_thread(_tell_kept, missing)


def _missing(modules: Sequence[str]) -> list[str]:
    """The files that would tell that the code of modules is kept; none where it cannot be."""
    for name in modules:
        importlib.import_module(name)  # a stamp is named by what it imports
    return [path for path in map(stamp, modules) if path is not None and not os.path.exists(path)]


def _tell_kept(paths: Iterable[str]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):  # then the next start asks again
            open(path, "wb").close()


def _warm(modules: Iterable[str]) -> None:
    for name in modules:
        importlib.import_module(name).warm()


async def _compile_apart(modules: Iterable[str]) -> None:
    """Have another process compile, which ends when this one does. Raises OSError when it fails.

    It finds modules where this one does, and not in the folder that happens to be the current one.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", __name__, *modules, stdin=asyncio.subprocess.PIPE, start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    try:
        code = await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if code:
        raise OSError(f"it ended with code {code}")


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _warm(sys.argv[1:])
    os._exit(0)  # the thread still reads
