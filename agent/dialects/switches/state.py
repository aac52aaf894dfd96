# SPDX-License-Identifier: Apache-2.0
"""What one switch has told so far: each series' last value, counters that only grow, and an end to what is not told
again.
"""  # noqa: D205 - one sentence

from collections.abc import Iterator
from enum import StrEnum

from agent.catalogue.switch import INFO
from agent.clock import NS
from agent.dialects.switches.reading import Buckets, Number
from agent.metric import Counter, Distribution, Histogram, Series
from agent.snapshot import Batch
from agent.switch_entities import SwitchInfo

_SHORTEST, _LONGEST = 15 * NS, 900 * NS
"""How long a series is believed at the least and at the most, ns."""
_MISSED = 3
"""Times that a series may be left out: it is told at intervals that its points show."""
_USUAL = 100 * NS
"""An interval, as long as only one point was told: platform statistics come each 60 s."""
_SET_BACK = 300 * NS
"""What is older than the last by more than this is not late: the clock of the switch was set back."""
_MOST_PORTS = 1024


class Outcome(StrEnum):
    """What became of a point."""

    TAKEN = "taken"
    LEFT_OUT = "left_out"
    UNKNOWN = "unknown"
    MALFORMED = "malformed"
    LATE = "late"
    OLD = "old"
    FULL = "full"


class Room:
    """Series that there is room for, over all switches."""

    def __init__(self, most: int) -> None:
        """Have room for so many; a histogram takes one for each bucket."""
        self.most = most
        self.taken = 0

    def take(self, number: int) -> bool:
        """Take room; False where there is none."""
        if self.taken + number > self.most:
            return False
        self.taken += number
        return True


class _Series:
    """What is common to all series: when it was last told."""

    __slots__ = ("gap", "rank", "seen", "size", "time")

    def __init__(self, time: int, now: int, rank: int, size: int) -> None:
        self.time, self.seen, self.rank, self.size = time, now, rank, size
        self.gap = _USUAL

    def late(self, time: int, *, delta: bool) -> bool:
        return self.time - _SET_BACK < time < self.time or (delta and time == self.time)

    def told(self, time: int, now: int) -> None:
        """Take note of when; a point that is told twice is no fresher for that."""
        if time == self.time:
            return
        if time > self.time:
            self.gap = time - self.time
        self.time, self.seen = time, now

    def ends(self) -> int:
        return self.seen + min(max(self.gap * _MISSED, _SHORTEST), _LONGEST)


class _Value(_Series):
    __slots__ = ("counts", "raw", "value")

    def __init__(self, told: Number, now: int) -> None:
        super().__init__(told.time, now, told.rank, 1)
        self.counts = isinstance(told.series.metric, Counter)
        self.raw = self.value = told.value

    def take(self, told: Number, now: int) -> Outcome:
        if told.rank > self.rank and now < self.ends():
            return Outcome.LEFT_OUT
        if self.late(told.time, delta=told.delta):
            return Outcome.LATE
        if not self.counts:
            self.value = told.value
        elif told.delta:
            self.value += told.value
        elif told.rank == self.rank:
            # What falls began again at zero, where an operator cleared it or the switch restarted.
            self.value += told.value - self.raw if told.value >= self.raw else told.value
        self.raw, self.rank = told.value, told.rank
        self.told(told.time, now)
        return Outcome.TAKEN


class _Histogram(_Series):
    __slots__ = ("bounds", "counts", "made", "raw", "raw_total", "total")

    def __init__(self, told: Buckets, now: int) -> None:
        super().__init__(told.time, now, 0, len(told.counts) + 2)
        self.bounds = told.bounds
        self.counts, self.raw = told.counts, told.counts
        self.total, self.raw_total = told.total, told.total
        self.made: Distribution | None = None

    def take(self, told: Buckets, now: int) -> Outcome:
        if self.late(told.time, delta=told.delta):
            return Outcome.LATE
        if told.bounds != self.bounds:  # It was configured anew, and begins again.
            self.bounds, self.counts, self.total = told.bounds, told.counts, told.total
        else:
            begins = told.delta or any(now < then for now, then in zip(told.counts, self.raw, strict=True))
            before = (0,) * len(told.counts) if begins else self.raw
            rows = zip(self.counts, told.counts, before, strict=True)
            self.counts = tuple(count + new - old for count, new, old in rows)
            if self.total is not None and told.total is not None and self.raw_total is not None:
                self.total += told.total - (0.0 if begins else self.raw_total)
            else:
                self.total = None
        self.raw, self.raw_total, self.made = told.counts, told.total, None
        self.told(told.time, now)
        return Outcome.TAKEN

    def distribution(self, series: Series) -> Distribution:
        if self.made is None:
            metric = series.metric
            assert isinstance(metric, Histogram)
            self.made = metric.distribution(series.entity, self.counts, self.total, bounds=self.bounds)
        return self.made


class SwitchState:
    """One switch. Not to be shared between threads without a lock."""

    def __init__(self, info: SwitchInfo, room: Room) -> None:
        """Know of it what `info` says."""
        self.info = info
        self.seen = 0
        """When it was last heard of, ns (monotonic)."""
        self._room = room
        self._values: dict[Series, _Value] = {}
        self._histograms: dict[Series, _Histogram] = {}
        self._ports: set[str] = set()
        self._layout: tuple[Series, ...] | None = None

    def take(self, told: Number | Buckets, now: int) -> Outcome:
        """Take in what it told, now (ns, monotonic)."""
        self.seen = max(self.seen, now)
        if told.series.metric is INFO:
            return self._identify(told.series)
        if isinstance(told, Buckets):
            histogram = self._histograms.get(told.series)
            if histogram is not None and len(histogram.counts) == len(told.counts):
                return histogram.take(told, now)
            return self._add(told, _Histogram(told, now))
        value = self._values.get(told.series)
        return self._add(told, _Value(told, now)) if value is None else value.take(told, now)

    def batch(self, now: int) -> Batch | None:
        """Say what is true now; None where nothing is."""
        self._end(now)
        if not self._values and not self._histograms:
            return None
        if self._layout is None:
            self._layout = (INFO.series(self.info), *self._values)
        values = [1.0, *(one.value for one in self._values.values())]
        distributions = tuple(one.distribution(series) for series, one in self._histograms.items())
        return Batch(self._layout, values, self.seen, distributions)

    def series(self) -> Iterator[Series]:
        """Give its series, but those of histograms."""
        yield from self._values

    def forget(self) -> None:
        """Make room: it is not heard of any more."""
        for one in (*self._values.values(), *self._histograms.values()):
            self._room.taken -= one.size
        self._values.clear()
        self._histograms.clear()
        self._ports.clear()
        self._layout = None

    def _identify(self, series: Series) -> Outcome:
        entity = series.entity
        assert isinstance(entity, SwitchInfo)
        told = {name: value for name, value in entity._asdict().items() if value is not None}
        merged = self.info._replace(**{**told, "source": self.info.source})
        if merged != self.info:
            self.info, self._layout = merged, None
        return Outcome.TAKEN

    def _add(self, told: Number | Buckets, one: "_Value | _Histogram") -> Outcome:
        port = getattr(told.series.entity, "port", None)
        if port is not None and port not in self._ports and len(self._ports) >= _MOST_PORTS:
            return Outcome.FULL
        old = self._histograms.pop(told.series, None)
        if old is not None:
            self._room.taken -= old.size
        if not self._room.take(one.size):
            return Outcome.FULL
        if port is not None:
            self._ports.add(port)
        if isinstance(one, _Value):
            self._values[told.series] = one
            self._layout = None
        else:
            self._histograms[told.series] = one
        return Outcome.TAKEN

    def _end(self, now: int) -> None:
        """Forget what was not told again."""
        old = False
        for known in (self._values, self._histograms):
            for series in [series for series, one in known.items() if one.ends() < now]:
                self._room.taken -= known.pop(series).size
                old = True
        if old:
            self._layout = None
            ports = (getattr(one.entity, "port", None) for one in (*self._values, *self._histograms))
            self._ports = {port for port in ports if port is not None}
