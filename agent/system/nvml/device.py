# SPDX-License-Identifier: Apache-2.0
"""What can be asked of a GPU, in base units.

Every question returns None where the device has no answer: not supported, not permitted, or failed this
time. The device keeps note of which (`Notes`). DeviceLost and DriverGone are raised: no other question
would fare better.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from agent.system.nvml.fields import Field

Domain = Literal["graphics", "sm", "memory", "video"]
Engine = Literal["encoder", "decoder", "jpeg", "ofa"]
EccSeverity = Literal["corrected", "uncorrected"]
EccLifetime = Literal["volatile", "aggregate"]
EccLocation = Literal["dram", "sram", "l1", "l2", "register_file", "texture", "cbu"]
Threshold = Literal["shutdown", "slowdown", "memory_max", "gpu_max"]


class Failure(NamedTuple):
    """A question that failed this time."""

    reading: str
    error: str
    message: str


class Notes:
    """What a device answered so far: which questions it knows, and which failed in this run."""

    def __init__(self) -> None:
        """Start with nothing known."""
        self.support: dict[str, str] = {}
        self.failures: list[Failure] = []

    def fail(self, reading: str, error: str, message: str = "") -> None:
        """Write down that a question failed this time."""
        self.support[reading] = error
        self.failures.append(Failure(reading, error, message))

    def take_failures(self) -> list[Failure]:
        """Hand over the failures since the last call."""
        failures, self.failures = self.failures, []
        return failures


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a GPU is. `pci` is domain:bus:device.function in lower case, as in sysfs."""

    uuid: str
    index: int
    model: str | None = None
    serial: str | None = None
    vbios: str | None = None
    architecture: str | None = None
    capability: str | None = None
    pci: str | None = None
    minor: int | None = None
    gsp: str | None = None
    part_number: str | None = None
    mig: bool = False


class Modes(NamedTuple):
    """How a GPU is set up."""

    persistence: str | None = None
    compute: str | None = None
    mig: str | None = None
    ecc: str | None = None
    addressing: str | None = None
    profiles: str | None = None


class Utilization(NamedTuple):
    """Ratios of the last sample period."""

    gpu: float
    memory: float


class Memory(NamedTuple):
    """Bytes. `used` is without `reserved`; `reserved` is None where the driver does not tell it apart."""

    total: int
    used: int
    free: int
    reserved: int | None = None


class PcieLink(NamedTuple):
    """PCIe generation and lanes, now and at most."""

    generation: int | None
    generation_limit: int | None
    width: int | None
    width_limit: int | None


class RemapHistogram(NamedTuple):
    """Memory banks by how many of their spare rows are left."""

    max: int
    high: int
    partial: int
    low: int
    none: int


class FabricState(NamedTuple):
    """Registration with the NVLink fabric. `problems` says for each health bit that is known whether it is bad."""

    cluster: str
    clique: int
    state: str
    status: int
    problems: Mapping[str, bool]


class PlatformInfo(NamedTuple):
    """Place in the rack."""

    chassis: str
    slot: int
    tray: int
    host: int
    module: int
    peer: str


class ProcessUse(NamedTuple):
    """A process on a GPU: bytes it holds, None where the driver does not say."""

    pid: int
    memory: int | None


class ProcessLoad(NamedTuple):
    """A process's share of a GPU's engines since the last question: task name to ratio."""

    pid: int
    shares: Mapping[str, float]


class Gpm(NamedTuple):
    """GPU performance monitoring since the sample before: ratios, and bytes per second by (link, direction)."""

    graphics_active: float | None
    sm_active: float | None
    sm_occupancy: float | None
    dram_active: float | None
    pipes: Mapping[str, float]
    throughput: Mapping[tuple[str, str], float]


class MigIdentity(NamedTuple):
    """Who a MIG instance is."""

    uuid: str
    profile: str
    gpu_instance: int
    compute_instance: int
    multiprocessors: int | None


class FieldReader(Protocol):
    """A kept batch of fields of one device."""

    def read(self) -> Sequence[float | None]:
        """Ask for all of them: values in base units in the order of the fields, None where there is none."""
        ...


class MigDevice(Protocol):
    """A MIG instance."""

    identity: MigIdentity
    notes: Notes

    def memory(self) -> Memory | None:
        """Bytes of the instance."""
        ...

    def processes(self) -> Sequence[ProcessUse] | None:
        """Processes that hold memory of the instance, each once."""
        ...

    def gpm(self) -> Gpm | None:
        """Activity since the last call; None on the first."""
        ...


class Device(Protocol):
    """A GPU. `generation` changes when it was set up in another way (MIG): what it has is then to be found out anew."""

    identity: Identity
    notes: Notes
    generation: int

    def modes(self) -> Modes:
        """Read the modes an administrator has set."""
        ...

    def fields(self, fields: Sequence[Field]) -> FieldReader:
        """Keep a batch of fields to be read again and again."""
        ...

    def uptime(self) -> float | None:
        """Seconds since the last GPU reset."""
        ...

    def utilization(self) -> Utilization | None:
        """Coarse utilization."""
        ...

    def engine_utilization(self, engine: Engine) -> float | None:
        """Ratio for one of the fixed-function engines."""
        ...

    def memory(self) -> Memory | None:
        """Device memory."""
        ...

    def bar1(self) -> Memory | None:
        """BAR1 window."""
        ...

    def clock(self, domain: Domain) -> float | None:
        """Hz now."""
        ...

    def clock_limit(self, domain: Domain) -> float | None:
        """Hz at most."""
        ...

    def throttle_reasons(self) -> Mapping[str, bool] | None:
        """Say for every reason that is known whether it holds clocks down now."""
        ...

    def temperature(self) -> float | None:
        """Degrees Celsius of the GPU."""
        ...

    def hotspot(self) -> float | None:
        """Degrees Celsius of the hottest spot."""
        ...

    def temperature_limit(self, threshold: Threshold) -> float | None:
        """Degrees Celsius at which something is done."""
        ...

    def temperature_margin(self) -> float | None:
        """Degrees to the nearest slowdown."""
        ...

    def fans(self) -> Sequence[tuple[float | None, float | None]]:
        """For each fan the ratio asked for and the revolutions per minute."""
        ...

    def pcie_link(self) -> PcieLink:
        """State of the PCIe link."""
        ...

    def ecc_errors(self, severity: EccSeverity, lifetime: EccLifetime, location: EccLocation) -> int | None:
        """Count of memory errors."""
        ...

    def sram_threshold_exceeded(self) -> bool | None:
        """Whether the board should be replaced for its SRAM errors. Root only."""
        ...

    def remap_histogram(self) -> RemapHistogram | None:
        """Spare rows left."""
        ...

    def repairs_pending(self) -> Mapping[str, bool] | None:
        """Repairs that wait for a reset, by kind."""
        ...

    def fabric(self) -> FabricState | None:
        """Registration with the NVLink fabric."""
        ...

    def platform(self) -> PlatformInfo | None:
        """Place in the rack."""
        ...

    def confidential_memory(self) -> Mapping[str, int] | None:
        """Bytes that are protected and unprotected."""
        ...

    def processes(self) -> Sequence[ProcessUse] | None:
        """Processes that hold memory, each once."""
        ...

    def process_loads(self) -> Sequence[ProcessLoad] | None:
        """Shares of the engines by process since the last call."""
        ...

    def gpm(self) -> Gpm | None:
        """Activity since the last call; None on the first."""
        ...

    def mig_instances(self) -> Sequence[MigDevice]:
        """List the MIG instances there are now; the same objects while an instance stays."""
        ...


class XidEvent(NamedTuple):
    """An XID as the driver reported it."""

    uuid: str
    xid: int


class Library(Protocol):
    """The management library, open."""

    driver_version: str | None
    cuda_version: str | None
    confidential_compute: str | None

    def device_count(self) -> int:
        """How many GPUs the driver has, lost ones included."""
        ...

    def open(self, index: int) -> Device:
        """Open a GPU by its NVML index. Raises Unavailable, DeviceLost among them, when it cannot be reached."""
        ...

    def release(self, device: Device) -> None:
        """Give a GPU's handle back: it is lost, or is to be opened anew."""
        ...

    def wait_xid(self, seconds: float) -> XidEvent | None:
        """Wait for an XID of any open GPU; None when there was none in time. Blocks: call it in a thread of its own."""
        ...

    def close(self) -> None:
        """Give every handle back."""
        ...
