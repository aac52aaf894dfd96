# SPDX-License-Identifier: Apache-2.0
"""What senders are told when a request is refused, and who may send: the same over gRPC and HTTP."""

import hmac
from collections.abc import Mapping

from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from agent.clock import NS
from agent.receivers.otlp import Refusal, Refused

CODES: Mapping[Refusal, int] = {
    Refusal.MALFORMED: code_pb2.INVALID_ARGUMENT,
    # With RetryInfo it means "later", without it "never": https://opentelemetry.io/docs/specs/otlp/#failures
    Refusal.TOO_LARGE: code_pb2.RESOURCE_EXHAUSTED,
    Refusal.BUSY: code_pb2.RESOURCE_EXHAUSTED,
    Refusal.UNSUPPORTED: code_pb2.UNIMPLEMENTED,
    Refusal.UNAUTHENTICATED: code_pb2.UNAUTHENTICATED,
    Refusal.INCOMPLETE: code_pb2.INVALID_ARGUMENT,
    Refusal.CROSS_SITE: code_pb2.PERMISSION_DENIED,
    Refusal.INTERNAL: code_pb2.INTERNAL,
}


def retry_info(seconds: float) -> RetryInfo:
    """Say when to come again."""
    whole, rest = divmod(round(seconds * NS), NS)
    return RetryInfo(retry_delay=Duration(seconds=whole, nanos=rest))


def status(refused: Refused) -> Status:
    """Say why a request is refused, and when it may be sent again."""
    found = Status(code=CODES[refused.refusal], message=refused.message)
    if refused.retry is not None:
        found.details.add().Pack(retry_info(refused.retry))
    return found


def authorize(given: bytes, token: str | None) -> None:
    """Refuse who does not have the token in the authorization header."""
    if token is not None and not hmac.compare_digest(given, b"Bearer " + token.encode()):
        raise Refused(Refusal.UNAUTHENTICATED, "a bearer token is asked for")
