"""A new monitor.yaml in a running process: what of it can be taken over, and what waits for a restart.

    SIGHUP -> read and check -> references and layouts made known -> the log is told -> taps turn at a block border
                 |
                 +-> mistakes: all of them logged, the old configuration goes on

Live: `models`, `time`, `sinks`, `triggers`. With a restart only: where the service is connected to (`kafka`, `store`)
and where it listens and whom it lets in (`api`): these are what every client was made with.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Final

from stream_monitor.config import Config

FIXED: Final = ("kafka", "store", "api")


def needing_restart(old: Config, new: Config) -> list[str]:
    """Paths that differ and are not taken over; without values, as some are secrets.

    >>> from stream_monitor.config import Kafka
    >>> needing_restart(Config(), Config(kafka=Kafka(prefix="b."), store="redis://localhost"))
    ['kafka.prefix', 'store']
    """
    found = []
    for part in FIXED:
        before, after = getattr(old, part), getattr(new, part)
        if isinstance(before, str):
            found += [part] if before != after else []
        else:
            found += [f"{part}.{f.name}" for f in fields(before) if getattr(before, f.name) != getattr(after, f.name)]
    return found


def taken_over(old: Config, new: Config) -> Config:
    """The new configuration as far as it can be had without a restart."""
    return replace(new, **{part: getattr(old, part) for part in FIXED})


def told(old: Config, new: Config) -> str:
    """What changes, in a few words for the log; "" if nothing does.

    >>> from stream_monitor.config import Model
    >>> a, b = Model(topic=("a",)), Model(topic=("b",))
    >>> told(Config(models={"x": a, "y": a}), Config(models={"y": b, "z": a}))
    'models added: z; removed: x; changed: y'
    """
    before, after = old.models, new.models
    lists = {
        "added": [n for n in after if n not in before],
        "removed": [n for n in before if n not in after],
        "changed": [n for n in after if n in before and before[n] != after[n]],
    }
    parts = [f"{verb}: {', '.join(sorted(names))}" for verb, names in lists.items() if names]
    models = "models " + "; ".join(parts) if parts else ""
    others = [part for part in ("time", "sinks", "triggers") if getattr(old, part) != getattr(new, part)]
    return "; ".join([p for p in (models, *(f"{part} changed" for part in others)) if p])
