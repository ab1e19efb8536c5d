"""A webhook of the company's own, signed the Standard Webhooks way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from connectors.posts import Poster, checked_url
from connectors.signatures import headers, keys_of
from stream_monitor.config import SECRET
from stream_monitor.deliveries.notices import body_bytes
from stream_monitor.interfaces import Notice


@dataclass(kw_only=True)
class Webhook:
    """POST the bare alert as JSON, one request a transition, signed (Standard Webhooks) and retried under one id.

    At least once: the receiver drops a `webhook-id` it has seen. Any 2xx answer is taken for a yes.
    """

    url: str = field(repr=False, metadata=SECRET)
    secret: str = field(default="", repr=False, metadata=SECRET)  # whsec_ + base64; two with a space while rotating
    timeout_seconds: float = 10.0

    def __post_init__(self) -> None:
        checked_url(self.url)
        self.resend_seconds = 0.0
        self.clock: Callable[[], float] = time.time  # seconds since 1970
        self._keys = keys_of(self.secret)
        self._poster = Poster(self.timeout_seconds)

    async def deliver(self, notice: Notice) -> None:
        """Post once."""
        body = body_bytes(notice.body)
        signed = headers(self._keys, notice.id, int(self.clock()), body)
        await self._poster.post(self.url, body, {"content-type": "application/json", **signed})

    async def ping(self) -> None:
        """Raise DeliveryError if nobody answers there; sends no alert."""
        await self._poster.reach(self.url)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._poster.close()
