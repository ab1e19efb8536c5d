"""What every request passes before a route sees it: how large it may be, who may see the page, headers of the answer.

Plain ASGI, so that it also stands before the dashboard, which is an application of its own.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException

from stream_monitor.access.keys import Access, Scope

MOST_BODY_BYTES: Final = 64 * 1024
NOTHING_FROM_ELSEWHERE: Final = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' ws: wss:; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
BASIC: Final = 'Basic realm="stream-monitor: any user name, the key as password"'  # what a browser asks a person for
HEADERS: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", NOTHING_FROM_ELSEWHERE.encode()),
]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


def problem(status: int, title: str, detail: str = "", **more: Any) -> bytes:
    """An error as RFC 9457 has it.

    >>> problem(404, "Not Found", "no model 'x'")
    b'{"type":"about:blank","title":"Not Found","status":404,"detail":"no model \\'x\\'"}'
    """
    body = {"type": "about:blank", "title": title, "status": status, **({"detail": detail} if detail else {}), **more}
    return msgspec.json.encode(body)


def presented_key(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The key of an Authorization header: Bearer, or the password of Basic, which is what a browser can send.

    >>> presented_key([(b"authorization", b"Bearer abc")]), presented_key([(b"authorization", b"Basic OmFiYw==")])
    ('abc', 'abc')
    """
    for name, value in headers:
        if name.lower() == b"authorization":
            kind, _, rest = value.decode("latin-1").partition(" ")
            if kind.lower() == "basic":
                try:
                    return base64.b64decode(rest.strip(), validate=True).decode().partition(":")[2]
                except (binascii.Error, UnicodeDecodeError):
                    return ""
            return rest.strip() if kind.lower() == "bearer" else ""
    return None


class Gate:
    """Wraps the application."""

    def __init__(self, app: App, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        # Those who watch over a service may ask by HEAD. The page would be built for nobody.
        bodiless = scope["method"] == "HEAD" and scope["path"] != "/"
        if bodiless:
            scope = {**scope, "method": "GET"}

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                named = {name.lower() for name, _ in message.get("headers", [])}
                message["headers"] = [*message.get("headers", []), *(h for h in HEADERS if h[0] not in named)]
            elif bodiless and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        if scope["path"] == "/" and not await self._may_see(scope, answer):
            return
        declared = next((v for n, v in scope["headers"] if n.lower() == b"content-length"), b"0")
        if not declared.isdigit() or int(declared) > MOST_BODY_BYTES:
            await _refuse(answer, 413, "Content Too Large", f"at most {MOST_BODY_BYTES} bytes")
            return
        await self._app(scope, _limited(receive), answer)

    async def _may_see(self, scope: Message, send: Send) -> bool:
        code, why = self._access.decide(Scope.READ, presented_key(scope["headers"]))
        if code == 200:
            return True
        ask = [(b"www-authenticate", BASIC.encode())]
        await _refuse(send, code, "Unauthorized" if code == 401 else "Forbidden", why, ask if code == 401 else [])
        return False


def _limited(receive: Receive) -> Receive:
    """Bodies without a stated length are refused once they are too long."""
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > MOST_BODY_BYTES:
            raise HTTPException(413, f"at most {MOST_BODY_BYTES} bytes")
        return message

    return limited


async def _refuse(
    send: Send, code: int, title: str, detail: str, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    start = [(b"content-type", b"application/problem+json"), *(headers or [])]
    await send({"type": "http.response.start", "status": code, "headers": start})
    await send({"type": "http.response.body", "body": problem(code, title, detail)})
