# SPDX-License-Identifier: Apache-2.0
"""What a running agent reads of trace files, of a command and of an API, all the way to its metrics."""

import gzip
import json
import re
import shlex
import time
from pathlib import Path

from tests.agent.running import running
from tests.agent.test_spans import bodies, config, send, served
from tests.collectors.test_groq import good, say, serving
from tests.mock_nvml.control import MockNvml

ROOT = Path(__file__).parents[1] / "fixtures"
DYNAMO = ROOT / "telemetry" / "dynamo-aggregated"
OBSERVED = re.compile(rb'"observed_at_unix_ms":\d+')


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_trace_files_are_followed_and_joined_with_spans(mock_nvml: MockNvml, tmp_path: Path) -> None:
    engine = {
        "name": "dynamo",
        "forward_pass_files": [f"{tmp_path}/dynamo-fpm.*.jsonl.gz"],
        "request_trace_files": [f"{tmp_path}/dynamo-request-trace.*.jsonl.gz"],
    }
    passes = (DYNAMO / "forward_pass_worker-0.jsonl").read_bytes().splitlines(keepends=True)
    worker = "7668682417601189447"
    settings = config(tmp_path, engines=[engine])
    with running("run", *settings, env=mock_nvml.env(keys={"gpus": 2}), log=tmp_path / "log") as agent:
        agent.until(lambda scrape: scrape.values("joulespan_file_lines_total", collector="forward_pass") == [0])
        now = b'"observed_at_unix_ms":%d' % (time.time_ns() // 1_000_000)
        append(
            tmp_path / "dynamo-fpm.1.000000.jsonl.gz", gzip.compress(b"".join(OBSERVED.sub(now, one) for one in passes))
        )
        append(
            tmp_path / "dynamo-request-trace.000000.jsonl.gz",
            gzip.compress((DYNAMO / "request_trace.jsonl").read_bytes()),
        )
        scrape = agent.until(
            lambda scrape: scrape.values("joulespan_engine_iterations_total", engine="dynamo") == [235]
        )
        tokens = "joulespan_engine_worker_tokens_total"
        assert scrape.value(tokens, engine="dynamo", worker=worker, phase="prefill") == 676
        assert scrape.value(tokens, engine="dynamo", worker=worker, phase="decode") == 485
        assert scrape.value("joulespan_engine_worker_trace_missing_total", worker=worker) == 0
        agent.until(lambda scrape: scrape.values("joulespan_file_lines_total", collector="request_trace") == [90])
        for body in bodies("dynamo-aggregated/spans_*.pb"):
            send(agent, "otlp_http", body)
        scrape = agent.until(lambda scrape: served(scrape) == 49)
        agent.until(lambda scrape: scrape.value("joulespan_request_trace_records_total", outcome="joined") == 47)
        ends = [json.loads(line)["event"] for line in (DYNAMO / "request_trace.jsonl").read_bytes().splitlines()]
        cached = sum(one["request"]["cached_tokens"] for one in ends if "request" in one)
        assert sum(scrape.values("joulespan_request_tokens_total", gen_ai_token_type="cached")) == cached > 0


def test_neuron_monitor_is_run_and_ended_and_groq_is_asked(mock_nvml: MockNvml, tmp_path: Path) -> None:
    key, pid = tmp_path / "groq.key", tmp_path / "pid"
    key.write_text("gsk_secret")
    reports = shlex.quote(str(ROOT / "neuron" / "reports.jsonl"))
    command = f"echo $$ > {shlex.quote(str(pid))}; head -1 {reports}; exec sleep 1000"
    with serving(lambda handler, query: say(handler, good(query, time.time()))) as (endpoint, _):
        collectors = {
            "neuron": {"command": ["sh", "-c", command]},
            "groq": {"token_file": str(key), "endpoint": endpoint},
        }
        settings = config(tmp_path, collectors=collectors)
        with running("run", *settings, env=mock_nvml.env(keys={"gpus": 2}), log=tmp_path / "log") as agent:
            scrape = agent.until(lambda scrape: scrape.values("joulespan_neuron_core_utilization_ratio"))
            assert scrape.value("joulespan_neuron_devices") == 16
            scrape = agent.until(lambda scrape: scrape.values("joulespan_groq_tokens_per_second"))
            assert scrape.value("joulespan_groq_latency_seconds", stage="total", quantile="0.99") == 1.5
            assert "gsk_secret" not in scrape.text + agent.log
            agent.stop()
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


def test_without_configuration_nothing_of_it_is_there(mock_nvml: MockNvml, tmp_path: Path) -> None:
    with running("run", env=mock_nvml.env(keys={"gpus": 2}), log=tmp_path / "log") as agent:
        scrape = agent.until(lambda scrape: scrape.values("joulespan_gpu_info"))
        names = {name for name, _ in scrape.samples}
    assert not {name for name in names if re.match("joulespan_(file|neuron|groq|engine_worker|request_trace)", name)}
