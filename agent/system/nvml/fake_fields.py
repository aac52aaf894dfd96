# SPDX-License-Identifier: Apache-2.0
"""The NVML fields that simulated GPUs answer, in the driver's own units."""

from collections.abc import Callable, Sequence
from functools import partial
from math import floor
from typing import Final

from agent.system.nvml import fields as nvml
from agent.system.nvml import waves
from agent.system.nvml.ask import NOT_SUPPORTED, Progress
from agent.system.nvml.device import Notes
from agent.system.nvml.fake_board import MILLI, SimulatedGpu
from agent.system.nvml.fake_faults import Condition
from agent.system.nvml.fields import ALL_LINKS, SCOPE_MEMORY, SCOPE_MODULE, Field, bit_error_rate

Answer = Callable[[SimulatedGpu, Field, float], float | None]
"""What a GPU says to a field at a time; None where it does not have it."""

_WORD = 1 << 32
_KIBI = 1024
_NANO = 1_000_000_000
_C2C_LINKS, _C2C_MBPS = 10, 44_712
_PACKET_BYTES = 256
_RAW = 1.1
"""Raw bytes of a link by its data bytes."""
_INACTIVE, _ACTIVE = 0, 1
_REASONS: Final = {
    nvml.THROTTLE_POWER_CAP.id: "power_cap",
    nvml.THROTTLE_SYNC_BOOST.id: "sync_boost",
    nvml.THROTTLE_BOARD_LIMIT.id: "board_limit",
    nvml.THROTTLE_LOW_UTILIZATION.id: "low_utilization",
    nvml.THROTTLE_RELIABILITY.id: "reliability",
    nvml.THROTTLE_BASE_CLOCKS.id: "base_clocks",
    nvml.THROTTLE_SW_THERMAL.id: "sw_thermal",
    nvml.THROTTLE_HW_THERMAL.id: "hw_thermal",
    nvml.THROTTLE_POWER_BRAKE.id: "power_brake",
    nvml.THROTTLE_POWER_SMOOTHING.id: "power_smoothing",
}
"""Field id of a throttle counter -> the reason it counts."""


def _constant(value: float) -> Answer:
    return lambda _gpu, _field, _t: value


def _blackwell(value: Answer) -> Answer:
    return lambda gpu, field, t: value(gpu, field, t) if gpu.board.since("blackwell") else None


def _watts(gpu: SimulatedGpu, field: Field, board_watts: float) -> float | None:
    if field.scope == 0:
        return floor(board_watts * MILLI)
    if field.scope == SCOPE_MODULE and gpu.board.since("blackwell"):
        return floor(waves.module_power(board_watts) * MILLI)
    return None


def _average(gpu: SimulatedGpu, field: Field, t: float) -> float | None:
    if not gpu.board.since("ada"):
        return None  # GA100's average is its instant value, under another name.
    if field.scope == SCOPE_MEMORY and gpu.board.since("hopper"):
        return floor(waves.memory_power(gpu.power_average(t)) * MILLI)
    return _watts(gpu, field, gpu.power_average(t))


def _limit(gpu: SimulatedGpu, field: Field, _t: float) -> float | None:
    least = field.id == nvml.POWER_MIN_LIMIT.id
    return _watts(gpu, field, gpu.board.min_limit_watts if least else gpu.board.model.limit_watts)


def _limit_set(gpu: SimulatedGpu, field: Field, t: float) -> float | None:
    return _watts(gpu, field, gpu.condition(t).limit_watts or gpu.board.model.limit_watts)


def _throttled(gpu: SimulatedGpu, field: Field, t: float) -> float:
    by_fault = gpu.condition(t).throttled.get(_REASONS[field.id], 0.0)
    return floor((waves.throttle_seconds(field.id, gpu.index, t) + by_fault) * _NANO)


def _margin(value: float, *, memory: bool = False) -> Answer:
    return lambda gpu, _field, _t: value if gpu.board.since("ada") and (gpu.board.hbm or not memory) else None


def _memory_temperature(gpu: SimulatedGpu, _field: Field, t: float) -> float | None:
    return floor(gpu.temperature(t) + waves.MEMORY_ABOVE) if gpu.board.hbm else None


def _pcie_bytes(side: int, gpu: SimulatedGpu, _field: Field, t: float) -> float:
    return floor(gpu.pcie_bytes(t)[side])


def _remap(value: Callable[[Condition], float]) -> Answer:
    return lambda gpu, _field, t: None if gpu.mig else value(gpu.condition(t))


def _over_links(of_link: Callable[[SimulatedGpu, int, float], float], unit: float = 1.0) -> Answer:
    """Answer for a link, or for all of them with their sum."""

    def answer(gpu: SimulatedGpu, field: Field, t: float) -> float | None:
        if field.scope == ALL_LINKS and gpu.links:
            return floor(sum(of_link(gpu, link, t) for link in range(gpu.links)) / unit)
        return floor(of_link(gpu, field.scope, t) / unit) if field.scope < gpu.links else None

    return answer


def _bytes(side: int, gpu: SimulatedGpu, link: int, t: float) -> float:
    return gpu.nvlink_bytes(link, t)[side]


def _raw_bytes(side: int, gpu: SimulatedGpu, link: int, t: float) -> float:
    return _RAW * gpu.nvlink_bytes(link, t)[side]


def _errors(kind: int, gpu: SimulatedGpu, link: int, t: float) -> float:
    condition = gpu.condition(t)
    return waves.nvlink_errors(gpu.index, link)[kind] + (condition.link_errors if link in condition.links_bad else 0)


def _until_hopper(kind: int) -> Answer:
    of_links = _over_links(partial(_errors, kind))
    return lambda gpu, field, t: None if gpu.board.since("blackwell") else of_links(gpu, field, t)


def _of_link(value: Callable[[SimulatedGpu], float]) -> Answer:
    return lambda gpu, field, _t: value(gpu) if field.scope < gpu.links else None


def _link_state(gpu: SimulatedGpu, field: Field, t: float) -> float | None:
    if field.scope >= gpu.links:
        return None
    return _INACTIVE if field.scope in gpu.condition(t).links_down else _ACTIVE


def _nvlink5(of_link: Callable[[SimulatedGpu, int, float], float]) -> Answer:
    return _blackwell(_over_links(of_link))


def _bit_errors(mantissa: int, exponent: int) -> Answer:
    return _blackwell(_of_link(lambda _gpu: mantissa << 8 | exponent))


def _broken_packets(kind: int) -> Answer:
    return _nvlink5(lambda gpu, link, _t: (link + kind) * gpu.index)


def _fec_bin(number: int) -> Answer:
    return _nvlink5(lambda _gpu, link, _t: 10 ** (9 - number) * (link + 1) if number < 10 else 0)  # noqa: PLR2004 - 10 bins are in use


def _c2c(value: float) -> Answer:
    return _blackwell(lambda _gpu, field, _t: value if field.scope < _C2C_LINKS else None)


_ANSWERS: Final[dict[Field, Answer]] = {
    nvml.ECC_CORRECTED_AGGREGATE: lambda gpu, _field, t: gpu.index + gpu.condition(t).corrected,
    nvml.ECC_UNCORRECTED_AGGREGATE: lambda gpu, _field, t: gpu.condition(t).uncorrected,
    **dict.fromkeys(
        (
            nvml.THROTTLE_POWER_CAP,
            nvml.THROTTLE_SYNC_BOOST,
            nvml.THROTTLE_BOARD_LIMIT,
            nvml.THROTTLE_LOW_UTILIZATION,
            nvml.THROTTLE_RELIABILITY,
            nvml.THROTTLE_BASE_CLOCKS,
            nvml.THROTTLE_SW_THERMAL,
            nvml.THROTTLE_HW_THERMAL,
            nvml.THROTTLE_POWER_BRAKE,
        ),
        _throttled,
    ),
    nvml.THROTTLE_POWER_SMOOTHING: _blackwell(_throttled),
    nvml.MEMORY_TEMPERATURE: _memory_temperature,
    nvml.GPU_TEMPERATURE: lambda gpu, _field, t: gpu.temperature(t),
    nvml.TLIMIT_SHUTDOWN: _margin(-5),
    nvml.TLIMIT_SLOWDOWN: _margin(-2),
    nvml.TLIMIT_MEMORY_MAX: _margin(0, memory=True),
    nvml.TLIMIT_GPU_MAX: _margin(0),
    nvml.ENERGY: lambda gpu, _field, t: gpu.energy(t),
    nvml.POWER_AVERAGE: _average,
    nvml.POWER_INSTANT: lambda gpu, field, t: _watts(gpu, field, gpu.power(t)),
    nvml.POWER_MIN_LIMIT: _limit,
    nvml.POWER_MAX_LIMIT: _limit,
    nvml.POWER_DEFAULT_LIMIT: _limit,
    nvml.POWER_ENFORCED_LIMIT: _limit_set,
    nvml.POWER_REQUESTED_LIMIT: _limit_set,
    nvml.PCIE_REPLAYS: lambda gpu, _field, t: gpu.index + gpu.condition(t).pcie_errors,
    nvml.PCIE_RECOVERIES: lambda gpu, _field, _t: 2 + gpu.index,
    nvml.PCIE_CORRECTABLE: lambda gpu, _field, t: 3 * gpu.index + gpu.condition(t).pcie_errors,
    **dict.fromkeys(
        (
            nvml.PCIE_REPLAY_ROLLOVERS,
            nvml.PCIE_NAKS_RECEIVED,
            nvml.PCIE_RECEIVER,
            nvml.PCIE_BAD_TLP,
            nvml.PCIE_NAKS_SENT,
            nvml.PCIE_BAD_DLLP,
            nvml.PCIE_NON_FATAL,
            nvml.PCIE_FATAL,
            nvml.PCIE_UNSUPPORTED_REQUEST,
            nvml.PCIE_LCRC,
            nvml.PCIE_LANE,
        ),
        _constant(0),
    ),
    nvml.PCIE_TX_BYTES: partial(_pcie_bytes, 0),
    nvml.PCIE_RX_BYTES: partial(_pcie_bytes, 1),
    **dict.fromkeys(
        (nvml.REMAPPED_CORRECTED, nvml.REMAPPED_CORRECTED_INACTIVE, nvml.REMAPPED_UNCORRECTED_INACTIVE),
        _remap(lambda _condition: 0),
    ),
    nvml.REMAPPED_UNCORRECTED: _remap(lambda condition: condition.remapped),
    nvml.REMAP_PENDING: _remap(lambda condition: condition.remap_pending),
    nvml.REMAP_FAILURE: _remap(lambda condition: condition.remap_failed),
    nvml.RECOVERY_ACTION: lambda gpu, _field, t: gpu.condition(t).action,
    nvml.NVLINK_COUNT: lambda gpu, _field, _t: gpu.links or None,
    nvml.NVLINK_TX: _over_links(partial(_bytes, 0), _KIBI),
    nvml.NVLINK_RX: _over_links(partial(_bytes, 1), _KIBI),
    nvml.NVLINK_RAW_TX: _over_links(partial(_raw_bytes, 0), _KIBI),
    nvml.NVLINK_RAW_RX: _over_links(partial(_raw_bytes, 1), _KIBI),
    nvml.NVLINK_REPLAY: _until_hopper(0),
    nvml.NVLINK_RECOVERY: _until_hopper(1),
    nvml.NVLINK_CRC: _until_hopper(2),
    nvml.NVLINK_SPEED: _of_link(lambda gpu: gpu.board.model.link_mbps),
    nvml.NVLINK_STATE: _link_state,
    nvml.NVLINK_VERSION: _of_link(lambda gpu: gpu.board.link_version),
    nvml.NVLINK5_TX_PACKETS: _nvlink5(lambda gpu, link, t: _bytes(0, gpu, link, t) // _PACKET_BYTES),
    nvml.NVLINK5_TX_BYTES: _nvlink5(partial(_bytes, 0)),
    nvml.NVLINK5_RX_PACKETS: _nvlink5(lambda gpu, link, t: _bytes(1, gpu, link, t) // _PACKET_BYTES),
    nvml.NVLINK5_RX_BYTES: _nvlink5(partial(_bytes, 1)),
    nvml.NVLINK5_MALFORMED: _broken_packets(0),
    nvml.NVLINK5_OVERRUN: _broken_packets(1),
    nvml.NVLINK5_RECEIVE: _broken_packets(2),
    nvml.NVLINK5_REMOTE: _broken_packets(3),
    nvml.NVLINK5_GENERAL: _broken_packets(4),
    nvml.NVLINK5_INTEGRITY: _broken_packets(5),
    nvml.NVLINK5_DISCARDS: _broken_packets(6),
    nvml.NVLINK5_RECOVERED: _nvlink5(partial(_errors, 1)),
    nvml.NVLINK5_RECOVERY_FAILED: _nvlink5(lambda _gpu, _link, _t: 0),
    nvml.NVLINK5_EFFECTIVE: _nvlink5(lambda _gpu, link, _t: 7 * link),
    nvml.NVLINK5_EFFECTIVE_BER: _bit_errors(1, 15),
    nvml.NVLINK5_SYMBOL: _nvlink5(lambda _gpu, link, _t: 3 * link),
    nvml.NVLINK5_SYMBOL_BER: _bit_errors(15, 255),
    nvml.NVLINK5_RAW_BER: _bit_errors(2, 9),
    **{field: _fec_bin(number) for number, field in enumerate(nvml.NVLINK5_FEC_BINS)},
    nvml.NVLINK5_PLR_RETRIES: _nvlink5(lambda _gpu, _link, t: floor(10 * t)),
    nvml.C2C_COUNT: _c2c(_C2C_LINKS),
    nvml.C2C_STATUS: _c2c(1),
    nvml.C2C_SPEED: _c2c(_C2C_MBPS),
    nvml.C2C_CRC: _c2c(0),
    nvml.C2C_REPLAY: _c2c(0),
    nvml.C2C_REPLAY_B2B: _c2c(0),
    nvml.SMOOTHING_ENABLED: _blackwell(_constant(1)),
    nvml.SMOOTHING_CEILING: _blackwell(lambda gpu, _field, _t: gpu.board.model.limit_watts),
    nvml.SMOOTHING_FLOOR: _blackwell(_constant(300)),
    nvml.SMOOTHING_LIFETIME: _blackwell(_constant(99)),
    nvml.SMOOTHING_PROFILE: _blackwell(_constant(0)),
    nvml.MMA_STALL: _blackwell(_constant(3)),
}
_BY_ID: Final = {field.id: answer for field, answer in _ANSWERS.items()}


class FakeFields:
    """Reads a fixed list of fields of a simulated GPU; see FieldReader."""

    def __init__(self, gpu: SimulatedGpu, fields: Sequence[Field], notes: Notes, progress: Progress) -> None:
        """Prepare; nothing is asked before the first read."""
        self._gpu = gpu
        self._wanted: dict[int, Field] = dict(enumerate(fields))
        self._count = len(fields)
        self._notes = notes
        self._progress = progress
        self._wrapped: dict[int, int] = {}

    def read(self) -> Sequence[float | None]:
        """See FieldReader. Fields that the GPU does not have are asked for once."""
        values: list[float | None] = [None] * self._count
        if not self._wanted:
            return values
        self._progress.enter(self._gpu.index, "nvmlDeviceGetFieldValues")
        self._gpu.check()
        t = self._gpu.now()
        for position, field in tuple(self._wanted.items()):
            reading = f"field {field.id}" + (f" scope {field.scope}" if field.scope else "")
            if reading in self._gpu.failing:
                self._notes.fail(reading, "Unavailable")
                continue
            answer = _BY_ID.get(field.id)
            raw = None if answer is None else answer(self._gpu, field, t)
            if raw is None:
                self._notes.support[reading] = NOT_SUPPORTED
                del self._wanted[position]
            else:
                values[position] = self._converted(position, field, raw)
        return values

    def _converted(self, position: int, field: Field, raw: float) -> float:
        if field.bit_error_rate:
            return bit_error_rate(int(raw))
        if field.wraps:
            # The driver's counter has 32 bits: what wrapped before the first reading nobody knows.
            raw -= self._wrapped.setdefault(position, int(raw) // _WORD * _WORD)
        return raw * field.multiply / field.divide
