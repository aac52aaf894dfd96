# SPDX-License-Identifier: Apache-2.0
"""Whatever stands in a file, or is printed or answered, a parser reads it or counts it, and says nothing twice."""

import gzip
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from agent.clock import NS
from agent.collectors import groq_answer, neuron_report
from agent.dialects import forward_pass, request_trace
from agent.dialects.forward_pass_counts import Passes
from agent.dialects.request_trace_store import Records
from agent.entities import Gpu, GpuInfo, MigInstance
from agent.metric import Sample
from agent.processors.device_ids import Devices
from agent.processors.owners import Evidence, owned
from agent.requests import Request
from agent.system import cgroup, job_map, neuron_driver, pod_resources
from agent.system.tail_lines import Lines, Members
from tests.dialects.made import T0, span
from tests.system.pod_resources_server import TYPES, claim, pod

_FIXTURES = Path(__file__).parents[1] / "fixtures"
_NOW = 1_000 * NS
_LINE = 64 << 10
_PIECE = 4096
_MOST = 200_000
GPU = Gpu("GPU-00000000-1111-2222-3333-444444444444", "gpu0")
_MIG = MigInstance("MIG-00000000-1111-2222-3333-444444444444", "gpu0/1g.10gb/1/0", GPU.id)
DEVICES = Devices([GPU, _MIG], [GpuInfo(GPU, nvml_index=0, minor=0, pci="0000:1b:00.0")])
_TOKENS = (b"null", b"-1", b"1e999", b"NaN", b"[]", b"{}", b'""', b"true", b"0.5", b"9" * 400, b"18446744073709551616",
           b'"\\ud800"', b"[" * 2000, b"\x00", b"\xff", b"\n", b",", b'"', b"\x1f\x8b\x08")  # fmt: skip


def corpus() -> dict[str, list[bytes]]:
    """Give good lines, by what reads them."""
    passes = _FIXTURES.glob("telemetry/*/forward_pass_*.jsonl")
    requests = _FIXTURES.glob("telemetry/*/request_trace.jsonl")
    answer = {"status": "success", "data": {"result": [{"metric": {"model": "m"}, "value": [_NOW / NS, "1.5"]}]}}
    return {
        "forward_pass": [line for path in passes for line in path.read_bytes().splitlines()[::20]],
        "request_trace": [line for path in requests for line in path.read_bytes().splitlines()[::5]],
        "neuron": (_FIXTURES / "neuron" / "reports.jsonl").read_bytes().splitlines(),
        "power": [b"POWER_STATUS_VALID,1700001000,0.86,25.00,18.86"],
        "groq": [json.dumps(answer).encode()],
        "kubelet": [every_form()],
        "cgroup": [path.read_bytes() for path in sorted(_FIXTURES.glob("proc-owner-*/proc/*/cgroup"))],
        "jobs": [b"81734\n81740 5002\n"],
        "file": [b"\n".join(b"line %d" % number for number in range(50)) + b"\n"],
    }


def every_form() -> bytes:
    """Give an answer of a kubelet with ids of devices in many forms."""
    ids = (GPU.id, f"{GPU.id}::1", "0", "nvidia0", "nvidia0/gi1", "nvidia0/vgpu1", "0000:1b:00.0", f"MIG-{GPU.id}/1/0")
    pods = [pod(f"a-{number}", "ml", {"nvidia.com/gpu": [id_]}) for number, id_ in enumerate(ids)]
    pods.append(pod("b", "ml", {}, claims=[claim("c", "gpu-0", share="s"), claim("d", "gpu-0-mig-1-2-3")]))
    made: bytes = TYPES["ListPodResourcesResponse"](pod_resources=pods).SerializeToString()
    return made


class Parsing:
    """Damages lines, and gives them to their parsers."""

    def __init__(self, random: Random) -> None:
        """Begin with the corpus."""
        self._random = random
        self._corpus = corpus()
        self._parsers: Mapping[str, Callable[[bytes], bool]] = {
            "forward_pass": self._pass,
            "request_trace": self._request,
            "neuron": _neuron,
            "power": lambda line: neuron_driver.parse(0, line) is not None,
            "groq": _groq,
            "kubelet": _kubelet,
            "cgroup": _cgroup,
            "jobs": lambda text: len(job_map.jobs_in(text)) > 0,
            "file": self._file,
        }
        self._passes = Passes("engine", workers=8)
        self._records = Records(capacity=100)
        self._step = 1
        """Bytes of a file that are read at once."""
        self.read = self.refused = 0

    def case(self) -> dict[str, Any]:
        """Make a case: which parser, and what it is given."""
        parser = self._random.choice(list(self._parsers))
        body = self._random.choice(self._corpus[parser])
        if parser == "file" and self._random.random() < 0.7:
            body = gzip.compress(body) + gzip.compress(body[:100])
        for _ in range(self._random.randrange(4)):
            body = self._damaged(body)
        return {"parser": parser, "body": body.hex(), "step": self._random.randrange(1, 200)}

    def run(self, case: Mapping[str, Any]) -> None:
        """Give it to its parser."""
        self._step = case["step"]
        if self._parsers[case["parser"]](bytes.fromhex(case["body"])):
            self.read += 1
        else:
            self.refused += 1

    def settle(self) -> None:
        """See that what is kept has its bounds."""
        samples = list(self._passes.samples(_NOW))
        assert len({one.series for one in samples}) == len(samples)
        assert sum(1 for one in samples if one.series.metric.name == "joulespan.engine.worker.trace.complete") <= 8
        assert self._records.fill <= 1

    def _damaged(self, body: bytes) -> bytes:
        random = self._random
        begin = random.randrange(len(body) + 1)
        end = min(len(body), begin + random.choice((0, 1, 2, 8, 50)))
        noise = random.choice((b"", random.randbytes(random.randrange(9)), random.choice(_TOKENS), body[begin:end] * 3))
        return (body[:begin] + noise + body[end:])[:_MOST]

    def _pass(self, line: bytes) -> bool:
        one = forward_pass.decode(line)
        if one is None:
            return False
        self._passes.add(one, min(one.time % _NOW, _NOW), _NOW)
        assert all(row.time <= _NOW for row in self._passes.rows(_NOW))
        return True

    def _request(self, line: bytes) -> bool:
        try:
            record = request_trace.decode(line)
        except ValueError:
            return False
        if record is not None:
            self._records.put(record, _NOW)
            own = span("http-request", {})
            request = Request(span=own, dialect="dynamo", request_id=record.request_id, arrival=T0, end=T0)
            joined = self._records.join(request)
            assert joined.cached_tokens is None or joined.cached_tokens <= (joined.input_tokens or joined.cached_tokens)
        return True

    def _file(self, body: bytes) -> bool:
        members, lines, found = Members(), Lines(_LINE), b""
        at, rounds = 0, 0
        while at < len(body) or members.pending:
            piece = body[at : at + self._step]
            at += len(piece)
            out = members.feed(piece, _PIECE)
            assert len(out) <= _PIECE
            found += out
            rounds += 1
            assert rounds < _MOST
        assert all(b"\n" not in line and 0 < len(line) <= _LINE for line in lines.feed(found))
        return members.passed_over == 0


def _neuron(line: bytes) -> bool:
    period = neuron_report.decode(line)
    if period is None:
        return False
    _distinct(period.samples)
    assert {tag for tag, _ in (*period.executions, *period.errors)} <= period.tags
    return True


def _kubelet(answer: bytes) -> bool:
    """Whatever the kubelet says, who has which GPU is told without a word that is too long, and each once."""
    try:
        told = pod_resources.given(answer)
    except ValueError:
        return False
    found = owned(Evidence(DEVICES, given=told))
    places = [(one.device, one.key) for one in found.owners]
    assert len(places) == len(set(places))
    assert all(len(word) <= 128 for one in found.owners for word in one.who if word)
    return True


def _cgroup(text: bytes) -> bool:
    group = cgroup.parse(text.decode("utf-8", "replace"))
    assert group is None or group.container is None or len(group.container) == 64
    return group is not None and group[1:] != (None,) * 5


def _groq(line: bytes) -> bool:
    with suppress(ValueError):
        _distinct(tuple(groq_answer.read(groq_answer.QUESTIONS[0], line, _NOW / NS)))
        return True
    return False


def _distinct(samples: tuple[Sample, ...]) -> None:
    assert len({one.series for one in samples}) == len(samples)
    assert all(0 <= one.value < float("inf") for one in samples)
