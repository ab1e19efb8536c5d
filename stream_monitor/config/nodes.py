"""YAML nodes -> the frozen dataclasses of config.py, by walking their fields; every mistake with its line.

A new option is a new field in config.py: nothing here changes. Only forms that no type can say are spelled out:
durations, `1 per 30d`, `{kind: options}` of sinks, and a monitor's keys that belong to its detector.
Why nodes and not plain data: a node knows its line. A value that is wrong is replaced by the field's default (or an
empty one), so that reading goes on and all mistakes come out at once; `bad` remembers where, for the checks after it.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import yaml

from stream_monitor.config import DURATION, INLINE, SECRET, Budget, MonitorSpec, Target
from stream_monitor.config.values import (
    parse_bool,
    parse_budget,
    parse_duration,
    parse_number,
    secret_parts,
    substitute,
    written_out,
)
from stream_monitor.errors import Mistake
from stream_monitor.names import choices

_MAX_NODES: Final = 200_000  # aliases of aliases can make a small file endless


class Reader:
    """Reads one file's nodes. `mistakes` and `cautions` fill up; `lines` has the line of each path written."""

    def __init__(self, file: str, environ: Mapping[str, str], detectors: Mapping[str, type]) -> None:
        self.mistakes: list[Mistake] = []
        self.cautions: list[Mistake] = []
        self.lines: dict[str, int] = {}
        self.bad: set[str] = set()
        self.secrets: set[str] = set()  # what was filled in where secrets stand
        self._file = file
        self._folder = Path(file).parent
        self._environ = environ
        self._detectors = detectors
        self._open: list[int] = []  # ids of the nodes that are being read: an alias may lead back
        self._visited = 0

    def wrong(self, path: str, message: str, line: int = 0) -> None:
        """Note a mistake; without a line, that of the path or of what it is in."""
        self.bad.add(path)
        self.mistakes.append(Mistake(file=self._file, line=line or self.line(path), path=path, message=message))

    def caution(self, path: str, message: str) -> None:
        """Note what is not wrong but unwise."""
        self.cautions.append(Mistake(file=self._file, line=self.line(path), path=path, message=message))

    def line(self, path: str) -> int:
        """Where the path is written, or the nearest thing around it; 0 for nothing."""
        while path and path not in self.lines:
            path = re.sub(r"(\.[^.\[\]]*|\[\d+\]|^[^.\[\]]*)$", "", path)
        return self.lines.get(path, 0)

    # -- by type

    def read(self, node: yaml.Node, hint: Any, path: str, meta: Mapping[str, Any] = types.MappingProxyType({})) -> Any:
        """The node as a value of the type `hint`; wrong parts are noted and replaced."""
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self._visited += 1
        if id(node) in self._open or self._visited > _MAX_NODES or len(self._open) > 60:
            if self._visited <= _MAX_NODES + 1:
                self.wrong(path, "aliases lead back to themselves or are too many", line)
            return _empty(hint)
        self._open.append(id(node))
        try:
            return self._read(node, hint, path, meta)
        finally:
            self._open.pop()

    def _read(self, node: yaml.Node, hint: Any, path: str, meta: Mapping[str, Any]) -> Any:
        if meta.get("kind") == DURATION["kind"]:
            return self._by_text(node, path, parse_duration, "a duration like 10s, 5m, 1h or 7d")
        if hint is Budget:
            return self._by_text(node, path, parse_budget, "a budget like 1 per 30d") or Budget()
        if hint is Target:
            return self._target(node, path)
        if hint is MonitorSpec:
            return self._monitor(node, path)
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            return self._dataclass(node, hint, path, self._pairs(node, path))
        origin, args = get_origin(hint), get_args(hint)
        if origin in (typing.Union, types.UnionType):
            return self._union(node, args, path, meta)
        if origin is Literal:
            text = self._text(node, path, meta)
            if text is None or text in args:
                return text if text is not None else args[0]
            self.wrong(path, f"unknown value {text!r}{choices(text, [str(a) for a in args])}")
            return args[0]
        if origin is tuple:
            if isinstance(node, yaml.SequenceNode):
                return tuple(self.read(n, args[0], f"{path}[{i}]", meta) for i, n in enumerate(node.value))
            return (self._read(node, args[0], path, meta),)  # one, without the brackets of a list
        if origin is not None and issubclass(origin, Mapping):
            pairs = self._pairs(node, path)
            self.lines.update({_join(path, k): line for k, (line, _) in pairs.items()})
            return {k: self.read(v, args[1], _join(path, k), meta) for k, (_, v) in pairs.items()}
        if hint is Any:
            return self._any(node, path, meta)
        return self._scalar(node, hint, path, meta)

    def _dataclass(
        self, node: yaml.Node, cls: type, path: str, pairs: Mapping[str, tuple[int, yaml.Node]], extra: Any = None
    ) -> Any:
        """`extra`: keys that are known but not fields of the class, and are read elsewhere."""
        hints = typing.get_type_hints(cls)
        own = [f for f in dataclasses.fields(cls) if f.metadata.get("kind") != INLINE["kind"]]
        names = {f.metadata.get("name", f.name): f for f in own}
        for key, (line, _) in pairs.items():
            if key not in names and key not in (extra or ()):
                known = choices(key, [*names, *(extra or ())])
                self.wrong(_join(path, key), f"unknown key {_clip(key)}{known}", line)
        values = {}
        for key, f in names.items():
            where = _join(path, key)
            if key in pairs:
                line, value = pairs[key]
                self.lines[where] = line
                optional = type(None) in get_args(hints[f.name]) or _has_default(f)
                if _is_null(value) and optional:
                    continue  # `labels:` with nothing after it is as good as absent
                read = self.read(value, hints[f.name], where, f.metadata)
                if where not in self.bad or not _has_default(f):
                    values[f.name] = read
            elif not _has_default(f):
                self.wrong(where, f"missing: {key} must be given", self.line(path) or node.start_mark.line + 1)
                values[f.name] = _empty(hints[f.name])
        return cls(**values)

    def _union(self, node: yaml.Node, args: tuple[Any, ...], path: str, meta: Mapping[str, Any]) -> Any:
        """The member of the union that fits the kind of the node."""
        kind = {"scalar": yaml.ScalarNode, "sequence": yaml.SequenceNode, "mapping": yaml.MappingNode}
        if _is_null(node) and type(None) in args:
            return None
        fitting = [a for a in args if a is not type(None) and isinstance(node, kind[_shape(a)])]
        if not fitting:
            forms = sorted(
                {
                    {"scalar": "a value", "sequence": "a list", "mapping": "a mapping"}[_shape(a)]
                    for a in args
                    if a is not type(None)
                }
            )
            self.wrong(path, f"expected {' or '.join(forms)}")
            return None if type(None) in args else _empty(args[0])
        if len(fitting) > 1:  # str | int | float | bool: what YAML says it is
            value = self._any(node, path, meta)
            if type(value) in fitting:
                return value
            return str(value) if str in fitting else _empty(fitting[0])
        return self._read(node, fitting[0], path, meta)

    # -- forms of our own

    def _target(self, node: yaml.Node, path: str) -> Target:
        """`- webhook: {url: ...}`, or `- webhook` alone."""
        if isinstance(node, yaml.ScalarNode):
            return Target(kind=self._text(node, path) or "")
        pairs = self._pairs(node, path)
        if len(pairs) != 1:
            if isinstance(node, yaml.MappingNode):
                self.wrong(path, "expected one kind with its options, like `webhook: {url: ...}`")
            return Target(kind="")
        kind, (line, value) = next(iter(pairs.items()))
        where = _join(path, kind)
        self.lines[where] = line
        options = {} if _is_null(value) else self.read(value, Mapping[str, Any], where, SECRET)
        return Target(kind=kind, options=options)

    def _monitor(self, node: yaml.Node, path: str) -> MonitorSpec:
        """Keys of MonitorSpec and, beside them, keys of the detector it names."""
        pairs = self._pairs(node, path)
        named = pairs.get("detector")
        name = named[1].value if named and isinstance(named[1], yaml.ScalarNode) else "threshold"
        detector = self._detectors.get(name) if name != "threshold" else None  # whose bounds are keys of the monitor
        own = {f.name for f in dataclasses.fields(MonitorSpec)}
        hints = {} if detector is None else {k: h for k, h in typing.get_type_hints(detector).items() if k not in own}
        if detector is not None and dataclasses.is_dataclass(detector):
            hints = {f.name: hints[f.name] for f in dataclasses.fields(detector) if f.name in hints}
        unknown = [k for k in pairs if k not in own] if detector is None and name != "threshold" else []
        spec: MonitorSpec = self._dataclass(node, MonitorSpec, path, pairs, extra=[*hints, *unknown])
        parameters = {k: self.read(pairs[k][1], h, _join(path, k)) for k, h in hints.items() if k in pairs}
        return dataclasses.replace(spec, parameters=parameters)

    def _by_text(self, node: yaml.Node, path: str, parse: Any, form: str) -> Any:
        text = self._text(node, path)
        if text is None:
            return 0
        if text == "0" and parse is parse_duration:
            return 0
        try:
            return parse(text)
        except ValueError:
            self.wrong(path, f"expected {form}, not {self._shown(node)}")
            return 0

    # -- scalars

    def _text(self, node: yaml.Node, path: str, meta: Mapping[str, Any] = types.MappingProxyType({})) -> str | None:
        """The text of a scalar with its substitutions, as written: `yes`, `1` and times stay text."""
        if not isinstance(node, yaml.ScalarNode):
            self.wrong(path, "expected one value, not a list or a mapping")
            return None
        if _is_null(node):
            self.wrong(path, "a value is missing")
            return None
        if meta.get("kind") == SECRET["kind"] and written_out(path, node.value):
            message = "a secret written out in the file; use ${NAME} or ${file:/run/secrets/NAME}"
            self.cautions.append(Mistake(file=self._file, line=node.start_mark.line + 1, path=path, message=message))
        text, wrong = substitute(node.value, self._environ, self._folder)
        for message in wrong:
            self.wrong(path, message, node.start_mark.line + 1)
        if meta.get("kind") == SECRET["kind"] and text != node.value:
            self.secrets.update(secret_parts(text))
        return None if wrong else text

    def _scalar(self, node: yaml.Node, hint: Any, path: str, meta: Mapping[str, Any]) -> Any:
        text = self._text(node, path, meta)
        if text is None or hint is str:
            return text or ""
        if hint is bool:
            flag = parse_bool(text)
            if flag is None:
                self.wrong(path, f"expected true or false, not {self._shown(node)}")
            return flag or False
        quoted = _style(node) in ("'", '"') and "${" not in node.value
        number = None if quoted else parse_number(text.strip().replace("_", ""))
        if number is not None and (hint is float or isinstance(number, int)):
            return hint(number)
        self.wrong(path, f"expected {'a whole number' if hint is int else 'a number'}, not {self._shown(node)}")
        return hint(0)

    def _any(self, node: yaml.Node, path: str, meta: Mapping[str, Any]) -> Any:
        """Plain data, as YAML says; times stay text."""
        if isinstance(node, yaml.SequenceNode):
            return [self.read(n, Any, f"{path}[{i}]", meta) for i, n in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return {k: self.read(v, Any, _join(path, k), meta) for k, (_, v) in self._pairs(node, path).items()}
        if _is_null(node):
            return None
        text = self._text(node, path, meta)
        if text is None:
            return ""
        if _style(node) in ("'", '"', "|", ">"):
            return text
        for value in (parse_bool(text), parse_number(text)):
            if value is not None:
                return value
        return text

    def _pairs(self, node: yaml.Node, path: str) -> dict[str, tuple[int, yaml.Node]]:
        """key -> (line, value); keys as written (`on` stays `on`), `<<` merged in, duplicates noted."""
        if not isinstance(node, yaml.MappingNode):
            if not _is_null(node):
                self.wrong(path, "expected a mapping, like `key: value`", node.start_mark.line + 1)
            return {}
        own: dict[str, tuple[int, yaml.Node]] = {}
        merged: dict[str, tuple[int, yaml.Node]] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.wrong(path, "a key must be text", line)
            elif key.tag == "tag:yaml.org,2002:merge":
                for other in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    merged.update(self._merged(other, path, line))
            elif key.value in own:
                twice = f"written twice; first on line {own[key.value][0]}"
                where = _join(path, key.value)  # not bad: the first one is read, and its own mistakes are told, too
                self.mistakes.append(Mistake(file=self._file, line=line, path=where, message=twice))
            else:
                own[key.value] = (line, value)
        return merged | own

    def _merged(self, node: yaml.Node, path: str, line: int) -> dict[str, tuple[int, yaml.Node]]:
        if id(node) in self._open or not isinstance(node, yaml.MappingNode):
            self.wrong(path, "<< takes a mapping", line)
            return {}
        self._open.append(id(node))
        try:
            return self._pairs(node, path)
        finally:
            self._open.pop()

    def _shown(self, node: yaml.Node) -> str:
        """The value as written in the file: a substituted one is not shown."""
        return _clip(str(node.value))


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _clip(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _has_default(f: dataclasses.Field[Any]) -> bool:
    return f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING


def _shape(hint: Any) -> str:
    origin = get_origin(hint)
    if origin is tuple:
        return "sequence"
    if (origin is not None and origin is not Literal and issubclass(origin, Mapping)) or dataclasses.is_dataclass(hint):
        return "mapping"
    return "scalar"


def _style(node: yaml.Node) -> str:
    """How a scalar is quoted; "" for one that is not."""
    return (node.style or "") if isinstance(node, yaml.ScalarNode) else ""


def _empty(hint: Any) -> Any:
    """Some value of the type, in place of one that is wrong."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is tuple:
        return ()
    if origin is Literal:
        return args[0]
    if origin in (typing.Union, types.UnionType):
        return None if type(None) in args else _empty(args[0])
    if origin is not None:
        return {}
    if hint is Any:
        return None
    if dataclasses.is_dataclass(hint):
        values = {f.name: _empty(h) for f, h in _required(hint)}
        make: Any = hint
        return make(**values)
    return hint()


def _required(cls: Any) -> Iterator[tuple[dataclasses.Field[Any], Any]]:
    hints = typing.get_type_hints(cls)
    return ((f, hints[f.name]) for f in dataclasses.fields(cls) if not _has_default(f))
