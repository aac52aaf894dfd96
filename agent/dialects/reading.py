# SPDX-License-Identifier: Apache-2.0
"""Reads a span in the dialect it is in."""

from collections.abc import Sequence

import msgspec

from agent.dialects import Dialect, Reading, dynamo, vllm
from agent.dialects.values import first, text
from agent.requests import Request
from agent.spans import Span

DIALECTS: tuple[Dialect, ...] = (vllm.DIALECT, dynamo.DIALECT)
"""In the order in which they are asked: the engines' own before the conventions that any of them may follow."""


class Reader:
    """Reads spans, whatever engine sent them, and who asked."""

    def __init__(self, tenant_attributes: Sequence[str]) -> None:
        """Take the first of these attributes that is there for the tenant, on the span and then on its resource."""
        self._tenant = tuple(tenant_attributes)
        self._tenants = frozenset(self._tenant)
        self._by_name = {dialect.name: dialect for dialect in DIALECTS}

    def read(self, span: Span) -> Reading:
        """Read a span: a request, a part of one, or neither (None)."""
        for dialect in DIALECTS:
            if dialect.knows(span) and (reading := dialect.read(span)) is not None:
                return self._with_tenant(reading) if isinstance(reading, Request) else reading
        return None

    def joins(self, request: Request) -> bool:
        """Tell whether other spans of its trace tell more about this request."""
        return self._by_name[request.dialect].complete is not None

    def complete(self, request: Request, spans: Sequence[Span]) -> Request:
        """Give the request as the spans of its trace make it: every part and request of a dialect that joins."""
        complete = self._by_name[request.dialect].complete
        return request if complete is None else complete(request, spans)

    def _with_tenant(self, request: Request) -> Request:
        for attributes in (request.span.attributes, request.span.source.attributes):
            if not self._tenants.isdisjoint(attributes) and (tenant := text(first(attributes, *self._tenant))):
                return msgspec.structs.replace(request, tenant=tenant)
        return request
