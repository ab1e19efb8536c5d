"""All that a configuration can name, in one place for its checks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stream_monitor.config.known import Known


def known_tables(**outside: Any) -> Known:
    """The tables of this package; `outside` are `sinks`, `triggers` and the like, which only the wiring knows."""
    from detectors import DETECTORS, METRICS  # here, as kernels take a second to import: `--help` need not wait
    from stream_monitor.formats import FORMATS

    formats = {name: of.options for name, of in FORMATS.items()}
    presets = {name: of.fields for name, of in FORMATS.items() if of.fields is not None}
    return replace(Known(metrics=METRICS, detectors=DETECTORS, formats=formats, presets=presets), **outside)
