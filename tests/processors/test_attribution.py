# SPDX-License-Identifier: Apache-2.0
"""Requests go into the ledger as they come, and each is told once what it took."""

import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from agent.catalogue import energy as catalogue
from agent.catalogue.engine import REQUESTS_RUNNING
from agent.catalogue.gpu import ENERGY
from agent.clock import NS, FakeClock
from agent.entities import EngineModel, Gpu, MigInstance
from agent.metric import Distribution, Metric, Sample
from agent.otlp.values import attributes
from agent.processors.attribution import Attribution, Learnt, Pace
from agent.processors.hold import Divided
from agent.processors.ledger.calibration import restored
from agent.processors.request_metrics import RequestMetrics
from agent.request_entities import RequestClass
from agent.requests import Request
from agent.snapshot import Source
from agent.spans import Source as SpanSource
from agent.spans import Span
from agent.timeline import Timeline

GPU, OTHER = Gpu("GPU-0", "gpu0"), Gpu("GPU-1", "gpu1")
MIG = [MigInstance(f"MIG-{place}", f"gpu0/1g.10gb.{place}", GPU.id) for place in range(2)]
IDLE, WORKING = 100.0, 500.0
LATENESS, RETENTION = 10.0, 900.0


class Node:
    """Two GPUs, what divides their energy, and a clock. Times are seconds since the ledger began."""

    def __init__(self, learnt: Learnt | None = None, lateness: float = LATENESS, retention: float = RETENTION) -> None:
        self.clock = FakeClock()
        self.began = self.clock.now
        self.timeline = Timeline(RETENTION, 0.1)
        self.metrics = RequestMetrics(guard=threading.Lock())
        self.attribution = Attribution(
            self.timeline,
            self.metrics,
            self.clock,
            Pace(0.1, lateness, retention),
            self.began,
            models=lambda: {GPU.id: "H100"},
            learnt=learnt,
            guard=threading.RLock(),
        )
        self.attribution.watch([GPU, OTHER])
        self._joules = 0.0
        self._numbers = 0

    def run(self, seconds: int, watts: float = IDLE, running: float | None = None) -> None:
        """Let time pass. The first GPU draws so much, the other one idles; `running` is what engine "a" says."""
        for _ in range(seconds * 10):
            now = self.clock.now
            idle = (now - self.began) / NS * IDLE
            for gpu, joules in ((GPU, self._joules), (OTHER, idle)):
                self.timeline.append(Source("gpu_energy", gpu.id), (ENERGY.series(gpu),), now, [joules])
            if running is not None:
                said = (REQUESTS_RUNNING.series(EngineModel("a", "m")),)
                self.timeline.append(Source("engines", "a"), said, now, [running])
            self._joules += watts / 10
            self.clock.advance(0.1)

    def request(self, begin: float, end: float, gpus: Sequence[Gpu | MigInstance] = (GPU,)) -> Divided:
        """A request of engine "a"; half of its time is prefill."""
        self._numbers += 1
        origin = self.clock.unix_ns(self.began)
        start, stop = origin + int(begin * NS), origin + int(end * NS)
        message = SpanMessage(
            trace_id=self._numbers.to_bytes(16, "big"), span_id=self._numbers.to_bytes(8, "big"), name="llm_request"
        )
        request = Request(
            span=Span(message, SpanSource({}), "vllm"),
            dialect="vllm",
            model="m",
            arrival=start,
            prefill_start=start,
            first_token=(start + stop) // 2,
            end=stop,
            input_tokens=100,
            cached_tokens=0,
            output_tokens=51,
        )
        return Divided(request, "a", tuple(gpus), RequestClass("a", "m", "acme"))

    def add(self, *some: Divided, wanted: bool = True) -> list[int | None]:
        return self.attribution.add(some, self.clock.epoch, wanted=wanted)

    def said(self, metric: Metric[Any]) -> dict[str, float]:
        """What a metric says, added up by the first word of what it is about; how often for a histogram."""
        samples: list[Sample | Distribution] = [*self.attribution.samples(), *self.metrics.samples()]
        found: defaultdict[str, float] = defaultdict(float)
        for one in samples:
            if one.series.metric is metric:
                value = one.observations if isinstance(one, Distribution) else one.value
                found[str(one.series.entity[0])] += value
        return dict(found)


def told(node: Node, number: int | None) -> dict[str, object]:
    return dict(attributes(SpanMessage.FromString(node.attribution.told(number)).attributes))


def worked(seconds: int = 4, running: float | None = None) -> Node:
    """A node that rested for 8 s, and worked for some."""
    node = Node()
    node.run(8, running=None if running is None else 0.0)
    node.run(seconds, WORKING, running)
    return node


def costs_of(node: Node) -> list[Sample]:
    told = node.attribution.samples()
    return [one for one in told if isinstance(one, Sample) and one.series.metric is catalogue.CALIBRATION_COST]


def test_a_request_alone_on_its_gpu_took_all_of_it_and_is_told_once() -> None:
    node = worked()
    (number,) = node.add(node.request(8, 12))
    node.run(20)
    node.attribution.advance()
    assert node.attribution.closed_ns >= node.began + 12 * NS
    found = told(node, number)
    assert found["joulespan.energy"] == pytest.approx(4 * WORKING)
    assert found["joulespan.energy"] == pytest.approx(
        float(str(found["joulespan.energy.prefill"])) + float(str(found["joulespan.energy.decode"]))
    )
    assert found["joulespan.energy.uncertainty"] == pytest.approx(0.3 * 4 * WORKING)
    assert found["joulespan.attribution.method"] == "time_share"
    assert not found.keys() & {"joulespan.energy.modelled", "joulespan.attribution.coverage", "joulespan.gpu.seconds"}
    assert told(node, number) == {}
    assert node.said(catalogue.REQUEST_ENERGY) == {"a": 1}


def test_a_span_that_does_not_wait_for_the_ledger_leaves_nothing_behind() -> None:
    node = worked()
    ahead, other = node.add(node.request(50, 54), node.request(8, 12))
    node.run(20)
    node.attribution.advance()
    # Its sender's clock is ahead: it was sent on before the ledger came to its end.
    assert told(node, ahead) == {}
    node.run(60)
    node.attribution.advance()
    assert node.said(catalogue.REQUEST_ENERGY) == {"a": 2}
    assert told(node, ahead) == {}
    assert told(node, other)["joulespan.energy"] == pytest.approx(4 * WORKING)


def test_what_is_given_to_requests_is_what_was_taken_of_gpus() -> None:
    node = worked()
    node.add(node.request(8, 12), node.request(9, 11))
    node.run(20)
    node.attribution.advance()
    by_gpu = node.said(catalogue.GPU_ENERGY_ATTRIBUTED)
    assert node.said(catalogue.ENERGY_ATTRIBUTED)["a"] == pytest.approx(sum(by_gpu.values()), abs=1e-9)
    for gpu, joules in node.said(catalogue.ENERGY_MEASURED).items():
        rest = node.said(catalogue.ENERGY_IDLE)[gpu] + node.said(catalogue.ENERGY_UNATTRIBUTED)[gpu]
        assert joules == pytest.approx(by_gpu[gpu] + rest, abs=1e-9)
    assert by_gpu["GPU-1"] == 0
    assert node.said(catalogue.ENERGY_IDLE)["GPU-1"] == pytest.approx(node.said(catalogue.ENERGY_MEASURED)["GPU-1"])


def test_the_ledger_does_not_wait_for_a_span_that_is_only_counted() -> None:
    node = worked()
    (number,) = node.add(node.request(8, 12), wanted=False)
    node.run(20)
    node.attribution.advance()
    assert told(node, number) == {}
    assert node.said(catalogue.REQUEST_ENERGY) == {"a": 1}


def test_a_request_that_ends_in_the_future_or_before_what_is_remembered_is_counted_by_why() -> None:
    node = Node(retention=60.0)
    node.run(100)
    numbers = node.add(
        node.request(160, 170), node.request(90, 155), node.request(20, 30), node.request(20, 45), node.request(90, 99)
    )
    assert [number is None for number in numbers] == [True, False, True, False, False]
    assert len(set(numbers) - {None}) == 3
    assert node.said(catalogue.REQUEST_UNDIVIDED) == {"future": 1, "past": 1}
    assert told(node, None) == {}


def test_no_more_requests_wait_than_there_is_room_for() -> None:
    node = worked()
    one = node.request(8, 12)
    most = 262_144
    node.add(*[one] * most, wanted=False)
    assert node.add(one, one) == [None, None]
    assert node.said(catalogue.REQUEST_UNDIVIDED) == {"full": 2}
    node.run(20)
    node.attribution.advance()
    assert node.add(node.request(20, 22)) == [most]


def test_a_request_that_began_before_the_ledger_is_told_how_much_of_it_is_known_and_no_energy() -> None:
    node = Node()
    node.run(30)
    part, whole = node.add(node.request(-6, 2), node.request(4, 6))
    node.attribution.advance()
    assert told(node, part) == {"joulespan.attribution.coverage": pytest.approx(0.25)}
    assert told(node, whole)["joulespan.energy"] == pytest.approx(2 * IDLE)
    assert node.said(catalogue.REQUEST_UNDIVIDED) == {"uncovered": 1}
    assert node.said(catalogue.REQUEST_ENERGY) == {"a": 1}
    # What it took of the time that is known is its class's all the same.
    assert node.said(catalogue.ENERGY_ATTRIBUTED)["a"] == pytest.approx(4 * IDLE)


def test_a_request_shorter_than_the_counter_tells_is_marked_as_modelled() -> None:
    node = worked()
    (number,) = node.add(node.request(9, 9.5))
    node.run(20)
    node.attribution.advance()
    assert told(node, number)["joulespan.energy.modelled"] is True


def test_mig_instances_are_charged_to_the_counter_of_their_gpu() -> None:
    node = worked()
    one, both = node.add(node.request(8, 10, MIG[:1]), node.request(10, 12, MIG))
    node.run(20)
    node.attribution.advance()
    assert told(node, one)["joulespan.energy"] == pytest.approx(2 * WORKING)
    assert told(node, both)["joulespan.energy"] == pytest.approx(2 * WORKING)
    assert node.said(catalogue.GPU_ENERGY_ATTRIBUTED) == {"GPU-0": pytest.approx(4 * WORKING), "GPU-1": 0}


def test_steps_are_closed_after_the_lateness_and_sooner_under_pressure() -> None:
    node = worked(12, 1.0)
    node.add(node.request(8, 9))
    closed = []
    for pressure in (0.0, 0.5, 1.0):
        node.attribution.advance(pressure=pressure)
        closed.append((node.attribution.closed_ns - node.began) / NS)
    assert closed == pytest.approx([10, 15, 18.8], abs=0.2)
    assert closed == sorted(closed)


def test_it_is_waited_for_as_long_as_requests_last_where_the_engine_has_no_page() -> None:
    silent, gauged = worked(20), worked(20, 1.0)
    for node, patience in ((silent, 15 + 6), (gauged, LATENESS)):
        node.add(node.request(1, 16))
        node.run(10, running=0.0 if node is gauged else None)
        # It is divided, and so it is known how long requests last and whether there is a page.
        node.attribution.advance()
        assert node.attribution.closed_ns >= node.began + 16 * NS
        node.run(20, running=0.0 if node is gauged else None)
        node.attribution.advance()
        waited = (node.clock.now - node.attribution.closed_ns) / NS
        # Steps are closed by whole windows of 2 s.
        assert patience <= waited <= patience + 2.1


def test_at_the_end_everything_is_settled() -> None:
    node = worked()
    (number,) = node.add(node.request(8, 12))
    node.run(1)
    node.attribution.advance()
    assert node.said(catalogue.REQUEST_ENERGY) == {}
    node.attribution.finish()
    assert told(node, number)["joulespan.energy"] == pytest.approx(4 * WORKING)
    assert node.attribution.closed_ns == pytest.approx(node.clock.now, abs=NS // 5)


def test_what_was_learnt_comes_back_after_a_restart() -> None:
    node = Node()
    node.run(8, running=0.0)
    for begin in range(8, 128, 4):
        node.run(4, WORKING, 1.0)
        node.add(node.request(begin, begin + 4))
        node.attribution.advance()
    node.run(20, IDLE, 0.0)
    node.attribution.advance()
    learnt = node.attribution.learnt()
    assert learnt.idle_watts == {"GPU-0": pytest.approx(IDLE), "GPU-1": pytest.approx(IDLE)}
    (name,) = learnt.calibrations
    assert name == "a|m|H100|1"
    costs = costs_of(node)
    assert any(one.value > 0 for one in costs)
    # As over a file.
    sums = msgspec.json.decode(msgspec.json.encode(learnt.calibrations[name].sums()))
    again = Node(Learnt({name: restored(sums)}, learnt.idle_watts))
    again.run(2, WORKING, 1.0)
    again.add(again.request(0, 2))
    found = costs_of(again)
    assert [one.series.entity for one in found] == [one.series.entity for one in costs]
    assert [one.value for one in found] == pytest.approx([one.value for one in costs])
    assert again.said(catalogue.IDLE_POWER) == {str(gpu): pytest.approx(IDLE) for gpu in (GPU.id, OTHER.id)}
    assert again.attribution.learnt().idle_watts == learnt.idle_watts


def test_what_is_to_be_remembered_changes_no_more() -> None:
    node = Node()
    node.run(8, running=0.0)
    node.add(node.request(8, 48))
    node.run(50, WORKING, 1.0)
    node.attribution.advance()
    learnt = node.attribution.learnt().calibrations["a|m|H100|1"]
    before = learnt.sums()
    node.add(node.request(58, 98))
    node.run(50, WORKING, 1.0)
    node.attribution.advance()
    assert before.seconds > 0
    assert learnt.sums() == before
    assert node.attribution.learnt().calibrations["a|m|H100|1"].seconds > before.seconds


def test_what_was_learnt_of_engines_that_did_not_come_back_is_kept() -> None:
    node = Node()
    node.run(8)
    gone = restored({"gram": [[0.0] * 5] * 5, "moment": [0.0] * 5})
    again = Node(Learnt({"gone|m|H100|1": gone}, {"GPU-9": 42.0}))
    again.run(30)
    again.add(again.request(4, 6))
    again.attribution.advance()
    learnt = again.attribution.learnt()
    assert list(learnt.calibrations) == ["gone|m|H100|1", "a|m|H100|1"]
    assert learnt.idle_watts["GPU-9"] == 42.0


def test_what_was_learnt_of_an_engine_outlives_its_requests() -> None:
    node = Node(retention=60.0)
    node.run(8, running=0.0)
    for begin in range(8, 68, 4):
        node.run(4, WORKING, 1.0)
        node.add(node.request(begin, begin + 4))
        node.attribution.advance()
    node.run(20, IDLE, 0.0)
    node.attribution.advance()
    before = node.attribution.learnt().calibrations["a|m|H100|1"].seconds
    assert before > 30
    node.run(120, IDLE, 0.0)
    node.attribution.advance()
    node.run(10, IDLE, 0.0)
    node.attribution.advance()
    # Nothing of the engine is left to be divided.
    assert node.said(catalogue.CALIBRATION_DURATION) == {}
    assert node.attribution.learnt().calibrations["a|m|H100|1"].seconds == before
    node.add(node.request(210, 212))
    assert node.said(catalogue.CALIBRATION_DURATION) == {"a": before}


def test_a_calibration_of_an_earlier_run_says_when_it_last_learnt_only_once_it_learns() -> None:
    node = Node()
    node.run(8, running=0.0)
    for begin in range(8, 68, 4):
        node.run(4, WORKING, 1.0)
        node.add(node.request(begin, begin + 4))
    node.run(20, IDLE, 0.0)
    node.attribution.advance()
    assert node.said(catalogue.CALIBRATION_LAST_LEARNT).keys() == {"a"}
    again = Node(node.attribution.learnt())
    again.run(30, IDLE, 0.0)
    again.add(again.request(29, 29.5))
    again.attribution.advance()
    assert again.said(catalogue.CALIBRATION_DURATION)["a"] > 30
    assert again.said(catalogue.CALIBRATION_LAST_LEARNT) == {}


@pytest.mark.parametrize("before", [0.0, 1e-6, 0.0004, 0.0009])
def test_whatever_ended_until_then_is_told(before: float) -> None:
    node = worked()
    whole = node.request(8, 20 - before)
    # All of its tokens came at once.
    late = msgspec.structs.replace(whole.request, first_token=whole.request.end)
    (number,) = node.add(msgspec.structs.replace(whole, request=late))
    while node.attribution.closed_ns < late.end - node.clock.epoch:
        node.run(1)
        node.attribution.advance()
    assert float(str(told(node, number)["joulespan.energy"])) > 0
