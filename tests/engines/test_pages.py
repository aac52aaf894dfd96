# SPDX-License-Identifier: Apache-2.0
"""Real engines are found without configuration, and what their pages say agrees with what their client sent."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.agent.running import Scrape
from tests.engines import dynamo_deployment, vllm_server
from tests.engines.behind import Behind, behind
from tests.engines.client import Ask, Seen, everything, send
from tests.engines.dynamo_deployment import FRONT
from tests.engines.vllm_server import SERVICE
from tests.mock_nvml.control import MockNvml

GPU = 1
ROLES = {"dynamo-a": "agg", "dynamo-b": "agg"}


def whole() -> list[Ask]:
    """Give the requests that are answered to their end: of the others only the server knows what they took."""
    return [ask for ask in everything() if not ask.leaves and ask.body["model"] != "another"]


def total(scrape: Scrape, name: str, **labels: str) -> float:
    return sum(scrape.values(name, **labels))


def tokens(scrape: Scrape, kind: str) -> float:
    return total(scrape, "joulespan_engine_tokens_total", engine=SERVICE, gen_ai_token_type=kind)


class Served(NamedTuple):
    """What a server was asked, and scrapes of the agent before and after that."""

    seen: Sequence[Seen]
    before: Scrape
    after: Scrape
    iterations: float
    """Of the server, by its own count, at the end."""
    gpu: str
    log: str

    def grown(self, name: str, **labels: str) -> float:
        return total(self.after, name, **labels) - total(self.before, name, **labels)


@pytest.fixture(scope="module")
def vllm(
    venv: Callable[[str], Path], model: Path, mock_nvml: MockNvml, tmp_path_factory: pytest.TempPathFactory
) -> Served:
    """Ask a vLLM server whose worker holds a GPU, beside an agent that was told nothing."""
    place, folder = venv("vllm"), tmp_path_factory.mktemp("vllm-page")
    with behind(mock_nvml, folder) as back:
        endpoint = f"http://{back.receivers['otlp_grpc']}"
        with vllm_server.running(place, model, folder, "grpc", endpoint) as server:
            gpu = back.holds(server.worker(), GPU)
            before = back.until(lambda scrape: total(scrape, "joulespan_engine_up", engine=SERVICE))
            seen = send(server.url, whole())
            made = server.value("vllm:generation_tokens_total")
            passes = server.value("vllm:iteration_tokens_total_count")
            after = back.until(
                lambda scrape: (
                    tokens(scrape, "output") == made
                    and total(scrape, "joulespan_engine_iterations_total", engine=SERVICE) == passes
                    and total(scrape, "joulespan_engine_requests_running", engine=SERVICE) == 0
                )
            )
            log = back.log
    return Served(seen, before, after, passes, gpu, log)


def test_vllm_is_found_under_the_name_of_its_spans_with_its_gpu(vllm: Served) -> None:
    (info,) = vllm.after.labels("joulespan_engine_scrape_info")
    assert (info["engine"], info["engine_system"], info["source"]) == (SERVICE, "vllm", "process")
    gpus = {(one["engine"], one["hw_id"]) for one in vllm.after.labels("joulespan_engine_gpu_info")}
    assert gpus == {(SERVICE, vllm.gpu)}
    assert vllm.log.count(f"found vllm {SERVICE} at http://127.0.0.1:") == 1
    assert "lost" not in vllm.log


def test_requests_tokens_and_iterations_are_those_that_the_client_sent(vllm: Served) -> None:
    assert all(one.answered for one in vllm.seen)
    sequences = sum(one.ask.prompts * int(one.ask.body.get("n", 1)) for one in vllm.seen)
    assert vllm.grown("joulespan_engine_requests_finished_total", engine=SERVICE) == sequences
    output = tokens(vllm.after, "output") - tokens(vllm.before, "output")
    assert output == sum(one.completion_tokens for one in vllm.seen)
    prompts = sum(tokens(vllm.after, kind) - tokens(vllm.before, kind) for kind in ("input", "cached"))
    assert prompts == sum(one.prompt_tokens * int(one.ask.body.get("n", 1)) for one in vllm.seen)
    passes = vllm.grown("joulespan_engine_iterations_total", engine=SERVICE)
    assert total(vllm.after, "joulespan_engine_iterations_total", engine=SERVICE) == vllm.iterations
    # Each makes a token at most of every sequence, and several sequences share one.
    assert max(one.completion_tokens for one in vllm.seen) <= passes <= output


@pytest.fixture(scope="module")
def dynamo(
    venv: Callable[[str], Path], model: Path, mock_nvml: MockNvml, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Behind, Sequence[Seen], dict[str, str]]]:
    """Ask a Dynamo deployment whose workers hold a GPU each, beside an agent that was told nothing."""
    place, folder = venv("dynamo"), tmp_path_factory.mktemp("dynamo-page")
    with behind(mock_nvml, folder) as back:
        endpoint = f"http://{back.receivers['otlp_grpc']}"
        otlp = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        with dynamo_deployment.running(place, model, folder, ROLES, otlp) as deployment:
            gpus = {service: back.holds(pid, gpu) for gpu, (service, pid) in enumerate(deployment.workers.items())}
            yield back, send(deployment.url, whole()), gpus


def test_dynamos_front_end_and_workers_are_found_and_count_what_the_client_sent(
    dynamo: tuple[Behind, Sequence[Seen], dict[str, str]],
) -> None:
    """The front end holds no GPU: it is found because it sends spans."""
    back, seen, gpus = dynamo
    # The mocker makes one answer to each prompt, whatever `n` is.
    prompts, output = (sum(one.choices for one in seen), sum(one.completion_tokens for one in seen))

    def counted(scrape: Scrape) -> bool:
        made = total(scrape, "joulespan_engine_frontend_output_total", engine=FRONT)
        worked = total(scrape, "joulespan_engine_worker_requests_finished_total")
        return made >= output and worked >= prompts and len(scrape.labels("joulespan_engine_up")) == 1 + len(gpus)

    scrape = back.until(counted)
    found = {one["engine"]: one["engine_system"] for one in scrape.labels("joulespan_engine_scrape_info")}
    assert found == dict.fromkeys([FRONT, *ROLES], "dynamo")
    assert total(scrape, "joulespan_engine_frontend_requests_finished_total", engine=FRONT) == len(seen)
    assert total(scrape, "joulespan_engine_frontend_output_total", engine=FRONT) == output
    workers = [total(scrape, "joulespan_engine_worker_requests_finished_total", engine=name) for name in ROLES]
    assert sum(workers) == prompts
    where = {(one["engine"], one["hw_id"]) for one in scrape.labels("joulespan_engine_gpu_info")}
    assert where == set(gpus.items())
