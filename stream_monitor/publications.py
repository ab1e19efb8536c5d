"""What stands in the compacted topics, as messages, and a catalog made of what was read from them.

layouts      layout/ID -> the layout as JSON       model/NAME -> the id of the model's layout now
             promoted/NAME -> the id of a layout put in force by a person, and of the one of the reference file, whose
                              place it has: a restart reads that file again
references   ID/I/PIECES -> a piece of a packed reference; its tombstone, once no state that may be recovered names it
configs      ID/I/PIECES -> a piece of a configuration as JSON
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Final, Literal

from detectors.layouts import Layout
from stream_monitor.catalogs import MemoryCatalog
from stream_monitor.config import Config
from stream_monitor.config.plain import config_from_plain, plain_config

log = logging.getLogger(__name__)

Topic = Literal["layouts", "references", "configs"]
TOPICS: Final[tuple[Topic, ...]] = ("layouts", "references", "configs")
PIECE_BYTES: Final = 900_000  # under the default limit of a broker, 1 MiB


def layout_messages(layout: Layout, model: str = "", instead_of: str = "") -> list[tuple[bytes, bytes]]:
    """(key, value) of a layout, and of its being the model's from now on, in place of the reference file's."""
    text = json.dumps(layout.to_json(), separators=(",", ":"))
    out = [(f"layout/{layout.id}".encode(), text.encode())]
    if model:
        out.append((f"model/{model}".encode(), layout.id.encode()))
    if model and instead_of:
        out.append((f"promoted/{model}".encode(), f"{layout.id} {instead_of}".encode()))
    return out


def blob_messages(data: bytes, limit: int = PIECE_BYTES) -> list[tuple[bytes, bytes]]:
    """(key, value) of the pieces of a blob.

    >>> [(k.decode()[16:], v) for k, v in blob_messages(b"abc", limit=2)]
    [('/0/2', b'ab'), ('/1/2', b'c')]
    """
    id, pieces = _id(data), max(1, -(-len(data) // limit))
    return [(f"{id}/{i}/{pieces}".encode(), data[i * limit : (i + 1) * limit]) for i in range(pieces)]


def config_blob(config: Config) -> bytes:
    """The configuration as it is kept in `configs`; the id of these bytes is `config_plain.config_id`."""
    return json.dumps(plain_config(config), sort_keys=True, separators=(",", ":")).encode()


def config_of(data: bytes) -> Config:
    """The configuration that `config_blob` was called on, secrets excepted."""
    return config_from_plain(json.loads(data))


class Publications(MemoryCatalog):
    """A catalog that takes in messages of the compacted topics, whatever their order."""

    def __init__(self) -> None:
        super().__init__()
        self.counted_partitions: set[int] = set()  # of the panes topic, as all configurations so far had it
        self._models: dict[str, str] = {}
        self._promoted: dict[str, tuple[str, str]] = {}
        self._pieces: dict[str, dict[int, bytes]] = {}
        self._reference_keys: dict[str, set[bytes]] = {}  # id -> keys that the topic has messages under

    def take(self, topic: Topic, key: bytes, value: bytes | None) -> None:
        """One message. Tombstones are of references; others are passed over: what is in use may still be asked for."""
        kind, _, rest = key.decode().partition("/")
        if topic == "references":
            self._note(kind, key, gone=value is None)
        if value is None:
            return
        if topic != "layouts":
            self._piece(topic, kind, rest, value)
        elif kind == "layout":
            layout = Layout.from_json(json.loads(value))
            if layout.id == rest:
                self.add_layout(layout)
            else:  # whoever needs it will miss it by its id, and say so
                log.warning("layout %s in the topic is of another release: here it would be %s", rest, layout.id)
        elif kind == "model":
            self._models[rest] = value.decode()
        elif kind == "promoted":
            layout_id, _, instead_of = value.decode().partition(" ")
            self._promoted[rest] = (layout_id, instead_of)

    def _piece(self, topic: Topic, id: str, rest: str, value: bytes) -> None:
        i, _, pieces = rest.partition("/")
        have = self._pieces.setdefault(id, {})
        have[int(i)] = value
        if len(have) == int(pieces):
            data = b"".join(have[i] for i in sorted(have))
            del self._pieces[id]
            if _id(data) == id:  # else the pieces were cut differently: the rest of them is on its way
                self.add_blob(data)
                if topic == "configs":
                    self.counted_partitions |= _partitions(data)

    def _note(self, id: str, key: bytes, *, gone: bool) -> None:
        """What the topic has of a reference; one that is going is not known any more, as it cannot be had again."""
        keys = self._reference_keys.setdefault(id, set())
        if not gone:
            keys.add(key)
            return
        keys.discard(key)
        if not keys:
            del self._reference_keys[id]
        self._pieces.pop(id, None)
        self.forget_blob(id)

    def tombstones(self, id: str) -> list[bytes]:
        """The keys to write tombstones under, so that the topic has nothing of a reference any more."""
        keys = set(self._reference_keys.get(id, ()))
        if self.knows_blob(id):
            keys |= {key for key, _ in blob_messages(self.blob(id))}
        return sorted(keys)

    def is_replaced(self, model: str, id: str) -> bool:
        """Whether the layout of the model's reference file, with that id, has given way to the one in force now."""
        return self._promoted.get(model) == (self._models.get(model), id)

    def model_layouts(self) -> Mapping[str, str]:
        """model -> id of the layout it was last given; only of layouts that are here."""
        return {model: id for model, id in list(self._models.items()) if id in self._layouts}


def _partitions(data: bytes) -> set[int]:
    """The partitions of the panes topic in a configuration; none in whatever else is kept beside them."""
    try:
        return {int(json.loads(data)["kafka"]["partitions"])}
    except (ValueError, KeyError, TypeError):
        return set()


def _id(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
