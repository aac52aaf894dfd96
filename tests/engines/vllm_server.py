# SPDX-License-Identifier: Apache-2.0
"""vLLM on a CPU with a tiny model of random weights: a real server, of which all but speed is as on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from tests.engines.model import CONTEXT, NAME
from tests.engines.server import environment, get, process, wait_for
from tests.exporters.receivers import free_port

SERVICE = "vllm-tiny"
_START = 300.0
"""Seconds; 45 on two idle cores."""


class Vllm(NamedTuple):
    """A running server."""

    url: str
    pid: int
    """The API server's: it holds no GPU, its workers do."""

    def worker(self) -> int:
        """Find the process that would hold the GPU."""
        (found,) = [pid for pid in _descendants(self.pid) if _title(pid).startswith("VLLM::Worker")]
        return found

    def value(self, name: str, **labels: str) -> float:
        """Add up its own series of this name with these labels."""
        wanted = labels.items()
        return sum(
            sample.value
            for family in text_string_to_metric_families(get(f"{self.url}/metrics").decode())
            for sample in family.samples
            if sample.name == name and wanted <= sample.labels.items()
        )


@contextmanager
def running(venv: Path, model: Path, folder: Path, protocol: str, endpoint: str) -> Iterator[Vllm]:
    """Run a server that sends its spans to `endpoint` by `protocol`, and wait until it answers."""
    port = free_port()
    url, log = f"http://127.0.0.1:{port}", folder / "vllm.log"
    command: list[str | Path] = [
        venv / "bin/vllm",
        "serve",
        model,
        "--served-model-name",
        NAME,
        "--load-format",
        "dummy",
    ]
    command += ["--dtype", "bfloat16", "--host", "127.0.0.1", "--port", str(port), "--max-model-len", str(CONTEXT)]
    command += ["--max-num-seqs", "8", "--enforce-eager", "--otlp-traces-endpoint", endpoint]
    env = environment(
        folder,
        OTEL_SERVICE_NAME=SERVICE,
        OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=protocol,
        VLLM_NO_USAGE_STATS="1",
        VLLM_HOST_IP="127.0.0.1",
        VLLM_LOOPBACK_IP="127.0.0.1",
        VLLM_CPU_KVCACHE_SPACE="1",
    )
    with process(command, env, log) as started:
        wait_for(f"{url}/health", lambda _: True, {started: log}, _START)
        yield Vllm(url, started.pid)


def _descendants(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield int(child)
            yield from _descendants(int(child))


def _title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
