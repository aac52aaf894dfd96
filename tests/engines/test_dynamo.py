# SPDX-License-Identifier: Apache-2.0
"""A real Dynamo deployment through the agent: each request of its client counts once, however many parts it had."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.agent.running import Scrape
from tests.engines import dynamo_deployment
from tests.engines.behind import Arrived, behind, finished, outcomes, tokens
from tests.engines.client import CHAT, Seen, everything, send
from tests.engines.dynamo_deployment import FRONT
from tests.mock_nvml.control import MockNvml

ROLES = {
    "aggregated": {"dynamo-a": "agg", "dynamo-b": "agg"},
    "disaggregated": {"dynamo-prefill": "prefill", "dynamo-decode": "decode"},
}
PROTOCOLS = {"otlp_grpc": "grpc", "otlp_http": "http/protobuf"}
"""OpenTelemetry's names of the protocols, by the receiver that is sent to."""
INTERNAL, SERVER = 1, 2


class Served(NamedTuple):
    """What there is to know once a deployment is gone."""

    seen: Sequence[Seen]
    spans: Sequence[Arrived]
    scrape: Scrape
    gpus: dict[str, str]
    """UUID of the GPU that each worker holds, by service."""
    receiver: str

    @property
    def answered(self) -> list[Seen]:
        return [one for one in self.seen if one.answered]

    @property
    def fronts(self) -> list[Arrived]:
        return [span for span in self.spans if span.name == "http-request"]

    @property
    def works(self) -> list[Arrived]:
        """The spans of workers that say which request they are about: those of one of several prompts do not."""
        payloads = [span for span in self.spans if span.name == "handle_payload"]
        return [one for one in payloads if one.attributes["endpoint"] == "generate" and "request_id" in one.attributes]


@pytest.fixture(scope="module", params=[(way, receiver) for way in ROLES for receiver in PROTOCOLS], ids="-".join)
def served(
    request: pytest.FixtureRequest,
    venv: Callable[[str], Path],
    model: Path,
    mock_nvml: MockNvml,
    tmp_path_factory: pytest.TempPathFactory,
) -> Served:
    """Have everything asked of a deployment whose workers hold a GPU each, and wait for its spans."""
    place, folder = venv("dynamo"), tmp_path_factory.mktemp("dynamo")
    way, receiver = request.param
    with behind(mock_nvml, folder) as back:
        endpoint = f"http://{back.receivers[receiver]}"
        otlp = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": PROTOCOLS[receiver]}
        with dynamo_deployment.running(place, model, folder, ROLES[way], otlp) as deployment:
            gpus = {service: back.holds(pid, gpu) for gpu, (service, pid) in enumerate(deployment.workers.items())}
            seen = send(deployment.url, everything())
            back.settled(len(seen))
        scrape = back.settled()
    return Served(seen, back.spans(), scrape, gpus, receiver)


def request_id(one: Seen) -> str:
    return one.id.partition("-")[2]


def told(one: Seen) -> bool:
    """Whether its span tells its tokens: completions that are not streamed do not."""
    return one.answered and (one.ask.path == CHAT or bool(one.ask.body.get("stream")))


def test_each_request_is_told_by_one_span_of_the_front_end(served: Served) -> None:
    assert {(span.service, span.kind) for span in served.fronts} == {(FRONT, INTERNAL)}
    assert len(served.fronts) == len(served.seen)
    assert Counter(span.attributes["request_id"] for span in served.fronts).most_common(1)[0][1] == 1
    assert {request_id(one) for one in served.answered} <= {span.attributes["request_id"] for span in served.fronts}


def test_most_are_answered_with_the_tokens_that_the_span_says(served: Served) -> None:
    by_id = {span.attributes["request_id"]: span for span in served.fronts}
    answered = [one for one in served.seen if told(one)]
    assert len(answered) == 17
    for one in answered:
        span = by_id[request_id(one)]
        found = span.number("input_tokens"), span.number("output_tokens")
        assert found == (one.prompt_tokens, one.completion_tokens)


def test_ids_of_the_client_are_in_the_spans(served: Served) -> None:
    names = [span.attributes["x_request_id"] for span in served.fronts if "x_request_id" in span.attributes]
    traces = [(span.trace_id, span.parent_id) for span in served.fronts if span.parent_id]
    assert Counter(names) == Counter(one.ask.name for one in served.seen if one.ask.name)
    assert Counter(traces) == Counter(one.ask.trace for one in served.seen if one.ask.trace)


def test_every_span_that_came_in_went_on(served: Served) -> None:
    assert {one["receiver"] for one in served.scrape.labels("joulespan_receiver_spans_total")} == {served.receiver}
    assert outcomes(served.scrape) == {"accepted": len(served.spans), "forwarded": len(served.spans)}
    assert len({(span.trace_id, span.span_id) for span in served.spans}) == len(served.spans)


def test_log_records_that_came_with_them_are_counted_and_end_here(served: Served) -> None:
    name = "joulespan_receiver_log_records_total"
    assert 0 < served.scrape.value(name, outcome="accepted") == served.scrape.value(name, outcome="not_forwarded")


def test_the_metrics_count_each_request_once_and_its_tokens(served: Served) -> None:
    """Spans of workers count nothing, although their kind is SERVER and that of the front end's is not."""
    assert finished(served.scrape, engine=FRONT) == finished(served.scrape) == len(served.seen)
    assert sum(served.scrape.values("joulespan_request_repeated_total")) == 0
    assert tokens(served.scrape, "output") == sum(one.completion_tokens for one in served.seen if told(one))
    prompts = sum(one.prompt_tokens for one in served.seen if told(one))
    assert tokens(served.scrape, "input") + tokens(served.scrape, "cached") == prompts


def test_the_request_that_was_left_and_those_that_failed_are_counted_as_such(served: Served) -> None:
    ends = {one: sum(served.scrape.values("joulespan_request_finished_total", finish_reason=one)) for one in
            ("cancelled", "error")}  # fmt: skip
    assert ends == {"cancelled": 1, "error": sum(one.status != 200 for one in served.seen)}


def test_each_answer_to_one_prompt_has_the_work_of_each_kind_of_worker(served: Served) -> None:
    disaggregated = "dynamo-prefill" in served.gpus
    works = Counter(span.attributes["request_id"] for span in served.works)
    for one in served.answered:
        if one.ask.prompts == 1:
            assert works[request_id(one)] == (2 if disaggregated else 1)
    assert {span.service for span in served.works} == served.gpus.keys()
    assert {span.kind for span in served.works} == {SERVER}


def test_work_is_told_of_the_gpu_that_its_worker_holds(served: Served) -> None:
    """The span names no process: the other end of the connection on which it came is followed."""
    for span in served.works:
        assert span.attributes["joulespan.gpu.ids"] == [served.gpus[span.service]]
        assert span.attributes["joulespan.gpu.power"] > 0
    for span in served.fronts:
        assert "joulespan.gpu.ids" not in span.attributes
    found = {one["engine"]: one for one in served.scrape.labels("joulespan_engine_gpu_info")}
    assert {engine: (one["hw_id"], one["source"]) for engine, one in found.items()} == {
        service: (gpu, "socket") for service, gpu in served.gpus.items()
    }
