# SPDX-License-Identifier: Apache-2.0
"""Spans through a running agent: what real servers sent and what real SDKs send, to a back end and into metrics."""

import json
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

from agent.otlp.envelope import split
from agent.otlp.values import attributes
from tests.agent.collector import Collector
from tests.agent.conftest import complete
from tests.agent.prometheus import scraping
from tests.agent.running import RunningAgent, Scrape, running
from tests.exporters.receivers import Answers, free_port, until
from tests.mock_nvml.control import MockNvml

TELEMETRY = Path(__file__).parents[1] / "fixtures/telemetry"
RECORDINGS = {
    "vllm over gRPC": "vllm/grpc_*.pb",
    "vllm over HTTP": "vllm/http_*.pb",
    "dynamo, aggregated": "dynamo-aggregated/spans_*.pb",
    "dynamo, disaggregated": "dynamo-disaggregated/spans_*.pb",
}
SERVED = {"vllm over gRPC": 54, "vllm over HTTP": 54, "dynamo, aggregated": 49, "dynamo, disaggregated": 49}
"""Requests that each recording tells of, by the span that tells one whole."""
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
NS = 1_000_000_000


def bodies(pattern: str) -> list[bytes]:
    found = [path.read_bytes() for path in sorted(TELEMETRY.glob(pattern))]
    assert found
    return found


def raw(body: bytes) -> list[bytes]:
    return [span for resource in split(body).resources for scope in resource.scopes for span in scope.spans]


def send(agent: RunningAgent, receiver: str, body: bytes) -> None:
    address = agent.receiver(receiver)
    if receiver == "otlp_http":
        headers = {"content-type": "application/x-protobuf"}
        request = urllib.request.Request(f"http://{address}/v1/traces", body, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200
        return
    with grpc.insecure_channel(address) as channel:
        channel.unary_unary(EXPORT)(body, timeout=10)


def outcomes(scrape: Scrape) -> Counter[str]:
    found: Counter[str] = Counter()
    for labels in scrape.labels("joulespan_receiver_spans_total"):
        found[labels["outcome"]] += int(scrape.value("joulespan_receiver_spans_total", **labels))
    return found


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector().running() as found:
        yield found


def config(tmp_path: Path, **sections: Any) -> list[str]:
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(sections))
    return ["--config", str(file)]


def served(scrape: Scrape) -> float:
    return sum(scrape.values("gen_ai_server_request_duration_seconds_count"))


@pytest.mark.parametrize("receiver", ["otlp_grpc", "otlp_http"])
@pytest.mark.parametrize("recording", RECORDINGS)
def test_every_recorded_span_is_accounted_for(
    recording: str, receiver: str, collector: Collector, mock_nvml: MockNvml, tmp_path: Path
) -> None:
    sent = [span for body in bodies(RECORDINGS[recording]) for span in raw(body)]
    settings = config(tmp_path, exporters={"traces": {"endpoint": collector.endpoint}})
    with running("run", *settings, env=mock_nvml.env(keys={"gpus": 2}), log=tmp_path / "log") as agent:
        for body in bodies(RECORDINGS[recording]):
            send(agent, receiver, body)
        scrape = agent.until(lambda scrape: outcomes(scrape)["forwarded"] == len(sent))
        assert outcomes(scrape) == {"accepted": len(sent), "forwarded": len(sent)}
        scrape = agent.until(lambda scrape: served(scrape) == SERVED[recording])
        assert sum(scrape.values("joulespan_request_repeated_total")) == 0
    # No GPU is known to have served them, so that nothing is added to any.
    assert Counter(collector.raw()) == Counter(sent)


def trace(exporter: GrpcExporter | HttpExporter, service: str, requests: int) -> None:
    """Send requests in vLLM's dialect that ran in the last second, one after the other."""
    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("vllm.tracing.otel")
    for number in range(requests):
        now = time.time_ns()
        told: dict[str, Any] = {
            "gen_ai.latency.time_to_first_token": 0.25,
            "gen_ai.latency.e2e": 0.75,
            "gen_ai.latency.time_in_queue": 0.05,
            "gen_ai.latency.time_in_model_prefill": 0.2,
            "gen_ai.latency.time_in_model_decode": 0.5,
            "gen_ai.usage.prompt_tokens": 100,
            "gen_ai.usage.completion_tokens": 11,
            "gen_ai.request.id": f"chatcmpl-{number}",
            "gen_ai.request.model": "tiny",
            "tenant.id": f"team-{number % 2}",
        }
        span = tracer.start_span("llm_request", kind=SpanKind.SERVER, attributes=told, start_time=now - 3 * NS // 4)
        span.end(now)
    provider.shutdown()


def exporter(agent: RunningAgent, receiver: str) -> GrpcExporter | HttpExporter:
    endpoint = f"http://{agent.receiver(receiver)}"
    return GrpcExporter(endpoint, insecure=True) if receiver == "otlp_grpc" else HttpExporter(f"{endpoint}/v1/traces")


ENGINES = [{"name": "llama", "service_name": "vllm-a", "gpus": [0, 1]}]


@pytest.mark.parametrize("receiver", ["otlp_grpc", "otlp_http"])
def test_what_an_sdk_sends_arrives_behind_with_what_its_gpus_did(
    receiver: str, collector: Collector, mock_nvml: MockNvml, tmp_path: Path
) -> None:
    settings = config(tmp_path, engines=ENGINES, exporters={"traces": {"endpoint": collector.endpoint}})
    with running("run", *settings, env=mock_nvml.env(), log=tmp_path / "log") as agent:
        agent.until(complete)
        time.sleep(3)
        trace(exporter(agent, receiver), "vllm-a", 20)
        scrape = agent.until(lambda scrape: served(scrape) == 20)
        until(lambda: len(collector.raw()) == 20)
        assert scrape.values("joulespan_engine_gpu_info", engine="llama") == [1, 1]
        assert scrape.value("joulespan_request_tokens_total", engine="llama", tenant="team-1",
                            gen_ai_token_type="input") == 1000  # fmt: skip
    found = [dict(attributes(span.attributes)) for span in collector.spans()]
    assert {one["gen_ai.request.id"] for one in found} == {f"chatcmpl-{number}" for number in range(20)}
    for one in found:
        assert list(one)[:10] == [key for key in one if not key.startswith("joulespan.")]
        assert one["joulespan.gpu.ids"] == [f"GPU-00000000-0000-4000-8000-00000000000{n}" for n in (0, 1)]
        assert 100 < float(str(one["joulespan.gpu.power"])) < 800
        assert 0 <= float(str(one["joulespan.gpu.utilization"])) <= 1
        assert {"joulespan.gpu.power.prefill", "joulespan.gpu.power.decode", "joulespan.nvlink.bytes"} <= one.keys()


def test_a_real_prometheus_finds_the_trace_behind_a_slow_request(mock_nvml: MockNvml, tmp_path: Path) -> None:
    settings = config(tmp_path, engines=ENGINES)
    with running("run", *settings, env=mock_nvml.env(), log=tmp_path / "log") as agent:
        agent.until(complete)
        with scraping(agent, tmp_path) as prometheus:
            trace(exporter(agent, "otlp_grpc"), "vllm-a", 4)
            until(lambda: prometheus.query("gen_ai_server_request_duration_seconds_count"), 30)
            until(lambda: prometheus.exemplars("gen_ai_server_request_duration_seconds_bucket"), 30)
            found = prometheus.exemplars("gen_ai_server_request_duration_seconds_bucket")
    for labels, exemplars in found:
        assert labels["engine"] == "llama"
        assert labels["tenant"] in ("team-0", "team-1")
        for one in exemplars:
            assert float(one["value"]) == pytest.approx(0.75, abs=0.01)
            assert {len(one["labels"]["trace_id"]), len(one["labels"]["span_id"])} == {32, 16}


def test_while_the_back_end_is_away_spans_wait_and_the_rest_is_counted(mock_nvml: MockNvml, tmp_path: Path) -> None:
    port = free_port()
    traces = {"endpoint": f"http://127.0.0.1:{port}", "queue": "1MiB"}
    settings = config(tmp_path, exporters={"traces": traces, "spool": {"enabled": False}})
    body = bodies("dynamo-disaggregated/spans_0012.pb")[0]
    with running("run", *settings, env=mock_nvml.env(keys={"gpus": 2}), log=tmp_path / "log") as agent:
        for _ in range(12):
            send(agent, "otlp_grpc", body)
        total = 12 * len(raw(body))
        scrape = agent.until(lambda scrape: outcomes(scrape)["dropped"] > 0)
        assert outcomes(scrape)["accepted"] == total
        assert scrape.value("joulespan_receiver_spans_total", outcome="dropped", reason="full") < total
        with Collector(port).running() as collector:
            scrape = agent.until(
                lambda scrape: outcomes(scrape)["forwarded"] + outcomes(scrape)["dropped"] == total, 60
            )
            assert len(collector.raw()) == outcomes(scrape)["forwarded"] > 0


def test_spans_on_their_way_are_sent_on_before_the_end(
    collector: Collector, mock_nvml: MockNvml, tmp_path: Path
) -> None:
    settings = config(tmp_path, exporters={"traces": {"endpoint": collector.endpoint}})
    with running("run", *settings, env=mock_nvml.env(keys={"gpus": 2}), log=tmp_path / "log") as agent:
        body = bodies("dynamo-disaggregated/spans_0012.pb")[0]
        send(agent, "otlp_http", body)
        assert agent.stop() < 5
    assert Counter(collector.raw()) == Counter(raw(body))


def test_a_receiver_port_that_is_taken_is_an_error_at_start(mock_nvml: MockNvml, tmp_path: Path) -> None:
    with Collector().running() as taken:
        settings = ["--set", f"receivers.otlp.grpc=127.0.0.1:{taken.port}"]
        with pytest.raises(AssertionError), running("run", *settings, env=mock_nvml.env(), log=tmp_path / "log"):
            pass
    said = (tmp_path / "log").read_text().splitlines()[-1]
    assert said.startswith(f"joulespan: receivers.otlp.grpc: 127.0.0.1:{taken.port} cannot be had")


def test_receivers_can_be_switched_off(mock_nvml: MockNvml, tmp_path: Path) -> None:
    settings = ["--set", "receivers.otlp.grpc=", "--set", "receivers.otlp.http="]
    with running("run", *settings, env=mock_nvml.env(), log=tmp_path / "log") as agent:
        agent.until(complete)
        assert "otlp_" not in agent.log


def test_metrics_that_come_in_are_sent_on_as_they_came(mock_nvml: MockNvml, tmp_path: Path) -> None:
    sent = bodies("dynamo-disaggregated/otlpmetrics_*.pb")
    with Answers(200).running() as behind:
        push = {"endpoint": behind.endpoint, "protocol": "http/protobuf", "interval": "60s"}
        settings = config(tmp_path, exporters={"otlp": push})
        with running("run", *settings, env=mock_nvml.env(keys={"gpus": 2}), log=tmp_path / "log") as agent:
            for body in sent:
                with grpc.insecure_channel(agent.receiver("otlp_grpc")) as channel:
                    channel.unary_unary(EXPORT.replace("trace.v1.Trace", "metrics.v1.Metrics"))(body, timeout=10)
            until(lambda: b"".join(one.body for one in behind.requests) == b"".join(sent))
            scrape = agent.until(lambda scrape: scrape.values("joulespan_receiver_points_total", outcome="forwarded"))
            accepted = scrape.value("joulespan_receiver_points_total", outcome="accepted")
            assert scrape.value("joulespan_receiver_points_total", outcome="forwarded") == accepted > 0
    assert {one.path for one in behind.requests} == {"/v1/metrics"}


def test_an_agent_that_would_send_to_itself_does_not_start(mock_nvml: MockNvml, tmp_path: Path) -> None:
    port = free_port()
    traces = {"endpoint": f"http://localhost:{port}"}
    settings = [*config(tmp_path, exporters={"traces": traces}), "--set", f"receivers.otlp.grpc=127.0.0.1:{port}"]
    with pytest.raises(AssertionError), running("run", *settings, env=mock_nvml.env(), log=tmp_path / "log"):
        pass
    assert "exporters.traces: localhost" in (tmp_path / "log").read_text().splitlines()[-1]


def test_the_largest_request_can_be_set_and_what_is_larger_is_counted(mock_nvml: MockNvml, tmp_path: Path) -> None:
    body = bodies("vllm/grpc_0004.pb")[0]
    settings = ["--set", "receivers.otlp.max_message=16KiB"]
    assert len(body) > 16 << 10
    with running("run", *settings, env=mock_nvml.env(keys={"gpus": 2}), log=tmp_path / "log") as agent:
        with pytest.raises(urllib.error.HTTPError, match="413"):
            send(agent, "otlp_http", body)
        with pytest.raises(grpc.RpcError) as refused:
            send(agent, "otlp_grpc", body)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        scrape = agent.until(lambda scrape: len(scrape.values("joulespan_receiver_refusals_total")) == 2)
        assert scrape.value("joulespan_receiver_refusals_total", receiver="otlp_http", reason="too_large") == 1
        send(agent, "otlp_grpc", bodies("vllm/grpc_0001.pb")[0])
        agent.until(lambda scrape: outcomes(scrape)["accepted"] == 3)
