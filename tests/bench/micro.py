# SPDX-License-Identifier: Apache-2.0
"""The text of a scrape, ours against prometheus-client's, on equal content in the same process."""

import statistics
import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.catalogue.gpu import CLOCK, POWER, THROTTLE_DURATION
from agent.catalogue.links import NVLINK_IO
from agent.entities import Gpu, GpuClock, GpuReason, NvLinkIo
from agent.entity import attributes
from agent.metric import Counter, Sample, label_name
from agent.snapshot import Snapshots, Source
from exporters.prometheus import Format, PrometheusWriter

GPUS = 8
SERIES_PER_GPU = 300
REPEATS = 15


def samples(gpu: Gpu, turn: int) -> list[Sample]:
    """About 300 samples of one GPU."""
    found = [POWER(gpu, 312.5 + turn)]
    found += [CLOCK(GpuClock(gpu, f"clock{number}"), 1.98e9 + turn) for number in range(27)]
    found += [THROTTLE_DURATION(GpuReason(gpu, f"reason{number}"), 12.25 + turn) for number in range(56)]
    links = range((SERIES_PER_GPU - len(found)) // 2)
    for link in links:
        for direction in ("transmit", "receive"):
            found.append(NVLINK_IO(NvLinkIo(gpu, link, direction), 1.5e12 + turn))
    return found


class _Reference(Collector):
    """The same samples as prometheus-client's own families, made anew at each collection, as its users do."""

    def __init__(self, every: list[Sample]) -> None:
        self._samples = every

    def collect(self) -> Iterator[Metric]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for (metric, entity), value in self._samples:
            pairs = attributes(entity)
            labels = [label_name(name) for name, _ in pairs]
            kind = CounterMetricFamily if isinstance(metric, Counter) else GaugeMetricFamily
            family = families.setdefault(metric.name, kind(metric.prometheus, metric.brief, labels=labels))
            family.add_metric([text for _, text in pairs], value)
        yield from families.values()


def writers() -> list[tuple[str, float]]:
    """Median milliseconds by case."""
    snapshots = Snapshots()
    gpus = [Gpu(f"GPU-{index:036}", f"gpu{index}") for index in range(GPUS)]

    def change(turn: int) -> None:
        for gpu in gpus:
            snapshots.put_samples(Source("bench", gpu.id), samples(gpu, turn), turn)

    change(0)
    writer = PrometheusWriter({"service.name": "bench"})
    cold = _median(lambda _: PrometheusWriter({}).write(snapshots.current, Format.TEXT))
    changed = _median(lambda _: writer.write(snapshots.current, Format.TEXT), change)
    unchanged = _median(lambda _: writer.write(snapshots.current, Format.TEXT))
    registry = CollectorRegistry()
    registry.register(_Reference(list(snapshots.current.samples())))
    reference = _median(lambda _: generate_latest(registry))
    count = snapshots.current.series_count()
    return [
        (f"{count} series: prometheus-client", reference),
        ("ours, first scrape", cold),
        ("ours, every value changed", changed),
        ("ours, nothing changed", unchanged),
    ]


def _median(run: Callable[[int], object], before: Callable[[int], None] = lambda _: None) -> float:
    took = []
    for turn in range(REPEATS):
        before(turn)
        begin = time.perf_counter()
        run(turn)
        took.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(took)
