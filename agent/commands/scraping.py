# SPDX-License-Identifier: Apache-2.0
"""The scraping of engines, put together: what is looked at, and whom it is told to."""

from agent.clock import Clock
from agent.commands.receiving import Receiving
from agent.config import Config
from agent.scraping.collector import EngineCollector
from agent.scraping.search import Search
from agent.snapshot import Snapshots
from agent.system.machine import LocalMachine
from agent.timeline import Timeline


def engine_collector(
    config: Config, receiving: Receiving, snapshots: Snapshots, timeline: Timeline, clock: Clock
) -> EngineCollector:
    """Make the collector of engines, and let the requests' metrics say on which GPUs it found them."""
    settings = config.collectors.engines
    search = Search(LocalMachine(), config.engines, receiving.feeds, clock, discover=settings.discover)
    collector = EngineCollector(settings, search, snapshots, timeline, clock)
    receiving.engines = collector.served
    return collector
