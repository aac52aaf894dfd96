# SPDX-License-Identifier: Apache-2.0
"""Simulated serving engines for the demo, and what their GPUs draw while they work.

All is a function of a seed and of the time since the start: the process that sends an engine's spans and the reader
that shows its GPUs compute the same iterations without a word between them.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from agent.simulation.deployment import Deployment, Limits, Rates, SimulatedEngine, Spell, Traffic, Trouble, Truth

__all__ = ["DEMO", "Deployment", "SimulatedEngine", "deployments"]

_GIB: Final = 1 << 30

_LLAMA = Deployment(
    name="llama-3.3-70b",
    model="meta-llama/Llama-3.3-70B-Instruct",
    gpus=(0, 1, 2, 3),
    seed=70,
    truth=Truth(
        seconds=Rates(iteration=14e-3, prefill_token=70e-6, decode_token=40e-6, kv_token=41e-9),
        joules=Rates(iteration=12.9, prefill_token=0.148, decode_token=0.042, kv_token=49e-6),
        idle_watts=(116.0, 118.0, 114.0, 117.0),
        shares=(0.256, 0.248, 0.251, 0.245),
        nvlink_bytes=2 * 80 * 8192 * 2 * 1.5,
        memory_bytes=72 * _GIB,
    ),
    traffic=Traffic(requests_per_second=3.0),
)
_QWEN = Deployment(
    name="qwen3-32b",
    model="Qwen/Qwen3-32B",
    gpus=(4, 5),
    seed=32,
    truth=Truth(
        seconds=Rates(iteration=15e-3, prefill_token=66e-6, decode_token=30e-6, kv_token=60e-9),
        joules=Rates(iteration=7.1, prefill_token=0.0686, decode_token=0.015, kv_token=36e-6),
        idle_watts=(115.0, 119.0),
        shares=(0.505, 0.495),
        nvlink_bytes=2 * 64 * 5120 * 2 * 1.0,
        memory_bytes=71 * _GIB,
    ),
    traffic=Traffic(requests_per_second=0.5, period=420.0, prompt_median=250.0, output_median=150.0),
)

DEMO: Final = MappingProxyType({deployment.name: deployment for deployment in (_LLAMA, _QWEN)})
"""The engines of the demo, by name. The GPUs of its node that none of them has hold nothing."""

_TROUBLED: Final = MappingProxyType(
    {
        # More come than it can serve, into a cache that is soon full; then one of its GPUs is too hot.
        _LLAMA.name: replace(
            _LLAMA,
            traffic=replace(_LLAMA.traffic, requests_per_second=2.0, swing=0.2, surge=Spell(35.0, 60.0, 3.0)),
            limits=Limits(kv_tokens=24_000),
            trouble=Trouble(slow=Spell(72.0, 102.0, 2.0)),
        ),
        _QWEN.name: replace(
            _QWEN,
            traffic=replace(_QWEN.traffic, requests_per_second=1.5),
            limits=Limits(kv_tokens=24_000),
            trouble=Trouble(failing=Spell(12.0, 40.0, 3.0), down=Spell(150.0, 158.0, 0.0)),
        ),
    }
)


def deployments(*, faults: bool = False) -> Mapping[str, Deployment]:
    """Give the engines of the demo, or those of the demo in which things go wrong (see agent.simulation.faults)."""
    return _TROUBLED if faults else DEMO
