# SPDX-License-Identifier: Apache-2.0
"""Text written and read, ours against prometheus-client's, on equal content in the same process."""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from agent.catalogue.gpu import CLOCK, POWER, THROTTLE_DURATION
from agent.catalogue.links import NVLINK_IO
from agent.dialects.pages import Translator
from agent.entities import Gpu, GpuClock, GpuReason, NvLinkIo
from agent.entity import attributes
from agent.exposition import Parser
from agent.metric import Counter, Sample, label_name
from agent.snapshot import Snapshots, Source
from exporters.prometheus import Format, PrometheusWriter

GPUS = 8
SERIES_PER_GPU = 300
REPEATS = 25
_MODELS = 10
_RECORDED = Path(__file__).parents[1] / "fixtures" / "telemetry" / "vllm" / "metrics_after.prom"

Family = CounterMetricFamily | GaugeMetricFamily


def samples(gpu: Gpu, turn: int) -> list[Sample]:
    """300 samples of one GPU."""
    found = [POWER(gpu, 312.5 + turn)]
    found += [CLOCK(GpuClock(gpu, f"clock{number}"), 1.98e9 + turn) for number in range(27)]
    found += [THROTTLE_DURATION(GpuReason(gpu, f"reason{number}"), 12.25 + turn) for number in range(56)]
    for link in range((SERIES_PER_GPU - len(found)) // 2):
        for direction in ("transmit", "receive"):
            found.append(NVLINK_IO(NvLinkIo(gpu, link, direction), 1.5e12 + turn))
    return found


def families(every: Iterable[Sample]) -> list[Metric]:
    """Make the same samples prometheus-client's own families."""
    found: dict[str, Family] = {}
    for (metric, entity), value in every:
        pairs = attributes(entity)
        family = found.get(metric.name)
        if family is None:
            kind = CounterMetricFamily if isinstance(metric, Counter) else GaugeMetricFamily
            family = kind(metric.prometheus, metric.brief, labels=[label_name(name) for name, _ in pairs])
            found[metric.name] = family
        family.add_metric([text for _, text in pairs], value)
    return list(found.values())


class _Reference(Collector):
    """Families for prometheus-client to write."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Metric]:
        yield from self._collect()


def writers() -> list[tuple[str, float]]:
    """Median milliseconds by case; the first is prometheus-client's with its families at hand."""
    snapshots = Snapshots()
    gpus = [Gpu(f"GPU-{index:036}", f"gpu{index}") for index in range(GPUS)]

    def change(turn: int) -> None:
        for gpu in gpus:
            snapshots.put_samples(Source("bench", gpu.id), samples(gpu, turn), turn)

    change(0)
    changed, same, ahead = (PrometheusWriter({}) for _ in range(3))
    ready: list[Metric] = []
    theirs, theirs_anew = CollectorRegistry(), CollectorRegistry()
    theirs.register(_Reference(lambda: ready))
    theirs_anew.register(_Reference(lambda: families(snapshots.current.samples())))

    def prepare(turn: int) -> None:
        change(turn)
        ready[:] = families(snapshots.current.samples())
        same.prepare(snapshots.current)

    def ours(writer: PrometheusWriter) -> bytes:
        return writer.write(snapshots.current, Format.TEXT)

    cases: dict[str, Callable[[], object]] = {
        f"prometheus-client, {GPUS * SERIES_PER_GPU} series, families at hand": lambda: generate_latest(theirs),
        "prometheus-client, families made at each scrape": lambda: generate_latest(theirs_anew),
        "ours, first scrape": lambda: ours(PrometheusWriter({})),
        "ours, every value changed": lambda: ours(changed),
        "ours, written when the values came": lambda: ours(same),
        "ours, that writing ahead": lambda: ahead.prepare(snapshots.current),
    }
    took = _alternate(cases, prepare)
    assert _content(generate_latest(theirs)) == _content(ours(changed)), "the writers wrote different things"
    return took


def parsers() -> list[tuple[str, float]]:
    """Median milliseconds by case; the first is prometheus-client's."""
    pages = {turn: (engine_page(turn, 1), engine_page(turn, 5)) for turn in range(REPEATS + 2)}
    every, fifth, translated = Parser(), Parser(), Parser()
    translator = Translator("engine", "vllm")
    now = list(pages[0])
    samples = len(every.parse(now[0]).keys)

    def turn(number: int) -> None:
        now[:] = pages[number]

    cases: dict[str, Callable[[], object]] = {
        f"prometheus-client, {samples} samples": lambda: list(text_string_to_metric_families(now[0].decode())),
        "ours, the first page": lambda: Parser().parse(now[0]),
        "ours, every value changed": lambda: every.parse(now[0]),
        "ours, a fifth of the values changed": lambda: fifth.parse(now[1]),
        "ours, a fifth changed, and translated": lambda: translator.translate(translated.parse(now[1])),
    }
    took = _alternate(cases, turn)
    assert _content(now[0]) == {(one.name, frozenset(one.labels), one.value) for one in every.parse(now[0]).lines()}, (
        "the parsers read different things"
    )
    return took


def engine_page(turn: int, each: int) -> bytes:
    """Make a page of 6600 lines, as of vLLM with ten models, on which each so many-th value changes with the turn."""
    lines = []
    for model in range(_MODELS):
        for number, line in enumerate(_RECORDED.read_text().splitlines()):
            text, _, value = line.rpartition(" ")
            if text and not line.startswith("#"):
                text = text.replace("tiny-llama", f"model-{model}") if "{" in text else f'{text}{{model="{model}"}}'
                lines.append(f"{text} {float(value) + (turn if number % each == 0 else 0)}")
            else:
                lines.append(line)
    return ("\n".join(lines) + "\n").encode()


def _alternate(cases: dict[str, Callable[[], object]], before: Callable[[int], None]) -> list[tuple[str, float]]:
    """Run the cases in turn, so that noise hits all of them; their median milliseconds."""
    took: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(1, REPEATS + 2):
        before(turn)
        for name, run in cases.items():
            begin = time.perf_counter()
            run()
            took[name].append((time.perf_counter() - begin) * 1e3)
    # The first turn warms up.
    return [(name, statistics.median(some[1:])) for name, some in took.items()]


def _content(text: bytes) -> set[tuple[str, frozenset[tuple[str, str]], float]]:
    return {
        (sample.name, frozenset(sample.labels.items()), sample.value)
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name != "target_info"
    }
