"""Standard Webhooks signatures: how a receiver knows that a request is ours, whole, and not a replay.

Why one module: sinks and triggers sign alike, and a receiver verifies both with the same library.
Reference: the Standard Webhooks specification 1.0 (`webhook-id`, `webhook-timestamp`, `webhook-signature`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"


def keys_of(secret: str) -> tuple[bytes, ...]:
    """The keys in an option `secret`: one `whsec_` + base64, or two with a space while one replaces the other.

    ValueError, which does not show the secret, if it is none. "" has no keys: the request goes out unsigned.

    >>> keys_of("whsec_a2V5")
    (b'key',)
    """
    keys = []
    for part in secret.split():
        if not part.startswith(PREFIX):
            raise ValueError(f"secret: must begin with {PREFIX!r}, followed by the key in base64")
        try:
            key = base64.b64decode(part.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"secret: what follows {PREFIX!r} is not base64") from None
        if not key:
            raise ValueError("secret: the key is empty")
        keys.append(key)
    return tuple(keys)


def headers(keys: Sequence[bytes], id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of one attempt. `timestamp` is in seconds; the id is the same in each retry, the timestamp is not.

    >>> headers([b"key"], "m1", 0, b"{}")["webhook-signature"]
    'v1,AYBf1NHlm5P6TtEFjCpQEV3GrUMStzROimwk2bO64xg='
    """
    found = {"webhook-id": id, "webhook-timestamp": str(timestamp)}
    if keys:
        signed = b".".join([id.encode(), str(timestamp).encode(), body])
        digests = [hmac.new(key, signed, hashlib.sha256).digest() for key in keys]
        found["webhook-signature"] = " ".join(f"v1,{base64.b64encode(d).decode()}" for d in digests)
    return found
