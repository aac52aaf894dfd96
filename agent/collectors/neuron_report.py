# SPDX-License-Identifier: Apache-2.0
"""What a line of `neuron-monitor` says. Pure.

Source: "Neuron Monitor User Guide" of AWS Neuron, § The JSON output format. Groups of metrics come with each their own
`error`, which is empty where there was none. Executions are counted for the period of the report.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from agent.catalogue import neuron as catalogue
from agent.entities import Agent
from agent.metric import Sample
from agent.source_entities import (
    NeuronCore,
    NeuronCoreMemory,
    NeuronCpu,
    NeuronEcc,
    NeuronHostMemory,
    NeuronInfo,
    NeuronLatency,
    NeuronRuntime,
)

MOST = 1024
"""Applications, cores, devices, kinds: of each, no node has more, and no more are read."""
_LONGEST = 256
_KINDS = 32
_LARGEST = 1 << 63
_PLACES = {"mem": "dram", "sram": "sram"}
_QUANTILES = {"p0": "0", "p1": "0.01", "p25": "0.25", "p50": "0.5", "p75": "0.75", "p99": "0.99", "p100": "1"}
_Told = dict[str, Any]
"""What is told by kind. Kinds come with each release, and what is no number is left out."""


class _Group(msgspec.Struct, gc=False):
    error: str | None = None


class _Core(msgspec.Struct, gc=False):
    neuroncore_utilization: Any = None


class _Cores(_Group, gc=False):
    neuroncores_in_use: dict[str, _Core] = {}


class _Latency(msgspec.Struct, gc=False):
    total_latency: _Told | None = None
    device_latency: _Told | None = None


class _Executions(_Group, gc=False):
    error_summary: _Told = {}
    execution_summary: _Told = {}
    latency_stats: _Latency | None = None


class _Breakdown(msgspec.Struct, gc=False):
    host: Any = None
    neuroncore_memory_usage: dict[str, _Told] = {}


class _Used(msgspec.Struct, gc=False):
    neuron_device: Any = None
    usage_breakdown: _Breakdown = msgspec.field(default_factory=_Breakdown)


class _Memory(_Group, gc=False):
    neuron_runtime_used_bytes: _Used = msgspec.field(default_factory=_Used)


class _Cpu(_Group, gc=False):
    vcpu_usage: _Told = {}


class _Report(msgspec.Struct, gc=False):
    neuroncore_counters: _Cores | None = None
    execution_stats: _Executions | None = None
    memory_used: _Memory | None = None
    neuron_runtime_vcpu_usage: _Cpu | None = None


class _Runtime(msgspec.Struct, gc=False):
    report: _Report
    neuron_runtime_tag: str | int = ""
    pid: int = 0
    error: str | None = None


class _Hardware(_Group, gc=False):
    neuron_devices: list[dict[str, Any]] | None = None


class _System(msgspec.Struct, gc=False):
    neuron_hw_counters: _Hardware | None = None


class _HardwareInfo(msgspec.Struct, gc=False):
    neuron_device_type: str | None = None
    neuroncore_version: str | None = None
    neuron_device_count: int | None = None
    neuron_device_memory_size: int | None = None


class _Instance(msgspec.Struct, gc=False):
    instance_type: str | None = None


class _Line(msgspec.Struct, gc=False):
    neuron_runtime_data: list[_Runtime] | None = None
    system_data: _System | None = None
    neuron_hardware_info: _HardwareInfo | None = None
    instance_info: _Instance | None = None


_DECODER = msgspec.json.Decoder(_Line)


class Period(NamedTuple):
    """What a report says: its samples, and what happened in its period, by application and kind."""

    samples: tuple[Sample, ...]
    tags: frozenset[str]
    executions: Mapping[tuple[str, str], float]
    errors: Mapping[tuple[str, str], float]
    failed: int
    """Groups of metrics that could not be collected."""


def decode(line: bytes) -> Period | None:
    """Read a report; None where it is none. What it does not have, or says with an error, is left out."""
    try:
        told = _DECODER.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    found: list[Sample] = [*_info(told)]
    executions: dict[tuple[str, str], float] = {}
    errors: dict[tuple[str, str], float] = {}
    failed = 0
    runtimes = dict(_tagged((told.neuron_runtime_data or [])[:MOST]))
    for tag, runtime in runtimes.items():
        report = runtime.report
        groups = (
            report.neuroncore_counters,
            report.memory_used,
            report.neuron_runtime_vcpu_usage,
            report.execution_stats,
        )
        failed += bool(runtime.error) + sum(bool(group and group.error) for group in groups)
        if not runtime.error:
            found += _runtime(tag, report)
            if (stats := report.execution_stats) and not stats.error:
                executions.update({(tag, kind): number for kind, number in _some(stats.execution_summary)})
                errors.update({(tag, kind): number for kind, number in _some(stats.error_summary)})
    hardware = told.system_data.neuron_hw_counters if told.system_data else None
    failed += bool(hardware and hardware.error)
    found += _ecc(hardware)
    # What a report says twice, the last time counts: there are no two series of one name.
    return Period(tuple({one.series: one for one in found}.values()), frozenset(runtimes), executions, errors, failed)


def _tagged(runtimes: list[_Runtime]) -> Iterator[tuple[str, _Runtime]]:
    """Name the applications: by their tags, and where several have one, by their pids too."""
    tags = Counter(str(runtime.neuron_runtime_tag) for runtime in runtimes)
    for runtime in runtimes:
        tag = str(runtime.neuron_runtime_tag)
        name = tag if tag and tags[tag] == 1 else f"{tag} {runtime.pid}".strip()
        yield name[:_LONGEST], runtime


def _runtime(tag: str, report: _Report) -> Iterator[Sample]:
    if (cores := report.neuroncore_counters) and not cores.error:
        for index, core in _indexed(cores.neuroncores_in_use):
            if (share := _number(core.neuroncore_utilization)) is not None:
                yield catalogue.CORE_UTILIZATION(NeuronCore(index, tag), share / 100)
    if (memory := report.memory_used) and not memory.error:
        yield from _memory(tag, memory.neuron_runtime_used_bytes)
    if (cpu := report.neuron_runtime_vcpu_usage) and not cpu.error:
        for mode, share in _some(cpu.vcpu_usage):
            yield catalogue.CPU(NeuronCpu(tag, mode), share / 100)
    if (stats := report.execution_stats) and not stats.error and stats.latency_stats:
        yield from _latency(tag, "total", stats.latency_stats.total_latency)
        yield from _latency(tag, "device", stats.latency_stats.device_latency)


def _latency(tag: str, where: str, told: _Told | None) -> Iterator[Sample]:
    for percentile, seconds in _some(told or {}):
        if quantile := _QUANTILES.get(percentile):
            yield catalogue.LATENCY(NeuronLatency(tag, where, quantile), seconds)


def _memory(tag: str, used: _Used) -> Iterator[Sample]:
    if (size := _number(used.neuron_device)) is not None:
        yield catalogue.DEVICE_MEMORY(NeuronRuntime(tag), size)
    host = used.usage_breakdown.host
    for kind, size in _some(host if isinstance(host, dict) else {}):
        yield catalogue.HOST_MEMORY(NeuronHostMemory(tag, kind), size)
    for index, kinds in _indexed(used.usage_breakdown.neuroncore_memory_usage):
        for kind, size in _some(kinds):
            yield catalogue.CORE_MEMORY(NeuronCoreMemory(NeuronCore(index, tag), kind), size)


def _ecc(hardware: _Hardware | None) -> Iterator[Sample]:
    if hardware is None or hardware.error:
        return
    for device in (hardware.neuron_devices or ())[:MOST]:
        index = device.get("neuron_device_index")
        if type(index) is not int or not 0 <= index < MOST:
            continue
        for memory, place in _PLACES.items():
            for kind in ("corrected", "uncorrected"):
                if (number := _number(device.get(f"{memory}_ecc_{kind}"))) is not None:
                    yield catalogue.ECC_ERRORS(NeuronEcc(f"neuron{index}", kind, place), number)


def _info(told: _Line) -> Iterator[Sample]:
    hardware = told.neuron_hardware_info
    if hardware is None:
        return
    instance = told.instance_info.instance_type if told.instance_info else None
    names = (hardware.neuron_device_type, hardware.neuroncore_version, instance)
    if any(names):
        yield catalogue.NEURON_INFO(NeuronInfo(*(name[:_LONGEST] if name else None for name in names)), 1)
    number, size = hardware.neuron_device_count, hardware.neuron_device_memory_size
    if number is not None and 0 <= number <= MOST:
        yield catalogue.DEVICES(Agent(), number)
        if size is not None and 0 < size < 1 << 53:
            yield catalogue.MEMORY_LIMIT(Agent(), number * size)


def _indexed(told: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    """Go through what is told by the index of a core, or of a device."""
    for key, value in list(told.items())[:MOST]:
        with suppress(ValueError):
            if key.isdigit() and (index := int(key)) < MOST:
                yield index, value


def _some(told: _Told) -> Iterator[tuple[str, float]]:
    """Go through what is told by kind."""
    for kind, value in list(told.items())[:_KINDS]:
        if (number := _number(value)) is not None:
            yield kind[:_LONGEST], number


def _number(value: Any) -> float | None:
    """Read a number: finite and not negative; a bool is none."""
    return float(value) if type(value) in (int, float) and 0 <= value < _LARGEST else None
