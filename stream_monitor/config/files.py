"""monitor.yaml -> Config, or all of its mistakes at once, each `monitor.yaml:31: models.fraud...: what is wrong`.

Reading has two steps: nodes.py gives every node its type, checks.py looks at what belongs together.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from stream_monitor.config import Config, Format
from stream_monitor.config import checks as config_checks
from stream_monitor.config.cautions import cautions
from stream_monitor.config.known import Known
from stream_monitor.config.nodes import Reader
from stream_monitor.config.plain import config_from_plain, config_id, plain_config
from stream_monitor.errors import ConfigError, Mistake

__all__ = ["ConfigFile", "Known", "config_from_plain", "config_id", "plain_config", "read_config"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFile:
    """A file that was read. `cautions` are not wrong but unwise; `lines` says where each path is written."""

    config: Config
    file: str
    cautions: tuple[Mistake, ...]
    lines: Mapping[str, int]
    secrets: frozenset[str]  # what no log may show

    def error(self, path: str, message: str) -> ConfigError:
        """A mistake found later (a reference that cannot be read, say), with the line of its path."""
        reader = Reader(self.file, {}, {})
        reader.lines = dict(self.lines)
        reader.wrong(path, message)
        return ConfigError(reader.mistakes)

    def located(self, error: ConfigError) -> ConfigError:
        """Mistakes with paths of the configuration but without lines, found later, at their lines in this file."""
        return ConfigError([self.error(m.path, m.message).mistakes[0] if m.path else m for m in error.mistakes])


def read_config(file: str, known: Known, environ: Mapping[str, str] | None = None) -> ConfigFile:
    """Read and check the file; ConfigError with every mistake in it.

    Paths in it are relative to it. `environ` defaults to the process's.
    """
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _alone(file, 0, error.strerror or "cannot be read") from error
    except UnicodeDecodeError as error:
        raise _alone(file, 0, f"is not UTF-8 text (byte {error.start})") from error
    try:
        root = _compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _alone(file, mark.line + 1 if mark else 0, f"not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _alone(file, 0, f"not YAML: {str(error).splitlines()[0] if str(error) else 'nested too deep'}") from error
    if root is None:
        raise _alone(file, 0, "the file is empty; `stream-monitor init --topic NAME` writes one")
    if not isinstance(root, yaml.MappingNode):
        raise _alone(file, root.start_mark.line + 1, "expected a mapping, like `models: {NAME: {topic: ...}}`")
    reader = Reader(file, os.environ if environ is None else environ, known.detectors)
    try:
        config: Config = reader.read(root, Config, "")
    except RecursionError as error:
        raise _alone(file, 0, "not a configuration: nested too deep") from error
    config = _with_presets(config, known)
    for path, message in config_checks.findings(config, known, reader.lines.keys()):
        if not _covered(path, reader.bad):
            reader.wrong(path, message)
    if reader.mistakes:
        raise ConfigError(sorted(reader.mistakes, key=lambda m: m.line))
    for path, message in cautions(config, known, reader.lines.keys()):
        reader.caution(path, message)
    return ConfigFile(
        config=_with_paths(config, Path(file).parent),
        file=file,
        cautions=tuple(reader.cautions),
        lines=reader.lines,
        secrets=frozenset(reader.secrets),
    )


def check_role(read: ConfigFile, role: str) -> None:
    """ConfigError if `role` (tap, worker, api, run) cannot work as a process with this configuration."""
    mistakes = [
        m for path, text in config_checks.role_findings(read.config, role) for m in read.error(path, text).mistakes
    ]
    if mistakes:
        raise ConfigError(mistakes)


def _covered(path: str, bad: set[str]) -> bool:
    """Whether something at this path, around it or in it, is already known to be wrong."""
    return any(
        b == path or b.startswith((f"{path}.", f"{path}[")) or (b and path.startswith((f"{b}.", f"{b}["))) for b in bad
    )


def _with_presets(config: Config, known: Known) -> Config:
    """The same with the fields of formats that know where the parts of an event are, where none are stated."""

    def filled(of: Any, format: str | Format, without: tuple[str, ...] = ()) -> Any:
        preset = known.presets.get(Format.of(format).name)
        if preset is None:
            return of
        names = [f.name for f in fields(of) if f.name not in without and not getattr(of, f.name)]
        return replace(of, **{name: getattr(preset, name) for name in names})

    models = {}
    for name, model in config.models.items():
        apart = ("features", "version") if model.features is not None else ()  # a request does not know the version
        said = model.fields.prediction or model.fields.score or model.task == "none"  # one without the other is meant
        answer = ("prediction", "score") if said else ("score",) if model.task == "regression" else ()
        models[name] = replace(model, fields=filled(model.fields, model.format, apart + answer))
        if model.features is not None:
            own = replace(model.features, fields=filled(model.features.fields, model.features.format, ("version",)))
            models[name] = replace(models[name], features=own)
    return replace(config, models=models)


def _with_paths(config: Config, folder: Path) -> Config:
    """The same with the reference files' paths relative to where the process runs."""

    def here(file: str) -> str:
        return os.path.normpath(folder / file) if file else ""

    models = {}
    for name, model in config.models.items():
        r = model.reference
        models[name] = replace(model, reference=replace(r, file=here(r.file), features_file=here(r.features_file)))
    return replace(config, models=models)


def _compose(text: str) -> yaml.Node | None:
    """The root node, which knows its lines; None for an empty file."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    root: yaml.Node | None = yaml.compose(text, Loader=loader)
    return root


def _alone(file: str, line: int, message: str) -> ConfigError:
    return ConfigError([Mistake(file=file, line=line, path="", message=message)])
