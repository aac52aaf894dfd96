# SPDX-License-Identifier: Apache-2.0
"""Whatever is in a line of a recording, it is read or told to be torn, and what was read can be written back."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from random import Random
from typing import Any

from google.protobuf import json_format

from agent.dialects.reading import Reader
from agent.otlp.json_form import request_to_json
from agent.receivers.otlp import Signal
from agent.recording.annotated import annotated
from agent.recording.counters import Counters
from agent.recording.lines import parse
from agent.recording.requests import Requests
from tests.fuzz.mutate import Mutator
from tests.fuzz.otlp import KINDS

_LONGEST = 40_000
_OTHERS: tuple[Any, ...] = (
    *(None, True, 0, -1, 1 << 62, 1 << 64, 1 << 200, 0.5, 1e308, "", "x", "NaN", "1", "-1", "9" * 400, "\ud800"),
    *([], {}, [None], [[]], [{}], {"stringValue": 1}, "hw.energy", "GPU-2", "joulespan.gpu.ids", "gen_ai.request.id"),
    *("llm_request", "vllm.tracing.otel", "1700000000000000000", 1_700_000_000_000_000_000),
)
_ENERGY = {
    "resourceMetrics": [
        {
            "resource": {"attributes": [{"key": "host.name", "value": {"stringValue": "node"}}]},
            "scopeMetrics": [
                {
                    "metrics": [
                        {
                            "name": name,
                            "unit": unit,
                            "sum": {
                                "aggregationTemporality": 2,
                                "isMonotonic": True,
                                "dataPoints": [
                                    {
                                        "attributes": [
                                            {"key": key, "value": {"stringValue": value}}
                                            for key, value in (("hw.id", "GPU-1"), ("engine", "e"), ("mode", "demo"))
                                        ],
                                        "timeUnixNano": str(1_700_000_000_000_000_000 + at * 100_000_000),
                                        "asDouble": at * 30.5,
                                    }
                                    for at in range(5)
                                ],
                            },
                        }
                        for name, unit in (("hw.energy", "J"), ("joulespan.engine.gpu.info", ""))
                    ]
                }
            ],
        }
    ]
}


class Replaying:
    """Reads lines."""

    def __init__(self, random: Random, bodies: Mapping[Signal, Sequence[bytes]]) -> None:
        """Begin with these requests."""
        self._random = random
        self._mutator = Mutator(random, bodies)
        requests = [(signal, body) for signal in (Signal.TRACES, Signal.METRICS) for body in bodies[signal][:20]]
        lines = [request_to_json(KINDS[signal].FromString(body)).decode() for signal, body in requests]
        self._lines = [*(line for line in lines if len(line) < _LONGEST), *[json.dumps(_ENERGY)] * 10]
        self.whole = self.torn = 0

    def case(self) -> dict[str, Any]:
        """Make a line."""
        line, way = self._random.choice(self._lines), self._random.random()
        if way < 0.2:
            return {"line": self._mutator.damaged(line.encode()).hex()}
        if way < 0.7:
            tree = json.loads(line)
            for _ in range(self._random.randrange(1, 4)):
                self._replace(tree)
            return {"line": json.dumps(tree).encode().hex()}
        return {"line": self._mutator.text(line).encode("utf-8", "surrogatepass").hex()}

    def run(self, case: Mapping[str, Any]) -> None:
        """Read it. Everything but ValueError is an error."""
        body = bytes.fromhex(case["line"])
        counters, requests = Counters(), Requests(Reader(("tenant",)))
        try:
            content = parse(body)
            counters.take(content.metrics or [])
            requests.take(content.spans or [], 0)
        except ValueError:
            self.torn += 1
            return
        self.whole += 1
        counters.read()
        told = {at.span: b"" for at in requests.found().places}
        if content.spans:
            json_format.Parse(annotated(body, told), KINDS[Signal.TRACES](), ignore_unknown_fields=True)

    def _replace(self, node: Any) -> None:
        """Put something else somewhere below."""
        while isinstance(node, dict | list) and node:
            key = self._random.choice(list(node) if isinstance(node, dict) else range(len(node)))
            if not isinstance(node[key], dict | list) or self._random.random() < 0.1:
                node[key] = deepcopy(self._random.choice(_OTHERS))
                return
            node = node[key]

    def settle(self) -> None:
        """Keep nothing between rounds."""
