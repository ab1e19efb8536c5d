"""What is seldom read comes back as it was, from a file or, where there is none, from memory."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_monitor.catalogs import MemoryCatalog
from stream_monitor.shelves import BLOCK, SMALL, Shelf


def blocks(data: bytes) -> int:
    """That a string takes in the file."""
    return -(-len(data) // BLOCK) if len(data) >= SMALL else 0


@settings(deadline=None, max_examples=30)  # files may take long
@given(st.lists(st.one_of(st.integers(0, 5 * BLOCK), st.integers(0, 5).map(str)), max_size=12), st.integers())
def test_what_was_put_comes_back_and_takes_no_more_room_than_was_needed_at_a_time(
    acts: list[int | str], seed: int
) -> None:
    """A number: a string of so many bytes is put; a text: one is dropped, if there are so many."""
    shelf, kept, most, rng = Shelf(), dict[str, bytes](), 0, random.Random(seed)
    for i, act in enumerate(acts):
        if isinstance(act, int):
            kept[str(i)] = rng.randbytes(act)
            shelf.put(str(i), kept[str(i)])
        elif int(act) < len(kept):
            gone = list(kept)[int(act)]
            del kept[gone]
            shelf.drop(gone)
            with pytest.raises(KeyError):
                shelf.get(gone)
        most = max(most, sum(map(blocks, kept.values())))
        assert {name: shelf.get(name) for name in kept} == kept
    assert len(shelf) == len(kept)
    assert shelf.size_bytes == most * BLOCK


def test_without_a_place_for_a_file_it_stays_in_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    shelf, data = Shelf(), bytes(2 * SMALL)
    for name in ("a", "b"):
        shelf.put(name, data)
        assert shelf.get(name) == data
    shelf.drop("a")
    assert "a" not in shelf
    assert len(caplog.records) == 1


def test_a_blob_is_kept_once() -> None:
    catalog, data = MemoryCatalog(), random.Random(1).randbytes(2 * SMALL)
    ids = {catalog.add_blob(data) for _ in range(3)}
    assert [catalog.blob(id) for id in ids] == [data]
    assert (catalog.blobs, catalog.on_disk_bytes) == (1, BLOCK)
