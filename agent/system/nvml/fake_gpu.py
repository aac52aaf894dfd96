# SPDX-License-Identifier: Apache-2.0
"""A simulated GPU as a device: the answers of the mock NVML library, without the library."""

from collections.abc import Mapping, Sequence
from math import floor

from agent.system.nvml import waves
from agent.system.nvml.ask import Progress
from agent.system.nvml.device import (
    Domain,
    EccLifetime,
    EccLocation,
    EccSeverity,
    Engine,
    FabricState,
    FieldReader,
    Gpm,
    Memory,
    MigDevice,
    Modes,
    Notes,
    PcieLink,
    PlatformInfo,
    ProcessLoad,
    ProcessUse,
    RemapHistogram,
    Threshold,
    Utilization,
)
from agent.system.nvml.fake_board import MAX_MIG, Questions, SimulatedGpu
from agent.system.nvml.fake_fields import FakeFields
from agent.system.nvml.fake_mig import FakeMig, GpmWindow
from agent.system.nvml.fields import Field
from agent.system.nvml.names import THROTTLE_REASONS, fabric_problems

_PERCENT = 100.0
_MEGA = 1_000_000
_VIDEO_BELOW_SM = 195
_THRESHOLDS: dict[Threshold, int] = {"shutdown": 92, "slowdown": 89, "memory_max": 95, "gpu_max": 87}
_ENGINES: dict[Engine, str] = {"encoder": "Encoder", "decoder": "Decoder", "jpeg": "Jpg", "ofa": "Ofa"}
_BANKS = 640
_NO_CLUSTER = "00000000-0000-0000-0000-000000000000"
_RACK = "7b968fc6-954e-4ab3-9c81-00d5a2e03144"
_RACK_HEALTHY, _BASEBOARD_HEALTHY = 0x51AA, 0x2


class FakeDevice:
    """A simulated GPU, open."""

    def __init__(self, gpu: SimulatedGpu, progress: Progress) -> None:
        """Open it."""
        self.identity = gpu.identity()
        self.notes = Notes()
        self.generation = 0
        self._gpu = gpu
        self._board = gpu.board
        self._whole = gpu.mig is None
        self._progress = progress
        self._ask = Questions(gpu, self.notes, progress)
        self._gpm = GpmWindow(gpu, self._ask)
        self._mig: list[MigDevice] = [FakeMig(gpu, place, progress) for place in gpu.mig_places()]
        self._last_process_sample = 0.0

    def modes(self) -> Modes:
        """See Device."""
        blackwell = self._board.since("blackwell")
        return Modes(
            persistence=self._ask("nvmlDeviceGetPersistenceMode", lambda _: "enabled"),
            compute=self._ask("nvmlDeviceGetComputeMode", lambda _: "default"),
            mig=self._ask(
                "nvmlDeviceGetMigMode", lambda _: "disabled" if self._whole else "enabled", has=self._board.mig
            ),
            ecc=self._ask("nvmlDeviceGetEccMode", lambda _: "enabled"),
            addressing=self._ask("nvmlDeviceGetAddressingMode", lambda _: "ats" if blackwell else "hmm"),
            profiles=self._ask("nvmlDeviceWorkloadPowerProfileGetCurrentProfiles", lambda _: "0", has=blackwell),
        )

    def fields(self, fields: Sequence[Field]) -> FieldReader:
        """See Device."""
        return FakeFields(self._gpu, fields, self.notes, self._progress)

    def uptime(self) -> float | None:
        """See Device."""
        return self._ask("nvmlDeviceGetGpuUptime_v1", lambda t: float(floor(t)))

    def utilization(self) -> Utilization | None:
        """See Device."""
        return self._ask("nvmlDeviceGetUtilizationRates", self._utilization, has=self._whole)

    def engine_utilization(self, engine: Engine) -> float | None:
        """See Device."""
        percents = dict(zip(_ENGINES, self._gpu.engine_utilization(), strict=True))
        reading = f"nvmlDeviceGet{_ENGINES[engine]}Utilization"
        return self._ask(reading, lambda _: percents[engine] / _PERCENT, has=self._whole)

    def memory(self) -> Memory | None:
        """See Device."""
        return self._ask("nvmlDeviceGetMemoryInfo_v2", self._memory)

    def bar1(self) -> Memory | None:
        """See Device. Of a GPU in MIG mode only root sees it."""
        used, total = (16 + self._gpu.index) * waves.MIB, self._board.bar1_bytes
        reading = "nvmlDeviceGetBAR1MemoryInfo"
        return self._ask(reading, lambda _: Memory(total, used, total - used), permitted=self._whole)

    def clock(self, domain: Domain) -> float | None:
        """See Device."""
        return self._ask(
            f"nvmlDeviceGetClockInfo {domain}",
            lambda t: self._hertz(domain, self._gpu.sm_clock(t)),
        )

    def clock_limit(self, domain: Domain) -> float | None:
        """See Device."""
        return self._ask(f"nvmlDeviceGetMaxClockInfo {domain}", lambda _: self._hertz(domain, self._board.model.sm_mhz))

    def throttle_reasons(self) -> Mapping[str, bool] | None:
        """See Device."""
        return self._ask("nvmlDeviceGetCurrentClocksEventReasons", self._reasons)

    def temperature(self) -> float | None:
        """See Device."""
        return self._ask("nvmlDeviceGetTemperatureV gpu", lambda t: floor(self._gpu.temperature(t)))

    def hotspot(self) -> float | None:
        """See Device."""
        return self._ask(
            "nvmlDeviceGetTemperatureV hotspot", lambda t: floor(self._gpu.temperature(t) + waves.HOTSPOT_ABOVE)
        )

    def temperature_limit(self, threshold: Threshold) -> float | None:
        """See Device."""
        reading = f"nvmlDeviceGetTemperatureThreshold {threshold}"
        has = self._board.hbm or threshold != "memory_max"
        return self._ask(reading, lambda _: float(_THRESHOLDS[threshold]), has=has)

    def temperature_margin(self) -> float | None:
        """See Device."""
        return self._ask(
            "nvmlDeviceGetMarginTemperature",
            lambda t: _THRESHOLDS["gpu_max"] - floor(self._gpu.temperature(t)),
            has=self._board.since("ada"),
        )

    def fans(self) -> Sequence[tuple[float | None, float | None]]:
        """See Device."""

        def percents(t: float) -> list[int]:
            return [waves.fan_percent(fan, t) for fan in range(self._board.fans)]

        found = self._ask("nvmlDeviceGetNumFans", percents, has=self._board.fans > 0) or ()
        return [(percent / _PERCENT, percent * 60.0) for percent in found]

    def pcie_link(self) -> PcieLink:
        """See Device."""
        generation = self._board.pcie_generation
        return PcieLink(
            self._ask("nvmlDeviceGetCurrPcieLinkGeneration", lambda _: generation),
            self._ask("nvmlDeviceGetMaxPcieLinkGeneration", lambda _: generation),
            self._ask("nvmlDeviceGetCurrPcieLinkWidth", lambda t: self._gpu.condition(t).lanes),
            self._ask("nvmlDeviceGetMaxPcieLinkWidth", lambda _: 16),
        )

    def ecc_errors(self, severity: EccSeverity, lifetime: EccLifetime, location: EccLocation) -> int | None:
        """See Device. A board has an old history of corrected errors: as many as its index."""
        old = (severity, lifetime, location) == ("corrected", "aggregate", "dram")

        def count(t: float) -> int:
            new = self._gpu.condition(t)
            fresh = new.corrected if severity == "corrected" else new.uncorrected
            return (self._gpu.index if old else 0) + (fresh if location == "dram" else 0)

        reading = f"nvmlDeviceGetMemoryErrorCounter {severity} {lifetime} {location}"
        return self._ask(reading, count, has=location in ("dram", "sram"))

    def sram_threshold_exceeded(self) -> bool | None:
        """See Device. The simulated process is not root."""
        return self._ask("nvmlDeviceGetSramEccErrorStatus", lambda _: False, permitted=False)

    def remap_histogram(self) -> RemapHistogram | None:
        """See Device."""
        return self._ask("nvmlDeviceGetRowRemapperHistogram", lambda _: RemapHistogram(_BANKS, 0, 0, 0, 0))

    def repairs_pending(self) -> Mapping[str, bool] | None:
        """See Device."""
        return self._ask("nvmlDeviceGetRepairStatus", lambda _: {"channel": False, "tpc": False})

    def fabric(self) -> FabricState | None:
        """See Device. A rack has a cluster and a clique; the switches of one baseboard have neither."""
        rack = self._board.since("blackwell")
        cluster, clique = (_RACK, 1) if rack else (_NO_CLUSTER, 0)
        healthy = fabric_problems(_RACK_HEALTHY if rack else _BASEBOARD_HEALTHY)

        def state(t: float) -> FabricState:
            problems = healthy | dict.fromkeys(self._gpu.condition(t).fabric, True)
            return FabricState(cluster, clique, "completed", 0, problems)

        return self._ask("nvmlDeviceGetGpuFabricInfoV", state, has=self._board.since("hopper"))

    def platform(self) -> PlatformInfo | None:
        """See Device. Modules do not count in PCI order."""
        module = (self._gpu.index ^ 1) + 1
        return self._ask(
            "nvmlDeviceGetPlatformInfo",
            lambda _: PlatformInfo("1820324000123", 24, 14, 1, module, "switch"),
            has=self._board.since("blackwell"),
        )

    def confidential_memory(self) -> Mapping[str, int] | None:
        """See Device."""
        sizes = {"protected": 0, "unprotected": self._board.model.memory_bytes}
        return self._ask("nvmlDeviceGetConfComputeMemSizeInfo", lambda _: sizes, has=self._board.since("hopper"))

    def processes(self) -> Sequence[ProcessUse] | None:
        """See Device. Of a GPU in MIG mode only root sees them."""
        reading = "nvmlDeviceGetComputeRunningProcesses_v3"
        return self._ask(reading, lambda _: list(self._gpu.processes), permitted=self._whole)

    def process_loads(self) -> Sequence[ProcessLoad] | None:
        """See Device."""
        return self._ask("nvmlDeviceGetProcessesUtilizationInfo", self._process_loads, has=self._whole)

    def gpm(self) -> Gpm | None:
        """See Device."""
        has = self._ask("nvmlGpmQueryDeviceSupport", lambda _: self._board.since("hopper"))
        return self._gpm.read() if has else None

    def mig_instances(self) -> Sequence[MigDevice]:
        """See Device."""
        limit = self._ask("nvmlDeviceGetMaxMigDeviceCount", lambda _: 0 if self._whole else MAX_MIG)
        for instance in self._mig:
            self.notes.failures += instance.notes.take_failures()
        return self._mig if limit else []

    def _reasons(self, t: float) -> dict[str, bool]:
        active = self._gpu.condition(t).reasons
        return {reason: reason in active for reason in THROTTLE_REASONS.values()}

    def _utilization(self, t: float) -> Utilization:
        return Utilization(self._gpu.utilization(t) / _PERCENT, self._gpu.memory_utilization(t) / _PERCENT)

    def _memory(self, t: float) -> Memory:
        total, used = self._board.model.memory_bytes, self._gpu.memory_used(t)
        return Memory(total, used, total - used - waves.MEMORY_RESERVED, waves.MEMORY_RESERVED)

    def _hertz(self, domain: Domain, sm_mhz: int) -> float:
        if domain == "memory":
            return float(self._board.model.memory_mhz * _MEGA)
        return float((sm_mhz - (_VIDEO_BELOW_SM if domain == "video" else 0)) * _MEGA)

    def _process_loads(self, t: float) -> list[ProcessLoad]:
        """A sample a second; the processes of a GPU share its utilization equally."""
        at = float(floor(t))
        if not self._gpu.processes or at <= self._last_process_sample:
            return []
        self._last_process_sample = at
        share = self._gpu.utilization(at) // len(self._gpu.processes) / _PERCENT
        idle: dict[str, float] = dict.fromkeys(_ENGINES, 0.0)
        return [ProcessLoad(process.pid, {"general": share, **idle}) for process in self._gpu.processes]
