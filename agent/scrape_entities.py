# SPDX-License-Identifier: Apache-2.0
"""What the agent's metrics about the scraping of engines are about."""

from typing import Annotated, NamedTuple

from agent.engine_entities import Name
from agent.entity import Attr


class ScrapedEngine(NamedTuple):
    """An engine whose metrics this agent scrapes."""

    engine: Name


class ScrapeInfo(NamedTuple):
    """Where an engine's metrics come from, and why not."""

    engine: Name
    url: Annotated[str, Attr("url.full", "Page that is scraped")]
    source: Annotated[str, Attr("source", "How it was found: process, config")]
    kind: Annotated[str | None, Attr("engine.system", "vllm, sglang, tensorrt_llm, dynamo, …")] = None
    failure: Annotated[str | None, Attr("error.type", "Why the last scrape failed; absent when it did not")] = None


class ScrapeFault(NamedTuple):
    """Something about the scrapes of an engine that is not as it should be."""

    engine: Name
    reason: Annotated[str, Attr("reason", "What: of a failed scrape, or of what was left out of a page")]


class EngineProbe(NamedTuple):
    """Ports that were asked whether they are an engine's."""

    outcome: Annotated[str, Attr("outcome", "found, no_engine, or why there was no answer")]
