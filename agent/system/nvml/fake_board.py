# SPDX-License-Identifier: Apache-2.0
"""Simulated GPUs as hardware: what each board has, and the state of one GPU, before anybody asks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import floor
from types import MappingProxyType
from typing import Final, Literal, TypeVar

import pynvml

from agent.errors import DeviceLost
from agent.system.nvml import waves
from agent.system.nvml.ask import Asker, Progress
from agent.system.nvml.device import Identity, Notes, ProcessUse
from agent.system.nvml.fake_faults import HEALTHY, Condition, Faults
from agent.system.nvml.fake_load import Load

T = TypeVar("T")
Architecture = Literal["ampere", "ada", "hopper", "blackwell"]

DRIVER_VERSION: Final = "580.95.05"
CUDA_VERSION: Final = "13.0"
MILLI: Final = 1000
MAX_MIG: Final = 7
_GENERATIONS: tuple[Architecture, ...] = ("ampere", "ada", "hopper", "blackwell")
_FIRST_SERIAL = 1_320_000_000_000
_FIRST_BUS, _BUS_STEP = 0x1B, 0x11
_UPDATE = 0.1
_UTILIZATION_SECONDS = 1.0
_WARMING_SECONDS = 20.0
"""Over which temperature follows power."""
_AMBIENT, _DEGREES_PER_WATT = 30.0, 0.055
_SLOWER_FROM, _SLOWER_MHZ = 0.7, 240.0
"""The share of the power limit from which clocks go down, and by how much at the limit."""
_DRAM = 10


def pci_address(index: int, beside: int = 0) -> str:
    """Give the PCI address of a GPU, or of what is `beside` it behind the same switch: that many buses on."""
    return f"0000:{_FIRST_BUS + _BUS_STEP * index + beside:02x}:00.0"


@dataclass(frozen=True, slots=True)
class Board:
    """What a simulated board says of itself besides its waves. A Blackwell one is joined to a Grace CPU."""

    model: waves.Model
    architecture: Architecture
    capability: str
    part_number: str
    vbios: str
    multiprocessors: int
    bar1_bytes: int
    min_limit_watts: int
    link_version: int
    """NVML_NVLINK_VERSION_*."""
    pcie_generation: int
    hbm: bool = True
    mig: bool = True
    fans: int = 0

    def since(self, architecture: Architecture) -> bool:
        """Whether it is of this generation or a later one."""
        return _GENERATIONS.index(self.architecture) >= _GENERATIONS.index(architecture)


_H100 = waves.MODELS["h100"]
BOARDS: Final = MappingProxyType(
    {
        "h100": Board(_H100, "hopper", "9.0", "692-2G520-0200-000", "96.00.A5.00.01", 132, 128 * waves.GIB, 200, 6, 5),
        "h200": Board(
            waves.MODELS["h200"],
            "hopper",
            "9.0",
            "692-2G520-0280-001",
            "96.00.BC.00.01",
            132,
            256 * waves.GIB,
            200,
            6,
            5,
        ),
        "gb200": Board(
            waves.MODELS["gb200"],
            "blackwell",
            "10.0",
            "699-2G548-1201-800",
            "97.00.82.00.18",
            148,
            256 * waves.GIB,
            200,
            7,
            6,
        ),
        "a100": Board(
            waves.MODELS["a100"],
            "ampere",
            "8.0",
            "692-2G506-0212-002",
            "92.00.45.00.03",
            108,
            128 * waves.GIB,
            100,
            4,
            4,
        ),
        "l40s": Board(
            waves.MODELS["l40s"],
            "ada",
            "8.9",
            "900-2G133-0080-000",
            "95.02.66.00.02",
            142,
            64 * waves.GIB,
            100,
            0,
            4,
            hbm=False,
            mig=False,
            fans=2,
        ),
    }
)


@dataclass(slots=True)
class SimulatedGpu:
    """A GPU that no driver has. `watts` replaces the wave of its power by a constant; `mig` counts its instances."""

    index: int
    board: Board
    links: int
    now: Callable[[], float]
    watts: float | None = None
    mig: int | None = None
    processes: Sequence[ProcessUse] = ()
    load: Load | None = None
    """What runs on it, in place of the waves."""
    faults: Faults | None = None
    lost: bool = False
    failing: set[str] = field(default_factory=set)

    def check(self) -> None:
        """Raise DeviceLost when it is lost."""
        if self.lost or self.condition(self.now()).lost:
            message = f"GPU {self.index} is lost"
            raise DeviceLost(message)

    def condition(self, t: float) -> Condition:
        """What is wrong with it then."""
        return self.faults.at(t) if self.faults else HEALTHY

    def identity(self) -> Identity:
        """Who it is."""
        return Identity(
            uuid=waves.uuid(self.index),
            index=self.index,
            model=self.board.model.name,
            serial=str(_FIRST_SERIAL + self.index),
            vbios=self.board.vbios,
            architecture=self.board.architecture,
            capability=self.board.capability,
            pci=pci_address(self.index),
            minor=self.index,
            gsp=DRIVER_VERSION,
            part_number=self.board.part_number,
            mig=self.mig is not None,
        )

    def power(self, t: float) -> float:
        """W at the last update; under a load the mean since the update before."""
        at = waves.step_time(t)
        if self.load:
            return self._mean_power(self.load, at, _UPDATE)
        return waves.power(self.index, at, self.board.model) if self.watts is None else self.watts

    def power_average(self, t: float) -> float:
        """W over the second before the last update."""
        at = waves.step_time(t)
        if self.load:
            return self._mean_power(self.load, at, 1.0)
        return waves.power_average(self.index, at, self.board.model) if self.watts is None else self.watts

    def energy(self, t: float) -> int:
        """Energy counter at the last update, mJ: the exact integral of power since the clock's zero."""
        if self.load:
            return floor(self.load.energy(waves.step_time(t)) * MILLI)
        if self.watts is None:
            return waves.energy_counter(self.index, t, 0.0, self.board.model)
        return floor(self.watts * waves.step_time(t) * MILLI)

    def utilization(self, t: float) -> int:
        """Share of time with a kernel running, %."""
        if self.load is None:
            return waves.utilization(self.index, t)
        busy = self.load.busy_seconds(t) - self.load.busy_seconds(t - _UTILIZATION_SECONDS)
        return floor(100.0 * busy / _UTILIZATION_SECONDS + 0.5)

    def memory_utilization(self, t: float) -> int:
        """Share of time with memory in use, %."""
        if self.load is None:
            return waves.memory_utilization(self.index, t)
        busy = self.load.active_seconds(_DRAM, t) - self.load.active_seconds(_DRAM, t - _UTILIZATION_SECONDS)
        return floor(100.0 * busy / _UTILIZATION_SECONDS + 0.5)

    def engine_utilization(self) -> tuple[int, int, int, int]:
        """Encoder, decoder, JPEG and optical-flow engines, %. Language models use none."""
        return (0, 0, 0, 0) if self.load else waves.engine_utilization(self.index)

    def memory_used(self, t: float) -> int:
        """Allocated memory without the driver's own, bytes."""
        return self.load.memory_bytes if self.load else waves.memory_used(self.index, t)

    def temperature(self, t: float) -> float:
        """GPU temperature, °C; under a load it follows power."""
        if self.load is None:
            return waves.temperature(self.index, t)
        from_power = _DEGREES_PER_WATT * self._mean_power(self.load, t, _WARMING_SECONDS)
        return _AMBIENT + from_power + self.condition(t).warmer

    def sm_clock(self, t: float) -> int:
        """SM clock, MHz; under a load lower as power comes near its limit, or as a fault holds it down."""
        if self.load is None:
            return waves.sm_clock(self.index, t, self.board.model)
        near = (self.power(t) / self.board.model.limit_watts - _SLOWER_FROM) / (1.0 - _SLOWER_FROM)
        return floor((self.board.model.sm_mhz - floor(_SLOWER_MHZ * max(0.0, near))) * self.condition(t).clock)

    def active_seconds(self, t: float) -> dict[int, float]:
        """Seconds by which each GPM activity metric grew until then; nothing where waves show it."""
        return {metric: self.load.active_seconds(metric, t) for metric in waves.GPM_SHARES} if self.load else {}

    def nvlink_bytes(self, link: int, t: float) -> tuple[float, float]:
        """Bytes over one NVLink, sent and received. A load spreads evenly over all of them."""
        if self.load is None:
            return waves.nvlink_bytes(self.index, link, t)
        sent, received = self.load.nvlink_bytes(t)
        return sent / self.links, received / self.links

    def pcie_bytes(self, t: float) -> tuple[float, float]:
        """Bytes over PCIe, sent and received."""
        if self.load:
            return self.load.pcie_bytes(t)
        sent, received = waves.pcie_rates(self.index)
        return sent * t, received * t

    @staticmethod
    def _mean_power(load: Load, t: float, seconds: float) -> float:
        return (load.energy(t) - load.energy(t - seconds)) / seconds

    def mig_places(self) -> list[int]:
        """List the places of its MIG instances. With 3 to 6 of them place 1 is free, as after destroying one."""
        count = self.mig or 0
        hole = 3 <= count < MAX_MIG  # noqa: PLR2004 - as said
        return [place for place in range(count + hole) if not (hole and place == 1)]


class Questions:
    """Asks a simulated GPU as a real one is asked, by the names of NVML's functions."""

    def __init__(self, gpu: SimulatedGpu, notes: Notes, progress: Progress) -> None:
        """Ask this GPU."""
        self._gpu = gpu
        self._asker = Asker(gpu.index, notes, progress)

    def __call__(
        self, reading: str, answer: Callable[[float], T], *, has: bool = True, permitted: bool = True
    ) -> T | None:
        """Answer by the time, unless the GPU does not have the reading or may not give it: None then."""
        return self._asker(reading, self._answer, reading, answer, has, permitted)

    def _answer(self, reading: str, answer: Callable[[float], T], has: bool, permitted: bool) -> T:
        self._gpu.check()
        if reading in self._gpu.failing:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)
        if not has:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        if not permitted:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)
        return answer(self._gpu.now())
