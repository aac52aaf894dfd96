# SPDX-License-Identifier: Apache-2.0
"""AWS Neuron devices: the reports of `neuron-monitor`, from a command or a file, and the driver's word on power."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from agent.catalogue import neuron as catalogue
from agent.clock import NS, Clock
from agent.collectors.neuron_report import Period, decode
from agent.errors import Unavailable
from agent.metric import Sample
from agent.source_entities import NeuronDevicePower, NeuronError, NeuronExecutions, NeuronReports
from agent.system.neuron_driver import PowerShare, power_shares

NAME = "neuron"
_SILENT = 30 * NS
"""neuron-monitor reports every 5 s, unless it is configured otherwise."""
_OLD = 180.0
"""Seconds; the driver tells power each minute."""
_KINDS = 4096


class NeuronDevices:
    """Keeps the last report, and adds up what happened in each. take() is called in the thread that reads."""

    def __init__(self, clock: Clock, failure: Callable[[], str | None] = lambda: None) -> None:
        """`failure` tells why there may be no reports."""
        self._clock = clock
        self._failure = failure
        self._guard = threading.Lock()
        self._last: Period | None = None
        self._at = 0
        self._executions: dict[tuple[str, str], float] = {}
        self._errors: dict[tuple[str, str], float] = {}
        self._reports: Counter[str] = Counter()

    def take(self, lines: Sequence[bytes], now: int) -> int:
        """Take in reports, read now (ns). Returns how many are none."""
        periods = [decode(line) for line in lines]
        unreadable = periods.count(None)
        with self._guard:
            for period in periods:
                if period is not None:
                    self._add(period)
                    self._last, self._at = period, now
            self._reports["read"] += len(periods) - unreadable
            self._reports["unreadable"] += unreadable
        return unreadable

    def read(self) -> Iterator[Sample]:
        """Say what the devices do. Raises Unavailable where the last report is too old."""
        now = self._clock.monotonic_ns()
        with self._guard:
            last, at = self._last, self._at
            executions, errors, reports = dict(self._executions), dict(self._errors), dict(self._reports)
        if last is None or now - at > _SILENT:
            raise Unavailable(self._failure() or "neuron-monitor has not reported for 30 s")
        yield from last.samples
        for (tag, kind), number in executions.items():
            yield catalogue.EXECUTIONS(NeuronExecutions(tag, kind), number)
        for (tag, kind), number in errors.items():
            yield catalogue.EXECUTION_ERRORS(NeuronError(tag, kind), number)
        for outcome, number in reports.items():
            yield catalogue.REPORTS(NeuronReports(outcome), number)

    def _add(self, period: Period) -> None:
        for counts, told in ((self._executions, period.executions), (self._errors, period.errors)):
            # Applications that ended are let go.
            for key in [key for key in counts if key[0] not in period.tags]:
                del counts[key]
            for key, number in told.items():
                if key in counts or len(counts) < _KINDS:
                    counts[key] = counts.get(key, 0.0) + number
        self._reports["group_failed"] += period.failed


class NeuronPower:
    """Reads what the driver says of power."""

    def __init__(self, clock: Clock, powers: Callable[[], Iterable[PowerShare]] = power_shares) -> None:
        """`powers` reads the driver."""
        self._clock = clock
        self._powers = powers

    def read(self) -> Iterator[Sample]:
        """Say what share of the most they may take the devices took; of a minute that is over for long, nothing."""
        now = self._clock.unix_ns(self._clock.monotonic_ns()) / NS
        for power in self._powers():
            if abs(now - power.time) < _OLD:
                for statistic in ("min", "max", "avg"):
                    entity = NeuronDevicePower(f"neuron{power.device}", statistic)
                    yield catalogue.POWER_UTILIZATION(entity, getattr(power, statistic))
