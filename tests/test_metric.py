# SPDX-License-Identifier: Apache-2.0
"""Names follow from the catalogue by rule, and the catalogue keeps to its own rules."""

import re
from itertools import pairwise
from math import inf
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.catalogue import FAMILIES, METRICS, SECTIONS, metrics
from agent.catalogue.requests import REQUEST_DURATION
from agent.config import OWNER_LABELS
from agent.entities import Gpu, GpuInfo, GpuProcess, GpuProcessTask, MigInstance
from agent.entity import Entity, attributes, attributes_of
from agent.metric import Counter, Gauge, Histogram, Info, Metric, UpDownCounter, label_name, prometheus_name
from agent.request_entities import RequestClass
from agent.unit import Unit

ALL = [metric for section in SECTIONS for metric in metrics(section)]
EVERY = pytest.mark.parametrize("metric", ALL, ids=lambda metric: f"{metric.name}-{metric.entity.__name__}")
ENTITIES = sorted({metric.entity for metric in ALL}, key=lambda kind: kind.__name__)
HARDWARE = {"hw.id", "hw.type", "hw.name"}
ENGINE = {"engine", "gen_ai.request.model"}
RANKED = ENGINE | {"engine.rank"}
REQUEST = {*OWNER_LABELS} | ENGINE | {"tenant"}


def entities(kind: type[Entity]) -> st.SearchStrategy[Entity]:
    """Any entity of a kind; what may be absent sometimes is."""
    plain = {str: st.text(), int: st.integers(0, 2**31), str | None: st.none() | st.text()}
    plain[int | None] = st.none() | st.integers(0, 2**31)
    fields = get_type_hints(kind)
    return st.builds(kind, **{name: plain[hint] if hint in plain else entities(hint) for name, hint in fields.items()})


def test_the_prometheus_name_follows_the_rules_of_opentelemetry() -> None:
    cases: list[tuple[str, Unit, type[Metric[Any]], str]] = [
        ("hw.gpu.utilization", Unit.RATIO, Gauge, "hw_gpu_utilization_ratio"),
        ("hw.fan.speed_ratio", Unit.RATIO, Gauge, "hw_fan_speed_ratio"),
        ("some.ratio.of.things", Unit.RATIO, Gauge, "some_of_things_ratio"),
        ("hw.status", Unit.RATIO, UpDownCounter, "hw_status"),
        ("some.shares", Unit.RATIO, Counter, "some_shares_total"),
        ("hw.power", Unit.WATTS, Gauge, "hw_power_watts"),
        ("hw.energy", Unit.JOULES, Counter, "hw_energy_joules_total"),
        ("some.seconds", Unit.SECONDS, Gauge, "some_seconds"),
        ("some.seconds.of.work", Unit.SECONDS, Counter, "some_seconds_of_work_total"),
        ("some.total", Unit.BYTES, Counter, "some_bytes_total"),
        ("total.of.total.things", Unit.ITEMS, Counter, "of_things_total"),
        ("some.total", Unit.ITEMS, Gauge, "some_total"),
        ("joulespan.gpu.xid", Unit.EVENTS, Counter, "joulespan_gpu_xid_total"),
        ("joulespan.gpu.info", Unit.NONE, Info, "joulespan_gpu_info"),
        ("link.speed", Unit.BYTES_PER_SECOND, Gauge, "link_speed_bytes_per_second"),
        ("request.duration", Unit.SECONDS, Histogram, "request_duration_seconds"),
        ("odd..name - of/a:thing", Unit.NONE, Gauge, "odd_name_of_a:thing"),
    ]
    assert [prometheus_name(name, unit, kind) for name, unit, kind, _ in cases] == [case[3] for case in cases]


@EVERY
def test_a_metric_of_the_catalogue_has_valid_names_and_a_sentence(metric: Metric[Any]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*(\.[a-z0-9]+(_[a-z0-9]+)*)+", metric.name)
    assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", metric.prometheus)
    assert re.fullmatch(r"[A-Z0-9].*\.", metric.brief)
    assert "\n" not in metric.brief
    assert isinstance(metric, Counter) == metric.prometheus.endswith("_total")
    assert isinstance(metric, Info) == metric.name.endswith(".info")


@pytest.mark.parametrize("name", FAMILIES)
def test_metrics_share_a_name_only_where_the_kind_of_hardware_tells_them_apart(name: str) -> None:
    family = FAMILIES[name]
    kinds = [dict(metric.attributes).get("hw.type") for metric in family]
    assert len(set(kinds)) == len(kinds) == 1 or None not in kinds
    assert len({(type(metric), metric.unit, metric.prometheus) for metric in family}) == 1
    assert len({one.prometheus for one in METRICS.values()}) == len(METRICS)


def test_no_two_metrics_give_series_of_the_same_name() -> None:
    names = []
    for metric in METRICS.values():
        suffixes = ("_bucket", "_count", "_sum", "") if isinstance(metric, Histogram) else ("",)
        names += [metric.prometheus + suffix for suffix in suffixes]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("name", "kind", "unit", "beside"),
    [
        ("hw.power", Gauge, "W", set()),
        ("hw.energy", Counter, "J", set()),
        ("hw.temperature", Gauge, "Cel", {"hw.sensor_location"}),
        ("hw.gpu.utilization", Gauge, "1", {"hw.gpu.task"}),
        ("hw.gpu.memory.usage", UpDownCounter, "By", set()),
        ("hw.gpu.memory.limit", UpDownCounter, "By", set()),
        ("hw.gpu.memory.utilization", Gauge, "1", set()),
        ("hw.errors", Counter, "{error}", {"error.type"}),
        ("hw.network.io", Counter, "By", {"network.io.direction"}),
        ("hw.network.packets", Counter, "{packet}", {"network.io.direction"}),
        ("hw.network.up", UpDownCounter, "1", set()),
        ("hw.network.bandwidth.limit", UpDownCounter, "By/s", set()),
        ("hw.status", UpDownCounter, "1", {"hw.state"}),
        ("joulespan.nvlink.io", Counter, "By", {"link", "network.io.direction"}),
        ("joulespan.gpu.xid", Counter, "{event}", {"xid"}),
        ("joulespan.gpu.xid.last_seen", Gauge, "s", {"xid"}),
        ("joulespan.gpu.throttle.duration", Counter, "s", {"reason"}),
        ("joulespan.engine.requests.running", Gauge, "{request}", RANKED),
        ("joulespan.engine.requests.waiting", Gauge, "{request}", RANKED),
        ("joulespan.engine.kv_cache.utilization", Gauge, "1", RANKED),
        ("joulespan.engine.tokens", Counter, "{token}", RANKED | {"gen_ai.token.type"}),
        ("joulespan.engine.iterations", Counter, "{iteration}", {"engine", "engine.rank"}),
        ("joulespan.energy.measured", Counter, "J", set()),
        ("joulespan.energy.idle", Counter, "J", set()),
        ("joulespan.energy.unattributed", Counter, "J", set()),
        ("joulespan.energy.attributed", Counter, "J", REQUEST | {"phase"}),
        ("joulespan.request.energy", Histogram, "J", REQUEST),
        ("gen_ai.server.request.duration", Histogram, "s", REQUEST),
        ("gen_ai.server.time_to_first_token", Histogram, "s", REQUEST),
        ("gen_ai.server.time_per_output_token", Histogram, "s", REQUEST),
        ("joulespan.request.queue.duration", Histogram, "s", REQUEST),
        ("joulespan.request.prefill.duration", Histogram, "s", REQUEST),
        ("joulespan.request.decode.duration", Histogram, "s", REQUEST),
        ("joulespan.request.tokens", Counter, "{token}", REQUEST | {"gen_ai.token.type"}),
        ("joulespan.request.finished", Counter, "{request}", REQUEST | {"finish_reason"}),
        ("joulespan.request.unmapped", Counter, "{request}", {"engine", "reason"}),
        ("joulespan.request.repeated", Counter, "{span}", {"engine"}),
        ("joulespan.request.names.dropped", Counter, "{request}", {"attribute"}),
        ("joulespan.request.slow", Counter, "{request}", {"cause"}),
        ("joulespan.collector.duration", Gauge, "s", {"collector"}),
        ("joulespan.collector.success", Gauge, "", {"collector"}),
        ("joulespan.collector.last_success", Gauge, "s", {"collector"}),
        ("joulespan.receiver.spans", Counter, "{span}", {"receiver", "outcome", "reason"}),
        ("joulespan.exporter.points", Counter, "{point}", {"exporter", "outcome"}),
    ],
)
def test_what_other_tools_were_told_exists(name: str, kind: type[Metric[Any]], unit: str, beside: set[str]) -> None:
    metric = METRICS[name]
    assert (type(metric), metric.unit.ucum) == (kind, unit)
    names = {attribute.name for attribute in metric.attributes}
    assert names - HARDWARE == beside
    assert not names & HARDWARE or names >= HARDWARE


@pytest.mark.parametrize("kind", ENTITIES)
def test_the_labels_of_an_entity_are_valid_and_each_there_once(kind: type[Entity]) -> None:
    labels = [label_name(attribute.name) for attribute in attributes_of(kind)]
    assert len(set(labels)) == len(labels)
    assert all(re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", label) for label in labels)
    assert not {"job", "instance", "le", "__name__"} & set(labels)


@pytest.mark.parametrize("kind", ENTITIES)
@settings(max_examples=20, deadline=None)
@given(st.data())
def test_an_entity_names_itself_in_the_order_of_its_kind_and_leaves_out_what_it_lacks(
    kind: type[Entity], data: st.DataObject
) -> None:
    entity = data.draw(entities(kind))
    pairs = attributes(entity)
    order = [attribute.name for attribute in attributes_of(kind)]
    names = [name for name, _ in pairs]
    assert names == [name for name in order if name in names]
    assert len(order) - len(names) == list(entity).count(None) + sum(
        list(part).count(None) for part in entity if isinstance(part, tuple)
    )


def test_an_entity_inside_an_entity_comes_first_and_what_is_hardware_says_its_type() -> None:
    process = GpuProcessTask(GpuProcess(Gpu("GPU-1", "gpu0"), 42), "general")
    hardware = (("hw.id", "GPU-1"), ("hw.type", "gpu"), ("hw.name", "gpu0"))
    assert attributes(process) == (*hardware, ("process.pid", "42"), ("hw.gpu.task", "general"))
    assert attributes(GpuInfo(Gpu("GPU-1", "gpu0"), minor=0)) == (*hardware, ("gpu.minor", "0"))
    assert attributes(MigInstance("MIG-1", "gpu0/1g", "GPU-1"))[1:] == (
        ("hw.type", "gpu"),
        ("hw.name", "gpu0/1g"),
        ("hw.parent", "GPU-1"),
    )


def test_a_series_is_the_same_object_each_time_and_the_memory_of_them_is_bounded() -> None:
    gauge = Gauge("some.thing", Unit.NONE, GpuProcess, "Some thing.")
    gpu = Gpu("GPU-1", "gpu0")
    first = gauge.series(GpuProcess(gpu, 0))
    assert gauge(GpuProcess(gpu, 0), 3.0).series is first
    for pid in range(10_000):
        gauge.series(GpuProcess(gpu, pid))
    assert len(gauge._memo) <= 4096
    assert gauge.series(GpuProcess(gpu, 0)) == first


@EVERY
def test_the_bounds_of_a_histogram_ascend_and_are_finite(metric: Metric[Any]) -> None:
    bounds = metric.buckets if isinstance(metric, Histogram) else (1.0,)
    assert all(0 < one < other < inf for one, other in pairwise((*bounds, 1e9)))


def test_a_distribution_fits_the_buckets_of_its_metric_and_adds_up_what_was_observed() -> None:
    entity, counts = RequestClass("vllm"), [1, 0, 4] + [0] * 12
    told = REQUEST_DURATION.distribution(entity, counts, 7.5)
    assert (told.observations, told.buckets, told.exemplars) == (5, REQUEST_DURATION.buckets, (None,) * 15)
    assert told.series is REQUEST_DURATION.series(entity)
    with pytest.raises(ValueError, match="14 counts and 15 exemplars for 15 buckets"):
        REQUEST_DURATION.distribution(entity, counts[1:], 7.5)
    with pytest.raises(ValueError, match="15 counts and 1 exemplars for 15 buckets"):
        REQUEST_DURATION.distribution(entity, counts, 7.5, [None])
    foreign = REQUEST_DURATION.distribution(entity, [1, 2, 3], 7.5, (), (0.5, 1.0))
    assert (foreign.observations, foreign.buckets, foreign.exemplars) == (6, (0.5, 1.0), (None,) * 3)
    with pytest.raises(ValueError, match="3 counts and 2 exemplars for 2 buckets"):
        REQUEST_DURATION.distribution(entity, [1, 2, 3], 7.5, (), (0.5,))
