# SPDX-License-Identifier: Apache-2.0
"""Counts XIDs, each once though two witnesses may report it.

The driver's event set misses what happens while the driver is stuck and some codes altogether; the kernel log has
them all but is not readable everywhere. Reports of the same GPU and code by the two within `WINDOW` are one event.
"""

from collections import defaultdict, deque
from typing import NamedTuple

from agent.clock import NS

WINDOW = 60 * NS
"""ns within which two witnesses mean the same event: a stuck driver holds reports back for 45 s (Xid 119)."""
_MAX_CODES = 256
"""Codes per node that get series. The driver's catalogue has fewer than 200."""


class XidCount(NamedTuple):
    """Events of one code on one GPU, and the time (ns, monotonic) of the last."""

    events: int
    last_seen: int


class Xids:
    """XID events by GPU and code."""

    def __init__(self) -> None:
        """Start with none."""
        self.counts: dict[tuple[str, int], XidCount] = {}
        self.dropped = 0
        # For each GPU, code and witness the reports the other witness has not made yet.
        self._unmatched: dict[tuple[str, int], dict[str, deque[int]]] = defaultdict(dict)

    def report(self, witness: str, gpu: str, xid: int, time: int) -> bool:
        """Take a report; say whether it is a new event. Reports of one witness are never the same event."""
        key = (gpu, xid)
        if key not in self.counts and len(self.counts) >= _MAX_CODES:
            self.dropped += 1
            return False
        if self._seen_by_other(witness, key, time):
            return False
        self._unmatched[key].setdefault(witness, deque(maxlen=1024)).append(time)
        before = self.counts.get(key, XidCount(0, time))
        self.counts[key] = XidCount(before.events + 1, max(before.last_seen, time))
        return True

    def _seen_by_other(self, witness: str, key: tuple[str, int], time: int) -> bool:
        for other, reports in self._unmatched[key].items():
            if other == witness:
                continue
            while reports and reports[0] < time - WINDOW:
                reports.popleft()
            if reports and reports[0] <= time + WINDOW:
                reports.popleft()
                return True
        return False
