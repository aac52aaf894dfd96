# SPDX-License-Identifier: Apache-2.0
"""A GPU through nvidia-ml-py."""

import ctypes
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import pynvml

from agent.system.nvml.ask import NOT_SUPPORTED, Asker, Progress, explain
from agent.system.nvml.batch import FieldBatch
from agent.system.nvml.device import (
    Domain,
    EccLifetime,
    EccLocation,
    EccSeverity,
    Engine,
    FabricState,
    FieldReader,
    Gpm,
    Identity,
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
from agent.system.nvml.fields import Field
from agent.system.nvml.gpm import GpmSampler
from agent.system.nvml.mig import MigInstances
from agent.system.nvml.names import (
    ADDRESSING,
    COMPUTE_MODES,
    ECC_LOCATIONS,
    FABRIC_STATES,
    MODES,
    THROTTLE_REASONS,
    fabric_problems,
)
from agent.system.nvml.usage import read_memory, read_processes

_PERCENT = 100.0
_MEGA = 1_000_000
_SENSOR_MAX = 1
"""NVML_TEMPERATURE_GPU_MAX: the hottest spot."""
_CLOCKS: dict[Domain, int] = {"graphics": 0, "sm": 1, "memory": 2, "video": 3}
_ENGINES: dict[Engine, str] = {"encoder": "Encoder", "decoder": "Decoder", "jpeg": "Jpg", "ofa": "Ofa"}
_THRESHOLDS: dict[Threshold, int] = {"shutdown": 0, "slowdown": 1, "memory_max": 2, "gpu_max": 3}
_PLATFORM_PEERS = {0: "direct", 1: "switch"}
_UTILIZATION_FIELDS = {
    "general": "smUtil",
    "encoder": "encUtil",
    "decoder": "decUtil",
    "jpeg": "jpgUtil",
    "ofa": "ofaUtil",
}


class PynvmlDevice:
    """A GPU, by its NVML handle."""

    def __init__(self, handle: Any, identity: Identity, progress: Progress) -> None:
        """Wrap an open handle."""
        self.identity = identity
        self.notes = Notes()
        self._handle = handle
        self._ask = Asker(identity.index, self.notes, progress)
        self._gpm = GpmSampler(self._ask, lambda sample: pynvml.nvmlGpmSampleGet(handle, sample))
        self._mig = MigInstances(handle, identity.index, self._ask, self.notes, progress)
        self.generation = 0
        self._mig_mode: str | None = None
        self._last_process_sample = 0

    @property
    def handle(self) -> Any:
        """The NVML handle, for events."""
        return self._handle

    def modes(self) -> Modes:
        """See Device. A change of MIG mode makes the device ask again what it did not support."""
        persistence = self._call("nvmlDeviceGetPersistenceMode", pynvml.nvmlDeviceGetPersistenceMode)
        compute = self._call("nvmlDeviceGetComputeMode", pynvml.nvmlDeviceGetComputeMode)
        mig = self._call("nvmlDeviceGetMigMode", pynvml.nvmlDeviceGetMigMode)
        ecc = self._call("nvmlDeviceGetEccMode", pynvml.nvmlDeviceGetEccMode)
        addressing = self._call("nvmlDeviceGetAddressingMode", pynvml.nvmlDeviceGetAddressingMode)
        mode = None if mig is None else MODES.get(mig[0])
        if self._mig_mode is not None and mode != self._mig_mode:
            self._ask.forget()
            self.generation += 1
        self._mig_mode = mode
        return Modes(
            persistence=MODES.get(persistence),
            compute=COMPUTE_MODES.get(compute),
            mig=mode,
            ecc=None if ecc is None else MODES.get(ecc[0]),
            addressing=ADDRESSING.get(addressing),
            profiles=self._power_profiles(),
        )

    def fields(self, fields: Sequence[Field]) -> FieldReader:
        """See Device."""
        try:
            function = pynvml._nvmlGetFunctionPointer("nvmlDeviceGetFieldValues")  # noqa: SLF001 - the wrapper allocates anew each call
        except pynvml.NVMLError:
            self.notes.support["nvmlDeviceGetFieldValues"] = NOT_SUPPORTED
            return _NoFields(len(fields))

        def call(buffer: "ctypes.Array[ctypes.c_char]", count: int) -> None:
            self._ask.checked("nvmlDeviceGetFieldValues", function, self._handle, ctypes.c_int(count), buffer)

        return FieldBatch(fields, call, explain, self.notes)

    def uptime(self) -> float | None:
        """See Device. The package has no wrapper for nvmlDeviceGetGpuUptime_v1; seconds."""
        return self._ask("nvmlDeviceGetGpuUptime_v1", self._uptime)

    def utilization(self) -> Utilization | None:
        """See Device."""
        rates = self._call("nvmlDeviceGetUtilizationRates", pynvml.nvmlDeviceGetUtilizationRates)
        return None if rates is None else Utilization(rates.gpu / _PERCENT, rates.memory / _PERCENT)

    def engine_utilization(self, engine: Engine) -> float | None:
        """See Device."""
        name = f"nvmlDeviceGet{_ENGINES[engine]}Utilization"
        answer = self._call(name, getattr(pynvml, name))
        return None if answer is None else answer[0] / _PERCENT

    def memory(self) -> Memory | None:
        """See Device."""
        return read_memory(self._ask, self._handle)

    def bar1(self) -> Memory | None:
        """See Device."""
        bar1 = self._call("nvmlDeviceGetBAR1MemoryInfo", pynvml.nvmlDeviceGetBAR1MemoryInfo)
        return None if bar1 is None else Memory(bar1.bar1Total, bar1.bar1Used, bar1.bar1Free)

    def clock(self, domain: Domain) -> float | None:
        """See Device."""
        return self._megahertz("nvmlDeviceGetClockInfo", pynvml.nvmlDeviceGetClockInfo, domain)

    def clock_limit(self, domain: Domain) -> float | None:
        """See Device."""
        return self._megahertz("nvmlDeviceGetMaxClockInfo", pynvml.nvmlDeviceGetMaxClockInfo, domain)

    def throttle_reasons(self) -> Mapping[str, bool] | None:
        """See Device."""
        mask = self._call("nvmlDeviceGetCurrentClocksEventReasons", pynvml.nvmlDeviceGetCurrentClocksEventReasons)
        return None if mask is None else {name: bool(mask & bit) for bit, name in THROTTLE_REASONS.items()}

    def temperature(self) -> float | None:
        """See Device. Drivers before nvmlDeviceGetTemperatureV are asked the old way."""
        degrees: float | None = self._call("nvmlDeviceGetTemperatureV gpu", pynvml.nvmlDeviceGetTemperatureV, 0)
        if degrees is None:
            degrees = self._call("nvmlDeviceGetTemperature", pynvml.nvmlDeviceGetTemperature, 0)
        return degrees

    def hotspot(self) -> float | None:
        """See Device."""
        degrees: float | None = self._call(
            "nvmlDeviceGetTemperatureV hotspot", pynvml.nvmlDeviceGetTemperatureV, _SENSOR_MAX
        )
        return degrees

    def temperature_limit(self, threshold: Threshold) -> float | None:
        """See Device."""
        reading = f"nvmlDeviceGetTemperatureThreshold {threshold}"
        degrees: float | None = self._call(reading, pynvml.nvmlDeviceGetTemperatureThreshold, _THRESHOLDS[threshold])
        return degrees

    def temperature_margin(self) -> float | None:
        """See Device."""
        degrees: float | None = self._call("nvmlDeviceGetMarginTemperature", pynvml.nvmlDeviceGetMarginTemperature)
        return degrees

    def fans(self) -> Sequence[tuple[float | None, float | None]]:
        """See Device."""
        count = self._call("nvmlDeviceGetNumFans", pynvml.nvmlDeviceGetNumFans) or 0
        found: list[tuple[float | None, float | None]] = []
        for fan in range(count):
            percent = self._call(f"nvmlDeviceGetFanSpeed_v2 {fan}", pynvml.nvmlDeviceGetFanSpeed_v2, fan)
            rpm = self._ask(f"nvmlDeviceGetFanSpeedRPM {fan}", self._fan_rpm, fan)
            found.append((None if percent is None else percent / _PERCENT, rpm))
        return found

    def pcie_link(self) -> PcieLink:
        """See Device."""
        return PcieLink(
            *(
                self._call(name, getattr(pynvml, name))
                for name in (
                    "nvmlDeviceGetCurrPcieLinkGeneration",
                    "nvmlDeviceGetMaxPcieLinkGeneration",
                    "nvmlDeviceGetCurrPcieLinkWidth",
                    "nvmlDeviceGetMaxPcieLinkWidth",
                )
            )
        )

    def ecc_errors(self, severity: EccSeverity, lifetime: EccLifetime, location: EccLocation) -> int | None:
        """See Device."""
        count: int | None = self._call(
            f"nvmlDeviceGetMemoryErrorCounter {severity} {lifetime} {location}",
            pynvml.nvmlDeviceGetMemoryErrorCounter,
            0 if severity == "corrected" else 1,
            0 if lifetime == "volatile" else 1,
            ECC_LOCATIONS[location],
        )
        return count

    def sram_threshold_exceeded(self) -> bool | None:
        """See Device."""
        return self._ask("nvmlDeviceGetSramEccErrorStatus", self._sram_status)

    def remap_histogram(self) -> RemapHistogram | None:
        """See Device."""
        rows = self._call("nvmlDeviceGetRowRemapperHistogram", pynvml.nvmlDeviceGetRowRemapperHistogram)
        return None if rows is None else RemapHistogram(rows.max, rows.high, rows.partial, rows.low, rows.none)

    def repairs_pending(self) -> Mapping[str, bool] | None:
        """See Device."""
        pending = self._call("nvmlDeviceGetRepairStatus", pynvml.nvmlDeviceGetRepairStatus)
        return None if pending is None else {"channel": bool(pending[0]), "tpc": bool(pending[1])}

    def fabric(self) -> FabricState | None:
        """See Device. Asked as version 3; the package's struct has a state wider than C's, so it is masked."""
        info = self._ask("nvmlDeviceGetGpuFabricInfoV", self._fabric_info)
        if info is None:
            return None
        state = FABRIC_STATES.get(info.state & 0xFF)
        if state is None or state == "not_supported":
            return None
        cluster = bytes(info.clusterUuid).hex()
        uuid = "-".join((cluster[:8], cluster[8:12], cluster[12:16], cluster[16:20], cluster[20:]))
        return FabricState(uuid, info.cliqueId, state, info.status, fabric_problems(info.healthMask))

    def platform(self) -> PlatformInfo | None:
        """See Device. Read as raw bytes: the package would decode binary as text."""
        info = self._ask("nvmlDeviceGetPlatformInfo", self._platform_bytes)
        if info is None:
            return None
        chassis, slot, tray, host, peer, module = struct.unpack_from("=16sBBBBB", info, 20)
        name = chassis.split(b"\0", 1)[0].decode("ascii", "replace")
        return PlatformInfo(name, slot, tray, host, module, _PLATFORM_PEERS.get(peer, str(peer)))

    def confidential_memory(self) -> Mapping[str, int] | None:
        """See Device; NVML tells KiB."""
        sizes = self._call("nvmlDeviceGetConfComputeMemSizeInfo", pynvml.nvmlDeviceGetConfComputeMemSizeInfo)
        if sizes is None:
            return None
        return {"protected": sizes.protectedMemSizeKib * 1024, "unprotected": sizes.unprotectedMemSizeKib * 1024}

    def processes(self) -> Sequence[ProcessUse] | None:
        """See Device."""
        return read_processes(self._ask, self._handle)

    def process_loads(self) -> Sequence[ProcessLoad] | None:
        """See Device. NOT_FOUND means that nobody did anything since the last call."""
        samples = self._ask("nvmlDeviceGetProcessesUtilizationInfo", self._process_samples)
        if samples is None:
            return None
        latest: dict[int, Any] = {}
        for sample in samples:
            if sample.pid > 0 and sample.timeStamp > self._last_process_sample:
                latest[sample.pid] = sample
        self._last_process_sample = max([self._last_process_sample, *(s.timeStamp for s in latest.values())])
        return [ProcessLoad(pid, _shares(sample)) for pid, sample in latest.items()]

    def gpm(self) -> Gpm | None:
        """See Device."""
        supported = self._call("nvmlGpmQueryDeviceSupport", pynvml.nvmlGpmQueryDeviceSupport)
        if supported is None or not supported.isSupportedDevice:
            return None
        return self._gpm.read()

    def mig_instances(self) -> Sequence[MigDevice]:
        """See Device."""
        return self._mig.list()

    def close(self) -> None:
        """Give back what it holds."""
        with suppress(Exception):
            self._gpm.close()

    def _call(self, reading: str, call: Any, *args: object) -> Any:
        return self._ask(reading, call, self._handle, *args)

    def _megahertz(self, name: str, call: Any, domain: Domain) -> float | None:
        value = self._call(f"{name} {domain}", call, _CLOCKS[domain])
        return None if value is None else value * _MEGA

    def _fan_rpm(self, fan: int) -> float:
        """Ask as the package does, which asks fan 0 only."""
        info = pynvml.c_nvmlFanSpeedInfo_t()
        info.version, info.fan = pynvml.nvmlFanSpeedInfo_v1, fan
        function = pynvml._nvmlGetFunctionPointer("nvmlDeviceGetFanSpeedRPM")  # noqa: SLF001 - as above
        pynvml._nvmlCheckReturn(function(self._handle, ctypes.byref(info)))  # noqa: SLF001 - as above
        return float(info.speed)

    def _uptime(self) -> float:
        seconds = ctypes.c_uint()
        function = pynvml._nvmlGetFunctionPointer("nvmlDeviceGetGpuUptime_v1")  # noqa: SLF001 - no wrapper
        pynvml._nvmlCheckReturn(function(self._handle, ctypes.byref(seconds)))  # noqa: SLF001 - no wrapper
        return float(seconds.value)

    def _sram_status(self) -> bool:
        status = pynvml.c_nvmlEccSramErrorStatus_v1_t()
        pynvml.nvmlDeviceGetSramEccErrorStatus(self._handle, ctypes.byref(status))
        return bool(status.bThresholdExceeded)

    def _fabric_info(self) -> Any:
        info = pynvml.c_nvmlGpuFabricInfo_v3_t()
        pynvml.nvmlDeviceGetGpuFabricInfoV(self._handle, ctypes.byref(info))
        return info

    def _platform_bytes(self) -> bytes:
        info = pynvml.c_nvmlPlatformInfo_v2_t()
        pynvml.nvmlDeviceGetPlatformInfo(self._handle, ctypes.byref(info))
        return bytes(info)

    def _process_samples(self) -> Sequence[Any]:
        try:
            return list(pynvml.nvmlDeviceGetProcessesUtilizationInfo(self._handle, self._last_process_sample))
        except pynvml.NVMLError as error:
            # The wrapper raises success itself when there is nothing to say.
            if error.value in (pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_SUCCESS):
                return []
            raise

    def _power_profiles(self) -> str | None:
        mask = self._ask("nvmlDeviceWorkloadPowerProfileGetCurrentProfiles", self._enforced_profiles)
        return None if mask is None else ",".join(str(bit) for bit in range(255) if mask[bit // 32] >> bit % 32 & 1)

    def _enforced_profiles(self) -> list[int]:
        current = pynvml.c_nvmlWorkloadPowerProfileCurrentProfiles_v1_t()
        pynvml.nvmlDeviceWorkloadPowerProfileGetCurrentProfiles(self._handle, ctypes.byref(current))
        return list(current.enforcedProfilesMask.mask)


class _NoFields:
    """The fields of a driver that has none."""

    def __init__(self, count: int) -> None:
        self._values = (None,) * count

    def read(self) -> Sequence[float | None]:
        return self._values


def _shares(sample: Any) -> Mapping[str, float]:
    """Ratios by task; nonsense above 100 % (seen from processes that ended) is left out."""
    shares = {task: getattr(sample, field) / _PERCENT for task, field in _UTILIZATION_FIELDS.items()}
    return {task: share for task, share in shares.items() if share <= 1.0}
