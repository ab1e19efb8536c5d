"""What "normal" was learnt from: pane counts kept as a series, by segment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from detectors.counts import Counts
from detectors.layouts import Layout
from stream_monitor.config import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Pane counts of normal times. Its id is the SHA-256 of its packed bytes."""

    model: str
    version: str  # "": the model's, for every version without one of its own
    layout: str  # layout id
    pane_ms: int
    rows: int
    series: Mapping[str, tuple[tuple[int, Counts], ...]]  # segment -> (pane start_ms, counts), in time order
    source: str  # provenance: file name and hash, or the span it was promoted from
    ordered_by: str = "time"  # "rows": it had no times, and its panes are equal numbers of rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a model starts with; None, None when there is no reference file."""

    layout: Layout | None
    reference: Reference | None


def pack_reference(reference: Reference) -> bytes:
    """Bytes of a reference; equal references have equal bytes."""
    raise NotImplementedError


def unpack_reference(data: bytes) -> Reference:
    """The reference that was packed."""
    raise NotImplementedError


def reference_id(data: bytes) -> str:
    """The id of a packed reference."""
    raise NotImplementedError


def prepare(name: str, model: Model, base_dir: Path) -> Prepared:
    """Layout and reference from `model.reference.file`; ConfigError when it cannot be read."""
    raise NotImplementedError


def layout_from_raw(model: Model, counts: Counts) -> Layout:
    """The first layout of a model, from merged counts under the raw layout."""
    raise NotImplementedError
