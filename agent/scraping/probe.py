# SPDX-License-Identifier: Apache-2.0
"""Asks a port of this node whether an engine answers there: a short question to who may never have heard of HTTP."""

from typing import NamedTuple

from agent.dialects.pages import recognise
from agent.exposition import Parser
from agent.scraping.page import ACCEPT, OK
from agent.system.http_client import Failed, Target, get

PATHS = ("/metrics", "/prometheus/metrics")
"""Where engines have their metrics; the second is TensorRT-LLM's."""
_TIMEOUT = 1.0
_LIMIT = 256 << 10
"""Bytes that are read: names of an engine's own come long before."""
FOUND, NO_ENGINE = "found", "no_engine"


class Answered(NamedTuple):
    """What a port said: `outcome` is found, no_engine, or why it gave no answer."""

    outcome: str
    target: Target
    kind: str | None = None


async def probe(host: str, port: int) -> Answered:
    """Ask a port, at its usual paths. Takes two seconds at most, follows nothing and raises nothing."""
    outcome = NO_ENGINE
    for path in PATHS:
        target = Target(host, port, path)
        try:
            answer = await get(target, ACCEPT, limit=_LIMIT, timeout=_TIMEOUT, partly=True)
        except Failed as failure:
            return Answered(failure.reason, target)
        body = answer.body if answer.whole else answer.body[: answer.body.rfind(b"\n") + 1]
        if answer.status == OK and (kind := recognise(Parser().parse(body))):
            return Answered(FOUND, target, kind)
    return Answered(outcome, Target(host, port))
