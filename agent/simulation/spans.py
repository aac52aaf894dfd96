# SPDX-License-Identifier: Apache-2.0
"""Finished sequences as spans, as vLLM 0.32 makes them: one `llm_request` each, through the OpenTelemetry SDK.

Three things differ. Start and end are the simulated times, not those of the call. `tenant.id` is there, which
vLLM does not send: a build that knows its gateway would add it, and without it nothing here is divided by tenant.
And a request that failed has the status of an error, which vLLM's does not have.
"""

import os
import uuid
from typing import Final, NamedTuple

from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from agent.simulation.batching import Finished

SCOPE: Final = "vllm.tracing.otel"
_HANDLED, _SPAN_MADE = 0.7e-3, 0.4e-3
"""Seconds from the engine's last token until the API server has dealt with it, and until its span ends after that."""
_PROPAGATOR = TraceContextTextMapPropagator()


class Times(NamedTuple):
    """What the API server's clock says about a request, s since the start."""

    arrival: float
    first_token: float
    last_token: float
    end: float


def times(finished: Finished) -> Times:
    """Add to the engine's times what the API server takes."""
    last = finished.last_token + _HANDLED
    return Times(finished.request.arrival, finished.first_token + _HANDLED, last, last + _SPAN_MADE)


def resource(service: str) -> Resource:
    """Describe this process as vLLM's API server describes itself."""
    return Resource.create(
        {
            "service.name": service,
            "service.instance.id": str(uuid.uuid4()),
            "vllm.instrumenting_module_name": "vllm.llm_engine",
            "vllm.process_id": str(os.getpid()),
        }
    )


def attributes(finished: Finished) -> dict[str, str | int | float]:
    """Say what vLLM says about a sequence. A parameter of the request that is 0 is left out, as there."""
    request, seen = finished.request, times(finished)
    wanted = {
        "gen_ai.request.top_p": request.top_p,
        "gen_ai.request.max_tokens": request.max_tokens,
        "gen_ai.request.temperature": request.temperature,
        "gen_ai.request.n": len(request.outputs),
    }
    return {
        "gen_ai.latency.time_to_first_token": seen.first_token - seen.arrival,
        "gen_ai.latency.e2e": seen.last_token - seen.arrival,
        "gen_ai.latency.time_in_queue": finished.scheduled - finished.queued,
        "gen_ai.usage.prompt_tokens": request.prompt_tokens,
        "gen_ai.usage.completion_tokens": finished.output_tokens,
        "gen_ai.latency.time_in_model_prefill": finished.first_token - finished.scheduled,
        "gen_ai.latency.time_in_model_decode": finished.last_token - finished.first_token,
        "gen_ai.latency.time_in_model_inference": finished.last_token - finished.scheduled,
        "gen_ai.request.id": request.request_id,
        **{key: value for key, value in wanted.items() if value},
        "tenant.id": request.tenant,
    }


def emit(tracer: Tracer, finished: Finished, epoch: int) -> None:
    """Make the span of a sequence. `epoch` is the wall time of the start, ns."""
    seen = times(finished)
    parent = finished.request.traceparent
    span = tracer.start_span(
        "llm_request",
        _PROPAGATOR.extract({"traceparent": parent}) if parent else None,
        SpanKind.SERVER,
        attributes(finished),
        start_time=epoch + int(seen.arrival * 1e9),
    )
    if finished.failed:
        span.set_status(StatusCode.ERROR)
    span.end(epoch + int(seen.end * 1e9))
