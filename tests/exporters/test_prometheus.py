# SPDX-License-Identifier: Apache-2.0
"""Our text is what prometheus-client would write, and what it reads back."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from math import inf, isnan, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.core import (
    Exemplar as TheirExemplar,
)
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from agent.catalogue import brief_of
from agent.catalogue.cpu_power import CPU_POWER
from agent.catalogue.engine import REQUEST_DURATION as ENGINE_DURATION
from agent.catalogue.gpu import CLOCK, ENERGY, MEMORY_USAGE, POWER, PROCESS_MEMORY
from agent.catalogue.health import XID
from agent.catalogue.requests import REQUEST_DURATION, TIME_TO_FIRST_TOKEN
from agent.entities import EngineModel, Gpu, GpuClock, GpuProcess, GpuXid
from agent.entity import attributes
from agent.host_entities import CpuMeter
from agent.metric import Counter, Distribution, Exemplar, Histogram, Sample, label_name
from agent.request_entities import RequestClass
from agent.snapshot import Batch, Snapshot, Snapshots, Source
from exporters.prometheus import Format, PrometheusWriter

GPU = Gpu("GPU-1", "gpu0")
HOSTILE = 'quote " backslash \\ newline \n tab \t é 漢 {}=,# \\n'
READ: dict[Format, Callable[[str], Iterable[Metric]]] = {
    Format.TEXT: read_text,
    Format.OPENMETRICS: read_openmetrics,
}


class Reference(Collector):
    """The same samples as families of prometheus-client."""

    def __init__(self, resource: dict[str, str], samples: list[Sample], distributions: list[Distribution]) -> None:
        self._resource = resource
        self._samples = samples
        self._distributions = distributions

    def collect(self) -> Iterator[Metric]:
        brief = "What is measured: the attributes of the OpenTelemetry resource."
        yield InfoMetricFamily("target", brief, {label_name(name): value for name, value in self._resource.items()})
        families: dict[str, Any] = {}
        for (metric, entity), value in self._samples:
            pairs = attributes(entity)
            kind = CounterMetricFamily if isinstance(metric, Counter) else GaugeMetricFamily
            unit = metric.unit.suffix if metric.prometheus.removesuffix("_total").endswith(metric.unit.suffix) else ""
            labels = [label_name(name) for name, _ in pairs]
            brief = brief_of(metric.name)
            family = families.setdefault(metric.name, kind(metric.prometheus, brief, labels=labels, unit=unit))
            family.add_metric([text for _, text in pairs], value)
        for one in self._distributions:
            (metric, entity), counts, total, exemplars, _ = one
            pairs = attributes(entity)
            labels = [label_name(name) for name, _ in pairs]
            made = HistogramMetricFamily(metric.prometheus, metric.brief, labels=labels, unit=metric.unit.suffix)
            family = families.setdefault(metric.name, made)
            bounds = (*one.buckets, inf)
            buckets = [
                (le, sum(counts[: place + 1]), seen and theirs(seen))
                for place, (le, seen) in enumerate(zip(map(floatToGoString, bounds), exemplars, strict=True))
            ]
            family.add_metric([text for _, text in pairs], buckets, total)
        yield from families.values()


def theirs(exemplar: Exemplar) -> TheirExemplar:
    """The same as prometheus-client has it. Its times are of ms as ours are."""
    labels = {"trace_id": exemplar.trace_id, "span_id": exemplar.span_id}
    return TheirExemplar(labels, exemplar.value, exemplar.time_unix_ns // 1_000_000 / 1000)


def written(samples: Iterable[Sample | Distribution], form: Format, resource: dict[str, str] | None = None) -> str:
    """Write samples of one source."""
    snapshots = Snapshots()
    snapshots.put_samples(Source("test"), samples, 0)
    return PrometheusWriter(resource or {}).write(snapshots.current, form).decode()


def content(text: str, form: Format) -> list[tuple[str, str, str, str, list[tuple[object, ...]]]]:
    """What a parser makes of it, in an order that does not matter; NaN equals NaN."""
    return sorted(
        (
            family.name,
            family.type,
            family.documentation,
            family.unit,
            sorted(
                (one.name, sorted(one.labels.items()), repr(float(one.value)), shown(one.exemplar))
                for one in family.samples
            ),
        )
        for family in READ[form](text)
    )


def shown(exemplar: TheirExemplar | None) -> tuple[object, ...]:
    return (*sorted(exemplar.labels.items()), exemplar.value, float(exemplar.timestamp or 0)) if exemplar else ()


def requests(entity: RequestClass, *latest: float, metric: Histogram[RequestClass] = REQUEST_DURATION) -> Distribution:
    """Observations of a histogram, each of which has an exemplar if it was the last in its bucket."""
    counts = [0] * (len(metric.buckets) + 1)
    exemplars: list[Exemplar | None] = [None] * len(counts)
    for number, value in enumerate(latest):
        place = bisect_left(metric.buckets, value)
        counts[place] += 1
        exemplars[place] = Exemplar(value, f"{number + 1:032x}", f"{number + 1:016x}", 1_790_000_000_123_456_789)
    return metric.distribution(entity, counts, sum(latest), exemplars)


def lines(text: bytes, name: str) -> list[str]:
    return [line for line in text.decode().splitlines() if line.startswith(name)]


SAMPLES = [
    POWER(GPU, 312.5),
    POWER(Gpu(HOSTILE, HOSTILE), 0.1 + 0.2),
    ENERGY(GPU, 123456789012345.67),
    MEMORY_USAGE(GPU, 85_899_345_920),
    CLOCK(GpuClock(GPU, "sm"), inf),
    CLOCK(GpuClock(GPU, "memory"), -inf),
    CLOCK(GpuClock(GPU, "video"), nan),
    XID(GpuXid(GPU, 79), 1),
    PROCESS_MEMORY(GpuProcess(GPU, 7, None), 1e-9),
]
CLASS = RequestClass("vllm", "qwen", "acme")
DISTRIBUTIONS = [
    requests(CLASS, 0.01, 0.011, 3.5, 3.6, 1e3),
    requests(RequestClass(HOSTILE, "100 %d %", "%b%%"), 0.1 + 0.2),
    requests(CLASS, metric=TIME_TO_FIRST_TOKEN),
]


@pytest.mark.parametrize("form", Format)
def test_the_content_is_what_prometheus_client_would_write(form: Format) -> None:
    resource = {"service.name": HOSTILE, "host.name": "node"}
    registry = CollectorRegistry()
    registry.register(Reference(resource, SAMPLES, DISTRIBUTIONS))
    generate = generate_latest if form is Format.TEXT else generate_openmetrics
    ours = written([*SAMPLES, *DISTRIBUTIONS], form, resource)
    assert content(ours, form) == content(generate(registry).decode(), form)
    assert "_created" not in ours


@settings(max_examples=300)
@given(st.lists(st.tuples(st.text(), st.text(), st.floats()), unique_by=lambda one: one[:2], max_size=20))
def test_every_label_and_value_is_read_back_as_it_was(told: list[tuple[str, str, float]]) -> None:
    # What no text can hold in UTF-8 becomes a question mark.
    samples = [POWER(Gpu(uuid, name), value) for uuid, name, value in told]
    for form in Format:
        families = [family for family in READ[form](written(samples, form)) if family.name == "hw_power_watts"]
        found = [(s.labels["hw_id"], s.labels["hw_name"], s.value) for family in families for s in family.samples]
        names = [tuple(text.encode("utf-8", "replace").decode() for text in one[:2]) for one in told]
        assert [one[:2] for one in found] == names
        for (_, _, value), (_, _, expected) in zip(found, told, strict=True):
            assert value == expected or (isnan(value) and isnan(expected))


def test_what_has_no_value_is_left_out() -> None:
    series = tuple(sample.series for sample in SAMPLES[:3])
    snapshot = Snapshot({Source("test"): Batch(series, [None, 2.5, None], 0)})
    text = PrometheusWriter({}).write(snapshot, Format.TEXT).decode()
    assert [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith("hw_")] == ["2.5"]
    assert "hw_energy" not in text


def test_a_family_that_several_sources_have_stands_together() -> None:
    snapshots = Snapshots()
    for index in range(3):
        gpu = Gpu(f"GPU-{index}", f"gpu{index}")
        snapshots.put_samples(Source("test", gpu.id), [POWER(gpu, index), ENERGY(gpu, index)], 0)
    for form in Format:
        text = PrometheusWriter({}).write(snapshots.current, form).decode()
        families = [family.name for family in READ[form](text)]
        assert len(families) == len(set(families))


def test_families_come_in_the_order_of_the_catalogue_and_series_in_that_of_their_sources() -> None:
    other = Gpu("GPU-2", "gpu1")
    snapshots = Snapshots()
    snapshots.put_samples(Source("two"), [ENERGY(GPU, 1), POWER(GPU, 1)], 0)
    snapshots.put_samples(Source("one"), [XID(GpuXid(other, 79), 1), ENERGY(other, 1)], 0)
    text = PrometheusWriter({}).write(snapshots.current, Format.TEXT).decode()
    found = [
        (family.name, [sample.labels["hw_id"] for sample in family.samples]) for family in list(read_text(text))[1:]
    ]
    assert found == [
        ("hw_power_watts", ["GPU-1"]),
        ("hw_energy_joules", ["GPU-1", "GPU-2"]),
        ("joulespan_gpu_xid", ["GPU-2"]),
    ]


def test_a_new_value_is_written_and_what_did_not_change_stays() -> None:
    snapshots = Snapshots()
    writer = PrometheusWriter({})
    snapshots.put_samples(Source("one"), [POWER(GPU, 1)], 0)
    snapshots.put_samples(Source("two"), [ENERGY(GPU, 1)], 0)
    first = writer.write(snapshots.current, Format.TEXT)
    assert writer.write(snapshots.current, Format.TEXT) == first
    snapshots.put_samples(Source("one"), [POWER(GPU, 2)], 1)
    second = writer.write(snapshots.current, Format.TEXT).decode()
    assert second == first.decode().replace('hw_name="gpu0"} 1.0\n', 'hw_name="gpu0"} 2.0\n', 1)
    snapshots.drop(lambda source: source.collector == "one")
    assert b"hw_power" not in writer.write(snapshots.current, Format.TEXT)


def test_only_openmetrics_has_exemplars_and_the_bounds_are_the_same_in_both() -> None:
    snapshots = Snapshots()
    snapshots.put_samples(Source("requests"), DISTRIBUTIONS[:1], 0)
    writer = PrometheusWriter({})
    plain, more = (lines(writer.write(snapshots.current, form), "gen_ai_server_request") for form in Format)
    labels = 'engine="vllm",gen_ai_request_model="qwen",tenant="acme"'
    name = "gen_ai_server_request_duration_seconds"
    assert plain[0] == f'{name}_bucket{{{labels},le="0.01"}} 1'
    assert plain[-3:] == [
        f'{name}_bucket{{{labels},le="+Inf"}} 5',
        f"{name}_sum{{{labels}}} 1007.121",
        f"{name}_count{{{labels}}} 5",
    ]
    assert [line.partition(" # ")[0] for line in more] == plain
    ids = f'trace_id="{1:032x}",span_id="{1:016x}"'
    assert more[0] == f"{plain[0]} # {{{ids}}} 0.01 1790000000.123"


def test_an_exemplar_whose_labels_are_too_long_is_left_out() -> None:
    entity, buckets = RequestClass("vllm"), len(REQUEST_DURATION.buckets)
    for length, there in ((97, True), (98, False)):
        exemplar = Exemplar(0.001, "a" * length, "b" * 16, 0)
        told = REQUEST_DURATION.distribution(entity, [1] + [0] * buckets, 0.001, [exemplar] + [None] * buckets)
        text = written([told], Format.OPENMETRICS)
        assert (" # {" in text) is there
        assert content(text, Format.OPENMETRICS)


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(st.text(), st.none() | st.text(min_size=1), st.lists(st.floats(0, 1e300), max_size=9)),
        unique_by=lambda one: (one[0].encode("utf-8", "replace"), one[1] and one[1].encode("utf-8", "replace")),
        max_size=5,
    )
)
def test_every_histogram_is_read_back_as_it_was(told: list[tuple[str, str | None, list[float]]]) -> None:
    for form in Format:
        text = written([requests(RequestClass(engine, model), *values) for engine, model, values in told], form)
        found = [one for family in READ[form](text) for one in family.samples]
        counts = [(one.labels["engine"], one.value) for one in found if one.name.endswith("_count")]
        assert counts == [(one.encode("utf-8", "replace").decode(), len(values)) for one, _, values in told]
        assert [one.value for one in found if one.name.endswith("_sum")] == [sum(values) for _, _, values in told]


def test_a_histogram_is_written_again_only_when_something_was_observed() -> None:
    snapshots, writer = Snapshots(), PrometheusWriter({})
    other = RequestClass("other")
    kept, before, after = requests(CLASS, 1.0), requests(other, 1.0), requests(other, 1.0, 2.0)

    def write() -> dict[RequestClass, bytes]:
        writer.write(snapshots.current, Format.TEXT)
        (source,) = writer._kept.values()
        return {series.entity: one.texts[Format.TEXT] for series, one in source.histograms.items()}  # type: ignore[misc]

    snapshots.put_samples(Source("requests"), [kept, before], 0)
    first = write()
    snapshots.put_samples(Source("requests"), [kept, after], 1)
    second = write()
    assert second[CLASS] is first[CLASS]
    assert second[other] == first[other].replace(b" 1\n", b" 2\n").replace(b'le="1.28"} 2', b'le="1.28"} 1').replace(
        b" 1.0\n", b" 3.0\n"
    )
    snapshots.put_samples(Source("requests"), [kept], 2)
    assert list(write()) == [CLASS]
    snapshots.drop(lambda _: True)
    assert b"gen_ai" not in writer.write(snapshots.current, Format.TEXT)


def test_each_source_of_a_histogram_may_have_buckets_of_its_own_and_other_ones_after_a_restart() -> None:
    snapshots, writer = Snapshots(), PrometheusWriter({})
    name = "joulespan_engine_request_duration_seconds"

    def buckets(engine: str, *bounds: float) -> list[tuple[str, str]]:
        told = ENGINE_DURATION.distribution(EngineModel(engine), [1] * (len(bounds) + 1), 7.5, (), bounds)
        snapshots.put_samples(Source(engine), [told], 0)
        text = writer.write(snapshots.current, Format.OPENMETRICS).decode()
        assert content(text, Format.OPENMETRICS)
        found = re.findall(rf'{name}_bucket{{engine="(\w)",le="(\S+)"}}', text)
        return [(engine, bound) for engine, bound in found]

    assert buckets("a", 0.3, 0.5) == [("a", "0.3"), ("a", "0.5"), ("a", "+Inf")]
    both = buckets("b", 1.0)
    assert both == [("a", "0.3"), ("a", "0.5"), ("a", "+Inf"), ("b", "1.0"), ("b", "+Inf")]
    assert buckets("a", 2.0)[:2] == [("a", "2.0"), ("a", "+Inf")]


def test_an_exemplar_without_span_or_time_is_written_without_them() -> None:
    exemplar = Exemplar(0.001, "a" * 32, "", 0)
    told = ENGINE_DURATION.distribution(EngineModel("a"), [1, 0], 0.001, [exemplar, None], (0.5,))
    text = written([told], Format.OPENMETRICS)
    assert content(text, Format.OPENMETRICS)
    assert f'le="0.5"}} 1 # {{trace_id="{"a" * 32}"}} 0.001\n' in text


def test_histograms_of_several_sources_stand_together_and_are_written_ahead_in_the_format_asked_for() -> None:
    snapshots, writer = Snapshots(), PrometheusWriter({})
    writer.write(snapshots.current, Format.OPENMETRICS)
    for engine in ("a", "b"):
        told = [requests(RequestClass(engine), 1.0), requests(RequestClass(engine), 1.0, metric=TIME_TO_FIRST_TOKEN)]
        snapshots.put_samples(Source(engine), told, 0)
    writer.prepare(snapshots.current)
    ready = [one.texts.keys() for kept in writer._kept.values() for one in kept.histograms.values()]
    assert ready == [{Format.OPENMETRICS}] * 4
    families = READ[Format.OPENMETRICS](writer.write(snapshots.current, Format.OPENMETRICS).decode())
    found = [(family.name, {one.labels["engine"] for one in family.samples}) for family in list(families)[1:]]
    assert found == [(metric.prometheus, {"a", "b"}) for metric in (REQUEST_DURATION, TIME_TO_FIRST_TOKEN)]


def test_metrics_that_share_a_name_are_one_family() -> None:
    cpu = CPU_POWER(CpuMeter("cpu0", "Grace", "grace", "module0"), 96.5)
    text = written([POWER(Gpu("GPU-1", "gpu0"), 312.0), cpu], Format.TEXT)
    lines = [line for line in text.splitlines() if "hw_power_watts" in line]
    assert [line.partition(" ")[0] for line in lines[:2]] == ["#", "#"]
    assert lines[2:] == [
        'hw_power_watts{hw_id="GPU-1",hw_type="gpu",hw_name="gpu0"} 312.0',
        'hw_power_watts{hw_id="cpu0",hw_type="cpu",hw_name="Grace",scope="grace",hw_parent="module0"} 96.5',
    ]


@pytest.mark.parametrize("form", Format)
def test_a_histogram_whose_sum_is_not_told_has_neither_sum_nor_count(form: Format) -> None:
    entity = EngineModel("e")
    snapshots, writer = Snapshots(), PrometheusWriter({})
    texts = []
    for total in (None, 2.5, None):
        told = ENGINE_DURATION.distribution(entity, [1, 2], total, bounds=(0.5,))
        snapshots.put_samples(Source("engine"), [told], 0)
        texts.append(writer.write(snapshots.current, form).decode())
        assert list(READ[form](texts[-1]))
    assert texts[0] == texts[2]
    assert 'le="+Inf"} 3\n' in texts[0]
    assert "_sum" not in texts[0]
    assert "_count" not in texts[0]
    assert "_sum" in texts[1]
