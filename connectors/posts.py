"""One HTTP POST as sinks and triggers make it: no redirect followed, a deadline, and no address in any error.

Why no address: the address of a Slack webhook is its password, and others may carry one too. An error says which
status came back; the sink's name, which is public, says where from. The environment's proxies and .netrc are not looked
at, since what goes out and to whom is in monitor.yaml alone.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import httpx

from stream_monitor.errors import DeliveryError

MOST_ANSWER_BYTES: Final = 2_048
LONGEST_RETRY_AFTER_SECONDS: Final = 3_600.0

# Both write the address of each request into their logs.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


def checked_url(url: str) -> str:
    """The address, if it is one to post to; else a ValueError that does not show it.

    >>> checked_url("http://127.0.0.1:9093")
    'http://127.0.0.1:9093'
    """
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole:
        raise ValueError("url: must be http://HOST... or https://HOST...")
    return url


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After header (seconds or an HTTP date), at most an hour; None if it says nothing.

    >>> now = datetime(2026, 1, 1, tzinfo=UTC)
    >>> retry_after("30", now), retry_after("Thu, 01 Jan 2026 00:01:00 GMT", now), retry_after("soon", now)
    (30.0, 60.0, None)
    """
    if value is None:
        return None
    try:
        seconds = float(value) if value.strip().isdigit() else (parsedate_to_datetime(value) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):  # the last: of a year beyond all
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)


class Poster:
    """A client for one target. It connects at the first post."""

    def __init__(self, timeout_seconds: float) -> None:
        if not timeout_seconds > 0:
            raise ValueError("timeout_seconds: must be greater than 0")
        self._timeout_seconds = timeout_seconds
        self._client: httpx.AsyncClient | None = None

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        never: Collection[int] = (410, 413),
        show_answer: bool = False,
    ) -> None:
        """Post; return on a 2xx answer. DeliveryError on any other, or on none within the deadline.

        A status in `never` is a permanent failure. `show_answer`: the error quotes what came back (of a target whose
        answers hold no secret).
        """
        status, answered, text = await self._exchange("POST", url, body, headers)
        if 200 <= status < 300:
            return
        said = "redirects are not followed" if 300 <= status < 400 else " ".join(text[:200].split()) * show_answer
        raise DeliveryError(
            f"answered {status}: {said}" if said else f"answered {status}",
            retry_after=retry_after(answered.get("retry-after"), datetime.now(UTC)),
            permanent=status in never,
        )

    async def reach(self, url: str) -> None:
        """Whether anybody answers there, with whatever status, to a HEAD request, which sends nothing."""
        await self._exchange("HEAD", url, b"", {})

    async def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _exchange(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, httpx.Headers, str]:
        if self._client is None:
            # Why the system's certificates: a company's own authority is installed there.
            self._client = httpx.AsyncClient(
                follow_redirects=False,
                trust_env=False,
                timeout=self._timeout_seconds,
                verify=ssl.create_default_context(),
            )
        sent = {"user-agent": "stream-monitor", "accept-encoding": "identity", **headers}
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),  # of the whole exchange: a server may drip
                self._client.stream(method, url, content=body, headers=sent) as response,
            ):
                answer = bytearray()
                async for chunk in response.aiter_raw():
                    answer += chunk
                    if len(answer) >= MOST_ANSWER_BYTES:
                        break
                text = bytes(answer[:MOST_ANSWER_BYTES]).decode(errors="replace")
                return response.status_code, response.headers, text
        except (TimeoutError, httpx.TimeoutException):
            raise DeliveryError(f"no answer within {self._timeout_seconds:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise DeliveryError(f"no connection ({type(error).__name__})") from None
