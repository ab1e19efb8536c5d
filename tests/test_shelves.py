"""What is seldom read comes back as it was, from a file or, where there is none, from memory."""

from __future__ import annotations

import errno
import os
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_monitor.catalogs import MemoryCatalog
from stream_monitor.shelves import BLOCK, SMALL, Kept, Shelf


def blocks(data: bytes) -> int:
    """That a string takes in the file."""
    return -(-len(data) // BLOCK) if len(data) >= SMALL else 0


@settings(deadline=None, max_examples=30)  # files may take long
@given(st.lists(st.one_of(st.integers(0, 5 * BLOCK), st.integers(0, 5).map(str)), max_size=12), st.integers())
def test_what_was_put_comes_back_and_takes_no_more_room_than_was_needed_at_a_time(
    acts: list[int | str], seed: int
) -> None:
    """A number: a string of so many bytes is put; a text: one is dropped, if there are so many."""
    shelf, most, rng = Shelf(), 0, random.Random(seed)
    kept: list[tuple[Kept, bytes]] = []
    for act in acts:
        if isinstance(act, int):
            data = rng.randbytes(act)
            kept.append((shelf.keep(data), data))
        elif int(act) < len(kept):
            del kept[int(act)]
        most = max(most, sum(blocks(data) for _, data in kept))
        assert [(one.read(), one.size_bytes) for one, _ in kept] == [(data, len(data)) for _, data in kept]
    assert shelf.size_bytes == most * BLOCK


def test_without_a_place_for_a_file_it_stays_in_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    shelf, data = Shelf(), bytes(2 * SMALL)
    assert [shelf.keep(data).read() for _ in range(2)] == [data, data]
    assert len(caplog.records) == 1


def test_a_file_that_does_not_give_it_back_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf()
    kept = shelf.keep(bytes(2 * BLOCK))
    os.ftruncate(shelf._file, BLOCK)
    with pytest.raises(OSError, match=r"the file in TMPDIR .* has been cut"):
        kept.read()
    monkeypatch.setattr(os, "pread", _broken)
    with pytest.raises(OSError, match=r"the file in TMPDIR .* cannot be read: .*; a restart makes it anew"):
        kept.read()


def _broken(*_: int) -> bytes:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_blob_is_kept_once() -> None:
    catalog, data = MemoryCatalog(), random.Random(1).randbytes(2 * SMALL)
    ids = {catalog.add_blob(data) for _ in range(3)}
    assert [catalog.blob(id) for id in ids] == [data]
    assert (catalog.blobs, catalog.on_disk_bytes) == (1, BLOCK)
