# SPDX-License-Identifier: Apache-2.0
"""A real vLLM server through the agent: each request that its client saw is in the spans and in the metrics, once."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.agent.running import Scrape
from tests.engines import vllm_server
from tests.engines.behind import Arrived, behind, finished, outcomes, tokens
from tests.engines.client import COMPLETIONS, Ask, Seen, everything, send
from tests.mock_nvml.control import MockNvml

GPU = 2
PROTOCOLS = {"otlp_grpc": ("grpc", ""), "otlp_http": ("http/protobuf", "/v1/traces")}
"""By the receiver that is sent to: OpenTelemetry's name of the protocol, and the path of the endpoint."""
TOKENS = ("gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens")


class Served(NamedTuple):
    """What there is to know once a server is gone."""

    seen: Sequence[Seen]
    spans: Sequence[Arrived]
    scrape: Scrape
    receiver: str
    succeeded: float
    """Sequences that the server itself counted as finished."""

    @property
    def answered(self) -> list[Seen]:
        return [one for one in self.seen if one.answered]

    @property
    def requests(self) -> Mapping[str, list[Arrived]]:
        """The spans of requests, by the id of the answer."""
        found = defaultdict(list)
        ids = {f"{one.id}-{number}": one.id for one in self.seen for number in range(one.ask.prompts)}
        for span in self.spans:
            if span.name == "llm_request":
                told = span.attributes["gen_ai.request.id"]
                found[ids.get(told, told)].append(span)
        return found


@pytest.fixture(scope="module", params=PROTOCOLS)
def served(
    request: pytest.FixtureRequest,
    venv: Callable[[str], Path],
    model: Path,
    mock_nvml: MockNvml,
    tmp_path_factory: pytest.TempPathFactory,
) -> Served:
    """Have everything asked of a server whose worker holds a GPU, and wait for its spans."""
    place, folder = venv("vllm"), tmp_path_factory.mktemp("vllm")
    receiver = str(request.param)
    protocol, path = PROTOCOLS[receiver]
    with behind(mock_nvml, folder) as back:
        endpoint = f"http://{back.receivers[receiver]}{path}"
        with vllm_server.running(place, model, folder, protocol, endpoint) as server:
            back.holds(server.worker(), GPU)
            seen = send(server.url, everything())
            back.settled(sum(sequences(one.ask) for one in seen if one.answered))
            succeeded = server.value("vllm:request_success_total")
        scrape = back.settled()
    return Served(seen, back.spans(), scrape, receiver, succeeded)


def sequences(ask: Ask) -> int:
    """Count what vLLM makes of a request: one sequence for each prompt and each answer to it."""
    return ask.prompts * int(ask.body.get("n", 1))


def test_each_answer_has_its_spans_with_the_tokens_of_its_usage(served: Served) -> None:
    assert len(served.answered) == len(everything()) - 2
    assert served.requests.keys() == {one.id for one in served.answered}
    for one in served.answered:
        spans = served.requests[one.id]
        prompt, completion = (sum(span.number(key) for span in spans) for key in TOKENS)
        assert len(spans) == one.choices == sequences(one.ask)
        assert completion == one.completion_tokens
        # The prompt is in the span of each answer to it, and once in the usage.
        assert prompt == one.prompt_tokens * int(one.ask.body.get("n", 1))


def test_ids_of_the_client_are_in_the_spans(served: Served) -> None:
    for one in served.answered:
        spans = served.requests[one.id]
        if one.ask.name:
            prefix = "cmpl-" if one.ask.path == COMPLETIONS else "chatcmpl-"
            assert one.id == prefix + one.ask.name
        if one.ask.trace:
            assert {(span.trace_id, span.parent_id) for span in spans} == {one.ask.trace}
        else:
            assert {span.parent_id for span in spans} == {b""}


def test_what_was_refused_or_left_has_no_span(served: Served) -> None:
    (refused,) = [one for one in served.seen if one.status != 200]
    (left,) = [one for one in served.seen if one.ask.leaves]
    assert refused.status == 404
    for one in (refused, left):
        assert one.ask.trace
        assert one.ask.trace[0] not in {span.trace_id for span in served.spans}


def test_every_span_that_came_in_went_on_those_of_the_start_too(served: Served) -> None:
    assert outcomes(served.scrape) == {"accepted": len(served.spans), "forwarded": len(served.spans)}
    labels = served.scrape.labels("joulespan_receiver_spans_total")
    assert {one["receiver"] for one in labels} == {served.receiver}
    assert "EngineCoreProc init" in {span.name for span in served.spans}


def test_the_metrics_count_each_sequence_once_and_its_tokens(served: Served) -> None:
    expected = sum(sequences(one.ask) for one in served.answered)
    assert finished(served.scrape, engine=vllm_server.SERVICE) == finished(served.scrape) == expected
    assert expected == served.succeeded
    assert sum(served.scrape.values("joulespan_request_repeated_total")) == 0
    assert tokens(served.scrape, "output") == sum(one.completion_tokens for one in served.answered)
    prompts = sum(one.prompt_tokens * int(one.ask.body.get("n", 1)) for one in served.answered)
    assert tokens(served.scrape, "input") + tokens(served.scrape, "cached") == prompts


def test_requests_are_told_of_the_gpu_that_a_worker_of_their_server_holds(served: Served) -> None:
    """The span names the API server, whose child's child holds the GPU."""
    (where,) = served.scrape.labels("joulespan_engine_gpu_info")
    assert where["engine"] == vllm_server.SERVICE
    assert where["source"] == "pid"
    for spans in served.requests.values():
        for span in spans:
            assert span.attributes["joulespan.gpu.ids"] == [where["hw_id"]]
            assert span.attributes["joulespan.gpu.power"] > 0
