# SPDX-License-Identifier: Apache-2.0
"""Our text is what prometheus-client would write, and what it reads back."""

from collections.abc import Callable, Iterable, Iterator
from math import inf, isnan, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from prometheus_client.registry import Collector

from agent.catalogue.gpu import CLOCK, ENERGY, MEMORY_USAGE, POWER, PROCESS_MEMORY
from agent.catalogue.health import XID
from agent.entities import Gpu, GpuClock, GpuProcess, GpuXid
from agent.entity import attributes
from agent.metric import Counter, Sample, label_name
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

    def __init__(self, resource: dict[str, str], samples: list[Sample]) -> None:
        self._resource = resource
        self._samples = samples

    def collect(self) -> Iterator[Metric]:
        brief = "What is measured: the attributes of the OpenTelemetry resource."
        yield InfoMetricFamily("target", brief, {label_name(name): value for name, value in self._resource.items()})
        families: dict[str, Any] = {}
        for (metric, entity), value in self._samples:
            pairs = attributes(entity)
            kind = CounterMetricFamily if isinstance(metric, Counter) else GaugeMetricFamily
            unit = metric.unit.suffix if metric.prometheus.removesuffix("_total").endswith(metric.unit.suffix) else ""
            labels = [label_name(name) for name, _ in pairs]
            family = families.setdefault(metric.name, kind(metric.prometheus, metric.brief, labels=labels, unit=unit))
            family.add_metric([text for _, text in pairs], value)
        yield from families.values()


def written(samples: list[Sample], form: Format, resource: dict[str, str] | None = None) -> str:
    """Write samples of one source."""
    snapshots = Snapshots()
    snapshots.put_samples(Source("test"), samples, 0)
    return PrometheusWriter(resource or {}).write(snapshots.current, form).decode()


def content(text: str, form: Format) -> list[tuple[str, str, str, str, list[tuple[str, list[tuple[str, str]], str]]]]:
    """What a parser makes of it, in an order that does not matter; NaN equals NaN."""
    return sorted(
        (
            family.name,
            family.type,
            family.documentation,
            family.unit,
            sorted((one.name, sorted(one.labels.items()), repr(float(one.value))) for one in family.samples),
        )
        for family in READ[form](text)
    )


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


@pytest.mark.parametrize("form", Format)
def test_the_content_is_what_prometheus_client_would_write(form: Format) -> None:
    resource = {"service.name": HOSTILE, "host.name": "node"}
    registry = CollectorRegistry()
    registry.register(Reference(resource, SAMPLES))
    generate = generate_latest if form is Format.TEXT else generate_openmetrics
    assert content(written(SAMPLES, form, resource), form) == content(generate(registry).decode(), form)


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
