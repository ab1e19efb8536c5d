"""What is seldom read comes back as it was, from a file or, where there is none, from memory."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_monitor.catalogs import MemoryCatalog
from stream_monitor.shelves import SMALL, Shelf


@settings(deadline=None)  # files may take long
@given(st.lists(st.binary(max_size=20), max_size=8))
def test_what_was_put_comes_back(some: list[bytes]) -> None:
    shelf = Shelf()
    large = [bytes([i]) * SMALL + data for i, data in enumerate(some)]
    kept = [shelf.put(data) for data in [*some, *large]]
    assert [shelf.get(k) for k in kept] == [*some, *large]
    assert shelf.size_bytes == sum(map(len, large))


def test_without_a_place_for_a_file_it_stays_in_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    shelf, data = Shelf(), bytes(2 * SMALL)
    assert shelf.get(shelf.put(data)) == data
    assert shelf.get(shelf.put(data)) == data
    assert shelf.size_bytes == 0
    assert len(caplog.records) == 1


def test_a_blob_is_kept_once() -> None:
    catalog, data = MemoryCatalog(), random.Random(1).randbytes(2 * SMALL)
    ids = {catalog.add_blob(data) for _ in range(3)}
    assert [catalog.blob(id) for id in ids] == [data]
    assert SMALL < catalog.on_disk_bytes < 3 * SMALL
