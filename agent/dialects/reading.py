# SPDX-License-Identifier: Apache-2.0
"""Reads a span in the dialect it is in, and says who asked."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from agent.dialects import (
    Dialect,
    Reading,
    dynamo,
    gen_ai,
    openinference,
    openllmetry,
    sglang,
    tensorrt_llm,
    vllm,
)
from agent.dialects.values import text
from agent.requests import Request
from agent.spans import Span

DIALECTS: tuple[Dialect, ...] = (
    vllm.DIALECT,
    tensorrt_llm.DIALECT,
    sglang.DIALECT,
    dynamo.DIALECT,
    openinference.DIALECT,
    openllmetry.DIALECT,
    gen_ai.DIALECT,
)
"""In the order in which they are asked: the engines, known by name and scope, before the conventions, which are known
by attributes, and the narrower convention before the wider one."""


class Reader:
    """Reads spans, whatever engine or library sent them."""

    def __init__(
        self, tenant_attributes: Sequence[str], told: Callable[[Request], Request] = lambda request: request
    ) -> None:
        """Take the first of these attributes that is there for the tenant, on the span and then on its resource.

        `told` adds to a request that several spans tell what was told of it elsewhere.
        """
        self._tenant = tuple(tenant_attributes)
        self._dialects = tuple((dialect.knows, dialect.read) for dialect in DIALECTS)
        self._told = told
        self._completes = {dialect.name: dialect.complete for dialect in DIALECTS}

    def read(self, span: Span) -> Reading:
        """Read a span: a request, a part of one, or neither (None)."""
        for knows, read in self._dialects:
            if knows(span) and (reading := read(span)) is not None:
                return self._with_tenant(reading) if isinstance(reading, Request) else reading
        return None

    def joins(self, request: Request) -> bool:
        """Tell whether other spans of its trace tell more about this request."""
        return self._completes[request.dialect] is not None

    def complete(self, request: Request, spans: Sequence[Span]) -> Request:
        """Give the request as the spans of its trace make it: every part and request of a dialect that joins."""
        complete = self._completes[request.dialect]
        return request if complete is None else self._told(complete(request, spans))

    def _with_tenant(self, request: Request) -> Request:
        span = request.span
        for told in (span.attributes, span.source.attributes):
            for key in self._tenant:
                if key in told and (tenant := text(told[key])) is not None:
                    return replace(request, tenant=tenant)
        return request
