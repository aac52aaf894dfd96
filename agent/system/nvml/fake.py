# SPDX-License-Identifier: Apache-2.0
"""The management library, simulated: for the demo and for tests.

Its GPUs answer what the mock NVML library (tests/mock_nvml) answers at the same time of CLOCK_MONOTONIC, from the
same formulas; tests/system/test_nvml_contract.py holds it, the mock and real GPUs to one behaviour. A test breaks
it with lose(), fail() and raise_xid().
"""

import queue
import time
from collections.abc import Callable, Mapping, Sequence

from agent.errors import Unavailable
from agent.system.nvml.ask import NoProgress, Progress
from agent.system.nvml.device import Device, ProcessUse, XidEvent
from agent.system.nvml.fake_board import BOARDS, CUDA_VERSION, DRIVER_VERSION, SimulatedGpu
from agent.system.nvml.fake_faults import Faults
from agent.system.nvml.fake_gpu import FakeDevice
from agent.system.nvml.fake_load import Load

__all__ = ["FakeDevice", "FakeLibrary"]


class FakeLibrary:
    """GPUs that no machine has; see Library."""

    def __init__(  # noqa: PLR0913 - each is one thing that a test may choose
        self,
        gpus: int = 8,
        *,
        model: str = "h100",
        links: int | None = None,
        now: Callable[[], float] = time.monotonic,
        power_watts: Sequence[float] | None = None,
        mig: Mapping[int, int] | None = None,
        processes: Mapping[int, Sequence[ProcessUse]] | None = None,
        loads: Mapping[int, Load] | None = None,
        faults: Mapping[int, Faults] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Simulate a node of `gpus` boards, one of h100, h200, gb200, a100, l40s.

        `now` is in seconds and is the time since the counters began. `power_watts` replaces the wave of each
        GPU's power by a constant. `mig` maps a GPU's index to its number of MIG instances: the GPU is in MIG mode.
        `loads` replaces all waves of a GPU, by its index, but those of errors and throttling; `faults` is what goes
        wrong with it by itself.
        """
        board = BOARDS[model]
        self.driver_version: str | None = DRIVER_VERSION
        self.cuda_version: str | None = CUDA_VERSION
        self.confidential_compute = "off" if board.since("hopper") else None
        self._gpus = [
            SimulatedGpu(
                index,
                board,
                board.model.links if links is None else links,
                now,
                None if power_watts is None else power_watts[index],
                (mig or {}).get(index),
                (processes or {}).get(index, ()),
                (loads or {}).get(index),
                (faults or {}).get(index),
            )
            for index in range(gpus)
        ]
        self._progress = progress or NoProgress()
        self._open: dict[str, Device] = {}
        self._xids: queue.Queue[XidEvent] = queue.Queue()
        self._now = now
        self._heard = now()

    def device_count(self) -> int:
        """See Library."""
        return len(self._gpus)

    def open(self, index: int) -> Device:
        """See Library."""
        self._progress.enter(index, "nvmlDeviceGetHandleByIndex_v2")
        if not 0 <= index < len(self._gpus):
            message = f"there is no GPU {index}"
            raise Unavailable(message)
        self._gpus[index].check()
        device = FakeDevice(self._gpus[index], self._progress)
        self._open[device.identity.uuid] = device
        return device

    def release(self, device: Device) -> None:
        """See Library."""
        self._open = {uuid: known for uuid, known in self._open.items() if known is not device}

    def wait_xid(self, seconds: float) -> XidEvent | None:
        """See Library."""
        self._raise_due()
        try:
            return self._xids.get(timeout=seconds)
        except queue.Empty:
            return None

    def close(self) -> None:
        """See Library."""
        self._open.clear()

    def lose(self, index: int) -> None:
        """Let a GPU fall off the bus: it and its handle raise DeviceLost from now on."""
        self._gpus[index].lost = True

    def restore(self, index: int) -> None:
        """Take back what lose() and fail() did to a GPU."""
        self._gpus[index].lost = False
        self._gpus[index].failing.clear()

    def raise_xid(self, index: int, code: int) -> None:
        """Let a GPU report an XID. As with the driver, nobody hears of one while the GPU is not open."""
        identity = self._gpus[index].identity()
        if identity.uuid in self._open:
            self._xids.put(XidEvent(identity.uuid, code))

    def fail(self, index: int, reading: str) -> None:
        """Let one reading of a GPU fail, under the name it has in its notes: a function or `field 83`."""
        self._gpus[index].failing.add(reading)

    def _raise_due(self) -> None:
        """Raise the XIDs of faults that came since the last call."""
        heard, self._heard = self._heard, self._now()
        for gpu in self._gpus:
            for code in gpu.faults.xids(heard, self._heard) if gpu.faults else ():
                self.raise_xid(gpu.index, code)
