"""The stores in Redis 6 or later: StatusStore, LabelStore and Outbox of interfaces.py.

Every change is one Lua script, which Redis runs alone, so that two processes cannot interleave; every script may be
sent again, so that the client's own retries after a lost connection are safe. All errors are ConnectionError.
Keys begin with a prefix in braces, so that a deployment has its own and a cluster keeps them together.

Why EVAL and not EVALSHA: the text is small beside a batch, and there is nothing to load again after a restart.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import redis
import redis.asyncio

from stream_monitor.interfaces import Document, Joined, Label, LabelAnswer, Notice, Prediction
from stream_monitor.status.documents import DEFAULT_LIMIT, LIMITS, squeeze, unsqueeze

BATCH: Final = 256  # documents or rows per script, so that no script holds Redis up for more than about 5 ms
TIMEOUT_SECONDS: Final = 5.0
REMEMBER_SECONDS: Final = 2 * 86_400  # how long a notice is remembered against being added again

# A document is kept in a hash (id -> HEADER order body), its place in a sorted set of "order\0id", and, with a time to
# live, its expiry in another sorted set.
_HEADER: Final = struct.Struct(">dII")  # revision, ttl_seconds, bytes of order

_DROP_EXPIRED: Final = """
local documents, places, expiries = KEYS[1], KEYS[2], KEYS[3]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function place(id, value)
  local _, _, n = struct.unpack('>dI4I4', value)
  return string.sub(value, 17, 16 + n) .. '\\0' .. id
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', expiries, '-inf', now)) do
  redis.call('ZREM', places, place(id, redis.call('HGET', documents, id)))
  redis.call('HDEL', documents, id)
  redis.call('ZREM', expiries, id)
end
"""

_PUT: Final = (
    _DROP_EXPIRED
    + """
for i = 3, #ARGV, 2 do
  local id, value = ARGV[i], ARGV[i + 1]
  local revision, ttl = struct.unpack('>dI4I4', value)
  local old = redis.call('HGET', documents, id)
  if not old or struct.unpack('>d', old) <= revision then
    if old then redis.call('ZREM', places, place(id, old)) end
    redis.call('HSET', documents, id, value)
    redis.call('ZADD', places, 0, place(id, value))
    if ttl > 0 then redis.call('ZADD', expiries, now + ttl * 1000, id) else redis.call('ZREM', expiries, id) end
  end
end
local over = redis.call('ZCARD', places) - tonumber(ARGV[1])
if over > 0 then
  for _, at in ipairs(redis.call('ZRANGE', places, 0, over - 1)) do
    local id = string.match(at, '%z([^%z]*)$')
    redis.call('HDEL', documents, id)
    redis.call('ZREM', expiries, id)
  end
  redis.call('ZREMRANGEBYRANK', places, 0, over - 1)
end
redis.call('SADD', KEYS[4], ARGV[2])
"""
)

_GET: Final = _DROP_EXPIRED + "return redis.call('HGET', documents, ARGV[1])"

_PAGE: Final = (
    _DROP_EXPIRED
    + """
local found = redis.call(ARGV[1], places, ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])
local answer = {}
for _, at in ipairs(found) do
  local id = string.match(at, '%z([^%z]*)$')
  answer[#answer + 1] = id
  answer[#answer + 1] = redis.call('HGET', documents, id)
end
return answer
"""
)

_COUNT: Final = _DROP_EXPIRED + "return redis.call('ZCARD', places)"


@contextmanager
def _errors() -> Iterator[None]:
    """One kind of error for everything that Redis or the way to it may do wrong."""
    try:
        yield
    except redis.RedisError as error:
        raise ConnectionError(f"redis: {error}") from error


class RedisStatusStore:
    """StatusStore in Redis. Use it from one event loop."""

    def __init__(self, url: str, prefix: str = "stream-monitor.", limits: Mapping[str, int] = LIMITS) -> None:
        self._prefix = f"{{{prefix}}}status:"
        self._limits = limits
        self._client = redis.asyncio.Redis.from_url(
            url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
        )

    async def put(self, documents: Sequence[Document]) -> None:
        groups: dict[tuple[str, str], list[Document]] = {}
        for document in documents:
            groups.setdefault((document.kind, document.scope), []).append(document)
        with _errors():
            pipeline = self._client.pipeline(transaction=False)
            for (kind, scope), group in groups.items():
                for first in range(0, len(group), BATCH):
                    arguments: list[str | bytes | int] = [self._limits.get(kind, DEFAULT_LIMIT), scope]
                    for document in group[first : first + BATCH]:
                        arguments += [document.id, _pack(document)]
                    pipeline.eval(_PUT, 4, *self._keys(kind, scope), *arguments)
            await pipeline.execute()

    async def get(self, kind: str, scope: str, id: str) -> Document | None:
        with _errors():
            value = await self._eval(_GET, self._keys(kind, scope), id)
        return _unpack(kind, scope, id, value) if value else None

    async def page(
        self,
        kind: str,
        scope: str,
        *,
        after: str = "",
        start: str = "",
        stop: str = "",
        limit: int = 100,
        backwards: bool = False,
    ) -> list[Document]:
        low = f"[{start}" if start else "-"
        high = f"({stop}" if stop else "+"
        if after and backwards and (not stop or after.encode() < stop.encode()):
            high = f"({after}"
        elif after and not backwards and after.encode() >= start.encode():
            low = f"({after}"
        span = ("ZREVRANGEBYLEX", high, low) if backwards else ("ZRANGEBYLEX", low, high)
        with _errors():
            found = await self._eval(_PAGE, self._keys(kind, scope), *span, limit)
        return [_unpack(kind, scope, id.decode(), value) for id, value in zip(found[::2], found[1::2], strict=True)]

    async def scopes(self, kind: str) -> list[str]:
        with _errors():
            members: set[bytes] = await _awaited(self._client.smembers(self._keys(kind, "")[3]))
            scopes = sorted(m.decode() for m in members)
            pipeline = self._client.pipeline(transaction=False)
            for scope in scopes:
                pipeline.eval(_COUNT, 4, *self._keys(kind, scope))
            counts = await pipeline.execute()
        return [scope for scope, count in zip(scopes, counts, strict=True) if count]

    async def ping(self) -> None:
        with _errors():
            await _awaited(self._client.ping())

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    def _keys(self, kind: str, scope: str) -> list[str]:
        base = f"{self._prefix}{kind}:"
        return [f"{base}documents:{scope}", f"{base}places:{scope}", f"{base}expiries:{scope}", f"{base}scopes"]

    async def _eval(self, script: str, keys: Sequence[str], *arguments: str | int) -> Any:
        return await _awaited(self._client.eval(script, len(keys), *keys, *arguments))


async def _awaited(answer: Any) -> Any:
    """The client's methods are typed for its blocking twin too."""
    return await answer


def _pack(document: Document) -> bytes:
    order = document.order.encode()
    return _HEADER.pack(document.revision, document.ttl_seconds, len(order)) + order + squeeze(document.body)


def _unpack(kind: str, scope: str, id: str, value: bytes) -> Document:
    revision, ttl, length = _HEADER.unpack_from(value)
    body = _HEADER.size + length
    return Document(
        kind=kind,
        scope=scope,
        id=id,
        order=value[_HEADER.size : body].decode(),
        revision=int(revision),
        body=unsqueeze(value[body:]),
        ttl_seconds=ttl,
    )


# An id's key holds a state and then, each behind its length: position and content of the prediction, position and
# content of the label. States: p, l (one of them waits), P, L (a pair; the letter says which of the two came second).
# Contents begin with 8 bytes of time, which is not compared: a label said again later is a duplicate.
_JOIN: Final = """
local ours, theirs = ARGV[1], ARGV[2]  -- 'p', 'l' or 'l', 'p'
local pair, ttl = string.upper(ours), ARGV[3]
local answers = {}
local function take(value, at)
  local n = struct.unpack('>I4', value, at)
  return string.sub(value, at + 4, at + 3 + n), at + 4 + n
end
local function give(text) return struct.pack('>I4', #text) .. text end
for i = 1, #KEYS do
  local key, at, content = KEYS[i], ARGV[2 + 2 * i], ARGV[3 + 2 * i]
  local value = redis.call('GET', key)
  local answer = 'w'
  if not value then
    redis.call('SET', key, ours .. give(at) .. give(content), 'PX', ttl)
  else
    local state = string.sub(value, 1, 1)
    if state == theirs then
      local second = give(at) .. give(content)
      local both = ours == 'l' and string.sub(value, 2) .. second or second .. string.sub(value, 2)
      redis.call('SET', key, pair .. both, 'PX', ttl)
      answer = 'j' .. both
    else
      local from = 2
      if ours == 'l' and state ~= 'l' then
        local _
        _, from = take(value, from)
        _, from = take(value, from)
      end
      local known, next = take(value, from)
      if known == at then
        if state == pair then answer = 'j' .. string.sub(value, 2) end
      else
        answer = string.sub(take(value, next), 9) == string.sub(content, 9) and 'd' or 'c'
      end
    end
  end
  answers[i] = answer
end
return answers
"""


_TIME: Final = struct.Struct(">q")


class RedisLabelStore:
    """LabelStore in Redis; about 180 bytes a prediction. May be used from any thread."""

    def __init__(self, url: str, prefix: str = "stream-monitor.") -> None:
        self._prefix = f"{{{prefix}}}labels:"
        self._client = redis.Redis.from_url(url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS)

    def predictions(self, model: str, rows: Sequence[Prediction], ttl_ms: int) -> list[Joined | None]:
        events = [(r.id, r.position, r.time_ms, (r.version, r.segments, r.prediction, r.score)) for r in rows]
        return [
            _joined(row.id, answer) if answer[:1] == b"j" else None
            for row, answer in zip(rows, self._join("p", "l", model, events, ttl_ms), strict=True)
        ]

    def labels(self, model: str, rows: Sequence[Label], ttl_ms: int) -> list[LabelAnswer]:
        events = [(r.id, r.position, r.time_ms, _plain_label(r.label)) for r in rows]
        words: dict[bytes, LabelAnswer] = {b"w": "waiting", b"d": "duplicate", b"c": "conflict"}
        return [
            words[answer] if answer in words else _joined(row.id, answer)
            for row, answer in zip(rows, self._join("l", "p", model, events, ttl_ms), strict=True)
        ]

    def ping(self) -> None:
        with _errors():
            self._client.ping()

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    def _join(
        self, ours: str, theirs: str, model: str, events: Sequence[tuple[str, str, int, Any]], ttl_ms: int
    ) -> list[bytes]:
        keys = f"{self._prefix}{len(model)}:{model}:"
        encode = msgspec.msgpack.Encoder().encode
        with _errors():
            pipeline = self._client.pipeline(transaction=False)
            for first in range(0, len(events), BATCH):
                batch = events[first : first + BATCH]
                arguments: list[Any] = [keys + event[0] for event in batch]
                arguments += (ours, theirs, ttl_ms)
                for _, at, time_ms, content in batch:
                    arguments += (at, _TIME.pack(time_ms) + encode(content))
                pipeline.eval(_JOIN, len(batch), *arguments)
            return [answer for answers in pipeline.execute() for answer in answers]


def _plain_label(label: float | str | None) -> float | str | None:
    """Equal labels as equal bytes: 1, 1.0 and true are one; so are 0.0 and -0.0."""
    return float(label) + 0.0 if isinstance(label, int | float) else label


def _joined(id: str, answer: bytes) -> Joined:
    parts, at = [], 1
    while at < len(answer):
        (length,) = struct.unpack_from(">I", answer, at)
        parts.append(answer[at + 4 : at + 4 + length])
        at += 4 + length
    (predicted_ms,), (labelled_ms,) = _TIME.unpack_from(parts[1]), _TIME.unpack_from(parts[3])
    version, segments, prediction, score = msgspec.msgpack.decode(parts[1][_TIME.size :])
    label = msgspec.msgpack.decode(parts[3][_TIME.size :])
    return Joined(
        Prediction(id, parts[0].decode(), predicted_ms, version, tuple(segments), prediction, score),
        Label(id, parts[2].decode(), labelled_ms, label),
    )


# Notices wait in a hash ("target\0id" -> notice) and, by the time they may be claimed, in a sorted set.
_ADD: Final = """
for i = 3, #KEYS do
  local at = 1 + 3 * (i - 3)
  if redis.call('SET', KEYS[i], '1', 'NX', 'EX', ARGV[#ARGV]) then
    redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
    redis.call('ZADD', KEYS[2], ARGV[at + 2], ARGV[at])
  end
end
"""

_CLAIM: Final = """
local answer = {}
for i, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])) do
  redis.call('ZADD', KEYS[2], ARGV[2], name)
  answer[i] = redis.call('HGET', KEYS[1], name)
end
return answer
"""

_RETRY: Final = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
end
"""

_DONE: Final = """
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
"""


class RedisOutbox:
    """Outbox in Redis. Use it from one event loop."""

    def __init__(self, url: str, prefix: str = "stream-monitor.", remember_seconds: float = REMEMBER_SECONDS) -> None:
        self._prefix = f"{{{prefix}}}outbox:"
        self._remember_seconds = max(1, round(remember_seconds))
        self._client = redis.asyncio.Redis.from_url(
            url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
        )

    async def add(self, notices: Sequence[Notice]) -> None:
        for first in range(0, len(notices), BATCH):
            batch = notices[first : first + BATCH]
            arguments: list[str | bytes | int] = []
            for notice in batch:
                arguments += [_name(notice), msgspec.json.encode(notice), notice.due_ms]
            seen = [f"{self._prefix}seen:{_name(notice)}" for notice in batch]
            await self._eval(_ADD, seen, *arguments, self._remember_seconds)

    async def claim(self, now_ms: int, lease_ms: int, limit: int) -> list[Notice]:
        found: list[bytes] = await self._eval(_CLAIM, (), now_ms, now_ms + lease_ms, limit)
        return [msgspec.json.decode(data, type=Notice) for data in found]

    async def retry(self, notice: Notice, due_ms: int) -> None:
        again = msgspec.structs.replace(notice, attempts=notice.attempts + 1, due_ms=due_ms)
        await self._eval(_RETRY, (), _name(notice), msgspec.json.encode(again), due_ms)

    async def done(self, notice: Notice) -> None:
        await self._eval(_DONE, (), _name(notice))

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    async def _eval(self, script: str, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        with _errors():
            all_keys = [f"{self._prefix}notices", f"{self._prefix}due", *keys]
            return await _awaited(self._client.eval(script, len(all_keys), *all_keys, *arguments))


def _name(notice: Notice) -> str:
    return f"{notice.target}\x00{notice.id}"
