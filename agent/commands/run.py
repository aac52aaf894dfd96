# SPDX-License-Identifier: Apache-2.0
"""`joulespan run` and `joulespan demo`: the agent on this node."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from agent.catalogue import own
from agent.clock import NS, Clock, SystemClock
from agent.config import Collectors, Config, NodeSettings, Web
from agent.entities import Agent, BuildInfo, Queue, Reload
from agent.errors import ConfigError
from agent.metric import Sample
from agent.reader.intake import Intake
from agent.reader.supervisor import Supervisor
from agent.reader.wire import Setup
from agent.resource import resource_attributes
from agent.snapshot import Snapshot, Snapshots
from agent.system import host
from agent.system.kmsg import KernelLog
from agent.systemd import Notifier
from agent.timeline import Timeline
from agent.version import VERSION

if TYPE_CHECKING:
    from agent.recording.recorder import Recorder
    from agent.simulation.processes import SimulatedEngines
    from exporters.http import HttpInterface
    from exporters.otlp_metrics import OtlpMetrics

LOG = logging.getLogger("joulespan")
DEMO_GPUS = 8


class _Core(NamedTuple):
    """What is made before anything else, so that the reader can start."""

    config: Config
    clock: Clock
    notifier: Notifier
    snapshots: Snapshots
    timeline: Timeline
    supervisor: Supervisor
    demo: "SimulatedEngines | None"
    recorder: "Recorder | None"


def run(
    load: Callable[[], Config],
    *,
    demo: bool = False,
    faults: bool = False,
    seconds: float | None = None,
    recorder: "Recorder | None" = None,
) -> int:
    """Run until told to stop. `load` reads the configuration, at start and at each reload; it raises ConfigError.

    `faults` lets things go wrong in the demo.

    What is seen goes to `recorder`, which whoever made it starts and stops.
    """
    config = load()
    clock = SystemClock()
    # First of all: it takes the socket's name out of the environment that the reader inherits.
    notifier = Notifier(os.environ)
    snapshots = Snapshots()
    timeline = _timeline(config, recorder)
    intake = Intake(snapshots, timeline, clock)
    engines = _simulated(clock, faults=faults) if demo else None
    supervisor = Supervisor(_setup(config, engines), intake, clock, asleep=_never if demo else host.all_asleep)
    # The reader starts now and loads the driver while we load the rest.
    supervisor.start()
    try:
        core = _Core(config, clock, notifier, snapshots, timeline, supervisor, engines, recorder)
        return _serve(core, load, seconds)
    finally:
        for link in supervisor.stop():
            link.close()
        if engines:
            engines.stop()


def _timeline(config: Config, recorder: "Recorder | None") -> Timeline:
    retention, step = config.attribution.retention, config.collectors.energy.interval
    if recorder is None:
        return Timeline(retention, step, guard=threading.Lock())
    from agent.recording.recorder import RecordedTimeline  # noqa: PLC0415 - only who records

    return RecordedTimeline(retention, step, recorder, guard=threading.Lock())


def _simulated(clock: Clock, *, faults: bool) -> "SimulatedEngines":
    from agent.simulation.processes import SimulatedEngines  # noqa: PLC0415 - only the demo has them

    return SimulatedEngines(clock.monotonic_ns(), faults=faults)


def _pushers(
    config: Config, resource: Mapping[str, str], clock: Clock, view: "_View", *, demo: bool
) -> "list[OtlpMetrics]":
    """Make what pushes metrics, where they are to go somewhere. Raises ConfigError."""
    from exporters.otlp_settings import enabled  # noqa: PLC0415 - loaded while the reader starts

    section = config.exporters.otlp
    if not enabled(section.endpoint, os.environ):
        return []
    from agent.commands.receiving import otlp_settings, spool_of  # noqa: PLC0415 - as above
    from exporters.otlp_metrics import NAME, OtlpMetrics  # noqa: PLC0415 - only who pushes pays for it

    settings, spool = otlp_settings(section, NAME), spool_of(NAME, config, demo=demo)
    return [OtlpMetrics(settings, resource, clock, view.snapshot, capacity=section.queue, spool=spool)]


def _serve(core: _Core, load: Callable[[], Config], seconds: float | None) -> int:
    from agent.collectors.own import OwnProcesses  # noqa: PLC0415 - loaded while the reader starts
    from agent.commands.feeding import Feeding  # noqa: PLC0415 - as above
    from agent.commands.receiving import Receiving  # noqa: PLC0415 - as above
    from agent.scheduler import LoopCollector, Scheduler  # noqa: PLC0415 - as above
    from agent.service import Pusher, Service  # noqa: PLC0415 - as above
    from exporters.http import HttpInterface  # noqa: PLC0415 - as above
    from exporters.server import HttpServer  # noqa: PLC0415 - as above

    config, clock, notifier, snapshots, timeline, supervisor, demo, recorder = core
    resource = resource_attributes(os.environ, version=VERSION)
    view = _View(snapshots, supervisor)
    interface = HttpInterface(view, clock, resource, token=_token("web", config.web), demo=demo is not None)
    supervisor.intake.updated = interface.updated
    pushers = _pushers(config, resource, clock, view, demo=demo is not None)
    otlp = config.receivers.otlp
    feeding = Feeding(config, snapshots, timeline, clock)
    token = _token("receivers.otlp.security", otlp.security)
    receiving = Receiving(
        config, snapshots, timeline, clock, token, feeding.told, demo=demo is not None, recorder=recorder
    )
    engines = feeding.scraping(receiving)
    node = feeding.node(None if demo is None else demo.started_ns)
    reloading = _Reloading(load, config, supervisor, interface, demo)
    started = clock.unix_ns(clock.monotonic_ns()) / NS

    def agent_samples() -> Iterator[Sample]:
        yield own.BUILD_INFO(BuildInfo(VERSION, "demo" if demo else "run"), 1)
        yield own.START_TIME(Agent(), started)
        yield own.QUEUE_FILL(Queue("timeline"), timeline.fill())
        yield own.QUEUE_DROPPED(Queue("timeline"), timeline.refused)
        yield from reloading.samples()
        yield from supervisor.samples()
        yield from supervisor.intake.samples()
        yield from scheduler.samples()
        yield from interface.samples()
        yield from receiving.samples()
        yield from engines.samples()
        yield from node.samples()
        for pusher in pushers:
            yield from pusher.samples()

    processes = OwnProcesses(supervisor.pids)
    scheduler = Scheduler(
        [
            LoopCollector("agent", 1.0, agent_samples),
            LoopCollector("requests", 1.0, receiving.request_samples),
            LoopCollector("process", 5.0, processes.read),
            *feeding.collectors,
        ],
        snapshots,
        clock,
    )

    server = HttpServer(interface, config.listen, config.web)
    if demo:
        LOG.warning(
            "demo: %d simulated GPUs and %d engines; nothing that is shown is measured but what this host itself does",
            DEMO_GPUS,
            len(demo.pids),
        )
        if receiving.grpc:
            demo.start(f"http://{receiving.grpc}")
    parts: list[Pusher] = [*pushers, *feeding.parts]
    service = Service(
        supervisor,
        scheduler,
        [server, receiving, engines, node],
        parts,
        notifier,
        kernel_log=None if demo else _kernel_log(config),
        reload=reloading,
        seconds=seconds,
    )
    asyncio.run(service.run())
    return 0


def _kernel_log(config: Config) -> KernelLog | None:
    if config.collectors.gpu.kernel_log:
        with suppress(OSError):  # Not permitted is usual: the event set still tells most XIDs.
            return KernelLog()
    return None


def _never() -> bool:
    return False


class _Reloading:
    """Reads the configuration anew and applies what can be applied while the agent runs."""

    def __init__(
        self,
        load: Callable[[], Config],
        config: Config,
        supervisor: Supervisor,
        interface: "HttpInterface",
        demo: "SimulatedEngines | None",
    ) -> None:
        self._load = load
        self._config = config
        self._supervisor = supervisor
        self._interface = interface
        self._demo = demo
        self._counts = {"applied": 0, "refused": 0}
        interface.dcgm = _dcgm(config)

    def __call__(self) -> None:
        """Raise ConfigError when the new configuration is wrong; nothing is changed then."""
        try:
            fresh = self._load()
        except ConfigError:
            self._counts["refused"] += 1
            raise
        self._counts["applied"] += 1
        for key in _fixed(self._config, fresh):
            LOG.warning("reload: %s changed, which takes effect after a restart", key)
        self._supervisor.reconfigure(_setup(fresh, self._demo))
        self._interface.dcgm = _dcgm(fresh)

    def samples(self) -> Iterator[Sample]:
        for outcome, count in self._counts.items():
            yield own.CONFIG_RELOADS(Reload(outcome), count)


class _View:
    """What the exporters see."""

    def __init__(self, snapshots: Snapshots, supervisor: Supervisor) -> None:
        self._snapshots = snapshots
        self._supervisor = supervisor

    def snapshot(self) -> Snapshot:
        return self._snapshots.current

    def ready(self) -> bool:
        """There is a snapshot, and the reader has said whether there is a driver."""
        intake = self._supervisor.intake
        return bool(self._snapshots.current.batches) and (intake.opened or intake.failure is not None)


def _setup(config: Config, demo: "SimulatedEngines | None") -> Setup:
    gpu = config.collectors.gpu
    return Setup(
        fast=float(config.collectors.energy.interval),
        normal=float(gpu.interval),
        slow=float(gpu.slow_interval),
        processes=float(gpu.processes_interval),
        detail=gpu.detail,
        simulate=DEMO_GPUS if demo else 0,
        engines=demo.engines if demo else [],
        faults=demo is not None and demo.faults,
        avoid=[],
    )


def _fixed(old: Config, new: Config) -> list[str]:
    """List what changed and cannot be changed while the agent runs."""
    return [
        key
        for key, before, after in (
            ("listen", old.listen, new.listen),
            ("web", old.web, new.web),
            ("receivers", old.receivers, new.receivers),
            ("engines", old.engines, new.engines),
            ("switches", old.switches, new.switches),
            ("collectors.switches", old.collectors.switches, new.collectors.switches),
            ("collectors.engines", old.collectors.engines, new.collectors.engines),
            *((f"collectors.{name}", getattr(old.collectors, name), getattr(new.collectors, name)) for name in _node()),
            ("collectors.neuron", old.collectors.neuron, new.collectors.neuron),
            ("collectors.groq", old.collectors.groq, new.collectors.groq),
            ("requests", old.requests, new.requests),
            ("owners", old.owners, new.owners),
            ("exporters.otlp", old.exporters.otlp, new.exporters.otlp),
            ("exporters.traces", old.exporters.traces, new.exporters.traces),
            ("exporters.logs", old.exporters.logs, new.exporters.logs),
            ("exporters.spool", old.exporters.spool, new.exporters.spool),
            ("attribution", old.attribution, new.attribution),
            ("state_directory", old.state_directory, new.state_directory),
            ("collectors.gpu.kernel_log", old.collectors.gpu.kernel_log, new.collectors.gpu.kernel_log),
        )
        if before != after
    ]


def _node() -> list[str]:
    kinds = {field.name: field.type for field in msgspec.structs.fields(Collectors)}
    return [name for name, kind in kinds.items() if issubclass(kind, NodeSettings)]


def _dcgm(config: Config) -> Any:
    if not config.exporters.prometheus.dcgm_names:
        return None
    from exporters.dcgm import DcgmWriter  # noqa: PLC0415 - only where asked for

    return DcgmWriter().write


def _token(section: str, web: Web) -> str | None:
    if not web.bearer_token_file:
        return None
    try:
        token = Path(web.bearer_token_file).read_text("utf-8").strip()
    except OSError as error:
        message = f"{section}.bearer_token_file: {web.bearer_token_file} cannot be read: {error.strerror}"
        raise ConfigError(message) from error
    if not token:
        message = f"{section}.bearer_token_file: {web.bearer_token_file} is empty"
        raise ConfigError(message)
    return token
