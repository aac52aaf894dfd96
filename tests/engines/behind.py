# SPDX-License-Identifier: Apache-2.0
"""What is behind an engine: an agent on mock GPUs that takes its spans, and a back end that the agent sends them to."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tests.agent.collector import Collector
from tests.agent.running import RunningAgent, Scrape, running
from tests.exporters.receivers import free_port
from tests.mock_nvml.control import ControlFile, MockNvml

GPUS = 4
_PATIENCE = 60.0
_QUIET = 2.5
"""Seconds without a change after which none is expected; the agent's own counters are renewed each second."""


class Arrived(NamedTuple):
    """A span that came to the back end."""

    service: str
    name: str
    kind: int
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    attributes: Mapping[str, Any]

    def number(self, key: str) -> int:
        """Read a number; Dynamo writes them as text."""
        return int(self.attributes[key])


class Behind:
    """An agent and its back end."""

    def __init__(
        self, agent: RunningAgent, receivers: Mapping[str, str], collector: Collector, control: ControlFile
    ) -> None:
        """`receivers` are the agent's addresses by name."""
        self._agent = agent
        self.receivers = receivers
        self._collector = collector
        self._control = control

    def holds(self, pid: int, gpu: int) -> str:
        """Let the driver say that a process holds memory of a GPU; give its UUID as soon as the agent knows."""
        name = "joulespan_gpu_process_memory_usage_bytes"
        self._control.set(**{f"procs.{gpu}": f"{pid}:1024:C"})
        scrape = self._agent.until(lambda scrape: scrape.values(name, process_pid=str(pid)))
        (found,) = [one["hw_id"] for one in scrape.labels(name) if one["process_pid"] == str(pid)]
        return found

    def settled(self, requests: int = 0) -> Scrape:
        """Wait until that many requests are counted and all that came in went on, and then until nothing changes."""
        self._agent.until(lambda scrape: finished(scrape) >= requests, _PATIENCE)
        scrape = self._agent.scrape()
        deadline = time.monotonic() + _PATIENCE
        while True:
            before = outcomes(scrape)
            time.sleep(_QUIET)
            scrape = self._agent.scrape()
            if outcomes(scrape) == before and before["accepted"] == before["forwarded"] + before["dropped"]:
                return scrape
            assert time.monotonic() < deadline, f"{before}\n{self._agent.log}"

    def until(self, true: Callable[[Scrape], object]) -> Scrape:
        """Scrape until something is true of it."""
        return self._agent.until(true, _PATIENCE)

    @property
    def log(self) -> str:
        """What the agent said."""
        return self._agent.log

    def spans(self) -> list[Arrived]:
        """Give every span that came to the back end."""
        return [
            Arrived(
                str(_pairs(resource.resource.attributes).get("service.name")),
                span.name,
                span.kind,
                span.trace_id,
                span.span_id,
                span.parent_span_id,
                _pairs(span.attributes),
            )
            for request in self._collector.requests()
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@contextmanager
def behind(mock_nvml: MockNvml, folder: Path, **sections: Any) -> Iterator[Behind]:
    """Run them. The agent looks every second for the processes that hold GPUs; `sections` are of its configuration."""
    control = ControlFile(folder / "nvml.control")
    control.set(gpus=GPUS)
    with Collector().running() as collector:
        settings = {
            "exporters": {"traces": {"endpoint": collector.endpoint}},
            "collectors": {"gpu": {"processes_interval": "1s"}},
            **sections,
        }
        (folder / "joulespan.yaml").write_text(json.dumps(settings))
        receivers = {name: f"127.0.0.1:{free_port()}" for name in ("otlp_grpc", "otlp_http")}
        arguments = ["--config", str(folder / "joulespan.yaml")]
        for name, address in receivers.items():
            arguments += ["--set", f"receivers.{name.replace('_', '.')}={address}"]
        env, log = mock_nvml.env(control=control), folder / "joulespan.log"
        with running("run", *arguments, env=env, log=log) as agent:
            agent.until(lambda scrape: len(scrape.values("joulespan_gpu_info")) == GPUS)
            yield Behind(agent, receivers, collector, control)


def outcomes(scrape: Scrape) -> Counter[str]:
    """Count the spans by what became of them."""
    found: Counter[str] = Counter()
    for labels in scrape.labels("joulespan_receiver_spans_total"):
        found[labels["outcome"]] += int(scrape.value("joulespan_receiver_spans_total", **labels))
    return found


def finished(scrape: Scrape, **labels: str) -> int:
    """Count the requests."""
    return int(sum(scrape.values("gen_ai_server_request_duration_seconds_count", **labels)))


def tokens(scrape: Scrape, kind: str) -> int:
    """Count the tokens of requests: input, cached, output."""
    return int(sum(scrape.values("joulespan_request_tokens_total", gen_ai_token_type=kind)))


def _pairs(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind) if kind else None
