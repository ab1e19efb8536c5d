"""State as releases kept it, in files: later releases read it, or say clearly that they cannot.

`python -m tests.operations.test_old_state` writes this release's file anew. Only when a format number is raised, and
under a new name: the older files stay, to show that they are refused; a release that reads what the one before wrote
must go on reading the newest.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from detectors.layouts import Layout
from stream_monitor import entries, intents
from stream_monitor.config import Config
from stream_monitor.config import plain as config_plain
from stream_monitor.config.plain import config_from_plain, plain_config
from stream_monitor.entries import Bundle, Command, pack, unpack
from stream_monitor.errors import Newer, Older
from stream_monitor.fold.fold import State, step
from stream_monitor.intents import Intent, from_metadata, to_metadata
from stream_monitor.judging import packed_references
from stream_monitor.judging.packed_references import pack_reference, unpack_reference
from stream_monitor.publications import Publications, layout_messages
from stream_monitor.worker import checkpoints
from stream_monitor.worker.owners import Fold, Owner, Span
from tests.fold.makers import LAYOUT, MODEL, SECOND, TIME, Event, Run, Tap, spans
from tests.fold.test_verdicts import reference

FILE = Path(__file__).with_name("release-2.json")
OLDER = Path(__file__).with_name("release-1.json")  # its panes had 616 cells before the first column
TOPIC_ID = "panes-1"
FOLD = Fold(empty=State.empty, step=step, restore=State.restore)
INTENT = Intent(
    topic_id="id", epoch=1, n=7, from_=100, to=200, at_ms=5_000, max_event_ms=4_000, active_ms=5_000, partitions=3,
    partitions_first=3, part_bytes=900_000, config="c", layouts={"m": "l"},
)  # fmt: skip


def events(*seconds: int) -> list[Event]:
    return [Event(at=s * SECOND + i, x=i / 10, right=i % 3 > 0) for s in seconds for i in range(8)]


def write() -> None:
    """Everything that is kept somewhere, of a small run."""
    run, tap = Run(), Tap()
    run.feed(tap.block(events(1, 12, 25, 31)))
    span = Span(begin=0, end=0, committed=None)
    owner = Owner(FOLD, run.catalog, partition=0, partitions=1, topic_id=TOPIC_ID, messages={}, span=span)
    owner.state, owner.at = run.state, 2
    made = owner.checkpoint()
    kept = reference(windows=2, rows=8)
    config = Config(models={"m": MODEL}, time=TIME)
    FILE.write_text(
        json.dumps(
            {
                "checkpoint": [[_text(k), _text(v)] for k, v in (*made.segment, made.head)],
                "bundle": _text(pack(tap.block(events(42)))),
                "command": _text(pack(Command("c1", "acknowledge", 1, "ann", {"alert": "a", "comment": ""}))),
                "intent": to_metadata(INTENT),
                "layouts": [[_text(k), _text(v)] for k, v in layout_messages(LAYOUT, "m")],
                "reference": _text(pack_reference(kept)),
                "config": plain_config(config),
            },
            indent=1,
        )
        + "\n"
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


def messages(kept: dict[str, Any]) -> dict[bytes, bytes]:
    return {base64.b64decode(k): base64.b64decode(v) for k, v in kept["checkpoint"]}


def catalog_of(kept: dict[str, Any]) -> Publications:
    catalog = Publications()
    for key, value in kept["layouts"]:
        catalog.take("layouts", base64.b64decode(key), base64.b64decode(value))
    return catalog


def owner(kept: dict[str, Any]) -> Owner[State]:
    catalog, found = catalog_of(kept), messages(kept)
    span = Span(begin=0, end=3, committed=2)
    return Owner(FOLD, catalog, partition=0, partitions=1, topic_id=TOPIC_ID, messages=found, span=span)


def test_a_checkpoint_goes_on_where_it_was(kept: dict[str, Any]) -> None:
    """Three windows had closed; the fourth holds what came before the checkpoint, and closes with the bundle."""
    here = owner(kept)
    assert (here.at, here.alarm) == (2, "")
    outputs = here.step(2, here.read(base64.b64decode(kept["bundle"])))
    assert spans(outputs) == [(30, 40, 0, 8)]


def test_what_else_is_kept_is_read(kept: dict[str, Any]) -> None:
    assert from_metadata(kept["intent"]) == INTENT
    command = unpack(base64.b64decode(kept["command"]))
    assert isinstance(command, Command)
    assert (command.kind, command.body["alert"]) == ("acknowledge", "a")
    blob = base64.b64decode(kept["reference"])
    assert unpack_reference(blob).rows == 16
    assert pack_reference(unpack_reference(blob)) == blob  # its id is the hash of its bytes
    read = config_from_plain(kept["config"])
    assert read.models["m"].window == MODEL.window
    [(model, id)] = catalog_of(kept).model_layouts().items()
    assert model == "m"
    assert catalog_of(kept).layout(id).pane_ms == 1_000


def test_a_checkpoint_of_a_newer_release_is_refused(kept: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not rebuilt: the newer release may be about to start again, and would find its checkpoints deleted."""
    monkeypatch.setattr(checkpoints, "FORMAT", 1)
    with pytest.raises(Newer, match=r"checkpoint 2 of partition 0 is of format 2, .*delete the checkpoints topic"):
        owner(kept)


def read_newer(kept: dict[str, Any], what: str) -> None:
    """Read it as a later release would have written it."""
    match what:
        case "bundle" | "command":
            entry = unpack(base64.b64decode(kept[what]))
            assert isinstance(entry, Bundle | Command)
            unpack(msgspec.msgpack.encode(msgspec.structs.replace(entry, format=entries.FORMAT + 1)))
        case "intent":
            newer = f"stream-monitor:{intents.FORMAT + 1}:"
            from_metadata(kept["intent"].replace(f"stream-monitor:{intents.FORMAT}:", newer))
        case "reference":
            packed = packed_references.DECODER.decode(base64.b64decode(kept["reference"]))
            unpack_reference(
                msgspec.msgpack.encode(msgspec.structs.replace(packed, format=packed_references.FORMAT + 1))
            )
        case _:
            config_from_plain({**kept["config"], "format": config_plain.FORMAT + 1})


@pytest.mark.parametrize(
    ("what", "known"),
    [
        ("bundle", entries.FORMAT),
        ("command", entries.FORMAT),
        ("intent", intents.FORMAT),
        ("reference", packed_references.FORMAT),
        ("config", config_plain.FORMAT),
    ],
)
def test_what_a_newer_release_wrote_is_refused(kept: dict[str, Any], what: str, known: int) -> None:
    with pytest.raises(Newer, match=rf"is of format {known + 1}, this release knows up to {known}: "):
        read_newer(kept, what)


@pytest.fixture(scope="module")
def older() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(OLDER.read_text())
    return found


def test_what_is_written_says_its_format(kept: dict[str, Any], older: dict[str, Any]) -> None:
    """And what says nothing is of format 1, which is what it was before formats were said."""
    for of, format in ((kept, 2), (older, 1)):
        for what in ("bundle", "command"):
            assert msgspec.msgpack.decode(base64.b64decode(of[what]))[-1] == format
        reference = msgspec.msgpack.decode(base64.b64decode(of["reference"]))
        assert reference[9] == format
        assert msgspec.msgpack.decode(base64.b64decode(of["checkpoint"][-1][1]))[-1] == format
        silent = msgspec.msgpack.encode(reference[:9])
        assert packed_references.DECODER.decode(silent).format == 1


def test_the_cells_of_an_older_release_are_refused_with_the_way_out(older: dict[str, Any]) -> None:
    with pytest.raises(
        Older,
        match=r"^a bundle in the panes topic, partition 0 offset 0, is of format 1, this release reads 2 and none "
        r"before: give the service a new kafka\.prefix and kafka\.group, and kafka\.start",
    ):
        owner(older).read(base64.b64decode(older["bundle"]))
    with pytest.raises(
        Older, match=r"^the reference of m, in the references topic, is of format 1, .*: promote one anew"
    ):
        unpack_reference(base64.b64decode(older["reference"]))


def test_a_checkpoint_of_an_older_release_is_rebuilt_with_an_alarm(older: dict[str, Any]) -> None:
    here = owner(older)
    assert here.at == 0
    assert here.alarm == (
        "partition 0 is rebuilt from offset 0 on: its checkpoints are of format 1, this release reads 2 and none before"
    )


def test_what_an_older_release_kept_without_cells_is_read(older: dict[str, Any]) -> None:
    assert from_metadata(older["intent"]) == INTENT
    assert isinstance(unpack(base64.b64decode(older["command"])), Command)
    assert config_from_plain(older["config"]).models["m"].window == MODEL.window
    assert list(catalog_of(older).model_layouts()) == ["m"]


def test_a_layout_that_reads_otherwise_than_it_was_meant_is_not_taken(caplog: pytest.LogCaptureFixture) -> None:
    """Its id is the hash of its content: a newer release's reads as another one here, and would count otherwise."""
    catalog = Publications()
    plain = {**LAYOUT.to_json(), "pane_ms": 2_000}
    catalog.take("layouts", f"layout/{LAYOUT.id}".encode(), json.dumps(plain).encode())
    other = Layout.from_json(plain).id
    assert f"layout {LAYOUT.id} in the topic is of another release: here it would be {other}" in caplog.text
    with pytest.raises(KeyError):
        catalog.layout(LAYOUT.id)


if __name__ == "__main__":
    write()
