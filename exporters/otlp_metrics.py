# SPDX-License-Identifier: Apache-2.0
"""Pushes every metric over OTLP: one thread takes a snapshot each interval, and gives it to what forwards it.

All times that matter are those of the values, so that late pushes are as good as punctual ones.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from agent.clock import Clock
from agent.metric import Sample
from agent.snapshot import Snapshot
from exporters.otlp_forward import OtlpForward
from exporters.otlp_points import Observer
from exporters.otlp_settings import OtlpSettings, enabled, interval
from exporters.spool import Spool

log = logging.getLogger(__name__)

__all__ = ["NAME", "OtlpMetrics", "OtlpSettings", "enabled"]

NAME = "otlp"
"""Of the exporter, its queue and its points."""
RECEIVER = "agent"
"""Where the points come from: from no receiver."""
_CAPACITY = 64 << 20


class OtlpMetrics:
    """The OTLP metrics exporter: start it, ask it for samples about itself, stop it."""

    def __init__(
        self,
        settings: OtlpSettings,
        resource: Mapping[str, str],
        clock: Clock,
        snapshot: Callable[[], Snapshot],
        environ: Mapping[str, str] = os.environ,
        *,
        capacity: int = _CAPACITY,
        spool: Spool | None = None,
    ) -> None:
        """Load the SDK, and prepare. `snapshot` is called from a thread. Raises ConfigError. See OtlpForward."""
        self._interval = interval(settings, environ)
        self._forward = OtlpForward("metrics", settings, clock, environ, name=NAME, capacity=capacity, spool=spool)
        from exporters.otlp_sdk import Encoder  # noqa: PLC0415 - only who pushes pays for the SDK

        self._encoder = Encoder(resource, RECEIVER)
        self._snapshot = snapshot
        self._observer = Observer(clock)
        self._stopping = threading.Event()
        self._taker = threading.Thread(target=self._take_each_interval, name="otlp-take", daemon=True)

    def start(self) -> None:
        """Begin to take and send; the first push is made after one interval."""
        self._taker.start()
        self._forward.start()

    def stop(self, grace_seconds: float) -> None:
        """Send a last push and what waits, for at most `grace_seconds`; blocks that long when the back end hangs.

        What is then left is kept on disk, or given up. Not to be called from the event loop.
        """
        deadline = time.monotonic() + grace_seconds
        self._stopping.set()
        self._taker.join(grace_seconds)
        self._take()
        self._forward.stop(max(0.0, deadline - time.monotonic()))

    def samples(self) -> Iterator[Sample]:
        """Say what became of the points and how full the queue is. From any thread."""
        return self._forward.samples()

    def _take_each_interval(self) -> None:
        while not self._stopping.wait(self._interval):
            self._take()

    def _take(self) -> None:
        push = self._observer.push(self._snapshot())
        try:
            parcels = [*self._encoder.parcels(push)]
        except Exception:  # The thread must not end with one push.
            log.exception("otlp: a push cannot be encoded")
            self._forward.lose(RECEIVER, push.size(), "encoding")
        else:
            self._forward.put(parcels)
