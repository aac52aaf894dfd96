# SPDX-License-Identifier: Apache-2.0
"""Work on a simulated GPU, in place of its waves: everything it shows follows from a few counters."""

from typing import Protocol


class Load(Protocol):
    """What runs on a simulated GPU. `t` is the library's time in s; every counter began at its zero.

    A time is asked for again within 30 s at the most.
    """

    @property
    def memory_bytes(self) -> int:
        """Bytes allocated, constant."""
        ...

    def energy(self, t: float) -> float:
        """J drawn until then, what it draws when idle included."""
        ...

    def busy_seconds(self, t: float) -> float:
        """Seconds in which a kernel ran until then."""
        ...

    def active_seconds(self, metric: int, t: float) -> float:
        """Seconds by which a GPM activity metric (its NVML id, see waves.GPM_SHARES) grew until then."""
        ...

    def nvlink_bytes(self, t: float) -> tuple[float, float]:
        """Bytes sent and received over all its NVLinks together until then."""
        ...

    def pcie_bytes(self, t: float) -> tuple[float, float]:
        """Bytes sent and received over PCIe until then."""
        ...
