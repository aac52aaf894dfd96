# SPDX-License-Identifier: Apache-2.0
"""What is read beside the GPUs and the spans, put together as configured: engines' pages, files, a command, an API."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from agent.catalogue.engine import ITERATIONS
from agent.clock import NS, Clock
from agent.collectors.node import Node, NodeCollector, Read, discover
from agent.collectors.overhead import NAME as OVERHEAD
from agent.collectors.overhead import HostOverhead
from agent.collectors.switches import NAME as SWITCHES
from agent.collectors.switches import Switches
from agent.commands.receiving import Receiving
from agent.config import Config, NodeSettings
from agent.requests import Request
from agent.scheduler import LoopCollector
from agent.scraping.collector import COLLECTOR, EngineCollector
from agent.scraping.search import Search
from agent.service import Pusher
from agent.snapshot import Snapshots, Source
from agent.system.machine import LocalMachine
from agent.timeline import Timeline
from agent.workers import Job, LateWorkers, Workers

_PERIOD = 1.0
_SLOW = 5.0


class Feeding:
    """The parts that run in threads of their own, and the collectors that say what they found.

    What is not configured is not there, except for the engines, which are found.
    """

    def __init__(self, config: Config, snapshots: Snapshots, timeline: Timeline, clock: Clock) -> None:
        """Make what is configured."""
        self.parts: list[Pusher] = []
        self.collectors: list[LoopCollector] = []
        self.told: Callable[[Request], Request] = lambda request: request
        """Adds to a request what files tell of it."""
        self._config = config
        self._snapshots = snapshots
        self._timeline = timeline
        self._clock = clock
        self._overhead(config)
        self._switches = Switches(snapshots, clock, threading.Lock, config.collectors.switches.max_series)
        self._listen(config)
        self._passes(config, snapshots, timeline)
        self._requests(config)
        self._neuron(config)
        self._groq(config)

    def scraping(self, receiving: Receiving) -> EngineCollector:
        """Make what finds and scrapes engines, and let the requests' metrics say on which GPUs it found them."""
        settings = self._config.collectors.engines
        search = Search(LocalMachine(), self._config.engines, receiving.feeds, self._clock, discover=settings.discover)
        collector = EngineCollector(settings, search, self._snapshots, self._timeline, self._clock)
        receiving.engines = collector.served
        receiving.switches = self._switches.take
        return collector

    def node(self, simulated_since: int | None = None) -> LateWorkers:
        """Make what reads the node, as far as it is switched on; in the demo, of the node that is simulated."""
        return LateWorkers(partial(self._workers, simulated_since), self._snapshots)

    def _workers(self, simulated_since: int | None) -> Workers:
        jobs = []
        for collector in discover():
            settings: NodeSettings = getattr(self._config.collectors, collector.name)
            if settings.enabled:
                jobs.append(
                    Job(collector, settings.interval, partial(self._open, collector, settings, simulated_since))
                )
        return Workers(jobs, self._snapshots, self._timeline, self._clock)

    def _open(
        self,
        collector: NodeCollector,
        settings: NodeSettings,
        simulated_since: int | None,
        failed: Callable[[Exception], None],
    ) -> Read:
        node = Node(settings, self._clock, lambda: self._snapshots.current, failed, simulated_since=simulated_since)
        return collector.open(node)

    def _overhead(self, config: Config) -> None:
        if config.collectors.cpu_power.enabled:
            overhead = HostOverhead(self._snapshots, self._timeline, self._clock, config.attribution.lateness)
            self.collectors.append(LoopCollector(OVERHEAD, _PERIOD, overhead.read))

    def _listen(self, config: Config) -> None:
        """Hear of switches: over OTLP always, on pages where some are configured."""
        switches, settings = self._switches, config.collectors.switches
        self.collectors.append(LoopCollector(SWITCHES, _PERIOD, switches.read))
        if not config.switches:
            return
        from agent.scraping.switches import SwitchPages  # noqa: PLC0415 - only what is configured

        pages = SwitchPages(config.switches, settings, switches, self._clock)
        self.parts.append(pages)
        self.collectors.append(LoopCollector("switch_pages", _SLOW, pages.samples))

    def _passes(self, config: Config, snapshots: Snapshots, timeline: Timeline) -> None:
        patterns = {engine.name: engine.forward_pass_files for engine in config.engines if engine.forward_pass_files}
        if not patterns:
            return
        from agent.collectors.forward_pass import NAME, ForwardPassFiles  # noqa: PLC0415 - only what is configured
        from agent.system.tail import Tails  # noqa: PLC0415 - as above

        engines = {name: Tails(files) for name, files in patterns.items()}
        step = int(config.collectors.energy.interval * NS)
        files = ForwardPassFiles(engines, timeline, self._clock, step, elsewhere=partial(_scraped, snapshots))
        self.parts.append(files.follower)
        self.collectors.append(LoopCollector(NAME, _PERIOD, files.read))

    def _requests(self, config: Config) -> None:
        patterns = [pattern for engine in config.engines for pattern in engine.request_trace_files]
        if not patterns:
            return
        from agent.collectors.request_trace import NAME, RequestTraceFiles  # noqa: PLC0415 - only what is configured
        from agent.system.tail import Tails  # noqa: PLC0415 - as above

        files = RequestTraceFiles(Tails(patterns), self._clock)
        self.told = files.records.join
        self.parts.append(files.follower)
        self.collectors.append(LoopCollector(NAME, _PERIOD, files.read))

    def _neuron(self, config: Config) -> None:
        settings = config.collectors.neuron
        if not settings.command and not settings.file:
            return
        from agent.collectors.neuron import NAME, NeuronDevices, NeuronPower  # noqa: PLC0415 - only what is configured
        from agent.collectors.trace_files import Feed, Follower  # noqa: PLC0415 - as above
        from agent.system.child import Child  # noqa: PLC0415 - as above
        from agent.system.tail import Tails  # noqa: PLC0415 - as above

        clock = self._clock
        devices = NeuronDevices(clock, lambda: part.failure)
        part: Child | Follower
        if settings.command:
            part = Child(settings.command, lambda lines: devices.take(lines, clock.monotonic_ns()), clock)
        else:
            part = Follower(NAME, [Feed(Tails([settings.file]), devices.take)], clock)
        self.parts.append(part)
        self.collectors.append(LoopCollector(NAME, _SLOW, devices.read))
        self.collectors.append(LoopCollector("neuron_power", _SLOW, NeuronPower(clock).read))

    def _groq(self, config: Config) -> None:
        settings = config.collectors.groq
        if not settings.token_file:
            return
        from agent.collectors.groq import NAME, GroqMetrics  # noqa: PLC0415 - only what is configured
        from agent.system.groq_api import GroqApi  # noqa: PLC0415 - as above

        api = GroqApi(settings.endpoint, Path(settings.token_file))
        metrics = GroqMetrics(api.ask, self._clock, settings.interval)
        self.parts.append(metrics)
        self.collectors.append(LoopCollector(NAME, _SLOW, metrics.read))


def _scraped(snapshots: Snapshots, engine: str) -> bool:
    """Whether the engine's own page says how many its iterations are, of each rank where it has several."""
    batch = snapshots.current.batches.get(Source(COLLECTOR, engine))
    return batch is not None and any(one.metric is ITERATIONS for one in batch.series)
