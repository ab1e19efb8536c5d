"""API keys: who may read, operate and administrate.

`api.keys` has one key a line: `KEY` or `sha256:HEX`, then optionally `read`, `operate` or `admin` (the default). Only
hashes are held in memory, and a key is named elsewhere (audit log, transitions of alerts) by the first digits of its
hash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_address

from stream_monitor.errors import ConfigError, Mistake


class Scope(IntEnum):
    """What a key is good for; each includes those before it."""

    READ = 1
    OPERATE = 2
    ADMIN = 3


SCOPES = {scope.name.lower(): scope for scope in Scope}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key, by its SHA-256."""

    digest: bytes
    scope: Scope

    @property
    def name(self) -> str:
        """How the key is called where people read: no key can be found from it."""
        return f"key:{self.digest.hex()[:8]}"


@dataclass(frozen=True, slots=True)
class Keyring:
    """All keys that are accepted."""

    keys: tuple[Key, ...]

    def find(self, presented: str) -> Key | None:
        """The key that was presented, or None. Takes the same time wherever the first difference is.

        >>> ring = parse_keys("letmein read\\n# a comment\\nroot")
        >>> ring.find("letmein").scope.name, ring.find("root").scope.name, ring.find("Letmein")
        ('READ', 'ADMIN', None)
        >>> ring.find("letmein").name
        'key:1c8bfe8f'
        """
        digest = hashlib.sha256(presented.encode()).digest()
        found = None
        for key in self.keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


def parse_keys(text: str) -> Keyring:
    """The keys in the text of a keys file. ConfigError names lines, never a key.

    >>> parse_keys("one operator")
    Traceback (most recent call last):
    ...
    stream_monitor.errors.ConfigError: api.keys, line 1: unknown scope; known: read, operate, admin
    """
    keys, mistakes = [], []

    def wrong(line: int, message: str) -> None:
        mistakes.append(Mistake(file=f"api.keys, line {line}", line=0, path="", message=message))

    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) > 2:
            wrong(number, "expected KEY or sha256:HEX, then at most a scope")
        elif len(words) == 2 and words[1] not in SCOPES:
            wrong(number, f"unknown scope; known: {', '.join(SCOPES)}")
        elif words[0].startswith("sha256:") and not re.fullmatch(r"sha256:[0-9a-fA-F]{64}", words[0]):
            wrong(number, "sha256: takes 64 hexadecimal digits")
        else:
            kind, _, digits = words[0].partition(":")
            digest = bytes.fromhex(digits) if kind == "sha256" else hashlib.sha256(words[0].encode()).digest()
            keys.append(Key(digest=digest, scope=SCOPES[words[1]] if len(words) == 2 else Scope.ADMIN))
    if mistakes:
        raise ConfigError(mistakes)
    return Keyring(tuple(keys))


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only. Names other than localhost are not looked up.

    >>> [is_loopback(h) for h in ("127.0.0.1", "::1", "[::1]", "localhost", "0.0.0.0", "example.org")]
    [True, True, True, True, False, False]
    """
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may do what at this api."""

    ring: Keyring
    open_reads: bool
    open_metrics: bool
    open_writes: bool  # `insecure`, on loopback only

    def decide(self, needed: Scope, presented: str | None, *, metrics: bool = False) -> tuple[int, str]:
        """(200, the caller's name), or (401 or 403, why not). A key that is wrong is refused even where none is needed.

        >>> ring = parse_keys("letmein read")
        >>> access = Access(ring=ring, open_reads=True, open_metrics=True, open_writes=False)
        >>> access.decide(Scope.READ, None)
        (200, 'anonymous')
        >>> access.decide(Scope.OPERATE, None)
        (401, 'a key is needed: Authorization: Bearer KEY')
        >>> access.decide(Scope.OPERATE, "letmein")
        (403, 'the key has the scope read, operate is needed')
        """
        if presented is not None:
            key = self.ring.find(presented)
            if key is None:
                return 401, "the key is not known"
            if key.scope < needed and not self.open_writes:
                return 403, f"the key has the scope {key.scope.name.lower()}, {needed.name.lower()} is needed"
            return 200, key.name
        if self.open_writes or (needed is Scope.READ and (self.open_metrics if metrics else self.open_reads)):
            return 200, "anonymous"
        if not self.ring.keys:
            return 401, "a key is needed, and the service has none: set api.keys"
        return 401, "a key is needed: Authorization: Bearer KEY"
