"""Event time of the demo's models: many times real speed, and standing while a model is held back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from deploy.demo.traffic import Message, Traffic

DAYS_A_SECOND = 4.0


class Clocks:
    """One clock a model. `held` says whether a model must wait, as for a new version that is being trained.

    Why: a machine that trains slowly would otherwise play everything with the old version, and nothing would be left
    by which the new one could be judged.
    """

    def __init__(self, traffic: Mapping[str, Traffic], held: Callable[[str], bool]) -> None:
        self._traffic = traffic
        self._held = held
        self.now: dict[str, pd.Timestamp] = {name: t.start for name, t in traffic.items()}

    def after(self, seconds: float) -> list[Message]:
        """What is due `seconds` after the last call."""
        for name in self.now:
            if not self._held(name):
                self.now[name] += pd.Timedelta(days=seconds * DAYS_A_SECOND)
        return [m for name, t in self._traffic.items() if not self._held(name) for m in t.until(self.now[name])]

    def ended(self) -> bool:
        """Whether everything is played."""
        return all(self.now[name] > t.end and not self._held(name) for name, t in self._traffic.items())

    def __str__(self) -> str:
        return ", ".join(
            f"{name} {min(self.now[name], t.end):%Y-%m-%d} (version {t.version}, {t.published:,} events"
            f"{', held back' if self._held(name) else ''})"
            for name, t in self._traffic.items()
        )
