"""Which loops a block still has to wait for once its format is warmed, in a process where nothing has run before.

    python -m tests.registry.warming

Prints a JSON object: format -> names of what was compiled (or loaded) for its blocks.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import random
from typing import Any

import stream_monitor.formats
from stream_monitor.formats import FORMATS, decode
from tests.fuzz import events, framed
from tests.fuzz.plain import NOW, records


def ready() -> set[tuple[str, str]]:
    """Each loop with the types that it is compiled for."""
    found = set()
    for module in pkgutil.iter_modules(stream_monitor.formats.__path__, "stream_monitor.formats."):
        for name, of in vars(importlib.import_module(module.name)).items():
            signatures: Any = getattr(of, "nopython_signatures", ())
            found |= {(f"{of.__module__}.{name}", str(types)) for types in signatures}
    return found


def blocks(format: str) -> None:
    """Blocks of all cases, damaged records and all."""
    if format != "json":
        for seed in range(30):
            framed.differences(format, random.Random(seed), framed.Count(), most=6)
        return
    source = random.Random(1)
    for plan, layout in events.plans():
        for _ in range(10):
            some = events.block(events.Choices(source.randbytes(100)))
            decode(records(some), plan, layout, NOW)


def main() -> None:
    late = {}
    for format in ("avro", "protobuf", "json"):  # JSON last: nearly all that it needs, others need as well
        module = FORMATS[format].loops
        assert module is not None
        module.warm()
        before = ready()
        blocks(format)
        late[format] = sorted(name for name, _ in ready() - before)
    print(json.dumps(late))


if __name__ == "__main__":
    main()
