"""Compiled loops, by numba where it is there; their machine code is kept from one start to the next.

Why in folders of our own: numba keeps machine code as long as the file of the loop is the same. What was compiled into
it from other files, constants and smaller loops, it does not look at. After an upgrade in place code of one release
would run on tables of the next, which ends in wrong counts or in a crash. So the folder is named by all the sources.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator
from functools import cache
from typing import Any, Final, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_IMPORTS: Final = re.compile(r"^(?:from +(?P<of>[\w.]+) +)?import +(?P<names>\([^)]*\)|[^\n(]*)", re.MULTILINE)
_NAME: Final = re.compile(r"[\w.]+")
_UNUSED_SECONDS: Final = 86_400  # after which the code of other sources is deleted
_choosing: Final = threading.Lock()  # numba takes its folder from a variable
_parts: Final[list[Callable[..., Any]]] = []  # of what is compiled, not known to numba yet


@cache
def engine() -> str:
    """What loops are run by, "numba" or "numpy". Asked only by what has loops: numba takes its time to import."""
    if os.environ.get("DETECTORS_KERNELS") == "numpy":
        return "numpy"
    try:
        import numba  # noqa: F401
    except ImportError:
        return "numpy"
    return "numba"


def compiled(*, fastmath: Collection[str] = (), inline: bool = False, kept: bool = True) -> Callable[[F], F]:
    """A decorator: the function as machine code that runs without the interpreter's lock; without numba as it is.

    `inline` has it compiled into its callers, which is for small functions; `kept` is False for what knows addresses.
    """

    def decorate(function: F) -> F:
        if engine() != "numba":
            return function
        import numba

        options = {"nogil": True, "fastmath": set(fastmath)} | ({"forceinline": True} if inline else {})
        folder = _folder(function.__module__) if kept else None
        with _choosing:
            while _parts:
                numba.extending.register_jitable(_parts.pop())
            before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, folder or ""
            try:
                loop: F = numba.njit(cache=folder is not None, **options)(function)
            finally:
                numba.config.CACHE_DIR = before
        return loop

    return decorate


def within(function: F) -> F:
    """A part of what is compiled, that stays as it stands for who calls it from Python."""
    _parts.append(function)
    return function


def sources(module: str) -> dict[str, str]:
    """The texts of a module and of all that it imports, from its own package and from this one, by their names.

    >>> sorted(sources("detectors.compiling"))
    ['detectors.compiling']
    """
    found: dict[str, str] = {}
    packages, open_ = {module.partition(".")[0], __name__.partition(".")[0]}, {module}
    while open_:
        name = open_.pop()
        file = getattr(sys.modules.get(name), "__file__", None)
        if name in found or file is None or name.partition(".")[0] not in packages:
            continue
        with open(file, encoding="utf-8") as text:
            found[name] = text.read()
        for imports in _IMPORTS.finditer(found[name]):
            names, of = _NAME.findall(imports["names"]), imports["of"]
            open_.update([of, *(f"{of}.{name}" for name in names)] if of else names)
    return found


def stamp(module: str) -> str | None:
    """The file that tells that a module's loops are kept, and of all that it imports; who has had them made, makes it.

    None where nothing is compiled or nothing can be kept. It is another file when a source changes, or numba.
    """
    if engine() != "numba" or (folder := _folder(module)) is None:
        return None
    import numba

    return os.path.join(folder, f"{sys.implementation.cache_tag}-numba-{numba.__version__}.warm")


@cache
def _folder(module: str) -> str | None:
    """Where the machine code of a module's loops is kept; None where there is no place for it."""
    try:
        texts = sources(module)
    except OSError:  # within an archive
        texts = {}
    if module not in texts:
        return None
    digest = hashlib.blake2b(digest_size=10)
    for name in sorted(texts):
        digest.update(f"{name} {len(texts[name])} {texts[name]}".encode())
    for place in _places(module):
        folder = os.path.join(place, digest.hexdigest())
        try:
            if not os.path.isdir(folder):
                os.makedirs(folder, exist_ok=True)
                _forget_others(place, folder)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        return folder
    logging.getLogger(__name__).warning(
        "no folder for compiled code: %s is compiled anew at every start; NUMBA_CACHE_DIR can name one", module
    )
    return None


def _places(module: str) -> Iterator[str]:
    """Where the code of a module may be kept, the best place first."""
    import numba

    if numba.config.CACHE_DIR:
        yield os.path.join(numba.config.CACHE_DIR, module)
        return
    yield os.path.join(os.path.dirname(str(sys.modules[module].__file__)), "__pycache__", "loops", module)
    yield os.path.join(os.path.expanduser("~"), ".cache", "stream-monitor", "loops", module)


def _forget_others(place: str, folder: str) -> None:
    """Delete the code of other sources that nobody has written to for a day."""
    for entry in os.scandir(place):
        if entry.path != folder and entry.is_dir() and time.time() - entry.stat().st_mtime > _UNUSED_SECONDS:
            shutil.rmtree(entry.path, ignore_errors=True)
