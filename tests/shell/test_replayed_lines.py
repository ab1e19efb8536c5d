"""Lines that a replay reads as a tap reads records say what they say when they are read one by one.

file   -> pieces of 40 lines -> many at once -+
       +-------------------> one by one ------+-> the same windows, verdicts, alerts, dead letters
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from stream_monitor import app
from stream_monitor.formats.lines import Tapped
from stream_monitor.shell import logs, replay

START = 1_760_000_040
MODEL = """\
models:
  m:
    topic: t
    task: binary
    fields: {id: id, time: when.ts, version: model.version, FEATURES, prediction: prediction, score: score}
    segments: [SEGMENT]
    reference: {first: 300}
    pane: 10s
    window: {size: 1m}
    min_rows: 20
    alerts: {for: 1}
"""
SHAPES = {
    "object": ("features: features", "country"),
    "paths": ("features: [features.amount, features.country, note]", "features.country"),
}


def line(i: int, rng: random.Random) -> bytes:
    """An event, mostly; many are odd in some way."""
    ts: Any = START + 2 * i + rng.uniform(-5, 5)
    features: Any = {"amount": rng.choice([rng.gauss(100, 10), None, "12", 3, True]), "country": rng.choice("abc")}
    event: dict[str, Any] = {
        "id": f"r{i}",
        "when": {"ts": ts},
        "model": {"version": rng.choice(["1", 2])},
        "features": features,
        "note": rng.choice([1.5, None, 'a "quoted" word', "é"]),
        "prediction": rng.choice([0, 1]),
        "score": rng.random(),
    }
    odd = rng.randrange(60)
    if odd == 0:
        event["when"] = rng.choice([{"ts": "yesterday"}, {"ts": None}, {}, 5, {"ts": 4e9}])
    elif odd == 1:
        del event[rng.choice(["id", "features", "prediction"])]
    elif odd == 2:
        event["features"] = rng.choice([5, None, [], {}])
    elif odd == 3:
        event["score"] = float("nan")
    elif odd == 4:
        event["model.version"] = "of the whole name"
    elif odd == 5:
        event["when.ts"] = ts + 60
    elif odd == 6:
        return rng.choice([b"{", b"[]", b"null", b'{"id": "\xff"}', b'{"id":1}'])
    elif odd == 7:
        return json.dumps(event).replace('"id"', '"prediction": 1, "id"').encode()
    elif odd == 8:
        return json.dumps(event).replace('"note"', '"model\\u002eversion": "escaped", "note"').encode()
    return json.dumps(event, ensure_ascii=bool(odd % 2)).encode()


def outcome(folder: Path, config: str, events: Path, name: str) -> dict[str, str]:
    """What a replay wrote, by file."""
    file = folder / "monitor.yaml"
    file.write_text(config)
    app.replay(str(file), "m", str(events), None, str(folder / name), logs.Formatter("text"))
    return {path.name: path.read_text() for path in sorted((folder / name).iterdir())}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_many_lines_at_once_are_read_as_they_are_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shape: str, seed: int
) -> None:
    rng = random.Random(seed)
    events = tmp_path / "events.jsonl"
    lines = [line(i, rng) for i in range(1_200)]
    lines[100:260] = [json.dumps(json.loads(line(0, random.Random(9))) | {"id": f"x{i}"}).encode() for i in range(160)]
    events.write_bytes(b"\r\n\n".join(lines))
    features, segment = SHAPES[shape]
    config = MODEL.replace("FEATURES", features).replace("SEGMENT", segment)
    monkeypatch.setattr(replay, "BLOCK_ROWS", 40)
    read, many = Tapped.read, []

    def counted(self: Tapped, lines: Any, *, nested: bool) -> Any:
        many.append((found := read(self, lines, nested=nested)) is not None)
        return found

    monkeypatch.setattr(Tapped, "read", counted)
    quick = outcome(tmp_path, config, events, "quick")
    told = [text for text in capsys.readouterr().err.splitlines() if "dead letters" in text or "windows" in text]
    assert 1 < sum(many) < len(many)  # both ways were gone
    monkeypatch.setattr(Tapped, "read", lambda self, lines, nested: None)
    assert outcome(tmp_path, config, events, "slow") == quick
    again = [text for text in capsys.readouterr().err.splitlines() if "dead letters" in text or "windows" in text]
    assert told == again != []
    assert len(quick["windows.jsonl"].splitlines()) > 20
    assert "of the whole name" in quick["windows.jsonl"]


def test_a_flat_file_is_never_read_as_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = tmp_path / "events.jsonl"
    rows = [{"id": i, "when.ts": START + i, "version": "1", "amount": i % 7, "prediction": 1} for i in range(400)]
    events.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(replay, "BLOCK_ROWS", 40)
    config = MODEL.replace("FEATURES", "features: features").replace("SEGMENT", "amount")
    found = outcome(tmp_path, config.replace("model.version", "version"), events, "out")
    windows = [json.loads(text) for text in found["windows.jsonl"].splitlines()]
    assert sum(w["rows"] for w in windows if w["segment"] == "all") == 400
