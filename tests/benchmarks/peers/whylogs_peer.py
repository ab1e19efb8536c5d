"""whylogs: a profile of every frame, merged into one."""

from __future__ import annotations

import sys

import whylogs as why
from clocks import Stopwatch
from frames import frames

clock = Stopwatch()
profile = None
for frame in frames(sys.argv[1], int(sys.argv[2])):
    view = why.log(frame).view()
    profile = view if profile is None else profile.merge(view)
    clock.add(len(frame))
clock.show()
