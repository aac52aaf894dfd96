# SPDX-License-Identifier: Apache-2.0
"""From an XID in the driver to a message for the person on call, through everything that lies between."""

import json
import re
import shutil
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.agent.collector import Collector
from tests.agent.conftest import complete
from tests.agent.prometheus import Prometheus
from tests.agent.running import RunningAgent, running
from tests.exporters.receivers import until
from tests.mock_nvml.control import ControlFile, MockNvml
from tests.pipe.programs import Webhook, alertmanager, prometheus

HARDWARE, GPU = 79, 3
PROGRAMS = ("prometheus", "prometheus-alertmanager")

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, PROGRAMS)), reason=f"needs {' and '.join(PROGRAMS)}: sh scripts/tools.sh"
)


class Pipe(NamedTuple):
    """Everything that runs."""

    agent: RunningAgent
    prometheus: Prometheus
    webhook: Webhook
    spans: Collector


@pytest.fixture
def pipe(mock_nvml: MockNvml, nvml_control: ControlFile, tmp_path: Path) -> Iterator[Pipe]:
    """An agent on the mock driver, and all that comes after it."""
    with ExitStack() as stack:
        spans = stack.enter_context(Collector().running())
        environment = mock_nvml.env(control=nvml_control)
        settings = ["--set", f"exporters.traces.endpoint={spans.endpoint}"]
        agent = stack.enter_context(running("run", *settings, env=environment, log=tmp_path / "log"))
        agent.until(complete)
        webhook = stack.enter_context(Webhook().serving())
        manager = stack.enter_context(alertmanager(webhook.url, tmp_path, group_wait="1s"))
        address = agent.url.removeprefix("http://")
        yield Pipe(agent, stack.enter_context(prometheus(address, manager, tmp_path, interval="1s")), webhook, spans)


def test_an_xid_becomes_an_alert_at_the_webhook_and_says_where(pipe: Pipe, nvml_control: ControlFile) -> None:
    until(pipe.prometheus.up, 60)
    until(lambda: pipe.prometheus.query("count(hw_power_watts) > 0"), 60)
    assert not pipe.webhook.firing("GpuXidHardware")
    nvml_control.set(**{f"xid.{GPU}": f"1:{HARDWARE}"})
    until(lambda: pipe.webhook.firing("GpuXidHardware", xid=str(HARDWARE)), 60)
    (alert, *_) = pipe.webhook.firing("GpuXidHardware", xid=str(HARDWARE))
    assert alert.labels["severity"] == "critical"
    assert alert.labels["cluster"] == "one-machine"
    assert alert.labels["instance"] == pipe.agent.url.removeprefix("http://")
    uuid = pipe.agent.scrape().labels("joulespan_gpu_info")
    assert alert.labels["hw_id"] in {one["hw_id"] for one in uuid if one["hw_name"] == f"gpu{GPU}"}
    assert re.search(rf"XID {HARDWARE} .*gpu{GPU}", alert.annotations["summary"])
    assert "GpuXidHardware" in alert.annotations["runbook_url"]
    assert len({one.labels["hw_id"] for one in pipe.webhook.firing("GpuXidHardware")}) == 1


def test_a_span_that_an_engine_sends_comes_out_at_the_back_end(pipe: Pipe) -> None:
    trace, now = "5b8efff798038103d269b633813fc60c", time.time_ns()
    tokens = [("gen_ai.usage.prompt_tokens", "512"), ("gen_ai.usage.completion_tokens", "64")]
    span = {
        "traceId": trace,
        "spanId": "eee19b7ec3c1b174",
        "name": "llm_request",
        "kind": 2,
        "startTimeUnixNano": str(now - 2_000_000_000),
        "endTimeUnixNano": str(now),
        "attributes": [{"key": key, "value": {"intValue": value}} for key, value in tokens],
    }
    scopes = [{"scope": {"name": "vllm.llm_engine"}, "spans": [span]}]
    body = json.dumps({"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": scopes}]}).encode()
    url = f"http://{pipe.agent.receiver('otlp_http')}/v1/traces"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
    until(lambda: any(one.trace_id.hex() == trace for one in pipe.spans.spans()), 60)
    pipe.agent.until(lambda scrape: scrape.values("joulespan_request_tokens_total"))
    until(lambda: pipe.prometheus.query("joulespan_request_tokens_total"), 60)
