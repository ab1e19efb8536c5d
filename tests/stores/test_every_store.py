"""What every store promises, in memory and on a real Redis alike."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.memory import MemoryLabelStore, MemoryOutbox, MemoryStatusStore
from connectors.redis import RedisOutbox, RedisStatusStore
from connectors.redis_labels import LABELS_PAUSE_SECONDS, RedisLabelStore
from deploy.kafka.node import free_port
from stream_monitor.interfaces import Document, Joined, Label, LabelAnswer, LabelStore, Notice, Prediction, StatusStore
from stream_monitor.status.documents import position
from tests.servers import redis_ready, redis_server

LIMITS = {"window": 5}
_prefixes = (f"test{n}." for n in itertools.count())

# Each makes an empty store; the second argument is Redis's address.
STATUS_STORES: dict[str, Callable[[str], MemoryStatusStore | RedisStatusStore]] = {
    "memory": lambda _: MemoryStatusStore(LIMITS),
    "redis": lambda url: RedisStatusStore(url, next(_prefixes), LIMITS),
}
LABEL_STORES: dict[str, Callable[[str], MemoryLabelStore | RedisLabelStore]] = {
    "memory": lambda _: MemoryLabelStore(),
    "redis": lambda url: RedisLabelStore(url, next(_prefixes)),
}
OUTBOXES: dict[str, Callable[[str], MemoryOutbox | RedisOutbox]] = {
    "memory": lambda _: MemoryOutbox(remember_seconds=3),
    "redis": lambda url: RedisOutbox(url, next(_prefixes), remember_seconds=3),
}


@pytest.fixture(params=["memory", "redis"])
def twin(request: pytest.FixtureRequest) -> tuple[str, str]:
    """(name of the twin, Redis's address): Redis is started only for its own tests."""
    name: str = request.param
    return name, request.getfixturevalue("redis_url") if name == "redis" else ""


def with_status_store(twin: tuple[str, str], check: Callable[[StatusStore], Awaitable[None]]) -> None:
    async def run() -> None:
        store = STATUS_STORES[twin[0]](twin[1])
        try:
            await check(store)
        finally:
            await store.close()

    asyncio.run(run())


def document(id: str, order: str = "", revision: int = 1, body: bytes = b"{}", **more: Any) -> Document:
    fields: dict[str, Any] = {"kind": "verdict", "scope": "fraud", **more}
    return Document(id=id, order=order or id, revision=revision, body=body, **fields)


def test_a_document_is_given_back_as_it_was_put(twin: tuple[str, str]) -> None:
    async def check(store: StatusStore) -> None:
        some = document("é\n:{}", "2026-01-01T00:00:00Z", 1_753_000_000_123, b'{"a":"\xc3\xa9"}' * 1000, ttl_seconds=60)
        await store.put([some])
        assert await store.get("verdict", "fraud", some.id) == some
        assert await store.page("verdict", "fraud") == [some]
        assert await store.get("verdict", "fraud", "other") is None
        assert await store.get("verdict", "other", some.id) is None
        assert await store.get("alert", "fraud", some.id) is None
        await store.ping()

    with_status_store(twin, check)


def test_the_greatest_revision_stays(twin: tuple[str, str]) -> None:
    async def check(store: StatusStore) -> None:
        first, second = document("a", revision=1, body=b"1"), document("a", revision=2, body=b"2")
        await store.put([second])
        await store.put([first])
        assert await store.page("verdict", "fraud") == [second]
        await store.put([second, second])
        assert await store.page("verdict", "fraud") == [second]
        moved = document("a", "z", revision=3)  # a new place in the list: not listed twice
        await store.put([document("b"), moved])
        assert [d.id for d in await store.page("verdict", "fraud")] == ["b", "a"]
        assert await store.get("verdict", "fraud", "a") == moved

    with_status_store(twin, check)


def test_pages_follow_each_other_in_order(twin: tuple[str, str]) -> None:
    async def check(store: StatusStore) -> None:
        days = [document(f"{n % 3}", f"2026-01-{n:02}") for n in range(1, 10)]
        for n, day in enumerate(days):
            await store.put([document(f"v{n}", day.order)])
        await store.put([document("w0", "2026-01-01")])  # same order: by id
        seen: list[str] = []
        after = ""
        while found := await store.page("verdict", "fraud", after=after, limit=4):
            assert len(found) <= 4
            seen += [d.id for d in found]
            after = position(found[-1])
        assert seen == ["v0", "w0", *[f"v{n}" for n in range(1, 9)]]

        async def ids(**bounds: Any) -> list[str]:
            return [d.id for d in await store.page("verdict", "fraud", **bounds)]

        assert await ids(start="2026-01-03", stop="2026-01-05") == ["v2", "v3"]
        assert await ids(start="2026-01-03", stop="2026-01-05", backwards=True) == ["v3", "v2"]
        assert await ids(backwards=True, limit=2) == ["v8", "v7"]
        assert await ids(backwards=True, after="2026-01-08\x00v7", limit=2) == ["v6", "v5"]
        assert await ids(backwards=True, after="2026-01-09\x00v8", stop="2026-01-03", limit=1) == ["v1"]
        assert await ids(after="2026-01-01\x00w0", start="2026-01-08") == ["v7", "v8"]
        assert await ids(start="2026-01-05", stop="2026-01-05") == []
        assert await store.page("verdict", "no such model") == []

    with_status_store(twin, check)


def test_no_more_than_the_limit_are_kept_the_latest(twin: tuple[str, str]) -> None:
    async def check(store: StatusStore) -> None:
        await store.put([document(str(n), kind="window") for n in range(9)])
        await store.put([document("00", kind="window"), document("5", revision=2, kind="window")])
        assert [d.id for d in await store.page("window", "fraud")] == ["4", "5", "6", "7", "8"]
        assert await store.get("window", "fraud", "3") is None
        await store.put([document("0", kind="window", scope="other")])
        assert len(await store.page("window", "fraud")) == 5

    with_status_store(twin, check)


def test_a_document_with_a_time_to_live_goes(twin: tuple[str, str]) -> None:
    async def check(store: StatusStore) -> None:
        await store.put([document("short", kind="tap", scope="", ttl_seconds=100)])
        await store.put([document("long", kind="tap", scope="", ttl_seconds=100)])
        assert len(await store.page("tap", "")) == 2
        await store.put([document("short", kind="tap", scope="", revision=2, ttl_seconds=1)])
        await store.put([document("only", kind="worker", scope="", ttl_seconds=1)])
        await asyncio.sleep(1.1)
        assert [d.id for d in await store.page("tap", "")] == ["long"]
        assert await store.get("tap", "", "short") is None
        assert await store.scopes("worker") == []
        await store.put([document("short", kind="tap", scope="", revision=0, ttl_seconds=100)])
        assert len(await store.page("tap", "")) == 2

    with_status_store(twin, check)


def test_scopes_are_those_that_have_documents(twin: tuple[str, str]) -> None:
    async def check(store: StatusStore) -> None:
        assert await store.scopes("verdict") == []
        await store.put([document("a", scope="é:b"), document("a", scope=""), document("a", kind="alert", scope="c")])
        assert await store.scopes("verdict") == ["", "é:b"]

    with_status_store(twin, check)


@pytest.fixture
def label_store(twin: tuple[str, str]) -> Iterator[LabelStore]:
    store = LABEL_STORES[twin[0]](twin[1])
    yield store
    store.close()


def prediction(id: str, position: str = "p:0:1", **more: Any) -> Prediction:
    fields = {"time_ms": 1000, "version": "3", "segments": ("country=de",), "prediction": 1.0, "score": 0.25, **more}
    return Prediction(id=id, position=position, **fields)


def label(id: str, position: str = "l:0:1", label: float | str | None = 1.0, time_ms: int = 2000) -> Label:
    return Label(id=id, position=position, time_ms=time_ms, label=label)


HOUR_MS = 3_600_000


def test_a_label_after_its_prediction_is_joined(label_store: LabelStore) -> None:
    p, x = prediction("é\x00", score={"a": 0.5, "b": 0.5}, prediction="a"), label("é\x00", label="a")
    assert label_store.predictions("m", [p], HOUR_MS) == [None]
    for _ in range(2):  # the second is a replay
        assert label_store.labels("m", [x], HOUR_MS) == [Joined(p, x)]
        assert label_store.predictions("m", [p], HOUR_MS) == [None]
    assert label_store.labels("another model", [x], HOUR_MS) == ["waiting"]
    label_store.ping()


def test_a_label_before_its_prediction_waits(label_store: LabelStore) -> None:
    p, x = prediction("a", prediction=None, score=None, segments=()), label("a", label=None)
    assert label_store.labels("m", [x], HOUR_MS) == ["waiting"]
    for _ in range(2):
        assert label_store.predictions("m", [p], HOUR_MS) == [Joined(p, x)]
        assert label_store.labels("m", [x], HOUR_MS) == ["waiting"]


def test_the_first_label_wins(label_store: LabelStore) -> None:
    p, x = prediction("a"), label("a", label=1)
    same, later = label("a", "l:0:2", 1.0), label("a", "l:0:3", True, time_ms=9000)
    other, text = label("a", "l:0:4", 0.0), label("a", "l:0:5", "1")
    label_store.predictions("m", [p], HOUR_MS)
    answers = label_store.labels("m", [x, same, later, other, text], HOUR_MS)
    assert answers == [Joined(p, x), "duplicate", "duplicate", "conflict", "conflict"]
    assert label_store.labels("m", [text, other, later, same, x], HOUR_MS) == answers[::-1]
    assert label_store.labels("n", [other, x], HOUR_MS) == ["waiting", "conflict"]
    assert label_store.labels("n", [label("nan", "1", float("nan")), label("nan", "2", float("nan"))], HOUR_MS) == [
        "waiting",
        "duplicate",
    ]


def test_a_second_prediction_of_an_id_neither_joins_nor_replaces(label_store: LabelStore) -> None:
    first, second, x = prediction("a"), prediction("a", "p:0:2", version="4"), label("a")
    assert label_store.predictions("m", [first, second], HOUR_MS) == [None, None]
    assert label_store.labels("m", [x], HOUR_MS) == [Joined(first, x)]
    assert label_store.labels("n", [x], HOUR_MS) == ["waiting"]
    assert label_store.predictions("n", [first, second], HOUR_MS) == [Joined(first, x), None]


def test_an_id_is_forgotten_after_its_time_to_live(label_store: LabelStore) -> None:
    label_store.predictions("m", [prediction("gone")], 200)
    label_store.predictions("m", [prediction("kept")], HOUR_MS)
    time.sleep(0.3)
    assert label_store.labels("m", [label("gone")], HOUR_MS) == ["waiting"]
    assert isinstance(label_store.labels("m", [label("kept")], HOUR_MS)[0], Joined)


def test_batches_larger_than_a_script_keep_their_order(label_store: LabelStore) -> None:
    ids = [str(n) for n in range(1000)]
    assert label_store.predictions("m", [prediction(i, f"p:{i}") for i in ids], HOUR_MS) == [None] * 1000
    answers = label_store.labels("m", [label(i, f"l:{i}") for i in reversed(ids)], HOUR_MS)
    assert [a.prediction.position for a in answers if isinstance(a, Joined)] == [f"p:{i}" for i in reversed(ids)]
    assert label_store.labels("m", [], HOUR_MS) == [] == label_store.predictions("m", [], HOUR_MS)


def test_each_pair_is_counted_once_by_two_taps_at_the_same_time(label_store: LabelStore) -> None:
    ids = [str(n) for n in range(2000)]
    joined: list[Joined] = []

    def predict() -> None:
        for i in ids:
            joined.extend(a for a in label_store.predictions("m", [prediction(i, f"p:{i}")], HOUR_MS) if a)

    def tell() -> None:
        for i in ids:
            answers = label_store.labels("m", [label(i, f"l:{i}")], HOUR_MS)
            joined.extend(a for a in answers if isinstance(a, Joined))

    threads = [threading.Thread(target=predict), threading.Thread(target=tell)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(j.label.id for j in joined) == sorted(ids)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=st.lists(
        st.tuples(st.booleans(), st.sampled_from("ab"), st.integers(0, 4), st.sampled_from([0.0, 1.0])), max_size=14
    ),
    replay_from=st.integers(0, 14),
)
def test_whatever_is_replayed_gets_its_answer_again(
    twin: tuple[str, str], events: list[tuple[bool, str, int, float]], replay_from: int
) -> None:
    store = LABEL_STORES[twin[0]](twin[1])

    def tell(is_label: bool, id: str, offset: int, value: float) -> LabelAnswer | None:
        if is_label:
            return store.labels("m", [label(id, f"l:{offset}:{id}:{value}", value)], HOUR_MS)[0]
        return store.predictions("m", [prediction(id, f"p:{offset}:{id}")], HOUR_MS)[0]

    first: dict[tuple[bool, str, int, float], LabelAnswer | None] = {}
    for event in events:
        key = event if event[0] else (*event[:3], 0.0)
        answer = tell(*event)
        assert first.setdefault(key, answer) == answer
    for event in events[replay_from:]:
        assert tell(*event) == first[event if event[0] else (*event[:3], 0.0)]
    pairs = [a for a in first.values() if isinstance(a, Joined)]
    assert len(pairs) == len({p.prediction.id for p in pairs})  # each id is counted once
    store.close()


def notice(id: str, target: str = "slack", due_ms: int = 0) -> Notice:
    return Notice(id=id, kind="alert", target=target, body={"a": [1, "é"]}, first_ms=5, due_ms=due_ms)


def with_outbox(twin: tuple[str, str], check: Callable[[MemoryOutbox | RedisOutbox], Awaitable[None]]) -> None:
    async def run() -> None:
        outbox = OUTBOXES[twin[0]](twin[1])
        try:
            await check(outbox)
        finally:
            await outbox.close()

    asyncio.run(run())


def test_a_notice_is_claimed_by_one_until_its_lease_ends(twin: tuple[str, str]) -> None:
    async def check(outbox: MemoryOutbox | RedisOutbox) -> None:
        await outbox.add([notice("late", due_ms=2000), notice("b", due_ms=10), notice("a", due_ms=20)])
        await outbox.add([])
        assert await outbox.claim(1000, 500, 1) == [notice("b", due_ms=10)]
        assert await outbox.claim(1000, 500, 9) == [notice("a", due_ms=20)]
        assert await outbox.claim(1499, 500, 9) == []
        assert [n.id for n in await outbox.claim(1500, 500, 9)] == ["a", "b"]
        assert [n.id for n in await outbox.claim(2000, 500, 9)] == ["a", "b", "late"]

    with_outbox(twin, check)


def test_a_notice_that_failed_comes_back_with_one_attempt_more(twin: tuple[str, str]) -> None:
    async def check(outbox: MemoryOutbox | RedisOutbox) -> None:
        await outbox.add([notice("a")])
        (claimed,) = await outbox.claim(0, 500, 9)
        await outbox.retry(claimed, 3000)
        assert await outbox.claim(2999, 500, 9) == []
        (again,) = await outbox.claim(3000, 500, 9)
        assert (again.attempts, again.due_ms, again.body) == (1, 3000, claimed.body)
        await outbox.done(again)
        await outbox.retry(again, 4000)  # from one whose lease had ended
        assert await outbox.claim(9999, 500, 9) == []

    with_outbox(twin, check)


def test_a_notice_that_is_added_twice_is_delivered_once(twin: tuple[str, str]) -> None:
    async def check(outbox: MemoryOutbox | RedisOutbox) -> None:
        await outbox.add([notice("a"), notice("a"), notice("a", "webhook[1]")])
        claimed = await outbox.claim(0, 500, 9)
        assert sorted(n.target for n in claimed) == ["slack", "webhook[1]"]
        for one in claimed:
            await outbox.done(one)
        await outbox.add([notice("a")])
        assert await outbox.claim(9999, 500, 9) == []
        await asyncio.sleep(3.1)  # this outbox remembers for three seconds
        await outbox.add([notice("a")])
        assert len(await outbox.claim(9999, 500, 9)) == 1

    with_outbox(twin, check)


def test_redis_that_is_gone_is_a_connection_error_without_the_password() -> None:
    url = f"redis://:hunter2@127.0.0.1:{free_port()}/0"

    async def check() -> None:
        store, outbox = RedisStatusStore(url), RedisOutbox(url)
        for call in (store.ping(), store.scopes("model"), outbox.claim(0, 1, 1), store.put([document("a")])):
            with pytest.raises(ConnectionError) as error:
                await call
            assert "hunter2" not in str(error.value)
        await store.close()
        await outbox.close()

    asyncio.run(check())
    with pytest.raises(ConnectionError):
        RedisLabelStore(url).ping()


def test_a_silent_redis_is_waited_for_once_a_while(tmp_path: Path) -> None:
    """Many blocks may need it: the first one waits, the others are told, until it is asked again, by a short ping."""
    server = redis_server(tmp_path)
    server.start(redis_ready(server))
    now, row = [0.0], Prediction("a", "t/0/1", 0, "", (), 1.0, None)
    try:
        with closing(RedisLabelStore(f"redis://127.0.0.1:{server.port}/0", clock=lambda: now[0])) as store:
            assert store.predictions("m", [row], 1_000) == [None]
            server.freeze()
            for told in ("no answer within 2 s", "asked again soon", "asked again soon"):
                with pytest.raises(ConnectionError, match=told):
                    store.predictions("m", [row], 1_000)
            now[0] = LABELS_PAUSE_SECONDS
            for told in ("no answer within 0.25 s", "asked again soon"):
                with pytest.raises(ConnectionError, match=told):
                    store.predictions("m", [row], 1_000)
            server.thaw()
            now[0] *= 2
            assert store.predictions("m", [row], 1_000) == [None]
    finally:
        server.thaw()
        server.stop()
