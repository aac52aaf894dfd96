# SPDX-License-Identifier: Apache-2.0
"""The NVML library through nvidia-ml-py: open it, open its GPUs, wait for their XIDs.

One library object holds the driver for the life of its process. After a driver restart or upgrade start a new
process: the old one has the old libnvidia-ml.so mapped.
"""

import ctypes
import time
from contextlib import suppress
from typing import Any

import pynvml

from agent.errors import DeviceLost, DriverGone, Unavailable
from agent.system.nvml.ask import NoProgress, Progress, translate
from agent.system.nvml.device import Device, Identity, XidEvent
from agent.system.nvml.gpu import PynvmlDevice
from agent.system.nvml.names import ARCHITECTURES

_XID_EVENT = 0x8
"""nvmlEventTypeXidCriticalError."""
_PAUSE = 1.0
"""Seconds between attempts while the event set cannot be waited for: never a hot loop on a lost GPU."""
_NO_INDEX = -1


class PynvmlLibrary:
    """NVML, initialised."""

    def __init__(self, progress: Progress | None = None) -> None:
        """Initialise NVML. Raises DriverGone when there is no driver that answers."""
        self._progress = progress or NoProgress()
        self._progress.enter(_NO_INDEX, "nvmlInit_v2")
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise DriverGone(str(error)) from error
        self.driver_version = _quietly(pynvml.nvmlSystemGetDriverVersion)
        cuda = _quietly(pynvml.nvmlSystemGetCudaDriverVersion_v2)
        self.cuda_version = None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}"
        state = _quietly(pynvml.nvmlSystemGetConfComputeState)
        self.confidential_compute = None if state is None else ("on" if state.ccFeature else "off")
        self._open: dict[int, PynvmlDevice] = {}
        self._events: Any = None
        self._registered: frozenset[int] = frozenset()

    def device_count(self) -> int:
        """See Library."""
        try:
            return int(pynvml.nvmlDeviceGetCount())
        except pynvml.NVMLError as error:
            raise translate(error) from error

    def open(self, index: int) -> Device:
        """See Library."""
        self._progress.enter(index, "nvmlDeviceGetHandleByIndex_v2")
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            device = PynvmlDevice(handle, identify(handle, index), self._progress)
        except pynvml.NVMLError as error:
            raise translate(error) from error
        self._open[_address(handle)] = device
        return device

    def release(self, device: Device) -> None:
        """See Library."""
        for address, known in tuple(self._open.items()):
            if known is device:
                del self._open[address]
                known.close()

    def wait_xid(self, seconds: float) -> XidEvent | None:
        """See Library. A GPU that is lost makes the whole set fail, so the set is then made anew without it."""
        try:
            if self._events is None or self._registered != frozenset(self._open):
                self._register()
            data = pynvml.nvmlEventSetWait_v2(self._events, int(seconds * 1000))
        except pynvml.NVMLError as error:
            if error.value == pynvml.NVML_ERROR_TIMEOUT:
                return None
            self._unregister()
            time.sleep(_PAUSE)
            ours = translate(error)
            if isinstance(ours, DriverGone):
                raise ours from error
            if not isinstance(ours, DeviceLost):
                raise Unavailable(str(error)) from error
            return None
        device = self._open.get(_address(data.device))
        if data.eventType != _XID_EVENT or device is None:
            return None
        return XidEvent(device.identity.uuid, int(data.eventData))

    def close(self) -> None:
        """See Library."""
        self._unregister()
        for device in self._open.values():
            device.close()
        self._open.clear()
        _quietly(pynvml.nvmlShutdown)

    def _register(self) -> None:
        self._unregister()
        self._events = pynvml.nvmlEventSetCreate()
        self._registered = frozenset(self._open)
        for device in list(self._open.values()):
            with suppress(pynvml.NVMLError):
                supported = pynvml.nvmlDeviceGetSupportedEventTypes(device.handle)
                if supported & _XID_EVENT:
                    pynvml.nvmlDeviceRegisterEvents(device.handle, _XID_EVENT, self._events)

    def _unregister(self) -> None:
        if self._events is not None:
            _quietly(pynvml.nvmlEventSetFree, self._events)
        self._events = None


def identify(handle: Any, index: int) -> Identity:
    """Ask a handle who it is. Raises NVMLError only where there is no UUID."""
    architecture = _quietly(pynvml.nvmlDeviceGetArchitecture, handle)
    capability = _quietly(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    pci = _quietly(pynvml.nvmlDeviceGetPciInfo, handle)
    mig = _quietly(pynvml.nvmlDeviceGetMigMode, handle)
    return Identity(
        uuid=pynvml.nvmlDeviceGetUUID(handle),
        index=index,
        model=_quietly(pynvml.nvmlDeviceGetName, handle),
        serial=_quietly(pynvml.nvmlDeviceGetSerial, handle),
        vbios=_quietly(pynvml.nvmlDeviceGetVbiosVersion, handle),
        architecture=None if architecture is None else ARCHITECTURES.get(architecture, str(architecture)),
        capability=None if capability is None else f"{capability[0]}.{capability[1]}",
        # NVML writes the domain with eight digits, sysfs and the kernel log with four.
        pci=None if pci is None else f"{pci.domain:04x}:{pci.bus:02x}:{pci.device:02x}.0",
        minor=_quietly(pynvml.nvmlDeviceGetMinorNumber, handle),
        gsp=_quietly(pynvml.nvmlDeviceGetGspFirmwareVersion, handle),
        part_number=_quietly(pynvml.nvmlDeviceGetBoardPartNumber, handle),
        mig=bool(mig and mig[0]),
    )


def _quietly(call: Any, *args: object) -> Any:
    """Ask for something that may be missing: None then. A lost GPU is noticed by its UUID."""
    try:
        answer = call(*args)
    except (pynvml.NVMLError, UnicodeDecodeError):
        return None
    # The wrapper of nvmlDeviceGetGspFirmwareVersion forgets to decode.
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer


def _address(handle: Any) -> int:
    return ctypes.cast(handle, ctypes.c_void_p).value or 0
