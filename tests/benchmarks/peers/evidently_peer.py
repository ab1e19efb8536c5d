"""Evidently: its drift preset of every frame against the first one."""

from __future__ import annotations

import sys

from clocks import Stopwatch
from evidently import Report
from evidently.presets import DataDriftPreset
from frames import frames

clock = Stopwatch()
reference = None
for frame in frames(sys.argv[1], int(sys.argv[2])):
    if reference is None:
        reference = frame
    else:
        Report([DataDriftPreset()]).run(frame, reference)
    clock.add(len(frame))
clock.show()
