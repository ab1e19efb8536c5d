"""Protobuf schemas as a registry keeps them -> message classes.

A text is compiled by protoc, in a process of its own: what a schema does to a compiler, it does not do to the tap. A
FileDescriptorProto in base64, which some producers register, needs no compiler.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Final

from stream_monitor.errors import InvalidRecord, Unreachable
from stream_monitor.interfaces import Schema

COMPILE_SECONDS: Final = 60.0
_MAIN: Final = "stream_monitor_schema.proto"  # what the text of a schema is called, which has no name of its own
_DEPENDENCIES: Final = "dependencies.bin"


def refused(why: object) -> InvalidRecord:
    """The error for a schema that cannot be used."""
    return InvalidRecord("unknown_schema", f"is no Protobuf schema that can be read: {why}")


@lru_cache(maxsize=200)
def file_of(schema: Schema) -> Any:
    """The descriptor of a schema's file, in a pool of its own. InvalidRecord if it is none."""
    from google.protobuf import descriptor_pb2, descriptor_pool

    binary, texts = {}, {}
    for name, text in (*schema.references, (_MAIN, schema.text)):
        found = _from_base64(text)
        if found is None:
            texts[name] = text
        else:
            if name != _MAIN:
                found.name = name
            binary[name] = found
    files = _with_known(binary, descriptor_pb2)
    if texts:
        files = _compiled(texts, files, descriptor_pb2)
    main = _MAIN if _MAIN in texts else binary[_MAIN].name
    pool = descriptor_pool.DescriptorPool()
    try:
        for file in _in_order(files):
            pool.Add(file)
        return pool.FindFileByName(main)
    except (TypeError, KeyError) as error:
        raise refused(error) from None


def _from_base64(text: str) -> Any | None:
    """The file that base64 text holds; None for other text."""
    from google.protobuf import descriptor_pb2
    from google.protobuf.message import DecodeError

    try:
        file = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(text.strip(), validate=True))
    except (binascii.Error, ValueError, DecodeError):
        return None
    return file if file.name else None


def _with_known(binary: dict[str, Any], pb2: Any) -> dict[str, Any]:
    """The files by their own names, and those that come with Protobuf itself where they are imported."""
    files = {file.name: file for file in binary.values()}
    waiting = [name for file in files.values() for name in file.dependency]
    while waiting:
        name = waiting.pop()
        if name not in files and (known := _known(name, pb2)) is not None:
            files[name] = known
            waiting += known.dependency
    return files


def _known(name: str, pb2: Any) -> Any | None:
    """A file that comes with Protobuf or with Google's common types."""
    if not name.startswith(("google/protobuf/", "google/type/")) or not name.endswith(".proto"):
        return None
    try:
        module = importlib.import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
    except ImportError:
        return None
    file = pb2.FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(file)
    return file


def _compiled(texts: dict[str, str], files: dict[str, Any], pb2: Any) -> dict[str, Any]:
    """All files, those of the texts compiled."""
    with tempfile.TemporaryDirectory(prefix="schema-") as folder:
        root = Path(folder).resolve()
        source = root / "source"
        for name, text in texts.items():
            path = (source / PurePosixPath(name)).resolve()
            # A name is a file's in this folder, and nothing that the compiler takes for an option.
            if not path.is_relative_to(source) or path == source or name.startswith(("-", "@")):
                raise refused(f"a reference is called {name!r}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        out = root / "out.bin"
        # -P: nothing is imported from a folder whose files somebody else has named and written.
        command = [sys.executable, "-P", "-m", "grpc_tools.protoc", f"-I{source}", "--include_imports"]
        command += [f"--descriptor_set_out={out}", *texts]
        known = [f for name in _imported(texts.values()) if (f := _known(name, pb2)) is not None]
        deps = _with_known({f.name: f for f in (*known, *files.values())}, pb2)
        if deps:
            (root / _DEPENDENCIES).write_bytes(pb2.FileDescriptorSet(file=_in_order(deps)).SerializeToString())
            command.append(f"--descriptor_set_in={root / _DEPENDENCIES}")
        try:
            done = subprocess.run(  # noqa: S603 -- our own interpreter; the schema is only in files
                command, cwd=source, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise Unreachable(f"protoc did not end within {COMPILE_SECONDS:g} s") from None
        if done.returncode < 0:  # says nothing of the schema
            raise Unreachable(f"protoc was ended by signal {-done.returncode}")
        if done.returncode or not out.exists():
            raise refused(" ".join(done.stderr.replace(f"{source}/", "").replace(_MAIN, "line").split())[:500])
        made = pb2.FileDescriptorSet.FromString(out.read_bytes())
    return {**deps, **{file.name: file for file in made.file}}


def _imported(texts: Iterable[str]) -> set[str]:
    """What the texts import of what comes with Protobuf, roughly: more than needed does no harm."""
    return {part for text in texts for part in text.split('"') if part.startswith("google/")}


def _in_order(files: dict[str, Any]) -> list[Any]:
    """The files, each after those that it imports."""
    done: dict[str, Any] = {}

    def add(name: str, above: tuple[str, ...]) -> None:
        if name in done or name not in files:
            return
        if name in above:
            raise refused(f"{name} imports itself")
        for imported in files[name].dependency:
            add(imported, (*above, name))
        done[name] = files[name]

    for name in files:
        add(name, ())
    return list(done.values())


def message_type(file: Any, indexes: Iterable[int]) -> Any:
    """The descriptor of the message at a path of positions: the first of the file, the second inside it, ..."""
    types: list[Any] = list(file.message_types_by_name.values())
    found = None
    for i in indexes:
        if not 0 <= i < len(types):
            raise InvalidRecord("unknown_schema", f"message {i} of {len(types)} in the schema")
        found = types[i]
        types = list(found.nested_types)
    assert found is not None
    return found
