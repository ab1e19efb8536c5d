"""What the peers' scripts share; found beside them, as they run in other environments."""

from __future__ import annotations

import json
import resource
import time

TOPIC = "bench.predictions"
BATCH = 10_000


class Stopwatch:
    """From the first event that was processed to the last."""

    def __init__(self) -> None:
        self.events = -1
        self._begin = self._cpu = 0.0

    def add(self, events: int) -> None:
        """So many more were processed. Those of the first call do not count: it starts the clock."""
        if self.events < 0:
            self.events, self._begin, self._cpu = 0, time.perf_counter(), self._used()
            return
        self.events += events

    @staticmethod
    def _used() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    def show(self) -> None:
        """The line that the benchmark reads."""
        seconds, cpu = time.perf_counter() - self._begin, self._used() - self._cpu
        print(json.dumps({"events": self.events, "seconds": seconds, "cpu_seconds": cpu}), flush=True)
