"""Messages without a broker, as the broker's client gives them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """A record of a source topic without key, headers or timestamp."""

    at: int
    body: bytes

    def __len__(self) -> int:
        return len(self.body)

    def value(self) -> bytes | None:
        return self.body

    def key(self) -> bytes | None:
        return None

    def headers(self) -> None:
        return None

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return (0, -1)
