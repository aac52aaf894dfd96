# SPDX-License-Identifier: Apache-2.0
"""What the agent that runs on this node knows of its engines: GPUs, pages, and the requests it could not place."""

from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any

import msgspec

from agent.catalogue import own
from agent.catalogue.engine import REQUESTS_RUNNING
from agent.catalogue.requests import ENGINE_GPU, REQUEST_UNMAPPED
from agent.config_values import Address
from agent.metric import Metric
from agent.processors.senders import Reason

_TIMEOUT = 1.0
_LARGEST = 64 << 20
_OK, _UNAUTHORIZED = 200, 401
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to ask one that listens everywhere
_NAME_IT = "name its GPUs under `engines:`, or start it with OTEL_RESOURCE_ATTRIBUTES=gpu.uuid=GPU-…"
ADVICE: dict[str, str] = {
    Reason.NO_GPUS: "the agent has read no GPU yet, or there is none: see above for the driver",
    Reason.UNKNOWN_GPU: "correct the GPUs under `engines:` or in the span's attributes; spans that another node's "
    "agent sent on are placed there",
    Reason.NO_PROCESS_ID: f"the span names no process and its connection is closed or unknown: {_NAME_IT}",
    Reason.PROCESS_GONE: "the process ended, or runs on another node, or the agent does not see the host's processes: "
    "in a container it needs hostPID",
    Reason.NO_GPU_HELD: "its process tree holds no GPU memory: a front end or a collector sent the span, or the driver "
    f"lists no processes (MIG needs root, a container hostPID); otherwise {_NAME_IT}",
    Reason.NOT_PERMITTED: f"give the agent CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, or {_NAME_IT}",
    Reason.REMOTE: "the span came from another machine, or from a network of its own in which no process holds a GPU: "
    f"send to the agent on the engine's own node, or {_NAME_IT}",
    Reason.AMBIGUOUS: "several processes have the same number in their containers: set container.id or k8s.pod.uid in "
    f"OTEL_RESOURCE_ATTRIBUTES, or {_NAME_IT}",
    Reason.BUSY: "spans come on new connections all the time: let the sender keep its connection, or " + _NAME_IT,
}
"""What to do about each reason for which requests could not be placed."""
_STATUS = "status_"
SCRAPE_ADVICE: dict[str, str] = {
    "refused": "nobody listens there: the engine is gone, or `engines[].metrics_url` names another address",
    "unreachable": "no way leads there: correct `engines[].metrics_url`, or the name service of this node",
    "timeout": "the engine hangs, or is too busy to write its page: see its log, or raise `collectors.engines.timeout`",
    "tls": "its certificate is not good for this node: sign it with an authority that the system trusts",
    "malformed": "what answers there is no HTTP server, or breaks off: see the engine's log",
    "too_large": "the page is larger than `collectors.engines.max_page`",
    "unrecognised": "the page has no metrics of an engine that is known: see docs/engines.md; correct the URL, or "
    "switch the engine's metrics on",
    "internal": "a fault of the agent: its log says which; please report it",
    _STATUS: "the engine answers, but not with its metrics: correct the path, or switch its metrics on",
}
"""What to do about each reason for which a page could not be scraped."""


class Engine(msgspec.Struct):
    """An engine: ids of its GPUs and MIG instances, how they are known, and what is known of its page of metrics.

    `url` is that of the page, None where none was found; `failure` is why the last scrape failed, `last_scrape` the
    unix time of the last that did not.
    """

    name: str
    gpus: list[str]
    sources: list[str]
    kind: str | None = None
    models: list[str] = []
    url: str | None = None
    found_by: str | None = None
    last_scrape: float | None = None
    failure: str | None = None

    @property
    def advice(self) -> str:
        """What to do about the failure."""
        reason = _STATUS if self.failure and self.failure.startswith(_STATUS) else self.failure
        return SCRAPE_ADVICE.get(reason or "", "this doctor is older than the agent")


class Unmapped(msgspec.Struct):
    """Requests of an engine whose GPUs are not known, since the agent started."""

    engine: str
    reason: str
    requests: int


class Engines(msgspec.Struct):
    """What the agent at `agent` says; `error` is why it says nothing."""

    agent: str
    error: str | None = None
    engines: list[Engine] = []
    unmapped: list[Unmapped] = []


class _Point(msgspec.Struct):
    attributes: dict[str, str]
    value: float | None = None


class _Metric(msgspec.Struct):
    name: str
    points: list[_Point]


class _Snapshot(msgspec.Struct):
    metrics: list[_Metric]


def ask(address: Address) -> Engines:
    """Ask the agent that listens there. Takes a second at most where nobody answers."""
    where = str(address)
    connection = HTTPConnection(_ANY.get(address.host, address.host), address.port, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/api/v1/snapshot", headers={"accept": "application/json"})
        answer = connection.getresponse()
        body = answer.read(_LARGEST)
    except (OSError, HTTPException) as error:
        return Engines(where, f"no agent answers over plain HTTP ({str(error) or type(error).__name__})")
    finally:
        connection.close()
    if answer.status != _OK:
        return Engines(where, "asks for a token" if answer.status == _UNAUTHORIZED else f"says {answer.status}")
    try:
        return engines_in(body, where)
    except msgspec.DecodeError:
        return Engines(where, "answers, but not as joulespan does")


def engines_in(body: bytes, address: str) -> Engines:
    """Find the engines in a snapshot as JSON. Raises msgspec.DecodeError."""
    points = {metric.name: metric.points for metric in msgspec.json.decode(body, type=_Snapshot).metrics}
    return Engines(
        address,
        engines=_engines(points),
        unmapped=sorted(_unmapped(points.get(REQUEST_UNMAPPED.name, [])), key=lambda one: (one.engine, one.reason)),
    )


def _engines(points: Mapping[str, list[_Point]]) -> list[Engine]:
    found: dict[str, Engine] = {}

    def of(metric: Metric[Any]) -> Iterator[tuple[Engine, _Point]]:
        for point in points.get(metric.name, []):
            name = point.attributes.get("engine", "")
            yield found.setdefault(name, Engine(name, [], [])), point

    for engine, point in of(ENGINE_GPU):
        _add(engine.gpus, point.attributes.get("hw.id"))
        _add(engine.sources, point.attributes.get("source"))
    for engine, point in of(own.ENGINE_SCRAPE_INFO):
        told = point.attributes
        engine.url, engine.found_by = told.get("url.full"), told.get("source")
        engine.kind, engine.failure = told.get("engine.system"), told.get("error.type")
    for engine, point in of(own.ENGINE_SCRAPE_LAST_SUCCESS):
        engine.last_scrape = point.value
    for engine, point in of(REQUESTS_RUNNING):
        _add(engine.models, point.attributes.get("gen_ai.request.model"))
    return [found[name] for name in sorted(found)]


def _add(values: list[str], value: str | None) -> None:
    if value and value not in values:
        values.append(value)


def _unmapped(points: list[_Point]) -> Iterator[Unmapped]:
    for point in points:
        if point.value:
            told = point.attributes
            yield Unmapped(told.get("engine", ""), told.get("reason", ""), int(point.value))
