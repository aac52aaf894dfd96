# SPDX-License-Identifier: Apache-2.0
"""Recordings made by hand: of what was observed of a simulated engine, or point by point as a Collector writes them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agent.catalogue.engine import ITERATIONS, REQUESTS_RUNNING, TOKENS
from agent.catalogue.gpu import ENERGY
from agent.clock import NS
from agent.entities import Engine, EngineModel, EngineTokens
from agent.recording import METRICS, TRACES
from agent.recording.points import Points, Row
from agent.simulation import spans as simulated_spans
from agent.simulation.batching import Finished
from tests.accuracy.replay import ENGINE, gpus
from tests.accuracy.simulated import Observed

EPOCH = 1_790_000_000 * NS
"""Unix ns of the simulation's second 0."""


def pairs(**told: Any) -> list[dict[str, Any]]:
    """Attributes; a name's dots are written as underscores where two are."""
    kinds = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}
    return [{"key": key.replace("__", "."), "value": {kinds[type(value)]: value}} for key, value in told.items()]


def span(number: int, start: float, end: float, **told: Any) -> dict[str, Any]:
    """A span of vLLM's; s since EPOCH."""
    return {
        "traceId": f"{number + 1:032x}",
        "spanId": f"{number + 1:016x}",
        "name": "llm_request",
        "kind": 2,
        "startTimeUnixNano": str(EPOCH + int(start * NS)),
        "endTimeUnixNano": str(EPOCH + int(end * NS)),
        "attributes": pairs(**told),
    }


def request(number: int, start: float, end: float, **told: Any) -> dict[str, Any]:
    """A span of a request of 100 tokens that got 11, its first after a fifth of its time."""
    length = end - start
    usual = {
        "gen_ai__latency__e2e": length,
        "gen_ai__latency__time_in_queue": 0.0,
        "gen_ai__latency__time_to_first_token": length / 5,
        "gen_ai__latency__time_in_model_prefill": length / 5,
        "gen_ai__latency__time_in_model_decode": length * 4 / 5,
        "gen_ai__usage__prompt_tokens": 100,
        "gen_ai__usage__completion_tokens": 11,
        "gen_ai__request__id": f"chatcmpl-{number}",
    }
    return span(number, start, end, **usual, **told)


def traces(service: str, spans: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A trace request of one service."""
    scope = {"scope": {"name": "vllm.tracing.otel"}, "spans": list(spans)}
    return {"resourceSpans": [{"resource": {"attributes": pairs(service__name=service)}, "scopeSpans": [scope]}]}


def metrics(*some: dict[str, Any], host: str = "node-1") -> dict[str, Any]:
    """A metrics request."""
    scope = {"scope": {"name": "x"}, "metrics": list(some)}
    return {"resourceMetrics": [{"resource": {"attributes": pairs(host__name=host)}, "scopeMetrics": [scope]}]}


def energy(times: Iterable[float], joules: Iterable[Any], kind: str = "asDouble", **told: Any) -> dict[str, Any]:
    """The energy counter of a GPU; s since EPOCH."""
    points = [
        {"attributes": pairs(**told), "timeUnixNano": str(EPOCH + int(time * NS)), kind: value}
        for time, value in zip(times, joules, strict=True)
    ]
    return {
        "name": "hw.energy",
        "unit": "J",
        "sum": {"dataPoints": points, "aggregationTemporality": 2, "isMonotonic": True},
    }


def write(path: Path, *lines: dict[str, Any]) -> Path:
    """Write lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def spans_of(path: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Give the spans of a file with trace requests: all of one, and its attributes by name."""
    for line in path.read_text().splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                for one in scope["spans"]:
                    yield one, {pair["key"]: next(iter(pair["value"].values())) for pair in one["attributes"]}


def record(seen: Observed, folder: Path) -> Path:
    """Write what was observed of a simulated engine as the agent would; spans as its engine would send them."""
    folder.mkdir()
    encode, rows = Points({"service.name": "joulespan"}), list(_rows(seen))
    with (folder / METRICS).open("wb") as file:
        for second in range(0, len(rows), 10):
            file.write(encode.line(rows[second : second + 10], EPOCH)[0] + b"\n")
    sent = [one for one, sends in zip(seen.done, seen.sent, strict=True) if sends]
    spans = [_span(number, one) for number, one in enumerate(sent)]
    write(folder / TRACES, *(traces(ENGINE, spans[at : at + 7]) for at in range(0, len(spans), 7)))
    return folder


def truth(seen: Observed) -> np.ndarray[Any, np.dtype[np.float64]]:
    """True J of each span that record() writes."""
    return np.array([one.joules for one, sends in zip(seen.done, seen.sent, strict=True) if sends])


def _rows(seen: Observed) -> Iterator[Row]:
    devices = tuple(ENERGY.series(gpu) for gpu in gpus(len(seen.joules)))
    yield from (
        Row(devices, int(time * NS), row) for time, row in zip(seen.times, zip(*seen.joules, strict=True), strict=True)
    )
    tokens = tuple(TOKENS.series(EngineTokens(ENGINE, "m", kind)) for kind in ("input", "cached", "output"))
    page = (REQUESTS_RUNNING.series(EngineModel(ENGINE, "m")), *tokens, ITERATIONS.series(Engine(ENGINE)))
    for time, *values in zip(*seen.scrapes, strict=True):
        yield Row(page, int(time * NS), values)


def _span(number: int, finished: Finished) -> dict[str, Any]:
    times = simulated_spans.times(finished)
    told = {key.replace(".", "__"): value for key, value in simulated_spans.attributes(finished).items()}
    return span(number, times.arrival, times.end, **told)
