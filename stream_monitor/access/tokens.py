"""Tokens for OAUTHBEARER from a token endpoint: librdkafka's `oidc` request, for the client that cannot make it itself.

Why the same request: both clients of a process show the broker tokens of the same issuer, got with the same secret.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from typing import Final

import httpx

from stream_monitor.access.security import Oidc
from stream_monitor.errors import Unreachable

ANSWER_SECONDS: Final = 8.0
KEPT: Final = 0.8  # of a token's life; librdkafka renews at the same point


class TokenError(Unreachable):
    """The endpoint gave no token."""


class Tokens:
    """The token in force, asked for anew when four fifths of its life are over. For any thread."""

    def __init__(self, how: Oidc, clock: Callable[[], float] = time.monotonic) -> None:
        self._how, self._clock = how, clock
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = 0.0

    def token(self) -> str:
        """A token that is still good; TokenError without one. Blocks while the endpoint is asked."""
        with self._lock:
            if not self._token or self._clock() >= self._renew_at:
                asked = self._clock()
                self._token, seconds = self._ask()
                self._renew_at = asked + KEPT * seconds
            return self._token

    def _ask(self) -> tuple[str, float]:
        how = self._how
        body = {"grant_type": "client_credentials", **({"scope": how.scope} if how.scope else {})}
        trust = ssl.create_default_context(cafile=how.ca_location) if how.ca_location else True
        try:
            answer = httpx.post(
                how.url,
                data=body,
                auth=(how.client_id, how.client_secret),
                headers={"accept": "application/json"},
                timeout=ANSWER_SECONDS,
                verify=trust,
            )
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise TokenError(f"{self._where()}: {type(error).__name__}") from None
        if answer.status_code != 200:
            hint = "; kafka.options.sasl.oauthbearer.client.id and client.secret" if answer.is_client_error else ""
            raise TokenError(f"{self._where()} answers {answer.status_code}{hint}")
        try:
            told = answer.json()
            return str(told["access_token"]), float(told.get("expires_in", 300))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise TokenError(f"{self._where()}: the answer is no token") from None

    def _where(self) -> str:
        return f"kafka.options.sasl.oauthbearer.token.endpoint.url {httpx.URL(self._how.url).copy_with(query=None)}"
