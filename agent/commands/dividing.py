# SPDX-License-Identifier: Apache-2.0
"""The ledger of the running agent: made when it is needed, with what earlier runs learnt; what it learns is kept."""

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from agent.catalogue import own
from agent.catalogue.gpu import GPU_INFO
from agent.clock import NS, Clock
from agent.config import Config
from agent.entities import Gpu, StateWrite
from agent.errors import StateError
from agent.metric import Sample
from agent.processors.request_metrics import RequestMetrics
from agent.processors.topology import gpus_of
from agent.snapshot import Snapshots
from agent.system import state
from agent.timeline import Timeline

if TYPE_CHECKING:
    from agent.processors.attribution import Attribution, Learnt

LOG = logging.getLogger("joulespan.ledger")
_FILE = "calibration.json"
_KEEP_EVERY = 60 * NS
_WATCH_EVERY = 10 * NS
_MOST = 256
"""Calibrations that are remembered."""


class Kept(msgspec.Struct):
    """The state file. Calibrations by name; W that GPUs draw when idle, by NVML UUID."""

    version: Literal[1] = 1
    calibrations: dict[str, Any] = {}
    idle_watts: dict[str, float] = {}


class Dividing:
    """Makes the ledger, shows it the GPUs, and keeps what it learns."""

    def __init__(
        self,
        config: Config,
        snapshots: Snapshots,
        timeline: Timeline,
        metrics: RequestMetrics,
        clock: Clock,
        *,
        keep: bool,
    ) -> None:
        """Divide what `timeline` holds. With `keep`, what is learnt is kept in the state directory."""
        self._config = config
        self._snapshots = snapshots
        self._timeline = timeline
        self._metrics = metrics
        self._clock = clock
        self._since = clock.monotonic_ns()
        self._path = state.directory(config.state_directory, os.environ) / _FILE if keep else None
        self._attribution: Attribution | None = None
        self._watched = self._kept = 0
        self._writes = {"written": 0, "failed": 0}
        self._failure: str | None = None
        self._writing: threading.Thread | None = None
        self._keeping = threading.Lock()

    def make(self) -> "Attribution":
        """Make it. What was measured since the agent began, as far as it is kept, is divided too."""
        from agent.processors.attribution import Attribution, Pace  # noqa: PLC0415 - numpy, where there are requests

        attribution, collectors = self._config.attribution, self._config.collectors
        pace = Pace(float(collectors.energy.interval), float(attribution.lateness), float(attribution.retention))
        since = max(self._since, self._clock.monotonic_ns() - int(attribution.retention * NS))
        self._attribution = Attribution(
            self._timeline,
            self._metrics,
            self._clock,
            pace,
            since,
            models=self._models,
            learnt=self._learnt(),
            guard=threading.RLock(),
        )
        self._watch()
        return self._attribution

    def tick(self) -> None:
        """Show it the GPUs that are there, now and then, and keep what it learnt."""
        if self._attribution is None:
            return
        now = self._clock.monotonic_ns()
        if now - self._watched >= _WATCH_EVERY:
            self._watch()
        if now - self._kept >= _KEEP_EVERY and not (self._writing and self._writing.is_alive()):
            self._kept = now
            self._writing = threading.Thread(target=self.keep, name="state", daemon=True)
            self._writing.start()

    def keep(self) -> None:
        """Write down what was learnt. A failure is counted, and logged when it is another than before."""
        if self._attribution is None or self._path is None:
            return
        # At the end, the thread that writes now and then may be at it.
        with self._keeping:
            self._keep(self._path, self._attribution.learnt())

    def samples(self) -> Iterator[Sample]:
        """Say how keeping state went."""
        for outcome, number in self._writes.items():
            yield own.STATE_WRITES(StateWrite(outcome), number)

    def _keep(self, path: Path, learnt: "Learnt") -> None:
        named = list(learnt.calibrations.items())[-_MOST:]
        kept = Kept(
            calibrations={name: one.sums() for name, one in named if one.seconds}, idle_watts=dict(learnt.idle_watts)
        )
        try:
            state.write(path, kept)
        except StateError as error:
            self._writes["failed"] += 1
            self._failed(str(error))
        else:
            self._writes["written"] += 1
            self._failure = None

    def _learnt(self) -> "Learnt":
        """Read what an earlier run learnt. What of it is wrong costs itself."""
        from agent.processors.attribution import Learnt  # noqa: PLC0415 - as above
        from agent.processors.ledger.calibration import restored  # noqa: PLC0415 - as above

        if self._path is None:
            return Learnt({}, {})
        try:
            told = state.read(self._path)
            kept = Kept() if told is None else msgspec.convert(told, Kept)
        except (StateError, msgspec.ValidationError) as error:
            why = error if isinstance(error, StateError) else f"{self._path}: {error}"
            LOG.warning("what was learnt before is not used: %s", why)
            return Learnt({}, {})
        calibrations = {}
        for name, told in kept.calibrations.items():
            try:
                calibrations[name] = restored(told)
            except ValueError as error:
                LOG.warning("%s: the calibration of %s is not used: %s", self._path, name, error)
        idle = {gpu: watts for gpu, watts in kept.idle_watts.items() if 0 < watts < 10_000}  # noqa: PLR2004 - W
        return Learnt(calibrations, idle)

    def _watch(self) -> None:
        assert self._attribution is not None
        self._watched = self._clock.monotonic_ns()
        # The energy of a MIG instance is that of its GPU, which is there beside it.
        self._attribution.watch([one for one in gpus_of(self._snapshots.current) if isinstance(one, Gpu)])

    def _models(self) -> dict[str, str]:
        """Give the product name of each GPU by its id."""
        found = {}
        for batch in self._snapshots.current.batches.values():
            for series in batch.series:
                if series.metric is GPU_INFO and series.entity[1]:
                    found[series.entity[0].id] = series.entity[1]
        return found

    def _failed(self, why: str) -> None:
        if why != self._failure:
            LOG.warning("what the ledger learnt is not kept: %s", why)
        self._failure = why
