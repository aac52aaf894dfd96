# SPDX-License-Identifier: Apache-2.0
"""Reads the configuration: YAML, then JOULESPAN_* variables, then flags; each overrides what came before.

A variable names its key in capitals with underscores: JOULESPAN_COLLECTORS_GPU_INTERVAL=2s is collectors.gpu.interval.
Unknown keys are errors that name the nearest key there is.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent.config import OWNER_LABELS, Config, Engine, NodeSettings, Section, SwitchPage
from agent.config_values import Address, Duration, OptionalAddress, PageUrl, Size
from agent.errors import ConfigError

_PREFIX = "JOULESPAN_"
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`(?: - at `\$\.?(?P<path>[^`]*)`)?")
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$")


def _push_interval(config: Config) -> float:
    interval = config.exporters.otlp.interval
    return math.inf if interval is None else interval


_MIN_INTERVALS: dict[str, tuple[Callable[[Config], float], float]] = {
    # The energy counter steps about every 100 ms and the power sensor refreshes at about 10 Hz: faster tells no more.
    "collectors.energy.interval": (lambda config: config.collectors.energy.interval, 0.05),
    # GPM's samples must be more than 100 ms apart.
    "collectors.gpu.interval": (lambda config: config.collectors.gpu.interval, 0.2),
    "collectors.gpu.slow_interval": (lambda config: config.collectors.gpu.slow_interval, 0.2),
    "collectors.gpu.processes_interval": (lambda config: config.collectors.gpu.processes_interval, 0.2),
    "collectors.engines.interval": (lambda config: config.collectors.engines.interval, 0.2),
    "collectors.engines.timeout": (lambda config: config.collectors.engines.timeout, 0.1),
    "collectors.switches.timeout": (lambda config: config.collectors.switches.timeout, 0.1),
    # Groq's rates are over 5 minutes, and there are eleven questions.
    "collectors.groq.interval": (lambda config: config.collectors.groq.interval, 15),
    "exporters.otlp.interval": (_push_interval, 0.1),
}


_NODE_LEAST = 0.2
"""Seconds; the least interval of a collector of the node."""
_LISTS: dict[str, type[msgspec.Struct]] = {"engines": Engine, "switches": SwitchPage}
_LIMITS = ("max_engines", "max_models", "max_tenants")
_MOST_NAMES = 10_000
_MOST_SERIES = 1_000_000


def load(path: Path | None, environ: Mapping[str, str], settings: Sequence[str] = ()) -> Config:
    """Read the configuration. `settings` are key=value flags. Raises ConfigError with one line."""
    tree = {} if path is None else _read(path)
    where = str(path) if path else "configuration"
    for name, value in _variables(environ):
        _set(tree, name, value, f"{_PREFIX}{name.upper().replace('.', '_')}")
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            message = f"--set {_line(setting)}: write KEY=VALUE"
            raise ConfigError(message)
        if _known(key.strip()) is None:
            message = f"--set {_line(setting)}: unknown key `{_line(key)}`{_suggest(key, list(_keys()))}"
            raise ConfigError(message)
        _set(tree, key.strip(), value, f"--set {key}")
    config = _convert(tree, where)
    _check(config, where)
    return config


def _read(path: Path) -> dict[str, Any]:
    import yaml  # noqa: PLC0415 - most runs have no file

    try:
        tree = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}"
        raise ConfigError(message) from error
    # Beside its own errors PyYAML lets through those of the types it makes: dates, huge numbers, deep nesting.
    except (yaml.YAMLError, ValueError, AttributeError, RecursionError) as error:
        message = f"{path}: is no YAML: {_line(str(error))}"
        raise ConfigError(message) from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        message = f"{path}: must be a mapping of keys, is a {type(tree).__name__}"
        raise ConfigError(message)
    return tree


def _convert(tree: dict[str, Any], where: str) -> Config:
    try:
        return msgspec.convert(tree, type=Config, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {_explain(str(error))}") from error


def _decode(kind: type[Any], value: object) -> object:
    if kind in (Duration, Address, OptionalAddress, Size, PageUrl):
        return kind.parse(value)
    raise NotImplementedError(kind)


def _explain(error: str) -> str:
    """Turn msgspec's message into path, fault and suggestion."""
    error = _line(error)
    if found := _UNKNOWN.match(error):
        path = ".".join(part for part in (found["path"], found["key"]) if part)
        siblings = [key.rpartition(".")[2] for key in _sections(re.sub(r"\[.*?\]", "", found["path"] or ""))]
        return f"unknown key `{path}`{_suggest(found['key'], siblings)}"
    place = _PLACE.match(error)
    assert place
    return f"{place['path']}: {place['what']}" if place["path"] else place["what"]


def _line(text: str) -> str:
    """Put a text that may have line breaks on one line."""
    return " ".join(text.split())


def _suggest(key: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`?" if close else f"; known are {', '.join(sorted(known))}"


def _keys(section: type[msgspec.Struct] = Config, prefix: str = "") -> Iterator[str]:
    """List the keys that hold a value, with their paths."""
    for field in msgspec.structs.fields(section):
        if isinstance(field.type, type) and issubclass(field.type, Section):
            yield from _keys(field.type, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def _sections(path: str) -> list[str]:
    """List the keys of the section at a path."""
    section: type[msgspec.Struct] = _LISTS.get(path, Config)
    for name in path.split(".") if path and path not in _LISTS else ():
        kinds = {field.name: field.type for field in msgspec.structs.fields(section)}
        section = kinds[name]
    return [field.name for field in msgspec.structs.fields(section)]


def _known(key: str) -> str | None:
    return key if key in set(_keys()) else None


def _variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    known = {key.upper().replace(".", "_"): key for key in _keys()}
    for name, value in environ.items():
        if name.startswith(_PREFIX):
            key = known.get(name.removeprefix(_PREFIX))
            if key is None:
                message = f"{_line(name)}: unknown variable{_suggest(name, [_PREFIX + key for key in known])}"
                raise ConfigError(message)
            yield key, value


def _set(tree: dict[str, Any], key: str, text: str, where: str) -> None:
    """Put a value given as text at a path. Lists are written with commas."""
    *parents, last = key.split(".")
    for parent in parents:
        if tree.get(parent) is None:  # Not there, or a heading with nothing under it.
            tree[parent] = {}
        tree = tree[parent]
        if not isinstance(tree, dict):
            message = f"{where}: `{parent}` is no section in the configuration file"
            raise ConfigError(message)
    tree[last] = _from_text(key, text)


def _from_text(key: str, text: str) -> object:
    lowered = text.strip().lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    last = key.rpartition(".")[2]
    if last in ("include", "exclude", "tenant_attributes", "command", "labels"):
        return [part.strip() for part in text.split(",") if part.strip()]
    if last == "headers":
        return dict(part.strip().partition("=")[::2] for part in text.split(",") if part.strip())
    # More digits than that are no limit, and int() refuses thousands of them without naming the key.
    limits = ("collectors.switches.max_series", "owners.max")
    whole = key in (*limits, *(f"requests.{one}" for one in _LIMITS))
    return int(text) if whole and re.fullmatch(r"[0-9]{1,9}", lowered) else text


def _check(config: Config, where: str) -> None:
    """Refuse what parses but cannot work."""
    for problem in _problems(config):
        raise ConfigError(f"{where}: {problem}")


def _problems(config: Config) -> Iterator[str]:  # noqa: C901 - one branch a rule
    for path, (get, least) in _MIN_INTERVALS.items():
        if get(config) < least:
            yield f"{path}: {get(config):g}s is too short; at least {least:g}s"
    yield from _node(config)
    for name in ("otlp", "traces", "logs"):
        protocol = getattr(config.exporters, name).protocol
        if protocol not in ("", "grpc", "http/protobuf"):
            yield f"exporters.{name}.protocol: `{protocol}` is neither grpc nor http/protobuf"
    for limit in _LIMITS:
        if not 1 <= getattr(config.requests, limit) <= _MOST_NAMES:
            yield f"requests.{limit}: must be from 1 to {_MOST_NAMES}"
    yield from _owners(config)
    for name, web in (("web", config.web), ("receivers.otlp.security", config.receivers.otlp.security)):
        if bool(web.certificate) != bool(web.key):
            yield f"{name}: certificate and key go together"
    names = [engine.name for engine in config.engines]
    if len(names) != len(set(names)):
        yield "engines: two engines have the same name"
    pages = [engine.metrics_url for engine in config.engines if engine.metrics_url]
    if len(pages) != len(set(pages)):
        yield "engines: two engines have the same metrics_url"
    yield from _files(config)
    yield from _switches(config)


def _node(config: Config) -> Iterator[str]:
    for field in msgspec.structs.fields(config.collectors):
        settings = getattr(config.collectors, field.name)
        if isinstance(settings, NodeSettings) and settings.interval < _NODE_LEAST:
            yield f"collectors.{field.name}.interval: {settings.interval:g}s is too short; at least {_NODE_LEAST:g}s"


def _switches(config: Config) -> Iterator[str]:
    names = [page.name for page in config.switches]
    if len(names) != len(set(names)):
        yield "switches: two pages have the same name"
    for number, page in enumerate(config.switches):
        if page.interval < 1:
            yield f"switches[{number}].interval: {page.interval:g}s is too short; at least 1s"
    if not 1 <= config.collectors.switches.max_series <= _MOST_SERIES:
        yield f"collectors.switches.max_series: must be from 1 to {_MOST_SERIES}"


def _owners(config: Config) -> Iterator[str]:
    for label in config.owners.labels:
        if label not in OWNER_LABELS:
            yield f"owners.labels: `{_line(label)}` is no attribute of owners{_suggest(label, OWNER_LABELS)}"
    if not 1 <= config.owners.max <= _MOST_NAMES:
        yield f"owners.max: must be from 1 to {_MOST_NAMES}"


def _files(config: Config) -> Iterator[str]:
    for number, engine in enumerate(config.engines):
        for key in ("forward_pass_files", "request_trace_files"):
            for pattern in getattr(engine, key):
                if not pattern.startswith("/"):
                    yield f"engines[{number}].{key}: `{_line(pattern)}` must begin with /"
    neuron, groq = config.collectors.neuron, config.collectors.groq
    if neuron.command and neuron.file:
        yield "collectors.neuron: either command or file"
    if not groq.endpoint.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
        yield f"collectors.groq.endpoint: `{_line(groq.endpoint)}` must begin with https://, the API key is sent there"
