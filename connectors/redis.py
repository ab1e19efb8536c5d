"""The stores in Redis 6 or later: StatusStore and Outbox of interfaces.py; redis_labels.py has the LabelStore.

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

from stream_monitor.interfaces import Document, Notice
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
def errors() -> Iterator[None]:
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
        with errors():
            pipeline = self._client.pipeline(transaction=False)
            for (kind, scope), group in groups.items():
                for first in range(0, len(group), BATCH):
                    arguments: list[str | bytes | int] = [self._limits.get(kind, DEFAULT_LIMIT), scope]
                    for document in group[first : first + BATCH]:
                        arguments += [document.id, _pack(document)]
                    pipeline.eval(_PUT, 4, *self._keys(kind, scope), *arguments)
            await pipeline.execute()

    async def get(self, kind: str, scope: str, id: str) -> Document | None:
        with errors():
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
        with errors():
            found = await self._eval(_PAGE, self._keys(kind, scope), *span, limit)
        return [_unpack(kind, scope, id.decode(), value) for id, value in zip(found[::2], found[1::2], strict=True)]

    async def scopes(self, kind: str) -> list[str]:
        with errors():
            members: set[bytes] = await _awaited(self._client.smembers(self._keys(kind, "")[3]))
            scopes = sorted(m.decode() for m in members)
            pipeline = self._client.pipeline(transaction=False)
            for scope in scopes:
                pipeline.eval(_COUNT, 4, *self._keys(kind, scope))
            counts = await pipeline.execute()
        return [scope for scope, count in zip(scopes, counts, strict=True) if count]

    async def ping(self) -> None:
        with errors():
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
        with errors():
            all_keys = [f"{self._prefix}notices", f"{self._prefix}due", *keys]
            return await _awaited(self._client.eval(script, len(all_keys), *all_keys, *arguments))


def _name(notice: Notice) -> str:
    return f"{notice.target}\x00{notice.id}"
