# SPDX-License-Identifier: Apache-2.0
"""NVIDIA Dynamo with its mocker for workers: the real front end, router and telemetry, and no model behind them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.engines.model import CONTEXT, NAME
from tests.engines.server import environment, process, wait_for
from tests.exporters.receivers import free_port

FRONT = "dynamo-frontend"
_START = 120.0
"""Seconds; 3 on two idle cores."""


class Dynamo(NamedTuple):
    """A running deployment."""

    url: str
    workers: Mapping[str, int]
    """Process ids by the name of their service."""


@contextmanager
def running(
    venv: Path, model: Path, folder: Path, roles: Mapping[str, str], otlp: Mapping[str, str]
) -> Iterator[Dynamo]:
    """Run a front end and workers, and wait until all of them can be asked.

    `roles` are agg, prefill or decode, by the name of the worker's service; `otlp` says where telemetry goes, in
    OpenTelemetry's variables.
    """
    url = f"http://127.0.0.1:{free_port()}"
    python: list[str | Path] = [venv / "bin/python", "-m"]
    address = ["--http-host", "127.0.0.1", "--http-port", url.rpartition(":")[2]]
    commands: dict[str, list[str | Path]] = {FRONT: [*python, "dynamo.frontend", *address, "--router-mode", "kv"]}
    worker = [*python, "dynamo.mocker", "--model-path", model, "--model-name", NAME, "--max-model-len", str(CONTEXT)]
    for service, role in roles.items():
        commands[service] = [*worker, "--disaggregation-mode", role]
        if role == "prefill":
            commands[service] += ["--bootstrap-ports", str(free_port())]
    servers = {}
    with ExitStack() as stack:
        for service, command in commands.items():
            log = folder / f"{service}.log"
            servers[stack.enter_context(process(command, _environment(folder, service, otlp), log))] = log
        wait_for(f"{url}/health", lambda page: _instances(page) == len(roles), servers, _START)
        # The front end knows its workers before it knows what they serve, and answers 404 meanwhile.
        wait_for(f"{url}/v1/models", lambda page: NAME in _models(page), servers, _START)
        yield Dynamo(url, {log.stem: server.pid for server, log in servers.items() if log.stem != FRONT})


def _environment(folder: Path, service: str, otlp: Mapping[str, str]) -> dict[str, str]:
    return environment(
        folder,
        DYN_DISCOVERY_BACKEND="file",
        DYN_FILE_KV=str(folder / "discovery"),
        OTEL_EXPORT_ENABLED="1",
        OTEL_SERVICE_NAME=service,
        OTEL_TRACES_SAMPLER="always_on",
        # A worker shows its metrics on a free port; the front end has them on its own and opens none.
        DYN_SYSTEM_PORT="0",
        **otlp,
    )


def _instances(page: bytes) -> int:
    """Count the workers that the front end knows of."""
    return sum(one["endpoint"] == "generate" for one in json.loads(page)["instances"])


def _models(page: bytes) -> list[str]:
    """List the models that the front end serves."""
    return [one["id"] for one in json.loads(page)["data"]]
