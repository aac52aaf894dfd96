# SPDX-License-Identifier: Apache-2.0
"""The configuration: YAML, then JOULESPAN_* variables, then flags; each overrides what came before.

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

from agent.errors import ConfigError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[^\s:\[\]]+):(?P<port>[0-9]{1,5})")
_PREFIX = "JOULESPAN_"
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`(?: - at `\$\.?(?P<path>[^`]*)`)?")
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$")


class Duration(float):
    """Seconds, written as 100ms, 1s, 15m, 2h."""

    @classmethod
    def parse(cls, text: object) -> "Duration":
        """Read a duration. Raises ValueError."""
        if isinstance(text, str) and (found := _DURATION.fullmatch(text.strip())):
            seconds = float(found[1]) * _UNITS[found[2]]
            if math.isfinite(seconds):
                return cls(seconds)
        message = f"`{text}` is no duration: write a number with its unit, as in 100ms, 1s, 15m"
        raise ValueError(message)


class Address(str):
    """HOST:PORT; an IPv6 host in brackets; port 0 takes a free one."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> "Address":
        """Read an address. Raises ValueError."""
        if (found := _ADDRESS.fullmatch(str(text))) and int(found["port"]) < 1 << 16:
            return cls(text)
        message = f"`{text}` is no address: write HOST:PORT, as in 127.0.0.1:9840"
        raise ValueError(message)

    @property
    def host(self) -> str:
        """Host, without brackets."""
        return self.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Port."""
        return int(self.rpartition(":")[2])


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The root of every part of the configuration."""


class OtlpReceiver(Section, frozen=True, kw_only=True):
    """Where engines send OTLP."""

    grpc: Address = Address("127.0.0.1:4317")
    http: Address = Address("127.0.0.1:4318")


class Receivers(Section, frozen=True, kw_only=True):
    """What comes in."""

    otlp: OtlpReceiver = msgspec.field(default_factory=OtlpReceiver)


class GpuCollectors(Section, frozen=True, kw_only=True):
    """How often the GPUs are read, and how much of it."""

    interval: Duration = Duration(1)
    slow_interval: Duration = Duration(10)
    processes_interval: Duration = Duration(30)
    detail: bool = False
    kernel_log: bool = True


class EnergyCollector(Section, frozen=True, kw_only=True):
    """How often energy, power and link bytes go into the timeline."""

    interval: Duration = Duration(0.1)


class NicCollectors(Section, frozen=True, kw_only=True):
    """Which network interfaces are read."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class Collectors(Section, frozen=True, kw_only=True):
    """What is read on this machine."""

    gpu: GpuCollectors = msgspec.field(default_factory=GpuCollectors)
    energy: EnergyCollector = msgspec.field(default_factory=EnergyCollector)
    nic: NicCollectors = msgspec.field(default_factory=NicCollectors)


class Engine(Section, frozen=True, kw_only=True):
    """A serving engine that is named instead of found."""

    name: str
    service_name: str | None = None
    metrics_url: str | None = None
    gpus: tuple[str | int, ...] = ()


class Attribution(Section, frozen=True, kw_only=True):
    """How long the ledger waits for spans."""

    lateness: Duration = Duration(10)
    retention: Duration = Duration(900)


class PrometheusExporter(Section, frozen=True, kw_only=True):
    """What /metrics says."""

    dcgm_names: bool = False


class OtlpExporter(Section, frozen=True, kw_only=True):
    """Where metrics are pushed to. What is empty or None is left to the OTEL_* variables.

    `certificate`, `client_certificate` and `client_key` are files in PEM; `queue` is how many pushes may wait.
    """

    endpoint: str = ""
    interval: Duration | None = None
    protocol: str = ""
    headers: dict[str, str] = {}
    timeout: Duration | None = None
    certificate: str = ""
    client_certificate: str = ""
    client_key: str = ""
    queue: int = 64


class TracesExporter(Section, frozen=True, kw_only=True):
    """Where annotated spans are forwarded to."""

    endpoint: str = ""


class Exporters(Section, frozen=True, kw_only=True):
    """What goes out."""

    prometheus: PrometheusExporter = msgspec.field(default_factory=PrometheusExporter)
    otlp: OtlpExporter = msgspec.field(default_factory=OtlpExporter)
    traces: TracesExporter = msgspec.field(default_factory=TracesExporter)


class Web(Section, frozen=True, kw_only=True):
    """How `listen` is secured. File names; client_ca asks clients for a certificate."""

    certificate: str = ""
    key: str = ""
    client_ca: str = ""
    bearer_token_file: str = ""


class Config(Section, frozen=True, kw_only=True):
    """All of it."""

    listen: Address = Address("127.0.0.1:9840")
    web: Web = msgspec.field(default_factory=Web)
    receivers: Receivers = msgspec.field(default_factory=Receivers)
    collectors: Collectors = msgspec.field(default_factory=Collectors)
    engines: tuple[Engine, ...] = ()
    attribution: Attribution = msgspec.field(default_factory=Attribution)
    exporters: Exporters = msgspec.field(default_factory=Exporters)


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
    "exporters.otlp.interval": (_push_interval, 0.1),
}


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
    if kind in (Duration, Address):
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
    section: type[msgspec.Struct] = Engine if path == "engines" else Config
    for name in path.split(".") if path and path != "engines" else ():
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
    if key.rpartition(".")[2] in ("include", "exclude"):
        return [part.strip() for part in text.split(",") if part.strip()]
    if key == "exporters.otlp.headers":
        return dict(part.strip().partition("=")[::2] for part in text.split(",") if part.strip())
    # More digits than that are no size of a queue, and int() refuses thousands of them without naming the key.
    return int(text) if key == "exporters.otlp.queue" and re.fullmatch(r"[0-9]{1,9}", lowered) else text


def _check(config: Config, where: str) -> None:
    """Refuse what parses but cannot work."""
    for path, (get, least) in _MIN_INTERVALS.items():
        if get(config) < least:
            message = f"{where}: {path}: {get(config):g}s is too short; at least {least:g}s"
            raise ConfigError(message)
    if config.exporters.otlp.protocol not in ("", "grpc", "http/protobuf"):
        message = (
            f"{where}: exporters.otlp.protocol: `{config.exporters.otlp.protocol}` is neither grpc nor http/protobuf"
        )
        raise ConfigError(message)
    if config.exporters.otlp.queue < 2:  # noqa: PLR2004 - one in flight, one that waits
        message = f"{where}: exporters.otlp.queue: must be at least 2"
        raise ConfigError(message)
    if bool(config.web.certificate) != bool(config.web.key):
        message = f"{where}: web: certificate and key go together"
        raise ConfigError(message)
    names = [engine.name for engine in config.engines]
    if len(names) != len(set(names)):
        message = f"{where}: engines: two engines have the same name"
        raise ConfigError(message)
