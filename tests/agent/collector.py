# SPDX-License-Identifier: Apache-2.0
"""A back end for spans: takes OTLP over gRPC and keeps every request as the bytes that came."""

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from agent.otlp.envelope import split


class Collector:
    """Listens on a port of its own, or on the one that is given."""

    def __init__(self, port: int = 0) -> None:
        self.bodies: list[bytes] = []
        handler = grpc.method_handlers_generic_handler(
            "opentelemetry.proto.collector.trace.v1.TraceService",
            {"Export": grpc.unary_unary_rpc_method_handler(self._take)},
        )
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)]
        self._server = grpc.server(futures.ThreadPoolExecutor(2), handlers=(handler,), options=options)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self.endpoint = f"http://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator["Collector"]:
        """Take requests until the end of the block."""
        self._server.start()
        try:
            yield self
        finally:
            self._server.stop(0.2).wait()

    def raw(self) -> list[bytes]:
        """Every span, as the bytes that came."""
        return [
            span
            for body in list(self.bodies)
            for resource in split(body).resources
            for scope in resource.scopes
            for span in scope.spans
        ]

    def spans(self) -> list[Span]:
        """Every span, decoded."""
        return [Span.FromString(one) for one in self.raw()]

    def requests(self) -> list[ExportTraceServiceRequest]:
        """Every request, decoded."""
        return [ExportTraceServiceRequest.FromString(body) for body in self.bodies]

    def _take(self, body: bytes, _context: Any) -> bytes:
        self.bodies.append(body)
        return b""
