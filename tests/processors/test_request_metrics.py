# SPDX-License-Identifier: Apache-2.0
"""Request metrics: each request once, what it does not say not at all, and never more series than there is room for."""

import threading
from bisect import bisect_left
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from agent.catalogue import requests as catalogue
from agent.entity import attributes
from agent.metric import Distribution, Exemplar, Histogram
from agent.owner_entities import Owner
from agent.processors import request_metrics
from agent.processors.request_metrics import RequestMetrics
from agent.requests import Request, Role
from agent.spans import Source, Span

NS = 1_000_000_000
START = 1_790_000_000 * NS
NOBODY = Source({})
HISTOGRAMS = [metric for metric in vars(catalogue).values() if isinstance(metric, Histogram)]


def span(number: int = 1, seconds: float = 2.0, *, failed: bool = False, **more: Any) -> Span:
    """A span as it comes over the wire."""
    message = SpanMessage(
        trace_id=number.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        name="llm_request",
        start_time_unix_nano=START,
        end_time_unix_nano=START + int(seconds * NS),
    )
    if failed:
        message.status.code = Status.STATUS_CODE_ERROR
    for name, value in more.items():
        setattr(message, name, value)
    return Span(SpanMessage.FromString(message.SerializeToString()), NOBODY, "vllm.llm_engine")


def request(number: int = 1, seconds: float = 2.0, of: Span | None = None, **said: Any) -> Request:
    found = of or span(number, seconds)
    return Request(span=found, dialect="vllm", arrival=found.start, end=found.end, **said)


class Counted:
    """What the metrics say, by name and attributes."""

    def __init__(self, metrics: RequestMetrics) -> None:
        self.values: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        self.distributions: dict[tuple[str, frozenset[tuple[str, str]]], Distribution] = {}
        for one in metrics.samples():
            key = (one.series.metric.name, frozenset(attributes(one.series.entity)))
            assert key not in self.values.keys() | self.distributions.keys()
            if isinstance(one, Distribution):
                self.distributions[key] = one
            else:
                self.values[key] = one.value

    def value(self, name: str, **labels: str) -> float | None:
        return self.values.get((f"joulespan.request.{name}", _labels(labels)))

    def distribution(self, metric: Histogram[Any], **labels: str) -> Distribution | None:
        return self.distributions.get((metric.name, _labels(labels)))

    def names(self) -> set[str]:
        return {name for name, _ in self.values.keys() | self.distributions.keys()}

    def labels(self, attribute: str) -> set[str]:
        return {value for _, pairs in self.distributions for name, value in pairs if name == attribute}


def _labels(labels: dict[str, str]) -> frozenset[tuple[str, str]]:
    longer = {"model": "gen_ai.request.model", "type": "gen_ai.token.type", "finish": "finish_reason"}
    return frozenset((longer.get(name, name), value) for name, value in labels.items())


def counted(*items: tuple[Request, str, str | None], **limits: Any) -> Counted:
    metrics = RequestMetrics(**limits)
    metrics.record(items)
    return Counted(metrics)


def test_a_request_is_observed_by_each_histogram_in_its_bucket_with_its_span_as_exemplar() -> None:
    said: dict[str, Any] = {
        "time_to_first_token": 0.06,
        "queue": 0.0,
        "prefill": 0.055,
        "decode": 1.9,
        "output_tokens": 20,
    }
    found = counted((request(7, 2.5, model="qwen", **said), "vllm", "acme"))
    expected = {
        catalogue.REQUEST_DURATION: 2.5,
        catalogue.TIME_TO_FIRST_TOKEN: 0.06,
        catalogue.TIME_PER_OUTPUT_TOKEN: 0.1,
        catalogue.QUEUE_DURATION: 0.0,
        catalogue.PREFILL_DURATION: 0.055,
        catalogue.DECODE_DURATION: 1.9,
    }
    assert set(expected) == set(HISTOGRAMS)
    for metric, value in expected.items():
        told = found.distribution(metric, engine="vllm", model="qwen", tenant="acme")
        assert told is not None
        place = bisect_left(metric.buckets, value)
        assert [at for at, count in enumerate(told.counts) if count] == [place]
        assert told.total == pytest.approx(value)
        assert told.exemplars[place] == Exemplar(told.total or 0.0, f"{7:032x}", f"{7:016x}", START + int(2.5 * NS))
        assert told.exemplars.count(None) == len(metric.buckets)


def test_what_a_request_does_not_say_is_in_no_series() -> None:
    found = counted((request(), "vllm", None))
    assert found.names() == {
        "gen_ai.server.request.duration",
        "joulespan.request.finished",
        "joulespan.request.names.dropped",
    }
    assert found.value("finished", engine="vllm") == 1


@pytest.mark.parametrize("role", [Role.WORKER, Role.CLIENT])
def test_only_the_span_that_tells_the_whole_request_counts(role: Role) -> None:
    found = counted((request(role=role), "vllm", None), (request(role=role), "vllm", None))
    assert found.names() == {"joulespan.request.names.dropped"}


def test_the_exemplar_of_a_bucket_is_the_latest_and_those_of_others_stay() -> None:
    metrics = RequestMetrics()
    for number, seconds in ((1, 2.0), (2, 0.005), (3, 2.1)):
        metrics.record([(request(number, seconds), "vllm", None)])
        metrics.samples()
    told = Counted(metrics).distribution(catalogue.REQUEST_DURATION, engine="vllm")
    assert told is not None
    assert [(one.span_id[-1], one.value) for one in told.exemplars if one] == [("2", 0.005), ("3", 2.1)]
    assert told.observations == 3
    assert told.total == pytest.approx(4.105)


@pytest.mark.parametrize("ids", [{"trace_id": b""}, {"span_id": b"\1" * 9}])
def test_a_span_without_proper_ids_counts_and_is_no_exemplar(ids: dict[str, Any]) -> None:
    told = counted((request(of=span(**ids)), "vllm", None)).distribution(catalogue.REQUEST_DURATION, engine="vllm")
    assert told is not None
    assert (told.observations, set(told.exemplars)) == (1, {None})


@pytest.mark.parametrize(
    ("said", "tokens"),
    [
        ({}, {}),
        ({"input_tokens": 100}, {"input": 100}),
        ({"input_tokens": 100, "cached_tokens": 60}, {"input": 40, "cached": 60}),
        ({"input_tokens": 100, "cached_tokens": 0}, {"input": 100, "cached": 0}),
        ({"input_tokens": 5, "cached_tokens": 7}, {"input": 0, "cached": 7}),
        ({"cached_tokens": 7}, {"cached": 7}),
        ({"output_tokens": 9, "reasoning_tokens": 4}, {"output": 9, "reasoning": 4}),
        ({"output_tokens": 0}, {"output": 0}),
    ],
)
def test_tokens_are_counted_by_kind_as_far_as_they_are_known(said: dict[str, Any], tokens: dict[str, int]) -> None:
    found = counted((request(model="qwen", **said), "vllm", "acme"))
    kinds = ("input", "cached", "output", "reasoning")
    told = {kind: found.value("tokens", engine="vllm", model="qwen", tenant="acme", type=kind) for kind in kinds}
    assert {kind: value for kind, value in told.items() if value is not None} == tokens


def test_the_finish_is_the_engines_word_and_error_where_a_request_failed_without_one() -> None:
    found = counted(
        (request(1, finish="stop"), "vllm", None),
        (request(2, finish="stop"), "vllm", None),
        (request(3, finish="abort", error="timeout"), "vllm", None),
        (request(4, error="timeout"), "vllm", None),
        (request(of=span(5, failed=True)), "vllm", None),
        (request(6), "vllm", None),
    )
    told = {finish: found.value("finished", engine="vllm", finish=finish) for finish in ("stop", "abort", "error")}
    assert told == {"stop": 2, "abort": 1, "error": 2}
    assert found.value("finished", engine="vllm") == 1


def test_a_span_that_is_sent_again_counts_once_and_is_counted_as_repeated() -> None:
    metrics = RequestMetrics()
    for _ in range(3):
        metrics.record([(request(1), "vllm", None), (request(2), "vllm", None)])
    found = Counted(metrics)
    assert found.value("repeated", engine="vllm") == 4
    assert found.value("finished", engine="vllm") == 2


@pytest.mark.parametrize(
    "differs", [{"name": "another"}, {"start_time_unix_nano": START - 1}, {"end_time_unix_nano": START + 1}]
)
def test_two_spans_of_the_same_ids_both_count(differs: dict[str, Any]) -> None:
    found = counted((request(1), "vllm", None), (request(of=span(1, **differs)), "vllm", None))
    assert found.value("finished", engine="vllm") == 2
    assert found.value("repeated", engine="vllm") is None


def test_what_is_remembered_of_earlier_spans_is_bounded() -> None:
    ring = request_metrics._Ring(4)
    assert [ring.has(key) for key in (1, 2, 3, 4, 1, 5, 1, 2, 2)] == [False] * 4 + [True] + [False] * 3 + [True]
    assert len(ring._known) == 4


def test_names_without_room_are_other_and_counted_by_what_they_name() -> None:
    found = counted(
        (request(1, model="a", finish="stop"), "one", "acme"),
        (request(2, model="b", finish="stop"), "two", None),
        (request(3, model="b", finish="stop"), "one", "zeta"),
        engines=1,
        models=1,
        tenants=1,
    )
    assert found.value("finished", engine="one", model="a", tenant="acme", finish="stop") == 1
    assert found.value("finished", engine="other", model="other", finish="stop") == 1
    assert found.value("finished", engine="one", model="other", tenant="other", finish="stop") == 1
    dropped = {name: found.value("names.dropped", attribute=name) for name in ("engine", "model", "tenant", "finish")}
    assert dropped == {"engine": 1, "model": 2, "tenant": 1, "finish": 0}


def test_words_that_an_engine_makes_up_for_the_finish_are_bounded_too() -> None:
    found = counted(*((request(number, finish=f"why {number}"), "vllm", None) for number in range(1, 41)))
    assert found.value("finished", engine="vllm", finish="other") == 24
    assert found.value("names.dropped", attribute="finish") == 24


def test_combinations_without_room_are_counted_under_other_altogether() -> None:
    found = counted(*((request(number), "vllm", f"t{number}") for number in range(1, 11)), classes=4)
    assert found.labels("tenant") == {"t1", "t2", "t3", "t4", "other"}
    assert found.value("finished", engine="other", model="other", tenant="other") == 6
    assert found.value("names.dropped", attribute="class") == 6


def test_the_series_of_a_name_that_lost_its_slot_end_and_are_not_added_to_other() -> None:
    metrics = RequestMetrics(tenants=1)
    metrics.record([(request(1), "vllm", "rare")])
    metrics.record([(request(number), "vllm", "often") for number in range(2, 12)])
    metrics.rebalance()
    before = Counted(metrics)
    assert before.labels("tenant") == {"other"}
    metrics.record([(request(number), "vllm", "often") for number in range(12, 15)])
    after = Counted(metrics)
    assert after.labels("tenant") == {"other", "often"}
    assert after.value("finished", engine="vllm", tenant="other") == 10
    assert after.value("finished", engine="vllm", tenant="often") == 3


def test_with_a_lost_engine_and_finish_everything_that_was_counted_under_them_ends() -> None:
    metrics = RequestMetrics(engines=1)
    metrics.record([(request(1), "old", None)] * 2)
    metrics.record([(request(number, finish=f"{number}"), "new", None) for number in range(2, 20)])
    assert Counted(metrics).value("repeated", engine="old") == 1
    metrics.record([(request(number, finish="often"), "new", None) for number in range(20, 60)])
    metrics.rebalance()
    found = Counted(metrics)
    assert found.labels("engine") == {"other"}
    assert found.value("repeated", engine="old") is None
    finishes = {dict(labels).get("finish_reason") for name, labels in found.values if name.endswith("finished")}
    assert len(finishes - {"other", None}) == 15


def test_room_is_made_for_new_combinations_where_old_ones_came_no_more() -> None:
    metrics = RequestMetrics(classes=2)
    metrics.record([(request(1), "vllm", "a"), (request(2), "vllm", "b")])
    metrics.rebalance()
    metrics.record([(request(3), "vllm", "b")])
    metrics.rebalance()
    metrics.record([(request(4), "vllm", "c")])
    assert Counted(metrics).labels("tenant") == {"b", "c"}


def test_what_was_not_observed_since_is_the_same_object() -> None:
    metrics = RequestMetrics()
    metrics.record([(request(1, queue=0.5), "a", None), (request(2), "b", None)])
    first = Counted(metrics).distributions
    metrics.record([(request(3), "a", None)])
    second = Counted(metrics).distributions
    changed = {(key[0], *dict(key[1]).values()) for key, one in second.items() if first[key] is not one}
    assert changed == {("gen_ai.server.request.duration", "a")}


@given(st.lists(st.tuples(st.integers(1, 9), st.floats(0, 1000), st.sampled_from(["a", "b", None])), max_size=50))
def test_every_request_is_in_one_bucket_of_one_class_or_repeated(told: list[tuple[int, float, str | None]]) -> None:
    metrics = RequestMetrics(tenants=1)
    metrics.record([(request(number, seconds), "vllm", tenant) for number, seconds, tenant in told])
    found = Counted(metrics)
    different = {(number, int(seconds * NS)) for number, seconds, _ in told}
    assert sum(one.observations for one in found.distributions.values()) == len(different)
    assert sum(value for (name, _), value in found.values.items() if name.endswith("finished")) == len(different)
    assert (found.value("repeated", engine="vllm") or 0) == len(told) - len(different)
    total = sum(one.total or 0.0 for one in found.distributions.values())
    assert total == pytest.approx(sum(end for _, end in different) / NS)


def test_threads_share_it_under_a_lock() -> None:
    lock = threading.Lock()
    metrics = RequestMetrics(guard=lock)
    batches = [[(request(1000 * one + number), "vllm", f"t{number}") for number in range(1, 200)] for one in range(4)]
    workers = [threading.Thread(target=metrics.record, args=(batch,)) for batch in batches]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        Counted(metrics)
    found = Counted(metrics)
    assert sum(one.observations for one in found.distributions.values()) == 4 * 199
    with lock:
        reader = threading.Thread(target=metrics.samples)
        reader.start()
        reader.join(0.05)
        assert reader.is_alive()
    reader.join()


def test_requests_of_different_owners_are_counted_apart_and_those_of_too_many_under_none() -> None:
    metrics = RequestMetrics(owners=2)
    owners = [Owner(pod=f"chat-{number}") for number in range(4)]
    kinds = metrics.record([(request(number), "vllm", None) for number in range(4)], owners)
    assert [kind and kind.owner for kind in kinds] == [owners[0], owners[1], Owner(), Owner()]
    counted = Counted(metrics)
    assert counted.labels("k8s.pod.name") == {"chat-0", "chat-1"}
    assert counted.value("names.dropped", attribute="owner") == 2
    assert counted.value("finished", engine="vllm", **{"k8s.pod.name": "chat-1"}) == 1
    assert counted.value("finished", engine="vllm") == 2


def test_an_owner_without_requests_makes_room_for_another() -> None:
    metrics = RequestMetrics(owners=1)
    old, new = Owner(pod="old"), Owner(pod="new")
    metrics.record([(request(1), "vllm", None)], [old])
    metrics.rebalance()
    metrics.record([(request(2), "vllm", None)], [new])
    assert Counted(metrics).labels("k8s.pod.name") == {"old"}
    metrics.rebalance()
    metrics.record([(request(3), "vllm", None)], [new])
    assert Counted(metrics).labels("k8s.pod.name") == {"new"}
