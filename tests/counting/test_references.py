"""Files -> columns -> layouts and references."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from detectors.counts import columns, merge, outcome
from detectors.layouts import CORRECT, LABELS, CategoricalLayout, NumericLayout
from stream_monitor import config
from stream_monitor.config import Config, Fields, LabelFields, Labels, Model, WindowSpec
from stream_monitor.counting.batches import MISSING, NONFINITE, NUMBER, TEXT, Batch
from stream_monitor.counting.panes import count_block
from stream_monitor.counting.plans import event_plan
from stream_monitor.errors import ConfigError
from stream_monitor.formats.files import File, everything, pieces
from stream_monitor.judging.packed_references import pack_reference, reference_id, unpack_reference
from stream_monitor.judging.references import Prepared, _events, prepare
from stream_monitor.packing import unpack_counts

START = 1_700_000_000_000
ONE: dict[str, Literal["numeric", "categorical", "text"]] = {"amount": "numeric"}
FIELDS = Fields(
    id="id",
    time="ts",
    version="model.version",
    features=("amount", "f.country"),
    prediction="prediction",
    score="score",
)
MODEL = Model(
    topic=("t",), task="binary", fields=FIELDS, segments=("f.country",), window=WindowSpec(size=60_000),
    labels=Labels(topic="l", fields=LabelFields(id="id", label="truth")),
    reference=config.Reference(file="ref.parquet"),
)  # fmt: skip


def rows(n: int = 2000) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        {
            "id": str(i),
            "ts": START + 100 * i,
            "model": {"version": f"v{i % 2}"},
            "amount": float(rng.normal()) if i % 10 else None,
            "f": {"country": ("de", "fr", None)[i % 3]},
            "prediction": i % 2,
            "score": float(rng.uniform()),
            "truth": int(i % 4 == 1),
        }
        for i in range(n)
    ]


def flat(row: dict[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in row.items() if key not in ("model", "f")}
    return {**rest, "model.version": row["model"]["version"], "f.country": row["f"]["country"]}


def write(path: Path, events: list[dict[str, Any]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("\n\n".join(json.dumps(e) for e in events) + "\n")
    elif path.suffix == ".csv":
        pa_csv.write_csv(pa.Table.from_pylist([flat(e) for e in events]), path)
    else:
        pq.write_table(pa.Table.from_pylist(events), path)
    return path


def prepared(path: Path, model: Model = MODEL) -> Prepared:
    return prepare("m", dataclasses.replace(model, reference=config.Reference(file=path.name)), path.parent)


def read(path: Path, model: Model) -> tuple[Batch, list[tuple[int, str]]]:
    plan = event_plan("m", Config(models={"m": model}), flat=True)
    piece = everything(path, plan)
    batch, dead = _events(piece.rows, piece, plan, None)
    return batch, sorted((d.index, d.reason) for d in piece.dead + dead)


def test_every_format_gives_the_same(tmp_path: Path) -> None:
    found = [prepared(write(tmp_path / f"ref{end}", rows())) for end in (".parquet", ".csv", ".jsonl")]
    tables = [prepared(write(tmp_path / "flat.parquet", [flat(r) for r in rows()]))]
    for p in found + tables:
        assert p.layout == found[0].layout
        assert p.reference is not None
        assert found[0].reference is not None
        assert p.reference.series == found[0].reference.series


@pytest.mark.parametrize("rows", [2_000, 2_500])
def test_the_format_does_not_decide_where_a_piece_ends(tmp_path: Path, rows: int) -> None:
    """
    a CSV of 2.5 MB, read a MiB at a time      1000 good | a bad line, 1000 good | 500 good, a bad line
    """
    lines = [f"{i},{'x' * 1000}" for i in range(rows)] + ["bad"]
    lines[1_000:1_000] = ["bad"]
    (tmp_path / "e.csv").write_text("\n".join(["ts,amount", *lines]) + "\n")
    table = pa.table({"ts": range(rows)})
    pq.write_table(table, tmp_path / "e.parquet", row_group_size=300)
    numbers = [*range(1_000), *range(1_001, rows + 1)]
    found = list(File(tmp_path / "e.csv").tables(1_000))
    assert [len(piece) for piece, _, _ in found if len(piece)] == [1_000] * (rows // 1_000) + [500] * (rows == 2_500)
    assert [n for _, of, _ in found for n in of.tolist()] == numbers
    assert sorted(d.index for _, _, dead in found for d in dead) == [1_000, rows + 1]
    assert [int(v) for piece, _, _ in found for v in piece["ts"].to_pylist()] == list(range(rows))
    assert [len(piece) for piece, _, _ in File(tmp_path / "e.parquet").tables(1_000)] == [
        len(piece) for piece, _, _ in found if len(piece)
    ]


def test_layout_and_series(tmp_path: Path) -> None:
    made = prepared(write(tmp_path / "ref.parquet", rows()))
    layout, reference = made.layout, made.reference
    assert layout is not None
    assert reference is not None
    assert list(layout.features) == ["amount", "f.country"]
    assert layout.features["f.country"] == CategoricalLayout(categories=("de", "fr"))
    assert layout.pane_ms == reference.pane_ms == 5000
    assert (reference.layout, reference.rows, reference.ordered_by, reference.skipped) == (layout.id, 2000, "time", 0)
    assert set(reference.series) == {"all", "f.country=de", "f.country=fr", "f.country=null"}
    assert reference.source.startswith("ref.parquet sha256:")
    series = reference.series["all"]
    assert [start for start, _ in series] == sorted({(START + 100 * i) // 5000 * 5000 for i in range(2000)})
    total = merge(counts for _, counts in series)
    amount = columns(total, layout)["features", "amount"]
    assert (amount.rows, amount.missing, int(amount.counts.sum())) == (2000, 200, 1800)
    cells = outcome(total).cells
    assert (cells[LABELS], cells[CORRECT]) == (2000, 1500)


def test_as_the_stream_would_count_it(tmp_path: Path) -> None:
    """The reference is what the tap would have counted of the same events, but for versions."""
    path = write(tmp_path / "ref.jsonl", rows())
    made = prepared(path)
    model = dataclasses.replace(MODEL, fields=dataclasses.replace(FIELDS, label="truth", version=""), labels=None)
    plan = event_plan("m", Config(models={"m": model}), flat=True)
    piece = everything(path, plan)
    batch, _ = _events(piece.rows, piece, plan, made.layout)
    block = count_block(batch, made.layout, "m", model, config.Time(), None)
    assert made.reference is not None
    assert {(r.segment, r.start_ms): unpack_counts(r.counts) for r in block.panes} == {
        (s, start): counts for s, panes in made.reference.series.items() for start, counts in panes
    }


def test_packing(tmp_path: Path) -> None:
    reference = prepared(write(tmp_path / "ref.parquet", rows())).reference
    assert reference is not None
    data = pack_reference(reference)
    assert unpack_reference(data) == reference
    assert pack_reference(unpack_reference(data)) == data
    again = prepared(tmp_path / "ref.parquet").reference
    assert again is not None
    assert reference_id(pack_reference(again)) == reference_id(data)
    assert len(reference_id(data)) == 16


def test_a_bare_table(tmp_path: Path) -> None:
    """Features alone: no id, time, prediction, score or label."""
    bare = [{"amount": r["amount"], "f.country": r["f"]["country"]} for r in rows(1000)]
    made = prepared(write(tmp_path / "ref.parquet", bare))
    assert made.layout is not None
    assert made.reference is not None
    assert made.reference.ordered_by == "rows"
    assert [counts.rows for _, counts in made.reference.series["all"]] == [25] * 40
    assert made.layout.pane_ms == 2000
    assert made.layout.predictions["prediction"] == NumericLayout(edges=(0.0, 1.0, 2.0))
    score = made.layout.predictions["score"]
    assert isinstance(score, NumericLayout)
    assert score.edges[0] == 0.0
    assert score.edges[-1] == 1.0


def test_features_of_an_object(tmp_path: Path) -> None:
    fields = dataclasses.replace(FIELDS, features="payload.features", version="")
    model = dataclasses.replace(MODEL, fields=fields, segments=("country",))
    nested = [{**r, "payload": {"features": {"amount": r["amount"], "country": r["f"]["country"]}}} for r in rows()]
    dotted = [
        {"payload.features.amount": r["amount"], "payload.features.country": r["f"]["country"], **flat(r)}
        for r in rows()
    ]
    plain = [
        {"amount": r["amount"], "country": r["f"]["country"]}
        | {k: r[k] for k in ("ts", "truth", "id", "score", "prediction")}
        for r in rows()
    ]
    layouts = []
    for i, events in enumerate((nested, dotted, plain)):
        made = prepared(write(tmp_path / f"ref{i}.parquet", events), model)
        assert made.layout is not None
        assert set(made.layout.features) == {"amount", "country"}
        assert made.reference is not None
        assert "country=de" in made.reference.series
        layouts.append(made.layout)
    assert layouts[0] == layouts[1] == layouts[2]
    made = prepared(write(tmp_path / "ref.jsonl", plain), model)
    assert made.layout == layouts[0]


def test_what_is_no_feature_of_a_flat_file(tmp_path: Path) -> None:
    """`version` is where `model.version` says, and with `columns` only those are features."""
    table = [{"amount": r["amount"], "note": "n", "version": "1", "ts": r["ts"]} for r in rows()]
    path = write(tmp_path / "ref.parquet", table)
    model = dataclasses.replace(MODEL, fields=dataclasses.replace(FIELDS, features="features"), segments=())
    for told, watched in ((model, {"amount", "note"}), (dataclasses.replace(model, columns=ONE), {"amount"})):
        made = prepared(path, told)
        assert made.layout is not None
        assert set(made.layout.features) == watched


def test_types_of_tables(tmp_path: Path) -> None:
    moments = [datetime(2024, 1, 1, 0, 0, i, 500_000, tzinfo=UTC) for i in range(4)]
    table = pa.table(
        {
            "ts": pa.array(moments, pa.timestamp("us", tz="Europe/Berlin")),
            "naive": pa.array([m.replace(tzinfo=None) for m in moments], pa.timestamp("ns")),
            "text": ["2024-01-01 00:00:00.5", "2024-01-01T00:00:01.5", "2024-01-01T00:00:02.5Z", "2024-01-01"],
            "small": pa.array([1, None, 3, 4], pa.int8()),
            "single": pa.array([0.5, float("nan"), float("inf"), None], pa.float32()),
            "huge": pa.array([2**64 - 1] * 4, pa.uint64()),
            "code": pa.array([1.0, None, 2.0, 2.0]),
            "words": pa.array(["a", "b", None, "a"]).dictionary_encode(),
            "bytes": pa.array([b"a", b"b", None, b"c"]),
            "money": pa.array([1, 2, 3, 4], pa.decimal128(10, 2)),
            "list": [[1], [], None, [2]],
            "flag": [True, False, None, True],
        }
    )
    path = tmp_path / "types.parquet"
    pq.write_table(table, path)
    names = tuple(n for n in table.column_names if n not in ("ts", "naive", "text"))
    for time in ("ts", "naive", "text"):
        model = Model(topic=("t",), fields=Fields(time=time, features=names), columns={"code": "categorical"})
        batch, dead = read(path, model)
        assert not dead
        expected = [1_704_067_200_500 + 1000 * i for i in range(4)]
        assert batch.times_ms.tolist()[:3] == expected[:3]
    found = {c.name: c for c in batch.features}
    assert found["small"].kinds.tolist() == [NUMBER, MISSING, NUMBER, NUMBER]
    assert found["single"].kinds.tolist() == [NUMBER, NONFINITE, NONFINITE, MISSING]
    assert found["huge"].numbers[0] == 2.0**64
    assert [found["code"].words[c] for c in found["code"].codes.tolist() if c >= 0] == ["1", "2", "2"]
    assert found["words"].kinds.tolist() == [TEXT, TEXT, MISSING, TEXT]
    assert found["bytes"].words == ("a", "b", "c")
    assert found["money"].numbers.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert found["flag"].words == ("true", "false")


def test_cells_of_a_csv(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_bytes(
        b"\xef\xbb\xbfid,ts,amount,f.country,model.version,prediction,score,truth\r\n"
        b"1,1700000000,1.5,007,1.0,1,0.5,1\r\n"
        b'2,2023-11-14 22:13:20,x,"a,b",1.0,0,,\r\n'
        b"3,2023-11-14T22:13:20Z,nan,,1.0,true,1e-3,0\r\n"
        b"4,nonsense,1,de,1.0,1,0.5,1\r\n"
        b"5,1700000000,1\r\n"
        b",1700000000,1,de,1.0,1,0.5,1\r\n"
        b"7,1700000000,1,de,1.0,1,high,1\r\n"
        b'8,1700000000,1,"d\ne",1.0,1,0.5,1\r\n'
    )
    batch, dead = read(path, MODEL)
    assert dead == [(3, "bad_time"), (4, "not_an_object"), (5, "missing_field"), (6, "wrong_type")]
    assert batch.offsets.tolist() == [0, 1, 2, 7]
    assert batch.times_ms.tolist() == [1_700_000_000_000] * 4
    assert batch.versions == ("1.0",)
    assert batch.ids == ["1", "2", "3", "8"]
    amount = batch.features[0]
    assert amount.kinds.tolist() == [NUMBER, TEXT, NONFINITE, NUMBER]
    segment = batch.segments["f.country"]
    assert [segment.words[c] if c >= 0 else None for c in segment.codes.tolist()] == ["007", "a,b", None, "d\ne"]


def test_lines_of_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    good = json.dumps(rows(1)[0]).encode()
    path.write_bytes(b"\n".join([good, b"{", b"", b"\xff", b"[]", good, b'{"ts": 1}', good]))
    batch, dead = read(path, MODEL)
    assert dead == [(1, "not_json"), (2, "not_utf8"), (3, "not_an_object"), (5, "missing_field")]
    assert batch.offsets.tolist() == [0, 4, 6]


@pytest.mark.parametrize("end", [".parquet", ".csv", ".jsonl"])
def test_pieces_are_the_whole(tmp_path: Path, end: str) -> None:
    events = rows(100)
    events[50]["id"] = None
    path = write(tmp_path / f"ref{end}", events)
    plan = event_plan("m", Config(models={"m": MODEL}), flat=True)
    whole, dead = read(path, MODEL)
    assert dead == [(50, "missing_field")]
    found, letters = [], []
    piece: Any
    for piece in pieces(File(path), plan, None, 7):
        batch, refused = _events(piece.rows, piece, plan, None)
        found.append(batch)
        letters += [(d.index, d.reason) for d in refused + piece.dead]
    assert [len(b) for b in found if len(b)] == [7] * 7 + [6] + [7] * 6 + [2]
    assert letters == dead
    assert np.concatenate([b.offsets for b in found]).tolist() == whole.offsets.tolist()
    assert np.concatenate([b.times_ms for b in found]).tolist() == whole.times_ms.tolist()
    assert (
        np.concatenate([b.features[0].numbers for b in found if len(b)]).tolist() == whole.features[0].numbers.tolist()
    )


def mistake(path: Path, model: Model = MODEL) -> str:
    with pytest.raises(ConfigError) as caught:
        prepared(path, model)
    return str(caught.value)


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    assert "No such file" in mistake(tmp_path / "none.parquet")
    assert "No such file" in mistake(tmp_path / "none.csv")
    assert "No such file" in mistake(tmp_path / "none.jsonl")
    assert "known: .parquet" in mistake(write(tmp_path / "ref.parquet", rows(2)).rename(tmp_path / "ref.xlsx"))
    (tmp_path / "junk.parquet").write_bytes(b"junk")
    assert "cannot be read" in mistake(tmp_path / "junk.parquet")
    (tmp_path / "empty.csv").write_bytes(b"")
    assert "cannot be read" in mistake(tmp_path / "empty.csv")
    (tmp_path / "latin.csv").write_bytes(b"amount\n\xff\n")
    assert "UTF8" in mistake(tmp_path / "latin.csv")
    (tmp_path / "empty.jsonl").write_bytes(b"\n")
    assert "has no rows" in mistake(tmp_path / "empty.jsonl")
    pq.write_table(pa.table({"amount": pa.array([], pa.float64())}), tmp_path / "no rows.parquet")
    assert "has no rows" in mistake(tmp_path / "no rows.parquet")
    said = mistake(write(tmp_path / "other.parquet", [{"x": 1, "y": 2}]))
    assert "has no column of the model's fields; it has: x y" in said
    said = mistake(write(tmp_path / "times.parquet", [{"ts": "soon", "amount": 1.0}] * 3))
    assert "3 of 3 rows cannot be read: 3 bad_time (row 0: ts: 'soon')" in said
    assert "models.m.reference.file" in said


def test_no_file() -> None:
    model = dataclasses.replace(MODEL, reference=config.Reference(first=10))
    assert prepare("m", model, Path()) == Prepared(layout=None, reference=None)
